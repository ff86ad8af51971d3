//! Attributes and methods of Python's own types.

use std::{any::Any, rc::Rc};

use super::{
    error::{fail, Eval},
    eval::Interpreter,
    python,
    value::{Args, Object, Value},
};

const OF_STR: &[&str] = &[
    "capitalize",
    "casefold",
    "center",
    "count",
    "encode",
    "endswith",
    "expandtabs",
    "find",
    "format",
    "index",
    "isalnum",
    "isalpha",
    "isdecimal",
    "isdigit",
    "islower",
    "isnumeric",
    "isspace",
    "istitle",
    "isupper",
    "join",
    "ljust",
    "lower",
    "lstrip",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rindex",
    "rjust",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "swapcase",
    "title",
    "upper",
    "zfill",
];
const OF_LIST: &[&str] =
    &["append", "clear", "copy", "count", "extend", "index", "insert", "pop", "remove", "reverse", "sort"];
const OF_DICT: &[&str] =
    &["clear", "copy", "get", "items", "keys", "pop", "popitem", "setdefault", "update", "values"];

fn has_method(holder: &Value, name: &str) -> bool {
    match holder {
        Value::Str(_) => OF_STR.contains(&name),
        Value::List(_) => OF_LIST.contains(&name),
        Value::Tuple(_) => matches!(name, "count" | "index"),
        Value::Dict(_) => OF_DICT.contains(&name),
        Value::Float(_) => name == "is_integer",
        _ => false,
    }
}

/// `holder.name`: a method or attribute, an item of a dict otherwise, and undefined where there is neither.
pub(super) fn attribute(interpreter: &Interpreter, holder: &Value, name: &str) -> Value {
    if has_method(holder, name) {
        return Value::object(Bound { holder: holder.clone(), name: name.into() });
    }
    let found = match holder {
        Value::Object(object) => object.attribute(interpreter, name),
        Value::Dict(_) => holder.get(name),
        // Anything of what is undefined is undefined too, under the whole name.
        Value::Undefined(of) => Some(Value::Undefined(format!("{of}.{name}").into())),
        _ => None,
    };
    found.unwrap_or_else(|| Value::Undefined(format!("{} object.{name}", holder.type_name()).into()))
}

/// `holder.name(args)`.
pub(super) fn call(interpreter: &Interpreter, holder: &Value, name: &str, args: Args) -> Eval<Value> {
    if !has_method(holder, name) {
        return match holder {
            Value::Object(object) => object.call_method(interpreter, name, args),
            _ => match attribute(interpreter, holder, name) {
                Value::Undefined(_)
                    if !matches!(holder, Value::Undefined(_)) && !interpreter.is_lenient() =>
                {
                    fail(format!("'{}' object has no attribute '{name}'", holder.type_name()))
                }
                found => found.call(interpreter, args),
            },
        };
    }
    match holder {
        Value::Str(text) => of_str(text, name, args),
        Value::List(_) => of_list(interpreter, holder, name, args),
        Value::Tuple(items) => found_in(items, name, args),
        Value::Dict(_) => of_dict(holder, name, args),
        Value::Float(value) => Ok(Value::Bool(value.fract() == 0.0)),
        _ => fail(format!("'{}' object has no attribute '{name}'", holder.type_name())),
    }
}

/// An operator of an object's own, such as the difference of two moments; `None` where it has none.
pub(super) fn operate(left: &Value, operator: &str, right: &Value) -> Option<Eval<Value>> {
    match left {
        Value::Object(object) => object.operate(operator, right),
        _ => None,
    }
}

/// A method and what it is of.
struct Bound {
    holder: Value,
    name: Rc<str>,
}

impl Object for Bound {
    fn type_name(&self) -> &'static str {
        "builtin_function_or_method"
    }

    fn call(&self, interpreter: &Interpreter, args: Args) -> Eval<Value> {
        call(interpreter, &self.holder, &self.name, args)
    }

    fn is_callable(&self) -> bool {
        true
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn text_of<'v>(method: &str, value: &'v Option<Value>) -> Eval<Option<&'v str>> {
    match value {
        None | Some(Value::None) => Ok(None),
        Some(Value::Str(text)) => Ok(Some(text)),
        Some(other) => fail(format!("{method}() takes a string, not {}", other.type_name())),
    }
}

fn needed<'v>(method: &str, value: &'v Option<Value>) -> Eval<&'v str> {
    match text_of(method, value)? {
        Some(text) => Ok(text),
        None => fail(format!("{method}() needs a string")),
    }
}

