//! Rows copied from the source: the first load of a table, and the replacement of one that must be read again.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use arrow_array::RecordBatch;
use millstream_core::{
    base::{BaseId, BaseManifest, BaseStore, BaseTable},
    warehouse::{Moment, Progress, ReplaceCounts},
    Lsn, Position, TableId,
};
use millstream_pgoutput::copy::{CopyBatches, CopyColumn, CopyError};
use tracing::field::Empty;

use crate::{
    encode::EncodeError,
    error::ApplyError,
    exec::{copied_tuple, CopiedRow, Execution, Interrupt},
    quarantine::Reason,
    run::Applier,
    table::{Phase, Table},
};

/// Rows per record batch of a load: one row group of DuckDB's, so that none is left part-filled.
const LOAD_BATCH_ROWS_MAX: usize = 122_880;
/// Chunks per transaction: what has been finished while the ones before were loaded. Rows of one go on where the other's end, so that only the
/// last row group is left part-filled. Bounds what is loaded again after a kill, some GiB.
const LOAD_CHUNKS_MAX: usize = 64;
/// Bytes of COPY data per record batch.
const LOAD_BATCH_BYTES_MAX: u64 = 24 << 20;

/// When and where a base's rows open: behind everything that the snapshot holds.
fn opening(table: &BaseTable) -> Moment {
    let before = Lsn(table.fence.ends_at().0.saturating_sub(1));
    Moment { time: table.taken_at, position: Position { commit_lsn: before, ordinal: 0 } }
}

/// Which base each table is loaded from: the newest complete one, or the one being made.
fn newest(manifests: &[BaseManifest]) -> HashMap<TableId, (BaseId, &BaseTable)> {
    let mut newest: HashMap<TableId, (BaseId, &BaseTable)> = HashMap::new();
    for manifest in manifests {
        for table in &manifest.tables {
            let known = newest.get(&table.schema.id);
            if table.is_complete() || known.is_none_or(|(_, known)| !known.is_complete()) {
                newest.insert(table.schema.id, (manifest.id, table));
            }
        }
    }
    newest
}

/// Rows of complete tables of the base that a warehouse which holds these tables has still to load.
pub fn rows_waiting(manifests: &[BaseManifest], held: &[Table]) -> u64 {
    let waiting = |(base, from): (BaseId, &BaseTable)| {
        let held = held.iter().find(|table| table.layout.id == from.schema.id);
        let loaded: HashSet<u32> = match held.map(|table| &table.phase) {
            None => HashSet::new(),
            Some(Phase::Loading { base: loading, fence, chunks }) => {
                let same = *loading == base && *fence == from.fence;
                chunks.iter().copied().filter(|_| same).collect()
            }
            Some(_) => return 0,
        };
        let rows = from.chunks.iter().filter(|chunk| !loaded.contains(&chunk.number)).map(|chunk| chunk.rows);
        rows.sum()
    };
    newest(manifests).into_values().filter(|(_, from)| from.is_complete()).map(waiting).sum()
}

/// What becomes of a chunk's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// They open the history.
    Load,
    /// They replace the table's rows.
    Replace,
}

/// A number for a row that is set aside, which no other row of any copy has: 16 bits for the base, 16 for the chunk, 32 for the row.
fn row_number(base: BaseId, chunk: u32, row: u64) -> u64 {
    (base.0 & 0x7fff) << 48 | u64::from(chunk & 0xffff) << 32 | row & 0xffff_ffff
}

