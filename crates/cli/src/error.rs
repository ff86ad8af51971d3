//! Errors of the program itself (`MS6xxx`).

use std::{io, path::PathBuf};

use millstream_core::{Diagnostic, Exit};

use crate::config::units::print_size;

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
    /// A file of the project can't be read.
    #[error("can't read {path}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What the program remembers of its source can't be understood.
    #[error("{path} is damaged")]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// Too little room to begin.
    #[error("only {} {} left on {}", print_size(*.free), if *.free == 1 { "is" } else { "are" }, .path.display())]
    NoRoom {
        /// The directory.
        path: PathBuf,
        /// Bytes that are left.
        free: u64,
        /// Bytes that it takes to begin.
        needed: u64,
    },
    /// A model is called like a table.
    #[error("the model {model} would take the name of table {table}")]
    ModelCollides {
        /// The model.
        model: String,
        /// The table at the source.
        table: String,
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
    /// Text that is no point of the history.
    #[error("`{text}` is neither a time with zone nor an LSN")]
    AsOf {
        /// As typed.
        text: String,
    },
    /// Nothing was ever written.
    #[error("there is no warehouse yet at {path}")]
    NoWarehouse {
        /// Where it would be.
        path: PathBuf,
    },
    /// A warehouse that was there.
    #[error("the warehouse file {path} is gone")]
    WarehouseGone {
        /// Where it was.
        path: PathBuf,
    },
    /// A table that is not replicated.
    #[error("`{name}` is not a replicated table")]
    NoSuchTable {
        /// As typed.
        name: String,
        /// The nearest name, if one is near.
        nearest: Option<String>,
    },
    /// What tokens are to be checked with.
    #[error("the key of api.auth.jwt can't be used")]
    TokenKey {
        /// What is wrong with it.
        detail: String,
    },
    /// A role that is not configured.
    #[error("there is no role `{name}`")]
    NoSuchRole {
        /// As typed.
        name: String,
        /// Those that there are.
        roles: Vec<String>,
    },
    /// No such change in quarantine.
    #[error("table {table} has no change at {position} in quarantine")]
    NotQuarantined {
        /// The table.
        table: String,
        /// As typed.
        position: String,
    },
    /// Something would be destroyed, and nobody can be asked.
    #[error("{what} is asked for first, and there is nobody to ask")]
    Unasked {
        /// What.
        what: &'static str,
    },
    /// There is nothing to read events from.
    #[error("there is no log yet")]
    NoLog,
    /// Text that is no position.
    #[error("`{text}` is not a position of the log")]
    From {
        /// As typed.
        text: String,
    },
    /// No snapshot of the source was one that the commit order passes through.
    #[error("none of {snapshots} snapshots of the source met a position of its commit order")]
    NoCommonPosition {
        /// How many were tried.
        snapshots: u32,
    },
    /// The source has the table no more.
    #[error("{table} is gone from the source")]
    GoneFromSource {
        /// Its name.
        table: String,
    },
    /// The two sides have different columns.
    #[error("{table} does not have the same columns on both sides: {what}")]
    OtherColumns {
        /// Its name at the source.
        table: String,
        /// The difference.
        what: String,
    },
    /// Something is asked of an instance that has not opened it yet.
    #[error("the instance is still starting")]
    StillStarting,
    /// The system does not let the process take signals.
    #[error("can't take signals")]
    Signals(#[source] io::Error),
    /// The system gives no thread to send traces.
    #[error("can't begin to send traces")]
    Traces(#[source] io::Error),
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
            ProgramError::Unreadable { .. } => "MS6005",
            ProgramError::State { .. } => "MS6006",
            ProgramError::ModelCollides { .. } => "MS6007",
            ProgramError::NoRoom { .. } => "MS6008",
            ProgramError::OwnedByAnother { .. } => "MS6101",
            ProgramError::Socket { .. } => "MS6102",
            ProgramError::InstanceLost { .. } => "MS6103",
            ProgramError::UnknownRequest { .. } => "MS6104",
            ProgramError::Cancelled => "MS6105",
            ProgramError::StillStarting => "MS6106",
            ProgramError::Signals(_) => "MS6107",
            ProgramError::Traces(_) => "MS6108",
            ProgramError::AsOf { .. } => "MS6201",
            ProgramError::NoWarehouse { .. } => "MS6202",
            ProgramError::WarehouseGone { .. } => "MS6209",
            ProgramError::NoSuchTable { .. } => "MS6203",
            ProgramError::NoLog => "MS6207",
            ProgramError::NoSuchRole { .. } => "MS6212",
            ProgramError::TokenKey { .. } => "MS6213",
            ProgramError::NotQuarantined { .. } => "MS6210",
            ProgramError::Unasked { .. } => "MS6211",
            ProgramError::From { .. } => "MS6208",
            ProgramError::NoCommonPosition { .. } => "MS6204",
            ProgramError::GoneFromSource { .. } => "MS6205",
            ProgramError::OtherColumns { .. } => "MS6206",
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            ProgramError::Arguments { detail, .. } => detail.clone(),
            ProgramError::Unwritable { source, .. }
            | ProgramError::Socket { source, .. }
            | ProgramError::Unreadable { source, .. }
            | ProgramError::Signals(source)
            | ProgramError::Traces(source)
            | ProgramError::Stdout(source) => Some(source.to_string()),
            ProgramError::InstanceLost { detail }
            | ProgramError::UnknownRequest { detail }
            | ProgramError::TokenKey { detail }
            | ProgramError::State { detail, .. } => Some(detail.clone()),
            ProgramError::OwnedByAnother { data, .. } => {
                Some(format!("it holds {}", data.join("lock").display()))
            }
            ProgramError::ProjectExists(_)
            | ProgramError::StillStarting
            | ProgramError::Cancelled
            | ProgramError::AsOf { .. }
            | ProgramError::NoWarehouse { .. }
            | ProgramError::WarehouseGone { .. }
            | ProgramError::ModelCollides { .. }
            | ProgramError::NoRoom { .. }
            | ProgramError::NoLog
            | ProgramError::NoSuchRole { .. }
            | ProgramError::NotQuarantined { .. }
            | ProgramError::Unasked { .. }
            | ProgramError::From { .. }
            | ProgramError::NoCommonPosition { .. }
            | ProgramError::GoneFromSource { .. }
            | ProgramError::OtherColumns { .. }
            | ProgramError::NoSuchTable { .. } => None,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            ProgramError::Arguments { .. } => {
                "`millstream help` lists the verbs, `millstream VERB --help` their flags".into()
            }
            ProgramError::ProjectExists(_) => "edit it, or name another directory: `millstream init DIR`".into(),
            ProgramError::Unwritable { .. } => "make room or give this user the right to write there".into(),
            ProgramError::Unreadable { .. } => "give this user the right to read it".into(),
            ProgramError::State { path, .. } => format!(
                "it says which source this project belongs to; move {} away only if you are sure that it still is that one",
                path.display()
            ),
            ProgramError::NoRoom { needed, .. } => format!(
                "make room: the log and the warehouse are kept there, and nothing is begun below {}",
                print_size(*needed)
            ),
            ProgramError::TokenKey { .. } => {
                "name the issuer's public key in PEM, of the kind that the algorithms take".into()
            }
            ProgramError::NoSuchRole { roles, .. } if roles.is_empty() => {
                "the project has none: add `api.auth` and `api.roles` to millstream.yml".into()
            }
            ProgramError::NoSuchRole { roles, .. } => format!("api.roles has {}", roles.join(", ")),
            ProgramError::ModelCollides { model, .. } => format!("rename models/{model}.sql"),
            ProgramError::OwnedByAnother { .. } => {
                "only one instance may own a project: stop that one first, or use another project's directory".into()
            }
            ProgramError::Socket { .. } => "the directory must be on a file system that can hold sockets".into(),
            ProgramError::InstanceLost { .. } => "see how it ended where it was started, and start it again".into(),
            ProgramError::UnknownRequest { .. } => {
                "it is of another version: restart it with this one, or use the program that it was started with".into()
            }
            ProgramError::AsOf { .. } => "write a time as 2026-11-21T12:00:00Z, or an LSN as 0/16B3748".into(),
            ProgramError::NoWarehouse { .. } => "`millstream up` makes it and fills it".into(),
            ProgramError::WarehouseGone { .. } => {
                "`millstream up` builds it again from the base and the log; or put it back from a backup first".into()
            }
            ProgramError::NoSuchTable { nearest: Some(nearest), .. } => format!("did you mean `{nearest}`?"),
            ProgramError::NoSuchTable { .. } => {
                "write schema.table as it is called at the source; `millstream status` lists them".into()
            }
            ProgramError::NoLog => "`millstream up` makes it and fills it".into(),
            ProgramError::NotQuarantined { table, .. } => {
                format!("`millstream quarantine list {table}` lists those it has")
            }
            ProgramError::Unasked { .. } => "look at it with `millstream quarantine list`, then pass --yes".into(),
            ProgramError::From { .. } => "write the commit LSN of a transaction, such as 0/16B3748".into(),
            ProgramError::NoCommonPosition { .. } => {
                "try again; if it stays so, look whether changes arrive at all: `millstream status`".into()
            }
            ProgramError::GoneFromSource { .. } => "its history stays in the warehouse".into(),
            ProgramError::OtherColumns { table, .. } => format!("read it again: `millstream resync {table}`"),
            ProgramError::StillStarting => "wait a moment; `millstream status` says how far it is".into(),
            ProgramError::Stdout(_)
            | ProgramError::Signals(_)
            | ProgramError::Traces(_)
            | ProgramError::Cancelled => return None,
        })
    }

    fn exit(&self) -> Exit {
        match self {
            ProgramError::Arguments { .. }
            | ProgramError::ProjectExists(_)
            | ProgramError::Unwritable { .. }
            | ProgramError::Unreadable { .. }
            | ProgramError::ModelCollides { .. }
            | ProgramError::NoRoom { .. }
            | ProgramError::AsOf { .. }
            | ProgramError::From { .. }
            | ProgramError::NotQuarantined { .. }
            | ProgramError::Unasked { .. }
            | ProgramError::NoSuchTable { .. }
            | ProgramError::NoSuchRole { .. }
            | ProgramError::TokenKey { .. }
            | ProgramError::Socket { .. } => Exit::Usage,
            ProgramError::OwnedByAnother { .. }
            | ProgramError::State { .. }
            | ProgramError::WarehouseGone { .. } => Exit::Protected,
            ProgramError::InstanceLost { .. } | ProgramError::UnknownRequest { .. } => Exit::Unreachable,
            ProgramError::Stdout(_)
            | ProgramError::Signals(_)
            | ProgramError::Traces(_)
            | ProgramError::StillStarting
            | ProgramError::Cancelled
            | ProgramError::NoLog
            | ProgramError::NoCommonPosition { .. }
            | ProgramError::GoneFromSource { .. }
            | ProgramError::OtherColumns { .. }
            | ProgramError::NoWarehouse { .. } => Exit::Wrong,
        }
    }
}
