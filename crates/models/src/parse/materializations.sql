{#- What models are materialised by where a project has macros of its own for a part of it, and what materializations of a project's own are made of. Of our own writing:
    names, parameters and what they do are dbt's, for DuckDB. The statements themselves are planned by the engine (`_millstream`), which also does without these macros
    where no part is overridden. -#}
{%- macro load_relation(relation) -%}{{ return(load_cached_relation(relation)) }}{%- endmacro -%}
{%- macro load_cached_relation(relation) -%}{{ return(adapter.get_relation(database=relation.database, schema=relation.schema, identifier=relation.identifier)) }}{%- endmacro -%}
{%- macro py_current_timestring() -%}{{ return(modules.datetime.datetime.now().strftime('%H%M%S%f')) }}{%- endmacro -%}
{%- macro get_or_create_relation(database, schema, identifier, type) -%}{{ return(adapter.dispatch('get_or_create_relation', 'dbt')(database, schema, identifier, type)) }}{%- endmacro -%}
{%- macro default__get_or_create_relation(database, schema, identifier, type) -%}
{%- set there = adapter.get_relation(database=database, schema=schema, identifier=identifier) -%}
{%- if there is not none -%}{{ return([true, there]) }}{%- endif -%}
{{ return([false, api.Relation.create(database=database, schema=schema, identifier=identifier, type=type)]) }}
{%- endmacro -%}
{%- macro drop_relation_if_exists(relation) -%}
{%- if relation is not none -%}{%- do adapter.drop_relation(relation) -%}{%- endif -%}
{%- endmacro -%}
{%- macro make_intermediate_relation(base_relation, suffix='__dbt_tmp') -%}{{ return(adapter.dispatch('make_intermediate_relation', 'dbt')(base_relation, suffix)) }}{%- endmacro -%}
{%- macro default__make_intermediate_relation(base_relation, suffix) -%}{{ return(base_relation.incorporate(path={'identifier': base_relation.identifier ~ suffix})) }}{%- endmacro -%}
{%- macro make_backup_relation(base_relation, backup_relation_type, suffix='__dbt_backup') -%}{{ return(adapter.dispatch('make_backup_relation', 'dbt')(base_relation, backup_relation_type, suffix)) }}{%- endmacro -%}
{%- macro default__make_backup_relation(base_relation, backup_relation_type, suffix) -%}{{ return(base_relation.incorporate(path={'identifier': base_relation.identifier ~ suffix}, type=backup_relation_type)) }}{%- endmacro -%}
{%- macro make_temp_relation(base_relation, suffix='__dbt_tmp') -%}{{ return(adapter.dispatch('make_temp_relation', 'dbt')(base_relation, suffix)) }}{%- endmacro -%}
{%- macro default__make_temp_relation(base_relation, suffix) -%}
{%- set identifier = base_relation.identifier ~ suffix ~ py_current_timestring() -%}
{{ return(base_relation.incorporate(path={'identifier': identifier, 'schema': none, 'database': none})) }}
{%- endmacro -%}
{%- macro run_hooks(hooks, inside_transaction=True) -%}
{%- for hook in hooks if hook.transaction == inside_transaction -%}
{%- set sql = render(hook.sql) | trim -%}
{%- if sql -%}{%- call statement(auto_begin=inside_transaction) -%}{{ sql }}{%- endcall -%}{%- endif -%}
{%- endfor -%}
{%- endmacro -%}
{%- macro noop_statement(name=none, message=none, code=none, rows_affected=none, res=none) -%}
{%- set sql = caller() -%}
{%- if name == 'main' -%}{%- do write(sql) -%}{%- endif -%}
{%- if name is not none -%}{%- do store_raw_result(name, message=message, code=code, rows_affected=rows_affected, agate_table=res) -%}{%- endif -%}
{%- endmacro -%}
{%- macro get_quoted_csv(column_names) -%}
{%- set names = [] -%}
{%- for name in column_names -%}{%- do names.append(adapter.quote(name)) -%}{%- endfor -%}
{{ return(names | join(', ')) }}
{%- endmacro -%}

{%- macro create_table_as(temporary, relation, compiled_code, language='sql', partitioned_by=none, sorted_by=none) -%}
{%- if adapter.type() != 'duckdb' and language == 'sql' -%}{{ return(adapter.dispatch('create_table_as', 'dbt')(temporary, relation, compiled_code)) }}{%- endif -%}
{{ return(adapter.dispatch('create_table_as', 'dbt')(temporary, relation, compiled_code, language, partitioned_by=partitioned_by, sorted_by=sorted_by)) }}
{%- endmacro -%}
{#- What a materialization makes a table by: dbt's of DuckDB goes past `get_create_table_as_sql`. -#}
{%- macro _table_of(temporary, relation, sql) -%}{{ return(create_table_as(temporary, relation, sql, model.language) if adapter.type() == 'duckdb' else get_create_table_as_sql(temporary, relation, sql)) }}{%- endmacro -%}
{%- macro duckdb__create_table_as(temporary, relation, compiled_code, language='sql', partitioned_by=none, sorted_by=none) -%}
{%- if language != 'sql' -%}{%- do exceptions.raise_compiler_error('a table is made of SQL, not of ' ~ language) -%}{%- endif -%}
{{ return(_millstream.create_table_as(temporary, relation, compiled_code)) }}
{%- endmacro -%}
{%- macro get_create_table_as_sql(temporary, relation, sql) -%}{{ return(adapter.dispatch('get_create_table_as_sql', 'dbt')(temporary, relation, sql)) }}{%- endmacro -%}
{%- macro default__get_create_table_as_sql(temporary, relation, sql) -%}{{ return(create_table_as(temporary, relation, sql)) }}{%- endmacro -%}
{%- macro create_view_as(relation, sql) -%}{{ return(adapter.dispatch('create_view_as', 'dbt')(relation, sql)) }}{%- endmacro -%}
{%- macro duckdb__create_view_as(relation, sql) -%}{{ return(_millstream.create_view_as(relation, sql)) }}{%- endmacro -%}
{%- macro get_create_view_as_sql(relation, sql) -%}{{ return(adapter.dispatch('get_create_view_as_sql', 'dbt')(relation, sql)) }}{%- endmacro -%}
{%- macro default__get_create_view_as_sql(relation, sql) -%}{{ return(create_view_as(relation, sql)) }}{%- endmacro -%}
{%- macro get_assert_columns_equivalent(sql) -%}{{ return(adapter.dispatch('get_assert_columns_equivalent', 'dbt')(sql)) }}{%- endmacro -%}
{%- macro default__get_assert_columns_equivalent(sql) -%}{{ return(assert_columns_equivalent(sql)) }}{%- endmacro -%}
{%- macro assert_columns_equivalent(sql) -%}{{ return(_millstream.check_contract(sql)) }}{%- endmacro -%}
{%- macro get_table_columns_and_constraints() -%}{{ return(adapter.dispatch('get_table_columns_and_constraints', 'dbt')()) }}{%- endmacro -%}
{%- macro default__get_table_columns_and_constraints() -%}{{ return(table_columns_and_constraints()) }}{%- endmacro -%}
{%- macro table_columns_and_constraints() -%}{{ return(_millstream.definitions()) }}{%- endmacro -%}
{%- macro get_column_names() -%}{{ return('(' ~ _millstream.column_names() ~ ')') }}{%- endmacro -%}
{%- macro get_select_subquery(sql) -%}{{ return(adapter.dispatch('get_select_subquery', 'dbt')(sql)) }}{%- endmacro -%}
{%- macro default__get_select_subquery(sql) -%}select {{ _millstream.column_names() }} from ({{ sql }}) as model_subq{%- endmacro -%}

{%- macro should_revoke(existing_relation, full_refresh_mode=True) -%}{{ return((not not existing_relation) and not full_refresh_mode) }}{%- endmacro -%}
{%- macro apply_grants(relation, grant_config, should_revoke=True) -%}{{ return(adapter.dispatch('apply_grants', 'dbt')(relation, grant_config, should_revoke)) }}{%- endmacro -%}
{%- macro duckdb__apply_grants(relation, grant_config, should_revoke=True) -%}
{%- if grant_config -%}{%- do adapter.warn_once('DuckDB has no grants: those of the configuration are passed over') -%}{%- endif -%}
{%- endmacro -%}
{%- macro persist_docs(relation, model, for_relation=true, for_columns=true) -%}{{ return(adapter.dispatch('persist_docs', 'dbt')(relation, model, for_relation, for_columns)) }}{%- endmacro -%}
{%- macro default__persist_docs(relation, model, for_relation, for_columns) -%}{%- do _millstream.persist_docs(relation, for_relation, for_columns) -%}{%- endmacro -%}
{%- macro create_indexes(relation) -%}{{ return(adapter.dispatch('create_indexes', 'dbt')(relation)) }}{%- endmacro -%}
{%- macro default__create_indexes(relation) -%}
{%- for index in config.get('indexes', default=[]) -%}
{%- set sql = get_create_index_sql(relation, index) -%}
{%- if sql -%}{%- do run_query(sql) -%}{%- endif -%}
{%- endfor -%}
{%- endmacro -%}
{%- macro get_create_index_sql(relation, index_dict) -%}{{ return(adapter.dispatch('get_create_index_sql', 'dbt')(relation, index_dict)) }}{%- endmacro -%}
{%- macro duckdb__get_create_index_sql(relation, index_dict) -%}{{ return(_millstream.create_index(relation, index_dict)) }}{%- endmacro -%}

{%- macro get_insert_into_sql(target_relation, temp_relation, dest_columns) -%}
{%- set columns = get_quoted_csv(dest_columns | map(attribute='name')) -%}
insert into {{ target_relation }} ({{ columns }}) (select {{ columns }} from {{ temp_relation }})
{%- endmacro -%}
{%- macro get_delete_insert_merge_sql(target, source, unique_key, dest_columns, incremental_predicates=none) -%}{{ return(adapter.dispatch('get_delete_insert_merge_sql', 'dbt')(target, source, unique_key, dest_columns, incremental_predicates)) }}{%- endmacro -%}
{%- macro duckdb__get_delete_insert_merge_sql(target, source, unique_key, dest_columns, incremental_predicates=none) -%}{{ return(_millstream.upsert('delete+insert', target, source, unique_key, dest_columns, incremental_predicates)) }}{%- endmacro -%}
{%- macro get_merge_sql(target, source, unique_key, dest_columns, incremental_predicates=none) -%}{{ return(adapter.dispatch('get_merge_sql', 'dbt')(target, source, unique_key, dest_columns, incremental_predicates)) }}{%- endmacro -%}
{%- macro duckdb__get_merge_sql(target, source, unique_key, dest_columns, incremental_predicates=none) -%}{{ return(_millstream.upsert('merge', target, source, unique_key, dest_columns, incremental_predicates)) }}{%- endmacro -%}
{%- macro get_incremental_append_sql(arg_dict) -%}{{ return(adapter.dispatch('get_incremental_append_sql', 'dbt')(arg_dict)) }}{%- endmacro -%}
{%- macro default__get_incremental_append_sql(arg_dict) -%}{{ return(get_insert_into_sql(arg_dict.target_relation, arg_dict.temp_relation, arg_dict.dest_columns)) }}{%- endmacro -%}
{%- macro get_incremental_delete_insert_sql(arg_dict) -%}{{ return(adapter.dispatch('get_incremental_delete_insert_sql', 'dbt')(arg_dict)) }}{%- endmacro -%}
{%- macro default__get_incremental_delete_insert_sql(arg_dict) -%}{{ return(get_delete_insert_merge_sql(arg_dict.target_relation, arg_dict.temp_relation, arg_dict.unique_key, arg_dict.dest_columns, arg_dict.incremental_predicates)) }}{%- endmacro -%}
{%- macro get_incremental_merge_sql(arg_dict) -%}{{ return(adapter.dispatch('get_incremental_merge_sql', 'dbt')(arg_dict)) }}{%- endmacro -%}
{%- macro duckdb__get_incremental_merge_sql(arg_dict) -%}{{ return(duckdb__get_merge_sql(arg_dict.target_relation, arg_dict.temp_relation, arg_dict.unique_key, arg_dict.dest_columns, arg_dict.incremental_predicates)) }}{%- endmacro -%}
{%- macro get_incremental_default_sql(arg_dict) -%}{{ return(adapter.dispatch('get_incremental_default_sql', 'dbt')(arg_dict)) }}{%- endmacro -%}
{%- macro duckdb__get_incremental_default_sql(arg_dict) -%}{{ return(get_incremental_delete_insert_sql(arg_dict)) }}{%- endmacro -%}
{%- macro incremental_validate_on_schema_change(on_schema_change, default='ignore') -%}
{{ return(on_schema_change if on_schema_change in ['sync_all_columns', 'append_new_columns', 'fail', 'ignore'] else default) }}
{%- endmacro -%}
{%- macro process_schema_changes(on_schema_change, source_relation, target_relation) -%}{{ return(_millstream.process_schema_changes(on_schema_change, source_relation, target_relation)) }}{%- endmacro -%}

{%- materialization view, default -%}
{%- set existing = load_cached_relation(this) -%}
{%- set target = this.incorporate(type='view') -%}
{%- set new = make_intermediate_relation(target) -%}
{%- do run_hooks(pre_hooks, inside_transaction=False) -%}
{%- do drop_relation_if_exists(load_cached_relation(new)) -%}
{%- do run_hooks(pre_hooks, inside_transaction=True) -%}
{%- call statement('main') -%}{{ get_create_view_as_sql(new, sql) }}{%- endcall -%}
{%- do drop_relation_if_exists(existing) -%}
{%- do adapter.rename_relation(new, target) -%}
{%- do apply_grants(target, config.get('grants'), should_revoke=should_revoke(existing, full_refresh_mode=True)) -%}
{%- do persist_docs(target, model) -%}
{%- do run_hooks(post_hooks, inside_transaction=True) -%}
{%- do adapter.commit() -%}
{%- do run_hooks(post_hooks, inside_transaction=False) -%}
{{ return({'relations': [target]}) }}
{%- endmaterialization -%}

{%- materialization table, default -%}
{%- set existing = load_cached_relation(this) -%}
{%- set target = this.incorporate(type='table') -%}
{%- set new = make_intermediate_relation(target) -%}
{%- do drop_relation_if_exists(load_cached_relation(new)) -%}
{%- do run_hooks(pre_hooks, inside_transaction=False) -%}
{%- do run_hooks(pre_hooks, inside_transaction=True) -%}
{%- call statement('main') -%}{{ _table_of(False, new, compiled_code) }}{%- endcall -%}
{%- do drop_relation_if_exists(existing) -%}
{%- do adapter.rename_relation(new, target) -%}
{%- do create_indexes(target) -%}
{%- do run_hooks(post_hooks, inside_transaction=True) -%}
{%- do apply_grants(target, config.get('grants'), should_revoke=should_revoke(existing, full_refresh_mode=True)) -%}
{%- do persist_docs(target, model) -%}
{%- do adapter.commit() -%}
{%- do run_hooks(post_hooks, inside_transaction=False) -%}
{{ return({'relations': [target]}) }}
{%- endmaterialization -%}

{%- materialization incremental, default -%}
{%- set existing = load_cached_relation(this) -%}
{%- set target = this.incorporate(type='table') -%}
{%- set new = make_intermediate_relation(target) -%}
{%- set anew = existing is none or existing.is_view or should_full_refresh() -%}
{%- set on_change = incremental_validate_on_schema_change(config.get('on_schema_change'), default='ignore') -%}
{%- do drop_relation_if_exists(load_cached_relation(new)) -%}
{%- set staged = make_temp_relation(target) -%}
{#- One that there is not is an error from the first, but where dbt has another materialization. -#}
{%- if adapter.type() != 'duckdb' -%}{%- do adapter.get_incremental_strategy_macro(context, config.get('incremental_strategy') or 'default') -%}{%- endif -%}
{%- do run_hooks(pre_hooks, inside_transaction=False) -%}
{%- do run_hooks(pre_hooks, inside_transaction=True) -%}
{%- if existing is none -%}
{%- set build = _table_of(False, target, compiled_code) -%}
{%- elif anew -%}
{%- set build = _table_of(False, new, compiled_code) -%}
{%- else -%}
{%- do run_query(_table_of(True, staged, compiled_code)) -%}
{%- do adapter.expand_target_column_types(from_relation=staged, to_relation=target) -%}
{%- set columns = process_schema_changes(on_change, staged, existing) or adapter.get_columns_in_relation(existing) -%}
{%- set strategy = adapter.get_incremental_strategy_macro(context, config.get('incremental_strategy') or 'default') -%}
{%- set build = strategy({
    'target_relation': target, 'temp_relation': staged, 'unique_key': config.get('unique_key'), 'dest_columns': columns,
    'incremental_predicates': config.get('predicates', none) or config.get('incremental_predicates', none)
}) -%}
{%- endif -%}
{%- call statement('main') -%}{{ build }}{%- endcall -%}
{%- if anew and existing is not none -%}
{%- do adapter.drop_relation(existing) -%}
{%- do adapter.rename_relation(new, target) -%}
{%- endif -%}
{%- do apply_grants(target, config.get('grants'), should_revoke=should_revoke(existing, anew)) -%}
{%- if anew -%}{%- do create_indexes(target) -%}{%- endif -%}
{%- do persist_docs(target, model) -%}
{%- do run_hooks(post_hooks, inside_transaction=True) -%}
{%- do adapter.commit() -%}
{%- if not anew -%}{%- do run_query('drop table if exists ' ~ staged) -%}{%- endif -%}
{%- do run_hooks(post_hooks, inside_transaction=False) -%}
{{ return({'relations': [target]}) }}
{%- endmaterialization -%}
