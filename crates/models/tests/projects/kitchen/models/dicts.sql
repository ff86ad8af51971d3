-- depends_on: {{ ref('facts') }}
{% set d = dbt_utils.get_query_results_as_dict("select id, kind, amount, day, ts, flag from " ~ ref('facts') ~ " order by id") %}
select $$[{{ d.keys() | list }}]$$ as k, '{{ d["kind"] | join(",") }}' as v, $${{ d['amount'] }}$$ as amounts, $${{ d['day'] }}$$ as days, $${{ d['ts'] }}$$ as ats, $${{ d['flag'] }}$$ as flags, {{ dbt_utils.get_single_value("select count(*) from " ~ ref('facts')) }} as n,
$${{ dbt_utils.get_single_value("select max(day) from " ~ ref('facts')) }}$$ as single_day,
{{ dbt_utils.get_single_value("select 1 where 1=0", default="'none'") }} as dflt
