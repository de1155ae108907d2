//! Columns of whole numbers and texts in Apache Parquet files: the one place that knows the library.
//!
//! Written files have required columns, dictionary encoding and no compression, and the same columns
//! give the same bytes. Read are required columns, and optional ones without a null (which is what
//! pandas, Polars and DuckDB write), uncompressed or with Snappy.
//!
//! # Deliberately absent
//!
//! - **Arrow.** Batches of plain vectors are all that is needed here, and half of the build.

use parquet::basic::{Repetition, Type as Physical};
use parquet::column::reader::ColumnReader;
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{ChunkReader, FileReader as _, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use std::fmt;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

/// Values of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Values {
    /// Whole numbers of 64 bits.
    Whole(Vec<i64>),
    /// Texts.
    Text(Vec<String>),
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Name.
    pub name: String,
    /// Values, one a row.
    pub values: Values,
}

/// Why a file cannot be read or written.
#[derive(Debug)]
pub enum ColumnsError {
    /// The system refused.
    Io(std::io::Error),
    /// The library refused.
    Parquet(ParquetError),
    /// A column is missing, of another type, or has a null.
    Column {
        /// Which.
        name: String,
        /// The rule that it breaks.
        rule: &'static str,
    },
}

impl fmt::Display for ColumnsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Parquet(error) => error.fmt(f),
            Self::Column { name, rule } => write!(f, "column {name}: {rule}"),
        }
    }
}

impl std::error::Error for ColumnsError {}

impl From<ParquetError> for ColumnsError {
    fn from(error: ParquetError) -> Self {
        Self::Parquet(error)
    }
}

impl From<std::io::Error> for ColumnsError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

/// A file of columns in memory, one row group.
///
/// # Errors
///
/// If columns are of different lengths, or a name is none.
pub fn write(columns: &[Column]) -> Result<Vec<u8>, ColumnsError> {
    let kinds: Vec<(&str, bool)> =
        columns.iter().map(|it| (it.name.as_str(), matches!(it.values, Values::Text(_)))).collect();
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes, &kinds)?;
    let values: Vec<&Values> = columns.iter().map(|it| &it.values).collect();
    writer.group(&values)?;
    writer.close()?;
    Ok(bytes)
}

/// Writes a file group by group.
pub struct Writer<W: Write + Send> {
    inner: SerializedFileWriter<W>,
}

impl<W: Write + Send> Writer<W> {
    /// Begins a file with columns (name, whether it is text).
    ///
    /// # Errors
    ///
    /// If a name is none, or the system refuses.
    pub fn new(out: W, columns: &[(&str, bool)]) -> Result<Self, ColumnsError> {
        let mut schema = String::from("message merit {");
        for (name, text) in columns {
            let kind = if *text { "BYTE_ARRAY" } else { "INT64" };
            let logical = if *text { " (UTF8)" } else { "" };
            schema += &format!(" REQUIRED {kind} {name}{logical};");
        }
        schema += " }";
        let schema = Arc::new(parse_message_type(&schema)?);
        let properties = WriterProperties::builder().set_created_by("merit".into()).build();
        Ok(Self { inner: SerializedFileWriter::new(out, schema, Arc::new(properties))? })
    }

    /// Writes a row group.
    ///
    /// # Errors
    ///
    /// If the columns do not fit the schema, or the system refuses.
    pub fn group(&mut self, columns: &[&Values]) -> Result<(), ColumnsError> {
        let mut group = self.inner.next_row_group()?;
        for values in columns {
            let fits = "of another kind than the schema says";
            let Some(mut column) = group.next_column()? else {
                return Err(ColumnsError::Column { name: "(more)".into(), rule: "too many columns" });
            };
            #[expect(
                clippy::wildcard_enum_match_arm,
                reason = "errors of the library, most of which do not concern us"
            )]
            match values {
                Values::Whole(numbers) => column.typed::<Int64Type>().write_batch(numbers, None, None),
                Values::Text(texts) => {
                    let bytes: Vec<ByteArray> = texts.iter().map(|it| ByteArray::from(it.as_str())).collect();
                    column.typed::<ByteArrayType>().write_batch(&bytes, None, None)
                }
            }
            .map_err(|error| match error {
                ParquetError::General(_) => ColumnsError::Column { name: "(values)".into(), rule: fits },
                other => ColumnsError::Parquet(other),
            })?;
            column.close()?;
        }
        group.close()?;
        Ok(())
    }

    /// Ends the file.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn close(self) -> Result<(), ColumnsError> {
        self.inner.close()?;
        Ok(())
    }
}

/// Reads a file row group by row group.
pub struct Reader<R: ChunkReader + 'static> {
    inner: SerializedFileReader<R>,
}

impl Reader<File> {
    /// Opens a file.
    ///
    /// # Errors
    ///
    /// If it cannot be read or is no Parquet file.
    pub fn open(path: &Path) -> Result<Self, ColumnsError> {
        Ok(Self { inner: SerializedFileReader::new(File::open(path)?)? })
    }
}

