//! Intervals, in the style `postgres` that the session pins: `1 year 2 mons -3 days +04:05:06.7`.

use arrow_buffer::IntervalMonthDayNano;

use super::{
    datetime::{take_fraction, write_clock},
    number::write_integer,
    Fault, Parsed,
};

const NOT_AN_INTERVAL: Fault = Fault::Malformed("not an interval in PostgreSQL's style");
const INFINITE: Fault = Fault::Unrepresentable("infinity");
const TOO_LONG: Fault = Fault::Unrepresentable("more than 2^63 nanoseconds besides its days and months");

fn interval(months: i32, days: i32, micros: i64) -> Parsed<IntervalMonthDayNano> {
    // PostgreSQL 17's infinities.
    if (months, days, micros) == (i32::MAX, i32::MAX, i64::MAX)
        || (months, days, micros) == (i32::MIN, i32::MIN, i64::MIN)
    {
        return Err(INFINITE);
    }
    micros.checked_mul(1000).map(|nanos| IntervalMonthDayNano::new(months, days, nanos)).ok_or(TOO_LONG)
}

/// `interval_send`: microseconds, days, months.
pub(crate) fn interval_from_binary(bytes: &[u8]) -> Parsed<IntervalMonthDayNano> {
    let Some((micros, [d1, d2, d3, d4, m1, m2, m3, m4])) = bytes.split_first_chunk::<8>() else {
        return Err(Fault::Malformed("not sixteen bytes"));
    };
    let days = i32::from_be_bytes([*d1, *d2, *d3, *d4]);
    let months = i32::from_be_bytes([*m1, *m2, *m3, *m4]);
    interval(months, days, i64::from_be_bytes(*micros))
}

/// The text form.
pub(crate) fn parse_interval(text: &[u8]) -> Parsed<IntervalMonthDayNano> {
    match text {
        b"infinity" | b"-infinity" => return Err(INFINITE),
        _ => {}
    }
    let (mut months, mut days, mut micros) = (0i64, 0i64, 0i64);
    let mut words = text.split(|&byte| byte == b' ');
    let mut any = false;
    while let Some(word) = words.next() {
        any = true;
        if word.contains(&b':') {
            micros = parse_clock(word)?;
            if words.next().is_some() {
                return Err(NOT_AN_INTERVAL);
            }
            break;
        }
        let value = super::number::parse_i64(word).map_err(|_| NOT_AN_INTERVAL)?;
        let part = match words.next() {
            Some(b"year" | b"years") => value.checked_mul(12).map(|value| (&mut months, value)),
            Some(b"mon" | b"mons") => Some((&mut months, value)),
            Some(b"day" | b"days") => Some((&mut days, value)),
            _ => None,
        };
        let (sum, value) = part.ok_or(NOT_AN_INTERVAL)?;
        *sum = sum.checked_add(value).ok_or(NOT_AN_INTERVAL)?;
    }
    let (Ok(months), Ok(days), true) = (i32::try_from(months), i32::try_from(days), any) else {
        return Err(NOT_AN_INTERVAL);
    };
    interval(months, days, micros)
}

/// `[±]h…h:mm:ss[.f…f]` in microseconds.
fn parse_clock(text: &[u8]) -> Parsed<i64> {
    let (negative, rest) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let parse = || {
        let at = rest.iter().position(|&byte| byte == b':')?;
        let (hours, rest) = (&rest[..at], &rest[at + 1..]);
        if hours.len() < 2 || !hours[0].is_ascii_digit() {
            return None;
        }
        let hours = super::number::parse_i64(hours).ok()?;
        let [m1 @ b'0'..=b'5', m2 @ b'0'..=b'9', b':', s1 @ b'0'..=b'5', s2 @ b'0'..=b'9', rest @ ..] = rest
        else {
            return None;
        };
        let minutes = i64::from((m1 - b'0') * 10 + (m2 - b'0'));
        let seconds = i64::from((s1 - b'0') * 10 + (s2 - b'0'));
        let (fraction, rest) = take_fraction(rest)?;
        if !rest.is_empty() {
            return None;
        }
        // Downwards: the shortest interval has no positive counterpart.
        let micros = hours.checked_mul(-3_600_000_000)?;
        let micros = micros.checked_sub((minutes * 60 + seconds) * 1_000_000)?.checked_sub(fraction)?;
        if negative {
            Some(micros)
        } else {
            micros.checked_neg()
        }
    };
    parse().ok_or(NOT_AN_INTERVAL)
}

