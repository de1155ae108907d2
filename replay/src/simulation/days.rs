//! Storms that last for days: hours of quiet between faults, with every timer running.
//!
//! Nothing is skipped: heartbeats, keep-alives, retries, silences, the market's timers and members' orders are all
//! sent and heard. Time jumps from one of them to the next. How often they come is drawn for each seed, and a storm
//! with slow timers lasts longer, so that each costs about the same. When nothing has been wrong for so long that
//! everything had to be well again, it must be: [`World::watch`].

use super::agent::Leases;
use super::ledger::LONG_FROM;
use super::world::{Message, World};
use crate::node::{Ack, Position};
use crate::replication::NodeId;
use crate::replication::lease::Holder;
use crate::storage::faulty::{Faults, Random};

const SECOND_MS: i64 = 1_000;
const MINUTE_MS: i64 = 60 * SECOND_MS;
const HOUR_MS: i64 = 60 * MINUTE_MS;
/// Messages and turns, about, in one storm.
const EVENTS: i64 = 1_000_000;
/// There and back between a member and the primary, and between that and a standby, at 3 ms a message, and one turn each.
const ANSWER_MS_MAX: i64 = 25;

/// How often things happen in one storm.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    beat_ms: i64,
    /// After so long without a heartbeat a standby looks for another primary.
    silence_ms: i64,
    /// After so long without an answer a primary would go on alone.
    pub(super) patience_ms: i64,
    lease_ms: i64,
    turn_ms: i64,
    look_ms: i64,
    follow_ms: i64,
    /// A member's patience.
    pub(super) again_ms: i64,
    operator_ms: i64,
    /// After so long without a fault everything is well.
    settle_ms: i64,
    fault_ms: i64,
    end_ms: i64,
}

/// What a node does when nobody asks it to.
#[derive(Clone, Debug, Default)]
pub(super) struct Timers {
    beat_ms: i64,
    look_ms: i64,
    ask_ms: i64,
    /// Work that goes on at once.
    soon_ms: i64,
    pub(super) claim_until_ms: i64,
    /// A disk without space is tried again after a second.
    pub(super) full_until_ms: i64,
    /// Durable and acknowledged, as its followers know.
    told: (u64, u64),
    /// Whether something has come that needs a turn.
    pub(super) touched: bool,
    drift_ppm: i64,
    disk_is_bad: bool,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Cut(usize, usize),
    Store(usize),
    Network,
    Disk(usize),
}

/// What was seen when calm began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Calm {
    leader: usize,
    epoch: u32,
    since_ms: i64,
}

#[derive(Debug)]
pub(super) struct Days {
    pub(super) pace: Pace,
    begun_ms: i64,
    fault_due_ms: i64,
    operator_due_ms: i64,
    /// Looks of the operator at an exchange without a primary.
    leaderless: i64,
    ends: Vec<(i64, End)>,
    /// Whether the network delays now as it does in a storm.
    rough: bool,
    disturbed_ms: i64,
    calm: Option<Calm>,
    watch_due_ms: i64,
    /// Since when the market's next timer is overdue at the primary.
    overdue_since_ms: Option<i64>,
}

fn draw(random: &mut Random, from: &[i64]) -> i64 {
    from[random.below(from.len())]
}

fn below(random: &mut Random, bound: i64) -> i64 {
    i64::try_from(random.below(usize::try_from(bound.max(1)).expect("positive"))).expect("small")
}

/// A time of about this mean until something that happens by chance: halving by halving, evenly within each.
fn until(random: &mut Random, mean_ms: i64) -> i64 {
    let mut ms = below(random, mean_ms * 69 / 100);
    while random.below(2) == 0 {
        ms += mean_ms * 69 / 100;
    }
    ms
}

/// Anything from moments to hours, each octave as often.
fn spread(random: &mut Random) -> i64 {
    let octave = 200 << random.below(16);
    octave + below(random, octave)
}

