//! What a person or a script reads. Standard output carries data; standard error carries messages, progress and errors.

mod progress;
mod rows;
pub mod values;

use std::io::{self, IsTerminal, Write};

use serde_json::{json, Value};
use tracing_subscriber::{
    filter::{filter_fn, LevelFilter},
    layer::{Layer, SubscriberExt},
};

use crate::{error::ProgramError, failure::Failure};

pub use progress::{group_digits, Progress, Stages};
pub use rows::{Column, RowsWriter};

/// How messages are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// A JSON object a line, each with its event's name: docs/reference/logs.md lists them.
    Json,
}

/// How data is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// JSON.
    Json,
    /// CSV with a header (RFC 4180).
    Csv,
}

/// Terminal styles by meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// An error's first words.
    Error,
    /// Something to look at.
    Warning,
    /// All is well.
    Good,
    /// A next step.
    Hint,
    /// What frames other things.
    Dim,
    /// What is named.
    Bold,
}

impl Style {
    fn code(self) -> &'static str {
        match self {
            Style::Error => "1;31",
            Style::Warning => "33",
            Style::Good => "32",
            Style::Hint => "36",
            Style::Dim => "2",
            Style::Bold => "1",
        }
    }
}

/// Where and how everything is printed, decided once from flags, environment and what standard output and error are.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// How data is printed.
    pub format: Format,
    /// Whether standard output takes colours.
    pub stdout_color: bool,
    /// Whether standard error takes colours.
    pub stderr_color: bool,
    /// Whether progress may redraw its line.
    pub stderr_terminal: bool,
    /// Only errors.
    pub quiet: bool,
    /// How messages are printed.
    pub messages: LogFormat,
}

impl Output {
    /// From flags; `NO_COLOR` (no-color.org) and `TERM=dumb` are honoured.
    pub fn detect(format: Format, messages: LogFormat, no_color: bool, quiet: bool) -> Self {
        let no_color = no_color
            || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        // What a program reads is neither coloured nor drawn over.
        let stderr_terminal = io::stderr().is_terminal() && messages == LogFormat::Text;
        Output {
            format,
            stdout_color: io::stdout().is_terminal() && !no_color,
            stderr_color: stderr_terminal && !no_color,
            stderr_terminal,
            quiet,
            messages,
        }
    }

    /// Prints what the rooms log to standard error. As text: nothing (warnings are told in words of their own), what they do, or all of it. As
    /// JSON: what they do, or all of it. Their spans go to a collector of traces, once a verb turns that on.
    pub fn log(&self, verbose: u8) {
        let json = self.messages == LogFormat::Json;
        let level = match verbose {
            0 if !json => None,
            0 if self.quiet => Some(LevelFilter::WARN),
            0 | 1 => Some(LevelFilter::INFO),
            _ => Some(LevelFilter::DEBUG),
        };
        let print = |level: LevelFilter| {
            let print = tracing_subscriber::fmt::layer()
                .with_writer(io::stderr)
                .with_ansi(self.stderr_color)
                .with_target(verbose > 1);
            let print = if json { print.json().flatten_event(true).boxed() } else { print.boxed() };
            let events = filter_fn(move |of| of.is_event() && *of.level() <= level);
            print.with_filter(events.with_max_level_hint(level))
        };
        let subscriber =
            tracing_subscriber::registry().with(millstream_traces::layer()).with(level.map(print));
        // It can only fail where another one is set already, which nobody does.
        let _ = tracing::subscriber::set_global_default(subscriber);
    }

    /// The text in a style, for standard error.
    pub fn paint(&self, style: Style, text: &str) -> String {
        paint(self.stderr_color, style, text)
    }

    /// The text in a style, for standard output.
    pub fn paint_data(&self, style: Style, text: &str) -> String {
        paint(self.stdout_color, style, text)
    }

    /// A message to the person.
    pub fn note(&self, text: &str) {
        self.tell("note", text);
    }

    /// A message to the person, with a name for whoever looks for it in a log.
    pub fn tell(&self, event: &'static str, text: &str) {
        match self.messages {
            LogFormat::Json => tracing::info!(event, "{text}"),
            LogFormat::Text if self.quiet => {}
            // Nothing can be said about a standard error that does not take messages.
            LogFormat::Text => drop(writeln!(io::stderr(), "{text}")),
        }
    }

