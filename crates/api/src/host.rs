//! What the servers need of the program that runs them.

use std::sync::Arc;

use millstream_core::{
    log::Result,
    warehouse::{TableState, WarehouseReader},
    Lsn, TableName,
};

use crate::{access::Access, endpoint::Endpoint};

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

/// A view of the project's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// Its name in the warehouse.
    pub name: TableName,
    /// Its SELECT.
    pub select: String,
}

/// The endpoints as their files say, and which files say something wrong.
#[derive(Debug, Default, PartialEq)]
pub struct Endpoints {
    /// Those that can be served.
    pub served: Vec<Endpoint>,
    /// Others: their file, and what is wrong with it.
    pub broken: Vec<(String, String)>,
}

/// The program. Its calls may block for as long as the disk does, but for [`Host::applied`] and [`Host::endpoints`].
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

    /// The replicated tables as last committed.
    fn tables(&self) -> Result<Vec<TableState>>;

    /// The project's views.
    fn models(&self) -> Result<Vec<Model>>;

    /// The document of `millstream status --json`.
    fn status(&self) -> Result<serde_json::Value>;
}
