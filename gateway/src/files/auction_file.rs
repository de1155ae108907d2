//! Reads `merit-auction/1` into a book of the engine.

use super::decimal::{self, Exact, Tick, TickError};
use super::raw::{Number, RawAuction, RawBlock, RawComplex, RawCurve, RawLine, Text};
use super::structure::families;
use super::units::{PERIOD_MINUTES_MAX, Units, finer, fraction_of, unit};
use super::{FileError, Problems, from_json};
use merit_engine::auction::{
    BlockHandle, BlockOrder, ComplexOrder, ComplexPeriod, CurveOrder, Frame, Line, Point, Shape, Side,
};
use merit_engine::book::AuctionBook;
use merit_engine::limits;
use rust_decimal::Decimal;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;

/// The format that this reads.
pub const AUCTION_FORMAT: &str = "merit-auction/1";

/// An auction as its file tells it.
#[derive(Clone, Debug)]
pub struct Auction {
    /// Names and units.
    pub units: Units,
    /// Frame and orders, in integers.
    pub book: AuctionBook,
}

/// Reads an auction.
///
/// # Errors
///
/// [`FileError::Malformed`] at the first mistake of form, or [`FileError::Invalid`] with the rules
/// that the auction breaks.
pub fn read_auction(text: &str) -> Result<Auction, FileError> {
    let mut raw: RawAuction<'_> = from_json(text)?;
    // The order of anything in a file changes nothing in the result: what the search for decisions
    // walks through stands in the order of ids.
    raw.areas.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    raw.lines.sort_unstable_by(|a, b| a.id.0.cmp(&b.id.0));
    raw.blocks.sort_unstable_by(|a, b| a.id.0.cmp(&b.id.0));
    raw.complex.sort_unstable_by(|a, b| a.id.0.cmp(&b.id.0));
    let mut problems = Problems::default();
    let header = Header::read(&raw, &mut problems);
    let Some(header) = header.filter(|_| problems.count() == 0) else {
        return Err(FileError::Invalid(problems));
    };
    let mut reader = Reader { header, problems, areas: HashMap::new(), points: 0, lots: 0, fixed: 0 };
    reader.check_ids(&raw);
    let (frame, fixed) = reader.frame(&raw);
    let mut book = AuctionBook::new(frame);
    for curve in &raw.curves {
        if let Some(order) = reader.curve(curve) {
            book.insert_curve(&curve.id.0, order);
        }
    }
    reader.blocks(&raw.blocks, &mut book);
    for (complex, fixed) in raw.complex.iter().zip(fixed) {
        if let Some(order) = reader.complex(complex, fixed) {
            book.insert_complex(&complex.id.0, order);
        }
    }
    let units = reader.finish(book.frame().welfare_scale)?;
    Ok(Auction { units, book })
}

/// Where a value stands: `curve "c1" points[3] price`.
#[derive(Clone, Copy)]
struct Place<'a> {
    kind: &'static str,
    id: &'a str,
    list: Option<(&'static str, usize)>,
    field: &'static str,
}

impl<'a> Place<'a> {
    const fn of(kind: &'static str, id: &'a str) -> Self {
        Self { kind, id, list: None, field: "" }
    }

    const fn field(self, field: &'static str) -> Self {
        Self { field, ..self }
    }

    const fn item(self, list: &'static str, position: usize) -> Self {
        Self { list: Some((list, position)), ..self }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind)?;
        if !self.id.is_empty() {
            write!(f, " \"{}\"", super::excerpt(self.id))?;
        }
        if let Some((list, position)) = self.list {
            write!(f, " {list}[{position}]")?;
        }
        if self.field.is_empty() { Ok(()) } else { write!(f, " {}", self.field) }
    }
}

const AUCTION: Place<'static> = Place::of("auction", "");

/// The numbers that every other check needs.
struct Header {
    units: Units,
    /// One price tick × lot over one period, money.
    unit: Exact,
    price_min: i64,
    price_max: i64,
    periods: u16,
}

