//! Tables that foreign keys tie together.
//!
//! DuckDB neither renames nor drops a table that another refers to, and can't drop the reference alone. So a table that refers to others is made under its own name, and
//! before one that is referred to is replaced, those that refer to it make way: their rows stay under their names without constraints, until the run, which is to build
//! them later, has built them again. What the run would not build again is an error, for its constraints would be lost.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use millstream_core::build::Cell;

use super::{build::run_statement, compile::SharedConnection, ddl, live::Shared, run::warehouse_failed};
use crate::{
    context::relation::{quoted, Relation},
    error::{Problem, ProblemKind, Result},
    parse::{
        contract,
        node::{Node, Resource},
    },
};

/// How a table is tied to others, or may be.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ties {
    /// It refers to others, as it is or as it is to be.
    pub refers: bool,
    /// It has keys that others may refer to.
    pub has_key: bool,
}

impl Ties {
    /// Those of a model and of the table that is there.
    ///
    /// Errors: the warehouse refuses to tell.
    pub(super) fn of(shared: &Shared, node: &Node, connection: &SharedConnection) -> Result<Self> {
        if !shared.has_foreign_keys(connection)? {
            return Ok(Ties::default());
        }
        let declares = |kind: &str| node.has_contract() && contract::has(node, kind);
        let there = constraints(connection, &node.relation())?;
        let holds = |kind: &str| there.iter().any(|known| known == kind);
        Ok(Ties {
            refers: declares("foreign_key") || holds("FOREIGN KEY"),
            has_key: declares("primary_key") || declares("unique") || holds("PRIMARY KEY") || holds("UNIQUE"),
        })
    }

    /// Whether there are any.
    pub(super) fn any(self) -> bool {
        self != Ties::default()
    }
}

fn literal(text: &str) -> String {
    format!("lower({})", ddl::literal(text))
}

fn texts(connection: &SharedConnection, sql: &str) -> Result<Vec<Vec<String>>> {
    let answer = connection.borrow_mut().query(sql, usize::MAX).map_err(warehouse_failed)?;
    let text = |cell: &Cell| match cell {
        Cell::Text(text) => text.clone(),
        _ => String::new(),
    };
    Ok(answer.rows.iter().map(|row| row.iter().map(text).collect()).collect())
}

/// Whether any table of these databases, in lower case, refers to another.
pub(super) fn any_in(databases: &BTreeSet<String>, connection: &SharedConnection) -> Result<bool> {
    let databases: Vec<String> = databases.iter().map(|name| literal(name)).collect();
    let sql = format!(
        "select table_name from duckdb_constraints() where constraint_type = 'FOREIGN KEY' and lower(database_name) in ({}) limit 1",
        databases.join(", ")
    );
    Ok(!texts(connection, &sql)?.is_empty())
}

/// The kinds of constraints that a table has.
fn constraints(connection: &SharedConnection, relation: &Relation) -> Result<Vec<String>> {
    let sql = format!(
        "select distinct constraint_type from duckdb_constraints() where lower(database_name) = {} and lower(schema_name) = {} and lower(table_name) = {}",
        literal(relation.database()),
        literal(relation.schema()),
        literal(relation.identifier())
    );
    Ok(texts(connection, &sql)?.into_iter().flatten().collect())
}

/// Tables that have made way, the first to come back last.
pub(super) struct MadeWay(Vec<[Relation; 2]>);

impl MadeWay {
    /// None has.
    pub(super) fn none() -> Self {
        MadeWay(Vec::new())
    }

    /// Has all tables make way that refer to one, over others too. Their rows are kept aside.
    ///
    /// Errors: one of them is not built again by this run after this one.
    pub(super) fn before(
        shared: &Arc<Shared>,
        node: &Node,
        relation: &Relation,
        connection: &SharedConnection,
    ) -> Result<Self> {
        let sql = format!(
            "select table_name, referenced_table from duckdb_constraints() where constraint_type = 'FOREIGN KEY' \
             and lower(database_name) = {} and lower(schema_name) = {}",
            literal(relation.database()),
            literal(relation.schema())
        );
        let pairs = texts(connection, &sql)?;
        let pairs: Vec<(&str, &str)> =
            pairs.iter().map(|pair| (pair[0].as_str(), pair[1].as_str())).collect();
        let tables = dependents(relation.identifier(), &pairs);
        let problems = problems(shared, node, relation, &tables, &pairs);
        if !problems.is_empty() {
            let message = format!("{} can't be replaced: foreign keys refer to it", relation.render());
            let problem = Problem::new(ProblemKind::Configuration, message)
                .hint("build these in the same run, anew; or drop them");
            return Err(problems.into_iter().fold(problem, Problem::around).into());
        }
        let named = |name: String| Relation::new(relation.database(), relation.schema(), &name);
        let mut made_way = Vec::new();
        for table in tables {
            let (own, aside) = (named(table.to_owned()), named(format!("{table}__dbt_fk_backup")));
            let name = aside.render();
            run_statement(connection, &format!("drop table if exists {name} cascade"))?;
            run_statement(connection, &format!("create table {name} as select * from {}", own.render()))?;
            run_statement(connection, &format!("drop table {} cascade", own.render()))?;
            made_way.push([own, aside]);
        }
        Ok(MadeWay(made_way))
    }

