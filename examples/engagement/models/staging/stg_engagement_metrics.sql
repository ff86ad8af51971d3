-- One to one: names that say what they are, empty texts as nothing, customers without underscores.
select
    line,
    trim(project_id) as project_id,
    trim(engagement_id) as engagement_id,
    trim(customer_id) as customer_id,
    replace(trim(customer_name), '_', ' ') as customer_name,
    nullif(trim(engagement_date), '') as engagement_date_text,
    nullif(trim(revenue), '') as revenue_text,
    nullif(trim(revenue_usd), '') as revenue_usd_text,
    nullif(trim(client_revenue), '') as client_revenue_text,
    nullif(trim(employee_count), '') as employee_count_text,
    nullif(trim(service), '') as service_text,
    nullif(trim(sub_service), '') as sub_service_text,
    nullif(trim(engagement_type), '') as engagement_type_text,
    nullif(trim(service_type), '') as service_type_text,
    nullif(trim(detailed_sub_service), '') as detailed_sub_service,
    nullif(trim(comments), '') as comments,
    project_ref,
    engagement_reference
from {{ source('clients', 'engagement_metrics') }}
