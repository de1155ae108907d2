//! The members of the demo's market and what they bid, from a seed, as plain data.
//!
//! Orders of single members are not public anywhere, totals are. So every kind of member bids as its
//! plant or its customers make plausible (coal around its fuel cost, sun at nothing, water when it is
//! dear, distribution companies firm in part and elastic in part), and two numbers per block, one
//! price level for sellers and one for buyers, are set so that the whole crowd crosses near the
//! published price and volume. The same seed and number of members give the same bids on every
//! machine: integers only.

use super::curve::{Curve, Ladder};
use super::profile::{BLOCKS, BLOCKS_PER_ROW, CAP, DAY_AHEAD, REAL_TIME, Target, targets};
use super::random::Random;

/// Codes of the bid areas, in the order of the market's rules.
pub(super) const AREAS: [&str; 13] =
    ["N1", "N2", "N3", "E1", "E2", "W1", "W2", "W3", "S1", "S2", "S3", "A1", "A2"];

/// Fewest members: with less, one of them would want more at a price than the rules let one order hold.
pub(super) const MEMBERS_MIN: u16 = 20;
/// Most members that the demo takes.
pub(super) const MEMBERS_MAX: u16 = 2_000;

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Buys for towns and villages; sells what its long contracts leave.
    Distribution,
    /// Buys for its own plant.
    Industry,
    /// Coal plant.
    Coal,
    /// Water.
    Hydro,
    /// Sun.
    Solar,
    /// Wind.
    Wind,
    /// Gas turbines.
    Gas,
}

impl Kind {
    /// Every kind.
    pub(super) const ALL: [Self; 7] =
        [Self::Distribution, Self::Industry, Self::Coal, Self::Hydro, Self::Solar, Self::Wind, Self::Gas];

    /// What people call several of them.
    pub(super) const fn plural(self) -> &'static str {
        match self {
            Self::Distribution => "distribution companies",
            Self::Industry => "industrial buyers",
            Self::Coal => "coal",
            Self::Hydro => "hydro",
            Self::Solar => "solar",
            Self::Wind => "wind",
            Self::Gas => "gas",
        }
    }

    const fn code(self) -> &'static str {
        match self {
            Self::Distribution => "DISCOM",
            Self::Industry => "IND",
            Self::Coal => "COAL",
            Self::Hydro => "HYDRO",
            Self::Solar => "SOLAR",
            Self::Wind => "WIND",
            Self::Gas => "GAS",
        }
    }

    /// Where members of the kind sit, the weightiest first: indices into [`AREAS`].
    const fn homes(self) -> &'static [u16] {
        match self {
            Self::Distribution => &[1, 6, 8, 2, 5, 3, 0, 9, 4, 7, 10, 12, 11],
            Self::Industry => &[6, 8, 1, 9, 2, 4, 5, 0, 7, 3, 10],
            Self::Coal => &[7, 4, 5, 6, 1, 3, 8, 9],
            Self::Hydro => &[0, 3, 12, 1, 10, 8],
            Self::Solar => &[1, 6, 8, 9, 5],
            Self::Wind => &[9, 6, 8, 1],
            Self::Gas => &[6, 8, 12, 1],
        }
    }

    /// Most portfolios of one member.
    const fn portfolios_max(self) -> i64 {
        match self {
            Self::Distribution | Self::Wind | Self::Gas => 1,
            Self::Industry | Self::Solar | Self::Hydro => 2,
            Self::Coal => 3,
        }
    }
}

/// The kinds of twenty members in a row.
const PATTERN: [Kind; 20] = {
    use Kind::{Coal as C, Distribution as D, Gas as G, Hydro as H, Industry as I, Solar as S, Wind as W};
    [D, C, I, S, H, W, G, D, I, C, D, I, C, S, D, I, H, D, I, C]
};

/// A member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// Unique code.
    pub(super) code: String,
    /// What it is.
    pub(super) kind: Kind,
}

/// A portfolio of a member, in one area.
#[derive(Clone, Debug)]
pub(super) struct Portfolio {
    /// Unique code.
    pub(super) code: String,
    /// Index of its owner.
    pub(super) member: u16,
    /// Index into [`AREAS`].
    pub(super) area: u16,
    kind: Kind,
    /// Relative size within the kind.
    size: i64,
    /// Number of the member within its kind.
    rank: i64,
    /// Whether its curves are linear.
    linear: bool,
    /// (rupees, thousandths) offered.
    sell: Vec<(i64, i64)>,
    /// (rupees, thousandths) wanted.
    buy: Vec<(i64, i64)>,
}

