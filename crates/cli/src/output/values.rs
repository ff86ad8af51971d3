//! Values of a query's result as JSON, printed as PostgreSQL's `to_jsonb` prints them: every digit of a number, timestamps in ISO 8601, what JSON
//! has no number for (NaN, infinity) as text.

use std::fmt::Write;

use arrow_array::{
    cast::AsArray,
    types::{
        Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, Int8Type,
        IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType, TimestampMillisecondType,
        TimestampNanosecondType, TimestampSecondType, UInt16Type, UInt32Type, UInt64Type, UInt8Type,
    },
    Array, RecordBatch,
};
use arrow_schema::{DataType, TimeUnit};
use millstream_core::Timestamp;
use serde_json::value::RawValue;

use super::Column;
use crate::config::units;

/// The result's columns, from names and the warehouse's names of their types.
pub fn columns(described: &[(String, String)]) -> Vec<Column> {
    const NUMBERS: [&str; 13] = [
        "TINYINT",
        "SMALLINT",
        "INTEGER",
        "BIGINT",
        "HUGEINT",
        "UTINYINT",
        "USMALLINT",
        "UINTEGER",
        "UBIGINT",
        "UHUGEINT",
        "FLOAT",
        "DOUBLE",
        "BIGNUM",
    ];
    described
        .iter()
        .map(|(name, type_name)| Column {
            name: name.clone(),
            numeric: NUMBERS.contains(&type_name.as_str())
                || type_name.starts_with("DECIMAL(") && type_name.ends_with(')'),
        })
        .collect()
}

/// The rows of a batch. `described` is what [`columns`] takes; it tells JSON from text.
pub fn rows(batch: &RecordBatch, described: &[(String, String)]) -> Vec<Vec<Box<RawValue>>> {
    let mut text = String::new();
    (0..batch.num_rows())
        .map(|row| {
            batch
                .columns()
                .iter()
                .enumerate()
                .map(|(index, array)| {
                    text.clear();
                    write(
                        &mut text,
                        array,
                        row,
                        described.get(index).is_some_and(|(_, name)| name == "JSON"),
                    );
                    RawValue::from_string(text.clone()).unwrap_or_else(|_| RawValue::NULL.to_owned())
                })
                .collect()
        })
        .collect()
}

fn write(out: &mut String, array: &dyn Array, row: usize, json: bool) {
    if array.is_null(row) {
        out.push_str("null");
        return;
    }
    // Writing to a String does not fail.
    let mut number = |value: &dyn std::fmt::Display| {
        let _ = write!(out, "{value}");
    };
    match array.data_type() {
        DataType::Null => out.push_str("null"),
        DataType::Boolean => number(&array.as_boolean().value(row)),
        DataType::Int8 => number(&array.as_primitive::<Int8Type>().value(row)),
        DataType::Int16 => number(&array.as_primitive::<Int16Type>().value(row)),
        DataType::Int32 => number(&array.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 => number(&array.as_primitive::<Int64Type>().value(row)),
        DataType::UInt8 => number(&array.as_primitive::<UInt8Type>().value(row)),
        DataType::UInt16 => number(&array.as_primitive::<UInt16Type>().value(row)),
        DataType::UInt32 => number(&array.as_primitive::<UInt32Type>().value(row)),
        DataType::UInt64 => number(&array.as_primitive::<UInt64Type>().value(row)),
        DataType::Float32 => {
            let value = array.as_primitive::<Float32Type>().value(row);
            float(out, f64::from(value), &value.to_string());
        }
        DataType::Float64 => {
            let value = array.as_primitive::<Float64Type>().value(row);
            float(out, value, &value.to_string());
        }
        DataType::Decimal128(_, scale) => {
            decimal(out, array.as_primitive::<Decimal128Type>().value(row), *scale)
        }
        DataType::Utf8 => text(out, array.as_string::<i32>().value(row), json),
        DataType::LargeUtf8 => text(out, array.as_string::<i64>().value(row), json),
        DataType::Utf8View => text(out, array.as_string_view().value(row), json),
        DataType::Binary => bytes(out, array.as_binary::<i32>().value(row)),
        DataType::LargeBinary => bytes(out, array.as_binary::<i64>().value(row)),
        DataType::FixedSizeBinary(16) => uuid(out, array.as_fixed_size_binary().value(row)),
        DataType::FixedSizeBinary(_) => bytes(out, array.as_fixed_size_binary().value(row)),
        DataType::Date32 => date(out, array.as_primitive::<Date32Type>().value(row)),
        DataType::Time64(TimeUnit::Microsecond) => {
            time(out, array.as_primitive::<Time64MicrosecondType>().value(row));
        }
        DataType::Timestamp(unit, zone) => {
            let micros = match unit {
                TimeUnit::Second => {
                    array.as_primitive::<TimestampSecondType>().value(row).saturating_mul(1_000_000)
                }
                TimeUnit::Millisecond => {
                    array.as_primitive::<TimestampMillisecondType>().value(row).saturating_mul(1000)
                }
                TimeUnit::Microsecond => array.as_primitive::<TimestampMicrosecondType>().value(row),
                TimeUnit::Nanosecond => {
                    array.as_primitive::<TimestampNanosecondType>().value(row).div_euclid(1000)
                }
            };
            timestamp(out, micros, zone.is_some());
        }
        DataType::Interval(_) => {
            let value = array.as_primitive::<IntervalMonthDayNanoType>().value(row);
            let text = interval(value.months, value.days, value.nanoseconds / 1000);
            quote(out, &text);
        }
        DataType::List(_) => list(out, &*array.as_list::<i32>().value(row), json),
        DataType::LargeList(_) => list(out, &*array.as_list::<i64>().value(row), json),
        DataType::FixedSizeList(..) => list(out, &*array.as_fixed_size_list().value(row), json),
        DataType::Struct(_) => {
            let structs = array.as_struct();
            out.push('{');
            for (index, (name, column)) in structs.column_names().iter().zip(structs.columns()).enumerate() {
                out.push_str(if index == 0 { "" } else { ", " });
                quote(out, name);
                out.push_str(": ");
                write(out, column, row, false);
            }
            out.push('}');
        }
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            out.push('{');
            for entry in 0..entries.len() {
                out.push_str(if entry == 0 { "" } else { ", " });
                let mut key = String::new();
                write(&mut key, entries.column(0), entry, false);
                // A key of an object is a text, whatever it is in the map.
                if key.starts_with('"') {
                    out.push_str(&key);
                } else {
                    quote(out, &key);
                }
                out.push_str(": ");
                write(out, entries.column(1), entry, false);
            }
            out.push('}');
        }
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            match dictionary.normalized_keys().get(row) {
                Some(&key) => write(out, dictionary.values(), key, json),
                None => out.push_str("null"),
            }
        }
        // What a query of a person can make beyond these is shown for what it is, never as something else.
        other => quote(out, &format!("<{other}>")),
    }
}

