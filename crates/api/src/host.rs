//! What the servers need of the program that runs them.

use millstream_core::{
    log::Result,
    warehouse::{TableState, WarehouseReader},
    Lsn, TableName,
};

/// How far the warehouse has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Applied {
    /// Every transaction that committed at or before it is in the warehouse.
    pub lsn: Lsn,
}

/// A view of the project's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// Its name in the warehouse.
    pub name: TableName,
    /// Its SELECT.
    pub select: String,
}

/// The program. Its calls may block for as long as the disk does, but for [`Host::applied`].
pub trait Host: Send + Sync + 'static {
    /// The project's name.
    fn project(&self) -> &str;

    /// How far the warehouse has come; asked often.
    fn applied(&self) -> Applied;

    /// A reader of the warehouse. An error while there is none yet.
    fn reader(&self) -> Result<Box<dyn WarehouseReader>>;

    /// The replicated tables as last committed.
    fn tables(&self) -> Result<Vec<TableState>>;

    /// The project's views.
    fn models(&self) -> Result<Vec<Model>>;

    /// The document of `millstream status --json`.
    fn status(&self) -> Result<serde_json::Value>;
}
