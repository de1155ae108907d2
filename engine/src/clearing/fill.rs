//! What each curve order of an area and period trades, once the area's shares are known.

use super::linear;
use super::search::Decided;
use super::share::Sharing;
use crate::auction::{ComplexHandle, CurveHandle, Point, Shape, Side};
use crate::book::{AuctionBook, Cell};
use crate::outcome::Fill;
use alloc::vec::Vec;

/// The accepted part of one side of a tie.
#[derive(Clone, Copy, Debug)]
struct Share {
    lots: i64,
    offered: i64,
}

impl Share {
    fn is_whole(self) -> bool {
        self.lots == self.offered
    }

    fn is_part(self) -> bool {
        0 < self.lots && self.lots < self.offered
    }
}

/// Whose a part of a tie is.
#[derive(Clone, Copy, Debug)]
enum Owner {
    /// A curve order and its position in the cell.
    Curve(CurveHandle, u32),
    /// A part of a complex order, with the order.
    Part(usize, ComplexHandle),
}

/// An order in a tie of which only a part is accepted.
#[derive(Clone, Copy, Debug)]
struct Tied {
    owner: Owner,
    offered: i64,
    remainder: i64,
}

/// Scratch of filling a cell.
#[derive(Clone, Debug, Default)]
pub(super) struct Ties {
    buys: Vec<Tied>,
    sells: Vec<Tied>,
}

/// The clearing price of a cell and the least and greatest price of the auction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Priced {
    pub(super) price: i64,
    pub(super) bounds: (i64, i64),
}

/// Writes the fills of a cell: `fills` is indexed by handle.
pub(super) fn fill(
    ties: &mut Ties,
    cell: &Cell,
    sharing: &Sharing,
    area: usize,
    Priced { price, bounds }: Priced,
    fills: &mut [Fill],
    complex: Option<Complex<'_>>,
) {
    let (bought, sold) = sharing.accepted(area);
    let stand = sharing.stands[area];
    let buys = Share { lots: bought, offered: stand.bought_tied };
    let sells = Share { lots: sold, offered: stand.sold_tied };
    // A tie that is accepted whole or not at all is a shift of the limit by a tick.
    let buys_from = if buys.is_whole() { price } else { price + 1 };
    let sells_to = if sells.is_whole() { price } else { price - 1 };
    let Ties { buys: tied_buys, sells: tied_sells } = ties;
    tied_buys.clear();
    tied_sells.clear();
    for (order, points) in cell.walk() {
        let Some(fill) = fills.get_mut(slot(order.handle)) else { continue };
        let tied =
            |offered: i64| Tied { owner: Owner::Curve(order.handle, order.position), offered, remainder: 0 };
        match order.shape {
            Shape::Step(Side::Buy) => {
                fill.bought = lots_from(points, buys_from);
                if buys.is_part() {
                    tied_buys.push(tied(lots_from(points, price) - fill.bought));
                }
            }
            Shape::Step(Side::Sell) => {
                fill.sold = lots_to(points, sells_to);
                if sells.is_part() {
                    tied_sells.push(tied(lots_to(points, price) - fill.sold));
                }
            }
            Shape::Linear => {
                fill.bought = linear::demand(points, buys_from, bounds.1);
                fill.sold = linear::supply(points, sells_to, bounds.0);
                if buys.is_part() {
                    tied_buys.push(tied(linear::demand(points, price, bounds.1) - fill.bought));
                }
                if sells.is_part() {
                    tied_sells.push(tied(linear::supply(points, price, bounds.0) - fill.sold));
                }
            }
        }
    }
    share_out(cell, [(buys, Side::Buy, tied_buys), (sells, Side::Sell, tied_sells)], price, fills, complex);
}

/// The active complex orders of an area and period.
pub(super) struct Complex<'a> {
    pub(super) book: &'a AuctionBook,
    /// Index `period × areas + area`.
    pub(super) cell: usize,
    pub(super) decided: &'a mut Decided,
}

