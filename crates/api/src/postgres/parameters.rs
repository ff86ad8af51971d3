//! Values that clients bind, in text or binary form, as the warehouse takes them.

use millstream_core::{Parameter, TypeKind};
use millstream_pgoutput::ColumnBuilder;

use super::{
    error::{Outcome, WireError},
    types::Kind,
};

/// Dimensions of an array that are taken, as many as PostgreSQL has.
const DIMENSIONS_MAX: usize = 6;

/// PostgreSQL's number of `jsonb`, whose binary form begins with a version.
const JSONB: u32 = 3802;

/// One value. `oid`: what the client called its type, or what the statement decides; 0: nobody knows, it is text.
pub(super) fn value(number: usize, oid: u32, binary: bool, bytes: Option<&[u8]>) -> Outcome<Parameter> {
    let Some(bytes) = bytes else { return Ok(Parameter::Null) };
    let kind = Kind::of_oid(oid);
    let wrong = |why: String| WireError::Parameter {
        number,
        type_name: kind.as_ref().map_or_else(|| "text".to_owned(), Kind::name),
        why,
    };
    match (&kind, binary) {
        (Some(kind), true) => of_binary(kind, oid, bytes).map_err(wrong),
        (None, true) if oid != 0 => Err(wrong(format!("the binary form of type {oid} is not known here"))),
        (kind, _) => {
            let text = std::str::from_utf8(bytes).map_err(|_| WireError::NotUtf8)?;
            of_text(kind.as_ref().unwrap_or(&Kind::Text), text).map_err(wrong)
        }
    }
}

fn of_text(kind: &Kind, text: &str) -> Result<Parameter, String> {
    let trimmed = text.trim();
    let unreadable = || format!("`{trimmed}` is none");
    Ok(match kind {
        Kind::Bool => match trimmed.to_ascii_lowercase().as_str() {
            "t" | "true" | "y" | "yes" | "on" | "1" => Parameter::Boolean(true),
            "f" | "false" | "n" | "no" | "off" | "0" => Parameter::Boolean(false),
            _ => return Err(unreadable()),
        },
        Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Oid => {
            Parameter::Integer(trimmed.parse().map_err(|_| unreadable())?)
        }
        Kind::Float4 | Kind::Float8 => Parameter::Double(trimmed.parse().map_err(|_| unreadable())?),
        Kind::Bytea => Parameter::Bytes(bytea(trimmed).ok_or_else(unreadable)?),
        Kind::Array(_) => Parameter::Text(array_of_text(trimmed).ok_or_else(unreadable)?),
        // The warehouse reads the others from their text, in PostgreSQL's forms.
        _ => Parameter::Text(text.to_owned()),
    })
}

/// `\x…`; the older escape form is not sent by any client.
fn bytea(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("\\x")?;
    let pair = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    (0..digits.len()).step_by(2).map(pair).collect()
}

fn of_binary(kind: &Kind, oid: u32, bytes: &[u8]) -> Result<Parameter, String> {
    let size = || format!("{} bytes are none", bytes.len());
    Ok(match kind {
        Kind::Bool => Parameter::Boolean(bytes.first().filter(|_| bytes.len() == 1).ok_or_else(size)? != &0),
        Kind::Int2 => Parameter::Integer(i16::from_be_bytes(bytes.try_into().map_err(|_| size())?).into()),
        Kind::Int4 => Parameter::Integer(i32::from_be_bytes(bytes.try_into().map_err(|_| size())?).into()),
        Kind::Int8 => Parameter::Integer(i64::from_be_bytes(bytes.try_into().map_err(|_| size())?)),
        Kind::Oid => Parameter::Integer(u32::from_be_bytes(bytes.try_into().map_err(|_| size())?).into()),
        Kind::Float4 => Parameter::Double(f32::from_be_bytes(bytes.try_into().map_err(|_| size())?).into()),
        Kind::Float8 => Parameter::Double(f64::from_be_bytes(bytes.try_into().map_err(|_| size())?)),
        Kind::Bytea => Parameter::Bytes(bytes.to_vec()),
        Kind::Array(element) => Parameter::Text(array_of_binary(element, bytes)?),
        Kind::Json if oid == JSONB => Parameter::Text(printed(&TypeKind::Jsonb, bytes)?),
        other => Parameter::Text(printed(&type_kind(other), bytes)?),
    })
}

/// A value's binary form as the text that PostgreSQL prints.
fn printed(kind: &TypeKind, bytes: &[u8]) -> Result<String, String> {
    let text = ColumnBuilder::text_of_binary(kind, bytes).map_err(|error| error.to_string())?;
    String::from_utf8(text).map_err(|error| error.to_string())
}

