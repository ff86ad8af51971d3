//! Connections that readers share one behind another, with the statements they prepared.
//!
//! Planning a query over the tables' views takes DuckDB 2 ms, reading the names out of it another one; running it where few rows are read takes
//! 0.3 ms. Programs ask the same again and again, so a reader that ends leaves its connection, and what was prepared on it, to the next.
//! DuckDB itself plans a statement anew when the catalog of a table that it reads has changed since; for statements that read no table, whoever
//! changes a view says so here.

use std::{
    collections::VecDeque,
    sync::{
        atomic::{AtomicU64, Ordering},
        Arc, Mutex, MutexGuard,
    },
};

use millstream_core::{Query, Trust};

use super::{
    engine::{Connection, Database, Interrupter, Prepared},
    failed,
};
use crate::WarehouseError;

/// Connections kept for later. More readers than this at once are served, too; theirs are closed behind them.
const IDLE_MAX: usize = 8;

/// Statements kept on each connection: those of a few dashboards. A plan takes some tens of kilobytes.
const STATEMENTS_MAX: usize = 32;

/// The connections that wait for a reader.
pub(super) struct Sessions {
    database: Database,
    idle: Mutex<Vec<Session>>,
    /// How often views were changed.
    generation: AtomicU64,
}

impl Sessions {
    pub(super) fn new(database: Database) -> Arc<Self> {
        Arc::new(Sessions { database, idle: Mutex::default(), generation: AtomicU64::new(0) })
    }

    /// One that waits, or a new one.
    pub(super) fn take(&self) -> Result<Session, WarehouseError> {
        let generation = self.generation.load(Ordering::Acquire);
        match lock(&self.idle).pop() {
            Some(session) if session.generation == generation => Ok(session),
            Some(session) => Ok(Session { generation, statements: VecDeque::new(), ..session }),
            None => Ok(Session {
                generation,
                statements: VecDeque::new(),
                connection: self.database.connect().map_err(failed("connecting"))?,
            }),
        }
    }

    /// Views were changed: what was prepared before is not used by a reader from here on.
    pub(super) fn forget_statements(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// Keeps one for later. It has no transaction open, no temporary tables, and no setting of its own.
    pub(super) fn give_back(&self, session: Session) {
        let mut idle = lock(&self.idle);
        if idle.len() < IDLE_MAX {
            idle.push(session);
        }
    }
}

/// A connection and what was prepared on it, the last used at the end.
pub(super) struct Session {
    generation: u64,
    statements: VecDeque<Kept>,
    pub(super) connection: Connection,
}

struct Kept {
    sql: String,
    trust: Trust,
    /// A statement folds the role in when it is planned.
    role: Option<String>,
    statement: Prepared,
}

impl Session {
    /// The query's statement, if it was prepared here for one who may reach as much.
    pub(super) fn prepared(&mut self, query: &Query<'_>) -> Option<&Prepared> {
        let role = query.role.map(|role| role.name.as_str());
        let same =
            |kept: &Kept| kept.sql == query.sql && kept.trust == query.trust && kept.role.as_deref() == role;
        let at = self.statements.iter().position(same)?;
        let found = self.statements.remove(at)?;
        self.statements.push_back(found);
        self.statements.back().map(|kept| &kept.statement)
    }

    /// Keeps a statement in place of the one that was not used for the longest time.
    pub(super) fn keep(&mut self, query: &Query<'_>, statement: Prepared) {
        if self.statements.len() == STATEMENTS_MAX {
            self.statements.pop_front();
        }
        let role = query.role.map(|role| role.name.clone());
        self.statements.push_back(Kept { sql: query.sql.to_owned(), trust: query.trust, role, statement });
    }
}

/// Who may interrupt a session: its present reader, and nobody who was one before.
#[derive(Clone)]
pub(super) struct Lease(Arc<Mutex<Option<Interrupter>>>);

impl Lease {
    pub(super) fn of(session: &Session) -> Self {
        Lease(Arc::new(Mutex::new(Some(session.connection.interrupter()))))
    }

    /// Interrupts what the session runs for its reader. Holds the lock meanwhile, so that the session has not passed on in between.
    pub(super) fn interrupt(&self) {
        if let Some(interrupter) = &*lock(&self.0) {
            interrupter.interrupt();
        }
    }

    pub(super) fn end(&self) {
        lock(&self.0).take();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod tests {
    use millstream_core::{Grants, Role};

    use super::*;

    fn sessions() -> (tempfile::TempDir, Arc<Sessions>) {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(&directory.path().join("w.duckdb"), &[]).unwrap();
        (directory, Sessions::new(database))
    }

    #[test]
    fn statements_that_are_used_stay_and_others_make_room() {
        let (_directory, sessions) = sessions();
        let mut session = sessions.take().unwrap();
        for number in 0..=STATEMENTS_MAX {
            let sql = format!("SELECT {number}");
            let statement = session.connection.prepare(&sql).unwrap();
            session.keep(&Query::new(&sql), statement);
            assert!(session.prepared(&Query::new("SELECT 0")).is_some(), "after {number}");
        }
        assert_eq!(session.statements.len(), STATEMENTS_MAX);
        assert!(session.prepared(&Query::new("SELECT 1")).is_none());
        let guest = Query { trust: Trust::Guest, ..Query::new("SELECT 0") };
        assert!(session.prepared(&guest).is_none(), "what the owner may ask is not for guests");
        let role = Role { name: "analyst".into(), tables: Grants::default(), fingerprint: 0 };
        let theirs = Query { role: Some(&role), ..Query::new("SELECT 0") };
        assert!(session.prepared(&theirs).is_none(), "a role sees other rows");
    }

    #[test]
    fn no_more_wait_than_are_worth_it() {
        let (_directory, sessions) = sessions();
        let taken: Vec<_> = (0..IDLE_MAX + 3).map(|_| sessions.take().unwrap()).collect();
        taken.into_iter().for_each(|session| sessions.give_back(session));
        assert_eq!(lock(&sessions.idle).len(), IDLE_MAX);
    }
}
