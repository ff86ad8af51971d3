//! What a running project serves over HTTP: endpoints, tables, their description, health and metrics.

use std::fs;
use std::time::Duration;

use millstream_api::answer::FRESH_FOR;
use millstream_testkit::{wait_until, PgCluster, Process};
use serde_json::json;

use crate::http::{get, get_with, send, Events, Reply};
use crate::project::{stop, Project};

/// A change is seen in milliseconds; a busy machine takes longer.
pub(crate) const SEEN_WAIT_MAX: Duration = Duration::from_secs(30);

const ORDERS: &str = "/*---\ndescription: Orders by status\nparams:\n  status: {type: string, default: all, enum: [OPEN, DONE, all]}\n  \
     least: {type: integer, default: 0, min: 0, max: 1000}\nlive: true\n---*/\n\
     SELECT id, status, total FROM shop.orders WHERE ($status = 'all' OR status = $status) AND id >= $least ORDER BY id";

const SUMS: &str = "/*---\nparams: {status: {type: string, default: all}}\n---*/\n\
     SELECT status, count(*) AS n, sum(total) AS total FROM shop.orders WHERE $status = 'all' OR status = $status GROUP BY status ORDER BY status";

const LIVE: &str =
    "/*---\nlive: true\n---*/\nSELECT status, count(*) AS n FROM shop.orders GROUP BY status ORDER BY status";

pub(crate) struct Served {
    pub(crate) cluster: PgCluster,
    pub(crate) project: Project,
    pub(crate) process: Process,
    pub(crate) address: String,
}

impl Served {
    pub(crate) fn start() -> Self {
        Self::start_with("")
    }

    /// With further lines of the configuration.
    pub(crate) fn start_with(settings: &str) -> Self {
        Self::start_in(settings, &[])
    }

