//! Dates, times of day and timestamps, in the ISO style that the session pins.
//!
//! Calendar: the proleptic Gregorian one, as in PostgreSQL; the year 1 BC is the year 0 here. Days and microseconds count from
//! 1970-01-01; the ends of the integers stand for infinity, as documented at `ColumnType`.

use super::{Fault, Parsed};

/// Days from 1970-01-01 to 2000-01-01, PostgreSQL's epoch.
const POSTGRES_EPOCH_DAYS: i32 = 10_957;
/// Microseconds likewise.
const POSTGRES_EPOCH_MICROS: i64 = POSTGRES_EPOCH_DAYS as i64 * MICROS_PER_DAY;
const SECONDS_PER_DAY: i64 = 86_400;
pub(crate) const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = SECONDS_PER_DAY * MICROS_PER_SECOND;
/// Seconds from 1970-01-01 to PostgreSQL's epoch.
pub(crate) const POSTGRES_EPOCH_SECONDS: i64 = POSTGRES_EPOCH_DAYS as i64 * SECONDS_PER_DAY;

pub(crate) const DATE_INFINITY: i32 = i32::MAX;
pub(crate) const DATE_NEGATIVE_INFINITY: i32 = -i32::MAX;
pub(crate) const TIMESTAMP_INFINITY: i64 = i64::MAX;
pub(crate) const TIMESTAMP_NEGATIVE_INFINITY: i64 = -i64::MAX;

/// Days of 400 years, after which the calendar repeats.
const DAYS_PER_ERA: i64 = 146_097;
/// Days from the first of March of the year 0, where years that end with February count best, to 1970-01-01.
const MARCH_0_TO_1970: i64 = 719_468;
/// PostgreSQL's last year of a date. Longer ones are no output of it.
const YEAR_MAX: i64 = 5_874_897;

const NOT_A_DATE: Fault = Fault::Malformed("not a date in ISO style");
const NOT_A_TIME: Fault = Fault::Malformed("not a time of day");
const NOT_A_TIMESTAMP: Fault = Fault::Malformed("not a timestamp in ISO style");
const NOT_EIGHT_BYTES: Fault = Fault::Malformed("not eight bytes");
const TOO_LATE: Fault = Fault::Unrepresentable("later than 294247-01-10 04:00:54.775806");

/// Days from 1970-01-01 to a date that is known to be one.
#[inline]
fn days_of(year: i64, month: u32, day: u32) -> i64 {
    // January and February belong to the year before, so that the leap day is the last of its year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let era = year.div_euclid(400);
    let year = year.rem_euclid(400);
    // Months from March on take turns of 31 and 30 days: 153 in five.
    let day_of_year = i64::from((153 * month + 2) / 5 + day - 1);
    era * DAYS_PER_ERA + year * 365 + year / 4 - year / 100 + day_of_year - MARCH_0_TO_1970
}

/// Year, month and day.
#[inline]
pub(super) fn date_of(days: i64) -> (i64, u32, u32) {
    let days = days + MARCH_0_TO_1970;
    let era = days.div_euclid(DAYS_PER_ERA);
    let day = days.rem_euclid(DAYS_PER_ERA);
    // Leap days put off: one every four years (1,460 days), none in a century's last (36,524), one in the era's last (146,096).
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = (day - (365 * year + year / 4 - year / 100)) as u32;
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let year = year + era * 400;
    if month < 10 {
        (year, month + 3, day)
    } else {
        (year + 1, month - 9, day)
    }
}

#[inline]
fn is_date(year: i64, month: u32, day: u32) -> bool {
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => return false,
    };
    (1..=days).contains(&day)
}

/// Two digits; anything else is far above 99.
#[inline]
fn two(high: u8, low: u8) -> u32 {
    let (high, low) = (high.wrapping_sub(b'0'), low.wrapping_sub(b'0'));
    if high > 9 || low > 9 {
        return u32::MAX / 2;
    }
    u32::from(high) * 10 + u32::from(low)
}

/// Year, month and day as they were written: maybe no date at all, the year without its era.
type Written = (i64, u32, u32);

