-- One row for each page.
select
    page,
    count(*) as visits,
    sum(seconds) as seconds,
    max(visited_at) as last_visited_at
from {{ ref('stg_visits') }}
group by page
