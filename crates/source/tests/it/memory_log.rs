//! A log in memory that remembers what it was told, and checks that it is told in the order that its port demands.

use std::sync::{
    atomic::{AtomicBool, Ordering},
    Arc, Mutex, MutexGuard,
};

use bytes::Bytes;
use millstream_core::{
    log::{EventLog, LogReader, LogStats, LogWriter, Order, Result},
    Lsn, TableId, TableSchema,
};
use millstream_pgoutput::{message::StreamCommit, peek, Head, Message};

/// What the log was told.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Told {
    Message(Message),
    Schema(TableSchema),
}

#[derive(Default)]
struct State {
    durable: Vec<Told>,
    flushed: Lsn,
    syncs: usize,
    writers: usize,
}

#[derive(Clone, Default)]
pub(crate) struct MemoryLog {
    state: Arc<Mutex<State>>,
    full: Arc<AtomicBool>,
}

impl MemoryLog {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn port(&self) -> Arc<dyn EventLog> {
        Arc::new(self.clone())
    }

    pub(crate) fn told(&self) -> Vec<Told> {
        self.lock().durable.clone()
    }

    pub(crate) fn flushed(&self) -> Lsn {
        self.lock().flushed
    }

    pub(crate) fn syncs(&self) -> usize {
        self.lock().syncs
    }

    pub(crate) fn set_full(&self, full: bool) {
        self.full.store(full, Ordering::SeqCst);
    }

    /// The first column of every inserted row, in commit order.
    pub(crate) fn inserted(&self) -> Vec<String> {
        let told = self.told();
        let rows = told.iter().filter_map(|told| match told {
            Told::Message(Message::Insert { new, .. }) => Some(new),
            _ => None,
        });
        rows.map(|row| match row.values().next() {
            Some(millstream_core::Value::Text(text)) => String::from_utf8(text.to_vec()).unwrap(),
            other => panic!("{other:?}"),
        })
        .collect()
    }

    pub(crate) fn schemas(&self, table: &str) -> Vec<TableSchema> {
        let told = self.told().into_iter().filter_map(|told| match told {
            Told::Schema(schema) if schema.name.name == table => Some(schema),
            _ => None,
        });
        told.collect()
    }
}

impl EventLog for MemoryLog {
    fn writer(&self) -> Result<Box<dyn LogWriter>> {
        let mut state = self.lock();
        assert_eq!(state.writers, 0, "a log has one writer");
        state.writers += 1;
        Ok(Box::new(MemoryWriter {
            log: self.clone(),
            unsynced: Vec::new(),
            complete: 0,
            end: state.flushed,
            open: false,
            in_stream: false,
            announced: None,
        }))
    }

    fn reader(&self, _: Lsn) -> Result<Box<dyn LogReader>> {
        unreachable!("capture never reads")
    }

    fn advance_consumer(&self, _: &str, _: Lsn) -> Result<()> {
        Ok(())
    }

    fn drop_consumer(&self, _: &str) -> Result<()> {
        Ok(())
    }

    fn retain(&self) -> Result<u64> {
        Ok(0)
    }

    fn stats(&self) -> LogStats {
        LogStats { flushed_lsn: self.flushed(), ..LogStats::default() }
    }

    fn order(&self) -> Order {
        Order::Total
    }
}

struct MemoryWriter {
    log: MemoryLog,
    unsynced: Vec<Told>,
    complete: usize,
    end: Lsn,
    open: bool,
    in_stream: bool,
    announced: Option<TableId>,
}

impl LogWriter for MemoryWriter {
    fn append(&mut self, _: Lsn, message: &[u8]) -> Result<()> {
        assert_eq!(self.announced, None, "a relation's schema must come before anything else");
        let head = peek(message, self.in_stream).unwrap();
        let decoded = Message::decode(Bytes::copy_from_slice(message), self.in_stream).unwrap();
        self.unsynced.push(Told::Message(decoded));
        match head {
            Head::Begin(_) => self.open = true,
            Head::StreamStart(_) => (self.open, self.in_stream) = (true, true),
            Head::StreamStop => (self.open, self.in_stream) = (false, false),
            Head::Relation { table, .. } => self.announced = Some(table),
            Head::Commit(commit) | Head::StreamCommit(StreamCommit { commit, .. }) => {
                self.open = false;
                self.complete = self.unsynced.len();
                // What the source sends again is recognised by its position.
                if commit.end_lsn <= self.log.flushed() {
                    self.unsynced.clear();
                    self.complete = 0;
                }
                self.end = self.end.max(commit.end_lsn);
            }
            _ => {
                assert!(self.open || matches!(head, Head::StreamAbort(_) | Head::Message { .. }), "{head:?}")
            }
        }
        Ok(())
    }

    fn schema(&mut self, schema: &TableSchema) -> Result<()> {
        assert_eq!(self.announced.take(), Some(schema.id), "a schema belongs to the relation before it");
        self.unsynced.push(Told::Schema(schema.clone()));
        Ok(())
    }

    fn advance(&mut self, through: Lsn) {
        assert!(!self.open, "a transaction is open");
        self.end = self.end.max(through);
    }

    fn sync(&mut self) -> Result<Lsn> {
        let mut state = self.log.lock();
        state.durable.extend(self.unsynced.drain(..self.complete));
        self.complete = 0;
        state.flushed = state.flushed.max(self.end);
        state.syncs += 1;
        Ok(state.flushed)
    }

    fn is_full(&self) -> bool {
        self.log.full.load(Ordering::SeqCst)
    }

    fn reset(&mut self) -> Result<()> {
        self.unsynced.clear();
        (self.complete, self.open, self.in_stream, self.announced) = (0, false, false, None);
        self.end = self.log.flushed();
        Ok(())
    }
}

impl Drop for MemoryWriter {
    fn drop(&mut self) {
        self.log.lock().writers -= 1;
    }
}
