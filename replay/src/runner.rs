//! The core's thread, and the handle by which everybody else reaches it.
//!
//! One thread owns the machine and the journal. Commands wait in a bounded inbox; whatever waits when
//! the thread looks becomes one batch with one sync, so that a lone command is never delayed for
//! company and a crowd shares the price. Only while a batch is on its way to a standby, what comes gathers
//! for at most half a millisecond: a batch costs two disks, a network, and everybody's wake-ups.
//! Queries run between batches and see only what is durable; they are answered in every state, also
//! when the journal has no space or the disk has failed.
//!
//! # Deliberately absent
//!
//! - **Polling.** The thread sleeps until a command, a query, a timer of the machine, the end of a gathering, or the
//!   moment to look for disk space again.
//! - **A clock.** It is handed in.

use crate::core::{Core, Done, Halt, Offer};
use crate::error::JournalError;
use crate::frame::Stamp;
use crate::machine::{Clock, Machine};
use crate::node::Node;
use crate::writer::Room;
use crossbeam::channel::{self, Receiver, Sender, TrySendError};
use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Queries answered between two batches, so that neither starves the other.
const QUERIES_PER_TURN: usize = 64;
/// How long commands gather while an earlier batch waits for a standby, counted from that batch: one that is farther away
/// gets the next before it has acknowledged the last.
const GATHER: Duration = Duration::from_micros(500);
/// How long a node that is asked to stop waits for its standby to acknowledge what it has taken.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// How the thread runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunnerOptions {
    /// Name of this node, for the record that begins an epoch.
    pub node: String,
    /// Commands that may wait in the inbox.
    pub inbox_commands: usize,
    /// Queries that may wait.
    pub inbox_queries: usize,
    /// Commands in one batch.
    pub batch_commands_max: usize,
    /// Time between two looks for disk space when there is none.
    pub space_retry: Duration,
}

impl Default for RunnerOptions {
    fn default() -> Self {
        Self {
            node: "node".to_owned(),
            inbox_commands: 16_384,
            inbox_queries: 1_024,
            batch_commands_max: 4_096,
            space_retry: Duration::from_secs(1),
        }
    }
}

/// What the core is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Takes commands.
    Running,
    /// Follows another node: takes no commands, answers queries.
    Standby,
    /// The journal has no space: takes no commands, answers queries, goes on when space returns.
    NoSpace,
    /// Finishes what it has taken, and ends.
    Stopping,
    /// The disk failed: takes no commands, answers queries. Only a restart helps.
    Failed,
    /// The thread has ended.
    Ended,
}

impl State {
    const ALL: [Self; 6] =
        [Self::Running, Self::Standby, Self::NoSpace, Self::Stopping, Self::Failed, Self::Ended];

    fn code(self) -> u8 {
        match self {
            Self::Running => 0,
            Self::NoSpace => 1,
            Self::Stopping => 2,
            Self::Failed => 3,
            Self::Ended => 4,
            Self::Standby => 5,
        }
    }
}

/// Why a command or query was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The inbox is full. Not taken; try again.
    Busy,
    /// The journal has no space. Not taken; try again later.
    NoSpace,
    /// The node is stopping. Not taken; try the next node.
    Stopping,
    /// The node follows another. Not taken; try that one.
    NotPrimary,
    /// The node ceased to lead before the command was acknowledged. Its outcome is unknown; ask the new
    /// primary with the same request id.
    SteppedDown,
    /// It does not fit into a batch. Not taken.
    TooLarge {
        /// Its size in the journal.
        bytes: u64,
        /// The largest that fits.
        bytes_max: u64,
    },
    /// The core has failed. If the command had been taken before, its outcome is unknown until the
    /// node has restarted; ask again with the same request id.
    Failed,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str("the inbox is full"),
            Self::NoSpace => f.write_str("the journal has no space"),
            Self::Stopping => f.write_str("the node is stopping"),
            Self::NotPrimary => f.write_str("the node is a standby"),
            Self::SteppedDown => {
                f.write_str("the node ceased to be primary; the outcome is unknown, ask the new one")
            }
            Self::TooLarge { bytes, bytes_max } => {
                write!(f, "the command takes {bytes} bytes; a batch holds {bytes_max}")
            }
            Self::Failed => f.write_str("the core has failed; the outcome is unknown"),
        }
    }
}

