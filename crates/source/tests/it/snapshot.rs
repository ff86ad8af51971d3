//! Snapshots against real servers: exact, split, resumed, and in nobody's way.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        atomic::{AtomicBool, AtomicU32, Ordering},
        Arc,
    },
    time::Duration,
};

use millstream_core::{
    base::CopyEncoding, ColumnType, Diagnostic, Exit, Fence, TableId, Timestamp, TransactionHeader, Value,
};
use millstream_pgoutput::{copy::CopyReader, types::column_type, Message};
use millstream_source::{
    capture, catalog, position,
    replication::Replication,
    slot::Slot,
    snapshot::{self, HeldSnapshot, SlotUse, SnapshotConfig, SnapshotObserver},
    wire::Wire,
    CaptureConfig, Observer, Result, SourceError, Stopper,
};
use millstream_testkit::PgCluster;
use tokio::{sync::mpsc, time::sleep};

use crate::{
    memory_base::MemoryBase,
    memory_log::{MemoryLog, Told},
    superuser,
};

pub(crate) async fn config(cluster: &PgCluster) -> SnapshotConfig {
    let mut wire = Wire::connect(&superuser(cluster)).await.unwrap();
    let tables = catalog::tables(&mut wire).await.unwrap();
    SnapshotConfig {
        connection: superuser(cluster),
        publication: None,
        tables: tables.iter().filter(|table| table.partition_root.is_none()).map(|table| table.id).collect(),
        connections: 2,
        chunk_pages: snapshot::chunk_pages_default(),
        column_types: Arc::new(|schema| Ok(schema.columns.iter().map(|c| column_type(&c.pg_type)).collect())),
    }
}

pub(crate) async fn copy(
    config: &SnapshotConfig,
    slot: SlotUse,
    base: &MemoryBase,
) -> Result<Arc<SnapshotObserver>> {
    let (_stopper, stop) = Stopper::new();
    let observer = Arc::new(SnapshotObserver::default());
    snapshot::copy(config, &slot, base.port(), observer.clone(), stop).await?;
    Ok(observer)
}

pub(crate) fn create(slot: &str) -> SlotUse {
    SlotUse::Create { slot: slot.into(), wait_max: Duration::from_secs(30) }
}

