//! The port over one connection to a server. Its thread waits for each answer: a runtime of its own for each, with nothing else in it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use millstream_core::{
    build::{
        Answer, BuildConnection, BuildWarehouse, BuiltRelation, CopyIn, CopySink, DescribedRelation,
        Interrupter, Response,
    },
    log::Result,
};
use millstream_source::{
    sql::identifier,
    wire::{Canceller, Done, Field, Row, Told, TransactionStatus, Wire},
    SourceError,
};
use tokio::runtime::{Builder, Runtime};

use crate::{catalog, error::PostgresError, settings::Settings, values};

const DOING: &str = "building models";

/// How often the server looks, during a statement, whether the program is still there: what nobody waits for is not worth finishing.
const PRESENCE_EVERY: &str = "5s";

/// The first version that can look (`client_connection_check_interval`).
const PRESENCE_VERSION: u32 = 14;

/// A server that models are built in.
#[derive(Debug)]
pub struct PgBuild(Settings);

impl PgBuild {
    /// Connects once, to find out what is wrong before anything is begun.
    ///
    /// # Errors
    /// The server can't be reached or refuses.
    pub fn open(settings: Settings) -> std::result::Result<Self, PostgresError> {
        drop(PgConnection::new(&settings)?);
        Ok(PgBuild(settings))
    }
}

impl BuildWarehouse for PgBuild {
    fn connect(&self) -> Result<Box<dyn BuildConnection>> {
        Ok(Box::new(PgConnection::new(&self.0)?))
    }
}

struct PgConnection {
    settings: Settings,
    runtime: Runtime,
    /// `None` once it is lost; the next statement connects anew.
    wire: Option<Wire>,
    status: TransactionStatus,
    /// What ends a statement on the connection that there is now.
    canceller: Arc<Mutex<Option<Canceller>>>,
    /// What types are called that the server was asked for, by oid and modifier.
    types: HashMap<(u32, i32), String>,
}

type Outcome<T> = std::result::Result<T, PostgresError>;

