//! Who may read what of a running project: every role by every way to every table, and no value that it may not see in any answer.

use std::fs;
use std::path::Path;
use std::time::Duration;

use millstream_testkit::{wait_until, PgCluster, Process};
use serde_json::Value;

use crate::http::{get, get_with, send, Events, Reply};
use crate::project::{stop, Project};
use crate::serving::followed;

/// A change is seen in milliseconds; a busy machine takes longer.
const SEEN_WAIT_MAX: Duration = Duration::from_secs(30);

/// What `clerk` and `auditor` do not see: values of masked columns, now and once, and rows of orders that were cancelled.
pub(crate) const MASKED: [&str; 6] =
    ["addr_of_ann", "addr_of_bob", "addr_of_once", "Ann Arbor", "Bob Builder", "note_of_cancelled"];

/// What only `admin` sees.
pub(crate) const VAULT: [&str; 1] = ["treasure"];

const ROLES: &str = r#"serve:
  http: "0.0.0.0:0"
  postgres: "0.0.0.0:0"
  postgres_tls: {cert: tls/server.crt, key: tls/server.key}
api:
  auth: keys
  cors: ["https://app.example.com"]
  roles:
    clerk:
      tables: ["shop.*", "main.*", "!shop.vault*", "!*.*_history"]
      endpoints: ["/orders*", "/people"]
      rows: {shop.orders: "status <> 'CANCELLED'"}
      mask: {shop.customers: {address: hash, name: null}}
      sql: true
    auditor:
      tables: ["shop.*", "main.*", "!shop.vault*"]
      endpoints: ["/people"]
      rows: {Shop.Orders: "status <> 'CANCELLED'"}
      mask: {shop.customers: {ADDRESS: null, name: hash}}
      sql: true
    caller:
      endpoints: ["/count", "/slow"]
    hurried:
      endpoints: ["/count", "/orders", "/slow"]
      sql: true
      tables: ["shop.*"]
      limits: {requests_per_second: 4, time: 1s, rows: 2}
    frugal:
      endpoints: ["/orders"]
      sql: true
      tables: ["shop.*"]
      limits: {memory: 64B}
    admin: {admin: true}
"#;

