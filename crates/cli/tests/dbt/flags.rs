//! Flags about what is told, and what is left behind.

use std::{collections::BTreeSet, fs, process::Command};

use crate::{dbt, root, Pair};

#[test]
fn what_templates_print_and_what_is_written_can_be_left_out() {
    let pair = Pair::new("shop", "bakery.duckdb");
    pair.write(
        "models/speaks.sql",
        "{% if execute %}{{ print('spoken') }}{{ log('logged ' ~ flags.WRITE_JSON, info=true) }}{% endif %} select 1 as a",
    );
    let said = |arguments: &[&str], words: [&str; 2]| {
        let (theirs, ours) = (pair.dbt(arguments), pair.ours(arguments));
        assert_eq!((ours.status.code(), theirs.status.code()), (Some(0), Some(0)), "{arguments:?}");
        for output in [ours, theirs] {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let is_said = |word: &str| text.contains(word.trim_start_matches('!')) != word.starts_with('!');
            assert!(words.iter().all(|word| is_said(word)), "{words:?}:\n{text}");
        }
    };
    let written = |side: &str| {
        ["manifest.json", "run_results.json"].map(|name| pair.at(side).join("target").join(name).exists())
    };
    said(&["--no-print", "run", "-s", "speaks", "--no-write-json"], ["!spoken", "logged False"]);
    assert_eq!((written("ours"), written("theirs")), ([false; 2], [false; 2]));
    said(&["run", "-s", "speaks", "--no-print", "--print"], ["spoken", "logged True"]);
    assert_eq!((written("ours"), written("theirs")), ([true; 2], [true; 2]));
}

#[test]
fn each_variable_that_dbt_knows_has_its_place_in_the_reference() {
    let ask = "import dbt.cli.main\nfrom dbt.cli.params import KNOWN_ENV_VARS\nprint('\\n'.join(v.old_name or v.name for v in KNOWN_ENV_VARS))";
    let known = Command::new(dbt().join("python")).args(["-c", ask]).output().unwrap();
    let known = String::from_utf8_lossy(&known.stdout).into_owned();
    let known: BTreeSet<&str> = known.lines().collect();
    let reference = fs::read_to_string(root().join("docs/reference/dbt.md")).unwrap();
    let rows =
        reference.lines().filter_map(|line| line.strip_prefix("| `")).filter_map(|row| row.split_once("` |"));
    let documented: BTreeSet<&str> =
        rows.map(|(name, _)| name).filter(|name| name.starts_with("DBT_")).collect();
    assert!(known.len() > 50);
    assert_eq!(documented, known);
}

