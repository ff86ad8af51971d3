//! The writing end: groups messages into whole transactions, buffers them, makes them durable.
//!
//! Appending costs a few copies into one buffer; the checksum is computed once per transaction, when it is whole. The buffer reaches
//! the file when it has grown to [`BUFFER_BYTES`] or at a sync, always by its place in the file, so that a write which failed for
//! want of room is simply made again. A transaction is in the buffer whole or at its end, and is never written before it is whole.
//!
//! What the source sends again after a reconnect (transactions at or before the newest one held) is dropped and counted.
//! Schemas and relation messages that come with it or between transactions are remembered and written in front of the next new
//! transaction, if they then say something new: a stream that is replayed through an old schema ends at the newest.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{File, OpenOptions},
    os::unix::fs::FileExt,
    path::PathBuf,
    sync::{atomic::Ordering, Arc},
};

use bytes::Bytes;
use millstream_core::{
    log::{LogWriter, Result as PortResult, SourceDescription},
    Lsn, TableId, TableSchema, TransactionHeader,
};
use millstream_pgoutput::{
    message::{Begin, Commit, StreamAbort, StreamCommit},
    peek, Head,
};

use crate::{
    directory,
    embedded::{Resume, Shared},
    error::{LogError, Result},
    frame::{self, FileKind, FrameKind, FRAME_HEAD_BYTES},
    record::{
        self, Catalogue, Previous, Relation, SegmentHead, Spooled, Statement, TransactionHead, HAS_CATALOGUE,
        IS_STREAMED, TRANSACTION_HEAD_BYTES,
    },
    recovery::{self, Durable, Segment, Tail},
    spool::{changed_relations, Spool},
};

/// Whole transactions are written when this much has gathered: few calls under load, little to lose the cache to.
const BUFFER_BYTES: usize = 256 << 10;

/// A transaction that outgrows this goes to a spool: the bound on what writer and readers hold of one.
pub(crate) const TRANSACTION_BYTES: usize = 4 << 20;

/// The one writer.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    source: SourceDescription,
    segment: Option<OpenSegment>,
    /// Frames not yet written, and behind them what is known of the open transaction.
    buffer: Vec<u8>,
    open: Open,
    /// Open streamed transactions by their top-level id.
    streams: HashMap<u32, Spool>,
    /// The one whose block is being received.
    block: Option<u32>,
    /// The relation that was announced last in this block, and by whom.
    block_xid: Option<u32>,
    spools: u64,
    /// As of the newest whole transaction in the buffer.
    catalogue: Arc<Catalogue>,
    /// Stated outside of new transactions; in front of the next one.
    restated: BTreeMap<TableId, Relation>,
    last_position: Option<Lsn>,
    /// The source has nothing before this that isn't in the buffer.
    complete_lsn: Lsn,
    /// How much of that the frames say.
    stated_lsn: Lsn,
    /// What they said at the last sync.
    flushed_lsn: Lsn,
    /// The catalogue at the last sync.
    synced_catalogue: Arc<Catalogue>,
    durable_file: File,
}

/// The open ordinary transaction.
#[derive(Debug)]
enum Open {
    None,
    Inline(Inline),
    Spooled(Begin, Box<Spool>),
    /// Held already.
    Resent(Begin),
}

/// A transaction in the buffer.
#[derive(Debug)]
struct Inline {
    begin: Begin,
    /// Where its frame begins.
    start: usize,
    first_lsn: Lsn,
    lsn: Lsn,
    entries: u64,
    statements: Vec<Statement>,
}

/// The segment being written.
#[derive(Debug)]
struct OpenSegment {
    name: Lsn,
    path: PathBuf,
    file: File,
    /// Bytes in the file: where the buffer belongs.
    written: u64,
    synced: u64,
    first_position: Option<Lsn>,
    head_source: SourceDescription,
}

