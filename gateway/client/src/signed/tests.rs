//! Every signed text against every bit flipped, another key, and what a hasty receiver would miss.

use super::{
    ALGORITHM, ExchangeKeys, SignatureError, changes, changes_text, corridor_text, key_id, schedule_text,
};
use crate::v1;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};

fn time(period: u32) -> v1::TimeRow {
    let instant = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    v1::TimeRow {
        delivery_day: "2026-11-24".into(),
        block: period + 40,
        blocks: 96,
        period,
        start: instant(1_795_458_600 + 900 * i64::from(period)),
        end: instant(1_795_459_500 + 900 * i64::from(period)),
        resolution_minutes: 15,
        currency: "INR".into(),
        revision: 1,
        status: v1::PublicationStatus::Final.into(),
    }
}

fn row(period: u32, portfolio: &str, net_watts: i64) -> v1::ScheduleRow {
    let (member, area) = ("M1".into(), "N2".into());
    v1::ScheduleRow { row: Some(time(period)), member, portfolio: portfolio.into(), area, net_watts }
}

fn schedule(revision: u32, rows: Vec<v1::ScheduleRow>) -> v1::Schedule {
    v1::Schedule {
        auction_id: "RTM-2026-11-24-21".into(),
        revision,
        status: v1::PublicationStatus::Final.into(),
        rows,
        acknowledged: false,
        signature: None,
    }
}

fn corridor() -> v1::CorridorRequest {
    let flow = |direction: v1::Direction| v1::CorridorRow {
        row: Some(time(1)),
        line: "W2-S1".into(),
        direction: direction.into(),
        flow_watts: 12_300_000,
    };
    v1::CorridorRequest {
        auction_id: "DAM-2026-11-24".into(),
        revision: 1,
        due_at: Some(prost_types::Timestamp { seconds: 1_795_415_700, nanos: 0 }),
        flows: vec![flow(v1::Direction::Forward), flow(v1::Direction::Backward)],
        areas: vec![v1::InjectionRow {
            row: Some(time(2)),
            area: "S1".into(),
            injection_watts: 0,
            drawal_watts: 5_000_000,
        }],
        signature: None,
    }
}

fn keys() -> (Ed25519KeyPair, ExchangeKeys) {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let public: String = pair.public_key().as_ref().iter().map(|it| format!("{it:02x}")).collect();
    (pair, ExchangeKeys::read(&format!("{public}\n")).unwrap())
}

fn sign(pair: &Ed25519KeyPair, text: &str) -> Option<v1::Signature> {
    let public: [u8; 32] = pair.public_key().as_ref().try_into().unwrap();
    let signature = pair.sign(text.as_bytes()).as_ref().to_vec();
    Some(v1::Signature { algorithm: ALGORITHM.into(), key_id: key_id(&public).to_vec(), signature })
}

#[test]
fn the_text_is_what_the_contract_says() {
    let text = schedule_text(&schedule(2, vec![row(1, "P1", -2_500_000)])).unwrap();
    let row = "2026-11-24 41/96 1 1795459500 1795460400 15 INR 1 FINAL N2 M1 P1 -2500000";
    assert_eq!(text, format!("merit-schedule/1 RTM-2026-11-24-21 2 FINAL 1\n{row}\n"));
    let text = corridor_text(&corridor()).unwrap();
    let time = |period: i64| {
        let start = 1_795_458_600 + 900 * period;
        format!("2026-11-24 {}/96 {period} {start} {} 15 INR 1 FINAL", 40 + period, start + 900)
    };
    let expected = format!(
        "merit-corridor/1 DAM-2026-11-24 1 1795415700 2 1\nflow {0} W2-S1 FORWARD 12300000\n\
         flow {0} W2-S1 BACKWARD 12300000\narea {1} S1 0 5000000\n",
        time(1),
        time(2)
    );
    assert_eq!(text, expected);
}

