{{ config(materialized='incremental', unique_key='cask', alias='casks_drained') }}
select s.cask, s.wine, s.litres - coalesce(d.drawn, 0) as litres, {{ var('vintage', 1990) }} as vintage, '{{ env_var("CELLAR_KEEPER", "nobody") }}' as keeper, {{ rounded('s.litres') }} as rounded
from {{ source('cellar', 'casks') }} as c
join {{ ref('stock') }} as s on s.cask_id = c.cask_id and s.cellar_row = c.cellar_row
left join {{ ref('draws') }} as d on d.cask = s.cask
{% if is_incremental() %}
where s.cask not in (select cask from {{ this }} where litres <= 0)
{% endif %}
