//! What was answered before: a repeated request id gets the first answer.
//!
//! Ids are remembered per member, or per role for users without a member, so nobody can use up or
//! probe another's ids. An entry holds digests of id and content, not the texts. Content is the
//! action *and* the actor: two users of one member cannot answer for each other.
//!
//! Refusals are remembered as well, so that a repeat after a lost answer is told the same; the
//! exceptions are refusals that a retry can cure ([`Reject::retryable`]): those leave the id free.
//!
//! Ids are kept by UTC day. A day is forgotten when more than [`REQUEST_ID_DAYS`] whole days have
//! passed since it ended, so an id lives at least that long and memory is bounded by the requests of
//! so many days.

use crate::calendar::MINUTE_US;
use crate::command::{Action, NewOrder, Request, Role};
use crate::digest::{Feed, Quick, Words, quick};
use crate::event::{Answer, Made};
use crate::ids::{MemberId, OrderId, TextId};
use crate::limits::REQUEST_ID_DAYS;
use crate::reject::{Refusal, Reject};
use crate::rows::Rows;
use crate::snapshot::{Damaged, Keep, Reader, Writer, keep_struct, state_struct};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec;
use alloc::vec::Vec;
use core::num::NonZeroU32;

/// Whose ids they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    System,
    Role(Role),
    Member(MemberId),
}

impl Scope {
    /// A number of its own.
    fn number(self) -> u32 {
        match self {
            Self::System => 0,
            Self::Role(Role::Trader) => 1,
            Self::Role(Role::Auditor) => 2,
            Self::Role(Role::Dispatch) => 3,
            Self::Role(Role::Settlement) => 4,
            Self::Role(Role::Operator) => 5,
            Self::Member(member) => member.0.checked_add(6).expect("limits::MEMBERS_MAX fits"),
        }
    }
}

/// What a request is known by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity {
    scope: u32,
    /// Digest of its id.
    key: u128,
    /// Digest of its content: who asks for what.
    content: u128,
    /// Digest of what the order wants that it enters or changes, which is part of the content's.
    body: u128,
}

impl Identity {
    pub(super) fn of(scope: Scope, request: &Request) -> Self {
        let Request { actor, request_id, action } = request;
        // First what is looked up: to find its place is one step after the other, and goes on beside the rest.
        let key = quick(request_id);
        let mut hasher = Quick::new();
        actor.feed(&mut hasher);
        let mut digest = 0;
        if let Action::Submit(NewOrder { auction, portfolio, area, body }) = action {
            digest = quick(body);
            (5_u64, *auction, *portfolio).feed(&mut hasher);
            (*area, digest).feed(&mut hasher);
        } else if let Action::Amend { order, version, body } = action {
            digest = quick(body);
            (6_u64, *order, *version).feed(&mut hasher);
            digest.feed(&mut hasher);
        } else {
            action.feed(&mut hasher);
        }
        let body = digest;
        Self { scope: scope.number(), key, content: hasher.finish(), body }
    }

    /// Digest of the id.
    pub(super) const fn key(&self) -> u128 {
        self.key
    }

    /// Digest of what the order wants that the request enters or changes.
    pub(super) const fn body(&self) -> u128 {
        self.body
    }
}

/// A request that was answered, in one line of a processor's cache.
#[derive(Clone, Copy, Debug)]
struct Remembered {
    key: u128,
    content: u128,
    seq: u64,
    time_us: i64,
    /// Of an order that was entered or changed its id; else the place of the result among the others.
    made: u64,
    scope: u32,
    /// Of an order that was entered or changed its version, from 1; else 0.
    version: u32,
}

keep_struct! { Remembered { key, content, seq, time_us, made, scope, version } }

