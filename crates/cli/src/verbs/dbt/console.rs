//! What a person sees of a run: the lines that they know from dbt, on standard output.

use std::sync::OnceLock;

use millstream_models::{
    artifacts,
    context::base::{Said, Saying},
    engine::{
        batches,
        freshness::Checked,
        run::{output_path, Observer, Outcome, Status, CANCELLED, FAILED_FAST},
    },
    parse::{
        node::{Node, Resource},
        Manifest,
    },
};
use serde_json::{json, Value};

use super::{
    cancel,
    events::{self, Level},
    warnings,
};
use crate::{
    args::{Global, IgnoredFlags},
    output::{LogFormat, Output, Style},
};

/// How wide a line is before what became of the node: with the time before it and `[PASS in 12.34s]` behind it, it fits into 100 columns.
const WIDTH: usize = 68;

/// What dbt says of a run that was ended from outside.
const INTERRUPTED: &str = "Exited because of keyboard interrupt";

/// Prints lines, with the time of day in UTC, or as JSON.
pub(super) struct Console<'o> {
    output: &'o Output,
    /// What matters less is not told.
    least: Level,
    json: bool,
    /// Whether each node has lines of its own as it begins and ends.
    rows: bool,
    /// The target's database, once that is known.
    database: OnceLock<String>,
    /// The directory of what is written, as lines name it.
    written: OnceLock<String>,
}

impl<'o> Console<'o> {
    pub(super) fn new(global: &Global, flags: &IgnoredFlags, output: &'o Output, rows: bool) -> Self {
        let json = global.log_format == LogFormat::Json;
        let said = flags.log_level.as_deref().and_then(Level::of_name);
        let least = match said {
            _ if global.quiet => Level::Error,
            _ if flags.debug => Level::Debug,
            Some(level) => level,
            None => Level::Info,
        };
        Console { output, least, json, rows, database: OnceLock::new(), written: OnceLock::new() }
    }

    /// The database that needs not be told.
    fn database(&self) -> &str {
        self.database.get().map_or("", String::as_str)
    }

    pub(super) fn say(&self, text: &str) {
        self.event(
            Level::Info,
            if text.is_empty() { "Formatting" } else { "Note" },
            text,
            json!({"msg": text}),
        );
    }

    /// Tells something: as an event to programs, in a line to people, who are told nothing of what is only for programs.
    pub(super) fn event(&self, level: Level, name: &str, text: &str, data: Value) {
        if level < self.least {
            return;
        }
        if self.json {
            events::print(self.output, level, name, text, data);
        } else if level > Level::Debug {
            self.line(text);
        }
    }

    /// A line for people, with the time of day before it.
    fn line(&self, text: &str) {
        let moment = artifacts::seconds(super::seconds());
        // The time of day of `2026-01-31T10:20:30.5Z`.
        let clock = &moment[11..19];
        // Where nobody reads any more, the run goes on all the same.
        let _ = self.output.line(format!("{clock}  {text}").trim_end());
    }

    /// `Found 5 models, 20 data tests, 3 seeds`.
    pub(super) fn found(&self, manifest: &Manifest) {
        let count = |wanted: Resource| manifest.all().filter(|node| node.resource == wanted).count();
        let kinds = [
            (Resource::Model, "model"),
            (Resource::Operation, "operation"),
            (Resource::Seed, "seed"),
            (Resource::Snapshot, "snapshot"),
            (Resource::Test, "data test"),
            (Resource::Source, "source"),
            (Resource::Exposure, "exposure"),
            (Resource::Analysis, "analysis"),
            (Resource::UnitTest, "unit test"),
        ];
        let mut parts: Vec<String> = kinds
            .iter()
            .map(|(kind, name)| (count(*kind), *name))
            .filter(|(count, _)| *count > 0)
            .map(|(count, name)| plural(count, name))
            .collect();
        parts.push(plural(manifest.world.macros.all.len(), "macro"));
        let line = parts.join(", ");
        self.event(Level::Info, "FoundStats", &format!("Found {line}"), json!({"stat_line": line}));
        self.say("");
    }

