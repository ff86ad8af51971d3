//! Drivers of other languages. Each script in `clients/` asserts by itself and says `ok`; `scripts/clients` fetches what they need.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use super::fixture::Fixture;

/// Where `scripts/clients` puts them.
fn fetched(part: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let path = root.join(".tools/clients").join(part);
    assert!(path.exists(), "{} is missing: run scripts/clients", path.display());
    path
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/postgres/clients").join(name)
}

#[track_caller]
fn says_ok(command: &mut Command) {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(text(&output.stdout), "ok\n", "{}", text(&output.stderr));
}

fn python(name: &str) {
    let fixture = Fixture::new();
    let program = fetched("python/bin/python");
    says_ok(fixture.client(program.to_str().unwrap()).arg(script(name)));
}

#[test]
fn psycopg_3_reads_in_text_and_binary() {
    python("psycopg3.py");
}

#[test]
fn asyncpg_prepares_everything() {
    python("asyncpg_client.py");
}

#[test]
fn sqlalchemy_reflects_tables_views_and_keys() {
    python("sqlalchemy_client.py");
}

#[test]
fn dbt_connects_and_documents_what_is_there() {
    let fixture = Fixture::new();
    let program = fetched("dbt/bin/python");
    says_ok(fixture.client(program.to_str().unwrap()).arg(script("dbt_client.py")));
}

#[test]
fn node_postgres_queries_pools_and_pages() {
    let fixture = Fixture::new();
    says_ok(fixture.client("node").env("CLIENTS_NODE", fetched("node")).arg(script("node.mjs")));
}

#[test]
fn jdbc_reads_the_metadata_that_dbeaver_shows() {
    let fixture = Fixture::new();
    let driver = fetched("jdbc/postgresql.jar");
    says_ok(fixture.client("java").arg("-cp").arg(driver).arg(script("Jdbc.java")));
}
