//! Changes and transactions as the log hands them to apply.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    position::{Lsn, Position},
    schema::TableSchema,
    time::Timestamp,
    tuple::Tuple,
};

/// What is known of a transaction before its first change is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionHeader {
    /// Top-level transaction id (32 bits, without epoch, as the protocol sends it).
    pub xid: u32,
    /// LSN of the commit record.
    pub commit_lsn: Lsn,
    /// LSN behind the commit record: what is acknowledged to the source once durable.
    pub end_lsn: Lsn,
    /// The source's commit time. Not monotonic in commit order.
    pub commit_time: Timestamp,
}

/// What an update or delete says of the row's previous version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OldTuple {
    /// Only the replica identity's columns are meant; the others are sent as NULL.
    Key(Tuple),
    /// The whole row ([`crate::ReplicaIdentity::Full`]).
    Full(Tuple),
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeKind {
    /// A new row.
    Insert {
        /// The table, as it was at this change.
        table: Arc<TableSchema>,
        /// The row.
        new: Tuple,
    },
    /// A changed row.
    Update {
        /// The table, as it was at this change.
        table: Arc<TableSchema>,
        /// Sent when the key changed, or always under [`crate::ReplicaIdentity::Full`].
        old: Option<OldTuple>,
        /// The row; values may be [`crate::Value::Unchanged`].
        new: Tuple,
    },
    /// A deleted row.
    Delete {
        /// The table, as it was at this change.
        table: Arc<TableSchema>,
        /// Which row.
        old: OldTuple,
    },
    /// Tables emptied by one statement.
    Truncate {
        /// The tables, in the statement's order.
        tables: Vec<Arc<TableSchema>>,
        /// `CASCADE` was given.
        cascade: bool,
        /// `RESTART IDENTITY` was given.
        restart_identity: bool,
    },
    /// From here on the table looks like this. Comes before the first row that needs it; may come alone.
    Schema {
        /// The table as it is from here on.
        table: Arc<TableSchema>,
    },
    /// A logical decoding message (`pg_logical_emit_message`).
    Message {
        /// Its prefix.
        prefix: String,
        /// Its content.
        content: Bytes,
    },
}

/// One change of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Ordinal among the transaction's inserts, updates, deletes and truncates, from 0. A schema change or message carries that of
    /// the change that follows it.
    pub ordinal: u64,
    /// The event's own LSN: for people and Debezium's envelope, never for order.
    pub lsn: Lsn,
    /// What happened.
    pub kind: ChangeKind,
}

/// A transaction, or a piece of one too large to be held whole.
///
/// Pieces of one transaction come one behind another, with nothing between.
#[derive(Debug, Clone)]
pub struct TransactionPart {
    /// The transaction.
    pub header: Arc<TransactionHeader>,
    /// Whether this is its first piece.
    pub first: bool,
    /// Whether this is its last piece. A small transaction's only piece is first and last.
    pub last: bool,
    /// The changes, in order.
    pub changes: Vec<Change>,
    /// What the piece occupies in memory, roughly, in bytes.
    pub bytes: usize,
}

impl TransactionPart {
    /// The position of a change of this transaction.
    pub fn position(&self, change: &Change) -> Position {
        Position { commit_lsn: self.header.commit_lsn, ordinal: change.ordinal }
    }
}
