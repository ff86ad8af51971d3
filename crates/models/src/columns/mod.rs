//! Column-level lineage: which columns of what a query reads each of its columns comes from.
//!
//! Pure: a text and what is known of the columns of relations go in, edges come out. Two kinds are kept apart.
//!
//! - *From*: the value is made of this column's value: it is named in the expression (as an argument, an operand, a condition of `case`), directly or through a
//!   subquery, a CTE or another column of the same `select`.
//! - *By*: the value doesn't come from this column, but it decides which rows the value is made of: `filter (where …)`, `partition by` and `order by` of a window
//!   or an aggregate, the column that `pivot` turns, the conditions of a scalar subquery. What decides which rows there are at all stands beside the columns, in
//!   [`Lineage::rows`]: `where`, `having`, `qualify`, conditions of joins, `group by`, `distinct on`, `order by` with a `limit`, the right side of `except` and
//!   `intersect`. `distinct` and `union` compare the columns themselves and add none.
//!
//! What can't be analysed is unknown, with the reason: an edge that is told is one. docs/decisions/0034 says what reads the SQL.

mod expression;
mod from;
pub mod project;
mod query;
mod read;
mod scope;
mod select;
pub mod told;
pub mod trace;

use std::{collections::BTreeSet, sync::Arc};

use self::{
    query::Reader,
    scope::{Ctes, Item},
};

/// How much of the stack a query may take: what is nested, or chained by operators, is walked by recursion; pages that aren't touched cost nothing.
const STACK_BYTES: usize = 256 << 20;

/// Whose SQL it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// DuckDB: names are compared without case, quoted or not; a column of a `select` can be named by the ones behind it.
    DuckDb,
    /// PostgreSQL: names that aren't quoted are in lower case.
    Postgres,
}

impl Dialect {
    /// A name of the catalogue as names are compared.
    pub fn key(self, name: &str) -> String {
        match self {
            Dialect::DuckDb => name.to_lowercase(),
            Dialect::Postgres => name.to_owned(),
        }
    }
}

/// A column that is read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Column {
    /// Its relation: what [`Relations`] calls it, or its name as written.
    pub relation: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

/// What is known of a relation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// What it is called in edges.
    pub id: Arc<str>,
    /// Names of its columns, in order.
    pub columns: Vec<String>,
    /// Whether these are all.
    pub complete: bool,
}

/// What is known of relations.
pub trait Relations: Sync {
    /// A relation by its path (`database`, `schema`, `name`; the first ones may be left out), as the dialect compares names.
    fn relation(&self, path: &[String]) -> Option<Known>;

    /// What a CTE of this name stands for, where it is another query that was put in front of this one.
    fn stands_for(&self, _cte: &str) -> Option<Known> {
        None
    }
}

/// A column of a query.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Output {
    /// Its name.
    pub name: String,
    /// What its value is made of.
    pub from: BTreeSet<Column>,
    /// What decides which rows its value is made of.
    pub by: BTreeSet<Column>,
    /// Why there may be more than what is told.
    pub unknown: Option<String>,
}

/// Columns of a relation that come through a `*`, and whose names aren't known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rest {
    /// The relation.
    pub relation: Arc<str>,
    /// Those of its columns that are not meant.
    pub except: BTreeSet<String>,
}

/// Where the columns of a query come from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lineage {
    /// Its columns, in order.
    pub columns: Vec<Output>,
    /// Further columns, by a `*` of relations whose columns aren't all known.
    pub rest: Vec<Rest>,
    /// What decides which rows there are.
    pub rows: BTreeSet<Column>,
    /// Why there may be other columns than these, or other conditions.
    pub unknown: Vec<String>,
}

/// Analyses a query, one that reads rows.
///
/// Errors: why nothing is known: it isn't one query, or its syntax is none that is known.
pub fn analyse(sql: &str, dialect: Dialect, relations: &dyn Relations) -> Result<Lineage, String> {
    on_wide_stack(|| analyse_here(sql, dialect, relations))
}

/// Runs what analyses queries where the stack is wide enough for it.
fn on_wide_stack<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("columns".into()).stack_size(STACK_BYTES);
        match thread.spawn_scoped(scope, work).map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(done)) => done,
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            Err(error) => panic!("no thread: {error}"),
        }
    })
}

fn analyse_here(sql: &str, dialect: Dialect, relations: &dyn Relations) -> Result<Lineage, String> {
    let query = read::query(sql, dialect)?;
    let reader = Reader::new(dialect, relations);
    let table = reader.query(&query, None, &Ctes::default())?;
    let mut lineage = Lineage { rows: table.rows.from, ..Lineage::default() };
    lineage.unknown.extend(table.rows.unknown.as_deref().map(str::to_owned));
    for item in table.items {
        match item {
            Item::Column { name, origin } => lineage.columns.push(Output {
                name,
                from: origin.from,
                by: origin.by,
                unknown: origin.unknown.as_deref().map(str::to_owned),
            }),
            Item::Rest(rest) => lineage.rest.push(rest),
            Item::Unknown(reason) => lineage.unknown.push(reason.to_string()),
        }
    }
    Ok(lineage)
}

#[cfg(test)]
mod tests;
