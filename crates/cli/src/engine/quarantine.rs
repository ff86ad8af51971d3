//! `quarantine`: changes that were set aside, listed, shown, brought back and given up.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{mpsc, PoisonError},
};

use millstream_apply::{
    command::Command,
    quarantine::{content::Cell, Content, ValueFiles},
};
use millstream_core::{
    warehouse::{QuarantinedChange, WarehouseReader},
    TableId, TableName,
};
use serde_json::{json, Map, Value};

use super::{
    desk::{done, Desk},
    fenced::{receive, send},
    resync::tables_again,
};
use crate::{
    config::{units::print_instant, Project},
    error::ProgramError,
    failure::{Doing, Failure},
    instance::{Cancellation, Emit, Event},
    verbs::verdict,
};

/// Where the large values are.
pub(super) fn quarantine_dir(project: &Project) -> PathBuf {
    project.data_dir().join("quarantine")
}

/// The changes that hold their rows back, by table, as a reader sees them.
pub(super) fn held(
    reader: &mut dyn WarehouseReader,
) -> Result<BTreeMap<TableId, Vec<QuarantinedChange>>, Failure> {
    let mut held: BTreeMap<TableId, Vec<QuarantinedChange>> = BTreeMap::new();
    for change in reader.quarantined()? {
        if Content::parse(&change)?.superseded.is_none() {
            held.entry(change.table).or_default().push(change);
        }
    }
    Ok(held)
}

/// What is in quarantine of the tables, or of all.
fn kept(desk: &Desk, tables: &[String]) -> Result<Vec<(QuarantinedChange, Content)>, Failure> {
    let mut changes = Vec::new();
    for change in desk.warehouse()?.reader()?.quarantined()? {
        let content = Content::parse(&change)?;
        changes.push((change, content));
    }
    if tables.is_empty() {
        return Ok(changes);
    }
    // A table that was renamed since is found by either name.
    let known: BTreeSet<String> = changes.iter().map(|(change, _)| change.name.to_string()).collect();
    let unknown: Vec<String> = tables.iter().filter(|table| !known.contains(*table)).cloned().collect();
    let named: BTreeSet<TableName> = desk.named_tables(&unknown)?.into_iter().collect();
    let states = desk.warehouse()?.tables()?;
    let ids: BTreeSet<TableId> = states
        .iter()
        .filter(|state| named.contains(&state.layout.source))
        .map(|state| state.layout.id)
        .chain(
            changes
                .iter()
                .filter(|(change, _)| tables.contains(&change.name.to_string()))
                .map(|(change, _)| change.table),
        )
        .collect();
    changes.retain(|(change, _)| ids.contains(&change.table));
    Ok(changes)
}

fn describe(change: &QuarantinedChange, content: &Content) -> Value {
    let superseded = content
        .superseded
        .as_ref()
        .map(|superseded| json!({ "by": superseded.by, "at": superseded.at.to_string() }));
    json!({
        "table": change.name.to_string(),
        "position": change.position.to_string(),
        "operation": content.operation.as_str(),
        "key": change.key,
        "code": change.code,
        "reason": change.reason,
        "column": content.column,
        "time": print_instant(content.at.time),
        "xid": content.xid,
        "superseded": superseded,
    })
}

/// Every change.
pub(super) fn list(desk: &Desk, tables: &[String]) -> Result<Event, Failure> {
    let changes: Vec<Value> =
        kept(desk, tables)?.iter().map(|(change, content)| describe(change, content)).collect();
    done(0, &json!({ "changes": changes }))
}

/// One change, with its values.
pub(super) fn show(desk: &Desk, table: &str, position: &str) -> Result<Event, Failure> {
    let changes = kept(desk, &[table.to_owned()])?;
    let found = changes.iter().find(|(change, _)| change.position.to_string() == position);
    let Some((change, content)) = found else {
        let (table, position) = (table.to_owned(), position.to_owned());
        return Err(ProgramError::NotQuarantined { table, position }.into());
    };
    let files = ValueFiles::new(quarantine_dir(&desk.project));
    let row = |cells: &[Cell]| -> Value {
        let values = content.schema.columns.iter().zip(cells).map(|(column, cell)| {
            let value = match cell {
                Cell::Null => Value::Null,
                Cell::Text(text) => json!(text),
                Cell::Unchanged => json!({ "unchanged": true }),
                Cell::Binary(digits) => json!({ "binary": digits }),
                Cell::File { name, bytes } => json!({ "file": files.path(name), "bytes": bytes }),
            };
            (column.name.clone(), value)
        });
        Value::Object(values.collect::<Map<_, _>>())
    };
    let mut described = describe(change, content);
    described["before"] = content.old.as_ref().map_or(Value::Null, |old| row(&old.values));
    described["after"] = content.new.as_deref().map_or(Value::Null, row);
    done(0, &described)
}

/// The tables that have anything in quarantine, by their names.
fn tables_of(desk: &Desk, tables: &[String]) -> Result<BTreeMap<TableId, TableName>, Failure> {
    Ok(kept(desk, tables)?.into_iter().map(|(change, _)| (change.table, change.name)).collect())
}

/// Applies what can be applied now.
pub(super) fn replay(desk: &Desk, tables: &[String], cancellation: &Cancellation) -> Result<Event, Failure> {
    let live = desk.live()?;
    let of = tables_of(desk, tables)?;
    let _one_at_a_time = live.exclusive.lock().unwrap_or_else(PoisonError::into_inner);
    let (reply, replayed) = mpsc::channel();
    send(live, Command::Replay(of.keys().copied().collect(), reply))?;
    let replayed = receive(&replayed, cancellation)?.doing("bringing changes back from quarantine")?;
    let held = replayed.iter().map(|(_, replayed)| replayed.held).sum::<usize>();
    let tables: Vec<Value> = replayed
        .iter()
        .map(|(id, replayed)| {
            json!({
                "name": of.get(id).map(TableName::to_string),
                "replayed": replayed.replayed,
                "held": replayed.held,
            })
        })
        .collect();
    done(verdict(held == 0), &json!({ "tables": tables }))
}

/// Gives changes up. Where they hold rows back, the table is read again first, so that it is right without them.
pub(super) fn discard(
    desk: &Desk,
    tables: &[String],
    emit: &mut dyn Emit,
    cancellation: &Cancellation,
) -> Result<Event, Failure> {
    let live = desk.live()?;
    let of = tables_of(desk, tables)?;
    let holding = held(&mut desk.warehouse()?.reader()?)?;
    let again: Vec<TableName> = desk
        .warehouse()?
        .tables()?
        .into_iter()
        .filter(|table| of.contains_key(&table.layout.id) && holding.contains_key(&table.layout.id))
        .map(|table| table.layout.source)
        .collect();
    if !again.is_empty() {
        tables_again(desk, &again, emit, cancellation)?;
    }
    let (reply, discarded) = mpsc::channel();
    send(live, Command::Discard(of.keys().copied().collect(), reply))?;
    let discarded = receive(&discarded, cancellation)?.doing("giving up changes in quarantine")?;
    let tables: Vec<Value> = discarded
        .iter()
        .map(|(id, discarded)| {
            json!({
                "name": of.get(id).map(TableName::to_string),
                "dropped": discarded.dropped,
                "held": discarded.held,
            })
        })
        .collect();
    done(0, &json!({ "tables": tables }))
}
