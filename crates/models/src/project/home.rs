//! A project that belongs to a warehouse which is kept live by somebody else: it is built there, whatever profiles say, and what is kept there are sources
//! that it need not declare.

use serde::{Deserialize, Serialize};

use super::Target;

/// Where a project is at home.
#[derive(Debug, Clone)]
pub struct Home {
    /// Where it is built.
    pub target: Target,
    /// The tables that are kept there; `None`: they can't be asked for now, and every name is taken for one.
    pub tables: Option<Vec<LiveTable>>,
    /// The schema that nothing may be built in.
    pub hidden_schema: String,
    /// The schema that all of them are in; `None`: each in one called like its source's.
    pub schema: Option<String>,
}

/// A table that is kept live, or its history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveTable {
    /// What `source()` calls them: the schema of the table that it follows, and that table's name, or what its history is called.
    pub source: (String, String),
    /// Its schema in the warehouse.
    pub schema: String,
    /// Its name in the warehouse.
    pub name: String,
    /// What it is, for people.
    pub description: String,
    /// What its own columns are called, if it is a history.
    pub history: Option<HistoryColumns>,
}

/// What a history calls its own columns. Positions are `_lsn`, `_seq`, `_lsn_to` and `_seq_to` in every one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryColumns {
    /// When a version opened.
    pub valid_from: String,
    /// When it closed.
    pub valid_to: String,
    /// What opened it.
    pub operation_type: String,
}

impl Home {
    /// A table that nobody could be asked about.
    pub(crate) fn guess(&self, source: &(String, String)) -> LiveTable {
        LiveTable {
            source: source.clone(),
            schema: self.schema.clone().unwrap_or_else(|| source.0.clone()),
            name: source.1.clone(),
            description: String::new(),
            history: None,
        }
    }
}
