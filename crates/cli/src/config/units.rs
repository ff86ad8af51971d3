//! Sizes, durations, warehouse types and instants as people write them.

use std::time::Duration;

use millstream_core::{ColumnType, Timestamp};

/// Parses a size in bytes. Powers of 1000 (`kB`, `MB`, `GB`, `TB`), of 1024 (`KiB`, `MiB`, `GiB`, `TiB`), or bare bytes.
pub fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text)?;
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1000,
        "mb" => 1000_u64.pow(2),
        "gb" => 1000_u64.pow(3),
        "tb" => 1000_u64.pow(4),
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// Prints a size for people, in powers of 1000.
pub fn print_size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 999.95 {
            return if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1000.0;
    }
    format!("{value:.1} TB")
}

/// Parses a share: a number from 0 to 1.
pub fn parse_share(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share))
}

/// Parses a time span: a whole number and `ms`, `s`, `m`, `h`, `d` or `w`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text)?;
    let seconds: u64 = match unit {
        "ms" => return Some(Duration::from_millis(number)),
        "s" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return None,
    };
    number.checked_mul(seconds).map(Duration::from_secs)
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    Some((digits.parse().ok()?, unit.trim_start()))
}

/// Parses a warehouse type's name, as the reference of types prints them.
pub fn parse_column_type(text: &str) -> Option<ColumnType> {
    let text = text.trim().to_ascii_lowercase();
    if let Some(element) = text.strip_suffix("[]") {
        return parse_column_type(element).map(|element| ColumnType::List(Box::new(element)));
    }
    if let Some(inner) = text.strip_prefix("decimal(").and_then(|rest| rest.strip_suffix(')')) {
        let (precision, scale) = inner.split_once(',').unwrap_or((inner, "0"));
        let (precision, scale) = (precision.trim().parse().ok()?, scale.trim().parse().ok()?);
        return ((1..=38).contains(&precision) && scale <= precision)
            .then_some(ColumnType::Decimal(precision, scale));
    }
    Some(match text.as_str() {
        "boolean" => ColumnType::Boolean,
        "smallint" => ColumnType::SmallInt,
        "integer" => ColumnType::Integer,
        "bigint" => ColumnType::BigInt,
        "uinteger" => ColumnType::UInteger,
        "real" => ColumnType::Real,
        "double" => ColumnType::Double,
        "text" => ColumnType::Text,
        "json" => ColumnType::Json,
        "blob" => ColumnType::Blob,
        "date" => ColumnType::Date,
        "time" => ColumnType::Time,
        "timestamp" => ColumnType::Timestamp,
        "timestamptz" => ColumnType::TimestampTz,
        "interval" => ColumnType::Interval,
        "uuid" => ColumnType::Uuid,
        _ => return None,
    })
}

/// Parses a day (midnight UTC) or an RFC 3339 time with zone.
pub fn parse_instant(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let (day, clock) = match text.find(['T', 't', ' ']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let mut parts = day.splitn(3, '-').map(fixed_digits);
    let ((year, 4), (month, 2), (date, 2)) = (parts.next()??, parts.next()??, parts.next()??) else {
        return None;
    };
    let micros_of_day = match clock {
        None => 0,
        Some(clock) => parse_clock_with_zone(clock)?,
    };
    let days = days_from_civil(year, month, date)?;
    Some(Timestamp(days * 86_400_000_000 + micros_of_day))
}

fn fixed_digits(text: &str) -> Option<(i64, usize)> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
        .then(|| text.parse().ok().map(|number| (number, text.len())))?
}

