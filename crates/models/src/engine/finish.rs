//! What is done to a relation once it has its rows: indexes, descriptions, and that DuckDB has no grants.

use std::sync::Arc;

use millstream_core::{build::BuildConnection, log::Result};
use serde_json::Value as Json;

use super::{ddl, live::Shared, run::warehouse_failed};
use crate::{
    context::{base::warn, relation::Relation},
    parse::node::Node,
    project::Adapter,
    warning::Warning,
};

/// Makes the indexes that a model asks for.
///
/// Errors: one of them is none, or the warehouse refuses it.
pub(super) fn indexes(
    node: &Node,
    dialect: Adapter,
    relation: &Relation,
    connection: &mut dyn BuildConnection,
) -> crate::error::Result<()> {
    for index in ddl::indexes_of(node, dialect)? {
        connection.run(&index.statement(relation)).map_err(warehouse_failed)?;
    }
    Ok(())
}

/// Writes a node's descriptions into the warehouse, as far as it is configured. What is described and isn't there is a warning.
pub(super) fn describe(
    node: &Node,
    relation: &Relation,
    [for_relation, for_columns]: [bool; 2],
    connection: &mut dyn BuildConnection,
) -> Result<Option<Warning>> {
    let mut odd = None;
    if for_relation && node.persists_docs("relation") {
        if let Some(statement) = ddl::comment(relation, &node.description) {
            connection.run(&statement)?;
        }
    }
    if for_columns && node.persists_docs("columns") && !node.columns.is_empty() {
        let there = connection.columns(relation.database(), relation.schema(), relation.identifier())?;
        let there: Vec<String> = there.into_iter().map(|(name, _)| name).collect();
        let (statements, missing) = ddl::column_comments(relation, &node.columns, &there);
        if !missing.is_empty() {
            let text = format!("{} has no {}", relation.render(), missing.join(", "));
            odd = Some(Warning::of("JinjaLogWarning", text));
        }
        for statement in statements {
            connection.run(&statement)?;
        }
    }
    Ok(odd)
}

/// Tells, once in a run, that grants and what else DuckDB's tables don't have is passed over, as it is with dbt.
pub(super) fn pass_over(shared: &Arc<Shared>, node: &Node) {
    let is_said = |key: &&str| match node.config.get(*key) {
        None | Some(Json::Null) => false,
        Some(Json::Object(map)) => !map.is_empty(),
        Some(Json::String(text)) => !text.is_empty(),
        Some(_) => true,
    };
    for key in
        ["grants", "partitioned_by", "partition_by", "sorted_by", "sort_by"].iter().filter(|key| is_said(key))
    {
        let message = format!("DuckDB has nothing for `{key}`: it is passed over");
        if shared.is_news(&message) {
            // dbt has no name for it: it can be no error.
            let _ = warn(&shared.manifest.world.project.base.warn_errors, &Warning::own(message));
        }
    }
}
