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
        let said = node.config_str("on_schema_change").unwrap_or("ignore");
        Self::of_name(said).ok_or_else(|| {
            Problem::new(ProblemKind::Configuration, format!("`on_schema_change` can't be `{said}`"))
                .hint("it is ignore, fail, append_new_columns or sync_all_columns")
        })
    }

    /// What a name means.
    pub fn of_name(name: &str) -> Option<Self> {
        Some(match name {
            "ignore" => OnSchemaChange::Ignore,
            "fail" => OnSchemaChange::Fail,
            "append_new_columns" => OnSchemaChange::AppendNewColumns,
            "sync_all_columns" => OnSchemaChange::SyncAllColumns,
            _ => return None,
        })
    }
}
