//! `sql`: a query of the warehouse, as it is or as it was.

use std::collections::HashSet;

use millstream_core::{
    warehouse::{AsOf, TableState, WarehouseReader},
    Lsn,
};
use millstream_warehouse::ModelView;

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

/// What is to be said of tables that the query names, by themselves or through models, and whose history is not certain at the point.
pub(super) fn uncertainty(
    tables: &[TableState],
    models: &[ModelView],
    sql: &str,
    as_of: &str,
) -> Result<Vec<String>, ProgramError> {
    let point = parse_as_of(as_of)?;
    let mut named = words(sql);
    // Each pass that adds no model is the last, so there are at most as many as models.
    let mut left: Vec<&ModelView> = models.iter().collect();
    loop {
        let (read, unread): (Vec<_>, Vec<_>) =
            left.into_iter().partition(|model| named.contains(&model.name.name.to_lowercase()));
        if read.is_empty() {
            break;
        }
        read.iter().for_each(|model| named.extend(words(&model.select)));
        left = unread;
    }
    let mut warnings = Vec::new();
    for table in tables {
        let name = table.layout.target.name.to_lowercase();
        if !named.contains(&name) && !named.contains(&format!("{name}_history")) {
            continue;
        }
        for stretch in table.uncertain.iter().filter(|stretch| stretch.covers(point)) {
            let until = match stretch.to {
                Some(to) => format!("before {} ({})", to.position.commit_lsn, units::print_instant(to.time)),
                None => "now".to_owned(),
            };
            warnings.push(format!(
                "the history of {} is not certain from {} ({}) to {until}: {}",
                table.layout.target,
                stretch.from.position.commit_lsn,
                units::print_instant(stretch.from.time),
                stretch.reason
            ));
        }
    }
    Ok(warnings)
}

/// The words of a text in lower case: every name is among them.
fn words(text: &str) -> HashSet<String> {
    let quoted = text.split('"').skip(1).step_by(2);
    let bare = text.split(|c: char| !(c.is_alphanumeric() || c == '_'));
    quoted.chain(bare).filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
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
    fn every_name_of_a_query_is_among_its_words() {
        let words = words("SELECT o.id FROM shop.Orders o JOIN \"Two words\" w ON true -- 'x'");
        for name in ["orders", "two words", "shop"] {
            assert!(words.contains(name), "{name} in {words:?}");
        }
    }

    #[test]
    fn as_of_is_a_time_with_zone_or_an_lsn() {
        assert_eq!(parse_as_of("0/16B3748").unwrap(), AsOf::Lsn(Lsn(0x16B3748)));
        assert_eq!(parse_as_of("1970-01-01T00:00:01Z").unwrap(), AsOf::Time(Timestamp(1_000_000)));
        for text in ["yesterday", "2026-01-01", "2026-01-01T00:00:00", "16B3748", ""] {
            assert!(parse_as_of(text).is_err(), "{text}");
        }
    }
}
