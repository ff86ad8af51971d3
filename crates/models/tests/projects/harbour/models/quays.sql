{{ config(materialized='table', database='store') }}
select 1 as quay, 'north'::varchar as name
