//! Between DuckDB's values and PostgreSQL's text: literals of `attmissingval`, and the text a column becomes when it is widened to text.
//!
//! The text is PostgreSQL's output under the settings that the source's sessions pin: DateStyle ISO, IntervalStyle postgres, TimeZone UTC,
//! extra_float_digits 3, bytea_output hex. It is written as SQL of built-in functions only, because `ALTER … USING` is replayed from the write-ahead log before
//! anything of ours could be registered, and without a dependence on session settings for the same reason.

use millstream_core::{warehouse::physical_name, warehouse::LayoutColumn, ColumnType};

use super::sql::{column_type, string};
use crate::WarehouseError;

/// The expression that converts a column to another type, for `ALTER … USING`.
pub(crate) fn conversion(column: &LayoutColumn, to: &ColumnType) -> String {
    let name = physical_name(column.attnum);
    match to {
        ColumnType::Text => postgres_text(&name, &column.column_type, &column.source_type),
        _ => format!("{name}::{}", column_type(to)),
    }
}

/// An expression of PostgreSQL's text output of `value`, NULL for NULL. `source_type` is PostgreSQL's name of the type.
pub(crate) fn postgres_text(value: &str, of: &ColumnType, source_type: &str) -> String {
    match of {
        ColumnType::Boolean => format!("(CASE WHEN {value} THEN 't' WHEN NOT {value} THEN 'f' END)"),
        ColumnType::Real => float_text(value, 6),
        ColumnType::Double => float_text(value, 15),
        // A numeric without declared scale is held with a scale of its own, whose zeros the source did not have.
        ColumnType::Decimal(_, scale) if *scale > 0 && is_bare_numeric(source_type) => {
            format!("rtrim(rtrim({value}::VARCHAR, '0'), '.')")
        }
        ColumnType::Blob => format!("('\\x' || lower(hex({value})))"),
        ColumnType::Date => format!("replace({value}::VARCHAR, ' (BC)', ' BC')"),
        ColumnType::Timestamp => timestamp_text(&format!("{value}::VARCHAR"), ""),
        ColumnType::TimestampTz => format!(
            "(CASE WHEN isfinite({value}) THEN {} ELSE {value}::TIMESTAMP::VARCHAR END)",
            timestamp_text(
                &format!("make_timestamp(CASE WHEN isfinite({value}) THEN epoch_us({value}) END)::VARCHAR"),
                "+00"
            )
        ),
        ColumnType::Interval => interval_text(value),
        ColumnType::List(element) => list_text(value, element, source_type),
        ColumnType::SmallInt
        | ColumnType::Integer
        | ColumnType::BigInt
        | ColumnType::UInteger
        | ColumnType::Decimal(..)
        | ColumnType::Text
        | ColumnType::Json
        | ColumnType::Time
        | ColumnType::Uuid => format!("{value}::VARCHAR"),
    }
}

/// Whether the source's type is `numeric` without precision, itself or as an array's element.
fn is_bare_numeric(source_type: &str) -> bool {
    source_type.trim_end_matches("[]") == "numeric"
}

/// PostgreSQL and DuckDB both print the shortest digits that read back the same, and differ in the notation: PostgreSQL turns to exponents from
/// `fixed_digits` digits before the point on, DuckDB from 16 on, and DuckDB prints `.0` behind whole numbers.
fn float_text(value: &str, fixed_digits: u8) -> String {
    let text = format!("{value}::VARCHAR");
    let sign = format!("(CASE WHEN signbit({value}) THEN '-' ELSE '' END)");
    // All digits of a number in fixed notation, without those behind the last that is not zero.
    let digits = format!("rtrim(replace(regexp_replace({text}, '^-|\\.0$', '', 'g'), '.', ''), '0')");
    let exponent = format!("(strpos(ltrim({text}, '-') || '.', '.') - 2)");
    format!(
        "(CASE WHEN isnan({value}) THEN 'NaN' WHEN isinf({value}) THEN {sign} || 'Infinity' \
         WHEN contains({text}, 'e') THEN regexp_replace({text}, '\\.0e', 'e') \
         WHEN abs({value}) >= 1e{fixed_digits} THEN {sign} || left({digits}, 1) || \
         (CASE WHEN length({digits}) > 1 THEN '.' || substr({digits}, 2) ELSE '' END) || \
         'e+' || lpad({exponent}::VARCHAR, 2, '0') \
         ELSE regexp_replace({text}, '\\.0$', '') END)"
    )
}

