//! Ctrl-C and SIGTERM while something is built: what the warehouse runs is interrupted, nothing more is begun, and what was done by then is told and written.

use std::{
    collections::HashMap,
    sync::{
        atomic::{AtomicU64, Ordering},
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
    },
    thread,
    time::Duration,
};

use millstream_core::{
    build::{
        Answer, BuildConnection, BuildWarehouse, BuiltRelation, DescribedRelation, Interrupter, Response,
    },
    log::Result,
    Exit,
};

use crate::{
    error::ProgramError,
    failure::{Doing, Failure, EXIT_INTERRUPTED},
    instance::Cancellation,
    signals::Signals,
};

/// How long until what still runs is interrupted again: a statement may have begun just behind an interruption.
const AGAIN_AFTER: Duration = Duration::from_millis(200);

/// What the process is asked by signals. There is one of it, as there is one process.
static WATCH: OnceLock<Watch> = OnceLock::new();

struct Watch {
    signals: Signals,
    cancellation: Cancellation,
    running: Arc<Running>,
}

/// What interrupts the statements that run now.
#[derive(Default)]
struct Running {
    next: AtomicU64,
    statements: Mutex<HashMap<u64, Arc<Interrupter>>>,
}

impl Running {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Interrupter>>> {
        self.statements.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn interrupt(&self) {
        // An interruption may take its time, in which statements end.
        let all: Vec<Arc<Interrupter>> = self.lock().values().cloned().collect();
        for interrupt in all {
            interrupt();
        }
    }
}

/// The exit status of a verb that was cancelled. Called by dbt's name it has dbt's, after either signal. By its own it is 130 after Ctrl-C, as of all
/// verbs; after SIGTERM it is that of what is not done, for whoever ended it must not read that all was built.
pub(super) fn exit(as_dbt: bool) -> u8 {
    let asked = WATCH.get().and_then(|watch| watch.signals.exit());
    match asked {
        _ if as_dbt => Exit::Usage as u8,
        Some(EXIT_INTERRUPTED) => EXIT_INTERRUPTED,
        _ => Exit::Wrong as u8,
    }
}

/// Whether the verb was cancelled.
pub(super) fn is_cancelled() -> bool {
    WATCH.get().is_some_and(|watch| watch.cancellation.is_cancelled())
}

/// The warehouse, whose statements a signal interrupts from here on. A second signal ends the process at once.
pub(super) fn watched(
    warehouse: Arc<dyn BuildWarehouse>,
) -> std::result::Result<Arc<dyn BuildWarehouse>, Failure> {
    let watch = match WATCH.get() {
        Some(watch) => watch,
        None => {
            let signals = Signals::watch().map_err(ProgramError::Signals).doing("watching for Ctrl-C")?;
            let cancellation = signals.cancellation().clone();
            let watch = Watch { signals, cancellation, running: Arc::default() };
            let running = watch.running.clone();
            watch.cancellation.on_cancel(Box::new(move || {
                let running = running.clone();
                // Not on the thread of the signals, which waits for the second one.
                thread::spawn(move || loop {
                    running.interrupt();
                    thread::sleep(AGAIN_AFTER);
                });
            }));
            WATCH.get_or_init(|| watch)
        }
    };
    Ok(Arc::new(Watched { warehouse, watch }))
}

struct Watched {
    warehouse: Arc<dyn BuildWarehouse>,
    watch: &'static Watch,
}

impl BuildWarehouse for Watched {
    fn connect(&self) -> Result<Box<dyn BuildConnection>> {
        let connection = self.warehouse.connect()?;
        let interrupter = connection.interrupter().map(Arc::new);
        Ok(Box::new(WatchedConnection { connection, interrupter, watch: self.watch }))
    }

    fn is_cancelled(&self) -> bool {
        self.watch.cancellation.is_cancelled()
    }
}

struct WatchedConnection {
    connection: Box<dyn BuildConnection>,
    interrupter: Option<Arc<Interrupter>>,
    watch: &'static Watch,
}

impl WatchedConnection {
    fn during<T>(&mut self, work: impl FnOnce(&mut dyn BuildConnection) -> Result<T>) -> Result<T> {
        let running = &self.watch.running;
        let number = running.next.fetch_add(1, Ordering::Relaxed);
        if let Some(interrupter) = &self.interrupter {
            running.lock().insert(number, interrupter.clone());
        }
        let done = match self.watch.cancellation.is_cancelled() {
            true => Err(ProgramError::Cancelled.into()),
            false => work(&mut *self.connection),
        };
        running.lock().remove(&number);
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

    fn interrupter(&self) -> Option<Interrupter> {
        self.connection.interrupter()
    }
}
