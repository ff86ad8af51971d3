//! What can go wrong with the program's own state (`MS8xxx`).

use std::{io, path::PathBuf};

use millstream_core::{Diagnostic, Exit};

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file is no SQLite database, or can't be read.
    #[error("can't open {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// SQLite's words.
        source: rusqlite::Error,
    },
    /// The file can't be made or changed.
    #[error("can't write {}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// Written by a later version.
    #[error("{} has format {found}, this version of millstream knows {known}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What it says.
        found: i64,
        /// What this program can read.
        known: i64,
    },
    /// SQLite refused a statement.
    #[error("the program's own state can't be read or written")]
    Statement(#[from] rusqlite::Error),
    /// The system gave no random bytes.
    #[error("the system gives no random bytes")]
    NoRandom,
    /// No key of that id.
    #[error("there is no key {id}")]
    NoSuchKey {
        /// As typed.
        id: String,
    },
}

impl Diagnostic for StoreError {
    fn code(&self) -> &'static str {
        match self {
            StoreError::Open { .. } => "MS8001",
            StoreError::Unwritable { .. } => "MS8002",
            StoreError::Format { .. } => "MS8003",
            StoreError::Statement(_) => "MS8004",
            StoreError::NoRandom => "MS8005",
            StoreError::NoSuchKey { .. } => "MS8101",
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            StoreError::Open { source, .. } | StoreError::Statement(source) => Some(source.to_string()),
            StoreError::Unwritable { source, .. } => Some(source.to_string()),
            StoreError::Format { .. } | StoreError::NoRandom | StoreError::NoSuchKey { .. } => None,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            StoreError::Open { path, .. } => format!(
                "it holds the API keys: bring it back from a backup, or move {} away and make new keys",
                path.display()
            ),
            StoreError::Unwritable { .. } | StoreError::Statement(_) => {
                "make room or give this user the right to write there".into()
            }
            StoreError::Format { .. } => "use the version of millstream that wrote it, or a newer one".into(),
            StoreError::NoSuchKey { .. } => "`millstream keys list` lists them".into(),
            StoreError::NoRandom => return None,
        })
    }

    fn exit(&self) -> Exit {
        match self {
            StoreError::NoSuchKey { .. } => Exit::Usage,
            StoreError::Open { .. } | StoreError::Format { .. } => Exit::Protected,
            _ => Exit::Wrong,
        }
    }
}