    /// A message that the person should see even when quiet.
    pub fn warn(&self, text: &str) {
        self.warn_of("warning", text);
    }

    /// The same, with a name for whoever looks for it in a log.
    pub fn warn_of(&self, event: &'static str, text: &str) {
        match self.messages {
            LogFormat::Json => tracing::warn!(event, "{text}"),
            LogFormat::Text => {
                drop(writeln!(io::stderr(), "{} {text}", self.paint(Style::Warning, "warning:")));
            }
        }
    }

    /// One line of a document. Where its reader has left (`… | head`) the rest goes nowhere, and how the verb ends stays what it found.
    pub fn line(&self, text: &str) -> Result<(), Failure> {
        match self.next_line(text) {
            Err(failure) if is_unread(&failure) => Ok(()),
            written => written,
        }
    }

    /// One line of data that comes as it goes: an error once its reader has left, as there may be no end otherwise.
    pub fn next_line(&self, text: &str) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{text}").and_then(|()| stdout.flush()).map_err(unwritten)
    }

    /// One JSON document.
    pub fn json(&self, value: &Value) -> Result<(), Failure> {
        // A value made of maps with text keys always serialises.
        self.line(&serde_json::to_string_pretty(value).unwrap_or_default())
    }

    /// A table of data, row by row.
    pub fn rows(&self, columns: Vec<Column>) -> RowsWriter<io::BufWriter<io::Stdout>> {
        RowsWriter::new(io::BufWriter::new(io::stdout()), self.format, self.stdout_color, columns)
    }

    /// Progress of something that takes long.
    pub fn progress(&self, label: &str) -> Progress {
        Progress::new(label, *self)
    }

    /// The error, in the contract's form: code, message, what was being done, detail, hint.
    pub fn failure(&self, failure: &Failure) {
        if self.messages == LogFormat::Json {
            let report = &**failure;
            let (doing, detail, hint) = (&report.doing, &report.detail, &report.hint);
            tracing::error!(
                event = "failure",
                code = &*report.code,
                doing,
                detail,
                hint,
                "{}",
                report.message
            );
            return;
        }
        let text = match self.format {
            Format::Json => json!({ "error": failure_json(failure) }).to_string(),
            Format::Table | Format::Csv => self.failure_text(failure),
        };
        let _ = writeln!(io::stderr(), "{text}");
    }

    fn failure_text(&self, failure: &Failure) -> String {
        let head = self.paint(Style::Error, &format!("error[{}]:", failure.code));
        let mut text = format!("{head} {}", self.paint(Style::Bold, &failure.message));
        if let Some(doing) = &failure.doing {
            text.push_str(&format!("\n  while {doing}"));
        }
        for line in failure.detail.iter().flat_map(|detail| detail.trim_end().lines()) {
            text.push_str(if line.is_empty() { "\n" } else { "\n  " });
            text.push_str(line);
        }
        if let Some(hint) = &failure.hint {
            for (index, line) in hint.lines().enumerate() {
                let label = if index == 0 { self.paint(Style::Hint, "hint:") } else { "     ".into() };
                text.push_str(&format!("\n  {label} {line}"));
            }
        }
        text
    }
}

/// Standard output takes no more. That its reader left, having seen enough, is no failure: the program ends at once, quietly and well.
fn unwritten(error: io::Error) -> Failure {
    let reader_left = error.kind() == io::ErrorKind::BrokenPipe;
    let mut failure = Failure::from(ProgramError::Stdout(error));
    if reader_left {
        failure.exit = 0;
    }
    failure
}

/// Whether it only says that nobody reads standard output any more.
pub fn is_unread(failure: &Failure) -> bool {
    failure.exit == 0
}

/// The error as JSON has it everywhere.
pub fn failure_json(failure: &Failure) -> Value {
    json!({
        "code": failure.code,
        "message": failure.message,
        "doing": failure.doing,
        "detail": failure.detail,
        "hint": failure.hint,
    })
}

fn paint(color: bool, style: Style, text: &str) -> String {
    if color {
        format!("\x1b[{}m{text}\x1b[0m", style.code())
    } else {
        text.to_owned()
    }
}
