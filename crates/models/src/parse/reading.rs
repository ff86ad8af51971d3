//! One file to one node: its text is read, its template parsed and rendered once to learn what it refers to.

use std::sync::Arc;

use serde_json::{json, Map, Value as Json};

use super::{
    macros::display,
    names::{self, provisional},
    node::{Node, Resource},
    properties::Patch,
    Manifest,
};
use crate::{
    context::{
        json::literal,
        scene::{Facts, Record, Scene, World},
    },
    error::{Problem, ProblemKind, Result},
    hash::sha256,
    jinja::{tags, template, JinjaError, Spot, Template, Value},
    place::{Place, Text},
    project::{
        files::{self, Found},
        Package,
    },
};

/// A file to read.
pub(super) struct Reading {
    pub(super) resource: Resource,
    pub(super) package: Arc<Package>,
    pub(super) file: Found,
}

/// What became of it.
pub(super) struct Read {
    /// One, or as many as there are blocks of snapshots.
    pub(super) nodes: Vec<Node>,
    pub(super) text: Option<Arc<Text>>,
}

/// Files larger than this have their path for a checksum with dbt; what they hold is not read to parse the project.
const SEED_HASHED_MAX: u64 = 1 << 20;

impl Reading {
    pub(super) fn read(&self, world: &Arc<World>) -> Result<Read> {
        let original = self.file.from_root();
        let shown = display(&self.package.relative_root, &original);
        let file = self.file.relative.rsplit('/').next().unwrap_or_default();
        let name = file.rsplit_once('.').map_or(file, |(name, _)| name).to_owned();
        if self.resource == Resource::Seed {
            return Ok(Read { nodes: vec![self.seed(&name, &original)?], text: None });
        }
        let text = files::read(&self.file.path, &shown)?;
        if self.resource == Resource::Snapshot {
            return Ok(Read { nodes: self.snapshots(world, &original, &text)?, text: Some(text) });
        }
        let prefix = if self.resource == Resource::Analysis { "analysis/" } else { "" };
        let path = format!("{prefix}{}", self.file.relative);
        let mut node = Node::blank(self.resource, &self.package.name, &name, &path, &original);
        node.checksum = Some(Manifest::checksum(&text.text));
        node.raw = text.text.trim().into();
        if self.resource == Resource::Model {
            for (key, value) in [
                ("access", Json::from("protected")),
                ("constraints", json!([])),
                ("version", Json::Null),
                ("latest_version", Json::Null),
                ("deprecation_date", Json::Null),
                ("primary_key", json!([])),
                ("time_spine", Json::Null),
            ] {
                node.extra.insert(key.to_owned(), value);
            }
        }
        let blank = text.text.len() - text.text.trim_start().len();
        learn(world, &mut node, &text, blank)?;
        Ok(Read { nodes: vec![node], text: Some(text) })
    }

    /// The blocks of a file of snapshots: each is a node of its own.
    fn snapshots(&self, world: &Arc<World>, original: &str, text: &Arc<Text>) -> Result<Vec<Node>> {
        let failed = |error: JinjaError| {
            Problem::from_jinja(error.in_file(&text.file), |_| Some(text.clone()))
                .around(format!("in {original}"))
        };
        let checksum = Manifest::checksum(&text.text);
        let mut nodes = Vec::new();
        for block in tags::blocks(&text.text, &["snapshot"]).map_err(failed)? {
            let relative = &self.file.relative;
            let mut node =
                Node::blank(Resource::Snapshot, &self.package.name, block.name(), relative, original);
            // The file counts as a directory.
            let within =
                format!("{}/", relative.rsplit_once('.').map_or(relative.as_str(), |(stem, _)| stem));
            node.fqn = names::fqn(&self.package.name, &within, block.name());
            node.checksum = Some(checksum.clone());
            // A dash in the tags takes the blank beside it away.
            let mut contents = block.contents.clone();
            if text.text[..contents.start].ends_with("-%}") {
                let inner = &text.text[contents.clone()];
                contents.start += inner.len() - inner.trim_start().len();
            }
            if text.text[contents.end..].starts_with("{%-") {
                contents.end = contents.start + text.text[contents.clone()].trim_end().len();
            }
            node.raw = text.text[contents.clone()].into();
            learn(world, &mut node, text, contents.start)?;
            nodes.push(node);
        }
        Ok(nodes)
    }