/// A date with a year of any length at the front of the text, and what is behind it.
#[inline]
fn take_date(text: &[u8]) -> Option<(Written, &[u8])> {
    let (year, rest) = if text.get(4) == Some(&b'-') {
        let year = two(text[0], text[1]).checked_mul(100)?.checked_add(two(text[2], text[3]))?;
        if year > 9999 {
            return None;
        }
        (i64::from(year), &text[5..])
    } else {
        let length = text.iter().position(|&byte| byte == b'-')?;
        if !(4..=7).contains(&length) {
            return None;
        }
        let mut year = 0;
        for byte in &text[..length] {
            if !byte.is_ascii_digit() {
                return None;
            }
            year = year * 10 + i64::from(byte - b'0');
        }
        (year, &text[length + 1..])
    };
    let [m1, m2, b'-', d1, d2, rest @ ..] = rest else {
        return None;
    };
    Some(((year, two(*m1, *m2), two(*d1, *d2)), rest))
}

fn strip_bc(text: &[u8]) -> (&[u8], bool) {
    match text.strip_suffix(b" BC") {
        Some(text) => (text, true),
        None => (text, false),
    }
}

/// The days of a date as it was written, its era known.
#[inline]
fn checked_days((year, month, day): Written, bc: bool) -> Option<i64> {
    if year == 0 || year > YEAR_MAX {
        return None;
    }
    let year = if bc { 1 - year } else { year };
    is_date(year, month, day).then(|| days_of(year, month, day))
}

/// A date: days since 1970-01-01.
pub(crate) fn parse_date(text: &[u8]) -> Parsed<i32> {
    let (date, bc) = strip_bc(text);
    if let Some((date, [])) = take_date(date) {
        // Less than 2^31 days lie between PostgreSQL's first and last date.
        return checked_days(date, bc).map(|days| days as i32).ok_or(NOT_A_DATE);
    }
    match text {
        b"infinity" => Ok(DATE_INFINITY),
        b"-infinity" => Ok(DATE_NEGATIVE_INFINITY),
        _ => Err(NOT_A_DATE),
    }
}

/// `date_send`: days since 2000-01-01.
pub(crate) fn date_from_binary(bytes: &[u8]) -> Parsed<i32> {
    let bytes = bytes.try_into().map_err(|_| Fault::Malformed("not four bytes"))?;
    match i32::from_be_bytes(bytes) {
        i32::MAX => Ok(DATE_INFINITY),
        i32::MIN => Ok(DATE_NEGATIVE_INFINITY),
        days => days
            .checked_add(POSTGRES_EPOCH_DAYS)
            .filter(|&days| days != DATE_INFINITY && days != DATE_NEGATIVE_INFINITY)
            .ok_or(Fault::Malformed("a date out of range")),
    }
}

/// `hh:mm:ss` with up to six more digits, at the front of the text; microseconds, and what is behind.
#[inline]
fn take_time(text: &[u8]) -> Option<(i64, &[u8])> {
    let [h1, h2, b':', m1, m2, b':', s1, s2, rest @ ..] = text else {
        return None;
    };
    let (hours, minutes, seconds) = (two(*h1, *h2), two(*m1, *m2), two(*s1, *s2));
    if hours > 24 || minutes > 59 || seconds > 59 {
        return None;
    }
    let micros = i64::from(hours * 3600 + minutes * 60 + seconds) * 1_000_000;
    let (fraction, rest) = take_fraction(rest)?;
    let micros = micros + fraction;
    (micros <= MICROS_PER_DAY).then_some((micros, rest))
}

/// A point and one to six digits as microseconds; nothing is zero.
#[inline]
pub(crate) fn take_fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let [b'.', digits @ ..] = text else {
        return Some((0, text));
    };
    let mut micros = 0;
    let mut length = 0;
    while let Some(digit) = digits.get(length).map(|byte| byte.wrapping_sub(b'0')).filter(|&digit| digit <= 9)
    {
        micros = micros * 10 + i64::from(digit);
        length += 1;
        if length > 6 {
            return None;
        }
    }
    if length == 0 {
        return None;
    }
    for _ in length..6 {
        micros *= 10;
    }
    Some((micros, &digits[length..]))
}

