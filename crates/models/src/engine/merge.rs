//! The statement of the strategy `merge`: what becomes of rows that are there and of those that are not, as a model's `merge_…` say.

use serde_json::{json, Map, Value as Json};

use super::incremental::{texts, Upsert};
use crate::{
    context::relation::quoted,
    error::{Problem, ProblemKind},
};

/// What `merge_clauses` takes the place of.
const INSTEAD: [&str; 5] = [
    "merge_update_condition",
    "merge_insert_condition",
    "merge_update_columns",
    "merge_update_set_expressions",
    "merge_exclude_columns",
];

fn wrong(message: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::Configuration, message)
}

/// Plans the statement, without its end.
///
/// Errors: a `merge_…` of the model is of another form than it is to have, or contradicts another.
pub(super) fn statement(upsert: &Upsert<'_>, keys: &[String]) -> Result<String, Problem> {
    let config = &upsert.node.config;
    check(config)?;
    let of = |key: &str| config.get(key).filter(|value| !value.is_null());
    let clauses = |key: &str| of("merge_clauses").and_then(|all| all.get(key)).and_then(Json::as_array);
    let mut parts = vec![format!(
        "merge into {} as DBT_INTERNAL_DEST using {} as DBT_INTERNAL_SOURCE {}",
        upsert.target,
        upsert.staged,
        joined(upsert, keys, of("merge_on_using_columns").map(texts).unwrap_or_default())
    )];
    let matched = match clauses("when_matched") {
        Some(said) => said.clone(),
        None => vec![update_of(&of)],
    };
    let unmatched = match clauses("when_not_matched") {
        Some(said) => said.clone(),
        None => {
            vec![json!({"action": "insert", "mode": "by_name", "condition": of("merge_insert_condition")})]
        }
    };
    for clause in &matched {
        parts.push(format!("when matched{}{}", condition(clause), matched_action(clause, upsert)?));
    }
    for clause in &unmatched {
        let by = clause.get("by").and_then(Json::as_str).map(|by| format!(" by {by}")).unwrap_or_default();
        parts.push(format!("when not matched{by}{}{}", condition(clause), unmatched_action(clause)));
    }
    let returned = match of("merge_returning_columns") {
        Some(columns) => texts(columns),
        None => Vec::new(),
    };
    if !returned.is_empty() {
        parts.push(format!("returning {}", returned.join(", ")));
    }
    Ok(parts.join("\n"))
}

/// Plans the statement as PostgreSQL has it, without its end: rows that are there are updated, others inserted.
///
/// Errors: columns that are updated and columns that are not are both said.
pub(super) fn plain(upsert: &Upsert<'_>, keys: &[String]) -> Result<String, Problem> {
    let said = |key: &str| upsert.node.config.get(key).map(texts).unwrap_or_default();
    let (include, exclude) = (said("merge_update_columns"), said("merge_exclude_columns"));
    let columns: Vec<String> = upsert.columns.iter().map(|name| quoted(name)).collect();
    let updated = match (include.is_empty(), exclude.is_empty()) {
        (false, false) => {
            return Err(wrong("columns that are updated and columns that are not are both said: keep one"))
        }
        (false, true) => include,
        (true, _) => {
            let stays = |name: &&String| !exclude.iter().any(|other| other.eq_ignore_ascii_case(name));
            upsert.columns.iter().filter(stays).map(|name| quoted(name)).collect()
        }
    };
    let mut on = upsert.predicates.clone();
    on.extend(keys.iter().map(|key| format!("DBT_INTERNAL_SOURCE.{key} = DBT_INTERNAL_DEST.{key}")));
    let mut parts = vec![format!(
        "merge into {} as DBT_INTERNAL_DEST using {} as DBT_INTERNAL_SOURCE",
        upsert.target, upsert.staged
    )];
    if keys.is_empty() {
        // Nothing is the same row: all are new.
        on.push("false".to_owned());
    }
    parts.push(format!("on ({})", on.join(") and (")));
    if !keys.is_empty() {
        let set: Vec<String> =
            updated.iter().map(|name| format!("{name} = DBT_INTERNAL_SOURCE.{name}")).collect();
        parts.push(format!("when matched then update set {}", set.join(", ")));
    }
    let columns = columns.join(", ");
    parts.push(format!("when not matched then insert ({columns}) values ({columns})"));
    Ok(parts.join("\n"))
}

