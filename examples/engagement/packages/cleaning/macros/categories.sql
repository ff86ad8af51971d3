{# The one of `categories` that a text is nearest to, by letters that would have to be changed; `unknown` where that is more than `wrong_max`. #}
{% macro nearest_category(column, categories, wrong_max=2) -%}
{%- set distances = [] -%}
{%- for category in categories -%}
    {%- do distances.append("levenshtein(lower(trim(" ~ column ~ ")), '" ~ category ~ "')") -%}
{%- endfor -%}
case
    when {{ column }} is null then null
    when least({{ distances | join(', ') }}) > {{ wrong_max }} then 'unknown'
    {%- for category in categories %}
    when {{ distances[loop.index0] }} = least({{ distances | join(', ') }}) then '{{ category }}'
    {%- endfor %}
end
{%- endmacro %}
