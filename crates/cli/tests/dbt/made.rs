//! How models become relations: materializations and macros of a project's own, contracts, versions, batches, and what is said of a relation.

use super::Pair;

pub(crate) const MATERIALIZATIONS: &str = "
{% materialization growing, adapter='duckdb', supported_languages=['sql'] %}
  {%- set target = this.incorporate(type='table') -%}
  {%- set there = load_cached_relation(this) -%}
  {{ run_hooks(pre_hooks, inside_transaction=False) }}
  {{ run_hooks(pre_hooks) }}
  {% if there is none or should_full_refresh() %}
    {% do drop_relation_if_exists(there) %}
    {% call statement('main') %}{{ get_create_table_as_sql(False, target, sql) }}{% endcall %}
  {% else %}
    {% set new = make_temp_relation(target) %}
    {% do run_query(create_table_as(True, new, compiled_code)) %}
    {% set columns = adapter.get_columns_in_relation(new) | map(attribute='name') | list %}
    {% call statement('main') %}
      insert into {{ target }} ({{ get_quoted_csv(columns) }}) select {{ columns | join(', ') }} from {{ new }}
    {% endcall %}
  {% endif %}
  {{ run_hooks(post_hooks) }}
  {{ adapter.commit() }}
  {{ run_hooks(post_hooks, inside_transaction=False) }}
  {{ return({'relations': [target]}) }}
{% endmaterialization %}

{% materialization undone, default %}
  {% call statement('main') %}create table {{ this }} as {{ sql }}{% endcall %}
  {{ return({'relations': [this.incorporate(type='table')]}) }}
{% endmaterialization %}

{% materialization counted, default %}
  {% set found = get_or_create_relation(this.database, this.schema, this.identifier, 'view') %}
  {% if found[0] %}{% do adapter.drop_relation(found[1]) %}{% endif %}
  {% do run_query(get_create_view_as_sql(found[1], sql)) %}
  {% set rows = run_query('select count(*) from ' ~ found[1]).columns[0].values()[0] %}
  {% do store_raw_result(name='main', message='VIEW ' ~ rows, code='VIEW', rows_affected=rows, agate_table=none) %}
  {{ return({'relations': [found[1]]}) }}
{% endmaterialization %}

{% materialization without_main, default %}
  {% do run_query('create or replace table ' ~ this ~ ' as ' ~ sql) %}
  {{ return({'relations': [this]}) }}
{% endmaterialization %}

{% materialization without_relations, default %}
  {% call statement('main') %}create or replace table {{ this }} as {{ sql }}{% endcall %}
  {{ adapter.commit() }}
{% endmaterialization %}

{% materialization in_python, default, supported_languages=['python'] %}{{ return({'relations': []}) }}{% endmaterialization %}

{% materialization table, default %}{{ exceptions.raise_compiler_error('one for all warehouses is farther than that for this one') }}{% endmaterialization %}
{% materialization view, default %}
  {% call statement('main') %}create or replace view {{ this }} as select *, 'own' as kind from ({{ sql }}){% endcall %}
  {{ return({'relations': [this.incorporate(type='view')]}) }}
{% endmaterialization %}
";

