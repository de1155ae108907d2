//! A primary and a standby in one thread, told by hand what happens: full disks, failing disks, releases
//! that do not understand each other, and a primary that comes back.

use crate::common::{HandClock, Tally, Told, boxed, options};
use merit_replay::core::{Core, Epoch, Halt, Misfit, Offer};
use merit_replay::error::JournalError;
use merit_replay::frame::{Head, Stamp};
use merit_replay::machine::Silent;
use merit_replay::node::{Ack, Node, Outlet, Position, Refusal, Settings, Welcome};
use merit_replay::replication::{Mode, NodeId, Run, Standing};
use merit_replay::runner::{Runner, RunnerOptions, State};
use merit_replay::segment::HEADER_BYTES;
use merit_replay::storage::Storage;
use merit_replay::storage::faulty::{Faults, FaultyDisk};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

#[derive(Default)]
struct Said {
    runs: Vec<Run>,
    acks: Vec<Ack>,
    unfit: Vec<String>,
}

struct Mouth(Arc<Mutex<Said>>);

impl Outlet for Mouth {
    fn journaled(&mut self, run: Run) {
        self.0.lock().unwrap().runs.push(run);
    }

    fn moved(&mut self, _: Position) {}

    fn ack(&mut self, ack: Ack) {
        self.0.lock().unwrap().acks.push(ack);
    }

    fn unfit(&mut self, why: &Refusal) {
        self.0.lock().unwrap().unfit.push(why.to_string());
    }

    fn begun(&mut self) {}
}

struct One {
    node: Node<Tally>,
    said: Arc<Mutex<Said>>,
    disk: FaultyDisk,
}

fn one(id: u8, disk: FaultyDisk) -> One {
    try_one(id, 2, disk).unwrap()
}

/// A node on a disk that it may refuse.
fn try_one(id: u8, nodes: usize, disk: FaultyDisk) -> Result<One, JournalError> {
    let machine = Tally::default();
    let (core, _) =
        Core::open(boxed(&disk), options(4_096), Epoch::Follow, machine, Box::new(Silent), &mut |_| {})?;
    let settings = Settings {
        name: format!("n{id}"),
        id: NodeId(id),
        nodes,
        mode: Mode::Sync,
        patience_ms: 1_000,
        digest_every: 0,
        asks_before_alone: false,
    };
    let said = Arc::default();
    let node = Node::standby(core, settings, Box::new(Mouth(Arc::clone(&said))));
    Ok(One { node, said, disk })
}

impl One {
    fn lead(&mut self) {
        let epoch = self.node.claim(0).unwrap();
        self.node.lead_by_order(epoch, false, 0).unwrap();
    }

    /// Enters numbers; returns what was acknowledged at once.
    fn enter(&mut self, numbers: &[u64]) -> Vec<u64> {
        self.node.core_mut().begin(1_000, "n");
        for number in numbers {
            let offer = self.node.core_mut().offer(Told::Number(*number));
            assert!(matches!(offer, Offer::Taken));
        }
        self.node.journal(1_000).unwrap();
        self.settle()
    }

    fn settle(&mut self) -> Vec<u64> {
        self.node.settle(1_000, 0).into_iter().map(|it| it.answer).collect()
    }

    fn said(&self) -> std::sync::MutexGuard<'_, Said> {
        self.said.lock().unwrap()
    }
}

/// The standby asks to follow, gives up what it must, and takes everything the primary has said so far.
fn join(primary: &mut One, standby: &mut One) -> Result<(), Refusal> {
    let mut welcome = primary.node.handle_follow(&standby.node.follow(), 0);
    if let Welcome::PartsAfter { epoch, seq, asked } = welcome {
        standby.node.handle_parting(epoch, seq, asked)?;
        welcome = primary.node.handle_follow(&standby.node.follow(), 0);
    }
    let Welcome::From { epoch, asked, .. } = welcome else { panic!("{welcome:?}") };
    standby.node.handle_heard(&[primary.node.standing()]);
    standby.node.handle_welcome(epoch, asked)?;
    carry(primary, standby);
    Ok(())
}

