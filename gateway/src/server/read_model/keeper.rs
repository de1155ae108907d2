//! The thread that keeps the read model: applies batches, compares or writes records, rebuilds.

use super::apply::Applying;
use super::state::State;
use super::store::{self, Batch, Content, Doubt, Reach, Store};
use super::{Applied, Inner, ReadModel, keys, result};
use crate::server::convert::rows::TimeRows;
use crate::server::exchange::{Exchange, Reply};
use crossbeam::channel::{self, Receiver, RecvTimeoutError, Sender};
use merit_engine::event::Event;
use merit_replay::frame::Stamp;
use merit_replay::machine::Sink;
use merit_replay::storage::Storage;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Commands that the core may be ahead; then it waits, so that memory stays bounded. A keeper that builds everything again
/// may take this long before a market of 10,000 orders a second notices: most of a minute.
const COMMANDS_AHEAD_MAX: usize = 524_288;
/// How often the core looks whether it may go on.
const AHEAD_PAUSE: Duration = Duration::from_millis(1);
/// Commands in one note.
const NOTE_COMMANDS: usize = 64;
/// Commands in one batch while a journal is replayed.
const REPLAY_BATCH: usize = 1_024;
/// Commands that are applied before readers get their turn: every call looks up who asks, and should not have to sleep
/// for that.
const LOCKED_BATCH: usize = 16;
/// Events of a command that is applied by itself, mostly while readers have their turn.
const EVENTS_MANY: usize = 32;
/// How long records may gather before they are written: a start makes them again from the journal.
const FLUSH_INTERVAL: Duration = Duration::from_secs(10);
/// Bytes that may gather until then.
const WAITING_BYTES: usize = 8 << 20;
/// How long a busy keeper lets commands gather: to wake for each batch of the core's costs more than what is in it.
const GATHER: Duration = Duration::from_millis(1);
/// How often it looks whether there is something to write when nothing comes.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How long to wait for others who are at a store that shall be closed.
const LET_GO: Duration = Duration::from_secs(10);

/// What the core has applied; with the place at which it stands, if that was a batch's end.
struct Note {
    applied: Vec<Applied>,
    head: Option<Stamp>,
    /// Until it is taken, or nobody will.
    _ahead: Ahead,
}

/// Commands that the core is ahead of the keeper.
struct Ahead {
    all: Arc<AtomicUsize>,
    these: usize,
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.all.fetch_sub(self.these, Ordering::AcqRel);
    }
}

/// The core's end of the read model: hands on what was applied.
pub struct Feed {
    notes: Sender<Note>,
    applied: Vec<Applied>,
    ahead: Arc<AtomicUsize>,
}

impl Feed {
    fn new(notes: Sender<Note>) -> Self {
        Self { notes, applied: Vec::new(), ahead: Arc::default() }
    }

    fn hand_over(&mut self, head: Option<Stamp>) {
        // After a full one there is mostly another.
        let room = if self.applied.len() >= NOTE_COMMANDS { NOTE_COMMANDS } else { 0 };
        let applied = std::mem::replace(&mut self.applied, Vec::with_capacity(room));
        while self.ahead.load(Ordering::Acquire) > COMMANDS_AHEAD_MAX {
            std::thread::sleep(AHEAD_PAUSE);
        }
        let these = applied.len().max(1);
        self.ahead.fetch_add(these, Ordering::AcqRel);
        let ahead = Ahead { all: Arc::clone(&self.ahead), these };
        // An error means that the keeper has ended, which it does only after the core.
        let _ = self.notes.send(Note { applied, head, _ahead: ahead });
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        if !self.applied.is_empty() {
            self.hand_over(None);
        }
    }
}

impl Sink<Exchange> for Feed {
    fn applied(&mut self, stamp: Stamp, reply: &Arc<Reply>, events: Vec<Event>, _replayed: bool) {
        self.applied.push(Applied { stamp, reply: Arc::clone(reply), events });
        if self.applied.len() >= NOTE_COMMANDS {
            self.hand_over(None);
        }
    }

    fn batch_applied(&mut self, head: Stamp) {
        self.hand_over(Some(head));
    }
}

/// A read model that is ready to hear the journal.
pub struct Start {
    /// For the core.
    pub feed: Feed,
    /// For readers.
    pub model: Arc<ReadModel>,
    /// For the end: joins the thread.
    pub keeper: Keeper,
}

