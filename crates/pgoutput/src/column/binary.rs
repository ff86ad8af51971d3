//! Values in PostgreSQL's binary form, as COPY sends them.

use millstream_core::TypeKind;

use super::{push_list, Values};
use crate::value::{
    array, datetime, interval, number,
    send::{jsonb, write_as_text},
    Fault, Parsed, NO_BINARY,
};

/// `int2send`, `int4send`, `int8send`, `oidsend`.
#[inline]
fn integer(kind: &TypeKind, bytes: &[u8]) -> Parsed<i64> {
    let value = match kind {
        TypeKind::Int4 => bytes.try_into().map(|bytes| i32::from_be_bytes(bytes).into()),
        TypeKind::Int8 => bytes.try_into().map(i64::from_be_bytes),
        TypeKind::Int2 => bytes.try_into().map(|bytes| i16::from_be_bytes(bytes).into()),
        TypeKind::Oid => bytes.try_into().map(|bytes| u32::from_be_bytes(bytes).into()),
        _ => return Err(NO_BINARY),
    };
    value.map_err(|_| Fault::Malformed("an integer of another length"))
}

/// `float4send`. There is one NaN: which of its many bit patterns was stored is nothing that PostgreSQL ever shows.
fn single(bytes: &[u8]) -> Parsed<f32> {
    let value = f32::from_be_bytes(bytes.try_into().map_err(|_| Fault::Malformed("not four bytes"))?);
    Ok(if value.is_nan() { f32::NAN } else { value })
}

/// `float8send`.
fn double(bytes: &[u8]) -> Parsed<f64> {
    let value = f64::from_be_bytes(bytes.try_into().map_err(|_| Fault::Malformed("not eight bytes"))?);
    Ok(if value.is_nan() { f64::NAN } else { value })
}

impl Values {
    pub(super) fn push_binary(&mut self, kind: &TypeKind, bytes: &[u8]) -> Parsed<()> {
        match (self, kind) {
            (Values::Text(values), TypeKind::Text | TypeKind::Enum | TypeKind::Json) => {
                return values.push_text(bytes);
            }
            (Values::Text(values), TypeKind::Jsonb) => return values.push_text(jsonb(bytes)?),
            // Copied when the column was narrower.
            (Values::Text(values), _) => {
                let written = write_as_text(kind, bytes, &mut values.bytes);
                if written.is_err() {
                    values.reopen();
                }
                written?;
                return values.close();
            }
            (Values::Integer(values), _) => values.push(number::narrow(integer(kind, bytes)?)?),
            (Values::BigInt(values), _) => values.push(integer(kind, bytes)?),
            (Values::SmallInt(values), _) => values.push(number::narrow(integer(kind, bytes)?)?),
            (Values::UInteger(values), _) => values.push(number::narrow(integer(kind, bytes)?)?),
            (Values::Decimal { values, precision, scale }, TypeKind::Numeric { .. }) => {
                values.push(number::decimal_from_binary(bytes, *precision, *scale)?);
            }
            (Values::Decimal { values, precision, scale }, _) => {
                values.push(number::decimal_from_i64(integer(kind, bytes)?, *precision, *scale)?);
            }
            (Values::Timestamp { values, .. }, TypeKind::Timestamp | TypeKind::TimestampTz) => {
                values.push(datetime::timestamp_from_binary(bytes)?);
            }
            (Values::Boolean(values), TypeKind::Bool) => match bytes {
                [0] => values.append(false),
                [1] => values.append(true),
                _ => return Err(Fault::Malformed("not a boolean")),
            },
            (Values::Real(values), TypeKind::Float4) => values.push(single(bytes)?),
            (Values::Real(values), _) => values.push(integer(kind, bytes)? as f32),
            (Values::Double(values), TypeKind::Float8) => values.push(double(bytes)?),
            (Values::Double(values), TypeKind::Float4) => values.push(single(bytes)?.into()),
            (Values::Double(values), _) => values.push(integer(kind, bytes)? as f64),
            (Values::Date(values), TypeKind::Date) => values.push(datetime::date_from_binary(bytes)?),
            (Values::Time(values), TypeKind::Time) => values.push(datetime::time_from_binary(bytes)?),
            (Values::Interval(values), TypeKind::Interval) => {
                values.push(interval::interval_from_binary(bytes)?);
            }
            (Values::Uuid(values), TypeKind::Uuid) => {
                if bytes.len() != 16 {
                    return Err(Fault::Malformed("not sixteen bytes"));
                }
                values.extend_from_slice(bytes);
            }
            (Values::Blob(values), TypeKind::Bytea) => return values.push(bytes),
            (Values::List { offsets, items }, TypeKind::Array(_)) => {
                return push_list(offsets, items, |items| {
                    array::each_of_binary(bytes, |item| items.push_item(item, Values::push_binary))
                });
            }
            _ => return Err(NO_BINARY),
        }
        Ok(())
    }
}
