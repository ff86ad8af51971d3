//! What verbs ask and what they are answered. The same requests are answered in process where no instance runs.

use millstream_core::{Lsn, Timestamp};
use millstream_store::ModelRun;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{failure::Failure, output::Column};

/// What a verb asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case")]
pub enum Request {
    /// The state of everything.
    Status,
    /// What `up` would create or change.
    Plan,
    /// A query.
    Sql {
        /// Its text.
        sql: String,
        /// An RFC 3339 time with zone or an LSN.
        as_of: Option<String>,
    },
    /// Events of a table.
    Tail {
        /// `schema.table` at the source.
        table: String,
        /// The LSN of a commit to begin behind; `None`: the oldest held.
        from: Option<String>,
        /// At most so many events.
        limit: Option<u64>,
        /// Wait for more.
        follow: bool,
        /// Values as PostgreSQL prints them, for a person, instead of Debezium's envelope.
        #[serde(default)]
        text: bool,
    },
    /// Compare tables with the source; none: all.
    Verify {
        /// `schema.table` at the source.
        tables: Vec<String>,
    },
    /// Read tables again.
    Resync {
        /// `schema.table` at the source.
        tables: Vec<String>,
    },
    /// What is in quarantine; no tables: of all.
    QuarantineList {
        /// `schema.table` at the source.
        tables: Vec<String>,
    },
    /// One change in quarantine.
    QuarantineShow {
        /// `schema.table` at the source.
        table: String,
        /// Commit LSN and ordinal.
        position: String,
    },
    /// Apply what is in quarantine; no tables: of all.
    QuarantineReplay {
        /// `schema.table` at the source.
        tables: Vec<String>,
    },
    /// Give up what is in quarantine, and read the tables again.
    QuarantineDrop {
        /// `schema.table` at the source.
        tables: Vec<String>,
    },
    /// Make an API key.
    KeysCreate {
        /// The role of whoever will have it.
        role: String,
        /// What a person calls it.
        name: Option<String>,
        /// From when on it is good for nothing.
        expires: Option<Timestamp>,
    },
    /// The API keys.
    KeysList,
    /// Make an API key good for nothing.
    KeysRevoke {
        /// Its id.
        id: String,
    },
    /// Where models are built, and what they can read there.
    Home,
    /// Build models: from here on the connection carries the statements of one connection to the warehouse.
    Build,
    /// Write down what became of models.
    Record {
        /// A run, or a part of one.
        run: ModelRun,
    },
    /// Wait until everything committed at the source by now is in the warehouse.
    WaitCaughtUp,
}

/// A change as `tail` shows it to a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TailLine {
    /// The event's own LSN.
    pub lsn: Lsn,
    /// When its transaction committed, in microseconds since 1970.
    pub ts_us: i64,
    /// `insert`, `update`, `delete` or `truncate`.
    pub what: String,
    /// The row, values as PostgreSQL prints them.
    pub row: String,
}

/// A piece of an answer. Externally tagged: a tag inside would have to be read ahead of the values, which loses their digits.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The columns of the rows to come.
    Columns(Vec<Column>),
    /// Rows: JSON values, one per column.
    Rows(Vec<Vec<Box<RawValue>>>),
    /// One JSON document of a stream of them.
    Line(Box<RawValue>),
    /// Something to tell the person.
    Note(String),
    /// Something that the person should see even when quiet.
    Warning(String),
    /// How far something has come.
    Progress {
        /// What.
        label: String,
        /// Rows done.
        done: u64,
        /// Of how many; 0 if unknown.
        total: u64,
    },
    /// The end: it ran.
    Done {
        /// The exit status.
        exit: u8,
        /// The result, if it is one document.
        value: Option<Box<RawValue>>,
    },
    /// The end: it failed.
    Failed(Failure),
}

/// Takes the events of an answer.
pub trait Emit {
    /// Takes one. An error means that nobody listens any more.
    fn emit(&mut self, event: Event) -> Result<(), Failure>;

    /// A message to the person.
    fn note(&mut self, text: impl Into<String>) -> Result<(), Failure>
    where
        Self: Sized,
    {
        self.emit(Event::Note(text.into()))
    }
}

impl<F: FnMut(Event) -> Result<(), Failure>> Emit for F {
    fn emit(&mut self, event: Event) -> Result<(), Failure> {
        self(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_every_digit_on_the_way() {
        let value = RawValue::from_string("123456789012345678901234567890.10".into()).unwrap();
        let line = serde_json::to_string(&Event::Rows(vec![vec![value]])).unwrap();
        let Event::Rows(rows) = serde_json::from_str(&line).unwrap() else { panic!("{line}") };
        assert_eq!(rows[0][0].get(), "123456789012345678901234567890.10");
    }
}
