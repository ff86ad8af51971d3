//! Python's texts: `str`, `repr`, floats, and formatting by `%`.

use super::{
    error::{fail, Eval},
    value::{Args, Value},
};

/// `str(value)`.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Undefined(_) => String::new(),
        Value::Str(text) => text.to_string(),
        Value::Object(object) => object.text(),
        other => repr(other),
    }
}

/// `repr(value)`.
pub(super) fn repr(value: &Value) -> String {
    let mut out = String::new();
    write_repr(value, &mut out, 0);
    out
}

/// A list that holds itself would print without end.
const NESTING_MAX: usize = 100;

fn write_repr(value: &Value, out: &mut String, depth: usize) {
    if depth > NESTING_MAX {
        out.push_str("...");
        return;
    }
    match value {
        Value::Undefined(_) => out.push_str("Undefined"),
        Value::None => out.push_str("None"),
        Value::Bool(true) => out.push_str("True"),
        Value::Bool(false) => out.push_str("False"),
        Value::Int(int) => out.push_str(&int.to_string()),
        Value::Float(value) => out.push_str(&float(*value)),
        Value::Str(text) => quote(text, out),
        Value::List(items) => {
            out.push('[');
            write_items(&items.borrow(), out, depth);
            out.push(']');
        }
        Value::Tuple(items) => {
            out.push('(');
            write_items(items, out, depth);
            if items.len() == 1 {
                out.push(',');
            }
            out.push(')');
        }
        Value::Dict(entries) => {
            out.push('{');
            for (index, (key, value)) in entries.borrow().iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write_repr(key, out, depth + 1);
                out.push_str(": ");
                write_repr(value, out, depth + 1);
            }
            out.push('}');
        }
        Value::Object(object) => out.push_str(&object.repr()),
    }
}

fn write_items(items: &[Value], out: &mut String, depth: usize) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        write_repr(item, out, depth + 1);
    }
}

/// A string as Python's `repr` quotes it.
fn quote(text: &str, out: &mut String) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if (c as u32) < 0x20 || c as u32 == 0x7f => out.push_str(&format!("\\x{:02x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push(quote);
}

/// A float: shortest digits, an exponent from 1e16 on and below 1e-4, always a point or an exponent.
pub(super) fn float(value: f64) -> String {
    if value.is_nan() {
        return "nan".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf".into() } else { "-inf".into() };
    }
    let size = value.abs();
    if size != 0.0 && !(1e-4..1e16).contains(&size) {
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
        return format!("{digits}e{sign}{exponent:0>2}");
    }
    let text = value.to_string();
    if text.contains('.') {
        text
    } else {
        format!("{text}.0")
    }
}

struct Directive {
    key: Option<String>,
    flags: String,
    width: usize,
    precision: Option<usize>,
    kind: char,
}

/// `format % values`.
pub(super) fn percent(format: &str, values: &Value) -> Eval<String> {
    let mut out = String::new();
    let mut chars = format.chars().peekable();
    let positional: Vec<Value> = match values {
        Value::Tuple(items) => items.to_vec(),
        other => vec![other.clone()],
    };
    let mut used = 0;
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut directive =
            Directive { key: None, flags: String::new(), width: 0, precision: None, kind: '%' };
        if chars.peek() == Some(&'(') {
            chars.next();
            directive.key = Some(chars.by_ref().take_while(|c| *c != ')').collect());
        }
        while let Some(flag) = chars.next_if(|c| matches!(c, '-' | '+' | ' ' | '0' | '#')) {
            directive.flags.push(flag);
        }
        directive.width = number(&mut chars).unwrap_or(0);
        if chars.next_if_eq(&'.').is_some() {
            directive.precision = Some(number(&mut chars).unwrap_or(0));
        }
        let Some(kind) = chars.next() else {
            return fail("incomplete format");
        };
        directive.kind = kind;
        if kind == '%' {
            out.push('%');
            continue;
        }
        let value = match &directive.key {
            Some(key) => match values.get(key) {
                Some(value) => value,
                None => return fail(format!("the format names `{key}`, which is not there")),
            },
            None => {
                used += 1;
                match positional.get(used - 1) {
                    Some(value) => value.clone(),
                    None => return fail("not enough arguments for format string"),
                }
            }
        };
        out.push_str(&padded(&directive, &value)?);
    }
    if used < positional.len() && used > 0 && matches!(values, Value::Tuple(_)) {
        return fail("not all arguments converted during string formatting");
    }
    if used == 0 && !format.contains("%(") && !matches!(values, Value::Dict(_) | Value::List(_)) {
        let empty = matches!(values, Value::Tuple(items) if items.is_empty());
        if !empty {
            return fail("not all arguments converted during string formatting");
        }
    }
    Ok(out)
}

