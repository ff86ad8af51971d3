//! Values without parts, which text and JSON print nearly alike.

use arrow_array::{
    cast::AsArray,
    types::{
        ArrowPrimitiveType, Date32Type, Date64Type, Decimal128Type, Decimal256Type, Decimal32Type,
        Decimal64Type, DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType,
        DurationSecondType, Int16Type, Int32Type, Int64Type, Int8Type, IntervalDayTimeType,
        IntervalMonthDayNanoType, IntervalYearMonthType, Time32MillisecondType, Time32SecondType,
        Time64MicrosecondType, Time64NanosecondType, TimestampMicrosecondType, TimestampMillisecondType,
        TimestampNanosecondType, TimestampSecondType, UInt16Type, UInt32Type, UInt64Type, UInt8Type,
    },
    Array,
};
use arrow_schema::{DataType, IntervalUnit, TimeUnit};

use super::RenderError;
use crate::value::{
    bytes::{write_bytea, write_uuid},
    datetime::{self, write_clock, write_date, write_timestamp},
    interval::write_interval,
    number::{write_decimal, write_integer},
};

/// How a timestamp is put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// `2024-01-02 03:04:05+00`
    Text,
    /// `2024-01-02T03:04:05+00:00`
    Json,
}

pub(super) fn unknown(array: &dyn Array) -> RenderError {
    RenderError { data_type: array.data_type().clone() }
}

/// The value at a row. The array's data type was matched: another is impossible, and Arrow panics on it.
fn at<T: ArrowPrimitiveType>(array: &dyn Array, row: usize) -> T::Native {
    array.as_primitive::<T>().value(row)
}

/// An integer of any width.
pub(super) fn integer(array: &dyn Array, row: usize) -> Option<i128> {
    Some(match array.data_type() {
        DataType::Int8 => at::<Int8Type>(array, row).into(),
        DataType::Int16 => at::<Int16Type>(array, row).into(),
        DataType::Int32 => at::<Int32Type>(array, row).into(),
        DataType::Int64 => at::<Int64Type>(array, row).into(),
        DataType::UInt8 => at::<UInt8Type>(array, row).into(),
        DataType::UInt16 => at::<UInt16Type>(array, row).into(),
        DataType::UInt32 => at::<UInt32Type>(array, row).into(),
        DataType::UInt64 => at::<UInt64Type>(array, row).into(),
        _ => return None,
    })
}

/// A string of any layout.
pub(super) fn string(array: &dyn Array, row: usize) -> Option<&str> {
    Some(match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().value(row),
        DataType::LargeUtf8 => array.as_string::<i64>().value(row),
        DataType::Utf8View => array.as_string_view().value(row),
        _ => return None,
    })
}

/// Appends a decimal; false if it is none.
pub(super) fn write_any_decimal(array: &dyn Array, row: usize, out: &mut Vec<u8>) -> bool {
    match array.data_type() {
        DataType::Decimal32(_, scale) => write_decimal(out, at::<Decimal32Type>(array, row).into(), *scale),
        DataType::Decimal64(_, scale) => write_decimal(out, at::<Decimal64Type>(array, row).into(), *scale),
        DataType::Decimal128(_, scale) => write_decimal(out, at::<Decimal128Type>(array, row), *scale),
        DataType::Decimal256(precision, scale) => {
            let value = at::<Decimal256Type>(array, row);
            match value.to_i128() {
                Some(value) => write_decimal(out, value, *scale),
                None => out.extend_from_slice(
                    <Decimal256Type as arrow_array::types::DecimalType>::format_decimal(
                        value, *precision, *scale,
                    )
                    .as_bytes(),
                ),
            }
        }
        _ => return false,
    }
    true
}

