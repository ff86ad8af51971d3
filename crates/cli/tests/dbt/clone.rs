//! What another run has built, cloned: views on its relations.

use std::fs;

use crate::{
    state::{bakery, keep},
    Pair,
};

/// What is told of a node in the last results.
fn message(pair: &Pair, side: &str, id: &str) -> String {
    let text = fs::read_to_string(pair.at(side).join("target/run_results.json")).unwrap();
    let results: serde_json::Value = serde_json::from_str(&text).unwrap();
    let of = results["results"].as_array().unwrap().iter().find(|result| result["unique_id"] == id);
    of.unwrap()["message"].as_str().unwrap().to_owned()
}

#[test]
fn what_another_run_has_built_is_seen_through_views_and_what_it_has_not_is_passed_over() {
    let pair = bakery();
    pair.write(
        "snapshots/prices.sql",
        "{% snapshot prices %}{{ config(strategy='check', check_cols='all', unique_key='loaf_id') }}\n\
         select * from {{ ref('loaves') }}{% endsnapshot %}",
    );
    pair.write(
        "models/kept.sql",
        "{{ config(materialized='incremental', pre_hook='create table if not exists hooked as select 1 as a', persist_docs={'relation': true, 'columns': true}) }} select a, 'b' as b from {{ ref('within') }}",
    );
    pair.write(
        "models/kept.yml",
        "models: [{name: kept, description: Kept, columns: [{name: a, description: First}]}]",
    );
    pair.write("models/within.sql", "{{ config(materialized='ephemeral') }} select 1 as a");
    pair.both(&["build"]);
    keep(&pair);
    pair.write("models/late.sql", "select * from {{ ref('kept') }}");
    let clone = ["clone", "--target", "other", "--state", "state"];
    pair.both(&[&clone[..], &["--select", "stg_sales", "kept", "--resource-type", "model"]].concat());
    pair.both(&clone);
    let id = "model.bakery.late";
    assert_eq!(message(&pair, "ours", id), message(&pair, "theirs", id));
    let told = pair.ends_alike(&clone);
    assert!(
        told.contains("\"stg_all_sales\" is there already")
            && told.contains("no relation for model.bakery.late"),
        "{told}"
    );
    // What is built there in earnest stays until a clone is asked for in its place.
    pair.both(&["build", "--target", "other", "--full-refresh"]);
    pair.both(&clone);
    pair.both(&[&clone[..], &["--full-refresh", "--exclude", "patron_totals"]].concat());
    assert_eq!(message(&pair, "ours", "model.bakery.kept"), message(&pair, "theirs", "model.bakery.kept"));
    pair.both(&["clone", "--target", "other", "--defer-state", "state", "--state", "models", "-s", "kept"]);
    let ours = pair.ours(&["clone", "--target", "other", "--state", "foreign", "--full-refresh"]);
    assert!(ours.status.success(), "{}", String::from_utf8_lossy(&ours.stdout));
}

#[test]
fn a_clone_needs_a_manifest_and_is_never_of_itself() {
    let pair = bakery();
    pair.both(&["build"]);
    keep(&pair);
    pair.ends_alike(&["clone", "--target", "other"]);
    pair.ends_alike(&["clone", "--target", "other", "--state", "models"]);
    // What can't be made fails alone.
    pair.write(
        "models/staging/stg_loaves.sql",
        "{{ config(pre_hook='select no_such_column') }} select 1 as a",
    );
    pair.both(&["clone", "--target", "other", "--state", "state"]);
    // dbt would put a view on itself in the place of each table.
    let before = pair.tables("ours");
    let told = String::from_utf8_lossy(&pair.ours(&["clone", "--state", "state", "--full-refresh"]).stdout)
        .into_owned();
    assert!(told.contains("a clone in its place would be of itself"), "{told}");
    assert_eq!(pair.tables("ours"), before);
    pair.write("macros/cloned.sql", "{% macro default__can_clone_table() %}{{ return(true) }}{% endmacro %}");
    let refused = pair.ours(&["clone", "--target", "other", "--state", "state"]);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(2) && told.contains("MS9108"), "{told}");
}
