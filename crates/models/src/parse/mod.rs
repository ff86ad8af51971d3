//! From a project's files to its nodes and the graph between them.

mod attach;
pub mod calls;
pub mod config;
pub(crate) mod contract;
mod deprecated;
pub mod docs;
mod external;
pub mod freshness;
pub mod generic;
mod home;
pub mod incremental;
pub mod link;
pub mod macros;
pub mod materialization;
pub mod names;
pub mod node;
mod odd;
pub mod properties;
pub(crate) mod reading;
pub mod snapshot;
mod time_spine;
pub mod unit;
pub mod version;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    thread,
};

use indexmap::IndexMap;
use serde_json::{json, Map, Value as Json};

use self::{
    docs::Docs,
    incremental::OnSchemaChange,
    macros::{display, Macros},
    materialization::Materialization,
    node::{Node, Resource},
    properties::{Patch, Properties, SourceTable},
    reading::{Read, Reading},
};
use crate::{
    context::{base::Base, scene::World},
    engine::batches,
    error::{ModelsError, Problem, ProblemKind, Result},
    hash::sha256,
    place::{Place, Text},
    project::{files, render::Renderer, Adapter, Package, Project},
    warning::Warning,
    yaml,
};

/// A project, parsed.
#[derive(Debug)]
pub struct Manifest {
    /// Project and macros.
    pub world: Arc<World>,
    /// Models, tests, seeds and analyses by unique id.
    pub nodes: IndexMap<String, Node>,
    /// Tables of sources by unique id.
    pub sources: IndexMap<String, Node>,
    /// Tables that the project's home keeps live and nothing of it refers to, by unique id.
    pub live: IndexMap<String, Node>,
    /// Exposures by unique id.
    pub exposures: IndexMap<String, Node>,
    /// Groups by unique id.
    pub groups: IndexMap<String, Json>,
    /// What is not enabled.
    pub disabled: Vec<Node>,
    /// Docs blocks.
    pub docs: Docs,
    /// Files, for messages.
    pub texts: HashMap<Arc<str>, Arc<Text>>,
    /// What was found odd, for people.
    pub warnings: Vec<Warning>,
}

/// Everything that was found in files before nodes are matched with what properties say of them.
struct Found {
    nodes: Vec<Node>,
    patches: Vec<Patch>,
    sources: Vec<SourceTable>,
    exposures: Vec<(Map<String, Json>, String, String, Place)>,
    groups: Vec<(Map<String, Json>, String)>,
    unit_tests: Vec<unit::Declared>,
}

/// Reads and parses a project.
pub fn parse(project: Project) -> Result<Manifest> {
    let mut texts: HashMap<Arc<str>, Arc<Text>> = HashMap::new();
    let macros = Macros::read(&project, &mut |text| {
        texts.insert(text.file.clone(), text.clone());
    })?;
    let world = Arc::new(World { project, macros });
    let project = &world.project;
    let mut docs = Docs::default();
    let mut warnings: Vec<Warning> = project.root().again.iter().map(yaml::stands_twice).collect();
    warnings.extend(deprecated::of_projects(&project.packages));
    let mut found = Found {
        nodes: Vec::new(),
        patches: Vec::new(),
        sources: Vec::new(),
        exposures: Vec::new(),
        groups: Vec::new(),
        unit_tests: Vec::new(),
    };
    for package in &project.packages {
        docs.read(package)?;
        read_package(&world, package, &mut found, &mut texts, &mut warnings)?;
    }
    world.macros.check_native(|package| found.nodes.iter().any(|node| node.package == package))?;
    let mut manifest = Manifest {
        world: world.clone(),
        nodes: IndexMap::new(),
        sources: IndexMap::new(),
        live: IndexMap::new(),
        exposures: IndexMap::new(),
        groups: IndexMap::new(),
        disabled: Vec::new(),
        docs,
        texts,
        warnings,
    };
    let Found { nodes, patches, sources, exposures, groups, unit_tests } = found;
    for (group, package) in groups {
        manifest.add_group(group, &package)?;
    }
    let tests = manifest.match_patches(nodes, &patches)?;
    manifest.add_sources(sources)?;
    manifest.add_tests(tests, &patches)?;
    for (exposure, package, path, place) in exposures {
        manifest.add_exposure(exposure, &package, &path, &place)?;
    }
    for package in &world.project.packages {
        for (event, hooks) in [("on-run-start", &package.on_run_start), ("on-run-end", &package.on_run_end)] {
            for (index, hook) in hooks.iter().enumerate() {
                let node = reading::operation(&world, package, event, index, hook)?;
                manifest.insert(node)?;
            }
        }
    }
    manifest.add_live_tables()?;
    link::link(&mut manifest)?;
    manifest.keep_referred();
    manifest.check_home()?;
    manifest.tell_unused_paths();
    manifest.tell_batches_that_wait();
    manifest.tell_deprecated();
    unit::add(&mut manifest, unit_tests)?;
    Ok(manifest)
}

