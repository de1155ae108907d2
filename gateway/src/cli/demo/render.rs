//! What the demo shows: a line a phase, a bar while it works, prices as a sparkline, tables.
//!
//! Fits 80 columns. On a terminal there are bars and a little colour (none with `NO_COLOR`); anywhere
//! else plain lines, each whole, so that a log of CI reads well.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};

/// Where the story goes.
#[derive(Debug)]
pub(super) struct Screen {
    quiet: bool,
    /// The story goes to stderr when stdout carries data for a program.
    beside: bool,
    terminal: bool,
    colour: bool,
    bar: Option<ProgressBar>,
}

/// How a piece of text is shown where there is colour.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tone {
    /// Titles.
    Strong,
    /// What is there to be looked up.
    Faint,
    /// A check that holds.
    Good,
    /// A check that does not.
    Bad,
    /// Prices.
    Price,
}

impl Screen {
    /// A screen; `beside` leaves stdout to data.
    pub(super) fn new(quiet: bool, beside: bool) -> Self {
        let terminal = if beside { std::io::stderr().is_terminal() } else { std::io::stdout().is_terminal() };
        let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty());
        Self { quiet, beside, terminal, colour, bar: None }
    }

    /// Shows whole lines. A reader that has gone away is no reason to stop the market.
    pub(super) fn line(&self, text: &str) {
        if self.quiet {
            return;
        }
        let print = || {
            let _ = if self.beside {
                writeln!(std::io::stderr().lock(), "{text}")
            } else {
                writeln!(std::io::stdout().lock(), "{text}")
            };
        };
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    /// Shows that something happened at a time of the exchange.
    pub(super) fn phase(&self, at: &str, text: &str) {
        self.line(&format!("{}  {text}", self.tone(Tone::Faint, at)));
    }

    /// Shows a check and whether it holds.
    pub(super) fn check(&self, holds: bool, text: &str) {
        let mark = if holds { self.tone(Tone::Good, "ok  ") } else { self.tone(Tone::Bad, "FAIL") };
        self.line(&format!("{mark}  {text}"));
    }

    /// The text in a tone, where there is colour.
    pub(super) fn tone(&self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Strong => "1",
            Tone::Faint => "2",
            Tone::Good => "32",
            Tone::Bad => "1;31",
            Tone::Price => "36",
        };
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Starts a bar of `total` steps, on a terminal.
    pub(super) fn begin(&mut self, label: &str, total: u64) {
        let style = ProgressStyle::with_template("{prefix}  {bar:28} {pos}/{len}  {msg}")
            .expect("the template is well-formed")
            .progress_chars("━╸ ");
        self.hang(style, total);
        if let Some(bar) = &self.bar {
            bar.set_prefix(label.to_owned());
        }
    }

    /// Shows a line that will change, on a terminal.
    pub(super) fn live(&mut self, text: &str) {
        if self.bar.is_none() {
            self.hang(ProgressStyle::with_template("{msg}").expect("the template is well-formed"), 1);
        }
        if let Some(bar) = &self.bar {
            bar.set_message(text.to_owned());
        }
    }

    fn hang(&mut self, style: ProgressStyle, total: u64) {
        self.end();
        if self.has_bars() {
            let target =
                if self.beside { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::stdout() };
            self.bar = Some(ProgressBar::with_draw_target(Some(total), target).with_style(style));
        }
    }

    /// Moves the bar.
    pub(super) fn step(&self, done: u64, message: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(message.to_owned());
            bar.set_position(done);
        }
    }

    /// Takes the bar away.
    pub(super) fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    /// Whether bars are shown; where they are not, long work says a line now and then.
    pub(super) const fn has_bars(&self) -> bool {
        self.terminal && !self.quiet
    }
}

const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Values as bars of eighths between two bounds; what is not known yet is blank.
pub(super) fn sparkline(values: impl Iterator<Item = Option<i64>>, low: i64, high: i64) -> String {
    let level = |value: i64| {
        let above = (value.clamp(low, high) - low) * 8 / (high - low).max(1);
        LEVELS[usize::try_from(above.min(7)).expect("clamped at the lower bound")]
    };
    values.map(|it| it.map_or(' ', level)).collect()
}

