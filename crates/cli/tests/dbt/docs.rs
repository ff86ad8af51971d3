//! The description of a project: `catalog.json` as dbt writes it, and the page that shows it.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::Stdio,
};

use serde_json::Value;

use crate::Pair;

fn catalog(pair: &Pair, side: &str) -> Value {
    let text = fs::read_to_string(pair.at(side).join("target/catalog.json")).unwrap();
    let mut json: Value = serde_json::from_str(&text).unwrap();
    let metadata = json["metadata"].as_object_mut().unwrap();
    assert_eq!(metadata["dbt_schema_version"], "https://schemas.getdbt.com/dbt/catalog/v1.json");
    for key in ["generated_at", "invocation_id", "invocation_started_at", "run_started_at"] {
        metadata.remove(key);
    }
    json
}

#[test]
fn the_catalogue_is_dbts_and_says_what_is_in_the_warehouse() {
    let pair = Pair::new("shop", "bakery.duckdb");
    let same = |arguments: &[&str]| pair.ends_alike(arguments);
    let project = fs::read_to_string(pair.at("ours").join("dbt_project.yml")).unwrap();
    pair.write("dbt_project.yml", &format!("{project}\nasset-paths: [pictures]\n"));
    pair.write("pictures/deep/oven.txt", "hot");
    pair.write(
        "models/sources.yml",
        "version: 2\nsources: [{name: shelf, schema: main_raw, tables: [{name: loaves}, {name: gone}]}]",
    );
    pair.write(
        "macros/noted.sql",
        "{% macro noted() %}{% do run_query(\"comment on table loaf_totals is 'By loaf.'\") %}\
         {% do run_query(\"comment on column patron_totals.paid is 'Cents?'\") %}{% endmacro %}",
    );
    pair.both(&["build"]);
    pair.both(&["run-operation", "noted"]);
    same(&["docs", "generate"]);
    assert_eq!(catalog(&pair, "ours"), catalog(&pair, "theirs"));
    assert_eq!(pair.statuses("ours"), pair.statuses("theirs"));
    assert_eq!(pair.compiled("ours"), pair.compiled("theirs"));
    assert_eq!(fs::read_to_string(pair.at("ours").join("target/pictures/deep/oven.txt")).unwrap(), "hot");
    let manifest = fs::read_to_string(pair.at("ours").join("target/manifest.json")).unwrap();
    assert!(manifest.contains("\"compiled_code\""));
    same(&["docs", "generate", "--select", "patron_totals", "source:shelf", "--static"]);
    assert_eq!(catalog(&pair, "ours"), catalog(&pair, "theirs"));
    let page = fs::read_to_string(pair.at("ours").join("target/static_index.html")).unwrap();
    assert!(page.contains("\"model.bakery.patron_totals\"") && page.contains("id=\"catalog\">{"));
    same(&["docs", "generate", "--empty-catalog", "--no-compile"]);
    assert_eq!(catalog(&pair, "ours"), catalog(&pair, "theirs"));
    pair.write("models/staging/stg_loaves.sql", "select {{ nosuch() }}");
    same(&["docs", "generate"]);
}

#[test]
fn the_docs_are_served_to_this_machine_alone() {
    let pair = Pair::new("shop", "bakery.duckdb");
    let told = |output: std::process::Output| String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told(pair.ours(&["docs", "serve"])).contains("docs generate"));
    assert!(pair.ours(&["build"]).status.success());
    assert!(pair.ours(&["docs", "generate"]).status.success());
    assert!(told(pair.ours(&["docs", "serve", "--host", "0.0.0.0", "--port", "0"])).contains("MS7003"));
    let mut serving = pair
        .our_command(&["docs", "serve", "--port", "0", "--no-browser"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(serving.stdout.take().unwrap()).lines().map(Result::unwrap);
    let line = lines.find(|line| line.contains("http://")).unwrap();
    let address = line.split("http://").nth(1).unwrap().split('/').next().unwrap().to_owned();
    let ask = |path: &str, host: &str| {
        let mut stream = TcpStream::connect(&address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(ask("/", &address).contains("<!doctype html>"));
    assert!(ask("/manifest.json", &address).contains("model.bakery.patron_totals"));
    assert!(ask("/catalog.json", &address).contains("BASE TABLE"));
    for path in ["/../profiles.yml", "/%2e%2e/profiles.yml", "//etc/hostname", "/none"] {
        assert!(ask(path, &address).starts_with("HTTP/1.1 404"), "{path}");
    }
    assert!(!ask("/manifest.json", "elsewhere.example.com").contains("patron_totals"));
    let stopped = std::process::Command::new("kill").arg(serving.id().to_string()).status().unwrap();
    assert!(stopped.success() && serving.wait().unwrap().success());
}
