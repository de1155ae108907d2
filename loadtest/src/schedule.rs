//! When what is sent: fixed before the first message goes, so that a slow exchange cannot slow it down.

use std::str::FromStr;
use std::time::Duration;

/// A repeatable source of random numbers (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// One stream of numbers for each thing that is numbered.
    pub(crate) fn of(seed: u64, number: u64) -> Self {
        Self(Self(seed ^ number.wrapping_mul(0xd605_bbb5_8c8a_bbad)).next())
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 up to but without `bound`; 0 if that is 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        let scaled = (u128::from(self.next()) * u128::from(bound)) >> 64;
        u64::try_from(scaled).expect("a 64-bit number times a fraction below 1")
    }

    /// Exponentially distributed with mean 1.
    fn exponential(&mut self) -> f64 {
        let uniform = u32::try_from(self.next() >> 32).expect("the upper half of 64 bits");
        -((f64::from(uniform) + 1.0) / 4_294_967_296.0).ln()
    }
}

/// What a command asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Submit,
    Amend,
    Cancel,
}

/// By which method a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Unary,
    Batch,
    Stream,
}

/// Shares of three alternatives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shares([u32; 3]);

impl Shares {
    fn parse(text: &str, names: [&str; 3]) -> Result<Self, String> {
        let mut shares = [0; 3];
        for part in text.split(',') {
            let at = part.split_once('=').and_then(|(name, number)| {
                let at = names.iter().position(|it| *it == name.trim())?;
                Some((at, number.trim().parse::<u16>().ok()?))
            });
            let Some((at, number)) = at else {
                return Err(format!("'{part}' is not one of {}, = and a number to 65535", names.join(", ")));
            };
            shares[at] = u32::from(number);
        }
        if shares == [0; 3] {
            return Err("all shares are 0".to_string());
        }
        Ok(Self(shares))
    }

    fn pick(self, random: &mut Random) -> usize {
        let mut left = random.below(self.0.iter().copied().map(u64::from).sum());
        for (at, share) in self.0.iter().copied().map(u64::from).enumerate() {
            if left < share {
                return at;
            }
            left -= share;
        }
        0
    }
}

/// How many of which verb, e.g. `submit=70,amend=20,cancel=10`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mix(Shares);

impl FromStr for Mix {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Shares::parse(text, ["submit", "amend", "cancel"]).map(Self)
    }
}

/// How many messages by which method, e.g. `unary=80,batch=10,stream=10`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Via(Shares);

impl FromStr for Via {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Shares::parse(text, ["unary", "batch", "stream"]).map(Self)
    }
}

/// How the moments of sending lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Arrivals {
    /// At random, as members who know nothing of each other send.
    Poisson,
    /// At equal distances.
    Even,
}

/// A whole run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Commands each second.
    pub(crate) rate: u32,
    pub(crate) seconds: u32,
    pub(crate) seed: u64,
    pub(crate) mix: Mix,
    pub(crate) via: Via,
    pub(crate) arrivals: Arrivals,
    pub(crate) connections: usize,
    /// Commands in one message of a batch or stream.
    pub(crate) batch: u32,
}

/// One message: when it is due, counted from the start, and what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) due: Duration,
    pub(crate) connection: usize,
    pub(crate) way: Way,
    /// Number of its first command; commands are numbered from 1 over the whole run.
    pub(crate) first: u64,
    pub(crate) verbs: Vec<Verb>,
}

impl Plan {
    /// Number of commands of the run.
    pub(crate) fn commands(&self) -> u64 {
        u64::from(self.rate) * u64::from(self.seconds)
    }

