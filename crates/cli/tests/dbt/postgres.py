"""Prints what a PostgreSQL database holds: every relation with its kind, columns, comments, indexes, constraints, grants and rows in order.

Names of indexes and times of the runs themselves can't be the same on both sides: the ones are left out, the others told by their order within a table, and so are ids
that are made of them.
"""
import datetime, json, re, sys
import psycopg2

connection = psycopg2.connect(sys.argv[1])
cursor = connection.cursor()


def asked(query, *values):
    cursor.execute(query, values)
    return [list(row) for row in cursor.fetchall()]


now = asked("select now()::timestamp")[0][0]
yesterday = now - datetime.timedelta(days=1)


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


relations = asked(
    "select r.oid, s.nspname, r.relname, r.relkind::text, r.relpersistence::text, obj_description(r.oid, 'pg_class'), r.relacl::text "
    "from pg_class r join pg_namespace s on s.oid = r.relnamespace "
    "where r.relkind in ('r', 'p', 'v', 'm', 'f') and s.nspname !~ '^pg_' and s.nspname <> 'information_schema' order by 2, 3")
found = {}
for oid, schema, name, kind, persistence, comment, grants in relations:
    indexes = asked("select pg_get_indexdef(indexrelid), indisprimary from pg_index where indrelid = %s", oid)
    found[f"{schema}.{name}"] = {
        "kind": [kind, persistence],
        "comment": comment,
        "grants": sorted(grants.strip("{}").split(",")) if grants else [],
        "columns": asked(
            "select attname, format_type(atttypid, atttypmod), attnotnull, col_description(attrelid, attnum) from pg_attribute "
            "where attrelid = %s and attnum > 0 and not attisdropped order by attnum", oid),
        "indexes": sorted([re.sub(r"INDEX \S+ ON", "INDEX ON", definition), primary] for definition, primary in indexes),
        "constraints": sorted(row[0] for row in asked("select pg_get_constraintdef(oid) from pg_constraint where conrelid = %s", oid)),
        "rows": told(asked(f'select * from "{schema}"."{name}"')),
    }
json.dump(found, sys.stdout, default=str)
