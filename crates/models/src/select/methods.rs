//! What each method finds.

use std::{cmp::Ordering, collections::HashSet};

use serde_json::Value as Json;

use super::{Criteria, Ids};
use crate::{
    error::{Problem, ProblemKind, Result},
    parse::{
        names,
        node::{Node, Resource},
        version, Manifest,
    },
};

fn wrong(message: String) -> crate::error::ModelsError {
    Problem::new(ProblemKind::Selection, message).into()
}

/// What a method finds among all enabled nodes.
pub(super) fn search(manifest: &Manifest, criteria: &Criteria) -> Result<Ids> {
    let value = criteria.value.as_str();
    let nodes = || manifest.nodes.values();
    let all = || manifest.all();
    let ids = |found: &mut dyn Iterator<Item = &Node>| found.map(|node| node.unique_id.clone()).collect();
    Ok(match criteria.method.as_str() {
        "fqn" => ids(&mut nodes().chain(manifest.exposures.values()).filter(|node| {
            named(&node.fqn, value, node.resource == Resource::Model && node.version().is_some())
        })),
        "tag" => ids(&mut all().filter(|node| node.tags().iter().any(|tag| matches(tag, value)))),
        "group" => {
            ids(&mut nodes()
                .filter(|node| node.config_str("group").is_some_and(|group| matches(group, value))))
        }
        "access" => ids(&mut nodes()
            .filter(|node| node.resource == Resource::Model && node.config_str("access") == Some(value))),
        "version" => {
            let wanted: fn(&Node) -> bool = match value {
                "latest" => |node| node.version().is_some() && node.version() == node.latest_version(),
                "prerelease" => |node| compared(node) == Some(Ordering::Greater),
                "old" => |node| compared(node) == Some(Ordering::Less),
                "none" => |node| node.version().is_none(),
                _ => {
                    return Err(wrong(format!(
                        "`{value}` is no kind of version: it is latest, prerelease, old or none"
                    )))
                }
            };
            ids(&mut nodes().filter(|node| node.resource == Resource::Model && wanted(node)))
        }
        "source" => {
            let parts: Vec<&str> = value.split('.').collect();
            let (package, source, table) = match parts[..] {
                [source] => ("*", source, "*"),
                [source, table] => ("*", source, table),
                [package, source, table] => (package, source, table),
                _ => {
                    return Err(wrong(format!(
                        "`{value}` is no source: it is source, source.table or package.source.table"
                    )))
                }
            };
            ids(&mut manifest.sources.values().filter(|node| {
                matches(&node.package, package)
                    && matches(&names::text(node.extra.get("source_name")), source)
                    && matches(&node.name, table)
            }))
        }
        "exposure" => {
            let (package, name) = value.split_once('.').unwrap_or(("*", value));
            ids(&mut manifest
                .exposures
                .values()
                .filter(|node| matches(&node.package, package) && matches(&node.name, name)))
        }
        "path" => {
            let pattern = value.trim_start_matches("./").trim_end_matches('/');
            // A path is one of the root project; what has the same path in a package is meant with it.
            let known = root_paths(manifest);
            let path_matches = |path: &str, whole: bool| {
                let ends = path.match_indices('/').map(|(at, _)| &path[..at]).filter(|_| !whole);
                ends.chain([path]).any(|part| known.contains(part) && glob_path(part, pattern))
            };
            ids(&mut all().filter(|node| {
                let patched = node.patch_path.as_deref().and_then(|path| path.split_once("://"));
                path_matches(&node.original_path, false)
                    || patched.is_some_and(|(_, path)| path_matches(path, true))
            }))
        }
        "file" => ids(&mut all().filter(|node| {
            let file = node.original_path.rsplit('/').next().unwrap_or_default();
            let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
            matches(file, value) || matches(stem, value)
        })),
        "package" => {
            let root = &manifest.world.project.root().name;
            let value = if value == "this" { root } else { value };
            ids(&mut all().filter(|node| matches(&node.package, value)))
        }
        "config" => ids(&mut nodes().chain(manifest.sources.values()).filter(|node| {
            let mut found = criteria.arguments.iter();
            let first = found.next().and_then(|key| node.config.get(key));
            let found = found.try_fold(first, |here, key| here.map(|here| here.get(key))).flatten();
            found.is_some_and(|found| config_matches(found, value, criteria.arguments == ["severity"]))
        })),
        "test_name" => {
            ids(&mut nodes().filter(|node| node.test.as_ref().is_some_and(|test| matches(&test.name, value))))
        }
        "unit_test" => {
            let (package, name) = value.split_once('.').unwrap_or(("*", value));
            ids(&mut nodes().filter(|node| {
                node.resource == Resource::UnitTest
                    && matches(&node.package, package)
                    && matches(&node.name, name)
            }))
        }
        "test_type" => {
            let wanted: fn(&Node) -> bool = match value {
                "generic" | "schema" => |node| node.test.is_some(),
                "singular" => Node::is_singular,
                "data" => |node| node.resource == Resource::Test,
                "unit" => |node| node.resource == Resource::UnitTest,
                _ => return Err(wrong(format!("a test is generic, singular, data or unit, not `{value}`"))),
            };
            ids(&mut nodes().filter(|node| wanted(node)))
        }
        "state" => super::changed::by_state(manifest, value)?,
        "result" => super::changed::by_result(manifest, value)?,
        "source_status" => super::changed::by_source_status(manifest, value)?,
        _ => {
            let known = [
                "model",
                "seed",
                "test",
                "analysis",
                "source",
                "exposure",
                "snapshot",
                "unit_test",
                "metric",
                "semantic_model",
                "saved_query",
                "operation",
                "function",
            ];
            if !known.contains(&value) {
                return Err(wrong(format!("`{value}` is no type of resource")));
            }
            ids(&mut all().filter(|node| node.resource.name() == value))
        }
    })
}

