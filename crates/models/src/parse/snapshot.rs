//! How a snapshot is configured, checked when the project is read.

use serde_json::Value as Json;

use super::node::Node;
use crate::error::{Problem, ProblemKind};

/// The columns that a snapshot adds, by the names that dbt gives them.
pub const COLUMNS: [&str; 5] =
    ["dbt_valid_to", "dbt_valid_from", "dbt_scd_id", "dbt_updated_at", "dbt_is_deleted"];

/// Stands for a strategy where a snapshot is made from a history that is kept anyway.
const FROM_HISTORY: &str = "history";

/// What a snapshot's configuration says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Expressions that tell one row from another.
    pub keys: Vec<String>,
    /// How it is known that a row has changed.
    pub strategy: Strategy,
    /// What becomes of rows that are no longer there.
    pub hard_deletes: HardDeletes,
    /// The expression that the newest version's `dbt_valid_to` has, instead of NULL.
    pub valid_to_current: Option<String>,
    /// The names of the columns that it adds.
    pub names: Names,
}

/// How it is known that a row has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Strategy {
    /// By a column that says when it last did.
    Timestamp {
        /// The column.
        updated_at: String,
    },
    /// By comparing columns with what they were.
    Check {
        /// These, or all where there are none.
        columns: Vec<String>,
        /// The expression for the time of a change; the time of the run where it is not given.
        updated_at: Option<String>,
    },
    /// By a macro of a project's own, which is looked for once the snapshot is made.
    Own,
}

/// What becomes of rows that are no longer there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HardDeletes {
    /// They stay as they were.
    Ignore,
    /// Their last version ends.
    Invalidate,
    /// Their last version ends, and one begins that says so.
    NewRecord,
}

/// Names of the columns that a snapshot adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// `dbt_valid_from`.
    pub valid_from: String,
    /// `dbt_valid_to`.
    pub valid_to: String,
    /// `dbt_scd_id`.
    pub scd_id: String,
    /// `dbt_updated_at`.
    pub updated_at: String,
    /// `dbt_is_deleted`.
    pub is_deleted: String,
}

impl Settings {
    /// Reads a snapshot's configuration.
    ///
    /// Errors: something that its strategy needs is not there, or is not of the form it should have.
    pub fn of(node: &Node) -> Result<Self, Problem> {
        let wrong = |message: String| Problem::new(ProblemKind::Configuration, message);
        let said = |key: &str| node.config.get(key).filter(|value| !is_empty(value));
        let text = |key: &str| match said(key) {
            None => Ok(None),
            Some(Json::String(text)) => Ok(Some(text.clone())),
            Some(other) => Err(wrong(format!("`{key}` of a snapshot is a text, not {other}"))),
        };
        let list = |key: &str| match said(key) {
            None => Ok(Vec::new()),
            Some(Json::String(text)) => Ok(vec![text.clone()]),
            Some(Json::Array(items)) if items.iter().all(Json::is_string) => {
                Ok(items.iter().filter_map(Json::as_str).map(str::to_owned).collect())
            }
            Some(other) => {
                Err(wrong(format!("`{key}` of a snapshot is a text or a list of texts, not {other}")))
            }
        };
        // Every version is known, so nothing has to say how one is told.
        let from_history = is_from_history(node);
        let strategy = text("strategy")?.or_else(|| from_history.then(|| FROM_HISTORY.to_owned()));
        let (Some(strategy), false) = (strategy, list("unique_key")?.is_empty()) else {
            return Err(wrong("a snapshot needs a `strategy` and a `unique_key`".into())
                .hint("strategy: timestamp, with updated_at; or strategy: check, with check_cols"));
        };
        if !matches!(node.config_str("materialized"), None | Some("snapshot")) {
            return Err(wrong("a snapshot is materialized as `snapshot` and nothing else".into()));
        }
        let strategy = match strategy.as_str() {
            _ if from_history => Strategy::Check { columns: Vec::new(), updated_at: None },
            "timestamp" if said("check_cols").is_some() => {
                return Err(wrong("the strategy `timestamp` has no use for `check_cols`".into()));
            }
            "timestamp" => match text("updated_at")? {
                Some(updated_at) => Strategy::Timestamp { updated_at },
                None => return Err(wrong("the strategy `timestamp` needs `updated_at`".into())),
            },
            "check" => {
                let columns = match said("check_cols") {
                    None => return Err(wrong("the strategy `check` needs `check_cols`".into())),
                    Some(Json::String(all)) if all == "all" => Vec::new(),
                    Some(Json::String(other)) => {
                        let message = format!("`check_cols` is `all` or a list of columns, not `{other}`");
                        return Err(wrong(message));
                    }
                    Some(_) => list("check_cols")?,
                };
                Strategy::Check { columns, updated_at: text("updated_at")? }
            }
            _ => Strategy::Own,
        };
        let hard_deletes = match (node.config.get("invalidate_hard_deletes"), text("hard_deletes")?) {
            (Some(old), Some(_)) if !old.is_null() => {
                let message = "`invalidate_hard_deletes` and `hard_deletes` are two names of the same";
                return Err(wrong(message.into()).hint("keep `hard_deletes`"));
            }
            (Some(Json::Bool(true)), _) => HardDeletes::Invalidate,
            (_, None) => HardDeletes::Ignore,
            (_, Some(what)) => match what.as_str() {
                "ignore" => HardDeletes::Ignore,
                "invalidate" => HardDeletes::Invalidate,
                "new_record" => HardDeletes::NewRecord,
                other => {
                    let message =
                        format!("`hard_deletes` is ignore, invalidate or new_record, not `{other}`");
                    return Err(wrong(message));
                }
            },
        };
        let renamed = node.config.get("snapshot_meta_column_names").and_then(Json::as_object);
        if let Some(unknown) = renamed.and_then(|map| map.keys().find(|key| !COLUMNS.contains(&key.as_str())))
        {
            let message =
                format!("`{unknown}` of `snapshot_meta_column_names` is no column that a snapshot adds");
            return Err(wrong(message).hint(format!("it adds {}", COLUMNS.join(", "))));
        }
        let name = |of: &str| {
            let given = renamed.and_then(|map| map.get(of)).and_then(Json::as_str);
            given.filter(|given| !given.is_empty()).unwrap_or(of).to_owned()
        };
        Ok(Settings {
            keys: list("unique_key")?,
            strategy,
            hard_deletes,
            valid_to_current: text("dbt_valid_to_current")?,
            names: Names {
                valid_from: name("dbt_valid_from"),
                valid_to: name("dbt_valid_to"),
                scd_id: name("dbt_scd_id"),
                updated_at: name("dbt_updated_at"),
                is_deleted: name("dbt_is_deleted"),
            },
        })
    }
}

/// Whether a snapshot is made from the history of what it reads.
pub fn is_from_history(node: &Node) -> bool {
    node.config.get("snapshot_from_history") == Some(&Json::Bool(true))
}

/// What counts as not said.
fn is_empty(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::String(text) => text.is_empty(),
        Json::Array(items) => items.is_empty(),
        _ => false,
    }
}
