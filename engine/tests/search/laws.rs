//! What holds for every search: any cut into quanta gives the same result, and limits only cost welfare.

use crate::enumerate::clear;
use crate::random::{self, Seed, Size};

const SIZE: Size = Size {
    periods: 3,
    areas: 3,
    ticks: 9,
    curves: 20,
    lots: 9,
    blocks: 9,
    complex: 3,
    decisions: i64::MAX / 64,
};

#[test]
fn any_cut_into_quanta_gives_the_same_result() {
    for number in 0..150 {
        let auction = random::auction(&mut Seed::new(number), SIZE);
        let whole = clear(&auction, u64::MAX);
        for quantum in [1, 7, 100] {
            assert_eq!(clear(&auction, quantum), whole, "auction {number}, quantum {quantum}");
        }
    }
}
