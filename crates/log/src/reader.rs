//! The reading end: follows the durable part of the log and decodes it into transaction parts.
//!
//! A reader begins at the first frame of the segment that holds the transaction after its position, because what is known of
//! the relations at that position is collected on the way; that is at most one segment's reading. From there on it sees each durable
//! transaction once, in order. Rows share the blocks that were read. After an error it begins again behind the last transaction
//! that it returned whole: asking again finds the same error, or what was in the way is gone.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use millstream_core::{
    log::{LogReader, Result as PortResult},
    Change, ChangeKind, Lsn, TableId, TableSchema, TransactionHeader, TransactionPart,
};
use millstream_pgoutput::Message;

use crate::{
    embedded::{Shared, State},
    error::{LogError, Result},
    frame::{FileKind, FrameKind},
    frames::{Frame, FrameReader},
    record::{self, Catalogue, Relation, Spooled, Statement, TransactionHead},
    recovery,
};

/// Changes in one part: what a batch of columns is worth building for, and with some 200 bytes each a few megabytes.
const PART_CHANGES: usize = 16 << 10;

/// Bytes of the messages in one part.
const PART_BYTES: usize = 4 << 20;

/// What a change occupies beside its message's bytes.
const CHANGE_BYTES: usize = std::mem::size_of::<Change>();

/// A reader of the embedded log.
pub(crate) struct Reader {
    shared: Arc<Shared>,
    segment: Option<(Lsn, FrameReader)>,
    /// The last transaction that was returned whole, or lies before the reader's beginning.
    position: Lsn,
    complete_through: Lsn,
    /// Durable bytes of the segment when last looked; spares the lock while there is enough.
    durable: u64,
    catalogue: Catalogue,
    /// Stated between transactions; delivered with the next one.
    pending: Vec<Arc<TableSchema>>,
    transaction: Option<Transaction>,
}

/// The transaction being delivered.
struct Transaction {
    header: Arc<TransactionHeader>,
    first: bool,
    is_streamed: bool,
    aborted: Vec<u32>,
    entries: Entries,
    ordinal: u64,
    /// Relations as a spooled transaction leaves them.
    leaves: Vec<Relation>,
    /// The table of the row before, which is mostly the next one's too.
    table: Option<(TableId, Arc<TableSchema>)>,
}

/// Where its entries come from.
struct Entries {
    /// Of the current frame, what is left.
    rest: Bytes,
    lsn: Lsn,
    /// The frames behind.
    spool: Option<(FrameReader, u64)>,
}

impl Entries {
    /// The next entry's message. `Err` says what is wrong with the bytes.
    fn next(&mut self) -> Result<Option<Bytes>> {
        // Bounded by the spool: every turn takes a frame from it.
        while self.rest.is_empty() {
            let Some((spool, end)) = &mut self.spool else {
                return Ok(None);
            };
            let Some(frame) = spool.next_whole(*end)? else {
                return Ok(None);
            };
            let mut head = &frame.payload[..];
            let lsn = record::take_u64(&mut head).filter(|_| frame.kind == FrameKind::Entries);
            let lsn = lsn.ok_or_else(|| LogError::damaged(spool.path(), frame.offset, "not entries"))?;
            self.lsn = Lsn(lsn);
            self.rest = frame.payload.slice(8..);
        }
        let mut rest = &self.rest[..];
        let Some(message) = record::take_entry(&mut rest, &mut self.lsn) else {
            return Err(LogError::Undecodable {
                commit_lsn: Lsn::ZERO,
                lsn: self.lsn,
                reason: "an entry is cut short".to_owned(),
            });
        };
        let (length, end) = (message.len(), self.rest.len() - rest.len());
        let mut entry = self.rest.split_to(end);
        Ok(Some(entry.split_off(end - length)))
    }
}

