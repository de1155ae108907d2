//! What the exchange signs for the dispatch centre, as text, and whether a signature is right.
//!
//! Protobuf has no one way to write a message, so what is signed is a text of its own: the contract
//! (`Signature` in `dispatch.proto`) says how its lines look. Two messages have the same text only if they
//! say the same. The public key comes from the exchange by another way than the message, as a line of 64
//! hexadecimal digits; `merit certs` writes one as `signing.pub`.
//!
//! ```no_run
//! use merit_client::{Client, signed::ExchangeKeys, v1};
//!
//! # async fn pull(client: &Client) -> Result<(), Box<dyn std::error::Error>> {
//! let keys = ExchangeKeys::read(&std::fs::read_to_string("signing.pub")?)?;
//! let auction_id = Some("DAM-2026-11-24".to_owned());
//! let request = v1::GetSchedulesRequest { auction_id, ..Default::default() };
//! for schedule in client.get_schedules(request).await?.schedules {
//!     keys.check_schedule(&schedule)?;
//! }
//! # Ok(())
//! # }
//! ```

use crate::v1;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write as _;

/// The one algorithm.
pub const ALGORITHM: &str = "ed25519";

/// Why a message is not taken for the exchange's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureError {
    /// A public key is not 64 hexadecimal digits.
    NotAKey,
    /// The message carries no signature.
    Missing,
    /// It is signed in a way that is not known here.
    Algorithm,
    /// It is signed with a key that is not known here.
    UnknownKey,
    /// Message and signature do not belong together: one of them was changed.
    Wrong,
    /// The message has no text: a field is missing, or holds what it cannot hold.
    Unwritable(&'static str),
}

impl fmt::Display for SignatureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAKey => f.write_str("a public key is a line of 64 hexadecimal digits"),
            Self::Missing => f.write_str("there is no signature"),
            Self::Algorithm => f.write_str("the signature is of an unknown algorithm"),
            Self::UnknownKey => f.write_str("it is signed with a key that is not known here"),
            Self::Wrong => f.write_str("the signature is not that of the exchange over this content"),
            Self::Unwritable(field) => write!(f, "{field} is missing or cannot be signed"),
        }
    }
}

impl std::error::Error for SignatureError {}

/// Names a public key in signatures.
#[must_use]
pub fn key_id(public: &[u8; 32]) -> [u8; 32] {
    let mut id = [0; 32];
    id.copy_from_slice(digest(&SHA256, public).as_ref());
    id
}

fn from_hex(line: &str) -> Option<[u8; 32]> {
    let digits: Option<Vec<u8>> =
        line.chars().map(|it| it.to_digit(16).and_then(|it| u8::try_from(it).ok())).collect();
    let bytes: Vec<u8> = digits?.chunks(2).filter_map(|it| Some(it.first()? * 16 + it.get(1)?)).collect();
    if line.len() == 64 { bytes.try_into().ok() } else { None }
}

/// Public keys that the receiver takes for the exchange's: one of each node, or the old and the new.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExchangeKeys {
    keys: BTreeMap<[u8; 32], [u8; 32]>,
}

impl ExchangeKeys {
    /// Reads keys, one a line.
    ///
    /// # Errors
    ///
    /// A line that is no key, or no key at all.
    pub fn read(text: &str) -> Result<Self, SignatureError> {
        let lines = text.lines().map(str::trim).filter(|it| !it.is_empty());
        let keys = lines.map(|it| from_hex(it).map(|key| (key_id(&key), key)));
        let keys: BTreeMap<_, _> = keys.collect::<Option<_>>().ok_or(SignatureError::NotAKey)?;
        if keys.is_empty() { Err(SignatureError::NotAKey) } else { Ok(Self { keys }) }
    }

    /// Whether one of the keys made this signature over a text.
    ///
    /// # Errors
    ///
    /// If not.
    pub fn check_text(&self, text: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        let made = |key: &[u8; 32]| UnparsedPublicKey::new(&ED25519, key).verify(text, signature).is_ok();
        if self.keys.values().any(made) { Ok(()) } else { Err(SignatureError::Wrong) }
    }

