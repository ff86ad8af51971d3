//! The files that other tools read: `manifest.json` (v12), `run_results.json` (v6), `sources.json` (v3) and `catalog.json` (v1); and `lineage.json`, which is our own.

use std::{collections::HashMap, fmt::Display, path::Path};

use serde_json::{json, Map, Value as Json};

use crate::{
    columns::project::{self, Columns},
    context::modules::Moment,
    engine::{
        batches::Batches,
        catalog::Catalog,
        compile::{compiled_json, Compiled},
        freshness::{self, Checked},
        run::{output_path, Outcome, Status},
    },
    error::Result,
    hash::md5,
    parse::{
        calls::calls,
        in_threads, names,
        node::{Node, RefArgs, Resource},
        Manifest,
    },
    project::{files, package::DBT_VERSION},
    select::Graph,
};

/// A moment as artifacts have it.
fn moment(us: i64) -> String {
    Moment::utc(us).iso("T").replace("+00:00", "Z")
}

/// A moment in seconds since 1970, as artifacts and logs have it.
pub fn seconds(at: f64) -> String {
    moment((at * 1e6) as i64)
}

fn metadata(manifest: &Manifest, kind: &str, now: f64) -> Json {
    let options = &manifest.world.project.options;
    json!({
        "dbt_schema_version": format!("https://schemas.getdbt.com/dbt/{kind}.json"),
        "dbt_version": DBT_VERSION,
        "generated_at": seconds(now),
        "invocation_id": options.invocation_id,
        "invocation_started_at": moment(options.started_us),
        "env": options.metadata().map(|(name, value)| (name.to_owned(), value.into())).collect::<Map<_, _>>(),
    })
}

/// The text of the manifest; nodes in `compiled` with their SQL. Nodes are nearly all of it, so they are written by all processors, and none is
/// kept as a tree.
pub fn manifest(manifest: &Manifest, compiled: &HashMap<String, Compiled>, now: f64) -> Result<String> {
    let nodes: Vec<&Node> =
        manifest.nodes.values().filter(|node| node.resource != Resource::UnitTest).collect();
    let written = in_threads(&nodes, |node| {
        let json = in_manifest(manifest, node, compiled.get(&node.unique_id));
        Ok(format!("{}:{json}", Json::from(node.unique_id.as_str())))
    })?;
    let sections = sections(manifest, now);
    let mut text =
        String::with_capacity(written.iter().map(|node| node.len() + 1).sum::<usize>() + (1 << 16));
    for (name, section) in &sections {
        text.push(if text.is_empty() { '{' } else { ',' });
        text.push_str(&format!("\"{name}\":"));
        match section {
            Section::Nodes => {
                text.push('{');
                for (at, node) in written.iter().enumerate() {
                    text.push_str(if at == 0 { "" } else { "," });
                    text.push_str(node);
                }
                text.push('}');
            }
            Section::Other(json) => text.push_str(&json.to_string()),
        }
    }
    text.push('}');
    Ok(text)
}

/// A node as the manifest has it, with its SQL where it was compiled.
fn in_manifest(manifest: &Manifest, node: &Node, compiled: Option<&Compiled>) -> Json {
    let mut json = node.to_json();
    if let (Some(compiled), Json::Object(map)) = (compiled, &mut json) {
        if node.resource != Resource::Seed {
            let dir = manifest.world.project.target_name();
            map.extend(compiled_json(compiled, &format!("{dir}/{}", output_path("compiled", node))));
        }
    }
    json
}

/// A part of the manifest.
enum Section {
    Nodes,
    Other(Json),
}

