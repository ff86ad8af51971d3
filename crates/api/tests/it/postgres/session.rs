//! What a session promises: transactions that see one state, reads only, limits, cancellation, a clean stop; and that no bytes bring it down.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    panic,
    sync::atomic::{AtomicUsize, Ordering},
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

/// Numbers that are the same in every run (Marsaglia's xorshift).
struct Chance(u64);

impl Chance {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below as u64) as usize
    }
}

/// A good conversation, as bytes: prepares, binds, describes, runs, closes.
fn conversation() -> Vec<u8> {
    let mut bytes = startup(&[("user", "ann"), ("database", "shop")]);
    bytes.extend(message(b'Q', b"SELECT 1; SELECT * FROM orders\0"));
    bytes.extend(message(b'P', b"s\0SELECT $1::int + 1, $2::text\0\0\x01\0\0\0\x17"));
    bytes.extend(message(b'B', b"p\0s\0\0\x01\0\0\0\x02\0\0\0\x02\x34\x32\xff\xff\xff\xff\0\x01\0\x01"));
    bytes.extend(message(b'D', b"Pp\0"));
    bytes.extend(message(b'E', b"p\0\0\0\0\x01"));
    bytes.extend(message(b'C', b"Sp\0"));
    bytes.extend(message(b'S', b""));
    bytes.extend(message(b'Q', b"SELECT relname FROM pg_catalog.pg_class WHERE oid = 'orders'::regclass\0"));
    bytes.extend(message(b'X', b""));
    bytes
}

/// Panics of the server's threads. One ends only its own client, so that nobody else would notice.
static PANICS: AtomicUsize = AtomicUsize::new(0);

fn count_panics() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if thread::current().name().is_some_and(|name| name.starts_with("postgres-")) {
            PANICS.fetch_add(1, Ordering::Relaxed);
        }
        before(info);
    }));
}

#[test]
fn no_bytes_bring_the_server_down_or_hold_it_up() {
    const TRIES: usize = 300;
    count_panics();
    let fixture = Fixture::with(|config| config.idle_max = Duration::from_secs(5));
    let good = conversation();
    let begin = startup(&[("user", "ann"), ("database", "shop")]).len();
    let mut chance = Chance(0x9E37_79B9_7F4A_7C15);
    for number in 0..TRIES {
        let mut bytes = good.clone();
        match number % 4 {
            0 => bytes.truncate(chance.next(good.len())),
            1 => {
                for _ in 0..=chance.next(8) {
                    let at = chance.next(bytes.len());
                    bytes[at] = chance.next(256) as u8;
                }
            }
            // Behind a good beginning, so that it is not refused for its first message.
            2 => {
                for _ in 0..=chance.next(8) {
                    let at = begin + chance.next(bytes.len() - begin);
                    bytes[at] ^= 1 << chance.next(8);
                }
            }
            _ => bytes = (0..chance.next(200)).map(|_| chance.next(256) as u8).collect(),
        }
        let mut stream = TcpStream::connect(fixture.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // The server may have closed it before everything is written.
        drop(stream.write_all(&bytes));
        drop(stream.shutdown(Shutdown::Write));
        let mut heard = Vec::new();
        if let Err(error) = stream.read_to_end(&mut heard) {
            assert!(
                !matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut),
                "try {number} hangs: {bytes:?}"
            );
        }
        assert_eq!(PANICS.load(Ordering::Relaxed), 0, "try {number} is a panic: {bytes:?}");
    }
    assert_eq!(Raw::connect(fixture.address()).rows("SELECT 1"), Ok(vec!["1".into()]));
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