/// Means of every `width` neighbours; known once all of them are.
pub(super) fn means(values: &[Option<i64>], width: usize) -> impl Iterator<Item = Option<i64>> {
    values.chunks(width).map(|chunk| {
        let sum = chunk.iter().copied().sum::<Option<i64>>()?;
        Some(sum / i64::try_from(chunk.len()).expect("a handful"))
    })
}

/// The hours above a line of 48 half-hours.
pub(super) fn hours() -> String {
    (0..24).step_by(3).map(|it| format!("{it:02}    ")).collect::<String>().trim_end().to_owned()
}

/// A whole number in groups of three.
pub(super) fn grouped(value: i64) -> String {
    let digits = value.unsigned_abs().to_string();
    let mut text = String::from(if value < 0 { "-" } else { "" });
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Millionths as a decimal with `places` (at most 6) of them, rounded half away from zero.
pub(super) fn decimal(micros: i128, places: u32) -> String {
    let unit = 10_i128.pow(6 - places);
    let rounded = (micros.unsigned_abs() + unit.unsigned_abs() / 2) / unit.unsigned_abs();
    let scale = 10_u128.pow(places);
    let whole = grouped(i64::try_from(rounded / scale).unwrap_or(i64::MAX));
    let sign = if micros < 0 && rounded > 0 { "-" } else { "" };
    if places == 0 {
        return format!("{sign}{whole}");
    }
    let width = usize::try_from(places).expect("at most 6");
    format!("{sign}{whole}.{:0width$}", rounded % scale)
}

/// A bar around a middle of `half` columns: left for below zero, right for above.
pub(super) fn around(value: i64, most: i64, half: usize) -> String {
    let wide = i64::try_from(half).expect("columns");
    let length = if most == 0 { 0 } else { (value.abs() * wide + most / 2) / most };
    let length = usize::try_from(length).expect("a length").min(half);
    let bar = "▇".repeat(length);
    if value < 0 { format!("{bar:>half$}│{:half$}", "") } else { format!("{:half$}│{bar:<half$}", "") }
}

/// Rows under a heading: the first column to the left, the others to the right.
pub(super) fn columns(rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|it| it.chars().count()).max().unwrap_or(0)
    };
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (index, cell) in row.iter().enumerate() {
            let wide = width(index);
            let _ = if index == 0 { write!(line, "{cell:<wide$}") } else { write!(line, "  {cell:>wide$}") };
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{around, columns, decimal, grouped, hours, means, sparkline};

    #[test]
    fn prices_become_eighths_and_the_unknown_stays_blank() {
        let values = [Some(0), Some(1_249), Some(1_250), Some(9_999), Some(10_000), None];
        assert_eq!(sparkline(values.into_iter(), 0, 10_000), "▁▁▂██ ");
        assert_eq!(sparkline([Some(5)].into_iter(), 5, 5), "▁");
    }

    #[test]
    fn a_mean_is_known_once_all_of_it_is() {
        let values = [Some(1), Some(3), Some(5), None];
        assert_eq!(means(&values, 2).collect::<Vec<_>>(), [Some(2), None]);
    }

    #[test]
    fn numbers_read_as_people_write_them() {
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(grouped(-999), "-999");
        assert_eq!(decimal(3_141_595_000, 2), "3,141.60");
        assert_eq!(decimal(-1_500_000, 0), "-2");
        assert_eq!(decimal(-4_000, 2), "0.00");
        assert_eq!(decimal(1_000_000, 2), "1.00");
    }

    #[test]
    fn bars_grow_from_the_middle() {
        assert_eq!(around(10, 10, 3), "   │▇▇▇");
        assert_eq!(around(-5, 10, 4), "  ▇▇│    ");
        assert_eq!(around(0, 0, 2), "  │  ");
    }

    #[test]
    fn columns_line_up() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let rows = [row(["area", "mean", "max"]), row(["N1", "5,432.10", "10,000"])];
        assert_eq!(columns(&rows), "area      mean     max\nN1    5,432.10  10,000\n");
        assert_eq!(hours().chars().count(), 44);
    }
}