/// DuckDB prints the era between date and time, PostgreSQL at the end, behind the zone.
fn timestamp_text(text: &str, zone: &str) -> String {
    format!(
        "(CASE WHEN contains({text}, ' (BC)') THEN replace({text}, ' (BC)', '') || '{zone} BC' \
         WHEN contains({text}, 'infinity') THEN {text} ELSE {text} || '{zone}' END)"
    )
}

/// IntervalStyle `postgres`: years, months and days each with their own sign, a plus behind a negative one, then the time.
fn interval_text(value: &str) -> String {
    let months = format!("(datepart('year', {value}) * 12 + datepart('month', {value}))");
    let years = format!("({months} // 12)");
    let rest = format!("({months} % 12)");
    let days = format!("datepart('day', {value})");
    let micros = format!(
        "(datepart('hour', {value}) * 3600000000 + datepart('minute', {value}) * 60000000 + datepart('microsecond', {value}))"
    );
    let part = |amount: &str, unit: &str, negative_before: &str| {
        format!(
            "CASE WHEN {amount} <> 0 THEN (CASE WHEN {amount} > 0 AND {negative_before} THEN '+' ELSE '' END) || \
             {amount}::VARCHAR || ' {unit}' || (CASE WHEN {amount} <> 1 THEN 's' ELSE '' END) END"
        )
    };
    let after_years = format!("{years} < 0");
    let after_months = format!("({rest} < 0 OR ({rest} = 0 AND {years} < 0))");
    let after_days = format!("({days} < 0 OR ({days} = 0 AND {after_months}))");
    let seconds = format!("(abs({micros}) % 60000000)");
    let fraction = format!(
        "(CASE WHEN {seconds} % 1000000 <> 0 THEN '.' || rtrim(lpad(({seconds} % 1000000)::VARCHAR, 6, '0'), '0') ELSE '' END)"
    );
    let two = |number: String| {
        format!("lpad({number}::VARCHAR, greatest(2, length({number}::VARCHAR))::INTEGER, '0')")
    };
    let time = format!(
        "CASE WHEN {micros} <> 0 OR ({months} = 0 AND {days} = 0) THEN \
         (CASE WHEN {micros} < 0 THEN '-' WHEN {after_days} THEN '+' ELSE '' END) || \
         {} || ':' || {} || ':' || {} || {fraction} END",
        two(format!("(abs({micros}) // 3600000000)")),
        two(format!("(abs({micros}) // 60000000 % 60)")),
        two(format!("({seconds} // 1000000)"))
    );
    format!(
        "(CASE WHEN {value} IS NOT NULL THEN concat_ws(' ', {}, {}, {}, {time}) END)",
        part(&years, "year", "false"),
        part(&rest, "mon", &after_years),
        part(&days, "day", &after_months)
    )
}

/// An array literal as `array_out` writes it: elements quoted where they must be.
fn list_text(value: &str, element: &ColumnType, source_type: &str) -> String {
    let text = postgres_text("x", element, source_type);
    let quoted = match element {
        ColumnType::Text | ColumnType::Json | ColumnType::Blob | ColumnType::Timestamp
        | ColumnType::TimestampTz | ColumnType::Date | ColumnType::Interval => format!(
            "CASE WHEN {text} = '' OR lower({text}) = 'null' OR regexp_matches({text}, '[{{}}\",\\\\\\s\\x0B]') \
             THEN '\"' || replace(replace({text}, '\\', '\\\\'), '\"', '\\\"') || '\"' ELSE {text} END"
        ),
        _ => text,
    };
    format!(
        "(CASE WHEN {value} IS NOT NULL THEN '{{' || \
         coalesce(array_to_string(list_transform({value}, lambda x: coalesce({quoted}, 'NULL')), ','), '') || '}}' END)"
    )
}