impl<R: ChunkReader + 'static> Reader<R> {
    /// Rows in the file.
    #[must_use]
    pub fn rows(&self) -> u64 {
        u64::try_from(self.inner.metadata().file_metadata().num_rows()).unwrap_or(0)
    }

    /// Row groups.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.inner.num_row_groups()
    }

    /// Names of the columns.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let schema = self.inner.metadata().file_metadata().schema_descr();
        schema.columns().iter().map(|it| it.name().to_owned()).collect()
    }

    /// The whole numbers of a column in a row group, whether it was written with 32 or 64 bits.
    ///
    /// # Errors
    ///
    /// If there is no such column, it holds something else, or a null.
    pub fn whole(&self, group: usize, name: &str) -> Result<Vec<i64>, ColumnsError> {
        let wrong = |rule| ColumnsError::Column { name: name.into(), rule };
        let schema = self.inner.metadata().file_metadata().schema_descr();
        let at = schema.columns().iter().position(|it| it.name() == name);
        let at = at.ok_or_else(|| wrong("is missing"))?;
        let described = schema.column(at);
        let optional = described.self_type().get_basic_info().repetition() == Repetition::OPTIONAL;
        if !matches!(described.physical_type(), Physical::INT32 | Physical::INT64) {
            return Err(wrong("must hold whole numbers"));
        }
        let group = self.inner.get_row_group(group)?;
        let rows = usize::try_from(group.metadata().num_rows()).unwrap_or(0);
        let mut levels = Vec::new();
        let definitions = optional.then_some(&mut levels);
        #[expect(clippy::wildcard_enum_match_arm, reason = "every other type is refused alike")]
        let numbers = match group.get_column_reader(at)? {
            ColumnReader::Int64ColumnReader(mut reader) => {
                let mut numbers = Vec::with_capacity(rows);
                reader.read_records(rows, definitions, None, &mut numbers)?;
                numbers
            }
            ColumnReader::Int32ColumnReader(mut reader) => {
                let mut narrow: Vec<i32> = Vec::with_capacity(rows);
                reader.read_records(rows, definitions, None, &mut narrow)?;
                narrow.into_iter().map(i64::from).collect()
            }
            _ => return Err(wrong("must hold whole numbers")),
        };
        if numbers.len() != rows {
            return Err(wrong("has a null"));
        }
        Ok(numbers)
    }

    /// The texts of a column in a row group.
    ///
    /// # Errors
    ///
    /// As [`Self::whole`].
    pub fn text(&self, group: usize, name: &str) -> Result<Vec<String>, ColumnsError> {
        let wrong = |rule| ColumnsError::Column { name: name.into(), rule };
        let schema = self.inner.metadata().file_metadata().schema_descr();
        let at = schema.columns().iter().position(|it| it.name() == name);
        let at = at.ok_or_else(|| wrong("is missing"))?;
        let optional = schema.column(at).self_type().get_basic_info().repetition() == Repetition::OPTIONAL;
        let group = self.inner.get_row_group(group)?;
        let rows = usize::try_from(group.metadata().num_rows()).unwrap_or(0);
        let ColumnReader::ByteArrayColumnReader(mut reader) = group.get_column_reader(at)? else {
            return Err(wrong("must hold texts"));
        };
        let (mut levels, mut texts) = (Vec::new(), Vec::with_capacity(rows));
        reader.read_records(rows, optional.then_some(&mut levels), None, &mut texts)?;
        if texts.len() != rows {
            return Err(wrong("has a null"));
        }
        let utf8 = |it: &ByteArray| it.as_utf8().map(str::to_owned).map_err(|_| wrong("is not UTF-8"));
        texts.iter().map(utf8).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Column, ColumnsError, Reader, Values, write};

    fn sample() -> Vec<Column> {
        vec![
            Column { name: "meter".into(), values: Values::Whole(vec![1, 2, i64::MIN, i64::MAX]) },
            Column {
                name: "portfolio".into(),
                values: Values::Text(["P1", "P1", "", "ä"].map(str::to_owned).to_vec()),
            },
        ]
    }

    #[test]
    fn what_was_written_reads_back_and_the_same_columns_are_the_same_bytes() {
        let bytes = write(&sample()).unwrap();
        assert_eq!(bytes, write(&sample()).unwrap());
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sample.parquet");
        std::fs::write(&path, &bytes).unwrap();
        let reader = Reader::open(&path).unwrap();
        assert_eq!((reader.rows(), reader.groups()), (4, 1));
        assert_eq!(reader.names(), ["meter", "portfolio"]);
        assert_eq!(reader.whole(0, "meter").unwrap(), [1, 2, i64::MIN, i64::MAX]);
        assert_eq!(reader.text(0, "portfolio").unwrap(), ["P1", "P1", "", "ä"]);
        assert!(matches!(reader.whole(0, "block"), Err(ColumnsError::Column { rule: "is missing", .. })));
        assert!(matches!(reader.whole(0, "portfolio"), Err(ColumnsError::Column { .. })));
    }

    #[test]
    fn what_is_no_file_of_columns_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("broken.parquet");
        let mut bytes = write(&sample()).unwrap();
        bytes.truncate(bytes.len() / 2);
        std::fs::write(&path, &bytes).unwrap();
        assert!(Reader::open(&path).is_err());
    }
}
