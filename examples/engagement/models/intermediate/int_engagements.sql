-- The last line of each engagement: later ones correct earlier ones.
select *
from (
    select
        staged.line,
        staged.project_id,
        staged.engagement_id,
        staged.customer_id,
        staged.customer_name,
        dates.engagement_date,
        numbers.revenue,
        numbers.revenue_usd,
        numbers.client_revenue,
        numbers.employee_count,
        categories.service,
        categories.sub_service,
        categories.engagement_type,
        categories.service_type,
        staged.detailed_sub_service,
        staged.comments,
        row_number() over (partition by staged.project_id, staged.engagement_id order by staged.line desc) as place
    from {{ ref('stg_engagement_metrics') }} as staged
    join {{ ref('int_engagement_dates') }} as dates on dates.line = staged.line
    join {{ ref('int_engagement_numbers') }} as numbers on numbers.line = staged.line
    join {{ ref('int_engagement_categories') }} as categories on categories.line = staged.line
) as lines
where place = 1
