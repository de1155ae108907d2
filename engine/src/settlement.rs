//! What the clearing house asks and is told beyond the auctions: runs, meters, payments, holds.
//!
//! A run looks at a whole delivery day, says what every member owes, and books what is not booked
//! yet. Nothing is ever changed in place: what a later run finds otherwise is taken back by a
//! reversal with a reason and an effective day, and booked again.

use crate::calendar::Day;
use crate::digest::feed_struct;
use crate::ids::{AuctionId, MemberId, PortfolioId, TextId};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Length of a meter's block, minutes.
pub const METER_MINUTES: u16 = 15;
/// Largest absolute energy of a portfolio in an area and block, watt-hours.
pub const METER_WH_MAX: i64 = 1_000_000_000_000;
/// Rows of one meter batch: portfolios times areas.
pub const METER_ROWS_MAX: usize = 4_000;
/// Largest payment or hold, minor units.
pub const AMOUNT_MAX: i64 = 1_000_000_000_000_000;
/// Bands of a table, tables of a category, categories of a scheme.
pub const BANDS_MAX: usize = 16;
/// Longest reason, bytes.
pub const REASON_BYTES_MAX: usize = 256;

/// What the clearing house asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettlementAction {
    /// Sets how deviations are charged from a day on.
    SetDeviation(DeviationRules),
    /// Takes a day's metered energy, aggregated; the readings lie in an archive.
    Meter(Arc<MeterBatch>),
    /// Runs the settlement of a day.
    Run(RunRequest),
    /// Books a payment.
    Pay(Payment),
    /// Blocks a member's funds.
    Hold(Hold),
    /// Ends a hold.
    EndHold {
        /// Number of the hold.
        hold: u64,
        /// What becomes of the funds.
        end: HoldEnd,
    },
    /// Says that everything on the settlement stream up to a number is durable at the clearing house.
    Acknowledge {
        /// The number.
        stream_seq: u64,
        /// Epoch of the event with that number.
        epoch: u32,
    },
}

/// The state of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RunStatus {
    /// May still change.
    Provisional,
    /// Final; later ones are resettlements.
    Final,
    /// After the final run.
    Resettled,
}

/// Asks for a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRequest {
    /// Local delivery day.
    pub day: Day,
    /// What it shall be.
    pub status: RunStatus,
    /// Why; needed for a resettlement.
    pub reason: String,
    /// From which day it counts.
    pub effective: Day,
}

/// Metered energy of a delivery day, added up from single readings that an archive keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterBatch {
    /// Local delivery day.
    pub day: Day,
    /// From 1, greater than the last one taken for the day.
    pub revision: u32,
    /// SHA-256 over the digests of the archived files, in the order in which they were merged.
    pub content: [u8; 32],
    /// Readings in these files.
    pub readings: u64,
    /// Readings that were missing and have been estimated.
    pub estimated: u64,
    /// Sum of all rows and blocks, watt-hours.
    pub total_wh: i64,
    /// System frequency of each block, millihertz; empty if no table asks for it.
    pub frequency_mhz: Vec<u32>,
    /// By portfolio and area, each pair once.
    pub rows: Vec<MeterRow>,
}

/// Metered energy of a portfolio in an area.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterRow {
    /// Portfolio.
    pub portfolio: PortfolioId,
    /// Code of the area.
    pub area: TextId,
    /// Net injection per block of [`METER_MINUTES`], watt-hours; one for each block of the day.
    pub net_wh: Vec<i64>,
    /// Blocks (from 0) that contain an estimate, increasing.
    pub estimated: Vec<u16>,
}

/// A price that deviations are valued at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Basis {
    /// Reference rate: the area's day-ahead price of the block, else its real-time price.
    Reference,
    /// Normal rate: the greater of the volume-weighted day-ahead and real-time prices of all areas.
    Normal,
}

/// A rate of a band.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Of which price.
    pub basis: Basis,
    /// How much of it, millionths; 0 or above.
    pub millionths: u32,
}

/// A band of deviation. Bands are marginal: each values the slice of the deviation that lies in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Band {
    /// Up to this share of the base, millionths; the last band has no end (`u32::MAX`).
    pub until_millionths: u32,
    /// Paid for what is injected beyond the schedule (or drawn below it).
    pub over: Rate,
    /// Charged for what is injected below the schedule (or drawn beyond it).
    pub under: Rate,
}

/// Bands that hold while the system frequency lies below a bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BandTable {
    /// First frequency for which the table holds no more, millihertz; the last has no end
    /// (`u32::MAX`).
    pub below_mhz: u32,
    /// Bands, by `until_millionths`, strictly increasing.
    pub bands: Vec<Band>,
}

/// How one category of portfolios is charged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Category {
    /// Name, unique.
    pub name: TextId,
    /// Tables by `below_mhz`, strictly increasing.
    pub tables: Vec<BandTable>,
}

/// How deviations are charged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// By bands.
    Bands(Vec<Category>),
    /// Two prices: a deviation against the system's pays or earns the worse of the area's day-ahead
    /// and real-time price, one that helps the system the day-ahead price.
    TwoPrice,
}

/// A portfolio's place in a scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placing {
    /// Which portfolio.
    pub portfolio: PortfolioId,
    /// Index of its category.
    pub category: u16,
    /// Available capacity that deviations are measured against, watts; 0: against the schedule.
    pub capacity_watts: i64,
}

/// Deviation rules from a day on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviationRules {
    /// First local delivery day.
    pub effective_from: Day,
    /// How.
    pub scheme: Scheme,
    /// Portfolios that are not in the first category measured against their schedule; by portfolio.
    pub placings: Vec<Placing>,
}

