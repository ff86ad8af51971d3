{# A day in one of eight forms, as a date; NULL for anything else. With dots and the year behind, the day comes first unless it can't be one. #}
{% macro to_day(column) -%}
{%- set c = 'trim(' ~ column ~ ')' -%}
case
    when {{ c }} ~ '^[0-9]{4}[-/.][0-9]{2}[-/.][0-9]{2}$' then {{ cleaning.day_at(c, 1, 6, 9) }}
    when {{ c }} ~ '^[0-9]{2}-[0-9]{2}-[0-9]{4}$' then {{ cleaning.day_at(c, 7, 4, 1) }}
    when {{ c }} ~ '^[0-9]{2}/[0-9]{2}/[0-9]{4}$' then {{ cleaning.day_at(c, 7, 1, 4) }}
    when {{ c }} ~ '^[0-9]{2}/[0-9]{2}/[0-9]{2}$' then {{ cleaning.day_at(c, 7, 1, 4, century='20') }}
    when {{ c }} ~ '^[0-9]{2}[.](0[1-9]|1[0-2])[.][0-9]{4}$' then {{ cleaning.day_at(c, 7, 4, 1) }}
    when {{ c }} ~ '^[0-9]{2}[.][0-9]{2}[.][0-9]{4}$' then {{ cleaning.day_at(c, 7, 1, 4) }}
end
{%- endmacro %}

{# The date whose parts stand at these places of a text. With a `century` the year has two digits. #}
{% macro day_at(text, year, month, day, century='') -%}
cast('{{ century }}' || substr({{ text }}, {{ year }}, {{ 2 if century else 4 }}) || '-' || substr({{ text }}, {{ month }}, 2) || '-' || substr({{ text }}, {{ day }}, 2) as date)
{%- endmacro %}
