//! How each kind of node is built: views, tables, incremental models, seeds, snapshots, tests.
//!
//! A relation is replaced within one transaction: a reader sees what was there before, or the new contents whole.

use std::sync::{Arc, PoisonError};

use millstream_core::build::{RelationKind, Response};
use serde_json::{json, Value as Json};

use super::{
    compile::{scene, Compiled, SharedConnection},
    contract, custom, ddl,
    dialect::{response_json, POSTGRES_NAME_BYTES_MAX},
    finish,
    foreign::{MadeWay, Ties},
    grants, history, incremental,
    live::Shared,
    matview,
    planned::word,
    run::{warehouse_failed, Status},
    seed, snapshot, test, unit,
};
use crate::{
    context::{
        base::warn,
        relation::{quoted, Relation},
    },
    error::{Problem, ProblemKind, Result},
    jinja::{template, Spot},
    parse::{
        macros::{MacroEntry, LIBRARY},
        materialization::{self, Materialization},
        names,
        node::{Node, Resource},
        snapshot::{is_from_history, Settings, Strategy},
    },
    project::Adapter,
    warning::Warning,
};

/// What building a node gave.
#[derive(Debug)]
pub struct Built {
    /// What became of it.
    pub status: Status,
    /// For people.
    pub message: Option<String>,
    /// Rows that a test counted.
    pub failures: Option<i64>,
    /// What the warehouse said.
    pub response: Json,
    /// The main statement.
    pub ran: Option<String>,
}

impl Built {
    /// Nothing was built.
    pub fn compiled() -> Self {
        Built { status: Status::Success, message: None, failures: None, response: json!({}), ran: None }
    }

    pub(super) fn made(response: &Response, ran: String) -> Self {
        Built {
            message: Some(response.message.clone()),
            response: response_json(response),
            ran: Some(ran),
            ..Built::compiled()
        }
    }
}

/// Builds or tests a node.
pub fn build(
    shared: &Arc<Shared>,
    node: &Node,
    compiled: &Compiled,
    connection: &SharedConnection,
) -> Result<Built> {
    check_name(shared, node)?;
    check_place(shared, node)?;
    if matches!(node.resource, Resource::Seed | Resource::Snapshot | Resource::Test) {
        if let Some(entry) = by_macro(shared, node)? {
            return custom::run(shared, node, &entry, compiled, connection);
        }
    }
    match node.resource {
        Resource::Model => model(shared, node, compiled, connection),
        Resource::Seed => {
            let hooks = Hooks::of(shared, node, connection);
            let is_new = shared.kind_of(node).is_none() || shared.full_refresh(node);
            let work = || {
                let built = seed::load(shared, node, connection)?;
                finish(shared, node, Made { indexes: is_new, described: true, keeps: !is_new }, connection)?;
                Ok(built)
            };
            noted(shared, node, hooks.around(work, || Ok(()))?)
        }
        Resource::Snapshot => {
            let sql = compiled.sql.trim_end().trim_end_matches(';');
            let hooks = Hooks::of(shared, node, connection);
            let is_new = shared.kind_of(node).is_none();
            let work = || {
                let built = match is_from_history(node) {
                    true => history::run(shared, node, sql, connection)?,
                    false => snapshot::run(shared, node, sql, connection)?,
                };
                finish(shared, node, Made { indexes: is_new, described: true, keeps: !is_new }, connection)?;
                Ok(built)
            };
            noted(shared, node, hooks.around(work, || Ok(()))?)
        }
        Resource::Test => test::run(shared, node, compiled, connection),
        Resource::UnitTest => match &node.unit {
            Some(unit) => unit::run(node, unit, &compiled.sql, connection),
            None => Ok(Built::compiled()),
        },
        _ => Ok(Built::compiled()),
    }
}

/// A name that PostgreSQL would cut is an error: the relation would be there under another one.
fn check_name(shared: &Shared, node: &Node) -> Result<()> {
    let has_relation = node.relation_name().is_some() || stores_failures(shared, node);
    if shared.dialect() != Adapter::Postgres || !has_relation || node.alias.len() <= POSTGRES_NAME_BYTES_MAX {
        return Ok(());
    }
    let message = format!(
        "the name `{}` is longer than the {POSTGRES_NAME_BYTES_MAX} bytes that PostgreSQL keeps",
        node.alias
    );
    let problem = Problem::new(ProblemKind::Configuration, message).around(names::describe(node));
    Err(problem.hint("give it a shorter `alias`").into())
}

