//! dbt's verbs: a project is read, its nodes selected, compiled or built, and what became of them told as dbt tells it.

mod cancel;
mod console;
mod debug;
mod deps;
mod docs;
mod events;
mod first;
mod freshness;
mod init;
mod lineage;
mod listing;
mod memory;
mod operation;
mod retry;
mod show;
mod template;
mod unasked;
mod warehouse;
mod warnings;

use std::{
    cell::OnceCell,
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use millstream_core::{build::BuildWarehouse, Exit};
use millstream_models::{
    artifacts,
    engine::{
        batches, clone,
        compile::Compiled,
        live::Shared,
        retry::Previous,
        run::{Outcome as NodeOutcome, Run, Status, Work},
    },
    parse::{
        self,
        node::{Node, Resource},
        Manifest,
    },
    place::Text,
    project::{self, package::DBT_VERSION, Home, Options, Project},
    report,
    select::{yaml::Selectors, Graph, Ids, Indirect, Selector, Spec},
    warning::Warning,
    yaml, ModelsError, Problem, ProblemKind,
};
use millstream_store::{ModelNode, ModelOutcome, ModelRun};
use serde_json::{json, Map, Value};

pub(super) use self::first::FirstBuild;
use self::{
    console::Console,
    events::Level,
    unasked::Unasked,
    warehouse::open,
    warnings::{nothing, warn, warn_errors},
};
use crate::{
    args::{DbtFlags, DbtVerb, DocsVerb, Global, InitFlags, LsFlags, SourceVerb, VARIABLES_TO_COME},
    config::Project as MillstreamProject,
    engine::{self, home, Workshop},
    failure::{Failure, Outcome},
    output::{LogFormat, Output},
};

/// Runs a verb, as the program's own or, behind `millstream dbt`, in the place of dbt.
pub(super) fn run(global: &Global, output: &Output, mut verb: DbtVerb, as_dbt: bool) -> Outcome {
    memory::save();
    let began = seconds();
    let which = verb.name();
    let flags = verb.flags_mut().ignored.clone();
    let console = Console::new(global, &flags, output, false);
    if output.messages == LogFormat::Json {
        events::begin();
        let (text, version) = (format!("Running as dbt={DBT_VERSION}"), format!("={DBT_VERSION}"));
        console.event(Level::Info, "MainReportVersion", &text, json!({"version": version, "log_version": 3}));
    }
    let mut ended = verb_of(global, output, verb);
    if cancel::is_cancelled() {
        // What went wrong is that somebody wanted it to end.
        if ended.is_err() {
            console.interrupted();
        }
        ended = Ok(cancel::exit(as_dbt));
    }
    if let Err(failure) = warnings::sum_up(&console, output) {
        ended = ended.and(Err(failure));
    }
    if output.messages == LogFormat::Json {
        if let Err(failure) = &ended {
            console.event(
                Level::Error,
                "MainEncounteredError",
                &failure.message,
                json!({"exc": failure.message}),
            );
        }
        let success = ended.as_ref().is_ok_and(|exit| *exit == 0);
        let (at, elapsed) = (artifacts::seconds(seconds()), seconds() - began);
        let how = if success { "succeeded" } else { "failed" };
        let text = format!("Command `dbt {which}` {how} at {at} after {elapsed:.2} seconds");
        let data = json!({"command": format!("dbt {which}"), "completed_at": at, "elapsed": elapsed, "success": success});
        console.event(Level::Debug, "CommandCompleted", &text, data);
    }
    ended
}

/// Does what a verb says.
fn verb_of(global: &Global, output: &Output, mut verb: DbtVerb) -> Outcome {
    refuse_variables()?;
    let belongs_to = belongs_to(global, verb.flags_mut())?;
    let opened = OnceCell::new();
    let call = |which, flags| Call {
        global,
        output,
        which,
        flags,
        belongs_to: &belongs_to,
        opened: &opened,
        again: None,
    };
    match &verb {
        DbtVerb::Parse(flags) => call("parse", flags).parse(),
        DbtVerb::Ls(ls) => call("list", &ls.common).list(ls),
        DbtVerb::Compile(flags) => match &flags.inline {
            Some(sql) => show::compile(&call("compile", &flags.common), sql),
            None => call("compile", &flags.common).work(None),
        },
        DbtVerb::Run(flags) => call("run", flags).work(None),
        DbtVerb::Test(flags) => call("test", flags).work(None),
        DbtVerb::Seed(flags) => call("seed", flags).work(None),
        DbtVerb::Snapshot(flags) => call("snapshot", flags).work(None),
        DbtVerb::Build(flags) => call("build", flags).work(None),
        DbtVerb::Clone(flags) => call("clone", flags).work(None),
        DbtVerb::Retry(flags) => retry::run(&call("retry", flags)),
        DbtVerb::Show(show) => show::run(&call("show", &show.common), show),
        DbtVerb::RunOperation(operation) => {
            operation::run(&call("run-operation", &operation.common), operation)
        }
        DbtVerb::Source { verb: SourceVerb::Freshness(flags) } => {
            freshness::run(&call("freshness", &flags.common), flags)
        }
        DbtVerb::Deps(flags) => deps::run(&call("deps", &flags.common), flags),
        DbtVerb::Docs { verb: DocsVerb::Generate(flags) } => {
            docs::generate(&call("generate", &flags.common), flags)
        }
        DbtVerb::Docs { verb: DocsVerb::Serve(flags) } => docs::serve(&call("serve", &flags.common), flags),
        DbtVerb::Lineage(flags) => lineage::run(&call("lineage", &flags.common), flags),
        DbtVerb::Debug(flags) => debug::run(&call("debug", &flags.common), flags),
        DbtVerb::Clean(flags) => call("clean", flags).clean(),
    }
}

/// Makes a project.
pub(super) fn init(global: &Global, output: &Output, flags: &InitFlags) -> Outcome {
    refuse_variables()?;
    let common = DbtFlags {
        project_dir: flags.project_dir.clone().or_else(|| Some(PathBuf::from("."))),
        profiles_dir: flags.profiles_dir.clone(),
        profile: flags.profile.clone(),
        vars: flags.vars.clone(),
        ..DbtFlags::default()
    };
    let call = Call {
        global,
        output,
        which: "init",
        flags: &common,
        belongs_to: &None,
        opened: &OnceCell::new(),
        again: None,
    };
    init::run(&call, flags)
}

/// What was called for: a verb with its flags.
struct Call<'c> {
    global: &'c Global,
    output: &'c Output,
    /// dbt's name of the verb.
    which: &'c str,
    flags: &'c DbtFlags,
    /// The project around it, in whose warehouse it is built.
    belongs_to: &'c Option<MillstreamProject>,
    /// That warehouse, once it is open.
    opened: &'c OnceCell<Arc<Workshop>>,
    /// The run that is done again.
    again: Option<&'c Previous>,
}

