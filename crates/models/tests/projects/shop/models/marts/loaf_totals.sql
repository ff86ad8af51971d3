{{ config(materialized='incremental', unique_key='loaf_id') }}
select loaf_id, sum(quantity) as quantity, max(sold_on) as last_sold_on
from {{ ref('stg_sales') }}
{% if is_incremental() %}
where sold_on >= (select coalesce(max(last_sold_on), date '1900-01-01') from {{ this }})
{% endif %}
group by loaf_id
