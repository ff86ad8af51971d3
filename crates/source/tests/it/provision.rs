//! Slots and publications: used when there, created when not, never to the application's harm.

use millstream_core::Diagnostic;
use millstream_source::{catalog, provision, wire::Wire, SourceConfig, SourceError, TablePatterns};
use millstream_testkit::PgCluster;

use crate::superuser;

fn config(cluster: &PgCluster, patterns: &[&str]) -> SourceConfig {
    SourceConfig {
        connection: superuser(cluster),
        slot: "s".into(),
        publication: "p".into(),
        tables: TablePatterns::new(patterns).unwrap(),
    }
}

fn cluster() -> PgCluster {
    let cluster = PgCluster::start_default().unwrap();
    cluster
        .execute(
            "CREATE SCHEMA operations; CREATE TABLE operations.orders (id int PRIMARY KEY); \
             CREATE TABLE operations.audit (id int); CREATE TABLE public.parts (id int, PRIMARY KEY (id)) PARTITION BY LIST (id); \
             CREATE TABLE public.parts_1 PARTITION OF public.parts FOR VALUES IN (1)",
        )
        .unwrap();
    cluster
}

#[tokio::test]
async fn a_missing_publication_is_created_for_the_selected_tables() {
    let cluster = cluster();
    let mut wire = Wire::connect(&superuser(&cluster)).await.unwrap();
    let config = config(&cluster, &["*", "!operations.audit"]);
    let plan = provision::plan(&mut wire, &config, false).await.unwrap();
    assert!(plan.create_slot && plan.create_publication);
    provision::execute(&mut wire, &config, &plan, true).await.unwrap();
    let publication = catalog::publication(&mut wire, "p").await.unwrap().unwrap();
    let names: Vec<_> = publication.tables.iter().map(|table| table.name.to_string()).collect();
    assert_eq!(names, ["operations.orders", "public.parts"]);
    assert!(publication.via_root && !publication.all_tables && publication.operations.truncate);

    let again = provision::plan(&mut wire, &config, true).await.unwrap();
    assert!(!again.create_publication && again.statements.is_empty());

    // A table that appears later is added to a publication of ours, and asked for in one of somebody else's.
    cluster.execute("CREATE TABLE operations.later (id int PRIMARY KEY)").unwrap();
    let error = provision::plan(&mut wire, &config, false).await.unwrap_err();
    assert_eq!(error.code(), "MS2206");
    assert!(error.hint().unwrap().contains("ALTER PUBLICATION \"p\" ADD TABLE \"operations\".\"later\""));
    let plan = provision::plan(&mut wire, &config, true).await.unwrap();
    provision::execute(&mut wire, &config, &plan, false).await.unwrap();
    assert_eq!(catalog::publication(&mut wire, "p").await.unwrap().unwrap().tables.len(), 3);
}

#[tokio::test]
async fn nothing_is_created_when_a_table_would_be_harmed() {
    let cluster = cluster();
    let mut wire = Wire::connect(&superuser(&cluster)).await.unwrap();
    let error = provision::plan(&mut wire, &config(&cluster, &["*"]), false).await.unwrap_err();
    assert!(
        matches!(&error, SourceError::NoIdentity { table, .. } if table == "operations.audit"),
        "{error:?}"
    );
    assert!(catalog::publication(&mut wire, "p").await.unwrap().is_none());
    assert!(error.hint().unwrap().contains("ALTER TABLE \"operations\".\"audit\" REPLICA IDENTITY FULL"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_older_than_its_publication_is_moved_behind_it() {
    let cluster = cluster();
    cluster
        .execute(
            "SELECT pg_create_logical_replication_slot('s', 'pgoutput'); INSERT INTO operations.orders VALUES (1)",
        )
        .unwrap();
    let mut wire = Wire::connect(&superuser(&cluster)).await.unwrap();
    let config = config(&cluster, &["operations.orders"]);
    let plan = provision::plan(&mut wire, &config, false).await.unwrap();
    assert!(!plan.create_slot && plan.create_publication);
    provision::execute(&mut wire, &config, &plan, true).await.unwrap();
    // Without the move the server would look for the publication in a catalogue older than it, and fail.
    cluster.execute("INSERT INTO operations.orders VALUES (2)").unwrap();
    let rows = cluster
        .execute(
            "SELECT count(*) FROM pg_logical_slot_peek_binary_changes('s', NULL, NULL, 'proto_version', '1', \
             'publication_names', 'p') WHERE get_byte(data, 0) = ascii('I')",
        )
        .unwrap();
    assert_eq!(rows.trim(), "1");
}

#[tokio::test]
async fn a_role_that_may_not_create_the_publication_is_told_the_statement() {
    let cluster = cluster();
    cluster
        .execute("CREATE ROLE reader LOGIN REPLICATION; GRANT USAGE ON SCHEMA operations TO reader; GRANT SELECT ON operations.orders TO reader")
        .unwrap();
    let mut config = config(&cluster, &["operations.orders"]);
    config.connection = cluster.url_for("reader", "", "postgres").parse().unwrap();
    let mut wire = Wire::connect(&config.connection).await.unwrap();
    let plan = provision::plan(&mut wire, &config, false).await.unwrap();
    let error = provision::execute(&mut wire, &config, &plan, true).await.unwrap_err();
    assert_eq!(error.code(), "MS2104");
    assert!(error.hint().unwrap().contains("CREATE PUBLICATION \"p\" FOR TABLE \"operations\".\"orders\""));
}
