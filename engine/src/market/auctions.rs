//! Every auction that is known, by day, market and session.
//!
//! Each order asks for its auction twice, and with the days that are kept there are thousands: what a look-up reads is
//! their ranks, close together.

use super::session::Auction;
use crate::digest::{Feed, Words};
use crate::ids::AuctionId;
use crate::snapshot::{Damaged, Keep, Reader, Writer, put_map};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::RangeInclusive;

/// The auctions. They come with the days, so nearly always at the end, and go from the beginning.
#[derive(Debug, Default)]
pub(super) struct Auctions {
    /// One for each of the list, ascending.
    ranks: Vec<i64>,
    list: Vec<Auction>,
    /// Where the last one that was asked for to be changed is, or was. Neither fed nor kept: whoever reads it looks whether
    /// it is the one that is asked for.
    last: usize,
}

impl Auctions {
    #[inline]
    fn find(&self, id: AuctionId) -> Result<usize, usize> {
        let rank = id.rank();
        // Orders come in runs for the same auction. Then a processor need not wait until it is found: it goes on with what it
        // foresees.
        if self.ranks.get(self.last) == Some(&rank) {
            return Ok(self.last);
        }
        self.ranks.binary_search(&rank)
    }

    #[inline]
    pub(super) fn get(&self, id: &AuctionId) -> Option<&Auction> {
        self.list.get(self.find(*id).ok()?)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, id: &AuctionId) -> Option<&mut Auction> {
        self.last = self.find(*id).ok()?;
        self.list.get_mut(self.last)
    }

    pub(super) fn contains_key(&self, id: &AuctionId) -> bool {
        self.find(*id).is_ok()
    }

    /// Adds an auction, in place of what is known under its id.
    pub(super) fn insert(&mut self, auction: Auction) {
        let id = auction.info.auction;
        match self.find(id) {
            Ok(at) => self.list[at] = auction,
            Err(at) => {
                self.ranks.insert(at, id.rank());
                self.list.insert(at, auction);
            }
        }
    }

    /// Forgets what is not to stay.
    pub(super) fn retain(&mut self, stays: impl Fn(&AuctionId, &Auction) -> bool) {
        self.list.retain(|it| stays(&it.info.auction, it));
        self.ranks.clear();
        self.ranks.extend(self.list.iter().map(|it| it.info.auction.rank()));
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Auction> {
        self.list.iter()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&AuctionId, &Auction)> {
        self.list.iter().map(|it| (&it.info.auction, it))
    }

    /// Those from one id to another.
    pub(super) fn range(
        &self,
        ids: RangeInclusive<AuctionId>,
    ) -> impl Iterator<Item = (&AuctionId, &Auction)> {
        let before = self.ranks.partition_point(|it| *it < ids.start().rank());
        let end = ids.end().rank();
        self.iter().skip(before).take_while(move |(id, _)| id.rank() <= end)
    }
}

// As a map by id is fed.
impl Feed for Auctions {
    fn feed<W: Words>(&self, hasher: &mut W) {
        let Self { ranks: _, list, last: _ } = self;
        list.len().feed(hasher);
        for (id, auction) in self.iter() {
            id.feed(hasher);
            auction.feed(hasher);
        }
    }
}

// As a map by id is kept.
impl Keep for Auctions {
    fn put(&self, out: &mut Writer<'_>) {
        let Self { ranks: _, list, last: _ } = self;
        put_map(list.len(), self.iter(), out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        let map: BTreeMap<AuctionId, Auction> = Keep::take(from)?;
        if map.iter().any(|(id, it)| *id != it.info.auction) {
            return Err(Damaged("an auction is kept under another's id"));
        }
        Ok(Self {
            ranks: map.keys().map(|it| it.rank()).collect(),
            list: map.into_values().collect(),
            last: 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Auctions;
    use crate::calendar::Day;
    use crate::digest::Feed;
    use crate::event::AuctionInfo;
    use crate::ids::{AuctionId, Market};
    use crate::market::session::Auction;
    use crate::{presets, snapshot};
    use alloc::collections::BTreeMap;
    use alloc::sync::Arc;
    use alloc::vec::Vec;

    fn id(day: i32, market: Market, session: u16) -> AuctionId {
        AuctionId { day: Day(day), market, session }
    }

    fn kept(value: &impl snapshot::Keep) -> Vec<u8> {
        let mut bytes = Vec::new();
        snapshot::put(value, &mut |piece: &[u8]| bytes.extend_from_slice(piece));
        bytes
    }

    fn taken(bytes: &[u8]) -> Result<Auctions, snapshot::Damaged> {
        let mut pieces = core::iter::once(bytes);
        let mut source = |into: &mut Vec<u8>| pieces.next().map(|it| into.extend_from_slice(it)).is_some();
        snapshot::take(u64::try_from(bytes.len()).unwrap(), &mut source)
    }

    /// Whatever comes, goes, or was asked for before: found, in order, fed and kept as in a map.
    #[test]
    fn auctions_are_what_a_map_of_them_is() {
        let [dam, _] = presets::indian(Day(0));
        let rules = Arc::new(dam);
        let auction = |auction| {
            Auction::new(AuctionInfo {
                auction,
                rules: Arc::clone(&rules),
                delivery_start_us: 0,
                periods: 1,
                first_block: 1,
                blocks_in_day: 96,
                open_us: 0,
                gate_us: 0,
                corridor_us: 0,
                capacities_us: 0,
                publish_us: 0,
                acknowledge_us: None,
            })
        };
        let days = [3, 1, 4, 2].into_iter();
        let ids: Vec<AuctionId> = days
            .flat_map(|day| [id(day, Market::Rtm, 2), id(day, Market::Dam, 1), id(day, Market::Rtm, 1)])
            .collect();
        let (mut auctions, mut map) = (Auctions::default(), BTreeMap::new());
        for (n, new) in ids.iter().enumerate() {
            auctions.insert(auction(*new));
            map.insert(*new, auction(*new));
            if n == 7 {
                auctions.retain(|it, _| it.day != Day(1));
                map.retain(|it, _| it.day != Day(1));
            }
            for asked in &ids {
                assert_eq!(auctions.get(asked).map(|it| it.info.auction), map.get(asked).map(|_| *asked));
                assert_eq!(auctions.get_mut(asked).is_some(), map.contains_key(asked));
                assert_eq!(auctions.contains_key(asked), map.contains_key(asked));
            }
            assert!(auctions.iter().map(|(it, _)| it).eq(map.keys()));
            let beside = id(2, Market::Dam, 0)..=id(3, Market::Dam, 9);
            assert!(
                auctions.range(beside.clone()).map(|(it, _)| *it).eq(map.range(beside).map(|(it, _)| *it))
            );
            let bytes = kept(&auctions);
            assert!(bytes == kept(&map));
            assert_eq!(auctions.digest(), map.digest());
            let taken = taken(&bytes).unwrap();
            assert!(taken.iter().map(|(it, _)| it).eq(map.keys()) && kept(&taken) == bytes);
        }
        // One that comes again takes the place of the first.
        let known = auctions.values().count();
        auctions.insert(auction(ids[0]));
        assert_eq!(auctions.values().count(), known);
        // Under the id of another it is not believed.
        let wrong = BTreeMap::from([(ids[0], auction(ids[2]))]);
        assert!(taken(&kept(&wrong)).is_err());
    }
}