/// Copies while four writers insert, then captures; every row must be in exactly one of the two.
async fn copied_and_streamed_once(existing: bool) {
    let cluster = Arc::new(PgCluster::start_default().unwrap());
    cluster.execute("CREATE TABLE t (id int PRIMARY KEY); CREATE PUBLICATION p FOR TABLE t").unwrap();
    if existing {
        cluster.execute("SELECT pg_create_logical_replication_slot('s', 'pgoutput')").unwrap();
    }
    let (done, next) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let (cluster, done, next) = (cluster.clone(), done.clone(), next.clone());
            std::thread::spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    // Transactions of different lengths that overlap, some of them behind the snapshot's back.
                    let sql: String = (0..40)
                        .map(|_| {
                            let id = next.fetch_add(2, Ordering::Relaxed);
                            let nap = f64::from(id % 7) / 1000.0;
                            format!("BEGIN; INSERT INTO t VALUES ({id}); SELECT pg_sleep({nap}); INSERT INTO t VALUES ({}); COMMIT;", id + 1)
                        })
                        .collect();
                    cluster.execute(&sql).unwrap();
                }
            })
        })
        .collect();
    sleep(Duration::from_millis(300)).await;
    let config = SnapshotConfig { publication: Some("p".into()), ..config(&cluster).await };
    let base = MemoryBase::default();
    copy(&config, if existing { SlotUse::Existing } else { create("s") }, &base).await.unwrap();
    sleep(Duration::from_millis(200)).await;
    done.store(true, Ordering::Relaxed);
    writers.into_iter().for_each(|writer| writer.join().unwrap());

    let log = captured(&cluster).await;
    let mut seen: BTreeMap<u32, (u32, u32)> = BTreeMap::new();
    for row in base.rows("t") {
        let id = u32::from_be_bytes(row[0].clone().unwrap().try_into().unwrap());
        seen.entry(id).or_default().0 += 1;
    }
    let copied = seen.len();
    let fence = base.table("t").fence;
    assert_eq!(matches!(fence, Fence::ConsistentPoint(_)), !existing);
    let mut held = false;
    let (mut skipped, mut streamed) = (0, 0);
    for told in log.told() {
        match told {
            Told::Message(Message::Begin(begin)) => {
                held = fence.holds(&header(&begin));
            }
            Told::Message(Message::Insert { .. }) if held => skipped += 1,
            Told::Message(Message::Insert { new, .. }) => {
                let Some(Value::Text(id)) = new.values().next() else { panic!("no id") };
                seen.entry(std::str::from_utf8(id).unwrap().parse().unwrap()).or_default().1 += 1;
                streamed += 1;
            }
            _ => {}
        }
    }
    let rows: usize = cluster.execute("SELECT count(*) FROM t").unwrap().trim().parse().unwrap();
    assert_eq!(seen.len(), rows);
    assert!(seen.values().all(|(copied, streamed)| copied + streamed == 1));
    assert!(copied > 0 && streamed > 0, "{copied} copied, {streamed} streamed");
    assert_eq!(skipped > 0, existing, "a slot that was there before sends what the snapshot holds");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_slots_snapshot_meets_the_stream_exactly() {
    copied_and_streamed_once(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_existing_slots_stream_is_fenced_exactly() {
    copied_and_streamed_once(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn types_without_an_exact_equivalent_are_copied_as_the_stream_prints_them() {
    let cluster = PgCluster::start_default().unwrap();
    cluster
        .execute(
            "CREATE TYPE pair AS (a int, b text); \
             CREATE TABLE t (id int PRIMARY KEY, i inet, p pair, r int4range, m money, n int, pt point, bits bit(3)); \
             INSERT INTO t VALUES (1, '10.0.0.1', ROW(1, 'x y'), '[1,5)', '3.50', 4, '(1,2)', B'101'), \
             (2, NULL, ROW(NULL, NULL), NULL, NULL, NULL, NULL, NULL), (3, '10.0.0.0/8', NULL, 'empty', NULL, 0, NULL, NULL)",
        )
        .unwrap();
    let base = MemoryBase::default();
    copy(&config(&cluster).await, create("s"), &base).await.unwrap();
    let table = base.table("t");
    assert_eq!(table.encodings[0], CopyEncoding::Binary);
    assert_eq!(table.encodings[1], CopyEncoding::Text);
    let mut rows = base.rows("t");
    rows.sort();
    let text = |row: usize, column: usize| {
        rows[row][column].as_ref().map(|bytes| String::from_utf8(bytes.clone()).unwrap())
    };
    assert_eq!(text(0, 1).as_deref(), Some("10.0.0.1"), "a cast to text would have added /32");
    assert_eq!(text(0, 2).as_deref(), Some("(1,\"x y\")"));
    assert_eq!((text(0, 3).as_deref(), text(0, 4).as_deref()), (Some("[1,5)"), Some("$3.50")));
    assert_eq!((text(0, 6).as_deref(), text(0, 7).as_deref()), (Some("(1,2)"), Some("101")));
    assert_eq!(text(1, 2).as_deref(), Some("(,)"), "a composite of nulls is not null");
    assert_eq!((text(1, 1), text(2, 2)), (None, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn column_lists_row_filters_partitions_and_generated_columns_are_followed() {
    let cluster = PgCluster::start_default().unwrap();
    cluster
        .execute(
            "CREATE TABLE t (id int PRIMARY KEY, secret text, n int, twice int GENERATED ALWAYS AS (n * 2) STORED); \
             INSERT INTO t SELECT i, 'hidden', i FROM generate_series(1, 10) i; \
             CREATE TABLE r (id int PRIMARY KEY) PARTITION BY RANGE (id); \
             CREATE TABLE r1 PARTITION OF r FOR VALUES FROM (0) TO (50); \
             CREATE TABLE r2 PARTITION OF r FOR VALUES FROM (50) TO (1000); INSERT INTO r SELECT generate_series(1, 99); \
             CREATE PUBLICATION p FOR TABLE t (id, n) WHERE (id > 5), r WITH (publish_via_partition_root = true)",
        )
        .unwrap();
    let config = SnapshotConfig { publication: Some("p".into()), ..config(&cluster).await };
    let base = MemoryBase::default();
    copy(&config, create("s"), &base).await.unwrap();
    let columns: Vec<_> = base.table("t").schema.columns.iter().map(|c| (c.attnum, c.name.clone())).collect();
    assert_eq!(columns, [(1, "id".to_owned()), (3, "n".to_owned())]);
    assert_eq!(base.rows("t").len(), 5);
    assert_eq!((base.rows("r").len(), base.table("r").chunks.len()), (99, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn open_transactions_that_hold_up_a_slot_are_named() {
    let cluster = PgCluster::start_default().unwrap();
    cluster.execute("CREATE TABLE t (id int PRIMARY KEY)").unwrap();
    let config = config(&cluster).await;
    let mut writer = Wire::connect(&superuser(&cluster)).await.unwrap();
    writer.query("writing", "BEGIN; INSERT INTO public.t VALUES (1)").await.unwrap();
    let slot = SlotUse::Create { slot: "s".into(), wait_max: Duration::from_millis(500) };
    let error = copy(&config, slot, &MemoryBase::default()).await.unwrap_err();
    assert!(matches!(error, SourceError::OpenTransactions { .. }), "{error:?}");
    assert_eq!((error.code(), error.exit()), ("MS2308", Exit::Unreachable));
    let named = format!("pid {} ", writer.backend_pid());
    assert!(error.detail().unwrap().contains(&named), "{:?}", error.detail());
    let mut wire = Wire::connect(&superuser(&cluster)).await.unwrap();
    assert_eq!(Slot::read(&mut wire, "s").await.unwrap(), None, "nothing is left behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_truncated_between_slot_and_lock_gets_a_snapshot_of_its_own() {
    let cluster = PgCluster::start_default().unwrap();
    cluster
        .execute(
            "CREATE TABLE calm (id int PRIMARY KEY); INSERT INTO calm VALUES (1); \
             CREATE TABLE emptied (id int PRIMARY KEY); INSERT INTO emptied VALUES (1); \
             CREATE TABLE rewritten (id int PRIMARY KEY); INSERT INTO rewritten VALUES (1); \
             CREATE TABLE wider (id int PRIMARY KEY)",
        )
        .unwrap();
    let mut replication = Replication::connect(&superuser(&cluster)).await.unwrap();
    let created = replication.create_slot("s", Duration::from_secs(5)).await.unwrap();
    cluster
        .execute(
            "TRUNCATE emptied; ALTER TABLE rewritten ALTER id TYPE bigint; ALTER TABLE wider ADD COLUMN more int DEFAULT 1",
        )
        .unwrap();
    let config = config(&cluster).await;
    let (held, moved) =
        HeldSnapshot::import(&config.connection, None, &config.tables, &created, Timestamp(0)).await.unwrap();
    let names: Vec<_> = held.tables.iter().map(|table| table.schema.name.name.as_str()).collect();
    assert_eq!((names, moved.len()), (vec!["calm"], 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_snapshot_reads_whole_tables_while_writes_go_on() {
    let cluster = PgCluster::start_default().unwrap();
    cluster
        .execute("CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t SELECT i, i FROM generate_series(1, 20000) i")
        .unwrap();
    let tables = config(&cluster).await.tables;
    let mut held = HeldSnapshot::take(&superuser(&cluster), None, &tables).await.unwrap();
    cluster.execute("DELETE FROM t WHERE id > 10").unwrap();
    let schema = held.tables[0].schema.clone();
    let encodings = snapshot::encodings(&schema, &[ColumnType::Integer, ColumnType::Text]);
    assert_eq!(encodings, [CopyEncoding::Binary, CopyEncoding::Text]);
    for _ in 0..2 {
        let mut rows = held.copy(schema.id, &encodings).await.unwrap();
        let mut bytes = Vec::new();
        while let Some(piece) = rows.next().await.unwrap() {
            bytes.extend_from_slice(piece);
        }
        assert_eq!(rows.rows(), Some(20_000));
        assert!(bytes.starts_with(b"PGCOPY\n\xff\r\n\0") && bytes.ends_with(&[0xff, 0xff]));
    }
    assert!(held.copy(TableId(1), &encodings).await.is_err());
    held.release().await;
}

/// Transactions that are just committing are in the WAL and not yet visible: where a fence by position alone fails.
#[tokio::test(flavor = "multi_thread")]
async fn every_snapshot_of_a_table_under_load_is_fenced_exactly() {
    const SNAPSHOTS: usize = 40;
    // With fsync, so that commits take their time between the WAL and becoming visible.
    let cluster = Arc::new(PgCluster::builder().fsync(true).start().unwrap());
    cluster
        .execute("CREATE TABLE t (id int PRIMARY KEY); CREATE PUBLICATION p FOR TABLE t; SELECT pg_create_logical_replication_slot('s', 'pgoutput')")
        .unwrap();
    let (done, next) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let writers: Vec<_> = (0..6)
        .map(|_| {
            let (cluster, done, next) = (cluster.clone(), done.clone(), next.clone());
            std::thread::spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    let id = || next.fetch_add(1, Ordering::Relaxed);
                    let sql: String = (0..200).map(|_| format!("INSERT INTO t VALUES ({});", id())).collect();
                    cluster.execute(&sql).unwrap();
                }
            })
        })
        .collect();
    let tables = config(&cluster).await.tables;
    let mut snapshots = Vec::new();
    while snapshots.len() < SNAPSHOTS {
        let mut held = HeldSnapshot::take(&superuser(&cluster), Some("p"), &tables).await.unwrap();
        let mut rows = held.copy(tables[0], &[CopyEncoding::Binary]).await.unwrap();
        let mut bytes = Vec::new();
        while let Some(piece) = rows.next().await.unwrap() {
            bytes.extend_from_slice(piece);
        }
        let mut reader = CopyReader::new(std::io::Cursor::new(bytes));
        let mut ids = BTreeSet::new();
        while let Some(row) = reader.next_row().unwrap() {
            let id = row.fields().next().unwrap().unwrap();
            ids.insert(u32::from_be_bytes(id.try_into().unwrap()));
        }
        snapshots.push((held.fence.clone(), ids));
        held.release().await;
        sleep(Duration::from_millis(20)).await;
    }
    done.store(true, Ordering::Relaxed);
    writers.into_iter().for_each(|writer| writer.join().unwrap());

    let log = captured(&cluster).await;
    let mut transactions = Vec::new();
    for told in log.told() {
        match told {
            Told::Message(Message::Begin(begin)) => transactions.push((header(&begin), Vec::new())),
            Told::Message(Message::Insert { new, .. }) => {
                let Some(Value::Text(id)) = new.values().next() else { panic!("no id") };
                transactions
                    .last_mut()
                    .unwrap()
                    .1
                    .push(std::str::from_utf8(id).unwrap().parse::<u32>().unwrap());
            }
            _ => {}
        }
    }
    for (number, (fence, ids)) in snapshots.iter().enumerate() {
        for (header, inserted) in &transactions {
            for id in inserted {
                assert_eq!(
                    ids.contains(id),
                    fence.holds(header),
                    "snapshot {number}, row {id}, {header:?}, {fence:?}"
                );
            }
        }
    }
    assert!(snapshots.iter().any(
        |(fence, _)| matches!(fence, Fence::Snapshot { snapshot, .. } if !snapshot.in_progress.is_empty())
    ));
}

fn header(begin: &millstream_pgoutput::message::Begin) -> TransactionHeader {
    TransactionHeader {
        xid: begin.xid,
        commit_lsn: begin.final_lsn,
        end_lsn: begin.final_lsn,
        commit_time: begin.commit_time,
    }
}

/// Everything that slot `s` has, captured.
async fn captured(cluster: &PgCluster) -> MemoryLog {
    let mut wire = Wire::connect(&superuser(cluster)).await.unwrap();
    let end = position::flushed_position(&mut wire).await.unwrap();
    let log = MemoryLog::default();
    let observer = Arc::new(Observer::default());
    let (stopper, stop) = Stopper::new();
    let (events, _listener) = mpsc::channel(1);
    let config = CaptureConfig::new(superuser(cluster), "s", "p");
    let task = tokio::spawn(capture::run(config, log.port(), observer.clone(), events, stop));
    while log.flushed() < end {
        observer.nudge();
        sleep(Duration::from_millis(20)).await;
    }
    stopper.stop();
    task.await.unwrap().unwrap();
    log
}
