//! `tail`: a table's changes as the log holds them, in Debezium's envelope.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use millstream_core::{log::EventLog, Lsn, Timestamp};
use millstream_log::envelope::{EnvelopeSource, Envelopes};
use serde_json::value::to_raw_value;

use super::{desk::Desk, open};
use crate::{
    error::ProgramError,
    failure::{Doing, Failure},
    instance::{Cancellation, Emit, Event},
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
            for event in envelopes.events(&part.header, change, now()) {
                let is_wanted = event.table.is_some_and(|table| table.name.to_string() == wanted.table);
                if is_wanted && left > 0 {
                    left -= 1;
                    let line = to_raw_value(&event.envelope)
                        .map_err(|error| ProgramError::InstanceLost { detail: error.to_string() })?;
                    emit.emit(Event::Line(line))?;
                }
            }
        }
    }
    Ok(Event::Done { exit: 0, value: None })
}

/// When an event is printed, which is all that our own clock says.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
