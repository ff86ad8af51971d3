//! What a run tells a program: dbt's events by their names and fields, a JSON object a line (`--log-format json`).

use std::{
    process,
    sync::{
        atomic::{AtomicBool, Ordering},
        OnceLock,
    },
    thread,
};

use millstream_models::{artifacts, engine::run::Outcome, hash, parse::node::Node};
use serde_json::{json, Value};

use super::seconds;
use crate::output::Output;

/// How much something matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// For whoever looks for a fault, and for programs that follow each node.
    Debug,
    /// For everybody.
    Info,
    /// Something is odd.
    Warn,
    /// Something is wrong.
    Error,
    /// Nothing is told at all.
    None,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error | Level::None => "error",
        }
    }

    /// Of the name that flags have for it.
    pub(super) fn of_name(name: &str) -> Option<Self> {
        let all = [Level::Debug, Level::Info, Level::Warn, Level::Error];
        let found = all.into_iter().find(|level| level.name() == name);
        found.or((name == "none").then_some(Level::None))
    }
}

/// dbt's codes of the events that are told, by name.
const CODES: &[(&str, &str)] = &[
    ("MainReportVersion", "A001"),
    ("MainEncounteredError", "Z002"),
    ("FoundStats", "W006"),
    ("ConcurrencyLine", "Q027"),
    ("Formatting", "Z017"),
    ("Note", "Z050"),
    ("PrintEvent", "Z052"),
    ("JinjaLogInfo", "I062"),
    ("JinjaLogWarning", "I061"),
    ("PackageMaterializationOverrideDeprecation", "D016"),
    ("DuplicateYAMLKeysDeprecation", "D024"),
    ("NodeStart", "Q024"),
    ("NodeFinished", "Q025"),
    ("LogStartLine", "Q011"),
    ("LogModelResult", "Q012"),
    ("LogTestResult", "Q007"),
    ("LogSeedResult", "Q016"),
    ("LogSnapshotResult", "Q015"),
    ("LogFreshnessResult", "Q018"),
    ("LogStartBatch", "Q045"),
    ("LogBatchResult", "Q046"),
    ("SkippingDetails", "Q034"),
    ("CompiledNode", "Q042"),
    ("FinishedRunningStats", "E047"),
    ("EndOfRunSummary", "Z030"),
    ("RunResultFailure", "Z022"),
    ("RunResultWarning", "Z021"),
    ("RunResultError", "Z024"),
    ("RunResultWarningMessage", "Z046"),
    ("SQLCompiledPath", "Z026"),
    ("StatsLine", "Z023"),
    ("CommandCompleted", "Q039"),
    ("NoNodesForSelectionCriteria", "M030"),
    ("NothingToDo", "Q035"),
    ("NoNodesSelected", "Q038"),
    ("UnusedResourceConfigPath", "I051"),
    ("NoNodeForYamlKey", "I058"),
    ("NodeNotFoundOrDisabled", "I060"),
    ("DeprecatedModel", "I065"),
    ("UpcomingReferenceDeprecation", "I066"),
    ("DeprecatedReference", "I067"),
    ("UnsupportedConstraintMaterialization", "I068"),
    ("DepsUnpinned", "M029"),
    ("SnapshotTimestampWarning", "Q043"),
    ("DeprecationsSummary", "D028"),
    ("InvalidConcurrentBatchesConfig", "I075"),
    ("WrongResourceSchemaFile", "I057"),
    ("MacroNotFoundForPatch", "I059"),
    ("PackageNodeDependsOnRootProjectNode", "I077"),
    ("WarnStateTargetEqual", "I072"),
    ("MicrobatchModelNoEventTimeInputs", "I074"),
    ("FreshnessConfigProblem", "I073"),
    ("ConfigSourcePathDeprecation", "D003"),
    ("ConfigDataPathDeprecation", "D004"),
    ("ExposureNameDeprecation", "D007"),
    ("ConfigLogPathDeprecation", "D010"),
    ("ConfigTargetPathDeprecation", "D011"),
    ("CustomOutputPathInSourceFreshnessDeprecation", "D029"),
    ("PropertyMovedToConfigDeprecation", "D030"),
    ("WEOIncludeExcludeDeprecation", "D031"),
    ("ModelParamUsageDeprecation", "D032"),
    ("ModulesItertoolsUsageDeprecation", "D034"),
    ("EnvironmentVariableNamespaceDeprecation", "D036"),
    ("MissingArgumentsPropertyInGenericTestDeprecation", "D039"),
    ("DuplicateNameDistinctNodeTypesDeprecation", "D040"),
];

