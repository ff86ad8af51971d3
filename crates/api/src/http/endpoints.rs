//! Endpoints: parameters bound, the answer read or given again.

use std::{sync::Arc, time::Duration};

use axum::{
    http::{header, request::Parts},
    response::Response,
};
use millstream_core::{Role, Trust};

use super::{negotiate, respond, route::Site};
use crate::{
    access::{Caller, Limits},
    answer::{Asked, Format, FRESH_FOR},
    endpoint::{Endpoint, COMMON_PARAMETERS},
    problem::Problem,
};

/// The parameters of an address, in their order.
pub(super) fn given(parts: &Parts) -> Vec<(String, String)> {
    form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes())
        .map(|(name, text)| (name.into_owned(), text.into_owned()))
        .collect()
}

pub(super) fn accept(parts: &Parts) -> Option<&str> {
    parts.headers.get(header::ACCEPT).and_then(|value| value.to_str().ok())
}

/// What a request asks of an endpoint.
pub(super) fn asked(
    endpoint: &Endpoint,
    sql: Arc<str>,
    given: &[(String, String)],
    role: Option<Arc<Role>>,
    limits: Limits,
) -> Result<Asked, Problem> {
    if let Some((unknown, _)) = given.iter().find(|(name, _)| !endpoint.takes().any(|known| known == name)) {
        return Err(Problem::unknown_parameter(unknown, endpoint.takes()));
    }
    for name in COMMON_PARAMETERS {
        if given.iter().filter(|(given, _)| given == name && !endpoint.declares(name)).count() > 1 {
            return Err(Problem::parameter(name, "given once", "several values"));
        }
    }
    let window = respond::window(given, |name| endpoint.declares(name), limits.rows)?;
    let mut parameters = endpoint.bind(given)?;
    let prefix = endpoint.raise_limit(&mut parameters);
    Ok(Asked {
        sql,
        parameters,
        as_of: window.as_of,
        page: window.page,
        prefix,
        trust: Trust::Owner,
        role,
        memory_bytes: limits.memory_bytes,
    })
}

/// How old the endpoint's answers may be.
pub(super) fn age_max(endpoint: &Endpoint) -> Duration {
    endpoint.cache.unwrap_or(FRESH_FOR)
}

/// Answers.
pub(super) async fn answer(
    site: &Site,
    endpoint: &Endpoint,
    sql: Arc<str>,
    format: Option<Format>,
    parts: &Parts,
    caller: &Caller,
) -> Result<Response, Problem> {
    let given = given(parts);
    let asked = asked(endpoint, sql, &given, caller.role(), site.limits(caller))?;
    let format = match format {
        Some(format) => format,
        None => negotiate::format(accept(parts))?,
    };
    reply(site, asked, format, age_max(endpoint), parts, "reading an endpoint").await
}

/// The answer to a question, or that the client has it.
pub(super) async fn reply(
    site: &Site,
    asked: Asked,
    format: Format,
    age_max: Duration,
    parts: &Parts,
    doing: &'static str,
) -> Result<Response, Problem> {
    if parts.headers.contains_key(header::IF_NONE_MATCH) {
        if let Some(etag) = site.answers.etag(&asked, format).await? {
            if respond::has(&parts.headers, &etag) {
                return Ok(respond::unchanged(&etag, age_max));
            }
        }
    }
    let answer = site.answers.answer(asked.clone(), format, age_max, doing).await?;
    if respond::has(&parts.headers, &answer.etag) {
        return Ok(respond::unchanged(&answer.etag, age_max));
    }
    let history = answer.more && site.has_history(&asked).await;
    let query = parts.uri.query().unwrap_or_default();
    let link = respond::next_page(parts.uri.path(), query, &asked, &answer, history);
    let position = answer.position(&site.answers.host().applied());
    Ok(respond::whole(&parts.headers, &answer, position, age_max, link))
}
