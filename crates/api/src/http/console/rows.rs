//! Rows of tables and models, the versions of one row, questions in SQL, and charts.

use std::{sync::Arc, time::Instant};

use axum::{body::Body, http::request::Parts, response::Response};
use millstream_core::{warehouse::TableState, Trust};
use serde::Deserialize;
use serde_json::{json, Value};

use super::{
    super::{endpoints, respond, route::Site, tables::visible},
    cells::{self, Cells, Cut, BYTES_MAX},
    number, one, parameters, text,
    work::posted,
};
use crate::{
    access::Caller,
    answer::{Asked, Format, Page, FRESH_FOR},
    as_of,
    dashboard::ChartOf,
    problem::Problem,
    relation::{Grid, Relation, RelationKind},
};

/// Rows of one page of a table, and what it has where nothing is said.
const PAGE_ROWS: (usize, usize) = (1_000, 100);

/// Rows of one answer in SQL, and what it has where nothing is said.
const SQL_ROWS: (usize, usize) = (10_000, 1_000);

/// Rows of a chart: more points than a screen has columns.
const CHART_ROWS_MAX: usize = 2_000;

/// Versions of one row that are given, the newest: as many as anybody looks through.
const VERSIONS_MAX: usize = 2_000;

/// What the key's columns begin with in an address.
const KEY: &str = "key.";

/// A page of a table or model.
pub(super) async fn rows(
    site: &Site,
    parts: &Parts,
    caller: &Caller,
    schema: &str,
    name: &str,
) -> Result<Response, Problem> {
    const DOING: &str = "reading a table";
    let given = parameters(parts, &["order", "filter", "limit", "offset", "as_of"])?;
    let filters = given.iter().filter(|(name, _)| name == "filter").map(|(_, text)| text.clone());
    let grid = Grid {
        filters: filters.collect(),
        order: one(&given, "order")?.map(str::to_owned),
        limit: number(&given, "limit", PAGE_ROWS.1, (1, PAGE_ROWS.0))?.min(rows_max(site, caller)),
        offset: number(&given, "offset", 0, (0, respond::OFFSET_MAX))?,
    };
    let point = one(&given, "as_of")?.map(as_of::parse).transpose()?;
    let relation =
        find(site, caller, schema, name, &[RelationKind::Table, RelationKind::View, RelationKind::Held])
            .await?;
    let ask = |(sql, parameters): (String, Vec<_>), limit: usize| Asked {
        sql: Arc::from(sql),
        parameters,
        as_of: point,
        page: Page { offset: 0, limit },
        prefix: None,
        trust: Trust::Guest,
        role: caller.role(),
        memory_bytes: site.limits(caller).memory_bytes,
    };
    let page = cells::read(site, ask(relation.grid(&grid)?, grid.limit), DOING).await?;
    if page.cut == Some(Cut::Bytes) {
        return Err(too_large().hint("Ask for fewer rows, or for some of the columns in SQL."));
    }
    let total = match page.count {
        // The end is in sight.
        count if count < grid.limit && (count > 0 || grid.offset == 0) => json!(grid.offset + count),
        // Further pages are asked for by who knows already.
        _ if grid.offset > 0 => Value::Null,
        _ => {
            let counted = cells::read(site, ask(relation.grid_count(&grid)?, 1), DOING).await?;
            counted.first_number().map_or(Value::Null, Value::from)
        }
    };
    Ok(text(parts, page.document(&[("total_estimate", total)])))
}

fn too_large() -> Problem {
    Problem::too_large(format!("the rows have more than {} MiB", BYTES_MAX >> 20))
}

/// Rows that somebody may be given at once.
fn rows_max(site: &Site, caller: &Caller) -> usize {
    site.limits(caller).rows.unwrap_or(usize::MAX)
}

/// The relation, if it is of one of these kinds and they may read it. What they may not is not there for them.
async fn find(
    site: &Site,
    caller: &Caller,
    schema: &str,
    name: &str,
    kinds: &[RelationKind],
) -> Result<Relation, Problem> {
    let relations = visible(site, caller).await?;
    let is = |relation: &Relation| {
        relation.schema.eq_ignore_ascii_case(schema) && relation.name.eq_ignore_ascii_case(name)
    };
    let found = relations.iter().find(|(relation, kind)| is(relation) && kinds.contains(kind));
    let missing = || {
        Problem::not_found(format!("there is no table or model {schema}.{name}"))
            .hint("GET /api/tables lists them.")
    };
    found.map(|(relation, _)| relation.clone()).ok_or_else(missing)
}

