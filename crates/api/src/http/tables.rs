//! `/tables`: every table and model, and its rows by filters.

use std::sync::Arc;

use axum::{
    http::{header, request::Parts, HeaderValue},
    response::{IntoResponse, Response},
};
use millstream_core::{TableName, Trust};
use serde_json::{json, Value};

use super::{
    endpoints::{accept, given, reply},
    negotiate, respond,
    route::{Relations, Site},
};
use crate::{
    access::Caller,
    answer::{Asked, Format, FRESH_FOR},
    host::{described, Host},
    problem::Problem,
    relation::{Relation, RelationKind},
};

const DOING: &str = "looking at the tables";

/// Every table, its history, and every model, by name.
pub(crate) fn relations(host: &dyn Host) -> Result<Vec<(Relation, RelationKind)>, Problem> {
    let fail = |error| Problem::of(&error, DOING, false);
    let mut reader = host.reader().map_err(fail)?;
    let mut relations = Vec::new();
    let mut add = |schema: &str, name: &str, key: Vec<String>, kind| -> Result<(), Problem> {
        let sql =
            format!("SELECT * FROM \"{}\".\"{}\"", schema.replace('"', "\"\""), name.replace('"', "\"\""));
        // A view that no longer works is not there to be read; `status` says so.
        if let Ok(described) = described(reader.as_mut(), &sql).map_err(fail)? {
            let relation = Relation {
                schema: schema.to_owned(),
                name: name.to_owned(),
                columns: described.columns,
                key,
            };
            relations.push((relation, kind));
        }
        Ok(())
    };
    for table in host.tables().map_err(fail)? {
        let layout = &table.layout;
        let name = |attnum: &i16| {
            layout.columns.iter().find(|column| column.attnum == *attnum).map(|column| column.name.clone())
        };
        let key: Vec<String> = layout.key.iter().flatten().filter_map(name).collect();
        add(&layout.target.schema, &layout.target.name, key, RelationKind::Table)?;
        if layout.history {
            add(
                &layout.target.schema,
                &format!("{}_history", layout.target.name),
                Vec::new(),
                RelationKind::History,
            )?;
        }
    }
    for model in host.models().map_err(fail)? {
        add(
            &model.name.schema,
            &model.name.name,
            Vec::new(),
            if model.holds { RelationKind::Held } else { RelationKind::View },
        )?;
    }
    relations.sort_by(|(a, _), (b, _)| (&a.schema, &a.name).cmp(&(&b.schema, &b.name)));
    Ok(relations)
}

/// Those that somebody may read.
pub(super) async fn visible(site: &Site, caller: &Caller) -> Result<Relations, Problem> {
    let all = site.relations().await?;
    let Some(role) = caller.role() else { return Ok(all) };
    let may_read = |(relation, of): &&(Relation, RelationKind)| {
        role.may_read(&TableName::new(&relation.schema, &relation.name), *of == RelationKind::Held)
    };
    Ok(Arc::new(all.iter().filter(may_read).cloned().collect()))
}

/// The list.
pub(super) async fn list(site: &Site, caller: &Caller) -> Result<Response, Problem> {
    let relations = visible(site, caller).await?;
    let list: Vec<Value> = relations
        .iter()
        .map(|(relation, kind)| {
            let columns: Vec<Value> =
                relation.columns.iter().map(|(name, of)| json!({"name": name, "type": of})).collect();
            json!({
                "schema": relation.schema,
                "name": relation.name,
                "kind": kind.name(),
                "columns": columns,
                "key": relation.key,
                "path": relation.path(),
            })
        })
        .collect();
    let mut response = Value::from(list).to_string().into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// A segment of a path as text.
pub(super) fn decoded(segment: &str) -> Result<String, Problem> {
    percent_encoding::percent_decode_str(segment)
        .decode_utf8()
        .map(|text| text.into_owned())
        .map_err(|_| Problem::malformed("the path is not UTF-8"))
}

/// Rows of the table whose path is `schema/name`.
pub(super) async fn rows(
    site: &Site,
    path: &str,
    format: Option<Format>,
    parts: &Parts,
    caller: &Caller,
) -> Result<Response, Problem> {
    let missing = || Problem::not_found("there is no such table").hint("GET /tables lists them.");
    let (schema, name) = path.split_once('/').ok_or_else(missing)?;
    let (schema, name) = (decoded(schema)?, decoded(name)?);
    // What somebody may not read is not there for them: they don't learn whether it is.
    let relations = visible(site, caller).await?;
    let is = |relation: &Relation| {
        relation.schema.eq_ignore_ascii_case(&schema) && relation.name.eq_ignore_ascii_case(&name)
    };
    let (relation, _) = relations.iter().find(|(relation, _)| is(relation)).ok_or_else(missing)?;
    let given = given(parts);
    for name in ["select", "order", "limit", "offset", "cursor", "as_of"] {
        if given.iter().filter(|(given, _)| given == name).count() > 1 {
            return Err(Problem::parameter(name, "given once", "several values"));
        }
    }
    let (sql, parameters) = relation.statement(&given)?;
    let limits = site.limits(caller);
    let window = respond::window(&given, |_| false, limits.rows)?;
    let format = match format {
        Some(format) => format,
        None => negotiate::format(accept(parts))?,
    };
    let asked = Asked {
        sql: Arc::from(sql),
        parameters,
        as_of: window.as_of,
        page: window.page,
        prefix: None,
        trust: Trust::Guest,
        role: caller.role(),
        memory_bytes: limits.memory_bytes,
    };
    reply(site, asked, format, FRESH_FOR, parts, "reading a table").await
}
