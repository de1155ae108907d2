//! A list that is mostly one item long.
//!
//! Of orders there are millions, and most are one point in one period. A [`Vec`] asks the allocator for that one, and
//! whoever reads it follows a pointer; here it lies in place, in what a vector takes by itself.

use crate::digest::{Feed, Words};
use crate::snapshot::{Damaged, Keep, Reader, Writer, put_all};
use alloc::vec::Vec;
use core::fmt;
use core::ops::{Deref, DerefMut};

/// The list: a slice that owns its items. How they lie says nothing.
#[derive(Clone)]
pub struct Few<T>(Lies<T>);

#[derive(Clone)]
enum Lies<T> {
    InPlace(T),
    Apart(Vec<T>),
}

impl<T> Few<T> {
    /// No items.
    #[must_use]
    #[inline]
    pub const fn new() -> Self {
        Self(Lies::Apart(Vec::new()))
    }

    /// One item.
    #[must_use]
    #[inline]
    pub const fn one(item: T) -> Self {
        Self(Lies::InPlace(item))
    }

    /// Adds an item at the end.
    pub fn push(&mut self, item: T) {
        let mut items = Vec::from(core::mem::take(self));
        items.push(item);
        *self = items.into();
    }

    /// Takes all items away.
    pub fn clear(&mut self) {
        *self = Self::new();
    }
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Deref for Few<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        match &self.0 {
            Lies::InPlace(item) => core::slice::from_ref(item),
            Lies::Apart(items) => items,
        }
    }
}

impl<T> DerefMut for Few<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        match &mut self.0 {
            Lies::InPlace(item) => core::slice::from_mut(item),
            Lies::Apart(items) => items,
        }
    }
}

impl<T> From<Vec<T>> for Few<T> {
    fn from(mut items: Vec<T>) -> Self {
        match items.pop() {
            Some(item) if items.is_empty() => Self::one(item),
            last => {
                items.extend(last);
                Self(Lies::Apart(items))
            }
        }
    }
}

impl<T> From<Few<T>> for Vec<T> {
    fn from(few: Few<T>) -> Self {
        match few.0 {
            Lies::InPlace(item) => alloc::vec![item],
            Lies::Apart(items) => items,
        }
    }
}

impl<T> FromIterator<T> for Few<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut items = items.into_iter();
        let Some(first) = items.next() else { return Self::new() };
        let Some(second) = items.next() else { return Self::one(first) };
        let mut all = Vec::with_capacity(items.size_hint().0.saturating_add(2));
        all.extend([first, second]);
        all.extend(items);
        Self(Lies::Apart(all))
    }
}

impl<'a, T> IntoIterator for &'a Few<T> {
    type Item = &'a T;
    type IntoIter = core::slice::Iter<'a, T>;

    #[inline]
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T> IntoIterator for Few<T> {
    type Item = T;
    type IntoIter = alloc::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        Vec::from(self).into_iter()
    }
}

impl<T: PartialEq> PartialEq for Few<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Eq> Eq for Few<T> {}

impl<T: fmt::Debug> fmt::Debug for Few<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

// As a slice is fed; in place, for what nearly all orders have is one after the other then.
impl<T: Feed> Feed for Few<T> {
    #[inline(always)]
    fn feed<W: Words>(&self, hasher: &mut W) {
        self.len().feed(hasher);
        for it in self {
            it.feed(hasher);
        }
    }
}

// As a vector is kept.
impl<T: Keep> Keep for Few<T> {
    fn put(&self, out: &mut Writer<'_>) {
        put_all(self.len(), self.iter(), out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        Vec::take(from).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::{Few, Lies};
    use crate::auction::Point;
    use crate::digest::Feed;
    use crate::snapshot::{self, Keep};
    use alloc::format;
    use alloc::vec::Vec;

    fn kept(value: &impl Keep) -> Vec<u8> {
        let mut bytes = Vec::new();
        snapshot::put(value, &mut |piece: &[u8]| bytes.extend_from_slice(piece));
        bytes
    }

    /// Of every length, however they came about: read, compared, fed and kept alike.
    #[test]
    fn few_items_are_what_a_vector_of_them_is() {
        for length in 0..4 {
            let plain: Vec<u64> = (7..).take(length).collect();
            let mut pushed = Few::new();
            plain.iter().for_each(|it| pushed.push(*it));
            let collected: Few<u64> = plain.iter().copied().collect();
            let bytes = kept(&plain);
            let mut left = Some(bytes.clone());
            let mut source = |into: &mut Vec<u8>| left.take().map(|it| into.extend(it)).is_some();
            let taken: Few<u64> = snapshot::take(u64::try_from(bytes.len()).unwrap(), &mut source).unwrap();
            for mut few in
                [pushed, collected, taken, Few::from(plain.clone()), Few(Lies::Apart(plain.clone()))]
            {
                assert_eq!(*few, *plain);
                assert_eq!(few, Few::from(plain.clone()));
                assert_eq!(format!("{few:?}"), format!("{plain:?}"));
                assert_eq!(few.digest(), plain.digest());
                assert!(kept(&few) == bytes);
                assert!((&few).into_iter().eq(&plain) && few.clone().into_iter().eq(plain.clone()));
                few.iter_mut().for_each(|it| *it += 1);
                assert!(few.iter().zip(&plain).all(|(it, plain)| *it == plain + 1));
                few.clear();
                assert!(few.is_empty());
            }
        }
    }

    #[test]
    fn one_point_takes_no_more_than_the_vector_that_would_point_to_it() {
        assert_eq!(size_of::<Few<Point>>(), size_of::<Vec<Point>>());
        assert!(size_of::<Few<(u16, Few<Point>)>>() <= size_of::<Few<Point>>() + 2 * size_of::<u64>());
    }
}