/// Variables as the properties files of a package see them.
fn properties_renderer(project: &Project, package: &Package) -> Renderer {
    let mut vars = Map::new();
    let names = package.vars.keys().chain(project.root().vars.keys()).chain(project.options.vars.keys());
    for name in names {
        if let Some(value) = project.var(&package.name, name) {
            vars.insert(name.clone(), value);
        }
    }
    Renderer::new(Arc::new(Base { vars, ..(*project.base).clone() }))
}

fn read_package(
    world: &Arc<World>,
    package: &Arc<Package>,
    found: &mut Found,
    texts: &mut HashMap<Arc<str>, Arc<Text>>,
    warnings: &mut Vec<Warning>,
) -> Result<()> {
    let project = &world.project;
    let paths = &package.paths;
    let refuse = |dirs: &[String], endings: &[&str], what: &str| -> Result<()> {
        match files::find(&package.root, dirs, endings)?.first() {
            None => Ok(()),
            Some(file) => Err(Problem::new(
                ProblemKind::Unsupported,
                format!(
                    "{}: {what} are not supported yet",
                    display(&package.relative_root, &file.from_root())
                ),
            )
            .into()),
        }
    };
    refuse(&paths.models, &[".py"], "models in Python")?;
    refuse(&paths.functions, &[".sql", ".py"], "functions")?;

    let mut readings: Vec<Reading> = Vec::new();
    for (resource, dirs) in [
        (Resource::Model, &paths.models),
        (Resource::Analysis, &paths.analyses),
        (Resource::Test, &paths.tests),
        (Resource::Snapshot, &paths.snapshots),
    ] {
        for file in files::find(&package.root, dirs, &[".sql"])? {
            // Those are macros and rows of unit tests.
            let is_other = ["generic/", "fixtures/"].iter().any(|dir| file.relative.starts_with(dir));
            if resource == Resource::Test && is_other {
                continue;
            }
            readings.push(Reading { resource, package: package.clone(), file });
        }
    }
    for file in files::find(&package.root, &paths.seeds, &[".csv"])? {
        readings.push(Reading { resource: Resource::Seed, package: package.clone(), file });
    }
    let read = in_threads(&readings, |reading| Ok((reading.read(world)?, deprecated::said())))?;
    for (Read { nodes, text }, said) in read {
        warnings.extend(said);
        if let Some(text) = text {
            texts.insert(text.file.clone(), text);
        }
        found.nodes.extend(nodes);
    }

    let mut dirs: Vec<String> = Vec::new();
    for dir in [&paths.models, &paths.seeds, &paths.snapshots, &paths.analyses, &paths.macros, &paths.tests] {
        dirs.extend(dir.iter().filter(|dir| !dirs.contains(dir)).cloned().collect::<Vec<_>>());
    }
    let yamls = files::find(&package.root, &dirs, &[".yml", ".yaml"])?;
    let read = in_threads(&yamls, |file| {
        // Not shared between threads: what a template is rendered by is not.
        let renderer = properties_renderer(project, package);
        let original = file.from_root();
        let text = files::read(&file.path, &display(&package.relative_root, &original))?;
        let (root, again) = yaml::checked(&text)?;
        let mut properties = properties::read(&root, &package.name, &original, &renderer)?;
        properties.warnings.splice(..0, again.iter().map(yaml::stands_twice));
        Ok((properties, original, text))
    })?;
    for (properties, original, text) in read {
        texts.insert(text.file.clone(), text.clone());
        let Properties { patches, sources, exposures, groups, unit_tests, macros, warnings: odd } =
            properties;
        warnings.extend(odd);
        warnings.extend(macros.iter().filter_map(|of| deprecated::without_macro(world, &package.name, of)));
        for patch in patches.iter().filter(|patch| patch.section == "snapshots") {
            if let Some(relation) = patch.other.get("relation") {
                let mut node = reading::declared_snapshot(world, patch, &names::text(Some(relation)))?;
                node.checksum = Some(Manifest::checksum(&text.text));
                found.nodes.push(node);
            }
        }
        found.patches.extend(patches);
        found.sources.extend(sources);
        let name = &package.name;
        found.exposures.extend(exposures.into_iter().map(|(e, at)| (e, name.clone(), original.clone(), at)));
        found.unit_tests.extend(unit_tests.into_iter().map(|(yaml, place)| unit::Declared {
            yaml,
            package: name.clone(),
            original_path: original.clone(),
            place,
        }));
        found.groups.extend(groups.into_iter().map(|group| (group, name.clone())));
    }
    Ok(())
}

