//! Capture against real servers: what reaches the log, what is acknowledged, and what ends it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use millstream_core::{Diagnostic, Exit, Lsn};
use millstream_pgoutput::Message;
use millstream_source::{
    capture, CaptureConfig, CaptureState, Observer, Result, SourceError, SourceEvent, SourceIdentity, Stopper,
};
use millstream_testkit::{PgCluster, StopMode, TcpProxy, Weather};
use tokio::{sync::mpsc, task::JoinHandle, time::sleep};

use crate::{
    memory_log::{MemoryLog, Told},
    superuser,
};

const WAIT_MAX: Duration = Duration::from_secs(30);

async fn until(what: &str, mut happened: impl FnMut() -> bool) {
    let began = Instant::now();
    while !happened() {
        assert!(began.elapsed() < WAIT_MAX, "waited in vain for {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// A cluster with a table, a publication of everything and a slot.
fn cluster() -> PgCluster {
    prepared(PgCluster::start_default().unwrap())
}

fn prepared(cluster: PgCluster) -> PgCluster {
    cluster
        .execute(
            "CREATE TABLE t (id int PRIMARY KEY, note text); CREATE PUBLICATION p FOR ALL TABLES; \
             SELECT pg_create_logical_replication_slot('s', 'pgoutput')",
        )
        .unwrap();
    cluster
}

fn config(cluster: &PgCluster) -> CaptureConfig {
    CaptureConfig::new(superuser(cluster), "s", "p")
}

struct Running {
    observer: Arc<Observer>,
    events: mpsc::Receiver<SourceEvent>,
    stopper: Stopper,
    task: JoinHandle<Result<()>>,
}

fn start(config: CaptureConfig, log: &MemoryLog) -> Running {
    let observer = Arc::new(Observer::default());
    let (sender, events) = mpsc::channel(64);
    let (stopper, stop) = Stopper::new();
    let task = tokio::spawn(capture::run(config, log.port(), observer.clone(), sender, stop));
    Running { observer, events, stopper, task }
}

impl Running {
    async fn streaming(&self) {
        until("streaming", || {
            self.observer.status().state == CaptureState::Streaming || self.task.is_finished()
        })
        .await;
    }

    async fn stop(self) {
        self.stopper.stop();
        self.task.await.unwrap().unwrap();
    }
}

fn confirmed(cluster: &PgCluster) -> Lsn {
    let text = cluster
        .execute("SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = 's'")
        .unwrap();
    text.trim().parse().unwrap()
}

async fn fails(config: CaptureConfig, log: &MemoryLog) -> SourceError {
    let running = start(config, log);
    tokio::time::timeout(WAIT_MAX, running.task).await.expect("it ends").unwrap().unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_committed_is_logged_with_its_schema_and_then_acknowledged() {
    let cluster = cluster();
    let log = MemoryLog::default();
    let running = start(config(&cluster), &log);
    running.streaming().await;
    cluster.execute("INSERT INTO t VALUES (1, 'a'), (2, NULL)").unwrap();
    until("two rows", || log.inserted() == ["1", "2"]).await;
    let schema = &log.schemas("t")[0];
    let columns: Vec<_> =
        schema.columns.iter().map(|c| (c.attnum, c.name.as_str(), c.pg_type.name.as_str())).collect();
    assert_eq!(columns, [(1, "id", "integer"), (2, "note", "text")]);
    assert_eq!(schema.key, Some(vec![0]));
    assert!(schema.relfilenode > 0 && schema.class_xmin > 0);
    until("the acknowledgement", || confirmed(&cluster) >= log.flushed()).await;
    let status = running.observer.status();
    assert_eq!((status.transactions, status.error.is_none()), (1, true));
    assert!(status.flushed_lsn == log.flushed() && status.last_commit.is_some());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_goes_on_where_the_log_ends() {
    let cluster = cluster();
    let log = MemoryLog::default();
    for id in 1..=3 {
        let running = start(config(&cluster), &log);
        running.streaming().await;
        cluster.execute(&format!("INSERT INTO t VALUES ({id})")).unwrap();
        until("the row", || log.inserted().len() == id).await;
        running.stop().await;
    }
    assert_eq!(log.inserted(), ["1", "2", "3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_added_in_a_streamed_transaction_is_known_before_its_rows() {
    let cluster = PgCluster::builder().setting("logical_decoding_work_mem", "64kB").start().unwrap();
    let cluster = prepared(cluster);
    let log = MemoryLog::default();
    let running = start(config(&cluster), &log);
    running.streaming().await;
    cluster
        .execute(
            "BEGIN; INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(1, 5000) i; \
             ALTER TABLE t DROP COLUMN note; ALTER TABLE t ADD COLUMN more int DEFAULT 7; \
             INSERT INTO t SELECT i FROM generate_series(5001, 10000) i; COMMIT; INSERT INTO t VALUES (10001)",
        )
        .unwrap();
    until("all rows", || log.inserted().len() == 10_001).await;
    let told = log.told();
    assert!(
        told.iter().any(|told| matches!(told, Told::Message(Message::StreamStart(_)))),
        "it was not streamed"
    );
    let schemas = log.schemas("t");
    let last = schemas.last().unwrap();
    let more = last.columns.iter().find(|column| column.name == "more").unwrap();
    assert_eq!((more.attnum, more.missing_value.as_deref()), (3, Some("7")));
    let first = &schemas[0];
    // The catalogue has forgotten the column's name by then, the message has not.
    assert_eq!(
        first.columns.iter().map(|c| (c.attnum, &*c.name)).collect::<Vec<_>>(),
        [(1, "id"), (2, "note")]
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_database_beside_a_busy_one_lets_its_slot_advance() {
    let cluster = cluster();
    cluster.execute("CREATE DATABASE busy").unwrap();
    let log = MemoryLog::default();
    let running = start(config(&cluster), &log);
    running.streaming().await;
    let before = confirmed(&cluster);
    cluster.execute_in("busy", "CREATE TABLE b AS SELECT generate_series(1, 10000) i").unwrap();
    let end: Lsn = cluster.execute("SELECT pg_current_wal_flush_lsn()").unwrap().trim().parse().unwrap();
    assert!(end > before);
    until("the slot to advance", || {
        running.observer.nudge();
        confirmed(&cluster) >= end
    })
    .await;
    assert!(log.inserted().is_empty());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_network_and_a_restarted_server_lose_nothing() {
    let cluster = cluster();
    let proxy = TcpProxy::start(cluster.port()).unwrap();
    let mut config = config(&cluster);
    config.connection = cluster
        .url()
        .replace(&format!(":{}", cluster.port()), &format!(":{}", proxy.port()))
        .parse()
        .unwrap();
    let log = MemoryLog::default();
    let mut running = start(config, &log);
    running.streaming().await;
    cluster.execute("INSERT INTO t SELECT generate_series(1, 10)").unwrap();
    until("the first rows", || log.inserted().len() == 10).await;
    proxy.set(Weather::Cut);
    until("the loss", || running.observer.status().state == CaptureState::Reconnecting).await;
    cluster.execute("INSERT INTO t SELECT generate_series(11, 20)").unwrap();
    proxy.set(Weather::Clear);
    until("the rows of the cut", || log.inserted().len() == 20).await;
    cluster.restart(StopMode::Immediate).unwrap();
    cluster.execute("INSERT INTO t SELECT generate_series(21, 30)").unwrap();
    until("the rows behind the crash", || log.inserted().len() == 30).await;
    assert_eq!(log.inserted(), (1..=30).map(|id| id.to_string()).collect::<Vec<_>>());
    assert!(running.observer.status().reconnects >= 2);
    let mut waited = false;
    while let Ok(event) = running.events.try_recv() {
        waited |= matches!(event, SourceEvent::Waiting { .. });
    }
    assert!(waited, "waiting is said");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_falls_silent_is_given_up() {
    let cluster = cluster();
    let proxy = TcpProxy::start(cluster.port()).unwrap();
    let mut config = config(&cluster);
    config.connection = cluster
        .url()
        .replace(&format!(":{}", cluster.port()), &format!(":{}", proxy.port()))
        .parse()
        .unwrap();
    config.silence_max = Duration::from_secs(3);
    let log = MemoryLog::default();
    let running = start(config, &log);
    running.streaming().await;
    // A server that answers when asked is not silent.
    sleep(Duration::from_secs(5)).await;
    assert_eq!(running.observer.status().reconnects, 0);
    proxy.set(Weather::HalfOpen);
    until("the loss", || running.observer.status().reconnects > 0).await;
    proxy.set(Weather::Clear);
    cluster.execute("INSERT INTO t VALUES (1)").unwrap();
    until("the row", || log.inserted() == ["1"]).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_log_makes_capture_wait_and_the_server_keeps_it() {
    let cluster = PgCluster::builder().setting("wal_sender_timeout", "3s").start().unwrap();
    let cluster = prepared(cluster);
    let log = MemoryLog::default();
    let running = start(config(&cluster), &log);
    running.streaming().await;
    log.set_full(true);
    cluster.execute("INSERT INTO t SELECT i, repeat('x', 1000) FROM generate_series(1, 30000) i").unwrap();
    until("the pause", || running.observer.status().state == CaptureState::Paused).await;
    sleep(Duration::from_secs(5)).await;
    assert_eq!(running.observer.status().state, CaptureState::Paused);
    log.set_full(false);
    until("all rows", || log.inserted().len() == 30_000).await;
    assert_eq!(running.observer.status().reconnects, 0, "the server ended a connection that only waited");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_that_arrive_together_share_a_sync() {
    let cluster = cluster();
    let log = MemoryLog::default();
    let many: String = (1..=2000).map(|id| format!("INSERT INTO t VALUES ({id});")).collect();
    cluster.execute(&many).unwrap();
    let running = start(config(&cluster), &log);
    until("all rows", || log.inserted().len() == 2000).await;
    assert!(log.syncs() < 1000, "{} syncs", log.syncs());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_in_use_is_waited_for_and_taken_over() {
    let cluster = cluster();
    let first = start(config(&cluster), &MemoryLog::default());
    first.streaming().await;

    let mut impatient = config(&cluster);
    impatient.slot_wait_max = Duration::from_millis(300);
    let error = fails(impatient, &MemoryLog::default()).await;
    assert!(matches!(error, SourceError::SlotInUse { .. }), "{error:?}");
    assert_eq!(error.exit(), Exit::Protected);

    let log = MemoryLog::default();
    let second = start(config(&cluster), &log);
    until("the wait", || second.observer.status().state == CaptureState::WaitingForSlot).await;
    first.stop().await;
    second.streaming().await;
    cluster.execute("INSERT INTO t VALUES (1)").unwrap();
    until("the row", || log.inserted() == ["1"]).await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_is_not_the_one_we_left_is_refused() {
    let cluster = cluster();
    let log = MemoryLog::default();
    let running = start(config(&cluster), &log);
    running.streaming().await;
    cluster.execute("INSERT INTO t VALUES (1)").unwrap();
    until("the row", || log.inserted() == ["1"]).await;
    running.stop().await;

    cluster.execute("SELECT pg_drop_replication_slot('s')").unwrap();
    let error = fails(config(&cluster), &log).await;
    assert_eq!((error.code(), error.exit()), ("MS2303", Exit::Protected));

    cluster
        .execute("INSERT INTO t VALUES (2); SELECT pg_create_logical_replication_slot('s', 'pgoutput')")
        .unwrap();
    let error = fails(config(&cluster), &log).await;
    assert_eq!((error.code(), error.exit()), ("MS2305", Exit::Protected));

    let mut new = config(&cluster);
    new.needed_from = Some(log.flushed());
    let error = fails(new, &MemoryLog::default()).await;
    assert_eq!(error.code(), "MS2305", "a new log that needs what is gone");

    cluster
        .execute(
            "SELECT pg_drop_replication_slot('s'); SELECT pg_create_logical_replication_slot('s', 'test_decoding')",
        )
        .unwrap();
    assert_eq!(fails(config(&cluster), &log).await.code(), "MS2302");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_source_is_refused() {
    let cluster = cluster();
    let mut other = config(&cluster);
    other.identity = Some(SourceIdentity { system_identifier: "1".into(), timeline: 1, database: 5 });
    let error = fails(other, &MemoryLog::default()).await;
    assert_eq!((error.code(), error.exit()), ("MS2307", Exit::Protected));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_connection_that_fails_is_an_error_at_once() {
    let cluster = cluster();
    let config = config(&cluster);
    drop(cluster);
    assert_eq!(fails(config, &MemoryLog::default()).await.code(), "MS2002");
}