impl std::error::Error for Refused {}

/// What became of a command.
pub type Outcome<M> = Result<Done<<M as Machine>::Answer>, Refused>;

/// Where the core stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// What it is doing.
    pub state: State,
    /// The last durable and applied command.
    pub head: Stamp,
    /// Whatever anybody was told here lies at or before this command: answers and queries, and before the
    /// node led, everything. What the core did since by itself, nobody has heard from it.
    pub told_seq: u64,
    /// Commands that wait in the inbox.
    pub waiting: usize,
    /// How far the clock is behind journaled time, µs; 0 in good order.
    pub clock_behind_us: i64,
    /// Whether no further segment could be made (the current one still takes commands).
    pub space_is_low: bool,
    /// What failed, in words.
    pub failure: Option<String>,
}

type Reply<M> = Box<dyn FnOnce(Outcome<M>) + Send>;
type Look<M> = Box<dyn FnOnce(&M, Stamp) + Send>;
type Act<M> = Box<dyn FnOnce(&mut Node<M>, i64) + Send>;
type ReplyMany<M> = Box<dyn FnOnce(Vec<Outcome<M>>) + Send>;

enum Envelope<M: Machine> {
    One(M::Body, Reply<M>),
    Many(Vec<M::Body>, ReplyMany<M>),
}

enum Control<M: Machine> {
    Query(Look<M>),
    Act(Act<M>),
    Wake,
    Stop,
}

#[derive(Debug, Default)]
struct Shared {
    state: AtomicU8,
    seq: AtomicU64,
    told_seq: AtomicU64,
    epoch: AtomicU32,
    time_us: AtomicI64,
    behind_us: AtomicI64,
    space_is_low: AtomicU8,
    failure: Mutex<Option<String>>,
}

impl Shared {
    fn state(&self) -> State {
        let code = self.state.load(Ordering::Acquire);
        State::ALL.into_iter().find(|it| it.code() == code).unwrap_or(State::Failed)
    }

    fn set_state(&self, state: State) {
        self.state.store(state.code(), Ordering::Release);
    }

    /// Stopping wins over running and no space; failure wins over everything.
    fn shift(&self, from: State, to: State) {
        let (order, loads) = (Ordering::AcqRel, Ordering::Acquire);
        // Another state in between is newer and stays.
        let _newer = self.state.compare_exchange(from.code(), to.code(), order, loads).err();
    }
}

/// A handle to the core. Clones reach the same one; it may be used from any thread.
pub struct CoreHandle<M: Machine> {
    commands: Sender<Envelope<M>>,
    controls: Sender<Control<M>>,
    shared: Arc<Shared>,
}

impl<M: Machine> Clone for CoreHandle<M> {
    fn clone(&self) -> Self {
        let Self { commands, controls, shared } = self;
        Self { commands: commands.clone(), controls: controls.clone(), shared: Arc::clone(shared) }
    }
}

impl<M: Machine> CoreHandle<M> {
    /// Puts a command into the inbox, without waiting. `reply` is called on the core's thread, when
    /// the command is durable and applied or was refused; it hands the outcome on and returns. If the
    /// core dies, `reply` is dropped uncalled: the outcome is unknown.
    ///
    /// # Errors
    ///
    /// The command was not taken, and `reply` will not be called.
    pub fn submit(
        &self,
        body: M::Body,
        reply: impl FnOnce(Outcome<M>) + Send + 'static,
    ) -> Result<(), Refused> {
        self.send(Envelope::One(body, Box::new(reply)))
    }

    /// Puts several commands into the inbox at once, as one entry. They are applied in their order with
    /// none between, and become durable together or not at all; the machine may refuse some of them.
    ///
    /// # Errors
    ///
    /// None was taken, and `reply` will not be called.
    pub fn submit_many(
        &self,
        bodies: Vec<M::Body>,
        reply: impl FnOnce(Vec<Outcome<M>>) + Send + 'static,
    ) -> Result<(), Refused> {
        self.send(Envelope::Many(bodies, Box::new(reply)))
    }

