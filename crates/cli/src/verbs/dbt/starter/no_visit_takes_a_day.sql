-- A test fails where its query finds rows.
select * from {{ ref('stg_visits') }} where seconds >= 86400