/// What is to be built in a database that can only be read is an error, before hooks have run for it.
pub(super) fn check_place(shared: &Shared, node: &Node) -> Result<()> {
    let has_relation = node.relation_name().is_some() || stores_failures(shared, node);
    let target = &shared.manifest.world.project.target;
    let Some(attached) = target.read_only(&node.database).filter(|_| has_relation) else { return Ok(()) };
    let message = format!(
        "{} can't be built: the profile attaches `{}` read-only",
        node.relation().render(),
        attached.name
    );
    let problem = Problem::new(ProblemKind::Configuration, message).around(names::describe(node));
    Err(problem
        .at(&attached.place)
        .hint("leave `read_only` out there, or give the node another `database`")
        .into())
}

/// What was built once its transaction is over: whoever lists relations knows it now.
fn noted(shared: &Shared, node: &Node, built: Built) -> Result<Built> {
    shared.note(node, RelationKind::Table);
    Ok(built)
}

/// Runs a statement on a shared connection.
pub(super) fn run_statement(connection: &SharedConnection, sql: &str) -> Result<Response> {
    connection.borrow_mut().run(sql).map_err(warehouse_failed)
}

/// Names and types of columns.
pub(super) type Columns = Vec<(String, String)>;

/// The columns of a relation.
pub(super) fn columns_of(
    connection: &SharedConnection,
    database: &str,
    schema: &str,
    relation: &str,
) -> Result<Columns> {
    connection.borrow_mut().columns(database, schema, relation).map_err(warehouse_failed)
}

/// Whether there is a column of this name, whatever its case.
pub(super) fn has(columns: &Columns, name: &str) -> bool {
    columns.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
}

/// A node's hooks, rendered when it is their turn.
pub(super) struct Hooks<'h> {
    shared: &'h Arc<Shared>,
    node: &'h Node,
    connection: &'h SharedConnection,
}

impl<'h> Hooks<'h> {
    pub(super) fn of(shared: &'h Arc<Shared>, node: &'h Node, connection: &'h SharedConnection) -> Self {
        Hooks { shared, node, connection }
    }

    fn run(&self, key: &str, in_transaction: bool) -> Result<()> {
        for hook in self.node.config.get(key).and_then(Json::as_array).into_iter().flatten() {
            let within = hook.get("transaction") != Some(&Json::Bool(false));
            if within != in_transaction {
                continue;
            }
            let source = names::text(hook.get("sql"));
            let (scene, _) = scene(self.shared, self.node, Some(self.connection));
            let rendered =
                template(&source, &self.node.original_path.as_str().into(), Spot { line: 1, column: 1 })
                    .and_then(|parsed| scene.interpreter().render(&parsed, &[]));
            scene.keep();
            let sql = rendered.map_err(|mut error| {
                (error.spot, error.file) = (None, None);
                Problem::from_jinja(error, |_| None).around(format!("in a {key} of {}", self.node.unique_id))
            })?;
            if !sql.trim().is_empty() {
                run_statement(self.connection, &sql).map_err(|error| error.around(format!("in a {key}")))?;
            }
        }
        Ok(())
    }

    /// Hooks outside, the transaction with hooks at its ends, hooks outside. `last` is done after hooks and before the commit.
    pub(super) fn around(
        &self,
        work: impl FnOnce() -> Result<Built>,
        last: impl FnOnce() -> Result<()>,
    ) -> Result<Built> {
        self.run("pre-hook", false)?;
        self.connection.borrow_mut().begin().map_err(warehouse_failed)?;
        self.run("pre-hook", true)?;
        let built = work()?;
        self.run("post-hook", true)?;
        last()?;
        self.connection.borrow_mut().commit().map_err(warehouse_failed)?;
        self.run("post-hook", false)?;
        Ok(built)
    }
}

/// The macro that a seed, snapshot or test is built by; none where that is done natively.
fn by_macro(shared: &Shared, node: &Node) -> Result<Option<Arc<MacroEntry>>> {
    let macros = &shared.manifest.world.macros;
    // A history has no strategy, and nothing of dbt's to be made by.
    if node.resource == Resource::Snapshot && is_from_history(node) {
        return Ok(None);
    }
    let name = node.resource.name();
    let root = &shared.manifest.world.project.root().name;
    match materialization::find(macros, root, shared.dialect(), name)? {
        Materialization::Macro(entry) => {
            tell_override(shared, &entry, name)?;
            Ok(Some(entry))
        }
        _ if node.resource == Resource::Snapshot && Settings::of(node)?.strategy == Strategy::Own => {
            Ok(materialization::of_library(macros, name).cloned())
        }
        // The values of a seed go by way of the program where it is to be so.
        _ if node.resource == Resource::Seed && node.config.get("fast") == Some(&Json::Bool(false)) => {
            Ok(materialization::of_library(macros, name).cloned())
        }
        _ => Ok(None),
    }
}

