-- Numbers, whatever stands around them.
select
    line,
    {{ cleaning.to_number('revenue_text') }} as revenue,
    {{ cleaning.to_number('revenue_usd_text') }} as revenue_usd,
    {{ cleaning.to_number('client_revenue_text') }} as client_revenue,
    {{ cleaning.to_number('employee_count_text', 'integer') }} as employee_count
from {{ ref('stg_engagement_metrics') }}