/// The requests of a UTC day in the order of arrival, with a table to find them. Looked up in two steps of
/// memory where a tree of as many takes ten.
///
/// Whoever chooses ids so that their digests fall together gains nothing: the table tries [`PROBES`] buckets
/// and keeps the rest in a tree, and an entry is its scope's alone whatever its digest. So the digest needs no
/// secret, and every node has the same table.
#[derive(Debug, Default)]
struct DayLog {
    day: i64,
    entries: Rows<Remembered>,
    /// Results that made or changed no order.
    others: Vec<Result<Made, Refusal>>,
    /// Sum of the digests of all entries and their results.
    sum: u128,
    table: Table,
}

/// Parts of the table of a day: each grows by itself, so that no request waits for a large one to be laid
/// out anew.
const PARTS: usize = 1_024;
/// Buckets that are tried for an id.
const PROBES: usize = 4;
/// Places in a bucket.
const PLACES: usize = 8;
/// Places in a bucket that are taken when a part grows, of eight.
const FULL_AT: usize = 5;
/// Buckets that a part gets together.
const GROUP: usize = 4;
/// Times that a part grows at most; what finds no place then is crowded.
const GROWN_MAX: usize = 14;

/// Look-ups that are made ready together.
const TOUCHED_MAX: usize = 64;

/// Where the entries of a day are by digest.
#[derive(Debug, Default)]
struct Table {
    parts: Parts,
    /// Of all parts, in the order in which they grew: a part that grows gets more of them and keeps its own, so
    /// that no memory is given back or touched for nothing.
    groups: Rows<[Bucket; GROUP]>,
    /// What found no place, by part.
    crowded: BTreeMap<usize, Crowded>,
}

/// Entries by what they are known by.
type Crowded = BTreeMap<(u128, u32), u32>;

/// A bucket with a free place: one more than its number among the buckets of all groups. One word, that is returned and
/// handed on in a register: what is written in parts and moved as a whole waits for the parts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Free(NonZeroU32);

impl Free {
    fn at((group, place): (usize, usize)) -> Option<Self> {
        NonZeroU32::new(number_of(group * GROUP + place) + 1).map(Self)
    }

    /// Its group, and the place there.
    fn place(self) -> (usize, usize) {
        let bucket = at(self.0.get() - 1);
        (bucket / GROUP, bucket % GROUP)
    }
}

/// What is known of each part, by part; nothing before the first entry. What every look-up reads lies together, in a
/// near cache: how often the part has grown, and of the begins, the last ones, where most of its groups are.
#[derive(Debug, Default)]
struct Parts {
    grown: Vec<u8>,
    used: Vec<u32>,
    /// Where the groups begin that parts got when they grew: first one, then always as many as they have. By growth,
    /// then by part.
    begins: Vec<u32>,
}

/// A line of a processor's cache: whether an id is new, as nearly all are, takes one answer of memory, and to
/// remember it then no other. Filled from the front; an entry is in a later bucket only if all before it on its
/// way are full.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
struct Bucket {
    /// What of a digest says where it belongs. Nobody follows a place to an entry that is another's.
    marks: [u32; PLACES],
    /// The number of its entry from 1, or 0. Apart from the marks: all of a kind are compared at once.
    numbers: [u32; PLACES],
}

const _: () = assert!(size_of::<Bucket>() == 64);

fn number_of(at: usize) -> u32 {
    u32::try_from(at).expect("bounded by requests of a day")
}

fn at(number: u32) -> usize {
    usize::try_from(number).expect("32 bits fit")
}

/// Digests are uniform: their lowest bits choose the part, the next ones the bucket.
fn part_of(key: u128) -> usize {
    usize::try_from(key % 1_024).expect("below the number of parts")
}

fn mark_of(key: u128) -> u32 {
    u32::try_from((key >> 10) & u128::from(u32::MAX)).expect("masked")
}

impl Bucket {
    /// The numbers of the entries with a mark.
    fn marked(&self, mark: u32) -> impl Iterator<Item = u32> {
        let of_mark = move |(it, number): (&u32, &u32)| (*it == mark && *number > 0).then_some(*number);
        self.marks.iter().zip(&self.numbers).filter_map(of_mark)
    }