/// Carries everything from the primary to the standby, and its acknowledgements back.
fn carry(primary: &mut One, standby: &mut One) -> Vec<u64> {
    let position = primary.node.position();
    let runs = primary.said().runs.clone();
    // A standby that follows no more takes nothing.
    drop(standby.node.handle_runs(position.epoch, runs, position.acknowledged_seq));
    assert_eq!(standby.settle(), Vec::<u64>::new());
    let acks = std::mem::take(&mut standby.said().acks);
    let id = standby.node.settings().id;
    acks.iter().for_each(|ack| primary.node.handle_ack(id, ack, 0));
    primary.settle()
}

fn pair() -> (One, One) {
    let (mut primary, mut standby) = (one(0, FaultyDisk::new(1)), one(1, FaultyDisk::new(2)));
    primary.lead();
    assert_eq!(primary.enter(&[1]), Vec::<u64>::new(), "nobody else has it");
    join(&mut primary, &mut standby).unwrap();
    assert_eq!(primary.node.position().acknowledged_seq, 2);
    // The standby hears that this is acknowledged: until then its disk may have held something else before.
    carry(&mut primary, &mut standby);
    assert!(!standby.node.standing().refilling);
    (primary, standby)
}

#[test]
fn an_answer_waits_for_the_other_disk_and_the_standby_applies_what_is_acknowledged() {
    let (mut primary, mut standby) = pair();
    assert_eq!(primary.enter(&[2, 3]), Vec::<u64>::new());
    assert_eq!(carry(&mut primary, &mut standby), vec![3, 4]);
    assert_eq!(standby.node.core().machine().numbers(), vec![1], "it has not heard that they are");
    carry(&mut primary, &mut standby);
    assert_eq!(standby.node.core().machine(), primary.node.core().machine());
}

#[test]
fn a_standby_whose_disk_is_full_acknowledges_nothing_and_goes_on_when_there_is_space() {
    let (mut primary, mut standby) = pair();
    standby.disk.set_faults(Faults { capacity_bytes: Some(0), ..Faults::default() });
    let mut acknowledged = Vec::new();
    // Until the segments that were made before are full.
    for number in 0..200 {
        acknowledged.extend(primary.enter(&[number]));
        acknowledged.extend(carry(&mut primary, &mut standby));
    }
    assert!(acknowledged.len() < 200);
    assert!(standby.said().unfit.iter().any(|it| it.contains("no space")), "{:?}", standby.said().unfit);
    standby.disk.set_faults(Faults::default());
    assert!(standby.node.core().failure().is_none(), "a full disk is no failure");
    join(&mut primary, &mut standby).unwrap();
    carry(&mut primary, &mut standby);
    assert_eq!(standby.node.core().machine(), primary.node.core().machine());
}

#[test]
fn a_standby_whose_sync_failed_acknowledges_nothing_and_promises_nothing() {
    let (mut primary, mut standby) = pair();
    standby.disk.set_faults(Faults { sync_fails: true, ..Faults::default() });
    assert_eq!(primary.enter(&[7]), Vec::<u64>::new());
    assert_eq!(carry(&mut primary, &mut standby), Vec::<u64>::new());
    let failure = standby.node.core().failure().map(ToString::to_string).unwrap();
    assert!(failure.contains("cannot sync segment-"), "{failure}");
    assert!(matches!(standby.node.handle_claim(1_000), Err(Refusal::Halt(Halt::Failed))));
    // The next sync would succeed; it is not believed.
    assert_eq!(carry(&mut primary, &mut standby), Vec::<u64>::new());
}

#[test]
fn a_read_only_standby_is_refused_by_its_own_disk_and_the_primary_waits() {
    let (mut primary, mut standby) = pair();
    standby.disk.set_faults(Faults { read_only: true, ..Faults::default() });
    primary.enter(&[7]);
    assert_eq!(carry(&mut primary, &mut standby), Vec::<u64>::new());
    assert!(standby.node.core().failure().is_some());
    assert_eq!(primary.node.position().acknowledged_seq, 2);
}

