//! Every reason of the engine stands in the contract, under its number and its name.

use merit_engine::reject::Reject;
use merit_proto::v1::RejectReason;
use std::collections::BTreeSet;

/// Numbers of the contract that the engine does not know: what the gateway refuses as not well-formed.
const GATEWAY: std::ops::Range<i32> = 10..100;

fn wire_name(reject: Reject) -> String {
    if reject == Reject::RequestIdReused {
        // Members know the id as the client order id.
        return "REJECT_REASON_CLIENT_ORDER_ID_REUSED".to_string();
    }
    let mut name = "REJECT_REASON".to_string();
    for letter in format!("{reject:?}").chars() {
        if letter.is_uppercase() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

#[test]
fn every_reason_of_the_engine_has_its_number_and_name_on_the_wire() {
    let mut codes = BTreeSet::new();
    for &reject in Reject::ALL {
        let wire = RejectReason::try_from(i32::from(reject.code()));
        assert_eq!(wire.map(|reason| reason.as_str_name().to_string()), Ok(wire_name(reject)), "{reject:?}");
        assert!(codes.insert(i32::from(reject.code())), "{reject:?} shares its number");
    }
    let mut of_gateway = 0;
    for number in 1..=i32::from(u16::MAX) {
        if RejectReason::try_from(number).is_ok() && !codes.contains(&number) {
            assert!(GATEWAY.contains(&number), "{number} is neither the engine's nor the gateway's");
            of_gateway += 1;
        }
    }
    assert!(of_gateway > 0);
}
