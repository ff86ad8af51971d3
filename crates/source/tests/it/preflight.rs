//! The doctor finds each condition that would stop replication, and says how to mend it.

use millstream_core::{Diagnostic, Exit, Lsn};
use millstream_source::{
    preflight::{check, verdict, Before, Check, CheckState},
    replication::Replication,
    wire::Wire,
    Connection, SourceConfig, SourceIdentity, TablePatterns,
};
use millstream_testkit::PgCluster;

use crate::superuser;

fn config(connection: Connection) -> SourceConfig {
    SourceConfig {
        connection,
        slot: "s".into(),
        publication: "p".into(),
        tables: TablePatterns::new(["*"]).unwrap(),
    }
}

fn cluster() -> PgCluster {
    let cluster = PgCluster::start_default().unwrap();
    cluster.execute("CREATE TABLE t (id int PRIMARY KEY)").unwrap();
    cluster
}

fn failed(checks: &[Check]) -> Vec<&Check> {
    checks.iter().filter(|check| check.state == CheckState::Failed).collect()
}

/// Exactly this fails; returns it.
#[track_caller]
fn only(checks: &[Check], code: &str) -> Check {
    let failed = failed(checks);
    assert_eq!(failed.iter().map(|check| check.code).collect::<Vec<_>>(), [code], "{failed:#?}");
    assert!(failed[0].hint.is_some() || failed[0].remedy_sql.is_some(), "no next step: {:?}", failed[0]);
    assert!(verdict(checks).is_err_and(|error| error.code() == code));
    failed[0].clone()
}

async fn run(cluster: &PgCluster) -> Vec<Check> {
    check(&config(superuser(cluster)), &Before::default()).await
}

#[tokio::test]
async fn a_source_that_is_ready_fails_nothing() {
    let cluster = cluster();
    let checks = run(&cluster).await;
    assert_eq!(failed(&checks), Vec::<&Check>::new());
    assert!(verdict(&checks).is_ok());
    assert!(checks.iter().any(|c| c.name == "publication" && c.detail.contains("will be created")));
    assert!(checks.iter().any(|c| c.name == "max_slot_wal_keep_size" && c.state == CheckState::Warning));
    // Looking changed nothing.
    assert_eq!(cluster.execute("SELECT count(*) FROM pg_replication_slots").unwrap().trim(), "0");
}

#[tokio::test]
async fn ways_in_that_are_shut_are_told_apart() {
    let cluster = PgCluster::builder()
        .hba("host all app 127.0.0.1/32 scram-sha-256")
        .hba("host all postgres 127.0.0.1/32 trust")
        .start()
        .unwrap();
    cluster
        .execute("SET password_encryption = 'scram-sha-256'; CREATE ROLE app LOGIN REPLICATION PASSWORD 'right'; CREATE DATABASE shut; REVOKE CONNECT ON DATABASE shut FROM PUBLIC")
        .unwrap();
    let attempt = |url: String| async move { check(&config(url.parse().unwrap()), &Before::default()).await };
    let wrong = only(&attempt(cluster.url_for("app", "wrong", "postgres")).await, "MS2004");
    assert!(!format!("{wrong:?}").contains("wrong\""));
    only(&attempt(format!("{}?sslmode=require", cluster.url())).await, "MS2003");
    only(&attempt(cluster.url_for("postgres", "", "nowhere")).await, "MS2005");
    let shut = only(&attempt(cluster.url_for("app", "right", "shut")).await, "MS2104");
    assert_eq!(shut.remedy_sql.as_deref(), Some("GRANT CONNECT ON DATABASE \"shut\" TO \"app\""));
    let url = cluster.url();
    drop(cluster);
    let gone = only(&attempt(url).await, "MS2002");
    assert_eq!(gone.exit, Exit::Unreachable);
}

#[tokio::test]
async fn wal_level_must_be_logical() {
    let cluster = PgCluster::builder().setting("wal_level", "replica").start().unwrap();
    cluster.execute("CREATE TABLE t (id int PRIMARY KEY)").unwrap();
    let check = only(&run(&cluster).await, "MS2102");
    assert_eq!(check.remedy_sql.as_deref(), Some("ALTER SYSTEM SET wal_level = 'logical'"));
}

#[tokio::test]
async fn the_right_to_replicate_is_not_inherited() {
    let cluster = cluster();
    cluster
        .execute(
            "CREATE ROLE replicators REPLICATION; CREATE ROLE app LOGIN IN ROLE replicators; GRANT SELECT ON t TO app; \
             CREATE PUBLICATION p FOR TABLE t",
        )
        .unwrap();
    let app = config(cluster.url_for("app", "", "postgres").parse().unwrap());
    let check_ = only(&check(&app, &Before::default()).await, "MS2103");
    assert!(check_.detail.contains("member of replicators"), "{}", check_.detail);
    assert_eq!(check_.remedy_sql.as_deref(), Some("ALTER ROLE \"app\" REPLICATION"));
    cluster.execute("ALTER ROLE app REPLICATION").unwrap();
    assert!(verdict(&check(&app, &Before::default()).await).is_ok());
}

