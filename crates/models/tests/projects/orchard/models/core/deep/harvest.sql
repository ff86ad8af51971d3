select k.kind, s.height as amount
from {{ ref('orchard', 'kinds') }} as k
left join {{ ref('sold') }} as s on s.kind = k.kind
cross join {{ ref('calendar') }}
