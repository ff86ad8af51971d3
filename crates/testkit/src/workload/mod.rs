//! A seeded random workload: many writers with overlapping transactions over tables of every shape, and DDL among them.
//!
//! [`install`] makes the tables (`schema.sql`), the triggers that record every change in `audit.changes` (`record.sql`), and a `test_decoding`
//! slot that knows the commit order; [`Workload`] runs the writers; [`Oracle`](crate::Oracle) says afterwards what every table held at any commit.
//!
//! The seed decides what each writer asks for. How the server interleaves them it does not decide; the record does not care.

mod columns;
mod random;
mod session;
mod transactions;
mod values;
mod variety;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::{Error, PgCluster, Result};

pub use random::Random;
pub use session::Refusals;

use columns::ColumnChanges;
use session::Session;
use transactions::Writer;
use variety::{Reshaping, Variety, VarietyWriter};

/// The schema whose tables are written to, and to be replicated.
pub const SCHEMA: &str = "shop";

/// Asks for the tables to be published, divided by commas: those of [`SCHEMA`] but for partitions.
pub const PUBLISHED: &str = "SELECT string_agg(oid::regclass::text, ', ') FROM pg_class \
                             WHERE relnamespace = 'shop'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition";

/// Refusals that a crowd of writers brings upon itself: a key that is taken, a row that moved to another partition meanwhile, a
/// deadlock, a lock that was too long in coming, what
/// follows in the same transaction, a savepoint or a prepared transaction that an earlier error prevented.
pub const EXPECTED_REFUSALS: &[&str] = &["23505", "40001", "40P01", "55P03", "25P02", "3B001", "42704"];

/// What a variety's writers are refused besides: a change of columns that an earlier one, or a row, prevents; a value that a rewritten
/// column can't take; a partition that another writer is just making, or could not make.
const VARIETY_REFUSALS: &[&str] =
    &["55006", "42883", "22P02", "22003", "42804", "42701", "42703", "42P07", "42P10", "23514"];

/// Longest wait of the column changes' writer, as a multiple of the others': rows come in between.
const COLUMN_CHANGE_PAUSES: u32 = 8;

/// Makes the tables, the record and the slot.
///
/// # Errors
/// The server's message.
pub fn install(cluster: &PgCluster) -> Result<()> {
    install_tables(cluster, include_str!("schema.sql"), include_str!("rows.sql"))
}

/// Makes the tables of [`Workload::start_variety`], the record and the slot.
///
/// # Errors
/// The server's message.
pub fn install_variety(cluster: &PgCluster) -> Result<()> {
    install_tables(cluster, &Variety::new().schema(), include_str!("variety_rows.sql"))
}

/// Makes what records changes, the tables by `schema`, the slot that sees them, and their first rows.
fn install_tables(cluster: &PgCluster, schema: &str, rows: &str) -> Result<()> {
    for script in [include_str!("record.sql"), schema, include_str!("witness.sql"), rows] {
        cluster.execute(script)?;
    }
    Ok(())
}

/// How much, how fast.
#[derive(Debug, Clone)]
pub struct WorkloadOptions {
    /// Decides what the writers do.
    pub seed: u64,
    /// Concurrent writers, beside the one that changes columns.
    pub writers: u64,
    /// Transactions of each writer, at most.
    pub transactions_max: u64,
    /// Longest wait of a writer between two transactions; how long it waits is random.
    pub pause_max: Duration,
    /// Whether columns change too.
    pub column_changes: bool,
}

/// Writers at work; they stop when told to, when they have done their share, and when the value is dropped.
pub struct Workload {
    stopping: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Result<Refusals>>>,
    expected: Vec<&'static str>,
}