impl Writer {
    pub(crate) fn open(shared: Arc<Shared>) -> Result<Self> {
        shared.check_sound()?;
        recovery::drop_unsynced(&shared)?;
        let path = shared.directory.durable();
        let durable_file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(LogError::io("open", &path))?;
        let mut state = shared.state();
        let Some(Resume { tail, catalogue }) = state.resume.clone() else {
            return Err(LogError::WriterExists);
        };
        let segment = tail.map(|tail| OpenSegment::open(&shared, tail, &state.segments)).transpose()?;
        state.resume = None;
        let (last_position, flushed_lsn) = (state.last_position, state.flushed_lsn);
        drop(state);
        Ok(Writer {
            source: segment.as_ref().map(|segment| segment.head_source.clone()).unwrap_or_default(),
            segment,
            buffer: Vec::with_capacity(2 * BUFFER_BYTES),
            open: Open::None,
            streams: HashMap::new(),
            block: None,
            block_xid: None,
            spools: 0,
            catalogue: Arc::clone(&catalogue),
            restated: BTreeMap::new(),
            last_position,
            complete_lsn: flushed_lsn,
            stated_lsn: flushed_lsn,
            flushed_lsn,
            synced_catalogue: catalogue,
            durable_file,
            shared,
        })
    }

    #[inline]
    fn append_message(&mut self, lsn: Lsn, message: &[u8]) -> Result<()> {
        // What there is most of, first; nothing of it is looked into.
        if let (Some(b'I' | b'U' | b'D'), Open::Inline(inline)) = (message.first(), &mut self.open) {
            record::put_entry(&mut self.buffer, inline.lsn, lsn, message);
            inline.lsn = lsn;
            inline.entries += 1;
            if self.buffer.len() - inline.start > self.shared.settings.transaction_bytes {
                return self.outgrow();
            }
            return Ok(());
        }
        self.append_other(lsn, message)
    }

    fn append_other(&mut self, lsn: Lsn, message: &[u8]) -> Result<()> {
        let tag = char::from(message.first().copied().unwrap_or(b'?'));
        let refuse = |what| Err(LogError::Protocol { tag, what });
        let Ok(head) = peek(message, self.block.is_some()) else {
            // An unknown kind of message could mean anything, even for transactions: not to be kept aside.
            return refuse("it can't be read");
        };
        match head {
            Head::Begin(begin) => self.begin(lsn, begin),
            Head::Commit(commit) => self.commit(commit),
            Head::StreamStart(start) => self.stream_start(start.xid, start.first),
            Head::StreamStop => self.stream_stop(),
            Head::StreamCommit(commit) => self.stream_commit(commit),
            Head::StreamAbort(abort) => self.stream_abort(abort),
            Head::TwoPhase { .. } => refuse("two-phase messages were not asked for"),
            Head::Message { transactional: false, .. } if self.block.is_none() => {
                if let Open::None = self.open {
                    self.lone_message(lsn, message)
                } else {
                    self.entry(lsn, message, tag)
                }
            }
            Head::Relation { xid, .. } => {
                self.block_xid = xid;
                let statement = record::relation_statement(message, self.block.is_some());
                let Ok((_, statement)) = statement else {
                    return refuse("it can't be read");
                };
                self.relation(lsn, message, statement)
            }
            Head::Origin
            | Head::Type { .. }
            | Head::Row { .. }
            | Head::Truncate { .. }
            | Head::Message { .. } => self.entry(lsn, message, tag),
        }
    }

    /// Appends what belongs to the open transaction.
    fn entry(&mut self, lsn: Lsn, message: &[u8], tag: char) -> Result<()> {
        if let Some(spool) = self.block.and_then(|xid| self.streams.get_mut(&xid)) {
            return append_to_spool(&self.shared, spool, |spool| spool.append(lsn, message));
        }
        match &mut self.open {
            Open::Inline(inline) => {
                record::put_entry(&mut self.buffer, inline.lsn, lsn, message);
                inline.lsn = lsn;
                inline.entries += 1;
                if self.buffer.len() - inline.start > self.shared.settings.transaction_bytes {
                    return self.outgrow();
                }
                Ok(())
            }
            Open::Spooled(_, spool) => {
                append_to_spool(&self.shared, spool, |spool| spool.append(lsn, message))
            }
            Open::Resent(_) => Ok(()),
            Open::None => Err(LogError::Protocol { tag, what: "no transaction is open" }),
        }
    }

