//! pgoutput's messages: what a walsender puts into XLogData behind its 25-byte head.
//!
//! Source of every layout here: PostgreSQL documentation, "Logical Replication Message Formats". Protocols 1 (ordinary
//! transactions) and 2 (streamed transactions) are what Millstream asks for; the two-phase messages of protocol 3 and the
//! longer stream abort of protocol 4 are decoded as well, so that meeting one is an event and not garbage.
//!
//! Decoding is in two depths. [`peek`] reads only what routes a message: which kind, which transaction, which relation, and the
//! positions that a begin or commit carries. Capture and the log's writer live on it. [`Message::decode`] reads everything;
//! tuples share the message's bytes.
//!
//! Whether a message stands in a streamed block ([`StreamStart`] to `StreamStop`) is not written in it, and yet shifts its fields by a
//! transaction id: the caller says so.

mod cursor;
mod decode;
mod encode;
mod peek;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use millstream_core::{Diagnostic, Lsn, OldTuple, ReplicaIdentity, TableId, TableName, Timestamp, Tuple};

pub use peek::{peek, Head, RowKind};

/// Bytes that are not the message they claim to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("malformed replication message {}: {what} at byte {offset}", printable(*.tag))]
pub struct DecodeError {
    /// The message's first byte; `None` where there was none.
    pub tag: Option<u8>,
    /// What was wrong.
    pub what: &'static str,
    /// Where in the message.
    pub offset: usize,
}

fn printable(tag: Option<u8>) -> String {
    match tag {
        Some(tag) if tag.is_ascii_graphic() => format!("`{}`", char::from(tag)),
        Some(tag) => format!("0x{tag:02x}"),
        None => "(empty)".to_owned(),
    }
}

impl Diagnostic for DecodeError {
    fn code(&self) -> &'static str {
        "MS2801"
    }

    fn hint(&self) -> Option<String> {
        Some(
            "the server speaks a newer protocol, or something between changed the bytes; check the server's version against \
             the supported ones"
                .to_owned(),
        )
    }
}

/// A transaction begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begin {
    /// LSN of the commit record: known already, since a transaction is sent when it has committed.
    pub final_lsn: Lsn,
    /// When it committed.
    pub commit_time: Timestamp,
    /// Its id.
    pub xid: u32,
}

/// A transaction has been sent whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit {
    /// LSN of the commit record.
    pub commit_lsn: Lsn,
    /// LSN behind it.
    pub end_lsn: Lsn,
    /// When it committed.
    pub commit_time: Timestamp,
}

/// A block of a streamed transaction begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamStart {
    /// The top-level transaction's id.
    pub xid: u32,
    /// Whether this is the transaction's first block.
    pub first: bool,
}

/// A streamed transaction committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamCommit {
    /// The top-level transaction's id.
    pub xid: u32,
    /// Its commit.
    pub commit: Commit,
}

/// A streamed transaction, or a subtransaction of one, was rolled back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamAbort {
    /// The top-level transaction's id.
    pub xid: u32,
    /// The subtransaction's; equal to `xid` when the whole transaction was rolled back.
    pub subxid: u32,
    /// LSN and time of the abort: protocol 4 with `streaming = parallel`.
    pub abort: Option<(Lsn, Timestamp)>,
}

/// A transaction was prepared, or its prepare's first half: the fields that `BeginPrepare`, `Prepare` and `StreamPrepare` share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepare {
    /// LSN of the prepare record.
    pub prepare_lsn: Lsn,
    /// LSN behind it.
    pub end_lsn: Lsn,
    /// When it was prepared.
    pub prepare_time: Timestamp,
    /// The transaction's id.
    pub xid: u32,
    /// The global id that the application gave it.
    pub gid: String,
}

/// A prepared transaction committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitPrepared {
    /// Its commit.
    pub commit: Commit,
    /// The transaction's id.
    pub xid: u32,
    /// Its global id.
    pub gid: String,
}

