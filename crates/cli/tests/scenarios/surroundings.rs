//! What happens around the program: other databases, other instances, slots, networks, restarts.

use std::time::Duration;

use millstream_testkit::{wait_until, PgCluster, TcpProxy, Weather};

use crate::live::Live;
use crate::project::{stop, Project};

/// Keepalives come every few seconds at most; the server's own timeout is a minute.
const NOTICE_WAIT_MAX: Duration = Duration::from_secs(60);

#[test]
fn a_clean_stop_and_a_start_lose_nothing_in_between() {
    let mut live = Live::start("CREATE TABLE notes (id int PRIMARY KEY);");
    live.change("INSERT INTO notes VALUES (1);");
    for id in 2..5 {
        live.process.signal(libc::SIGTERM).unwrap();
        assert_eq!(live.process.wait(NOTICE_WAIT_MAX).unwrap().code(), Some(0), "{}", live.process.tail());
        live.write(&format!("INSERT INTO notes VALUES ({id});"));
        live.start_again();
    }
    live.project.catch_up();
    live.project.expect("SELECT count(*) AS n FROM shop.notes", r#"[{"n":4}]"#);
    live.finish();
}

#[test]
fn caught_up_is_said_of_an_idle_source_too() {
    let cluster = PgCluster::start_default().unwrap();
    cluster.execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)").unwrap();
    let project = Project::with_source(&cluster.url(), "tables: [\"public.t\"]");
    project.catch_up();
    project.catch_up();
    project.expect("SELECT id FROM public.t", r#"[{"id":1}]"#);
    project.verify();
}

#[test]
fn the_slot_of_an_idle_database_advances_beside_a_busy_one() {
    let live = Live::start("CREATE TABLE quiet (id int PRIMARY KEY);");
    live.cluster.execute("CREATE DATABASE busy").unwrap();
    live.cluster.execute_in("busy", "CREATE TABLE t AS SELECT generate_series(1, 200000)").unwrap();
    let target = live.cluster.execute("SELECT pg_current_wal_lsn()").unwrap();
    let behind = format!(
        "SELECT count(*) FROM pg_replication_slots WHERE slot_type = 'logical' AND confirmed_flush_lsn < '{target}'"
    );
    wait_until("the slot to advance", NOTICE_WAIT_MAX, || {
        // What a busy server does all the time: the position to report moves.
        live.cluster.execute_in("busy", "INSERT INTO t VALUES (0)").unwrap();
        (live.cluster.execute(&behind).unwrap() == "0").then_some(())
    })
    .unwrap();
    live.finish();
}

#[test]
fn a_slot_that_was_dropped_is_never_gone_on_without() {
    let mut live = Live::start("CREATE TABLE t (id int PRIMARY KEY);");
    live.change("INSERT INTO t VALUES (1);");
    live.kill();
    let slot = live.cluster.execute("SELECT slot_name FROM pg_replication_slots").unwrap();
    let free = || live.cluster.execute(&format!("SELECT pg_drop_replication_slot('{slot}')")).ok();
    wait_until("the slot to be free", NOTICE_WAIT_MAX, free).unwrap();
    live.write("INSERT INTO t VALUES (2);");
    let mut process = live.project.up("");
    let status = process.wait(NOTICE_WAIT_MAX).unwrap();
    assert_eq!(status.code(), Some(4), "{}", process.tail());
    // Nor is a new one of the same name the old one.
    live.cluster
        .execute(&format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')"))
        .unwrap();
    let mut process = live.project.up("");
    let status = process.wait(NOTICE_WAIT_MAX).unwrap();
    assert_eq!(status.code(), Some(4), "{}", process.tail());
}

#[test]
fn a_second_instance_is_refused() {
    let live = Live::start("CREATE TABLE t (id int PRIMARY KEY);");
    let mut second = live.project.up("");
    let status = second.wait(NOTICE_WAIT_MAX).unwrap();
    assert_eq!(status.code(), Some(4), "{}", second.tail());
    live.change("INSERT INTO t VALUES (1);");
    live.finish();
}

/// the network is cut in the middle of messages, again and again.
#[test]
fn a_network_that_is_cut_again_and_again_costs_nothing_but_time() {
    let cluster = PgCluster::builder().setting("logical_decoding_work_mem", "64kB").start().unwrap();
    cluster.execute("CREATE SCHEMA shop; CREATE TABLE shop.t (id int PRIMARY KEY, text text)").unwrap();
    let proxy = TcpProxy::start(cluster.port()).unwrap();
    let url = cluster.url().replace(&format!(":{}/", cluster.port()), &format!(":{}/", proxy.port()));
    let project = Project::with_source(&url, "tables: [\"shop.*\"]");
    let mut process = project.up("");
    project.await_streaming(&mut process);
    for round in 0..6 {
        let insert = format!(
            "INSERT INTO shop.t SELECT {round} * 1000 + g, md5(g::text) FROM generate_series(1, 900) g"
        );
        proxy.set(Weather::Dripping { bytes: 4096, pause: Duration::from_millis(1) });
        cluster.execute(&insert).unwrap();
        std::thread::sleep(Duration::from_millis(10 * round));
        proxy.cut_once();
        proxy.set(Weather::Clear);
    }
    proxy.set(Weather::Cut);
    cluster.execute("DELETE FROM shop.t WHERE id < 500").unwrap();
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(process.try_wait().unwrap(), None, "{}", process.tail());
    proxy.set(Weather::Clear);
    wait_until("the rows", NOTICE_WAIT_MAX, || {
        project.sql("SELECT count(*) AS n FROM shop.t").contains(": 4901").then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}\n{}", process.tail()));
    project.verify();
    stop(process);
}