    fn seed(&self, name: &str, original: &str) -> Result<Node> {
        let path = &self.file.path;
        let unreadable = |source| crate::error::ModelsError::Unreadable { path: path.clone(), source };
        let mut node = Node::blank(Resource::Seed, &self.package.name, name, &self.file.relative, original);
        let size = std::fs::metadata(path).map_err(unreadable)?.len();
        node.checksum = Some(if size < SEED_HASHED_MAX {
            let bytes = std::fs::read(path).map_err(unreadable)?;
            sha256(String::from_utf8_lossy(&bytes).trim().as_bytes())
        } else {
            original.to_owned()
        });
        node.extra.insert("root_path".into(), self.package.root.display().to_string().into());
        Ok(node)
    }
}

/// Parses what a node has as its code, which begins at `offset` of a file, and renders it once to learn what it refers to and how it is configured.
fn learn(world: &Arc<World>, node: &mut Node, text: &Arc<Text>, offset: usize) -> Result<()> {
    let failed = |error| {
        Problem::from_jinja(error, |file| (file == &*text.file).then(|| text.clone()))
            .around(names::describe(node))
    };
    // The template begins where its text does, so that places are those of the file.
    let origin = tags::spot_of(&text.text, offset);
    let template = Arc::new(template(&node.raw, &text.file, origin).map_err(failed)?);
    let record = render(world, node, &template).map_err(failed)?;
    node.template = Some(template);
    (node.refs, node.sources, node.macros) = (record.refs, record.sources, record.macros);
    node.config = record.config;
    Ok(())
}

/// A snapshot that a properties file declares: all of a relation.
///
/// Errors: `relation` is no call of `ref` or `source`.
pub(super) fn declared_snapshot(world: &Arc<World>, patch: &Patch, relation: &str) -> Result<Node> {
    let relative = names::below(&patch.original_path);
    let path = format!("{relative}/{}.sql", patch.name);
    let mut node = Node::blank(Resource::Snapshot, &patch.package, &patch.name, &path, &patch.original_path);
    node.fqn = names::fqn(&patch.package, &relative, &patch.name);
    node.raw = format!("select * from {{{{ {relation} }}}}").into();
    let call = relation.trim();
    let is_call = ["ref", "source"]
        .iter()
        .any(|name| call.strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with('(')));
    let failed = |problem: Problem| problem.at(&patch.place).around(names::describe(&node));
    if !is_call || !call.ends_with(')') {
        let message = format!("`relation` is a call of ref or source, not `{relation}`");
        return Err(failed(Problem::new(ProblemKind::Yaml, message)).into());
    }
    let failed = |error| failed(Problem::from_jinja(error, |_| None));
    let parsed = template(&node.raw, &patch.original_path.as_str().into(), Spot { line: 1, column: 1 });
    let template = Arc::new(parsed.map_err(failed)?);
    let record = render(world, &node, &template).map_err(failed)?;
    (node.refs, node.sources) = (record.refs, record.sources);
    node.template = Some(template);
    Ok(node)
}

/// A call of `ref` or `source` as a node that does nothing else.
///
/// Errors: it can't be rendered.
pub(super) fn called(world: &Arc<World>, package: &str, call: &str) -> Result<Node> {
    let mut node = Node::blank(Resource::Analysis, package, call, call, call);
    let failed = |error| Problem::from_jinja(error, |_| None);
    let template = template(&format!("{{{{ {call} }}}}"), &call.into(), Spot { line: 1, column: 1 });
    let record = render(world, &node, &template.map_err(failed)?).map_err(failed)?;
    (node.refs, node.sources) = (record.refs, record.sources);
    Ok(node)
}

/// A statement that is in no file, as an analysis of the root project.
///
/// Errors: its template can't be parsed or rendered.
pub(super) fn inline(world: &Arc<World>, sql: &str) -> Result<Node> {
    let project = &world.project;
    let text = Arc::new(Text { file: "--inline".into(), text: sql.to_owned() });
    let mut node =
        Node::blank(Resource::Analysis, &project.root().name, "inline_query", "--inline", "--inline");
    node.raw = sql.into();
    learn(world, &mut node, &text, 0)?;
    (node.config, node.unrendered) =
        super::config::resolve(project, &node.package, node.resource, &node.fqn, None, &node.config);
    (node.database, node.schema) = (project.target.database.clone(), project.target.schema.clone());
    Ok(node)
}

