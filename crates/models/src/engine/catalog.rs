//! `docs generate`: what the warehouse's catalogue says of the relations of nodes and sources.

use std::collections::{BTreeSet, HashMap};

use millstream_core::build::{BuildWarehouse, DescribedRelation, RelationKind};
use serde_json::{json, Map, Value as Json};

use super::run::{connect, warehouse_failed};
use crate::{
    error::Result,
    parse::{
        node::{Node, Resource},
        Manifest,
    },
    select::Ids,
};

/// What is known of relations, by the unique id of what they are of.
#[derive(Debug, Default)]
pub struct Catalog {
    /// Of models, seeds and snapshots.
    pub nodes: Map<String, Json>,
    /// Of tables of sources.
    pub sources: Map<String, Json>,
}

/// Whether a node may have a relation that the catalogue can describe. A test has one where it keeps what it finds.
pub fn is_described(node: &Node) -> bool {
    matches!(node.resource, Resource::Source | Resource::Test) || (node.is_refable() && !node.is_ephemeral())
}

/// Describes the relations of these nodes; what isn't there has none.
///
/// Errors: no connection, or the warehouse can't tell.
pub fn catalog(manifest: &Manifest, warehouse: &dyn BuildWarehouse, ids: &Ids) -> Result<Catalog> {
    let nodes: Vec<&Node> =
        ids.iter().filter_map(|id| manifest.get(id)).filter(|node| is_described(node)).collect();
    let databases: BTreeSet<String> = nodes.iter().map(|node| node.database.to_lowercase()).collect();
    let connection = connect(warehouse)?;
    let mut found: HashMap<[String; 3], Json> = HashMap::new();
    for database in databases {
        let described = connection.borrow_mut().described(&database).map_err(warehouse_failed)?;
        let key =
            |of: &DescribedRelation| [&of.database, &of.schema, &of.name].map(|part| part.to_lowercase());
        found.extend(described.iter().map(|relation| (key(relation), told(relation))));
    }
    let mut catalog = Catalog::default();
    for node in nodes {
        let key = [&node.database, &node.schema, &node.alias].map(|part| part.to_lowercase());
        let Some(mut told) = found.get(&key).cloned() else { continue };
        told["unique_id"] = node.unique_id.as_str().into();
        let section = match node.resource {
            Resource::Source => &mut catalog.sources,
            _ => &mut catalog.nodes,
        };
        section.insert(node.unique_id.clone(), told);
    }
    Ok(catalog)
}

/// A relation as `catalog.json` has it.
fn told(relation: &DescribedRelation) -> Json {
    let columns: Map<String, Json> = relation
        .columns
        .iter()
        .map(|column| {
            let told = json!({
                "type": column.data_type, "index": column.index, "name": column.name, "comment": column.comment,
            });
            (column.name.clone(), told)
        })
        .collect();
    let kind = match relation.kind {
        RelationKind::View => "VIEW",
        RelationKind::MaterializedView => "MATERIALIZED VIEW",
        RelationKind::Table => "BASE TABLE",
    };
    json!({
        "metadata": {
            "type": kind, "schema": relation.schema, "name": relation.name, "database": relation.database,
            "comment": relation.comment, "owner": relation.owner,
        },
        "columns": columns,
        "stats": {"has_stats": {
            "id": "has_stats", "label": "Has Stats?", "value": false, "include": false,
            "description": "Indicates whether there are statistics for this table",
        }},
        "unique_id": null,
    })
}
