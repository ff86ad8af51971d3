//! What a person sees of a run: the lines that they know from dbt, on standard output.

use millstream_models::{
    artifacts,
    context::base::{Said, Saying},
    engine::{
        batches,
        freshness::Checked,
        run::{output_path, Observer, Outcome, Status},
    },
    parse::{
        node::{Node, Resource},
        Manifest,
    },
};
use serde_json::json;

use crate::{
    args::Global,
    output::{LogFormat, Output, Style},
};

/// How wide a line is before what became of the node: with the time before it and `[PASS in 12.34s]` behind it, it fits into 100 columns.
const WIDTH: usize = 68;

/// Prints lines, with the time of day in UTC, or as JSON.
pub(super) struct Console<'o> {
    output: &'o Output,
    quiet: bool,
    json: bool,
    /// Whether each node has lines of its own as it begins and ends.
    rows: bool,
}

impl<'o> Console<'o> {
    pub(super) fn new(global: &Global, output: &'o Output, rows: bool) -> Self {
        Console { output, quiet: global.quiet, json: global.log_format == LogFormat::Json, rows }
    }

    pub(super) fn say(&self, text: &str) {
        if !self.quiet {
            self.print("info", text);
        }
    }

    fn print(&self, level: &str, text: &str) {
        let moment = artifacts::seconds(super::seconds());
        // The time of day of `2026-01-31T10:20:30.5Z`.
        let clock = &moment[11..19];
        // Where nobody reads any more, the run goes on all the same.
        let _ = if self.json {
            self.output.line(&json!({"info": {"level": level, "msg": text, "ts": moment}}).to_string())
        } else {
            self.output.line(format!("{clock}  {text}").trim_end())
        };
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
        self.say(&format!("Found {}", parts.join(", ")));
        self.say("");
    }

    /// `Concurrency: 2 threads (target='dev')`.
    pub(super) fn concurrency(&self, manifest: &Manifest) {
        let target = &manifest.world.project.target;
        self.say(&format!("Concurrency: {} (target='{}')", plural(target.threads, "thread"), target.name));
        self.say("");
    }

