//! Text that is never printed.

use std::{fmt, sync::Arc};

/// A secret. It has neither `Display` nor `Serialize`; what needs it asks by name.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides the text.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// The text, for the one who connects with it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The lines of a file, each fit to be shown: passwords, secrets and the values of headers are covered, character for character.
pub(super) fn redact_lines(text: &str) -> Vec<Arc<str>> {
    // How far the key is indented whose mapping goes on, and how far its entries are.
    let mut headers: Option<(usize, Option<usize>)> = None;
    let line = |line: &str| {
        let indent = line.chars().take_while(|c| *c == ' ').count();
        let blank = line.trim().is_empty();
        if headers.is_some_and(|(outer, _)| !blank && indent <= outer) {
            headers = None;
        }
        let mut chars: Vec<char> = redact(line).chars().collect();
        if let Some((_, entries)) = headers.as_mut().filter(|_| !blank) {
            match indent > *entries.get_or_insert(indent) {
                // A value that goes on.
                true => chars[indent..].fill('*'),
                false => cover_entry(&mut chars),
            }
        } else if let Some(at) = find(&chars, HEADERS_KEY) {
            let behind = at + HEADERS_KEY.len();
            if !cover_entries(&mut chars, behind) {
                headers = Some((indent, None));
            }
        }
        chars.into_iter().collect::<String>().into()
    };
    text.lines().map(line).collect()
}

/// The key whose mapping holds secrets by name.
const HEADERS_KEY: &str = "headers:";

/// Covers the values of a mapping that begins on this line, unless they only name a variable. Whether it ends there.
fn cover_entries(chars: &mut [char], from: usize) -> bool {
    let mut at = from;
    while let Some(found) = chars[at..].iter().position(|c| matches!(c, ':' | '}')) {
        if chars[at + found] == '}' {
            return true;
        }
        let behind = at + found + 1;
        let start = behind + chars[behind..].iter().take_while(|c| **c == ' ').count();
        let quote = chars.get(start).copied().filter(|c| matches!(c, '"' | '\''));
        let start = start + usize::from(quote.is_some());
        let rest = chars.get(start..).unwrap_or_default();
        let variable = rest.starts_with(&['$', '{']);
        let ends = |c: &char| match quote {
            Some(quote) => *c == quote,
            None if variable => *c == '}',
            None => matches!(c, ',' | '}'),
        };
        let end = start + rest.iter().position(ends).unwrap_or(rest.len());
        if !variable {
            chars[start..end].fill('*');
        }
        at = (end + usize::from(quote.is_some() || variable)).min(chars.len());
    }
    false
}

/// Covers the value of an entry that has a line of its own.
fn cover_entry(chars: &mut [char]) {
    let Some(colon) = chars.iter().position(|c| *c == ':') else { return chars.fill('*') };
    let blanks = chars[colon + 1..].iter().take_while(|c| **c == ' ').count();
    let value = &mut chars[colon + 1 + blanks..];
    if !value.starts_with(&['$', '{']) {
        value.fill('*');
    }
}

/// Covers passwords in connection strings, character for character, so that a line of the file can be shown with its columns.
pub fn redact(text: &str) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    cover_uri_passwords(&mut chars);
    cover_password_pairs(&mut chars);
    cover_secrets(&mut chars);
    chars.into_iter().collect()
}

/// `scheme://user:PASSWORD@host`: up to the last `@` before the path, as a password that was not percent-encoded may hold one.
fn cover_uri_passwords(chars: &mut [char]) {
    let mut at = 0;
    while let Some(start) = find(&chars[at..], "://").map(|found| at + found + 3) {
        let end = chars[start..]
            .iter()
            .position(|c| c.is_whitespace() || matches!(c, '"' | '\''))
            .map_or(chars.len(), |length| start + length);
        let authority = &mut chars[start..end];
        if let (Some(colon), Some(host)) =
            (authority.iter().position(|&c| c == ':'), authority.iter().rposition(|&c| c == '@'))
        {
            if colon < host {
                authority[colon + 1..host].fill('*');
            }
        }
        at = end;
    }
}