/// The manifest's parts in their order.
fn sections(manifest: &Manifest, now: f64) -> Vec<(&'static str, Section)> {
    let project = &manifest.world.project;
    let mut head = metadata(manifest, "manifest/v12", now);
    if let Json::Object(map) = &mut head {
        map.extend([
            ("project_name".to_owned(), json!(project.root().name)),
            ("project_id".to_owned(), json!(md5(&project.root().name))),
            ("user_id".to_owned(), Json::Null),
            ("send_anonymous_usage_stats".to_owned(), json!(false)),
            ("adapter_type".to_owned(), json!(project.target.kind.name())),
            (
                "quoting".to_owned(),
                json!({"database": true, "schema": true, "identifier": true, "column": null}),
            ),
        ]);
    }
    let units = manifest.nodes.values().filter(|node| node.resource == Resource::UnitTest);
    let section =
        |nodes: &mut dyn Iterator<Item = (String, Json)>| -> Json { nodes.collect::<Map<_, _>>().into() };
    let macros = manifest.world.macros.all.iter();
    let mut disabled: Map<String, Json> = Map::new();
    for node in &manifest.disabled {
        let entry = disabled.entry(node.unique_id.clone()).or_insert_with(|| json!([]));
        if let Json::Array(all) = entry {
            all.push(any_json(node));
        }
    }
    let graph = Graph::of(manifest);
    let map = |edges: &dyn Fn(&str) -> Vec<String>| -> Json {
        let ids = manifest.all().map(|node| (node.unique_id.clone(), json!(edges(&node.unique_id))));
        ids.collect::<Map<_, _>>().into()
    };
    let sorted = |ids: &[String]| {
        let mut ids = ids.to_vec();
        ids.sort();
        ids
    };
    let mut groups: Map<String, Json> = Map::new();
    for node in manifest.nodes.values() {
        if let Some(Json::Array(all)) =
            node.group().map(|group| groups.entry(group.to_owned()).or_insert_with(|| json!([])))
        {
            all.push(node.unique_id.as_str().into());
        }
    }
    let of_nodes = [("metadata", Section::Other(head)), ("nodes", Section::Nodes)];
    let others = [
        (
            "sources",
            section(&mut manifest.sources.values().map(|node| (node.unique_id.clone(), source(node)))),
        ),
        (
            "macros",
            section(
                &mut macros.map(|entry| {
                    (entry.unique_id.clone(), entry.to_json(&calls(&manifest.world, entry), now))
                }),
            ),
        ),
        ("docs", section(&mut manifest.docs.0.values().map(|doc| (doc.unique_id.clone(), doc.to_json())))),
        (
            "exposures",
            section(&mut manifest.exposures.values().map(|node| (node.unique_id.clone(), exposure(node)))),
        ),
        ("metrics", json!({})),
        ("groups", section(&mut manifest.groups.iter().map(|(id, group)| (id.clone(), group.clone())))),
        ("selectors", json!({})),
        ("disabled", disabled.into()),
        ("parent_map", map(&|id| sorted(graph.parents_of(id)))),
        ("child_map", map(&|id| sorted(graph.children_of(id)))),
        ("group_map", groups.into()),
        ("saved_queries", json!({})),
        ("semantic_models", json!({})),
        ("unit_tests", section(&mut units.map(|node| (node.unique_id.clone(), unit_test(node))))),
        ("functions", json!({})),
    ];
    of_nodes.into_iter().chain(others.into_iter().map(|(name, json)| (name, Section::Other(json)))).collect()
}

/// Anything, as the manifest has it.
pub fn any_json(node: &Node) -> Json {
    match node.resource {
        Resource::Source => source(node),
        Resource::Exposure => exposure(node),
        Resource::UnitTest => unit_test(node),
        _ => node.to_json(),
    }
}

/// A unit test, as the manifest has it.
pub fn unit_test(node: &Node) -> Json {
    let mut json = json!({
        "name": node.name, "resource_type": "unit_test", "package_name": node.package,
        "path": names::below(&node.original_path), "original_file_path": node.original_path, "unique_id": node.unique_id,
        "fqn": node.fqn, "description": node.description, "depends_on": {"macros": [], "nodes": node.depends_on},
        "config": node.config, "checksum": null, "schema": node.schema, "created_at": node.created_at,
    });
    if let Json::Object(map) = &mut json {
        map.extend(node.extra.clone());
    }
    json
}

/// A table of a source, as the manifest has it.
pub fn source(node: &Node) -> Json {
    let mut config = node.config.clone();
    config.shift_remove("quoting");
    let mut json = json!({
        "database": node.database, "schema": node.schema, "name": node.name, "resource_type": "source",
        "package_name": node.package, "path": node.path, "original_file_path": node.original_path,
        "unique_id": node.unique_id, "fqn": node.fqn, "description": node.description, "columns": node.columns,
        "meta": node.config.get("meta"), "tags": node.tags(), "config": config, "patch_path": null,
        "unrendered_config": node.unrendered, "relation_name": node.relation_name(), "created_at": node.created_at,
        "doc_blocks": node.doc_blocks,
    });
    if let Json::Object(map) = &mut json {
        map.extend(node.extra.clone());
    }
    json
}

