-- Each project with what its engagements brought in.
select
    projects.project_id,
    projects.project_name,
    projects.region,
    projects.budget,
    count(facts.engagement_id) as engagements,
    count(distinct facts.customer_id) as customers,
    coalesce(sum(facts.revenue), 0) as revenue,
    min(facts.engagement_date) as first_engagement_date,
    max(facts.engagement_date) as last_engagement_date
from {{ ref('dim_project') }} as projects
left join {{ ref('fct_engagement_metrics') }} as facts on facts.project_id = projects.project_id
group by projects.project_id, projects.project_name, projects.region, projects.budget
