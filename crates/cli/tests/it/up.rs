//! `up` against a real server, and the verbs beside it and after it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use millstream_testkit::{wait_until, PgCluster, Process};
use serde_json::Value;

use crate::support::{millstream, transcript};

/// Longer than anything here takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server with two tables, and a project on it.
struct World {
    cluster: PgCluster,
    _dir: tempfile::TempDir,
    project: PathBuf,
}

impl World {
    fn new() -> Self {
        let cluster = PgCluster::start_default().unwrap();
        cluster
            .execute(
                "CREATE SCHEMA shop;
                 CREATE TABLE shop.orders (id int PRIMARY KEY, status text, amount numeric(12, 2), placed timestamptz);
                 CREATE TABLE shop.items (order_id int, n int, PRIMARY KEY (order_id, n));
                 INSERT INTO shop.orders SELECT g, 'OPEN', g * 1.5, '2026-01-01 00:00:00+00' FROM generate_series(1, 1000) g;
                 INSERT INTO shop.items SELECT g, 1 FROM generate_series(1, 1000) g;",
            )
            .unwrap();
        let dir = tempfile::tempdir().unwrap();
        let project = dir.path().join("shop");
        fs::create_dir_all(project.join("models")).unwrap();
        fs::write(
            project.join("millstream.yml"),
            format!(
                "version: 1\nname: shop\nsource: {{postgres: {{url: \"{}\", tables: [\"shop.*\"]}}}}\nwarehouse: {{schema: analytics}}\n",
                cluster.url()
            ),
        )
        .unwrap();
        fs::write(project.join("models/a_top.sql"), "SELECT max(amount) AS top FROM analytics.by_status")
            .unwrap();
        fs::write(
            project.join("models/by_status.sql"),
            "SELECT status, sum(amount) AS amount FROM analytics.orders GROUP BY status;\n",
        )
        .unwrap();
        World { cluster, _dir: dir, project }
    }

    fn up(&self) -> Process {
        let mut command = millstream(&self.project);
        command.arg("up");
        let process = Process::spawn(command).unwrap();
        process.wait_for_line("streaming", PATIENCE).unwrap();
        process
    }

