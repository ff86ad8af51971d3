//! Warnings that are to be errors, or not to be told.

use std::{fs, process::Output};

use serde_json::{json, Value};

use crate::Pair;

#[test]
fn what_is_warned_of_is_an_error_where_it_is_asked_for_by_name_or_with_all() {
    let pair = Pair::new("shop", "bakery.duckdb");
    let nothing = |options: &str| pair.ends_alike(&["run", "-s", "nowhere", "--warn-error-options", options]);
    let told = pair.ends_alike(&["--warn-error", "run", "-s", "nowhere"]);
    assert!(told.contains("MS9109") && told.contains("NoNodesForSelectionCriteria"), "{told}");
    assert!(nothing("{error: all, warn: [NoNodesForSelectionCriteria]}").contains("NothingToDo"));
    let told = nothing("{\"error\": \"*\", \"silence\": [\"NothingToDo\", \"NoNodesForSelectionCriteria\"]}");
    assert!(!told.contains("nowhere") && !told.contains("Nothing to do"), "{told}");
    assert!(nothing("{error: [Deprecations]}").contains("Nothing to do"));
    // dbt breaks off with another status.
    let refused = pair.ours(&["run", "--warn-error-options", "{error: [NoSuchEvent]}"]);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(2) && told.contains("is no name of a warning"), "{told}");
    pair.ends_alike(&["run", "--warn-error", "--warn-error-options", "{error: all}"]);
    // In the environment.
    let mut codes =
        [pair.their_command(&["ls", "-s", "nowhere"]), pair.our_command(&["ls", "-s", "nowhere"])]
            .map(|mut command| command.env("DBT_WARN_ERROR", "1").output().unwrap().status.code());
    assert_eq!(codes[0], codes[1]);
    assert_eq!(codes[1].take(), Some(2));
}

#[test]
fn tests_that_warn_fail_and_templates_that_warn_can_not_be_rendered() {
    let pair = Pair::new("shop", "bakery.duckdb");
    pair.write("tests/some.sql", "{{ config(severity='warn') }} select 1 as a");
    pair.write(
        "models/warns.sql",
        "{% if execute %}{% do exceptions.warn('careful') %}{% endif %} select 1 as a",
    );
    pair.both(&["build", "-s", "warns", "some"]);
    pair.both(&["build", "-s", "warns", "some", "--warn-error"]);
    pair.both(&["build", "-s", "warns", "some", "--warn-error-options", "{error: [LogTestResult]}"]);
    let told = pair.ours(&["run", "-s", "warns", "--warn-error-options", "{silence: [JinjaLogWarning]}"]);
    assert!(!String::from_utf8_lossy(&told.stdout).contains("careful"));
    // What was asked for is asked for again.
    pair.both(&[
        "build",
        "-s",
        "warns",
        "some",
        "--warn-error-options",
        "{error: all, warn: [LogTestResult]}",
    ]);
    pair.both(&["retry"]);
}

#[test]
fn the_project_says_it_too_and_the_invocation_counts_more() {
    let pair = Pair::new("shop", "bakery.duckdb");
    let project = fs::read_to_string(pair.at("ours").join("dbt_project.yml")).unwrap();
    let with = |flags: &str| {
        pair.write(
            "dbt_project.yml",
            &format!("{project}\nsnapshots: {{nobody: {{+tags: a}}}}\nflags: {flags}\n"),
        )
    };
    with("{warn_error: true}");
    assert!(pair.ends_alike(&["parse"]).contains("UnusedResourceConfigPath"));
    with("{warn_error_options: {error: all, silence: [UnusedResourceConfigPath]}}");
    assert!(!pair.ends_alike(&["parse"]).contains("configures what isn't there"));
    assert!(pair
        .ends_alike(&["parse", "--warn-error-options", "{error: [UnusedResourceConfigPath]}"])
        .contains("MS9109"));
    with("{write_json: false}");
    let written = |side: &str| pair.at(side).join("target/manifest.json").exists();
    for side in ["ours", "theirs"] {
        fs::remove_dir_all(pair.at(side).join("target")).unwrap();
    }
    pair.ends_alike(&["parse"]);
    assert_eq!((written("ours"), written("theirs")), (false, false));
    pair.ends_alike(&["parse", "--write-json"]);
    assert_eq!((written("ours"), written("theirs")), (true, true));
}

