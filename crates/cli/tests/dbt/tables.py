"""Prints what a DuckDB file holds, whose views may read others that are named behind it: every table and view with its columns, what is said of them, its indexes and constraints, and its rows in order.

Times of the runs themselves can't be the same on both sides: they are told by their order within a table, and so are ids that are made of them.
"""
import datetime, json, re, sys
import duckdb

connection = duckdb.connect(sys.argv[1], read_only=True)
for path in sys.argv[2:]:
    connection.execute(f"attach '{path}' (read_only)")
relations = connection.execute(
    "select schema_name, table_name, 'table' from duckdb_tables() where not internal and not temporary and database_name = current_database() "
    "union all select schema_name, view_name, 'view' from duckdb_views() where not internal and database_name = current_database()").fetchall()
yesterday = datetime.datetime.now() - datetime.timedelta(days=1)


def is_of_a_run(value):
    return isinstance(value, datetime.datetime) and yesterday < value.replace(tzinfo=None) and value.year < 2100


def told(rows):
    runs = sorted({value for row in rows for value in row if is_of_a_run(value)})
    for row in rows:
        of_a_run = any(is_of_a_run(value) for value in row)
        for at, value in enumerate(row):
            if is_of_a_run(value):
                row[at] = f"run {runs.index(value) + 1}"
            elif of_a_run and isinstance(value, str) and re.fullmatch("[0-9a-f]{32}", value):
                row[at] = "an id"
            else:
                row[at] = repr(value)
    return sorted(rows)



def listed(query, schema, name):
    return sorted(map(list, connection.execute(query, [schema, name]).fetchall()), key=repr)


HERE = " where database_name = current_database() and schema_name = ?"
OF_IT = HERE + " and table_name = ?"
found = {}
for schema, name, kind in sorted(relations):
    columns = connection.execute(f'describe "{schema}"."{name}"').fetchall()
    rows = connection.execute(f'select * from "{schema}"."{name}"').fetchall()
    found[f"{schema}.{name}"] = {
        "kind": kind,
        "columns": [[column[0], column[1]] for column in columns],
        "comments": listed("select column_name, comment from duckdb_columns()" + OF_IT, schema, name)
        + listed("select comment from duckdb_tables()" + OF_IT, schema, name)
        + listed("select comment from duckdb_views()" + HERE + " and view_name = ?", schema, name),
        "indexes": listed("select expressions, is_unique from duckdb_indexes()" + OF_IT, schema, name),
        "constraints": listed("select constraint_text from duckdb_constraints()" + OF_IT, schema, name),
        "rows": told([list(row) for row in rows]),
    }
json.dump(found, sys.stdout)