#[test]
fn each_variable_does_what_its_flag_does() {
    let pair = Pair::new("shop", "bakery.duckdb");
    pair.write("models/speaks.sql", "{% if execute %}{{ print('spoken') }}{{ log('logged', info=true) }}{% endif %} select {{ flags.FULL_REFRESH }} as a, {{ flags.EMPTY }} as b, {{ flags.STORE_FAILURES }} as c");
    let run = |variables: &[(&str, &str)], arguments: &[&str]| {
        let mut command = pair.our_command(arguments);
        command.envs(variables.iter().copied());
        let output = command.output().unwrap();
        let told =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.code(), told)
    };
    assert_eq!(run(&[], &["build"]).0, Some(0));
    fs::create_dir(pair.at("ours").join("elsewhere")).unwrap();
    fs::rename(pair.at("ours").join("target"), pair.at("ours").join("kept")).unwrap();
    let ls: &[&str] = &["ls"];
    let compile: &[&str] = &["compile", "-s", "speaks"];
    for (name, value, arguments, code, words) in [
        ("DBT_DEFER", "1", compile, 2, "--defer needs the manifest"),
        ("DBT_DEFER_TO_STATE", "1", compile, 2, "--defer needs the manifest"),
        ("DBT_DEFER_STATE", "nowhere", &["clone"], 2, "no manifest.json in"),
        ("DBT_STATE", "nowhere", &["ls", "-s", "state:new"], 2, "no manifest.json in"),
        ("DBT_ARTIFACT_STATE_PATH", "nowhere", &["ls", "-s", "state:new"], 2, "no manifest.json in"),
        ("DBT_EMPTY", "true", compile, 0, "as a, True as b"),
        ("DBT_FULL_REFRESH", "y", compile, 0, "True as a, False as b"),
        ("DBT_STORE_FAILURES", "on", compile, 0, "True as c"),
        ("DBT_EVENT_TIME_START", "2026-01-01", ls, 2, "event-time-end"),
        ("DBT_EVENT_TIME_END", "2026-01-01", ls, 2, "event-time-start"),
        ("DBT_RESOURCE_TYPES", "seed", ls, 0, "bakery.loaves"),
        ("DBT_EXCLUDE_RESOURCE_TYPES", "nothing", ls, 2, "`nothing` is no type"),
        ("DBT_INDIRECT_SELECTION", "often", ls, 2, "often"),
        ("DBT_INTROSPECT", "false", compile, 0, "as a"),
        ("DBT_LOG_FORMAT", "json", compile, 0, "{\""),
        ("DBT_PROFILE", "nobody", ls, 2, "no profile `nobody`"),
        ("DBT_TARGET", "nowhere", ls, 2, "no target `nowhere`"),
        ("DBT_PROFILES_DIR", "models", ls, 2, "no profiles.yml"),
        ("DBT_PROJECT_DIR", "models", ls, 2, "no dbt_project.yml"),
        ("DBT_SAMPLE", "3 moons", &["run"], 2, "`moons`"),
        ("DBT_WARN_ERROR", "1", &["ls", "-s", "nobody"], 2, "MS9109"),
        ("DBT_WARN_ERROR_OPTIONS", "{error: all}", &["ls", "-s", "nobody"], 2, "MS9109"),
        ("DBT_HOST", "nowhere.invalid", &["docs", "serve"], 2, "catalog.json"),
    ] {
        for name in [name.to_owned(), name.replacen("DBT_", "DBT_ENGINE_", 1)] {
            let (ended, told) = run(&[(&name, value)], arguments);
            assert!(ended == Some(code) && told.contains(words), "{name}: {ended:?}\n{told}");
            // Nothing said is nothing.
            let (ended, told) = run(&[(&name, "")], ls);
            assert_eq!(ended, Some(0), "{name}: {told}");
        }
    }
    for name in [
        "DBT_FAIL_FAST",
        "DBT_FAVOR_STATE",
        "DBT_FAVOR_STATE_MODE",
        "DBT_PRINT",
        "DBT_NO_PRINT",
        "DBT_WRITE_JSON",
        "DBT_QUIET",
        "DBT_USE_COLORS",
        "DBT_FULL_REFRESH",
    ] {
        let (ended, told) = run(&[(name, "perhaps")], ls);
        assert!(ended == Some(2) && told.contains("perhaps"), "{name}: {told}");
    }
    let speaks = |variables: &[(&str, &str)], more: &[&str]| {
        run(variables, &[&["run", "-s", "speaks"], more].concat()).1
    };
    assert!(!speaks(&[("DBT_PRINT", "0")], &[]).contains("spoken"));
    assert!(!speaks(&[("DBT_NO_PRINT", "1")], &[]).contains("spoken"));
    assert!(speaks(&[("DBT_PRINT", "0")], &["--print"]).contains("spoken"));
    assert!(!speaks(&[("DBT_PRINT", "0"), ("DBT_ENGINE_PRINT", "1")], &["--no-print"]).contains("spoken"));
    let quiet = speaks(&[("DBT_QUIET", "1")], &[]);
    assert!(quiet.contains("spoken") && !quiet.contains("logged"), "{quiet}");
    let written = |dir: &str| pair.at("ours").join(dir).join("manifest.json").exists();
    run(&[("DBT_TARGET_PATH", "elsewhere")], ls);
    assert!(written("elsewhere"));
    fs::remove_dir_all(pair.at("ours").join("target")).unwrap();
    run(&[("DBT_WRITE_JSON", "f")], ls);
    assert!(!written("target"));
    run(&[("DBT_WRITE_JSON", "f")], &["ls", "--write-json"]);
    assert!(written("target"));
    pair.write("models/a_wrong.sql", "select no_such_column");
    let skips = |name: &str| {
        run(&[(name, "1")], &["run", "--threads", "1", "-s", "a_wrong", "speaks"]).1.contains("SKIP=1")
    };
    assert!(skips("DBT_FAIL_FAST") && !skips("DBT_DEBUG"));
}

