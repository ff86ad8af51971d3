//! What the servers need of the program that runs them.

use std::{sync::Arc, time::Duration};

use millstream_core::{
    log::Result,
    warehouse::{TableState, WarehouseReader},
    BoxedDiagnostic, Description, Exit, Lsn, Maintainer, TableName, Trust,
};

use millstream_store::Store;

use crate::{access::Access, answer::Interrupt, dashboard::Dashboard, endpoint::Endpoint};

/// What a statement of the project gives and reads. The inner error is one of the statement itself, which will be so until the project or its
/// tables change. What passes, such as no memory just now, is the outer one: nothing follows from it, and nothing may be kept.
pub(crate) fn described(
    reader: &mut dyn WarehouseReader,
    sql: &str,
) -> Result<std::result::Result<Description, BoxedDiagnostic>> {
    match reader.describe(sql, Trust::Owner, None) {
        Err(error) if error.exit() != Exit::Usage => Err(error),
        other => Ok(other),
    }
}

/// How far the warehouse has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// Every transaction that committed at or before it is in the warehouse.
    pub lsn: Lsn,
    /// Where the newest first copy of a table stands: what can be read is never of before it.
    pub since: Lsn,
    /// Counts what changes tables without a transaction of the source: one read again, a column that came or went.
    pub generation: u64,
    /// The commit LSN of the last transaction that changed each table since the program began, by its name in the warehouse.
    pub tables: Vec<(TableName, Lsn)>,
    /// Transactions applied since the program began.
    pub transactions: u64,
    /// Changes of rows applied since the program began.
    pub changes: u64,
}

/// A view or table of the project's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// Its name in the warehouse.
    pub name: TableName,
    /// A view's SELECT; of a table, what it was made by where that is known, and a SELECT of all of it otherwise.
    pub select: String,
    /// Whether it is a table: it holds what it was last made of.
    pub holds: bool,
}

/// The endpoints as their files say, and which files say something wrong.
#[derive(Debug, Default, PartialEq)]
pub struct Endpoints {
    /// Those that can be served.
    pub served: Vec<Endpoint>,
    /// Others: their file, and what is wrong with it.
    pub broken: Vec<(String, String)>,
}

/// The dashboards as their files say, and which files say something wrong.
#[derive(Debug, Default, PartialEq)]
pub struct Dashboards {
    /// Those that can be shown.
    pub served: Vec<Dashboard>,
    /// Others: their file, and what is wrong with it.
    pub broken: Vec<(String, String)>,
}

/// A query that the project keeps for whoever asks it again.
#[derive(Debug, Clone, PartialEq)]
pub struct SavedQuery {
    /// Its file's name without the suffix.
    pub name: String,
    /// What it is called.
    pub title: String,
    /// What it answers, for people.
    pub description: Option<String>,
    /// The roles that it is shown to, if they may ask in SQL; `None`: those that may do everything.
    pub roles: Option<Vec<String>>,
    /// Its file, relative to the project.
    pub file: String,
    /// The SELECT.
    pub sql: String,
}

/// The saved queries as their files say, and which files say something wrong.
#[derive(Debug, Default, PartialEq)]
pub struct SavedQueries {
    /// Those that can be shown.
    pub served: Vec<SavedQuery>,
    /// Others: their file, and what is wrong with it.
    pub broken: Vec<(String, String)>,
}

/// Pictures of the project, one a second, as JSON documents. They are numbered from 1 on.
#[derive(Debug, Clone, Default)]
pub struct Samples {
    /// The number of the newest.
    pub newest: u64,
    /// Those behind the number that was asked for, the oldest first.
    pub documents: Vec<Arc<str>>,
}

/// What became of spans on their way to a collector of traces since the program began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traced {
    /// Those that it took.
    pub sent: u64,
    /// Those that it did not, or that there was no room for.
    pub dropped: u64,
}

/// Changes as the log holds them, from a position on.
pub trait Changes: Send {
    /// The next ones, in Debezium's envelope; none after waiting so long for some. An error once the log no longer holds what comes next.
    fn next(&mut self, wait: Duration) -> Result<Vec<String>>;
}

/// The program. Its calls may block for as long as the disk does, but for [`Host::applied`], [`Host::samples`], and those that give what files
/// say.
pub trait Host: Send + Sync + 'static {
    /// The project's name.
    fn project(&self) -> &str;

    /// Who may ask for what; `None`: everybody for everything.
    fn access(&self) -> Option<Arc<Access>>;

    /// How far the warehouse has come; asked often.
    fn applied(&self) -> Applied;

    /// The endpoints now: another `Arc` when their files have changed.
    fn endpoints(&self) -> Arc<Endpoints>;

    /// Whether everything that was at the source at the start can be read.
    fn is_ready(&self) -> bool;

    /// A reader of the warehouse. An error while there is none yet.
    fn reader(&self) -> Result<Box<dyn WarehouseReader>>;

    /// What keeps results that follow the changes; `None`: the warehouse can't.
    fn maintainer(&self) -> Result<Option<Box<dyn Maintainer>>>;

    /// The replicated tables as last committed.
    fn tables(&self) -> Result<Vec<TableState>>;

    /// The project's views and tables.
    fn models(&self) -> Result<Vec<Model>>;

    /// Whether the models are a dbt project.
    fn has_dbt_project(&self) -> bool;

    /// What the program itself remembers, of models among it.
    fn store(&self) -> Result<Arc<Store>>;

    /// Where a column of a node of the project comes from and what is made of it, as docs/reference/console.md has it; `None`: there is no such column.
    fn column_lineage(&self, node: &str, column: &str) -> Result<Option<serde_json::Value>>;

    /// The document of `millstream status --json`.
    fn status(&self) -> Result<serde_json::Value>;

    /// The dashboards now: another `Arc` when their files have changed.
    fn dashboards(&self) -> Arc<Dashboards>;

    /// The saved queries now: another `Arc` when their files have changed.
    fn queries(&self) -> Arc<SavedQueries>;

    /// The pictures of the last minutes behind the numbered one; 0: all that are kept.
    fn samples(&self, behind: u64) -> Samples;

    /// Changes of transactions from the one with this commit LSN on, of all tables or one (`schema.table` at the source); without a position those
    /// to come.
    fn changes(&self, table: Option<&str>, from: Option<Lsn>) -> Result<Box<dyn Changes>>;

    /// The newest changes that the log holds, at most so many, the oldest first. Where a table changes rarely, those far back are not found.
    fn newest_changes(&self, table: Option<&str>, count: usize) -> Result<Vec<String>>;

    /// Makes a span that nobody has entered yet part of the trace that a client names by the headers `traceparent` and `tracestate`.
    fn follow(&self, span: &tracing::Span, traceparent: &str, tracestate: Option<&str>);

    /// What became of spans; `None`: nothing is traced.
    fn traced(&self) -> Option<Traced>;

    /// Reads tables (`schema.table` at the source) again, as `millstream resync` does, which can take long. Returns that verb's document.
    fn resync(&self, tables: &[String], interrupt: &Interrupt) -> Result<serde_json::Value>;
}
