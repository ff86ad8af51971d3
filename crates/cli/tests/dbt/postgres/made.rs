//! Models that macros of the project's own have a part in.

use super::Twins;
use crate::made::{MATERIALIZATIONS, PARTS};

fn shop() -> Twins {
    let twins = Twins::new("shop", "bakery");
    // PostgreSQL knows no `group by all`, and nothing here is about these.
    twins.write("models/marts/patron_totals.sql", "select 1 as patron_id, 2 as paid");
    twins
}

#[test]
fn models_are_materialized_in_postgresql_by_what_the_project_says() {
    let twins = shop();
    let own = MATERIALIZATIONS
        .replace("adapter='duckdb'", "adapter='postgres'")
        .replace("create or replace table", "create table");
    // Those of this name are of the project's models, too.
    let own = own.split("{% materialization table, default %}").next().unwrap();
    twins.write("macros/materializations.sql", own);
    for name in ["growing", "in_python", "unheard_of"] {
        let hooks = "pre_hook=['create schema if not exists hooked', {'sql': \"drop table if exists hooked.{{ this.name }}; create table hooked.{{ this.name }} as select 1 as n\", 'transaction': false}]";
        let hooks = if name == "growing" { hooks } else { "tags=['x']" };
        let model = format!("{{{{ config(materialized='{name}', {hooks}) }}}}\nselect {{{{ var('now') }}}} as now, loaf_id from {{{{ ref('loaves') }}}}");
        twins.write(&format!("models/own/of_{name}.sql"), &model);
    }
    twins.execute("create schema hooked");
    twins.write("models/own/after.sql", "{{ config(materialized='growing', post_hook='insert into {{ this }} values (0)') }} select count(*) as n from {{ ref('of_growing') }}");
    twins.both(&["seed", "--vars", "{now: 1}"]);
    for (now, more) in [("{now: 1}", &[][..]), ("{now: 2}", &[]), ("{now: 3}", &["--full-refresh"])] {
        twins.both(&[&["run", "--select", "own", "--vars", now], more].concat());
    }
}

#[test]
fn parts_of_materializations_are_the_projects_in_postgresql_too() {
    let twins = shop();
    let parts = PARTS.replace("duckdb__", "postgres__").replace(
        "create {{ 'temporary ' if temporary }}table {{ relation.include(database=(not temporary), schema=(not temporary)) }} as (",
        "create {{ 'temporary ' if temporary }}table {{ relation }} as (",
    );
    let parts = parts
        .replace("from ({{ compiled_code }})", "from ({{ compiled_code }}) as q")
        .replace("from ({{ sql }}) limit 3", "from ({{ sql }}) as q limit 3");
    // There it takes no more than these.
    let parts = parts
        .replace("compiled_code, language='sql', partitioned_by=none, sorted_by=none)", "sql)")
        .replace("{{ compiled_code }}", "{{ sql }}");
    twins.write("macros/parts.sql", &parts);
    for (name, config) in [
        ("a_table", "materialized='table', post_hook='insert into {{ this }} values (9, 9, false)'"),
        ("a_view", "materialized='view'"),
        ("twice", "materialized='incremental', incremental_strategy='twice'"),
        ("no_strategy", "materialized='incremental', incremental_strategy='nowhere'"),
        ("deleted", "materialized='incremental', unique_key='id'"),
        ("merged", "materialized='incremental', unique_key='id', incremental_strategy='merge'"),
        ("merged_grown", "materialized='incremental', unique_key='id', incremental_strategy='merge', on_schema_change='append_new_columns'"),
        ("failing", "materialized='incremental', on_schema_change='fail'"),
        ("indexed", "materialized='table', indexes=[{'columns': ['id'], 'type': 'hash'}], grants={'select': ['public']}"),
    ] {
        let more = "{% if var('now') > 1 %}, true as grown{% endif %}";
        let more = if name.ends_with("grown") || name == "failing" { more } else { "" };
        let query = format!("select id, {{{{ var('now') }}}} as now{more} from (values (1), (2), (3), (4)) t(id) where id <> {{{{ var('now') }}}}");
        twins.write(&format!("models/parts/{name}.sql"), &format!("{{{{ config({config}) }}}}\n{query}"));
    }
    for (now, more) in [("{now: 1}", &[][..]), ("{now: 2}", &[]), ("{now: 3}", &["--full-refresh"])] {
        twins.both(&[&["run", "--select", "parts", "--vars", now], more].concat());
    }
}

#[test]
fn tests_seeds_and_snapshots_are_made_of_the_projects_own_parts() {
    let twins = Twins::new("cellar", "cellar");
    // The first three change nothing: all is done by macros, as dbt's do it.
    let parts = "{% macro get_true_sql() %}{{ return('TRUE') }}{% endmacro %}\n{% macro get_batch_size() %}{{ return(2) }}{% endmacro %}\n\
                 {% macro default__get_limit_sql(sql, limit) %}{{ sql }} {% if limit is not none %}limit {{ limit }}{% endif %}{% endmacro %}\n\
                 {% macro snapshot_by_litres_strategy(node, snapshotted_rel, current_rel, model_config, target_exists) %}\
                 {{ return({'unique_key': config.get('unique_key'), 'updated_at': 'checked_at', 'row_changed': snapshotted_rel ~ '.litres > ' ~ current_rel ~ '.litres', \
                 'scd_id': snapshot_hash_arguments(['cask', 'checked_at']), 'hard_deletes': adapter.get_hard_deletes_behavior(config)}) }}{% endmacro %}\n";
    twins.write("macros/parts.sql", parts);
    twins.write("tests/some.sql", "{{ config(limit=2, severity='warn', store_failures=true) }} select 1 as n from generate_series(1, 5)");
    let own = |name: &str, strategy: &str, more: &str| {
        format!(
            "{{% snapshot {name} %}}{{{{ config(strategy='{strategy}', unique_key='cask', {more}) }}}} \
             select cellar_row || cask_id as cask, litres, wine, checked_at from {{{{ ref('casks') }}}}{{% endsnapshot %}}\n"
        )
    };
    twins.write(
        "snapshots/own.sql",
        &[
            own("by_litres", "by_litres", "hard_deletes='invalidate'"),
            own("by_time", "timestamp", "updated_at='checked_at', hard_deletes='new_record'"),
            own("by_all", "check", "check_cols='all', dbt_valid_to_current=\"'9999-01-01'::timestamp\", hard_deletes='invalidate', indexes=[{'columns': ['cask']}]"),
        ]
        .concat(),
    );
    let head = "cask_id,cellar_row,wine,litres,checked_at\n";
    let first = std::fs::read_to_string(twins.pair.at("ours").join("seeds/casks.csv")).unwrap();
    let second = format!("{head}1,a,Malbec,100.00,2024-02-01 08:00:00\n2,b,,,2024-01-01 08:10:00\n5,c,\"it's\",50.00,2024-02-01 10:00:00\n");
    for rows in [&first, &second, &first] {
        twins.write("seeds/casks.csv", rows);
        twins.both_but_words(&["build", "--select", "casks", "by_litres", "by_time", "by_all", "some"]);
    }
    twins.both_but_words(&["seed", "--full-refresh"]);
}
