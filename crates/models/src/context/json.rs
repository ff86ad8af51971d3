//! JSON and Python literals as templates write and read them.

use serde_json::Value as Json;

use crate::jinja::Value;

/// JSON as Python's `json.dumps` prints it: a blank behind commas and colons, other than ASCII escaped.
pub fn compact(json: &Json) -> String {
    let mut out = String::new();
    write(json, true, &mut out);
    out
}

/// The same on lines of their own, each level so many blanks further in.
pub fn indented(json: &Json, blanks: usize) -> String {
    let indent = " ".repeat(blanks);
    let mut text = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(indent.as_bytes());
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, formatter);
    if serde::Serialize::serialize(json, &mut serializer).is_err() {
        return compact(json);
    }
    let mut out = String::new();
    for c in String::from_utf8_lossy(&text).chars() {
        match c.is_ascii() {
            true => out.push(c),
            // Only texts have them.
            false => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    out
}

/// The same with all characters as they are.
pub fn readable(json: &Json) -> String {
    let mut out = String::new();
    write(json, false, &mut out);
    out
}

fn write(json: &Json, is_ascii: bool, out: &mut String) {
    match json {
        Json::Null => out.push_str("null"),
        Json::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Json::Number(number) => out.push_str(&number.to_string()),
        Json::String(text) => string(text, is_ascii, out),
        Json::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write(item, is_ascii, out);
            }
            out.push(']');
        }
        Json::Object(entries) => {
            out.push('{');
            for (index, (key, value)) in entries.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                string(key, is_ascii, out);
                out.push_str(": ");
                write(value, is_ascii, out);
            }
            out.push('}');
        }
    }
}

fn string(text: &str, is_ascii: bool, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if c.is_ascii() && !c.is_ascii_control() => out.push(c),
            c if !is_ascii && c >= ' ' => out.push(c),
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    out.push('"');
}

/// A text that is one Python literal, as `ast.literal_eval` reads it; `None` where it is none.
pub fn literal(text: &str) -> Option<Value> {
    use crate::jinja::{template, Host, Interpreter, Spot};
    struct NoNames;
    impl Host for NoNames {
        fn global(&self, _: &Interpreter, _: &str) -> Option<Value> {
            None
        }
    }
    let text = text.trim();
    // Calls and names are no literals; with neither letters behind an opening nor a call, the expression grammars agree.
    let first = text.chars().next()?;
    let word = text.chars().all(|c| c.is_alphanumeric() || c == '_');
    if word && first.is_alphabetic() {
        return match text {
            "True" => Some(Value::Bool(true)),
            "False" => Some(Value::Bool(false)),
            "None" => Some(Value::None),
            _ => None,
        };
    }
    if !(first.is_ascii_digit() || "-'\"[({.".contains(first)) || text.contains("}}") {
        return None;
    }
    let parsed =
        template(&format!("{{{{ {text} }}}}"), &"literal".into(), Spot { line: 1, column: 1 }).ok()?;
    let [crate::jinja::Stmt::Emit(expr)] = &parsed.body[..] else { return None };
    if !is_literal(expr) {
        return None;
    }
    Interpreter::new(std::rc::Rc::new(NoNames)).render_native(&parsed, &[]).ok()
}

fn is_literal(expr: &crate::jinja::ast::Expr) -> bool {
    use crate::jinja::ast::ExprKind;
    match &expr.kind {
        ExprKind::Const(_) => true,
        ExprKind::Negative(inner) => is_literal(inner),
        ExprKind::List(items) | ExprKind::Tuple(items) => items.iter().all(is_literal),
        ExprKind::Dict(entries) => entries.iter().all(|(key, value)| is_literal(key) && is_literal(value)),
        _ => false,
    }
}
