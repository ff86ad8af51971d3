//! Column changes of a table that others write to at the same time.

use super::random::Random;
use super::session::Session;
use super::values;
use crate::Result;

/// Columns that come and go, beside those that the other writers use.
const OPTIONAL_MAX: usize = 4;

/// The widths that `width` goes through before it is plain text.
const WIDTHS: &[&str] = &["varchar(20)", "varchar(60)", "text"];

/// The one writer of DDL. Every change of its own keeps the values that are there, so that history has one meaning; a change
/// that rewrites them has a scenario to itself.
pub(super) struct ColumnChanges {
    random: Random,
    /// Numbers the columns, so that no name comes twice.
    made: u64,
    widened: usize,
}

impl ColumnChanges {
    pub(super) fn new(random: Random) -> Self {
        Self { random, made: 0, widened: 0 }
    }

    /// One transaction with a change of columns, rows before it and behind it, or neither.
    pub(super) fn step(&mut self, session: &mut Session) -> Result<()> {
        // Asked for each time: a change that was refused must not be remembered as made.
        let optional = session.run(
            "SELECT attname FROM pg_attribute WHERE attrelid = 'shop.evolving'::regclass AND attname ~ '^extra' AND NOT attisdropped ORDER BY 1;",
        )?;
        let change = self.change(&optional);
        let before = if self.random.chance(60) { self.row() } else { String::new() };
        let after = if self.random.chance(60) { self.row() } else { String::new() };
        let script = match self.random.below(6) {
            0 => format!(
                "BEGIN;\n{before}SAVEPOINT s;\n{change}{after}ROLLBACK TO s;\n{after}COMMIT;\nROLLBACK;"
            ),
            1 => change,
            _ => format!("BEGIN;\n{before}{change}{after}COMMIT;"),
        };
        session.run(&script)?;
        // And rows that use the optional columns as they now are.
        let optional = session.run(
            "SELECT attname FROM pg_attribute WHERE attrelid = 'shop.evolving'::regclass AND attname ~ '^extra' AND NOT attisdropped ORDER BY 1;",
        )?;
        for column in optional {
            if self.random.chance(50) {
                let (first, last) = self.range();
                let value = self.random.below(100);
                session.run(&format!(
                    "UPDATE shop.evolving SET {column} = '{value}' WHERE id BETWEEN {first} AND {last};"
                ))?;
            }
        }
        Ok(())
    }

    fn change(&mut self, optional: &[String]) -> String {
        let add = optional.is_empty() || (optional.len() < OPTIONAL_MAX && self.random.chance(50));
        if add {
            self.made += 1;
            let definition = *self.random.pick(&[
                "int",
                "text",
                "int DEFAULT 7",
                "text DEFAULT 'given, by \"default\"'",
                "varchar(30) NOT NULL DEFAULT ''",
                "int NOT NULL DEFAULT -1",
                "numeric(10, 2) DEFAULT 1.50",
            ]);
            return format!("ALTER TABLE shop.evolving ADD extra_{} {definition};\n", self.made);
        }
        let column = self.random.pick(optional).clone();
        match self.random.below(8) {
            0..=2 => format!("ALTER TABLE shop.evolving DROP {column};\n"),
            3 | 4 => {
                self.made += 1;
                format!("ALTER TABLE shop.evolving RENAME {column} TO extra_{};\n", self.made)
            }
            5 if self.widened < WIDTHS.len() => {
                self.widened += 1;
                format!("ALTER TABLE shop.evolving ALTER width TYPE {};\n", WIDTHS[self.widened - 1])
            }
            // The table is rewritten, its values stay; a second time changes nothing at all.
            6 => "ALTER TABLE shop.evolving ALTER tally TYPE bigint;\n".into(),
            _ => "ALTER TABLE shop.evolving ALTER note SET DEFAULT 'by default';\n".into(),
        }
    }

    fn row(&mut self) -> String {
        let (first, last) = self.range();
        let note = values::word(&mut self.random);
        let id = self.random.between(1, 80);
        match self.random.below(3) {
            0 => format!("UPDATE shop.evolving SET tally = tally + 1 WHERE id BETWEEN {first} AND {last};\n"),
            1 => format!("DELETE FROM shop.evolving WHERE id = {id};\n"),
            _ => format!("INSERT INTO shop.evolving (id, note) VALUES ({id}, {note}) ON CONFLICT (id) DO UPDATE SET note = EXCLUDED.note;\n"),
        }
    }

    fn range(&mut self) -> (i64, i64) {
        let first = self.random.between(1, 80);
        (first, first + self.random.between(0, 4))
    }
}