/// The versions of one row.
pub(super) async fn row(
    site: &Site,
    parts: &Parts,
    caller: &Caller,
    schema: &str,
    name: &str,
) -> Result<Response, Problem> {
    const DOING: &str = "reading a row's history";
    let table = find(site, caller, schema, name, &[RelationKind::Table]).await?;
    let host = site.host().clone();
    let states = site
        .answers
        .reading()
        .with_turn(DOING, move |_| host.tables().map_err(|error| Problem::of(&error, DOING, false)));
    let state = states.await?.into_iter().find(|state| {
        let target = &state.layout.target;
        target.schema == table.schema && target.name == table.name
    });
    let state = state.ok_or_else(|| Problem::not_found(format!("there is no table {schema}.{name}")))?;
    let key = key(&table, &endpoints::given(parts))?;
    if !state.layout.history {
        let problem = Problem::not_found(format!("no history is kept of {schema}.{name}"));
        return Err(problem.hint("`history: true` at the table in millstream.yml keeps it from then on."));
    }
    let history =
        find(site, caller, &table.schema, &format!("{}_history", table.name), &[RelationKind::History])
            .await?;
    let columns = own_columns(&history, &state);
    let versions_max = VERSIONS_MAX.min(rows_max(site, caller));
    let (sql, parameters) = history.versions(&columns, &key, &state.layout.history_names, versions_max)?;
    let asked = Asked {
        sql: Arc::from(sql),
        parameters,
        as_of: None,
        page: Page { offset: 0, limit: versions_max },
        prefix: None,
        trust: Trust::Guest,
        role: caller.role(),
        memory_bytes: site.limits(caller).memory_bytes,
    };
    let found = cells::read(site, asked, DOING).await?;
    if found.cut == Some(Cut::Bytes) {
        return Err(too_large().hint("Ask for some of the columns of its history in SQL."));
    }
    Ok(text(parts, versions(&found, columns.len())?.to_string()))
}

/// The columns of the history that are the table's, those that the source has no more included.
fn own_columns(history: &Relation, state: &TableState) -> Vec<String> {
    let names = &state.layout.history_names;
    let ours = [
        names.valid_from.as_str(),
        &names.valid_to,
        &names.is_current,
        &names.operation_type,
        "_lsn",
        "_seq",
        "_lsn_to",
        "_seq_to",
    ];
    let columns = history.columns.iter().map(|(name, _)| name);
    columns.filter(|name| !ours.contains(&name.as_str())).cloned().collect()
}

/// The values of the key's columns, all of which must be given.
fn key(table: &Relation, given: &[(String, String)]) -> Result<Vec<(String, String)>, Problem> {
    if table.key.is_empty() {
        return Err(Problem::not_found(format!(
            "{}.{} has no key: its rows can't be told apart",
            table.schema, table.name
        )));
    }
    let names: Vec<String> = table.key.iter().map(|column| format!("{KEY}{column}")).collect();
    if let Some((unknown, _)) = given.iter().find(|(name, _)| !names.contains(name)) {
        return Err(Problem::unknown_parameter(unknown, names.iter().map(String::as_str)));
    }
    table
        .key
        .iter()
        .zip(&names)
        .map(|(column, name)| match one(given, name)? {
            Some(value) => Ok((column.clone(), value.to_owned())),
            None => Err(Problem::missing_parameter(name, "a part of the row's key")),
        })
        .collect()
}