fn strings<'t>(parts: impl IntoIterator<Item = &'t str>) -> Value {
    Value::list(parts.into_iter().map(Value::from))
}

fn stripped<'t>(text: &'t str, characters: Option<&str>, start: bool, end: bool) -> &'t str {
    let is_in = |c: char| characters.map_or(c.is_whitespace(), |set| set.contains(c));
    let text = if start { text.trim_start_matches(is_in) } else { text };
    if end {
        text.trim_end_matches(is_in)
    } else {
        text
    }
}

/// `capitalize`: the first letter upper, all others lower.
pub(super) fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(chars.flat_map(char::to_lowercase)).collect()
    })
}

/// `title`: each word capitalised, words being what letters make.
fn titled(text: &str) -> String {
    let mut inside = false;
    let mut out = String::new();
    for c in text.chars() {
        if inside {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
        inside = c.is_alphabetic();
    }
    out
}

fn split(text: &str, separator: Option<&str>, limit: Option<i64>, from_end: bool) -> Eval<Value> {
    let limit = limit.and_then(|limit| usize::try_from(limit).ok());
    let Some(separator) = separator else {
        let mut parts: Vec<&str> = Vec::new();
        let mut rest = text.trim();
        if from_end {
            while !rest.is_empty() {
                match rest.rfind(char::is_whitespace) {
                    Some(at) if limit.is_none_or(|limit| parts.len() < limit) => {
                        parts.push(rest[at..].trim_start());
                        rest = rest[..at].trim_end();
                    }
                    _ => {
                        parts.push(rest);
                        break;
                    }
                }
            }
            parts.reverse();
        } else {
            while !rest.is_empty() {
                match rest.find(char::is_whitespace) {
                    Some(at) if limit.is_none_or(|limit| parts.len() < limit) => {
                        parts.push(&rest[..at]);
                        rest = rest[at..].trim_start();
                    }
                    _ => {
                        parts.push(rest);
                        break;
                    }
                }
            }
        }
        return Ok(strings(parts));
    };
    if separator.is_empty() {
        return fail("empty separator");
    }
    Ok(match limit {
        None => strings(text.split(separator)),
        Some(limit) if from_end => {
            let mut parts: Vec<&str> = text.rsplitn(limit + 1, separator).collect();
            parts.reverse();
            strings(parts)
        }
        Some(limit) => strings(text.splitn(limit + 1, separator)),
    })
}

fn affix(method: &str, value: &Option<Value>, is: impl Fn(&str) -> bool) -> Eval<Value> {
    Ok(Value::Bool(match value {
        Some(Value::Tuple(parts)) => parts.iter().any(|part| part.as_str().is_some_and(&is)),
        other => is(needed(method, other)?),
    }))
}

fn found_at(text: &str, byte: Option<usize>) -> i64 {
    byte.map_or(-1, |byte| text[..byte].chars().count() as i64)
}

fn padding(text: &str, width: &Option<Value>, fill: Option<&str>) -> (usize, String) {
    let width = width.as_ref().and_then(Value::as_int).and_then(|width| usize::try_from(width).ok());
    // As wide as the widest number that formatting by % takes.
    let missing = width.unwrap_or(0).min(10_000).saturating_sub(text.chars().count());
    (missing, fill.unwrap_or(" ").to_owned())
}

fn of_str(text: &str, name: &str, args: Args) -> Eval<Value> {
    if name == "format" {
        return python::str_format(text, &args).map(Value::from);
    }
    let parameters = match name {
        "split" | "rsplit" => ["sep", "maxsplit", "-"],
        "replace" => ["old", "new", "count"],
        _ => ["a", "b", "c"],
    };
    let [first, second, third] = args.bind(name, parameters)?;
    let all = |is: fn(char) -> bool| Value::Bool(!text.is_empty() && text.chars().all(is));
    Ok(match name {
        "upper" => Value::from(text.to_uppercase()),
        "lower" | "casefold" => Value::from(text.to_lowercase()),
        "capitalize" => Value::from(capitalized(text)),
        "title" => Value::from(titled(text)),
        "swapcase" => Value::from(
            text.chars()
                .flat_map(|c| -> Vec<char> {
                    if c.is_uppercase() {
                        c.to_lowercase().collect()
                    } else {
                        c.to_uppercase().collect()
                    }
                })
                .collect::<String>(),
        ),
        "strip" => Value::from(stripped(text, text_of(name, &first)?, true, true)),
        "lstrip" => Value::from(stripped(text, text_of(name, &first)?, true, false)),
        "rstrip" => Value::from(stripped(text, text_of(name, &first)?, false, true)),
        "split" | "rsplit" => {
            split(text, text_of(name, &first)?, second.as_ref().and_then(Value::as_int), name == "rsplit")?
        }
        "splitlines" => strings(text.lines()),
        "startswith" => affix(name, &first, |part| text.starts_with(part))?,
        "endswith" => affix(name, &first, |part| text.ends_with(part))?,
        "replace" => {
            let (old, new) = (needed(name, &first)?, needed(name, &second)?);
            match third.and_then(|count| count.as_int()).and_then(|count| usize::try_from(count).ok()) {
                Some(count) => Value::from(text.replacen(old, new, count)),
                None => Value::from(text.replace(old, new)),
            }
        }
        "join" => {
            let items = first.unwrap_or(Value::None).items()?;
            let mut parts = Vec::with_capacity(items.len());
            for (index, item) in items.iter().enumerate() {
                match item {
                    Value::Str(part) => parts.push(part.to_string()),
                    other => {
                        let found = other.type_name();
                        return fail(format!("sequence item {index}: expected str instance, {found} found"));
                    }
                }
            }
            Value::from(parts.join(text))
        }
        "count" => Value::from(text.matches(needed(name, &first)?).count()),
        "find" => Value::Int(found_at(text, text.find(needed(name, &first)?))),
        "rfind" => Value::Int(found_at(text, text.rfind(needed(name, &first)?))),
        "index" | "rindex" => {
            let part = needed(name, &first)?;
            let byte = if name == "index" { text.find(part) } else { text.rfind(part) };
            match found_at(text, byte) {
                -1 => return fail("substring not found"),
                at => Value::Int(at),
            }
        }
        "partition" | "rpartition" => {
            let separator = needed(name, &first)?;
            let parts = if name == "partition" {
                text.split_once(separator)
                    .map_or((text, "", ""), |(before, after)| (before, separator, after))
            } else {
                text.rsplit_once(separator)
                    .map_or(("", "", text), |(before, after)| (before, separator, after))
            };
            Value::tuple([parts.0, parts.1, parts.2].map(Value::from))
        }
        "removeprefix" => Value::from(text.strip_prefix(needed(name, &first)?).unwrap_or(text)),
        "removesuffix" => Value::from(text.strip_suffix(needed(name, &first)?).unwrap_or(text)),
        "ljust" => {
            let (missing, fill) = padding(text, &first, text_of(name, &second)?);
            Value::from(format!("{text}{}", fill.repeat(missing)))
        }
        "rjust" => {
            let (missing, fill) = padding(text, &first, text_of(name, &second)?);
            Value::from(format!("{}{text}", fill.repeat(missing)))
        }
        "center" => {
            let (missing, fill) = padding(text, &first, text_of(name, &second)?);
            // Python puts the odd one to the left only where the width is odd too.
            let width = missing + text.chars().count();
            let left = missing / 2 + (missing & width & 1);
            Value::from(format!("{}{text}{}", fill.repeat(left), fill.repeat(missing - left)))
        }
        "zfill" => {
            let (missing, _) = padding(text, &first, None);
            let (sign, digits) = match text.strip_prefix(['-', '+']) {
                Some(digits) => (&text[..1], digits),
                None => ("", text),
            };
            Value::from(format!("{sign}{}{digits}", "0".repeat(missing)))
        }
        "isdigit" | "isdecimal" | "isnumeric" => all(char::is_numeric),
        "isalpha" => all(char::is_alphabetic),
        "isalnum" => all(char::is_alphanumeric),
        "isspace" => all(char::is_whitespace),
        "isupper" => {
            Value::Bool(text.chars().any(char::is_uppercase) && !text.chars().any(char::is_lowercase))
        }
        "islower" => {
            Value::Bool(text.chars().any(char::is_lowercase) && !text.chars().any(char::is_uppercase))
        }
        "istitle" => Value::Bool(!text.is_empty() && titled(text) == text),
        "expandtabs" => Value::from(text.replace('\t', &" ".repeat(8))),
        "encode" => Value::from(text),
        _ => return fail(format!("'str' object has no attribute '{name}'")),
    })
}

fn found_in(items: &[Value], name: &str, args: Args) -> Eval<Value> {
    let [wanted] = args.bind(name, ["value"])?;
    let wanted = wanted.unwrap_or(Value::None);
    match name {
        "count" => Ok(Value::from(items.iter().filter(|item| **item == wanted).count())),
        _ => match items.iter().position(|item| *item == wanted) {
            Some(at) => Ok(Value::from(at)),
            None => fail(format!("{wanted:?} is not in list")),
        },
    }
}

fn of_list(interpreter: &Interpreter, holder: &Value, name: &str, mut args: Args) -> Eval<Value> {
    let Value::List(items) = holder else {
        return fail("expected a list");
    };
    match name {
        "count" | "index" => return found_in(&items.borrow().clone(), name, args),
        "sort" => {
            let key = args.take("key");
            let reverse = args.take("reverse").is_some_and(|reverse| reverse.truth());
            let sorted = super::filters::sorted(interpreter, items.borrow().clone(), key.as_ref(), reverse)?;
            *items.borrow_mut() = sorted;
            return Ok(Value::None);
        }
        _ => {}
    }
    let [first, second] = args.bind(name, ["a", "b"])?;
    let index = |value: &Option<Value>, length: usize| {
        let index = value.as_ref().and_then(Value::as_int).unwrap_or(-1);
        if index < 0 {
            index + length as i64
        } else {
            index
        }
    };
    Ok(match name {
        "append" => {
            let Some(item) = first else {
                return fail("append() takes exactly one argument");
            };
            items.borrow_mut().push(item);
            Value::None
        }
        "extend" => {
            let more = first.unwrap_or(Value::None).items()?;
            items.borrow_mut().extend(more);
            Value::None
        }
        "insert" => {
            let mut items = items.borrow_mut();
            let at = index(&first, items.len()).clamp(0, items.len() as i64) as usize;
            items.insert(at, second.unwrap_or(Value::None));
            Value::None
        }
        "pop" => {
            let mut items = items.borrow_mut();
            let at = index(&first, items.len());
            match usize::try_from(at).ok().filter(|at| *at < items.len()) {
                Some(at) => items.remove(at),
                None if items.is_empty() => return fail("pop from empty list"),
                None => return fail("pop index out of range"),
            }
        }
        "remove" => {
            let wanted = first.unwrap_or(Value::None);
            let at = items.borrow().iter().position(|item| *item == wanted);
            match at {
                Some(at) => items.borrow_mut().remove(at),
                None => return fail("list.remove(x): x not in list"),
            };
            Value::None
        }
        "reverse" => {
            items.borrow_mut().reverse();
            Value::None
        }
        "clear" => {
            items.borrow_mut().clear();
            Value::None
        }
        _ => Value::list(items.borrow().iter().cloned()),
    })
}

fn of_dict(holder: &Value, name: &str, args: Args) -> Eval<Value> {
    let Value::Dict(entries) = holder else {
        return fail("expected a dict");
    };
    if name == "update" {
        let mut new = Vec::new();
        match args.positional.first() {
            None | Some(Value::None) => {}
            Some(Value::Dict(other)) => {
                new.extend(other.borrow().iter().map(|(key, value)| (key.clone(), value.clone())));
            }
            Some(pairs) => {
                for pair in pairs.items()? {
                    let pair = pair.items()?;
                    let [key, value] = &pair[..] else {
                        return fail("update() takes pairs");
                    };
                    key.check_hashable()?;
                    new.push((key.clone(), value.clone()));
                }
            }
        }
        new.extend(args.named.into_iter().map(|(key, value)| (Value::Str(key), value)));
        entries.borrow_mut().extend(new);
        return Ok(Value::None);
    }
    let [key, default] = args.bind(name, ["key", "default"])?;
    let key = key.unwrap_or(Value::None);
    key.check_hashable()?;
    Ok(match name {
        "get" => {
            let found = entries.borrow().get(&key).cloned();
            found.or(default).unwrap_or(Value::None)
        }
        "items" => Value::list(
            entries.borrow().iter().map(|(key, value)| Value::tuple([key.clone(), value.clone()])),
        ),
        "keys" => Value::list(entries.borrow().keys().cloned()),
        "values" => Value::list(entries.borrow().values().cloned()),
        "pop" => match (entries.borrow_mut().shift_remove(&key), default) {
            (Some(value), _) | (None, Some(value)) => value,
            (None, None) => return fail(format!("the dict has no key {key:?}")),
        },
        "popitem" => match entries.borrow_mut().pop() {
            Some((key, value)) => Value::tuple([key, value]),
            None => return fail("popitem(): dictionary is empty"),
        },
        "setdefault" => {
            entries.borrow_mut().entry(key).or_insert_with(|| default.unwrap_or(Value::None)).clone()
        }
        "clear" => {
            entries.borrow_mut().clear();
            Value::None
        }
        _ => Value::dict(entries.borrow().iter().map(|(key, value)| (key.clone(), value.clone()))),
    })
}
