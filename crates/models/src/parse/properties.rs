//! Properties files: what `models:`, `sources:` and their like say, as found; they are matched with nodes afterwards.

use std::sync::Arc;

use serde_json::{json, Map, Value as Json};

use super::{
    contract, freshness, odd,
    version::{self, Version},
};
use crate::{
    error::{Problem, ProblemKind, Result},
    place::{nearest, Place},
    project::render::Renderer,
    warning::Warning,
    yaml::{Kind, Node as Yaml},
};

/// What a properties file says of one node.
#[derive(Debug, Clone)]
pub struct Patch {
    /// `models`, `seeds`, `snapshots`, `analyses`, `data_tests`.
    pub section: &'static str,
    /// The node's name.
    pub name: String,
    /// The package whose file says it.
    pub package: String,
    /// The file, relative to its package.
    pub original_path: String,
    /// Where its name stands.
    pub place: Place,
    /// Its description, not rendered.
    pub description: String,
    /// Its configuration.
    pub config: Map<String, Json>,
    /// Its columns.
    pub columns: Vec<Column>,
    /// Tests of the node itself.
    pub tests: Vec<Yaml>,
    /// Everything else that it says.
    pub other: Map<String, Json>,
    /// The version of the model that it is said of.
    pub version: Option<Version>,
}

/// A column in a properties file.
#[derive(Debug, Clone)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its description, not rendered.
    pub description: String,
    /// As the manifest has it, but for the description.
    pub json: Json,
    /// Its tests.
    pub tests: Vec<Yaml>,
    /// Its tags.
    pub tags: Vec<String>,
    /// Whether its name is to be quoted.
    pub quote: bool,
}

/// A table of a source.
#[derive(Debug, Clone)]
pub struct SourceTable {
    /// The source.
    pub source: String,
    /// What is said of the table.
    pub patch: Patch,
    /// What is said of the source: description, database, schema, loader, quoting, freshness and so on.
    pub of_source: Map<String, Json>,
    /// The source's database and schema before they were rendered.
    pub written: [Json; 2],
}

/// A file's contents.
#[derive(Debug, Default)]
pub struct Properties {
    /// Of models, seeds, snapshots, analyses and singular tests.
    pub patches: Vec<Patch>,
    /// Tables of sources.
    pub sources: Vec<SourceTable>,
    /// Exposures.
    pub exposures: Vec<(Map<String, Json>, Place)>,
    /// Groups.
    pub groups: Vec<Map<String, Json>>,
    /// Of macros.
    pub macros: Vec<Map<String, Json>>,
    /// Unit tests.
    pub unit_tests: Vec<(Yaml, Place)>,
    /// What was passed over, for people.
    pub warnings: Vec<Warning>,
}

const SECTIONS: &[&str] = &[
    "version",
    "models",
    "seeds",
    "snapshots",
    "sources",
    "macros",
    "analyses",
    "exposures",
    "groups",
    "unit_tests",
    "data_tests",
    "tests",
    "metrics",
    "semantic_models",
    "saved_queries",
    "functions",
    "anchors",
    "catalogs",
];

/// Sections that change what is built and are not done yet.
const UNSUPPORTED: &[&str] = &["functions"];

/// Keys of a node that are configuration wherever they stand.
const LIFTED: &[&str] = &["meta", "docs", "group", "contract", "access", "tags", "freshness", "enabled"];

