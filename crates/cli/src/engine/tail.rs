//! `tail`: a table's changes as the log holds them: in Debezium's envelope, or a line each for a person.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use millstream_core::{
    log::EventLog, Change, ChangeKind, Lsn, OldTuple, TableSchema, Timestamp, TransactionHeader, Tuple, Value,
};
use millstream_log::envelope::{EnvelopeSource, Envelopes};
use serde_json::value::to_raw_value;

use super::{desk::Desk, open};
use crate::{
    error::ProgramError,
    failure::{Doing, Failure},
    instance::{Cancellation, Emit, Event, TailLine},
};

/// How long a following reader waits for more before it looks whether it is still wanted.
const FOLLOW_WAIT: Duration = Duration::from_millis(200);

/// What to show.
pub(super) struct Wanted<'a> {
    /// `schema.table` at the source.
    pub(super) table: &'a str,
    /// From the transaction with this commit LSN on; `None`: the oldest held.
    pub(super) from: Option<&'a str>,
    /// At most so many events.
    pub(super) limit: Option<u64>,
    /// Wait for more.
    pub(super) follow: bool,
    /// Values as PostgreSQL prints them.
    pub(super) text: bool,
}

/// Hands on the events.
pub(super) fn run(
    desk: &Desk,
    wanted: &Wanted<'_>,
    emit: &mut dyn Emit,
    cancellation: &Cancellation,
) -> Result<Event, Failure> {
    let log = desk.log.get().ok_or(ProgramError::NoLog)?;
    if desk.warehouse.get().is_some() {
        // Whether there is such a table; which events are its is said by its name in them.
        desk.named_tables(&[wanted.table.to_owned()])?;
    }
    let from = match wanted.from {
        Some(text) => text.parse::<Lsn>().map_err(|_| ProgramError::From { text: text.to_owned() })?,
        None => log.stats().first_position.unwrap_or(Lsn(1)),
    };
    let database = open::source_config(&desk.project)?.connection.database;
    let mut envelopes = Envelopes::new(EnvelopeSource { name: desk.project.name.clone(), database });
    let mut reader = log.reader(Lsn(from.0.saturating_sub(1))).doing("reading the log")?;
    let mut left = wanted.limit.unwrap_or(u64::MAX);
    while left > 0 {
        cancellation.check()?;
        let wait = if wanted.follow { FOLLOW_WAIT } else { Duration::ZERO };
        let Some(part) = reader.next(wait).doing("reading the log")? else {
            if wanted.follow {
                continue;
            }
            break;
        };
        for change in &part.changes {
            if wanted.text {
                if let Some(line) = line(&part.header, change, wanted.table).filter(|_| left > 0) {
                    left -= 1;
                    emit_line(emit, &line)?;
                }
                continue;
            }
            for event in envelopes.events(&part.header, change, now()) {
                let is_wanted = event.table.is_some_and(|table| table.name.to_string() == wanted.table);
                if is_wanted && left > 0 {
                    left -= 1;
                    emit_line(emit, &event.envelope)?;
                }
            }
        }
    }
    Ok(Event::Done { exit: 0, value: None })
}

fn emit_line(emit: &mut dyn Emit, line: &impl serde::Serialize) -> Result<(), Failure> {
    let line =
        to_raw_value(line).map_err(|error| ProgramError::InstanceLost { detail: error.to_string() })?;
    emit.emit(Event::Line(line))
}

/// A change for a person: where, when, what, and the row as PostgreSQL prints it. `None`: it is no row of the table's.
fn line(header: &TransactionHeader, change: &Change, table: &str) -> Option<TailLine> {
    let of = |schema: &TableSchema| schema.name.to_string() == table;
    let (what, row) = match &change.kind {
        ChangeKind::Insert { table, new } if of(table) => ("insert", describe(table, new, false)),
        ChangeKind::Update { table, old, new } if of(table) => {
            let new_row = describe(table, new, false);
            // Only where the key changed or the replica identity is full.
            let row = match old {
                Some(OldTuple::Key(old)) => format!("{} -> {new_row}", describe(table, old, true)),
                Some(OldTuple::Full(_)) | None => new_row,
            };
            ("update", row)
        }
        ChangeKind::Delete { table, old } if of(table) => match old {
            OldTuple::Key(old) => ("delete", describe(table, old, true)),
            OldTuple::Full(old) => ("delete", describe(table, old, false)),
        },
        ChangeKind::Truncate { tables, .. } if tables.iter().any(|table| of(table)) => {
            ("truncate", String::new())
        }
        _ => return None,
    };
    Some(TailLine { lsn: change.lsn, ts_us: header.commit_time.0, what: what.into(), row })
}

/// A row's columns, or those of its key.
fn describe(table: &TableSchema, row: &Tuple, only_key: bool) -> String {
    let in_key = |index: &usize| {
        // Under an index or no key at all, what was sent is what is not NULL.
        table.key.as_ref().is_none_or(|key| key.contains(index))
    };
    let values = table.columns.iter().zip(row.values()).enumerate();
    let shown = values.filter(|(index, _)| !only_key || in_key(index)).map(|(_, (column, value))| {
        let value = match value {
            Value::Null => "NULL".to_owned(),
            Value::Unchanged => "(unchanged)".to_owned(),
            Value::Text(text) => quoted(&String::from_utf8_lossy(text)),
            Value::Binary(_) => "(binary)".to_owned(),
        };
        format!("{}={value}", column.name)
    });
    shown.collect::<Vec<_>>().join(" ")
}

/// A value, in quotes where it would run into what is around it or be taken for something else.
fn quoted(text: &str) -> String {
    let is_plain = !text.is_empty()
        && text != "NULL"
        && text.chars().all(|c| !c.is_whitespace() && !c.is_control() && !matches!(c, '\'' | '='));
    if is_plain {
        return text.to_owned();
    }
    let shown: String = text
        .chars()
        .flat_map(|c| match c {
            '\'' => vec!['\'', '\''],
            c if c.is_control() => c.escape_default().collect(),
            c => vec![c],
        })
        .collect();
    format!("'{shown}'")
}

/// When an event is printed, which is all that our own clock says.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_told_apart_from_what_is_around_them() {
        for (text, shown) in [
            ("1.50", "1.50"),
            ("2026-11-21", "2026-11-21"),
            ("", "''"),
            ("NULL", "'NULL'"),
            ("two words", "'two words'"),
            ("it's", "'it''s'"),
            ("a=1", "'a=1'"),
            ("line\nend", "'line\\nend'"),
        ] {
            assert_eq!(quoted(text), shown);
        }
    }
}
