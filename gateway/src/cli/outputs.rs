//! `merit journal outputs`: what the exchange said, made again from its journal, as digests to compare.

use super::output::{Cell, Format, Table, print};
use super::{Exit, Failure};
use crate::push::embedded::chained;
use crate::push::{hex, sha256};
use crate::server::read_model::{ReadModel, of_journal};
use merit_engine::event::Stream;
use merit_replay::recovery::Progress;
use std::path::PathBuf;

/// Messages read at a time.
const PAGE: usize = 1_024;

/// Make everything that was said on the streams again from the journal, and print digests of it
///
/// The messages of each stream, byte for byte as subscribers got them, in the order of their numbers: each
/// digest is SHA-256 over the digest before (zeros at first) and SHA-256 of the message. What two nodes
/// have said is the same if these lines are. Members' streams have one line together, member by member:
/// how much one of them had to do is not shown.
#[derive(Debug, clap::Args)]
pub(super) struct Outputs {
    /// The journal's directory
    dir: PathBuf,
    #[command(flatten)]
    archive: super::journal::Archive,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// A stream so far.
#[derive(Clone, Copy, Default)]
struct Said {
    messages: u64,
    chain: [u8; 32],
}

impl Outputs {
    pub(super) fn run(self, progress: &mut dyn FnMut(Progress)) -> Result<Exit, Failure> {
        let journal = self.archive.open(&self.dir)?;
        let model = of_journal(&*journal, progress).map_err(Failure::error)?;
        let heads: Vec<Stream> = model.read(|state, _| state.heads.keys().copied().collect());
        let mut lines = [("market", Said::default()); 5];
        let names = ["market", "members", "dispatch", "settlement", "operator"];
        lines.iter_mut().zip(names).for_each(|(line, name)| line.0 = name);
        for stream in heads {
            let line = match stream {
                Stream::Market => &mut lines[0],
                Stream::Member(_) => &mut lines[1],
                Stream::Dispatch => &mut lines[2],
                Stream::Settlement => &mut lines[3],
                Stream::Operator => &mut lines[4],
            };
            line.1 = follow(&model, stream, line.1).map_err(Failure::error)?;
        }
        let mut table = Table::new(&["stream", "messages", "digest"]);
        for (name, said) in lines {
            table.add(vec![Cell::text(name), Cell::number(said.messages), Cell::text(hex(&said.chain))]);
        }
        print(&table.render(self.output)).map_err(Failure::error)?;
        Ok(Exit::Ok)
    }
}

/// Goes on with the messages of a stream.
fn follow(model: &ReadModel, stream: Stream, mut said: Said) -> Result<Said, String> {
    let mut from = 1;
    loop {
        let (messages, head) = model.events(stream, from, PAGE).map_err(|doubt| doubt.0)?;
        for message in &messages {
            said.messages += 1;
            said.chain = chained(said.chain, sha256(message));
            from += 1;
        }
        if from > head {
            return Ok(said);
        }
    }
}
