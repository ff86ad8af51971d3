//! Ending versions: what is in `current` under a batch of keys goes to `closed`, and leaves `current`.
//!
//! # Three ways, by size and scatter of the batch
//!
//! - A few rows that whole numbers name are closed by one statement; see [`few`].
//! - `DELETE … RETURNING` reads only the key's column and then fetches the rows it found one by one: some 20 µs each, whatever the table's size.
//! - Copying by a join, then deleting by the same join, reads whole columns of what the zone maps leave: some 10 ns a row of the table.
//!
//! Milliseconds of both on two busy cores, 12 columns, keys scattered over the table (copying also reads least where keys are close together):
//!
//! | rows, keys | 1M, 1,000 | 10M, 1,000 | 10M, 10,000 | 10M, 50,000 |
//! | --- | --- | --- | --- | --- |
//! | RETURNING | 40 | 94 | 480 | – |
//! | copying | 15 | 400 | 660 | 1,150 |
//!
//! Either way every key must have matched exactly one row; a count that differs names the first key that did not.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
};

use arrow_array::{cast::AsArray, types, Array, ArrowPrimitiveType, RecordBatch};
use arrow_schema::DataType;
use millstream_core::{
    warehouse::{meta, physical_name, LayoutColumn, Moment, Operation, TableLayout},
    TableId,
};

use super::{
    engine::{AppendTarget, Connection},
    failed, few,
    rows::{check_columns, malformed, names, numbered, CLOSE, CLOSED},
    sql::{
        closed, column_type, current, current_name, identity, key_columns, list, same_key, same_row, string,
        HIDDEN_SCHEMA,
    },
    state::single_u64,
    text,
    views::instant,
};
use crate::WarehouseError;

type Outcome<T> = Result<T, WarehouseError>;

/// Rows of the table that are copied past in the time of fetching one: below this many per key, copying is faster.
const ROWS_READ_PER_FETCH: u64 = 2_000;

/// The most keys for `DELETE … RETURNING`, which holds its rows in memory.
const RETURNING_KEYS_MAX: usize = 10_000;

/// How often a table's estimated size is used before it is looked up again, which costs as much as closing a few rows.
const ESTIMATE_USES_MAX: u32 = 256;

/// The memory limit is raised by this part of it at least.
const LIMIT_STEPS: u64 = 10;

/// Keys that are closed by one statement. A DELETE keeps what it removes in memory: with a limit of 180 MB this many wide rows still fit.
const CLOSE_KEYS_MAX: usize = 200_000;

/// Closing columns of rows that end, as SQL expressions.
pub(crate) struct Closing {
    time: String,
    lsn: String,
    seq: String,
}

impl Closing {
    /// All at one moment.
    pub(crate) fn at(moment: Moment) -> Self {
        Closing {
            time: instant(moment.time.0),
            lsn: moment.position.commit_lsn.0.to_string(),
            seq: moment.position.ordinal.to_string(),
        }
    }

    /// Each as its staged row `s` says.
    fn staged() -> Self {
        Closing { time: "s.valid_to".into(), lsn: "s._lsn_to".into(), seq: "s._seq_to".into() }
    }

    /// Copies the versions `cur` to `closed`, ended. `events` names the operation of rows that are events, and the column of `from` that says
    /// whether a row is one: those get an empty interval.
    pub(crate) fn insert(
        &self,
        layout: &TableLayout,
        from: &str,
        events: Option<(Operation, &str)>,
    ) -> String {
        let Closing { time, lsn, seq } = self;
        let either = |event: &str, version: &str| match events {
            Some((_, is_event)) => format!("CASE WHEN {is_event} THEN {event} ELSE {version} END"),
            None => version.to_owned(),
        };
        let operation = format!("'{}'", events.map_or("", |(operation, _)| operation.as_str()));
        format!(
            "INSERT INTO {closed} ({columns}, {bookkeeping}) \
             SELECT {values}, {valid_from}, {time}, {operation}, {opened_lsn}, {opened_seq}, {lsn}, {seq} FROM {from}",
            closed = closed(layout.id),
            columns = list("", &layout.columns),
            bookkeeping = CLOSED.join(", "),
            values = list("cur.", &layout.columns),
            valid_from = either(time, "cur.valid_from"),
            operation = either(&operation, "cur.operation_type"),
            opened_lsn = either(lsn, "cur._lsn"),
            opened_seq = either(seq, "cur._seq"),
        )
    }
}

