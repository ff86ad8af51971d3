//! Reads of the warehouse for requests: few at a time, each within its time, ended when nobody waits for it any more.

use std::{sync::Arc, time::Duration};

use arrow_array::RecordBatch;
use millstream_core::{
    log,
    warehouse::{AsOf, QueryResult, WarehouseReader},
    Lsn, Parameter, Piece, Query, Role, Trust,
};
use tokio::sync::{Semaphore, SemaphorePermit};
use tracing::field::Empty;

use crate::{host::Host, priority, problem::Problem};

/// Rows of one answer, and the default of `limit`.
pub const ROWS_MAX: usize = 10_000;

/// Memory that the rows of one answer take at most, in bytes, where no limit says less. It is held about three times: as rows, printed, and compressed.
const ANSWER_BYTES_MAX: u64 = 256 << 20;

/// What one read may take, in seconds.
pub const READ_SECONDS_MAX: u64 = 30;

/// How long a request waits for its turn.
const TURN_WAIT_MAX: Duration = Duration::from_secs(10);

/// Reads at once, by processor: DuckDB spreads one over all of them, so more than two each only wait for one another.
const READS_PER_PROCESSOR: usize = 2;

/// The rows of an answer that are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Page {
    /// Rows before them.
    pub offset: usize,
    /// At most so many.
    pub limit: usize,
}

impl Page {
    /// All that an answer may have.
    pub const WHOLE: Page = Page { offset: 0, limit: ROWS_MAX };

    /// Rows that tell all of the page, and whether there are others behind it.
    pub(super) fn rows_max(self) -> usize {
        self.offset.saturating_add(self.limit).saturating_add(1)
    }
}

/// The beginning of a result: questions that differ only in how much they want of it are answered from one read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Prefix {
    /// So many rows are wanted.
    pub rows: usize,
    /// So many the statement gives.
    pub of: usize,
}

/// A question of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// One statement.
    pub sql: Arc<str>,
    /// Its parameters.
    pub parameters: Vec<(String, Parameter)>,
    /// The point that it reads at.
    pub as_of: Option<AsOf>,
    /// Which rows.
    pub page: Page,
    /// Of how many, where that is less than the statement gives.
    pub prefix: Option<Prefix>,
    /// Whether the client wrote the SQL.
    pub trust: Trust,
    /// The client's role.
    pub role: Option<Arc<Role>>,
    /// Memory that its rows may take, in bytes; `None`: what any answer's may.
    pub memory_bytes: Option<u64>,
}

/// An answer's rows.
#[derive(Debug, Clone)]
pub struct Read {
    /// The rows of the page.
    pub result: QueryResult,
    /// Whether there are rows behind them.
    pub more: bool,
    /// Everything committed at or before it is in it, and nothing else.
    pub position: Lsn,
}

impl Read {
    /// How many rows it has.
    pub(super) fn rows(&self) -> usize {
        self.result.batches.iter().map(RecordBatch::num_rows).sum()
    }
}

/// Where reads get their turn.
pub struct Reading {
    host: Arc<dyn Host>,
    turns: Arc<Semaphore>,
    questions: Semaphore,
}

impl Reading {
    /// Of a program.
    pub fn new(host: Arc<dyn Host>) -> Self {
        // Where the system does not tell, one processor is a safe guess.
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let turns = processors * READS_PER_PROCESSOR;
        Reading {
            host,
            turns: Arc::new(Semaphore::new(turns)),
            questions: Semaphore::new((turns / 2).max(1)),
        }
    }

