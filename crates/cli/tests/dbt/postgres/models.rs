//! Models, seeds, snapshots and tests over several steps.

use super::Twins;

fn shop() -> Twins {
    let twins = Twins::new("shop", "bakery");
    // PostgreSQL knows no `group by all`.
    let totals =
        std::fs::read_to_string(twins.pair.at("ours").join("models/marts/patron_totals.sql")).unwrap();
    twins.write("models/marts/patron_totals.sql", &totals.replace("group by all", "group by 1, 2"));
    twins
}

#[test]
fn the_bakery_is_built_in_postgresql_as_dbt_builds_it() {
    let twins = shop();
    twins.both(&["build", "--empty"]);
    twins.both(&["build"]);
    twins.write(
        "seeds/sales.csv",
        "sale_id,patron_id,loaf_id,quantity,sold_on,state\n100,1,10,2,2024-03-01,paid\n107,9,11,7,2024-06-01,lost\n107,1,10,,2024-07-01,paid\n",
    );
    // A test finds something now, and what stands behind it is skipped.
    twins.both(&["build"]);
    twins.both(&["run"]);
    twins.both(&["test", "--select", "stg_all_sales", "stg_sales"]);
    twins.both(&["run", "--full-refresh", "--select", "loaf_totals"]);
    twins.both(&["seed", "--full-refresh"]);
    twins.both(&["run"]);
    // A model that fails keeps its rows.
    twins.write("models/staging/stg_loaves.sql", "select no_such_column from {{ ref('loaves') }}");
    let told = twins.both(&["build"]);
    assert!(told.contains("column \"no_such_column\" does not exist (SQLSTATE 42703)"), "{told}");
    assert!(told.contains("line 2: select no_such_column from"), "{told}");
    twins.both(&["retry"]);
    twins.both(&["test", "--store-failures"]);
}

fn cellar() -> Twins {
    let twins = Twins::new("cellar", "cellar");
    let read = |path: &str| std::fs::read_to_string(twins.pair.at("ours").join(path)).unwrap();
    let change = |path: &str, from: &str, to: &str| {
        let text = read(path);
        assert!(text.contains(from), "{path}: {from}");
        twins.write(path, &text.replace(from, to));
    };
    change("models/properties.yml", "schema: main", "schema: dev");
    change(
        "snapshots/casks.sql",
        "create or replace table main.looked as",
        "drop table if exists dev.looked; create table dev.looked as",
    );
    change("snapshots/old/casks_in_archive.sql", "[1, 2] as bottled", "2 as bottled");
    twins
}

#[test]
fn the_cellars_snapshots_hold_the_versions_that_dbt_tells_in_postgresql() {
    let twins = cellar();
    let casks = |rows: &str| {
        twins.write("seeds/casks.csv", &format!("cask_id,cellar_row,wine,litres,checked_at\n{rows}"));
    };
    let first = std::fs::read_to_string(twins.pair.at("ours").join("seeds/casks.csv")).unwrap();
    twins.both(&["seed"]);
    twins.both(&["snapshot"]);
    casks(
        "1,a,Malbec,200.00,2024-02-01 08:00:00\n2,a,Merlot,200.00,2024-01-01 08:05:00\n2,b,Syrah,,2024-01-01 08:10:00\n\
         3,b,Tannat,300.00,2024-02-01 09:00:00\n5,c,Gamay,50.00,2024-02-01 10:00:00\n",
    );
    twins.both(&["seed"]);
    twins.both(&["build"]);
    twins.both(&["snapshot"]);
    twins.write("seeds/casks.csv", &first);
    twins.both(&["seed"]);
    // The query gives another column.
    twins.both(&["build", "--vars", "{bottled: true}"]);
    casks("1,a,Malbec,190.00,2024-03-01 08:00:00\n");
    twins.both(&["seed", "--full-refresh"]);
    twins.both(&["snapshot", "--vars", "{bottled: true}"]);
}