/// Estimated sizes of tables, which decide how a batch is closed, and how much memory DuckDB needs for it.
pub(crate) struct Estimates {
    tables: RefCell<HashMap<TableId, Estimate>>,
    /// The columns of the widest table.
    columns: Cell<u64>,
    /// DuckDB's memory limit: without any table, at most, and now.
    limit_least: u64,
    limit_max: u64,
    limit: Cell<u64>,
}

/// What DuckDB keeps in memory of a row whose vector had a deletion since the last checkpoint, in bytes.
const DELETION_BYTES_PER_ROW: u64 = 8;

/// What DuckDB holds of each column of a table whose rows are appended or compared, however few they are: a block of values and one that says which are NULL.
const BYTES_PER_COLUMN: u64 = 2 * (256 << 10);

/// Columns for which the least limit has room.
const COLUMNS_FREE: u64 = 100;

struct Estimate {
    rows: u64,
    uses: u32,
}

impl Estimates {
    pub(crate) fn new(limit_bytes: u64, limit_bytes_max: u64) -> Self {
        Estimates {
            tables: RefCell::default(),
            columns: Cell::default(),
            limit_least: limit_bytes,
            limit_max: limit_bytes_max,
            limit: Cell::new(limit_bytes),
        }
    }

    /// Raises DuckDB's memory limit to what deletions all over the tables that were seen so far take.
    fn make_room(&self, connection: &Connection, id: TableId) -> Outcome<()> {
        self.rows(connection, id)?;
        self.raise(connection)
    }

    /// Raises DuckDB's memory limit to what a table of so many columns takes.
    pub(crate) fn make_room_for_columns(&self, connection: &Connection, columns: u64) -> Outcome<()> {
        if columns <= self.columns.get().max(COLUMNS_FREE) {
            return Ok(());
        }
        self.columns.set(columns);
        self.raise(connection)
    }

    fn raise(&self, connection: &Connection) -> Outcome<()> {
        let rows: u64 = self.tables.borrow().values().map(|table| table.rows).sum();
        let wanted = self
            .limit_least
            .saturating_add(rows.saturating_mul(DELETION_BYTES_PER_ROW))
            .saturating_add(self.columns.get().saturating_mul(BYTES_PER_COLUMN))
            .min(self.limit_max);
        // In steps, for a table that grows by and by.
        if wanted > self.limit.get() + self.limit.get() / LIMIT_STEPS {
            connection
                .run(&format!("SET memory_limit = '{wanted}B'"))
                .map_err(failed("raising DuckDB's memory limit"))?;
            self.limit.set(wanted);
        }
        Ok(())
    }

    fn rows(&self, connection: &Connection, id: TableId) -> Outcome<u64> {
        let mut tables = self.tables.borrow_mut();
        if let Some(known) = tables.get_mut(&id).filter(|known| known.uses < ESTIMATE_USES_MAX) {
            known.uses += 1;
            return Ok(known.rows);
        }
        let batches = connection
            .query(&format!(
                "SELECT max(estimated_size)::UBIGINT FROM duckdb_tables() \
                 WHERE database_name = current_database() AND schema_name = {} AND table_name = {}",
                string(HIDDEN_SCHEMA),
                string(&current_name(id))
            ))
            .map_err(failed("estimating a table's size"))?;
        let rows = single_u64(&batches);
        tables.insert(id, Estimate { rows, uses: 0 });
        Ok(rows)
    }
}

