//! Generic tests: from an entry of a properties file to a node, with dbt's names.

use serde_json::{Map, Value as Json};

use super::{node::TestFacts, version};
use crate::{
    error::{Problem, ProblemKind, Result},
    hash::md5,
    jinja::{repr, Value},
    project::render::Renderer,
    warning::Warning,
    yaml::{Kind, Node as Yaml},
};

/// Arguments of a test that are configuration.
const CONFIG_ARGS: &[&str] = &[
    "severity",
    "tags",
    "enabled",
    "where",
    "limit",
    "warn_if",
    "error_if",
    "fail_calc",
    "store_failures",
    "store_failures_as",
    "meta",
    "database",
    "schema",
    "alias",
];

/// What a test is attached to.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// The model, seed or table.
    pub name: &'a str,
    /// The source, where it is a table of one.
    pub source: Option<&'a str>,
    /// The column and whether its name is to be quoted.
    pub column: Option<(&'a str, bool)>,
    /// `models.orders`.
    pub file_key: &'a str,
    /// The version, where it is one of a model.
    pub version: Option<&'a Json>,
}

/// A test as it was declared.
#[derive(Debug)]
pub struct Declared {
    /// Name and arguments.
    pub facts: TestFacts,
    /// The name of the node.
    pub name: String,
    /// The name of its file.
    pub short_name: String,
    /// What its id ends in.
    pub hash: String,
    /// Its configuration.
    pub config: Map<String, Json>,
    /// Its description.
    pub description: String,
    /// Its code.
    pub raw: String,
}

/// What is said of an entry that is written as it was before `arguments` and `config`.
pub fn deprecated(entry: &Yaml, about: About<'_>, original_path: &str) -> Vec<Warning> {
    // What can't be read is told where it is read.
    let Ok((name, args)) = name_and_args(entry) else { return Vec::new() };
    let moved = args.keys().filter(|key| CONFIG_ARGS.contains(&key.as_str())).map(|key| {
        let text = format!("{}: `{key}` of the test `{name}` belongs into its `config`", entry.place);
        Warning::of("PropertyMovedToConfigDeprecation", text)
    });
    let mut warnings: Vec<Warning> = moved.collect();
    let is_argument = |key: &str| {
        !["config", "column_name", "description", "name", "arguments"].contains(&key)
            && !CONFIG_ARGS.contains(&key)
    };
    let has_arguments = match args.get("arguments") {
        Some(Json::Object(arguments)) => !arguments.is_empty(),
        Some(other) => !other.is_null(),
        None => false,
    };
    if !has_arguments && args.keys().any(|key| is_argument(key)) {
        let text = format!(
            "{}: the arguments of the test `{name}` of `{}` belong below a key `arguments` ({original_path})",
            entry.place, about.name
        );
        warnings.push(Warning::of("MissingArgumentsPropertyInGenericTestDeprecation", text));
    }
    warnings
}

/// Reads an entry: a name, or a mapping of a name to arguments.
pub fn declared(entry: &Yaml, about: About<'_>, renderer: &Renderer) -> Result<Declared> {
    let (full_name, mut args) = name_and_args(entry)?;
    if args.contains_key("model") {
        return Err(entry
            .wrong("a test's `model` is what it is declared at: it can't be an argument")
            .into());
    }
    if let Some((column, quote)) = about.column {
        let column = if quote { format!("\"{column}\"") } else { column.to_owned() };
        args.insert("column_name".into(), column.into());
    }
    if let Some(arguments) = args.shift_remove("arguments") {
        match arguments {
            Json::Object(map) => args.extend(map),
            Json::Null => {}
            _ => return Err(entry.wrong("`arguments` of a test is a mapping").into()),
        }
    }
    let target = match about.source {
        Some(source) => format!("source('{source}', '{}')", about.name),
        None => match about.version {
            Some(version) => format!("ref('{}', version='{}')", about.name, version::text(version)),
            None => format!("ref('{}')", about.name),
        },
    };
    args.insert("model".into(), format!("{{{{ get_where_subquery({target}) }}}}").into());
    let (namespace, name) = match full_name.split_once('.') {
        Some((namespace, name)) => (Some(namespace.to_owned()), name.to_owned()),
        None => (None, full_name),
    };
    let render = |value: Json| match &value {
        Json::String(text) => renderer.native(text).map_err(|problem| problem.at(&entry.place)),
        _ => Ok(value),
    };
    let mut config = Map::new();
    let mut nested = match args.shift_remove("config") {
        Some(Json::Object(map)) => map,
        None | Some(Json::Null) => Map::new(),
        Some(_) => return Err(entry.wrong("`config` of a test is a mapping").into()),
    };
    for key in CONFIG_ARGS {
        let here = args.shift_remove(*key).filter(|value| !value.is_null());
        let value = match (here, nested.contains_key(*key)) {
            (Some(_), true) => {
                return Err(entry.wrong(format!("`{key}` stands here and in `config`: keep one")).into());
            }
            (Some(value), false) => Some(value),
            (None, _) => nested.shift_remove(*key).filter(|value| !value.is_null()),
        };
        if let Some(value) = value {
            config.insert((*key).to_owned(), render(value)?);
        }
    }
    for (key, value) in nested {
        config.insert(key, render(value)?);
    }
    let description = match args.shift_remove("description") {
        Some(Json::String(text)) => text,
        _ => String::new(),
    };
    let (short_name, full_name) = match args.shift_remove("name") {
        Some(Json::String(own)) => (own.clone(), own),
        _ => {
            let kind = match (&namespace, about.source) {
                (Some(namespace), Some(source)) => (format!("{namespace}_source_{name}"), source),
                (Some(namespace), None) => (format!("{namespace}_{name}"), ""),
                (None, Some(source)) => (format!("source_{name}"), source),
                (None, None) => (name.clone(), ""),
            };
            let target = match (kind.1, about.version) {
                ("", Some(version)) => format!("{}_v{}", about.name, version::text(version)),
                ("", None) => about.name.to_owned(),
                (source, _) => format!("{source}_{}", about.name),
            };
            synthesized(&kind.0, &target, &args)
        }
    };
    if short_name != full_name && !config.contains_key("alias") {
        config.insert("alias".into(), short_name.clone().into());
    }
    let macro_name = match &namespace {
        Some(namespace) => format!("{namespace}.test_{name}"),
        None => format!("test_{name}"),
    };
    let raw = format!("{{{{ {macro_name}(**_dbt_generic_test_kwargs) }}}}{}", config_call(&config));
    let metadata = Value::dict([
        ("kwargs", hashable(&Json::Object(args.clone()))),
        ("name", Value::from(name.as_str())),
        ("namespace", Value::from(namespace.clone().unwrap_or_else(|| "None".into()))),
    ]);
    let hash = md5(&format!("{full_name}{}", repr(&metadata)));
    Ok(Declared {
        facts: TestFacts {
            name,
            namespace,
            kwargs: args,
            column: about.column.map(
                |(column, quote)| {
                    if quote {
                        format!("\"{column}\"")
                    } else {
                        column.to_owned()
                    }
                },
            ),
            attached: None,
            file_key: about.file_key.to_owned(),
            version: about.version.cloned(),
        },
        name: full_name,
        short_name,
        hash: hash[hash.len() - 10..].to_owned(),
        config,
        description,
        raw,
    })
}

