//! Columns that change while the program runs.

use std::time::Duration;

use millstream_testkit::{wait_until, Json};

use crate::live::Live;

/// A resync of a small table, its wait for a snapshot included.
const RESYNC_WAIT_MAX: Duration = Duration::from_secs(60);

#[test]
fn columns_are_added_renamed_widened_and_dropped_while_rows_flow() {
    let live = Live::start("CREATE TABLE goods (id int PRIMARY KEY, name varchar(10), gone text); INSERT INTO goods VALUES (1, 'one', 'x');");
    live.change(
        "BEGIN; INSERT INTO goods VALUES (2, 'two', 'y'); ALTER TABLE goods ADD price int DEFAULT 7; INSERT INTO goods VALUES (3, 'three', 'z', 8);
         ALTER TABLE goods RENAME name TO title; ALTER TABLE goods DROP gone; UPDATE goods SET price = 9 WHERE id = 2; COMMIT;",
    );
    let now = "SELECT * FROM shop.goods ORDER BY id";
    live.project.expect(now,
        r#"[{"id":1,"title":"one","price":7},{"id":2,"title":"two","price":9},{"id":3,"title":"three","price":8}]"#
    );
    live.change("ALTER TABLE goods ALTER title TYPE text; ALTER TABLE goods ADD note text; INSERT INTO goods VALUES (4, 'a title of more than ten', 1, 'n');");
    live.change(
        "ALTER TABLE goods ALTER price TYPE bigint; UPDATE goods SET price = 5000000000 WHERE id = 4;",
    );
    live.project.expect("SELECT * FROM shop.goods WHERE id IN (1, 4) ORDER BY id",
        r#"[{"id":1,"title":"one","price":7,"note":null},{"id":4,"title":"a title of more than ten","price":5000000000,"note":"n"}]"#
    );
    // What was dropped stays in history.
    live.project.expect("SELECT DISTINCT gone FROM shop.goods_history WHERE id = 1", r#"[{"gone":"x"}]"#);
    live.finish();
}

/// a default that the server evaluates per row changes every row, and sends none.
#[test]
fn a_volatile_default_is_noticed() {
    let live = Live::start(
        "CREATE TABLE tickets (id int PRIMARY KEY); INSERT INTO tickets SELECT generate_series(1, 100);",
    );
    live.write(
        "ALTER TABLE tickets ADD code uuid DEFAULT gen_random_uuid(); INSERT INTO tickets VALUES (101);",
    );
    await_equal(&live, "SELECT count(DISTINCT code) AS n FROM shop.tickets", r#"[{"n":101}]"#);
    live.finish();
}

#[test]
fn a_rewrite_of_values_without_an_event_is_noticed_and_read_again() {
    let live = Live::start("CREATE TABLE prices (id int PRIMARY KEY, amount int); INSERT INTO prices SELECT g, g FROM generate_series(1, 50) g;");
    live.write("ALTER TABLE prices ALTER amount TYPE bigint USING amount * 100; UPDATE prices SET amount = 1 WHERE id = 1;");
    await_equal(&live, "SELECT sum(amount) AS s FROM shop.prices", r#"[{"s":127401}]"#);
    // History keeps what was there before.
    live.project.expect("SELECT count(*) AS n FROM shop.prices_history WHERE amount = id AND operation_type = 'SNAPSHOT' AND id > 1",
        r#"[{"n":49}]"#
    );
    live.finish();
}

/// what is sent from before the change names a column as it was called then, and the catalogue has given the name to another since.
#[test]
fn a_name_that_another_column_took_while_nobody_listened_takes_no_values_along() {
    let mut live = Live::start(
        "CREATE TABLE parts (id int PRIMARY KEY, note text); INSERT INTO parts VALUES (1, 'one');",
    );
    live.kill();
    live.write(
        "INSERT INTO parts VALUES (2, 'two'); ALTER TABLE parts DROP note; ALTER TABLE parts ADD note text; INSERT INTO parts VALUES (3, 'three');",
    );
    live.start_again();
    let rows = "SELECT * FROM shop.parts ORDER BY id";
    await_equal(&live, rows, r#"[{"id":1,"note":null},{"id":2,"note":null},{"id":3,"note":"three"}]"#);
    live.kill();
    live.write(
        "INSERT INTO parts VALUES (4, 'four'); ALTER TABLE parts RENAME note TO remark; ALTER TABLE parts ADD note text; INSERT INTO parts VALUES (5, 'five', 'V');",
    );
    live.start_again();
    await_equal(
        &live,
        "SELECT * FROM shop.parts WHERE id > 2 ORDER BY id",
        r#"[{"id":3,"remark":"three","note":null},{"id":4,"remark":"four","note":null},{"id":5,"remark":"five","note":"V"}]"#,
    );
    live.finish();
}

#[track_caller]
fn await_equal(live: &Live, query: &str, expected: &str) {
    live.project.catch_up();
    let mut last = String::new();
    wait_until("the table to be read again", RESYNC_WAIT_MAX, || {
        last = live.project.sql(query);
        (Json::parse(&last).unwrap() == Json::parse(expected).unwrap()).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}: {last} instead of {expected}\n{}", live.process.tail()));
}
