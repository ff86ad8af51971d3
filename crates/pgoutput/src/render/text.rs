//! PostgreSQL's text output.

use arrow_array::{
    cast::AsArray,
    types::{Float16Type, Float32Type, Float64Type},
    Array, ArrayRef,
};
use arrow_schema::DataType;

use super::{
    scalar::{self, unknown, Style},
    RenderError,
};
use crate::value::{
    array::write_element,
    float::{write_f32, write_f64},
};

pub(super) fn write(array: &dyn Array, row: usize, out: &mut Vec<u8>) -> Result<(), RenderError> {
    if array.is_null(row) {
        return Ok(());
    }
    if let Some(text) = scalar::string(array, row) {
        out.extend_from_slice(text.as_bytes());
        return Ok(());
    }
    if scalar::write_any_integer(array, row, out) || scalar::write_any_decimal(array, row, out) {
        return Ok(());
    }
    match array.data_type() {
        DataType::Null => Ok(()),
        DataType::Boolean => {
            out.push(if array.as_boolean().value(row) { b't' } else { b'f' });
            Ok(())
        }
        DataType::Float16 => {
            write_f32(out, array.as_primitive::<Float16Type>().value(row).to_f32());
            Ok(())
        }
        DataType::Float32 => {
            write_f32(out, array.as_primitive::<Float32Type>().value(row));
            Ok(())
        }
        DataType::Float64 => {
            write_f64(out, array.as_primitive::<Float64Type>().value(row));
            Ok(())
        }
        DataType::Struct(_) => write_composite(array, row, out),
        DataType::Map(..) => write_map(array, row, out),
        DataType::Union(..) => {
            let union = array.as_union_opt().ok_or_else(|| unknown(array))?;
            write(&union.value(row), 0, out)
        }
        DataType::Dictionary(..) => {
            let (values, row) = dictionary(array, row).ok_or_else(|| unknown(array))?;
            write(values, row, out)
        }
        _ => match list(array, row) {
            Some(items) => write_list(&items, out),
            None => scalar::write_other(array, row, Style::Text, out),
        },
    }
}

/// The items of a list of any layout.
pub(super) fn list(array: &dyn Array, row: usize) -> Option<ArrayRef> {
    Some(match array.data_type() {
        DataType::List(_) => array.as_list::<i32>().value(row),
        DataType::LargeList(_) => array.as_list::<i64>().value(row),
        DataType::ListView(_) => array.as_list_view::<i32>().value(row),
        DataType::LargeListView(_) => array.as_list_view::<i64>().value(row),
        DataType::FixedSizeList(..) => array.as_fixed_size_list().value(row),
        _ => return None,
    })
}

/// The values of a dictionary and which of them stands at a row; NULL keys are handled before.
pub(super) fn dictionary(array: &dyn Array, row: usize) -> Option<(&dyn Array, usize)> {
    let dictionary = array.as_any_dictionary_opt()?;
    let key = scalar::integer(dictionary.keys(), row)?;
    Some((dictionary.values().as_ref(), usize::try_from(key).ok()?))
}

/// `{1,NULL,"a b"}`; lists in it are further dimensions.
fn write_list(items: &ArrayRef, out: &mut Vec<u8>) -> Result<(), RenderError> {
    out.push(b'{');
    let mut element = Vec::new();
    for row in 0..items.len() {
        if row > 0 {
            out.push(b',');
        }
        if items.is_null(row) {
            out.extend_from_slice(b"NULL");
        } else if let Some(inner) = list(items, row) {
            write_list(&inner, out)?;
        } else {
            element.clear();
            write(items, row, &mut element)?;
            write_element(out, &element);
        }
    }
    out.push(b'}');
    Ok(())
}

/// `(1,"a b",)`, as `record_out` prints a composite: NULL is nothing, quotes and backslashes are doubled.
fn write_composite(array: &dyn Array, row: usize, out: &mut Vec<u8>) -> Result<(), RenderError> {
    out.push(b'(');
    let mut field = Vec::new();
    for (index, column) in array.as_struct().columns().iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        if column.is_null(row) {
            continue;
        }
        field.clear();
        write(column, row, &mut field)?;
        let needs_quotes = field.is_empty()
            || field
                .iter()
                .any(|byte| matches!(byte, b'"' | b'\\' | b'(' | b')' | b',' | b' ' | b'\t'..=b'\r'));
        if !needs_quotes {
            out.extend_from_slice(&field);
            continue;
        }
        out.push(b'"');
        for &byte in &field {
            if matches!(byte, b'"' | b'\\') {
                out.push(byte);
            }
            out.push(byte);
        }
        out.push(b'"');
    }
    out.push(b')');
    Ok(())
}

/// `{key=value, key=value}`: DuckDB's own form, PostgreSQL having none.
fn write_map(array: &dyn Array, row: usize, out: &mut Vec<u8>) -> Result<(), RenderError> {
    let entries = array.as_map().value(row);
    let (keys, values) = (entries.column(0), entries.column(1));
    out.push(b'{');
    for entry in 0..entries.len() {
        if entry > 0 {
            out.extend_from_slice(b", ");
        }
        write(keys, entry, out)?;
        out.push(b'=');
        if values.is_null(entry) {
            out.extend_from_slice(b"NULL");
        } else {
            write(values, entry, out)?;
        }
    }
    out.push(b'}');
    Ok(())
}
