//! Clearing without blocks, from admitted book to verified result, one thread.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use merit_benches::generate::{Auction, Family, Recipe};
use merit_engine::book::AuctionBook;
use merit_engine::clearing::{Clearing, Progress};
use merit_engine::outcome::Outcome;
use merit_engine::verify::verify;
use std::hint::black_box;

fn clear(book: &AuctionBook) -> Outcome {
    let mut clearing = Clearing::start(book);
    while clearing.advance(book, u64::MAX) != Progress::Done {}
    clearing.into_outcome().expect("it is done")
}

fn clearing(criterion: &mut Criterion) {
    let cases: [(&str, Auction); 5] = [
        ("liquid 96x13", Recipe::new(Family::Liquid, 96, 13, 1).auction()),
        ("liquid 2x13", Recipe::new(Family::Liquid, 2, 13, 1).auction()),
        ("liquid 96x1", Recipe::new(Family::Liquid, 96, 1, 1).auction()),
        ("lumpy 96x13", Recipe::new(Family::Lumpy, 96, 13, 1).auction()),
        ("linear 96x13", Recipe { linear: 100, ..Recipe::new(Family::Liquid, 96, 13, 1) }.auction()),
    ];
    let books: Vec<(&str, AuctionBook)> =
        cases.iter().map(|(name, auction)| (*name, auction.book())).collect();
    for (name, auction) in &cases {
        println!("{name}: {} orders, {} points", auction.orders.len(), auction.points());
    }
    let mut group = criterion.benchmark_group("clear");
    group.sample_size(20);
    for (name, book) in &books {
        group.bench_function(*name, |bench| bench.iter(|| clear(black_box(book))));
    }
    group.finish();
    let mut group = criterion.benchmark_group("clear and verify");
    group.sample_size(20);
    for (name, book) in &books {
        group.bench_function(*name, |bench| {
            bench.iter(|| verify(book, &clear(black_box(book))).expect("every rule holds"));
        });
    }
    group.finish();
    let mut group = criterion.benchmark_group("admit");
    group.sample_size(20);
    let (name, auction) = &cases[0];
    group.bench_function(*name, |bench| {
        bench.iter_batched(|| (), |()| auction.book(), BatchSize::PerIteration);
    });
    group.finish();
}

criterion_group!(benches, clearing);
criterion_main!(benches);
