//! Readers: a connection of their own, for queries of people and programs that may only read.

use std::{
    collections::BTreeSet,
    sync::{Arc, Weak},
};

use millstream_core::{
    build::RelationKind,
    log::Result,
    warehouse::{
        AsOf, Comparison, Progress, QuarantinedChange, QueryResult, TableCounts, TableLayout, WarehouseReader,
    },
    Description, Piece, Query, Role, TableId, TableName, Trust,
};

use arrow_array::RecordBatch;

use super::{
    bounded::TOO_LONG,
    engine::{Connection, EngineError, Prepared},
    failed, guard,
    own::{self, OwnRelation},
    reads, replace,
    restrict::{CANT_RESTRICT, ROLE},
    search_path::Searching,
    sessions::{Lease, Session, Sessions},
    sql::{closed, current, string},
    state::{self, single_u64},
    views::{instant, AS_OF_LSN, AS_OF_TIME, NO_HISTORY},
};
use crate::WarehouseError;

type Outcome<T> = std::result::Result<T, WarehouseError>;

/// Takes an answer's pieces; `false`: no more of them.
type Take<'a> = dyn FnMut(Piece<'_>) -> bool + 'a;

/// A reader of a DuckDB warehouse.
pub struct DuckReader {
    /// Here until the reader is dropped.
    session: Option<Session>,
    /// Where the session came from. It may be gone before the reader is.
    sessions: Weak<Sessions>,
    lease: Lease,
    /// Whether a read transaction is open.
    reading: bool,
    /// Tables with staged rows.
    staged: BTreeSet<TableId>,
    /// Whether something failed that may have left the session as the next reader must not find it.
    failed: bool,
}

impl Drop for DuckReader {
    fn drop(&mut self) {
        self.lease.end();
        let clean = !self.failed && !self.reading && self.staged.is_empty();
        if let (true, Some(sessions), Some(session)) = (clean, self.sessions.upgrade(), self.session.take()) {
            sessions.give_back(session);
        }
    }
}

impl DuckReader {
    pub(super) fn new(sessions: &Arc<Sessions>) -> Outcome<Self> {
        let session = sessions.take()?;
        Ok(DuckReader {
            lease: Lease::of(&session),
            session: Some(session),
            sessions: Arc::downgrade(sessions),
            reading: false,
            staged: BTreeSet::new(),
            failed: false,
        })
    }

    fn session(&mut self) -> &mut Session {
        self.session.as_mut().expect("only dropping takes it")
    }

    fn connection(&self) -> &Connection {
        &self.session.as_ref().expect("only dropping takes it").connection
    }

    fn run(&self, statement: &str) -> Outcome<()> {
        self.connection().run(statement).map_err(failed("reading"))?;
        Ok(())
    }

    /// Reads go through a transaction that may not write, whatever the statement's type says: EXPLAIN ANALYZE runs what it explains.
    fn begin_read(&self) -> Outcome<()> {
        self.run("BEGIN TRANSACTION READ ONLY")
    }

    /// Ends a transaction that an error aborted, with what was staged in it.
    fn abandon(&mut self) {
        self.reading = false;
        self.failed = true;
        self.staged.clear();
        if let Err(error) = self.connection().run("ROLLBACK") {
            tracing::debug!(
                event = "read_left_open",
                error = error.message,
                "a failed read left no transaction to end"
            );
        }
    }

    /// What the views look at: the point that is read at, and the role that reads.
    fn set_variables(&self, as_of: Option<AsOf>, role: Option<&Role>) -> Outcome<()> {
        self.set_point(as_of)?;
        self.set_role(role)
    }

    fn clear_variables(&self, as_of: Option<AsOf>, role: Option<&Role>) -> Outcome<()> {
        self.clear_point(as_of)?;
        self.clear_role(role)
    }

    fn set_role(&self, role: Option<&Role>) -> Outcome<()> {
        let Some(role) = role else { return Ok(()) };
        self.run(&format!("SET VARIABLE {ROLE} = {}", string(&role.name)))
    }

