//! The point in time or in the log that a request reads at.

use chrono::DateTime;
use millstream_core::{warehouse::AsOf, Lsn, Timestamp};

use crate::problem::Problem;

/// An RFC 3339 time with zone, or an LSN such as `0/16B3748`.
pub fn parse(text: &str) -> Result<AsOf, Problem> {
    if let Ok(lsn) = text.parse::<Lsn>() {
        return Ok(AsOf::Lsn(lsn));
    }
    // In an address, `+` stands for a blank.
    let time =
        DateTime::parse_from_rfc3339(text).or_else(|_| DateTime::parse_from_rfc3339(&text.replace(' ', "+")));
    match time {
        Ok(time) => Ok(AsOf::Time(Timestamp(time.timestamp_micros()))),
        Err(_) => {
            let expected = "a time with zone such as 2026-01-31T10:00:00Z, or a position such as 0/16B3748";
            Err(Problem::parameter("as_of", expected, text))
        }
    }
}

/// Prints a time as it is parsed; none beyond the years that RFC 3339 has.
pub fn print(time: Timestamp) -> Option<String> {
    let text = DateTime::from_timestamp_micros(time.0)?.format("%Y-%m-%dT%H:%M:%S%.6f").to_string();
    // As many digits of the second as it needs, as the warehouse prints it.
    Some(format!("{}Z", text.trim_end_matches('0').trim_end_matches('.')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_need_their_zone_and_positions_their_slash() {
        assert_eq!(parse("0/16B3748"), Ok(AsOf::Lsn(Lsn(0x16B_3748))));
        assert_eq!(parse("1970-01-01T00:00:01Z"), Ok(AsOf::Time(Timestamp(1_000_000))));
        assert_eq!(parse("1970-01-01T01:00:01 01:00"), Ok(AsOf::Time(Timestamp(1_000_000))));
        for text in ["1970-01-01T00:00:01Z", "2026-01-31T10:00:00.12059Z", "0001-01-01T00:00:00Z"] {
            let Ok(AsOf::Time(time)) = parse(text) else { panic!("{text}") };
            assert_eq!(print(time).as_deref(), Some(text));
        }
        for text in ["yesterday", "2026-01-01", "2026-01-01T00:00:00", "16B3748", ""] {
            assert_eq!(parse(text).unwrap_err().members["parameter"], "as_of", "{text}");
        }
    }
}
