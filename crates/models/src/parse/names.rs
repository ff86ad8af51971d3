//! Where a node's relation is and what it is called: `generate_schema_name` and its like; and fully qualified names.

use std::{collections::HashMap, sync::Arc};

use serde_json::Value as Json;

use super::{
    node::{Node, Resource},
    version,
};
use crate::{
    context::{
        relation::Relation,
        scene::{Facts, Scene, World},
    },
    error::{Problem, Result},
    jinja::{Args, Interrupt, Value},
    place::Text,
};

/// Seconds since 1970.
pub fn now() -> f64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_secs_f64())
}

/// A path without its first directory.
pub fn below(original_path: &str) -> String {
    original_path.split_once('/').map_or(original_path, |(_, below)| below).to_owned()
}

/// Package, the directories of a path, name.
pub fn fqn(package: &str, relative: &str, name: &str) -> Vec<String> {
    let dirs = relative.rsplit_once('/').map(|(dirs, _)| dirs.split('/').map(str::to_owned).collect());
    let dirs: Vec<String> = dirs.unwrap_or_default();
    [package.to_owned()].into_iter().chain(dirs).chain([name.to_owned()]).collect()
}

const MACROS: [(&str, &str); 3] = [
    ("generate_database_name", "database"),
    ("generate_schema_name", "schema"),
    ("generate_alias_name", "alias"),
];

/// What `this` is before a node's own place is known.
pub fn provisional(world: &World, name: &str) -> Relation {
    let target = &world.project.target;
    Relation::new(&target.database, &target.schema, name)
}

/// Gives nodes database, schema and alias. dbt's own rules are built in; a project's are asked for.
pub fn assign(world: &Arc<World>, nodes: &mut [Node], texts: &HashMap<Arc<str>, Arc<Text>>) -> Result<()> {
    let overridden = MACROS.map(|(name, _)| world.macros.overrides(name));
    for node in nodes {
        let parts = [0, 1, 2].map(|at| (at, node.config_str(MACROS[at].1).map(str::to_owned)));
        let mut named: [String; 3] = Default::default();
        for (at, custom) in parts {
            named[at] = if overridden[at] {
                generated(world, node, MACROS[at].0, custom, texts)?
            } else {
                builtin(world, node, at, custom)
            };
        }
        // Where snapshots were once told to be goes before all rules, with dbt too.
        for (at, key) in [(0, "target_database"), (1, "target_schema")] {
            let target = node.config_str(key).filter(|target| !target.is_empty());
            if let Some(target) = target.filter(|_| node.resource == Resource::Snapshot) {
                named[at] = target.to_owned();
            }
        }
        let [database, schema, alias] = named;
        (node.database, node.schema, node.alias) = (database, schema, alias);
    }
    Ok(())
}

fn builtin(world: &World, node: &Node, at: usize, custom: Option<String>) -> String {
    let target = &world.project.target;
    match (at, custom) {
        (0, custom) => custom.unwrap_or_else(|| target.database.clone()),
        (1, None) => target.schema.clone(),
        (1, Some(custom)) => format!("{}_{}", target.schema, custom.trim()),
        (_, Some(custom)) if !custom.is_empty() => custom.trim().to_owned(),
        _ => match node.version() {
            Some(version) => format!("{}_v{}", node.name, version::text(version).replace('.', "_")),
            None => node.name.clone(),
        },
    }
}

fn generated(
    world: &Arc<World>,
    node: &Node,
    name: &str,
    custom: Option<String>,
    texts: &HashMap<Arc<str>, Arc<Text>>,
) -> Result<String> {
    let facts = Facts {
        // The macros of the root project say how everything is named.
        package: world.project.root().name.clone(),
        resource: node.resource,
        this: provisional(world, &node.name),
        model: node.to_json(),
        config: node.config.clone(),
    };
    let scene = Scene::new(world, facts, None);
    let Some(entry) = scene.find_macro(name).cloned() else { return Ok(node.name.clone()) };
    let args = Args::of([Value::from(custom), Value::from_json(&node.to_json())]);
    match scene.interpreter().call_macro(&entry.definition, args) {
        Ok(value) => Ok(value.to_string().trim().to_owned()),
        Err(Interrupt::Return(value)) => Ok(value.to_string().trim().to_owned()),
        Err(Interrupt::Error(error)) => {
            let problem = Problem::from_jinja(*error, |file| texts.get(file).cloned());
            Err(problem.around(describe(node)).into())
        }
    }
}

/// A node as messages name it.
pub fn describe(node: &Node) -> String {
    let kind = match node.resource {
        Resource::Test if node.test.is_some() => "test",
        other => other.name(),
    };
    format!("in {kind} {} ({})", node.name, node.original_path)
}

/// Text of a JSON string.
pub fn text(json: Option<&Json>) -> String {
    json.and_then(Json::as_str).unwrap_or_default().to_owned()
}
