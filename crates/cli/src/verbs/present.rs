//! Prints the events of an answer, wherever they come from.

use crate::{
    failure::Failure,
    instance::{Emit, Event},
    output::{Output, Progress, RowsWriter},
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
            Event::Line(line) => self.output.line(line.get())?,
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
