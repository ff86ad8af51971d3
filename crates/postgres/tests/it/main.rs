//! The port against a real server: what a session is, what comes back, what the server says against a statement, and what is there after an error.

#![allow(
    clippy::unwrap_used,
    reason = "a panic is how a test fails; clippy exempts only the test functions themselves"
)]

use std::{
    thread,
    time::{Duration, Instant},
};

use millstream_core::build::{BuildConnection, BuildWarehouse, Cell, RelationKind, Response};
use millstream_postgres::{PgBuild, Settings};
use millstream_testkit::{PgCluster, StopMode};

fn settings(cluster: &PgCluster, more: &[(&'static str, &str)]) -> Settings {
    let mut parameters = vec![
        ("host", "127.0.0.1".to_owned()),
        ("port", cluster.port().to_string()),
        ("user", "postgres".to_owned()),
        ("dbname", "postgres".to_owned()),
    ];
    parameters.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
    Settings::new(&parameters, None).unwrap()
}

fn connection(cluster: &PgCluster) -> Box<dyn BuildConnection> {
    PgBuild::open(settings(cluster, &[])).unwrap().connect().unwrap()
}

#[test]
fn rows_come_back_with_their_types_and_statements_with_what_was_said() {
    let cluster = PgCluster::start_default().unwrap();
    let mut connection = connection(&cluster);
    let sql = "select 1 as a, 2.50::numeric(9,2) as b, sum(n) as c, true as d, null as e, 'x'::varchar(3) as f, 1.5::float8 as g, date '2024-02-29' as h, array[1, 2] as i \
               from generate_series(1, 3) n -- the end";
    let answer = connection.query(sql, 10).unwrap();
    assert_eq!(
        answer.rows,
        [vec![
            Cell::Int(1),
            Cell::Text("2.50".into()),
            Cell::Int(6),
            Cell::Bool(true),
            Cell::Null,
            Cell::Text("x".into()),
            Cell::Float(1.5),
            Cell::Text("2024-02-29".into()),
            Cell::Text("{1,2}".into()),
        ]]
    );
    let types: Vec<&str> = answer.columns.iter().map(|(_, kind)| kind.as_str()).collect();
    let wanted = [
        "integer",
        "numeric(9,2)",
        "bigint",
        "boolean",
        "text",
        "character varying(3)",
        "double precision",
        "date",
        "integer[]",
    ];
    assert_eq!(types, wanted);
    assert_eq!(
        answer.response,
        Response { message: "SELECT 1".into(), code: Some("SELECT".into()), rows: Some(1) }
    );
    let said = connection
        .run("create table t (a int); insert into t values (1), (2); insert into t select 3")
        .unwrap();
    assert_eq!((said.message.as_str(), said.rows), ("INSERT 0 1", Some(1)));
    assert_eq!(connection.run("create view v as select * from t").unwrap().message, "CREATE VIEW");
    // Of several statements the last one's rows.
    assert_eq!(connection.query("select 1; select a from t order by a", 3).unwrap().rows.len(), 3);
    let error = connection.query("select a from t", 2).unwrap_err();
    assert_eq!(error.code(), "MS5404");
    assert_eq!(connection.query("select a from t where a = 1", 2).unwrap().rows, [vec![Cell::Int(1)]]);
    assert!(connection.run("copy t from stdin").unwrap_err().to_string().contains("can't be copied"));
    connection.run("copy t to stdout").unwrap();
    connection.run("").unwrap();
}

#[test]
fn what_the_server_refuses_is_told_whole_and_what_was_begun_is_undone() {
    let cluster = PgCluster::start_default().unwrap();
    let mut connection = connection(&cluster);
    connection.run("create table t (a int primary key)").unwrap();
    connection.begin().unwrap();
    connection.begin().unwrap();
    connection.run("insert into t values (1)").unwrap();
    let error = connection.run("insert into t\nvalues (1)").unwrap_err();
    assert_eq!(error.code(), "MS5404");
    let told = error.to_string();
    assert!(
        told.contains("(SQLSTATE 23505)") && told.contains("detail: Key (a)=(1) already exists."),
        "{told}"
    );
    // A transaction that has failed can't be committed.
    assert!(connection.commit().is_err());
    assert!(connection.query("select * from t", 9).unwrap().rows.is_empty());
    let error = connection.run("select 1,\n  nothing from t").unwrap_err().to_string();
    assert!(error.contains("line 2:   nothing from t\n          ^"), "{error}");
    connection.begin().unwrap();
    connection.run("insert into t values (2)").unwrap();
    connection.rollback().unwrap();
    connection.rollback().unwrap();
    assert!(connection.query("select * from t", 9).unwrap().rows.is_empty());
}

#[test]
fn what_is_there_is_told_as_the_catalogue_has_it() {
    let cluster = PgCluster::start_default().unwrap();
    let mut connection = connection(&cluster);
    connection
        .run(
            "create schema s; create table s.t (a int, gone int, b varchar(7)); alter table s.t drop gone; create view s.v as select a from s.t; \
             create materialized view s.m as select b from s.t; comment on table s.t is 'It''s T'; comment on column s.t.b is 'B'; \
             create temporary table only_here (x numeric(4,1))",
        )
        .unwrap();
    let mut found = connection.relations("POSTGRES").unwrap();
    found.sort_by(|left, right| left.name.cmp(&right.name));
    let told: Vec<(&str, RelationKind)> =
        found.iter().map(|found| (found.name.as_str(), found.kind)).collect();
    assert_eq!(
        told,
        [("m", RelationKind::MaterializedView), ("t", RelationKind::Table), ("v", RelationKind::View)]
    );
    assert!(connection.relations("elsewhere").unwrap().is_empty());
    let mut columns = |schema: &str, name: &str| connection.columns("postgres", schema, name).unwrap();
    let pair = |name: &str, kind: &str| (name.to_owned(), kind.to_owned());
    assert_eq!(columns("s", "t"), [pair("a", "integer"), pair("b", "character varying(7)")]);
    assert_eq!(columns("s", "m"), [pair("b", "character varying(7)")]);
    assert_eq!(columns("pg_temp", "only_here"), [pair("x", "numeric(4,1)")]);
    assert!(columns("s", "T").is_empty());
    let described = connection.described("postgres").unwrap();
    let table = described.iter().find(|one| one.name == "t").unwrap();
    assert_eq!((table.comment.as_deref(), table.owner.as_deref()), (Some("It's T"), Some("postgres")));
    let columns: Vec<(&str, i64, Option<&str>)> = table
        .columns
        .iter()
        .map(|column| (column.name.as_str(), column.index, column.comment.as_deref()))
        .collect();
    assert_eq!(columns, [("a", 1, None), ("b", 3, Some("B"))]);
}

#[test]
fn a_session_is_as_the_profile_says_and_comes_back_when_it_was_lost() {
    let cluster = PgCluster::start_default().unwrap();
    cluster.execute("create role builder; alter database postgres set timezone = 'Asia/Tokyo'").unwrap();
    let more = [("options", "-c search_path=a,\\ b"), ("application_name", "tests")];
    let build = PgBuild::open(settings(&cluster, &more).role(Some("builder".into())).retries(3)).unwrap();
    let mut connection = build.connect().unwrap();
    let asked = "select current_user, current_setting('search_path'), current_setting('TimeZone'), current_setting('application_name')";
    let texts = ["builder", "a, b", "Asia/Tokyo", "tests"].map(|text| Cell::Text(text.into())).to_vec();
    assert_eq!(connection.query(asked, 1).unwrap().rows, std::slice::from_ref(&texts));
    let kill = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'tests'";
    connection.begin().unwrap();
    cluster.execute(kill).unwrap();
    assert_eq!(connection.run("select 1").unwrap_err().code(), "MS5403");
    // The transaction is gone with the connection, and there is another one.
    connection.rollback().unwrap();
    assert_eq!(connection.query(asked, 1).unwrap().rows, [texts]);
    cluster.stop(StopMode::Fast).unwrap();
    let error = PgBuild::open(settings(&cluster, &[])).err().unwrap();
    assert_eq!(millstream_core::Diagnostic::code(&error), "MS5402");
}

#[test]
fn a_statement_is_interrupted_from_elsewhere_and_the_connection_goes_on() {
    let cluster = PgCluster::builder().tls().start().unwrap();
    for mode in ["disable", "require"] {
        let settings = settings(&cluster, &[("sslmode", mode)]);
        let mut connection = PgBuild::open(settings).unwrap().connect().unwrap();
        let interrupt = connection.interrupter().unwrap();
        let (begun, interrupting) = (
            Instant::now(),
            thread::spawn(move || {
                thread::sleep(Duration::from_millis(300));
                interrupt();
            }),
        );
        let error = connection.run("select pg_sleep(60)").unwrap_err();
        assert!(error.to_string().contains("57014"), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
        interrupting.join().unwrap();
        assert_eq!(connection.query("select 1", 1).unwrap().rows, [vec![Cell::Int(1)]]);
    }
}
