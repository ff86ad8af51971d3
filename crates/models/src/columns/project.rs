//! The columns of a whole project: each node's query is analysed with what is known of the columns of those before it.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use indexmap::IndexMap;
use serde_json::{json, Value as Json};

use super::{analyse_here, on_wide_stack, Column, Dialect, Known, Lineage, Output, Relations};
use crate::{
    csv,
    engine::{catalog::Catalog, compile::Compiled, seed},
    parse::{
        node::{Node, Resource},
        snapshot::{HardDeletes, Names, Settings},
        Manifest,
    },
    project::Adapter,
    select::Graph,
};

/// Where the columns of nodes come from, by unique id: those that others are read by stand before these.
#[derive(Debug, Default)]
pub struct Columns(pub IndexMap<String, Lineage>);

/// What is known of the relations of a project so far.
struct Relationships<'p> {
    dialect: Dialect,
    database: String,
    schema: String,
    /// Nodes by database, schema and name, as names are compared. A table of a source may be what a node builds.
    nodes: HashMap<[String; 3], Vec<&'p str>>,
    /// Models that stand in front of queries as CTEs, by the CTE's name.
    ephemeral: HashMap<String, &'p str>,
    known: HashMap<&'p str, Known>,
}

/// The same for one node: of two that are one relation, what it depends on is what it reads.
struct Read<'r> {
    all: &'r Relationships<'r>,
    node: &'r Node,
}

impl Relations for Read<'_> {
    fn relation(&self, path: &[String]) -> Option<Known> {
        let part = |from_end: usize| path.len().checked_sub(from_end).map(|at| path[at].clone());
        let key = [
            part(3).unwrap_or_else(|| self.all.database.clone()),
            part(2).unwrap_or_else(|| self.all.schema.clone()),
            part(1)?,
        ];
        let nodes = self.all.nodes.get(&key)?;
        let is_read = |id: &&&str| self.node.depends_on.iter().any(|read| read == **id);
        let id = nodes.iter().find(is_read).or(nodes.first())?;
        self.all.known.get(id).cloned()
    }

    fn stands_for(&self, cte: &str) -> Option<Known> {
        self.all.known.get(self.all.ephemeral.get(cte)?).cloned()
    }
}

/// The columns of everything that is compiled, and of what it reads. `described` says which columns relations have in the warehouse, by unique id; what isn't there
/// is known from the project alone.
pub fn columns(manifest: &Manifest, compiled: &HashMap<String, Compiled>, described: &Catalog) -> Columns {
    on_wide_stack(|| columns_here(manifest, compiled, described))
}

fn columns_here(manifest: &Manifest, compiled: &HashMap<String, Compiled>, described: &Catalog) -> Columns {
    let target = &manifest.world.project.target;
    let dialect = dialect(manifest);
    let mut all = Relationships {
        dialect,
        database: dialect.key(&target.database),
        schema: dialect.key(&target.schema),
        nodes: HashMap::new(),
        ephemeral: HashMap::new(),
        known: HashMap::new(),
    };
    for node in manifest.all() {
        if node.is_ephemeral() {
            all.ephemeral.insert(format!("__dbt__cte__{}", node.name).to_lowercase(), &node.unique_id);
        } else if node.is_refable() || node.resource == Resource::Source {
            let key = [&node.database, &node.schema, &node.alias].map(|part| dialect.key(part));
            all.nodes.entry(key).or_default().push(&node.unique_id);
        }
    }
    let mut ephemeral: HashMap<&str, &str> = HashMap::new();
    for one in compiled.values() {
        ephemeral.extend(one.ephemeral.iter().map(|(id, sql)| (id.as_str(), sql.as_str())));
    }
    let mut columns = Columns::default();
    for node in in_order(manifest) {
        let there = told(described, node);
        // A model that grows reads itself, which is known by what is there.
        all.know(node, there.clone(), false);
        let sql = match compiled.get(&node.unique_id) {
            Some(compiled) => Some(compiled.sql.as_str()),
            None => ephemeral.get(node.unique_id.as_str()).copied(),
        };
        let lineage = match (node.resource, sql) {
            (Resource::Source, _) => listed(declared(node), there.as_ref()),
            (Resource::Seed, _) => listed(header(manifest, node), there.as_ref()),
            (_, Some(sql)) => analysed(node, sql, &all),
            (_, None) => {
                let unknown = vec!["it is not compiled".into()];
                Lineage { unknown, ..listed(Vec::new(), there.as_ref()) }
            }
        };
        let is_source = node.resource == Resource::Source;
        let complete =
            lineage.rest.is_empty() && lineage.unknown.is_empty() && (!is_source || there.is_some());
        let names = lineage.columns.iter().map(|column| column.name.clone()).collect();
        match (complete, there) {
            (false, Some(there)) if !is_source => all.know(node, Some(there), true),
            _ => all.know(node, Some(names), complete),
        }
        columns.0.insert(node.unique_id.clone(), lineage);
    }
    columns
}

