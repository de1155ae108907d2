//! Sends what is due when it is due, and times each answer from the moment at which its command was due.
//!
//! One thread looks at the clock and hands each message to its connection; a connection sends at once unless
//! too much of its own is unanswered. Whatever waits, waits on the clock of the schedule: a slow exchange
//! shows in the figures as it would to a member who had wanted to send then.

use crate::crowd::Trader;
use crate::ledger::{Ids, Outcome, Sent, What};
use crate::schedule::{Plan, Random, Slot, Verb, Way};
use crate::shape::Shape;
use hdrhistogram::Histogram;
use merit_client::{CallError, Client, EntryOptions, orders, v1};
use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

/// Latencies of one run, µs, by what was sent.
pub(crate) type Latencies = BTreeMap<&'static str, Histogram<u64>>;

/// Under which name all commands together stand.
pub(crate) const ALL: &str = "all";
/// Under which name the lateness of this program itself stands.
pub(crate) const SENT_LATE: &str = "sent late";

/// What a run gave.
pub(crate) struct Measured {
    /// By position of the trader.
    pub(crate) sent: Vec<Vec<Sent>>,
    pub(crate) latencies: Latencies,
    /// From the first moment of sending to the last answer.
    pub(crate) took: Duration,
}

/// What all connections share.
struct Run {
    ids: Ids,
    shape: Shape,
    batch: u32,
    window: u32,
    start: Instant,
    sent: AtomicU64,
    answered: AtomicU64,
}

#[derive(Default)]
struct Book {
    sent: Vec<Sent>,
    /// Live orders with nothing on its way: number, order id, version.
    live: Vec<(u64, u64, u32)>,
    latencies: Latencies,
    last: Option<Instant>,
}

struct Lane {
    run: Arc<Run>,
    client: Client,
    trader: Arc<Trader>,
    trader_at: usize,
    book: Mutex<Book>,
}

/// A command on its way.
struct Flying {
    number: u64,
    what: What,
    due: Instant,
    label: &'static str,
}

fn record(latencies: &mut Latencies, label: &'static str, time: Duration) {
    let histogram = latencies.entry(label).or_insert_with(|| {
        // Three digits up to ten minutes: about 200 kB each.
        Histogram::new_with_bounds(1, 600_000_000, 3).expect("the bounds are in order")
    });
    histogram.saturating_record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
}

impl Lane {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Turns verbs into commands. What would amend or cancel and finds no order to do it to enters one.
    fn commands(&self, slot: &Slot, due: Instant) -> Vec<(Flying, v1::OrderCommand)> {
        let run = &self.run;
        let mut book = self.book();
        let mut commands = Vec::with_capacity(slot.verbs.len());
        for (number, verb) in (slot.first..).zip(&slot.verbs) {
            let count = u64::try_from(book.live.len()).expect("a length fits");
            let at = usize::try_from(Random::of(run.shape.seed ^ 4, number).below(count));
            let order = match verb {
                Verb::Submit => None,
                Verb::Amend | Verb::Cancel if count == 0 => None,
                Verb::Amend | Verb::Cancel => Some(book.live.swap_remove(at.expect("below a length"))),
            };
            let id = run.ids.id(number);
            let (what, name, command) = match (verb, order) {
                (Verb::Amend, Some((origin, order_id, version))) => {
                    let amend = run.shape.amendment(origin, number, order_id, version);
                    let command = v1::order_command::Command::Amend(amend);
                    let command = v1::OrderCommand { client_order_id: id, command: Some(command) };
                    (What::Amend { origin }, "amend", command)
                }
                (Verb::Cancel, Some((origin, ..))) => {
                    (What::Cancel { origin }, "cancel", orders::cancel(id, run.ids.id(origin)))
                }
                (Verb::Submit | Verb::Amend | Verb::Cancel, _) => {
                    let order = run.shape.order(number, &self.trader.places);
                    (What::Submit, "submit", orders::submit(id, order))
                }
            };
            let label = match slot.way {
                Way::Unary => name,
                Way::Batch => "batch",
                Way::Stream => "stream",
            };
            commands.push((Flying { number, what, due, label }, command));
        }
        commands
    }

