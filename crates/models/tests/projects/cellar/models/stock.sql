{{ config(materialized='ephemeral') }}
select cellar_row || cask_id as cask, * from {{ ref('casks') }}
