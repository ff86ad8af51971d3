//! Unit tests: a model's SQL on rows that are given, and the rows that it is to give.

use std::sync::Arc;

use serde_json::{json, Map, Value as Json};

use super::{
    config,
    link::Names,
    macros::display,
    names,
    node::{Node, RefArgs, Resource},
    reading, version, Manifest,
};
use crate::{
    csv,
    error::{Problem, ProblemKind, Result},
    place::{nearest, Place},
    project::files,
    yaml::Node as Yaml,
};

/// A unit test.
#[derive(Debug, Clone)]
pub struct UnitTest {
    /// The unique id of the model.
    pub model: String,
    /// What stands in the place of what the model reads.
    pub given: Vec<Given>,
    /// What it is to give.
    pub expect: Rows,
    /// `macros`, `vars` and `env_vars` that have other values.
    pub overrides: Map<String, Json>,
}

/// What stands in the place of a relation.
#[derive(Debug, Clone)]
pub struct Given {
    /// The relation's node; the model itself where the test gives `this`.
    pub node: String,
    /// Its rows.
    pub rows: Rows,
}

/// Rows of a unit test.
#[derive(Debug, Clone, PartialEq)]
pub enum Rows {
    /// Values by column.
    Values(Vec<Map<String, Json>>),
    /// A query that gives them.
    Sql(String),
}

/// A unit test as its file declares it.
#[derive(Debug, Clone)]
pub struct Declared {
    /// The whole of it.
    pub yaml: Yaml,
    /// The package of the file.
    pub package: String,
    /// The file, relative to its package.
    pub original_path: String,
    /// Where its name stands.
    pub place: Place,
}

/// Adds unit tests to a project whose nodes are linked.
///
/// Errors: one is not of the form that it should have, or names what isn't there; an incremental model's test doesn't say which of its ways is meant.
pub(super) fn add(manifest: &mut Manifest, declared: Vec<Declared>) -> Result<()> {
    let names = Names::of(manifest);
    for declared in declared {
        for node in (Reader { manifest, names: &names, declared: &declared }).nodes()? {
            manifest.insert(node)?;
        }
    }
    Ok(())
}

struct Reader<'r> {
    manifest: &'r Manifest,
    names: &'r Names,
    declared: &'r Declared,
}

