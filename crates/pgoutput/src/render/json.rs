//! JSON as `to_jsonb` prints it: `, ` and `: ` between parts, numbers without exponent, what JSON has no number for as a string.

use arrow_array::{
    cast::AsArray,
    types::{Float16Type, Float32Type, Float64Type},
    Array,
};
use arrow_schema::{DataType, Field};

use super::{
    scalar::{self, unknown, Style},
    text::{self, dictionary, list},
    RenderError,
};
use crate::{
    types::JSON_EXTENSION,
    value::float::{write_f32, write_f64, write_plain_float},
};

const NULL: &[u8] = b"null";

pub(super) fn write(
    field: &Field,
    array: &dyn Array,
    row: usize,
    out: &mut Vec<u8>,
) -> Result<(), RenderError> {
    if array.is_null(row) {
        out.extend_from_slice(NULL);
        return Ok(());
    }
    if let Some(text) = scalar::string(array, row) {
        if field.extension_type_name() == Some(JSON_EXTENSION) {
            out.extend_from_slice(text.as_bytes());
        } else {
            write_string(text, out);
        }
        return Ok(());
    }
    if scalar::write_any_integer(array, row, out) || scalar::write_any_decimal(array, row, out) {
        return Ok(());
    }
    match array.data_type() {
        DataType::Null => out.extend_from_slice(NULL),
        DataType::Boolean => {
            out.extend_from_slice(if array.as_boolean().value(row) { b"true" } else { b"false" });
        }
        DataType::Float16 => {
            write_float(out, |out| write_f32(out, array.as_primitive::<Float16Type>().value(row).to_f32()));
        }
        DataType::Float32 => {
            write_float(out, |out| write_f32(out, array.as_primitive::<Float32Type>().value(row)));
        }
        DataType::Float64 => {
            write_float(out, |out| write_f64(out, array.as_primitive::<Float64Type>().value(row)));
        }
        DataType::Struct(fields) => {
            out.push(b'{');
            for (index, (field, column)) in fields.iter().zip(array.as_struct().columns()).enumerate() {
                if index > 0 {
                    out.extend_from_slice(b", ");
                }
                write_string(field.name(), out);
                out.extend_from_slice(b": ");
                write(field, column, row, out)?;
            }
            out.push(b'}');
        }
        DataType::Map(entries, _) => write_map(entries, array, row, out)?,
        DataType::Union(fields, _) => {
            let union = array.as_union_opt().ok_or_else(|| unknown(array))?;
            let type_id = union.type_id(row);
            let field = fields.iter().find(|(id, _)| *id == type_id).ok_or_else(|| unknown(array))?.1;
            write(field, &union.value(row), 0, out)?;
        }
        DataType::Dictionary(..) => {
            let (values, row) = dictionary(array, row).ok_or_else(|| unknown(array))?;
            write(field, values, row, out)?;
        }
        data_type => match (data_type, list(array, row)) {
            (
                DataType::List(item)
                | DataType::LargeList(item)
                | DataType::ListView(item)
                | DataType::LargeListView(item)
                | DataType::FixedSizeList(item, _),
                Some(items),
            ) => {
                // The caller's field may say of the elements what the array itself does not know, such as that they are JSON.
                let item = match field.data_type() {
                    DataType::List(told) => told,
                    _ => item,
                };
                out.push(b'[');
                for row in 0..items.len() {
                    if row > 0 {
                        out.extend_from_slice(b", ");
                    }
                    write(item, &items, row, out)?;
                }
                out.push(b']');
            }
            (data_type, _) => {
                out.push(b'"');
                if matches!(data_type, DataType::FixedSizeBinary(size) if *size != 16)
                    || matches!(data_type, DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
                {
                    // The backslash of `\x` is the only character of these forms that JSON escapes.
                    out.push(b'\\');
                }
                scalar::write_other(array, row, Style::Json, out)?;
                out.push(b'"');
            }
        },
    }
    Ok(())
}

/// A map as an object, its keys as text.
fn write_map(entries: &Field, array: &dyn Array, row: usize, out: &mut Vec<u8>) -> Result<(), RenderError> {
    let DataType::Struct(fields) = entries.data_type() else {
        return Err(unknown(array));
    };
    let entries = array.as_map().value(row);
    let (keys, values) = (entries.column(0), entries.column(1));
    let mut key = Vec::new();
    out.push(b'{');
    for entry in 0..entries.len() {
        if entry > 0 {
            out.extend_from_slice(b", ");
        }
        key.clear();
        text::write(keys, entry, &mut key)?;
        write_escaped(&key, out);
        out.extend_from_slice(b": ");
        write(&fields[1], values, entry, out)?;
    }
    out.push(b'}');
    Ok(())
}

/// jsonb keeps numbers as `numeric`: no exponent, no negative zero; NaN and the infinities are strings.
fn write_float(out: &mut Vec<u8>, text: impl Fn(&mut Vec<u8>)) {
    let mut shortest = Vec::with_capacity(24);
    text(&mut shortest);
    if shortest.ends_with(b"N") || shortest.ends_with(b"y") {
        out.push(b'"');
        out.extend_from_slice(&shortest);
        out.push(b'"');
    } else {
        write_plain_float(out, &shortest);
    }
}

pub(super) fn write_string(text: &str, out: &mut Vec<u8>) {
    write_escaped(text.as_bytes(), out);
}

/// As PostgreSQL's `escape_json`: only what JSON demands.
fn write_escaped(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let mut plain_from = 0;
    for (at, &byte) in text.iter().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0x08 => b"\\b",
            0x0c => b"\\f",
            0..=0x1f => b"\\u00",
            _ => continue,
        };
        out.extend_from_slice(&text[plain_from..at]);
        out.extend_from_slice(escape);
        if escape.len() == 4 {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
        plain_from = at + 1;
    }
    out.extend_from_slice(&text[plain_from..]);
    out.push(b'"');
}