#[test]
fn a_record_that_the_standbys_release_does_not_know_is_named_and_not_written() {
    let (primary, mut standby) = pair();
    let before = standby.node.core().durable();
    // Written by a release that has a kind 99.
    let mut frames = Vec::new();
    let stamp = Stamp { seq: before.stamp.seq + 1, ..before.stamp };
    let last =
        merit_replay::frame::put_record_for_another_node(&mut frames, &before, stamp, (99, &[1, 2, 3]));
    let run = Run { before, last, frames: frames.into() };
    let epoch = primary.node.position().epoch;
    standby.node.handle_runs(epoch, vec![run], 0).unwrap();
    standby.settle();
    let unfit = standby.said().unfit.join("; ");
    assert!(unfit.contains("record 3 cannot be understood") && unfit.contains("release"), "{unfit}");
    assert_eq!(standby.node.core().durable(), before);
}

#[test]
fn records_of_another_history_are_not_taken() {
    let (mut primary, mut standby) = pair();
    primary.enter(&[5]);
    let mut run = primary.said().runs.last().cloned().unwrap();
    run.before = Head { chain: run.before.chain ^ 1, ..run.before };
    let core = standby.node.core_mut();
    assert!(matches!(core.follow(&[run]), Err(Misfit::OtherHistory)));
}

#[test]
fn a_primary_that_comes_back_gives_up_what_nobody_was_told_and_nothing_else() {
    let (mut old, mut new) = pair();
    // Journaled, never acknowledged: the standby did not get it.
    assert_eq!(old.enter(&[8, 9]), Vec::<u64>::new());
    let epoch = new.node.claim(0).unwrap();
    new.node.lead(epoch, &[], 0).unwrap();
    new.enter(&[10]);
    let disk = old.disk.clone();
    drop(old);
    let mut old = one(0, disk);
    assert_eq!(old.node.core().machine().numbers(), vec![1], "what is not acknowledged is not applied");
    join(&mut new, &mut old).unwrap();
    carry(&mut new, &mut old);
    assert_eq!(old.node.core().machine().numbers(), vec![1, 10]);
    assert_eq!(old.node.core().machine(), new.node.core().machine());
}

/// A disk with the same files, but for one.
fn with(disk: &FaultyDisk, changed: &str, content: &[u8]) -> FaultyDisk {
    let other = FaultyDisk::new(9);
    for name in disk.list().unwrap() {
        let whole = disk.content(&name).unwrap();
        other.put(&name, if name == changed { content } else { &whole });
    }
    other
}

/// An old primary that holds three records that nobody else has, and the node that leads now.
fn parted() -> (FaultyDisk, One) {
    let (mut old, mut new) = pair();
    for number in [7, 8, 9] {
        assert_eq!(old.enter(&[number]), Vec::<u64>::new());
    }
    let epoch = new.node.claim(0).unwrap();
    new.node.lead(epoch, &[], 0).unwrap();
    new.enter(&[10]);
    let disk = old.disk.clone();
    drop(old);
    (disk, new)
}

/// It follows, and holds what the primary holds.
#[track_caller]
fn check_returns(mut old: One, new: &mut One, what: &str) {
    join(new, &mut old).unwrap_or_else(|error| panic!("{what}: {error}"));
    carry(new, &mut old);
    assert_eq!(old.node.core().durable(), new.node.core().durable(), "{what}");
    assert_eq!(old.node.core().machine().numbers(), vec![1, 10], "{what}");
}

#[test]
fn a_primary_that_comes_back_with_a_journal_cut_or_flipped_anywhere_is_refused_or_follows() {
    let (disk, _) = parted();
    let names = disk.list().unwrap();
    let name = names.iter().find(|it| it.starts_with("segment-")).unwrap();
    let whole = disk.content(name).unwrap();
    let used = whole.iter().rposition(|it| *it != 0).unwrap() + 9;
    let (mut refused, mut followed) = (0, 0);
    for at in HEADER_BYTES..used {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x81;
        for (what, content) in [("cut", &whole[..at]), ("flipped", &flipped)] {
            let what = format!("{what} at byte {at} of {used}");
            let damaged = with(&disk, name, content);
            match try_one(0, 2, damaged) {
                Ok(old) => {
                    assert!(
                        old.node.core().durable().stamp.seq >= 2,
                        "{what}: an acknowledged record is gone"
                    );
                    check_returns(old, &mut parted().1, &what);
                    followed += 1;
                }
                Err(JournalError::Damaged(damage)) => {
                    // Damage before something acknowledged, or before a batch that vouches for it.
                    assert!(damage.seq <= damage.acknowledged_seq.max(4), "{what}: {damage}");
                    refused += 1;
                }
                Err(error) => panic!("{what}: {error}"),
            }
        }
    }
    assert!(refused > 100 && followed > 100, "{refused} {followed}");
}

