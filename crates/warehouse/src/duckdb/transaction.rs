//! One warehouse transaction: tables made and changed, rows written, progress stated, all or nothing.

use arrow_array::{
    cast::AsArray, types, Array, ArrayRef, RecordBatch, StringArray, UInt32Array, UInt64Array,
};
use millstream_core::{
    log::Result,
    warehouse::{
        meta, physical_name, Alteration, Moment, Operation, Progress, QuarantinedChange, ReplaceCounts,
        RowGroup, TableLayout, TableState, WarehouseTransaction,
    },
    Lsn, Position, Restrictions, TableId, Timestamp,
};
use std::{cell::Cell, collections::BTreeSet, sync::Arc};

use super::{
    close::{self, Closing, Estimates},
    continuity::Continuity,
    engine::{AppendTarget, Connection},
    failed, replace,
    restrict::Veil,
    rows::{check_columns, documented, malformed, names, numbered, CLOSED, OPEN},
    sql::{
        closed, closed_name, column_type, current, current_name, identifier, key_columns, list, same_key,
        same_row, HIDDEN_SCHEMA,
    },
    state::{self, KeptTable},
    text,
    views::{definitions, instant},
};
use crate::{collisions, WarehouseError};

type Outcome<T> = std::result::Result<T, WarehouseError>;

/// Rows that one DELETE over a whole table takes at a time. A DELETE keeps what it removes in memory until it ends: 10M rows fail at a limit of
/// 256 MB, a tenth of them does not.
const DELETE_ROWS_MAX: u64 = 500_000;

/// Rows of DuckDB's row groups.
const ROW_GROUP_ROWS: usize = 122_880;

/// From here on, row ids are of rows that this transaction appended itself (DuckDB's `MAX_ROW_ID`).
const LOCAL_ROW_ID_MIN: u64 = 36_028_797_018_960_000;

/// A transaction on the writing connection. Dropped without a commit, it rolls back.
pub(crate) struct DuckTransaction<'a> {
    connection: &'a Connection,
    estimates: &'a Estimates,
    /// The statement that gives DuckDB its threads back, and whether it must run at the end.
    reset_threads: &'a str,
    restrictions: &'a Restrictions,
    continuity: &'a Continuity,
    /// Whether something was done that is not a change behind all that is applied, and how far this transaction comes.
    breaks: Cell<bool>,
    applied: Cell<Option<Lsn>>,
    /// Tables that rows were written of.
    written: BTreeSet<TableId>,
    has_one_thread: Cell<bool>,
    /// Tables with rows staged for [`WarehouseTransaction::replace_with_staged`].
    staged: BTreeSet<TableId>,
    ended: bool,
}

impl<'a> DuckTransaction<'a> {
    pub(crate) fn begin(
        connection: &'a Connection,
        estimates: &'a Estimates,
        reset_threads: &'a str,
        restrictions: &'a Restrictions,
        continuity: &'a Continuity,
    ) -> Outcome<Self> {
        connection.run("BEGIN TRANSACTION").map_err(failed("beginning a transaction"))?;
        Ok(DuckTransaction {
            connection,
            estimates,
            reset_threads,
            restrictions,
            continuity,
            breaks: Cell::new(false),
            applied: Cell::new(None),
            written: BTreeSet::new(),
            has_one_thread: Cell::new(false),
            staged: BTreeSet::new(),
            ended: false,
        })
    }

    fn run(&self, doing: &str, statement: &str) -> Outcome<u64> {
        self.connection.run(statement).map_err(failed(doing))
    }

    /// Creates or re-creates what stands in front of a table.
    fn show(&self, table: &KeptTable, before: Option<&KeptTable>) -> Outcome<()> {
        self.breaks.set(true);
        let shown = |table: &KeptTable| -> Outcome<_> {
            let veil = Veil::of(self.connection, self.restrictions, &table.state.layout)?;
            Ok(definitions(&table.state, &table.stem, table.retired, veil.as_ref()))
        };
        // What was restricted by its name of before is so by its next one.
        let before = before.map(shown).transpose()?.unwrap_or_default();
        let after = shown(table)?;
        for gone in before.iter().filter(|old| !after.iter().any(|new| new.replaces(old))) {
            self.run("removing a view", &gone.drop())?;
        }
        let schema = identifier(&table.state.layout.target.schema);
        self.run("creating a schema", &format!("CREATE SCHEMA IF NOT EXISTS {schema}"))?;
        for definition in &after {
            if before.contains(definition) {
                continue;
            }
            let statement = if before.iter().any(|old| definition.replaces(old)) {
                definition.replace()
            } else {
                definition.create()
            };
            self.run("creating a view", &statement)?;
        }
        Ok(())
    }

