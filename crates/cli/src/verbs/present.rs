//! Prints the events of an answer, wherever they come from.

use millstream_core::Timestamp;

use crate::{
    config::units::print_instant,
    failure::Failure,
    instance::{Emit, Event, TailLine},
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
        let Ok(TailLine { lsn, ts_us, what, row }) = serde_json::from_str(line) else {
            return line.to_owned();
        };
        let style = match what.as_str() {
            "insert" => Style::Good,
            "update" => Style::Warning,
            "delete" => Style::Error,
            _ => Style::Bold,
        };
        let word = self.output.paint_data(style, &format!("{what:<8}"));
        format!("{lsn}  {}  {word}  {row}", print_instant(Timestamp(ts_us))).trim_end().to_owned()
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
            Event::Line(line) if self.output.format == Format::Json => self.output.next_line(line.get())?,
            Event::Line(line) => self.output.next_line(&self.describe(line.get()))?,
            Event::Note(text) => {
                if let Some((_, progress)) = &mut self.progress {
                    progress.clear();
                }
                self.output.note(&text);
            }
            Event::Warning(text) => {
                if let Some((_, progress)) = &mut self.progress {
                    progress.clear();
                }
                self.output.warn(&text);
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