    /// Whether a place may have the mark. Without a branch for each.
    fn may_have(&self, mark: u32) -> bool {
        self.marks.iter().fold(false, |may, it| may | (*it == mark))
    }

    fn is_full(&self) -> bool {
        self.numbers[PLACES - 1] > 0
    }

    /// How many places are taken.
    fn len(&self) -> usize {
        at(self.numbers.iter().map(|it| u32::from(*it > 0)).sum())
    }

    /// Puts an entry into the first free place, if there is one.
    #[inline]
    fn push(&mut self, mark: u32, number: u32) -> bool {
        let free = self.len();
        if free == PLACES {
            return false;
        }
        self.put(free, mark, number);
        true
    }

    /// Puts an entry into a place.
    #[inline]
    fn put(&mut self, place: usize, mark: u32, number: u32) {
        (self.marks[place], self.numbers[place]) = (mark, number);
    }
}

impl Parts {
    /// The part of a digest, if it has buckets.
    #[inline]
    fn of(&self, key: u128) -> Option<usize> {
        let part = part_of(key);
        self.grown.get(part).filter(|it| **it > 0).map(|_| part)
    }

    /// How many groups are a part's own: none, or a power of two.
    fn groups(&self, part: usize) -> u32 {
        (1 << self.grown[part]) >> 1
    }

    /// Entries that it has room for.
    fn room(&self, part: usize) -> usize {
        at(self.groups(part)) * GROUP * FULL_AT
    }

    /// The number of one of its groups.
    #[inline]
    fn group(&self, part: usize, nth: u32) -> usize {
        let growth = u32::BITS - nth.leading_zeros();
        at(self.begins[at(growth) * PARTS + part] + nth - ((1 << growth) >> 1))
    }

    /// The group and the place there of the buckets to be tried for a mark.
    #[inline]
    fn places(&self, part: usize, mark: u32) -> impl Iterator<Item = (usize, usize)> {
        let groups = at(self.groups(part));
        places(groups, mark).map(move |(nth, place)| (self.group(part, number_of(nth)), place))
    }

    /// Makes room to know of every part.
    #[cold]
    fn begin(&mut self) {
        self.grown.resize(PARTS, 0);
        self.used.resize(PARTS, 0);
        self.begins.resize(GROWN_MAX * PARTS, 0);
    }
}

/// Which of so many groups, and the place there, of the buckets to be tried for a mark.
fn places(groups: usize, mark: u32) -> impl Iterator<Item = (usize, usize)> {
    let (mask, first) = (groups * GROUP - 1, at(mark));
    (0..PROBES).map(move |step| (first + step) & mask).map(|it| (it / GROUP, it % GROUP))
}