/// A time of day, 24:00:00 included: microseconds since midnight.
pub(crate) fn parse_time(text: &[u8]) -> Parsed<i64> {
    match take_time(text) {
        Some((micros, [])) => Ok(micros),
        _ => Err(NOT_A_TIME),
    }
}

/// `time_send`.
pub(crate) fn time_from_binary(bytes: &[u8]) -> Parsed<i64> {
    let micros = i64::from_be_bytes(bytes.try_into().map_err(|_| NOT_EIGHT_BYTES)?);
    if !(0..=MICROS_PER_DAY).contains(&micros) {
        return Err(NOT_A_TIME);
    }
    Ok(micros)
}

/// What a timestamp may carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zone {
    /// No zone: it is a local time.
    Forbidden,
    /// A zone, or none, which means UTC: the session's.
    Allowed,
}

/// A timestamp or date: microseconds since 1970-01-01, in UTC if it has a zone.
#[inline]
pub(crate) fn parse_timestamp(text: &[u8], zone: Zone) -> Parsed<i64> {
    // What nearly all are: a year of four digits, no era, UTC.
    if let Some((date, [b' ', rest @ ..])) = take_date(text) {
        if let Some((time, rest)) = take_time(rest) {
            if rest.is_empty() || (rest == b"+00" && zone == Zone::Allowed) {
                let days = checked_days(date, false).ok_or(NOT_A_TIMESTAMP)?;
                return micros_of(days, time);
            }
        }
    }
    parse_odd_timestamp(text, zone)
}

#[inline]
fn micros_of(days: i64, time: i64) -> Parsed<i64> {
    days.checked_mul(MICROS_PER_DAY).and_then(|micros| micros.checked_add(time)).map_or(Err(TOO_LATE), finite)
}

/// The last microseconds of the range are DuckDB's and Arrow's infinity.
#[inline]
fn finite(micros: i64) -> Parsed<i64> {
    match micros {
        TIMESTAMP_INFINITY => Err(TOO_LATE),
        i64::MIN | TIMESTAMP_NEGATIVE_INFINITY => Err(Fault::Malformed("a timestamp out of range")),
        micros => Ok(micros),
    }
}

#[cold]
fn parse_odd_timestamp(text: &[u8], zone: Zone) -> Parsed<i64> {
    match text {
        b"infinity" => return Ok(TIMESTAMP_INFINITY),
        b"-infinity" => return Ok(TIMESTAMP_NEGATIVE_INFINITY),
        _ => {}
    }
    let (text, bc) = strip_bc(text);
    let (date, rest) = take_date(text).ok_or(NOT_A_TIMESTAMP)?;
    let days = checked_days(date, bc).ok_or(NOT_A_TIMESTAMP)?;
    let (time, rest) = match rest {
        [] => (0, rest),
        [b' ' | b'T', rest @ ..] => take_time(rest).ok_or(NOT_A_TIMESTAMP)?,
        _ => return Err(NOT_A_TIMESTAMP),
    };
    let offset = match rest {
        [] => 0,
        _ if zone == Zone::Forbidden => return Err(NOT_A_TIMESTAMP),
        b"Z" => 0,
        _ => parse_offset(rest).ok_or(NOT_A_TIMESTAMP)?,
    };
    micros_of(days, time - offset)
}

