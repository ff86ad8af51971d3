//! Ending a few versions that one whole number each names: the case of a steady trickle of changes, which is bound by what statements cost
//! before they do anything.
//!
//! One statement deletes the rows and returns them, with the keys in its text; they go to `closed` as they come. Staging the keys, and joining what
//! was deleted with them, takes four statements more: of the 14 ms that such a batch took on two busy cores with all that belongs to it, 5.

use std::collections::HashMap;

use arrow_array::{cast::AsArray, types, Array, ArrowPrimitiveType, RecordBatch};
use arrow_schema::DataType;
use millstream_core::warehouse::{meta, physical_name, LayoutColumn, TableLayout};

use super::{
    engine::{AppendTarget, Connection},
    failed,
    rows::malformed,
    sql::{closed_name, current, list, HIDDEN_SCHEMA},
};
use crate::WarehouseError;

type Outcome<T> = Result<T, WarehouseError>;

/// Keys that stand in a statement's text. Beyond, reading the text costs what staging them would.
const KEYS_MAX: usize = 256;

/// The batch's keys and what closes each; `None` where this way is not for it.
fn endings(key: &[&LayoutColumn], batch: &RecordBatch) -> Option<HashMap<i64, (i64, u64, u64)>> {
    let [_] = key else { return None };
    let deleted = batch.column_by_name(meta::DELETED)?.as_boolean_opt()?;
    // A deletion writes a second row, an event.
    if batch.num_rows() > KEYS_MAX || deleted.true_count() > 0 {
        return None;
    }
    let column = batch.column(0);
    let keys = match column.data_type() {
        DataType::Int16 => whole::<types::Int16Type>(column),
        DataType::Int32 => whole::<types::Int32Type>(column),
        DataType::Int64 => whole::<types::Int64Type>(column),
        _ => None,
    }?;
    let times =
        batch.column_by_name(meta::VALID_TO)?.as_primitive_opt::<types::TimestampMicrosecondType>()?;
    let lsns = batch.column_by_name(meta::LSN_TO)?.as_primitive_opt::<types::UInt64Type>()?;
    let seqs = batch.column_by_name(meta::SEQ_TO)?.as_primitive_opt::<types::UInt64Type>()?;
    let closing = times.values().iter().zip(lsns.values()).zip(seqs.values());
    let endings: HashMap<i64, _> =
        keys.into_iter().zip(closing.map(|((time, lsn), seq)| (*time, *lsn, *seq))).collect();
    // A key twice is no batch of the plan's; the other way says what is wrong with it.
    (endings.len() == batch.num_rows()).then_some(endings)
}

fn whole<T: ArrowPrimitiveType>(column: &dyn Array) -> Option<Vec<i64>>
where
    T::Native: Into<i64>,
{
    let column = column.as_primitive_opt::<T>()?;
    (column.null_count() == 0).then(|| column.values().iter().map(|value| (*value).into()).collect())
}

/// Ends the versions, if this is the way for the batch.
pub(super) fn close(
    connection: &Connection,
    layout: &TableLayout,
    key: &[&LayoutColumn],
    batch: &RecordBatch,
) -> Outcome<bool> {
    let Some(mut endings) = endings(key, batch).filter(|_| layout.history) else { return Ok(false) };
    let doing = || failed(format!("closing rows of {}", layout.target));
    let name = physical_name(key[0].attnum);
    // `id=37`.
    let named = |value: i64| format!("{}={value}", key[0].name);
    let mut keys: Vec<i64> = endings.keys().copied().collect();
    keys.sort_unstable();
    let keys: Vec<String> = keys.iter().map(i64::to_string).collect();
    let kept = format!("{}, valid_from, operation_type, _lsn, _seq", list("", &layout.columns));
    let sql = format!(
        "DELETE FROM {} WHERE {name} IN ({}) RETURNING {kept}, {name}::BIGINT",
        current(layout.id),
        keys.join(", ")
    );
    let mut columns: Vec<String> = layout.columns.iter().map(|column| physical_name(column.attnum)).collect();
    columns.extend(
        ["valid_from", "operation_type", "_lsn", "_seq", "valid_to", "_lsn_to", "_seq_to"].map(Into::into),
    );
    let target = AppendTarget {
        catalog: None,
        schema: HIDDEN_SCHEMA,
        table: &closed_name(layout.id),
        columns: &columns,
    };
    let mut doubled = None;
    let found = connection
        .run_into_with(&sql, &target, |key| {
            let ending = endings.remove(&key);
            doubled = doubled.or(ending.is_none().then_some(key));
            ending
        })
        .map_err(|error| match doubled {
            Some(key) => WarehouseError::NoSuchRow {
                table: layout.target.to_string(),
                key: format!("{} is there more than once", named(key)),
            },
            None => doing()(error),
        })?;
    match endings.keys().min() {
        None if found == batch.num_rows() as u64 => Ok(true),
        None => Err(malformed(layout, format!("{found} rows were closed by {} keys", batch.num_rows()))),
        Some(missing) => {
            Err(WarehouseError::NoSuchRow { table: layout.target.to_string(), key: named(*missing) })
        }
    }
}
