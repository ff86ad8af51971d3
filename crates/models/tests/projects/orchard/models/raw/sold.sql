{{ config(materialized='view', tags=['sold', 'nightly']) }}
select * from {{ source('market', 'sales') }}
