//! Filters.

use std::cmp::Ordering;

use super::{
    ast::Operator,
    error::{fail, Eval},
    eval::Interpreter,
    methods, ops, predicates, python,
    value::{Args, Dict, Value},
};

const NAMES: &[&str] = &[
    "abs",
    "as_bool",
    "as_native",
    "as_number",
    "as_text",
    "attr",
    "batch",
    "capitalize",
    "center",
    "count",
    "d",
    "default",
    "dictsort",
    "e",
    "escape",
    "filesizeformat",
    "first",
    "float",
    "forceescape",
    "format",
    "groupby",
    "indent",
    "int",
    "is_list",
    "items",
    "join",
    "last",
    "length",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "pprint",
    "random",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "safe",
    "select",
    "selectattr",
    "slice",
    "sort",
    "string",
    "striptags",
    "sum",
    "title",
    "tojson",
    "trim",
    "truncate",
    "unique",
    "upper",
    "urlencode",
    "wordcount",
    "wordwrap",
];

/// Whether there is a filter of this name.
pub(super) fn is_filter(name: &str) -> bool {
    NAMES.contains(&name)
}

/// `value | name(args)`. An unknown name is an error.
pub(super) fn apply(interpreter: &Interpreter, name: &str, value: Value, mut args: Args) -> Eval<Value> {
    match name {
        "map" => return map(interpreter, &value, args),
        "select" | "reject" | "selectattr" | "rejectattr" => return select(interpreter, name, &value, args),
        "format" => {
            let values = if args.named.is_empty() {
                Value::tuple(args.positional)
            } else {
                Value::dict(args.named.into_iter().map(|(key, value)| (Value::Str(key), value)))
            };
            return python::percent(&value.to_string(), &values).map(Value::from);
        }
        "sort" => {
            let attribute = args.take("attribute");
            let case_sensitive = args.take("case_sensitive");
            let [reverse, case_here, attribute_here] =
                args.bind("sort", ["reverse", "case_sensitive", "attribute"])?;
            let attribute = attribute.or(attribute_here);
            let exact = case_sensitive.or(case_here).is_some_and(|value| value.truth());
            let mut keyed = keyed(interpreter, &value, attribute.as_ref(), exact)?;
            sort_keyed(&mut keyed, reverse.is_some_and(|value| value.truth()))?;
            return Ok(Value::list(keyed.into_iter().map(|(_, item)| item)));
        }
        "upper" | "lower" | "title" | "capitalize" | "replace" | "center" => {
            let text = Value::from(value.to_string());
            let defaulted = if name == "center" && args.positional.is_empty() && args.named.is_empty() {
                Args::of([Value::Int(80)])
            } else {
                texts(args)
            };
            return methods::call(interpreter, &text, name, defaulted);
        }
        _ => {}
    }
    let [first, second, third] = args.bind(name, parameters(name))?;
    let number = |value: &Option<Value>| value.as_ref().and_then(Value::as_int);
    Ok(match name {
        "default" | "d" => {
            let use_it = match second {
                Some(boolean) if boolean.truth() => !value.truth(),
                _ => matches!(value, Value::Undefined(_)),
            };
            if use_it {
                first.unwrap_or_else(|| Value::from(""))
            } else {
                value
            }
        }
        "length" | "count" => Value::from(value.length()?),
        "list" => Value::list(value.items()?),
        "string" | "as_text" => Value::from(value.to_string()),
        "as_native" | "as_bool" | "as_number" => return native(name, value),
        "trim" => {
            let text = value.to_string();
            match first.filter(|characters| !characters.is_nothing()) {
                Some(characters) => {
                    let characters = characters.to_string();
                    Value::from(text.trim_matches(|c| characters.contains(c)))
                }
                None => Value::from(text.trim()),
            }
        }
        "join" => join(interpreter, &value, first, second)?,
        "first" => value.items()?.into_iter().next().unwrap_or(Value::Undefined("first".into())),
        "last" => value.items()?.pop().unwrap_or(Value::Undefined("last".into())),
        "reverse" => match &value {
            Value::Str(text) => Value::from(text.chars().rev().collect::<String>()),
            other => {
                let mut items = other.items()?;
                items.reverse();
                Value::list(items)
            }
        },
        "unique" => unique(interpreter, &value, first.is_some_and(|exact| exact.truth()), second)?,
        "min" | "max" => extreme(interpreter, name, &value, first, second)?,
        "sum" => {
            let mut total = second.unwrap_or(Value::Int(0));
            for item in value.items()? {
                let item = match &first {
                    Some(path) if !path.is_nothing() => descend(interpreter, &item, &path.to_string())?,
                    _ => item,
                };
                total = ops::binary(Operator::Add, &total, &item)?;
            }
            total
        }
        "int" => to_int(&value, first, number(&second).unwrap_or(10))?,
        "float" => match &value {
            Value::Str(text) => match text.trim().parse::<f64>() {
                Ok(number) => Value::Float(number),
                Err(_) => first.unwrap_or(Value::Float(0.0)),
            },
            other => other.as_float().map_or_else(|| first.unwrap_or(Value::Float(0.0)), Value::Float),
        },
        "abs" => match &value {
            Value::Float(number) => Value::Float(number.abs()),
            other => match other.as_int() {
                Some(number) => Value::Int(number.abs()),
                None if other.as_float().is_some() => ops::own(other, "abs")?,
                None => return fail(format!("bad operand type for abs(): '{}'", other.type_name())),
            },
        },
        "round" => {
            let places = number(&first).unwrap_or(0);
            let is_common = second.as_ref().is_none_or(|method| method.as_str() == Some("common"));
            match methods::operate(&value, "round", &Value::Int(places)).filter(|_| is_common) {
                Some(rounded) => rounded?,
                None => round(&value, places, second)?,
            }
        }
        "items" => match &value {
            Value::Undefined(_) => Value::list([]),
            Value::Dict(entries) => Value::list(
                entries.borrow().iter().map(|(key, value)| Value::tuple([key.clone(), value.clone()])),
            ),
            _ => return fail("`items` takes a dict"),
        },
        "is_list" => Value::Bool(matches!(value, Value::List(_))),
        "dictsort" => dictsort(&value, first, second, third)?,
        "groupby" => groupby(interpreter, &value, first, second)?,
        "batch" | "slice" => chunks(name, &value, number(&first).unwrap_or(1), second)?,
        "attr" => methods::attribute(interpreter, &value, &first.unwrap_or(Value::None).to_string()),
        "indent" => indent(&value.to_string(), first, second, third),
        "wordcount" => Value::from(value.to_string().split_whitespace().count()),
        "wordwrap" => wordwrap(&value.to_string(), number(&first).unwrap_or(79)),
        "truncate" => truncate(&value.to_string(), number(&first).unwrap_or(255), second, third),
        "tojson" => {
            // The function of this name leaves keys and signs as they are; the filter is Jinja2's, for web pages.
            let mut json = value.to_json();
            json.sort_all_objects();
            let text = match number(&first) {
                None => crate::context::json::compact(&json),
                Some(indent) => {
                    crate::context::json::indented(&json, usize::try_from(indent).unwrap_or_default())
                }
            };
            let escaped = text.replace('<', "\\u003c").replace('>', "\\u003e");
            Value::from(escaped.replace('&', "\\u0026").replace('\'', "\\u0027"))
        }
        "pprint" => Value::from(python::repr(&value)),
        "safe" => value,
        "escape" | "e" | "forceescape" => Value::from(escaped(&value.to_string())),
        "striptags" => {
            let tags =
                regex::Regex::new("<[^>]*>").map_err(|error| super::JinjaError::new(error.to_string()))?;
            let text = value.to_string();
            Value::from(tags.replace_all(&text, "").split_whitespace().collect::<Vec<_>>().join(" "))
        }
        "urlencode" => Value::from(urlencoded(&value.to_string())),
        "filesizeformat" => Value::from(filesize(value.as_float().unwrap_or_default())),
        "random" => return fail("`random` makes every run another; it is not supported"),
        _ => return fail(format!("no filter named `{name}`")),
    })
}

