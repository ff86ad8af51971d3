//! The copying itself: connections that share a snapshot and take one chunk after the other.

use std::{
    collections::VecDeque,
    io::{self, Read},
    sync::{Arc, Mutex, PoisonError},
};

use millstream_core::{
    base::{BaseId, BaseStore},
    TableId,
};
use tokio::{
    sync::mpsc,
    task::{spawn_blocking, JoinSet},
};
use tracing::{field::Empty, Instrument, Span};

use super::{
    forward::{blocking, Forward, Used},
    SnapshotConfig, SnapshotObserver,
};
use crate::{
    alone,
    error::{Result, SourceError},
    sql,
    stop::{Stop, Stopper},
    wire::Wire,
};

pub(super) const DOING: &str = "copying rows";

/// Handed to the disk in pieces of this size.
pub(super) const PIECE_BYTES: usize = 256 * 1024;

/// Pieces between socket and disk: enough that neither waits for the other's hiccups.
const PIECES_MAX: usize = 4;

/// How often a chunk is tried again when its connection is lost. The snapshot lives on meanwhile, on the connection that holds it.
const TRIES_MAX: usize = 5;

/// A chunk to copy.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) table: TableId,
    pub(super) number: u32,
    pub(super) statement: String,
    /// What an earlier snapshot left of it.
    pub(super) forward: Option<Forward>,
}

/// One of the connections at work.
#[derive(Clone)]
pub(super) struct Copier {
    config: SnapshotConfig,
    snapshot: String,
    jobs: Arc<Mutex<VecDeque<Job>>>,
    pub(super) base: BaseId,
    pub(super) store: Arc<dyn BaseStore>,
    pub(super) observer: Arc<SnapshotObserver>,
    stop: Stop,
    /// That of the whole.
    span: Span,
}

pub(super) async fn run(
    config: &SnapshotConfig,
    snapshot: &str,
    jobs: Vec<Job>,
    base: BaseId,
    store: &Arc<dyn BaseStore>,
    observer: &Arc<SnapshotObserver>,
    stop: &Stop,
) -> Result<()> {
    let chunks = jobs.len();
    let connections = config.connections.clamp(1, chunks.max(1));
    let copier = Copier {
        config: config.clone(),
        snapshot: snapshot.to_owned(),
        jobs: Arc::new(Mutex::new(jobs.into())),
        base,
        store: store.clone(),
        observer: observer.clone(),
        stop: stop.clone(),
        span: tracing::info_span!(parent: None, "snapshot", millstream.chunks = chunks, millstream.connections = connections),
    };
    let (halt, halted) = Stopper::new();
    let mut workers = JoinSet::new();
    for _ in 0..connections {
        let (copier, halted) = (copier.clone(), halted.clone());
        workers.spawn(alone::run(move || copier.work(halted)));
    }
    let mut result = Ok(());
    while let Some(ended) = workers.join_next().await {
        let ended = ended.unwrap_or_else(|error| Err(SourceError::lost(DOING, error)));
        if ended.is_err() && result.is_ok() {
            // The others have nothing to finish for.
            halt.stop();
            result = ended;
        }
    }
    result
}

impl Copier {
    fn take(&self) -> Option<Job> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    async fn work(mut self, mut halted: Stop) -> Result<()> {
        let mut wire = None;
        while let Some(job) = self.take() {
            for tries in 1.. {
                let mut stop = self.stop.clone();
                let span = tracing::info_span!(
                    parent: &self.span,
                    "snapshot chunk",
                    otel.status_code = Empty,
                    millstream.table = %job.table,
                    millstream.chunk = job.number,
                    millstream.tries = tries,
                );
                let copied = tokio::select! {
                    () = stop.requested() => return Err(SourceError::Cancelled),
                    () = halted.requested() => return Err(SourceError::Cancelled),
                    copied = self.chunk(&mut wire, &job).instrument(span.clone()) => copied,
                };
                if copied.is_err() {
                    span.record("otel.status_code", "ERROR");
                }
                drop(span);
                match copied {
                    Ok(()) => break,
                    Err(error) if error.is_transient() && tries < TRIES_MAX => {
                        tracing::warn!(event = "chunk_repeated", %error, table = %job.table, chunk = job.number, "copying a chunk again");
                        wire = None;
                    }
                    Err(error) => return Err(error),
                }
            }
            fail::fail_point!("source::snapshot_chunk");
        }
        if let Some(wire) = wire {
            wire.close().await;
        }
        Ok(())
    }

