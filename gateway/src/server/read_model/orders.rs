//! Where every order ever stands, in little memory: there are millions, and most are entered, end, and are never
//! looked at again.
//!
//! The numbers of a member's orders grow, so its entries lie one after the other, a thousand to a piece, and are
//! found by their numbers. An entry takes 48 bytes and its id; in a tree of structs with texts of their own it took
//! four times as much, and what an order costs here was mostly the system's zeroing of that memory.

use merit_engine::ids::{AuctionId, MemberId, OrderId};
use merit_proto::v1;
use std::collections::BTreeMap;

/// Entries in one piece.
const PIECE: usize = 1_024;

/// Where an order stands in its member's stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderEntry<'a> {
    /// Owner.
    pub member: MemberId,
    /// Auction.
    pub auction: AuctionId,
    /// Id of the command that entered it.
    pub client_order_id: &'a str,
    /// Number of the event that says how it stands now.
    pub latest: u64,
    /// Number of its first version.
    pub first: u64,
    /// Numbers of its later versions, oldest first.
    pub amended: &'a [u64],
    /// Where it is in its life, not counting the gate.
    pub state: v1::OrderState,
    /// Number of its result.
    pub result_seq: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    order: u64,
    first: u64,
    latest: u64,
    /// Number of its result; 0 if there is none, for events are counted from 1.
    result: u64,
    member: MemberId,
    auction: u32,
    /// Where its id begins in the piece; it ends where the next one's begins.
    name: u32,
    state: v1::OrderState,
}

/// Consecutive orders, and their ids.
#[derive(Debug, Default)]
struct Piece {
    places: Vec<Place>,
    names: String,
}

impl Piece {
    fn last(&self) -> u64 {
        self.places.last().map_or(0, |it| it.order)
    }

    fn at(&self, order: u64) -> Option<usize> {
        // They are mostly without a gap.
        let first = self.places.first()?.order;
        let near = usize::try_from(order.checked_sub(first)?).ok()?;
        if self.places.get(near).is_some_and(|it| it.order == order) {
            return Some(near);
        }
        self.places.binary_search_by_key(&order, |it| it.order).ok()
    }

    fn name(&self, index: usize) -> &str {
        let from = self.places.get(index).map_or(0, |it| it.name);
        let to = self.places.get(index + 1).map_or(self.names.len(), |it| length(it.name));
        self.names.get(length(from)..to).unwrap_or_default()
    }
}

fn length(bytes: u32) -> usize {
    usize::try_from(bytes).expect("a piece is in memory")
}

/// Every order ever.
#[derive(Debug, Default)]
pub struct Orders {
    /// By the half of the number that names the member, each list in the order of numbers.
    pieces: BTreeMap<u64, Vec<Piece>>,
    auctions: Vec<AuctionId>,
    auction_places: BTreeMap<AuctionId, u32>,
    amended: BTreeMap<OrderId, Vec<u64>>,
    length: usize,
}

impl Orders {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// An order.
    #[must_use]
    pub fn get(&self, order: OrderId) -> Option<OrderEntry<'_>> {
        let pieces = self.pieces.get(&(order.0 >> 32))?;
        let piece = pieces.get(piece_of(pieces, order.0))?;
        Some(self.entry(piece, piece.at(order.0)?))
    }

    /// All of them, by number.
    pub fn iter(&self) -> impl Iterator<Item = (OrderId, OrderEntry<'_>)> {
        self.pieces.values().flatten().flat_map(move |piece| {
            let entry =
                move |(index, place): (usize, &Place)| (OrderId(place.order), self.entry(piece, index));
            piece.places.iter().enumerate().map(entry)
        })
    }

    /// Adds an order, whose number is greater than those of all its member has.
    ///
    /// # Errors
    ///
    /// Nothing is added if it is not.
    pub fn add(&mut self, order: OrderId, entry: OrderEntry<'_>) -> Result<(), NotLast> {
        let last = self.pieces.get(&(order.0 >> 32)).and_then(|it| it.last());
        if last.is_some_and(|it| it.last() >= order.0) {
            return Err(NotLast);
        }
        let auction = self.auction_place(entry.auction);
        let pieces = self.pieces.entry(order.0 >> 32).or_default();
        if pieces.last().is_none_or(|it| it.places.len() >= PIECE) {
            pieces.push(Piece::default());
        }
        let Some(piece) = pieces.last_mut() else { return Err(NotLast) };
        piece.places.push(Place {
            order: order.0,
            first: entry.first,
            latest: entry.latest,
            result: entry.result_seq.unwrap_or(0),
            member: entry.member,
            auction,
            name: u32::try_from(piece.names.len()).expect("a thousand ids are short"),
            state: entry.state,
        });
        piece.names.push_str(entry.client_order_id);
        if piece.places.len() == PIECE {
            // It grows no more.
            piece.names.shrink_to_fit();
        }
        if !entry.amended.is_empty() {
            self.amended.insert(order, entry.amended.to_vec());
        }
        self.length += 1;
        Ok(())
    }

    /// An order got another version.
    pub fn amend(&mut self, order: OrderId, seq: u64) {
        if let Some(place) = self.place_mut(order) {
            place.latest = seq;
            self.amended.entry(order).or_default().push(seq);
        }
    }

    /// An order was taken back. Says which event told how it stood before; nothing for unknown ones.
    pub fn cancel(&mut self, order: OrderId, seq: u64) -> Option<u64> {
        let place = self.place_mut(order)?;
        place.state = v1::OrderState::Cancelled;
        Some(std::mem::replace(&mut place.latest, seq))
    }

    /// An order has its result.
    pub fn end(&mut self, order: OrderId, state: v1::OrderState, seq: u64) {
        if let Some(place) = self.place_mut(order) {
            (place.state, place.result) = (state, seq);
        }
    }

    fn place_mut(&mut self, order: OrderId) -> Option<&mut Place> {
        let pieces = self.pieces.get_mut(&(order.0 >> 32))?;
        let index = piece_of(pieces, order.0);
        let piece = pieces.get_mut(index)?;
        let at = piece.at(order.0)?;
        piece.places.get_mut(at)
    }

    fn entry<'a>(&'a self, piece: &'a Piece, index: usize) -> OrderEntry<'a> {
        let place = &piece.places[index];
        let amended = if self.amended.is_empty() { None } else { self.amended.get(&OrderId(place.order)) };
        OrderEntry {
            member: place.member,
            auction: self.auctions[length(place.auction)],
            client_order_id: piece.name(index),
            latest: place.latest,
            first: place.first,
            amended: amended.map_or(&[], Vec::as_slice),
            state: place.state,
            result_seq: (place.result != 0).then_some(place.result),
        }
    }

    fn auction_place(&mut self, auction: AuctionId) -> u32 {
        if let Some((last, it)) = self.auctions.iter().enumerate().next_back()
            && *it == auction
        {
            return u32::try_from(last).expect("auctions are few");
        }
        *self.auction_places.entry(auction).or_insert_with(|| {
            self.auctions.push(auction);
            u32::try_from(self.auctions.len() - 1).expect("auctions are few")
        })
    }
}

