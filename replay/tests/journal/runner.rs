//! The core's thread as its users see it.
use crate::common::{HandClock, Tally, Told, boxed, options};
use merit_replay::core::{Core, Epoch, Offer, replay};
use merit_replay::frame::Stamp;
use merit_replay::machine::{Machine, Silent, Sink};
use merit_replay::runner::{CoreHandle, Refused, Runner, RunnerOptions, State};
use merit_replay::storage::faulty::{Faults, FaultyDisk};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

fn start(disk: &FaultyDisk, clock: &HandClock, segment_bytes: u64) -> (CoreHandle<Tally>, Runner<Tally>) {
    start_with(disk, clock, segment_bytes, Epoch::Same, Box::new(Silent), RunnerOptions::default())
}

fn start_with(
    disk: &FaultyDisk,
    clock: &HandClock,
    segment_bytes: u64,
    epoch: Epoch,
    sink: Box<dyn Sink<Tally>>,
    runner: RunnerOptions,
) -> (CoreHandle<Tally>, Runner<Tally>) {
    let machine = Tally::default();
    let opened = Core::open(boxed(disk), options(segment_bytes), epoch, machine, sink, &mut |_| {});
    let (core, _) = opened.unwrap();
    let runner = RunnerOptions { space_retry: Duration::from_millis(1), ..runner };
    Runner::start(core, clock.clone(), runner).unwrap()
}

fn replayed(disk: &FaultyDisk) -> Tally {
    let mut machine = Tally::default();
    replay(disk, &mut machine, &mut Silent, &mut |_| {}).unwrap();
    machine
}

#[test]
fn what_is_answered_is_applied_in_order_and_replays_to_the_same_state() {
    let (disk, clock) = (FaultyDisk::new(1), HandClock::default());
    let (core, runner) = start(&disk, &clock, 4_096);
    for number in 0..200 {
        // The first record begins the epoch.
        assert_eq!(core.submit_wait(Told::Number(number)).unwrap().answer, number + 2);
    }
    core.stop();
    let machine = runner.join().unwrap();
    assert_eq!(machine.numbers(), (0..200).collect::<Vec<_>>());
    assert_eq!(replayed(&disk), machine);
    assert_eq!(core.status().state, State::Ended);
    assert_eq!(core.submit_wait(Told::Tick), Err(Refused::Stopping));
}

#[test]
fn commands_submitted_together_go_into_one_batch_or_none() {
    let (disk, clock) = (FaultyDisk::new(1), HandClock::default());
    let (core, runner) = start(&disk, &clock, 4_096);
    let together = |bodies| {
        let (sender, receiver) = mpsc::channel();
        core.submit_many(bodies, move |outcomes| sender.send(outcomes).unwrap()).unwrap();
        let outcomes: Vec<_> = receiver.recv().unwrap();
        outcomes.into_iter().map(|it| it.map(|done| done.stamp.seq)).collect::<Vec<_>>()
    };
    let bytes = |length| Told::Bytes(vec![2; length]);
    // The first record begins the epoch.
    assert_eq!(together(vec![Told::Number(1), bytes(3_000), Told::Number(3)]), [Ok(2), Ok(3), Ok(4)]);
    for bodies in [vec![Told::Number(4), bytes(5_000)], vec![bytes(2_000), bytes(2_000)]] {
        let outcomes = together(bodies);
        assert!(outcomes.iter().all(|it| matches!(it, Err(Refused::TooLarge { .. }))), "{outcomes:?}");
    }
    assert_eq!(together(vec![Told::Number(5)]), [Ok(5)]);
    assert_eq!(together(Vec::new()), []);
    drop(core);
    let machine = runner.join().unwrap();
    assert_eq!(machine.numbers(), [1, 3, 5]);
    assert_eq!(replayed(&disk), machine);
}

