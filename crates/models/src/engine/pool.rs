//! The threads of a run: nodes in the order of the graph, and batches of models beside each other; what fails keeps those behind it from running, and nothing else.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    panic::{self, AssertUnwindSafe},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use super::{
    batched::Beside,
    batches,
    compile::SharedConnection,
    run::{Outcome, Run, Work, STACK_BYTES},
};
use crate::error::{ModelsError, Result};

/// What the threads share.
#[derive(Default)]
pub(super) struct Pool {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: BTreeMap<String, usize>,
    ready: BTreeSet<String>,
    /// Batches that are built by whichever thread has nothing else to do.
    beside: Vec<Arc<Beside>>,
    /// Why a node is skipped: what it waited for.
    stopped: HashSet<String>,
    outcomes: Vec<Outcome>,
    begun: usize,
    running: usize,
    failed: bool,
    /// Whether nothing more is begun, because the run itself broke.
    over: bool,
    broken: Option<ModelsError>,
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets other threads build these batches too, while `own` builds some.
    pub(super) fn beside<T>(&self, beside: &Arc<Beside>, own: impl FnOnce() -> T) -> T {
        self.lock().beside.push(beside.clone());
        self.changed.notify_all();
        let done = own();
        self.lock().beside.retain(|other| !Arc::ptr_eq(other, beside));
        done
    }
}

/// What a thread does next.
enum Next {
    Node { id: String, index: usize, skip: bool },
    Batch(Arc<Beside>, usize),
}

impl Run<'_> {
    /// Does what is to be done with all nodes.
    ///
    /// Errors: those of the run itself.
    pub(super) fn nodes(&self) -> Result<Vec<Outcome>> {
        let waits = match self.work {
            // What is cloned is read where the other run has it.
            Work::Clone => self.ids.iter().map(|id| (id.clone(), Vec::new())).collect(),
            Work::Compile | Work::Build => self.graph.waits(&self.ids),
        };
        let mut followers: HashMap<&str, Vec<&str>> = HashMap::new();
        let mut state = State::default();
        for (id, before) in &waits {
            if before.is_empty() {
                state.ready.insert(id.clone());
            } else {
                state.waiting.insert(id.clone(), before.len());
            }
            for other in before {
                followers.entry(other).or_default().push(id);
            }
        }
        let pool = Pool { state: Mutex::new(state), changed: Condvar::new() };
        let manifest = &self.shared.manifest;
        let has_batches = self.ids.iter().any(|id| manifest.nodes.get(id).is_some_and(batches::is_batched));
        // Of batches there are more than of nodes.
        let useful = if has_batches { usize::MAX } else { self.ids.len() };
        let threads = manifest.world.project.target.threads.min(useful).max(1);
        thread::scope(|scope| -> Result<()> {
            for number in 1..=threads {
                let (pool, followers) = (&pool, &followers);
                let work = move || self.worker(number, pool, followers);
                let started = thread::Builder::new()
                    .name(format!("Thread-{number} (worker)"))
                    .stack_size(STACK_BYTES)
                    .spawn_scoped(scope, work);
                if let Err(source) = started {
                    // Those that run already do what there is to do.
                    if number == 1 {
                        return Err(ModelsError::NoThread(source));
                    }
                    break;
                }
            }
            Ok(())
        })?;
        let state = pool.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        match state.broken {
            Some(error) => Err(error),
            None => Ok(state.outcomes),
        }
    }

    fn worker(&self, number: usize, pool: &Pool, followers: &HashMap<&str, Vec<&str>>) {
        let mut connection: Option<SharedConnection> = None;
        while let Some(next) = self.next(pool) {
            let (id, index, skip) = match next {
                Next::Node { id, index, skip } => (id, index, skip),
                Next::Batch(beside, at) => {
                    // Whoever waits for the batch is told how it ended, by a panic too.
                    self.batch_beside(&beside, at, &mut connection);
                    continue;
                }
            };
            // A panic ends this thread: the others must not wait for its node.
            let done = panic::catch_unwind(AssertUnwindSafe(|| {
                self.node(&id, pool, (number, index), skip, &mut connection)
            }));
            let mut state = pool.lock();
            state.running -= 1;
            let outcome = match done {
                Ok(outcome) => outcome,
                Err(panicked) => {
                    state.over = true;
                    pool.changed.notify_all();
                    drop(state);
                    panic::resume_unwind(panicked);
                }
            };
            match outcome {
                Ok(outcome) => {
                    let stops = outcome.status.stops();
                    state.failed |= stops;
                    state.outcomes.push(outcome);
                    for follower in followers.get(id.as_str()).into_iter().flatten() {
                        if stops {
                            state.stopped.insert((*follower).to_owned());
                        }
                        if let Some(left) = state.waiting.get_mut(*follower) {
                            *left -= 1;
                            if *left == 0 {
                                state.waiting.remove(*follower);
                                state.ready.insert((*follower).to_owned());
                            }
                        }
                    }
                }
                Err(error) => {
                    state.over = true;
                    state.broken.get_or_insert(error);
                }
            }
            pool.changed.notify_all();
        }
    }

    /// Waits for something to do; `None`: there is nothing more.
    fn next(&self, pool: &Pool) -> Option<Next> {
        let mut state = pool.lock();
        loop {
            if state.over || (state.ready.is_empty() && state.running == 0) {
                pool.changed.notify_all();
                return None;
            }
            if let Some(id) = state.ready.pop_first() {
                state.running += 1;
                state.begun += 1;
                let skip = state.stopped.contains(&id) || (self.fail_fast && state.failed);
                return Some(Next::Node { id, index: state.begun, skip });
            }
            let batch = state.beside.iter().find_map(|beside| Some((beside.clone(), beside.take()?)));
            if let Some((beside, at)) = batch {
                return Some(Next::Batch(beside, at));
            }
            state = pool.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
