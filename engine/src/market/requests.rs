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
use crate::digest::{Feed, Hasher, feed_struct};
use crate::event::{Answer, Made};
use crate::ids::{MemberId, TextId};
use crate::limits::REQUEST_ID_DAYS;
use crate::reject::{Refusal, Reject};
use alloc::collections::{BTreeMap, VecDeque};

/// Whose ids they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    System,
    Role(Role),
    Member(MemberId),
}

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
    requests: BTreeMap<u128, Remembered>,
}

feed_struct! { DayLog { day, requests } }

/// The memory of requests.
#[derive(Debug, Default)]
pub(super) struct RequestLog {
    scopes: BTreeMap<Scope, VecDeque<DayLog>>,
}

feed_struct! { RequestLog { scopes } }

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
        match kept.filter_map(|it| it.requests.get(&key)).next() {
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
            days.push_back(DayLog { day, requests: BTreeMap::new() });
        }
        let log = days.back_mut().expect("pushed above");
        log.requests.insert(id.digest(), Remembered { content, result, seq, time_us });
    }
}

#[cfg(test)]
mod tests {
    use super::{Known, RequestLog, Scope};
    use crate::calendar::MINUTE_US;
    use crate::event::Made;
    use crate::ids::{MemberId, TextId};

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
