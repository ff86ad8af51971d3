//! `resync`: tables read again. What differs becomes new versions; history is never erased.

use std::{
    collections::HashMap,
    future::Future,
    io::Read,
    pin::pin,
    sync::{mpsc, Arc, PoisonError},
    time::Duration,
};

use millstream_apply::command::Command;
use millstream_core::{
    base::{BaseId, BaseStore, BaseTable},
    warehouse::ReplaceCounts,
    TableId, TableName,
};
use millstream_log::EmbeddedLog;
use millstream_source::{
    snapshot::{self, encodings, HeldSnapshot},
    SourceError, Stop, Stopper,
};
use serde_json::json;
use tokio::time::timeout;

use super::{
    desk::{done, Desk},
    fenced::{hold, receive, send},
    provision::selection,
    session::{snapshot_config, Live},
    verify::stream,
};
use crate::{
    error::ProgramError,
    failure::{Doing, Failure},
    instance::{Cancellation, Emit, Event},
};

/// How often copying looks whether it is still wanted.
const CANCELLED_LOOK: Duration = Duration::from_millis(100);

/// COPY output is handed to the log in pieces of this size.
const PIECE_BYTES: usize = 256 * 1024;

/// Reads the named tables again.
pub(super) fn run(
    desk: &Desk,
    names: &[String],
    emit: &mut dyn Emit,
    cancellation: &Cancellation,
) -> Result<Event, Failure> {
    let wanted = desk.named_tables(names)?;
    let mut tables = Vec::new();
    for (name, counts) in tables_again(desk, &wanted, emit, cancellation)? {
        tables.push(json!({
            "name": name.to_string(),
            "inserted": counts.inserted,
            "updated": counts.updated,
            "deleted": counts.deleted,
        }));
    }
    done(0, &json!({ "tables": tables }))
}

/// Makes the tables' current rows what the source has, at one position. Apply waits while what changed during the copy
/// is read and all of it loaded; capture does not.
pub(super) fn tables_again(
    desk: &Desk,
    wanted: &[TableName],
    emit: &mut dyn Emit,
    cancellation: &Cancellation,
) -> Result<Vec<(TableName, ReplaceCounts)>, Failure> {
    let ids: Vec<TableId> = desk
        .warehouse()?
        .tables()?
        .into_iter()
        .filter(|table| wanted.contains(&table.layout.source) && !table.phase_json.contains("\"gone\""))
        .map(|table| table.layout.id)
        .collect();
    again(desk, &ids, Rows::Read, emit, cancellation)
}

/// Whether a table's rows are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rows {
    /// In any case.
    Read,
    /// Unless the catalogue proves that they are untouched.
    ReadIfTouched,
}

/// Makes tables what they are at the source, at one position: their form, their rows where that is asked for or can't be told, and
/// their end where the source has them no more.
pub(super) fn again(
    desk: &Desk,
    ids: &[TableId],
    rows: Rows,
    emit: &mut dyn Emit,
    cancellation: &Cancellation,
) -> Result<Vec<(TableName, ReplaceCounts)>, Failure> {
    let live = desk.live()?;
    let _one_at_a_time = live.exclusive.lock().unwrap_or_else(PoisonError::into_inner);
    let ahead = ahead(desk, live, ids, rows, emit, cancellation)?;
    let (mut snapshot, held) = hold(live, ids, cancellation)?;
    let mut replaced = Vec::new();
    for &id in ids {
        let Some(schema) = snapshot.table(id).map(|table| Arc::new(table.schema.clone())) else {
            let (reply, retired) = mpsc::channel();
            send(live, Command::Retire(id, reply))?;
            receive(&retired, cancellation)??;
            continue;
        };
        let name = schema.name.clone();
        let (reply, followed) = mpsc::channel();
        send(live, Command::Follow(schema, reply))?;
        let touched = receive(&followed, cancellation)?.doing(format!("following {name}"))?;
        if rows == Rows::ReadIfTouched && !touched {
            continue;
        }
        emit.emit(Event::Note(format!("reading {name} again, as of {}", held.position)))?;
        let counts;
        (snapshot, counts) =
            table(desk, live, snapshot, id, &ahead, cancellation).doing(format!("reading {name} again"))?;
        replaced.push((name, counts));
    }
    drop(held);
    live.runtime.block_on(snapshot.release());
    Ok(replaced)
}

/// Copies the larger ones of the tables that will be read, while changes go on being applied. Once apply is held, only what changed meanwhile is
/// left to be read.
fn ahead(
    desk: &Desk,
    live: &Live,
    ids: &[TableId],
    rows: Rows,
    emit: &mut dyn Emit,
    cancellation: &Cancellation,
) -> Result<Ahead, Failure> {
    let log = desk.log.get().ok_or(ProgramError::StillStarting)?;
    let status = live.apply.get();
    let is_marked =
        |id: TableId| status.tables.iter().any(|table| table.id == id && table.phase == "needs_resync");
    let mut ahead = Ahead { log: log.clone(), bases: HashMap::new() };
    for &id in ids.iter().filter(|&&id| rows == Rows::Read || is_marked(id)) {
        let config = snapshot_config(desk, &live.source, vec![id]);
        let store: Arc<dyn BaseStore> = Arc::new(log.clone());
        let copied = cancellable(live, cancellation, |stop| async move {
            snapshot::copy_ahead(&config, id, store, stop).await
        });
        if let Some(base) = copied.doing("copying a table that is to be read again")? {
            ahead.bases.insert(id, base);
        }
    }
    if !ahead.bases.is_empty() {
        let tables = ahead.bases.len();
        emit.emit(Event::Note(format!(
            "{tables} of {} tables copied; changes wait from here on",
            ids.len()
        )))?;
    }
    Ok(ahead)
}