fn list(out: &mut String, items: &dyn Array, json: bool) {
    out.push('[');
    for item in 0..items.len() {
        out.push_str(if item == 0 { "" } else { ", " });
        write(out, items, item, json);
    }
    out.push(']');
}

fn quote(out: &mut String, text: &str) {
    // A text always serialises.
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}

fn text(out: &mut String, text: &str, json: bool) {
    match json {
        true if serde_json::from_str::<&RawValue>(text).is_ok() => one_line(out, text),
        _ => quote(out, text),
    }
}

/// JSON without line ends between its tokens, as results travel one JSON document a line.
fn one_line(out: &mut String, json: &str) {
    let (mut in_string, mut escaped) = (false, false);
    for c in json.chars() {
        if in_string {
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else if c == '"' {
            in_string = true;
        } else if c.is_whitespace() {
            continue;
        }
        out.push(c);
        if !in_string && matches!(c, ',' | ':') {
            out.push(' ');
        }
    }
}

fn float(out: &mut String, value: f64, shortest: &str) {
    if value.is_nan() {
        out.push_str("\"NaN\"");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" });
    } else {
        // jsonb's numbers are numerics, which have no negative zero.
        out.push_str(if value == 0.0 { "0" } else { shortest });
    }
}

fn decimal(out: &mut String, unscaled: i128, scale: i8) {
    let scale = usize::try_from(scale).unwrap_or(0);
    let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale + 1);
    if unscaled < 0 {
        out.push('-');
    }
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    out.push_str(whole);
    if scale > 0 {
        out.push('.');
        out.push_str(fraction);
    }
}

fn bytes(out: &mut String, bytes: &[u8]) {
    out.push_str("\"\\\\x");
    for byte in bytes {
        let _ = write!(out, "{byte:02x}");
    }
    out.push('"');
}

fn uuid(out: &mut String, bytes: &[u8]) {
    out.push('"');
    for (index, byte) in bytes.iter().enumerate() {
        let dash = if matches!(index, 4 | 6 | 8 | 10) { "-" } else { "" };
        let _ = write!(out, "{dash}{byte:02x}");
    }
    out.push('"');
}

/// `2026-11-21` and the seconds behind it; a year before 1 counts as PostgreSQL counts it, with ` BC` at the end.
fn date_and_era(days: i64) -> (String, &'static str) {
    const MICROS_PER_DAY: i64 = 86_400_000_000;
    // Days beyond what microseconds can hold need only be shifted by whole 400-year eras of the calendar.
    const ERA_DAYS: i64 = 146_097;
    let eras = days.div_euclid(ERA_DAYS);
    let printed = units::print_instant(Timestamp(days.rem_euclid(ERA_DAYS) * MICROS_PER_DAY));
    let day = printed.split('T').next().unwrap_or_default();
    let (year, rest) = day.split_at(4);
    let year = year.parse::<i64>().unwrap_or(0) + eras * 400;
    if year > 0 {
        (format!("{year:04}{rest}"), "")
    } else {
        (format!("{:04}{rest}", 1 - year), " BC")
    }
}

