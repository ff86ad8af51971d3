//! Compares what was written with the form of the file, and says what was meant where it can tell.

use millstream_traces::Endpoint;

use super::{
    error::{Problem, ProblemKind},
    secret::redact,
    shape::{Key, Scalar, Shape, DASHBOARD, ENDPOINT, PLANNED, PROJECT, QUERY},
    tree::{Kind, Node},
    units,
};

/// The version of the file's format that this program reads.
const VERSION: &str = "1";

/// All problems of the tree, in the order of the file.
pub(super) fn check(root: &Node) -> Vec<Problem> {
    let mut problems = Vec::new();
    node(root, &PROJECT, "", &mut problems);
    if problems.is_empty() {
        problems = super::access::check(root);
    }
    problems
}

/// All problems of an endpoint's head, in the order of the file.
pub(super) fn check_head(root: &Node) -> Vec<Problem> {
    let mut problems = Vec::new();
    node(root, &ENDPOINT, "", &mut problems);
    problems
}

/// All problems of a dashboard's file, in its order.
pub(super) fn check_dashboard(root: &Node) -> Vec<Problem> {
    let mut problems = Vec::new();
    node(root, &DASHBOARD, "", &mut problems);
    problems
}

/// All problems of a saved query's head, in the order of the file.
pub(super) fn check_query(root: &Node) -> Vec<Problem> {
    let mut problems = Vec::new();
    node(root, &QUERY, "", &mut problems);
    problems
}

fn node(node: &Node, shape: &Shape, path: &str, problems: &mut Vec<Problem>) {
    match (shape, &node.kind) {
        (Shape::ScalarOr(_, keys), Kind::Map(_)) => self::node(node, &Shape::Map(keys), path, problems),
        (Shape::ScalarOr(scalar, _), Kind::Scalar { .. }) => {
            self::node(node, &Shape::Scalar(*scalar), path, problems);
        }
        (Shape::Map(keys), Kind::Map(entries)) => {
            for (key, value) in entries {
                match keys.iter().find(|known| known.name == key.text) {
                    Some(known) => self::node(value, &known.shape, &join(path, known.name), problems),
                    None => problems.push(unknown_key(&key.text, keys, path).at(key.place.clone())),
                }
            }
            for known in keys.iter().filter(|known| known.required && node.get(known.name).is_none()) {
                let message = if path.is_empty() {
                    format!("the key `{}` is missing", known.name)
                } else {
                    format!("the key `{}` is missing in `{path}`", known.name)
                };
                problems.push(
                    Problem::new(ProblemKind::MissingKey, message, Some(node.place.clone()))
                        .hint(format!("{}: {}", known.name, known.doc)),
                );
            }
        }
        // `key:` with nothing below it is an empty mapping: what a person gets who comments out all of a section.
        (Shape::Map(keys), _) if node.is_null() => {
            for known in keys.iter().filter(|known| known.required) {
                let message = format!("the key `{}` is missing in `{path}`", known.name);
                problems.push(
                    Problem::new(ProblemKind::MissingKey, message, Some(node.place.clone()))
                        .hint(format!("{}: {}", known.name, known.doc)),
                );
            }
        }
        (Shape::Entries { value, .. }, Kind::Map(entries)) => {
            for (key, entry) in entries {
                if path == "tables" {
                    if let Err(message) = super::tables::check_pattern(&key.text) {
                        problems.push(
                            Problem::new(ProblemKind::TablePattern, message, Some(key.place.clone()))
                                .hint("write schema.table, with `*` and `?` as wildcards"),
                        );
                    }
                }
                self::node(entry, value, &join(path, "*"), problems);
            }
        }
        (Shape::Entries { .. }, _) if node.is_null() => {}
        (Shape::List(item), Kind::List(items)) => {
            match items.first() {
                None => problems.push(
                    Problem::new(
                        ProblemKind::BadValue,
                        format!("`{path}` is empty"),
                        Some(node.place.clone()),
                    )
                    .hint("leave it out for the default"),
                ),
                Some(first) => problems.extend(takes_from_nothing(item, first)),
            }
            items.iter().for_each(|value| self::node(value, item, path, problems));
        }
        (Shape::Scalar(scalar), Kind::Scalar { text, quoted }) => {
            if let Some(problem) = value(*scalar, text, *quoted, node, path) {
                problems.push(problem);
            }
        }
        _ => {
            let wanted = match shape {
                Shape::Map(_) => "a mapping".into(),
                Shape::Entries { what, .. } => format!("a mapping of each {what} to its settings"),
                Shape::List(_) => "a list".into(),
                Shape::Scalar(scalar) => describe(*scalar),
                Shape::ScalarOr(scalar, _) => format!("{}, or a mapping", describe(*scalar)),
            };
            let what = if path.is_empty() { "the file".to_owned() } else { format!("`{path}`") };
            let message = format!("{what} must be {wanted}, not {}", node.describe());
            let mut problem = Problem::new(ProblemKind::WrongType, message, Some(node.place.clone()));
            if let (Shape::List(_), Kind::Scalar { text, .. }) = (shape, &node.kind) {
                problem = problem.hint(format!("write [\"{text}\"]"));
            }
            problems.push(problem);
        }
    }
}