/// What one thread is at least given to do: less is done sooner than a thread is started.
const CHUNK_MIN: usize = 32;

/// Rendering goes as deep as macros call each other.
const STACK_BYTES: usize = 64 << 20;

/// Does something with all items, in as many threads as there are processors. The first error in the order of the items is the one returned.
pub(crate) fn in_threads<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let chunk = items.len().div_ceil(processors).max(CHUNK_MIN);
    let work = &work;
    thread::scope(|scope| {
        let threads: Vec<_> = items
            .chunks(chunk)
            .map(|items| {
                let run = move || items.iter().map(work).collect::<Result<Vec<R>>>();
                thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, run)
            })
            .collect();
        let mut all = Vec::with_capacity(items.len());
        for thread in threads {
            let thread = thread.map_err(ModelsError::NoThread)?;
            match thread.join() {
                Ok(part) => all.extend(part?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(all)
    })
}

impl Manifest {
    /// The text of a file, for messages.
    pub fn text(&self, file: &str) -> Option<Arc<Text>> {
        self.texts.get(file).cloned()
    }

    /// Anything enabled by its unique id.
    pub fn get(&self, unique_id: &str) -> Option<&Node> {
        self.nodes.get(unique_id).or_else(|| self.source(unique_id)).or_else(|| self.exposures.get(unique_id))
    }

    /// A table of a source by its unique id.
    pub fn source(&self, unique_id: &str) -> Option<&Node> {
        self.sources.get(unique_id).or_else(|| self.live.get(unique_id))
    }

    /// Everything enabled.
    pub fn all(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values().chain(self.sources.values()).chain(self.exposures.values())
    }

    /// A statement of somebody's own as a node that can be compiled and shown.
    ///
    /// Errors: its template can't be rendered, or it refers to what isn't there.
    pub fn inline(&self, sql: &str) -> Result<Node> {
        let mut node = reading::inline(&self.world, sql)?;
        link::link_one(self, &link::Names::of(self), &mut node)?;
        Ok(node)
    }

    fn add_group(&mut self, group: Map<String, Json>, package: &str) -> Result<()> {
        let name = group.get("name").and_then(Json::as_str).unwrap_or_default().to_owned();
        let id = format!("group.{package}.{name}");
        if name.is_empty() || !group.contains_key("owner") {
            let message = format!("the group `{name}` needs a name and an owner");
            return Err(Problem::new(ProblemKind::Yaml, message).into());
        }
        self.groups.insert(id, Json::Object(group));
        Ok(())
    }

    fn insert(&mut self, node: Node) -> Result<()> {
        if !node.enabled() {
            self.disabled.push(node);
            return Ok(());
        }
        if let Some(first) = self.nodes.get(&node.unique_id) {
            return Err(Problem::new(
                ProblemKind::Duplicate,
                format!("two {}s are named `{}`", node.resource.name(), node.name),
            )
            .hint(format!(
                "they are in {} and {}: rename or disable one",
                first.original_path, node.original_path
            ))
            .into());
        }
        self.nodes.insert(node.unique_id.clone(), node);
        Ok(())
    }

    /// Gives nodes what properties say of them. Returns the declarations of tests, each with its patch and, for columns, the column.
    fn match_patches<'p>(
        &mut self,
        nodes: Vec<Node>,
        patches: &'p [Patch],
    ) -> Result<Vec<(usize, Option<usize>, &'p yaml::Node)>> {
        let mut by_name: BTreeMap<(&str, String), Vec<usize>> = BTreeMap::new();
        let models = nodes.iter().filter(|node| node.resource == Resource::Model);
        let models: HashSet<(&str, &str)> =
            models.map(|node| (node.package.as_str(), node.name.as_str())).collect();
        for (at, patch) in patches.iter().enumerate() {
            let files = patch.version.iter().flat_map(|version| &version.files);
            let file =
                files.into_iter().find(|file| models.contains(&(patch.package.as_str(), file.as_str())));
            by_name.entry((patch.section, file.unwrap_or(&patch.name).clone())).or_default().push(at);
        }
        drop(models);
        let world = self.world.clone();
        let mut used = vec![false; patches.len()];
        let mut kept = Vec::new();
        for mut node in nodes {
            let section = match node.resource {
                Resource::Seed => "seeds",
                Resource::Analysis => "analyses",
                Resource::Test => "data_tests",
                Resource::Snapshot => "snapshots",
                _ => "models",
            };
            let mut patch = None;
            for at in by_name.get(&(section, node.name.clone())).into_iter().flatten() {
                let candidate = &patches[*at];
                // Of a version whose file isn't there nothing is said.
                let is_of_file = candidate.version.as_ref().is_none_or(|it| it.files.contains(&node.name));
                if candidate.package != node.package || !is_of_file {
                    continue;
                }
                if let Some(first) = patch {
                    let first: &Patch = first;
                    return Err(Problem::new(
                        ProblemKind::Duplicate,
                        format!("`{}` is described a second time", node.name),
                    )
                    .at(&candidate.place)
                    .hint(format!("the first time is at {}", first.place))
                    .into());
                }
                used[*at] = true;
                patch = Some(candidate);
            }
            if let Some(patch) = patch {
                if let Some(version) = &patch.version {
                    node.become_version(&patch.name, version);
                }
                if node.resource == Resource::Model {
                    if let Some(spine) = time_spine::of(patch)? {
                        node.extra.insert("time_spine".into(), spine);
                    }
                }
                if let Some(said) = patch.other.get("deprecation_date") {
                    let date = version::date(said).map_err(|wrong| wrong.at(&patch.place))?;
                    node.extra.insert("deprecation_date".into(), date);
                }
            }
            self.finish(&mut node, patch)?;
            kept.push(node);
        }
        names::assign(&world, &mut kept, &self.texts)?;
        for node in kept {
            self.insert(node)?;
        }
        let mut tests = Vec::new();
        for (at, patch) in patches.iter().enumerate() {
            if !used[at] {
                let name = patch.version.as_ref().map_or(&patch.name, |version| &version.files[0]);
                self.warnings.push(self.without_node(patch, name));
                continue;
            }
            tests.extend(patch.tests.iter().map(|test| (at, None, test)));
            for (index, column) in patch.columns.iter().enumerate() {
                tests.extend(column.tests.iter().map(|test| (at, Some(index), test)));
            }
        }
        Ok(tests)
    }

    /// The node's configuration, description and columns.
    fn finish(&mut self, node: &mut Node, patch: Option<&Patch>) -> Result<()> {
        let said = std::mem::take(&mut node.config);
        let (config, unrendered) = config::resolve(
            &self.world.project,
            &node.package,
            node.resource,
            &node.fqn,
            patch.map(|patch| &patch.config),
            &said,
        );
        (node.config, node.unrendered) = (config, unrendered);
        self.check_config(node)?;
        if let Some(begin) = batches::begin(node) {
            node.config.insert("begin".into(), begin.into());
        }
        if let (Some(access), Some(place)) =
            (node.config.get("access").cloned(), node.extra.get_mut("access"))
        {
            *place = access;
        }
        if let Some(patch) = patch {
            node.patch_path = Some(format!("{}://{}", patch.package, patch.original_path));
            node.description = self.describe(&patch.description, patch, &mut node.doc_blocks)?;
            node.columns = self.columns_of(patch)?;
            if let (Some(said), Some(place)) =
                (patch.other.get("constraints"), node.extra.get_mut("constraints"))
            {
                *place = said.clone();
            }
        }
        if node.enabled() {
            let settled = contract::settle(node).map_err(|problem| problem.around(names::describe(node)));
            self.warnings.extend(settled?);
        }
        Ok(())
    }

    fn columns_of(&self, patch: &Patch) -> Result<Map<String, Json>> {
        let mut columns = Map::new();
        for column in &patch.columns {
            let mut json = column.json.clone();
            let mut blocks = Vec::new();
            json["description"] = self.describe(&column.description, patch, &mut blocks)?.into();
            json["doc_blocks"] = json!(blocks);
            columns.insert(column.name.clone(), json);
        }
        Ok(columns)
    }

    fn describe(&self, text: &str, patch: &Patch, blocks: &mut Vec<String>) -> Result<String> {
        self.docs
            .describe(&self.world.project, &patch.package, text, blocks)
            .map_err(|problem| problem.at(&patch.place).into())
    }

    /// Refuses what a configuration asks for and is not done, or can't be.
    fn check_config(&self, node: &Node) -> Result<()> {
        let unsupported = |what: String| {
            let problem = Problem::new(ProblemKind::Unsupported, format!("{what} is not supported yet"));
            Err(problem
                .around(format!("in {} {} ({})", node.resource.name(), node.name, node.original_path))
                .into())
        };
        if !node.enabled() {
            return Ok(());
        }
        let by_macro = node.resource == Resource::Model && !node.is_ephemeral() && {
            let (root, warehouse) = (self.world.project.root(), self.world.project.target.kind);
            let found = materialization::find(&self.world.macros, &root.name, warehouse, node.materialized());
            match found.map_err(|problem| problem.around(names::describe(node)))? {
                Materialization::NotDone => {
                    return unsupported(format!("the materialization `{}`", node.materialized()));
                }
                // What isn't there is an error of the node's alone, once it is to be built.
                Materialization::Unknown => true,
                Materialization::Native => false,
                Materialization::Macro(entry) if entry.package != macros::LIBRARY => true,
                Materialization::Macro(_) if node.has_contract() && contract::has(node, "foreign_key") => {
                    return unsupported(
                        "a foreign key, in a project with macros for parts of materializations,".into(),
                    );
                }
                Materialization::Macro(_) => false,
            }
        };
        if node.resource == Resource::Model && node.materialized() == "external" {
            let said = |key: &str| {
                node.config.get(key).filter(|value| !matches!(value, Json::Null | Json::Bool(false)))
            };
            if let Some(key) = ["plugin", "glue_register"].into_iter().find(|key| said(key).is_some()) {
                return unsupported(format!("`{key}` of an external model"));
            }
        }
        let is_batched = batches::is_batched(node);
        if is_batched && (by_macro || self.world.macros.overrides("get_incremental_microbatch_sql")) {
            return unsupported("a microbatch model that is built by macros of the project's own".into());
        }
        if by_macro {
            return Ok(());
        }
        if node.resource == Resource::Snapshot {
            if snapshot::is_from_history(node) && self.world.project.target.kind == Adapter::Postgres {
                let message = "`snapshot_from_history` in PostgreSQL: a history is kept in the live warehouse alone, and the same snapshot there is polled without it; this";
                return unsupported(message.into());
            }
            if snapshot::is_from_history(node) {
                if let Some(name) = self.own_part_of_snapshots(node)? {
                    return unsupported(format!(
                        "`snapshot_from_history` in a project with `{name}`, which such a snapshot is made without,"
                    ));
                }
            }
            snapshot::Settings::of(node).map_err(|problem| problem.around(names::describe(node)))?;
        }
        if node.is_incremental() {
            OnSchemaChange::of(node).map_err(|problem| problem.around(names::describe(node)))?;
            if let Some(strategy @ "insert_overwrite") = node.config_str("incremental_strategy") {
                return unsupported(format!("the incremental strategy `{strategy}`"));
            }
            if is_batched {
                let warehouse = self.world.project.target.kind;
                batches::Settings::of(node, warehouse)
                    .map_err(|problem| problem.around(names::describe(node)))?;
            }
        }
        Ok(())
    }

    /// A macro or a materialization of a project's own that a snapshot would be made by, if it were polled.
    fn own_part_of_snapshots(&self, node: &Node) -> Result<Option<String>> {
        let (root, macros) = (self.world.project.root(), &self.world.macros);
        let found = materialization::find(macros, &root.name, self.world.project.target.kind, "snapshot");
        Ok(match found.map_err(|problem| problem.around(names::describe(node)))? {
            Materialization::Macro(entry) if entry.package != macros::LIBRARY => Some(entry.name.clone()),
            _ => macros.own_part_of_snapshots(&node.package).map(str::to_owned),
        })
    }

    fn add_exposure(
        &mut self,
        exposure: Map<String, Json>,
        package: &str,
        original_path: &str,
        place: &Place,
    ) -> Result<()> {
        let node = reading::exposure(&self.world, exposure, package, original_path, place)?;
        if !node.enabled() {
            self.disabled.push(node);
        } else if self.exposures.insert(node.unique_id.clone(), node).is_some() {
            return Err(Problem::new(ProblemKind::Duplicate, "two exposures have this name")
                .at(place)
                .into());
        }
        Ok(())
    }

    /// A checksum of what a file holds, as dbt makes it: of the text, without blank around it.
    pub fn checksum(text: &str) -> String {
        sha256(text.trim().as_bytes())
    }
}