/// `±hh`, `±hh:mm` or `±hh:mm:ss` as microseconds.
fn parse_offset(text: &[u8]) -> Option<i64> {
    let (sign, rest) = match text {
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let (hours, minutes, seconds) = match rest {
        [h1, h2] => (two(*h1, *h2), 0, 0),
        [h1, h2, b':', m1, m2] => (two(*h1, *h2), two(*m1, *m2), 0),
        [h1, h2, b':', m1, m2, b':', s1, s2] => (two(*h1, *h2), two(*m1, *m2), two(*s1, *s2)),
        _ => return None,
    };
    (hours < 24 && minutes < 60 && seconds < 60)
        .then(|| sign * i64::from(hours * 3600 + minutes * 60 + seconds) * 1_000_000)
}

/// `timestamp_send` and `timestamptz_send`: microseconds since 2000-01-01.
#[inline]
pub(crate) fn timestamp_from_binary(bytes: &[u8]) -> Parsed<i64> {
    match i64::from_be_bytes(bytes.try_into().map_err(|_| NOT_EIGHT_BYTES)?) {
        i64::MAX => Ok(TIMESTAMP_INFINITY),
        i64::MIN => Ok(TIMESTAMP_NEGATIVE_INFINITY),
        micros => micros.checked_add(POSTGRES_EPOCH_MICROS).map_or(Err(TOO_LATE), finite),
    }
}

#[inline]
fn write_two(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&[b'0' + (value / 10) as u8, b'0' + (value % 10) as u8]);
}

/// Appends year, month and day without the era, which PostgreSQL prints last; returns whether it is BC.
fn write_days(out: &mut Vec<u8>, days: i64) -> bool {
    let (year, month, day) = date_of(days);
    let bc = year <= 0;
    let year = if bc { 1 - year } else { year } as u32;
    if year < 10_000 {
        write_two(out, year / 100);
        write_two(out, year % 100);
    } else {
        super::number::write_integer(out, year.into());
    }
    out.push(b'-');
    write_two(out, month);
    out.push(b'-');
    write_two(out, day);
    bc
}

/// Appends a time of day, or the clock's part of an interval, whose hours have no bound.
pub(crate) fn write_clock(out: &mut Vec<u8>, seconds: u64, nanos: u32) {
    let hours = seconds / 3600;
    if hours < 100 {
        write_two(out, hours as u32);
    } else {
        super::number::write_integer(out, hours.into());
    }
    out.push(b':');
    write_two(out, (seconds / 60 % 60) as u32);
    out.push(b':');
    write_two(out, (seconds % 60) as u32);
    if nanos != 0 {
        out.push(b'.');
        // Nine digits, the zeros at the end left away.
        let mut rest = nanos;
        while rest != 0 {
            out.push(b'0' + (rest / 100_000_000) as u8);
            rest = rest % 100_000_000 * 10;
        }
    }
}

/// Appends a date as PostgreSQL prints it.
pub(crate) fn write_date(out: &mut Vec<u8>, days: i32) {
    match days {
        DATE_INFINITY => out.extend_from_slice(b"infinity"),
        DATE_NEGATIVE_INFINITY => out.extend_from_slice(b"-infinity"),
        days => {
            if write_days(out, days.into()) {
                out.extend_from_slice(b" BC");
            }
        }
    }
}

