//! Ctrl-C while models are built: what runs in the warehouse ends with it, what was done stays and is told. The status is dbt's behind
//! `millstream dbt`, and the program's own otherwise.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{postgres::Twins, Pair};

/// How long anything may take here. dbt itself needs some seconds to begin.
const TIME_MAX: Duration = Duration::from_secs(60);

fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < TIME_MAX, "not so within {TIME_MAX:?}: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn start(mut command: Command, log: &Path) -> Child {
    let file = fs::File::create(log).unwrap();
    command.stdout(Stdio::from(file.try_clone().unwrap())).stderr(Stdio::from(file));
    // SAFETY: one call that is async-signal-safe. Whoever runs the tests may have Ctrl-C ignored, which children keep.
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGINT, libc::SIG_DFL);
            Ok(())
        });
    }
    command.spawn().unwrap()
}

/// Interrupts a child, and waits for its end: its status and what it has told.
fn interrupt(mut child: Child, signal: i32, log: &Path) -> (Option<i32>, String) {
    // SAFETY: no memory is touched; the child was not waited for, so its pid is nobody else's.
    assert_eq!(unsafe { libc::kill(i32::try_from(child.id()).unwrap(), signal) }, 0);
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begun.elapsed() > TIME_MAX {
            let _ = child.kill();
            panic!("not ended within {TIME_MAX:?}: {}", fs::read_to_string(log).unwrap());
        }
        thread::sleep(Duration::from_millis(20));
    };
    (status.code(), fs::read_to_string(log).unwrap())
}

fn results(dir: &Path) -> Vec<(String, String)> {
    let text = fs::read_to_string(dir.join("target/run_results.json")).unwrap();
    let results: Value = serde_json::from_str(&text).unwrap();
    let of = |result: &Value, key: &str| result[key].as_str().unwrap().to_owned();
    let results = results["results"].as_array().unwrap().iter();
    let mut all: Vec<_> = results.map(|result| (of(result, "unique_id"), of(result, "status"))).collect();
    all.sort();
    all
}

/// What is told of nodes that were cut short, without times of day, colors and how long it took.
fn cancelled(told: &str) -> Vec<&str> {
    let mut names: Vec<&str> =
        told.lines().filter_map(|line| line.split_once("CANCEL query ")?.1.split(' ').next()).collect();
    names.sort_unstable();
    names
}

/// By the program's own verb.
fn own(pair: &Pair, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millstream"));
    command.args(arguments).current_dir(pair.at("ours"));
    command
}

fn models(pair: &Pair, sleeping: &str) {
    pair.write("models/quick.sql", "{{ config(materialized='table') }} select 1 as a");
    pair.write(
        "models/slow.sql",
        &format!(
            "{{{{ config(materialized='table') }}}} select a, {sleeping} as b from {{{{ ref('quick') }}}}"
        ),
    );
    pair.write("models/behind.sql", "select * from {{ ref('slow') }}");
}

const RUN: [&str; 4] = ["run", "--select", "quick+", "--no-use-colors"];

