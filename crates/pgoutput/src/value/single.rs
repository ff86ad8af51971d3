//! Values in text form parsed one at a time, for who doesn't build columns: events, keys, messages.
//!
//! `None` means that the text is no such value, or one that the returned type can't hold (an infinite interval, an array of several
//! dimensions); who asks then keeps the text.

use super::{array, bytes, datetime, float, interval, number};

/// A `boolean`.
pub fn boolean(text: &[u8]) -> Option<bool> {
    bytes::parse_bool(text).ok()
}

/// A `double precision`, NaN and infinities included. For a `real`, see [`float4`].
pub fn float8(text: &[u8]) -> Option<f64> {
    float::parse_f64(text).ok()
}

/// A `real`.
pub fn float4(text: &[u8]) -> Option<f32> {
    float::parse_f32(text).ok()
}

/// An integer of any width up to 64 bits.
pub fn integer(text: &[u8]) -> Option<i64> {
    number::parse_i64(text).ok()
}

/// A `bytea`.
pub fn bytea(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    bytes::parse_bytea(&mut out, text).ok()?;
    Some(out)
}

/// A `date`: days since 1970-01-01; `i32::MAX` and `-i32::MAX` are the infinities.
pub fn date(text: &[u8]) -> Option<i32> {
    datetime::parse_date(text).ok()
}

/// A `time`: microseconds since midnight, 24:00 included.
pub fn time(text: &[u8]) -> Option<i64> {
    datetime::parse_time(text).ok()
}

/// A `timestamp`: microseconds since 1970-01-01; `i64::MAX` and `-i64::MAX` are the infinities.
pub fn timestamp(text: &[u8]) -> Option<i64> {
    datetime::parse_timestamp(text, datetime::Zone::Forbidden).ok()
}

/// A `timestamptz`, likewise, in UTC.
pub fn timestamptz(text: &[u8]) -> Option<i64> {
    datetime::parse_timestamp(text, datetime::Zone::Allowed).ok()
}

/// An `interval`: months, days, microseconds.
pub fn interval(text: &[u8]) -> Option<(i32, i32, i64)> {
    let parsed = interval::parse_interval(text).ok()?;
    Some((parsed.months, parsed.days, parsed.nanoseconds / 1000))
}

/// Year (the year 1 BC is 0), month and day of a day counted from 1970-01-01.
pub fn year_month_day(days: i64) -> (i64, u32, u32) {
    datetime::date_of(days)
}

/// The elements of an array of one dimension with lower bound 1.
pub fn elements(text: &[u8]) -> Option<Vec<Option<Vec<u8>>>> {
    let mut elements = Vec::new();
    let each = |element: Option<&[u8]>| {
        elements.push(element.map(<[u8]>::to_vec));
        Ok(())
    };
    array::each_of_text(text, &mut Vec::new(), each).ok()?;
    Some(elements)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_values_parse_and_what_is_none_is_none() {
        assert_eq!(boolean(b"t"), Some(true));
        assert_eq!(integer(b"-12"), Some(-12));
        assert_eq!(float8(b"1.5"), Some(1.5));
        assert_eq!(float4(b"-Infinity"), Some(f32::NEG_INFINITY));
        assert_eq!(bytea(b"\\x00ff"), Some(vec![0, 255]));
        assert_eq!(date(b"1970-01-02"), Some(1));
        assert_eq!(time(b"24:00:00"), Some(86_400_000_000));
        assert_eq!(timestamp(b"1970-01-01 00:00:01.5"), Some(1_500_000));
        assert_eq!(timestamptz(b"1970-01-01 02:00:00+02"), Some(0));
        assert_eq!(timestamp(b"infinity"), Some(i64::MAX));
        assert_eq!(interval(b"1 year 2 mons 3 days 04:05:06.7"), Some((14, 3, 14_706_700_000)));
        assert_eq!(year_month_day(-719_528), (0, 1, 1));
        assert_eq!(
            elements(b"{1,NULL,\"a \\\"b\\\"\"}"),
            Some(vec![Some(b"1".to_vec()), None, Some(b"a \"b\"".to_vec())])
        );
        assert_eq!(elements(b"{{1},{2}}"), None);
        assert_eq!((date(b"soon"), interval(b"infinity"), bytea(b"\\x0")), (None, None, None));
    }
}
