//! What the watcher sees of changes that no row event tells.

use std::{sync::Arc, time::Duration};

use millstream_core::TableSchema;
use millstream_source::{
    catalog::{self, table_schemas},
    watcher::{self, WatchConfig},
    wire::Wire,
    Observer, SourceEvent, Stopper, TableChange,
};
use millstream_testkit::PgCluster;
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};

use crate::superuser;

struct Watching {
    events: mpsc::Receiver<SourceEvent>,
    observer: Arc<Observer>,
    stopper: Stopper,
    task: JoinHandle<()>,
}

fn watch(cluster: &PgCluster, known: Vec<TableSchema>) -> Watching {
    let config = WatchConfig {
        connection: superuser(cluster),
        slot: "s".into(),
        publication: "p".into(),
        interval: Duration::from_millis(50),
    };
    let (sender, events) = mpsc::channel(16);
    let (stopper, stop) = Stopper::new();
    let observer = Arc::new(Observer::default());
    let task = tokio::spawn(watcher::run(config, known, observer.clone(), sender, stop));
    Watching { events, observer, stopper, task }
}

impl Watching {
    async fn next(&mut self) -> (String, TableChange) {
        match timeout(Duration::from_secs(20), self.events.recv()).await.expect("an event").unwrap() {
            SourceEvent::TableChanged { name, change, .. } => (name.name, change),
            other => panic!("{other:?}"),
        }
    }

    /// Nothing is told for some looks.
    async fn silent(&mut self) {
        let event = timeout(Duration::from_millis(400), self.events.recv()).await;
        assert!(event.is_err(), "{event:?}");
    }

    async fn stop(self) {
        self.stopper.stop();
        self.task.await.unwrap();
    }
}