/// A store that was found, or begun.
pub struct Opened {
    directory: PathBuf,
    store: Store,
    /// How far it goes, as it says.
    pub has: Reach,
}

impl Opened {
    /// Opens the store under the data directory, or begins an empty one.
    #[must_use]
    pub fn at(data: &Path) -> Self {
        let directory = store::directory(data);
        let (store, has) = Store::open(&directory).unwrap_or_else(|doubt| {
            tracing::warn!(doubt = %doubt.0, "the read model is in doubt and is built again");
            (fresh(&directory), Reach::default())
        });
        Self { directory, store, has }
    }
}

/// The running thread.
pub struct Keeper {
    thread: JoinHandle<()>,
}

impl Keeper {
    /// Starts the thread on a store. `state` is the memory after some record, from a snapshot: the core
    /// replays what follows it. Without it the core replays everything, and all records are compared.
    /// `journal` is where the journal can be read again if the store turns out to be wrong; `among_others`
    /// says that it may end with records that are not acknowledged.
    ///
    /// # Errors
    ///
    /// If the system gives no thread.
    ///
    /// # Panics
    ///
    /// If the store does not reach the state.
    pub fn start(
        opened: Opened,
        state: Option<State>,
        journal: Box<dyn Storage>,
        among_others: bool,
    ) -> std::io::Result<Start> {
        let Opened { directory, mut store, mut has } = opened;
        let sums = match &state {
            Some(state) => {
                assert!(state.seq <= has.seq, "a store that does not reach a snapshot has no use for it");
                None
            }
            None => {
                let held = store.content().unwrap_or_else(|doubt| {
                    tracing::warn!(doubt = %doubt.0, "the read model is in doubt and is built again");
                    // The old store lets go of its files first.
                    drop(std::mem::replace(&mut store, Store::in_memory()));
                    (store, has) = (fresh(&directory), Reach::default());
                    Content::default()
                });
                Some(Sums { held, expected: Content::default() })
            }
        };
        let state = state.unwrap_or_default();
        let (notes, inbox) = channel::unbounded();
        let (applied, _) = watch::channel(state.seq);
        let inner = RwLock::new(Inner { state, store: Arc::new(store) });
        let model = Arc::new(ReadModel { inner, applied });
        let mut turn = Turn {
            model: Arc::clone(&model),
            directory,
            journal,
            has,
            sums,
            verified: has.seq == 0,
            among_others,
            waiting: Vec::new(),
            batch: Batch::default(),
            unflushed: false,
            flushed_at: Instant::now(),
        };
        let thread = std::thread::Builder::new().name("read-model".into()).spawn(move || turn.run(&inbox))?;
        Ok(Start { feed: Feed::new(notes), model, keeper: Self { thread } })
    }

    /// Waits until everything that the core said is applied and flushed. The core must have ended.
    pub fn join(self) {
        if self.thread.join().is_err() {
            tracing::error!("the read model's thread panicked; it will be built again");
        }
    }
}

/// A read model in memory of a journal that nobody writes to, for whoever compares.
///
/// # Errors
///
/// What is wrong with the journal, or with the model.
pub fn of_journal(
    journal: &dyn Storage,
    progress: &mut dyn FnMut(merit_replay::recovery::Progress),
) -> Result<ReadModel, String> {
    let inner = Inner { state: State::default(), store: Arc::new(Store::in_memory()) };
    let mut direct = Direct { inner, batch: Batch::default(), commands: 0, result: Ok(()) };
    let mut machine = Exchange::default();
    merit_replay::core::replay(journal, &mut machine, &mut direct, progress)
        .map_err(|error| format!("{error}\nremedy: {}", error.remedy()))?;
    direct.commit();
    direct.result.map_err(|doubt| doubt.0)?;
    let (applied, _) = watch::channel(direct.inner.state.seq);
    Ok(ReadModel { inner: RwLock::new(direct.inner), applied })
}

/// Applies on the thread that replays.
struct Direct {
    inner: Inner,
    batch: Batch,
    commands: usize,
    result: Result<(), Doubt>,
}