    fn append(
        &self,
        table: &str,
        layout: &TableLayout,
        batch: &RecordBatch,
        bookkeeping: &[&str],
    ) -> Outcome<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let columns = names(layout.live_columns(), bookkeeping);
        check_columns(layout, batch, &columns)?;
        let target = AppendTarget { catalog: None, schema: HIDDEN_SCHEMA, table, columns: &columns };
        let appending = || failed(format!("appending rows to {}", layout.target));
        let whole = batch.num_rows() / ROW_GROUP_ROWS * ROW_GROUP_ROWS;
        if whole > 0 {
            // DuckDB shares rows out among its threads, and what leaves one of them without a whole row group it copies twice more: 15% of
            // what a first load takes. They come back with the end of the transaction: DuckDB gives memory back to the system whenever their
            // number changes.
            if !self.has_one_thread.replace(true) {
                self.connection.run("SET threads = 1").map_err(appending())?;
            }
            self.connection.append(&target, &[&batch.slice(0, whole)]).map_err(appending())?;
        }
        if whole == batch.num_rows() {
            return Ok(());
        }
        let rest = batch.slice(whole, batch.num_rows() - whole);
        self.connection.append(&target, &[&rest]).map_err(appending())
    }

    fn retire(&self, id: TableId, at: Moment) -> Outcome<()> {
        let before = state::table(self.connection, id)?;
        let layout = &before.state.layout;
        if layout.history {
            let columns = list("", &layout.columns);
            self.run(
                "closing the rows of a table that is gone",
                &format!(
                    "INSERT INTO {} ({columns}, {}) SELECT {columns}, valid_from, {}, operation_type, _lsn, _seq, {}, {} FROM {}",
                    closed(id),
                    CLOSED.join(", "),
                    instant(at.time.0),
                    at.position.commit_lsn.0,
                    at.position.ordinal,
                    current(id)
                ),
            )?;
        }
        self.delete_all(&current(id))?;
        let after = KeptTable { state: before.state.clone(), stem: before.stem.clone(), retired: true };
        self.show(&after, Some(&before))?;
        state::put_table(self.connection, &after)
    }

    /// Deletes all rows of a table in pieces that fit in memory.
    fn delete_all(&self, table: &str) -> Outcome<u64> {
        let range = self
            .connection
            .query(&format!(
                "SELECT coalesce(max(rowid), 0)::UBIGINT FROM {table} WHERE rowid < {LOCAL_ROW_ID_MIN} \
                 UNION ALL SELECT coalesce(max(rowid), 0)::UBIGINT FROM {table} WHERE rowid >= {LOCAL_ROW_ID_MIN}"
            ))
            .map_err(failed("deleting rows"))?;
        let ends: Vec<u64> = range
            .iter()
            .flat_map(|batch| batch.column(0).as_primitive::<types::UInt64Type>().values().to_vec())
            .collect();
        let committed_end = ends.iter().copied().filter(|end| *end < LOCAL_ROW_ID_MIN).max().unwrap_or(0);
        let own_end = ends.iter().copied().filter(|end| *end >= LOCAL_ROW_ID_MIN).max();
        let mut deleted = self.delete_range(table, 0, committed_end)?;
        if let Some(own_end) = own_end {
            deleted += self.delete_range(table, LOCAL_ROW_ID_MIN, own_end)?;
        }
        Ok(deleted)
    }

    /// Deletes the rows with ids from `first` through `last`.
    fn delete_range(&self, table: &str, first: u64, last: u64) -> Outcome<u64> {
        let mut deleted = 0;
        let mut from = first;
        while from <= last {
            let to = from.saturating_add(DELETE_ROWS_MAX);
            deleted += self.run(
                "deleting rows",
                &format!("DELETE FROM {table} WHERE rowid >= {from} AND rowid < {to}"),
            )?;
            from = to;
        }
        Ok(deleted)
    }
}

impl Drop for DuckTransaction<'_> {
    fn drop(&mut self) {
        if !self.ended {
            // Nothing else can be done with an error here; the next BEGIN reports a connection that is still in a transaction.
            if let Err(error) = self.connection.run("ROLLBACK") {
                tracing::warn!(
                    event = "rollback_failed",
                    error = error.message,
                    "the warehouse transaction could not be rolled back"
                );
            }
        }
        if self.has_one_thread.get() {
            if let Err(error) = self.connection.run(self.reset_threads) {
                tracing::warn!(
                    event = "one_thread_left",
                    error = error.message,
                    "DuckDB goes on with one thread"
                );
            }
        }
    }
}