impl PgConnection {
    fn new(settings: &Settings) -> Outcome<Self> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(PostgresError::Runtime)?;
        let mut connection = PgConnection {
            settings: settings.clone(),
            runtime,
            wire: None,
            status: TransactionStatus::Idle,
            canceller: Arc::default(),
            types: HashMap::new(),
        };
        connection.reach()?;
        Ok(connection)
    }

    /// Connects where there is no connection.
    fn reach(&mut self) -> Outcome<()> {
        if self.wire.is_some() {
            return Ok(());
        }
        let mut attempt = 0;
        let wire = loop {
            match self.runtime.block_on(Wire::connect_plain(&self.settings.connection)) {
                Ok(wire) => break wire,
                Err(error) if attempt < self.settings.retries && error.is_transient() => {
                    thread::sleep(Settings::pause(attempt));
                    attempt += 1;
                }
                Err(error) => return Err(PostgresError::Connect(error)),
            }
        };
        let looks = wire.version().major >= PRESENCE_VERSION;
        *self.canceller.lock().unwrap_or_else(PoisonError::into_inner) = wire.canceller();
        self.wire = Some(wire);
        self.status = TransactionStatus::Idle;
        if looks {
            // Not every system that a server runs on can look.
            match self.told(&format!("set client_connection_check_interval = '{PRESENCE_EVERY}'"), 0) {
                Ok(_) | Err(PostgresError::Statement { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        if let Some(role) = self.settings.role.clone() {
            self.told(&format!("set role {}", role_name(&role)), 0)?;
        }
        Ok(())
    }

    /// Runs statements on the connection that there is.
    fn told(&mut self, sql: &str, rows_max: usize) -> Outcome<Told> {
        let Some(wire) = &mut self.wire else {
            return Err(PostgresError::Lost(closed()));
        };
        let done = self.runtime.block_on(wire.statements(DOING, sql, rows_max));
        let done = self.kept(done)?;
        self.ended(done, sql)
    }

    /// A connection that is lost is given up.
    fn kept<T>(&mut self, done: std::result::Result<T, SourceError>) -> Outcome<T> {
        done.map_err(|lost| {
            self.wire = None;
            self.status = TransactionStatus::Idle;
            PostgresError::Lost(lost)
        })
    }

    /// Notes how a statement ended.
    fn ended(&mut self, done: Done, sql: &str) -> Outcome<Told> {
        self.status = done.status;
        done.outcome.map_err(|error| match error {
            SourceError::Server { server, .. } => PostgresError::Statement { server, sql: sql.to_owned() },
            other => PostgresError::Lost(other),
        })
    }

    /// Runs statements. A connection that was lost outside of a transaction is there again.
    fn ask(&mut self, sql: &str, rows_max: usize) -> Outcome<Told> {
        self.reach()?;
        let told = self.told(sql, rows_max)?;
        match told.overflowed {
            true => Err(PostgresError::TooManyRows { rows_max }),
            false => Ok(told),
        }
    }

    fn rows(&mut self, sql: &str) -> Outcome<Vec<Row>> {
        self.ask(sql, usize::MAX).map(|told| told.rows)
    }

    /// Names of columns and their types. What types are called is asked for once each.
    fn columns(&mut self, fields: &[Field]) -> Outcome<Vec<(String, String)>> {
        let unknown: Vec<(u32, i32)> = fields
            .iter()
            .map(|field| (field.type_oid, field.modifier))
            .filter(|key| values::plain_name(key.0, key.1).is_none() && !self.types.contains_key(key))
            .collect();
        if !unknown.is_empty() {
            let list: Vec<String> = unknown
                .iter()
                .map(|(oid, modifier)| format!("pg_catalog.format_type({oid}, {modifier})"))
                .collect();
            let rows = self.rows(&format!("select {}", list.join(", ")))?;
            for (at, key) in unknown.into_iter().enumerate() {
                let name = rows.first().and_then(|row| row.get(at)).unwrap_or("unknown");
                self.types.insert(key, name.to_owned());
            }
        }
        let name = |field: &Field| match values::plain_name(field.type_oid, field.modifier) {
            Some(name) => name.to_owned(),
            None => self.types.get(&(field.type_oid, field.modifier)).cloned().unwrap_or_default(),
        };
        Ok(fields.iter().map(|field| (field.name.clone(), name(field))).collect())
    }

    fn answer(&mut self, sql: &str, rows_max: usize) -> Outcome<Answer> {
        let told = self.ask(sql, rows_max)?;
        // A transaction that has failed takes no question, but then neither did the statement end well.
        let columns = self.columns(&told.fields)?;
        let rows = told.rows.iter().map(|row| {
            let fields = told.fields.iter().enumerate();
            fields.map(|(at, field)| values::cell(row.get(at), field.type_oid)).collect()
        });
        Ok(Answer { columns, rows: rows.collect(), response: values::response(&told.tag) })
    }
}

fn closed() -> SourceError {
    SourceError::Lost { doing: DOING.into(), reason: "it is closed".into() }
}

/// A role as it stands in `SET ROLE`: dbt puts it there as it is written, so that one in quotes has them already.
fn role_name(role: &str) -> String {
    let is_plain = role.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if is_plain || (role.starts_with('"') && role.ends_with('"') && role.len() > 1) {
        role.to_owned()
    } else {
        identifier(role)
    }
}

impl BuildConnection for PgConnection {
    fn run(&mut self, sql: &str) -> Result<Response> {
        Ok(values::response(&self.ask(sql, usize::MAX)?.tag))
    }

    fn query(&mut self, sql: &str, rows_max: usize) -> Result<Answer> {
        Ok(self.answer(sql, rows_max)?)
    }

    fn begin(&mut self) -> Result<()> {
        self.reach()?;
        if self.status == TransactionStatus::Idle && !self.settings.autocommit {
            self.told("begin", 0)?;
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<()> {
        if self.status == TransactionStatus::Idle {
            return Ok(());
        }
        let failed = self.status == TransactionStatus::Failed;
        self.told("commit", 0)?;
        if failed {
            // The server answers that it has rolled back, and calls that no error.
            let reason = "a statement in the transaction had failed: it was rolled back".to_owned();
            return Err(PostgresError::Lost(SourceError::Lost { doing: "committing".into(), reason }).into());
        }
        Ok(())
    }

    fn rollback(&mut self) -> Result<()> {
        if self.status != TransactionStatus::Idle {
            self.told("rollback", 0)?;
        }
        Ok(())
    }

    fn relations(&mut self, database: &str) -> Result<Vec<BuiltRelation>> {
        Ok(self.rows(&catalog::relations(database))?.iter().filter_map(catalog::relation).collect())
    }

    fn columns(&mut self, database: &str, schema: &str, relation: &str) -> Result<Vec<(String, String)>> {
        let rows = self.rows(&catalog::columns(database, schema, relation))?;
        let text = |row: &Row, at: usize| row.get(at).unwrap_or_default().to_owned();
        Ok(rows.iter().map(|row| (text(row, 0), text(row, 1))).collect())
    }

    fn described(&mut self, database: &str) -> Result<Vec<DescribedRelation>> {
        Ok(catalog::describe(&self.rows(&catalog::described(database))?))
    }

    fn copy_in(&mut self) -> Option<&mut dyn CopyIn> {
        Some(self)
    }

    fn interrupter(&self) -> Option<Interrupter> {
        let canceller = self.canceller.clone();
        Some(Box::new(move || {
            let canceller = canceller.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let runtime = Builder::new_current_thread().enable_all().build();
            if let (Some(canceller), Ok(runtime)) = (canceller, runtime) {
                // A server that can't be reached any more runs nothing for us.
                let _ = runtime.block_on(canceller.cancel());
            }
        }))
    }
}

impl CopyIn for PgConnection {
    fn copy_in(
        &mut self,
        sql: &str,
        write: &mut dyn FnMut(&mut CopySink<'_>) -> Result<()>,
    ) -> Result<Response> {
        self.reach()?;
        let begun = match &mut self.wire {
            Some(wire) => self.runtime.block_on(wire.copy_in_begin(DOING, sql)),
            None => return Err(PostgresError::Lost(closed()).into()),
        };
        let told = match self.kept(begun)? {
            Some(done) => self.ended(done, sql)?,
            None => {
                let given = write(&mut |rows| match &mut self.wire {
                    Some(wire) => {
                        let sent = self.runtime.block_on(wire.copy_in_rows(DOING, rows));
                        Ok(sent.map_err(PostgresError::Lost)?)
                    }
                    None => Err(PostgresError::Lost(closed()).into()),
                });
                let failed = given.as_ref().err().map(|_| "the rows broke off");
                let done = match &mut self.wire {
                    Some(wire) => self.runtime.block_on(wire.copy_in_end(DOING, failed)),
                    None => return Err(PostgresError::Lost(closed()).into()),
                };
                let done = self.kept(done)?;
                let told = self.ended(done, sql);
                // Why there were no more says more than that the server had no more.
                given?;
                told?
            }
        };
        Ok(values::response(&told.tag))
    }
}

impl Drop for PgConnection {
    fn drop(&mut self) {
        if let Some(wire) = self.wire.take() {
            self.runtime.block_on(wire.close());
        }
    }
}
