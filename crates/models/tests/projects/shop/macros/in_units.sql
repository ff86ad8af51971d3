{% macro in_units(column) -%}
    ({{ column }} / {{ var('cents_per_unit') }})::decimal(16, 2)
{%- endmacro %}
