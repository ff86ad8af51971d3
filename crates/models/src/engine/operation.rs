//! `run-operation`: one macro is called, with a connection.

use std::{rc::Rc, sync::Arc};

use millstream_core::build::BuildWarehouse;
use serde_json::{Map, Value as Json};

use super::{
    compile,
    live::Shared,
    run::{deep, listed, tell, Observer, Outcome, Status},
};
use crate::{
    error::{Problem, ProblemKind, Result},
    jinja::{Args, Interrupt, Value},
    parse::{
        macros::MacroEntry,
        names,
        node::{Node, Resource},
    },
    place::nearest,
};

/// The macro of a name, `package.macro` or a macro that the root project sees.
///
/// Errors: there is none.
pub fn find(shared: &Shared, name: &str) -> Result<Arc<MacroEntry>> {
    let world = &shared.manifest.world;
    let root = &world.project.root().name;
    let found = match name.split_once('.') {
        Some((package, name)) => world.macros.of_package(package, name),
        None => world.macros.find(root, root, name).or_else(|| {
            // dbt takes that of any package, where the project has none.
            world.macros.of_any(name)
        }),
    };
    if let Some(found) = found {
        return Ok(found.clone());
    }
    let known = world.macros.all.iter().map(|entry| entry.name.as_str());
    let mut problem = Problem::new(ProblemKind::Missing, format!("there is no macro `{name}`"));
    if let Some(meant) = nearest(name, known) {
        problem = problem.hint(format!("did you mean `{meant}`?"));
    }
    Err(problem.into())
}

/// Calls a macro. Statements of `statement` are in a transaction that only the macro itself can commit, as with dbt; those of `run_query` stand for themselves.
///
/// Errors: no connection. What goes wrong in the macro is the outcome.
pub fn run(
    shared: &Arc<Shared>,
    warehouse: &dyn BuildWarehouse,
    entry: &Arc<MacroEntry>,
    arguments: &Map<String, Json>,
    observer: &dyn Observer,
) -> Result<Outcome> {
    deep(|| call(shared, warehouse, entry, arguments, observer))
}

fn call(
    shared: &Arc<Shared>,
    warehouse: &dyn BuildWarehouse,
    entry: &Arc<MacroEntry>,
    arguments: &Map<String, Json>,
    observer: &dyn Observer,
) -> Result<Outcome> {
    let begun = names::now();
    let connection = listed(shared, warehouse)?;
    let (scene, _) = compile::scene(shared, &node(shared, entry), Some(&connection));
    let named = arguments.iter().map(|(name, value)| (Rc::from(name.as_str()), Value::from_json(value)));
    let args = Args { positional: Vec::new(), named: named.collect() };
    let done = scene.interpreter().call_macro(&entry.definition, args);
    // What nobody committed is undone; where the macro has ended the transaction itself, there is nothing to undo.
    let _ = connection.borrow_mut().rollback();
    tell(observer);
    let message = match done {
        Ok(_) | Err(Interrupt::Return(_)) => None,
        Err(Interrupt::Error(error)) => {
            Some(Problem::from_jinja(*error, |file| shared.manifest.text(file)).describe())
        }
    };
    Ok(Outcome {
        unique_id: entry.unique_id.clone(),
        status: if message.is_some() { Status::Error } else { Status::Success },
        failures: Some(message.is_some().into()),
        message,
        response: Json::Object(Map::new()),
        times: [begun, begun, names::now()],
        thread: 1,
        compiled: None,
        batches: None,
    })
}

/// The macro as a node of its package, which may refer to everything.
fn node(shared: &Shared, entry: &MacroEntry) -> Node {
    let mut node = Node::blank(
        Resource::Operation,
        &entry.package,
        &entry.name,
        &entry.original_path,
        &entry.original_path,
    );
    let target = &shared.manifest.world.project.target;
    (node.database, node.schema) = (target.database.clone(), target.schema.clone());
    node.depends_on = shared.manifest.all().map(|node| node.unique_id.clone()).collect();
    node
}
