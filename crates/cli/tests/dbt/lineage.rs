//! Columns followed through a project: what `lineage` tells, and what is written for the page.

use std::fs;

use serde_json::Value;

use crate::Pair;

fn told(pair: &Pair, arguments: &[&str]) -> String {
    let output = pair.ours(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn shop() -> Pair {
    let pair = Pair::new("shop", "bakery.duckdb");
    pair.write(
        "models/sources.yml",
        "version: 2\nsources: [{name: shelf, schema: main_raw, tables: [{name: loaves}, \
         {name: gone, columns: [{name: known}]}]}]",
    );
    pair.write("models/noted.sql", "{{ config(materialized='ephemeral') }} select loaf_id as id, upper(name) as label from {{ source('shelf', 'loaves') }}");
    pair.write("models/open.sql", "select *, known || other as both from {{ source('shelf', 'gone') }}");
    pair.write(
        "models/behind.sql",
        "with o as (select *, 1 as again from {{ ref('open') }}) select both, more, again from o",
    );
    pair.write(
        "models/ends.sql",
        "select n.label, max(t.paid) over (partition by n.id) as paid from {{ ref('noted') }} n, {{ ref('patron_totals') }} t, \
         {{ ref('noted_then') }} s where s.label is not null",
    );
    pair.write(
        "snapshots/noted_then.sql",
        "{% snapshot noted_then %}{{ config(target_schema='main', strategy='check', unique_key='id', check_cols='all') }}\
         select * from {{ ref('noted') }}{% endsnapshot %}",
    );
    pair
}

#[test]
fn a_column_is_followed_to_the_sources_and_to_what_is_made_of_it() {
    let pair = shop();
    assert!(pair.ours(&["seed"]).status.success());
    assert_eq!(
        told(&pair, &["lineage", "patron_totals.PAID"]),
        "patron_totals.paid\n  from stg_loaves.price\n    from loaves.price_cents\n  from stg_sales.quantity\n    \
         from sales.quantity\n  rows decided by stg_sales.is_paid\n    from sales.state\n  in ends.paid\n"
    );
    assert_eq!(
        told(&pair, &["lineage", "shelf.loaves.name", "--downstream"]),
        "shelf.loaves.name\n  in noted.label\n    in ends.label\n    in noted_then.label\n      decides which rows ends has\n"
    );
    assert_eq!(
        told(&pair, &["lineage", "ends"]),
        "ends\n  label: from noted.label\n  paid: from patron_totals.paid; rows decided by noted.id\n\
         which rows there are is decided by noted_then.label\n"
    );
    let json: Value =
        serde_json::from_str(&told(&pair, &["lineage", "ends.paid", "--upstream", "--json"])).unwrap();
    assert_eq!(json["upstream"][0]["node"], "model.bakery.patron_totals");
    assert_eq!((&json["upstream"][0]["way"], json.get("downstream")), (&Value::from("from"), None));
    let deepest = json["upstream"].as_array().unwrap().iter().filter_map(|step| step["depth"].as_u64()).max();
    assert_eq!(deepest, Some(3));
}

#[test]
fn what_is_not_known_is_told_with_its_reason() {
    let pair = shop();
    // What `gone` has beside what is written down nobody knows; what is asked of it is there.
    assert_eq!(
        told(&pair, &["lineage", "open"]),
        "open\n  known: from shelf.gone.known\n  both: from shelf.gone.known, shelf.gone.other\n  further columns of shelf.gone\n"
    );
    let behind = told(&pair, &["lineage", "behind.more", "--upstream"]);
    assert_eq!(behind, "behind.more\n  from open.more\n    from shelf.gone.more\n");
    assert!(told(&pair, &["lineage", "behind"]).contains("again: not certain: there may be another column"));
    assert!(
        told(&pair, &["lineage", "noted_then.dbt_valid_from"]).contains("not certain: the snapshot makes it")
    );
    for (asked, code, hint) in [
        ("patron_totals.piad", "MS9104", "did you mean `paid`?"),
        ("patron_total.paid", "MS9104", "did you mean `patron_totals`?"),
        ("nothing.like.this", "MS9104", "NODE.COLUMN"),
    ] {
        let output = pair.ours(&["lineage", asked]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && error.contains(code) && error.contains(hint), "{error}");
    }
    pair.write("models/staging/stg_sales.sql", "select {{ nosuch() }}");
    let output = pair.ours(&["lineage", "patron_totals.first_name"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && error.contains("model.bakery.stg_sales can't be compiled"), "{error}");
}

#[test]
fn the_page_has_the_lineage_of_columns() {
    let pair = shop();
    assert!(pair.ours(&["seed"]).status.success());
    assert!(pair.ours(&["docs", "generate", "--static"]).status.success());
    let read = |name: &str| fs::read_to_string(pair.at("ours").join("target").join(name)).unwrap();
    let json: Value = serde_json::from_str(&read("lineage.json")).unwrap();
    assert_eq!(json["metadata"]["millstream_lineage_version"], 1);
    let columns = &json["nodes"]["model.bakery.stg_loaves"]["columns"];
    let price = columns.as_array().unwrap().iter().find(|column| column["name"] == "price").unwrap();
    let from = serde_json::json!([{"node": "seed.bakery.loaves", "column": "price_cents"}]);
    assert_eq!((&price["from"], &price["unknown"]), (&from, &Value::Null));
    // Of the source that is in the warehouse all columns are known.
    let loaves = json["nodes"]["source.bakery.shelf.loaves"]["columns"].as_array().unwrap();
    assert_eq!(loaves.len(), 4);
    assert!(read("static_index.html").contains("id=\"lineage\">{\"metadata\""));
}
