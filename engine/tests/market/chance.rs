//! Random histories from a seed: plausible requests, spoilt ones and plain garbage.

use crate::driver::{DAY, points, text};
use merit_engine::auction::{ComplexPeriod, Point, Shape, Side};
use merit_engine::calendar::{Day, MINUTE_US};
use merit_engine::command::{Act, Action, Actor, Capacity, NewOrder, OrderBody, Parent, Role};
use merit_engine::ids::{AuctionId, Market, MemberId, OrderId, PortfolioId, TextId, UserId};

use merit_engine::settlement::{
    Band, BandTable, Basis, Category, DeviationRules, Hold, HoldEnd, MeterBatch, MeterRow, Payment, Placing,
    Rate, RunRequest, RunStatus, Scheme, SettlementAction,
};
use std::sync::Arc;

/// What exceptional acts may be about.
pub(crate) struct Acts {
    /// How many were proposed so far.
    pub(crate) proposed: u32,
    pub(crate) time_us: i64,
    /// Auctions with a result whose delivery is ahead.
    pub(crate) ripe: Vec<AuctionId>,
}

/// SplitMix64 (Steele, Lea, Flood 2014).
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn small(&mut self, bound: u16) -> u16 {
        u16::try_from(self.below(u64::from(bound))).unwrap()
    }

    /// Mostly within `range`, now and then absurd.
    pub(crate) fn number(&mut self, low: i64, high: i64) -> i64 {
        match self.below(800) {
            0 => i64::MIN,
            1 => i64::MAX,
            2 => low - 1,
            3 => high + 1,
            _ => low + i64::try_from(self.below(u64::try_from(high - low + 1).unwrap())).unwrap(),
        }
    }

    fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[usize::try_from(self.below(u64::try_from(list.len()).unwrap())).unwrap()]
    }

    fn auction(&mut self, known: &[AuctionId]) -> AuctionId {
        if known.is_empty() || self.one_in(30) {
            let market = self.pick(&Market::ALL);
            let days = i32::try_from(self.below(5)).unwrap() - 1;
            return AuctionId { day: DAY.plus(days), market, session: self.small(60) };
        }
        self.pick(known)
    }

    fn portfolio(&mut self) -> PortfolioId {
        PortfolioId(u32::from(self.small(9)))
    }

    pub(crate) fn actor(&mut self) -> Actor {
        match self.below(40) {
            0 => Actor::System,
            1 => Actor::User(UserId(u32::MAX)),
            _ => Actor::User(UserId(u32::from(self.small(11)))),
        }
    }

    /// An id that is seldom one used before.
    pub(crate) fn id(&mut self) -> TextId {
        let number = if self.one_in(12) { self.below(40) } else { self.next() };
        text(&format!("r{number}"))
    }

    fn steps(&mut self) -> Vec<Point> {
        let count = if self.one_in(40) { 70 } else { self.below(4) + 1 };
        (0..count).map(|_| Point { price: self.number(0, 100), quantity: self.number(1, 30) }).collect()
    }

    fn line(&mut self) -> Vec<Point> {
        let (low, high) = (self.number(0, 30), self.number(40, 100));
        let (top, bottom) = (self.number(0, 40), self.number(-40, 0));
        points(&[(low, top), (high, bottom)])
    }

    fn parent(&mut self, orders: &[OrderId]) -> Parent {
        if self.one_in(3) { Parent::Named(self.id()) } else { Parent::Order(self.order(orders)) }
    }

    pub(crate) fn body(&mut self, orders: &[OrderId]) -> OrderBody {
        let side = self.pick(&[Side::Buy, Side::Sell]);
        let periods: Vec<u16> = if self.one_in(3) { vec![0, 1] } else { vec![self.small(2)] };
        let periods = if self.one_in(40) { vec![1, 0, 7] } else { periods };
        match self.below(10) {
            0..=4 => OrderBody::Curve {
                shape: Shape::Step(side),
                periods: periods.into_iter().map(|it| (it, self.steps().into())).collect(),
            },
            5..=6 => OrderBody::Curve {
                shape: Shape::Linear,
                periods: periods.into_iter().map(|it| (it, self.line().into())).collect(),
            },
            7..=8 => OrderBody::Block {
                side,
                price: self.number(0, 100),
                quantity: periods.into_iter().map(|it| (it, self.number(1, 20))).collect(),
                ratio_min: u32::try_from(self.below(1_000_002)).unwrap(),
                parent: self.one_in(3).then(|| self.parent(orders)),
                group: self.one_in(4).then(|| text("g")),
            },
            _ => OrderBody::Complex {
                side,
                fixed_minor: self.number(0, 1_000),
                curve: periods
                    .into_iter()
                    .map(|period| ComplexPeriod {
                        period,
                        quantity_min: self.number(0, 2),
                        points: self.steps(),
                    })
                    .collect(),
            },
        }
    }

    fn order(&mut self, orders: &[OrderId]) -> OrderId {
        let count = u64::try_from(orders.len()).unwrap();
        let back = match self.below(50) {
            0 => return OrderId(self.next()),
            1..=9 => self.below(count + 2),
            _ => self.below(12),
        };
        let last = usize::try_from(count.saturating_sub(back + 1)).unwrap();
        orders.get(last).copied().unwrap_or(OrderId::new(MemberId(0), 1))
    }

    /// An action; `known` auctions are those that stand open now, as far as anybody can see.
    pub(crate) fn action(
        &mut self,
        known: &[AuctionId],
        all: &[AuctionId],
        orders: &[OrderId],
        acts: &Acts,
    ) -> Action {
        if self.one_in(20) {
            return self.exceptional(known, all, acts);
        }
        let open = if self.one_in(10) { all } else { known };
        if self.one_in(14) {
            return self.settlement(all);
        }
        match self.below(100) {
            0..=54 => Action::Submit(NewOrder {
                auction: self.auction(open),
                portfolio: self.portfolio(),
                area: if self.one_in(30) { self.small(9) } else { self.small(3) },
                body: self.body(orders),
            }),
            55..=69 => Action::Amend {
                order: self.order(orders),
                version: u32::from(self.small(3)),
                body: self.body(orders),
            },
            70..=79 => Action::Cancel { order: self.order(orders) },
            80..=82 => Action::CancelAll {
                auction: self.auction(open),
                portfolio: self.one_in(2).then(|| self.portfolio()),
            },
            83..=90 => {
                let auction = self.auction(all);
                let lots = |it: &mut Self| (0..2).map(|_| it.number(0, 30)).collect();
                let mut lines: Vec<_> = (0..3).map(|n| (n, lots(self), lots(self))).collect();
                if self.one_in(10) {
                    lines.pop();
                }
                Action::SubmitCapacity(Capacity { auction, revision: u32::from(self.small(9)), lines })
            }
            91..=92 => {
                Action::AcknowledgeSchedule { auction: self.auction(all), revision: u32::from(self.small(3)) }
            }
            93..=94 => Action::SetMemberSuspended {
                member: MemberId(u32::from(self.small(5))),
                suspended: self.one_in(8),
            },
            95 => Action::RegisterMember { code: self.id(), name: "Late Ltd".to_owned() },
            96 => Action::RegisterPortfolio {
                member: MemberId(u32::from(self.small(5))),
                code: self.id(),
                areas: Vec::new(),
            },
            97..=98 => Action::RegisterUser {
                name: text(&format!("u{}", self.below(12))),
                fingerprint: [u8::try_from(self.below(256)).unwrap(); 32],
                role: self.pick(&[Role::Trader, Role::Auditor, Role::Dispatch, Role::Settlement]),
                member: self.one_in(2).then(|| MemberId(u32::from(self.small(5)))),
                portfolios: Vec::new(),
            },
            _ => {
                let mut rules = crate::driver::small_rules(self.pick(&Market::ALL));
                rules.effective_from = DAY.plus(i32::try_from(self.below(9)).unwrap());
                rules.fees.buy_minor_per_mwh = self.number(0, 5);
                rules.fees.sell_minor_per_mwh = self.number(0, 5);
                rules.fees.tax_millionths = u32::try_from(self.below(400_000)).unwrap();
                rules.price_max = self.number(90, 100);
                Action::SetRules(Box::new(rules))
            }
        }
    }

    /// What no timetable foresees, proposed or approved.
    fn exceptional(&mut self, known: &[AuctionId], all: &[AuctionId], acts: &Acts) -> Action {
        if acts.proposed > 0 && self.one_in(2) {
            let back = if self.one_in(20) { self.small(4) } else { 0 };
            return Action::ApproveAct { proposal: acts.proposed.saturating_sub(u32::from(back)) };
        }
        let act = match self.below(8) {
            0 => Act::CancelAuction { auction: self.auction(all) },
            1..=4 => Act::ExtendGate {
                auction: self.auction(known),
                gate_us: acts.time_us + i64::from(self.small(120)) * MINUTE_US,
            },
            _ => Act::Rerun { auction: self.auction(&acts.ripe) },
        };
        let reason = if self.one_in(9) { String::new() } else { "a wrong capacity".to_owned() };
        Action::ProposeAct { act, reason }
    }

    /// Something that the clearing house asks, good or bad.
    fn settlement(&mut self, all: &[AuctionId]) -> Action {
        let days: Vec<Day> = all.iter().map(|it| it.day).collect();
        let day = if days.is_empty() || !self.one_in(4) { DAY } else { self.pick(&days) };
        Action::Settle(match self.below(10) {
            0 => SettlementAction::SetDeviation(self.deviation_rules(day)),
            1..=3 => SettlementAction::Meter(Arc::new(self.batch(day))),
            4..=6 => SettlementAction::Run(RunRequest {
                day,
                status: self.pick(&[RunStatus::Provisional, RunStatus::Final, RunStatus::Resettled]),
                reason: if self.one_in(9) { String::new() } else { "a meter was read again".to_owned() },
                effective: day,
            }),
            7 => SettlementAction::Pay(Payment {
                member: MemberId(u32::from(self.small(5))),
                minor: self.number(-1_000, 1_000_000),
                value_day: day,
                reference: self.id(),
            }),
            8 => SettlementAction::Hold(Hold {
                member: MemberId(u32::from(self.small(5))),
                minor: self.number(0, 100_000),
                reason: "margin".to_owned(),
            }),
            _ => match self.below(2) {
                0 => SettlementAction::EndHold {
                    hold: self.below(9),
                    end: self.pick(&[HoldEnd::Posted, HoldEnd::Released]),
                },
                _ => SettlementAction::Acknowledge {
                    stream_seq: self.below(60),
                    epoch: u32::from(self.small(3)),
                },
            },
        })
    }

    fn deviation_rules(&mut self, effective_from: Day) -> DeviationRules {
        let rate = |it: &mut Self| Rate {
            basis: it.pick(&[Basis::Reference, Basis::Normal]),
            millionths: u32::try_from(it.below(2_000_000)).unwrap(),
        };
        let band =
            |it: &mut Self, until_millionths| Band { until_millionths, over: rate(it), under: rate(it) };
        let table = |it: &mut Self, below_mhz| BandTable {
            below_mhz,
            bands: vec![band(it, 100_000), band(it, 150_000), band(it, u32::MAX)],
        };
        let mut tables = vec![table(self, u32::MAX)];
        if self.one_in(2) {
            tables.insert(0, table(self, 49_900));
        }
        let scheme = if self.one_in(3) {
            Scheme::TwoPrice
        } else {
            Scheme::Bands(vec![Category { name: text("general"), tables }])
        };
        let placings = vec![Placing { portfolio: self.portfolio(), category: 0, capacity_watts: 5_000_000 }];
        DeviationRules { effective_from, scheme, placings }
    }

    fn batch(&mut self, day: Day) -> MeterBatch {
        let mut rows = Vec::new();
        for portfolio in 0..4 {
            let area = text(self.pick(&["A", "B", "C"]));
            // Mostly sane: nothing is learnt from batches that are all refused.
            let wh = |it: &mut Self| i64::try_from(it.below(18_000_001)).unwrap() - 9_000_000;
            let mut net_wh: Vec<i64> = (0..96).map(|_| wh(self)).collect();
            if self.one_in(30) {
                net_wh[7] = self.number(-9_000_000, 9_000_000);
            }
            let estimated = if self.one_in(3) { vec![3, 90] } else { Vec::new() };
            rows.push(MeterRow { portfolio: PortfolioId(portfolio), area, net_wh, estimated });
        }
        let total: i128 = rows.iter().flat_map(|it| &it.net_wh).copied().map(i128::from).sum();
        let total = i64::try_from(total).unwrap_or(0);
        MeterBatch {
            day,
            revision: u32::from(self.small(12)),
            content: [7; 32],
            readings: 384,
            estimated: 0,
            total_wh: if self.one_in(20) { total.wrapping_add(1) } else { total },
            frequency_mhz: if self.one_in(4) { Vec::new() } else { (0..96).map(|it| 49_850 + it).collect() },
            rows,
        }
    }
}