#[tokio::test]
async fn missing_privileges_come_with_their_grants() {
    let cluster = cluster();
    cluster
        .execute(
            "CREATE SCHEMA hidden; CREATE TABLE hidden.h (id int PRIMARY KEY); CREATE ROLE app LOGIN REPLICATION; \
             CREATE TABLE walled (id int PRIMARY KEY); ALTER TABLE walled ENABLE ROW LEVEL SECURITY; GRANT SELECT ON walled TO app; \
             CREATE PUBLICATION p FOR ALL TABLES",
        )
        .unwrap();
    let app = config(cluster.url_for("app", "", "postgres").parse().unwrap());
    let checks = check(&app, &Before::default()).await;
    let remedies: Vec<&str> =
        failed(&checks).iter().filter_map(|check| check.remedy_sql.as_deref()).collect();
    assert_eq!(
        remedies,
        [
            "GRANT USAGE ON SCHEMA \"hidden\" TO \"app\"",
            "GRANT SELECT ON \"hidden\".\"h\" TO \"app\"",
            "GRANT SELECT ON \"public\".\"t\" TO \"app\"",
            "ALTER ROLE \"app\" BYPASSRLS",
        ]
    );
    assert!(failed(&checks).iter().all(|check| check.code == "MS2104"));
    // The remedies are enough.
    cluster.execute(&format!("{};", remedies.join(";"))).unwrap();
    assert!(verdict(&check(&app, &Before::default()).await).is_ok());
}

#[tokio::test]
async fn slots_and_walsenders_can_run_out() {
    let cluster = PgCluster::builder()
        .setting("max_replication_slots", 1)
        .setting("max_wal_senders", 1)
        .start()
        .unwrap();
    cluster
        .execute("CREATE TABLE t (id int PRIMARY KEY); SELECT pg_create_physical_replication_slot('other')")
        .unwrap();
    let check = only(&run(&cluster).await, "MS2105");
    assert!(check.detail.contains("all 1 replication slots"), "{}", check.detail);
    cluster.execute("SELECT pg_drop_replication_slot('other')").unwrap();
    let held = Replication::connect(&superuser(&cluster)).await.unwrap();
    only(&run(&cluster).await, "MS2106");
    held.close().await;
}

