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

/// Why nothing is known of a node that no SQL is known of.
const NOT_COMPILED: &str = "it is not compiled";

/// Where the columns of nodes come from, by unique id: those that others are read by stand before these.
#[derive(Debug, Default)]
pub struct Columns(pub IndexMap<String, Lineage>);

/// A node as the analysis needs it: of a project that was just read, or as it was told of before.
#[derive(Debug, Default)]
pub(super) struct Entry<'p> {
    /// Its unique id.
    pub(super) id: &'p str,
    /// Database, schema and name, where it is a relation.
    pub(super) path: Option<[&'p str; 3]>,
    /// The CTE that it stands in others as, where it is none.
    pub(super) cte: Option<String>,
    /// What it depends on.
    pub(super) reads: Vec<&'p str>,
    /// Its columns as somebody has written them down, where it has no query.
    pub(super) written: Option<Vec<String>>,
    /// Whether it may have more columns than those.
    pub(super) may_have_more: bool,
    /// Its query.
    pub(super) sql: Option<&'p str>,
    /// Columns that it has beside those of its query.
    pub(super) made: Vec<String>,
    /// The columns that it has in the warehouse.
    pub(super) there: Option<Vec<String>>,
}

/// What is known of the relations of a project so far.
struct Relationships<'p> {
    dialect: Dialect,
    database: String,
    schema: String,
    /// Nodes by database, schema and name, as names are compared. A table of a source may be what a node builds.
    nodes: HashMap<[String; 3], Vec<&'p str>>,
    /// Models that stand in front of queries as CTEs, by the CTE's name.
    ephemeral: HashMap<&'p str, &'p str>,
    known: HashMap<&'p str, Known>,
}

/// The same for one node: of two that are one relation, what it depends on is what it reads.
struct Read<'r> {
    all: &'r Relationships<'r>,
    node: &'r Entry<'r>,
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
        let is_read = |id: &&&str| self.node.reads.contains(*id);
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
    let target = &manifest.world.project.target;
    let mut ephemeral: HashMap<&str, &str> = HashMap::new();
    for one in compiled.values() {
        ephemeral.extend(one.ephemeral.iter().map(|(id, sql)| (id.as_str(), sql.as_str())));
    }
    let graph = Graph::of(manifest);
    let has_columns = |node: &&Node| {
        matches!(node.resource, Resource::Source | Resource::Seed | Resource::Model | Resource::Snapshot)
    };
    let entry = |node| {
        let there = told(described, node);
        Entry {
            id: &node.unique_id,
            path: (!node.is_ephemeral()).then_some([&node.database, &node.schema, &node.alias]),
            cte: cte(node),
            reads: graph.parents_of(&node.unique_id).iter().map(String::as_str).collect(),
            written: match node.resource {
                Resource::Source => Some(declared(node)),
                Resource::Seed => Some(header(manifest, node)),
                _ => None,
            },
            may_have_more: node.resource == Resource::Source,
            sql: match compiled.get(&node.unique_id) {
                Some(compiled) => Some(compiled.sql.as_str()),
                None => ephemeral.get(node.unique_id.as_str()).copied(),
            },
            made: made(node),
            there,
        }
    };
    let entries: Vec<Entry<'_>> = manifest.all().filter(has_columns).map(entry).collect();
    followed(&entries, dialect(manifest), [&target.connected, &target.schema])
}

/// The CTE that a model stands in others as, where it is none of its own in the warehouse.
pub(crate) fn cte(node: &Node) -> Option<String> {
    node.is_ephemeral().then(|| format!("__dbt__cte__{}", node.name).to_lowercase())
}

/// The columns that a snapshot has beside those of its query.
pub(crate) fn made(node: &Node) -> Vec<String> {
    let (Resource::Snapshot, Ok(settings)) = (node.resource, Settings::of(node)) else { return Vec::new() };
    let Names { valid_from, valid_to, scd_id, updated_at, is_deleted } = settings.names;
    let is_deleted = (settings.hard_deletes == HardDeletes::NewRecord).then_some(is_deleted);
    [scd_id, updated_at, valid_from, valid_to].into_iter().chain(is_deleted).collect()
}

