//! One number that says whether two states, requests or results are the same.
//!
//! The function is SipHash-2-4 with 128 bits of output (J.-P. Aumasson, D. J. Bernstein, "SipHash: a
//! fast short-input PRF", 2012) under a fixed, public key, over a sequence of 64-bit words in little
//! endian. It compares nodes and finds repeats; it is no signature: whoever knows the key may look
//! for collisions, and gains nothing but a wrong answer to himself.
//!
//! A value becomes words without ambiguity: an integer is one word (128-bit ones two, low first), a
//! text or list is its length and then its contents (bytes in groups of eight, zero filled), an
//! option or a variant is its number and then its contents, a struct is its fields in order. The
//! macro that feeds a struct names every field of it, so a new field that is not fed does not compile.
//!
//! What there are millions of (orders, remembered requests) is not walked through for a digest of the state:
//! the digest of each is added to a sum when it comes and taken off when it goes, modulo 2^128, and the state
//! feeds the sum. For each of them [`Quick`] is enough, a mixing function four times as fast. [`Recount`]
//! feeds what the sums should be instead, from what is there.

mod feed;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// A digest in the making.
#[derive(Clone, Debug)]
pub struct Hasher {
    v0: u64,
    v1: u64,
    v2: u64,
    v3: u64,
    words: u64,
}

const KEY: (u64, u64) = (0x6d65_7269_742f_3031, 0x656e_6769_6e65_2f31);

impl Default for Hasher {
    fn default() -> Self {
        Self::new()
    }
}

impl Hasher {
    /// Nothing fed yet.
    #[must_use]
    pub const fn new() -> Self {
        Self::with_key(KEY.0, KEY.1)
    }

    const fn with_key(k0: u64, k1: u64) -> Self {
        Self {
            v0: k0 ^ 0x736f_6d65_7073_6575,
            v1: k1 ^ 0x646f_7261_6e64_6f6d ^ 0xee,
            v2: k0 ^ 0x6c79_6765_6e65_7261,
            v3: k1 ^ 0x7465_6462_7974_6573,
            words: 0,
        }
    }

    const fn round(&mut self) {
        self.v0 = self.v0.wrapping_add(self.v1);
        self.v2 = self.v2.wrapping_add(self.v3);
        self.v1 = self.v1.rotate_left(13) ^ self.v0;
        self.v3 = self.v3.rotate_left(16) ^ self.v2;
        self.v0 = self.v0.rotate_left(32);
        self.v2 = self.v2.wrapping_add(self.v1);
        self.v0 = self.v0.wrapping_add(self.v3);
        self.v1 = self.v1.rotate_left(17) ^ self.v2;
        self.v3 = self.v3.rotate_left(21) ^ self.v0;
        self.v2 = self.v2.rotate_left(32);
    }

    /// Takes one word.
    pub const fn word(&mut self, word: u64) {
        self.words = self.words.wrapping_add(1);
        self.block(word);
    }

    const fn block(&mut self, word: u64) {
        self.v3 ^= word;
        self.round();
        self.round();
        self.v0 ^= word;
    }

    /// Takes bytes: their number, then groups of eight.
    pub fn bytes(&mut self, bytes: &[u8]) {
        Words::bytes(self, bytes);
    }

    /// The digest of what was fed so far.
    #[must_use]
    pub const fn finish(&self) -> u128 {
        self.finish_tail(0, 0)
    }

    /// Ends a message of whole words and `bytes` (below 8) more bytes, little endian in `tail`.
    const fn finish_tail(&self, tail: u64, bytes: u64) -> u128 {
        let mut end = self.finish_state();
        end.block((self.words.wrapping_mul(8).wrapping_add(bytes) << 56) | tail);
        end.v2 ^= 0xee;
        let low = end.squeeze();
        end.v1 ^= 0xdd;
        let high = end.squeeze();
        widen(low) | (widen(high) << 64)
    }

    const fn finish_state(&self) -> Self {
        Self { v0: self.v0, v1: self.v1, v2: self.v2, v3: self.v3, words: self.words }
    }

