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
    /// Another process has the project open.
    #[error("another instance has this project open{}", .pid.map(|pid| format!(": process {pid}")).unwrap_or_default())]
    OwnedByAnother {
        /// The project's data directory.
        data: PathBuf,
        /// The process, if it has said so already.
        pid: Option<u32>,
    },
    /// The control socket can't be made.
    #[error("can't serve the control socket in {data}")]
    Socket {
        /// The project's data directory.
        data: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The running instance went away, or says what can't be understood.
    #[error("lost the running instance")]
    InstanceLost {
        /// What was seen.
        detail: String,
    },
    /// A request that this version does not know.
    #[error("the running instance does not know this request")]
    UnknownRequest {
        /// What was seen.
        detail: String,
    },
    /// Whoever asked is gone, or the instance stops.
    #[error("cancelled")]
    Cancelled,
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
            ProgramError::OwnedByAnother { .. } => "MS6101",
            ProgramError::Socket { .. } => "MS6102",
            ProgramError::InstanceLost { .. } => "MS6103",
            ProgramError::UnknownRequest { .. } => "MS6104",
            ProgramError::Cancelled => "MS6105",
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            ProgramError::Arguments { detail, .. } => detail.clone(),
            ProgramError::Unwritable { source, .. }
            | ProgramError::Socket { source, .. }
            | ProgramError::Stdout(source) => Some(source.to_string()),
            ProgramError::InstanceLost { detail } | ProgramError::UnknownRequest { detail } => {
                Some(detail.clone())
            }
            ProgramError::OwnedByAnother { data, .. } => {
                Some(format!("it holds {}", data.join("lock").display()))
            }
            ProgramError::ProjectExists(_) | ProgramError::Cancelled => None,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            ProgramError::Arguments { .. } => {
                "`millstream help` lists the verbs, `millstream VERB --help` their flags".into()
            }
            ProgramError::ProjectExists(_) => "edit it, or name another directory: `millstream init DIR`".into(),
            ProgramError::Unwritable { .. } => "make room or give this user the right to write there".into(),
            ProgramError::OwnedByAnother { .. } => {
                "only one instance may own a project: stop that one first, or use another project's directory".into()
            }
            ProgramError::Socket { .. } => "the directory must be on a file system that can hold sockets".into(),
            ProgramError::InstanceLost { .. } => "see how it ended where it was started, and start it again".into(),
            ProgramError::UnknownRequest { .. } => {
                "it is of another version: restart it with this one, or use the program that it was started with".into()
            }
            ProgramError::Stdout(_) | ProgramError::Cancelled => return None,
        })
    }

    fn exit(&self) -> Exit {
        match self {
            ProgramError::Arguments { .. }
            | ProgramError::ProjectExists(_)
            | ProgramError::Unwritable { .. }
            | ProgramError::Socket { .. } => Exit::Usage,
            ProgramError::OwnedByAnother { .. } => Exit::Protected,
            ProgramError::InstanceLost { .. } | ProgramError::UnknownRequest { .. } => Exit::Unreachable,
            ProgramError::Stdout(_) | ProgramError::Cancelled => Exit::Wrong,
        }
    }
}
