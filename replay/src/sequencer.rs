//! Gives every command its place in history: number, epoch and journaled time.
//!
//! The wall clock only proposes. Journaled time never goes back, across restarts and epochs too; a
//! clock that was set back makes it stand still until the clock has caught up.

use crate::frame::Stamp;

/// The sequencer of one primary.
#[derive(Clone, Debug)]
pub struct Sequencer {
    last: Stamp,
    epoch: u32,
}

impl Sequencer {
    /// Continues a history in an epoch.
    ///
    /// # Panics
    ///
    /// If the epoch lies before the history's last one: a fenced primary must not write.
    #[must_use]
    pub fn new(last: Stamp, epoch: u32) -> Self {
        assert!(epoch >= last.epoch, "epochs never decrease");
        Self { last, epoch }
    }

    /// Place of the last command; sequence number 0 before the first.
    #[must_use]
    pub fn last(&self) -> Stamp {
        self.last
    }

    /// The epoch that new commands get.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// What the journaled time would be now, µs.
    #[must_use]
    pub fn time_us(&self, proposed_us: i64) -> i64 {
        self.last.time_us.max(proposed_us)
    }

    /// Places the next command.
    pub fn place(&mut self, proposed_us: i64) -> Stamp {
        let seq = self.last.seq + 1;
        self.last = Stamp { seq, epoch: self.epoch, time_us: self.time_us(proposed_us) };
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::{Sequencer, Stamp};

    #[test]
    fn numbers_are_gapless_and_time_never_goes_back() {
        let mut sequencer = Sequencer::new(Stamp { seq: 7, epoch: 2, time_us: 1_000 }, 2);
        let placed: Vec<_> = [900, 1_500, 1_400, 1_600].map(|us| sequencer.place(us)).to_vec();
        let expected = [(8, 1_000), (9, 1_500), (10, 1_500), (11, 1_600)];
        assert_eq!(placed, expected.map(|(seq, time_us)| Stamp { seq, epoch: 2, time_us }));
    }

    #[test]
    fn a_new_epoch_with_a_clock_behind_continues_at_the_old_time() {
        let mut sequencer = Sequencer::new(Stamp { seq: 7, epoch: 2, time_us: 1_000 }, 3);
        assert_eq!(sequencer.place(10), Stamp { seq: 8, epoch: 3, time_us: 1_000 });
    }
}
