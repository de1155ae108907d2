//! A state that is kept as bytes and taken back is the same in everything, from then on.

use crate::chance::Chance;
use crate::histories::live;
use merit_engine::digest::Hasher;
use merit_engine::market::Engine;
use merit_engine::snapshot;

fn kept(engine: &Engine) -> Vec<u8> {
    let mut bytes = Vec::new();
    snapshot::put(engine, &mut |piece| bytes.extend_from_slice(piece));
    bytes
}

fn restored(bytes: &[u8]) -> Result<Engine, snapshot::Damaged> {
    let mut pieces = bytes.chunks(1_000);
    let mut source = |into: &mut Vec<u8>| pieces.next().map(|it| into.extend_from_slice(it)).is_some();
    snapshot::take(u64::try_from(bytes.len()).unwrap(), &mut source)
}

/// Lives histories again beside an engine that was taken back from bytes somewhere on the way, and is again
/// and again: every event and answer is compared, and now and then everything.
#[test]
fn a_state_taken_back_goes_on_as_if_nothing_had_happened() {
    let (mut taken_back, mut amid_auctions) = (0, 0);
    for seed in 400..408 {
        let (driver, _) = live(seed, 1_000, 0);
        let mut chance = Chance(seed);
        let mut engine = Engine::new();
        let mut twin = Engine::new();
        let (mut events, mut twins) = (Vec::new(), Vec::new());
        for command in &driver.commands {
            if engine.rests() && chance.one_in(60) {
                let bytes = kept(&engine);
                assert!(kept(&twin) == bytes, "seed {seed}, after {}: bytes differ", engine.seq());
                twin = restored(&bytes).unwrap();
                assert_eq!(twin.digest(), engine.digest(), "seed {seed}, after {}", engine.seq());
                assert_eq!(twin.digest_in_full(), engine.digest(), "seed {seed}, after {}", engine.seq());
                taken_back += 1;
                amid_auctions += u32::from(engine.counts().any(|it| it.orders > 0));
            }
            let answer = engine.apply(command, &mut events);
            assert_eq!(twin.apply(command, &mut twins), answer, "seed {seed}, {}", command.seq);
            assert!(events == twins, "seed {seed}, {}: events differ", command.seq);
            events.clear();
            twins.clear();
        }
        assert_eq!(twin.digest(), engine.digest(), "seed {seed}");
        assert!(kept(&twin) == kept(&engine), "seed {seed}: bytes differ at the end");
    }
    println!("{taken_back} states taken back, {amid_auctions} of them with orders in a book");
    assert!(taken_back > 100 && amid_auctions > 50, "states must be taken back amid auctions");
}

/// Whether damage is found is the business of the checksums around the bytes; that it makes no panic and no
/// endless list is ours.
#[test]
fn damaged_bytes_are_refused_or_make_another_state_but_never_a_panic() {
    let (driver, _) = live(409, 150, 0);
    // Amid an auction: at the end no order is in a book.
    let (mut engine, mut events, mut bytes, mut most) = (Engine::new(), Vec::new(), Vec::new(), 0);
    for command in &driver.commands {
        engine.apply(command, &mut events);
        let orders: u32 = engine.counts().map(|it| it.orders).sum();
        if engine.rests() && orders > most {
            (bytes, most) = (kept(&engine), orders);
        }
    }
    assert!(most > 5, "{most}");
    let digest = restored(&bytes).unwrap().digest_in_full();
    let mut chance = Chance(1);
    let (mut refused, mut found) = (0, 0);
    for _ in 0..3_000 {
        let mut damaged = bytes.clone();
        let at = usize::try_from(chance.below(u64::try_from(bytes.len()).unwrap())).unwrap();
        damaged[at] ^= 1 << chance.below(8);
        match restored(&damaged) {
            Err(_) => refused += 1,
            Ok(state) => found += u32::from(state.digest_in_full() != digest),
        }
    }
    assert!(refused > 10 && found > 100, "{refused} refused, {found} found by the digest");
    for _ in 0..300 {
        let end = usize::try_from(chance.below(u64::try_from(bytes.len()).unwrap())).unwrap();
        assert!(restored(&bytes[..end]).is_err());
    }
}

/// Holds the layout, of states on the way, with orders in their books. If this fails because a kept type or the
/// codec changed, raise `snapshot::VERSION`; if only because histories or results changed, the number here
/// follows.
#[test]
fn the_layout_is_that_of_its_version() {
    let (driver, _) = live(410, 300, 0);
    let (mut engine, mut events, mut hasher) = (Engine::new(), Vec::new(), Hasher::new());
    let (mut in_books, mut states) = (0, 0);
    for command in &driver.commands {
        engine.apply(command, &mut events);
        if command.seq % 10 == 0 && engine.rests() {
            hasher.bytes(&kept(&engine));
            in_books += engine.counts().map(|it| it.orders).sum::<u32>();
            states += 1;
        }
    }
    assert!(states > 50 && in_books > 100, "{states} states, {in_books} orders in their books");
    let found = format!("{}:{:032x}", snapshot::VERSION, hasher.finish());
    assert_eq!(found, "3:5447ac42cfe7971748483519c435ad70");
}