/// Patterns are read from first to last: what the first one excludes was not included by anything.
fn takes_from_nothing(item: &Shape, first: &Node) -> Option<Problem> {
    let Kind::Scalar { text, .. } = &first.kind else { return None };
    let excludes = matches!(item, Shape::Scalar(Scalar::TablePattern)) && text.starts_with('!');
    excludes.then(|| {
        let message = "the first pattern excludes tables that none before it includes".to_owned();
        Problem::new(ProblemKind::TablePattern, message, Some(first.place.clone()))
            .hint("put \"*\" in front of it, or the tables that are meant")
    })
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

impl Problem {
    fn at(mut self, place: super::place::Place) -> Self {
        self.place = Some(place);
        self
    }
}

fn unknown_key(text: &str, keys: &[Key], path: &str) -> Problem {
    if PLANNED.iter().any(|planned| planned.parent == path && planned.name == text) {
        return Problem::new(ProblemKind::NotBuilt, format!("`{}` is not built yet", join(path, text)), None)
            .hint("remove it: this version of millstream would not act on it");
    }
    let message = if path.is_empty() {
        format!("unknown key `{text}`")
    } else {
        format!("unknown key `{text}` in `{path}`")
    };
    let problem = Problem::new(ProblemKind::UnknownKey, message, None);
    let names = || keys.iter().map(|key| key.name);
    if let Some(near) = nearest(text, names()) {
        return problem.hint(format!("did you mean `{near}`?"));
    }
    let mut homes = Vec::new();
    find_key(&PROJECT, text, "", &mut homes);
    match homes.first() {
        Some(home) => problem.hint(format!("`{text}` belongs to `{home}`")),
        None => problem.hint(format!("known here: {}", names().collect::<Vec<_>>().join(", "))),
    }
}

/// The paths of the mappings that have a key of this name.
fn find_key(shape: &Shape, name: &str, path: &str, homes: &mut Vec<String>) {
    match shape {
        Shape::Map(keys) | Shape::ScalarOr(_, keys) => {
            for key in *keys {
                if key.name == name && !path.is_empty() {
                    homes.push(path.to_owned());
                }
                find_key(&key.shape, name, &join(path, key.name), homes);
            }
        }
        Shape::Entries { what, value } => find_key(value, name, &join(path, &format!("<{what}>")), homes),
        Shape::List(_) | Shape::Scalar(_) => {}
    }
}

/// The candidate that differs by the fewest typing mistakes, if those are few enough to be mistakes.
pub(crate) fn nearest<'a>(text: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mistakes_max = (text.chars().count() / 3).max(1);
    candidates
        .map(|candidate| (distance(&text.to_lowercase(), candidate), candidate))
        .filter(|(mistakes, _)| *mistakes <= mistakes_max)
        .min_by_key(|(mistakes, _)| *mistakes)
        .map(|(_, candidate)| candidate)
}

/// Optimal string alignment: insertions, deletions, replacements, swaps of neighbours.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replace = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replace.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

fn describe(scalar: Scalar) -> String {
    match scalar {
        Scalar::Text | Scalar::Secret => "a text".into(),
        Scalar::Name => "a name of lowercase letters, digits and underscores (at most 63)".into(),
        Scalar::Path => "a path".into(),
        Scalar::Boolean => "true or false".into(),
        Scalar::Version => VERSION.to_owned(),
        Scalar::Size => "a size such as 50GB".into(),
        Scalar::SizeAtLeast(least) => {
            format!("a size of at least {}, such as 64MB", units::print_size(least))
        }
        Scalar::Duration => "a time span such as 7d or 12h".into(),
        Scalar::Choice(words) => format!("one of {}", words.join(", ")),
        Scalar::TablePattern => "a table pattern such as \"shop.*\"".into(),
        Scalar::ColumnType => "a warehouse type such as double, text or decimal(20,4)".into(),
        Scalar::Instant => "a day or time with zone, such as 2100-01-01".into(),
        Scalar::Address => "an address and a port, such as 127.0.0.1:8080".into(),
        Scalar::Number => "a number".into(),
        Scalar::Count => "a whole number of at least 1".into(),
        Scalar::Route => "a path of plain segments, such as /orders/top".into(),
        Scalar::RoutePattern => "a path, with `*` and `?` as wildcards, such as \"/orders*\"".into(),
        Scalar::Mask => "hash or null".into(),
        Scalar::Origin => "an origin such as https://app.example.com, without a path".into(),
        Scalar::Collector => "the address of a collector, such as http://127.0.0.1:4318".into(),
        Scalar::Share => "a number from 0 to 1".into(),
    }
}

