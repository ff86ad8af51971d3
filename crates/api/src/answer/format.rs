//! The formats of answers.

use arrow_schema::Field;
use millstream_core::{warehouse::QueryResult, Diagnostic};
use millstream_pgoutput::render::{self, RenderError};

/// A format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// An array of objects.
    Json,
    /// A line of names, then lines of values (RFC 4180). NULL is nothing, the empty text is `""`.
    Csv,
    /// An object a line.
    Ndjson,
}

impl Format {
    /// All, the default first.
    pub const ALL: [Format; 3] = [Format::Json, Format::Csv, Format::Ndjson];

    /// Behind a path.
    pub fn suffix(self) -> &'static str {
        match self {
            Format::Json => ".json",
            Format::Csv => ".csv",
            Format::Ndjson => ".ndjson",
        }
    }

    /// Its media type, with its parameters.
    pub fn media_type(self) -> &'static str {
        match self {
            Format::Json => "application/json",
            Format::Csv => "text/csv; charset=utf-8; header=present",
            Format::Ndjson => "application/x-ndjson",
        }
    }

    /// Its media type alone.
    pub fn essence(self) -> &'static str {
        self.media_type().split(';').next().unwrap_or_default()
    }

    /// A result in it.
    pub fn print(self, result: &QueryResult) -> Result<String, RenderError> {
        let fields = |batch: &arrow_array::RecordBatch| render::result_fields(batch, &result.columns);
        let names: Vec<&str> = result.columns.iter().map(|(name, _)| name.as_str()).collect();
        let mut out = String::new();
        match self {
            Format::Json | Format::Ndjson => {
                let keys = keys(&names);
                let (open, between, close) =
                    if self == Format::Json { ("[", ",", "]") } else { ("", "\n", "\n") };
                out.push_str(open);
                let mut first = true;
                for batch in &result.batches {
                    let fields = fields(batch);
                    for row in 0..batch.num_rows() {
                        if !std::mem::take(&mut first) {
                            out.push_str(between);
                        }
                        object(&mut out, &keys, &fields, batch, row)?;
                    }
                }
                if self == Format::Json || !first {
                    out.push_str(close);
                }
            }
            Format::Csv => {
                line(&mut out, names.iter().map(|name| Some(*name)));
                for batch in &result.batches {
                    for row in 0..batch.num_rows() {
                        let cells = (0..batch.num_columns())
                            .map(|column| cell(batch.column(column).as_ref(), row))
                            .collect::<Result<Vec<_>, _>>()?;
                        line(&mut out, cells.iter().map(Option::as_deref));
                    }
                }
            }
        }
        Ok(out)
    }
}

/// `"name":` of each column; of equal names the later ones get a number, as no object may have one twice.
fn keys(names: &[&str]) -> Vec<String> {
    let mut taken = std::collections::HashSet::new();
    names
        .iter()
        .map(|name| {
            let mut free = (*name).to_owned();
            let mut number = 1;
            while !taken.insert(free.clone()) {
                number += 1;
                free = format!("{name}_{number}");
            }
            let mut key = String::new();
            render::write_json_string(&free, &mut key);
            key.push(':');
            key
        })
        .collect()
}

fn object(
    out: &mut String,
    keys: &[String],
    fields: &[Field],
    batch: &arrow_array::RecordBatch,
    row: usize,
) -> Result<(), RenderError> {
    out.push('{');
    for (column, (key, field)) in keys.iter().zip(fields).enumerate() {
        if column > 0 {
            out.push(',');
        }
        out.push_str(key);
        let start = out.len();
        render::write_json(field, batch.column(column).as_ref(), row, out)?;
        // What a column of type JSON holds is printed as it came, which may be over several lines, and may be no JSON.
        if render::is_json(field) && serde_json::from_str::<serde::de::IgnoredAny>(&out[start..]).is_err() {
            out.truncate(start);
            let mut text = String::new();
            render::write_text(batch.column(column).as_ref(), row, &mut text)?;
            render::write_json_string(&text, out);
        }
        if out[start..].contains(['\n', '\r']) {
            let flat = render::one_line(&out[start..]);
            out.truncate(start);
            out.push_str(&flat);
        }
    }
    out.push('}');
    Ok(())
}

/// A cell as PostgreSQL prints it; `None` for NULL.
pub fn cell(array: &dyn arrow_array::Array, row: usize) -> Result<Option<String>, RenderError> {
    if array.is_null(row) {
        return Ok(None);
    }
    let mut text = String::new();
    render::write_text(array, row, &mut text)?;
    Ok(Some(text))
}

fn line<'a>(out: &mut String, cells: impl Iterator<Item = Option<&'a str>>) {
    for (column, cell) in cells.enumerate() {
        if column > 0 {
            out.push(',');
        }
        match cell {
            None => {}
            Some(text) if text.is_empty() || text.contains([',', '"', '\n', '\r']) => {
                out.push('"');
                out.push_str(&text.replace('"', "\"\""));
                out.push('"');
            }
            Some(text) => out.push_str(text),
        }
    }
    out.push_str("\r\n");
}

/// What of an error of printing a client is told.
pub(crate) fn hint(error: &RenderError) -> Option<String> {
    error.hint()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};

    use super::*;

    fn result() -> QueryResult {
        let columns: [(&str, &str, ArrayRef); 3] = [
            ("n", "BIGINT", Arc::new(Int64Array::from(vec![Some(9_007_199_254_740_993), None]))),
            ("t", "VARCHAR", Arc::new(StringArray::from(vec![Some("a \"b\", c\n"), Some("")]))),
            ("t", "JSON", Arc::new(StringArray::from(vec![Some("{\"x\":\n 1}"), Some("no json")]))),
        ];
        let batch = RecordBatch::try_from_iter_with_nullable(
            columns
                .iter()
                .enumerate()
                .map(|(index, (_, _, array))| (format!("c{index}"), array.clone(), true)),
        )
        .unwrap();
        QueryResult {
            columns: columns.iter().map(|(name, of, _)| ((*name).into(), (*of).into())).collect(),
            batches: vec![batch],
        }
    }

    #[test]
    fn json_keeps_every_digit_and_names_columns_once() {
        let text = Format::Json.print(&result()).unwrap();
        assert_eq!(
            text,
            r#"[{"n":9007199254740993,"t":"a \"b\", c\n","t_2":{"x":  1}},{"n":null,"t":"","t_2":"no json"}]"#
        );
        assert_eq!(Format::Ndjson.print(&result()).unwrap().lines().count(), 2);
    }

    #[test]
    fn csv_tells_null_from_the_empty_text() {
        let text = Format::Csv.print(&result()).unwrap();
        assert_eq!(
            text,
            "n,t,t\r\n9007199254740993,\"a \"\"b\"\", c\n\",\"{\"\"x\"\":\n 1}\"\r\n,\"\",no json\r\n"
        );
    }

    #[test]
    fn nothing_is_an_empty_answer_of_its_format() {
        let empty = QueryResult { batches: Vec::new(), ..result() };
        assert_eq!(Format::Json.print(&empty).unwrap(), "[]");
        assert_eq!(Format::Ndjson.print(&empty).unwrap(), "");
        assert_eq!(Format::Csv.print(&empty).unwrap(), "n,t,t\r\n");
    }
}
