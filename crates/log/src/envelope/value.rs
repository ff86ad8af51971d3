//! Values as Debezium's PostgreSQL connector represents them with its default settings, in the JSON converter's form.
#![doc = include_str!("../../../../docs/reference/events.md")]

use millstream_core::{PgType, TypeKind, Value};
use millstream_pgoutput::value::single;
use serde_json::{json, Value as Json};

/// What stands for a value that was not sent (`unavailable.value.placeholder`).
pub const UNAVAILABLE: &str = "__debezium_unavailable_value";

/// What the JDBC driver takes for infinity, and with it the connector.
const INFINITY: i64 = 9_223_372_036_825_200_000;
const NEGATIVE_INFINITY: i64 = -9_223_372_036_832_400_000;
/// The same numbers as milliseconds, printed.
const ZONED_INFINITY: &str = "+292278994-08-16T23:00:00.000000Z";
const ZONED_NEGATIVE_INFINITY: &str = "-292275055-05-16T23:00:00.000000Z";

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;
/// Of an average month: 365.25 / 12 days.
const MICROS_PER_MONTH: i64 = MICROS_PER_DAY * 36_525 / 1200;

/// A column's value.
pub fn json(pg_type: &PgType, value: Value<'_>) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Unchanged => unavailable(&pg_type.kind),
        Value::Binary(bytes) => json!(base64(bytes)),
        Value::Text(text) => of_kind(&pg_type.kind, pg_type.typmod, text).unwrap_or_else(|| plain(text)),
    }
}

fn unavailable(kind: &TypeKind) -> Json {
    match kind {
        TypeKind::Bytea => json!(base64(UNAVAILABLE.as_bytes())),
        TypeKind::Array(element) => Json::Array(vec![unavailable(element)]),
        _ => json!(UNAVAILABLE),
    }
}

fn plain(text: &[u8]) -> Json {
    // The session's encoding is UTF-8, and the server checks what it converts to it.
    json!(String::from_utf8_lossy(text))
}

fn of_kind(kind: &TypeKind, typmod: i32, text: &[u8]) -> Option<Json> {
    Some(match kind {
        TypeKind::Bool => json!(single::boolean(text)?),
        TypeKind::Int2 | TypeKind::Int4 | TypeKind::Int8 | TypeKind::Oid => json!(single::integer(text)?),
        // Through the shortest text that means the same single, so that 0.1 stays 0.1.
        TypeKind::Float4 => float(single::float4(text)?.to_string().parse().ok()?),
        TypeKind::Float8 => float(single::float8(text)?),
        TypeKind::Numeric { declared: Some((_, scale)) } => json!(base64(&unscaled(text, *scale)?)),
        TypeKind::Numeric { declared: None } => {
            let scale = text.iter().position(|&byte| byte == b'.').map_or(0, |dot| text.len() - dot - 1);
            let scale = i16::try_from(scale).ok()?;
            json!({"scale": scale, "value": base64(&unscaled(text, scale)?)})
        }
        TypeKind::Bytea => json!(base64(&single::bytea(text)?)),
        TypeKind::Date => json!(match single::date(text)? {
            i32::MAX => i32::MAX,
            days if days == -i32::MAX => i32::MIN,
            days => days,
        }),
        TypeKind::Time => json!(in_precision(single::time(text)?, typmod)),
        TypeKind::TimeTz => json!(zoned_time(text)?),
        TypeKind::Timestamp => match single::timestamp(text)? {
            i64::MAX => json!(in_precision(INFINITY, typmod)),
            micros if micros == -i64::MAX => json!(in_precision(NEGATIVE_INFINITY, typmod)),
            micros => json!(in_precision(micros, typmod)),
        },
        TypeKind::TimestampTz => match single::timestamptz(text)? {
            i64::MAX => json!(ZONED_INFINITY),
            micros if micros == -i64::MAX => json!(ZONED_NEGATIVE_INFINITY),
            micros => json!(zoned_timestamp(micros, typmod)),
        },
        TypeKind::Interval => {
            let (months, days, micros) = single::interval(text)?;
            let months = i64::from(months).checked_mul(MICROS_PER_MONTH)?;
            let days = i64::from(days).checked_mul(MICROS_PER_DAY)?;
            json!(months.checked_add(days)?.checked_add(micros)?)
        }
        TypeKind::Array(element) => {
            let elements = single::elements(text)?;
            let of_element = |element_text: Option<Vec<u8>>| match element_text {
                // An array's modifier is that of its elements.
                Some(text) => of_kind(element, typmod, &text).unwrap_or_else(|| plain(&text)),
                None => Json::Null,
            };
            Json::Array(elements.into_iter().map(of_element).collect())
        }
        TypeKind::Text
        | TypeKind::Uuid
        | TypeKind::Json
        | TypeKind::Jsonb
        | TypeKind::Enum
        | TypeKind::Other => plain(text),
    })
}

