//! What stands in the frames of segments and spools.
//!
//! ```text
//! Head         JSON of SegmentHead
//! Schema       u8 1 if it was stated here, 0 if it is carried over from before the segment
//!              u32 OID; u32 length, the relation message as PostgreSQL sent it (without a streamed block's xid; empty if none came)
//!              JSON of the TableSchema (empty if none was stated)
//! Transaction  transaction head (below), entries
//! Spooled      transaction head, u64 bytes of the spool, u32 count and ids of the aborted subtransactions,
//!              then what the transaction changed of the catalogue, per table: u32 length, payload of a Schema frame
//! Advance      u64 position
//! Message      u64 event LSN, message
//! Entries      u64 LSN from which the first entry's is counted, entries
//!
//! transaction head
//!              u32 xid   u64 commit_lsn   u64 end_lsn   i64 commit time, microseconds since 1970
//!              u64 LSN from which the first entry's is counted   u64 number of entries   u8 flags
//! entry        varint  event LSN minus the entry before's, zigzag
//!              varint  length
//!              message as PostgreSQL sent it; or one of ours, which begins with a zero byte that no message has:
//!              u8 0, in streamed transactions u32 xid, JSON of the TableSchema that holds from here on
//! ```

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use millstream_core::{log::SourceDescription, Lsn, TableId, TableSchema, Timestamp, TransactionHeader};
use serde::{Deserialize, Serialize};

use crate::frame::{put_varint, take_varint, unzigzag, zigzag};

/// What every segment begins with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SegmentHead {
    /// Who speaks in it.
    pub(crate) source: SourceDescription,
    /// The segment before it, and how long that is.
    pub(crate) previous: Option<Previous>,
    /// The newest transaction before it.
    pub(crate) last_position: Option<Lsn>,
    /// What was known to be complete before it.
    pub(crate) flushed_lsn: Lsn,
}

/// A finished segment, as the next one remembers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Previous {
    pub(crate) name: Lsn,
    pub(crate) bytes: u64,
}

/// Entries of the transaction change the catalogue.
pub(crate) const HAS_CATALOGUE: u8 = 1;
/// Its messages carry transaction ids: it was streamed.
pub(crate) const IS_STREAMED: u8 = 2;

/// Bytes of a transaction head.
pub(crate) const TRANSACTION_HEAD_BYTES: usize = 45;

/// What stands before a transaction's entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TransactionHead {
    pub(crate) header: TransactionHeader,
    pub(crate) first_lsn: Lsn,
    pub(crate) entries: u64,
    pub(crate) flags: u8,
}

impl TransactionHead {
    pub(crate) fn encode(&self) -> [u8; TRANSACTION_HEAD_BYTES] {
        let mut bytes = [0; TRANSACTION_HEAD_BYTES];
        let TransactionHeader { xid, commit_lsn, end_lsn, commit_time } = self.header;
        bytes[..4].copy_from_slice(&xid.to_le_bytes());
        bytes[4..12].copy_from_slice(&commit_lsn.0.to_le_bytes());
        bytes[12..20].copy_from_slice(&end_lsn.0.to_le_bytes());
        bytes[20..28].copy_from_slice(&commit_time.0.to_le_bytes());
        bytes[28..36].copy_from_slice(&self.first_lsn.0.to_le_bytes());
        bytes[36..44].copy_from_slice(&self.entries.to_le_bytes());
        bytes[44] = self.flags;
        bytes
    }

    /// Takes a head off the front of `bytes`.
    pub(crate) fn take(bytes: &mut &[u8]) -> Option<Self> {
        let header = TransactionHeader {
            xid: take_u32(bytes)?,
            commit_lsn: Lsn(take_u64(bytes)?),
            end_lsn: Lsn(take_u64(bytes)?),
            commit_time: Timestamp(take_u64(bytes)?.cast_signed()),
        };
        let (first_lsn, entries) = (Lsn(take_u64(bytes)?), take_u64(bytes)?);
        let (&flags, rest) = bytes.split_first()?;
        *bytes = rest;
        Some(TransactionHead { header, first_lsn, entries, flags })
    }

    pub(crate) fn has_catalogue(&self) -> bool {
        self.flags & HAS_CATALOGUE != 0
    }

    pub(crate) fn is_streamed(&self) -> bool {
        self.flags & IS_STREAMED != 0
    }
}

/// A transaction whose entries stand in a spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spooled {
    pub(crate) head: TransactionHead,
    pub(crate) bytes: u64,
    /// Ascending.
    pub(crate) aborted: Vec<u32>,
    pub(crate) catalogue: Vec<Relation>,
}