pub(crate) struct Guarded {
    pub(crate) cluster: PgCluster,
    pub(crate) project: Project,
    pub(crate) process: Process,
    address: String,
    /// Where PostgreSQL's clients connect.
    pub(crate) port: u16,
    keys: Vec<(&'static str, String)>,
}

impl Guarded {
    pub(crate) fn start() -> Self {
        let cluster = PgCluster::start_default().unwrap();
        cluster
            .execute(
                "CREATE SCHEMA shop; \
                 CREATE TABLE shop.customers (id int PRIMARY KEY, name text, address text, city text); \
                 CREATE TABLE shop.orders (id int PRIMARY KEY, customer int, status text, total numeric(10,2), note text); \
                 CREATE TABLE shop.vault (id int PRIMARY KEY, content text); \
                 INSERT INTO shop.customers VALUES (1, 'Ann Arbor', 'addr_of_once', 'Rome'), (2, 'Bob Builder', 'addr_of_bob', 'Oslo'); \
                 INSERT INTO shop.orders VALUES (1, 1, 'OPEN', 10, 'note_of_open'), (2, 1, 'CANCELLED', 20, 'note_of_cancelled'), \
                    (3, 2, 'DONE', 30, 'note_of_done'); \
                 INSERT INTO shop.vault VALUES (1, 'treasure')",
            )
            .unwrap();
        let project = Project::with_source(&cluster.url(), "tables: [\"shop.*\"]");
        let path = project.directory().join("millstream.yml");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{text}{ROLES}")).unwrap();
        certificate(project.directory(), "server");
        for (file, sql) in [
            ("api/orders.sql", "/*---\nlive: true\n---*/ SELECT * FROM shop.orders ORDER BY id"),
            ("api/people.sql", "SELECT * FROM people ORDER BY id"),
            ("api/slow.sql", "SELECT count(*) AS n FROM range(100000) AS a, range(100000) AS b WHERE a.range * b.range % 7 = 1"),
            ("api/count.sql", "SELECT count(*) AS n FROM shop.orders"),
            ("api/treasure.sql", "/*---\nroles: [admin]\n---*/ SELECT content FROM shop.vault"),
            ("api/misspelt.sql", "/*---\nroles: [clerck]\n---*/ SELECT content FROM shop.vault"),
            (
                "dashboards/orders.yml",
                "title: Orders\nroles: [clerk]\ncharts:\n  - {title: Notes, kind: table, sql: \"SELECT id, note FROM shop.orders ORDER BY id\"}\n  \
                 - {title: People, kind: table, sql: SELECT * FROM people}\n",
            ),
            (
                "dashboards/secret.yml",
                "title: treasure\ncharts:\n  - {title: treasure, kind: table, sql: SELECT content FROM shop.vault}\n",
            ),
            ("queries/mine.sql", "/*---\nroles: [clerk, caller]\n---*/ SELECT count(*) AS n FROM shop.orders"),
            ("queries/secret.sql", "SELECT content AS treasure FROM shop.vault"),
            (
                "models/people.sql",
                "SELECT c.id, c.name, c.address, c.city, o.note, o.total FROM shop.customers AS c LEFT JOIN shop.orders AS o ON o.customer = c.id",
            ),
            ("models/leaky.sql", "SELECT max(address) AS a, min(name) AS n, list(note) AS notes FROM people"),
        ] {
            let path = project.directory().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, sql).unwrap();
        }
        // One before it runs, the others beside it.
        let key = |role: &str| {
            project.succeed(&["keys", "create", "--role", role, "--name", "a test"]).trim().to_owned()
        };
        let mut keys = vec![("admin", key("admin"))];
        let mut process = Process::spawn(project.command(&["-v", "up"])).unwrap();
        project.await_streaming(&mut process);
        let line = process.wait_for_line("http://", SEEN_WAIT_MAX).unwrap();
        let address =
            line.split("http://").nth(1).unwrap().split('/').next().unwrap().replace("0.0.0.0", "127.0.0.1");
        let line = process.wait_for_line("postgres://", SEEN_WAIT_MAX).unwrap();
        let port =
            line.split("postgres://0.0.0.0:").nth(1).unwrap().split('/').next().unwrap().parse().unwrap();
        for role in ["clerk", "auditor", "caller", "hurried", "frugal"] {
            keys.push((role, key(role)));
        }
        cluster.execute("UPDATE shop.customers SET address = 'addr_of_ann' WHERE id = 1").unwrap();
        project.catch_up();
        Guarded { cluster, project, process, address, port, keys }
    }

    pub(crate) fn key(&self, role: &str) -> &str {
        &self.keys.iter().find(|(name, _)| *name == role).unwrap().1
    }

    fn get(&self, role: &str, path: &str) -> Reply {
        self.get_with(role, path, "")
    }

    /// Asks in SQL.
    pub(crate) fn sql(&self, role: &str, sql: &str, as_of: Option<&str>) -> Reply {
        let body = serde_json::json!({"sql": sql, "as_of": as_of}).to_string();
        let head = format!(
            "POST /api/sql HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
            self.address,
            self.key(role),
            body.len()
        );
        send(&self.address, format!("{head}\r\n{body}").as_bytes())
    }

    fn get_with(&self, role: &str, path: &str, headers: &str) -> Reply {
        get_with(&self.address, path, &format!("Authorization: Bearer {}\r\n{headers}", self.key(role)))
    }
}

/// A certificate for this machine that vouches for itself: `tls/NAME.crt` and `tls/NAME.key`.
pub(crate) fn certificate(directory: &Path, name: &str) {
    let tls = directory.join("tls");
    fs::create_dir_all(&tls).unwrap();
    let addresses = "subjectAltName=DNS:localhost,IP:127.0.0.1";
    millstream_testkit::self_signed_certificate(&tls, name, "localhost", addresses).unwrap();
}