    /// `Concurrency: 2 threads (target='dev')`.
    pub(super) fn concurrency(&self, manifest: &Manifest, nodes: usize) {
        self.database.get_or_init(|| manifest.world.project.target.database.clone());
        self.written.get_or_init(|| manifest.world.project.target_name().to_owned());
        let target = &manifest.world.project.target;
        let text = format!("Concurrency: {} (target='{}')", plural(target.threads, "thread"), target.name);
        let data = json!({"num_threads": target.threads, "target_name": target.name, "node_count": nodes});
        self.event(Level::Info, "ConcurrencyLine", &text, data);
        self.say("");
    }

    /// Prints the SQL of the node that was named.
    pub(super) fn compiled(&self, manifest: &Manifest, outcomes: &[Outcome], select: &[String]) {
        for outcome in outcomes {
            let Some(node) = manifest.nodes.get(&outcome.unique_id) else { continue };
            if let Some(compiled) = outcome.compiled.as_ref().filter(|_| select.first() == Some(&node.name)) {
                let text = format!("Compiled node '{}' is:\n{}", node.name, compiled.sql);
                let data = json!({
                    "node_name": node.name, "compiled": compiled.sql, "is_inline": false,
                    "output_format": "text", "unique_id": node.unique_id,
                });
                self.event(Level::Info, "CompiledNode", &text, data);
            }
            self.problem(node, outcome);
        }
    }

    /// Sums up.
    pub(super) fn finished(&self, manifest: &Manifest, outcomes: &[Outcome], elapsed: f64) {
        self.say("");
        let mut kinds: Vec<(String, usize)> = Vec::new();
        for outcome in outcomes {
            let Some(node) = manifest.nodes.get(&outcome.unique_id) else { continue };
            let kind = match node.resource {
                Resource::Model => format!("{} model", node.materialized()),
                Resource::Test => "data test".into(),
                Resource::UnitTest => "unit test".into(),
                other => other.name().into(),
            };
            match kinds.iter_mut().find(|(known, _)| *known == kind) {
                Some((_, count)) => *count += 1,
                None => kinds.push((kind, 1)),
            }
        }
        kinds.sort();
        let kinds: Vec<String> = kinds.iter().map(|(kind, count)| plural(*count, kind)).collect();
        let whole = elapsed as u64;
        let kinds = kinds.join(", ");
        let took = format!(
            " in {} hours {} minutes and {:.2} seconds",
            whole / 3600,
            whole / 60 % 60,
            elapsed % 60.0
        );
        let text = format!("Finished running {kinds}{took} ({elapsed:.2}s).");
        let data = json!({"stat_line": kinds, "execution": took, "execution_time": elapsed});
        self.event(Level::Info, "FinishedRunningStats", &text, data);
        let count =
            |status: &[Status]| outcomes.iter().filter(|outcome| status.contains(&outcome.status)).count();
        let errors = count(&[Status::Error, Status::Fail]);
        // What was left because of another's failure is no success.
        let is_left = |outcome: &&Outcome| {
            let is_exposure = manifest.exposures.contains_key(&outcome.unique_id);
            outcome.message.as_deref() == Some(FAILED_FAST) && !is_exposure
        };
        let unsuccessful = errors + outcomes.iter().filter(is_left).count();
        let warnings = count(&[Status::Warn]);
        self.say("");
        let partial = count(&[Status::PartialSuccess]);
        let cancelled = cancel::is_cancelled();
        let (style, text) = if cancelled {
            (Style::Warning, INTERRUPTED.to_owned())
        } else if unsuccessful == 0 && partial == 0 && warnings == 0 {
            (Style::Good, "Completed successfully".to_owned())
        } else {
            let successes = if partial == 1 { "success" } else { "successes" };
            let text = format!(
                "Completed with {}, {partial} partial {successes}, and {}:",
                plural(unsuccessful, "error"),
                plural(warnings, "warning")
            );
            (if errors > 0 { Style::Error } else { Style::Warning }, text)
        };
        let data = json!({
            "num_errors": unsuccessful, "num_warnings": warnings, "num_partial_success": partial, "keyboard_interrupt": cancelled,
        });
        self.event(Level::Info, "EndOfRunSummary", &self.painted(Some(style), &text), data);
        let is_about = |outcome: &&Outcome| !cancelled || outcome.message.as_deref() != Some(CANCELLED);
        for outcome in outcomes.iter().filter(is_about) {
            if let Some(node) = manifest.nodes.get(&outcome.unique_id) {
                self.problem(node, outcome);
            }
        }
        self.say("");
        let passed = count(&[Status::Success, Status::Pass]);
        let (errors, skipped, no_op) = (errors + partial, count(&[Status::Skipped]), count(&[Status::NoOp]));
        let total = outcomes.len();
        let text = format!(
            "Done. PASS={passed} WARN={warnings} ERROR={errors} SKIP={skipped} NO-OP={no_op} TOTAL={total}"
        );
        let stats = json!({
            "pass": passed, "warn": warnings, "error": errors, "skip": skipped, "noop": no_op, "total": total,
        });
        self.event(Level::Info, "StatsLine", &text, json!({"stats": stats}));
    }

