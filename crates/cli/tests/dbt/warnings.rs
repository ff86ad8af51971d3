//! Warnings that are to be errors, or not to be told.

use std::fs;

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
