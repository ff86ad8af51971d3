//! The run: what surrounds the nodes, hooks and schemas, and what is done with each of them.

use std::{cell::RefCell, collections::BTreeSet, rc::Rc, sync::Arc, thread};

use millstream_core::build::{BuildWarehouse, Cell};
use serde_json::{json, Map, Value as Json};

use super::{
    batches::{self, Batches},
    build::{self, Built},
    clone,
    compile::{self, Compiled, SharedConnection},
    freshness::Checked,
    live::Shared,
    pool::Pool,
};
use crate::{
    artifacts,
    context::base::{self, Said},
    error::{ModelsError, Problem, ProblemKind, Result},
    parse::{
        names,
        node::{Node, Resource},
    },
    project::{files, Adapter},
    select::{Graph, Ids},
};

/// Rendering goes as deep as macros call each other.
pub(super) const STACK_BYTES: usize = 64 << 20;

/// Does something on a thread whose stack is deep enough for rendering.
///
/// Errors: no thread, and the work's own.
pub(super) fn deep<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work);
        match thread.map_err(ModelsError::NoThread)?.join() {
            Ok(done) => done,
            Err(panicked) => std::panic::resume_unwind(panicked),
        }
    })
}

/// What is said of a node that was begun, or was not begun any more, when whoever builds gave up.
pub const CANCELLED: &str = "cancelled";

/// What is said of a node that was not done, because another one failed where the first failure ends the run.
pub const FAILED_FAST: &str = "Skipping due to fail_fast";

/// What became of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// A model or seed was built, or a node compiled.
    Success,
    /// A test found nothing.
    Pass,
    /// A test found something and only warns.
    Warn,
    /// A test found something.
    Fail,
    /// It could not be compiled, built or tested.
    Error,
    /// What it waits for failed.
    Skipped,
    /// Some of its batches were built, and some could not be.
    PartialSuccess,
    /// There is nothing to do for it: an exposure.
    NoOp,
}

impl Status {
    /// Its name in results.
    pub fn name(self) -> &'static str {
        match self {
            Status::Success => "success",
            Status::Pass => "pass",
            Status::Warn => "warn",
            Status::Fail => "fail",
            Status::Error => "error",
            Status::Skipped => "skipped",
            Status::PartialSuccess => "partial success",
            Status::NoOp => "no-op",
        }
    }

    /// Whether something went wrong with the node itself.
    pub fn fails(self) -> bool {
        matches!(self, Status::Fail | Status::Error | Status::PartialSuccess)
    }

    /// Whether what waits for the node is skipped.
    pub fn stops(self) -> bool {
        self.fails() || self == Status::Skipped
    }
}

/// A node's outcome.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The node.
    pub unique_id: String,
    /// What became of it.
    pub status: Status,
    /// For people.
    pub message: Option<String>,
    /// Rows that a test counted.
    pub failures: Option<i64>,
    /// What the warehouse said.
    pub response: Json,
    /// When it was begun, compiled and done: seconds since 1970.
    pub times: [f64; 3],
    /// The thread, from 1.
    pub thread: usize,
    /// Its SQL.
    pub compiled: Option<Compiled>,
    /// What became of its batches, where it is built in some.
    pub batches: Option<Batches>,
}

impl Outcome {
    /// Of a node for which there is nothing to do.
    pub fn no_op(unique_id: &str) -> Self {
        let now = names::now();
        Outcome {
            unique_id: unique_id.to_owned(),
            status: Status::NoOp,
            message: Some("NO-OP".into()),
            failures: Some(0),
            response: Json::Object(Default::default()),
            times: [now; 3],
            thread: 1,
            compiled: None,
            batches: None,
        }
    }

