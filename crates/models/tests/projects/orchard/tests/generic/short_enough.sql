{% test short_enough(model, lengths, options, label) %}
{{ config(severity='error') }}
select * from {{ model }} where {{ lengths | sum }} < 0 and '{{ label }}' = '{{ options.b | join }}'
{% endtest %}