impl Direct {
    fn commit(&mut self) {
        self.commands = 0;
        let Inner { state, store } = &mut self.inner;
        store.commit(&self.batch, state.reach());
        self.batch.clear();
        let committed = store.write_if_full();
        self.result = std::mem::replace(&mut self.result, Ok(())).and(committed);
    }
}

impl Sink<Exchange> for Direct {
    fn applied(&mut self, stamp: Stamp, reply: &Arc<Reply>, events: Vec<Event>, _replayed: bool) {
        if self.result.is_err() {
            return;
        }
        let applied = Applied { stamp, reply: Arc::clone(reply), events };
        let Inner { state, store } = &mut self.inner;
        self.result = Applying { state, store: Some(&**store), batch: &mut self.batch }.apply(&applied);
        self.commands += 1;
        if self.commands >= REPLAY_BATCH {
            self.commit();
        }
    }
}

/// All records of the store against all that the journal gives.
struct Sums {
    /// What the store held when it was opened.
    held: Content,
    /// What it should hold up to `has`, as far as the replay has come.
    expected: Content,
}

struct Turn {
    model: Arc<ReadModel>,
    directory: PathBuf,
    journal: Box<dyn Storage>,
    /// How far the store goes, as it says.
    has: Reach,
    /// Nothing after a start from a snapshot: then events are compared one by one.
    sums: Option<Sums>,
    verified: bool,
    /// Whether the journal may end with records that are not acknowledged.
    among_others: bool,
    waiting: Vec<Applied>,
    /// Empty between two uses.
    batch: Batch,
    unflushed: bool,
    flushed_at: Instant,
}

