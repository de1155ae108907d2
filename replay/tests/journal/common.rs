//! A small machine whose whole state is the list of what it was told, and clocks moved by hand.

use merit_engine::snapshot::{Damaged, Keep, Reader, Writer as Out, keep_enum};
use merit_replay::frame::Stamp;
use merit_replay::machine::{Clock, Machine};
use merit_replay::snapshot::Kept;
use merit_replay::storage::Storage;
use merit_replay::storage::faulty::FaultyDisk;
use merit_replay::writer::Options;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// What a tally is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Number(u64),
    Bytes(Vec<u8>),
    /// From now on, one quantum at a time until so many are done.
    Work(u64),
    Quantum,
    Timer(i64),
    Tick,
    Epoch(String),
}

/// Remembers everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) told: Vec<(Stamp, Told)>,
    pub(crate) work: u64,
    pub(crate) timer: Option<i64>,
}

impl Tally {
    pub(crate) fn numbers(&self) -> Vec<u64> {
        let number = |told: &Told| if let Told::Number(number) = told { Some(*number) } else { None };
        self.told.iter().filter_map(|(_, told)| number(told)).collect()
    }
}

impl Machine for Tally {
    type Body = Told;
    type Answer = u64;
    type Event = Told;

    fn encode(body: &Told, payload: &mut Vec<u8>) -> u16 {
        match body {
            Told::Number(number) => put(payload, 1, &number.to_le_bytes()),
            Told::Bytes(bytes) => put(payload, 2, bytes),
            Told::Work(quanta) => put(payload, 3, &quanta.to_le_bytes()),
            Told::Quantum => put(payload, 4, &[]),
            Told::Timer(at_us) => put(payload, 5, &at_us.to_le_bytes()),
            Told::Tick => put(payload, 6, &[]),
            Told::Epoch(node) => put(payload, 7, node.as_bytes()),
        }
    }

    fn decode(kind: u16, payload: &[u8]) -> Result<Told, String> {
        let word = || payload.try_into().map_err(|_| "not eight bytes".to_owned());
        match kind {
            1 => Ok(Told::Number(u64::from_le_bytes(word()?))),
            2 => Ok(Told::Bytes(payload.to_vec())),
            3 => Ok(Told::Work(u64::from_le_bytes(word()?))),
            4 => Ok(Told::Quantum),
            5 => Ok(Told::Timer(i64::from_le_bytes(word()?))),
            6 => Ok(Told::Tick),
            7 => String::from_utf8(payload.to_vec()).map(Told::Epoch).map_err(|it| it.to_string()),
            _ => Err(format!("kind {kind}")),
        }
    }

    fn apply(&mut self, stamp: Stamp, body: Told, events: &mut Vec<Told>) -> u64 {
        let before = self.told.last().map_or(0, |(stamp, _)| stamp.seq);
        assert_eq!(stamp.seq, before + 1, "the core applies without gaps");
        if self.timer.is_some_and(|it| it <= stamp.time_us) {
            self.timer = None;
        }
        match &body {
            Told::Work(quanta) => self.work += quanta,
            Told::Quantum => self.work = self.work.saturating_sub(1),
            Told::Timer(at_us) => self.timer = Some(*at_us),
            Told::Number(_) | Told::Bytes(_) | Told::Tick | Told::Epoch(_) => {}
        }
        events.push(body.clone());
        self.told.push((stamp, body));
        stamp.seq
    }

    fn next_timer_us(&self) -> Option<i64> {
        self.timer
    }

    fn tick() -> Told {
        Told::Tick
    }

    fn quantum(&self) -> Option<Told> {
        (self.work > 0).then_some(Told::Quantum)
    }

    fn epoch_started(node: &str) -> Told {
        Told::Epoch(node.to_owned())
    }

    fn standby_changed(alone: bool) -> Told {
        Told::Epoch(if alone { "alone" } else { "together" }.to_owned())
    }

    fn digest(&self) -> u128 {
        u128::try_from(self.told.len()).unwrap()
    }
}

keep_enum! { Told {
    0 = Number(number), 1 = Bytes(bytes), 2 = Work(quanta), 3 = Quantum, 4 = Timer(at_us), 5 = Tick, 6 = Epoch(node),
} }

impl Keep for Tally {
    fn put(&self, out: &mut Out<'_>) {
        let told: Vec<_> =
            self.told.iter().map(|(it, told)| ((it.seq, it.epoch, it.time_us), told.clone())).collect();
        told.put(out);
        self.work.put(out);
        self.timer.put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        let stamped = |((seq, epoch, time_us), told)| (Stamp { seq, epoch, time_us }, told);
        let told = Vec::take(from)?.into_iter().map(stamped).collect();
        Ok(Self { told, work: Keep::take(from)?, timer: Keep::take(from)? })
    }
}

impl Kept for Tally {
    const LAYOUT: u16 = 7;

    fn rests(&self) -> bool {
        self.work == 0
    }
}

fn put(payload: &mut Vec<u8>, kind: u16, bytes: &[u8]) -> u16 {
    payload.extend_from_slice(bytes);
    kind
}

/// Shows what it was last set to.
#[derive(Clone, Debug, Default)]
pub(crate) struct HandClock(pub(crate) Arc<AtomicI64>);

impl Clock for HandClock {
    fn now_us(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    fn until(&self, time_us: i64) -> Duration {
        if time_us <= self.now_us() { Duration::ZERO } else { Duration::MAX }
    }
}

pub(crate) const EXCHANGE: u128 = 0x00c0_ffee_0000_0000_0000_0000_0000_0001;

pub(crate) fn options(segment_bytes: u64) -> Options {
    Options { segment_bytes, build: "test".to_owned(), ..Options::new(EXCHANGE) }
}

pub(crate) fn boxed(disk: &FaultyDisk) -> Box<dyn Storage> {
    Box::new(disk.clone())
}
