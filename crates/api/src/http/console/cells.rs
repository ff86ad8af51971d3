//! Rows as the UI takes them: each cell the text that PostgreSQL would print, or null. A browser's numbers would lose digits.

use arrow_array::RecordBatch;
use millstream_core::{Lsn, Piece};
use millstream_pgoutput::render;
use serde_json::{json, Value};

use super::super::route::Site;
use crate::{
    answer::{format, Asked},
    problem::Problem,
};

/// Bytes of the rows of one answer: far more than a page can show, little beside what a browser has.
pub(super) const BYTES_MAX: usize = 16 << 20;

/// A result as text.
pub(super) struct Cells {
    /// Names of the columns, and the warehouse's names of their types.
    pub(super) columns: Vec<(String, String)>,
    /// The rows as JSON arrays with commas between.
    rows: String,
    /// How many.
    pub(super) count: usize,
    /// Whether there are more.
    pub(super) cut: Option<Cut>,
    /// Everything committed at or before it is in it.
    pub(super) position: Lsn,
}

/// What ended an answer before its rows did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// As many rows as were asked for.
    Rows,
    /// As many bytes as an answer may have.
    Bytes,
}

impl Cells {
    /// Adds rows while there is room; whether there is some left.
    fn take(&mut self, batch: &RecordBatch, rows_max: usize) -> Result<bool, Problem> {
        for row in 0..batch.num_rows() {
            if self.count == rows_max {
                self.cut = Some(Cut::Rows);
                return Ok(false);
            }
            if self.rows.len() > BYTES_MAX {
                self.cut = Some(Cut::Bytes);
                return Ok(false);
            }
            self.rows.push_str(if self.count == 0 { "[" } else { ",[" });
            for (index, column) in batch.columns().iter().enumerate() {
                if index > 0 {
                    self.rows.push(',');
                }
                let cell = format::cell(column.as_ref(), row)
                    .map_err(|error| Problem::malformed(error.to_string()))?;
                match cell {
                    Some(text) => render::write_json_string(&text, &mut self.rows),
                    None => self.rows.push_str("null"),
                }
            }
            self.rows.push(']');
            self.count += 1;
        }
        Ok(true)
    }

    /// The rows one by one.
    pub(super) fn rows(&self) -> Result<Vec<Vec<Option<String>>>, Problem> {
        serde_json::from_str(&format!("[{}]", self.rows))
            .map_err(|error| Problem::malformed(error.to_string()))
    }

    /// The first cell of the first row, where it is a number.
    pub(super) fn first_number(&self) -> Option<u64> {
        self.rows().ok()?.first()?.first()?.as_ref()?.parse().ok()
    }

    /// The document, with other members behind columns and rows.
    pub(super) fn document(&self, others: &[(&str, Value)]) -> String {
        let columns: Vec<Value> =
            self.columns.iter().map(|(name, of)| json!({"name": name, "type": of})).collect();
        let mut text = format!("{{\"columns\":{},\"rows\":[{}]", Value::from(columns), self.rows);
        text.push_str(&format!(",\"position\":\"{}\"", self.position));
        for (name, value) in others {
            text.push_str(&format!(",\"{name}\":{value}"));
        }
        text.push('}');
        text
    }
}

/// Reads. At most as many rows as the question's page has are given; whether there are more is said.
pub(super) async fn read(site: &Site, asked: Asked, doing: &'static str) -> Result<Cells, Problem> {
    let rows_max = asked.page.limit;
    let read = site.answers.reading().at_position(asked, doing, move |reader, query, position| {
        let mut cells = Cells { columns: Vec::new(), rows: String::new(), count: 0, cut: None, position };
        let mut wrong = None;
        let mut take = |piece: Piece<'_>| match piece {
            Piece::Columns(columns) => {
                cells.columns = columns.to_vec();
                true
            }
            Piece::Rows(batch) => cells.take(&batch, rows_max).unwrap_or_else(|problem| {
                wrong = Some(problem);
                false
            }),
        };
        reader.ask_each(query, &mut take)?;
        Ok(wrong.map_or(Ok(cells), Err))
    });
    read.await?
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    fn cells() -> Cells {
        let columns = vec![("n".into(), "BIGINT".into()), ("t".into(), "VARCHAR".into())];
        Cells { columns, rows: String::new(), count: 0, cut: None, position: Lsn(0x1_0000_00FF) }
    }

    fn batch() -> RecordBatch {
        let n: ArrayRef = Arc::new(Int64Array::from(vec![Some(9_007_199_254_740_993), None]));
        let t: ArrayRef = Arc::new(StringArray::from(vec!["a \"b\"", ""]));
        RecordBatch::try_from_iter_with_nullable([("n", n, true), ("t", t, true)]).unwrap()
    }

    #[test]
    fn a_cell_keeps_every_digit_and_null_is_not_the_empty_text() {
        let mut cells = cells();
        assert!(cells.take(&batch(), 10).unwrap());
        let document: Value = serde_json::from_str(&cells.document(&[("truncated", json!(false))])).unwrap();
        assert_eq!(document["rows"], json!([["9007199254740993", "a \"b\""], [null, ""]]));
        assert_eq!(document["columns"][0], json!({"name": "n", "type": "BIGINT"}));
        assert_eq!((&document["position"], &document["truncated"]), (&json!("1/FF"), &json!(false)));
    }

    #[test]
    fn an_answer_ends_at_its_bounds_and_says_so() {
        let mut few = cells();
        assert!(!few.take(&batch(), 1).unwrap());
        assert_eq!((few.count, few.cut), (1, Some(Cut::Rows)));
        let mut large = cells();
        large.rows = "x".repeat(BYTES_MAX + 1);
        assert!(!large.take(&batch(), 10).unwrap());
        assert_eq!((large.count, large.cut), (0, Some(Cut::Bytes)));
    }
}
