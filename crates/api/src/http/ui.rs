//! The web UI's files, which are in the binary. What has a hash in its name never changes; every other address below `/ui` is one of the UI's own
//! pages, and leads to the one document that draws them all.

use axum::{
    body::Body,
    http::{header, request::Parts, HeaderValue, StatusCode},
    response::{IntoResponse, Response},
};

use super::respond;
use crate::problem::Problem;

/// A file.
struct Part {
    /// Below `/ui/`.
    name: &'static str,
    etag: &'static str,
    bytes: &'static [u8],
    /// The same compressed, where that is smaller.
    gzip: Option<&'static [u8]>,
}

/// All files; none in a program that was built before the pages were.
static PARTS: &[Part] = include!(concat!(env!("OUT_DIR"), "/ui.rs"));

/// The document of every page.
const DOCUMENT: &str = "index.html";

/// Below it, names have a hash of what is in them.
const HASHED: &str = "assets/";

/// Nothing but the UI's own files, and requests to the server that it came from. Pictures of charts may be in the rows themselves.
const POLICY: &str =
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What is said where the pages were not built.
const MISSING: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Millstream</title>\
    <h1>The web UI is not in this build</h1>\
    <p>This program was compiled without its pages. In the checkout, <code>make ui</code> builds them and <code>make build</code> the program with them.</p>\
    <p>Everything else is here: <a href=\"/docs\">the API's documentation</a>, <a href=\"/metrics\">metrics</a>.</p></html>";

/// Whether the path is one of the UI's.
pub(super) fn answers(path: &str) -> bool {
    path == "/ui" || path.starts_with("/ui/")
}

/// The file or page.
pub(super) fn answer(parts: &Parts) -> Result<Response, Problem> {
    let path = parts.uri.path();
    let name = path.strip_prefix("/ui").unwrap_or_default().trim_start_matches('/');
    let find = |name: &str| PARTS.iter().find(|part| part.name == name);
    let Some(document) = find(DOCUMENT) else { return Ok(missing()) };
    let part = match find(name) {
        Some(part) => part,
        None if name.starts_with(HASHED) => {
            // Of another version of the program: the page has to be loaded again.
            return Err(Problem::not_found(format!("there is no {path}")).hint("Reload the page."));
        }
        None => document,
    };
    let mut response = if respond::has(&parts.headers, part.etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        match part.gzip.filter(|_| respond::takes_gzip(&parts.headers)) {
            Some(gzip) => {
                let mut response = Body::from(gzip).into_response();
                response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                response
            }
            None => Body::from(part.bytes).into_response(),
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type(part.name)));
    headers.insert(header::ETAG, HeaderValue::from_static(part.etag));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    let control =
        if part.name.starts_with(HASHED) { "public, max-age=31536000, immutable" } else { "no-cache" };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(control));
    Ok(response)
}

fn missing() -> Response {
    let mut response = (StatusCode::NOT_IMPLEMENTED, MISSING).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, suffix)| suffix) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn asked(path: &str, headers: &[(&str, &str)]) -> Result<Response, Problem> {
        let mut request = Request::builder().uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        answer(&request.body(()).unwrap().into_parts().0)
    }

    fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
        response.headers().get(name).and_then(|value| value.to_str().ok())
    }

    #[test]
    fn a_build_without_the_pages_says_what_to_run() {
        let page = missing();
        assert_eq!(page.status(), StatusCode::NOT_IMPLEMENTED);
        assert!(MISSING.contains("make ui") && MISSING.contains("/docs"));
        // Whichever this build is, `/ui` is a page for people.
        assert_eq!(header(&asked("/ui", &[]).unwrap(), "content-type"), Some("text/html; charset=utf-8"));
    }

    #[test]
    fn files_with_a_hash_are_kept_and_the_document_is_asked_for_again() {
        let Some(part) = PARTS.iter().find(|part| part.name.ends_with(".js")) else { return };
        let path = format!("/ui/{}", part.name);
        let gzip = ("accept-encoding", "gzip, br");
        let script = asked(&path, &[gzip]).unwrap();
        assert_eq!(header(&script, "cache-control"), Some("public, max-age=31536000, immutable"));
        assert_eq!(header(&script, "content-encoding"), Some("gzip"));
        assert_eq!(header(&asked(&path, &[]).unwrap(), "content-encoding"), None);
        let page = asked("/ui/tables/shop/orders", &[gzip]).unwrap();
        assert_eq!(header(&page, "cache-control"), Some("no-cache"));
        assert_eq!(header(&page, "content-type"), Some("text/html; charset=utf-8"));
        assert_eq!(header(&page, "content-security-policy"), Some(POLICY));
        let etag = header(&page, "etag").unwrap();
        let again = asked("/ui/sql", &[("if-none-match", etag)]).unwrap();
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(asked("/ui/assets/gone.js", &[]).unwrap_err().status, StatusCode::NOT_FOUND);
        assert_eq!(asked("/ui/assets/../../etc/passwd", &[]).unwrap_err().status, StatusCode::NOT_FOUND);
    }
}
