{{ dbt_date.get_fiscal_year_dates(ref('dim_long'), year_end_month=1, week_start_day=1, shift_year=1) }}
