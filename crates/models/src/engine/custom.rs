//! Models that are materialised by a macro: one of a project's own, or the library's where a project has macros of its own for parts of it.

use std::{cell::RefCell, sync::Arc};

use serde_json::{json, Map, Value as Json};

use super::{
    build::Built,
    compile::{compiled_json, problem, scene_of, Compiled, SharedConnection},
    live::{NodeLive, Shared},
    run::output_path,
};
use crate::{
    context::relation::Relation,
    error::{Problem, ProblemKind, Result},
    jinja::{Args, Interrupt, Value},
    parse::{macros::MacroEntry, names, node::Node},
};

/// Builds a model by a materialization in macros. Its statements begin and commit transactions as with dbt; what is not committed is undone.
///
/// Errors: the macro fails, gives no list of relations, or has no main statement; the model is in a language that it is not for.
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
    if let Json::Object(model) = &mut model {
        model.extend(compiled_json(compiled, &output_path("compiled", node)));
    }
    let hooks = |key: &str| node.config.get(key).cloned().unwrap_or_else(|| json!([]));
    let own: Map<String, Json> = [
        ("pre_hooks", hooks("pre-hook")),
        ("post_hooks", hooks("post-hook")),
        ("sql", compiled.sql.as_str().into()),
        ("compiled_code", compiled.sql.as_str().into()),
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
        batch: None,
        unit: None,
        depends_on: node.depends_on.clone(),
        connection: Some(connection.clone()),
        ephemeral: RefCell::default(),
    };
    let (scene, live) = scene_of(shared, node, model, live);
    let value = match scene.interpreter().call_macro(&entry.definition, Args::default()) {
        Ok(value) | Err(Interrupt::Return(value)) => value,
        Err(Interrupt::Error(error)) => return Err(problem(shared, node, *error).into()),
    };
    let relations = value.get("relations").filter(|_| matches!(value, Value::Dict(_)));
    let relations = relations.and_then(|list| list.items().ok());
    if !relations.is_some_and(|list| list.iter().all(|one| one.downcast::<Relation>().is_some())) {
        return Err(wrong("it gives no list of relations".into())
            .hint("a materialization ends with {{ return({'relations': [target_relation]}) }}")
            .into());
    }
    let Some(response) = scene.response("main") else {
        return Err(wrong("it has no main statement".into())
            .hint("one of its statements is {% call statement('main') %}, or store_result tells of one")
            .into());
    };
    let (message, response) = match response.to_json() {
        Json::Object(said) => (names::text(said.get("_message")), Json::Object(said)),
        other => (names::text(Some(&other)), json!({"_message": "OK"})),
    };
    Ok(Built { message: Some(message), response, ran: live.main.take(), ..Built::compiled() })
}
