//! What lies beside a project's own database: databases that a profile attaches are built in, read, looked up and described as with dbt, and files are read where they are.

use std::{collections::BTreeMap, fs, process::Command};

use serde_json::Value;

use super::{dbt, Pair};

/// The project, with the file beside it that it only reads.
fn harbour() -> Pair {
    let pair = Pair::new("harbour", "harbour.duckdb");
    tides(&pair, "create table levels as select range::integer as hour, range * 1.5 as level from range(5)");
    pair
}

/// Changes the file that the project only reads.
fn tides(pair: &Pair, sql: &str) {
    for side in ["theirs", "ours"] {
        // In a format that both programs' versions of DuckDB read.
        let run = "import duckdb, sys; it = duckdb.connect(); \
                   it.execute(f\"attach '{sys.argv[1]}' as sea (storage_version 'v1.0.0'); use sea; {sys.argv[2]}\")";
        let file = pair.at(side).join("tides.duckdb");
        let ran = Command::new(dbt().join("python")).args(["-c", run]).arg(file).arg(sql).status().unwrap();
        assert!(ran.success());
    }
}

/// How nodes are called in the lines of a run, which is another each time.
fn rows_told(pair: &Pair, side: &str) -> Vec<String> {
    let output = match side {
        "ours" => pair.ours(&["build", "--full-refresh"]),
        _ => pair.dbt(&["--no-use-colors", "build", "--full-refresh"]),
    };
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let row = |line: &str| {
        let (_, row) = line.split_once(" of ")?;
        let (row, _) = row.split_once(" .")?;
        let (_, row) = row.split_once(' ')?;
        ["START", "OK", "ERROR"].iter().any(|word| row.starts_with(word)).then(|| row.to_owned())
    };
    let mut rows: Vec<String> = told.lines().filter_map(row).collect();
    rows.sort();
    rows
}

/// What the two programs say a node's relation is.
fn named(pair: &Pair, side: &str, file: &str) -> BTreeMap<String, Value> {
    let text = fs::read_to_string(pair.at(side).join("target").join(file)).unwrap();
    let found: Value = serde_json::from_str(&text).unwrap();
    let nodes: Vec<&Value> = match &found["results"] {
        Value::Array(results) => results.iter().collect(),
        _ => [&found["nodes"], &found["sources"]]
            .into_iter()
            .flat_map(|section| section.as_object().unwrap().values())
            .collect(),
    };
    nodes.into_iter().map(|node| (node["unique_id"].to_string(), node["relation_name"].clone())).collect()
}

#[test]
fn what_is_in_attached_databases_is_built_there_and_found_there_again() {
    let pair = harbour();
    assert_eq!(rows_told(&pair, "ours"), rows_told(&pair, "theirs"));
    assert!(rows_told(&pair, "ours").iter().any(|row| row.contains("store.main_deep.grown")));
    pair.both(&["build"]);
    for file in ["run_results.json", "manifest.json"] {
        let ours = named(&pair, "ours", file);
        assert_eq!(ours, named(&pair, "theirs", file));
        assert!(ours.values().any(|name| name == "\"store\".\"main_deep\".\"grown\""), "{ours:?}");
    }
    tides(&pair, "insert into levels values (5, 50), (6, 60)");
    pair.write("seeds/berths.csv", "berth,name,depth\n1,north,8\n2,south,4\n4,east,6\n");
    pair.both(&["build", "--vars", "{more: 1}"]);
    let ours = &pair.tables("ours")["store.duckdb: main_deep.grown"];
    assert!(ours["rows"].to_string().contains("new"), "{ours}");
    pair.ends_alike(&["docs", "generate"]);
    let catalog = |side: &str| -> Value {
        let text = fs::read_to_string(pair.at(side).join("target/catalog.json")).unwrap();
        let json: Value = serde_json::from_str(&text).unwrap();
        [json["nodes"].clone(), json["sources"].clone()].into_iter().collect()
    };
    let ours = catalog("ours");
    assert_eq!(ours, catalog("theirs"));
    assert_eq!(ours[1]["source.harbour.tide.levels"]["metadata"]["database"], "sea");
    pair.both(&["run", "--full-refresh", "--select", "grown", "merged"]);
    pair.both(&["run-operation", "moved"]);
    pair.both(&["run", "--select", "seen", "twin_of_store"]);
}

