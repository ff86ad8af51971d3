//! What the hidden schema says of the warehouse itself: progress, tables.

use std::collections::HashMap;

use arrow_array::{cast::AsArray, types, RecordBatch};
use millstream_core::{
    warehouse::{meta, physical_name, Progress, QuarantinedChange, TableState},
    Lsn, Position, TableId, TableName, Timestamp,
};

use super::{
    engine::Connection,
    failed,
    sql::{closed_name, column_type, current_name, string, HIDDEN_SCHEMA},
};
use crate::WarehouseError;

/// A replicated table as the hidden schema keeps it.
pub(crate) struct KeptTable {
    /// What the port sees.
    pub(crate) state: TableState,
    /// What its history view and macro are called after.
    pub(crate) stem: String,
    /// Whether the source no longer has it.
    pub(crate) retired: bool,
}

/// The one value of a result of one `UBIGINT` column; 0 where there is none.
pub(crate) fn single_u64(batches: &[RecordBatch]) -> u64 {
    batches
        .iter()
        .find(|batch| batch.num_rows() > 0)
        .and_then(|batch| batch.column(0).as_primitive_opt::<types::UInt64Type>())
        .map_or(0, |column| column.value(0))
}

fn altered(what: impl Into<String>) -> WarehouseError {
    WarehouseError::Altered { table: HIDDEN_SCHEMA.into(), what: what.into() }
}

pub(crate) fn progress(connection: &Connection) -> Result<Progress, WarehouseError> {
    let batches = connection
        .query(&format!("SELECT source, applied_lsn, applied_micros FROM {HIDDEN_SCHEMA}.progress"))
        .map_err(failed("reading its progress"))?;
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let Some(batch) = batches.first().filter(|_| rows > 0) else { return Ok(Progress::default()) };
    if rows != 1 {
        return Err(altered(format!("progress has {rows} rows")));
    }
    let columns = (
        batch.column(0).as_string_opt::<i32>(),
        batch.column(1).as_primitive_opt::<types::UInt64Type>(),
        batch.column(2).as_primitive_opt::<types::Int64Type>(),
    );
    let (Some(source), Some(lsn), Some(micros)) = columns else {
        return Err(altered("progress has columns of other types"));
    };
    Ok(Progress {
        source: source.value(0).to_owned(),
        applied_lsn: Lsn(lsn.value(0)),
        applied_time: Timestamp(micros.value(0)),
    })
}

/// Replaces the progress row. DELETE and INSERT, because an UPDATE beside an open reader stops checkpoints.
pub(crate) fn set_progress(connection: &Connection, progress: &Progress) -> Result<(), WarehouseError> {
    connection
        .run(&format!(
            "DELETE FROM {HIDDEN_SCHEMA}.progress; INSERT INTO {HIDDEN_SCHEMA}.progress VALUES ({}, {}, {})",
            string(&progress.source),
            progress.applied_lsn.0,
            progress.applied_time.0
        ))
        .map_err(failed("stating its progress"))?;
    Ok(())
}

pub(crate) fn tables(connection: &Connection) -> Result<Vec<KeptTable>, WarehouseError> {
    read_tables(connection, "true")
}

fn read_tables(connection: &Connection, condition: &str) -> Result<Vec<KeptTable>, WarehouseError> {
    let batches = connection
        .query(&format!(
            "SELECT stem, retired, state FROM {HIDDEN_SCHEMA}.tables WHERE {condition} ORDER BY oid"
        ))
        .map_err(failed("reading its tables"))?;
    let mut kept = Vec::new();
    for batch in &batches {
        let columns = (
            batch.column(0).as_string_opt::<i32>(),
            batch.column(1).as_boolean_opt(),
            batch.column(2).as_string_opt::<i32>(),
        );
        let (Some(stems), Some(retired), Some(states)) = columns else {
            return Err(altered("tables has columns of other types"));
        };
        for row in 0..batch.num_rows() {
            let state = serde_json::from_str(states.value(row))
                .map_err(|error| altered(format!("a table's state can't be read: {error}")))?;
            kept.push(KeptTable { state, stem: stems.value(row).to_owned(), retired: retired.value(row) });
        }
    }
    Ok(kept)
}

pub(crate) fn table(connection: &Connection, id: TableId) -> Result<KeptTable, WarehouseError> {
    read_tables(connection, &format!("oid = {id}"))?
        .pop()
        .ok_or_else(|| altered(format!("the table with OID {id} is not known")))
}

pub(crate) fn put_table(connection: &Connection, table: &KeptTable) -> Result<(), WarehouseError> {
    let id = table.state.layout.id;
    let state = serde_json::to_string(&table.state)
        .map_err(|error| altered(format!("a table's state can't be written: {error}")))?;
    connection
        .run(&format!(
            "DELETE FROM {HIDDEN_SCHEMA}.tables WHERE oid = {id}; \
             INSERT INTO {HIDDEN_SCHEMA}.tables VALUES ({id}, {}, {}, {})",
            string(&table.stem),
            table.retired,
            string(&state)
        ))
        .map_err(failed("keeping a table's state"))?;
    Ok(())
}

