-- Days, whichever way they were written.
select line, {{ cleaning.to_day('engagement_date_text') }} as engagement_date
from {{ ref('stg_engagement_metrics') }}