async fn known(cluster: &PgCluster) -> Vec<TableSchema> {
    let mut wire = Wire::connect(&superuser(cluster)).await.unwrap();
    let tables = catalog::publication(&mut wire, "p").await.unwrap().unwrap().tables;
    let ids: Vec<_> = tables.iter().map(|table| table.id).collect();
    table_schemas(&mut wire, Some("p"), &ids).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_without_a_row_event_are_told_once() {
    let cluster = PgCluster::start_default().unwrap();
    cluster
        .execute("CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 1); CREATE PUBLICATION p FOR TABLE t; SELECT pg_create_logical_replication_slot('s', 'pgoutput')")
        .unwrap();
    let mut watching = watch(&cluster, known(&cluster).await);
    watching.silent().await;
    assert!(watching.observer.status().source_lsn.0 > 0 && watching.observer.status().wal_retained_bytes > 0);

    cluster.execute("ALTER TABLE t ADD COLUMN more int DEFAULT 7").unwrap();
    let (_, change) = watching.next().await;
    let TableChange::Columns { schema } = change else { panic!("{change:?}") };
    assert_eq!(schema.columns[2].missing_value.as_deref(), Some("7"));

    cluster.execute("ALTER TABLE t ALTER n TYPE int USING n + 1").unwrap();
    let (_, change) = watching.next().await;
    assert!(matches!(change, TableChange::Rewritten { class_xmin } if class_xmin > 0), "{change:?}");

    cluster.execute("ALTER TABLE t RENAME TO u").unwrap();
    let (name, change) = watching.next().await;
    assert_eq!(name, "t");
    assert!(matches!(change, TableChange::Renamed { to } if to.name == "u"));

    cluster.execute("INSERT INTO u VALUES (2, 2, 2); ANALYZE u").unwrap();
    watching.silent().await;

    cluster.execute("ALTER PUBLICATION p DROP TABLE u").unwrap();
    assert_eq!(watching.next().await, ("u".into(), TableChange::Unpublished));
    cluster.execute("ALTER PUBLICATION p ADD TABLE u").unwrap();
    assert_eq!(watching.next().await, ("u".into(), TableChange::Published));
    cluster.execute("DROP TABLE u").unwrap();
    assert_eq!(watching.next().await, ("u".into(), TableChange::Dropped));
    watching.silent().await;
    watching.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_while_nobody_watched_is_told_at_the_first_look() {
    let cluster = PgCluster::start_default().unwrap();
    cluster
        .execute("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE gone (id int PRIMARY KEY); CREATE PUBLICATION p FOR TABLE t, gone")
        .unwrap();
    let before = known(&cluster).await;
    cluster.execute("ALTER TABLE t ALTER id TYPE bigint; DROP TABLE gone").unwrap();
    let mut watching = watch(&cluster, before);
    let mut told = Vec::new();
    for _ in 0..3 {
        let (name, change) = watching.next().await;
        told.push((name, std::mem::discriminant(&change)));
    }
    let kind = |change: TableChange| std::mem::discriminant(&change);
    assert!(told.contains(&("gone".into(), kind(TableChange::Dropped))));
    assert!(told.contains(&("t".into(), kind(TableChange::Rewritten { class_xmin: 0 }))));
    watching.silent().await;
    watching.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_come_and_go_with_partitions_are_told() {
    let cluster = PgCluster::start_default().unwrap();
    cluster
        .execute(
            "CREATE TABLE r (id int PRIMARY KEY) PARTITION BY RANGE (id); \
             CREATE TABLE r1 PARTITION OF r FOR VALUES FROM (0) TO (10); INSERT INTO r VALUES (1); \
             CREATE PUBLICATION p FOR TABLE r WITH (publish_via_partition_root = true)",
        )
        .unwrap();
    let mut watching = watch(&cluster, known(&cluster).await);
    watching.silent().await;
    cluster
        .execute("CREATE TABLE r2 PARTITION OF r FOR VALUES FROM (10) TO (20); INSERT INTO r VALUES (11)")
        .unwrap();
    watching.silent().await;

    let partitions = |change: TableChange| match change {
        TableChange::Partitions { attached, detached, rewritten } => [attached, detached, rewritten]
            .map(|names| names.into_iter().map(|name| name.name).collect::<Vec<_>>()),
        other => panic!("{other:?}"),
    };
    cluster
        .execute("CREATE TABLE r3 (id int PRIMARY KEY); INSERT INTO r3 VALUES (21); ALTER TABLE r ATTACH PARTITION r3 FOR VALUES FROM (20) TO (30)")
        .unwrap();
    assert_eq!(partitions(watching.next().await.1), [vec!["r3".to_owned()], vec![], vec![]]);
    cluster.execute("TRUNCATE r1").unwrap();
    assert_eq!(partitions(watching.next().await.1), [vec![], vec![], vec!["r1".to_owned()]]);
    cluster.execute("ALTER TABLE r DETACH PARTITION r2; DROP TABLE r1; DROP TABLE r3").unwrap();
    let mut gone = Vec::new();
    while gone.len() < 3 {
        gone.extend(partitions(watching.next().await.1)[1].clone());
    }
    gone.sort();
    assert_eq!(gone, ["r1", "r2", "r3"]);
    watching.stop().await;
}

/// Another file node alone says nothing. What does is whether a statement ran that can change rows.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_file_node_without_a_changed_row_is_not_told() {
    let cluster = PgCluster::start_default().unwrap();
    cluster
        .execute(
            "CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t SELECT g, g FROM generate_series(1, 100) g; \
             CREATE TABLE unnamed (id int PRIMARY KEY); CREATE PUBLICATION p FOR ALL TABLES; CREATE PUBLICATION named FOR TABLE t",
        )
        .unwrap();
    let mut watching = watch(&cluster, known(&cluster).await);
    watching.silent().await;
    for harmless in [
        "TRUNCATE t",
        "INSERT INTO t SELECT g, g FROM generate_series(1, 100) g",
        "VACUUM FULL t",
        "CLUSTER t USING t_pkey",
        "BEGIN; TRUNCATE t; INSERT INTO t VALUES (1, 1); COMMIT",
        "VACUUM (FREEZE, ANALYZE) t",
    ] {
        cluster.execute(harmless).unwrap();
        watching.silent().await;
    }
    for touching in [
        "ALTER TABLE t ALTER n TYPE int USING n + 1",
        "BEGIN; TRUNCATE t; INSERT INTO t VALUES (1, 1); ALTER TABLE t ALTER n TYPE int USING n + 1; COMMIT",
        // Removed and put back, it could have been unlogged meanwhile.
        "BEGIN; ALTER PUBLICATION named DROP TABLE t; ALTER TABLE t SET UNLOGGED; UPDATE t SET n = 5; ALTER TABLE t SET LOGGED; \
         ALTER PUBLICATION named ADD TABLE t; COMMIT",
    ] {
        cluster.execute(touching).unwrap();
        let (name, change) = watching.next().await;
        assert!(name == "t" && matches!(change, TableChange::Rewritten { .. }), "{touching}: {change:?}");
    }
    // Which no publication names could be unlogged under FOR ALL TABLES, so nothing is proven of it.
    cluster.execute("VACUUM FULL unnamed").unwrap();
    let (name, change) = watching.next().await;
    assert!(name == "unnamed" && matches!(change, TableChange::Rewritten { .. }), "{change:?}");
    watching.silent().await;
    watching.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_changed_while_nobody_watched_are_told_at_the_first_look() {
    let cluster = PgCluster::start_default().unwrap();
    cluster
        .execute(
            "CREATE TABLE r (id int PRIMARY KEY) PARTITION BY RANGE (id); \
             CREATE TABLE r1 PARTITION OF r FOR VALUES FROM (0) TO (10); INSERT INTO r VALUES (1); \
             CREATE PUBLICATION p FOR TABLE r WITH (publish_via_partition_root = true)",
        )
        .unwrap();
    for (meanwhile, told) in [
        ("CREATE TABLE r2 PARTITION OF r FOR VALUES FROM (10) TO (20)", false),
        ("TRUNCATE r1", true),
        ("ALTER TABLE r DETACH PARTITION r1", true),
        ("ALTER TABLE r ATTACH PARTITION r1 FOR VALUES FROM (0) TO (10)", true),
    ] {
        let before = known(&cluster).await;
        cluster.execute(meanwhile).unwrap();
        let mut watching = watch(&cluster, before);
        if told {
            let (name, change) = watching.next().await;
            assert!(
                name == "r" && matches!(change, TableChange::Rewritten { .. }),
                "{meanwhile}: {change:?}"
            );
        }
        watching.silent().await;
        watching.stop().await;
    }
}
