//! What the values of a seed's column are: the first kind that all of them fit, in dbt's order. dbt reads them with agate, Python's `Decimal` and `strptime`, and isodate.

use std::borrow::Cow;

use millstream_core::build::Cell;

use super::ddl::literal;
use crate::{context::table, jinja::Value};

/// The kinds of values that are tried in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A number without decimal places: `1.0` and `1e3` have none.
    Integer,
    /// Any number.
    Number,
    /// A day.
    Date,
    /// A day and a time, with a blank between them and without a zone.
    DateTime,
    /// A day and a time in ISO 8601, with a `T` between them.
    IsoDateTime,
    Boolean,
    Text,
}

/// All of them, in order.
pub(super) const KINDS: [Kind; 7] =
    [Kind::Integer, Kind::Number, Kind::Date, Kind::DateTime, Kind::IsoDateTime, Kind::Boolean, Kind::Text];

/// What may stand about the digits of an amount.
const CURRENCIES: &str = "؋$ƒ៛¥₡₱£€¢﷼₪₩₭₮₦฿₤₫";

/// Digits that a whole number is written out with. What has more fits into no integer in any case.
const WHOLE_DIGITS_MAX: i64 = 40;

impl Kind {
    pub(super) fn sql(self) -> &'static str {
        match self {
            Kind::Integer => "integer",
            Kind::Number => "float8",
            Kind::Date => "date",
            Kind::DateTime | Kind::IsoDateTime => "timestamp without time zone",
            Kind::Boolean => "boolean",
            Kind::Text => "text",
        }
    }

    /// Whether a value is none, whatever its column holds.
    pub(super) fn is_null(value: &str) -> bool {
        let value = value.trim();
        value.is_empty() || value.eq_ignore_ascii_case("null")
    }

    /// Whether a value, which is not none, is of this kind.
    pub(super) fn takes(self, value: &str) -> bool {
        let value = value.trim();
        // What most numbers are like, without taking them apart.
        if matches!(self, Kind::Integer | Kind::Number) && is_plain(value) {
            return true;
        }
        match self {
            Kind::Integer => Decimal::parse(value).is_some_and(|number| number.is_whole()),
            Kind::Number => Decimal::parse(value).is_some(),
            Kind::Date => day(value).is_some(),
            Kind::DateTime => blank_moment(value).is_some(),
            Kind::IsoDateTime => iso_moment(value).is_some(),
            Kind::Boolean => {
                matches!(value.replace(',', "").trim().to_lowercase().as_str(), "true" | "false")
            }
            Kind::Text => true,
        }
    }

    /// A value as PostgreSQL is to read it; `None` is NULL.
    pub(super) fn written(self, value: &str) -> Option<Cow<'_, str>> {
        if Kind::is_null(value) {
            return None;
        }
        let trimmed = value.trim();
        Some(match self {
            Kind::Integer | Kind::Number if is_plain(trimmed) => trimmed.into(),
            Kind::Integer | Kind::Number => {
                Decimal::parse(trimmed).map_or(trimmed.into(), |number| number.text(self).into())
            }
            Kind::Date | Kind::DateTime => trimmed.into(),
            Kind::IsoDateTime => iso_moment(trimmed).map_or(trimmed.into(), |moment| moment.text.into()),
            Kind::Boolean => trimmed.replace(',', "").into(),
            Kind::Text => value.into(),
        })
    }

    /// A value as templates see it.
    pub(super) fn value(self, value: &str) -> Value {
        if Kind::is_null(value) {
            return Value::None;
        }
        let trimmed = value.trim();
        let cell = |text: String, kind: &str| table::cell(&Cell::Text(text), kind);
        match self {
            Kind::Integer | Kind::Number => {
                let number = Decimal::parse(trimmed).map(|number| number.exact());
                cell(number.unwrap_or_else(|| trimmed.to_owned()), "DECIMAL")
            }
            Kind::Date => cell(trimmed.to_owned(), "DATE"),
            Kind::DateTime => cell(trimmed.to_owned(), "TIMESTAMP"),
            Kind::IsoDateTime => {
                let moment = iso_moment(trimmed).map_or_else(|| trimmed.to_owned(), |moment| moment.text);
                // As a warehouse writes it, which is what is read there.
                cell(moment.replace("+00:00", "+00"), "TIMESTAMP")
            }
            Kind::Boolean => Value::Bool(trimmed.replace(',', "").trim().eq_ignore_ascii_case("true")),
            Kind::Text => Value::from(value),
        }
    }

    /// What [`Kind::written`] gives, in a statement.
    pub(super) fn literal(self, value: &str) -> String {
        match self.written(value) {
            None => "null".into(),
            // A moment with a zone is one in the session's, in a column that has none.
            Some(moment) if self.has_zone(value) => format!("{}::timestamptz", literal(&moment)),
            Some(value) => literal(&value),
        }
    }

    /// Whether a value is a moment that says of which zone it is.
    pub(super) fn has_zone(self, value: &str) -> bool {
        self == Kind::IsoDateTime && iso_moment(value.trim()).is_some_and(|moment| moment.has_zone)
    }
}

