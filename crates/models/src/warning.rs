//! Warnings, by the names that dbt has for them, and which of them are errors or are not told: `--warn-error`, `--warn-error-options`.

use serde_json::{json, Map, Value as Json};

use crate::{
    error::{ModelsError, Problem, ProblemKind, Result},
    place::nearest,
};

/// The names of dbt's events, and that of all deprecations together: what `--warn-error-options` may name.
const EVENTS: &str = include_str!("events.txt");

/// The name of all deprecations together.
const DEPRECATIONS: &str = "Deprecations";

/// Deprecations whose names don't say so.
const UNSAID: &[&str] = &[
    "AdapterDeprecationWarning",
    "BehaviorChangeEvent",
    "CollectFreshnessReturnSignature",
    "DeprecationsSummary",
    "EnvironmentVariableRenamed",
    "GetMetaKeyWarning",
    "MetricAttributesRenamed",
    "SourceFreshnessProjectHooksNotRun",
];

/// What dbt tells and never makes an error of, nor keeps to itself.
const ONLY_TOLD: &[&str] =
    &["FreshnessConfigProblem", "MicrobatchModelNoEventTimeInputs", "WarnStateTargetEqual"];

/// What is among the deprecations and isn't told of by its first time alone.
const EACH_TIME: &[&str] =
    &["BehaviorChangeEvent", "DeprecationsSummary", "GetMetaKeyWarning", "UpcomingReferenceDeprecation"];

fn is_deprecation(event: &str) -> bool {
    event.ends_with("Deprecation") || UNSAID.contains(&event)
}

/// Whether a warning is told the first time only, and counted.
pub fn is_counted(event: &str) -> bool {
    is_deprecation(event) && !EACH_TIME.contains(&event)
}

/// Something odd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// dbt's name of it; none where dbt says nothing of it. Only what has one can be an error.
    pub event: Option<&'static str>,
    /// For people.
    pub text: String,
}

impl Warning {
    /// One that dbt has, too.
    pub fn of(event: &'static str, text: impl Into<String>) -> Self {
        Warning { event: Some(event), text: text.into() }
    }

    /// Of a snapshot whose versions have times of another type than those that a run gives them.
    pub fn snapshot_times(of_run: &str, given: &str) -> Self {
        let text = format!(
            "the times of the snapshot's versions are of type {given} by `updated_at`, and a run's own are of type {of_run}: \
             cast `updated_at` in the snapshot's query"
        );
        Warning::of("SnapshotTimestampWarning", text)
    }

    /// One that dbt has not.
    pub fn own(text: impl Into<String>) -> Self {
        Warning { event: None, text: text.into() }
    }
}

/// What becomes of a warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is told.
    Told,
    /// It is an error.
    Wrong,
    /// It is not told.
    Silent,
}

/// Which warnings are errors, and which are not told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WarnErrors {
    /// All are errors, whatever else is said.
    everything: bool,
    /// All are errors that are not named otherwise.
    all: bool,
    error: Vec<String>,
    warn: Vec<String>,
    silence: Vec<String>,
    /// Whether `error` and `warn` are called as they were before: `include` and `exclude`.
    pub has_old_names: bool,
}

impl WarnErrors {
    /// All warnings are errors.
    pub fn everything() -> Self {
        WarnErrors { everything: true, ..WarnErrors::default() }
    }

    /// Reads a mapping of `error` (`all`, `*` or names), `warn` and `silence` (names).
    ///
    /// Errors: another key, a name that no event has, names to be warned of where nothing else is an error.
    pub fn read(options: &Map<String, Json>) -> Result<Self> {
        let mut read = WarnErrors::default();
        for (key, value) in options {
            let names = match (key.as_str(), value) {
                ("error" | "include" | "warn" | "exclude" | "silence", Json::Null) => Vec::new(),
                ("error" | "include", Json::String(all)) if all == "all" || all == "*" => {
                    read.all = true;
                    Vec::new()
                }
                ("error" | "include" | "warn" | "exclude" | "silence", Json::Array(items)) => {
                    items.iter().map(|item| item.as_str().unwrap_or_default().to_owned()).collect()
                }
                ("error" | "include" | "warn" | "exclude" | "silence", _) => {
                    let message = format!("`{key}` of warn_error_options is a list of names");
                    return Err(wrong(message).hint("`error` can be \"all\", too").into());
                }
                (other, _) => {
                    let problem = wrong(format!("`{other}` is no part of warn_error_options"));
                    return Err(problem.hint("they are `error`, `warn` and `silence`").into());
                }
            };
            if let Some(unknown) = names.iter().find(|name| !EVENTS.lines().any(|known| known == *name)) {
                let problem = wrong(format!("`{unknown}` is no name of a warning"));
                return Err(match nearest(unknown, EVENTS.lines()) {
                    Some(meant) => problem.hint(format!("did you mean `{meant}`?")).into(),
                    None => problem.into(),
                });
            }
            read.has_old_names |= matches!(key.as_str(), "include" | "exclude");
            let list = match key.as_str() {
                "error" | "include" => &mut read.error,
                "warn" | "exclude" => &mut read.warn,
                _ => &mut read.silence,
            };
            if !list.is_empty() && !names.is_empty() {
                return Err(
                    wrong(format!("`{key}` of warn_error_options is said under its old name, too")).into()
                );
            }
            list.extend(names);
        }
        let has_deprecations = |list: &[String]| list.iter().any(|name| name == DEPRECATIONS);
        if !read.warn.is_empty()
            && !read.all
            && !has_deprecations(&read.error)
            && !has_deprecations(&read.silence)
        {
            return Err(wrong("`warn` of warn_error_options takes something back that isn't there".into())
                .hint("say `error: all` beside it, or `Deprecations` in `error` or `silence`")
                .into());
        }
        Ok(read)
    }