impl Pace {
    fn new(random: &mut Random, nodes: usize, by_leases: bool) -> Self {
        let beat_ms = draw(random, &[50, 100, 100, 250, 500, 1_000, 2_000, 5_000]);
        let silence_ms = beat_ms * (4 + below(random, 12)) + 200;
        let patience_ms = beat_ms * (4 + below(random, 12)) + 200;
        let lease_ms = draw(random, &[1, 2, 5, 10, 20, 60]) * SECOND_MS;
        let turn_ms = if random.below(3) == 0 { (lease_ms / 6).min(250) } else { lease_ms / 6 };
        let look_ms = draw(random, &[500, 2_000, 10_000]);
        let operator_ms = draw(random, &[30, 60, 300]) * SECOND_MS;
        let again_ms = draw(random, &[1, 2, 5, 10]) * SECOND_MS;
        let settle_ms = MINUTE_MS
            + 12 * (silence_ms + patience_ms)
            + 4 * (operator_ms + again_ms)
            + if by_leases { 20 * lease_ms } else { 0 };
        let fault_ms = settle_ms.max(10 * MINUTE_MS) * draw(random, &[1, 2, 4, 8]);
        let others = i64::try_from(nodes).expect("few") - 1;
        let an_hour = HOUR_MS / beat_ms * 2 * others
            + HOUR_MS / look_ms * others
            + if by_leases { HOUR_MS / turn_ms * 2 * (others + 1) } else { 0 };
        let end_ms = (EVENTS / an_hour).clamp(2, 120) * HOUR_MS;
        let follow_ms = draw(random, &[50, 200, 1_000]);
        Self {
            beat_ms,
            silence_ms,
            patience_ms,
            lease_ms,
            turn_ms,
            look_ms,
            follow_ms,
            again_ms,
            operator_ms,
            settle_ms,
            fault_ms,
            end_ms,
        }
    }

    pub(super) fn leases(&self) -> Leases {
        Leases::new(self.lease_ms, self.turn_ms, self.turn_ms + 100)
    }
}

impl Days {
    pub(super) fn new(random: &mut Random, nodes: usize, by_leases: bool, now_ms: i64) -> Self {
        let pace = Pace::new(random, nodes, by_leases);
        Self {
            fault_due_ms: now_ms + until(random, pace.fault_ms),
            pace,
            begun_ms: now_ms,
            operator_due_ms: now_ms,
            leaderless: 0,
            ends: Vec::new(),
            rough: false,
            disturbed_ms: now_ms,
            calm: None,
            watch_due_ms: 0,
            overdue_since_ms: None,
        }
    }

    /// Between two orders of a member: often before the gate of an hour, seldom in the night.
    fn gap_ms(random: &mut Random, now_ms: i64) -> i64 {
        let (hour, minute) = (now_ms / HOUR_MS % 24, now_ms / MINUTE_MS % 60);
        let mean_ms = match (hour, minute) {
            (6..22, 55..) => 5 * SECOND_MS,
            (6..22, _) => 4 * MINUTE_MS,
            _ => 2 * HOUR_MS,
        };
        until(random, mean_ms)
    }
}

impl World {
    /// Draws the pace of a storm of days; called before the first node starts.
    pub(super) fn pace(&mut self) {
        let (nodes, by_leases) = (self.nodes.len(), self.leases.is_some());
        // It begins at any hour.
        self.now_ms = below(&mut self.random, 24 * HOUR_MS);
        let days = Days::new(&mut self.random, nodes, by_leases, self.now_ms);
        if by_leases {
            self.leases = Some(days.pace.leases());
        }
        self.loss = 0;
        for machine in &mut self.nodes {
            machine.timers.drift_ppm = below(&mut self.random, 400) - 200;
        }
        self.members.iter_mut().for_each(|it| it.number = LONG_FROM);
        self.days = Some(days);
    }

    /// A node's own clock for waiting, which runs a little faster or slower than others.
    pub(super) fn local_ms(&self, index: usize) -> i64 {
        self.now_ms + self.now_ms * self.nodes[index].timers.drift_ppm / 1_000_000
    }

    /// The time that a node believes it is.
    pub(super) fn wall_us(&self, index: usize) -> i64 {
        self.local_ms(index) * 1_000 + self.nodes[index].clock_off_us
    }

    /// Whether messages may take long.
    pub(super) fn is_rough(&self) -> bool {
        self.stormy && self.days.as_ref().is_none_or(|it| it.rough)
    }