impl Reader {
    pub(crate) fn open(shared: Arc<Shared>, after: Lsn) -> Result<Self> {
        let state = shared.state();
        if let Some(gone_through) = state.gone_through.filter(|&gone| gone > after) {
            let first_held = state.segments.iter().find_map(|segment| segment.first_position);
            return Err(LogError::Gone { after, gone_through, first_held });
        }
        drop(state);
        Ok(Reader {
            shared,
            segment: None,
            position: after,
            complete_through: Lsn(after.0.saturating_add(1)),
            durable: 0,
            catalogue: Catalogue::default(),
            pending: Vec::new(),
            transaction: None,
        })
    }

    /// The next durable frame of the log. `None`: there is none yet.
    fn next_frame(&mut self) -> Result<Option<Frame>> {
        // Bounded by the number of segments: every turn that goes round has moved on to the next one.
        loop {
            if let Some((_, reader)) = &mut self.segment {
                if reader.offset() < self.durable {
                    return reader.next_whole(self.durable);
                }
            }
            if !self.look()? {
                return Ok(None);
            }
        }
    }

    /// Looks at what is durable by now; whether there is more to read.
    fn look(&mut self) -> Result<bool> {
        let shared = Arc::clone(&self.shared);
        let state = shared.state();
        if let Some((name, reader)) = &self.segment {
            let place = state.segments.iter().position(|segment| segment.name == *name);
            let current = place.map(|place| &state.segments[place]);
            if let Some(current) = current.filter(|current| current.bytes > reader.offset()) {
                self.durable = current.bytes;
                return Ok(true);
            }
            let next = match place {
                Some(place) => state.segments.get(place + 1),
                // Retention dropped it, having been told that nobody needs it; what it held was read to the end.
                None => state.segments.iter().find(|segment| segment.name > *name),
            };
            let Some(next) = next else {
                self.caught_up(&state);
                return Ok(false);
            };
            self.durable = next.bytes;
            self.enter(next.name)?;
            return Ok(true);
        }
        let wanted = state.segments.iter().find(|segment| segment.last_position > Some(self.position));
        let Some(first) = wanted.or(state.segments.last()) else {
            self.caught_up(&state);
            return Ok(false);
        };
        self.durable = first.bytes;
        self.enter(first.name)?;
        Ok(true)
    }

    fn enter(&mut self, name: Lsn) -> Result<()> {
        let reader = FrameReader::open(self.shared.directory.segment(name), FileKind::Segment)?;
        self.segment = Some((name, reader));
        Ok(())
    }

    fn caught_up(&mut self, state: &State) {
        self.complete_through = self.complete_through.max(state.flushed_lsn);
    }

    /// Takes a frame in; whether a transaction begins with it.
    fn take(&mut self, frame: Frame) -> Result<bool> {
        let damaged = |reader: &Self, what: &str| {
            let path = reader.segment.as_ref().map(|(_, reader)| reader.path().to_owned());
            LogError::damaged(path.unwrap_or_default(), frame.offset, what)
        };
        match frame.kind {
            FrameKind::Transaction => {
                let mut rest = &frame.payload[..];
                let head = TransactionHead::take(&mut rest).ok_or_else(|| damaged(self, "no transaction"))?;
                let entries = frame.payload.slice(frame.payload.len() - rest.len()..);
                if head.header.commit_lsn <= self.position {
                    self.pending.clear();
                    if head.has_catalogue() {
                        let stated = recovery::state_entries(&mut self.catalogue, &entries, head.first_lsn);
                        stated.map_err(|what| damaged(self, &what))?;
                    }
                    return Ok(false);
                }
                self.begin(head.clone(), Entries { rest: entries, lsn: head.first_lsn, spool: None });
                Ok(true)
            }
            FrameKind::Spooled => {
                let spooled =
                    Spooled::decode(&frame.payload).ok_or_else(|| damaged(self, "no transaction"))?;
                let commit_lsn = spooled.head.header.commit_lsn;
                if commit_lsn <= self.position {
                    self.pending.clear();
                    spooled.catalogue.into_iter().for_each(|relation| self.catalogue.insert(relation));
                    return Ok(false);
                }
                let spool = FrameReader::open(self.shared.directory.spool(commit_lsn), FileKind::Spool)?;
                let spool = Some((spool, spooled.bytes));
                let lsn = spooled.head.first_lsn;
                let transaction = self.begin(spooled.head, Entries { rest: Bytes::new(), lsn, spool });
                transaction.aborted = spooled.aborted;
                transaction.leaves = spooled.catalogue;
                Ok(true)
            }
            FrameKind::Schema => {
                let (relation, stated_here) =
                    Relation::decode(&frame.payload).ok_or_else(|| damaged(self, "no schema"))?;
                let is_new = relation.schema.as_ref() != self.catalogue.schema(relation.id);
                if let Some(schema) = relation.schema.as_ref().filter(|_| stated_here && is_new) {
                    self.pending.push(Arc::clone(schema));
                }
                self.catalogue.insert(relation);
                Ok(false)
            }
            FrameKind::Head | FrameKind::Advance | FrameKind::Message => Ok(false),
            _ => Err(damaged(self, "a frame that segments don't have")),
        }
    }

