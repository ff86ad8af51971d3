//! A source in a few lines: messages as PostgreSQL would send them, and what a reader made of them.

use std::{path::Path, time::Duration};

use millstream_core::{
    log::{EventLog, LogReader, LogWriter},
    Change, ChangeKind, ColumnSchema, Lsn, PgType, ReplicaIdentity, TableId, TableName, TableSchema,
    Timestamp, TransactionHeader, Tuple, TupleBuilder, TypeKind, Value,
};
use millstream_log::{EmbeddedLog, LogSettings};
use millstream_pgoutput::{
    message::{Begin, Commit, Relation, RelationColumn, StreamAbort, StreamCommit, StreamStart},
    Message,
};

/// Long enough for a loaded machine; only waited for where something is missing.
pub(crate) const WAIT: Duration = Duration::from_secs(20);

pub(crate) fn settings(dir: &Path) -> LogSettings {
    LogSettings::new(dir)
}

pub(crate) fn open(dir: &Path) -> EmbeddedLog {
    EmbeddedLog::open(settings(dir)).unwrap()
}

pub(crate) fn row(text: &str) -> Tuple {
    let mut builder = TupleBuilder::new();
    builder.push(Value::Text(text.as_bytes()));
    builder.finish()
}

/// A table with so many text columns.
pub(crate) fn table(id: u32, columns: usize) -> TableSchema {
    let columns = (0..columns).map(|index| ColumnSchema {
        attnum: index as i16 + 1,
        name: format!("c{index}"),
        pg_type: PgType { oid: 25, typmod: -1, name: "text".to_owned(), kind: TypeKind::Text },
        not_null: false,
        missing_value: None,
    });
    TableSchema {
        id: TableId(id),
        name: TableName::new("public", format!("t{id}")),
        columns: columns.collect(),
        key: Some(vec![0]),
        replica_identity: ReplicaIdentity::Default,
        relfilenode: id,
        class_xmin: 3,
        storage: Default::default(),
    }
}

pub(crate) fn relation(schema: &TableSchema, xid: Option<u32>) -> Message {
    let columns = schema.columns.iter().map(|column| RelationColumn {
        key: column.attnum == 1,
        name: column.name.clone(),
        type_oid: column.pg_type.oid,
        type_modifier: -1,
    });
    let relation = Relation {
        id: schema.id,
        name: schema.name.clone(),
        replica_identity: schema.replica_identity,
        columns: columns.collect(),
    };
    Message::Relation { xid, relation }
}

/// Feeds a writer as a replication connection would.
pub(crate) struct Source {
    pub(crate) writer: Box<dyn LogWriter>,
    /// Of the next message.
    pub(crate) lsn: u64,
}

impl Source {
    pub(crate) fn new(log: &EmbeddedLog) -> Self {
        Source { writer: log.writer().unwrap(), lsn: 1000 }
    }

    pub(crate) fn send(&mut self, message: &Message) {
        self.lsn += 8;
        self.writer.append(Lsn(self.lsn), &message.encode()).unwrap();
    }

    pub(crate) fn begin(&mut self, xid: u32, commit_lsn: u64) {
        self.send(&Message::Begin(Begin {
            final_lsn: Lsn(commit_lsn),
            commit_time: Timestamp(i64::from(xid)),
            xid,
        }));
    }

    pub(crate) fn commit(&mut self, xid: u32, commit_lsn: u64) {
        self.send(&Message::Commit(commit(xid, commit_lsn)));
    }

    pub(crate) fn insert(&mut self, xid: Option<u32>, table: u32, text: &str) {
        self.send(&Message::Insert { xid, table: TableId(table), new: row(text) });
    }

    pub(crate) fn schema(&mut self, schema: &TableSchema, xid: Option<u32>) {
        self.send(&relation(schema, xid));
        self.writer.schema(schema).unwrap();
    }

