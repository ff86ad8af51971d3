//! Plain scalars by YAML 1.1, as PyYAML's safe loader resolves them; dates stay texts, as everything that leaves dbt has them.

use serde_json::{Number, Value as Json};

/// The value of a plain scalar.
pub(crate) fn resolve(text: &str) -> Json {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Json::Null,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return true.into(),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => return false.into(),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "-.inf" | ".nan" | ".NaN" | ".NAN" => return text.into(),
        _ => {}
    }
    if let Some(int) = integer(text) {
        return int.into();
    }
    if let Some(number) = float(text).and_then(Number::from_f64) {
        return Json::Number(number);
    }
    text.into()
}

fn integer(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix(['-', '+']) {
        Some(digits) => (if text.starts_with('-') { -1 } else { 1 }, digits),
        None => (1, text),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let plain = digits.replace('_', "");
    let value = if let Some(hex) = plain.strip_prefix("0x") {
        i64::from_str_radix(hex, 16).ok()?
    } else if let Some(binary) = plain.strip_prefix("0b") {
        i64::from_str_radix(binary, 2).ok()?
    } else if plain.len() > 1 && plain.starts_with('0') {
        i64::from_str_radix(&plain, 8).ok()?
    } else if plain.contains(':') {
        // Sexagesimal: 1:30 is ninety.
        let mut value = 0i64;
        for (index, part) in plain.split(':').enumerate() {
            let part: i64 = part.parse().ok()?;
            if index > 0 && part > 59 {
                return None;
            }
            value = value.checked_mul(60)?.checked_add(part)?;
        }
        value
    } else {
        plain.parse().ok()?
    };
    Some(sign * value)
}

fn float(text: &str) -> Option<f64> {
    let unsigned = text.trim_start_matches(['-', '+']);
    let begins = unsigned.starts_with(|c: char| c.is_ascii_digit())
        || (unsigned.starts_with('.') && unsigned[1..].starts_with(|c: char| c.is_ascii_digit()));
    // PyYAML takes an exponent only with a point before and a sign behind it.
    let exponent = unsigned.find(['e', 'E']);
    let signed = exponent.is_none_or(|at| unsigned[at + 1..].starts_with(['-', '+']));
    if !begins || !unsigned.contains('.') || !signed || unsigned.contains(':') {
        return None;
    }
    text.replace('_', "").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_are_what_pyyaml_makes_of_them() {
        for (text, expected) in [
            ("yes", Json::Bool(true)),
            ("Off", Json::Bool(false)),
            ("y", "y".into()),
            ("012", 10.into()),
            ("0x1F", 31.into()),
            ("1_000", 1000.into()),
            ("1:30", 90.into()),
            ("1.5", 1.5.into()),
            ("1e3", "1e3".into()),
            ("1.0e+3", 1000.0.into()),
            ("2020-01-01", "2020-01-01".into()),
            ("1.2.3", "1.2.3".into()),
            ("~", Json::Null),
            ("-7", (-7).into()),
            ("09", "09".into()),
        ] {
            assert_eq!(resolve(text), expected, "{text}");
        }
    }
}
