//! `attach` of a DuckDB target: files that are databases beside the target's own.

use serde_json::{Map, Value as Json};

use super::profile::database_of;
use crate::{
    error::{Problem, ProblemKind, Result},
    place::Place,
    yaml::{Kind, Node},
};

/// What an entry may say. What else dbt-duckdb has needs an extension, and is refused by name.
const KEYS: &[&str] = &["path", "alias", "type", "read_only", "options", "is_ducklake"];

/// Names that DuckDB has given to databases of its own.
const TAKEN: &[&str] = &["system", "temp"];

/// Options that are said by keys of the entry, too.
const SAID_TWICE: &[&str] = &["type", "read_only"];

/// A database of a target beside its own.
#[derive(Debug, Clone)]
pub struct Attached {
    /// What it is called in names of relations.
    pub name: String,
    /// The file, or `:memory:`.
    pub path: String,
    /// Whether nothing can be built in it.
    pub read_only: bool,
    /// What else DuckDB is told of it: options with their values; one without is named alone.
    pub options: Vec<(String, Option<Json>)>,
    /// Where the profile says it.
    pub place: Place,
}

/// The databases that a target attaches, in order. `own` is what its own one is called.
///
/// Errors: an entry that is no mapping with a `path`; a key or a type that is not known; a name that is given twice, or taken; something else than a file.
pub(super) fn read(output: &Node, own: &str) -> Result<Vec<Attached>> {
    let Some(list) = output.get("attach").filter(|list| !list.is_null()) else { return Ok(Vec::new()) };
    let Kind::List(entries) = &list.kind else {
        return Err(list.wrong(format!("`attach` is a list of databases, not {}", list.describe())).into());
    };
    let mut all: Vec<Attached> = Vec::new();
    for entry in entries {
        let attached = one(entry)?;
        let name = attached.name.as_str();
        let is_called = |other: &str| other.eq_ignore_ascii_case(name);
        let taken = if is_called(own) {
            Some(format!("`{name}` is what the target's own database is called"))
        } else if all.iter().any(|other| is_called(&other.name)) {
            Some(format!("two attached databases are called `{name}`"))
        } else {
            let taken = TAKEN.iter().any(|taken| is_called(taken));
            taken.then(|| format!("`{name}` is the name of a database that DuckDB has itself"))
        };
        if let Some(message) = taken {
            let node = entry.get("alias").or_else(|| entry.get("path")).unwrap_or(entry);
            return Err(Problem::new(ProblemKind::Configuration, message)
                .at(&node.place)
                .hint("give it another `alias`")
                .into());
        }
        all.push(attached);
    }
    Ok(all)
}

