{#- What seeds are loaded by where a project has macros of its own for a part of it. Of our own writing: names, parameters and what they do are dbt's. -#}
{%- macro get_binding_char() -%}{{ return(adapter.dispatch('get_binding_char', 'dbt')()) }}{%- endmacro -%}
{%- macro default__get_binding_char() -%}{{ return('%s') }}{%- endmacro -%}
{%- macro duckdb__get_binding_char() -%}{{ return('?') }}{%- endmacro -%}
{%- macro get_batch_size() -%}{{ return(adapter.dispatch('get_batch_size', 'dbt')()) }}{%- endmacro -%}
{%- macro default__get_batch_size() -%}{{ return(10000) }}{%- endmacro -%}
{%- macro get_seed_column_quoted_csv(model, column_names) -%}
{%- set names = [] -%}
{%- for name in column_names -%}{%- do names.append(adapter.quote_seed_column(name, model.config.get('quote_columns'))) -%}{%- endfor -%}
{{ return(names | join(', ')) }}
{%- endmacro -%}
{%- macro create_csv_table(model, agate_table) -%}{{ return(adapter.dispatch('create_csv_table', 'dbt')(model, agate_table)) }}{%- endmacro -%}
{%- macro default__create_csv_table(model, agate_table) -%}
{%- set types = model.config.get('column_types') or {} -%}
{%- set columns = [] -%}
{%- for name in agate_table.column_names -%}
{%- do columns.append(adapter.quote_seed_column(name, model.config.get('quote_columns')) ~ ' ' ~ types.get(name, adapter.convert_type(agate_table, loop.index0))) -%}
{%- endfor -%}
{%- set sql = 'create table ' ~ this.render() ~ ' (' ~ columns | join(', ') ~ ')' -%}
{%- call statement('_') -%}{{ sql }}{%- endcall -%}
{{ return(sql) }}
{%- endmacro -%}
{%- macro reset_csv_table(model, full_refresh, old_relation, agate_table) -%}{{ return(adapter.dispatch('reset_csv_table', 'dbt')(model, full_refresh, old_relation, agate_table)) }}{%- endmacro -%}
{%- macro default__reset_csv_table(model, full_refresh, old_relation, agate_table) -%}
{%- if full_refresh -%}
{%- do adapter.drop_relation(old_relation) -%}
{{ return(create_csv_table(model, agate_table)) }}
{%- endif -%}
{%- do adapter.truncate_relation(old_relation) -%}
{{ return('truncate table ' ~ old_relation.render()) }}
{%- endmacro -%}
{%- macro get_csv_sql(create_or_truncate_sql, insert_sql) -%}{{ return(adapter.dispatch('get_csv_sql', 'dbt')(create_or_truncate_sql, insert_sql)) }}{%- endmacro -%}
{%- macro default__get_csv_sql(create_or_truncate_sql, insert_sql) -%}
{{ create_or_truncate_sql }};
{{ insert_sql }}
{%- endmacro -%}
{%- macro load_csv_rows(model, agate_table) -%}{{ return(adapter.dispatch('load_csv_rows', 'dbt')(model, agate_table)) }}{%- endmacro -%}
{%- macro duckdb__load_csv_rows(model, agate_table) -%}
{%- if not config.get('fast', true) -%}{{ return(default__load_csv_rows(model, agate_table)) }}{%- endif -%}
{%- set sql = 'COPY ' ~ this.render() ~ " FROM '" ~ (adapter.get_seed_file_path(model) | replace("'", "''")) ~ "' (FORMAT CSV, HEADER TRUE, DELIMITER '" ~ config.get('delimiter', ',') ~ "')" -%}
{%- do adapter.add_query(sql, abridge_sql_log=True) -%}
{{ return(sql) }}
{%- endmacro -%}
{%- macro default__load_csv_rows(model, agate_table) -%}
{%- set names = get_seed_column_quoted_csv(model, agate_table.column_names) -%}
{%- set marks = [] -%}
{%- for name in agate_table.column_names -%}{%- do marks.append(get_binding_char()) -%}{%- endfor -%}
{%- set first = [] -%}
{%- for rows in agate_table.rows | batch(get_batch_size()) -%}
{%- set values, places = [], [] -%}
{%- for row in rows -%}
{%- do values.extend(row.values()) -%}
{%- do places.append('(' ~ marks | join(',') ~ ')') -%}
{%- endfor -%}
{%- set sql = 'insert into ' ~ this.render() ~ ' (' ~ names ~ ') values ' ~ places | join(',') -%}
{%- do adapter.add_query(sql, bindings=values, abridge_sql_log=True) -%}
{%- if loop.first -%}{%- do first.append(sql) -%}{%- endif -%}
{%- endfor -%}
{{ return(first[0]) }}
{%- endmacro -%}

{%- materialization seed, default -%}
{%- set anew = should_full_refresh() -%}
{%- set existing = adapter.get_relation(database=database, schema=schema, identifier=model.alias) -%}
{%- set target = this.incorporate(type='table') -%}
{%- set table = load_agate_table() -%}
{%- do store_result('agate_table', response='OK', agate_table=table) -%}
{%- do run_hooks(pre_hooks, inside_transaction=False) -%}
{%- do run_hooks(pre_hooks, inside_transaction=True) -%}
{%- if existing is not none and not existing.is_table -%}
{%- do exceptions.raise_compiler_error(existing.render() ~ ' is a ' ~ existing.type ~ ": a seed can't replace it") -%}
{%- endif -%}
{%- set made = create_csv_table(model, table) if existing is none else reset_csv_table(model, anew, existing, table) -%}
{%- set code = 'CREATE' if anew else 'INSERT' -%}
{%- set count = table.rows | length -%}
{%- set loaded = load_csv_rows(model, table) if count > 0 else '' -%}
{%- call noop_statement('main', code ~ ' ' ~ count, code, count) -%}{{ get_csv_sql(made, loaded) }};{%- endcall -%}
{%- do apply_grants(target, config.get('grants'), should_revoke=should_revoke(existing, anew)) -%}
{%- do persist_docs(target, model) -%}
{%- if anew or existing is none -%}{%- do create_indexes(target) -%}{%- endif -%}
{%- do run_hooks(post_hooks, inside_transaction=True) -%}
{%- do adapter.commit() -%}
{%- do run_hooks(post_hooks, inside_transaction=False) -%}
{{ return({'relations': [target]}) }}
{%- endmaterialization -%}