impl Header {
    fn read(raw: &RawAuction<'_>, problems: &mut Problems) -> Option<Self> {
        if raw.format.0 != AUCTION_FORMAT {
            problems.add("format", Some(&raw.format.0), format_args!("is not {AUCTION_FORMAT}"));
            return None;
        }
        let price_tick = read_tick("price_tick", raw.price_tick, problems);
        let quantity_tick = read_tick("quantity_tick", raw.quantity_tick, problems);
        let order_price = read_order_tick("order_price_tick", raw.order_price_tick, price_tick, problems);
        let order_quantity =
            read_order_tick("order_quantity_tick", raw.order_quantity_tick, quantity_tick, problems);
        let minutes = read_minutes(raw.period_minutes, problems);
        let periods = read_whole("periods", raw.periods, 1, i64::from(limits::PERIODS_MAX), problems);
        let (price_tick, quantity_tick) = (price_tick?, quantity_tick?);
        let ((order_price_tick, order_price_scale), (order_quantity_tick, order_quantity_scale)) =
            (order_price?, order_quantity?);
        let price_min = read_bound("price_min", raw.price_min, price_tick, problems);
        let price_max = read_bound("price_max", raw.price_max, price_tick, problems);
        let (price_min, price_max) = (price_min?, price_max?);
        if price_min > price_max {
            problems.add("price_min", Some(raw.price_min.text()), "lies above price_max");
        }
        let (minutes, periods) = (u32::try_from(minutes?).ok()?, u16::try_from(periods?).ok()?);
        let Some(unit) = unit(price_tick, quantity_tick, minutes) else {
            problems.add("price_tick × quantity_tick × period_minutes / 60", None, "is no exact decimal");
            return None;
        };
        let units = Units {
            name: raw.name.0.clone().into_owned(),
            currency: raw.currency.0.clone().into_owned(),
            price_tick,
            order_price_tick,
            order_price_scale,
            quantity_tick,
            order_quantity_tick,
            order_quantity_scale,
            period_minutes: minutes,
            grid: unit,
        };
        Some(Self { units, unit, price_min, price_max, periods })
    }
}

fn read_decimal(place: impl fmt::Display, number: Number<'_>, problems: &mut Problems) -> Option<Decimal> {
    match decimal::parse(number.text()) {
        Ok(value) => Some(value),
        Err(error) => {
            problems.add(place, Some(number.text()), error);
            None
        }
    }
}

fn read_tick(field: &str, number: Number<'_>, problems: &mut Problems) -> Option<Tick> {
    let value = read_decimal(field, number, problems)?;
    let tick = Tick::new(value);
    if tick.is_none() {
        problems.add(field, Some(number.text()), "must be positive, of at most 9 digits and 18 decimals");
    }
    tick
}

/// The tick of orders and how many clearing ticks it holds.
fn read_order_tick(
    field: &str,
    number: Option<Number<'_>>,
    base: Option<Tick>,
    problems: &mut Problems,
) -> Option<(Tick, i64)> {
    let Some(number) = number else { return base.map(|it| (it, 1)) };
    let tick = read_tick(field, number, problems)?;
    let base = base?;
    let scale = base.count(tick.decimal()).ok();
    if scale.is_none() {
        problems.add(field, Some(number.text()), format_args!("is not a multiple of {}", base.show(1)));
    }
    scale.map(|it| (tick, it))
}

fn read_whole(
    field: &str,
    number: Number<'_>,
    least: i64,
    most: i64,
    problems: &mut Problems,
) -> Option<i64> {
    let value = read_decimal(field, number, problems)?;
    let whole = value.is_integer().then(|| i64::try_from(value).ok()).flatten();
    let whole = whole.filter(|it| (least..=most).contains(it));
    if whole.is_none() {
        let rule = format_args!("must be a whole number from {least} to {most}");
        problems.add(field, Some(number.text()), rule);
    }
    whole
}

fn read_minutes(number: Number<'_>, problems: &mut Problems) -> Option<i64> {
    let minutes = read_whole("period_minutes", number, 3, PERIOD_MINUTES_MAX, problems)?;
    if minutes % 3 != 0 {
        problems.add("period_minutes", Some(number.text()), "is not a multiple of 3");
        return None;
    }
    Some(minutes)
}

