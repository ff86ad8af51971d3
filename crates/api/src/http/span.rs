//! The span of a request, by OpenTelemetry's conventions for HTTP servers. What a client may keep to itself is not in it: no query, no header
//! but the one that names its trace, no key.

use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use tracing::{field::Empty, Span};

use crate::host::Host;

/// A method that HTTP does not name is any text; the conventions have a word for all of those.
const OTHER_METHOD: &str = "_OTHER";

fn name(method: &Method) -> &str {
    match *method {
        Method::GET | Method::HEAD | Method::POST | Method::PUT | Method::DELETE => method.as_str(),
        Method::CONNECT | Method::OPTIONS | Method::TRACE | Method::PATCH => method.as_str(),
        _ => OTHER_METHOD,
    }
}

/// Opens it, as part of the client's trace where it says that it has one.
pub(super) fn of(
    host: &dyn Host,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
    id: &HeaderValue,
) -> Span {
    let span = tracing::info_span!(
        parent: None,
        "http request",
        otel.kind = "server",
        otel.name = name(method),
        otel.status_code = Empty,
        http.request.method = name(method),
        millstream.name = Empty,
        http.route = Empty,
        http.response.status_code = Empty,
        error.type = Empty,
        url.scheme = "http",
        url.path = path,
        millstream.request_id = id.to_str().unwrap_or_default(),
    );
    if !span.is_disabled() {
        let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        // Of two of them none can be meant (Trace Context, 3.2).
        if let Some(traceparent) =
            text("traceparent").filter(|_| headers.get_all("traceparent").iter().count() == 1)
        {
            host.follow(&span, traceparent, text("tracestate"));
        }
    }
    span
}

/// Says which route the request took that is being answered. What is none, such as a path that nothing answers at, is not told: there are as
/// many of those as clients care to make up.
pub(super) fn routed(route: &str, method: &Method) {
    let span = Span::current();
    if !span.is_disabled() && route.starts_with('/') {
        span.record("http.route", route);
        // Spans below it have begun: this name holds as well.
        span.record("millstream.name", format!("{} {route}", name(method)));
    }
}

/// Says how it ended. A client's own mistakes are no errors of the server.
pub(super) fn answered(span: &Span, status: StatusCode) {
    span.record("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        span.record("error.type", status.as_str());
        span.record("otel.status_code", "ERROR");
    }
}
