//! Everything that can go wrong in a warehouse, with what a person can do about it.

use std::path::PathBuf;

use millstream_core::{Action, Diagnostic, Exit};

/// An error of the warehouse room (`MS5xxx`).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WarehouseError {
    /// Another process has the file open.
    #[error("the warehouse {} is in use by another process", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
        /// The other process, where DuckDB names it.
        pid: Option<u32>,
        /// DuckDB's words.
        detail: String,
    },
    /// The write-ahead log can't be replayed; the file itself may be whole.
    #[error("the warehouse's write-ahead log {} is damaged", wal.display())]
    WalDamaged {
        /// The file.
        path: PathBuf,
        /// Its write-ahead log.
        wal: PathBuf,
        /// DuckDB's words.
        detail: String,
    },
    /// The file is not a database, or not a whole one.
    #[error("the warehouse file {} is damaged", path.display())]
    FileDamaged {
        /// The file.
        path: PathBuf,
        /// DuckDB's words.
        detail: String,
    },
    /// A part of the open file can't be read.
    #[error("the warehouse's file is damaged: a part of it could not be read while {doing}")]
    DataDamaged {
        /// What was being done.
        doing: String,
        /// DuckDB's words.
        detail: String,
    },
    /// Somebody else's file.
    #[error("{} is not a warehouse of this project: {what}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        what: String,
    },
    /// Written by a version of Millstream that this one does not know.
    #[error("the warehouse has format {found}, this version of millstream knows formats up to {supported}")]
    Format {
        /// What the file says.
        found: u32,
        /// What this program can read.
        supported: u32,
    },
    /// The file can't be created, opened or moved.
    #[error("can't open the warehouse {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// The system's or DuckDB's words.
        detail: String,
    },
    /// A version that should end is not there (or there more than once).
    #[error("a row to close in {table} is not there: {key}")]
    NoSuchRow {
        /// The table in the warehouse.
        table: String,
        /// The row's key, or the row.
        key: String,
    },
    /// A record batch is not what the port documents.
    #[error("rows for {table} are malformed: {what}")]
    MalformedRows {
        /// The table in the warehouse.
        table: String,
        /// What is wrong.
        what: String,
    },
    /// A value that the column's type can't hold exactly.
    #[error("`{value}` can't be held exactly as {column_type}")]
    NotExact {
        /// PostgreSQL's text.
        value: String,
        /// The column's type in the warehouse.
        column_type: String,
    },
    /// A table that should be there is not, or not as it was left.
    #[error("table {table} of the warehouse is not as it was left: {what}")]
    Altered {
        /// The table.
        table: String,
        /// The difference.
        what: String,
    },
    /// Two visible names that the warehouse can't tell apart.
    #[error("{0}")]
    Collision(crate::Collision),
    /// A statement failed.
    #[error("the warehouse failed while {doing}")]
    Statement {
        /// What was being done.
        doing: String,
        /// DuckDB's words.
        detail: String,
    },
    /// The memory limit is too low for what was asked.
    #[error("the warehouse ran out of memory while {doing}")]
    OutOfMemory {
        /// What was being done.
        doing: String,
        /// DuckDB's words.
        detail: String,
    },
    /// The disk is full, or the file can't be written for another reason that may pass.
    #[error("the warehouse can't write while {doing}")]
    Disk {
        /// What was being done.
        doing: String,
        /// DuckDB's words.
        detail: String,
    },
    /// A checkpoint could not be finished now.
    #[error("the warehouse can't be checkpointed now")]
    CheckpointBlocked {
        /// DuckDB's words.
        detail: String,
    },
    /// DuckDB takes nothing more until the file is opened again.
    #[error("the warehouse must be opened again, because it failed while {doing}")]
    Invalidated {
        /// What was being done.
        doing: String,
        /// DuckDB's words.
        detail: String,
    },
    /// A reader's statement that is not one reading statement.
    #[error("only a single statement that reads is accepted here: {what}")]
    NotReadOnly {
        /// What it was.
        what: String,
    },
    /// A guest's statement reaches for more than tables.
    #[error("this statement is not allowed here: {what}")]
    Forbidden {
        /// What of it.
        what: String,
    },
    /// A parameter's value does not go into its place, or there is none for it.
    #[error("the parameter {name} can't be used: {detail}")]
    Parameter {
        /// The parameter.
        name: String,
        /// Why.
        detail: String,
    },
    /// A reader's query is wrong.
    #[error("the query failed: {detail}")]
    Query {
        /// DuckDB's words.
        detail: String,
    },
    /// A function of a reader's query makes a longer value than it may.
    #[error("the query makes {what}")]
    TooLong {
        /// `a value of more than 64 MB`.
        what: String,
    },
    /// A name of the query that two schemas have.
    #[error("`{name}` could be {}", candidates.join(" or "))]
    Ambiguous {
        /// The name.
        name: String,
        /// What it could be, qualified.
        candidates: Vec<String>,
    },
    /// The query asks for a time before the table's history.
    #[error("{detail}")]
    NoHistory {
        /// Which table, and since when it has history.
        detail: String,
    },
    /// What a role may not see of a table can't be told from the rest any more, so it sees nothing of it.
    #[error("your role can't read this: what it may see of a table can't be told from the rest any more")]
    CantRestrict,
    /// A role that may not read what was.
    #[error("your role can't read this as of a time: that takes the right to the history of every table that is read")]
    HistoryForbidden,
    /// A query as of a time reads what holds only what it was made of.
    #[error("{what} can't be read as of a time")]
    Materialized {
        /// `shop.sales, a model kept as a table,`.
        what: String,
    },
    /// The query was interrupted.
    #[error("the query was interrupted")]
    Interrupted,
}

