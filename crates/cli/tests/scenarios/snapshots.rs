//! The first copy, killed again and again within its tables while they change: what is finished is not copied again, and everything is exact.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use millstream_testkit::{ended_by, wait_until, PgCluster, Process};
use serde_json::Value;

use crate::project::{stop, Project};

/// Chunks of a few pages, so that tables of some thousand rows have many.
const SMALL: &str = "source::chunk_pages=return(8);log::transaction_bytes=return(65536)";

/// Chunks that a run may finish before it is killed: more than the largest changing table has, so that each kill hits another one.
const CHUNKS_UNTIL_KILL: u32 = 26;

/// How long an unoptimised program may take to come to a fail point.
const REACH_WAIT_MAX: Duration = Duration::from_secs(60);

const TABLES: &str = "
    CREATE SCHEMA shop; SET search_path = shop;
    CREATE TABLE orders (id int PRIMARY KEY, customer int, note text);
    CREATE TABLE lines (a int, b text, n int, note text, PRIMARY KEY (a, b));
    ALTER TABLE lines REPLICA IDENTITY FULL;
    CREATE TABLE calm (id int PRIMARY KEY, note text);
    CREATE TABLE loose (n int, note text);
    ALTER TABLE loose REPLICA IDENTITY FULL;
    CREATE TABLE tagged (tag text NOT NULL, n int, note text);
    CREATE UNIQUE INDEX tagged_tag ON tagged (tag);
    ALTER TABLE tagged REPLICA IDENTITY USING INDEX tagged_tag;
    CREATE TABLE emptied (id int PRIMARY KEY, note text);
    CREATE TABLE wider (id int PRIMARY KEY, note text);
    INSERT INTO orders SELECT g, g % 100, repeat('o', 300) FROM generate_series(1, 4000) g;
    INSERT INTO lines SELECT g / 4, 'b' || g % 4, g, repeat('l', 300) FROM generate_series(1, 4000) g;
    INSERT INTO calm SELECT g, repeat('c', 300) FROM generate_series(1, 8000) g;
    INSERT INTO loose SELECT g % 1500, repeat('f', 300) FROM generate_series(1, 3000) g;
    INSERT INTO tagged SELECT 't' || g, g, repeat('t', 300) FROM generate_series(1, 4000) g;
    INSERT INTO emptied SELECT g, repeat('e', 300) FROM generate_series(1, 4000) g;
    INSERT INTO wider SELECT g, repeat('w', 300) FROM generate_series(1, 4000) g;";

/// Changes of every kind, others in each round.
fn changes(round: u32) -> String {
    let mut sql = String::from("SET search_path = shop;\n");
    // It is renamed in round 4.
    let n = if round > 4 { "number" } else { "n" };
    for (table, key) in [("orders", "id"), ("emptied", "id"), ("wider", "id")] {
        sql.push_str(&format!(
            "UPDATE {table} SET note = 'round {round}' WHERE id % 53 = {round};
             DELETE FROM {table} WHERE id % 59 = {round};
             UPDATE {table} SET {key} = {key} + 100000 * {round} WHERE id % 61 = {round} AND id < 100000;
             INSERT INTO {table} (id, note) SELECT -g - 1000 * {round}, 'new' FROM generate_series(1, 50) g;
             BEGIN; UPDATE {table} SET id = -1 WHERE id = {round} * 10 + 1; UPDATE {table} SET id = {round} * 10 + 1 WHERE id = {round} * 10 + 2;
             UPDATE {table} SET id = {round} * 10 + 2 WHERE id = -1; COMMIT;
             BEGIN; SAVEPOINT s; DELETE FROM {table}; ROLLBACK TO s; UPDATE {table} SET note = 'kept' WHERE id = 77; COMMIT;\n"
        ));
    }
    sql.push_str(&format!(
        "UPDATE lines SET b = b || {round} WHERE a % 47 = {round}; DELETE FROM lines WHERE a % 43 = {round};
         UPDATE lines SET n = -n WHERE a % 41 = {round};
         UPDATE loose SET note = 'round {round}' WHERE n % 211 = {round}; DELETE FROM loose WHERE n % 223 = {round};
         INSERT INTO loose SELECT n, note FROM loose WHERE n % 227 = {round};
         UPDATE tagged SET tag = tag || '-{round}' WHERE {n} % 37 = {round}; DELETE FROM tagged WHERE {n} % 41 = {round};\n"
    ));
    match round {
        2 => sql.push_str(
            "TRUNCATE emptied; INSERT INTO emptied SELECT g, 'again' FROM generate_series(1, 700) g;\n",
        ),
        3 => sql.push_str(
            "ALTER TABLE wider ADD COLUMN more int DEFAULT 7; UPDATE wider SET more = 8 WHERE id % 31 = 0;\n",
        ),
        4 => sql.push_str("TRUNCATE emptied; ALTER TABLE tagged RENAME COLUMN n TO number;\n"),
        _ => {}
    }
    sql
}