/// An exposure, as the manifest has it.
pub fn exposure(node: &Node) -> Json {
    let of = |key: &str| node.extra.get(key).cloned().unwrap_or(Json::Null);
    json!({
        "name": node.name, "resource_type": "exposure", "package_name": node.package, "path": node.path,
        "original_file_path": node.original_path, "unique_id": node.unique_id, "fqn": node.fqn, "type": of("type"),
        "owner": of("owner"), "description": node.description, "label": of("label"), "maturity": of("maturity"),
        "meta": node.config.get("meta"), "tags": node.tags(), "config": node.config,
        "unrendered_config": {}, "url": of("url"),
        "depends_on": {"macros": [], "nodes": node.depends_on},
        "refs": node.refs.iter().map(RefArgs::to_json).collect::<Vec<_>>(),
        "sources": node.sources.iter().map(|(source, table)| json!([source, table])).collect::<Vec<_>>(),
        "metrics": [], "created_at": node.created_at,
    })
}

/// The results of a run.
pub fn run_results(
    manifest: &Manifest,
    outcomes: &[Outcome],
    elapsed: f64,
    arguments: &Json,
    now: f64,
) -> Json {
    let results: Vec<Json> = outcomes.iter().map(|outcome| result(manifest, outcome)).collect();
    json!({
        "metadata": metadata(manifest, "run-results/v6", now),
        "results": results,
        "elapsed_time": elapsed,
        "args": arguments,
    })
}

/// What the warehouse says of relations: `catalog.json` (v1).
pub fn catalog(manifest: &Manifest, catalog: Catalog, now: f64) -> Json {
    json!({
        "metadata": metadata(manifest, "catalog/v1", now),
        "nodes": catalog.nodes,
        "sources": catalog.sources,
        "errors": null,
    })
}

/// Where the columns of nodes come from: `lineage.json` (v1), a form of our own, described in docs/reference/dbt.md.
pub fn lineage(manifest: &Manifest, columns: &Columns, now: f64) -> Json {
    let mut head = metadata(manifest, "lineage/v1", now);
    if let Json::Object(map) = &mut head {
        map.shift_remove("dbt_schema_version");
        map.insert("millstream_lineage_version".into(), 1.into());
    }
    let nodes: Map<String, Json> =
        columns.0.iter().map(|(id, lineage)| (id.clone(), project::node_json(lineage))).collect();
    json!({"metadata": head, "nodes": nodes})
}

/// How old the tables of sources are: `sources.json` (v3).
pub fn sources(manifest: &Manifest, all: &[Checked], elapsed: f64, now: f64) -> Json {
    json!({
        "metadata": metadata(manifest, "sources/v3", now),
        "results": freshness::results(all),
        "elapsed_time": elapsed,
    })
}

/// What became of a node, as results have it.
pub fn result(manifest: &Manifest, outcome: &Outcome) -> Json {
    let node = manifest.nodes.get(&outcome.unique_id);
    let [begun, compiled, done] = outcome.times;
    let timing = match outcome.status {
        Status::Skipped => json!([]),
        _ => json!([
            {"name": "compile", "started_at": seconds(begun), "completed_at": seconds(compiled)},
            {"name": "execute", "started_at": seconds(compiled), "completed_at": seconds(done)},
        ]),
    };
    let is_seed = node.is_some_and(|node| node.resource == Resource::Seed);
    let sql = outcome.compiled.as_ref().filter(|_| !is_seed).map(|compiled| compiled.sql.as_str());
    json!({
        "status": outcome.status.name(),
        "timing": timing,
        "thread_id": format!("Thread-{} (worker)", outcome.thread),
        "execution_time": done - begun,
        "adapter_response": outcome.response,
        "message": outcome.message,
        "failures": outcome.failures,
        "unique_id": outcome.unique_id,
        "compiled": sql.map(|_| true),
        "compiled_code": sql,
        "relation_name": node.filter(|_| !is_seed).and_then(Node::relation_name),
        "batch_results": outcome.batches.as_ref().map(Batches::json),
    })
}

/// Writes an artifact into the target directory.
pub fn write(dir: &Path, name: &str, json: &impl Display) -> Result<()> {
    files::write(&dir.join(name), &json.to_string())
}
