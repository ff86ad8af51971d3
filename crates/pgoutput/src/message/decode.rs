//! Bytes to [`Message`].

use bytes::{Buf, Bytes};
use millstream_core::{OldTuple, ReplicaIdentity, TableId, TableName};

use super::{
    cursor::{Cursor, Result},
    Begin, Commit, CommitPrepared, Message, Prepare, Relation, RelationColumn, RollbackPrepared, StreamAbort,
    StreamCommit, StreamStart,
};

impl Message {
    /// Decodes one message. `in_stream`: it stands between a stream start and its stop.
    ///
    /// Rows and contents share `bytes`. Everything is checked, bytes left over included.
    pub fn decode(bytes: Bytes, in_stream: bool) -> Result<Self> {
        let (tag, mut cursor) = Cursor::new(bytes)?;
        let cursor = &mut cursor;
        let message = match tag {
            b'I' => {
                let (xid, table) = (cursor.xid(in_stream)?, table(cursor)?);
                match cursor.u8("no tuple")? {
                    b'N' => Message::Insert { xid, table, new: cursor.tuple()? },
                    _ => return Err(cursor.error("an insert's tuple is not a new one")),
                }
            }
            b'U' => update(cursor, in_stream)?,
            b'D' => {
                let (xid, table) = (cursor.xid(in_stream)?, table(cursor)?);
                let old = match cursor.u8("no tuple")? {
                    b'K' => OldTuple::Key(cursor.tuple()?),
                    b'O' => OldTuple::Full(cursor.tuple()?),
                    _ => return Err(cursor.error("a delete's tuple is neither key nor old row")),
                };
                Message::Delete { xid, table, old }
            }
            b'B' => Message::Begin(begin(cursor)?),
            b'C' => Message::Commit(commit(cursor)?),
            b'O' => Message::Origin { commit_lsn: cursor.lsn("no LSN")?, name: cursor.string("no name")? },
            b'R' => Message::Relation { xid: cursor.xid(in_stream)?, relation: relation(cursor)? },
            b'Y' => Message::Type {
                xid: cursor.xid(in_stream)?,
                oid: cursor.u32("no OID")?,
                schema: cursor.string("no schema")?,
                name: cursor.string("no name")?,
            },
            b'T' => truncate(cursor, in_stream)?,
            b'M' => {
                let xid = cursor.xid(in_stream)?;
                let transactional = cursor.u8("no flags")? & 1 != 0;
                let lsn = cursor.lsn("no LSN")?;
                let prefix = cursor.string("no prefix")?;
                let length = cursor.u32("no length")? as usize;
                let content = cursor.bytes(length, "content is cut short")?;
                Message::Message { xid, transactional, lsn, prefix, content }
            }
            b'S' => Message::StreamStart(stream_start(cursor)?),
            b'E' => Message::StreamStop,
            b'c' => Message::StreamCommit(stream_commit(cursor)?),
            b'A' => Message::StreamAbort(stream_abort(cursor)?),
            b'b' => Message::BeginPrepare(prepare(cursor)?),
            b'P' => {
                flags(cursor)?;
                Message::Prepare(prepare(cursor)?)
            }
            b'p' => {
                flags(cursor)?;
                Message::StreamPrepare(prepare(cursor)?)
            }
            b'K' => Message::CommitPrepared(CommitPrepared {
                commit: commit(cursor)?,
                xid: cursor.u32("no transaction id")?,
                gid: cursor.string("no global id")?,
            }),
            b'r' => {
                flags(cursor)?;
                Message::RollbackPrepared(RollbackPrepared {
                    prepare_end_lsn: cursor.lsn("no prepare LSN")?,
                    rollback_end_lsn: cursor.lsn("no rollback LSN")?,
                    prepare_time: cursor.time("no prepare time")?,
                    rollback_time: cursor.time("no rollback time")?,
                    xid: cursor.u32("no transaction id")?,
                    gid: cursor.string("no global id")?,
                })
            }
            _ => return Err(cursor.error("unknown kind of message")),
        };
        cursor.end()?;
        Ok(message)
    }
}

/// A byte that the protocol keeps for later and sends as zero; its meaning, should it get one, can't be guessed.
fn flags<B: Buf>(cursor: &mut Cursor<B>) -> Result<()> {
    match cursor.u8("no flags")? {
        0 => Ok(()),
        _ => Err(cursor.error("unknown flags")),
    }
}

fn table(cursor: &mut Cursor<Bytes>) -> Result<TableId> {
    cursor.u32("no relation").map(TableId)
}