    /// Runs a verb that must succeed, and returns its standard output.
    fn say(&self, arguments: &[&str]) -> String {
        let output = millstream(&self.project).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}\n{}", transcript(&self.project, &output));
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.say(&[arguments, &["--json"]].concat())).unwrap()
    }

    fn fails(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = millstream(&self.project).args(arguments).output().unwrap();
        (output.status.code(), transcript(&self.project, &output))
    }

    fn wait_for(&self, sql: &str, expected: &Value) {
        let found = wait_until(sql, PATIENCE, || (self.json(&["sql", sql]) == *expected).then_some(()));
        assert!(found.is_ok(), "{sql}: {}", self.json(&["sql", sql]));
    }
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_database_becomes_live_and_historical_and_every_verb_works_beside_up() {
    let world = World::new();
    let mut up = world.up();

    let status = world.json(&["status"]);
    assert_eq!(status["state"], "streaming");
    assert_eq!(status["error"], Value::Null);
    assert_eq!(status["tables"].as_array().unwrap().len(), 2);
    assert_eq!(
        (&status["tables"][1]["name"], &status["tables"][1]["rows"]),
        (&"shop.orders".into(), &1000.into())
    );
    assert!(status["source"]["current_lsn"].is_string() && status["log"]["bytes"].is_u64());

    world
        .cluster
        .execute("UPDATE shop.orders SET status = 'DONE', amount = 12345678.90 WHERE id = 7")
        .unwrap();
    world.cluster.execute("DELETE FROM shop.orders WHERE id = 8").unwrap();
    world.say(&["up", "--until-caught-up"]);
    let row = world.json(&["sql", "SELECT id, status, amount, placed FROM analytics.orders WHERE id = 7"]);
    let expected = r#"[{"id":7,"status":"DONE","amount":12345678.9,"placed":"2026-01-01T00:00:00+00:00"}]"#;
    assert_eq!(row.to_string(), expected);
    assert!(world
        .say(&["sql", "--json", "SELECT amount FROM analytics.orders WHERE id = 7"])
        .contains("12345678.90"));
    let history = "SELECT operation_type, is_current FROM analytics.orders_history WHERE id IN (7, 8) ORDER BY id, _lsn, _seq";
    assert_eq!(
        world.say(&["sql", history, "--format", "csv"]),
        "operation_type,is_current\nSNAPSHOT,false\nUPDATE,true\nSNAPSHOT,false\nDELETE,false\n"
    );
    assert_eq!(world.json(&["sql", "SELECT top FROM analytics.a_top"]).to_string(), "[{\"top\":12345678.9}]");

    let events = lines(&world.say(&["tail", "shop.orders", "--json"]));
    let ops: Vec<&str> = events.iter().map(|event| event["op"].as_str().unwrap()).collect();
    assert_eq!(ops, ["u", "d"]);
    assert_eq!(events[0]["after"]["status"], "DONE");
    assert_eq!(lines(&world.say(&["tail", "shop.orders", "--json", "--limit", "1"])).len(), 1);

    let verified = world.json(&["verify"]);
    assert_eq!(verified["equal"], true);
    assert_eq!(verified["tables"][1]["rows_source"], 999);
    assert_eq!(world.json(&["resync", "shop.items"])["tables"][0]["inserted"], 0);
    assert_eq!(world.json(&["plan"])["source"]["statements"], serde_json::json!([]));
    assert_eq!(world.json(&["doctor"])["ready"], true);

    let (exit, said) = world.fails(&["up"]);
    assert!(exit == Some(4) && said.contains("MS6101") && said.contains(&up.pid().to_string()), "{said}");
    let (exit, said) =
        world.fails(&["sql", "SELECT * FROM analytics.orders", "--as-of", "2020-01-01T00:00:00Z"]);
    assert!(exit == Some(2) && said.contains("MS5303"), "{said}");
    let (exit, said) = world.fails(&["sql", "CREATE TABLE main.x (y INTEGER)"]);
    assert!(exit != Some(0) && said.contains("MS5301"), "{said}");
    let (exit, said) = world.fails(&["verify", "shop.ordres"]);
    assert!(exit == Some(2) && said.contains("did you mean `shop.orders`?"), "{said}");

    up.signal(libc::SIGTERM).unwrap();
    assert_eq!(up.wait(PATIENCE).unwrap().code(), Some(0), "{}", up.tail());

    // Without an instance the verbs open the project themselves.
    let status = world.json(&["status"]);
    assert_eq!((&status["state"], &status["pid"]), (&"paused".into(), &Value::Null));
    assert!(status["source"]["wal_retained_bytes"].is_u64(), "{status}");
    world.cluster.execute("INSERT INTO shop.items VALUES (1, 2)").unwrap();
    assert_eq!(world.json(&["verify", "shop.items"])["tables"][0]["rows_warehouse"], 1001);
    assert_eq!(
        world.json(&["sql", "SELECT count(*) AS n FROM analytics.items"]).to_string(),
        "[{\"n\":1001}]"
    );
}

#[test]
fn a_killed_instance_goes_on_where_it_was_and_ctrl_c_ends_with_130() {
    let world = World::new();
    let mut up = world.up();
    for round in 0..3 {
        world
            .cluster
            .execute(&format!("INSERT INTO shop.orders VALUES ({}, 'NEW', 1, now())", 2000 + round))
            .unwrap();
        up.kill().unwrap();
        world.cluster.execute(&format!("UPDATE shop.orders SET status = 'R{round}' WHERE id = 1")).unwrap();
        up = world.up();
    }
    world
        .wait_for("SELECT status FROM analytics.orders WHERE id = 1", &serde_json::json!([{"status": "R2"}]));
    assert_eq!(world.json(&["verify"])["equal"], true);
    up.signal(libc::SIGINT).unwrap();
    assert_eq!(up.wait(PATIENCE).unwrap().code(), Some(130), "{}", up.tail());
    assert!(!Path::new(&world.project).join("data/millstream.sock").exists());
}

