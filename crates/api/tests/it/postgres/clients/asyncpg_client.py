"""asyncpg: everything prepared, everything binary."""

import asyncio
import datetime
import decimal
import os
import uuid

import asyncpg


async def main():
    connection = await asyncpg.connect(database=os.environ["PGDATABASE"])
    row = await connection.fetchrow("SELECT * FROM shop.everything WHERE i4 IS NOT NULL")
    assert row["i8"] == 9223372036854775807
    assert row["n"] == decimal.Decimal("-1234567.80")
    assert row["t"] == 'grüß "Gott"'
    assert row["by"] == b"\x00\xff"
    assert row["tz"] == datetime.datetime(2024, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
    assert row["u"] == uuid.UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")
    assert row["ia"] == [1, None, 3] and row["ta"] == ["a", "b c", None]
    assert row["iv"] == datetime.timedelta(days=365 + 60 - 3, hours=4, minutes=5, seconds=6, milliseconds=700)

    assert await connection.fetchval("SELECT customer FROM shop.orders WHERE id = $1", 2) == "bob"
    assert await connection.fetchval("SELECT $1::int + $2::int", 1, 2) == 3
    assert await connection.fetchval("SELECT count(*) FROM shop.orders WHERE amount >= $1", decimal.Decimal("7.25")) == 2
    assert await connection.fetchval("SELECT count(*) FROM shop.orders WHERE placed < $1", row["tz"]) == 0
    assert await connection.fetchval("SELECT $1::int[]", [1, 2]) == [1, 2]

    statement = await connection.prepare("SELECT id, amount FROM shop.orders WHERE id > $1 ORDER BY id")
    assert [attribute.type.name for attribute in statement.get_attributes()] == ["int4", "numeric"]
    assert len(await statement.fetch(1)) == 2

    async with connection.transaction(readonly=True):
        numbers = [row["range"] async for row in connection.cursor("SELECT range FROM range(120)")]
        assert numbers == list(range(120)), numbers

    lines = []

    async def keep(data):
        lines.append(data)

    await connection.copy_from_query("SELECT id FROM shop.orders ORDER BY id", output=keep, format="csv")
    assert b"".join(lines) == b"1\n2\n3\n"

    try:
        await connection.execute("INSERT INTO shop.orders VALUES (4)")
        raise AssertionError("written")
    except asyncpg.exceptions.ReadOnlySQLTransactionError as error:
        assert "source" in error.hint
    try:
        await asyncio.wait_for(connection.fetch("SELECT count(*) FROM range(100000000000)"), 1)
        raise AssertionError("finished")
    except asyncio.TimeoutError:
        pass
    assert await connection.fetchval("SELECT 1") == 1

    await connection.close()
    pool = await asyncpg.create_pool(database=os.environ["PGDATABASE"], min_size=2, max_size=4)
    totals = await asyncio.gather(*(pool.fetchval("SELECT sum(i) FROM range(20) AS r(i) WHERE i < $1", n) for n in range(1, 20)))
    assert totals == [n * (n - 1) // 2 for n in range(1, 20)], totals
    await pool.close()


asyncio.run(main())
print("ok")