    /// A place among the questions in SQL of the client's own: they have half of the turns at most, for one without end would keep everybody
    /// else waiting. Held by whoever asks, until there is an answer.
    pub async fn question(&self) -> Result<SemaphorePermit<'_>, Problem> {
        let place = tokio::time::timeout(TURN_WAIT_MAX, self.questions.acquire());
        // The semaphore is never closed.
        place.await.map_err(|_| Problem::busy())?.map_err(|_| Problem::busy())
    }

    /// Reads. `doing` says what, for the log and the client.
    pub async fn read(&self, asked: Asked, doing: &'static str) -> Result<Read, Problem> {
        let (page, mut room) = (asked.page, asked.room());
        let read = self.at_position(asked, doing, move |reader, query, position| {
            let mut result = QueryResult { columns: Vec::new(), batches: Vec::new() };
            reader.ask_each(query, &mut |piece| match piece {
                Piece::Columns(columns) => {
                    result.columns = columns.to_vec();
                    true
                }
                Piece::Rows(batch) => {
                    let fits = room.takes(&batch);
                    result.batches.push(batch);
                    fits
                }
            })?;
            Ok(room.checked().map(|()| {
                let (result, more) = cut(result, page);
                Read { result, more, position }
            }))
        });
        read.await?
    }

    /// Does something with a question and a reader that sees one position, which it is told as well. The question asks for one row more than its
    /// page has, which tells whether there are more.
    pub async fn at_position<T: Send + 'static>(
        &self,
        asked: Asked,
        doing: &'static str,
        does: impl FnOnce(&mut dyn WarehouseReader, &Query<'_>, Lsn) -> log::Result<T> + Send + 'static,
    ) -> Result<T, Problem> {
        let host = self.host.clone();
        self.with_turn(doing, move |interrupt| {
            let own = asked.trust == Trust::Guest;
            let fail = |error| Problem::of(&error, doing, own);
            let mut reader = host.reader().map_err(fail)?;
            interrupt.arm(reader.interrupter())?;
            reader.begin().map_err(fail)?;
            // Before the first transaction behind the first copy, the copy's own position is what there is.
            let position = reader.progress().map_err(fail)?.applied_lsn.max(host.applied().since);
            let position = match asked.as_of {
                Some(AsOf::Lsn(lsn)) => lsn.min(position),
                Some(AsOf::Time(_)) | None => position,
            };
            let done = does(&mut *reader, &asked.query(), position).map_err(fail)?;
            reader.end().map_err(fail)?;
            Ok(done)
        })
        .await
    }

    /// Does something that blocks when its turn comes; interrupts what it armed when it takes too long or nobody waits any more.
    pub async fn with_turn<T: Send + 'static>(
        &self,
        doing: &'static str,
        does: impl FnOnce(&Interrupt) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let turn = tokio::time::timeout(TURN_WAIT_MAX, self.turns.clone().acquire_owned());
        // The semaphore is never closed.
        let turn = turn.await.map_err(|_| Problem::busy())?.map_err(|_| Problem::busy())?;
        let interrupt = Interrupt::default();
        // Dropped with this future: a client that went away ends its read.
        let abandoned = interrupt.on_drop();
        let working = interrupt.clone();
        let span = tracing::info_span!("warehouse read", otel.name = doing, otel.status_code = Empty);
        let work = tokio::task::spawn_blocking(move || {
            priority::set_once(priority::READS, "read");
            let outcome = span.in_scope(|| does(&working));
            if outcome.as_ref().is_err_and(|problem| problem.status.is_server_error()) {
                span.record("otel.status_code", "ERROR");
            }
            drop(span);
            // Held until the read has really ended, not only until it was told to.
            drop(turn);
            outcome
        });
        let outcome = tokio::time::timeout(Duration::from_secs(READ_SECONDS_MAX), work).await;
        drop(abandoned);
        match outcome {
            Ok(Ok(outcome)) => outcome,
            // It panicked, which was printed.
            Ok(Err(_)) => Err(Problem::internal(doing)),
            Err(_) => Err(Problem::too_slow(READ_SECONDS_MAX)),
        }
    }
}

/// The memory that is left for the rows of an answer.
#[derive(Debug)]
pub struct Room {
    bytes_max: u64,
    bytes: u64,
}

impl Room {
    /// Room for so many bytes, or for what any answer may take.
    pub fn new(bytes_max: Option<u64>) -> Self {
        Room { bytes_max: bytes_max.unwrap_or(ANSWER_BYTES_MAX).min(ANSWER_BYTES_MAX), bytes: 0 }
    }

    /// How much it is.
    pub fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// Counts rows that are held; whether they fit.
    pub fn takes(&mut self, batch: &RecordBatch) -> bool {
        self.bytes += batch.get_array_memory_size() as u64;
        self.bytes <= self.bytes_max
    }

    /// Whether all fitted.
    pub fn checked(&self) -> Result<(), Problem> {
        if self.bytes <= self.bytes_max {
            return Ok(());
        }
        let bytes_max = self.bytes_max;
        Err(Problem::too_large(format!(
            "the rows take more than the {bytes_max} bytes of memory that an answer may"
        ))
        .hint("Ask for fewer rows or columns."))
    }
}

impl Asked {
    /// A statement of the project's own, without parameters, for all of its rows.
    #[cfg(test)]
    pub(super) fn owners(sql: &str) -> Asked {
        Asked {
            sql: sql.into(),
            parameters: Vec::new(),
            as_of: None,
            page: Page::WHOLE,
            prefix: None,
            trust: Trust::Owner,
            role: None,
            memory_bytes: None,
        }
    }

    /// Room for its answer.
    pub(super) fn room(&self) -> Room {
        Room::new(self.memory_bytes)
    }

    /// As the warehouse is asked.
    pub(super) fn query(&self) -> Query<'_> {
        Query {
            sql: &self.sql,
            parameters: &self.parameters,
            as_of: self.as_of,
            rows_max: Some(self.page.rows_max()),
            trust: self.trust,
            role: self.role.as_deref(),
        }
    }

    /// The question whose answer this one's is the beginning of.
    pub(super) fn whole(&self) -> Option<Asked> {
        let prefix = self.prefix?;
        Some(Asked { page: Page { offset: 0, limit: prefix.of }, prefix: None, ..self.clone() })
    }

    /// This question's answer, from that to the whole one.
    pub(super) fn of_whole(&self, whole: &Read) -> Read {
        let rows = self.prefix.map_or(usize::MAX, |prefix| prefix.rows);
        let (beginning, _) = cut(whole.result.clone(), Page { offset: 0, limit: rows });
        let (result, more) = cut(beginning, self.page);
        Read { result, more, position: whole.position }
    }
}

