select * from {{ ref('berths') }} where depth > 5