#[test]
fn a_difference_is_found_named_and_mended_without_losing_history() {
    let world = World::new();
    world.say(&["up", "--until-caught-up"]);
    // What replication does not see: changes that were never written to the stream.
    world.cluster.execute("ALTER PUBLICATION millstream_shop SET (publish = 'insert')").unwrap();
    world.cluster.execute("UPDATE shop.orders SET status = 'UNSEEN' WHERE id = 3").unwrap();
    world.cluster.execute("DELETE FROM shop.orders WHERE id = 4").unwrap();
    world
        .cluster
        .execute("ALTER PUBLICATION millstream_shop SET (publish = 'insert, update, delete, truncate')")
        .unwrap();
    let (exit, said) = world.fails(&["verify", "shop.orders", "--json"]);
    assert_eq!(exit, Some(1), "{said}");
    assert!(said.contains("\"equal\": false"), "{said}");
    let resynced = world.json(&["resync", "shop.orders"]);
    let table = &resynced["tables"][0];
    assert_eq!((&table["updated"], &table["deleted"]), (&1.into(), &1.into()), "{table}");
    assert_eq!(world.json(&["verify"])["equal"], true);
    let versions =
        world.json(&["sql", "SELECT count(*) AS n FROM analytics.orders_history WHERE id IN (3, 4)"]);
    assert_eq!(versions.to_string(), "[{\"n\":4}]");
}

#[test]
fn what_stands_in_the_way_is_said_before_anything_is_changed() {
    let world = World::new();
    world.cluster.execute("CREATE TABLE shop.keyless (x int)").unwrap();
    let (exit, said) = world.fails(&["up"]);
    assert!(exit != Some(0) && said.contains("shop.keyless"), "{said}");
    let slots = world.cluster.execute("SELECT count(*) FROM pg_replication_slots").unwrap();
    let publications = world.cluster.execute("SELECT count(*) FROM pg_publication").unwrap();
    assert_eq!((slots.trim(), publications.trim()), ("0", "0"));
    let (exit, said) = world.fails(&["doctor"]);
    assert!(exit == Some(1) && said.contains("REPLICA IDENTITY FULL"), "{said}");
    let (exit, said) = world.fails(&["doctor", "--fix-sql"]);
    assert!(exit == Some(1) && said.contains("ALTER TABLE"), "{said}");
    world.cluster.execute("ALTER TABLE shop.keyless REPLICA IDENTITY FULL").unwrap();
    fs::write(world.project.join("models/orders.sql"), "SELECT 1").unwrap();
    let (exit, said) = world.fails(&["up"]);
    assert!(exit == Some(2) && said.contains("MS6007"), "{said}");
}

#[test]
fn tables_that_are_published_but_not_selected_are_left_alone() {
    let world = World::new();
    // What the role may not even look at, in a publication for all tables.
    world
        .cluster
        .execute(
            "CREATE SCHEMA other; CREATE TABLE other.secret (x int PRIMARY KEY);
             CREATE ROLE reader LOGIN REPLICATION PASSWORD 'pw'; GRANT USAGE ON SCHEMA shop TO reader;
             GRANT SELECT ON ALL TABLES IN SCHEMA shop TO reader;
             CREATE PUBLICATION millstream_shop FOR ALL TABLES",
        )
        .unwrap();
    let url = world.cluster.url_for("reader", "pw", "postgres");
    let config = world.project.join("millstream.yml");
    let text = fs::read_to_string(&config).unwrap().replace(&world.cluster.url(), &url);
    fs::write(&config, text).unwrap();
    let mut up = world.up();
    world
        .cluster
        .execute("INSERT INTO other.secret VALUES (1); UPDATE shop.items SET n = 5 WHERE order_id = 1")
        .unwrap();
    world.wait_for("SELECT n FROM analytics.items WHERE order_id = 1", &serde_json::json!([{"n": 5}]));
    // The watcher looks at the catalogue within a few seconds.
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(world.json(&["status"])["tables"].as_array().unwrap().len(), 2);
    up.signal(libc::SIGTERM).unwrap();
    assert_eq!(up.wait(PATIENCE).unwrap().code(), Some(0));
    assert!(!up.stderr().contains("secret") && !up.stderr().contains("error["), "{}", up.stderr());
}