fn config_matches(found: &Json, value: &str, any_case: bool) -> bool {
    let one = |found: &Json| match found {
        Json::Bool(found) => value.eq_ignore_ascii_case(if *found { "true" } else { "false" }),
        Json::String(found) if any_case => found.eq_ignore_ascii_case(value),
        Json::String(found) => found == value,
        _ => false,
    };
    match found {
        Json::Array(items) => items.iter().any(one),
        // Of a mapping its keys can be selected.
        Json::Object(_) => false,
        other => one(other),
    }
}

/// Whether the last of a name is that of a version, behind a dot or a `_`.
fn names_version(fqn: &[String], wanted: &str) -> bool {
    let [.., name, version] = fqn else { return false };
    let parts: Vec<&str> = wanted.split('.').collect();
    parts[parts.len().saturating_sub(2)..].join("_") == format!("{name}_{version}")
}

/// How a version stands to the latest one.
fn compared(node: &Node) -> Option<Ordering> {
    Some(version::order(node.version()?, node.latest_version()?))
}

/// Whether a fully qualified name is meant, with its package or without.
fn named(fqn: &[String], wanted: &str, is_version: bool) -> bool {
    is_selected(fqn, wanted, is_version) || (fqn.len() > 1 && is_selected(&fqn[1..], wanted, is_version))
}

fn is_selected(fqn: &[String], wanted: &str, is_version: bool) -> bool {
    // A node's own name alone is enough. That of a version stands before the version.
    let own = if is_version { fqn.len().checked_sub(2) } else { fqn.len().checked_sub(1) };
    let leaf = own.and_then(|at| fqn.get(at));
    if leaf.is_some_and(|name| name == wanted) || is_version && names_version(fqn, wanted) {
        return true;
    }
    let flat: Vec<&str> = fqn.iter().flat_map(|part| part.split('.')).collect();
    let parts: Vec<&str> = wanted.split('.').collect();
    if flat.len() < parts.len() {
        return false;
    }
    for (at, part) in parts.iter().enumerate() {
        if part.contains(['*', '?', '[']) {
            let rest = flat[at..].join(".");
            if matches(&rest, &parts[at..].join(".")) {
                return true;
            }
            return parts.len() == 1 && leaf.is_some_and(|leaf| matches(leaf, wanted));
        }
        if flat[at] != *part {
            return false;
        }
    }
    true
}

