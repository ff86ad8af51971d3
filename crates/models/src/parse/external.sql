{#- Models whose rows are in a file, with a view on it. Of our own writing: names, parameters and what they do are dbt-duckdb's. -#}
{%- macro external_location(relation, config) -%}
{{ return(adapter.external_root() ~ '/' ~ relation.identifier ~ ('' if config.get('options', {}).get('partition_by') else '.' ~ config.get('format', 'parquet'))) }}
{%- endmacro -%}
{%- macro location_exists(location) -%}{{ return(adapter.location_exists(location)) }}{%- endmacro -%}
{%- macro write_to_file(relation, location, options) -%}
{%- call statement('write_to_file') -%}copy {{ relation }} to '{{ location }}' ({{ options }}){%- endcall -%}
{%- endmacro -%}
{%- macro render_write_options(config) -%}
{%- set options = config.get('options', {}) -%}
{%- if options is not mapping -%}{%- do exceptions.raise_compiler_error('`options` of an external model is a mapping') -%}{%- endif -%}
{%- set rendered = {} -%}
{%- for key, value in options.items() -%}{%- do rendered.update({key: render(value)}) -%}{%- endfor -%}
{%- for key in ['format', 'delimiter'] if config.get(key) -%}{%- do rendered.update({key: render(config.get(key))}) -%}{%- endfor -%}
{{ return(rendered) }}
{%- endmacro -%}
{%- macro _read_options(given, otherwise, compression) -%}
{%- set options = dict(given if given is not none else otherwise) -%}
{%- if compression and 'compression' not in options -%}{%- do options.update({'compression': compression}) -%}{%- endif -%}
{%- set written = [] -%}
{%- for key, value in options.items() -%}{%- do written.append(', ' ~ key ~ '=' ~ ("'" ~ value ~ "'" if value is string else value)) -%}{%- endfor -%}
{{ return(written | join('')) }}
{%- endmacro -%}

{%- materialization external, default, supported_languages=['sql'] -%}
{#- What is relative is so to the project's directory, wherever the file is written or the view is read. -#}
{%- set location = _millstream.absolute(render(config.get('location', default=external_location(this, config)))) -%}
{%- set options = render_write_options(config) -%}
{%- set write_options = adapter.external_write_options(location, options) -%}
{%- set format = config.get('format') -%}
{%- if format and format not in ['csv', 'parquet', 'json'] -%}
{%- do exceptions.raise_compiler_error('`format` of an external model is csv, parquet or json, not ' ~ format) -%}
{%- endif -%}
{%- if not format -%}{%- set format = options.format | lower if options.format | lower in ['csv', 'json'] else 'parquet' -%}{%- endif -%}
{%- set compression = options.get('compression') -%}
{%- if format == 'csv' -%}{%- set reading = _read_options(config.get('csv_read_options'), {'auto_detect': True}, compression) -%}
{%- elif format == 'json' -%}{%- set reading = _read_options(config.get('json_read_options'), {'auto_detect': True}, compression) -%}
{%- else -%}{%- set reading = _read_options(config.get('parquet_read_options'), {'union_by_name': False}, none) -%}
{%- endif -%}
{%- set target = this.incorporate(type='view') -%}
{%- set existing = load_cached_relation(this) -%}
{%- set rows = make_intermediate_relation(this.incorporate(type='table'), suffix='__dbt_tmp') -%}
{%- set view = make_intermediate_relation(target, suffix='__dbt_int') -%}
{%- do drop_relation_if_exists(load_cached_relation(view)) -%}
{%- do drop_relation_if_exists(load_cached_relation(rows)) -%}
{%- do run_hooks(pre_hooks, inside_transaction=False) -%}
{%- do run_hooks(pre_hooks, inside_transaction=True) -%}
{%- call statement('create_table') -%}{{ create_table_as(False, rows, compiled_code, model.language) }}{%- endcall -%}
{%- set names = adapter.get_columns_in_relation(rows) | map(attribute='name') | list -%}
{%- set is_empty = run_query('select count(*) from ' ~ rows)[0][0] == 0 -%}
{#- A file without rows has no types: it gets one of NULL, which the view leaves out. -#}
{%- if is_empty -%}
{%- set nulls = [] -%}{%- for name in names -%}{%- do nulls.append('null') -%}{%- endfor -%}
{%- do run_query('insert into ' ~ rows ~ ' values (' ~ nulls | join(', ') ~ ')') -%}
{%- endif -%}
{%- do write_to_file(rows, location, write_options) -%}
{%- call statement('main') -%}
create or replace view {{ view }} as (
select * from read_{{ format }}('{{ adapter.external_read_location(location, options) }}'{{ reading }})
{%- if is_empty %} where true{% for name in names %} and {{ adapter.quote(name) }} is not null{% endfor %}{% endif %}
);
{%- endcall -%}
{%- do drop_relation_if_exists(existing) -%}
{%- do adapter.rename_relation(view, target) -%}
{%- do run_hooks(post_hooks, inside_transaction=True) -%}
{%- do apply_grants(target, config.get('grants'), should_revoke=should_revoke(existing, full_refresh_mode=True)) -%}
{%- do persist_docs(target, model) -%}
{%- do adapter.drop_relation(rows) -%}
{%- do adapter.commit() -%}
{%- do run_hooks(post_hooks, inside_transaction=False) -%}
{{ return({'relations': [target]}) }}
{%- endmaterialization -%}
