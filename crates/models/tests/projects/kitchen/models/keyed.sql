select {{ dbt_utils.generate_surrogate_key(['id', 'kind', 'name']) }} as k, id from {{ ref('facts') }}
