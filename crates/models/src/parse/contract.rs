//! Contracts: the columns that a model promises, and constraints on them.

use serde_json::{json, Value as Json};

use super::{
    names,
    node::{Node, RefArgs, Resource},
};
use crate::{
    error::{Problem, ProblemKind},
    hash::sha256,
    jinja::{repr, Value},
    warning::Warning,
};

/// What a constraint is.
const KINDS: &[&str] = &["check", "not_null", "unique", "primary_key", "foreign_key", "custom"];

/// The materializations that make tables with constraints.
const ENFORCING: &[&str] = &["table", "incremental"];

/// A constraint as dbt's manifest has it: what is not said has its default.
///
/// Errors: it is no mapping, or none of the kinds that there are.
pub(super) fn constraint(said: &Json, of_model: bool) -> Result<Json, Problem> {
    let wrong = |message: String| {
        Problem::new(ProblemKind::Yaml, message)
            .hint(format!("a constraint has a `type`, which is one of {}", KINDS.join(", ")))
    };
    let map = said.as_object().ok_or_else(|| wrong("a constraint is a mapping".into()))?;
    let kind = names::text(map.get("type"));
    if !KINDS.contains(&kind.as_str()) {
        return Err(wrong(format!("`{kind}` is no type of a constraint")));
    }
    let of =
        |key: &str, default: Json| map.get(key).cloned().filter(|value| !value.is_null()).unwrap_or(default);
    let mut found = json!({
        "type": kind, "name": of("name", Json::Null), "expression": of("expression", Json::Null),
        "warn_unenforced": of("warn_unenforced", true.into()), "warn_unsupported": of("warn_unsupported", true.into()),
        "to": of("to", Json::Null), "to_columns": of("to_columns", json!([])),
    });
    if of_model {
        found["columns"] = of("columns", json!([]));
    }
    Ok(found)
}

/// The constraints of a column, or those of a model itself.
pub(crate) fn constraints(of: Option<&Json>) -> impl Iterator<Item = &Json> {
    of.and_then(Json::as_array).into_iter().flatten()
}

/// All constraints of a model, its columns' among them.
fn all(node: &Node) -> impl Iterator<Item = &Json> {
    let of_columns = node.columns.values().flat_map(|column| constraints(column.get("constraints")));
    of_columns.chain(constraints(node.extra.get("constraints")))
}

fn is(constraint: &Json, kind: &str) -> bool {
    constraint.get("type").and_then(Json::as_str) == Some(kind)
}

/// Whether a model has a constraint of some kind, its columns' among them.
pub(crate) fn has(node: &Node, kind: &str) -> bool {
    all(node).any(|one| is(one, kind))
}

/// What the foreign keys of a model refer to, as they say it.
pub(super) fn referred(node: &Node) -> Vec<(String, Target)> {
    let keys = all(node).filter(|one| is(one, "foreign_key"));
    keys.filter_map(|one| Some((one["to"].as_str()?.to_owned(), target(one["to"].as_str()?)?))).collect()
}

/// The columns of the primary key that a model's constraints tell of.
pub(super) fn primary_key(node: &Node) -> Option<Json> {
    let of_model = constraints(node.extra.get("constraints")).find(|one| is(one, "primary_key"));
    if let Some(key) = of_model {
        return key.get("columns").cloned();
    }
    let of_column = node
        .columns
        .iter()
        .find(|(_, column)| constraints(column.get("constraints")).any(|one| is(one, "primary_key")));
    of_column.map(|(name, _)| json!([name]))
}

