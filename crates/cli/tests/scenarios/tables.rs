//! Tables that are not plain ones, and what becomes of tables: types of a person's own, generated columns, partitions, names that move.

use std::time::Duration;

use millstream_testkit::{wait_until, Json};

use crate::live::Live;

/// The catalogue is looked at every two seconds, and a table is read again behind that.
const NOTICE_WAIT_MAX: Duration = Duration::from_secs(60);

#[track_caller]
fn await_equal(live: &Live, query: &str, expected: &str) {
    live.project.catch_up();
    let mut last = String::new();
    wait_until("the table to follow", NOTICE_WAIT_MAX, || {
        let output = live.project.run(&["sql", "--json", query]);
        last =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        let found = Json::parse(&String::from_utf8_lossy(&output.stdout));
        found.is_ok_and(|found| found == Json::parse(expected).unwrap()).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}: {last} instead of {expected}\n{}", live.process.tail()));
}

#[test]
fn types_of_ones_own_and_values_added_to_them_come_without_a_restart() {
    let live = Live::start(
        "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN cents AS int CHECK (VALUE >= 0); \
         CREATE TYPE place AS (street text, number int); CREATE EXTENSION hstore; \
         CREATE TABLE people (id int PRIMARY KEY, mood mood, moods mood[], owes cents, home place, awake int4range, tags hstore);",
    );
    live.change(
        "INSERT INTO people VALUES (1, 'sad', '{sad,ok}', 5, ('Main \"St\"', 7), '[1,5)', 'a=>1,b=>NULL');",
    );
    live.change("ALTER TYPE mood ADD VALUE 'happy';");
    live.change(
        "INSERT INTO people VALUES (2, 'happy', '{happy,NULL}', 0, (NULL, 1), 'empty', NULL); \
         CREATE TYPE later AS ENUM ('x'); ALTER TABLE people ADD late later; UPDATE people SET late = 'x' WHERE id = 1;",
    );
    let expected = live.write(
        "SELECT string_agg(concat_ws('|', id, mood, moods, owes, home, awake, tags, late), E'\\n' ORDER BY id) FROM people;",
    );
    let rows = live.project.succeed(&[
        "sql",
        "--format",
        "csv",
        "SELECT concat_ws('|', id, mood, '{' || array_to_string(list_transform(moods, x -> coalesce(x, 'NULL')), ',') || '}', \
         owes, home, awake, tags, late) AS line FROM shop.people ORDER BY id",
    ]);
    let found: Vec<String> =
        rows.lines().skip(1).map(|line| line.trim_matches('"').replace("\"\"", "\"")).collect();
    assert_eq!(found.join("\n"), expected.trim());
    live.finish();
}

#[test]
fn generated_columns_are_left_out_and_sequences_show_in_their_values_only() {
    let live = Live::start(
        "CREATE TABLE sums (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n serial, a int, doubled int GENERATED ALWAYS AS (a * 2) STORED);",
    );
    live.change("INSERT INTO sums (a) VALUES (5), (6); UPDATE sums SET a = 7 WHERE id = 2; SELECT setval('sums_n_seq', 100); INSERT INTO sums (a) VALUES (8);");
    live.project.expect(
        "SELECT * FROM shop.sums ORDER BY id",
        r#"[{"id":1,"n":1,"a":5},{"id":2,"n":2,"a":7},{"id":3,"n":101,"a":8}]"#,
    );
    live.finish();
}

/// Identity is the OID: a table that was dropped and made again is another one.
#[test]
fn a_table_renamed_dropped_and_made_again_is_told_apart_by_its_oid() {
    let live = Live::start("CREATE TABLE first (id int PRIMARY KEY, a text); INSERT INTO first VALUES (1, 'one'), (2, 'two'); CREATE TABLE spare (id int PRIMARY KEY);");
    live.change("ALTER TABLE first RENAME TO second; INSERT INTO second VALUES (3, 'three');");
    await_equal(&live, "SELECT count(*) AS n FROM shop.second", r#"[{"n":3}]"#);
    live.project.expect(
        "SELECT count(*) AS n FROM shop.second_history WHERE operation_type = 'SNAPSHOT'",
        r#"[{"n":2}]"#,
    );
    live.change("DROP TABLE second; CREATE TABLE second (id int PRIMARY KEY, b int); ALTER PUBLICATION millstream_scenario ADD TABLE second; INSERT INTO second VALUES (9, 90);");
    await_equal(&live, "SELECT * FROM shop.second", r#"[{"id":9,"b":90}]"#);
    // The older one is known to be gone once the catalogue has been looked at; its history stays under its OID.
    wait_until("the older table to be known to be gone", NOTICE_WAIT_MAX, || {
        let status: serde_json::Value =
            serde_json::from_str(&live.project.succeed(&["status", "--json"])).unwrap();
        let gone =
            status["tables"].as_array().unwrap().iter().find(|table| table["state"] == "gone")?.clone();
        let name = gone["warehouse_name"].as_str().unwrap();
        assert!(name.starts_with("shop.second_"), "{gone:#}");
        let history = live.project.sql(&format!("SELECT count(*) AS n FROM {name}_history"));
        assert!(history.contains(": 3"), "{history}");
        Some(())
    })
    .unwrap_or_else(|error| panic!("{error}\n{}", live.process.tail()));
    live.finish();
}

#[test]
fn partitions_come_and_go_and_no_delete_is_invented() {
    let live = Live::start(
        "CREATE TABLE days (day date, n int, PRIMARY KEY (day, n)) PARTITION BY RANGE (day); \
         CREATE TABLE days_1 PARTITION OF days FOR VALUES FROM ('2026-01-01') TO ('2026-02-01'); \
         CREATE TABLE days_2 PARTITION OF days FOR VALUES FROM ('2026-02-01') TO ('2026-03-01'); \
         INSERT INTO days SELECT '2026-01-10', g FROM generate_series(1, 10) g; INSERT INTO days SELECT '2026-02-10', g FROM generate_series(1, 20) g;",
    );
    let total = "SELECT count(*) AS n FROM shop.days";
    live.project.expect(total, r#"[{"n":30}]"#);
    live.change("CREATE TABLE days_3 PARTITION OF days FOR VALUES FROM ('2026-03-01') TO ('2026-04-01'); INSERT INTO days VALUES ('2026-03-10', 1);");
    await_equal(&live, total, r#"[{"n":31}]"#);
    // Made elsewhere, with rows, then attached: no event says that they are there.
    live.write("CREATE TABLE days_4 (LIKE days INCLUDING ALL); INSERT INTO days_4 VALUES ('2026-04-10', 1), ('2026-04-10', 2); \
                ALTER TABLE days ATTACH PARTITION days_4 FOR VALUES FROM ('2026-04-01') TO ('2026-05-01');");
    await_equal(&live, total, r#"[{"n":33}]"#);
    // Nor that they are gone.
    live.write("ALTER TABLE days DETACH PARTITION days_1;");
    await_equal(&live, total, r#"[{"n":23}]"#);
    live.write("DROP TABLE days_2;");
    await_equal(&live, total, r#"[{"n":3}]"#);
    // A truncate of one partition alone is silent under publish_via_partition_root.
    live.write("TRUNCATE days_4;");
    await_equal(&live, total, r#"[{"n":1}]"#);
    live.finish();
}

/// TRUNCATE, VACUUM FULL and CLUSTER write the table's file anew and change no row that the stream doesn't tell.
#[test]
fn a_file_written_anew_without_a_changed_row_is_not_read_again() {
    let mut live = Live::start("CREATE TABLE stock (id int PRIMARY KEY, n int); INSERT INTO stock SELECT g, g FROM generate_series(1, 1000) g;");
    for round in 0..5 {
        live.change(&format!(
            "TRUNCATE stock; INSERT INTO stock SELECT g, {round} FROM generate_series(1, 100) g;"
        ));
    }
    live.change("VACUUM FULL stock;");
    live.change("CLUSTER stock USING stock_pkey;");
    // Twice what the catalogue's watcher takes to look.
    std::thread::sleep(Duration::from_secs(5));
    let said = live.process.stderr();
    assert!(!said.contains("read again") && !said.contains("rewritten"), "{said}");
    // Nor after a restart, which compares everything.
    live.kill();
    live.write("VACUUM FULL stock;");
    live.start_again();
    std::thread::sleep(Duration::from_secs(5));
    let said = live.process.stderr();
    assert!(!said.contains("read again") && !said.contains("rewritten"), "{said}");
    live.project.expect("SELECT count(*) AS n, min(n) AS least FROM shop.stock", r#"[{"n":100,"least":4}]"#);
    live.finish();
}

/// A partition has a file of its own, which its root does not show.
#[test]
fn a_partition_truncated_while_nobody_looked_is_noticed() {
    let mut live = Live::start(
        "CREATE TABLE days (day int PRIMARY KEY) PARTITION BY RANGE (day); \
         CREATE TABLE days_1 PARTITION OF days FOR VALUES FROM (0) TO (10); CREATE TABLE days_2 PARTITION OF days FOR VALUES FROM (10) TO (20); \
         INSERT INTO days SELECT generate_series(1, 19);",
    );
    live.kill();
    live.write("TRUNCATE days_1;");
    live.start_again();
    await_equal(&live, "SELECT count(*) AS n FROM shop.days", r#"[{"n":10}]"#);
    live.finish();
}
