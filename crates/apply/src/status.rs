//! What apply is doing, for whoever asks, without waiting for it.

use std::sync::Mutex;

use millstream_core::{warehouse::Moment, Lsn, TableId, TableName, Timestamp};

/// A table's part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableProgress {
    /// OID at the source.
    pub id: TableId,
    /// Name at the source.
    pub source: TableName,
    /// Name in the warehouse.
    pub target: TableName,
    /// `loading`, `catching_up` (its rows are newer than other tables'), `live`, `needs_resync` or `gone`.
    pub phase: &'static str,
    /// Why it must be read again, if it must.
    pub reason: Option<String>,
    /// Since when its history is complete.
    pub history_since: Option<Moment>,
    /// Commit LSN of the last transaction that changed it.
    pub applied_lsn: Lsn,
}

/// A picture of apply.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// All transactions with `commit_lsn` at or before this are in the warehouse.
    pub applied_lsn: Lsn,
    /// All transactions with `commit_lsn` before this are in the warehouse, and the log knows of no other.
    pub complete_through: Lsn,
    /// The last version time given out.
    pub applied_time: Timestamp,
    /// Transactions applied since the start.
    pub transactions: u64,
    /// Changes of rows applied since the start.
    pub changes: u64,
    /// Rows loaded from the base since the start, those of a chunk that is not committed yet included.
    pub rows_loaded: u64,
    /// How often a table was made, changed in form, read again or retired since the start.
    pub generation: u64,
    /// Whether it is held at a position.
    pub paused: bool,
    /// All tables.
    pub tables: Vec<TableProgress>,
}

/// Where the picture hangs.
#[derive(Debug, Default)]
pub struct ApplyStatus {
    current: Mutex<Snapshot>,
}

impl ApplyStatus {
    /// The picture now.
    pub fn get(&self) -> Snapshot {
        self.current.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut Snapshot)) {
        change(&mut self.current.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
    }
}