/// What becomes of a row that is there where no clauses are said.
fn update_of<'c>(of: &dyn Fn(&str) -> Option<&'c Json>) -> Json {
    let is_said = |key: &str| match of(key) {
        Some(Json::Array(list)) => !list.is_empty(),
        Some(Json::Object(map)) => !map.is_empty(),
        _ => false,
    };
    let keys = ["merge_update_columns", "merge_exclude_columns", "merge_update_set_expressions"];
    let mode = if keys.into_iter().any(is_said) { "explicit" } else { "by_name" };
    json!({
        "action": "update", "mode": mode, "condition": of("merge_update_condition"),
        "update": {"include": of(keys[0]), "exclude": of(keys[1]), "set_expressions": of(keys[2])},
    })
}

/// How a row is found.
fn joined(upsert: &Upsert<'_>, keys: &[String], using: Vec<String>) -> String {
    let conditions = |all: &[String]| format!("on ({})", all.join(") and ("));
    if !using.is_empty() {
        let also = if upsert.predicates.is_empty() {
            String::new()
        } else {
            format!(" {}", conditions(&upsert.predicates))
        };
        return format!("using ({}){also}", using.join(", "));
    }
    let mut on: Vec<String> =
        keys.iter().map(|key| format!("DBT_INTERNAL_SOURCE.{key} = DBT_INTERNAL_DEST.{key}")).collect();
    if on.is_empty() {
        // Nothing is the same row: all are new.
        on.push("false".to_owned());
    }
    on.extend(upsert.predicates.iter().cloned());
    conditions(&on)
}

/// When a clause is for a row: a text as it stands, several each in brackets.
fn condition(clause: &Json) -> String {
    match clause.get("condition") {
        Some(Json::String(text)) if !text.is_empty() => format!(" and {text}"),
        Some(list @ Json::Array(all)) if !all.is_empty() => format!(" and ({})", texts(list).join(") and (")),
        _ => String::new(),
    }
}

fn said<'c>(clause: &'c Json, key: &str) -> &'c str {
    clause.get(key).and_then(Json::as_str).unwrap_or_default()
}

/// What both kinds of clauses can do.
fn common_action(clause: &Json) -> String {
    match said(clause, "action") {
        "delete" => " then delete".into(),
        "do_nothing" => " then do nothing".into(),
        "error" => match said(clause, "error_message") {
            "" => " then error".into(),
            message => format!(" then error '{}'", message.replace('\'', "''")),
        },
        // DuckDB tells what it thinks of an action that there is not.
        other => format!(" then {other}"),
    }
}

fn matched_action(clause: &Json, upsert: &Upsert<'_>) -> Result<String, Problem> {
    if said(clause, "action") != "update" {
        return Ok(common_action(clause));
    }
    Ok(match said(clause, "mode") {
        "by_name" => " then update by name".into(),
        "by_position" => " then update by position".into(),
        "star" => " then update set *".into(),
        "explicit" => format!(" then update set {}", assignments(clause.get("update"), upsert)?),
        other => format!(" then update {other}"),
    })
}

