//! One table, three forms: CSV, JSON and Parquet, with the schema said once.
//!
//! Whole numbers stay whole numbers; money and energy are whole numbers in millionths or watts, named
//! so, in every form. CSV has a header line and LF; JSON is a list of objects, one a line; Parquet has
//! required columns and no compression, so that the same rows are the same bytes.

use merit_columns::{Column, Values};
use serde_json::{Map, Value};

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// A whole number of 64 bits.
    Whole,
}

/// A form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Comma-separated values.
    Csv,
    /// JSON.
    Json,
    /// Apache Parquet.
    Parquet,
}

impl Form {
    /// All forms.
    pub const ALL: [Self; 3] = [Self::Csv, Self::Json, Self::Parquet];

    /// The end of a file's name.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Parquet => "parquet",
        }
    }
}

/// One cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    /// Text.
    Text(String),
    /// A whole number.
    Whole(i64),
}

/// A schema: name, kind and meaning of each column.
pub type Schema = [(&'static str, Kind, &'static str)];

/// Rows under a schema.
#[derive(Debug)]
pub struct Rows {
    schema: &'static Schema,
    rows: Vec<Vec<Cell>>,
}

impl Rows {
    /// No rows yet.
    #[must_use]
    pub const fn new(schema: &'static Schema) -> Self {
        Self { schema, rows: Vec::new() }
    }

    /// Adds a row.
    ///
    /// # Panics
    ///
    /// If it does not fit the schema.
    pub fn add(&mut self, row: Vec<Cell>) {
        let fits = |(cell, (_, kind, _)): (&Cell, &(&str, Kind, &str))| match cell {
            Cell::Text(_) => *kind == Kind::Text,
            Cell::Whole(_) => *kind == Kind::Whole,
        };
        assert!(row.len() == self.schema.len() && row.iter().zip(self.schema).all(fits), "the schema holds");
        self.rows.push(row);
    }

    /// How many rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows in a form.
    #[must_use]
    pub fn render(&self, form: Form) -> Vec<u8> {
        match form {
            Form::Csv => self.csv().into_bytes(),
            Form::Json => self.json().into_bytes(),
            Form::Parquet => self.parquet(),
        }
    }

    fn csv(&self) -> String {
        let names: Vec<&str> = self.schema.iter().map(|it| it.0).collect();
        let mut out = names.join(",") + "\n";
        for row in &self.rows {
            let cells: Vec<String> = row.iter().map(csv_cell).collect();
            out += &cells.join(",");
            out.push('\n');
        }
        out
    }

    fn json(&self) -> String {
        let object = |row: &Vec<Cell>| {
            let pairs = self.schema.iter().zip(row).map(|((name, _, _), cell)| {
                let value = match cell {
                    Cell::Text(text) => Value::from(text.as_str()),
                    Cell::Whole(number) => Value::from(*number),
                };
                ((*name).to_owned(), value)
            });
            Value::Object(pairs.collect::<Map<_, _>>()).to_string()
        };
        let lines: Vec<String> = self.rows.iter().map(object).collect();
        if lines.is_empty() { "[]\n".into() } else { format!("[\n{}\n]\n", lines.join(",\n")) }
    }

    fn parquet(&self) -> Vec<u8> {
        let column = |(at, (name, kind, _)): (usize, &(&'static str, Kind, &'static str))| {
            let cells = self.rows.iter().map(|row| &row[at]);
            let values = match kind {
                Kind::Text => Values::Text(
                    cells
                        .map(|it| match it {
                            Cell::Text(text) => text.clone(),
                            Cell::Whole(_) => String::new(),
                        })
                        .collect(),
                ),
                Kind::Whole => Values::Whole(
                    cells
                        .map(|it| match it {
                            Cell::Whole(number) => *number,
                            Cell::Text(_) => 0,
                        })
                        .collect(),
                ),
            };
            Column { name: (*name).into(), values }
        };
        let columns: Vec<Column> = self.schema.iter().enumerate().map(column).collect();
        merit_columns::write(&columns).expect("rows of one schema make a file in memory")
    }
}

fn csv_cell(cell: &Cell) -> String {
    match cell {
        Cell::Whole(number) => number.to_string(),
        Cell::Text(text) if text.contains([',', '"', '\n', '\r']) => {
            format!("\"{}\"", text.replace('"', "\"\""))
        }
        Cell::Text(text) => text.clone(),
    }
}

/// Text.
#[must_use]
pub fn text(text: impl Into<String>) -> Cell {
    Cell::Text(text.into())
}

/// A whole number.
#[must_use]
pub fn whole(number: impl Into<i64>) -> Cell {
    Cell::Whole(number.into())
}