    /// Submits a command and waits for its outcome. Not for async code.
    ///
    /// # Errors
    ///
    /// As [`Outcome`].
    pub fn submit_wait(&self, body: M::Body) -> Outcome<M> {
        let (sender, receiver) = channel::bounded(1);
        self.submit(body, move |outcome| drop(sender.send(outcome)))?;
        receiver.recv().unwrap_or(Err(Refused::Failed))
    }

    /// Has a closure look at the machine between two batches, with the place of the last command
    /// applied. It must be short: the market waits for it.
    ///
    /// # Errors
    ///
    /// [`Refused::Busy`] if too many wait, or the core has ended. The closure will not be called.
    pub fn query(&self, look: impl FnOnce(&M, Stamp) + Send + 'static) -> Result<(), Refused> {
        self.controls.try_send(Control::Query(Box::new(look))).map_err(|error| self.refusal(&error))
    }

    /// Has a closure change the part that the node plays, between two batches; it is told the time, ms,
    /// of a clock that only goes forward. What follows from it is done at once afterwards. Waits for a
    /// place if too many wait: not for async code that must not.
    ///
    /// # Errors
    ///
    /// If the core has ended. The closure will not be called.
    pub fn act(&self, act: impl FnOnce(&mut Node<M>, i64) + Send + 'static) -> Result<(), Refused> {
        let sent = self.controls.send(Control::Act(Box::new(act)));
        sent.map_err(|_| self.refusal(&TrySendError::Disconnected(())))
    }

