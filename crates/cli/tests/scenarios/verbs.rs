//! What the verbs that ask answer, and how they end.

use std::process::{Output, Stdio};

use millstream_testkit::PgCluster;

use crate::{live::Live, project::Project};

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const TABLES: &str = "CREATE TABLE orders (id int PRIMARY KEY, total numeric, note text); \
                      INSERT INTO orders SELECT g, g * 1.10, 'n' FROM generate_series(1, 5000) g;";

#[test]
fn a_query_that_is_wrong_ends_with_2_and_one_before_history_says_since_when() {
    let live = Live::start(TABLES);
    let project = &live.project;
    for (wrong, error) in [
        ("SELECT nonsense FROM shop.orders", "MS5302"),
        ("SELEC 1", "MS5302"),
        ("SELECT * FROM nothing", "MS5302"),
        ("CREATE TABLE mine (x int)", "MS5301"),
        ("SELECT 1; SELECT 2", "MS5301"),
    ] {
        let output = project.run(&["sql", wrong]);
        assert_eq!(code(&output), Some(2), "{wrong}: {output:?}");
        assert!(said(&output).contains(&format!("error[{error}]")), "{wrong}: {}", said(&output));
        assert!(output.stdout.is_empty(), "{wrong}");
    }
    let status = project.succeed(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    let since = status["tables"][0]["history_since"].as_str().unwrap();
    for early in ["2020-01-01T00:00:00Z", "0/1"] {
        let output = project.run(&["sql", "SELECT * FROM shop.orders", "--as-of", early]);
        assert_eq!(code(&output), Some(2), "{output:?}");
        assert!(said(&output).contains("error[MS5303]"), "{}", said(&output));
        // To the second: the view prints as DuckDB does.
        let day_and_second = since[..19].replace('T', " ");
        assert!(said(&output).contains(&day_and_second) || said(&output).contains("0/"), "{}", said(&output));
    }
    let output = project.run(&["sql", "SELECT 1", "--as-of", "yesterday"]);
    assert_eq!(code(&output), Some(2), "{output:?}");
    assert!(said(&output).contains("error[MS6201]"), "{}", said(&output));
    live.finish();
}

#[test]
fn a_name_without_a_schema_is_found_and_two_of_them_are_refused() {
    let cluster = PgCluster::start_default().unwrap();
    cluster
        .execute(
            "CREATE TABLE orders (id int PRIMARY KEY); INSERT INTO orders SELECT generate_series(1, 50); \
             CREATE TABLE parts (id int PRIMARY KEY); CREATE SCHEMA depot; CREATE TABLE depot.parts (id int PRIMARY KEY)",
        )
        .unwrap();
    let project = Project::with_source(&cluster.url(), "tables: [\"public.*\", \"depot.*\"]");
    project.catch_up();
    project.expect("SELECT count(*) AS n FROM orders", r#"[{"n":50}]"#);
    let lsn = cluster.execute("SELECT pg_current_wal_lsn()").unwrap();
    cluster.execute("DELETE FROM orders WHERE id > 10").unwrap();
    project.catch_up();
    project.expect("SELECT count(*) AS n FROM Orders", r#"[{"n":10}]"#);
    let then = project.sql_as_of("SELECT count(*) AS n FROM orders", &lsn);
    assert!(then.contains("50"), "{then}");
    project
        .expect("SELECT count(*) AS n FROM orders_history WHERE operation_type = 'DELETE'", r#"[{"n":40}]"#);
    project.expect("SELECT count(*) AS n FROM orders_as_of(now())", r#"[{"n":10}]"#);
    // A name that the query defines itself is its own, and one with its schema is clear.
    project.expect("WITH parts AS (SELECT 1 AS n) SELECT n FROM parts", r#"[{"n":1}]"#);
    project.expect("SELECT count(*) AS n FROM depot.parts, orders", r#"[{"n":0}]"#);
    for ambiguous in [
        "SELECT * FROM parts",
        "SELECT * FROM orders JOIN \"Parts\" USING (id)",
        "SELECT (SELECT count(*) FROM parts_history)",
        "SELECT * FROM parts_as_of(now())",
    ] {
        let output = project.run(&["sql", ambiguous]);
        assert_eq!(code(&output), Some(2), "{ambiguous}: {output:?}");
        let said = said(&output);
        assert!(said.contains("error[MS5305]"), "{ambiguous}: {said}");
        assert!(said.contains("depot.parts") && said.contains("public.parts"), "{ambiguous}: {said}");
        let early = project.run(&["sql", ambiguous, "--as-of", &lsn]);
        assert_eq!(code(&early), Some(2), "{ambiguous}: {early:?}");
    }
}

/// `tail` shows a person what psql would.
#[test]
fn tail_shows_values_as_postgresql_prints_them() {
    let live = Live::start(
        "CREATE TABLE orders (id int PRIMARY KEY, total numeric(10,2), note text, at timestamptz);",
    );
    live.change(
        "INSERT INTO orders VALUES (1, 12.50, 'two words', '2026-11-21 12:00:00+00'); \
         UPDATE orders SET total = 13.75, note = NULL; UPDATE orders SET id = 2; DELETE FROM orders; TRUNCATE orders;",
    );
    let text = live.project.succeed(&["tail", "shop.orders"]);
    let rows: Vec<&str> = text.lines().map(|line| line.splitn(3, "  ").nth(2).unwrap().trim_end()).collect();
    assert_eq!(
        rows,
        [
            "insert    id=1 total=12.50 note='two words' at='2026-11-21 12:00:00+00'",
            "update    id=1 total=13.75 note=NULL at='2026-11-21 12:00:00+00'",
            "update    id=1 -> id=2 total=13.75 note=NULL at='2026-11-21 12:00:00+00'",
            "delete    id=2",
            "truncate",
        ],
        "{text}"
    );
    let json = live.project.succeed(&["tail", "shop.orders", "--json", "--limit", "1"]);
    let event: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&event["op"], &event["after"]["total"]), (&"c".into(), &"BOI=".into()), "{json}");
    live.finish();
}

/// A pager that is left, `head`: not an error of ours.
#[test]
fn a_reader_of_many_rows_that_leaves_early_ends_the_verb_quietly() {
    let live = Live::start(TABLES);
    live.change("UPDATE orders SET note = 'm';");
    let project = &live.project;
    for arguments in [
        &["sql", "SELECT * FROM shop.orders_history"][..],
        &["sql", "--json", "SELECT * FROM shop.orders"],
        &["tail", "shop.orders"],
    ] {
        let mut child =
            project.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((code(&output), said(&output).as_str()), (Some(0), ""), "{arguments:?}");
    }
    live.finish();
}
