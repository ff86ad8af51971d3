//! Faults of the machine, the clock and the server, one each. `docs/explanation/faults.md` says which test injects which.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use millstream_testkit::{wait_until, PgCluster, Process, StopMode};
use serde_json::Value;

use crate::{
    control,
    live::Live,
    project::{stop, Project},
};

const END_WAIT_MAX: Duration = Duration::from_secs(60);

fn status(project: &Project) -> Value {
    control::status(&project.data()).unwrap_or_default()
}

/// After an error of fsync the process stops. It is not tried again: what the kernel dropped would count as written.
#[test]
fn a_failed_fsync_stops_the_process_and_nothing_is_lost() {
    let mut live = Live::start("CREATE TABLE t (id int PRIMARY KEY);");
    live.change("INSERT INTO t VALUES (1);");
    live.process.signal(libc::SIGTERM).unwrap();
    live.process.wait(END_WAIT_MAX).unwrap();
    live.process = live.project.up("log::fsync_error=30*off->return");
    let mut rows = 1;
    let ended = wait_until("the process to stop", END_WAIT_MAX, || {
        rows += 1;
        live.write(&format!("INSERT INTO t VALUES ({rows});"));
        live.process.try_wait().unwrap()
    });
    let ended = ended.unwrap_or_else(|error| panic!("{error}\n{}", live.process.tail()));
    assert!(ended.code().is_some_and(|code| code != 0), "{ended}");
    assert!(live.process.stderr().contains("error[MS3003]"), "{}", live.process.stderr());
    live.start_again();
    live.project.catch_up();
    live.project.expect("SELECT count(*) AS n FROM shop.t", &format!(r#"[{{"n":{rows}}}]"#));
    live.finish();
}

/// A file system of its own, small; `None` where this account may not mount one.
struct Tmpfs {
    directory: PathBuf,
}

impl Tmpfs {
    fn mount(directory: &Path, size: &str) -> Option<Self> {
        fs::create_dir_all(directory).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(directory)
            .output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Tmpfs { directory: directory.to_owned() });
        }
        eprintln!("skipped: a tmpfs can't be mounted by this account");
        None
    }

    fn resize(&self, size: &str) {
        let output = Command::new("mount")
            .args(["-o", &format!("remount,size={size}")])
            .arg(&self.directory)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // What still has a file open there ends with the test; until then the mount is only hidden.
        let _ = Command::new("umount").arg("-l").arg(&self.directory).output();
    }
}

