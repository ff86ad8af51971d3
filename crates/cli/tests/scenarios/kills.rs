//! A random workload while the program is killed at every step that it knows and at moments that nobody chose; then everything is compared:
//! the tables with the source, twenty positions with what the witnesses recorded, and what a reader saw on the way.
//!
//! `MILLSTREAM_SEED` repeats a run's choices (the seed is printed; how the processes interleave it does not decide).
//! `MILLSTREAM_SOAK=1` is the full size: `make soak`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};
use std::{env, fs};

use millstream_testkit::workload::{self, Random, Workload, WorkloadOptions};
use millstream_testkit::{compare, ended_by, Oracle, PgCluster};

use crate::control;
use crate::project::{stop, Project};
use crate::reader::Reader;
use crate::record::{compare_events, compare_record, lsn, uncertain};

/// Fail points of the first snapshot, in the order in which it passes them, and how often each can be passed before it counts.
const SNAPSHOT_POINTS: &[(&str, u64)] = &[
    ("source::slot_created", 0),
    ("source::snapshot_chunk", 6),
    ("log::base_chunk_finish", 6),
    ("source::snapshot_done", 0),
];

/// Fail points of the stream, likewise.
const STREAM_POINTS: &[(&str, u64)] = &[
    ("source::received", 20),
    ("source::before_ack", 5),
    ("log::append", 60),
    ("log::before_fsync", 8),
    ("log::after_fsync", 8),
    ("log::segment_roll", 2),
    ("log::spool_commit", 2),
    ("apply::before_commit", 4),
    ("apply::after_commit", 4),
    ("warehouse::before_progress", 4),
    ("warehouse::before_commit", 4),
    ("warehouse::after_commit", 4),
];

/// Small segments and spools, in bytes, so that a test passes what takes gigabytes in life.
const SMALL: &str =
    "log::segment_bytes=return(262144);log::transaction_bytes=return(65536);source::chunk_pages=return(8)";

/// Writers: so many that several transactions are open at any moment, on a machine of two processors too.
const WRITERS: u64 = 8;

/// Positions at which everything is compared.
const POSITIONS: usize = 20;

/// The table whose columns change, also while the program is dead, so that much of its history may be declared uncertain: it is compared at so many
/// positions at which it is not, for otherwise nothing of it would be tested.
const DOUBTFUL: &str = "shop.evolving";
const CERTAIN_LEAST: usize = 5;

/// Where a program dies that no fail point ends.
const AT_RANDOM: &str = "at random";

/// How long a fail point may take to be reached before that is an error.
const REACH_WAIT_MAX: Duration = Duration::from_secs(120);

/// Longest life of a program that is killed at random.
const LIFE_MS_MAX: u64 = 2_500;

/// The seed of the usual size; the full size takes another one each time.
const SEED: u64 = 5;

fn is_soak() -> bool {
    env::var_os("MILLSTREAM_SOAK").is_some()
}

struct Size {
    kills_per_point: usize,
    random_kills: usize,
    /// Longest wait of a writer between two transactions.
    pause_max: Duration,
}

fn size() -> Size {
    if is_soak() {
        Size { kills_per_point: 3, random_kills: 50, pause_max: Duration::from_millis(1500) }
    } else {
        Size { kills_per_point: 1, random_kills: 10, pause_max: Duration::from_millis(800) }
    }
}

fn seed() -> u64 {
    match env::var("MILLSTREAM_SEED") {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("MILLSTREAM_SEED is no number: {text}")),
        Err(_) if is_soak() => {
            std::time::UNIX_EPOCH.elapsed().map_or(1, |time| u64::from(time.subsec_nanos()))
        }
        Err(_) => SEED,
    }
}