/// The rows of the page, and whether there are others behind them.
pub(super) fn cut(result: QueryResult, page: Page) -> (QueryResult, bool) {
    let (mut skip, mut left) = (page.offset, page.limit);
    let mut batches = Vec::new();
    let mut more = false;
    for batch in &result.batches {
        let skipped = skip.min(batch.num_rows());
        skip -= skipped;
        let there = batch.num_rows() - skipped;
        let taken = there.min(left);
        left -= taken;
        more |= taken < there;
        // Of nothing one batch is left: it knows the columns' types.
        if taken > 0 || batches.is_empty() {
            batches.push(batch.slice(skipped, taken));
        }
    }
    (QueryResult { columns: result.columns, batches }, more)
}

/// Ends a read from outside.
#[derive(Clone, Default)]
pub struct Interrupt {
    inner: Arc<std::sync::Mutex<Interruption>>,
}

#[derive(Default)]
struct Interruption {
    wanted: bool,
    call: Option<Box<dyn Fn() + Send + Sync>>,
}

impl Interrupt {
    fn lock(&self) -> std::sync::MutexGuard<'_, Interruption> {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// What ends it. An error where it was to end before it began.
    pub fn arm(&self, call: Box<dyn Fn() + Send + Sync>) -> Result<(), Problem> {
        let mut inner = self.lock();
        if inner.wanted {
            return Err(Problem::busy());
        }
        inner.call = Some(call);
        Ok(())
    }

    /// Ends it when what is returned is dropped.
    pub fn on_drop(&self) -> OnDrop {
        OnDrop(self.clone())
    }

    fn interrupt(&self) {
        let mut inner = self.lock();
        inner.wanted = true;
        if let Some(call) = &inner.call {
            call();
        }
    }
}

/// Interrupts when it is dropped.
pub struct OnDrop(Interrupt);

impl Drop for OnDrop {
    fn drop(&mut self) {
        // One that has ended by itself has nothing left to interrupt.
        self.0.interrupt();
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::{Int32Array, RecordBatch};

    use super::*;

    /// Nine rows in three batches.
    fn nine() -> QueryResult {
        let batch = |from: i32| {
            let values = Int32Array::from_iter_values(from..from + 3);
            RecordBatch::try_from_iter([("n", Arc::new(values) as _)]).unwrap()
        };
        QueryResult { columns: Vec::new(), batches: vec![batch(0), batch(3), batch(6)] }
    }

    fn numbers(result: &QueryResult) -> Vec<i32> {
        let column = |batch: &RecordBatch| {
            batch.column(0).as_any().downcast_ref::<Int32Array>().unwrap().values().to_vec()
        };
        result.batches.iter().flat_map(column).collect()
    }

    #[test]
    fn a_smaller_limit_is_the_beginning_of_a_larger_one() {
        let asked = |rows, offset, limit| Asked {
            sql: "SELECT n FROM t ORDER BY n LIMIT $k".into(),
            parameters: vec![("k".into(), Parameter::Integer(100))],
            as_of: None,
            page: Page { offset, limit },
            prefix: Some(Prefix { rows, of: 100 }),
            trust: Trust::Owner,
            role: None,
            memory_bytes: None,
        };
        assert_eq!(asked(4, 2, 5).whole(), asked(9, 0, 3).whole(), "they are read together");
        let whole = Read { result: nine(), more: false, position: Lsn(7) };
        let answer = |rows, offset, limit| {
            let read = asked(rows, offset, limit).of_whole(&whole);
            (numbers(&read.result), read.more)
        };
        assert_eq!(answer(4, 0, ROWS_MAX), (vec![0, 1, 2, 3], false));
        assert_eq!(answer(4, 1, 2), (vec![1, 2], true));
        assert_eq!(answer(0, 0, ROWS_MAX), (vec![], false));
        assert_eq!(answer(50, 8, 5), (vec![8], false));
    }

    #[test]
    fn a_page_is_cut_across_batches() {
        let result = nine();
        let page = |offset, limit| {
            let (result, more) = cut(result.clone(), Page { offset, limit });
            (numbers(&result), more)
        };
        assert_eq!(page(0, 2), (vec![0, 1], true));
        assert_eq!(page(2, 3), (vec![2, 3, 4], true));
        assert_eq!(page(5, 4), (vec![5, 6, 7, 8], false));
        assert_eq!(page(9, 4), (vec![], false));
        assert_eq!(page(3, 0), (vec![], true));
    }
}
