//! Connections that readers share one behind another, with the statements they prepared.
//!
//! Planning a query over the tables' views takes DuckDB 2 ms, reading the names out of it another one; running it where few rows are read takes
//! 0.3 ms. Programs ask the same again and again, so a reader that ends leaves its connection, and what was prepared on it, to the next.
//! DuckDB itself plans a statement anew when the catalog of a table that it reads has changed since; for statements that read no table, whoever
//! changes a view says so here.
//!
//! A plan may be used again only while nothing was committed. DuckDB 1.5 takes the smallest and largest values of columns into it, and leaves out
//! rows that came later and lie outside of them (duckdb/duckdb#23704, #24182; later versions don't). So a plan knows the state that it was made in; that
//! the statement's names mean what they should is known for longer.

use std::{
    collections::VecDeque,
    sync::{
        atomic::{AtomicU64, Ordering},
        Arc, Mutex, MutexGuard,
    },
};

use millstream_core::{Query, Trust};

use super::{
    bounded,
    continuity::Continuity,
    engine::{Connection, Database, EngineResult, Interrupter, Prepared},
    failed,
};
use crate::WarehouseError;

/// Connections kept for later. More readers than this at once are served, too; theirs are closed behind them.
const IDLE_MAX: usize = 8;

/// Statements kept on each connection: those of a few dashboards. A plan takes some tens of kilobytes.
const STATEMENTS_MAX: usize = 32;

/// What DuckDB's optimizer does with the values that columns hold while it plans: see [`Sessions::plan_for_good`].
pub(super) const BY_VALUES: &str = "statistics_propagation,compressed_materialization,row_group_pruner";

/// The connections that wait for a reader.
pub(super) struct Sessions {
    database: Database,
    idle: Mutex<Vec<Session>>,
    /// How often views were changed.
    generation: AtomicU64,
    /// How often something of the project's own was built.
    built: AtomicU64,
    /// Of what changes; `None`: nothing does.
    continuity: Option<Arc<Continuity>>,
    /// Held by whoever has changed the optimizer's settings.
    settings: Mutex<()>,
}

impl Sessions {
    pub(super) fn new(database: Database, continuity: Option<Arc<Continuity>>) -> Arc<Self> {
        Arc::new(Sessions {
            database,
            idle: Mutex::default(),
            generation: AtomicU64::new(0),
            built: AtomicU64::new(0),
            continuity,
            settings: Mutex::default(),
        })
    }

    /// One that waits, or a new one.
    pub(super) fn take(&self) -> Result<Session, WarehouseError> {
        let generation = self.generation.load(Ordering::Acquire);
        match lock(&self.idle).pop() {
            Some(session) if session.generation == generation => Ok(session),
            Some(session) => Ok(Session { generation, statements: VecDeque::new(), ..session }),
            None => {
                let connection = self.database.connect().map_err(failed("connecting"))?;
                connection.run(&bounded::macros()).map_err(failed("preparing a reader"))?;
                Ok(Session {
                    generation,
                    statements: VecDeque::new(),
                    continuity: self.continuity.clone(),
                    connection,
                })
            }
        }
    }

    /// Prepares a statement without parameters whose plan is good whatever is committed later. DuckDB has the setting for that for all of its connections
    /// only: what others plan meanwhile is right, too, and knows less. When the catalog changes, DuckDB plans such a statement anew for each run, by
    /// the values of then.
    pub(super) fn plan_for_good(&self, connection: &Connection, sql: &str) -> EngineResult<Prepared> {
        let _settings = lock(&self.settings);
        connection.run(&format!("SET GLOBAL disabled_optimizers = '{BY_VALUES}'"))?;
        let prepared = connection.prepare(sql);
        connection.run("RESET GLOBAL disabled_optimizers")?;
        prepared
    }

    /// How often views were changed.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// How often something of the project's own was built or its views changed.
    pub(super) fn built(&self) -> (u64, u64) {
        (self.built.load(Ordering::Acquire), self.generation())
    }

    /// Something of the project's own was built.
    pub(super) fn note_built(&self) {
        self.built.fetch_add(1, Ordering::AcqRel);
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
    continuity: Option<Arc<Continuity>>,
    statements: VecDeque<Kept>,
    pub(super) connection: Connection,
}

struct Kept {
    sql: String,
    trust: Trust,
    /// A statement folds the role in when it is planned.
    role: Option<String>,
    /// The state that it was planned in; `None`: it may not be used again.
    planned: Option<u64>,
    statement: Prepared,
}

impl Session {
    /// Whether the query was prepared here for one who may reach as much.
    pub(super) fn knows(&self, query: &Query<'_>) -> bool {
        self.statements.iter().any(|kept| kept.is_for(query))
    }

    /// Whether a plan that is used again needs a snapshot that was taken before.
    pub(super) fn needs_snapshot(&self, query: &Query<'_>) -> bool {
        self.continuity.is_some() && self.knows(query)
    }

