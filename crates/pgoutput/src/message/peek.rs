//! What routes a message, at a cost that doesn't grow with its rows.

use millstream_core::TableId;

use super::{
    cursor::{Cursor, Result},
    decode, Begin, Commit, StreamAbort, StreamCommit, StreamStart,
};

/// What a row message does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowKind {
    /// `I`
    Insert,
    /// `U`
    Update,
    /// `D`
    Delete,
}

/// A message's kind with what decides where it goes. `xid` is set exactly in streamed blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// A transaction begins.
    Begin(Begin),
    /// A transaction has been sent whole.
    Commit(Commit),
    /// The transaction came from another server.
    Origin,
    /// A table's columns.
    Relation {
        /// In a streamed block.
        xid: Option<u32>,
        /// The table.
        table: TableId,
    },
    /// A type that is not built in.
    Type {
        /// In a streamed block.
        xid: Option<u32>,
    },
    /// An insert, update or delete. The tuples behind are not checked.
    Row {
        /// Which.
        kind: RowKind,
        /// In a streamed block.
        xid: Option<u32>,
        /// The table.
        table: TableId,
    },
    /// A truncate.
    Truncate {
        /// In a streamed block.
        xid: Option<u32>,
    },
    /// A logical decoding message.
    Message {
        /// In a streamed block.
        xid: Option<u32>,
        /// Whether it belongs to the transaction.
        transactional: bool,
    },
    /// A block of a streamed transaction begins.
    StreamStart(StreamStart),
    /// It ends.
    StreamStop,
    /// A streamed transaction committed.
    StreamCommit(StreamCommit),
    /// A streamed transaction or subtransaction was rolled back.
    StreamAbort(StreamAbort),
    /// A message of two-phase commit (protocol 3), which Millstream does not ask for.
    TwoPhase {
        /// Its first byte.
        tag: u8,
    },
}

/// Reads the head of a message.
#[inline]
pub fn peek(message: &[u8], in_stream: bool) -> Result<Head> {
    let (tag, mut cursor) = Cursor::new(message)?;
    let row = |kind, cursor: &mut Cursor<&[u8]>| {
        Ok(Head::Row { kind, xid: cursor.xid(in_stream)?, table: TableId(cursor.u32("no relation")?) })
    };
    Ok(match tag {
        b'I' => return row(RowKind::Insert, &mut cursor),
        b'U' => return row(RowKind::Update, &mut cursor),
        b'D' => return row(RowKind::Delete, &mut cursor),
        b'B' => Head::Begin(decode::begin(&mut cursor)?),
        b'C' => Head::Commit(decode::commit(&mut cursor)?),
        b'O' => Head::Origin,
        b'R' => Head::Relation { xid: cursor.xid(in_stream)?, table: TableId(cursor.u32("no relation")?) },
        b'Y' => Head::Type { xid: cursor.xid(in_stream)? },
        b'T' => Head::Truncate { xid: cursor.xid(in_stream)? },
        b'M' => Head::Message { xid: cursor.xid(in_stream)?, transactional: cursor.u8("no flags")? & 1 != 0 },
        b'S' => Head::StreamStart(decode::stream_start(&mut cursor)?),
        b'E' => {
            cursor.end()?;
            Head::StreamStop
        }
        b'c' => Head::StreamCommit(decode::stream_commit(&mut cursor)?),
        b'A' => Head::StreamAbort(decode::stream_abort(&mut cursor)?),
        b'b' | b'P' | b'K' | b'r' | b'p' => Head::TwoPhase { tag },
        _ => return Err(cursor.error("unknown kind of message")),
    })
}
