//! What properties files add to a project: tables of sources, and generic tests.

use std::sync::Arc;

use serde_json::{json, Map, Value as Json};

use super::{
    config, external,
    freshness::Threshold,
    generic::{self, About},
    in_threads, names,
    node::{Node, Resource},
    properties::{Patch, SourceTable},
    properties_renderer, reading, Manifest,
};
use crate::{
    context::scene::World,
    error::{Problem, ProblemKind, Result},
    project::Adapter,
    yaml,
};

impl Manifest {
    pub(super) fn add_sources(&mut self, tables: Vec<SourceTable>) -> Result<()> {
        let world = self.world.clone();
        for table in tables {
            let node = self.source_node(&world, &table)?;
            let id = node.unique_id.clone();
            if !node.enabled() {
                self.disabled.push(node);
                continue;
            }
            if self.sources.contains_key(&id) {
                let message = format!(
                    "the table `{}` of source `{}` is declared twice",
                    table.patch.name, table.source
                );
                return Err(Problem::new(ProblemKind::Duplicate, message).at(&table.patch.place).into());
            }
            self.sources.insert(id, node);
            self.add_source_tests(&table)?;
        }
        Ok(())
    }

    pub(super) fn source_node(&self, world: &Arc<World>, table: &SourceTable) -> Result<Node> {
        let (patch, of_source) = (&table.patch, &table.of_source);
        let mut fqn = names::fqn(&patch.package, &names::below(&patch.original_path), &table.source);
        fqn.push(patch.name.clone());
        let (config, unrendered) = config::resolve(
            &world.project,
            &patch.package,
            Resource::Source,
            &fqn,
            Some(&patch.config),
            &Map::new(),
        );
        let text = |key: &str| of_source.get(key).and_then(Json::as_str).map(str::to_owned);
        let identifier =
            patch.other.get("identifier").and_then(Json::as_str).unwrap_or(&patch.name).to_owned();
        let mut quoting = match of_source.get("quoting") {
            Some(Json::Object(map)) => map.clone(),
            _ => Map::new(),
        };
        if let Some(Json::Object(own)) = patch.other.get("quoting") {
            quoting.extend(own.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
        let mut blocks = Vec::new();
        let mut config_with_quoting = config;
        // As the project's folders say it, where the source says nothing.
        let threshold = Threshold::read(config_with_quoting.get("freshness"))
            .map_err(|message| Problem::new(ProblemKind::Yaml, message).at(&patch.place))?;
        config_with_quoting.insert("freshness".into(), threshold.map_or(Json::Null, |it| it.to_json()));
        let description = self.describe(&patch.description, patch, &mut blocks)?;
        let of_config = |key: &str| config_with_quoting.get(key).cloned().unwrap_or(Json::Null);
        let extra = json!({
            "source_name": table.source,
            "source_description": text("description").unwrap_or_default(),
            "loader": text("loader").unwrap_or_default(),
            "identifier": identifier,
            "quoting": {
                "database": quoting.get("database"), "schema": quoting.get("schema"),
                "identifier": quoting.get("identifier"), "column": quoting.get("column"),
            },
            "loaded_at_field": of_config("loaded_at_field"),
            "loaded_at_query": of_config("loaded_at_query"),
            "freshness": of_config("freshness"),
            "external": patch.other.get("external"),
            "unrendered_database": table.written[0],
            "unrendered_schema": table.written[1],
            "source_meta": of_source.get("meta").cloned().unwrap_or_else(|| json!({})),
        });
        config_with_quoting.insert("quoting".into(), Json::Object(quoting));
        let path = &patch.original_path;
        let blank = Node::blank(Resource::Source, &patch.package, &patch.name, path, path);
        let mut node = Node {
            unique_id: format!("source.{}.{}.{}", patch.package, table.source, patch.name),
            fqn,
            alias: identifier,
            database: text("database").unwrap_or_else(|| world.project.target.database.clone()),
            schema: text("schema").unwrap_or_else(|| table.source.clone()),
            config: config_with_quoting,
            unrendered,
            description,
            columns: self.columns_of(patch)?,
            doc_blocks: blocks,
            extra: match extra {
                Json::Object(map) => map,
                _ => Map::new(),
            },
            ..blank
        };
        self.read_from_elsewhere(&mut node).map_err(|problem| problem.at(&patch.place))?;
        Ok(node)
    }

    /// What a table is read from in the place of its relation, where the target is DuckDB. Refuses one that a plugin reads.
    fn read_from_elsewhere(&self, node: &mut Node) -> std::result::Result<(), Problem> {
        if !node.enabled() || self.world.project.target.kind != Adapter::DuckDb {
            return Ok(());
        }
        let metas = [node.config.get("meta"), node.extra.get("source_meta")].into_iter().flatten();
        if node.config.contains_key("plugin") || metas.into_iter().any(|meta| meta.get("plugin").is_some()) {
            return Err(Problem::new(ProblemKind::Unsupported, "`plugin` of a source is not supported yet")
                .hint(
                    "make a view of the foreign table in on-run-start, and declare the view as the source",
                ));
        }
        node.external = external::of(node)?;
        Ok(())
    }

    fn add_source_tests(&mut self, table: &SourceTable) -> Result<()> {
        let patch = &table.patch;
        let key = format!("sources.{}", table.source);
        let of_table = patch.config.get("tags").and_then(Json::as_array).into_iter().flatten();
        let of_table: Vec<String> = of_table.filter_map(Json::as_str).map(str::to_owned).collect();
        let about = |column| About {
            name: &patch.name,
            source: Some(&table.source),
            column,
            file_key: &key,
            version: None,
        };
        let mut nodes = Vec::new();
        for test in &patch.tests {
            nodes.push(self.test_node(test, about(None), patch, &of_table)?);
        }
        for column in &patch.columns {
            for test in &column.tests {
                let tags = [&of_table[..], &column.tags].concat();
                nodes.push(self.test_node(test, about(Some((&column.name, column.quote))), patch, &tags)?);
            }
        }
        self.insert_tests(nodes)
    }

    pub(super) fn add_tests(
        &mut self,
        tests: Vec<(usize, Option<usize>, &yaml::Node)>,
        patches: &[Patch],
    ) -> Result<()> {
        let mut nodes = Vec::new();
        for (at, column, test) in tests {
            let patch = &patches[at];
            let key = format!("{}.{}", patch.section, patch.name);
            let column = column.map(|index| &patch.columns[index]);
            let about = About {
                name: &patch.name,
                source: None,
                column: column.map(|column| (column.name.as_str(), column.quote)),
                file_key: &key,
                version: patch.version.as_ref().map(|version| &version.v),
            };
            let tags = column.map(|column| column.tags.clone()).unwrap_or_default();
            let mut node = self.test_node(test, about, patch, &tags)?;
            let kind = match patch.section {
                "seeds" => "seed",
                "snapshots" => "snapshot",
                _ => "model",
            };
            if let Some(facts) = &mut node.test {
                let mut attached = format!("{kind}.{}.{}", patch.package, patch.name);
                if let Some(version) = &patch.version {
                    attached = format!("{attached}.{}", version.suffix());
                }
                if let Some(group) = self.nodes.get(&attached).and_then(Node::group) {
                    node.extra.insert("group".into(), group.into());
                }
                facts.attached = Some(attached);
            }
            nodes.push(node);
        }
        self.insert_tests(nodes)
    }

    fn insert_tests(&mut self, mut nodes: Vec<Node>) -> Result<()> {
        let world = self.world.clone();
        let rendered = in_threads(&nodes, |node| reading::render_test(&world, node))?;
        for (node, record) in nodes.iter_mut().zip(rendered) {
            (node.refs, node.sources, node.macros) = (record.refs, record.sources, record.macros);
            // What the test's macro configures itself gives way to what is said where it is declared; that is rendered last.
            if !record.config.is_empty() {
                let (project, said) = (&world.project, &record.config);
                (node.config, node.unrendered) =
                    config::resolve(project, &node.package, Resource::Test, &node.fqn, None, said);
            }
        }
        names::assign(&world, &mut nodes, &self.texts)?;
        nodes.into_iter().try_for_each(|node| self.insert(node))
    }

    fn test_node(
        &mut self,
        entry: &yaml::Node,
        about: About<'_>,
        patch: &Patch,
        tags: &[String],
    ) -> Result<Node> {
        self.warnings.extend(generic::deprecated(entry, about, &patch.original_path));
        let project = &self.world.project;
        let Some(package) = project.package(&patch.package) else {
            return Err(entry.wrong(format!("there is no package `{}`", patch.package)).into());
        };
        let declared = generic::declared(entry, about, &properties_renderer(project, package))?;
        let facts = declared.facts;
        let macro_name = format!("test_{}", facts.name);
        let entry_of = match &facts.namespace {
            Some(namespace) => self.world.macros.of_package(namespace, &macro_name),
            None => self.world.macros.find(&patch.package, &project.root().name, &macro_name),
        };
        if entry_of.is_none() {
            let known = self.world.macros.all.iter().filter_map(|entry| entry.name.strip_prefix("test_"));
            let mut problem =
                Problem::new(ProblemKind::Missing, format!("there is no test `{}`", facts.name))
                    .at(&entry.place);
            if let Some(meant) = crate::place::nearest(&facts.name, known) {
                problem = problem.hint(format!("did you mean `{meant}`?"));
            }
            return Err(problem.into());
        }
        let fqn = names::fqn(&patch.package, &names::below(&patch.original_path), &declared.name);
        let said = declared.config;
        let (config, unrendered) =
            config::resolve(project, &patch.package, Resource::Test, &fqn, None, &said);
        let path = format!("{}.sql", declared.short_name);
        let blank = Node::blank(Resource::Test, &patch.package, &declared.name, &path, &patch.original_path);
        Ok(Node {
            // Tests of one name may differ in what they are given.
            unique_id: format!("{}.{}", blank.unique_id, declared.hash),
            fqn,
            alias: String::new(),
            raw: declared.raw.as_str().into(),
            config,
            unrendered,
            description: declared.description,
            test: Some(facts),
            more_tags: tags.to_vec(),
            template: Some(Arc::new(reading::template_of(&declared.raw, &patch.original_path)?)),
            ..blank
        })
    }
}
