//! `show`: the first rows that a node's SQL gives. Nothing is built.

use std::sync::Arc;

use millstream_core::build::{Answer, BuildWarehouse};

use super::{
    compile,
    live::Shared,
    run::{deep, listed, tell, warehouse_failed, Observer},
};
use crate::{
    error::Result,
    parse::{
        names,
        node::{Node, Resource},
    },
};

/// Rows are held until they are printed.
const ROWS_MAX: usize = 1_000_000;

/// The rows of each of these nodes, at most `limit` of them where it is given. A seed's are those that are loaded.
///
/// Errors: a node can't be compiled, the warehouse refuses its SQL, it gives too many rows to hold.
pub fn show(
    shared: &Arc<Shared>,
    warehouse: &dyn BuildWarehouse,
    nodes: &[&Node],
    limit: Option<u64>,
    observer: &dyn Observer,
) -> Result<Vec<Answer>> {
    deep(|| rows(shared, warehouse, nodes, limit, observer))
}

/// The SQL of a node that is in no file of the project.
///
/// Errors: it can't be compiled; no connection.
pub fn compiled(
    shared: &Arc<Shared>,
    warehouse: &dyn BuildWarehouse,
    node: &Node,
    observer: &dyn Observer,
) -> Result<String> {
    deep(|| {
        let connection = listed(shared, warehouse)?;
        let asked = (!shared.manifest.world.project.options.asks_nothing).then_some(&connection);
        let compiled = compile::compile(shared, node, asked);
        tell(observer);
        compiled.map(|compiled| compiled.sql)
    })
}

fn rows(
    shared: &Arc<Shared>,
    warehouse: &dyn BuildWarehouse,
    nodes: &[&Node],
    limit: Option<u64>,
    observer: &dyn Observer,
) -> Result<Vec<Answer>> {
    let connection = listed(shared, warehouse)?;
    let mut answers = Vec::new();
    for node in nodes {
        let asked = (!shared.manifest.world.project.options.asks_nothing).then_some(&connection);
        let compiled = compile::compile(shared, node, asked);
        tell(observer);
        let sql = match node.resource {
            Resource::Seed => format!("select * from {}", node.relation().render()),
            _ => compiled?.sql,
        };
        let sql = sql.trim_end().trim_end_matches(';');
        let limit = limit.map(|limit| format!(" limit {limit}")).unwrap_or_default();
        let sql = format!("select * from (\n{sql}\n) as shown{limit}");
        let answer = connection.borrow_mut().query(&sql, ROWS_MAX);
        answers.push(answer.map_err(|error| warehouse_failed(error).around(names::describe(node)))?);
    }
    Ok(answers)
}
