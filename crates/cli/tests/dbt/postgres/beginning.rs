//! `debug` and `clone` against a server, and what numbers of its rows are to templates.

use std::fs;

use super::{alike, Twins, DATABASES};
use crate::{
    asked::NUMBERS,
    begin::{text, verdicts},
};

/// Changes each side's profile, which names a database of its own.
fn change(twins: &Twins, change: impl Fn(&str) -> String) {
    for (side, _) in DATABASES {
        let path = twins.pair.at(side).join("profiles.yml");
        let profile = fs::read_to_string(&path).unwrap();
        fs::write(path, change(&profile)).unwrap();
    }
}

#[test]
fn what_is_wrong_with_a_server_is_told_as_dbt_tells_it() {
    let twins = Twins::new("shop", "bakery");
    let same = |arguments: &[&str]| {
        let (theirs, ours) = (twins.pair.dbt(arguments), twins.pair.ours(arguments));
        let told = |output| {
            // How the connection is told, and what was found; the server's own words come otherwise.
            let plain = ["\u{1b}[0m", "\u{1b}[32m", "\u{1b}[31m"]
                .iter()
                .fold(text(output), |text, code| text.replace(code, ""));
            let connection = plain.lines().filter_map(|line| line.get(10..));
            let keys = connection.filter(|line| {
                line.strip_prefix("  ").is_some_and(|line| line.starts_with(|c: char| c.is_ascii_lowercase()))
                    && line.contains(": ")
                    && !line.contains('[')
            });
            let all = keys.map(str::to_owned).chain(verdicts(output));
            let ours_too = all.filter(|line| !line.contains("to server at"));
            ours_too.map(|line| alike(&line)).collect::<Vec<_>>()
        };
        assert_eq!(told(&ours), told(&theirs), "{}\n{}", text(&ours), text(&theirs));
        assert_eq!(ours.status.code(), theirs.status.code(), "{}\n{}", text(&ours), text(&theirs));
        text(&ours)
    };
    let told = same(&["debug"]);
    assert!(told.contains("All checks passed!") && told.contains("adapter type: postgres"), "{told}");
    assert!(!told.contains("none"), "a password is told: {told}");
    same(&["debug", "--connection"]);
    change(&twins, |profile| profile.replace("user: postgres", "user: nobody"));
    assert!(same(&["debug"]).contains("Connection test: [ERROR]"));
    let port = format!("port: {}", twins.cluster.port());
    change(&twins, |profile| profile.replace("user: nobody", "user: postgres").replace(&port, "port: 1"));
    assert!(same(&["debug"]).contains("Connection test: [ERROR]"));
}

#[test]
fn what_another_run_has_built_on_a_server_is_seen_through_views() {
    let twins = Twins::new("shop", "bakery");
    change(&twins, |profile| {
        let dev = &profile[profile.find("    dev:").unwrap()..];
        format!("{profile}{}", dev.replace("    dev:", "    other:").replace("schema: dev", "schema: other"))
    });
    twins.write(
        "snapshots/prices.sql",
        "{% snapshot prices %}{{ config(strategy='check', check_cols='all', unique_key='loaf_id') }}\n\
         select * from {{ ref('loaves') }}{% endsnapshot %}",
    );
    twins.write(
        "models/kept.sql",
        "{{ config(materialized='incremental', indexes=[{'columns': ['a']}], grants={'select': ['postgres']}) }} select 1 as a",
    );
    let select = ["--select", "+stg_sales", "kept", "prices", "--resource-type", "model", "seed", "snapshot"];
    twins.both(&[&["build"][..], &select].concat());
    for (side, _) in DATABASES {
        let dir = twins.pair.at(side).join("state");
        fs::create_dir_all(&dir).unwrap();
        for file in ["manifest.json", "run_results.json"] {
            fs::copy(twins.pair.at(side).join("target").join(file), dir.join(file)).unwrap();
        }
    }
    let clone = [&["clone", "--target", "other", "--state", "state"][..], &select].concat();
    twins.both(&clone);
    twins.both_but_words(&clone);
    // What is built there in earnest stays until a clone is asked for in its place.
    twins.both(&[&["build", "--target", "other", "--full-refresh"][..], &select].concat());
    twins.both_but_words(&clone);
    twins.both_but_words(&[&clone[..], &["--full-refresh"]].concat());
}

#[test]
fn numbers_of_rows_are_to_templates_what_they_are_to_dbts() {
    let twins = Twins::new("shop", "bakery");
    twins.write("models/numbers.sql", NUMBERS);
    twins.both(&["build", "--select", "numbers"]);
}

#[test]
fn with_autocommit_each_statement_stands_for_itself() {
    let twins = Twins::new("shop", "bakery");
    twins.profile("bakery", "threads: 2\n      autocommit: true");
    twins.write(
        "models/kept.sql",
        "{{ config(materialized='table', post_hook='vacuum {{ this }}') }} select 1 as a",
    );
    twins.write(
        "models/grown.sql",
        "{{ config(materialized='incremental', unique_key='a') }} select a, {{ 2 if is_incremental() else 1 }} as b from {{ ref('kept') }}",
    );
    twins.write("models/seen.sql", "select * from {{ ref('grown') }}");
    twins.write(
        "models/broken.sql",
        "{{ config(materialized='table', pre_hook='create table {{ this.schema }}.hooked as select 1 as a') }} select no_such_column",
    );
    let select = ["--select", "kept", "grown", "seen", "+stg_sales"];
    twins.both(&[&["build"][..], &select].concat());
    twins.both(&[&["build"][..], &select].concat());
    // What the hook did stays.
    twins.both_but_words(&["run", "--select", "broken"]);
    assert!(twins.tables("ours").contains_key("dev.hooked"));
    for wrong in ["soon", "[true]"] {
        twins.profile("bakery", &format!("threads: 2\n      autocommit: {wrong}"));
        twins.pair.ends_alike(&["parse"]);
    }
}
