{{ dbt_utils.deduplicate(relation=ref('facts'), partition_by='kind', order_by='amount desc nulls last') }}