impl Turn {
    fn run(&mut self, inbox: &Receiver<Note>) {
        let (rows, work) = channel::bounded::<Arc<Store>>(1);
        let write = move || {
            for store in work {
                // That it failed is what the store says when it is asked.
                if let Err(doubt) = store.write_slowly() {
                    tracing::warn!(doubt = %doubt.0, "the read model could not be written");
                }
            }
        };
        let writer = std::thread::Builder::new().name("read-model-rows".into()).spawn(write);
        let writer = writer.expect("a process that serves gets a thread");
        let mut applied_at = Instant::now();
        loop {
            match inbox.recv_timeout(LOOK_INTERVAL) {
                Ok(note) => {
                    let busy = applied_at.elapsed() < 2 * GATHER;
                    self.hear(note, inbox);
                    applied_at = Instant::now();
                    if busy && inbox.is_empty() {
                        std::thread::sleep(GATHER);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            let store = self.model.store();
            if store.has_failed() {
                drop(store);
                self.rebuild(&Doubt("its records could not be written".into()));
                continue;
            }
            let due = self.unflushed && self.flushed_at.elapsed() >= FLUSH_INTERVAL;
            if due {
                self.note_reach();
            }
            // With one to do and one waiting there is no need for a third.
            if (due || store.waiting_bytes() >= WAITING_BYTES) && rows.try_send(store).is_ok() {
                (self.flushed_at, self.unflushed) = (Instant::now(), false);
            }
        }
        drop(rows);
        // Nobody will read any more: the next start sees what is missing. This makes the writer hasten, too.
        if let Err(doubt) = self.flush() {
            tracing::warn!(doubt = %doubt.0, "the read model could not be written to its end");
        }
        if writer.join().is_err() {
            tracing::error!("the thread that writes the read model panicked");
        }
        // The model has it, and this: whoever starts next in this process needs its files.
        wait_for_others(&self.model.store(), 2);
    }

    /// Applies what a note says, and those after it that are here already, if a batch of the core's ends in them.
    fn hear(&mut self, note: Note, inbox: &Receiver<Note>) {
        let (mut next, mut last, mut whole) = (Some(note), None, false);
        while let Some(Note { applied, head, _ahead }) = next {
            self.waiting.extend(applied);
            (last, whole) = (head, whole || head.is_some());
            let room = self.waiting.len() < REPLAY_BATCH;
            next = if room { inbox.try_recv().ok() } else { None };
        }
        if whole || self.waiting.len() >= REPLAY_BATCH {
            self.apply(last);
        }
    }

    /// How far the store goes although nothing had to be recorded: a start from a snapshot asks for it.
    fn note_reach(&mut self) {
        let has = self.has;
        self.has = self.model.read(|state, store| {
            let reach = state.reach();
            if reach.seq <= has.seq {
                return has;
            }
            store.commit(&Batch::default(), reach);
            reach
        });
    }

    fn flush(&mut self) -> Result<(), Doubt> {
        self.note_reach();
        self.model.store().flush()
    }

    fn apply(&mut self, head: Option<Stamp>) {
        let mut waiting = std::mem::take(&mut self.waiting);
        let mut rest = waiting.as_slice();
        loop {
            let applied = match rest.split_first() {
                Some((large, after)) if self.is_large(large) => {
                    rest = after;
                    self.apply_large(large)
                }
                Some(_) | None => {
                    let some = rest.iter().take(LOCKED_BATCH).take_while(|it| !self.is_large(it)).count();
                    let (some, after) = rest.split_at(some);
                    rest = after;
                    self.apply_locked(some, head.filter(|_| rest.is_empty()))
                }
            };
            let applied = applied.and_then(|()| self.model.store().write_if_full());
            if let Err(doubt) = applied {
                // Reads the journal, and so knows what is still waiting here.
                self.rebuild(&doubt);
            }
            let seq = self.model.read(|state, _| state.seq);
            self.model.applied.send_replace(seq);
            if rest.is_empty() {
                break;
            }
        }
        // What the core made is freed here, when nobody waits for it.
        waiting.clear();
        self.waiting = waiting;
    }

    /// Whether a command says much of what can be made and stored while others read.
    fn is_large(&self, applied: &Applied) -> bool {
        self.verified
            && applied.stamp.seq > self.has.seq
            && applied.events.len() >= EVENTS_MANY
            && applied.reply.request.is_none()
    }

    /// Applies a command with many events: what it says is made and stored beside the readers, who only wait
    /// until the state has taken note.
    fn apply_large(&mut self, applied: &Applied) -> Result<(), Doubt> {
        let seq = applied.stamp.seq;
        let model = Arc::clone(&self.model);
        let prepared = model.read(|state, store| {
            // After a rebuild from the journal, what the core said meanwhile is known already.
            if seq <= state.seq {
                return Ok(Some(state.reach()));
            }
            let (mut batch, mut times) = (Batch::default(), TimeRows::default());
            for event in &applied.events {
                let shown = result::shown(state, event, &mut times, &mut batch)?;
                let Some(shown) = shown else { return Ok(None) };
                batch.put(keys::event(event.stream, event.stream_seq), shown);
            }
            let reach = Reach { seq, trail: state.trail_after(applied) };
            // Readers find nothing of it before the state says where it is.
            store.commit(&batch, reach);
            Ok(Some(reach))
        })?;
        let Some(reach) = prepared else {
            return self.apply_locked(std::slice::from_ref(applied), None);
        };
        let mut inner = model.inner.write().expect("only this thread writes, and it lives");
        if seq > inner.state.seq {
            inner.state.stand_at(applied.stamp, reach.trail);
            for event in &applied.events {
                result::note(&mut inner.state, event);
                inner.state.heads.insert(event.stream, event.stream_seq);
            }
            self.has = reach;
            self.unflushed = true;
        }
        Ok(())
    }

    /// Applies some commands while nobody reads; `head` says that the journal ends with them.
    fn apply_locked(&mut self, some: &[Applied], head: Option<Stamp>) -> Result<(), Doubt> {
        let model = Arc::clone(&self.model);
        let mut inner = model.inner.write().expect("only this thread writes, and it lives");
        self.apply_to(&mut inner, some)?;
        // After a power cut a node among others may not know yet that its last records were acknowledged, though
        // its store has them: after a start from a snapshot they are compared when they come. A rebuild would read
        // all of history, which may no longer be here.
        let waits = self.among_others && self.sums.is_none();
        match head {
            Some(head)
                if !self.verified && (head.seq == self.has.seq || head.seq < self.has.seq && !waits) =>
            {
                self.verify(head.seq, inner.state.trail)
            }
            Some(_) | None => Ok(()),
        }
    }

    fn apply_to(&mut self, inner: &mut Inner, waiting: &[Applied]) -> Result<(), Doubt> {
        let Inner { state, store } = inner;
        let mut batch = std::mem::take(&mut self.batch);
        batch.clear();
        for applied in waiting {
            let seq = applied.stamp.seq;
            // After a rebuild from the journal, what the core said meanwhile is known already.
            if seq <= state.seq {
                continue;
            }
            if seq > self.has.seq && !self.verified {
                self.verify(seq - 1, state.trail)?;
            }
            if seq > self.has.seq {
                Applying { state: &mut *state, store: Some(&**store), batch: &mut batch }.apply(applied)?;
                continue;
            }
            let mut compared = Batch::default();
            Applying { state: &mut *state, store: Some(&**store), batch: &mut compared }.apply(applied)?;
            for (key, value) in compared.records() {
                match &mut self.sums {
                    Some(sums) => sums.expected.add(key, value),
                    // What else there is follows from events, and may have been put anew since.
                    None if !keys::is_event(key) => {}
                    None if store.get(key)?.as_deref() == Some(value) => {}
                    None => return Err(Doubt("its records are not those of the journal".into())),
                }
            }
        }
        if state.seq > self.has.seq {
            // Commands that say nothing, as most quanta of clearing, are noted with the next flush.
            if !batch.is_empty() {
                self.has = state.reach();
                store.commit(&batch, self.has);
            }
            self.unflushed = true;
        }
        self.batch = batch;
        Ok(())
    }

    /// Compares what the store held with what the journal says up to the same command.
    fn verify(&mut self, seq: u64, trail: u128) -> Result<(), Doubt> {
        let has = self.has;
        if has.seq > seq {
            return Err(Doubt(format!("it goes up to command {}, the journal up to {seq}", has.seq)));
        }
        if has.trail != trail {
            return Err(Doubt("it is of another history than the journal".into()));
        }
        if self.sums.as_ref().is_some_and(|it| it.expected != it.held) {
            return Err(Doubt("its records are not those of the journal".into()));
        }
        self.verified = true;
        Ok(())
    }

    /// Builds everything again from the journal, into a new store or, if that fails, into memory.
    fn rebuild(&mut self, doubt: &Doubt) {
        tracing::warn!(doubt = %doubt.0, "the read model is in doubt and is built again");
        // The old store lets go of its files first, if nobody is at it any more. Who reads meanwhile is told to come again: the
        // state is still there, and an empty store would say that nothing else is.
        let old = std::mem::replace(
            &mut self.model.inner.write().expect("only this thread writes").store,
            Arc::new(Store::lost()),
        );
        wait_for_others(&old, 1);
        drop(old);
        for fresh in [fresh(&self.directory), Store::in_memory()] {
            (self.has, self.verified) = (Reach::default(), true);
            let mut inner = Inner { state: State::default(), store: Arc::new(fresh) };
            match self.replay_into(&mut inner) {
                Ok(()) => {
                    let mut place = self.model.inner.write().expect("only this thread writes");
                    let old = std::mem::replace(&mut *place, inner);
                    // Readers need not wait until it is taken down.
                    drop(place);
                    drop(old);
                    return;
                }
                Err(doubt) => tracing::warn!(doubt = %doubt.0, "the read model could not be built"),
            }
        }
        // Rather no answer than one without what is missing.
        self.model.inner.write().expect("only this thread writes").store = Arc::new(Store::lost());
        tracing::error!(
            "the read model is lost; mend the journal, or fill this node again from an empty directory"
        );
    }

    fn replay_into(&mut self, inner: &mut Inner) -> Result<(), Doubt> {
        let storage = self.journal.reader();
        let among_others = self.among_others;
        let (notes, inbox) = channel::unbounded();
        std::thread::scope(|scope| {
            let reader = scope.spawn(move || {
                let mut feed = Feed::new(notes);
                let mut machine = Exchange::default();
                if among_others {
                    merit_replay::core::replay_acknowledged(&*storage, &mut machine, &mut feed, &mut |_| {})
                } else {
                    merit_replay::core::replay(&*storage, &mut machine, &mut feed, &mut |_| {})
                }
            });
            let applied = self.apply_all(inner, &inbox);
            // The reader must not wait for a place in a channel that nobody empties.
            drop(inbox);
            match reader.join() {
                Ok(Ok(_)) => applied,
                Ok(Err(error)) => Err(Doubt(error.to_string())),
                Err(_) => Err(Doubt("the journal could not be read again".into())),
            }
        })
    }

    fn apply_all(&mut self, inner: &mut Inner, inbox: &Receiver<Note>) -> Result<(), Doubt> {
        let mut waiting = Vec::new();
        for note in inbox {
            waiting.extend(note.applied);
            if waiting.len() >= REPLAY_BATCH {
                self.apply_to(inner, &waiting)?;
                waiting.clear();
                inner.store.write_if_full()?;
            }
        }
        self.apply_to(inner, &waiting)
    }
}

/// Waits until a store has no more than so many owners, who write it or hand it on.
fn wait_for_others(store: &Arc<Store>, owners: usize) {
    let until = Instant::now() + LET_GO;
    while Arc::strong_count(store) > owners && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// An empty store in the directory, or in memory if there can be none.
fn fresh(directory: &Path) -> Store {
    let opened = Store::delete(directory)
        .map_err(|error| Doubt(error.to_string()))
        .and_then(|()| Store::open(directory));
    match opened {
        Ok((store, _)) => store,
        Err(doubt) => {
            tracing::error!(doubt = %doubt.0, "the read model stays in memory until the next start");
            Store::in_memory()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{AHEAD_PAUSE, COMMANDS_AHEAD_MAX, Feed, Keeper, Opened};
    use crate::server::exchange::Reply;
    use crossbeam::channel;
    use merit_engine::calendar::Day;
    use merit_engine::event::{Answer, Event, EventBody, Phase, Stream};
    use merit_engine::ids::{AuctionId, Market, MemberId};
    use merit_replay::frame::Stamp;
    use merit_replay::machine::Sink as _;
    use merit_replay::storage::disk::Disk;
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    /// To build everything again takes seconds, in which no market may stand still.
    #[test]
    fn the_core_waits_for_readers_only_when_it_is_half_a_million_commands_ahead() {
        let (notes, inbox) = channel::unbounded();
        let mut feed = Feed::new(notes);
        let ahead = Arc::clone(&feed.ahead);
        let reply = Arc::new(Reply { answer: Answer::None, request: None, member_seq: None });
        let core = std::thread::spawn(move || {
            let stamps = (1..).map(|seq| Stamp { seq, epoch: 1, time_us: 1 });
            for (index, stamp) in stamps.take(COMMANDS_AHEAD_MAX + 10_000).enumerate() {
                feed.applied(stamp, &reply, Vec::new(), false);
                // First one by one.
                if index < 10_000 {
                    feed.batch_applied(stamp);
                }
            }
        });
        while ahead.load(Ordering::Acquire) <= COMMANDS_AHEAD_MAX {
            std::thread::sleep(AHEAD_PAUSE);
        }
        std::thread::sleep(50 * AHEAD_PAUSE);
        assert!(!core.is_finished(), "it waits");
        let taken = inbox.into_iter().map(|note| note.applied.len()).sum::<usize>();
        core.join().unwrap();
        assert_eq!((taken, ahead.load(Ordering::Acquire)), (COMMANDS_AHEAD_MAX + 10_000, 0));
    }

    /// The journal's beginning is not here, so nothing can be built again: readers are told that, and not that
    /// there is nothing.
    #[test]
    fn a_read_model_that_is_lost_answers_nothing() {
        let data = tempfile::tempdir().unwrap();
        let journal = Box::new(Disk::create(&data.path().join("journal")).unwrap());
        let start = Keeper::start(Opened::at(data.path()), None, journal, true).unwrap();
        let (model, mut feed) = (start.model, start.feed);
        assert!(model.answer(MemberId(1), "a").unwrap().is_none());
        let auction = AuctionId { day: Day(1), market: Market::Dam, session: 0 };
        let body = EventBody::PhaseChanged { auction, phase: Phase::Open, next_due_us: None };
        let stamp = Stamp { seq: 1, epoch: 1, time_us: 1 };
        let event = Event { seq: 1, epoch: 1, time_us: 1, stream: Stream::Market, stream_seq: 1, body };
        let reply = Arc::new(Reply { answer: Answer::None, request: None, member_seq: None });
        feed.applied(stamp, &reply, vec![event], false);
        feed.batch_applied(stamp);
        drop(feed);
        start.keeper.join();
        assert!(model.answer(MemberId(1), "a").is_err());
    }
}