/// The bids of one market: by block of the day, then by portfolio; nothing where it does not bid.
pub(super) type Bids = Vec<Vec<Option<Curve>>>;

/// The crowd of one seed.
#[derive(Clone, Debug)]
pub(super) struct Crowd {
    /// Members.
    pub(super) members: Vec<Member>,
    /// Portfolios, by member.
    pub(super) portfolios: Vec<Portfolio>,
    /// Day-ahead bids.
    pub(super) day_ahead: Bids,
    /// Real-time bids.
    pub(super) real_time: Bids,
}

impl Crowd {
    /// The crowd of a seed.
    pub(super) fn new(seed: u64, members: u16) -> Self {
        assert!((MEMBERS_MIN..=MEMBERS_MAX).contains(&members));
        let random = Random::new(seed);
        let mut ranks = [0_i64; Kind::ALL.len()];
        let mut crowd = Self {
            members: Vec::new(),
            portfolios: Vec::new(),
            day_ahead: Vec::new(),
            real_time: Vec::new(),
        };
        for (index, &kind) in (0..members).zip(PATTERN.iter().cycle()) {
            let rank = Kind::ALL.iter().position(|it| *it == kind).expect("ALL has every kind");
            join(&mut crowd, random.fork(u64::from(index)), (index, kind, ranks[rank]));
            ranks[rank] += 1;
        }
        let portfolios = &crowd.portfolios;
        let day = Market { random: random.fork(1 << 32), portfolios, plan: None };
        let (planned, day_ahead) = day.bids(&shaken(&DAY_AHEAD, random.fork(3 << 32)));
        let real = Market { random: random.fork(2 << 32), portfolios, plan: Some(&planned) };
        let (_, real_time) = real.bids(&shaken(&REAL_TIME, random.fork(4 << 32)));
        crowd.day_ahead = day_ahead;
        crowd.real_time = real_time;
        crowd
    }

    /// How many members of a kind.
    pub(super) fn count(&self, kind: Kind) -> usize {
        self.members.iter().filter(|it| it.kind == kind).count()
    }
}

/// No day is the mean of ten: totals move by up to a hundredth, prices within the published range.
fn shaken(table: &[super::profile::Row; 12], mut random: Random) -> Vec<Target> {
    let (purchase, sell) = (random.between(990, 1_010), random.between(990, 1_010));
    let mut targets = targets(table);
    for (block, target) in targets.iter_mut().enumerate() {
        let row = &table[block / BLOCKS_PER_ROW];
        target.purchase = target.purchase * purchase / 1_000;
        target.sell = target.sell * sell / 1_000;
        if target.price < CAP {
            // A little inside the range: the crossing lies near the target, not on it.
            let inside = (row.high - row.low) / 12;
            let moved = target.price * random.between(975, 1_025) / 1_000;
            target.price = moved.clamp(row.low + inside, (row.high - inside).min(CAP - 60));
        }
    }
    targets
}

/// Adds one member and its portfolios.
fn join(crowd: &mut Crowd, mut random: Random, (member, kind, rank): (u16, Kind, i64)) {
    let homes = kind.homes();
    let home = homes[usize::try_from(rank).expect("ranks count from 0") % homes.len()];
    let code = format!("{}-{}-{:03}", kind.code(), AREAS[usize::from(home)], member + 1);
    for number in 1..=random.between(1, kind.portfolios_max()) {
        let (sell, buy) = habits(kind, &mut random);
        crowd.portfolios.push(Portfolio {
            code: format!("{code}-P{number}"),
            member,
            area: home,
            kind,
            size: random.between(40, 200),
            rank,
            linear: match kind {
                Kind::Distribution | Kind::Hydro => true,
                Kind::Coal => number == 1,
                Kind::Industry | Kind::Solar | Kind::Wind | Kind::Gas => false,
            },
            sell,
            buy,
        });
    }
    crowd.members.push(Member { code, kind });
}

type Shares = Vec<(i64, i64)>;

