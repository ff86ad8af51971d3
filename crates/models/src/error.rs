//! What can go wrong with a dbt project (`MS9xxx`).

use std::{io, path::PathBuf};

use millstream_core::{Diagnostic, Exit};

use crate::{
    jinja::JinjaError,
    place::{Place, Text},
};

/// What a [`Problem`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemKind {
    /// A file that is no YAML, or not of the form it should have.
    Yaml,
    /// `dbt_project.yml`, `profiles.yml` or a flag says what can't be.
    Configuration,
    /// A template that can't be parsed or rendered.
    Template,
    /// Something named that isn't there, or is disabled.
    Missing,
    /// Two of one name.
    Duplicate,
    /// What depends on itself.
    Cycle,
    /// A selection that can't be read.
    Selection,
    /// What a dbt project may hold and this program does not do yet.
    Unsupported,
    /// A warning that is to be an error.
    Warned,
    /// What the warehouse refused.
    Warehouse,
}

/// Something wrong in a project, with its place.
#[derive(Debug, Clone)]
pub struct Problem {
    /// What it is about.
    pub kind: ProblemKind,
    /// What happened, lowercase.
    pub message: String,
    /// Where.
    pub place: Option<Place>,
    /// The next step.
    pub hint: Option<String>,
    /// What led there: the node, the macros around.
    pub around: Vec<String>,
}

/// An error of the room.
#[derive(Debug, thiserror::Error)]
pub enum ModelsError {
    /// A file that can't be read.
    #[error("can't read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// A file that can't be written.
    #[error("can't write {}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// The system gave no thread to work in.
    #[error("can't start a thread to work in")]
    NoThread(#[source] io::Error),
    /// Something is wrong in the project.
    #[error("{}", .0.message)]
    Problem(Box<Problem>),
}

/// Result of the room.
pub type Result<T> = std::result::Result<T, ModelsError>;

impl Problem {
    /// A problem without a place.
    pub fn new(kind: ProblemKind, message: impl Into<String>) -> Self {
        Problem { kind, message: message.into(), place: None, hint: None, around: Vec::new() }
    }

    /// Says where.
    #[must_use]
    pub fn at(mut self, place: &Place) -> Self {
        self.place.get_or_insert_with(|| place.clone());
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says what led there.
    #[must_use]
    pub fn around(mut self, what: impl Into<String>) -> Self {
        self.around.push(what.into());
        self
    }

    /// A template's error; `text` gives the content of a file, where it is at hand.
    pub fn from_jinja(error: JinjaError, text: impl Fn(&str) -> Option<std::sync::Arc<Text>>) -> Self {
        let kind = if error.unsupported { ProblemKind::Unsupported } else { ProblemKind::Template };
        let mut problem = Problem::new(kind, error.message);
        if let (Some(file), Some(spot)) = (&error.file, error.spot) {
            if let Some(text) = text(file) {
                problem.place = Some(Place::new(&text, spot.line as usize, spot.column as usize, 1));
            } else {
                problem.around.push(format!("at {file}:{}:{}", spot.line, spot.column));
            }
        }
        let called = error.called_by.iter().map(|(name, file)| format!("in macro {name} ({file})"));
        problem.around.extend(called);
        problem
    }

    /// Message, place, surroundings and hint in one text, for consoles and results.
    pub fn describe(&self) -> String {
        let mut text = self.message.clone();
        for line in self.place.iter().map(Place::snippet).chain(self.around.iter().cloned()) {
            text.push('\n');
            text.push_str(&line);
        }
        if let Some(hint) = &self.hint {
            text.push_str("\nhint: ");
            text.push_str(hint);
        }
        text
    }
}

impl From<Problem> for ModelsError {
    fn from(problem: Problem) -> Self {
        ModelsError::Problem(Box::new(problem))
    }
}

impl ModelsError {
    /// The whole of it in one text.
    pub fn describe(&self) -> String {
        match self {
            ModelsError::Problem(problem) => problem.describe(),
            ModelsError::Unreadable { source, .. }
            | ModelsError::Unwritable { source, .. }
            | ModelsError::NoThread(source) => format!("{self}: {source}"),
        }
    }

    /// Says where, if it is a problem of the project.
    #[must_use]
    pub fn at(self, place: &Place) -> Self {
        match self {
            ModelsError::Problem(problem) => problem.at(place).into(),
            other => other,
        }
    }

    /// Adds what led there.
    #[must_use]
    pub fn around(self, what: impl Into<String>) -> Self {
        match self {
            ModelsError::Problem(problem) => problem.around(what).into(),
            other => other,
        }
    }
}

impl Diagnostic for ModelsError {
    fn code(&self) -> &'static str {
        match self {
            ModelsError::Unreadable { .. } => "MS9001",
            ModelsError::Unwritable { .. } => "MS9002",
            ModelsError::NoThread(_) => "MS9003",
            ModelsError::Problem(problem) => match problem.kind {
                ProblemKind::Yaml => "MS9101",
                ProblemKind::Configuration => "MS9102",
                ProblemKind::Template => "MS9103",
                ProblemKind::Missing => "MS9104",
                ProblemKind::Duplicate => "MS9105",
                ProblemKind::Cycle => "MS9106",
                ProblemKind::Selection => "MS9107",
                ProblemKind::Unsupported => "MS9108",
                ProblemKind::Warned => "MS9109",
                ProblemKind::Warehouse => "MS9201",
            },
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            ModelsError::Unreadable { source, .. }
            | ModelsError::Unwritable { source, .. }
            | ModelsError::NoThread(source) => Some(source.to_string()),
            ModelsError::Problem(problem) => {
                let place = problem.place.iter().map(Place::snippet);
                let lines: Vec<String> = place.chain(problem.around.iter().cloned()).collect();
                (!lines.is_empty()).then(|| lines.join("\n"))
            }
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            ModelsError::Problem(problem) => problem.hint.clone(),
            ModelsError::NoThread(_) => {
                Some("see the limits on processes and memory, or ask for fewer with --threads".into())
            }
            _ => None,
        }
    }

    fn exit(&self) -> Exit {
        // What dbt ends with where a project can't be parsed.
        Exit::Usage
    }
}