/// `HH:MM[:SS[.ffffff]]` and `Z` or an offset, as microseconds of the UTC day (negative or beyond a day where the zone moves it).
fn parse_clock_with_zone(text: &str) -> Option<i64> {
    let zone_at = text.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = text.split_at(zone_at);
    let (whole, fraction) = clock.trim_end().split_once('.').unwrap_or((clock.trim_end(), ""));
    let mut parts = whole.split(':').map(fixed_digits);
    let (hour, minute) = (parts.next()??.0, parts.next()??.0);
    let second = match parts.next() {
        None => 0,
        Some(second) => second?.0,
    };
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 59 || fraction.len() > 9 {
        return None;
    }
    let micros: i64 = if fraction.is_empty() {
        0
    } else {
        fixed_digits(fraction)?;
        // Microseconds are what the source keeps; what is finer is cut, as a finer time lies within that microsecond.
        format!("{fraction:0<6}")[..6].parse().ok()?
    };
    let offset_seconds = match zone {
        "Z" | "z" => 0,
        _ => {
            let (sign, digits) = zone.split_at(1);
            let (hours, minutes) = match digits.split_once(':') {
                Some(pair) => pair,
                None if digits.len() == 4 => digits.split_at(2),
                None => (digits, "00"),
            };
            let ((hours, 2), (minutes, 2)) = (fixed_digits(hours)?, fixed_digits(minutes)?) else {
                return None;
            };
            if hours > 15 || minutes > 59 {
                return None;
            }
            (hours * 3600 + minutes * 60) * if sign == "-" { -1 } else { 1 }
        }
    };
    Some((hour * 3600 + minute * 60 + second - offset_seconds) * 1_000_000 + micros)
}

/// Days since 1970-01-01 of a proleptic Gregorian date; `None` if there is no such day.
fn days_from_civil(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let month_days = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let index = usize::try_from(month - 1).ok()?;
    if day < 1 || day > *month_days.get(index)? {
        return None;
    }
    let before = year - 1;
    let days_before_year = before * 365 + before / 4 - before / 100 + before / 400;
    // 719,162 days lie between 0001-01-01 and 1970-01-01.
    Some(days_before_year + month_days[..index].iter().sum::<i64>() + day - 1 - 719_162)
}

/// Prints an instant as RFC 3339 in UTC, with as many digits of the second as it needs.
pub fn print_instant(time: Timestamp) -> String {
    let (days, micros) = (time.0.div_euclid(86_400_000_000), time.0.rem_euclid(86_400_000_000));
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    // Civil date from days, by 400-year eras that begin in March, so that the leap day comes last.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let mut text = format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    );
    if fraction != 0 {
        text.push_str(format!(".{fraction:06}").trim_end_matches('0'));
    }
    text.push('Z');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_in_both_kinds_of_units() {
        for (text, bytes) in
            [("0", 0), ("512", 512), ("64MB", 64_000_000), ("1 GiB", 1 << 30), ("50gb", 50_000_000_000)]
        {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for text in ["", "GB", "1.5GB", "-1", "1 parsec", "99999999999TB"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
        assert_eq!(print_size(999), "999 B");
        assert_eq!(print_size(64_000_000), "64.0 MB");
        assert_eq!(print_size(999_960), "1.0 MB");
    }

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(parse_duration("7d"), Some(Duration::from_secs(604_800)));
        assert_eq!(parse_duration("250ms"), Some(Duration::from_millis(250)));
        for text in ["7", "d", "1y", "-1d", ""] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn column_types_read_back_as_printed() {
        for text in ["double", "decimal(38,10)", "text[]", "timestamptz", "uuid"] {
            assert_eq!(parse_column_type(text).unwrap().to_string(), text);
        }
        for text in ["decimal(39,0)", "decimal(3,4)", "decimal", "string", ""] {
            assert_eq!(parse_column_type(text), None, "{text}");
        }
    }

    #[test]
    fn instants_read_back_as_printed() {
        for (text, micros) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2100-01-01T00:00:00Z", 4_102_444_800_000_000),
            ("2000-02-29T23:59:59.5Z", 951_868_799_500_000),
            ("1969-12-31T23:59:59.999999Z", -1),
            ("1900-03-01T00:00:00Z", -2_203_891_200_000_000),
        ] {
            assert_eq!(parse_instant(text), Some(Timestamp(micros)), "{text}");
            assert_eq!(print_instant(Timestamp(micros)), text);
        }
        assert_eq!(parse_instant("2100-01-01"), Some(Timestamp(4_102_444_800_000_000)));
        assert_eq!(parse_instant("2026-01-01 02:00:00+02:00"), parse_instant("2026-01-01T00:00:00Z"));
        assert_eq!(parse_instant("2025-12-31T19:30-0430"), parse_instant("2026-01-01T00:00:00Z"));
        for text in ["2026-02-30", "2026-1-1", "2026-01-01T00:00:00", "2026-01-01T25:00Z", "tomorrow", ""] {
            assert_eq!(parse_instant(text), None, "{text}");
        }
    }
}