    /// All of it, then some time without faults.
    pub(super) fn live(&mut self) {
        let days = self.days.as_ref().expect("a storm of days");
        let (begun_ms, pace) = (days.begun_ms, days.pace);
        self.pass(begun_ms + pace.end_ms);
        self.heal();
        let days = self.days.as_mut().expect("a storm of days");
        days.fault_due_ms = i64::MAX;
        // Whoever is down comes back by itself.
        let up_ms = self.nodes.iter().map(|it| it.up_at_ms).max().unwrap_or(0);
        self.pass(self.now_ms.max(up_ms) + 2 * pace.settle_ms + HOUR_MS);
        // Members say nothing more, and what is on its way comes.
        self.members.iter_mut().for_each(|it| it.due_ms = i64::MAX);
        self.pass(self.now_ms + 2 * pace.again_ms + 2 * pace.beat_ms);
        self.finish();
        self.summary.days_ms = self.now_ms - begun_ms;
    }

    fn heal(&mut self) {
        let ends = std::mem::take(&mut self.days.as_mut().expect("a storm of days").ends);
        ends.into_iter().for_each(|(_, end)| self.end(end));
    }

    /// Time goes on to this moment, from one event to the next.
    fn pass(&mut self, until_ms: i64) {
        while self.now_ms < until_ms {
            let next_ms = self.next_ms().max(self.now_ms + 1).min(until_ms);
            let passed_ms = next_ms - self.now_ms;
            self.summary.steps += 1;
            self.now_ms = next_ms;
            let days = self.days.as_mut().expect("a storm of days");
            if days.calm.is_some() {
                self.summary.calm_ms += passed_ms;
            }
            let fault = days.fault_due_ms <= next_ms;
            let over: Vec<_> = days.ends.extract_if(.., |it| it.0 <= next_ms).collect();
            over.into_iter().for_each(|(_, end)| self.end(end));
            if fault {
                self.misfortune();
            }
            self.operate();
            self.happen();
            for index in 0..self.nodes.len() {
                if self.nodes[index].node.is_some() && self.node_due_ms(index) <= next_ms {
                    self.turn(index);
                    self.nodes[index].timers.touched = false;
                }
            }
            self.watch();
        }
    }

    /// When something happens next.
    fn next_ms(&self) -> i64 {
        let days = self.days.as_ref().expect("a storm of days");
        let mut next_ms = days.fault_due_ms.min(days.operator_due_ms);
        next_ms = days.ends.iter().map(|it| it.0).fold(next_ms, i64::min);
        next_ms = self.network.iter().map(|it| it.due_ms).fold(next_ms, i64::min);
        next_ms = self.members.iter().map(|it| it.due_ms).fold(next_ms, i64::min);
        if let Some(leases) = &self.leases {
            next_ms = leases.mail.iter().map(|it| it.due_ms()).fold(next_ms, i64::min);
            let up = self.nodes.iter().filter(|it| it.node.is_some());
            next_ms = up.map(|it| leases.due_ms(&it.agent)).fold(next_ms, i64::min);
        }
        (0..self.nodes.len()).map(|it| self.node_due_ms(it)).fold(next_ms, i64::min)
    }

    /// When a node does something by itself.
    fn node_due_ms(&self, index: usize) -> i64 {
        let machine = &self.nodes[index];
        let timers = &machine.timers;
        let Some(node) = &machine.node else { return machine.up_at_ms };
        if timers.touched {
            return self.now_ms;
        }
        if node.leader().is_some() {
            let timer_ms = node.core().next_timer_us().map_or(i64::MAX, |it| self.when(index, it));
            return timers
                .beat_ms
                .min(timers.look_ms)
                .min(timers.soon_ms)
                .min(timer_ms.max(timers.full_until_ms));
        }
        if machine.claim.is_some() {
            return timers.claim_until_ms;
        }
        let pace = &self.days.as_ref().expect("a storm of days").pace;
        let silent_ms = if machine.primary.is_some() { machine.heard_ms + pace.silence_ms } else { 0 };
        timers.ask_ms.max(silent_ms)
    }

    /// When a node will believe that it is so late.
    fn when(&self, index: usize, wall_us: i64) -> i64 {
        let machine = &self.nodes[index];
        let local_ms = (wall_us - machine.clock_off_us) / 1_000;
        local_ms - local_ms * machine.timers.drift_ppm / (1_000_000 + machine.timers.drift_ppm) + 1
    }