/// What `PostgreSQL` accepts as the name of a slot, and what is safe in every identifier derived from it.
fn is_name(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// A path that needs no escapes in an address, does not climb, and is nobody else's.
fn is_route(text: &str) -> bool {
    let plain = |segment: &str| {
        let plain = segment.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.~".contains(&b));
        plain && !segment.is_empty() && segment != "." && segment != ".."
    };
    let reserved = millstream_api::endpoint::RESERVED.iter().any(|reserved| {
        text.strip_prefix(reserved).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    });
    text.strip_prefix('/').is_some_and(|text| text.split('/').all(plain)) && !reserved
}

/// As browsers write it: lowercase, without a path, and no wildcard.
fn is_origin(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.:[]".contains(&b);
    host.is_some_and(|host| !host.is_empty() && host.bytes().all(plain))
}

fn value(scalar: Scalar, text: &str, quoted: bool, node: &Node, path: &str) -> Option<Problem> {
    let place = Some(node.place.clone());
    if scalar == Scalar::Version {
        return (text != VERSION || quoted).then(|| {
            Problem::new(
                ProblemKind::Version,
                format!("this program reads version {VERSION} of the file, not {text}"),
                place,
            )
            .hint(format!(
                "write `version: {VERSION}`, or use the release of millstream that the file was made for"
            ))
        });
    }
    // Nothing is what a mask of nothing shows.
    if scalar == Scalar::Mask && (node.is_null() && !text.is_empty() || (text == "hash" && !quoted)) {
        return None;
    }
    if node.is_null() || (text.is_empty() && scalar != Scalar::Text) {
        return Some(
            Problem::new(ProblemKind::WrongType, format!("`{path}` has no value"), place)
                .hint(format!("it must be {}", describe(scalar))),
        );
    }
    let (kind, good) = match scalar {
        Scalar::Boolean => (ProblemKind::WrongType, !quoted && matches!(text, "true" | "false")),
        Scalar::Text | Scalar::Secret | Scalar::Path | Scalar::Version => {
            (ProblemKind::BadValue, !text.is_empty())
        }
        Scalar::Name => (ProblemKind::BadValue, is_name(text)),
        Scalar::Size => (ProblemKind::BadValue, units::parse_size(text).is_some_and(|bytes| bytes > 0)),
        Scalar::SizeAtLeast(least) => {
            (ProblemKind::BadValue, units::parse_size(text).is_some_and(|bytes| bytes >= least))
        }
        Scalar::Duration => (ProblemKind::BadValue, units::parse_duration(text).is_some()),
        Scalar::Choice(words) => (ProblemKind::BadValue, words.contains(&text)),
        Scalar::ColumnType => (ProblemKind::BadValue, units::parse_column_type(text).is_some()),
        Scalar::Instant => (ProblemKind::BadValue, units::parse_instant(text).is_some()),
        Scalar::Number => (ProblemKind::WrongType, text.parse::<f64>().is_ok_and(f64::is_finite)),
        Scalar::Count => (ProblemKind::BadValue, text.parse::<usize>().is_ok_and(|count| count > 0)),
        Scalar::Route => (ProblemKind::BadValue, is_route(text)),
        Scalar::RoutePattern => (ProblemKind::BadValue, text.starts_with('/') || text == "*"),
        Scalar::Mask => (ProblemKind::BadValue, false),
        Scalar::Origin => (ProblemKind::BadValue, is_origin(text)),
        Scalar::Share => (ProblemKind::BadValue, units::parse_share(text).is_some()),
        Scalar::Collector => {
            let refused = Endpoint::of_collector(text).err();
            return refused.map(|error| super::traces::wrong_address(path, &error, place));
        }
        Scalar::Address => (ProblemKind::BadValue, text.parse::<std::net::SocketAddr>().is_ok()),
        Scalar::TablePattern => {
            let pattern = text.strip_prefix('!').unwrap_or(text);
            return super::tables::check_pattern(pattern).err().map(|message| {
                Problem::new(ProblemKind::TablePattern, message, place)
                    .hint("write schema.table, with `*` and `?` as wildcards and `!` in front to exclude")
            });
        }
    };
    if good {
        return None;
    }
    let seen = if scalar == Scalar::Secret { "this".to_owned() } else { format!("`{}`", redact(text)) };
    let problem = Problem::new(kind, format!("`{path}` must be {}, not {seen}", describe(scalar)), place);
    Some(match scalar {
        Scalar::Choice(words) => match nearest(text, words.iter().copied()) {
            Some(near) => problem.hint(format!("did you mean `{near}`?")),
            None => problem,
        },
        Scalar::Boolean if matches!(text.to_lowercase().as_str(), "yes" | "on" | "true") => {
            problem.hint("write true")
        }
        Scalar::Boolean if matches!(text.to_lowercase().as_str(), "no" | "off" | "false") => {
            problem.hint("write false")
        }
        Scalar::Address => problem.hint("write it with quotes: \"127.0.0.1:8080\""),
        Scalar::Duration if text.parse::<u64>().is_ok() => {
            problem.hint(format!("with a unit: {text}s, {text}h, {text}d"))
        }
        _ => problem,
    })
}
