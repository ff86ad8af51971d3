select count(*) as versions, count(dbt_valid_to) as ended from {{ ref('casks_by_time') }}
