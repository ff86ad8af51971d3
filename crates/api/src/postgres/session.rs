//! What lasts from one message of a client to the next: settings, the transaction, prepared statements, portals, cursors.

use std::{collections::HashMap, rc::Rc, sync::Arc, time::Duration};

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use millstream_core::{
    warehouse::{QueryResult, WarehouseReader},
    Description, Parameter, Piece, Query as Question, Role, Trust,
};
use pgwire::messages::response::TransactionStatus;

use super::{
    catalog::Facts,
    error::{Outcome, WireError},
    rows::{Column, Formats, Rows},
    running::Entry,
    settings::{Changed, Settings},
    statement::Request,
    Shared,
};
use crate::access::{Caller, Limits};
use crate::answer::Room;

/// Prepared statements that a connection may keep: pools keep hundreds.
const STATEMENTS_MAX: usize = 1024;

/// Portals and cursors that a connection may keep. Each may hold a result.
const PORTALS_MAX: usize = 32;

/// A statement that was parsed.
pub(super) struct Prepared {
    pub(super) request: Request,
    /// PostgreSQL's numbers of its parameters' types.
    pub(super) parameters: Vec<u32>,
    /// Its result's columns; `None`: it has no rows.
    pub(super) columns: Option<Vec<Column>>,
    /// Whether that is certain. It is not where a parameter's type follows from its value only.
    pub(super) decided: bool,
}

/// A statement with its parameters' values.
pub(super) struct Portal {
    pub(super) prepared: Rc<Prepared>,
    pub(super) parameters: Vec<(String, Parameter)>,
    pub(super) formats: Formats,
    /// What is left of its result once it has run.
    pub(super) rows: Option<Rows>,
    /// Rows given out.
    pub(super) sent: usize,
}

/// What came of a statement.
pub(super) enum Answer {
    Empty,
    /// The command tag.
    Done(String),
    /// Rows, and their tag's word.
    Rows(Rows, &'static str),
}

/// A cursor's rows.
struct Cursor {
    rows: Rows,
    holds: bool,
}

/// A client's session.
pub(super) struct Session {
    shared: Arc<Shared>,
    pub(super) entry: Entry,
    pub(super) settings: Settings,
    pub(super) status: TransactionStatus,
    user: String,
    caller: Caller,
    /// The transaction's reader: all its statements see what it saw first.
    reader: Option<Box<dyn WarehouseReader>>,
    /// Whether several statements of one message read one state.
    together: bool,
    statements: HashMap<String, Rc<Prepared>>,
    portals: HashMap<String, Portal>,
    cursors: HashMap<String, Cursor>,
    /// Settings to tell the client of.
    pub(super) reports: Vec<(&'static str, String)>,
    /// What to warn the client of.
    pub(super) notices: Vec<String>,
}

impl Session {
    pub(super) fn new(
        shared: Arc<Shared>,
        entry: Entry,
        user: String,
        caller: Caller,
        settings: Settings,
    ) -> Self {
        Session {
            shared,
            entry,
            settings,
            status: TransactionStatus::Idle,
            user,
            caller,
            reader: None,
            together: false,
            statements: HashMap::new(),
            portals: HashMap::new(),
            cursors: HashMap::new(),
            reports: Vec::new(),
            notices: Vec::new(),
        }
    }

    /// Whether a reader is held between statements.
    fn keeps_reader(&self) -> bool {
        self.together || self.status == TransactionStatus::Transaction
    }

    /// Lets the statements up to [`Session::apart`] read one state.
    pub(super) fn together(&mut self) {
        self.together = true;
    }

    /// Each statement for itself again.
    pub(super) fn apart(&mut self) -> Outcome<()> {
        self.together = false;
        match self.status {
            TransactionStatus::Transaction => Ok(()),
            _ => self.end_reading(),
        }
    }

    fn end_reading(&mut self) -> Outcome<()> {
        match self.reader.take() {
            Some(mut reader) => Ok(reader.end()?),
            None => Ok(()),
        }
    }

    /// Ends the transaction, and what lives as long as it does.
    fn end_transaction(&mut self) -> Outcome<()> {
        self.status = TransactionStatus::Idle;
        self.portals.clear();
        self.cursors.retain(|_, cursor| cursor.holds);
        self.end_reading()
    }

    /// At the end of a message, or of several up to Sync: outside of a transaction no portal lives on.
    pub(super) fn settle(&mut self) {
        if self.status == TransactionStatus::Idle {
            self.portals.clear();
        }
    }

