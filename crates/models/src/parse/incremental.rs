//! How an incremental model is configured, checked when the project is read.

use super::node::Node;
use crate::error::{Problem, ProblemKind};

/// What is done where a query has other columns than the table that its rows go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnSchemaChange {
    /// The table's columns are written, whatever the query has.
    Ignore,
    /// It is an error.
    Fail,
    /// Columns are added to the table.
    AppendNewColumns,
    /// Columns are added, removed and given other types.
    SyncAllColumns,
}

impl OnSchemaChange {
    /// What a model says.
    ///
    /// Errors: it says something that there is not. dbt would take it for `ignore`.
    pub fn of(node: &Node) -> Result<Self, Problem> {
        match node.config_str("on_schema_change") {
            None | Some("ignore") => Ok(OnSchemaChange::Ignore),
            Some("fail") => Ok(OnSchemaChange::Fail),
            Some("append_new_columns") => Ok(OnSchemaChange::AppendNewColumns),
            Some("sync_all_columns") => Ok(OnSchemaChange::SyncAllColumns),
            Some(other) => Err(Problem::new(
                ProblemKind::Configuration,
                format!("`on_schema_change` can't be `{other}`"),
            )
            .hint("it is ignore, fail, append_new_columns or sync_all_columns")),
        }
    }
}
