//! What verbs print: tables for people, JSON and CSV for programs.

use clap::ValueEnum;
use std::fmt::Write as _;
use std::io::{self, Write};

/// How a verb prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned columns for people
    #[default]
    Table,
    /// One JSON document
    Json,
    /// Comma-separated values with a header line
    Csv,
}

/// One value of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    /// Nothing is known or published: an empty cell, `null` in JSON, never 0.
    Nothing,
    /// Text; aligned left.
    Text(String),
    /// A whole number or an exact decimal as text; aligned right, bare in JSON and CSV.
    Number(String),
    /// Yes or no.
    Flag(bool),
}

impl Cell {
    /// Text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A number, exact as it is shown.
    #[must_use]
    pub fn number(number: impl ToString) -> Self {
        Self::Number(number.to_string())
    }

    fn plain(&self) -> &str {
        match self {
            Self::Nothing => "",
            Self::Text(text) | Self::Number(text) => text,
            Self::Flag(true) => "yes",
            Self::Flag(false) => "no",
        }
    }

    fn json(&self) -> String {
        match self {
            Self::Nothing => "null".into(),
            Self::Text(text) => json_text(text),
            Self::Number(number) => number.clone(),
            Self::Flag(flag) => flag.to_string(),
        }
    }
}

fn json_text(text: &str) -> String {
    serde_json::to_string(text).expect("a string is always JSON")
}

/// Rows under named columns.
#[derive(Clone, Debug, Default)]
pub struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// An empty table.
    #[must_use]
    pub fn new(columns: &[&str]) -> Self {
        Self { columns: columns.iter().map(|it| (*it).into()).collect(), rows: Vec::new() }
    }

    /// Adds a column at the right.
    ///
    /// # Panics
    ///
    /// If the table has rows already.
    pub fn add_column(&mut self, name: &str) {
        assert!(self.rows.is_empty(), "columns come before rows");
        self.columns.push(name.into());
    }

    /// Adds a row.
    ///
    /// # Panics
    ///
    /// If it has not one cell per column.
    pub fn add(&mut self, row: Vec<Cell>) {
        assert_eq!(row.len(), self.columns.len(), "one cell per column");
        self.rows.push(row);
    }

    /// Whether it has no rows.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table in one of the formats, ending in a line feed.
    #[must_use]
    pub fn render(&self, format: Format) -> String {
        match format {
            Format::Table => self.aligned(),
            Format::Json => self.json() + "\n",
            Format::Csv => self.csv(),
        }
    }

    fn aligned(&self) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].plain());
            cells.chain([self.columns[column].as_str()]).map(|it| it.chars().count()).max().unwrap_or(0)
        };
        let is_number = |column: usize| self.rows.iter().any(|row| matches!(row[column], Cell::Number(_)));
        let layout: Vec<(usize, bool)> =
            (0..self.columns.len()).map(|column| (width(column), is_number(column))).collect();
        let mut out = String::new();
        add_line(&mut out, &layout, self.columns.iter().map(String::as_str));
        for row in &self.rows {
            add_line(&mut out, &layout, row.iter().map(Cell::plain));
        }
        out
    }

    fn csv(&self) -> String {
        let field = |text: &str| {
            if text.contains([',', '"', '\n', '\r']) {
                format!("\"{}\"", text.replace('"', "\"\""))
            } else {
                text.into()
            }
        };
        let mut out = self.columns.iter().map(|it| field(it)).collect::<Vec<_>>().join(",") + "\n";
        for row in &self.rows {
            out += &row.iter().map(|it| field(it.plain())).collect::<Vec<_>>().join(",");
            out.push('\n');
        }
        out
    }

    /// A JSON list with one object per row.
    #[must_use]
    pub fn json(&self) -> String {
        let mut out = String::from("[");
        for (position, row) in self.rows.iter().enumerate() {
            out += if position == 0 { "\n{" } else { ",\n{" };
            for (column, (name, cell)) in self.columns.iter().zip(row).enumerate() {
                let comma = if column == 0 { "" } else { "," };
                write!(out, "{comma}{}:{}", json_text(name), cell.json()).expect("a String takes all text");
            }
            out.push('}');
        }
        out + if self.rows.is_empty() { "]" } else { "\n]" }
    }
}

/// One line of cells, each as wide as its column and aligned right if the flag says so.
fn add_line<'a>(out: &mut String, layout: &[(usize, bool)], cells: impl Iterator<Item = &'a str>) {
    let mut line = String::new();
    for (cell, (width, right)) in cells.zip(layout) {
        // Names come from members: nothing in them may steer the terminal.
        let cell: String = cell.chars().map(|it| if it.is_control() { ' ' } else { it }).collect();
        let gap = " ".repeat(width - cell.chars().count());
        line.extend(if *right { [gap.as_str(), &cell] } else { [cell.as_str(), &gap] });
        line.push_str("  ");
    }
    out.push_str(line.trim_end());
    out.push('\n');
}

/// Writes to standard output. A reader that went away (`| head`) has had enough: no error.
///
/// # Errors
///
/// What the system says, otherwise.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::{Cell, Format, Table};

    fn sample() -> Table {
        let mut table = Table::new(&["area", "price", "congested"]);
        table.add(vec![Cell::text("NORD"), Cell::number("104.5"), Cell::Flag(true)]);
        table.add(vec![Cell::text("a,\"b\""), Cell::number(-3), Cell::Nothing]);
        table
    }

    #[test]
    fn tables_align_text_left_and_numbers_right() {
        let expected = "area   price  congested\nNORD   104.5  yes\na,\"b\"     -3\n";
        assert_eq!(sample().render(Format::Table), expected);
    }

    #[test]
    fn csv_quotes_what_needs_it() {
        let expected = "area,price,congested\nNORD,104.5,yes\n\"a,\"\"b\"\"\",-3,\n";
        assert_eq!(sample().render(Format::Csv), expected);
    }

    #[test]
    fn json_keeps_numbers_bare_and_absence_null() {
        let expected = "[\n{\"area\":\"NORD\",\"price\":104.5,\"congested\":true},\n\
            {\"area\":\"a,\\\"b\\\"\",\"price\":-3,\"congested\":null}\n]\n";
        assert_eq!(sample().render(Format::Json), expected);
    }

    #[test]
    fn names_cannot_steer_the_terminal() {
        let mut table = Table::new(&["id"]);
        table.add(vec![Cell::text("a\u{1b}[2Jb")]);
        assert_eq!(table.render(Format::Table), "id\na [2Jb\n");
    }
}
