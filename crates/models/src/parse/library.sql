{#- The macros that every dbt project can call, of our own writing: names, parameters and the SQL that they stand for are dbt's, for DuckDB. -#}
{%- macro any_value(expression) -%}{{ return(adapter.dispatch('any_value', 'dbt')(expression)) }}{%- endmacro -%}
{%- macro default__any_value(expression) -%}arbitrary({{ expression }}){%- endmacro -%}
{%- macro array_append(array, new_element) -%}{{ return(adapter.dispatch('array_append', 'dbt')(array, new_element)) }}{%- endmacro -%}
{%- macro default__array_append(array, new_element) -%}array_append({{ array }}, {{ new_element }}){%- endmacro -%}
{%- macro array_concat(array_1, array_2) -%}{{ return(adapter.dispatch('array_concat', 'dbt')(array_1, array_2)) }}{%- endmacro -%}
{%- macro default__array_concat(array_1, array_2) -%}array_cat({{ array_1 }}, {{ array_2 }}){%- endmacro -%}
{%- macro array_construct(inputs=[], data_type='integer') -%}{{ return(adapter.dispatch('array_construct', 'dbt')(inputs, data_type)) }}{%- endmacro -%}
{%- macro default__array_construct(inputs, data_type) -%}{% if inputs | length > 0 %}array[ {{ inputs | join(' , ') }} ]{% else %}array[]::{{ data_type }}[]{% endif %}{%- endmacro -%}
{%- macro bool_or(expression) -%}{{ return(adapter.dispatch('bool_or', 'dbt')(expression)) }}{%- endmacro -%}
{%- macro default__bool_or(expression) -%}bool_or({{ expression }}){%- endmacro -%}
{%- macro cast(field, type) -%}{{ return(adapter.dispatch('cast', 'dbt')(field, type)) }}{%- endmacro -%}
{%- macro default__cast(field, type) -%}cast({{ field }} as {{ type }}){%- endmacro -%}
{%- macro cast_bool_to_text(field) -%}{{ return(adapter.dispatch('cast_bool_to_text', 'dbt')(field)) }}{%- endmacro -%}
{%- macro default__cast_bool_to_text(field) -%}cast({{ field }} as {{ dbt.type_string() }}){%- endmacro -%}
{%- macro concat(fields) -%}{{ return(adapter.dispatch('concat', 'dbt')(fields)) }}{%- endmacro -%}
{%- macro default__concat(fields) -%}{{ fields | join(' || ') }}{%- endmacro -%}
{%- macro type_string() -%}{{ return(adapter.dispatch('type_string', 'dbt')()) }}{%- endmacro -%}
{%- macro default__type_string() -%}TEXT{%- endmacro -%}
{%- macro type_timestamp() -%}{{ return(adapter.dispatch('type_timestamp', 'dbt')()) }}{%- endmacro -%}
{%- macro default__type_timestamp() -%}timestamp{%- endmacro -%}
{%- macro type_float() -%}{{ return(adapter.dispatch('type_float', 'dbt')()) }}{%- endmacro -%}
{%- macro default__type_float() -%}float{%- endmacro -%}
{%- macro type_numeric() -%}{{ return(adapter.dispatch('type_numeric', 'dbt')()) }}{%- endmacro -%}
{%- macro default__type_numeric() -%}numeric(28,6){%- endmacro -%}
{%- macro type_bigint() -%}{{ return(adapter.dispatch('type_bigint', 'dbt')()) }}{%- endmacro -%}
{%- macro default__type_bigint() -%}bigint{%- endmacro -%}
{%- macro type_int() -%}{{ return(adapter.dispatch('type_int', 'dbt')()) }}{%- endmacro -%}
{%- macro default__type_int() -%}integer{%- endmacro -%}
{%- macro type_boolean() -%}{{ return(adapter.dispatch('type_boolean', 'dbt')()) }}{%- endmacro -%}
{%- macro default__type_boolean() -%}boolean{%- endmacro -%}
{%- macro date(year, month, day) -%}{{ return(adapter.dispatch('date', 'dbt')(year, month, day)) }}{%- endmacro -%}
{%- macro default__date(year, month, day) -%}make_date({{ year }}, {{ month }}, {{ day }}){%- endmacro -%}
{%- macro date_trunc(datepart, date) -%}{{ return(adapter.dispatch('date_trunc', 'dbt')(datepart, date)) }}{%- endmacro -%}
{%- macro default__date_trunc(datepart, date) -%}date_trunc('{{ datepart }}', {{ date }}){%- endmacro -%}
{%- macro dateadd(datepart, interval, from_date_or_timestamp) -%}{{ return(adapter.dispatch('dateadd', 'dbt')(datepart, interval, from_date_or_timestamp)) }}{%- endmacro -%}
{%- macro default__dateadd(datepart, interval, from_date_or_timestamp) -%}{% set part = datepart | lower %}{% set times, unit = {'week': (7, 'day'), 'quarter': (3, 'month')}.get(part, (1, part)) %}({{ from_date_or_timestamp }} + {% if times > 1 %}(cast({{ interval }} as bigint) * {{ times }}){% else %}cast({{ interval }} as bigint){% endif %} * interval 1 {{ unit }}){%- endmacro -%}
{%- macro datediff(first_date, second_date, datepart) -%}{{ return(adapter.dispatch('datediff', 'dbt')(first_date, second_date, datepart)) }}{%- endmacro -%}
{%- macro default__datediff(first_date, second_date, datepart) -%}(date_diff('{{ datepart }}', {{ first_date }}::timestamp, {{ second_date }}::timestamp )){%- endmacro -%}
{%- macro equals(expr1, expr2) -%}{{ return(adapter.dispatch('equals', 'dbt')(expr1, expr2)) }}{%- endmacro -%}
{%- macro default__equals(expr1, expr2) -%}({{ expr1 }} = {{ expr2 }}){%- endmacro -%}
{%- macro escape_single_quotes(expression) -%}{{ return(adapter.dispatch('escape_single_quotes', 'dbt')(expression)) }}{%- endmacro -%}
{%- macro default__escape_single_quotes(expression) -%}{{ expression | replace("'", "''") }}{%- endmacro -%}
{%- macro except() -%}{{ return(adapter.dispatch('except', 'dbt')()) }}{%- endmacro -%}
{%- macro default__except() -%}except{%- endmacro -%}
{%- macro intersect() -%}{{ return(adapter.dispatch('intersect', 'dbt')()) }}{%- endmacro -%}
{%- macro default__intersect() -%}intersect{%- endmacro -%}
{%- macro generate_series(upper_bound) -%}{{ return(adapter.dispatch('generate_series', 'dbt')(upper_bound)) }}{%- endmacro -%}
{%- macro default__generate_series(upper_bound) -%}select generate_series as generated_number from generate_series(1, {{ upper_bound }}){%- endmacro -%}
{%- macro get_powers_of_two(upper_bound) -%}{{ return(adapter.dispatch('get_powers_of_two', 'dbt')(upper_bound)) }}{%- endmacro -%}
{%- macro default__get_powers_of_two(upper_bound) -%}
{%- if upper_bound <= 0 -%}{%- do exceptions.raise_compiler_error('upper bound must be positive') -%}{%- endif -%}
{%- for power in range(1, 63) -%}{%- if upper_bound <= 2 ** power -%}{{ return(power) }}{%- endif -%}{%- endfor -%}
{%- endmacro -%}
{%- macro get_intervals_between(start_date, end_date, datepart) -%}{{ return(adapter.dispatch('get_intervals_between', 'dbt')(start_date, end_date, datepart)) }}{%- endmacro -%}
{%- macro default__get_intervals_between(start_date, end_date, datepart) -%}
{%- if not execute -%}{{ return(1) }}{%- endif -%}
{{ return(run_query('select ' ~ dbt.datediff(start_date, end_date, datepart)).rows[0][0]) }}
{%- endmacro -%}
{%- macro date_spine(datepart, start_date, end_date) -%}{{ return(adapter.dispatch('date_spine', 'dbt')(datepart, start_date, end_date)) }}{%- endmacro -%}
{%- macro default__date_spine(datepart, start_date, end_date) -%}
{%- set count = dbt.get_intervals_between(start_date, end_date, datepart) -%}
{%- if count <= 0 -%}{%- do exceptions.raise_compiler_error('a spine of dates ends after it begins') -%}{%- endif -%}
select date_{{ datepart }} from (select ({{ dbt.dateadd(datepart, 'generated_number - 1', start_date) }}) as date_{{ datepart }} from ({{ dbt.generate_series(count) }}) as numbers) as spine where date_{{ datepart }} <= {{ end_date }}
{%- endmacro -%}
{%- macro convert_datetime(date_str, date_fmt) -%}{{ return(modules.datetime.datetime.strptime(date_str.strip(), date_fmt)) }}{%- endmacro -%}
{%- macro dates_in_range(start_date_str, end_date_str=none, in_fmt='%Y%m%d', out_fmt='%Y%m%d') -%}
{%- set first = convert_datetime(start_date_str, in_fmt) -%}
{%- set last = first if end_date_str is none else convert_datetime(end_date_str, in_fmt) -%}
{%- if last < first -%}{%- do exceptions.raise_compiler_error('a range of dates ends before it begins: ' ~ first ~ ', ' ~ last) -%}{%- endif -%}
{%- set days = [] -%}
{%- for number in range((last - first).days + 1) -%}
{%- set day = first + modules.datetime.timedelta(days=number) -%}
{%- do days.append(day.strftime(out_fmt) if out_fmt else day) -%}
{%- endfor -%}
{{ return(days) }}
{%- endmacro -%}
{%- macro partition_range(raw_partition_date, date_fmt='%Y%m%d') -%}
{%- set ends = (raw_partition_date | string).split(',') -%}
{%- if ends | length > 2 -%}{%- do exceptions.raise_compiler_error('a range is one date, or two with a comma between them, not ' ~ raw_partition_date) -%}{%- endif -%}
{{ return(dates_in_range(ends[0], ends[1] if ends | length == 2 else none, in_fmt=date_fmt)) }}
{%- endmacro -%}
{%- macro information_schema_name(database) -%}{{ return(adapter.dispatch('information_schema_name', 'dbt')(database)) }}{%- endmacro -%}
{%- macro default__information_schema_name(database) -%}{%- if database -%}{{ database }}.INFORMATION_SCHEMA{%- else -%}INFORMATION_SCHEMA{%- endif -%}{%- endmacro -%}
{%- macro hash(field) -%}{{ return(adapter.dispatch('hash', 'dbt')(field)) }}{%- endmacro -%}
{%- macro default__hash(field) -%}md5(cast({{ field }} as {{ dbt.type_string() }})){%- endmacro -%}
{%- macro last_day(date, datepart) -%}{{ return(adapter.dispatch('last_day', 'dbt')(date, datepart)) }}{%- endmacro -%}
{%- macro default__last_day(date, datepart) -%}{% set parts = [3, 'month'] if datepart == 'quarter' else [1, datepart] %}{% if datepart == 'quarter' %}-- duckdb dateadd does not support quarter interval.
{% endif %}cast( ( {{ dbt.dateadd(parts[1], parts[0], "date_trunc('" ~ datepart ~ "', " ~ date ~ ")") }} + cast(-1 as bigint) * interval 1 day) as date){%- endmacro -%}
{%- macro length(expression) -%}{{ return(adapter.dispatch('length', 'dbt')(expression)) }}{%- endmacro -%}
{%- macro default__length(expression) -%}length( {{ expression }} ){%- endmacro -%}
{%- macro listagg(measure, delimiter_text="','", order_by_clause=none, limit_num=none) -%}{{ return(adapter.dispatch('listagg', 'dbt')(measure, delimiter_text, order_by_clause, limit_num)) }}{%- endmacro -%}
{%- macro default__listagg(measure, delimiter_text, order_by_clause, limit_num) -%}{% if limit_num %}list_aggr( (array_agg( {{ measure }} {{ order_by_clause or '' }} ))[1:{{ limit_num }}], 'string_agg', {{ delimiter_text }} ){% else %}string_agg( {{ measure }}, {{ delimiter_text }} {{ order_by_clause or '' }} ){% endif %}{%- endmacro -%}
{%- macro string_literal(value) -%}{{ return(adapter.dispatch('string_literal', 'dbt')(value)) }}{%- endmacro -%}
{%- macro default__string_literal(value) -%}'{{ value }}'{%- endmacro -%}
{%- macro position(substring_text, string_text) -%}{{ return(adapter.dispatch('position', 'dbt')(substring_text, string_text)) }}{%- endmacro -%}
{%- macro default__position(substring_text, string_text) -%}position( {{ substring_text }} in {{ string_text }} ){%- endmacro -%}
{%- macro replace(field, old_chars, new_chars) -%}{{ return(adapter.dispatch('replace', 'dbt')(field, old_chars, new_chars)) }}{%- endmacro -%}
{%- macro default__replace(field, old_chars, new_chars) -%}replace( {{ field }}, {{ old_chars }}, {{ new_chars }} ){%- endmacro -%}
{%- macro right(string_text, length_expression) -%}{{ return(adapter.dispatch('right', 'dbt')(string_text, length_expression)) }}{%- endmacro -%}
{%- macro default__right(string_text, length_expression) -%}right( {{ string_text }}, {{ length_expression }} ){%- endmacro -%}
{%- macro safe_cast(field, type) -%}{{ return(adapter.dispatch('safe_cast', 'dbt')(field, type)) }}{%- endmacro -%}
{%- macro default__safe_cast(field, type) -%}cast({{ field }} as {{ type }}){%- endmacro -%}
{%- macro split_part(string_text, delimiter_text, part_number) -%}{{ return(adapter.dispatch('split_part', 'dbt')(string_text, delimiter_text, part_number)) }}{%- endmacro -%}
{%- macro default__split_part(string_text, delimiter_text, part_number) -%}string_split({{ string_text }}, {{ delimiter_text }})[ {{ part_number }} ]{%- endmacro -%}
{%- macro current_timestamp() -%}{{ return(adapter.dispatch('current_timestamp', 'dbt')()) }}{%- endmacro -%}
{%- macro default__current_timestamp() -%}now(){%- endmacro -%}
{%- macro current_timestamp_backcompat() -%}{{ return(adapter.dispatch('current_timestamp_backcompat', 'dbt')()) }}{%- endmacro -%}
{%- macro default__current_timestamp_backcompat() -%}current_timestamp::timestamp{%- endmacro -%}

{%- macro generate_schema_name(custom_schema_name=none, node=none) -%}{{ return(adapter.dispatch('generate_schema_name')(custom_schema_name, node)) }}{%- endmacro -%}
{%- macro default__generate_schema_name(custom_schema_name, node) -%}
{%- if custom_schema_name is none -%}{{ target.schema }}{%- else -%}{{ target.schema }}_{{ custom_schema_name | trim }}{%- endif -%}
{%- endmacro -%}
{%- macro generate_schema_name_for_env(custom_schema_name, node) -%}
{%- if target.name == 'prod' and custom_schema_name is not none -%}{{ custom_schema_name | trim }}{%- else -%}{{ target.schema }}{%- endif -%}
{%- endmacro -%}
{%- macro generate_alias_name(custom_alias_name=none, node=none) -%}{{ return(adapter.dispatch('generate_alias_name', 'dbt')(custom_alias_name, node)) }}{%- endmacro -%}
{%- macro default__generate_alias_name(custom_alias_name=none, node=none) -%}
{%- if custom_alias_name -%}{{ custom_alias_name | trim }}{%- elif node.version -%}{{ return(node.name ~ '_v' ~ (node.version | string | replace('.', '_'))) }}{%- else -%}{{ node.name }}{%- endif -%}
{%- endmacro -%}
{%- macro generate_database_name(custom_database_name=none, node=none) -%}{{ return(adapter.dispatch('generate_database_name', 'dbt')(custom_database_name, node)) }}{%- endmacro -%}
{%- macro default__generate_database_name(custom_database_name=none, node=none) -%}
{%- if custom_database_name is none -%}{{ return(target.database) }}{%- else -%}{{ return(custom_database_name) }}{%- endif -%}
{%- endmacro -%}

{%- macro is_incremental() -%}
{%- if not execute -%}{{ return(False) }}{%- endif -%}
{%- set relation = adapter.get_relation(this.database, this.schema, this.table) -%}
{{ return(relation is not none and relation.type == 'table' and model.config.materialized == 'incremental' and not should_full_refresh()) }}
{%- endmacro -%}
{%- macro should_full_refresh() -%}
{%- set wanted = config.get('full_refresh') -%}
{{ return(flags.FULL_REFRESH if wanted is none else wanted) }}
{%- endmacro -%}
{%- macro should_store_failures() -%}
{%- set as_what = config.get('store_failures_as') -%}
{%- if as_what is not none -%}{{ return(as_what in ['table', 'view']) }}{%- endif -%}
{%- set wanted = config.get('store_failures') -%}
{{ return(flags.STORE_FAILURES if wanted is none else wanted) }}
{%- endmacro -%}

{%- macro get_where_subquery(relation) -%}{{ return(adapter.dispatch('get_where_subquery', 'dbt')(relation)) }}{%- endmacro -%}
{%- macro default__get_where_subquery(relation) -%}
{%- set where = config.get('where') -%}
{%- if where -%}{{ return('(select * from ' ~ relation ~ ' where ' ~ where ~ ') dbt_subquery') }}{%- endif -%}
{{ return(relation) }}
{%- endmacro -%}

{%- test unique(model, column_name) -%}{{ return(adapter.dispatch('test_unique', 'dbt')(model, column_name)) }}{%- endtest -%}
{%- macro default__test_unique(model, column_name) -%}
select {{ column_name }} as unique_field, count(*) as n_records
from {{ model }} where {{ column_name }} is not null
group by {{ column_name }} having count(*) > 1
{%- endmacro -%}
{%- test not_null(model, column_name) -%}{{ return(adapter.dispatch('test_not_null', 'dbt')(model, column_name)) }}{%- endtest -%}
{%- macro default__test_not_null(model, column_name) -%}
select {{ '*' if should_store_failures() else column_name }} from {{ model }} where {{ column_name }} is null
{%- endmacro -%}
{%- test accepted_values(model, column_name, values, quote=True) -%}{{ return(adapter.dispatch('test_accepted_values', 'dbt')(model, column_name, values, quote)) }}{%- endtest -%}
{%- macro default__test_accepted_values(model, column_name, values, quote=True) -%}
with all_values as (
    select {{ column_name }} as value_field, count(*) as n_records from {{ model }} group by {{ column_name }}
)
select * from all_values where value_field not in (
    {% for value in values -%}{{ "'" ~ value ~ "'" if quote else value }}{{ "," if not loop.last }}{%- endfor %}
)
{%- endmacro -%}
{%- test relationships(model, column_name, to, field) -%}{{ return(adapter.dispatch('test_relationships', 'dbt')(model, column_name, to, field)) }}{%- endtest -%}
{%- macro default__test_relationships(model, column_name, to, field) -%}
with child as (
    select {{ column_name }} as from_field from {{ model }} where {{ column_name }} is not null
),
parent as (
    select {{ field }} as to_field from {{ to }}
)
select from_field from child left join parent on child.from_field = parent.to_field where parent.to_field is null
{%- endmacro -%}

{%- macro run_query(sql) -%}
{%- call statement('run_query_statement', fetch_result=true, auto_begin=false) -%}{{ sql }}{%- endcall -%}
{{ return(load_result('run_query_statement').table) }}
{%- endmacro -%}
{%- macro before_begin(sql) -%}{{ make_hook_config(sql, inside_transaction=False) }}{%- endmacro -%}
{%- macro after_commit(sql) -%}{{ make_hook_config(sql, inside_transaction=False) }}{%- endmacro -%}
{%- macro in_transaction(sql) -%}{{ make_hook_config(sql, inside_transaction=True) }}{%- endmacro -%}
{%- macro make_hook_config(sql, inside_transaction) -%}{{ tojson({'sql': sql, 'transaction': inside_transaction}) }}{%- endmacro -%}
{%- macro get_columns_in_query(select_sql) -%}{{ return(adapter.dispatch('get_columns_in_query', 'dbt')(select_sql)) }}{%- endmacro -%}
{%- macro default__get_columns_in_query(select_sql) -%}{{ return(adapter.get_column_schema_from_query(select_sql) | map(attribute='name') | list) }}{%- endmacro -%}
{%- macro get_columns_in_relation(relation) -%}{{ return(adapter.get_columns_in_relation(relation)) }}{%- endmacro -%}
{%- macro set_sql_header(config) -%}{{ config.set('sql_header', caller()) }}{%- endmacro -%}

{%- macro collect_freshness(source, loaded_at_field, filter) -%}{{ return(adapter.dispatch('collect_freshness', 'dbt')(source, loaded_at_field, filter)) }}{%- endmacro -%}
{%- macro default__collect_freshness(source, loaded_at_field, filter) -%}
{%- call statement('freshness', fetch_result=true, auto_begin=false) -%}
select max({{ loaded_at_field }}) as max_loaded_at, {{ current_timestamp() }} as snapshotted_at from {{ source }}{% if filter %} where {{ filter }}{% endif %}
{%- endcall -%}
{{ return(load_result('freshness')) }}
{%- endmacro -%}
{%- macro collect_freshness_custom_sql(source, loaded_at_query) -%}{{ return(adapter.dispatch('collect_freshness_custom_sql', 'dbt')(source, loaded_at_query)) }}{%- endmacro -%}
{%- macro default__collect_freshness_custom_sql(source, loaded_at_query) -%}
{%- call statement('freshness', fetch_result=true, auto_begin=false) -%}
with loaded as (
{{ loaded_at_query }}
) select (select * from loaded) as max_loaded_at, {{ current_timestamp() }} as snapshotted_at
{%- endcall -%}
{{ return(load_result('freshness')) }}
{%- endmacro -%}
