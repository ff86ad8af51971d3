//! The writing end: groups messages into whole transactions.
//!
//! An ordinary transaction is collected in the buffer's open frame; the checksum is computed once, when it is whole. One that
//! outgrows [`TRANSACTION_BYTES`] moves to a spool, where streamed ones are from their first block. At commit its frame is sealed
//! (`appender.rs`); what is open when the connection is lost is dropped.
//!
//! What the source sends again after a reconnect (transactions at or before the newest one held) is dropped and counted.

use std::{
    collections::HashMap,
    sync::{atomic::Ordering, Arc},
};

use millstream_core::{
    log::{LogWriter, Result as PortResult, SourceDescription},
    Lsn, TableSchema, TransactionHeader,
};
use millstream_pgoutput::{
    message::{Begin, Commit, StreamAbort, StreamCommit},
    peek, Head,
};

use crate::{
    appender::Appender,
    embedded::Shared,
    error::{LogError, Result},
    frame::FrameKind,
    record::{self, Spooled, Statement, TransactionHead, HAS_CATALOGUE, IS_STREAMED, TRANSACTION_HEAD_BYTES},
    spool::{changed_relations, Spool},
};

/// A transaction that outgrows this goes to a spool: the bound on what writer and readers hold of one.
pub(crate) const TRANSACTION_BYTES: usize = 4 << 20;

/// The one writer.
pub(crate) struct Writer {
    out: Appender,
    open: Open,
    /// Open streamed transactions by their top-level id.
    streams: HashMap<u32, Spool>,
    /// The one whose block is being received.
    block: Option<u32>,
    /// Who announced the last relation in this block.
    block_xid: Option<u32>,
    /// Numbers the spools.
    spools: u64,
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

/// A transaction in the buffer's open frame.
#[derive(Debug)]
struct Inline {
    begin: Begin,
    first_lsn: Lsn,
    lsn: Lsn,
    entries: u64,
    statements: Vec<Statement>,
}

impl Writer {
    pub(crate) fn open(shared: Arc<Shared>) -> Result<Self> {
        Ok(Writer {
            out: Appender::open(shared)?,
            open: Open::None,
            streams: HashMap::new(),
            block: None,
            block_xid: None,
            spools: 0,
        })
    }

    #[inline]
    fn append_message(&mut self, lsn: Lsn, message: &[u8]) -> Result<()> {
        // What there is most of, first; nothing of it is looked into.
        if let (Some(b'I' | b'U' | b'D'), Open::Inline(inline)) = (message.first(), &mut self.open) {
            inline.put(&mut self.out, lsn, message);
            return self.bound();
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
            return append_to_spool(&self.out.shared, spool, |spool| spool.append(lsn, message));
        }
        match &mut self.open {
            Open::Inline(inline) => {
                inline.put(&mut self.out, lsn, message);
                self.bound()
            }
            Open::Spooled(_, spool) => {
                append_to_spool(&self.out.shared, spool, |spool| spool.append(lsn, message))
            }
            Open::Resent(_) => Ok(()),
            Open::None => Err(LogError::Protocol { tag, what: "no transaction is open" }),
        }
    }

    fn relation(&mut self, lsn: Lsn, message: &[u8], statement: Statement) -> Result<()> {
        if let Some(spool) = self.block.and_then(|xid| self.streams.get_mut(&xid)) {
            spool.state(self.block_xid, statement);
            return append_to_spool(&self.out.shared, spool, |spool| spool.append(lsn, message));
        }
        match &mut self.open {
            Open::Inline(inline) => {
                inline.statements.push(statement);
                self.entry(lsn, message, 'R')
            }
            Open::Spooled(_, spool) => {
                spool.state(None, statement);
                append_to_spool(&self.out.shared, spool, |spool| spool.append(lsn, message))
            }
            Open::Resent(_) | Open::None => {
                self.out.restate(&statement);
                Ok(())
            }
        }
    }