#[test]
fn a_group_that_does_not_fit_behind_others_waits_whole() {
    let disk = FaultyDisk::new(1);
    let opened = Core::open(
        boxed(&disk),
        options(4_096),
        Epoch::Same,
        Tally::default(),
        Box::new(Silent),
        &mut |_| {},
    );
    let (mut core, _) = opened.unwrap();
    core.begin(0, "node");
    let group = || vec![Told::Number(1), Told::Bytes(vec![1; 2_000])];
    assert_eq!(core.offer_all(group()), Offer::Taken);
    assert_eq!(core.offer_all(group()), Offer::Full(group()));
    let done = core.finish(0).unwrap();
    assert_eq!(done.iter().map(|it| it.stamp.seq).collect::<Vec<_>>(), [2, 3]);
    core.begin(0, "node");
    assert_eq!(core.offer_all(group()), Offer::Taken);
    let done = core.finish(0).unwrap();
    assert_eq!(done.iter().map(|it| it.stamp.seq).collect::<Vec<_>>(), [4, 5]);
    assert_eq!(core.close().unwrap().numbers(), [1, 1]);
}

#[test]
fn a_new_epoch_begins_with_its_own_record_and_time_does_not_go_back() {
    let (disk, clock) = (FaultyDisk::new(1), HandClock::default());
    clock.0.store(1_000, Ordering::SeqCst);
    let (core, runner) = start(&disk, &clock, 4_096);
    core.submit_wait(Told::Number(1)).unwrap();
    core.stop();
    runner.join().unwrap();
    clock.0.store(10, Ordering::SeqCst);
    let silent = Box::new(Silent);
    let (core, runner) = start_with(&disk, &clock, 4_096, Epoch::Next, silent, RunnerOptions::default());
    let done = core.submit_wait(Told::Number(2)).unwrap();
    assert_eq!(done.stamp, Stamp { seq: 4, epoch: 2, time_us: 1_000 });
    assert_eq!(core.status().clock_behind_us, 990);
    core.stop();
    let machine = runner.join().unwrap();
    assert_eq!(machine.told[2].1, Told::Epoch("node".to_owned()));
}

#[test]
fn a_timer_is_journaled_when_the_clock_passes_it() {
    let (disk, clock) = (FaultyDisk::new(1), HandClock::default());
    let (core, runner) = start(&disk, &clock, 4_096);
    core.submit_wait(Told::Timer(500)).unwrap();
    clock.0.store(499, Ordering::SeqCst);
    core.wake();
    assert_eq!(core.query_wait(|machine, _| machine.timer).unwrap(), Some(500));
    clock.0.store(501, Ordering::SeqCst);
    core.wake();
    // Each query is answered between batches, so one of them sees the tick.
    while core.query_wait(|machine, _| machine.timer).unwrap().is_some() {}
    core.stop();
    let told = runner.join().unwrap().told;
    let tick = told.last().unwrap();
    assert_eq!((tick.0.time_us, &tick.1), (501, &Told::Tick));
}

#[test]
fn long_work_goes_on_between_commands() {
    let (disk, clock) = (FaultyDisk::new(1), HandClock::default());
    let (core, runner) = start(&disk, &clock, 1 << 16);
    core.submit_wait(Told::Work(50)).unwrap();
    core.submit_wait(Told::Number(7)).unwrap();
    while core.query_wait(|machine, _| machine.work).unwrap() > 0 {}
    core.stop();
    let machine = runner.join().unwrap();
    let quanta = machine.told.iter().filter(|(_, told)| *told == Told::Quantum).count();
    assert_eq!(quanta, 50);
    assert_eq!(replayed(&disk), machine);
}

struct Hears(mpsc::Sender<(u64, Told, bool)>);

impl Sink<Tally> for Hears {
    fn applied(&mut self, stamp: Stamp, _: &u64, events: Vec<Told>, replayed: bool) {
        for event in events {
            self.0.send((stamp.seq, event, replayed)).unwrap();
        }
    }
}

