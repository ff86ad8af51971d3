//! `sql`: a query of the warehouse, as it is or as it was.

use millstream_core::{
    warehouse::{AsOf, WarehouseReader},
    Lsn,
};

use crate::{
    config::units,
    error::ProgramError,
    failure::{Doing, Failure},
    instance::{Cancellation, Emit, Event},
    output::values,
};

/// Runs the query and hands on its rows.
pub(super) fn sql(
    reader: &mut dyn WarehouseReader,
    sql: &str,
    as_of: Option<&str>,
    emit: &mut dyn Emit,
    cancellation: &Cancellation,
) -> Result<Event, Failure> {
    let as_of = as_of.map(parse_as_of).transpose()?;
    cancellation.on_cancel(reader.interrupter());
    let result = reader.query(sql, as_of, None).doing("running the query");
    // An interrupted query says so in its own words; that it was asked for is what counts.
    cancellation.check()?;
    let result = result?;
    emit.emit(Event::Columns(values::columns(&result.columns)))?;
    for batch in &result.batches {
        emit.emit(Event::Rows(values::rows(batch, &result.columns)?))?;
    }
    Ok(Event::Done { exit: 0, value: None })
}

/// An RFC 3339 time with zone, or an LSN.
pub(super) fn parse_as_of(text: &str) -> Result<AsOf, ProgramError> {
    if let Ok(lsn) = text.parse::<Lsn>() {
        return Ok(AsOf::Lsn(lsn));
    }
    // A day alone is no instant: whose midnight would it be?
    match units::parse_instant(text) {
        Some(time) if text.contains(':') => Ok(AsOf::Time(time)),
        _ => Err(ProgramError::AsOf { text: text.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use millstream_core::Timestamp;

    use super::*;

    #[test]
    fn as_of_is_a_time_with_zone_or_an_lsn() {
        assert_eq!(parse_as_of("0/16B3748").unwrap(), AsOf::Lsn(Lsn(0x16B3748)));
        assert_eq!(parse_as_of("1970-01-01T00:00:01Z").unwrap(), AsOf::Time(Timestamp(1_000_000)));
        for text in ["yesterday", "2026-01-01", "2026-01-01T00:00:00", "16B3748", ""] {
            assert!(parse_as_of(text).is_err(), "{text}");
        }
    }
}