/// The columns of nodes, where a name without them is of this database and schema.
pub(super) fn followed(entries: &[Entry<'_>], dialect: Dialect, usual: [&str; 2]) -> Columns {
    on_wide_stack(|| followed_here(entries, dialect, usual))
}

fn followed_here(entries: &[Entry<'_>], dialect: Dialect, [database, schema]: [&str; 2]) -> Columns {
    let mut all = Relationships {
        dialect,
        database: dialect.key(database),
        schema: dialect.key(schema),
        nodes: HashMap::new(),
        ephemeral: HashMap::new(),
        known: HashMap::new(),
    };
    for entry in entries {
        if let Some(cte) = &entry.cte {
            all.ephemeral.insert(cte, entry.id);
        } else if let Some(path) = entry.path {
            all.nodes.entry(path.map(|part| dialect.key(part))).or_default().push(entry.id);
        }
    }
    let mut columns = Columns::default();
    for node in in_order(entries) {
        // A model that grows reads itself, which is known by what is there.
        all.know(node.id, node.there.clone(), false);
        let lineage = match (&node.written, node.sql) {
            (Some(written), _) => listed(written, node.there.as_ref()),
            (None, Some(sql)) => analysed(node, sql, &all),
            (None, None) => {
                let unknown = vec![NOT_COMPILED.into()];
                Lineage { unknown, ..listed(&[], node.there.as_ref()) }
            }
        };
        let complete = lineage.rest.is_empty()
            && lineage.unknown.is_empty()
            && (!node.may_have_more || node.there.is_some());
        let names = lineage.columns.iter().map(|column| column.name.clone()).collect();
        match (complete, &node.there) {
            (false, Some(there)) if !node.may_have_more => all.know(node.id, Some(there.clone()), true),
            _ => all.know(node.id, Some(names), complete),
        }
        columns.0.insert(node.id.to_owned(), lineage);
    }
    columns
}

impl<'p> Relationships<'p> {
    fn know(&mut self, id: &'p str, columns: Option<Vec<String>>, complete: bool) {
        self.known.insert(id, Known { id: id.into(), columns: columns.unwrap_or_default(), complete });
    }
}

/// The nodes, each behind what it reads.
fn in_order<'e>(entries: &'e [Entry<'e>]) -> Vec<&'e Entry<'e>> {
    let by_id: HashMap<&str, &Entry<'_>> = entries.iter().map(|entry| (entry.id, entry)).collect();
    let mut done: HashSet<&str> = HashSet::new();
    let mut order = Vec::new();
    // The graph has no cycles, and may be deeper than a stack.
    let mut open: Vec<(&Entry<'_>, bool)> = entries.iter().map(|entry| (entry, false)).collect();
    open.reverse();
    while let Some((entry, behind)) = open.pop() {
        if behind {
            order.push(entry);
        } else if done.insert(entry.id) {
            open.push((entry, true));
            open.extend(entry.reads.iter().filter_map(|id| by_id.get(id)).map(|parent| (*parent, false)));
        }
    }
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
fn listed(names: &[String], there: Option<&Vec<String>>) -> Lineage {
    let names = there.map_or(names, Vec::as_slice).iter().cloned();
    let columns = names.map(|name| Output { name, ..Output::default() }).collect();
    Lineage { columns, ..Lineage::default() }
}

fn analysed(node: &Entry<'_>, sql: &str, all: &Relationships<'_>) -> Lineage {
    let mut lineage = match analyse_here(sql, all.dialect, &Read { all, node }) {
        Ok(lineage) => lineage,
        Err(reason) => Lineage { unknown: vec![reason], ..Lineage::default() },
    };
    let added = |name: &String| Output {
        name: name.clone(),
        unknown: Some("the snapshot makes it, of its keys and of when it ran".into()),
        ..Output::default()
    };
    lineage.columns.extend(node.made.iter().map(added));
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