fn facts(world: &World, node: &Node) -> Facts {
    Facts {
        package: node.package.clone(),
        resource: node.resource,
        this: provisional(world, &node.name),
        model: json!({
            "name": node.name, "unique_id": node.unique_id, "resource_type": node.resource.name(),
            "package_name": node.package, "path": node.path, "original_file_path": node.original_path,
            "fqn": node.fqn, "alias": node.alias, "raw_code": &*node.raw, "config": {}, "tags": [], "meta": {},
        }),
        config: Map::new(),
    }
}

fn render(
    world: &Arc<World>,
    node: &Node,
    template: &Template,
) -> std::result::Result<Record, crate::jinja::JinjaError> {
    let scene = Scene::new(world, facts(world, node), None);
    scene.interpreter().render(template, &[])?;
    let record = scene.record.borrow().clone();
    Ok(record)
}

/// Parses the code of a generic test. It is dbt's, not a person's, so its place says nothing.
pub(super) fn template_of(raw: &str, file: &str) -> Result<Template> {
    let parsed = template(raw, &file.into(), Spot { line: 1, column: 1 });
    parsed.map_err(|error| Problem::from_jinja(error, |_| None).into())
}

/// The arguments of a generic test, rendered: texts that look like a call of `ref`, `source`, `var`, `env_var` or `doc` are one.
pub(crate) fn test_arguments(
    scene: &std::rc::Rc<Scene>,
    kwargs: &Map<String, Json>,
) -> std::result::Result<Value, crate::jinja::JinjaError> {
    let interpreter = scene.interpreter();
    let rendered = kwargs.iter().map(|(key, value)| {
        let value = match (key.as_str(), value) {
            ("column_name", Json::String(text)) => Value::from(text.as_str()),
            _ => argument(&interpreter, value)?,
        };
        Ok((key.as_str(), value))
    });
    Ok(Value::dict(rendered.collect::<std::result::Result<Vec<_>, crate::jinja::JinjaError>>()?))
}

fn argument(
    interpreter: &crate::jinja::Interpreter,
    value: &Json,
) -> std::result::Result<Value, crate::jinja::JinjaError> {
    Ok(match value {
        Json::String(text) => {
            let trimmed = text.trim();
            let is_call = ["env_var", "ref", "var", "source", "doc"].iter().any(|name| {
                trimmed.strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with('('))
            }) && trimmed.ends_with(')');
            if !is_call && !text.contains("{{") && !text.contains("{%") {
                return Ok(Value::from(text.as_str()));
            }
            let source = if is_call { format!("{{{{ {text} }}}}") } else { text.clone() };
            let parsed = template(&source, &"arguments of the test".into(), Spot { line: 1, column: 1 })?;
            match interpreter.render_native(&parsed, &[])? {
                Value::Str(text) if !is_call => literal(&text).unwrap_or(Value::Str(text)),
                value => value,
            }
        }
        Json::Array(items) => Value::list(
            items
                .iter()
                .map(|item| argument(interpreter, item))
                .collect::<std::result::Result<Vec<_>, _>>()?,
        ),
        Json::Object(map) => Value::dict(
            map.iter()
                .map(|(key, value)| Ok((key.as_str(), argument(interpreter, value)?)))
                .collect::<std::result::Result<Vec<_>, crate::jinja::JinjaError>>()?,
        ),
        other => Value::from_json(other),
    })
}

/// A hook of a project as the node that it is.
pub(super) fn operation(
    world: &Arc<World>,
    package: &Package,
    event: &str,
    index: usize,
    raw: &str,
) -> Result<Node> {
    let name = format!("{}-{event}-{index}", package.name);
    let path = format!("hooks/{name}.sql");
    let mut node = Node::blank(Resource::Operation, &package.name, &name, &path, "./dbt_project.yml");
    node.raw = raw.into();
    node.checksum = Some(Manifest::checksum(&package.text.text));
    node.more_tags = vec![event.to_owned()];
    node.extra.insert("index".into(), index.into());
    let failed =
        |error| Problem::from_jinja(error, |_| None).around(format!("in {event} of dbt_project.yml"));
    let template = template(raw, &package.text.file, Spot { line: 1, column: 1 }).map_err(failed)?;
    let record = render(world, &node, &template).map_err(failed)?;
    node.template = Some(Arc::new(template));
    (node.refs, node.sources, node.macros) = (record.refs, record.sources, record.macros);
    let fqn = node.fqn.clone();
    let project = &world.project;
    (node.config, node.unrendered) =
        super::config::resolve(project, &package.name, Resource::Operation, &fqn, None, &record.config);
    (node.database, node.schema) = (project.target.database.clone(), project.target.schema.clone());
    Ok(node)
}