#[test]
fn ctrl_c_ends_what_runs_in_postgresql() {
    let twins = Twins::new("shop", "bakery");
    models(&twins.pair, "{{ var('wait', '(select pg_sleep(600)::text)') }}");
    let hook = "on-run-end: ['create table {{ target.schema }}.ended as select 1 as a']\n";
    let project = fs::read_to_string(twins.pair.at("ours").join("dbt_project.yml")).unwrap();
    twins.write("dbt_project.yml", &format!("{project}\n{hook}"));
    let sleeping = |database: &str| {
        let sql = format!(
            "select count(*) from pg_stat_activity where datname = '{database}' and state = 'active' and query like '%pg_sleep(600)%'"
        );
        twins.cluster.execute(&sql).unwrap().trim().to_owned()
    };
    let mut ended = Vec::new();
    for (side, database, signal) in
        [("theirs", "db_theirs", libc::SIGINT), ("ours", "db_ours__", libc::SIGINT)]
    {
        let log = twins.pair.at(side).join("told");
        let command = match side {
            "ours" => twins.pair.our_command(&RUN),
            _ => twins.pair.their_command(&RUN),
        };
        let child = start(command, &log);
        until("the model sleeps", || sleeping(database) == "1");
        let (status, told) = interrupt(child, signal, &log);
        until("nothing sleeps any more", || sleeping(database) == "0");
        assert!(told.contains("Exited because of keyboard interrupt"), "{told}");
        assert!(told.contains("ERROR creating sql table model dev.slow"), "{told}");
        let names: Vec<String> = cancelled(&told).into_iter().map(str::to_owned).collect();
        ended.push((status, names));
    }
    let [(their_status, theirs), (our_status, ours)] = ended.try_into().unwrap();
    assert_eq!((our_status, our_status), (their_status, Some(2)));
    // dbt names what its other connections have done before, too.
    assert_eq!(ours, ["model.bakery.slow"]);
    assert!(theirs.contains(&ours[0]), "{theirs:?}");
    assert_eq!(twins.tables("ours"), twins.tables("theirs"));
    let theirs = results(&twins.pair.at("theirs"));
    let ours = results(&twins.pair.at("ours"));
    assert!(theirs.iter().all(|result| ours.contains(result)), "{theirs:?} {ours:?}");
    // What was cut short and what was not begun is told too, so that it can be done again.
    let status = |name: &str| {
        let id = format!("model.bakery.{name}");
        ours.iter().find(|(of, _)| *of == id).map(|(_, status)| status.as_str())
    };
    assert_eq!(["quick", "slow", "behind"].map(status), ["success", "error", "skipped"].map(Some));
    let again = twins.pair.ours(&["retry", "--vars", "{wait: '1'}"]);
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stdout));
    assert_eq!(results(&twins.pair.at("ours")).len(), 2);
}

#[test]
fn sigterm_ends_what_runs_in_duckdb_and_leaves_what_was_there() {
    let pair = Pair::new("shop", "bakery.duckdb");
    models(
        &pair,
        "{{ var('wait', '(select count(*) from range(1000000000000) as r(i) where hash(i) = 7)') }}",
    );
    let first = pair.ours(&[&RUN[..], &["--vars", "{wait: '1'}"]].concat());
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stdout));
    let log = pair.at("ours").join("told");
    let child = start(own(&pair, &RUN), &log);
    until("the model is built", || {
        fs::read_to_string(&log).unwrap().contains("START sql table model main.slow")
    });
    // Until its statement has begun, there is nothing to interrupt; then what is not begun is not.
    thread::sleep(Duration::from_millis(300));
    let (status, told) = interrupt(child, libc::SIGTERM, &log);
    assert_eq!(status, Some(1), "{told}");
    assert_eq!(cancelled(&told), ["model.bakery.slow"], "{told}");
    assert_eq!(pair.ask("select a, b from main.behind"), "[(1, 1)]");
}

#[test]
fn ctrl_c_ends_a_query_that_is_shown() {
    let pair = Pair::new("shop", "bakery.duckdb");
    let log = pair.at("ours").join("told");
    let sql = "select count(*) from range(1000000000000) as r(i) where hash(i) = 7";
    let child = start(own(&pair, &["show", "--inline", sql]), &log);
    thread::sleep(Duration::from_secs(2));
    let (status, told) = interrupt(child, libc::SIGINT, &log);
    assert_eq!(status, Some(130), "{told}");
    assert!(told.contains("Exited because of keyboard interrupt"), "{told}");
}

/// What is told of a run at its end, and of the failure that ended it: lines without times of day and how long anything took.
fn summed(told: &str) -> Vec<String> {
    let lines = told.lines().filter_map(|line| Some(line.split_once("  ")?.1));
    let is_about = |line: &&str| {
        ["Completed with", "Done. PASS", "Failure in", "Error in"].iter().any(|begin| line.starts_with(begin))
    };
    // dbt calls an error a failure there.
    lines.filter(is_about).map(|line| line.replace("Error in", "Failure in")).collect()
}

fn failing(pair: &Pair, sleeping: &str, fails: &str) {
    let models = [
        ("slow", format!("select {sleeping} as a")),
        ("behind", "select a from {{ ref('slow') }}".to_owned()),
        ("wrong", format!("select {fails} as a")),
        ("after", "select a from {{ ref('wrong') }}".to_owned()),
        ("quick", "select 1 as a".to_owned()),
    ];
    for (name, sql) in models {
        pair.write(&format!("models/{name}.sql"), &format!("{{{{ config(materialized='table') }}}} {sql}"));
    }
    pair.write(
        "models/shown.yml",
        "exposures:\n\
         \x20 - {name: shown, type: dashboard, owner: {name: a}, depends_on: [ref('behind')]}\n\
         \x20 - {name: seen, type: dashboard, owner: {name: a}, depends_on: [ref('quick')]}\n",
    );
}