/// Fills the disk that `place` is on by changes, makes room, and compares.
fn a_full_disk_is_waited_out(place: &str, code: &str, fail_points: &str) {
    let cluster = PgCluster::start_default().unwrap();
    cluster.execute("CREATE TABLE t (id int PRIMARY KEY, body text)").unwrap();
    let project = Project::with_source(&cluster.url(), "tables: [\"public.t\"]");
    let Some(disk) = Tmpfs::mount(&project.data().join(place), "96m") else { return };
    let file = project.directory().join("millstream.yml");
    let text = fs::read_to_string(&file).unwrap();
    let text = text.replace("data/warehouse.duckdb", "data/warehouse/w.duckdb");
    fs::write(&file, text).unwrap();
    let mut process = project.up(fail_points);
    project.await_streaming(&mut process);
    let body = "(SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 30))";
    let mut rows = 0;
    let full = wait_until("the disk to be full", Duration::from_secs(150), || {
        if rows < 400_000 {
            cluster
                .execute(&format!("INSERT INTO t SELECT {rows} + g, md5(g::text) || {body} FROM generate_series(1, 10000) g"))
                .unwrap();
            rows += 10_000;
        }
        assert_eq!(process.try_wait().unwrap(), None, "{}", process.tail());
        let now = status(&project);
        (now["error"]["code"] == code).then_some(now)
    });
    let full = full.unwrap_or_else(|error| panic!("{error}: {:#}\n{}", status(&project), process.tail()));
    assert!(full["error"]["hint"].is_string(), "{full:#}");
    disk.resize("2g");
    project.await_streaming(&mut process);
    project.catch_up();
    project.expect("SELECT count(*) AS n FROM public.t", &format!(r#"[{{"n":{rows}}}]"#));
    assert_eq!(status(&project)["error"], Value::Null, "{:#}", status(&project));
    project.verify();
    stop(process);
}

#[test]
fn a_disk_that_is_full_for_the_log_is_waited_out() {
    a_full_disk_is_waited_out("log", "MS3002", "");
}

#[test]
fn a_disk_that_is_full_for_the_warehouse_is_waited_out() {
    a_full_disk_is_waited_out("warehouse", "MS5203", "");
}

/// Where the disk fills up between the look at it and the checkpoint, DuckDB takes nothing more until the file is opened again.
#[test]
fn a_checkpoint_that_fails_on_a_full_disk_has_the_warehouse_opened_again() {
    a_full_disk_is_waited_out("warehouse", "MS5205", "warehouse::room_unchecked=return");
}

#[test]
fn a_disk_without_room_is_told_before_anything_begins() {
    let cluster = PgCluster::start_default().unwrap();
    cluster.execute("CREATE TABLE t (id int PRIMARY KEY)").unwrap();
    let project = Project::with_source(&cluster.url(), "tables: [\"public.t\"]");
    let Some(_disk) = Tmpfs::mount(&project.data(), "16m") else { return };
    let doctor = project.run(&["doctor"]);
    assert_eq!(doctor.status.code(), Some(1), "{doctor:?}");
    assert!(String::from_utf8_lossy(&doctor.stdout).contains("[MS6008]"), "{doctor:?}");
    let mut process = project.up("");
    assert_eq!(process.wait(END_WAIT_MAX).unwrap().code(), Some(2), "{}", process.tail());
    assert!(process.stderr().contains("error[MS6008]"), "{}", process.stderr());
    assert_eq!(cluster.execute("SELECT count(*) FROM pg_replication_slots").unwrap(), "0");
}

#[test]
fn a_process_that_was_stopped_longer_than_the_server_waits_goes_on() {
    let cluster = PgCluster::builder().setting("wal_sender_timeout", "2s").start().unwrap();
    cluster.execute("CREATE TABLE t (id int PRIMARY KEY)").unwrap();
    let project = Project::with_source(&cluster.url(), "tables: [\"public.t\"]");
    let mut process = project.up("");
    project.await_streaming(&mut process);
    cluster.execute("INSERT INTO t SELECT generate_series(1, 1000)").unwrap();
    process.freeze().unwrap();
    cluster.execute("INSERT INTO t SELECT generate_series(1001, 2000)").unwrap();
    let given_up = "SELECT count(*) FROM pg_replication_slots WHERE active";
    wait_until("the server to give up", END_WAIT_MAX, || {
        (cluster.execute(given_up).unwrap() == "0").then_some(())
    })
    .unwrap();
    process.thaw().unwrap();
    project.catch_up();
    project.expect("SELECT count(*) AS n FROM public.t", r#"[{"n":2000}]"#);
    assert_eq!(process.try_wait().unwrap(), None, "{}", process.tail());
    project.verify();
    stop(process);
}

/// Where Debian's package libfaketime puts the library.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// Our own clock decides nothing of the data: positions do, and times are the source's.
#[test]
fn a_clock_that_is_a_year_off_or_jumps_changes_no_data() {
    if !Path::new(FAKETIME).exists() {
        eprintln!("skipped: no libfaketime ({FAKETIME}); apt-get install libfaketime");
        return;
    }
    let cluster = PgCluster::start_default().unwrap();
    cluster.execute("CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t SELECT g, 0 FROM generate_series(1, 100) g").unwrap();
    let projects: Vec<Project> = ["right", "year", "jumping"]
        .iter()
        .map(|name| {
            Project::with_source(
                &cluster.url(),
                &format!("tables: [\"public.t\"]\nslot: {name}\npublication: p"),
            )
        })
        .collect();
    cluster.execute("CREATE PUBLICATION p FOR TABLE t").unwrap();
    let clock = projects[2].directory().join("clock");
    let at = |project: &Project, offset: &str| {
        let mut command = project.command(&["up"]);
        command
            .env("LD_PRELOAD", FAKETIME)
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("FAKETIME_CACHE_DURATION", "1");
        match offset {
            "" => command.env_remove("LD_PRELOAD"),
            "jumping" => command.env("FAKETIME_TIMESTAMP_FILE", &clock),
            offset => command.env("FAKETIME", offset),
        };
        Process::spawn(command).unwrap()
    };
    fs::write(&clock, "+0").unwrap();
    let mut processes = [at(&projects[0], ""), at(&projects[1], "-365d"), at(&projects[2], "jumping")];
    for (project, process) in projects.iter().zip(&mut processes) {
        project.await_streaming(process);
    }
    for round in 1..=6 {
        cluster
            .execute(&format!(
                "UPDATE t SET n = {round} WHERE id % 6 = {round} - 1; DELETE FROM t WHERE id = {round}"
            ))
            .unwrap();
        fs::write(&clock, if round % 2 == 0 { "-400d" } else { "+400d" }).unwrap();
        std::thread::sleep(Duration::from_millis(700));
    }
    let history =
        "SELECT id, n, valid_from, valid_to, operation_type, _lsn, _seq, _lsn_to FROM public.t_history \
                   WHERE operation_type <> 'SNAPSHOT' ORDER BY _lsn, _seq, id, valid_to NULLS LAST";
    let mut seen = Vec::new();
    for project in &projects {
        project.catch_up();
        project.verify();
        seen.push(project.sql(history));
    }
    assert!(seen[0].len() > 1000, "{}", seen[0]);
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0], seen[2]);
    processes.into_iter().for_each(stop);
}

#[test]
fn a_second_project_on_the_slot_of_a_running_one_is_refused() {
    let live = Live::start("CREATE TABLE t (id int PRIMARY KEY);");
    live.change("INSERT INTO t VALUES (1);");
    let slot = live.cluster.execute("SELECT slot_name FROM pg_replication_slots").unwrap();
    let second = Project::with_source(
        &live.cluster.url(),
        &format!("tables: [\"shop.*\"]\nslot: {slot}\npublication: millstream_scenario"),
    );
    let mut process = second.up("");
    // It may be a predecessor that was killed, so it is waited for, and then it is enough.
    let ended = process.wait(Duration::from_secs(150)).unwrap();
    assert_eq!(ended.code(), Some(4), "{}", process.tail());
    assert!(process.stderr().contains("error[MS2301]"), "{}", process.stderr());
    live.change("INSERT INTO t VALUES (2);");
    live.finish();
}

/// The address of another cluster. The clusters of these tests are copies of one template and share its identifier, so it is what is remembered that is
/// made another one.
#[test]
fn another_cluster_in_the_place_of_the_first_is_refused() {
    let cluster = PgCluster::start_default().unwrap();
    cluster.execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)").unwrap();
    let project = Project::with_source(&cluster.url(), "tables: [\"public.t\"]\nslot: s\npublication: p");
    project.catch_up();
    let state = project.data().join("state.json");
    let remembered = fs::read_to_string(&state).unwrap();
    let identifier = cluster.execute("SELECT system_identifier FROM pg_control_system()").unwrap();
    assert!(remembered.contains(identifier.trim()), "{remembered}");
    fs::write(&state, remembered.replace(identifier.trim(), "7000000000000000001")).unwrap();
    refused(&project, "MS2307");
    fs::write(&state, remembered).unwrap();
    project.catch_up();
    project.expect("SELECT id FROM public.t", r#"[{"id":1}]"#);
}

/// A backup put back: the server's WAL ends before what we hold, or goes on differently.
#[test]
fn a_server_that_was_restored_from_a_backup_is_refused() {
    let cluster = PgCluster::start_default().unwrap();
    cluster.execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)").unwrap();
    let project = Project::with_source(&cluster.url(), "tables: [\"public.t\"]\nslot: s\npublication: p");
    project.catch_up();
    cluster.stop(StopMode::Fast).unwrap();
    let backup = cluster.data_dir().with_extension("backup");
    copy_tree(&cluster.data_dir(), &backup);
    cluster.start().unwrap();
    cluster.execute("INSERT INTO t SELECT generate_series(2, 5000)").unwrap();
    project.catch_up();
    cluster.stop(StopMode::Fast).unwrap();
    fs::remove_dir_all(cluster.data_dir()).unwrap();
    copy_tree(&backup, &cluster.data_dir());
    cluster.start().unwrap();
    refused(&project, "MS2306");
    project.expect("SELECT count(*) AS n FROM public.t", r#"[{"n":5000}]"#);
}

#[test]
fn a_server_that_was_promoted_is_refused() {
    let cluster = PgCluster::start_default().unwrap();
    cluster.execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)").unwrap();
    let project = Project::with_source(&cluster.url(), "tables: [\"public.t\"]\nslot: s\npublication: p");
    project.catch_up();
    cluster.stop(StopMode::Fast).unwrap();
    // What a standby does when its primary is lost: recovery ends on a timeline of its own.
    let signal = cluster.data_dir().join("standby.signal");
    fs::write(&signal, "").unwrap();
    own_like(&cluster.data_dir(), &signal);
    cluster.start().unwrap();
    cluster.execute("SELECT pg_promote()").unwrap();
    refused(&project, "MS2307");
}