#[test]
fn a_sample_is_read_of_what_says_when_its_rows_happened() {
    let pair = Pair::new("shop", "bakery.duckdb");
    pair.write(
        "models/rows.sql",
        "{{ config(event_time='happened') }} select * from (values (1, timestamp '2026-01-01 10:00:00'), (2, timestamp '2026-01-02 10:00:00'), (3, timestamp '2026-01-05 00:00:00')) t(id, happened)",
    );
    pair.write("models/without.sql", "select 1 as id");
    pair.write("models/within.sql", "{{ config(materialized='ephemeral') }} select * from {{ ref('rows') }}");
    pair.write("models/some.sql", "{{ config(materialized='table') }} select * from {{ ref('rows') }} cross join {{ ref('without') }} as w");
    pair.write("models/through.sql", "{{ config(materialized='table') }} select * from {{ ref('within') }}");
    pair.write(
        "models/batches.sql",
        "{{ config(materialized='incremental', incremental_strategy='microbatch', event_time='happened', begin='2026-01-01', batch_size='day') }} select * from {{ ref('rows') }}",
    );
    let select = ["-s", "rows", "without", "some", "through", "batches"];
    let with = |sample: &str| pair.both(&[&["build", "--sample", sample][..], &select].concat());
    with("{start: '2026-01-01T12:00:00', end: '2026-01-05'}");
    assert_eq!(pair.ask("select id from main.some"), "[(2,)]");
    pair.both(
        &[&["run", "--full-refresh", "--sample", "{start: '2026-01-02', end: '2026-01-06'}"][..], &select]
            .concat(),
    );
    pair.ends_alike(&["run", "--sample", "3 moons"]);
    pair.ends_alike(&["run", "--sample", "three days"]);
    // So long before now there is nothing.
    let ours = pair.ours(&["run", "-s", "some", "--sample", "2 hours"]);
    assert!(ours.status.success());
    assert_eq!(pair.ask("select id from main.some"), "[]");
}

#[test]
fn without_introspection_nothing_is_asked_and_seeds_are_shown() {
    let pair = Pair::new("shop", "bakery.duckdb");
    pair.write("models/asks.sql", "select {{ 1 if not execute or not flags.INTROSPECT else run_query('select 7 as a').columns[0].values()[0] }} as a");
    pair.write(
        "models/asks_always.sql",
        "select {% if execute %}{{ run_query('select 7 as a').columns[0].values()[0] }}{% endif %} as a",
    );
    pair.both(&["seed", "--show"]);
    let told = pair.ours(&["seed", "--show", "-s", "loaves"]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("First rows of main_raw.loaves") && told.contains("|      10 |"), "{told}");
    pair.both(&["compile", "-s", "asks"]);
    pair.both(&["compile", "-s", "asks", "--no-introspect"]);
    pair.ends_alike(&["compile", "-s", "asks_always", "--no-introspect"]);
    // No warehouse is needed.
    fs::remove_file(pair.at("ours").join("bakery.duckdb")).unwrap();
    assert!(pair.ours(&["compile", "-s", "asks", "--no-introspect"]).status.success());
    assert!(!pair.at("ours").join("bakery.duckdb").exists());
}
