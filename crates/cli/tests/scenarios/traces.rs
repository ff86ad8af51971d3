//! Traces: what the program tells a collector of itself, and that nothing depends on whether it listens.

use std::process::Command;
use std::time::{Duration, Instant};

use millstream_testkit::{self_signed_certificate, signed_certificate, wait_until};

use crate::collector::{Collector, Mood, Span, TlsFront};
use crate::http::get_with;
use crate::project::stop;
use crate::serving::{Served, SEEN_WAIT_MAX};

/// As OTLP numbers kinds.
const SERVER: u64 = 2;

/// A trace that began elsewhere, and the span there that asks.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// Stopping is bounded by what is given to the last spans, and then some for a busy machine.
const STOP_WAIT_MAX: Duration = Duration::from_secs(15);

fn traceparent(flags: &str) -> String {
    format!("traceparent: 00-{TRACE}-{CALLER}-{flags}\r\n")
}

/// Started with traces to a collector, and further keys of them.
fn served(collector: &Collector, keys: &str) -> Served {
    Served::start_with(&format!("traces: {{endpoint: \"{}\", {keys}}}\n", collector.url))
}

/// A metric's value.
fn metric(served: &Served, name: &str) -> Option<f64> {
    let text = served.get("/metrics").body;
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

fn attribute<'a>(span: &'a Span, name: &str) -> &'a str {
    span.attributes.get(name).map_or("", String::as_str)
}