/// The document of a row's versions: of what was read, the newest first, `own` columns and then those of [`Relation::versions`].
fn versions(found: &Cells, own: usize) -> Result<Value, Problem> {
    let columns: Vec<Value> =
        found.columns.iter().take(own).map(|(name, of)| json!({"name": name, "type": of})).collect();
    let mut versions = Vec::new();
    for row in found.rows()? {
        let (values, of_version) = row.split_at(own.min(row.len()));
        let [from, to, operation, lsn, seq, lsn_to, seq_to] = of_version else {
            return Err(Problem::internal("reading a row's history"));
        };
        versions.push(json!({
            "values": values,
            "valid_from": from,
            "valid_to": to,
            "operation": operation,
            "lsn": position(lsn.as_deref()),
            "seq": ordinal(seq.as_deref()),
            "lsn_to": position(lsn_to.as_deref()),
            "seq_to": ordinal(seq_to.as_deref()),
        }));
    }
    versions.reverse();
    Ok(json!({"columns": columns, "versions": versions, "truncated": found.cut.is_some()}))
}

/// A position as people write it; the history has it as a number.
fn position(cell: Option<&str>) -> Option<String> {
    let number = cell?.parse().ok()?;
    Some(millstream_core::Lsn(number).to_string())
}

fn ordinal(cell: Option<&str>) -> Option<u64> {
    cell?.parse().ok()
}

/// A question in SQL.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    sql: String,
    as_of: Option<String>,
    rows_max: Option<usize>,
}

/// The answer to a question in SQL, which is a guest's.
pub(super) async fn sql(
    site: &Site,
    parts: &Parts,
    body: Body,
    caller: &Caller,
) -> Result<Response, Problem> {
    caller.must_ask_sql()?;
    parameters(parts, &[])?;
    let question: Question = posted(parts, body).await?;
    let limit = question.rows_max.unwrap_or(SQL_ROWS.1);
    if !(1..=SQL_ROWS.0).contains(&limit) {
        let expected = format!("a whole number from 1 to {}", SQL_ROWS.0);
        return Err(Problem::parameter("rows_max", expected, &limit.to_string()));
    }
    let asked = Asked {
        sql: Arc::from(question.sql),
        parameters: Vec::new(),
        as_of: question.as_of.as_deref().map(as_of::parse).transpose()?,
        page: Page { offset: 0, limit: limit.min(rows_max(site, caller)) },
        prefix: None,
        trust: Trust::Guest,
        role: caller.role(),
        memory_bytes: site.limits(caller).memory_bytes,
    };
    let place = site.answers.reading().question().await?;
    let began = Instant::now();
    let answer = cells::read(site, asked, "running the query").await?;
    drop(place);
    let elapsed = began.elapsed().as_secs_f64() * 1e3;
    let others = [("elapsed_ms", json!(elapsed)), ("truncated", json!(answer.cut.is_some()))];
    Ok(text(parts, answer.document(&others)))
}

/// The rows of a dashboard's chart, as the role of who looks sees them. Its SQL is the project's own, so who looks names the chart and sends no SQL.
pub(super) async fn chart(
    site: &Site,
    parts: &Parts,
    caller: &Caller,
    name: &str,
    chart: &str,
) -> Result<Response, Problem> {
    let given = parameters(parts, &["as_of"])?;
    let point = one(&given, "as_of")?.map(as_of::parse).transpose()?;
    let dashboards = site.host().dashboards();
    let dashboard = dashboards.served.iter().find(|dashboard| dashboard.name == name);
    // What somebody may not see is not there for them: they don't learn whether it is.
    let dashboard = dashboard.filter(|dashboard| caller.may_see(dashboard.roles.as_deref()));
    let missing = |what: String| Problem::not_found(what).hint("GET /api/dashboards lists them.");
    let dashboard = dashboard.ok_or_else(|| missing(format!("there is no dashboard {name}")))?;
    let chart = chart.parse().ok().and_then(|index: usize| dashboard.charts.get(index));
    let chart = chart.ok_or_else(|| missing(format!("the dashboard {name} has no such chart")))?;
    let ChartOf::Sql(sql) = &chart.of else {
        return Err(missing("the chart draws an endpoint, which answers by itself".to_owned()));
    };
    let asked = Asked {
        sql: Arc::from(sql.as_str()),
        parameters: Vec::new(),
        as_of: point,
        page: Page { offset: 0, limit: CHART_ROWS_MAX },
        prefix: None,
        trust: Trust::Owner,
        role: caller.role(),
        memory_bytes: site.limits(caller).memory_bytes,
    };
    endpoints::reply(site, asked, Format::Json, FRESH_FOR, parts, "reading a chart").await
}
