-- Nothing is lost or counted twice on the way to the projects.
select projects.project_id, projects.revenue, sum(facts.revenue) as earned
from {{ ref('project_engagement') }} as projects
join {{ ref('fct_engagement_metrics') }} as facts on facts.project_id = projects.project_id
group by projects.project_id, projects.revenue
having projects.revenue <> sum(facts.revenue)