#[test]
fn what_the_program_does_is_told_to_a_collector() {
    let collector = Collector::start();
    let served = served(&collector, "service: mill, headers: {x-api-key: needle-of-the-header}");
    // What was copied at the start.
    let snapshot = collector.wait_for("the snapshot", |span| span.name == "snapshot");
    let chunk = collector.wait_for("a chunk", |span| span.name == "snapshot chunk");
    assert_eq!((&chunk.trace, &chunk.parent), (&snapshot.trace, &snapshot.id));
    let loaded = collector.wait_for("the load", |span| {
        attribute(span, "millstream.table") == "shop.orders" && span.name == "load chunks"
    });
    assert_eq!(attribute(&loaded, "millstream.rows"), "20");
    let said = |name: &str| snapshot.resource.get(name).cloned().unwrap_or_default();
    assert_eq!((said("service.name"), said("millstream.project")), ("mill".into(), "scenario".into()));
    let head = collector.head();
    for line in [
        "POST /v1/traces HTTP/1.1",
        "content-type: application/x-protobuf",
        "x-api-key: needle-of-the-header",
    ] {
        assert!(head.contains(line), "{head}");
    }

    // A change, from the log to the warehouse.
    served.change("BEGIN; INSERT INTO shop.orders VALUES (100, 'needle-of-a-row', 1); DELETE FROM shop.orders WHERE id = 1; COMMIT");
    let batch = collector
        .wait_for("a batch", |span| span.name == "apply batch" && attribute(span, "millstream.rows") == "2");
    assert_eq!(
        (attribute(&batch, "millstream.transactions"), attribute(&batch, "millstream.tables")),
        ("1", "1")
    );
    assert!(batch.parent.is_empty() && attribute(&batch, "millstream.position").contains('/'), "{batch:?}");
    for name in ["apply write", "apply commit"] {
        let part = collector.wait_for(name, |span| span.name == name && span.parent == batch.id);
        assert!(part.trace == batch.trace && part.nanoseconds <= batch.nanoseconds, "{part:?}");
    }
    collector.wait_for("a sync", |span| {
        span.name == "capture sync" && attribute(span, "millstream.position").contains('/')
    });

    // A request, in the trace that it came with, and the read below it.
    let headers =
        format!("{}tracestate: vendor=1\r\nAuthorization: Bearer needle-of-a-token\r\n", traceparent("01"));
    let reply = get_with(&served.address, "/orders.csv?status=OPEN&least=18", &headers);
    assert_eq!(reply.status, 200, "{reply:?}");
    let request = collector.wait_for("the request", |span| span.trace == TRACE && span.kind == SERVER);
    assert_eq!((&*request.name, &*request.parent, request.status), ("GET /orders", CALLER, 0));
    for (name, value) in [
        ("millstream.name", ""),
        ("http.request.method", "GET"),
        ("http.route", "/orders"),
        ("url.path", "/orders.csv"),
        ("http.response.status_code", "200"),
        ("millstream.request_id", reply.header("x-request-id").unwrap()),
    ] {
        assert_eq!(attribute(&request, name), value, "{name}");
    }
    let read = collector
        .wait_for("the read", |span| span.parent == request.id && span.name == "reading an endpoint");
    assert!(read.trace == TRACE && read.nanoseconds <= request.nanoseconds, "{read:?}");
    // What came without a trace begins one, and what went wrong by the client's fault is no error of the server's.
    served.get("/orders?least=needle-of-a-query");
    let refused =
        collector.wait_for("a refusal", |span| attribute(span, "http.response.status_code") == "400");
    assert!(refused.parent.is_empty() && refused.trace != TRACE && refused.status == 0, "{refused:?}");
    served.get("/nothing/here");
    let nowhere =
        collector.wait_for("a path of nobody's", |span| attribute(span, "url.path") == "/nothing/here");
    assert_eq!((&*nowhere.name, attribute(&nowhere, "http.route")), ("GET", ""));

    // Statements of PostgreSQL's clients: their kind, not their text.
    let line = served.process.wait_for_line("postgres://", SEEN_WAIT_MAX).unwrap();
    let url = line.split_whitespace().find(|word| word.starts_with("postgres://")).unwrap();
    let url = url.trim_end_matches(':').to_owned();
    let psql = |sql: &str| {
        let mut command = Command::new(served.cluster.bin_dir().join("psql"));
        command.args([&url, "-XAtc", sql]).output().unwrap()
    };
    let output =
        psql("SELECT id FROM shop.orders WHERE id > 18 AND coalesce(note, '') <> 'needle-of-a-literal'");
    assert!(output.status.success(), "{output:?}");
    let statement =
        collector.wait_for("a statement", |span| attribute(span, "db.response.returned_rows") == "3");
    assert_eq!((&*statement.name, statement.kind, statement.status), ("SELECT", SERVER, 0));
    assert_eq!(
        (attribute(&statement, "db.operation.name"), attribute(&statement, "db.namespace")),
        ("SELECT", "scenario")
    );
    psql("SELECT 'needle-of-a-literal' FROM nowhere");
    collector.wait_for("a failure", |span| attribute(span, "db.response.status_code") == "42P01");

    // Only our own spans, and no secret, value or text of a statement in any of them.
    for needle in ["needle", "postgres://", "SELECT id", "password"] {
        assert!(!collector.was_told(needle), "{needle}");
    }
    assert_eq!(metric(&served, "millstream_traces_dropped_total"), Some(0.0));
    assert!(metric(&served, "millstream_traces_sent_total").unwrap() >= 10.0);

    // What ended just before the end is there as well.
    served.get("/tables/shop/quiet");
    stop(served.process);
    let last = collector.spans().into_iter().find(|span| span.name == "GET /tables/{schema}/{name}");
    let names: Vec<_> = collector.spans().into_iter().rev().take(20).map(|span| span.name).collect();
    assert!(last.is_some(), "the last spans are sent before the program ends: {names:?}");
}

#[test]
fn a_trace_is_kept_as_was_decided_where_it_began() {
    let collector = Collector::start();
    let served = served(&collector, "sample: 0");
    for flags in ["00", "01"] {
        assert_eq!(
            get_with(&served.address, &format!("/orders?least={flags}"), &traceparent(flags)).status,
            200
        );
    }
    // Of two of them none can be meant.
    get_with(&served.address, "/quiet", &traceparent("01").repeat(2));
    served.change("INSERT INTO shop.quiet VALUES (2)");
    collector.wait_for("the request", |span| span.kind == SERVER);
    stop(served.process);
    let spans = collector.spans();
    let requests = spans.iter().filter(|span| span.kind == SERVER).count();
    assert_eq!(requests, 1, "{spans:#?}");
    assert!(spans.iter().all(|span| span.trace == TRACE), "{spans:#?}");
}