#[test]
fn a_snapshot_killed_within_its_tables_goes_on_where_it_was_and_is_exact() {
    let cluster =
        Arc::new(PgCluster::builder().setting("logical_decoding_work_mem", "64kB").start().unwrap());
    cluster.execute(TABLES).unwrap();
    let project = Project::with_source(&cluster.url(), "tables: [\"shop.*\"]");
    let calm: u32 =
        cluster.execute("SELECT 'shop.calm'::regclass::oid::int").unwrap().trim().parse().unwrap();

    // Small transactions all the while, in what is being copied too.
    let done = Arc::new(AtomicBool::new(false));
    let writer = {
        let (cluster, done) = (cluster.clone(), done.clone());
        thread::spawn(move || {
            let mut number = 0u32;
            while !done.load(Ordering::Relaxed) {
                number += 1;
                let sql = format!(
                    "UPDATE shop.orders SET customer = {number} WHERE id % 997 = {number} % 997;
                     INSERT INTO shop.orders VALUES (1000000 + {number}, 0, 'written meanwhile');
                     UPDATE shop.orders SET id = id + 1000000 WHERE id = 1000000 + {number} - 20;
                     DELETE FROM shop.loose WHERE ctid IN (SELECT ctid FROM shop.loose LIMIT 1);"
                );
                cluster.execute(&sql).unwrap();
                thread::sleep(Duration::from_millis(5));
            }
        })
    };

    let mut finished: BTreeMap<String, u64> = BTreeMap::new();
    let mut partly = BTreeMap::new();
    for round in 1..=6 {
        let point = if round % 2 == 0 { "log::base_chunk_finish" } else { "source::snapshot_chunk" };
        let mut process = project.up(&format!("{SMALL};{point}={CHUNKS_UNTIL_KILL}*off->panic"));
        let status =
            process.wait(REACH_WAIT_MAX).unwrap_or_else(|error| panic!("{error}\n{}", process.tail()));
        assert!(ended_by(status, libc::SIGKILL), "round {round}: {status}\n{}", process.tail());
        for (table, (finished, planned)) in progress(&project.data()) {
            if finished > 0 && finished < planned {
                *partly.entry(table).or_insert(0) += 1;
            }
        }
        // Nobody writes to this one: its chunks must never be written again.
        let files = chunk_files(&project.data(), calm);
        for (name, inode) in &finished {
            assert_eq!(files.get(name), Some(inode), "round {round}: {name} was copied again");
        }
        finished = files;
        cluster.execute(&changes(round)).unwrap();
    }
    assert!(partly.len() >= 4, "too few tables were hit: {partly:?}");
    assert!(partly.contains_key("calm"), "{partly:?}");
    let mut process = project.up(SMALL);
    project.await_streaming(&mut process);
    let told = process.stderr();
    assert!(told.contains("chunks were kept from a copy that was cut off"), "{told}");
    let files = chunk_files(&project.data(), calm);
    assert!(finished.iter().all(|(name, inode)| files.get(name) == Some(inode)));
    done.store(true, Ordering::Relaxed);
    writer.join().unwrap();
    project.catch_up();
    project.verify();
    stop(process);
}

