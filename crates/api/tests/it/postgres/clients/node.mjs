// node-postgres: simple and prepared queries, types, a cursor, errors, a pool.
import assert from "node:assert";
import { createRequire } from "node:module";

const require = createRequire(process.env.CLIENTS_NODE + "/");
const pg = require("pg");
const Cursor = require("pg-cursor");

const client = new pg.Client();
await client.connect();
const { rows, fields } = await client.query("SELECT * FROM shop.everything WHERE i4 IS NOT NULL");
assert.strictEqual(rows[0].b, true);
assert.strictEqual(rows[0].i8, "9223372036854775807");
assert.strictEqual(rows[0].n, "-1234567.80");
assert.strictEqual(rows[0].t, 'grüß "Gott"');
assert.deepStrictEqual(rows[0].j, { a: [1, 2.5] });
assert.ok(rows[0].by.equals(Buffer.from([0, 255])));
assert.strictEqual(rows[0].tz.toISOString(), "2024-01-02T03:04:05.000Z");
assert.deepStrictEqual(rows[0].ia, [1, null, 3]);
assert.deepStrictEqual(rows[0].ta, ["a", "b c", null]);
assert.strictEqual(fields.length, 19);

const byId = { name: "by-id", text: "SELECT customer, amount FROM shop.orders WHERE id = $1" };
for (const [id, customer] of [[1, "ann"], [2, "bob"], [3, null]]) {
  const result = await client.query({ ...byId, values: [id] });
  assert.strictEqual(result.rows[0].customer, customer);
  assert.strictEqual(result.command, "SELECT");
  assert.strictEqual(result.rowCount, 1);
}
const several = await client.query("SELECT 1 AS a; SELECT 'x' AS b");
assert.deepStrictEqual(several.map((result) => result.rows[0]), [{ a: 1 }, { b: "x" }]);
const any = await client.query("SELECT id FROM shop.orders WHERE id = ANY($1) ORDER BY id", [[1, 3]]);
assert.deepStrictEqual(any.rows, [{ id: 1 }, { id: 3 }]);
const when = await client.query("SELECT count(*) AS n FROM shop.orders WHERE placed > $1", [new Date("2026-01-01T12:00:00Z")]);
assert.strictEqual(when.rows[0].n, "1");

const cursor = client.query(new Cursor("SELECT range AS i FROM range(25)"));
let seen = 0;
for (let page = await cursor.read(10); page.length > 0; page = await cursor.read(10)) seen += page.length;
assert.strictEqual(seen, 25);
await cursor.close();

await assert.rejects(client.query("UPDATE shop.orders SET paid = true"), { code: "25006" });
await assert.rejects(client.query("SELECT * FROM nowhere"), { code: "42P01" });
assert.strictEqual((await client.query("SELECT 1 AS one")).rows[0].one, 1);
await client.end();

const pool = new pg.Pool({ max: 5 });
const sums = await Promise.all(Array.from({ length: 30 }, (_, n) => pool.query("SELECT $1::int + 1 AS n", [n])));
assert.deepStrictEqual(sums.map((result) => result.rows[0].n), Array.from({ length: 30 }, (_, n) => n + 1));
await pool.end();
console.log("ok");
