//! What templates ask of a running project: relations, columns, rows.

use std::{
    cell::RefCell,
    collections::{BTreeSet, HashMap, HashSet},
    rc::Rc,
    sync::{Arc, Mutex},
};

use millstream_core::build::{BuildConnection, BuiltRelation, RelationKind, Response};
use serde_json::{json, Map, Value as Json};

use super::{
    batches::{self, Batch},
    compile::SharedConnection,
    ddl,
    dialect::{kind_name, response_json},
    foreign, planned,
};
use crate::{
    context::{
        kept,
        relation::{quoted, Column, Relation},
        scene::Live,
        table::Table,
    },
    jinja::{Args, Eval, JinjaError, Value},
    parse::{
        contract,
        link::Names,
        node::{Node, RefArgs, Resource},
        unit::UnitTest,
        Manifest,
    },
    project::Adapter,
    select::Ids,
};

/// Rows that a template may ask for: they are held as values of the template.
const ROWS_MAX: usize = 1_000_000;

/// What all nodes of a run share.
pub struct Shared {
    /// The project.
    pub manifest: Arc<Manifest>,
    /// What names mean.
    pub names: Names,
    /// The nodes that the run is about.
    pub selected: Ids,
    /// The databases that the project has to do with, in lower case.
    databases: BTreeSet<String>,
    /// Relations that are there in these, by database, schema and name in lower case. Listed once, and kept by what is built here.
    relations: Mutex<HashMap<[String; 3], BuiltRelation>>,
    /// Relations of another run, by unique id: references are deferred to them.
    deferred: HashMap<String, Relation>,
    graph: Mutex<Option<Arc<Json>>>,
    /// What templates have kept in it beside that.
    kept: Mutex<Map<String, Json>>,
    /// What templates know beyond their context, since the run gave it.
    given: Mutex<Map<String, Json>>,
    /// Whether any table refers to another, or is to: asked once.
    foreign_keys: Mutex<Option<bool>>,
    /// Held while a table is built that foreign keys tie to others: what they do to each other can't be done at once.
    pub tied: Mutex<()>,
    /// What was told and is told once.
    told: Mutex<HashSet<String>>,
}

impl Shared {
    /// For a run.
    ///
    /// Errors: references are to be deferred to another run whose manifest isn't there.
    pub fn new(manifest: Arc<Manifest>, selected: Ids) -> crate::error::Result<Self> {
        let names = Names::of(&manifest);
        let project = &manifest.world.project;
        let past = project.pasts.deferred(&project.options)?;
        let nodes = past.map(|past| past.all.iter()).into_iter().flatten();
        let deferred = nodes.filter_map(|(id, node)| Some((id.clone(), deferred_relation(node)?))).collect();
        Ok(Shared {
            databases: databases(&manifest),
            names,
            selected,
            relations: Mutex::default(),
            deferred,
            graph: Mutex::default(),
            kept: Mutex::default(),
            given: Mutex::default(),
            foreign_keys: Mutex::default(),
            tied: Mutex::default(),
            told: Mutex::default(),
            manifest,
        })
    }

    /// The relation that a reference to a node means: its own, or that of another run where references are deferred and it is not there, or not to be looked for.
    fn relation_of(&self, node: &Node) -> Relation {
        let own = node.relation();
        let Some(deferred) = self.deferred.get(&node.unique_id) else { return own };
        let favors =
            self.manifest.world.project.options.favor_state && !self.selected.contains(&node.unique_id);
        match favors || self.kind(&own).is_none() {
            true => deferred.clone(),
            false => own,
        }
    }

    /// Lets templates know these names from now on.
    pub fn give(&self, names: Map<String, Json>) {
        *lock(&self.given) = names;
    }

    /// Lists what is in the databases that the project has to do with.
    pub fn list(&self, connection: &mut dyn BuildConnection) -> Result<(), JinjaError> {
        // Held while it is asked: what another thread notes meanwhile is not in the answer, and must come after it.
        let mut relations = lock(&self.relations);
        let mut found = HashMap::new();
        for database in &self.databases {
            let there = connection.relations(database).map_err(failed)?;
            found.extend(there.into_iter().map(|known| (key(database, &known.schema, &known.name), known)));
        }
        *relations = found;
        Ok(())
    }