fn number(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<usize> {
    let mut digits = String::new();
    while let Some(digit) = chars.next_if(char::is_ascii_digit) {
        digits.push(digit);
    }
    // A width beyond this is a mistake, and would fill the memory.
    digits.parse::<usize>().ok().map(|number| number.min(10_000))
}

fn padded(directive: &Directive, value: &Value) -> Eval<String> {
    let signed = |negative: bool, digits: String| {
        let sign = if negative {
            "-"
        } else if directive.flags.contains('+') {
            "+"
        } else if directive.flags.contains(' ') {
            " "
        } else {
            ""
        };
        let zeros = if directive.flags.contains('0') && !directive.flags.contains('-') {
            directive.width.saturating_sub(sign.len() + digits.len())
        } else {
            0
        };
        format!("{sign}{}{digits}", "0".repeat(zeros))
    };
    let body = match directive.kind {
        's' => cut(text(value), directive.precision),
        'r' | 'a' => cut(repr(value), directive.precision),
        'd' | 'i' | 'u' => {
            let Some(number) = value.as_int().or_else(|| value.as_float().map(|float| float.trunc() as i64))
            else {
                return fail(format!("%d format: a number is required, not {}", value.type_name()));
            };
            signed(number < 0, number.unsigned_abs().to_string())
        }
        'x' | 'X' | 'o' => {
            let Some(number) = value.as_int() else {
                return fail(format!("%x format: an integer is required, not {}", value.type_name()));
            };
            let digits = match directive.kind {
                'x' => format!("{:x}", number.unsigned_abs()),
                'X' => format!("{:X}", number.unsigned_abs()),
                _ => format!("{:o}", number.unsigned_abs()),
            };
            signed(number < 0, digits)
        }
        'f' | 'F' | 'e' | 'g' => {
            let Some(number) = value.as_float() else {
                return fail(format!("must be real number, not {}", value.type_name()));
            };
            let precision = directive.precision.unwrap_or(6);
            let digits = match directive.kind {
                'e' => {
                    let text = format!("{:.precision$e}", number.abs());
                    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
                    let (sign, exponent) =
                        exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
                    format!("{digits}e{sign}{exponent:0>2}")
                }
                'g' => float(number.abs()).trim_end_matches(".0").to_owned(),
                _ => format!("{:.precision$}", number.abs()),
            };
            signed(number < 0.0, digits)
        }
        'c' => match value {
            Value::Int(code) => {
                u32::try_from(*code).ok().and_then(char::from_u32).map(String::from).unwrap_or_default()
            }
            other => text(other),
        },
        other => return fail(format!("unsupported format character '{other}'")),
    };
    let missing = directive.width.saturating_sub(body.chars().count());
    Ok(if directive.flags.contains('-') {
        format!("{body}{}", " ".repeat(missing))
    } else {
        format!("{}{body}", " ".repeat(missing))
    })
}

fn cut(text: String, precision: Option<usize>) -> String {
    match precision {
        Some(length) => text.chars().take(length).collect(),
        None => text,
    }
}

/// `str.format`: `{}`, `{0}`, `{name}`, with a width, alignment or precision behind a colon.
pub(super) fn str_format(format: &str, args: &Args) -> Eval<String> {
    let mut out = String::new();
    let mut rest = format;
    let mut next = 0;
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        let mark = &rest[at..];
        if mark.starts_with("{{") || mark.starts_with("}}") {
            out.push_str(&mark[..1]);
            rest = &mark[2..];
            continue;
        }
        if mark.starts_with('}') {
            return fail("single '}' encountered in format string");
        }
        let Some(end) = mark.find('}') else {
            return fail("single '{' encountered in format string");
        };
        let (field, spec) = mark[1..end].split_once(':').unwrap_or((&mark[1..end], ""));
        let value = if field.is_empty() {
            next += 1;
            args.positional.get(next - 1).cloned()
        } else if let Ok(index) = field.parse::<usize>() {
            args.positional.get(index).cloned()
        } else {
            args.named.iter().find(|(name, _)| &**name == field).map(|(_, value)| value.clone())
        };
        let Some(value) = value else {
            return fail(format!("the format names `{field}`, which is not there"));
        };
        out.push_str(&with_spec(&value, spec)?);
        rest = &mark[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

fn with_spec(value: &Value, spec: &str) -> Eval<String> {
    if spec.is_empty() {
        return Ok(text(value));
    }
    let numeric = value.as_float().is_some();
    let mut chars = spec.chars().peekable();
    let characters: Vec<char> = spec.chars().collect();
    let (mut fill, mut align) = (' ', if numeric { '>' } else { '<' });
    if characters.get(1).is_some_and(|c| matches!(c, '<' | '>' | '^')) {
        (fill, align) = (characters[0], characters[1]);
        chars.next();
        chars.next();
    } else if let Some(c) = chars.next_if(|c| matches!(c, '<' | '>' | '^')) {
        align = c;
    }
    if chars.next_if_eq(&'0').is_some() {
        fill = '0';
    }
    let width = number(&mut chars).unwrap_or(0);
    let thousands = chars.next_if_eq(&',').is_some();
    let precision = if chars.next_if_eq(&'.').is_some() { number(&mut chars) } else { None };
    let kind = chars.next();
    let exact = |places: usize| match value {
        Value::Object(object) => object.fixed(places),
        _ => None,
    };
    let places = precision.unwrap_or(6);
    let mut body = match (kind, value.as_float()) {
        (Some('f' | 'F'), Some(_)) if exact(places).is_some() => exact(places).unwrap_or_default(),
        (Some('f' | 'F'), Some(number)) => format!("{number:.*}", precision.unwrap_or(6)),
        (Some('d') | None, _) if value.as_int().is_some() && precision.is_none() => {
            value.as_int().unwrap_or_default().to_string()
        }
        (Some('%'), Some(number)) => format!("{:.*}%", precision.unwrap_or(6), number * 100.0),
        (Some('s') | None, None) => cut(text(value), precision),
        (Some('x'), Some(_)) if value.as_int().is_some() => {
            format!("{:x}", value.as_int().unwrap_or_default())
        }
        (None, Some(_)) => text(value),
        _ => return fail(format!("format `{spec}` does not fit a value of type {}", value.type_name())),
    };
    if thousands {
        body = grouped(&body);
    }
    let missing = width.saturating_sub(body.chars().count());
    let fill = |count: usize| fill.to_string().repeat(count);
    Ok(match align {
        '<' => format!("{body}{}", fill(missing)),
        '^' => format!("{}{body}{}", fill(missing / 2), fill(missing - missing / 2)),
        _ => format!("{}{body}", fill(missing)),
    })
}

fn grouped(number: &str) -> String {
    let (sign, digits) = number.strip_prefix('-').map_or(("", number), |digits| ("-", digits));
    let (whole, fraction) =
        digits.find('.').map_or((digits, ""), |point| (&digits[..point], &digits[point..]));
    let mut out = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    format!("{sign}{out}{fraction}")
}
