//! What stands before every request: names of the host, origins, headers of the answer, the access log.

use std::{
    net::SocketAddr,
    sync::{
        atomic::{AtomicU64, Ordering},
        Arc,
    },
    time::Instant,
};

use axum::{
    extract::Request,
    http::{header, HeaderMap, HeaderName, HeaderValue},
    middleware::Next,
    response::{IntoResponse, Response},
};

use tracing::Instrument;

use super::{
    route::{Asker, Site},
    span,
};
use crate::{access::Caller, problem::Problem};

/// Names this machine has for itself.
const LOOPBACK_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A client's own request id is kept up to here.
const REQUEST_ID_BYTES_MAX: usize = 64;

/// Whether a request may be answered: a page of another site must not read a server on loopback through its visitor's browser, neither by a name
/// that it points here (DNS rebinding) nor across origins.
pub(super) fn check(headers: &HeaderMap, address: SocketAddr, listed: bool) -> Result<(), Problem> {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?").to_owned());
    let Some(host) = text(header::HOST) else { return Err(Problem::malformed("the request names no host")) };
    if !is_ours(&host, address) {
        return Err(Problem::foreign(format!("this server is not {host}")));
    }
    match text(header::ORIGIN) {
        Some(origin)
            if !listed && origin.strip_prefix("http://").is_none_or(|host| !is_ours(host, address)) =>
        {
            Err(Problem::foreign(format!("pages of {origin} may not ask this server")))
        }
        _ => Ok(()),
    }
}

fn is_ours(host: &str, address: SocketAddr) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let own = match address {
        SocketAddr::V4(address) => address.ip().to_string(),
        SocketAddr::V6(address) => format!("[{}]", address.ip()),
    };
    name == own || LOOPBACK_NAMES.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// Checks, answers, adds headers, and writes the access log.
pub(super) async fn guard(site: Arc<Site>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let id = id(request.headers());
    let span = span::of(&**site.host(), &method, &path, request.headers(), &id);
    let listed = site.cors.listed(request.headers());
    // Where everybody must show a key, it does not matter by which name or from which page: a browser sends none by itself.
    let checked = match site.host().access() {
        Some(_) => Ok(()),
        None => check(request.headers(), site.address, listed.is_some()),
    };
    let mut response = match (checked, site.cors.preflight(&method, request.headers())) {
        (Ok(()), Some(preflight)) => preflight,
        (Ok(()), None) => next.run(request).instrument(span.clone()).await,
        (Err(problem), _) => problem.into_response(),
    };
    span::answered(&span, response.status());
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID.clone(), id.clone());
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static("default-src 'none'"));
    site.cors.describe(listed, response.headers_mut());
    let asker = response.extensions_mut().remove::<Asker>();
    let asker = asker.as_ref().map(|Asker(caller)| caller);
    tracing::info!(
        event = "request",
        id = id.to_str().unwrap_or_default(),
        method = %method,
        path,
        key = asker.and_then(Caller::key_id),
        role = asker.and_then(Caller::role_name),
        status = response.status().as_u16(),
        milliseconds = began.elapsed().as_secs_f64() * 1e3,
    );
    response
}

/// The client's own id, where it sent a plain one, or the next of ours.
fn id(headers: &HeaderMap) -> HeaderValue {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let plain = |value: &&HeaderValue| {
        value.len() <= REQUEST_ID_BYTES_MAX
            && value.as_bytes().iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
    };
    match headers.get(&REQUEST_ID).filter(plain) {
        Some(own) => own.clone(),
        None => HeaderValue::from(NEXT.fetch_add(1, Ordering::Relaxed)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_and_its_own_pages_are_answered() {
        let address: SocketAddr = "127.0.0.1:8080".parse().unwrap();
        let asked = |host: &str, origin: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, origin.parse().unwrap());
            }
            check(&headers, address, false).is_ok()
        };
        for host in ["127.0.0.1:8080", "localhost:8080", "LOCALHOST", "[::1]:9"] {
            assert!(asked(host, None), "{host}");
        }
        assert!(asked("localhost:8080", Some("http://localhost:5173")));
        for host in ["evil.example", "127.0.0.1.evil.example:8080", "localhost.evil.example", "10.0.0.1", ""]
        {
            assert!(!asked(host, None), "{host}");
        }
        for origin in ["http://evil.example", "https://evil.example", "null", "http://localhost.evil.example"]
        {
            assert!(!asked("localhost:8080", Some(origin)), "{origin}");
        }
        assert!(check(&HeaderMap::new(), address, false).is_err());
    }
}
