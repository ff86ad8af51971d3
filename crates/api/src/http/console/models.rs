//! The project's models: what there is, how each was last built and tested, and what it is made of.

use std::collections::HashMap;

use axum::{http::request::Parts, response::Response};
use millstream_core::Timestamp;
use millstream_store::{ModelNode, ModelOutcome, ModelRun, Store};
use serde_json::{json, Map, Value};

use super::{super::route::Site, document, one as one_of, parameters};
use crate::{as_of, problem::Problem};

const DOING: &str = "looking at the models";

/// Runs that are listed.
const RUNS_MAX: usize = 20;

/// All nodes but tests, which are counted with what they are about, and the last runs.
pub(super) async fn list(site: &Site, parts: &Parts) -> Result<Response, Problem> {
    parameters(parts, &[])?;
    let host = site.host().clone();
    let project = host.has_dbt_project().then(|| host.project().to_owned());
    let read = move |_: &_| {
        let store = host.store().map_err(fail)?;
        let nodes = store.model_nodes().map_err(failed)?;
        let last = store.last_model_outcomes().map_err(failed)?;
        let runs = store.model_runs(RUNS_MAX).map_err(failed)?;
        let runs = runs.into_iter().map(|run| {
            json!({
                "id": run.invocation, "verb": run.verb, "at": instant(run.began_micros),
                "seconds": seconds(run.elapsed_micros), "counts": parsed(&run.counts),
            })
        });
        Ok((nodes, last, runs.collect::<Vec<_>>()))
    };
    let (nodes, last, runs) = site.answers.reading().with_turn(DOING, read).await?;
    // What was built is another project's where there is none any more.
    let nodes = if project.is_some() { listed(&documents(&nodes), &last) } else { Vec::new() };
    Ok(document(parts, &json!({"project": project, "nodes": nodes, "runs": runs})))
}

/// One node.
pub(super) async fn one(site: &Site, parts: &Parts, id: &str) -> Result<Response, Problem> {
    parameters(parts, &[])?;
    let host = site.host().clone();
    let id = id.to_owned();
    let read = move |_: &_| {
        let store = host.store().map_err(fail)?;
        let mut found = of_node(&store, &id)?;
        // Columns as they are in the warehouse, behind what the project says of them.
        let types = relation(&found).and_then(|sql| {
            let described = host.reader().ok()?.describe(&sql, millstream_core::Trust::Owner, None).ok()?;
            Some(described.columns)
        });
        found["columns"] = columns(&found, &types.unwrap_or_default());
        Ok(found)
    };
    let found = site.answers.reading().with_turn(DOING, read).await?;
    Ok(document(parts, &found))
}

/// A run with what became of its nodes.
pub(super) async fn run(site: &Site, parts: &Parts, id: &str) -> Result<Response, Problem> {
    parameters(parts, &[])?;
    let host = site.host().clone();
    let id = id.to_owned();
    let read = move |_: &_| {
        let store = host.store().map_err(fail)?;
        let missing = || {
            Problem::not_found(format!("there is no run {id}"))
                .hint("The last 200 are kept. GET /api/models lists the newest of them.")
        };
        let run = store.model_run(&id).map_err(failed)?.ok_or_else(missing)?;
        let outcomes = store.model_outcomes_of_run(&id).map_err(failed)?;
        let nodes = store.model_nodes().map_err(failed)?;
        Ok(of_run(&run, &outcomes, &documents(&nodes)))
    };
    let found = site.answers.reading().with_turn(DOING, read).await?;
    Ok(document(parts, &found))
}