/// Loads or stages the rows of chunks, as if they were one; a value that does not fit makes its column wider and the transaction run again,
/// or its row is set aside.
fn chunk_rows(
    execution: &mut Execution<'_>,
    bases: &Arc<dyn BaseStore>,
    (base, from, numbers): (BaseId, &BaseTable, &[u32]),
    purpose: Purpose,
    at: Moment,
    mut loaded: impl FnMut(u64),
) -> Result<(), Interrupt> {
    execution.time = at.time;
    let id = from.schema.id;
    let Some(layout) = execution.current(id).map(|table| table.layout.clone()) else { return Ok(()) };
    let Some((&first, others)) = numbers.split_first() else { return Ok(()) };
    let read = |number| bases.read_chunk(base, id, number).map_err(ApplyError::from);
    let columns = from.schema.columns.iter().zip(&from.encodings).map(|(column, &encoding)| {
        let held = layout.live_columns().find(|held| held.attnum == column.attnum);
        CopyColumn::new(column, encoding, held.map(|held| held.column_type.clone()))
    });
    let columns: Vec<CopyColumn> = columns.collect();
    let mut batches = CopyBatches::new(read(first)?, &columns, LOAD_BATCH_ROWS_MAX, LOAD_BATCH_BYTES_MAX)
        .with_value_bytes_max(execution.value_bytes_max(&layout));
    let schema = Arc::new(from.schema.clone());
    let replace = purpose == Purpose::Replace;
    let mut write = |execution: &mut Execution<'_>, rows: Option<RecordBatch>| match rows {
        None => Ok(()),
        Some(rows) if replace => execution.stage(id, &rows),
        Some(rows) => {
            execution.load(from, &rows, at)?;
            loaded(rows.num_rows() as u64);
            Ok(())
        }
    };
    let (mut aside, mut aside_bytes) = (Vec::new(), 0);
    let (mut number, mut others) = (first, others.iter());
    loop {
        match batches.fill() {
            Ok(true) => write(execution, batches.batch().map_err(ApplyError::from)?)?,
            Ok(false) => match others.next() {
                Some(&next) => {
                    number = next;
                    batches.go_on_with(read(next)?);
                }
                None => break,
            },
            Err(CopyError::Value(row)) if execution.sets_aside(&layout, &row.error) => {
                let name = from.schema.columns.get(row.column).map_or("", |column| &column.name);
                let reason = Reason::of_value(name, &row.error);
                let tuple = copied_tuple(from, batches.failed_row());
                aside_bytes += tuple.as_bytes().len() as u64;
                aside.push(CopiedRow { ordinal: row_number(base, number, row.row), row: tuple, reason });
                if aside_bytes >= LOAD_BATCH_BYTES_MAX {
                    execution.set_rows_aside(&schema, std::mem::take(&mut aside), at, replace)?;
                    aside_bytes = 0;
                }
            }
            Err(CopyError::Value(row)) => {
                let held = layout.live_columns().find(|held| held.attnum == row.attnum);
                let Some(held) = held else { return Err(Interrupt::Failed(CopyError::Value(row).into())) };
                let key = format!("row {} of chunk {number} of the base", row.row);
                let error = EncodeError::of_value(held, row.error, key, opening(from).position);
                return execution.unfit(&layout, error);
            }
            Err(error) => return Err(Interrupt::Failed(error.into())),
        }
    }
    write(execution, batches.batch().map_err(ApplyError::from)?)?;
    execution.set_rows_aside(&schema, aside, at, replace)
}

impl Applier {
    /// Whether the first load is under way. Following the log waits for it.
    pub(crate) fn is_loading(&mut self) -> Result<bool, ApplyError> {
        if self.is_loaded {
            return Ok(false);
        }
        let manifests = self.bases.manifests()?;
        let is_new = manifests.is_empty() && self.tables.is_empty();
        self.is_loaded = !is_new
            && newest(&manifests).values().all(|(_, table)| match self.tables.get(&table.schema.id) {
                Some(held) => !matches!(held.phase, Phase::Loading { .. }),
                None => (self.selection.options)(&table.schema.name).is_none(),
            });
        Ok(!self.is_loaded)
    }

    /// Loads the next finished chunks of a table. Whether there were any.
    pub(crate) fn load_next(&mut self) -> Result<bool, ApplyError> {
        let manifests = self.bases.manifests()?;
        let mut candidates: Vec<(BaseId, &BaseTable)> = newest(&manifests).into_values().collect();
        candidates.sort_by_key(|(_, table)| table.schema.id);
        for (base, from) in candidates {
            let (phase, chunks) = match self.tables.get(&from.schema.id).map(|table| &table.phase) {
                None if (self.selection.options)(&from.schema.name).is_none() => continue,
                None => ("new", Vec::new()),
                Some(Phase::Loading { base: loading, fence, chunks })
                    if *loading == base && *fence == from.fence =>
                {
                    ("going on", chunks.clone())
                }
                // Its copy started again under another fence: what was loaded of the first one goes.
                Some(Phase::Loading { .. }) => ("again", Vec::new()),
                Some(_) => continue,
            };
            let known: HashSet<u32> = chunks.iter().copied().collect();
            let next = from.chunks.iter().filter(|chunk| !known.contains(&chunk.number));
            let next: Vec<_> = next.take(LOAD_CHUNKS_MAX).collect();
            let is_empty = from.is_complete() && from.chunks.is_empty();
            if next.is_empty() && !is_empty {
                continue;
            }
            let numbers: Vec<u32> = next.iter().map(|chunk| chunk.number).collect();
            let before = self.status.get().rows_loaded;
            let loaded = self.load_chunks(base, from, chunks, &numbers, phase == "again");
            let rows: u64 = next.iter().filter(|_| loaded.is_ok()).map(|chunk| chunk.rows).sum();
            self.status.update(|status| status.rows_loaded = before + rows);
            return loaded.map(|()| true);
        }
        Ok(false)
    }