/// A prepared transaction was rolled back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollbackPrepared {
    /// LSN behind the prepare record.
    pub prepare_end_lsn: Lsn,
    /// LSN behind the rollback record.
    pub rollback_end_lsn: Lsn,
    /// When it was prepared.
    pub prepare_time: Timestamp,
    /// When it was rolled back.
    pub rollback_time: Timestamp,
    /// The transaction's id.
    pub xid: u32,
    /// Its global id.
    pub gid: String,
}

/// A column of a [`Relation`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelationColumn {
    /// Whether it is part of the replica identity (every column under `FULL`).
    pub key: bool,
    /// Its name.
    pub name: String,
    /// `pg_attribute.atttypid`.
    pub type_oid: u32,
    /// `pg_attribute.atttypmod`, -1 for none.
    pub type_modifier: i32,
}

/// A table as the rows behind this message are laid out. It tells no attribute numbers: a dropped and re-added column of the
/// same name and type looks the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// OID.
    pub id: TableId,
    /// Name; the schema `pg_catalog` is sent as an empty one and put back here.
    pub name: TableName,
    /// Replica identity.
    pub replica_identity: ReplicaIdentity,
    /// Published columns, generated ones left out.
    pub columns: Vec<RelationColumn>,
}

/// A message. `xid` is set exactly in streamed blocks: the (sub)transaction that made the change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// `B`
    Begin(Begin),
    /// `C`
    Commit(Commit),
    /// `O`: the transaction came from another server.
    Origin {
        /// Commit LSN on that server.
        commit_lsn: Lsn,
        /// Name of the origin.
        name: String,
    },
    /// `R`
    Relation {
        /// In a streamed block.
        xid: Option<u32>,
        /// The table.
        relation: Relation,
    },
    /// `Y`: a type that is not built in, before the relation that uses it.
    Type {
        /// In a streamed block.
        xid: Option<u32>,
        /// Its OID.
        oid: u32,
        /// Its schema; empty for `pg_catalog`.
        schema: String,
        /// Its name.
        name: String,
    },
    /// `I`
    Insert {
        /// In a streamed block.
        xid: Option<u32>,
        /// The table.
        table: TableId,
        /// The row.
        new: Tuple,
    },
    /// `U`
    Update {
        /// In a streamed block.
        xid: Option<u32>,
        /// The table.
        table: TableId,
        /// The previous version: its key if that changed, all of it under `REPLICA IDENTITY FULL`.
        old: Option<OldTuple>,
        /// The row.
        new: Tuple,
    },
    /// `D`
    Delete {
        /// In a streamed block.
        xid: Option<u32>,
        /// The table.
        table: TableId,
        /// Which row.
        old: OldTuple,
    },
    /// `T`
    Truncate {
        /// In a streamed block.
        xid: Option<u32>,
        /// The tables.
        tables: Vec<TableId>,
        /// `CASCADE` was given.
        cascade: bool,
        /// `RESTART IDENTITY` was given.
        restart_identity: bool,
    },
    /// `M`: a logical decoding message.
    Message {
        /// In a streamed block.
        xid: Option<u32>,
        /// Whether it belongs to the transaction; otherwise it stands alone, outside of any.
        transactional: bool,
        /// Its own LSN.
        lsn: Lsn,
        /// Its prefix.
        prefix: String,
        /// Its content.
        content: Bytes,
    },
    /// `S`
    StreamStart(StreamStart),
    /// `E`
    StreamStop,
    /// `c`
    StreamCommit(StreamCommit),
    /// `A`
    StreamAbort(StreamAbort),
    /// `b`
    BeginPrepare(Prepare),
    /// `P`
    Prepare(Prepare),
    /// `K`
    CommitPrepared(CommitPrepared),
    /// `r`
    RollbackPrepared(RollbackPrepared),
    /// `p`
    StreamPrepare(Prepare),
}
