//! What `up` builds by itself, once everything is loaded: what is not there yet, and what stands behind it.

use std::{
    cell::OnceCell,
    sync::{
        atomic::{AtomicUsize, Ordering},
        Arc,
    },
    thread::{self, JoinHandle},
};

use millstream_models::{
    context::base::Said,
    engine::{
        live::Shared,
        run::{Observer, Outcome as NodeOutcome, Run, Status, Work},
    },
    parse::{node::Node, Manifest},
    select::{Graph, Ids},
};
use serde_json::Map;

use super::{finish, is_built, seconds, Call};
use crate::{
    args::{DbtFlags, Global},
    config::Project,
    failure::{Doing, Failure},
    output::Output,
};

/// A build on its way, in a thread of its own. Its statements go through the instance's socket: once that is closed, they end.
pub(crate) struct FirstBuild {
    thread: JoinHandle<Result<(), Failure>>,
}

impl FirstBuild {
    /// Begins, where the project's models are a dbt project.
    pub(crate) fn start(project: &Project, output: &Output) -> Result<Option<Self>, std::io::Error> {
        if !project.models.is_dbt() {
            return Ok(None);
        }
        let (project, output) = (project.clone(), *output);
        let build = move || build(project, &output).doing("building the models that are not there yet");
        Ok(Some(FirstBuild { thread: thread::Builder::new().name("models".into()).spawn(build)? }))
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for its end. What failed of single models was told by then.
    pub(crate) fn end(self) -> Result<(), Failure> {
        match self.thread.join() {
            Ok(ended) => ended,
            Err(panicked) => std::panic::resume_unwind(panicked),
        }
    }
}

fn build(project: Project, output: &Output) -> Result<(), Failure> {
    let global = Global::default();
    let flags = DbtFlags { project_dir: Some(project.models.path.clone()), ..DbtFlags::default() };
    let (belongs_to, opened) = (Some(project), OnceCell::new());
    let call = Call {
        global: &global,
        output,
        which: "build",
        flags: &flags,
        belongs_to: &belongs_to,
        opened: &opened,
        again: None,
    };
    let began = seconds();
    let manifest = call.project()?;
    let warehouse = call.unwatched(&manifest.world.project)?;
    let graph = Graph::with_tests_first(&manifest);
    let relations = warehouse.connect()?.relations(&manifest.world.project.target.database)?;
    let is_there = |node: &Node| {
        relations.iter().any(|found| {
            found.schema.eq_ignore_ascii_case(&node.schema) && found.name.eq_ignore_ascii_case(&node.alias)
        })
    };
    let ids = missing(&manifest, &graph, is_there);
    if ids.is_empty() {
        return Ok(());
    }
    let told = Told { output, failed: AtomicUsize::new(0) };
    let run = Run {
        shared: Arc::new(Shared::new(manifest.clone(), ids.clone())?),
        warehouse: &*warehouse,
        graph: &graph,
        ids,
        work: Work::Build,
        fail_fast: false,
        observer: &told,
    };
    let outcomes = run.run()?;
    finish(&call, &manifest, Map::new(), &outcomes, began)?;
    let count = |kind: fn(&Node) -> bool| {
        let of = |outcome: &&NodeOutcome| manifest.get(&outcome.unique_id).is_some_and(kind);
        outcomes.iter().filter(of).filter(|outcome| !outcome.status.stops()).count()
    };
    let (built, passed) = (count(|node| !node.is_test()), count(Node::is_test));
    let failed = told.failed.load(Ordering::Relaxed);
    let failures = if failed > 0 { format!(", {failed} failed") } else { String::new() };
    output.tell(
        "models_built",
        &format!("models: {built} built, {passed} tests passed{failures} in {:.1} s", seconds() - began),
    );
    Ok(())
}

/// What is not there, what stands behind it, and its tests.
fn missing(manifest: &Manifest, graph: &Graph, is_there: impl Fn(&Node) -> bool) -> Ids {
    let is_run = |node: &Node| is_built(node.resource) && !node.is_ephemeral();
    let nodes = manifest.nodes.values().filter(|node| is_run(node) && !node.is_test());
    let missing: Ids = nodes.filter(|node| !is_there(node)).map(|node| node.unique_id.clone()).collect();
    let mut all = graph.children(&missing, None);
    all.extend(missing);
    all.retain(|id| manifest.get(id).is_some_and(is_run));
    all
}

/// Says what failed.
struct Told<'o> {
    output: &'o Output,
    failed: AtomicUsize,
}

impl Observer for Told<'_> {
    fn started(&self, _: usize, _: usize, _: &Node) {}

    fn finished(&self, _: usize, _: usize, node: &Node, outcome: &NodeOutcome) {
        let what = match outcome.status {
            Status::Error => "failed",
            Status::Fail => "found something",
            Status::Warn => "warns",
            _ => return,
        };
        if outcome.status != Status::Warn {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        let message = outcome.message.as_deref().unwrap_or_default();
        self.output.warn_of(
            "model_failed",
            &format!("{} {} ({}) {what}: {message}", node.resource.name(), node.name, node.original_path),
        );
    }

    fn said(&self, said: &Said) {
        self.output.note(&said.text);
    }
}
