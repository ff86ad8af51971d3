{{ config(alias='stg_all_sales') }}
{%- set states = ['paid', 'open', 'returned'] %}
select
    sale_id, patron_id, loaf_id, quantity, cast(sold_on as date) as sold_on, state
    {%- for state in states %},
    state = '{{ state }}' as is_{{ state }}
    {%- endfor %}
from {{ ref('sales') }}
