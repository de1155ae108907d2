//! Meter readings: validated, merged by version, estimated where missing, added up to portfolios.
//!
//! A file holds readings sorted by meter, then block. Several files of a day are merged as they are
//! read: of one meter and block the greatest version counts, and of equal versions the later file.
//! Nothing is held but one meter's day, so memory does not grow with the number of readings.
//!
//! A missing reading is estimated and its block flagged, by this rule: between two readings of the
//! meter, on the straight line between them, rounded towards zero; before the first and after the
//! last, like the nearest; a meter without any reading, like the mean of the group's meters that have
//! one, block by block, rounded towards zero. A group in which no meter was read is left out: it is
//! settled as scheduled.

pub mod archive;
pub mod register;
pub mod source;

pub use register::Register;
pub use source::{Chunk, Source};

use std::collections::BTreeMap;
use std::fmt;

/// Minutes of a block.
pub const MINUTES: u16 = 15;
/// Greatest energy of one meter in one block, watt-hours: 4 GW over a quarter of an hour.
pub const WATT_HOURS_MAX: i64 = 1_000_000_000;

/// What is wrong with readings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad {
    /// Which file or stream.
    pub origin: String,
    /// Which reading, from 1; 0 if it is about the whole.
    pub row: u64,
    /// Which column.
    pub field: &'static str,
    /// Its value.
    pub value: String,
    /// The rule that it breaks.
    pub rule: String,
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, row, field, value, rule } = self;
        write!(f, "{origin}, reading {row}: {field} = {value}: {rule}")
    }
}

impl std::error::Error for Bad {}

/// What was added up for a portfolio in an area.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Net injection per block, watt-hours.
    pub net_wh: Vec<i64>,
    /// Whether the block contains an estimate.
    pub estimated: Vec<bool>,
}

/// A day, added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Day {
    /// By portfolio and area.
    pub totals: BTreeMap<(String, String), Totals>,
    /// Readings that counted.
    pub readings: u64,
    /// Readings that a later version replaced.
    pub superseded: u64,
    /// Readings that were estimated here.
    pub estimated: u64,
    /// Readings whose sender said that they are estimates.
    pub estimated_before: u64,
    /// Meters without any reading.
    pub silent_meters: u64,
    /// Portfolios and areas left out since none of their meters was read.
    pub left_out: Vec<(String, String)>,
}

/// Adds up a day of `blocks` blocks. `progress` hears how many readings have been looked at.
///
/// # Errors
///
/// The first reading that breaks a rule; nothing of the day counts then.
pub fn aggregate(
    register: &Register,
    sources: Vec<Box<dyn Source>>,
    blocks: usize,
    progress: &mut dyn FnMut(u64),
) -> Result<Day, Bad> {
    let mut sum = Sum::new(register, blocks);
    let mut cursors = Vec::new();
    for source in sources {
        cursors.push(Cursor::new(source, blocks)?);
    }
    let mut seen = 0_u64;
    // The files may be long: whether a file alone is read is decided once, not per reading.
    if let [only] = cursors.as_mut_slice() {
        while only.meter != u64::MAX {
            let end = only.run_of_meter();
            sum.meter(only.meter, only, end)?;
            seen += u64::try_from(end).unwrap_or(0);
            only.skip(end)?;
            if only.at == 0 {
                progress(seen);
            }
        }
        progress(seen);
        return Ok(sum.finish());
    }
    while let Some(least) = cursors.iter().map(|it| (it.meter, it.block)).min().filter(|it| it.0 != u64::MAX)
    {
        let mut best: Option<Reading> = None;
        for cursor in cursors.iter_mut().filter(|it| (it.meter, it.block) == least) {
            let reading = cursor.reading();
            sum.day.superseded += u64::from(best.is_some());
            if best.as_ref().is_none_or(|it| it.version <= reading.version) {
                best = Some(reading);
            }
            cursor.skip(1)?;
            seen += 1;
        }
        sum.reading(least.0, &best.expect("the least key is some cursor's"))
            .map_err(|rule| unknown_meter(&cursors, least.0, rule))?;
        if seen.is_multiple_of(1 << 20) {
            progress(seen);
        }
    }
    progress(seen);
    Ok(sum.finish())
}

fn unknown_meter(cursors: &[Cursor], meter: u64, rule: String) -> Bad {
    let origin = cursors.first().map_or_else(String::new, |it| it.source.name().to_owned());
    Bad { origin, row: 0, field: "meter", value: meter.to_string(), rule }
}

#[derive(Clone, Copy, Debug)]
struct Reading {
    block: usize,
    wh: i64,
    version: i64,
    estimated: bool,
}

/// A place in a source, everything before it checked.
struct Cursor {
    source: Box<dyn Source>,
    chunk: Chunk,
    /// Position in the chunk.
    at: usize,
    /// Readings before the chunk.
    before: u64,
    blocks: i64,
    /// Meter and block here; `u64::MAX` at the end.
    meter: u64,
    block: i64,
}

