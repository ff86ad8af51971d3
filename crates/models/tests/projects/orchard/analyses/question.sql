select * from {{ ref('harvest') }} limit 10
