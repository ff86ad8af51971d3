//! The copying itself: connections that share a snapshot and take one chunk after the other.

use std::{
    collections::VecDeque,
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

use super::{SnapshotConfig, SnapshotObserver};
use crate::{
    error::{Result, SourceError},
    sql,
    stop::Stop,
    wire::Wire,
};

const DOING: &str = "copying rows";

/// Handed to the disk in pieces of this size.
const PIECE_BYTES: usize = 256 * 1024;

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
}

#[derive(Clone)]
struct Copier {
    config: SnapshotConfig,
    snapshot: String,
    jobs: Arc<Mutex<VecDeque<Job>>>,
    base: BaseId,
    store: Arc<dyn BaseStore>,
    observer: Arc<SnapshotObserver>,
    stop: Stop,
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
    let connections = config.connections.clamp(1, jobs.len().max(1));
    let copier = Copier {
        config: config.clone(),
        snapshot: snapshot.to_owned(),
        jobs: Arc::new(Mutex::new(jobs.into())),
        base,
        store: store.clone(),
        observer: observer.clone(),
        stop: stop.clone(),
    };
    let mut workers = JoinSet::new();
    for _ in 0..connections {
        workers.spawn(copier.clone().work());
    }
    let mut result = Ok(());
    while let Some(ended) = workers.join_next().await {
        let ended = ended.unwrap_or_else(|error| Err(SourceError::lost(DOING, error)));
        if ended.is_err() && result.is_ok() {
            // The others have nothing to finish for.
            workers.abort_all();
            result = ended;
        }
    }
    result
}

impl Copier {
    fn take(&self) -> Option<Job> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    async fn work(mut self) -> Result<()> {
        let mut wire = None;
        while let Some(job) = self.take() {
            for tries in 1.. {
                let mut stop = self.stop.clone();
                let copied = tokio::select! {
                    () = stop.requested() => return Err(SourceError::Cancelled),
                    copied = self.chunk(&mut wire, &job) => copied,
                };
                match copied {
                    Ok(()) => break,
                    Err(error) if error.is_transient() && tries < TRIES_MAX => {
                        tracing::warn!(%error, table = %job.table, chunk = job.number, "copying a chunk again");
                        wire = None;
                    }
                    Err(error) => return Err(error),
                }
            }
            self.observer.finished(job.table);
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
        wire.copy_out(DOING, &job.statement).await?;
        // The disk's side, on a thread where it may block. Emptied pieces come back, so that memory is used again.
        let (full, mut filled) = mpsc::channel::<Vec<u8>>(PIECES_MAX);
        let (emptied, mut empty) = mpsc::unbounded_channel::<Vec<u8>>();
        let (store, base, table, number) = (self.store.clone(), self.base, job.table, job.number);
        let disk = spawn_blocking(move || {
            let mut writer = store.write_chunk(base, table, number).map_err(SourceError::from_port)?;
            while let Some(piece) = filled.blocking_recv() {
                writer.write(&piece).map_err(SourceError::from_port)?;
                // Nobody wants it back behind the last piece.
                let _ = emptied.send(piece);
            }
            Ok::<_, SourceError>(writer)
        });
        let mut copied = (0i64, 0i64);
        let pumped = self.pump(wire, job.table, &full, &mut empty, &mut copied).await;
        drop(full);
        let disk = disk.await.unwrap_or_else(|error| Err(SourceError::lost("writing a chunk", error)));
        let finished = match (pumped, disk) {
            (Ok(rows), Ok(writer)) => {
                spawn_blocking(move || writer.finish(rows).map_err(SourceError::from_port))
                    .await
                    .unwrap_or_else(|error| Err(SourceError::lost("finishing a chunk", error)))
            }
            // The disk's error is the reason why the pump could not go on.
            (_, Err(error)) | (Err(error), _) => Err(error),
        };
        match finished {
            Ok(info) => {
                // The head and the trailer of the COPY came as messages too.
                self.observer.moved(job.table, info.rows as i64 - copied.0, 0);
                Ok(())
            }
            Err(error) => {
                self.observer.moved(job.table, -copied.0, -copied.1);
                Err(error)
            }
        }
    }

    /// From the socket to the disk's side, to the end of the COPY. Returns its rows.
    async fn pump(
        &self,
        wire: &mut Wire,
        table: TableId,
        full: &mpsc::Sender<Vec<u8>>,
        empty: &mut mpsc::UnboundedReceiver<Vec<u8>>,
        copied: &mut (i64, i64),
    ) -> Result<u64> {
        loop {
            let mut piece = empty.try_recv().unwrap_or_else(|_| Vec::with_capacity(PIECE_BYTES * 2));
            piece.clear();
            let mut messages = 0;
            let rows = wire.copy_read(DOING, &mut piece, PIECE_BYTES, &mut messages).await?;
            let moved = (messages as i64, piece.len() as i64);
            *copied = (copied.0 + moved.0, copied.1 + moved.1);
            self.observer.moved(table, moved.0, moved.1);
            if !piece.is_empty() {
                // Closed: the disk's side has failed and says why.
                full.send(piece).await.map_err(|_| SourceError::Cancelled)?;
            }
            if let Some(rows) = rows {
                return Ok(rows);
            }
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
