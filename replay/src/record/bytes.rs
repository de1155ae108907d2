//! Little-endian values with checked lengths: the alphabet in which `record.rs` spells commands.
//!
//! Reading never believes a length before it has seen that so many bytes are there, and accepts only
//! what writing produces: one value has one spelling.

use merit_engine::few::Few;
use std::fmt;

/// Why bytes are not a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// They end too early, or a length says more than there is.
    Short,
    /// Bytes are left over.
    Long,
    /// A tag stands for nothing.
    Tag(&'static str, u8),
    /// A text is not UTF-8, or no text id.
    Text,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short => f.write_str("the payload ends too early"),
            Self::Long => f.write_str("the payload has bytes left over"),
            Self::Tag(what, tag) => write!(f, "{tag} is no {what}"),
            Self::Text => f.write_str("a text is malformed"),
        }
    }
}

/// What can be written and read back.
pub(crate) trait Codec: Sized {
    /// Fewest bytes that a value takes; bounds how many values a length may announce.
    const BYTES_MIN: usize;

    fn put(&self, out: &mut Vec<u8>);

    fn take(from: &mut Take<'_>) -> Result<Self, Malformed>;
}

/// The bytes that are still to be read.
pub(crate) struct Take<'a> {
    rest: &'a [u8],
    /// Version of the payload.
    pub(crate) version: u8,
}

impl<'a> Take<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, version: super::PAYLOAD_VERSION }
    }

    #[inline]
    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Malformed::Short)?;
        self.rest = rest;
        Ok(taken)
    }

    /// As [`Self::bytes`], with what follows them.
    #[inline(always)]
    pub(crate) fn bytes_and_more(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let whole = self.rest;
        self.bytes(count).map(|_| whole)
    }

    /// So many bytes as they come; they are still to be taken.
    #[inline]
    pub(crate) fn ahead<const N: usize>(&self) -> Option<&'a [u8; N]> {
        self.rest.first_chunk()
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Malformed::Short)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// A length of things that take at least so many bytes each.
    #[inline]
    fn length(&mut self, bytes_min: usize) -> Result<usize, Malformed> {
        let length = usize::try_from(u32::take(self)?).map_err(|_| Malformed::Short)?;
        let bytes = length.checked_mul(bytes_min).ok_or(Malformed::Short)?;
        if bytes <= self.rest.len() { Ok(length) } else { Err(Malformed::Short) }
    }

    pub(crate) fn end(&self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed::Long) }
    }
}

fn put_length(length: usize, out: &mut Vec<u8>) {
    u32::try_from(length).expect("lists are bounded by the size of a batch").put(out);
}

macro_rules! integers {
    ($($integer:ty),*) => {$(
        impl Codec for $integer {
            const BYTES_MIN: usize = size_of::<Self>();

            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }

            #[inline]
            fn take(from: &mut Take<'_>) -> Result<Self, Malformed> {
                from.array().map(Self::from_le_bytes)
            }
        }
    )*};
}

integers!(u8, u16, u32, u64, i16, i32, i64);

impl Codec for bool {
    const BYTES_MIN: usize = 1;

    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn take(from: &mut Take<'_>) -> Result<Self, Malformed> {
        match u8::take(from)? {
            0 => Ok(false),
            1 => Ok(true),
            tag => Err(Malformed::Tag("truth value", tag)),
        }
    }
}

impl Codec for String {
    const BYTES_MIN: usize = 4;

    fn put(&self, out: &mut Vec<u8>) {
        put_length(self.len(), out);
        out.extend_from_slice(self.as_bytes());
    }

    fn take(from: &mut Take<'_>) -> Result<Self, Malformed> {
        let length = from.length(1)?;
        let text = str::from_utf8(from.bytes(length)?).map_err(|_| Malformed::Text)?;
        Ok(text.to_owned())
    }
}

impl<const N: usize> Codec for [u8; N] {
    const BYTES_MIN: usize = N;

    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }

    fn take(from: &mut Take<'_>) -> Result<Self, Malformed> {
        from.array()
    }
}

impl<T: Codec> Codec for Vec<T> {
    const BYTES_MIN: usize = 4;

    fn put(&self, out: &mut Vec<u8>) {
        put_length(self.len(), out);
        for item in self {
            item.put(out);
        }
    }

    #[inline]
    fn take(from: &mut Take<'_>) -> Result<Self, Malformed> {
        let length = from.length(T::BYTES_MIN)?;
        take_many(length, from)
    }
}

// As a vector is spelled.
impl<T: Codec> Codec for Few<T> {
    const BYTES_MIN: usize = 4;

