//! `kill -9` of a real process that writes to a real disk: what it acknowledged is there, once.
//!
//! This proves nothing about the sync (the page cache survives a killed process); `journal::crash`
//! does. Its own harness, because the same program is parent and child: the child writes as fast as
//! it can and says on its standard output what was acknowledged, the parent kills it.
#![expect(clippy::unwrap_used, reason = "clippy lets only #[test] functions unwrap, not their helpers")]

use merit_engine::command::{Action, Actor, Body, Request};
use merit_engine::ids::TextId;
use merit_engine::market::Engine;
use merit_replay::core::{Core, Epoch};
use merit_replay::error::JournalError;
use merit_replay::frame::Record;
use merit_replay::inspect;
use merit_replay::machine::{Clock, Silent};
use merit_replay::record;
use merit_replay::recovery::{self, Discard, Visitor};
use merit_replay::runner::{Refused, Runner, RunnerOptions};
use merit_replay::storage::disk::Disk;
use merit_replay::storage::faulty::Random;
use merit_replay::writer::{Options, Writer};
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const ROUNDS: usize = 12;

fn main() {
    let mut arguments = env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next()) {
        (Some("child"), Some(dir)) => child(Path::new(&dir)),
        // Runners that ask for a list of tests get one.
        (Some("--list"), _) => println!("killed: test"),
        _ => parent(),
    }
}

struct Stopped;

impl Clock for Stopped {
    fn now_us(&self) -> i64 {
        0
    }

    fn until(&self, _: i64) -> Duration {
        Duration::MAX
    }
}

fn options() -> Options {
    Options { segment_bytes: 1 << 16, ..Options::new(7) }
}

/// A numbered command.
fn command(number: u64) -> Body {
    let request_id = TextId::new(&format!("r{number}")).unwrap();
    let action = Action::RegisterMember { code: request_id.clone(), name: "a member".to_owned() };
    Body::Request(Box::new(Request { actor: Actor::System, request_id, action }))
}

/// Submits numbers for ever and prints each when it is acknowledged.
fn child(dir: &Path) {
    let storage = Box::new(Disk::create(dir).unwrap());
    let silent = Box::new(Silent);
    let opened = Core::open(storage, options(), Epoch::Same, Engine::new(), silent, &mut |_| {});
    let core = opened.unwrap().0;
    // The record that begins the epoch is the only one without a number.
    let mut number = core.head().seq.saturating_sub(1);
    let (core, _runner) = Runner::start(core, Stopped, RunnerOptions::default()).unwrap();
    loop {
        let acknowledged = move |outcome: Result<_, Refused>| {
            outcome.unwrap();
            // One short write to a pipe, never split.
            std::io::stdout().lock().write_all(format!("{number}\n").as_bytes()).unwrap();
        };
        match core.submit(command(number), acknowledged) {
            Ok(()) => number += 1,
            Err(Refused::Busy) => std::thread::yield_now(),
            Err(refused) => panic!("{refused}"),
        }
    }
}

fn parent() {
    let dir = tempfile::tempdir().unwrap();
    let mut random = Random::new(20_261_122);
    let (mut acknowledged, mut torn) = (0, 0);
    for round in 0..ROUNDS {
        let mut child = Command::new(env::current_exe().unwrap())
            .arg("child")
            .arg(dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for _ in 0..1 + random.below(3_000) {
            acknowledged = lines.next().unwrap().unwrap().parse().unwrap();
        }
        if round == 0 {
            let second = Writer::open(Box::new(Disk::existing(dir.path())), options(), &mut Discard);
            assert!(matches!(second.err(), Some(JournalError::Locked)), "the child holds the lock");
        }
        // A journal can be looked at while it is written.
        inspect::verify(&Disk::existing(dir.path()), &mut |_| {}).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        // What it said before it died and nobody had read yet.
        acknowledged = lines.map(|it| it.unwrap().parse().unwrap()).last().unwrap_or(acknowledged);
        let mut numbers = Numbers(0);
        let found = recovery::scan(&Disk::existing(dir.path()), None, &mut numbers).unwrap();
        let count = numbers.0;
        assert!(acknowledged < count, "{acknowledged} was acknowledged and is not among {count}");
        torn += u64::from(found.tail.is_some());
    }
    println!(
        "killed: {ROUNDS} rounds, {acknowledged} acknowledged, all there once; {torn} torn tails ... ok"
    );
}

/// Counts numbered commands, each of which must be the next one.
struct Numbers(u64);

impl Visitor for Numbers {
    fn record(&mut self, found: &Record<'_>) -> Result<(), JournalError> {
        let body = record::decode(found.kind, found.payload).unwrap();
        if matches!(body, Body::Request(_)) {
            assert_eq!(body, command(self.0), "every number once, in the order of submission");
            self.0 += 1;
        }
        Ok(())
    }
}
