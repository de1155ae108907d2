//! What can go wrong with a journal, named after what the operator must do next.

use std::fmt;
use std::io;

/// A journal that could not be opened, read or written.
#[derive(Debug)]
pub enum JournalError {
    /// The disk refused. Nothing is retried as if nothing had happened: mend the disk, start again.
    Io {
        /// What was being done, e.g. `sync segment-00000000000000000001.merit`.
        doing: String,
        /// What the system said.
        source: io::Error,
    },
    /// There is no room for the next segment. Free space; the node goes on by itself.
    NoSpace {
        /// Bytes that the next segment needs.
        wanted_bytes: u64,
    },
    /// Another process writes this journal, or moves segments to the same archive. Stop that one first.
    Locked,
    /// No journal is here. Give the right directory.
    NotFound {
        /// Where it was looked for.
        place: String,
    },
    /// An earlier write or sync failed, so nobody knows what is on the disk. Restart the node.
    Poisoned,
    /// A record or batch does not fit into a segment. The caller refuses the request.
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The largest that fits.
        bytes_max: u64,
    },
    /// Bytes that should be whole are not. Restore the segment from the standby or the backup.
    Damaged(Box<Damage>),
    /// Written by a newer release, or by one too old. Run the release that fits.
    Format {
        /// The segment file.
        segment: String,
        /// Version in its header.
        found: u16,
        /// Oldest version that this release reads.
        oldest: u16,
        /// Newest version that this release reads.
        newest: u16,
    },
    /// The segment belongs to another exchange's journal. Take it out of the directory.
    OtherExchange {
        /// The segment file.
        segment: String,
        /// Exchange id in its header.
        found: u128,
        /// Exchange id expected.
        expected: u128,
    },
    /// A record is whole, but this release cannot understand its payload. Run the release that fits.
    Undecodable {
        /// The record.
        seq: u64,
        /// What is wrong with the payload.
        reason: String,
    },
}

/// Damage that recovery must not repair by guessing: where it is and what it costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The segment file.
    pub segment: String,
    /// The first record that cannot be trusted any more.
    pub seq: u64,
    /// Byte offset in the segment at which trust ends.
    pub offset: u64,
    /// What is wrong there.
    pub flaw: Flaw,
    /// The greatest sequence number known to have been acknowledged: why the tail may not be cut.
    pub acknowledged_seq: u64,
}

/// What is wrong with bytes of a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// The file ends before the header does.
    HeaderShort,
    /// The file does not begin like a segment.
    HeaderMagic,
    /// The header does not match its checksum.
    HeaderChecksum,
    /// The header contradicts itself or the file's name.
    HeaderFields,
    /// The file is longer than its header says.
    FileLong,
    /// The file is shorter than its header says.
    FileShort,
    /// Neither a record nor a batch end begins here.
    FrameMagic,
    /// A record runs past the end of the segment.
    FrameLength,
    /// A record or batch end does not match its checksum.
    FrameChecksum,
    /// Bytes that must be zero are not.
    FramePadding,
    /// A record is whole but not the successor of the one before it (number, epoch or time).
    Order,
    /// A record is whole but chained to another predecessor.
    Chain,
    /// A batch end does not agree with the records before it.
    BatchEnd,
    /// The last batch has no end.
    BatchOpen,
    /// There are no records where acknowledged ones must be.
    Missing,
    /// A segment before this one is missing.
    SegmentMissing,
    /// The segment repeats records of the one before it.
    SegmentDuplicate,
    /// The segment was written after another predecessor.
    SegmentPredecessor,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HeaderShort => "the file ends inside its header",
            Self::HeaderMagic => "the file does not begin like a journal segment",
            Self::HeaderChecksum => "the segment header does not match its checksum",
            Self::HeaderFields => "the segment header contradicts itself or the file name",
            Self::FileLong => "the file is longer than its header says",
            Self::FileShort => "the file is shorter than its header says",
            Self::FrameMagic => "no record begins here",
            Self::FrameLength => "the record runs past the end of the segment",
            Self::FrameChecksum => "the record does not match its checksum",
            Self::FramePadding => "bytes that must be zero are not",
            Self::Order => "the record does not follow the one before it",
            Self::Chain => "the record is chained to another predecessor",
            Self::BatchEnd => "the batch end does not agree with its records",
            Self::BatchOpen => "the last batch has no end",
            Self::Missing => "acknowledged records are missing",
            Self::SegmentMissing => "a segment before this one is missing",
            Self::SegmentDuplicate => "the segment repeats records of the one before it",
            Self::SegmentPredecessor => "the segment was written after another predecessor",
        })
    }
}

impl JournalError {
    /// What the operator does about it, in one phrase.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Io { .. } => "mend the disk or its permissions, then start the node again",
            Self::NoSpace { .. } => "free disk space; the node goes on by itself",
            Self::Locked => {
                "stop the process that writes this journal; each node has an archive of its own, too"
            }
            Self::NotFound { .. } => "give the directory that holds segment-*.merit",
            Self::Poisoned => "restart the node; recovery decides what the disk holds",
            Self::TooLarge { .. } => "split the request",
            Self::Damaged(damage) if damage.flaw == Flaw::SegmentMissing => {
                "put the missing segments back (merit journal repair DIR --from COPY), or name the archive that holds them \
                 (journal.archive, --archive DIR)"
            }
            Self::Damaged(_) => {
                "restore the named segment from the standby or the backup (merit journal repair DIR --from COPY); \
                 do not edit it"
            }
            Self::Format { found, newest, .. } if found > newest => "run the newer release that wrote it",
            Self::Format { .. } => "run the release that wrote it and let it migrate the journal",
            Self::OtherExchange { .. } => "take the segment of the other exchange out of the directory",
            Self::Undecodable { .. } => "run the release that wrote the record",
        }
    }

    pub(crate) fn io(verb: &str, object: &str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing: format!("{verb} {object}"), source }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { segment, seq, offset, flaw, acknowledged_seq } = self;
        write!(f, "damaged record {seq} in {segment} at byte {offset}: {flaw}; ")?;
        write!(f, "records up to {acknowledged_seq} were acknowledged")
    }
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { doing, source } => write!(f, "cannot {doing}: {source}"),
            Self::NoSpace { wanted_bytes } => {
                write!(f, "no space for the next journal segment of {wanted_bytes} bytes")
            }
            Self::Locked => f.write_str("another process holds the lock of the journal or of its archive"),
            Self::NotFound { place } => write!(f, "no journal in {place}"),
            Self::Poisoned => f.write_str("an earlier write to the journal failed"),
            Self::TooLarge { bytes, bytes_max } => {
                write!(f, "{bytes} bytes do not fit into one batch of {bytes_max} bytes")
            }
            Self::Damaged(damage) => damage.fmt(f),
            Self::Format { segment, found, oldest, newest } => {
                write!(f, "{segment} has format version {found}; this release reads {oldest} to {newest}")
            }
            Self::OtherExchange { segment, found, expected } => {
                write!(f, "{segment} belongs to exchange {found:032x}, not {expected:032x}")
            }
            Self::Undecodable { seq, reason } => {
                write!(f, "record {seq} is whole but cannot be understood: {reason}")
            }
        }
    }
}

impl std::error::Error for JournalError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        if let Self::Io { source, .. } = self { Some(source) } else { None }
    }
}
