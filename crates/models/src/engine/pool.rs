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
    run::{Outcome, Run, Work, CANCELLED, STACK_BYTES},
    watched::{Statements, AGAIN_AFTER},
};
use crate::error::{ModelsError, Problem, ProblemKind, Result};

/// What the threads share.
pub(super) struct Pool {
    state: Mutex<State>,
    changed: Condvar,
    /// What runs on the connections of its threads, where the first failure ends it.
    pub(super) statements: Arc<Statements>,
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
    /// The first that failed, where that keeps everything else from beginning.
    failed: Option<Outcome>,
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

    /// Where a node has failed, interrupts what the others run, until nothing does; called on a thread of its own.
    fn interrupt_failed(&self) {
        let mut state = self.lock();
        while !state.is_done() {
            state = match state.failed {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(_) => {
                    drop(state);
                    self.statements.interrupt();
                    let waited = self.changed.wait_timeout(self.lock(), AGAIN_AFTER);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

impl State {
    /// Whether there is nothing more to do.
    fn is_done(&self) -> bool {
        self.over || (self.ready.is_empty() && self.running == 0)
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
        let refusal = || ModelsError::from(Problem::new(ProblemKind::Warehouse, CANCELLED)).into();
        let statements = Arc::new(Statements::new(refusal));
        let pool = Pool { state: Mutex::new(state), changed: Condvar::new(), statements };
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
            if self.fail_fast {
                pool.interrupt_failed();
            }
            Ok(())
        })?;
        let state = pool.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        match state.broken {
            Some(error) => Err(error),
            None => {
                let failed = state.failed.as_ref();
                if let Some((failed, node)) =
                    failed.and_then(|failed| Some((failed, manifest.nodes.get(&failed.unique_id)?)))
                {
                    self.observer.failed_fast(node, failed);
                }
                Ok(state.outcomes)
            }
        }
    }

    fn worker(&self, number: usize, pool: &Pool, followers: &HashMap<&str, Vec<&str>>) {
        let mut connection: Option<SharedConnection> = None;
        while let Some(next) = self.next(pool) {
            let (id, index, skip) = match next {
                Next::Node { id, index, skip } => (id, index, skip),
                Next::Batch(beside, at) => {
                    // Whoever waits for the batch is told how it ended, by a panic too.
                    self.batch_beside(pool, &beside, at, &mut connection);
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
                    if self.fail_fast && outcome.status.fails() && state.failed.is_none() {
                        state.failed = Some(outcome.clone());
                        pool.statements.give_up();
                    }
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
            if state.is_done() {
                pool.changed.notify_all();
                return None;
            }
            if let Some(id) = state.ready.pop_first() {
                state.running += 1;
                state.begun += 1;
                let skip = state.stopped.contains(&id);
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
