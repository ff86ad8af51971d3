{{ config(tags=['singular'], severity='error', store_failures=false) }}
select 1 from {{ ref('harvest') }} where amount < 0 and '{{ this }}' = ''