impl Cursor {
    fn new(source: Box<dyn Source>, blocks: usize) -> Result<Self, Bad> {
        let blocks = i64::try_from(blocks).unwrap_or(i64::MAX);
        let chunk = Chunk::default();
        let mut cursor = Self { source, chunk, at: 0, before: 0, blocks, meter: 0, block: 0 };
        cursor.load((0, 0))?;
        Ok(cursor)
    }

    fn bad(&self, at: usize, field: &'static str, value: i64, rule: impl Into<String>) -> Bad {
        let row = self.before + u64::try_from(at).unwrap_or(0) + 1;
        Bad { origin: self.source.name().into(), row, field, value: value.to_string(), rule: rule.into() }
    }

    /// Takes the next chunk that is not empty and checks all of it.
    fn load(&mut self, mut last: (i64, i64)) -> Result<(), Bad> {
        self.at = 0;
        self.before += u64::try_from(self.chunk.len()).unwrap_or(0);
        loop {
            match self.source.next_chunk()? {
                None => {
                    self.chunk = Chunk::default();
                    (self.meter, self.block) = (u64::MAX, 0);
                    return Ok(());
                }
                Some(chunk) if chunk.is_empty() => {}
                Some(chunk) => {
                    self.chunk = chunk;
                    break;
                }
            }
        }
        let chunk = &self.chunk;
        let columns = chunk.meters.iter().zip(&chunk.blocks).zip(&chunk.watt_hours);
        for (at, ((meter, block), wh)) in columns.enumerate() {
            if *meter < 1 {
                return Err(self.bad(at, "meter", *meter, "must be above 0"));
            }
            if !(1..=self.blocks).contains(block) {
                let rule = format!("must be a block of {MINUTES} minutes, from 1 to {}", self.blocks);
                return Err(self.bad(at, "block", *block, rule));
            }
            if (*meter, *block) <= last {
                let (field, value) = if *meter < last.0 { ("meter", *meter) } else { ("block", *block) };
                let rule = if (*meter, *block) == last {
                    format!("meter {meter} has a reading of this block already")
                } else {
                    format!("out of order after meter {} block {}", last.0, last.1)
                };
                return Err(self.bad(at, field, value, rule));
            }
            if !(0..=WATT_HOURS_MAX).contains(wh) {
                let rule = if *wh < 0 {
                    "a meter counts one direction: must not be negative".to_owned()
                } else {
                    format!("no meter passes more than {WATT_HOURS_MAX} in {MINUTES} minutes")
                };
                return Err(self.bad(at, "watt_hours", *wh, rule));
            }
            last = (*meter, *block);
        }
        if let Some(at) = chunk.versions.iter().position(|it| *it < 1) {
            return Err(self.bad(at, "version", chunk.versions[at], "must be 1 or above"));
        }
        if let Some(at) = chunk.qualities.iter().position(|it| !(1..=3).contains(it)) {
            let rule = "must be 1 measured, 2 estimated or 3 corrected";
            return Err(self.bad(at, "quality", chunk.qualities[at], rule));
        }
        self.settle();
        Ok(())
    }

    fn settle(&mut self) {
        self.meter = u64::try_from(self.chunk.meters[self.at]).unwrap_or(0);
        self.block = self.chunk.blocks[self.at];
    }

    /// How many readings of the meter follow in the chunk, this one included.
    fn run_of_meter(&self) -> usize {
        let here = self.chunk.meters[self.at];
        self.chunk.meters[self.at..].iter().take_while(|it| **it == here).count()
    }

    fn reading_at(&self, at: usize) -> Reading {
        Reading {
            block: usize::try_from(self.chunk.blocks[at] - 1).expect("checked"),
            wh: self.chunk.watt_hours[at],
            version: self.chunk.versions[at],
            estimated: self.chunk.qualities[at] == 2,
        }
    }

    fn reading(&self) -> Reading {
        self.reading_at(self.at)
    }

    fn skip(&mut self, count: usize) -> Result<(), Bad> {
        let last = self.at + count - 1;
        let key = (self.chunk.meters[last], self.chunk.blocks[last]);
        self.at += count;
        if self.at < self.chunk.len() {
            self.settle();
            return Ok(());
        }
        self.load(key)
    }
}

/// Sums of one group of meters.
#[derive(Clone)]
struct Group {
    wh: Vec<i64>,
    estimated: Vec<bool>,
    read: i64,
    silent: i64,
}

struct Sum<'a> {
    register: &'a Register,
    groups: Vec<Group>,
    blocks: usize,
    /// Position in the register.
    next: usize,
    /// The meter at hand: its group, its readings.
    meter: u64,
    group: usize,
    values: Vec<Option<i64>>,
    any: bool,
    day: Day,
}

