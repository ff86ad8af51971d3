//! Prints the events of an answer, wherever they come from.

use millstream_core::{Lsn, Timestamp};
use serde_json::Value;

use crate::{
    config::units::print_instant,
    failure::Failure,
    instance::{Emit, Event},
    output::{Format, Output, Progress, RowsWriter, Style},
};

/// Prints events as they come.
pub(super) struct Presenter<'a> {
    output: &'a Output,
    rows: Option<RowsWriter<std::io::BufWriter<std::io::Stdout>>>,
    progress: Option<(String, Progress)>,
}

impl<'a> Presenter<'a> {
    pub(super) fn new(output: &'a Output) -> Self {
        Presenter { output, rows: None, progress: None }
    }

    /// An event on one line, for a person: where, when, what, the row.
    fn describe(&self, line: &str) -> String {
        let event: Value = serde_json::from_str(line).unwrap_or_default();
        let lsn = Lsn(event["source"]["lsn"].as_u64().unwrap_or(0));
        let time = print_instant(Timestamp(event["source"]["ts_us"].as_i64().unwrap_or(0)));
        let (style, word, row) = match event["op"].as_str().unwrap_or_default() {
            "c" => (Style::Good, "insert", &event["after"]),
            "u" => (Style::Warning, "update", &event["after"]),
            "d" => (Style::Error, "delete", &event["before"]),
            _ => (Style::Bold, "truncate", &Value::Null),
        };
        let word = self.output.paint_data(style, &format!("{word:<8}"));
        let row = if row.is_null() { String::new() } else { row.to_string() };
        format!("{lsn}  {time}  {word}  {row}").trim_end().to_owned()
    }

    /// Writes what is left of the rows.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        self.progress = None;
        if let Some(rows) = self.rows.take() {
            rows.finish()?;
        }
        Ok(())
    }
}

impl Emit for Presenter<'_> {
    fn emit(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::Columns(columns) => self.rows = Some(self.output.rows(columns)),
            Event::Rows(rows) => {
                if let Some(writer) = &mut self.rows {
                    rows.iter().try_for_each(|row| writer.row(row))?;
                }
            }
            Event::Line(line) if self.output.format == Format::Json => self.output.line(line.get())?,
            Event::Line(line) => self.output.line(&self.describe(line.get()))?,
            Event::Note(text) => {
                if let Some((_, progress)) = &mut self.progress {
                    progress.clear();
                }
                self.output.note(&text);
            }
            Event::Progress { label, done, total } => {
                if self.progress.as_ref().is_none_or(|(shown, _)| *shown != label) {
                    self.progress = Some((label.clone(), self.output.progress(&label)));
                }
                if let Some((_, progress)) = &mut self.progress {
                    progress.update(done, total);
                }
            }
            // The end of an answer is its asker's to read.
            Event::Done { .. } | Event::Failed(_) => {}
        }
        Ok(())
    }
}
