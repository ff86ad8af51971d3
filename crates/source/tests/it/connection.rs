//! Ways in: authentication methods, TLS modes, and what is said when there is none.

use std::{path::Path, time::Duration};

use millstream_core::{Diagnostic, Exit};
use millstream_source::{wire::Wire, Connection, SourceError};
use millstream_testkit::PgCluster;

use crate::superuser;

fn connection(cluster: &PgCluster, user: &str, password: &str, more: &str) -> Connection {
    format!("{}{more}", cluster.url_for(user, password, "postgres")).parse().unwrap()
}

#[tokio::test]
async fn every_authentication_method_lets_in_with_the_right_password_only() {
    let cluster = PgCluster::builder()
        .hba("host all by_scram 127.0.0.1/32 scram-sha-256")
        .hba("host all by_md5 127.0.0.1/32 md5")
        .hba("host all by_text 127.0.0.1/32 password")
        .start()
        .unwrap();
    cluster
        .execute(
            "SET password_encryption = 'scram-sha-256'; CREATE ROLE by_scram LOGIN PASSWORD 'p w'; \
             CREATE ROLE by_text LOGIN PASSWORD 'p w'; \
             SET password_encryption = 'md5'; CREATE ROLE by_md5 LOGIN PASSWORD 'p w'",
        )
        .unwrap();
    for user in ["by_scram", "by_md5", "by_text"] {
        let mut wire = Wire::connect(&connection(&cluster, user, "p w", "")).await.unwrap();
        let row = wire.query_one("asking", "SELECT current_user, NULL, 'é'").await.unwrap();
        assert_eq!((row.get(0), row.get(1), row.get(2)), (Some(user), None, Some("é")));
        wire.close().await;

        for password in ["wrong", ""] {
            let error = Wire::connect(&connection(&cluster, user, password, "")).await.err().unwrap();
            assert!(matches!(error, SourceError::Authentication { .. }), "{user}: {error:?}");
            assert_eq!((error.exit(), error.is_transient()), (Exit::Unreachable, false));
        }
    }
}

#[tokio::test]
async fn sslmode_decides_what_is_checked() {
    let cluster = PgCluster::builder()
        .tls()
        .hba("hostssl all postgres 127.0.0.1/32 trust")
        .hba("hostssl all bound 127.0.0.1/32 scram-sha-256")
        .start()
        .unwrap();
    cluster
        .execute("SET password_encryption = 'scram-sha-256'; CREATE ROLE bound LOGIN PASSWORD 'p'")
        .unwrap();
    let known = cluster.ca_certificate().unwrap();
    let stranger = cluster.other_ca_certificate().unwrap();
    let attempt = |mode: &str, roots: Option<&Path>, host: &str| {
        let roots = roots.map(|path| format!(" sslrootcert={}", path.display())).unwrap_or_default();
        let text = format!(
            "host={host} port={} user=postgres dbname=postgres sslmode={mode}{roots}",
            cluster.port()
        );
        async move { Wire::connect(&text.parse().unwrap()).await.map(|wire| wire.is_tls()) }
    };
    assert!(attempt("prefer", None, "127.0.0.1").await.unwrap());
    assert!(attempt("require", None, "127.0.0.1").await.unwrap());
    assert!(attempt("verify-ca", Some(&known), "127.0.0.1").await.unwrap());
    assert!(attempt("verify-full", Some(&known), "localhost").await.unwrap());
    for (mode, roots, host) in [
        ("verify-full", Some(&*stranger), "localhost"),
        ("verify-ca", Some(&*stranger), "127.0.0.1"),
        ("require", Some(&*stranger), "127.0.0.1"),
        ("verify-full", None, "localhost"),
    ] {
        let error = attempt(mode, roots, host).await.unwrap_err();
        assert!(matches!(error, SourceError::Tls { .. }), "{mode}: {error:?}");
    }
    // pg_hba.conf lets nobody in without TLS.
    let error = attempt("disable", None, "127.0.0.1").await.unwrap_err();
    assert!(matches!(error, SourceError::Authentication { .. }), "{error:?}");

    // SCRAM bound to the channel: a server that could not prove the same certificate would refuse.
    let bound = connection(&cluster, "bound", "p", "?sslmode=require&channel_binding=require");
    assert!(Wire::connect(&bound).await.unwrap().is_tls());
}

#[tokio::test]
async fn verify_full_refuses_a_certificate_for_another_name_and_verify_ca_does_not() {
    let cluster = PgCluster::builder().tls().start().unwrap();
    let roots = cluster.ca_certificate().unwrap();
    let attempt = |mode: &str| {
        let text = format!(
            "host=another.example hostaddr=127.0.0.1 port={} user=postgres dbname=postgres sslmode={mode} sslrootcert={}",
            cluster.port(),
            roots.display()
        );
        async move { Wire::connect(&text.parse().unwrap()).await }
    };
    attempt("verify-ca").await.unwrap();
    let error = attempt("verify-full").await.err().unwrap();
    assert!(error.to_string().contains("another host"), "{error}");
}

#[tokio::test]
async fn tls_demanded_and_absent_is_said() {
    let cluster = PgCluster::start_default().unwrap();
    let error = Wire::connect(&connection(&cluster, "postgres", "", "?sslmode=require")).await.err().unwrap();
    assert_eq!((error.code(), error.exit()), ("MS2003", Exit::Unreachable));
    assert!(!Wire::connect(&connection(&cluster, "postgres", "", "?sslmode=prefer")).await.unwrap().is_tls());
}

#[tokio::test]
async fn a_socket_directory_is_a_way_in() {
    let cluster = PgCluster::start_default().unwrap();
    let text = format!(
        "host={} port={} user=postgres dbname=postgres",
        cluster.socket_dir().display(),
        cluster.port()
    );
    let mut wire = Wire::connect(&text.parse().unwrap()).await.unwrap();
    assert!(wire.version().major >= 12);
    let settings =
        "SELECT current_setting('TimeZone'), current_setting('DateStyle'), current_setting('search_path')";
    let row = wire.query_one("asking", settings).await.unwrap();
    assert_eq!((row.get(0), row.get(1), row.get(2)), (Some("UTC"), Some("ISO, MDY"), Some("")));
}

#[tokio::test]
async fn nobody_there_and_no_such_database_are_told_apart() {
    let cluster = PgCluster::start_default().unwrap();
    let error =
        Wire::connect(&cluster.url_for("postgres", "", "nowhere").parse().unwrap()).await.err().unwrap();
    assert_eq!((error.code(), error.is_transient()), ("MS2005", false));
    let mut connection = superuser(&cluster);
    drop(cluster);
    connection.connect_timeout = Duration::from_secs(5);
    let error = Wire::connect(&connection).await.err().unwrap();
    assert_eq!((error.code(), error.is_transient()), ("MS2002", true));
    assert_eq!(error.exit(), Exit::Unreachable);
}

#[tokio::test]
async fn an_error_leaves_the_connection_usable() {
    let cluster = PgCluster::start_default().unwrap();
    let mut wire = Wire::connect(&superuser(&cluster)).await.unwrap();
    let error = wire.query("dividing", "SELECT 1; SELECT 1/0").await.unwrap_err();
    assert!(error.to_string().contains("22012"), "{error}");
    assert_eq!(wire.query_one("asking", "SELECT 7").await.unwrap().get(0), Some("7"));
}
