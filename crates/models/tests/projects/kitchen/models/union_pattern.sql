-- depends_on: {{ ref('facts') }}
-- depends_on: {{ ref('facts_copy') }}
{{ dbt_utils.union_relations(relations=dbt_utils.get_relations_by_pattern(target.schema, 'facts%') | sort(attribute='identifier') | list) }}
