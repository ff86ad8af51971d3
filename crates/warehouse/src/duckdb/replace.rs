//! Rows of the source put aside, to replace a table's rows with or to compare them with.

use arrow_array::{cast::AsArray, types, Array, RecordBatch};
use millstream_core::warehouse::{
    physical_name, Comparison, Difference, LayoutColumn, Moment, Operation, ReplaceCounts, TableLayout,
};

use super::{
    close::{key_text, Closing},
    engine::{AppendTarget, Connection},
    failed,
    rows::{check_columns, names},
    sql::{column_type, current, identity, key_columns, list, same_key, same_value, string},
    state::single_u64,
    views::instant,
};
use crate::WarehouseError;

type Outcome<T> = Result<T, WarehouseError>;

/// Rows that a statement over differing rows deletes at a time; see `CLOSE_KEYS_MAX` of closing.
const DELETE_ROWS_MAX: u64 = 200_000;

fn stage_name(layout: &TableLayout) -> String {
    format!("staged_{}", layout.id)
}

/// Puts rows aside in a temporary table; `first` starts it anew.
pub(crate) fn stage(
    connection: &Connection,
    layout: &TableLayout,
    rows: &RecordBatch,
    first: bool,
) -> Outcome<()> {
    let live: Vec<_> = layout.live_columns().collect();
    check_columns(layout, rows, &names(live.iter().copied(), &[]))?;
    let doing = || failed(format!("staging rows of {}", layout.target));
    let name = stage_name(layout);
    if first {
        let declared: Vec<_> = live
            .iter()
            .map(|column| format!("{} {}", physical_name(column.attnum), column_type(&column.column_type)))
            .collect();
        connection
            .run(&format!("CREATE OR REPLACE TEMP TABLE {name} ({})", declared.join(", ")))
            .map_err(doing())?;
    }
    let target = AppendTarget { catalog: Some("temp"), schema: "main", table: &name, columns: &[] };
    connection.append(&target, &[rows]).map_err(doing())
}

/// Begins an empty stage where nothing was staged.
fn stage_if_none(connection: &Connection, layout: &TableLayout, none: bool) -> Outcome<()> {
    if !none {
        return Ok(());
    }
    connection
        .run(&format!(
            "CREATE OR REPLACE TEMP TABLE {} AS SELECT {} FROM {} LIMIT 0",
            stage_name(layout),
            list("", layout.live_columns()),
            current(layout.id)
        ))
        .map_err(failed(format!("staging rows of {}", layout.target)))?;
    Ok(())
}

/// Pairs the rows of both sides into the temporary table `paired`: `cur_id` and `staged_id` are row ids, NULL where a side has none; pairs that hold
/// the same are left out. Returns the row counts of both sides.
///
/// Keyed tables pair by key. Others pair whole rows as multisets, the n-th copy with the n-th copy, so that a pair always holds the same.
fn pair(connection: &Connection, layout: &TableLayout) -> Outcome<(u64, u64)> {
    let doing = || failed(format!("comparing rows of {}", layout.target));
    let staged = format!("temp.main.{}", stage_name(layout));
    let current = current(layout.id);
    let live: Vec<_> = layout.live_columns().collect();
    let paired = if layout.key.is_some() {
        let differs: Vec<_> =
            live.iter().map(|column| format!("NOT ({})", same_value("cur", "s", column))).collect();
        format!(
            "SELECT cur.rowid AS cur_id, s.rowid AS staged_id FROM {current} AS cur FULL JOIN {staged} AS s ON {} \
             WHERE cur.rowid IS NULL OR s.rowid IS NULL OR {}",
            same_key("cur", "s", layout),
            differs.join(" OR ")
        )
    } else {
        let copies = |table: &str, order: &str| {
            let terms: Vec<_> = live.iter().map(|column| identity("t.", column)).collect();
            let named: Vec<_> =
                terms.iter().enumerate().map(|(index, term)| format!("{term} AS v{index}")).collect();
            let named = named.join(", ");
            let terms = terms.join(", ");
            format!(
                "(SELECT {named}, t.rowid AS row_id, \
                 row_number() OVER (PARTITION BY {terms} ORDER BY {order}) AS copy FROM {table} AS t)"
            )
        };
        let same: Vec<_> =
            (0..live.len()).map(|index| format!("cur.v{index} IS NOT DISTINCT FROM s.v{index}")).collect();
        format!(
            "SELECT cur.row_id AS cur_id, s.row_id AS staged_id FROM {} AS cur FULL JOIN {} AS s \
             ON cur.copy = s.copy AND {} WHERE cur.row_id IS NULL OR s.row_id IS NULL",
            copies(&current, "t._lsn, t._seq, t.rowid"),
            copies(&staged, "t.rowid"),
            same.join(" AND ")
        )
    };
    connection.run(&format!("CREATE OR REPLACE TEMP TABLE paired AS {paired}")).map_err(doing())?;
    let count = |table: &str| -> Outcome<u64> {
        let batches = connection.query(&format!("SELECT count(*)::UBIGINT FROM {table}")).map_err(doing())?;
        Ok(single_u64(&batches))
    };
    Ok((count(&current)?, count(&staged)?))
}

