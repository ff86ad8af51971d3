//! A microbatch model in a run: batch by batch, each in a transaction of its own. One that fails leaves its rows as they were, and the others are built.

use serde_json::Value as Json;

use super::{
    batches::{Batch, Batches, Settings, Span},
    build,
    compile::{self, SharedConnection},
    run::{Outcome, Run, Status},
};
use crate::{
    error::{ModelsError, Result},
    parse::{names, node::Node},
};

impl Run<'_> {
    /// Builds a model's batches, and notes in the outcome what became of them.
    ///
    /// Errors: a file can't be written. What goes wrong with a batch is in the outcome.
    pub(super) fn batches(
        &self,
        node: &Node,
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
            Ok((settings, spans))
        });
        let (settings, spans) = match planned {
            Ok(planned) => planned,
            Err(problem) => {
                outcome.status = Status::Error;
                outcome.message = Some(ModelsError::from(problem.around(names::describe(node))).describe());
                return Ok(());
            }
        };
        let mut batches = Batches::default();
        let mut wrong: Vec<String> = Vec::new();
        let total = spans.len();
        let mut stopped = false;
        for (index, span) in spans.iter().enumerate() {
            if stopped || self.warehouse.is_cancelled() {
                batches.failed.push(*span);
                continue;
            }
            let batch =
                Batch { span: *span, label: settings.size.label(span[0]), adds: index > 0 || !is_new };
            let label = batch.label.clone();
            self.observer.batch_started(index + 1, total, node, &label);
            let begun = names::now();
            let done = self.batch(&one(node, batch, [index == 0, index + 1 == total]), connection);
            let failed = match done {
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
            self.observer.batch_finished(
                index + 1,
                total,
                node,
                &label,
                names::now() - begun,
                failed.as_deref(),
            );
            match failed {
                None => batches.successful.push(*span),
                Some(message) => {
                    wrong.push(format!("batch {label}: {message}"));
                    batches.failed.push(*span);
                    // Without the first one there may be no table to add the others to.
                    stopped = index == 0;
                }
            }
        }
        settle(outcome, batches, before.map(|before| before.successful.as_slice()), wrong);
        Ok(())
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
