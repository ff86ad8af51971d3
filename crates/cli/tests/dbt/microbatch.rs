//! Models that are built in batches of time: the same rows, the same batches and the same SQL as dbt's.

use std::{collections::BTreeSet, fs};

use serde_json::Value;

use crate::{postgres::Twins, Pair};

/// What became of the batches of `visits`, of a size of its own.
fn batches(pair: &Pair, side: &str, model: &str) -> Value {
    let text = fs::read_to_string(pair.at(side).join("target/run_results.json")).unwrap();
    let results: Value = serde_json::from_str(&text).unwrap();
    let id = format!("model.bakery.{model}");
    let result =
        results["results"].as_array().unwrap().iter().find(|result| result["unique_id"] == id).unwrap();
    result["batch_results"].clone()
}

fn shop() -> Pair {
    let pair = Pair::new("shop", "bakery.duckdb");
    pair.write(
        "models/happened.sql",
        "{{ config(materialized='table', event_time='\"when\"') }}
         select * from (values (0, timestamp '2023-11-30 23:00:00'), (1, timestamp '2024-01-01 10:00:00'),
         (2, timestamp '2024-01-02 11:00:00'), (3, timestamp '2024-01-02 12:00:00'), (4, timestamp '2024-01-03 01:00:00'),
         (5, timestamp '2024-02-29 23:59:59')) as v(id, \"when\")
         {% if var('more', false) %} union all select 6, timestamp '2024-01-02 13:00:00' {% endif %}",
    );
    let visits = |size: &str| {
        format!(
            "{{{{ config(materialized='incremental', incremental_strategy='microbatch', event_time='\"when\"', begin='2023-12-31',
             batch_size='{size}', lookback=2, pre_hook='create table if not exists hooks_of_{{{{ this.name }}}} (what varchar)',
             post_hook=\"insert into hooks_of_{{{{ this.name }}}} select 'done'\") }}}}
             select id, \"when\", '{{{{ model.batch.id }}}}' as batch, '{{{{ model.batch.event_time_start }}}}' as begins,
             '{{{{ is_incremental() }}}}' as adds, all_rows.n
             from {{{{ ref('happened') }}}} cross join (select count(*) as n from {{{{ ref('happened').render() }}}}) as all_rows
             {{% if model.batch and model.batch.id == var('wrong', 'none') %}} where no_such_column {{% endif %}}"
        )
    };
    pair.write("models/by_day.sql", &visits("day"));
    pair.write("models/by_month.sql", &visits("month"));
    pair.write("models/after.sql", "select * from {{ ref('by_day') }}");
    pair
}

const SPAN: [&str; 4] = ["--event-time-start", "2024-01-01", "--event-time-end", "2024-01-03 12:00:00"];

#[test]
fn models_are_built_batch_by_batch_and_what_failed_is_built_again() {
    let pair = shop();
    let select = ["--select", "happened", "by_day", "by_month", "after"];
    let both = |arguments: &[&str]| {
        pair.both(arguments);
        for model in ["by_day", "by_month"] {
            assert_eq!(
                batches(&pair, "ours", model),
                batches(&pair, "theirs", model),
                "{model} {arguments:?}"
            );
        }
    };
    let run = [&["run"][..], &select, &SPAN].concat();
    both(&run);
    // Batches replace what they had; others stay.
    both(&[&run[..], &["--vars", "{more: true}"]].concat());
    let failing = [&run[..], &["--vars", "{wrong: '20240102'}"]].concat();
    both(&failing);
    assert_eq!(pair.statuses("ours")["model.bakery.by_day"].0, "partial success");
    assert_eq!(pair.statuses("ours")["model.bakery.after"].0, "skipped");
    let failed = batches(&pair, "ours", "by_day")["failed"].clone();
    assert_eq!(failed, serde_json::json!([["2024-01-02T00:00:00+00:00", "2024-01-03T00:00:00+00:00"]]));
    pair.both(&["retry", "--vars", "{more: true}"]);
    assert_eq!(batches(&pair, "ours", "by_day"), batches(&pair, "theirs", "by_day"));
    // The first batch of a table that is made anew.
    both(&[&run[..], &["--full-refresh", "--vars", "{wrong: '20240101'}"]].concat());
}

#[test]
fn batches_that_cannot_be_are_told_before_anything_is_built() {
    let pair = shop();
    for (config, hint) in [
        ("batch_size='week', event_time='at', begin='2024-01-01'", "hour, day, month or year"),
        ("batch_size='day', event_time='at'", "begin='2026-01-01'"),
        ("batch_size='day', event_time='at', begin='soon'", "begin='2026-01-01'"),
        ("batch_size='day', begin='2024-01-01'", "event_time='created_at'"),
        ("batch_size='day', event_time='at', begin='2024-01-01', lookback='x'", "whole number"),
    ] {
        let text = format!("{{{{ config(materialized='incremental', incremental_strategy='microbatch', {config}) }}}} select 1 as id");
        pair.write("models/by_day.sql", &text);
        let told = pair.ends_alike(&["parse"]);
        assert!(told.contains(hint), "{config}: {told}");
    }
    for flags in [
        &SPAN[..2],
        &["--event-time-start", "2024-01-02", "--event-time-end", "2024-01-01"],
        &["--event-time-start", "soon", "--event-time-end", "later"],
    ] {
        pair.ends_alike(&[&["run"], flags].concat());
    }
    let pair = shop();
    pair.write(
        "macros/own.sql",
        "{% macro get_incremental_microbatch_sql(arguments) %}select 1{% endmacro %}",
    );
    let told = pair.ours(&["parse"]);
    assert!(String::from_utf8_lossy(&told.stderr).contains("MS9108"), "{told:?}");
}

/// Without flags the last batch is the one of now: the one before it, as many as `lookback` says, and no others.
#[test]
fn the_last_batches_are_those_of_now() {
    let pair = shop();
    let begin = "begin='2023-12-31'";
    let model = fs::read_to_string(pair.at("ours").join("models/by_month.sql")).unwrap();
    assert!(pair.ours(&["run", "--select", "happened"]).status.success());
    pair.write(
        "models/by_month.sql",
        &model.replace("'month'", "'year'").replace(begin, "begin='2020-06-01'"),
    );
    let spans = |key: &str| batches(&pair, "ours", "by_month")[key].as_array().unwrap().len();
    assert!(pair.ours(&["run", "--select", "by_month"]).status.success());
    let all = spans("successful");
    assert!(all >= 6, "{all}");
    assert!(pair.ours(&["run", "--select", "by_month"]).status.success());
    assert_eq!(spans("successful"), 3);
    assert_eq!(pair.ask("select count(*) from main.by_month"), "[(6,)]");
}

/// How many batches of a model were on their way at the same time, at most, in a run that is told as events.
fn at_once(told: &str) -> usize {
    let (mut open, mut most) = (BTreeSet::new(), 0);
    for line in told.lines() {
        let Ok(event) = serde_json::from_str::<Value>(line) else { continue };
        let index = event["data"]["batch_index"].as_i64();
        match event["info"]["name"].as_str() {
            Some("LogStartBatch") => assert!(open.insert(index), "{line}"),
            Some("LogBatchResult") => assert!(open.remove(&index), "{line}"),
            _ => continue,
        }
        most = most.max(open.len());
        // The first one and the last one are alone.
        assert!(open.len() < 2 || !(open.contains(&Some(1)) || open.contains(&Some(8))), "{line}");
    }
    assert!(open.is_empty(), "{told}");
    most
}

/// Of both models, eight days in batches of one.
const DAYS: [&str; 7] =
    ["--select", "happened", "visits", "--event-time-start", "2024-01-02", "--event-time-end", "2024-01-10"];

#[test]
fn batches_are_built_beside_each_other_where_a_model_wants_it_or_reads_nothing_of_its_own() {
    let pair = Pair::new("shop", "bakery.duckdb");
    pair.write(
        "models/happened.sql",
        "{{ config(materialized='table', event_time='happened_at') }}
         select i as id, timestamp '2024-01-01 00:00:00' + to_hours(i::int) as happened_at from range(240) as r(i)",
    );
    // Each batch takes long enough for others to begin.
    let slow = "(select count(*) from range(3000000) as r(i) where hash(i) % 1000003 = 1)";
    let run = [&["run", "--threads", "4"], &DAYS[..]].concat();
    for (config, body, expected) in [
        ("", "", true),
        (", concurrent_batches=false", "", false),
        (", concurrent_batches=true", "-- {{ this }}", true),
        ("", "-- {{ this }}", false),
    ] {
        let model = format!(
            "{{{{ config(materialized='incremental', incremental_strategy='microbatch', event_time='happened_at', begin='2024-01-01',
             batch_size='day'{config}) }}}} select id, happened_at, {slow} as slow from {{{{ ref('happened') }}}} {body}
             {{% if model.batch and model.batch.id == var('wrong', 'none') %}} where no_such_column {{% endif %}}"
        );
        pair.write("models/visits.sql", &model);
        if config.is_empty() && expected {
            pair.both(&run);
            assert_eq!(batches(&pair, "ours", "visits"), batches(&pair, "theirs", "visits"));
        }
        let told = pair.ours(&[&run[..], &["--log-format", "json"]].concat());
        let most = at_once(&String::from_utf8_lossy(&told.stdout));
        assert_eq!(most > 1, expected, "{most} {config} {body}");
        assert!(most < 5, "{most}");
    }
    // One that fails among others.
    pair.write(
        "models/visits.sql",
        &fs::read_to_string(pair.at("ours").join("models/visits.sql")).unwrap().replace("this", "1"),
    );
    let failing = [&run[..], &["--vars", "{wrong: '20240104'}"]].concat();
    pair.both(&failing);
    assert_eq!(batches(&pair, "ours", "visits"), batches(&pair, "theirs", "visits"));
    assert_eq!(pair.statuses("ours")["model.bakery.visits"].0, "partial success");
    // With one thread they wait for each other, and none for ever.
    let alone = pair.ours(&[&["run", "--threads", "1"], &DAYS[..]].concat());
    assert!(alone.status.success(), "{}", String::from_utf8_lossy(&alone.stdout));
}