impl Workload {
    /// Starts the writers.
    ///
    /// # Errors
    /// A session can't be opened.
    pub fn start(cluster: &PgCluster, options: &WorkloadOptions) -> Result<Self> {
        let mut workload = Self::idle(EXPECTED_REFUSALS.to_vec());
        for number in 0..options.writers {
            let session = Session::open(cluster, &format!("writer {number}"))?;
            let mut writer =
                Writer::new(Random::new(options.seed.wrapping_mul(1_000_003).wrapping_add(number)), number);
            let limit = options.transactions_max;
            workload.spawn(session, options.pause_max, limit, move |session| {
                session.run(&writer.transaction()).map(drop)
            });
        }
        if options.column_changes {
            let session = Session::open(cluster, "column changes")?;
            let mut changes = ColumnChanges::new(Random::new(options.seed ^ 0xC0_1C));
            workload.spawn(
                session,
                options.pause_max * COLUMN_CHANGE_PAUSES,
                options.transactions_max,
                move |session| changes.step(session),
            );
        }
        Ok(workload)
    }

    /// Starts writers of another kind, over the tables of [`install_variety`]: fewer of them, who know every type and change everything
    /// that can be changed about a table. `column_changes` says whether the tables change, too.
    ///
    /// # Errors
    /// A session can't be opened.
    pub fn start_variety(cluster: &PgCluster, options: &WorkloadOptions) -> Result<Self> {
        let mut workload = Self::idle([EXPECTED_REFUSALS, VARIETY_REFUSALS].concat());
        let variety = Variety::new();
        for number in 0..options.writers {
            let session = Session::open(cluster, &format!("writer {number}"))?;
            let random = Random::new(options.seed.wrapping_mul(1_000_003).wrapping_add(number));
            let mut writer = VarietyWriter::new(random, variety.clone());
            workload.spawn(session, options.pause_max, options.transactions_max, move |session| {
                session.run(&writer.transaction()).map(drop)
            });
        }
        if options.column_changes {
            let session = Session::open(cluster, "column changes")?;
            let mut changes = Reshaping::new(Random::new(options.seed ^ 0xC0_1C));
            let pause_max = options.pause_max * COLUMN_CHANGE_PAUSES;
            let limit = options.transactions_max / u64::from(COLUMN_CHANGE_PAUSES);
            workload.spawn(session, pause_max, limit, move |session| changes.step(session));
        }
        Ok(workload)
    }

    fn idle(expected: Vec<&'static str>) -> Self {
        Self { stopping: Arc::default(), done: Arc::default(), threads: Vec::new(), expected }
    }

    /// Waits until every writer has run all its transactions, and says what the server refused.
    ///
    /// # Errors
    /// As [`stop`](Self::stop).
    pub fn finish(self) -> Result<Refusals> {
        self.join()
    }

    fn spawn(
        &mut self,
        mut session: Session,
        pause_max: Duration,
        limit: u64,
        mut step: impl FnMut(&mut Session) -> Result<()> + Send + 'static,
    ) {
        let (stopping, done) = (Arc::clone(&self.stopping), Arc::clone(&self.done));
        let mut pauses = Random::new(self.threads.len() as u64);
        let pause_us_max = u64::try_from(pause_max.as_micros()).unwrap_or(u64::MAX - 1);
        self.threads.push(thread::spawn(move || {
            for _ in 0..limit {
                if stopping.load(Ordering::Relaxed) {
                    break;
                }
                step(&mut session)?;
                done.fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_micros(pauses.below(pause_us_max + 1)));
            }
            Ok(session.close())
        }));
    }

    /// Transactions that were run so far, those that the server refused included.
    #[must_use]
    pub fn transactions(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Waits until the writers have ended their transactions, and says what the server refused.
    ///
    /// # Errors
    /// A writer lost its session, or was refused something that is not among [`EXPECTED_REFUSALS`]: the workload is wrong then.
    pub fn stop(self) -> Result<Refusals> {
        self.stopping.store(true, Ordering::Relaxed);
        self.join()
    }

    fn join(mut self) -> Result<Refusals> {
        let mut all = Refusals::new();
        for thread in self.threads.drain(..) {
            let refusals = thread.join().map_err(|_| Error::new("a writer panicked"))??;
            for (state, count) in refusals {
                *all.entry(state).or_default() += count;
            }
        }
        match all.keys().find(|state| !self.expected.contains(&state.as_str())) {
            Some(state) => {
                Err(Error::new(format!("a writer was refused with SQLSTATE {state}; all: {all:?}")))
            }
            None => Ok(all),
        }
    }
}

impl Drop for Workload {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
