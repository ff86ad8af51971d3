//! What a client can do to a server: by mistake, or meaning it. Whatever it is, others are answered, changes are applied, and memory has a bound.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use millstream_testkit::wait_until;
use serde_json::{json, Value};

use crate::http::{get, post, Events, Reply};
use crate::project::stop;
use crate::serving::Served;

/// Others are answered within this while somebody misbehaves; the machine may be busy with other tests.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(40);

/// The promise is 10,000 listeners. As many connections as this process may have are tried.
const CONNECTIONS: usize = 10_000;

/// What they may cost together.
const CONNECTIONS_BYTES_MAX: u64 = 300_000_000;

/// What the whole process may grow by under questions that ask for more than there is: DuckDB's own bound, and what lies beside it.
const GROWTH_BYTES_MAX: u64 = 600 << 20;

impl Served {
    /// Somebody else asks, and is answered; where the server says that it is busy or out of memory just then, they ask again.
    #[track_caller]
    fn answers_others(&self) {
        let began = Instant::now();
        loop {
            let reply = self.get("/orders?least=20");
            assert!(began.elapsed() < ANSWER_WAIT_MAX, "{:?}", began.elapsed());
            if reply.status == 200 {
                return;
            }
            assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")), "{reply:?}");
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// A change at the source arrives.
    #[track_caller]
    fn applies(&self, id: u32) {
        self.change(&format!("INSERT INTO shop.orders VALUES ({id}, 'OPEN', 1, NULL)"));
        assert_eq!(self.rows(&format!("/tables/shop/orders?select=id&id=eq.{id}")), json!([{"id": id}]));
    }

    fn rss_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }
}

fn ask(address: &str, sql: &str) -> Reply {
    post(address, "/api/sql", "", &json!({ "sql": sql }).to_string())
}

#[test]
fn queries_without_end_and_joins_without_bound_are_ended_and_nobody_else_notices() {
    let served = Served::start();
    served.change("INSERT INTO shop.orders SELECT g, 'DONE', 1, repeat('x', 100) FROM generate_series(1000, 60000) AS g");
    let before = served.rss_bytes();
    let queries = [
        "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t",
        "SELECT count(*) FROM shop.orders AS a, shop.orders AS b, shop.orders AS c WHERE a.id + b.id + c.id = 7",
        "SELECT a.note || b.note AS n FROM shop.orders AS a, shop.orders AS b ORDER BY n LIMIT 5",
        "SELECT list(a.note || b.note) FROM shop.orders AS a, shop.orders AS b",
        "SELECT string_agg(a.note || b.note) FROM shop.orders AS a, shop.orders AS b",
        "SELECT count(DISTINCT a.id * 100000 + b.id) FROM shop.orders AS a, shop.orders AS b",
        "SELECT repeat('x', 1000000000)",
        "SELECT length(repeat(repeat('x', 10000000), 10000))",
    ];
    let clients: Vec<_> = queries
        .into_iter()
        .map(|sql| {
            let address = served.address.clone();
            thread::spawn(move || (sql, ask(&address, sql)))
        })
        .collect();
    let mut id = 100_000;
    let mut peak = before;
    while clients.iter().any(|client| !client.is_finished()) {
        served.answers_others();
        served.applies(id);
        id += 1;
        peak = peak.max(served.rss_bytes());
    }
    for client in clients {
        let (sql, reply) = client.join().unwrap();
        // It ran into its time, its memory or its length, or it was turned away for those that did; whatever it was, it is said.
        assert!([200, 400, 503].contains(&reply.status), "{sql}: {reply:?}");
        let told: Value = reply.json();
        assert!(
            reply.status == 200 || (told["detail"].is_string() && told["hint"].is_string()),
            "{sql}: {told}"
        );
    }
    assert!(peak - before < GROWTH_BYTES_MAX, "{before} -> {peak}");
    // A value that nothing could interrupt while it is made is refused before.
    let long = ask(&served.address, "SELECT repeat('x', 1000000000)");
    assert_eq!((long.status, long.json()["code"].as_str()), (400, Some("MS5310")), "{long:?}");
    assert!(long.body.contains("more than 64 MB"), "{long:?}");
    served.project.verify();
    stop(served.process);
}

#[test]
fn a_client_that_goes_away_ends_its_query() {
    let served = Served::start();
    let body = json!({"sql": "SELECT count(*) FROM range(100000) AS a, range(100000) AS b, range(1000) AS c WHERE a.range < b.range"});
    let busy = || -> u64 {
        // utime of /proc/PID/stat, in ticks.
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", served.process.pid())).unwrap();
        stat.rsplit_once(')').unwrap().1.split_whitespace().nth(11).unwrap().parse().unwrap()
    };
    for _ in 0..8 {
        let mut stream = TcpStream::connect(&served.address).unwrap();
        let text = body.to_string();
        write!(
            stream,
            "POST /api/sql HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{text}",
            served.address,
            text.len()
        )
        .unwrap();
        thread::sleep(Duration::from_millis(200));
    }
    // All have gone; nothing works for them any more. What nobody ended would work for half a minute.
    wait_until("the queries to end", Duration::from_secs(10), || {
        let began = busy();
        thread::sleep(Duration::from_secs(1));
        (busy() - began < 50).then_some(())
    })
    .unwrap();
    served.answers_others();
    stop(served.process);
}

#[test]
fn clients_that_are_slow_or_many_keep_nobody_out() {
    // This process has one end of each connection.
    let allowed = rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let connections = CONNECTIONS.min(usize::try_from(allowed).unwrap().saturating_sub(500));
    let served = Served::start();
    let address = &served.address;

    // Heads that drip, and answers that nobody takes.
    let dripping: Vec<TcpStream> = (0..200)
        .map(|_| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(b"GET /orders HTTP/1.1\r\nHost: ").unwrap();
            stream
        })
        .collect();
    let deaf: Vec<TcpStream> = (0..50)
        .map(|_| {
            let mut stream = TcpStream::connect(address).unwrap();
            for _ in 0..50 {
                write!(stream, "GET /openapi.json HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
            }
            stream
        })
        .collect();
    served.answers_others();
    served.applies(100);

    // Listeners who hear nothing, as many as promised.
    let before = served.rss_bytes();
    let listeners: Vec<Events> = (0..connections).map(|_| Events::of(address, "/orders")).collect();
    let grown = served.rss_bytes().saturating_sub(before);
    assert!(grown < CONNECTIONS_BYTES_MAX, "{grown} bytes for {connections} listeners");
    served.answers_others();
    served.applies(101);
    drop(listeners);
    drop(deaf);

    // Those that drip are let go once their time is over.
    for mut stream in dripping {
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut said = Vec::new();
        stream.read_to_end(&mut said).unwrap();
        let said = String::from_utf8_lossy(&said);
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{said}");
    }
    served.answers_others();
    stop(served.process);
}

/// Texts that end a literal, a statement or a comment where something is pasted.
const INJECTIONS: [&str; 14] = [
    "'",
    "''",
    "\"",
    "';--",
    "' OR '1'='1",
    "1 OR 1=1",
    "1; DROP VIEW shop.orders",
    "1) UNION SELECT 1, version(), 2, 'x'--",
    "' UNION SELECT * FROM read_text('/etc/passwd')--",
    "$1",
    "${jndi:ldap://x}",
    "\\'; SELECT 1 --",
    "/**/",
    "\u{202e}\u{feff}\u{1f600}",
];

#[test]
fn what_a_parameter_holds_stays_a_value() {
    let served = Served::start();
    let whole = served.rows("/tables/shop/orders?select=id&order=id");
    let encode = |text: &str| -> String { text.bytes().map(|byte| format!("%{byte:02X}")).collect() };
    let paths = [
        "/orders",
        "/quiet",
        "/tables/shop/orders",
        "/tables/shop/orders_history",
        "/api/rows/shop/orders",
        "/api/changes",
    ];
    let names = [
        "status", "least", "limit", "offset", "cursor", "as_of", "select", "order", "and", "or", "id",
        "note", "filter", "table", "from",
    ];
    let mut answered = 0;
    for path in paths {
        for name in names {
            for text in INJECTIONS {
                // As a value alone, behind an operator, in a list, in a group, and as a name.
                for value in [
                    text.to_owned(),
                    format!("eq.{text}"),
                    format!("in.(\"{text}\")"),
                    format!("(note.eq.{text})"),
                    format!("note:{text}"),
                ] {
                    let reply = served.get(&format!("{path}?{name}={}", encode(&value)));
                    assert!([200, 400, 404].contains(&reply.status), "{path} {name}={value}: {reply:?}");
                    assert!(
                        !reply.body.contains("root:") && !reply.body.contains("v1.5"),
                        "{path} {name}={value}: {reply:?}"
                    );
                    if reply.status == 200 && name != "as_of" {
                        answered += 1;
                    }
                }
            }
            let reply = served.get(&format!("{path}?{}=1", encode(&format!("{name}' OR 1=1--"))));
            assert_eq!(reply.status, 400, "{path} {name}: {reply:?}");
        }
    }
    assert!(answered > 100, "some are values that a column can have: {answered}");
    assert_eq!(served.rows("/tables/shop/orders?select=id&order=id"), whole);
    stop(served.process);
}

#[test]
fn paths_lead_nowhere_but_to_what_is_served() {
    let served = Served::start();
    for path in [
        "/../../etc/passwd",
        "/ui/../../../etc/passwd",
        "/ui/assets/../../../../etc/passwd",
        "/ui/assets/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/docs/../millstream.yml",
        "/docs/%2e%2e%2fmillstream.yml",
        "/tables/../etc/passwd",
        "/tables/shop/..%2f..%2fmillstream.yml",
        "/tables/shop/orders%00",
        "/tables/_millstream/progress",
        "/tables/main/sqlite_master",
        "/tables/information_schema/tables",
        "/api/rows/_millstream/progress",
        "/api/rows/..%2f..%2fetc/passwd",
        "/api/dashboards/..%2fmillstream.yml",
        "/orders/../millstream.yml",
        "//etc/passwd",
        "/.env",
        "/millstream.yml",
        "/data/warehouse.duckdb",
    ] {
        let reply = get(&served.address, path);
        // Below /ui every page is the same one, and what it shows is decided in the browser (501: this build has none).
        let page = path.starts_with("/ui/")
            && [200, 501].contains(&reply.status)
            && reply.body.contains("<!doctype html>");
        assert!(page || [400, 404].contains(&reply.status), "{path}: {reply:?}");
        assert!(!reply.body.contains("root:") && !reply.body.contains("version: 1"), "{path}: {reply:?}");
    }
    stop(served.process);
}