/// Rows only in the table, only staged, and in both with different content.
fn pair_counts(connection: &Connection, layout: &TableLayout) -> Outcome<[u64; 3]> {
    let batches = connection
        .query(
            "SELECT count(*) FILTER (staged_id IS NULL)::UBIGINT, count(*) FILTER (cur_id IS NULL)::UBIGINT, \
             count(*) FILTER (cur_id IS NOT NULL AND staged_id IS NOT NULL)::UBIGINT FROM temp.main.paired",
        )
        .map_err(failed(format!("comparing rows of {}", layout.target)))?;
    let value = |column: usize| {
        batches.first().map_or(0, |batch| batch.column(column).as_primitive::<types::UInt64Type>().value(0))
    };
    Ok([value(0), value(1), value(2)])
}

fn drop_temporary(connection: &Connection, layout: &TableLayout) -> Outcome<()> {
    connection
        .run(&format!("DROP TABLE temp.main.paired; DROP TABLE temp.main.{}", stage_name(layout)))
        .map_err(failed(format!("clearing staged rows of {}", layout.target)))?;
    Ok(())
}

/// Makes the table's current rows equal the staged ones.
pub(crate) fn replace_with_staged(
    connection: &Connection,
    layout: &TableLayout,
    at: Moment,
    none: bool,
) -> Outcome<ReplaceCounts> {
    let doing = || failed(format!("replacing rows of {}", layout.target));
    stage_if_none(connection, layout, none)?;
    pair(connection, layout)?;
    let [deleted, inserted, updated] = pair_counts(connection, layout)?;
    let (staged, current) = (format!("temp.main.{}", stage_name(layout)), current(layout.id));
    if layout.history && deleted + updated > 0 {
        let from = format!(
            "(SELECT p.*, unnest(CASE WHEN p.staged_id IS NULL THEN [false, true] ELSE [false] END) AS event \
             FROM temp.main.paired AS p WHERE p.cur_id IS NOT NULL) AS p \
             JOIN {current} AS cur ON cur.rowid = p.cur_id"
        );
        connection
            .run(&Closing::at(at).insert(layout, &from, Some((Operation::Delete, "p.event"))))
            .map_err(doing())?;
    }
    // In pieces by an order of the pairs, so that no DELETE holds more than its bound in memory.
    let mut left = deleted + updated;
    let mut from: u64 = 0;
    if left > 0 {
        connection
            .run(
                "CREATE OR REPLACE TEMP TABLE leaving AS SELECT cur_id, row_number() OVER () AS number \
                 FROM temp.main.paired WHERE cur_id IS NOT NULL",
            )
            .map_err(doing())?;
    }
    while left > 0 {
        let gone = connection
            .run(&format!(
                "DELETE FROM {current} AS cur USING temp.main.leaving AS p WHERE cur.rowid = p.cur_id \
                 AND p.number > {from} AND p.number <= {}",
                from + DELETE_ROWS_MAX
            ))
            .map_err(doing())?;
        if gone != left.min(DELETE_ROWS_MAX) {
            return Err(WarehouseError::NoSuchRow {
                table: layout.target.to_string(),
                key: format!("{gone} of {} rows to replace were found", left.min(DELETE_ROWS_MAX)),
            });
        }
        left -= gone;
        from += DELETE_ROWS_MAX;
    }
    if inserted + updated > 0 {
        let live = list("", layout.live_columns());
        connection
            .run(&format!(
                "INSERT INTO {current} ({live}, valid_from, operation_type, _lsn, _seq) \
                 SELECT {}, {}, '{}', {}, {} FROM {staged} AS s JOIN temp.main.paired AS p ON s.rowid = p.staged_id",
                list("s.", layout.live_columns()),
                instant(at.time.0),
                Operation::Snapshot.as_str(),
                at.position.commit_lsn.0,
                at.position.ordinal
            ))
            .map_err(doing())?;
    }
    drop_temporary(connection, layout)?;
    Ok(ReplaceCounts { inserted, updated, deleted })
}

