//! The initial snapshot: rows of tables into the base, several connections at a time.
//!
//! A new slot exports a snapshot that meets the stream exactly (PostgreSQL documentation, "Exported Snapshots and Replication Slots"). A slot that
//! exists exports none: a snapshot fenced by transaction id is taken instead, and the stream skips what it holds.
//!
//! **Resuming.** An exported snapshot dies with the process that held it, and rows move between pages, so chunks of two snapshots of one
//! table can't be put together. After a kill, [`resume`] keeps every table that is complete under the fence it was copied with, and copies
//! the others again from their beginning under a new one. Within one run, a lost connection costs only the chunk at hand.

mod copy;
mod held;
mod observer;

use std::{sync::Arc, time::Duration};

use millstream_core::{
    base::{BaseId, BaseManifest, BaseStore, BaseTable, CopyEncoding},
    log::Result as PortResult,
    ColumnType, TableId, TableSchema,
};
use millstream_pgoutput::types::copy_encoding;

pub use held::{HeldSnapshot, HeldTable, TableCopy};
pub use observer::{SnapshotObserver, SnapshotStatus, TableProgress};

use crate::{
    blockers::open_transactions,
    catalog::clock,
    config::Connection,
    error::{Result, SourceError},
    replication::{CreatedSlot, Replication},
    stop::Stop,
    wire::Wire,
};
use copy::Job;

/// Connections that copy, unless chosen otherwise. Measured on two cores: one more hardly helps, and every one costs the source
/// a core while it copies.
pub const CONNECTIONS_DEFAULT: usize = 2;

/// How long the creation of a slot waits for transactions that are open, unless chosen otherwise.
pub const SLOT_CREATION_WAIT_MAX: Duration = Duration::from_secs(60);

/// Pages of a chunk: 64 MiB of rows. Small enough that a lost connection or a kill costs seconds, large enough that the statement's and the
/// file's own costs don't show.
const CHUNK_PAGES: u64 = 8192;

/// [`CHUNK_PAGES`], or what a test says, whose tables would fit into one chunk.
fn chunk_pages() -> u64 {
    fail::fail_point!("source::chunk_pages", |pages| pages
        .and_then(|pages| pages.parse().ok())
        .unwrap_or(CHUNK_PAGES));
    CHUNK_PAGES
}

/// Decides a table's column types in the warehouse, in the order of its columns; with them how each column is copied.
pub type ColumnTypes = dyn Fn(&TableSchema) -> PortResult<Vec<ColumnType>> + Send + Sync;

/// What to copy.
#[derive(Clone)]
pub struct SnapshotConfig {
    /// From where.
    pub connection: Connection,
    /// Whose column lists and row filters hold.
    pub publication: Option<String>,
    /// Which tables.
    pub tables: Vec<TableId>,
    /// How many connections copy at once, at least 1.
    pub connections: usize,
    /// What their columns become.
    pub column_types: Arc<ColumnTypes>,
}

/// From which snapshot the first base is copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SlotUse {
    /// Create this slot, and copy from the snapshot that it exports.
    Create {
        /// Its name.
        slot: String,
        /// How long open transactions are waited for.
        wait_max: Duration,
    },
    /// The slot is there: take a snapshot fenced by transaction id.
    Existing,
}

/// Creates a base and copies all tables into it. What was copied until an error stays, for [`resume`].
pub async fn copy(
    config: &SnapshotConfig,
    slot: &SlotUse,
    store: Arc<dyn BaseStore>,
    observer: Arc<SnapshotObserver>,
    stop: Stop,
) -> Result<BaseId> {
    let mut tables = config.tables.clone();
    let mut snapshots = Vec::new();
    if let SlotUse::Create { slot, wait_max } = slot {
        let mut wire = Wire::connect(&config.connection).await?;
        let taken_at = clock(&mut wire).await?;
        wire.close().await;
        let (replication, created) = create_slot(&config.connection, slot, *wait_max).await?;
        let publication = config.publication.as_deref();
        let (held, moved) =
            HeldSnapshot::import(&config.connection, publication, &tables, &created, taken_at).await?;
        replication.close().await;
        tables = moved;
        snapshots.push(held);
    }
    if !tables.is_empty() {
        snapshots.push(HeldSnapshot::take(&config.connection, config.publication.as_deref(), &tables).await?);
    }
    let mut planned = Vec::new();
    for held in &snapshots {
        planned.extend(plan(config, held)?);
    }
    let base = store
        .create(planned.iter().map(|(table, _)| table.clone()).collect())
        .map_err(SourceError::from_port)?;
    observer.plan(&planned.iter().map(|(table, rows)| (table, *rows)).collect::<Vec<_>>());
    for held in snapshots {
        run(config, held, base, &store, &observer, &stop).await?;
    }
    done();
    Ok(base)
}

