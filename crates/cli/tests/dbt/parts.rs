//! Tests, seeds and snapshots by materializations, strategies and macros of a project's own.

use super::Pair;

/// Each test is told of, and those whose `meta` says so say of themselves what they count.
const TESTS: &str = "
{% materialization test, adapter='duckdb' %}
  {% set kind = config.get('meta', {}).get('kind', 'dbts') %}
  {% do run_query('create schema if not exists told') %}
  {% do run_query('create table if not exists told.tests (name text, sql text, code text, hooks integer, keeps text, kind text, alias text, language text)') %}
  {% call statement(auto_begin=True) %}
    insert into told.tests values ('{{ model.name }}', '{{ sql | replace(\"'\", '') | replace('\\n', ' ') | replace(' ', '') }}', '{{ 'same' if sql == compiled_code else 'other' }}',
      {{ pre_hooks | length + post_hooks | length }}, '{{ should_store_failures() }}', '{{ model.resource_type }}', '{{ this.identifier == model.alias }}', '{{ model.language }}')
  {% endcall %}
  {% do adapter.commit() %}
  {% if kind == 'dbts' %}{{ return(dbt.materialization_test_default()) }}{% endif %}
  {% set counts = {
      'texts': \"select 'no' as should_error, 'yes' as should_warn, 2.0::decimal(9,1) as failures\",
      'upper': 'select 3 as FAILURES, 1 as SHOULD_WARN, 1 as SHOULD_ERROR',
      'unheard': \"select 1 as failures, 'perhaps' as should_warn, false as should_error\",
      'two_rows': 'select 1 as failures, true as should_warn, true as should_error from range(2)',
      'four_columns': 'select 1 as failures, true as should_warn, true as should_error, 1 as more',
      'nothing': 'select null::integer as failures, true as should_warn, true as should_error',
      'half': 'select 0.5 as failures, true as should_warn, true as should_error',
      'undone': 'create table told.undone as select 1 as n; select 0 as failures, false as should_warn, false as should_error',
  } %}
  {% if kind != 'no_main' %}{% call statement('main', fetch_result=True) %}{{ counts[kind] }}{% endcall %}{% endif %}
{% endmaterialization %}
";

const KINDS: &[&str] =
    &["texts", "upper", "unheard", "two_rows", "four_columns", "nothing", "half", "undone", "no_main"];