/// How many rows of the table a copy of these keys reads, at most: keys of one integer column that are close together lie close together.
fn span(key: &[&LayoutColumn], batch: &RecordBatch) -> Option<u64> {
    let [_] = key else { return None };
    let column = batch.column(0);
    let (lowest, highest) = match column.data_type() {
        DataType::Int16 => range::<types::Int16Type>(column)?,
        DataType::Int32 => range::<types::Int32Type>(column)?,
        DataType::Int64 => range::<types::Int64Type>(column)?,
        _ => return None,
    };
    Some(highest.abs_diff(lowest))
}

fn range<T: ArrowPrimitiveType>(column: &dyn Array) -> Option<(i64, i64)>
where
    T::Native: Into<i64>,
{
    let values = column.as_primitive_opt::<T>()?.values();
    let values = values.iter().map(|value| (*value).into());
    Some((values.clone().min()?, values.max()?))
}

/// Stages the rows of a batch in a temporary table of this name, replacing what it held, and returns how statements name it.
pub(crate) fn stage_rows(
    connection: &Connection,
    layout: &TableLayout,
    name: &str,
    columns: &[&LayoutColumn],
    bookkeeping: &[(&str, &str)],
    rows: &RecordBatch,
) -> Outcome<String> {
    let mut declared: Vec<_> = columns
        .iter()
        .map(|column| format!("{} {}", physical_name(column.attnum), column_type(&column.column_type)))
        .collect();
    declared.extend(bookkeeping.iter().map(|(name, of)| format!("{name} {of}")));
    let doing = || failed(format!("staging rows for {}", layout.target));
    connection
        .run(&format!("CREATE OR REPLACE TEMP TABLE {name} ({})", declared.join(", ")))
        .map_err(doing())?;
    let target = AppendTarget { catalog: Some("temp"), schema: "main", table: name, columns: &[] };
    connection.append(&target, &[rows]).map_err(doing())?;
    Ok(format!("temp.main.{name}"))
}

/// Ends the versions that the batch names.
pub(crate) fn close(
    connection: &Connection,
    estimates: &Estimates,
    layout: &TableLayout,
    batch: &RecordBatch,
) -> Outcome<()> {
    let key = key_columns(layout);
    let columns = if key.is_empty() { layout.live_columns().collect() } else { key.clone() };
    check_columns(layout, batch, &names(columns.iter().copied(), &CLOSE))?;
    estimates.make_room(connection, layout.id)?;
    fail::fail_point!("warehouse::out_of_memory", |_| Err(WarehouseError::OutOfMemory {
        doing: "closing rows".into(),
        detail: "injected".into()
    }));
    let mut offset = 0;
    while offset < batch.num_rows() {
        let rows = CLOSE_KEYS_MAX.min(batch.num_rows() - offset);
        let piece = batch.slice(offset, rows);
        if key.is_empty() {
            close_whole_rows(connection, layout, &columns, &piece)?;
        } else {
            close_keys(connection, estimates, layout, &columns, &piece)?;
        }
        offset += rows;
    }
    Ok(())
}

/// Types of the closing columns in a staging table.
const STAGED: [(&str, &str); 4] =
    [("valid_to", "TIMESTAMPTZ"), ("_lsn_to", "UBIGINT"), ("_seq_to", "UBIGINT"), ("deleted", "BOOLEAN")];

/// The staged rows `s`; where some were deleted, those twice, told apart by `s.event`.
fn with_events(staged: &str, deleted: u64) -> String {
    if deleted == 0 {
        return format!("{staged} AS s");
    }
    // In the select list: joined laterally, the plan would hash every staged row twice more.
    format!(
        "(SELECT s.*, unnest(CASE WHEN s.deleted THEN [false, true] ELSE [false] END) AS event \
         FROM {staged} AS s) AS s"
    )
}

