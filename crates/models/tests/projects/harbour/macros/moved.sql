{% macro moved() %}
  {% set from = adapter.get_relation(database='store', schema='main', identifier='twin') %}
  {% set to = api.Relation.create(database='store', schema='main', identifier='moved', type='table') %}
  {% do adapter.create_schema(api.Relation.create(database='store', schema='fresh')) %}
  {% do adapter.drop_relation(adapter.get_relation(database='store', schema='main', identifier='seen')) %}
  {% do adapter.rename_relation(from, to) %}
  {% do run_query('create or replace table store.fresh.told as select ' ~ (adapter.get_relation('store', 'main', 'twin') is none) ~ ' as gone') %}
  {% do adapter.commit() %}
{% endmacro %}
