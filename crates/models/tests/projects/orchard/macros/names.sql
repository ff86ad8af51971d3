{% macro generate_schema_name(custom_schema_name, node) -%}
  {%- if custom_schema_name is none -%}{{ target.schema }}
  {%- elif node.resource_type == 'test' -%}{{ target.schema }}_audit
  {%- else -%}{{ custom_schema_name | trim }}
  {%- endif -%}
{%- endmacro %}
{% macro log_run() %}insert into {{ target.schema }}.runs values ('{{ flags.WHICH }}'){% endmacro %}
{% macro default__named(column, suffix) -%}
  {{ column }}{{ suffix }}_mine
{%- endmacro %}
{% macro heights() %}
  {%- set ns = namespace(total=0) -%}
  {%- for i in range(3) -%}{%- set ns.total = ns.total + i -%}{%- endfor -%}
  {{ return(ns.total) }}
{% endmacro %}