    fn check(&self, text: &str, signature: Option<&v1::Signature>) -> Result<(), SignatureError> {
        let signature = signature.ok_or(SignatureError::Missing)?;
        if signature.algorithm != ALGORITHM {
            return Err(SignatureError::Algorithm);
        }
        let key = self.keys.get(signature.key_id.as_slice()).ok_or(SignatureError::UnknownKey)?;
        UnparsedPublicKey::new(&ED25519, key)
            .verify(text.as_bytes(), &signature.signature)
            .map_err(|_| SignatureError::Wrong)
    }

    /// Whether the exchange signed this schedule.
    ///
    /// # Errors
    ///
    /// If not.
    pub fn check_schedule(&self, it: &v1::Schedule) -> Result<(), SignatureError> {
        self.check(&schedule_text(it)?, it.signature.as_ref())
    }

    /// Whether the exchange signed these changes.
    ///
    /// # Errors
    ///
    /// If not.
    pub fn check_changes(&self, it: &v1::ScheduleChanges) -> Result<(), SignatureError> {
        self.check(&changes_text(it)?, it.signature.as_ref())
    }

    /// Whether the exchange signed this corridor request.
    ///
    /// # Errors
    ///
    /// If not.
    pub fn check_corridor(&self, it: &v1::CorridorRequest) -> Result<(), SignatureError> {
        self.check(&corridor_text(it)?, it.signature.as_ref())
    }
}

/// Writes lines of fields; a field that could be read in two ways is refused.
#[derive(Default)]
struct Lines {
    text: String,
    fault: Option<&'static str>,
}

impl Lines {
    fn word(&mut self, field: &'static str, word: &str) -> &mut Self {
        if word.is_empty() || !word.bytes().all(|it| it.is_ascii_graphic()) {
            self.fault.get_or_insert(field);
        }
        self.text.push_str(word);
        self.text.push(' ');
        self
    }

    fn number(&mut self, number: impl fmt::Display) -> &mut Self {
        // Writing to a String cannot fail.
        let _ = write!(self.text, "{number} ");
        self
    }

    fn status(&mut self, status: i32) -> &mut Self {
        match v1::PublicationStatus::try_from(status) {
            Ok(it) => self.word("status", it.as_str_name().trim_start_matches("PUBLICATION_STATUS_")),
            Err(_) => self.word("status", ""),
        }
    }

    fn instant(&mut self, field: &'static str, instant: Option<&prost_types::Timestamp>) -> &mut Self {
        match instant {
            Some(it) if it.nanos == 0 => self.number(it.seconds),
            Some(_) | None => self.word(field, ""),
        }
    }

    fn time(&mut self, row: Option<&v1::TimeRow>) -> &mut Self {
        let Some(row) = row else { return self.word("row", "") };
        self.word("delivery_day", &row.delivery_day);
        let _ = write!(self.text, "{}/{} {} ", row.block, row.blocks, row.period);
        self.instant("start", row.start.as_ref()).instant("end", row.end.as_ref());
        self.number(row.resolution_minutes).word("currency", &row.currency);
        self.number(row.revision).status(row.status)
    }

    fn end(&mut self) {
        self.text.pop();
        self.text.push('\n');
    }

    fn finish(self) -> Result<String, SignatureError> {
        self.fault.map_or(Ok(self.text), |field| Err(SignatureError::Unwritable(field)))
    }
}

/// The text of a schedule.
///
/// # Errors
///
/// If it has none.
pub fn schedule_text(it: &v1::Schedule) -> Result<String, SignatureError> {
    let mut lines = Lines::default();
    lines.word("", "merit-schedule/1").word("auction_id", &it.auction_id);
    lines.number(it.revision).status(it.status).number(it.rows.len()).end();
    for row in &it.rows {
        lines.time(row.row.as_ref()).word("area", &row.area).word("member", &row.member);
        lines.word("portfolio", &row.portfolio).number(row.net_watts).end();
    }
    lines.finish()
}