fn parameters(name: &str) -> [&'static str; 3] {
    match name {
        "default" | "d" => ["default_value", "boolean", "-"],
        "join" => ["d", "attribute", "-"],
        "unique" => ["case_sensitive", "attribute", "-"],
        "min" | "max" => ["case_sensitive", "attribute", "-"],
        "sum" => ["attribute", "start", "-"],
        "int" => ["default", "base", "-"],
        "float" => ["default", "-", "-"],
        "round" => ["precision", "method", "-"],
        "dictsort" => ["case_sensitive", "by", "reverse"],
        "groupby" => ["attribute", "default", "case_sensitive"],
        "batch" => ["linecount", "fill_with", "-"],
        "slice" => ["slices", "fill_with", "-"],
        "indent" => ["width", "first", "blank"],
        "wordwrap" => ["width", "break_long_words", "wrapstring"],
        "truncate" => ["length", "killwords", "end"],
        "tojson" => ["indent", "-", "-"],
        "trim" => ["chars", "-", "-"],
        _ => ["a", "b", "c"],
    }
}

/// Arguments that are no strings made such, for methods that take none but strings.
fn texts(args: Args) -> Args {
    let text = |value: Value| if value.as_int().is_some() { value } else { Value::from(value.to_string()) };
    Args {
        positional: args.positional.into_iter().map(text).collect(),
        named: args.named.into_iter().map(|(key, value)| (key, text(value))).collect(),
    }
}