/// Every way to a relation over HTTP.
fn ways(relation: &str, columns: &[&str]) -> Vec<String> {
    let base = format!("/tables/{}", relation.replace('.', "/"));
    let mut ways: Vec<String> = [
        "",
        ".csv",
        ".ndjson",
        ".arrow",
        ".parquet",
        "?limit=1",
        "?limit=1&offset=1",
        "?as_of=0/FFFFFFFF",
        "?as_of=2099-01-01T00:00:00Z",
    ]
    .iter()
    .map(|suffix| format!("{base}{suffix}"))
    .collect();
    for column in columns {
        for query in [
            format!("select={column}"),
            format!("select=x:{column}&order={column}.desc"),
            format!("{column}=like.*&select=*"),
            format!("{column}=gte.A&order={column}"),
            format!("{column}=is.not_null"),
            format!("or=({column}.like.*o*,{column}.is.null)"),
        ] {
            ways.push(format!("{base}?{query}"));
        }
    }
    // What the UI asks for.
    let base = format!("/api/rows/{}", relation.replace('.', "/"));
    ways.extend(["", "?limit=1&offset=1", "?as_of=0/FFFFFFFF"].map(|suffix| format!("{base}{suffix}")));
    for column in columns {
        for query in ["order={}.desc", "filter={}.like.*", "filter={}.gte.A", "filter={}.neq.x"] {
            ways.push(format!("{base}?{}", query.replace("{}", column)));
        }
    }
    ways.extend([1, 2].map(|id| format!("/api/row/{}?key.id={id}", relation.replace('.', "/"))));
    ways
}