/// Compares the staged rows with the table's current ones.
pub(crate) fn compare_staged(
    connection: &Connection,
    layout: &TableLayout,
    keys_max: usize,
    none: bool,
) -> Outcome<Comparison> {
    stage_if_none(connection, layout, none)?;
    let (rows_warehouse, rows_source) = pair(connection, layout)?;
    let [extra, missing, different] = pair_counts(connection, layout)?;
    let (staged, current) = (format!("temp.main.{}", stage_name(layout)), current(layout.id));
    let live: Vec<_> = layout.live_columns().collect();
    let key = match key_columns(layout) {
        key if key.is_empty() => live.clone(),
        key => key,
    };
    let named = |count: u64, from: String, text: String| -> Outcome<Difference> {
        if count == 0 {
            return Ok(Difference::default());
        }
        let batches = connection
            .query(&format!("SELECT {text} FROM {from} ORDER BY 1 LIMIT {keys_max}"))
            .map_err(failed(format!("naming rows of {} that differ", layout.target)))?;
        Ok(Difference { count, keys: texts(&batches) })
    };
    let comparison = Comparison {
        rows_source,
        rows_warehouse,
        missing: named(
            missing,
            format!("temp.main.paired AS p JOIN {staged} AS s ON s.rowid = p.staged_id WHERE p.cur_id IS NULL"),
            key_text("s.", &key),
        )?,
        extra: named(
            extra,
            format!("temp.main.paired AS p JOIN {current} AS cur ON cur.rowid = p.cur_id WHERE p.staged_id IS NULL"),
            key_text("cur.", &key),
        )?,
        different: named(
            different,
            format!(
                "temp.main.paired AS p JOIN {staged} AS s ON s.rowid = p.staged_id \
                 JOIN {current} AS cur ON cur.rowid = p.cur_id"
            ),
            format!("{} || ' (' || {} || ')'", key_text("s.", &key), differing_columns(&live)),
        )?,
    };
    drop_temporary(connection, layout)?;
    Ok(comparison)
}

/// The names of the columns that differ between `cur` and `s`, as one text.
fn differing_columns(live: &[&LayoutColumn]) -> String {
    let names: Vec<_> = live
        .iter()
        .map(|column| {
            format!("CASE WHEN NOT ({}) THEN {} END", same_value("cur", "s", column), string(&column.name))
        })
        .collect();
    format!("concat_ws(', ', {})", names.join(", "))
}

fn texts(batches: &[RecordBatch]) -> Vec<String> {
    let mut all = Vec::new();
    for batch in batches {
        let column = batch.column(0).as_string::<i32>();
        all.extend((0..column.len()).map(|row| column.value(row).to_owned()));
    }
    all
}