/// Whether a value is an integer as everybody writes one.
fn is_plain(value: &str) -> bool {
    let digits = value.strip_prefix('-').unwrap_or(value);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// A number as Python's `Decimal` reads it.
struct Decimal<'v> {
    negative: bool,
    /// Without a point; empty where it is no number that can be counted with.
    digits: Cow<'v, str>,
    /// The power of ten that the last digit stands for.
    exponent: i64,
}

impl<'v> Decimal<'v> {
    /// Reads one, with what may stand about an amount.
    fn parse(value: &'v str) -> Option<Self> {
        let value = value.trim_matches('%');
        let (minus, value) = value.strip_prefix('-').map_or((false, value), |rest| (true, rest));
        let value = value.trim_matches(|c| CURRENCIES.contains(c)).trim();
        let plain: Cow<'v, str> = match value.contains([',', '_']) {
            true => value.replace([',', '_'], "").into(),
            false => value.into(),
        };
        let (sign, unsigned) = match plain.as_bytes().first()? {
            b'-' => (true, &plain[1..]),
            b'+' => (false, &plain[1..]),
            _ => (false, &plain[..]),
        };
        let negative = minus != sign;
        if unsigned.starts_with(|c: char| c.is_ascii_alphabetic()) {
            let lower = unsigned.to_ascii_lowercase();
            let payload = lower.strip_prefix('s').unwrap_or(&lower).strip_prefix("nan");
            let is_special = matches!(lower.as_str(), "inf" | "infinity")
                || payload.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
            return is_special.then(|| Decimal { negative, digits: "".into(), exponent: 0 });
        }
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => {
                let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
                if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                    return None;
                }
                (mantissa, exponent.parse::<i64>().ok()?)
            }
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.len() + fraction.len() == 0 || !all_digits(whole) || !all_digits(fraction) {
            return None;
        }
        let exponent = exponent.checked_sub(i64::try_from(fraction.len()).ok()?)?;
        Some(Decimal { negative, digits: format!("{whole}{fraction}").into(), exponent })
    }

    /// Whether it has no decimal places but zeros.
    fn is_whole(&self) -> bool {
        let zeros = self.digits.len() - self.digits.trim_end_matches('0').len();
        zeros == self.digits.len() || self.exponent + zeros as i64 >= 0
    }

    /// With all of its digits, zeros behind the point too.
    fn exact(&self) -> String {
        if self.digits.is_empty() {
            return "NaN".into();
        }
        format!("{}{}e{}", if self.negative { "-" } else { "" }, self.digits, self.exponent)
    }

    /// As PostgreSQL reads it for a column of this kind.
    fn text(&self, kind: Kind) -> String {
        if self.digits.is_empty() {
            return "NaN".into();
        }
        let sign = if self.negative { "-" } else { "" };
        let digits = self.digits.trim_start_matches('0');
        if kind != Kind::Integer || self.exponent == 0 || self.exponent > WHOLE_DIGITS_MAX {
            let exponent = if self.exponent == 0 { String::new() } else { format!("e{}", self.exponent) };
            return format!("{sign}{}{exponent}", if digits.is_empty() { "0" } else { digits });
        }
        let whole = match usize::try_from(self.exponent) {
            Ok(zeros) => format!("{digits}{}", "0".repeat(zeros)),
            // What is cut off are zeros.
            Err(_) => {
                let cut = usize::try_from(-self.exponent).unwrap_or(usize::MAX);
                digits[..digits.len().saturating_sub(cut)].to_owned()
            }
        };
        format!("{sign}{}", if whole.is_empty() { "0" } else { &whole })
    }
}

