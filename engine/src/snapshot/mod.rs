//! The whole state as bytes, and back, so that a start need not live through history again.
//!
//! A state kept and taken back is the same in everything: equal digest, equal bytes when kept again, equal
//! answers from then on. So nothing is left out because it seems to follow from the rest: books are kept as
//! they lie in memory, holes included, for how long a walk through them takes is counted as work. Indexes
//! that only find what is listed are built anew. The bytes follow from the commands alone: two nodes at the
//! same command keep the same ones.
//!
//! A value becomes bytes without names or marks between: an integer is itself in little endian, a text or
//! list its length (4 bytes) and its items, an option or variant one byte and its contents, a struct its
//! fields in order. The macros name every field and variant, so a new one that is not kept does not compile.
//! Whoever stores the bytes adds checksums; damage that gets past those is found or not, but never believed
//! to be sound by a panic.
//!
//! # Deliberately absent
//!
//! - **Clearing in progress.** A state is kept between runs: [`crate::market::Engine::rests`]. What a search
//!   holds is worth less than the minutes until it has ended.
//! - **Older layouts.** Bytes of another [`VERSION`] are refused. The journal is the history, this is a short cut.

mod keep;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The layout of the bytes. Raised whenever a kept type or a rule above changes.
pub const VERSION: u16 = 3;

/// Bytes that a [`Writer`] gathers before it hands them on.
const CHUNK_BYTES: usize = 1 << 20;

/// Why bytes are no state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged(pub &'static str);

impl core::fmt::Display for Damaged {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.0)
    }
}

/// Takes the bytes of values and hands them on in pieces of about a MiB.
pub struct Writer<'a> {
    bytes: Vec<u8>,
    sink: &'a mut dyn FnMut(&[u8]),
}

impl<'a> Writer<'a> {
    /// Hands pieces to `sink`.
    fn new(sink: &'a mut dyn FnMut(&[u8])) -> Self {
        Self { bytes: Vec::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 8), sink }
    }

    #[inline]
    fn bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// As [`Self::bytes`], of what may be long.
    fn long(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(CHUNK_BYTES) {
            self.bytes(piece);
            self.end_item();
        }
    }

    /// Hands on what has gathered if it is enough: between items, so that whoever reads finds whole ones.
    #[inline]
    fn end_item(&mut self) {
        if self.bytes.len() >= CHUNK_BYTES {
            self.hand_on();
        }
    }

    fn hand_on(&mut self) {
        (self.sink)(&self.bytes);
        self.bytes.clear();
    }

    /// Hands on what is left.
    fn finish(mut self) {
        if !self.bytes.is_empty() {
            self.hand_on();
        }
    }
}

/// Gives the bytes of values, piece by piece.
pub struct Reader<'a> {
    bytes: Vec<u8>,
    at: usize,
    /// Bytes that are still to come from the source.
    coming: u64,
    source: &'a mut dyn FnMut(&mut Vec<u8>) -> bool,
    names: BTreeSet<&'static str>,
}

impl<'a> Reader<'a> {
    /// Reads so many bytes. `source` appends the next piece, or says that there is none.
    fn new(total: u64, source: &'a mut dyn FnMut(&mut Vec<u8>) -> bool) -> Self {
        Self { bytes: Vec::new(), at: 0, coming: total, source, names: BTreeSet::new() }
    }

    #[inline]
    fn slice(&mut self, length: usize) -> Result<&[u8], Damaged> {
        if self.bytes.len() - self.at < length {
            self.refill(length)?;
        }
        let from = self.at;
        self.at += length;
        Ok(&self.bytes[from..self.at])
    }

