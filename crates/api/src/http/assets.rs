//! Pages and their parts that are in the binary.

use axum::{
    http::{header, HeaderValue},
    response::{IntoResponse, Response},
};

/// Nothing but the page's own parts, and requests to the server that it came from.
const POLICY: &str =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

fn part(media_type: &'static str, text: &'static str) -> Response {
    let mut response = text.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// The interactive documentation of the endpoints and tables.
pub(super) fn docs() -> Response {
    part("text/html; charset=utf-8", include_str!("../../assets/docs.html"))
}

/// A part of a page.
pub(super) fn asset(path: &str) -> Option<Response> {
    Some(match path {
        "/docs/docs.css" => part("text/css; charset=utf-8", include_str!("../../assets/docs.css")),
        "/docs/docs.js" => part("text/javascript; charset=utf-8", include_str!("../../assets/docs.js")),
        _ => return None,
    })
}
