//! The rules of replication as examples, and over all small cases.

use super::leader::{Leader, Turn};
use super::lineage::Lineage;
use super::{Mode, NodeId, Standing, Unfit, epoch_after, may_lead, node_of_epoch};
use crate::frame::{Head, Stamp};

fn standing(node: u8, promised: u32, epoch: u32, seq: u64) -> Standing {
    let head = Head { stamp: Stamp { seq, epoch, time_us: 0 }, chain: 0 };
    Standing { node: NodeId(node), promised, head, acknowledged_seq: 0, refilling: false }
}

#[test]
fn no_two_nodes_ever_have_the_same_epoch() {
    for last in 0..100 {
        let mine: Vec<u32> = (0..16).map(|node| epoch_after(last, NodeId(node))).collect();
        for (node, epoch) in mine.iter().enumerate() {
            assert!(*epoch > last && *epoch <= last + 16, "{last} {node}: {epoch}");
            assert_eq!(usize::from(node_of_epoch(*epoch).0), node);
        }
    }
}

#[test]
fn nothing_is_acknowledged_that_only_one_disk_has() {
    let mut leader = Leader::new(16, Mode::Sync, 3, 11, 0);
    assert_eq!(leader.poll_acknowledged(15), 0);
    leader.handle_follow(NodeId(1), 10, 0);
    assert_eq!(leader.poll_acknowledged(15), 0, "nothing of this epoch is at the standby");
    leader.handle_ack(NodeId(1), 12, 0, 0);
    assert_eq!(leader.poll_acknowledged(15), 12);
    leader.handle_follow(NodeId(2), 14, 0);
    assert_eq!(leader.poll_acknowledged(13), 13, "the standby is ahead of this disk");
    leader.handle_gone(NodeId(2), 5);
    assert_eq!(leader.poll_acknowledged(20), 14, "what it had made durable stays so");
}

#[test]
fn a_primary_goes_on_alone_only_after_it_was_not_alone() {
    let mut leader = Leader::new(16, Mode::SyncOrDegrade, 2, 11, 0);
    assert_eq!(leader.poll_turn(11, 60_000, 1_000), None, "nobody knows what the other holds");
    leader.handle_follow(NodeId(1), 11, 60_000);
    assert_eq!(leader.poll_turn(11, 60_000, 1_000), None);
    leader.handle_gone(NodeId(1), 60_100);
    assert_eq!(leader.poll_turn(12, 61_000, 1_000), None);
    assert_eq!(leader.poll_turn(12, 61_100, 1_000), Some(Turn::Alone));
    leader.turn(Turn::Alone);
    assert_eq!(leader.poll_acknowledged(13), 13);
    leader.handle_follow(NodeId(1), 11, 62_000);
    assert_eq!(leader.poll_turn(9_013, 62_000, 1_000), None, "it is far behind yet");
    leader.handle_ack(NodeId(1), 9_000, 9_000, 62_000);
    assert_eq!(leader.poll_turn(9_013, 62_000, 1_000), Some(Turn::Together));
    assert_eq!(leader.poll_acknowledged(9_013), 9_013, "alone until it is journaled");
    leader.turn(Turn::Together);
    leader.handle_ack(NodeId(1), 9_014, 9_000, 62_000);
    assert_eq!(leader.poll_acknowledged(9_020), 9_014);
}

#[test]
fn a_standby_that_says_nothing_is_lost_even_while_it_is_connected() {
    let mut leader = Leader::new(16, Mode::SyncOrDegrade, 2, 1, 0);
    leader.handle_follow(NodeId(1), 1, 0);
    assert_eq!(leader.poll_turn(1, 0, 1_000), None);
    assert_eq!(leader.poll_turn(2, 999, 1_000), None);
    assert_eq!(leader.poll_turn(2, 1_000, 1_000), Some(Turn::Alone));
}

/// Found by the simulation of days: a standby that was back before its dead connection was noticed counted as lost.
#[test]
fn a_connection_that_is_found_dead_late_is_not_the_end_of_the_next_one() {
    let mut leader = Leader::new(16, Mode::SyncOrDegrade, 2, 1, 0);
    leader.handle_follow(NodeId(1), 1, 0);
    assert_eq!(leader.poll_turn(1, 0, 1_000), None);
    leader.handle_follow(NodeId(1), 1, 100);
    leader.handle_gone(NodeId(1), 200);
    leader.handle_ack(NodeId(1), 1, 1, 900);
    assert_eq!(leader.poll_turn(1, 1_200, 1_000), None, "it has been heard");
    assert!(leader.followers()[&NodeId(1)].connected);
}

#[test]
fn a_synchronous_primary_never_goes_on_alone() {
    let mut leader = Leader::new(16, Mode::Sync, 2, 1, 0);
    leader.handle_follow(NodeId(1), 1, 0);
    assert_eq!(leader.poll_turn(1, 0, 1_000), None);
    leader.handle_gone(NodeId(1), 10);
    assert_eq!(leader.poll_turn(2, i64::MAX / 2, 1_000), None);
}