    #[cold]
    fn refill(&mut self, length: usize) -> Result<(), Damaged> {
        self.bytes.drain(..self.at);
        self.at = 0;
        while self.bytes.len() < length {
            let before = self.bytes.len();
            let came = (self.source)(&mut self.bytes);
            let grown = u64::try_from(self.bytes.len() - before).expect("lengths fit");
            let ended = Damaged("the state ends too early or too late");
            if !came || grown == 0 {
                return Err(ended);
            }
            self.coming = self.coming.checked_sub(grown).ok_or(ended)?;
        }
        Ok(())
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Damaged> {
        Ok(self.slice(N)?.try_into().expect("so many were asked for"))
    }

    /// The length of a list of such items, which the state is long enough for.
    pub(crate) fn list<T: Keep>(&mut self) -> Result<usize, Damaged> {
        let length = self.length()?;
        let left = self.coming + u64::try_from(self.bytes.len() - self.at).expect("lengths fit");
        let bytes = length.checked_mul(T::FIXED.max(1)).and_then(|it| u64::try_from(it).ok());
        if bytes.is_none_or(|it| it > left) {
            return Err(Damaged("a list is longer than the state"));
        }
        Ok(length)
    }

    /// Appends so many items; those of a fixed length are read where they lie.
    pub(crate) fn rows<T: Keep>(&mut self, count: usize, all: &mut Vec<T>) -> Result<(), Damaged> {
        let end = all.len() + count;
        while all.len() < end {
            if T::FIXED == 0 {
                all.push(T::take(self)?);
                continue;
            }
            let whole = (self.bytes.len() - self.at) / T::FIXED;
            let rows = self.slice(whole.clamp(1, end - all.len()) * T::FIXED)?;
            for row in rows.chunks_exact(T::FIXED) {
                all.push(T::of_fixed(row)?);
            }
        }
        Ok(())
    }

    /// The length of a list: no item takes less than a byte, so damage cannot ask for all memory.
    fn length(&mut self) -> Result<usize, Damaged> {
        let length = u32::take(self)?;
        let left = self.coming + u64::try_from(self.bytes.len() - self.at).expect("lengths fit");
        if u64::from(length) > left {
            return Err(Damaged("a list is longer than the state"));
        }
        Ok(usize::try_from(length).expect("a u32 fits an index on every platform we build for"))
    }

    /// Whether nothing is left.
    ///
    /// # Errors
    ///
    /// [`Damaged`] if something is.
    fn finish(self) -> Result<(), Damaged> {
        let whole = self.coming == 0 && self.at == self.bytes.len();
        if whole { Ok(()) } else { Err(Damaged("bytes are left over after the state")) }
    }
}

/// What can be kept as bytes.
pub trait Keep: Sized {
    /// Appends the value.
    fn put(&self, out: &mut Writer<'_>);
    /// Takes the next value.
    ///
    /// # Errors
    ///
    /// [`Damaged`] if the bytes are none.
    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged>;

    /// Bytes that every value takes; 0 if that depends on the value, or nobody keeps long lists of them.
    const FIXED: usize = 0;

    /// The value of [`Self::FIXED`] bytes.
    ///
    /// # Errors
    ///
    /// [`Damaged`] if the bytes are none.
    fn of_fixed(_bytes: &[u8]) -> Result<Self, Damaged> {
        Err(Damaged("a value has no fixed length"))
    }
}

/// The first of some bytes, as a value of a fixed length, and the others. For [`keep_struct`].
///
/// # Errors
///
/// As [`Keep::of_fixed`].
#[inline]
pub fn next_fixed<T: Keep>(bytes: &mut &[u8]) -> Result<T, Damaged> {
    let (first, rest) = bytes.split_at_checked(T::FIXED).ok_or(Damaged("a row is too short"))?;
    *bytes = rest;
    T::of_fixed(first)
}

/// Bytes of a field. For [`keep_struct`].
#[must_use]
pub const fn fixed_of<S, T: Keep>(_field: fn(&S) -> &T) -> usize {
    T::FIXED
}

/// Bytes of a struct whose fields take so many each: 0 if one of them has no fixed length.
#[must_use]
pub const fn fixed_sum(fields: &[usize]) -> usize {
    let (mut sum, mut at) = (0, 0);
    while at < fields.len() {
        if fields[at] == 0 {
            return 0;
        }
        sum += fields[at];
        at += 1;
    }
    sum
}

/// The bytes of a value, in pieces of about a MiB.
pub fn put<T: Keep>(value: &T, sink: &mut dyn FnMut(&[u8])) {
    let mut out = Writer::new(sink);
    value.put(&mut out);
    out.finish();
}

/// The value of so many bytes; `source` appends the next piece of them, or says that there is none.
///
/// # Errors
///
/// [`Damaged`] if they are none of this layout.
pub fn take<T: Keep>(total: u64, source: &mut dyn FnMut(&mut Vec<u8>) -> bool) -> Result<T, Damaged> {
    let mut from = Reader::new(total, source);
    let value = T::take(&mut from)?;
    from.finish()?;
    Ok(value)
}

macro_rules! keep_integers {
    ($($ty:ty),*) => { $(impl Keep for $ty {
        #[inline]
        fn put(&self, out: &mut Writer<'_>) { out.bytes(&self.to_le_bytes()); }
        #[inline]
        fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> { Ok(Self::from_le_bytes(from.array()?)) }
        const FIXED: usize = size_of::<Self>();
        #[inline]
        fn of_fixed(bytes: &[u8]) -> Result<Self, Damaged> {
            bytes.try_into().map(Self::from_le_bytes).map_err(|_| Damaged("a row is too short"))
        }
    })* };
}
keep_integers!(u8, u16, u32, u64, i16, i32, i64, u128, i128);

impl Keep for bool {
    fn put(&self, out: &mut Writer<'_>) {
        u8::from(*self).put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        Self::of_fixed(&[u8::take(from)?])
    }

    const FIXED: usize = 1;

    #[inline]
    fn of_fixed(bytes: &[u8]) -> Result<Self, Damaged> {
        match bytes {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(Damaged("a truth value is neither")),
        }
    }
}

impl Keep for usize {
    fn put(&self, out: &mut Writer<'_>) {
        u64::try_from(*self).expect("lengths are below 2^64").put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        Self::try_from(u64::take(from)?).map_err(|_| Damaged("a length does not fit"))
    }
}

fn put_length(length: usize, out: &mut Writer<'_>) {
    u32::try_from(length).expect("limits bound every list").put(out);
}

/// The bytes of a text.
pub(crate) fn put_text(text: &[u8], out: &mut Writer<'_>) {
    put_length(text.len(), out);
    out.long(text);
}

impl Keep for String {
    fn put(&self, out: &mut Writer<'_>) {
        put_text(self.as_bytes(), out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        let length = from.length()?;
        let text = core::str::from_utf8(from.slice(length)?);
        text.map(Self::from).map_err(|_| Damaged("a text is not UTF-8"))
    }
}

impl Keep for Box<str> {
    fn put(&self, out: &mut Writer<'_>) {
        put_text(self.as_bytes(), out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        String::take(from).map(String::into_boxed_str)
    }
}

/// Names that stand in the program. A name is given to the program for good once in each reading: there
/// are some dozens.
impl Keep for &'static str {
    fn put(&self, out: &mut Writer<'_>) {
        put_text(self.as_bytes(), out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        let name = String::take(from)?;
        if let Some(known) = from.names.get(name.as_str()) {
            return Ok(known);
        }
        let name: &'static str = Box::leak(name.into_boxed_str());
        from.names.insert(name);
        Ok(name)
    }
}

impl<T: Keep + Copy + Default, const N: usize> Keep for [T; N] {
    fn put(&self, out: &mut Writer<'_>) {
        self.iter().for_each(|it| it.put(out));
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        let mut all = [T::default(); N];
        for it in &mut all {
            *it = T::take(from)?;
        }
        Ok(all)
    }

    const FIXED: usize = N * T::FIXED;

    #[inline]
    fn of_fixed(mut bytes: &[u8]) -> Result<Self, Damaged> {
        let mut all = [T::default(); N];
        for it in &mut all {
            *it = next_fixed(&mut bytes)?;
        }
        Ok(all)
    }
}

/// Appends a list of so many items.
pub(crate) fn put_all<'a, T: Keep + 'a>(
    length: usize,
    items: impl Iterator<Item = &'a T>,
    out: &mut Writer<'_>,
) {
    put_length(length, out);
    for it in items {
        it.put(out);
        out.end_item();
    }
}

/// As [`put_all`], of things and what each is known by.
pub(crate) fn put_map<'a, K: Keep + 'a, V: Keep + 'a>(
    length: usize,
    items: impl Iterator<Item = (&'a K, &'a V)>,
    out: &mut Writer<'_>,
) {
    put_length(length, out);
    for (key, value) in items {
        key.put(out);
        value.put(out);
        out.end_item();
    }
}

impl<T: Keep> Keep for Vec<T> {
    fn put(&self, out: &mut Writer<'_>) {
        put_all(self.len(), self.iter(), out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        let length = from.list::<T>()?;
        // Room for what comes next, or the first of it would have everything moved. It is not touched before.
        let spare = if T::FIXED > 0 { length / 8 } else { 0 };
        let mut all = Self::with_capacity(length + spare);
        from.rows(length, &mut all)?;
        Ok(all)
    }
}

impl<T: Keep> Keep for VecDeque<T> {
    fn put(&self, out: &mut Writer<'_>) {
        put_all(self.len(), self.iter(), out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        Vec::take(from).map(Self::from)
    }
}

// Sorted items are laid out at once, level by level.
impl<T: Keep + Ord> Keep for BTreeSet<T> {
    fn put(&self, out: &mut Writer<'_>) {
        put_all(self.len(), self.iter(), out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        Ok(Vec::take(from)?.into_iter().collect())
    }
}

impl<K: Keep + Ord, V: Keep> Keep for BTreeMap<K, V> {
    fn put(&self, out: &mut Writer<'_>) {
        put_map(self.len(), self.iter(), out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        Ok(Vec::<(K, V)>::take(from)?.into_iter().collect())
    }
}

impl<T: Keep> Keep for Arc<T> {
    fn put(&self, out: &mut Writer<'_>) {
        T::put(self, out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        T::take(from).map(Self::new)
    }
}

impl<T: Keep> Keep for Box<T> {
    fn put(&self, out: &mut Writer<'_>) {
        T::put(self, out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        T::take(from).map(Self::new)
    }
}

impl<T: Keep> Keep for Option<T> {
    fn put(&self, out: &mut Writer<'_>) {
        self.is_some().put(out);
        if let Some(it) = self {
            it.put(out);
        }
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        if bool::take(from)? { T::take(from).map(Some) } else { Ok(None) }
    }
}

impl<A: Keep, E: Keep> Keep for Result<A, E> {
    fn put(&self, out: &mut Writer<'_>) {
        self.is_ok().put(out);
        match self {
            Ok(it) => it.put(out),
            Err(it) => it.put(out),
        }
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        Ok(if bool::take(from)? { Ok(A::take(from)?) } else { Err(E::take(from)?) })
    }
}

impl<A: Keep, B: Keep> Keep for (A, B) {
    fn put(&self, out: &mut Writer<'_>) {
        self.0.put(out);
        self.1.put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        Ok((A::take(from)?, B::take(from)?))
    }

    const FIXED: usize = fixed_sum(&[A::FIXED, B::FIXED]);

    #[inline]
    fn of_fixed(mut bytes: &[u8]) -> Result<Self, Damaged> {
        Ok((next_fixed(&mut bytes)?, next_fixed(&mut bytes)?))
    }
}

impl<A: Keep, B: Keep, C: Keep> Keep for (A, B, C) {
    fn put(&self, out: &mut Writer<'_>) {
        self.0.put(out);
        self.1.put(out);
        self.2.put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        Ok((A::take(from)?, B::take(from)?, C::take(from)?))
    }
}

/// Keeps every field of a struct, in the order named.
#[macro_export]
macro_rules! keep_struct {
    ($($ty:ident { $($field:ident),* $(,)? })*) => { $(
        impl $crate::snapshot::Keep for $ty {
            fn put(&self, out: &mut $crate::snapshot::Writer<'_>) {
                let Self { $($field),* } = self;
                $($crate::snapshot::Keep::put($field, out);)*
            }

            fn take(
                from: &mut $crate::snapshot::Reader<'_>,
            ) -> Result<Self, $crate::snapshot::Damaged> {
                Ok(Self { $($field: $crate::snapshot::Keep::take(from)?),* })
            }

            const FIXED: usize = $crate::snapshot::fixed_sum(&[
                $($crate::snapshot::fixed_of(|it: &Self| &it.$field)),*
            ]);

            #[inline]
            fn of_fixed(mut bytes: &[u8]) -> Result<Self, $crate::snapshot::Damaged> {
                Ok(Self { $($field: $crate::snapshot::next_fixed(&mut bytes)?),* })
            }
        }
    )* };
}
pub use keep_struct;

/// Keeps the variants of an enum that has nothing in them by their numbers.
macro_rules! keep_plain {
    ($($ty:ident { $($number:literal = $variant:ident),* $(,)? })*) => { $(
        impl $crate::snapshot::Keep for $ty {
            fn put(&self, out: &mut $crate::snapshot::Writer<'_>) {
                let number: u8 = match self { $(Self::$variant => $number,)* };
                $crate::snapshot::Keep::put(&number, out);
            }

            fn take(
                from: &mut $crate::snapshot::Reader<'_>,
            ) -> Result<Self, $crate::snapshot::Damaged> {
                let number: u8 = $crate::snapshot::Keep::take(from)?;
                Self::of_fixed(&[number])
            }

            const FIXED: usize = 1;

            #[inline]
            fn of_fixed(bytes: &[u8]) -> Result<Self, $crate::snapshot::Damaged> {
                match bytes {
                    $([$number] => Ok(Self::$variant),)*
                    _ => Err($crate::snapshot::Damaged("a choice has no such number")),
                }
            }
        }
    )* };
}
pub(crate) use keep_plain;

/// Keeps the variants of an enum by their numbers.
#[macro_export]
macro_rules! keep_enum {
    ($($ty:ident { $(
        $number:literal = $variant:ident $(($($item:ident),*))? $({ $($field:ident),* })?
    ),* $(,)? })*) => { $(
        impl $crate::snapshot::Keep for $ty {
            fn put(&self, out: &mut $crate::snapshot::Writer<'_>) {
                match self { $(
                    Self::$variant $(($($item),*))? $({ $($field),* })? => {
                        $crate::snapshot::Keep::put(&{ let number: u8 = $number; number }, out);
                        $($($crate::snapshot::Keep::put($item, out);)*)?
                        $($($crate::snapshot::Keep::put($field, out);)*)?
                    }
                )* }
            }

            fn take(
                from: &mut $crate::snapshot::Reader<'_>,
            ) -> Result<Self, $crate::snapshot::Damaged> {
                let number: u8 = $crate::snapshot::Keep::take(from)?;
                Ok(match number {
                    $($number => {
                        $($(let $item = $crate::snapshot::Keep::take(from)?;)*)?
                        Self::$variant $(($($item),*))? $({ $($field: $crate::snapshot::Keep::take(from)?),* })?
                    })*
                    _ => return Err($crate::snapshot::Damaged("a choice has no such number")),
                })
            }
        }
    )* };
}
pub use keep_enum;

/// A struct whose fields are all of the state: fed to the digest and kept.
macro_rules! state_struct {
    ($($ty:ident { $($field:ident),* $(,)? })*) => {
        $crate::digest::feed_struct! { $($ty { $($field),* })* }
        $crate::snapshot::keep_struct! { $($ty { $($field),* })* }
    };
}
pub(crate) use state_struct;

#[cfg(test)]
mod tests;
