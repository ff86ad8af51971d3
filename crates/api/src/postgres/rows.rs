//! Results as messages: what their columns are, and their values in text or binary form.

use std::collections::VecDeque;

use arrow_array::{
    cast::AsArray,
    types::{
        Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, Int8Type,
        IntervalMonthDayNanoType, Time64MicrosecondType, Time64NanosecondType, TimestampMicrosecondType,
        TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt16Type, UInt32Type,
        UInt64Type, UInt8Type,
    },
    Array, ArrayRef, RecordBatch,
};
use arrow_schema::{DataType, Field, TimeUnit};
use bytes::{BufMut, BytesMut};
use millstream_core::warehouse::QueryResult;
use millstream_pgoutput::render::{write_json, write_text};
use pgwire::messages::data::{FieldDescription, RowDescription};

use super::{
    error::{Outcome, WireError},
    types::Kind,
};

/// Days and microseconds from 1970-01-01 to 2000-01-01, which PostgreSQL's binary forms count from.
const EPOCH_DAYS: i32 = 10_957;
const EPOCH_MICROS: i64 = EPOCH_DAYS as i64 * 86_400_000_000;

/// A column of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
}

impl Column {
    /// From a name and the warehouse's name of a type.
    pub(super) fn new(name: impl Into<String>, type_name: &str) -> Self {
        Column { name: name.into(), kind: Kind::of_warehouse(type_name) }
    }

    pub(super) fn all(columns: &[(String, String)]) -> Vec<Column> {
        columns.iter().map(|(name, type_name)| Column::new(name, type_name)).collect()
    }
}

/// A result that is being given out.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) columns: Vec<Column>,
    batches: VecDeque<RecordBatch>,
}

impl Rows {
    pub(super) fn new(result: QueryResult) -> Self {
        Rows { columns: Column::all(&result.columns), batches: result.batches.into() }
    }

    /// Of one batch whose columns are texts.
    pub(super) fn of_texts(names: &[&str], batch: RecordBatch) -> Self {
        let columns =
            names.iter().map(|name| Column { name: (*name).to_owned(), kind: Kind::Text }).collect();
        Rows { columns, batches: [batch].into() }
    }

    /// Some of its rows, with its columns.
    pub(super) fn part(&self, batches: Vec<RecordBatch>) -> Self {
        Rows { columns: self.columns.clone(), batches: batches.into() }
    }

    /// How many rows are left.
    pub(super) fn len(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// The next rows, at most so many.
    pub(super) fn next(&mut self, rows_max: usize) -> Option<RecordBatch> {
        let batch = self.batches.pop_front()?;
        if batch.num_rows() <= rows_max {
            return Some(batch);
        }
        let rest = batch.slice(rows_max, batch.num_rows() - rows_max);
        self.batches.push_front(rest);
        Some(batch.slice(0, rows_max))
    }

    /// Gives the result the columns that the client was told of.
    pub(super) fn as_described(&mut self, columns: &[Column]) -> Outcome<()> {
        as_described(columns, &self.columns)?;
        self.columns = columns.to_vec();
        Ok(())
    }
}

/// Whether a result is what the client was told of it. What is told as text can be anything; what else differs is an error.
pub(super) fn as_described(told: &[Column], found: &[Column]) -> Outcome<()> {
    let alike =
        |(told, found): &(&Column, &Column)| told.kind == Kind::Text || told.kind.oid() == found.kind.oid();
    let what = match told.iter().zip(found).find(|pair| !alike(pair)) {
        Some((told, found)) => {
            format!("column \"{}\" was {}, and is {}", told.name, told.kind.name(), found.kind.name())
        }
        None if told.len() != found.len() => "it has another number of columns".to_owned(),
        None => return Ok(()),
    };
    Err(WireError::ResultChanged { what })
}

/// Formats by column: none is text for all, one is for all.
#[derive(Debug, Clone, Default)]
pub(super) struct Formats(Vec<i16>);

impl Formats {
    pub(super) fn new(codes: Vec<i16>) -> Outcome<Self> {
        match codes.iter().find(|code| !matches!(code, 0 | 1)) {
            Some(code) => Err(WireError::protocol(format!("unsupported format code: {code}"))),
            None => Ok(Formats(codes)),
        }
    }

    pub(super) fn binary(&self, index: usize) -> bool {
        match self.0.as_slice() {
            [] => false,
            [one] => *one == 1,
            many => many.get(index) == Some(&1),
        }
    }

