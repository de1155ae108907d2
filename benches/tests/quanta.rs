//! A large clearing gives the same result however its work is cut: its steps go on in the middle of a
//! pricing, a walk over all orders or a search for prices, which small auctions never see.
#![expect(clippy::unwrap_used, reason = "clippy lets only #[test] functions unwrap, not their helpers")]

use merit_benches::generate::Recipe;
use merit_engine::book::AuctionBook;
use merit_engine::clearing::{Clearing, Limit, Progress};
use merit_engine::outcome::Outcome;
use merit_engine::verify::Verification;

fn clear(book: &AuctionBook, limit: Limit, quantum: u64) -> (Outcome, u64) {
    let mut clearing = Clearing::start_within(book, limit);
    let mut quanta = 1;
    while clearing.advance(book, quantum) != Progress::Done {
        quanta += 1;
    }
    (clearing.into_outcome().unwrap(), quanta)
}

#[test]
fn any_cut_of_a_large_auction_gives_the_same_result() {
    for (words, work) in [
        ("liquid 24 5 1 --blocks 2000 --complex 20", 9_000),
        ("lumpy 48 3 2 --blocks 1200 --linear 10", 6_000),
    ] {
        let words: Vec<&str> = words.split(' ').collect();
        let (recipe, rest) = Recipe::parse(&words).unwrap();
        assert!(rest.is_empty(), "{rest:?}");
        let book = recipe.auction().book();
        let limit = Limit { work, gap: 0 };
        let (whole, quanta) = clear(&book, limit, u64::MAX);
        assert_eq!(quanta, 1);
        assert!(!whole.blocks.is_empty(), "{words:?}");
        for quantum in [1, 7, 1_000] {
            let (outcome, quanta) = clear(&book, limit, quantum);
            assert_eq!(outcome, whole, "{words:?} in quanta of {quantum}");
            assert!(quanta > work / quantum / 64, "{quanta} quanta of {quantum}");
        }
        for units in [1, 7, 1_000, u64::MAX] {
            let mut verification = Verification::start(&book, &whole);
            while !verification.advance(&book, &whole, units) {}
            let summary = verification.finish(&book, &whole);
            assert_eq!(summary.map(|it| it.welfare), Ok(whole.welfare), "{words:?} verified by {units}");
        }
    }
}