impl Call<'_> {
    /// Whether nothing is built.
    fn only_compiles(&self) -> bool {
        matches!(self.which, "compile" | "generate" | "lineage")
    }

    fn console(&self) -> Console<'_> {
        // What is only compiled or cloned ends before anybody could read that it began.
        let rows = !self.only_compiles() && self.which != "clone";
        Console::new(self.global, &self.flags.ignored, self.output, rows)
    }

    /// Reads the project.
    fn project(&self) -> Result<Arc<Manifest>, Failure> {
        let mut options = Options { home: self.home()?, ..options(self.global, self.flags, self.which)? };
        if let Some(previous) = self.again {
            options.batches.clone_from(&previous.batches);
            options.batches_until_us = previous.started_us.unwrap_or(options.batches_until_us);
        }
        let project = Project::read(options).map_err(Failure::from)?;
        warnings::begin(&project, self.flags, self.output)?;
        let manifest = Arc::new(parse::parse(project)?);
        for warning in &manifest.warnings {
            self.warn(&manifest.world.project.options, warning)?;
        }
        Ok(manifest)
    }

    /// Tells a warning, unless it is to be an error.
    fn warn(&self, options: &Options, warning: &Warning) -> Result<(), Failure> {
        warn(options, warning, self.output)
    }

    /// Where the project is built, if not where a profile says. What only reads files asks a running instance, and opens nothing.
    fn home(&self) -> Result<Option<Home>, Failure> {
        let Some(project) = self.belongs_to else { return Ok(None) };
        let only_reads = matches!(self.which, "parse" | "list" | "serve" | "deps" | "clean");
        let workshop = match only_reads {
            true => Workshop::running(project),
            false => Some(Workshop::open(project)?),
        };
        let tables = workshop.as_ref().map(Workshop::tables).transpose()?;
        if let Some(workshop) = workshop {
            // Opened once in the life of a call.
            let _ = self.opened.set(Arc::new(workshop));
        }
        Ok(Some(home(project, tables)))
    }

    /// The warehouse that is built in. [`Call::project`] comes first.
    fn warehouse(&self, project: &Project) -> Result<Arc<dyn BuildWarehouse>, Failure> {
        cancel::watched(self.unwatched(project)?)
    }

    /// The same, for who is told by others when to stop.
    fn unwatched(&self, project: &Project) -> Result<Arc<dyn BuildWarehouse>, Failure> {
        match self.opened.get() {
            Some(workshop) => Ok(workshop.clone()),
            None => open(&project.target, &project.options.project_dir),
        }
    }

    fn parse(&self) -> Outcome {
        let manifest = self.project()?;
        write_manifest(&manifest, &HashMap::new())?;
        self.console().found(&manifest);
        Ok(0)
    }

    fn list(&self, ls: &LsFlags) -> Outcome {
        let manifest = self.project()?;
        let ids =
            select(&manifest, self.flags, |node| wanted(self.flags, node, listing::is_listed), self.output)?;
        write_manifest(&manifest, &HashMap::new())?;
        listing::print(&manifest, &ids, ls, self.output)
    }

    fn clean(&self) -> Outcome {
        let options = options(self.global, self.flags, self.which)?;
        let console = self.console();
        for dir in project::clean::clean(&options)? {
            console.say(&format!("Removed {}", dir.display()));
        }
        Ok(0)
    }

    /// Compiles, builds or tests what is selected, or only these nodes.
    fn work(&self, only: Option<&[String]>) -> Outcome {
        let began = seconds();
        work(self, &self.project()?, only, began)
    }
}

