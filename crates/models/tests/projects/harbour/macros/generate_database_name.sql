{% macro generate_database_name(custom_database_name=none, node=none) -%}
  {{ 'store' if 'stored' in node.config.get('tags', []) else custom_database_name or target.database }}
{%- endmacro %}
