//! What the writers do: transactions as SQL text.
//!
//! Keys come from small sets, so that writers meet on the same rows; every statement is valid whatever the others have done, at worst
//! it touches nothing or is refused for a reason of [`EXPECTED_REFUSALS`](super::EXPECTED_REFUSALS).

use super::random::Random;
use super::values;

/// Rows that a large transaction writes: with the record's own beside them several times `logical_decoding_work_mem`'s least, 64 kB.
const LARGE_ROWS_MIN: i64 = 100;
const LARGE_ROWS_MAX: i64 = 350;

/// Statements of an ordinary transaction, at most.
const STATEMENTS_MAX: i64 = 6;

/// One writer's stream of transactions.
pub(super) struct Writer {
    random: Random,
    number: u64,
    prepared: u64,
}

impl Writer {
    pub(super) fn new(random: Random, number: u64) -> Self {
        Self { random, number, prepared: 0 }
    }

    /// The next transaction. It has ended when the script has, whatever the server refused.
    pub(super) fn transaction(&mut self) -> String {
        let body = match self.random.weighted(&[300, 40, 40, 20, 3]) {
            0 => self.statements(STATEMENTS_MAX),
            // Without BEGIN every statement commits by itself.
            1 => return self.statements(STATEMENTS_MAX),
            2 => self.with_savepoints(),
            3 => self.large(),
            _ => self.truncation(),
        };
        match self.random.weighted(&[84, 5, 3]) {
            1 => format!("BEGIN;\n{body}ROLLBACK;"),
            2 => {
                self.prepared += 1;
                let name = format!("writer {} number {}", self.number, self.prepared);
                let end = if self.random.chance(70) { "COMMIT" } else { "ROLLBACK" };
                format!("BEGIN;\n{body}PREPARE TRANSACTION '{name}';\n{end} PREPARED '{name}';")
            }
            _ => format!("BEGIN;\n{body}COMMIT;"),
        }
    }

    fn statements(&mut self, max: i64) -> String {
        (0..self.random.between(1, max)).map(|_| self.statement()).collect()
    }

    fn statement(&mut self) -> String {
        match self.random.weighted(&[22, 18, 8, 8, 8, 12, 6, 8, 8, 8, 8]) {
            0 => self.transfer(),
            1 => self.document(),
            2 => self.membership(),
            3 => self.label(),
            4 => self.device(),
            5 => self.event(),
            6 => self.seat(),
            7 => self.profile(),
            8 => self.reading(),
            9 => self.oddity(),
            _ => self.evolving(),
        }
    }

    /// Savepoints kept, rolled back and nested, some around enough rows to be streamed.
    fn with_savepoints(&mut self) -> String {
        let mut text = self.statements(2);
        for depth in 0..self.random.between(1, 4) {
            let inner = if self.random.chance(15) { self.large() } else { self.statements(3) };
            let end = if self.random.chance(60) { "ROLLBACK TO" } else { "RELEASE" };
            if self.random.chance(30) {
                let nested = self.statements(2);
                text += &format!("SAVEPOINT s{depth};\n{nested}SAVEPOINT n;\n{inner}ROLLBACK TO n;\n{nested}{end} s{depth};\n");
            } else {
                text += &format!("SAVEPOINT s{depth};\n{inner}{end} s{depth};\n");
            }
        }
        text + &self.statements(2)
    }

    /// Enough rows that the server streams the transaction before it commits.
    fn large(&mut self) -> String {
        let rows = self.random.between(LARGE_ROWS_MIN, LARGE_ROWS_MAX);
        let word = values::word(&mut self.random);
        match self.random.below(5) {
            0 => format!(
                "INSERT INTO shop.readings SELECT g % 8, g, g / 3.0, {word} FROM generate_series(1, {rows}) g \
                 ON CONFLICT (region, id) DO UPDATE SET value = EXCLUDED.value + 1, note = EXCLUDED.note;\n"
            ),
            1 => format!(
                "INSERT INTO shop.events SELECT 'bulk ' || g % 20, g % 11, NULL, '2024-05-05Z', {word} FROM generate_series(1, {rows}) g;\n\
                 UPDATE shop.events SET value = value + 0.125 WHERE kind = 'bulk 3';\n\
                 DELETE FROM shop.events WHERE kind LIKE 'bulk%' AND value >= {};\n",
                self.random.below(3)
            ),
            2 => format!("UPDATE shop.readings SET note = {word}, value = -value WHERE id <= {rows};\n"),
            // The pair, in bulk: all accounts get the same amount.
            3 => format!(
                "WITH changed AS (UPDATE shop.accounts SET balance = balance + 2 RETURNING id)\n\
                 INSERT INTO shop.ledger (account, amount, memo) SELECT id, 1, {word} FROM changed, generate_series(1, 2);\n"
            ),
            _ => format!("UPDATE shop.documents SET revision = revision + 1 WHERE id % 5 = 0;\nUPDATE shop.documents SET title = {word} WHERE id % 10 = 0;\n"),
        }
    }