/// What columns become of a row that is there: expressions of their own, and the others that are to be updated what the new row has.
fn assignments(update: Option<&Json>, upsert: &Upsert<'_>) -> Result<String, Problem> {
    let of = |key: &str| update.and_then(|update| update.get(key)).filter(|value| !value.is_null());
    let (include, exclude) =
        (of("include").map(texts).unwrap_or_default(), of("exclude").map(texts).unwrap_or_default());
    let all = || upsert.columns.iter();
    let columns: Vec<String> = match (include.is_empty(), exclude.is_empty()) {
        (false, false) => {
            return Err(wrong("columns that are updated and columns that are not are both said: keep one"))
        }
        (false, true) => include,
        (true, _) => all()
            .filter(|name| !exclude.iter().any(|other| other.eq_ignore_ascii_case(name)))
            .map(|name| quoted(name))
            .collect(),
    };
    let empty = Map::new();
    let expressions = of("set_expressions").and_then(Json::as_object).unwrap_or(&empty);
    let own = expressions.iter().map(|(column, value)| match value {
        Json::String(text) => format!("{column} = {text}"),
        other => format!("{column} = {other}"),
    });
    let taken = columns
        .iter()
        .filter(|column| !expressions.contains_key(&column.replace(['"', '\''], "")))
        .map(|column| format!("{column} = DBT_INTERNAL_SOURCE.{column}"));
    Ok(own.chain(taken).collect::<Vec<_>>().join(", "))
}

fn unmatched_action(clause: &Json) -> String {
    match (said(clause, "action"), said(clause, "mode")) {
        ("insert", "by_name") => " then insert by name".into(),
        ("insert", "by_position") => " then insert by position".into(),
        ("insert", "star") => " then insert *".into(),
        ("insert", "explicit") => {
            let list = |key: &str| {
                clause
                    .get("insert")
                    .and_then(|insert| insert.get(key))
                    .map(texts)
                    .unwrap_or_default()
                    .join(", ")
            };
            format!(" then insert ({}) values ({})", list("columns"), list("values"))
        }
        ("insert", other) => format!(" then insert {other}"),
        ("update", _) => {
            let expressions = clause.get("set_expressions").and_then(Json::as_object);
            let all = expressions.into_iter().flatten().map(|(column, value)| match value {
                Json::String(text) => format!("{column} = {text}"),
                other => format!("{column} = {other}"),
            });
            format!(" then update set {}", all.collect::<Vec<_>>().join(", "))
        }
        _ => common_action(clause),
    }
}

/// Checks the form of what a model says.
fn check(config: &Map<String, Json>) -> Result<(), Problem> {
    let of = |key: &str| config.get(key).filter(|value| !value.is_null());
    let is_texts = |value: &Json| value.as_array().is_some_and(|list| list.iter().all(Json::is_string));
    for key in ["merge_update_condition", "merge_insert_condition"] {
        if of(key).is_some_and(|value| !value.is_string()) {
            return Err(wrong(format!("`{key}` is a text")));
        }
    }
    let lists = [
        "merge_on_using_columns",
        "merge_update_columns",
        "merge_exclude_columns",
        "merge_returning_columns",
    ];
    for key in lists {
        if of(key).is_some_and(|value| !is_texts(value)) {
            return Err(wrong(format!("`{key}` is a list of texts")));
        }
    }
    if of("merge_update_set_expressions").is_some_and(|value| !value.is_object()) {
        return Err(wrong("`merge_update_set_expressions` is a mapping of columns to expressions"));
    }
    let Some(clauses) = of("merge_clauses") else { return Ok(()) };
    let kinds = ["when_matched", "when_not_matched"];
    let map = clauses.as_object().ok_or_else(|| wrong("`merge_clauses` is a mapping"))?;
    if !kinds.iter().any(|kind| map.contains_key(*kind)) {
        return Err(wrong("`merge_clauses` has `when_matched`, `when_not_matched` or both"));
    }
    for kind in kinds.iter().filter(|kind| map.contains_key(**kind)) {
        let list = map[*kind].as_array().filter(|list| !list.is_empty() && list.iter().all(Json::is_object));
        if list.is_none() {
            return Err(wrong(format!("`{kind}` of `merge_clauses` is a list of mappings")));
        }
    }
    let is_empty = |value: &Json| match value {
        Json::Array(list) => list.is_empty(),
        Json::Object(map) => map.is_empty(),
        _ => false,
    };
    match INSTEAD.iter().find(|key| of(key).is_some_and(|value| !is_empty(value))) {
        Some(key) => Err(wrong(format!("`{key}` means nothing beside `merge_clauses`"))
            .hint("say it within `merge_clauses`, or leave these out")),
        None => Ok(()),
    }
}
