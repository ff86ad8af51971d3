-- depends_on: {{ ref('facts') }}
-- depends_on: {{ ref('facts_copy') }}
{% set rels = dbt_utils.get_relations_by_pattern(target.schema, 'facts%') | sort(attribute='identifier') %}
{% set pre = dbt_utils.get_relations_by_prefix(target.schema, 'fa', exclude='%copy') %}
select '{% for r in rels %}{{ r.identifier }}/{{ r.type }}/{{ r.is_table }} {% endfor %}' as a, '{{ pre | map(attribute="name") | join(",") }}' as b, '{{ pre | length }}' as c
