//! A dbt project in the process that holds the live data: built after the snapshot, through the instance, beside it, and read by everybody.

use std::fs;
use std::path::Path;
use std::time::Duration;

use millstream_testkit::{wait_until, PgCluster, Process};
use serde_json::json;

use crate::http::get;
use crate::project::{stop, Project};
use crate::serving::SEEN_WAIT_MAX;

const FILES: &[(&str, &str)] = &[
    ("dbt_project.yml", "name: shop\nversion: '1.0'\nprofile: nowhere\nmodels: {shop: {marts: {+materialized: table, +schema: marts}}}\n"),
    ("models/staging/stg_orders.sql", "select id, status, total from {{ source('shop', 'orders') }}"),
    ("models/marts/totals.sql", "select status, count(*) as n, sum(total) as total from {{ ref('stg_orders') }} group by status"),
    (
        "models/marts/versions.sql",
        "{{ config(materialized='incremental', unique_key=['id', 'lsn']) }}\n\
         select id, status, _lsn as lsn from {{ source('shop', 'orders_history') }} {% if is_incremental() %} where _lsn > (select max(lsn) from {{ this }}) {% endif %}",
    ),
    ("models/marts/named.sql", "select s.*, n.name from {{ ref('totals') }} s join {{ ref('names') }} n using (status)"),
    ("seeds/names.csv", "status,name\nOPEN,open\nDONE,done\n"),
    (
        "models/models.yml",
        "models:\n  - name: totals\n    columns:\n      - name: status\n        data_tests: [unique, not_null, {accepted_values: {arguments: {values: [OPEN, DONE]}}}]\n",
    ),
    ("api/totals.sql", "SELECT status, n FROM main_marts.totals ORDER BY status"),
];