/// A SQL literal of a value that PostgreSQL printed, refused where the type would not hold it exactly.
pub(crate) fn literal(of: &ColumnType, text: &str) -> Result<String, WarehouseError> {
    let refused = || WarehouseError::NotExact { value: text.to_owned(), column_type: of.to_string() };
    let name = column_type(of);
    let quoted = |text: &str| format!("{}::{name}", string(text));
    Ok(match of {
        ColumnType::Boolean => match text {
            "t" => "true".into(),
            "f" => "false".into(),
            _ => return Err(refused()),
        },
        ColumnType::SmallInt | ColumnType::Integer | ColumnType::BigInt | ColumnType::UInteger => {
            let value: i128 = text.parse().map_err(|_| refused())?;
            format!("{}::{name}", string(&value.to_string()))
        }
        ColumnType::Real => {
            finite(text, text.parse::<f32>().map(f64::from)).map(|()| quoted(text)).ok_or_else(refused)?
        }
        ColumnType::Double => finite(text, text.parse::<f64>()).map(|()| quoted(text)).ok_or_else(refused)?,
        ColumnType::Decimal(precision, scale) => {
            if !fits(text, usize::from(*precision), usize::from(*scale)) {
                return Err(refused());
            }
            quoted(text)
        }
        ColumnType::Blob => {
            let digits = text.strip_prefix("\\x").ok_or_else(refused)?;
            if digits.len() % 2 != 0 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err(refused());
            }
            format!("unhex('{digits}')")
        }
        ColumnType::Date => match text.strip_suffix(" BC") {
            Some(date) => quoted(&format!("{date} (BC)")),
            None => quoted(text),
        },
        ColumnType::Timestamp | ColumnType::TimestampTz => match text.strip_suffix(" BC") {
            Some(rest) => {
                let (date, time) = rest.split_once(' ').ok_or_else(refused)?;
                quoted(&format!("{date} (BC) {time}"))
            }
            None => quoted(text),
        },
        ColumnType::Interval => interval_literal(text).ok_or_else(refused)?,
        ColumnType::List(element) => {
            let elements = array_elements(text).ok_or_else(refused)?;
            let literals: Result<Vec<_>, _> = elements
                .iter()
                .map(|element_text| match element_text {
                    Some(element_text) => literal(element, element_text),
                    None => Ok("NULL".to_owned()),
                })
                .collect();
            format!("[{}]::{name}", literals?.join(", "))
        }
        ColumnType::Text | ColumnType::Json | ColumnType::Time | ColumnType::Uuid => quoted(text),
    })
}

/// Rust reads what PostgreSQL prints; a finite text that becomes infinite does not fit.
fn finite<E>(text: &str, parsed: Result<f64, E>) -> Option<()> {
    let value = parsed.ok()?;
    (value.is_finite() || text.contains("Inf") || text.contains("NaN")).then_some(())
}

/// Whether a decimal's digits fit a precision and scale without rounding.
fn fits(text: &str, precision: usize, scale: usize) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let numeric = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    !digits.is_empty()
        && numeric(whole)
        && numeric(fraction)
        && fraction.trim_end_matches('0').len() <= scale
        && whole.trim_start_matches('0').len() <= precision - scale
}

/// Reads IntervalStyle `postgres`, such as `-1 years +2 mons 3 days -04:05:06.7`.
fn interval_literal(text: &str) -> Option<String> {
    let (mut months, mut days, mut micros) = (0_i64, 0_i64, 0_i64);
    let mut words = text.split(' ');
    while let Some(word) = words.next() {
        if word.contains(':') {
            micros = time_micros(word)?;
            continue;
        }
        let amount: i64 = word.strip_prefix('+').unwrap_or(word).parse().ok()?;
        match words.next()?.trim_end_matches('s') {
            "year" => months = months.checked_add(amount.checked_mul(12)?)?,
            "mon" => months = months.checked_add(amount)?,
            "day" => days = amount,
            _ => return None,
        }
    }
    let (months, days) = (i32::try_from(months).ok()?, i32::try_from(days).ok()?);
    Some(format!("(to_months({months}) + to_days({days}) + to_microseconds({micros}))"))
}