    /// What a failure leaves behind.
    pub(super) fn failed(&mut self) {
        if self.status == TransactionStatus::Transaction {
            self.status = TransactionStatus::Error;
        }
        if self.status == TransactionStatus::Idle {
            self.reader = None;
        }
    }

    fn limit(&self) -> Duration {
        let config = &self.shared.config;
        let own = self.caller.limits(Limits::default()).time;
        let most = own.map_or(config.statement_max, |own| own.min(config.statement_max));
        self.settings.statement_timeout().map_or(most, |limit| most.min(Duration::from_millis(limit)))
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            database: self.shared.host.project(),
            user: &self.user,
            pid: self.entry.pid,
            settings: &self.settings,
        }
    }

    /// Puts a question to the warehouse or, where it is about the catalogue, to that.
    fn with_reader<T>(
        &mut self,
        sql: &str,
        act: impl FnOnce(&mut dyn WarehouseReader, &str, Trust, Option<&Role>) -> millstream_core::log::Result<T>,
    ) -> Outcome<T> {
        let shared = self.shared.clone();
        if shared.host.access().is_some_and(|access| !access.is_still(&self.caller)) {
            return Err(WireError::KeyGone);
        }
        let role = self.caller.role();
        let role = role.as_deref();
        if let Some(rewritten) = shared.catalog.rewrite(sql, &self.facts())? {
            for (name, value) in rewritten.sets {
                let changed = self.settings.set(&name, Some(&value))?;
                self.tell(changed);
            }
            let mut reader = shared.catalog.reader(role)?;
            // The engine holds nothing but what the role may know of, so that nothing in it has to be guarded.
            return self.watched(reader.as_mut(), |reader| act(reader, &rewritten.sql, Trust::Owner, None));
        }
        let mut reader = match self.reader.take() {
            Some(reader) => reader,
            None => {
                let mut reader = shared.host.reader()?;
                if self.keeps_reader() {
                    reader.begin()?;
                }
                reader
            }
        };
        let outcome = self.watched(reader.as_mut(), |reader| act(reader, sql, Trust::Guest, role));
        // After an error the reader's transaction is gone, and a new one would see another state.
        if outcome.is_ok() && self.keeps_reader() {
            self.reader = Some(reader);
        }
        outcome
    }

    fn watched<T>(
        &self,
        reader: &mut dyn WarehouseReader,
        act: impl FnOnce(&mut dyn WarehouseReader) -> millstream_core::log::Result<T>,
    ) -> Outcome<T> {
        self.shared.clients.started(&self.entry, reader.interrupter(), self.limit());
        let outcome = act(reader);
        let ended = self.shared.clients.ended(&self.entry);
        // What was interrupted too late to matter has its result.
        outcome.map_err(|error| ended.unwrap_or(WireError::Warehouse(error)))
    }

    /// What is known of a question without asking it.
    pub(super) fn describe(&mut self, sql: &str) -> Outcome<Description> {
        self.with_reader(sql, |reader, sql, trust, role| reader.describe(sql, trust, role))
    }

    /// Asks, and gives out the result as it comes. An error of `take` ends it.
    pub(super) fn ask_each(
        &mut self,
        sql: &str,
        parameters: &[(String, Parameter)],
        rows_max: Option<usize>,
        mut take: impl FnMut(Piece<'_>) -> Outcome<()>,
    ) -> Outcome<()> {
        let as_of = self.settings.as_of();
        let mut refused = None;
        self.with_reader(sql, |reader, sql, trust, role| {
            // The catalogue is as it is now.
            let as_of = as_of.filter(|_| trust == Trust::Guest);
            reader.ask_each(&Question { sql, parameters, as_of, rows_max, trust, role }, &mut |piece| {
                refused = take(piece).err();
                refused.is_none()
            })
        })?;
        refused.map_or(Ok(()), Err)
    }

    /// Asks, and holds the result.
    fn ask(&mut self, sql: &str, parameters: &[(String, Parameter)]) -> Outcome<Rows> {
        let max = self.shared.config.rows_max;
        let limits = Limits { memory_bytes: self.shared.config.memory_bytes, ..Limits::default() };
        let mut room = Room::new(self.caller.limits(limits).memory_bytes);
        let mut result = QueryResult { columns: Vec::new(), batches: Vec::new() };
        // One more than may be, to know that there are more.
        self.ask_each(sql, parameters, Some(max.saturating_add(1)), |piece| {
            match piece {
                Piece::Columns(columns) => result.columns = columns.to_vec(),
                Piece::Rows(batch) if room.takes(&batch) => result.batches.push(batch),
                Piece::Rows(_) => {
                    return Err(WireError::ResultTooLarge { max: format!("{} bytes", room.bytes_max()) })
                }
            }
            Ok(())
        })?;
        let rows = Rows::new(result);
        if rows.len() > max {
            return Err(WireError::ResultTooLarge { max: format!("{max} rows") });
        }
        Ok(rows)
    }

    fn tell(&mut self, changed: Changed) {
        self.reports.extend(changed.report);
        self.notices.extend(changed.notice);
    }

    /// What a statement asks for whose rows can be given out as they come: its SQL.
    pub(super) fn streams<'r>(&self, request: &'r Request) -> Option<&'r str> {
        match request {
            _ if self.status == TransactionStatus::Error => None,
            Request::Query(query) => Some(&query.sql),
            Request::Copy { query, .. } => Some(query),
            _ => None,
        }
    }