    async fn chunk(&mut self, connection: &mut Option<Wire>, job: &Job) -> Result<()> {
        let wire = match connection {
            Some(wire) => wire,
            None => connection.insert(self.connect().await?),
        };
        if let Some(forward) = &job.forward {
            if self.forward(wire, job, forward).await? != Used::NotAtAll {
                return Ok(());
            }
        }
        let (store, base, table, number) = (self.store.clone(), self.base, job.table, job.number);
        let mut copied = (0i64, 0i64);
        let moved = |rows, bytes| {
            copied = (copied.0 + rows, copied.1 + bytes);
            self.observer.moved(table, rows, bytes);
        };
        let written = self
            .stream(wire, &job.statement, moved, move |mut pieces| {
                let mut writer = store.write_chunk(base, table, number).map_err(SourceError::from_port)?;
                while pieces.advance() {
                    writer.write(&pieces.current).map_err(SourceError::from_port)?;
                }
                Ok(writer)
            })
            .await;
        let finished = match written {
            Ok((rows, writer)) => {
                blocking("finishing a chunk", move || writer.finish(rows).map_err(SourceError::from_port))
                    .await
            }
            Err(error) => Err(error),
        };
        match finished {
            Ok(info) => {
                // The head and the trailer of the COPY came as messages too.
                self.observer.moved(job.table, info.rows as i64 - copied.0, 0);
                self.observer.finished(job.table, false);
                Ok(())
            }
            Err(error) => {
                self.observer.moved(job.table, -copied.0, -copied.1);
                Err(error)
            }
        }
    }

    /// Runs a COPY, handing its output to `consume` on a thread where it may block. `moved` hears of messages and bytes. Returns the rows, as
    /// the server counts them.
    pub(super) async fn stream<T: Send + 'static>(
        &self,
        wire: &mut Wire,
        statement: &str,
        moved: impl FnMut(i64, i64),
        consume: impl FnOnce(Pieces) -> Result<T> + Send + 'static,
    ) -> Result<(u64, T)> {
        wire.copy_out(DOING, statement).await?;
        // Emptied pieces come back, so that memory is used again.
        let (full, filled) = mpsc::channel::<Vec<u8>>(PIECES_MAX);
        let (emptied, mut empty) = mpsc::unbounded_channel::<Vec<u8>>();
        let consumer =
            spawn_blocking(move || consume(Pieces { filled, emptied, current: Vec::new(), taken: 0 }));
        let pumped = pump(wire, &full, &mut empty, moved).await;
        drop(full);
        let consumed =
            consumer.await.unwrap_or_else(|error| Err(SourceError::lost("writing a chunk", error)));
        match (pumped, consumed) {
            (Ok(rows), Ok(consumed)) => Ok((rows, consumed)),
            // Nobody took the pieces: the consumer's error is the reason.
            (Err(SourceError::Cancelled), Err(error)) => Err(error),
            // What ended early made the consumer fail.
            (Err(error), _) | (_, Err(error)) => Err(error),
        }
    }

    /// A connection that sees the snapshot.
    async fn connect(&self) -> Result<Wire> {
        let mut wire = Wire::connect(&self.config.connection).await?;
        let statement = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT {}",
            sql::literal(&self.snapshot)
        );
        wire.query("importing the snapshot", &statement).await?;
        Ok(wire)
    }
}

/// From the socket to the consumer's side, to the end of the COPY. Returns its rows.
async fn pump(
    wire: &mut Wire,
    full: &mpsc::Sender<Vec<u8>>,
    empty: &mut mpsc::UnboundedReceiver<Vec<u8>>,
    mut moved: impl FnMut(i64, i64),
) -> Result<u64> {
    loop {
        let mut piece = empty.try_recv().unwrap_or_else(|_| Vec::with_capacity(PIECE_BYTES * 2));
        piece.clear();
        let mut messages = 0;
        let rows = wire.copy_read(DOING, &mut piece, PIECE_BYTES, &mut messages).await?;
        moved(messages as i64, piece.len() as i64);
        if !piece.is_empty() {
            full.send(piece).await.map_err(|_| SourceError::Cancelled)?;
        }
        if let Some(rows) = rows {
            return Ok(rows);
        }
    }
}

/// COPY output as it comes, on the consumer's side.
pub(super) struct Pieces {
    filled: mpsc::Receiver<Vec<u8>>,
    emptied: mpsc::UnboundedSender<Vec<u8>>,
    /// The piece at hand.
    current: Vec<u8>,
    /// What of it was read.
    taken: usize,
}

impl Pieces {
    /// Gives the piece at hand back and waits for the next one; false at the end, or where the other side has failed.
    fn advance(&mut self) -> bool {
        let before = std::mem::take(&mut self.current);
        if before.capacity() > 0 {
            // Nobody wants it back behind the last piece.
            let _ = self.emptied.send(before);
        }
        self.taken = 0;
        match self.filled.blocking_recv() {
            Some(piece) => {
                self.current = piece;
                true
            }
            None => false,
        }
    }
}

impl Read for Pieces {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        // Pieces are not empty.
        if self.taken == self.current.len() && !self.advance() {
            return Ok(0);
        }
        let now = out.len().min(self.current.len() - self.taken);
        out[..now].copy_from_slice(&self.current[self.taken..self.taken + now]);
        self.taken += now;
        Ok(now)
    }
}