    /// The warehouse's dialect.
    pub fn dialect(&self) -> Adapter {
        self.manifest.world.project.target.kind
    }

    /// What a relation is, if it is there.
    pub fn kind(&self, relation: &Relation) -> Option<RelationKind> {
        lock(&self.relations).get(&key_of(relation)).map(|known| known.kind)
    }

    /// What a node's relation is, if it is there.
    pub fn kind_of(&self, node: &Node) -> Option<RelationKind> {
        self.kind(&node.relation())
    }

    /// Notes that a node's relation is there.
    pub fn note(&self, node: &Node, kind: RelationKind) {
        let known = BuiltRelation { schema: node.schema.clone(), name: node.alias.clone(), kind };
        lock(&self.relations).insert(key_of(&node.relation()), known);
    }

    /// Whether any table refers to another by a foreign key, or is to.
    ///
    /// Errors: the warehouse refuses to tell.
    pub fn has_foreign_keys(&self, connection: &SharedConnection) -> crate::error::Result<bool> {
        let mut known = lock(&self.foreign_keys);
        if let Some(known) = *known {
            return Ok(known);
        }
        let declares = |node: &Node| node.has_contract() && contract::has(node, "foreign_key");
        // Where a table that others refer to can be replaced, nothing has to make way.
        let any = self.dialect() == Adapter::DuckDb
            && (self.manifest.nodes.values().any(declares) || foreign::any_in(&self.databases, connection)?);
        Ok(*known.insert(any))
    }

    /// Whether this is told for the first time in the run.
    pub fn is_news(&self, message: &str) -> bool {
        lock(&self.told).insert(message.to_owned())
    }

    /// Whether a node is built anew: its configuration says so, or the invocation where it says nothing.
    pub fn full_refresh(&self, node: &Node) -> bool {
        match node.config.get("full_refresh") {
            Some(Json::Bool(wanted)) => *wanted,
            _ => self.manifest.world.project.options.full_refresh,
        }
    }

    /// Whether an incremental model gets a new table.
    pub fn is_built_anew(&self, node: &Node) -> bool {
        let is_there = self.kind_of(node) == Some(RelationKind::Table);
        !is_there || (self.full_refresh(node) && !node.batch.as_ref().is_some_and(|batch| batch.adds))
    }

    fn graph(&self) -> Arc<Json> {
        let mut graph = lock(&self.graph);
        graph
            .get_or_insert_with(|| {
                let section = |nodes: &mut dyn Iterator<Item = &Node>| -> Map<String, Json> {
                    nodes.map(|node| (node.unique_id.clone(), node.to_json())).collect()
                };
                let manifest = &self.manifest;
                Arc::new(json!({
                    "nodes": section(&mut manifest.nodes.values()),
                    "sources": section(&mut manifest.sources.values()),
                    "exposures": section(&mut manifest.exposures.values()),
                    "groups": manifest.groups.iter().map(|(id, group)| (id.clone(), group.clone())).collect::<Map<_, _>>(),
                    "metrics": {},
                }))
            })
            .clone()
    }
}

/// The relation that a node of another manifest has; `None` where it has none that can be referred to.
pub(super) fn deferred_relation(node: &Json) -> Option<Relation> {
    let text = |key: &str| node[key].as_str();
    let materialized = node["config"]["materialized"].as_str();
    let is_refable = matches!(text("resource_type")?, "model" | "seed" | "snapshot");
    if !is_refable || materialized == Some("ephemeral") {
        return None;
    }
    // A database that is not told is the only one there is.
    let database = text("database").unwrap_or_default();
    let mut relation = Relation::new(database, text("schema")?, text("alias").or_else(|| text("name"))?);
    let quoted = |part: &str| node["config"]["quoting"][part].as_bool().unwrap_or(true);
    relation.quote = [quoted("database"), quoted("schema"), quoted("identifier")];
    let kind = materialized.filter(|kind| matches!(*kind, "view" | "materialized_view")).unwrap_or("table");
    relation.kind = Some(kind.into());
    Some(relation)
}