impl<'a> Sum<'a> {
    fn new(register: &'a Register, blocks: usize) -> Self {
        let group = Group { wh: vec![0; blocks], estimated: vec![false; blocks], read: 0, silent: 0 };
        Self {
            register,
            groups: vec![group; register.groups().len()],
            blocks,
            next: 0,
            meter: 0,
            group: 0,
            values: vec![None; blocks],
            any: false,
            day: Day::default(),
        }
    }

    /// Readings of one meter out of a single source.
    fn meter(&mut self, meter: u64, cursor: &Cursor, count: usize) -> Result<(), Bad> {
        for at in cursor.at..cursor.at + count {
            let reading = cursor.reading_at(at);
            self.reading(meter, &reading).map_err(|rule| {
                let value = i64::try_from(meter).unwrap_or(i64::MAX);
                cursor.bad(at, "meter", value, rule)
            })?;
        }
        Ok(())
    }

    fn reading(&mut self, meter: u64, reading: &Reading) -> Result<(), String> {
        if meter != self.meter {
            self.close_meter();
            self.open_meter(meter)?;
        }
        self.values[reading.block] = Some(reading.wh);
        self.any = true;
        self.day.readings += 1;
        if reading.estimated {
            self.day.estimated_before += 1;
            self.groups[self.group].estimated[reading.block] = true;
        }
        Ok(())
    }

    fn open_meter(&mut self, meter: u64) -> Result<(), String> {
        while let Some((known, group)) = self.register.meters().get(self.next).copied() {
            if known > meter {
                break;
            }
            self.next += 1;
            if known == meter {
                (self.meter, self.group) = (meter, group);
                return Ok(());
            }
            self.silent(group);
        }
        Err("no such meter in the register".into())
    }

    fn silent(&mut self, group: usize) {
        self.groups[group].silent += 1;
        self.day.silent_meters += 1;
    }

    /// Adds the meter at hand to its group, its gaps filled.
    fn close_meter(&mut self) {
        if !self.any {
            return;
        }
        let group = &mut self.groups[self.group];
        group.read += 1;
        if self.values.iter().all(Option::is_some) {
            for (sum, value) in group.wh.iter_mut().zip(&mut self.values) {
                *sum += value.take().unwrap_or(0);
            }
        } else {
            let missing = fill(&self.values, |block, wh| {
                group.wh[block] += wh;
                group.estimated[block] = true;
            });
            self.day.estimated += missing;
            for (sum, value) in group.wh.iter_mut().zip(&mut self.values) {
                *sum += value.take().unwrap_or(0);
            }
        }
        self.any = false;
    }

    fn finish(mut self) -> Day {
        self.close_meter();
        while let Some((_, group)) = self.register.meters().get(self.next).copied() {
            self.next += 1;
            self.silent(group);
        }
        let mut day = std::mem::take(&mut self.day);
        for (place, mut group) in self.register.groups().iter().zip(self.groups) {
            let key = (place.portfolio.clone(), place.area.clone());
            if group.read == 0 {
                if group.silent > 0 {
                    day.left_out.push(key);
                }
                continue;
            }
            if group.silent > 0 {
                for (wh, flag) in group.wh.iter_mut().zip(&mut group.estimated) {
                    *wh += *wh / group.read * group.silent + *wh % group.read * group.silent / group.read;
                    *flag = true;
                }
                let blocks = u64::try_from(self.blocks).unwrap_or(0);
                day.estimated += u64::try_from(group.silent).unwrap_or(0) * blocks;
            }
            let none = || Totals { net_wh: vec![0; self.blocks], estimated: vec![false; self.blocks] };
            let totals = day.totals.entry(key).or_insert_with(none);
            let sign = if place.drawal { -1 } else { 1 };
            for block in 0..self.blocks {
                totals.net_wh[block] += sign * group.wh[block];
                totals.estimated[block] |= group.estimated[block];
            }
        }
        // A portfolio that has one group read and one not is not left out.
        day.left_out.retain(|key| !day.totals.contains_key(key));
        day.left_out.dedup();
        day
    }
}

/// Says an estimate for every gap; returns how many there were.
fn fill(values: &[Option<i64>], mut say: impl FnMut(usize, i64)) -> u64 {
    let mut missing = 0;
    let mut before: Option<(usize, i64)> = None;
    let mut block = 0;
    while block < values.len() {
        if let Some(wh) = values[block] {
            before = Some((block, wh));
            block += 1;
            continue;
        }
        let end = values[block..].iter().position(Option::is_some).map_or(values.len(), |it| block + it);
        let after = values.get(end).copied().flatten().map(|wh| (end, wh));
        for gap in block..end {
            let wh = match (before, after) {
                (Some((from, a)), Some((to, b))) => {
                    let whole = |it: usize| i64::try_from(it).unwrap_or(0);
                    a + (b - a) * whole(gap - from) / whole(to - from)
                }
                (Some((_, wh)), None) | (None, Some((_, wh))) => wh,
                (None, None) => 0,
            };
            say(gap, wh);
            missing += 1;
        }
        block = end;
    }
    missing
}

#[cfg(test)]
mod tests;
