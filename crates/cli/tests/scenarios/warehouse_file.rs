//! The warehouse's file: gone, damaged, somebody else's.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use millstream_testkit::{wait_until, PgCluster, Process};
use serde_json::Value;

use crate::{
    live::Live,
    project::{stop, Project},
};

/// What is done to the file's bytes.
type Damage = fn(&mut Vec<u8>);

const END_WAIT_MAX: Duration = Duration::from_secs(60);

/// Two versions of each row, of which the first is the snapshot's.
const ROWS: &str = "CREATE TABLE parts (id int PRIMARY KEY, n int, note text); \
                    INSERT INTO parts SELECT g, 0, repeat(md5(g::text), 8) FROM generate_series(1, 20000) g;";
const VERSIONS: &str = "SELECT count(*) AS n, count(*) FILTER (WHERE valid_to IS NULL) AS open, sum(n) AS sum FROM shop.parts_history";
const VERSIONS_EXPECTED: &str = r#"[{"n":20100,"open":20000,"sum":100}]"#;

fn file(project: &Project) -> PathBuf {
    project.data().join("warehouse.duckdb")
}

/// A project that ran and stopped cleanly, so that everything stands in the file.
#[track_caller]
fn stopped() -> Live {
    let mut live = Live::start(ROWS);
    live.change("UPDATE parts SET n = 1 WHERE id <= 100;");
    live.process.signal(libc::SIGTERM).unwrap();
    assert_eq!(live.process.wait(END_WAIT_MAX).unwrap().code(), Some(0), "{}", live.process.tail());
    live
}

fn status(project: &Project) -> Value {
    serde_json::from_str(&project.succeed(&["status", "--json"])).unwrap()
}

fn kept_aside(project: &Project) -> Vec<PathBuf> {
    let entries = fs::read_dir(project.data()).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.to_string_lossy().contains(".duckdb.damaged.")).collect()
}

/// Starts the project, which must tell that it builds the warehouse again, and compares everything with what was there.
#[track_caller]
fn is_built_again(live: &mut Live, code: &str, since: &Value) {
    live.start_again();
    let told = live.process.stderr();
    assert!(told.contains(&format!("error[{code}]")), "{told}");
    assert!(told.contains("built again from the base and the log"), "{told}");
    assert!(told.contains("shop.parts: the whole history, since "), "{told}");
    live.project.expect(VERSIONS, VERSIONS_EXPECTED);
    let after = status(&live.project);
    assert_eq!(&after["tables"][0]["history_since"], since, "{after:#}");
    assert!(after["warehouse"]["rebuilt"]["at"].is_string(), "{after:#}");
    assert_eq!(after["warehouse"]["rebuilt"]["history_gone"], serde_json::json!([]), "{after:#}");
    live.project.verify();
}

#[test]
fn a_warehouse_that_is_gone_is_built_again_and_said_loudly() {
    let mut live = stopped();
    let since = status(&live.project)["tables"][0]["history_since"].clone();
    assert!(since.is_string());
    fs::remove_file(file(&live.project)).unwrap();
    // Who only asks changes nothing, and is told.
    let asked = live.project.run(&["sql", "SELECT 1"]);
    assert_eq!(asked.status.code(), Some(4), "{asked:?}");
    assert!(String::from_utf8_lossy(&asked.stderr).contains("error[MS6209]"), "{asked:?}");
    assert_eq!(status(&live.project)["error"]["code"], "MS6209");
    assert!(!file(&live.project).exists());
    is_built_again(&mut live, "MS6209", &since);
    live.finish();
}

/// Each kind of damage that a disk, a copy that broke off or a careless hand does.
#[test]
fn a_damaged_warehouse_is_kept_aside_and_built_again() {
    let mut live = stopped();
    let since = status(&live.project)["tables"][0]["history_since"].clone();
    let path = file(&live.project);
    let damages: [(&str, Damage); 4] = [
        ("flipped header", |bytes| bytes[8..40].iter_mut().for_each(|byte| *byte ^= 0xFF)),
        ("flipped database headers", |bytes| bytes[4096..12_288].iter_mut().for_each(|byte| *byte ^= 0xFF)),
        ("no length", Vec::clear),
        ("cut short", |bytes| bytes.truncate(20_000)),
    ];
    for (number, (name, damage)) in damages.into_iter().enumerate() {
        let mut bytes = fs::read(&path).unwrap();
        damage(&mut bytes);
        fs::write(&path, &bytes).unwrap();
        let asked = live.project.run(&["sql", "SELECT 1"]);
        assert_eq!(asked.status.code(), Some(4), "{name}: {asked:?}");
        assert_eq!(status(&live.project)["error"]["code"], "MS5003", "{name}");
        is_built_again(&mut live, "MS5003", &since);
        assert_eq!(kept_aside(&live.project).len(), number + 1, "{name}");
        let kept = status(&live.project)["warehouse"]["rebuilt"]["kept_as"].as_str().unwrap().to_owned();
        assert_eq!(fs::read(kept).unwrap(), bytes, "{name}: what is kept is the damaged file, as it was");
        live.process.signal(libc::SIGTERM).unwrap();
        assert_eq!(live.process.wait(END_WAIT_MAX).unwrap().code(), Some(0), "{}", live.process.tail());
    }
    live.start_again();
    live.finish();
}

