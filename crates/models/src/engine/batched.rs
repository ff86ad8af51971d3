//! A microbatch model in a run: batch by batch, each in a transaction of its own. One that fails leaves its rows as they were, and the others are built.
//!
//! The first batch makes the table, and the last one has the hooks behind it: each is alone. Those between them are built beside each other by the threads that have nothing
//! else to do, where that is wanted and the warehouse can take it.

use std::{
    collections::BTreeMap,
    sync::{
        atomic::{AtomicUsize, Ordering},
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
    },
};

use serde_json::Value as Json;

use super::{
    batches::{Batch, Batches, Settings, Span},
    build,
    compile::{self, SharedConnection},
    pool::Pool,
    run::{Outcome, Run, Status, CANCELLED},
};
use crate::{
    error::{ModelsError, Result},
    jinja::{ast::ExprKind, walk},
    parse::{names, node::Node},
    project::Adapter,
};

/// What is said of a batch that a thread has left behind.
const BROKEN: &str = "the thread that built it broke off";

/// The batches of a model.
struct Plan {
    node: Node,
    settings: Settings,
    spans: Vec<Span>,
    is_new: bool,
}

impl Plan {
    /// The model as a batch sees it.
    fn batch(&self, index: usize) -> Node {
        let span = self.spans[index];
        let label = self.settings.size.label(span[0]);
        let batch = Batch { span, label, adds: index > 0 || !self.is_new };
        one(&self.node, batch, [index == 0, index + 1 == self.spans.len()])
    }
}

/// How a batch ended: what went wrong with it.
type Ended = Option<String>;

/// Batches of a model that any thread may build.
pub(super) struct Beside {
    plan: Plan,
    /// The next one that nobody has taken, and where they end.
    next: AtomicUsize,
    end: usize,
    done: Mutex<Done>,
    changed: Condvar,
}

#[derive(Default)]
struct Done {
    ended: BTreeMap<usize, Ended>,
    /// Why the run itself broke.
    broken: Option<ModelsError>,
}

impl Beside {
    /// Takes a batch, if one is left.
    pub(super) fn take(&self) -> Option<usize> {
        let taken = |next: usize| Some(next + 1).filter(|_| next < self.end);
        self.next.fetch_update(Ordering::AcqRel, Ordering::Acquire, taken).ok()
    }

    fn lock(&self) -> MutexGuard<'_, Done> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, at: usize, ended: Result<Ended>) {
        let mut done = self.lock();
        let ended = ended.unwrap_or_else(|error| {
            done.broken.get_or_insert(error);
            Some(BROKEN.to_owned())
        });
        done.ended.insert(at, ended);
        self.changed.notify_all();
    }
}

/// Tells that a batch has ended, however its thread goes on.
struct Taken<'b> {
    beside: &'b Beside,
    at: usize,
    ended: Option<Result<Ended>>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.beside.note(self.at, self.ended.take().unwrap_or_else(|| Ok(Some(BROKEN.to_owned()))));
    }
}