    fn clear_role(&self, role: Option<&Role>) -> Outcome<()> {
        let Some(_) = role else { return Ok(()) };
        self.run(&format!("RESET VARIABLE {ROLE}"))
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

    /// Reads at a point, in a transaction of its own where none is open. `keep`: the statement means the same on the next call.
    fn read_at(&mut self, query: &Query<'_>, keep: bool, take: &mut Take<'_>) -> Outcome<()> {
        let own = !self.reading;
        if own {
            self.begin_read()?;
        }
        let outcome = self.set_variables(query.as_of, query.role).and_then(|()| self.read(query, keep, take));
        // A failed statement aborts its transaction; only after that can the variables be reset.
        let aborted = outcome.is_err();
        if aborted {
            self.abandon();
        } else if own {
            self.run("COMMIT")?;
        }
        let cleared = self.clear_variables(query.as_of, query.role);
        outcome?;
        cleared
    }

    fn read(&mut self, query: &Query<'_>, keep: bool, take: &mut Take<'_>) -> Outcome<()> {
        if !keep {
            let statement = self.connection().prepare(query.sql).map_err(querying)?;
            return give_rows(&statement, query, take);
        }
        if self.session().needs_snapshot(query) {
            // Takes it, if it is not there yet: a plan may only be older.
            state::progress(self.connection())?;
        }
        give_rows(self.session().statement(query).map_err(querying)?, query, take)
    }

    /// One query. Where its names mean the same for every reader, its statement is kept.
    fn look_up(&mut self, query: &Query<'_>, take: &mut Take<'_>) -> Outcome<()> {
        // A statement folds the point in, or that there is none, when it is planned.
        if query.as_of.is_none() && self.session().knows(query) {
            return self.read_at(query, true, take);
        }
        self.with_names(query.sql, query.trust, query.role, |reader, keep| {
            if query.as_of.is_some() {
                reader.check_past(query.sql, query.role)?;
            }
            reader.read_at(query, keep && query.as_of.is_none(), take)
        })
    }

    /// Whether a role that sees less than others was given every table of the project's own that the statement reads, beneath models too: what the role does not
    /// see of replicated tables is not left out of them.
    fn check_held(&mut self, sql: &str, role: &Role) -> Outcome<()> {
        if !own::any_table(self.connection())? {
            return Ok(());
        }
        let reads = reads::reads(self.connection(), sql)?;
        let own = own::own(self.connection())?;
        let holds = |table: &TableName| {
            own.iter().any(|own| own.kind == RelationKind::Table && own::folded(&own.name) == *table)
        };
        match reads.known && reads.tables.iter().all(|table| !holds(table) || role.may_read(table, true)) {
            true => Ok(()),
            false => Err(WarehouseError::Forbidden {
                what: "it reads a model kept as a table, which your role would have to be given by its name"
                    .into(),
            }),
        }
    }

    /// Whether all that the statement reads, beneath models too, can be read as it was, and by whom.
    fn check_past(&mut self, sql: &str, role: Option<&Role>) -> Outcome<()> {
        let any_table = own::any_table(self.connection())?;
        if role.is_none() && !any_table {
            return Ok(());
        }
        let reads = reads::reads(self.connection(), sql)?;
        let own = own::own(self.connection())?;
        let found = |table: &TableName| own.iter().find(|own| own::folded(&own.name) == *table);
        if let Some(role) = role {
            let may_read = |table: &TableName| found(table).is_some() || role.may_read_as_of(table);
            // Where it can't be told what it reads, it can't be told whether that may be read.
            if !reads.known || !reads.tables.iter().all(may_read) {
                return Err(WarehouseError::HistoryForbidden);
            }
        }
        let is_table = |own: &&OwnRelation| own.kind == RelationKind::Table;
        if let Some(table) = reads.tables.iter().filter_map(found).find(is_table) {
            let what = format!("{}, a model kept as a table,", table.name);
            return Err(WarehouseError::Materialized { what });
        }
        if any_table && !reads.known {
            let what = "a statement of which can't be told what it reads".to_owned();
            return Err(WarehouseError::Materialized { what });
        }
        Ok(())
    }

    /// Does something with a statement while its names mean what they should; it is told whether they mean the same for every reader.
    fn with_names<T>(
        &mut self,
        sql: &str,
        trust: Trust,
        role: Option<&Role>,
        does: impl FnOnce(&mut Self, bool) -> Outcome<T>,
    ) -> Outcome<T> {
        if trust == Trust::Guest {
            guard::check(self.connection(), sql, role)?;
        }
        if let Some(role) = role.filter(|role| role.restricted) {
            self.check_held(sql, role)?;
        }
        let searching = Searching::begin(self.connection(), sql)?;
        let result = does(self, searching.anywhere);
        searching.end(self.connection())?;
        result
    }

    fn described(&mut self, sql: &str, trust: Trust, role: Option<&Role>) -> Outcome<Description> {
        fail::fail_point!("warehouse::describe_history", sql.ends_with("_history\""), |_| {
            Err(WarehouseError::OutOfMemory { doing: "running the query".into(), detail: "injected".into() })
        });
        let (columns, parameters) = self.with_names(sql, trust, role, |reader, _| {
            let statement = reader.connection().prepare(sql).map_err(querying)?;
            if !statement.kind().reads() {
                return Err(WarehouseError::NotReadOnly { what: "this one would change something".into() });
            }
            Ok((statement.columns(), statement.parameters()))
        })?;
        let reads = reads::reads(self.connection(), sql)?;
        Ok(Description { columns, parameters, reads: reads.tables, steady: reads.steady })
    }
}

pub(super) fn give_rows(statement: &Prepared, query: &Query<'_>, take: &mut Take<'_>) -> Outcome<()> {
    if !statement.kind().reads() {
        return Err(WarehouseError::NotReadOnly { what: "this one would change something".into() });
    }
    // A kept statement has those of whoever used it before.
    statement.clear_bindings();
    for (name, value) in query.parameters {
        statement
            .bind(name, value)
            .map_err(|error| WarehouseError::Parameter { name: format!("${name}"), detail: error.message })?;
    }
    let mut rows = statement.stream().map_err(querying)?;
    let mut more = take(Piece::Columns(&rows.columns()));
    let mut left = query.rows_max.unwrap_or(usize::MAX);
    let mut given = false;
    while more && left > 0 {
        let Some(batch) = rows.next_batch().map_err(querying)? else { break };
        given = true;
        let taken = batch.num_rows().min(left);
        left -= taken;
        more = take(Piece::Rows(batch.slice(0, taken)));
    }
    if more && !given {
        take(Piece::Rows(rows.no_rows()));
    }
    Ok(())
}

/// An error as a role may read it: what DuckDB guesses that was meant can be the name of what the role does not know of.
fn discreet(error: WarehouseError, role: Option<&Role>) -> WarehouseError {
    match (error, role) {
        (WarehouseError::Query { detail }, Some(_)) => {
            let end = detail.find("Did you mean").unwrap_or(detail.len());
            WarehouseError::Query { detail: detail[..end].trim_end().to_owned() }
        }
        (error, _) => error,
    }
}

/// Gives an error of a query its place; those that the views raise are told apart by their mark.
pub(super) fn querying(error: EngineError) -> WarehouseError {
    if let Some((_, detail)) = error.message.split_once(NO_HISTORY) {
        let detail = detail.lines().next().unwrap_or_default().to_owned();
        return WarehouseError::NoHistory { detail };
    }
    if let Some((_, what)) = error.message.split_once(TOO_LONG) {
        return WarehouseError::TooLong { what: what.lines().next().unwrap_or_default().to_owned() };
    }
    if error.message.contains(CANT_RESTRICT) {
        return WarehouseError::CantRestrict;
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
    fn ask(&mut self, query: &Query<'_>) -> Result<QueryResult> {
        let mut answer = QueryResult { columns: Vec::new(), batches: Vec::new() };
        self.ask_each(query, &mut |piece| {
            match piece {
                Piece::Columns(columns) => answer.columns = columns.to_vec(),
                Piece::Rows(batch) => answer.batches.push(batch),
            }
            true
        })?;
        Ok(answer)
    }

    fn ask_each(&mut self, query: &Query<'_>, take: &mut Take<'_>) -> Result<()> {
        let result = self.look_up(query, take).map_err(|error| discreet(error, query.role));
        self.failed |= result.is_err();
        Ok(result?)
    }

    fn describe(&mut self, sql: &str, trust: Trust, role: Option<&Role>) -> Result<Description> {
        let result = self.described(sql, trust, role).map_err(|error| discreet(error, role));
        self.failed |= result.is_err();
        Ok(result?)
    }

    fn begin(&mut self) -> Result<()> {
        self.begin_read()?;
        self.reading = true;
        // A transaction's snapshot is taken when it first touches the file.
        state::progress(self.connection())?;
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
        Ok(state::progress(self.connection())?)
    }

    fn quarantined(&mut self) -> Result<Vec<QuarantinedChange>> {
        Ok(state::quarantined(self.connection(), None)?)
    }

    fn counts(&mut self, layout: &TableLayout) -> Result<TableCounts> {
        let count = |table: String| -> Outcome<u64> {
            let batches = self
                .connection()
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
        // What is staged stays on the connection, whatever becomes of it.
        self.failed = true;
        Ok(replace::stage(self.connection(), layout, rows, first)?)
    }

    fn compare_staged(&mut self, layout: &TableLayout, keys_max: usize) -> Result<Comparison> {
        self.failed = true;
        let none = !self.staged.remove(&layout.id);
        Ok(replace::compare_staged(self.connection(), layout, keys_max, none)?)
    }

    fn interrupter(&self) -> Box<dyn Fn() + Send + Sync> {
        let lease = self.lease.clone();
        Box::new(move || lease.interrupt())
    }
}