    fn truncation(&mut self) -> String {
        match self.random.below(6) {
            0 => "TRUNCATE shop.events;\n".into(),
            1 => "TRUNCATE shop.labels, shop.seats RESTART IDENTITY;\n".into(),
            2 => "TRUNCATE shop.readings;\nINSERT INTO shop.readings SELECT g % 8, g, 1, 'anew' FROM generate_series(1, 200) g;\n".into(),
            3 => "TRUNCATE shop.accounts, shop.ledger;\nINSERT INTO shop.accounts (id) SELECT generate_series(1, 60);\n".into(),
            4 => "INSERT INTO shop.oddities (id) VALUES (-1) ON CONFLICT DO NOTHING;\nTRUNCATE shop.oddities;\nINSERT INTO shop.oddities (id) VALUES (-1), (-2);\n".into(),
            _ => "DELETE FROM shop.devices;\nTRUNCATE shop.memberships;\n".into(),
        }
    }

    /// Every account's balance stays the sum of its ledger, between any two statements: one does both, or it holds both.
    fn transfer(&mut self) -> String {
        let (account, amount) = (self.random.between(1, 70), self.random.between(-500, 500));
        let memo = values::word(&mut self.random);
        match self.random.below(12) {
            0 => together(&[
                format!("DELETE FROM shop.accounts WHERE id = {account}"),
                format!("DELETE FROM shop.ledger WHERE account = {account}"),
            ]),
            1 => format!(
                "INSERT INTO shop.accounts (id, note) VALUES ({account}, {memo}) ON CONFLICT DO NOTHING;\n"
            ),
            2 => format!("UPDATE shop.accounts SET note = {memo} WHERE id = {account};\n"),
            3 => format!("UPDATE shop.ledger SET memo = {memo} WHERE account = {account};\n"),
            4 => together(&[
                format!("UPDATE shop.accounts SET balance = 0 WHERE id = {account}"),
                format!("DELETE FROM shop.ledger WHERE account = {account}"),
            ]),
            _ => {
                let other = self.random.between(1, 70);
                format!(
                    "WITH changed AS (UPDATE shop.accounts SET balance = balance + CASE WHEN id = {account} THEN {amount} ELSE -({amount}) END\n\
                     WHERE id IN ({account}, {other}) AND {account} <> {other} RETURNING id)\n\
                     INSERT INTO shop.ledger (account, amount, memo) SELECT id, CASE WHEN id = {account} THEN {amount} ELSE -({amount}) END, {memo} FROM changed;\n"
                )
            }
        }
    }

    fn document(&mut self) -> String {
        let id = self.random.between(1, 60);
        let title = values::word(&mut self.random);
        match self.random.below(9) {
            0 => {
                let (body, scan) = (values::large_text(&mut self.random), values::large_bytes(&mut self.random));
                format!(
                    "INSERT INTO shop.documents (id, title, body, scan) VALUES ({id}, {title}, {body}, {scan})\n\
                     ON CONFLICT (id) DO UPDATE SET body = EXCLUDED.body, revision = documents.revision + 1;\n"
                )
            }
            // Inserted large, then updated without its large values, all in one transaction.
            1 => {
                let body = values::large_text(&mut self.random);
                format!(
                    "DELETE FROM shop.documents WHERE id = {id};\n\
                     INSERT INTO shop.documents (id, title, body) VALUES ({id}, {title}, {body});\n\
                     UPDATE shop.documents SET revision = revision + 1 WHERE id = {id};\n\
                     UPDATE shop.documents SET revision = revision + 1, title = {title} WHERE id = {id};\n"
                )
            }
            2 => format!("DELETE FROM shop.documents WHERE id = {id};\n"),
            // The key changes and the large values stay where they are.
            3 => format!("UPDATE shop.documents SET id = {} WHERE id = {id};\n", self.random.between(1, 60)),
            4 => swap("shop.documents", "id", &id.to_string(), &self.random.between(1, 60).to_string(), "-1"),
            5 => {
                let scan = values::large_bytes(&mut self.random);
                format!("UPDATE shop.documents SET scan = {scan}, revision = revision + 1 WHERE id = {id};\n")
            }
            6 => format!("UPDATE shop.documents SET body = NULL WHERE id = {id};\n"),
            _ => format!("UPDATE shop.documents SET revision = revision + 1, title = {title} WHERE id BETWEEN {id} AND {id} + 2;\n"),
        }
    }

