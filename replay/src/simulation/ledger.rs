//! The market of the simulation: remembers every order once, whoever repeats it.

use crate::frame::Stamp;
use crate::machine::Machine;
use crate::snapshot::Kept;
use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_128;

/// From this number on an order's timer is one of a quarter of an hour, not of 30 ms.
pub(super) const LONG_FROM: u32 = 1 << 20;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// A member's order: who, and which of its orders.
    Order(u16, u32),
    Quantum,
    Tick,
    Epoch(String),
    Alone(bool),
}

/// What a member is told: the record in which its order stands, whether it stood there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) seq: u64,
    pub(super) replayed: bool,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    pub(super) orders: BTreeMap<(u16, u32), u64>,
    work: u32,
    timer_us: Option<i64>,
    digest: u128,
}

merit_engine::keep_struct! { Ledger { orders, work, timer_us, digest } }

impl Kept for Ledger {
    const LAYOUT: u16 = 1;

    fn rests(&self) -> bool {
        self.work == 0
    }
}

impl Machine for Ledger {
    type Body = Told;
    type Answer = Answer;
    type Event = u128;

    fn encode(body: &Told, payload: &mut Vec<u8>) -> u16 {
        match body {
            Told::Order(member, number) => {
                payload.extend_from_slice(&member.to_le_bytes());
                payload.extend_from_slice(&number.to_le_bytes());
                1
            }
            Told::Quantum => 3,
            Told::Tick => 4,
            Told::Epoch(node) => {
                payload.extend_from_slice(node.as_bytes());
                5
            }
            Told::Alone(alone) => {
                payload.push(u8::from(*alone));
                6
            }
        }
    }

    fn decode(kind: u16, payload: &[u8]) -> Result<Told, String> {
        let word = |at: usize| {
            let bytes = payload.get(at..at + 4).and_then(|it| it.try_into().ok());
            bytes.map(u32::from_le_bytes).ok_or_else(|| "too short".to_owned())
        };
        match kind {
            1 => {
                let member = payload.get(..2).and_then(|it| it.try_into().ok()).map(u16::from_le_bytes);
                Ok(Told::Order(member.ok_or("too short")?, word(2)?))
            }
            3 => Ok(Told::Quantum),
            4 => Ok(Told::Tick),
            5 => Ok(Told::Epoch(String::from_utf8_lossy(payload).into_owned())),
            6 => Ok(Told::Alone(payload == [1])),
            _ => Err(format!("kind {kind}")),
        }
    }

    fn apply(&mut self, stamp: Stamp, body: Told, events: &mut Vec<u128>) -> Answer {
        let mut bytes = self.digest.to_le_bytes().to_vec();
        bytes.extend_from_slice(&stamp.seq.to_le_bytes());
        bytes.extend_from_slice(&stamp.time_us.to_le_bytes());
        let mut payload = Vec::new();
        Self::encode(&body, &mut payload);
        bytes.extend_from_slice(&payload);
        self.digest = xxh3_128(&bytes);
        events.push(self.digest);
        if self.timer_us.is_some_and(|it| it <= stamp.time_us) {
            self.timer_us = None;
        }
        let mut answer = Answer { seq: stamp.seq, replayed: false };
        match body {
            Told::Order(member, number) => {
                let first = *self.orders.entry((member, number)).or_insert(stamp.seq);
                answer = Answer { seq: first, replayed: first != stamp.seq };
                if number % 16 == 0 {
                    let after_us = if number >= LONG_FROM { 900_000_000 } else { 30_000 };
                    self.timer_us = Some(stamp.time_us + after_us);
                }
                if number % 23 == 0 && first == stamp.seq {
                    self.work += 3;
                }
            }
            Told::Quantum => self.work = self.work.saturating_sub(1),
            Told::Tick | Told::Epoch(_) | Told::Alone(_) => {}
        }
        answer
    }

    fn next_timer_us(&self) -> Option<i64> {
        self.timer_us
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
        Told::Alone(alone)
    }

    fn digest(&self) -> u128 {
        self.digest
    }
}