/// The text of changes.
///
/// # Errors
///
/// If they have none.
pub fn changes_text(it: &v1::ScheduleChanges) -> Result<String, SignatureError> {
    let mut lines = Lines::default();
    lines.word("", "merit-schedule-changes/1").word("auction_id", &it.auction_id);
    lines.number(it.from_revision).number(it.to_revision).status(it.status).number(it.rows.len()).end();
    for row in &it.rows {
        lines.time(row.row.as_ref()).word("area", &row.area).word("member", &row.member);
        lines.word("portfolio", &row.portfolio).number(row.before_watts).number(row.after_watts).end();
    }
    lines.finish()
}

/// The text of a corridor request.
///
/// # Errors
///
/// If it has none.
pub fn corridor_text(it: &v1::CorridorRequest) -> Result<String, SignatureError> {
    let mut lines = Lines::default();
    lines.word("", "merit-corridor/1").word("auction_id", &it.auction_id).number(it.revision);
    lines.instant("due_at", it.due_at.as_ref()).number(it.flows.len()).number(it.areas.len()).end();
    for row in &it.flows {
        let direction = match v1::Direction::try_from(row.direction) {
            Ok(v1::Direction::Forward) => "FORWARD",
            Ok(v1::Direction::Backward) => "BACKWARD",
            Ok(v1::Direction::Unspecified) | Err(_) => "",
        };
        lines.word("", "flow").time(row.row.as_ref()).word("line", &row.line);
        lines.word("direction", direction).number(row.flow_watts).end();
    }
    for row in &it.areas {
        lines.word("", "area").time(row.row.as_ref()).word("area", &row.area);
        lines.number(row.injection_watts).number(row.drawal_watts).end();
    }
    lines.finish()
}

/// Where a row stands: period, area, member, portfolio.
type Place<'a> = (u32, &'a str, &'a str, &'a str);

fn places(schedule: &v1::Schedule) -> BTreeMap<Place<'_>, &v1::ScheduleRow> {
    let place = |it: &'_ v1::ScheduleRow| it.row.as_ref().map_or(0, |row| row.period);
    let rows = schedule.rows.iter();
    rows.map(|it| ((place(it), it.area.as_str(), it.member.as_str(), it.portfolio.as_str()), it)).collect()
}

/// What a revision of a schedule changed against an earlier one (none: against nothing), not signed. A row
/// that is not there counts as 0, for schedules leave out what is 0.
#[must_use]
pub fn changes(before: Option<&v1::Schedule>, after: &v1::Schedule) -> v1::ScheduleChanges {
    let (old, new) = (before.map(places).unwrap_or_default(), places(after));
    let mut all: Vec<&Place<'_>> = old.keys().chain(new.keys()).collect();
    all.sort_unstable();
    all.dedup();
    let mut rows = Vec::new();
    for place in all {
        let (before, now) = (old.get(place), new.get(place));
        let watts = |it: Option<&&v1::ScheduleRow>| it.map_or(0, |it| it.net_watts);
        let (before_watts, after_watts) = (watts(before), watts(now));
        let row = now.or(before).and_then(|it| it.row.clone());
        if before_watts == after_watts {
            continue;
        }
        let row = row.map(|it| v1::TimeRow { revision: after.revision, status: after.status, ..it });
        rows.push(v1::ScheduleChange {
            row,
            area: place.1.to_owned(),
            member: place.2.to_owned(),
            portfolio: place.3.to_owned(),
            before_watts,
            after_watts,
        });
    }
    v1::ScheduleChanges {
        auction_id: after.auction_id.clone(),
        from_revision: before.map_or(0, |it| it.revision),
        to_revision: after.revision,
        status: after.status,
        rows,
        signature: None,
    }
}

#[cfg(test)]
mod tests;
