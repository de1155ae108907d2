//! Generated auctions are what their recipe says, and clear.

use super::{Auction, Family, Recipe};
use merit_engine::auction::{Shape, Side};
use merit_engine::clearing::{Clearing, Limit, Progress};
use merit_engine::verify::verify;

fn mixed(family: Family) -> Auction {
    let recipe =
        Recipe { blocks: 60, complex: 12, linear: 30, portfolios: Some(40), ..Recipe::new(family, 24, 5, 3) };
    assert_eq!(recipe.auction().json(), recipe.auction().json());
    recipe.auction()
}

#[test]
fn a_recipe_gives_every_kind_of_order() {
    for family in [Family::Liquid, Family::Lumpy] {
        let auction = mixed(family);
        assert_eq!((auction.blocks.len(), auction.complex.len()), (60, 12));
        let linear = auction.orders.iter().filter(|it| it.2.shape == Shape::Linear).count();
        assert!((1..auction.orders.len()).contains(&linear));
        let blocks = || auction.blocks.iter().map(|it| &it.1);
        assert!(blocks().any(|it| it.parent.is_some()) && blocks().any(|it| it.group.is_some()));
        assert!(blocks().any(|it| it.ratio_min == 500_000) && blocks().any(|it| it.side == Side::Buy));
        for (position, block) in (0..).zip(blocks()) {
            assert!(block.parent.is_none_or(|it| it.0 < position), "parents come first");
            assert!(block.quantity.iter().all(|it| it.1 > 0));
            assert!(block.price >= 0 && block.price <= 1_000_000 && block.price % 1_000 == 0);
        }
        let complex = || auction.complex.iter().map(|it| &it.1);
        assert!(complex().any(|it| it.fixed > 0) && complex().any(|it| it.curve[0].quantity_min > 0));
        for part in complex().flat_map(|it| &it.curve) {
            let offered: i64 = part.points.iter().map(|it| it.quantity).sum();
            assert!(part.points.iter().all(|it| it.quantity > 0) && part.quantity_min <= offered);
        }
    }
}

#[test]
fn a_generated_auction_clears_to_a_verified_result_with_blocks_accepted() {
    let book = mixed(Family::Liquid).book();
    let mut clearing = Clearing::start_within(&book, Limit { work: 3_000, gap: 0 });
    while clearing.advance(&book, u64::MAX) != Progress::Done {}
    let outcome = clearing.into_outcome().expect("it is done");
    assert_eq!(verify(&book, &outcome).map(|it| it.welfare), Ok(outcome.welfare));
    assert!(!outcome.blocks.is_empty() && !outcome.blocks_rejected.is_empty());
    assert!(!outcome.complex.is_empty() && !outcome.complex_rejected.is_empty());
}

#[test]
fn words_make_a_recipe() {
    let words = ["lumpy", "2", "40", "7", "--blocks", "9", "--linear", "5", "80"];
    let recipe = Recipe { blocks: 9, linear: 5, ..Recipe::new(Family::Lumpy, 2, 40, 7) };
    assert_eq!(Recipe::parse(&words), Ok((recipe, vec!["80"])));
    for wrong in [&["dull", "2", "1", "7"][..], &["lumpy", "2", "1"], &["lumpy", "0", "1", "7"]] {
        assert!(Recipe::parse(wrong).is_err(), "{wrong:?}");
    }
    assert!(Recipe::parse(&["lumpy", "2", "1", "7", "--blocks", "many"]).is_err());
}