/// What a portfolio of a kind asks and pays, (rupees, thousandths of its quantity) each.
fn habits(kind: Kind, random: &mut Random) -> (Shares, Shares) {
    let times = |price: i64, percent: i64| price * percent / 100;
    match kind {
        Kind::Coal => {
            let fuel = random.between(2_300, 4_300);
            let dear = random.between(6_500, 9_800);
            // Its technical minimum runs below fuel cost rather than stopping the boiler.
            let sell = vec![
                (times(fuel, 55), 250),
                (fuel, 300),
                (times(fuel, 112), 250),
                (times(fuel, 160), 130),
                (dear, 70),
            ];
            (sell, Vec::new())
        }
        Kind::Hydro => {
            let water = random.between(3_000, 6_500);
            let river = random.between(0, 300);
            (vec![(river, 200), (times(water, 60), 200), (water, 300), (times(water, 140), 300)], Vec::new())
        }
        Kind::Solar => (vec![(0, 700), (random.between(300, 1_500), 300)], Vec::new()),
        Kind::Wind => (vec![(0, 600), (random.between(500, 2_000), 400)], Vec::new()),
        Kind::Gas => {
            let gas = random.between(7_000, 9_200);
            (vec![(gas, 500), (times(gas, 108), 500)], Vec::new())
        }
        Kind::Distribution => {
            let contract = random.between(2_300, 4_500);
            let sell = vec![
                (times(contract, 70), 200),
                (contract, 400),
                (times(contract, 140), 250),
                (times(contract, 200), 150),
            ];
            let elastic =
                [random.between(5_500, 9_500), random.between(3_500, 5_500), random.between(2_200, 3_800)];
            let buy = vec![(CAP, 400), (elastic[0], 200), (elastic[1], 200), (elastic[2], 200)];
            (sell, buy)
        }
        Kind::Industry => {
            let worth = random.between(3_500, 7_500);
            (Vec::new(), vec![(CAP, 150), (worth, 350), (times(worth, 75), 300), (times(worth, 50), 200)])
        }
    }
}

/// Who shares a part of the total with whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Sells only.
    Seller,
    /// Buys only.
    Buyer,
    /// Has more than it needs: sells it, or backs its plant down and buys if that is cheaper.
    Long,
}

/// One market's bids in the making.
struct Market<'a> {
    random: Random,
    portfolios: &'a [Portfolio],
    /// What each portfolio (by block) is to have bought and sold in the market before, tenths.
    plan: Option<&'a [Vec<(i64, i64)>]>,
}

