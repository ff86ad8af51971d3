-- One row an engagement, clean.
select
    project_id,
    engagement_id,
    customer_id,
    customer_name,
    engagement_date,
    revenue,
    revenue_usd,
    client_revenue,
    employee_count,
    service,
    sub_service,
    engagement_type,
    service_type,
    detailed_sub_service,
    comments
from {{ ref('int_engagements') }}
