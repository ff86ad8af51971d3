//! What the web UI asks for: every address below `/api`, and what it refuses.

use std::fs;

use millstream_testkit::wait_until;
use serde_json::{json, Value};

use crate::http::{get, get_with, post, Events};
use crate::project::stop;
use crate::serving::{Served, SEEN_WAIT_MAX};

/// The first load of the UI, compressed, is promised to be below this.
const FIRST_LOAD_BYTES_MAX: usize = 300_000;

fn sql(served: &Served, body: Value) -> crate::http::Reply {
    post(&served.address, "/api/sql", "", &body.to_string())
}

#[track_caller]
fn code(reply: &crate::http::Reply) -> (u16, String) {
    assert_eq!(reply.header("content-type"), Some("application/problem+json"), "{reply:?}");
    (reply.status, reply.json()["code"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn how_a_tables_schema_changed_is_told_with_when_and_where() {
    let served = Served::start();
    let changes = || {
        let tables = served.rows("/api/tables");
        let orders = tables.as_array().unwrap().iter().find(|table| table["name"] == "shop.orders").unwrap();
        assert!(orders["history_since"].as_str().unwrap().ends_with('Z'), "{orders}");
        orders["changes"].as_array().unwrap().clone()
    };
    assert_eq!(changes(), Vec::<Value>::new());
    served.change(
        "BEGIN; ALTER TABLE shop.orders ADD weight int, DROP COLUMN note; INSERT INTO shop.orders VALUES (21, 'NEW', 1, 5); COMMIT",
    );
    let inserted = served.rows("/api/row/shop/orders?key.id=21")["versions"][0].clone();
    served.change("ALTER TABLE shop.orders RENAME weight TO grams; ALTER TABLE shop.orders ALTER grams TYPE bigint; UPDATE shop.orders SET grams = 6 WHERE id = 21");
    served.change("UPDATE shop.orders SET total = 'NaN' WHERE id = 21");
    let told = changes();
    let steps: Vec<&Value> = told.iter().map(|change| &change["steps"]).collect();
    assert_eq!(
        steps,
        [
            &json!([
                {"change": "column_dropped", "column": "note", "from": "text"},
                {"change": "column_added", "column": "weight", "to": "integer"},
            ]),
            &json!([
                {"change": "column_renamed", "from": "weight", "to": "grams"},
                {"change": "column_retyped", "column": "grams", "from": "integer", "to": "bigint"},
            ]),
            &json!([{"change": "column_widened", "column": "total", "from": "decimal(10,2)"}]),
        ],
        "{told:#?}"
    );
    // Where the first row of it is.
    let at = told[0]["at"].as_str().unwrap().replace('T', " ").replace('Z', "+00");
    assert_eq!((&told[0]["lsn"], &json!(at)), (&inserted["lsn"], &inserted["valid_from"]));
    stop(served.process);
}

#[test]
fn tables_rows_and_a_rows_history_are_shown() {
    let served = Served::start();
    assert_eq!(served.rows("/api/status")["state"], "streaming");
    let tables = served.rows("/api/tables");
    let of =
        |name: &str| tables.as_array().unwrap().iter().find(|table| table["name"] == name).unwrap().clone();
    let orders = of("shop.orders");
    assert_eq!((&orders["kind"], &orders["history"]), (&json!("table"), &json!(true)));
    assert_eq!(orders["warehouse"], json!({"schema": "shop", "name": "orders"}));
    assert_eq!(
        orders["columns"][2],
        json!({"name": "total", "type": "DECIMAL(10,2)", "source_type": "numeric(10,2)", "key": false, "nullable": true})
    );
    assert_eq!(
        (&orders["columns"][0]["key"], &orders["columns"][0]["nullable"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(of("main.open_orders")["kind"], "view");

    let page =
        served.rows("/api/rows/shop/orders?order=id.desc&filter=status.eq.OPEN&filter=id.gte.10&limit=2");
    assert_eq!(page["rows"], json!([["20", "OPEN", "30.00", null], ["18", "OPEN", "27.00", null]]));
    assert_eq!(page["total_estimate"], 6);
    let next = served
        .rows("/api/rows/shop/orders?order=id.desc&filter=status.eq.OPEN&filter=id.gte.10&limit=2&offset=4");
    assert_eq!((&next["rows"][1][0], &next["total_estimate"]), (&json!("10"), &Value::Null));
    assert_eq!(served.rows("/api/rows/main/open_orders")["rows"], json!([["10"]]));

    let before = page["position"].as_str().unwrap().to_owned();
    served.change("UPDATE shop.orders SET status = 'DONE', note = '' WHERE id = 20; DELETE FROM shop.orders WHERE id = 18");
    let then = served
        .rows(&format!("/api/rows/shop/orders?order=id.desc&filter=status.eq.OPEN&limit=1&as_of={before}"));
    assert_eq!(then["rows"], json!([["20", "OPEN", "30.00", null]]));

    let life = served.rows("/api/row/shop/orders?key.id=20");
    assert_eq!(life["columns"].as_array().unwrap().len(), 4);
    let [first, second] = &life["versions"].as_array().unwrap()[..] else { panic!("{life}") };
    assert_eq!((&first["operation"], &first["values"][1]), (&json!("SNAPSHOT"), &json!("OPEN")));
    assert_eq!(
        (&second["operation"], &second["values"]),
        (&json!("UPDATE"), &json!(["20", "DONE", "30.00", ""]))
    );
    assert_eq!((&first["valid_to"], &first["lsn_to"]), (&second["valid_from"], &second["lsn"]));
    assert_eq!(
        (&second["valid_to"], &second["lsn_to"], &life["truncated"]),
        (&Value::Null, &Value::Null, &json!(false))
    );
    let ended = served.rows("/api/row/shop/orders?key.id=18");
    assert_eq!(ended["versions"][1]["operation"], "DELETE");
    assert_eq!(served.rows("/api/row/shop/orders?key.id=999")["versions"], json!([]));

    for (path, status, expected) in [
        ("/api/rows/shop/nothing", 404, "MS7105"),
        ("/api/rows/_millstream/progress", 404, "MS7105"),
        ("/api/rows/shop", 404, "MS7105"),
        ("/api/nothing", 404, "MS7105"),
        ("/api", 404, "MS7105"),
        ("/api/rows/shop/orders?filter=nothing.eq.1", 400, "MS7103"),
        ("/api/rows/shop/orders?filter=id.eq.x", 400, "MS7101"),
        ("/api/rows/shop/orders?filter=id.about.1", 400, "MS7101"),
        ("/api/rows/shop/orders?filter=total.eq.x", 400, "MS5302"),
        ("/api/rows/shop/orders?order=nothing", 400, "MS7101"),
        ("/api/rows/shop/orders?limit=0", 400, "MS7101"),
        ("/api/rows/shop/orders?limit=1001", 400, "MS7101"),
        ("/api/rows/shop/orders?limt=1", 400, "MS7103"),
        ("/api/rows/shop/orders?as_of=yesterday", 400, "MS7101"),
        ("/api/rows/shop/orders?as_of=2001-01-01T00:00:00Z", 404, "MS5303"),
        ("/api/row/shop/orders", 400, "MS7102"),
        ("/api/row/shop/orders?key.status=OPEN&key.id=1", 400, "MS7103"),
        ("/api/row/shop/orders?key.id=x", 400, "MS7101"),
        ("/api/row/main/open_orders?key.id=1", 404, "MS7105"),
    ] {
        assert_eq!(code(&served.get(path)), (status, expected.to_owned()), "{path}");
    }
    stop(served.process);
}

#[test]
fn a_question_in_sql_reads_tables_and_nothing_else() {
    let served = Served::start();
    let answer =
        sql(&served, json!({"sql": "SELECT id, total, note FROM shop.orders ORDER BY id", "rows_max": 2}));
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = answer.json();
    assert_eq!(answer["columns"][1], json!({"name": "total", "type": "DECIMAL(10,2)"}));
    assert_eq!(answer["rows"], json!([["1", "1.50", null], ["2", "3.00", null]]));
    assert_eq!(answer["truncated"], true);
    assert!(answer["elapsed_ms"].is_f64());
    let before = answer["position"].as_str().unwrap().to_owned();
    served.change("DELETE FROM shop.orders");
    let count = |as_of: Option<&str>| {
        sql(&served, json!({"sql": "SELECT count(*) FROM shop.orders", "as_of": as_of})).json()["rows"]
            .clone()
    };
    assert_eq!((count(None), count(Some(&before))), (json!([["0"]]), json!([["20"]])));

    for statement in [
        "DELETE FROM shop.orders",
        "CREATE TABLE x (i int)",
        "COPY shop.orders TO '/tmp/x.csv'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "FROM '/etc/passwd'",
        "ATTACH '/tmp/x.duckdb'",
        "SELECT getenv('HOME')",
        "SET memory_limit = '1TB'",
        "SELECT 1; SELECT 2",
        "FROM _millstream.progress",
        "selec 1",
        "SELECT * FROM shop.nothing",
        "",
    ] {
        let reply = sql(&served, json!({"sql": statement}));
        assert_eq!(reply.status, 400, "{statement}: {reply:?}");
    }
    // Twenty million times a thousand characters do not fit, so they end at the bound.
    let large =
        sql(&served, json!({"sql": "SELECT repeat('x', 100000) FROM range(10000)", "rows_max": 10_000}));
    assert_eq!((large.status, &large.json()["truncated"]), (200, &json!(true)));
    assert!(large.body.len() < 18 << 20, "{}", large.body.len());

    let address = &served.address;
    let good = json!({"sql": "SELECT 1"}).to_string();
    let posted = |path: &str, headers: &str, body: &str| post(address, path, headers, body);
    assert_eq!(posted("/api/sql", &format!("Origin: http://{address}\r\n"), &good).status, 200);
    for origin in ["http://evil.example", "http://localhost:1", "null"] {
        let reply = posted("/api/sql", &format!("Origin: {origin}\r\n"), &good);
        assert_eq!(code(&reply), (403, "MS7111".to_owned()), "{origin}");
    }
    assert_eq!(posted("/api/sql", "Sec-Fetch-Site: cross-site\r\n", &good).status, 403);
    let huge = json!({"sql": "x".repeat(300_000)}).to_string();
    assert_eq!(code(&posted("/api/sql", "", &huge)), (413, "MS7120".to_owned()));
    for body in ["", "{", "[]", "{\"sql\": 1}", "{\"sql\": \"SELECT 1\", \"role\": \"x\"}"] {
        assert_eq!(code(&posted("/api/sql", "", body)), (400, "MS7104".to_owned()), "{body}");
    }
    assert_eq!(code(&sql(&served, json!({"sql": "SELECT 1", "rows_max": 0}))).0, 400);
    assert_eq!(code(&sql(&served, json!({"sql": "SELECT 1", "as_of": "yesterday"}))).0, 400);
    let plain = crate::http::send(
        address,
        format!("POST /api/sql HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{good}", good.len())
            .as_bytes(),
    );
    assert_eq!(code(&plain), (415, "MS7121".to_owned()));
    assert_eq!(code(&get(address, "/api/sql")), (405, "MS7106".to_owned()));
    assert_eq!(posted("/api/tables", "", "{}").status, 405);
    stop(served.process);
}

#[test]
fn changes_and_pictures_come_by_themselves() {
    let served = Served::start();
    let mut all = Events::of(&served.address, "/api/changes/stream");
    let mut quiet = Events::of(&served.address, "/api/changes/stream?table=shop.quiet");
    served.change("INSERT INTO shop.orders VALUES (21, 'NEW', 12.50); INSERT INTO shop.quiet VALUES (2)");
    let change = all.next_of("change");
    assert_eq!((&change["op"], &change["source"]["table"]), (&json!("c"), &json!("orders")));
    assert_eq!(change["after"]["id"], 21);
    let only = quiet.next_of("change");
    assert_eq!(only["source"]["table"], "quiet");
    // The same envelope as in a terminal, but for when it was printed.
    let tailed = served.project.succeed(&["tail", "shop.orders", "--json"]);
    let tailed: Value = serde_json::from_str(tailed.lines().last().unwrap()).unwrap();
    for part in ["before", "after", "op", "source", "transaction"] {
        assert_eq!(tailed[part], change[part], "{part}");
    }
    for id in 30..40 {
        served.change(&format!("INSERT INTO shop.orders VALUES ({id}, 'NEW', 1)"));
    }
    let ids = |path: &str| -> Vec<i64> {
        let found = served.rows(path);
        found["events"]
            .as_array()
            .unwrap()
            .iter()
            .map(|event| event["after"]["id"].as_i64().unwrap())
            .collect()
    };
    assert_eq!(ids("/api/changes?table=shop.orders&limit=3"), [37, 38, 39]);
    assert_eq!(ids("/api/changes?limit=4"), [36, 37, 38, 39]);
    assert_eq!(ids("/api/changes?table=shop.quiet"), [2]);
    assert_eq!(ids("/api/changes?table=shop.orders&from=0/1&limit=2"), [21, 30]);
    for (path, status) in [
        ("/api/changes?table=shop.nothing", 400),
        ("/api/changes/stream?table=shop.nothing", 400),
        ("/api/changes?from=yesterday", 400),
        ("/api/changes?limit=1001", 400),
        ("/api/changes/stream?from=0/1", 400),
    ] {
        assert_eq!(code(&served.get(path)).0, status, "{path}");
    }

    let mut pictures = Events::of(&served.address, "/api/stream");
    let history = pictures.next_of("history");
    let newest = history.as_array().unwrap().last().unwrap().clone();
    assert!(newest["log_bytes"].is_u64() && newest["applied_lsn"].is_string(), "{newest}");
    let (first, second) = (pictures.next_of("sample"), pictures.next_of("sample"));
    assert_eq!(second["state"], "streaming");
    assert!(newest["at"].as_str() < first["at"].as_str() && first["at"].as_str() < second["at"].as_str());
    assert!(second["rows_applied"].as_u64().unwrap() >= 12, "{second}");
    stop(served.process);
}

const DASHBOARD: &str = "title: Orders\ncharts:\n  \
    - {title: Open, kind: number, sql: \"SELECT n FROM open_orders\"}\n  \
    - {title: All, kind: bar, endpoint: \"/orders?least=5\", x: status, y: total}\n  \
    - {title: A file, kind: table, sql: \"SELECT count(*) AS n FROM glob('/etc/passwd')\"}\n";

#[test]
fn dashboards_and_saved_queries_follow_their_files() {
    let served = Served::start();
    assert_eq!((served.rows("/api/dashboards"), served.rows("/api/queries")), (json!([]), json!([])));
    let write = |path: &str, text: &str| {
        let path = served.project.directory().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write(
        "queries/late.sql",
        "/*---\ntitle: Late orders\n---*/\nSELECT * FROM shop.orders WHERE status = 'LATE';\n",
    );
    write("queries/broken.sql", "/*---\ntitel: x\n---*/\nSELECT 1");
    write("dashboards/wrong.yml", "title: Wrong\ncharts:\n  - {title: a, kind: pi, sql: SELECT 1}\n");
    write("dashboards/orders.yml", DASHBOARD);
    let seen = || (served.rows("/api/dashboards").as_array().unwrap().len() == 2).then_some(());
    wait_until("the dashboards to be read", SEEN_WAIT_MAX, seen).unwrap();
    let dashboards = served.rows("/api/dashboards");
    assert_eq!((&dashboards[0]["title"], &dashboards[0]["error"]), (&json!("Orders"), &Value::Null));
    assert_eq!(dashboards[0]["charts"][1]["endpoint"], "/orders?least=5");
    let wrong = dashboards[1]["error"].as_str().unwrap();
    assert!(wrong.contains("dashboards/wrong.yml:3:") && wrong.contains("did you mean `pie`?"), "{wrong}");
    let queries = served.rows("/api/queries");
    assert_eq!(queries[0]["title"], "Late orders");
    assert!(queries[1]["error"].as_str().unwrap().contains("did you mean `title`?"), "{queries}");
    let told = || served.process.stderr().contains("dashboards/wrong.yml:3:").then_some(());
    wait_until("the terminal to tell it", SEEN_WAIT_MAX, told).unwrap();

    // A chart's SQL is the project's own; who looks can't put another in its place.
    assert_eq!(served.rows("/api/dashboards/orders/0"), json!([{"n": 10}]));
    assert_eq!(served.rows("/api/dashboards/orders/2"), json!([{"n": 1}]));
    assert_eq!(code(&sql(&served, json!({"sql": "SELECT count(*) AS n FROM glob('/etc/passwd')"}))).0, 400);
    assert_eq!(code(&served.get("/api/dashboards/orders/0?sql=SELECT%201")), (400, "MS7103".to_owned()));
    for path in [
        "/api/dashboards/orders/1",
        "/api/dashboards/orders/3",
        "/api/dashboards/orders/x",
        "/api/dashboards/wrong/0",
    ] {
        assert_eq!(code(&served.get(path)), (404, "MS7105".to_owned()), "{path}");
    }
    let chart = served.get("/api/dashboards/orders/0");
    let asked = |etag: &str| {
        get_with(&served.address, "/api/dashboards/orders/0", &format!("If-None-Match: {etag}\r\n"))
    };
    let etag = chart.header("etag").unwrap();
    assert_eq!(asked(etag).status, 304);
    let before = chart.header("millstream-position").unwrap();
    served.change("UPDATE shop.orders SET status = 'DONE' WHERE id = 2");
    std::thread::sleep(std::time::Duration::from_millis(150));
    assert_eq!(asked(etag).json(), json!([{"n": 9}]));
    assert_eq!(served.rows(&format!("/api/dashboards/orders/0?as_of={before}")), json!([{"n": 10}]));

    let endpoints = served.rows("/api/endpoints");
    let of =
        |path: &str| endpoints.as_array().unwrap().iter().find(|one| one["path"] == path).unwrap().clone();
    let orders = of("/orders");
    assert_eq!(
        orders["params"][1],
        json!({
            "name": "least", "type": "integer", "description": null, "default": 0, "enum": null, "min": 0.0, "max": 1000.0,
            "required": false
        })
    );
    assert_eq!((&orders["live"], &orders["error"]), (&json!(true), &Value::Null));
    assert!(of("/wrong")["error"].as_str().unwrap().contains("secret_column"));
    assert!(of("api/broken.sql")["error"].as_str().unwrap().contains("parms"));

    let lineage = served.rows("/api/lineage");
    let edges: Vec<(String, String)> = serde_json::from_value(lineage["edges"].clone()).unwrap();
    let is = |from: &str, to: &str| edges.contains(&(from.to_owned(), to.to_owned()));
    assert!(is("source:shop.orders", "table:shop.orders"));
    assert!(is("table:shop.orders", "model:main.open_orders"));
    assert!(is("table:shop.orders", "endpoint:/orders"));
    assert!(is("model:main.open_orders", "endpoint:/model") && !is("table:shop.orders", "endpoint:/model"));
    assert!(is("model:main.open_orders", "dashboard:orders") && is("endpoint:/orders", "dashboard:orders"));
    let nodes = lineage["nodes"].as_array().unwrap();
    assert!(
        nodes.contains(&json!({"id": "dashboard:orders", "kind": "dashboard", "label": "Orders"})),
        "{lineage}"
    );
    stop(served.process);
}

#[test]
fn a_table_is_read_again_when_a_page_of_ours_asks() {
    let served = Served::start();
    let body = json!({"tables": ["shop.orders"]}).to_string();
    let asked = |headers: &str, body: &str| post(&served.address, "/api/resync", headers, body);
    let done = asked("", &body);
    assert_eq!(
        (done.status, done.json()),
        (200, json!({"tables": [{"name": "shop.orders", "inserted": 0, "updated": 0, "deleted": 0}]}))
    );
    let unknown = asked("", &json!({"tables": ["shop.order"]}).to_string());
    assert_eq!(unknown.status, 400, "{unknown:?}");
    assert!(unknown.json()["hint"].as_str().unwrap().contains("shop.orders"), "{unknown:?}");
    assert_eq!(code(&asked("", "{\"tables\": []}")).0, 400);
    assert_eq!(code(&asked("Origin: http://evil.example\r\n", &body)).0, 403);
    assert_eq!(code(&get(&served.address, "/api/resync")).0, 405);
    served.project.verify();
    stop(served.process);
}

#[test]
fn who_looks_shows_a_key_and_is_told_nothing_once_it_is_revoked() {
    let served =
        Served::start_with("api: {auth: keys, roles: {admin: {admin: true}, clerk: {tables: [\"*\"]}}}\n");
    let key = |role: &str| {
        let made = served.project.succeed(&["keys", "create", "--role", role, "--name", role]);
        made.trim().to_owned()
    };
    let (admin, clerk) = (key("admin"), key("clerk"));
    let header = |key: &str| format!("Authorization: Bearer {key}\r\n");
    for path in ["/api/status", "/api/stream", "/api/changes/stream", "/api/models", "/api/lineage"] {
        assert_eq!(served.get(path).status, 401, "{path}");
        assert_eq!(get_with(&served.address, path, &header(&clerk)).status, 403, "{path}");
    }
    // What carries the role is there for it.
    assert_eq!(served.get("/api/rows/shop/orders").status, 401);
    assert_eq!(get_with(&served.address, "/api/rows/shop/orders", &header(&clerk)).status, 200);
    let question = json!({"sql": "SELECT 1"}).to_string();
    assert_eq!(post(&served.address, "/api/sql", &header(&clerk), &question).status, 403);
    assert_eq!(post(&served.address, "/api/sql", &header(&admin), &question).status, 200);
    // The page that asks for the key shows nothing of the project.
    assert!([200, 501].contains(&served.get("/ui/tables").status));
    let mut changes = Events::with(&served.address, "/api/changes/stream", &header(&admin));
    served.change("INSERT INTO shop.orders VALUES (21, 'NEW', 1)");
    assert_eq!(changes.next_of("change")["after"]["id"], 21);
    served.project.succeed(&["keys", "revoke", admin.split('_').nth(1).unwrap()]);
    assert!(changes.ends());
    assert_eq!(get_with(&served.address, "/api/status", &header(&admin)).status, 401);
    stop(served.process);
}

#[test]
fn the_ui_is_in_the_program_and_its_first_load_is_small() {
    let served = Served::start();
    let page = served.get("/ui");
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert_ne!(page.status, 501, "this build has no UI: run `make ui`, then build again");
    assert_eq!((page.status, page.header("cache-control")), (200, Some("no-cache")));
    assert_eq!(
        served.get("/ui/tables/shop/orders?as_of=x").body,
        page.body,
        "deep links lead to the one document"
    );
    let parts: Vec<&str> = page.body.split('"').filter(|part| part.starts_with("/ui/assets/")).collect();
    assert!(
        parts.iter().any(|part| part.ends_with(".js")) && parts.iter().any(|part| part.ends_with(".css")),
        "{parts:?}"
    );
    let mut bytes = 0;
    for path in parts.iter().copied().chain(["/ui/"]) {
        let reply = get_with(&served.address, path, "Accept-Encoding: gzip\r\n");
        assert_eq!(reply.status, 200, "{path}");
        bytes += reply.header("content-length").unwrap().parse::<usize>().unwrap();
        if path != "/ui/" {
            assert_eq!(reply.header("cache-control"), Some("public, max-age=31536000, immutable"), "{path}");
        }
    }
    assert!((20_000..FIRST_LOAD_BYTES_MAX).contains(&bytes), "{bytes} bytes");
    assert_eq!(served.get("/ui/assets/nothing.js").status, 404);
    stop(served.process);
}
