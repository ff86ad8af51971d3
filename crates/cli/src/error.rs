//! Errors of the program itself (`MS6xxx`).

use std::{io, path::PathBuf};

use millstream_core::{Diagnostic, Exit};

/// What can go wrong outside the rooms.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// The arguments are wrong.
    #[error("{message}")]
    Arguments {
        /// What is wrong with them.
        message: String,
        /// Usage and tips.
        detail: Option<String>,
    },
    /// There is a project already.
    #[error("{0} exists already")]
    ProjectExists(PathBuf),
    /// A file or directory can't be written.
    #[error("can't write {path}")]
    Unwritable {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Standard output went away or can't be written.
    #[error("can't write to standard output")]
    Stdout(#[source] io::Error),
}

impl Diagnostic for ProgramError {
    fn code(&self) -> &'static str {
        match self {
            ProgramError::Arguments { .. } => "MS6001",
            ProgramError::ProjectExists(_) => "MS6002",
            ProgramError::Unwritable { .. } => "MS6003",
            ProgramError::Stdout(_) => "MS6004",
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            ProgramError::Arguments { detail, .. } => detail.clone(),
            ProgramError::Unwritable { source, .. } | ProgramError::Stdout(source) => {
                Some(source.to_string())
            }
            ProgramError::ProjectExists(_) => None,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            ProgramError::Arguments { .. } => {
                Some("`millstream help` lists the verbs, `millstream VERB --help` their flags".into())
            }
            ProgramError::ProjectExists(_) => {
                Some("edit it, or name another directory: `millstream init DIR`".into())
            }
            ProgramError::Unwritable { .. } => {
                Some("make room or give this user the right to write there".into())
            }
            ProgramError::Stdout(_) => None,
        }
    }

    fn exit(&self) -> Exit {
        match self {
            ProgramError::Arguments { .. }
            | ProgramError::ProjectExists(_)
            | ProgramError::Unwritable { .. } => Exit::Usage,
            ProgramError::Stdout(_) => Exit::Wrong,
        }
    }
}
