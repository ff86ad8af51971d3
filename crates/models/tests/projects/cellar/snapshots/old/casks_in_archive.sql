{% snapshot casks_in_archive %}
{{ config(strategy='check', check_cols='all', unique_key='cask_id', hard_deletes='new_record', updated_at='checked_at') }}
select *{% if var('bottled') %}, [1, 2] as bottled{% endif %} from {{ ref('casks') }} where cellar_row = 'a'
{% endsnapshot %}