impl<'p> Relationships<'p> {
    fn know(&mut self, node: &'p Node, columns: Option<Vec<String>>, complete: bool) {
        let known =
            Known { id: node.unique_id.as_str().into(), columns: columns.unwrap_or_default(), complete };
        self.known.insert(&node.unique_id, known);
    }
}

/// Sources, seeds, models and snapshots, each behind what it reads.
fn in_order(manifest: &Manifest) -> Vec<&Node> {
    let graph = Graph::of(manifest);
    let mut done: HashSet<&str> = HashSet::new();
    let mut order = Vec::new();
    // The graph has no cycles, and may be deeper than a stack.
    let mut open: Vec<(&Node, bool)> = manifest.all().map(|node| (node, false)).collect();
    open.reverse();
    while let Some((node, behind)) = open.pop() {
        if behind {
            order.push(node);
        } else if done.insert(&node.unique_id) {
            open.push((node, true));
            let parents = graph.parents_of(&node.unique_id).iter().filter_map(|id| manifest.get(id));
            open.extend(parents.map(|parent| (parent, false)));
        }
    }
    order.retain(|node| {
        matches!(node.resource, Resource::Source | Resource::Seed | Resource::Model | Resource::Snapshot)
    });
    order
}

/// The columns that a relation has in the warehouse, where it is there.
fn told(described: &Catalog, node: &Node) -> Option<Vec<String>> {
    let section = match node.resource {
        Resource::Source => &described.sources,
        _ => &described.nodes,
    };
    let columns = section.get(&node.unique_id)?.get("columns")?.as_object()?;
    let mut columns: Vec<(i64, &String)> = columns
        .iter()
        .map(|(name, column)| (column.get("index").and_then(Json::as_i64).unwrap_or_default(), name))
        .collect();
    columns.sort();
    Some(columns.into_iter().map(|(_, name)| name.clone()).collect())
}

/// Columns that properties name: those that somebody has written down.
fn declared(node: &Node) -> Vec<String> {
    node.columns.keys().cloned().collect()
}

/// The first line of a seed; none where the file can't be read, which whoever loads it is told.
fn header(manifest: &Manifest, node: &Node) -> Vec<String> {
    let package = manifest.world.project.package(&node.package);
    let text =
        package.and_then(|package| std::fs::read_to_string(package.root.join(&node.original_path)).ok());
    let mut header = Vec::new();
    // The error ends the reading behind the first record.
    let _ = csv::records(
        text.unwrap_or_default().trim_start_matches('\u{feff}'),
        seed::delimiter(node),
        |_, record| {
            header = record;
            Err(String::new())
        },
    );
    header
}

/// Columns that come from outside of the project.
fn listed(names: Vec<String>, there: Option<&Vec<String>>) -> Lineage {
    let names = there.cloned().unwrap_or(names);
    let columns = names.into_iter().map(|name| Output { name, ..Output::default() }).collect();
    Lineage { columns, ..Lineage::default() }
}

fn analysed(node: &Node, sql: &str, all: &Relationships<'_>) -> Lineage {
    let mut lineage = match analyse_here(sql, all.dialect, &Read { all, node }) {
        Ok(lineage) => lineage,
        Err(reason) => Lineage { unknown: vec![reason], ..Lineage::default() },
    };
    if let (Resource::Snapshot, Ok(settings)) = (node.resource, Settings::of(node)) {
        let Names { valid_from, valid_to, scd_id, updated_at, is_deleted } = settings.names;
        let is_deleted = (settings.hard_deletes == HardDeletes::NewRecord).then_some(is_deleted);
        let added = |name: String| Output {
            name,
            unknown: Some("the snapshot makes it, of its keys and of when it ran".into()),
            ..Output::default()
        };
        lineage
            .columns
            .extend([scd_id, updated_at, valid_from, valid_to].into_iter().chain(is_deleted).map(added));
    }
    lineage
}

/// The columns of one node as `lineage.json` has them.
pub fn node_json(lineage: &Lineage) -> Json {
    let list = |columns: &BTreeSet<Column>| -> Json {
        columns.iter().map(|column| json!({"node": &*column.relation, "column": &*column.name})).collect()
    };
    let columns: Vec<Json> = lineage
        .columns
        .iter()
        .map(|column| {
            json!({
                "name": column.name, "from": list(&column.from), "by": list(&column.by), "unknown": column.unknown,
            })
        })
        .collect();
    let rest: Vec<Json> =
        lineage.rest.iter().map(|rest| json!({"node": &*rest.relation, "except": rest.except})).collect();
    json!({"columns": columns, "rest": rest, "rows": list(&lineage.rows), "unknown": lineage.unknown})
}

/// Whose SQL the project's target understands.
pub fn dialect(manifest: &Manifest) -> Dialect {
    match manifest.world.project.target.kind {
        Adapter::Postgres => Dialect::Postgres,
        Adapter::DuckDb => Dialect::DuckDb,
    }
}

/// A column's relation and name.
pub(super) fn column(relation: &str, name: &str) -> Column {
    Column { relation: Arc::from(relation), name: Arc::from(name) }
}
