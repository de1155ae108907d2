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
use crate::command::{Request, Role};
use crate::digest::{Feed, Hasher};
use crate::event::{Answer, Made};
use crate::ids::{MemberId, TextId};
use crate::limits::REQUEST_ID_DAYS;
use crate::reject::{Refusal, Reject};
use crate::snapshot::{Damaged, Keep, Reader, Writer, keep_enum, keep_struct, state_struct};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec;
use alloc::vec::Vec;

/// Whose ids they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    System,
    Role(Role),
    Member(MemberId),
}

keep_enum! { Scope { 0 = System, 1 = Role(role), 2 = Member(member) } }

impl Feed for Scope {
    fn feed(&self, hasher: &mut Hasher) {
        match self {
            Self::System => hasher.word(0),
            Self::Role(role) => (1_u64, *role).feed(hasher),
            Self::Member(member) => (2_u64, *member).feed(hasher),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Remembered {
    content: u128,
    result: Result<Made, Refusal>,
    seq: u64,
    time_us: i64,
}

keep_struct! { Remembered { content, result, seq, time_us } }

impl Feed for Remembered {
    fn feed(&self, hasher: &mut Hasher) {
        let Self { content, result, seq, time_us } = self;
        content.feed(hasher);
        result.ok().feed(hasher);
        result.err().feed(hasher);
        (*seq, *time_us).feed(hasher);
    }
}

#[derive(Debug)]
struct DayLog {
    day: i64,
    requests: Table,
}

state_struct! { DayLog { day, requests } }

/// Parts of a table: each grows by itself, so that no request waits for a large one to be laid out anew.
const PARTS: usize = 16;
/// Places that are tried for an id. Whoever chooses ids so that they fall together gains nothing: the rest
/// is kept in a tree.
const PROBES: usize = 16;

/// Requests of a day by the digests of their ids. Looked up in two steps of memory where a tree of as many
/// takes ten. What is iterated is sorted first: where an entry lies says nothing.
#[derive(Debug, Default)]
struct Table {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, Default)]
struct Part {
    entries: Vec<(u128, Remembered)>,
    /// Places, a power of two of them: 0, or the number of an entry from 1.
    slots: Vec<u32>,
    crowded: BTreeMap<u128, u32>,
}

impl Table {
    /// Digests are uniform: their lowest bits choose the part, the next ones the place.
    fn part_of(key: u128) -> usize {
        usize::try_from(key % 16).expect("below the number of parts")
    }

    fn get(&self, key: u128) -> Option<&Remembered> {
        self.parts.get(Self::part_of(key))?.get(key)
    }

    /// An id is remembered once.
    fn insert(&mut self, key: u128, value: Remembered) {
        if self.parts.is_empty() {
            self.parts.resize(PARTS, Part::default());
        }
        self.parts[Self::part_of(key)].insert(key, value);
    }
}

impl Part {
    fn places(&self, key: u128) -> impl Iterator<Item = usize> + use<> {
        let mask = self.slots.len() - 1;
        let first = usize::try_from((key >> 4) & 0xffff_ffff).expect("32 bits fit");
        (0..PROBES).map(move |step| (first + step) & mask)
    }

    fn get(&self, key: u128) -> Option<&Remembered> {
        if self.slots.is_empty() {
            return None;
        }
        for place in self.places(key) {
            match self.slots[place] {
                0 => return None,
                entry if self.entry(entry).0 == key => return Some(&self.entry(entry).1),
                _ => {}
            }
        }
        self.crowded.get(&key).map(|it| &self.entry(*it).1)
    }

    fn entry(&self, entry: u32) -> &(u128, Remembered) {
        &self.entries[usize::try_from(entry).expect("32 bits fit") - 1]
    }

    fn insert(&mut self, key: u128, value: Remembered) {
        self.entries.push((key, value));
        if self.entries.len() * 2 > self.slots.len() {
            self.lay_out();
        } else {
            self.put(key, u32::try_from(self.entries.len()).expect("bounded by requests of a day"));
        }
    }

    fn put(&mut self, key: u128, entry: u32) {
        match self.places(key).find(|it| self.slots[*it] == 0) {
            Some(place) => self.slots[place] = entry,
            None => drop(self.crowded.insert(key, entry)),
        }
    }

    /// Finds every entry a place among twice as many.
    fn lay_out(&mut self) {
        self.slots = vec![0; (self.entries.len() * 4).next_power_of_two()];
        self.crowded.clear();
        for index in 0..self.entries.len() {
            let entry = u32::try_from(index + 1).expect("bounded by requests of a day");
            self.put(self.entries[index].0, entry);
        }
    }
}

keep_struct! { Table { parts } }

// In the order of arrival; the places are found again.
impl Keep for Part {
    fn put(&self, out: &mut Writer<'_>) {
        self.entries.put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        let mut part = Self { entries: Keep::take(from)?, ..Self::default() };
        if !part.entries.is_empty() {
            part.lay_out();
        }
        Ok(part)
    }
}

impl Feed for Table {
    fn feed(&self, hasher: &mut Hasher) {
        let mut sorted: Vec<&(u128, Remembered)> = self.parts.iter().flat_map(|it| &it.entries).collect();
        sorted.sort_unstable_by_key(|it| it.0);
        sorted.len().feed(hasher);
        for (key, value) in sorted {
            key.feed(hasher);
            value.feed(hasher);
        }
    }
}

/// The memory of requests.
#[derive(Debug, Default)]
pub(super) struct RequestLog {
    scopes: BTreeMap<Scope, VecDeque<DayLog>>,
}

state_struct! { RequestLog { scopes } }

/// What a request id means now.
pub(super) enum Known {
    /// Never seen, or forgotten.
    Fresh,
    /// Seen with the same content: the first answer again.
    Repeat(Answer),
    /// Seen with another content.
    Reused,
}

/// Identity of a request's content: who asks for what.
pub(super) fn content(request: &Request) -> u128 {
    let mut hasher = Hasher::new();
    request.actor.feed(&mut hasher);
    request.action.feed(&mut hasher);
    hasher.finish()
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

fn oldest_kept(time_us: i64) -> i64 {
    utc_day(time_us) - i64::from(REQUEST_ID_DAYS)
}

impl RequestLog {
    /// Looks an id up; changes nothing.
    pub(super) fn look_up(&self, scope: Scope, id: &TextId, content: u128, time_us: i64) -> Known {
        let Some(days) = self.scopes.get(&scope) else { return Known::Fresh };
        let key = id.digest();
        let kept = days.iter().filter(|it| it.day >= oldest_kept(time_us));
        match kept.filter_map(|it| it.requests.get(key)).next() {
            None => Known::Fresh,
            Some(first) if first.content == content => {
                Known::Repeat(answer(first.result, first.seq, first.time_us, true))
            }
            Some(_) => Known::Reused,
        }
    }

    /// Forgets the days that are past keeping.
    pub(super) fn expire(&mut self, time_us: i64) {
        self.scopes.retain(|_, days| {
            while days.front().is_some_and(|it| it.day < oldest_kept(time_us)) {
                days.pop_front();
            }
            !days.is_empty()
        });
    }

    /// Remembers the first result of an id, unless a retry with the same content could end otherwise.
    pub(super) fn remember(
        &mut self,
        scope: Scope,
        id: &TextId,
        content: u128,
        result: Result<Made, Refusal>,
        at: (u64, i64),
    ) {
        let (seq, time_us) = at;
        let reused = |it: &Refusal| it.reject == Reject::RequestIdReused || it.reject.retryable();
        if result.as_ref().is_err_and(reused) {
            return;
        }
        let days = self.scopes.entry(scope).or_default();
        let day = utc_day(time_us);
        if days.back().is_none_or(|it| it.day != day) {
            days.push_back(DayLog { day, requests: Table::default() });
        }
        let log = days.back_mut().expect("pushed above");
        log.requests.insert(id.digest(), Remembered { content, result, seq, time_us });
    }
}

#[cfg(test)]
mod tests {
    use super::{Known, Remembered, RequestLog, Scope, Table};
    use crate::calendar::MINUTE_US;
    use crate::digest::{Feed, Hasher};
    use crate::event::Made;
    use crate::ids::{MemberId, TextId};
    use alloc::collections::BTreeMap;

    const DAY_US: i64 = 1_440 * MINUTE_US;
    const SCOPE: Scope = Scope::Member(MemberId(1));

    #[test]
    fn an_id_is_known_for_three_whole_days_and_free_after_the_fourth() {
        let id = TextId::new("a").unwrap();
        let mut log = RequestLog::default();
        log.remember(SCOPE, &id, 7, Ok(Made::Done), (1, 10 * DAY_US + 5));
        let repeat = |time_us| matches!(log.look_up(SCOPE, &id, 7, time_us), Known::Repeat(_));
        assert!(repeat(10 * DAY_US + 5));
        assert!(repeat(14 * DAY_US - 1));
        assert!(!repeat(14 * DAY_US));
        assert!(matches!(log.look_up(SCOPE, &id, 8, 11 * DAY_US), Known::Reused));
        assert!(matches!(log.look_up(Scope::Member(MemberId(2)), &id, 7, 11 * DAY_US), Known::Fresh));
    }

    /// Ids that a member has chosen so that all fall on the same place.
    #[test]
    fn a_table_finds_what_was_put_and_nothing_else_however_ids_fall() {
        let remembered = |seq| Remembered { content: 1, result: Ok(Made::Done), seq, time_us: 0 };
        let keys: [fn(u64) -> u128; 3] = [
            |it| u128::from(it) << 64,
            |it| u128::from(it) << 4,
            |it| u128::from(it.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        ];
        for key_of in keys {
            let mut table = Table::default();
            for number in 1..3_000 {
                assert!(table.get(key_of(number)).is_none(), "{number}");
                table.insert(key_of(number), remembered(number));
            }
            for number in 1..3_000 {
                assert_eq!(table.get(key_of(number)).unwrap().seq, number);
            }
        }
    }

    #[test]
    fn a_table_feeds_what_a_tree_would() {
        let (mut table, mut tree) = (Table::default(), BTreeMap::new());
        for number in 1..500_u64 {
            let id = TextId::new(&alloc::format!("o-{number}")).unwrap();
            let remembered = Remembered { content: 1, result: Ok(Made::Done), seq: number, time_us: 0 };
            table.insert(id.digest(), remembered);
            tree.insert(id.digest(), remembered);
        }
        let digest = |it: &dyn Feed| {
            let mut hasher = Hasher::new();
            it.feed(&mut hasher);
            hasher.finish()
        };
        assert_eq!(digest(&table), digest(&tree));
    }

    #[test]
    fn days_that_are_past_give_their_memory_back() {
        let mut log = RequestLog::default();
        for day in 0..100 {
            log.expire(day * DAY_US);
            let id = TextId::new("a").unwrap();
            log.remember(SCOPE, &id, 7, Ok(Made::Done), (1, day * DAY_US));
        }
        assert_eq!(log.scopes.get(&SCOPE).unwrap().len(), 4);
    }
}
