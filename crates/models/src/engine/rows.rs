//! A seed's rows on their way into PostgreSQL: by COPY, or by statements that hold many rows each where COPY would do something else.

use millstream_core::build::{Cell, CopySink};

use super::{compile::SharedConnection, kinds::Kind, run::warehouse_failed};
use crate::{
    context::relation::Relation,
    csv,
    engine::ddl::literal,
    error::{ModelsError, Problem, ProblemKind, Result},
};

/// What is sent at a time, in statements and by COPY: enough that what each costs doesn't show, short enough to be held twice.
const PIECE_BYTES: usize = 1 << 20;

/// A file of rows, and where they go.
pub(super) struct Rows<'r> {
    /// The file, without its mark of byte order.
    pub(super) text: &'r str,
    pub(super) delimiter: char,
    /// How each column is read.
    pub(super) kinds: &'r [Kind],
    pub(super) relation: &'r Relation,
    /// The columns' names, as they stand in a statement.
    pub(super) names: &'r str,
    /// Whether the table was made for them just now.
    pub(super) is_new: bool,
}

impl Rows<'_> {
    /// Loads them, and gives what is told of the statement that did it.
    ///
    /// Errors: the server refuses a row.
    pub(super) fn load(&self, connection: &SharedConnection) -> Result<String> {
        match self.can_be_copied(connection)? {
            true => self.copy(connection),
            false => self.insert(connection),
        }
    }

    /// Whether COPY does what inserts would. Moments with a zone take a cast, and a table that somebody else has made may have rules, which COPY passes over, and
    /// policies, with which there is none.
    fn can_be_copied(&self, connection: &SharedConnection) -> Result<bool> {
        let mut connection = connection.borrow_mut();
        if connection.copy_in().is_none() || self.has_zones()? {
            return Ok(false);
        }
        if self.is_new {
            return Ok(true);
        }
        let asked = format!(
            "select (relhasrules or relrowsecurity)::int from pg_catalog.pg_class where oid = {}::pg_catalog.regclass",
            literal(&self.relation.render())
        );
        let answer = connection.query(&asked, 1).map_err(warehouse_failed)?;
        Ok(answer.rows.first().and_then(|row| row.first()) == Some(&Cell::Int(0)))
    }

    fn has_zones(&self) -> Result<bool> {
        let mut found = false;
        if self.kinds.contains(&Kind::IsoDateTime) {
            self.each(|record| {
                found |= self.kinds.iter().zip(record).any(|(kind, value)| kind.has_zone(value));
                Ok(())
            })?;
        }
        Ok(found)
    }

    /// Shows all records but the header.
    fn each(&self, mut see: impl FnMut(&[String]) -> Result<()>) -> Result<()> {
        let (mut header, mut failed) = (true, None);
        let read = csv::records(self.text, self.delimiter, |_, record| {
            if std::mem::take(&mut header) {
                return Ok(());
            }
            see(&record).map_err(|error| {
                let told = error.to_string();
                failed = Some(error);
                told
            })
        });
        match (read, failed) {
            (_, Some(error)) => Err(error),
            (Err(message), None) => Err(Problem::new(ProblemKind::Warehouse, message).into()),
            (Ok(()), None) => Ok(()),
        }
    }

    fn copy(&self, connection: &SharedConnection) -> Result<String> {
        let sql = format!("copy {} ({}) from stdin", self.relation.render(), self.names);
        let mut connection = connection.borrow_mut();
        let Some(copies) = connection.copy_in() else { return Ok(sql) };
        // Errors of the way go through the port, which knows none of this room.
        let mut failed: Option<ModelsError> = None;
        let mut write = |sink: &mut CopySink<'_>| {
            let (mut piece, mut lost) = (Vec::new(), None);
            let mut send = |piece: &mut Vec<u8>| match sink(piece) {
                Ok(()) => {
                    piece.clear();
                    Ok(())
                }
                Err(error) => {
                    let told = warehouse_failed(&error);
                    lost = Some(error);
                    Err(told)
                }
            };
            let written = self.each(|record| {
                for (at, kind) in self.kinds.iter().enumerate() {
                    if at > 0 {
                        piece.push(b'\t');
                    }
                    // A line may end before its last columns.
                    match kind.written(record.get(at).map_or("", String::as_str)) {
                        Some(value) => escape(&value, &mut piece),
                        None => piece.extend_from_slice(b"\\N"),
                    }
                }
                piece.push(b'\n');
                match piece.len() < PIECE_BYTES {
                    true => Ok(()),
                    false => send(&mut piece),
                }
            });
            let written = written.and_then(|()| send(&mut piece));
            match (lost, written) {
                (Some(error), _) => Err(error),
                (None, Err(error)) => {
                    let told = error.to_string();
                    failed = Some(error);
                    Err(ModelsError::from(Problem::new(ProblemKind::Warehouse, told)).into())
                }
                (None, Ok(())) => Ok(()),
            }
        };
        let copied = copies.copy_in(&sql, &mut write);
        match (failed, copied) {
            (Some(error), _) => Err(error),
            (None, Err(error)) => Err(warehouse_failed(error)),
            (None, Ok(_)) => Ok(sql),
        }
    }

    /// Inserts them, and gives the beginning of the first statement.
    fn insert(&self, connection: &SharedConnection) -> Result<String> {
        let head = format!("insert into {} ({}) values", self.relation.render(), self.names);
        let (mut statement, mut first) = (String::new(), None);
        let mut send = |statement: &mut String| -> Result<()> {
            if !statement.is_empty() {
                first.get_or_insert_with(|| statement.lines().take(2).collect::<Vec<_>>().join("\n"));
                connection.borrow_mut().run(statement).map_err(warehouse_failed)?;
                statement.clear();
            }
            Ok(())
        };
        self.each(|record| {
            statement.push_str(if statement.is_empty() { &head } else { "," });
            statement.push_str("\n(");
            for (at, kind) in self.kinds.iter().enumerate() {
                if at > 0 {
                    statement.push(',');
                }
                statement.push_str(&kind.literal(record.get(at).map_or("", String::as_str)));
            }
            statement.push(')');
            match statement.len() < PIECE_BYTES {
                true => Ok(()),
                false => send(&mut statement),
            }
        })?;
        send(&mut statement)?;
        Ok(first.unwrap_or_default())
    }
}

/// A value in COPY's text format.
fn escape(value: &str, out: &mut Vec<u8>) {
    for byte in value.bytes() {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            byte => out.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_something_to_copy_is_escaped() {
        let mut out = Vec::new();
        escape("a\\b\tc\nd\re\\.", &mut out);
        assert_eq!(out, br"a\\b\tc\nd\re\\.");
    }
}
