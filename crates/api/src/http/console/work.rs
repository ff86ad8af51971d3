//! What the UI has the program do, and the bodies of its requests.

use std::time::Duration;

use axum::{
    body::Body,
    http::{header, request::Parts, HeaderName},
    response::Response,
};
use serde::{de::DeserializeOwned, Deserialize};

use super::{super::route::Site, document, parameters};
use crate::{answer::Interrupt, priority, problem::Problem};

/// The longest body: a query of many pages.
const BODY_BYTES_MAX: usize = 256 * 1024;

/// A client has so long for its body.
const BODY_WAIT_MAX: Duration = Duration::from_secs(10);

/// Tables of one request.
const TABLES_MAX: usize = 1_000;

/// Reads a body in JSON of a page of our own. What a form or a script elsewhere can send without being asked is refused: its origin is another, and it can't
/// say that it is JSON.
pub(super) async fn posted<T: DeserializeOwned>(parts: &Parts, body: Body) -> Result<T, Problem> {
    same_origin(parts)?;
    let of =
        parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = of.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(Problem::unsupported_media_type("application/json"));
    }
    let too_large = || Problem::too_large(format!("a body has at most {} KiB", BODY_BYTES_MAX >> 10));
    let stated =
        parts.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if stated.is_some_and(|bytes: usize| bytes > BODY_BYTES_MAX) {
        return Err(too_large());
    }
    let read = tokio::time::timeout(BODY_WAIT_MAX, axum::body::to_bytes(body, BODY_BYTES_MAX)).await;
    let read = read.map_err(|_| Problem::malformed("the body did not come in time"))?;
    // A client that breaks off does not read what it is told.
    let bytes = read.map_err(|_| too_large())?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Problem::malformed(format!("the body is not as it must be: {error}")))
}

/// A browser says where the page is from that asks. Another port of this machine is another site: whatever runs there has no business here.
fn same_origin(parts: &Parts) -> Result<(), Problem> {
    let text = |name: HeaderName| parts.headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let host = text(header::HOST).unwrap_or_default();
    let foreign =
        |origin: &str| Err(Problem::foreign(format!("pages of {origin} may not ask this server for that")));
    match text(header::ORIGIN) {
        Some(origin) => match origin.split_once("://") {
            Some(("http" | "https", of)) if of.eq_ignore_ascii_case(host) => Ok(()),
            _ => foreign(origin),
        },
        None => match text(HeaderName::from_static("sec-fetch-site")) {
            None | Some("same-origin" | "none") => Ok(()),
            Some(_) => foreign("another site"),
        },
    }
}

/// Which tables are read again.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resync {
    /// `schema.table` at the source.
    tables: Vec<String>,
}

/// Reads tables again. The answer comes when that is done; a client that goes away gives it up.
pub(super) async fn resync(site: &Site, parts: &Parts, body: Body) -> Result<Response, Problem> {
    parameters(parts, &[])?;
    let Resync { tables } = posted(parts, body).await?;
    if tables.is_empty() || tables.len() > TABLES_MAX {
        let given = format!("{} tables", tables.len());
        return Err(Problem::parameter("tables", format!("from 1 to {TABLES_MAX} names of tables"), &given));
    }
    let turn = site.console.resync.clone().try_acquire_owned();
    let turn = turn.map_err(|_| {
        Problem::busy().hint("Tables are being read again at present; ask when that is done.")
    })?;
    let interrupt = Interrupt::default();
    let _abandoned = interrupt.on_drop();
    let host = site.host().clone();
    tracing::info!(event = "resync_asked", tables = tables.join(","));
    let work = tokio::task::spawn_blocking(move || {
        priority::set_once(priority::READS, "resync");
        let outcome = host.resync(&tables, &interrupt);
        drop(turn);
        outcome
    });
    // A panic was printed.
    let done = work.await.map_err(|_| Problem::internal("reading tables again"))?;
    Ok(document(parts, &done.map_err(|error| Problem::of_work(&error))?))
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    #[test]
    fn only_pages_of_the_same_origin_have_something_done() {
        let asked = |headers: &[(&str, &str)]| {
            let mut request = Request::builder().header("host", "localhost:8080");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            same_origin(&request.body(()).unwrap().into_parts().0).is_ok()
        };
        assert!(asked(&[]) && asked(&[("origin", "http://localhost:8080")]));
        assert!(asked(&[("sec-fetch-site", "same-origin")]));
        for headers in [
            ("origin", "http://localhost:3000"),
            ("origin", "http://127.0.0.1:8080"),
            ("origin", "http://evil.example"),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            assert!(!asked(&[headers]), "{headers:?}");
        }
    }
}
