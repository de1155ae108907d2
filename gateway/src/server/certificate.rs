//! What the exchange reads off a member's certificate: its fingerprint, its names and its end.
//!
//! rustls has verified the certificate before anything here looks at it. Rights hang on the fingerprint
//! alone; names and the end are for people. So a few lines that walk the DER do, and whatever they do not
//! understand is simply not there.

use aws_lc_rs::digest;
use merit_engine::calendar::Day;

/// SHA-256 of the DER of a certificate.
pub type Fingerprint = [u8; 32];

/// What the certificate of a node has among its names.
const NODE_URI: &str = "merit://node";

/// A verified client certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificate {
    /// By which the user is looked up.
    pub fingerprint: Fingerprint,
    /// URIs among its names, e.g. `merit://member/M1/user/alice`.
    pub uris: Vec<String>,
    /// When it ends, seconds since 1970-01-01T00:00:00Z, if that could be read.
    pub ends_at_s: Option<i64>,
}

impl PeerCertificate {
    /// Reads a certificate.
    #[must_use]
    pub fn read(der: &[u8]) -> Self {
        Self { fingerprint: fingerprint(der), uris: uris(der).unwrap_or_default(), ends_at_s: ends_at(der) }
    }

    /// Whether it is a node's. Certificates with the node's name are given out by the same authority as the members', and
    /// only to nodes.
    #[must_use]
    pub fn is_node(&self) -> bool {
        self.uris.iter().any(|it| it == NODE_URI)
    }
}

/// SHA-256 of `der`.
///
/// # Panics
///
/// Never: SHA-256 has 32 bytes.
#[must_use]
pub fn fingerprint(der: &[u8]) -> Fingerprint {
    digest::digest(&digest::SHA256, der).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// Lower-case hex, as people and configuration files write fingerprints.
#[must_use]
pub fn hex(fingerprint: &Fingerprint) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).expect("a nibble is below 16");
    fingerprint.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The fingerprint that such a text names; colons between bytes and capitals are fine.
#[must_use]
pub fn parse_hex(text: &str) -> Option<Fingerprint> {
    let digits: Option<Vec<u32>> = text.chars().filter(|c| *c != ':').map(|c| c.to_digit(16)).collect();
    let digits = digits.filter(|digits| digits.len() == 64)?;
    let bytes: Option<Vec<u8>> =
        digits.chunks_exact(2).map(|d| u8::try_from(d[0] * 16 + d[1]).ok()).collect();
    bytes?.try_into().ok()
}

const SEQUENCE: u8 = 0x30;
const OBJECT_ID: u8 = 0x06;
const OCTET_STRING: u8 = 0x04;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// `[3]` of TBSCertificate: extensions.
const EXTENSIONS: u8 = 0xa3;
/// `[6]` of GeneralName: a URI.
const URI: u8 = 0x86;
/// 2.5.29.17.
const SUBJECT_ALT_NAME: [u8; 3] = [0x55, 0x1d, 0x11];

/// First element of `input`: its tag, its content, and what follows it.
fn element(input: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = input.split_first()?;
    let (&short, rest) = rest.split_first()?;
    let (length, rest) = if short < 0x80 {
        (usize::from(short), rest)
    } else {
        // A certificate fits a TLS record many times over: four bytes of length are plenty.
        let count = usize::from(short & 0x7f);
        if !(1..=4).contains(&count) || rest.len() < count {
            return None;
        }
        let (bytes, rest) = rest.split_at(count);
        (bytes.iter().fold(0, |sum: usize, byte| (sum << 8) | usize::from(*byte)), rest)
    };
    (rest.len() >= length).then(|| (tag, &rest[..length], &rest[length..]))
}

/// The elements of a content, one after the other, as far as they can be read.
fn elements(mut input: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (tag, content, rest) = element(input)?;
        input = rest;
        Some((tag, content))
    })
}

fn of_tag(content: &[u8], tag: u8) -> Option<&[u8]> {
    elements(content).find(|(have, _)| *have == tag).map(|(_, content)| content)
}

fn to_be_signed(der: &[u8]) -> Option<&[u8]> {
    of_tag(of_tag(der, SEQUENCE)?, SEQUENCE)
}

fn uris(der: &[u8]) -> Option<Vec<String>> {
    let list = of_tag(of_tag(to_be_signed(der)?, EXTENSIONS)?, SEQUENCE)?;
    let extension = elements(list)
        .map(|(_, extension)| extension)
        .find(|extension| of_tag(extension, OBJECT_ID) == Some(&SUBJECT_ALT_NAME))?;
    let names = of_tag(of_tag(extension, OCTET_STRING)?, SEQUENCE)?;
    let uris = elements(names).filter(|(tag, _)| *tag == URI);
    Some(uris.filter_map(|(_, uri)| String::from_utf8(uri.to_vec()).ok()).collect())
}

fn ends_at(der: &[u8]) -> Option<i64> {
    // Validity is the one sequence of two times; the sequences before it (algorithm, issuer) hold none.
    let validity = elements(to_be_signed(der)?)
        .filter(|(tag, _)| *tag == SEQUENCE)
        .map(|(_, content)| content)
        .find(|content| elements(content).all(|(tag, _)| matches!(tag, UTC_TIME | GENERALIZED_TIME)))?;
    let (tag, text) = elements(validity).nth(1)?;
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, rest): (i32, _) = if tag == UTC_TIME {
        let year: i32 = text.get(..2)?.parse().ok()?;
        (if year < 50 { 2000 + year } else { 1900 + year }, text.get(2..)?)
    } else {
        (text.get(..4)?.parse().ok()?, text.get(4..)?)
    };
    let part = |at: usize| -> Option<u8> { rest.get(at..at + 2)?.parse().ok() };
    let day = Day::from_civil(year, part(0)?, part(2)?)?;
    let [hours, minutes, seconds] = [part(4)?, part(6)?, part(8)?].map(i64::from);
    Some(((i64::from(day.0) * 24 + hours) * 60 + minutes) * 60 + seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(uri: &str, end: (i32, u8, u8)) -> Vec<u8> {
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_string()]).unwrap();
        params.subject_alt_names.push(rcgen::SanType::URI(uri.try_into().unwrap()));
        params.not_after = rcgen::date_time_ymd(end.0, end.1, end.2);
        params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn names_and_end_are_read() {
        for (end, seconds) in [((2027, 3, 1), 1_803_859_200), ((2096, 2, 29), 3_981_312_000)] {
            let read = PeerCertificate::read(&made("merit://member/M1/user/alice", end));
            assert_eq!(read.uris, ["merit://member/M1/user/alice"]);
            assert_eq!(read.ends_at_s, Some(seconds));
        }
    }

    #[test]
    fn no_cut_and_no_flipped_byte_is_a_panic() {
        let der = made("merit://member/M1/user/alice", (2030, 1, 1));
        for cut in 0..der.len() {
            let _ = PeerCertificate::read(&der[..cut]);
        }
        for at in 0..der.len() {
            for flip in [1, 0x20, 0x80, 0xff] {
                let mut bad = der.clone();
                bad[at] ^= flip;
                let _ = PeerCertificate::read(&bad);
            }
        }
    }

    #[test]
    fn hex_reads_what_it_writes() {
        let print = fingerprint(b"abc");
        assert_eq!(hex(&print), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(parse_hex(&hex(&print).to_uppercase()), Some(print));
        assert_eq!(parse_hex("ba78"), None);
        assert_eq!(parse_hex(&"g".repeat(64)), None);
    }
}
