{% macro rounded(column) %}cast(round({{ column }}) as integer){% endmacro %}