    /// The query's statement, planned so that it gives what a transaction sees whose snapshot has been taken.
    pub(super) fn statement(&mut self, query: &Query<'_>) -> EngineResult<&Prepared> {
        // Before anything is planned: what is committed meanwhile makes the plan one of an older state.
        let state = self.continuity.as_ref().map_or(Some(0), |continuity| continuity.state());
        let found = self.statements.iter().position(|kept| kept.is_for(query));
        let kept = match found.and_then(|at| self.statements.remove(at)) {
            Some(kept) if state.is_some() && kept.planned == state => kept,
            _ => {
                let role = query.role.map(|role| role.name.clone());
                let statement = self.connection.prepare(query.sql)?;
                Kept { sql: query.sql.to_owned(), trust: query.trust, role, planned: state, statement }
            }
        };
        if self.statements.len() == STATEMENTS_MAX {
            self.statements.pop_front();
        }
        self.statements.push_back(kept);
        Ok(&self.statements[self.statements.len() - 1].statement)
    }
}

impl Kept {
    fn is_for(&self, query: &Query<'_>) -> bool {
        let role = query.role.map(|role| role.name.as_str());
        self.sql == query.sql && self.trust == query.trust && self.role.as_deref() == role
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
    use arrow_array::{cast::AsArray, types};
    use std::collections::BTreeSet;

    use millstream_core::{Grants, Role};

    use super::*;

    fn sessions() -> (tempfile::TempDir, Arc<Sessions>) {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(&directory.path().join("w.duckdb"), &[]).unwrap();
        (directory, Sessions::new(database, Some(Arc::default())))
    }

    #[test]
    fn statements_that_are_used_stay_and_others_make_room() {
        let (_directory, sessions) = sessions();
        let mut session = sessions.take().unwrap();
        for number in 0..=STATEMENTS_MAX {
            session.statement(&Query::new(&format!("SELECT {number}"))).unwrap();
            session.statement(&Query::new("SELECT 0")).unwrap();
        }
        assert_eq!(session.statements.len(), STATEMENTS_MAX);
        assert!(session.knows(&Query::new("SELECT 0")) && !session.knows(&Query::new("SELECT 1")));
        let guest = Query { trust: Trust::Guest, ..Query::new("SELECT 0") };
        assert!(!session.knows(&guest), "what the owner may ask is not for guests");
        let role =
            Role { name: "analyst".into(), tables: Grants::default(), fingerprint: 0, restricted: false };
        let theirs = Query { role: Some(&role), ..Query::new("SELECT 0") };
        assert!(!session.knows(&theirs), "a role sees other rows");
    }

    #[test]
    fn a_plan_is_used_again_until_something_is_committed() {
        let (_directory, sessions) = sessions();
        let mut session = sessions.take().unwrap();
        let query = Query::new("SELECT 1");
        let planned = |session: &mut Session| {
            session.statement(&query).unwrap();
            session.statements.back().unwrap().planned
        };
        let first = planned(&mut session);
        assert!(first.is_some());
        assert_eq!(planned(&mut session), first);
        let during = sessions
            .continuity
            .as_ref()
            .unwrap()
            .commit(false, None, &BTreeSet::new(), || Ok::<_, ()>(planned(&mut session)))
            .unwrap();
        assert_eq!(during, None, "nobody knows which state it sees");
        let second = planned(&mut session);
        assert!(second.is_some() && second != first);
    }

    #[test]
    fn a_plan_for_good_finds_what_was_committed_behind_it() {
        let (_directory, sessions) = sessions();
        let (writer, reader) = (sessions.database.connect().unwrap(), sessions.database.connect().unwrap());
        let create = "CREATE TABLE t AS SELECT range AS id, (range % 7)::VARCHAR AS name FROM range(100); CREATE TABLE none (id BIGINT)";
        writer.run(create).unwrap();
        // Values beyond the largest, a filter that nothing passed, an aggregate that is told by statistics, a table that was empty.
        let statements = [
            "SELECT count(*) FROM t WHERE id = 200",
            "SELECT count(*) FROM t WHERE id + 1 > 150",
            "SELECT max(id) FROM t",
            "SELECT count(*) FROM t JOIN none USING (id)",
            "SELECT count(DISTINCT name) FROM t WHERE name > '6'",
            "SELECT count(*) FROM (SELECT id % 1000 AS g FROM t GROUP BY ALL)",
        ];
        let plan = |sql: &&str| sessions.plan_for_good(&reader, sql).unwrap();
        let planned: Vec<_> = statements.iter().map(plan).collect();
        let value = |statement: &Prepared| {
            let batch = statement.stream().unwrap().next_batch().unwrap().unwrap();
            batch.column(0).as_primitive::<types::Int64Type>().value(0)
        };
        let values = || planned.iter().map(value).collect::<Vec<_>>();
        assert_eq!(values(), [0, 0, 99, 0, 0, 100]);
        writer.run("INSERT INTO t VALUES (200, 'a'), (300, 'b'); INSERT INTO none VALUES (200)").unwrap();
        assert_eq!(values(), [1, 2, 300, 1, 2, 102]);
        let left = reader.query("SELECT current_setting('disabled_optimizers')").unwrap();
        assert_eq!(left[0].column(0).as_string::<i32>().value(0), "", "others plan as ever");
    }

    #[test]
    fn no_more_wait_than_are_worth_it() {
        let (_directory, sessions) = sessions();
        let taken: Vec<_> = (0..IDLE_MAX + 3).map(|_| sessions.take().unwrap()).collect();
        taken.into_iter().for_each(|session| sessions.give_back(session));
        assert_eq!(lock(&sessions.idle).len(), IDLE_MAX);
    }
}
