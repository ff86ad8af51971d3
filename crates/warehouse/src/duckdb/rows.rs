//! Record batches as the port documents them: which columns are expected, and DuckDB's results brought back to those types.

use std::{collections::HashMap, sync::Arc};

use arrow_array::{
    cast::AsArray, Array, ArrayRef, FixedSizeBinaryArray, ListArray, RecordBatch, StringArray, UInt64Array,
};
use arrow_buffer::{Buffer, MutableBuffer};
use arrow_schema::{DataType, Field, IntervalUnit, Schema, TimeUnit};
use millstream_core::{
    warehouse::{meta, physical_name, LayoutColumn, TableLayout},
    ColumnType,
};

use crate::WarehouseError;

/// The documented Arrow field of a column.
pub(crate) fn field(name: &str, of: &ColumnType) -> Field {
    let data_type = match of {
        ColumnType::Boolean => DataType::Boolean,
        ColumnType::SmallInt => DataType::Int16,
        ColumnType::Integer => DataType::Int32,
        ColumnType::BigInt => DataType::Int64,
        ColumnType::UInteger => DataType::UInt32,
        ColumnType::Real => DataType::Float32,
        ColumnType::Double => DataType::Float64,
        ColumnType::Decimal(precision, scale) => DataType::Decimal128(*precision, *scale as i8),
        ColumnType::Text | ColumnType::Json => DataType::Utf8,
        ColumnType::Blob => DataType::Binary,
        ColumnType::Date => DataType::Date32,
        ColumnType::Time => DataType::Time64(TimeUnit::Microsecond),
        ColumnType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        ColumnType::TimestampTz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        ColumnType::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
        ColumnType::Uuid => DataType::FixedSizeBinary(16),
        ColumnType::List(element) => DataType::List(Arc::new(field("item", element))),
    };
    let field = Field::new(name, data_type, true);
    match of {
        ColumnType::Uuid => {
            field.with_metadata(HashMap::from([("ARROW:extension:name".to_owned(), "arrow.uuid".to_owned())]))
        }
        _ => field,
    }
}

/// Checks that a batch carries exactly the columns expected, by name.
pub(crate) fn check_columns(
    layout: &TableLayout,
    batch: &RecordBatch,
    expected: &[String],
) -> Result<(), WarehouseError> {
    let found: Vec<_> = batch.schema_ref().fields().iter().map(|field| field.name().as_str()).collect();
    if found.iter().eq(expected.iter()) {
        return Ok(());
    }
    Err(malformed(layout, format!("columns are {found:?}, expected {expected:?}")))
}

pub(crate) fn malformed(layout: &TableLayout, what: impl Into<String>) -> WarehouseError {
    WarehouseError::MalformedRows { table: layout.target.to_string(), what: what.into() }
}

/// Names of the columns' physical ones followed by those of the bookkeeping columns.
pub(crate) fn names<'a>(
    columns: impl IntoIterator<Item = &'a LayoutColumn>,
    bookkeeping: &[&str],
) -> Vec<String> {
    let physical = columns.into_iter().map(|column| physical_name(column.attnum));
    physical.chain(bookkeeping.iter().map(|name| (*name).to_owned())).collect()
}

/// Behind the live columns of `open`.
pub(crate) const OPEN: [&str; 4] = [meta::VALID_FROM, meta::OPERATION, meta::LSN, meta::SEQ];
/// Behind the live columns of `closed`.
pub(crate) const CLOSED: [&str; 7] =
    [meta::VALID_FROM, meta::VALID_TO, meta::OPERATION, meta::LSN, meta::SEQ, meta::LSN_TO, meta::SEQ_TO];
/// Behind the key's (or all live) columns of `close`.
pub(crate) const CLOSE: [&str; 4] = [meta::VALID_TO, meta::LSN_TO, meta::SEQ_TO, meta::DELETED];

/// The batch with a column that numbers its rows from `first`.
pub(crate) fn numbered(batch: &RecordBatch, first: u64) -> Result<RecordBatch, arrow_schema::ArrowError> {
    let mut fields: Vec<_> = batch.schema_ref().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(meta::ORDINAL, DataType::UInt64, false)));
    let mut columns = batch.columns().to_vec();
    columns.push(Arc::new(UInt64Array::from_iter_values(first..first + batch.num_rows() as u64)));
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

/// Brings the leading columns of a DuckDB result to the port's documented types; what follows them stays.
pub(crate) fn documented(
    batch: &RecordBatch,
    columns: &[&LayoutColumn],
) -> Result<RecordBatch, arrow_schema::ArrowError> {
    let mut fields: Vec<_> = batch.schema_ref().fields().iter().cloned().collect();
    let mut arrays = batch.columns().to_vec();
    for (index, column) in columns.iter().enumerate() {
        let field = field(&physical_name(column.attnum), &column.column_type);
        arrays[index] = convert(&arrays[index], &field)?;
        fields[index] = Arc::new(field);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
}

/// DuckDB hands UUIDs out as text and names list elements and time zones its own way.
fn convert(array: &ArrayRef, to: &Field) -> Result<ArrayRef, arrow_schema::ArrowError> {
    match (array.data_type(), to.data_type()) {
        (DataType::Utf8, DataType::FixedSizeBinary(16)) => uuids(array.as_string::<i32>()),
        (DataType::List(_), DataType::List(element)) => {
            let list = array.as_list::<i32>();
            let values = convert(list.values(), element)?;
            let nulls = list.nulls().cloned();
            Ok(Arc::new(ListArray::try_new(element.clone(), list.offsets().clone(), values, nulls)?))
        }
        (from, to) if from == to => Ok(array.clone()),
        (from, to) => {
            let data = array.to_data();
            if from.primitive_width() != to.primitive_width() || from.primitive_width().is_none() {
                return Err(arrow_schema::ArrowError::CastError(format!("{from} is not {to}")));
            }
            Ok(arrow_array::make_array(data.into_builder().data_type(to.clone()).build()?))
        }
    }
}

fn uuids(texts: &StringArray) -> Result<ArrayRef, arrow_schema::ArrowError> {
    let mut bytes = MutableBuffer::with_capacity(texts.len() * 16);
    for text in texts {
        let digits = text.unwrap_or_default().bytes().filter(|byte| *byte != b'-');
        let mut value: u128 = 0;
        for digit in digits {
            let digit = char::from(digit)
                .to_digit(16)
                .ok_or_else(|| arrow_schema::ArrowError::CastError(format!("{text:?} is not a UUID")))?;
            value = value << 4 | u128::from(digit);
        }
        bytes.extend_from_slice(&value.to_be_bytes());
    }
    Ok(Arc::new(FixedSizeBinaryArray::try_new(16, Buffer::from(bytes), texts.nulls().cloned())?))
}