#[track_caller]
fn refused(project: &Project, code: &str) {
    let mut process = project.up("");
    let ended = process.wait(END_WAIT_MAX).unwrap();
    assert_eq!(ended.code(), Some(4), "{}", process.tail());
    assert!(process.stderr().contains(&format!("error[{code}]")), "{}", process.stderr());
    assert!(process.stderr().contains("hint:"), "{}", process.stderr());
}

/// With owners and rights, as PostgreSQL insists on.
fn copy_tree(from: &Path, to: &Path) {
    let output = Command::new("cp").arg("-a").arg(from).arg(to).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn own_like(model: &Path, file: &Path) {
    use std::os::unix::fs::{chown, MetadataExt};
    let owner = fs::metadata(model).unwrap();
    chown(file, Some(owner.uid()), Some(owner.gid())).unwrap();
}

/// the warehouse has too little memory for a batch, again and again.
#[test]
fn a_batch_that_is_too_large_for_the_warehouses_memory_comes_in_smaller_ones() {
    let mut live = Live::start("CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t SELECT g, 0 FROM generate_series(1, 5000) g;");
    live.process.signal(libc::SIGTERM).unwrap();
    assert_eq!(live.process.wait(END_WAIT_MAX).unwrap().code(), Some(0), "{}", live.process.tail());
    for part in 0..10 {
        live.write(&format!("UPDATE t SET n = n + 1 WHERE id % 10 = {part};"));
    }
    live.process = live.project.up("warehouse::out_of_memory=3*return->2*off->1*return->off");
    live.project.await_streaming(&mut live.process);
    live.project.catch_up();
    live.project.expect("SELECT count(*) AS n FROM shop.t WHERE n = 1", r#"[{"n":5000}]"#);
    live.finish();
}