/// Appends what is neither number, boolean nor string.
pub(super) fn write_other(
    array: &dyn Array,
    row: usize,
    style: Style,
    out: &mut Vec<u8>,
) -> Result<(), RenderError> {
    match array.data_type() {
        DataType::Binary => write_bytea(out, array.as_binary::<i32>().value(row)),
        DataType::LargeBinary => write_bytea(out, array.as_binary::<i64>().value(row)),
        DataType::BinaryView => write_bytea(out, array.as_binary_view().value(row)),
        // Nothing but uuids comes in this form.
        DataType::FixedSizeBinary(16) => write_uuid(out, array.as_fixed_size_binary().value(row)),
        DataType::FixedSizeBinary(_) => write_bytea(out, array.as_fixed_size_binary().value(row)),
        DataType::Date32 => write_date(out, at::<Date32Type>(array, row)),
        DataType::Date64 => {
            let days = at::<Date64Type>(array, row).div_euclid(86_400_000);
            write_date(out, i32::try_from(days).map_err(|_| unknown(array))?);
        }
        DataType::Time32(TimeUnit::Second) => {
            write_clock(out, at::<Time32SecondType>(array, row).unsigned_abs().into(), 0);
        }
        DataType::Time32(_) => {
            clock(out, at::<Time32MillisecondType>(array, row).into(), TimeUnit::Millisecond);
        }
        DataType::Time64(TimeUnit::Nanosecond) => {
            clock(out, at::<Time64NanosecondType>(array, row), TimeUnit::Nanosecond);
        }
        DataType::Time64(_) => clock(out, at::<Time64MicrosecondType>(array, row), TimeUnit::Microsecond),
        DataType::Timestamp(unit, zone) => {
            let value = match unit {
                TimeUnit::Second => at::<TimestampSecondType>(array, row),
                TimeUnit::Millisecond => at::<TimestampMillisecondType>(array, row),
                TimeUnit::Microsecond => at::<TimestampMicrosecondType>(array, row),
                TimeUnit::Nanosecond => at::<TimestampNanosecondType>(array, row),
            };
            // Arrow's values with a zone count from the epoch in UTC, whatever the zone is; the session's zone is UTC.
            let (separator, zone) = match (style, zone) {
                (Style::Text, None) => (b' ', ""),
                (Style::Text, Some(_)) => (b' ', "+00"),
                (Style::Json, None) => (b'T', ""),
                (Style::Json, Some(_)) => (b'T', "+00:00"),
            };
            match value {
                datetime::TIMESTAMP_INFINITY => out.extend_from_slice(b"infinity"),
                datetime::TIMESTAMP_NEGATIVE_INFINITY => out.extend_from_slice(b"-infinity"),
                value => {
                    let (seconds, nanos) = split(value, *unit);
                    write_timestamp(out, seconds, nanos, separator, zone);
                }
            }
        }
        DataType::Duration(unit) => {
            let value = match unit {
                TimeUnit::Second => at::<DurationSecondType>(array, row),
                TimeUnit::Millisecond => at::<DurationMillisecondType>(array, row),
                TimeUnit::Microsecond => at::<DurationMicrosecondType>(array, row),
                TimeUnit::Nanosecond => at::<DurationNanosecondType>(array, row),
            };
            write_interval(out, 0, 0, i128::from(value) * (1_000_000_000 / per_second(*unit)) as i128);
        }
        DataType::Interval(IntervalUnit::YearMonth) => {
            write_interval(out, at::<IntervalYearMonthType>(array, row), 0, 0);
        }
        DataType::Interval(IntervalUnit::DayTime) => {
            let value = at::<IntervalDayTimeType>(array, row);
            write_interval(out, 0, value.days, i128::from(value.milliseconds) * 1_000_000);
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let value = at::<IntervalMonthDayNanoType>(array, row);
            write_interval(out, value.months, value.days, value.nanoseconds.into());
        }
        _ => return Err(unknown(array)),
    }
    Ok(())
}

fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// Seconds, rounded down, and the nanoseconds behind them.
fn split(value: i64, unit: TimeUnit) -> (i64, u32) {
    let per_second = per_second(unit);
    let nanos = value.rem_euclid(per_second) * (1_000_000_000 / per_second);
    (value.div_euclid(per_second), nanos as u32)
}

fn clock(out: &mut Vec<u8>, value: i64, unit: TimeUnit) {
    let (seconds, nanos) = split(value, unit);
    write_clock(out, seconds.unsigned_abs(), nanos);
}

/// Appends an integer.
pub(super) fn write_any_integer(array: &dyn Array, row: usize, out: &mut Vec<u8>) -> bool {
    match integer(array, row) {
        Some(value) => write_integer(out, value),
        None => return false,
    }
    true
}
