//! Documents: the state of the whole, the tables, and what the project's files define.

use std::{collections::HashMap, sync::Arc};

use axum::{http::request::Parts, response::Response};
use millstream_core::warehouse::{SchemaChange, TableState};
use serde_json::{json, Value};

use super::{
    super::{route::Site, tables::visible},
    document, parameters, survey,
};
use crate::{
    access::Caller,
    as_of,
    dashboard::{Chart, ChartOf},
    endpoint::{Endpoint, Kind, Param},
    problem::Problem,
    relation::{Relation, RelationKind},
};

/// The document of `millstream status --json`.
pub(super) async fn status(site: &Site, parts: &Parts) -> Result<Response, Problem> {
    const DOING: &str = "reading the status";
    parameters(parts, &[])?;
    let host = site.host().clone();
    let read = move |_: &_| host.status().map_err(|error| Problem::of(&error, DOING, false));
    Ok(document(parts, &site.answers.reading().with_turn(DOING, read).await?))
}

/// Every table and model that somebody may read, with its columns here and at the source.
pub(super) async fn tables(site: &Site, parts: &Parts, caller: &Caller) -> Result<Response, Problem> {
    const DOING: &str = "looking at the tables";
    parameters(parts, &[])?;
    let relations = visible(site, caller).await?;
    let host = site.host().clone();
    let read = move |_: &_| host.tables().map_err(|error| Problem::of(&error, DOING, false));
    let states = site.answers.reading().with_turn(DOING, read).await?;
    let states: HashMap<(&str, &str), &TableState> = states
        .iter()
        .map(|state| ((state.layout.target.schema.as_str(), state.layout.target.name.as_str()), state))
        .collect();
    let has_history = |relation: &Relation| {
        let name = format!("{}_history", relation.name);
        let is = |(of, kind): &(Relation, RelationKind)| {
            *kind == RelationKind::History && of.schema == relation.schema && of.name == name
        };
        relations.iter().any(is)
    };
    let listed = relations.iter().filter_map(|(relation, kind)| match *kind {
        RelationKind::Table => states
            .get(&(relation.schema.as_str(), relation.name.as_str()))
            .map(|state| table(relation, state, has_history(relation))),
        RelationKind::View | RelationKind::Held => Some(model(relation, *kind == RelationKind::Held)),
        RelationKind::History => None,
    });
    Ok(document(parts, &listed.collect()))
}

fn table(relation: &Relation, state: &TableState, has_history: bool) -> Value {
    // As apply keeps it: the source's schema, whose columns say whether they may be NULL.
    let schema: Value = serde_json::from_str(&state.schema_json).unwrap_or_default();
    let not_null = |attnum: i16| {
        let columns = schema["columns"].as_array().into_iter().flatten();
        columns.filter(|column| column["attnum"] == attnum).find_map(|column| column["not_null"].as_bool())
    };
    let of = |name: &str| state.layout.live_columns().find(|column| column.name == name);
    let columns = relation.columns.iter().map(|(name, warehouse_type)| {
        let column = of(name);
        json!({
            "name": name,
            "type": warehouse_type,
            "source_type": column.map(|column| &column.source_type),
            "key": relation.key.contains(name),
            "nullable": column.and_then(|column| not_null(column.attnum)).map(|not_null| !not_null),
        })
    });
    json!({
        "name": state.layout.source.to_string(),
        "warehouse": {"schema": relation.schema, "name": relation.name},
        "kind": "table",
        "columns": columns.collect::<Value>(),
        "history": has_history,
        "history_since": state.history_since.filter(|_| has_history).and_then(|since| as_of::print(since.time)),
        "changes": state.changes.iter().map(change).collect::<Value>(),
    })
}

/// How the table's schema changed at one moment.
fn change(of: &SchemaChange) -> Value {
    json!({"at": as_of::print(of.at.time), "lsn": of.at.position.commit_lsn.to_string(), "steps": of.steps})
}

fn model(relation: &Relation, holds: bool) -> Value {
    let columns = relation.columns.iter().map(|(name, of)| json!({"name": name, "type": of, "key": false}));
    json!({
        "name": format!("{}.{}", relation.schema, relation.name),
        "warehouse": {"schema": relation.schema, "name": relation.name},
        "kind": "view",
        "holds": holds,
        "columns": columns.collect::<Value>(),
        "history": false,
        "history_since": null,
        "changes": [],
    })
}