fn date(out: &mut String, days: i32) {
    match days {
        i32::MAX => out.push_str("\"infinity\""),
        _ if days == -i32::MAX => out.push_str("\"-infinity\""),
        _ => {
            let (day, era) = date_and_era(i64::from(days));
            let _ = write!(out, "\"{day}{era}\"");
        }
    }
}

fn clock(micros: i64) -> String {
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let mut text = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if fraction != 0 {
        text.push_str(format!(".{fraction:06}").trim_end_matches('0'));
    }
    text
}

fn time(out: &mut String, micros: i64) {
    let _ = write!(out, "\"{}\"", clock(micros));
}

fn timestamp(out: &mut String, micros: i64, zone: bool) {
    match micros {
        i64::MAX => out.push_str("\"infinity\""),
        _ if micros == -i64::MAX => out.push_str("\"-infinity\""),
        _ => {
            let (day, era) = date_and_era(micros.div_euclid(86_400_000_000));
            let clock = clock(micros.rem_euclid(86_400_000_000));
            let _ = write!(out, "\"{day}T{clock}{}{era}\"", if zone { "+00:00" } else { "" });
        }
    }
}

/// `IntervalStyle = postgres` (PostgreSQL documentation, "Interval Output").
fn interval(months: i32, days: i32, micros: i64) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut negative_before = false;
    for (value, unit) in [(months / 12, "year"), (months % 12, "mon"), (days, "day")] {
        if value != 0 {
            // A positive part behind a negative one is marked, or it would be read as negative too.
            let sign = if negative_before && value > 0 { "+" } else { "" };
            let plural = if value == 1 { "" } else { "s" };
            parts.push(format!("{sign}{value} {unit}{plural}"));
            negative_before = value < 0;
        }
    }
    if micros != 0 || parts.is_empty() {
        let sign = match (micros < 0, negative_before) {
            (true, _) => "-",
            (false, true) => "+",
            (false, false) => "",
        };
        let magnitude = i64::try_from(micros.unsigned_abs()).unwrap_or(i64::MAX);
        parts.push(format!("{sign}{}", clock(magnitude)));
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(write: impl FnOnce(&mut String)) -> String {
        let mut out = String::new();
        write(&mut out);
        out
    }

    // What PostgreSQL 15 prints for to_jsonb of the same values.
    #[test]
    fn numbers_keep_every_digit() {
        assert_eq!(print(|out| decimal(out, 100, 2)), "1.00");
        assert_eq!(print(|out| decimal(out, -5, 2)), "-0.05");
        assert_eq!(
            print(|out| decimal(out, i128::from(i64::MAX) * 1_000_000_000, 0)),
            "9223372036854775807000000000"
        );
        let double = |value: f64| print(|out| float(out, value, &value.to_string()));
        assert_eq!(double(1e20), "100000000000000000000");
        assert_eq!(double(1e-7), "0.0000001");
        assert_eq!(
            (double(f64::NAN), double(-0.0), double(f64::NEG_INFINITY)),
            ("\"NaN\"".into(), "0".into(), "\"-Infinity\"".into())
        );
    }

    #[test]
    fn times_are_iso_8601_with_infinities_and_eras() {
        assert_eq!(
            print(|out| timestamp(out, 1_700_000_000_120_000, true)),
            "\"2023-11-14T22:13:20.12+00:00\""
        );
        assert_eq!(print(|out| timestamp(out, -1, false)), "\"1969-12-31T23:59:59.999999\"");
        assert_eq!(print(|out| timestamp(out, i64::MAX, true)), "\"infinity\"");
        assert_eq!(print(|out| date(out, -i32::MAX)), "\"-infinity\"");
        assert_eq!(print(|out| date(out, -735_160)), "\"0044-03-15 BC\"");
        assert_eq!(print(|out| date(out, 2_145_042_905)), "\"5874897-12-31\"");
        assert_eq!(print(|out| time(out, 86_400_000_000)), "\"24:00:00\"");
    }

    #[test]
    fn intervals_are_printed_as_postgresql_does() {
        assert_eq!(interval(14, 3, 14_706_789_000), "1 year 2 mons 3 days 04:05:06.789");
        assert_eq!(interval(-1, 5, 3_600_000_000), "-1 mons +5 days 01:00:00");
        assert_eq!(interval(0, -1, 1_000_000), "-1 days +00:00:01");
        assert_eq!(interval(0, 0, 0), "00:00:00");
        assert_eq!(interval(0, 0, -360_001_000_000), "-100:00:01");
    }

    #[test]
    fn json_stays_json_on_one_line() {
        assert_eq!(
            print(|out| text(out, "{\n \"a\\\" b\" : [1,\t2.50] }", true)),
            "{\"a\\\" b\": [1, 2.50]}"
        );
        assert_eq!(print(|out| text(out, "not json", true)), "\"not json\"");
        assert_eq!(print(|out| text(out, "{}", false)), "\"{}\"");
    }
}