/// `password=…`, quoted or not, in key=value strings and in a URI's query.
fn cover_password_pairs(chars: &mut [char]) {
    let mut at = 0;
    while let Some(mut start) = find(&chars[at..], "password").map(|found| at + found + "password".len()) {
        at = start;
        let skip_blanks = |chars: &[char], mut from: usize| {
            while chars.get(from) == Some(&' ') {
                from += 1;
            }
            from
        };
        start = skip_blanks(chars, start);
        if chars.get(start) != Some(&'=') {
            continue;
        }
        start = skip_blanks(chars, start + 1);
        let quoted = chars.get(start) == Some(&'\'');
        start += usize::from(quoted);
        let end = chars[start.min(chars.len())..]
            .iter()
            .position(
                |&c| if quoted { c == '\'' } else { c.is_whitespace() || matches!(c, '&' | '"' | '\'') },
            )
            .map_or(chars.len(), |length| start + length);
        if start < end {
            chars[start..end].fill('*');
        }
        at = end;
    }
}

/// `secret: …` of the file itself, unless it only names a variable.
fn cover_secrets(chars: &mut [char]) {
    const KEY: &str = "secret:";
    let mut at = 0;
    while let Some(found) = find(&chars[at..], KEY) {
        let behind = at + found + KEY.len();
        let blanks = chars[behind..].iter().take_while(|c| c.is_whitespace()).count();
        let mut start = behind + blanks;
        let quote = chars.get(start).copied().filter(|c| matches!(c, '"' | '\''));
        start += usize::from(quote.is_some());
        let ends = |c: &char| quote.map_or(matches!(c, ',' | '}') || c.is_whitespace(), |quote| *c == quote);
        let rest = chars.get(start..).unwrap_or_default();
        let end = start + rest.iter().position(ends).unwrap_or(rest.len());
        if start < end && !rest.starts_with(&['$', '{']) {
            chars[start..end].fill('*');
        }
        at = end.max(behind);
    }
}

fn find(chars: &[char], text: &str) -> Option<usize> {
    let text: Vec<char> = text.chars().collect();
    chars.windows(text.len()).position(|window| window == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_covered_and_columns_kept() {
        for (text, expected) in [
            ("url: postgres://u:p@s/w@h:5432/d?x=1 # c", "url: postgres://u:*****@h:5432/d?x=1 # c"),
            ("url: postgresql://u@h/d", "url: postgresql://u@h/d"),
            ("url: \"host=h password = 'a b' user=u\"", "url: \"host=h password = '***' user=u\""),
            (
                "postgres://h/d?user=u&password=xyz&sslmode=require",
                "postgres://h/d?user=u&password=***&sslmode=require",
            ),
            ("password=", "password="),
            ("jwt: {secret: abc, key: x}", "jwt: {secret: ***, key: x}"),
            ("  secret: \"a b\" # c", "  secret: \"***\" # c"),
            ("secret: ${JWT_SECRET}", "secret: ${JWT_SECRET}"),
            ("secret:", "secret:"),
            ("é://u:é@h", "é://u:*@h"),
        ] {
            assert_eq!(redact(text), expected);
        }
    }

    #[test]
    fn values_of_headers_are_covered_however_they_are_written() {
        let lines = redact_lines(
            "traces: {headers: {api-key: abc, \"b\": \"d:e}, f\", c: ${KEY}}, sample: 1}\n\
             traces:\n  headers:\n    authorization: Bearer a, b}\n\n    x: ${KEY}\n    y: >\n      a: b\n  sample: 0.1\n\
             t: {headers: {a: abc,\n  b: abc}}\nsample: 0.1",
        );
        let expected = [
            "traces: {headers: {api-key: ***, \"b\": \"*******\", c: ${KEY}}, sample: 1}",
            "traces:",
            "  headers:",
            "    authorization: ************",
            "",
            "    x: ${KEY}",
            "    y: *",
            "      ****",
            "  sample: 0.1",
            "t: {headers: {a: ***,",
            "  b: *****",
            "sample: 0.1",
        ];
        assert_eq!(lines.iter().map(|line| &**line).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn debug_output_does_not_hold_it() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(…)");
    }
}
