//! A cluster comes up with what replication needs, survives stops and kills, and leaves nothing behind.

use std::process::Command;

use millstream_testkit::{PgCluster, StopMode};

#[test]
fn a_cluster_is_ready_for_logical_replication() {
    let cluster = PgCluster::start_default().unwrap();
    assert_eq!(cluster.execute("SHOW wal_level").unwrap(), "logical");
    let slot = "SELECT slot_name FROM pg_create_logical_replication_slot('s', 'pgoutput')";
    assert_eq!(cluster.execute(slot).unwrap(), "s");
    let over_tcp = Command::new(cluster.program("psql"))
        .args(["-X", "-A", "-t", "-c", "SELECT 1", &cluster.url()])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&over_tcp.stdout), "1\n");
}

#[test]
fn committed_rows_survive_a_kill_and_the_port_stays() {
    let cluster = PgCluster::builder().fsync(true).start().unwrap();
    let (port, pid) = (cluster.port(), cluster.pid());
    cluster.execute("CREATE TABLE t (a int); INSERT INTO t VALUES (1), (2)").unwrap();
    cluster.kill().unwrap();
    assert_eq!(cluster.pid(), None);
    assert!(cluster.execute("SELECT 1").is_err());
    cluster.start().unwrap();
    assert_eq!(cluster.port(), port);
    assert_ne!(cluster.pid(), pid);
    assert_eq!(cluster.execute("SELECT count(*) FROM t").unwrap(), "2");
    cluster.restart(StopMode::Fast).unwrap();
    assert_eq!(cluster.execute("SELECT count(*) FROM t").unwrap(), "2");
}

#[test]
fn nothing_is_left_after_a_drop() {
    let cluster = PgCluster::start_default().unwrap();
    let (data, pid) = (cluster.data_dir(), cluster.pid().unwrap());
    let directory = data.parent().unwrap().to_owned();
    assert!(directory.exists());
    drop(cluster);
    assert!(!directory.exists());
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn a_password_is_demanded_where_one_is_set() {
    let cluster = PgCluster::builder().password("let me: in").start().unwrap();
    let psql = |url: &str| {
        let mut command = Command::new(cluster.program("psql"));
        command
            .args(["-X", "-w", "-A", "-t", "-c", "SELECT 1", url])
            .env_remove("PGPASSWORD")
            .output()
            .unwrap()
    };
    assert!(psql(&cluster.url()).status.success());
    assert!(!psql(&cluster.url_for("postgres", "wrong", "postgres")).status.success());
}

#[test]
fn tls_can_be_verified_and_clients_can_be_known_by_their_certificate() {
    let cluster = PgCluster::builder()
        .tls()
        .hba("hostssl all certified 127.0.0.1/32 cert")
        .hba("hostssl all all 127.0.0.1/32 trust")
        .start()
        .unwrap();
    cluster.execute("CREATE ROLE certified LOGIN").unwrap();
    let psql = |url: String| {
        let mut command = Command::new(cluster.program("psql"));
        let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        command.args(["-X", "-w", "-A", "-t", "-c", sql, &url]).output().unwrap()
    };
    let ca = cluster.ca_certificate().unwrap();
    let verified = psql(format!("{}?sslmode=verify-full&sslrootcert={}", cluster.url(), ca.display()));
    assert_eq!(String::from_utf8_lossy(&verified.stdout), "t\n", "{verified:?}");
    let other = cluster.other_ca_certificate().unwrap();
    let refused = psql(format!("{}?sslmode=verify-full&sslrootcert={}", cluster.url(), other.display()));
    assert!(!refused.status.success());
    let client = cluster.client_certificate("certified").unwrap();
    let known = psql(format!(
        "{}?sslmode=require&sslcert={}&sslkey={}",
        cluster.url_for("certified", "", "postgres"),
        client.certificate.display(),
        client.key.display()
    ));
    assert_eq!(String::from_utf8_lossy(&known.stdout), "t\n", "{known:?}");
}
