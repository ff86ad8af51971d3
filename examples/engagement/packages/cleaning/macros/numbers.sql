{# What a person typed as a number: `$1200`, `1200USD`, `12k`, `fifty`. NULL where there is none in it. #}
{% macro to_number(column, type='decimal(18,2)') -%}
    {{ return(adapter.dispatch('to_number', 'cleaning')(column, type)) }}
{%- endmacro %}

{% macro default__to_number(column, type) -%}
{%- set words = {'ten': 10, 'twenty': 20, 'thirty': 30, 'forty': 40, 'fifty': 50, 'sixty': 60, 'seventy': 70, 'eighty': 80, 'ninety': 90} -%}
{%- set digits = "nullif(regexp_replace(" ~ column ~ ", '[^0-9.]', '', 'g'), '')" -%}
case lower(trim({{ column }}))
    {%- for word, value in words.items() %}
    when '{{ word }}' then cast({{ value }} as {{ type }})
    {%- endfor %}
    else cast(cast({{ digits }} as decimal(18,2)) * (case when lower(trim({{ column }})) like '%k' then 1000 else 1 end) as {{ type }})
end
{%- endmacro %}