/// Bytes that flipped where the file opens without reading them are found when apply needs them.
#[test]
fn damage_in_the_middle_is_found_by_apply_and_mended_while_it_runs() {
    let mut live = stopped();
    let path = file(&live.project);
    let mut bytes = fs::read(&path).unwrap();
    // Every second block of 256 KiB, behind the headers and before the last two, where the file's own catalogue stands.
    let blocks = (bytes.len() - 12_288) / 262_144;
    for block in (0..blocks.saturating_sub(2)).step_by(2) {
        bytes[12_288 + block * 262_144 + 5_000] ^= 0xFF;
    }
    fs::write(&path, &bytes).unwrap();
    live.process = live.project.up("");
    live.write("UPDATE parts SET n = 2 WHERE id > 100;");
    wait_until("the warehouse to be built again", END_WAIT_MAX, || {
        let found = status(&live.project);
        assert_eq!(live.process.try_wait().unwrap(), None, "{}", live.process.tail());
        (found["warehouse"]["rebuilt"].is_object() && found["state"] == "streaming").then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}\n{}", live.process.tail()));
    assert!(live.process.stderr().contains("error[MS5003]"), "{}", live.process.stderr());
    assert_eq!(kept_aside(&live.project).len(), 1);
    live.project.catch_up();
    live.project.expect(VERSIONS, r#"[{"n":40000,"open":20000,"sum":39900}]"#);
    live.finish();
}

/// A base that was taken later holds no history from before it.
#[test]
fn history_that_is_gone_with_the_file_is_named_with_its_dates() {
    let mut live = stopped();
    live.start_again();
    let was = status(&live.project)["tables"][0]["history_since"].clone();
    // Reads the table into a base of its own.
    live.project.succeed(&["resync", "shop.parts"]);
    live.process.signal(libc::SIGTERM).unwrap();
    assert_eq!(live.process.wait(END_WAIT_MAX).unwrap().code(), Some(0), "{}", live.process.tail());
    fs::remove_file(file(&live.project)).unwrap();
    live.start_again();
    assert!(live.process.stderr().contains("is gone from the warehouse"), "{}", live.process.stderr());
    let after = status(&live.project);
    let gone = &after["warehouse"]["rebuilt"]["history_gone"][0];
    assert_eq!((&gone["name"], &gone["from"]), (&"shop.parts".into(), &was), "{after:#}");
    assert_eq!(gone["to"], after["tables"][0]["history_since"], "{after:#}");
    let text = live.project.succeed(&["status"]);
    assert!(text.contains("history of shop.parts from "), "{text}");
    // Before it there is an error that says since when, never an empty answer.
    let early = live.project.run(&["sql", "SELECT * FROM shop.parts", "--as-of", was.as_str().unwrap()]);
    assert_eq!(early.status.code(), Some(2), "{early:?}");
    live.finish();
}

/// Runs `up`, which must refuse, and leave the file as it is.
#[track_caller]
fn is_refused(project: &Project, path: &Path) {
    let before = fs::read(path).unwrap();
    let mut process: Process = project.up("");
    let status = process.wait(END_WAIT_MAX).unwrap();
    assert_eq!(status.code(), Some(4), "{}", process.tail());
    assert!(process.stderr().contains("error[MS5006]"), "{}", process.stderr());
    assert!(fs::read(path).unwrap() == before, "the file was changed");
    assert_eq!(kept_aside(project), Vec::<PathBuf>::new());
}

#[test]
fn a_file_of_another_kind_or_of_another_project_is_refused_and_left_alone() {
    let live = stopped();
    let path = file(&live.project);
    let ours = fs::read(&path).unwrap();
    // Put in its place by hand: same path, and with `cp` the same inode.
    fs::write(&path, "id,name\n1,a\n".repeat(2000)).unwrap();
    is_refused(&live.project, &path);
    // A damaged file that this project did not write.
    let mut damaged = ours.clone();
    damaged.truncate(ours.len() / 2);
    // Written while the first is there, so that it has another inode.
    let beside = live.project.data().join("beside");
    fs::write(&beside, &damaged).unwrap();
    fs::rename(&beside, &path).unwrap();
    let mut process = live.project.up("");
    assert_eq!(process.wait(END_WAIT_MAX).unwrap().code(), Some(4), "{}", process.tail());
    assert!(fs::read(&path).unwrap() == damaged);
    // The warehouse of another project of the same database.
    let other =
        Project::with_source(&live.cluster.url(), "tables: [\"shop.*\"]\nslot: other\npublication: other");
    other.catch_up();
    fs::copy(file(&other), &path).unwrap();
    is_refused(&live.project, &path);
    // Its own file is taken again.
    fs::write(&path, &ours).unwrap();
    live.project.catch_up();
    live.project.verify();
}

/// Two projects of one cluster.
#[test]
fn a_new_project_takes_no_file_that_another_one_writes() {
    let cluster = PgCluster::start_default().unwrap();
    cluster.execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)").unwrap();
    let first =
        Project::with_source(&cluster.url(), "tables: [\"public.t\"]\nslot: first\npublication: first");
    first.catch_up();
    let second =
        Project::with_source(&cluster.url(), "tables: [\"public.t\"]\nslot: second\npublication: second");
    fs::create_dir_all(second.data()).unwrap();
    fs::copy(file(&first), file(&second)).unwrap();
    is_refused(&second, &file(&second));
    let slots = "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'second'";
    assert_eq!(cluster.execute(slots).unwrap(), "0", "refused before anything was created");
    let process = first.up("");
    let mut process = process;
    first.await_streaming(&mut process);
    stop(process);
}