#[test]
fn a_table_read_again_lets_changes_through_while_it_is_copied_and_is_exact() {
    let cluster = Arc::new(PgCluster::start_default().unwrap());
    let sql = "CREATE SCHEMA shop; CREATE TABLE shop.other (id int PRIMARY KEY);
        CREATE TABLE shop.big (id int PRIMARY KEY, note text);
        INSERT INTO shop.big SELECT g, repeat('b', 300) FROM generate_series(1, 8000) g";
    cluster.execute(sql).unwrap();
    let project = Project::with_source(&cluster.url(), "tables: [\"shop.*\"]");
    let pages = cluster.execute("SELECT pg_relation_size('shop.big') / 8192").unwrap();
    let chunks = pages.trim().parse::<u32>().unwrap().div_ceil(8);
    // The first copy at full speed, the second one slowly, and what is left then at full speed again.
    let points = format!("{SMALL};source::snapshot_chunk={}*off->{chunks}*sleep(200)->off", chunks + 1);
    let mut process = project.up(&points);
    project.await_streaming(&mut process);

    let mut resync = Process::spawn(project.command(&["resync", "shop.big"])).unwrap();
    thread::sleep(Duration::from_millis(500));
    for round in 1..=3 {
        cluster
            .execute(&format!(
                "INSERT INTO shop.other VALUES ({round}); UPDATE shop.big SET note = 'during' WHERE id % 50 = {round};
                 UPDATE shop.big SET id = id + 100000 WHERE id % 51 = {round}; DELETE FROM shop.big WHERE id % 53 = {round}"
            ))
            .unwrap();
        wait_until("the change to be applied", Duration::from_secs(20), || {
            project.sql("SELECT max(id) AS id FROM shop.other").contains(&format!(": {round}")).then_some(())
        })
        .unwrap();
        assert_eq!(resync.try_wait().unwrap(), None, "changes waited for the copy: {}", resync.tail());
    }
    let status = resync.wait(REACH_WAIT_MAX).unwrap();
    assert!(status.success(), "{}", resync.tail());
    assert!(resync.stderr().contains("1 of 1 tables copied"), "{}", resync.tail());
    project.catch_up();
    project.verify();
    // What the stream had brought already was no difference.
    let snapshots = "SELECT count(*) AS n FROM shop.big_history WHERE operation_type = 'SNAPSHOT'";
    project.expect(snapshots, r#"[{"n":8000}]"#);
    stop(process);
}

/// Inodes of a table's finished chunks.
fn chunk_files(data: &Path, table: u32) -> BTreeMap<String, u64> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(data.join("log/base/1")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if name.starts_with(&format!("{table}-")) && name.ends_with(".chunk") {
            files.insert(name, entry.metadata().unwrap().ino());
        }
    }
    // One may have its name and not its place in the manifest yet.
    let manifest = manifest(data);
    let tables = manifest["tables"].as_array().unwrap();
    let table_of = tables.iter().find(|entry| entry["schema"]["id"] == table).unwrap();
    let named = |name: &str| {
        let chunks = table_of["chunks"].as_array().unwrap().iter();
        let earlier = table_of["earlier"].as_array().unwrap().iter().map(|earlier| &earlier["chunk"]);
        chunks.chain(earlier).any(|chunk| name == format!("{table}-{}.chunk", chunk["number"]))
    };
    files.retain(|name, _| named(name));
    files
}

/// By table: finished chunks, of this and of earlier snapshots, and how many there will be.
fn progress(data: &Path) -> BTreeMap<String, (usize, usize)> {
    let manifest = manifest(data);
    let length = |value: &Value| value.as_array().map_or(0, Vec::len);
    let tables = manifest["tables"].as_array().unwrap().iter();
    tables
        .map(|table| {
            let name = table["schema"]["name"]["name"].as_str().unwrap().to_owned();
            let planned = usize::try_from(table["chunks_planned"].as_u64().unwrap()).unwrap();
            (name, (length(&table["chunks"]) + length(&table["earlier"]), planned))
        })
        .collect()
}

fn manifest(data: &Path) -> Value {
    serde_json::from_slice(&fs::read(data.join("log/base/1/manifest.json")).unwrap()).unwrap()
}