impl WarehouseTransaction for DuckTransaction<'_> {
    fn create_table(&mut self, table: &TableState) -> Result<()> {
        let layout = &table.layout;
        let others = state::tables(self.connection)?;
        let mut together = vec![layout.clone()];
        together.extend(others.iter().filter(|other| !other.retired).map(|other| other.state.layout.clone()));
        if let Some(collision) = collisions(&together).into_iter().next() {
            return Err(WarehouseError::Collision(collision).into());
        }
        // A table that is gone leaves its names to its successor.
        for old in others.into_iter().filter(|other| other.retired) {
            let target = &old.state.layout.target;
            if target.schema.eq_ignore_ascii_case(&layout.target.schema)
                && old.stem.eq_ignore_ascii_case(&layout.target.name)
            {
                let stem = format!("{}_{}", target.name, old.state.layout.id);
                let renamed = KeptTable { state: old.state.clone(), stem, retired: true };
                self.show(&renamed, Some(&old))?;
                state::put_table(self.connection, &renamed)?;
            }
        }
        self.estimates.make_room_for_columns(self.connection, layout.columns.len() as u64)?;
        create_physical(self.connection, layout)?;
        let kept = KeptTable { state: table.clone(), stem: layout.target.name.clone(), retired: false };
        self.show(&kept, None)?;
        Ok(state::put_table(self.connection, &kept)?)
    }

    fn alter_table(&mut self, table: &TableState, alterations: &[Alteration]) -> Result<()> {
        self.estimates.make_room_for_columns(self.connection, table.layout.columns.len() as u64)?;
        let before = state::table(self.connection, table.layout.id)?;
        let mut columns = before.state.layout.columns.clone();
        for alteration in alterations {
            for statement in alter_statements(table.layout.id, &mut columns, alteration)? {
                self.run(&format!("altering {}", table.layout.target), &statement)?;
            }
        }
        drop(before);
        self.put_state(table)
    }

    fn put_state(&mut self, table: &TableState) -> Result<()> {
        let before = state::table(self.connection, table.layout.id)?;
        let stem = if before.retired { before.stem.clone() } else { table.layout.target.name.clone() };
        let after = KeptTable { state: table.clone(), stem, retired: before.retired };
        self.show(&after, Some(&before))?;
        Ok(state::put_table(self.connection, &after)?)
    }

    fn retire_table(&mut self, table: &TableState, at: Moment) -> Result<()> {
        self.put_state(table)?;
        Ok(self.retire(table.layout.id, at)?)
    }

    fn write(&mut self, layout: &TableLayout, rows: &RowGroup) -> Result<()> {
        self.written.insert(layout.id);
        let ahead = [(&rows.close, meta::LSN_TO), (&rows.closed, meta::LSN_TO), (&rows.open, meta::LSN)];
        let is_ahead = |(rows, column): (&Option<RecordBatch>, _)| {
            rows.as_ref().is_none_or(|rows| self.continuity.are_ahead(rows, column))
        };
        if !ahead.into_iter().all(is_ahead) {
            self.breaks.set(true);
        }
        if let Some(batch) = &rows.close {
            close::close(self.connection, self.estimates, layout, batch)?;
        }
        if let Some(batch) = rows.closed.as_ref().filter(|_| layout.history) {
            self.append(&closed_name(layout.id), layout, batch, &CLOSED)?;
        }
        if let Some(batch) = &rows.open {
            self.append(&current_name(layout.id), layout, batch, &OPEN)?;
        }
        Ok(())
    }

    fn truncate(&mut self, layout: &TableLayout, at: Moment) -> Result<()> {
        self.written.insert(layout.id);
        if !self.continuity.is_ahead(at.position.commit_lsn) {
            self.breaks.set(true);
        }
        if layout.history {
            let closing = Closing::at(at);
            self.run(
                &format!("closing all rows of {}", layout.target),
                &closing.insert(
                    layout,
                    &format!("{} AS cur, (VALUES (false), (true)) AS e(event)", current(layout.id)),
                    Some((Operation::Truncate, "e.event")),
                ),
            )?;
        }
        self.delete_all(&current(layout.id))?;
        Ok(())
    }

    fn last_change(&mut self, layout: &TableLayout) -> Result<Option<Moment>> {
        // Times never run back in the order of positions, so the largest of each belong together.
        let batches = self
            .connection
            .query(&format!(
                "SELECT max(lsn)::UBIGINT, epoch_us(max(moment))::BIGINT FROM (SELECT max(_lsn) AS lsn, max(valid_from) AS moment FROM {} \
                 UNION ALL SELECT max(_lsn_to), max(valid_to) FROM {})",
                current(layout.id),
                closed(layout.id)
            ))
            .map_err(failed(format!("looking for the last change of {}", layout.target)))?;
        let Some(batch) = batches.iter().find(|batch| batch.num_rows() > 0) else { return Ok(None) };
        let lsn = batch.column(0).as_primitive::<types::UInt64Type>();
        let micros = batch.column(1).as_primitive::<types::Int64Type>();
        if lsn.is_null(0) || micros.is_null(0) {
            return Ok(None);
        }
        let position = Position { commit_lsn: Lsn(lsn.value(0)), ordinal: 0 };
        Ok(Some(Moment { time: Timestamp(micros.value(0)), position }))
    }

    fn clear(&mut self, layout: &TableLayout) -> Result<()> {
        self.breaks.set(true);
        // Dropping and creating takes no time and no memory, whatever the size.
        self.run(
            &format!("clearing {}", layout.target),
            &format!("DROP TABLE {}; DROP TABLE {}", current(layout.id), closed(layout.id)),
        )?;
        Ok(create_physical(self.connection, layout)?)
    }

    fn lookup(&mut self, layout: &TableLayout, keys: &RecordBatch) -> Result<Vec<RecordBatch>> {
        if keys.num_rows() == 0 {
            return Ok(Vec::new());
        }
        let key = key_columns(layout);
        if key.is_empty() {
            return Err(malformed(layout, "a table without a key has no keys to look up").into());
        }
        let mut columns = names(key.iter().copied(), &[]);
        columns.push(meta::ORDINAL.to_owned());
        check_columns(layout, keys, &columns)?;
        let staged =
            close::stage_rows(self.connection, layout, "asked", &key, &[("ordinal", "UBIGINT")], keys)?;
        let live: Vec<_> = layout.live_columns().collect();
        let found = self
            .connection
            .query(&format!(
                "SELECT {}, s.ordinal FROM {} AS cur JOIN {staged} AS s ON {}",
                list("cur.", live.iter().copied()),
                current(layout.id),
                same_key("cur", "s", layout)
            ))
            .map_err(failed(format!("looking rows of {} up", layout.target)))?;
        found
            .iter()
            .map(|batch| Ok(documented(batch, &live).map_err(|error| malformed(layout, error.to_string()))?))
            .collect()
    }

    fn count_equal(&mut self, layout: &TableLayout, rows: &RecordBatch) -> Result<Vec<u64>> {
        if rows.num_rows() == 0 {
            return Ok(Vec::new());
        }
        let live: Vec<_> = layout.live_columns().collect();
        check_columns(layout, rows, &names(live.iter().copied(), &[]))?;
        let rows = numbered(rows, 0).map_err(|error| malformed(layout, error.to_string()))?;
        let staged =
            close::stage_rows(self.connection, layout, "asked", &live, &[("ordinal", "UBIGINT")], &rows)?;
        let counted = self
            .connection
            .query(&format!(
                "SELECT count(cur.rowid)::UBIGINT FROM {staged} AS s LEFT JOIN {} AS cur ON {} \
                 GROUP BY s.ordinal ORDER BY s.ordinal",
                current(layout.id),
                same_row("s", "cur", layout)
            ))
            .map_err(failed(format!("counting equal rows of {}", layout.target)))?;
        Ok(counted
            .iter()
            .flat_map(|batch| batch.column(0).as_primitive::<types::UInt64Type>().values().to_vec())
            .collect())
    }

    fn stage(&mut self, layout: &TableLayout, rows: &RecordBatch) -> Result<()> {
        let first = self.staged.insert(layout.id);
        Ok(replace::stage(self.connection, layout, rows, first)?)
    }

    fn replace_with_staged(&mut self, layout: &TableLayout, at: Moment) -> Result<ReplaceCounts> {
        self.breaks.set(true);
        let first = !self.staged.remove(&layout.id);
        Ok(replace::replace_with_staged(self.connection, layout, at, first)?)
    }

    fn quarantine(&mut self, changes: &[QuarantinedChange]) -> Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        let texts = |of: fn(&QuarantinedChange) -> &str| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(changes.iter().map(of)))
        };
        let numbers = |of: fn(&QuarantinedChange) -> u64| -> ArrayRef {
            Arc::new(UInt64Array::from_iter_values(changes.iter().map(of)))
        };
        let batch = RecordBatch::try_from_iter([
            ("commit_lsn", numbers(|change| change.position.commit_lsn.0)),
            ("ordinal", numbers(|change| change.position.ordinal)),
            (
                "table_oid",
                Arc::new(UInt32Array::from_iter_values(changes.iter().map(|change| change.table.0)))
                    as ArrayRef,
            ),
            ("table_schema", texts(|change| &change.name.schema)),
            ("table_name", texts(|change| &change.name.name)),
            ("code", texts(|change| &change.code)),
            ("reason", texts(|change| &change.reason)),
            ("key", texts(|change| &change.key)),
            ("content", texts(|change| &change.content)),
        ])
        .map_err(|error| WarehouseError::Altered { table: "quarantine".into(), what: error.to_string() })?;
        let target = AppendTarget { catalog: None, schema: HIDDEN_SCHEMA, table: "quarantine", columns: &[] };
        self.connection.append(&target, &[&batch]).map_err(failed("keeping changes in quarantine"))?;
        Ok(())
    }

    fn release(&mut self, table: TableId) -> Result<Vec<QuarantinedChange>> {
        let changes = state::quarantined(self.connection, Some(table))?;
        if !changes.is_empty() {
            self.run(
                "taking changes out of quarantine",
                &format!("DELETE FROM {HIDDEN_SCHEMA}.quarantine WHERE table_oid = {table}"),
            )?;
        }
        Ok(changes)
    }

    fn set_progress(&mut self, progress: &Progress) -> Result<()> {
        fail::fail_point!("warehouse::before_progress");
        state::set_progress(self.connection, progress)?;
        self.applied.set(Some(progress.applied_lsn));
        Ok(())
    }

    fn commit(mut self: Box<Self>) -> Result<()> {
        fail::fail_point!("warehouse::before_commit");
        let (breaks, applied) = (self.breaks.get(), self.applied.get());
        self.continuity.commit(breaks, applied, &self.written, || self.run("committing", "COMMIT"))?;
        self.ended = true;
        fail::fail_point!("warehouse::after_commit");
        Ok(())
    }
}

