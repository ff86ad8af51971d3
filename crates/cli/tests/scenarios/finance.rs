//! The finance example as it stands, on a server of the test's own, served.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use millstream_testkit::{PgCluster, Process};
use serde_json::Value;

use crate::http::get;
use crate::models::write;
use crate::project::{example, stop, Project};

/// An address is printed before anything else is done.
const PRINTED_WAIT_MAX: Duration = Duration::from_secs(30);

/// Enough for every status, small enough to be copied in a moment.
const ORDERS: u32 = 2_000;

/// The example, running.
pub(crate) struct Finance {
    /// The source; it must outlive the program.
    pub(crate) cluster: PgCluster,
    pub(crate) project: Project,
    pub(crate) process: Process,
    /// Where it answers over HTTP.
    pub(crate) address: String,
}

impl Finance {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// With more files in the project, each a path and its text.
    pub(crate) fn start_with(files: &[(&str, &str)]) -> Self {
        let cluster = PgCluster::start_default().unwrap();
        let sql = |name: &str| fs::read_to_string(example("finance").join("sql").join(name)).unwrap();
        cluster.execute(&sql("schema.sql")).unwrap();
        cluster.execute(&sql("generator.sql")).unwrap();
        cluster.execute(&format!("CALL generator.fill(orders => {ORDERS}); ANALYZE")).unwrap();
        let project = Project::of_example("finance", &cluster.url());
        write(project.directory(), files);
        let mut process = project.up("");
        project.await_streaming(&mut process);
        let line = process.wait_for_line("http://", PRINTED_WAIT_MAX).unwrap();
        let address = line.split("http://").nth(1).unwrap().split('/').next().unwrap().to_owned();
        Self { cluster, project, process, address }
    }
}

/// What a script has fetched into `.tools`.
fn fetched(part: &str) -> PathBuf {
    let path = checkout().join(".tools").join(part);
    assert!(path.exists(), "{} is missing: run scripts/clients and scripts/promtool", path.display());
    path
}

fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Runs promtool on a file, or on a text at its standard input; it must find nothing to complain of.
#[track_caller]
fn promtool(arguments: &[&str], directory: &Path, input: &str) {
    let mut command = Command::new(std::path::absolute(fetched("promtool/promtool")).unwrap());
    command.args(arguments).current_dir(directory);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A file's check does not read it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "promtool {arguments:?}: {}\n{}", output.status, said.join("\n"));
}

/// The names of metrics in an expression.
fn metrics_of(expression: &str) -> impl Iterator<Item = &str> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("millstream_") || word.starts_with("process_"))
}

