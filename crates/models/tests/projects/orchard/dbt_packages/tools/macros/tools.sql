{% macro named(column, suffix=none) %}
  {{ return(adapter.dispatch('named', 'tools')(column, suffix or var('suffix'))) }}
{% endmacro %}
{% macro default__named(column, suffix) -%}
  {{ column }}{{ suffix }}
{%- endmacro %}
{%- macro scaled(column, by=none) -%}
  {%- set by = by if by is not none else var('scale', 1) -%}
  ({{ column }} * {{ by }})
{%- endmacro -%}
{% macro pick(columns, except=[]) %}
  {%- set kept = [] -%}
  {%- for column in columns if column not in except -%}
    {%- do kept.append(column) -%}
  {%- endfor -%}
  {{ return(kept) }}
{% endmacro %}
{% macro all_of() %}
  {%- set parts = [] -%}
  {%- for part in varargs -%}{%- do parts.append('%s' % part) -%}{%- endfor -%}
  {{ return(parts | join(kwargs.get('with', ' and '))) }}
{% endmacro %}
{% test positive(model, column_name, strict=true) %}
select * from {{ model }} where {{ column_name }} {{ '<=' if strict else '<' }} 0
{% endtest %}