/// Completes a base that was interrupted: its finished tables stay, the others are copied again under a new snapshot. Tables that are gone
/// from the source meanwhile are left as they are, without rows to come.
pub async fn resume(
    config: &SnapshotConfig,
    manifest: &BaseManifest,
    store: Arc<dyn BaseStore>,
    observer: Arc<SnapshotObserver>,
    stop: Stop,
) -> Result<()> {
    let left: Vec<&BaseTable> = manifest.tables.iter().filter(|table| !table.is_complete()).collect();
    if left.is_empty() {
        return Ok(());
    }
    let tables: Vec<TableId> = left.iter().map(|table| table.schema.id).collect();
    let held = HeldSnapshot::take(&config.connection, config.publication.as_deref(), &tables).await?;
    let planned = plan(config, &held)?;
    for (table, _) in &planned {
        store.replace_table(manifest.id, table.clone()).map_err(SourceError::from_port)?;
    }
    for gone in left.iter().filter(|table| held.table(table.schema.id).is_none()) {
        let nothing = BaseTable { chunks_planned: 0, chunks: Vec::new(), ..(*gone).clone() };
        store.replace_table(manifest.id, nothing).map_err(SourceError::from_port)?;
    }
    observer.plan(&planned.iter().map(|(table, rows)| (table, *rows)).collect::<Vec<_>>());
    run(config, held, manifest.id, &store, &observer, &stop).await?;
    done();
    Ok(())
}

fn done() {
    fail::fail_point!("source::snapshot_done");
}

/// Creates a slot; an error about open transactions names them.
pub async fn create_slot(
    connection: &Connection,
    slot: &str,
    wait_max: Duration,
) -> Result<(Replication, CreatedSlot)> {
    let mut replication = Replication::connect(connection).await?;
    match replication.create_slot(slot, wait_max).await {
        Ok(created) => Ok((replication, created)),
        Err(SourceError::OpenTransactions { doing, .. }) => {
            let mut wire = Wire::connect(connection).await?;
            let blockers = open_transactions(&mut wire).await?;
            wire.close().await;
            Err(SourceError::OpenTransactions { doing, waited_s: wait_max.as_secs(), blockers })
        }
        Err(error) => Err(error),
    }
}

/// The base's entries of a snapshot's tables, with the rows that each is thought to have.
fn plan(config: &SnapshotConfig, held: &HeldSnapshot) -> Result<Vec<(BaseTable, Option<u64>)>> {
    held.tables
        .iter()
        .map(|table| {
            let types = (config.column_types)(&table.schema).map_err(SourceError::from_port)?;
            let entry = BaseTable {
                encodings: encodings(&table.schema, &types),
                schema: table.schema.clone(),
                fence: held.fence.clone(),
                taken_at: held.taken_at,
                chunks_planned: ranges(table).len() as u32,
                chunks: Vec::new(),
            };
            Ok((entry, table.rows_estimated))
        })
        .collect()
}

/// A table's chunks: heap, first page, and the page behind the last (`None`: to the end).
fn ranges(table: &HeldTable) -> Vec<(usize, u64, Option<u64>)> {
    let mut ranges = Vec::new();
    for (index, heap) in table.heaps.iter().enumerate() {
        let chunk_pages = chunk_pages();
        let chunks = if heap.by_range { heap.pages.div_ceil(chunk_pages).max(1) } else { 1 };
        for chunk in 0..chunks {
            let end = (chunk + 1 < chunks).then_some((chunk + 1) * chunk_pages);
            ranges.push((index, chunk * chunk_pages, end));
        }
    }
    ranges
}

/// Copies all tables of a snapshot, then lets go of it.
async fn run(
    config: &SnapshotConfig,
    held: HeldSnapshot,
    base: BaseId,
    store: &Arc<dyn BaseStore>,
    observer: &Arc<SnapshotObserver>,
    stop: &Stop,
) -> Result<()> {
    let mut jobs = Vec::new();
    for (table, (entry, _)) in held.tables.iter().zip(plan(config, &held)?) {
        for (number, (heap, from, to)) in (0..).zip(ranges(table)) {
            let statement = table.copy_statement(&entry.encodings, Some((&table.heaps[heap], from, to)));
            jobs.push(Job { table: table.schema.id, number, statement });
        }
    }
    let copied = copy::run(config, &held.exported, jobs, base, store, observer, stop).await;
    held.release().await;
    copied
}

/// Encodings of a table's columns: how its rows stand in a COPY whose columns become `types`.
pub fn encodings(schema: &TableSchema, types: &[ColumnType]) -> Vec<CopyEncoding> {
    let kinds = schema.columns.iter().map(|column| &column.pg_type.kind);
    kinds.zip(types).map(|(kind, column_type)| copy_encoding(kind, column_type)).collect()
}