impl Table {
    /// The entry, or where it would be put if there is room on its way.
    fn find<'a>(
        &self,
        scope: u32,
        key: u128,
        entries: &'a Rows<Remembered>,
    ) -> Result<&'a Remembered, Option<Free>> {
        let part = self.parts.of(key).ok_or(None)?;
        let mark = mark_of(key);
        for (group, place) in self.parts.places(part, mark) {
            let bucket = &self.groups[group][place];
            if bucket.may_have(mark) {
                for number in bucket.marked(mark) {
                    let entry = &entries[at(number) - 1];
                    if entry.key == key && entry.scope == scope {
                        return Ok(entry);
                    }
                }
            }
            if !bucket.is_full() {
                return Err(Free::at((group, place)));
            }
        }
        let number = self.crowded.get(&part_of(key)).and_then(|it| it.get(&(key, scope)));
        number.map(|number| &entries[at(*number) - 1]).ok_or(None)
    }

    /// Reads the lines that look-ups read first; the sum means nothing.
    fn touch(&self, keys: &[u128]) -> u32 {
        // First where they are, then nothing but reading: the less stands between two reads, the more are under way.
        let mut places = [(0, 0); TOUCHED_MAX];
        let mut known = 0;
        let found = keys.iter().filter_map(|it| self.parts.places(self.parts.of(*it)?, mark_of(*it)).next());
        for (place, found) in places.iter_mut().zip(found) {
            *place = found;
            known += 1;
        }
        let line = |(group, place): &(usize, usize)| self.groups[*group][*place].numbers[0];
        places[..known].iter().map(line).fold(0, u32::wrapping_add)
    }

    /// Adds the last entry; `free` is where a look-up has ended since which nothing was added.
    fn insert(&mut self, entries: &Rows<Remembered>, free: Option<Free>) {
        let number = number_of(entries.len());
        let Remembered { key, scope, .. } = entries[entries.len() - 1];
        if self.parts.grown.is_empty() {
            self.parts.begin();
        }
        let part = part_of(key);
        self.parts.used[part] += 1;
        let used = at(self.parts.used[part]);
        if used > self.parts.room(part) && usize::from(self.parts.grown[part]) < GROWN_MAX {
            self.grow(part, used, entries);
        } else if let Some((group, place)) = free.map(Free::place)
            && self.groups[group][place].push(mark_of(key), number)
        {
            return;
        }
        self.put((key, scope), number);
    }

    fn put(&mut self, (key, scope): (u128, u32), number: u32) {
        if !self.take_place(part_of(key), mark_of(key), number) {
            self.crowd((key, scope), number);
        }
    }

    #[cold]
    fn crowd(&mut self, (key, scope): (u128, u32), number: u32) {
        self.crowded.entry(part_of(key)).or_default().insert((key, scope), number);
    }

    fn take_place(&mut self, part: usize, mark: u32, number: u32) -> bool {
        for (group, place) in self.parts.places(part, mark) {
            if self.groups[group][place].push(mark, number) {
                return true;
            }
        }
        false
    }

    /// Makes room in a part for so many entries and some more, and finds everything a place again.
    #[cold]
    fn grow(&mut self, part: usize, entries_max: usize, entries: &Rows<Remembered>) {
        let parts = &mut self.parts;
        let old = parts.groups(part);
        while parts.room(part) < entries_max && usize::from(parts.grown[part]) < GROWN_MAX {
            parts.begins[usize::from(parts.grown[part]) * PARTS + part] = number_of(self.groups.len());
            for _ in 0..parts.groups(part).max(1) {
                self.groups.push([Bucket::default(); GROUP]);
            }
            parts.grown[part] += 1;
        }
        // Laid out in one piece: groups lie apart, and to find each would take longer than to fill it.
        let mut laid = vec![[Bucket::default(); GROUP]; at(self.parts.groups(part))];
        // Places taken in each: neighbours go to the same bucket, and to count in it what was just put there waits for that.
        let mut taken = vec![[0_u8; GROUP]; laid.len()];
        let mut over = Vec::new();
        for bucket in (0..old).flat_map(|it| &self.groups[self.parts.group(part, it)]) {
            for (mark, number) in bucket.marks.iter().zip(bucket.numbers).take_while(|it| it.1 > 0) {
                let mut places = places(laid.len(), *mark);
                let free = |(group, place): &(usize, usize)| usize::from(taken[*group][*place]) < PLACES;
                let Some((group, place)) = places.find(free) else {
                    over.push(number);
                    continue;
                };
                laid[group][place].put(usize::from(taken[group][place]), *mark, number);
                taken[group][place] += 1;
            }
        }
        for number in over {
            // A mark is enough, but for the few that find no place.
            let Remembered { key, scope, .. } = entries[at(number) - 1];
            self.crowd((key, scope), number);
        }
        for (nth, group) in (0..).zip(laid) {
            let at = self.parts.group(part, nth);
            self.groups[at] = group;
        }
        for (whose, number) in self.crowded.remove(&part).unwrap_or_default() {
            self.put(whose, number);
        }
    }

    /// Finds every entry its place, part by part: a part fits a near cache, all together do not.
    fn laid_out(entries: &Rows<Remembered>) -> Self {
        let mut table = Self::default();
        if entries.is_empty() {
            return table;
        }
        let mut counts = vec![0_usize; PARTS];
        for entry in entries {
            counts[part_of(entry.key)] += 1;
        }
        table.parts.begin();
        for (part, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            table.parts.used[part] = number_of(*count);
            table.grow(part, *count, entries);
        }
        for (number, entry) in (1..).zip(entries) {
            table.put((entry.key, entry.scope), number);
        }
        table
    }
}

