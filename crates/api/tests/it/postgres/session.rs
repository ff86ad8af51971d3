//! What a session promises: transactions that see one state, reads only, limits, cancellation, a clean stop.

use std::{
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use super::{
    fixture::{Fixture, PATIENCE},
    raw::{field, message, startup, Raw},
};

/// A statement that runs until it is stopped.
const ENDLESS: &str = "SELECT count(*) FROM range(100000000000) AS a(i) WHERE i % 7 = 3";

fn error_of(raw: &mut Raw) -> String {
    loop {
        match raw.next() {
            Some((b'E', body)) => return field(&body, b'C'),
            Some(_) => {}
            None => return "closed".into(),
        }
    }
}

#[test]
fn a_transaction_sees_one_state_and_the_next_one_the_new() {
    let mut fixture = Fixture::new();
    let mut raw = Raw::connect(fixture.address());
    let count = "SELECT count(*) FROM shop.orders";
    assert_eq!(raw.rows("BEGIN"), Ok(vec![]));
    assert_eq!(raw.rows(count), Ok(vec!["3".into()]));
    assert_eq!(raw.status(), 'T');
    fixture.add_order("4", 30);
    assert_eq!(raw.rows(count), Ok(vec!["3".into()]));
    assert_eq!(raw.rows("COMMIT"), Ok(vec![]));
    assert_eq!(raw.status(), 'I');
    assert_eq!(raw.rows(count), Ok(vec!["4".into()]));
}

#[test]
fn a_failed_transaction_takes_nothing_but_its_end() {
    let fixture = Fixture::new();
    let mut raw = Raw::connect(fixture.address());
    raw.query("BEGIN");
    assert_eq!(raw.rows("SELECT * FROM nowhere"), Err("42P01".into()));
    assert_eq!(raw.status(), 'E');
    assert_eq!(raw.rows("SELECT 1"), Err("25P02".into()));
    let heard = raw.query("COMMIT");
    assert_eq!(heard[0], (b'C', b"ROLLBACK\0".to_vec()));
    assert_eq!(raw.rows("SELECT 1"), Ok(vec!["1".into()]));
}

#[test]
fn several_statements_answer_one_behind_another_up_to_an_error() {
    let fixture = Fixture::new();
    let mut raw = Raw::connect(fixture.address());
    let heard = raw.query("SELECT 1; SELECT ';' AS b;; SELECT * FROM nowhere; SELECT 3");
    let letters: String = heard.iter().map(|(letter, _)| char::from(*letter)).collect();
    assert_eq!(letters, "TDCTDCIEZ");
}

#[test]
fn nothing_can_be_written_and_the_hint_says_where_to() {
    let fixture = Fixture::new();
    let mut raw = Raw::connect(fixture.address());
    for statement in [
        "INSERT INTO shop.orders VALUES (9)",
        "UPDATE shop.orders SET paid = false",
        "DELETE FROM shop.orders",
        "CREATE TABLE x (i int)",
        "DROP VIEW shop.orders",
        "TRUNCATE shop.orders",
        "COPY shop.orders FROM STDIN",
        "ATTACH 'x.duckdb'",
        "PRAGMA database_list",
    ] {
        let heard = raw.query(statement);
        let (_, body) = heard.iter().find(|(letter, _)| *letter == b'E').unwrap();
        assert_eq!(field(body, b'C'), "25006", "{statement}");
        assert!(field(body, b'H').contains("source"), "{statement}");
    }
    for statement in [
        "WITH x AS (SELECT 1) INSERT INTO shop.orders SELECT * FROM x",
        "SELECT * FROM read_csv('/etc/passwd')",
        "COPY (SELECT 1) TO '/tmp/x'",
        "SELECT * FROM _millstream.t16384_current",
        "SELECT getenv('HOME')",
        "SELECT getenv('HOME'), pg_catalog.version() FROM pg_class",
        "SELECT * FROM pg_class, read_csv('/etc/passwd')",
        "SELECT * FROM pg_class, '/etc/passwd'",
        "EXPLAIN ANALYZE INSERT INTO shop.orders VALUES (1)",
    ] {
        let answer = raw.rows(statement);
        let harmless = answer == Ok(vec![]) || answer.is_err();
        assert!(harmless || !answer.as_ref().unwrap().join("").contains('/'), "{statement}: {answer:?}");
        assert!(answer.is_err() || statement.contains("getenv"), "{statement}: {answer:?}");
    }
    assert_eq!(raw.rows("SELECT count(*) FROM shop.orders"), Ok(vec!["3".into()]));
}

#[test]
fn another_database_is_refused_by_name() {
    let fixture = Fixture::new();
    let mut raw = Raw::open(fixture.address());
    raw.send(&startup(&[("user", "ann"), ("database", "elsewhere")]));
    let (letter, body) = raw.next().unwrap();
    assert_eq!((letter, field(&body, b'C').as_str()), (b'E', "3D000"));
    assert!(field(&body, b'M').contains("elsewhere") && field(&body, b'H').contains("shop"));
    assert_eq!(raw.next(), None);
}

#[test]
fn settings_are_kept_told_and_reset() {
    let fixture = Fixture::new();
    let mut raw = Raw::connect_with(fixture.address(), &[("application_name", "first")]);
    let heard = raw.query("SET application_name = 'second'");
    assert!(heard.contains(&(b'S', b"application_name\0second\0".to_vec())), "{heard:?}");
    assert_eq!(raw.rows("SHOW application_name"), Ok(vec!["second".into()]));
    raw.query("DISCARD ALL");
    assert_eq!(raw.rows("SHOW application_name"), Ok(vec!["first".into()]));
    assert_eq!(raw.rows("SELECT current_setting('application_name')"), Ok(vec!["first".into()]));
    assert_eq!(raw.rows("SET frobnicate = 1"), Err("42704".into()));
    assert_eq!(raw.rows("SET client_encoding = 'LATIN1'"), Err("22023".into()));
}

#[test]
fn a_session_reads_as_of_the_point_it_sets() {
    let fixture = Fixture::new();
    let mut raw = Raw::connect(fixture.address());
    let amount = "SELECT amount FROM orders WHERE id = 2";
    assert_eq!(raw.rows(amount), Ok(vec!["7.25".into()]));
    raw.query("SET millstream.as_of = '2026-01-01 00:00:15+00'");
    assert_eq!(raw.rows(amount), Ok(vec!["2.50".into()]));
    raw.query("SET millstream.as_of = '2025-01-01 00:00:00Z'");
    assert_eq!(raw.rows(amount), Err("55000".into()));
    raw.query("RESET millstream.as_of");
    assert_eq!(raw.rows(amount), Ok(vec!["7.25".into()]));
}

#[test]
fn a_statement_is_cancelled_by_who_has_the_secret() {
    let fixture = Fixture::new();
    let mut raw = Raw::connect(fixture.address());
    let cancel = |(pid, secret): (i32, i32)| {
        let mut other = Raw::open(fixture.address());
        let words = [16i32, 80_877_102, pid, secret];
        other.send(&words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<_>>());
        assert_eq!(other.next(), None);
    };
    raw.send(&message(b'Q', format!("{ENDLESS}\0").as_bytes()));
    thread::sleep(Duration::from_millis(300));
    cancel((raw.key.0, raw.key.1 ^ 1));
    raw.stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert_eq!(raw.next(), None, "a wrong secret cancels nothing");
    raw.stream.set_read_timeout(Some(PATIENCE)).unwrap();
    cancel(raw.key);
    assert_eq!(error_of(&mut raw), "57014");
    raw.until_ready();
    assert_eq!(raw.rows("SELECT 1"), Ok(vec!["1".into()]));
}

#[test]
fn rows_that_are_held_have_a_bound_in_bytes_too() {
    let mut fixture = Fixture::with(|config| config.memory_bytes = Some(1000));
    let mut raw = Raw::connect(fixture.address());
    assert_eq!(raw.rows("SELECT * FROM range(1001)").map(|rows| rows.len()), Ok(1001));
    assert_eq!(raw.rows("DECLARE c CURSOR WITH HOLD FOR SELECT * FROM range(1001)"), Err("54000".into()));
    drop(raw);
    fixture.stop();
}

#[test]
fn limits_end_what_takes_too_long_or_is_too_much() {
    let mut fixture = Fixture::with(|config| {
        config.statement_max = Duration::from_secs(1);
        config.idle_in_transaction_max = Duration::from_millis(300);
        config.idle_max = Duration::from_secs(2);
        config.connections_max = 2;
        config.rows_max = 1000;
    });
    let mut raw = Raw::connect(fixture.address());
    assert_eq!(raw.rows(ENDLESS), Err("57014".into()));
    raw.query("SET statement_timeout = '100ms'");
    let started = Instant::now();
    assert_eq!(raw.rows(ENDLESS), Err("57014".into()));
    assert!(started.elapsed() < Duration::from_millis(900), "the client's own limit is lower");
    raw.query("RESET statement_timeout");
    assert_eq!(
        raw.rows("SELECT * FROM range(1001)").map(|rows| rows.len()),
        Ok(1001),
        "what is streamed is not held"
    );
    assert_eq!(raw.rows("DECLARE c CURSOR WITH HOLD FOR SELECT * FROM range(1001)"), Err("54000".into()));
    assert_eq!(raw.rows("SELECT count(*) FROM (SELECT * FROM range(1000))"), Ok(vec!["1000".into()]));

    let second = Raw::connect(fixture.address());
    let mut third = Raw::open(fixture.address());
    third.send(&startup(&[("user", "ann")]));
    assert_eq!(error_of(&mut third), "53300");
    drop(second);

    raw.query("BEGIN");
    assert_eq!(error_of(&mut raw), "25P03");
    let mut idle = Raw::connect(fixture.address());
    assert_eq!(error_of(&mut idle), "57P05");
    fixture.stop();
}

#[test]
fn stopping_ends_statements_and_connections() {
    let mut fixture = Fixture::new();
    let mut idle = Raw::connect(fixture.address());
    let mut busy = Raw::connect(fixture.address());
    busy.send(&message(b'Q', format!("{ENDLESS}\0").as_bytes()));
    thread::sleep(Duration::from_millis(300));
    let (address, started) = (fixture.address(), Instant::now());
    fixture.stop();
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    assert_eq!(error_of(&mut idle), "57P01");
    assert_eq!(error_of(&mut busy), "57P01");
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn a_statement_as_deep_as_it_is_long_is_refused_and_no_more() {
    let fixture = Fixture::new();
    let mut raw = Raw::connect(fixture.address());
    for (open, close, count) in
        [("(", ")", 20_000), ("1+", "", 20_000), ("NOT ", "", 20_000), ("1+", "", 990)]
    {
        let deep = format!("{}1{}", open.repeat(count), close.repeat(count));
        for statement in [format!("SELECT {deep} FROM pg_class"), format!("SELECT {deep}")] {
            let _ = raw.rows(&statement);
            assert_eq!(raw.rows("SELECT 1"), Ok(vec!["1".into()]));
        }
    }
}