    /// Brings their rows back under their names.
    ///
    /// Errors: the warehouse refuses to.
    pub(super) fn back(self, connection: &SharedConnection) -> Result<()> {
        for [own, aside] in self.0.into_iter().rev() {
            let name = quoted(own.identifier());
            run_statement(connection, &format!("alter table {} rename to {name}", aside.render()))?;
        }
        Ok(())
    }
}

/// The tables that refer to one, over others too: those that are farthest first, for nothing refers to them any more.
fn dependents<'p>(table: &'p str, pairs: &[(&'p str, &'p str)]) -> Vec<&'p str> {
    let mut depths: HashMap<&str, usize> = HashMap::new();
    let mut found: BTreeMap<(std::cmp::Reverse<usize>, &str), &'p str> = BTreeMap::new();
    let mut layer = vec![table];
    // A circle of references would have no end: no way is longer than there are tables.
    for depth in 1..=pairs.len() {
        let next: Vec<&str> = pairs
            .iter()
            .filter(|(child, parent)| {
                !child.eq_ignore_ascii_case(parent)
                    && layer.iter().any(|known| known.eq_ignore_ascii_case(parent))
            })
            .map(|(child, _)| *child)
            .collect();
        for child in &next {
            depths.insert(child, depth);
        }
        layer = next;
    }
    for (name, depth) in depths {
        found.insert((std::cmp::Reverse(depth), name), name);
    }
    found.into_values().collect()
}

/// Why tables can't make way: nothing builds them again in this run, after the one that they refer to.
fn problems(
    shared: &Shared,
    node: &Node,
    relation: &Relation,
    tables: &[&str],
    pairs: &[(&str, &str)],
) -> Vec<String> {
    let model = |table: &str| {
        let is_it = |other: &&Node| {
            other.resource == Resource::Model
                && other.database.eq_ignore_ascii_case(relation.database())
                && other.schema.eq_ignore_ascii_case(relation.schema())
                && other.alias.eq_ignore_ascii_case(table)
        };
        shared.manifest.nodes.values().find(is_it)
    };
    let chain = |table: &str| match table.eq_ignore_ascii_case(relation.identifier()) {
        true => Some(node.unique_id.clone()),
        false => tables
            .iter()
            .find(|known| known.eq_ignore_ascii_case(table))
            .and_then(|known| model(known))
            .map(|found| found.unique_id.clone()),
    };
    let why = |table: &str| {
        let Some(found) = model(table) else { return Some(format!("`{table}` is no model of the project")) };
        let name = &found.unique_id;
        let parents = pairs.iter().filter(|(child, _)| child.eq_ignore_ascii_case(table));
        let waits =
            parents.filter_map(|(_, parent)| chain(parent)).any(|parent| found.depends_on.contains(&parent));
        let is_new = found.materialized() == "table" || found.is_incremental() && shared.full_refresh(found);
        match (shared.selected.contains(name), waits, is_new) {
            (false, ..) => Some(format!("`{name}` is not among what this run builds")),
            (_, false, _) => {
                Some(format!("`{name}` does not refer to it by ref(…), so that it is not built after it"))
            }
            (_, _, false) => Some(format!("`{name}` would lose its rows: it is not built anew")),
            _ => None,
        }
    };
    tables.iter().filter_map(|table| why(table)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_are_farthest_make_way_first() {
        let pairs = [("b", "A"), ("c", "b"), ("c", "a"), ("d", "x"), ("b", "b")];
        assert_eq!(dependents("a", &pairs), ["c", "b"]);
        assert!(dependents("d", &pairs).is_empty());
        assert_eq!(dependents("m", &[("n", "m"), ("m", "n")]).len(), 2);
    }
}
