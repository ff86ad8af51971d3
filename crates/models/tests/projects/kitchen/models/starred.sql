select {{ dbt_utils.star(ref('facts'), except=['url', 'LAT'], relation_alias='f', prefix='p_', suffix='_s') }}
from {{ ref('facts') }} f cross join (select id as id, extra, kind from {{ ref('other') }}) o
