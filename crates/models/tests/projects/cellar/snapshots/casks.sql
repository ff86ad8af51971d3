{# Two in one file. #}
{% snapshot casks_by_time %}
{{ config(strategy='timestamp', updated_at='checked_at', unique_key='cask') }}
select * from {{ ref('stock') }}
{% endsnapshot %}

{% snapshot casks_by_everything %}
  {{ config(
      strategy='check', check_cols='all', unique_key='cask', hard_deletes='invalidate', alias='casks_checked',
      post_hook="create or replace table main.looked as select count(*) as versions from {{ this }}"
  ) }}
  select cellar_row || cask_id as cask, wine, litres, cast(checked_at as date) as day from {{ source('cellar', 'casks') }}
  -- depends_on: {{ ref('casks') }}
{% endsnapshot %}