impl Spooled {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut payload = self.head.encode().to_vec();
        payload.extend_from_slice(&self.bytes.to_le_bytes());
        payload.extend_from_slice(&(self.aborted.len() as u32).to_le_bytes());
        for xid in &self.aborted {
            payload.extend_from_slice(&xid.to_le_bytes());
        }
        for relation in &self.catalogue {
            let encoded = relation.encode(true);
            payload.extend_from_slice(&(encoded.len() as u32).to_le_bytes());
            payload.extend_from_slice(&encoded);
        }
        payload
    }

    pub(crate) fn decode(mut payload: &[u8]) -> Option<Self> {
        let bytes = &mut payload;
        let head = TransactionHead::take(bytes)?;
        let length = take_u64(bytes)?;
        let count = take_u32(bytes)?;
        // No capacity from the count: it is believed as far as ids follow.
        let mut aborted = Vec::new();
        for _ in 0..count {
            aborted.push(take_u32(bytes)?);
        }
        let mut catalogue = Vec::new();
        while !bytes.is_empty() {
            let length = take_u32(bytes)? as usize;
            let (relation, rest) = bytes.split_at_checked(length)?;
            *bytes = rest;
            catalogue.push(Relation::decode(relation)?.0);
        }
        Some(Spooled { head, bytes: length, aborted, catalogue })
    }
}

/// What is known of a relation: what PostgreSQL said of it, and what our own catalogue lookup found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Relation {
    pub(crate) id: TableId,
    pub(crate) message: Bytes,
    pub(crate) schema: Option<Arc<TableSchema>>,
}

impl Relation {
    pub(crate) fn encode(&self, stated_here: bool) -> Vec<u8> {
        let mut payload = vec![u8::from(stated_here)];
        payload.extend_from_slice(&self.id.0.to_le_bytes());
        payload.extend_from_slice(&(self.message.len() as u32).to_le_bytes());
        payload.extend_from_slice(&self.message);
        if let Some(schema) = &self.schema {
            payload.extend_from_slice(&schema_json(schema));
        }
        payload
    }

    /// The relation, and whether it was stated at this place.
    pub(crate) fn decode(mut payload: &[u8]) -> Option<(Self, bool)> {
        let bytes = &mut payload;
        let (&stated_here, rest) = bytes.split_first()?;
        *bytes = rest;
        let id = TableId(take_u32(bytes)?);
        let length = take_u32(bytes)? as usize;
        let (message, json) = bytes.split_at_checked(length)?;
        let schema = match json {
            [] => None,
            json => Some(Arc::new(serde_json::from_slice(json).ok()?)),
        };
        Some((Relation { id, message: Bytes::copy_from_slice(message), schema }, stated_here != 0))
    }
}

/// A schema's JSON.
pub(crate) fn schema_json(schema: &TableSchema) -> Vec<u8> {
    #[allow(clippy::expect_used)]
    // Strings, numbers and lists with string keys: nothing in it that JSON refuses.
    serde_json::to_vec(schema).expect("a schema always has a JSON form")
}

/// What one entry states about the catalogue.
#[derive(Debug, Clone)]
pub(crate) enum Statement {
    /// PostgreSQL's relation message, without a streamed block's xid.
    Message(TableId, Bytes),
    /// Our own lookup.
    Schema(Arc<TableSchema>),
}

impl Statement {
    pub(crate) fn table(&self) -> TableId {
        match self {
            Statement::Message(table, _) => *table,
            Statement::Schema(schema) => schema.id,
        }
    }
}

/// What is known of all relations at some place.
#[derive(Debug, Clone, Default)]
pub(crate) struct Catalogue {
    relations: BTreeMap<TableId, Relation>,
}

impl Catalogue {
    pub(crate) fn relations(&self) -> impl Iterator<Item = &Relation> {
        self.relations.values()
    }

    pub(crate) fn get(&self, table: TableId) -> Option<&Relation> {
        self.relations.get(&table)
    }

    pub(crate) fn schema(&self, table: TableId) -> Option<&Arc<TableSchema>> {
        self.relations.get(&table)?.schema.as_ref()
    }

    /// Takes a statement in; whether it said something new.
    pub(crate) fn state(&mut self, statement: &Statement) -> bool {
        let id = statement.table();
        let relation =
            self.relations.entry(id).or_insert_with(|| Relation { id, message: Bytes::new(), schema: None });
        match statement {
            Statement::Message(_, message) if relation.message == *message => return false,
            Statement::Message(_, message) => relation.message = message.clone(),
            Statement::Schema(schema) if relation.schema.as_ref() == Some(schema) => return false,
            Statement::Schema(schema) => relation.schema = Some(Arc::clone(schema)),
        }
        true
    }

    /// Replaces what is known of a relation.
    pub(crate) fn insert(&mut self, relation: Relation) {
        self.relations.insert(relation.id, relation);
    }
}

/// Appends an entry.
#[inline]
pub(crate) fn put_entry(buffer: &mut Vec<u8>, lsn_before: Lsn, lsn: Lsn, message: &[u8]) {
    put_entry_head(buffer, lsn_before, lsn, message.len());
    buffer.extend_from_slice(message);
}

fn put_entry_head(buffer: &mut Vec<u8>, lsn_before: Lsn, lsn: Lsn, length: usize) {
    put_varint(buffer, zigzag(lsn.0.wrapping_sub(lsn_before.0).cast_signed()));
    put_varint(buffer, length as u64);
}