fn close_keys(
    connection: &Connection,
    estimates: &Estimates,
    layout: &TableLayout,
    key: &[&LayoutColumn],
    batch: &RecordBatch,
) -> Outcome<()> {
    if few::close(connection, layout, key, batch)? {
        return Ok(());
    }
    let doing = || failed(format!("closing rows of {}", layout.target));
    let (wanted, events) = (batch.num_rows() as u64, deleted_count(batch));
    let staged = stage_rows(connection, layout, "closing", key, &STAGED, batch)?;
    let same = same_key("cur", "s", layout);
    let current = current(layout.id);
    let by_key = format!("DELETE FROM {current} AS cur USING {staged} AS s WHERE {same}");
    let operation = (events > 0).then_some((Operation::Delete, "s.event"));
    let insert = |from: &str| {
        let from = format!("{} JOIN {from} AS cur ON {same}", with_events(&staged, events));
        connection.run(&Closing::staged().insert(layout, &from, operation)).map_err(doing())
    };
    let absent = |there: &str| missing(connection, layout, key, &staged, there, &same);
    if !layout.history {
        let found = connection
            .query(&format!("SELECT count(*)::UBIGINT FROM {current} AS cur JOIN {staged} AS s ON {same}"))
            .map_err(doing())?;
        require(layout, wanted, single_u64(&found), || absent(&current))?;
    } else if fetches(connection, estimates, layout, key, batch)? {
        let ended = AppendTarget { catalog: Some("temp"), schema: "main", table: "ended", columns: &[] };
        connection
            .run(&format!("CREATE OR REPLACE TEMP TABLE ended AS SELECT * FROM {current} LIMIT 0"))
            .map_err(doing())?;
        let deleted = connection.run_into(&format!("{by_key} RETURNING *"), &ended).map_err(doing())?;
        let ended = "temp.main.ended";
        require(layout, wanted, deleted, || absent(ended))?;
        let copied = insert(ended)?;
        return require(layout, wanted + events, copied, || absent(ended));
    } else {
        let copied = insert(&current)?;
        require(layout, wanted + events, copied, || absent(&current))?;
    }
    let deleted = connection.run(&by_key).map_err(doing())?;
    require(layout, wanted, deleted, || Ok(format!("one of {wanted} rows")))
}

/// Whether the rows are fetched one by one rather than copied by a scan.
fn fetches(
    connection: &Connection,
    estimates: &Estimates,
    layout: &TableLayout,
    key: &[&LayoutColumn],
    batch: &RecordBatch,
) -> Outcome<bool> {
    if batch.num_rows() > RETURNING_KEYS_MAX {
        return Ok(false);
    }
    let rows = estimates.rows(connection, layout.id)?;
    let read = span(key, batch).map_or(rows, |span| span.min(rows));
    Ok(read >= batch.num_rows() as u64 * ROWS_READ_PER_FETCH)
}

/// How many rows of a `close` batch ask for an event.
fn deleted_count(batch: &RecordBatch) -> u64 {
    batch
        .column_by_name(meta::DELETED)
        .and_then(|column| column.as_boolean_opt())
        .map_or(0, |column| column.true_count() as u64)
}

fn require(
    layout: &TableLayout,
    wanted: u64,
    found: u64,
    key: impl FnOnce() -> Outcome<String>,
) -> Outcome<()> {
    if wanted == found {
        return Ok(());
    }
    Err(WarehouseError::NoSuchRow { table: layout.target.to_string(), key: key()? })
}

/// The first staged row that has no partner in `there`, or that has more than one, as text.
fn missing(
    connection: &Connection,
    layout: &TableLayout,
    columns: &[&LayoutColumn],
    staged: &str,
    there: &str,
    same: &str,
) -> Outcome<String> {
    let doing = || failed(format!("looking for a missing row of {}", layout.target));
    let text = key_text("s.", columns);
    let absent = connection
        .query(&format!(
            "SELECT {text} FROM {staged} AS s ANTI JOIN {there} AS cur ON {same} ORDER BY 1 LIMIT 1"
        ))
        .map_err(doing())?;
    if let Some(key) = first_text(&absent) {
        return Ok(key);
    }
    let doubled = connection
        .query(&format!(
            "SELECT {text} FROM {staged} AS s JOIN {there} AS cur ON {same} \
             GROUP BY ALL HAVING count(*) > 1 ORDER BY 1 LIMIT 1"
        ))
        .map_err(doing())?;
    Ok(first_text(&doubled).map_or_else(|| "unknown".into(), |key| format!("{key} is there more than once")))
}