impl Reader<'_> {
    /// The test; of a model with versions one for each that it is meant for.
    fn nodes(&self) -> Result<Vec<Node>> {
        let Declared { yaml, package, original_path, place } = self.declared;
        let text = |key: &str| yaml.get(key).and_then(Yaml::as_str).map(str::to_owned);
        let (Some(name), Some(model_name)) = (text("name"), text("model")) else {
            let message = "a unit test has a `name` and a `model`";
            return Err(Problem::new(ProblemKind::Yaml, message).at(place).into());
        };
        for key in yaml.entries().iter().map(|(key, _)| key) {
            const KEYS: &[&str] =
                &["name", "model", "description", "given", "expect", "overrides", "config", "versions"];
            if !KEYS.contains(&key.text.as_str()) {
                let mut problem =
                    Problem::new(ProblemKind::Yaml, format!("a unit test has no `{}`", key.text));
                if let Some(meant) = nearest(&key.text, KEYS.iter().copied()) {
                    problem = problem.hint(format!("did you mean `{meant}`?"));
                }
                return Err(problem.at(&key.place).into());
            }
        }
        let around =
            |error: crate::error::ModelsError| error.at(place).around(format!("in unit test {name}"));
        let project = &self.manifest.world.project;
        let path = names::below(original_path);
        let mut node = Node::blank(Resource::UnitTest, package, &name, &path, original_path);
        node.unique_id = format!("unit_test.{package}.{model_name}.{name}");
        let dirs = path.rsplit_once('/').map(|(dirs, _)| format!("{dirs}/")).unwrap_or_default();
        node.fqn = names::fqn(package, &format!("{dirs}{model_name}/"), &name);
        node.description = text("description").unwrap_or_default();
        let said = match yaml.get("config").map(Yaml::to_json) {
            Some(Json::Object(said)) => said,
            _ => Map::new(),
        };
        (node.config, node.unrendered) =
            config::resolve(project, package, Resource::UnitTest, &node.fqn, None, &said);
        let Some(model) = self.model(&model_name).map_err(around)? else {
            node.config.insert("enabled".into(), false.into());
            return Ok(vec![node]);
        };
        let overrides = match yaml.get("overrides").map(Yaml::to_json) {
            Some(Json::Object(overrides)) => overrides,
            _ => Map::new(),
        };
        let (versions, told) = self.versions(model).map_err(around)?;
        let mut nodes = Vec::new();
        for model in versions {
            let mut node = node.clone();
            if let Some(version) = model.version() {
                node.unique_id.push_str(&format!("_v{}", version::text(version)));
            }
            self.finish(&mut node, model, &overrides, told.clone()).map_err(around)?;
            nodes.push(node);
        }
        Ok(nodes)
    }

    /// What a test is of one model, or one version of it.
    fn finish(
        &self,
        node: &mut Node,
        model: &Node,
        overrides: &Map<String, Json>,
        versions: Json,
    ) -> Result<()> {
        let yaml = &self.declared.yaml;
        node.schema.clone_from(&model.schema);
        node.database.clone_from(&model.database);
        node.depends_on = vec![model.unique_id.clone()];
        let mut given = Vec::new();
        let mut given_json = Vec::new();
        for input in yaml.get("given").map(Yaml::items).unwrap_or_default() {
            let (one, json) = self.given(input, model)?;
            given.push(one);
            given_json.push(json);
        }
        let Some(expect) = yaml.get("expect") else {
            return Err(Problem::new(ProblemKind::Yaml, "it expects nothing: it has no `expect`").into());
        };
        let (expected, expect_json) = self.rows(expect, None)?;
        self.check_incremental(model, &given, overrides)?;
        let json = json!({
            "model": yaml.get("model").and_then(Yaml::as_str), "given": given_json, "expect": expect_json,
            "versions": versions, "version": model.version(),
            "overrides": if overrides.is_empty() { Json::Null } else { json!({
                "macros": overrides.get("macros").cloned().unwrap_or_else(|| json!({})),
                "vars": overrides.get("vars").cloned().unwrap_or_else(|| json!({})),
                "env_vars": overrides.get("env_vars").cloned().unwrap_or_else(|| json!({})),
            }) },
        });
        if let Json::Object(json) = json {
            node.extra = json;
        }
        let overrides = overrides.clone();
        node.unit =
            Some(Arc::new(UnitTest { model: model.unique_id.clone(), given, expect: expected, overrides }));
        Ok(())
    }

    /// The versions of a model that the test is meant for, or the model where it has none, and what the test says of versions.
    fn versions<'m>(&'m self, model: &'m Node) -> Result<(Vec<&'m Node>, Json)> {
        let said = self.declared.yaml.get("versions").filter(|said| !said.is_null());
        let list = |key: &str| -> Result<Option<Vec<Json>>> {
            let listed = said.and_then(|said| said.get(key)).filter(|list| !list.is_null());
            match listed.map(|list| (list, list.to_json())) {
                None => Ok(None),
                Some((_, Json::Array(list))) => Ok(Some(list).filter(|list| !list.is_empty())),
                Some((list, _)) => Err(list.wrong(format!("`{key}` is a list of versions")).into()),
            }
        };
        let (include, exclude) = (list("include")?, list("exclude")?);
        if let Some(said) = said.filter(|_| include.is_some() && exclude.is_some()) {
            return Err(said.wrong("a unit test includes versions or excludes some, not both").into());
        }
        let told = said.map_or(Json::Null, |_| json!({"include": include, "exclude": exclude}));
        if model.version().is_none() {
            return match said.filter(|_| include.is_some() || exclude.is_some()) {
                Some(said) => Err(said
                    .wrong(format!("`{}` has no versions that could be chosen", model.name))
                    .hint("leave `versions` out")
                    .into()),
                None => Ok((vec![model], told)),
            };
        }
        let is_of_it = |node: &&Node| {
            node.resource == Resource::Model && node.package == model.package && node.name == model.name
        };
        let all = self.manifest.nodes.values().filter(is_of_it);
        let is_meant = |node: &&Node| {
            let version = node.version().unwrap_or(&Json::Null);
            include.as_ref().is_none_or(|list| list.contains(version))
                && !exclude.as_ref().is_some_and(|list| list.contains(version))
        };
        let meant: Vec<&Node> = all.filter(is_meant).collect();
        if meant.is_empty() {
            let message = format!("`{}` has no version that the test is for", model.name);
            return Err(Problem::new(ProblemKind::Missing, message).into());
        }
        Ok((meant, told))
    }

    /// The model; `None` where it is disabled.
    fn model(&self, name: &str) -> Result<Option<&Node>> {
        let root = &self.manifest.world.project.root().name;
        // `name 2` is a version of it; which of them are tested is said elsewhere.
        let (name, version) =
            name.split_once(' ').map_or((name, None), |(name, version)| (name, Some(version)));
        let version = version.map(|version| serde_json::from_str(version).unwrap_or_else(|_| version.into()));
        let args = RefArgs { package: None, name: name.to_owned(), version };
        let own = &self.declared.package;
        let found = self.names.find(&args, root, own).and_then(|id| self.manifest.nodes.get(id));
        if let Some(model) = found.filter(|node| node.resource == Resource::Model) {
            return Ok(Some(model));
        }
        let is_it = |node: &&Node| node.resource == Resource::Model && node.name == name;
        if self.manifest.disabled.iter().any(|node| is_it(&node)) {
            return Ok(None);
        }
        let models = self.manifest.nodes.values().filter(|node| node.resource == Resource::Model);
        let mut problem = Problem::new(ProblemKind::Missing, format!("there is no model `{name}`"));
        if let Some(meant) = nearest(name, models.map(|node| node.name.as_str())) {
            problem = problem.hint(format!("did you mean `{meant}`?"));
        }
        Err(problem.into())
    }

    fn given(&self, yaml: &Yaml, model: &Node) -> Result<(Given, Json)> {
        let Some(input) = yaml.get("input").and_then(Yaml::as_str) else {
            return Err(yaml.wrong("what is given has an `input`: a call of ref or source, or this").into());
        };
        let node = if input.trim() == "this" {
            model
        } else {
            self.input(input).map_err(|error| error.at(&yaml.place))?
        };
        let (rows, mut json) = self.rows(yaml, Some(node))?;
        json["input"] = input.into();
        Ok((Given { node: node.unique_id.clone(), rows }, json))
    }

    /// What a call of `ref` or `source` means.
    fn input(&self, call: &str) -> Result<&Node> {
        let mut node = reading::called(&self.manifest.world, &self.declared.package, call)?;
        super::link::link_one(self.manifest, self.names, &mut node)?;
        let found = node.depends_on.first().and_then(|id| self.manifest.get(id));
        found.ok_or_else(|| {
            let message = format!("`input` is a call of ref or source, or this, not `{call}`");
            Problem::new(ProblemKind::Yaml, message).into()
        })
    }

    /// The rows of an input or of what is expected; a seed's own where nothing is said.
    fn rows(&self, yaml: &Yaml, input: Option<&Node>) -> Result<(Rows, Json)> {
        let format = yaml.get("format").and_then(Yaml::as_str).unwrap_or("dict");
        let fixture = yaml.get("fixture").and_then(Yaml::as_str);
        let said = yaml.get("rows").filter(|rows| !rows.is_null());
        let written = match fixture {
            Some(name) if format != "dict" => Some(self.fixture(name, format)?),
            _ => said.and_then(Yaml::as_str).map(str::to_owned),
        };
        let shape = |what: &str| {
            let at = said.unwrap_or(yaml);
            Err(at.wrong(format!("rows of the format `{format}` are {what}")).into())
        };
        let rows = match format {
            "sql" => match written {
                // A block of YAML ends with its line; Jinja leaves that out.
                Some(sql) => Rows::Sql(sql.strip_suffix('\n').unwrap_or(&sql).to_owned()),
                None => return shape("a query"),
            },
            "csv" => match written {
                Some(text) => Rows::Values(of_csv(&text).map_err(|message| yaml.wrong(message))?),
                None => return shape("a text"),
            },
            "dict" => match (said.map(Yaml::to_json), input) {
                (Some(Json::Array(items)), _) if items.iter().all(Json::is_object) => {
                    Rows::Values(items.into_iter().filter_map(object).collect())
                }
                (None, Some(seed)) if seed.resource == Resource::Seed => Rows::Values(self.of_seed(seed)?),
                _ => return shape("a list of mappings"),
            },
            other => {
                return Err(yaml.wrong(format!("a format is dict, csv or sql, not `{other}`")).into());
            }
        };
        let rows = first_without_null(rows);
        let told = match &rows {
            Rows::Values(rows) => json!(rows),
            Rows::Sql(sql) => json!(sql),
        };
        Ok((rows, json!({"rows": told, "format": format, "fixture": fixture})))
    }

    /// A file of rows in `fixtures/` below the directories of tests.
    fn fixture(&self, name: &str, format: &str) -> Result<String> {
        let package = self.manifest.world.project.package(&self.declared.package);
        let endings = [format!(".{format}")];
        let endings: Vec<&str> = endings.iter().map(String::as_str).collect();
        if let Some(package) = package {
            let dirs: Vec<String> = package.paths.tests.iter().map(|dir| format!("{dir}/fixtures")).collect();
            for found in files::find(&package.root, &dirs, &endings)? {
                let file = found.relative.rsplit('/').next().unwrap_or_default();
                if file.rsplit_once('.').map(|(stem, _)| stem) == Some(name) {
                    let shown = display(&package.relative_root, &found.from_root());
                    return Ok(files::read(&found.path, &shown)?.text.clone());
                }
            }
        }
        let message = format!("there is no fixture `{name}`");
        Err(Problem::new(ProblemKind::Missing, message)
            .hint(format!("it is a file {name}.{format} in tests/fixtures"))
            .into())
    }

    fn of_seed(&self, seed: &Node) -> Result<Vec<Map<String, Json>>> {
        let Some(package) = self.manifest.world.project.package(&seed.package) else {
            return Ok(Vec::new());
        };
        let shown = display(&package.relative_root, &seed.original_path);
        let text = files::read(&package.root.join(&seed.original_path), &shown)?;
        let rows = of_csv(&text.text).map_err(|message| Problem::new(ProblemKind::Configuration, message));
        Ok(rows.map_err(|problem| problem.around(names::describe(seed)))?)
    }

    /// Which of its two ways an incremental model goes must be said.
    fn check_incremental(
        &self,
        model: &Node,
        given: &[Given],
        overrides: &Map<String, Json>,
    ) -> std::result::Result<(), Problem> {
        if !model.macros.iter().any(|id| id == "macro.dbt.is_incremental") {
            return Ok(());
        }
        let wrong =
            |message: String, hint: &str| Err(Problem::new(ProblemKind::Configuration, message).hint(hint));
        match overrides.get("macros").and_then(|macros| macros.get("is_incremental")) {
            Some(Json::Bool(true)) if !given.iter().any(|given| given.node == model.unique_id) => wrong(
                format!("what `{}` holds before it is built incrementally is not given", model.name),
                "add `- {input: this, rows: […]}` to `given`",
            ),
            Some(Json::Bool(_)) => Ok(()),
            _ => wrong(
                format!("`{}` asks for is_incremental(), and the test doesn't say what that is", model.name),
                "add `overrides: {macros: {is_incremental: false}}`, or true",
            ),
        }
    }
}

