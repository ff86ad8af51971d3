{{ dbt_utils.date_spine('month', "cast('2020-01-01' as date)", dbt.dateadd('month', 3, "cast('2024-03-01' as date)")) }}