    fn answered(&self, flying: Flying, answer: Result<v1::OrderAnswer, CallError>) {
        let now = Instant::now();
        let Flying { number, what, due, label } = flying;
        let outcome = Outcome::of(&self.run.ids.id(number), answer);
        let mut book = self.book();
        if matches!(outcome, Outcome::Accepted { .. } | Outcome::Refused { .. }) {
            let time = now.saturating_duration_since(due);
            record(&mut book.latencies, label, time);
            record(&mut book.latencies, ALL, time);
        }
        if let Outcome::Accepted { order_id, version, .. } = outcome {
            match what {
                What::Submit => book.live.push((number, order_id, version)),
                What::Amend { origin } => book.live.push((origin, order_id, version)),
                What::Cancel { .. } => {}
            }
        }
        book.sent.push(Sent { number, what, outcome });
        book.last = Some(now);
        self.run.answered.fetch_add(1, Ordering::Relaxed);
    }

    async fn unary(&self, flying: Flying, command: v1::OrderCommand) {
        let id = command.client_order_id;
        let answer = match command.command {
            Some(v1::order_command::Command::Submit(order)) => self.client.submit(id, order).await,
            Some(v1::order_command::Command::Amend(amend)) => self.client.amend(id, amend).await,
            Some(v1::order_command::Command::Cancel(v1::CancelOrder { order: Some(order) })) => {
                self.client.cancel(id, order).await
            }
            Some(_) | None => Err(CallError::Protocol("no such command is planned")),
        };
        self.answered(flying, answer);
    }

    async fn batch(&self, flying: Vec<Flying>, commands: Vec<v1::OrderCommand>) {
        match self.client.batch(commands).await {
            Ok(answers) => {
                for (flying, answer) in flying.into_iter().zip(answers) {
                    self.answered(flying, Ok(answer));
                }
            }
            Err(error) => {
                for flying in flying {
                    let client_order_id = self.run.ids.id(flying.number);
                    let each = match &error {
                        CallError::Status(status) => CallError::Status(status.clone()),
                        CallError::OutcomeUnknown { last, .. } => {
                            CallError::OutcomeUnknown { client_order_id, last: last.clone() }
                        }
                        CallError::InFlight { .. } => CallError::InFlight { client_order_id },
                        CallError::Protocol(what) => CallError::Protocol(what),
                    };
                    self.answered(flying, Err(each));
                }
            }
        }
    }

    /// Sends what comes, until nothing will come and all is answered.
    async fn work(self: Arc<Self>, mut slots: mpsc::UnboundedReceiver<Slot>) {
        let batch_max = usize::try_from(self.run.batch).expect("a 32-bit number");
        let window = self.run.window.saturating_mul(self.run.batch);
        let entry = self.client.entry(EntryOptions { window, batch_max, ..EntryOptions::default() });
        let places = Arc::new(Semaphore::new(usize::try_from(self.run.window).expect("a 32-bit number")));
        let mut calls = JoinSet::new();
        while let Some(slot) = slots.recv().await {
            let place = Arc::clone(&places).acquire_owned().await.expect("the places are never closed");
            while calls.try_join_next().is_some() {}
            let due = self.run.start + slot.due;
            let commands = self.commands(&slot, due);
            self.run.sent.fetch_add(u64::try_from(commands.len()).expect("a length fits"), Ordering::Relaxed);
            record(&mut self.book().latencies, SENT_LATE, Instant::now().saturating_duration_since(due));
            let lane = Arc::clone(&self);
            match slot.way {
                Way::Unary => {
                    calls.spawn(async move {
                        for (flying, command) in commands {
                            lane.unary(flying, command).await;
                        }
                        drop(place);
                    });
                }
                Way::Batch => {
                    let (flying, commands) = commands.into_iter().unzip();
                    calls.spawn(async move {
                        lane.batch(flying, commands).await;
                        drop(place);
                    });
                }
                Way::Stream => {
                    let mut pending = Vec::with_capacity(commands.len());
                    for (flying, command) in commands {
                        pending.push((flying, entry.send(command).await));
                    }
                    calls.spawn(async move {
                        for (flying, answer) in pending {
                            let answer = answer.await;
                            lane.answered(flying, answer);
                        }
                        drop(place);
                    });
                }
            }
        }
        drop(entry);
        while let Some(ended) = calls.join_next().await {
            ended.expect("a call does not panic and is not aborted");
        }
    }
}