fn one(entry: &Node) -> Result<Attached> {
    if !matches!(entry.kind, Kind::Map(_)) {
        return Err(entry.wrong("an entry of `attach` is a mapping with a `path`").into());
    }
    let unsupported = |message: String, place: &Place| -> Result<Attached> {
        let problem = Problem::new(ProblemKind::Unsupported, message).at(place);
        Err(problem.hint("what can be attached are DuckDB's own files, and `:memory:`").into())
    };
    for (key, _) in entry.entries() {
        if !KEYS.contains(&key.text.as_str()) {
            return unsupported(
                format!("`{}` of an attached database is not supported", key.text),
                &key.place,
            );
        }
    }
    let said = |key: &str| entry.get(key).filter(|node| !node.is_null());
    let text = |key: &str| match said(key) {
        None => Ok(None),
        Some(node) => match node.as_str() {
            Some(text) if !text.trim().is_empty() => Ok(Some((text.to_owned(), node))),
            _ => Err(node.wrong(format!("`{key}` is a text"))),
        },
    };
    let flag = |key: &str| match said(key).map(|node| (node.to_json(), node)) {
        None => Ok(None),
        Some((Json::Bool(flag), _)) => Ok(Some(flag)),
        Some((_, node)) => Err(node.wrong(format!("`{key}` is true or false"))),
    };
    let Some((path, path_node)) = text("path")? else {
        return Err(entry.wrong("an attached database needs a `path`").into());
    };
    if path != ":memory:" && has_scheme(&path) {
        return unsupported(format!("`{path}` is not the path of a file"), &path_node.place);
    }
    if path == ":memory:" && flag("read_only")? == Some(true) {
        let node = entry.get("read_only").unwrap_or(entry);
        return Err(node.wrong("there is nothing to read in `:memory:`: it is empty at first").into());
    }
    if flag("is_ducklake")? == Some(true) {
        let node = entry.get("is_ducklake").unwrap_or(entry);
        return unsupported("a database of DuckLake can't be attached yet".into(), &node.place);
    }
    let mut kind = text("type")?;
    let mut read_only = flag("read_only")?;
    let mut options = Vec::new();
    if let Some(node) = said("options") {
        let Kind::Map(entries) = &node.kind else {
            return Err(node.wrong("`options` of an attached database is a mapping").into());
        };
        for (key, value) in entries {
            let name = key.text.to_lowercase();
            if SAID_TWICE.contains(&name.as_str()) && said(&name).is_some() {
                let problem = Problem::new(
                    ProblemKind::Configuration,
                    format!("`{name}` is said twice: by the entry, and among its options"),
                );
                return Err(problem.at(&key.place).hint("leave one of them out").into());
            }
            match (name.as_str(), value.to_json()) {
                ("secret", _) => {
                    return unsupported(
                        "`secret` of an attached database is not supported".into(),
                        &key.place,
                    )
                }
                ("type", Json::String(text)) => kind = Some((text, value)),
                ("read_only", Json::Bool(flag)) => read_only = Some(flag),
                ("type" | "read_only", _) => {
                    return Err(value.wrong(format!("`{name}` is not {}", value.describe())).into())
                }
                (_, Json::Null | Json::Bool(false)) => {}
                (_, Json::Bool(true)) => options.push((name, None)),
                (_, Json::String(text)) => options.push((name, Some(unquoted(&text).to_owned().into()))),
                (_, json @ Json::Number(_)) => options.push((name, Some(json))),
                (_, _) => return Err(value.wrong("an option is a text, a number, true or false").into()),
            }
            let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if key.text.is_empty() || !key.text.chars().all(is_word) {
                let message = format!("`{}` is no option of a database", key.text);
                return Err(Problem::new(ProblemKind::Configuration, message).at(&key.place).into());
            }
        }
    }
    if let Some((kind, node)) = kind.filter(|(kind, _)| !kind.eq_ignore_ascii_case("duckdb")) {
        return unsupported(
            format!("a database of type `{kind}` can't be attached: it needs an extension"),
            &node.place,
        );
    }
    let name = match text("alias")? {
        Some((alias, _)) => alias,
        None if path == ":memory:" => "memory".to_owned(),
        None => database_of(&path),
    };
    let place = entry.place.clone();
    Ok(Attached { name, path, read_only: read_only.unwrap_or(false), options, place })
}

/// A text that is quoted for SQL already, as dbt-duckdb takes it, without the quotes.
fn unquoted(text: &str) -> &str {
    let within = |quote: char| text.trim().strip_prefix(quote)?.strip_suffix(quote);
    within('\'').or_else(|| within('"')).unwrap_or(text)
}

/// Whether a path begins as an address does, or names what else than DuckDB is to read it: `s3://…`, `sqlite:…`.
fn has_scheme(path: &str) -> bool {
    path.split_once(':').is_some_and(|(scheme, _)| {
        !scheme.contains(['/', '\\', '.']) && !scheme.contains(char::is_whitespace)
    })
}

/// What templates are told of the databases, without what opens them.
pub(super) fn without_keys(fields: &mut Map<String, Json>) {
    let entries = fields.get_mut("attach").and_then(Json::as_array_mut);
    for entry in entries.into_iter().flatten() {
        if let Some(options) = entry.get_mut("options").and_then(Json::as_object_mut) {
            options.retain(|key, _| !key.to_lowercase().contains("key"));
        }
    }
}
