//! A day on one page: prices, curves, flows, schedules, obligations, deviations.
//!
//! One file with everything in it, no script and no address: it opens offline, prints, and is the same
//! bytes for the same journal.

use super::book::Book;
use super::money;
use merit_engine::event::PublishedResult;
use merit_engine::ids::Market;
use merit_proto::v1;
use std::collections::BTreeMap;
use std::fmt::Write as _;

const STYLE: &str = "body{font:14px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;\
color:#1b2a33;background:#fff}h1{font-size:1.6rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem;\
border-bottom:1px solid #cfd8dc}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}\
td,th{padding:.2rem .4rem;text-align:right;border-bottom:1px solid #eceff1}th{color:#546e7a;font-weight:600}\
td:first-child,th:first-child{text-align:left}.sub{color:#546e7a}svg{width:100%;height:auto;background:#fafbfc}\
svg text{font:11px system-ui,sans-serif;fill:#546e7a}.neg{color:#b23c17}.note{color:#546e7a;font-size:12px}\
@media print{h2{break-after:avoid}}";
/// Colours of lines, in turn.
const COLOURS: [&str; 7] = ["#00695c", "#c75b12", "#1e5aa8", "#8e3b8f", "#6b7a00", "#b3261e", "#455a64"];
const WIDTH: i64 = 960;
const HEIGHT: i64 = 240;
/// Room for labels at the left and below.
const LEFT: i64 = 64;
const BELOW: i64 = 22;

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A line of a chart: name and one value a block; nothing where there is none.
struct Line {
    name: String,
    values: Vec<Option<i64>>,
}

/// A chart of steps over the day's blocks; `unit` turns a value into what is shown.
fn chart(lines: &[Line], unit: impl Fn(i64) -> String, title: &str) -> String {
    let all = || lines.iter().flat_map(|it| it.values.iter().flatten().copied());
    let blocks = lines.iter().map(|it| it.values.len()).max().unwrap_or(0);
    if blocks == 0 {
        return "<p class=note>Nothing published.</p>".into();
    }
    let low = all().min().unwrap_or(0).min(0);
    let high = all().max().unwrap_or(1).max(low + 1);
    let y = |value: i64| {
        let share = i128::from(high - value) * i128::from(HEIGHT - 20) / i128::from(high - low);
        10 + i64::try_from(share).unwrap_or(0)
    };
    let count = i64::try_from(blocks).unwrap_or(1);
    let x = |block: i64| LEFT + block * (WIDTH - LEFT) / count;
    let mut out =
        format!("<svg viewBox=\"0 0 {WIDTH} {}\" role=img aria-label=\"{title}\">", HEIGHT + BELOW + 18);
    for step in 0..=4 {
        let value = low + (high - low) / 4 * step;
        let _ = write!(
            out,
            "<line x1={LEFT} x2={WIDTH} y1={0} y2={0} stroke=#dde3e6 /><text x=4 y={1}>{2}</text>",
            y(value),
            y(value) + 4,
            unit(value)
        );
    }
    for hour in (0..=24).step_by(3) {
        let at = LEFT + hour * (WIDTH - LEFT) / 24;
        let at_text = at.min(WIDTH - 16);
        let _ = write!(out, "<text x={at_text} y={}>{hour:02}</text>", HEIGHT + BELOW - 6);
    }
    for (line, colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        let mut points = String::new();
        for (block, value) in (0..).zip(&line.values) {
            if let Some(value) = value {
                let _ = write!(points, "{},{} {},{} ", x(block), y(*value), x(block + 1), y(*value));
            }
        }
        let _ = write!(
            out,
            "<polyline fill=none stroke={colour} stroke-width=1.6 points=\"{}\"><title>{}</title></polyline>",
            points.trim_end(),
            escaped(&line.name)
        );
    }
    for (at, (line, colour)) in (0..).zip(lines.iter().zip(COLOURS.iter().cycle())) {
        let left = LEFT + at * 70;
        if left < WIDTH - 60 {
            let _ = write!(
                out,
                "<rect x={left} y={0} width=10 height=10 fill={colour} /><text x={1} y={2}>{3}</text>",
                HEIGHT + BELOW + 2,
                left + 14,
                HEIGHT + BELOW + 11,
                escaped(&line.name)
            );
        }
    }
    out + "</svg>"
}

