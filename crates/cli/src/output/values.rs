//! A query's result as JSON values, one per cell, ready for any format and for the control socket.

use arrow_array::RecordBatch;
use arrow_schema::Field;
use millstream_pgoutput::render;
use serde_json::value::RawValue;

use super::Column;
use crate::failure::Failure;

/// The warehouse's names of types whose values stand at the right; `DECIMAL(p,s)` besides.
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

/// The result's columns, from their names and the warehouse's names of their types.
pub fn columns(described: &[(String, String)]) -> Vec<Column> {
    let numeric = |type_name: &str| {
        NUMBERS.contains(&type_name) || (type_name.starts_with("DECIMAL(") && type_name.ends_with(')'))
    };
    described
        .iter()
        .map(|(name, type_name)| Column { name: name.clone(), numeric: numeric(type_name) })
        .collect()
}

/// The rows of a batch. `described` is what [`columns`] takes; it tells JSON from text.
pub fn rows(batch: &RecordBatch, described: &[(String, String)]) -> Result<Vec<Vec<Box<RawValue>>>, Failure> {
    let fields = render::result_fields(batch, described);
    let cell = |field: &Field, column: &dyn arrow_array::Array, row| {
        let mut text = String::new();
        render::write_json(field, column, row, &mut text)?;
        if text.contains(['\n', '\r']) {
            text = render::one_line(&text);
        }
        // Only what a column of type JSON holds can fail to be JSON: then it is shown as the text that it is.
        RawValue::from_string(text).or_else(|_| {
            let mut text = String::new();
            render::write_text(column, row, &mut text)?;
            serde_json::value::to_raw_value(&text).or_else(|_| Ok(RawValue::NULL.to_owned()))
        })
    };
    let row =
        |row| fields.iter().zip(batch.columns()).map(|(field, column)| cell(field, column, row)).collect();
    (0..batch.num_rows()).map(row).collect::<Result<_, render::RenderError>>().map_err(Failure::from)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Array, Decimal128Array, StringArray};
    use arrow_schema::Schema;

    use super::*;

    #[test]
    fn json_stays_json_on_one_line_and_numbers_keep_their_digits() {
        let texts = StringArray::from(vec![Some("{\n \"a\\\" \\n\" :\r\n 2.50}"), Some("no json"), None]);
        let decimals = Decimal128Array::from(vec![100, -5, 0]).with_precision_and_scale(10, 2).unwrap();
        let schema = Schema::new(vec![
            Field::new("j", texts.data_type().clone(), true),
            Field::new("t", texts.data_type().clone(), true),
            Field::new("d", decimals.data_type().clone(), true),
        ]);
        let texts = Arc::new(texts);
        let batch =
            RecordBatch::try_new(Arc::new(schema), vec![texts.clone(), texts, Arc::new(decimals)]).unwrap();
        let described = [("j", "JSON"), ("t", "VARCHAR"), ("d", "DECIMAL(10,2)")]
            .map(|(name, type_name)| (name.to_owned(), type_name.to_owned()));
        assert_eq!(
            columns(&described).iter().map(|column| column.numeric).collect::<Vec<_>>(),
            [false, false, true]
        );
        let printed: Vec<String> = rows(&batch, &described)
            .unwrap()
            .iter()
            .map(|row| row.iter().map(|value| value.get()).collect::<Vec<_>>().join("|"))
            .collect();
        assert_eq!(printed[0], r#"{  "a\" \n" :   2.50}|"{\n \"a\\\" \\n\" :\r\n 2.50}"|1.00"#);
        assert_eq!(printed[1], r#""no json"|"no json"|-0.05"#);
        assert_eq!(printed[2], "null|null|0.00");
    }

    #[test]
    fn the_elements_of_a_list_of_json_are_json_and_no_texts() {
        let mut lists = arrow_array::builder::ListBuilder::new(arrow_array::builder::StringBuilder::new());
        lists.append_value([Some("null"), Some("{\"a\": 1.50}"), None]);
        let lists = Arc::new(lists.finish());
        let schema = Schema::new(vec![
            Field::new("j", lists.data_type().clone(), true),
            Field::new("t", lists.data_type().clone(), true),
        ]);
        let batch = RecordBatch::try_new(Arc::new(schema), vec![lists.clone(), lists]).unwrap();
        let described = [("j", "JSON[]"), ("t", "VARCHAR[]")]
            .map(|(name, type_name)| (name.to_owned(), type_name.to_owned()));
        let printed = rows(&batch, &described).unwrap();
        assert_eq!(printed[0][0].get(), r#"[null, {"a": 1.50}, null]"#);
        assert_eq!(printed[0][1].get(), r#"["null", "{\"a\": 1.50}", null]"#);
    }
}