/// The endpoints that somebody may call. One that can't be served says why to whoever may see everything: the reason may name what others may not.
pub(super) async fn endpoints(site: &Site, parts: &Parts, caller: &Caller) -> Result<Response, Problem> {
    parameters(parts, &[])?;
    let survey = survey::of(site).await?;
    let all = caller.is_admin();
    let told = |error: &'static str| move |said: &str| if all { said.to_owned() } else { error.to_owned() };
    let callable = survey.endpoints.served.iter().filter(|of| caller.may_call(of));
    let served = callable.map(|of| {
        let error = survey
            .endpoint_error(&of.path)
            .map(told("it can't be run; whoever keeps the project is told why"));
        endpoint(of, error.as_deref(), all)
    });
    let broken = survey.endpoints.broken.iter().filter(|_| all).map(|(file, error)| {
        json!({
            "path": file, "description": null, "params": [], "cache_seconds": null, "live": false, "file": file,
            "error": error,
        })
    });
    Ok(document(parts, &served.chain(broken).collect()))
}

fn endpoint(of: &Endpoint, error: Option<&str>, with_file: bool) -> Value {
    json!({
        "path": of.path,
        "description": of.description,
        "params": of.params.iter().map(param).collect::<Value>(),
        "cache_seconds": of.cache.map(|cache| cache.as_secs_f64()),
        "live": of.live,
        "file": with_file.then_some(&of.file),
        "error": error,
    })
}

fn param(of: &Param) -> Value {
    let value = |text: &String| match of.kind {
        Kind::Integer | Kind::Number => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
        Kind::Boolean => json!(text == "true"),
        _ => json!(text),
    };
    json!({
        "name": of.name,
        "type": of.kind.name(),
        "description": of.description,
        "default": of.default.as_ref().map(value),
        "enum": if of.choices.is_empty() { Value::Null } else { of.choices.iter().map(value).collect() },
        "min": of.min,
        "max": of.max,
        "required": of.required,
    })
}

/// The dashboards that somebody may see. Whoever may see everything is also told of what they read, of their files, and what is wrong with one.
pub(super) async fn dashboards(site: &Site, parts: &Parts, caller: &Caller) -> Result<Response, Problem> {
    parameters(parts, &[])?;
    let all = caller.is_admin();
    let dashboards = site.host().dashboards();
    let seen = dashboards.served.iter().filter(|of| caller.may_see(of.roles.as_deref()));
    let served = seen.map(|of| {
        json!({
            "name": of.name,
            "title": of.title,
            "description": of.description,
            "file": all.then_some(&of.file),
            "charts": of.charts.iter().map(|of| chart(of, all)).collect::<Value>(),
            "error": null,
        })
    });
    let broken = dashboards.broken.iter().filter(|_| all).map(|(file, error)| {
        json!({"name": file, "title": file, "description": null, "file": file, "charts": [], "error": error})
    });
    Ok(document(parts, &served.chain(broken).collect()))
}

fn chart(of: &Chart, with_sql: bool) -> Value {
    let (sql, endpoint) = match &of.of {
        ChartOf::Sql(sql) => (with_sql.then_some(sql), None),
        ChartOf::Endpoint(path) => (None, Some(path)),
    };
    json!({
        "title": of.title,
        "kind": of.kind.name(),
        "sql": sql,
        "endpoint": endpoint,
        "x": of.x,
        "y": of.y,
        "color": of.color,
    })
}

/// The saved queries that somebody may see and ask. Whoever may see everything is also told of their files, and what is wrong with one.
pub(super) async fn queries(site: &Site, parts: &Parts, caller: &Caller) -> Result<Response, Problem> {
    parameters(parts, &[])?;
    let all = caller.is_admin();
    let queries = site.host().queries();
    let asks = caller.may_ask_sql();
    let seen = queries.served.iter().filter(|of| asks && caller.may_see(of.roles.as_deref()));
    let served = seen.map(|of| {
        json!({
            "name": of.name, "title": of.title, "description": of.description, "file": all.then_some(&of.file),
            "sql": of.sql, "error": null,
        })
    });
    let broken = queries.broken.iter().filter(|_| all).map(|(file, error)| {
        json!({"name": file, "title": file, "description": null, "file": file, "sql": null, "error": error})
    });
    Ok(document(parts, &served.chain(broken).collect()))
}

/// The name of a table or model, as it is compared.
pub(super) fn folded(schema: &str, name: &str) -> Arc<str> {
    Arc::from(format!("{}.{}", schema.to_lowercase(), name.to_lowercase()))
}
