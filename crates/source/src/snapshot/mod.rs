//! The initial snapshot: rows of tables into the base, several connections at a time.
//!
//! A new slot exports a snapshot that meets the stream exactly (PostgreSQL documentation, "Exported Snapshots and Replication Slots"). A slot that
//! exists exports none: a snapshot fenced by transaction id is taken instead, and the stream skips what it holds.
//!
//! **Resuming.** An exported snapshot dies with the process that held it, and another one sees other rows. After a kill, [`resume`] leaves every
//! table alone that is complete, and takes one new snapshot for the others. Their finished chunks are brought forward to it (`forward.rs`): what
//! changed in their pages since is replaced in them, so that all chunks of a table hold what one snapshot sees. What was not finished is copied. Which
//! chunks can be brought forward is decided in `carry.rs`. Within one run, a lost connection costs only the chunk at hand.

mod carry;
mod copy;
mod forward;
mod held;
mod observer;

use std::{sync::Arc, time::Duration};

use millstream_core::{
    base::{BaseId, BaseManifest, BaseStore, BaseTable, CopiedHeap, CopyEncoding, CopyOrigin, PageRange},
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
use forward::Forward;
use held::{Part, Written};

/// Connections that copy, unless chosen otherwise. Measured on two cores: one more hardly helps, and every one costs the source
/// a core while it copies.
pub const CONNECTIONS_DEFAULT: usize = 2;

/// How long the creation of a slot waits for transactions that are open, unless chosen otherwise.
pub const SLOT_CREATION_WAIT_MAX: Duration = Duration::from_secs(60);

/// Pages of a chunk of a small table: 16 MiB of rows. A chunk is loaded once it is finished, so this is what loading lags behind copying;
/// large enough that the statement's and the file's own costs don't show.
const CHUNK_PAGES: u64 = 2048;

/// Pages of a chunk of a large one: 64 MiB of rows. Small enough that a lost connection or a kill costs seconds.
const CHUNK_PAGES_MAX: u64 = 8192;

/// From so many chunks on they become larger, which bounds what is kept about them.
const CHUNKS_SMALL_MAX: u64 = 128;

/// The least pages of a chunk, unless chosen otherwise: 16 MiB of rows, or what a test says, whose tables would fit into one chunk.
pub fn chunk_pages_default() -> u64 {
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
    /// Pages of a chunk, at least 1; large tables have larger ones.
    pub chunk_pages: u64,
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
    for held in snapshots {
        let tables = plan(config, &held)?;
        planned.push((held, tables));
    }
    let tables = planned.iter().flat_map(|(_, tables)| tables.iter().cloned());
    let base = store.create(tables.collect()).map_err(SourceError::from_port)?;
    for (held, tables) in &planned {
        observer.plan(held, tables);
    }
    for (held, tables) in planned {
        let copied = run(config, &held, &tables, base, &store, &observer, &stop).await;
        held.release().await;
        copied?;
    }
    done();
    Ok(base)
}

/// Completes a base that was interrupted: its finished tables stay, the others are completed under a new snapshot. Tables that are gone
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
    let completed = complete_tables(config, manifest.id, &left, &held, &store, &observer, &stop).await;
    held.release().await;
    completed?;
    done();
    Ok(())
}

/// Copies a table ahead into a base of its own, which counts once [`complete`] has brought it forward. `None`: the table is so small that this
/// is not worth while, or gone.
pub async fn copy_ahead(
    config: &SnapshotConfig,
    table: TableId,
    store: Arc<dyn BaseStore>,
    stop: Stop,
) -> Result<Option<BaseId>> {
    let held = HeldSnapshot::take(&config.connection, config.publication.as_deref(), &[table]).await?;
    let mut planned = plan(config, &held)?;
    planned.retain(|table| table.chunks_planned > 1);
    if planned.is_empty() {
        held.release().await;
        return Ok(None);
    }
    for table in &mut planned {
        // One more than will come: until it is brought forward it must not be taken for complete.
        table.chunks_planned += 1;
    }
    let base = store.create(planned.clone()).map_err(SourceError::from_port)?;
    let observer = Arc::new(SnapshotObserver::default());
    let copied = run(config, &held, &planned, base, &store, &observer, &stop).await;
    held.release().await;
    match copied {
        Ok(()) => Ok(Some(base)),
        Err(error) => {
            // If that fails too, the next start completes it.
            let _ = store.delete(base);
            Err(error)
        }
    }
}

/// Brings a base that was copied ahead forward to a snapshot, and completes it.
pub async fn complete(
    config: &SnapshotConfig,
    base: BaseId,
    held: &HeldSnapshot,
    store: Arc<dyn BaseStore>,
    stop: Stop,
) -> Result<()> {
    let manifests = store.manifests().map_err(SourceError::from_port)?;
    let left: Vec<&BaseTable> = manifests
        .iter()
        .filter(|manifest| manifest.id == base)
        .flat_map(|manifest| &manifest.tables)
        .collect();
    let observer = Arc::new(SnapshotObserver::default());
    complete_tables(config, base, &left, held, &store, &observer, &stop).await
}