    /// What a node has to say to the others after its turn, each in its time.
    pub(super) fn speak_in_time(
        &mut self,
        index: usize,
        others: &[usize],
        position: Position,
        acks: Vec<Ack>,
    ) {
        let (now_ms, pace) = (self.now_ms, self.days.as_ref().expect("a storm of days").pace);
        let to = others[self.random.below(others.len())];
        let machine = &mut self.nodes[index];
        let Some(node) = machine.node.as_mut() else { return };
        let timers = &mut machine.timers;
        let mut out = Vec::new();
        if position.leads {
            if timers.look_ms <= now_ms {
                timers.look_ms = now_ms + pace.look_ms;
                out.extend(others.iter().map(|to| (*to, Message::Leads(position.epoch))));
            }
            let told = (position.durable_seq, position.acknowledged_seq);
            let speaks = timers.beat_ms <= now_ms || timers.told != told;
            if timers.beat_ms <= now_ms {
                timers.beat_ms = now_ms + pace.beat_ms;
            }
            timers.told = told;
            let goes_on = node.core().wants_quantum() || node.core().epoch_is_new();
            let soon_ms = timers.full_until_ms.max(now_ms + 1);
            timers.soon_ms = if goes_on { soon_ms } else { i64::MAX };
            for (to, feed) in &mut machine.feeds {
                let runs =
                    feed.poll(&machine.backlog, position.durable_seq, 1_024).expect("all segments are kept");
                if feed.is_behind(position.durable_seq) {
                    timers.soon_ms = now_ms + 1;
                }
                if speaks || !runs.is_empty() {
                    let (durable_seq, acknowledged) = (position.durable_seq, position.acknowledged_seq);
                    out.push((*to, Message::Runs { epoch: position.epoch, runs, durable_seq, acknowledged }));
                }
            }
        } else {
            machine.feeds.clear();
            (timers.beat_ms, timers.look_ms, timers.soon_ms) = (0, 0, 0);
            if let Some(primary) = machine.primary {
                out.extend(acks.into_iter().map(|ack| (primary, Message::Ack(ack))));
            }
            if machine.claim.is_some() {
                // Whoever waits for promises in vain gives up.
                machine.claim.take_if(|_| timers.claim_until_ms <= now_ms);
            } else {
                let silent = machine.primary.is_none() || now_ms >= machine.heard_ms + pace.silence_ms;
                if silent && timers.ask_ms <= now_ms {
                    timers.ask_ms = now_ms + pace.follow_ms;
                    machine.heard_ms = now_ms;
                    if node.handle_heard(&[]) {
                        out.push((to, Message::Follow(node.follow())));
                    } else {
                        out.extend(others.iter().map(|to| (*to, Message::Asks)));
                    }
                }
            }
        }
        out.into_iter().for_each(|(to, message)| self.send(index, to, message));
        self.summary.records = self.summary.records.max(position.durable_seq);
    }

    /// A member has its answer; `since_ms` if it knew whom to ask and asked once.
    pub(super) fn answered(&mut self, member: usize, since_ms: Option<i64>) {
        let now_ms = self.now_ms;
        let Some(days) = &self.days else { return };
        let calm_ms = days.calm.map_or(i64::MAX, |it| it.since_ms);
        if let Some(since_ms) = since_ms.filter(|it| *it >= calm_ms) {
            let took_ms = now_ms - since_ms;
            assert!(took_ms <= ANSWER_MS_MAX, "an answer took {took_ms} ms in a calm time");
            self.summary.slowest_ms = self.summary.slowest_ms.max(took_ms);
        }
        self.members[member].due_ms = now_ms + Days::gap_ms(&mut self.random, now_ms);
    }

    /// Somebody looks after an exchange that has no primary and does not come by one itself.
    fn operate(&mut self) {
        let now_ms = self.now_ms;
        let leads = self.leaders() > 0;
        let has_heirs = self.leases.as_ref().is_some_and(|it| it.store.has_heirs());
        let days = self.days.as_mut().expect("a storm of days");
        if days.operator_due_ms > now_ms {
            return;
        }
        days.operator_due_ms = now_ms + days.pace.operator_ms;
        days.leaderless = if leads { 0 } else { days.leaderless + 1 };
        let patience_ms = if has_heirs { 10 * days.pace.lease_ms } else { 0 };
        if days.leaderless * days.pace.operator_ms > patience_ms {
            // Whoever holds most of those that are there.
            let held = |it: &usize| self.nodes[*it].node.as_ref().map(|it| it.core().durable().stamp);
            let most = (0..self.nodes.len()).max_by_key(|it| held(it).map(|it| (it.epoch, it.seq)));
            let most = most.expect("there are nodes");
            // Where a primary may have gone on alone, whoever is down may hold what the others lack.
            if has_heirs && self.nodes.iter().any(|it| it.node.is_none()) {
                return;
            }
            self.nodes[most].agent.by_lease = false;
            self.claim(most);
        }
    }