    /// With variables of its environment too.
    pub(crate) fn start_in(settings: &str, variables: &[(&'static str, &str)]) -> Self {
        let cluster = PgCluster::start_default().unwrap();
        cluster
            .execute(
                "CREATE SCHEMA shop; \
                 CREATE TABLE shop.orders (id int PRIMARY KEY, status text NOT NULL, total numeric(10,2), note text); \
                 CREATE TABLE shop.quiet (id int PRIMARY KEY); INSERT INTO shop.quiet VALUES (1); \
                 INSERT INTO shop.orders SELECT g, CASE g % 2 WHEN 0 THEN 'OPEN' ELSE 'DONE' END, g * 1.5 FROM generate_series(1, 20) AS g",
            )
            .unwrap();
        let mut project = Project::with_source(&cluster.url(), "tables: [\"shop.*\"]");
        for (name, value) in variables {
            project.set(name, *value);
        }
        let path = project.directory().join("millstream.yml");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(
            &path,
            format!("{text}{settings}serve: {{http: \"127.0.0.1:0\", postgres: \"127.0.0.1:0\"}}\n"),
        )
        .unwrap();
        for (name, sql) in [
            ("orders", ORDERS),
            ("sums", SUMS),
            ("living", LIVE),
            ("quiet", "SELECT count(*) AS n FROM shop.quiet"),
            ("model", "SELECT * FROM open_orders"),
            ("clock", "SELECT now() AS t"),
            ("wrong", "SELECT secret_column FROM shop.orders"),
            ("broken", "/*---\nparms: {}\n---*/ SELECT 1"),
        ] {
            fs::create_dir_all(project.directory().join("api")).unwrap();
            fs::write(project.directory().join(format!("api/{name}.sql")), sql).unwrap();
        }
        fs::create_dir_all(project.directory().join("models")).unwrap();
        let model = "SELECT count(*) AS n FROM shop.orders WHERE status = 'OPEN'";
        fs::write(project.directory().join("models/open_orders.sql"), model).unwrap();
        let mut process = project.up("");
        project.await_streaming(&mut process);
        let line = process.wait_for_line("http://", SEEN_WAIT_MAX).unwrap();
        let address = line.split("http://").nth(1).unwrap().split('/').next().unwrap().to_owned();
        Served { cluster, project, process, address }
    }

    pub(crate) fn get(&self, path: &str) -> crate::http::Reply {
        get(&self.address, path)
    }

    pub(crate) fn rows(&self, path: &str) -> serde_json::Value {
        let reply = self.get(path);
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        reply.json()
    }

    /// Commits at the source, and waits until it can be read.
    pub(crate) fn change(&self, sql: &str) {
        self.cluster.execute(sql).unwrap();
        self.project.catch_up();
    }
}

#[test]
fn a_table_that_could_not_be_looked_at_just_now_is_not_taken_for_gone() {
    for path in ["/tables", "/tables/shop/orders", "/api/tables"] {
        let served = Served::start_in("", &[("FAILPOINTS", "warehouse::describe_history=1*return->off")]);
        let refused = served.get(path);
        assert_eq!(
            (refused.status, refused.json()["code"].as_str()),
            (503, Some("MS5202")),
            "{path}: {refused:?}"
        );
        let names = served.rows("/tables");
        let names: Vec<_> = names.as_array().unwrap().iter().map(|of| of["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["open_orders", "orders", "orders_history", "quiet", "quiet_history"], "{path}");
        stop(served.process);
    }
}

#[test]
fn endpoints_answer_with_their_parameters_formats_and_pages() {
    let served = Served::start();
    let rows = served.rows("/orders?status=OPEN&least=18");
    assert_eq!(
        rows,
        json!([{"id": 18, "status": "OPEN", "total": 27.00}, {"id": 20, "status": "OPEN", "total": 30.00}])
    );
    assert!(served.get("/orders?least=20").body.contains("\"total\":30.00"), "every digit");
    assert_eq!(served.get("/orders.csv?least=20").body, "id,status,total\r\n20,OPEN,30.00\r\n");
    assert_eq!(
        get_with(&served.address, "/orders?least=20", "Accept: application/x-ndjson\r\n").body.trim(),
        r#"{"id":20,"status":"OPEN","total":30.00}"#
    );
    let parquet = served.get("/orders.parquet?least=20");
    assert_eq!(parquet.header("content-type"), Some("application/vnd.apache.parquet"));
    assert!(parquet.body.starts_with("PAR1") && parquet.body.ends_with("PAR1"), "{}", parquet.body);
    let arrow =
        get_with(&served.address, "/orders?least=1000", "Accept: application/vnd.apache.arrow.stream\r\n");
    assert!(arrow.body.contains("total"), "columns of an answer without rows: {}", arrow.body);
    assert_eq!(get_with(&served.address, "/orders", "Accept: image/png\r\n").status, 406);
    assert_eq!(served.rows("/model"), json!([{"n": 10}]));
    let before = served.get("/orders?as_of=2001-01-01T00:00:00Z");
    assert_eq!((before.status, before.json()["code"].as_str()), (404, Some("MS5303")), "{before:?}");
    // What a client sends is bound, never pasted.
    for (path, code) in [
        ("/orders?status=open", "MS7101"),
        ("/orders?status='%20OR%20'1'='1", "MS7101"),
        ("/orders?least=1;DROP", "MS7101"),
        ("/orders?least=1001", "MS7101"),
        ("/orders?least=1&least=2", "MS7101"),
        ("/orders?limt=1", "MS7103"),
        ("/orders?limit=-1", "MS7101"),
        ("/orders?as_of=yesterday", "MS7101"),
    ] {
        let reply = served.get(path);
        assert_eq!((reply.status, reply.json()["code"].as_str()), (400, Some(code)), "{path}: {reply:?}");
        assert_eq!(reply.header("content-type"), Some("application/problem+json"), "{path}");
    }
    // What is wrong with the endpoint itself stays in the log of the server.
    let wrong = served.get("/wrong");
    assert_eq!((wrong.status, wrong.json()["code"].as_str()), (500, Some("MS7112")));
    assert!(!wrong.body.contains("secret_column"), "{wrong:?}");
    assert_eq!(served.get("/nothing").status, 404);
    assert_eq!(served.get("/broken").status, 404);
    assert!(served.process.stderr().contains("parms"), "{}", served.process.tail());
    // Pages are of one position, whatever changes between them.
    let first = served.get("/orders?limit=8");
    assert_eq!(first.json().as_array().unwrap().len(), 8);
    served.change("DELETE FROM shop.orders WHERE id < 5; UPDATE shop.orders SET status = 'X' WHERE id > 15");
    let mut ids: Vec<i64> =
        first.json().as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()).collect();
    let mut link = first.header("link").map(str::to_owned);
    while let Some(next) = link.take() {
        let path = next.trim_start_matches('<').split('>').next().unwrap().to_owned();
        let page = served.get(&path);
        assert_eq!(page.status, 200, "{path}: {page:?}");
        ids.extend(page.json().as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()));
        link = page.header("link").map(str::to_owned);
    }
    assert_eq!(ids, (1..=20).collect::<Vec<_>>());
    stop(served.process);
}

#[test]
fn an_answer_names_its_position_and_is_given_again_only_while_it_is_true() {
    let served = Served::start();
    let etag = |path: &str| served.get(path).header("etag").unwrap().to_owned();
    let asked = |path: &str, etag: &str| {
        get_with(&served.address, path, &format!("If-None-Match: {etag}\r\n")).status
    };
    let (orders, quiet, clock) = (etag("/orders"), etag("/quiet"), etag("/clock"));
    assert_eq!((asked("/orders", &orders), asked("/quiet", &quiet)), (304, 304));
    assert_eq!(asked("/orders?least=1", &orders), 200, "another question");
    assert_eq!(asked("/orders.csv", &orders), 200, "another format");
    std::thread::sleep(Duration::from_millis(150));
    assert_eq!(asked("/clock", &clock), 200, "the time is another");
    let before = served.get("/orders").header("millstream-position").unwrap().to_owned();
    for id in 100..110 {
        served.change(&format!("INSERT INTO shop.orders VALUES ({id}, 'NEW', 1)"));
        // Never older than a quarter of a second.
        std::thread::sleep(FRESH_FOR + Duration::from_millis(10));
        let rows = served.rows(&format!("/orders?least={id}"));
        assert_eq!(rows.as_array().unwrap().len(), 1, "{rows}");
    }
    assert_eq!(
        (asked("/orders", &orders), asked("/quiet", &quiet)),
        (200, 304),
        "only what has changed is sent again"
    );
    assert_eq!(served.rows(&format!("/orders?as_of={before}&least=21")), json!([]));
    assert!(served.get("/orders").header("millstream-position").unwrap() > before.as_str());
    // Other files, other answers.
    let path = served.project.directory().join("api/quiet.sql");
    fs::write(path, "SELECT count(*) + 1 AS n FROM shop.quiet").unwrap();
    let changed = || (served.rows("/quiet") == json!([{"n": 2}])).then_some(());
    wait_until("the endpoint to change", SEEN_WAIT_MAX, changed).unwrap();
    assert_eq!(asked("/quiet", &quiet), 200);
    stop(served.process);
}

/// How many answers were made of results that follow the changes.
pub(crate) fn followed(metrics: &Reply) -> u64 {
    let mut lines = metrics.body.lines();
    let line = lines.find(|line| line.starts_with("millstream_warehouse_reads_total{of=\"followed\"}"));
    line.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn what_counts_and_sums_follows_every_change_and_is_what_the_source_has() {
    let served = Served::start();
    let followed = || followed(&served.get("/metrics"));
    let equal = |what: &str| {
        // As old as an answer may be.
        std::thread::sleep(FRESH_FOR + Duration::from_millis(10));
        for status in ["all", "OPEN", "NEW"] {
            let source = served.cluster.execute(&format!(
                "SELECT coalesce(json_agg(r), '[]') FROM (SELECT status, count(*) AS n, sum(total) AS total FROM shop.orders \
                 WHERE '{status}' IN ('all', status) GROUP BY status ORDER BY status COLLATE \"C\") AS r"
            ));
            let source: serde_json::Value = serde_json::from_str(source.unwrap().trim()).unwrap();
            assert_eq!(served.rows(&format!("/sums?status={status}")), source, "{status} behind {what}");
        }
    };
    wait_until("the sums to be followed", SEEN_WAIT_MAX, || {
        equal("nothing");
        served.change("UPDATE shop.orders SET total = total + 1 WHERE id = 1");
        (followed() > 0).then_some(())
    })
    .unwrap();
    for change in [
        "INSERT INTO shop.orders SELECT g, 'NEW', g FROM generate_series(100, 140) AS g",
        "UPDATE shop.orders SET status = 'NEW', total = NULL WHERE id < 8",
        "DELETE FROM shop.orders WHERE status = 'OPEN' AND id > 12",
        "BEGIN; DELETE FROM shop.orders WHERE id = 100; INSERT INTO shop.orders VALUES (100, 'OPEN', 7), (101001, 'x', 1); \
         DELETE FROM shop.orders WHERE id = 101001; COMMIT",
        "UPDATE shop.orders SET id = id + 1000 WHERE id > 120",
    ] {
        let before = followed();
        served.change(change);
        equal(change);
        assert!(followed() > before, "{change} was read");
    }
    // What is no change of rows is read anew, and followed again.
    served.change("ALTER TABLE shop.orders ADD COLUMN more int DEFAULT 5; UPDATE shop.orders SET status = 'OPEN' WHERE id = 101");
    equal("another column");
    served.change("TRUNCATE shop.orders");
    equal("a truncation");
    served.change("INSERT INTO shop.orders VALUES (1, 'OPEN', 3)");
    equal("a first row");
    stop(served.process);
}

#[test]
fn what_live_endpoints_read_is_followed_before_anybody_asks() {
    let served = Served::start();
    served.change("INSERT INTO shop.orders VALUES (500, 'NEW', 1)");
    wait_until("the statement to be followed", SEEN_WAIT_MAX, || {
        let metrics = served.get("/metrics");
        metrics.body.contains("millstream_followed_statements 1\n").then_some(())
    })
    .unwrap();
    let rows = json!([{"status": "DONE", "n": 10}, {"status": "NEW", "n": 1}, {"status": "OPEN", "n": 10}]);
    assert_eq!((served.rows("/living"), followed(&served.get("/metrics"))), (rows, 1));
    stop(served.process);
}

#[test]
fn live_endpoints_send_each_new_result_once() {
    let served = Served::start();
    let mut events = Events::of(&served.address, "/orders?status=OPEN&least=17");
    let mut others = Events::of(&served.address, "/orders?status=OPEN&least=17");
    let ids = |rows: &serde_json::Value| -> Vec<i64> {
        rows.as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()).collect()
    };
    assert_eq!(ids(&events.next()), [18, 20]);
    assert_eq!(ids(&others.next()), [18, 20]);
    // What its result does not show sends nothing.
    served.change("INSERT INTO shop.orders VALUES (400, 'DONE', 1); INSERT INTO shop.quiet VALUES (2)");
    served.change("INSERT INTO shop.orders VALUES (500, 'OPEN', 1)");
    assert_eq!(ids(&events.next()), [18, 20, 500]);
    served.change("DELETE FROM shop.orders WHERE id = 500");
    assert_eq!(ids(&events.next()), [18, 20]);
    assert_eq!(ids(&others.next()), [18, 20, 500]);
    assert_eq!(ids(&others.next()), [18, 20]);
    let refused = get_with(&served.address, "/quiet", "Accept: text/event-stream\r\n");
    assert_eq!(refused.status, 406, "{refused:?}");
    stop(served.process);
}

#[test]
fn tables_are_read_by_filters_and_nothing_else_is() {
    let served = Served::start();
    let rows = served
        .rows("/tables/shop/orders?select=id,state:status&status=eq.OPEN&id=gte.16&order=id.desc&limit=2");
    assert_eq!(rows, json!([{"id": 20, "state": "OPEN"}, {"id": 18, "state": "OPEN"}]));
    assert_eq!(served.rows("/tables/shop/orders?id=in.(1,3,99)&select=id"), json!([{"id": 1}, {"id": 3}]));
    assert_eq!(served.rows("/tables/shop/orders?note=not.is.null"), json!([]));
    served.change("UPDATE shop.orders SET total = 0 WHERE id = 7");
    let versions = served.rows("/tables/shop/orders_history?id=eq.7&select=total,operation_type&order=_lsn");
    assert_eq!(
        versions,
        json!([{"total": 10.50, "operation_type": "SNAPSHOT"}, {"total": 0.00, "operation_type": "UPDATE"}])
    );
    assert_eq!(served.rows("/tables/main/open_orders"), json!([{"n": 10}]));
    let listed = served.rows("/tables");
    let names: Vec<_> =
        listed.as_array().unwrap().iter().map(|table| table["path"].as_str().unwrap()).collect();
    assert!(
        names.contains(&"/tables/shop/orders") && names.contains(&"/tables/main/open_orders"),
        "{names:?}"
    );
    for path in [
        "/tables/_millstream/progress",
        "/tables/information_schema/tables",
        "/tables/main/duckdb_settings",
        "/tables/shop/orders%22%3B%20DROP",
        "/tables/shop",
        "/tables/../../etc/passwd",
        "/..%2f..%2fetc%2fpasswd",
    ] {
        assert_eq!(served.get(path).status, 404, "{path}");
    }
    for path in [
        "/tables/shop/orders?id=eq.x",
        "/tables/shop/orders?total=eq.x",
        "/tables/shop/orders?nothing=eq.1",
        "/tables/shop/orders?select=id,(select%201)",
    ] {
        assert_eq!(served.get(path).status, 400, "{path}: {:?}", served.get(path));
    }
    stop(served.process);
}

#[test]
fn psql_reads_the_warehouse_and_can_not_write_it() {
    let served = Served::start();
    let line = served.process.wait_for_line("postgres://", SEEN_WAIT_MAX).unwrap();
    let url = line
        .split_whitespace()
        .find(|word| word.starts_with("postgres://"))
        .unwrap()
        .trim_end_matches(':')
        .to_owned();
    let psql = |sql: &str| {
        let program = served.cluster.bin_dir().join("psql");
        let output =
            std::process::Command::new(program).args(["-XqAt", "-d", &url, "-c", sql]).output().unwrap();
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    assert_eq!(psql("SELECT id, total FROM shop.orders WHERE id > 18 ORDER BY id").1, "19|28.50\n20|30.00\n");
    assert!(psql("\\dt shop.*").1.contains("shop|orders|table"), "{:?}", psql("\\dt shop.*"));
    served.change("INSERT INTO shop.orders VALUES (21, 'NEW', 1)");
    assert_eq!(psql("SELECT count(*) FROM shop.orders").1, "21\n");
    for sql in
        ["DELETE FROM shop.orders", "SELECT * FROM read_csv('/etc/passwd')", "COPY shop.orders TO '/tmp/x'"]
    {
        let (good, _, error) = psql(sql);
        assert!(!good && error.contains("ERROR"), "{sql}: {error}");
    }
    stop(served.process);
}

#[test]
fn other_hosts_origins_methods_and_broken_requests_are_refused() {
    let served = Served::start();
    let address = &served.address;
    let asked = |request: String| send(address, request.as_bytes()).status;
    assert_eq!(asked("GET /orders HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n".into()), 403);
    assert_eq!(get_with(address, "/orders", "Origin: http://evil.example\r\n").status, 403);
    assert_eq!(get_with(address, "/orders", &format!("Origin: http://{address}\r\n")).status, 200);
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"] {
        let status = asked(format!(
            "{method} /orders HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        ));
        assert_eq!(status, 405, "{method}");
    }
    let head = send(
        address,
        format!("HEAD /orders HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes(),
    );
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert!(head.header("etag").is_some());
    let long = "x".repeat(200_000);
    assert!([414, 431, 400].contains(&get(address, &format!("/orders?status={long}")).status));
    assert!([431, 400].contains(&get_with(address, "/orders", &format!("X-Long: {long}\r\n")).status));
    assert!([400, 0].contains(&asked("no HTTP at all\r\n\r\n".into())));
    // The server goes on.
    let reply = served.get("/orders?least=20");
    assert_eq!(reply.status, 200);
    for (name, value) in [("x-content-type-options", "nosniff"), ("x-frame-options", "DENY")] {
        assert_eq!(reply.header(name), Some(value));
    }
    assert!(reply.header("x-request-id").is_some());
    stop(served.process);
}

#[test]
fn health_metrics_and_the_description_are_there() {
    let served = Served::start();
    assert_eq!(served.get("/live").status, 200);
    assert_eq!(served.get("/ready").status, 200);
    let metrics = served.get("/metrics").body;
    for line in ["millstream_state{state=\"streaming\"} 1", "millstream_table_rows{table=\"shop.orders\"} 20"]
    {
        assert!(metrics.lines().any(|found| found == line), "{line} in\n{metrics}");
    }
    let document = served.rows("/openapi.json");
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(
        document["paths"]["/orders"]["get"]["parameters"][0]["schema"]["enum"],
        json!(["OPEN", "DONE", "all"])
    );
    assert!(document["paths"]["/tables/shop/orders"].is_object());
    let page = served.get("/docs");
    assert!(page.header("content-type").unwrap().starts_with("text/html"));
    for part in ["/docs/docs.js", "/docs/docs.css"] {
        assert!(page.body.contains(part) && served.get(part).status == 200, "{part}");
    }
    assert!(!page.body.contains("https://"), "nothing is loaded from elsewhere");
    assert_eq!(served.get("/").header("location"), Some("/ui"));
    stop(served.process);
}