#[test]
fn postgresql_builds_batches_one_behind_the_other_and_says_so() {
    let twins = Twins::new("shop", "bakery");
    twins.write(
        "models/happened.sql",
        "{{ config(materialized='table', event_time='happened_at') }}
         select i as id, timestamp '2024-01-01 00:00:00' + i * interval '1 hour' as happened_at from generate_series(0, 239) as r(i)",
    );
    let model = "{{ config(materialized='incremental', incremental_strategy='microbatch', event_time='happened_at', begin='2024-01-01',
        batch_size='day', unique_key='id', concurrent_batches=true) }} select * from {{ ref('happened') }}";
    twins.write("models/visits.sql", model);
    let run = [&["run"], &DAYS[..]].concat();
    twins.both_but_words(&run);
    let told = twins.pair.ours(&[&run[..], &["--threads", "4", "--log-format", "json"]].concat());
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert_eq!(at_once(&told), 1);
    assert!(told.contains("InvalidConcurrentBatchesConfig"), "{told}");
    let strict = [&run[..], &["--warn-error-options", "{error: [InvalidConcurrentBatchesConfig]}"]].concat();
    twins.pair.ends_alike(&strict);
    twins.write("models/visits.sql", &model.replace("concurrent_batches=true", "concurrent_batches=false"));
    twins.pair.ends_alike(&strict);
}
