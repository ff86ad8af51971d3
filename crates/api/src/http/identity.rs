//! Who a request is from: a key or a token in a header, or a browser's session.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{header, request::Parts, HeaderMap, HeaderName, HeaderValue, Method, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::{endpoints::given, route::Site};
use crate::{
    access::{Access, Caller, SESSION_SECONDS},
    problem::Problem,
};

/// Where a browser keeps its session.
const COOKIE: &str = "millstream_session";

/// A key's other place in a request.
static API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Where sessions begin and end, and where it is told whose one is.
const LOGIN: &str = "/api/login";
const LOGOUT: &str = "/api/logout";
const ME: &str = "/api/me";

/// What the UI asks for that answers every role, with what that may see.
const OF_ROLE: [&str; 5] = ["/api/sql", "/api/tables", "/api/endpoints", "/api/dashboards", "/api/queries"];

/// Likewise, with the names of a table or of a chart behind.
const ROWS: [&str; 3] = ["/api/rows/", "/api/row/", "/api/dashboards/"];

/// The longest body of a login: a token is some hundred bytes, and some thousand at worst.
const LOGIN_BYTES_MAX: usize = 16 * 1024;

/// What shows nothing of the project: health, and the parts of pages, without which nobody could log in.
fn is_open(path: &str) -> bool {
    let pages = ["/docs", "/ui"];
    let below =
        |page: &&str| path.strip_prefix(*page).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    matches!(path, "/" | "/live" | "/ready") || pages.iter().any(below)
}

/// What the UI asks for that shows the whole project: all but who somebody is, and what carries the role of whoever asks.
fn is_of_whole(path: &str) -> bool {
    let below = path.strip_prefix("/api").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let of_role = OF_ROLE.contains(&path) || ROWS.iter().any(|prefix| path.starts_with(prefix));
    below && !of_role && !answers(path)
}

/// Who asks. What they show is wrong: an error, wherever they ask. They show nothing: an error, unless the path is open to everybody.
pub(super) fn caller(access: Option<&Arc<Access>>, parts: &Parts) -> Result<Caller, Problem> {
    let Some(access) = access else { return Ok(Caller::ANYBODY) };
    let shown = match shown(&parts.headers)? {
        Some(text) => Some(access.bearer(&text)),
        None => match cookie(&parts.headers) {
            Some(session) => {
                // A page elsewhere can make a browser send the cookie along with what changes something, however little.
                if !reads(&parts.method) {
                    same_origin(&parts.headers)?;
                }
                Some(access.session(session))
            }
            None => None,
        },
    };
    match shown {
        Some(Some(caller)) => {
            if is_of_whole(parts.uri.path()) {
                caller.must_be_admin()?;
            }
            Ok(caller)
        }
        // Pages and health are there for whoever is about to log in again.
        _ if is_open(parts.uri.path()) => Ok(Caller::NOBODY),
        Some(None) => Err(Problem::unauthenticated(
            "the key or token is not one of this project, was revoked, or has expired",
        )),
        None => Err(Problem::unauthenticated("this needs a key")),
    }
}

fn reads(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// The key that a request shows in a header.
fn shown(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let text = |value: &HeaderValue| value.to_str().unwrap_or_default().trim().to_owned();
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let value = text(value);
        let (scheme, key) = value.split_once(' ').unwrap_or((&value, ""));
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Problem::unauthenticated("Authorization must be Bearer and a key"));
        }
        return Ok(Some(key.trim().to_owned()));
    }
    Ok(headers.get(&API_KEY).map(text))
}

/// The session of the request's cookies.
fn cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|value| value.split(';'));
    pairs.find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

/// A browser says from which page it asks.
fn same_origin(headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let host = text(header::HOST).unwrap_or_default();
    let own = |origin: &str| origin.split_once("://").is_some_and(|(_, of)| of.eq_ignore_ascii_case(host));
    match text(header::ORIGIN) {
        Some(origin) if own(origin) => Ok(()),
        Some(origin) => Err(Problem::foreign(format!("pages of {origin} may not do this"))),
        None => Err(Problem::foreign("the request does not say from which page it is")),
    }
}

/// Whether the path is one of those here.
pub(super) fn answers(path: &str) -> bool {
    matches!(path, LOGIN | LOGOUT | ME)
}

/// Begins and ends sessions, and tells whose one is.
pub(super) async fn answer(site: &Site, parts: &Parts, body: Body) -> Result<Response, Problem> {
    if let Some((unknown, _)) = given(parts).first() {
        return Err(Problem::unknown_parameter(unknown, []));
    }
    let access = site.host().access();
    if parts.uri.path() == ME {
        if !matches!(parts.method, Method::GET | Method::HEAD) {
            return Err(Problem::method_not_allowed(&["GET", "HEAD"]));
        }
        return Ok(me(site, access.is_some(), &caller(access.as_ref(), parts)?));
    }
    if parts.method != Method::POST {
        return Err(Problem::method_not_allowed(&["POST"]));
    }
    let secure = parts.headers.get("x-forwarded-proto").is_some_and(|value| value == "https");
    if parts.uri.path() == LOGOUT {
        same_origin(&parts.headers)?;
        let mut response = StatusCode::NO_CONTENT.into_response();
        set_cookie(&mut response, "", 0, secure);
        return Ok(response);
    }
    let Some(access) = access else {
        return Err(Problem::not_found("nobody logs in here").hint("`api.auth` is none: everything is open."));
    };
    let bytes = axum::body::to_bytes(body, LOGIN_BYTES_MAX).await;
    let bytes = bytes.map_err(|_| Problem::malformed("the body is too large, or broke off"))?;
    let body: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let Some(key) = body["key"].as_str() else {
        return Err(Problem::malformed("the body must be JSON with a `key`"));
    };
    let Some((caller, session)) = access.begin_session(key.trim()) else {
        return Err(Problem::unauthenticated(
            "the key is not one of this project, was revoked, or has expired",
        ));
    };
    let mut response = me(site, true, &caller);
    set_cookie(&mut response, &session, SESSION_SECONDS, secure);
    Ok(response)
}

/// What somebody may know of themselves.
fn me(site: &Site, authenticated: bool, caller: &Caller) -> Response {
    let document = json!({
        "authentication": authenticated,
        "role": caller.role_name(),
        "key": caller.key_id(),
        "admin": caller.is_admin(),
        "sql": caller.may_ask_sql(),
        "project": site.host().project(),
    });
    let mut response = document.to_string().into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// No script reads the cookie, and no other site's page has it sent. `Secure` where the client came by TLS, which the proxy in front says.
fn set_cookie(response: &mut Response, session: &str, seconds: u64, secure: bool) {
    let secure = if secure { "; Secure" } else { "" };
    let cookie = format!("{COOKIE}={session}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
}