#[test]
fn a_database_is_the_default_where_the_profile_says_so_and_one_in_memory_is_forgotten() {
    let pair = harbour();
    let profile = fs::read_to_string(pair.at("ours").join("profiles.yml")).unwrap();
    pair.write(
        "profiles.yml",
        &profile.replace("path: harbour.duckdb", "path: ':memory:'\n      database: store"),
    );
    pair.write("models/passing.sql", "{{ config(materialized='table', database='scratch') }} select 1 as a");
    pair.write("models/passed.sql", "{{ config(materialized='table') }} select * from {{ ref('passing') }}");
    let twin = fs::read_to_string(pair.at("ours").join("models/twin_of_store.sql")).unwrap();
    pair.write("models/twin_of_store.sql", &twin.replace("alias='twin'", "alias='other'"));
    for _ in 0..2 {
        pair.both(&["build"]);
    }
    assert!(pair.tables("ours").contains_key("store.duckdb: main.passed"));
}

#[test]
fn nothing_is_built_where_it_is_only_read_and_all_else_is() {
    let pair = harbour();
    pair.write("models/wrong.sql", "{{ config(materialized='table', database='sea') }} select 1 as a");
    pair.write("models/behind.sql", "select * from {{ ref('wrong') }}");
    // With dbt nothing is built at all.
    assert!(!pair.dbt(&["run", "--select", "wrong+", "twin"]).status.success());
    let told = pair.ours(&["run", "--select", "wrong+", "twin"]);
    let outcomes: Vec<String> = pair.statuses("ours").into_values().map(|(status, _)| status).collect();
    assert_eq!(
        (told.status.code(), outcomes),
        (Some(1), ["skipped", "success", "error"].map(String::from).into())
    );
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    for words in ["the profile attaches `sea` read-only", "profiles.yml:11:11", "leave `read_only` out"] {
        assert!(told.contains(words), "{told}");
    }
    for side in ["theirs", "ours"] {
        fs::remove_file(pair.at(side).join("tides.duckdb")).unwrap();
    }
    let told = pair.ours(&["run", "--select", "twin"]);
    let told = String::from_utf8_lossy(&told.stderr).into_owned();
    for words in ["MS9102", "tides.duckdb isn't there", "profiles.yml:11:11", "correct `path`"] {
        assert!(told.contains(words), "{told}");
    }
    assert!(!pair.at("ours").join("tides.duckdb").exists());
    pair.write("tides.duckdb", "hour,level");
    let told = pair.ours(&["debug"]);
    let told = format!("{}{}", String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
    assert!(told.contains("`sea` can't be attached") && told.contains("profiles.yml:11:11"), "{told}");
    // What reads nothing of the warehouse needs none of it.
    assert!(pair.ours(&["parse"]).status.success());
}

#[test]
fn a_source_in_a_file_is_read_where_it_is() {
    let pair = Pair::new("shop", "bakery.duckdb");
    pair.write("raw/crumbs_2024.csv", "id,kind\n1,rye\n2,oat\n");
    pair.write(
        "models/crumbs.yml",
        "sources:\n  - name: floor\n    config: {meta: {external_location: \"raw/{name}_{year}.csv\", year: 2024}}\n\
         \x20   tables:\n      - {name: crumbs, columns: [{name: id, data_tests: [unique]}]}\n\
         \x20     - {name: counted, config: {meta: {external_location: \"range({year})\"}}}\n",
    );
    let swept = "{{ config(materialized='table') }} select kind, (select count(*) from {{ source('floor', 'counted') }}) as n from {{ source('floor', 'crumbs') }} where id > 1";
    pair.write("models/swept.sql", swept);
    pair.both(&["build", "--select", "source:floor+"]);
    assert_eq!(pair.ask("select * from swept"), "[('oat', 2024)]");
    pair.both(&["run", "--select", "swept", "--empty"]);
    // Somewhere else it is found too: in that directory, as with dbt, and then in the project's.
    let at = pair.at("ours");
    let at = at.to_str().unwrap();
    let mut command =
        pair.our_command(&["run", "--select", "swept", "--project-dir", at, "--profiles-dir", at]);
    let output = command.current_dir(pair.dir.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(pair.ask("select kind from swept"), "[('oat',)]");
    let here = pair.dir.path().join("raw");
    fs::create_dir(&here).unwrap();
    fs::write(here.join("crumbs_2024.csv"), "id,kind\n2,spelt\n").unwrap();
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(pair.ask("select kind from swept"), "[('spelt',)]");
}