/// Reads a properties file.
pub fn read(root: &Yaml, package: &str, original_path: &str, renderer: &Renderer) -> Result<Properties> {
    let mut found = Properties::default();
    if root.is_null() {
        return Ok(found);
    }
    if !matches!(root.kind, Kind::Map(_)) {
        return Err(root.wrong(format!("a properties file is a mapping, not {}", root.describe())).into());
    }
    for (key, node) in root.entries() {
        let name = key.text.as_str();
        if !SECTIONS.contains(&name) {
            let mut warning = format!("{}: `{name}` is no section of a properties file", key.place);
            if let Some(meant) = nearest(name, SECTIONS.iter().copied()) {
                warning.push_str(&format!("; did you mean `{meant}`?"));
            }
            found.warnings.push(Warning::own(warning));
            continue;
        }
        if node.is_null() {
            continue;
        }
        if UNSUPPORTED.contains(&name) {
            return Err(Problem::new(ProblemKind::Unsupported, format!("`{name}` are not supported yet"))
                .at(&key.place)
                .into());
        }
        if matches!(name, "metrics" | "semantic_models" | "saved_queries") {
            found.warnings.push(Warning::own(format!("{}: `{name}` are read and not used", key.place)));
            continue;
        }
        let section = match name {
            "models" => "models",
            "seeds" => "seeds",
            "snapshots" => "snapshots",
            "analyses" => "analyses",
            "data_tests" | "tests" => "data_tests",
            _ => name,
        };
        if matches!(section, "version" | "anchors" | "catalogs") {
            continue;
        }
        if !matches!(node.kind, Kind::List(_)) {
            return Err(node.wrong(format!("`{name}` is a list, not {}", node.describe())).into());
        }
        for item in node.items() {
            let rendered = renderer.node(item, &mut Vec::new(), &is_rendered)?;
            if matches!(section, "models" | "seeds" | "snapshots" | "sources") {
                odd::keys(item, &mut found.warnings);
            }
            match section {
                "unit_tests" => {
                    let (_, place) = name_of(&rendered)?;
                    found.unit_tests.push((rendered, place));
                }
                "models" => found.patches.extend(models(&rendered, package, original_path)?),
                "seeds" => found.patches.push(patch("seeds", &rendered, package, original_path)?),
                "snapshots" => found.patches.push(patch("snapshots", &rendered, package, original_path)?),
                "analyses" => found.patches.push(patch("analyses", &rendered, package, original_path)?),
                "data_tests" => found.patches.push(patch("data_tests", &rendered, package, original_path)?),
                "sources" => source(item, &rendered, package, original_path, &mut found.sources)?,
                "exposures" => found.exposures.push((mapping(&rendered)?, rendered.place.clone())),
                "groups" => found.groups.push(mapping(&rendered)?),
                _ => found.macros.push(mapping(&rendered)?),
            }
        }
    }
    Ok(found)
}

/// Descriptions, arguments of tests, hooks and queries of freshness are rendered when they are used.
fn is_rendered(path: &[String]) -> bool {
    !path.iter().any(|part| {
        matches!(
            part.as_str(),
            "description"
                | "tests"
                | "data_tests"
                | "pre-hook"
                | "post-hook"
                | "pre_hook"
                | "post_hook"
                | "loaded_at_query"
        )
    })
}

fn mapping(node: &Yaml) -> Result<Map<String, Json>> {
    match node.to_json() {
        Json::Object(map) => Ok(map),
        _ => Err(node.wrong(format!("expected a mapping, found {}", node.describe())).into()),
    }
}

fn name_of(node: &Yaml) -> Result<(String, Place)> {
    let name = node.get("name");
    match name.map(Yaml::to_json) {
        Some(Json::String(text)) => Ok((text, name.map_or(&node.place, |name| &name.place).clone())),
        Some(Json::Number(_) | Json::Bool(_)) => {
            let at = name.unwrap_or(node);
            Err(at.wrong(format!("a name is a text, not {}", at.describe())).hint("put it in quotes").into())
        }
        _ => Err(node.wrong("this has no `name`").into()),
    }
}

fn tests_of(node: &Yaml) -> Result<Vec<Yaml>> {
    match (node.get("data_tests"), node.get("tests")) {
        (Some(_), Some(old)) => {
            Err(old.wrong("`tests` and `data_tests` are two names of the same: keep one").into())
        }
        (Some(tests), None) | (None, Some(tests)) => match &tests.kind {
            Kind::List(items) => Ok(items.clone()),
            _ if tests.is_null() => Ok(Vec::new()),
            _ => Err(tests.wrong(format!("tests are a list, not {}", tests.describe())).into()),
        },
        (None, None) => Ok(Vec::new()),
    }
}

fn text_of(map: &Map<String, Json>, key: &str) -> String {
    map.get(key).and_then(Json::as_str).unwrap_or_default().to_owned()
}

fn patch(section: &'static str, node: &Yaml, package: &str, original_path: &str) -> Result<Patch> {
    let named = name_of(node)?;
    about(section, node, named, package, original_path)
}

/// What is said of a model, or of each of its versions.
fn models(node: &Yaml, package: &str, original_path: &str) -> Result<Vec<Patch>> {
    let named = name_of(node)?;
    let base = about("models", node, named.clone(), package, original_path)?;
    let of_version = |item: &Yaml| about("models", item, named.clone(), package, original_path);
    version::expand(node, base, &of_version)
}

