//! The formats of answers.

use arrow_schema::{ArrowError, Field};
use bytes::Bytes;
use millstream_core::{warehouse::QueryResult, Diagnostic};
use millstream_pgoutput::render::{self, RenderError};

use super::columnar;

/// Why a result can't be given in a format.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// A value has no text.
    #[error(transparent)]
    Text(#[from] RenderError),
    /// A column can't be written as Arrow.
    #[error("the result can't be written as Arrow")]
    Arrow(#[from] ArrowError),
    /// A column can't be written as Parquet.
    #[error("the result can't be written as Parquet")]
    Parquet(#[from] parquet::errors::ParquetError),
}

impl FormatError {
    /// What a client can do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            FormatError::Text(error) => error.hint(),
            FormatError::Arrow(error) => Some(format!("{error}. Ask for JSON, or cast the column.")),
            FormatError::Parquet(error) => Some(format!("{error}. Ask for JSON, or cast the column.")),
        }
    }
}

/// A format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// An array of objects.
    Json,
    /// A line of names, then lines of values (RFC 4180). NULL is nothing, the empty text is `""`.
    Csv,
    /// An object a line.
    Ndjson,
    /// A Parquet file of one row group, compressed with Snappy.
    Parquet,
    /// Arrow's stream of record batches.
    Arrow,
}

impl Format {
    /// All, the default first.
    pub const ALL: [Format; 5] = [Format::Json, Format::Csv, Format::Ndjson, Format::Parquet, Format::Arrow];

    /// Behind a path.
    pub fn suffix(self) -> &'static str {
        match self {
            Format::Json => ".json",
            Format::Csv => ".csv",
            Format::Ndjson => ".ndjson",
            Format::Parquet => ".parquet",
            Format::Arrow => ".arrow",
        }
    }

    /// Its media type, with its parameters.
    pub fn media_type(self) -> &'static str {
        match self {
            Format::Json => "application/json",
            Format::Csv => "text/csv; charset=utf-8; header=present",
            Format::Ndjson => "application/x-ndjson",
            Format::Parquet => "application/vnd.apache.parquet",
            Format::Arrow => "application/vnd.apache.arrow.stream",
        }
    }

    /// Its media type alone.
    pub fn essence(self) -> &'static str {
        self.media_type().split(';').next().unwrap_or_default()
    }

    /// Whether it is text, which gets much smaller when compressed.
    pub fn is_text(self) -> bool {
        matches!(self, Format::Json | Format::Csv | Format::Ndjson)
    }

    /// A result in it.
    pub fn print(self, result: &QueryResult) -> Result<Bytes, FormatError> {
        Ok(match self {
            Format::Json => objects(result, "[", ",", "]")?.into(),
            Format::Ndjson => match objects(result, "", "\n", "\n")? {
                // No rows are no line.
                text if text == "\n" => Bytes::new(),
                text => text.into(),
            },
            Format::Csv => csv(result)?.into(),
            Format::Parquet => columnar::parquet(result)?.into(),
            Format::Arrow => columnar::arrow(result)?.into(),
        })
    }
}

/// Rows as objects.
fn objects(result: &QueryResult, open: &str, between: &str, close: &str) -> Result<String, RenderError> {
    let keys = keys(result);
    let mut out = String::from(open);
    let mut first = true;
    for batch in &result.batches {
        let fields = render::result_fields(batch, &result.columns);
        for row in 0..batch.num_rows() {
            if !std::mem::take(&mut first) {
                out.push_str(between);
            }
            object(&mut out, &keys, &fields, batch, row)?;
        }
    }
    out.push_str(close);
    Ok(out)
}

/// A result's rows as objects, printed once for all answers that are its beginning: where it changes all the time and everybody wants another number of
/// its rows, hardly any answer is asked for twice.
#[derive(Debug, Default)]
pub(super) struct Objects {
    /// As far as somebody wanted them.
    text: String,
    /// Where each row ends in it.
    ends: Vec<usize>,
}

impl Objects {
    /// The first so many rows as [`Format::Json`] prints them, of a result that is always the same.
    pub(super) fn first(&mut self, result: &QueryResult, rows: usize) -> Result<Bytes, FormatError> {
        if self.ends.len() < rows {
            self.extend(result, rows)?;
        }
        let end = rows.min(self.ends.len()).checked_sub(1).map_or(0, |last| self.ends[last]);
        let mut out = String::with_capacity(end + 2);
        out.push('[');
        out.push_str(&self.text[..end]);
        out.push(']');
        Ok(out.into())
    }

    fn extend(&mut self, result: &QueryResult, rows: usize) -> Result<(), FormatError> {
        let keys = keys(result);
        let mut before = 0;
        for batch in &result.batches {
            let fields = render::result_fields(batch, &result.columns);
            let printed = self.ends.len().saturating_sub(before);
            for row in printed..batch.num_rows().min(rows.saturating_sub(before)) {
                let start = self.text.len();
                if start > 0 {
                    self.text.push(',');
                }
                if let Err(error) = object(&mut self.text, &keys, &fields, batch, row) {
                    self.text.truncate(start);
                    return Err(error.into());
                }
                self.ends.push(self.text.len());
            }
            before += batch.num_rows();
        }
        Ok(())
    }
}

fn csv(result: &QueryResult) -> Result<String, RenderError> {
    let mut out = String::new();
    line(&mut out, result.columns.iter().map(|(name, _)| Some(name.as_str())));
    for batch in &result.batches {
        for row in 0..batch.num_rows() {
            let cells = (0..batch.num_columns())
                .map(|column| cell(batch.column(column).as_ref(), row))
                .collect::<Result<Vec<_>, _>>()?;
            line(&mut out, cells.iter().map(Option::as_deref));
        }
    }
    Ok(out)
}

/// The columns' names; of equal ones the later ones get a number, as nothing may have one twice.
pub(super) fn unique_names(result: &QueryResult) -> Vec<String> {
    let mut taken = std::collections::HashSet::new();
    result
        .columns
        .iter()
        .map(|(name, _)| {
            let mut free = name.clone();
            let mut number = 1;
            while !taken.insert(free.clone()) {
                number += 1;
                free = format!("{name}_{number}");
            }
            free
        })
        .collect()
}

/// `"name":` of each column.
fn keys(result: &QueryResult) -> Vec<String> {
    let print = |name: String| {
        let mut key = String::new();
        render::write_json_string(&name, &mut key);
        key.push(':');
        key
    };
    unique_names(result).into_iter().map(print).collect()
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

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};

    use super::*;
    use crate::answer::read::{cut, Page};

    pub(in crate::answer) fn result() -> QueryResult {
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
        assert_eq!(Format::Ndjson.print(&result()).unwrap().iter().filter(|byte| **byte == b'\n').count(), 2);
    }

    #[test]
    fn the_beginning_of_rows_that_are_printed_once_is_what_it_would_be_alone() {
        let one = result();
        let whole = QueryResult { batches: [one.batches.clone(), one.batches.clone()].concat(), ..one };
        let mut objects = Objects::default();
        // Fewer behind more, and more than there are.
        for rows in [0, 1, 3, 2, 4, 9, 0] {
            let page = Page { offset: 0, limit: rows };
            let (alone, _) = cut(whole.clone(), page);
            assert_eq!(
                objects.first(&whole, rows).unwrap(),
                Format::Json.print(&alone).unwrap(),
                "{rows} rows"
            );
        }
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