/// Refuses what the environment asks for in dbt's words and is not done: whoever set it would not be told otherwise.
fn refuse_variables() -> Result<(), Failure> {
    const OFF: &[&str] = &["", "0", "f", "false", "n", "no", "off"];
    for name in VARIABLES_TO_COME {
        let set = std::env::var_os(name).map(|value| value.to_string_lossy().to_lowercase());
        if set.is_some_and(|value| !OFF.contains(&value.as_str())) {
            let problem = Problem::new(
                ProblemKind::Unsupported,
                format!("dbt's environment variable `{name}` is not supported yet"),
            );
            return Err(
                ModelsError::from(problem.hint(format!("unset it: `env -u {name} millstream …`"))).into()
            );
        }
    }
    Ok(())
}

fn seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// The span of time that `--sample` means.
fn sample(said: &str, now_us: i64) -> Result<batches::Span, Failure> {
    let said = match said.trim_start().starts_with('{') {
        true => Value::Object(mapping("--sample", Some(said), "{start: 2026-01-01, end: 2026-02-01}")?),
        false => Value::String(said.to_owned()),
    };
    Ok(batches::sample(&said, now_us).map_err(ModelsError::from)?)
}

/// What a flag holds that takes a mapping in YAML.
fn mapping(flag: &str, text: Option<&str>, example: &str) -> Result<Map<String, Value>, Failure> {
    let Some(text) = text else { return Ok(Map::new()) };
    let text = Arc::new(Text { file: flag.into(), text: text.to_owned() });
    match yaml::parse(&text).map_err(ModelsError::from)?.to_json() {
        Value::Object(map) => Ok(map),
        Value::Null => Ok(Map::new()),
        _ => {
            let message = format!("{flag} is a mapping, such as '{example}'");
            Err(ModelsError::from(Problem::new(ProblemKind::Configuration, message)).into())
        }
    }
}