    const fn squeeze(&mut self) -> u64 {
        self.round();
        self.round();
        self.round();
        self.round();
        self.v0 ^ self.v1 ^ self.v2 ^ self.v3
    }
}

#[expect(clippy::as_conversions, reason = "From is not const; this widens")]
const fn widen(word: u64) -> u128 {
    word as u128
}

/// What takes words.
pub trait Words: Sized {
    /// Takes one word.
    fn word(&mut self, word: u64);

    /// Takes bytes: their number, then groups of eight.
    fn bytes(&mut self, bytes: &[u8]) {
        bytes.len().feed(self);
        let (groups, rest) = bytes.as_chunks::<8>();
        for group in groups {
            self.word(u64::from_le_bytes(*group));
        }
        if !rest.is_empty() {
            // Put together without memory: to read eight bytes back that were just written one by one waits for all of them.
            let word = match bytes.last_chunk::<8>() {
                Some(last) => u64::from_le_bytes(*last) >> (8 * (8 - rest.len())),
                None => rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
            };
            self.word(word);
        }
    }

    /// Whether it wants sums that are kept to be formed anew.
    fn recounts(&self) -> bool {
        false
    }
}

impl Words for Hasher {
    fn word(&mut self, word: u64) {
        Self::word(self, word);
    }
}

/// A digest for which every sum is formed anew.
#[derive(Clone, Debug, Default)]
pub struct Recount(pub Hasher);

impl Words for Recount {
    fn word(&mut self, word: u64) {
        self.0.word(word);
    }

    fn recounts(&self) -> bool {
        true
    }
}

/// Digests of small things of which there are many. Two lanes, each of which folds the product of what it
/// holds and a constant, word by word: any word changes about half of the bits, and accidents do not collide.
/// Somebody who wants two requests of his own to look alike can find some, and gains nothing but a wrong
/// answer to himself.
#[derive(Clone, Debug)]
pub struct Quick {
    left: u64,
    right: u64,
}

/// Digits of π.
const DIGITS: [u64; 4] =
    [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7345, 0xa409_3822_299f_31d1, 0x082e_fa98_ec4e_6c89];

/// Both halves of a product, one over the other.
#[expect(clippy::as_conversions, reason = "the halves of a product are words")]
#[inline]
const fn fold(a: u64, b: u64) -> u64 {
    let product = widen(a) * widen(b);
    (product as u64) ^ ((product >> 64) as u64)
}

impl Default for Quick {
    fn default() -> Self {
        Self::new()
    }
}

impl Quick {
    /// Nothing fed yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { left: DIGITS[0], right: DIGITS[1] }
    }

    /// The digest of what was fed so far.
    #[must_use]
    pub const fn finish(&self) -> u128 {
        let left = fold(self.left ^ DIGITS[2], self.right ^ DIGITS[0]);
        let right = fold(self.right ^ DIGITS[3], self.left.rotate_left(32) ^ DIGITS[1]);
        widen(left ^ self.right) | (widen(right ^ self.left) << 64)
    }
}

impl Words for Quick {
    #[inline]
    fn word(&mut self, word: u64) {
        self.left = fold(self.left ^ word, DIGITS[2]);
        self.right = fold(self.right ^ word.rotate_left(29), DIGITS[3]);
    }
}

/// The [`Quick`] digest of a value.
#[inline]
pub fn quick<T: Feed + ?Sized>(value: &T) -> u128 {
    let mut hasher = Quick::new();
    value.feed(&mut hasher);
    hasher.finish()
}

/// The [`Quick`] digest of a text, of which the bytes are at hand.
pub(crate) fn quick_of_bytes(text: &[u8]) -> u128 {
    let mut hasher = Quick::new();
    hasher.bytes(text);
    hasher.finish()
}

/// What has a digest.
pub trait Feed {
    /// Feeds every part of the value.
    fn feed<W: Words>(&self, hasher: &mut W);

    /// The digest of the value alone.
    fn digest(&self) -> u128 {
        let mut hasher = Hasher::new();
        self.feed(&mut hasher);
        hasher.finish()
    }
}

