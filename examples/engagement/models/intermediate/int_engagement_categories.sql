-- Categories as the project calls them, by the nearest spelling.
{% set categories = {
    'service': var('services'),
    'sub_service': var('sub_services'),
    'engagement_type': var('engagement_types'),
    'service_type': var('service_types'),
} %}
select
    line
    {%- for name, known in categories.items() %},
    {{ cleaning.nearest_category(name ~ '_text', known, var('letters_wrong_max')) }} as {{ name }}
    {%- endfor %}
from {{ ref('stg_engagement_metrics') }}
