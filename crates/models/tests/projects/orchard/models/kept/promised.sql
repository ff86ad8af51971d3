{{ config(materialized='table') }}
select tree_id as id, kind as "Kind" from {{ ref('pruned') }}