#[test]
fn a_power_cut_at_any_step_of_giving_up_a_tail_loses_nothing_acknowledged() {
    let mut cuts = 0;
    for at in 1.. {
        let (disk, mut new) = parted();
        let mut old = one(0, disk.clone());
        disk.set_faults(Faults { power_lost_at: Some(disk.operations() + at), ..Faults::default() });
        // Broken off or not: what counts is what the disk holds afterwards.
        let joined = join(&mut new, &mut old);
        let whole = joined.is_ok() && old.node.core().durable() == new.node.core().durable();
        drop(old);
        disk.restart();
        check_returns(one(0, disk), &mut new, &format!("power cut at operation {at}"));
        if whole {
            break;
        }
        cuts += 1;
    }
    assert!(cuts > 5, "{cuts}");
}

#[test]
fn a_primary_that_acknowledged_alone_refuses_to_give_it_up_and_says_why() {
    let (mut old, mut new) = pair();
    // A standby that follows closely would be waited for in spite of the order.
    old.node.handle_gone(NodeId(1), 0);
    old.node.order_alone();
    old.settle();
    assert_eq!(old.enter(&[8]).len(), 1, "acknowledged on one disk, by order");
    let epoch = new.node.claim(0).unwrap();
    new.node.lead(epoch, &[], 0).unwrap();
    new.enter(&[10]);
    let refused = join(&mut new, &mut old).unwrap_err();
    assert!(matches!(refused, Refusal::Acknowledged { .. }), "{refused:?}");
    let words = refused.to_string();
    assert!(words.contains("were acknowledged here") && words.contains("empty directory"), "{words}");
    assert_eq!(old.node.core().machine().numbers(), vec![1, 8]);
}

#[test]
fn a_clock_that_is_behind_does_not_turn_time_back_under_a_new_primary() {
    let (mut old, mut new) = pair();
    old.enter(&[2]);
    carry(&mut old, &mut new);
    let epoch = new.node.claim(0).unwrap();
    new.node.lead(epoch, &[], 0).unwrap();
    new.node.core_mut().begin(-5_000_000, "n");
    new.node.journal(-5_000_000).unwrap();
    assert_eq!(new.node.core().durable().stamp.time_us, 1_000);
}

/// Found by the simulation, seed 3917: the number of a record of its own was counted as one of the primary's.
#[test]
fn a_welcome_that_comes_after_the_node_has_led_is_not_taken() {
    let (mut first, mut second) = pair();
    let asked = second.node.follow();
    let epoch = first.node.claim(64).unwrap();
    first.node.lead(epoch, &[], 0).unwrap();
    let Welcome::From { epoch, asked, .. } = first.node.handle_follow(&asked, 0) else {
        panic!("it is a prefix")
    };
    // Before the answer comes, the other leads in a smaller epoch and writes.
    let own = second.node.claim(0).unwrap();
    assert!(own < epoch);
    second.node.lead(own, &[], 0).unwrap();
    second.enter(&[5, 6]);
    let refused = second.node.handle_welcome(epoch, asked);
    assert!(matches!(refused, Err(Refusal::Misfit(Misfit::OtherHistory))), "{refused:?}");
}

fn again(node: One) -> One {
    let One { node, disk, .. } = node;
    let id = node.settings().id.0;
    drop(node);
    disk.restart();
    one(id, disk)
}

