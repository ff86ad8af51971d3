{#- What tests are run by where a project has macros of its own for a part of it. Of our own writing: names, parameters and what they do are dbt's. -#}
{%- macro get_limit_subquery_sql(sql, limit) -%}{{ return(adapter.dispatch('get_limit_sql', 'dbt')(sql, limit)) }}{%- endmacro -%}
{%- macro default__get_limit_sql(sql, limit) -%}{{ sql }}{% if limit is not none %}
limit {{ limit }}{% endif %}{%- endmacro -%}
{%- macro get_create_sql(relation, sql) -%}{{ return(adapter.dispatch('get_create_sql', 'dbt')(relation, sql)) }}{%- endmacro -%}
{%- macro default__get_create_sql(relation, sql) -%}
{%- if relation.is_view -%}{{ return(get_create_view_as_sql(relation, sql)) }}
{%- elif relation.is_table -%}{{ return(get_create_table_as_sql(False, relation, sql)) }}
{%- endif -%}
{%- do exceptions.raise_compiler_error('nothing says how a ' ~ relation.type ~ ' is made') -%}
{%- endmacro -%}
{%- macro get_test_sql(main_sql, fail_calc, warn_if, error_if, limit) -%}{{ return(adapter.dispatch('get_test_sql', 'dbt')(main_sql, fail_calc, warn_if, error_if, limit)) }}{%- endmacro -%}
{%- macro default__get_test_sql(main_sql, fail_calc, warn_if, error_if, limit) -%}
select
  {{ fail_calc }} as failures,
  {{ fail_calc }} {{ warn_if }} as should_warn,
  {{ fail_calc }} {{ error_if }} as should_error
from (
{{ main_sql }}{{ '\nlimit ' ~ limit if limit is not none }}
) dbt_internal_test
{%- endmacro -%}

{%- materialization test, default -%}
{%- set rows = get_limit_subquery_sql(sql, config.get('limit')) -%}
{%- set kept = [] -%}
{%- if should_store_failures() -%}
{%- set kind = config.get('store_failures_as') or 'table' -%}
{%- if kind not in ['table', 'view'] -%}{%- do exceptions.raise_compiler_error('`store_failures_as` is ephemeral, table or view, not ' ~ kind) -%}{%- endif -%}
{%- set there = adapter.get_relation(database=database, schema=schema, identifier=model.alias) -%}
{%- set target = api.Relation.create(database=database, schema=schema, identifier=model.alias, type=kind) -%}
{%- if there -%}{%- do adapter.drop_relation(there) -%}{%- endif -%}
{%- call statement(auto_begin=True) -%}{{ get_create_sql(target, rows) }}{%- endcall -%}
{%- do adapter.commit() -%}
{%- do kept.append(target) -%}
{%- set rows = 'select * from ' ~ target -%}
{%- endif -%}
{%- call statement('main', fetch_result=True) -%}{{ get_test_sql(rows, config.get('fail_calc'), config.get('warn_if'), config.get('error_if'), limit=none) }}{%- endcall -%}
{{ return({'relations': kept}) }}
{%- endmaterialization -%}
