{#- What snapshots are made by where a project has a strategy of its own or macros for a part of it. Of our own writing: names, parameters and what they do are dbt's, and so
    are `snapshotted_data` and `source_data`, which the conditions of strategies name. -#}
{%- macro strategy_dispatch(name) -%}{{ return(_millstream.snapshot_strategy(name)) }}{%- endmacro -%}
{%- macro snapshot_get_time() -%}{{ return(adapter.dispatch('snapshot_get_time', 'dbt')()) }}{%- endmacro -%}
{%- macro default__snapshot_get_time() -%}{{ return(current_timestamp() ~ '::timestamp') }}{%- endmacro -%}
{%- macro snapshot_string_as_time(timestamp) -%}{{ return(adapter.dispatch('snapshot_string_as_time', 'dbt')(timestamp)) }}{%- endmacro -%}
{%- macro default__snapshot_string_as_time(timestamp) -%}{{ return("'" ~ timestamp ~ "'::timestamp") }}{%- endmacro -%}
{%- macro snapshot_hash_arguments(args) -%}{{ return(adapter.dispatch('snapshot_hash_arguments', 'dbt')(args)) }}{%- endmacro -%}
{%- macro default__snapshot_hash_arguments(args) -%}
{%- set texts = [] -%}
{%- for arg in args -%}{%- do texts.append("coalesce(cast(" ~ arg ~ " as varchar), '')") -%}{%- endfor -%}
{{ return('md5(' ~ texts | join(" || '|' || ") ~ ')') }}
{%- endmacro -%}
{%- macro get_true_sql() -%}{{ return(adapter.dispatch('get_true_sql', 'dbt')()) }}{%- endmacro -%}
{%- macro default__get_true_sql() -%}{{ return('true') }}{%- endmacro -%}
{%- macro get_snapshot_table_column_names() -%}
{{ return({'dbt_valid_to': 'dbt_valid_to', 'dbt_valid_from': 'dbt_valid_from', 'dbt_scd_id': 'dbt_scd_id', 'dbt_updated_at': 'dbt_updated_at', 'dbt_is_deleted': 'dbt_is_deleted'}) }}
{%- endmacro -%}
{%- macro _snapshot_columns() -%}{{ return(config.get('snapshot_table_column_names') or get_snapshot_table_column_names()) }}{%- endmacro -%}
{%- macro unique_key_fields(unique_key) -%}
{%- set fields = [] -%}
{%- if unique_key | is_list -%}
{%- for key in unique_key -%}{%- do fields.append(key ~ ' as dbt_unique_key_' ~ loop.index) -%}{%- endfor -%}
{%- else -%}{%- do fields.append(unique_key ~ ' as dbt_unique_key') -%}
{%- endif -%}
{{ return(fields | join(', ')) }}
{%- endmacro -%}
{%- macro unique_key_join_on(unique_key, identifier, from_identifier) -%}
{%- if unique_key | is_list -%}
{%- for key in unique_key -%}
{{ equals(identifier ~ '.dbt_unique_key_' ~ loop.index, from_identifier ~ '.dbt_unique_key_' ~ loop.index) }}{{ ' and ' if not loop.last }}
{%- endfor -%}
{%- else -%}{{ identifier }}.dbt_unique_key = {{ from_identifier }}.dbt_unique_key
{%- endif -%}
{%- endmacro -%}
{%- macro _first_key(unique_key, identifier) -%}{{ return(identifier ~ '.dbt_unique_key' ~ ('_1' if unique_key | is_list else '')) }}{%- endmacro -%}
{%- macro unique_key_is_null(unique_key, identifier) -%}{{ _first_key(unique_key, identifier) }} is null{%- endmacro -%}
{%- macro unique_key_is_not_null(unique_key, identifier) -%}{{ _first_key(unique_key, identifier) }} is not null{%- endmacro -%}
{%- macro get_dbt_valid_to_current(strategy, columns) -%}
{#- The end of a version that has none yet, of the type that its time has. -#}
coalesce(nullif({{ strategy.updated_at }}, {{ strategy.updated_at }}), {{ config.get('dbt_valid_to_current') or 'null' }}) as {{ columns.dbt_valid_to }}
{%- endmacro -%}
{%- macro create_columns(relation, columns) -%}{{ return(adapter.dispatch('create_columns', 'dbt')(relation, columns)) }}{%- endmacro -%}
{%- macro default__create_columns(relation, columns) -%}
{%- for column in columns -%}
{%- call statement() -%}alter table {{ relation.render() }} add column {{ adapter.quote(column.name) }} {{ column.expanded_data_type }}{%- endcall -%}
{%- endfor -%}
{%- endmacro -%}
{%- macro post_snapshot(staging_relation) -%}{{ return(adapter.dispatch('post_snapshot', 'dbt')(staging_relation)) }}{%- endmacro -%}
{%- macro default__post_snapshot(staging_relation) -%}{%- endmacro -%}
{%- macro duckdb__post_snapshot(staging_relation) -%}{%- do adapter.drop_relation(staging_relation) -%}{%- endmacro -%}

{%- macro _snapshot_strategy(updated_at, row_changed) -%}
{%- set key, gone = config.get('unique_key'), adapter.get_hard_deletes_behavior(config) -%}
{{ return({
    'unique_key': key, 'updated_at': updated_at, 'row_changed': row_changed, 'scd_id': snapshot_hash_arguments(api.Relation.scd_args(key, updated_at)),
    'invalidate_hard_deletes': gone == 'invalidate', 'hard_deletes': gone
}) }}
{%- endmacro -%}
{%- macro snapshot_timestamp_strategy(node, snapshotted_rel, current_rel, model_config, target_exists) -%}
{%- set updated_at = config.get('updated_at') -%}
{{ return(_snapshot_strategy(updated_at, '(' ~ snapshotted_rel ~ '.' ~ _snapshot_columns().dbt_valid_from ~ ' < ' ~ current_rel ~ '.' ~ updated_at ~ ')')) }}
{%- endmacro -%}
{%- macro snapshot_check_all_get_existing_columns(node, target_exists, check_cols_config) -%}
{%- if not target_exists -%}{{ return((false, [])) }}{%- endif -%}
{%- if check_cols_config == 'all' -%}{%- set query = node.compiled_code -%}
{%- elif check_cols_config | is_list and check_cols_config -%}{%- set query = 'select ' ~ check_cols_config | join(', ') ~ ' from (\n' ~ node.compiled_code ~ '\n) as compared' -%}
{%- else -%}{%- do exceptions.raise_compiler_error('`check_cols` is `all` or a list of columns, not ' ~ check_cols_config) -%}
{%- endif -%}
{%- set there = adapter.get_relation(database=node.database, schema=node.schema, identifier=node.alias) -%}
{%- set held = adapter.get_columns_in_relation(there) | map(attribute='name') | list -%}
{%- set state, both = namespace(added=false), [] -%}
{%- for name in get_columns_in_query(query) -%}
{%- if name in held -%}{%- do both.append(adapter.quote(name)) -%}{%- else -%}{%- set state.added = true -%}{%- endif -%}
{%- endfor -%}
{{ return((state.added, both)) }}
{%- endmacro -%}
{%- macro snapshot_check_strategy(node, snapshotted_rel, current_rel, model_config, target_exists) -%}
{%- set added, names = snapshot_check_all_get_existing_columns(node, target_exists, config.get('check_cols')) -%}
{%- set differ = [] -%}
{%- for name in names -%}{%- do differ.append(snapshotted_rel ~ '.' ~ name ~ ' is distinct from ' ~ current_rel ~ '.' ~ name) -%}{%- endfor -%}
{{ return(_snapshot_strategy(config.get('updated_at') or snapshot_get_time(), '(' ~ (get_true_sql() if added else differ | join(' or ')) ~ ')')) }}
{%- endmacro -%}

{%- macro build_snapshot_table(strategy, sql) -%}{{ return(adapter.dispatch('build_snapshot_table', 'dbt')(strategy, sql)) }}{%- endmacro -%}
{%- macro default__build_snapshot_table(strategy, sql) -%}
{%- set names = _snapshot_columns() -%}
select *,
  {{ strategy.scd_id }} as {{ names.dbt_scd_id }},
  {{ strategy.updated_at }} as {{ names.dbt_updated_at }},
  {{ strategy.updated_at }} as {{ names.dbt_valid_from }},
  {{ get_dbt_valid_to_current(strategy, names) }}{% if strategy.hard_deletes == 'new_record' %},
  'False' as {{ names.dbt_is_deleted }}{% endif %}
from (
{{ sql }}
) as rows_now
{%- endmacro -%}
{%- macro snapshot_staging_table(strategy, source_sql, target_relation) -%}{{ return(adapter.dispatch('snapshot_staging_table', 'dbt')(strategy, source_sql, target_relation)) }}{%- endmacro -%}
{%- macro default__snapshot_staging_table(strategy, source_sql, target_relation) -%}
{%- set names, key, open_end = _snapshot_columns(), strategy.unique_key, config.get('dbt_valid_to_current') -%}
{%- set tells = strategy.hard_deletes == 'new_record' -%}
{%- set ends = tells or strategy.hard_deletes == 'invalidate' -%}
{%- set same = unique_key_join_on(key, 'snapshotted_data', 'source_data') -%}
{%- set changed = '(' ~ strategy.row_changed ~ (' or snapshotted_data.' ~ names.dbt_is_deleted ~ " = 'True'" if tells else '') ~ ')' -%}
{%- set now = snapshot_get_time() -%}
{%- set gone -%}
from snapshotted_data left join keys_now as source_data on {{ same }}
where {{ unique_key_is_null(key, 'source_data') }}
{%- if tells %} and not (snapshotted_data.{{ names.dbt_is_deleted }} = 'True' and snapshotted_data.{{ names.dbt_valid_to }} {{ '= ' ~ open_end if open_end else 'is null' }}){% endif %}
{%- endset -%}
with snapshot_query as (
{{ source_sql }}
),
snapshotted_data as (
select *, {{ unique_key_fields(key) }} from {{ target_relation }}
where {% if open_end %}({{ equals(names.dbt_valid_to, open_end) }} or {{ names.dbt_valid_to }} is null){% else %}{{ names.dbt_valid_to }} is null{% endif %}
),
beginning as (
select *, {{ unique_key_fields(key) }}, {{ strategy.updated_at }} as {{ names.dbt_updated_at }}, {{ strategy.updated_at }} as {{ names.dbt_valid_from }},
  {{ get_dbt_valid_to_current(strategy, names) }}, {{ strategy.scd_id }} as {{ names.dbt_scd_id }}
from snapshot_query
),
ending as (
select *, {{ unique_key_fields(key) }}, {{ strategy.updated_at }} as {{ names.dbt_updated_at }}, {{ strategy.updated_at }} as {{ names.dbt_valid_from }},
  {{ strategy.updated_at }} as {{ names.dbt_valid_to }}
from snapshot_query
),
keys_now as (
select *, {{ unique_key_fields(key) }} from snapshot_query
)
select 'insert' as dbt_change_type, source_data.*{{ ", 'False' as " ~ names.dbt_is_deleted if tells }}
from beginning as source_data left join snapshotted_data on {{ same }}
where {{ unique_key_is_null(key, 'snapshotted_data') }} or ({{ unique_key_is_not_null(key, 'snapshotted_data') }} and {{ changed }})
union all
select 'update', source_data.*, snapshotted_data.{{ names.dbt_scd_id }}{{ ', snapshotted_data.' ~ names.dbt_is_deleted if tells }}
from ending as source_data join snapshotted_data on {{ same }}
where {{ changed }}
{%- if ends %}
union all
select 'delete', source_data.*, {{ now }}, {{ now }}, {{ now }}, snapshotted_data.{{ names.dbt_scd_id }}{{ ', snapshotted_data.' ~ names.dbt_is_deleted if tells }}
{{ gone }}
{%- endif %}
{%- if tells %}
{%- set held = adapter.get_columns_in_relation(target_relation) | map(attribute='name') | list %}
union all
select 'insert',
{%- for name in get_columns_in_query(source_sql) %} {{ 'snapshotted_data' if name in held else 'source_data' }}.{{ adapter.quote(name) }},{% endfor %}
{%- if key | is_list %}{% for name in key %} snapshotted_data.{{ name }},{% endfor %}{% else %} snapshotted_data.dbt_unique_key,{% endif %}
  {{ now }}, {{ now }}, snapshotted_data.{{ names.dbt_valid_to }}, {{ snapshot_hash_arguments([names.dbt_scd_id, now]) }}, 'True'
{{ gone }}
{%- endif %}
{%- endmacro -%}
{%- macro build_snapshot_staging_table(strategy, sql, target_relation) -%}
{%- set staged = make_temp_relation(target_relation) -%}
{%- set select = snapshot_staging_table(strategy, sql, target_relation) -%}
{%- call statement('build_snapshot_staging_relation') -%}{{ create_table_as(True, staged, select) }}{%- endcall -%}
{{ return(staged) }}
{%- endmacro -%}
{%- macro snapshot_merge_sql(target, source, insert_cols) -%}{{ return(adapter.dispatch('snapshot_merge_sql', 'dbt')(target, source, insert_cols)) }}{%- endmacro -%}
{%- macro default__snapshot_merge_sql(target, source, insert_cols) -%}
{%- set names, open_end = _snapshot_columns(), config.get('dbt_valid_to_current') -%}
update {{ target }} as versions set {{ names.dbt_valid_to }} = ends.{{ names.dbt_valid_to }} from {{ source }} as ends
where ends.dbt_change_type in ('update', 'delete') and ends.{{ names.dbt_scd_id }} = versions.{{ names.dbt_scd_id }}
  and (versions.{{ names.dbt_valid_to }} is null{{ ' or versions.' ~ names.dbt_valid_to ~ ' = ' ~ open_end if open_end }});
insert into {{ target }} ({{ insert_cols | join(', ') }}) select {{ insert_cols | join(', ') }} from {{ source }} where dbt_change_type = 'insert';
{%- endmacro -%}
{%- macro duckdb__snapshot_merge_sql(target, source, insert_cols) -%}{{ return(default__snapshot_merge_sql(target, source, insert_cols)) }}{%- endmacro -%}
{%- macro postgres__snapshot_merge_sql(target, source, insert_cols) -%}{{ return(default__snapshot_merge_sql(target, source, insert_cols)) }}{%- endmacro -%}

{%- macro _snapshot_type_of(query, names) -%}
{%- set found = namespace(type=none) -%}
{%- for column in adapter.get_column_schema_from_query(query) if column.name in names -%}{%- set found.type = column.dtype -%}{%- endfor -%}
{{ return(found.type) }}
{%- endmacro -%}
{%- macro _check_snapshot_times(query) -%}
{%- set given = _snapshot_type_of(query, ['dbt_updated_at', 'DBT_UPDATED_AT']) -%}
{%- set of_run = _snapshot_type_of('select ' ~ snapshot_get_time() ~ ' as time_of_run', ['time_of_run']) -%}
{%- if given is not none and given != of_run -%}{%- do exceptions.warn_snapshot_timestamp_data_types(of_run, given) -%}{%- endif -%}
{%- endmacro -%}
{%- materialization snapshot, default -%}
{%- set found = get_or_create_relation(database=model.database, schema=model.schema, identifier=model.alias, type='table') -%}
{%- set is_there, target = found[0], found[1] -%}
{%- if not target.is_table -%}{%- do exceptions.relation_wrong_type(target, 'table') -%}{%- endif -%}
{%- do run_hooks(pre_hooks, inside_transaction=False) -%}
{%- do run_hooks(pre_hooks, inside_transaction=True) -%}
{%- set strategy = strategy_dispatch(config.get('strategy'))(model, 'snapshotted_data', 'source_data', model.config, is_there) -%}
{%- set staged = none -%}
{%- if not is_there -%}
{%- set select = build_snapshot_table(strategy, model.compiled_code) -%}
{%- do _check_snapshot_times(select) -%}
{%- set main = create_table_as(False, target, select) -%}
{%- else -%}
{%- do adapter.assert_valid_snapshot_target_given_strategy(target, _snapshot_columns(), strategy) -%}
{%- set staged = build_snapshot_staging_table(strategy, sql, target) -%}
{%- do _check_snapshot_times('select * from ' ~ staged) -%}
{%- do adapter.expand_target_column_types(from_relation=staged, to_relation=target) -%}
{%- set own = ['dbt_change_type', 'dbt_unique_key'] -%}
{%- if config.get('unique_key') | is_list -%}{%- for key in strategy.unique_key -%}{%- do own.append('dbt_unique_key_' ~ loop.index) -%}{%- endfor -%}{%- endif -%}
{%- do create_columns(target, adapter.get_missing_columns(staged, target) | rejectattr('name', 'in', own) | list) -%}
{%- set names = [] -%}
{%- for column in adapter.get_columns_in_relation(staged) | rejectattr('name', 'in', own) -%}{%- do names.append(adapter.quote(column.name)) -%}{%- endfor -%}
{%- set main = snapshot_merge_sql(target=target, source=staged, insert_cols=names) -%}
{%- endif -%}
{%- call statement('main') -%}{{ main }}{%- endcall -%}
{%- do apply_grants(target, config.get('grants'), should_revoke=should_revoke(is_there, full_refresh_mode=False)) -%}
{%- do persist_docs(target, model) -%}
{%- if not is_there -%}{%- do create_indexes(target) -%}{%- endif -%}
{%- do run_hooks(post_hooks, inside_transaction=True) -%}
{%- do adapter.commit() -%}
{%- if staged is not none -%}{%- do post_snapshot(staged) -%}{%- endif -%}
{%- do run_hooks(post_hooks, inside_transaction=False) -%}
{{ return({'relations': [target]}) }}
{%- endmaterialization -%}
