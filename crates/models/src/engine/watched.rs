//! Connections whose statements are interrupted together, when nobody wants what they would give any more.

use std::{
    collections::HashMap,
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering},
        Arc, Mutex, MutexGuard, PoisonError,
    },
    time::Duration,
};

use millstream_core::{
    build::{
        Answer, BuildConnection, BuiltRelation, CopyIn, CopySink, DescribedRelation, Interrupter, Response,
    },
    log::Result,
    BoxedDiagnostic,
};

/// How long until what still runs is interrupted again: a statement may have begun just behind an interruption.
pub const AGAIN_AFTER: Duration = Duration::from_millis(200);

/// The statements that run on some connections.
pub struct Statements {
    is_given_up: AtomicBool,
    /// What a statement is answered with that is not begun any more.
    refusal: fn() -> BoxedDiagnostic,
    next: AtomicU64,
    running: Mutex<HashMap<u64, Arc<Interrupter>>>,
}

impl Statements {
    /// None yet. `refusal` is the error of those that come once they are given up.
    pub fn new(refusal: fn() -> BoxedDiagnostic) -> Self {
        Statements {
            is_given_up: AtomicBool::new(false),
            refusal,
            next: AtomicU64::new(0),
            running: Mutex::default(),
        }
    }

    /// A connection whose statements are among them.
    pub fn watched(self: &Arc<Self>, connection: Box<dyn BuildConnection>) -> Box<dyn BuildConnection> {
        let interrupter = connection.interrupter().map(Arc::new);
        Box::new(WatchedConnection { connection, interrupter, statements: self.clone() })
    }

    /// From now on none is begun. Those that run are not ended by that: see [`interrupt`](Self::interrupt).
    pub fn give_up(&self) {
        self.is_given_up.store(true, Ordering::Release);
    }

    /// Whether none is begun any more.
    pub fn is_given_up(&self) -> bool {
        self.is_given_up.load(Ordering::Acquire)
    }

    /// Interrupts those that run now. One that is just about to be sent may be missed: it is to be called again while there is one.
    pub fn interrupt(&self) {
        // An interruption may take its time, in which statements end.
        let all: Vec<Arc<Interrupter>> = self.lock().values().cloned().collect();
        for interrupt in all {
            interrupt();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Interrupter>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct WatchedConnection {
    connection: Box<dyn BuildConnection>,
    interrupter: Option<Arc<Interrupter>>,
    statements: Arc<Statements>,
}

impl WatchedConnection {
    fn during<T>(&mut self, work: impl FnOnce(&mut dyn BuildConnection) -> Result<T>) -> Result<T> {
        let statements = &self.statements;
        let number = statements.next.fetch_add(1, Ordering::Relaxed);
        if let Some(interrupter) = &self.interrupter {
            statements.lock().insert(number, interrupter.clone());
        }
        // Looked at once it is known to run: whoever gives up between the two interrupts it.
        let done = match statements.is_given_up() {
            true => Err((statements.refusal)()),
            false => work(&mut *self.connection),
        };
        statements.lock().remove(&number);
        done
    }
}

impl BuildConnection for WatchedConnection {
    fn run(&mut self, sql: &str) -> Result<Response> {
        self.during(|connection| connection.run(sql))
    }

    fn query(&mut self, sql: &str, rows_max: usize) -> Result<Answer> {
        self.during(|connection| connection.query(sql, rows_max))
    }

    fn begin(&mut self) -> Result<()> {
        self.during(|connection| connection.begin())
    }

    // How a transaction ends is not interrupted: it is done soon, and who has begun to commit is nearly there.
    fn commit(&mut self) -> Result<()> {
        self.connection.commit()
    }

    fn rollback(&mut self) -> Result<()> {
        self.connection.rollback()
    }

    fn relations(&mut self, database: &str) -> Result<Vec<BuiltRelation>> {
        self.during(|connection| connection.relations(database))
    }

    fn columns(&mut self, database: &str, schema: &str, relation: &str) -> Result<Vec<(String, String)>> {
        self.during(|connection| connection.columns(database, schema, relation))
    }

    fn described(&mut self, database: &str) -> Result<Vec<DescribedRelation>> {
        self.during(|connection| connection.described(database))
    }

    fn copy_in(&mut self) -> Option<&mut dyn CopyIn> {
        match self.connection.copy_in().is_some() {
            true => Some(self),
            false => None,
        }
    }

    fn interrupter(&self) -> Option<Interrupter> {
        self.connection.interrupter()
    }
}

impl CopyIn for WatchedConnection {
    fn copy_in(
        &mut self,
        sql: &str,
        write: &mut dyn FnMut(&mut CopySink<'_>) -> Result<()>,
    ) -> Result<Response> {
        let refusal = self.statements.refusal;
        self.during(|connection| match connection.copy_in() {
            Some(copies) => copies.copy_in(sql, write),
            // What could copy when it was asked still can.
            None => Err(refusal()),
        })
    }
}