/// Says that a package has put a materialization in the place of dbt's.
fn tell_override(shared: &Shared, entry: &MacroEntry, name: &str) -> Result<()> {
    let root = &shared.manifest.world.project.root().name;
    if entry.package == *root || entry.package == LIBRARY || !materialization::is_built_in(name) {
        return Ok(());
    }
    let text =
        format!("the package `{}` has a materialization `{name}` in the place of dbt's", entry.package);
    if !shared.is_news(OVERRIDE) {
        return Ok(());
    }
    let project = &shared.manifest.world.project;
    warn(&project.base.warn_errors, &Warning::of(OVERRIDE, text))
}

/// dbt's name of that warning; it is told once.
const OVERRIDE: &str = "PackageMaterializationOverrideDeprecation";

fn model(
    shared: &Arc<Shared>,
    node: &Node,
    compiled: &Compiled,
    connection: &SharedConnection,
) -> Result<Built> {
    let world = &shared.manifest.world;
    if node.has_contract() {
        contract::imprecise(node)?.map(|odd| warn(&world.project.base.warn_errors, &odd)).transpose()?;
    }
    let root = &world.project.root().name;
    match materialization::find(&world.macros, root, shared.dialect(), node.materialized())? {
        Materialization::Native if !node.has_own_strategy() => {}
        Materialization::Native | Materialization::NotDone => {
            if let Some(entry) = materialization::of_library(&world.macros, node.materialized()) {
                return custom::run(shared, node, entry, compiled, connection);
            }
        }
        Materialization::Macro(entry) => {
            tell_override(shared, &entry, node.materialized())?;
            return custom::run(shared, node, &entry, compiled, connection);
        }
        Materialization::Unknown => {
            return Err(materialization::unknown(&world.macros, node).into());
        }
    }
    let hooks = Hooks::of(shared, node, connection);
    let relation = node.relation();
    let there = shared.kind_of(node);
    let sql = compiled.sql.trim_end().trim_end_matches(';');
    let kind = match node.materialized() {
        "view" => RelationKind::View,
        "materialized_view" => RelationKind::MaterializedView,
        _ => RelationKind::Table,
    };
    let is_new = !node.is_incremental() || shared.is_built_anew(node);
    let makes_table = is_new && kind == RelationKind::Table;
    let ties = if makes_table { Ties::of(shared, node, connection)? } else { Ties::default() };
    let _tied = ties.any().then(|| shared.tied.lock().unwrap_or_else(PoisonError::into_inner));
    // dbt describes a table after its last hook, and everything else before.
    let describes_last = node.materialized() == "table";
    let work = || {
        let built = if kind == RelationKind::MaterializedView {
            matview::make(shared, node, &relation, there, sql, connection)?
        } else if is_new {
            let replacing = Replacing { shared, node, relation: &relation, there, connection };
            let (response, main) =
                if ties.any() { replacing.tied(ties, sql)? } else { replacing.whole(kind, sql)? };
            Built::made(&response, main)
        } else {
            incremental::add(node, shared.dialect(), &relation, sql, connection)?
        };
        let made = Made { indexes: makes_table, described: !describes_last, keeps: !is_new };
        finish(shared, node, made, connection)?;
        Ok(built)
    };
    let at_last = Made { indexes: false, described: true, keeps: false };
    let last = || if describes_last { finish(shared, node, at_last, connection) } else { Ok(()) };
    let built = hooks.around(work, last);
    if built.is_ok() {
        shared.note(node, kind);
        if there.is_some() && is_new && shared.dialect() == Adapter::Postgres {
            // What read the relation that was there is gone with it.
            let listed = shared.list(&mut **connection.borrow_mut());
            listed.map_err(|error| Problem::new(ProblemKind::Warehouse, error.message))?;
        }
    }
    built
}

