//! A workload of kinds instead of crowds: every type that is promised, every way to identify a row and to change that way while rows flow,
//! partitions, generated columns, hundreds of columns, rows that are equal, and column changes of any sort.

use super::random::Random;
use super::session::Session;
use super::values;
use crate::types::{odd_values, setup, table, SECTIONS, UNHELD};
use crate::Result;

/// Columns of the wide table: more bitmap than a machine word, and rows of several kilobytes.
const WIDE_COLUMNS: u64 = 300;

/// Keys of a table: few, so that writers meet.
const KEYS_MAX: i64 = 30;

/// Rows of a statement that is to be streamed before it commits.
const LARGE_ROWS: u64 = 400;

/// A column of a type of the page, with values as SQL literals.
#[derive(Debug, Clone)]
struct Column {
    name: String,
    pg_type: String,
    literals: Vec<String>,
}

/// The columns that are the same for everybody.
#[derive(Debug, Clone)]
pub(super) struct Variety {
    everything: Vec<Column>,
    widening: Vec<Column>,
}

fn literal(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

impl Variety {
    pub(super) fn new() -> Self {
        let column = |prefix: &str, index: usize, pg_type: &str, values: Vec<String>| Column {
            name: format!("{prefix}{index}"),
            pg_type: pg_type.to_owned(),
            literals: values.iter().map(|value| literal(value)).collect(),
        };
        let lines = SECTIONS.iter().flat_map(|section| table(section));
        let everything = lines
            .enumerate()
            .map(|(index, line)| {
                let mut values = odd_values(&line[0]);
                values.extend(line.get(2).cloned());
                column("c", index, &line[0], values)
            })
            .collect();
        // Values that the column holds, and the one that it can't: it becomes text while rows flow.
        let widening = table(UNHELD)
            .into_iter()
            .enumerate()
            .map(|(index, line)| {
                let mut values = odd_values(&line[0]);
                values.extend(line.get(1).cloned());
                column("w", index, &line[0], values)
            })
            .collect();
        Self { everything, widening }
    }

    /// SQL that makes the tables.
    pub(super) fn schema(&self) -> String {
        let list = |columns: &[Column]| -> String {
            columns.iter().map(|column| format!(", {} {}", column.name, column.pg_type)).collect()
        };
        let loose: String =
            self.everything.iter().map(|column| format!("{} {}, ", column.name, column.pg_type)).collect();
        let wide: String = (0..WIDE_COLUMNS)
            .map(|index| {
                let of = ["int", "text", "numeric(12, 2)", "timestamptz", "boolean"][(index % 5) as usize];
                format!(", v{index} {of}")
            })
            .collect();
        format!(
            "{}\nCREATE TABLE shop.everything (id int PRIMARY KEY{});\n\
             CREATE TABLE shop.widening (id int PRIMARY KEY{});\n\
             CREATE TABLE shop.loose ({loose}mark int);\n\
             CREATE TABLE shop.wide (id int PRIMARY KEY{wide});\n{}",
            setup(),
            list(&self.everything),
            list(&self.widening),
            include_str!("variety.sql"),
        )
    }
}

/// One writer of rows.
pub(super) struct VarietyWriter {
    random: Random,
    variety: Variety,
}

impl VarietyWriter {
    pub(super) fn new(random: Random, variety: Variety) -> Self {
        Self { random, variety }
    }

    /// The next transaction.
    pub(super) fn transaction(&mut self) -> String {
        let statements: String = (0..self.random.between(1, 4)).map(|_| self.statement()).collect();
        match self.random.below(10) {
            0 => statements,
            1 => format!("BEGIN;\n{statements}ROLLBACK;"),
            2 => {
                let (undone, more) = (self.statement(), self.statement());
                format!("BEGIN;\n{statements}SAVEPOINT s;\n{undone}{undone}ROLLBACK TO s;\n{more}COMMIT;\nROLLBACK;")
            }
            _ => format!("BEGIN;\n{statements}COMMIT;"),
        }
    }

    fn statement(&mut self) -> String {
        match self.random.weighted(&[20, 14, 14, 8, 10, 10, 10, 10, 4, 2, 8]) {
            0 => {
                let columns = self.variety.everything.clone();
                self.typed("shop.everything", &columns)
            }
            1 => {
                let columns = self.variety.widening.clone();
                self.typed("shop.widening", &columns)
            }
            2 => self.loose(),
            3 => self.wide(),
            4 => self.indexed(),
            5 => self.part(),
            6 => self.computed(),
            7 => self.keyed(),
            8 => format!(
                "INSERT INTO shop.kept VALUES ({}, {}) ON CONFLICT DO NOTHING;\n",
                self.random.below(10_000),
                values::word(&mut self.random)
            ),
            9 => self.truncation(),
            _ => self.reshaped(),
        }
    }

    fn id(&mut self) -> i64 {
        self.random.between(1, KEYS_MAX)
    }

    /// Some of the columns with a value each, NULL among them.
    fn assignments(&mut self, columns: &[Column]) -> Vec<(String, String)> {
        let percent = *self.random.pick(&[4, 20, 100]);
        let mut chosen = Vec::new();
        for column in columns {
            if self.random.chance(percent) {
                let value =
                    if self.random.chance(10) { "NULL" } else { self.random.pick(&column.literals).as_str() };
                let value = match column.pg_type.as_str() {
                    "text" | "citext" if self.random.chance(20) => values::large_text(&mut self.random),
                    "bytea" if self.random.chance(20) => values::large_bytes(&mut self.random),
                    _ => value.to_owned(),
                };
                chosen.push((column.name.clone(), value));
            }
        }
        if chosen.is_empty() {
            chosen.push((columns[0].name.clone(), "NULL".into()));
        }
        chosen
    }

    fn typed(&mut self, table: &str, columns: &[Column]) -> String {
        let id = self.id();
        match self.random.below(10) {
            0 | 1 => format!("DELETE FROM {table} WHERE id = {id};\n"),
            2 => format!("UPDATE {table} SET id = {} WHERE id = {id};\n", self.id()),
            3..=6 => {
                let sets: Vec<_> = self
                    .assignments(columns)
                    .iter()
                    .map(|(column, value)| format!("{column} = {value}"))
                    .collect();
                format!("UPDATE {table} SET {} WHERE id BETWEEN {id} AND {id} + 2;\n", sets.join(", "))
            }
            _ => {
                let chosen = self.assignments(columns);
                let (columns, values): (Vec<_>, Vec<_>) = chosen.into_iter().unzip();
                format!(
                    "INSERT INTO {table} (id, {}) VALUES ({id}, {}) ON CONFLICT (id) DO UPDATE SET {first} = EXCLUDED.{first};\n",
                    columns.join(", "),
                    values.join(", "),
                    first = columns[0]
                )
            }
        }
    }

    /// Rows without a key, each some times; the types that have no equality among their columns.
    fn loose(&mut self) -> String {
        let mark = self.random.below(8);
        let one = format!("ctid = (SELECT ctid FROM shop.loose WHERE mark = {mark} LIMIT 1)");
        let columns = self.variety.everything.clone();
        let chosen = self.assignments(&columns);
        match self.random.below(6) {
            0 => format!("DELETE FROM shop.loose WHERE {one};\n"),
            1 => format!("UPDATE shop.loose SET mark = {} WHERE {one};\n", self.random.below(8)),
            2 => {
                let (column, value) = &chosen[0];
                format!("UPDATE shop.loose SET {column} = {value} WHERE mark = {mark};\n")
            }
            3 => format!("DELETE FROM shop.loose WHERE mark = {mark};\n"),
            _ => {
                let (columns, values): (Vec<_>, Vec<_>) = chosen.into_iter().unzip();
                format!(
                    "INSERT INTO shop.loose ({}, mark) SELECT {}, {mark} FROM generate_series(1, {});\n",
                    columns.join(", "),
                    values.join(", "),
                    self.random.between(1, 3)
                )
            }
        }
    }

    fn wide(&mut self) -> String {
        let id = self.id();
        let column = (1 + self.random.below(WIDE_COLUMNS / 5 - 1)) * 5;
        match self.random.below(5) {
            0 => format!("DELETE FROM shop.wide WHERE id = {id};\n"),
            1 => format!("UPDATE shop.wide SET v{column} = v{column} + 1, v{} = 'x' WHERE id >= {id};\n", column + 1),
            2 => format!(
                "INSERT INTO shop.wide (id, v{}) VALUES ({id}, {}) ON CONFLICT (id) DO UPDATE SET v299 = NOT wide.v299;\n",
                column + 1,
                values::large_text(&mut self.random)
            ),
            _ => format!(
                "INSERT INTO shop.wide (id, v0, v1, v2, v3, v{column}, v298, v299) VALUES ({id}, 1, 'one', 1.5, '2024-01-01Z', 7, 'infinity', true)\n\
                 ON CONFLICT (id) DO UPDATE SET v2 = wide.v2 + 0.01;\n"
            ),
        }
    }

    /// What identifies its rows changes while they do.
    fn indexed(&mut self) -> String {
        let (id, code) = (self.id(), self.id());
        match self.random.below(8) {
            0 => format!("ALTER TABLE shop.indexed REPLICA IDENTITY {};\n", self.random.pick(&[
                "FULL",
                "DEFAULT",
                "USING INDEX indexed_code",
                "USING INDEX indexed_pair",
            ])),
            1 => format!("DELETE FROM shop.indexed WHERE id = {id};\n"),
            2 => format!("UPDATE shop.indexed SET code = 'code {code}' WHERE id = {id};\n"),
            3 => format!("UPDATE shop.indexed SET id = id + 1000 WHERE code = 'code {code}';\n"),
            4 => format!("UPDATE shop.indexed SET part = part + 1, amount = -amount WHERE id > {id};\n"),
            5 => format!("UPDATE shop.indexed SET amount = amount * 2 WHERE id BETWEEN {id} AND {id} + 9;\n"),
            _ => format!(
                "INSERT INTO shop.indexed (id, code, part, amount, body) VALUES ({id}, 'code {code}', 1, 0.5, {}) ON CONFLICT DO NOTHING;\n",
                values::text_of_any_size(&mut self.random)
            ),
        }
    }

    /// Two levels of partitions, rows that move between them, partitions that come.
    fn part(&mut self) -> String {
        let (id, region) = (self.id(), *self.random.pick(&["north", "south", "west"]));
        let month = self.random.between(1, 12);
        match self.random.below(9) {
            0 => format!("DELETE FROM shop.parts WHERE id = {id};\n"),
            1 => format!("UPDATE shop.parts SET day = day + 40 WHERE id = {id} AND day < '2024-10-01';\n"),
            2 => format!("UPDATE shop.parts SET region = '{region}' WHERE id BETWEEN {id} AND {id} + 3;\n"),
            3 => format!("UPDATE shop.parts SET note = {} WHERE id > {id};\n", values::word(&mut self.random)),
            4 => {
                let number = self.random.below(1000);
                format!(
                    "CREATE TABLE IF NOT EXISTS shop.parts_east_{number} PARTITION OF shop.parts_later FOR VALUES IN ('east {number}');\n\
                     INSERT INTO shop.parts VALUES ({id}, '2024-08-01', 'east {number}', 'new') ON CONFLICT DO NOTHING;\n"
                )
            }
            5 => format!(
                "INSERT INTO shop.parts SELECT g, '2024-{month:02}-01', '{region}', 'bulk' FROM generate_series(100, {}) g ON CONFLICT DO NOTHING;\n",
                100 + LARGE_ROWS
            ),
            6 => format!("DELETE FROM shop.parts WHERE id >= 100 AND region = '{region}' AND day < '2024-{month:02}-15';\n"),
            _ => format!(
                "INSERT INTO shop.parts VALUES ({id}, '2024-{month:02}-01', '{region}', {}) ON CONFLICT DO NOTHING;\n",
                values::text_of_any_size(&mut self.random)
            ),
        }
    }

    /// The columns that the server computes are not sent.
    fn computed(&mut self) -> String {
        let (id, word) = (self.id(), values::word(&mut self.random));
        match self.random.below(4) {
            0 => format!("DELETE FROM shop.computed WHERE id = {id};\n"),
            1 => format!(
                "UPDATE shop.computed SET a = a + 1, b = {word} WHERE id BETWEEN {id} AND {id} + 3;\n"
            ),
            2 => format!("UPDATE shop.computed SET id = {} WHERE id = {id};\n", self.id()),
            _ => format!(
                "INSERT INTO shop.computed (id, a, b) VALUES ({id}, {id}, {word}) ON CONFLICT DO NOTHING;\n"
            ),
        }
    }

    /// A key of values that are equal in more than one spelling.
    fn keyed(&mut self) -> String {
        let random = &mut self.random;
        let amount = *random.pick(&[
            "1",
            "1.0",
            "1.00",
            "-0.5",
            "0",
            "'NaN'",
            "1e20",
            "12345678901234567890.123456789",
        ]);
        let name = *random.pick(&["'Name'", "'name'", "''", "'ÉTÉ'", "'été'"]);
        let at = *random.pick(&[
            "'infinity'",
            "'-infinity'",
            "'2024-01-01 00:00Z'",
            "'0044-03-15 BC'",
            "'294276-12-31 23:59:59Z'",
        ]);
        let ratio = *random.pick(&["0", "'-0'", "'NaN'", "'Infinity'", "0.1", "5e-324"]);
        let code = *random.pick(&["''", "'a'", "'ab  '"]);
        let bytes = *random.pick(&["''", "'\\x00'", "'\\xff00'"]);
        let other = *random.pick(&[
            "amount = 1.000",
            "amount = 'NaN'",
            "name = 'NAME'",
            "at = '2024-06-01Z'",
            "ratio = '-0'",
            "code = 'z'",
            "bytes = '\\x01'",
        ]);
        let matching = format!("amount = {amount} AND name = {name}");
        match random.below(6) {
            0 => format!("DELETE FROM shop.keyed WHERE {matching};\n"),
            1 => format!("UPDATE shop.keyed SET {other} WHERE ctid = (SELECT ctid FROM shop.keyed WHERE {matching} LIMIT 1);\n"),
            2 => format!("UPDATE shop.keyed SET n = n + 1 WHERE at = {at};\n"),
            _ => format!(
                "INSERT INTO shop.keyed VALUES ({amount}, {name}, {at}, {ratio}, {code}, {bytes}, 0) ON CONFLICT DO NOTHING;\n"
            ),
        }
    }

    fn truncation(&mut self) -> String {
        match self.random.below(5) {
            0 => "TRUNCATE shop.loose, shop.keyed;\n",
            1 => "TRUNCATE shop.parts;\n",
            2 => "TRUNCATE shop.indexed RESTART IDENTITY CASCADE;\n",
            3 => "TRUNCATE shop.widening;\n",
            _ => "TRUNCATE shop.computed, shop.reshaped;\n",
        }
        .into()
    }

    /// Only the columns that stay.
    fn reshaped(&mut self) -> String {
        let (id, word) = (self.id(), values::word(&mut self.random));
        match self.random.below(4) {
            0 => format!("DELETE FROM shop.reshaped WHERE id = {id};\n"),
            1 => format!("UPDATE shop.reshaped SET note = {word} WHERE id BETWEEN {id} AND {id} + 4;\n"),
            _ => format!("INSERT INTO shop.reshaped (id, note) VALUES ({id}, {word}) ON CONFLICT (id) DO UPDATE SET note = EXCLUDED.note;\n"),
        }
    }
}

/// The writer of changes that no event tells: rewritten values, names that go to other columns, another key.
pub(super) struct Reshaping {
    random: Random,
}

impl Reshaping {
    pub(super) fn new(random: Random) -> Self {
        Self { random }
    }

    pub(super) fn step(&mut self, session: &mut Session) -> Result<()> {
        let change = *self.random.pick(&[
            "ALTER TABLE shop.reshaped ALTER amount TYPE bigint USING amount * 2;",
            "ALTER TABLE shop.reshaped ALTER amount TYPE int USING (amount % 1000)::int;",
            "ALTER TABLE shop.reshaped ALTER amount TYPE text USING 'n' || amount;",
            "ALTER TABLE shop.reshaped ALTER amount TYPE numeric(20, 3) USING length(amount::text) / 8.0;",
            "ALTER TABLE shop.reshaped DROP extra; ALTER TABLE shop.reshaped ADD extra text DEFAULT 'again';",
            "ALTER TABLE shop.reshaped DROP extra; ALTER TABLE shop.reshaped ADD extra text;",
            "ALTER TABLE shop.reshaped DROP extra; ALTER TABLE shop.reshaped ADD extra uuid DEFAULT gen_random_uuid();",
            "ALTER TABLE shop.reshaped RENAME extra TO aside; ALTER TABLE shop.reshaped RENAME second TO extra; ALTER TABLE shop.reshaped RENAME aside TO second;",
            "ALTER TABLE shop.reshaped DROP CONSTRAINT reshaped_pkey, ADD CONSTRAINT reshaped_pkey PRIMARY KEY (id, tenant);",
            "ALTER TABLE shop.reshaped DROP CONSTRAINT reshaped_pkey, ADD CONSTRAINT reshaped_pkey PRIMARY KEY (id);",
            "ALTER TABLE shop.reshaped ALTER note SET DEFAULT 'by default', ALTER tenant SET DEFAULT 3;",
            "ALTER TABLE shop.reshaped SET (fillfactor = 70);",
            "VACUUM FULL shop.reshaped;",
            "ALTER TABLE shop.kept REPLICA IDENTITY NOTHING;",
            "ALTER TABLE shop.kept REPLICA IDENTITY FULL;",
            "ALTER TABLE shop.everything REPLICA IDENTITY FULL;",
            "ALTER TABLE shop.everything REPLICA IDENTITY DEFAULT;",
            "ALTER TYPE public.mood ADD VALUE IF NOT EXISTS 'new, \"odd\"';",
        ]);
        let in_one = !change.starts_with("VACUUM") && self.random.chance(50);
        if in_one {
            session.run(&format!(
                "BEGIN;\nUPDATE shop.reshaped SET note = 'before' WHERE id < 6;\n{change}\nUPDATE shop.reshaped SET note = 'behind' WHERE id < 3;\nCOMMIT;\nROLLBACK;"
            ))?;
        } else {
            session.run(change)?;
        }
        let id = self.random.between(1, KEYS_MAX);
        session.run(&format!("UPDATE shop.reshaped SET extra = NULL WHERE id = {id};\nUPDATE shop.reshaped SET second = 'two' WHERE id = {id} + 1;")).map(drop)
    }
}
