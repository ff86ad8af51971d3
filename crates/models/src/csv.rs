//! CSV (RFC 4180), record by record.

/// Reads a text's records, and tells each to `take` with the number of its first line. Lines without anything are none.
///
/// Errors: a quote is never closed; what `take` says.
pub(crate) fn records(
    text: &str,
    delimiter: char,
    mut take: impl FnMut(usize, Vec<String>) -> std::result::Result<(), String>,
) -> std::result::Result<(), String> {
    let mut record = Vec::new();
    let mut field = String::new();
    let (mut quoted, mut was_quoted) = (false, false);
    let (mut line, mut first) = (1, 1);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\n' {
            line += 1;
        }
        match c {
            '"' if quoted && chars.next_if_eq(&'"').is_some() => field.push('"'),
            '"' if quoted => quoted = false,
            '"' if field.is_empty() && !was_quoted => (quoted, was_quoted) = (true, true),
            _ if quoted => field.push(c),
            c if c == delimiter => {
                record.push(std::mem::take(&mut field));
                was_quoted = false;
            }
            '\r' if chars.peek() == Some(&'\n') => {}
            '\n' => {
                if !(record.is_empty() && field.is_empty() && !was_quoted) {
                    record.push(std::mem::take(&mut field));
                    take(first, std::mem::take(&mut record))?;
                }
                (was_quoted, first) = (false, line);
            }
            c => field.push(c),
        }
    }
    if quoted {
        return Err(format!("line {first}: a quote is never closed"));
    }
    if !(record.is_empty() && field.is_empty()) {
        record.push(field);
        take(first, record)?;
    }
    Ok(())
}
