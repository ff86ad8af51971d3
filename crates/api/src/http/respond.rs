//! An answer as a response: its position, its name for caches, its encoding, the way to the next page.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{header, HeaderMap, HeaderName, HeaderValue, StatusCode},
    response::Response,
};
use bytes::Bytes;
use millstream_core::{warehouse::AsOf, Lsn};

use crate::{
    answer::{Answer, Asked, Page, ROWS_MAX},
    as_of,
    problem::Problem,
};

/// The position that an answer reads: everything committed at the source at or before it is in it.
pub(crate) const POSITION: HeaderName = HeaderName::from_static("millstream-position");

/// What of the parameters says which rows at which point.
pub(super) struct Window {
    pub(super) page: Page,
    pub(super) as_of: Option<AsOf>,
}

/// Reads `limit`, `offset`, `cursor` and `as_of`, but for those that mean something else here. `rows_max`: the client gets no more at once.
pub(super) fn window(
    given: &[(String, String)],
    own: impl Fn(&str) -> bool,
    rows_max: Option<usize>,
) -> Result<Window, Problem> {
    let find = |name: &str| {
        let found = given.iter().find(|(given, _)| given == name && !own(name));
        found.map(|(_, text)| text.as_str())
    };
    let number = |name: &str, least: usize, most: usize| {
        find(name)
            .map(|text| {
                let number = text.parse().ok().filter(|number| (least..=most).contains(number));
                let expected = format!("a whole number from {least} to {most}");
                number.ok_or_else(|| Problem::parameter(name, expected, text))
            })
            .transpose()
    };
    let limit = number("limit", 0, ROWS_MAX)?;
    let mut offset = number("offset", 0, OFFSET_MAX)?.unwrap_or(0);
    let mut point = find("as_of").map(as_of::parse).transpose()?;
    if let Some(text) = find("cursor") {
        let wrong = || Problem::parameter("cursor", "what a Link header of an earlier page says", text);
        let (position, at) = text.split_once('~').ok_or_else(wrong)?;
        offset = at.parse().ok().filter(|offset| *offset <= OFFSET_MAX).ok_or_else(wrong)?;
        if !position.is_empty() {
            point = Some(as_of::parse(position).map_err(|_| wrong())?);
        }
    }
    Ok(Window {
        page: Page { offset, limit: limit.unwrap_or(ROWS_MAX).min(rows_max.unwrap_or(ROWS_MAX)) },
        as_of: point,
    })
}

/// Rows behind which no page begins: each page reads all rows before it.
pub(super) const OFFSET_MAX: usize = 10_000_000;

/// The next page, as the value of `Link`. Pages of one query are read at one position, where the tables have their history: rows that change
/// meanwhile neither appear twice nor are left out.
pub(super) fn next_page(
    path: &str,
    query: &str,
    asked: &Asked,
    answer: &Answer,
    history: bool,
) -> Option<HeaderValue> {
    if !answer.more {
        return None;
    }
    let mut next = form_urlencoded::Serializer::new(String::new());
    let given = form_urlencoded::parse(query.as_bytes());
    next.extend_pairs(given.filter(|(name, _)| name != "cursor" && name != "offset"));
    let position = match asked.as_of {
        Some(AsOf::Lsn(lsn)) => lsn.to_string(),
        // A point in time stays in the address.
        Some(AsOf::Time(_)) => String::new(),
        None if history => answer.position.to_string(),
        None => String::new(),
    };
    next.append_pair("cursor", &format!("{position}~{}", asked.page.offset + asked.page.limit));
    HeaderValue::from_str(&format!("<{path}?{}>; rel=\"next\"", next.finish())).ok()
}

/// Whether the client has the answer of this name already.
pub(super) fn has(headers: &HeaderMap, etag: &str) -> bool {
    let given = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    given.flat_map(|value| value.split(',')).any(|tag| tag.trim() == "*" || opaque(tag) == opaque(etag))
}

/// That nothing has changed.
pub(super) fn unchanged(etag: &str, age_max: Duration) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    describe(response.headers_mut(), etag, age_max);
    response
}

fn describe(headers: &mut HeaderMap, etag: &str, age_max: Duration) {
    if let Ok(etag) = HeaderValue::from_str(etag) {
        headers.insert(header::ETAG, etag);
    }
    // Below a second there is no freshness that a cache could use: it asks each time, and is told when nothing has changed.
    let control = match age_max.as_secs() {
        0 => "private, no-cache".to_owned(),
        seconds => format!("private, max-age={seconds}"),
    };
    if let Ok(control) = HeaderValue::from_str(&control) {
        headers.insert(header::CACHE_CONTROL, control);
    }
    headers.insert(header::VARY, HeaderValue::from_static("accept, accept-encoding"));
}

/// Whether the client takes what is compressed with gzip.
pub(super) fn takes_gzip(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            let is_gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
            is_gzip && !parts.any(|parameter| matches!(parameter, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
        })
}

/// The answer.
pub(super) fn whole(
    headers: &HeaderMap,
    answer: &Arc<Answer>,
    position: Lsn,
    age_max: Duration,
    link: Option<HeaderValue>,
) -> Response {
    let compressed = takes_gzip(headers).then(|| answer.gzip()).flatten();
    let encoded = compressed.is_some();
    let body: Bytes = compressed.unwrap_or_else(|| answer.body.clone());
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    describe(headers, &answer.etag, age_max);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(answer.format.media_type()));
    if encoded {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    if let Ok(position) = HeaderValue::from_str(&position.to_string()) {
        headers.insert(POSITION, position);
    }
    if let Some(link) = link {
        headers.insert(header::LINK, link);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect()
    }

    #[test]
    fn a_cursor_holds_the_position_and_the_offset() {
        let read = |pairs: &[(&str, &str)]| {
            window(&given(pairs), |_| false, None)
                .map(|window| (window.page.offset, window.page.limit, window.as_of))
        };
        assert_eq!(read(&[]), Ok((0, ROWS_MAX, None)));
        assert_eq!(read(&[("limit", "5"), ("offset", "10")]), Ok((10, 5, None)));
        let at = Some(AsOf::Lsn(Lsn(0xFF)));
        assert_eq!(read(&[("cursor", "0/FF~20"), ("limit", "5")]), Ok((20, 5, at)));
        assert_eq!(read(&[("cursor", "~20")]), Ok((20, ROWS_MAX, None)));
        for wrong in [
            ("limit", "-1"),
            ("limit", "10001"),
            ("offset", "x"),
            ("cursor", "20"),
            ("cursor", "x~20"),
            ("cursor", "0/FF~x"),
        ] {
            assert_eq!(read(&[wrong]).unwrap_err().members["parameter"], wrong.0, "{wrong:?}");
        }
        // An endpoint's own parameter of the name is none of ours.
        let few = window(&given(&[("limit", "50")]), |_| false, Some(5)).unwrap();
        assert_eq!(few.page.limit, 5, "the rest is on the next pages");
        let own = window(&given(&[("limit", "many")]), |name| name == "limit", None).unwrap();
        assert_eq!(own.page.limit, ROWS_MAX);
    }

    #[test]
    fn an_answer_that_the_client_has_is_recognised() {
        let asked = |tag: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, tag.parse().unwrap());
            has(&headers, "W/\"a-1\"")
        };
        assert!(asked("W/\"a-1\"") && asked("\"a-1\"") && asked("\"b\", W/\"a-1\"") && asked("*"));
        assert!(!asked("\"a-2\"") && !has(&HeaderMap::new(), "W/\"a-1\""));
    }
}
