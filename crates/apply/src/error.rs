//! What can go wrong while applying, and the one table that says what is done about it.

use std::{io, path::PathBuf};

use millstream_core::{base::BaseId, Action, BoxedDiagnostic, Diagnostic, Exit, Lsn, Position, TableId};

use crate::plan::PlanError;

/// An error of applying.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Changes that contradict each other.
    #[error("the stream of changes contradicts itself: {0}")]
    Contradiction(#[from] PlanError),
    /// A value that its column can't hold, under `on_unrepresentable: stop`.
    #[error("table {table}, column {column}: {reason}, at {position}, row {key}")]
    Unrepresentable {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// What the value is and why it does not fit.
        reason: String,
        /// Where.
        position: Position,
        /// The row's key.
        key: String,
    },
    /// A value that is not what its type prints.
    #[error("table {table}, column {column}: the source sent a value that can't be read: {reason}")]
    Malformed {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// Why.
        reason: String,
    },
    /// Too much is in quarantine for it to be an accident of single rows.
    #[error("{changes} changes are in quarantine, the last of table {table}: {reason}")]
    QuarantineFull {
        /// How many.
        changes: usize,
        /// The table.
        table: String,
        /// Why the last one can't be applied.
        reason: String,
    },
    /// A file of the quarantine.
    #[error("can't {doing} {}: {source}", .path.display())]
    QuarantineFile {
        /// What was being done.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A change in quarantine that can't be understood.
    #[error("the change of table {table} at {position} in quarantine can't be read: {what}")]
    Quarantined {
        /// The table.
        table: String,
        /// Where.
        position: Position,
        /// What is wrong.
        what: String,
    },
    /// The warehouse holds another source's data.
    #[error("the warehouse holds data of another source: {held}, not {configured}")]
    OtherSource {
        /// What the warehouse says.
        held: String,
        /// What is configured.
        configured: String,
    },
    /// The warehouse's own record of a table can't be read.
    #[error("the warehouse's record of table {table} can't be read: {source}")]
    State {
        /// The table.
        table: String,
        /// Why.
        source: serde_json::Error,
    },
    /// Two tables would have one name.
    #[error("tables {first} and {second} would both be {target} in the warehouse")]
    Collision {
        /// One.
        first: String,
        /// The other.
        second: String,
        /// The name.
        target: String,
    },
    /// A large transaction was cut off by the end of the log.
    #[error("the transaction at {0} ends in the middle")]
    CutOff(Lsn),
    /// Copied rows can't be read.
    #[error("copied rows can't be read: {0}")]
    Copy(#[from] millstream_pgoutput::copy::CopyError),
    /// A base that is not there, or not whole.
    #[error("base {} holds no complete copy of table {table}", base.0)]
    NoBase {
        /// The table.
        table: TableId,
        /// The base.
        base: BaseId,
    },
    /// A row of the warehouse can't be printed.
    #[error("a row of the warehouse can't be read back: {0}")]
    Render(#[from] millstream_pgoutput::render::RenderError),
    /// A record batch could not be put together.
    #[error("could not assemble a record batch: {0}")]
    Arrow(#[from] arrow_schema::ArrowError),
    /// Another room's error.
    #[error("{0}")]
    Port(BoxedDiagnostic),
}

impl From<BoxedDiagnostic> for ApplyError {
    fn from(error: BoxedDiagnostic) -> Self {
        ApplyError::Port(error)
    }
}

impl Diagnostic for ApplyError {
    fn code(&self) -> &'static str {
        match self {
            ApplyError::Contradiction(_) => "MS4101",
            ApplyError::Unrepresentable { .. } => "MS4201",
            ApplyError::Malformed { .. } => "MS4202",
            ApplyError::QuarantineFull { .. } => "MS4205",
            ApplyError::QuarantineFile { .. } => "MS4206",
            ApplyError::Quarantined { .. } => "MS4207",
            ApplyError::OtherSource { .. } => "MS4301",
            ApplyError::State { .. } => "MS4302",
            ApplyError::Collision { .. } => "MS4303",
            ApplyError::CutOff(_) => "MS4102",
            ApplyError::Arrow(_) => "MS4103",
            ApplyError::Copy(_) => "MS4104",
            ApplyError::NoBase { .. } => "MS4105",
            ApplyError::Render(_) => "MS4106",
            ApplyError::Port(error) => error.code(),
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            ApplyError::Port(error) => error.detail(),
            _ => None,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            ApplyError::Contradiction(_) => {
                "compare the table with `millstream verify`, then read it again with `millstream resync`".into()
            }
            ApplyError::Unrepresentable { column, .. } => format!(
                "set `on_unrepresentable: widen` or `quarantine` for the table, or choose a type for it with `columns: {{type: {{{column}: text}}}}`"
            ),
            ApplyError::Malformed { .. } => "report it with the value; nothing was lost, the log holds it".into(),
            ApplyError::QuarantineFull { .. } => {
                "look at them with `millstream quarantine list`, choose a type or a value_max that holds the values, start again and run `millstream quarantine replay`".into()
            }
            ApplyError::QuarantineFile { .. } => {
                "make room or mend the directory's rights; a value that is lost is read again with `millstream quarantine drop TABLE`".into()
            }
            ApplyError::Quarantined { .. } => {
                "give it up with `millstream quarantine drop TABLE`, which reads the table again".into()
            }
            ApplyError::OtherSource { .. } => {
                "give this project another warehouse file, or point source.postgres.url at the database it was made from".into()
            }
            ApplyError::State { .. } => "the file was written by another version; use that one, or resync".into(),
            ApplyError::Collision { .. } => {
                "rename one, leave one out with `tables: [\"!schema.name\"]`, or give up `warehouse.schema`".into()
            }
            ApplyError::Copy(_) | ApplyError::NoBase { .. } => {
                "read the table again with `millstream resync`".into()
            }
            ApplyError::CutOff(_) | ApplyError::Arrow(_) | ApplyError::Render(_) => return None,
            ApplyError::Port(error) => return error.hint(),
        })
    }

    fn action(&self) -> Action {
        match self {
            ApplyError::Port(error) => error.action(),
            ApplyError::QuarantineFile { source, .. }
                if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) =>
            {
                Action::Retry
            }
            _ => Action::Stop,
        }
    }

    fn exit(&self) -> Exit {
        match self {
            ApplyError::Port(error) => error.exit(),
            ApplyError::OtherSource { .. } | ApplyError::State { .. } => Exit::Protected,
            ApplyError::Collision { .. } => Exit::Usage,
            _ => Exit::Wrong,
        }
    }
}