/// Settles a model's contract once its configuration and columns are known: what it refers to, and its checksum. What is odd is told.
///
/// Errors: the contract can't be kept by what the model is configured to be, or names what there is not.
pub(super) fn settle(node: &mut Node) -> Result<Vec<Warning>, Problem> {
    let mut odd = Vec::new();
    let wrong = |message: &str| Problem::new(ProblemKind::Configuration, message);
    let enforced = node.has_contract();
    if enforced && node.resource != Resource::Model {
        let message = format!("an enforced contract of a {} is not supported yet", node.resource.name());
        return Err(Problem::new(ProblemKind::Unsupported, message));
    }
    if node.resource != Resource::Model {
        return Ok(odd);
    }
    let keys: usize = node
        .columns
        .values()
        .map(|column| constraints(column.get("constraints")).filter(|one| is(one, "primary_key")).count())
        .sum();
    if keys > 1 || keys == 1 && constraints(node.extra.get("constraints")).any(|one| is(one, "primary_key")) {
        return Err(wrong("a model has one primary key")
            .hint("say one of several columns as a constraint of the model"));
    }
    if enforced {
        if node.columns.is_empty() {
            return Err(wrong("a contract is enforced, and no columns are declared")
                .hint("declare them with their `data_type` in a properties file"));
        }
        let keeps = ["append_new_columns", "fail"];
        if node.is_incremental() && !keeps.contains(&node.config_str("on_schema_change").unwrap_or_default())
        {
            return Err(wrong("an incremental model with a contract needs `on_schema_change`")
                .hint("set it to append_new_columns or fail"));
        }
        let makes_table = ENFORCING.contains(&node.materialized());
        if !makes_table && all(node).any(|one| one.get("warn_unsupported") == Some(&Json::Bool(true))) {
            let what = node.materialized();
            let text = format!(
                "constraints are not enforced by the materialization `{what}` {}",
                names::describe(node)
            );
            odd.push(Warning::of("UnsupportedConstraintMaterialization", text));
        }
        node.contract_checksum = Some(checksum(node));
    }
    let to: Vec<String> = all(node)
        .filter(|one| is(one, "foreign_key"))
        .filter_map(|one| one["to"].as_str().map(str::to_owned))
        .collect();
    for to in to {
        match target(&to) {
            Some(Target::Ref(args)) => node.refs.push(args),
            Some(Target::Source(source)) => node.sources.push(source),
            None => return Err(wrong(&format!("`to` of a foreign key is ref(…) or source(…), not `{to}`"))),
        }
    }
    Ok(odd)
}

/// dbt's checksum of a contract: of its columns in the order of their names, each with its type and Python's text of its constraints.
fn checksum(node: &Node) -> String {
    let mut columns: Vec<_> = node.columns.iter().collect();
    columns.sort_by_key(|(name, _)| name.as_str());
    let mut state = String::new();
    for (name, column) in columns {
        let kind = column.get("data_type").and_then(Json::as_str).unwrap_or("None");
        let list: Vec<String> =
            constraints(column.get("constraints")).map(|one| text(one, "Column")).collect();
        state.push_str(&format!("|{name}{kind}[{}]", list.join(", ")));
    }
    if ENFORCING.contains(&node.materialized()) {
        let list: Vec<String> =
            constraints(node.extra.get("constraints")).map(|one| text(one, "Model")).collect();
        state.push_str(&format!("{}[{}]", node.materialized(), list.join(", ")));
    }
    sha256(state.as_bytes())
}

/// A constraint as Python prints dbt's.
fn text(constraint: &Json, level: &str) -> String {
    let kind = names::text(constraint.get("type"));
    let of = |key: &str| repr(&Value::from_json(constraint.get(key).unwrap_or(&Json::Null)));
    let mut parts = vec![format!("type=<ConstraintType.{kind}: '{kind}'>")];
    let keys = ["name", "expression", "warn_unenforced", "warn_unsupported", "to", "to_columns", "columns"];
    let keys = keys.iter().filter(|key| level == "Model" || **key != "columns");
    parts.extend(keys.map(|key| format!("{key}={}", of(key))));
    format!("{level}LevelConstraint({})", parts.join(", "))
}

/// What a foreign key refers to.
pub(super) enum Target {
    /// A model, seed or snapshot.
    Ref(RefArgs),
    /// A table of a source.
    Source((String, String)),
}

/// What the target of a foreign key refers to: `ref('a')`, `ref('package', 'a')`, `source('a', 'b')`.
fn target(to: &str) -> Option<Target> {
    let (function, rest) = to.trim().split_once('(')?;
    let inner = rest.trim().strip_suffix(')')?;
    let arguments: Option<Vec<String>> = inner
        .split(',')
        .map(|argument| {
            let argument = argument.trim();
            let quote = argument.chars().next().filter(|c| "'\"".contains(*c))?;
            argument.strip_prefix(quote)?.strip_suffix(quote).map(str::to_owned)
        })
        .collect();
    match (function.trim(), &arguments?[..]) {
        ("ref", [name]) => Some(Target::Ref(RefArgs { package: None, name: name.clone(), version: None })),
        ("ref", [package, name]) => {
            Some(Target::Ref(RefArgs { package: Some(package.clone()), name: name.clone(), version: None }))
        }
        ("source", [source, table]) => Some(Target::Source((source.clone(), table.clone()))),
        _ => None,
    }
}