    /// Says that it was ended from outside, where there is nothing to sum up.
    pub(super) fn interrupted(&self) {
        let data = json!({
            "num_errors": 0, "num_warnings": 0, "num_partial_success": 0, "keyboard_interrupt": true,
        });
        self.event(Level::Info, "EndOfRunSummary", &self.painted(Some(Style::Warning), INTERRUPTED), data);
    }

    /// What went wrong with a node. It is told to the quiet too.
    fn problem(&self, node: &Node, outcome: &Outcome) {
        let what = match outcome.status {
            Status::Error => "Error",
            Status::Fail => "Failure",
            Status::Warn => "Warning",
            Status::PartialSuccess => "Partial success",
            Status::Skipped if outcome.message.as_deref() == Some(FAILED_FAST) => {
                let data = json!({"msg": FAILED_FAST});
                return self.event(Level::Debug, "RunResultError", &format!("  {FAILED_FAST}"), data);
            }
            _ => return,
        };
        let warns = outcome.status == Status::Warn;
        let level = if warns { Level::Warn } else { Level::Error };
        let info = || events::node_info(node, "None", [None; 2]);
        self.event(level, "Formatting", "", json!({"msg": ""}));
        let head = format!("{what} in {} {} ({})", node.resource.name(), node.name, node.original_path);
        let head = self.painted(style(outcome.status), &head);
        let data = json!({
            "node_name": node.name, "path": node.original_path, "resource_type": node.resource.name(), "node_info": info(),
        });
        self.event(level, if warns { "RunResultWarning" } else { "RunResultFailure" }, &head, data);
        let message = outcome.message.as_deref().unwrap_or_default();
        let name = if warns { "RunResultWarningMessage" } else { "RunResultError" };
        self.lines(level, name, message, json!({"msg": message, "node_info": info()}));
        let is_written = !matches!(node.resource, Resource::Seed | Resource::Snapshot);
        if outcome.compiled.is_some() && is_written {
            self.event(Level::Info, "Formatting", "", json!({"msg": ""}));
            let target = self.written.get().map_or("target", String::as_str);
            let path = format!("{target}/{}", output_path("compiled", node));
            let text = format!("  compiled code at {path}");
            self.event(Level::Info, "SQLCompiledPath", &text, json!({"path": path, "node_info": info()}));
        }
    }

    /// Something of several lines: one event, and a line each for people.
    fn lines(&self, level: Level, name: &str, text: &str, data: Value) {
        if self.json {
            return self.event(level, name, text, data);
        }
        for line in text.lines() {
            self.event(level, name, &format!("  {line}"), Value::Null);
        }
    }

    /// Something that is no node failed. It is told to the quiet too.
    pub(super) fn failed(&self, head: &str, message: &str) {
        let head = self.painted(Some(Style::Error), head);
        self.event(Level::Error, "MainEncounteredError", &head, json!({"exc": message}));
        self.lines(Level::Error, "MainEncounteredError", message, json!({"exc": message}));
    }

    /// How a line of a node looks.
    fn row(&self, text: &str, style: Option<Style>, status: &str) -> String {
        format!("{text:.<WIDTH$} [{}]", self.painted(style, status))
    }

    /// What an event has beyond its text: made only where programs are told.
    fn data(&self, make: impl FnOnce() -> Value) -> Value {
        if self.json {
            make()
        } else {
            Value::Null
        }
    }