#[tokio::test]
async fn slots_of_others_and_slots_in_use_are_refused() {
    let cluster = cluster();
    cluster.execute("CREATE DATABASE elsewhere").unwrap();
    let drop_slot = || cluster.execute("SELECT pg_drop_replication_slot('s')").unwrap();

    cluster.execute("SELECT pg_create_logical_replication_slot('s', 'test_decoding')").unwrap();
    assert!(only(&run(&cluster).await, "MS2302").detail.contains("test_decoding"));
    drop_slot();
    cluster.execute("SELECT pg_create_physical_replication_slot('s')").unwrap();
    assert!(only(&run(&cluster).await, "MS2302").detail.contains("physical"));
    drop_slot();
    cluster.execute_in("elsewhere", "SELECT pg_create_logical_replication_slot('s', 'pgoutput')").unwrap();
    assert!(only(&run(&cluster).await, "MS2302").detail.contains("elsewhere"));
    cluster.execute_in("elsewhere", "SELECT pg_drop_replication_slot('s')").unwrap();

    cluster.execute("SELECT pg_create_logical_replication_slot('s', 'pgoutput')").unwrap();
    let mut reader = std::process::Command::new(cluster.program("pg_recvlogical"))
        .args(["-h", "127.0.0.1", "-p", &cluster.port().to_string(), "-U", "postgres", "-d", "postgres"])
        .args([
            "--slot",
            "s",
            "--start",
            "-f",
            "/dev/null",
            "-o",
            "proto_version=1",
            "-o",
            "publication_names=p",
        ])
        .spawn()
        .unwrap();
    let active = || cluster.execute("SELECT active FROM pg_replication_slots").unwrap().trim() == "t";
    while !active() {
        assert!(reader.try_wait().unwrap().is_none(), "pg_recvlogical ended");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let check = only(&run(&cluster).await, "MS2301");
    assert!(check.detail.contains("pg_recvlogical"), "{}", check.detail);
    assert_eq!(check.exit, Exit::Protected);
    reader.kill().unwrap();
    reader.wait().unwrap();
}

#[tokio::test]
async fn a_slot_whose_wal_is_gone_is_found() {
    let cluster = PgCluster::builder().setting("max_slot_wal_keep_size", "1MB").start().unwrap();
    cluster
        .execute(
            "CREATE TABLE t (id int PRIMARY KEY); SELECT pg_create_logical_replication_slot('s', 'pgoutput')",
        )
        .unwrap();
    for round in 0..6 {
        cluster
            .execute(&format!("INSERT INTO t VALUES ({round}); SELECT pg_switch_wal(); CHECKPOINT"))
            .unwrap();
    }
    let check = only(&run(&cluster).await, "MS2304");
    assert_eq!(check.exit, Exit::Protected);
    assert_eq!(check.remedy_sql.as_deref(), Some("SELECT pg_drop_replication_slot('s')"));
}

#[tokio::test]
async fn tables_that_publishing_would_harm_are_named() {
    let cluster = cluster();
    let cases = [
        ("CREATE TABLE x (id int)", "MS2203", "ALTER TABLE \"public\".\"x\" REPLICA IDENTITY FULL"),
        (
            "CREATE TABLE x (id int PRIMARY KEY DEFERRABLE)",
            "MS2203",
            "ALTER TABLE \"public\".\"x\" REPLICA IDENTITY FULL",
        ),
        (
            "CREATE TABLE x (id int PRIMARY KEY); ALTER TABLE x REPLICA IDENTITY NOTHING",
            "MS2203",
            "ALTER TABLE \"public\".\"x\" REPLICA IDENTITY FULL",
        ),
        ("CREATE UNLOGGED TABLE x (id int PRIMARY KEY)", "MS2204", "ALTER TABLE \"public\".\"x\" SET LOGGED"),
    ];
    for (create, code, remedy) in cases {
        cluster.execute(create).unwrap();
        let check = only(&run(&cluster).await, code);
        assert_eq!(check.remedy_sql.as_deref(), Some(remedy), "{create}");
        cluster.execute(&format!("{remedy};")).unwrap();
        assert!(verdict(&run(&cluster).await).is_ok(), "the remedy of {create} is not enough");
        cluster.execute("DROP TABLE x").unwrap();
    }
}

#[tokio::test]
async fn patterns_and_publications_that_miss_something_are_named() {
    let cluster = cluster();
    let mut config = config(superuser(&cluster));
    config.tables = TablePatterns::new(["public.tt"]).unwrap();
    let nothing = only(&check(&config, &Before::default()).await, "MS2201");
    assert_eq!(nothing.hint.as_deref(), Some("did you mean `public.t`?"));
    assert_eq!(nothing.exit, Exit::Usage);
    config.tables = TablePatterns::new(["public.*", "!*.*"]).unwrap();
    only(&check(&config, &Before::default()).await, "MS2201");

    config.tables = TablePatterns::new(["*"]).unwrap();
    cluster.execute("CREATE PUBLICATION p").unwrap();
    let lacking = only(&check(&config, &Before::default()).await, "MS2206");
    assert_eq!(lacking.remedy_sql.as_deref(), Some("ALTER PUBLICATION \"p\" ADD TABLE \"public\".\"t\""));
    cluster.execute(&lacking.remedy_sql.unwrap()).unwrap();
    assert!(verdict(&check(&config, &Before::default()).await).is_ok());
    cluster.execute("ALTER PUBLICATION p SET (publish = 'insert, update')").unwrap();
    let lacking = only(&check(&config, &Before::default()).await, "MS2206");
    assert!(lacking.detail.contains("delete, truncate"), "{}", lacking.detail);
    cluster.execute(&lacking.remedy_sql.unwrap()).unwrap();
    assert!(verdict(&check(&config, &Before::default()).await).is_ok());
}

#[tokio::test]
async fn a_publication_that_the_role_may_not_create_is_printed() {
    let cluster = cluster();
    cluster.execute("CREATE ROLE app LOGIN REPLICATION; GRANT SELECT ON t TO app").unwrap();
    let app = config(cluster.url_for("app", "", "postgres").parse().unwrap());
    let missing = only(&check(&app, &Before::default()).await, "MS2104");
    cluster.execute(&missing.remedy_sql.unwrap()).unwrap();
    assert!(verdict(&check(&app, &Before::default()).await).is_ok());
}

#[tokio::test]
async fn a_source_that_is_not_the_one_from_before_is_refused() {
    let cluster = cluster();
    let config = config(superuser(&cluster));
    let mut before = Before { flushed: Some(Lsn(u64::MAX)), ..Before::default() };
    let checks = check(&config, &before).await;
    let codes: Vec<&str> = failed(&checks).iter().map(|check| check.code).collect();
    assert_eq!(codes, ["MS2306", "MS2303"], "restored, and without its slot");
    assert!(verdict(&checks).is_err_and(|error| error.exit() == Exit::Protected));

    before = Before {
        identity: Some(SourceIdentity { system_identifier: "7".into(), timeline: 1, database: 5 }),
        ..Before::default()
    };
    only(&check(&config, &before).await, "MS2307");
    let mut wire = Wire::connect(&config.connection).await.unwrap();
    assert!(wire.query_one("asking", "SELECT 1").await.is_ok());
}