impl Run<'_> {
    /// Builds a model's batches, and notes in the outcome what became of them.
    ///
    /// Errors: a file can't be written. What goes wrong with a batch is in the outcome.
    pub(super) fn batches(
        &self,
        node: &Node,
        pool: &Pool,
        connection: &SharedConnection,
        outcome: &mut Outcome,
    ) -> Result<()> {
        let options = &self.shared.manifest.world.project.options;
        let before = options.batches.get(&node.unique_id);
        // What an earlier run has built stays.
        let is_new = before.is_none() && self.shared.is_built_anew(node);
        let planned = Settings::of(node, self.shared.dialect()).and_then(|settings| {
            let spans = match before {
                Some(before) => before.failed.clone(),
                None => settings.batches(options.event_time, is_new, options.batches_until_us)?,
            };
            Ok(Plan { node: node.clone(), settings, spans, is_new })
        });
        let plan = match planned {
            Ok(plan) => plan,
            Err(problem) => {
                outcome.status = Status::Error;
                outcome.message = Some(ModelsError::from(problem.around(names::describe(node))).describe());
                return Ok(());
            }
        };
        let total = plan.spans.len();
        let beside = Arc::new(Beside {
            plan,
            next: AtomicUsize::new(1),
            end: total.saturating_sub(1),
            done: Mutex::default(),
            changed: Condvar::new(),
        });
        let plan = &beside.plan;
        let mut ended: BTreeMap<usize, Ended> = BTreeMap::new();
        if total > 0 {
            ended.insert(0, self.one_batch(pool, plan, 0, connection)?);
        }
        // Without the first one there may be no table to add the others to.
        if ended.get(&0) == Some(&None) {
            let own = || {
                while let Some(at) = beside.take() {
                    self.note_batch(pool, &beside, at, connection);
                }
                let mut done = beside.lock();
                while done.ended.len() < beside.end.saturating_sub(1) {
                    done = beside.changed.wait(done).unwrap_or_else(PoisonError::into_inner);
                }
            };
            match self.are_beside_each_other(node) {
                true => pool.beside(&beside, own),
                false => own(),
            }
            let mut done = beside.lock();
            ended.append(&mut done.ended);
            if let Some(error) = done.broken.take() {
                return Err(error);
            }
            drop(done);
            if total > 1 {
                ended.insert(total - 1, self.one_batch(pool, plan, total - 1, connection)?);
            }
        }
        let mut batches = Batches::default();
        let mut wrong: Vec<String> = Vec::new();
        for (index, span) in plan.spans.iter().enumerate() {
            match ended.remove(&index) {
                Some(None) => batches.successful.push(*span),
                Some(Some(message)) => {
                    wrong.push(format!("batch {}: {message}", plan.settings.size.label(span[0])));
                    batches.failed.push(*span);
                }
                None => batches.failed.push(*span),
            }
        }
        settle(outcome, batches, before.map(|before| before.successful.as_slice()), wrong);
        Ok(())
    }

    /// Whether batches of a model may be built at the same time: as it says; where it says nothing, unless it reads what it has built. dbt's adapter for PostgreSQL never does.
    fn are_beside_each_other(&self, node: &Node) -> bool {
        self.shared.dialect() == Adapter::DuckDb
            && match node.config.get("concurrent_batches") {
                Some(Json::Bool(wanted)) => *wanted,
                _ => !reads_itself(node),
            }
    }

    /// Builds a batch for the thread that has the model. The connection is this thread's own, made where there is none yet.
    pub(super) fn batch_beside(
        &self,
        pool: &Pool,
        beside: &Beside,
        at: usize,
        connection: &mut Option<SharedConnection>,
    ) {
        let mut taken = Taken { beside, at, ended: None };
        taken.ended = Some(match connection {
            Some(connection) => self.one_batch(pool, &beside.plan, at, connection),
            None => self
                .connect_watched(pool)
                .and_then(|made| self.one_batch(pool, &beside.plan, at, connection.insert(made))),
        });
    }

    fn note_batch(&self, pool: &Pool, beside: &Beside, at: usize, connection: &SharedConnection) {
        let mut taken = Taken { beside, at, ended: None };
        taken.ended = Some(self.one_batch(pool, &beside.plan, at, connection));
    }

    fn one_batch(
        &self,
        pool: &Pool,
        plan: &Plan,
        index: usize,
        connection: &SharedConnection,
    ) -> Result<Ended> {
        if self.warehouse.is_cancelled() || pool.statements.is_given_up() {
            return Ok(Some(CANCELLED.to_owned()));
        }
        let node = plan.batch(index);
        let label = node.batch.as_ref().map(|batch| batch.label.clone()).unwrap_or_default();
        let (number, total) = (index + 1, plan.spans.len());
        self.observer.batch_started(number, total, &plan.node, &label);
        let begun = names::now();
        let ended = match self.batch(&node, connection) {
            Ok(()) => None,
            Err(error @ (ModelsError::Unreadable { .. } | ModelsError::Unwritable { .. })) => {
                return Err(error)
            }
            Err(error) => {
                // What was begun is undone: the rows from before stay.
                let _ = connection.borrow_mut().rollback();
                Some(error.describe())
            }
        };
        let took = names::now() - begun;
        self.observer.batch_finished(number, total, &plan.node, &label, took, ended.as_deref());
        Ok(ended)
    }

    fn batch(&self, node: &Node, connection: &SharedConnection) -> Result<()> {
        let compiled = compile::compile(&self.shared, node, Some(connection))?;
        self.write("compiled", node, &compiled.sql)?;
        let built = build::build(&self.shared, node, &compiled, connection)?;
        self.tell();
        if let Some(ran) = built.ran {
            self.write("run", node, &ran)?;
        }
        Ok(())
    }
}

/// Whether a model's template names `this`.
fn reads_itself(node: &Node) -> bool {
    let mut found = false;
    if let Some(template) = &node.template {
        walk::expressions(&template.body, &mut |expr| {
            found |= matches!(&expr.kind, ExprKind::Name(name) if **name == *"this");
        });
    }
    found
}

/// The model as one of its batches sees it. Hooks before are the first one's, hooks behind the last one's.
fn one(node: &Node, batch: Batch, [first, last]: [bool; 2]) -> Node {
    let mut one = node.clone();
    for (key, stays) in [("pre-hook", first), ("post-hook", last)] {
        if !stays {
            one.config.insert(key.to_owned(), Json::Array(Vec::new()));
        }
    }
    one.batch = Some(batch);
    one
}

/// What became of the model, by what became of its batches. `before` are those that an earlier run has built, where only what failed then is built now.
fn settle(outcome: &mut Outcome, mut batches: Batches, before: Option<&[Span]>, wrong: Vec<String>) {
    let (right, failed) = (batches.successful.len(), batches.failed.len());
    let (status, message) = match (right, failed) {
        (_, 0) => (Status::Success, "SUCCESS".to_owned()),
        (0, _) => (Status::Error, "ERROR".to_owned()),
        _ => (Status::PartialSuccess, format!("PARTIAL SUCCESS ({right}/{})", right + failed)),
    };
    outcome.status = status;
    outcome.message = Some(std::iter::once(message).chain(wrong).collect::<Vec<_>>().join("\n"));
    outcome.failures = Some(0);
    batches.successful.extend(before.into_iter().flatten());
    outcome.batches = Some(batches);
}