/// Appends an interval as PostgreSQL prints it. A sign is repeated, a plus too, when the part before was negative.
pub(crate) fn write_interval(out: &mut Vec<u8>, months: i32, days: i32, nanos: i128) {
    let start = out.len();
    let mut before_negative = false;
    for (value, unit) in [(months / 12, " year"), (months % 12, " mon"), (days, " day")] {
        if value == 0 {
            continue;
        }
        if out.len() > start {
            out.push(b' ');
        }
        if before_negative && value > 0 {
            out.push(b'+');
        }
        write_integer(out, value.into());
        out.extend_from_slice(unit.as_bytes());
        if value != 1 {
            out.push(b's');
        }
        before_negative = value < 0;
    }
    if out.len() > start {
        if nanos == 0 {
            return;
        }
        out.push(b' ');
    }
    if nanos < 0 {
        out.push(b'-');
    } else if before_negative {
        out.push(b'+');
    }
    let nanos = nanos.unsigned_abs();
    // 64 bits of seconds are 64 bits of the coarsest unit that an interval comes in.
    write_clock(out, (nanos / 1_000_000_000) as u64, (nanos % 1_000_000_000) as u32);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn printed(months: i32, days: i32, micros: i64) -> String {
        let mut out = Vec::new();
        write_interval(&mut out, months, days, i128::from(micros) * 1000);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn intervals_print_and_parse_as_postgresql_does() {
        for (text, months, days, micros) in [
            ("00:00:00", 0, 0, 0),
            ("1 year", 12, 0, 0),
            ("1 year 2 mons 3 days 04:05:06.789", 14, 3, 14_706_789_000),
            ("-1 years -2 mons +3 days -04:05:06.000001", -14, 3, -14_706_000_001),
            ("1 mon -1 days +00:00:01", 1, -1, 1_000_000),
            ("-1 days", 0, -1, 0),
            ("-00:00:00.5", 0, 0, -500_000),
            ("100:00:00", 0, 0, 360_000_000_000),
            ("178956970 years 7 mons 2147483647 days", i32::MAX, i32::MAX, 0),
            ("-178956970 years -8 mons -2147483648 days", i32::MIN, i32::MIN, 0),
        ] {
            assert_eq!(printed(months, days, micros), text);
            let expected = IntervalMonthDayNano::new(months, days, micros * 1000);
            assert_eq!(parse_interval(text.as_bytes()), Ok(expected), "{text}");
        }
        assert_eq!(parse_interval(b"infinity"), Err(INFINITE));
        assert_eq!(parse_interval(b"2562047788:00:54.775807"), Err(TOO_LONG));
        for wrong in [
            "",
            "1",
            "1 day 2",
            "1 fortnight",
            "1:2:3",
            "01:02",
            "01:02:03 1 day",
            "1  day",
            "01:60:00",
            "-",
            "999999999999 years",
        ] {
            assert_eq!(parse_interval(wrong.as_bytes()), Err(NOT_AN_INTERVAL), "{wrong}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn text_and_binary_agree(
            months in any::<i32>(), days in any::<i32>(), micros in i64::MIN / 1000..=i64::MAX / 1000,
        ) {
            let expected = Ok(IntervalMonthDayNano::new(months, days, micros * 1000));
            prop_assert_eq!(parse_interval(printed(months, days, micros).as_bytes()), expected);
            let mut binary = micros.to_be_bytes().to_vec();
            binary.extend(days.to_be_bytes());
            binary.extend(months.to_be_bytes());
            prop_assert_eq!(interval_from_binary(&binary), expected);
        }

        #[test]
        fn garbage_is_never_a_panic(text in "[-+0-9:. yearsmondt]{0,40}") {
            let _ = parse_interval(text.as_bytes());
            let _ = interval_from_binary(text.as_bytes());
        }
    }
}