#[test]
fn the_sink_hears_everything_before_the_asker_and_all_of_it_again_after_a_restart() {
    let (disk, clock) = (FaultyDisk::new(1), HandClock::default());
    let mut histories = Vec::new();
    for restart in [false, true] {
        let (sender, heard) = mpsc::channel();
        let sink = Box::new(Hears(sender));
        let (core, runner) = start_with(&disk, &clock, 4_096, Epoch::Same, sink, RunnerOptions::default());
        if !restart {
            core.submit_wait(Told::Number(1)).unwrap();
            assert_eq!(heard.try_iter().last(), Some((2, Told::Number(1), false)));
            core.submit_wait(Told::Number(2)).unwrap();
        }
        core.stop();
        runner.join().unwrap();
        histories.push(heard.try_iter().collect::<Vec<_>>());
    }
    assert_eq!(histories[0], [(3, Told::Number(2), false)]);
    assert_eq!(histories[1].last(), Some(&(3, Told::Number(2), true)));
    assert_eq!(histories[1].len(), 3);
}

/// Writes down what is applied, in order.
struct Diary(Arc<Mutex<Vec<String>>>);

impl Sink<Tally> for Diary {
    fn applied(&mut self, _: Stamp, _: &u64, events: Vec<Told>, _: bool) {
        self.0.lock().unwrap().push(format!("applied {events:?}"));
    }
}

#[test]
fn a_command_is_answered_before_the_quantum_that_shares_its_batch() {
    let (disk, diary) = (FaultyDisk::new(1), Arc::new(Mutex::new(Vec::new())));
    let sink = Box::new(Diary(Arc::clone(&diary)));
    let opened = Core::open(boxed(&disk), options(4_096), Epoch::Same, Tally::default(), sink, &mut |_| {});
    let (mut core, _) = opened.unwrap();
    core.begin(0, "node");
    assert!(matches!(core.offer(Told::Work(2)), Offer::Taken));
    core.finish(0).unwrap();
    diary.lock().unwrap().clear();
    core.begin(0, "node");
    for number in [7, 8] {
        assert!(matches!(core.offer(Told::Number(number)), Offer::Taken));
    }
    core.journal(0, None).unwrap();
    let last = core.durable().stamp.seq;
    core.acknowledge(last, &mut |done| diary.lock().unwrap().push(format!("answered {}", done.answer)));
    let wanted = [
        "applied [Number(7)]".to_owned(),
        format!("answered {}", last - 2),
        "applied [Number(8)]".to_owned(),
        format!("answered {}", last - 1),
        "applied [Quantum]".to_owned(),
    ];
    assert_eq!(*diary.lock().unwrap(), wanted);
    // The other quantum comes in the next batch, and then no more.
    core.begin(0, "node");
    assert_eq!(core.finish(0).unwrap(), []);
    assert!(!core.wants_quantum());
    drop(core);
    let machine = replayed(&disk);
    assert_eq!((machine.numbers(), machine.work), (vec![7, 8], 0));
}

