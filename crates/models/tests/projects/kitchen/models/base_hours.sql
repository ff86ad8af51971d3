{{ dbt_date.get_base_dates(start_date='2024-01-01', end_date='2024-01-02', datepart='hour') }}
