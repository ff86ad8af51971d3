//! A random workload of kinds: every type that is promised with values that software gets wrong, identities that change, partitions, tables
//! without a key, columns by the hundred, and columns that change in every way. Nothing is killed; `kills` does that with a simpler one.
//!
//! `MILLSTREAM_SEED` repeats a run's choices.

use std::collections::BTreeMap;
use std::env;
use std::time::{Duration, Instant};

use millstream_testkit::workload::{self, Random, Workload, WorkloadOptions};
use millstream_testkit::{compare, wait_until, Oracle, PgCluster};

use crate::control;
use crate::project::{stop, Project};
use crate::record::{compare_events, compare_record, lsn};

/// Writers of rows, beside the one that changes tables.
const WRITERS: u64 = 6;

/// Transactions of each.
const TRANSACTIONS: u64 = 65;

/// Positions at which everything is compared.
const POSITIONS: usize = 5;

/// What no event tells of its rows becomes versions when they are read again, not at the position where it happened.
const READ_AGAIN: &str = "shop.reshaped";

/// Tables read again one after the other, each with a snapshot of its own.
const LIVE_WAIT_MAX: Duration = Duration::from_secs(90);

/// The seed, unless chosen.
const SEED: u64 = 11;

#[test]
fn every_type_and_every_change_of_a_table_arrives_as_it_is() {
    let seed = env::var("MILLSTREAM_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(SEED);
    println!("MILLSTREAM_SEED={seed}");
    let started = Instant::now();
    let cluster = PgCluster::builder()
        .setting("logical_decoding_work_mem", "64kB")
        .setting("full_page_writes", "off")
        .start()
        .unwrap();
    workload::install_variety(&cluster).unwrap();
    let tables = cluster.execute(workload::PUBLISHED).unwrap();
    cluster
        .execute(&format!(
            "CREATE PUBLICATION scenario FOR TABLE {tables} WITH (publish_via_partition_root = true)"
        ))
        .unwrap();
    let source = "publication: scenario\ntables: [\"shop.*\", \"!shop.parts_*\"]";
    let project = Project::with_source(&cluster.url(), source);
    let mut process = project.up("");
    project.await_streaming(&mut process);
    project.catch_up();
    let begun = lsn(&cluster.execute("SELECT pg_current_wal_insert_lsn()").unwrap());

    let typed = types(&project, "everything");

    let options = WorkloadOptions {
        seed,
        writers: WRITERS,
        transactions_max: TRANSACTIONS,
        pause_max: Duration::from_millis(40),
        column_changes: true,
    };
    let refusals = Workload::start_variety(&cluster, &options).unwrap().finish().unwrap();
    println!("{:?}: written; refused: {refusals:?}", started.elapsed());
    project.catch_up();
    await_live(&project);
    println!("{:?}: caught up", started.elapsed());
    project.verify();

    let oracle = Oracle::read(&cluster).unwrap();
    println!("{:?}: {} transactions", started.elapsed(), oracle.commits().len());
    let mut random = Random::new(seed);
    let positions = oracle.behind(begun)..oracle.commits().len();
    assert!(positions.len() > 150, "only {} transactions changed anything", positions.len());
    let mut chosen: Vec<usize> = (1..POSITIONS)
        .map(|_| positions.start + usize::try_from(random.below(positions.len() as u64)).unwrap())
        .collect();
    chosen.push(positions.end - 1);
    let mut differences =
        compare_record(&oracle, &project, &chosen, |table| table != READ_AGAIN, READ_AGAIN).differences;
    for (name, table) in &oracle.last().unwrap() {
        if let Err(error) = compare(table, &table.columns, &project.sql(&format!("SELECT * FROM {name}"))) {
            differences.insert(format!("{name} now"), error.to_string());
        }
    }
    assert!(differences.is_empty(), "{} differences:\n{differences:#?}", differences.len());
    compare_events(&oracle, &project, begun, |table| table != READ_AGAIN);
    assert_eq!(types(&project, "everything"), typed, "a column changed that holds all of its values");
    let widened = types(&project, "widening").matches("VARCHAR").count();
    assert!(widened > 2, "only {widened} columns were widened: {}", types(&project, "widening"));
    stop(process);
    println!("{:?}: done", started.elapsed());
}

/// Waits until no table is still to be read again.
fn await_live(project: &Project) {
    let phases = || {
        let status = control::status(&project.data()).unwrap();
        let tables = status["tables"].as_array().unwrap().clone();
        let phase = |table: &serde_json::Value| (table["name"].to_string(), table["state"].to_string());
        tables.iter().map(phase).collect::<BTreeMap<_, _>>()
    };
    wait_until("every table to be live", LIVE_WAIT_MAX, || {
        phases().values().all(|phase| phase == "\"live\"").then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}: {:#?}", phases()));
}

/// The columns of a view, with their types.
fn types(project: &Project, table: &str) -> String {
    project.sql(&format!(
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = 'shop' AND table_name = '{table}' ORDER BY 1"
    ))
}