/// Digits, between so many and so many of them.
fn digits(text: &str, least: usize, most: usize) -> Option<u32> {
    let fits = (least..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    fits.then(|| text.parse().ok())?
}

fn is_day(year: u32, month: u32, day: u32) -> bool {
    let leaps = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        2 if leaps => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    year > 0 && (1..=days).contains(&day)
}

/// `%Y-%m-%d`, as `strptime` reads it.
fn day(text: &str) -> Option<()> {
    let mut parts = text.splitn(3, '-');
    let year = digits(parts.next()?, 4, 4)?;
    let (month, day) = (digits(parts.next()?, 1, 2)?, digits(parts.next()?, 1, 2)?);
    is_day(year, month, day).then_some(())
}

/// `%Y-%m-%d %H:%M:%S`, as `strptime` reads it.
fn blank_moment(text: &str) -> Option<()> {
    let (date, time) = text.split_once(char::is_whitespace)?;
    day(date)?;
    let mut parts = time.trim_start().splitn(3, ':');
    let (hour, minute) = (digits(parts.next()?, 1, 2)?, digits(parts.next()?, 1, 2)?);
    let second = digits(parts.next()?, 1, 2)?;
    (hour < 24 && minute < 60 && second < 60).then_some(())
}

/// A moment in ISO 8601.
struct IsoMoment {
    /// As PostgreSQL reads it.
    text: String,
    has_zone: bool,
}

/// Days of the calendar only: days of the year and of weeks are texts here.
fn iso_moment(text: &str) -> Option<IsoMoment> {
    let (date, time) = text.split_once('T')?;
    let (year, month, day) = match date.len() {
        8 => (date.get(..4)?, date.get(4..6)?, date.get(6..)?),
        10 if date.get(4..5)? == "-" && date.get(7..8)? == "-" => {
            (date.get(..4)?, date.get(5..7)?, date.get(8..)?)
        }
        _ => return None,
    };
    let (y, m, d) = (digits(year, 4, 4)?, digits(month, 2, 2)?, digits(day, 2, 2)?);
    if !is_day(y, m, d) {
        return None;
    }
    let at = time.find(['Z', '+', '-']).unwrap_or(time.len());
    let (clock, zone) = time.split_at(at);
    let zone = match zone {
        "" => String::new(),
        "Z" => "+00:00".into(),
        zone => {
            let (sign, rest) = zone.split_at(1);
            let (hours, minutes) = match rest.split_once(':') {
                Some(parts) => parts,
                None => rest.split_at_checked(2)?,
            };
            let minutes = if minutes.is_empty() && !rest.contains(':') { "00" } else { minutes };
            digits(hours, 2, 2)?;
            digits(minutes, 2, 2)?;
            format!("{sign}{hours}:{minutes}")
        }
    };
    let (clock, fraction) =
        clock.split_once(['.', ',']).map_or((clock, None), |(clock, fraction)| (clock, Some(fraction)));
    let parts: Vec<&str> = match clock.contains(':') {
        true => clock.split(':').collect(),
        false if clock.len() % 2 == 0 => {
            (0..clock.len() / 2).map_while(|n| clock.get(2 * n..2 * n + 2)).collect()
        }
        false => return None,
    };
    // A part of a minute or of an hour is written as one of a second by nobody.
    if !(1..=3).contains(&parts.len()) || (fraction.is_some() && parts.len() < 3) {
        return None;
    }
    let part = |at: usize| parts.get(at).map_or(Some(0), |part| digits(part, 2, 2));
    let (hour, minute, second) = (part(0)?, part(1)?, part(2)?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let fraction = match fraction {
        None => String::new(),
        Some(fraction) if !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!(".{}", &fraction[..fraction.len().min(6)])
        }
        Some(_) => return None,
    };
    let has_zone = !zone.is_empty();
    let text = format!("{y:04}-{m:02}-{d:02} {hour:02}:{minute:02}:{second:02}{fraction}{zone}");
    Some(IsoMoment { text, has_zone })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(value: &str) -> Kind {
        *KINDS.iter().find(|kind| kind.takes(value)).unwrap()
    }

    #[test]
    fn values_are_what_dbt_takes_them_for() {
        for (expected, values) in [
            (
                Kind::Integer,
                &["1", "-2", "+3", "007", "1.0", "1e3", "1,000", "$5", "-€5.00", "50%", "0.0", "1_000"][..],
            ),
            (Kind::Number, &["1.5", ".5", "5e-1", "$1,000.50", "0.1%"][..]),
            (Kind::Date, &["2024-02-29", "2024-1-5"][..]),
            (Kind::DateTime, &["2024-01-01 10:00:00", "2024-1-1 9:5:7"][..]),
            (
                Kind::IsoDateTime,
                &["2024-01-01T10:00:00Z", "20240101T1000", "2024-01-01T10:00:00.25+02:00"][..],
            ),
            (Kind::Boolean, &["true", "FALSE"][..]),
            (
                Kind::Text,
                &[
                    "2023-02-29",
                    "2024-01-01 10:00",
                    "2024-01-01 10:00:00.5",
                    "2024-01-01 10:00:00Z",
                    "yes",
                    "1.2.3",
                    "1e",
                    "-",
                ][..],
            ),
        ] {
            for value in values {
                assert_eq!(kind(value), expected, "{value}");
            }
        }
    }

    #[test]
    fn numbers_and_moments_are_written_as_postgresql_reads_them() {
        let of = |value: &str| kind(value).written(value).unwrap().into_owned();
        for (value, expected) in [
            ("1.0", "1"),
            ("-1.50e1", "-15"),
            ("1e3", "1000"),
            ("0.00", "0"),
            ("-€1,000.00", "-1000"),
            ("1.5", "15e-1"),
            ("nan", "NaN"),
            ("20240101T1000", "2024-01-01 10:00:00"),
            ("2024-01-01T10:00:00.1234567+0200", "2024-01-01 10:00:00.123456+02:00"),
        ] {
            assert_eq!(of(value), expected, "{value}");
        }
        assert_eq!(
            Kind::IsoDateTime.literal("2024-01-01T10:00:00Z"),
            "'2024-01-01 10:00:00+00:00'::timestamptz"
        );
    }
}
