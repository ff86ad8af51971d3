//! What can be wrong with a project's configuration.

use std::{io, path::PathBuf};

use millstream_core::{Diagnostic, Exit};

use super::place::Place;

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    /// What kind of thing.
    pub kind: ProblemKind,
    /// In words, lowercase.
    pub message: String,
    /// Where it is written.
    pub place: Option<Place>,
    /// What to do.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem without a hint.
    pub fn new(kind: ProblemKind, message: impl Into<String>, place: Option<Place>) -> Self {
        Problem { kind, message: message.into(), place, hint: None }
    }

    /// Adds the next step.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// The kinds of [`Problem`], each with its stable code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemKind {
    /// Not YAML.
    Syntax,
    /// A key that does not exist.
    UnknownKey,
    /// A key of the contract that this version does not have yet.
    NotBuilt,
    /// A list where a mapping belongs, and so on.
    WrongType,
    /// A required key is missing.
    MissingKey,
    /// Of the right type but not acceptable.
    BadValue,
    /// `${VAR}` without a value.
    UnsetVariable,
    /// A key twice in one mapping.
    DuplicateKey,
    /// `version` is not one this program reads.
    Version,
    /// A table pattern that can't match or matches nothing.
    TablePattern,
    /// A line of `.env` that is not `NAME=value`.
    DotEnv,
}

impl ProblemKind {
    /// The stable code.
    pub fn code(self) -> &'static str {
        match self {
            ProblemKind::Syntax => "MS1003",
            ProblemKind::UnknownKey => "MS1004",
            ProblemKind::NotBuilt => "MS1005",
            ProblemKind::WrongType => "MS1006",
            ProblemKind::MissingKey => "MS1007",
            ProblemKind::BadValue => "MS1008",
            ProblemKind::UnsetVariable => "MS1009",
            ProblemKind::DuplicateKey => "MS1010",
            ProblemKind::Version => "MS1011",
            ProblemKind::TablePattern => "MS1012",
            ProblemKind::DotEnv => "MS1013",
        }
    }
}

/// Why a project could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is none.
    #[error("no millstream.yml in {0} or a directory above it")]
    NotFound(PathBuf),
    /// The directory that was named has none.
    #[error("no millstream.yml in {0}")]
    NotHere(PathBuf),
    /// The file system refused.
    #[error("can't read {path}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// What the file says is wrong; all that was found, never empty.
    #[error("{}", first_message(.0))]
    Wrong(Vec<Problem>),
}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> Self {
        ConfigError::Wrong(vec![problem])
    }
}

fn first_message(problems: &[Problem]) -> &str {
    problems.first().map_or("the configuration is wrong", |problem| &problem.message)
}

impl Diagnostic for ConfigError {
    fn code(&self) -> &'static str {
        match self {
            ConfigError::NotFound(_) | ConfigError::NotHere(_) => "MS1001",
            ConfigError::Unreadable { .. } => "MS1002",
            ConfigError::Wrong(problems) => problems.first().map_or("MS1008", |problem| problem.kind.code()),
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            ConfigError::Unreadable { source, .. } => Some(source.to_string()),
            ConfigError::Wrong(problems) => {
                let (first, others) = problems.split_first()?;
                let mut text = first.place.as_ref().map(Place::snippet).unwrap_or_default();
                for other in others {
                    if !text.is_empty() {
                        text.push_str("\n\n");
                    }
                    text.push_str(&format!("also: {} ({})", other.message, other.kind.code()));
                    let hint = other.hint.iter().map(|hint| format!("hint: {hint}"));
                    for line in other.place.iter().map(Place::snippet).chain(hint) {
                        text.push('\n');
                        text.push_str(&line);
                    }
                }
                (!text.is_empty()).then_some(text)
            }
            ConfigError::NotFound(_) | ConfigError::NotHere(_) => None,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            ConfigError::NotFound(_) | ConfigError::NotHere(_) => {
                Some("make a project with `millstream init`, or name one with --project DIR".into())
            }
            ConfigError::Unreadable { .. } => None,
            ConfigError::Wrong(problems) => problems.first().and_then(|problem| problem.hint.clone()),
        }
    }

    fn exit(&self) -> Exit {
        Exit::Usage
    }
}
