with sales as (
    select * from {{ ref('stg_sales') }}
),
loaves as (
    select * from {{ ref('stg_loaves') }}
)
select
    patrons.patron_id,
    patrons.first_name,
    count(sales.sale_id) as sales,
    coalesce(sum(sales.quantity * loaves.price) filter (where sales.is_paid), 0) as paid
from {{ ref('stg_patrons') }} as patrons
left join sales using (patron_id)
left join loaves using (loaf_id)
group by all