    /// Loads chunks in one transaction; with the last one the table is live.
    fn load_chunks(
        &mut self,
        base: BaseId,
        from: &BaseTable,
        mut chunks: Vec<u32>,
        numbers: &[u32],
        again: bool,
    ) -> Result<(), ApplyError> {
        let id = from.schema.id;
        let at = opening(from);
        let Some(layout) = self.selection.layout(&from.schema) else { return Ok(()) };
        let new = Table {
            schema: Arc::new(from.schema.clone()),
            layout,
            phase: Phase::Loading { base, fence: from.fence.clone(), chunks: Vec::new() },
            history_since: Some(at),
            uncertain: Vec::new(),
            changes: Vec::new(),
        };
        chunks.extend(numbers);
        let is_whole = from.is_complete() && from.chunks.iter().all(|chunk| chunks.contains(&chunk.number));
        let phase = if is_whole {
            Phase::Live { fence: Some(from.fence.clone()) }
        } else {
            Phase::Loading { base, fence: from.fence.clone(), chunks }
        };
        self.feed.tick(at.time);
        let progress =
            Progress { applied_time: self.progress.applied_time.max(at.time), ..self.progress.clone() };
        let bases = self.bases.clone();
        let status = self.status.clone();
        let before = status.get().rows_loaded;
        let span = tracing::info_span!(
            parent: None,
            "load chunks",
            otel.status_code = Empty,
            millstream.table = %from.schema.name,
            millstream.chunks = numbers.len(),
            millstream.rows = Empty,
        );
        let _entered = span.enter();
        let loaded = self.in_transaction(&progress, |execution| {
            let mut rows_loaded = 0;
            match execution.current(id) {
                None => execution.put(new.clone())?,
                Some(held) if again => {
                    let layout = held.layout.clone();
                    execution.clear(&layout)?;
                }
                Some(_) => {}
            }
            chunk_rows(execution, &bases, (base, from, numbers), Purpose::Load, at, |rows| {
                // For those who watch; what counts is stated once the chunks are committed.
                rows_loaded += rows;
                status.update(|status| status.rows_loaded = before + rows_loaded);
            })?;
            span.record("millstream.rows", rows_loaded);
            let Some(mut table) = execution.current(id).cloned() else { return Ok(()) };
            table.phase = phase.clone();
            table.history_since = Some(at);
            execution.put(table)
        });
        if loaded.is_err() {
            span.record("otel.status_code", "ERROR");
        }
        loaded
    }

    /// Makes a table's rows equal a base's, at the position the base's fence was aligned to.
    pub(crate) fn replace(&mut self, base: BaseId, id: TableId) -> Result<ReplaceCounts, ApplyError> {
        let manifests = self.bases.manifests()?;
        let from =
            manifests.iter().find(|manifest| manifest.id == base).and_then(|manifest| manifest.table(id));
        let Some(from) = from.filter(|from| from.is_complete()) else {
            return Err(ApplyError::NoBase { table: id, base });
        };
        let schema = Arc::new(from.schema.clone());
        let time = self.feed.tick(from.taken_at);
        let at = Moment { time, ..self.between() };
        let progress = Progress { applied_time: time, ..self.progress.clone() };
        let bases = self.bases.clone();
        let counts = self.in_transaction(&progress, |execution| {
            execution.evolve(&schema, at)?;
            execution.supersede(id, "the table was read again", at.position)?;
            let numbers: Vec<u32> = from.chunks.iter().map(|chunk| chunk.number).collect();
            chunk_rows(execution, &bases, (base, from, &numbers), Purpose::Replace, at, |_| {})?;
            let counts = execution.replace(id, at)?;
            let Some(mut table) = execution.current(id).cloned() else { return Ok(counts) };
            table.phase = Phase::Live { fence: None };
            table.settle(at);
            table.history_since.get_or_insert(at);
            execution.put(table)?;
            Ok(counts)
        })?;
        tracing::info!(
            event = "table_replaced",
            table = %schema.name,
            inserted = counts.inserted,
            updated = counts.updated,
            deleted = counts.deleted,
            "the table was read again"
        );
        Ok(counts)
    }
}