impl DayLog {
    fn get(&self, scope: u32, key: u128) -> Result<&Remembered, Option<Free>> {
        self.table.find(scope, key, &self.entries)
    }

    fn result(&self, entry: &Remembered) -> Result<Made, Refusal> {
        match entry.version {
            0 => self.others[usize::try_from(entry.made).expect("it was an index when it came in")],
            version => Ok(Made::Order { order: OrderId(entry.made), version }),
        }
    }

    #[inline(always)]
    fn digest_of(&self, entry: &Remembered) -> u128 {
        let Remembered { key, content, seq, time_us, made, scope, version } = *entry;
        let mut hasher = Quick::new();
        (key, content).feed(&mut hasher);
        (seq, time_us).feed(&mut hasher);
        (made, scope, version).feed(&mut hasher);
        if version == 0 {
            let result = self.result(entry);
            result.ok().feed(&mut hasher);
            result.err().feed(&mut hasher);
        }
        hasher.finish()
    }

    /// The place of a result among those that made or changed no order.
    fn other(&mut self, result: Result<Made, Refusal>) -> u64 {
        self.others.push(result);
        u64::try_from(self.others.len() - 1).expect("lengths fit")
    }

    /// An id is remembered once in a scope. The result is as [`Remembered`] has it.
    fn insert(
        &mut self,
        identity: &Identity,
        (made, version): (u64, u32),
        (seq, time_us): (u64, i64),
        free: Option<Free>,
    ) {
        let Identity { scope, key, content, body: _ } = *identity;
        let entry = Remembered { key, content, seq, time_us, made, scope, version };
        self.entries.push(entry);
        self.sum = self.sum.wrapping_add(self.digest_of(&entry));
        self.table.insert(&self.entries, free);
    }

    fn recount(&self) -> u128 {
        self.entries.iter().fold(0, |sum: u128, it| sum.wrapping_add(self.digest_of(it)))
    }
}

// The table is found again.
impl Keep for DayLog {
    fn put(&self, out: &mut Writer<'_>) {
        let Self { day, entries, others, sum, table: _ } = self;
        day.put(out);
        entries.put(out);
        others.put(out);
        sum.put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        let (day, entries) = (Keep::take(from)?, Rows::<Remembered>::take(from)?);
        let others: Vec<Result<Made, Refusal>> = Keep::take(from)?;
        let known =
            |it: &Remembered| it.version > 0 || usize::try_from(it.made).is_ok_and(|at| at < others.len());
        if !entries.iter().all(known) {
            return Err(Damaged("a result is none of the day's"));
        }
        let table = Table::laid_out(&entries);
        Ok(Self { day, entries, others, sum: Keep::take(from)?, table })
    }
}

impl Feed for DayLog {
    fn feed<W: Words>(&self, hasher: &mut W) {
        let Self { day, entries, others: _, sum, table: _ } = self;
        (*day, entries.len()).feed(hasher);
        let sum = if hasher.recounts() { self.recount() } else { *sum };
        sum.feed(hasher);
    }
}

/// The memory of requests.
#[derive(Debug, Default)]
pub(super) struct RequestLog {
    /// Oldest first.
    days: VecDeque<DayLog>,
}

state_struct! { RequestLog { days } }

