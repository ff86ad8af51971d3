//! Readers: a connection of their own, for queries of people and programs that may only read.

use std::collections::BTreeSet;

use millstream_core::{
    log::Result,
    warehouse::{
        AsOf, Comparison, Progress, QuarantinedChange, QueryResult, TableCounts, TableLayout, WarehouseReader,
    },
    TableId,
};

use arrow_array::RecordBatch;

use super::{
    engine::{Connection, EngineError},
    failed, replace, search_path,
    sql::{closed, current},
    state::{self, single_u64},
    views::{instant, AS_OF_LSN, AS_OF_TIME, NO_HISTORY},
};
use crate::WarehouseError;

type Outcome<T> = std::result::Result<T, WarehouseError>;

/// A reader of a DuckDB warehouse.
pub struct DuckReader {
    connection: Connection,
    /// Whether a read transaction is open.
    reading: bool,
    /// Tables with staged rows.
    staged: BTreeSet<TableId>,
}

impl DuckReader {
    pub(crate) fn new(connection: Connection) -> Outcome<Self> {
        Ok(DuckReader { connection, reading: false, staged: BTreeSet::new() })
    }

    fn run(&self, statement: &str) -> Outcome<()> {
        self.connection.run(statement).map_err(failed("reading"))?;
        Ok(())
    }

    /// Reads go through a transaction that may not write, whatever the statement's type says: EXPLAIN ANALYZE runs what it explains.
    fn begin_read(&self) -> Outcome<()> {
        self.run("BEGIN TRANSACTION READ ONLY")
    }

    /// Ends a transaction that an error aborted, with what was staged in it.
    fn abandon(&mut self) {
        self.reading = false;
        self.staged.clear();
        if let Err(error) = self.connection.run("ROLLBACK") {
            tracing::debug!(error = error.message, "a failed read left no transaction to end");
        }
    }

    fn set_point(&self, as_of: Option<AsOf>) -> Outcome<()> {
        match as_of {
            None => Ok(()),
            Some(AsOf::Time(time)) => self.run(&format!("SET VARIABLE {AS_OF_TIME} = {}", instant(time.0))),
            Some(AsOf::Lsn(lsn)) => self.run(&format!("SET VARIABLE {AS_OF_LSN} = {}::UBIGINT", lsn.0)),
        }
    }

    fn clear_point(&self, as_of: Option<AsOf>) -> Outcome<()> {
        match as_of {
            None => Ok(()),
            Some(AsOf::Time(_)) => self.run(&format!("RESET VARIABLE {AS_OF_TIME}")),
            Some(AsOf::Lsn(_)) => self.run(&format!("RESET VARIABLE {AS_OF_LSN}")),
        }
    }

    /// Reads at a point, in a transaction of its own where none is open.
    fn read_at(&mut self, sql: &str, as_of: Option<AsOf>, rows_max: Option<usize>) -> Outcome<QueryResult> {
        let own = !self.reading;
        if own {
            self.begin_read()?;
        }
        let outcome = self.set_point(as_of).and_then(|()| self.read(sql, rows_max));
        // A failed statement aborts its transaction; only after that can the variables be reset.
        let aborted = outcome.is_err();
        if aborted {
            self.abandon();
        } else if own {
            self.run("COMMIT")?;
        }
        let cleared = self.clear_point(as_of);
        let result = outcome?;
        cleared?;
        Ok(result)
    }

    fn read(&self, sql: &str, rows_max: Option<usize>) -> Outcome<QueryResult> {
        let prepared = self.connection.prepare(sql).map_err(querying)?;
        if !prepared.kind().reads() {
            return Err(WarehouseError::NotReadOnly { what: "this one would change something".into() });
        }
        let mut rows = prepared.stream().map_err(querying)?;
        let columns = rows.columns();
        let mut batches: Vec<RecordBatch> = Vec::new();
        let mut left = rows_max.unwrap_or(usize::MAX);
        while left > 0 {
            let Some(batch) = rows.next_batch().map_err(querying)? else { break };
            let taken = batch.num_rows().min(left);
            left -= taken;
            batches.push(batch.slice(0, taken));
        }
        Ok(QueryResult { columns, batches })
    }
}

/// Gives an error of a query its place; those that the views raise are told apart by their mark.
fn querying(error: EngineError) -> WarehouseError {
    if let Some((_, detail)) = error.message.split_once(NO_HISTORY) {
        let detail = detail.lines().next().unwrap_or_default().to_owned();
        return WarehouseError::NoHistory { detail };
    }
    if error.is_interrupt() {
        return WarehouseError::Interrupted;
    }
    // A file that the query names itself can be too short as well; a wrong checksum is always the warehouse's own.
    if error.is_damage() && error.message.contains("computed checksum") {
        return WarehouseError::DataDamaged { doing: "running the query".into(), detail: error.message };
    }
    if error.is_out_of_memory() {
        return WarehouseError::OutOfMemory { doing: "running the query".into(), detail: error.message };
    }
    if error.message.contains("expected one statement") {
        return WarehouseError::NotReadOnly { what: error.message };
    }
    WarehouseError::Query { detail: error.message }
}

impl WarehouseReader for DuckReader {
    fn query(&mut self, sql: &str, as_of: Option<AsOf>, rows_max: Option<usize>) -> Result<QueryResult> {
        let searching = search_path::set(&self.connection, sql)?;
        let result = self.read_at(sql, as_of, rows_max);
        if searching {
            search_path::reset(&self.connection)?;
        }
        Ok(result?)
    }

    fn begin(&mut self) -> Result<()> {
        self.begin_read()?;
        self.reading = true;
        // A transaction's snapshot is taken when it first touches the file.
        state::progress(&self.connection)?;
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        if std::mem::take(&mut self.reading) {
            // Not a rollback: rows staged in the transaction stay.
            self.run("COMMIT")?;
        }
        Ok(())
    }

    fn progress(&mut self) -> Result<Progress> {
        Ok(state::progress(&self.connection)?)
    }

    fn quarantined(&mut self) -> Result<Vec<QuarantinedChange>> {
        Ok(state::quarantined(&self.connection, None)?)
    }

    fn counts(&mut self, layout: &TableLayout) -> Result<TableCounts> {
        let count = |table: String| -> Outcome<u64> {
            let batches = self
                .connection
                .query(&format!("SELECT count(*)::UBIGINT FROM {table}"))
                .map_err(failed(format!("counting the rows of {}", layout.target)))?;
            Ok(single_u64(&batches))
        };
        let rows = count(current(layout.id))?;
        let history_rows = if layout.history { rows + count(closed(layout.id))? } else { 0 };
        Ok(TableCounts { rows, history_rows })
    }

    fn stage(&mut self, layout: &TableLayout, rows: &RecordBatch) -> Result<()> {
        let first = self.staged.insert(layout.id);
        Ok(replace::stage(&self.connection, layout, rows, first)?)
    }

    fn compare_staged(&mut self, layout: &TableLayout, keys_max: usize) -> Result<Comparison> {
        let none = !self.staged.remove(&layout.id);
        Ok(replace::compare_staged(&self.connection, layout, keys_max, none)?)
    }

    fn interrupter(&self) -> Box<dyn Fn() + Send + Sync> {
        let interrupter = self.connection.interrupter();
        Box::new(move || interrupter.interrupt())
    }
}