#[test]
fn a_collector_in_trouble_slows_nothing() {
    let collector = Collector::start();
    collector.set(Mood::Answers(500));
    let mut served = served(&collector, "sample: 1");
    served.change("INSERT INTO shop.quiet VALUES (2)");
    assert_eq!(served.rows("/quiet"), serde_json::json!([{"n": 2}]));
    let dropped =
        |served: &Served| metric(served, "millstream_traces_dropped_total").filter(|count| *count > 0.0);
    wait_until("spans to be dropped", SEEN_WAIT_MAX, || dropped(&served)).unwrap();
    let refused = collector.requests();
    wait_until("more of them", SEEN_WAIT_MAX, || {
        served.get("/live");
        (collector.requests() > refused + 1).then_some(())
    })
    .unwrap();
    assert_eq!(metric(&served, "millstream_traces_sent_total"), Some(0.0));
    let told = served.process.stderr().matches("traces are being dropped: it answers 500").count();
    assert_eq!(told, 1, "{}", served.process.tail());

    // It says nothing any more: requests are answered and changes applied as ever, and the end does not wait for long.
    collector.set(Mood::Hangs);
    let before = collector.requests();
    wait_until("a request that hangs", SEEN_WAIT_MAX, || {
        served.get("/live");
        (collector.requests() > before).then_some(())
    })
    .unwrap();
    served.change("INSERT INTO shop.quiet VALUES (3)");
    assert_eq!(served.rows("/quiet?limit=1"), serde_json::json!([{"n": 3}]));
    let begun = Instant::now();
    served.process.signal(libc::SIGTERM).unwrap();
    let status = served.process.wait(STOP_WAIT_MAX).unwrap();
    assert_eq!(status.code(), Some(0), "after {:?}: {}", begun.elapsed(), served.process.tail());
}

#[test]
fn a_collector_behind_tls_is_told_where_somebody_vouches_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let tls = directory.path();
    self_signed_certificate(tls, "ca", "an authority", "keyUsage=critical,keyCertSign").unwrap();
    signed_certificate(tls, "collector", "localhost", "subjectAltName=DNS:localhost").unwrap();
    let collector = Collector::start();
    let front = TlsFront::start(&collector, &tls.join("collector"));
    let settings = format!("traces: {{endpoint: \"{}\"}}\n", front.url);
    let authority = tls.join("ca.crt");
    let served = Served::start_in(&settings, &[("SSL_CERT_FILE", authority.to_str().unwrap())]);
    collector.wait_for("the snapshot", |span| span.name == "snapshot");
    stop(served.process);

    // The system's authorities don't know it: nothing is sent, and it is said why.
    let sent = collector.requests();
    let served = Served::start_with(&settings);
    let dropped = || metric(&served, "millstream_traces_dropped_total").filter(|&dropped| dropped > 0.0);
    wait_until("spans to be dropped", Duration::from_secs(60), dropped).unwrap();
    assert!(served.process.stderr().contains("certificate"), "{}", served.process.tail());
    assert_eq!(collector.requests(), sent);
    stop(served.process);
}

#[test]
fn without_a_collector_nothing_is_traced_and_one_that_is_away_is_no_trouble() {
    let served = Served::start();
    assert_eq!(metric(&served, "millstream_traces_dropped_total"), None);
    stop(served.process);
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let settings = format!("traces: {{endpoint: \"http://{nobody}\"}}\n");
    let served = Served::start_with(&settings);
    served.change("INSERT INTO shop.quiet VALUES (2)");
    assert_eq!(served.rows("/quiet"), serde_json::json!([{"n": 2}]));
    let begun = Instant::now();
    stop(served.process);
    assert!(begun.elapsed() < STOP_WAIT_MAX, "{:?}", begun.elapsed());
}