macro_rules! feed_unsigned {
    ($($ty:ty),*) => { $(impl Feed for $ty {
        fn feed<W: Words>(&self, hasher: &mut W) { hasher.word(u64::from(*self)); }
    })* };
}
macro_rules! feed_signed {
    ($($ty:ty),*) => { $(impl Feed for $ty {
        fn feed<W: Words>(&self, hasher: &mut W) { hasher.word(i64::from(*self).cast_unsigned()); }
    })* };
}
feed_unsigned!(u8, u16, u32, u64, bool);
feed_signed!(i16, i32, i64);

impl Feed for usize {
    fn feed<W: Words>(&self, hasher: &mut W) {
        hasher.word(u64::try_from(*self).expect("lengths are below 2^64"));
    }
}
impl Feed for u128 {
    fn feed<W: Words>(&self, hasher: &mut W) {
        let (low, high) = halves(*self);
        hasher.word(low);
        hasher.word(high);
    }
}
impl Feed for i128 {
    fn feed<W: Words>(&self, hasher: &mut W) {
        self.cast_unsigned().feed(hasher);
    }
}
fn halves(value: u128) -> (u64, u64) {
    let fits = "half of 128 bits";
    (u64::try_from(value & u128::from(u64::MAX)).expect(fits), u64::try_from(value >> 64).expect(fits))
}
impl Feed for str {
    fn feed<W: Words>(&self, hasher: &mut W) {
        hasher.bytes(self.as_bytes());
    }
}
impl Feed for String {
    fn feed<W: Words>(&self, hasher: &mut W) {
        self.as_str().feed(hasher);
    }
}
impl<const N: usize> Feed for [u8; N] {
    fn feed<W: Words>(&self, hasher: &mut W) {
        hasher.bytes(self);
    }
}
impl<T: Feed> Feed for [T] {
    fn feed<W: Words>(&self, hasher: &mut W) {
        self.len().feed(hasher);
        for it in self {
            it.feed(hasher);
        }
    }
}
impl<T: Feed> Feed for Vec<T> {
    fn feed<W: Words>(&self, hasher: &mut W) {
        self.as_slice().feed(hasher);
    }
}
impl<T: Feed> Feed for VecDeque<T> {
    fn feed<W: Words>(&self, hasher: &mut W) {
        self.len().feed(hasher);
        for it in self {
            it.feed(hasher);
        }
    }
}
impl<T: Feed + ?Sized> Feed for Arc<T> {
    fn feed<W: Words>(&self, hasher: &mut W) {
        T::feed(self, hasher);
    }
}
impl<T: Feed + ?Sized> Feed for Box<T> {
    fn feed<W: Words>(&self, hasher: &mut W) {
        T::feed(self, hasher);
    }
}
impl<T: Feed> Feed for Option<T> {
    fn feed<W: Words>(&self, hasher: &mut W) {
        self.is_some().feed(hasher);
        if let Some(it) = self {
            it.feed(hasher);
        }
    }
}
impl<K: Feed, V: Feed> Feed for BTreeMap<K, V> {
    fn feed<W: Words>(&self, hasher: &mut W) {
        self.len().feed(hasher);
        for (key, value) in self {
            key.feed(hasher);
            value.feed(hasher);
        }
    }
}
impl<T: Feed> Feed for BTreeSet<T> {
    fn feed<W: Words>(&self, hasher: &mut W) {
        self.len().feed(hasher);
        for it in self {
            it.feed(hasher);
        }
    }
}
impl<A: Feed, B: Feed> Feed for (A, B) {
    #[inline(always)]
    fn feed<W: Words>(&self, hasher: &mut W) {
        self.0.feed(hasher);
        self.1.feed(hasher);
    }
}
impl<A: Feed, B: Feed, C: Feed> Feed for (A, B, C) {
    fn feed<W: Words>(&self, hasher: &mut W) {
        self.0.feed(hasher);
        self.1.feed(hasher);
        self.2.feed(hasher);
    }
}

/// Feeds every field of a struct; naming all of them is what the compiler checks.
macro_rules! feed_struct {
    ($($ty:ident { $($field:ident),* $(,)? })*) => { $(
        impl $crate::digest::Feed for $ty {
            fn feed<W: $crate::digest::Words>(&self, hasher: &mut W) {
                let Self { $($field),* } = self;
                $($crate::digest::Feed::feed($field, hasher);)*
            }
        }
    )* };
}
pub(crate) use feed_struct;

