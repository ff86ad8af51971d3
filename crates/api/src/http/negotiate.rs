//! Which format a client takes: by the path's suffix, else by `Accept` (RFC 9110, 12.5.1).

use crate::{answer::Format, problem::Problem};

/// An event stream's media type.
pub(crate) const EVENT_STREAM: &str = "text/event-stream";

/// The path without a format's suffix, and that format.
pub(crate) fn suffix(path: &str) -> (&str, Option<Format>) {
    let found =
        Format::ALL.into_iter().find_map(|format| Some((path.strip_suffix(format.suffix())?, format)));
    found.map_or((path, None), |(path, format)| (path, Some(format)))
}

/// Whether the client asks for events and for nothing else before them.
pub(crate) fn wants_events(accept: Option<&str>) -> bool {
    let ranges = ranges(accept.unwrap_or_default());
    ranges.first().is_some_and(|(range, quality)| range == EVENT_STREAM && *quality > 0.0)
}

/// The format that the client likes best; of equals the default one.
pub(crate) fn format(accept: Option<&str>) -> Result<Format, Problem> {
    let ranges = ranges(accept.unwrap_or("*/*"));
    if ranges.is_empty() {
        return Ok(Format::ALL[0]);
    }
    let quality = |format: Format| {
        let essence = format.essence();
        let (group, _) = essence.split_once('/').unwrap_or((essence, ""));
        // The most exact range decides.
        let exact = |range: &str| match range {
            "*/*" => Some(0),
            range if range.strip_suffix("/*") == Some(group) => Some(1),
            range if range == essence => Some(2),
            _ => None,
        };
        let matching = ranges.iter().filter_map(|(range, quality)| Some((exact(range)?, *quality)));
        matching.max_by_key(|(exactness, _)| *exactness).map_or(0.0, |(_, quality)| quality)
    };
    let mut best: Option<(Format, f32)> = None;
    for format in Format::ALL {
        let quality = quality(format);
        if quality > 0.0 && best.is_none_or(|(_, known)| quality > known) {
            best = Some((format, quality));
        }
    }
    best.map(|(format, _)| format).ok_or_else(|| {
        let offered = Format::ALL.map(Format::essence).join(", ");
        Problem::not_acceptable(&offered)
    })
}

/// Media ranges and their quality, the best first, equals in their order.
fn ranges(accept: &str) -> Vec<(String, f32)> {
    let mut ranges: Vec<(String, f32)> = accept
        .split(',')
        .filter_map(|part| {
            let mut parts = part.split(';').map(str::trim);
            let range = parts.next().filter(|range| range.contains('/'))?.to_ascii_lowercase();
            let quality = parts.find_map(|parameter| parameter.strip_prefix("q=")?.parse::<f32>().ok());
            Some((range, quality.unwrap_or(1.0).clamp(0.0, 1.0)))
        })
        .collect();
    ranges.sort_by(|a, b| b.1.total_cmp(&a.1));
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_liked_format_is_chosen() {
        let chosen = |accept: &str| format(Some(accept)).ok();
        assert_eq!(format(None), Ok(Format::Json));
        assert_eq!(chosen("*/*"), Some(Format::Json));
        assert_eq!(chosen(""), Some(Format::Json));
        assert_eq!(chosen("text/html, */*;q=0.1"), Some(Format::Json));
        assert_eq!(chosen("text/csv"), Some(Format::Csv));
        assert_eq!(chosen("text/*, application/json;q=0.5"), Some(Format::Csv));
        assert_eq!(chosen("application/json;q=0.5, application/x-ndjson"), Some(Format::Ndjson));
        assert_eq!(chosen("*/*, application/json;q=0"), Some(Format::Csv));
        assert_eq!(chosen("image/png"), None);
        assert_eq!(chosen("application/json;q=0"), None);
    }

    #[test]
    fn a_suffix_names_a_format() {
        assert_eq!(suffix("/orders.csv"), ("/orders", Some(Format::Csv)));
        assert_eq!(suffix("/orders.ndjson"), ("/orders", Some(Format::Ndjson)));
        assert_eq!(suffix("/v1.0/orders"), ("/v1.0/orders", None));
    }

    #[test]
    fn events_are_sent_to_those_who_ask_for_them() {
        assert!(wants_events(Some("text/event-stream")));
        assert!(!wants_events(Some("application/json, text/event-stream")));
        assert!(!wants_events(None));
    }
}
