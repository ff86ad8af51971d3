//! Configurations: dbt's defaults, and how those of project, folder, properties and file are merged.

use serde_json::{json, Map, Value as Json};

use super::{node::Resource, snapshot};
use crate::project::{Package, Project};

/// What a node of this kind is configured to be where nothing is said.
pub fn defaults(resource: Resource) -> Map<String, Json> {
    let json = match resource {
        Resource::Source => json!({
            "enabled": true, "event_time": null, "freshness": {
                "warn_after": {"count": null, "period": null},
                "error_after": {"count": null, "period": null},
                "filter": null,
            },
            "loaded_at_field": null, "loaded_at_query": null, "meta": {}, "tags": [], "static_analysis": null,
        }),
        Resource::Exposure => json!({"enabled": true, "tags": [], "meta": {}}),
        Resource::UnitTest => json!({"enabled": true, "tags": [], "meta": {}, "static_analysis": null}),
        Resource::Test => json!({
            "enabled": true, "alias": null, "schema": "dbt_test__audit", "database": null, "tags": [], "meta": {},
            "group": null, "static_analysis": null, "materialized": "test", "severity": "ERROR",
            "store_failures": null, "store_failures_as": null, "where": null, "limit": null,
            "fail_calc": "count(*)", "warn_if": "!= 0", "error_if": "!= 0",
        }),
        _ => {
            let materialized = match resource {
                Resource::Seed => "seed",
                Resource::Snapshot => "snapshot",
                _ => "view",
            };
            let mut base = json!({
                "enabled": true, "alias": null, "schema": null, "database": null, "tags": [], "meta": {},
                "group": null, "static_analysis": null, "materialized": materialized,
                "incremental_strategy": null, "batch_size": null, "lookback": 1, "begin": null,
                "persist_docs": {}, "post-hook": [], "pre-hook": [], "quoting": {}, "column_types": {},
                "full_refresh": null, "unique_key": null, "on_schema_change": "ignore",
                "on_configuration_change": "apply", "grants": {}, "packages": [],
                "docs": {"show": true, "node_color": null},
                "contract": {"enforced": false, "alias_types": true},
                "event_time": null, "concurrent_batches": null,
            });
            if let Json::Object(map) = &mut base {
                match resource {
                    Resource::Model => {
                        map.insert("access".into(), "protected".into());
                        map.insert("freshness".into(), Json::Null);
                    }
                    Resource::Seed => {
                        map.insert("delimiter".into(), ",".into());
                        map.insert("quote_columns".into(), Json::Null);
                    }
                    Resource::Snapshot => {
                        for key in [
                            "strategy",
                            "target_schema",
                            "target_database",
                            "updated_at",
                            "check_cols",
                            "dbt_valid_to_current",
                        ] {
                            map.insert(key.to_owned(), Json::Null);
                        }
                        map.insert("snapshot_meta_column_names".into(), json!({}));
                    }
                    _ => {}
                }
            }
            base
        }
    };
    match json {
        Json::Object(map) => map,
        _ => Map::new(),
    }
}

fn as_list(value: Json) -> Vec<Json> {
    match value {
        Json::Array(items) => items,
        Json::Null => Vec::new(),
        other => vec![other],
    }
}

fn hook(value: Json) -> Json {
    let (sql, transaction, index) = match value {
        Json::Object(mut map) => {
            let sql = map.remove("sql").unwrap_or(Json::Null);
            let transaction = map.remove("transaction").unwrap_or(true.into());
            (sql, transaction, map.remove("index").unwrap_or(Json::Null))
        }
        // A text that is JSON is what `before_begin` and `after_commit` return.
        Json::String(text) => match serde_json::from_str::<Json>(&text) {
            Ok(Json::Object(map)) if map.contains_key("sql") => return hook(Json::Object(map)),
            _ => (Json::String(text), true.into(), Json::Null),
        },
        other => (other, true.into(), Json::Null),
    };
    json!({"sql": sql, "transaction": transaction, "index": index})
}

/// Adds what one level says to what is there: tags and hooks are appended, mappings updated, all else replaced.
pub fn merge(config: &mut Map<String, Json>, more: &Map<String, Json>) {
    for (key, value) in more {
        let key = match key.as_str() {
            "pre_hook" => "pre-hook",
            "post_hook" => "post-hook",
            other => other,
        };
        let value = value.clone();
        match key {
            "tags" | "packages" => {
                let mut all = as_list(config.remove_keeping(key));
                all.extend(as_list(value));
                config.insert(key.to_owned(), Json::Array(all));
            }
            "pre-hook" | "post-hook" => {
                let mut all = as_list(config.remove_keeping(key));
                all.extend(as_list(value).into_iter().map(hook));
                config.insert(key.to_owned(), Json::Array(all));
            }
            "meta" | "quoting" | "column_types" | "persist_docs" | "docs" | "contract" => {
                match (config.get_mut(key), value) {
                    (Some(Json::Object(there)), Json::Object(new)) => there.extend(new),
                    (_, new) => {
                        config.insert(key.to_owned(), new);
                    }
                }
            }
            "grants" => {
                let mut there = match config.get(key) {
                    Some(Json::Object(map)) => map.clone(),
                    _ => Map::new(),
                };
                if let Json::Object(new) = value {
                    for (grant, to) in new {
                        match grant.strip_prefix('+') {
                            Some(grant) => {
                                let mut all = as_list(there.remove(grant).unwrap_or(Json::Null));
                                all.extend(as_list(to));
                                there.insert(grant.to_owned(), Json::Array(all));
                            }
                            None => {
                                there.insert(grant, Json::Array(as_list(to)));
                            }
                        }
                    }
                }
                config.insert(key.to_owned(), Json::Object(there));
            }
            _ => {
                config.insert(key.to_owned(), value);
            }
        }
    }
}