    /// Of an exposure, for which there is nothing to do, by what became of all that it is made of.
    pub fn of_exposure(unique_id: &str, graph: &Graph, outcomes: &[Outcome]) -> Self {
        let above = graph.parents(&[unique_id.to_owned()].into_iter().collect(), None);
        let stopped = outcomes.iter().filter(|one| one.status.stops() && above.contains(&one.unique_id));
        let said: Vec<Option<&str>> = stopped.map(|one| one.message.as_deref()).collect();
        let outcome = Outcome::no_op(unique_id);
        if said.is_empty() {
            return outcome;
        }
        let message = said.contains(&Some(FAILED_FAST)).then(|| FAILED_FAST.to_owned());
        Outcome { status: Status::Skipped, message, failures: None, ..outcome }
    }
}

/// Told what happens while it does.
pub trait Observer: Sync {
    /// A node begins: its number, how many there are.
    fn started(&self, index: usize, total: usize, node: &Node);
    /// A node is done.
    fn finished(&self, index: usize, total: usize, node: &Node, outcome: &Outcome);
    /// What a node runs was interrupted, because whoever builds has given up. That it is done is told too.
    fn cancelled(&self, _node: &Node) {}
    /// All was left where it was because of what became of a node.
    fn failed_fast(&self, _node: &Node, _outcome: &Outcome) {}
    /// A template says something, or there is something to warn of.
    fn said(&self, said: &Said);
    /// A batch of a model begins: its number, how many there are, what it is called.
    fn batch_started(&self, _index: usize, _total: usize, _node: &Node, _label: &str) {}
    /// A batch is done, after so many seconds; what went wrong with it.
    fn batch_finished(
        &self,
        _index: usize,
        _total: usize,
        _node: &Node,
        _label: &str,
        _seconds: f64,
        _wrong: Option<&str>,
    ) {
    }
    /// It is known how old a table of a source is.
    fn checked(&self, _index: usize, _total: usize, _node: &Node, _checked: &Checked) {}
}

/// What is done with each node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// It is compiled.
    Compile,
    /// It is built or tested.
    Build,
    /// It becomes a view on what another run has built.
    Clone,
}

/// A run to come.
pub struct Run<'r> {
    /// What its nodes share.
    pub shared: Arc<Shared>,
    /// Where they are built.
    pub warehouse: &'r dyn BuildWarehouse,
    /// The order.
    pub graph: &'r Graph,
    /// The nodes.
    pub ids: Ids,
    /// What is done with them.
    pub work: Work,
    /// Whether the first failure keeps everything else from beginning, and interrupts what runs.
    pub fail_fast: bool,
    /// Told what happens.
    pub observer: &'r dyn Observer,
}