/// Where a column comes from and what is made of it.
pub(super) async fn lineage(site: &Site, parts: &Parts, id: &str) -> Result<Response, Problem> {
    let given = parameters(parts, &["column"])?;
    let column = one_of(&given, "column")?
        .ok_or_else(|| Problem::parameter("column", "the name of a column", "nothing"))?
        .to_owned();
    let host = site.host().clone();
    let id = id.to_owned();
    let read = move |_: &_| {
        let found = host.column_lineage(&id, &column).map_err(fail)?;
        found.ok_or_else(|| {
            Problem::not_found(format!("there is no column {column} of a node {id}"))
                .hint("GET /api/models/{id} lists the columns of a node.")
        })
    };
    let found = site.answers.reading().with_turn(DOING, read).await?;
    Ok(document(parts, &found))
}

fn fail(error: millstream_core::BoxedDiagnostic) -> Problem {
    Problem::of(&error, DOING, false)
}

fn failed(error: millstream_store::StoreError) -> Problem {
    fail(error.into())
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

fn instant(micros: i64) -> Option<String> {
    as_of::print(Timestamp(micros))
}

fn seconds(micros: i64) -> f64 {
    micros as f64 / 1e6
}

fn ended(outcome: &ModelOutcome) -> Value {
    json!({
        "run": outcome.invocation, "status": outcome.status, "at": instant(outcome.began_micros),
        "seconds": seconds(outcome.elapsed_micros), "failures": outcome.failures, "message": outcome.message,
    })
}

/// The nodes that tests are about: all that a test of no node's own reads.
fn about(document: &Value) -> impl Iterator<Item = &str> {
    document["check"]["about"].as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// Each node's id and what is known of it.
fn documents(nodes: &[ModelNode]) -> Vec<(&str, Value)> {
    nodes.iter().map(|node| (node.id.as_str(), parsed(&node.document))).collect()
}

fn listed(documents: &[(&str, Value)], last: &[ModelOutcome]) -> Vec<Value> {
    let last: HashMap<&str, &ModelOutcome> =
        last.iter().map(|outcome| (outcome.id.as_str(), outcome)).collect();
    let mut tests: HashMap<&str, Map<String, Value>> = HashMap::new();
    for (id, document) in documents {
        let status = last.get(id).map(|outcome| outcome.status.as_str());
        for about in about(document) {
            let counts = tests.entry(about).or_default();
            for key in ["total"].into_iter().chain(status) {
                let count = counts.get(key).and_then(Value::as_u64).unwrap_or(0);
                counts.insert(key.to_owned(), (count + 1).into());
            }
        }
    }
    let others = documents.iter().filter(|(_, document)| document["check"].is_null());
    let node = |(id, document): &(&str, Value)| {
        let mut node = document.clone();
        node["id"] = json!(id);
        node["last"] = last.get(id).map_or(Value::Null, |outcome| ended(outcome));
        let counts = tests.get(id);
        let count = |key: &str| counts.and_then(|counts| counts.get(key)).cloned().unwrap_or(0.into());
        let keys = ["total", "pass", "warn", "fail", "error", "skipped"];
        node["tests"] = keys.iter().map(|key| ((*key).to_owned(), count(key))).collect::<Map<_, _>>().into();
        if let Value::Object(fields) = &mut node {
            // Read with the node itself: of a thousand they would be most of the document.
            ["raw", "columns", "lineage"].iter().for_each(|key| drop(fields.remove(*key)));
        }
        node
    };
    others.map(node).collect()
}

/// A node with what is known of it alone; its columns as the project tells them.
fn of_node(store: &Store, id: &str) -> Result<Value, Problem> {
    let missing =
        || Problem::not_found(format!("there is no model {id}")).hint("GET /api/models lists them.");
    let nodes = store.model_nodes().map_err(failed)?;
    let documents = documents(&nodes);
    let last = store.last_model_outcomes().map_err(failed)?;
    let mut found =
        listed(&documents, &last).into_iter().find(|listed| listed["id"] == id).ok_or_else(missing)?;
    let (mut children, mut checks) = (Vec::new(), Vec::new());
    for (other, (_, told)) in nodes.iter().zip(&documents) {
        let check = &told["check"];
        if other.id == id {
            found["raw"] = told["raw"].clone();
            found["columns"] = told["columns"].clone();
            found["compiled"] = json!(other.compiled);
        }
        if !check.is_null() && about(told).any(|about| about == id) {
            let history = store.model_outcomes(&other.id).map_err(failed)?;
            checks.push(json!({
                "id": other.id, "name": told["name"], "kind": check["kind"], "column": check["column"],
                "severity": check["severity"], "path": told["path"], "compiled": other.compiled,
                "history": history.iter().map(ended).collect::<Vec<_>>(),
            }));
        } else if check.is_null()
            && told["parents"].as_array().is_some_and(|all| all.iter().any(|parent| parent == id))
        {
            children.push(other.id.clone());
        }
    }
    found["children"] = json!(children);
    found["checks"] = json!(checks);
    let history = store.model_outcomes(id).map_err(failed)?;
    found["history"] = history.iter().map(ended).collect::<Vec<_>>().into();
    Ok(found)
}

/// A run and its nodes in the order in which they began.
fn of_run(run: &ModelRun, outcomes: &[ModelOutcome], documents: &[(&str, Value)]) -> Value {
    let documents: HashMap<&str, &Value> = documents.iter().map(|(id, document)| (*id, document)).collect();
    let counts = parsed(&run.counts);
    let ran = counts.as_object().into_iter().flat_map(Map::values).filter_map(Value::as_u64).sum::<u64>();
    let nodes = outcomes.iter().map(|outcome| {
        let told = documents.get(outcome.id.as_str()).copied().unwrap_or(&Value::Null);
        let mut node = ended(outcome);
        node["id"] = json!(outcome.id);
        node["resource"] = told["resource"].clone();
        node["name"] = told["name"].clone();
        node["about"] = told["check"]["about"].clone();
        node["rows"] = json!(outcome.rows);
        if let Value::Object(fields) = &mut node {
            fields.remove("run");
        }
        node
    });
    json!({
        "id": run.invocation, "verb": run.verb, "at": instant(run.began_micros),
        "seconds": seconds(run.elapsed_micros), "counts": counts, "nodes": nodes.collect::<Vec<_>>(),
        "no_longer_kept": ran.saturating_sub(outcomes.len() as u64),
    })
}

/// What reads all of a node's relation.
fn relation(found: &Value) -> Option<String> {
    let quoted = |key: &str| Some(format!("\"{}\"", found["relation"][key].as_str()?.replace('"', "\"\"")));
    Some(format!("SELECT * FROM {}.{}", quoted("schema")?, quoted("name")?))
}

/// The columns: those that are there in their order with their types, then those that the project speaks of and that are not.
fn columns(found: &Value, types: &[(String, String)]) -> Value {
    let said: Vec<&Value> = found["columns"].as_array().into_iter().flatten().collect();
    let tests = |name: &str| -> Value {
        let of_column =
            found["checks"].as_array().into_iter().flatten().filter(|check| {
                check["column"].as_str().is_some_and(|column| column.eq_ignore_ascii_case(name))
            });
        of_column.map(|check| check["kind"].clone()).collect()
    };
    let is =
        |column: &Value, name: &str| column["name"].as_str().is_some_and(|n| n.eq_ignore_ascii_case(name));
    let there = types.iter().map(|(name, of)| {
        let description = said
            .iter()
            .find(|column| is(column, name))
            .map_or("", |column| column["description"].as_str().unwrap_or_default());
        json!({"name": name, "type": of, "description": description, "tests": tests(name)})
    });
    let missing =
        said.iter().filter(|column| !types.iter().any(|(name, _)| is(column, name))).map(|column| {
            json!({
                "name": column["name"], "type": column["type"],
                "description": column["description"].as_str().unwrap_or_default(),
                "tests": tests(column["name"].as_str().unwrap_or_default()),
            })
        });
    there.chain(missing).collect()
}