/// Reads `-04:05:06.7`.
fn time_micros(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut parts = digits.split(':');
    let hours: i64 = parts.next()?.parse().ok()?;
    let minutes: i64 = parts.next()?.parse().ok()?;
    let (seconds, fraction) = {
        let seconds = parts.next()?;
        seconds.split_once('.').unwrap_or((seconds, ""))
    };
    let fraction: i64 = format!("{fraction:0<6}").parse().ok()?;
    let whole = hours.checked_mul(3600)? + minutes * 60 + seconds.parse::<i64>().ok()?;
    let micros = whole.checked_mul(1_000_000)?.checked_add(fraction)?;
    Some(if negative { -micros } else { micros })
}

/// The elements of a one-dimensional array literal; `None` within is NULL. Any other literal is not read.
fn array_elements(text: &str) -> Option<Vec<Option<String>>> {
    let inner = text.strip_prefix('{')?.strip_suffix('}')?;
    let mut elements = Vec::new();
    if inner.is_empty() {
        return Some(elements);
    }
    let (mut element, mut was_quoted, mut in_quotes) = (String::new(), false, false);
    let mut chars = inner.chars();
    let finish = |element: &mut String, was_quoted: &mut bool| {
        let text = std::mem::take(element);
        let quoted = std::mem::take(was_quoted);
        (quoted || !text.eq_ignore_ascii_case("null")).then_some(text)
    };
    while let Some(next) = chars.next() {
        match next {
            '\\' => element.push(chars.next()?),
            '"' => {
                in_quotes = !in_quotes;
                was_quoted = true;
            }
            ',' if !in_quotes => elements.push(finish(&mut element, &mut was_quoted)),
            '{' | '}' if !in_quotes => return None,
            other => element.push(other),
        }
    }
    if in_quotes {
        return None;
    }
    elements.push(finish(&mut element, &mut was_quoted));
    Some(elements)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn array_literals_are_read_with_quotes_and_nulls() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(array_elements("{}"), Some(vec![]));
        assert_eq!(array_elements("{1,NULL,3}"), Some(vec![some("1"), None, some("3")]));
        assert_eq!(
            array_elements(r#"{"a,b","NULL","q\"\\",""}"#),
            Some(vec![some("a,b"), some("NULL"), some("q\"\\"), some("")])
        );
        assert_eq!(array_elements("{{1},{2}}"), None);
        assert_eq!(array_elements("[0:1]={1,2}"), None);
    }

    #[test]
    fn a_decimal_that_would_be_rounded_is_refused() {
        let decimal = ColumnType::Decimal(5, 2);
        assert_eq!(literal(&decimal, "123.45").unwrap(), "'123.45'::DECIMAL(5,2)");
        assert_eq!(literal(&decimal, "-1.5000").unwrap(), "'-1.5000'::DECIMAL(5,2)");
        for refused in ["1.005", "1234", "NaN", "Infinity", ""] {
            assert!(literal(&decimal, refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn intervals_are_read_field_by_field() {
        assert_eq!(
            interval_literal("-1 years +2 mons 3 days -04:05:06.7").unwrap(),
            "(to_months(-10) + to_days(3) + to_microseconds(-14706700000))"
        );
        assert_eq!(interval_literal("00:00:00").unwrap(), "(to_months(0) + to_days(0) + to_microseconds(0))");
        assert_eq!(interval_literal("1 fortnight"), None);
    }

    #[test]
    fn floats_out_of_range_are_refused_and_infinities_are_not() {
        assert!(literal(&ColumnType::Real, "1e40").is_err());
        assert!(literal(&ColumnType::Real, "-Infinity").is_ok());
        assert!(literal(&ColumnType::Double, "NaN").is_ok());
    }
}
