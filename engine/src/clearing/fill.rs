//! What each curve order of an area and period trades, once the area's shares are known.

use super::linear;
use super::search::Decided;
use super::share::Sharing;
use crate::auction::{ComplexHandle, Shape, Side};
use crate::book::{AuctionBook, Cell, Ladders, Rung, key};
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
    /// A curve order, by its position in the cell.
    Curve(u32),
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

/// Appends the fills of a cell, by position.
pub(super) fn fill(
    ties: &mut Ties,
    (cell, ladders): (&Cell, &Ladders),
    sharing: &Sharing,
    area: usize,
    priced: Priced,
    fills: &mut Vec<Fill>,
    complex: Option<Complex<'_>>,
) {
    let (bought, sold) = sharing.accepted(area);
    let stand = sharing.stands[area];
    let buys = Share { lots: bought, offered: stand.bought_tied };
    let sells = Share { lots: sold, offered: stand.sold_tied };
    ties.buys.clear();
    ties.sells.clear();
    let start = fills.len();
    match ladders {
        Ladders::Narrow(rungs) => fill_steps(ties, cell, rungs, priced.price, (buys, sells), fills),
        Ladders::Wide(rungs) => fill_steps(ties, cell, rungs, priced.price, (buys, sells), fills),
    }
    let fills = &mut fills[start..];
    if cell.linear_len() > 0 {
        fill_linear(ties, cell, priced, (buys, sells), fills);
    }
    let Ties { buys: tied_buys, sells: tied_sells } = ties;
    let sides = [(buys, Side::Buy, tied_buys), (sells, Side::Sell, tied_sells)];
    share_out(cell, sides, priced.price, fills, complex);
}

/// Appends the fills of the step orders, what is only partly accepted of a tie apart; nothing yet for
/// the other orders.
fn fill_steps<R: Rung>(
    ties: &mut Ties,
    cell: &Cell,
    rungs: &[R],
    price: i64,
    (buys, sells): (Share, Share),
    fills: &mut Vec<Fill>,
) {
    let (buy_key, sell_key) = (R::limit(key(Side::Buy, price)), R::limit(key(Side::Sell, price)));
    fills.extend((0..).zip(cell.spans()).map(|(position, span)| {
        let Shape::Step(side) = span.shape() else { return Fill::default() };
        let steps = &rungs[span.range()];
        match side {
            Side::Buy => Fill { bought: take(steps, buy_key, buys, position, &mut ties.buys), sold: 0 },
            Side::Sell => Fill { bought: 0, sold: take(steps, sell_key, sells, position, &mut ties.sells) },
        }
    }));
}

/// Lots of the steps with a key below another, and of those at it if the tie is accepted whole. Notes
/// what the order has in a tie of which a part is accepted.
fn take<R: Rung>(steps: &[R], key: R::Key, share: Share, position: u32, tied: &mut Vec<Tied>) -> i64 {
    let (mut lots, mut most) = (0, 0);
    for step in steps {
        lots = step.add_lots(lots, step.key() < key);
        most = step.add_lots(most, step.key() <= key);
    }
    if most == lots {
        return lots;
    }
    if share.is_part() {
        tied.push(Tied { owner: Owner::Curve(position), offered: most - lots, remainder: 0 });
    }
    if share.is_whole() { most } else { lots }
}

/// Fills the linear orders, what is only partly accepted of a tie apart.
fn fill_linear(
    ties: &mut Ties,
    cell: &Cell,
    Priced { price, bounds }: Priced,
    (buys, sells): (Share, Share),
    fills: &mut [Fill],
) {
    let buys_from = if buys.is_whole() { price } else { price + 1 };
    let sells_to = if sells.is_whole() { price } else { price - 1 };
    for (position, (span, fill)) in (0..).zip(cell.spans().iter().zip(fills)) {
        if span.shape() != Shape::Linear || span.is_empty() {
            continue;
        }
        let points = &cell.points()[span.range()];
        let tied = |offered| Tied { owner: Owner::Curve(position), offered, remainder: 0 };
        fill.bought = linear::demand(points, buys_from, bounds.1);
        fill.sold = linear::supply(points, sells_to, bounds.0);
        if buys.is_part() {
            ties.buys.push(tied(linear::demand(points, price, bounds.1) - fill.bought));
        }
        if sells.is_part() {
            ties.sells.push(tied(linear::supply(points, price, bounds.0) - fill.sold));
        }
    }
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
            Owner::Curve(position) => cell.order(position).id,
            Owner::Part(_, handle) => {
                book.and_then(|it| it.complex_id(handle)).unwrap_or_default().as_bytes()
            }
        };
        prorate(id, tied, share, |owner, lots| match (owner, side) {
            (Owner::Curve(position), Side::Buy) => fills[slot(position)].bought += lots,
            (Owner::Curve(position), Side::Sell) => fills[slot(position)].sold += lots,
            (Owner::Part(part, _), _) => {
                if let Some(complex) = &mut complex {
                    complex.decided.accept(part, lots);
                }
            }
        });
    }
}

fn slot(position: u32) -> usize {
    usize::try_from(position).expect("a u32 fits an index on every platform we build for")
}

/// Shares a tie by what each order has in it; lots left over go by largest remainder, then by id.
fn prorate<'a>(
    id: impl Fn(&Tied) -> &'a [u8],
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