    fn relation(&mut self, lsn: Lsn, message: &[u8], statement: Statement) -> Result<()> {
        if let Some(spool) = self.block.and_then(|xid| self.streams.get_mut(&xid)) {
            spool.state(self.block_xid, statement);
            return append_to_spool(&self.shared, spool, |spool| spool.append(lsn, message));
        }
        match &mut self.open {
            Open::Inline(inline) => {
                inline.statements.push(statement);
                self.entry(lsn, message, 'R')
            }
            Open::Spooled(_, spool) => {
                spool.state(None, statement);
                append_to_spool(&self.shared, spool, |spool| spool.append(lsn, message))
            }
            Open::Resent(_) | Open::None => {
                self.restate(&statement);
                Ok(())
            }
        }
    }

    /// Remembers what was stated outside of a new transaction.
    fn restate(&mut self, statement: &Statement) {
        let id = statement.table();
        let known = self.catalogue.get(id).cloned();
        let entry = self
            .restated
            .entry(id)
            .or_insert_with(|| known.unwrap_or_else(|| Relation { id, message: Bytes::new(), schema: None }));
        match statement {
            Statement::Message(_, message) => entry.message = message.clone(),
            Statement::Schema(schema) => entry.schema = Some(Arc::clone(schema)),
        }
    }

    fn state_schema(&mut self, schema: &TableSchema) -> Result<()> {
        let statement = Statement::Schema(Arc::new(schema.clone()));
        if let Some(spool) = self.block.and_then(|xid| self.streams.get_mut(&xid)) {
            let xid = self.block_xid.or(self.block);
            spool.state(xid, statement);
            return append_to_spool(&self.shared, spool, |spool| {
                spool.append_schema(Some(xid.unwrap_or_default()), schema)
            });
        }
        match &mut self.open {
            Open::Inline(inline) => {
                let in_transaction = inline.statements.iter().rev().find_map(|statement| match statement {
                    Statement::Schema(stated) if stated.id == schema.id => Some(&**stated),
                    _ => None,
                });
                let known = in_transaction.or_else(|| self.catalogue.schema(schema.id).map(|known| &**known));
                if known == Some(schema) {
                    return Ok(());
                }
                record::put_schema_entry(&mut self.buffer, inline.lsn, None, schema);
                inline.entries += 1;
                inline.statements.push(statement);
                Ok(())
            }
            Open::Spooled(_, spool) => {
                spool.state(None, statement);
                append_to_spool(&self.shared, spool, |spool| spool.append_schema(None, schema))
            }
            Open::Resent(_) | Open::None => {
                self.restate(&statement);
                Ok(())
            }
        }
    }

    fn begin(&mut self, lsn: Lsn, begin: Begin) -> Result<()> {
        if !matches!(self.open, Open::None) || self.block.is_some() {
            return Err(LogError::Protocol { tag: 'B', what: "a transaction is open already" });
        }
        if Some(begin.final_lsn) <= self.last_position {
            self.open = Open::Resent(begin);
            return Ok(());
        }
        if self.buffer.len() >= BUFFER_BYTES {
            // A write failed, for want of room presumably: nothing more is taken in until it succeeds.
            self.write_buffer()?;
        }
        self.prepare(begin.final_lsn)?;
        let start = frame::begin(&mut self.buffer);
        self.buffer.extend_from_slice(&[0; TRANSACTION_HEAD_BYTES]);
        self.open =
            Open::Inline(Inline { begin, start, first_lsn: lsn, lsn, entries: 0, statements: Vec::new() });
        Ok(())
    }