impl Diagnostic for WarehouseError {
    fn code(&self) -> &'static str {
        match self {
            WarehouseError::Locked { .. } => "MS5001",
            WarehouseError::WalDamaged { .. } => "MS5002",
            WarehouseError::FileDamaged { .. } | WarehouseError::DataDamaged { .. } => "MS5003",
            WarehouseError::Format { .. } => "MS5004",
            WarehouseError::Open { .. } => "MS5005",
            WarehouseError::Foreign { .. } => "MS5006",
            WarehouseError::NoSuchRow { .. } => "MS5101",
            WarehouseError::MalformedRows { .. } => "MS5102",
            WarehouseError::NotExact { .. } => "MS5103",
            WarehouseError::Altered { .. } => "MS5104",
            WarehouseError::Collision(_) => "MS5105",
            WarehouseError::Statement { .. } => "MS5201",
            WarehouseError::OutOfMemory { .. } => "MS5202",
            WarehouseError::Disk { .. } => "MS5203",
            WarehouseError::CheckpointBlocked { .. } => "MS5204",
            WarehouseError::Invalidated { .. } => "MS5205",
            WarehouseError::NotReadOnly { .. } => "MS5301",
            WarehouseError::Query { .. } => "MS5302",
            WarehouseError::NoHistory { .. } => "MS5303",
            WarehouseError::Interrupted => "MS5304",
            WarehouseError::Ambiguous { .. } => "MS5305",
            WarehouseError::Forbidden { .. } => "MS5306",
            WarehouseError::Parameter { .. } => "MS5307",
            WarehouseError::CantRestrict => "MS5308",
            WarehouseError::HistoryForbidden => "MS5309",
            WarehouseError::TooLong { .. } => "MS5310",
            WarehouseError::Materialized { .. } => "MS5311",
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            WarehouseError::Locked { detail, .. }
            | WarehouseError::WalDamaged { detail, .. }
            | WarehouseError::FileDamaged { detail, .. }
            | WarehouseError::DataDamaged { detail, .. }
            | WarehouseError::Open { detail, .. }
            | WarehouseError::Statement { detail, .. }
            | WarehouseError::OutOfMemory { detail, .. }
            | WarehouseError::Disk { detail, .. }
            | WarehouseError::Invalidated { detail, .. }
            | WarehouseError::CheckpointBlocked { detail } => Some(detail.clone()),
            _ => None,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            WarehouseError::Locked { pid: Some(pid), .. } => {
                format!("Close the program with process id {pid}, or ask the running instance.")
            }
            WarehouseError::Locked { .. } => {
                "Close the program that has the file open, or ask the running instance.".into()
            }
            WarehouseError::WalDamaged { wal, .. } => format!(
                "Move {} aside: the file opens at its last checkpoint, and the event log brings the rest again.",
                wal.display()
            ),
            WarehouseError::FileDamaged { path, .. } => {
                format!("Move {} aside: `millstream up` rebuilds it from the base and the event log.", path.display())
            }
            WarehouseError::DataDamaged { .. } => {
                "Stop the instance, move the file aside and run `millstream up`: it rebuilds it from the base and the event log.".into()
            }
            WarehouseError::Foreign { path, .. } => format!(
                "Name another file in warehouse.duckdb, or move {} away yourself.",
                path.display()
            ),
            WarehouseError::Format { .. } => "Use the version of millstream that wrote it, or a newer one.".into(),
            WarehouseError::Open { .. } => "Check that the directory exists and can be written.".into(),
            WarehouseError::NoSuchRow { .. } => {
                "Run `millstream verify` on the table, then `millstream resync` if it differs.".into()
            }
            WarehouseError::Altered { .. } => {
                "Undo what was changed by hand, or run `millstream resync` on the table.".into()
            }
            WarehouseError::Collision(_) => "Rename one of them, or leave it out.".into(),
            WarehouseError::OutOfMemory { .. } => "Raise the warehouse's memory limit.".into(),
            WarehouseError::Disk { .. } => "Free some space; it goes on by itself.".into(),
            WarehouseError::Invalidated { .. } => {
                "Free some space if there is none; a running instance opens it again by itself.".into()
            }
            WarehouseError::CheckpointBlocked { .. } => "Wait for the readers to finish.".into(),
            WarehouseError::NotReadOnly { .. } => "Send one SELECT at a time.".into(),
            WarehouseError::Ambiguous { .. } => "Write the schema before the name.".into(),
            WarehouseError::Forbidden { .. } => {
                "Read the tables and views of the warehouse; the person at the project's terminal may do more.".into()
            }
            WarehouseError::TooLong { .. } => "Make a shorter one, or several.".into(),
            WarehouseError::Materialized { .. } => {
                "Read tables, their histories and views of them; a model kept as a table holds what it was last built from.".into()
            }
            WarehouseError::CantRestrict => {
                "Somebody who owns the project corrects api.roles in millstream.yml and starts it again.".into()
            }
            WarehouseError::NotExact { .. } => "Choose another type for the column in the configuration.".into(),
            _ => return None,
        })
    }

    fn action(&self) -> Action {
        match self {
            WarehouseError::Disk { .. } | WarehouseError::CheckpointBlocked { .. } => Action::Retry,
            WarehouseError::OutOfMemory { .. } => Action::TakeLess,
            _ => Action::Stop,
        }
    }

    fn exit(&self) -> Exit {
        match self {
            WarehouseError::Locked { .. }
            | WarehouseError::WalDamaged { .. }
            | WarehouseError::FileDamaged { .. }
            | WarehouseError::DataDamaged { .. }
            | WarehouseError::Foreign { .. }
            | WarehouseError::Format { .. }
            | WarehouseError::NoSuchRow { .. }
            | WarehouseError::Altered { .. } => Exit::Protected,
            WarehouseError::NotReadOnly { .. }
            | WarehouseError::Query { .. }
            | WarehouseError::TooLong { .. }
            | WarehouseError::NoHistory { .. }
            | WarehouseError::Materialized { .. }
            | WarehouseError::Ambiguous { .. }
            | WarehouseError::Forbidden { .. }
            | WarehouseError::CantRestrict
            | WarehouseError::HistoryForbidden
            | WarehouseError::Parameter { .. }
            | WarehouseError::Collision(_) => Exit::Usage,
            _ => Exit::Wrong,
        }
    }
}
