//! What a project says and nobody hears: configurations of folders that hold nothing, keys that are nearly ones that mean something.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json};

use super::{
    node::{Node, Resource},
    Manifest,
};
use crate::{
    place::nearest,
    project::Adapter,
    warning::Warning,
    yaml::{Kind, Node as Yaml},
};

/// Keys of nodes, sources and their tables, and of columns, that mean something.
const KEYS: &[&str] = &[
    "access",
    "arguments",
    "columns",
    "config",
    "constraints",
    "contract",
    "data_tests",
    "data_type",
    "database",
    "deprecation_date",
    "description",
    "docs",
    "enabled",
    "external",
    "freshness",
    "granularity",
    "group",
    "identifier",
    "latest_version",
    "loaded_at_field",
    "loaded_at_query",
    "loader",
    "meta",
    "name",
    "overrides",
    "quote",
    "quoting",
    "relation",
    "schema",
    "tables",
    "tags",
    "tests",
    "time_spine",
    "versions",
];

/// Sections of `dbt_project.yml` that configure by folder, and what they are about.
const SECTIONS: &[(&str, &[Resource])] = &[
    ("models", &[Resource::Model, Resource::Analysis]),
    ("seeds", &[Resource::Seed]),
    ("snapshots", &[Resource::Snapshot]),
    ("sources", &[Resource::Source]),
    ("tests", &[Resource::Test]),
    ("unit_tests", &[Resource::UnitTest]),
    ("exposures", &[Resource::Exposure]),
];

/// Warns of keys that are one slip away from one that means something; any other key of a person's own is left alone.
pub(super) fn keys(item: &Yaml, warnings: &mut Vec<Warning>) {
    for (key, value) in item.entries() {
        let name = key.text.as_str();
        if !KEYS.contains(&name) {
            let meant = nearest(&name.replace('-', "_"), KEYS.iter().copied());
            if let Some(meant) = meant.filter(|_| name.chars().count() > 4) {
                let text = format!("{}: `{name}` means nothing here; did you mean `{meant}`?", key.place);
                warnings.push(Warning::own(text));
            }
        }
        if matches!(name, "columns" | "tables") && matches!(value.kind, Kind::List(_)) {
            value.items().iter().for_each(|item| keys(item, warnings));
        }
    }
}

impl Manifest {
    /// Warns of models that want their batches built beside each other, where they can't be.
    pub(super) fn tell_batches_that_wait(&mut self) {
        let wants = |node: &&Node| node.config.get("concurrent_batches") == Some(&Json::Bool(true));
        let count = self.nodes.values().filter(wants).count();
        if self.world.project.target.kind != Adapter::Postgres || count == 0 {
            return;
        }
        let what = if count == 1 { "a model wants its".into() } else { format!("{count} models want their") };
        let text = format!(
            "{what} batches built beside each other (`concurrent_batches`): in PostgreSQL they are built one behind the other, as with dbt"
        );
        self.warnings.push(Warning::of("InvalidConcurrentBatchesConfig", text));
    }

    /// Warns of configurations of the root project that apply to nothing.
    pub(super) fn tell_unused_paths(&mut self) {
        let configs = &self.world.project.root().configs;
        let mut unused = Vec::new();
        for (section, resources) in SECTIONS {
            let Some(Json::Object(tree)) = configs.get(*section) else { continue };
            let nodes = self.all().chain(&self.disabled).filter(|node| resources.contains(&node.resource));
            let fqns: Vec<&[String]> = nodes.map(|node: &Node| node.fqn.as_slice()).collect();
            let mut path = Vec::new();
            paths(tree, &mut path, &mut |path| {
                if fqns.iter().any(|fqn| fqn.starts_with(path)) {
                    return;
                }
                let (last, before) = path.split_last().unwrap_or((&path[0], &[]));
                let siblings: BTreeSet<&str> = fqns
                    .iter()
                    .filter(|fqn| fqn.starts_with(before))
                    .filter_map(|fqn| fqn.get(before.len()))
                    .map(String::as_str)
                    .collect();
                let mut text = format!("{section}.{}", path.join("."));
                if let Some(meant) = nearest(last, siblings) {
                    text.push_str(&format!(" (did you mean `{meant}`?)"));
                }
                unused.push(text);
            });
        }
        if !unused.is_empty() {
            let what = unused.join(", ");
            let text = format!("dbt_project.yml configures what isn't there: {what}");
            self.warnings.push(Warning::of("UnusedResourceConfigPath", text));
        }
    }
}

/// Calls `found` with each path below the section's head that says something itself.
fn paths(tree: &Map<String, Json>, path: &mut Vec<String>, found: &mut dyn FnMut(&[String])) {
    let is_folder = |key: &str, value: &Json| value.is_object() && !key.starts_with('+');
    if !path.is_empty() && tree.iter().any(|(key, value)| !is_folder(key, value)) {
        found(path);
    }
    for (key, value) in tree {
        if let Json::Object(below) = value {
            if is_folder(key, value) {
                path.push(key.clone());
                paths(below, path, found);
                path.pop();
            }
        }
    }
}