/// The files of the root project's nodes and properties, and the directories above them.
fn root_paths(manifest: &Manifest) -> HashSet<&str> {
    let root = &manifest.world.project.root().name;
    let own = manifest.all().filter(|node| node.package == *root);
    let paths = own.flat_map(|node| {
        let patched = node.patch_path.as_deref().and_then(|path| path.split_once("://"));
        [Some(node.original_path.as_str()), patched.map(|(_, path)| path)].into_iter().flatten()
    });
    let with_dirs =
        paths.flat_map(|path| path.match_indices('/').map(move |(at, _)| &path[..at]).chain([path]));
    with_dirs.collect()
}

/// Globs of paths: `*` stays within a directory, `**` does not.
fn glob_path(path: &str, pattern: &str) -> bool {
    let path: Vec<&str> = path.split('/').collect();
    let pattern: Vec<&str> = pattern.split('/').collect();
    fn go(path: &[&str], pattern: &[&str]) -> bool {
        match pattern.split_first() {
            None => path.is_empty(),
            Some((&"**", rest)) => (0..=path.len()).any(|at| go(&path[at..], rest)),
            Some((part, rest)) => {
                path.split_first().is_some_and(|(first, more)| matches(first, part) && go(more, rest))
            }
        }
    }
    go(&path, &pattern)
}

/// Python's `fnmatch`: `*`, `?`, `[seq]`, `[!seq]`.
pub(super) fn matches(text: &str, pattern: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let pattern: Vec<char> = pattern.chars().collect();
    let (mut t, mut p) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        let step = match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
                continue;
            }
            Some('?') => Some(p + 1),
            Some('[') => class(&pattern, p, text[t]),
            Some(c) if *c == text[t] => Some(p + 1),
            _ => None,
        };
        match (step, star) {
            (Some(next), _) => {
                p = next;
                t += 1;
            }
            (None, Some((at, from))) => {
                star = Some((at, from + 1));
                (p, t) = (at + 1, from + 1);
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// What follows a class that holds a character; `None` where it doesn't. A `[` that is never closed is itself.
fn class(pattern: &[char], open: usize, c: char) -> Option<usize> {
    let negated = pattern.get(open + 1) == Some(&'!');
    let from = open + 1 + usize::from(negated);
    let close = (from + 1..pattern.len()).find(|at| pattern[*at] == ']');
    let Some(close) = close else { return (c == '[').then_some(open + 1) };
    let set = &pattern[from..close];
    let mut holds = false;
    let mut at = 0;
    while at < set.len() {
        if at + 2 < set.len() && set[at + 1] == '-' {
            holds |= (set[at]..=set[at + 2]).contains(&c);
            at += 3;
        } else {
            holds |= set[at] == c;
            at += 1;
        }
    }
    (holds != negated).then_some(close + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_pythons_fnmatch() {
        for (text, pattern, expected) in [
            ("stg_orders", "stg_*", true),
            ("orders", "stg_*", false),
            ("a.b.c", "*.c", true),
            ("ab", "a?", true),
            ("ab", "[ac]b", true),
            ("ab", "[!a]b", false),
            ("a5", "a[0-9]", true),
            ("abcabc", "a*c", true),
            ("", "*", true),
            ("a[", "a[", true),
        ] {
            assert_eq!(matches(text, pattern), expected, "{text} {pattern}");
        }
    }

    #[test]
    fn names_are_meant_whole_by_leaf_or_by_prefix() {
        let fqn: Vec<String> = ["shop", "marts", "core", "orders"].map(String::from).to_vec();
        for (wanted, expected) in [
            ("orders", true),
            ("shop", true),
            ("marts", true),
            ("marts.core", true),
            ("shop.marts.core.orders", true),
            ("core", false),
            ("marts.*.orders", true),
            ("marts.*", true),
            ("*rders", true),
            ("orders.x", false),
        ] {
            assert_eq!(named(&fqn, wanted, false), expected, "{wanted}");
        }
    }

    #[test]
    fn globs_of_paths_stay_within_a_directory_unless_doubled() {
        for (pattern, expected) in [
            ("models/marts/a.sql", true),
            ("models/*/a.sql", true),
            ("models/**/a.sql", true),
            ("**/a.sql", true),
            ("models/*", false),
            ("models/mar*", false),
        ] {
            assert_eq!(glob_path("models/marts/a.sql", pattern), expected, "{pattern}");
        }
    }
}