/// Values of a market over the day, by block from 0, out of its auctions.
fn by_block(
    results: &[&PublishedResult],
    value: impl Fn(&PublishedResult, usize) -> Option<i64>,
) -> Vec<Option<i64>> {
    let blocks = results.iter().map(|it| usize::from(it.info.blocks_in_day)).max().unwrap_or(0);
    let mut values = vec![None; blocks];
    for result in results {
        let first = usize::from(result.info.first_block) - 1;
        for period in 0..usize::from(result.info.periods) {
            if let Some(slot) = values.get_mut(first + period) {
                *slot = value(result, period);
            }
        }
    }
    values
}

fn prices(results: &[&PublishedResult]) -> String {
    let Some(first) = results.first() else { return "<p class=note>Nothing published.</p>".into() };
    let areas = first.info.rules.areas.len();
    let mut lines: Vec<Line> = Vec::new();
    for (area, rule) in first.info.rules.areas.iter().enumerate() {
        let values = by_block(results, |it, period| it.outcome.prices.get(period * areas + area).copied());
        // Areas that were never split share a line.
        match lines.iter_mut().find(|it| it.values == values) {
            Some(same) if lines_name_fits(&same.name) => same.name += &format!(" {}", rule.code),
            Some(same) => {
                if !same.name.ends_with('…') {
                    same.name += " …";
                }
            }
            None => lines.push(Line { name: rule.code.to_string(), values }),
        }
    }
    let decimals = u32::from(first.info.rules.price_decimals);
    let unit = |ticks: i64| money(i128::from(ticks) * 10_i128.pow(6 - decimals), 0);
    chart(&lines, unit, "prices")
}

fn lines_name_fits(name: &str) -> bool {
    name.len() < 6
}

fn volumes(results: &[&PublishedResult]) -> String {
    let Some(first) = results.first() else { return String::new() };
    let areas = first.info.rules.areas.len();
    let sum = |list: &[i64], period: usize| list.iter().skip(period * areas).take(areas).sum::<i64>();
    let bought = by_block(results, |it, period| Some(sum(&it.bought, period)));
    let decimals = u32::from(first.info.rules.quantity_decimals);
    let unit = |lots: i64| money(i128::from(lots) * 10_i128.pow(6 - decimals), 0);
    chart(&[Line { name: "MW".into(), values: bought }], unit, "cleared volume")
}

/// Supply and demand of the dearest block, over all areas.
fn curves(results: &[&PublishedResult]) -> String {
    let dearest = results.iter().flat_map(|it| {
        let areas = it.info.rules.areas.len();
        (0..usize::from(it.info.periods)).map(move |period| {
            let top = it.outcome.prices.iter().skip(period * areas).take(areas).max().copied();
            (top.unwrap_or(0), *it, period)
        })
    });
    let Some((price, result, period)) = dearest.max_by_key(|it| (it.0, std::cmp::Reverse(it.2))) else {
        return String::new();
    };
    let areas = result.info.rules.areas.len();
    let rules = &result.info.rules;
    let cells = || result.curves.iter().skip(period * areas).take(areas);
    let steps: i64 = 96;
    let span = (rules.price_max - rules.price_min).max(1);
    let at = |step: i64| rules.price_min + span * step / (steps - 1);
    let at_or = |list: &[(i64, i64)], keep: &dyn Fn(i64) -> bool| {
        list.iter().filter(|it| keep(it.0)).map(|it| it.1).max().unwrap_or(0)
    };
    let buy = (0..steps).map(|it| Some(cells().map(|c| at_or(&c.buy, &|p| p >= at(it))).sum::<i64>()));
    let sell = (0..steps).map(|it| Some(cells().map(|c| at_or(&c.sell, &|p| p <= at(it))).sum::<i64>()));
    let lines = [
        Line { name: "demand".into(), values: buy.collect() },
        Line { name: "supply".into(), values: sell.collect() },
    ];
    let unit = |lots: i64| money(i128::from(lots) * 10_i128.pow(6 - u32::from(rules.quantity_decimals)), 0);
    let price = money(i128::from(price) * 10_i128.pow(6 - u32::from(rules.price_decimals)), 2);
    let block = usize::from(result.info.first_block) + period;
    let shown = chart(&lines, unit, "curves");
    // The axis below a chart counts hours; a curve runs over prices instead.
    let bare = strip_hours(&shown);
    format!(
        "{bare}<p class=note>MW over price, from {} to {}, block {block} of {}: the dearest of the day, at \
         {price}. Linear and block orders are counted where the exchange publishes them.</p>",
        money(i128::from(rules.price_min) * 10_i128.pow(6 - u32::from(rules.price_decimals)), 0),
        money(i128::from(rules.price_max) * 10_i128.pow(6 - u32::from(rules.price_decimals)), 0),
        result.info.auction
    )
}