#[cfg(test)]
mod tests {
    use super::{Feed, Hasher, Words, quick};
    use alloc::string::String;
    use alloc::vec;
    use alloc::vec::Vec;

    #[test]
    fn empty_and_one_byte_give_the_published_vectors() {
        // vectors_sip128 of the reference implementation: key 00 01 … 0f.
        let fresh = Hasher::with_key(0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908);
        assert_eq!(
            fresh.finish().to_le_bytes(),
            0xa381_7f04_ba25_a8e6_6df6_7214_c755_0293_u128.to_be_bytes()
        );
        assert_eq!(
            fresh.finish_tail(0, 1).to_le_bytes(),
            0xda87_c1d8_6b99_af44_3476_5911_9b22_fc45_u128.to_be_bytes()
        );
    }

    /// Takes down what it is fed.
    #[derive(Default)]
    struct Taken(Vec<u64>);

    impl Words for Taken {
        fn word(&mut self, word: u64) {
            self.0.push(word);
        }
    }

    #[test]
    fn bytes_are_their_number_and_groups_of_eight_filled_with_zeros() {
        let all: Vec<u8> = (1..=40).map(|it| it * 6 + 7).collect();
        for bytes in (0..=all.len()).map(|it| &all[..it]) {
            let mut taken = Taken::default();
            taken.bytes(bytes);
            let group = |it: &[u8]| {
                let mut group = [0; 8];
                group[..it.len()].copy_from_slice(it);
                u64::from_le_bytes(group)
            };
            let length = u64::try_from(bytes.len()).unwrap();
            let expected: Vec<u64> = core::iter::once(length).chain(bytes.chunks(8).map(group)).collect();
            assert_eq!(taken.0, expected);
        }
    }

    #[test]
    fn values_that_look_alike_differ() {
        let digests: Vec<u128> = vec![
            (1_u64, 2_u64).digest(),
            (2_u64, 1_u64).digest(),
            vec![1_u64, 2].digest(),
            vec![vec![1_u64], vec![2]].digest(),
            vec![vec![1_u64, 2], vec![]].digest(),
            Some(1_u64).digest(),
            None::<u64>.digest(),
            String::from("a").digest(),
            String::from("a\0").digest(),
            (-1_i64).digest(),
            1_i128.digest(),
        ];
        for (n, a) in digests.iter().enumerate() {
            for b in digests.iter().skip(n + 1) {
                assert_ne!(a, b);
            }
        }
    }

    #[test]
    fn one_changed_bit_changes_about_half_of_the_digest() {
        for digest in [Feed::digest, quick::<(u64, u64)>] {
            let base = digest(&(7_u64, 9_u64));
            for bit in 0..64 {
                for changed in [(7_u64 ^ (1 << bit), 9_u64), (7, 9 ^ (1 << bit))] {
                    let differing = (base ^ digest(&changed)).count_ones();
                    assert!((35..=93).contains(&differing), "{changed:?}: {differing}");
                }
            }
        }
    }

    /// Sums of digests must tell small neighbouring numbers apart, for that is what is summed.
    #[test]
    fn quick_digests_of_neighbours_and_their_sums_all_differ() {
        let mut seen = alloc::collections::BTreeSet::new();
        let mut low = alloc::collections::BTreeSet::new();
        for a in 0..300_u64 {
            for b in 0..300_u64 {
                let digest = quick(&(a, b));
                assert!(seen.insert(digest), "{a} {b}");
                low.insert(digest & 0xffff_ffff);
            }
        }
        // 90,000 draws of 2^32: about one pair is equal.
        assert!(low.len() > 89_990, "{}", low.len());
        let digests: Vec<u128> = (0..200_u64).map(|it| quick(&it)).collect();
        let mut sums = alloc::collections::BTreeSet::new();
        for (n, a) in digests.iter().enumerate() {
            for b in digests.iter().skip(n) {
                assert!(sums.insert(a.wrapping_add(*b)));
            }
        }
    }
}