/// Gives every order its part of what is tied, active complex orders theirs of everything.
fn share_out(
    cell: &Cell,
    sides: [(Share, Side, &mut Vec<Tied>); 2],
    price: i64,
    fills: &mut [Fill],
    mut complex: Option<Complex<'_>>,
) {
    if let Some(complex) = &mut complex {
        complex.decided.accept_better(complex.cell, price);
    }
    for (share, side, tied) in sides {
        if let Some(Complex { cell, decided, .. }) = &mut complex {
            for (part, handle, offered) in decided.tied(*cell, price, side.sign()) {
                if share.is_part() {
                    tied.push(Tied { owner: Owner::Part(part, handle), offered, remainder: 0 });
                } else if share.is_whole() {
                    decided.accept(part, offered);
                }
            }
        }
        let book = complex.as_ref().map(|it| it.book);
        let id = |it: &Tied| match it.owner {
            Owner::Curve(_, position) => cell.order(position).id,
            Owner::Part(_, handle) => book.and_then(|it| it.complex_id(handle)).unwrap_or_default(),
        };
        prorate(id, tied, share, |owner, lots| match (owner, side) {
            (Owner::Curve(handle, _), Side::Buy) => fills[slot(handle)].bought += lots,
            (Owner::Curve(handle, _), Side::Sell) => fills[slot(handle)].sold += lots,
            (Owner::Part(part, _), _) => {
                if let Some(complex) = &mut complex {
                    complex.decided.accept(part, lots);
                }
            }
        });
    }
}

fn slot(handle: CurveHandle) -> usize {
    usize::try_from(handle.0).expect("a u32 fits an index on every platform we build for")
}

/// Lots of the points that are not `outside`: 0 inside, −1 outside.
///
/// A mask instead of a branch, because prices lie on either side of the clearing price at random. All
/// prices and lots of an auction fit an i64 (limits.rs), so checked sums would prove nothing here.
fn lots(points: &[Point], outside: impl Fn(i64) -> i64) -> i64 {
    points.iter().fold(0, |sum: i64, point| sum.wrapping_add(!outside(point.price) & point.quantity))
}

fn lots_from(points: &[Point], price: i64) -> i64 {
    lots(points, |at| at.wrapping_sub(price) >> 63)
}

fn lots_to(points: &[Point], price: i64) -> i64 {
    lots(points, |at| price.wrapping_sub(at) >> 63)
}

/// Shares a tie by what each order has in it; lots left over go by largest remainder, then by id.
fn prorate<'a>(
    id: impl Fn(&Tied) -> &'a str,
    tied: &mut Vec<Tied>,
    share: Share,
    mut accept: impl FnMut(Owner, i64),
) {
    tied.retain(|it| it.offered > 0);
    let mut left = share.lots;
    for it in tied.iter_mut() {
        let (whole, remainder) = portion(share, it.offered);
        it.remainder = remainder;
        left -= whole;
        accept(it.owner, whole);
    }
    tied.sort_unstable_by(|a, b| b.remainder.cmp(&a.remainder).then_with(|| id(a).cmp(id(b))));
    for it in tied.iter() {
        if left == 0 {
            break;
        }
        accept(it.owner, 1);
        left -= 1;
    }
    assert!(left == 0 || tied.is_empty(), "fewer lots are left over than orders share them");
}

/// ⌊lots × part / offered⌋ and its remainder.
fn portion(share: Share, part: i64) -> (i64, i64) {
    if let Some(product) = share.lots.checked_mul(part) {
        return (product / share.offered, product % share.offered);
    }
    let (product, offered) = (i128::from(share.lots) * i128::from(part), i128::from(share.offered));
    let narrow = |value: i128| i64::try_from(value).expect("no larger than the lots offered");
    (narrow(product / offered), narrow(product % offered))
}
