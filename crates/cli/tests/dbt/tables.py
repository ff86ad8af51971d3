"""Prints what a DuckDB file holds: every table and view with its columns and its rows in order."""
import json, sys
import duckdb

connection = duckdb.connect(sys.argv[1], read_only=True)
relations = connection.execute(
    "select schema_name, table_name, 'table' from duckdb_tables() where not internal and not temporary "
    "union all select schema_name, view_name, 'view' from duckdb_views() where not internal").fetchall()
found = {}
for schema, name, kind in sorted(relations):
    columns = connection.execute(f'describe "{schema}"."{name}"').fetchall()
    rows = connection.execute(f'select * from "{schema}"."{name}"').fetchall()
    found[f"{schema}.{name}"] = {
        "kind": kind,
        "columns": [[column[0], column[1]] for column in columns],
        "rows": sorted([repr(value) for value in row] for row in rows),
    }
json.dump(found, sys.stdout)