/// Writes files of a project, each a path and its text.
pub(crate) fn write(directory: &Path, files: &[(&str, &str)]) {
    for (path, text) in files {
        let path = directory.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

struct Built {
    cluster: PgCluster,
    project: Project,
}

impl Built {
    fn new() -> Self {
        let cluster = PgCluster::start_default().unwrap();
        cluster
            .execute(
                "CREATE SCHEMA shop; CREATE TABLE shop.orders (id int PRIMARY KEY, status text NOT NULL, total numeric(10,2)); \
                 INSERT INTO shop.orders SELECT g, CASE g % 2 WHEN 0 THEN 'OPEN' ELSE 'DONE' END, g FROM generate_series(1, 20) AS g",
            )
            .unwrap();
        let project = Project::with_source(&cluster.url(), "tables: [\"shop.*\"]");
        let path = project.directory().join("millstream.yml");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{text}serve: {{http: \"127.0.0.1:0\", postgres: \"127.0.0.1:0\"}}\n"))
            .unwrap();
        write(project.directory(), FILES);
        Built { cluster, project }
    }

    /// Starts it, waits until everything is built, and returns where it serves.
    fn up(&self) -> (Process, String) {
        let mut process = self.project.up("");
        self.project.await_streaming(&mut process);
        let line = process.wait_for_line("http://", SEEN_WAIT_MAX).unwrap();
        let address = line.split("http://").nth(1).unwrap().split('/').next().unwrap().to_owned();
        (process, address)
    }
}

const TOTALS: &str = "SELECT status, n, total FROM main_marts.totals ORDER BY status";

/// Every node of the runs that are listed, with what a seed wrote and where a test stands.
fn runs_are_told_of(address: &str, all: &serde_json::Value) {
    let run = |at: usize| {
        let listed = &all["runs"][at];
        let run = get(address, &format!("/api/models/runs/{}", listed["id"].as_str().unwrap())).json();
        assert_eq!((&run["counts"], &run["at"]), (&listed["counts"], &listed["at"]));
        run
    };
    let (newest, first) = (run(0), run(1));
    let nodes = first["nodes"].as_array().unwrap();
    assert_eq!((nodes.len(), &first["no_longer_kept"]), (8, &json!(0)));
    assert!(nodes.is_sorted_by_key(|node| node["at"].as_str().unwrap()), "{nodes:#?}");
    let node = |run: &serde_json::Value, name: &str| {
        run["nodes"].as_array().unwrap().iter().find(|node| node["name"] == name).unwrap().clone()
    };
    let seed = node(&first, "names");
    assert_eq!(
        (&seed["id"], &seed["rows"], &seed["about"]),
        (&json!("seed.shop.names"), &json!(2), &json!(null))
    );
    assert_eq!(
        (&node(&first, "totals")["status"], &node(&first, "totals")["rows"]),
        (&json!("success"), &json!(null))
    );
    let failed = newest["nodes"].as_array().unwrap().iter().find(|node| node["status"] == "fail").unwrap();
    assert_eq!((&failed["about"], &failed["failures"]), (&json!(["model.shop.totals"]), &json!(1)));
    assert_eq!(get(address, "/api/models/runs/nothing").status, 404);
}

/// From the instance alone: columns of tables by the warehouse, of models by what they were compiled to.
fn columns_are_followed(address: &str) {
    let told = |of: &str| get(address, &format!("/api/models/{of}"));
    let steps = |told: &serde_json::Value, way: &str| -> Vec<String> {
        let step = |step: &serde_json::Value| {
            let text = |key: &str| step[key].as_str().unwrap_or("*").to_owned();
            format!("{} {} {}.{}", step["depth"], text("way"), text("node"), text("column"))
        };
        told[way].as_array().unwrap().iter().map(step).collect()
    };
    let n = told("model.shop.named/lineage?column=TOTAL").json();
    assert_eq!(
        (&n["column"], &n["unknown"], &n["not_followed"]),
        (&json!("total"), &json!(null), &json!([]))
    );
    let up = [
        "1 from model.shop.totals.total",
        "2 from model.shop.stg_orders.total",
        "3 from source.shop.shop.orders.total",
    ];
    assert_eq!(
        (steps(&n, "upstream"), steps(&n, "downstream")),
        (up.map(str::to_owned).to_vec(), Vec::new())
    );
    let id = told("source.shop.shop.orders/lineage?column=id").json();
    assert_eq!(steps(&id, "downstream"), ["1 from model.shop.stg_orders.id"]);
    let lsn = told("source.shop.shop.orders_history/lineage?column=_lsn").json();
    assert!(steps(&lsn, "downstream").contains(&"1 from model.shop.versions.lsn".to_owned()), "{lsn:#}");
    for missing in ["model.shop.totals/lineage?column=nothing", "model.shop.nothing/lineage?column=id"] {
        assert_eq!(told(missing).status, 404, "{missing}");
    }
    assert_eq!(told("model.shop.totals/lineage").status, 400);
}

#[test]
fn a_project_is_built_behind_the_snapshot_and_again_through_the_instance() {
    let built = Built::new();
    let (project, cluster) = (&built.project, &built.cluster);
    let (process, address) = built.up();
    assert!(process.stderr().contains("models: 5 built, 3 tests passed"), "{}", process.tail());
    project.expect(
        TOTALS,
        r#"[{"status":"DONE","n":10,"total":100.00},{"status":"OPEN","n":10,"total":110.00}]"#,
    );
    assert_eq!(
        get(&address, "/totals").json(),
        json!([{"status": "DONE", "n": 10}, {"status": "OPEN", "n": 10}])
    );
    let tables = get(&address, "/tables").json();
    let kinds: Vec<_> = tables.as_array().unwrap().iter().filter(|table| table["kind"] == "model").collect();
    assert_eq!(kinds.len(), 5, "{tables:#}");
    let (before, etag) =
        (get(&address, "/totals"), |reply: &crate::http::Reply| reply.header("etag").unwrap().to_owned());

    // A view follows by itself, a table when it is built.
    cluster.execute("UPDATE shop.orders SET status = 'OPEN' WHERE id = 1; INSERT INTO shop.orders VALUES (21, 'LOST', 1)").unwrap();
    project.catch_up();
    project.expect("SELECT count(*) AS n FROM main.stg_orders WHERE status = 'OPEN'", r#"[{"n":11}]"#);
    project.expect("SELECT n FROM main_marts.totals WHERE status = 'OPEN'", r#"[{"n":10}]"#);
    let run = project.run(&["build", "--select", "totals", "versions"]);
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    assert_eq!(run.status.code(), Some(1), "{said}");
    assert!(
        said.contains("accepted_values_totals_status__OPEN__DONE") && said.contains("PASS=4 WARN=0 ERROR=1"),
        "{said}"
    );
    project.expect(
        "SELECT status, n FROM main_marts.totals ORDER BY n",
        r#"[{"status":"LOST","n":1},{"status":"DONE","n":9},{"status":"OPEN","n":11}]"#,
    );
    project.expect("SELECT count(*) AS n FROM main_marts.versions", r#"[{"n":22}]"#);
    let after = wait_until("the endpoint to read it", SEEN_WAIT_MAX, || {
        let reply = get(&address, "/totals");
        (reply.json().as_array().unwrap().len() == 3).then_some(reply)
    })
    .unwrap();
    assert_ne!(etag(&before), etag(&after));
    // What was built is no history.
    let then = project.run(&["sql", TOTALS, "--as-of", "2100-01-01T00:00:00Z"]);
    assert!(String::from_utf8_lossy(&then.stderr).contains("MS5311"), "{then:?}");
    let as_of = get(&address, "/totals?as_of=2100-01-01T00:00:00Z");
    assert_eq!((as_of.status, as_of.json()["code"].as_str()), (404, Some("MS5311")), "{as_of:?}");
    // The lineage knows how one is made of the other; a query may name what nothing else does.
    let shown = project.succeed(&[
        "show",
        "--inline",
        "select max(id) as m from {{ source('shop', 'orders') }}",
        "--output",
        "json",
    ]);
    assert!(shown.contains("21"), "{shown}");
    // What became of it is told to who looks.
    let all = get(&address, "/api/models").json();
    let node =
        |id: &str| all["nodes"].as_array().unwrap().iter().find(|node| node["id"] == id).unwrap().clone();
    let totals = node("model.shop.totals");
    assert_eq!((&all["project"], &totals["materialized"]), (&json!("scenario"), &json!("table")));
    assert_eq!(totals["parents"], json!(["model.shop.stg_orders"]));
    assert_eq!(totals["relation"], json!({"schema": "main_marts", "name": "totals"}));
    assert_eq!(
        totals["tests"],
        json!({"total": 3, "pass": 2, "fail": 1, "warn": 0, "error": 0, "skipped": 0})
    );
    assert_eq!((&totals["last"]["status"], &totals["raw"]), (&json!("success"), &json!(null)));
    assert_eq!(node("source.shop.shop.orders")["relation"], json!({"schema": "shop", "name": "orders"}));
    let runs: Vec<_> =
        all["runs"].as_array().unwrap().iter().map(|run| (&run["verb"], &run["counts"])).collect();
    assert_eq!(
        runs,
        [
            (&json!("build"), &json!({"fail": 1, "pass": 2, "success": 2})),
            (&json!("build"), &json!({"pass": 3, "success": 5})),
        ]
    );
    let one = get(&address, "/api/models/model.shop.totals").json();
    assert!(one["raw"].as_str().unwrap().contains("{{ ref('stg_orders') }}"), "{one:#}");
    assert!(one["compiled"].as_str().unwrap().contains("\"main\".\"stg_orders\""), "{one:#}");
    assert_eq!(
        one["columns"][0],
        json!({"name": "status", "type": "VARCHAR", "description": "", "tests": ["accepted_values", "not_null", "unique"]})
    );
    assert_eq!(
        (one["columns"].as_array().unwrap().len(), &one["children"]),
        (3, &json!(["model.shop.named"]))
    );
    let check = |kind: &str| {
        one["checks"].as_array().unwrap().iter().find(|check| check["kind"] == kind).unwrap().clone()
    };
    let statuses: Vec<_> = check("accepted_values")["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|ended| ended["status"].clone())
        .collect();
    assert_eq!((statuses, one["history"].as_array().unwrap().len()), (vec![json!("fail"), json!("pass")], 2));
    assert_eq!(get(&address, "/api/models/model.shop.nothing").status, 404);
    runs_are_told_of(&address, &all);
    columns_are_followed(&address);
    // The picture of what is made of what knows of tables, too.
    let edges = get(&address, "/api/lineage").json()["edges"].clone();
    for edge in [
        ["table:shop.orders", "model:main.stg_orders"],
        ["model:main.stg_orders", "model:main_marts.totals"],
        ["model:main_marts.totals", "endpoint:/totals"],
    ] {
        assert!(edges.as_array().unwrap().contains(&json!(edge)), "{edge:?} in {edges:#}");
    }

    stop(process);

    // The same verb without an instance, and a start that has nothing to build.
    project.succeed(&["run", "--select", "named"]);
    let (process, _) = built.up();
    assert!(!process.stderr().contains("models:"), "{}", process.tail());
    stop(process);
}

#[test]
fn what_is_missing_is_built_at_the_next_start_and_what_fails_keeps_nothing_from_serving() {
    let built = Built::new();
    write(
        built.project.directory(),
        &[
            ("models/marts/wrong.sql", "select no_such_column from {{ ref('stg_orders') }}"),
            ("models/marts/behind.sql", "select * from {{ ref('wrong') }}"),
        ],
    );
    let (process, address) = built.up();
    assert!(process.stderr().contains("wrong (models/marts/wrong.sql) failed"), "{}", process.tail());
    assert!(process.stderr().contains("no_such_column"), "{}", process.tail());
    assert_eq!(get(&address, "/ready").status, 200);
    assert_eq!(get(&address, "/totals").status, 200);
    stop(process);
    write(built.project.directory(), &[("models/marts/wrong.sql", "select id from {{ ref('stg_orders') }}")]);
    let (process, _) = built.up();
    assert!(process.stderr().contains("models: 2 built, 0 tests passed in"), "{}", process.tail());
    built.project.expect("SELECT count(*) AS n FROM main_marts.behind", r#"[{"n":20}]"#);
    stop(process);
}

#[test]
fn a_build_without_end_ends_with_the_instance_and_with_whoever_asked_for_it() {
    let built = Built::new();
    let endless = "{{ config(materialized='table') }} select sum(a.range * b.range) as n from range(100000000) a, range(100000000) b";
    write(built.project.directory(), &[("models/endless.sql", endless)]);
    let process = built.project.up("");
    let loaded = |url: &str| get(url, "/tables").status == 200;
    let line = process.wait_for_line("http://", SEEN_WAIT_MAX).unwrap();
    let address = line.split("http://").nth(1).unwrap().split('/').next().unwrap().to_owned();
    wait_until("the tables to be there", SEEN_WAIT_MAX, || loaded(&address).then_some(())).unwrap();
    assert_eq!(get(&address, "/ready").status, 503, "what is built first is not there yet");
    stop(process);
    assert!(!built.project.data().join("millstream.sock").exists());

    write(built.project.directory(), &[("models/endless.sql", "{{ config(enabled=false) }} select 1")]);
    let (process, address) = built.up();
    write(built.project.directory(), &[("models/endless.sql", endless)]);
    let mut asking = Process::spawn(built.project.command(&["run", "--select", "endless"])).unwrap();
    asking.wait_for_line("START", SEEN_WAIT_MAX).unwrap();
    asking.kill().unwrap();
    let spent = || {
        let metrics = get(&address, "/metrics").body;
        let line = metrics.lines().find(|line| line.starts_with("process_cpu_seconds_total")).unwrap();
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    wait_until("nobody to compute any more", SEEN_WAIT_MAX, || {
        let before = spent();
        std::thread::sleep(Duration::from_secs(1));
        (spent() - before < 0.5).then_some(())
    })
    .unwrap();
    write(
        built.project.directory(),
        &[("models/endless.sql", "{{ config(materialized='table') }} select 1 as n")],
    );
    built.project.succeed(&["run", "--select", "endless"]);
    built.project.expect("SELECT n FROM main.endless", r#"[{"n":1}]"#);
    stop(process);
}

#[test]
fn files_that_sources_name_lie_in_the_project_wherever_the_instance_was_started() {
    let built = Built::new();
    write(
        built.project.directory(),
        &[
            ("raw/crumbs.csv", "id,kind\n1,rye\n2,oat\n"),
            ("raw/days/a.csv", "id\n1\n"),
            ("raw/days/b.csv", "id\n2\n"),
            (
                "models/floor.yml",
                "sources:\n  - name: floor\n    tables:\n\
                 \x20     - {name: crumbs, config: {meta: {external_location: 'raw/{name}.csv'}}}\n\
                 \x20     - {name: days, config: {meta: {external_location: \"read_csv('raw/{name}/*.csv')\"}}}\n",
            ),
            ("models/swept.sql", "{{ config(materialized='table') }} select * from {{ source('floor', 'crumbs') }}"),
            ("models/seen.sql", "select * from {{ source('floor', 'crumbs') }}"),
            ("models/days.sql", "select count(*) as n from {{ source('floor', 'days') }}"),
        ],
    );
    let both = "SELECT (SELECT count(*) FROM main.swept) AS t, (SELECT max(kind) FROM main.seen) AS v, (SELECT n FROM main.days) AS n";
    // Neither was started in the project's directory.
    let (process, _) = built.up();
    built.project.expect(both, r#"[{"t":2,"v":"rye","n":2}]"#);
    write(built.project.directory(), &[("raw/crumbs.csv", "id,kind\n1,spelt\n")]);
    built.project.succeed(&["run", "--select", "swept"]);
    built.project.expect(both, r#"[{"t":1,"v":"spelt","n":2}]"#);
    stop(process);
    write(built.project.directory(), &[("raw/crumbs.csv", "id,kind\n1,oat\n2,rye\n3,emmer\n")]);
    built.project.succeed(&["run", "--select", "swept"]);
    built.project.expect(both, r#"[{"t":3,"v":"rye","n":2}]"#);
}

#[test]
fn nothing_is_built_in_the_place_of_what_is_replicated() {
    let built = Built::new();
    let (process, _) = built.up();
    for (config, said) in [
        ("alias='orders', schema_='shop'", "in the place of what follows a table of the source"),
        ("alias='Orders_History', schema_='shop'", "in the place of what follows a table of the source"),
        ("schema_='_millstream'", "in a schema that only the warehouse itself writes to"),
    ] {
        write(
            built.project.directory(),
            &[
                ("macros/names.sql", "{% macro generate_schema_name(custom, node) %}{{ node.config.get('schema_', target.schema) }}{% endmacro %}"),
                ("models/taken.sql", &format!("{{{{ config({config}) }}}} select 1 as id")),
            ],
        );
        let run = built.project.run(&["build"]);
        let told = String::from_utf8_lossy(&run.stderr).into_owned();
        assert_eq!(run.status.code(), Some(2), "{told}");
        assert!(told.contains("MS9105") && told.contains(said), "{told}");
    }
    write(built.project.directory(), &[("models/taken.sql", "select * from {{ source('shop', 'ordres') }}")]);
    let run = built.project.run(&["build"]);
    let told = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(told.contains("MS9104") && told.contains("did you mean `shop.orders`?"), "{told}");
    stop(process);
    built.project.expect("SELECT count(*) AS n FROM shop.orders", r#"[{"n":20}]"#);
}

/// Versions as a snapshot has them: what a person would write down who saw every commit.
fn versions(project: &Project, table: &str, deleted: &str) -> Vec<String> {
    let sql = format!(
        "SELECT concat_ws(' ', id, status, CASE WHEN dbt_valid_to IS NULL OR dbt_valid_to > '2099-01-01' THEN 'open' ELSE 'ended' END {deleted}) AS v \
         FROM main.{table} ORDER BY id, dbt_valid_from, dbt_valid_to NULLS LAST, status"
    );
    let rows: serde_json::Value = serde_json::from_str(&project.sql(&sql)).unwrap();
    rows.as_array().unwrap().iter().map(|row| row["v"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_snapshot_from_history_has_every_version_that_could_be_seen_whenever_it_is_taken() {
    let built = Built::new();
    let (project, cluster) = (&built.project, &built.cluster);
    let snapshot = |name: &str, more: &str| {
        format!(
            "  - name: {name}\n    relation: source('shop', 'orders')\n    config: {{unique_key: id, snapshot_from_history: true{more}}}\n"
        )
    };
    let declared = [
        snapshot("kept", ""),
        snapshot("ended", ", hard_deletes: invalidate, dbt_valid_to_current: \"timestamp '2100-01-01'\""),
        snapshot("told", ", hard_deletes: new_record"),
    ];
    write(project.directory(), &[("snapshots/orders.yml", &format!("snapshots:\n{}", declared.concat()))]);
    cluster.execute("DELETE FROM shop.orders WHERE id > 3").unwrap();
    let (process, _) = built.up();
    assert_eq!(versions(project, "kept", ""), ["1 DONE open", "2 OPEN open", "3 DONE open"]);
    let changes = [
        // Nobody sees the first of these two.
        "BEGIN; UPDATE shop.orders SET status = 'HALF' WHERE id = 1; UPDATE shop.orders SET status = 'WHOLE' WHERE id = 1; COMMIT",
        "UPDATE shop.orders SET status = 'NEXT' WHERE id = 1",
        "DELETE FROM shop.orders WHERE id = 2",
        // Gone and back at once, then gone for a while.
        "BEGIN; DELETE FROM shop.orders WHERE id = 3; INSERT INTO shop.orders VALUES (3, 'BACK', 1); COMMIT",
        "DELETE FROM shop.orders WHERE id = 3",
        "INSERT INTO shop.orders VALUES (3, 'AGAIN', 1)",
        "UPDATE shop.orders SET id = 9 WHERE id = 1",
    ];
    let at_once = [
        "1 DONE ended",
        "1 WHOLE ended",
        "1 NEXT ended",
        "2 OPEN ended",
        "3 DONE ended",
        "3 BACK ended",
        "3 AGAIN open",
        "9 NEXT open",
    ];
    for (number, change) in changes.iter().enumerate() {
        cluster.execute(change).unwrap();
        project.catch_up();
        // One is brought up to date with each change, and the others at the end: it makes no difference.
        let which = if number + 1 < changes.len() { "told" } else { "kept ended told" };
        project.succeed(&[&["snapshot", "--select"], &which.split(' ').collect::<Vec<_>>()[..]].concat());
    }
    assert_eq!(versions(project, "ended", ""), at_once);
    let kept = [
        "1 DONE ended",
        "1 WHOLE ended",
        "1 NEXT open",
        "2 OPEN open",
        "3 DONE ended",
        "3 BACK ended",
        "3 AGAIN open",
        "9 NEXT open",
    ];
    assert_eq!(versions(project, "kept", ""), kept, "what is gone stays as it was");
    let told = [
        "1 DONE ended False",
        "1 WHOLE ended False",
        "1 NEXT ended False",
        "1 NEXT open True",
        "2 OPEN ended False",
        "2 OPEN open True",
        "3 DONE ended False",
        "3 BACK ended False",
        "3 BACK ended True",
        "3 AGAIN open False",
        "9 NEXT open False",
    ];
    assert_eq!(versions(project, "told", ", dbt_is_deleted"), told);
    // Each begins where the one before ends, to the microsecond of the commit.
    let gaps = "SELECT count(*) AS n FROM (SELECT dbt_valid_to, lead(dbt_valid_from) OVER (PARTITION BY id ORDER BY dbt_valid_from) AS next FROM main.told) \
                WHERE next IS NOT NULL AND dbt_valid_to <> next";
    project.expect(gaps, r#"[{"n":0}]"#);
    project.expect(
        "SELECT count(DISTINCT dbt_scd_id) = count(*) AS one_each, count(*) FILTER (WHERE dbt_valid_from <> dbt_updated_at) AS n FROM main.told",
        r#"[{"one_each":true,"n":0}]"#,
    );
    project.succeed(&["snapshot", "--empty", "--select", "kept"]);
    // Taken again, nothing is another.
    let all = "SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) AS sum FROM main.told AS t";
    let before = project.sql(all);
    project.succeed(&["snapshot"]);
    assert_eq!(project.sql(all), before);

    for (sql, said) in [
        ("select id from {{ source('shop', 'orders') }}", "of one replicated table as it is"),
        ("select * from {{ ref('stg_orders') }}", "of one replicated table as it is"),
    ] {
        let block = format!("{{% snapshot other %}}{{{{ config(unique_key='id', snapshot_from_history=true) }}}} {sql} {{% endsnapshot %}}");
        write(project.directory(), &[("snapshots/other.sql", &block)]);
        let run = project.run(&["snapshot", "--select", "other"]);
        let told = String::from_utf8_lossy(&run.stdout).into_owned();
        assert!(run.status.code() == Some(1) && told.contains(said), "{told}");
    }
    stop(process);
}

/// The files of a page of the docs: blocks of code whose first line names one.
fn files_of(page: &str) -> Vec<(String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(page);
    let text = fs::read_to_string(path).unwrap();
    let mut files = Vec::new();
    for block in text.split("```").skip(1).step_by(2) {
        let (_, code) = block.split_once('\n').unwrap();
        let named = code.lines().next().unwrap_or_default();
        let name = named.strip_prefix("-- ").or_else(|| named.strip_prefix("# ")).unwrap();
        files.push((name.to_owned(), code.to_owned()));
    }
    files
}

#[test]
fn the_star_schema_of_the_docs_knows_what_was_true_at_the_time() {
    let cluster = PgCluster::start_default().unwrap();
    cluster
        .execute(
            "CREATE SCHEMA shop; CREATE TABLE shop.customers (customer_id int PRIMARY KEY, customer_name text, city text); \
             CREATE TABLE shop.orders (order_id int PRIMARY KEY, customer_id int, ordered_at timestamptz, amount numeric(10,2)); \
             INSERT INTO shop.customers VALUES (1, 'Ada', 'Oslo'), (2, 'Ben', 'Rome'); \
             INSERT INTO shop.orders VALUES (1, 1, '2026-01-05 10:00+00', 10), (2, 2, '2026-01-06 10:00+00', 20)",
        )
        .unwrap();
    let project = Project::with_source(&cluster.url(), "tables: [\"shop.*\"]");
    let files = files_of("how-to/star-schema.md");
    assert_eq!(files.len(), 6);
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    write(project.directory(), &files);
    let mut process = project.up("");
    project.await_streaming(&mut process);
    assert!(process.stderr().contains("models: 3 built, 7 tests passed"), "{}", process.tail());
    // A move, another one that its own transaction takes back, an order before, between and behind, and somebody who goes.
    for change in [
        "UPDATE shop.customers SET city = 'Kyiv' WHERE customer_id = 1",
        "INSERT INTO shop.orders VALUES (3, 1, now(), 30)",
        "BEGIN; UPDATE shop.customers SET city = 'Nowhere' WHERE customer_id = 1; UPDATE shop.customers SET city = 'Lima' WHERE customer_id = 1; COMMIT",
        "INSERT INTO shop.orders VALUES (4, 1, now(), 40)",
        "DELETE FROM shop.customers WHERE customer_id = 2",
    ] {
        cluster.execute(change).unwrap();
        project.catch_up();
        let built = project.succeed(&["build"]);
        assert!(built.contains("PASS=10 WARN=0 ERROR=0"), "{built}");
    }
    let sold = "SELECT f.order_id, d.day::text AS day, c.city FROM main_star.fact_sales AS f JOIN main_star.dim_customers AS c USING (customer_key) \
                JOIN main_star.dim_dates AS d USING (date_key) WHERE f.order_id <> 2 ORDER BY f.order_id";
    let found: serde_json::Value = serde_json::from_str(&project.sql(sold)).unwrap();
    let cities: Vec<&str> =
        found.as_array().unwrap().iter().map(|row| row["city"].as_str().unwrap()).collect();
    assert_eq!((cities, &found[0]["day"]), (vec!["Oslo", "Kyiv", "Lima"], &json!("2026-01-05")));
    project.expect(
        "SELECT customer_id, city, is_current, valid_to > '2099-01-01' AS open FROM main_star.dim_customers ORDER BY customer_id, valid_from",
        r#"[{"customer_id":1,"city":"Oslo","is_current":false,"open":false},{"customer_id":1,"city":"Kyiv","is_current":false,"open":false},
            {"customer_id":1,"city":"Lima","is_current":true,"open":true},{"customer_id":2,"city":"Rome","is_current":false,"open":false}]"#,
    );
    stop(process);
}