/// Changes that were set aside, by table and position: all, or one table's.
pub(crate) fn quarantined(
    connection: &Connection,
    table: Option<TableId>,
) -> Result<Vec<QuarantinedChange>, WarehouseError> {
    let condition = table.map_or("true".to_owned(), |table| format!("table_oid = {table}"));
    let batches = connection
        .query(&format!(
            "SELECT commit_lsn, ordinal, table_oid, table_schema, table_name, code, reason, key, content \
             FROM {HIDDEN_SCHEMA}.quarantine WHERE {condition} ORDER BY table_oid, commit_lsn, ordinal"
        ))
        .map_err(failed("reading the quarantine"))?;
    let mut changes = Vec::new();
    for batch in &batches {
        let [lsn, ordinal] = [0, 1].map(|index| batch.column(index).as_primitive_opt::<types::UInt64Type>());
        let oid = batch.column(2).as_primitive_opt::<types::UInt32Type>();
        let (Some(lsn), Some(ordinal), Some(oid)) = (lsn, ordinal, oid) else {
            return Err(altered("quarantine has columns of other types"));
        };
        for row in 0..batch.num_rows() {
            let text = |index: usize| batch.column(index).as_string::<i32>().value(row).to_owned();
            changes.push(QuarantinedChange {
                position: Position { commit_lsn: Lsn(lsn.value(row)), ordinal: ordinal.value(row) },
                table: TableId(oid.value(row)),
                name: TableName::new(text(3), text(4)),
                code: text(5),
                reason: text(6),
                key: text(7),
                content: text(8),
            });
        }
    }
    Ok(changes)
}

/// Columns of the hidden tables: table name, then column name, then DuckDB's name of its type.
pub(crate) type PhysicalColumns = HashMap<String, HashMap<String, String>>;

/// Checks that the hidden tables are as the layout says, so that a change by hand is found before rows are written.
pub(crate) fn check_physical(
    physical: &mut PhysicalColumns,
    state: &TableState,
) -> Result<(), WarehouseError> {
    let layout = &state.layout;
    let bookkeeping = |closed: bool| {
        let mut columns = vec![
            (meta::VALID_FROM, "TIMESTAMP WITH TIME ZONE"),
            (meta::OPERATION, "VARCHAR"),
            (meta::LSN, "UBIGINT"),
            (meta::SEQ, "UBIGINT"),
        ];
        if closed {
            columns.extend([
                (meta::VALID_TO, "TIMESTAMP WITH TIME ZONE"),
                (meta::LSN_TO, "UBIGINT"),
                (meta::SEQ_TO, "UBIGINT"),
            ]);
        }
        columns
    };
    for (name, closed) in [(current_name(layout.id), false), (closed_name(layout.id), true)] {
        let mut found = physical.remove(&name).unwrap_or_default();
        let mut expected: Vec<(String, String)> = layout
            .columns
            .iter()
            .map(|column| (physical_name(column.attnum), column_type(&column.column_type)))
            .collect();
        expected.extend(bookkeeping(closed).into_iter().map(|(name, of)| (name.into(), of.into())));
        let differs = |what: String| WarehouseError::Altered { table: layout.target.to_string(), what };
        for (column, of) in expected {
            let of = of.replace("TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE");
            match found.remove(&column) {
                Some(found) if found == of => {}
                Some(found) => {
                    return Err(differs(format!("{name}.{column} is {found}, it was {of}")));
                }
                None => return Err(differs(format!("{name}.{column} is gone"))),
            }
        }
        if let Some(column) = found.into_keys().min() {
            return Err(differs(format!("{name}.{column} was added")));
        }
    }
    Ok(())
}

/// The columns of all hidden tables, in one pass over the catalogue.
pub(crate) fn physical_columns(connection: &Connection) -> Result<PhysicalColumns, WarehouseError> {
    let batches = connection
        .query(&format!(
            "SELECT table_name, column_name, data_type FROM duckdb_columns() \
             WHERE database_name = current_database() AND schema_name = {}",
            string(HIDDEN_SCHEMA)
        ))
        .map_err(failed("looking at its tables' columns"))?;
    let mut columns = PhysicalColumns::new();
    for batch in &batches {
        let [tables, names, types] = [0, 1, 2].map(|index| batch.column(index).as_string::<i32>());
        for row in 0..batch.num_rows() {
            let table = columns.entry(tables.value(row).to_owned()).or_default();
            table.insert(names.value(row).to_owned(), types.value(row).to_owned());
        }
    }
    Ok(columns)
}