fn strip_hours(svg: &str) -> String {
    let y = format!(" y={}>", HEIGHT + BELOW - 6);
    let mut out = String::new();
    for part in svg.split("<text") {
        if out.is_empty() {
            out += part;
        } else if part.contains(&y) {
            out += part.split_once("</text>").map_or("", |it| it.1);
        } else {
            out += "<text";
            out += part;
        }
    }
    out
}

fn flows(results: &[&PublishedResult]) -> String {
    let Some(first) = results.first() else { return String::new() };
    let lines = &first.info.rules.lines;
    let decimals = u32::from(first.info.rules.quantity_decimals);
    let mw = |lots: i64| money(i128::from(lots) * 10_i128.pow(6 - decimals), 1);
    let mut out = String::from(
        "<table><tr><th>line</th><th>mean MW</th><th>greatest MW</th><th>least MW</th><th>blocks full</th></tr>",
    );
    for (index, line) in lines.iter().enumerate() {
        let mut all = Vec::new();
        let mut full = 0;
        for result in results {
            for period in 0..usize::from(result.info.periods) {
                let flow = result.outcome.flows.get(period * lines.len() + index).copied().unwrap_or(0);
                let bounds = result.capacities.get(index);
                let bound = |of: &Vec<i64>| of.get(period).copied().unwrap_or(0);
                let is_full = bounds.is_some_and(|(forward, back)| {
                    flow != 0 && (flow == bound(forward) || -flow == bound(back))
                });
                full += i64::from(is_full);
                all.push(flow);
            }
        }
        let count = i64::try_from(all.len()).unwrap_or(1).max(1);
        let mean = all.iter().sum::<i64>() / count;
        let (most, least) = (all.iter().max().copied(), all.iter().min().copied());
        let _ = write!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{full}</td></tr>",
            line.id,
            mw(mean),
            mw(most.unwrap_or(0)),
            mw(least.unwrap_or(0))
        );
    }
    out + "</table>"
}

/// Amounts coloured by sign.
fn amount(micros: i128, places: u32) -> String {
    let class = if micros < 0 { " class=neg" } else { "" };
    format!("<td{class}>{}</td>", money(micros, places))
}

fn obligations(book: &Book, day: &str) -> String {
    let places = book.currency().1;
    let mut sums: BTreeMap<&str, [i128; 5]> = BTreeMap::new();
    for (_, it) in book.obligations() {
        let Some(row) = it.row.as_ref().filter(|row| row.delivery_day == day) else { continue };
        let minutes = i128::from(row.resolution_minutes);
        let sum = sums.entry(&it.member).or_default();
        sum[0] += i128::from(it.bought_watts) * minutes;
        sum[1] += i128::from(it.sold_watts) * minutes;
        sum[2] += i128::from(it.value_micros);
        sum[3] -= i128::from(it.fee_micros);
        sum[4] -= i128::from(it.tax_micros);
    }
    let mut out = String::from(
        "<table><tr><th>member</th><th>bought MWh</th><th>sold MWh</th><th>energy</th><th>fees</th><th>tax\
         </th><th>net</th></tr>",
    );
    for (member, [bought, sold, value, fee, tax]) in &sums {
        let mwh = |watt_minutes: i128| money(watt_minutes / 60, 1);
        let _ =
            write!(out, "<tr><td>{}</td><td>{}</td><td>{}</td>", escaped(member), mwh(*bought), mwh(*sold));
        for it in [*value, *fee, *tax, value + fee + tax] {
            out += &amount(it, places);
        }
        out += "</tr>";
    }
    out + "</table>"
}

fn schedules(book: &Book, day: &str) -> String {
    let mut blocks: BTreeMap<u32, (i64, i64)> = BTreeMap::new();
    for (_, it) in book.obligations() {
        let Some(row) = it.row.as_ref().filter(|row| row.delivery_day == day) else { continue };
        let net = it.sold_watts.saturating_sub(it.bought_watts);
        let sum = blocks.entry(row.block).or_default();
        sum.0 += net.max(0);
        sum.1 += net.min(0);
    }
    let last = blocks.keys().last().copied().unwrap_or(0);
    let of = |part: fn(&(i64, i64)) -> i64| (1..=last).map(|it| blocks.get(&it).map(part)).collect();
    let lines = [
        Line { name: "injection".into(), values: of(|it| it.0) },
        Line { name: "drawal".into(), values: of(|it| it.1) },
    ];
    chart(&lines, |watts| money(i128::from(watts), 0), "schedules")
}

