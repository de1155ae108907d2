//! Every bound in the market, in one file, with the proof that they fit together.

/// Largest absolute value of a price, in price ticks.
pub const PRICE_TICKS_MAX: i64 = 1_000_000_000_000;
/// Largest quantity of one point, one block period or one line capacity, in lots.
pub const LOTS_MAX: i64 = 1_000_000_000_000;
/// Delivery periods in one auction.
pub const PERIODS_MAX: u16 = 1_000;
/// Bid areas in one auction.
pub const AREAS_MAX: u16 = 256;
/// Lines in one auction.
pub const LINES_MAX: u16 = 1_024;
/// Curve, block and complex points in one auction.
pub const POINTS_MAX: u32 = 4_000_000;
/// Blocks plus complex orders in one auction.
pub const BLOCKS_MAX: u32 = 100_000;
/// Ratios are counted in millionths.
pub const RATIO_UNIT: u32 = 1_000_000;
/// Grid units of welfare per price tick and lot.
pub const WELFARE_SCALE_MAX: i64 = 1_000_000;
/// Largest fixed term of a complex order, in grid units of welfare.
pub const FIXED_MAX: i128 = 1_000_000_000_000_000_000_000_000;

// The largest sums that clearing, verification or settlement can form. Proved once here, so that no
// caller has to wonder about overflow.
#[expect(clippy::as_conversions, reason = "From is not const; all of these widen")]
const _: () = {
    // Lots of all points of an auction, and of all lines, add up in an i64.
    assert!(LOTS_MAX < i64::MAX / (POINTS_MAX as i64) / 2);
    // Their value at any price, over all areas and periods, on the welfare grid, in an i128.
    let lots = LOTS_MAX as i128 * POINTS_MAX as i128;
    let value = lots * PRICE_TICKS_MAX as i128 * 2;
    assert!(value < i128::MAX / WELFARE_SCALE_MAX as i128 / 4);
    assert!(FIXED_MAX < i128::MAX / BLOCKS_MAX as i128 / 4);
    // A straight line between two points: quantity times price distance.
    assert!(LOTS_MAX as i128 * 4 * PRICE_TICKS_MAX as i128 * 2 < i128::MAX);
    // Σ A²/O and Σ flow² per area or line.
    assert!(lots < 1 << 63);
};
/// Days for which a request id answers a repeat with the first answer.
pub const REQUEST_ID_DAYS: i32 = 3;
/// Members.
pub const MEMBERS_MAX: u32 = 100_000;
/// Portfolios.
pub const PORTFOLIOS_MAX: u32 = 1_000_000;
/// Users.
pub const USERS_MAX: u32 = 1_000_000;
/// Units of work that rules may give the search for block and complex decisions.
pub const SEARCH_WORK_MAX: u32 = 100_000_000;
/// Longest free text (names), bytes.
pub const NAME_BYTES_MAX: usize = 256;
/// Local days after delivery for which a published auction, its schedules and the owners of its
/// orders stay known to the engine; the journal keeps them for ever.
pub const AUCTION_RETENTION_DAYS: i32 = 35;
/// Versions that a member may enter in one auction, per order that it may hold.
pub const VERSIONS_PER_ORDER_MAX: u32 = 16;
/// Curve handles that one auction's book gives out; each live or past version takes one per period.
pub const CURVE_HANDLES_MAX: u32 = 64_000_000;
/// Points that a published aggregate curve keeps per side.
pub const PUBLISHED_POINTS_MAX: usize = 128;
/// Largest fixed term of a complex order, minor units.
pub const FIXED_MINOR_MAX: i64 = 1_000_000_000_000_000;
/// Bounds of a timetable: minutes before delivery.
pub const OPEN_MINUTES_MAX: i32 = 2_880;
/// Days over which purchases are averaged at most.
pub const MARGIN_DAYS_MAX: u8 = 31;
/// Largest amount of one deposit and of a member's whole collateral, minor units.
pub const COLLATERAL_MAX: i64 = 100_000_000_000_000;
/// Refusals that one dry run lists.
pub const DRY_RUN_REFUSALS_MAX: usize = 1_000;
