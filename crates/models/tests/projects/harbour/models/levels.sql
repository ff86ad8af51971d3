{{ config(materialized='table', tags=['stored']) }}
select hour, level, {{ 'true' if load_relation(this) else 'false' }} as was_there from {{ source('tide', 'levels') }}