fn runs(book: &Book, day: &str) -> String {
    let places = book.currency().1;
    let mut out = String::from(
        "<table><tr><th>run</th><th>status</th><th>pay-in</th><th>pay-out</th><th>congestion</th><th>fees</th>\
         <th>tax</th><th>deviation</th><th>rounding</th><th>readings</th><th>estimated</th></tr>",
    );
    let mut any = false;
    for run in book.runs().filter(|it| it.delivery_day == day) {
        any = true;
        let totals = run.totals.unwrap_or_default();
        let status = run.status().as_str_name().trim_start_matches("RUN_STATUS_").to_ascii_lowercase();
        let _ = write!(out, "<tr><td>{}</td><td>{status}</td>", run.run);
        for it in [
            totals.pay_in_micros,
            totals.pay_out_micros,
            totals.congestion_micros,
            totals.fees_micros,
            totals.tax_micros,
            totals.deviation_micros,
            totals.rounding_micros,
        ] {
            out += &amount(i128::from(it), places);
        }
        let _ = write!(out, "<td>{}</td><td>{}</td></tr>", totals.readings, totals.estimated);
    }
    if any { out + "</table>" } else { "<p class=note>No settlement run yet.</p>".into() }
}

fn deviations(run: Option<&v1::SettlementRun>, places: u32) -> String {
    let Some(run) = run.filter(|it| !it.deviations.is_empty()) else {
        return "<p class=note>No meters have been settled.</p>".into();
    };
    let last = run.deviations.iter().map(|it| it.block).max().unwrap_or(0);
    let mut blocks: BTreeMap<u32, i64> = BTreeMap::new();
    let mut sums: BTreeMap<(&str, &str), (i64, i64, u32)> = BTreeMap::new();
    for it in &run.deviations {
        let energy = it.metered_watt_hours - it.scheduled_watt_minutes / 60;
        *blocks.entry(it.block).or_default() += energy;
        let sum = sums.entry((&it.member, &it.portfolio)).or_default();
        sum.0 += energy;
        sum.1 += it.amount_micros;
        sum.2 += u32::from(it.estimated);
    }
    let values = (1..=last).map(|it| blocks.get(&it).copied()).collect();
    let mut out = chart(
        &[Line { name: "MWh".into(), values }],
        |wh| money(i128::from(wh), 1),
        "deviation of the system",
    );
    out += "<table><tr><th>portfolio</th><th>MWh</th><th>amount</th><th>blocks with estimates</th></tr>";
    for ((member, portfolio), (energy, micros, estimated)) in sums {
        let _ = write!(
            out,
            "<tr><td>{} / {}</td><td>{}</td>{}<td>{estimated}</td></tr>",
            escaped(member),
            escaped(portfolio),
            money(i128::from(energy), 1),
            amount(i128::from(micros), places)
        );
    }
    out + "</table>"
}

/// The page of a delivery day.
#[must_use]
pub fn page(book: &Book, day: &str) -> String {
    let of = |market: Market| -> Vec<&PublishedResult> {
        let all = book.results.iter().filter(|(id, _)| id.market == market && id.day.to_string() == day);
        all.map(|(_, it)| &**it).collect()
    };
    let (currency, places) = book.currency();
    let mut out = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>Merit {day}</title><style>{STYLE}</style><h1>Delivery day {day}</h1>\
         <p class=sub>Amounts in {currency}; positive is paid to the member. Made from the journal; the same \
         journal gives the same page.</p>"
    );
    let mut section = |title: &str, body: String| {
        let _ = write!(out, "<h2>{title}</h2>{body}");
    };
    for market in Market::ALL {
        let results = of(market);
        let traded = results.iter().any(|it| it.bought.iter().any(|lots| *lots != 0));
        if !results.is_empty() && !traded {
            let auctions = results.len();
            let note = format!("<p class=note>Nothing was traded in {auctions} auctions.</p>");
            section(market.name(), note);
        } else if traded {
            section(&format!("{}: prices per MWh", market.name()), prices(&results));
            section(&format!("{}: cleared volume, MW", market.name()), volumes(&results));
            section(&format!("{}: curves", market.name()), curves(&results));
            section(&format!("{}: flows", market.name()), flows(&results));
        }
    }
    section("Schedules over all markets, MW", schedules(book, day));
    section("Obligations", obligations(book, day));
    section("Settlement runs", runs(book, day));
    section("Deviations", deviations(book.run(day, None), places));
    out + "</html>\n"
}
