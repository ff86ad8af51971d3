//! Rows as a table, as JSON or as CSV, written as they come.

use std::io::{self, Write};

use serde_json::value::RawValue;
use unicode_width::UnicodeWidthStr;

use super::{unwritten, Format};
use crate::failure::Failure;

/// How many rows a table looks at to find its columns' widths: a few screenfuls, while a result of any size can stream by.
const ROWS_MEASURED_MAX: usize = 500;

/// No column is padded wider than this; a longer value stands as it is and only moves what is behind it in its row.
const COLUMN_WIDTH_MAX: usize = 60;

/// A column of the result.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Whether its values are numbers, which stand at the right.
    pub numeric: bool,
}

impl Column {
    /// A column of texts.
    pub fn text(name: impl Into<String>) -> Self {
        Column { name: name.into(), numeric: false }
    }

    /// A column of numbers.
    pub fn number(name: impl Into<String>) -> Self {
        Column { name: name.into(), numeric: true }
    }
}

/// Writes rows. [`RowsWriter::finish`] must be called at the end.
pub struct RowsWriter<W: Write> {
    out: W,
    format: Format,
    color: bool,
    columns: Vec<Column>,
    /// Rows of a table that wait for the widths.
    waiting: Vec<Vec<Cell>>,
    widths: Option<Vec<usize>>,
    rows: u64,
}

/// A value as a table or CSV shows it.
enum Cell {
    Null,
    Text(String),
}

impl Cell {
    fn from_json(value: &RawValue) -> Self {
        let raw = value.get();
        if raw == "null" {
            return Cell::Null;
        }
        if raw.starts_with('"') {
            if let Ok(text) = serde_json::from_str::<String>(raw) {
                return Cell::Text(text);
            }
        }
        Cell::Text(raw.to_owned())
    }
}

impl<W: Write> RowsWriter<W> {
    pub(super) fn new(out: W, format: Format, color: bool, columns: Vec<Column>) -> Self {
        RowsWriter { out, format, color, columns, waiting: Vec::new(), widths: None, rows: 0 }
    }

    /// Writes a row: one JSON value per column.
    pub fn row(&mut self, values: &[Box<RawValue>]) -> Result<(), Failure> {
        self.write_row(values).map_err(unwritten)
    }

    fn write_row(&mut self, values: &[Box<RawValue>]) -> io::Result<()> {
        match self.format {
            Format::Json => {
                self.out.write_all(if self.rows == 0 { b"[\n" } else { b",\n" })?;
                self.out.write_all(b"  {")?;
                for (index, (column, value)) in self.columns.iter().zip(values).enumerate() {
                    let name = serde_json::to_string(&column.name)?;
                    write!(self.out, "{}{name}: {}", if index == 0 { "" } else { ", " }, value.get())?;
                }
                self.out.write_all(b"}")?;
            }
            Format::Csv => {
                if self.rows == 0 {
                    self.csv_header()?;
                }
                let cells = values.iter().map(|value| match Cell::from_json(value) {
                    Cell::Null => String::new(),
                    // An empty text is quoted, so that it is told from NULL.
                    Cell::Text(text) if text.is_empty() => "\"\"".into(),
                    Cell::Text(text) => csv_field(&text),
                });
                let line = cells.collect::<Vec<_>>().join(",");
                writeln!(self.out, "{line}")?;
            }
            Format::Table => {
                let cells: Vec<Cell> = values.iter().map(|value| Cell::from_json(value)).collect();
                if self.widths.is_some() {
                    self.table_row(&cells)?;
                } else {
                    self.waiting.push(cells);
                    if self.waiting.len() == ROWS_MEASURED_MAX {
                        self.begin_table()?;
                    }
                }
            }
        }
        self.rows += 1;
        Ok(())
    }

    /// Writes what is left, and for a table the number of rows.
    pub fn finish(mut self) -> Result<u64, Failure> {
        self.write_end().map_err(unwritten)?;
        Ok(self.rows)
    }

    fn write_end(&mut self) -> io::Result<()> {
        match self.format {
            Format::Json => self.out.write_all(if self.rows == 0 { b"[]\n" } else { b"\n]\n" })?,
            Format::Csv if self.rows == 0 => self.csv_header()?,
            Format::Csv => {}
            Format::Table => {
                if self.widths.is_none() {
                    self.begin_table()?;
                }
            }
        }
        self.out.flush()
    }

    fn csv_header(&mut self) -> io::Result<()> {
        let line = self.columns.iter().map(|column| csv_field(&column.name)).collect::<Vec<_>>().join(",");
        writeln!(self.out, "{line}")
    }

