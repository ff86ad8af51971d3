{{ config(materialized='view', database='store') }}
select g.hour, t.kind, b.name from {{ ref('grown') }} g cross join {{ ref('twin') }} t join {{ ref('berths') }} b on b.berth = g.hour