fn object(json: Json) -> Option<Map<String, Json>> {
    match json {
        Json::Object(map) => Some(map),
        _ => None,
    }
}

/// The rows of a CSV text, each value a text or, where it is empty, NULL.
fn of_csv(text: &str) -> std::result::Result<Vec<Map<String, Json>>, String> {
    let mut header: Option<Vec<String>> = None;
    let mut rows = Vec::new();
    csv::records(text.trim_start_matches(['\n', '\r', '\u{feff}']), ',', |line, record| {
        let Some(names) = &header else {
            header = Some(record);
            return Ok(());
        };
        if record.len() > names.len() {
            return Err(format!("line {line} has {} values, the header has {}", record.len(), names.len()));
        }
        let value = |at: usize| match record.get(at) {
            Some(value) if !value.is_empty() => Json::from(value.as_str()),
            _ => Json::Null,
        };
        rows.push(names.iter().enumerate().map(|(at, name)| (name.clone(), value(at))).collect());
        Ok(())
    })?;
    Ok(rows)
}

/// dbt puts the first row that has no NULL in front, for warehouses that take types from there.
fn first_without_null(rows: Rows) -> Rows {
    match rows {
        Rows::Values(mut rows) => {
            if let Some(at) = rows.iter().position(|row| !row.values().any(Json::is_null)) {
                rows.swap(0, at);
            }
            Rows::Values(rows)
        }
        sql => sql,
    }
}
