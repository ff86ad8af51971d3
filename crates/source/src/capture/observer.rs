//! What a running capture says of itself, readable from any thread at any time.

use std::sync::{
    atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicU8, Ordering::Relaxed},
    Mutex, PoisonError,
};

use millstream_core::{Lsn, Timestamp};
use tokio::sync::Notify;

use crate::error::SourceError;

/// What capture is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum CaptureState {
    /// Not connected yet.
    Starting = 0,
    /// Receiving.
    Streaming = 1,
    /// The log is at its bound: receiving waits for apply.
    Paused = 2,
    /// The slot is still held, probably by a predecessor that was killed.
    WaitingForSlot = 3,
    /// The connection was lost; another is being made.
    Reconnecting = 4,
    /// Ended as asked.
    Stopped = 5,
    /// Ended by an error.
    Failed = 6,
}

impl CaptureState {
    const ALL: [CaptureState; 7] = [
        CaptureState::Starting,
        CaptureState::Streaming,
        CaptureState::Paused,
        CaptureState::WaitingForSlot,
        CaptureState::Reconnecting,
        CaptureState::Stopped,
        CaptureState::Failed,
    ];
}

/// A capture's figures, as of one moment.
#[derive(Debug, Clone)]
pub struct CaptureStatus {
    /// What it is doing.
    pub state: CaptureState,
    /// Up to where the server has sent.
    pub received_lsn: Lsn,
    /// Up to where the log is durable and the server has been told so.
    pub flushed_lsn: Lsn,
    /// Where the server's WAL ended when last heard of.
    pub source_lsn: Lsn,
    /// WAL that the server keeps for the slot, in bytes, when last asked.
    pub wal_retained_bytes: u64,
    /// Received since the start, in bytes.
    pub bytes: u64,
    /// Committed transactions received since the start.
    pub transactions: u64,
    /// Commit time of the last of them.
    pub last_commit: Option<Timestamp>,
    /// Connections lost since the start.
    pub reconnects: u64,
    /// Why it waits or has ended.
    pub error: Option<SourceError>,
}

/// The figures, and a way to hurry the server.
#[derive(Debug, Default)]
pub struct Observer {
    state: AtomicU8,
    full: AtomicBool,
    received: AtomicU64,
    flushed: AtomicU64,
    source: AtomicU64,
    retained: AtomicU64,
    bytes: AtomicU64,
    transactions: AtomicU64,
    last_commit: AtomicI64,
    reconnects: AtomicU64,
    error: Mutex<Option<SourceError>>,
    pub(super) nudge: Notify,
}

impl Observer {
    /// The figures now.
    pub fn status(&self) -> CaptureStatus {
        let state = CaptureState::ALL[usize::from(self.state.load(Relaxed)).min(CaptureState::ALL.len() - 1)];
        let last_commit = self.last_commit.load(Relaxed);
        CaptureStatus {
            state: match (state, self.full.load(Relaxed)) {
                (CaptureState::Streaming, true) => CaptureState::Paused,
                (state, _) => state,
            },
            received_lsn: Lsn(self.received.load(Relaxed)),
            flushed_lsn: Lsn(self.flushed.load(Relaxed)),
            source_lsn: Lsn(self.source.load(Relaxed).max(self.received.load(Relaxed))),
            wal_retained_bytes: self.retained.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            transactions: self.transactions.load(Relaxed),
            last_commit: (last_commit != 0).then_some(Timestamp(last_commit)),
            reconnects: self.reconnects.load(Relaxed),
            error: self.error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// Makes the server say where it stands, so that an idle source's position moves on at once instead of within seconds.
    pub fn nudge(&self) {
        self.nudge.notify_one();
    }

    pub(crate) fn set_source(&self, lsn: Lsn, retained_bytes: u64) {
        self.source.fetch_max(lsn.0, Relaxed);
        self.retained.store(retained_bytes, Relaxed);
    }

    pub(super) fn set_source_end(&self, lsn: Lsn) {
        self.source.fetch_max(lsn.0, Relaxed);
    }

    pub(super) fn set_state(&self, state: CaptureState, error: Option<SourceError>) {
        if state == CaptureState::Reconnecting {
            self.reconnects.fetch_add(1, Relaxed);
        }
        *self.error.lock().unwrap_or_else(PoisonError::into_inner) = error;
        self.state.store(state as u8, Relaxed);
    }

    pub(super) fn received(
        &self,
        through: Lsn,
        bytes: usize,
        transactions: u64,
        last_commit: Option<Timestamp>,
    ) {
        self.received.fetch_max(through.0, Relaxed);
        self.bytes.fetch_add(bytes as u64, Relaxed);
        self.transactions.fetch_add(transactions, Relaxed);
        if let Some(time) = last_commit {
            self.last_commit.store(time.0, Relaxed);
        }
    }

    pub(super) fn flushed(&self, lsn: Lsn) {
        self.flushed.store(lsn.0, Relaxed);
    }

    pub(super) fn set_full(&self, full: bool) {
        self.full.store(full, Relaxed);
    }
}
