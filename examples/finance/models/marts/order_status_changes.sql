{{ config(materialized='incremental', unique_key=['order_id', '_lsn', '_seq']) }}
-- Every step that an order took, from the history that the warehouse keeps. A run takes what came behind the last one: positions only grow.
select order_id, status, valid_from as since, operation_type, _lsn, _seq
from {{ source('operations', 'orders_history') }}
where operation_type <> 'DELETE'
{% if is_incremental() %}
  and _lsn > (select coalesce(max(_lsn), 0) from {{ this }})
{% endif %}