/// Whether a verb of dbt's tells events: what `up` builds by itself is told with the rest of what it does.
static ARE_TOLD: AtomicBool = AtomicBool::new(false);

/// From now on what is odd is told as an event, too.
pub(super) fn begin() {
    ARE_TOLD.store(true, Ordering::Relaxed);
}

/// Whether what is odd is told as an event.
pub(super) fn are_told() -> bool {
    ARE_TOLD.load(Ordering::Relaxed)
}

/// The number of this invocation, a UUID of chance. A process is one.
pub(super) fn invocation_id() -> &'static str {
    static ID: OnceLock<String> = OnceLock::new();
    ID.get_or_init(|| {
        let random = hash::md5(&format!("{} {}", seconds(), process::id()));
        let part = |from: usize, to: usize| random[from..to].to_owned();
        let parts = [
            part(0, 8),
            part(8, 12),
            format!("4{}", part(13, 16)),
            format!("8{}", part(17, 20)),
            part(20, 32),
        ];
        parts.join("-")
    })
}

/// dbt's code of an event.
pub(super) fn code(name: &str) -> &'static str {
    CODES.iter().find(|(known, _)| *known == name).map_or("", |(_, code)| code)
}

/// Prints an event.
pub(super) fn print(output: &Output, level: Level, name: &str, text: &str, data: Value) {
    let code = code(name);
    let current = thread::current();
    let thread = match current.name() {
        Some("main") | None => "MainThread",
        Some(name) => name,
    };
    let event = json!({
        "info": {
            "name": name,
            "code": code,
            "level": level.name(),
            "msg": text,
            "invocation_id": invocation_id(),
            "pid": process::id(),
            "thread": thread,
            "ts": artifacts::seconds(seconds()),
            "category": "",
            "extra": {},
        },
        "data": data,
    });
    // Where nobody reads any more, the run goes on all the same.
    let _ = output.line(&event.to_string());
}

/// What events tell of a node. Times are seconds since 1970; of what has not begun or ended there is none.
pub(super) fn node_info(node: &Node, status: &str, times: [Option<f64>; 2]) -> Value {
    let whole = node.to_json();
    // In UTC, without saying so.
    let [started, finished] = times.map(|at| at.map(artifacts::seconds).unwrap_or_default().replace('Z', ""));
    json!({
        "node_path": node.path,
        "node_name": node.name,
        "unique_id": node.unique_id,
        "resource_type": node.resource.name(),
        "materialized": node.config.get("materialized").and_then(Value::as_str).unwrap_or_default(),
        "node_status": status,
        "node_started_at": started,
        "node_finished_at": finished,
        "meta": node.config.get("meta").cloned().unwrap_or_else(|| json!({})),
        "node_relation": {
            "database": node.database,
            "schema": node.schema,
            "alias": node.alias,
            "relation_name": node.relation_name().unwrap_or_default(),
        },
        "node_checksum": whole["checksum"]["checksum"].as_str().unwrap_or_default(),
    })
}

/// What became of a node, as events tell it.
pub(super) fn run_result(outcome: &Outcome) -> Value {
    let [begun, compiled, done] = outcome.times;
    let step = |name: &str, from: f64, to: f64| json!({"name": name, "started_at": artifacts::seconds(from), "completed_at": artifacts::seconds(to)});
    let steps = match outcome.status.name() {
        "skipped" => json!([]),
        _ => json!([step("compile", begun, compiled), step("execute", compiled, done)]),
    };
    json!({
        "status": outcome.status.name(),
        "message": outcome.message.as_deref().unwrap_or_default(),
        "num_failures": outcome.failures.unwrap_or_default(),
        "adapter_response": outcome.response,
        "thread": format!("Thread-{} (worker)", outcome.thread),
        "execution_time": done - begun,
        "timing_info": steps,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invocation_has_one_number() {
        let id = invocation_id();
        assert_eq!((id.len(), id.matches('-').count()), (36, 4));
        assert_eq!(id, invocation_id());
    }

    #[test]
    fn levels_are_in_order_and_known_by_name() {
        assert!(Level::of_name("debug") < Level::of_name("none"));
        assert_eq!(Level::of_name("loud"), None);
    }
}
