{{ dbt_utils.nullcheck_table(ref('facts')) }}