/// `a.b.0` of a value.
fn descend(interpreter: &Interpreter, value: &Value, path: &str) -> Eval<Value> {
    let mut here = value.clone();
    for part in path.split('.') {
        here = match part.parse::<i64>() {
            Ok(index) => ops::item(interpreter, &here, &Value::Int(index))?,
            // As an item first: that is what the names of columns mean.
            Err(_) => match &here {
                Value::Dict(_) => here.get(part).unwrap_or(Value::Undefined(part.into())),
                _ => methods::attribute(interpreter, &here, part),
            },
        };
    }
    Ok(here)
}

fn folded(value: Value, exact: bool) -> Value {
    match &value {
        Value::Str(text) if !exact => Value::from(text.to_lowercase()),
        _ => value,
    }
}

/// Items with what they are compared by: themselves or an attribute, texts without regard to case unless that is to be exact.
fn keyed(
    interpreter: &Interpreter,
    value: &Value,
    attribute: Option<&Value>,
    exact: bool,
) -> Eval<Vec<(Value, Value)>> {
    let mut keyed = Vec::new();
    for item in value.items()? {
        let key = match attribute {
            Some(path) => descend(interpreter, &item, &path.to_string())?,
            None => item.clone(),
        };
        keyed.push((folded(key, exact), item));
    }
    Ok(keyed)
}

fn sort_keyed(keyed: &mut [(Value, Value)], reverse: bool) -> Eval<()> {
    let mut failed = None;
    keyed.sort_by(|(left, _), (right, _)| {
        let order = left.compare(right).unwrap_or_else(|| {
            if left.as_float().is_none() || right.as_float().is_none() {
                failed = Some((left.type_name(), right.type_name()));
            }
            Ordering::Equal
        });
        if reverse {
            order.reverse()
        } else {
            order
        }
    });
    match failed {
        Some((left, right)) => fail(format!("values of types '{left}' and '{right}' have no order")),
        None => Ok(()),
    }
}

/// A list in order, as `list.sort` does it.
pub(super) fn sorted(
    interpreter: &Interpreter,
    items: Vec<Value>,
    key: Option<&Value>,
    reverse: bool,
) -> Eval<Vec<Value>> {
    let mut keyed = Vec::with_capacity(items.len());
    for item in items {
        let by = match key {
            Some(key) => key.call(interpreter, Args::of([item.clone()]))?,
            None => item.clone(),
        };
        keyed.push((by, item));
    }
    sort_keyed(&mut keyed, reverse)?;
    Ok(keyed.into_iter().map(|(_, item)| item).collect())
}

