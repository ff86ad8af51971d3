//! Rows that are easy to get wrong: large values that are not sent again, keys that move, tables without a key, transactions
//! that come in pieces.

use crate::live::Live;

/// Text of 20 kB that does not compress, so that it is stored out of line.
const LARGE: &str = "(SELECT string_agg(md5(g::text), '') FROM generate_series(1, 640) g)";

#[test]
fn a_large_value_is_kept_through_updates_that_do_not_send_it() {
    let mut live = Live::start("CREATE TABLE papers (id int PRIMARY KEY, n int, body text); ALTER TABLE papers ALTER body SET STORAGE EXTERNAL;");
    // While nobody applies, so that insert and updates come in one batch; and in one transaction.
    live.kill();
    live.write(&format!("INSERT INTO papers VALUES (1, 0, {LARGE});"));
    for _ in 0..3 {
        live.write("UPDATE papers SET n = n + 1;");
    }
    live.write(&format!(
        "BEGIN; INSERT INTO papers VALUES (2, 0, {LARGE}); UPDATE papers SET n = n + 1; UPDATE papers SET id = 3, n = 7 WHERE id = 2; COMMIT;"
    ));
    live.start_again();
    live.project.catch_up();
    // And one update in a batch of its own.
    live.change("UPDATE papers SET n = n + 1;");
    let lengths = "SELECT id, n, length(body) AS length FROM shop.papers ORDER BY id";
    live.project.expect(lengths, r#"[{"id":1,"n":5,"length":20480},{"id":3,"n":8,"length":20480}]"#);
    let versions = "SELECT count(*) AS n, min(length(body)) AS least FROM shop.papers_history";
    live.project.expect(versions, r#"[{"n":10,"least":20480}]"#);
    live.finish();
}

#[test]
fn a_key_swap_in_one_transaction_keeps_both_histories() {
    let live = Live::start("CREATE TABLE seats (id int PRIMARY KEY, holder text); INSERT INTO seats VALUES (1, 'Ada'), (2, 'Grace');");
    live.change("BEGIN; UPDATE seats SET id = -1 WHERE id = 1; UPDATE seats SET id = 1 WHERE id = 2; UPDATE seats SET id = 2 WHERE id = -1; COMMIT;");
    live.change("DELETE FROM seats WHERE id = 1;");
    live.change("INSERT INTO seats VALUES (1, 'Edith');");
    let now = "SELECT id, holder FROM shop.seats ORDER BY id";
    live.project.expect(now, r#"[{"id":1,"holder":"Edith"},{"id":2,"holder":"Ada"}]"#);
    let versions = "SELECT holder, operation_type AS op, valid_to IS NULL AS open FROM shop.seats_history WHERE id = 1 ORDER BY _lsn, _seq, valid_to NULLS LAST";
    live.project.expect(versions,
        r#"[{"holder":"Ada","op":"SNAPSHOT","open":false},{"holder":"Grace","op":"UPDATE","open":false},{"holder":"Grace","op":"DELETE","open":false},{"holder":"Edith","op":"INSERT","open":true}]"#
    );
    live.finish();
}

/// a table without any key is matched by whole rows, and of equal rows one goes at a time.
#[test]
fn equal_rows_of_a_table_without_a_key_are_counted() {
    let live = Live::start("CREATE TABLE clicks (page text, n numeric); ALTER TABLE clicks REPLICA IDENTITY FULL; INSERT INTO clicks SELECT 'a', 1 FROM generate_series(1, 3);");
    live.change("INSERT INTO clicks VALUES ('a', 1), ('a', 1.0), (NULL, NULL), (NULL, NULL);");
    live.change("DELETE FROM clicks WHERE ctid = (SELECT ctid FROM clicks WHERE page = 'a' LIMIT 1);");
    live.change(
        "UPDATE clicks SET page = 'b' WHERE ctid = (SELECT ctid FROM clicks WHERE page = 'a' LIMIT 1);",
    );
    live.change("DELETE FROM clicks WHERE ctid = (SELECT ctid FROM clicks WHERE page IS NULL LIMIT 1);");
    let counts = "SELECT page, count(*) AS n FROM shop.clicks GROUP BY page ORDER BY page NULLS LAST";
    live.project.expect(counts, r#"[{"page":"a","n":3},{"page":"b","n":1},{"page":null,"n":1}]"#);
    live.finish();
}

#[test]
fn a_table_that_changes_its_identity_is_followed_through_every_form_of_it() {
    let mut live = Live::start(
        "CREATE TABLE desks (id int PRIMARY KEY, code text NOT NULL UNIQUE, n int); INSERT INTO desks SELECT g, 'c' || g, 0 FROM generate_series(1, 4) g;",
    );
    let forms = ["USING INDEX desks_code_key", "FULL", "DEFAULT", "USING INDEX desks_code_key"];
    // While nobody applies, so that all of it comes in one batch; and then each in a batch of its own.
    live.kill();
    for round in 0..2 {
        for form in forms {
            let change = format!(
                "ALTER TABLE desks REPLICA IDENTITY {form}; UPDATE desks SET n = n + 1; UPDATE desks SET id = id + 10 WHERE code = 'c3';
                 UPDATE desks SET code = code || 'x' WHERE code LIKE 'c2%'; DELETE FROM desks WHERE id = 1; INSERT INTO desks VALUES (1, 'c1', 0);"
            );
            match round {
                0 => drop(live.write(&change)),
                _ => live.change(&change),
            }
        }
        if round == 0 {
            live.start_again();
            live.project.catch_up();
        }
        live.project.verify();
    }
    let now = "SELECT id, code, n FROM shop.desks ORDER BY code";
    live.project.expect(now,
        r#"[{"id":1,"code":"c1","n":0},{"id":2,"code":"c2xxxxxxxx","n":8},{"id":83,"code":"c3","n":8},{"id":4,"code":"c4","n":8}]"#
    );
    let open = "SELECT count(*) AS n FROM shop.desks_history WHERE is_current";
    live.project.expect(open, r#"[{"n":4}]"#);
    live.finish();
}

#[test]
fn a_truncate_closes_every_version() {
    let live = Live::start("CREATE TABLE parents (id int PRIMARY KEY); CREATE TABLE children (id int PRIMARY KEY, parent int REFERENCES parents); INSERT INTO parents VALUES (1), (2); INSERT INTO children VALUES (10, 1);");
    live.change("BEGIN; INSERT INTO parents VALUES (3); TRUNCATE parents CASCADE; INSERT INTO parents VALUES (4); COMMIT;");
    live.project.expect("SELECT id FROM shop.parents", r#"[{"id":4}]"#);
    live.project.expect("SELECT id FROM shop.children", "[]");
    let events = "SELECT id FROM shop.parents_history WHERE operation_type = 'TRUNCATE' ORDER BY id";
    live.project.expect(events, r#"[{"id":1},{"id":2},{"id":3}]"#);
    let open = "SELECT count(*) AS n FROM shop.children_history WHERE valid_to IS NULL";
    live.project.expect(open, r#"[{"n":0}]"#);
    live.finish();
}

/// what is rolled back is never seen, however the transaction was sent.
#[test]
fn savepoints_rolled_back_in_a_streamed_transaction_are_never_seen() {
    let live = Live::start("CREATE TABLE steps (id int PRIMARY KEY, note text);");
    live.change(
        "BEGIN; INSERT INTO steps SELECT g, 'kept' FROM generate_series(1, 2000) g;
         SAVEPOINT a; INSERT INTO steps SELECT g, 'gone' FROM generate_series(2001, 4000) g; UPDATE steps SET note = 'gone' WHERE id <= 500;
         SAVEPOINT b; DELETE FROM steps WHERE id > 100; ROLLBACK TO b; INSERT INTO steps VALUES (-1, 'gone'); ROLLBACK TO a;
         SAVEPOINT c; UPDATE steps SET note = 'changed' WHERE id > 1990; RELEASE c; COMMIT;
         BEGIN; INSERT INTO steps SELECT g, 'never' FROM generate_series(5000, 9000) g; ROLLBACK;",
    );
    let streamed: u64 = live
        .cluster
        .execute("SELECT sum(stream_txns) FROM pg_stat_replication_slots")
        .unwrap()
        .parse()
        .unwrap();
    assert!(streamed > 0, "the server did not stream the transaction");
    let counts = "SELECT note, count(*) AS n FROM shop.steps GROUP BY note ORDER BY note";
    live.project.expect(counts, r#"[{"note":"changed","n":10},{"note":"kept","n":1990}]"#);
    let versions = "SELECT count(*) AS n FROM shop.steps_history WHERE note NOT IN ('kept', 'changed')";
    live.project.expect(versions, r#"[{"n":0}]"#);
    live.finish();
}

#[test]
fn a_prepared_transaction_is_seen_when_it_commits() {
    let mut live = Live::start("CREATE TABLE orders (id int PRIMARY KEY);");
    live.change("BEGIN; INSERT INTO orders VALUES (1); PREPARE TRANSACTION 'first';");
    live.project.expect("SELECT id FROM shop.orders", "[]");
    live.kill();
    live.start_again();
    live.change("COMMIT PREPARED 'first';");
    live.project.expect("SELECT id FROM shop.orders", r#"[{"id":1}]"#);
    live.finish();
}