/// Appends an entry that states a schema.
pub(crate) fn put_schema_entry(buffer: &mut Vec<u8>, lsn: Lsn, xid: Option<u32>, schema: &TableSchema) {
    let json = schema_json(schema);
    let xid = xid.map(u32::to_le_bytes);
    let xid = xid.as_ref().map_or(&[][..], |xid| &xid[..]);
    put_entry_head(buffer, lsn, lsn, 1 + xid.len() + json.len());
    buffer.push(0);
    buffer.extend_from_slice(xid);
    buffer.extend_from_slice(&json);
}

/// Takes an entry off the front of `bytes`: its LSN and its message's place in `bytes`. `None`: malformed.
#[inline]
pub(crate) fn take_entry<'a>(bytes: &mut &'a [u8], lsn: &mut Lsn) -> Option<&'a [u8]> {
    let delta = unzigzag(take_varint(bytes)?);
    let length = usize::try_from(take_varint(bytes)?).ok()?;
    let (message, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    *lsn = Lsn(lsn.0.wrapping_add(delta.cast_unsigned()));
    Some(message)
}

/// What an entry states about the catalogue, if it does, and the (sub)transaction that states it. `Err`: malformed.
pub(crate) fn statement_of(
    message: &[u8],
    is_streamed: bool,
) -> Result<Option<(Option<u32>, Statement)>, String> {
    match message.first() {
        Some(0) => {
            let mut rest = &message[1..];
            let xid = if is_streamed { Some(take_u32(&mut rest).ok_or("no xid")?) } else { None };
            let schema = serde_json::from_slice(rest).map_err(|error| error.to_string())?;
            Ok(Some((xid, Statement::Schema(Arc::new(schema)))))
        }
        Some(b'R') => relation_statement(message, is_streamed).map(Some),
        _ => Ok(None),
    }
}

/// The statement that a relation message is.
pub(crate) fn relation_statement(
    message: &[u8],
    is_streamed: bool,
) -> Result<(Option<u32>, Statement), String> {
    match millstream_pgoutput::peek(message, is_streamed) {
        Ok(millstream_pgoutput::Head::Relation { xid, table }) => {
            let mut plain = vec![b'R'];
            plain.extend_from_slice(&message[if is_streamed { 5 } else { 1 }..]);
            Ok((xid, Statement::Message(table, plain.into())))
        }
        Ok(_) => Err("not a relation message".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

pub(crate) fn take_u32(bytes: &mut &[u8]) -> Option<u32> {
    let (value, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u32::from_le_bytes(*value))
}

pub(crate) fn take_u64(bytes: &mut &[u8]) -> Option<u64> {
    let (value, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u64::from_le_bytes(*value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> TransactionHead {
        let header =
            TransactionHeader { xid: 7, commit_lsn: Lsn(100), end_lsn: Lsn(140), commit_time: Timestamp(-3) };
        TransactionHead { header, first_lsn: Lsn(50), entries: 3, flags: IS_STREAMED }
    }

    #[test]
    fn a_spooled_transaction_reads_back_and_no_cut_of_it_does() {
        let relation = Relation { id: TableId(4), message: Bytes::from_static(b"R..."), schema: None };
        let spooled =
            Spooled { head: head(), bytes: 1 << 40, aborted: vec![8, 9], catalogue: vec![relation] };
        let payload = spooled.encode();
        assert_eq!(Spooled::decode(&payload), Some(spooled.clone()));
        for end in 0..payload.len() {
            // A cut right behind the ids is the same transaction without a catalogue: the frame's length is what rules it out.
            let cut = Spooled::decode(&payload[..end]);
            assert!(cut.is_none_or(|cut| cut.catalogue.is_empty()), "cut at {end}");
        }
    }

    #[test]
    fn entries_keep_their_lsn_in_either_direction() {
        let mut buffer = Vec::new();
        put_entry(&mut buffer, Lsn(1000), Lsn(1200), b"one");
        put_entry(&mut buffer, Lsn(1200), Lsn(900), b"");
        put_entry(&mut buffer, Lsn(900), Lsn(u64::MAX), b"three");
        let (mut rest, mut lsn) = (&buffer[..], Lsn(1000));
        let mut entries = Vec::new();
        while !rest.is_empty() {
            let message = take_entry(&mut rest, &mut lsn).unwrap();
            entries.push((lsn.0, message));
        }
        assert_eq!(entries, [(1200, &b"one"[..]), (900, b""), (u64::MAX, b"three")]);
    }

    #[test]
    fn a_relation_message_is_kept_without_the_xid_of_its_block() {
        let (xid, statement) = relation_statement(b"R\0\0\0\x09\0\0\0\x04rest", true).unwrap();
        let Statement::Message(table, message) = statement else { panic!("not a message") };
        assert_eq!((xid, table, &message[..]), (Some(9), TableId(4), &b"R\0\0\0\x04rest"[..]));
        assert!(relation_statement(b"R\0\0", false).is_err());
    }
}