/// A lock whose holder panicked still holds what was true before: each change is one insertion.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn key(database: &str, schema: &str, name: &str) -> [String; 3] {
    [database, schema, name].map(str::to_lowercase)
}

fn key_of(relation: &Relation) -> [String; 3] {
    key(relation.database(), relation.schema(), relation.identifier())
}

/// The databases that a project has to do with: those of the target, and in DuckDB, where hooks may attach more, those of its nodes.
fn databases(manifest: &Manifest) -> BTreeSet<String> {
    let target = &manifest.world.project.target;
    let mut names = vec![&target.database];
    if target.kind == Adapter::DuckDb {
        names.push(&target.connected);
        names.extend(target.attached.iter().map(|attached| &attached.name));
        names.extend(manifest.nodes.values().map(|node| &node.database));
    }
    names.into_iter().map(|name| name.to_lowercase()).collect()
}

fn failed(error: impl std::fmt::Display) -> JinjaError {
    JinjaError::new(error.to_string())
}

/// One node's view of the run.
pub struct NodeLive {
    /// What the run's nodes share.
    pub shared: Arc<Shared>,
    /// The node's package.
    pub package: String,
    /// The node.
    pub unique_id: String,
    /// Whether statements begin a transaction themselves: those of a macro that is called for itself, and of a materialization in macros. Otherwise the engine has begun it.
    pub begins: bool,
    /// Names that only this node's templates know.
    pub own: Map<String, Json>,
    /// The statement that a materialization in macros calls its main one.
    pub main: RefCell<Option<String>>,
    /// What templates had kept in `graph` when this node's asked for it.
    pub kept_before: RefCell<Map<String, Json>>,
    /// The batch that the node is built for.
    pub batch: Option<Batch>,
    /// For a unit test: what stands in the place of relations, and what has other values.
    pub unit: Option<Arc<UnitTest>>,
    /// What the node may refer to: nothing else was there when it was parsed.
    pub depends_on: Vec<String>,
    /// The connection, where there is one.
    pub connection: Option<Rc<RefCell<Box<dyn BuildConnection>>>>,
    /// Ephemeral models that were referred to, in order.
    pub ephemeral: RefCell<Vec<String>>,
}

impl NodeLive {
    pub(super) fn with<T>(
        &self,
        act: impl FnOnce(&mut dyn BuildConnection) -> millstream_core::log::Result<T>,
    ) -> Result<T, JinjaError> {
        match &self.connection {
            Some(connection) => act(&mut **connection.borrow_mut()).map_err(failed),
            None => Err(JinjaError::new("nothing can be asked of the warehouse here")),
        }
    }

    /// The rows that a unit test gives in the place of a node, as a CTE.
    fn stand_in(&self, unit: &UnitTest, node: &Node, written: &str) -> Result<Relation, JinjaError> {
        if !unit.given.iter().any(|given| given.node == node.unique_id) {
            return Err(JinjaError::new(format!(
                "the unit test gives no rows for {written}: add it to `given`, with `rows: []` where it is to be empty"
            )));
        }
        self.ephemeral.borrow_mut().push(node.unique_id.clone());
        Ok(Relation::cte(&stand_in_name(node)))
    }

    /// Which rows of a relation a batch reads, or one of a sample: those of its time, where it is known when they happened.
    fn condition(&self, of: &Node) -> Option<String> {
        let sample = self.shared.manifest.world.project.options.sample;
        let samples = ["model.", "snapshot."].iter().any(|kind| self.unique_id.starts_with(kind));
        let span = match (&self.batch, sample.filter(|_| samples)) {
            (Some(batch), Some(sample)) => batches::common(sample, batch.span),
            (Some(batch), None) => batch.span,
            (None, sample) => sample?,
        };
        let name = of.config_str("event_time").filter(|name| !name.is_empty())?;
        let column = of.columns.get(name);
        let says = |of: Option<&Json>, key: &str| of.and_then(|of| of.get(key)).and_then(Json::as_bool);
        let quotes = says(column, "quote").or_else(|| says(of.extra.get("quoting"), "column"));
        let column = if quotes == Some(true) { quoted(name) } else { name.to_owned() };
        Some(batches::within(span, &column))
    }
}

