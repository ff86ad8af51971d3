//! Nodes that are built by a macro, a materialization: one of a project's own, or the library's where a project has macros of its own for parts of it.

use std::{cell::RefCell, sync::Arc};

use serde_json::{json, Map, Value as Json};

use super::{
    build::Built,
    compile::{compiled_json, problem, scene_of, Compiled, SharedConnection},
    live::{NodeLive, Shared},
    run::output_path,
    test::Counted,
};
use crate::{
    context::relation::Relation,
    error::{Problem, ProblemKind, Result},
    jinja::{Args, Interrupt, Value},
    parse::{
        macros::MacroEntry,
        names,
        node::{Node, Resource},
    },
};

/// Builds a model, seed or snapshot, or runs a test, by a materialization in macros. Its statements begin and commit transactions as with dbt; what is not committed is undone.
///
/// Errors: the macro fails, gives no list of relations (but that of a test), has no main statement, or one that counts nothing (of a test); it is for other languages than SQL.
pub(super) fn run(
    shared: &Arc<Shared>,
    node: &Node,
    entry: &Arc<MacroEntry>,
    compiled: &Compiled,
    connection: &SharedConnection,
) -> Result<Built> {
    let done = called(shared, node, entry, compiled, connection);
    // Whatever nobody committed, or what a failure has left open.
    let undone = connection.borrow_mut().rollback();
    let listed = shared.list(&mut **connection.borrow_mut());
    let built = done?;
    undone.map_err(super::run::warehouse_failed)?;
    listed.map_err(|error| problem(shared, node, error))?;
    Ok(built)
}

fn called(
    shared: &Arc<Shared>,
    node: &Node,
    entry: &Arc<MacroEntry>,
    compiled: &Compiled,
    connection: &SharedConnection,
) -> Result<Built> {
    let wrong = |message: String| {
        Problem::new(ProblemKind::Configuration, message).around(format!(
            "in the materialization {} of {}",
            entry.unique_id,
            names::describe(node)
        ))
    };
    if entry.languages.as_ref().is_some_and(|all| !all.iter().any(|language| language == "sql")) {
        return Err(wrong("it is not for models in SQL".into()).into());
    }
    let mut model = node.to_json();
    if let (Json::Object(model), true) = (&mut model, node.resource != Resource::Seed) {
        model.extend(compiled_json(compiled, &output_path("compiled", node)));
    }
    let is_test = node.resource == Resource::Test;
    let hooks = |key: &str| node.config.get(key).filter(|_| !is_test).cloned().unwrap_or_else(|| json!([]));
    // What is not compiled has no SQL.
    let sql = || match node.resource {
        Resource::Seed => Json::Null,
        _ => compiled.sql.as_str().into(),
    };
    let own: Map<String, Json> = [
        ("pre_hooks", hooks("pre-hook")),
        ("post_hooks", hooks("post-hook")),
        ("sql", sql()),
        ("compiled_code", sql()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into_iter()
    .collect();
    let live = NodeLive {
        shared: shared.clone(),
        package: node.package.clone(),
        unique_id: node.unique_id.clone(),
        begins: true,
        own,
        main: RefCell::default(),
        kept_before: RefCell::default(),
        batch: None,
        unit: None,
        depends_on: node.depends_on.clone(),
        connection: Some(connection.clone()),
        ephemeral: RefCell::default(),
    };
    let (scene, live) = scene_of(shared, node, model, live);
    let called = scene.interpreter().call_macro(&entry.definition, Args::default());
    scene.keep();
    let value = match called {
        Ok(value) | Err(Interrupt::Return(value)) => value,
        Err(Interrupt::Error(error)) => return Err(problem(shared, node, *error).into()),
    };
    let relations = value.get("relations").filter(|_| matches!(value, Value::Dict(_)));
    let relations = relations.and_then(|list| list.items().ok());
    if !is_test && !relations.is_some_and(|list| list.iter().all(|one| one.downcast::<Relation>().is_some()))
    {
        return Err(wrong("it gives no list of relations".into())
            .hint("a materialization ends with {{ return({'relations': [target_relation]}) }}")
            .into());
    }
    let Some((response, table)) = scene.result("main") else {
        return Err(wrong("it has no main statement".into())
            .hint("one of its statements is {% call statement('main') %}, or store_result tells of one")
            .into());
    };
    let (message, response) = match response.to_json() {
        Json::Object(said) => (names::text(said.get("_message")), Json::Object(said)),
        other => (names::text(Some(&other)), json!({"_message": "OK"})),
    };
    if is_test {
        let counted = Counted::of(&table.answer()).map_err(|error| error.around(names::describe(node)))?;
        return Ok(counted.outcome(shared, node, response, live.main.take()));
    }
    Ok(Built { message: Some(message), response, ran: live.main.take(), ..Built::compiled() })
}
