//! A running snapshot's progress, readable from any thread at any time.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use millstream_core::{base::BaseTable, TableId, TableName};

use super::held::{HeldSnapshot, HeldTable};

/// A table's progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableProgress {
    /// Which.
    pub name: TableName,
    /// Copied so far, those of chunks that are not finished included.
    pub rows: u64,
    /// The same in bytes.
    pub bytes: u64,
    /// Rows as of the last ANALYZE, if there was one, as far as the table has grown since: an estimate.
    pub rows_estimated: Option<u64>,
    /// Size of the table's pages, in bytes.
    pub heap_bytes: u64,
    /// Chunks that are finished.
    pub chunks: u32,
    /// Of those, the ones that an earlier copy left, whose rows were not copied again.
    pub chunks_kept: u32,
    /// Chunks there will be.
    pub chunks_planned: u32,
}

impl TableProgress {
    /// How many rows there will be, by what is known so far: certain once all is copied, never fewer than are there.
    pub fn rows_expected(&self) -> u64 {
        if self.chunks == self.chunks_planned {
            return self.rows;
        }
        // Never analysed: as wide as those that came. COPY output is about as long as the pages it comes from.
        let by_bytes = || {
            let share = self.bytes as f64 / (self.heap_bytes.max(1)) as f64;
            if share > 0.0 {
                (self.rows as f64 / share) as u64
            } else {
                0
            }
        };
        self.rows_estimated.unwrap_or_else(by_bytes).max(self.rows)
    }
}

/// All tables' progress.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SnapshotStatus {
    /// By table.
    pub tables: BTreeMap<TableId, TableProgress>,
}

impl SnapshotStatus {
    /// Rows copied so far.
    pub fn rows(&self) -> u64 {
        self.tables.values().map(|table| table.rows).sum()
    }

    /// Bytes copied so far.
    pub fn bytes(&self) -> u64 {
        self.tables.values().map(|table| table.bytes).sum()
    }

    /// Chunks whose rows were not copied again.
    pub fn chunks_kept(&self) -> u32 {
        self.tables.values().map(|table| table.chunks_kept).sum()
    }

    /// How much is done, from 0 to 1, by chunks: they are of equal size, and estimates of rows can be years old.
    pub fn fraction(&self) -> f64 {
        let planned: u64 = self.tables.values().map(|table| u64::from(table.chunks_planned)).sum();
        let done: u64 = self.tables.values().map(|table| u64::from(table.chunks)).sum();
        if planned == 0 {
            1.0
        } else {
            done as f64 / planned as f64
        }
    }
}

/// Keeps the figures.
#[derive(Debug, Default)]
pub struct SnapshotObserver(Mutex<SnapshotStatus>);

impl SnapshotObserver {
    /// The figures now.
    pub fn status(&self) -> SnapshotStatus {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, SnapshotStatus> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn plan(&self, held: &HeldSnapshot, tables: &[BaseTable]) {
        let mut status = self.lock();
        for table in tables {
            let known = held.table(table.schema.id);
            let progress = TableProgress {
                name: table.schema.name.clone(),
                rows: 0,
                bytes: 0,
                rows_estimated: known.and_then(|table| table.rows_estimated),
                heap_bytes: known.map_or(0, HeldTable::bytes),
                chunks: 0,
                chunks_kept: 0,
                chunks_planned: table.chunks_planned,
            };
            status.tables.insert(table.schema.id, progress);
        }
    }

    /// More was copied; negative where a chunk starts again.
    pub(super) fn moved(&self, table: TableId, rows: i64, bytes: i64) {
        if let Some(progress) = self.lock().tables.get_mut(&table) {
            progress.rows = progress.rows.saturating_add_signed(rows);
            progress.bytes = progress.bytes.saturating_add_signed(bytes);
        }
    }

    /// A chunk is there.
    pub(super) fn finished(&self, table: TableId, kept: bool) {
        if let Some(progress) = self.lock().tables.get_mut(&table) {
            progress.chunks += 1;
            progress.chunks_kept += u32::from(kept);
        }
    }
}