#[test]
fn no_role_reads_what_it_may_not_by_any_way() {
    let guarded = Guarded::start();
    let customers = ["name", "address"];
    let orders = ["note", "status"];
    let mut paths = Vec::new();
    for (relation, columns) in [
        ("shop.customers", &customers[..]),
        ("shop.customers_history", &customers[..]),
        ("shop.orders", &orders[..]),
        ("shop.orders_history", &orders[..]),
        ("shop.vault", &["content"][..]),
        ("shop.vault_history", &["content"][..]),
        ("main.people", &["name", "address", "note"][..]),
        ("main.leaky", &["a", "n"][..]),
    ] {
        paths.extend(ways(relation, columns));
    }
    let endpoints = ["/orders", "/people", "/count", "/treasure", "/misspelt"];
    for endpoint in endpoints {
        for suffix in ["", ".csv", ".ndjson", ".arrow", ".parquet", "?limit=1", "?as_of=0/FFFFFFFF"] {
            paths.push(format!("{endpoint}{suffix}"));
        }
    }
    for path in [
        "/tables",
        "/openapi.json",
        "/metrics",
        "/docs",
        "/live",
        "/ready",
        "/",
        "/nothing",
        "/api/me",
        "/api/status",
        "/api/tables",
        "/api/changes",
        "/api/endpoints",
        "/api/dashboards",
        "/api/dashboards/orders/0",
        "/api/dashboards/orders/1",
        "/api/dashboards/orders/0?as_of=0/FFFFFFFF",
        "/api/dashboards/secret/0",
        "/api/queries",
        "/api/lineage",
        "/api/models",
        "/api/models/model.shop.x",
        "/api/models/model.shop.x/lineage?column=id",
        "/api/models/runs/x",
        "/ui",
    ] {
        paths.push(path.to_owned());
    }
    let mut seen_by_admin = String::new();
    let mut statuses = std::collections::BTreeMap::new();
    // The owner first, so that answers are there to be given to others by mistake.
    for role in ["admin", "clerk", "auditor", "caller"] {
        for path in &paths {
            let reply = guarded.get(role, path);
            let text = format!("{reply:?}");
            let hidden: Vec<&str> = match role {
                "admin" => Vec::new(),
                "caller" => MASKED.into_iter().chain(VAULT).chain(["shop.", "main.", "customers"]).collect(),
                _ => MASKED.into_iter().chain(VAULT).chain(["vault"]).collect(),
            };
            // An error repeats the path that was asked for.
            let own = |word: &&&str| path.contains(**word) || path.replace('/', ".").contains(**word);
            for word in hidden.iter().filter(|word| !own(word)) {
                assert!(!text.contains(word), "{role} {path}: {text}");
            }
            let answered = *statuses.entry((role, path.clone())).or_insert(reply.status);
            // A build without the UI says so.
            assert!(answered < 500 || path == "/ui", "{role} {path}: {text}");
            if role == "admin" {
                seen_by_admin.push_str(&text);
                // The next one asks whether what the owner got is still so.
                // The parts of the UI are the same for everybody.
                let Some(etag) = reply.header("etag").filter(|_| path != "/ui") else { continue };
                let again = guarded.get_with("admin", path, &format!("If-None-Match: {etag}\r\n"));
                assert_eq!(again.status, 304, "{path}");
                for other in ["clerk", "auditor", "caller"] {
                    let theirs = guarded.get_with(other, path, &format!("If-None-Match: {etag}\r\n"));
                    assert_ne!(theirs.status, 304, "{other} {path}");
                }
            }
        }
    }
    for word in MASKED.iter().chain(&VAULT) {
        assert!(seen_by_admin.contains(word), "{word} must be somewhere to be hidden");
    }
    let status = |role: &str, path: &str| {
        let found = statuses.iter().find(|((of, at), _)| *of == role && at == path);
        *found.unwrap_or_else(|| panic!("{path}")).1
    };
    for (path, expected) in [
        // admin, clerk, auditor, caller
        ("/orders", [200, 200, 404, 404]),
        ("/people", [200, 200, 200, 404]),
        ("/count", [200, 404, 404, 200]),
        ("/treasure", [200, 404, 404, 404]),
        ("/misspelt", [404, 404, 404, 404]),
        ("/nothing", [404, 404, 404, 404]),
        ("/metrics", [200, 403, 403, 403]),
        ("/tables", [200, 200, 200, 200]),
        ("/tables/shop/orders", [200, 200, 200, 404]),
        ("/tables/shop/vault", [200, 404, 404, 404]),
        ("/tables/shop/orders_history", [200, 404, 200, 404]),
        ("/tables/shop/orders?as_of=0/FFFFFFFF", [200, 403, 200, 404]),
        ("/tables/main/people?as_of=0/FFFFFFFF", [200, 403, 200, 404]),
        ("/docs", [200, 200, 200, 200]),
        ("/api/status", [200, 403, 403, 403]),
        ("/api/tables", [200, 200, 200, 200]),
        ("/api/endpoints", [200, 200, 200, 200]),
        ("/api/rows/shop/orders", [200, 200, 200, 404]),
        ("/api/rows/shop/orders?as_of=0/FFFFFFFF", [200, 403, 200, 404]),
        ("/api/rows/shop/vault", [200, 404, 404, 404]),
        ("/api/row/shop/orders?key.id=1", [200, 404, 200, 404]),
        ("/api/row/shop/vault?key.id=1", [200, 404, 404, 404]),
        ("/api/queries", [200, 200, 200, 200]),
        ("/api/dashboards", [200, 200, 200, 200]),
        ("/api/dashboards/orders/0", [200, 200, 404, 404]),
        ("/api/dashboards/orders/0?as_of=0/FFFFFFFF", [200, 403, 404, 404]),
        ("/api/dashboards/secret/0", [200, 404, 404, 404]),
        ("/api/changes", [200, 403, 403, 403]),
        ("/api/lineage", [200, 403, 403, 403]),
        ("/api/models", [200, 403, 403, 403]),
    ] {
        let found = ["admin", "clerk", "auditor", "caller"].map(|role| status(role, path));
        assert_eq!(found, expected, "{path}");
    }
    // What is not there and what is hidden look the same.
    let hidden = guarded.get("clerk", "/tables/shop/vault").json();
    assert_eq!(hidden, guarded.get("clerk", "/tables/shop/nothing").json());
    let replaced = guarded.get("clerk", "/treasure").body.replace("treasure", "x");
    assert_eq!(replaced, guarded.get("clerk", "/x").body);
    // Rows and values are there, but others.
    let orders = guarded.get("clerk", "/orders").json();
    let ids: Vec<i64> = orders.as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()).collect();
    assert_eq!(ids, [1, 3]);
    // The UI shows a role the same: its tables, its rows and what stands in place of masked values, its endpoints.
    let named = |role: &str, path: &str, member: &str| -> Vec<String> {
        let list = guarded.get(role, path).json();
        list.as_array().unwrap().iter().map(|of| of[member].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(
        named("clerk", "/api/tables", "name"),
        ["main.leaky", "main.people", "shop.customers", "shop.orders"]
    );
    assert_eq!(named("caller", "/api/tables", "name"), Vec::<String>::new());
    assert_eq!(named("clerk", "/api/endpoints", "path"), ["/orders", "/people"]);
    assert_eq!(named("caller", "/api/endpoints", "path"), ["/count", "/slow"]);
    // Dashboards and saved queries are for the roles that they name; charts have the role's rows, and their SQL stays the project's.
    assert_eq!(named("admin", "/api/dashboards", "name"), ["orders", "secret"]);
    assert_eq!(named("clerk", "/api/dashboards", "name"), ["orders"]);
    assert_eq!(named("auditor", "/api/dashboards", "name"), Vec::<String>::new());
    let charts = guarded.get("clerk", "/api/dashboards").json();
    assert_eq!((&charts[0]["file"], &charts[0]["charts"][0]["sql"]), (&Value::Null, &Value::Null));
    let notes = guarded.get("clerk", "/api/dashboards/orders/0").json();
    let ids: Vec<i64> = notes.as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()).collect();
    assert_eq!(ids, [1, 3]);
    assert_eq!(named("admin", "/api/queries", "name"), ["mine", "secret"]);
    assert_eq!(named("clerk", "/api/queries", "name"), ["mine"]);
    assert_eq!(named("caller", "/api/queries", "name"), Vec::<String>::new(), "who asks nothing in SQL");
    let tables = guarded.get("clerk", "/api/tables").json();
    assert_eq!((&tables[3]["history"], &tables[3]["history_since"]), (&Value::Bool(false), &Value::Null));
    let rows = guarded.get("clerk", "/api/rows/shop/orders?order=id").json();
    let ids: Vec<&str> =
        rows["rows"].as_array().unwrap().iter().map(|row| row[0].as_str().unwrap()).collect();
    assert_eq!((ids, rows["total_estimate"].as_u64()), (vec!["1", "3"], Some(2)), "{rows}");
    let versions = guarded.get("auditor", "/api/row/shop/customers?key.id=1").json();
    let address =
        versions["columns"].as_array().unwrap().iter().position(|column| column["name"] == "address");
    let versions = versions["versions"].as_array().unwrap();
    assert!(
        versions.len() == 2 && versions.iter().all(|of| of["values"][address.unwrap()].is_null()),
        "{versions:?}"
    );
    let cancelled = guarded.get("auditor", "/api/row/shop/orders?key.id=2").json();
    assert_eq!(cancelled["versions"], Value::Array(Vec::new()), "a row that is not there for the role");
    let few = guarded.get("hurried", "/api/rows/shop/orders").json();
    assert_eq!(few["rows"].as_array().unwrap().len(), 2, "as many as the role is given at once: {few}");
    let people = guarded.get("clerk", "/tables/shop/customers").json();
    assert!(people[0]["name"].is_null() && people[0]["address"].as_str().unwrap().len() == 64, "{people}");
    assert_eq!(
        guarded.get("clerk", "/tables/shop/customers?address=eq.addr_of_ann").json(),
        Value::Array(Vec::new())
    );
    let text = guarded.get("caller", "/openapi.json").body;
    assert!(
        text.contains("/count") && text.contains("securitySchemes") && !text.contains("/orders"),
        "{text}"
    );
    assert_eq!(guarded.get("caller", "/count").json()[0]["n"], 3);
    for (_, key) in &guarded.keys {
        let secret = key.rsplit('_').next().unwrap();
        assert!(!guarded.process.stderr().contains(secret), "{}", guarded.process.tail());
    }
    let id = guarded.key("clerk").split('_').nth(1).unwrap();
    assert!(guarded.process.stderr().contains(&format!("key=\"{id}\"")), "{}", guarded.process.tail());
    stop(guarded.process);
}

