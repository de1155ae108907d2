//! Where readings come from: Parquet, CSV, or columns that are there already.
//!
//! The name of the block column carries the resolution: `block_15min`. A file of another resolution
//! has another name, and is refused before its first reading is looked at.

use super::{Bad, MINUTES};
use merit_columns::{ColumnsError, Reader, Values, Writer};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::thread::JoinHandle;

/// Columns of a file, in the order of its CSV form.
pub const COLUMNS: [&str; 5] = ["meter", "block_15min", "watt_hours", "version", "quality"];
/// Lines of CSV in one chunk.
const CHUNK: usize = 1 << 18;
/// Chunks that are decoded ahead.
const AHEAD: usize = 2;

/// Readings as columns of one length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    /// Meters.
    pub meters: Vec<i64>,
    /// Blocks, from 1.
    pub blocks: Vec<i64>,
    /// Watt-hours, 0 or above.
    pub watt_hours: Vec<i64>,
    /// Versions, from 1.
    pub versions: Vec<i64>,
    /// 1 measured, 2 estimated, 3 corrected.
    pub qualities: Vec<i64>,
}

impl Chunk {
    /// How many readings.
    #[must_use]
    pub fn len(&self) -> usize {
        self.meters.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.meters.is_empty()
    }

    /// Whether all columns have one length.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let rest = [&self.blocks, &self.watt_hours, &self.versions, &self.qualities];
        rest.iter().all(|it| it.len() == self.len())
    }
}

/// Readings, chunk by chunk.
pub trait Source: Send {
    /// For people.
    fn name(&self) -> &str;

    /// The next readings; nothing at the end.
    ///
    /// # Errors
    ///
    /// What is wrong with them.
    fn next_chunk(&mut self) -> Result<Option<Chunk>, Bad>;
}

fn whole_bad(name: &str, field: &'static str, value: &str, rule: &str) -> Bad {
    Bad { origin: name.into(), row: 0, field, value: value.into(), rule: rule.into() }
}

fn of_columns(name: &str, error: &ColumnsError) -> Bad {
    whole_bad(name, "file", name, &error.to_string())
}

/// Checks names of columns.
fn check_columns(name: &str, found: &[String]) -> Result<(), Bad> {
    if let Some(other) = found.iter().find(|it| it.starts_with("block") && *it != "block_15min") {
        let rule = format!("must be block_15min: readings are of {MINUTES} minutes");
        return Err(whole_bad(name, "block", other, &rule));
    }
    match COLUMNS.iter().find(|it| !found.iter().any(|name| name == *it)) {
        Some(missing) => Err(whole_bad(name, "column", missing, "is missing")),
        None => Ok(()),
    }
}

/// Opens a file by the end of its name.
///
/// # Errors
///
/// If it cannot be opened, or its columns are others.
pub fn open(path: &Path) -> Result<Box<dyn Source>, Bad> {
    let name = path.display().to_string();
    match path.extension().and_then(|it| it.to_str()) {
        Some("parquet") => Ok(Box::new(Parquet::open(path, &name)?)),
        Some("csv") => {
            let file =
                File::open(path).map_err(|error| whole_bad(&name, "file", &name, &error.to_string()))?;
            Ok(Box::new(Csv::new(&name, BufReader::with_capacity(1 << 20, file))?))
        }
        _ => Err(whole_bad(&name, "file", &name, "must end in .parquet or .csv")),
    }
}

/// How many readings a file says that it has; nothing if it does not.
#[must_use]
pub fn rows(path: &Path) -> Option<u64> {
    Reader::open(path).ok().map(|it| it.rows())
}

type Decoded = Result<Chunk, Bad>;

/// A Parquet file, decoded by a thread of its own.
struct Parquet {
    name: String,
    chunks: crossbeam::channel::Receiver<Decoded>,
    thread: Option<JoinHandle<()>>,
}

impl Parquet {
    fn open(path: &Path, name: &str) -> Result<Self, Bad> {
        let reader = Reader::open(path).map_err(|error| of_columns(name, &error))?;
        check_columns(name, &reader.names())?;
        let (sender, chunks) = crossbeam::channel::bounded(AHEAD);
        let label = name.to_owned();
        let decode = move || {
            for group in 0..reader.groups() {
                let column =
                    |name: &str| reader.whole(group, name).map_err(|error| of_columns(&label, &error));
                let chunk = || -> Decoded {
                    let [meter, block, watt_hours, version, quality] = COLUMNS;
                    Ok(Chunk {
                        meters: column(meter)?,
                        blocks: column(block)?,
                        watt_hours: column(watt_hours)?,
                        versions: column(version)?,
                        qualities: column(quality)?,
                    })
                };
                if sender.send(chunk()).is_err() {
                    return;
                }
            }
        };
        let spawned = std::thread::Builder::new().name("readings".into()).spawn(decode);
        let thread = spawned.map_err(|error| whole_bad(name, "file", name, &error.to_string()))?;
        Ok(Self { name: name.into(), chunks, thread: Some(thread) })
    }
}

