//! Tests: `is none`, `is defined`, `is in (…)`.

use super::{
    ast::Comparison,
    error::{fail, Eval},
    eval::Interpreter,
    filters, ops,
    value::{Args, Value},
};

/// `value is name(args)`. An unknown name is an error.
pub(super) fn test(interpreter: &Interpreter, name: &str, value: &Value, args: Args) -> Eval<bool> {
    let mut others = args.positional.into_iter();
    let mut other = || match others.next() {
        Some(value) => Ok(value),
        None => fail(format!("test `{name}` needs an argument")),
    };
    Ok(match name {
        "defined" => !matches!(value, Value::Undefined(_)),
        "undefined" => matches!(value, Value::Undefined(_)),
        "none" => matches!(value, Value::None),
        "boolean" => matches!(value, Value::Bool(_)),
        "true" => matches!(value, Value::Bool(true)),
        "false" => matches!(value, Value::Bool(false)),
        "integer" => matches!(value, Value::Int(_)),
        "float" => matches!(value, Value::Float(_)),
        "number" => value.as_float().is_some(),
        "string" => matches!(value, Value::Str(_)),
        "mapping" => match value {
            Value::Object(object) => object.is_mapping(),
            _ => matches!(value, Value::Dict(_)),
        },
        "iterable" => value.items().is_ok(),
        "sequence" => value.length().is_ok(),
        "callable" => value.is_callable(),
        "lower" => {
            let text = value.to_string();
            text.chars().any(char::is_lowercase) && !text.chars().any(char::is_uppercase)
        }
        "upper" => {
            let text = value.to_string();
            text.chars().any(char::is_uppercase) && !text.chars().any(char::is_lowercase)
        }
        "even" => value.as_int().is_some_and(|int| int % 2 == 0),
        "odd" => value.as_int().is_some_and(|int| int % 2 != 0),
        "divisibleby" => match (value.as_int(), other()?.as_int()) {
            (Some(_), Some(0)) | (None, _) | (_, None) => return fail("`divisibleby` compares integers"),
            (Some(left), Some(right)) => left % right == 0,
        },
        "sameas" => {
            let other = other()?;
            value.type_name() == other.type_name() && *value == other
        }
        "eq" | "equalto" | "==" => *value == other()?,
        "ne" | "!=" => *value != other()?,
        "lt" | "lessthan" | "<" => ops::ordered(Comparison::Less, value, &other()?)?,
        "le" | "<=" => ops::ordered(Comparison::LessOrEqual, value, &other()?)?,
        "gt" | "greaterthan" | ">" => ops::ordered(Comparison::Greater, value, &other()?)?,
        "ge" | ">=" => ops::ordered(Comparison::GreaterOrEqual, value, &other()?)?,
        "in" => ops::contains(&other()?, value)?,
        "escaped" => false,
        "filter" => value.as_str().is_some_and(filters::is_filter),
        "test" => value.as_str().is_some_and(is_test),
        _ => {
            let _ = interpreter;
            return fail(format!("no test named `{name}`"));
        }
    })
}

/// Whether there is a test of this name.
fn is_test(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "defined",
        "undefined",
        "none",
        "boolean",
        "true",
        "false",
        "integer",
        "float",
        "number",
        "string",
        "mapping",
        "iterable",
        "sequence",
        "callable",
        "lower",
        "upper",
        "even",
        "odd",
        "divisibleby",
        "sameas",
        "eq",
        "equalto",
        "==",
        "ne",
        "!=",
        "lt",
        "lessthan",
        "<",
        "le",
        "<=",
        "gt",
        "greaterthan",
        ">",
        "ge",
        ">=",
        "in",
        "escaped",
        "filter",
        "test",
    ];
    NAMES.contains(&name)
}