/// Columns of a row as one text, `name=value` separated by commas.
pub(crate) fn key_text(prefix: &str, columns: &[&LayoutColumn]) -> String {
    let parts: Vec<_> = columns
        .iter()
        .map(|column| {
            let value = text::postgres_text(
                &format!("{prefix}{}", physical_name(column.attnum)),
                &column.column_type,
                &column.source_type,
            );
            format!("{} || coalesce({value}, 'NULL')", string(&format!("{}=", column.name)))
        })
        .collect();
    parts.join(" || ', ' || ")
}

fn first_text(batches: &[RecordBatch]) -> Option<String> {
    let batch = batches.iter().find(|batch| batch.num_rows() > 0)?;
    Some(batch.column(0).as_string_opt::<i32>()?.value(0).to_owned())
}

/// Ends rows of a table without a key: of equal rows the oldest, one per row of the batch.
fn close_whole_rows(
    connection: &Connection,
    layout: &TableLayout,
    live: &[&LayoutColumn],
    batch: &RecordBatch,
) -> Outcome<()> {
    let doing = || failed(format!("closing rows of {}", layout.target));
    let batch = numbered(batch, 0).map_err(|error| malformed(layout, error.to_string()))?;
    let mut bookkeeping = STAGED.to_vec();
    bookkeeping.push((meta::ORDINAL, "UBIGINT"));
    let staged = stage_rows(connection, layout, "closing", live, &bookkeeping, &batch)?;
    let current = current(layout.id);
    let same = same_row("s", "cur", layout);
    connection.run(&match_copies(layout, live, &staged, &current)).map_err(doing())?;
    let matched = "temp.main.matched";
    let found = connection.query(&format!("SELECT count(*)::UBIGINT FROM {matched}")).map_err(doing())?;
    let wanted = batch.num_rows() as u64;
    require(layout, wanted, single_u64(&found), || {
        missing(connection, layout, live, &staged, &current, &same)
    })?;
    if layout.history {
        let events = deleted_count(&batch);
        let from = format!(
            "{} JOIN {matched} AS m ON m.ordinal = s.ordinal JOIN {current} AS cur ON cur.rowid = m.row_id",
            with_events(&staged, events)
        );
        let operation = (events > 0).then_some((Operation::Delete, "s.event"));
        connection.run(&Closing::staged().insert(layout, &from, operation)).map_err(doing())?;
    }
    let deleted = connection
        .run(&format!("DELETE FROM {current} AS cur USING {matched} AS m WHERE cur.rowid = m.row_id"))
        .map_err(doing())?;
    require(layout, wanted, deleted, || Ok(format!("one of {wanted} rows")))
}

/// Pairs the n-th staged copy of a row with the n-th oldest copy in the table, by row id.
fn match_copies(layout: &TableLayout, live: &[&LayoutColumn], staged: &str, current: &str) -> String {
    let partition = |prefix: &str| -> String {
        let terms: Vec<_> = live.iter().map(|column| identity(prefix, column)).collect();
        terms.join(", ")
    };
    format!(
        "CREATE OR REPLACE TEMP TABLE matched AS \
         SELECT cur.row_id, s.ordinal FROM \
         (SELECT {live_s}, s.ordinal, row_number() OVER (PARTITION BY {by_s} ORDER BY s.ordinal) AS copy \
          FROM {staged} AS s) AS s \
         JOIN (SELECT {live_cur}, cur.rowid AS row_id, row_number() OVER \
          (PARTITION BY {by_cur} ORDER BY cur._lsn, cur._seq, cur.rowid) AS copy \
          FROM {current} AS cur SEMI JOIN {staged} AS s ON {same}) AS cur \
         ON s.copy = cur.copy AND {same}",
        live_s = list("s.", live.iter().copied()),
        live_cur = list("cur.", live.iter().copied()),
        by_s = partition("s."),
        by_cur = partition("cur."),
        same = same_row("s", "cur", layout),
    )
}
