{{ config(materialized='incremental', incremental_strategy='delete+insert', unique_key=['kind', 'amount']) }}
-- depends_on: {{ ref('trees_by_kind') }}
select * from {{ ref('harvest') }}
{% if is_incremental() %} where kind not in (select kind from {{ this }}) {% endif %}
