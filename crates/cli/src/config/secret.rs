//! Text that is never printed.

use std::fmt;

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
    fn debug_output_does_not_hold_it() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(…)");
    }
}
