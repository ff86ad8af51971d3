//! `ls`.

use millstream_models::{
    artifacts,
    parse::{
        node::{Node, Resource},
        Manifest,
    },
    select::{self, Ids},
    warning::Warning,
};
use serde_json::{Map, Value};

use super::warn;
use crate::{
    args::{LsFlags, LsOutput},
    failure::Outcome,
    output::Output,
};

/// The keys that `--output json` prints where none are named.
const KEYS: &[&str] = &[
    "alias",
    "name",
    "package_name",
    "depends_on",
    "tags",
    "config",
    "resource_type",
    "source_name",
    "original_file_path",
    "unique_id",
];

/// Whether nodes of this kind are listed where none is asked for.
pub(super) fn is_listed(resource: Resource) -> bool {
    select::is_listed(resource)
}

/// Prints nodes: by kind as dbt orders them, then by id.
pub(super) fn print(manifest: &Manifest, ids: &Ids, flags: &LsFlags, output: &Output) -> Outcome {
    let nodes: Vec<&Node> = ids.iter().filter_map(|id| manifest.get(id)).collect();
    if nodes.is_empty() {
        let warning = Warning::of("NoNodesSelected", "no nodes selected");
        warn(&manifest.world.project.options, &warning, output)?;
    }
    for node in nodes {
        let line = match flags.output {
            LsOutput::Selector => select::listed_name(node),
            LsOutput::Name => node.search_name(),
            LsOutput::Path => node.original_path.clone(),
            LsOutput::Json => json(node, &flags.output_keys),
        };
        output.line(&line)?;
    }
    Ok(0)
}

fn json(node: &Node, keys: &[String]) -> String {
    let whole = artifacts::any_json(node);
    let Value::Object(whole) = whole else { return whole.to_string() };
    let is_wanted = |key: &str| match keys.is_empty() {
        true => KEYS.contains(&key),
        false => keys.iter().any(|wanted| wanted == key),
    };
    let kept: Map<String, Value> = whole.into_iter().filter(|(key, _)| is_wanted(key)).collect();
    Value::Object(kept).to_string()
}