impl Live for NodeLive {
    fn reference(&self, args: &RefArgs) -> Result<Relation, JinjaError> {
        let manifest = &self.shared.manifest;
        let root = &manifest.world.project.root().name;
        let found = self.shared.names.find(args, root, &self.package).and_then(|id| manifest.nodes.get(id));
        let Some(node) = found else {
            return Err(JinjaError::new(format!("`{}` isn't there, or is disabled", args.name)));
        };
        if let Some(unit) = &self.unit {
            return self.stand_in(unit, node, &format!("ref('{}')", args.name));
        }
        if !self.depends_on.contains(&node.unique_id) {
            return Err(JinjaError::new(format!(
                "`{}` is referred to only when the project runs, so that what it needs was not known when it was parsed; \
                 put `-- depends_on: {{{{ ref('{}') }}}}` into the file",
                args.name, args.name
            )));
        }
        if node.is_ephemeral() {
            self.ephemeral.borrow_mut().push(node.unique_id.clone());
            return Ok(Relation { condition: self.condition(node), ..Relation::cte(&node.name) });
        }
        let names_subqueries = self.shared.dialect() == Adapter::Postgres;
        let mut relation =
            Relation { condition: self.condition(node), names_subqueries, ..self.shared.relation_of(node) };
        if manifest.world.project.options.empty {
            relation.limit = Some(0);
        }
        Ok(relation)
    }

    fn source(&self, source: &str, table: &str) -> Result<Relation, JinjaError> {
        let manifest = &self.shared.manifest;
        let found = self.depends_on.iter().filter_map(|id| manifest.source(id)).find(|node| {
            node.name == table && node.extra.get("source_name").and_then(Json::as_str) == Some(source)
        });
        if let (Some(node), Some(unit)) = (found, &self.unit) {
            return self.stand_in(unit, node, &format!("source('{source}', '{table}')"));
        }
        match found {
            Some(node) => {
                let names_subqueries = self.shared.dialect() == Adapter::Postgres;
                let mut relation =
                    Relation { condition: self.condition(node), names_subqueries, ..node.relation() };
                if manifest.world.project.options.empty {
                    relation.limit = Some(0);
                }
                Ok(relation)
            }
            None => Err(JinjaError::new(format!(
                "the table `{table}` of source `{source}` was not referred to when the project was parsed"
            ))),
        }
    }

    fn graph(&self) -> Json {
        let mut graph = (*self.shared.graph()).clone();
        let kept = lock(&self.shared.kept).clone();
        if let Json::Object(graph) = &mut graph {
            graph.extend(kept.clone());
        }
        *self.kept_before.borrow_mut() = kept;
        graph
    }

    fn keep(&self, own: Map<String, Json>) {
        kept::bring(&self.kept_before.borrow(), &own, &mut lock(&self.shared.kept));
    }

    fn execute(&self, sql: &str, fetch: bool, begin: bool) -> Result<(Value, Table), JinjaError> {
        if begin && self.begins {
            self.with(|connection| connection.begin())?;
        }
        if fetch {
            let answer = self.with(|connection| connection.query(sql, ROWS_MAX))?;
            return Ok((told(&answer.response), Table::new(&answer)));
        }
        let response = self.with(|connection| connection.run(sql))?;
        // What a template does to relations is not followed statement by statement.
        if let Some(connection) = &self.connection {
            self.shared.list(&mut **connection.borrow_mut())?;
        }
        Ok((told(&response), Table::empty()))
    }