    /// All messages, in the order in which they are due.
    pub(crate) fn slots(&self) -> impl Iterator<Item = Slot> + use<> {
        let plan = self.clone();
        let mut random = Random::new(plan.seed);
        let (mut sent, mut messages, mut due) = (0, 0, Duration::ZERO);
        std::iter::from_fn(move || {
            let left = plan.commands() - sent;
            if left == 0 {
                return None;
            }
            let way = [Way::Unary, Way::Batch, Way::Stream][plan.via.0.pick(&mut random)];
            let size = match way {
                Way::Unary => 1,
                Way::Batch | Way::Stream => left.min(u64::from(plan.batch.max(1))),
            };
            let verbs = [Verb::Submit, Verb::Amend, Verb::Cancel];
            let verbs = (0..size).map(|_| verbs[plan.mix.0.pick(&mut random)]).collect();
            let slot = Slot { due, connection: messages % plan.connections, way, first: sent + 1, verbs };
            sent += size;
            messages += 1;
            // Even distances are computed from the count, so that rounding does not add up.
            let even = Duration::from_nanos(sent * 1_000_000_000 / u64::from(plan.rate));
            due = match plan.arrivals {
                Arrivals::Even => even,
                Arrivals::Poisson => {
                    let mean = Duration::from_nanos(size * 1_000_000_000 / u64::from(plan.rate));
                    due + mean.mul_f64(random.exponential())
                }
            };
            Some(slot)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(arrivals: Arrivals, via: &str) -> Plan {
        Plan {
            rate: 3_000,
            seconds: 20,
            seed: 7,
            mix: "submit=70,amend=20,cancel=10".parse().unwrap(),
            via: via.parse().unwrap(),
            arrivals,
            connections: 7,
            batch: 25,
        }
    }

    #[test]
    fn the_schedule_sends_every_command_once_at_the_rate_asked_for() {
        for arrivals in [Arrivals::Even, Arrivals::Poisson] {
            for via in ["unary=1", "unary=8,batch=1,stream=1", "batch=1", "stream=3"] {
                let plan = plan(arrivals, via);
                let slots: Vec<Slot> = plan.slots().collect();
                let mut next = 1;
                for slot in &slots {
                    assert_eq!(slot.first, next);
                    next += u64::try_from(slot.verbs.len()).unwrap();
                }
                assert_eq!(next - 1, plan.commands());
                assert!(slots.windows(2).all(|pair| pair[0].due <= pair[1].due));
                let ends = slots.last().unwrap().due.as_secs_f64();
                let tolerance = if arrivals == Arrivals::Even { 0.01 } else { 2.0 };
                assert!((ends - 20.0).abs() < tolerance, "{arrivals:?} {via}: the last is due at {ends} s");
                assert!((0..7).all(|at| slots.iter().any(|slot| slot.connection == at)));
            }
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_schedule_and_another_seed_another() {
        let one = plan(Arrivals::Poisson, "unary=8,batch=1,stream=1");
        let all = |plan: &Plan| plan.slots().collect::<Vec<_>>();
        assert_eq!(all(&one), all(&one.clone()));
        assert_ne!(all(&one), all(&Plan { seed: 8, ..one }));
    }

    #[test]
    fn shares_are_kept() {
        let slots: Vec<Slot> = plan(Arrivals::Even, "unary=50,batch=50").slots().collect();
        let verbs: Vec<Verb> = slots.iter().flat_map(|slot| slot.verbs.clone()).collect();
        let share = |verb| verbs.iter().filter(|it| **it == verb).count() * 100 / verbs.len();
        assert!((68..=72).contains(&share(Verb::Submit)), "{}", share(Verb::Submit));
        assert!((8..=12).contains(&share(Verb::Cancel)), "{}", share(Verb::Cancel));
        assert!(slots.iter().all(|slot| slot.way != Way::Stream));
    }

    #[test]
    fn shares_that_mean_nothing_are_refused() {
        for bad in ["", "submit", "submit=x", "submit=-1", "buy=3", "submit=0,amend=0", "submit=1;amend=2"] {
            assert!(bad.parse::<Mix>().is_err(), "{bad}");
        }
    }
}
