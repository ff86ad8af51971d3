{% set a %}select * from {{ ref('facts') }}{% endset %}
{% set b %}select * from {{ ref('facts_copy') }} where id < 4{% endset %}
{{ audit_helper.compare_queries(a, b, primary_key='id', summarize=false, limit=3) }}