#[test]
fn who_shows_nothing_or_what_is_no_longer_good_is_let_in_nowhere() {
    let guarded = Guarded::start();
    let clerk = guarded.key("clerk").to_owned();
    for path in [
        "/orders",
        "/tables",
        "/tables/shop/orders",
        "/openapi.json",
        "/metrics",
        "/nothing",
        "/api/me",
        "/api/sql",
        "/tables/x/y",
    ] {
        for headers in [
            String::new(),
            "Authorization: Bearer\r\n".to_owned(),
            "Authorization: Bearer nonsense\r\n".to_owned(),
            format!("Authorization: Basic {clerk}\r\n"),
            format!("Authorization: Bearer {}0\r\n", &clerk[..clerk.len() - 1]),
            format!("X-API-Key: {}\r\n", clerk.to_uppercase()),
            "Cookie: millstream_session=a.b.c\r\n".to_owned(),
            format!("Cookie: millstream_session={clerk}\r\n"),
        ] {
            let reply = get_with(&guarded.address, path, &headers);
            assert_eq!(reply.status, 401, "{path} {headers}: {reply:?}");
            assert!(reply.header("www-authenticate").unwrap().starts_with("Bearer"), "{reply:?}");
            assert!(!reply.body.contains(&clerk[..20]), "{reply:?}");
        }
    }
    for path in ["/live", "/ready", "/docs"] {
        assert_eq!(get(&guarded.address, path).status, 200, "{path}");
    }
    // By whatever name, since a key is needed; and from pages of listed origins.
    let named = |host: &str, origin: &str, method: &str| {
        let head =
            format!("{method} /orders HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\nConnection: close\r\n");
        let asks = "Access-Control-Request-Method: GET\r\nAccess-Control-Request-Headers: authorization\r\n";
        let shows = format!("Authorization: Bearer {clerk}\r\n");
        let rest = if method == "OPTIONS" { asks } else { &shows };
        send(&guarded.address, format!("{head}{rest}\r\n").as_bytes())
    };
    let page = "https://app.example.com";
    let answer = named("api.example.com", page, "GET");
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some(page)));
    let preflight = named("api.example.com", page, "OPTIONS");
    assert_eq!((preflight.status, preflight.header("access-control-allow-origin")), (204, Some(page)));
    assert!(preflight.header("access-control-allow-headers").unwrap().contains("authorization"));
    for method in ["GET", "OPTIONS"] {
        let other = named("api.example.com", "https://app.example.com.evil.example", method);
        assert_eq!(other.header("access-control-allow-origin"), None, "{method}");
        assert_eq!(other.header("access-control-allow-headers"), None, "{method}");
    }
    let by_header = get_with(&guarded.address, "/orders", &format!("X-API-Key: {clerk}\r\n"));
    assert_eq!(by_header.status, 200);
    // A browser's session stands for the key, and ends with it.
    let login = |key: &str, headers: &str| {
        let body = format!("{{\"key\":\"{key}\"}}");
        let head = format!(
            "POST /api/login HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{headers}\r\n",
            guarded.address,
            body.len()
        );
        send(&guarded.address, format!("{head}{body}").as_bytes())
    };
    assert_eq!(login("nonsense", "").status, 401);
    let begun = login(&clerk, "");
    assert_eq!(begun.json()["role"], "clerk");
    let cookie = begun.header("set-cookie").unwrap();
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict") && !cookie.contains(&clerk[16..]),
        "{cookie}"
    );
    let session = format!("Cookie: {}\r\n", cookie.split(';').next().unwrap());
    assert_eq!(get_with(&guarded.address, "/orders", &session).status, 200);
    assert_eq!(get_with(&guarded.address, "/api/me", &session).json()["role"], "clerk");
    // Who listens is told nothing any more once the key is revoked.
    let mut events = Events::with(&guarded.address, "/orders", &format!("Authorization: Bearer {clerk}\r\n"));
    let first = events.next();
    assert_eq!(first.as_array().unwrap().len(), 2, "{first}");
    guarded.cluster.execute("INSERT INTO shop.orders VALUES (4, 2, 'CANCELLED', 1, 'note_of_cancelled'), (5, 2, 'NEW', 1, 'n')").unwrap();
    let second = events.next();
    assert_eq!(second.as_array().unwrap().len(), 3, "{second}");
    assert!(!second.to_string().contains("note_of_cancelled"));
    let id = clerk.split('_').nth(1).unwrap();
    guarded.project.succeed(&["keys", "revoke", id]);
    guarded.cluster.execute("INSERT INTO shop.orders VALUES (6, 2, 'NEW', 1, 'n')").unwrap();
    assert!(events.ends(), "the stream goes on without a key");
    for headers in [format!("Authorization: Bearer {clerk}\r\n"), session] {
        assert_eq!(get_with(&guarded.address, "/orders", &headers).status, 401);
    }
    // One that expires does so by itself.
    let short = guarded.project.succeed(&["keys", "create", "--role", "clerk", "--expires", "2s", "--json"]);
    let short: Value = serde_json::from_str(&short).unwrap();
    let header = format!("Authorization: Bearer {}\r\n", short["key"].as_str().unwrap());
    let status = || get_with(&guarded.address, "/orders", &header).status;
    assert_eq!(status(), 200);
    wait_until("the key to expire", SEEN_WAIT_MAX, || (status() == 401).then_some(())).unwrap();
    let listed = guarded.project.succeed(&["keys", "list", "--json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let states: Vec<_> =
        listed.as_array().unwrap().iter().map(|key| key["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["good", "revoked", "good", "good", "good", "good", "expired"]);
    assert!(!listed.to_string().contains(&clerk[16..]));
    let refused = guarded.project.run(&["keys", "create", "--role", "clerck"]);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(2) && told.contains("MS6212") && told.contains("clerk"), "{told}");
    stop(guarded.process);
}

#[test]
fn a_restriction_that_does_not_go_with_the_source_is_told_with_its_line_before_anything_starts() {
    let cluster = PgCluster::start_default().unwrap();
    cluster
        .execute("CREATE SCHEMA shop; CREATE TABLE shop.orders (id int PRIMARY KEY, status text)")
        .unwrap();
    let project = Project::with_source(&cluster.url(), "tables: [\"shop.*\"]");
    let path = project.directory().join("millstream.yml");
    let text = fs::read_to_string(&path).unwrap();
    let lines = text.lines().count();
    for (part, place, words) in [
        ("rows: {shop.orders: \"state = 'OPEN'\"}", 27, "state"),
        ("rows: {shop.orders: \"id IN (SELECT 1)\"}", 27, "SELECT"),
        ("rows: {shop.order: \"true\"}", 14, "did you mean shop.orders"),
        ("mask: {shop.orders: {statis: null}}", 28, "has no column statis"),
        ("mask: {shop.orders: {id: hash}}", 28, "only text can be hashed"),
        ("mask: {main.model: {id: null}}", 14, "main.model is no replicated table"),
    ] {
        fs::write(&path, format!("{text}api:\n  auth: keys\n  roles:\n    r:\n      {part}\n")).unwrap();
        let output = project.run(&["plan"]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{part}: {told}");
        assert!(told.contains(&format!("millstream.yml:{}:{}", lines + 5, place)), "{part}: {told}");
        assert!(told.contains(words), "{part}: {told}");
    }
}

#[test]
fn a_role_is_held_to_its_limits_and_others_are_not() {
    let guarded = Guarded::start();
    let began = std::time::Instant::now();
    let slow = guarded.get("hurried", "/slow");
    assert_eq!((slow.status, slow.json()["code"].as_str()), (503, Some("MS7110")), "{slow:?}");
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    let page = guarded.get("hurried", "/orders?limit=100");
    assert_eq!(page.json().as_array().map(Vec::len), Some(2), "{page:?}");
    assert!(page.header("link").unwrap().contains("next"), "{page:?}");
    let statuses: Vec<u16> = (0..40).map(|_| guarded.get("hurried", "/count").status).collect();
    assert!(statuses.contains(&429) && statuses.contains(&200), "{statuses:?}");
    let (mut refused, mut tries) = (guarded.get("hurried", "/count"), 0);
    while refused.status != 429 && tries < 40 {
        (refused, tries) = (guarded.get("hurried", "/count"), tries + 1);
    }
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")), "{refused:?}");
    // Others have buckets of their own, and health is always told.
    assert!((0..20).all(|_| guarded.get("caller", "/count").status == 200));
    assert!((0..20).all(|_| guarded.get("hurried", "/live").status == 200));
    let few = wait_until("a question in SQL to be let through", SEEN_WAIT_MAX, || {
        let reply = guarded.sql("hurried", "SELECT id FROM shop.orders", None);
        (reply.status == 200).then(|| reply.json())
    })
    .unwrap();
    assert_eq!(
        (few["rows"].as_array().map(Vec::len), &few["truncated"]),
        (Some(2), &Value::Bool(true)),
        "{few}"
    );
    let large = guarded.get("frugal", "/orders");
    assert_eq!((large.status, large.json()["code"].as_str()), (413, Some("MS7120")), "{large:?}");
    assert!(large.body.contains("64 bytes of memory"), "{large:?}");
    assert_eq!(guarded.get("admin", "/orders").status, 200, "it is another role's limit");
    stop(guarded.process);
}

#[test]
fn who_sees_all_of_a_table_is_answered_from_results_that_follow_its_changes() {
    let guarded = Guarded::start();
    let mut id = 100;
    wait_until("a role's counts to be followed", SEEN_WAIT_MAX, || {
        id += 1;
        guarded
            .cluster
            .execute(&format!("INSERT INTO shop.orders VALUES ({id}, 1, 'OPEN', 10, 'a note')"))
            .unwrap();
        guarded.project.catch_up();
        assert_eq!(guarded.get("caller", "/count").status, 200);
        (followed(&guarded.get("admin", "/metrics")) > 0).then_some(())
    })
    .unwrap();
    stop(guarded.process);
}
