//! Any room's error, turned once into what a person, a script or another process reads.

use std::{
    borrow::Cow,
    error::Error,
    fmt,
    ops::{Deref, DerefMut},
};

use millstream_core::{BoxedDiagnostic, Diagnostic, Exit};
use serde::{Deserialize, Serialize};

/// An error at the edge of the program. It also travels over the control socket. Boxed, as a `Result` is returned far more often
/// without it than with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Failure(Box<Report>);

impl Deref for Failure {
    type Target = Report;

    fn deref(&self) -> &Report {
        &self.0
    }
}

impl DerefMut for Failure {
    fn deref_mut(&mut self) -> &mut Report {
        &mut self.0
    }
}

/// What a [`Failure`] says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Stable code such as `MS2101`.
    pub code: Cow<'static, str>,
    /// What happened, lowercase.
    pub message: String,
    /// What was being done: `reading millstream.yml`.
    pub doing: Option<String>,
    /// What was seen beyond the message.
    pub detail: Option<String>,
    /// The next step.
    pub hint: Option<String>,
    /// The process's exit status.
    pub exit: u8,
}

/// A failure that has been turned into words already, where a room's error is wanted.
#[derive(Debug)]
pub struct Reported(pub Failure);

impl fmt::Display for Reported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Reported {}

impl Diagnostic for Reported {
    fn code(&self) -> &'static str {
        match self.0.code {
            Cow::Borrowed(code) => code,
            // Only what came over the socket, from another instance.
            Cow::Owned(_) => "MS6103",
        }
    }

    fn detail(&self) -> Option<String> {
        self.0.detail.clone()
    }

    fn hint(&self) -> Option<String> {
        self.0.hint.clone()
    }

    fn exit(&self) -> Exit {
        [Exit::Usage, Exit::Unreachable, Exit::Protected]
            .into_iter()
            .find(|exit| *exit as u8 == self.0.exit)
            .unwrap_or(Exit::Wrong)
    }
}

/// The exit status after a clean stop by Ctrl-C: 128 and the number of SIGINT, as shells have it.
pub const EXIT_INTERRUPTED: u8 = 130;

impl<E: Into<BoxedDiagnostic>> From<E> for Failure {
    fn from(error: E) -> Self {
        let error: BoxedDiagnostic = error.into();
        Failure(Box::new(Report {
            code: Cow::Borrowed(error.code()),
            message: error.to_string(),
            doing: None,
            detail: error.detail().or_else(|| causes(error.source())),
            hint: error.hint(),
            exit: error.exit() as u8,
        }))
    }
}

/// The chain of causes, for errors that say nothing of their own beyond the message.
fn causes(mut source: Option<&(dyn Error + 'static)>) -> Option<String> {
    let mut lines = Vec::new();
    while let Some(error) = source {
        let line = error.to_string();
        // Many errors repeat their cause's words.
        if lines.last() != Some(&line) {
            lines.push(line);
        }
        source = error.source();
    }
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// Says what was being done when something failed.
pub trait Doing<T> {
    /// Adds it, unless something nearer to the error has said so already.
    fn doing(self, what: impl Into<String>) -> Result<T, Failure>;
}

impl<T, E: Into<Failure>> Doing<T> for Result<T, E> {
    fn doing(self, what: impl Into<String>) -> Result<T, Failure> {
        self.map_err(|error| {
            let mut failure: Failure = error.into();
            failure.doing.get_or_insert_with(|| what.into());
            failure
        })
    }
}

/// The outcome of a verb: the exit status, or why it failed.
pub type Outcome = Result<u8, Failure>;