fn read_bound(field: &str, number: Number<'_>, tick: Tick, problems: &mut Problems) -> Option<i64> {
    let value = read_decimal(field, number, problems)?;
    let most = limits::PRICE_TICKS_MAX;
    match tick.count(value) {
        Ok(ticks) if (-most..=most).contains(&ticks) => Some(ticks),
        Ok(_) | Err(TickError::OutOfRange) => {
            problems.add(field, Some(number.text()), format_args!("is more than {most} price ticks"));
            None
        }
        Err(TickError::OffTick) => {
            problems.add(field, Some(number.text()), format_args!("is off the tick {}", tick.show(1)));
            None
        }
    }
}

/// Checks the body of an auction against its header.
struct Reader<'a> {
    header: Header,
    problems: Problems,
    areas: HashMap<&'a str, u16>,
    /// Points, block periods and complex points met.
    points: usize,
    /// Lots of all of them and of all capacities.
    lots: i128,
    /// Fixed terms of all complex orders, in grid units of welfare.
    fixed: i128,
}

impl<'a> Reader<'a> {
    /// Every order id stands once in the whole file.
    fn check_ids(&mut self, raw: &RawAuction<'_>) {
        let curves = raw.curves.iter().map(|it| ("curve", &it.id));
        let blocks = raw.blocks.iter().map(|it| ("block", &it.id));
        let complex = raw.complex.iter().map(|it| ("complex", &it.id));
        self.check_unique(curves.chain(blocks).chain(complex));
        self.check_unique(raw.lines.iter().map(|it| ("line", &it.id)));
        self.check_unique(raw.areas.iter().map(|it| ("area", it)));
        let many = raw.blocks.len() + raw.complex.len();
        self.check_count("blocks and complex orders", many, limits::BLOCKS_MAX);
        self.check_count("areas", raw.areas.len(), limits::AREAS_MAX.into());
        self.check_count("lines", raw.lines.len(), limits::LINES_MAX.into());
        if raw.areas.is_empty() {
            self.problems.add("areas", None, "must name at least one area");
        }
    }