    fn commit(&self) -> Result<(), JinjaError> {
        if self.begins {
            self.with(|connection| connection.commit())?;
        }
        Ok(())
    }

    fn relation(
        &self,
        database: &str,
        schema: &str,
        identifier: &str,
    ) -> Result<Option<Relation>, JinjaError> {
        let mut relation = Relation::new(database, schema, identifier);
        let kind = self.shared.kind(&relation);
        Ok(kind.map(|kind| {
            relation.kind = Some(kind_name(kind).into());
            relation
        }))
    }

    fn relations(&self, database: &str, schema: &str) -> Result<Vec<Relation>, JinjaError> {
        let mut found: Vec<Relation> = lock(&self.shared.relations)
            .iter()
            .filter(|([of, ..], _)| of.eq_ignore_ascii_case(database))
            .map(|(_, known)| known)
            .filter(|known| known.schema.eq_ignore_ascii_case(schema))
            .map(|known| {
                let mut relation = Relation::new(database, &known.schema, &known.name);
                relation.kind = Some(kind_name(known.kind).into());
                relation
            })
            .collect();
        found.sort_by(|left, right| left.identifier().cmp(right.identifier()));
        Ok(found)
    }

    fn columns(&self, relation: &Relation) -> Result<Vec<Column>, JinjaError> {
        // One without schema is a temporary table.
        let (database, schema) = match &relation.path[1] {
            Some(schema) => (relation.database(), schema.as_str()),
            None => self.shared.dialect().temporary(),
        };
        let columns = self.with(|connection| connection.columns(database, schema, relation.identifier()))?;
        Ok(columns.into_iter().map(|(name, data_type)| Column { name, data_type }).collect())
    }

    fn columns_of_query(&self, sql: &str) -> Result<Vec<Column>, JinjaError> {
        let answer = self.with(|connection| connection.query(&ddl::no_rows(sql), 0))?;
        Ok(answer.columns.into_iter().map(|(name, data_type)| Column { name, data_type }).collect())
    }

    fn is_news(&self, message: &str) -> bool {
        self.shared.is_news(message)
    }

    fn selected(&self) -> Vec<String> {
        self.shared.selected.iter().cloned().collect()
    }

    fn doc(&self, package: Option<&str>, name: &str) -> Option<String> {
        let manifest = &self.shared.manifest;
        let doc = manifest.docs.find(&manifest.world.project, &self.package, package, name)?;
        Some(doc.contents.to_string())
    }

    fn write(&self, sql: &str) {
        *self.main.borrow_mut() = Some(sql.to_owned());
    }

    fn planned(&self, what: &str, args: Args) -> Eval<Value> {
        planned::call(self, what, args)
    }

    fn overridden(&self, kind: &str, name: &str) -> Option<Json> {
        if self.batch.as_ref().is_some_and(|batch| batch.adds) && kind == "macros" {
            match name {
                "is_incremental" => return Some(true.into()),
                "should_full_refresh" => return Some(false.into()),
                _ => {}
            }
        }
        self.unit.as_ref()?.overrides.get(kind)?.get(name).cloned()
    }

    fn given(&self, name: &str) -> Option<Json> {
        self.own.get(name).cloned().or_else(|| lock(&self.shared.given).get(name).cloned())
    }
}

/// What a warehouse says of a statement, as templates see it.
fn told(response: &Response) -> Value {
    match response.code {
        None => Value::from(response.message.as_str()),
        Some(_) => Value::from_json(&response_json(response)),
    }
}

/// What the CTE is called that stands for a node in a unit test. Tables of several sources may have one name.
pub fn stand_in_name(node: &Node) -> String {
    match node.extra.get("source_name").and_then(Json::as_str) {
        Some(source) => format!("{source}__{}", node.alias),
        None => node.alias.clone(),
    }
}

/// Whether a node is one that is compiled with CTEs of ephemeral models.
pub fn takes_ctes(node: &Node) -> bool {
    matches!(node.resource, Resource::Model | Resource::Test | Resource::Analysis | Resource::Snapshot)
}
