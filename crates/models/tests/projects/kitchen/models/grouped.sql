select kind, flag, {{ dbt_utils.safe_divide('sum(amount)', 'sum(score)') }} as q, {{ dbt_utils.safe_add(['sum(amount)', 'sum(score)']) }} as p, {{ dbt_utils.safe_subtract(['sum(amount)', 'sum(score)']) }} as m
from {{ ref('facts') }} {{ dbt_utils.group_by(2) }}