#[test]
fn models_are_materialized_by_what_the_project_says() {
    let pair = Pair::new("shop", "bakery.duckdb");
    pair.write("macros/materializations.sql", MATERIALIZATIONS);
    for name in [
        "growing",
        "undone",
        "counted",
        "without_main",
        "without_relations",
        "in_python",
        "table",
        "view",
        "unheard_of",
    ] {
        let hooks = "pre_hook=['create schema if not exists hooked', {'sql': \"create or replace table hooked.{{ this.name }} as select 1 as n\", 'transaction': false}]";
        let model = format!("{{{{ config(materialized='{name}', {hooks}) }}}}\nselect {{{{ var('now') }}}} as now, loaf_id from {{{{ ref('loaves') }}}}");
        pair.write(&format!("models/own/of_{name}.sql"), &model);
    }
    pair.write("models/own/after.sql", "{{ config(materialized='growing', post_hook='insert into {{ this }} values (0)') }} select count(*) as n from {{ ref('of_growing') }}");
    pair.both(&["seed", "--vars", "{now: 1}"]);
    for (now, more) in [("{now: 1}", &[][..]), ("{now: 2}", &[]), ("{now: 3}", &["--full-refresh"])] {
        pair.both(&[&["run", "--select", "own", "--vars", now], more].concat());
    }
    let told = pair.ours(&["run", "--select", "of_unheard_of", "of_without_main", "--vars", "{now: 1}"]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    for words in ["there is no materialization `unheard_of`", "has no main statement"] {
        assert!(told.contains(words), "{told}");
    }
}

pub(crate) const PARTS: &str = "
{% macro duckdb__create_table_as(temporary, relation, compiled_code, language='sql', partitioned_by=none, sorted_by=none) -%}
  create {{ 'temporary ' if temporary }}table {{ relation.include(database=(not temporary), schema=(not temporary)) }} as (
    select *, {{ 'true' if temporary else 'false' }} as was_added from ({{ compiled_code }})
  );
{%- endmacro %}
{% macro default__get_create_view_as_sql(relation, sql) %}create view {{ relation }} as select * from ({{ sql }}) limit 3{% endmacro %}
{% macro get_incremental_twice_sql(arg_dict) %}
  {% do return(get_incremental_append_sql(arg_dict) ~ ';' ~ get_insert_into_sql(arg_dict.target_relation, arg_dict.temp_relation, arg_dict.dest_columns)) %}
{% endmacro %}
{% macro default__get_delete_insert_merge_sql(target, source, unique_key, dest_columns, incremental_predicates) %}select no_such_column{% endmacro %}
{% macro duckdb__get_delete_insert_merge_sql(target, source, unique_key, dest_columns, incremental_predicates) %}
  delete from {{ target }} where {{ unique_key }} >= 2; insert into {{ target }} select * from {{ source }}
{% endmacro %}
";

#[test]
fn parts_of_materializations_that_a_project_has_itself_are_those_that_are_used() {
    let pair = Pair::new("shop", "bakery.duckdb");
    pair.write("macros/parts.sql", PARTS);
    for (name, config) in [
        ("a_table", "materialized='table', post_hook='insert into {{ this }} values (9, 9, false)'"),
        ("a_view", "materialized='view'"),
        ("twice", "materialized='incremental', incremental_strategy='twice'"),
        ("no_strategy", "materialized='incremental', incremental_strategy='nowhere'"),
        ("deleted", "materialized='incremental', unique_key='id'"),
        ("merged", "materialized='incremental', unique_key='id', incremental_strategy='merge'"),
        ("merged_grown", "materialized='incremental', unique_key='id', incremental_strategy='merge', on_schema_change='append_new_columns'"),
        ("failing", "materialized='incremental', on_schema_change='fail'"),
    ] {
        let more = "{% if var('now') > 1 %}, true as grown{% endif %}";
        let more = if name.ends_with("grown") || name == "failing" { more } else { "" };
        let query = format!("select id, {{{{ var('now') }}}} as now{more} from (values (1), (2), (3), (4)) t(id) where id <> {{{{ var('now') }}}}");
        pair.write(&format!("models/parts/{name}.sql"), &format!("{{{{ config({config}) }}}}\n{query}"));
    }
    for (now, more) in [("{now: 1}", &[][..]), ("{now: 2}", &[]), ("{now: 3}", &["--full-refresh"])] {
        pair.both(&[&["run", "--select", "parts", "--vars", now], more].concat());
    }
    pair.both(&["build", "--exclude", "parts", "--vars", "{now: 1}"]);
}

#[test]
fn what_is_said_of_a_relation_is_said_in_the_warehouse() {
    let pair = Pair::new("shop", "bakery.duckdb");
    let described = "persist_docs={'relation': true, 'columns': true}";
    for (name, config) in [
        ("a_view", described.to_owned()),
        ("a_table", format!("materialized='table', {described}, indexes=[{{'columns': ['id']}}, {{'columns': ['id', 'Part'], 'unique': true}}]")),
        ("relation_only", "materialized='table', persist_docs={'relation': true}, grants={'select': ['somebody']}".into()),
        ("grown", format!("materialized='incremental', unique_key='id', {described}, indexes=[{{'columns': ['id']}}]")),
        ("wrong_index", "materialized='table', indexes=[{'of': 'id'}]".into()),
        ("with_header", "materialized='table', sql_header='create or replace temp macro twice(x) as x * 2;', partitioned_by=['id']".into()),
    ] {
        let own = if name == "with_header" { "twice(id)" } else { "id" };
        let query = format!("{{{{ config({config}) }}}}\nselect {own} as id, 'a' as \"Part\", {{{{ var('now') }}}} as now from (values (1), (2)) t(id)");
        pair.write(&format!("models/told/{name}.sql"), &query);
    }
    pair.write("models/told/headed.sql", "{{ config(materialized='incremental', incremental_strategy='merge', unique_key='id') }}\n\
         {% call set_sql_header(config) %}create or replace temp macro thrice(x) as x * 3;{% endcall %} select thrice(1) as id");
    let names = ["a_view", "a_table", "relation_only", "grown"];
    let columns = "columns: [{name: id, description: \"the id, it's one\"}, {name: part, description: lower}, {name: Part, quote: true, description: 'the part'}, \
                   {name: now}, {name: gone, description: 'not there'}]";
    let properties: String = names
        .iter()
        .map(|name| {
            format!(
                "  - {{name: {name}, description: \"It's {name}; of two -- lines\\nand more\", {columns}}}\n"
            )
        })
        .collect();
    pair.write("models/told/told.yml", &format!("models:\n{properties}"));
    let seeds = format!("seeds:\n  - {{name: loaves, description: Loaves, columns: [{{name: name, description: Their name}}], config: {{{}}}}}\n", "persist_docs: {relation: true, columns: true}, indexes: [{columns: [loaf_id]}]");
    pair.write("seeds/told.yml", &seeds);
    pair.both(&["seed"]);
    for now in ["{now: 1}", "{now: 2}"] {
        // dbt finds what another thread is about to drop, where there is one.
        pair.both(&["run", "--threads", "1", "--select", "told", "--vars", now]);
    }
    pair.both(&["run", "--threads", "1", "--select", "told", "--vars", "{now: 3}", "--full-refresh"]);
    let told = pair.ours(&["run", "--select", "a_table", "relation_only", "--vars", "{now: 1}"]);
    let told = format!("{}{}", String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
    for words in ["has no `gone`", "DuckDB has nothing for `grants`"] {
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn contracts_are_kept_and_constraints_are_those_of_the_table() {
    let pair = Pair::new("shop", "bakery.duckdb");
    let model = |name: &str, config: &str, query: &str| {
        let config = if config.is_empty() { String::new() } else { format!("{{{{ config({config}) }}}}\n") };
        pair.write(&format!("models/kept/{name}.sql"), &format!("{config}{query}"));
    };
    let query = "select 'a' as name, 1 as id, 2.5::decimal(9,2) as price";
    model("kept_table", "materialized='table'", query);
    model("kept_view", "", query);
    model(
        "kept_grown",
        "materialized='incremental', unique_key='id', on_schema_change='append_new_columns'",
        "select 'a' as name, {{ var('now') }} as id, 2.5::decimal(9,2) as price",
    );
    model(
        "kept_quoted",
        "materialized='table', sql_header='create or replace temp macro one() as 1;'",
        "select one() as \"Id\", 'x' as \"order\"",
    );
    for name in ["other_type", "other_name", "too_many", "too_few"] {
        model(name, if name == "too_few" { "" } else { "materialized='table'" }, query);
    }
    model("null_there", "materialized='table'", "select null::integer as id, 'a' as name");
    model("twice_there", "materialized='table'", "select 1 as id, 'a' as name union all select 1, 'b'");
    model("without_type", "materialized='table'", "select 1 as id");
    model("only_said", "materialized='table'", "select 1 as id");
    let contract = "config: {contract: {enforced: true}}";
    let three = "{name: id, data_type: integer, constraints: [{type: not_null}, {type: check, expression: id > 0}]}, {name: name, data_type: string}, {name: price, data_type: 'decimal(9,2)'}";
    let properties = [
        format!("{{name: kept_table, {contract}, columns: [{three}], constraints: [{{type: primary_key, columns: [id, name], name: of_kept}}, {{type: unique, columns: [price]}}, {{type: check, expression: price > id}}]}}"),
        format!("{{name: kept_view, {contract}, columns: [{three}]}}"),
        format!("{{name: kept_grown, {contract}, columns: [{three}]}}"),
        format!("{{name: kept_quoted, {contract}, columns: [{{name: Id, quote: true, data_type: int, constraints: [{{type: primary_key}}]}}, {{name: order, quote: true, data_type: text, constraints: [{{type: custom, expression: \"default 'x'\"}}]}}]}}"),
        format!("{{name: other_type, {contract}, columns: [{}]}}", three.replace("decimal(9,2)", "decimal(9,3)")),
        format!("{{name: other_name, {contract}, columns: [{}]}}", three.replace("name: price", "name: Price")),
        format!("{{name: too_many, {contract}, columns: [{{name: id, data_type: integer}}]}}"),
        format!("{{name: too_few, {contract}, columns: [{three}, {{name: more, data_type: date}}]}}"),
        format!("{{name: null_there, {contract}, columns: [{{name: id, data_type: integer, constraints: [{{type: not_null}}]}}, {{name: name, data_type: text}}]}}"),
        format!("{{name: twice_there, {contract}, columns: [{{name: id, data_type: integer, constraints: [{{type: unique}}]}}, {{name: name, data_type: text}}]}}"),
        format!("{{name: without_type, {contract}, columns: [{{name: id}}]}}"),
        "{name: only_said, columns: [{name: id, data_type: text, constraints: [{type: foreign_key, to: \"ref('kept_table')\", to_columns: [id]}]}]}".to_owned(),
    ];
    pair.write(
        "models/kept/kept.yml",
        &format!("models:\n{}", properties.map(|one| format!("  - {one}\n")).concat()),
    );
    for now in ["{now: 1}", "{now: 2}"] {
        pair.both(&["run", "--select", "kept", "--vars", now]);
    }
    let told = pair.ours(&["run", "--select", "other_type", "too_few", "without_type", "--vars", "{now: 1}"]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    for words in [
        "`price` is DECIMAL(9,2) in the query and DECIMAL(9,3) in the contract",
        "`more` DATE is not in the query",
        "a contract needs the `data_type` of `id`",
    ] {
        assert!(told.contains(words), "{told}");
    }
    // The same by macros, as a project has one of its own that changes nothing.
    pair.write("macros/own.sql", "{% macro make_intermediate_relation(base_relation, suffix='__dbt_tmp') %}{{ return(default__make_intermediate_relation(base_relation, '__own')) }}{% endmacro %}");
    pair.both(&["run", "--select", "kept", "--vars", "{now: 3}"]);
}

#[test]
fn rows_are_merged_as_the_model_says() {
    let pair = Pair::new("shop", "bakery.duckdb");
    for (name, config) in [
        ("updated_if", "merge_update_condition='DBT_INTERNAL_SOURCE.amount > 15', merge_insert_condition='DBT_INTERNAL_SOURCE.id < 5'"),
        ("some_columns", "merge_update_columns=['amount']"),
        ("other_columns", "merge_exclude_columns=['Part']"),
        ("expressions", "merge_update_set_expressions={'amount': 'DBT_INTERNAL_DEST.amount + DBT_INTERNAL_SOURCE.amount'}"),
        ("both", "merge_update_columns=['amount', 'part'], merge_update_set_expressions={'part': \"'seen'\"}"),
        ("contrary", "merge_update_columns=['amount'], merge_exclude_columns=['part']"),
        ("using", "merge_on_using_columns=['id'], merge_returning_columns=['id', 'amount']"),
        ("clauses", "merge_clauses={'when_matched': [{'action': 'delete', 'condition': 'DBT_INTERNAL_SOURCE.id = 2'}, {'action': 'update', 'mode': 'explicit', \
           'update': {'include': ['amount'], 'set_expressions': {'part': \"'m'\"}}, 'condition': ['DBT_INTERNAL_SOURCE.id > 0', 'DBT_INTERNAL_SOURCE.id < 9']}], \
           'when_not_matched': [{'action': 'insert', 'mode': 'explicit', 'insert': {'columns': ['id', 'amount'], 'values': ['DBT_INTERNAL_SOURCE.id', '99']}}, \
           {'action': 'update', 'by': 'source', 'set_expressions': {'part': \"'gone'\"}}]}"),
        ("nothing", "merge_clauses={'when_matched': [{'action': 'do_nothing'}]}"),
        ("by_place", "merge_clauses={'when_matched': [{'action': 'update', 'mode': 'by_position'}], 'when_not_matched': [{'action': 'insert', 'mode': 'star'}]}"),
        ("fails", "merge_clauses={'when_matched': [{'action': 'error', 'error_message': \"it's there\"}]}"),
        ("wrong_form", "merge_update_columns='amount'"),
        ("wrong_clauses", "merge_clauses={'when_matched': []}"),
        ("beside_clauses", "merge_clauses={'when_matched': [{'action': 'delete'}]}, merge_update_columns=['amount']"),
    ] {
        let key = if name == "using" { "" } else { "unique_key='id', " };
        let query = "select * from (values (1, 'a', {{ var('now') }}), (2, 'b', 2), (2 + {{ var('now') }}, 'c', 3)) as t(id, part, amount)";
        pair.write(
            &format!("models/merged/{name}.sql"),
            &format!("{{{{ config(materialized='incremental', incremental_strategy='merge', {key}{config}) }}}}\n{query}"),
        );
    }
    for now in ["{now: 1}", "{now: 10}", "{now: 20}"] {
        pair.both(&["run", "--select", "merged", "--vars", now]);
    }
    let told = pair.ours(&["run", "--select", "fails", "contrary", "wrong_form", "--vars", "{now: 1}"]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    for words in ["it's there", "are both said: keep one", "`merge_update_columns` is a list of texts"] {
        assert!(told.contains(words), "{told}");
    }
    // The same by macros.
    pair.write(
        "macros/own.sql",
        "{% macro make_intermediate_relation(base_relation, suffix='__dbt_tmp') %}{{ return(default__make_intermediate_relation(base_relation, '__own')) }}{% endmacro %}",
    );
    pair.both(&["run", "--select", "merged", "--vars", "{now: 30}"]);
}

#[test]
fn tables_that_foreign_keys_tie_together_are_built_again_as_with_dbt() {
    let pair = Pair::new("shop", "bakery.duckdb");
    let query = |from: &str| format!("select id, id as parent from (values (1), (2)) t(id) {from}");
    let table = "{{ config(materialized='table', contract={'enforced': true}) }}";
    let grown = "{{ config(materialized='incremental', on_schema_change='fail', unique_key='id', contract={'enforced': true}) }}";
    pair.write("models/tied/parent.sql", &format!("{table} {}", query("")));
    pair.write(
        "models/tied/child.sql",
        &format!("{table} {}", query("where id in (select id from {{ ref('parent') }})")),
    );
    pair.write(
        "models/tied/grandchild.sql",
        &format!("{table} {}", query("where id in (select id from {{ ref('child') }})")),
    );
    pair.write(
        "models/tied/grown.sql",
        &format!("{grown} {}", query("where id in (select id from {{ ref('child') }})")),
    );
    pair.write("models/tied/apart.sql", &format!("{table} {}", query("")));
    let id = "{name: id, data_type: int, constraints: [{type: primary_key}]}";
    let plain = "{name: parent, data_type: int}";
    let to = |name: &str| format!("{{type: foreign_key, to: \"ref('{name}')\", to_columns: [id]}}");
    let properties = [
        format!("{{name: parent, columns: [{id}, {plain}]}}"),
        format!("{{name: child, columns: [{id}, {{name: parent, data_type: int, constraints: [{}]}}]}}", to("parent")),
        format!("{{name: grandchild, columns: [{id}, {plain}], constraints: [{}]}}", to("child").replace("foreign_key,", "foreign_key, columns: [parent],")),
        "{name: grown, columns: [{name: id, data_type: int}, {name: parent, data_type: int, constraints: [{type: foreign_key, expression: 'main.child (id)'}]}]}".to_owned(),
        format!("{{name: apart, columns: [{id}, {plain}]}}"),
    ];
    pair.write(
        "models/tied/tied.yml",
        &format!("models:\n{}", properties.map(|one| format!("  - {one}\n")).concat()),
    );
    pair.both(&["run", "--select", "tied"]);
    // The incremental one would lose its rows.
    pair.both(&["run", "--select", "tied"]);
    pair.both(&["run", "--select", "tied", "--full-refresh"]);
    pair.both(&["run", "--select", "parent"]);
    pair.both(&["run", "--select", "grandchild", "apart", "grown"]);
    let told = pair.ours(&["run", "--select", "parent"]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(
        told.contains("foreign keys refer to it") && told.contains("`model.bakery.child` is not among"),
        "{told}"
    );
    // Constraints that are declared no longer are gone, and nothing is in the way of what they tied.
    pair.write("models/tied/tied.yml", "");
    for name in ["parent", "child", "grandchild", "grown"] {
        pair.write(&format!("models/tied/{name}.sql"), "{{ config(materialized='table') }} select 1 as id");
    }
    pair.write("models/tied/apart.sql", "select 1 as id");
    pair.both(&["run", "--threads", "1", "--select", "grandchild", "grown"]);
}