impl Run<'_> {
    /// Does it. The outcomes come in the order in which nodes were done, hooks that failed first.
    ///
    /// An error is one of the run itself: no connection, a file that can't be written. Failures of nodes are outcomes.
    pub fn run(self) -> Result<Vec<Outcome>> {
        let connection = self.connect()?;
        if self.work != Work::Compile {
            self.create_schemas(&connection)?;
        }
        self.list(&connection)?;
        let mut outcomes = Vec::new();
        if self.work == Work::Build {
            outcomes.extend(self.hooks("on-run-start", &connection)?);
        }
        drop(connection);
        let flags = &self.shared.manifest.world.project.root().flags;
        let skip = flags.get("skip_nodes_if_on_run_start_fails") == Some(&Json::Bool(true));
        // Where the project doesn't say so, nodes are built all the same, as with dbt.
        if outcomes.is_empty() || !skip {
            outcomes.extend(self.nodes()?);
        } else {
            let now = names::now();
            outcomes.extend(self.ids.iter().map(|id| Outcome {
                unique_id: id.clone(),
                status: Status::Skipped,
                message: Some("a hook of on-run-start failed".into()),
                failures: None,
                response: Json::Object(Default::default()),
                times: [now; 3],
                thread: 1,
                compiled: None,
                batches: None,
            }));
        }
        if self.work == Work::Build && !self.warehouse.is_cancelled() {
            let connection = self.connect()?;
            self.shared.give(self.given_at_the_end(&outcomes));
            outcomes.extend(self.hooks("on-run-end", &connection)?);
        }
        Ok(outcomes)
    }

    pub(super) fn connect(&self) -> Result<SharedConnection> {
        connect(self.warehouse)
    }

    /// A connection whose statements end with the first failure, where that is asked for.
    pub(super) fn connect_watched(&self, pool: &Pool) -> Result<SharedConnection> {
        let connection = self.warehouse.connect().map_err(warehouse_failed)?;
        let connection = if self.fail_fast { pool.statements.watched(connection) } else { connection };
        Ok(Rc::new(RefCell::new(connection)))
    }

    pub(super) fn list(&self, connection: &SharedConnection) -> Result<()> {
        list(&self.shared, connection)
    }

    fn create_schemas(&self, connection: &SharedConnection) -> Result<()> {
        let nodes = self.ids.iter().filter_map(|id| self.shared.manifest.nodes.get(id));
        let wanted: BTreeSet<(&str, &str)> = nodes
            .filter(|node| node.relation_name().is_some() || build::stores_failures(&self.shared, node))
            .map(|node| (node.database.as_str(), node.schema.as_str()))
            .collect();
        let target = &self.shared.manifest.world.project.target;
        // What is to be built where nothing can be built fails by itself.
        for (database, schema) in
            wanted.into_iter().filter(|(database, _)| target.read_only(database).is_none())
        {
            let dialect = self.shared.dialect();
            if dialect == Adapter::Postgres && !database.eq_ignore_ascii_case(&target.database) {
                let message = format!(
                    "`{database}` is another database than `{}`, and PostgreSQL has one at a time",
                    target.database
                );
                return Err(Problem::new(ProblemKind::Configuration, message)
                    .hint("leave `database` out, or give the target another `dbname`")
                    .into());
            }
            // Who may not make schemas may still use one that is there.
            if dialect == Adapter::Postgres {
                let count = connection.borrow_mut().query(&dialect.count_of_schemas(database, schema), 1);
                let count = count.map_err(warehouse_failed)?;
                if count.rows.first().and_then(|row| row.first()) == Some(&Cell::Int(1)) {
                    continue;
                }
            }
            let sql = format!("create schema if not exists {}", dialect.schema(database, schema));
            connection.borrow_mut().run(&sql).map_err(warehouse_failed)?;
        }
        Ok(())
    }

    /// Runs the project's hooks; the outcome of one that failed.
    pub(super) fn hooks(&self, event: &str, connection: &SharedConnection) -> Result<Vec<Outcome>> {
        let hooks = self.shared.manifest.nodes.values().filter(|node| {
            node.resource == Resource::Operation && node.more_tags.iter().any(|tag| tag == event)
        });
        for node in hooks {
            let begun = names::now();
            let done = compile::compile(&self.shared, node, Some(connection)).and_then(|compiled| {
                if !compiled.sql.trim().is_empty() {
                    self.write("compiled", node, &compiled.sql)?;
                    connection.borrow_mut().run(&compiled.sql).map_err(warehouse_failed)?;
                    self.list(connection)?;
                }
                Ok(())
            });
            self.tell();
            if let Err(error) = done {
                return Ok(vec![Outcome {
                    unique_id: node.unique_id.clone(),
                    status: Status::Error,
                    message: Some(error.describe()),
                    failures: None,
                    response: Json::Object(Default::default()),
                    times: [begun, begun, names::now()],
                    thread: 1,
                    compiled: None,
                    batches: None,
                }]);
            }
        }
        Ok(Vec::new())
    }

    /// What hooks at the end know: results, and where something was built.
    pub(super) fn given_at_the_end(&self, outcomes: &[Outcome]) -> Map<String, Json> {
        let manifest = &self.shared.manifest;
        let built = outcomes
            .iter()
            .filter(|outcome| !outcome.status.stops())
            .filter_map(|outcome| manifest.nodes.get(&outcome.unique_id))
            .filter(|node| node.is_refable());
        let places: BTreeSet<(&str, &str)> =
            built.map(|node| (node.database.as_str(), node.schema.as_str())).collect();
        let schemas: BTreeSet<&str> = places.iter().map(|(_, schema)| *schema).collect();
        let results = outcomes.iter().map(|outcome| {
            let mut result = artifacts::result(manifest, outcome);
            result["node"] = manifest.get(&outcome.unique_id).map_or(Json::Null, Node::to_json);
            result
        });
        let given = [
            ("results", results.collect::<Vec<_>>().into()),
            ("schemas", json!(schemas)),
            ("database_schemas", json!(places)),
        ];
        given.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    pub(super) fn tell(&self) {
        tell(self.observer);
    }

    pub(super) fn node(
        &self,
        id: &str,
        pool: &Pool,
        (thread, index): (usize, usize),
        skip: bool,
        connection: &mut Option<SharedConnection>,
    ) -> Result<Outcome> {
        let Some(node) = self.shared.manifest.nodes.get(id) else {
            return Err(Problem::new(ProblemKind::Missing, format!("`{id}` is gone")).into());
        };
        let (begun, total) = (names::now(), self.ids.len());
        let mut outcome = Outcome {
            unique_id: id.to_owned(),
            status: Status::Skipped,
            message: None,
            failures: None,
            response: Json::Object(Default::default()),
            times: [begun; 3],
            thread,
            compiled: None,
            batches: None,
        };
        if self.warehouse.is_cancelled() {
            outcome.message = Some(CANCELLED.to_owned());
            return Ok(outcome);
        }
        if pool.statements.is_given_up() {
            outcome.message = Some(FAILED_FAST.to_owned());
            return Ok(outcome);
        }
        if skip {
            self.observer.finished(index, total, node, &outcome);
            return Ok(outcome);
        }
        self.observer.started(index, total, node);
        let connection = match connection {
            Some(connection) => connection.clone(),
            None => connection.insert(self.connect_watched(pool)?).clone(),
        };
        if self.work == Work::Build && batches::is_batched(node) {
            outcome.times[1] = names::now();
            self.batches(node, pool, &connection, &mut outcome)?;
            return Ok(self.done(pool, (index, total), node, outcome));
        }
        if self.work == Work::Clone {
            outcome.times[1] = names::now();
            let cloned = clone::run(&self.shared, node, &connection);
            self.settle(node, &mut outcome, cloned, &connection)?;
            return Ok(self.done(pool, (index, total), node, outcome));
        }
        match self.compiled(node, &connection) {
            Ok(compiled) => {
                outcome.times[1] = names::now();
                let built = match self.work {
                    Work::Compile => Ok(Built::compiled()),
                    _ => build::build(&self.shared, node, &compiled, &connection),
                };
                self.settle(node, &mut outcome, built, &connection)?;
                outcome.compiled = Some(compiled);
            }
            Err(error @ (ModelsError::Unreadable { .. } | ModelsError::Unwritable { .. })) => {
                return Err(error)
            }
            Err(error) => {
                outcome.status = Status::Error;
                outcome.message = Some(error.describe());
            }
        }
        Ok(self.done(pool, (index, total), node, outcome))
    }

    /// Notes what building gave.
    fn settle(
        &self,
        node: &Node,
        outcome: &mut Outcome,
        built: Result<Built>,
        connection: &SharedConnection,
    ) -> Result<()> {
        match built {
            Ok(built) => {
                outcome.status = built.status;
                outcome.message = built.message;
                outcome.failures = built.failures;
                outcome.response = built.response;
                if let Some(ran) = built.ran {
                    self.write("run", node, &ran)?;
                }
            }
            Err(error) => {
                outcome.status = Status::Error;
                outcome.message = Some(error.describe());
                // What was begun is undone: the contents from before stay.
                let _ = connection.borrow_mut().rollback();
            }
        }
        Ok(())
    }

    fn done(
        &self,
        pool: &Pool,
        (index, total): (usize, usize),
        node: &Node,
        mut outcome: Outcome,
    ) -> Outcome {
        outcome.times[2] = names::now();
        self.tell();
        let broke = matches!(outcome.status, Status::Error | Status::PartialSuccess);
        if pool.statements.is_given_up() && broke {
            self.observer.cancelled(node);
            outcome.message = Some(CANCELLED.to_owned());
            self.observer.finished(index, total, node, &outcome);
            // It is told that it was cut short, and it counts as one that was not begun.
            outcome.status = Status::Skipped;
            outcome.message = Some(FAILED_FAST.to_owned());
            (outcome.failures, outcome.batches) = (None, None);
            return outcome;
        }
        if self.warehouse.is_cancelled() && broke {
            // What the warehouse says of an interruption says nothing about the node.
            outcome.message = Some(CANCELLED.to_owned());
            self.observer.cancelled(node);
        }
        self.observer.finished(index, total, node, &outcome);
        outcome
    }

    fn compiled(&self, node: &Node, connection: &SharedConnection) -> Result<Compiled> {
        let compiled = compile::compile(&self.shared, node, Some(connection))?;
        // dbt writes none for snapshots either.
        if !matches!(node.resource, Resource::Seed | Resource::Snapshot) {
            self.write("compiled", node, &compiled.sql)?;
        }
        for (id, sql) in &compiled.ephemeral {
            if let Some(ephemeral) = self.shared.manifest.nodes.get(id) {
                self.write("compiled", ephemeral, sql)?;
            }
        }
        Ok(compiled)
    }

    pub(super) fn write(&self, kind: &str, node: &Node, text: &str) -> Result<()> {
        let dir = self.shared.manifest.world.project.target_dir();
        files::write(&dir.join(output_path(kind, node)), text)
    }
}

