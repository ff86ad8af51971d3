//! `tail`: a table's changes as the log holds them: in Debezium's envelope, or a line each for a person.

use std::{
    collections::VecDeque,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use millstream_api::host::Changes;
use millstream_core::{
    log::{EventLog, LogReader},
    Change, ChangeKind, Lsn, OldTuple, TableSchema, Timestamp, TransactionHeader, TransactionPart, Tuple,
    Value,
};
use millstream_log::envelope::{EnvelopeSource, Envelopes};
use serde_json::{value::to_raw_value, Value as Json};

use super::{desk::Desk, open};
use crate::{
    config::Selection,
    error::ProgramError,
    failure::{Doing, Failure, Reported},
    instance::{Cancellation, Emit, Event, TailLine},
};

/// How long a following reader waits for more before it looks whether it is still wanted.
const FOLLOW_WAIT: Duration = Duration::from_millis(200);

/// A search of the log for a page ends after so long with what was found.
const SCAN_WAIT_MAX: Duration = Duration::from_secs(2);

/// How far back the newest changes are looked for, in bytes of the source's WAL: a page's worth, a minute's, a large transaction.
const NEWEST_BACK: [u64; 3] = [1 << 20, 16 << 20, 256 << 20];

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

/// A table's changes in the log, or all tables'.
pub(super) struct Tail {
    reader: Box<dyn LogReader>,
    envelopes: Envelopes,
    /// `schema.table` at the source; `None`: all tables of the project.
    table: Option<String>,
    /// A publication can hold others.
    selection: Selection,
}

impl Tail {
    /// From the transaction with this commit LSN on.
    fn open(desk: &Desk, table: Option<&str>, from: Lsn) -> Result<Self, Failure> {
        let log = desk.log.get().ok_or(ProgramError::NoLog)?;
        if let (Some(table), Some(_)) = (table, desk.warehouse.get()) {
            // Whether there is such a table; which events are its is said by its name in them.
            desk.named_tables(&[table.to_owned()])?;
        }
        let database = open::source_config(&desk.project)?.connection.database;
        let source = EnvelopeSource { name: desk.project.name.clone(), database };
        let reader = log.reader(Lsn(from.0.saturating_sub(1))).doing("reading the log")?;
        Ok(Tail {
            reader,
            envelopes: Envelopes::new(source),
            table: table.map(str::to_owned),
            selection: desk.project.source.tables.clone(),
        })
    }

    fn part(&mut self, wait: Duration) -> Result<Option<TransactionPart>, Failure> {
        self.reader.next(wait).doing("reading the log")
    }

    /// What is wanted of a part, in Debezium's envelope. All parts must be given, as events are counted.
    fn events(&mut self, part: &TransactionPart) -> Vec<Json> {
        let mut found = Vec::new();
        for change in &part.changes {
            for event in self.envelopes.events(&part.header, change, now()) {
                let is_wanted = match (&self.table, &event.table) {
                    (Some(wanted), Some(table)) => table.name.to_string() == *wanted,
                    (None, Some(table)) => self.selection.selects(&table.name),
                    (_, None) => false,
                };
                if is_wanted {
                    found.push(event.envelope);
                }
            }
        }
        found
    }
}

impl Changes for Tail {
    fn next(&mut self, wait: Duration) -> millstream_core::log::Result<Vec<String>> {
        let until = Instant::now() + wait.max(SCAN_WAIT_MAX);
        loop {
            let Some(part) = self.part(wait).map_err(Reported)? else { return Ok(Vec::new()) };
            let events = self.events(&part);
            if !events.is_empty() || Instant::now() > until {
                return Ok(events.iter().map(Json::to_string).collect());
            }
        }
    }
}

/// Changes from a position on, or those to come.
pub(super) fn changes(desk: &Desk, table: Option<&str>, from: Option<Lsn>) -> Result<Tail, Failure> {
    let newest = || desk.log.get().and_then(|log| log.stats().last_position);
    let from = from.unwrap_or_else(|| newest().map_or(Lsn(1), |last| Lsn(last.0.saturating_add(1))));
    Tail::open(desk, table, from)
}

/// The newest changes, the oldest of them first. The log is read forwards only, so it is begun ever further back until there are enough.
pub(super) fn newest(desk: &Desk, table: Option<&str>, count: usize) -> Result<Vec<String>, Failure> {
    let stats = desk.log.get().ok_or(ProgramError::NoLog)?.stats();
    let (Some(first), Some(last)) = (stats.first_position, stats.last_position) else {
        // Nothing has changed since the first copy; a table that is not there is an error all the same.
        changes(desk, table, None)?;
        return Ok(Vec::new());
    };
    let until = Instant::now() + SCAN_WAIT_MAX;
    let mut kept = VecDeque::new();
    for back in NEWEST_BACK {
        let from = Lsn(last.0.saturating_sub(back)).max(first);
        let mut tail = Tail::open(desk, table, from)?;
        kept.clear();
        let mut late = false;
        while let Some(part) = tail.part(Duration::ZERO)? {
            kept.extend(tail.events(&part));
            kept.drain(..kept.len().saturating_sub(count));
            late = Instant::now() > until;
            if late || part.header.commit_lsn > last {
                break;
            }
        }
        if late || from == first || kept.len() >= count {
            break;
        }
    }
    Ok(kept.iter().map(Json::to_string).collect())
}

/// Hands on the events.
pub(super) fn run(
    desk: &Desk,
    wanted: &Wanted<'_>,
    emit: &mut dyn Emit,
    cancellation: &Cancellation,
) -> Result<Event, Failure> {
    let log = desk.log.get().ok_or(ProgramError::NoLog)?;
    let from = match wanted.from {
        Some(text) => text.parse::<Lsn>().map_err(|_| ProgramError::From { text: text.to_owned() })?,
        None => log.stats().first_position.unwrap_or(Lsn(1)),
    };
    let mut tail = Tail::open(desk, Some(wanted.table), from)?;
    let mut left = wanted.limit.unwrap_or(u64::MAX);
    while left > 0 {
        cancellation.check()?;
        let wait = if wanted.follow { FOLLOW_WAIT } else { Duration::ZERO };
        let Some(part) = tail.part(wait)? else {
            if wanted.follow {
                continue;
            }
            break;
        };
        if wanted.text {
            let lines = part.changes.iter().filter_map(|change| line(&part.header, change, wanted.table));
            for line in lines {
                if left > 0 {
                    left -= 1;
                    emit_line(emit, &line)?;
                }
            }
            continue;
        }
        for event in tail.events(&part) {
            if left > 0 {
                left -= 1;
                emit_line(emit, &event)?;
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

/// The time by our own clock: when an event is printed, or a picture taken.
pub(super) fn now() -> Timestamp {
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