fn map(interpreter: &Interpreter, value: &Value, mut args: Args) -> Eval<Value> {
    let mut mapped = Vec::new();
    // Jinja looks at the truth first: nothing is what comes of `none`.
    if !value.truth() {
        return Ok(Value::list(mapped));
    }
    if let Some(attribute) = args.take("attribute") {
        let default = args.take("default");
        let path = attribute.to_string();
        for item in value.items()? {
            let found = descend(interpreter, &item, &path)?;
            mapped.push(match (&found, &default) {
                (Value::Undefined(_), Some(default)) => default.clone(),
                _ => found,
            });
        }
        return Ok(Value::list(mapped));
    }
    if args.positional.is_empty() {
        return fail("`map` takes a filter or an attribute");
    }
    let name = args.positional.remove(0).to_string();
    for item in value.items()? {
        mapped.push(apply(interpreter, &name, item, args.clone())?);
    }
    Ok(Value::list(mapped))
}

fn select(interpreter: &Interpreter, name: &str, value: &Value, mut args: Args) -> Eval<Value> {
    let wanted = name.starts_with("select");
    let attribute = if name.ends_with("attr") {
        if args.positional.is_empty() {
            return fail(format!("`{name}` takes an attribute"));
        }
        Some(args.positional.remove(0).to_string())
    } else {
        None
    };
    let test = (!args.positional.is_empty()).then(|| args.positional.remove(0).to_string());
    let mut kept = Vec::new();
    if !value.truth() {
        return Ok(Value::list(kept));
    }
    for item in value.items()? {
        let tested = match &attribute {
            Some(path) => descend(interpreter, &item, path)?,
            None => item.clone(),
        };
        let passes = match &test {
            Some(test) => predicates::test(interpreter, test, &tested, args.clone())?,
            None => tested.truth(),
        };
        if passes == wanted {
            kept.push(item);
        }
    }
    Ok(Value::list(kept))
}

fn native(name: &str, value: Value) -> Eval<Value> {
    let Value::Str(text) = &value else {
        return Ok(value);
    };
    let parsed = crate::context::json::literal(text).unwrap_or_else(|| value.clone());
    let fits = match name {
        "as_bool" => matches!(parsed, Value::Bool(_)),
        "as_number" => matches!(parsed, Value::Int(_) | Value::Float(_)),
        _ => true,
    };
    if fits {
        return Ok(parsed);
    }
    let kind = name.trim_start_matches("as_");
    fail(format!("could not convert value '{text}' into type '{kind}'"))
}

fn join(
    interpreter: &Interpreter,
    value: &Value,
    separator: Option<Value>,
    attribute: Option<Value>,
) -> Eval<Value> {
    let separator = separator.map_or_else(String::new, |separator| separator.to_string());
    let mut parts = Vec::new();
    for item in value.items()? {
        parts.push(match &attribute {
            Some(path) => descend(interpreter, &item, &path.to_string())?.to_string(),
            None => item.to_string(),
        });
    }
    Ok(Value::from(parts.join(&separator)))
}

fn unique(interpreter: &Interpreter, value: &Value, exact: bool, attribute: Option<Value>) -> Eval<Value> {
    // Keys of a dict, which hash as the values that they are.
    let mut seen = Dict::new();
    let mut kept = Vec::new();
    for (key, item) in keyed(interpreter, value, attribute.as_ref(), exact)? {
        key.check_hashable()?;
        if seen.insert(key, Value::None).is_none() {
            kept.push(item);
        }
    }
    Ok(Value::list(kept))
}