impl Market<'_> {
    /// What every portfolio is expected to trade, and its bids, by block.
    fn bids(&self, targets: &[Target]) -> (Vec<Vec<(i64, i64)>>, Bids) {
        let mut planned = Vec::with_capacity(BLOCKS);
        let mut bids = Vec::with_capacity(BLOCKS);
        let mut wind = self.random.fork(77);
        let mut blowing = wind.between(55, 90);
        for (block, target) in targets.iter().enumerate() {
            blowing = (blowing + wind.between(-4, 4)).clamp(40, 110);
            let curves = self.block(block, target, blowing);
            let expected = curves.iter().map(|curve| {
                curve.as_ref().map_or((0, 0), |it| {
                    let (bought, sold) = it.wants(target.price * 100);
                    (bought / 10, sold / 10)
                })
            });
            planned.push(expected.collect());
            bids.push(curves);
        }
        (planned, bids)
    }

    fn block(&self, block: usize, target: &Target, blowing: i64) -> Vec<Option<Curve>> {
        let roles: Vec<Role> = self.portfolios.iter().map(|it| role(it, target)).collect();
        let quantities = self.quantities(block, target, &roles, blowing);
        // Where much more is wanted than can be had and still no price at the cap was published, less
        // of it was wanted at any price.
        let firm = (1_900 * target.cleared / target.purchase).min(1_000);
        let bid = |(index, portfolio): (usize, &Portfolio)| {
            let random = self.random.fork(label(block, index) | 1 << 40);
            Bid::new(portfolio, roles[index], quantities[index], firm, random)
        };
        let bids: Vec<Bid> = self.portfolios.iter().enumerate().map(bid).collect();
        let total = |sellers: i64, buyers: i64, rupees: i64| {
            let sum = |sum: (i64, i64), it: (i64, i64)| (sum.0 + it.0, sum.1 + it.1);
            bids.iter().map(|it| it.wants(sellers, buyers, rupees)).fold((0, 0), sum)
        };
        // Sellers' level: the highest at which they still offer what is to be cleared at the price; in
        // scarcity, nearly all of it well below the cap.
        let scarce = target.price == CAP;
        let (asked, least) =
            if scarce { (CAP * 9 / 10, target.cleared * 97 / 100) } else { (target.price, target.cleared) };
        let sellers = highest(|level| total(level, 1_000, asked).1 >= least);
        // Buyers' level: the highest at which they do not want more than that; in scarcity, the least
        // at which they want more at the cap than there is.
        let buyers = highest(|level| {
            let (wanted, offered) = total(sellers, level, target.price);
            if scarce { wanted < offered + offered / 25 } else { wanted <= offered }
        });
        let buyers = if scarce { buyers + 1 } else { buyers };
        bids.iter().map(|it| it.curve(sellers, buyers)).collect()
    }

    /// (wanted, offered) tenths of a MW of every portfolio: the totals, shared out.
    fn quantities(&self, block: usize, target: &Target, roles: &[Role], blowing: i64) -> Vec<(i64, i64)> {
        let offers = offers(block, target.sell, blowing);
        let of_kind = |kind: Kind| {
            self.portfolios.iter().zip(roles).map(move |(it, role)| it.kind == kind && *role == Role::Seller)
        };
        let weights = self.weights(block);
        let mut quantities = vec![(0, 0); self.portfolios.len()];
        let mut share = |total: i64, chosen: Vec<bool>, sells: bool| -> i64 {
            let weight = |(index, chosen): (usize, bool)| {
                let (buying, selling) = weights[index];
                if chosen { if sells { selling } else { buying } } else { 0 }
            };
            let weights: Vec<i64> = chosen.into_iter().enumerate().map(weight).collect();
            let parts = apportion(total, &weights);
            let shared = parts.iter().sum::<i64>();
            for (quantity, part) in quantities.iter_mut().zip(parts) {
                let side = if sells { &mut quantity.1 } else { &mut quantity.0 };
                *side += part;
            }
            total - shared
        };
        let long = || roles.iter().map(|it| *it == Role::Long).collect::<Vec<_>>();
        let mut rest = target.sell - offers.iter().map(|it| it.1).sum::<i64>();
        for (kind, total) in offers {
            rest += share(total, of_kind(kind).collect(), true);
        }
        let surplus = rest * 32 / 100;
        let rest = rest - surplus + share(surplus, long(), true);
        share(rest, of_kind(Kind::Coal).collect(), true);

        let industry = target.purchase * 22 / 100;
        let backed_down = target.purchase * 4 / 100;
        let buyers = |kind: Kind| {
            self.portfolios.iter().zip(roles).map(move |(it, role)| it.kind == kind && *role == Role::Buyer)
        };
        let rest = target.purchase - industry - backed_down + share(backed_down, long(), false);
        let rest = rest + share(industry, buyers(Kind::Industry).collect(), false);
        share(rest, buyers(Kind::Distribution).collect(), false);
        quantities
    }

    /// (buying, selling) weight of every portfolio in a block: its size, moved a little every two
    /// hours; later markets bring what was left over before, and some error of forecast.
    fn weights(&self, block: usize) -> Vec<(i64, i64)> {
        let weight = |(index, portfolio): (usize, &Portfolio)| {
            let mut random = self.random.fork(label(block, index));
            let size = portfolio.size * random.between(700, 1_300) / 100;
            match self.plan {
                None => (size, size),
                Some(plan) => {
                    let (bought, sold) = plan[block][index];
                    let error = random.between(3, 30);
                    (size + bought * error / 100, size + sold * error / 100)
                }
            }
        };
        self.portfolios.iter().enumerate().map(weight).collect()
    }
}

/// The label of what a portfolio draws for two hours.
fn label(block: usize, portfolio: usize) -> u64 {
    u64::try_from(portfolio * BLOCKS + block / BLOCKS_PER_ROW).expect("thousands of portfolios at most")
}

/// What a portfolio bids in a block, but for the price levels.
struct Bid {
    linear: bool,
    /// Its tranches at a level of one.
    ladder: Ladder,
    /// Its own opinion of the sellers' and of the buyers' level, thousandths.
    opinion: (i64, i64),
}

impl Bid {
    /// The bid for `quantity` (wanted, offered; tenths of a MW); `firm` thousandths of the usual share
    /// are wanted at any price.
    fn new(portfolio: &Portfolio, role: Role, quantity: (i64, i64), firm: i64, mut random: Random) -> Self {
        let opinion = (random.between(985, 1_015), random.between(985, 1_015));
        let sell = match role {
            Role::Buyer => Vec::new(),
            Role::Seller | Role::Long => parts(&portfolio.sell, quantity.1),
        };
        let buy = match role {
            Role::Seller => Vec::new(),
            Role::Buyer => parts(&softened(&portfolio.buy, firm), quantity.0),
            Role::Long => {
                // No firm need: it buys only below what its own plant costs.
                let own = portfolio.sell.iter().take(2).map(|&(rupees, share)| (rupees * 7 / 10, share));
                parts(&own.collect::<Vec<_>>(), quantity.0)
            }
        };
        Self { linear: portfolio.linear, ladder: Ladder { buy, sell }, opinion }
    }