    /// One fault, at times others soon after it.
    fn misfortune(&mut self) {
        let soon = self.chance(4);
        let days = self.days.as_mut().expect("a storm of days");
        let mean_ms = if soon { 4 * days.pace.silence_ms } else { days.pace.fault_ms };
        days.fault_due_ms = self.now_ms + until(&mut self.random, mean_ms);
        let index = self.random.below(self.nodes.len());
        let until_ms = self.now_ms + spread(&mut self.random);
        match self.random.below(40) {
            0..6 => self.down(index, false, until_ms),
            6..11 => self.down(index, true, until_ms),
            11 => {
                // The power of the whole house.
                for each in 0..self.nodes.len() {
                    let until_ms = self.now_ms + spread(&mut self.random);
                    self.down(each, true, until_ms);
                }
            }
            12..15 => {
                let other = self.random.below(self.nodes.len());
                self.sever(index, other, until_ms);
            }
            15..18 => (0..self.nodes.len()).for_each(|other| self.sever(index, other, until_ms)),
            18..21 => {
                if self.chance(2) {
                    (0..self.nodes.len()).for_each(|other| self.sever(index, other, until_ms));
                }
                if let Some(leases) = &mut self.leases {
                    leases.cut.push(index);
                    self.until(until_ms, End::Store(index));
                }
            }
            21..24 => {
                self.loss = [0, 20, 150][self.random.below(3)];
                self.days.as_mut().expect("a storm of days").rough = true;
                self.until(until_ms, End::Network);
            }
            24 => self.bad_disk(index, Faults { sync_fails: true, ..Faults::default() }, until_ms),
            25 => self.bad_disk(index, Faults { capacity_bytes: Some(0), ..Faults::default() }, until_ms),
            26 => self.bad_disk(index, Faults { read_only: true, ..Faults::default() }, until_ms),
            27 => self.bad_disk(index, Faults { short_writes: true, ..Faults::default() }, until_ms),
            28..30 => {
                let after = 1 + u64::try_from(self.random.below(6)).expect("small");
                let at = self.nodes[index].disk.operations() + after;
                self.bad_disk(index, Faults { power_lost_at: Some(at), ..Faults::default() }, until_ms);
            }
            30..32 => {
                self.down(index, false, until_ms);
                self.flip(index);
            }
            34..36 => {
                self.down(index, false, until_ms);
                self.wipe(index);
            }
            32..34 if self.leases.is_none() => {
                self.disturbed();
                self.claim(index);
            }
            // No fault in the sense of the calm: nothing but journaled time may follow from it.
            _ => {
                self.nodes[index].clock_off_us =
                    below(&mut self.random, 4 * HOUR_MS * 1_000) - 2 * HOUR_MS * 1_000
            }
        }
    }

    fn disturbed(&mut self) {
        let now_ms = self.now_ms;
        let days = self.days.as_mut().expect("a storm of days");
        (days.disturbed_ms, days.calm) = (now_ms, None);
    }

    fn until(&mut self, until_ms: i64, end: End) {
        self.disturbed();
        self.days.as_mut().expect("a storm of days").ends.push((until_ms, end));
    }

    fn down(&mut self, index: usize, power: bool, until_ms: i64) {
        self.disturbed();
        self.stop(index, power);
        self.nodes[index].up_at_ms = until_ms;
    }

    fn sever(&mut self, one: usize, other: usize, until_ms: i64) {
        let pair = (one.min(other), one.max(other));
        self.cut.push(pair);
        self.until(until_ms, End::Cut(pair.0, pair.1));
    }