    /// Tells what people are not told.
    fn only_for_programs(&self, name: &str, make: impl FnOnce() -> (String, Value)) {
        if self.json && self.least == Level::Debug {
            let (text, data) = make();
            self.event(Level::Debug, name, &text, data);
        }
    }

    /// Colors are for terminals, and JSON is none of them.
    pub(super) fn painted(&self, style: Option<Style>, text: &str) -> String {
        match style.filter(|_| !self.json) {
            Some(style) => self.output.paint_data(style, text),
            None => text.to_owned(),
        }
    }
}

fn style(status: Status) -> Option<Style> {
    match status {
        Status::Success | Status::Pass => Some(Style::Good),
        Status::Warn | Status::Skipped | Status::PartialSuccess => Some(Style::Warning),
        Status::Fail | Status::Error => Some(Style::Error),
        Status::NoOp => None,
    }
}

/// A message without what follows of it.
fn first_line(message: &str) -> &str {
    message.lines().next().unwrap_or_default()
}

fn plural(count: usize, name: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    match name {
        "analysis" if count != 1 => format!("{count} analyses"),
        _ => format!("{count} {name}{s}"),
    }
}

/// Where a node is: in the database too, where that is not the target's.
fn placed(node: &Node, default: &str) -> String {
    match node.database == default {
        true => format!("{}.{}", node.schema, node.alias),
        false => format!("{}.{}.{}", node.database, node.schema, node.alias),
    }
}

fn described(node: &Node, default: &str) -> String {
    match node.resource {
        Resource::Model if batches::is_batched(node) => {
            format!("sql microbatch model {}", placed(node, default))
        }
        Resource::Model => format!("sql {} model {}", node.materialized(), placed(node, default)),
        Resource::Seed => format!("seed file {}", placed(node, default)),
        Resource::Snapshot => format!("snapshot {}", placed(node, default)),
        // `unit_test.package.model.name`: of a model, the tests may have one name.
        Resource::UnitTest => node.unique_id.splitn(3, '.').last().unwrap_or_default().replacen('.', "::", 1),
        Resource::Source => {
            format!(
                "freshness of {}.{}",
                artifacts::source(node)["source_name"].as_str().unwrap_or_default(),
                node.name
            )
        }
        _ => node.name.clone(),
    }
}

/// The event that tells what became of a node of a kind, and how much that matters.
fn result_event(node: &Node, outcome: &Outcome) -> (Level, &'static str) {
    let level = match outcome.status {
        Status::Error | Status::Fail | Status::PartialSuccess => Level::Error,
        Status::Warn => Level::Warn,
        _ => Level::Info,
    };
    let name = match node.resource {
        _ if outcome.status == Status::Skipped => "SkippingDetails",
        Resource::Test | Resource::UnitTest => "LogTestResult",
        Resource::Seed => "LogSeedResult",
        Resource::Snapshot => "LogSnapshotResult",
        _ => "LogModelResult",
    };
    (level, name)
}