    fn commit(&mut self, commit: Commit) -> Result<()> {
        fail::fail_point!("log::append");
        let wrong = |what| Err(LogError::Protocol { tag: 'C', what });
        let begin = match &self.open {
            Open::None => return wrong("no transaction is open"),
            Open::Inline(Inline { begin, .. }) | Open::Spooled(begin, _) | Open::Resent(begin) => *begin,
        };
        if begin.final_lsn != commit.commit_lsn {
            return wrong("it names another position than the transaction's begin");
        }
        match std::mem::replace(&mut self.open, Open::None) {
            Open::None => {}
            Open::Resent(_) => {
                self.shared.resent.fetch_add(1, Ordering::Relaxed);
            }
            Open::Spooled(begin, spool) => self.join(begin.xid, commit, *spool)?,
            Open::Inline(inline) if inline.entries == 0 => {
                // Nothing that is published happened in it: where it ends is all there is to know.
                self.buffer.truncate(inline.start);
                self.complete_lsn = self.complete_lsn.max(commit.end_lsn);
            }
            Open::Inline(inline) => {
                let head = TransactionHead {
                    header: header(begin.xid, commit),
                    first_lsn: inline.first_lsn,
                    entries: inline.entries,
                    flags: if inline.statements.is_empty() { 0 } else { HAS_CATALOGUE },
                };
                let at = inline.start + FRAME_HEAD_BYTES;
                self.buffer[at..at + TRANSACTION_HEAD_BYTES].copy_from_slice(&head.encode());
                self.seal(inline.start, FrameKind::Transaction);
                if !inline.statements.is_empty() {
                    let catalogue = Arc::make_mut(&mut self.catalogue);
                    inline.statements.iter().for_each(|statement| _ = catalogue.state(statement));
                }
                self.committed(commit);
            }
        }
        if self.buffer.len() >= BUFFER_BYTES {
            self.write_buffer()?;
        }
        Ok(())
    }

    fn committed(&mut self, commit: Commit) {
        self.last_position = Some(commit.commit_lsn);
        self.complete_lsn = self.complete_lsn.max(commit.end_lsn);
        self.stated_lsn = self.stated_lsn.max(commit.end_lsn);
        if let Some(segment) = &mut self.segment {
            segment.first_position.get_or_insert(commit.commit_lsn);
        }
    }

    /// The open transaction leaves the buffer for a spool.
    fn outgrow(&mut self) -> Result<()> {
        let Open::Inline(inline) = std::mem::replace(&mut self.open, Open::None) else {
            return Ok(());
        };
        let mut spool = self.create_spool(inline.begin.xid, false)?;
        let entries = inline.start + FRAME_HEAD_BYTES + TRANSACTION_HEAD_BYTES;
        let (mut rest, mut lsn) = (&self.buffer[entries..], inline.first_lsn);
        while let Some(message) = record::take_entry(&mut rest, &mut lsn) {
            append_to_spool(&self.shared, &mut spool, |spool| spool.append(lsn, message))?;
        }
        for statement in inline.statements {
            spool.state(None, statement);
        }
        self.buffer.truncate(inline.start);
        self.open = Open::Spooled(inline.begin, Box::new(spool));
        Ok(())
    }

    fn create_spool(&mut self, xid: u32, is_streamed: bool) -> Result<Spool> {
        self.spools += 1;
        Spool::create(&self.shared.directory, xid, self.spools, is_streamed)
    }

    fn stream_start(&mut self, xid: u32, first: bool) -> Result<()> {
        let wrong = |what| Err(LogError::Protocol { tag: 'S', what });
        if !matches!(self.open, Open::None) || self.block.is_some() {
            return wrong("a transaction or block is open already");
        }
        match (first, self.streams.contains_key(&xid)) {
            (true, true) => return wrong("the transaction's first block came before"),
            (false, false) => return wrong("the transaction's first block is missing"),
            (true, false) => {
                let spool = self.create_spool(xid, true)?;
                self.streams.insert(xid, spool);
            }
            (false, true) => {}
        }
        self.block = Some(xid);
        self.block_xid = None;
        Ok(())
    }

    fn stream_stop(&mut self) -> Result<()> {
        let Some(spool) = self.block.take().and_then(|xid| self.streams.get_mut(&xid)) else {
            return Err(LogError::Protocol { tag: 'E', what: "no block is open" });
        };
        append_to_spool(&self.shared, spool, Spool::pause)
    }

    fn stream_commit(&mut self, StreamCommit { xid, commit }: StreamCommit) -> Result<()> {
        fail::fail_point!("log::append");
        let Some(spool) = self.take_stream('c', xid)? else {
            return Err(LogError::Protocol { tag: 'c', what: "the transaction was never streamed" });
        };
        if Some(commit.commit_lsn) <= self.last_position {
            self.shared.resent.fetch_add(1, Ordering::Relaxed);
            return self.delete_spool(spool);
        }
        if spool.entries() == 0 {
            self.complete_lsn = self.complete_lsn.max(commit.end_lsn);
            return self.delete_spool(spool);
        }
        self.prepare(commit.commit_lsn)?;
        self.join(xid, commit, spool)
    }

