//! Changes that can't be applied are set aside with what follows them; the others go on, and what was set aside comes back into its place.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::live::Live;
use crate::project::stop;

/// A process that ends by itself at a fail point, or because it must.
const END_WAIT_MAX: Duration = Duration::from_secs(60);

/// Runs a verb, and returns its exit status and its JSON.
fn ask(live: &Live, arguments: &[&str]) -> (i32, Value) {
    let output = live.project.run(&[arguments, &["--json"]].concat());
    let text = String::from_utf8_lossy(&output.stdout);
    let value = serde_json::from_str(&text).unwrap_or_else(|error| {
        panic!("{arguments:?}: {error}: {text}\n{}", String::from_utf8_lossy(&output.stderr))
    });
    (output.status.code().unwrap(), value)
}

/// What is in quarantine: operation, key and code of each, in order.
fn listed(live: &Live) -> Vec<String> {
    let (exit, found) = ask(live, &["quarantine", "list"]);
    assert_eq!(exit, 0);
    let line = |change: &Value| {
        let text = |key: &str| change[key].as_str().unwrap().to_owned();
        let superseded = if change["superseded"].is_null() { "" } else { " superseded" };
        format!("{} {} {}{superseded}", text("operation"), text("key"), text("code"))
    };
    found["changes"].as_array().unwrap().iter().map(line).collect()
}

fn quarantined(live: &Live) -> u64 {
    ask(live, &["status"]).1["tables"][0]["quarantined"].as_u64().unwrap()
}

/// The files of large values.
fn files(live: &Live) -> Vec<fs::DirEntry> {
    let Ok(folders) = fs::read_dir(live.project.data().join("quarantine")) else { return Vec::new() };
    folders.flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap()).map(Result::unwrap).collect()
}

/// The whole history of a table, as it was said to be.
const VERSIONS: &str =
    "SELECT id, amount::varchar AS amount, note, operation_type AS op, valid_to IS NULL AS open
     FROM shop.prices_history ORDER BY id, _lsn, _seq, valid_to NULLS LAST";

