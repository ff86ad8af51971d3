{{ config(materialized='incremental', database='store', schema='deep', unique_key='hour', on_schema_change='append_new_columns') }}
select hour, level, {{ is_incremental() }} as added {% if is_incremental() %}, 'new' as column_of_later {% endif %}
from {{ source('tide', 'levels') }}
{% if is_incremental() %} where hour > (select max(hour) from {{ this }}) - 1 {% else %} where hour < 3 {% endif %}
