//! What is told of a project to people who look at it in a browser: its nodes, and what they were compiled to.

use serde_json::{json, Value as Json};

use crate::{
    columns::project,
    parse::{
        node::{Node, Resource},
        Manifest,
    },
};

/// All that is told of: id and document, in the order of the manifest. Hooks and analyses are not told of.
pub fn documents(manifest: &Manifest) -> impl Iterator<Item = (&str, Json)> {
    let told = |node: &&Node| !matches!(node.resource, Resource::Operation | Resource::Analysis);
    manifest.all().filter(told).map(|node| (node.unique_id.as_str(), document(manifest, node)))
}

fn document(manifest: &Manifest, node: &Node) -> Json {
    let stands = !matches!(node.resource, Resource::Test | Resource::UnitTest | Resource::Exposure)
        && !node.is_ephemeral();
    let columns = node.columns.iter().map(|(name, column)| {
        json!({"name": name, "type": column.get("data_type"), "description": column.get("description")})
    });
    let mut document = json!({
        "resource": node.resource.name(),
        "name": node.search_name(),
        "package": node.package,
        "path": node.original_path,
        "description": node.description,
        "tags": node.tags(),
        "materialized": (node.resource == Resource::Model).then(|| node.materialized()),
        "relation": stands.then(|| json!({"schema": node.schema, "name": node.alias})),
        "parents": node.depends_on,
        "columns": columns.collect::<Vec<_>>(),
        // A seed's is its rows, a source has none.
        "raw": (!node.raw.is_empty() && node.resource != Resource::Seed).then(|| &*node.raw),
    });
    let has_columns =
        matches!(node.resource, Resource::Source | Resource::Seed | Resource::Model | Resource::Snapshot);
    if has_columns {
        let target = &manifest.world.project.target;
        // What `columns::told` reads.
        document["lineage"] = json!({
            "path": stands.then_some([&node.database, &node.schema, &node.alias]),
            "usual": [&target.database, &target.schema],
            "cte": project::cte(node),
            "made": project::made(node),
        });
    }
    if node.is_test() {
        let facts = node.test.as_ref();
        let unit = (node.resource == Resource::UnitTest).then_some("unit test");
        // A test of no node's own is of all that it reads.
        let attached = facts.and_then(|facts| facts.attached.as_ref());
        let about = attached.map_or_else(|| node.depends_on.clone(), |attached| vec![attached.clone()]);
        document["check"] = json!({
            "kind": facts.map(|facts| facts.name.as_str()).or(unit),
            "column": facts.and_then(|facts| facts.column.as_ref()),
            "severity": node.config.get("severity").and_then(Json::as_str).unwrap_or("error").to_lowercase(),
            "about": about,
        });
    }
    document
}