/// What a request id means now.
pub(super) enum Known {
    /// Never seen, or forgotten. With where the newest day would have it, if there is room where the look-up ended there.
    Fresh(Option<Free>),
    /// Seen with the same content: the first answer again.
    Repeat(Answer),
    /// Seen with another content.
    Reused,
}

/// The answer that a result makes.
pub(super) fn answer(result: Result<Made, Refusal>, seq: u64, time_us: i64, replayed: bool) -> Answer {
    match result {
        Ok(made) => Answer::Accepted { made, seq, time_us, replayed },
        Err(refusal) => Answer::Refused { refusal, seq, time_us, replayed },
    }
}

pub(super) fn utc_day(time_us: i64) -> i64 {
    time_us.div_euclid(1_440 * MINUTE_US)
}

/// The oldest day that is remembered on a day.
fn oldest_kept(day: i64) -> i64 {
    day - i64::from(REQUEST_ID_DAYS)
}

impl RequestLog {
    /// Reads what the look-ups of some ids read first in every day.
    pub(super) fn touch<'a>(&self, ids: impl Iterator<Item = &'a TextId>) {
        let mut keys = [0; TOUCHED_MAX];
        let mut known = 0;
        for (key, id) in keys.iter_mut().zip(ids) {
            *key = quick(id);
            known += 1;
        }
        for day in &self.days {
            core::hint::black_box(day.table.touch(&keys[..known]));
        }
    }

    /// Looks a request up on a UTC day; changes nothing.
    pub(super) fn look_up(&self, identity: &Identity, day: i64) -> Known {
        let oldest = oldest_kept(day);
        let mut last = None;
        for day in self.days.iter().filter(|it| it.day >= oldest) {
            match day.get(identity.scope, identity.key) {
                Ok(first) if first.content != identity.content => return Known::Reused,
                Ok(first) => {
                    return Known::Repeat(answer(day.result(first), first.seq, first.time_us, true));
                }
                Err(free) => last = free,
            }
        }
        Known::Fresh(last)
    }

    /// Forgets the days that are past keeping on a day.
    pub(super) fn expire(&mut self, day: i64) {
        while self.days.front().is_some_and(|it| it.day < oldest_kept(day)) {
            self.days.pop_front();
        }
    }

    /// Remembers the first result of an id that made or changed no order ([`Self::remember_order`] is for those), unless a
    /// retry with the same content could end otherwise. It came on `day`, and `at` is its number and time; `free` is what
    /// the look-up has said, since which nothing was remembered.
    pub(super) fn remember(
        &mut self,
        identity: &Identity,
        result: Result<Made, Refusal>,
        (day, at): (i64, (u64, i64)),
        free: Option<Free>,
    ) {
        let reused = |it: &Refusal| it.reject == Reject::RequestIdReused || it.reject.retryable();
        if result.as_ref().is_err_and(reused) {
            return;
        }
        debug_assert!(!matches!(result, Ok(Made::Order { .. })), "orders are remembered in their parts");
        let (log, free) = self.log_of(day, free);
        let made = log.other(result);
        log.insert(identity, (made, 0), at, free);
    }

    /// As [`Self::remember`], of an order that was entered or changed, and its version, from 1.
    pub(super) fn remember_order(
        &mut self,
        identity: &Identity,
        (order, version): (OrderId, u32),
        (day, at): (i64, (u64, i64)),
        free: Option<Free>,
    ) {
        let (log, free) = self.log_of(day, free);
        log.insert(identity, (order.0, version), at, free);
    }

    /// What is remembered of a day, which is begun if need be, and what a look-up has said if it has said it of that.
    fn log_of(&mut self, day: i64, free: Option<Free>) -> (&mut DayLog, Option<Free>) {
        let begins = self.days.back().is_none_or(|it| it.day != day);
        if begins {
            self.days.push_back(DayLog { day, ..DayLog::default() });
        }
        // What was said of the day before is no place in this one.
        (self.days.back_mut().expect("pushed above"), free.filter(|_| !begins))
    }
}

