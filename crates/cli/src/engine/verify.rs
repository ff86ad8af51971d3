//! `verify`: every row, source against warehouse, at one position, while changes go on.

use std::{
    collections::BTreeSet,
    io::{self, Read},
    sync::PoisonError,
};

use bytes::Bytes;
use millstream_core::{
    base::CopyEncoding,
    warehouse::{Comparison, Difference, TableLayout, WarehouseReader},
    Lsn, TableId, TableSchema,
};
use millstream_pgoutput::copy::{CopyBatches, CopyColumn, CopyError};
use millstream_source::{
    snapshot::{encodings, HeldSnapshot},
    SourceError,
};
use millstream_warehouse::DuckReader;
use serde_json::{json, Value};
use tokio::sync::mpsc;

use super::{
    desk::{done, Desk},
    fenced::hold,
    quarantine,
    session::Live,
};
use crate::{
    error::ProgramError,
    failure::{Doing, Failure},
    instance::{Cancellation, Emit, Event},
    verbs::verdict,
};

/// Keys named for each kind of difference: enough to see a pattern.
const KEYS_MAX: usize = 10;

/// Rows and bytes of the batches that are compared: as for loading, what fills DuckDB's row groups at little memory.
const BATCH_ROWS_MAX: usize = 122_880;
const BATCH_BYTES_MAX: u64 = 16 << 20;

/// Pieces of COPY output between the socket and the decoder.
const PIECES_WAITING_MAX: usize = 8;

/// Compares the tables; none named: all.
pub(super) fn run(
    desk: &Desk,
    names: &[String],
    emit: &mut dyn Emit,
    cancellation: &Cancellation,
) -> Result<Event, Failure> {
    let live = desk.live()?;
    let wanted = desk.named_tables(names)?;
    let _one_at_a_time = live.exclusive.lock().unwrap_or_else(PoisonError::into_inner);
    let warehouse = desk.warehouse()?;
    let chosen = |layout: &TableLayout| wanted.is_empty() || wanted.contains(&layout.source);
    let ids: Vec<TableId> = warehouse
        .tables()?
        .into_iter()
        .filter(|table| chosen(&table.layout) && !table.phase_json.contains("\"gone\""))
        .map(|table| table.layout.id)
        .collect();

    let (mut snapshot, held) = hold(live, &ids, cancellation)?;
    // Before the first transaction the warehouse stands at the snapshot's own position.
    let position = if held.position == Lsn::ZERO { snapshot.fence.ends_at() } else { held.position };
    // The reader sees the warehouse as it is at the position, whatever is applied from now on.
    let mut reader = warehouse.reader()?;
    reader.begin()?;
    let mut layouts: Vec<TableLayout> = warehouse
        .tables()?
        .into_iter()
        .map(|table| table.layout)
        .filter(|layout| ids.contains(&layout.id))
        .collect();
    layouts.sort_by(|a, b| a.source.cmp(&b.source));
    drop(held);

    let aside = quarantine::held(&mut reader)?;
    let mut tables = Vec::new();
    let mut equal = true;
    for layout in &layouts {
        cancellation.check()?;
        let comparison;
        (snapshot, comparison) = table(live, snapshot, layout, &mut reader, emit, cancellation)
            .doing(format!("comparing {}", layout.source))?;
        equal &= comparison.is_equal();
        let mut described = describe(layout, &comparison);
        if let Some(held) = aside.get(&layout.id) {
            described["quarantined"] = json!({
                "count": held.len(),
                "keys": held.iter().map(|change| &change.key).collect::<BTreeSet<_>>().into_iter().take(KEYS_MAX).collect::<Vec<_>>(),
            });
        }
        tables.push(described);
    }
    reader.end()?;
    live.runtime.block_on(snapshot.release());
    done(verdict(equal), &json!({ "position": position.to_string(), "equal": equal, "tables": tables }))
}

fn describe(layout: &TableLayout, comparison: &Comparison) -> Value {
    let difference = |difference: &Difference| json!({ "count": difference.count, "keys": difference.keys });
    json!({
        "name": layout.source.to_string(),
        "equal": comparison.is_equal(),
        "rows_source": comparison.rows_source,
        "rows_warehouse": comparison.rows_warehouse,
        "missing": difference(&comparison.missing),
        "extra": difference(&comparison.extra),
        "different": difference(&comparison.different),
    })
}

