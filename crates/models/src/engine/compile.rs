//! From a node's template to its SQL: rendered with what it refers to resolved, ephemeral models put in front as CTEs.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use indexmap::IndexMap;
use millstream_core::build::BuildConnection;
use serde_json::{json, Map, Value as Json};

use super::{
    live::{takes_ctes, NodeLive, Shared},
    unit,
};
use crate::{
    artifacts,
    context::scene::{Facts, Scene},
    error::{Problem, ProblemKind, Result},
    jinja::JinjaError,
    parse::{
        names,
        node::{Node, Resource},
        reading::test_arguments,
    },
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

/// How deep ephemeral models may refer to each other: each is rendered on the stack of the one that refers to it.
const EPHEMERAL_MAX: usize = 1_000;

/// The context of a node in a run.
pub fn scene(
    shared: &Arc<Shared>,
    node: &Node,
    connection: Option<&SharedConnection>,
) -> (Rc<Scene>, Rc<NodeLive>) {
    let live = NodeLive {
        shared: shared.clone(),
        package: node.package.clone(),
        unique_id: node.unique_id.clone(),
        // A hook is an operation too, but has a template: its statements stand for themselves.
        begins: node.resource == Resource::Operation && node.template.is_none(),
        own: Map::new(),
        main: RefCell::default(),
        kept_before: RefCell::default(),
        batch: node.batch.clone(),
        unit: None,
        depends_on: node.depends_on.clone(),
        connection: connection.cloned(),
        ephemeral: RefCell::default(),
    };
    let mut model = match node.resource {
        Resource::Source => artifacts::source(node),
        _ => node.to_json(),
    };
    if let (Some(batch), Json::Object(model)) = (&node.batch, &mut model) {
        model.insert("batch".into(), batch.json());
    }
    scene_of(shared, node, model, live)
}

/// The context of a node whose templates know more than others.
pub(super) fn scene_of(
    shared: &Arc<Shared>,
    node: &Node,
    model: Json,
    live: NodeLive,
) -> (Rc<Scene>, Rc<NodeLive>) {
    let facts = Facts {
        package: node.package.clone(),
        resource: node.resource,
        this: node.relation(),
        model,
        config: node.config.clone(),
    };
    let live = Rc::new(live);
    (Scene::new(&shared.manifest.world, facts, Some(live.clone())), live)
}

/// An error of a node's template, with its place.
pub fn problem(shared: &Shared, node: &Node, error: JinjaError) -> Problem {
    Problem::from_jinja(error, |file| shared.manifest.text(file)).around(names::describe(node))
}

/// Compiles a node.
///
/// Errors: its template or one of an ephemeral model that it refers to can't be rendered.
pub fn compile(shared: &Arc<Shared>, node: &Node, connection: Option<&SharedConnection>) -> Result<Compiled> {
    if let Some(unit) = &node.unit {
        return unit::compile(shared, node, unit, connection);
    }
    let mut ephemeral = IndexMap::new();
    let rendered = render(shared, node, connection, &mut ephemeral, 0)?;
    Ok(Compiled {
        sql: rendered.sql,
        ctes: rendered.ctes,
        ephemeral: ephemeral.into_iter().map(|(id, rendered)| (id, rendered.sql)).collect(),
    })
}

/// What a template rendered to.
struct Rendered {
    /// Without CTEs.
    own: String,
    /// With them.
    sql: String,
    ctes: Vec<(String, String)>,
}

/// Renders a node. Each ephemeral model behind it is rendered once, however many ways lead there, and kept in `ephemeral`.
fn render(
    shared: &Arc<Shared>,
    node: &Node,
    connection: Option<&SharedConnection>,
    ephemeral: &mut IndexMap<String, Rendered>,
    depth: usize,
) -> Result<Rendered> {
    if depth > EPHEMERAL_MAX {
        let message = format!("more than {EPHEMERAL_MAX} ephemeral models refer to each other in a row");
        return Err(Problem::new(ProblemKind::Cycle, message)
            .around(names::describe(node))
            .hint("make one of them a view or a table")
            .into());
    }
    let mut ctes: Vec<(String, String)> = Vec::new();
    let Some(template) = &node.template else {
        return Ok(Rendered { own: String::new(), sql: String::new(), ctes });
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
    let own = scene.interpreter().render(template, &locals).map_err(failed)?;
    scene.keep();
    if takes_ctes(node) {
        for id in live.ephemeral.take() {
            let Some(model) = shared.manifest.nodes.get(&id) else { continue };
            if ctes.iter().any(|(known, _)| *known == id) {
                continue;
            }
            if !ephemeral.contains_key(&id) {
                let rendered = render(shared, model, connection, ephemeral, depth + 1)?;
                ephemeral.insert(id.clone(), rendered);
            }
            let inner = &ephemeral[&id];
            for (id, cte) in &inner.ctes {
                if !ctes.iter().any(|(known, _)| known == id) {
                    ctes.push((id.clone(), cte.clone()));
                }
            }
            let cte = format!(" __dbt__cte__{} as (\n{}\n)", model.name, inner.own);
            ctes.push((id, cte));
        }
    }
    Ok(Rendered { sql: injected(&own, &ctes), own, ctes })
}

/// The statement with CTEs in front: as the first of its own, where it has some.
pub(super) fn injected(sql: &str, ctes: &[(String, String)]) -> String {
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
