-- depends_on: {{ ref('twin') }} {{ ref('twin_of_store') }} {{ ref('seen') }} {{ ref('quays') }}
{{ config(materialized='table') }}
{% for database in ['harbour', 'store', 'sea', 'scratch', 'nowhere'] %}
  {% set found = adapter.get_relation(database=database, schema='main', identifier='twin') %}
  {{ 'union all ' if not loop.first }}select '{{ database }}' as asked, '{{ found.type if found }} {{ found }}' as found,
  '{{ adapter.check_schema_exists(database, 'main') if database != 'nowhere' }}' as has_main,
  '{{ target.database }}' as database
{% endfor %}