pub(super) fn begin<B: Buf>(cursor: &mut Cursor<B>) -> Result<Begin> {
    Ok(Begin {
        final_lsn: cursor.lsn("no final LSN")?,
        commit_time: cursor.time("no commit time")?,
        xid: cursor.u32("no transaction id")?,
    })
}

pub(super) fn commit<B: Buf>(cursor: &mut Cursor<B>) -> Result<Commit> {
    flags(cursor)?;
    Ok(Commit {
        commit_lsn: cursor.lsn("no commit LSN")?,
        end_lsn: cursor.lsn("no end LSN")?,
        commit_time: cursor.time("no commit time")?,
    })
}

pub(super) fn stream_start<B: Buf>(cursor: &mut Cursor<B>) -> Result<StreamStart> {
    let xid = cursor.u32("no transaction id")?;
    match cursor.u8("no first-block mark")? {
        first @ (0 | 1) => Ok(StreamStart { xid, first: first == 1 }),
        _ => Err(cursor.error("first-block mark is neither 0 nor 1")),
    }
}

pub(super) fn stream_commit<B: Buf>(cursor: &mut Cursor<B>) -> Result<StreamCommit> {
    Ok(StreamCommit { xid: cursor.u32("no transaction id")?, commit: commit(cursor)? })
}

pub(super) fn stream_abort<B: Buf>(cursor: &mut Cursor<B>) -> Result<StreamAbort> {
    let xid = cursor.u32("no transaction id")?;
    let subxid = cursor.u32("no subtransaction id")?;
    // The longer form has no mark of its own.
    let abort = if cursor.is_at_end() {
        None
    } else {
        Some((cursor.lsn("no abort LSN")?, cursor.time("no abort time")?))
    };
    Ok(StreamAbort { xid, subxid, abort })
}

fn prepare(cursor: &mut Cursor<Bytes>) -> Result<Prepare> {
    Ok(Prepare {
        prepare_lsn: cursor.lsn("no prepare LSN")?,
        end_lsn: cursor.lsn("no end LSN")?,
        prepare_time: cursor.time("no prepare time")?,
        xid: cursor.u32("no transaction id")?,
        gid: cursor.string("no global id")?,
    })
}

fn relation(cursor: &mut Cursor<Bytes>) -> Result<Relation> {
    let id = table(cursor)?;
    let mut schema = cursor.string("no schema")?;
    if schema.is_empty() {
        schema.push_str("pg_catalog");
    }
    let name = TableName { schema, name: cursor.string("no name")? };
    let replica_identity = match cursor.u8("no replica identity")? {
        b'd' => ReplicaIdentity::Default,
        b'i' => ReplicaIdentity::Index,
        b'f' => ReplicaIdentity::Full,
        b'n' => ReplicaIdentity::Nothing,
        _ => return Err(cursor.error("unknown replica identity")),
    };
    let count = cursor.u16("no column count")?;
    // No capacity from the count: it is not trusted until its columns are there.
    let mut columns = Vec::new();
    for _ in 0..count {
        columns.push(RelationColumn {
            key: cursor.u8("no column flags")? & 1 != 0,
            name: cursor.string("no column name")?,
            type_oid: cursor.u32("no column type")?,
            type_modifier: cursor.u32("no type modifier")? as i32,
        });
    }
    Ok(Relation { id, name, replica_identity, columns })
}

fn update(cursor: &mut Cursor<Bytes>, in_stream: bool) -> Result<Message> {
    let (xid, table) = (cursor.xid(in_stream)?, table(cursor)?);
    let old = match cursor.u8("no tuple")? {
        b'N' => None,
        kind @ (b'K' | b'O') => {
            let tuple = cursor.tuple()?;
            if cursor.u8("no new tuple")? != b'N' {
                return Err(cursor.error("an update's last tuple is not the new one"));
            }
            Some(if kind == b'K' { OldTuple::Key(tuple) } else { OldTuple::Full(tuple) })
        }
        _ => return Err(cursor.error("unknown kind of tuple")),
    };
    Ok(Message::Update { xid, table, old, new: cursor.tuple()? })
}

fn truncate(cursor: &mut Cursor<Bytes>, in_stream: bool) -> Result<Message> {
    let xid = cursor.xid(in_stream)?;
    let count = cursor.u32("no table count")?;
    let options = cursor.u8("no options")?;
    if options & !3 != 0 {
        return Err(cursor.error("unknown options of truncate"));
    }
    let mut tables = Vec::new();
    for _ in 0..count {
        tables.push(table(cursor)?);
    }
    Ok(Message::Truncate { xid, tables, cascade: options & 1 != 0, restart_identity: options & 2 != 0 })
}