fn extreme(
    interpreter: &Interpreter,
    name: &str,
    value: &Value,
    case_sensitive: Option<Value>,
    attribute: Option<Value>,
) -> Eval<Value> {
    let exact = case_sensitive.is_some_and(|exact| exact.truth());
    let mut keyed = keyed(interpreter, value, attribute.as_ref(), exact)?;
    sort_keyed(&mut keyed, name == "max")?;
    Ok(keyed.into_iter().next().map_or(Value::Undefined(name.into()), |(_, item)| item))
}

fn to_int(value: &Value, default: Option<Value>, base: i64) -> Eval<Value> {
    let default = || default.unwrap_or(Value::Int(0));
    Ok(match value {
        Value::Str(text) => {
            let text = text.trim().replace('_', "");
            let radix = u32::try_from(base).ok().filter(|base| (2..=36).contains(base)).unwrap_or(10);
            let digits = match radix {
                16 => text.trim_start_matches("0x").trim_start_matches("0X"),
                8 => text.trim_start_matches("0o"),
                2 => text.trim_start_matches("0b"),
                _ => &text,
            };
            match (i64::from_str_radix(digits, radix), digits.parse::<f64>()) {
                (Ok(number), _) => Value::Int(number),
                (_, Ok(number)) if number.is_finite() => Value::Int(number.trunc() as i64),
                _ => default(),
            }
        }
        Value::Object(object) if object.number().is_some() => ops::own(value, "int")?,
        other => match (other.as_int(), other.as_float()) {
            (Some(number), _) => Value::Int(number),
            (_, Some(number)) if number.is_finite() => Value::Int(number.trunc() as i64),
            _ => default(),
        },
    })
}

fn round(value: &Value, precision: i64, method: Option<Value>) -> Eval<Value> {
    let Some(number) = value.as_float() else {
        return fail(format!("`round` takes a number, not {}", value.type_name()));
    };
    if let (Value::Object(_), Some(method)) = (value, &method) {
        let scale = ops::binary(Operator::Power, &Value::Int(10), &Value::Int(precision))?;
        let whole = ops::own(&ops::binary(Operator::Multiply, value, &scale)?, &method.to_string())?;
        return ops::binary(Operator::Divide, &whole, &scale);
    }
    let scale = 10f64.powi(precision.clamp(-300, 300) as i32);
    let method = method.map_or_else(|| "common".to_owned(), |method| method.to_string());
    let rounded = match method.as_str() {
        "ceil" => (number * scale).ceil() / scale,
        "floor" => (number * scale).floor() / scale,
        // Python rounds the number as it is stored, half to even; formatting does the same.
        _ if precision >= 0 => format!("{number:.*}", precision.min(300) as usize).parse().unwrap_or(number),
        _ => (number * scale).round_ties_even() / scale,
    };
    // `round` of an integer is one.
    let whole = value.as_int().is_some() && method == "common";
    Ok(if whole { Value::Int(rounded as i64) } else { Value::Float(rounded) })
}

fn dictsort(
    value: &Value,
    case_sensitive: Option<Value>,
    by: Option<Value>,
    reverse: Option<Value>,
) -> Eval<Value> {
    let Value::Dict(entries) = value else {
        return fail("`dictsort` takes a dict");
    };
    let exact = case_sensitive.is_some_and(|exact| exact.truth());
    let by_value = by.is_some_and(|by| by.to_string() == "value");
    let mut keyed: Vec<(Value, Value)> = entries
        .borrow()
        .iter()
        .map(|(key, value)| {
            let by = if by_value { value } else { key };
            (folded(by.clone(), exact), Value::tuple([key.clone(), value.clone()]))
        })
        .collect();
    sort_keyed(&mut keyed, reverse.is_some_and(|reverse| reverse.truth()))?;
    Ok(Value::list(keyed.into_iter().map(|(_, pair)| pair)))
}

