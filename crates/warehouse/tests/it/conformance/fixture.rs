//! Tables, rows and moments for the suite, and results as text.

use std::sync::Arc;

use arrow_array::{
    cast::AsArray, types, Array, ArrayRef, BooleanArray, Int32Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, UInt64Array,
};
use arrow_schema::{DataType, TimeUnit};
use millstream_core::{
    warehouse::{
        AsOf, HistoryNames, LayoutColumn, Moment, QueryResult, RowGroup, TableLayout, TableState, Warehouse,
        WarehouseReader,
    },
    ColumnType, Lsn, Position, TableId, TableName, Timestamp,
};

/// The time that belongs to an LSN in these tests: one second per byte since 2026-01-01.
pub(crate) fn time(lsn: u64) -> Timestamp {
    Timestamp(1_767_225_600_000_000 + lsn as i64 * 1_000_000)
}

pub(crate) fn moment(lsn: u64, ordinal: u64) -> Moment {
    Moment { time: time(lsn), position: Position { commit_lsn: Lsn(lsn), ordinal } }
}

pub(crate) fn column(attnum: i16, name: &str, column_type: ColumnType) -> LayoutColumn {
    LayoutColumn { attnum, name: name.into(), source_type: column_type.to_string(), column_type, live: true }
}

/// A table `shop.<name>` with the columns; its history is complete since LSN 10.
pub(crate) fn table(id: u32, name: &str, columns: Vec<LayoutColumn>, key: Option<Vec<i16>>) -> TableState {
    TableState {
        layout: TableLayout {
            id: TableId(id),
            source: TableName::new("public", name),
            target: TableName::new("shop", name),
            columns,
            key,
            history: true,
            history_names: HistoryNames::default(),
        },
        schema_json: "{}".into(),
        phase_json: "\"live\"".into(),
        history_since: Some(moment(10, 0)),
        uncertain: Vec::new(),
        changes: Vec::new(),
    }
}

/// `shop.items (id integer primary key, name text)`.
pub(crate) fn items() -> TableState {
    let columns = vec![column(1, "id", ColumnType::Integer), column(2, "name", ColumnType::Text)];
    table(16_384, "items", columns, Some(vec![1]))
}

/// `shop.notes (id integer, name text)`, matched whole.
pub(crate) fn notes() -> TableState {
    let columns = vec![column(1, "id", ColumnType::Integer), column(2, "name", ColumnType::Text)];
    table(16_385, "notes", columns, None)
}

/// Columns `c1`, `c2`.
pub(crate) type Item = (i32, Option<&'static str>);

pub(crate) fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))
        .unwrap()
}

fn ids(rows: impl Iterator<Item = i32>) -> ArrayRef {
    Arc::new(Int32Array::from_iter_values(rows))
}

fn texts<'a>(rows: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(StringArray::from_iter(rows))
}

pub(crate) fn times(lsns: impl Iterator<Item = u64>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_iter_values(lsns.map(|lsn| time(lsn).0)).with_timezone("UTC"))
}

pub(crate) fn numbers(values: impl Iterator<Item = u64>) -> ArrayRef {
    Arc::new(UInt64Array::from_iter_values(values))
}

/// Rows to stage or count.
pub(crate) fn items_batch(rows: &[Item]) -> RecordBatch {
    batch(vec![("c1", ids(rows.iter().map(|row| row.0))), ("c2", texts(rows.iter().map(|row| row.1)))])
}

/// Versions that open: row, operation, LSN, ordinal.
pub(crate) fn open(rows: &[(Item, &str, u64, u64)]) -> RecordBatch {
    batch(vec![
        ("c1", ids(rows.iter().map(|row| row.0 .0))),
        ("c2", texts(rows.iter().map(|row| row.0 .1))),
        ("valid_from", times(rows.iter().map(|row| row.2))),
        ("operation_type", texts(rows.iter().map(|row| Some(row.1)))),
        ("_lsn", numbers(rows.iter().map(|row| row.2))),
        ("_seq", numbers(rows.iter().map(|row| row.3))),
    ])
}

/// Row, operation, where it opened and where it closed (each LSN and ordinal).
pub(crate) type ClosedItem<'a> = (Item, &'a str, (u64, u64), (u64, u64));