#[test]
fn unit_tests_say_what_dbts_say_in_postgresql() {
    let twins = cellar();
    twins.both(&["build", "--select", "+drained"]);
    twins.both(&["test", "--select", "test_type:unit"]);
    let wrong = "unit_tests:\n  - name: NAME\n    model: drained\n    overrides: {macros: {is_incremental: false}}\n    given:\n\
                 \x20     - {input: \"source('cellar', 'casks')\", rows: [{cask_id: 1, cellar_row: a}]}\n\
                 \x20     - {input: ref('stock'), format: sql, rows: \"select 'a1' as cask, 1 as cask_id, 'a' as cellar_row, 'Malbec' as wine, cast(100 as decimal(9,2)) as litres\"}\n\
                 \x20     - {input: ref('draws'), format: csv, fixture: drawn}\n    expect: EXPECT\n";
    for (name, expect) in [
        (
            "other_rows",
            "{rows: [{cask: a1, wine: Malbec, litres: 100}, {cask: a1, wine: Malbec, litres: 98.5}]}",
        ),
        ("part_of_the_columns", "{format: sql, fixture: left}"),
        ("no_rows", "{rows: []}"),
        ("no_such_column", "{rows: [{bottle: a1}]}"),
        ("no_number", "{rows: [{litres: many}]}"),
    ] {
        twins.write(
            &format!("models/unit_{name}.yml"),
            &wrong.replace("NAME", name).replace("EXPECT", expect),
        );
        twins.both(&["test", "--select", name]);
    }
}

#[test]
fn rows_are_brought_in_by_every_strategy_as_with_dbt() {
    let twins = shop();
    let model = |name: &str, config: &str| {
        let text = format!(
            "{{{{ config(materialized='incremental', {config}) }}}}\n\
             select * from (values (1, 'a', {{{{ var('now') }}}}), (1, null, 2), (2, 'b', {{{{ var('now') }}}})) as t(id, part, amount)"
        );
        twins.write(&format!("models/kept/{name}.sql"), &text);
    };
    model("plain", "tags=['x']");
    model("two_keys", "unique_key=['id', 'part']");
    model("one_of_a_list", "unique_key=['part']");
    model("one_key", "unique_key='part', incremental_predicates=['amount < 5 or id = 9']");
    model(
        "two_keys_if",
        "unique_key=['id', 'part'], incremental_predicates=['DBT_INTERNAL_DEST.amount < 5']",
    );
    model("an_expression", "unique_key=\"coalesce(part, 'none')\"");
    model("merged", "unique_key='part', incremental_strategy='merge'");
    model("merged_if", "unique_key=['part'], incremental_strategy='merge', predicates=['DBT_INTERNAL_DEST.amount < 5 or DBT_INTERNAL_DEST.id = 9']");
    model("merged_without", "incremental_strategy='merge'");
    model("merged_some", "incremental_strategy='merge', unique_key='part', merge_update_columns=['amount']");
    model(
        "merged_others",
        "incremental_strategy='merge', unique_key='part', merge_exclude_columns=['AMOUNT']",
    );
    model("merged_both", "incremental_strategy='merge', unique_key='part', merge_exclude_columns=['id'], merge_update_columns=['amount']");
    model("deleted", "incremental_strategy='delete+insert', unique_key='part'");
    model("deleted_without", "incremental_strategy='delete+insert'");
    model("appended", "incremental_strategy='append', unique_key='id'");
    for now in ["1", "10", "20"] {
        twins.both(&["run", "--select", "kept", "--vars", &format!("{{now: {now}}}")]);
    }
}

#[test]
fn a_table_whose_query_gets_other_columns_is_as_dbt_leaves_it_in_postgresql() {
    let twins = shop();
    let query = "{% if var('step') == 1 %}select id, name::varchar(3), size from (values (1, 'a', 1), (2, 'b', 2)) t(id, name, size)\n\
                 {% elif var('step') == 2 %}select id, name::varchar(9), fresh from (values (2, 'bb', true), (3, 'longer', false)) t(id, name, fresh)\n\
                 {% elif var('step') == 3 %}select id, size::numeric(9,2), fresh, name from (values (3, 2.5, true, 'text'), (4, 3, false, null)) t(id, size, fresh, name)\n\
                 {% else %}select id, size, fresh from (values (5::bigint, 3.5::float8, 'x'), (6, 1, null)) t(id, size, fresh){% endif %}";
    for change in ["ignore", "fail", "append_new_columns", "sync_all_columns"] {
        for (name, more) in [
            ("plain", ""),
            ("keyed", ", unique_key='id'"),
            ("merged", ", unique_key='id', incremental_strategy='merge'"),
        ] {
            let config =
                format!("{{{{ config(materialized='incremental', on_schema_change='{change}'{more}) }}}}");
            twins.write(&format!("models/grown/{change}_{name}.sql"), &format!("{config}\n{query}"));
        }
    }
    for step in 1..=4 {
        twins.both(&["run", "--select", "grown", "--vars", &format!("{{step: {step}}}")]);
    }
}