    fn begin(&mut self, head: TransactionHead, entries: Entries) -> &mut Transaction {
        self.transaction.insert(Transaction {
            is_streamed: head.is_streamed(),
            header: Arc::new(head.header),
            first: true,
            aborted: Vec::new(),
            entries,
            ordinal: 0,
            leaves: Vec::new(),
            table: None,
        })
    }

    /// The next part of the transaction being delivered.
    fn part(&mut self, mut transaction: Transaction) -> Result<TransactionPart> {
        let mut changes = Vec::new();
        let mut bytes = 0;
        for table in self.pending.drain(..) {
            let lsn = transaction.entries.lsn;
            changes.push(Change { ordinal: transaction.ordinal, lsn, kind: ChangeKind::Schema { table } });
        }
        let mut last = false;
        while changes.len() < PART_CHANGES && bytes < PART_BYTES {
            let Some(message) = transaction.entries.next()? else {
                last = true;
                break;
            };
            bytes += message.len();
            if let Some(kind) = transaction.decode(message, &mut self.catalogue)? {
                let (ordinal, lsn) = (transaction.ordinal, transaction.entries.lsn);
                if !matches!(kind, ChangeKind::Schema { .. } | ChangeKind::Message { .. }) {
                    transaction.ordinal += 1;
                }
                changes.push(Change { ordinal, lsn, kind });
            }
        }
        let part = TransactionPart {
            header: Arc::clone(&transaction.header),
            first: transaction.first,
            last,
            bytes: bytes + changes.len() * CHANGE_BYTES,
            changes,
        };
        if last {
            self.position = transaction.header.commit_lsn;
            self.complete_through = self.complete_through.max(Lsn(self.position.0 + 1));
            transaction.leaves.into_iter().for_each(|relation| self.catalogue.insert(relation));
        } else {
            transaction.first = false;
            self.transaction = Some(transaction);
        }
        Ok(part)
    }

