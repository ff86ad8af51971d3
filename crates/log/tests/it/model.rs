//! Random histories against a model: what is read back equals what a list of committed transactions says, through syncs, rollovers,
//! kills, lost connections and transactions sent again.

use std::{collections::BTreeMap, path::Path};

use millstream_core::log::EventLog;
use millstream_log::{EmbeddedLog, LogSettings};
use proptest::{collection::vec, prelude::*};

use crate::support::*;

/// One step of a history. Numbers choose among what there is.
#[derive(Debug, Clone)]
enum Step {
    /// An ordinary transaction; `true` changes the table's columns before the row.
    Transaction(Vec<(u32, bool, u8)>),
    /// A block of a streamed transaction.
    Block(u32, Vec<InBlock>),
    /// Rolls a savepoint of a streamed transaction back.
    RollBack(u32, usize),
    CommitStream(u32),
    AbortStream(u32),
    Advance,
    Sync,
    /// The process dies: what is not durable may be gone.
    Kill,
    /// The connection is lost; the source sends the last transactions again.
    Reconnect(usize),
}

#[derive(Debug, Clone)]
enum InBlock {
    Row(u32, u8),
    /// The table's columns change.
    Alter(u32),
    Savepoint,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let table = 1u32..4;
    let in_block = prop_oneof![
        4 => (table.clone(), any::<u8>()).prop_map(|(table, text)| InBlock::Row(table, text)),
        1 => table.clone().prop_map(InBlock::Alter),
        2 => Just(InBlock::Savepoint),
    ];
    let stream = 1u32..4;
    let step = prop_oneof![
        6 => vec((table, prop::bool::weighted(0.2), any::<u8>()), 0..6).prop_map(Step::Transaction),
        6 => (stream.clone(), vec(in_block, 0..8)).prop_map(|(stream, rows)| Step::Block(stream, rows)),
        3 => (stream.clone(), 0usize..4).prop_map(|(stream, savepoint)| Step::RollBack(stream, savepoint)),
        3 => stream.clone().prop_map(Step::CommitStream),
        1 => stream.prop_map(Step::AbortStream),
        1 => Just(Step::Advance),
        4 => Just(Step::Sync),
        1 => Just(Step::Kill),
        1 => (0usize..4).prop_map(Step::Reconnect),
    ];
    vec(step, 1..60)
}

/// What a committed transaction must read as: rows with the number of columns that their table had.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Expected {
    commit_lsn: u64,
    rows: Vec<(String, usize)>,
}

/// A message as it was sent, to be sent again.
#[derive(Debug, Clone)]
enum Sent {
    Begin(u32),
    Schema(u32, usize),
    Row(u32, String),
}

#[derive(Debug, Default)]
struct Stream {
    xid: u32,
    begun: bool,
    /// Whether anything was said in it, rolled back or not.
    spoke: bool,
    /// Open subtransactions, innermost last.
    savepoints: Vec<u32>,
    /// Who wrote what: xid, text, columns.
    rows: Vec<(u32, String, usize)>,
    /// Columns by table, as stated and by whom; the latest last.
    stated: Vec<(u32, u32, usize)>,
    /// The server says them again after a rollback.
    said: Vec<u32>,
}

impl Stream {
    fn current(&self) -> u32 {
        self.savepoints.last().copied().unwrap_or(self.xid)
    }
}

struct World {
    dir: tempfile::TempDir,
    log: EmbeddedLog,
    source: Source,
    committed: Vec<(Expected, Vec<Sent>)>,
    streams: BTreeMap<u32, Stream>,
    columns: BTreeMap<u32, usize>,
    next_lsn: u64,
    next_xid: u32,
}

fn small(dir: &Path) -> LogSettings {
    LogSettings { segment_bytes: 2048, transaction_bytes: 400, ..settings(dir) }
}

impl World {
    fn new() -> Self {
        let dir = scratch();
        let log = EmbeddedLog::open(small(dir.path())).unwrap();
        let source = Source::new(&log);
        World {
            dir,
            log,
            source,
            committed: Vec::new(),
            streams: BTreeMap::new(),
            columns: BTreeMap::new(),
            next_lsn: 10_000,
            next_xid: 100,
        }
    }

    fn xid(&mut self) -> u32 {
        self.next_xid += 1;
        self.next_xid
    }

    fn commit_lsn(&mut self) -> u64 {
        self.next_lsn += 100;
        self.next_lsn
    }