/// Flips every bit of a signed message; what still decodes to another message must not pass.
fn no_flip_passes<M: prost::Message + Default + PartialEq>(
    signed: &M,
    check: impl Fn(&M) -> Result<(), SignatureError>,
    free: impl Fn(&mut M),
) {
    check(signed).unwrap();
    let bytes = signed.encode_to_vec();
    let mut tried = 0;
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            let Ok(mut message) = M::decode(flipped.as_slice()) else { continue };
            free(&mut message);
            if message != *signed {
                tried += 1;
                assert!(check(&message).is_err(), "bit {bit} of byte {at} is not covered");
            }
        }
    }
    assert!(tried > bytes.len(), "only {tried} flips of {} bytes decode", bytes.len());
}

#[test]
fn a_flipped_bit_is_found_anywhere() {
    let (pair, keys) = keys();
    let mut one = schedule(2, vec![row(1, "P1", -2_500_000), row(2, "P2", 1_000_000)]);
    one.signature = sign(&pair, &schedule_text(&one).unwrap());
    // Whether it is acknowledged is not the exchange's word about the schedule.
    no_flip_passes(&one, |it| keys.check_schedule(it), |it| it.acknowledged = false);
    let mut request = corridor();
    request.signature = sign(&pair, &corridor_text(&request).unwrap());
    no_flip_passes(&request, |it| keys.check_corridor(it), |_| {});
    let mut differ = changes(None, &one);
    differ.signature = sign(&pair, &changes_text(&differ).unwrap());
    no_flip_passes(&differ, |it| keys.check_changes(it), |_| {});
}

#[test]
fn what_is_not_the_exchanges_word_is_refused_by_name() {
    let (pair, keys) = keys();
    let mut one = schedule(1, vec![row(1, "P1", 5)]);
    assert_eq!(keys.check_schedule(&one), Err(SignatureError::Missing));
    let other = Ed25519KeyPair::from_seed_unchecked(&[8; 32]).unwrap();
    one.signature = sign(&other, &schedule_text(&one).unwrap());
    assert_eq!(keys.check_schedule(&one), Err(SignatureError::UnknownKey));
    one.signature = sign(&pair, &schedule_text(&one).unwrap());
    one.acknowledged = true;
    assert_eq!(keys.check_schedule(&one), Ok(()));
    if let Some(signature) = &mut one.signature {
        signature.algorithm = "none".into();
    }
    assert_eq!(keys.check_schedule(&one), Err(SignatureError::Algorithm));
    // A name with a space or a line feed could be read in two ways.
    for bad in ["", "P1 5\nx", "Pé"] {
        let one = schedule(1, vec![row(1, bad, 5)]);
        assert_eq!(schedule_text(&one), Err(SignatureError::Unwritable("portfolio")));
    }
    for bad in ["", "ab", "zz", &"0".repeat(63), &"0".repeat(65)] {
        assert_eq!(ExchangeKeys::read(bad), Err(SignatureError::NotAKey), "{bad}");
    }
}

#[test]
fn changes_name_what_came_went_and_moved() {
    let before = schedule(1, vec![row(1, "P1", 5), row(1, "P2", 7), row(2, "P1", 1)]);
    let after = schedule(2, vec![row(1, "P1", 6), row(1, "P2", 7), row(3, "P1", -2)]);
    let found = changes(Some(&before), &after);
    let rows: Vec<_> = found
        .rows
        .iter()
        .map(|it| {
            let row = it.row.as_ref().unwrap();
            (row.period, row.revision, it.portfolio.as_str(), it.before_watts, it.after_watts)
        })
        .collect();
    assert_eq!(rows, [(1, 2, "P1", 5, 6), (2, 2, "P1", 1, 0), (3, 2, "P1", 0, -2)]);
    assert_eq!((found.from_revision, found.to_revision), (1, 2));
    assert_eq!(changes(None, &after).rows.len(), 3);
    assert!(changes(Some(&after), &after).rows.is_empty());
}
