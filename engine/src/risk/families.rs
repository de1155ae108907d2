//! Blocks of one member together: families and exclusive groups, nothing counted twice.
//!
//! A family is accepted only as far as it is worth it as a whole, so an accepted parent and its children
//! cost at most the sum of what each costs at its limit, whoever rescues whom. A child adds its cost
//! if that is above zero; one that earns may be rejected, so it takes nothing off. Of an exclusive group
//! the ratios sum to at most one, so it costs as much as the dearest of its members.

use super::Grid;
use super::worst::BlockWorst;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// A block among those of its member.
#[derive(Clone, Debug)]
pub struct Relative<'a, Id, Group> {
    /// Its id.
    pub id: Id,
    /// Its parent's id; a parent that is not among the blocks is none.
    pub parent: Option<Id>,
    /// Its exclusive group.
    pub group: Option<&'a Group>,
    /// What it costs.
    pub worst: BlockWorst,
}

/// What a block and all below it can cost.
#[derive(Clone, Copy)]
struct Branch {
    grains: i128,
    rounding: i128,
}

/// The worst case of all blocks of a member, minor units. `blocks` is sorted by id; parents make no
/// circle.
#[must_use]
pub fn worst<Id: Ord + Copy, Group: Ord>(grid: &Grid, blocks: &[Relative<'_, Id, Group>]) -> i128 {
    let find = |id: Id| blocks.binary_search_by_key(&id, |it| it.id).ok();
    let mut children: Vec<Vec<usize>> = Vec::new();
    children.resize_with(blocks.len(), Vec::new);
    let mut roots = Vec::new();
    for (at, block) in blocks.iter().enumerate() {
        match block.parent.and_then(find) {
            Some(parent) => children[parent].push(at),
            None => roots.push(at),
        }
    }
    let mut order = roots.clone();
    let mut next = 0;
    while let Some(at) = order.get(next).copied() {
        order.extend(&children[at]);
        next += 1;
    }
    let mut branches: Vec<Branch> = blocks.iter().map(|_| Branch { grains: 0, rounding: 0 }).collect();
    for at in order.into_iter().rev() {
        let own = blocks[at].worst;
        // With a parent that earns, a smaller ratio of it can let more of a group through: then each counts.
        let below = together(blocks, &branches, &children[at], own.grains >= 0);
        branches[at] = Branch { grains: own.grains + below.grains, rounding: own.rounding + below.rounding };
    }
    let mut minor = 0;
    let mut dearest: BTreeMap<&Group, i128> = BTreeMap::new();
    for at in roots {
        let Branch { grains, rounding } = branches[at];
        let alone = BlockWorst { grains, rounding }.alone(grid);
        match blocks[at].group {
            None => minor += alone,
            Some(group) => {
                let most = dearest.entry(group).or_default();
                *most = alone.max(*most);
            }
        }
    }
    minor + dearest.values().sum::<i128>()
}

/// Siblings: the dearest of each group, and everybody without one.
fn together<Id, Group: Ord>(
    blocks: &[Relative<'_, Id, Group>],
    branches: &[Branch],
    siblings: &[usize],
    exclusive: bool,
) -> Branch {
    let mut sum = Branch { grains: 0, rounding: 0 };
    let mut dearest: BTreeMap<&Group, Branch> = BTreeMap::new();
    for at in siblings {
        let it = branches[*at];
        match blocks[*at].group.filter(|_| exclusive) {
            None => {
                sum.grains += it.grains.max(0);
                sum.rounding += it.rounding;
            }
            Some(group) => {
                let most = dearest.entry(group).or_insert(Branch { grains: 0, rounding: 0 });
                most.grains = most.grains.max(it.grains);
                most.rounding = most.rounding.max(it.rounding);
            }
        }
    }
    for most in dearest.values() {
        sum.grains += most.grains;
        sum.rounding += most.rounding;
    }
    sum
}
