//! The log's writer on a thread of its own, so that the disk and the network work at the same time.
//!
//! The thread syncs as soon as it has nothing else to do and a complete transaction waits, but not in too quick succession: an idle system
//! makes every change durable at once, and under load the transactions that arrive during one sync and shortly after share the next.

use std::{
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc, Arc,
    },
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use millstream_core::{
    log::{EventLog, LogWriter, SourceDescription},
    Lsn, TableSchema,
};
use tokio::sync::{oneshot, watch, OwnedSemaphorePermit, Semaphore};
use tracing::{
    field::{display, Empty},
    Span,
};

use crate::{
    error::{Result, SourceError},
    replication::Frames,
};

/// What may wait between socket and disk. Some reads' worth, so that neither starves the other; a message larger than this
/// passes alone.
pub(super) const IN_FLIGHT_BYTES_MAX: usize = 4 << 20;

/// Unsynced bytes that end a group commit though more is waiting: so much is written in about the time that a sync takes.
const UNSYNCED_BYTES_MAX: usize = 1 << 20;

/// And so does this much time: what a reader of the log waits at most behind a steady stream.
const UNSYNCED_TIME_MAX: Duration = Duration::from_millis(5);

/// Syncs are at least so far apart. A steady stream of small transactions would otherwise be synced one by one, and spend on that the time
/// that the server needs for decoding.
const SYNC_SPACING: Duration = Duration::from_millis(3);

/// How often a full log is looked at again. Apply frees whole segments, seconds apart.
const FULL_POLL: Duration = Duration::from_millis(100);

/// Something to write, in the order received.
pub(super) struct Work {
    /// Whole frames.
    pub(super) frames: Bytes,
    /// Whether a transaction ends in them.
    pub(super) commits: bool,
    /// The table that the last of the frames announced.
    pub(super) schema: Option<Box<TableSchema>>,
    /// The source has nothing before this position, and no transaction is open behind the frames.
    pub(super) advance: Option<Lsn>,
}

enum Order {
    Write(Work, OwnedSemaphorePermit),
    Reset(oneshot::Sender<()>),
    Describe(Box<SourceDescription>),
}

/// How far the thread is.
#[derive(Debug, Clone, Default)]
pub(super) struct Written {
    pub(super) flushed: Lsn,
    pub(super) full: bool,
    pub(super) error: Option<SourceError>,
}

/// The thread's handle. Dropping it lets the thread sync what is complete, and end.
pub(super) struct WriterThread {
    orders: Option<mpsc::Sender<Order>>,
    /// Set when capture has ended.
    abandoned: Arc<AtomicBool>,
    /// Bounds `orders` by bytes instead of by count.
    budget: Arc<Semaphore>,
    pub(super) written: watch::Receiver<Written>,
    thread: Option<thread::JoinHandle<()>>,
}

impl WriterThread {
    pub(super) fn start(log: &Arc<dyn EventLog>) -> Result<WriterThread> {
        let writer = log.writer().map_err(SourceError::from_port)?;
        let (orders, queue) = mpsc::channel();
        let abandoned = Arc::new(AtomicBool::new(false));
        let flushed = log.stats().flushed_lsn;
        let (sender, written) = watch::channel(Written { flushed, ..Written::default() });
        let thread = thread::Builder::new()
            .name("log-writer".into())
            .spawn({
                let abandoned = abandoned.clone();
                move || {
                    Writer {
                        writer,
                        queue,
                        abandoned,
                        written: sender,
                        unsynced: None,
                        unsynced_bytes: 0,
                        synced_at: None,
                    }
                    .run()
                }
            })
            .map_err(|error| SourceError::File { path: "a new thread".into(), reason: error.to_string() })?;
        let budget = Arc::new(Semaphore::new(IN_FLIGHT_BYTES_MAX));
        Ok(WriterThread { orders: Some(orders), abandoned, budget, written, thread: Some(thread) })
    }

    /// Room for so many bytes. Safe to cancel.
    pub(super) async fn room(&self, bytes: usize) -> Result<OwnedSemaphorePermit> {
        let permits = bytes.clamp(1, IN_FLIGHT_BYTES_MAX) as u32;
        self.budget.clone().acquire_many_owned(permits).await.map_err(|_| SourceError::Cancelled)
    }

    pub(super) fn write(&self, work: Work, room: OwnedSemaphorePermit) -> Result<()> {
        self.send(Order::Write(work, room))
    }

    /// Forgets what is open, once all before is written. Returns where the log stands.
    pub(super) async fn reset(&mut self) -> Result<Lsn> {
        let (done, is_done) = oneshot::channel();
        self.send(Order::Reset(done))?;
        is_done.await.map_err(|_| self.failure())?;
        Ok(self.written.borrow().flushed)
    }

    /// Says who speaks from here on.
    pub(super) fn describe(&self, source: SourceDescription) -> Result<()> {
        self.send(Order::Describe(Box::new(source)))
    }

