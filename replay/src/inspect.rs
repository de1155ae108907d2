//! What may be said about a journal without opening what is sealed.
//!
//! An order in the journal is sealed until its auction is published, from the operator too. So a
//! listing shows that something happened, when, and how large it was; it never opens the payload of
//! a request. Only what concerns nobody's order (epochs, quanta) has a detail.

use crate::core::Apply;
use crate::error::JournalError;
use crate::frame::{Record, Stamp};
use crate::machine::{Machine, Silent};
use crate::record::{self, Kind};
use crate::recovery::{self, Found, Progress, Visitor};
use crate::snapshot;
use crate::storage::Storage;
use merit_engine::calendar::{Day, MINUTE_US};
use merit_engine::command::Body;
use merit_engine::market::Engine;
use std::fmt;

/// Looks at a journal before damage in it is believed.
const LOOKS: usize = 3;

/// One record as everybody with access to the directory may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place.
    pub stamp: Stamp,
    /// What kind of command; the bare number if this release does not know it.
    pub kind: Result<Kind, u16>,
    /// Bytes of its payload.
    pub payload_bytes: usize,
    /// Byte offset in its segment.
    pub offset: u64,
    /// What there is to say beyond the kind: the node of an epoch, the auction of a quantum.
    pub detail: Option<String>,
}

impl Entry {
    fn of(record: &Record<'_>) -> Self {
        let kind = Kind::of_code(record.kind).ok_or(record.kind);
        let open = matches!(kind, Ok(Kind::EpochStarted | Kind::ClearQuantum | Kind::StandbyChanged));
        let body = if open { record::decode(record.kind, record.payload).ok() } else { None };
        let detail = match body {
            Some(Body::EpochStarted { node }) => Some(node),
            Some(Body::ClearQuantum { auction, .. }) => Some(auction.to_string()),
            Some(Body::StandbyChanged { alone }) => Some(if alone { "alone" } else { "together" }.to_owned()),
            Some(Body::Tick | Body::Request(_)) | None => None,
        };
        let payload_bytes = record.payload.len();
        Self { stamp: record.stamp, kind, payload_bytes, offset: record.offset, detail }
    }

    /// The kind in words.
    #[must_use]
    pub fn kind_text(&self) -> String {
        match self.kind {
            Ok(kind) => kind.to_string(),
            Err(code) => format!("unknown-{code}"),
        }
    }
}

/// Looks again if a first look finds damage: while a node appends, pages of a file are read at
/// different moments, and a batch may seem to lie after a hole. What is damaged stays damaged.
fn patiently<T>(mut look: impl FnMut() -> Result<T, JournalError>) -> Result<T, JournalError> {
    for _ in 1..LOOKS {
        match look() {
            Err(JournalError::Damaged(_)) => {}
            other => return other,
        }
    }
    look()
}

/// Checks every frame, chain and join of a journal, and that every payload can be understood. The
/// journal may be in use. Where its beginning is not here, all of it is checked that follows the oldest
/// snapshot after which nothing is missing; [`Found::begins_after`] says so.
///
/// # Errors
///
/// As [`recovery::scan`], and [`JournalError::Undecodable`].
pub fn verify(storage: &dyn Storage, progress: &mut dyn FnMut(Progress)) -> Result<Found, JournalError> {
    let mut understand = |record: &Record<'_>| {
        let seq = record.stamp.seq;
        let understood = record::decode(record.kind, record.payload);
        understood.map(drop).map_err(|reason| JournalError::Undecodable { seq, reason })
    };
    snapshot::from_where_it_begins(storage, |base| {
        patiently(|| {
            recovery::scan_after(storage, None, base, &mut Each { record: &mut understand, progress })
        })
    })
}

/// Hands on an entry for each record of history, in order.
///
/// # Errors
///
/// As [`recovery::scan`]; the entries before the damage have been handed on then.
pub fn list(storage: &dyn Storage, entry: &mut dyn FnMut(Entry)) -> Result<Found, JournalError> {
    let mut show = |record: &Record<'_>| {
        entry(Entry::of(record));
        Ok(())
    };
    recovery::scan(storage, None, &mut Each { record: &mut show, progress: &mut |_| {} })
}

/// Replays a journal from empty, to its end or up to a record, and returns the engine. The rest of
/// the journal is checked all the same.
///
/// # Errors
///
/// As [`recovery::scan`], and [`JournalError::Undecodable`].
pub fn engine_at(
    storage: &dyn Storage,
    seq_last: Option<u64>,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Engine, Found), JournalError> {
    patiently(|| {
        let mut engine = Engine::new();
        let mut silent = Silent;
        let mut apply = Apply::new(&mut engine, &mut silent);
        let mut until = |record: &Record<'_>| {
            if seq_last.is_none_or(|it| record.stamp.seq <= it) { apply.record(record) } else { Ok(()) }
        };
        let found = recovery::scan(storage, None, &mut Each { record: &mut until, progress })?;
        Ok((engine, found))
    })
}

/// The digest of an engine's state, as people compare it.
#[must_use]
pub fn digest_text(engine: &Engine) -> String {
    format!("{:032x}", Machine::digest(engine))
}

type OnRecord<'a> = &'a mut dyn FnMut(&Record<'_>) -> Result<(), JournalError>;

struct Each<'a> {
    record: OnRecord<'a>,
    progress: &'a mut dyn FnMut(Progress),
}

impl Visitor for Each<'_> {
    fn record(&mut self, record: &Record<'_>) -> Result<(), JournalError> {
        (self.record)(record)
    }

    fn progress(&mut self, progress: Progress) {
        (self.progress)(progress);
    }
}

/// A journaled time in UTC, to the microsecond: `2026-11-22T13:05:00.000000Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Utc(pub i64);

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == i64::MIN {
            // Before the first record there is no time.
            return f.write_str("never");
        }
        let day_us = MINUTE_US * 24 * 60;
        let day = Day(i32::try_from(self.0.div_euclid(day_us)).expect("an i64 of µs has few days"));
        let rest = self.0.rem_euclid(day_us);
        let (minutes, us) = (rest / MINUTE_US, rest % MINUTE_US);
        let (hour, minute) = (minutes / 60, minutes % 60);
        let (second, us) = (us / 1_000_000, us % 1_000_000);
        write!(f, "{day}T{hour:02}:{minute:02}:{second:02}.{us:06}Z")
    }
}

#[cfg(test)]
mod tests {
    use super::Utc;

    #[test]
    fn journaled_time_reads_as_utc() {
        assert_eq!(Utc(1_795_352_700_000_001).to_string(), "2026-11-22T13:05:00.000001Z");
        assert_eq!(Utc(-1).to_string(), "1969-12-31T23:59:59.999999Z");
        assert_eq!(Utc(i64::MIN).to_string(), "never");
    }
}