    fn stream_abort(&mut self, abort: StreamAbort) -> Result<()> {
        if abort.xid == abort.subxid {
            // A transaction whose blocks came before a reconnect may be aborted without ever being seen here.
            return match self.take_stream('A', abort.xid)? {
                Some(spool) => self.delete_spool(spool),
                None => Ok(()),
            };
        }
        if self.block.is_some() {
            return Err(LogError::Protocol { tag: 'A', what: "a block is open" });
        }
        if let Some(spool) = self.streams.get_mut(&abort.xid) {
            spool.abort(abort.subxid);
        }
        Ok(())
    }

    fn take_stream(&mut self, tag: char, xid: u32) -> Result<Option<Spool>> {
        if self.block.is_some() || !matches!(self.open, Open::None) {
            return Err(LogError::Protocol { tag, what: "a transaction or block is open" });
        }
        Ok(self.streams.remove(&xid))
    }

    fn delete_spool(&self, spool: Spool) -> Result<()> {
        self.shared.open_bytes.fetch_sub(spool.bytes(), Ordering::Relaxed);
        spool.delete()
    }

    /// A spooled transaction has committed: its file becomes part of the log, and a frame names it.
    fn join(&mut self, xid: u32, commit: Commit, spool: Spool) -> Result<()> {
        let open_bytes = spool.bytes();
        let (entries, first_lsn, is_streamed) = (spool.entries(), spool.first_lsn(), spool.is_streamed());
        let joined = spool.join(&self.shared.directory, commit.commit_lsn);
        self.shared.open_bytes.fetch_sub(open_bytes, Ordering::Relaxed);
        let (bytes, aborted, statements) = self.shared.note_failure(joined)?;
        self.shared.held_bytes.fetch_add(bytes, Ordering::Relaxed);
        let catalogue = changed_relations(&self.catalogue, &statements);
        let flags = if catalogue.is_empty() { 0 } else { HAS_CATALOGUE };
        let flags = flags | if is_streamed { IS_STREAMED } else { 0 };
        let head = TransactionHead { header: header(xid, commit), first_lsn, entries, flags };
        let spooled = Spooled { head, bytes, aborted, catalogue };
        self.push(FrameKind::Spooled, &spooled.encode());
        if !spooled.catalogue.is_empty() {
            let catalogue = Arc::make_mut(&mut self.catalogue);
            spooled.catalogue.into_iter().for_each(|relation| catalogue.insert(relation));
        }
        self.committed(commit);
        Ok(())
    }

    fn lone_message(&mut self, lsn: Lsn, message: &[u8]) -> Result<()> {
        self.prepare(lsn)?;
        let mut payload = lsn.0.to_le_bytes().to_vec();
        payload.extend_from_slice(message);
        self.push(FrameKind::Message, &payload);
        Ok(())
    }

    /// Has a segment for a transaction or frame at this position, and in it what was restated since the last one.
    fn prepare(&mut self, position: Lsn) -> Result<()> {
        let is_full = |segment: &OpenSegment, buffered: usize| {
            segment.written + buffered as u64 >= self.shared.settings.segment_bytes
        };
        match &self.segment {
            Some(segment) if !is_full(segment, self.buffer.len()) && segment.head_source == self.source => {}
            _ => self.roll(position)?,
        }
        for (id, relation) in std::mem::take(&mut self.restated) {
            if self.catalogue.get(id) != Some(&relation) {
                self.push(FrameKind::Schema, &relation.encode(true));
                Arc::make_mut(&mut self.catalogue).insert(relation);
            }
        }
        Ok(())
    }

