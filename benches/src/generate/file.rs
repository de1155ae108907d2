//! A generated auction as a `merit-auction/1` file.

use super::{Auction, PRICE_UNIT};
use merit_engine::auction::{BlockOrder, ComplexOrder, CurveOrder, Frame, Line, Point, Shape, Side};
use std::fmt::{Result, Write};

/// Lots in one MW: one decimal.
const LOTS_PER_MW: i64 = 10;
/// Millionths in a whole ratio.
const RATIO_UNIT: u32 = 1_000_000;

impl Auction {
    /// The auction as a `merit-auction/1` file.
    #[must_use]
    pub fn json(&self) -> String {
        let mut text = String::new();
        self.write(&mut text).expect("writing to a string does not fail");
        text
    }

    fn write(&self, out: &mut String) -> Result {
        let frame = &self.frame;
        write!(out, r#"{{"format":"merit-auction/1","name":"{}","currency":"INR","#, self.name)?;
        write!(out, r#""price_tick":"0.01","quantity_tick":"0.1","#)?;
        write!(out, r#""price_min":"{}","price_max":"{}","#, price(frame.price_min), price(frame.price_max))?;
        write!(out, r#""period_minutes":{},"periods":{},"#, self.period_minutes, frame.periods)?;
        let areas: Vec<String> = frame.areas.iter().map(|id| format!("\"{id}\"")).collect();
        write!(out, r#""areas":[{}],"lines":["#, areas.join(","))?;
        for (number, line) in frame.lines.iter().enumerate() {
            write_line(out, frame, number, line)?;
        }
        out.push_str("],\"curves\":[");
        for (number, (id, member, order)) in self.orders.iter().enumerate() {
            let area = &frame.areas[usize::from(order.area)];
            write!(out, r#"{}{{"id":"{id}","member":"{member}","area":"{area}","#, comma(number))?;
            write_curve(out, order)?;
        }
        out.push_str("],\"blocks\":[");
        for (number, (id, order)) in self.blocks.iter().enumerate() {
            let area = &frame.areas[usize::from(order.area)];
            write!(out, r#"{}{{"id":"{id}","area":"{area}","#, comma(number))?;
            self.write_block(out, order)?;
        }
        out.push_str("],\"complex\":[");
        for (number, (id, order)) in self.complex.iter().enumerate() {
            let area = &frame.areas[usize::from(order.area)];
            write!(out, r#"{}{{"id":"{id}","area":"{area}","#, comma(number))?;
            self.write_complex(out, order)?;
        }
        out.push_str("]}\n");
        Ok(())
    }

    fn write_block(&self, out: &mut String, order: &BlockOrder) -> Result {
        write!(out, r#""side":"{}","price":"{}","quantity":{{"#, side(order.side), price(order.price))?;
        for (number, &(period, lots)) in order.quantity.iter().enumerate() {
            write!(out, r#"{}"{}":"{}""#, comma(number), period + 1, quantity(lots))?;
        }
        let (whole, millionths) = (order.ratio_min / RATIO_UNIT, order.ratio_min % RATIO_UNIT);
        write!(out, r#"}},"min_ratio":"{whole}.{millionths:06}""#)?;
        if let Some(parent) = order.parent {
            let parent = &self.blocks[usize::try_from(parent.0).expect("an index")].0;
            write!(out, r#","parent":"{parent}""#)?;
        }
        if let Some(group) = order.group {
            write!(out, r#","group":"g{group:05}""#)?;
        }
        out.push('}');
        Ok(())
    }

    fn write_complex(&self, out: &mut String, order: &ComplexOrder) -> Result {
        // One price tick × lot is 0.001 of money in an hour.
        let money = order.fixed * i128::from(self.period_minutes);
        let (whole, part) = (money / 60_000, money % 60_000 * 100_000 / 60_000);
        write!(out, r#""side":"{}","fixed":"{whole}.{part:05}","curve":["#, side(order.side))?;
        for (number, part) in order.curve.iter().enumerate() {
            write!(out, r#"{}{{"period":{},"#, comma(number), part.period + 1)?;
            write!(out, r#""min_quantity":"{}","points":"#, quantity(part.quantity_min))?;
            write_points(out, &part.points)?;
            out.push('}');
        }
        out.push_str("]}");
        Ok(())
    }
}

fn write_line(out: &mut String, frame: &Frame, number: usize, line: &Line) -> Result {
    let (from, to) = (&frame.areas[usize::from(line.from)], &frame.areas[usize::from(line.to)]);
    write!(out, r#"{}{{"id":"{}","from":"{from}","to":"{to}","#, comma(number), line.id)?;
    write!(out, r#""capacity":[{}],"capacity_back":[{}]}}"#, list(&line.capacity), list(&line.capacity_back))
}

fn write_curve(out: &mut String, order: &CurveOrder) -> Result {
    write!(out, r#""period":{},"#, order.period + 1)?;
    match order.shape {
        Shape::Step(of) => write!(out, r#""shape":"step","side":"{}","points":"#, side(of))?,
        Shape::Linear => out.push_str(r#""shape":"linear","points":"#),
    }
    write_points(out, &order.points)?;
    out.push('}');
    Ok(())
}

fn write_points(out: &mut String, points: &[Point]) -> Result {
    out.push('[');
    for (number, point) in points.iter().enumerate() {
        write!(out, r#"{}["{}","{}"]"#, comma(number), price(point.price), quantity(point.quantity))?;
    }
    out.push(']');
    Ok(())
}

fn comma(number: usize) -> &'static str {
    if number == 0 { "" } else { "," }
}

fn side(side: Side) -> &'static str {
    match side {
        Side::Buy => "buy",
        Side::Sell => "sell",
    }
}

fn price(ticks: i64) -> String {
    let sign = if ticks < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", ticks.abs() / PRICE_UNIT, ticks.abs() % PRICE_UNIT)
}

fn quantity(lots: i64) -> String {
    let sign = if lots < 0 { "-" } else { "" };
    format!("{sign}{}.{}", lots.abs() / LOTS_PER_MW, lots.abs() % LOTS_PER_MW)
}

fn list(lots: &[i64]) -> String {
    lots.iter().map(|&it| format!("\"{}\"", quantity(it))).collect::<Vec<_>>().join(",")
}
