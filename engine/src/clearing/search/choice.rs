//! What is still open about each item: its box of ratios, and what one choice means for its family
//! and its group.

use super::model::{Model, WHOLE, index};
use alloc::vec::Vec;

/// The ratios that an item may still have, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// Rejected.
    Out,
    /// Rejected, or accepted at its least ratio or more but no more than this.
    Free(i64),
    /// Accepted at a ratio from the first to the second.
    In(i64, i64),
}

impl Choice {
    pub(super) fn most(self) -> i64 {
        match self {
            Self::Out => 0,
            Self::Free(most) | Self::In(_, most) => most,
        }
    }

    pub(super) fn least(self) -> i64 {
        match self {
            Self::Out | Self::Free(_) => 0,
            Self::In(least, _) => least,
        }
    }

    pub(super) fn is_free(self) -> bool {
        matches!(self, Self::Free(_))
    }
}

/// True if a choice leaves more than one ratio.
pub(super) fn is_open(choice: Choice) -> bool {
    match choice {
        Choice::Out => false,
        Choice::Free(_) => true,
        Choice::In(least, most) => least < most,
    }
}

/// Everything is open.
pub(super) fn open(model: &Model) -> Vec<Choice> {
    model.items.iter().map(|_| Choice::Free(WHOLE)).collect()
}

/// (item, least, most) of the choices that differ from others.
pub(super) fn pack(from: &[Choice], choices: &[Choice]) -> Vec<(u32, u32, u32)> {
    let small = |value: i64| u32::try_from(value).expect("ratios are at most whole");
    let pairs = (0_u32..).zip(from.iter().zip(choices)).filter(|(_, (before, now))| before != now);
    pairs.map(|(item, (_, now))| (item, small(now.least()), small(now.most()))).collect()
}

/// The choices that were packed, on top of others.
pub(super) fn unpack(from: &[Choice], packed: &[(u32, u32, u32)]) -> Vec<Choice> {
    let mut choices = from.to_vec();
    for &(item, least, most) in packed {
        choices[index(item)] = match (i64::from(least), i64::from(most)) {
            (0, 0) => Choice::Out,
            (0, most) => Choice::Free(most),
            (least, most) => Choice::In(least, most),
        };
    }
    choices
}

/// What must be if an item is to be accepted.
pub(super) fn accepted(model: &Model, item: usize, choice: Choice) -> Choice {
    match choice {
        Choice::Free(most) => Choice::In(model.items[item].least, most),
        Choice::Out | Choice::In(..) => choice,
    }
}

/// Draws all consequences within one unit; false if there is a contradiction.
pub(super) fn propagate(model: &Model, choices: &mut [Choice], unit: usize) -> bool {
    loop {
        let mut changed = false;
        for &item in &model.units[unit] {
            let entry = &model.items[item];
            if let Some(parent) = entry.parent {
                changed |= cap(model, choices, item, choices[parent].most());
                if choices[item].least() > choices[parent].most() {
                    return false;
                }
                if choices[item].least() > choices[parent].least() {
                    let Choice::In(least, most) = accepted(model, parent, choices[parent]) else {
                        return false;
                    };
                    choices[parent] = Choice::In(least.max(choices[item].least()), most);
                    changed = true;
                }
            }
            if let Some(group) = entry.group {
                let taken: i64 = model.groups[group].iter().map(|&it| choices[it].least()).sum();
                if taken > WHOLE {
                    return false;
                }
                changed |= cap(model, choices, item, WHOLE - taken + choices[item].least());
            }
            if let Choice::In(least, most) = choices[item]
                && (least > most || least < entry.least)
            {
                return false;
            }
        }
        if !changed {
            return true;
        }
    }
}

/// Lowers the greatest ratio of an item; true if that changed anything.
fn cap(model: &Model, choices: &mut [Choice], item: usize, most: i64) -> bool {
    let before = choices[item];
    if most >= before.most() {
        return false;
    }
    choices[item] = match before {
        Choice::Free(_) if most < model.items[item].least => Choice::Out,
        Choice::Free(_) => Choice::Free(most),
        Choice::In(least, _) => Choice::In(least, most),
        Choice::Out => Choice::Out,
    };
    choices[item] != before
}
