//! The port between capture and apply.
//!
//! Capture writes what the source said, byte for byte, and makes it durable; apply reads [`TransactionPart`]s. How a log keeps
//! them is its own business. Implementations: the embedded log; Kafka later.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{change::TransactionPart, error::BoxedDiagnostic, position::Lsn, schema::TableSchema};

/// Result of a port's call.
pub type Result<T> = std::result::Result<T, BoxedDiagnostic>;

/// What order a log keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Transactions whole and in commit order.
    Total,
    /// Only the changes of one key are in order.
    PerKey,
}

/// What a log holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Commit LSN of the oldest transaction held, if any.
    pub first_position: Option<Lsn>,
    /// Commit LSN of the newest durable transaction, if there ever was one.
    pub last_position: Option<Lsn>,
    /// `end_lsn` of that transaction, or a later position up to which the source said that there is nothing: where
    /// replication goes on.
    pub flushed_lsn: Lsn,
    /// Size on disk, base and spools included, in bytes.
    pub bytes: u64,
    /// The bound on what of it waits for consumers, in bytes. The base doesn't count: no waiting makes it smaller.
    pub bytes_max: u64,
    /// Transactions that the source sent again and that were held already, since the log was opened.
    pub resent: u64,
}

/// Who speaks on a replication connection, and in which form: what is needed to decode its messages later.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceDescription {
    /// `systemid` of `IDENTIFY_SYSTEM`; 0 if not known.
    pub system_identifier: u64,
    /// `server_version_num`; 0 if not known.
    pub server_version: u32,
    /// pgoutput's `proto_version`; 0 if not known.
    pub protocol: u32,
    /// The other options given to pgoutput, and the session's pinned settings (`DateStyle`, `TimeZone`, …).
    pub options: Vec<(String, String)>,
}

/// A log of transactions, with named consumers.
pub trait EventLog: Send + Sync {
    /// The one writer. An error while another exists.
    fn writer(&self) -> Result<Box<dyn LogWriter>>;

    /// A reader of the durable transactions with `commit_lsn > after`; blocks in its own thread. An error if some of them
    /// are gone already (retention), naming the first one held.
    fn reader(&self, after: Lsn) -> Result<Box<dyn LogReader>>;

    /// States that the named consumer needs nothing at or before `through` any more. Retention is the minimum of all
    /// consumers; one is registered by its first call and kept across restarts.
    fn advance_consumer(&self, name: &str, through: Lsn) -> Result<()>;

    /// Forgets a consumer.
    fn drop_consumer(&self, name: &str) -> Result<()>;

    /// Drops what neither age nor size nor a consumer nor the base needs. Returns the bytes freed.
    fn retain(&self) -> Result<u64>;

    /// What it holds.
    fn stats(&self) -> LogStats;

    /// What order its readers see.
    fn order(&self) -> Order;
}

/// The writing end.
///
/// The caller hands over messages in the order received. A transaction that is not complete when the writer is dropped, reset or
/// killed is discarded: the source sends it again.
pub trait LogWriter: Send {
    /// States who speaks from here on. Call after every connection, before its first message; the log keeps it beside the
    /// messages. An error if the log holds another server's changes.
    fn describe_source(&mut self, _source: &SourceDescription) -> Result<()> {
        Ok(())
    }

    /// Appends one pgoutput message: the payload of an XLogData message behind its 25-byte head. `wal_start` is that head's
    /// first LSN. Not durable until [`LogWriter::sync`].
    fn append(&mut self, wal_start: Lsn, message: &[u8]) -> Result<()>;

    /// States a table's schema from here on. Must come after the relation message that announced the change
    /// and before the first row that needs it; or between transactions.
    fn schema(&mut self, schema: &TableSchema) -> Result<()>;

    /// The source said that there is nothing to send before `through`. Call only when no transaction is open.
    fn advance(&mut self, through: Lsn);

    /// Makes all complete transactions durable (one `fdatasync`) and visible to readers; nothing to do costs nothing.
    /// Returns the position that may be acknowledged to the source as flushed. After a failed sync the writer
    /// refuses everything: a second fsync could report success for pages that were lost.
    fn sync(&mut self) -> Result<Lsn>;

    /// Whether the log is at its bound: the caller stops reading from the source until it is not.
    fn is_full(&self) -> bool;

    /// Forgets the open transactions; the connection was lost and the source will send them again.
    fn reset(&mut self) -> Result<()>;
}

/// The reading end.
pub trait LogReader: Send {
    /// The next piece of a transaction, waiting up to `wait` for one. `None`: nothing came.
    fn next(&mut self, wait: Duration) -> Result<Option<TransactionPart>>;

    /// All transactions with `commit_lsn` before this position have been returned by [`LogReader::next`] already.
    fn complete_through(&self) -> Lsn;
}
