//! Auction and result files: text in, exact integers out, and back.
//!
//! One door for bad input. What is no JSON or lacks the shape of the format is [`FileError::Malformed`]
//! with line and column; what reads well but breaks a rule is collected, so that one run names up to
//! [`PROBLEMS_MAX`] orders, fields and values at once.

pub mod auction_file;
pub mod decimal;
mod raw;
pub mod result_file;
mod structure;
#[cfg(test)]
mod tests;
mod units;

pub use auction_file::{Auction, read_auction};
pub use result_file::{Claim, ResultFile, Stats, read_result, write_result};
pub use units::Units;

use std::fmt;
use std::io::{self, Read};
use std::path::Path;

/// An auction of `limits::POINTS_MAX` points fits; more text than this is refused unread.
pub const TEXT_BYTES_MAX: u64 = 512 << 20;
/// Broken rules that one error lists; further ones are counted.
pub const PROBLEMS_MAX: usize = 50;
/// Characters of a value or of the text around a mistake that a message repeats.
const EXCERPT_CHARS_MAX: usize = 60;

/// A file that could not be used.
#[derive(Debug)]
pub enum FileError {
    /// It could not be read.
    Io {
        /// Its path, or `-` for standard input.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// It is larger than [`TEXT_BYTES_MAX`] once unpacked.
    TooLarge {
        /// Its path, or `-` for standard input.
        path: String,
    },
    /// It is not JSON, or not of the shape that the format describes.
    Malformed {
        /// Line, from 1.
        line: usize,
        /// Column, from 1; 0 at the very start of a line.
        column: usize,
        /// What was found there and what was expected.
        message: String,
        /// The text around the place.
        near: String,
    },
    /// It breaks rules of the format.
    Invalid(Problems),
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, source } => write!(f, "cannot read {path}: {source}"),
            Self::TooLarge { path } => {
                write!(f, "{path} holds more than {} MiB of text", TEXT_BYTES_MAX >> 20)
            }
            Self::Malformed { line, column, message, near } => {
                write!(f, "line {line} column {column}: {message}")?;
                if near.is_empty() { Ok(()) } else { write!(f, "\n  near: {near}") }
            }
            Self::Invalid(problems) => problems.fmt(f),
        }
    }
}

impl std::error::Error for FileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::TooLarge { .. } | Self::Malformed { .. } | Self::Invalid(_) => None,
        }
    }
}

/// One broken rule of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which order, line or field: `curve "c1" points[3] quantity`.
    pub place: String,
    /// The value at fault, if a value is.
    pub value: Option<String>,
    /// The rule, as the end of a sentence: `must be positive`.
    pub rule: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            None => write!(f, "{}: {}", self.place, self.rule),
            Some(value) => write!(f, "{}: {value} {}", self.place, self.rule),
        }
    }
}

/// The rules that one file breaks, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    listed: Vec<Problem>,
    count: usize,
}

impl Problems {
    /// The first [`PROBLEMS_MAX`] of them.
    #[must_use]
    pub fn listed(&self) -> &[Problem] {
        &self.listed
    }

    /// How many there are in all.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.count
    }

    fn add(&mut self, place: impl fmt::Display, value: Option<&str>, rule: impl fmt::Display) {
        self.count += 1;
        if self.listed.len() < PROBLEMS_MAX {
            let value = value.map(excerpt);
            self.listed.push(Problem { place: place.to_string(), value, rule: rule.to_string() });
        }
    }

    fn into_result(self) -> Result<(), FileError> {
        if self.count == 0 { Ok(()) } else { Err(FileError::Invalid(self)) }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, problem) in self.listed.iter().enumerate() {
            if position > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        match self.count - self.listed.len() {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

/// The text of a file, unpacked if it is gzip; `-` is standard input.
///
/// # Errors
///
/// [`FileError::Io`], [`FileError::TooLarge`], and [`FileError::Malformed`] if it is not UTF-8.
pub fn read_text(path: &Path) -> Result<String, FileError> {
    let name = path.display().to_string();
    let io_error = |source| FileError::Io { path: name.clone(), source };
    if path.as_os_str() == "-" {
        return read_bounded(io::stdin().lock(), "standard input", TEXT_BYTES_MAX);
    }
    let file = std::fs::File::open(path).map_err(io_error)?;
    let size = file.metadata().map_err(io_error)?.len();
    if size > TEXT_BYTES_MAX {
        return Err(FileError::TooLarge { path: name });
    }
    read_bounded(io::BufReader::with_capacity(1 << 16, file), &name, TEXT_BYTES_MAX)
}

/// At most `most` bytes of text, whatever the source claims or unpacks to.
fn read_bounded(mut source: impl Read, name: &str, most: u64) -> Result<String, FileError> {
    let io_error = |source| FileError::Io { path: name.into(), source };
    let mut magic = Vec::with_capacity(2);
    source.by_ref().take(2).read_to_end(&mut magic).map_err(io_error)?;
    let packed = magic == [0x1f, 0x8b];
    let whole = io::Cursor::new(magic).chain(source);
    let mut bytes = Vec::new();
    let limit = most + 1;
    if packed {
        flate2::read::MultiGzDecoder::new(whole).take(limit).read_to_end(&mut bytes)
    } else {
        whole.take(limit).read_to_end(&mut bytes)
    }
    .map_err(io_error)?;
    if u64::try_from(bytes.len()).is_ok_and(|it| it > most) {
        return Err(FileError::TooLarge { path: name.into() });
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(&error.as_bytes()[..valid]).into_owned();
        let line = before.matches('\n').count() + 1;
        let column = before.len() - before.rfind('\n').map_or(0, |it| it + 1) + 1;
        FileError::Malformed { line, column, message: "not UTF-8 text".into(), near: String::new() }
    })
}

/// Reads `text` as the JSON of one raw file.
fn from_json<'text, T: serde::Deserialize<'text>>(text: &'text str) -> Result<T, FileError> {
    serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let message = error.to_string();
        let place = format!(" at line {line} column {column}");
        FileError::Malformed {
            line,
            column,
            message: message.strip_suffix(&place).unwrap_or(&message).into(),
            near: near(text, line, column),
        }
    })
}

/// The text around a place, on one line.
fn near(text: &str, line: usize, column: usize) -> String {
    let Some(row) = text.lines().nth(line.saturating_sub(1)) else { return String::new() };
    let mut start = column.saturating_sub(EXCERPT_CHARS_MAX).min(row.len());
    while !row.is_char_boundary(start) {
        start += 1;
    }
    excerpt(row.get(start..).unwrap_or_default())
}

/// At most [`EXCERPT_CHARS_MAX`] characters, none of which steers a terminal.
fn excerpt(text: &str) -> String {
    let mut short: String =
        text.chars().take(EXCERPT_CHARS_MAX).map(|it| if it.is_control() { ' ' } else { it }).collect();
    if text.chars().nth(EXCERPT_CHARS_MAX).is_some() {
        short.push('…');
    }
    short
}