impl Observer for Console<'_> {
    fn started(&self, index: usize, total: usize, node: &Node) {
        let kind = match node.resource {
            Resource::Test => "test ",
            Resource::UnitTest => "unit_test ",
            _ => "",
        };
        let begun = Some(super::seconds());
        let info = || events::node_info(node, "started", [begun, None]);
        self.only_for_programs("NodeStart", || {
            (format!("Began running node {}", node.unique_id), json!({"node_info": info()}))
        });
        if self.rows {
            let what = described(node, self.database());
            let text = self.row(&format!("{index} of {total} START {kind}{what} "), None, "RUN");
            let data = self.data(|| json!({"description": format!("{kind}{what}"), "index": index, "total": total, "node_info": info()}));
            self.event(Level::Info, "LogStartLine", &text, data);
        }
    }

    fn finished(&self, index: usize, total: usize, node: &Node, outcome: &Outcome) {
        let info = || {
            let status = outcome.status.name();
            let ended = Some(outcome.times[2]).filter(|_| outcome.status != Status::Skipped);
            events::node_info(node, status, [Some(outcome.times[0]), ended])
        };
        if outcome.status == Status::Skipped {
            self.only_for_programs("NodeStart", || {
                let info = events::node_info(node, "started", [Some(outcome.times[0]), None]);
                (format!("Began running node {}", node.unique_id), json!({"node_info": info}))
            });
        }
        if self.rows {
            let (level, name) = result_event(node, outcome);
            let data = self.data(|| {
                let message = outcome.message.as_deref().unwrap_or_default();
                let status = outcome.status.name();
                let mut data = json!({
                    "index": index, "total": total, "status": status, "node_info": info(),
                    "execution_time": outcome.times[2] - outcome.times[0], "description": described(node, self.database()),
                });
                if let Value::Object(data) = &mut data {
                    // What dbt doesn't tell of these.
                    let leaves_out: &[&str] = match name {
                        "LogTestResult" => &["total", "description"],
                        "SkippingDetails" => &["status", "execution_time", "description"],
                        _ => &[],
                    };
                    data.retain(|key, _| !leaves_out.contains(&key.as_str()));
                }
                let more = match name {
                    "LogTestResult" => json!({
                        "name": node.name, "num_models": total, "num_failures": outcome.failures.unwrap_or_default(),
                        "attached_node": node.test.as_ref().and_then(|test| test.attached.clone()).unwrap_or_default(),
                    }),
                    "LogSeedResult" => json!({"relation": node.alias, "schema": node.schema, "result_message": message}),
                    "LogSnapshotResult" => json!({"result_message": message, "cfg": node.config}),
                    "SkippingDetails" => json!({
                        "resource_type": node.resource.name(), "schema": node.schema, "node_name": node.name,
                    }),
                    _ if outcome.status == Status::Success => json!({"status": message}),
                    _ => json!({}),
                };
                if let (Value::Object(data), Value::Object(more)) = (&mut data, more) {
                    data.extend(more);
                }
                data
            });
            let (text, status) = told(node, self.database(), outcome);
            let text = self.row(&format!("{index} of {total} {text} "), style(outcome.status), &status);
            self.event(level, name, &text, data);
        }
        self.only_for_programs("NodeFinished", || {
            let data = json!({"node_info": info(), "run_result": events::run_result(outcome)});
            (format!("Finished running node {}", node.unique_id), data)
        });
    }

    fn cancelled(&self, node: &Node) {
        let text = self.row(&format!("CANCEL query {} ", node.unique_id), Some(Style::Error), "CANCEL");
        self.event(Level::Error, "LogCancelLine", &text, json!({"conn_name": node.unique_id}));
    }

    fn failed_fast(&self, node: &Node, outcome: &Outcome) {
        if self.rows {
            self.problem(node, outcome);
        }
    }

    fn batch_started(&self, index: usize, total: usize, node: &Node, label: &str) {
        if !self.rows {
            return;
        }
        let text =
            format!("Batch {index} of {total} START batch {label} of {} ", placed(node, self.database()));
        let data = self.data(|| {
            json!({
                "description": format!("batch {label} of {}", placed(node, self.database())), "batch_index": index,
                "total_batches": total, "node_info": events::node_info(node, "executing", [None; 2]),
            })
        });
        self.event(Level::Info, "LogStartBatch", &self.row(&text, None, "RUN"), data);
    }

    fn batch_finished(
        &self,
        index: usize,
        total: usize,
        node: &Node,
        label: &str,
        seconds: f64,
        wrong: Option<&str>,
    ) {
        if !self.rows {
            return;
        }
        let (text, style, status, level) = match wrong {
            None => ("OK created", Style::Good, "OK", Level::Info),
            Some(_) => ("ERROR creating", Style::Error, "ERROR", Level::Error),
        };
        let text =
            format!("Batch {index} of {total} {text} batch {label} of {} ", placed(node, self.database()));
        let data = self.data(|| {
            json!({
                "description": format!("batch {label} of {}", placed(node, self.database())),
                "status": if wrong.is_some() { "error" } else { "success" }, "batch_index": index,
                "total_batches": total, "execution_time": seconds,
                "node_info": events::node_info(node, "executing", [None; 2]),
            })
        });
        let text = self.row(&text, Some(style), &format!("{status} in {seconds:.2}s"));
        self.event(level, "LogBatchResult", &text, data);
    }

    fn said(&self, said: &Said) {
        let data = || json!({"msg": said.text});
        match said.saying {
            // As it is, and to the quiet too: whoever prints makes something of his own.
            Saying::Printed if self.json => {
                events::print(self.output, Level::Info, "PrintEvent", &said.text, data());
            }
            Saying::Printed => drop(self.output.line(&said.text)),
            Saying::Logged => self.event(Level::Info, "JinjaLogInfo", &said.text, data()),
            Saying::Warned(event) => {
                if warnings::is_news(event) {
                    let head = self.painted(Some(Style::Warning), "warning:");
                    let text = if self.json { said.text.clone() } else { format!("{head} {}", said.text) };
                    self.event(Level::Warn, event.unwrap_or("Note"), &text, data());
                }
            }
        }
    }

    fn checked(&self, index: usize, total: usize, node: &Node, checked: &Checked) {
        let (word, style, level) = match checked.status() {
            "pass" => ("PASS", Style::Good, Level::Info),
            "warn" => ("WARN", Style::Warning, Level::Warn),
            "error" => ("ERROR STALE", Style::Error, Level::Error),
            _ => ("ERROR", Style::Error, Level::Error),
        };
        let took = checked.times[2] - checked.times[0];
        let status = format!("{word} in {took:.2}s");
        let text = self.row(
            &format!("{index} of {total} {word} {} ", described(node, self.database())),
            Some(style),
            &status,
        );
        let data = self.data(|| {
            let times = [Some(checked.times[0]), Some(checked.times[2])];
            json!({
                "status": checked.status(), "index": index, "total": total, "execution_time": took,
                "source_name": artifacts::source(node)["source_name"], "table_name": node.name,
                "node_info": events::node_info(node, checked.status(), times),
            })
        });
        self.event(level, "LogFreshnessResult", &text, data);
    }
}