    fn play(&mut self, step: Step) {
        match step {
            Step::Transaction(rows) => self.transaction(rows),
            Step::Block(stream, rows) => self.block(stream, rows),
            Step::RollBack(stream, savepoint) => self.roll_back(stream, savepoint),
            Step::CommitStream(stream) => self.commit_stream(stream),
            Step::AbortStream(stream) => {
                if let Some(stream) = self.streams.remove(&stream) {
                    self.source.stream_abort(stream.xid, stream.xid);
                }
            }
            Step::Advance => {
                let through = self.commit_lsn();
                self.source.writer.advance(millstream_core::Lsn(through));
            }
            Step::Sync => _ = self.source.sync(),
            Step::Kill => self.kill(),
            Step::Reconnect(transactions) => self.reconnect(transactions),
        }
    }

    fn transaction(&mut self, rows: Vec<(u32, bool, u8)>) {
        let xid = self.xid();
        let commit_lsn = self.commit_lsn();
        let mut sent = vec![Sent::Begin(xid)];
        let mut expected = Expected { commit_lsn, rows: Vec::new() };
        for (id, alter, text) in rows {
            let known = self.columns.get(&id).copied();
            let columns = known.unwrap_or(1) + usize::from(alter);
            if known != Some(columns) {
                self.columns.insert(id, columns);
                sent.push(Sent::Schema(id, columns));
            }
            let text = text_of(text);
            expected.rows.push((format!("{id}:{text}"), columns));
            sent.push(Sent::Row(id, text));
        }
        self.send(&sent, commit_lsn);
        if !expected.rows.is_empty() {
            self.committed.push((expected, sent));
        }
    }

    fn send(&mut self, sent: &[Sent], commit_lsn: u64) {
        let mut begun = 0;
        for message in sent {
            match message {
                Sent::Begin(xid) => {
                    begun = *xid;
                    self.source.begin(*xid, commit_lsn);
                }
                Sent::Schema(id, columns) => self.source.schema(&table(*id, *columns), None),
                Sent::Row(id, text) => self.source.insert(None, *id, text),
            }
        }
        self.source.commit(begun, commit_lsn);
    }

    fn block(&mut self, slot: u32, rows: Vec<InBlock>) {
        let mut stream = self.streams.remove(&slot).unwrap_or_default();
        if !stream.begun {
            stream.xid = self.xid();
        }
        self.source.stream_start(stream.xid, !stream.begun);
        stream.begun = true;
        for row in rows {
            match row {
                InBlock::Savepoint => {
                    let subxid = self.xid();
                    stream.savepoints.push(subxid);
                }
                InBlock::Alter(id) => self.alter(&mut stream, slot, id, 10),
                InBlock::Row(id, text) => {
                    // Tables of one stream are its own: no other transaction can alter a table that it has written to.
                    let id = slot * 10 + id;
                    if !stream.said.contains(&id) {
                        self.alter(&mut stream, 0, id, 0);
                    }
                    let columns = columns_of(&stream, id).unwrap_or(1);
                    let text = text_of(text);
                    let xid = stream.current();
                    stream.spoke = true;
                    self.source.insert(Some(xid), id, &text);
                    stream.rows.push((xid, format!("{id}:{text}"), columns));
                }
            }
        }
        self.source.stream_stop();
        self.streams.insert(slot, stream);
    }

    /// States a table's columns in a stream: as they are, or one more of them.
    fn alter(&mut self, stream: &mut Stream, slot: u32, id: u32, factor: u32) {
        let id = slot * factor + id;
        let known = columns_of(stream, id).or(self.columns.get(&id).copied()).unwrap_or(1);
        let columns = known + usize::from(factor > 0);
        let xid = stream.current();
        self.source.schema(&table(id, columns), Some(xid));
        stream.stated.push((xid, id, columns));
        stream.spoke = true;
        stream.said.push(id);
    }

    fn roll_back(&mut self, slot: u32, savepoint: usize) {
        let Some(stream) = self.streams.get_mut(&slot) else {
            return;
        };
        if savepoint >= stream.savepoints.len() {
            return;
        }
        for subxid in stream.savepoints.split_off(savepoint).into_iter().rev() {
            stream.rows.retain(|(xid, ..)| *xid != subxid);
            stream.stated.retain(|(xid, ..)| *xid != subxid);
            self.source.stream_abort(stream.xid, subxid);
        }
        stream.said.clear();
    }

    fn commit_stream(&mut self, slot: u32) {
        let Some(stream) = self.streams.remove(&slot) else {
            return;
        };
        let commit_lsn = self.commit_lsn();
        self.source.stream_commit(stream.xid, commit_lsn);
        for (_, id, columns) in &stream.stated {
            self.columns.insert(*id, *columns);
        }
        let rows: Vec<_> = stream.rows.iter().map(|(_, row, columns)| (row.clone(), *columns)).collect();
        // Sent again it would be streamed again; as an ordinary transaction it serves to be recognised.
        let sent = vec![Sent::Begin(stream.xid)];
        if stream.spoke {
            self.committed.push((Expected { commit_lsn, rows }, sent));
        }
    }

