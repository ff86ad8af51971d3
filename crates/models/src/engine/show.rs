//! `show`: the first rows that a node's SQL gives. Nothing is built.

use std::sync::Arc;

use millstream_core::build::{Answer, BuildWarehouse};

use super::{
    compile::{self, SharedConnection},
    live::Shared,
    run::{deep, listed, tell, warehouse_failed, Observer},
};
use crate::{
    error::Result,
    jinja::{Args, Interrupt, Value},
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

/// The first rows of a query: by the macro of the project's own, where it has one for that.
fn limited(
    shared: &Arc<Shared>,
    node: &Node,
    sql: &str,
    limit: Option<u64>,
    connection: &SharedConnection,
) -> Result<String> {
    let macros = &shared.manifest.world.macros;
    if ["get_limit_sql", "get_limit_subquery_sql"].iter().any(|name| macros.overrides(name)) {
        let (scene, _) = compile::scene(shared, node, Some(connection));
        if let Some(entry) = scene.find_macro("get_limit_subquery_sql") {
            let limit = limit.map_or(Value::None, |limit| Value::from(limit as usize));
            let called =
                scene.interpreter().call_macro(&entry.definition, Args::of([Value::from(sql), limit]));
            return match called {
                Ok(sql) | Err(Interrupt::Return(sql)) => Ok(sql.to_string()),
                Err(Interrupt::Error(error)) => Err(compile::problem(shared, node, *error).into()),
            };
        }
    }
    let limit = limit.map(|limit| format!(" limit {limit}")).unwrap_or_default();
    Ok(format!("select * from (\n{sql}\n) as shown{limit}"))
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
        let sql = limited(shared, node, sql, limit, &connection)?;
        let answer = connection.borrow_mut().query(&sql, ROWS_MAX);
        answers.push(answer.map_err(|error| warehouse_failed(error).around(names::describe(node)))?);
    }
    Ok(answers)
}
