{{ config(materialized='table', tags=['again']) }}
select tree_id, kind from {{ ref('pruned', v=1) }}