    fn state_schema(&mut self, schema: &TableSchema) -> Result<()> {
        let statement = Statement::Schema(Arc::new(schema.clone()));
        if let Some(spool) = self.block.and_then(|xid| self.streams.get_mut(&xid)) {
            let xid = self.block_xid.or(self.block);
            spool.state(xid, statement);
            return append_to_spool(&self.out.shared, spool, |spool| {
                spool.append_schema(Some(xid.unwrap_or_default()), schema)
            });
        }
        match &mut self.open {
            Open::Inline(inline) => {
                let in_transaction = inline.statements.iter().rev().find_map(|statement| match statement {
                    Statement::Schema(stated) if stated.id == schema.id => Some(&**stated),
                    _ => None,
                });
                let known =
                    in_transaction.or_else(|| self.out.catalogue.schema(schema.id).map(|known| &**known));
                if known == Some(schema) {
                    return Ok(());
                }
                record::put_schema_entry(self.out.payload(), inline.lsn, None, schema);
                inline.entries += 1;
                inline.statements.push(statement);
                Ok(())
            }
            Open::Spooled(_, spool) => {
                spool.state(None, statement);
                append_to_spool(&self.out.shared, spool, |spool| spool.append_schema(None, schema))
            }
            Open::Resent(_) | Open::None => {
                self.out.restate(&statement);
                Ok(())
            }
        }
    }

