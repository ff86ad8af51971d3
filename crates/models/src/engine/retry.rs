//! What the previous run left to be done: its `run_results.json`, written by this program or by dbt.

use std::{collections::HashMap, path::Path};

use serde_json::{Map, Value as Json};

use super::batches::Batches;
use crate::{
    context::modules::Moment,
    error::{Problem, ProblemKind, Result},
    project::files,
};

/// Verbs whose runs can be done again.
const VERBS: &[&str] = &["build", "compile", "run", "run-operation", "seed", "snapshot", "test"];

/// What is done again.
const STATUSES: &[&str] = &["error", "fail", "skipped", "runtime error", "partial success"];

/// A run that was.
#[derive(Debug, Clone, PartialEq)]
pub struct Previous {
    /// Its verb.
    pub which: String,
    /// What it was called with, by the names of dbt's flags.
    pub arguments: Map<String, Json>,
    /// The unique ids of what failed or was skipped. Hooks are not among them: they belong to every run.
    pub failed: Vec<String>,
    /// What became of the batches of models of which some were built: only the others are to be.
    pub batches: HashMap<String, Batches>,
    /// When it began: microseconds since 1970, UTC.
    pub started_us: Option<i64>,
}

impl Previous {
    /// Reads the results in a target directory.
    ///
    /// Errors: there are none, they can't be read, or they are of a verb whose run can't be done again.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join("run_results.json");
        let wrong = |message: String| Problem::new(ProblemKind::Configuration, message);
        if !path.exists() {
            return Err(wrong(format!("there is no previous run: no {}", path.display()))
                .hint("run something first, or name the directory with --target-path")
                .into());
        }
        let text = files::read(&path, &path.display().to_string())?;
        Self::parse(&text.text).map_err(|message| wrong(format!("{} {message}", path.display())).into())
    }

    fn parse(text: &str) -> std::result::Result<Self, String> {
        let json: Json = serde_json::from_str(text).map_err(|error| format!("is no JSON: {error}"))?;
        let (Some(results), Some(arguments)) = (json["results"].as_array(), json["args"].as_object()) else {
            return Err("holds no results of a run".into());
        };
        let which = arguments.get("which").and_then(Json::as_str).unwrap_or_default().to_owned();
        if !VERBS.contains(&which.as_str()) {
            return Err(format!("is of `{which}`, which can't be done again"));
        }
        let failed = results
            .iter()
            .filter(|result| result["status"].as_str().is_some_and(|status| STATUSES.contains(&status)));
        let failed = failed
            .filter_map(|result| result["unique_id"].as_str())
            .filter(|id| !id.starts_with("operation."))
            .map(str::to_owned)
            .collect();
        let batches = results.iter().filter_map(|result| {
            let batches = Batches::parse(&result["batch_results"])?;
            let is_some = !batches.successful.is_empty() && !batches.failed.is_empty();
            is_some.then(|| Some((result["unique_id"].as_str()?.to_owned(), batches)))?
        });
        let started_us = json["metadata"]["invocation_started_at"].as_str().and_then(Moment::parse);
        Ok(Previous { batches: batches.collect(), started_us, which, arguments: arguments.clone(), failed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_and_what_was_skipped_is_left() {
        let text = r#"{"args": {"which": "build", "vars": {"a": 1}}, "results": [
            {"unique_id": "model.p.a", "status": "success"}, {"unique_id": "model.p.b", "status": "error"},
            {"unique_id": "model.p.c", "status": "skipped"}, {"unique_id": "test.p.d", "status": "fail"},
            {"unique_id": "test.p.e", "status": "warn"}, {"unique_id": "operation.p.f", "status": "error"}]}"#;
        let previous = Previous::parse(text).unwrap();
        assert_eq!(previous.failed, ["model.p.b", "model.p.c", "test.p.d"]);
        assert_eq!((previous.which.as_str(), &previous.arguments["vars"]["a"]), ("build", &Json::from(1)));
    }

    #[test]
    fn what_is_no_run_is_told() {
        assert!(Previous::parse("[").unwrap_err().starts_with("is no JSON"));
        assert!(Previous::parse("{}").unwrap_err().contains("no results"));
        let listed = r#"{"args": {"which": "show"}, "results": []}"#;
        assert!(Previous::parse(listed).unwrap_err().contains("`show`"));
    }
}
