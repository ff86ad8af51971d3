//! Pages of other origins that may ask (the Fetch standard's CORS protocol): those that are listed, to the letter.
//!
//! No cookie is ever taken along from there: such a page shows a key of its own, in a header.

use axum::{
    http::{header, HeaderMap, HeaderName, HeaderValue, Method, StatusCode},
    response::{IntoResponse, Response},
};

/// How long a browser need not ask again, in seconds. Browsers cap it at some hours themselves.
const PREFLIGHT_SECONDS: &str = "600";

/// The methods of a page of elsewhere: it only reads.
const METHODS: &str = "GET, HEAD";

/// What a request of theirs may carry.
const REQUEST_HEADERS: &str = "accept, authorization, if-none-match, last-event-id, x-api-key, x-request-id";

/// What of an answer they may see beyond its body.
const EXPOSED: &str = "etag, link, millstream-position, retry-after, x-request-id";

/// The listed origins.
#[derive(Debug, Clone, Default)]
pub(super) struct Cors(Vec<String>);

impl Cors {
    pub(super) fn new(origins: Vec<String>) -> Self {
        Cors(origins)
    }

    /// The request's origin, if it is a listed one.
    pub(super) fn listed(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        self.0.iter().any(|listed| listed.as_bytes() == origin.as_bytes()).then(|| origin.clone())
    }

    /// The answer to a browser that asks whether a page may ask.
    pub(super) fn preflight(&self, method: &Method, headers: &HeaderMap) -> Option<Response> {
        let asks = *method == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        if !asks || self.listed(headers).is_none() {
            return None;
        }
        let mut response = StatusCode::NO_CONTENT.into_response();
        for (name, value) in [
            (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS),
            (header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS),
        ] {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        Some(response)
    }

    /// Says in an answer who may read it. Caches are told that it depends on who asks.
    pub(super) fn describe(&self, listed: Option<HeaderValue>, headers: &mut HeaderMap) {
        if self.0.is_empty() {
            return;
        }
        headers.append(header::VARY, HeaderValue::from_name(HeaderName::from_static("origin")));
        if let Some(origin) = listed {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
            headers.remove("cross-origin-resource-policy");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(origin: &str, preflight: bool) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::ORIGIN, origin.parse().unwrap());
        if preflight {
            headers.insert(header::ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("GET"));
        }
        headers
    }

    #[test]
    fn only_a_listed_origin_is_let_in_and_only_to_the_letter() {
        let cors = Cors::new(vec!["https://app.example.com".into()]);
        for (origin, expected) in [
            ("https://app.example.com", true),
            ("http://app.example.com", false),
            ("https://app.example.com:8443", false),
            ("https://app.example.com.evil.example", false),
            ("https://evil.example", false),
            ("null", false),
            ("*", false),
        ] {
            assert_eq!(
                cors.preflight(&Method::OPTIONS, &asked(origin, true)).is_some(),
                expected,
                "{origin}"
            );
            let mut headers = HeaderMap::new();
            cors.describe(cors.listed(&asked(origin, false)), &mut headers);
            let allowed = headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN);
            assert_eq!(allowed.map(HeaderValue::as_bytes), expected.then_some(origin.as_bytes()), "{origin}");
            assert_eq!(headers.get(header::VARY).unwrap(), "origin");
            assert!(!headers.contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS));
        }
        assert!(cors.preflight(&Method::GET, &asked("https://app.example.com", true)).is_none());
        assert!(cors.preflight(&Method::OPTIONS, &asked("https://app.example.com", false)).is_none());
        let mut headers = HeaderMap::new();
        Cors::default().describe(None, &mut headers);
        assert!(headers.is_empty());
    }
}