    fn put(&self, out: &mut Vec<u8>) {
        put_length(self.len(), out);
        for item in self {
            item.put(out);
        }
    }

    #[inline(always)]
    fn take(from: &mut Take<'_>) -> Result<Self, Malformed> {
        match from.length(T::BYTES_MIN)? {
            // Nearly all are.
            1 => T::take(from).map(Self::one),
            length => take_many(length, from).map(Self::from),
        }
    }
}

#[inline(never)]
fn take_many<T: Codec>(length: usize, from: &mut Take<'_>) -> Result<Vec<T>, Malformed> {
    let mut items = Vec::with_capacity(length);
    for _ in 0..length {
        items.push(T::take(from)?);
    }
    Ok(items)
}

impl<T: Codec> Codec for Option<T> {
    const BYTES_MIN: usize = 1;

    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }

    fn take(from: &mut Take<'_>) -> Result<Self, Malformed> {
        if bool::take(from)? { T::take(from).map(Some) } else { Ok(None) }
    }
}

impl<T: Codec> Codec for Box<T> {
    const BYTES_MIN: usize = T::BYTES_MIN;

    fn put(&self, out: &mut Vec<u8>) {
        (**self).put(out);
    }

    fn take(from: &mut Take<'_>) -> Result<Self, Malformed> {
        T::take(from).map(Self::new)
    }
}

impl<A: Codec, B: Codec> Codec for (A, B) {
    const BYTES_MIN: usize = A::BYTES_MIN + B::BYTES_MIN;

    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
    }

    // What a curve has for each period; in place, or it is put together in memory and waited for there.
    #[inline(always)]
    fn take(from: &mut Take<'_>) -> Result<Self, Malformed> {
        Ok((A::take(from)?, B::take(from)?))
    }
}

impl<A: Codec, B: Codec, C: Codec> Codec for (A, B, C) {
    const BYTES_MIN: usize = A::BYTES_MIN + B::BYTES_MIN + C::BYTES_MIN;

    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
        self.2.put(out);
    }

    #[inline]
    fn take(from: &mut Take<'_>) -> Result<Self, Malformed> {
        Ok((A::take(from)?, B::take(from)?, C::take(from)?))
    }
}

/// Spells a struct as its fields in the order given. A new field does not compile until it stands
/// here, and adding it is a new payload version; `= until N function` reads what versions up to N have there.
macro_rules! fields {
    (@take $from:ident $type:ty) => { <$type as Codec>::take($from)? };
    (@take $from:ident $type:ty, $until:literal $old:path) => {
        if $from.version <= $until { $old($from)? } else { <$type as Codec>::take($from)? }
    };
    ($name:ident { $($field:ident: $type:ty $(= until $until:literal $old:path)?),* $(,)? }) => {
        impl Codec for $name {
            const BYTES_MIN: usize = 0 $(+ <$type as Codec>::BYTES_MIN)*;

            fn put(&self, out: &mut Vec<u8>) {
                let Self { $($field),* } = self;
                $(Codec::put($field, out);)*
            }

            #[inline]
            fn take(from: &mut Take<'_>) -> Result<Self, Malformed> {
                $(let $field = fields!(@take from $type $(, $until $old)?);)*
                Ok(Self { $($field),* })
            }
        }
    };
}

/// Spells a number in a struct of its own as that number.
macro_rules! wrapped {
    ($($name:ident($type:ty)),* $(,)?) => {$(
        impl Codec for $name {
            const BYTES_MIN: usize = <$type as Codec>::BYTES_MIN;

            fn put(&self, out: &mut Vec<u8>) {
                self.0.put(out);
            }

            #[inline]
            fn take(from: &mut Take<'_>) -> Result<Self, Malformed> {
                <$type as Codec>::take(from).map(Self)
            }
        }
    )*};
}

/// Spells a choice as one byte.
macro_rules! choices {
    ($what:literal, $name:ident { $($tag:tt = $variant:ident),* $(,)? }) => {
        impl Codec for $name {
            const BYTES_MIN: usize = 1;

            fn put(&self, out: &mut Vec<u8>) {
                out.push(match self { $(Self::$variant => $tag),* });
            }

            #[inline]
            fn take(from: &mut Take<'_>) -> Result<Self, Malformed> {
                match u8::take(from)? {
                    $($tag => Ok(Self::$variant),)*
                    tag => Err(Malformed::Tag($what, tag)),
                }
            }
        }
    };
}

pub(crate) use {choices, fields, wrapped};