#[test]
fn a_key_that_stands_twice_is_told_in_each_file_that_dbt_checks() {
    let pair = Pair::new("shop", "bakery.duckdb");
    let project = fs::read_to_string(pair.at("ours").join("dbt_project.yml")).unwrap();
    let twice =
        "sources:\n  - name: far\n    description: first\n    description: second\n    tables: [{name: t}]\n";
    let event = "DuplicateYAMLKeysDeprecation";
    let options = |how: &str| format!(r#"{{"{how}": ["{event}"]}}"#);
    for (path, text) in [
        ("models/twice.yml", twice.to_owned()),
        ("dbt_project.yml", format!("{project}\nvars:\n  cents_per_unit: 1000\n")),
    ] {
        let before = fs::read_to_string(pair.at("ours").join(path)).ok();
        pair.write(path, &text);
        for side in ["theirs", "ours"] {
            let arguments = ["ls", "--log-format", "json", "--no-partial-parse"];
            let output = match side {
                "theirs" => pair.dbt(&arguments),
                _ => pair.ours(&arguments),
            };
            let told = String::from_utf8_lossy(&output.stdout).into_owned();
            let events = told.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
            let told: Vec<_> = events.filter(|told| told["info"]["name"] == event).collect();
            assert_eq!(told.len(), 1, "{side} {path}: {told:?}");
            assert_eq!(
                (told[0]["info"]["level"].as_str(), told[0]["info"]["code"].as_str()),
                (Some("warn"), Some("D024"))
            );
        }
        assert!(pair
            .ends_alike(&["ls", "--no-partial-parse", "--warn-error-options", &options("error")])
            .contains("stands here once more"));
        assert!(!pair
            .ends_alike(&["ls", "--no-partial-parse", "--warn-error-options", &options("silence")])
            .contains("once more"));
        match before {
            Some(before) => pair.write(path, &before),
            None => pair.write(path, ""),
        }
    }
}

/// What is told of by this name, as events tell it: level, code and fields.
fn events(output: &Output, name: &str) -> Vec<Value> {
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let events = told.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let named = events.filter(|event| event["info"]["name"] == name);
    named.map(|event| json!([event["info"]["level"], event["info"]["code"]])).collect()
}

/// The same warnings of these names are told by both, as often and with the same codes; how often ours tells them.
#[track_caller]
fn told_alike(pair: &Pair, arguments: &[&str], names: &[&str]) -> Vec<usize> {
    let arguments = [arguments, &["--log-format", "json"]].concat();
    let (theirs, ours) = (pair.dbt(&arguments), pair.ours(&arguments));
    let said = format!(
        "{}\ndbt:\n{}\nours:\n{}",
        arguments.join(" "),
        String::from_utf8_lossy(&theirs.stdout),
        String::from_utf8_lossy(&ours.stdout)
    );
    let counts = names.iter().map(|name| {
        let (theirs, ours) = (events(&theirs, name), events(&ours, name));
        assert_eq!(ours, theirs, "{name}: {said}");
        ours.len()
    });
    let counts = counts.collect();
    assert_eq!(ours.status.code(), theirs.status.code(), "{said}");
    counts
}

#[test]
fn a_snapshot_whose_times_are_of_another_type_than_a_runs_is_told() {
    const NAME: &str = "SnapshotTimestampWarning";
    let pair = Pair::new("shop", "bakery.duckdb");
    let snapshot = |name: &str, more: &str, time: &str| {
        format!(
            "{{% snapshot {name} %}}{{{{ config(unique_key='id', {more}, target_schema='main') }}}} select 1 as id, {time} as seen_at{{% endsnapshot %}}\n"
        )
    };
    let timely = "strategy='timestamp', updated_at='seen_at'";
    let ends = format!("{timely}, hard_deletes='invalidate'");
    pair.write(
        "snapshots/times.sql",
        &[
            snapshot("by_day", timely, "date '2024-01-01'"),
            snapshot("by_zone", timely, "timestamptz '2024-01-01 00:00:00+00'"),
            snapshot("ending", &ends, "date '2024-01-01'"),
            snapshot("right", timely, "timestamp '2024-01-01'"),
            snapshot("checked", "strategy='check', check_cols=['id']", "date '2024-01-01'"),
            snapshot(
                "checked_by_day",
                "strategy='check', check_cols=['id'], updated_at='seen_at'",
                "date '2024-01-01'",
            ),
        ]
        .concat(),
    );
    for _ in 0..2 {
        assert!(told_alike(&pair, &["snapshot"], &[NAME])[0] >= 3);
    }
    pair.both(&["snapshot", "--warn-error-options", "{error: [SnapshotTimestampWarning]}"]);
    let failed = pair.statuses("ours").into_values().filter(|(status, _)| status == "error").count();
    assert!(failed >= 3, "{failed}");
    // Made by macros, for the project has a part of them.
    pair.write("macros/own.sql", "{% macro default__post_snapshot(staging_relation) %}{% endmacro %}");
    assert_eq!(told_alike(&pair, &["snapshot"], &[NAME]), [failed]);
}

/// A project that does much as dbt means to give up.
fn old_ways(pair: &Pair) {
    let project = fs::read_to_string(pair.at("ours").join("dbt_project.yml")).unwrap();
    let project = project.replace("target-path: target\n", "target-path: made\nlog-path: told\n");
    pair.write("dbt_project.yml", &project);
    pair.write("models/old/one.sql", "select 1 as id, 'a' as kind");
    pair.write(
        "models/old/crossed.sql",
        "select {{ modules.itertools.product([1], [2]) | list | length }} as n, {{ modules.itertools.chain([1]) | list | length }} as m",
    );
    let batched = "{{ config(materialized='incremental', incremental_strategy='microbatch', event_time='t', batch_size='day', begin='2024-01-01') }} \
                   select 1 as id, timestamp '2024-01-01' as t from {{ ref('one') }}";
    pair.write("models/old/batched.sql", batched);
    pair.write(
        "models/old/old.yml",
        r#"
models:
  - name: one
    columns:
      - name: id
        data_tests:
          - unique: {where: "1 = 1", severity: warn}
          - accepted_values: {values: [1], quote: false}
      - name: kind
        data_tests:
          - accepted_values: {arguments: {values: [a]}}
          - accepted_values: {values: [a, b], config: {severity: warn}, name: mine}
  - {name: loaves, description: a seed}
  - {name: nobody, description: nothing}
seeds:
  - {name: one, description: a model}
macros:
  - {name: no_such_macro, description: nothing}
sources:
  - {name: far, freshness: {warn_after: {count: 1, period: day}}, tables: [{name: t}]}
  - {name: near, loaded_at_field: t, freshness: {warn_after: {count: 1, period: day}}, tables: [{name: t}]}
exposures:
  - {name: with blank, type: dashboard, owner: {name: a}, depends_on: [ref('one')]}
"#,
    );
    pair.write("dbt_packages/other/dbt_project.yml", "name: other\nversion: '1.0.0'\nconfig-version: 2\n");
    pair.write("dbt_packages/other/models/theirs.sql", "select * from {{ ref('one') }}");
    pair.write("packages.yml", "packages: [{local: dbt_packages/other}]\n");
}

#[test]
fn old_ways_are_told_once_and_summed_up() {
    const NAMES: [&str; 14] = [
        "MissingArgumentsPropertyInGenericTestDeprecation",
        "PropertyMovedToConfigDeprecation",
        "ModulesItertoolsUsageDeprecation",
        "ConfigLogPathDeprecation",
        "ConfigTargetPathDeprecation",
        "ExposureNameDeprecation",
        "ModelParamUsageDeprecation",
        "WEOIncludeExcludeDeprecation",
        "WrongResourceSchemaFile",
        "MacroNotFoundForPatch",
        "MicrobatchModelNoEventTimeInputs",
        "FreshnessConfigProblem",
        "PackageNodeDependsOnRootProjectNode",
        "DeprecationsSummary",
    ];
    let pair = Pair::new("shop", "bakery.duckdb");
    old_ways(&pair);
    let listed =
        ["ls", "--no-partial-parse", "--models", "one", "--warn-error-options", "{include: [NothingToDo]}"];
    assert_eq!(told_alike(&pair, &listed, &NAMES), [1, 1, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1, 1]);
    let all = told_alike(&pair, &["parse", "--no-partial-parse", "--show-all-deprecations"], &NAMES);
    assert_eq!(all, [2, 2, 2, 1, 1, 1, 0, 0, 2, 1, 1, 1, 1, 1]);
    let summary = |output: &Output| {
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let events = told.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut data = events
            .filter(|event| event["info"]["name"] == "DeprecationsSummary")
            .map(|event| event["data"].clone());
        let mut data = data.next().unwrap();
        data["summaries"].as_array_mut().unwrap().sort_by_key(|one| one["event_name"].to_string());
        data
    };
    let arguments = ["parse", "--no-partial-parse", "--log-format", "json"];
    assert_eq!(summary(&pair.ours(&arguments)), summary(&pair.dbt(&arguments)));
    let parse = ["parse", "--no-partial-parse", "--warn-error-options"];
    for (options, summaries) in [
        ("{silence: [Deprecations]}", 0),
        ("{silence: [DeprecationsSummary, ExposureNameDeprecation]}", 0),
        // What is not told counts.
        ("{silence: [ExposureNameDeprecation]}", 1),
        ("{error: [ExposureNameDeprecation]}", 1),
        // These are told in any case.
        ("{error: [FreshnessConfigProblem, MicrobatchModelNoEventTimeInputs]}", 1),
    ] {
        let told = told_alike(&pair, &[&parse[..], &[options]].concat(), &NAMES[13..]);
        assert_eq!(told, [summaries], "{options}");
    }
    for name in [
        "WrongResourceSchemaFile",
        "MacroNotFoundForPatch",
        "PackageNodeDependsOnRootProjectNode",
        "Deprecations",
    ] {
        let told = pair.ends_alike(&[&parse[..], &[&format!("{{error: [{name}]}}")]].concat());
        assert!(told.contains("made an error by"), "{name}: {told}");
    }
    let told = pair
        .our_command(&["ls"])
        .env("DBT_ENGINE_NOBODY", "1")
        .env("DBT_ENGINE_QUIET", "0")
        .output()
        .unwrap();
    let [listed, told] = [told.stdout, told.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(told.contains("DBT_ENGINE_NOBODY") && !told.contains("DBT_ENGINE_QUIET"), "{told}");
    assert!(told.contains("deprecations of dbt's") && !listed.contains("deprecat"), "{listed}");
    assert_eq!(
        told_alike(
            &pair,
            &["source", "freshness", "--select", "nothing", "--output", "made/s.json"],
            &["CustomOutputPathInSourceFreshnessDeprecation"]
        ),
        [1]
    );
}