/// Which of a member's pieces has an order, if one does.
fn piece_of(pieces: &[Piece], order: u64) -> usize {
    // Mostly it is one of the last.
    match pieces.last() {
        Some(last) if last.places.first().is_some_and(|it| it.order <= order) => pieces.len() - 1,
        Some(_) | None => pieces.partition_point(|it| it.last() < order),
    }
}

/// An order's number is not the greatest of its member's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotLast;

#[cfg(test)]
mod tests {
    use super::super::dice::Dice;
    use super::{NotLast, OrderEntry, Orders, PIECE};
    use merit_engine::calendar::Day;
    use merit_engine::ids::{AuctionId, Market, MemberId, OrderId};
    use merit_proto::v1;
    use std::collections::BTreeMap;

    /// An order the long way.
    struct Known {
        auction: AuctionId,
        name: String,
        latest: u64,
        first: u64,
        amended: Vec<u64>,
        state: v1::OrderState,
        result: Option<u64>,
    }

    impl Known {
        fn entry(&self, order: OrderId) -> OrderEntry<'_> {
            OrderEntry {
                member: MemberId(u32::try_from((order.0 >> 32) - 1).unwrap()),
                auction: self.auction,
                client_order_id: &self.name,
                latest: self.latest,
                first: self.first,
                amended: &self.amended,
                state: self.state,
                result_seq: self.result,
            }
        }
    }

    #[test]
    fn orders_are_what_a_map_of_them_says() {
        let mut dice = Dice(7);
        let (mut orders, mut known) = (Orders::default(), BTreeMap::<OrderId, Known>::new());
        let mut heads = [0_u64; 3];
        for seq in 1..20_000_u64 {
            let member = usize::try_from(dice.roll(3)).unwrap();
            let any = (dice.roll(3) + 1) << 32 | dice.roll(heads[member] + 3);
            match dice.roll(10) {
                0 => {
                    orders.amend(OrderId(any), seq);
                    if let Some(it) = known.get_mut(&OrderId(any)) {
                        it.latest = seq;
                        it.amended.push(seq);
                    }
                }
                1 => {
                    let before = known.get_mut(&OrderId(any)).map(|it| {
                        it.state = v1::OrderState::Cancelled;
                        std::mem::replace(&mut it.latest, seq)
                    });
                    assert_eq!(orders.cancel(OrderId(any), seq), before);
                }
                2 => {
                    orders.end(OrderId(any), v1::OrderState::Executed, seq);
                    if let Some(it) = known.get_mut(&OrderId(any)) {
                        (it.state, it.result) = (v1::OrderState::Executed, Some(seq));
                    }
                }
                _ => {
                    // Now and then a number is left out.
                    heads[member] += 1 + u64::from(dice.roll(50) == 0);
                    let order = OrderId((u64::try_from(member).unwrap() + 1) << 32 | heads[member]);
                    let session = u16::try_from(dice.roll(4)).unwrap();
                    let it = Known {
                        auction: AuctionId { day: Day(1), market: Market::Rtm, session },
                        name: "x".repeat(usize::try_from(dice.roll(30)).unwrap()),
                        latest: seq,
                        first: seq,
                        amended: Vec::new(),
                        state: v1::OrderState::Live,
                        result: None,
                    };
                    orders.add(order, it.entry(order)).unwrap();
                    assert_eq!(orders.add(order, it.entry(order)), Err(NotLast));
                    known.insert(order, it);
                }
            }
            let any = OrderId(any);
            assert_eq!(orders.get(any), known.get(&any).map(|it| it.entry(any)), "order {any:?}");
        }
        assert!(known.len() > 6 * PIECE && orders.len() == known.len());
        assert!(orders.iter().eq(known.iter().map(|(order, it)| (*order, it.entry(*order)))));
    }
}