    fn next_part(&mut self, wait: Duration) -> Result<Option<TransactionPart>> {
        let deadline = Instant::now().checked_add(wait);
        let known = self.complete_through;
        // Bounded by `wait`, but for frames that begin no transaction, of which there are finitely many.
        loop {
            if let Some(transaction) = self.transaction.take() {
                return self.part(transaction).map(Some);
            }
            if let Some(frame) = self.next_frame()? {
                self.take(frame)?;
                continue;
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let left = left.unwrap_or(wait);
            // That there is nothing up to a later position is news as well.
            if self.complete_through > known || left.is_zero() || !self.wait(left) {
                return Ok(None);
            }
        }
    }

    /// Forgets the place: the next call begins again behind the last transaction that was returned whole, so that no error is stepped
    /// over by asking again.
    fn rewind(&mut self) {
        self.segment = None;
        self.catalogue = Catalogue::default();
        self.pending.clear();
        self.transaction = None;
    }

    /// Waits until there is more than was seen; whether there is.
    fn wait(&self, wait: Duration) -> bool {
        let state = self.shared.state();
        let is_idle = |state: &mut State| {
            let end = state.segments.last().map(|segment| (segment.name, segment.bytes));
            let seen = self.segment.as_ref().map(|(name, _)| (*name, self.durable));
            end == seen && state.flushed_lsn <= self.complete_through
        };
        match self.shared.grown.wait_timeout_while(state, wait, is_idle) {
            Ok((_, timeout)) => !timeout.timed_out(),
            Err(poisoned) => !poisoned.into_inner().1.timed_out(),
        }
    }
}

impl Transaction {
    /// What an entry says to a reader, if anything. Catalogue changes of the transaction are taken in as they come.
    fn decode(&mut self, message: Bytes, catalogue: &mut Catalogue) -> Result<Option<ChangeKind>> {
        if self.is_streamed && self.is_aborted(&message) {
            return Ok(None);
        }
        match message.first() {
            Some(0 | b'R') => {
                let stated = record::statement_of(&message, self.is_streamed);
                let Some((_, statement)) = stated.map_err(|reason| self.undecodable(reason))? else {
                    return Ok(None);
                };
                self.table = None;
                return Ok(match (catalogue.state(&statement), statement) {
                    (true, Statement::Schema(table)) => Some(ChangeKind::Schema { table }),
                    _ => None,
                });
            }
            // Where a transaction came from, and names of types: the schema frames say what is needed of them.
            Some(b'O' | b'Y') => return Ok(None),
            _ => {}
        }
        let decoded = Message::decode(message, self.is_streamed);
        Ok(Some(match decoded.map_err(|error| self.undecodable(error.to_string()))? {
            Message::Insert { table, new, .. } => {
                ChangeKind::Insert { table: self.schema(table, catalogue)?, new }
            }
            Message::Update { table, old, new, .. } => {
                ChangeKind::Update { table: self.schema(table, catalogue)?, old, new }
            }
            Message::Delete { table, old, .. } => {
                ChangeKind::Delete { table: self.schema(table, catalogue)?, old }
            }
            Message::Truncate { tables, cascade, restart_identity, .. } => {
                let mut schemas = Vec::with_capacity(tables.len());
                for table in tables {
                    schemas.push(self.schema(table, catalogue)?);
                }
                ChangeKind::Truncate { tables: schemas, cascade, restart_identity }
            }
            Message::Message { prefix, content, .. } => ChangeKind::Message { prefix, content },
            _ => return Err(self.undecodable("a message that transactions don't hold".to_owned())),
        }))
    }

    /// Whether a streamed transaction's entry belongs to a subtransaction that was rolled back.
    #[inline]
    fn is_aborted(&self, message: &[u8]) -> bool {
        if self.aborted.is_empty() {
            return false;
        }
        let xid = message.get(1..).and_then(|rest| rest.first_chunk::<4>()).map(|&xid| {
            if message[0] == 0 {
                u32::from_le_bytes(xid)
            } else {
                u32::from_be_bytes(xid)
            }
        });
        // Origins carry no transaction id; they are nobody's rows.
        message[0] != b'O' && xid.is_some_and(|xid| self.aborted.binary_search(&xid).is_ok())
    }

    #[inline]
    fn schema(&mut self, table: TableId, catalogue: &Catalogue) -> Result<Arc<TableSchema>> {
        if let Some((_, schema)) = self.table.as_ref().filter(|(id, _)| *id == table) {
            return Ok(Arc::clone(schema));
        }
        let commit_lsn = self.header.commit_lsn;
        let schema = catalogue.schema(table).ok_or(LogError::NoSchema { table, commit_lsn })?;
        self.table = Some((table, Arc::clone(schema)));
        Ok(Arc::clone(schema))
    }

    fn undecodable(&self, reason: String) -> LogError {
        LogError::Undecodable { commit_lsn: self.header.commit_lsn, lsn: self.entries.lsn, reason }
    }
}

impl LogReader for Reader {
    fn next(&mut self, wait: Duration) -> PortResult<Option<TransactionPart>> {
        let next = self.next_part(wait);
        if next.is_err() {
            self.rewind();
        }
        Ok(next?)
    }

    fn complete_through(&self) -> Lsn {
        self.complete_through
    }
}
