//! What the web UI asks for, below `/api`: the state of the whole, tables and their rows, changes, questions in SQL, and what the project's files
//! define. docs/reference/console.md has the documents.

mod cells;
mod files;
mod lineage;
mod models;
mod rows;
mod streams;
mod survey;
mod work;

use std::sync::{Arc, Mutex};

use axum::{
    body::Body,
    http::{header, request::Parts, HeaderValue, Method},
    response::{IntoResponse, Response},
};
use serde_json::Value;
use tokio::sync::Semaphore;

use super::{endpoints::given, respond, route::Site};
use crate::{access::Caller, answer::gzip, problem::Problem};

/// What all addresses of the UI's data begin with.
const PREFIX: &str = "/api/";

/// Streams at once, of samples and of changes each: a page has one of both, and streams of changes read the log in a thread of their own.
const STREAMS_MAX: usize = 100;

/// What requests for the UI's data share.
pub(super) struct Console {
    survey: Mutex<survey::Kept>,
    sample_streams: Arc<Semaphore>,
    change_streams: Arc<Semaphore>,
    /// Tables are read again one request after another.
    resync: Arc<Semaphore>,
}

impl Default for Console {
    fn default() -> Self {
        Console {
            survey: Mutex::default(),
            sample_streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            change_streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            resync: Arc::new(Semaphore::new(1)),
        }
    }
}

/// Whether the path is one of the UI's data.
pub(super) fn answers(path: &str) -> bool {
    path.starts_with(PREFIX) || path == PREFIX.trim_end_matches('/')
}

/// The route for the metrics, and the answer. Tables, their rows, endpoints, dashboards and saved queries are those that the role may see, as it sees them; for the others who
/// asks may do everything, and is shown the whole, before any role's rows and masks.
pub(super) async fn answer(
    site: &Arc<Site>,
    parts: &Parts,
    body: Body,
    caller: &Caller,
) -> (&'static str, Result<Response, Problem>) {
    let path = parts.uri.path().strip_prefix(PREFIX).unwrap_or_default();
    let segments: Result<Vec<String>, Problem> = path.split('/').map(super::tables::decoded).collect();
    let segments = match segments {
        Ok(segments) => segments,
        Err(problem) => return ("/api", Err(problem)),
    };
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let writes = matches!(segments[..], ["sql"] | ["resync"]);
    let reads = parts.method == Method::GET || parts.method == Method::HEAD;
    if writes != (parts.method == Method::POST) || !(writes || reads) {
        let allowed: &[&str] = if writes { &["POST"] } else { &["GET", "HEAD"] };
        return ("/api", Err(Problem::method_not_allowed(allowed)));
    }
    match segments[..] {
        ["status"] => ("/api/status", files::status(site, parts).await),
        ["stream"] => ("/api/stream", streams::samples(site, parts, caller)),
        ["tables"] => ("/api/tables", files::tables(site, parts, caller).await),
        ["rows", schema, name] => ("/api/rows", rows::rows(site, parts, caller, schema, name).await),
        ["row", schema, name] => ("/api/row", rows::row(site, parts, caller, schema, name).await),
        ["sql"] => ("/api/sql", rows::sql(site, parts, body, caller).await),
        ["changes"] => ("/api/changes", streams::newest_changes(site, parts).await),
        ["changes", "stream"] => ("/api/changes/stream", streams::changes(site, parts, caller).await),
        ["endpoints"] => ("/api/endpoints", files::endpoints(site, parts, caller).await),
        ["dashboards"] => ("/api/dashboards", files::dashboards(site, parts, caller).await),
        ["dashboards", name, chart] => {
            ("/api/dashboards/chart", rows::chart(site, parts, caller, name, chart).await)
        }
        ["queries"] => ("/api/queries", files::queries(site, parts, caller).await),
        ["lineage"] => ("/api/lineage", lineage::answer(site, parts).await),
        ["models"] => ("/api/models", models::list(site, parts).await),
        ["models", "runs", id] => ("/api/models/runs", models::run(site, parts, id).await),
        ["models", id, "lineage"] => ("/api/models/lineage", models::lineage(site, parts, id).await),
        ["models", id] => ("/api/models/node", models::one(site, parts, id).await),
        ["resync"] => ("/api/resync", work::resync(site, parts, body).await),
        _ => {
            let problem = Problem::not_found(format!("nothing answers at {}", parts.uri.path()));
            ("/api", Err(problem))
        }
    }
}

/// The parameters of the address, all of which must be known.
fn parameters(parts: &Parts, known: &[&str]) -> Result<Vec<(String, String)>, Problem> {
    let given = given(parts);
    match given.iter().find(|(name, _)| !known.contains(&name.as_str())) {
        Some((unknown, _)) => Err(Problem::unknown_parameter(unknown, known.iter().copied())),
        None => Ok(given),
    }
}

/// The one value of a parameter.
fn one<'a>(given: &'a [(String, String)], name: &str) -> Result<Option<&'a str>, Problem> {
    let mut found = given.iter().filter(|(known, _)| known == name).map(|(_, text)| text.as_str());
    let first = found.next();
    if found.next().is_some() {
        return Err(Problem::parameter(name, "given once", "several values"));
    }
    Ok(first)
}

/// A whole number within bounds.
fn number(
    given: &[(String, String)],
    name: &str,
    usual: usize,
    (least, most): (usize, usize),
) -> Result<usize, Problem> {
    let Some(text) = one(given, name)? else { return Ok(usual) };
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| Problem::parameter(name, format!("a whole number from {least} to {most}"), text))
}

/// A document. It is of this moment and of nobody else.
fn document(parts: &Parts, document: &Value) -> Response {
    text(parts, document.to_string())
}

/// The same, printed already.
fn text(parts: &Parts, text: String) -> Response {
    let compressed = respond::takes_gzip(&parts.headers).then(|| gzip(text.as_bytes())).flatten();
    let mut response = match compressed {
        Some(compressed) => {
            let mut response = Body::from(compressed).into_response();
            response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            response
        }
        None => text.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    response
}
