//! What a new user can get wrong, and what a server can lack: told by `doctor` before `up` is tried, and by `up` before it changes anything.

use std::{fs, os::unix::fs::PermissionsExt, process::Output, time::Duration};

use millstream_testkit::{PgCluster, Process};
use serde_json::Value;

use crate::project::Project;

/// A server that fails to answer is told well before this.
const END_WAIT_MAX: Duration = Duration::from_secs(60);

const TABLE: &str = "CREATE TABLE t (id int PRIMARY KEY, a text)";

fn text(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The codes of the checks that fail; each must have a next step.
#[track_caller]
fn doctor(project: &Project) -> Vec<String> {
    let output = project.run(&["doctor", "--json"]);
    let report: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(&output)));
    let failed: Vec<&Value> =
        report["checks"].as_array().unwrap().iter().filter(|check| check["state"] == "failed").collect();
    assert_eq!(output.status.code(), Some(i32::from(!failed.is_empty())), "{report:#}");
    for check in &failed {
        assert!(check["hint"].is_string() || check["remedy_sql"].is_string(), "no next step: {check:#}");
    }
    failed.iter().map(|check| check["code"].as_str().unwrap_or_default().to_owned()).collect()
}

/// What could have been changed at the source.
fn at_the_source(cluster: &PgCluster) -> String {
    cluster
        .execute(
            "SELECT (SELECT string_agg(slot_name, ',' ORDER BY 1) FROM pg_replication_slots), \
             (SELECT string_agg(pubname, ',' ORDER BY 1) FROM pg_publication)",
        )
        .unwrap()
}

/// `up` ends with the code and the status, and says what to do.
#[track_caller]
fn up_refuses(project: &Project, code: &str, exit: i32) {
    let mut process = Process::spawn(project.command(&["up"])).unwrap();
    let status = process.wait(END_WAIT_MAX).unwrap();
    let said = process.stderr();
    assert_eq!(status.code(), Some(exit), "{said}");
    assert!(said.contains(&format!("error[{code}]:")), "{said}");
    assert!(said.contains("hint:"), "no next step: {said}");
    assert!(!said.contains("panicked"), "{said}");
    let base = project.data().join("log");
    let written = fs::read_dir(project.data()).map_or(0, |entries| {
        entries
            .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().ends_with(".duckdb"))
            .count()
    });
    assert_eq!(written, 0, "a warehouse was made, {}", base.display());
}

/// Both tell it, and the source stays as it was.
#[track_caller]
fn refused(cluster: &PgCluster, project: &Project, code: &str, exit: i32) {
    let before = at_the_source(cluster);
    assert_eq!(doctor(project), [code]);
    up_refuses(project, code, exit);
    assert_eq!(at_the_source(cluster), before, "something was changed");
}

fn project(url: &str) -> Project {
    Project::with_source(url, "tables: [\"public.*\"]\nslot: s\npublication: p")
}

#[test]
fn a_source_that_is_ready_is_told_so() {
    let cluster = PgCluster::start_default().unwrap();
    cluster.execute(TABLE).unwrap();
    let before = at_the_source(&cluster);
    assert_eq!(doctor(&project(&cluster.url())), Vec::<String>::new());
    assert_eq!(at_the_source(&cluster), before);
}

#[test]
fn ways_in_that_are_shut_are_told_apart() {
    let cluster = PgCluster::builder()
        .hba("host all app 127.0.0.1/32 scram-sha-256")
        .hba("host all postgres 127.0.0.1/32 trust")
        .start()
        .unwrap();
    cluster.execute(&format!("{TABLE}; CREATE ROLE app LOGIN REPLICATION PASSWORD 'right'")).unwrap();
    let wrong = project(&cluster.url_for("app", "secretly-wrong", "postgres"));
    refused(&cluster, &wrong, "MS2004", 3);
    assert!(!text(&wrong.run(&["up"])).contains("secretly"), "the password is told");
    refused(&cluster, &project(&format!("{}?sslmode=require", cluster.url())), "MS2003", 3);
    refused(&cluster, &project(&cluster.url_for("postgres", "", "nowhere")), "MS2005", 3);
    let url = cluster.url();
    drop(cluster);
    let gone = project(&url);
    assert_eq!(doctor(&gone), ["MS2002"]);
    up_refuses(&gone, "MS2002", 3);
}

#[test]
fn a_server_that_can_not_replicate_is_told() {
    let cluster = PgCluster::builder().setting("wal_level", "replica").start().unwrap();
    cluster.execute(TABLE).unwrap();
    refused(&cluster, &project(&cluster.url()), "MS2102", 3);
}