/// Renders a generic test once, to learn what it refers to.
pub(super) fn render_test(world: &Arc<World>, node: &Node) -> Result<Record> {
    let scene = Scene::new(world, facts(world, node), None);
    let failed = |error| -> crate::error::ModelsError {
        Problem::from_jinja(error, |_| None).around(names::describe(node)).into()
    };
    let Some(test) = &node.test else { return Ok(Record::default()) };
    // Which macro it is comes first, then those of its arguments: so dbt tells them.
    let macro_name = format!("test_{}", test.name);
    let entry = match &test.namespace {
        Some(namespace) => world.macros.of_package(namespace, &macro_name),
        None => scene.find_macro(&macro_name),
    };
    let mut own = Vec::new();
    if let Some(entry) = entry {
        own.push(entry.unique_id.clone());
        // What these two refer to is known without rendering, and dbt doesn't render them either.
        let plain = ["macro.dbt.test_not_null", "macro.dbt.test_unique"].contains(&entry.unique_id.as_str());
        let model = test.kwargs.get("model").and_then(Json::as_str).unwrap_or_default();
        if plain && !world.macros.overrides("get_where_subquery") {
            test_arguments(&scene, &test.kwargs).map_err(failed)?;
            let mut record = scene.record.borrow().clone();
            // As the properties file has it, and not as the text that the template has.
            record.refs.iter_mut().for_each(|args| args.version.clone_from(&test.version));
            debug_assert!(!record.refs.is_empty() || !record.sources.is_empty(), "{model}");
            return Ok(Record { macros: own, ..record });
        }
    }
    let arguments = test_arguments(&scene, &test.kwargs).map_err(failed)?;
    let Some(template) = &node.template else { return Ok(Record::default()) };
    let locals = [(Arc::from("_dbt_generic_test_kwargs"), arguments)];
    scene.interpreter().render(template, &locals).map_err(failed)?;
    let mut record = scene.record.borrow().clone();
    record.macros.retain(|id| !own.contains(id));
    own.append(&mut record.macros);
    record.macros = own;
    Ok(record)
}

/// An exposure as a node.
pub(super) fn exposure(
    world: &Arc<World>,
    mut map: Map<String, Json>,
    package: &str,
    original_path: &str,
    place: &Place,
) -> Result<Node> {
    let name = names::text(map.get("name"));
    if name.is_empty() {
        return Err(Problem::new(ProblemKind::Yaml, "an exposure has a `name`").at(place).into());
    }
    let path = names::below(original_path);
    let mut node = Node::blank(Resource::Exposure, package, &name, &path, original_path);
    node.fqn = names::fqn(package, &path, &name);
    let scene = Scene::new(world, facts(world, &node), None);
    for call in map.get("depends_on").and_then(Json::as_array).cloned().unwrap_or_default() {
        let Json::String(call) = call else {
            return Err(Problem::new(ProblemKind::Yaml, "`depends_on` holds calls of ref or source")
                .at(place)
                .into());
        };
        let parsed =
            template(&format!("{{{{ {call} }}}}"), &original_path.into(), Spot { line: 1, column: 1 });
        let rendered = parsed.and_then(|parsed| scene.interpreter().render(&parsed, &[]));
        rendered.map_err(|error| Problem::from_jinja(error, |_| None).at(place))?;
    }
    let record = scene.record.borrow().clone();
    (node.refs, node.sources) = (record.refs, record.sources);
    node.description = names::text(map.get("description"));
    let mut said = match map.remove("config") {
        Some(Json::Object(config)) => config,
        _ => Map::new(),
    };
    for key in ["tags", "meta"] {
        if let Some(value) = map.remove(key) {
            said.entry(key).or_insert(value);
        }
    }
    let fqn = node.fqn.clone();
    (node.config, node.unrendered) =
        super::config::resolve(&world.project, package, Resource::Exposure, &fqn, None, &said);
    for key in ["type", "owner", "label", "maturity", "url"] {
        node.extra.insert(key.into(), map.get(key).cloned().unwrap_or(Json::Null));
    }
    Ok(node)
}
