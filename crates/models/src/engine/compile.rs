//! From a node's template to its SQL: rendered with what it refers to resolved, ephemeral models put in front as CTEs.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use millstream_core::build::BuildConnection;
use serde_json::{json, Map, Value as Json};

use super::live::{takes_ctes, NodeLive, Shared};
use crate::{
    context::scene::{Facts, Scene},
    error::{Problem, ProblemKind, Result},
    jinja::JinjaError,
    parse::{names, node::Node, reading::test_arguments},
};

/// A connection, as several contexts of one thread use it.
pub type SharedConnection = Rc<RefCell<Box<dyn BuildConnection>>>;

/// A node's SQL.
#[derive(Debug, Clone)]
pub struct Compiled {
    /// With CTEs.
    pub sql: String,
    /// The CTEs of ephemeral models: unique id and SQL.
    pub ctes: Vec<(String, String)>,
    /// What these models compile to themselves, with CTEs of their own.
    pub ephemeral: Vec<(String, String)>,
}

/// How deep ephemeral models may refer to each other; they can't be circular.
const EPHEMERAL_MAX: usize = 1_000;

/// The context of a node in a run.
pub fn scene(
    shared: &Arc<Shared>,
    node: &Node,
    connection: Option<&SharedConnection>,
) -> (Rc<Scene>, Rc<NodeLive>) {
    let live = Rc::new(NodeLive {
        shared: shared.clone(),
        package: node.package.clone(),
        depends_on: node.depends_on.clone(),
        connection: connection.cloned(),
        ephemeral: RefCell::default(),
    });
    let facts = Facts {
        package: node.package.clone(),
        resource: node.resource,
        this: node.relation(),
        model: node.to_json(),
        config: node.config.clone(),
    };
    (Scene::new(&shared.manifest.world, facts, Some(live.clone())), live)
}

/// An error of a node's template, with its place.
pub fn problem(shared: &Shared, node: &Node, error: JinjaError) -> Problem {
    Problem::from_jinja(error, |file| shared.manifest.text(file)).around(names::describe(node))
}

/// Compiles a node.
pub fn compile(shared: &Arc<Shared>, node: &Node, connection: Option<&SharedConnection>) -> Result<Compiled> {
    compile_at(shared, node, connection, 0)
}

fn compile_at(
    shared: &Arc<Shared>,
    node: &Node,
    connection: Option<&SharedConnection>,
    depth: usize,
) -> Result<Compiled> {
    if depth > EPHEMERAL_MAX {
        return Err(
            Problem::new(ProblemKind::Cycle, "ephemeral models refer to each other without end").into()
        );
    }
    let Some(template) = &node.template else {
        return Ok(Compiled { sql: String::new(), ctes: Vec::new(), ephemeral: Vec::new() });
    };
    let (scene, live) = scene(shared, node, connection);
    let failed = |error| problem(shared, node, error);
    let locals = match &node.test {
        Some(test) => {
            let arguments = test_arguments(&scene, &test.kwargs).map_err(failed)?;
            vec![(Arc::from("_dbt_generic_test_kwargs"), arguments)]
        }
        None => Vec::new(),
    };
    let sql = scene.interpreter().render(template, &locals).map_err(failed)?;
    let mut ctes: Vec<(String, String)> = Vec::new();
    let mut around: Vec<(String, String)> = Vec::new();
    if takes_ctes(node) {
        for id in live.ephemeral.borrow().iter() {
            let Some(ephemeral) = shared.manifest.nodes.get(id) else { continue };
            if ctes.iter().any(|(known, _)| known == id) {
                continue;
            }
            let inner = compile_at(shared, ephemeral, connection, depth + 1)?;
            around.extend(inner.ephemeral);
            around.push((id.clone(), inner.sql));
            for (id, cte) in inner.ctes {
                if !ctes.iter().any(|(known, _)| *known == id) {
                    ctes.push((id, cte));
                }
            }
            // Its own SQL without the CTEs, which stand before it by now.
            let own = own_sql(shared, ephemeral, connection)?;
            ctes.push((id.clone(), format!(" __dbt__cte__{} as (\n{own}\n)", ephemeral.name)));
        }
    }
    Ok(Compiled { sql: injected(&sql, &ctes), ctes, ephemeral: around })
}

fn own_sql(shared: &Arc<Shared>, node: &Node, connection: Option<&SharedConnection>) -> Result<String> {
    let Some(template) = &node.template else { return Ok(String::new()) };
    let (scene, _) = scene(shared, node, connection);
    Ok(scene.interpreter().render(template, &[]).map_err(|error| problem(shared, node, error))?)
}

/// The statement with CTEs in front: as the first of its own, where it has some.
fn injected(sql: &str, ctes: &[(String, String)]) -> String {
    if ctes.is_empty() {
        return sql.to_owned();
    }
    let list = ctes.iter().map(|(_, cte)| cte.as_str()).collect::<Vec<_>>().join(", ");
    match with_keyword(sql) {
        Some((after, recursive)) => {
            let before = if recursive { "with recursive" } else { "with" };
            let head = &sql[..sql[..after].to_lowercase().rfind("with").unwrap_or(0)];
            format!("{head}{before}{list}, {}", sql[after..].trim_start())
        }
        None => format!("with{list} {sql}"),
    }
}

/// Where a leading `with` or `with recursive` ends, comments before it passed over.
fn with_keyword(sql: &str) -> Option<(usize, bool)> {
    let mut at = 0;
    loop {
        at += sql[at..].len() - sql[at..].trim_start().len();
        if sql[at..].starts_with("--") {
            at += sql[at..].find('\n')? + 1;
        } else if sql[at..].starts_with("/*") {
            at += sql[at..].find("*/")? + 2;
        } else {
            break;
        }
    }
    let word = |at: usize| {
        let end = sql[at..].find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(sql.len() - at);
        (&sql[at..at + end], at + end)
    };
    let (first, after) = word(at);
    if !first.eq_ignore_ascii_case("with") {
        return None;
    }
    let next = after + (sql[after..].len() - sql[after..].trim_start().len());
    let (second, end) = word(next);
    Some(if second.eq_ignore_ascii_case("recursive") { (end, true) } else { (after, false) })
}

/// What the manifest and the results add for a compiled node.
pub fn compiled_json(compiled: &Compiled, path: &str) -> Map<String, Json> {
    let ctes: Vec<Json> = compiled.ctes.iter().map(|(id, sql)| json!({"id": id, "sql": sql})).collect();
    let mut map = Map::new();
    map.insert("compiled_path".into(), path.into());
    map.insert("compiled".into(), true.into());
    map.insert("compiled_code".into(), compiled.sql.as_str().into());
    map.insert("extra_ctes_injected".into(), true.into());
    map.insert("extra_ctes".into(), ctes.into());
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ctes_come_first_whatever_the_statement_begins_with() {
        let ctes = [("m".to_owned(), " __dbt__cte__e as (\nselect 1\n)".to_owned())];
        for (sql, expected) in [
            ("select 2", "with __dbt__cte__e as (\nselect 1\n) select 2"),
            (
                "with a as (select 3) select 4",
                "with __dbt__cte__e as (\nselect 1\n), a as (select 3) select 4",
            ),
            ("-- with\n WITH a as (x) y", "-- with\n with __dbt__cte__e as (\nselect 1\n), a as (x) y"),
            ("with recursive a as (x) y", "with recursive __dbt__cte__e as (\nselect 1\n), a as (x) y"),
            ("without", "with __dbt__cte__e as (\nselect 1\n) without"),
        ] {
            assert_eq!(injected(sql, &ctes), expected);
        }
    }
}