/// Completes tables of a base under a snapshot.
async fn complete_tables(
    config: &SnapshotConfig,
    base: BaseId,
    left: &[&BaseTable],
    held: &HeldSnapshot,
    store: &Arc<dyn BaseStore>,
    observer: &Arc<SnapshotObserver>,
    stop: &Stop,
) -> Result<()> {
    let mut planned = plan(config, held)?;
    planned.retain(|table| left.iter().any(|before| before.schema.id == table.schema.id));
    for table in &mut planned {
        let before = left.iter().find(|before| before.schema.id == table.schema.id);
        match before.map(|before| carry::carry(before, table, held.next_xid, config.chunk_pages)) {
            None | Some(Ok(None)) => {}
            Some(Ok(Some(carried))) => *table = carried,
            Some(Err(reason)) => {
                tracing::info!(
                    event = "table_starts_again",
                    table = %table.schema.name,
                    %reason,
                    "what was copied of the table before can't be used"
                );
            }
        }
        store.replace_table(base, table.clone()).map_err(SourceError::from_port)?;
    }
    for gone in left.iter().filter(|table| held.table(table.schema.id).is_none()) {
        let nothing = BaseTable {
            chunks_planned: 0,
            chunks: Vec::new(),
            earlier: Vec::new(),
            origin: None,
            ..(*gone).clone()
        };
        store.replace_table(base, nothing).map_err(SourceError::from_port)?;
    }
    observer.plan(held, &planned);
    run(config, held, &planned, base, store, observer, stop).await
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

/// The base's entries of a snapshot's tables.
fn plan(config: &SnapshotConfig, held: &HeldSnapshot) -> Result<Vec<BaseTable>> {
    held.tables
        .iter()
        .map(|table| {
            let types = (config.column_types)(&table.schema).map_err(SourceError::from_port)?;
            let heaps = table.heaps.iter().map(|heap| CopiedHeap { id: heap.id, filenode: heap.filenode });
            let ranges = ranges(table, config.chunk_pages);
            Ok(BaseTable {
                encodings: encodings(&table.schema, &types),
                schema: table.schema.clone(),
                fence: held.fence.clone(),
                taken_at: held.taken_at,
                chunks_planned: ranges.len() as u32,
                chunks: Vec::new(),
                earlier: Vec::new(),
                origin: Some(CopyOrigin {
                    horizon: held.horizon,
                    row_filter: table.row_filter.clone(),
                    enum_labels: table.enum_labels.clone(),
                    heaps: heaps.collect(),
                    ranges,
                }),
            })
        })
        .collect()
}

/// A table's chunks. A heap's size was read after the snapshot was taken, so none of its rows lies behind it.
fn ranges(table: &HeldTable, chunk_pages: u64) -> Vec<PageRange> {
    let mut ranges = Vec::new();
    for (heap, index) in table.heaps.iter().zip(0..) {
        if heap.by_range {
            let pages = chunk_pages.max((heap.pages / CHUNKS_SMALL_MAX).min(CHUNK_PAGES_MAX));
            cut(index, 0, heap.pages.max(1), pages, &mut ranges);
        } else {
            ranges.push(PageRange { heap: index, from: 0, to: None });
        }
    }
    ranges
}

/// Cuts pages into chunks.
fn cut(heap: u32, from: u64, to: u64, chunk_pages: u64, ranges: &mut Vec<PageRange>) {
    let mut start = from;
    // Bounded by the heap's size.
    while start < to {
        let end = (start + chunk_pages.max(1)).min(to);
        ranges.push(PageRange { heap, from: start, to: Some(end) });
        start = end;
    }
}

/// Copies tables of a snapshot.
async fn run(
    config: &SnapshotConfig,
    held: &HeldSnapshot,
    planned: &[BaseTable],
    base: BaseId,
    store: &Arc<dyn BaseStore>,
    observer: &Arc<SnapshotObserver>,
    stop: &Stop,
) -> Result<()> {
    let jobs = planned.iter().filter_map(|entry| Some(jobs(held.table(entry.schema.id)?, entry))).flatten();
    copy::run(config, &held.exported, jobs.collect(), base, store, observer, stop).await
}

/// What is to be done for each chunk of a table.
fn jobs(table: &HeldTable, entry: &BaseTable) -> Vec<Job> {
    let Some(origin) = &entry.origin else { return Vec::new() };
    let job = |(&pages, number): (&PageRange, u32)| {
        let copied = origin.heaps.get(pages.heap as usize)?;
        let heap = table.heaps.iter().find(|heap| heap.id == copied.id)?;
        let part = |written| Part { heap, pages, written };
        let whole = part(Written::Whenever);
        let forward = entry.earlier(number).map(|earlier| Forward {
            chunk: earlier.chunk.clone(),
            count: table.count_by_age(&whole, earlier.horizon),
            newer: table.copy_part(&entry.encodings, &part(Written::Since(earlier.horizon))),
            keys: table.schema.key.clone().map(|key| {
                let part = part(Written::Before(earlier.horizon));
                (table.copy_keys(&entry.encodings, &key, &part), key)
            }),
        });
        let statement = table.copy_part(&entry.encodings, &whole);
        Some(Job { table: table.schema.id, number, statement, forward })
    };
    origin.ranges.iter().zip(0..).filter_map(job).collect()
}

/// Encodings of a table's columns: how its rows stand in a COPY whose columns become `types`.
pub fn encodings(schema: &TableSchema, types: &[ColumnType]) -> Vec<CopyEncoding> {
    let kinds = schema.columns.iter().map(|column| &column.pg_type.kind);
    kinds.zip(types).map(|(kind, column_type)| copy_encoding(kind, column_type)).collect()
}
