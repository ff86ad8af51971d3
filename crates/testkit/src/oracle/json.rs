//! JSON as the comparison needs it: numbers by their value, however many digits they have and however they are written.
//!
//! A general parser would make doubles of them, and 40 digits would be equal to 40 others.

use std::collections::BTreeMap;

use crate::{Error, Result};

/// A value that prints the same exactly when it is the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Json {
    /// `null`.
    Null,
    /// `true`, `false`.
    Bool(bool),
    /// Digits without leading or trailing zeros, and a power of ten: see [`number`].
    Number(String),
    /// Text.
    Text(String),
    /// In order.
    Array(Vec<Json>),
    /// By name; of a name that comes twice the last counts, as for `jsonb`.
    Object(BTreeMap<String, Json>),
}

impl Json {
    /// Parses one value.
    ///
    /// # Errors
    /// Text that is not JSON, with the place.
    pub fn parse(text: &str) -> Result<Self> {
        let mut parser = Parser { text: text.as_bytes(), at: 0 };
        let value = parser.value()?;
        parser.blanks();
        if parser.at < text.len() {
            return Err(parser.error("the end"));
        }
        Ok(value)
    }
}

/// The canonical form of a decimal number, `15e-1` for `1.50`; `None` if the text is none.
pub(super) fn number(text: &str) -> Option<String> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text),
    };
    let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
        None => (rest, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if whole.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let exponent = exponent - fraction.len() as i64;
    let kept = digits.trim_end_matches('0');
    let exponent = exponent + (digits.len() - kept.len()) as i64;
    let kept = kept.trim_start_matches('0');
    // Zero has no sign in JSON's numbers: PostgreSQL's numeric has none, and -0.0 equals 0.0.
    Some(if kept.is_empty() { "0".into() } else { format!("{sign}{kept}e{exponent}") })
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
}

impl Parser<'_> {
    fn error(&self, expected: &str) -> Error {
        let start = self.at.saturating_sub(40);
        let end = (self.at + 40).min(self.text.len());
        let around = String::from_utf8_lossy(&self.text[start..end]);
        Error::new(format!("not JSON: expected {expected} at byte {}, near `{around}`", self.at))
    }

    fn blanks(&mut self) {
        while self.text.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }

    fn next_is(&mut self, byte: u8) -> bool {
        self.blanks();
        let found = self.text.get(self.at) == Some(&byte);
        self.at += usize::from(found);
        found
    }

    fn literal(&mut self, word: &str, value: Json) -> Result<Json> {
        if self.text[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(value);
        }
        Err(self.error(word))
    }

    fn value(&mut self) -> Result<Json> {
        self.blanks();
        match self.text.get(self.at) {
            Some(b'n') => self.literal("null", Json::Null),
            Some(b't') => self.literal("true", Json::Bool(true)),
            Some(b'f') => self.literal("false", Json::Bool(false)),
            Some(b'"') => self.string().map(Json::Text),
            Some(b'[') => {
                self.at += 1;
                let mut items = Vec::new();
                if self.next_is(b']') {
                    return Ok(Json::Array(items));
                }
                loop {
                    items.push(self.value()?);
                    if self.next_is(b']') {
                        return Ok(Json::Array(items));
                    }
                    if !self.next_is(b',') {
                        return Err(self.error("`,` or `]`"));
                    }
                }
            }
            Some(b'{') => {
                self.at += 1;
                let mut members = BTreeMap::new();
                if self.next_is(b'}') {
                    return Ok(Json::Object(members));
                }
                loop {
                    self.blanks();
                    let name = self.string()?;
                    if !self.next_is(b':') {
                        return Err(self.error("`:`"));
                    }
                    members.insert(name, self.value()?);
                    if self.next_is(b'}') {
                        return Ok(Json::Object(members));
                    }
                    if !self.next_is(b',') {
                        return Err(self.error("`,` or `}`"));
                    }
                }
            }
            Some(b'-' | b'0'..=b'9') => {
                let length = self.text[self.at..]
                    .iter()
                    .take_while(|byte| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9'))
                    .count();
                let text = String::from_utf8_lossy(&self.text[self.at..self.at + length]).into_owned();
                let value = number(&text).ok_or_else(|| self.error("a number"))?;
                self.at += length;
                Ok(Json::Number(value))
            }
            _ => Err(self.error("a value")),
        }
    }

    fn string(&mut self) -> Result<String> {
        if self.text.get(self.at) != Some(&b'"') {
            return Err(self.error("`\"`"));
        }
        self.at += 1;
        let mut bytes = Vec::new();
        loop {
            let byte = *self.text.get(self.at).ok_or_else(|| self.error("`\"`"))?;
            self.at += 1;
            match byte {
                b'"' => return String::from_utf8(bytes).map_err(|_| self.error("UTF-8")),
                b'\\' => {
                    let character = self.escape()?;
                    bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                _ => bytes.push(byte),
            }
        }
    }

    fn escape(&mut self) -> Result<char> {
        let byte = *self.text.get(self.at).ok_or_else(|| self.error("an escape"))?;
        self.at += 1;
        Ok(match byte {
            b'n' => '\n',
            b't' => '\t',
            b'r' => '\r',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'"' | b'\\' | b'/' => char::from(byte),
            b'u' => {
                let high = self.hex()?;
                let code = if (0xD800..0xDC00).contains(&high) && self.text[self.at..].starts_with(b"\\u") {
                    self.at += 2;
                    0x1_0000 + ((high - 0xD800) << 10) + (self.hex()?.wrapping_sub(0xDC00) & 0x3FF)
                } else {
                    high
                };
                char::from_u32(code).ok_or_else(|| self.error("a character"))?
            }
            _ => return Err(self.error("an escape")),
        })
    }

    fn hex(&mut self) -> Result<u32> {
        let digits = self.text.get(self.at..self.at + 4).and_then(|digits| std::str::from_utf8(digits).ok());
        let code = digits
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .ok_or_else(|| self.error("four hexadecimal digits"))?;
        self.at += 4;
        Ok(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_equal_by_value_with_all_their_digits() {
        let parse = |text| Json::parse(text).unwrap();
        assert_eq!(parse("1.50"), parse("1.5"));
        assert_eq!(parse("100"), parse("1e2"));
        assert_eq!(parse("-0.0"), parse("0"));
        assert_eq!(parse("0.001"), parse("1E-3"));
        assert_ne!(
            parse("1234567890123456789012345678901234567890"),
            parse("1234567890123456789012345678901234567891")
        );
        assert_ne!(parse("\"1\""), parse("1"));
        for text in ["1.5.1", "-", "1e", "[1 2]", "{\"a\"}", "\"", "nul", "1 2"] {
            assert!(Json::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn escapes_and_members_are_read() {
        let parse = |text| Json::parse(text).unwrap();
        assert_eq!(parse(r#""\ud83d\udc18\n\u00e9""#), Json::Text("🐘\né".into()));
        assert_eq!(parse(r#"{"b": [1, null], "a": {}}"#), parse(r#"{"a":{},"b":[1.0,null]}"#));
    }
}