/// Adds one call of `config` in a file to those before. The first is kept as it is written: that is how dbt tells what was said.
pub fn merge_call(said: &mut Map<String, Json>, call: &Map<String, Json>) {
    if said.is_empty() {
        said.clone_from(call);
        return;
    }
    for (key, value) in call {
        if matches!(key.as_str(), "pre-hook" | "post-hook") {
            let mut all = as_list(said.remove_keeping(key));
            all.extend(as_list(value.clone()));
            said.insert(key.clone(), Json::Array(all));
        } else {
            merge(said, &[(key.clone(), value.clone())].into_iter().collect());
        }
    }
}

/// `store_failures` and `store_failures_as` say each other, the latter more.
fn settle_storage(config: &mut Map<String, Json>) {
    let kept = match config.get("store_failures_as").and_then(Json::as_str) {
        Some("table" | "view") => json!(true),
        Some("ephemeral") => json!(false),
        _ => {
            let kind = match config.get("store_failures") {
                Some(Json::Bool(true)) => json!("table"),
                Some(Json::Bool(false)) => json!("ephemeral"),
                _ => Json::Null,
            };
            config.insert("store_failures_as".into(), kind);
            return;
        }
    };
    config.insert("store_failures".into(), kept);
}

/// Takes a value out of a map and leaves its place, so that the order of keys stays.
trait Keeping {
    fn remove_keeping(&mut self, key: &str) -> Json;
}

impl Keeping for Map<String, Json> {
    fn remove_keeping(&mut self, key: &str) -> Json {
        self.get_mut(key).map_or(Json::Null, Json::take)
    }
}

/// What the folders of a package say of a node, outermost first; `configs` are the package's, rendered or as written.
fn levels(configs: &Map<String, Json>, resource: Resource, fqn: &[String]) -> Vec<Map<String, Json>> {
    let mut found = Vec::new();
    let mut here = configs.get(resource.section());
    let mut rest = fqn.iter();
    while let Some(Json::Object(map)) = here {
        let mut level = Map::new();
        for (key, value) in map {
            if let Some(plain) = key.strip_prefix('+') {
                level.insert(plain.trim().to_owned(), value.clone());
            } else if !value.is_object() {
                level.insert(key.clone(), value.clone());
            }
        }
        if !level.is_empty() {
            found.push(level);
        }
        here = rest.next().and_then(|part| map.get(part));
    }
    found
}

/// The configuration of a node, and what was said of it without defaults.
///
/// In order: defaults, its package's folders, its properties, its file, and for a dependency the root project's folders.
pub fn resolve(
    project: &Project,
    package: &str,
    resource: Resource,
    fqn: &[String],
    properties: Option<&Map<String, Json>>,
    file: &Map<String, Json>,
) -> (Map<String, Json>, Map<String, Json>) {
    let mut config = defaults(resource);
    let mut said = Map::new();
    let say = |said: &mut Map<String, Json>, level: &Map<String, Json>| {
        said.extend(level.iter().map(|(key, value)| (key.clone(), value.clone())));
    };
    let folders = |of: &Package, config: &mut Map<String, Json>, said: &mut Map<String, Json>| {
        levels(&of.configs, resource, fqn).iter().for_each(|level| merge(config, level));
        levels(&of.unrendered, resource, fqn).iter().for_each(|level| say(said, level));
    };
    if let Some(own) = project.package(package) {
        folders(own, &mut config, &mut said);
    }
    for level in properties.into_iter().chain([file]) {
        merge(&mut config, level);
        say(&mut said, level);
    }
    if package != project.root().name {
        folders(project.root(), &mut config, &mut said);
    }
    if resource == Resource::Test {
        settle_storage(&mut config);
    }
    if let Some(Json::Object(names)) = config.get_mut("snapshot_meta_column_names") {
        for name in snapshot::COLUMNS {
            names.entry(name).or_insert(Json::Null);
        }
    }
    if let Some(Json::Array(tags)) = config.get_mut("tags") {
        let mut seen: Vec<Json> = Vec::new();
        tags.retain(|tag| {
            let new = !seen.contains(tag);
            seen.push(tag.clone());
            new
        });
    }
    (config, said)
}
