{{ config(materialized='table', database='store', alias='twin') }}
select 'table of the store' as kind, hour from {{ ref('grown') }}
