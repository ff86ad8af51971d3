select day, {{ dbt_utils.pivot('kind', dbt_utils.get_column_values(ref('facts'), 'kind', order_by='kind'), agg='sum', then_value='amount', prefix='k_') }},
{{ dbt_utils.pivot('name', dbt_utils.get_column_values(ref('facts'), 'name', order_by='name', where="name is not null"), quote_identifiers=False, suffix=' x') }}
from {{ ref('facts') }} group by day