    fn bad_disk(&mut self, index: usize, faults: Faults, until_ms: i64) {
        self.disk_fault(index, faults);
        self.nodes[index].timers.disk_is_bad = true;
        // Somebody sees to it: a node tries again all the time.
        self.until(until_ms.min(self.now_ms + 10 * MINUTE_MS), End::Disk(index));
    }

    fn end(&mut self, end: End) {
        match end {
            End::Cut(one, other) => {
                let at = self.cut.iter().position(|it| *it == (one, other));
                self.cut.swap_remove(at.expect("it was cut"));
            }
            End::Store(index) => {
                if let Some(leases) = &mut self.leases {
                    let at = leases.cut.iter().position(|it| *it == index);
                    leases.cut.swap_remove(at.expect("it was cut"));
                }
            }
            End::Network => {
                self.loss = 0;
                self.days.as_mut().expect("a storm of days").rough = false;
            }
            End::Disk(index) => {
                self.nodes[index].disk.set_faults(Faults::default());
                self.nodes[index].timers.disk_is_bad = false;
            }
        }
        self.disturbed();
    }

    fn is_well(&self) -> bool {
        let days = self.days.as_ref().expect("a storm of days");
        days.ends.is_empty()
            && self.nodes.iter().all(|it| it.node.is_some() && !it.timers.disk_is_bad)
            && self.nodes.iter().all(|it| it.node.as_ref().is_none_or(|it| it.core().failure().is_none()))
    }

    /// Where nothing has been wrong for long enough, one primary leads and goes on leading in its epoch, its lease holds,
    /// every standby follows and is heard, nobody goes on alone, and the market's timers come in time.
    fn watch(&mut self) {
        let now_ms = self.now_ms;
        if !self.is_well() {
            return self.disturbed();
        }
        let days = self.days.as_mut().expect("a storm of days");
        if now_ms < days.disturbed_ms + days.pace.settle_ms || now_ms < days.watch_due_ms {
            return;
        }
        days.watch_due_ms = now_ms + days.pace.beat_ms.min(500);
        let (pace, calm) = (days.pace, days.calm);
        let leaders: Vec<usize> =
            (0..self.nodes.len()).filter(|it| self.position_of(*it).is_some_and(|it| it.leads)).collect();
        assert_eq!(leaders.len(), 1, "one leads in a calm time");
        let leader = leaders[0];
        let position = self.position_of(leader).expect("it leads");
        let seen = Calm { leader, epoch: position.epoch, since_ms: calm.map_or(now_ms, |it| it.since_ms) };
        assert_eq!(calm.unwrap_or(seen), seen, "another leads, and nothing has happened");
        let local_ms = self.local_ms(leader);
        let node = self.nodes[leader].node.as_ref().expect("it leads");
        assert!(!position.alone && !node.wants_to_be_alone(), "a standby was lost in a calm time");
        let followers = node.leader().expect("it leads").followers();
        assert_eq!(followers.len() + 1, self.nodes.len(), "everybody follows: {followers:?}");
        for (id, it) in followers {
            let silent_ms = local_ms - it.heard_ms;
            assert!(it.connected && !it.diverged, "node {id:?} follows no more: {it:?}");
            assert!(silent_ms <= 2 * pace.beat_ms + 100, "node {id:?} was not heard for {silent_ms} ms");
            assert!(
                it.durable_seq + 64 >= position.durable_seq,
                "node {id:?} is behind: {it:?} {position:?}"
            );
        }
        let overdue = node.core().next_timer_us().is_some_and(|it| it < self.wall_us(leader));
        if let Some(leases) = &mut self.leases {
            let holder =
                Holder { node: NodeId(u8::try_from(leader).expect("few")), epoch: Some(position.epoch) };
            assert_eq!(leases.store.holder(now_ms), Some(holder), "the primary's lease has run out");
        }
        let days = self.days.as_mut().expect("a storm of days");
        days.calm = Some(seen);
        days.overdue_since_ms = if overdue { days.overdue_since_ms.or(Some(now_ms)) } else { None };
        let late_ms = days.overdue_since_ms.map_or(0, |it| now_ms - it);
        assert!(late_ms <= 2 * pace.beat_ms, "a timer of the market is late by {late_ms} ms");
    }

    fn position_of(&self, index: usize) -> Option<Position> {
        self.nodes[index].node.as_ref().map(|it| it.position())
    }
}
