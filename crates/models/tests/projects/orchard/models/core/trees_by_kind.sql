{{
  config(
    alias='by_kind',
    post_hook=["select 1", {"sql": "select 2", "transaction": false}],
    meta={'owner': 'ann'},
    custom_key='kept',
  )
}}
{%- set columns = tools.pick(var('columns'), except=['tree_id']) %}
select
  kind,
  {%- for column in columns %}
  sum({{ column }}) as {{ tools.named(column) }},
  {%- endfor %}
  {{ heights() }} as three,
  '{{ tools.all_of("a", "b", with="/") }}' as joined,
  {{ dbt.date_trunc('month', "date '" ~ var('season') ~ "-05-17'") }} as month
from {{ ref('trees_clean') }}
{%- if execute: %}
where true
{%- endif %}
group by kind