    /// The tranches at levels in thousandths. What is firm stays firm.
    fn levelled(&self, sellers: i64, buyers: i64) -> Ladder {
        let at = |tranches: &[(i64, i64)], level: i64| -> Vec<(i64, i64)> {
            let price =
                |rupees: i64| if rupees == CAP { CAP } else { (rupees * level / 1_000_000).clamp(0, CAP) };
            tranches.iter().map(|&(rupees, tenths)| (price(rupees), tenths)).collect()
        };
        let (seller, buyer) = self.opinion;
        Ladder { buy: at(&self.ladder.buy, buyers * buyer), sell: at(&self.ladder.sell, sellers * seller) }
    }

    /// (wanted, offered) at a price, tenths of a MW.
    fn wants(&self, sellers: i64, buyers: i64, rupees: i64) -> (i64, i64) {
        self.levelled(sellers, buyers).wants(rupees, self.linear)
    }

    fn curve(&self, sellers: i64, buyers: i64) -> Option<Curve> {
        let ladder = self.levelled(sellers, buyers);
        if self.linear { ladder.portfolio() } else { ladder.steps() }
    }
}

/// A total by shares of it.
fn parts(shares: &[(i64, i64)], total: i64) -> Vec<(i64, i64)> {
    let parts = apportion(total, &shares.iter().map(|it| it.1).collect::<Vec<_>>());
    shares.iter().zip(parts).map(|(share, part)| (share.0, part)).collect()
}

/// Shares of which only `firm` thousandths of the first, at the cap, stay; the rest joins the second.
fn softened(shares: &[(i64, i64)], firm: i64) -> Vec<(i64, i64)> {
    let mut shares = shares.to_vec();
    if let [first, second, ..] = shares.as_mut_slice() {
        let kept = first.1 * firm / 1_000;
        second.1 += first.1 - kept;
        first.1 = kept;
    }
    shares
}

/// Distribution companies are long or short; the more is offered in the block, the more are long.
fn role(portfolio: &Portfolio, target: &Target) -> Role {
    match portfolio.kind {
        Kind::Industry => Role::Buyer,
        Kind::Coal | Kind::Hydro | Kind::Solar | Kind::Wind | Kind::Gas => Role::Seller,
        Kind::Distribution => {
            let offered = target.sell * 600 / (target.sell + target.purchase);
            let long = (offered - 50).clamp(60, 400);
            // Multiples of the golden ratio fall evenly; the first company is always short.
            if portfolio.rank * 618 % 1_000 >= 1_000 - long { Role::Long } else { Role::Buyer }
        }
    }
}

/// What sun, wind, water and gas offer in a block, tenths of a MW, of a total.
fn offers(block: usize, total: i64, blowing: i64) -> [(Kind, i64); 4] {
    let block = i64::try_from(block).expect("a block of the day");
    // From half past six to half past six, highest at half past twelve.
    let sun = ((block - 25) * (74 - block)).max(0) * 40;
    let peak = (24..40).contains(&block) || (68..88).contains(&block);
    let water = if peak { 11_000 } else { 5_000 };
    let offers = [(Kind::Solar, sun), (Kind::Wind, blowing * 100), (Kind::Hydro, water), (Kind::Gas, 2_500)];
    // A real-time market has half the volume: then each brings less.
    let sum: i64 = offers.iter().map(|it| it.1).sum();
    let most = total * 45 / 100;
    offers.map(|(kind, tenths)| (kind, if sum > most { tenths * most / sum } else { tenths }))
}

/// Splits a total in proportion to weights, exactly, by largest remainder; all zero if no weight is.
fn apportion(total: i64, weights: &[i64]) -> Vec<i64> {
    let sum: i64 = weights.iter().sum();
    if sum == 0 {
        return vec![0; weights.len()];
    }
    let mut parts: Vec<i64> = weights.iter().map(|it| total * it / sum).collect();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by_key(|&it| (std::cmp::Reverse(total * weights[it] % sum), it));
    let left = usize::try_from(total - parts.iter().sum::<i64>()).expect("floors sum to the total at most");
    for &index in order.iter().take(left) {
        parts[index] += 1;
    }
    parts
}

/// The highest level (in thousandths) at which `holds` still does; it holds up to some level.
fn highest(holds: impl Fn(i64) -> bool) -> i64 {
    let (mut low, mut high) = (50_i64, 8_000);
    while low + 1 < high {
        let middle = low.midpoint(high);
        if holds(middle) { low = middle } else { high = middle }
    }
    low
}

#[cfg(test)]
mod tests;