    /// Has a closure look at the machine and waits for what it returns. Not for async code.
    ///
    /// # Errors
    ///
    /// As [`Self::query`].
    pub fn query_wait<R: Send + 'static>(
        &self,
        look: impl FnOnce(&M, Stamp) -> R + Send + 'static,
    ) -> Result<R, Refused> {
        let (sender, receiver) = channel::bounded(1);
        self.query(move |machine, head| drop(sender.send(look(machine, head))))?;
        receiver.recv().map_err(|_| Refused::Failed)
    }

    /// The last durable and applied command.
    #[must_use]
    pub fn head(&self) -> Stamp {
        let shared = &self.shared;
        Stamp {
            seq: shared.seq.load(Ordering::Acquire),
            epoch: shared.epoch.load(Ordering::Acquire),
            time_us: shared.time_us.load(Ordering::Acquire),
        }
    }

    /// As [`Status::told_seq`].
    #[must_use]
    pub fn told_seq(&self) -> u64 {
        self.shared.told_seq.load(Ordering::Acquire)
    }

    /// Where the core stands. Never waits.
    #[must_use]
    pub fn status(&self) -> Status {
        let shared = &self.shared;
        Status {
            state: shared.state(),
            head: self.head(),
            told_seq: self.told_seq(),
            waiting: self.commands.len(),
            clock_behind_us: shared.behind_us.load(Ordering::Acquire),
            space_is_low: shared.space_is_low.load(Ordering::Acquire) != 0,
            failure: shared.failure.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// Has the core look at its clock again: for clocks that are moved by hand.
    pub fn wake(&self) {
        // With a full channel the core is awake anyway.
        drop(self.controls.try_send(Control::Wake));
    }

    /// Has the core finish what is in the inbox, take nothing more, and end.
    pub fn stop(&self) {
        self.shared.shift(State::Running, State::Stopping);
        self.shared.shift(State::NoSpace, State::Stopping);
        self.shared.shift(State::Standby, State::Stopping);
        drop(self.controls.send(Control::Stop));
    }

    fn send(&self, envelope: Envelope<M>) -> Result<(), Refused> {
        match self.shared.state() {
            State::Running => self.commands.try_send(envelope).map_err(|error| self.refusal(&error)),
            State::NoSpace => Err(Refused::NoSpace),
            State::Standby => Err(Refused::NotPrimary),
            State::Stopping | State::Ended => Err(Refused::Stopping),
            State::Failed => Err(Refused::Failed),
        }
    }

    fn refusal<T>(&self, error: &TrySendError<T>) -> Refused {
        match error {
            TrySendError::Full(_) => Refused::Busy,
            TrySendError::Disconnected(_) if self.shared.state() == State::Failed => Refused::Failed,
            TrySendError::Disconnected(_) => Refused::Stopping,
        }
    }
}

/// The running thread.
pub struct Runner<M: Machine> {
    thread: JoinHandle<Result<M, JournalError>>,
}

impl<M: Machine> Runner<M> {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// [`JournalError::Io`] if the system gives no thread.
    pub fn start(
        core: Core<M>,
        clock: impl Clock,
        options: RunnerOptions,
    ) -> Result<(CoreHandle<M>, Self), JournalError> {
        let node = Node::solo(core, &options.node);
        Self::start_node(node, clock, options)
    }

    /// Starts the thread of a node that may have others.
    ///
    /// # Errors
    ///
    /// [`JournalError::Io`] if the system gives no thread.
    pub fn start_node(
        mut node: Node<M>,
        clock: impl Clock,
        options: RunnerOptions,
    ) -> Result<(CoreHandle<M>, Self), JournalError> {
        let (commands, inbox) = channel::bounded(options.inbox_commands);
        let (controls, control_inbox) = channel::bounded(options.inbox_queries);
        let shared = Arc::new(Shared::default());
        node.core_mut().set_records_max(options.batch_commands_max);
        if node.leader().is_none() {
            shared.set_state(State::Standby);
        }
        let handle = CoreHandle { commands, controls, shared: Arc::clone(&shared) };
        let turn = move || {
            let guard = PanicGuard(Arc::clone(&shared));
            let mut turn = Turn {
                node,
                clock,
                options,
                inbox,
                controls: control_inbox,
                shared,
                replies: Vec::new(),
                waiting: VecDeque::new(),
                told_epoch: 0,
                started: Instant::now(),
                batch_at: Instant::now(),
                stop_by: None,
                carried: None,
                space_timer: channel::never(),
                space_timer_armed: false,
                space_due: false,
                stopping: false,
                ended: false,
            };
            turn.publish();
            turn.run();
            let ended = turn.end();
            drop(guard);
            ended
        };
        let thread = thread::Builder::new()
            .name("core".to_owned())
            .spawn(turn)
            .map_err(JournalError::io("start", "the core's thread"))?;
        Ok((handle, Self { thread }))
    }

    /// Waits until the core has ended, and gives the machine back.
    ///
    /// # Errors
    ///
    /// What stopped the core, if it was not asked to stop.
    ///
    /// # Panics
    ///
    /// If the machine panicked: a bug, which nothing may hide.
    pub fn join(self) -> Result<M, JournalError> {
        match self.thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// Who asked for the commands of one envelope, and what became of them so far: they are taken, acknowledged and refused
/// in their order.
enum Asker<M: Machine> {
    One(Reply<M>),
    Many { commands: usize, outcomes: Vec<Outcome<M>>, reply: ReplyMany<M> },
}

impl<M: Machine> Asker<M> {
    /// Takes the outcome of the next command; gives itself back while there are more to come.
    fn hear(self, outcome: Outcome<M>) -> Option<Self> {
        match self {
            Self::One(reply) => {
                reply(outcome);
                None
            }
            Self::Many { commands, mut outcomes, reply } => {
                outcomes.push(outcome);
                Self::Many { commands, outcomes, reply }.unless_told()
            }
        }
    }

    /// Replies if nothing more is to come.
    fn unless_told(self) -> Option<Self> {
        match self {
            Self::Many { commands, outcomes, reply } if outcomes.len() >= commands => {
                reply(outcomes);
                None
            }
            more @ (Self::One(_) | Self::Many { .. }) => Some(more),
        }
    }

    /// Refuses all commands that have no outcome yet.
    fn refuse(self, refused: Refused) {
        let mut next = self.unless_told();
        while let Some(asker) = next {
            next = asker.hear(Err(refused));
        }
    }
}

/// Commands that go into one batch together, and who asked for them.
type Group<M> = (Vec<<M as Machine>::Body>, Asker<M>);

struct Turn<M: Machine, C: Clock> {
    node: Node<M>,
    clock: C,
    options: RunnerOptions,
    inbox: Receiver<Envelope<M>>,
    controls: Receiver<Control<M>>,
    shared: Arc<Shared>,
    /// Of the batch in the making.
    replies: Vec<Asker<M>>,
    /// Of what is journaled and not yet acknowledged.
    waiting: VecDeque<Asker<M>>,
    /// The epoch of the last command when this node last counted all of them as told.
    told_epoch: u32,
    started: Instant,
    /// When the last batch was begun.
    batch_at: Instant,
    /// When a node that stops waits no longer for its standby.
    stop_by: Option<Instant>,
    /// What did not fit into the last batch.
    carried: Option<Group<M>>,
    /// Fires when it is time to look for disk space again; never while there is enough.
    space_timer: Receiver<Instant>,
    space_timer_armed: bool,
    space_due: bool,
    stopping: bool,
    ended: bool,
}

impl<M: Machine, C: Clock> Turn<M, C> {
    fn run(&mut self) {
        while !self.ended {
            let first = self.wait();
            self.queries();
            match self.shared.state() {
                State::Running | State::Stopping if self.node.leader().is_some() => {
                    if first.is_some() || (self.node.takes_commands() && self.gathers().is_none()) {
                        self.batch(first);
                    }
                }
                State::Running
                | State::Stopping
                | State::Standby
                | State::NoSpace
                | State::Failed
                | State::Ended => self.refuse(first),
            }
            self.settle();
            self.look_for_room();
            self.publish();
            // Everything taken is answered: a command can no longer enter once the state has changed,
            // and those that had entered before are in the inbox.
            let idle = self.inbox.is_empty() && self.carried.is_none() && self.waiting.is_empty();
            let late = self.stop_by.is_some_and(|it| it <= Instant::now());
            self.ended |= self.stopping && (idle || late);
        }
    }

    /// Sleeps until there is something to do. Returns a command if one has come.
    fn wait(&mut self) -> Option<Envelope<M>> {
        let state = self.shared.state();
        let running = state == State::Running && self.node.leader().is_some();
        if self.stopping && !self.waiting.is_empty() {
            let stop_by = *self.stop_by.get_or_insert_with(|| Instant::now() + STOP_PATIENCE);
            return self.select(stop_by.saturating_duration_since(Instant::now()));
        }
        if let Some(rest) = self.gathers() {
            return self.select(rest);
        }
        let takes = self.node.takes_commands();
        let more = self.carried.is_some() || (running && self.node.core().wants_quantum());
        if self.stopping || (takes && more) {
            return self.inbox.try_recv().ok();
        }
        let now_us = self.clock.now_us();
        let mut longest = Duration::MAX;
        if running && takes {
            let timer = self.node.core().next_timer_us();
            longest =
                timer.map_or(longest, |it| if it <= now_us { Duration::ZERO } else { self.clock.until(it) });
            if self.node.core().epoch_is_new() {
                longest = Duration::ZERO;
            }
        }
        self.select(longest)
    }

    /// How long commands are still left to gather; nothing if they may go into a batch now.
    fn gathers(&self) -> Option<Duration> {
        let core = self.node.core();
        if self.stopping || core.waiting() == 0 || self.carried.is_some() || core.wants_quantum() {
            return None;
        }
        GATHER.checked_sub(self.batch_at.elapsed()).filter(|it| !it.is_zero())
    }

    fn select(&mut self, longest: Duration) -> Option<Envelope<M>> {
        let timeout = if longest == Duration::MAX { channel::never() } else { channel::after(longest) };
        // With too much waiting for a standby, commands stay in the inbox until it is full.
        let full = self.node.leader().is_some() && !self.node.takes_commands();
        let inbox = if full || self.gathers().is_some() { channel::never() } else { self.inbox.clone() };
        channel::select! {
            recv(inbox) -> envelope => {
                // All handles are gone: nobody can ask for anything any more.
                self.stopping |= envelope.is_err();
                envelope.ok()
            }
            recv(self.controls) -> control => {
                match control {
                    Ok(control) => self.control(control),
                    Err(_) => self.stopping = true,
                }
                None
            }
            recv(self.space_timer) -> _ => {
                self.space_due = true;
                None
            }
            recv(timeout) -> _ => None,
        }
    }

    fn now_ms(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    fn control(&mut self, control: Control<M>) {
        match control {
            Control::Query(look) => {
                let head = self.node.core().head();
                self.shared.told_seq.store(head.seq, Ordering::Release);
                look(self.node.core().machine(), head);
            }
            Control::Act(act) => {
                let now_ms = self.now_ms();
                act(&mut self.node, now_ms);
            }
            Control::Wake => {}
            Control::Stop => self.stopping = true,
        }
    }

    fn queries(&mut self) {
        for _ in 0..QUERIES_PER_TURN {
            match self.controls.try_recv() {
                Ok(control) => self.control(control),
                Err(_) => return,
            }
        }
    }

    /// Makes one batch of whatever waits now.
    fn batch(&mut self, first: Option<Envelope<M>>) {
        let (begun, before) = (Instant::now(), self.node.core().durable().stamp.seq);
        let now_us = self.clock.now_us();
        self.node.core_mut().begin(now_us, &self.options.node);
        let mut next = self.carried.take();
        let mut first = first;
        loop {
            let group = next.take().or_else(|| first.take().map(unpack));
            let Some((bodies, asker)) = group.or_else(|| self.inbox.try_recv().ok().map(unpack)) else {
                break;
            };
            match self.node.core_mut().offer_all(bodies) {
                Offer::Taken => self.replies.extend(asker.unless_told()),
                Offer::TooLarge { bytes, bytes_max } => {
                    let refused = Refused::TooLarge { bytes, bytes_max };
                    asker.refuse(refused);
                }
                Offer::Full(bodies) => {
                    self.carried = Some((bodies, asker));
                    break;
                }
            }
        }
        let journaled = self.node.journal(now_us);
        if self.node.core().durable().stamp.seq > before {
            self.batch_at = begun;
        }
        match journaled {
            Ok(()) => self.waiting.extend(self.replies.drain(..)),
            Err(Halt::NoSpace) => {
                self.shared.shift(State::Running, State::NoSpace);
                self.replies.drain(..).for_each(|asker| asker.refuse(Refused::NoSpace));
                self.drop_carried(Refused::NoSpace);
            }
            Err(Halt::Failed) => self.notice_failure(),
        }
    }

    fn drop_carried(&mut self, refused: Refused) {
        if let Some((_, asker)) = self.carried.take() {
            asker.refuse(refused);
        }
    }

    /// Does what follows from what came, and answers what is acknowledged by it.
    fn settle(&mut self) {
        let (now_us, now_ms) = (self.clock.now_us(), self.now_ms());
        let Self { node, waiting, shared, .. } = self;
        node.settle_telling(now_us, now_ms, &mut |done| {
            // Before the reply, so that whoever is answered finds the status up to date.
            shared.seq.store(done.stamp.seq, Ordering::Release);
            shared.told_seq.store(done.stamp.seq, Ordering::Release);
            shared.epoch.store(done.stamp.epoch, Ordering::Release);
            shared.time_us.store(done.stamp.time_us, Ordering::Release);
            let asker = waiting.pop_front().expect("every command that was asked for has an asker");
            if let Some(more) = asker.hear(Ok(done)) {
                waiting.push_front(more);
            }
        });
        self.publish();
        self.notice_failure();
        if self.node.leader().is_some() {
            self.shared.shift(State::Standby, State::Running);
        } else {
            self.shared.shift(State::Running, State::Standby);
            self.shared.shift(State::NoSpace, State::Standby);
            self.waiting.drain(..).for_each(|asker| asker.refuse(Refused::SteppedDown));
            self.drop_carried(Refused::NotPrimary);
        }
    }

    fn notice_failure(&mut self) {
        let Some(error) = self.node.core().failure() else { return };
        let words = format!("{error}; {}", error.remedy());
        *self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(words);
        self.shared.set_state(State::Failed);
        let waiting = self.replies.drain(..).chain(self.waiting.drain(..));
        waiting.for_each(|asker| asker.refuse(Refused::Failed));
        self.drop_carried(Refused::Failed);
    }

    /// Answers what came in while the journal takes nothing.
    fn refuse(&mut self, first: Option<Envelope<M>>) {
        let refused = match self.shared.state() {
            State::NoSpace => Refused::NoSpace,
            State::Standby => Refused::NotPrimary,
            State::Running | State::Stopping | State::Ended => Refused::Stopping,
            State::Failed => Refused::Failed,
        };
        let mut next = first;
        while let Some(envelope) = next {
            unpack(envelope).1.refuse(refused);
            next = self.inbox.try_recv().ok();
        }
    }

    /// Looks for disk space when it is time to: each look may fill the rest of the disk for a moment,
    /// so it does not happen at every batch.
    fn look_for_room(&mut self) {
        self.space_due |= self.space_timer.try_recv().is_ok();
        let room =
            if self.space_due { self.node.core_mut().retry_room() } else { self.node.core_mut().room() };
        self.space_timer_armed &= !self.space_due;
        self.space_due = false;
        let low = matches!(room, Room::Low { .. });
        self.shared.space_is_low.store(u8::from(low), Ordering::Release);
        if room == Room::Ready {
            self.shared.shift(State::NoSpace, State::Running);
        }
        if (low || self.shared.state() == State::NoSpace) && !self.space_timer_armed {
            self.space_timer = channel::after(self.options.space_retry);
            self.space_timer_armed = true;
        }
    }

    fn publish(&mut self) {
        let head = self.node.core().head();
        // What another primary told lies before; a standby shows what it has.
        if self.node.leader().is_none() || head.epoch != self.told_epoch {
            self.told_epoch = head.epoch;
            self.shared.told_seq.store(head.seq, Ordering::Release);
        }
        let behind_us = head.time_us.saturating_sub(self.clock.now_us()).max(0);
        self.shared.seq.store(head.seq, Ordering::Release);
        self.shared.epoch.store(self.node.core().epoch(), Ordering::Release);
        self.shared.time_us.store(head.time_us, Ordering::Release);
        self.shared.behind_us.store(behind_us, Ordering::Release);
    }

    fn end(mut self) -> Result<M, JournalError> {
        self.shared.shift(State::Running, State::Ended);
        self.shared.shift(State::NoSpace, State::Ended);
        self.shared.shift(State::Standby, State::Ended);
        self.shared.shift(State::Stopping, State::Ended);
        // What slipped in while the state changed.
        let first = self.inbox.try_recv().ok();
        self.refuse(first);
        self.waiting.drain(..).for_each(|asker| asker.refuse(Refused::SteppedDown));
        let Self { node, shared, .. } = self;
        let closed = node.into_core().close();
        if closed.is_err() {
            shared.set_state(State::Failed);
        }
        closed
    }
}

/// Says that the core has failed if its thread unwinds: a bug in the machine must not look like a
/// clean stop.
struct PanicGuard(Arc<Shared>);

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if thread::panicking() {
            let words = "the core's thread panicked; this is a bug".to_owned();
            *self.0.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(words);
            self.0.set_state(State::Failed);
        }
    }
}

/// The commands of an envelope, and who asked for them.
fn unpack<M: Machine>(envelope: Envelope<M>) -> Group<M> {
    match envelope {
        Envelope::One(body, reply) => (vec![body], Asker::One(reply)),
        Envelope::Many(bodies, reply) => {
            let commands = bodies.len();
            (bodies, Asker::Many { commands, outcomes: Vec::with_capacity(commands), reply })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Asker, Refused};
    use crate::core::Done;
    use crate::frame::Stamp;
    use merit_engine::event::Answer;
    use merit_engine::market::Engine;
    use std::sync::mpsc;

    /// A node may cease to lead when some of the commands of an envelope are acknowledged and some are not.
    #[test]
    fn whoever_asked_for_several_is_told_once_what_became_of_each() {
        let done = |seq| Ok(Done { stamp: Stamp { seq, epoch: 1, time_us: 0 }, answer: Answer::None });
        let (sender, told) = mpsc::channel();
        let reply = move |outcomes| sender.send(outcomes).unwrap();
        let asker = Asker::<Engine>::Many { commands: 4, outcomes: Vec::new(), reply: Box::new(reply) };
        let asker = asker.unless_told().unwrap().hear(done(7)).unwrap().hear(done(8)).unwrap();
        assert!(told.try_recv().is_err(), "not before the last");
        asker.refuse(Refused::SteppedDown);
        let lost = || Err(Refused::SteppedDown);
        assert_eq!(told.recv().unwrap(), [done(7), done(8), lost(), lost()]);
    }

    #[test]
    fn whoever_asked_for_nothing_is_told_so_at_once() {
        let (sender, told) = mpsc::channel();
        let reply = move |outcomes: Vec<_>| sender.send(outcomes.len()).unwrap();
        assert!(
            Asker::<Engine>::Many { commands: 0, outcomes: Vec::new(), reply: Box::new(reply) }
                .unless_told()
                .is_none()
        );
        assert_eq!(told.recv(), Ok(0));
    }
}