/// Every `expr` of a dashboard, below whatever it stands.
fn expressions(dashboard: &Value, found: &mut Vec<String>) {
    match dashboard {
        Value::Object(members) => {
            found.extend(members.get("expr").and_then(Value::as_str).map(str::to_owned));
            members.values().for_each(|value| expressions(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| expressions(item, found)),
        _ => {}
    }
}

/// Saved queries and a chart show customers over time: there must be a time that they came over.
#[test]
fn the_examples_customers_came_over_a_year_and_before_their_orders() {
    let filled = || {
        let cluster = PgCluster::start_default().unwrap();
        let sql = |name: &str| fs::read_to_string(example("finance").join("sql").join(name)).unwrap();
        cluster.execute(&sql("schema.sql")).unwrap();
        cluster.execute(&sql("generator.sql")).unwrap();
        cluster.execute("CALL generator.fill(orders => 10000, today => date '2026-01-31')").unwrap();
        cluster
    };
    let cluster = filled();
    let ask = |sql: &str| cluster.execute(sql).unwrap();
    assert_eq!(
        ask("SELECT count(*), min(created_at)::date, max(created_at)::date FROM operations.customers"),
        "1000|2024-11-02|2026-01-31"
    );
    let days: u32 = ask("SELECT count(DISTINCT created_at::date) FROM operations.customers").parse().unwrap();
    assert!(days > 400, "{days}");
    let early = "SELECT count(*) FROM operations.orders AS o JOIN operations.customers AS c USING (customer_id) WHERE o.created_at < c.created_at";
    assert_eq!(ask(early), "0", "nobody orders before they came");
    let sum = "SELECT md5(string_agg(c::text, ',' ORDER BY customer_id)) FROM (SELECT customer_id, customer_name, created_at FROM operations.customers) AS c";
    assert_eq!(ask(sum), filled().execute(sum).unwrap(), "the same on any machine");
}

#[test]
fn messages_are_json_with_the_names_of_their_events() {
    let cluster = PgCluster::start_default().unwrap();
    cluster.execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)").unwrap();
    let project = Project::with_source(&cluster.url(), "tables: [\"public.*\"]");
    let mut command = project.command(&["up"]);
    command.envs([("MILLSTREAM_LOG_FORMAT", "json"), ("MILLSTREAM__SERVE__HTTP", "127.0.0.1:0")]);
    let mut process = Process::spawn(command).unwrap();
    project.await_streaming(&mut process);
    let line = process.wait_for_line("http_listening", PRINTED_WAIT_MAX).unwrap();
    let address = line.split("http://").nth(1).unwrap().split('/').next().unwrap().to_owned();
    assert_eq!(get(&address, "/nowhere").status, 404);
    process.wait_for_line("\"request\"", PRINTED_WAIT_MAX).unwrap();
    let output = project.run(&["--log-format", "json", "sql", "SELECT wrong"]);
    let said: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!((said["event"].as_str(), said["code"].as_str()), (Some("failure"), Some("MS5302")), "{said}");
    process.signal(libc::SIGTERM).unwrap();
    process.wait(PRINTED_WAIT_MAX).unwrap();
    let lines: Vec<Value> = process
        .stderr()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    for event in
        ["starting", "source_created", "progress", "streaming", "http_listening", "request", "stopped"]
    {
        let line = lines.iter().find(|line| line["event"] == event);
        let line = line.unwrap_or_else(|| panic!("{event} in {lines:#?}"));
        assert!(line["timestamp"].is_string() && line["level"] == "INFO", "{line}");
    }
    let request = lines.iter().find(|line| line["event"] == "request").unwrap();
    assert_eq!((&request["path"], &request["status"]), (&"/nowhere".into(), &404.into()), "{request}");
}

#[test]
fn rules_and_dashboards_ask_for_metrics_that_are_there() {
    let finance = Finance::start();
    // What was never asked for is not counted.
    assert_eq!(get(&finance.address, "/orders/top").status, 200);
    let metrics = get(&finance.address, "/metrics").body;
    promtool(&["check", "metrics"], &checkout(), &metrics);
    let prometheus = checkout().join("ops/prometheus");
    promtool(&["check", "rules", "millstream.rules.yml"], &prometheus, "");
    promtool(&["test", "rules", "millstream.rules.test.yml"], &prometheus, "");

    let read = |path: &str| fs::read_to_string(checkout().join("ops").join(path)).unwrap();
    let mut asked = Vec::new();
    expressions(&serde_json::from_str(&read("grafana/millstream.json")).unwrap(), &mut asked);
    assert!(asked.len() > 20, "{asked:?}");
    // What a dashboard fills in is nothing that Prometheus reads.
    let filled =
        |expression: &String| expression.replace("$__rate_interval", "1m").replace("$instance", ".*");
    let rules: Vec<Value> =
        asked.iter().map(filled).map(|expr| serde_json::json!({"record": "asked", "expr": expr})).collect();
    let document = serde_json::json!({"groups": [{"name": "asked", "rules": rules}]});
    let file = finance.project.directory().join("asked.yml");
    fs::write(&file, document.to_string()).unwrap();
    promtool(&["check", "rules", "--lint=none", "asked.yml"], finance.project.directory(), "");

    asked.push(
        read("prometheus/millstream.rules.yml").lines().filter(|line| !line.contains("alert:")).collect(),
    );
    for name in
        asked.iter().flat_map(|expression| metrics_of(expression)).filter(|name| *name != "millstream_rules")
    {
        let known = metrics
            .lines()
            .any(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
        assert!(known, "{name} in\n{metrics}");
    }
    stop(finance.process);
}

#[test]
fn the_description_says_what_the_server_does() {
    let finance = Finance::start();
    let output = Command::new(fetched("clients/python/bin/schemathesis"))
        .current_dir(finance.project.directory())
        .args(["run", &format!("http://{}/openapi.json", finance.address)])
        .args([
            "--checks",
            "all",
            "--phases",
            "examples,coverage,fuzzing",
            "--max-examples",
            EXAMPLES,
            "--seed",
            "1",
        ])
        .args(["--continue-on-failure", "--no-color"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    // It passes as well where it has found nothing to ask.
    let paths = get(&finance.address, "/openapi.json").json()["paths"].as_object().unwrap().len();
    assert!(said.contains(&format!("{paths} selected / {paths} total")), "{said}");
    stop(finance.process);
}

/// Requests made up for each operation, beside those for every bound of its parameters.
const EXAMPLES: &str = "5";