fn groupby(
    interpreter: &Interpreter,
    value: &Value,
    attribute: Option<Value>,
    default: Option<Value>,
) -> Eval<Value> {
    let path = attribute.unwrap_or(Value::None).to_string();
    let mut keyed = Vec::new();
    for item in value.items()? {
        let key = match (descend(interpreter, &item, &path)?, &default) {
            (Value::Undefined(_), Some(default)) => default.clone(),
            (key, _) => key,
        };
        keyed.push((key, item));
    }
    sort_keyed(&mut keyed, false)?;
    let mut groups: Vec<(Value, Vec<Value>)> = Vec::new();
    for (key, item) in keyed {
        match groups.last_mut() {
            Some((last, items)) if *last == key => items.push(item),
            _ => groups.push((key, vec![item])),
        }
    }
    Ok(Value::list(groups.into_iter().map(|(key, items)| Value::tuple([key, Value::list(items)]))))
}

fn chunks(name: &str, value: &Value, size: i64, fill: Option<Value>) -> Eval<Value> {
    let Some(size) = usize::try_from(size).ok().filter(|size| *size > 0) else {
        return fail(format!("`{name}` takes a positive number"));
    };
    let items = value.items()?;
    if name == "batch" {
        let mut lines: Vec<Vec<Value>> = items.chunks(size).map(<[Value]>::to_vec).collect();
        if let (Some(fill), Some(last)) = (fill.filter(|fill| !fill.is_nothing()), lines.last_mut()) {
            last.resize(size, fill);
        }
        return Ok(Value::list(lines.into_iter().map(Value::list)));
    }
    let (least, larger) = (items.len() / size, items.len() % size);
    let mut rest = items.into_iter();
    let mut slices = Vec::new();
    for index in 0..size {
        let mut slice: Vec<Value> = rest.by_ref().take(least + usize::from(index < larger)).collect();
        if let (Some(fill), true) = (&fill, index >= larger && larger > 0) {
            slice.push(fill.clone());
        }
        slices.push(Value::list(slice));
    }
    Ok(Value::list(slices))
}

fn indent(text: &str, width: Option<Value>, first: Option<Value>, blank: Option<Value>) -> Value {
    let by = match width {
        Some(Value::Str(by)) => by.to_string(),
        Some(width) => " ".repeat(width.as_int().unwrap_or(4).clamp(0, 1000) as usize),
        None => "    ".into(),
    };
    let blank = blank.is_some_and(|blank| blank.truth());
    let mut out = if first.is_some_and(|first| first.truth()) { by.clone() } else { String::new() };
    for (index, line) in text.split('\n').enumerate() {
        if index > 0 {
            out.push('\n');
            if blank || !line.is_empty() {
                out.push_str(&by);
            }
        }
        out.push_str(line);
    }
    Value::from(out)
}

fn wordwrap(text: &str, width: i64) -> Value {
    let width = usize::try_from(width).unwrap_or(79).max(1);
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    Value::from(lines.join("\n"))
}

fn truncate(text: &str, length: i64, killwords: Option<Value>, end: Option<Value>) -> Value {
    let end = end.map_or_else(|| "...".to_owned(), |end| end.to_string());
    let length = usize::try_from(length).unwrap_or(0);
    // Jinja2 lets five characters more stand than it is asked for.
    if text.chars().count() <= length + 5 {
        return Value::from(text);
    }
    let kept: String = text.chars().take(length.saturating_sub(end.chars().count())).collect();
    let kept = if killwords.is_some_and(|kill| kill.truth()) {
        kept
    } else {
        kept.rsplit_once(' ').map_or(kept.clone(), |(before, _)| before.to_owned())
    };
    Value::from(format!("{kept}{end}"))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('\'', "&#39;")
        .replace('"', "&#34;")
}

fn urlencoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn filesize(bytes: f64) -> String {
    if bytes < 1000.0 {
        return format!("{bytes} Byte{}", if bytes == 1.0 { "" } else { "s" });
    }
    let units = ["kB", "MB", "GB", "TB", "PB", "EB"];
    let mut size = bytes / 1000.0;
    let mut unit = 0;
    while size >= 1000.0 && unit + 1 < units.len() {
        size /= 1000.0;
        unit += 1;
    }
    format!("{size:.1} {}", units[unit])
}