/// Creates the hidden tables of a layout.
fn create_physical(connection: &Connection, layout: &TableLayout) -> Outcome<()> {
    let columns: String = layout
        .columns
        .iter()
        .map(|column| format!("{} {}, ", physical_name(column.attnum), column_type(&column.column_type)))
        .collect();
    let opening = "valid_from TIMESTAMPTZ, operation_type VARCHAR, _lsn UBIGINT, _seq UBIGINT";
    connection
        .run(&format!(
            "CREATE TABLE {} ({columns}{opening}); \
             CREATE TABLE {} ({columns}{opening}, valid_to TIMESTAMPTZ, _lsn_to UBIGINT, _seq_to UBIGINT)",
            current(layout.id),
            closed(layout.id)
        ))
        .map_err(failed(format!("creating the tables of {}", layout.target)))?;
    Ok(())
}

/// The statements of one alteration; `columns` follows along.
fn alter_statements(
    id: TableId,
    columns: &mut Vec<millstream_core::warehouse::LayoutColumn>,
    alteration: &Alteration,
) -> Outcome<Vec<String>> {
    let mut statements = Vec::new();
    match alteration {
        Alteration::Add { column, existing } => {
            let (name, of) = (physical_name(column.attnum), column_type(&column.column_type));
            statements.push(format!("ALTER TABLE {} ADD COLUMN {name} {of}", current(id)));
            if let Some(value) = existing {
                // Not a DEFAULT: DuckDB turns one that is more than a bare constant into an UPDATE, and after that the
                // transaction can't alter the table again.
                let value = text::literal(&column.column_type, value)?;
                statements.push(format!(
                    "ALTER TABLE {} ALTER COLUMN {name} SET DATA TYPE {of} USING {value}",
                    current(id)
                ));
            }
            statements.push(format!("ALTER TABLE {} ADD COLUMN {name} {of}", closed(id)));
            columns.push(column.clone());
        }
        Alteration::Retype { attnum, to } => {
            let column = columns.iter_mut().find(|column| column.attnum == *attnum).ok_or_else(|| {
                WarehouseError::Altered {
                    table: format!("with OID {id}"),
                    what: format!("column {} is not there", physical_name(*attnum)),
                }
            })?;
            let using = text::conversion(column, to);
            for table in [current(id), closed(id)] {
                statements.push(format!(
                    "ALTER TABLE {table} ALTER COLUMN {} SET DATA TYPE {} USING {using}",
                    physical_name(*attnum),
                    column_type(to)
                ));
            }
            column.column_type = to.clone();
        }
    }
    Ok(statements)
}