impl Source for Parquet {
    fn name(&self) -> &str {
        &self.name
    }

    fn next_chunk(&mut self) -> Result<Option<Chunk>, Bad> {
        match self.chunks.recv() {
            Ok(chunk) => chunk.map(Some),
            Err(_) => match self.thread.take().map(JoinHandle::join) {
                Some(Err(_)) => Err(whole_bad(&self.name, "file", &self.name, "the reader panicked")),
                Some(Ok(())) | None => Ok(None),
            },
        }
    }
}

/// CSV with a header line.
pub struct Csv<R> {
    name: String,
    lines: R,
    row: u64,
    line: String,
}

impl<R: BufRead + Send> Csv<R> {
    /// Reads the header.
    ///
    /// # Errors
    ///
    /// If it is another.
    pub fn new(name: &str, mut lines: R) -> Result<Self, Bad> {
        let mut line = String::new();
        lines.read_line(&mut line).map_err(|error| whole_bad(name, "file", name, &error.to_string()))?;
        let found: Vec<String> = line.trim().split(',').map(str::to_owned).collect();
        check_columns(name, &found)?;
        if found != COLUMNS {
            return Err(whole_bad(name, "header", line.trim(), &format!("must be {}", COLUMNS.join(","))));
        }
        Ok(Self { name: name.into(), lines, row: 0, line })
    }
}

impl<R: BufRead + Send> Source for Csv<R> {
    fn name(&self) -> &str {
        &self.name
    }

    fn next_chunk(&mut self) -> Result<Option<Chunk>, Bad> {
        let mut chunk = Chunk::default();
        while chunk.len() < CHUNK {
            self.line.clear();
            let read = self.lines.read_line(&mut self.line);
            if read.map_err(|error| whole_bad(&self.name, "file", &self.name, &error.to_string()))? == 0 {
                break;
            }
            self.row += 1;
            let mut cells = self.line.trim_end().split(',');
            let targets = [
                &mut chunk.meters,
                &mut chunk.blocks,
                &mut chunk.watt_hours,
                &mut chunk.versions,
                &mut chunk.qualities,
            ];
            for (column, field) in targets.into_iter().zip(COLUMNS) {
                let cell = cells.next().unwrap_or_default();
                let number = cell.parse().map_err(|_| Bad {
                    origin: self.name.clone(),
                    row: self.row,
                    field,
                    value: cell.into(),
                    rule: "must be a whole number".into(),
                })?;
                column.push(number);
            }
            if let Some(more) = cells.next() {
                let rule = "there are more than five columns".into();
                let (origin, row, value) = (self.name.clone(), self.row, more.into());
                return Err(Bad { origin, row, field: "line", value, rule });
            }
        }
        Ok((!chunk.is_empty()).then_some(chunk))
    }
}

/// Columns in memory.
pub struct Memory {
    chunks: std::vec::IntoIter<Chunk>,
}

impl Memory {
    /// A source of these chunks.
    #[must_use]
    pub fn new(chunks: Vec<Chunk>) -> Self {
        Self { chunks: chunks.into_iter() }
    }
}

impl Source for Memory {
    fn name(&self) -> &'static str {
        "readings"
    }

    fn next_chunk(&mut self) -> Result<Option<Chunk>, Bad> {
        Ok(self.chunks.next())
    }
}

/// Writes chunks as Parquet.
pub struct ParquetOut<W: Write + Send> {
    writer: Writer<W>,
}

impl<W: Write + Send> ParquetOut<W> {
    /// Begins a file.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn new(out: W) -> Result<Self, ColumnsError> {
        let columns = COLUMNS.map(|it| (it, false));
        Ok(Self { writer: Writer::new(out, &columns)? })
    }

    /// Adds readings.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn add(&mut self, chunk: Chunk) -> Result<(), ColumnsError> {
        let Chunk { meters, blocks, watt_hours, versions, qualities } = chunk;
        let columns = [meters, blocks, watt_hours, versions, qualities].map(Values::Whole);
        let columns: Vec<&Values> = columns.iter().collect();
        self.writer.group(&columns)
    }

    /// Ends the file.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn close(self) -> Result<(), ColumnsError> {
        self.writer.close()
    }
}
