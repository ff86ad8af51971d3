select * from {{ ref('patron_totals') }} where paid < 0