/// Versions that opened and closed: row, operation, opening LSN and ordinal, closing LSN and ordinal.
pub(crate) fn closed(rows: &[ClosedItem<'_>]) -> RecordBatch {
    batch(vec![
        ("c1", ids(rows.iter().map(|row| row.0 .0))),
        ("c2", texts(rows.iter().map(|row| row.0 .1))),
        ("valid_from", times(rows.iter().map(|row| row.2 .0))),
        ("valid_to", times(rows.iter().map(|row| row.3 .0))),
        ("operation_type", texts(rows.iter().map(|row| Some(row.1)))),
        ("_lsn", numbers(rows.iter().map(|row| row.2 .0))),
        ("_seq", numbers(rows.iter().map(|row| row.2 .1))),
        ("_lsn_to", numbers(rows.iter().map(|row| row.3 .0))),
        ("_seq_to", numbers(rows.iter().map(|row| row.3 .1))),
    ])
}

fn closing(rows: &[(u64, u64, bool)]) -> Vec<(&'static str, ArrayRef)> {
    vec![
        ("valid_to", times(rows.iter().map(|row| row.0))),
        ("_lsn_to", numbers(rows.iter().map(|row| row.0))),
        ("_seq_to", numbers(rows.iter().map(|row| row.1))),
        ("deleted", Arc::new(BooleanArray::from_iter(rows.iter().map(|row| Some(row.2))))),
    ]
}

/// Keys to close: id, LSN, ordinal, whether deleted.
pub(crate) fn close(rows: &[(i32, u64, u64, bool)]) -> RecordBatch {
    let mut columns = vec![("c1", ids(rows.iter().map(|row| row.0)))];
    columns.extend(closing(&rows.iter().map(|row| (row.1, row.2, row.3)).collect::<Vec<_>>()));
    batch(columns)
}

/// Whole rows to close: row, LSN, ordinal, whether deleted.
pub(crate) fn close_rows(rows: &[(Item, u64, u64, bool)]) -> RecordBatch {
    let mut columns =
        vec![("c1", ids(rows.iter().map(|row| row.0 .0))), ("c2", texts(rows.iter().map(|row| row.0 .1)))];
    columns.extend(closing(&rows.iter().map(|row| (row.1, row.2, row.3)).collect::<Vec<_>>()));
    batch(columns)
}

/// Creates a table in a transaction of its own.
pub(crate) fn create(warehouse: &mut dyn Warehouse, state: &TableState) {
    let mut transaction = warehouse.begin().unwrap();
    transaction.create_table(state).unwrap();
    transaction.commit().unwrap();
}

/// Writes a row group in a transaction of its own.
pub(crate) fn write(warehouse: &mut dyn Warehouse, layout: &TableLayout, rows: RowGroup) {
    let mut transaction = warehouse.begin().unwrap();
    transaction.write(layout, &rows).unwrap();
    transaction.commit().unwrap();
}

/// A query's rows, values as text separated by `|`.
pub(crate) fn query(warehouse: &dyn Warehouse, sql: &str) -> Vec<String> {
    query_as_of(warehouse, sql, None)
}

pub(crate) fn query_as_of(warehouse: &dyn Warehouse, sql: &str, as_of: Option<AsOf>) -> Vec<String> {
    rows_of(warehouse.reader().unwrap().as_mut(), sql, as_of)
}

pub(crate) fn rows_of(reader: &mut dyn WarehouseReader, sql: &str, as_of: Option<AsOf>) -> Vec<String> {
    printed(&reader.query(sql, as_of, None).unwrap())
}

/// A result's rows, values as text separated by `|`.
pub(crate) fn printed(result: &QueryResult) -> Vec<String> {
    let mut rows = Vec::new();
    for batch in &result.batches {
        for row in 0..batch.num_rows() {
            let values: Vec<_> = batch.columns().iter().map(|column| value(column, row)).collect();
            rows.push(values.join("|"));
        }
    }
    rows
}

fn value(column: &ArrayRef, row: usize) -> String {
    if column.is_null(row) {
        return "-".into();
    }
    match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().value(row).to_owned(),
        DataType::Boolean => column.as_boolean().value(row).to_string(),
        DataType::Int32 => column.as_primitive::<types::Int32Type>().value(row).to_string(),
        DataType::Int64 => column.as_primitive::<types::Int64Type>().value(row).to_string(),
        DataType::UInt64 => column.as_primitive::<types::UInt64Type>().value(row).to_string(),
        DataType::Decimal128(_, 0) => column.as_primitive::<types::Decimal128Type>().value(row).to_string(),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let micros = column.as_primitive::<types::TimestampMicrosecondType>().value(row);
            format!("t{}", (micros - time(0).0) / 1_000_000)
        }
        _ => format!("{:?}", column.slice(row, 1)),
    }
}