/// What was made of a relation, and so what is left to do.
#[derive(Clone, Copy)]
pub(super) struct Made {
    /// Its indexes are to be made.
    pub indexes: bool,
    /// It is to be described, and who may read it said.
    pub described: bool,
    /// It is the one that was there.
    pub keeps: bool,
}

/// What is done to a relation once it has its rows.
pub(super) fn finish(
    shared: &Arc<Shared>,
    node: &Node,
    made: Made,
    connection: &SharedConnection,
) -> Result<()> {
    let (relation, mut connection) = (node.relation(), connection.borrow_mut());
    let dialect = shared.dialect();
    if made.indexes {
        finish::indexes(node, dialect, &relation, &mut **connection)?;
    }
    if made.described {
        if dialect.has_grants() {
            if let Some(wanted) = node.config.get("grants").and_then(Json::as_object) {
                grants::apply(wanted, &relation, made.keeps, &mut **connection)?;
            }
        } else {
            finish::pass_over(shared, node);
        }
        let odd =
            finish::describe(node, &relation, [true; 2], &mut **connection).map_err(warehouse_failed)?;
        odd.map(|odd| warn(&shared.manifest.world.project.base.warn_errors, &odd)).transpose()?;
    }
    Ok(())
}

/// A relation that takes the place of what is there.
pub(super) struct Replacing<'r> {
    pub(super) shared: &'r Arc<Shared>,
    pub(super) node: &'r Node,
    pub(super) relation: &'r Relation,
    pub(super) there: Option<RelationKind>,
    pub(super) connection: &'r SharedConnection,
}

impl Replacing<'_> {
    /// Makes the new one under another name first, and gives it its own: the SQL may read the old one, and an error in it leaves everything as it was.
    pub(super) fn whole(&self, kind: RelationKind, sql: &str) -> Result<(Response, String)> {
        let (new, made) = self.aside(kind, sql)?;
        self.drop_old()?;
        self.rename(&new, kind)?;
        Ok(made)
    }

    /// The same of a table that foreign keys tie to others.
    fn tied(&self, ties: Ties, sql: &str) -> Result<(Response, String)> {
        let Replacing { shared, node, relation, connection, .. } = *self;
        let is_table = self.there == Some(RelationKind::Table);
        let way = || match is_table && ties.has_key {
            true => MadeWay::before(shared, node, relation, connection),
            false => Ok(MadeWay::none()),
        };
        if ties.refers {
            let made_way = way()?;
            self.drop_old()?;
            let dialect = shared.dialect();
            let main =
                ddl::create_table_as(node, dialect, false, relation, sql, &mut **connection.borrow_mut())?;
            let response = run_statement(connection, &main)?;
            made_way.back(connection)?;
            return Ok((response, main));
        }
        let (new, made) = self.aside(RelationKind::Table, sql)?;
        let made_way = way()?;
        self.drop_old()?;
        self.rename(&new, RelationKind::Table)?;
        made_way.back(connection)?;
        Ok(made)
    }

    fn aside(&self, kind: RelationKind, sql: &str) -> Result<(Relation, (Response, String))> {
        let (connection, dialect) = (self.connection, self.shared.dialect());
        let mut new = self.relation.clone();
        new.path[2] = Some(dialect.with_suffix(self.relation.identifier(), "__dbt_tmp"));
        if let Some(left) = self.shared.kind(&new) {
            run_statement(connection, &ddl::drop(&new, word(left)))?;
        }
        let main = match kind {
            RelationKind::View => {
                ddl::create_view_as(self.node, dialect, &new, sql, &mut **connection.borrow_mut())
            }
            RelationKind::Table | RelationKind::MaterializedView => {
                ddl::create_table_as(self.node, dialect, false, &new, sql, &mut **connection.borrow_mut())
            }
        }?;
        let response = run_statement(connection, &main)?;
        Ok((new, (response, main)))
    }

    fn drop_old(&self) -> Result<()> {
        if let Some(kind) = self.there {
            run_statement(self.connection, &ddl::drop(self.relation, word(kind)))?;
        }
        Ok(())
    }

    fn rename(&self, new: &Relation, kind: RelationKind) -> Result<()> {
        let name = quoted(self.relation.identifier());
        let rename = format!("alter {} {} rename to {name}", word(kind), new.render());
        run_statement(self.connection, &rename).map(|_| ())
    }
}

/// Whether a test keeps the rows that it finds.
pub fn stores_failures(shared: &Shared, node: &Node) -> bool {
    node.stores_failures(shared.manifest.world.project.options.store_failures)
}
