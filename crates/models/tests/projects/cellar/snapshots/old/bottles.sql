{%- snapshot bottles -%}
{{ config(
    target_schema='kept', strategy='check', check_cols=['litres'], unique_key=['cellar_row', 'cask_id'], updated_at='checked_at',
    invalidate_hard_deletes=true, dbt_valid_to_current="timestamp '2100-01-01'"
) }}
select *{% if var('bottled') %}, 'yes' as bottled{% endif %} from {{ ref('casks') }}
{%- endsnapshot -%}