#[test]
fn rights_that_are_missing_are_told_with_their_grants() {
    let cluster = PgCluster::start_default().unwrap();
    cluster
        .execute(&format!(
            "{TABLE}; CREATE ROLE replicators REPLICATION; CREATE ROLE app LOGIN IN ROLE replicators; CREATE PUBLICATION p FOR ALL TABLES"
        ))
        .unwrap();
    let app = project(&cluster.url_for("app", "", "postgres"));
    cluster.execute("GRANT SELECT ON t TO app").unwrap();
    // A right that was granted only through another role is none.
    refused(&cluster, &app, "MS2103", 3);
    cluster.execute("ALTER ROLE app REPLICATION; REVOKE SELECT ON t FROM app").unwrap();
    refused(&cluster, &app, "MS2104", 3);
    let sql = app.run(&["doctor", "--fix-sql"]);
    assert!(text(&sql).contains("GRANT SELECT ON \"public\".\"t\" TO \"app\";"), "{}", text(&sql));
    cluster.execute(&String::from_utf8(sql.stdout).unwrap()).unwrap();
    assert_eq!(doctor(&app), Vec::<String>::new(), "the remedy is enough");
}

#[test]
fn a_server_without_a_free_slot_or_walsender_is_told() {
    let cluster = PgCluster::builder()
        .setting("max_replication_slots", 1)
        .setting("max_wal_senders", 1)
        .start()
        .unwrap();
    cluster.execute(TABLE).unwrap();
    cluster.execute("SELECT pg_create_physical_replication_slot('other')").unwrap();
    refused(&cluster, &project(&cluster.url()), "MS2105", 3);
    cluster.execute("SELECT pg_drop_replication_slot('other')").unwrap();
    // Somebody else's stream takes the only walsender.
    let mut other = std::process::Command::new(cluster.bin_dir().join("pg_receivewal"));
    let wal = tempfile::tempdir().unwrap();
    other.arg("-D").arg(wal.path()).arg("-d").arg(cluster.url());
    let mut other = Process::spawn(other).unwrap();
    let busy = "SELECT count(*) FROM pg_stat_replication";
    millstream_testkit::wait_until("the other stream", END_WAIT_MAX, || {
        (cluster.execute(busy).unwrap() == "1").then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}: {}", other.tail()));
    refused(&cluster, &project(&cluster.url()), "MS2106", 3);
    other.kill().unwrap();
}

#[test]
fn slots_that_are_not_ours_to_read_are_told() {
    let cluster = PgCluster::start_default().unwrap();
    cluster.execute(TABLE).unwrap();
    cluster.execute("CREATE DATABASE elsewhere").unwrap();
    let ours = project(&cluster.url());
    let drop_slot = || cluster.execute("SELECT pg_drop_replication_slot('s')").unwrap();

    cluster.execute("SELECT pg_create_logical_replication_slot('s', 'test_decoding')").unwrap();
    refused(&cluster, &ours, "MS2302", 3);
    drop_slot();
    cluster.execute_in("elsewhere", "SELECT pg_create_logical_replication_slot('s', 'pgoutput')").unwrap();
    refused(&cluster, &ours, "MS2302", 3);
    cluster.execute_in("elsewhere", "SELECT pg_drop_replication_slot('s')").unwrap();

    // In use: `doctor` says by whom; `up` waits for it for a while, as it may be its own predecessor's.
    cluster.execute("SELECT pg_create_logical_replication_slot('s', 'pgoutput')").unwrap();
    cluster.execute("CREATE PUBLICATION other FOR TABLE t").unwrap();
    let mut reader = std::process::Command::new(cluster.bin_dir().join("pg_recvlogical"));
    reader.args([
        "--start",
        "-S",
        "s",
        "-f",
        "/dev/null",
        "-o",
        "proto_version=1",
        "-o",
        "publication_names=other",
        "-d",
    ]);
    reader.arg(cluster.url());
    let mut reader = Process::spawn(reader).unwrap();
    millstream_testkit::wait_until("the slot to be in use", END_WAIT_MAX, || {
        (cluster.execute("SELECT active FROM pg_replication_slots").unwrap() == "t").then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}: {}", reader.tail()));
    assert_eq!(doctor(&ours), ["MS2301"]);
    reader.kill().unwrap();
}

#[test]
fn a_slot_whose_wal_is_gone_is_told() {
    let cluster = PgCluster::builder()
        .setting("max_slot_wal_keep_size", "1MB")
        .setting("min_wal_size", "32MB")
        .setting("max_wal_size", "32MB")
        .start()
        .unwrap();
    cluster.execute(TABLE).unwrap();
    cluster.execute("SELECT pg_create_logical_replication_slot('s', 'pgoutput')").unwrap();
    for _ in 0..4 {
        cluster.execute("SELECT pg_logical_emit_message(false, 'x', repeat('y', 8000000)); SELECT pg_switch_wal(); CHECKPOINT").unwrap();
    }
    refused(&cluster, &project(&cluster.url()), "MS2304", 4);
}

#[test]
fn tables_that_publishing_would_harm_are_told() {
    let cluster = PgCluster::start_default().unwrap();
    cluster.execute("CREATE TABLE t (a int)").unwrap();
    refused(&cluster, &project(&cluster.url()), "MS2203", 3);
    cluster.execute("DROP TABLE t; CREATE TABLE t (id int PRIMARY KEY DEFERRABLE)").unwrap();
    refused(&cluster, &project(&cluster.url()), "MS2203", 3);
    cluster.execute("DROP TABLE t; CREATE UNLOGGED TABLE t (id int PRIMARY KEY)").unwrap();
    refused(&cluster, &project(&cluster.url()), "MS2204", 3);
}

#[test]
fn a_pattern_that_matches_nothing_is_told_with_the_nearest_table() {
    let cluster = PgCluster::start_default().unwrap();
    cluster.execute("CREATE TABLE orders (id int PRIMARY KEY)").unwrap();
    let project = Project::with_source(&cluster.url(), "tables: [\"public.ordres\"]");
    let before = at_the_source(&cluster);
    assert_eq!(doctor(&project), ["MS2201"]);
    up_refuses(&project, "MS1012", 2);
    assert!(text(&project.run(&["up"])).contains("orders"), "{}", text(&project.run(&["up"])));
    assert_eq!(at_the_source(&cluster), before);
}

#[test]
fn names_that_the_warehouse_can_not_tell_apart_are_told() {
    let cluster = PgCluster::start_default().unwrap();
    for (tables, drop) in [
        ("CREATE TABLE t (\"ID\" int PRIMARY KEY, id int)", "DROP TABLE t"),
        ("CREATE TABLE t (id int PRIMARY KEY, valid_from date)", "DROP TABLE t"),
        (
            "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE \"T\" (id int PRIMARY KEY)",
            "DROP TABLE t, \"T\"",
        ),
        (
            "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE t_history (id int PRIMARY KEY)",
            "DROP TABLE t, t_history",
        ),
    ] {
        cluster.execute(tables).unwrap();
        refused(&cluster, &project(&cluster.url()), "MS5105", 2);
        cluster.execute(drop).unwrap();
    }
}

#[test]
fn a_configuration_that_is_wrong_is_told_with_its_line() {
    let project = project("postgres://nobody@127.0.0.1:1/none");
    let file = project.directory().join("millstream.yml");
    let right = fs::read_to_string(&file).unwrap();
    for (wrong, code) in [
        (right.replace("slot: s", "slott: s"), "MS1004"),
        (format!("{right}alerts: []\n"), "MS1005"),
        (format!("{right}serve: {{http: \"10.0.0.1:80\"}}\n"), "MS1008"),
        (right.replace("version: 1", "version: one"), "MS1011"),
        (right.replace("name: scenario", "name: [scenario]"), "MS1006"),
    ] {
        fs::write(&file, wrong).unwrap();
        for verb in ["doctor", "up", "status"] {
            let output = project.run(&[verb]);
            assert_eq!(output.status.code(), Some(2), "{verb}: {}", text(&output));
            assert!(text(&output).contains(&format!("error[{code}]")), "{verb}: {}", text(&output));
            assert!(text(&output).contains("millstream.yml:"), "no line: {}", text(&output));
        }
    }
    assert!(!project.data().exists(), "something was written");
}

/// As an ordinary user: root may write anywhere.
#[test]
fn a_directory_that_can_not_be_written_is_told() {
    let cluster = PgCluster::start_default().unwrap();
    cluster.execute(TABLE).unwrap();
    let project = project(&cluster.url());
    let directory = project.directory();
    fs::set_permissions(directory, fs::Permissions::from_mode(0o555)).unwrap();
    // Root may write anywhere until it gives the right up. Another user could not: the program may lie where only root comes.
    let as_user = |verb: &str| {
        use std::os::unix::process::CommandExt;
        let mut command = project.command(&[verb]);
        // SAFETY: both calls are async-signal-safe; the number is a capability of linux/capability.h.
        unsafe {
            command.pre_exec(|| {
                const CAP_DAC_OVERRIDE: libc::c_ulong = 1;
                if libc::geteuid() == 0 && libc::prctl(libc::PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0) != 0
                {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            });
        }
        command.output().unwrap()
    };
    let before = at_the_source(&cluster);
    let told = as_user("doctor");
    assert_eq!(told.status.code(), Some(1), "{}", text(&told));
    assert!(text(&told).contains("[MS6003]"), "{}", text(&told));
    let refused = as_user("up");
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused));
    assert!(
        text(&refused).contains("error[MS6003]") && text(&refused).contains("hint:"),
        "{}",
        text(&refused)
    );
    assert_eq!(at_the_source(&cluster), before);
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
}