    /// Finishes the segment and begins the next one.
    fn roll(&mut self, position: Lsn) -> Result<()> {
        // The successor states its predecessor's length: that must be durable before.
        self.sync_segment()?;
        fail::fail_point!("log::segment_roll");
        let previous =
            self.segment.as_ref().map(|segment| Previous { name: segment.name, bytes: segment.written });
        let after_previous = previous.as_ref().map_or(Lsn::ZERO, |previous| Lsn(previous.name.0 + 1));
        let name = position.max(after_previous);
        let path = self.shared.directory.segment(name);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(LogError::io("create", &path))?;
        self.shared.note_failure(directory::sync_dir(self.shared.directory.root()))?;
        let head = SegmentHead {
            source: self.source.clone(),
            previous,
            last_position: self.last_position,
            flushed_lsn: self.complete_lsn,
        };
        self.segment = Some(OpenSegment {
            name,
            path,
            file,
            written: 0,
            synced: 0,
            first_position: None,
            head_source: self.source.clone(),
        });
        self.buffer.extend_from_slice(&FileKind::Segment.preamble());
        #[allow(clippy::expect_used)] // Strings, numbers and lists: nothing in it that JSON refuses.
        let head = serde_json::to_vec(&head).expect("a head always has a JSON form");
        self.push(FrameKind::Head, &head);
        let carried: Vec<_> = self.catalogue.relations().map(|relation| relation.encode(false)).collect();
        for relation in carried {
            self.push(FrameKind::Schema, &relation);
        }
        Ok(())
    }

    fn push(&mut self, kind: FrameKind, payload: &[u8]) {
        let start = frame::begin(&mut self.buffer);
        self.buffer.extend_from_slice(payload);
        self.seal(start, kind);
    }

    fn seal(&mut self, start: usize, kind: FrameKind) {
        let (written, synced) =
            self.segment.as_ref().map_or((0, 0), |segment| (segment.written, segment.synced));
        frame::seal(&mut self.buffer, start, kind, written + start as u64, synced);
    }

    /// Writes the whole frames of the buffer.
    fn write_buffer(&mut self) -> Result<()> {
        let whole = match &self.open {
            Open::Inline(inline) => inline.start,
            _ => self.buffer.len(),
        };
        let Some(segment) = self.segment.as_mut().filter(|_| whole > 0) else {
            return Ok(());
        };
        segment
            .file
            .write_all_at(&self.buffer[..whole], segment.written)
            .map_err(LogError::io("write", &segment.path))?;
        segment.written += whole as u64;
        self.shared.held_bytes.fetch_add(whole as u64, Ordering::Relaxed);
        self.buffer.drain(..whole);
        if let Open::Inline(inline) = &mut self.open {
            inline.start = 0;
        }
        Ok(())
    }

    /// Writes and syncs the segment, and shows readers what became durable.
    fn sync_segment(&mut self) -> Result<()> {
        self.shared.check_sound()?;
        self.write_buffer()?;
        let Some(segment) = &mut self.segment else {
            return Ok(());
        };
        if segment.written > segment.synced {
            fail::fail_point!("log::before_fsync");
            let synced = directory::sync_data(&segment.file, &segment.path);
            self.shared.note_failure(synced)?;
            segment.synced = segment.written;
            fail::fail_point!("log::after_fsync");
            let durable = Durable { segment: segment.name, bytes: segment.synced };
            // Lost, it only makes recovery less sharp.
            let _ = self.durable_file.write_all_at(&durable.encode(), 0);
        }
        let mut state = self.shared.state();
        let published = Segment {
            name: segment.name,
            bytes: segment.synced,
            last_position: self.last_position,
            first_position: segment.first_position,
        };
        match state.segments.last_mut() {
            Some(last) if last.name == segment.name => *last = published,
            _ => state.segments.push(published),
        }
        state.last_position = self.last_position;
        state.flushed_lsn = self.stated_lsn;
        drop(state);
        self.flushed_lsn = self.stated_lsn;
        self.synced_catalogue = Arc::clone(&self.catalogue);
        self.shared.grown.notify_all();
        Ok(())
    }

    fn sync_all(&mut self) -> Result<Lsn> {
        self.shared.check_sound()?;
        if self.complete_lsn > self.stated_lsn && matches!(self.open, Open::None) {
            // Where the newest transaction's own end doesn't say it, a frame does: after a restart the log must know of every
            // position that was ever acknowledged, or the slot looks as if someone else had moved it.
            self.prepare(self.complete_lsn)?;
            self.push(FrameKind::Advance, &self.complete_lsn.0.to_le_bytes());
            self.stated_lsn = self.complete_lsn;
        }
        if !self.is_written() {
            self.sync_segment()?;
        }
        Ok(self.flushed_lsn)
    }