#[test]
fn a_change_that_does_not_fit_is_set_aside_and_comes_back_into_its_place() {
    let mut live = Live::start_with(
        "CREATE TABLE prices (id int PRIMARY KEY, amount numeric(10,2), seen timestamp, note text);
         INSERT INTO prices VALUES (1, 1, '2026-01-01', 'a'), (9, 'NaN', '2026-01-01', 'copied');",
        "{\"shop.*\": {on_unrepresentable: quarantine}}",
    );
    live.project.expect("SELECT id FROM shop.prices", r#"[{"id":1}]"#);
    live.change(
        "BEGIN; INSERT INTO prices VALUES (2, 'NaN', now(), 'b'), (3, 3, now(), 'c'); UPDATE prices SET amount = 5 WHERE id = 1; COMMIT;
         UPDATE prices SET amount = 2 WHERE id = 2; INSERT INTO prices VALUES (4, 4, '294276-01-01', 'd'); DELETE FROM prices WHERE id = 4;
         UPDATE prices SET amount = 'NaN' WHERE id = 3;",
    );
    let middle = live.write("SELECT pg_current_wal_lsn()");
    let middle = middle.lines().last().unwrap().to_owned();
    live.change(
        "UPDATE prices SET note = 'moved', id = 30 WHERE id = 3; UPDATE prices SET note = 'z' WHERE id = 1;",
    );
    // Behind a kill the rows are held still.
    live.kill();
    live.start_again();
    live.change("UPDATE prices SET note = 'later' WHERE id = 2; UPDATE prices SET note = 'later' WHERE id = 9; INSERT INTO prices VALUES (3, 33, now(), 'new');");
    live.project.expect(
        "SELECT id, amount::varchar AS amount, note FROM shop.prices ORDER BY id",
        r#"[{"id":1,"amount":"5.00","note":"z"},{"id":3,"amount":"3.00","note":"c"}]"#,
    );
    let held = [
        "snapshot 9 MS4201",
        "insert 2 MS4201",
        "update 2 MS4204",
        "insert 4 MS4201",
        "delete 4 MS4204",
        "update 3 MS4201",
        "update 30 MS4204",
        "update 2 MS4204",
        "update 9 MS4204",
        "insert 3 MS4204",
    ];
    assert_eq!(listed(&live), held);
    assert_eq!(quarantined(&live), 10);
    let (exit, report) = ask(&live, &["verify"]);
    assert_eq!((exit, &report["equal"]), (1, &Value::Bool(false)));
    assert_eq!(report["tables"][0]["quarantined"]["count"], 10, "{report:#}");

    let (exit, shown) = ask(&live, &["quarantine", "list", "shop.prices"]);
    assert_eq!(exit, 0);
    let position = shown["changes"][1]["position"].as_str().unwrap();
    let (exit, shown) = ask(&live, &["quarantine", "show", "shop.prices", position]);
    assert_eq!((exit, &shown["after"]["amount"], &shown["column"]), (0, &"NaN".into(), &"amount".into()));
    let reason = shown["reason"].as_str().unwrap();
    assert!(reason.contains("column amount") && reason.contains("NaN"), "{reason}");
    let missing = live.project.run(&["quarantine", "show", "shop.prices", "0/1+0"]);
    assert_eq!(missing.status.code(), Some(2));

    // Nothing is mended yet, so nothing changes.
    let (exit, replayed) = ask(&live, &["quarantine", "replay"]);
    assert_eq!((exit, &replayed["tables"][0]["held"]), (1, &10.into()), "{replayed:#}");
    assert_eq!(listed(&live), held);

    live.kill();
    live.project.set_tables(
        "{\"shop.*\": {on_unrepresentable: quarantine, columns: {type: {amount: text, seen: text}}}}",
    );
    live.start_again();
    let (exit, replayed) = ask(&live, &["quarantine", "replay", "shop.prices"]);
    assert_eq!((exit, &replayed["tables"][0]["replayed"]), (0, &10.into()), "{replayed:#}");
    assert_eq!((listed(&live), quarantined(&live)), (Vec::new(), 0));
    live.project.expect(VERSIONS, r#"[
        {"id":1,"amount":"1.00","note":"a","op":"SNAPSHOT","open":false},{"id":1,"amount":"5.00","note":"a","op":"UPDATE","open":false},
        {"id":1,"amount":"5.00","note":"z","op":"UPDATE","open":true},
        {"id":2,"amount":"NaN","note":"b","op":"INSERT","open":false},{"id":2,"amount":"2.00","note":"b","op":"UPDATE","open":false},
        {"id":2,"amount":"2.00","note":"later","op":"UPDATE","open":true},
        {"id":3,"amount":"3.00","note":"c","op":"INSERT","open":false},{"id":3,"amount":"NaN","note":"c","op":"UPDATE","open":false},
        {"id":3,"amount":"33.00","note":"new","op":"INSERT","open":true},
        {"id":4,"amount":"4.00","note":"d","op":"INSERT","open":false},{"id":4,"amount":"4.00","note":"d","op":"DELETE","open":false},
        {"id":9,"amount":"NaN","note":"copied","op":"SNAPSHOT","open":false},{"id":9,"amount":"NaN","note":"later","op":"UPDATE","open":true},
        {"id":30,"amount":"NaN","note":"moved","op":"UPDATE","open":true}]"#);
    // As of a position when all of that was in quarantine, the rows are what they were at the source.
    let then = live.project.sql_as_of("SELECT id, amount FROM shop.prices ORDER BY id", &middle);
    assert_eq!(
        millstream_testkit::Json::parse(&then).unwrap(),
        millstream_testkit::Json::parse(
            r#"[{"id":1,"amount":"5.00"},{"id":2,"amount":"2.00"},{"id":3,"amount":"NaN"},{"id":9,"amount":"NaN"}]"#
        )
        .unwrap()
    );
    live.change("UPDATE prices SET note = 'after'; DELETE FROM prices WHERE id = 9;");
    live.finish();
}

#[test]
fn a_value_over_value_max_is_a_file_and_survives_a_kill_at_the_commit() {
    let mut live = Live::start_with(
        "CREATE TABLE papers (id int PRIMARY KEY, n int, body text); ALTER TABLE papers ALTER body SET STORAGE EXTERNAL;
         INSERT INTO papers VALUES (1, 0, repeat('a', 200000)), (2, 0, 'short');",
        "{\"*\": {value_max: 100kB}}",
    );
    assert_eq!(listed(&live), ["snapshot 1 MS4203"]);
    live.kill();
    live.write("INSERT INTO papers VALUES (3, 0, repeat('b', 150000)), (4, 0, 'short');");
    live.write("UPDATE papers SET n = n + 1;");
    for point in ["apply::value_file", "apply::before_commit", "apply::after_commit"] {
        let mut process = live.project.up(&format!("{point}=panic"));
        let status = process.wait(END_WAIT_MAX).unwrap();
        assert!(!status.success(), "{point}: {}", process.tail());
    }
    live.start_again();
    live.project.catch_up();
    assert_eq!(listed(&live), ["snapshot 1 MS4203", "insert 3 MS4203", "update 1 MS4204", "update 3 MS4204"]);
    live.project.expect("SELECT id, n FROM shop.papers ORDER BY id", r#"[{"id":2,"n":1},{"id":4,"n":1}]"#);
    let values = files(&live);
    let contents: Vec<_> = values.iter().map(|file| fs::read(file.path()).unwrap()).collect();
    assert_eq!(contents.len(), 2, "{values:?}");
    assert!(contents.contains(&vec![b'a'; 200_000]) && contents.contains(&vec![b'b'; 150_000]));
    let (_, found) = ask(&live, &["quarantine", "list"]);
    let position = found["changes"][1]["position"].as_str().unwrap();
    let (_, shown) = ask(&live, &["quarantine", "show", "shop.papers", position]);
    assert_eq!(fs::read(shown["after"]["body"]["file"].as_str().unwrap()).unwrap(), vec![b'b'; 150_000]);
    assert_eq!(ask(&live, &["verify"]).0, 1);

    // With room for one of the two, that one comes back.
    live.kill();
    live.project.set_tables("{\"*\": {value_max: 160kB}}");
    live.start_again();
    let (exit, replayed) = ask(&live, &["quarantine", "replay"]);
    assert_eq!((exit, &replayed["tables"][0]["replayed"]), (1, &2.into()), "{replayed:#}");
    assert_eq!(listed(&live), ["snapshot 1 MS4203", "update 1 MS4204"]);
    assert_eq!(files(&live).len(), 1);
    live.kill();
    live.project.set_tables("");
    live.start_again();
    assert_eq!(ask(&live, &["quarantine", "replay"]).0, 0);
    assert_eq!(files(&live).len(), 0);
    live.project.expect(
        "SELECT id, n, length(body) AS length FROM shop.papers_history WHERE id IN (1, 3) ORDER BY id, n",
        r#"[{"id":1,"n":0,"length":200000},{"id":1,"n":1,"length":200000},{"id":3,"n":0,"length":150000},{"id":3,"n":1,"length":150000}]"#,
    );
    live.finish();
}

#[test]
fn what_is_given_up_is_read_again_and_a_truncate_needs_none_of_it() {
    let live = Live::start_with(
        "CREATE TABLE prices (id int PRIMARY KEY, amount numeric(10,2)); INSERT INTO prices VALUES (1, 1), (2, 2);",
        "{\"*\": {on_unrepresentable: quarantine}}",
    );
    live.change("UPDATE prices SET amount = 'NaN' WHERE id = 1; INSERT INTO prices VALUES (3, 'NaN'); UPDATE prices SET amount = 3 WHERE id = 3;");
    assert_eq!(listed(&live), ["update 1 MS4201", "insert 3 MS4201", "update 3 MS4204"]);
    let asked = live.project.run(&["quarantine", "drop", "shop.prices"]);
    assert_eq!(asked.status.code(), Some(2), "it must not go on without a word");
    assert_eq!(listed(&live).len(), 3);

    // Row 1 can't be held still, and stays what it was; row 3 can.
    let (exit, dropped) = ask(&live, &["quarantine", "drop", "shop.prices", "--yes"]);
    let table = &dropped["tables"][0];
    assert_eq!((exit, &table["dropped"], &table["held"]), (0, &3.into(), &1.into()), "{dropped:#}");
    assert_eq!(listed(&live), ["snapshot 1 MS4201"]);
    let now = "SELECT id, amount::varchar AS amount FROM shop.prices ORDER BY id";
    live.project
        .expect(now, r#"[{"id":1,"amount":"1.00"},{"id":2,"amount":"2.00"},{"id":3,"amount":"3.00"}]"#);
    live.change("UPDATE prices SET amount = 7 WHERE id = 1; UPDATE prices SET amount = 4 WHERE id = 3;");
    assert_eq!(listed(&live), ["snapshot 1 MS4201", "update 1 MS4204"]);
    assert_eq!(ask(&live, &["quarantine", "drop", "shop.prices", "--yes"]).0, 0);
    assert_eq!(listed(&live), [""; 0]);
    live.project.verify();

    live.change("INSERT INTO prices VALUES (5, 'NaN'); BEGIN; UPDATE prices SET amount = 8 WHERE id = 5; TRUNCATE prices; INSERT INTO prices VALUES (5, 5); COMMIT; UPDATE prices SET amount = 6;");
    assert_eq!(listed(&live), ["insert 5 MS4201 superseded", "update 5 MS4204 superseded"]);
    live.project.expect(now, r#"[{"id":5,"amount":"6.00"}]"#);
    live.project.verify();
    assert_eq!(ask(&live, &["quarantine", "drop", "shop.prices", "--yes"]).0, 0);
    assert_eq!(quarantined(&live), 0);
    live.finish();
}

#[test]
fn a_value_that_does_not_fit_stops_where_that_is_chosen() {
    let mut live = Live::start_with(
        "CREATE TABLE prices (id int PRIMARY KEY, amount numeric(10,2));",
        "{\"*\": {on_unrepresentable: stop}}",
    );
    live.write("INSERT INTO prices VALUES (1, 'NaN');");
    let status = live.process.wait(END_WAIT_MAX).unwrap();
    let said = live.process.tail();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("MS4201") && said.contains("column amount"), "{said}");
    // Mended, it goes on where it was, and nothing is lost.
    live.project.set_tables("{\"*\": {on_unrepresentable: quarantine}}");
    live.start_again();
    live.change("INSERT INTO prices VALUES (2, 2);");
    assert_eq!(listed(&live), ["insert 1 MS4201"]);
    live.kill();
    live.project.set_tables("");
    // Without an instance the project runs for as long as it takes; the default widens the column.
    assert_eq!(ask(&live, &["quarantine", "replay"]).0, 0);
    live.start_again();
    live.project.verify();
    stop(live.process);
}

/// Which rows are whose can't be told once rows are known by other columns, so nothing of the table goes on; and everything comes back.
#[test]
fn a_table_whose_identity_changes_while_rows_are_held_is_held_whole() {
    let mut live = Live::start_with(
        "CREATE TABLE prices (id int PRIMARY KEY, code text NOT NULL UNIQUE, amount numeric(10,2)); INSERT INTO prices VALUES (1, 'a', 1), (2, 'b', 2);",
        "{\"*\": {on_unrepresentable: quarantine}}",
    );
    live.change("UPDATE prices SET amount = 'NaN' WHERE id = 1; UPDATE prices SET amount = 20 WHERE id = 2;");
    live.change(
        "ALTER TABLE prices REPLICA IDENTITY USING INDEX prices_code_key; UPDATE prices SET amount = amount + 1; INSERT INTO prices VALUES (3, 'c', 3);
         UPDATE prices SET code = 'B' WHERE id = 2; DELETE FROM prices WHERE id = 1;",
    );
    let held = [
        "update 1 MS4201",
        "update a MS4204",
        "update b MS4204",
        "insert c MS4204",
        "update B MS4204",
        "delete a MS4204",
    ];
    assert_eq!(listed(&live), held);
    live.project.expect(
        "SELECT id, code, amount::varchar AS amount FROM shop.prices ORDER BY id",
        r#"[{"id":1,"code":"a","amount":"1.00"},{"id":2,"code":"b","amount":"20.00"}]"#,
    );
    live.kill();
    live.project.set_tables("");
    live.start_again();
    let (exit, replayed) = ask(&live, &["quarantine", "replay"]);
    assert_eq!((exit, &replayed["tables"][0]["replayed"]), (0, &6.into()), "{replayed:#}");
    live.project.expect(
        "SELECT id, amount, operation_type AS op, valid_to IS NULL AS open FROM shop.prices_history ORDER BY id, _lsn, _seq, valid_to NULLS LAST",
        r#"[{"id":1,"amount":"1.00","op":"SNAPSHOT","open":false},{"id":1,"amount":"NaN","op":"UPDATE","open":false},
            {"id":1,"amount":"NaN","op":"UPDATE","open":false},{"id":1,"amount":"NaN","op":"DELETE","open":false},
            {"id":2,"amount":"2.00","op":"SNAPSHOT","open":false},{"id":2,"amount":"20.00","op":"UPDATE","open":false},
            {"id":2,"amount":"21.00","op":"UPDATE","open":false},{"id":2,"amount":"21.00","op":"UPDATE","open":true},
            {"id":3,"amount":"3.00","op":"INSERT","open":true}]"#,
    );
    live.finish();
}

/// Rows without a key are held by all their values; a large transaction comes in pieces and is held in pieces.
#[test]
fn rows_without_a_key_and_transactions_in_pieces_are_held_and_come_back() {
    let mut live = Live::start_with(
        "CREATE TABLE clicks (page text, n numeric(10,2)); ALTER TABLE clicks REPLICA IDENTITY FULL; INSERT INTO clicks VALUES ('a', 1), ('a', 1), ('b', 2);",
        "{\"*\": {on_unrepresentable: quarantine}}",
    );
    live.change("UPDATE clicks SET n = 'NaN' WHERE page = 'b'; UPDATE clicks SET n = 3 WHERE page = 'b'; DELETE FROM clicks WHERE page = 'b';");
    live.change(
        "BEGIN; INSERT INTO clicks SELECT 'c', g FROM generate_series(1, 3000) g; UPDATE clicks SET n = 'NaN' WHERE page = 'c' AND n % 1000 = 0;
         DELETE FROM clicks WHERE page = 'c' AND n <= 10; UPDATE clicks SET page = 'd' WHERE n = 'NaN'; COMMIT;",
    );
    assert_eq!(listed(&live).len(), 9);
    live.project.expect(
        "SELECT page, count(*) AS n FROM shop.clicks GROUP BY page ORDER BY page",
        r#"[{"page":"a","n":2},{"page":"b","n":1},{"page":"c","n":2990}]"#,
    );
    live.kill();
    live.project.set_tables("");
    live.start_again();
    assert_eq!(ask(&live, &["quarantine", "replay"]).0, 0);
    live.project.expect(
        "SELECT page, count(*) AS n FROM shop.clicks GROUP BY page ORDER BY page",
        r#"[{"page":"a","n":2},{"page":"c","n":2987},{"page":"d","n":3}]"#,
    );
    live.project.expect(
        "SELECT n, operation_type AS op FROM shop.clicks_history WHERE page = 'b' ORDER BY _lsn, _seq, valid_to",
        r#"[{"n":"2.00","op":"SNAPSHOT"},{"n":"NaN","op":"UPDATE"},{"n":"3.00","op":"UPDATE"},{"n":"3.00","op":"DELETE"}]"#,
    );
    live.finish();
}
