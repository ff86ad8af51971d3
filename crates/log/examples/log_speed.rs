//! How fast the log writes and reads: rows of about 170 bytes in transactions of 100, and single-row transactions.
//!
//! `cargo run --release -p millstream-log --example log_speed [DIRECTORY]`

// A program for people at a terminal.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::{
    path::Path,
    time::{Duration, Instant},
};

use millstream_core::{
    log::{EventLog, LogWriter},
    ColumnSchema, Lsn, PgType, ReplicaIdentity, TableId, TableName, TableSchema, Timestamp, TupleBuilder,
    TypeKind, Value,
};
use millstream_log::{EmbeddedLog, LogSettings};
use millstream_pgoutput::{
    message::{Begin, Commit},
    Message,
};

/// Bytes between syncs, as a caller that groups commits under load would have them.
const SYNC_BYTES: usize = 1 << 20;

fn main() {
    let scratch = std::env::args().nth(1).unwrap_or_else(|| "target/log_speed".to_owned());
    let scratch = Path::new(&scratch);
    for (name, transactions, rows) in
        [("100-row transactions", 20_000, 100), ("1-row transactions", 500_000, 1)]
    {
        let _ = std::fs::remove_dir_all(scratch);
        let log = EmbeddedLog::open(LogSettings::new(scratch)).unwrap();
        let (appending, syncing, bytes) = write(&log, transactions, rows);
        let (reading, read) = read(&log);
        let count = transactions * rows;
        assert_eq!(read, count);
        let per_row = |time: Duration| time.as_nanos() as f64 / count as f64;
        println!(
            "{name}: {count} rows, {} MB of messages, {} MB of log",
            bytes >> 20,
            log.stats().bytes >> 20
        );
        println!("  append {:7.1} ns a row", per_row(appending));
        println!("  sync   {:7.1} ns a row (a sync per {SYNC_BYTES} bytes)", per_row(syncing));
        println!("  read   {:7.1} ns a row", per_row(reading));
    }
    let _ = std::fs::remove_dir_all(scratch);
}

fn write(log: &EmbeddedLog, transactions: usize, rows: usize) -> (Duration, Duration, usize) {
    let mut writer: Box<dyn LogWriter> = log.writer().unwrap();
    writer.schema(&table()).unwrap();
    let insert = insert();
    let (mut syncing, mut unsynced, mut bytes, mut lsn) = (Duration::ZERO, 0, 0, 1u64 << 30);
    let started = Instant::now();
    for number in 0..transactions {
        let xid = number as u32;
        let commit_lsn = Lsn(lsn + rows as u64 * 200);
        let begin = Begin { final_lsn: commit_lsn, commit_time: Timestamp(0), xid };
        writer.append(Lsn(lsn), &Message::Begin(begin).encode()).unwrap();
        for _ in 0..rows {
            lsn += 200;
            writer.append(Lsn(lsn), &insert).unwrap();
            unsynced += insert.len();
        }
        lsn += 100;
        let commit = Commit { commit_lsn, end_lsn: Lsn(lsn), commit_time: Timestamp(0) };
        writer.append(Lsn(lsn), &Message::Commit(commit).encode()).unwrap();
        if unsynced >= SYNC_BYTES {
            let before = Instant::now();
            writer.sync().unwrap();
            syncing += before.elapsed();
            bytes += std::mem::take(&mut unsynced);
        }
    }
    writer.sync().unwrap();
    (started.elapsed() - syncing, syncing, bytes + unsynced)
}

fn read(log: &EmbeddedLog) -> (Duration, usize) {
    let mut reader = log.reader(Lsn(0)).unwrap();
    let started = Instant::now();
    let mut rows = 0;
    while let Some(part) = reader.next(Duration::ZERO).unwrap() {
        rows += part
            .changes
            .iter()
            .filter(|change| matches!(change.kind, millstream_core::ChangeKind::Insert { .. }))
            .count();
    }
    (started.elapsed(), rows)
}

const VALUES: [&str; 8] = [
    "1234567",
    "customer 1234567 of the northern district",
    "a longer text that stands for an address or a remark of some kind",
    "12345.67",
    "2026-11-21 12:00:00.123456",
    "OPEN",
    "7",
    "t",
];

fn insert() -> Vec<u8> {
    let mut builder = TupleBuilder::new();
    for value in VALUES {
        builder.push(Value::Text(value.as_bytes()));
    }
    Message::Insert { xid: None, table: TableId(1), new: builder.finish() }.encode().to_vec()
}

fn table() -> TableSchema {
    let columns = (0..VALUES.len()).map(|index| ColumnSchema {
        attnum: index as i16 + 1,
        name: format!("c{index}"),
        pg_type: PgType { oid: 25, typmod: -1, name: "text".to_owned(), kind: TypeKind::Text },
        not_null: false,
        missing_value: None,
    });
    TableSchema {
        id: TableId(1),
        name: TableName::new("public", "t"),
        columns: columns.collect(),
        key: Some(vec![0]),
        replica_identity: ReplicaIdentity::Default,
        relfilenode: 1,
        class_xmin: 1,
        storage: Default::default(),
    }
}
