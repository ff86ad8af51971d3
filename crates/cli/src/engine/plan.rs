//! `plan`: what `up` would create or change, at the source and in the warehouse. Changes nothing.

use millstream_core::warehouse::{TableLayout, TableState};
use serde_json::{json, Value};

use super::{
    desk::{done, Desk},
    models, open,
    provision::{prepare, Remembered},
    session::runtime,
};
use crate::{failure::Failure, instance::Event};

/// The whole plan.
pub(super) fn run(desk: &Desk) -> Result<Event, Failure> {
    let project = &desk.project;
    let source = open::source_config(project)?;
    let remembered = Remembered::read(project)?;
    let looking = prepare(project, &source, remembered.as_ref(), None);
    let prepared = match desk.live() {
        Ok(live) => live.runtime.block_on(looking)?,
        Err(_) => runtime()?.block_on(looking)?,
    };
    let held = match desk.warehouse.get() {
        Some(warehouse) => warehouse.tables()?,
        None => Vec::new(),
    };
    let mut statements: Vec<String> =
        prepared.plan.statements.iter().map(|text| format!("{text};")).collect();
    if prepared.plan.create_slot {
        statements.push(format!("SELECT pg_create_logical_replication_slot('{}', 'pgoutput');", source.slot));
    }
    let tables: Vec<Value> = prepared.layouts.iter().map(|layout| table(layout, &held)).collect();
    let views: Vec<String> = models::read(project)?.into_iter().map(|model| model.name.to_string()).collect();
    let gone =
        held.iter().filter(|state| !prepared.layouts.iter().any(|layout| layout.id == state.layout.id));
    let left: Vec<String> = gone.map(|state| state.layout.source.to_string()).collect();
    done(
        0,
        &json!({
            "source": { "address": source.connection.address(), "statements": statements },
            "warehouse": { "tables": tables, "views": views, "no_longer_selected": left },
        }),
    )
}

fn table(layout: &TableLayout, held: &[TableState]) -> Value {
    let known = held.iter().find(|state| state.layout.id == layout.id);
    let columns: Vec<Value> = layout
        .live_columns()
        .map(|column| {
            json!({ "name": column.name, "source_type": column.source_type, "type": column.column_type.to_string() })
        })
        .collect();
    let key = layout.key.as_ref().map(|key| {
        let name =
            |attnum| layout.columns.iter().find(|column| column.attnum == attnum).map(|column| &column.name);
        key.iter().filter_map(|attnum| name(*attnum)).collect::<Vec<_>>()
    });
    json!({
        "name": layout.source.to_string(),
        "warehouse_name": layout.target.to_string(),
        "action": if known.is_some() { "keep" } else { "create" },
        "history": layout.history,
        "key": key,
        "columns": columns,
    })
}