/// What a line says of a node that is done, before and within its brackets.
fn told(node: &Node, default: &str, outcome: &Outcome) -> (String, String) {
    let took = outcome.times[2] - outcome.times[0];
    let what = described(node, default);
    // dbt tells no database of these.
    let seed = format!("seed file {}.{}", node.schema, node.alias);
    let count = outcome.failures.unwrap_or_default();
    let message = outcome.message.as_deref().unwrap_or("OK");
    match (outcome.status, node.resource) {
        (Status::Success, Resource::Model) => {
            (format!("OK created {what}"), format!("{message} in {took:.2}s"))
        }
        (Status::Success, Resource::Seed) => {
            (format!("OK loaded {seed}"), format!("{message} in {took:.2}s"))
        }
        (Status::Success, Resource::Snapshot) => {
            (format!("OK snapshotted {}", placed(node, default)), format!("{message} in {took:.2}s"))
        }
        (Status::Success, _) => (format!("OK {what}"), format!("OK in {took:.2}s")),
        (Status::Pass, _) => (format!("PASS {what}"), format!("PASS in {took:.2}s")),
        (Status::Warn, _) => (format!("WARN {count} {what}"), format!("WARN {count} in {took:.2}s")),
        (Status::Fail, _) => (format!("FAIL {count} {what}"), format!("FAIL {count} in {took:.2}s")),
        (Status::Error, Resource::Model) => {
            (format!("ERROR creating {what}"), format!("ERROR in {took:.2}s"))
        }
        (Status::Error, Resource::Seed) => (format!("ERROR loading {seed}"), format!("ERROR in {took:.2}s")),
        (Status::Error, _) => (format!("ERROR {what}"), format!("ERROR in {took:.2}s")),
        (Status::PartialSuccess, _) => {
            (format!("PARTIALLY created {what}"), format!("{} in {took:.2}s", first_line(message)))
        }
        (Status::NoOp, _) => (format!("NO-OP {what}"), "NO-OP".into()),
        (Status::Skipped, Resource::Test | Resource::UnitTest) => {
            (format!("SKIP test {what}"), "SKIP".into())
        }
        (Status::Skipped, _) => (format!("SKIP relation {}.{}", node.schema, node.alias), "SKIP".into()),
    }
}