/// A payment between a member and the clearing house's bank account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// The member.
    pub member: MemberId,
    /// Minor units: positive was received from the member, negative was paid to it.
    pub minor: i64,
    /// Day on which it counts.
    pub value_day: Day,
    /// The bank's reference.
    pub reference: TextId,
}

/// Funds to be blocked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Whose.
    pub member: MemberId,
    /// Minor units, above 0, at most the member's balance.
    pub minor: i64,
    /// What for.
    pub reason: String,
}

/// How a hold ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HoldEnd {
    /// The funds leave to the bank account: the margin was called.
    Posted,
    /// The funds are the member's again.
    Released,
}

/// Why a ledger entry exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A period of an auction.
    Period {
        /// Which auction.
        auction: AuctionId,
        /// Period index.
        period: u16,
    },
    /// Deviations of a day, first found by a run.
    Deviation {
        /// Local delivery day.
        day: Day,
        /// Number of the run.
        run: u32,
    },
    /// An earlier entry is taken back.
    Reversal {
        /// Number of that entry.
        of: u64,
        /// Delivery day of the run that takes it back.
        day: Day,
        /// Number of that run; 0 if it was no run.
        run: u32,
        /// Why.
        reason: String,
        /// From which day it counts.
        effective: Day,
    },
    /// A payment.
    Payment {
        /// The bank's reference.
        reference: TextId,
        /// Day on which it counts.
        value_day: Day,
    },
    /// Funds were blocked.
    Hold {
        /// Number of the hold.
        hold: u64,
    },
    /// A hold has ended.
    HoldEnded {
        /// Number of the hold.
        hold: u64,
        /// How.
        end: HoldEnd,
    },
}

/// What one member owes and is owed for a day, minor units; positive is paid to the member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemberNet {
    /// Energy bought and sold.
    pub energy_minor: i64,
    /// Exchange fees, 0 or below.
    pub fee_minor: i64,
    /// Taxes on fees, 0 or below.
    pub tax_minor: i64,
    /// Deviations.
    pub deviation_minor: i64,
}

impl MemberNet {
    /// Sum of the parts.
    #[must_use]
    pub const fn net_minor(&self) -> i64 {
        self.energy_minor + self.fee_minor + self.tax_minor + self.deviation_minor
    }
}

/// Sums over a run, minor units unless said otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunTotals {
    /// Published auctions.
    pub auctions: u32,
    /// Obligations.
    pub obligations: u64,
    /// Metered readings.
    pub readings: u64,
    /// Readings that were estimated.
    pub estimated: u64,
    /// What members with a negative net pay in, ≥ 0.
    pub pay_in_minor: i64,
    /// What members with a positive net are paid, ≥ 0.
    pub pay_out_minor: i64,
    /// Congestion revenue.
    pub congestion_minor: i64,
    /// Fees.
    pub fees_minor: i64,
    /// Taxes on fees.
    pub tax_minor: i64,
    /// The deviation pool.
    pub deviation_minor: i64,
    /// What rounding left.
    pub rounding_minor: i64,
}

/// A portfolio's deviation in an area and block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deviation {
    /// Owner.
    pub member: MemberId,
    /// Portfolio.
    pub portfolio: PortfolioId,
    /// Code of the area.
    pub area: TextId,
    /// Block of the day, from 1.
    pub block: u16,
    /// Scheduled net injection, watt-minutes.
    pub scheduled_watt_minutes: i64,
    /// Metered net injection, watt-hours.
    pub metered_wh: i64,
    /// Whether an estimate is in it.
    pub estimated: bool,
    /// Money: positive is paid to the member.
    pub minor: i64,
}

/// A run of a day's settlement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettlementRun {
    /// What was asked.
    pub request: RunRequest,
    /// Number of the run of its day, from 1.
    pub run: u32,
    /// Digest of everything that went in: results, metered energy, rules.
    pub inputs: u128,
    /// Sums.
    pub totals: RunTotals,
    /// What every member with anything owes, by member.
    pub members: Vec<(MemberId, MemberNet)>,
    /// What changed against the run before, for members with a change; everything in the first run.
    pub deltas: Vec<(MemberId, MemberNet)>,
    /// Every deviation, by portfolio, area, block.
    pub deviations: Arc<Vec<Deviation>>,
}

/// What happened beyond obligations and ledger entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettlementEvent {
    /// Deviation rules were set.
    DeviationSet(Arc<DeviationRules>),
    /// A meter batch was taken.
    Metered(Arc<MeterBatch>),
    /// A day was run.
    Run(Arc<SettlementRun>),
}

feed_struct! {
    RunRequest { day, status, reason, effective }
    MeterBatch { day, revision, content, readings, estimated, total_wh, frequency_mhz, rows }
    MeterRow { portfolio, area, net_wh, estimated }
    Rate { basis, millionths }
    Band { until_millionths, over, under }
    BandTable { below_mhz, bands }
    Category { name, tables }
    Placing { portfolio, category, capacity_watts }
    DeviationRules { effective_from, scheme, placings }
    Payment { member, minor, value_day, reference }
    Hold { member, minor, reason }
    MemberNet { energy_minor, fee_minor, tax_minor, deviation_minor }
    RunTotals {
        auctions, obligations, readings, estimated, pay_in_minor, pay_out_minor, congestion_minor,
        fees_minor, tax_minor, deviation_minor, rounding_minor,
    }
}