/// What is said of something of a name.
fn about(
    section: &'static str,
    node: &Yaml,
    (name, place): (String, Place),
    package: &str,
    original_path: &str,
) -> Result<Patch> {
    let mut other = mapping(node)?;
    let mut config = match other.remove("config") {
        Some(Json::Object(config)) => config,
        None | Some(Json::Null) => Map::new(),
        Some(_) => {
            let at = node.get("config").unwrap_or(node);
            return Err(at.wrong("`config` is a mapping").into());
        }
    };
    for key in LIFTED {
        if let Some(value) = other.remove(*key) {
            let both = *key == "tags" || (section, *key) == ("sources", "freshness");
            if config.contains_key(*key) && !both {
                let at = node.get(key).unwrap_or(node);
                return Err(at.wrong(format!("`{key}` stands here and in `config`: keep one")).into());
            }
            let level: Map<String, Json> = [((*key).to_owned(), value)].into_iter().collect();
            super::config::merge(&mut config, &level);
        }
    }
    let tests = tests_of(node)?;
    let mut columns = Vec::new();
    let is_version = node.get("v").is_some() && section == "models";
    for item in node.get("columns").map(Yaml::items).unwrap_or_default() {
        // A version says there, too, which of the model's columns it has.
        if is_version && item.get("name").is_none() {
            continue;
        }
        columns.push(column(item)?);
    }
    let description = text_of(&other, "description");
    if section == "models" {
        other.insert("constraints".into(), constraints_of(node, true)?.into());
    }
    for known in ["name", "description", "columns", "tests", "data_tests"] {
        other.remove(known);
    }
    Ok(Patch {
        section,
        name,
        package: package.to_owned(),
        original_path: original_path.to_owned(),
        place,
        description,
        config,
        columns,
        tests,
        other,
        version: None,
    })
}

/// The constraints of a column or of a model itself.
fn constraints_of(node: &Yaml, of_model: bool) -> Result<Vec<Json>> {
    let list = node.get("constraints").map(Yaml::items).unwrap_or_default().iter();
    list.map(|item| {
        Ok(contract::constraint(&item.to_json(), of_model).map_err(|wrong| wrong.at(&item.place))?)
    })
    .collect()
}

fn column(node: &Yaml) -> Result<Column> {
    let (name, _) = name_of(node)?;
    let map = mapping(node)?;
    let config = map.get("config").cloned().unwrap_or_else(|| json!({}));
    let either =
        |key: &str, default: Json| config.get(key).or_else(|| map.get(key)).cloned().unwrap_or(default);
    let constraints = constraints_of(node, false)?;
    let tags = match either("tags", json!([])) {
        Json::String(tag) => vec![tag],
        Json::Array(tags) => tags.iter().filter_map(Json::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    let meta = either("meta", json!({}));
    let of = |key: &str| map.get(key).cloned().unwrap_or(Json::Null);
    let json = json!({
        "name": name, "description": "", "meta": meta, "data_type": of("data_type"), "constraints": constraints,
        "quote": of("quote"), "config": {"meta": meta, "tags": tags}, "tags": tags, "granularity": of("granularity"),
        "doc_blocks": [],
    });
    Ok(Column {
        description: text_of(&map, "description"),
        tests: tests_of(node)?,
        quote: map.get("quote") == Some(&Json::Bool(true)),
        json,
        tags,
        name,
    })
}

fn source(
    written: &Yaml,
    node: &Yaml,
    package: &str,
    original_path: &str,
    found: &mut Vec<SourceTable>,
) -> Result<()> {
    let (source, _) = name_of(node)?;
    let as_written = |key: &str| written.get(key).map_or(Json::Null, Yaml::to_json);
    let written = [as_written("database"), as_written("schema")];
    let mut of_source = mapping(node)?;
    of_source.remove("tables");
    let source_config = match of_source.get("config") {
        Some(Json::Object(config)) => config.clone(),
        _ => Map::new(),
    };
    let shared = Arc::new(of_source);
    for item in node.get("tables").map(Yaml::items).unwrap_or_default() {
        let mut patch = patch("sources", item, package, original_path)?;
        // Both are told even where nothing is said.
        let mut config: Map<String, Json> =
            [("meta".to_owned(), json!({})), ("tags".to_owned(), json!([]))].into_iter().collect();
        for key in ["enabled", "event_time", "meta", "tags"] {
            if let Some(value) = source_config.get(key).or_else(|| shared.get(key)) {
                let level: Map<String, Json> = [(key.to_owned(), value.clone())].into_iter().collect();
                super::config::merge(&mut config, &level);
            }
        }
        let table = mapping(item)?;
        let table_config = table.get("config").and_then(Json::as_object).cloned().unwrap_or_default();
        let fresh = freshness::of_table(&shared, &source_config, &table, &table_config);
        let fresh = fresh.map_err(|message| item.wrong(message))?;
        for key in ["freshness", "loaded_at_field", "loaded_at_query"] {
            patch.other.remove(key);
            patch.config.remove(key);
        }
        if let Some(value) = patch.other.remove("event_time") {
            config.insert("event_time".to_owned(), value);
        }
        super::config::merge(&mut config, &patch.config);
        config.extend(fresh);
        patch.config = config;
        let of_source = (*shared).clone();
        found.push(SourceTable { source: source.clone(), patch, of_source, written: written.clone() });
    }
    Ok(())
}
