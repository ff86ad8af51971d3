//! `time_spine` of a model: which of its columns are days, weeks and so on, for programs that read the manifest. Nothing is made of it here.

use serde_json::{json, Value as Json};

use super::properties::Patch;
use crate::error::{Problem, ProblemKind};

/// What a model's properties say, as the manifest has it; `None`: nothing.
///
/// Errors: it is of another form, or names columns that the properties don't tell of.
pub(super) fn of(patch: &Patch) -> Result<Option<Json>, Problem> {
    // dbt leaves it out of models with versions.
    let said = patch.other.get("time_spine").filter(|said| !said.is_null() && patch.version.is_none());
    let Some(said) = said else { return Ok(None) };
    let wrong = |message: String| Problem::new(ProblemKind::Yaml, message).at(&patch.place);
    let column = |name: &str| patch.columns.iter().find(|column| column.name == name);
    let missing = |name: &str| {
        let known: Vec<_> = patch.columns.iter().map(|column| column.name.as_str()).collect();
        wrong(format!("the time spine of `{}` names a column `{name}` that it doesn't describe", patch.name))
            .hint(format!("it describes: {}", known.join(", ")))
    };
    let Some(standard) = said["standard_granularity_column"].as_str() else {
        return Err(wrong(format!(
            "the time spine of `{}` has no `standard_granularity_column`",
            patch.name
        )));
    };
    if column(standard).ok_or_else(|| missing(standard))?.json["granularity"].is_null() {
        return Err(wrong(format!("the column `{standard}` of a time spine has no `granularity`"))
            .hint("add `granularity: day`, or what its rows are"));
    }
    let mut customs = Vec::new();
    for custom in said["custom_granularities"].as_array().into_iter().flatten() {
        let Some(name) = custom["name"].as_str() else {
            return Err(wrong("a custom granularity has a `name`".into()));
        };
        let of = custom["column_name"].as_str();
        let at = of.unwrap_or(name);
        column(at).ok_or_else(|| missing(at))?;
        customs.push(json!({"name": name, "column_name": of}));
    }
    Ok(Some(json!({"standard_granularity_column": standard, "custom_granularities": customs})))
}