/// Appends a finite timestamp, seconds since 1970 and nanoseconds, as PostgreSQL prints it: `separator` between date and time is a
/// space, or a `T` in JSON; `zone` follows the time: nothing, `+00`, or `+00:00` in JSON.
pub(crate) fn write_timestamp(out: &mut Vec<u8>, seconds: i64, nanos: u32, separator: u8, zone: &str) {
    let bc = write_days(out, seconds.div_euclid(SECONDS_PER_DAY));
    out.push(separator);
    write_clock(out, seconds.rem_euclid(SECONDS_PER_DAY) as u64, nanos);
    out.extend_from_slice(zone.as_bytes());
    if bc {
        out.extend_from_slice(b" BC");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn printed(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    /// Of finite microseconds.
    fn timestamp(micros: i64, separator: u8, zone: &str) -> String {
        let nanos = micros.rem_euclid(1_000_000) * 1000;
        printed(|out| write_timestamp(out, micros.div_euclid(1_000_000), nanos as u32, separator, zone))
    }

    fn clock(micros: i64) -> String {
        printed(|out| write_clock(out, micros as u64 / 1_000_000, (micros % 1_000_000) as u32 * 1000))
    }

    #[test]
    fn dates_have_eras_and_long_years() {
        for (text, days) in [
            ("1970-01-01", 0),
            ("2000-01-01", 10_957),
            ("2000-02-29", 11_016),
            ("1969-12-31", -1),
            ("0001-01-01", -719_162),
            ("0001-12-31 BC", -719_163),
            ("4714-11-24 BC", -2_440_588),
            ("5874897-12-31", 2_145_042_905),
            ("infinity", i32::MAX),
            ("-infinity", -i32::MAX),
        ] {
            assert_eq!(parse_date(text.as_bytes()), Ok(days), "{text}");
            assert_eq!(printed(|out| write_date(out, days)), text);
        }
        for wrong in [
            "",
            "2024-02-30",
            "1900-02-29",
            "2024-13-01",
            "2024-00-01",
            "2024-01-00",
            "0000-01-01",
            "2024-1-1",
            "24-01-01",
            "2024-01-01x",
            "99999999-01-01",
            "2024/01/01",
            "epoch",
            "2024-0a-01",
            "+024-01-01",
            "20a4-01-01",
            "2024-01-01 AD",
            "202401-01",
        ] {
            assert_eq!(parse_date(wrong.as_bytes()), Err(NOT_A_DATE), "{wrong}");
        }
    }

    #[test]
    fn days_and_dates_are_inverse_over_all_of_two_eras() {
        let mut previous = date_of(-300_000);
        for days in -299_999..300_000 {
            let date = date_of(days);
            assert_eq!(days_of(date.0, date.1, date.2), days);
            assert!(is_date(date.0, date.1, date.2), "{date:?}");
            assert!(previous < date);
            previous = date;
        }
    }

    #[test]
    fn times_reach_twenty_four_hours() {
        for (text, micros) in [
            ("00:00:00", 0),
            ("24:00:00", MICROS_PER_DAY),
            ("23:59:59.999999", MICROS_PER_DAY - 1),
            ("01:02:03.4", 3_723_400_000),
            ("00:00:00.000001", 1),
        ] {
            assert_eq!(parse_time(text.as_bytes()), Ok(micros), "{text}");
            assert_eq!(clock(micros), text);
            assert_eq!(time_from_binary(&micros.to_be_bytes()), Ok(micros));
        }
        for wrong in [
            "24:00:00.000001",
            "24:00:01",
            "25:00:00",
            "00:60:00",
            "00:00:60",
            "1:00:00",
            "00:00",
            "00:00:00.",
            "00:00:00.1234567",
            "00:00:00+00",
        ] {
            assert_eq!(parse_time(wrong.as_bytes()), Err(NOT_A_TIME), "{wrong}");
        }
        assert!(time_from_binary(&(MICROS_PER_DAY + 1).to_be_bytes()).is_err());
    }

    #[test]
    fn timestamps_reach_duckdbs_last_microsecond_and_no_further() {
        let last = "294247-01-10 04:00:54.775806";
        assert_eq!(parse_timestamp(last.as_bytes(), Zone::Forbidden), Ok(i64::MAX - 1));
        assert_eq!(timestamp(i64::MAX - 1, b' ', ""), last);
        for late in
            ["294247-01-10 04:00:54.775807", "294247-01-10 04:00:54.775808", "294276-12-31 23:59:59.999999"]
        {
            assert_eq!(parse_timestamp(late.as_bytes(), Zone::Forbidden), Err(TOO_LATE), "{late}");
        }
        let postgres = |micros: i64| timestamp_from_binary(&(micros - POSTGRES_EPOCH_MICROS).to_be_bytes());
        assert_eq!(postgres(i64::MAX - 1), Ok(i64::MAX - 1));
        assert_eq!(postgres(i64::MAX), Err(TOO_LATE));
        // 294276-12-31 23:59:59.999999 as timestamp_send gives it.
        assert_eq!(timestamp_from_binary(&9_223_371_331_199_999_999i64.to_be_bytes()), Err(TOO_LATE));
        assert_eq!(timestamp_from_binary(&i64::MAX.to_be_bytes()), Ok(TIMESTAMP_INFINITY));
        assert_eq!(timestamp_from_binary(&i64::MIN.to_be_bytes()), Ok(TIMESTAMP_NEGATIVE_INFINITY));
    }

    #[test]
    fn timestamps_have_zones_eras_and_infinities() {
        for (text, micros) in [
            ("2024-01-02 03:04:05.678", 1_704_164_645_678_000),
            ("1969-12-31 23:59:59.999999", -1),
            ("0044-03-15 12:00:00 BC", -63_517_780_800_000_000),
            ("10000-01-01 00:00:00", 253_402_300_800_000_000),
        ] {
            assert_eq!(parse_timestamp(text.as_bytes(), Zone::Forbidden), Ok(micros), "{text}");
            assert_eq!(timestamp(micros, b' ', ""), text);
        }
        assert_eq!(parse_timestamp(b"infinity", Zone::Forbidden), Ok(TIMESTAMP_INFINITY));
        assert_eq!(parse_timestamp(b"-infinity", Zone::Allowed), Ok(TIMESTAMP_NEGATIVE_INFINITY));
        for (text, micros) in [
            ("1970-01-01 00:00:00+00", 0),
            ("1970-01-01 02:00:00+02", 0),
            ("1970-01-01 02:30:00+02:30", 0),
            ("1970-01-01 02:30:17+02:30:17", 0),
            ("1969-12-31 20:00:00-04", 0),
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01", 0),
            ("4714-11-24 00:00:00+00 BC", -210_866_803_200_000_000),
        ] {
            assert_eq!(parse_timestamp(text.as_bytes(), Zone::Allowed), Ok(micros), "{text}");
        }
        assert_eq!(timestamp(-210_866_803_200_000_000, b' ', "+00"), "4714-11-24 00:00:00+00 BC");
        assert_eq!(timestamp(1_704_164_645_678_000, b'T', "+00:00"), "2024-01-02T03:04:05.678+00:00");
        assert!(parse_timestamp(b"1970-01-01 00:00:00+00", Zone::Forbidden).is_err());
        for wrong in [
            "",
            "2024-01-02 25:00:00",
            "2024-02-30 00:00:00",
            "2024-01-02 00:00:00+25",
            "2024-01-02 00:00",
            "2024-01-02 00:00:00 ",
        ] {
            assert_eq!(parse_timestamp(wrong.as_bytes(), Zone::Allowed), Err(NOT_A_TIMESTAMP), "{wrong}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn dates_print_and_parse(days in -2_440_588i32..=2_145_042_905) {
            let text = printed(|out| write_date(out, days));
            prop_assert_eq!(parse_date(text.as_bytes()), Ok(days));
            prop_assert_eq!(date_from_binary(&(days - POSTGRES_EPOCH_DAYS).to_be_bytes()), Ok(days));
        }

        #[test]
        fn timestamps_print_and_parse(
            micros in prop_oneof![-210_866_803_200_000_000i64..i64::MAX, 0i64..4_000_000_000_000_000],
        ) {
            let text = timestamp(micros, b' ', "");
            prop_assert_eq!(parse_timestamp(text.as_bytes(), Zone::Forbidden), Ok(micros));
            let text = timestamp(micros, b' ', "+00");
            prop_assert_eq!(parse_timestamp(text.as_bytes(), Zone::Allowed), Ok(micros));
            prop_assert_eq!(timestamp_from_binary(&(micros - POSTGRES_EPOCH_MICROS).to_be_bytes()), Ok(micros));
        }

        #[test]
        fn times_print_and_parse(micros in 0..=MICROS_PER_DAY) {
            prop_assert_eq!(parse_time(clock(micros).as_bytes()), Ok(micros));
        }

        #[test]
        fn garbage_is_never_a_panic(text in "[-+0-9:. TBCZinfty]{0,40}", bytes in proptest::collection::vec(any::<u8>(), 0..12)) {
            for input in [text.as_bytes(), &bytes] {
                let _ = (parse_date(input), parse_time(input), parse_timestamp(input, Zone::Allowed));
                let _ = (date_from_binary(input), time_from_binary(input), timestamp_from_binary(input));
            }
        }
    }
}
