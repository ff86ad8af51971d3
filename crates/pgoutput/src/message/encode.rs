//! [`Message`] to bytes: what a server would have sent. For tests of every room, and for logs that write the stream anew.

use bytes::{BufMut, Bytes, BytesMut};
use millstream_core::{Lsn, OldTuple, ReplicaIdentity, Timestamp};

use super::{Commit, Message, Prepare, Relation};

impl Message {
    /// The message's bytes. Names hold no zero byte, as at the server.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(128);
        self.encode_into(&mut out);
        out.freeze()
    }

    /// Appends the message's bytes.
    pub fn encode_into(&self, out: &mut BytesMut) {
        match self {
            Message::Begin(begin) => {
                out.put_u8(b'B');
                lsn(out, begin.final_lsn);
                time(out, begin.commit_time);
                out.put_u32(begin.xid);
            }
            Message::Commit(value) => {
                out.put_u8(b'C');
                commit(out, value);
            }
            Message::Origin { commit_lsn, name } => {
                out.put_u8(b'O');
                lsn(out, *commit_lsn);
                string(out, name);
            }
            Message::Relation { xid, relation: value } => {
                tag_xid(out, b'R', *xid);
                relation(out, value);
            }
            Message::Type { xid, oid, schema, name } => {
                tag_xid(out, b'Y', *xid);
                out.put_u32(*oid);
                string(out, schema);
                string(out, name);
            }
            Message::Insert { xid, table, new } => {
                tag_xid(out, b'I', *xid);
                out.put_u32(table.0);
                out.put_u8(b'N');
                out.put_slice(new.as_bytes());
            }
            Message::Update { xid, table, old, new } => {
                tag_xid(out, b'U', *xid);
                out.put_u32(table.0);
                if let Some(old) = old {
                    old_tuple(out, old);
                }
                out.put_u8(b'N');
                out.put_slice(new.as_bytes());
            }
            Message::Delete { xid, table, old } => {
                tag_xid(out, b'D', *xid);
                out.put_u32(table.0);
                old_tuple(out, old);
            }
            Message::Truncate { xid, tables, cascade, restart_identity } => {
                tag_xid(out, b'T', *xid);
                out.put_u32(tables.len() as u32);
                out.put_u8(u8::from(*cascade) | u8::from(*restart_identity) << 1);
                for table in tables {
                    out.put_u32(table.0);
                }
            }
            Message::Message { xid, transactional, lsn: at, prefix, content } => {
                tag_xid(out, b'M', *xid);
                out.put_u8(u8::from(*transactional));
                lsn(out, *at);
                string(out, prefix);
                out.put_u32(content.len() as u32);
                out.put_slice(content);
            }
            Message::StreamStart(start) => {
                out.put_u8(b'S');
                out.put_u32(start.xid);
                out.put_u8(u8::from(start.first));
            }
            Message::StreamStop => out.put_u8(b'E'),
            Message::StreamCommit(value) => {
                out.put_u8(b'c');
                out.put_u32(value.xid);
                commit(out, &value.commit);
            }
            Message::StreamAbort(value) => {
                out.put_u8(b'A');
                out.put_u32(value.xid);
                out.put_u32(value.subxid);
                if let Some((at, when)) = value.abort {
                    lsn(out, at);
                    time(out, when);
                }
            }
            Message::BeginPrepare(value) => {
                out.put_u8(b'b');
                prepare(out, value);
            }
            Message::Prepare(value) => {
                out.put_slice(b"P\0");
                prepare(out, value);
            }
            Message::StreamPrepare(value) => {
                out.put_slice(b"p\0");
                prepare(out, value);
            }
            Message::CommitPrepared(value) => {
                out.put_u8(b'K');
                commit(out, &value.commit);
                out.put_u32(value.xid);
                string(out, &value.gid);
            }
            Message::RollbackPrepared(value) => {
                out.put_slice(b"r\0");
                lsn(out, value.prepare_end_lsn);
                lsn(out, value.rollback_end_lsn);
                time(out, value.prepare_time);
                time(out, value.rollback_time);
                out.put_u32(value.xid);
                string(out, &value.gid);
            }
        }
    }
}

fn tag_xid(out: &mut BytesMut, tag: u8, xid: Option<u32>) {
    out.put_u8(tag);
    if let Some(xid) = xid {
        out.put_u32(xid);
    }
}

fn lsn(out: &mut BytesMut, value: Lsn) {
    out.put_u64(value.0);
}

fn time(out: &mut BytesMut, value: Timestamp) {
    out.put_i64(value.0.saturating_sub(Timestamp::POSTGRES_EPOCH_MICROS));
}

fn string(out: &mut BytesMut, value: &str) {
    debug_assert!(!value.contains('\0'), "a zero byte would end the name early");
    out.put_slice(value.as_bytes());
    out.put_u8(0);
}

fn commit(out: &mut BytesMut, value: &Commit) {
    out.put_u8(0);
    lsn(out, value.commit_lsn);
    lsn(out, value.end_lsn);
    time(out, value.commit_time);
}

fn prepare(out: &mut BytesMut, value: &Prepare) {
    lsn(out, value.prepare_lsn);
    lsn(out, value.end_lsn);
    time(out, value.prepare_time);
    out.put_u32(value.xid);
    string(out, &value.gid);
}

fn old_tuple(out: &mut BytesMut, old: &OldTuple) {
    let (tag, tuple) = match old {
        OldTuple::Key(tuple) => (b'K', tuple),
        OldTuple::Full(tuple) => (b'O', tuple),
    };
    out.put_u8(tag);
    out.put_slice(tuple.as_bytes());
}

fn relation(out: &mut BytesMut, value: &Relation) {
    out.put_u32(value.id.0);
    string(out, if value.name.schema == "pg_catalog" { "" } else { &value.name.schema });
    string(out, &value.name.name);
    out.put_u8(match value.replica_identity {
        ReplicaIdentity::Default => b'd',
        ReplicaIdentity::Index => b'i',
        ReplicaIdentity::Full => b'f',
        ReplicaIdentity::Nothing => b'n',
    });
    out.put_u16(value.columns.len() as u16);
    for column in &value.columns {
        out.put_u8(u8::from(column.key));
        string(out, &column.name);
        out.put_u32(column.type_oid);
        out.put_i32(column.type_modifier);
    }
}
