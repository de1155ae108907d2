//! The policy over all its inputs, against the rules as FORMAT.md states them.

use super::{Decision, Facts, HeaderFact, LengthFact, LinkFact, decide};
use crate::error::Flaw;

const HEADER_FLAWS: [Flaw; 4] =
    [Flaw::HeaderShort, Flaw::HeaderMagic, Flaw::HeaderChecksum, Flaw::HeaderFields];
const BODY_FLAWS: [Flaw; 8] = [
    Flaw::FrameMagic,
    Flaw::FrameLength,
    Flaw::FrameChecksum,
    Flaw::FramePadding,
    Flaw::Order,
    Flaw::Chain,
    Flaw::BatchEnd,
    Flaw::BatchOpen,
];

fn all_facts() -> Vec<Facts> {
    let mut headers = vec![HeaderFact::Sound, HeaderFact::Version, HeaderFact::OtherExchange];
    headers.extend(HEADER_FLAWS.map(HeaderFact::Damaged));
    let flaws: Vec<_> = std::iter::once(None).chain(BODY_FLAWS.map(Some)).collect();
    let mut all = Vec::new();
    for header in headers {
        for link in [LinkFact::Follows, LinkFact::Gap, LinkFact::Overlap, LinkFact::OtherHistory] {
            for length in [LengthFact::Exact, LengthFact::Short, LengthFact::Long] {
                for flaw in &flaws {
                    for (last, acknowledged_beyond) in
                        [(false, false), (false, true), (true, false), (true, true)]
                    {
                        all.push(Facts { header, link, length, flaw: *flaw, last, acknowledged_beyond });
                    }
                }
            }
        }
    }
    all
}

#[test]
fn history_is_believed_only_where_every_witness_agrees() {
    let all = all_facts();
    assert_eq!(all.len(), 7 * 4 * 3 * 9 * 4);
    for facts in all {
        let sound = facts.header == HeaderFact::Sound
            && facts.link == LinkFact::Follows
            && facts.length != LengthFact::Long;
        let open_end = facts.last && !facts.acknowledged_beyond;
        let exact = facts.length == LengthFact::Exact;
        let expected_accept = sound && exact && facts.flaw.is_none() && !facts.acknowledged_beyond;
        let expected_extend = sound && !exact && facts.flaw.is_none() && open_end;
        let expected_cut = sound && facts.flaw.is_some() && open_end;
        let decision = decide(&facts);
        assert_eq!(decision == Decision::Accept, expected_accept, "{facts:?}");
        assert_eq!(decision == Decision::Extend, expected_extend, "{facts:?}");
        assert_eq!(decision == Decision::CutTail, expected_cut, "{facts:?}");
    }
}

#[test]
fn nothing_that_was_acknowledged_is_ever_cut() {
    for facts in all_facts().into_iter().filter(|it| it.acknowledged_beyond || !it.last) {
        let decision = decide(&facts);
        assert!(![Decision::CutTail, Decision::Extend].contains(&decision), "{facts:?}: {decision:?}");
    }
}

#[test]
fn a_refusal_names_the_first_fault_in_the_order_header_join_length_body() {
    for facts in all_facts() {
        let expected = match facts {
            Facts { header: HeaderFact::Version, .. } => Decision::RefuseVersion,
            Facts { header: HeaderFact::OtherExchange, .. } => Decision::RefuseExchange,
            Facts { header: HeaderFact::Damaged(flaw), .. } => Decision::Refuse(flaw),
            Facts { link: LinkFact::Gap, .. } => Decision::Refuse(Flaw::SegmentMissing),
            Facts { link: LinkFact::Overlap, .. } => Decision::Refuse(Flaw::SegmentDuplicate),
            Facts { link: LinkFact::OtherHistory, .. } => Decision::Refuse(Flaw::SegmentPredecessor),
            Facts { length: LengthFact::Long, .. } => Decision::Refuse(Flaw::FileLong),
            Facts { flaw: Some(flaw), .. } => Decision::Refuse(flaw),
            Facts { length: LengthFact::Short, last: false, .. } => Decision::Refuse(Flaw::FileShort),
            Facts { .. } => Decision::Refuse(Flaw::Missing),
        };
        let decision = decide(&facts);
        let believed = [Decision::Accept, Decision::Extend, Decision::CutTail].contains(&decision);
        assert!(believed || decision == expected, "{facts:?}: {decision:?}, expected {expected:?}");
    }
}