/// A connection of this thread's own.
/// A connection, and what there is in the warehouse becomes known.
pub(super) fn listed(shared: &Shared, warehouse: &dyn BuildWarehouse) -> Result<SharedConnection> {
    let connection = connect(warehouse)?;
    list(shared, &connection)?;
    Ok(connection)
}

fn list(shared: &Shared, connection: &SharedConnection) -> Result<()> {
    shared
        .list(&mut **connection.borrow_mut())
        .map_err(|error| Problem::new(ProblemKind::Warehouse, error.message).into())
}

pub(super) fn connect(warehouse: &dyn BuildWarehouse) -> Result<SharedConnection> {
    let connection = warehouse.connect().map_err(warehouse_failed)?;
    Ok(Rc::new(RefCell::new(connection)))
}

/// Passes on what templates have printed on this thread.
pub(super) fn tell(observer: &dyn Observer) {
    for said in base::said() {
        observer.said(&said);
    }
}

/// Where what was made of a node is written, below the target directory.
pub fn output_path(kind: &str, node: &Node) -> String {
    let file = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let original = node.original_path.trim_start_matches("./");
    if node.resource == Resource::UnitTest {
        // dbt takes it to lie in the directory of its file, once more.
        let dir = original.rsplit_once('/').map(|(dir, _)| format!("{dir}/")).unwrap_or_default();
        return format!("{kind}/{}/{original}/{dir}{}.sql", node.package, node.name);
    }
    if let Some(batch) = &node.batch {
        // A file for each batch, in a directory that is called as the model's.
        let path = original.strip_suffix(".sql").unwrap_or(original);
        return format!("{kind}/{}/{path}/{}_{}.sql", node.package, file(path), batch.label);
    }
    if file(&node.path) == file(original) {
        format!("{kind}/{}/{original}", node.package)
    } else {
        // A file that holds several nodes is as a directory of them: properties with tests and snapshots, the project's hooks.
        format!("{kind}/{}/{original}/{}", node.package, node.path)
    }
}

/// An error of the warehouse's, as the run tells it.
pub fn warehouse_failed(error: impl std::fmt::Display) -> ModelsError {
    Problem::new(ProblemKind::Warehouse, error.to_string()).into()
}