#[test]
fn of_two_a_node_may_lead_by_its_own_promise_of_three_it_needs_another() {
    let me = standing(1, 33, 16, 7);
    assert_eq!(may_lead(33, 2, &me, &[]), Ok(()));
    assert_eq!(may_lead(33, 3, &me, &[]), Err(Unfit::Promises { have: 1, need: 2 }));
    assert_eq!(may_lead(33, 3, &me, &[standing(2, 33, 16, 7)]), Ok(()));
    let twice = [standing(2, 33, 16, 7), standing(2, 33, 16, 7)];
    assert_eq!(may_lead(33, 4, &me, &twice), Err(Unfit::Promises { have: 2, need: 3 }));
    assert!(may_lead(33, 3, &me, &[standing(2, 32, 16, 7)]).is_err(), "promised to another");
}

#[test]
fn an_empty_disk_proves_nothing_and_leads_only_where_all_are_empty() {
    let (me, empty) = (standing(1, 33, 16, 7), standing(2, 33, 0, 0));
    assert_eq!(may_lead(33, 3, &me, &[empty]), Err(Unfit::Promises { have: 1, need: 2 }));
    assert_eq!(may_lead(33, 3, &me, &[empty, standing(0, 33, 0, 0)]), Ok(()), "nobody else can hold more");
    let me = standing(1, 33, 0, 0);
    assert_eq!(may_lead(33, 2, &me, &[]), Err(Unfit::Promises { have: 1, need: 2 }));
    assert_eq!(may_lead(33, 2, &me, &[standing(0, 33, 0, 0)]), Ok(()));
}

#[test]
fn a_disk_that_is_being_refilled_proves_nothing_and_does_not_lead_by_itself() {
    let refilling = |it: Standing| Standing { refilling: true, ..it };
    let (me, other) = (standing(1, 33, 16, 7), refilling(standing(2, 33, 16, 5)));
    assert_eq!(may_lead(33, 3, &me, &[other]), Err(Unfit::Promises { have: 1, need: 2 }));
    assert_eq!(may_lead(33, 3, &me, &[other, standing(0, 33, 16, 6)]), Ok(()));
    let all = [other, refilling(standing(0, 33, 16, 6))];
    assert_eq!(may_lead(33, 3, &me, &all), Ok(()), "nobody else can hold more");
    let me = refilling(me);
    assert_eq!(
        may_lead(33, 2, &me, &[]),
        Err(Unfit::Promises { have: 1, need: 2 }),
        "one of two does not either"
    );
    assert_eq!(may_lead(33, 2, &me, &[standing(0, 33, 16, 7)]), Ok(()));
}

/// Its disk was replaced by an empty one: what it had made durable is there no more.
#[test]
fn a_primary_does_not_count_what_a_node_held_when_it_followed_before() {
    let mut leader = Leader::new(16, Mode::Sync, 2, 1, 0);
    leader.handle_follow(NodeId(1), 0, 0);
    leader.handle_ack(NodeId(1), 9, 0, 0);
    assert_eq!(leader.poll_acknowledged(5), 5);
    leader.handle_follow(NodeId(1), 0, 10);
    assert_eq!(leader.poll_acknowledged(9), 5, "nobody else holds the others any more");
    leader.handle_ack(NodeId(1), 7, 0, 20);
    assert_eq!(leader.poll_acknowledged(9), 7);
}

#[test]
fn whoever_holds_less_may_not_lead_and_the_epoch_counts_before_the_number() {
    let me = standing(1, 33, 16, 7);
    let more = may_lead(33, 2, &me, &[standing(0, 33, 16, 8)]);
    assert!(matches!(more, Err(Unfit::Behind { node: NodeId(0), .. })), "{more:?}");
    let newer = may_lead(33, 2, &me, &[standing(0, 33, 32, 6)]);
    assert!(matches!(newer, Err(Unfit::Behind { .. })), "{newer:?}");
    let me = standing(1, 49, 33, 7);
    assert_eq!(may_lead(49, 2, &me, &[standing(0, 49, 16, 900)]), Ok(()), "an old tail is no history");
}

/// Two histories that share a beginning, told by their epochs; where they part is known by construction.
#[test]
fn where_two_histories_part_is_found_from_their_epochs_alone() {
    for shared in 0..4_u32 {
        for (mine, theirs) in [(0, 0), (0, 2), (2, 0), (1, 3)] {
            let mut lineages = [Lineage::default(), Lineage::default()];
            let mut seq = 0;
            for epoch in 0..shared {
                for _ in 0..3 {
                    seq += 1;
                    let stamp = Stamp { seq, epoch: 16 * (epoch + 1), time_us: 0 };
                    lineages.iter_mut().for_each(|it| it.note(stamp));
                }
            }
            let common = seq;
            for (index, count) in [(0, mine), (1, theirs)] {
                for step in 0..count {
                    let epoch = 1_000 + u32::try_from(index).unwrap();
                    lineages[index].note(Stamp { seq: common + 1 + step, epoch, time_us: 0 });
                }
            }
            let found = lineages[0].common(common + mine, &lineages[1], common + theirs);
            assert_eq!(found, common, "{shared} {mine} {theirs}");
        }
    }
}

#[test]
fn a_tail_of_the_same_epoch_parts_where_the_shorter_one_ends() {
    let mine = Lineage::of(vec![(16, 1), (33, 5)]).unwrap();
    let theirs = Lineage::of(vec![(16, 1), (33, 5), (48, 9)]).unwrap();
    assert_eq!(mine.common(12, &theirs, 20), 8);
    assert_eq!(mine.common(6, &theirs, 20), 6);
    assert_eq!(Lineage::of(vec![(16, 1), (16, 5)]), None);
}