    /// Whether there is one for each, where there are several.
    pub(super) fn fits(&self, count: usize) -> bool {
        self.0.len() <= 1 || self.0.len() == count
    }
}

/// What a client is told of a result's columns.
pub(super) fn description(columns: &[Column], formats: &Formats) -> RowDescription {
    let fields = columns.iter().enumerate().map(|(index, column)| {
        FieldDescription::new(
            // A zero byte would end the name early.
            column.name.replace('\0', "\u{fffd}"),
            0,
            0,
            column.kind.oid(),
            column.kind.bytes(),
            column.kind.modifier(),
            i16::from(formats.binary(index)),
        )
    });
    RowDescription::new(fields.collect())
}

/// Appends a row as a DataRow message.
pub(super) fn write_row(
    out: &mut BytesMut,
    columns: &[Column],
    formats: &Formats,
    batch: &RecordBatch,
    row: usize,
    scratch: &mut String,
) -> Outcome<()> {
    out.put_u8(b'D');
    let start = out.len();
    out.put_i32(0);
    out.put_i16(columns.len() as i16);
    let schema = batch.schema_ref();
    for (index, (column, array)) in columns.iter().zip(batch.columns()).enumerate() {
        if is_null(array, row) {
            out.put_i32(-1);
            continue;
        }
        let at = out.len();
        out.put_i32(0);
        let written = if formats.binary(index) {
            write_binary(&column.kind, array, row, schema.field(index), out, scratch)
        } else {
            text(&column.kind, array, row, schema.field(index), scratch)
                .map(|()| out.put_slice(scratch.as_bytes()))
        };
        written.map_err(|why| WireError::Value { column: column.name.clone(), why })?;
        set_length(out, at, 4)?;
    }
    set_length(out, start, 0)
}

/// DuckDB's columns of type NULL have no validity.
pub(super) fn is_null(array: &ArrayRef, row: usize) -> bool {
    array.is_null(row) || *array.data_type() == DataType::Null
}

/// Puts the number of bytes since `at`, less `beside`, there.
fn set_length(out: &mut BytesMut, at: usize, beside: usize) -> Outcome<()> {
    let length = i32::try_from(out.len() - at - beside)
        .map_err(|_| WireError::protocol("a row of more than 2 GiB can't be sent"))?;
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

/// A value as PostgreSQL prints it.
pub(super) fn text(
    kind: &Kind,
    array: &ArrayRef,
    row: usize,
    field: &Field,
    out: &mut String,
) -> Result<(), String> {
    out.clear();
    // JSON that is a string already is printed as it is; structs, maps and lists become JSON.
    let composed = *kind == Kind::Json && !is_string(array.data_type());
    let written = if composed { write_json(field, array, row, out) } else { write_text(array, row, out) };
    written.map_err(|error| error.to_string())
}

fn is_string(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// Appends a value in PostgreSQL's binary form (`…send` of each type).
fn write_binary(
    kind: &Kind,
    array: &ArrayRef,
    row: usize,
    field: &Field,
    out: &mut BytesMut,
    scratch: &mut String,
) -> Result<(), String> {
    let unexpected = || format!("the warehouse gave {} for {}", array.data_type(), kind.name());
    match kind {
        Kind::Bool => out.put_u8(array.as_boolean_opt().ok_or_else(unexpected)?.value(row).into()),
        Kind::Int2 => out.put_i16(small(array, row).ok_or_else(unexpected)?),
        Kind::Int4 => out.put_i32(small(array, row).ok_or_else(unexpected)?),
        Kind::Int8 => out.put_i64(small(array, row).ok_or_else(unexpected)?),
        Kind::Oid => out.put_u32(small(array, row).ok_or_else(unexpected)?),
        Kind::Float4 => {
            out.put_f32(array.as_primitive_opt::<Float32Type>().ok_or_else(unexpected)?.value(row));
        }
        Kind::Float8 => {
            out.put_f64(array.as_primitive_opt::<Float64Type>().ok_or_else(unexpected)?.value(row));
        }
        Kind::Numeric(_) => {
            text(kind, array, row, field, scratch)?;
            write_numeric(scratch, out).ok_or_else(unexpected)?;
        }
        Kind::Text | Kind::Json => {
            text(kind, array, row, field, scratch)?;
            out.put_slice(scratch.as_bytes());
        }
        Kind::Bytea => out.put_slice(bytes(array, row).ok_or_else(unexpected)?),
        Kind::Date => {
            let days = array.as_primitive_opt::<Date32Type>().ok_or_else(unexpected)?.value(row);
            out.put_i32(match days {
                i32::MAX => i32::MAX,
                days if days == -i32::MAX => i32::MIN,
                days => days.checked_sub(EPOCH_DAYS).ok_or_else(unexpected)?,
            });
        }
        Kind::Time => out.put_i64(time(array, row).ok_or_else(unexpected)?),
        Kind::Timestamp | Kind::TimestampTz => {
            out.put_i64(match timestamp(array, row).ok_or_else(unexpected)? {
                i64::MAX => i64::MAX,
                micros if micros == -i64::MAX => i64::MIN,
                micros => micros.checked_sub(EPOCH_MICROS).ok_or_else(unexpected)?,
            });
        }
        Kind::Interval => {
            let interval =
                array.as_primitive_opt::<IntervalMonthDayNanoType>().ok_or_else(unexpected)?.value(row);
            out.put_i64(interval.nanoseconds / 1000);
            out.put_i32(interval.days);
            out.put_i32(interval.months);
        }
        Kind::Uuid => match bytes(array, row) {
            Some(uuid) if uuid.len() == 16 => out.put_slice(uuid),
            _ => {
                text(kind, array, row, field, scratch)?;
                let digits: String = scratch.chars().filter(|c| *c != '-').collect();
                let value = u128::from_str_radix(&digits, 16).map_err(|_| unexpected())?;
                out.put_u128(value);
            }
        },
        Kind::Array(element) => write_array(element, array, row, field, out, scratch)?,
    }
    Ok(())
}

fn small<T: TryFrom<i128>>(array: &ArrayRef, row: usize) -> Option<T> {
    T::try_from(integer(array, row)?).ok()
}

fn integer(array: &ArrayRef, row: usize) -> Option<i128> {
    Some(match array.data_type() {
        DataType::Int8 => array.as_primitive::<Int8Type>().value(row).into(),
        DataType::Int16 => array.as_primitive::<Int16Type>().value(row).into(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).into(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).into(),
        DataType::UInt8 => array.as_primitive::<UInt8Type>().value(row).into(),
        DataType::UInt16 => array.as_primitive::<UInt16Type>().value(row).into(),
        DataType::UInt32 => array.as_primitive::<UInt32Type>().value(row).into(),
        DataType::UInt64 => array.as_primitive::<UInt64Type>().value(row).into(),
        DataType::Decimal128(_, 0) => array.as_primitive::<Decimal128Type>().value(row),
        _ => return None,
    })
}

fn bytes(array: &ArrayRef, row: usize) -> Option<&[u8]> {
    Some(match array.data_type() {
        DataType::Binary => array.as_binary::<i32>().value(row),
        DataType::LargeBinary => array.as_binary::<i64>().value(row),
        DataType::BinaryView => array.as_binary_view().value(row),
        DataType::FixedSizeBinary(_) => array.as_fixed_size_binary().value(row),
        _ => return None,
    })
}

fn time(array: &ArrayRef, row: usize) -> Option<i64> {
    Some(match array.data_type() {
        DataType::Time64(TimeUnit::Microsecond) => array.as_primitive::<Time64MicrosecondType>().value(row),
        DataType::Time64(TimeUnit::Nanosecond) => {
            array.as_primitive::<Time64NanosecondType>().value(row) / 1000
        }
        _ => return None,
    })
}

/// Microseconds since 1970; the infinities stay what they are in every unit.
fn timestamp(array: &ArrayRef, row: usize) -> Option<i64> {
    let DataType::Timestamp(unit, _) = array.data_type() else { return None };
    let (value, factor) = match unit {
        TimeUnit::Second => (array.as_primitive::<TimestampSecondType>().value(row), 1_000_000),
        TimeUnit::Millisecond => (array.as_primitive::<TimestampMillisecondType>().value(row), 1_000),
        TimeUnit::Microsecond => (array.as_primitive::<TimestampMicrosecondType>().value(row), 1),
        TimeUnit::Nanosecond => {
            return Some(array.as_primitive::<TimestampNanosecondType>().value(row) / 1000)
        }
    };
    if value == i64::MAX || value == -i64::MAX {
        return Some(value);
    }
    value.checked_mul(factor)
}

/// `numeric_send`: groups of four decimal digits, the first one's weight, the sign, how many digits stand behind the point.
fn write_numeric(text: &str, out: &mut BytesMut) -> Option<()> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (0x4000u16, rest),
        None => (0, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let padded = format!(
        "{}{whole}{fraction}{}",
        "0".repeat((4 - whole.len() % 4) % 4),
        "0".repeat((4 - fraction.len() % 4) % 4)
    );
    let groups: Vec<i16> = padded
        .as_bytes()
        .chunks(4)
        .map(|group| group.iter().fold(0, |value, digit| value * 10 + i16::from(digit - b'0')))
        .collect();
    let leading = groups.iter().take_while(|group| **group == 0).count();
    let trailing = groups.iter().rev().take_while(|group| **group == 0).count();
    let significant = groups.get(leading..groups.len().saturating_sub(trailing)).unwrap_or_default();
    let weight = whole.len().div_ceil(4) as i16 - 1 - leading as i16;
    out.put_i16(significant.len() as i16);
    out.put_i16(if significant.is_empty() { 0 } else { weight });
    out.put_u16(if significant.is_empty() { 0 } else { sign });
    out.put_u16(fraction.len() as u16);
    significant.iter().for_each(|group| out.put_i16(*group));
    Some(())
}

/// The items of a list of any layout.
fn list(array: &ArrayRef, row: usize) -> Option<ArrayRef> {
    Some(match array.data_type() {
        DataType::List(_) => array.as_list::<i32>().value(row),
        DataType::LargeList(_) => array.as_list::<i64>().value(row),
        DataType::FixedSizeList(..) => array.as_fixed_size_list().value(row),
        _ => return None,
    })
}

/// `array_send`: dimensions, whether there are NULLs, the elements' type, each dimension's length and lower bound, the elements.
fn write_array(
    element: &Kind,
    array: &ArrayRef,
    row: usize,
    field: &Field,
    out: &mut BytesMut,
    scratch: &mut String,
) -> Result<(), String> {
    let uneven = || "its inner lists differ in length, which no array of PostgreSQL has".to_owned();
    let mut dimensions: Vec<usize> = Vec::new();
    let mut level = vec![list(array, row).ok_or_else(|| format!("it is {}", array.data_type()))?];
    // Each round looks at the lists of one depth; the last round's lists hold the elements.
    loop {
        let length = level.first().map_or(0, |items| items.len());
        if level.iter().any(|items| items.len() != length) {
            return Err(uneven());
        }
        dimensions.push(length);
        let nested = level.first().is_some_and(|items| list_type(items.data_type()));
        if length == 0 || !nested {
            break;
        }
        let mut inner = Vec::new();
        for items in &level {
            for row in 0..items.len() {
                if items.is_null(row) {
                    return Err(uneven());
                }
                inner.push(list(items, row).ok_or_else(uneven)?);
            }
        }
        level = inner;
    }
    if dimensions.contains(&0) {
        dimensions.clear();
        level.clear();
    }
    let nulls = level.iter().any(|items| items.null_count() > 0 || *items.data_type() == DataType::Null);
    out.put_i32(dimensions.len() as i32);
    out.put_i32(nulls.into());
    out.put_u32(element.oid());
    for length in &dimensions {
        out.put_i32(*length as i32);
        out.put_i32(1);
    }
    for items in &level {
        for row in 0..items.len() {
            if is_null(items, row) {
                out.put_i32(-1);
                continue;
            }
            let at = out.len();
            out.put_i32(0);
            write_binary(element, items, row, field, out, scratch)?;
            set_length(out, at, 4).map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

fn list_type(data_type: &DataType) -> bool {
    matches!(data_type, DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{types::Int32Type, ListArray};

    use super::*;

    fn numeric(text: &str) -> Vec<u8> {
        let mut out = BytesMut::new();
        write_numeric(text, &mut out).unwrap();
        out.to_vec()
    }

    #[test]
    fn numbers_are_sent_in_groups_of_four_digits() {
        assert_eq!(numeric("12345.678"), [0, 3, 0, 1, 0, 0, 0, 3, 0, 1, 9, 41, 26, 124]);
        assert_eq!(numeric("-0.0001"), [0, 1, 255, 255, 64, 0, 0, 4, 0, 1]);
        assert_eq!(numeric("0.00"), [0, 0, 0, 0, 0, 0, 0, 2]);
        assert_eq!(numeric("10000"), [0, 1, 0, 1, 0, 0, 0, 0, 0, 1]);
        assert_eq!(numeric("-7"), [0, 1, 0, 0, 64, 0, 0, 0, 0, 7]);
        assert!(write_numeric("NaN", &mut BytesMut::new()).is_none());
    }

    #[test]
    fn a_list_is_sent_as_an_array_with_its_nulls() {
        let list =
            ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(7), None]), Some(vec![])]);
        let array: ArrayRef = Arc::new(list);
        let field = Field::new("a", array.data_type().clone(), true);
        let send = |row| {
            let mut out = BytesMut::new();
            let kind = Kind::Array(Box::new(Kind::Int4));
            write_binary(&kind, &array, row, &field, &mut out, &mut String::new()).unwrap();
            out.chunks(4).map(|word| i32::from_be_bytes(word.try_into().unwrap())).collect::<Vec<_>>()
        };
        assert_eq!(send(0), [1, 1, 23, 2, 1, 4, 7, -1]);
        assert_eq!(send(1), [0, 0, 23]);
    }
}