#[test]
fn kills_at_every_step_lose_nothing_double_nothing_and_show_nothing_by_halves() {
    let (size, seed) = (size(), seed());
    println!("MILLSTREAM_SEED={seed}");
    let mut random = Random::new(seed);
    let mut killed: BTreeMap<&str, usize> = BTreeMap::new();
    let cluster = PgCluster::builder()
        // So that nearly every transaction of some size is streamed before it ends.
        .setting("logical_decoding_work_mem", "64kB")
        .setting("full_page_writes", "off")
        .start()
        .unwrap();
    workload::install(&cluster).unwrap();
    let tables = cluster.execute(workload::PUBLISHED).unwrap();
    cluster
        .execute(&format!(
            "CREATE PUBLICATION scenario FOR TABLE {tables} WITH (publish_via_partition_root = true)"
        ))
        .unwrap();
    let source = "publication: scenario\ntables: [\"shop.*\", \"!shop.readings_*\"]";
    let project = Project::with_source(&cluster.url(), source);
    let options = WorkloadOptions {
        seed,
        writers: WRITERS,
        transactions_max: u64::MAX,
        pause_max: size.pause_max,
        column_changes: true,
    };
    let workload = Workload::start(&cluster, &options).unwrap();

    let started = Instant::now();
    for round in 0..size.kills_per_point {
        if round > 0 {
            // The slot is created once in a project's life, and what was copied is not copied again.
            project.start_over(&cluster);
        }
        for (point, passed_max) in SNAPSHOT_POINTS {
            kill_at(&project, point, random.below(passed_max + 1));
            *killed.entry(point).or_default() += 1;
        }
    }
    // The first life that gets through the snapshot; from here on there is history.
    let mut process = project.up(SMALL);
    project.await_streaming(&mut process);
    let begun = lsn(&cluster.execute("SELECT pg_current_wal_insert_lsn()").unwrap());
    let since = histories(&project);
    // Tables fill chunk by chunk while they are loaded first, and those whose copy a kill made start again were copied later than the
    // others: they meet where the stream has passed the last copy. From then on a reader must see whole transactions.
    project.catch_up();
    let reader = Reader::start(project.data());
    process.kill().unwrap();
    println!("{:?}: snapshot survived", started.elapsed());

    let mut kills: Vec<Option<(&str, u64)>> = vec![None; size.random_kills];
    for point in STREAM_POINTS {
        kills.extend(vec![Some(*point); size.kills_per_point]);
    }
    for left in (1..kills.len()).rev() {
        kills.swap(left, usize::try_from(random.below(left as u64 + 1)).unwrap());
    }
    for (number, kill) in kills.into_iter().enumerate() {
        if number > 0 && number % 20 == 0 {
            println!("{:?}: {number} lives", started.elapsed());
        }
        match kill {
            Some((point, passed_max)) => kill_at(&project, point, random.below(passed_max + 1)),
            None => kill_after(&project, Duration::from_millis(1 + random.below(LIFE_MS_MAX))),
        }
        *killed.entry(kill.map_or(AT_RANDOM, |(point, _)| point)).or_default() += 1;
    }
    println!("{:?}: stream survived", started.elapsed());
    for (point, _) in SNAPSHOT_POINTS.iter().chain(STREAM_POINTS) {
        assert_eq!(killed.get(point), Some(&size.kills_per_point), "kills at {point}");
    }
    assert_eq!(killed.get(AT_RANDOM), Some(&size.random_kills), "kills at random");

    let transactions = workload.transactions();
    let refusals = workload.stop().unwrap();
    project.catch_up();
    println!("{:?}: caught up with {transactions} transactions; refused: {refusals:?}", started.elapsed());
    let mut process = project.up(SMALL);
    project.await_streaming(&mut process);
    assert_eq!(histories(&project), since, "history does not begin where it began");
    project.verify();
    let seen = reader.stop();
    assert!(seen.torn.is_empty(), "half transactions were seen: {:#?}", seen.torn);
    assert!(seen.answers > 100, "the reader was answered {} times only", seen.answers);

    let oracle = Oracle::read(&cluster).unwrap();
    check_workload(&cluster, &oracle);
    let uncertain = compare_positions(&oracle, &project, begun, &mut random);
    println!("said to be uncertain: {uncertain:?}");
    compare_events(&oracle, &project, begun, |_| true);
    stop(process);
    println!("{:?}: done; the reader was answered {} times", started.elapsed(), seen.answers);
}

/// Since when each table has its history.
fn histories(project: &Project) -> BTreeMap<String, String> {
    let status = control::status(&project.data()).unwrap();
    let tables = status["tables"].as_array().unwrap().iter();
    tables.map(|table| (table["name"].to_string(), table["history_since"].to_string())).collect()
}

/// Lets the program run until it has passed the point so often, and dies at it.
#[track_caller]
fn kill_at(project: &Project, point: &str, passed: u64) {
    let mut process = project.up(&format!("{SMALL};{point}={passed}*off->panic"));
    let status = process.wait(REACH_WAIT_MAX).unwrap_or_else(|error| {
        let status = control::status(&project.data()).unwrap_or_default();
        panic!("{point} was not reached\n{status:#}\n{error}")
    });
    assert!(ended_by(status, libc::SIGKILL), "{point}: {status}\n{}", process.tail());
    // Its last words, so that no other end is taken for this one.
    assert!(process.stderr().contains(&format!("failpoint {point} panic")), "{point}\n{}", process.tail());
}