    /// Does what a statement asks for.
    pub(super) fn run(&mut self, request: &Request, parameters: &[(String, Parameter)]) -> Outcome<Answer> {
        if self.status == TransactionStatus::Error && !request.ends_failure() {
            return Err(WireError::FailedTransaction);
        }
        let done = |tag: &str| Ok(Answer::Done(tag.to_owned()));
        match request {
            Request::Empty => Ok(Answer::Empty),
            Request::Query(query) => {
                let rows = self.ask(&query.sql, parameters)?;
                Ok(Answer::Rows(rows, query.tag))
            }
            // It is streamed.
            Request::Copy { .. } => Err(WireError::unsupported("COPY here")),
            Request::Begin => {
                match self.status {
                    TransactionStatus::Idle => {
                        self.end_reading()?;
                        self.status = TransactionStatus::Transaction;
                    }
                    _ => self.notices.push("there is already a transaction in progress".into()),
                }
                done("BEGIN")
            }
            Request::Commit | Request::Rollback => {
                let failed = self.status == TransactionStatus::Error;
                if self.status == TransactionStatus::Idle {
                    self.notices.push("there is no transaction in progress".into());
                }
                self.end_transaction()?;
                done(if failed || *request == Request::Rollback { "ROLLBACK" } else { "COMMIT" })
            }
            Request::Savepoint { tag, recovers } => {
                if *recovers && self.status == TransactionStatus::Error {
                    self.status = TransactionStatus::Transaction;
                    if self.reader.is_none() {
                        self.notices.push("from here on the transaction reads the state of now".into());
                    }
                }
                done(tag)
            }
            Request::Set { name, value, .. } => {
                let changed = self.settings.set(name, value.as_deref())?;
                self.tell(changed);
                done(if value.is_none() { "RESET" } else { "SET" })
            }
            Request::SetTransaction => done("SET"),
            Request::Show(name) => {
                let value = self.settings.get(name).ok_or_else(|| WireError::NoSuchSetting(name.clone()))?;
                Ok(Answer::Rows(texts(&[&Settings::spelled(name)], vec![vec![value]])?, "SHOW"))
            }
            Request::ShowAll => {
                let (names, values): (Vec<_>, Vec<_>) = self.settings.all().into_iter().unzip();
                let described = vec![String::new(); names.len()];
                Ok(Answer::Rows(
                    texts(&["name", "setting", "description"], vec![names, values, described])?,
                    "SHOW",
                ))
            }
            Request::ResetAll => {
                self.reports.extend(self.settings.reset());
                done("RESET")
            }
            Request::Discard(tag) => {
                if *tag == "DISCARD ALL" {
                    if self.status != TransactionStatus::Idle {
                        return Err(WireError::unsupported("DISCARD ALL in a transaction"));
                    }
                    self.statements.clear();
                    self.cursors.clear();
                    self.reports.extend(self.settings.reset());
                }
                done(tag)
            }
            Request::Deallocate(None) => {
                self.statements.clear();
                done("DEALLOCATE ALL")
            }
            Request::Deallocate(Some(name)) => {
                let removed = self.statements.remove(name);
                removed.ok_or_else(|| WireError::NoSuchStatement(name.clone()))?;
                done("DEALLOCATE")
            }
            Request::Declare { name, query, holds } => {
                if self.cursors.len() >= PORTALS_MAX {
                    return Err(WireError::TooMany { what: "cursors", max: PORTALS_MAX });
                }
                let rows = self.ask(&query.sql, parameters)?;
                self.cursors.insert(name.clone(), Cursor { rows, holds: *holds });
                done("DECLARE CURSOR")
            }
            Request::Fetch { name, count, moves } => self.fetch(name, *count, *moves),
            Request::CloseCursor(name) => {
                match name {
                    None => self.cursors.clear(),
                    Some(name) => {
                        let removed = self.cursors.remove(name);
                        removed.ok_or_else(|| WireError::NoSuchPortal(name.clone()))?;
                    }
                }
                done("CLOSE CURSOR")
            }
            Request::Unlisten => done("UNLISTEN"),
            Request::Write(verb) => Err(WireError::ReadOnly { verb: verb.clone() }),
            Request::Unsupported(what) => Err(WireError::unsupported(what.as_str())),
        }
    }