    /// What becomes of a warning: what is named counts more than all deprecations together, these more than all warnings; to be silent more than to be told, that more than an error.
    pub fn verdict(&self, event: Option<&str>) -> Verdict {
        let Some(event) = event else { return Verdict::Told };
        let has = |list: &[String], name: &str| list.iter().any(|known| known == name);
        if ONLY_TOLD.contains(&event) {
            return Verdict::Told;
        }
        let is_deprecation = is_deprecation(event);
        let by_kind = |list: &[String]| is_deprecation && has(list, DEPRECATIONS);
        let named_otherwise = has(&self.warn, event) || has(&self.silence, event);
        let kind_otherwise = by_kind(&self.warn) || by_kind(&self.silence);
        let is_wrong = self.everything
            || has(&self.error, event) && !named_otherwise
            || (by_kind(&self.error) || self.all) && !named_otherwise && !kind_otherwise;
        if is_wrong {
            return Verdict::Wrong;
        }
        let named_here = has(&self.error, event) || has(&self.warn, event);
        match has(&self.silence, event) || by_kind(&self.silence) && !named_here {
            true => Verdict::Silent,
            false => Verdict::Told,
        }
    }

    /// Whether a warning is to be told.
    ///
    /// Errors: it is an error.
    pub fn told(&self, warning: &Warning) -> Result<bool> {
        match self.verdict(warning.event) {
            Verdict::Told => Ok(true),
            Verdict::Silent => Ok(false),
            Verdict::Wrong => {
                Err(ModelsError::from(Problem::new(ProblemKind::Warned, warning.text.clone()).hint(format!(
                    "it is the warning {}, made an error by --warn-error or warn_error_options",
                    warning.event.unwrap_or_default()
                ))))
            }
        }
    }

    /// As results have it.
    pub fn json(&self) -> Json {
        let error = if self.all { json!("all") } else { json!(self.error) };
        json!({"error": error, "warn": self.warn, "silence": self.silence})
    }
}

fn wrong(message: String) -> Problem {
    Problem::new(ProblemKind::Configuration, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: Json) -> Result<WarnErrors> {
        WarnErrors::read(json.as_object().unwrap())
    }

    #[test]
    fn what_is_named_counts_more_than_what_is_meant_with_others() {
        use Verdict::{Silent, Told, Wrong};
        let test = Some("LogTestResult");
        let old = Some("MetricAttributesRenamed");
        for (options, of_test, of_deprecation) in [
            (json!({}), Told, Told),
            (json!({"error": "all"}), Wrong, Wrong),
            (json!({"error": "*", "warn": ["LogTestResult"]}), Told, Wrong),
            (json!({"error": "all", "silence": ["LogTestResult"]}), Silent, Wrong),
            (json!({"error": "all", "warn": ["Deprecations"]}), Wrong, Told),
            (json!({"error": ["Deprecations"]}), Told, Wrong),
            (json!({"error": ["MetricAttributesRenamed"], "silence": ["Deprecations"]}), Told, Wrong),
            (json!({"silence": ["Deprecations"], "warn": ["MetricAttributesRenamed"]}), Told, Told),
            (json!({"include": ["LogTestResult"], "exclude": null}), Wrong, Told),
        ] {
            let read = of(options.clone()).unwrap();
            assert_eq!((read.verdict(test), read.verdict(old)), (of_test, of_deprecation), "{options}");
        }
        assert_eq!(WarnErrors::everything().verdict(test), Wrong);
        assert_eq!(WarnErrors::everything().verdict(None), Told);
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for (options, words) in [
            (json!({"error": ["LogTestResults"]}), "did you mean `LogTestResult`?"),
            (json!({"errors": "all"}), "no part"),
            (json!({"warn": ["LogTestResult"]}), "takes something back"),
            (json!({"error": "some"}), "list of names"),
            (json!({"error": ["LogTestResult"], "include": ["NothingToDo"]}), "old name"),
        ] {
            assert!(of(options.clone()).unwrap_err().describe().contains(words), "{options}");
        }
    }
}
