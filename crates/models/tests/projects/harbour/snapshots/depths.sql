{% snapshot depths %}
{{ config(strategy='check', check_cols=['depth'], unique_key='berth') }}
select * from {{ ref('berths') }}
{% endsnapshot %}