fn name_and_args(entry: &Yaml) -> Result<(String, Map<String, Json>)> {
    let wrong = |message: &str| Err(Problem::new(ProblemKind::Yaml, message).at(&entry.place).into());
    if let Some(name) = entry.as_str() {
        return Ok((name.to_owned(), Map::new()));
    }
    if let (Some(name), Json::Object(mut args)) =
        (entry.get("test_name").and_then(Yaml::as_str), entry.to_json())
    {
        args.shift_remove("test_name");
        return Ok((name.to_owned(), args));
    }
    match entry.entries() {
        [(key, args)] => match (&args.kind, args.to_json()) {
            (Kind::Map(_), Json::Object(map)) => Ok((key.text.clone(), map)),
            (_, Json::Null) => Ok((key.text.clone(), Map::new())),
            _ => wrong("the arguments of a test are a mapping"),
        },
        [] => wrong("a test is a name, or a name with arguments"),
        _ => wrong("a test is one name with arguments; are its arguments indented?"),
    }
}

/// `str` of Python.
fn python_text(json: &Json) -> String {
    Value::from_json(json).to_string()
}

/// All leaves as text, keys in order: what dbt hashes.
fn hashable(json: &Json) -> Value {
    match json {
        Json::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            Value::dict(keys.into_iter().map(|key| (key.as_str(), hashable(&map[key]))))
        }
        Json::Array(items) => Value::list(items.iter().map(hashable)),
        other => Value::from(python_text(other)),
    }
}

/// Short and full name of a test from what it is given: the short one has a hash where the full one is too long for a relation.
fn synthesized(kind: &str, target: &str, args: &Map<String, Json>) -> (String, String) {
    let mut names: Vec<&String> = args.keys().filter(|name| *name != "model").collect();
    names.sort();
    let mut flat = Vec::new();
    for name in names {
        match &args[name] {
            Json::Object(map) => flat.extend(map.values().map(python_text)),
            Json::Array(items) => flat.extend(items.iter().map(python_text)),
            other => flat.push(python_text(other)),
        }
    }
    let unique = flat.iter().map(|arg| clean(arg)).collect::<Vec<_>>().join("__");
    let identifier = format!("{kind}_{target}");
    let full = format!("{identifier}_{unique}");
    if full.chars().count() < 64 {
        return (full.clone(), full);
    }
    let cut: String = identifier.chars().take(30).collect();
    (format!("{cut}_{}", md5(&full)), full)
}

/// Runs of anything but letters, digits and `_` become one `_`.
fn clean(text: &str) -> String {
    let mut out = String::new();
    let mut in_run = false;
    for c in text.chars() {
        if c.is_ascii_alphanumeric() || c == '_' {
            out.push(c);
            in_run = false;
        } else if !in_run {
            out.push('_');
            in_run = true;
        }
    }
    out
}

fn config_call(config: &Map<String, Json>) -> String {
    if config.is_empty() {
        return String::new();
    }
    let said = config.iter().map(|(key, value)| match value {
        Json::String(text) => format!("{key}=\"{}\"", text.replace('"', "\\\"")),
        other => format!("{key}={}", repr(&Value::from_json(other))),
    });
    format!("{{{{ config({}) }}}}", said.collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_end_in_a_hash() {
        let args: Map<String, Json> = serde_json::from_value(serde_json::json!({
            "column_name": "patron_id", "to": "ref('stg_patrons')", "field": "patron_id", "model": "x",
        }))
        .unwrap();
        let (short, full) = synthesized("relationships", "patron_totals", &args);
        assert_eq!(full, "relationships_patron_totals_patron_id__patron_id__ref_stg_patrons_");
        assert_eq!(short, "relationships_patron_totals_33770e90390796ed95a9d90b32aa8eaf");
    }
}