#[test]
fn tests_are_run_by_a_materialization_of_the_projects_own() {
    let pair = Pair::new("shop", "bakery.duckdb");
    pair.write("macros/tests.sql", TESTS);
    pair.both(&["seed"]);
    for kind in KINDS {
        pair.write(
            &format!("tests/own/{kind}.sql"),
            &format!("{{{{ config(meta={{'kind': '{kind}'}}) }}}} select 1 as n"),
        );
    }
    pair.write(
        "tests/own/some.sql",
        "{{ config(fail_calc='sum(n)', warn_if='>1', error_if='>9', limit=3) }} select 1 as n from range(5)",
    );
    pair.write(
        "tests/own/kept.sql",
        "{{ config(store_failures=true, severity='warn', schema='kept') }} select 1 as n from range(5)",
    );
    pair.write("tests/own/seen.sql", "{{ config(store_failures_as='view') }} select 1 as n from range(5)");
    pair.write(
        "tests/own/little.sql",
        "{{ config(error_if='>5', warn_if='>5') }} select 1 as n from range(5)",
    );
    // dbt's threads would write into the same table at once.
    pair.both(&["build", "--threads", "1"]);
    pair.both(&[
        "test",
        "--threads",
        "1",
        "--store-failures",
        "--select",
        "test_type:generic",
        "some",
        "little",
    ]);
    pair.both(&["test", "--threads", "1", "--warn-error", "--select", "texts", "some"]);
    let told = pair.ours(&["test", "--select", "two_rows", "four_columns", "unheard", "no_main"]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    for words in [
        "2 rows of counts",
        "4 columns of counts",
        "`perhaps` is neither true nor false",
        "has no main statement",
    ] {
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn parts_of_tests_are_those_of_the_project_and_of_packages_where_it_says_so() {
    let pair = Pair::new("shop", "bakery.duckdb");
    pair.write(
        "tests/some.sql",
        "{{ config(limit=2, warn_if='>3', error_if='>8') }} select 1 as n from range(5)",
    );
    pair.write("tests/kept.sql", "{{ config(store_failures=true) }} select 1 as n from range(5)");
    pair.both(&["seed"]);
    pair.write(
        "macros/parts.sql",
        "{% macro default__get_test_sql(main_sql, fail_calc, warn_if, error_if, limit) %}\
         select 2 * {{ fail_calc }} as failures, 2 * {{ fail_calc }} {{ warn_if }} as should_warn, 2 * {{ fail_calc }} {{ error_if }} as should_error from ({{ main_sql }}) \
         {{ 'limit ' ~ limit if limit is not none }}{% endmacro %}",
    );
    pair.both(&["build"]);
    pair.write("macros/parts.sql", "{% macro duckdb__get_limit_sql(sql, limit) %}select * from ({{ sql }}) union all select 1 limit {{ limit or 100 }}{% endmacro %}");
    pair.both(&["test", "--select", "some", "kept"]);
    pair.write(
        "macros/parts.sql",
        "{% macro should_store_failures() %}{{ return(model.name == 'some') }}{% endmacro %}",
    );
    pair.both(&["test", "--select", "some", "kept"]);
    pair.write("macros/parts.sql", "{% macro get_create_sql(relation, sql) %}create {{ relation.type }} {{ relation }} as select *, 'own' as made from ({{ sql }}){% endmacro %}");
    pair.both(&["test", "--select", "some", "kept"]);
    // A package's goes before dbt's where a flag says so, and not otherwise.
    pair.write("macros/parts.sql", "");
    pair.write("packages.yml", "packages: [{local: ../other}]\n");
    for side in ["theirs", "ours"] {
        let other = pair.at(side).join("../other");
        std::fs::create_dir_all(other.join("macros")).unwrap();
        std::fs::write(other.join("dbt_project.yml"), "name: other\nversion: '1.0'\nconfig-version: 2\n")
            .unwrap();
        let own = "{% materialization test, default %}{% call statement('main', fetch_result=True) %}select 7 as failures, true as should_warn, false as should_error{% endcall %}{% endmaterialization %}";
        std::fs::write(other.join("macros/test.sql"), own).unwrap();
    }
    pair.ends_alike(&["deps"]);
    pair.both(&["test", "--select", "some", "kept"]);
    let project = std::fs::read_to_string(pair.at("ours").join("dbt_project.yml")).unwrap();
    let flags = "flags: {require_explicit_package_overrides_for_builtin_materializations: false}\n";
    pair.write("dbt_project.yml", &format!("{project}{flags}"));
    pair.both(&["test", "--select", "some", "kept"]);
    let wrong = r#"{"error": ["PackageMaterializationOverrideDeprecation"]}"#;
    let told = pair.ends_alike(&["test", "--select", "some", "--warn-error-options", wrong]);
    assert!(told.contains("in the place of dbt's"), "{told}");
}

const SEEDS: &str = "
{% materialization seed, adapter='duckdb' %}
  {%- set table = load_agate_table() -%}
  {%- set there = load_cached_relation(this) -%}
  {{ run_hooks(pre_hooks) }}
  {% if there is not none %}{% do adapter.drop_relation(there) %}{% endif %}
  {% do create_csv_table(model, table) %}
  {% do load_csv_rows(model, table) %}
  {% call statement(auto_begin=True) %}create or replace table {{ this.include(database=false) }}_told as
    {% for row in table.rows %}
    select '{{ row | join('|') }}' as cells, '{{ sql }}' as sql, '{{ row[0] is number }}' as is_number {{ 'union all' if not loop.last }}
    {% else %}select '' as cells, '' as sql, '' as is_number
    {% endfor %}
  {% endcall %}
  {% set types = [] %}
  {% for name in table.column_names %}{% do types.append(name ~ ' ' ~ adapter.convert_type(table, loop.index0)) %}{% endfor %}
  {% call noop_statement('main', types | join(', '), 'SEED', table.rows | length) %}nothing{% endcall %}
  {% do store_result('agate_table', response='OK', agate_table=table) %}
  {% do adapter.commit() %}
  {{ return({'relations': [this.incorporate(type='table')]}) }}
{% endmaterialization %}
";

const CSV: &str = "id,name,\"a price\",day,at,yes,nothing\n1,Rye,1.50,2024-01-02,2024-01-02 10:00:00,true,\n2,\"it's, a\n\"\"bun\"\"\",20,2024-02-29,2024-01-03 11:30:00,FALSE,\n3,,,,,,\n";

#[test]
fn seeds_are_loaded_by_a_materialization_of_the_projects_own() {
    let pair = Pair::new("shop", "bakery.duckdb");
    pair.write("macros/seeds.sql", SEEDS);
    pair.write("seeds/wide.csv", CSV);
    pair.write("seeds/hooked.csv", "id,code\n1,007\n2,008\n");
    pair.write("seeds/none.csv", "id,code\n");
    pair.write("seeds/own.yml", "seeds: [{name: hooked, config: {column_types: {code: varchar}, pre_hook: create schema if not exists hooked}}]\n");
    // dbt makes no table of a file without rows, for it has a statement with no values then.
    pair.both(&["seed", "--exclude", "none"]);
    pair.both(&["seed", "--full-refresh", "--exclude", "none"]);
    pair.both(&["build", "--exclude", "none"]);
}

#[test]
fn parts_of_seeds_are_those_of_the_project() {
    let pair = Pair::new("shop", "bakery.duckdb");
    pair.write("seeds/wide.csv", CSV);
    pair.write("seeds/slow.csv", CSV);
    pair.write("seeds/none.csv", "id,code\n");
    pair.write("seeds/parted.csv", "id;a name\n1;x\n2;\"y;z\"\n");
    pair.write("seeds/own.yml", "seeds: [{name: slow, config: {fast: false}}, {name: parted, config: {delimiter: ';', quote_columns: true, indexes: [{columns: [id]}], persist_docs: {relation: true}}, description: told}]\n");
    pair.both(&["seed"]);
    pair.both(&["seed"]);
    for parts in [
        // Nothing is changed, but all is done by macros.
        "{% macro get_batch_size() %}{{ return(2) }}{% endmacro %}",
        "{% macro default__create_csv_table(model, agate_table) %}\
         {% set sql %}create table {{ this }} ({% for name in agate_table.column_names %}{{ adapter.quote(name) }} varchar, {% endfor %} loaded integer default 5){% endset %}\
         {% call statement('_') %}{{ sql }}{% endcall %}{{ return(sql) }}{% endmacro %}\
         {% macro load_csv_rows(model, agate_table) %}{{ return(default__load_csv_rows(model, adapter.convert_datetimes_to_strs(agate_table))) }}{% endmacro %}",
        "{% macro reset_csv_table(model, full_refresh, old_relation, agate_table) %}{% do adapter.drop_relation(old_relation) %}{{ return(create_csv_table(model, agate_table)) }}{% endmacro %}",
        "{% macro duckdb__load_csv_rows(model, agate_table) %}{% do adapter.add_query('insert into ' ~ this ~ ' select null' ~ (', null' * (agate_table.column_names | length - 1))) %}{{ return('') }}{% endmacro %}",
    ] {
        pair.write("macros/parts.sql", parts);
        pair.both(&["seed", "--full-refresh"]);
        pair.both(&["seed"]);
    }
    // A view in a seed's place stays.
    pair.write("macros/parts.sql", "{% macro get_batch_size() %}{{ return(2) }}{% endmacro %}");
    pair.write("models/view_there.sql", "select 1 as id");
    pair.both(&["run", "--select", "view_there"]);
    pair.write("models/view_there.sql", "select 1 as id /* other */");
    pair.write("seeds/seed_there.csv", "id\n1\n");
    pair.write(
        "seeds/there.yml",
        "seeds: [{name: seed_there, config: {schema: null, alias: view_there, enabled: true}}]\n",
    );
    pair.write("models/view_there.sql", "{{ config(enabled=false) }} select 1 as id");
    let told = pair.ends_alike(&["seed", "--select", "seed_there"]);
    assert!(told.contains("can't replace it"), "{told}");
}

const STRATEGIES: &str = "
{% macro snapshot_by_litres_strategy(node, snapshotted_rel, current_rel, model_config, target_exists) %}
  {% set key = config.get('unique_key') %}
  {% set at = config.get('updated_at') %}
  {{ return({
      'unique_key': key, 'updated_at': at, 'scd_id': snapshot_hash_arguments([key, at, \"'mine'\"]),
      'row_changed': '(' ~ snapshotted_rel ~ '.litres > ' ~ current_rel ~ '.litres' ~ ('' if target_exists else ' and no_such_thing') ~ ')',
      'invalidate_hard_deletes': model_config.get('invalidate_hard_deletes', false), 'hard_deletes': adapter.get_hard_deletes_behavior(config)
  }) }}
{% endmacro %}
";

fn own(name: &str, strategy: &str, more: &str) -> String {
    format!(
        "{{% snapshot {name} %}}{{{{ config(strategy='{strategy}', unique_key='cask', updated_at='checked_at', {more}) }}}} \
         select cellar_row || cask_id as cask, cask_id, litres, wine, checked_at{{{{ \", 'no' as bottled\" if var('bottled', false) }}}} from {{{{ ref('casks') }}}}{{% endsnapshot %}}\n"
    )
}

/// The rows of the casks, four times.
fn casks(pair: &Pair) -> [String; 4] {
    let first = std::fs::read_to_string(pair.at("ours").join("seeds/casks.csv")).unwrap();
    let head = "cask_id,cellar_row,wine,litres,checked_at\n";
    [
        first.clone(),
        format!("{head}1,a,Malbec,200.00,2024-02-01 08:00:00\n2,a,Merlot,200.00,2024-01-01 08:05:00\n2,b,Syrah,,2024-01-01 08:10:00\n3,b,Tannat,300.00,2024-02-01 09:00:00\n5,c,Gamay,50.00,2024-02-01 10:00:00\n"),
        first,
        format!("{head}1,a,Malbec,190.00,2024-03-01 08:00:00\n"),
    ]
}

#[test]
fn snapshots_have_strategies_of_the_projects_own() {
    let pair = Pair::new("cellar", "cellar.duckdb");
    pair.write("macros/strategies.sql", STRATEGIES);
    let renamed = "snapshot_meta_column_names={'dbt_valid_from': 'since', 'dbt_valid_to': 'until', 'dbt_scd_id': 'version', 'dbt_is_deleted': 'gone'}";
    pair.write(
        "snapshots/own.sql",
        &[
            own("by_litres", "by_litres", ""),
            own("of_package", "cellar.by_litres", "hard_deletes='invalidate'"),
            own("renamed", "by_litres", &format!("hard_deletes='new_record', {renamed}")),
            own("open_end", "by_litres", "dbt_valid_to_current=\"'9999-01-01'::timestamp\", hard_deletes='invalidate', indexes=[{'columns': ['cask']}]"),
            own("unheard", "by_nothing", ""),
            own("elsewhere", "nowhere.by_litres", ""),
        ]
        .concat(),
    );
    for (at, rows) in casks(&pair).iter().enumerate() {
        pair.write("seeds/casks.csv", rows);
        let vars = if at > 1 { "{bottled: true}" } else { "{bottled: false}" };
        let names = ["casks", "by_litres", "of_package", "renamed", "open_end", "unheard", "elsewhere"];
        pair.both(&[&["build", "--full-refresh", "--vars", vars, "--select"], &names[..]].concat());
    }
    let told = pair.ours(&["snapshot", "--select", "unheard"]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("no macro is named `snapshot_by_nothing_strategy`"), "{told}");
}

#[test]
fn snapshots_are_made_of_the_projects_own_parts() {
    let pair = Pair::new("cellar", "cellar.duckdb");
    let rows = casks(&pair);
    for (at, parts) in [
        // As dbt has it: all is done by macros, and nothing is another.
        "{% macro get_true_sql() %}{{ return('TRUE') }}{% endmacro %}",
        "{% macro default__build_snapshot_table(strategy, sql) %}{{ log(strategy.updated_at) }}select *, true as by_own, {{ strategy.scd_id }} as dbt_scd_id, {{ strategy.updated_at }} as dbt_updated_at, \
         {{ strategy.updated_at }} as dbt_valid_from, {{ get_dbt_valid_to_current(strategy, get_snapshot_table_column_names()) }}, 'False' as dbt_is_deleted from ({{ sql }}) own{% endmacro %}\
         {% macro default__snapshot_hash_arguments(args) %}md5('own' || {{ args | join(\" || '-' || \") }}){% endmacro %}",
        "{% macro duckdb__snapshot_merge_sql(target, source, insert_cols) %}insert into {{ target }} ({{ insert_cols | join(', ') }}) select {{ insert_cols | join(', ') }} from {{ source }} where dbt_change_type = 'insert'{% endmacro %}\
         {% macro snapshot_get_time() %}'2024-05-05 05:05:05'::timestamp{% endmacro %}",
        "{% macro snapshot_timestamp_strategy(node, snapshotted_rel, current_rel, model_config, target_exists) %}\
         {% do return({'unique_key': 'cask_id', 'updated_at': 'checked_at', 'row_changed': snapshotted_rel ~ '.wine <> ' ~ current_rel ~ '.wine', 'scd_id': snapshot_hash_arguments(['cask_id', 'checked_at', 'cask']), 'hard_deletes': 'ignore'}) %}{% endmacro %}\
         {% macro post_snapshot(staging_relation) %}{% do run_query('create or replace table ' ~ this ~ '_staged as select * from ' ~ staging_relation) %}{% endmacro %}",
        "{% materialization snapshot, default %}{% call statement('main') %}create or replace table {{ this }} as select *, '{{ config.get('strategy') }}' as strategy from ({{ sql }}){% endcall %}{% do adapter.commit() %}\
         {{ return({'relations': [this.incorporate(type='table')]}) }}{% endmaterialization %}",
    ]
    .into_iter()
    .enumerate()
    {
        let name = |kind: &str| format!("{kind}_{at}");
        pair.write("macros/parts.sql", parts);
        let keys = "unique_key=['cask', 'cask_id']";
        pair.write(
            "snapshots/own.sql",
            &[
                own(&name("by_time"), "timestamp", ""),
                own(&name("by_all"), "check", "check_cols='all', hard_deletes='invalidate'"),
                own(&name("by_some"), "check", "check_cols=['litres', 'WINE'], hard_deletes='new_record'"),
                own(&name("by_keys"), "check", "check_cols='all', hard_deletes='new_record'").replace("unique_key='cask'", keys).replace("updated_at='checked_at', ", ""),
                own(&name("at_the_end"), "timestamp", "dbt_valid_to_current=\"'9999-01-01'::timestamp\", hard_deletes='new_record'").replace("unique_key='cask'", keys),
            ]
            .concat(),
        );
        let names = ["by_time", "by_all", "by_some", "by_keys", "at_the_end"].map(name);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        for (step, rows) in rows.iter().enumerate().take(if at == 0 { 4 } else { 2 }) {
            pair.write("seeds/casks.csv", rows);
            let vars = if step > 1 { "{bottled: true}" } else { "{bottled: false}" };
            pair.both(&[&["build", "--full-refresh", "--vars", vars, "--select", "casks"], &names[..]].concat());
        }
    }
}

#[test]
fn what_is_kept_in_the_graph_is_there_for_hooks_at_the_end() {
    let pair = Pair::new("shop", "bakery.duckdb");
    pair.write(
        "macros/watch.sql",
        "{% macro begin() %}{% if execute %}{% do graph.setdefault('watch', {'tests': {}, 'order': [], 'models': []}) %}{% endif %}{% endmacro %}\n\
         {% materialization test, default %}{% set result = dbt.materialization_test_default() %}\
         {% do graph['watch'].tests.update({model.name: load_result('main').table.columns['failures'].values()[0] | int}) %}\
         {% do graph['watch']['order'].append(model.resource_type) %}{{ return(result) }}{% endmaterialization %}\n\
         {% macro end() %}{% if execute and graph.get('watch') %}\
         create or replace table main.watched as select * from (values {% for name, found in graph.watch.tests | dictsort %}('{{ name }}', {{ found }}), {% endfor %}\
         ('all', {{ graph.watch.order | length }}), ('{{ graph.watch.models | sort | join(' ') }}', 0)) t(name, found){% endif %}{% endmacro %}\n",
    );
    pair.write("models/kept.sql", "{% if execute %}{% do graph['watch']['models'].append(this.name) %}{% endif %}{{ config(post_hook=\"{% do graph['watch'].models.append('hook') %}\") }} select 1 as n");
    pair.write("tests/some.sql", "{{ config(severity='warn') }} select 1 as n from range(5)");
    let project = std::fs::read_to_string(pair.at("ours").join("dbt_project.yml")).unwrap();
    pair.write(
        "dbt_project.yml",
        &format!("{project}\non-run-start: '{{{{ begin() }}}}'\non-run-end: '{{{{ end() }}}}'\n"),
    );
    pair.both(&["build"]);
}