    fn kill(&mut self) {
        let durable = self.log.stats().last_position;
        let image = scratch();
        copy_dir(self.dir.path(), image.path());
        let log = EmbeddedLog::open(small(image.path())).unwrap();
        let held = log.stats().last_position;
        assert!(held >= durable);
        // The source sends again what is not held; a stream that had committed is among it and is left out here.
        self.source = Source::new(&log);
        self.log = log;
        self.dir = image;
        self.streams.clear();
        let held = held.map_or(0, |held| held.0);
        let (kept, lost): (Vec<_>, Vec<_>) = std::mem::take(&mut self.committed)
            .into_iter()
            .partition(|(expected, _)| expected.commit_lsn <= held);
        self.committed = kept;
        // What the lost ones stated is stated again by who comes next.
        self.columns.clear();
        self.say_tables_again();
        for (expected, sent) in lost.into_iter().filter(|(_, sent)| sent.len() > 1) {
            let restated = with_columns(&expected, &sent);
            self.send(&restated, expected.commit_lsn);
            for message in &restated {
                if let Sent::Schema(id, columns) = message {
                    self.columns.insert(*id, *columns);
                }
            }
            self.committed.push((expected, restated));
        }
    }

    /// After a new connection the server says every table's relation before its first row.
    fn say_tables_again(&mut self) {
        for (expected, _) in &self.committed {
            for (row, columns) in &expected.rows {
                let id: u32 = row.split_once(':').unwrap().0.parse().unwrap();
                self.columns.insert(id, *columns);
            }
        }
        for (id, columns) in &self.columns {
            self.source.writer.schema(&table(*id, *columns)).unwrap();
        }
    }

    fn reconnect(&mut self, transactions: usize) {
        self.source.writer.reset().unwrap();
        self.streams.clear();
        let from = self.committed.len().saturating_sub(transactions);
        let again: Vec<_> = self.committed[from..]
            .iter()
            .map(|(expected, sent)| (expected.commit_lsn, with_columns(expected, sent)))
            .collect();
        again.into_iter().for_each(|(commit_lsn, sent)| self.send(&sent, commit_lsn));
    }

    fn check(&mut self) {
        self.source.sync();
        let everything: Vec<_> = self.committed.iter().map(|(expected, _)| expected.clone()).collect();
        for from in [0, everything.len() / 2, everything.len()] {
            let after = everything[..from].last().map_or(0, |expected| expected.commit_lsn);
            assert_eq!(seen(&read_after(&self.log, after)), everything[from..], "after {after}");
        }
        let image = scratch();
        copy_dir(self.dir.path(), image.path());
        let log = EmbeddedLog::open(small(image.path())).unwrap();
        assert_eq!(seen(&read_after(&log, 0)), everything, "after a kill");
    }
}

/// The messages with every row's columns said before it where they differ from the row before's.
fn with_columns(expected: &Expected, sent: &[Sent]) -> Vec<Sent> {
    let mut rows = expected.rows.iter();
    let mut said = BTreeMap::new();
    let mut all = Vec::new();
    for message in sent {
        match message {
            Sent::Schema(..) => {}
            Sent::Row(id, _) => {
                let columns = rows.next().unwrap().1;
                if said.insert(*id, columns) != Some(columns) {
                    all.push(Sent::Schema(*id, columns));
                }
                all.push(message.clone());
            }
            Sent::Begin(_) => all.push(message.clone()),
        }
    }
    all
}

fn seen(read: &[Read]) -> Vec<Expected> {
    let seen = |transaction: &Read| {
        let told = transaction.told().into_iter().filter(|told| told.contains(':'));
        Expected {
            commit_lsn: transaction.header.commit_lsn.0,
            rows: told.zip(transaction.columns()).collect(),
        }
    };
    read.iter().map(seen).collect()
}

fn columns_of(stream: &Stream, id: u32) -> Option<usize> {
    stream.stated.iter().rev().find(|(_, stated, _)| *stated == id).map(|(.., columns)| *columns)
}

/// Mostly short, now and then long enough for a spool.
fn text_of(byte: u8) -> String {
    "x".repeat(if byte < 20 { 500 } else { usize::from(byte % 10) })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_history_reads_back_as_it_was_committed(steps in steps()) {
        let mut world = World::new();
        for step in steps {
            world.play(step);
        }
        world.check();
    }
}
