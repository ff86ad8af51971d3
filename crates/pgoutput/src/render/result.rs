//! What a warehouse's result needs beside its Arrow types: which of its texts are JSON.

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field};
use millstream_core::ColumnType;

use crate::types::arrow_field;

/// A batch's fields for [`super::write_json`]. `columns`: names, and the warehouse's names of their types, which tell JSON from text.
pub fn result_fields(batch: &RecordBatch, columns: &[(String, String)]) -> Vec<Field> {
    let schema = batch.schema();
    let described = columns.iter().map(|(_, type_name)| type_name.as_str()).chain(std::iter::repeat(""));
    schema
        .fields()
        .iter()
        .zip(described)
        .map(|(field, type_name)| {
            let json = match type_name {
                "JSON" => Some(ColumnType::Json),
                "JSON[]" => Some(ColumnType::List(Box::new(ColumnType::Json))),
                _ => None,
            };
            json.map_or_else(|| field.as_ref().clone(), |json| arrow_field(field.name(), &json))
        })
        .collect()
}

/// Whether its texts are JSON, or claim to be.
pub fn is_json(field: &Field) -> bool {
    match field.data_type() {
        DataType::List(item) => is_json(item),
        _ => field.extension_type_name() == Some("arrow.json"),
    }
}

/// JSON without line ends between its tokens; those within strings are escaped already.
pub fn one_line(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let (mut in_string, mut escaped) = (false, false);
    for c in json.chars() {
        if in_string {
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else if c == '"' {
            in_string = true;
        } else if matches!(c, '\n' | '\r') {
            out.push(' ');
            continue;
        }
        out.push(c);
    }
    out
}