    fn is_written(&self) -> bool {
        let buffered = match &self.open {
            Open::Inline(inline) => inline.start,
            _ => self.buffer.len(),
        };
        buffered == 0 && self.segment.as_ref().is_none_or(|segment| segment.written == segment.synced)
    }

    fn forget_open(&mut self) -> Result<()> {
        self.block = None;
        match std::mem::replace(&mut self.open, Open::None) {
            Open::Inline(inline) => self.buffer.truncate(inline.start),
            Open::Spooled(_, spool) => self.delete_spool(*spool)?,
            Open::None | Open::Resent(_) => {}
        }
        for (_, spool) in std::mem::take(&mut self.streams) {
            self.delete_spool(spool)?;
        }
        Ok(())
    }
}

fn header(xid: u32, commit: Commit) -> TransactionHeader {
    let Commit { commit_lsn, end_lsn, commit_time } = commit;
    TransactionHeader { xid, commit_lsn, end_lsn, commit_time }
}

/// Does something that may write to a spool, and counts what it wrote.
fn append_to_spool(
    shared: &Shared,
    spool: &mut Spool,
    append: impl FnOnce(&mut Spool) -> Result<()>,
) -> Result<()> {
    let before = spool.bytes();
    let result = append(spool);
    shared.open_bytes.fetch_add(spool.bytes() - before, Ordering::Relaxed);
    result
}

impl OpenSegment {
    fn open(shared: &Shared, tail: Tail, segments: &[Segment]) -> Result<Self> {
        let path = shared.directory.segment(tail.name);
        let file = OpenOptions::new().write(true).open(&path).map_err(LogError::io("open", &path))?;
        if file.metadata().map_err(LogError::io("inspect", &path))?.len() > tail.bytes {
            // Written and never synced by a writer before, which was told so: the source sends it again.
            file.set_len(tail.bytes).map_err(LogError::io("cut", &path))?;
        }
        // What recovery found whole may still be in the page cache only, left there by a process that was killed before its
        // sync. It counts as held from here on, so it must be durable.
        shared.note_failure(directory::sync_data(&file, &path))?;
        let known = segments.last().filter(|segment| segment.name == tail.name);
        Ok(OpenSegment {
            name: tail.name,
            path,
            file,
            written: tail.bytes,
            synced: tail.bytes,
            first_position: known.and_then(|segment| segment.first_position),
            head_source: tail.head.source,
        })
    }
}

impl LogWriter for Writer {
    fn describe_source(&mut self, source: &SourceDescription) -> PortResult<()> {
        let recorded = self.source.system_identifier;
        if recorded != 0 && source.system_identifier != 0 && recorded != source.system_identifier {
            return Err(LogError::OtherServer { recorded, connected: source.system_identifier }.into());
        }
        self.source = source.clone();
        Ok(())
    }

    #[inline]
    fn append(&mut self, wal_start: Lsn, message: &[u8]) -> PortResult<()> {
        Ok(self.append_message(wal_start, message)?)
    }

    fn schema(&mut self, schema: &TableSchema) -> PortResult<()> {
        Ok(self.state_schema(schema)?)
    }

    fn advance(&mut self, through: Lsn) {
        self.complete_lsn = self.complete_lsn.max(through);
    }

    fn sync(&mut self) -> PortResult<Lsn> {
        Ok(self.sync_all()?)
    }

    fn is_full(&self) -> bool {
        self.shared.held_bytes.load(Ordering::Relaxed) >= self.shared.settings.max_bytes
    }

    fn reset(&mut self) -> PortResult<()> {
        Ok(self.forget_open()?)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // What can't be deleted now is deleted at the next opening.
        if let Err(error) = self.forget_open() {
            tracing::warn!(%error, "an open transaction's spool could not be deleted");
        }
        let tail = self.segment.take().map(|segment| Tail {
            name: segment.name,
            bytes: segment.synced,
            head: SegmentHead {
                source: segment.head_source,
                previous: None,
                last_position: None,
                flushed_lsn: Lsn::ZERO,
            },
        });
        let catalogue = Arc::clone(&self.synced_catalogue);
        self.shared.state().resume = Some(Resume { tail, catalogue });
    }
}