    fn membership(&mut self) -> String {
        let (tenant, member) = (self.random.below(6), format!("'member {}'", self.random.below(60)));
        let role = values::word(&mut self.random);
        match self.random.below(4) {
            0 => format!("DELETE FROM shop.memberships WHERE tenant = {tenant} AND member = {member};\n"),
            1 => format!(
                "UPDATE shop.memberships SET tenant = {} WHERE tenant = {tenant} AND member = {member};\n",
                self.random.below(6)
            ),
            2 => format!("UPDATE shop.memberships SET since = 'infinity' WHERE member = {member};\n"),
            _ => format!(
                "INSERT INTO shop.memberships VALUES ({tenant}, {member}, {role}, '2024-01-01')\n\
                 ON CONFLICT (tenant, member) DO UPDATE SET role = EXCLUDED.role;\n"
            ),
        }
    }

    fn label(&mut self) -> String {
        let (label, other) =
            (values::word_not_null(&mut self.random), values::word_not_null(&mut self.random));
        match self.random.below(5) {
            0 => format!("DELETE FROM shop.labels WHERE label = {label};\n"),
            1 => format!("UPDATE shop.labels SET label = {other} WHERE label = {label};\n"),
            2 => swap("shop.labels", "label", &label, &other, "'(aside)'"),
            3 => format!("UPDATE shop.labels SET hits = hits + 1 WHERE label <= {label};\n"),
            _ => {
                let essay = values::text_of_any_size(&mut self.random);
                format!(
                    "INSERT INTO shop.labels (label, essay) VALUES ({label}, {essay}) ON CONFLICT (label) DO UPDATE SET hits = labels.hits + 1;\n"
                )
            }
        }
    }

    fn device(&mut self) -> String {
        let (id, reading) = (values::uuid(&mut self.random), values::numeric(&mut self.random));
        let (tags, grid) = (values::text_array(&mut self.random), values::int_array(&mut self.random));
        match self.random.below(4) {
            0 => format!("DELETE FROM shop.devices WHERE id = {id};\n"),
            1 => format!("UPDATE shop.devices SET reading = {reading} WHERE id >= {id};\n"),
            2 => {
                format!("UPDATE shop.devices SET id = {} WHERE id = {id};\n", values::uuid(&mut self.random))
            }
            _ => format!(
                "INSERT INTO shop.devices VALUES ({id}, {reading}, {tags}, {grid})\n\
                 ON CONFLICT (id) DO UPDATE SET reading = EXCLUDED.reading, tags = EXCLUDED.tags;\n"
            ),
        }
    }

    /// Rows without a key, several of them equal; one of the equal ones is changed or deleted by where it lies.
    fn event(&mut self) -> String {
        let kind = format!("'kind {}'", self.random.below(9));
        let one = format!("ctid = (SELECT ctid FROM shop.events WHERE kind = {kind} LIMIT 1)");
        match self.random.below(6) {
            0 => format!("DELETE FROM shop.events WHERE {one};\n"),
            1 => format!("UPDATE shop.events SET flag = NOT flag WHERE {one};\n"),
            2 => format!("UPDATE shop.events SET value = value + 0.001 WHERE kind = {kind};\n"),
            3 => {
                format!("DELETE FROM shop.events WHERE kind = {kind} AND value > {};\n", self.random.below(8))
            }
            _ => {
                let blob = values::text_of_any_size(&mut self.random);
                format!(
                    "INSERT INTO shop.events SELECT {kind}, {}, true, '2024-02-02Z', {blob} FROM generate_series(1, {});\n",
                    self.random.below(4),
                    self.random.between(1, 3)
                )
            }
        }
    }

    fn seat(&mut self) -> String {
        let (code, other) =
            (format!("'seat {}'", self.random.below(90)), format!("'seat {}'", self.random.below(90)));
        let holder = values::word(&mut self.random);
        match self.random.below(5) {
            0 => format!("DELETE FROM shop.seats WHERE code = {code};\n"),
            1 => format!("UPDATE shop.seats SET code = {other} WHERE code = {code};\n"),
            2 => swap("shop.seats", "code", &code, &other, "'(aside)'"),
            // The primary key is not the identity here: it changes without the old row being told.
            3 => format!("UPDATE shop.seats SET id = id + 100000 WHERE code = {code};\n"),
            _ => format!(
                "INSERT INTO shop.seats (code, holder, price) VALUES ({code}, {holder}, {})\n\
                 ON CONFLICT (code) DO UPDATE SET holder = EXCLUDED.holder, price = 'NaN';\n",
                self.random.pick(&["0.1", "'Infinity'", "1e300", "NULL"])
            ),
        }
    }