fn options(global: &Global, flags: &DbtFlags, which: &str) -> Result<Options, Failure> {
    let given = flags.project_dir.clone().or_else(|| global.project.clone());
    let dir = given.clone().unwrap_or_else(|| PathBuf::from("."));
    // Where a seed lies is told to the warehouse, which may be elsewhere.
    let dir = std::path::absolute(&dir).unwrap_or(dir);
    let project_dir = match given {
        Some(_) => dir,
        // Within a project's directories it is that project.
        None => {
            let above = dir.ancestors().find(|above| above.join("dbt_project.yml").is_file());
            above.map(Path::to_owned).unwrap_or(dir)
        }
    };
    let started_us = (seconds() * 1e6) as i64;
    let vars = mapping("--vars", flags.vars.as_deref(), "{start: 2026-01-01}")?;
    let event_time = match (flags.event_time_start, flags.event_time_end) {
        (Some(start), Some(end)) if start >= end => {
            let message = "--event-time-start is before --event-time-end";
            return Err(ModelsError::from(Problem::new(ProblemKind::Configuration, message)).into());
        }
        (Some(start), Some(end)) => Some([start, end]),
        _ => None,
    };
    let sample = match &flags.sample {
        Some(said) if matches!(which, "build" | "run") => Some(sample(said, started_us)?),
        _ => None,
    };
    Ok(Options {
        arguments: retry::told(global, flags, which, &project_dir),
        project_dir,
        profiles_dir: flags.profiles_dir.clone(),
        profile: flags.profile.clone(),
        target: flags.target.clone(),
        vars,
        threads: flags.threads,
        full_refresh: flags.full_refresh,
        target_path: flags.target_path.clone(),
        store_failures: flags.store_failures,
        empty: flags.empty,
        prints_nothing: flags.ignored.prints_nothing(),
        writes_json: flags.ignored.writes_json(),
        warn_errors: warn_errors(flags)?,
        event_time: sample.or(event_time),
        sample,
        asks_nothing: flags.no_introspect || flags.introspect == Some(false),
        batches_until_us: started_us,
        batches: HashMap::new(),
        state: flags.state.state.clone(),
        defer_state: flags.state.defer_state.clone(),
        defer: flags.state.defer,
        favor_state: flags.state.favor_state,
        // A variable that is no text can't be asked for by a template.
        env: std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect(),
        home: None,
        which: which.to_owned(),
        invocation_id: events::invocation_id().to_owned(),
        started_us,
    })
}

fn wanted(flags: &DbtFlags, node: &Node, default: impl Fn(Resource) -> bool) -> bool {
    if flags.excluded_types.iter().any(|kind| kind == node.resource.name()) {
        return false;
    }
    if flags.resource_types.is_empty() {
        return default(node.resource);
    }
    let all = flags.resource_types.iter().any(|kind| kind == "all");
    (all && node.resource != Resource::Operation)
        || flags.resource_types.iter().any(|kind| kind == node.resource.name())
}

/// The nodes that the flags mean, of those that the verb is about.
fn select(
    manifest: &Manifest,
    flags: &DbtFlags,
    is_about: impl Fn(&Node) -> bool,
    output: &Output,
) -> Result<Ids, Failure> {
    const TYPES: &[&str] =
        &["all", "model", "seed", "snapshot", "test", "unit_test", "analysis", "source", "exposure"];
    let named = flags.resource_types.iter().chain(&flags.excluded_types);
    if let Some(unknown) = named.into_iter().find(|kind| !TYPES.contains(&kind.as_str())) {
        let problem = Problem::new(
            ProblemKind::Selection,
            format!("`{unknown}` is no type of resource that is built here"),
        )
        .hint(format!("there are: {}", TYPES.join(", ")));
        return Err(ModelsError::from(problem).into());
    }
    let project = &manifest.world.project;
    let of_project = project.root().flags.get("indirect_selection").and_then(Value::as_str);
    let mode = flags.indirect_selection.as_deref().or(of_project).unwrap_or("eager");
    let indirect = Indirect::parse(mode)?;
    let selectors = Selectors::read(&project.options.project_dir, indirect)?;
    let nothing_said = flags.select.is_empty() && flags.exclude.is_empty();
    let spec = match (&flags.selector, selectors.preset()) {
        (Some(name), _) => selectors.get(name)?.clone(),
        (None, Some(preset)) if nothing_said => preset.clone(),
        _ => Spec::parse(&flags.select, &flags.exclude, indirect)?,
    };
    let graph = Graph::of(manifest);
    let mut selector = Selector::new(manifest, &graph);
    let ids = selector.select(&spec)?;
    for empty in &selector.empty {
        let text = format!("the selection criterion `{empty}` does not match any enabled nodes");
        warn(&project.options, &Warning::of("NoNodesForSelectionCriteria", text), output)?;
    }
    Ok(ids.into_iter().filter(|id| manifest.get(id).is_some_and(&is_about)).collect())
}

fn write_manifest(manifest: &Manifest, compiled: &HashMap<String, Compiled>) -> Result<(), Failure> {
    if manifest.world.project.options.writes_json == Some(false) {
        return Ok(());
    }
    let text = artifacts::manifest(manifest, compiled, seconds())?;
    artifacts::write(&manifest.world.project.target_dir(), "manifest.json", &text)?;
    Ok(())
}

