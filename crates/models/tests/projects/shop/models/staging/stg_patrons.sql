select
    patron_id,
    first_name,
    coalesce(last_name, '') as last_name,
    cast(joined as date) as joined
from {{ ref('patrons') }}