fn float(value: f64) -> Json {
    if value.is_nan() {
        json!("NaN")
    } else if value.is_infinite() {
        json!(if value > 0.0 { "Infinity" } else { "-Infinity" })
    } else {
        json!(value)
    }
}

/// Milliseconds where no more than three digits were declared.
fn in_precision(micros: i64, typmod: i32) -> i64 {
    if (0..=3).contains(&typmod) {
        micros.div_euclid(1000)
    } else {
        micros
    }
}

fn zoned_timestamp(micros: i64, typmod: i32) -> String {
    let (days, micros) = (micros.div_euclid(MICROS_PER_DAY), micros.rem_euclid(MICROS_PER_DAY));
    let (year, month, day) = single::year_month_day(days);
    // ISO 8601 as Java prints it: four digits at least, a sign beyond them.
    let year = match year {
        0..=9999 => format!("{year:04}"),
        10_000.. => format!("+{year}"),
        _ => format!("-{:04}", -year),
    };
    let (seconds, micros) = (micros / MICROS_PER_SECOND, micros % MICROS_PER_SECOND);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let digits = usize::try_from(typmod).unwrap_or(6).min(6);
    let fraction = match digits {
        0 => String::new(),
        digits => format!(".{}", &format!("{micros:06}")[..digits]),
    };
    format!("{year}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}{fraction}Z")
}

/// `10:11:12.5+02` in UTC.
fn zoned_time(text: &[u8]) -> Option<String> {
    let zone = text.iter().position(|byte| matches!(byte, b'+' | b'-'))?;
    let (time, zone) = text.split_at(zone);
    let micros = single::time(time)?;
    let mut parts = std::str::from_utf8(&zone[1..]).ok()?.split(':');
    let mut offset = 0;
    for unit in [3600, 60, 1] {
        offset += unit * parts.next().map_or(Ok(0), str::parse::<i64>).ok()?;
    }
    let offset = if zone[0] == b'-' { -offset } else { offset };
    let micros = (micros - offset * MICROS_PER_SECOND).rem_euclid(MICROS_PER_DAY);
    let (seconds, micros) = (micros / MICROS_PER_SECOND, micros % MICROS_PER_SECOND);
    let fraction = match micros {
        0 => String::new(),
        micros => format!(".{}", format!("{micros:06}").trim_end_matches('0')),
    };
    Some(format!("{:02}:{:02}:{:02}{fraction}Z", seconds / 3600, seconds / 60 % 60, seconds % 60))
}

