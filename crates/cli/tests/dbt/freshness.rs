//! How old the rows of sources are, told by this program and by dbt.

use std::{collections::BTreeMap, fs};

use serde_json::{json, Value};

use crate::Pair;

/// Tables whose newest rows are of various ages, of types with a zone and without, one without rows and one that isn't there.
const TABLES: &str = "\
create schema if not exists raw;
create or replace table raw.now_zoned as select now() as seen;
create or replace table raw.days as select now()::timestamp - interval 3 day as seen, 1 as kind union all select now()::timestamp - interval 30 day, 2;
create or replace table raw.none as select now() as seen where false;
create or replace table raw.dated as select current_date as seen";

const SOURCES: &str = r#"
version: 2
sources:
  - name: raw
    config:
      freshness: {warn_after: {count: 36, period: hour}, error_after: {count: 10, period: day}}
      loaded_at_field: seen
    tables:
      - name: now_zoned
      - name: days
        freshness: {filter: kind = 1}
      - name: older
        identifier: days
        config: {freshness: {filter: "kind = {{ 1 + 1 }}"}}
      - {name: only_warned, identifier: days, freshness: {error_after: null, filter: kind = 2}}
      - {name: never, identifier: none}
      - {name: dated}
      - {name: gone, identifier: no_such_table}
      - {name: not_asked, identifier: days, freshness: null}
      - name: queried
        identifier: days
        loaded_at_query: select min(seen) from {{ this }} where kind < {{ var('kind', 2) }}
        tags: [asked]
  - {name: silent, schema: raw, tables: [{name: days}]}
"#;

fn answers(pair: &Pair, side: &str) -> BTreeMap<String, Value> {
    let text = fs::read_to_string(pair.at(side).join("target/sources.json")).unwrap();
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["metadata"]["dbt_schema_version"], "https://schemas.getdbt.com/dbt/sources/v3.json");
    assert!(json["elapsed_time"].is_number());
    let results = json["results"].as_array().unwrap().iter().map(|result| {
        let mut result = result.clone();
        let map = result.as_object_mut().unwrap();
        // When it was asked differs: ages are compared in days, moments by their form.
        let age = map["max_loaded_at_time_ago_in_s"].as_f64().unwrap();
        map.insert("max_loaded_at_time_ago_in_s".into(), json!((age / 86_400.0).round()));
        for key in ["max_loaded_at", "snapshotted_at"] {
            assert!(
                map[key].as_str().is_some_and(|at| at.ends_with("+00:00") && at.contains('T')),
                "{map:?}"
            );
            map.insert(key.into(), json!("a moment"));
        }
        assert!(map["execution_time"].is_number() && map["timing"][1]["started_at"].is_string(), "{map:?}");
        for key in ["execution_time", "timing", "thread_id"] {
            map.insert(key.into(), Value::Null);
        }
        (result["unique_id"].as_str().unwrap().to_owned(), result)
    });
    results.collect()
}

#[test]
fn tables_of_sources_are_as_old_as_dbt_tells() {
    let pair = Pair::new("shop", "bakery.duckdb");
    let project = fs::read_to_string(pair.at("ours").join("dbt_project.yml")).unwrap();
    let hooks = "on-run-start: create or replace table hooked as select 1 as a\n";
    pair.write("dbt_project.yml", &format!("{project}{hooks}"));
    pair.write("models/sources.yml", SOURCES);
    pair.write(
        "macros/tables.sql",
        &format!("{{% macro tables() %}}{{% for sql in \"{TABLES}\".split(';') %}}{{% do run_query(sql) %}}{{% endfor %}}{{% endmacro %}}"),
    );
    let fill = || {
        let arguments = ["run-operation", "tables"];
        assert!(pair.dbt(&arguments).status.success() && pair.ours(&arguments).status.success());
    };
    fill();
    let same = |arguments: &[&str]| {
        let (theirs, ours) = (pair.dbt(arguments), pair.ours(arguments));
        let told =
            format!("{}{}", String::from_utf8_lossy(&ours.stdout), String::from_utf8_lossy(&ours.stderr));
        let theirs_told = String::from_utf8_lossy(&theirs.stdout);
        assert_eq!(
            ours.status.code(),
            theirs.status.code(),
            "{}\n{told}\ndbt:\n{theirs_told}",
            arguments.join(" ")
        );
        assert_eq!(answers(&pair, "ours"), answers(&pair, "theirs"), "{told}\ndbt:\n{theirs_told}");
        told
    };
    let told = same(&["source", "freshness"]);
    for words in [
        "PASS freshness of raw.now_zoned",
        "WARN freshness of raw.days",
        "ERROR STALE freshness of raw.older",
        "ERROR freshness of raw.gone",
        "Done.",
    ] {
        assert!(told.contains(words), "{words}\n{told}");
    }
    assert_eq!(pair.ask("select * from hooked"), "[(1,)]");
    let ours = answers(&pair, "ours");
    assert_eq!(ours["source.bakery.raw.never"]["status"], "error");
    assert_eq!(ours["source.bakery.raw.only_warned"]["status"], "warn");
    same(&["source", "freshness", "--select", "source:raw.now_zoned", "source:raw.days"]);
    same(&["source", "freshness", "--select", "tag:asked", "--vars", "{kind: 3}"]);
    // What was loaded since the earlier look is fresher.
    for side in ["theirs", "ours"] {
        let at = pair.at(side);
        fs::create_dir_all(at.join("state")).unwrap();
        for file in ["sources.json", "manifest.json"] {
            fs::copy(at.join("target").join(file), at.join("state").join(file)).unwrap();
        }
    }
    fill();
    same(&[
        "source",
        "freshness",
        "--select",
        "source:raw.queried",
        "source:raw.now_zoned",
        "source:raw.days",
    ]);
    pair.lists(&["--select", "source_status:fresher+", "--state", "state", "--resource-type", "source"]);
}
