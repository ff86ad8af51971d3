{{ config(materialized='incremental', database='store', unique_key='hour', incremental_strategy='merge') }}
select hour, level + {{ var('more', 0) }} as level from {{ ref('levels') }}