/// Leaves manifest and results, with `more` of what was called for.
fn finish(
    call: &Call<'_>,
    manifest: &Manifest,
    more: Map<String, Value>,
    outcomes: &[NodeOutcome],
    began: f64,
) -> Result<(), Failure> {
    let compiled = compiled(outcomes);
    write_manifest(manifest, &compiled)?;
    write_results(manifest, call, more, outcomes, began)?;
    if let (Some(project), Some(workshop)) = (call.belongs_to, call.opened.get()) {
        // What was built is there, whoever is told of it.
        if let Err(failure) = workshop.record(project, model_run(call, manifest, &compiled, outcomes, began))
        {
            call.output.failure(&failure);
        }
    }
    Ok(())
}

/// The same for the people who look at the project in a browser.
fn model_run(
    call: &Call<'_>,
    manifest: &Manifest,
    compiled: &HashMap<String, Compiled>,
    outcomes: &[NodeOutcome],
    began: f64,
) -> ModelRun {
    let micros = |seconds: f64| (seconds * 1e6) as i64;
    let mut sql: HashMap<&str, &str> = HashMap::new();
    for (id, compiled) in compiled {
        sql.insert(id, &compiled.sql);
        sql.extend(compiled.ephemeral.iter().map(|(id, sql)| (id.as_str(), sql.as_str())));
    }
    let nodes: Vec<ModelNode> = report::documents(manifest)
        .map(|(id, document)| ModelNode {
            id: id.to_owned(),
            document: document.to_string(),
            compiled: sql.get(id).map(|sql| (*sql).to_owned()),
        })
        .collect();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let ran = outcomes.iter().filter(|_| !call.only_compiles());
    let invocation = manifest.world.project.options.invocation_id.clone();
    let outcomes = ran.map(|outcome| {
        *counts.entry(outcome.status.name()).or_default() += 1;
        ModelOutcome {
            id: outcome.unique_id.clone(),
            invocation: invocation.clone(),
            status: outcome.status.name().to_owned(),
            message: outcome.message.clone(),
            failures: outcome.failures,
            began_micros: micros(outcome.times[0]),
            elapsed_micros: micros(outcome.times[2] - outcome.times[0]),
            // -1 says that the warehouse told of none.
            rows: outcome.response["rows_affected"].as_i64().filter(|rows| *rows >= 0),
        }
    });
    ModelRun {
        outcomes: outcomes.collect(),
        verb: call.which.to_owned(),
        began_micros: micros(began),
        elapsed_micros: micros(seconds() - began),
        counts: json!(counts).to_string(),
        all: Some(nodes.iter().map(|node| node.id.clone()).collect()),
        nodes,
        invocation,
    }
}

/// Writes the results, with what was called for and `more` of it, so that it can be done again.
fn write_results(
    manifest: &Manifest,
    call: &Call<'_>,
    more: Map<String, Value>,
    outcomes: &[NodeOutcome],
    began: f64,
) -> Result<(), Failure> {
    if manifest.world.project.options.writes_json == Some(false) {
        return Ok(());
    }
    let mut arguments = retry::arguments(call.flags, call.which);
    arguments.extend(more);
    let ended = seconds();
    let results = artifacts::run_results(manifest, outcomes, ended - began, &Value::Object(arguments), ended);
    artifacts::write(&manifest.world.project.target_dir(), "run_results.json", &results)?;
    Ok(())
}

/// The project that it belongs to, unless a flag or variable asks for a profile.
fn belongs_to(global: &Global, flags: &DbtFlags) -> Result<Option<MillstreamProject>, Failure> {
    if flags.profile.is_some() || flags.target.is_some() || flags.profiles_dir.is_some() {
        return Ok(None);
    }
    engine::belongs_to(flags.project_dir.as_ref().or(global.project.as_ref()))
}

fn work(call: &Call<'_>, manifest: &Arc<Manifest>, only: Option<&[String]>, began: f64) -> Outcome {
    outcomes(call, manifest, only, began).map(|(exit, _)| exit)
}