    fn send(&self, order: Order) -> Result<()> {
        let sent = self.orders.as_ref().is_some_and(|orders| orders.send(order).is_ok());
        sent.then_some(()).ok_or_else(|| self.failure())
    }

    /// Why the thread has ended.
    pub(super) fn failure(&self) -> SourceError {
        self.written.borrow().error.clone().unwrap_or(SourceError::Cancelled)
    }

    /// Whether the thread has ended by an error.
    pub(super) fn has_failed(&self) -> bool {
        self.written.borrow().error.is_some()
    }

    /// Replaces a thread that has ended by an error which may pass, such as a full disk.
    pub(super) fn begin_again(&mut self, log: &Arc<dyn EventLog>) -> Result<()> {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // Its error was its last act, so this waits for nothing; the log's one writer is free then.
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
        *self = WriterThread::start(log)?;
        Ok(())
    }

    /// Syncs what is complete and ends. Returns where the log stands.
    pub(super) fn finish(mut self) -> Result<Lsn> {
        self.abandoned.store(true, Ordering::Relaxed);
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // A panic in the log is not ours to hide.
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
        let written = self.written.borrow();
        written.error.clone().map_or(Ok(written.flushed), Err)
    }
}

impl Drop for WriterThread {
    fn drop(&mut self) {
        self.abandoned.store(true, Ordering::Relaxed);
    }
}

struct Writer {
    writer: Box<dyn LogWriter>,
    queue: mpsc::Receiver<Order>,
    abandoned: Arc<AtomicBool>,
    written: watch::Sender<Written>,
    /// Since when a complete transaction waits.
    unsynced: Option<Instant>,
    unsynced_bytes: usize,
    synced_at: Option<Instant>,
}

impl Writer {
    fn run(mut self) {
        if let Err(error) = self.work() {
            self.written.send_modify(|written| written.error = Some(error));
        }
    }

    fn work(&mut self) -> Result<()> {
        loop {
            let order = match self.unsynced {
                None => self.queue.recv().ok(),
                Some(since)
                    if since.elapsed() >= UNSYNCED_TIME_MAX || self.unsynced_bytes >= UNSYNCED_BYTES_MAX =>
                {
                    self.sync()?;
                    continue;
                }
                Some(_) => {
                    let since_sync = self.synced_at.map_or(SYNC_SPACING, |at| at.elapsed());
                    match self.queue.recv_timeout(SYNC_SPACING.saturating_sub(since_sync)) {
                        Ok(order) => Some(order),
                        Err(_) => {
                            self.sync()?;
                            continue;
                        }
                    }
                }
            };
            match order {
                None => return Ok(()),
                Some(Order::Write(work, _room)) => self.write(work)?,
                Some(Order::Describe(source)) => {
                    self.writer.describe_source(&source).map_err(SourceError::from_port)?;
                }
                Some(Order::Reset(done)) => {
                    self.sync()?;
                    self.writer.reset().map_err(SourceError::from_port)?;
                    // Whoever asked may have been cancelled; the reset stands.
                    let _ = done.send(());
                }
            }
            self.wait_while_full()?;
        }
    }

    fn write(&mut self, work: Work) -> Result<()> {
        for (wal_start, message) in Frames(&work.frames) {
            self.writer.append(wal_start, message).map_err(SourceError::from_port)?;
        }
        if let Some(schema) = &work.schema {
            self.writer.schema(schema).map_err(SourceError::from_port)?;
        }
        if let Some(through) = work.advance {
            self.writer.advance(through);
        }
        self.unsynced_bytes += work.frames.len();
        if work.commits || work.advance.is_some() {
            self.unsynced.get_or_insert_with(Instant::now);
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        let span = match self.unsynced {
            Some(_) => tracing::info_span!(
                parent: None,
                "capture sync",
                otel.status_code = Empty,
                millstream.bytes = self.unsynced_bytes,
                millstream.position = Empty,
            ),
            // Nothing waits for it.
            None => Span::none(),
        };
        let synced = span.in_scope(|| self.writer.sync());
        match &synced {
            Ok(flushed) => span.record("millstream.position", display(flushed)),
            Err(_) => span.record("otel.status_code", "ERROR"),
        };
        drop(span);
        let flushed = synced.map_err(SourceError::from_port)?;
        self.unsynced = None;
        self.unsynced_bytes = 0;
        self.synced_at = Some(Instant::now());
        self.written.send_if_modified(|written| {
            let moved = written.flushed < flushed;
            written.flushed = written.flushed.max(flushed);
            moved
        });
        Ok(())
    }

    /// Nothing is taken from the queue meanwhile, which fills up and stops the reading from the socket.
    fn wait_while_full(&mut self) -> Result<()> {
        if !self.writer.is_full() {
            return Ok(());
        }
        self.sync()?;
        self.written.send_modify(|written| written.full = true);
        // Once capture has ended, what is in the queue is still written, bound or not; it is at most some reads' worth.
        while self.writer.is_full() && !self.abandoned.load(Ordering::Relaxed) {
            thread::sleep(FULL_POLL);
        }
        self.written.send_modify(|written| written.full = false);
        Ok(())
    }
}