fn table(
    live: &Live,
    snapshot: HeldSnapshot,
    layout: &TableLayout,
    reader: &mut DuckReader,
    emit: &mut dyn Emit,
    cancellation: &Cancellation,
) -> Result<(HeldSnapshot, Comparison), Failure> {
    let Some(schema) = snapshot.table(layout.id).map(|table| table.schema.clone()) else {
        return Err(ProgramError::GoneFromSource { table: layout.source.to_string() }.into());
    };
    let columns = columns(&schema, layout)?;
    let encodings: Vec<CopyEncoding> = columns.iter().map(|column| column.encoding).collect();
    let (input, rows) = stream(live, snapshot, layout.id, encodings);
    let label = format!("verify {}", layout.source);
    let mut batches = CopyBatches::new(input, &columns, BATCH_ROWS_MAX, BATCH_BYTES_MAX);
    let mut unfit = Difference::default();
    let mut compared = 0;
    let failed = loop {
        match batches.next_batch() {
            Ok(Some(batch)) => {
                compared += batch.num_rows() as u64;
                reader.stage(layout, &batch)?;
                emit.emit(Event::Progress { label: label.clone(), done: compared, total: 0 })?;
                cancellation.check()?;
            }
            Ok(None) => break None,
            // The warehouse's column can't hold it, so the warehouse does not.
            Err(CopyError::Value(row)) => {
                unfit.count += 1;
                if unfit.keys.len() < KEYS_MAX {
                    unfit.keys.push(format!("row {} of the table: {}", row.row + 1, row.error));
                }
            }
            Err(error) => break Some(error),
        }
    };
    drop(batches);
    let (snapshot, copied) = live.runtime.block_on(rows).map_err(|_| ProgramError::Cancelled)?;
    // A stream that breaks off is the connection's fault first.
    copied?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    let mut comparison = reader.compare_staged(layout, KEYS_MAX)?;
    comparison.rows_source += unfit.count;
    comparison.missing.count += unfit.count;
    comparison.missing.keys.extend(unfit.keys);
    Ok((snapshot, comparison))
}

/// The columns as they are copied and what they become. Both sides must have the same ones.
fn columns(schema: &TableSchema, layout: &TableLayout) -> Result<Vec<CopyColumn>, Failure> {
    let held = |attnum| layout.live_columns().find(|column| column.attnum == attnum);
    let other = |what: String| ProgramError::OtherColumns { table: layout.source.to_string(), what };
    let types = schema
        .columns
        .iter()
        .map(|column| {
            let held = held(column.attnum).map(|held| held.column_type.clone());
            held.ok_or_else(|| other(format!("the warehouse lacks {}", column.name)))
        })
        .collect::<Result<Vec<_>, _>>()?;
    if let Some(lost) = layout.live_columns().find(|column| schema.column_by_attnum(column.attnum).is_none())
    {
        return Err(other(format!("the source lacks {}", lost.name)).into());
    }
    let encodings = encodings(schema, &types);
    let columns = schema.columns.iter().zip(encodings).zip(types);
    Ok(columns.map(|((column, encoding), to)| CopyColumn::new(column, encoding, Some(to))).collect())
}

type Copied = tokio::task::JoinHandle<(HeldSnapshot, Result<u64, SourceError>)>;

/// Copies a table of the snapshot into a reader; the task gives the snapshot back with the number of rows.
pub(super) fn stream(
    live: &Live,
    mut snapshot: HeldSnapshot,
    table: TableId,
    encodings: Vec<CopyEncoding>,
) -> (Pieces, Copied) {
    let (sender, receiver) = mpsc::channel(PIECES_WAITING_MAX);
    let task = live.runtime.spawn(async move {
        let copied = copy(&mut snapshot, table, &encodings, sender).await;
        (snapshot, copied)
    });
    (Pieces { receiver, piece: Bytes::new() }, task)
}

async fn copy(
    snapshot: &mut HeldSnapshot,
    table: TableId,
    encodings: &[CopyEncoding],
    sender: mpsc::Sender<Bytes>,
) -> Result<u64, SourceError> {
    let mut copy = snapshot.copy(table, encodings).await?;
    let mut wanted = true;
    while let Some(piece) = copy.next().await? {
        // Even if nobody listens any more, the COPY is read to its end: its connection is of no use otherwise.
        wanted = wanted && sender.send(Bytes::copy_from_slice(piece)).await.is_ok();
    }
    Ok(copy.rows().unwrap_or(0))
}

/// COPY output as a reader for threads that block.
pub(super) struct Pieces {
    receiver: mpsc::Receiver<Bytes>,
    piece: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() {
            match self.receiver.blocking_recv() {
                Some(piece) => self.piece = piece,
                None => return Ok(0),
            }
        }
        let taken = self.piece.split_to(self.piece.len().min(buffer.len()));
        buffer[..taken.len()].copy_from_slice(&taken);
        Ok(taken.len())
    }
}