    fn profile(&mut self) -> String {
        let (id, name) = (self.random.between(1, 50), values::word(&mut self.random));
        match self.random.below(5) {
            0 => format!("DELETE FROM shop.profiles WHERE id = {id};\n"),
            1 => format!("UPDATE shop.profiles SET id = {} WHERE id = {id};\n", self.random.between(1, 50)),
            2 => format!("UPDATE shop.profiles SET name = {name}, settings = '{{\"a\": [1.50, null]}}' WHERE id BETWEEN {id} AND {id} + 3;\n"),
            3 => swap("shop.profiles", "id", &id.to_string(), &self.random.between(1, 50).to_string(), "-1"),
            _ => {
                let photo = values::text_of_any_size(&mut self.random);
                format!(
                    "INSERT INTO shop.profiles VALUES ({id}, {name}, '{{}}', {photo}) ON CONFLICT (id) DO UPDATE SET photo = EXCLUDED.photo;\n"
                )
            }
        }
    }

    fn reading(&mut self) -> String {
        let (region, id) = (self.random.below(8), self.random.between(1, 900));
        match self.random.below(4) {
            0 => format!("DELETE FROM shop.readings WHERE region = {region} AND id BETWEEN {id} AND {id} + 9;\n"),
            // Some rows move to the other partition.
            1 => format!("UPDATE shop.readings SET region = {} WHERE region = {region} AND id BETWEEN {id} AND {id} + 9;\n", self.random.below(8)),
            2 => format!("UPDATE shop.readings SET value = 1 - value WHERE region = {region} AND id BETWEEN {id} AND {id} + 20;\n"),
            _ => format!("INSERT INTO shop.readings VALUES ({region}, {id}, 0.1, NULL) ON CONFLICT DO NOTHING;\n"),
        }
    }

    fn oddity(&mut self) -> String {
        let id = self.random.between(1, 50);
        let values = values::oddities(&mut self.random);
        if self.random.chance(10) {
            return format!("DELETE FROM shop.oddities WHERE id = {id};\n");
        }
        if self.random.chance(40) {
            let sets: Vec<_> = values.iter().map(|(column, value)| format!("{column} = {value}")).collect();
            return format!("UPDATE shop.oddities SET {} WHERE id = {id};\n", sets.join(", "));
        }
        let (columns, literals): (Vec<_>, Vec<_>) = values.into_iter().unzip();
        format!(
            "INSERT INTO shop.oddities (id, {}) VALUES ({id}, {}) ON CONFLICT (id) DO UPDATE SET {column} = EXCLUDED.{column};\n",
            columns.join(", "),
            literals.join(", "),
            column = columns[0]
        )
    }

    /// Only columns that never go away: what others do to the rest must not be refused here.
    fn evolving(&mut self) -> String {
        let (id, note) = (self.random.between(1, 80), values::word(&mut self.random));
        match self.random.below(5) {
            0 => format!("DELETE FROM shop.evolving WHERE id = {id};\n"),
            1 => {
                let body = values::large_text(&mut self.random);
                format!("UPDATE shop.evolving SET body = {body}, width = 'short' WHERE id = {id};\n")
            }
            2 => format!("UPDATE shop.evolving SET id = {} WHERE id = {id};\n", self.random.between(1, 80)),
            3 => format!("UPDATE shop.evolving SET tally = tally + 1 WHERE id BETWEEN {id} AND {id} + 5;\n"),
            _ => format!("INSERT INTO shop.evolving (id, note) VALUES ({id}, {note}) ON CONFLICT (id) DO UPDATE SET note = EXCLUDED.note;\n"),
        }
    }
}

/// Statements that commit together even outside of a transaction. Each still sees what was committed before it began, so the
/// second one sees what the first one's row lock waited for.
fn together(statements: &[String]) -> String {
    format!("DO $$ BEGIN {}; END $$;\n", statements.join("; "))
}

/// Two rows exchange their keys in one transaction, by way of a third key.
fn swap(table: &str, key: &str, one: &str, other: &str, aside: &str) -> String {
    format!(
        "UPDATE {table} SET {key} = {aside} WHERE {key} = {one};\nUPDATE {table} SET {key} = {one} WHERE {key} = {other};\n\
         UPDATE {table} SET {key} = {other} WHERE {key} = {aside};\n"
    )
}