fn type_kind(kind: &Kind) -> TypeKind {
    match kind {
        Kind::Bool => TypeKind::Bool,
        Kind::Int2 => TypeKind::Int2,
        Kind::Int4 => TypeKind::Int4,
        Kind::Int8 => TypeKind::Int8,
        Kind::Oid => TypeKind::Oid,
        Kind::Float4 => TypeKind::Float4,
        Kind::Float8 => TypeKind::Float8,
        Kind::Numeric(_) => TypeKind::Numeric { declared: None },
        Kind::Text => TypeKind::Text,
        Kind::Json => TypeKind::Json,
        Kind::Bytea => TypeKind::Bytea,
        Kind::Date => TypeKind::Date,
        Kind::Time => TypeKind::Time,
        Kind::Timestamp => TypeKind::Timestamp,
        Kind::TimestampTz => TypeKind::TimestampTz,
        Kind::Interval => TypeKind::Interval,
        Kind::Uuid => TypeKind::Uuid,
        Kind::Array(element) => TypeKind::Array(Box::new(type_kind(element))),
    }
}

/// Appends an element as the warehouse's list literals spell it.
fn push_element(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            out.push('\\');
        }
        out.push(character);
    }
    out.push('"');
}

/// `{1,NULL,"a b"}` as `["1", NULL, "a b"]`, of any depth; bounds (`[0:1]={…}`) are none of a list's.
pub(super) fn array_of_text(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len() + 8);
    let mut rest = text.chars().peekable();
    let mut depth = 0;
    // Whether an element may begin here.
    let mut open = true;
    while let Some(character) = rest.next() {
        match character {
            '{' if open && depth < DIMENSIONS_MAX => {
                out.push('[');
                depth += 1;
            }
            '}' if depth > 0 => {
                out.push(']');
                depth -= 1;
                open = false;
                if depth == 0 {
                    return rest.all(char::is_whitespace).then_some(out);
                }
            }
            ',' if depth > 0 && !open => {
                out.push_str(", ");
                open = true;
            }
            character if character.is_whitespace() => {}
            '"' if open && depth > 0 => {
                let mut element = String::new();
                loop {
                    match rest.next()? {
                        '"' => break,
                        '\\' => element.push(rest.next()?),
                        other => element.push(other),
                    }
                }
                push_element(&mut out, &element);
                open = false;
            }
            first if open && depth > 0 => {
                let mut element = String::from(first);
                while let Some(next) = rest.next_if(|next| !matches!(next, ',' | '{' | '}' | '"')) {
                    element.push(next);
                }
                let element = element.trim_end();
                if element.eq_ignore_ascii_case("null") {
                    out.push_str("NULL");
                } else {
                    push_element(&mut out, element);
                }
                open = false;
            }
            _ => return None,
        }
    }
    None
}

/// An array's binary form as the warehouse's list literal, by way of PostgreSQL's.
fn array_of_binary(element: &Kind, bytes: &[u8]) -> Result<String, String> {
    let text = printed(&TypeKind::Array(Box::new(type_kind(element))), bytes)?;
    array_of_text(&text).ok_or_else(|| format!("{text} has bounds, which lists don't have"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(oid: u32, text: &str) -> Option<Parameter> {
        value(1, oid, false, Some(text.as_bytes())).ok()
    }

    #[test]
    fn texts_become_values_of_their_type() {
        assert_eq!(text(23, " 42 "), Some(Parameter::Integer(42)));
        assert_eq!(text(16, "on"), Some(Parameter::Boolean(true)));
        assert_eq!(text(701, "-Infinity"), Some(Parameter::Double(f64::NEG_INFINITY)));
        assert_eq!(text(17, "\\x00ff"), Some(Parameter::Bytes(vec![0, 255])));
        assert_eq!(text(0, " a "), Some(Parameter::Text(" a ".into())));
        assert_eq!(text(1007, "{1,NULL, 3}"), Some(Parameter::Text("[\"1\", NULL, \"3\"]".into())));
        assert_eq!(text(1009, r#"{a,"b \"c",{}}"#), Some(Parameter::Text(r#"["a", "b \"c", []]"#.into())));
        for (oid, wrong) in
            [(23, "x"), (16, "2"), (17, "\\x0"), (1007, "{1"), (1007, "1}"), (1007, "{1}{2}"), (1007, "")]
        {
            assert_eq!(text(oid, wrong), None, "{oid} {wrong}");
        }
    }

    #[test]
    fn binary_forms_are_read_or_refused() {
        let binary = |oid, bytes: &[u8]| value(1, oid, true, Some(bytes)).ok();
        assert_eq!(binary(20, &[0, 0, 0, 0, 0, 0, 1, 0]), Some(Parameter::Integer(256)));
        assert_eq!(binary(3802, b"\x01{}"), Some(Parameter::Text("{}".into())));
        assert_eq!(binary(1082, &0i32.to_be_bytes()), Some(Parameter::Text("2000-01-01".into())));
        assert_eq!(binary(1700, &[0, 1, 0, 0, 64, 0, 0, 0, 0, 7]), Some(Parameter::Text("-7".into())));
        assert_eq!(binary(23, &[0]), None);
        assert_eq!(binary(600, &[0]), None);
        assert_eq!(binary(25, &[255]), None);
    }
}