    /// A whole transaction of single-column inserts.
    pub(crate) fn transaction(&mut self, xid: u32, commit_lsn: u64, table: u32, texts: &[&str]) {
        self.begin(xid, commit_lsn);
        texts.iter().for_each(|text| self.insert(None, table, text));
        self.commit(xid, commit_lsn);
    }

    pub(crate) fn stream_start(&mut self, xid: u32, first: bool) {
        self.send(&Message::StreamStart(StreamStart { xid, first }));
    }

    pub(crate) fn stream_stop(&mut self) {
        self.send(&Message::StreamStop);
    }

    pub(crate) fn stream_commit(&mut self, xid: u32, commit_lsn: u64) {
        self.send(&Message::StreamCommit(StreamCommit { xid, commit: commit(xid, commit_lsn) }));
    }

    pub(crate) fn stream_abort(&mut self, xid: u32, subxid: u32) {
        self.send(&Message::StreamAbort(StreamAbort { xid, subxid, abort: None }));
    }

    pub(crate) fn sync(&mut self) -> Lsn {
        self.writer.sync().unwrap()
    }
}

pub(crate) fn commit(xid: u32, commit_lsn: u64) -> Commit {
    Commit {
        commit_lsn: Lsn(commit_lsn),
        end_lsn: Lsn(commit_lsn + 5),
        commit_time: Timestamp(i64::from(xid)),
    }
}

/// A transaction as it was read, its parts put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) header: TransactionHeader,
    pub(crate) changes: Vec<Change>,
    pub(crate) parts: usize,
}

impl Read {
    /// Inserted rows as `table:text`, schemas as `table/columns`.
    pub(crate) fn told(&self) -> Vec<String> {
        let told = |change: &Change| match &change.kind {
            ChangeKind::Insert { table, new } => {
                let Some(Value::Text(text)) = new.values().next() else { panic!("not a row of ours") };
                format!("{}:{}", table.id, String::from_utf8_lossy(text))
            }
            ChangeKind::Schema { table } => format!("{}/{}", table.id, table.columns.len()),
            kind => format!("{kind:?}"),
        };
        self.changes.iter().map(told).collect()
    }

    /// The number of columns of every inserted row's table.
    pub(crate) fn columns(&self) -> Vec<usize> {
        let columns = self.changes.iter().filter_map(|change| match &change.kind {
            ChangeKind::Insert { table, .. } => Some(table.columns.len()),
            _ => None,
        });
        columns.collect()
    }
}

/// Everything that is durable after a position.
pub(crate) fn read_after(log: &EmbeddedLog, after: u64) -> Vec<Read> {
    read_all(&mut *log.reader(Lsn(after)).unwrap())
}

/// Everything that is durable and not read yet, with the parts' promises checked.
pub(crate) fn read_all(reader: &mut dyn LogReader) -> Vec<Read> {
    let mut transactions: Vec<Read> = Vec::new();
    let mut inside = false;
    while let Some(part) = reader.next(Duration::ZERO).unwrap() {
        assert_eq!(part.first, !inside, "a part begins where none was open");
        inside = !part.last;
        if part.first {
            transactions.push(Read { header: (*part.header).clone(), changes: Vec::new(), parts: 0 });
        }
        let transaction = transactions.last_mut().unwrap();
        assert_eq!(transaction.header, *part.header);
        transaction.changes.extend(part.changes);
        transaction.parts += 1;
        if part.last {
            assert!(reader.complete_through() > part.header.commit_lsn);
        }
    }
    assert!(!inside, "a transaction has no end");
    transactions
}

pub(crate) fn told(transactions: &[Read]) -> Vec<Vec<String>> {
    transactions.iter().map(Read::told).collect()
}

/// A directory for a log, in memory where the system has that: what an fsync means can't be tested here, and thousands of
/// them take minutes on a disk.
pub(crate) fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    }
}

/// A directory as it would be found after a kill at this moment.
pub(crate) fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
