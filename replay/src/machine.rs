//! What the core needs from outside: a deterministic machine, a clock, and somebody who listens.
//!
//! The market's engine is the machine that runs in production (bound in `record.rs`); tests of the
//! journal use smaller ones.

use crate::frame::Stamp;
use std::time::Duration;

/// A state machine that is driven by journaled commands and by nothing else.
pub trait Machine: Send + 'static {
    /// What a command does; its place in history is its stamp.
    type Body: Send + 'static;
    /// What the asker is told.
    type Answer: Send + 'static;
    /// What streams are told.
    type Event: Send + 'static;

    /// Appends the command's bytes to `payload` and returns its kind.
    fn encode(body: &Self::Body, payload: &mut Vec<u8>) -> u16;

    /// Reads a command back.
    ///
    /// # Errors
    ///
    /// In words, what is wrong with the bytes.
    fn decode(kind: u16, payload: &[u8]) -> Result<Self::Body, String>;

    /// As [`Self::decode`], over a body that was applied: memory that it left may be used again. After an error what is
    /// there is some body or other.
    ///
    /// # Errors
    ///
    /// As [`Self::decode`].
    fn decode_over(kind: u16, payload: &[u8], spent: &mut Self::Body) -> Result<(), String> {
        *spent = Self::decode(kind, payload)?;
        Ok(())
    }

    /// Hears of some commands shortly before it applies the first of them, and may read what they will look up:
    /// memory answers many questions at once much sooner than one after the other. Changes nothing, and relies on
    /// nothing: what was expected may never come, and what comes may not have been expected.
    fn expect<'a>(&self, _bodies: impl Iterator<Item = &'a Self::Body>) {}

    /// Applies the next command and appends its events.
    fn apply(&mut self, stamp: Stamp, body: Self::Body, events: &mut Vec<Self::Event>) -> Self::Answer;

    /// As [`Self::apply`], of a command of history: its body stays where it is and is spent afterwards. Without a list
    /// nobody hears the events, and none need be made.
    fn apply_again(
        &mut self,
        stamp: Stamp,
        body: &mut Self::Body,
        events: Option<&mut Vec<Self::Event>>,
    ) -> Self::Answer {
        let body = std::mem::replace(body, Self::tick());
        match events {
            Some(events) => self.apply(stamp, body, events),
            None => self.apply(stamp, body, &mut Vec::new()),
        }
    }

    /// The next instant at which something is due, µs; after [`Self::apply`] it lies in the future.
    fn next_timer_us(&self) -> Option<i64>;

    /// The command that only lets time pass.
    fn tick() -> Self::Body;

    /// The next piece of long work, if there is any. It must do no harm if it is applied later.
    fn quantum(&self) -> Option<Self::Body>;

    /// The command that begins an epoch under a node of this name.
    fn epoch_started(node: &str) -> Self::Body;

    /// The command that says that the primary lost its last standby (`alone`), or has one again.
    fn standby_changed(alone: bool) -> Self::Body;

    /// Digest of the whole state.
    fn digest(&self) -> u128;

    /// The same digest, formed without anything that was summed up before: for a state that came from
    /// elsewhere.
    fn digest_in_full(&self) -> u128 {
        self.digest()
    }
}

/// Where the time comes from.
pub trait Clock: Send + 'static {
    /// Market time now, microseconds since 1970-01-01T00:00:00Z. May jump, either way.
    fn now_us(&self) -> i64;

    /// How long to wait until the clock shows an instant; zero if it has passed. (An accelerated
    /// clock divides; a clock that is moved by hand says [`Duration::MAX`] and wakes the core.)
    fn until(&self, time_us: i64) -> Duration;
}

/// Whoever wants to hear everything that happens, in order.
///
/// Called on the core's thread: it hands things on and returns. What it hears is durable already.
pub trait Sink<M: Machine>: Send + 'static {
    /// A command was applied. During start-up it hears the whole history again (`replayed`).
    fn applied(&mut self, stamp: Stamp, answer: &M::Answer, events: Vec<M::Event>, replayed: bool);

    /// A command of history was applied again, before anybody can ask anything: as [`Self::applied`] with
    /// `replayed`, of events that whoever does not need them leaves where they are.
    fn replayed(&mut self, stamp: Stamp, answer: &M::Answer, events: &mut Vec<M::Event>) {
        self.applied(stamp, answer, std::mem::take(events), true);
    }

    /// Whether it hears events of history. If not, a machine need not make them, and [`Self::replayed`] gets none.
    fn hears_history(&self) -> bool {
        true
    }

    /// A batch is complete; `head` is its last command.
    fn batch_applied(&mut self, _head: Stamp) {}
}

/// Listens to nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl<M: Machine> Sink<M> for Silent {
    fn applied(&mut self, _: Stamp, _: &M::Answer, _: Vec<M::Event>, _: bool) {}

    fn replayed(&mut self, _: Stamp, _: &M::Answer, _: &mut Vec<M::Event>) {}

    fn hears_history(&self) -> bool {
        false
    }
}
