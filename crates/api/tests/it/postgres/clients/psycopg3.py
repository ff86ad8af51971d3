"""psycopg 3: parameters and results in text and binary, cursors, COPY, transactions, errors."""

import datetime
import decimal
import uuid

import psycopg

EVERYTHING = (
    True, -32768, 2147483647, 9223372036854775807, 4294967295, 1.5, 0.1, decimal.Decimal("-1234567.80"),
    'grüß "Gott"', {"a": [1, 2.5]}, b"\x00\xff", datetime.date(2024, 2, 29), datetime.time(23, 59, 59, 500000),
    datetime.datetime(2024, 1, 2, 3, 4, 5, 678901),
    datetime.datetime(2024, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc),
    datetime.timedelta(days=365 + 60 - 3, hours=4, minutes=5, seconds=6, milliseconds=700),
    uuid.UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), [1, None, 3], ["a", "b c", None],
)

with psycopg.connect("", autocommit=True) as connection:
    assert connection.info.server_version == 150000, connection.info.server_version
    for binary in (False, True):
        rows = connection.execute("SELECT * FROM shop.everything ORDER BY i4", binary=binary).fetchall()
        assert rows[0] == EVERYTHING, rows[0]
        assert rows[1] == (None,) * len(EVERYTHING), rows[1]

    sent = [
        (7, "int"), (2**40, "bigint"), (1.25, "float8"), ("it's", "text"), (True, "bool"),
        (datetime.date(2024, 2, 29), "date"), (EVERYTHING[14], "timestamptz"), (EVERYTHING[16], "uuid"),
        (b"\x00\xff", "blob"), ([1, None, 3], "int[]"), (["a", "b c"], "varchar[]"), (None, "text"),
    ]
    for value, name in sent:
        for form in ("%s", "%b", "%t"):
            if value is None and form == "%b":
                continue
            got = connection.execute(f"SELECT {form}::{name}", [value]).fetchone()[0]
            assert got == value, (form, name, got)
    found = connection.execute(
        "SELECT id FROM shop.orders WHERE amount > %s AND paid = %s AND placed >= %s ORDER BY id",
        [decimal.Decimal("5.00"), True, datetime.date(2026, 1, 1)],
    ).fetchall()
    assert found == [(1,), (2,)], found
    found = connection.execute("SELECT id FROM shop.orders WHERE id = ANY(%s) ORDER BY 1", [[1, 3]]).fetchall()
    assert found == [(1,), (3,)], found

    with connection.transaction(), connection.cursor(name="wide") as cursor:
        cursor.itersize = 1000
        cursor.execute("SELECT range FROM range(2500)")
        assert [number for (number,) in cursor] == list(range(2500))

    with connection.cursor() as cursor:
        with cursor.copy("COPY (SELECT id, customer FROM shop.orders ORDER BY id) TO STDOUT") as copy:
            assert b"".join(copy) == b"1\tann\n2\tbob\n3\t\\N\n"
        with cursor.copy("COPY (SELECT id, amount FROM shop.orders ORDER BY id) TO STDOUT (FORMAT BINARY)") as copy:
            copy.set_types(["int4", "numeric"])
            assert list(copy.rows())[:2] == [(1, decimal.Decimal("10.00")), (2, decimal.Decimal("7.25"))]

    connection.execute("SET millstream.as_of = '0/A'")
    amount = connection.execute("SELECT amount FROM shop.orders WHERE id = 2").fetchone()[0]
    assert amount == decimal.Decimal("2.50"), amount
    connection.execute("RESET millstream.as_of")

    # The same statement again and again is prepared by the client after a few times.
    for number in range(12):
        assert connection.execute("SELECT %s + 1", [number]).fetchone()[0] == number + 1

    with connection.pipeline():
        cursors = [connection.execute("SELECT %s::int", [number]) for number in range(20)]
    assert [cursor.fetchone()[0] for cursor in cursors] == list(range(20))

    for statement, error in [
        ("SELECT * FROM nowhere", psycopg.errors.UndefinedTable),
        ("SELEC 1", psycopg.errors.SyntaxError),
        ("SELECT nothing FROM shop.orders", psycopg.errors.UndefinedColumn),
        ("DELETE FROM shop.orders", psycopg.errors.ReadOnlySqlTransaction),
        ("SELECT 'x'::integer", psycopg.errors.InvalidTextRepresentation),
    ]:
        try:
            connection.execute(statement)
        except error:
            continue
        raise AssertionError(f"{statement} did not fail")

    info = psycopg.types.TypeInfo.fetch(connection, "uuid")
    assert (info.oid, info.array_oid) == (2950, 2951), info

with psycopg.connect("") as connection:
    connection.execute("SELECT count(*) FROM shop.orders")
    try:
        connection.execute("SELECT * FROM nowhere")
    except psycopg.errors.UndefinedTable:
        pass
    try:
        connection.execute("SELECT 1")
        raise AssertionError("a failed transaction went on")
    except psycopg.errors.InFailedSqlTransaction:
        pass
    connection.rollback()
    assert connection.execute("SELECT 1").fetchone() == (1,)

print("ok")
