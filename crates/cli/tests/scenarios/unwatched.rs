//! Columns that change, again and again, while the program is down: what history says of them is exact, or the program says where it is not.

use std::env;
use std::thread;
use std::time::Duration;

use millstream_testkit::workload::{self, Random, Workload, WorkloadOptions};
use millstream_testkit::{wait_until, Json, Oracle, PgCluster};

use crate::control;
use crate::live::Live;
use crate::project::{stop, Project};
use crate::record::{compare_record, lsn, uncertain};

/// Lives of the program.
const LIVES: u64 = 12;

/// Positions at which the table is compared, about.
const POSITIONS: usize = 120;

/// A small table read again, its wait for a snapshot included.
const LIVE_WAIT_MAX: Duration = Duration::from_secs(60);

/// The seed, unless chosen.
const SEED: u64 = 5;

const TABLE: &str = "shop.evolving";

#[test]
fn columns_that_change_while_nobody_watches_are_exact_or_said_not_to_be() {
    let seed = env::var("MILLSTREAM_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(SEED);
    println!("MILLSTREAM_SEED={seed}");
    let mut random = Random::new(seed);
    let cluster = PgCluster::builder().setting("logical_decoding_work_mem", "64kB").start().unwrap();
    workload::install(&cluster).unwrap();
    let project = Project::with_source(&cluster.url(), &format!("tables: [\"{TABLE}\"]"));
    let mut process = project.up("");
    project.await_streaming(&mut process);
    let begun = lsn(&cluster.execute("SELECT pg_current_wal_insert_lsn()").unwrap());
    let options = WorkloadOptions {
        seed,
        writers: 2,
        transactions_max: u64::MAX,
        pause_max: Duration::from_millis(60),
        column_changes: true,
    };
    let workload = Workload::start(&cluster, &options).unwrap();
    for _ in 0..LIVES {
        // Some lives are long enough for the table to be read again, others are not.
        thread::sleep(Duration::from_millis(100 + random.below(3000)));
        process.kill().unwrap();
        thread::sleep(Duration::from_millis(100 + random.below(1000)));
        process = project.up("");
    }
    workload.stop().unwrap();
    project.await_streaming(&mut process);
    await_live(&project);
    project.verify();

    let oracle = Oracle::read(&cluster).unwrap();
    let first = oracle.behind(begun);
    let step = ((oracle.commits().len() - first) / POSITIONS).max(1);
    let chosen: Vec<usize> = (first..oracle.commits().len()).step_by(step).collect();
    let compared = compare_record(&oracle, &project, &chosen, |table| table == TABLE, TABLE);
    let stretches = &uncertain(&project)[TABLE];
    let (left_out, all) = (compared.uncertain.len(), chosen.len());
    println!("{} stretches, {left_out} of {all} positions in them", stretches.len());
    assert!(!stretches.is_empty(), "so many changes out of sight can't all be told");
    assert!(left_out < all, "nothing was compared");
    assert!(stretches.iter().all(|(_, to)| *to < u64::MAX), "the table was read again: {stretches:?}");
    let differences = compared.differences;
    assert!(differences.is_empty(), "{} of {all} differ:\n{differences:#?}", differences.len());
    stop(process);
}

/// what older rows hold in a column is in the catalogue for as long as the column is.
#[test]
fn a_column_that_came_and_went_while_nobody_watched_is_said_to_be_uncertain() {
    let mut live = Live::start(
        "CREATE TABLE parts (id int PRIMARY KEY, note text); CREATE TABLE others (id int PRIMARY KEY); INSERT INTO parts VALUES (1, 'one');",
    );
    let before = position(&live);
    live.change("INSERT INTO parts VALUES (2, 'two')");
    live.kill();
    live.write(
        "ALTER TABLE parts ADD x text NOT NULL DEFAULT 'd'; INSERT INTO parts VALUES (3, 'three', 'e')",
    );
    let within = position(&live);
    live.write("ALTER TABLE parts DROP x; INSERT INTO parts VALUES (4, 'four')");
    live.start_again();
    live.project.catch_up();
    await_live(&live.project);
    live.change("INSERT INTO parts VALUES (5, 'five')");
    let after = position(&live);

    let stretches = uncertain(&live.project);
    let [(from, to)] = stretches["shop.parts"][..] else { panic!("{stretches:?}") };
    assert!(
        lsn(&before) < from && from <= lsn(&within) && lsn(&within) < to && to <= lsn(&after),
        "{stretches:?}"
    );
    assert_eq!(stretches["shop.others"], []);
    let shown = live.project.succeed(&["status"]);
    assert!(shown.contains("history is not certain from"), "{shown}");

    let warnings = |query: &str, as_of: &str| {
        let output = live.project.run(&["--quiet", "sql", query, "--as-of", as_of]);
        assert!(output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let said = warnings("SELECT * FROM parts", &within);
    assert!(said.contains("the history of shop.parts is not certain") && said.contains("`x`"), "{said}");
    for (query, as_of) in [
        ("SELECT * FROM shop.parts", &before),
        ("SELECT * FROM shop.parts", &after),
        ("SELECT * FROM shop.others", &within),
    ] {
        assert_eq!(warnings(query, as_of), "", "{query} as of {as_of}");
    }
    live.finish();
}

/// A column that lives was in every message since it was known, so a message that lists one column can't be from behind the other's coming.
#[test]
fn what_the_order_of_columns_tells_is_exact_and_nothing_is_read_again() {
    let mut live = Live::start(
        "CREATE TABLE parts (id int PRIMARY KEY, note text); INSERT INTO parts VALUES (1, 'one');",
    );
    live.kill();
    live.write("INSERT INTO parts VALUES (2, 'two')");
    let first = position(&live);
    live.write("ALTER TABLE parts RENAME note TO remark; ALTER TABLE parts ADD note text DEFAULT 'd'; INSERT INTO parts VALUES (3, 'three', 'V')");
    let second = position(&live);
    live.start_again();
    live.project.catch_up();
    await_live(&live.project);
    assert_eq!(uncertain(&live.project)["shop.parts"], [], "it can be told");
    let expect = |columns: &str, position: &str, expected: &str| {
        let query = format!("SELECT {columns} FROM shop.parts ORDER BY id");
        let found = live.project.sql_as_of(&query, position);
        assert_eq!(
            Json::parse(&found).unwrap(),
            Json::parse(expected).unwrap(),
            "{columns} as of {position}"
        );
    };
    expect("id, remark", &first, r#"[{"id":1,"remark":"one"},{"id":2,"remark":"two"}]"#);
    expect("id, note", &second, r#"[{"id":1,"note":"d"},{"id":2,"note":"d"},{"id":3,"note":"V"}]"#);
    let remarks = "SELECT DISTINCT id, remark FROM shop.parts_history WHERE remark IS NOT NULL ORDER BY id";
    live.project
        .expect(remarks, r#"[{"id":1,"remark":"one"},{"id":2,"remark":"two"},{"id":3,"remark":"three"}]"#);
    live.finish();
}

fn position(live: &Live) -> String {
    live.write("SELECT pg_current_wal_insert_lsn()").trim().to_owned()
}

/// Waits until no table is still to be read again.
#[track_caller]
fn await_live(project: &Project) {
    project.catch_up();
    wait_until("every table to be live", LIVE_WAIT_MAX, || {
        let status = control::status(&project.data())?;
        status["tables"].as_array()?.iter().all(|table| table["state"] == "live").then_some(())
    })
    .unwrap();
}
