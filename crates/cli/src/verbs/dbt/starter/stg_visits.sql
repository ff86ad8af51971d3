-- What is loaded from a file, with the types and names that the rest builds on.
select
    visit_id,
    page,
    cast(visited_at as timestamp) as visited_at,
    coalesce(seconds, 0) as seconds
from {{ ref('visits') }}