/// Lets the program live for so long.
#[track_caller]
fn kill_after(project: &Project, life: Duration) {
    let mut process = project.up(SMALL);
    assert!(process.wait(life).is_err(), "it ended by itself\n{}", process.tail());
    process.kill().unwrap();
}

/// Compares every table at random positions since history began, and at the end. Returns where the program said that it is not certain.
fn compare_positions(oracle: &Oracle, project: &Project, begun: u64, random: &mut Random) -> Vec<String> {
    let first = oracle.behind(begun);
    let commits = first..oracle.commits().len();
    let mut chosen: Vec<usize> = (1..POSITIONS)
        .map(|_| commits.start + usize::try_from(random.below(commits.len() as u64)).unwrap())
        .collect();
    chosen.push(oracle.commits().len() - 1);
    let mut compared = compare_record(oracle, project, &chosen, |_| true, DOUBTFUL);
    let mut certain = chosen.len() - compared.uncertain.len();
    if certain < CERTAIN_LEAST {
        // Nearly all of it, where the machine was busy: those that are left are taken then.
        let stretches = &uncertain(project)[DOUBTFUL];
        let is_certain = |commit: &usize| {
            let at = lsn(&oracle.commits()[*commit].position());
            !stretches.iter().any(|(from, to)| (*from..*to).contains(&at))
        };
        let mut left: Vec<usize> = commits.filter(is_certain).collect();
        while left.len() > CERTAIN_LEAST {
            left.swap_remove(usize::try_from(random.below(left.len() as u64)).unwrap());
        }
        let more = compare_record(oracle, project, &left, |table| table == DOUBTFUL, DOUBTFUL);
        certain = left.len() - more.uncertain.len();
        compared.differences.extend(more.differences);
    }
    assert!(certain >= CERTAIN_LEAST, "compared at {certain} positions only: {:?}", compared.uncertain);
    let mut differences = compared.differences;
    for (name, table) in &oracle.last().unwrap() {
        if let Err(error) = compare(table, &table.columns, &project.sql(&format!("SELECT * FROM {name}"))) {
            differences.insert(format!("{name} now"), error.to_string());
        }
    }
    assert!(differences.is_empty(), "{} differences:\n{differences:#?}", differences.len());
    compared.uncertain
}

/// The workload must hold what it is for.
fn check_workload(cluster: &PgCluster, oracle: &Oracle) {
    let all = oracle.events(0);
    for (table, events) in &all {
        for event in ['I', 'U', 'D'] {
            assert!(events.contains_key(&event), "no `{event}` of {table} in {events:?}");
        }
    }
    let streamed = "SELECT sum(stream_txns) FROM pg_stat_replication_slots WHERE slot_name <> 'oracle'";
    assert_ne!(cluster.execute(streamed).unwrap(), "0", "no transaction was streamed before it ended");
    if is_soak() {
        assert!(all.values().any(|events| events.contains_key(&'T')), "nothing was truncated");
        assert!(all["shop.evolving"][&'C'] > 1, "no column changed");
    }
}

/// The points at which the program can be killed are those that it has.
#[test]
fn every_fail_point_of_the_program_is_killed_at() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut found = BTreeSet::new();
    for room in ["source", "log", "apply", "warehouse", "cli"] {
        let mut directories = vec![crates.join(room).join("src")];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    directories.push(path);
                    continue;
                }
                let text = fs::read_to_string(&path).unwrap();
                // One with a closure sets a size or makes a call fail; it is no step.
                let points = text.split("fail_point!(\"").skip(1).filter_map(|rest| rest.split_once("\")"));
                found.extend(points.map(|(name, _)| name.to_owned()).filter(|name| !name.contains('"')));
            }
        }
    }
    let named: BTreeSet<String> =
        SNAPSHOT_POINTS.iter().chain(STREAM_POINTS).map(|(point, _)| (*point).to_owned()).collect();
    // Values of a size that this workload has none of; the scenario `quarantine` kills there.
    let elsewhere = BTreeSet::from(["apply::value_file".to_owned()]);
    assert_eq!(&found - &elsewhere, named);
}