    fn begin_table(&mut self) -> io::Result<()> {
        let rows = std::mem::take(&mut self.waiting);
        let widths: Vec<usize> = self
            .columns
            .iter()
            .enumerate()
            .map(|(index, column)| {
                let cells = rows.iter().map(|row| match row.get(index) {
                    Some(Cell::Text(text)) => shown(text).width(),
                    _ => 4,
                });
                cells.chain([column.name.width()]).max().unwrap_or(0).min(COLUMN_WIDTH_MAX)
            })
            .collect();
        let header: Vec<String> = self
            .columns
            .iter()
            .zip(&widths)
            .map(|(column, &width)| {
                let text = pad(&column.name, width, column.numeric);
                if self.color {
                    format!("\x1b[1m{text}\x1b[0m")
                } else {
                    text
                }
            })
            .collect();
        writeln!(self.out, "{}", header.join("  ").trim_end())?;
        let rule: Vec<String> = widths.iter().map(|&width| "─".repeat(width)).collect();
        let rule = rule.join("  ");
        if self.color {
            writeln!(self.out, "\x1b[2m{rule}\x1b[0m")?;
        } else {
            writeln!(self.out, "{rule}")?;
        }
        self.widths = Some(widths);
        rows.iter().try_for_each(|row| self.table_row(row))
    }

    fn table_row(&mut self, cells: &[Cell]) -> io::Result<()> {
        let widths = self.widths.as_deref().unwrap_or_default();
        let texts: Vec<String> = cells
            .iter()
            .zip(widths)
            .zip(&self.columns)
            .map(|((cell, &width), column)| match cell {
                Cell::Text(text) => pad(&shown(text), width, column.numeric),
                // NULL must not be taken for the text "NULL": dim where there is colour, a sign of its own where there is none.
                Cell::Null if self.color => format!("\x1b[2m{}\x1b[0m", pad("NULL", width, column.numeric)),
                Cell::Null => pad("∅", width, column.numeric),
            })
            .collect();
        writeln!(self.out, "{}", texts.join("  ").trim_end())
    }
}

/// A value on one line of a terminal, whose control characters must not reach it.
fn shown(text: &str) -> String {
    if !text.contains(|c: char| c.is_control()) {
        return text.to_owned();
    }
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

fn pad(text: &str, width: usize, right: bool) -> String {
    let blanks = " ".repeat(width.saturating_sub(text.width()));
    if right {
        blanks + text
    } else {
        text.to_owned() + &blanks
    }
}

fn csv_field(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(format: Format, rows: &[[&str; 3]]) -> String {
        let columns = vec![Column::number("id"), Column::text("name"), Column::text("note")];
        let mut out = Vec::new();
        let mut writer = RowsWriter::new(&mut out, format, false, columns);
        for row in rows {
            let values = row.map(|json| RawValue::from_string(json.to_owned()).unwrap());
            writer.row(&values).unwrap();
        }
        assert_eq!(writer.finish().unwrap(), rows.len() as u64);
        String::from_utf8(out).unwrap()
    }

    const ROWS: &[[&str; 3]] = &[
        ["1", r#""a, \"b\"""#, "null"],
        ["123456789012345678901.50", r#""名""#, r#""two\nlines""#],
        ["3", r#""""#, "null"],
    ];

    #[test]
    fn a_table_aligns_numbers_right_and_tells_null_from_text() {
        let expected = "                      id  name    note\n\
                        ────────────────────────  ──────  ──────────\n\
                        \x20                      1  a, \"b\"  ∅\n\
                        123456789012345678901.50  名      two\\nlines\n\
                        \x20                      3          ∅\n";
        assert_eq!(print(Format::Table, ROWS), expected);
        assert_eq!(print(Format::Table, &[]), "id  name  note\n──  ────  ────\n");
    }

    #[test]
    fn csv_quotes_what_needs_it_and_the_empty_text() {
        assert_eq!(
            print(Format::Csv, ROWS),
            "id,name,note\n1,\"a, \"\"b\"\"\",\n123456789012345678901.50,名,\"two\nlines\"\n3,\"\",\n"
        );
        assert_eq!(print(Format::Csv, &[]), "id,name,note\n");
    }

    #[test]
    fn json_keeps_every_digit_and_an_empty_result_is_an_empty_array() {
        let text = print(Format::Json, ROWS);
        assert!(text.contains(r#""id": 123456789012345678901.50, "name": "名""#), "{text}");
        let parsed: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(parsed.as_array().unwrap().len(), 3);
        assert_eq!(print(Format::Json, &[]), "[]\n");
    }
}