/// Compiles or builds; the exit status, and what became of each node.
fn outcomes(
    call: &Call<'_>,
    manifest: &Arc<Manifest>,
    only: Option<&[String]>,
    began: f64,
) -> Result<(u8, Vec<NodeOutcome>), Failure> {
    let Call { which, flags, output, .. } = *call;
    let console = &call.console();
    let is_about = |node: &Node| {
        // The project's hooks too, as with dbt: their SQL is written, and not run.
        let is_compiled = |kind| {
            (is_built(kind) && kind != Resource::UnitTest)
                || matches!(kind, Resource::Analysis | Resource::Operation)
        };
        let (kind, builds) = match which {
            "run" => (node.resource == Resource::Model, true),
            "test" => (wanted(flags, node, |_| node.is_test()), node.is_test()),
            "seed" => (node.resource == Resource::Seed, true),
            "snapshot" => (node.resource == Resource::Snapshot, true),
            "clone" => (wanted(flags, node, |_| true), node.is_refable()),
            "compile" | "generate" => (wanted(flags, node, is_compiled), is_compiled(node.resource)),
            _ => (wanted(flags, node, is_built), is_built(node.resource)),
        };
        kind && builds && !node.is_ephemeral()
    };
    console.found(manifest);
    let ids = match only {
        Some(only) => only.iter().filter(|id| manifest.get(id).is_some_and(is_about)).cloned().collect(),
        None => select(manifest, flags, is_about, output)?,
    };
    let graph = if which == "build" { Graph::with_tests_first(manifest) } else { Graph::of(manifest) };
    let shared = Arc::new(Shared::new(manifest.clone(), ids.clone())?);
    let outcomes = if ids.is_empty() {
        nothing(&manifest.world.project.options, console)?;
        Vec::new()
    } else {
        if which == "clone" {
            clone::check(manifest)?;
        }
        let asks_nothing = call.only_compiles() && manifest.world.project.options.asks_nothing;
        let warehouse = match asks_nothing {
            true => Arc::new(Unasked),
            false => call.warehouse(&manifest.world.project)?,
        };
        let warehouse = &*warehouse;
        console.concurrency(manifest, ids.len());
        let run = Run {
            shared: shared.clone(),
            warehouse,
            graph: &graph,
            ids,
            work: match which {
                "clone" => Work::Clone,
                _ if call.only_compiles() => Work::Compile,
                _ => Work::Build,
            },
            fail_fast: flags.fail_fast
                || manifest.world.project.root().flags.get("fail_fast") == Some(&Value::Bool(true)),
            observer: console,
        };
        run.run()?
    };
    let mut outcomes = outcomes;
    if which == "seed" && flags.show {
        show::seeds(call, manifest, &shared, &outcomes)?;
    }
    if which == "build" && flags.resource_types.is_empty() && only.is_none() {
        let is_exposure = |node: &Node| wanted(flags, node, |kind| kind == Resource::Exposure);
        let exposures = select(manifest, flags, is_exposure, output)?;
        let graph = Graph::of(manifest);
        let told: Vec<_> =
            exposures.iter().map(|id| NodeOutcome::of_exposure(id, &graph, &outcomes)).collect();
        outcomes.extend(told);
    }
    finish(call, manifest, Map::new(), &outcomes, began)?;
    let ended = seconds();
    if call.only_compiles() {
        console.compiled(manifest, &outcomes, &flags.select);
    } else if !outcomes.is_empty() {
        console.finished(manifest, &outcomes, ended - began);
    }
    let exit = match (outcomes.iter().any(is_wrong), which) {
        (false, _) => 0,
        // What can't be compiled is wrong in the project, as with dbt; here the other nodes are compiled all the same.
        (true, "compile" | "generate") => Exit::Usage as u8,
        (true, _) => Exit::Wrong as u8,
    };
    Ok((exit, outcomes))
}

/// The SQL of the nodes that have some.
fn compiled(outcomes: &[NodeOutcome]) -> HashMap<String, Compiled> {
    outcomes
        .iter()
        .filter_map(|outcome| Some((outcome.unique_id.clone(), outcome.compiled.clone()?)))
        .collect()
}

/// Whether `build` builds or tests what is of this kind.
fn is_built(kind: Resource) -> bool {
    matches!(
        kind,
        Resource::Model | Resource::Test | Resource::UnitTest | Resource::Seed | Resource::Snapshot
    )
}

fn is_wrong(outcome: &NodeOutcome) -> bool {
    matches!(outcome.status, Status::Error | Status::Fail | Status::Skipped | Status::PartialSuccess)
}