/// Carries a plan out and waits for the last answer.
pub(crate) async fn run(
    plan: &Plan,
    in_flight: u32,
    traders: &[Arc<Trader>],
    ids: &Ids,
    shape: &Shape,
) -> Measured {
    let run = Arc::new(Run {
        ids: ids.clone(),
        shape: shape.clone(),
        batch: plan.batch,
        window: in_flight,
        start: Instant::now() + Duration::from_millis(50),
        sent: AtomicU64::new(0),
        answered: AtomicU64::new(0),
    });
    let (mut lanes, mut senders, mut work) = (Vec::new(), Vec::new(), JoinSet::new());
    for (trader_at, trader) in traders.iter().enumerate() {
        for client in &trader.clients {
            let (run, client, trader) = (Arc::clone(&run), client.clone(), Arc::clone(trader));
            let lane = Arc::new(Lane { run, client, trader, trader_at, book: Mutex::default() });
            let (sender, receiver) = mpsc::unbounded_channel();
            work.spawn(Arc::clone(&lane).work(receiver));
            lanes.push(lane);
            senders.push(sender);
        }
    }
    let (slots, start) = (plan.slots(), run.start);
    // A thread of its own: timers of the runtime count in milliseconds.
    let pace = tokio::task::spawn_blocking(move || {
        for slot in slots {
            std::thread::sleep((start + slot.due).saturating_duration_since(Instant::now()));
            // A lane ends only when its sender is gone.
            let _ = senders[slot.connection].send(slot);
        }
    });
    let progress = tokio::spawn(progress(Arc::clone(&run), plan.commands()));
    pace.await.expect("the pace does not panic");
    while let Some(ended) = work.join_next().await {
        ended.expect("a connection's work does not panic");
    }
    progress.abort();
    let mut measured = Measured {
        sent: traders.iter().map(|_| Vec::new()).collect(),
        latencies: Latencies::new(),
        took: Duration::ZERO,
    };
    for lane in lanes {
        let book = std::mem::take(&mut *lane.book());
        measured.sent[lane.trader_at].extend(book.sent);
        for (label, histogram) in book.latencies {
            match measured.latencies.get_mut(label) {
                Some(all) => all.add(histogram).expect("all have the same bounds"),
                None => drop(measured.latencies.insert(label, histogram)),
            }
        }
        let took = book.last.map_or(Duration::ZERO, |last| last.saturating_duration_since(start));
        measured.took = measured.took.max(took);
    }
    for sent in &mut measured.sent {
        sent.sort_by_key(|it| it.number);
    }
    measured
}

/// Says once a second how far the run is: over and over on one line of a terminal, else every five seconds.
async fn progress(run: Arc<Run>, commands: u64) {
    let terminal = std::io::stderr().is_terminal();
    let mut ticks = tokio::time::interval(Duration::from_secs(if terminal { 1 } else { 5 }));
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let (sent, answered) = (run.sent.load(Ordering::Relaxed), run.answered.load(Ordering::Relaxed));
        let seconds = run.start.elapsed().as_secs();
        let unanswered = sent.saturating_sub(answered);
        let line = format!("{seconds} s: {sent} of {commands} commands sent, {unanswered} unanswered");
        if terminal {
            eprint!("\r\x1b[K{line}");
            let _ = std::io::stderr().flush();
        } else {
            eprintln!("{line}");
        }
    }
}