#[cfg(test)]
mod tests {
    use super::{DayLog, Identity, Known, RequestLog, Scope, utc_day};
    use crate::calendar::MINUTE_US;
    use crate::digest::quick;
    use crate::event::Made;
    use crate::ids::{MemberId, OrderId, TextId};
    use crate::snapshot;
    use alloc::vec::Vec;

    const DAY_US: i64 = 1_440 * MINUTE_US;

    fn identity(member: u32, key: u128, content: u128) -> Identity {
        Identity { scope: Scope::Member(MemberId(member)).number(), key, content, body: 0 }
    }

    #[test]
    fn an_id_is_known_for_three_whole_days_and_free_after_the_fourth() {
        let key = quick(&TextId::new("a").unwrap());
        let mut log = RequestLog::default();
        log.remember(&identity(1, key, 7), Ok(Made::Done), (10, (1, 10 * DAY_US + 5)), None);
        let repeat =
            |time_us| matches!(log.look_up(&identity(1, key, 7), utc_day(time_us)), Known::Repeat(_));
        assert!(repeat(10 * DAY_US + 5));
        assert!(repeat(14 * DAY_US - 1));
        assert!(!repeat(14 * DAY_US));
        assert!(matches!(log.look_up(&identity(1, key, 8), 11), Known::Reused));
        assert!(matches!(log.look_up(&identity(2, key, 7), 11), Known::Fresh(_)));
    }

    /// Ids that members have chosen so that all fall on the same place, two members the same ones.
    #[test]
    fn a_day_finds_what_was_put_and_nothing_else_however_ids_fall() {
        let keys: [fn(u64) -> u128; 4] = [
            |it| u128::from(it) << 64,
            |it| u128::from(it) << 10,
            |it| u128::from(it.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            |it| u128::from(it),
        ];
        for key_of in keys {
            let mut day = DayLog::default();
            let made = |number| Made::Order { order: OrderId(number), version: 1 };
            for number in 1..3_000 {
                for member in [3, 4] {
                    let it = identity(member, key_of(number), 1);
                    // Every other one without what the look-up says: it comes to the same.
                    let free = day.get(it.scope, it.key).expect_err("it is new").filter(|_| number % 2 == 0);
                    let result = if number % 3 == 0 { (day.other(Ok(Made::Done)), 0) } else { (number, 1) };
                    day.insert(&it, result, (number * 10 + u64::from(member), 0), free);
                }
            }
            let mut bytes = Vec::new();
            snapshot::put(&day, &mut |piece| bytes.extend_from_slice(piece));
            let mut left = Some(bytes.clone());
            let mut source = |into: &mut Vec<u8>| left.take().map(|it| into.extend(it)).is_some();
            let again: DayLog = snapshot::take(u64::try_from(bytes.len()).unwrap(), &mut source).unwrap();
            assert_eq!((day.sum, again.sum), (day.recount(), again.recount()));
            for day in [&day, &again] {
                for number in 1..3_000 {
                    for member in [3, 4] {
                        let it = identity(member, key_of(number), 1);
                        let found = day.get(it.scope, it.key).unwrap();
                        assert_eq!(found.seq, number * 10 + u64::from(member));
                        let result = if number % 3 == 0 { Made::Done } else { made(number) };
                        assert_eq!(day.result(found), Ok(result));
                    }
                }
                assert!(day.get(identity(5, 0, 0).scope, key_of(7)).is_err());
            }
        }
    }

    #[test]
    fn days_that_are_past_give_their_memory_back() {
        let mut log = RequestLog::default();
        for day in 0..100 {
            log.expire(day);
            log.remember(&identity(1, 5, 7), Ok(Made::Done), (day, (1, day * DAY_US)), None);
        }
        assert_eq!(log.days.len(), 4);
    }
}
