{#- The parts of materializations in PostgreSQL, where they are other ones than for all warehouses. The statements are planned by the engine (`_millstream`). -#}
{%- macro postgres__make_relation_with_suffix(base_relation, suffix, dstring) -%}
{%- set end = suffix ~ py_current_timestring() if dstring else suffix -%}
{{ return(base_relation.incorporate(path={'identifier': _millstream.with_suffix(base_relation.identifier, end)})) }}
{%- endmacro -%}
{%- macro postgres__make_intermediate_relation(base_relation, suffix) -%}{{ return(postgres__make_relation_with_suffix(base_relation, suffix, False)) }}{%- endmacro -%}
{%- macro postgres__make_backup_relation(base_relation, backup_relation_type, suffix) -%}{{ return(postgres__make_relation_with_suffix(base_relation, suffix, False).incorporate(type=backup_relation_type)) }}{%- endmacro -%}
{%- macro postgres__make_temp_relation(base_relation, suffix) -%}{{ return(postgres__make_relation_with_suffix(base_relation, suffix, True).incorporate(path={'schema': none, 'database': none})) }}{%- endmacro -%}
{%- macro postgres__create_table_as(temporary, relation, sql) -%}{{ return(_millstream.create_table_as(temporary, relation, sql)) }}{%- endmacro -%}
{%- macro postgres__create_view_as(relation, sql) -%}{{ return(_millstream.create_view_as(relation, sql)) }}{%- endmacro -%}
{%- macro postgres__apply_grants(relation, grant_config, should_revoke=True) -%}{%- do _millstream.apply_grants(relation, grant_config, should_revoke) -%}{%- endmacro -%}
{%- macro postgres__get_create_index_sql(relation, index_dict) -%}{{ return(_millstream.create_index(relation, index_dict)) }}{%- endmacro -%}
{%- macro postgres__get_delete_insert_merge_sql(target, source, unique_key, dest_columns, incremental_predicates=none) -%}{{ return(_millstream.upsert('delete+insert', target, source, unique_key, dest_columns, incremental_predicates)) }}{%- endmacro -%}
{%- macro postgres__get_merge_sql(target, source, unique_key, dest_columns, incremental_predicates=none) -%}{{ return(_millstream.upsert('merge', target, source, unique_key, dest_columns, incremental_predicates)) }}{%- endmacro -%}
{%- macro postgres__get_incremental_merge_sql(arg_dict) -%}{{ return(get_merge_sql(arg_dict.target_relation, arg_dict.temp_relation, arg_dict.unique_key, arg_dict.dest_columns, arg_dict.incremental_predicates)) }}{%- endmacro -%}
{%- macro postgres__get_incremental_default_sql(arg_dict) -%}{{ return(get_incremental_delete_insert_sql(arg_dict) if arg_dict.unique_key else get_incremental_append_sql(arg_dict)) }}{%- endmacro -%}