/// A decimal's unscaled value at a scale, big-endian two's complement in as few bytes as hold it. `None` where the text is no finite
/// number or has digits beyond the scale.
fn unscaled(text: &[u8], scale: i16) -> Option<Vec<u8>> {
    let (is_negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    let (whole, fraction) = match digits.iter().position(|&byte| byte == b'.') {
        Some(dot) => (&digits[..dot], &digits[dot + 1..]),
        None => (digits, &[][..]),
    };
    let mut all = [whole, fraction].concat();
    if all.is_empty() || !all.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // Digits behind the point that the scale asks for and the text doesn't have, or the other way around.
    let missing = isize::from(scale) - fraction.len() as isize;
    if missing >= 0 {
        all.extend(std::iter::repeat_n(b'0', missing.unsigned_abs()));
    } else {
        let kept = all.len().saturating_sub(missing.unsigned_abs());
        if all.drain(kept..).any(|digit| digit != b'0') {
            return None;
        }
    }
    Some(twos_complement(&all, is_negative))
}

fn twos_complement(digits: &[u8], is_negative: bool) -> Vec<u8> {
    // Little-endian words; nine digits at a time fit in 32 bits.
    let mut words: Vec<u32> = Vec::new();
    for chunk in digits.chunks(9) {
        let mut carry = chunk.iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0'));
        let factor = 10u64.pow(chunk.len() as u32);
        for word in &mut words {
            let value = u64::from(*word) * factor + carry;
            *word = value as u32;
            carry = value >> 32;
        }
        if carry > 0 {
            words.push(carry as u32);
        }
    }
    // A word of zeros in front holds the sign.
    words.push(0);
    if is_negative {
        let mut carry = true;
        for word in &mut words {
            (*word, carry) = (!*word).overflowing_add(u32::from(carry));
        }
    }
    let bytes: Vec<u8> = words.iter().rev().flat_map(|word| word.to_be_bytes()).collect();
    let is_redundant = |pair: &[u8]| match pair[0] {
        0 => pair[1] < 0x80,
        0xff => pair[1] >= 0x80,
        _ => false,
    };
    let redundant = bytes.windows(2).take_while(|pair| is_redundant(pair)).count();
    bytes[redundant..].to_vec()
}

/// Base64 with padding (RFC 4648, section 4).
pub fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |index: usize| u32::from(chunk.get(index).copied().unwrap_or_default());
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        for index in 0..4 {
            if index <= chunk.len() {
                out.push(char::from(ALPHABET[(group >> (18 - 6 * index) & 63) as usize]));
            } else {
                out.push('=');
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: TypeKind, typmod: i32, text: &str) -> String {
        let pg_type = PgType { oid: 0, typmod, name: String::new(), kind };
        json(&pg_type, Value::Text(text.as_bytes())).to_string()
    }

    #[test]
    fn every_kind_has_its_form() {
        let scaled = |scale| TypeKind::Numeric { declared: Some((10, scale)) };
        let array = |kind| TypeKind::Array(Box::new(kind));
        let bare = TypeKind::Numeric { declared: None };
        for (kind, typmod, text, expected) in [
            (TypeKind::Bool, -1, "t", "true"),
            (TypeKind::Int8, -1, "-9223372036854775808", "-9223372036854775808"),
            (TypeKind::Oid, -1, "4294967295", "4294967295"),
            (TypeKind::Float4, -1, "0.1", "0.1"),
            (TypeKind::Float8, -1, "1e+300", "1e+300"),
            (TypeKind::Float8, -1, "NaN", r#""NaN""#),
            (TypeKind::Float4, -1, "-Infinity", r#""-Infinity""#),
            // The documentation's own example: 1234.56 in two digits is 123456 = 0x01E240.
            (scaled(2), -1, "1234.56", r#""AeJA""#),
            (scaled(2), -1, "0.00", r#""AA==""#),
            (scaled(0), -1, "128", r#""AIA=""#),
            (scaled(0), -1, "-128", r#""gA==""#),
            (scaled(0), -1, "-129", r#""/38=""#),
            (scaled(-2), -1, "1200", r#""DA==""#),
            (scaled(2), -1, "NaN", r#""NaN""#),
            (bare.clone(), -1, "-1.50", r#"{"scale":2,"value":"/2o="}"#),
            (bare.clone(), -1, "10000000000000000000000", r#"{"scale":0,"value":"Ah4Z4Mm6skAAAA=="}"#),
            (bare, -1, "Infinity", r#""Infinity""#),
            (TypeKind::Bytea, -1, "\\x00ff10", r#""AP8Q""#),
            (TypeKind::Date, -1, "2020-02-02", "18294"),
            (TypeKind::Date, -1, "-infinity", "-2147483648"),
            (TypeKind::Time, -1, "10:11:12.000001", "36672000001"),
            (TypeKind::Time, 3, "10:11:12.5", "36672500"),
            (TypeKind::TimeTz, -1, "01:30:00.25+02:30", r#""23:00:00.25Z""#),
            (TypeKind::TimeTz, -1, "10:00:00-08", r#""18:00:00Z""#),
            (TypeKind::Timestamp, -1, "2020-02-02 10:11:12.123456", "1580638272123456"),
            (TypeKind::Timestamp, 0, "1969-12-31 23:59:59", "-1000"),
            (TypeKind::Timestamp, -1, "infinity", "9223372036825200000"),
            (TypeKind::TimestampTz, -1, "2020-02-02 10:11:12.5+01", r#""2020-02-02T09:11:12.500000Z""#),
            (TypeKind::TimestampTz, 3, "2020-02-02 10:11:12.5+00", r#""2020-02-02T10:11:12.500Z""#),
            (TypeKind::TimestampTz, 0, "0002-02-02 10:11:12+00 BC", r#""-0001-02-02T10:11:12Z""#),
            (TypeKind::TimestampTz, -1, "12020-02-02 00:00:00+00", r#""+12020-02-02T00:00:00.000000Z""#),
            (TypeKind::TimestampTz, -1, "infinity", r#""+292278994-08-16T23:00:00.000000Z""#),
            (TypeKind::Interval, -1, "1 mon 2 days 00:00:03", "2802603000000"),
            (TypeKind::Interval, -1, "infinity", r#""infinity""#),
            (TypeKind::Jsonb, -1, r#"{"a": 1}"#, r#""{\"a\": 1}""#),
            (array(TypeKind::Int4), -1, "{1,NULL,3}", "[1,null,3]"),
            (array(TypeKind::Text), -1, r#"{a,"b c"}"#, r#"["a","b c"]"#),
            (array(scaled(1)), -1, "{1.5}", r#"["Dw=="]"#),
            (array(TypeKind::Int4), -1, "{{1},{2}}", r#""{{1},{2}}""#),
            (TypeKind::Other, -1, "[1,5)", r#""[1,5)""#),
        ] {
            assert_eq!(of(kind.clone(), typmod, text), expected, "{kind:?} {text}");
        }
    }

    #[test]
    fn what_was_not_sent_has_the_placeholder_of_its_kind() {
        let unavailable = |kind| {
            let pg_type = PgType { oid: 0, typmod: -1, name: String::new(), kind };
            json(&pg_type, Value::Unchanged).to_string()
        };
        assert_eq!(unavailable(TypeKind::Text), r#""__debezium_unavailable_value""#);
        assert_eq!(unavailable(TypeKind::Bytea), r#""X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==""#);
        assert_eq!(
            unavailable(TypeKind::Array(Box::new(TypeKind::Text))),
            r#"["__debezium_unavailable_value"]"#
        );
    }

    #[test]
    fn unscaled_values_of_any_size_and_sign_are_minimal() {
        for value in
            [0i128, 1, -1, 127, 128, -128, -129, 255, 256, 32767, -32768, -32769, i128::MAX, i128::MIN]
        {
            let bytes = unscaled(value.to_string().as_bytes(), 0).unwrap();
            let fill = if bytes[0] >= 0x80 { 0xff } else { 0 };
            let mut padded = vec![fill; 16 - bytes.len()];
            padded.extend_from_slice(&bytes);
            assert_eq!(i128::from_be_bytes(padded.try_into().unwrap()), value);
            if bytes.len() > 1 {
                assert!(
                    !(bytes[0] == 0 && bytes[1] < 0x80 || bytes[0] == 0xff && bytes[1] >= 0x80),
                    "{value}"
                );
            }
        }
        assert_eq!(unscaled(b"1.25", 1), None, "nothing is rounded");
        assert_eq!(unscaled(b"", 1), None);
    }

    #[test]
    fn base64_pads_as_the_standard_says() {
        let encoded: Vec<_> =
            ["", "f", "fo", "foo", "foob"].iter().map(|text| base64(text.as_bytes())).collect();
        assert_eq!(encoded, ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg=="]);
    }
}
