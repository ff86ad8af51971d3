select {{ dbt_utils.star(from=ref('other'), quote_identifiers=False) }}, '{{ dbt_utils.get_filtered_columns_in_relation(ref("facts"), except=["id"]) | join("|") }}' as cols from {{ ref('other') }}
