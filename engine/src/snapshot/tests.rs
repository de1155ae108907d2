//! The codec: values come back whole, and damage is refused.

use super::{Damaged, Keep};
use crate::ids::TextId;
use crate::reject::{Place, Refusal, Reject};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

fn put<T: Keep>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    super::put(value, &mut |piece| bytes.extend_from_slice(piece));
    bytes
}

/// Takes a value from pieces of so many bytes.
fn take<T: Keep>(bytes: &[u8], piece: usize) -> Result<T, Damaged> {
    let mut pieces = bytes.chunks(piece);
    let mut source = |into: &mut Vec<u8>| pieces.next().map(|it| into.extend_from_slice(it)).is_some();
    super::take(u64::try_from(bytes.len()).unwrap(), &mut source)
}

type Mixed = (Vec<(u16, Option<i128>)>, BTreeMap<i64, String>, Vec<Result<[u8; 3], Refusal>>);

fn mixed() -> Mixed {
    let refusal = |place| Err(Refusal { reject: Reject::FundsShort, place, missing: -7 });
    let results =
        vec![Ok([1, 2, 3]), refusal(Place::Field("limits.quantity_max")), refusal(Place::Field("code"))];
    (vec![(1, None), (2, Some(i128::MIN))], BTreeMap::from([(-1, "a".into()), (5, "ü".into())]), results)
}

#[test]
fn values_come_back_however_the_bytes_are_cut() {
    let bytes = put(&mixed());
    for piece in 1..=bytes.len() {
        assert_eq!(take::<Mixed>(&bytes, piece).unwrap(), mixed(), "{piece}");
    }
}

/// Rows that are read where they lie, and the same ones field by field.
#[test]
fn rows_come_back_however_the_bytes_are_cut() {
    type Row = ([u16; 2], (bool, i64));
    let rows: Vec<Row> = (0..50).map(|n| ([n, n + 1], (n % 3 == 0, -i64::from(n)))).collect();
    assert_eq!(<Row as Keep>::FIXED, 13);
    assert_eq!(<(u8, String) as Keep>::FIXED, 0);
    let bytes = put(&rows);
    for piece in 1..=bytes.len() {
        assert_eq!(take::<Vec<Row>>(&bytes, piece).unwrap(), rows, "{piece}");
    }
    let one_by_one: Vec<Row> = rows
        .iter()
        .map(|it| take::<(u8, (Row, String))>(&put(&(0_u8, (*it, String::new()))), 3).unwrap().1.0)
        .collect();
    assert_eq!(one_by_one, rows);
    let mut damaged = bytes.clone();
    damaged[8] = 2;
    assert_eq!(take::<Vec<Row>>(&damaged, 64).unwrap_err(), Damaged("a truth value is neither"));
}

/// Whoever frames the pieces bounds them.
#[test]
fn no_piece_is_long_however_long_a_text_or_list_is() {
    let long = (String::from("ü").repeat(5 << 20), alloc::vec![7_u64; 1 << 20]);
    let (mut bytes, mut longest) = (Vec::new(), 0);
    super::put(&long, &mut |piece| {
        longest = longest.max(piece.len());
        bytes.extend_from_slice(piece);
    });
    assert!(longest <= 2 << 20, "{longest}");
    assert!(take::<(String, Vec<u64>)>(&bytes, 1 << 20).unwrap() == long);
}

#[test]
fn bytes_are_little_endian_without_names_or_marks() {
    let value = (vec![0x0102_u16], Some(TextId::new("a-1").unwrap()), -2_i64);
    let bytes = put(&value);
    assert_eq!(bytes[..6], [1, 0, 0, 0, 2, 1]);
    assert_eq!(bytes[6..14], [1, 3, 0, 0, 0, b'a', b'-', b'1']);
    assert_eq!(bytes[14..], (-2_i64).to_le_bytes());
}

#[test]
fn what_is_cut_off_or_left_over_is_refused() {
    let bytes = put(&mixed());
    for end in 0..bytes.len() {
        assert!(take::<Mixed>(&bytes[..end], 64).is_err(), "{end}");
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert_eq!(take::<Mixed>(&longer, 64).unwrap_err(), Damaged("bytes are left over after the state"));
    let endless = [0xff; 4];
    assert_eq!(take::<Vec<u8>>(&endless, 64).unwrap_err(), Damaged("a list is longer than the state"));
}