/// It may have promised to a successor of this primary, and its acknowledgement would count.
#[test]
fn a_node_whose_disk_was_lost_follows_nobody_before_the_others_have_said_what_they_promised() {
    let (mut primary, _) = pair();
    let mut lost = one(1, FaultyDisk::new(9));
    let Welcome::From { epoch, asked, .. } = primary.node.handle_follow(&lost.node.follow(), 0) else {
        panic!()
    };
    let refused = lost.node.handle_welcome(epoch, asked);
    assert!(matches!(refused, Err(Refusal::Unheard)), "{refused:?}");
    // A promise of its own or to a candidate tells nothing of the one that was lost.
    lost.node.handle_claim(32).unwrap();
    lost = again(lost);
    assert!(!lost.node.handle_heard(&[]));
    let standing = primary.node.standing();
    assert!(lost.node.handle_heard(&[Standing { promised: 64, ..standing }]));
    lost = again(lost);
    assert!(lost.node.handle_heard(&[]), "it is known for good");
    assert_eq!(lost.node.standing().promised, 64);
    let refused = lost.node.handle_welcome(epoch, asked);
    assert!(matches!(refused, Err(Refusal::Fenced { promised: 64 })), "{refused:?}");
    // Of three all others are asked: each of them may have led by its promise.
    let mut third = try_one(2, 3, FaultyDisk::new(9)).unwrap();
    assert!(!third.node.handle_heard(&[standing, standing]));
    let other = Standing { node: NodeId(1), refilling: true, ..standing };
    assert!(third.node.handle_heard(&[standing, other]));
}

#[test]
fn a_node_whose_disk_was_lost_proves_nothing_before_it_holds_what_was_acknowledged() {
    let (mut primary, mut standby) = pair();
    primary.enter(&[2]);
    assert_eq!(carry(&mut primary, &mut standby).len(), 1);
    let mut lost = one(1, FaultyDisk::new(9));
    let Welcome::From { epoch, asked, .. } = primary.node.handle_follow(&lost.node.follow(), 0) else {
        panic!()
    };
    assert!(lost.node.handle_heard(&[primary.node.standing()]));
    lost.node.handle_welcome(epoch, asked).unwrap();
    let runs = primary.said().runs.clone();
    lost.node.handle_runs(epoch, runs[..1].to_vec(), 3).unwrap();
    lost.settle();
    assert_eq!((lost.node.position().acknowledged_seq, lost.node.standing().refilling), (2, true));
    lost = again(lost);
    assert!(lost.node.standing().refilling, "a start changes nothing of it");
    join(&mut primary, &mut lost).unwrap();
    assert_eq!((lost.node.position().acknowledged_seq, lost.node.standing().refilling), (3, false));
    lost = again(lost);
    assert!(!lost.node.standing().refilling);
    // Where only the promise was kept, it is the same.
    let emptied = FaultyDisk::new(10);
    emptied.put("promised.epoch", &lost.disk.content("promised.epoch").unwrap());
    lost = one(1, emptied);
    assert!(lost.node.handle_heard(&[]) && lost.node.standing().refilling);
    let Welcome::From { epoch, asked, .. } = primary.node.handle_follow(&lost.node.follow(), 0) else {
        panic!()
    };
    lost.node.handle_welcome(epoch, asked).unwrap();
    lost.node.handle_runs(epoch, primary.said().runs[..1].to_vec(), 3).unwrap();
    lost.settle();
    assert!(again(lost).node.standing().refilling);
}

/// Each batch costs two disks and a network, so few of them are on their way to a standby that is slow to acknowledge;
/// but the next does not wait for its acknowledgement either.
#[test]
fn commands_gather_while_a_batch_waits_for_a_standby_and_then_go_without_its_acknowledgement() {
    const COMMANDS: u64 = 60;
    let One { mut node, said, disk } = one(0, FaultyDisk::new(1));
    let epoch = node.claim(0).unwrap();
    node.lead_by_order(epoch, false, 0).unwrap();
    let begun = Instant::now();
    let (core, runner) = Runner::start_node(node, HandClock::default(), RunnerOptions::default()).unwrap();
    while core.status().state != State::Running {
        sleep(Duration::from_millis(1));
    }
    for number in 0..COMMANDS {
        core.submit(Told::Number(number), |_| {}).unwrap();
        sleep(Duration::from_micros(50));
    }
    let last = || said.lock().unwrap().runs.last().map_or(0, |run| run.last.stamp.seq);
    // The first record begins the epoch.
    while last() < COMMANDS + 1 {
        assert!(begun.elapsed() < Duration::from_secs(60), "no batch goes without an acknowledgement");
        sleep(Duration::from_millis(1));
    }
    let (batches, half_millis) = (said.lock().unwrap().runs.len(), begun.elapsed().as_micros() / 500);
    assert!(
        u128::try_from(batches).unwrap() <= half_millis + 2,
        "{batches} batches in {half_millis} half ms"
    );
    core.stop();
    runner.join().unwrap();
    drop(disk);
}