    fn check_unique<'b>(&mut self, ids: impl Iterator<Item = (&'static str, &'b Text<'b>)>) {
        let mut met = HashSet::with_capacity(ids.size_hint().0);
        for (kind, id) in ids {
            if id.0.is_empty() {
                self.problems.add(format_args!("a {kind}"), None, "has an empty id");
            } else if !met.insert(id.0.as_ref()) {
                self.problems.add(Place::of(kind, &id.0), None, "its id stands twice in the file");
            }
        }
    }

    fn check_count(&mut self, what: &str, many: usize, most: u32) {
        if u32::try_from(many).is_ok_and(|it| it <= most) {
            return;
        }
        self.problems.add(AUCTION, None, format_args!("{many} {what}, at most {most} are possible"));
    }

    /// Areas, lines and the grid of money; also every complex order's fixed term, on that grid.
    fn frame(&mut self, raw: &'a RawAuction<'_>) -> (Frame, Vec<Option<i128>>) {
        for (position, area) in (0_u16..).zip(raw.areas.iter().take(limits::AREAS_MAX.into())) {
            self.areas.insert(&area.0, position);
        }
        let lines = raw.lines.iter().filter_map(|it| self.line(it)).collect();
        let (welfare_scale, fixed) = self.fixed_terms(&raw.complex);
        let frame = Frame {
            price_min: self.header.price_min,
            price_max: self.header.price_max,
            periods: self.header.periods,
            areas: raw.areas.iter().map(|it| it.0.clone().into_owned()).collect(),
            lines,
            welfare_scale,
        };
        (frame, fixed)
    }

    fn line(&mut self, raw: &RawLine<'_>) -> Option<Line> {
        let place = Place::of("line", &raw.id.0);
        let from = self.area(place.field("from"), &raw.from);
        let to = self.area(place.field("to"), &raw.to);
        if from.is_some() && from == to {
            self.problems.add(place, None, "both ends are the same area");
        }
        let capacity = self.capacities(place.field("capacity"), raw.capacity);
        let capacity_back = self.capacities(place.field("capacity_back"), raw.capacity_back);
        let id = raw.id.0.clone().into_owned();
        Some(Line { id, from: from?, to: to?, capacity: capacity?, capacity_back: capacity_back? })
    }

    fn capacities(&mut self, place: Place<'_>, raw: Number<'_>) -> Option<Vec<i64>> {
        let periods = usize::from(self.header.periods);
        let Some(list) = raw.list() else {
            let one = self.capacity(place, raw)?;
            return Some(vec![one; periods]);
        };
        if list.len() != periods {
            let rule = format_args!("holds {} values, the auction has {periods} periods", list.len());
            self.problems.add(place, None, rule);
            return None;
        }
        let values: Vec<_> = list.into_iter().map(|it| self.capacity(place, it)).collect();
        values.into_iter().collect()
    }

    fn capacity(&mut self, place: Place<'_>, raw: Number<'_>) -> Option<i64> {
        let lots = self.lots(place, raw, self.header.units.quantity_tick, 1)?;
        if lots < 0 {
            self.problems.add(place, Some(raw.text()), "must not be negative");
            return None;
        }
        Some(lots)
    }

    fn area(&mut self, place: Place<'_>, text: &Text<'_>) -> Option<u16> {
        let area = self.areas.get(text.0.as_ref()).copied();
        if area.is_none() {
            self.problems.add(place, Some(&text.0), "is not an area of this auction");
        }
        area
    }

    fn side(&mut self, place: Place<'_>, text: &str) -> Option<Side> {
        match text {
            "buy" => Some(Side::Buy),
            "sell" => Some(Side::Sell),
            other => {
                self.problems.add(place.field("side"), Some(other), "is neither buy nor sell");
                None
            }
        }
    }

    fn period(&mut self, place: Place<'_>, text: &str) -> Option<u16> {
        let whole =
            decimal::parse(text).ok().filter(Decimal::is_integer).and_then(|it| u16::try_from(it).ok());
        let period = whole.filter(|it| (1..=self.header.periods).contains(it));
        if period.is_none() {
            let rule = format_args!("is not a period from 1 to {}", self.header.periods);
            self.problems.add(place, Some(text), rule);
        }
        period.map(|it| it - 1)
    }

    fn price(&mut self, place: Place<'_>, raw: Number<'_>) -> Option<i64> {
        let value = read_decimal(place, raw, &mut self.problems)?;
        let units = &self.header.units;
        let ticks = match units.order_price_tick.count(value) {
            Ok(count) => count.checked_mul(units.order_price_scale),
            Err(TickError::OutOfRange) => None,
            Err(TickError::OffTick) => {
                let rule = format_args!("is off the tick {}", units.order_price_tick.show(1));
                self.problems.add(place, Some(raw.text()), rule);
                return None;
            }
        };
        let (least, most) = (self.header.price_min, self.header.price_max);
        let ticks = ticks.filter(|it| (least..=most).contains(it));
        if ticks.is_none() {
            let rule =
                format_args!("lies outside the bounds {} to {}", units.price(least), units.price(most));
            self.problems.add(place, Some(raw.text()), rule);
        }
        ticks
    }

    fn lots(&mut self, place: Place<'_>, raw: Number<'_>, tick: Tick, scale: i64) -> Option<i64> {
        let value = read_decimal(place, raw, &mut self.problems)?;
        let most = limits::LOTS_MAX;
        let lots = match tick.count(value) {
            Ok(count) => count.checked_mul(scale).filter(|it| (-most..=most).contains(it)),
            Err(TickError::OutOfRange) => None,
            Err(TickError::OffTick) => {
                let rule = format_args!("is off the tick {}", tick.show(1));
                self.problems.add(place, Some(raw.text()), rule);
                return None;
            }
        };
        match lots {
            Some(lots) => self.lots += i128::from(lots.abs()),
            None => self.problems.add(place, Some(raw.text()), format_args!("is more than {most} lots")),
        }
        lots
    }

    fn order_lots(&mut self, place: Place<'_>, raw: Number<'_>) -> Option<i64> {
        self.lots(place, raw, self.header.units.order_quantity_tick, self.header.units.order_quantity_scale)
    }

    fn positive_lots(&mut self, place: Place<'_>, raw: Number<'_>) -> Option<i64> {
        let lots = self.order_lots(place, raw)?;
        if lots <= 0 {
            self.problems.add(place, Some(raw.text()), "must be positive");
            return None;
        }
        Some(lots)
    }

    fn curve(&mut self, raw: &RawCurve<'_>) -> Option<CurveOrder> {
        let place = Place::of("curve", &raw.id.0);
        let area = self.area(place.field("area"), &raw.area);
        let period = self.period(place.field("period"), raw.period.text());
        let shape = match (raw.shape.as_ref().map_or("step", |it| it.0.as_ref()), &raw.side) {
            ("step", Some(side)) => self.side(place, &side.0).map(Shape::Step),
            ("step", None) => {
                self.problems.add(place, None, "a step curve needs a side");
                None
            }
            ("linear", None) => Some(Shape::Linear),
            ("linear", Some(_)) => {
                self.problems.add(place, None, "a linear curve is a net quantity and has no side");
                None
            }
            (other, _) => {
                self.problems.add(place.field("shape"), Some(other), "is neither step nor linear");
                None
            }
        };
        let points = match shape {
            Some(Shape::Linear) => self.linear_points(place, &raw.points),
            Some(Shape::Step(_)) => self.step_points(place, &raw.points),
            // What the points should be is anyone's guess.
            None => None,
        };
        Some(CurveOrder { area: area?, period: period?, shape: shape?, points: points? })
    }

    fn step_points(&mut self, place: Place<'_>, raw: &[(Number<'_>, Number<'_>)]) -> Option<Vec<Point>> {
        self.check_has_points(place, raw.len())?;
        let mut points = Vec::with_capacity(raw.len());
        for (position, (price, quantity)) in raw.iter().enumerate() {
            let place = place.item("points", position);
            let price = self.price(place.field("price"), *price);
            let quantity = self.positive_lots(place.field("quantity"), *quantity);
            if let (Some(price), Some(quantity)) = (price, quantity) {
                points.push(Point { price, quantity });
            }
        }
        (points.len() == raw.len()).then_some(points)
    }

    fn linear_points(&mut self, place: Place<'_>, raw: &[(Number<'_>, Number<'_>)]) -> Option<Vec<Point>> {
        self.check_has_points(place, raw.len())?;
        let mut points: Vec<Point> = Vec::with_capacity(raw.len());
        for (position, (raw_price, raw_quantity)) in raw.iter().enumerate() {
            let place = place.item("points", position);
            let price = self.price(place.field("price"), *raw_price);
            let quantity = self.order_lots(place.field("quantity"), *raw_quantity);
            let (Some(price), Some(quantity)) = (price, quantity) else { continue };
            let before = points.last().copied();
            if before.is_some_and(|it| it.price >= price) {
                let rule = "does not lie above the price before it";
                self.problems.add(place.field("price"), Some(raw_price.text()), rule);
            } else if before.is_some_and(|it| it.quantity < quantity) {
                let rule = "is more than the quantity before it: net demand must never rise with the price";
                self.problems.add(place.field("quantity"), Some(raw_quantity.text()), rule);
            }
            points.push(Point { price, quantity });
        }
        (points.len() == raw.len()).then_some(points)
    }

    fn check_has_points(&mut self, place: Place<'_>, many: usize) -> Option<()> {
        self.points += many;
        if many == 0 {
            self.problems.add(place.field("points"), None, "must hold at least one point");
        }
        (many > 0).then_some(())
    }

    /// Reads all blocks and puts them into the book, parents first.
    fn blocks(&mut self, raw: &[RawBlock<'_>], book: &mut AuctionBook) {
        let positions: HashMap<&str, usize> =
            raw.iter().enumerate().map(|(position, it)| (it.id.0.as_ref(), position)).collect();
        let parents: Vec<Option<usize>> = raw.iter().map(|it| self.parent(it, raw, &positions)).collect();
        let families = families(&parents);
        for circle in families.circles {
            let place = Place::of("block", &raw[circle].id.0);
            self.problems.add(place.field("parent"), None, "its parents run in a circle");
        }
        let groups = self.groups(raw);
        let orders: Vec<_> = raw.iter().map(|it| self.block(it, &groups)).collect();
        if self.problems.count() > 0 {
            return;
        }
        let mut handles: Vec<Option<BlockHandle>> = vec![None; raw.len()];
        for position in families.order {
            if let Some(mut order) = orders[position].clone() {
                order.parent = parents[position].and_then(|it| handles[it]);
                handles[position] = Some(book.insert_block(&raw[position].id.0, order));
            }
        }
    }

    fn parent(
        &mut self,
        block: &RawBlock<'_>,
        all: &[RawBlock<'_>],
        positions: &HashMap<&str, usize>,
    ) -> Option<usize> {
        let parent = block.parent.as_ref()?;
        let place = Place::of("block", &block.id.0).field("parent");
        let Some(position) = positions.get(parent.0.as_ref()).copied() else {
            self.problems.add(place, Some(&parent.0), "is not a block of this auction");
            return None;
        };
        if all[position].member != block.member {
            self.problems.add(place, Some(&parent.0), "belongs to another member");
        }
        Some(position)
    }

    /// Numbers the exclusive groups by name.
    fn groups<'b>(&mut self, raw: &'b [RawBlock<'_>]) -> BTreeMap<&'b str, u32> {
        let mut owners: BTreeMap<&str, &Option<Text<'_>>> = BTreeMap::new();
        let mut spanning = BTreeSet::new();
        for block in raw {
            let Some(group) = &block.group else { continue };
            let place = Place::of("block", &block.id.0).field("group");
            if group.0.is_empty() {
                self.problems.add(place, None, "its name is empty");
            } else if *owners.entry(&group.0).or_insert(&block.member) != &block.member
                && spanning.insert(&group.0)
            {
                self.problems.add(place, Some(&group.0), "holds blocks of several members");
            }
        }
        owners.into_keys().zip(0..).collect()
    }

    fn block(&mut self, raw: &RawBlock<'_>, groups: &BTreeMap<&str, u32>) -> Option<BlockOrder> {
        let place = Place::of("block", &raw.id.0);
        let area = self.area(place.field("area"), &raw.area);
        let side = self.side(place, &raw.side.0);
        let price = self.price(place.field("price"), raw.price);
        let ratio_min = self.ratio_min(place.field("min_ratio"), raw.min_ratio);
        self.points += raw.quantity.0.len();
        if raw.quantity.0.is_empty() {
            self.problems.add(place.field("quantity"), None, "must name at least one period");
        }
        let mut quantity = Vec::with_capacity(raw.quantity.0.len());
        for (period, lots) in &raw.quantity.0 {
            let period = self.period(place.field("quantity"), &period.0);
            let lots = self.positive_lots(place.field("quantity"), *lots);
            if let (Some(period), Some(lots)) = (period, lots) {
                quantity.push((period, lots));
            }
        }
        quantity.sort_unstable();
        if let Some(twice) = quantity.windows(2).find(|it| it[0].0 == it[1].0) {
            let rule = format_args!("names period {} twice", twice[0].0 + 1);
            self.problems.add(place.field("quantity"), None, rule);
        }
        let group = raw.group.as_ref().and_then(|it| groups.get(it.0.as_ref()).copied());
        let (area, side, price, ratio_min) = (area?, side?, price?, ratio_min?);
        Some(BlockOrder { area, side, price, quantity, ratio_min, parent: None, group })
    }

    /// Rounded up to a millionth.
    fn ratio_min(&mut self, place: Place<'_>, raw: Option<Number<'_>>) -> Option<u32> {
        let Some(raw) = raw else { return Some(limits::RATIO_UNIT) };
        let value = read_decimal(place, raw, &mut self.problems)?;
        if value <= Decimal::ZERO || value > Decimal::ONE {
            self.problems.add(place, Some(raw.text()), "must be above 0 and at most 1");
            return None;
        }
        u32::try_from((value * Decimal::from(limits::RATIO_UNIT)).ceil()).ok()
    }

    /// The grid of money and every fixed term on it.
    fn fixed_terms(&mut self, raw: &[RawComplex<'_>]) -> (i64, Vec<Option<i128>>) {
        let mut scale = 1;
        let mut fractions = Vec::with_capacity(raw.len());
        for complex in raw {
            let place = Place::of("complex", &complex.id.0).field("fixed");
            let fraction = self.fixed_fraction(place, complex.fixed);
            match fraction.map(|it| finer(scale, it.1)) {
                Some(Some(finer)) => scale = finer,
                Some(None) => {
                    let rule = "needs a finer grid of money than a millionth of price tick × lot";
                    self.problems.add(place, Some(complex.fixed.text()), rule);
                }
                None => {}
            }
            fractions.push(fraction);
        }
        let mut fixed = Vec::with_capacity(raw.len());
        for (complex, fraction) in raw.iter().zip(fractions) {
            let amount = fraction.and_then(|(number, divisor)| {
                number.checked_mul(i128::from(scale) / divisor).filter(|it| *it <= limits::FIXED_MAX)
            });
            if fraction.is_some() && amount.is_none() {
                let place = Place::of("complex", &complex.id.0).field("fixed");
                self.problems.add(place, Some(complex.fixed.text()), "is too large");
            }
            // FIXED_MAX × BLOCKS_MAX fits by the proof in limits; more orders than that are refused.
            self.fixed = self.fixed.saturating_add(amount.unwrap_or(0));
            fixed.push(amount);
        }
        (scale, fixed)
    }

    fn fixed_fraction(&mut self, place: Place<'_>, raw: Number<'_>) -> Option<(i128, i128)> {
        let value = read_decimal(place, raw, &mut self.problems)?;
        if value < Decimal::ZERO {
            self.problems.add(place, Some(raw.text()), "must not be negative");
            return None;
        }
        let fraction =
            fraction_of(Exact { digits: value.mantissa(), scale: value.scale() }, self.header.unit);
        if fraction.is_none() {
            self.problems.add(place, Some(raw.text()), "is too large");
        }
        fraction
    }

    fn complex(&mut self, raw: &RawComplex<'_>, fixed: Option<i128>) -> Option<ComplexOrder> {
        let place = Place::of("complex", &raw.id.0);
        let area = self.area(place.field("area"), &raw.area);
        let side = self.side(place, &raw.side.0);
        if raw.curve.is_empty() {
            self.problems.add(place.field("curve"), None, "must hold at least one period");
        }
        let mut curve = Vec::with_capacity(raw.curve.len());
        for (position, part) in raw.curve.iter().enumerate() {
            let place = place.item("curve", position);
            let period = self.period(place.field("period"), part.period.text());
            let points = self.step_points(place, &part.points);
            let least = match part.min_quantity {
                None => Some(0),
                Some(raw) => self.lots(place.field("min_quantity"), raw, self.header.units.quantity_tick, 1),
            };
            let (Some(period), Some(points), Some(quantity_min)) = (period, points, least) else { continue };
            let most: i128 = points.iter().map(|it| i128::from(it.quantity)).sum();
            if quantity_min < 0 || i128::from(quantity_min) > most {
                let text = part.min_quantity.map(Number::text);
                let rule = "must lie between 0 and the sum of its points";
                self.problems.add(place.field("min_quantity"), text, rule);
            }
            curve.push(ComplexPeriod { period, quantity_min, points });
        }
        curve.sort_by_key(|it| it.period);
        if let Some(twice) = curve.windows(2).find(|it| it[0].period == it[1].period) {
            let rule = format_args!("names period {} twice", twice[0].period + 1);
            self.problems.add(place.field("curve"), None, rule);
        }
        Some(ComplexOrder { area: area?, side: side?, fixed: fixed?, curve })
    }

    /// The units, if nothing was wrong and all money of the auction fits.
    fn finish(mut self, welfare_scale: i64) -> Result<Units, FileError> {
        self.check_count("points", self.points, limits::POINTS_MAX);
        let most = self.header.price_min.abs().max(self.header.price_max.abs()).max(1);
        // Exact, because every fixed term is an exact decimal and a whole number of grid units.
        let grid = self.header.unit.divided_by(welfare_scale.into());
        // Twice the value of all lots at the greatest price, with the surplus beside the welfare.
        let fits = grid.and_then(|it| {
            let value = self.lots.max(1).checked_mul(i128::from(most))?.checked_mul(8)?;
            it.times(value.checked_mul(i128::from(welfare_scale))?.checked_add(self.fixed)?)?.times(2)
        });
        let (Some(grid), Some(_)) = (grid, fits) else {
            self.problems.add(AUCTION, None, "its welfare may need more than 38 digits of money");
            return Err(FileError::Invalid(self.problems));
        };
        self.problems.into_result()?;
        Ok(Units { grid, ..self.header.units })
    }
}