    /// Prints the SQL of the node that was named.
    pub(super) fn compiled(&self, manifest: &Manifest, outcomes: &[Outcome], select: &[String]) {
        for outcome in outcomes {
            let Some(node) = manifest.nodes.get(&outcome.unique_id) else { continue };
            if let Some(compiled) = outcome.compiled.as_ref().filter(|_| select.first() == Some(&node.name)) {
                self.say(&format!("Compiled node '{}' is:\n{}", node.name, compiled.sql));
            }
            self.problem(manifest, node, outcome);
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
        self.say(&format!(
            "Finished running {} in {} hours {} minutes and {:.2} seconds ({elapsed:.2}s).",
            kinds.join(", "),
            whole / 3600,
            whole / 60 % 60,
            elapsed % 60.0
        ));
        let count =
            |status: &[Status]| outcomes.iter().filter(|outcome| status.contains(&outcome.status)).count();
        let errors = count(&[Status::Error, Status::Fail]);
        let warnings = count(&[Status::Warn]);
        self.say("");
        let partial = count(&[Status::PartialSuccess]);
        if errors == 0 && partial == 0 && warnings == 0 {
            self.say(&self.painted(Some(Style::Good), "Completed successfully"));
        } else {
            let style = if errors > 0 { Style::Error } else { Style::Warning };
            let successes = if partial == 1 { "success" } else { "successes" };
            let text = format!(
                "Completed with {}, {partial} partial {successes}, and {}:",
                plural(errors, "error"),
                plural(warnings, "warning")
            );
            self.say(&self.painted(Some(style), &text));
        }
        for outcome in outcomes {
            if let Some(node) = manifest.nodes.get(&outcome.unique_id) {
                self.problem(manifest, node, outcome);
            }
        }
        self.say("");
        let passed = count(&[Status::Success, Status::Pass]);
        self.say(&format!(
            "Done. PASS={passed} WARN={warnings} ERROR={} SKIP={} NO-OP={} TOTAL={}",
            errors + partial,
            count(&[Status::Skipped]),
            count(&[Status::NoOp]),
            outcomes.len()
        ));
    }

    /// What went wrong with a node. It is told to the quiet too.
    fn problem(&self, manifest: &Manifest, node: &Node, outcome: &Outcome) {
        let what = match outcome.status {
            Status::Error => "Error",
            Status::Fail => "Failure",
            Status::Warn => "Warning",
            Status::PartialSuccess => "Partial success",
            _ => return,
        };
        let level = if outcome.status == Status::Warn { "warn" } else { "error" };
        self.print(level, "");
        let head = format!("{what} in {} {} ({})", node.resource.name(), node.name, node.original_path);
        self.told(level, style(outcome.status), &head, outcome.message.as_deref().unwrap_or_default());
        let is_written = !matches!(node.resource, Resource::Seed | Resource::Snapshot);
        if outcome.compiled.is_some() && is_written {
            self.print(level, "");
            let target = manifest.world.project.target_name();
            self.print(level, &format!("  compiled code at {target}/{}", output_path("compiled", node)));
        }
    }

    /// Something that is no node failed. It is told to the quiet too.
    pub(super) fn failed(&self, head: &str, message: &str) {
        self.told("error", Some(Style::Error), head, message);
    }

    fn told(&self, level: &str, style: Option<Style>, head: &str, message: &str) {
        self.print(level, &self.painted(style, head));
        for line in message.lines() {
            self.print(level, &format!("  {line}"));
        }
    }

    fn row(&self, index: usize, total: usize, text: &str, style: Option<Style>, status: &str) {
        self.dotted(&format!("{index} of {total} {text} "), style, status);
    }

    fn batch_row(&self, index: usize, total: usize, text: &str, style: Option<Style>, status: &str) {
        self.dotted(&format!("Batch {index} of {total} {text} "), style, status);
    }

    fn dotted(&self, text: &str, style: Option<Style>, status: &str) {
        if !self.rows {
            return;
        }
        self.say(&format!("{text:.<WIDTH$} [{}]", self.painted(style, status)));
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

fn described(node: &Node) -> String {
    match node.resource {
        Resource::Model if batches::is_batched(node) => {
            format!("sql microbatch model {}.{}", node.schema, node.alias)
        }
        Resource::Model => format!("sql {} model {}.{}", node.materialized(), node.schema, node.alias),
        Resource::Seed => format!("seed file {}.{}", node.schema, node.alias),
        Resource::Snapshot => format!("snapshot {}.{}", node.schema, node.alias),
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

impl Observer for Console<'_> {
    fn started(&self, index: usize, total: usize, node: &Node) {
        let kind = match node.resource {
            Resource::Test => "test ",
            Resource::UnitTest => "unit_test ",
            _ => "",
        };
        self.row(index, total, &format!("START {kind}{}", described(node)), None, "RUN");
    }

    fn finished(&self, index: usize, total: usize, node: &Node, outcome: &Outcome) {
        let took = outcome.times[2] - outcome.times[0];
        let what = described(node);
        let count = outcome.failures.unwrap_or_default();
        let message = outcome.message.as_deref().unwrap_or("OK");
        let (text, status) = match (outcome.status, node.resource) {
            (Status::Success, Resource::Model) => (format!("OK created {what}"), format!("OK in {took:.2}s")),
            (Status::Success, Resource::Seed) => {
                (format!("OK loaded {what}"), format!("{message} in {took:.2}s"))
            }
            (Status::Success, Resource::Snapshot) => {
                (format!("OK snapshotted {}.{}", node.schema, node.alias), format!("OK in {took:.2}s"))
            }
            (Status::Success, _) => (format!("OK {what}"), format!("OK in {took:.2}s")),
            (Status::Pass, _) => (format!("PASS {what}"), format!("PASS in {took:.2}s")),
            (Status::Warn, _) => (format!("WARN {count} {what}"), format!("WARN {count} in {took:.2}s")),
            (Status::Fail, _) => (format!("FAIL {count} {what}"), format!("FAIL {count} in {took:.2}s")),
            (Status::Error, Resource::Model) => {
                (format!("ERROR creating {what}"), format!("ERROR in {took:.2}s"))
            }
            (Status::Error, Resource::Seed) => {
                (format!("ERROR loading {what}"), format!("ERROR in {took:.2}s"))
            }
            (Status::Error, _) => (format!("ERROR {what}"), format!("ERROR in {took:.2}s")),
            (Status::PartialSuccess, _) => {
                (format!("PARTIALLY created {what}"), format!("{} in {took:.2}s", first_line(message)))
            }
            (Status::NoOp, _) => (format!("NO-OP {what}"), "NO-OP".into()),
            (Status::Skipped, Resource::Test | Resource::UnitTest) => {
                (format!("SKIP test {what}"), "SKIP".into())
            }
            (Status::Skipped, _) => (format!("SKIP relation {}.{}", node.schema, node.alias), "SKIP".into()),
        };
        self.row(index, total, &text, style(outcome.status), &status);
    }

    fn batch_started(&self, index: usize, total: usize, node: &Node, label: &str) {
        let text = format!("START batch {label} of {}.{}", node.schema, node.alias);
        self.batch_row(index, total, &text, None, "RUN");
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
        let (text, style, status) = match wrong {
            None => ("OK created", Style::Good, "OK"),
            Some(_) => ("ERROR creating", Style::Error, "ERROR"),
        };
        let text = format!("{text} batch {label} of {}.{}", node.schema, node.alias);
        self.batch_row(index, total, &text, Some(style), &format!("{status} in {seconds:.2}s"));
    }

    fn said(&self, said: &Said) {
        match said.saying {
            // As it is: whoever prints makes something of his own.
            Saying::Printed => drop(self.output.line(&said.text)),
            Saying::Logged => self.say(&said.text),
            Saying::Warned(_) => {
                let head = self.painted(Some(Style::Warning), "warning:");
                self.print("warn", &format!("{head} {}", said.text));
            }
        }
    }

    fn checked(&self, index: usize, total: usize, node: &Node, checked: &Checked) {
        let (word, style) = match checked.status() {
            "pass" => ("PASS", Style::Good),
            "warn" => ("WARN", Style::Warning),
            "error" => ("ERROR STALE", Style::Error),
            _ => ("ERROR", Style::Error),
        };
        let took = checked.times[2] - checked.times[0];
        let status = format!("{word} in {took:.2}s");
        self.row(index, total, &format!("{word} {}", described(node)), Some(style), &status);
    }
}
