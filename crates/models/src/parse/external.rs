//! Tables of sources that DuckDB reads from files: `external_location` as dbt-duckdb has it.

use serde_json::{json, Map, Value as Json};

use super::node::Node;
use crate::{error::Problem, error::ProblemKind, jinja::Value};

/// Configurations that every source has: others are of its location.
const OF_SOURCES: [&str; 8] =
    ["enabled", "event_time", "freshness", "loaded_at_field", "loaded_at_query", "meta", "quoting", "tags"];

/// What stands in FROM in the place of a source's table; `None`: it is read from its relation.
///
/// Errors: the location names what isn't known, or is of no form that it could have.
pub(super) fn of(node: &Node) -> Result<Option<String>, Problem> {
    let known = known(node);
    let text = |key: &str| match known.get(key) {
        None | Some(Json::Null) => None,
        Some(value) => Some(written(value)),
    };
    let Some(template) = text("external_location") else { return Ok(None) };
    let wrong = |message: String| {
        Problem::new(ProblemKind::Configuration, message)
            .hint("its name, identifier, schema, database and the keys of its `meta` can be named")
    };
    let value = |key: &str| {
        known
            .get(key)
            .map(written)
            .ok_or_else(|| wrong(format!("`external_location` names `{key}`, which isn't there")))
    };
    let location = match text("formatter").as_deref() {
        None | Some("newstyle") => braces(&template, value),
        Some("oldstyle") => percents(&template, value),
        Some("template") => dollars(&template, value),
        Some(other) => {
            let message = format!("a `formatter` is newstyle, oldstyle or template, not `{other}`");
            return Err(Problem::new(ProblemKind::Configuration, message));
        }
    };
    let location = location.map_err(|part| match part {
        Part::Unknown(problem) => problem,
        Part::Open => wrong(format!("`external_location` has a name that doesn't end: `{template}`")),
    })?;
    let is_expression = location.contains('(') || location.starts_with('\'');
    Ok(Some(if is_expression { location } else { format!("'{location}'") }))
}

/// What a location may name: what is said beside the table comes last.
fn known(node: &Node) -> Map<String, Json> {
    let mut known = Map::new();
    for (key, value) in [
        ("name", json!(node.name)),
        ("identifier", json!(node.alias)),
        ("schema", json!(node.schema)),
        ("database", json!(node.database)),
        ("tags", json!(node.tags())),
    ] {
        known.insert(key.to_owned(), value);
    }
    let metas = [node.extra.get("source_meta"), node.config.get("meta")];
    for meta in metas.into_iter().flatten().filter_map(Json::as_object) {
        known.extend(meta.clone());
    }
    let own = node.config.iter().filter(|(key, _)| !OF_SOURCES.contains(&key.as_str()));
    known.extend(own.map(|(key, value)| (key.clone(), value.clone())));
    known
}

/// As Python writes it.
fn written(value: &Json) -> String {
    Value::from_json(value).to_string()
}

enum Part {
    Unknown(Problem),
    Open,
}

impl From<Problem> for Part {
    fn from(problem: Problem) -> Self {
        Part::Unknown(problem)
    }
}

/// `{name}`; a doubled brace is one.
fn braces(template: &str, value: impl Fn(&str) -> Result<String, Problem>) -> Result<String, Part> {
    let mut out = String::new();
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        let brace = &rest[at..=at];
        if rest[at + 1..].starts_with(brace) {
            out.push_str(brace);
            rest = &rest[at + 2..];
            continue;
        }
        let end = rest[at..].find('}').filter(|_| brace == "{").ok_or(Part::Open)?;
        out.push_str(&value(&rest[at + 1..at + end])?);
        rest = &rest[at + end + 1..];
    }
    Ok(out + rest)
}

/// `%(name)s`; a doubled percent is one.
fn percents(template: &str, value: impl Fn(&str) -> Result<String, Problem>) -> Result<String, Part> {
    marked(template, '%', value, |rest| rest.strip_prefix('(')?.split_once(")s"))
}

/// `$name` and `${name}`; a doubled dollar is one.
fn dollars(template: &str, value: impl Fn(&str) -> Result<String, Problem>) -> Result<String, Part> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    marked(template, '$', value, |rest| {
        let named = match rest.strip_prefix('{') {
            Some(rest) => rest.split_once('}'),
            None => Some(rest.split_at(rest.find(|c| !is_part(c)).unwrap_or(rest.len()))),
        };
        named.filter(|(name, _)| !name.is_empty())
    })
}

/// Names behind a mark, which stands for itself where it is doubled. `named` takes a name apart from what is behind it.
fn marked(
    template: &str,
    mark: char,
    value: impl Fn(&str) -> Result<String, Problem>,
    named: impl Fn(&str) -> Option<(&str, &str)>,
) -> Result<String, Part> {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, behind)) = rest.split_once(mark) {
        out.push_str(before);
        if let Some(behind) = behind.strip_prefix(mark) {
            out.push(mark);
            rest = behind;
            continue;
        }
        let (name, behind) = named(behind).ok_or(Part::Open)?;
        out.push_str(&value(name)?);
        rest = behind;
    }
    Ok(out + rest)
}

#[cfg(test)]
mod tests {
    use super::super::node::Resource;
    use super::*;

    fn location(config: Json) -> Result<Option<String>, String> {
        let mut node = Node::blank(Resource::Source, "shop", "loaves", "a.yml", "a.yml");
        (node.alias, node.schema) = ("loaves_raw".into(), "bakery".into());
        if let Json::Object(config) = config {
            node.config = config;
        }
        of(&node).map_err(|problem| problem.message)
    }

    #[test]
    fn a_location_names_its_table_in_three_ways() {
        let is = |config: Json, expected: &str| {
            assert_eq!(location(config).unwrap().as_deref(), Some(expected));
        };
        assert_eq!(location(json!({"meta": {"owner": "me"}})), Ok(None));
        is(json!({"meta": {"external_location": "raw/{name}.csv"}}), "'raw/loaves.csv'");
        is(
            json!({"external_location": "raw/{schema}/{identifier}_{{}}.parquet"}),
            "'raw/bakery/loaves_raw_{}.parquet'",
        );
        let by_year = json!({"external_location": "read_csv('{name}_{year}.csv')", "meta": {"year": 2024}});
        is(by_year, "read_csv('loaves_2024.csv')");
        is(json!({"external_location": "%(name)s_100%%.csv", "formatter": "oldstyle"}), "'loaves_100%.csv'");
        is(
            json!({"external_location": "$schema/${name}s$$.csv", "formatter": "template"}),
            "'bakery/loavess$.csv'",
        );
        is(json!({"external_location": "'as it is'"}), "'as it is'");
    }

    #[test]
    fn a_location_that_says_nothing_is_told() {
        for (location_, formatter, words) in [
            ("{nam}.csv", "newstyle", "names `nam`, which isn't there"),
            ("{name.csv", "newstyle", "a name that doesn't end"),
            ("name}.csv", "newstyle", "a name that doesn't end"),
            ("%(name).csv", "oldstyle", "a name that doesn't end"),
            ("$.csv", "template", "a name that doesn't end"),
            ("a.csv", "new", "not `new`"),
        ] {
            let told = location(json!({"external_location": location_, "formatter": formatter})).unwrap_err();
            assert!(told.contains(words), "{location_}: {told}");
        }
    }
}
