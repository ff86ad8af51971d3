//! A stream's rows as record batches of physical columns.

use std::{io::Read, sync::Arc};

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{Schema, SchemaRef};
use millstream_core::{base::CopyEncoding, warehouse::physical_name, ColumnSchema, ColumnType, TypeKind};

use super::{CopyError, CopyReader, Row};
use crate::{column::ColumnBuilder, types::arrow_field, value::ValueError};

/// A field of the stream and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyColumn {
    /// The column at the source; its batch column is [`physical_name`] of it.
    pub attnum: i16,
    /// Its type.
    pub kind: TypeKind,
    /// How it stands in the stream.
    pub encoding: CopyEncoding,
    /// What it becomes; `None` leaves it out.
    pub to: Option<ColumnType>,
}

impl CopyColumn {
    /// Of a source column.
    pub fn new(column: &ColumnSchema, encoding: CopyEncoding, to: Option<ColumnType>) -> Self {
        CopyColumn { attnum: column.attnum, kind: column.pg_type.kind.clone(), encoding, to }
    }
}

/// A row with a value that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowError {
    /// Which row of the stream, from 0.
    pub row: u64,
    /// Index of the field.
    pub column: usize,
    /// The column.
    pub attnum: i16,
    /// What is wrong.
    pub error: ValueError,
}

/// Reads a stream into record batches, columns in the stream's order.
///
/// A row with a value that does not fit is left out and handed back as [`CopyError::Value`]; the next call goes on behind it. So the
/// caller can widen the column and read the stream again, or set the row aside.
#[derive(Debug)]
pub struct CopyBatches<R> {
    reader: CopyReader<R>,
    columns: Vec<Column>,
    /// Of the columns that are not left out.
    schema: SchemaRef,
    rows_max: usize,
    bytes_max: u64,
    value_bytes_max: u64,
    /// Rows in the builders.
    rows: usize,
    /// Where in the stream the batch begins.
    batch_offset: u64,
    /// Bytes of the batch that came from streams before this one.
    bytes_before: u64,
}

#[derive(Debug)]
struct Column {
    attnum: i16,
    encoding: CopyEncoding,
    builder: Option<ColumnBuilder>,
}

/// Rows that builders first have room for: a batch of a small table costs little.
const CAPACITY_ROWS_MAX: usize = 16 << 10;

impl<R: Read> CopyBatches<R> {
    /// A reader at the stream's beginning. A batch ends with `rows_max` rows, or with the row that takes it to `bytes_max` bytes
    /// of the stream.
    pub fn new(input: R, columns: &[CopyColumn], rows_max: usize, bytes_max: u64) -> Self {
        let capacity = rows_max.min(CAPACITY_ROWS_MAX);
        let mut fields = Vec::new();
        let columns = columns.iter().map(|column| Column {
            attnum: column.attnum,
            encoding: column.encoding,
            builder: column.to.as_ref().map(|to| {
                fields.push(arrow_field(physical_name(column.attnum), to));
                ColumnBuilder::new(&column.kind, to, capacity)
            }),
        });
        let columns = columns.collect();
        CopyBatches {
            reader: CopyReader::new(input),
            columns,
            schema: Arc::new(Schema::new(fields)),
            rows_max: rows_max.max(1),
            bytes_max,
            value_bytes_max: u64::MAX,
            rows: 0,
            batch_offset: 0,
            bytes_before: 0,
        }
    }

    /// Hands rows back that have a value larger than this, in bytes of the stream.
    pub fn with_value_bytes_max(mut self, value_bytes_max: u64) -> Self {
        self.value_bytes_max = value_bytes_max;
        self
    }

    /// The batches' schema.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Rows of the stream that were read, those with errors included.
    pub fn rows(&self) -> u64 {
        self.reader.rows()
    }

    /// Bytes of the stream that were read.
    pub fn offset(&self) -> u64 {
        self.reader.offset()
    }

    /// The row of the last error as it stands in the stream, until the next batch is asked for.
    pub fn failed_row(&self) -> Row<'_> {
        self.reader.row()
    }

    /// Goes on with another stream of the same columns, behind the end of the one before. Rows that filled no batch stay, and rows, bytes
    /// and offsets are counted from its beginning.
    pub fn go_on_with(&mut self, input: R) {
        self.bytes_before += self.reader.offset() - self.batch_offset;
        self.batch_offset = 0;
        self.reader = CopyReader::new(input);
    }

    /// Reads until a batch is full; false where the stream ends first.
    pub fn fill(&mut self) -> Result<bool, CopyError> {
        while self.rows < self.rows_max && self.batch_bytes() < self.bytes_max {
            if !self.push_row()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The rows read so far as a batch; `None` where there are none.
    pub fn batch(&mut self) -> Result<Option<RecordBatch>, CopyError> {
        if self.rows == 0 {
            return Ok(None);
        }
        (self.batch_offset, self.bytes_before) = (self.reader.offset(), 0);
        let arrays = self.columns.iter_mut().filter_map(|column| column.builder.as_mut());
        let arrays = arrays.map(ColumnBuilder::take).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(std::mem::take(&mut self.rows)));
        Ok(Some(RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)?))
    }

    /// The next batch; `None` behind the last.
    pub fn next_batch(&mut self) -> Result<Option<RecordBatch>, CopyError> {
        self.fill()?;
        self.batch()
    }

    fn batch_bytes(&self) -> u64 {
        self.bytes_before + self.reader.offset() - self.batch_offset
    }

    /// Takes a row into the builders; false behind the last.
    fn push_row(&mut self) -> Result<bool, CopyError> {
        let (offset, number) = (self.reader.offset(), self.reader.rows());
        let Some(row) = self.reader.next_row()? else {
            return Ok(false);
        };
        if row.len() != self.columns.len() {
            return Err(CopyError::Malformed {
                offset,
                what: "a row has not as many fields as the table columns",
            });
        }
        for (index, (column, field)) in self.columns.iter_mut().zip(row.fields()).enumerate() {
            let Some(builder) = &mut column.builder else {
                continue;
            };
            let pushed = match (field, column.encoding) {
                (None, _) => {
                    builder.push_null();
                    Ok(())
                }
                (Some(field), _) if field.len() as u64 > self.value_bytes_max => {
                    Err(ValueError::TooLarge { bytes: field.len() as u64, max: self.value_bytes_max })
                }
                (Some(field), CopyEncoding::Binary) => builder.push_binary(field),
                (Some(field), CopyEncoding::Text) => builder.push_text(field),
            };
            if let Err(error) = pushed {
                let error = RowError { row: number, column: index, attnum: column.attnum, error };
                let rows = self.rows;
                let builders = self.columns.iter_mut().filter_map(|column| column.builder.as_mut());
                builders.for_each(|builder| builder.truncate(rows));
                return Err(CopyError::Value(Box::new(error)));
            }
        }
        self.rows += 1;
        Ok(true)
    }
}

impl<R: Read> Iterator for CopyBatches<R> {
    type Item = Result<RecordBatch, CopyError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_batch().transpose()
    }
}