    fn fetch(&mut self, name: &str, count: Option<usize>, moves: bool) -> Outcome<Answer> {
        let cursor = self.cursors.get_mut(name).ok_or_else(|| WireError::NoSuchPortal(name.to_owned()))?;
        let mut batches = Vec::new();
        let (mut left, mut taken) = (count.unwrap_or(usize::MAX), 0);
        while left > 0 {
            let Some(batch) = cursor.rows.next(left) else { break };
            left -= batch.num_rows();
            taken += batch.num_rows();
            batches.push(batch);
        }
        if moves {
            return Ok(Answer::Done(format!("MOVE {taken}")));
        }
        Ok(Answer::Rows(cursor.rows.part(batches), "FETCH"))
    }

    /// A cursor's columns.
    pub(super) fn cursor_columns(&self, name: &str) -> Option<&[Column]> {
        self.cursors.get(name).map(|cursor| cursor.rows.columns.as_slice())
    }

    /// The columns of what a statement would give, where that is known without running it. `None`: it gives no rows.
    pub(super) fn columns(&mut self, request: &Request) -> Outcome<Option<Vec<Column>>> {
        let named = |names: &[&str]| Some(names.iter().map(|name| Column::new(*name, "VARCHAR")).collect());
        Ok(match request {
            Request::Query(query) => Some(Column::all(&self.describe(&query.sql)?.columns)),
            Request::Show(name) => named(&[&Settings::spelled(name)]),
            Request::ShowAll => named(&["name", "setting", "description"]),
            Request::Fetch { name, moves: false, .. } => {
                let cursor = self.cursors.get(name).ok_or_else(|| WireError::NoSuchPortal(name.clone()))?;
                Some(cursor.rows.columns.clone())
            }
            _ => None,
        })
    }

    /// Keeps a prepared statement. Only the unnamed one is replaced.
    pub(super) fn keep_statement(&mut self, name: &str, prepared: Prepared) -> Outcome<()> {
        if !name.is_empty() && self.statements.contains_key(name) {
            return Err(WireError::StatementExists(name.to_owned()));
        }
        if self.statements.len() >= STATEMENTS_MAX && !self.statements.contains_key(name) {
            return Err(WireError::TooMany { what: "prepared statements", max: STATEMENTS_MAX });
        }
        self.statements.insert(name.to_owned(), Rc::new(prepared));
        Ok(())
    }

    pub(super) fn statement(&self, name: &str) -> Outcome<Rc<Prepared>> {
        self.statements.get(name).cloned().ok_or_else(|| WireError::NoSuchStatement(name.to_owned()))
    }

    pub(super) fn drop_statement(&mut self, name: &str) {
        self.statements.remove(name);
    }

    /// Keeps a portal in place of one of that name.
    pub(super) fn keep_portal(&mut self, name: &str, portal: Portal) -> Outcome<()> {
        if self.portals.len() >= PORTALS_MAX && !self.portals.contains_key(name) {
            return Err(WireError::TooMany { what: "portals", max: PORTALS_MAX });
        }
        self.portals.insert(name.to_owned(), portal);
        Ok(())
    }

    /// Takes a portal out, to be put back.
    pub(super) fn take_portal(&mut self, name: &str) -> Outcome<Portal> {
        self.portals.remove(name).ok_or_else(|| WireError::NoSuchPortal(name.to_owned()))
    }
}

/// A result of texts, by column.
fn texts(names: &[&str], columns: Vec<Vec<String>>) -> Outcome<Rows> {
    let arrays = columns.into_iter().map(|column| Arc::new(StringArray::from(column)) as ArrayRef);
    let batch = RecordBatch::try_from_iter(names.iter().copied().zip(arrays))
        .map_err(|error| WireError::protocol(error.to_string()))?;
    Ok(Rows::of_texts(names, batch))
}
