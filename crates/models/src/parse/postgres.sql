{#- What the macros that every dbt project can call stand for in PostgreSQL, where that is other than in DuckDB. Of our own writing: names, parameters and the SQL are dbt's. -#}
{%- macro postgres__any_value(expression) -%}min({{ expression }}){%- endmacro -%}
{%- macro postgres__date(year, month, day) -%}to_date('{{ modules.datetime.date(year, month, day).strftime('%Y-%m-%d') }}', 'YYYY-MM-DD'){%- endmacro -%}
{%- macro postgres__dateadd(datepart, interval, from_date_or_timestamp) -%}{{ from_date_or_timestamp }} + ((interval '1 {{ datepart }}') * ({{ interval }})){%- endmacro -%}
{%- macro postgres__part_of(name, moment, type) -%}date_part('{{ name }}', ({{ moment }})::{{ type }}){%- endmacro -%}
{%- macro postgres__datediff(first_date, second_date, datepart) -%}
{#- A part is told in a smaller one than it: how many of the larger lie between, and what the ends have of the smaller. -#}
{%- set within = {'hour': ['day', 24], 'minute': ['hour', 60], 'second': ['minute', 60], 'millisecond': ['minute', 60000], 'microsecond': ['minute', 60000000]} -%}
{%- if datepart == 'year' -%}({{ postgres__part_of('year', second_date, 'date') }} - {{ postgres__part_of('year', first_date, 'date') }})
{%- elif datepart in ['quarter', 'month'] -%}({{ datediff(first_date, second_date, 'year') }} * {{ 4 if datepart == 'quarter' else 12 }} + {{ postgres__part_of(datepart, second_date, 'date') }} - {{ postgres__part_of(datepart, first_date, 'date') }})
{%- elif datepart == 'day' -%}(({{ second_date }})::date - ({{ first_date }})::date)
{%- elif datepart == 'week' -%}
({{ datediff(first_date, second_date, 'day') }} / 7 + case
when {{ postgres__part_of('dow', first_date, 'timestamp') }} <= {{ postgres__part_of('dow', second_date, 'timestamp') }} then case when {{ first_date }} <= {{ second_date }} then 0 else -1 end
else case when {{ first_date }} <= {{ second_date }} then 1 else 0 end end)
{%- elif datepart in within -%}
{%- set whole = 'floor(' if datepart.endswith('second') else '' -%}
{%- set end = ')' if whole else '' -%}
({{ datediff(first_date, second_date, within[datepart][0]) }} * {{ within[datepart][1] }} + {{ whole }}{{ postgres__part_of(datepart, second_date, 'timestamp') }}{{ end }} - {{ whole }}{{ postgres__part_of(datepart, first_date, 'timestamp') }}{{ end }})
{%- else -%}{{ exceptions.raise_compiler_error("datediff of PostgreSQL knows no part `" ~ datepart ~ "`") }}
{%- endif -%}
{%- endmacro -%}
{%- macro postgres__last_day(date, datepart) -%}
{%- if datepart == 'quarter' -%}-- postgres dateadd does not support quarter interval.
{% endif -%}
{%- set next = ['month', 3] if datepart == 'quarter' else [datepart, 1] -%}
cast({{ dbt.dateadd('day', '-1', dbt.dateadd(next[0], next[1] | string, dbt.date_trunc(datepart, date))) }} as date)
{%- endmacro -%}
{%- macro postgres__listagg(measure, delimiter_text, order_by_clause, limit_num) -%}{% if limit_num %}array_to_string( (array_agg( {{ measure }} {{ order_by_clause or '' }} ))[1:{{ limit_num }}], {{ delimiter_text }} ){% else %}string_agg( {{ measure }}, {{ delimiter_text }} {{ order_by_clause or '' }} ){% endif %}{%- endmacro -%}
{%- macro postgres__split_part(string_text, delimiter_text, part_number) -%}split_part( {{ string_text }}, {{ delimiter_text }}, {% if part_number >= 0 %}{{ part_number }}{% else %}length({{ string_text }}) - length( replace({{ string_text }}, {{ delimiter_text }}, '') ) + 2 + {{ part_number }}{% endif %} ){%- endmacro -%}
{%- macro postgres__current_timestamp_in_utc_backcompat() -%}(current_timestamp at time zone 'utc')::{{ type_timestamp() }}{%- endmacro -%}
{%- macro postgres__information_schema_name(database) -%}information_schema{%- endmacro -%}