/// Bases that were copied ahead. Those that were not used are deleted in the end.
struct Ahead {
    log: EmbeddedLog,
    bases: HashMap<TableId, BaseId>,
}

impl Drop for Ahead {
    fn drop(&mut self) {
        for &base in self.bases.values() {
            let manifests = self.log.manifests().unwrap_or_default();
            if manifests.iter().any(|manifest| manifest.id == base && !manifest.is_complete()) {
                // If it can't be deleted, the next start completes it.
                let _ = self.log.delete(base);
            }
        }
    }
}

/// Runs work of the source until it is done or no longer wanted.
fn cancellable<T, F: Future<Output = Result<T, SourceError>>>(
    live: &Live,
    cancellation: &Cancellation,
    work: impl FnOnce(Stop) -> F,
) -> Result<T, Failure> {
    let (stopper, stop) = Stopper::new();
    live.runtime.block_on(async {
        let mut work = pin!(work(stop));
        loop {
            match timeout(CANCELLED_LOOK, &mut work).await {
                Ok(done) => return Ok(done?),
                // It ends by itself then, with an error that says so.
                Err(_) if cancellation.check().is_err() => stopper.stop(),
                Err(_) => {}
            }
        }
    })
}

/// Takes a table's rows as the snapshot sees them into a base, and replaces the warehouse's rows with it.
fn table(
    desk: &Desk,
    live: &Live,
    snapshot: HeldSnapshot,
    id: TableId,
    ahead: &Ahead,
    cancellation: &Cancellation,
) -> Result<(HeldSnapshot, ReplaceCounts), Failure> {
    let (snapshot, base) = match ahead.bases.get(&id) {
        Some(&base) => {
            let config = snapshot_config(desk, &live.source, vec![id]);
            let store: Arc<dyn BaseStore> = Arc::new(ahead.log.clone());
            let held = &snapshot;
            cancellable(live, cancellation, |stop| async move {
                snapshot::complete(&config, base, held, store, stop).await
            })?;
            (snapshot, base)
        }
        None => copy(desk, live, snapshot, id, cancellation)?,
    };
    let (reply, replaced) = mpsc::channel();
    send(live, Command::Replace { base, table: id, reply })?;
    let counts = receive(&replaced, cancellation)??;
    Ok((snapshot, counts))
}

/// Copies a table of the snapshot into a base of its own.
fn copy(
    desk: &Desk,
    live: &Live,
    snapshot: HeldSnapshot,
    id: TableId,
    cancellation: &Cancellation,
) -> Result<(HeldSnapshot, BaseId), Failure> {
    let log = desk.log.get().ok_or(ProgramError::StillStarting)?;
    let Some(schema) = snapshot.table(id).map(|table| table.schema.clone()) else {
        return Err(ProgramError::GoneFromSource { table: id.to_string() }.into());
    };
    let layout = selection(&desk.project).layout(&schema);
    let types: Vec<_> = layout
        .map(|layout| layout.columns.into_iter().map(|column| column.column_type).collect())
        .unwrap_or_default();
    let encodings = encodings(&schema, &types);
    let base = log.create(vec![BaseTable {
        schema,
        encodings: encodings.clone(),
        fence: snapshot.fence.clone(),
        taken_at: snapshot.taken_at,
        chunks_planned: 1,
        chunks: Vec::new(),
        earlier: Vec::new(),
        origin: None,
    }])?;
    let mut chunk = log.write_chunk(base, id, 0)?;
    let (mut input, copied) = stream(live, snapshot, id, encodings);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        // The reader is a channel, which has no errors of its own: one of the connection comes with `copied`.
        let length = input.read(&mut piece).unwrap_or(0);
        if length == 0 {
            break;
        }
        cancellation.check()?;
        chunk.write(&piece[..length])?;
    }
    let (snapshot, rows) = live.runtime.block_on(copied).map_err(|_| ProgramError::Cancelled)?;
    chunk.finish(rows?)?;
    Ok((snapshot, base))
}

/// Takes a new base of the tables, so that the log may forget what lies before it. Changes go on meanwhile.
pub(super) fn renew_base(desk: &Desk, ids: &[TableId], cancellation: &Cancellation) -> Result<(), Failure> {
    let live = desk.live()?;
    let taking = HeldSnapshot::take(&live.source.connection, Some(&live.source.publication), ids);
    let mut snapshot = live.runtime.block_on(taking).doing("taking a snapshot of the source")?;
    for &id in ids {
        // One that is gone is retired by whoever saw that.
        if snapshot.table(id).is_some() {
            (snapshot, _) =
                copy(desk, live, snapshot, id, cancellation).doing("taking a new base for the log")?;
        }
    }
    live.runtime.block_on(snapshot.release());
    Ok(())
}
