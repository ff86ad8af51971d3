//! What can go wrong in the log, each with its stable code (`MS3xxx`), its next step and whether waiting helps.

use std::{io, path::PathBuf};

use millstream_core::{Action, Diagnostic, Exit, Lsn, TableId};

/// An error of the embedded log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The operating system refused; nothing that was durable is touched.
    #[error("can't {doing} {path}")]
    Io {
        /// What was being done, such as `write`.
        doing: &'static str,
        /// To which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// An fsync failed, or one failed before: what the file holds is unknown from here on.
    #[error("syncing the log failed and can't be repeated safely")]
    SyncFailed {
        /// The file.
        path: PathBuf,
        /// The first failure's own words.
        reason: String,
    },
    /// Another process has it open.
    #[error("the log {path} is in use by another process")]
    Locked {
        /// Its directory.
        path: PathBuf,
    },
    /// A second writer was asked for.
    #[error("the log has a writer already")]
    WriterExists,
    /// A file's content isn't what was written.
    #[error("{path} is damaged at byte {offset}: {what}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What was found.
        what: String,
    },
    /// A file that others refer to isn't there.
    #[error("{path} is missing; {needed_by} needs it")]
    Missing {
        /// The file.
        path: PathBuf,
        /// Who refers to it.
        needed_by: String,
    },
    /// Written by another version of the program.
    #[error("{path} has format version {found}; this program reads version {expected}")]
    Version {
        /// The file.
        path: PathBuf,
        /// The version it has.
        found: u32,
        /// The version read here.
        expected: u32,
    },
    /// A reader wants transactions that retention dropped.
    #[error("the transactions after {after} are gone from the log; it begins behind {gone_through}")]
    Gone {
        /// From where on they were wanted.
        after: Lsn,
        /// Up to where they are gone, inclusive.
        gone_through: Lsn,
        /// The first one held.
        first_held: Option<Lsn>,
    },
    /// The server is not the one that the log was written from.
    #[error("the log holds changes of the server with system identifier {recorded}, not of {connected}")]
    OtherServer {
        /// Whose changes it holds.
        recorded: u64,
        /// Who is connected.
        connected: u64,
    },
    /// A message came where the protocol doesn't allow it.
    #[error("unexpected replication message `{tag}`: {what}")]
    Protocol {
        /// Its tag.
        tag: char,
        /// What is wrong about it.
        what: &'static str,
    },
    /// A stored message can't be decoded; the log still holds it.
    #[error("can't decode a change of transaction {commit_lsn} at event {lsn}: {reason}")]
    Undecodable {
        /// Its transaction.
        commit_lsn: Lsn,
        /// The event's own LSN.
        lsn: Lsn,
        /// What the decoder said.
        reason: String,
    },
    /// A row of a table whose schema nobody stated.
    #[error("transaction {commit_lsn} changes table {table}, whose schema was never stated")]
    NoSchema {
        /// The table.
        table: TableId,
        /// The transaction.
        commit_lsn: Lsn,
    },
    /// A base, or a table or chunk of one, that doesn't exist or isn't in the state asked for.
    #[error("{what}")]
    Base {
        /// What was asked for and why it can't be.
        what: String,
    },
    /// A base that can't go because current tables could not be rebuilt without it.
    #[error("base {base} is the newest complete one of table {table} and is kept")]
    BaseNeeded {
        /// The base.
        base: u64,
        /// The table.
        table: TableId,
    },
    /// A setting outside its range.
    #[error("log setting {name} is {value}; {rule}")]
    Setting {
        /// Its name.
        name: &'static str,
        /// What it was set to.
        value: u64,
        /// What it must be.
        rule: &'static str,
    },
}

impl LogError {
    /// Wraps an I/O error with what was being done to which file.
    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> LogError {
        let path = path.into();
        move |source| LogError::Io { doing, path, source }
    }

    pub(crate) fn damaged(path: impl Into<PathBuf>, offset: u64, what: impl Into<String>) -> LogError {
        LogError::Damaged { path: path.into(), offset, what: what.into() }
    }

    fn is_disk_full(&self) -> bool {
        matches!(self, LogError::Io { source, .. }
            if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }
}

impl Diagnostic for LogError {
    fn code(&self) -> &'static str {
        match self {
            _ if self.is_disk_full() => "MS3002",
            LogError::Io { .. } => "MS3001",
            LogError::SyncFailed { .. } => "MS3003",
            LogError::Locked { .. } => "MS3004",
            LogError::WriterExists => "MS3005",
            LogError::Damaged { .. } => "MS3006",
            LogError::Missing { .. } => "MS3007",
            LogError::Version { .. } => "MS3008",
            LogError::Gone { .. } => "MS3009",
            LogError::OtherServer { .. } => "MS3010",
            LogError::Protocol { .. } => "MS3011",
            LogError::Undecodable { .. } => "MS3012",
            LogError::NoSchema { .. } => "MS3013",
            LogError::Base { .. } => "MS3014",
            LogError::BaseNeeded { .. } => "MS3015",
            LogError::Setting { .. } => "MS3016",
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            LogError::Io { source, .. } => Some(source.to_string()),
            LogError::SyncFailed { path, reason } => Some(format!("{}: {reason}", path.display())),
            LogError::Gone { first_held: Some(first), .. } => {
                Some(format!("the first transaction held is {first}"))
            }
            _ => None,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            _ if self.is_disk_full() => "free space on the disk of the log's directory; it goes on by itself",
            LogError::Io { .. } => "check that the log's directory exists and that this user may write to it",
            LogError::SyncFailed { .. } => {
                "check the disk and the kernel's messages, then start again; nothing that was acknowledged is lost"
            }
            LogError::Locked { .. } => "stop the other instance, or ask it: the other verbs talk to a running one",
            LogError::WriterExists => "drop the first writer before asking for another",
            LogError::Damaged { .. } | LogError::Missing { .. } => {
                "restore the log's directory from a backup, or move it aside and run `millstream resync` for all tables"
            }
            LogError::Version { .. } => "use the program version that wrote the log",
            LogError::Gone { .. } => "run `millstream resync` for the tables concerned",
            LogError::OtherServer { .. } => {
                "connect to the original server, or move the log aside and run `millstream resync` for all tables"
            }
            LogError::Protocol { .. } => "report it with the server's version; the connection is opened again",
            LogError::Undecodable { .. } | LogError::NoSchema { .. } => {
                "the log keeps the message: a program version that can read it goes on from here"
            }
            LogError::BaseNeeded { .. } => "take a newer base of the table first",
            LogError::Base { .. } => return None,
            LogError::Setting { .. } => "change the setting",
        };
        Some(hint.to_owned())
    }

    fn action(&self) -> Action {
        match self {
            // Reading the stream again from the last durable transaction mends a message that came out of place.
            LogError::Protocol { .. } => Action::Retry,
            _ if self.is_disk_full() => Action::Retry,
            _ => Action::Stop,
        }
    }

    fn exit(&self) -> Exit {
        match self {
            LogError::Locked { .. }
            | LogError::Damaged { .. }
            | LogError::Missing { .. }
            | LogError::Version { .. }
            | LogError::Gone { .. }
            | LogError::OtherServer { .. }
            | LogError::BaseNeeded { .. } => Exit::Protected,
            LogError::Setting { .. } => Exit::Usage,
            _ => Exit::Wrong,
        }
    }
}

/// Result inside the log.
pub(crate) type Result<T> = std::result::Result<T, LogError>;