#[test]
fn without_space_commands_are_refused_reads_go_on_and_the_core_recovers() {
    let (disk, clock) = (FaultyDisk::new(1), HandClock::default());
    let (core, runner) = start(&disk, &clock, 4_096);
    core.submit_wait(Told::Number(0)).unwrap();
    // Nothing more fits on the disk than what is there.
    disk.set_faults(Faults { capacity_bytes: Some(0), ..Faults::default() });
    let mut taken = 0;
    let refused = loop {
        match core.submit_wait(Told::Bytes(vec![7; 500])) {
            Ok(_) => taken += 1,
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused, Refused::NoSpace);
    assert_eq!(core.status().state, State::NoSpace);
    let seen = core.query_wait(|machine, head| (machine.told.len(), head.seq)).unwrap();
    assert_eq!(seen, (taken + 2, u64::try_from(taken).unwrap() + 2));
    assert_eq!(core.submit_wait(Told::Number(1)), Err(Refused::NoSpace));

    disk.set_faults(Faults::default());
    while core.status().state == State::NoSpace {
        std::thread::yield_now();
    }
    core.submit_wait(Told::Number(2)).unwrap();
    core.stop();
    let machine = runner.join().unwrap();
    assert_eq!(machine.numbers(), [0, 2], "what was refused is nowhere");
    assert_eq!(replayed(&disk), machine);
}

#[test]
fn a_failed_sync_stops_commands_for_good_and_reads_go_on() {
    let (disk, clock) = (FaultyDisk::new(1), HandClock::default());
    let (core, runner) = start(&disk, &clock, 4_096);
    core.submit_wait(Told::Number(1)).unwrap();
    disk.set_faults(Faults { sync_fails: true, ..Faults::default() });
    assert_eq!(core.submit_wait(Told::Number(2)), Err(Refused::Failed));
    assert_eq!(core.submit_wait(Told::Number(3)), Err(Refused::Failed));
    assert_eq!(core.status().state, State::Failed);
    assert!(core.status().failure.unwrap().contains("cannot sync segment-"));
    assert_eq!(core.query_wait(|machine, _| machine.numbers()).unwrap(), [1], "reads see what is durable");
    core.stop();
    assert!(runner.join().is_err());
    disk.restart();
    assert_eq!(replayed(&disk).numbers(), [1]);
}

#[test]
fn a_file_system_that_turns_read_only_stops_commands_with_its_reason() {
    let (disk, clock) = (FaultyDisk::new(1), HandClock::default());
    let (core, runner) = start(&disk, &clock, 4_096);
    core.submit_wait(Told::Number(1)).unwrap();
    disk.set_faults(Faults { read_only: true, ..Faults::default() });
    assert_eq!(core.submit_wait(Told::Number(2)), Err(Refused::Failed));
    let failure = core.status().failure.unwrap();
    assert!(failure.contains("cannot write segment-") && failure.contains("mend the disk"), "{failure}");
    assert_eq!(core.query_wait(|machine, _| machine.numbers()).unwrap(), [1]);
    core.stop();
    assert!(runner.join().is_err());
    disk.set_faults(Faults::default());
    assert_eq!(replayed(&disk).numbers(), [1]);
}

#[test]
fn a_clock_that_jumps_ahead_is_believed_and_one_that_jumps_back_is_waited_for() {
    let (disk, clock) = (FaultyDisk::new(1), HandClock::default());
    let (core, runner) = start(&disk, &clock, 4_096);
    let mut times = Vec::new();
    for (number, time_us) in (0..).zip([1_000, 9_000, 2_000, 8_999, 9_001]) {
        clock.0.store(time_us, Ordering::SeqCst);
        times.push(core.submit_wait(Told::Number(number)).unwrap().stamp.time_us);
    }
    assert_eq!(times, [1_000, 9_000, 9_000, 9_000, 9_001]);
    core.stop();
    runner.join().unwrap();
}

#[test]
fn a_full_inbox_refuses_at_once() {
    let (disk, clock) = (FaultyDisk::new(1), HandClock::default());
    let runner = RunnerOptions { inbox_commands: 2, ..RunnerOptions::default() };
    let (core, runner) = start_with(&disk, &clock, 4_096, Epoch::Same, Box::new(Silent), runner);
    let (hold, held) = mpsc::channel::<()>();
    let (entered, inside) = mpsc::channel();
    core.query(move |_, _| {
        entered.send(()).unwrap();
        held.recv().unwrap();
    })
    .unwrap();
    inside.recv().unwrap();
    core.submit(Told::Number(1), drop).unwrap();
    core.submit(Told::Number(2), drop).unwrap();
    assert_eq!(core.submit(Told::Number(3), drop), Err(Refused::Busy));
    hold.send(()).unwrap();
    core.stop();
    assert_eq!(runner.join().unwrap().numbers(), [1, 2]);
}

#[test]
fn only_one_process_writes_a_journal() {
    let (disk, clock) = (FaultyDisk::new(1), HandClock::default());
    let (core, runner) = start(&disk, &clock, 4_096);
    let second = Core::open(
        boxed(&disk),
        options(4_096),
        Epoch::Same,
        Tally::default(),
        Box::new(Silent),
        &mut |_| {},
    );
    let error = second.err().unwrap();
    assert_eq!(error.to_string(), "another process holds the lock of the journal or of its archive");
    core.stop();
    assert_eq!(runner.join().unwrap().digest(), 1);
}