const BUILD: [&str; 9] = [
    "build",
    "--select",
    "slow+ wrong+ quick+",
    "--fail-fast",
    "--threads",
    "4",
    "--no-use-colors",
    "--vars",
    "{}",
];

/// Each node with its status, and why it was skipped.
fn reasons(dir: &Path) -> Vec<(String, String, Value)> {
    let text = fs::read_to_string(dir.join("target/run_results.json")).unwrap();
    let results: Value = serde_json::from_str(&text).unwrap();
    let of = |result: &Value| {
        let [id, status] = ["unique_id", "status"].map(|key| result[key].as_str().unwrap().to_owned());
        let why = if status == "skipped" { result["message"].clone() } else { Value::Null };
        (id, status, why)
    };
    let mut all: Vec<_> = results["results"].as_array().unwrap().iter().map(of).collect();
    all.sort_by(|left, right| left.0.cmp(&right.0));
    all
}

/// Does it, within the time that anything may take, though something sleeps for ten minutes in it.
fn within_time(mut command: Command) -> (Option<i32>, String) {
    let begun = Instant::now();
    let output = command.output().unwrap();
    assert!(begun.elapsed() < TIME_MAX, "it took {:?}", begun.elapsed());
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn the_first_failure_ends_what_runs_in_postgresql_where_that_is_asked_for() {
    let twins = Twins::new("shop", "bakery");
    failing(
        &twins.pair,
        "(select pg_sleep(600)::text)",
        "(select 1 / count(*) from pg_sleep(2) as s where s::text = 'a')",
    );
    let (their_status, theirs) = within_time(twins.pair.their_command(&BUILD));
    let (our_status, ours) = within_time(twins.pair.our_command(&BUILD));
    let told = format!("dbt:\n{theirs}\nours:\n{ours}");
    assert_eq!((our_status, our_status), (their_status, Some(1)), "{told}");
    assert_eq!(reasons(&twins.pair.at("ours")), reasons(&twins.pair.at("theirs")), "{told}");
    assert_eq!(summed(&ours), summed(&theirs), "{told}");
    assert_eq!(cancelled(&ours), ["model.bakery.slow"], "{told}");
    assert!(cancelled(&theirs).contains(&"model.bakery.slow"), "{told}");
    assert_eq!(twins.tables("ours"), twins.tables("theirs"));
    let sleeping = "select count(*) from pg_stat_activity where state = 'active' and query like '%pg_sleep(600)%' and pid <> pg_backend_pid()";
    assert_eq!(twins.cluster.execute(sleeping).unwrap().trim(), "0");
}

#[test]
fn the_first_failure_ends_what_runs_in_duckdb_and_what_was_there_stays() {
    let pair = Pair::new("shop", "bakery.duckdb");
    let forever = "(select count(*) from range({{ var('rows', 1000000000000) }}) as r(i) where hash(i) = 7)";
    let fails = "(select error('no') from (select count(*) as n from range(300000000) as r(i) where hash(i) = 7) as s where s.n >= {{ var('most', 0) }})";
    failing(&pair, forever, fails);
    let first = pair.ours(&["build", "--select", "slow+ wrong+ quick+", "--vars", "{rows: 1, most: 9}"]);
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stdout));
    let (status, told) = within_time(pair.our_command(&BUILD));
    assert_eq!(status, Some(1), "{told}");
    assert_eq!(cancelled(&told), ["model.bakery.slow"], "{told}");
    assert_eq!(pair.ask("select a from main.behind"), "[(0,)]");
    let skipped: Vec<_> =
        reasons(&pair.at("ours")).into_iter().filter(|(_, status, _)| status == "skipped").collect();
    assert!(
        skipped.len() == 4 && skipped.iter().all(|(.., why)| why == "Skipping due to fail_fast"),
        "{skipped:?}\n{told}"
    );
    // It goes on from there.
    let again = pair.ours(&["retry", "--vars", "{rows: 1, most: 9}"]);
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stdout));
}