    fn begin(&mut self, lsn: Lsn, begin: Begin) -> Result<()> {
        if !matches!(self.open, Open::None) || self.block.is_some() {
            return Err(LogError::Protocol { tag: 'B', what: "a transaction is open already" });
        }
        if Some(begin.final_lsn) <= self.out.last_position {
            self.open = Open::Resent(begin);
            return Ok(());
        }
        self.out.prepare(begin.final_lsn)?;
        self.out.begin_frame();
        // Filled in when the transaction is whole.
        self.out.payload().extend_from_slice(&[0; TRANSACTION_HEAD_BYTES]);
        self.open = Open::Inline(Inline { begin, first_lsn: lsn, lsn, entries: 0, statements: Vec::new() });
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
                self.out.shared.resent.fetch_add(1, Ordering::Relaxed);
            }
            Open::Spooled(begin, spool) => self.join(begin.xid, commit, *spool)?,
            Open::Inline(inline) if inline.entries == 0 => {
                // Nothing that is published happened in it: where it ends is all there is to know.
                self.out.abandon_frame();
                self.out.advance(commit.end_lsn);
            }
            Open::Inline(inline) => {
                let head = TransactionHead {
                    header: header(begin.xid, commit),
                    first_lsn: inline.first_lsn,
                    entries: inline.entries,
                    flags: if inline.statements.is_empty() { 0 } else { HAS_CATALOGUE },
                };
                self.out.open_payload()[..TRANSACTION_HEAD_BYTES].copy_from_slice(&head.encode());
                self.out.seal_frame(FrameKind::Transaction);
                if !inline.statements.is_empty() {
                    let catalogue = Arc::make_mut(&mut self.out.catalogue);
                    inline.statements.iter().for_each(|statement| _ = catalogue.state(statement));
                }
                self.out.committed(commit);
            }
        }
        self.out.write_if_large()
    }

    /// Moves the open transaction to a spool if it has outgrown the buffer.
    #[inline]
    fn bound(&mut self) -> Result<()> {
        if self.out.open_bytes() > self.out.shared.settings.transaction_bytes {
            return self.outgrow();
        }
        Ok(())
    }

    /// The open transaction leaves the buffer for a spool.
    fn outgrow(&mut self) -> Result<()> {
        let Open::Inline(inline) = std::mem::replace(&mut self.open, Open::None) else {
            return Ok(());
        };
        let mut spool = self.create_spool(inline.begin.xid, false)?;
        let shared = Arc::clone(&self.out.shared);
        let (mut rest, mut lsn) = (&self.out.open_payload()[TRANSACTION_HEAD_BYTES..], inline.first_lsn);
        while let Some(message) = record::take_entry(&mut rest, &mut lsn) {
            let appended = append_to_spool(&shared, &mut spool, |spool| spool.append(lsn, message));
            if let Err(error) = appended {
                self.delete_spool(spool)?;
                return Err(error);
            }
        }
        for statement in inline.statements {
            spool.state(None, statement);
        }
        self.out.abandon_frame();
        self.open = Open::Spooled(inline.begin, Box::new(spool));
        Ok(())
    }

    fn create_spool(&mut self, xid: u32, is_streamed: bool) -> Result<Spool> {
        self.spools += 1;
        Spool::create(&self.out.shared.directory, xid, self.spools, is_streamed)
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
        append_to_spool(&self.out.shared, spool, Spool::pause)
    }

    fn stream_commit(&mut self, StreamCommit { xid, commit }: StreamCommit) -> Result<()> {
        fail::fail_point!("log::append");
        let is_new = Some(commit.commit_lsn) > self.out.last_position;
        if is_new && matches!(self.open, Open::None) {
            // Before the spool is taken: what fails here for want of room leaves it to be deleted by a reset.
            self.out.prepare(commit.commit_lsn)?;
        }
        let Some(spool) = self.take_stream('c', xid)? else {
            return Err(LogError::Protocol { tag: 'c', what: "the transaction was never streamed" });
        };
        if !is_new {
            self.out.shared.resent.fetch_add(1, Ordering::Relaxed);
            return self.delete_spool(spool);
        }
        if spool.entries() == 0 {
            self.out.advance(commit.end_lsn);
            return self.delete_spool(spool);
        }
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
        self.out.shared.open_bytes.fetch_sub(spool.bytes(), Ordering::Relaxed);
        spool.delete()
    }

    /// A spooled transaction has committed: its file becomes part of the log, and a frame names it.
    fn join(&mut self, xid: u32, commit: Commit, spool: Spool) -> Result<()> {
        let open_bytes = spool.bytes();
        let (entries, first_lsn, is_streamed) = (spool.entries(), spool.first_lsn(), spool.is_streamed());
        let joined = spool.join(&self.out.shared.directory, commit.commit_lsn);
        self.out.shared.open_bytes.fetch_sub(open_bytes, Ordering::Relaxed);
        let (bytes, aborted, statements) = self.out.shared.note_failure(joined)?;
        self.out.shared.held_bytes.fetch_add(bytes, Ordering::Relaxed);
        let catalogue = changed_relations(&self.out.catalogue, &statements);
        let flags = if catalogue.is_empty() { 0 } else { HAS_CATALOGUE };
        let flags = flags | if is_streamed { IS_STREAMED } else { 0 };
        let head = TransactionHead { header: header(xid, commit), first_lsn, entries, flags };
        let spooled = Spooled { head, bytes, aborted, catalogue };
        self.out.push(FrameKind::Spooled, &spooled.encode());
        if !spooled.catalogue.is_empty() {
            let catalogue = Arc::make_mut(&mut self.out.catalogue);
            spooled.catalogue.into_iter().for_each(|relation| catalogue.insert(relation));
        }
        self.out.committed(commit);
        Ok(())
    }

    fn lone_message(&mut self, lsn: Lsn, message: &[u8]) -> Result<()> {
        self.out.prepare(lsn)?;
        let mut payload = lsn.0.to_le_bytes().to_vec();
        payload.extend_from_slice(message);
        self.out.push(FrameKind::Message, &payload);
        Ok(())
    }

    fn forget_open(&mut self) -> Result<()> {
        self.block = None;
        self.out.abandon_frame();
        if let Open::Spooled(_, spool) = std::mem::replace(&mut self.open, Open::None) {
            self.delete_spool(*spool)?;
        }
        for (_, spool) in std::mem::take(&mut self.streams) {
            self.delete_spool(spool)?;
        }
        Ok(())
    }
}

impl Inline {
    #[inline]
    fn put(&mut self, out: &mut Appender, lsn: Lsn, message: &[u8]) {
        record::put_entry(out.payload(), self.lsn, lsn, message);
        self.lsn = lsn;
        self.entries += 1;
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

impl LogWriter for Writer {
    fn describe_source(&mut self, source: &SourceDescription) -> PortResult<()> {
        let recorded = self.out.source.system_identifier;
        if recorded != 0 && source.system_identifier != 0 && recorded != source.system_identifier {
            return Err(LogError::OtherServer { recorded, connected: source.system_identifier }.into());
        }
        self.out.source = source.clone();
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
        self.out.advance(through);
    }

    fn sync(&mut self) -> PortResult<Lsn> {
        Ok(self.out.sync()?)
    }

    fn is_full(&self) -> bool {
        self.out.shared.held_bytes.load(Ordering::Relaxed) >= self.out.shared.settings.max_bytes
    }

    fn reset(&mut self) -> PortResult<()> {
        Ok(self.forget_open()?)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // What can't be deleted now is deleted at the next opening.
        if let Err(error) = self.forget_open() {
            tracing::warn!(event = "log_spool_left", %error, "an open transaction's spool could not be deleted");
        }
    }
}
