//! What names mean in the templates of nodes: dbt's context, while a project is parsed and while it runs.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
};

use serde_json::{Map, Value as Json};

use super::{
    adapter::Adapter,
    base::{self, function},
    kept, loading,
    namespaces::{Added, Context, Package},
    relation::Relation,
    statements::Planned,
    table::Table,
};
use crate::{
    jinja::{fail, template, Args, Dict, Eval, Host, Interpreter, JinjaError, Object, Spot, Value},
    parse::{
        config,
        macros::{MacroEntry, Macros},
        names,
        node::{RefArgs, Resource},
        snapshot,
    },
    project::Project,
};

/// What all nodes of a project share.
#[derive(Debug)]
pub struct World {
    /// The project.
    pub project: Project,
    /// Its macros.
    pub macros: Macros,
}

impl World {
    /// What the name of a macro begins with that is for this warehouse, or for all.
    fn prefixes(&self) -> [&'static str; 2] {
        [self.project.target.kind.name(), "default"]
    }

    /// The packages that a dispatched macro is looked for in; `None` is where any macro is found.
    fn search_order<'w>(&'w self, namespace: Option<&'w str>) -> Vec<Option<&'w str>> {
        let root = self.project.root();
        let Some(namespace) = namespace else { return vec![None] };
        match root.dispatch.iter().find(|(of, _)| of == namespace) {
            Some((_, order)) => order.iter().map(|package| Some(package.as_str())).collect(),
            None => vec![Some(root.name.as_str()), Some(namespace)],
        }
    }

    /// The implementation of a macro that a package dispatches.
    pub fn dispatched(&self, package: &str, name: &str, namespace: Option<&str>) -> Option<&Arc<MacroEntry>> {
        for within in self.search_order(namespace) {
            for prefix in self.prefixes() {
                let full = format!("{prefix}__{name}");
                let found = match within {
                    Some(within) => self.macros.of_package(within, &full),
                    None => self.macros.find(package, &self.project.root().name, &full),
                };
                if found.is_some() {
                    return found;
                }
            }
        }
        None
    }
}

/// What a node is to its template.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Its package.
    pub package: String,
    /// What it is.
    pub resource: Resource,
    /// Its relation, `this`.
    pub this: Relation,
    /// `model`.
    pub model: Json,
    /// Its configuration, once known.
    pub config: Map<String, Json>,
}

/// What rendering a template has told of its node.
#[derive(Debug, Default, Clone)]
pub struct Record {
    /// Calls of `ref`.
    pub refs: Vec<RefArgs>,
    /// Calls of `source`.
    pub sources: Vec<(String, String)>,
    /// What `config` was called with.
    pub config: Map<String, Json>,
    /// Macros that the template itself calls.
    pub macros: Vec<String>,
}

/// What an invocation was called with that `flags` tells, too.
const TOLD: &[&str] = &[
    "cache_selected_only",
    "indirect_selection",
    "invocation_command",
    "log_format",
    "log_path",
    "no_print",
    "partial_parse",
    "printer_width",
    "profiles_dir",
    "quiet",
    "send_anonymous_usage_stats",
    "static_parser",
    "use_colors",
    "version_check",
    "warn_error",
    "warn_error_options",
];

/// What a template asks of a running project.
pub trait Live {
    /// The relation that a `ref` means.
    fn reference(&self, args: &RefArgs) -> Result<Relation, JinjaError>;
    /// The relation that a `source` means.
    fn source(&self, source: &str, table: &str) -> Result<Relation, JinjaError>;
    /// `graph`, with what other templates have kept in it.
    fn graph(&self) -> Json;
    /// Keeps for others what these templates have made of it beside the project's nodes.
    fn keep(&self, own: Map<String, Json>);
    /// Runs a statement; what is said of it, and its rows where they are wanted. `begin` says that it is part of a transaction, which it begins if there is none.
    fn execute(&self, sql: &str, fetch: bool, begin: bool) -> Result<(Value, Table), JinjaError>;
    /// Commits what `begin` has begun. A node's transaction is the engine's, and stays open.
    fn commit(&self) -> Result<(), JinjaError>;
    /// A relation that is there.
    fn relation(
        &self,
        database: &str,
        schema: &str,
        identifier: &str,
    ) -> Result<Option<Relation>, JinjaError>;
    /// The relations of a schema.
    fn relations(&self, database: &str, schema: &str) -> Result<Vec<Relation>, JinjaError>;
    /// Columns and their types.
    fn columns(&self, relation: &Relation) -> Result<Vec<super::relation::Column>, JinjaError>;
    /// The columns that a query gives.
    fn columns_of_query(&self, sql: &str) -> Result<Vec<super::relation::Column>, JinjaError>;
    /// Whether this is told for the first time in the run.
    fn is_news(&self, message: &str) -> bool;
    /// Unique ids of the nodes that this run is about.
    fn selected(&self) -> Vec<String>;
    /// The text of a docs block.
    fn doc(&self, package: Option<&str>, name: &str) -> Option<String>;
    /// Keeps a node's main statement, which is written to its file below `run/`.
    fn write(&self, sql: &str);
    /// A statement that the engine plans for the library's parts of materializations, or what it has done.
    fn planned(&self, what: &str, args: Args) -> Eval<Value>;
    /// A name that only some moments of a run know: `results` at its end.
    fn given(&self, name: &str) -> Option<Json>;
    /// The value that a unit test gives to one of its `macros`, `vars` or `env_vars`.
    fn overridden(&self, kind: &str, name: &str) -> Option<Json>;
}

/// The context of one rendering.
pub struct Scene {
    /// Project and macros.
    pub world: Arc<World>,
    /// The node.
    pub facts: Facts,
    /// `None` while the project is parsed.
    pub live: Option<Rc<dyn Live>>,
    /// What it tells.
    pub record: RefCell<Record>,
    /// What statements gave, by the names that they were stored under.
    pub(super) results: RefCell<Vec<(String, Value)>>,
    /// `graph`, once it was asked for.
    graph: RefCell<Option<Value>>,
    /// What templates have put into `context`.
    pub(super) added: Added,
    depth: Cell<u32>,
}

impl Scene {
    /// A context for a node; without `live` it is that of parsing.
    pub fn new(world: &Arc<World>, facts: Facts, live: Option<Rc<dyn Live>>) -> Rc<Self> {
        Rc::new(Scene {
            world: world.clone(),
            facts,
            live,
            record: RefCell::default(),
            results: RefCell::default(),
            graph: RefCell::default(),
            added: Added::default(),
            depth: Cell::new(0),
        })
    }

    /// An interpreter for templates in this context.
    pub fn interpreter(self: &Rc<Self>) -> Interpreter {
        let host = Rc::new(SceneHost(self.clone()));
        if self.live.is_some() {
            Interpreter::new(host)
        } else {
            Interpreter::lenient(host)
        }
    }

    /// Keeps what was put into `graph`, once the templates of this node are done.
    pub fn keep(&self) {
        let (Some(live), Some(Value::Dict(graph))) = (&self.live, &*self.graph.borrow()) else { return };
        let graph = graph.borrow();
        let own = graph.iter().map(|(key, value)| (key.to_string(), value));
        live.keep(
            own.filter(|(key, _)| kept::is_shared(key)).map(|(key, value)| (key, value.to_json())).collect(),
        );
    }

    /// A macro as the templates of this node find it.
    pub fn find_macro(&self, name: &str) -> Option<&Arc<MacroEntry>> {
        self.world.macros.find(&self.facts.package, &self.world.project.root().name, name)
    }

    /// A macro as a value.
    pub fn macro_value(self: &Rc<Self>, entry: &Arc<MacroEntry>) -> Value {
        Value::object(ProjectMacro { scene: self.clone(), entry: entry.clone() })
    }

    /// The implementation of a dispatched macro.
    pub fn dispatched(&self, name: &str, namespace: Option<&str>) -> Eval<Arc<MacroEntry>> {
        if name.contains('.') {
            return fail(format!("`{name}` names a package: give it as dispatch's second argument"));
        }
        if let Some(found) = self.world.dispatched(&self.facts.package, name, namespace) {
            return Ok(found.clone());
        }
        let tried: Vec<String> =
            self.world.prefixes().iter().map(|prefix| format!("{prefix}__{name}")).collect();
        let order = self.world.search_order(namespace);
        let packages: Vec<&str> = order.iter().flatten().copied().collect();
        let within = if packages.is_empty() { String::new() } else { format!(" in {}", packages.join(", ")) };
        fail(format!("no macro `{name}` to dispatch to: looked for {}{within}", tried.join(", ")))
    }

    fn relation_of(&self, found: Result<Relation, JinjaError>) -> Eval<Value> {
        Ok(Value::object(found?))
    }

    fn ref_args(&self, args: Args) -> Eval<RefArgs> {
        let mut args = args;
        let version = args.take("version").or_else(|| args.take("v"));
        let text = |value: &Value| match value {
            Value::Str(text) => Ok(text.to_string()),
            other => fail(format!("ref() takes names, not {}", other.type_name())),
        };
        let (package, name) = match &args.positional[..] {
            [name] => (None, text(name)?),
            [package, name] => (Some(text(package)?), text(name)?),
            other => return fail(format!("ref() takes one or two names, {} were given", other.len())),
        };
        let version = version.filter(|version| !version.is_nothing()).map(|version| version.to_json());
        Ok(RefArgs { package, name, version })
    }

    fn reference(&self, args: Args) -> Eval<Value> {
        let args = self.ref_args(args)?;
        match &self.live {
            Some(live) => self.relation_of(live.reference(&args)),
            None => {
                // As often as it is called: that is how dbt tells it.
                self.record.borrow_mut().refs.push(args);
                Ok(Value::object(self.facts.this.clone()))
            }
        }
    }

    fn source(&self, args: Args) -> Eval<Value> {
        let [source, table] = args.bind("source", ["source_name", "table_name"])?;
        let (Some(Value::Str(source)), Some(Value::Str(table))) = (&source, &table) else {
            return fail("source() takes the names of a source and of a table");
        };
        match &self.live {
            Some(live) => self.relation_of(live.source(source, table)),
            None => {
                self.record.borrow_mut().sources.push((source.to_string(), table.to_string()));
                Ok(Value::object(self.facts.this.clone()))
            }
        }
    }

    fn config_call(&self, args: Args) -> Eval<Value> {
        let mut said = Map::new();
        match (&args.positional[..], args.named.is_empty()) {
            ([], false) => {
                said.extend(args.named.iter().map(|(key, value)| {
                    let key = if &**key == "pre_hook" || &**key == "post_hook" {
                        key.replace('_', "-")
                    } else {
                        key.to_string()
                    };
                    (key, value.to_json())
                }));
            }
            ([Value::Dict(_)], true) => {
                if let Json::Object(map) = args.positional[0].to_json() {
                    said = map;
                }
            }
            _ => return fail("config() takes names with values, or one dict"),
        }
        if self.live.is_none() {
            config::merge_call(&mut self.record.borrow_mut().config, &said);
        }
        Ok(Value::from(""))
    }

    fn config_get(&self, name: &str, args: Args) -> Eval<Value> {
        let [key, default, _] = args.bind(name, ["name", "default", "validator"])?;
        let key = key.unwrap_or(Value::None).to_string();
        if self.live.is_none() {
            return Ok(Value::from(""));
        }
        if key == "snapshot_table_column_names" && self.facts.resource == Resource::Snapshot {
            return Ok(self.snapshot_columns());
        }
        let within = match name {
            "meta_get" | "meta_require" => self.facts.config.get("meta").and_then(Json::as_object),
            _ => Some(&self.facts.config),
        };
        let found = within.and_then(|config| config.get(&key));
        match found {
            Some(Json::Null) | None if name.ends_with("require") => {
                fail(format!("the configuration has no `{key}`, which is required"))
            }
            Some(Json::Null) | None => Ok(default.unwrap_or(Value::None)),
            Some(value) => Ok(Value::from_json(value)),
        }
    }

    /// The columns that a snapshot adds, by dbt's names for them.
    fn snapshot_columns(&self) -> Value {
        let renamed = self.facts.config.get("snapshot_meta_column_names");
        Value::dict(snapshot::COLUMNS.map(|name| {
            let own = renamed.and_then(|map| map.get(name)).and_then(Json::as_str);
            (name, Value::from(own.filter(|own| !own.is_empty()).unwrap_or(name)))
        }))
    }

    fn var(&self, args: Args) -> Eval<Value> {
        let [name, default] = args.bind("var", ["name", "default"])?;
        let name = name.unwrap_or(Value::None).to_string();
        if let Some(value) = self.overridden("vars", &name) {
            return Ok(value);
        }
        let package = &self.facts.package;
        match (self.world.project.var(package, &name), default) {
            // A variable whose value is a template is rendered when it is used.
            (Some(value), _) => Ok(Value::from_json(&value)),
            (None, Some(default)) => Ok(default),
            // It is an error once the node is compiled: nothing needs it before.
            (None, None) if self.live.is_none() => Ok(Value::None),
            (None, None) => fail(format!(
                "the variable `{name}` is not set: give it in `vars` of dbt_project.yml or with --vars"
            )),
        }
    }

    fn flags(&self) -> Value {
        let options = &self.world.project.options;
        let said = |name: &str| options.arguments.get(name).map_or(Value::None, Value::from_json);
        let told = TOLD.iter().map(|name| (name.to_uppercase(), said(name)));
        let known = [
            ("FULL_REFRESH", Value::Bool(options.full_refresh)),
            ("STORE_FAILURES", Value::Bool(options.store_failures)),
            ("WHICH", Value::from(options.which.as_str())),
            ("EMPTY", Value::Bool(options.empty)),
            ("INTROSPECT", Value::Bool(!options.asks_nothing)),
            ("WRITE_JSON", Value::Bool(options.writes_json.unwrap_or(true))),
            ("TARGET_PATH", Value::from(options.target_path.clone())),
            // Those that dbt leaves out of what it was called with where they are off.
            ("DEBUG", Value::Bool(said("debug").truth())),
            ("FAIL_FAST", Value::Bool(said("fail_fast").truth())),
            ("LOG_CACHE_EVENTS", Value::Bool(false)),
            ("USE_EXPERIMENTAL_PARSER", Value::Bool(false)),
        ];
        Value::dict(told.chain(known.map(|(name, value)| (name.to_owned(), value))))
    }

    /// What a unit test has in the place of a macro, variable or environment variable.
    fn overridden(&self, kind: &str, name: &str) -> Option<Value> {
        self.live.as_ref()?.overridden(kind, name).map(|json| Value::from_json(&json))
    }

    /// The macro of a name where a unit test says what it gives, whatever it is called with.
    pub(super) fn overridden_macro(&self, name: &str) -> Option<Value> {
        self.live.as_ref()?.overridden("macros", name)?;
        let (live, name) = (self.live.clone(), name.to_owned());
        Some(function(move |_, _| {
            let json = live.as_ref().and_then(|live| live.overridden("macros", &name));
            Ok(json.map_or(Value::None, |json| Value::from_json(&json)))
        }))
    }

    /// The value of a name.
    pub fn global(self: &Rc<Self>, name: &str) -> Option<Value> {
        if let Some(added) = self.added.seen(name) {
            return added;
        }
        if let Some(overridden) = self.overridden_macro(name) {
            return Some(overridden);
        }
        if let Some(entry) = self.find_macro(name) {
            return Some(self.macro_value(entry));
        }
        if let Some(value) = self.builtin(name) {
            return Some(value);
        }
        if self.world.macros.has_package(name) {
            return Some(Value::object(Package { scene: self.clone(), name: name.to_owned() }));
        }
        base::global(&self.world.project.base, name)
    }

    /// A name that dbt itself gives a meaning.
    pub(super) fn builtin(self: &Rc<Self>, name: &str) -> Option<Value> {
        let scene = self.clone();
        let facts = &self.facts;
        Some(match name {
            "ref" => function(move |_, args| scene.reference(args)),
            "source" => function(move |_, args| scene.source(args)),
            "var" => Value::object(Var(scene)),
            "config" => Value::object(Config(scene)),
            "env_var" => function(move |interpreter, args| {
                let name = args.positional.first().map(Value::to_string).unwrap_or_default();
                match (
                    scene.overridden("env_vars", &name),
                    base::global(&scene.world.project.base, "env_var"),
                ) {
                    (Some(value), _) => Ok(Value::from(value.to_string())),
                    (None, Some(env_var)) => env_var.call(interpreter, args),
                    (None, None) => Ok(Value::None),
                }
            }),
            "this" => Value::object(facts.this.clone()),
            "database" => Value::from(facts.this.database()),
            "schema" => Value::from(facts.this.schema()),
            "model" | "node" => Value::from_json(&facts.model),
            "execute" => Value::Bool(self.live.is_some()),
            "graph" => match &self.live {
                Some(live) => {
                    self.graph.borrow_mut().get_or_insert_with(|| Value::from_json(&live.graph())).clone()
                }
                None => Value::dict::<Value>([]),
            },
            "adapter" => Value::object(Adapter(scene)),
            "api" => Value::object(super::adapter::Api),
            "exceptions" => Value::object(super::adapter::Exceptions(self.world.project.base.clone())),
            "flags" => self.flags(),
            "invocation_args_dict" => Value::dict(
                self.world
                    .project
                    .options
                    .arguments
                    .iter()
                    .map(|(name, value)| (name.as_str(), Value::from_json(value))),
            ),
            "dbt_metadata_envs" => Value::dict(
                self.world.project.options.metadata().map(|(name, value)| (name, Value::from(value))),
            ),
            "project_name" => Value::from(self.world.project.root().name.as_str()),
            "statement" => function(move |interpreter, args| scene.statement(interpreter, args)),
            "load_result" => function(move |_, args| scene.load_result(args)),
            "selected_resources" => match &self.live {
                Some(live) => Value::list(live.selected().into_iter().map(Value::from)),
                None => Value::list([]),
            },
            "doc" => function(move |_, args| {
                let [first, second] = args.bind("doc", ["package", "name"])?;
                let (package, name) = match (first, second) {
                    (Some(package), Some(name)) => (Some(package.to_string()), name.to_string()),
                    (first, _) => (None, first.unwrap_or(Value::None).to_string()),
                };
                let found = scene.live.as_ref().and_then(|live| live.doc(package.as_deref(), &name));
                match found {
                    Some(text) => Ok(Value::from(text)),
                    None => fail(format!("no docs block is named `{name}`")),
                }
            }),
            "write" => function(move |_, args| {
                if let (Some(live), Some(text)) = (&scene.live, args.positional.first()) {
                    live.write(&text.to_string());
                }
                Ok(Value::from(""))
            }),
            "load_agate_table" if self.live.is_some() => {
                function(move |_, _| loading::load_agate_table(&scene))
            }
            "store_result" => function(move |_, args| scene.store_result(args)),
            "store_raw_result" => function(move |_, args| scene.store_raw_result(args)),
            "_millstream" => Value::object(Planned(scene)),
            "render" => function(move |interpreter, args| {
                let text = args.positional.into_iter().next().unwrap_or(Value::from(""));
                if scene.live.is_none() {
                    return Ok(text);
                }
                let file = Arc::from(names::text(scene.facts.model.get("original_file_path")).as_str());
                let parsed = template(&text.to_string(), &file, Spot { line: 1, column: 1 })?;
                Ok(Value::from(scene.added.seeing(|| interpreter.render(&parsed, &[]))?))
            }),
            "builtins" => {
                let entries = ["ref", "source", "config", "var"];
                Value::dict(entries.into_iter().filter_map(|name| Some((name, self.builtin(name)?))))
            }
            "context" => Value::object(Context(scene)),
            "results" | "schemas" | "database_schemas" | "pre_hooks" | "post_hooks" | "sql"
            | "compiled_code" => Value::from_json(&self.live.as_ref()?.given(name)?),
            _ => return None,
        })
    }
}

struct SceneHost(Rc<Scene>);

impl Host for SceneHost {
    fn global(&self, _: &Interpreter, name: &str) -> Option<Value> {
        self.0.global(name)
    }
}

/// A macro of the project.
struct ProjectMacro {
    scene: Rc<Scene>,
    entry: Arc<MacroEntry>,
}

impl Object for ProjectMacro {
    fn type_name(&self) -> &'static str {
        "macro"
    }

    fn attribute(&self, _: &Interpreter, name: &str) -> Option<Value> {
        (name == "name").then(|| Value::from(self.entry.name.as_str()))
    }

    fn call(&self, interpreter: &Interpreter, args: Args) -> Eval<Value> {
        let scene = &self.scene;
        let depth = scene.depth.get();
        if depth == 0 && scene.live.is_none() {
            let id = &self.entry.unique_id;
            let mut record = scene.record.borrow_mut();
            if !record.macros.contains(id) {
                record.macros.push(id.clone());
            }
        }
        scene.depth.set(depth + 1);
        let value = scene.added.seeing(|| interpreter.call_macro(&self.entry.definition, args));
        scene.depth.set(depth);
        value
    }

    fn is_callable(&self) -> bool {
        true
    }

    fn text(&self) -> String {
        format!("<macro {}>", self.entry.name)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// `config`.
struct Config(Rc<Scene>);

impl Object for Config {
    fn type_name(&self) -> &'static str {
        "config"
    }

    fn attribute(&self, _: &Interpreter, name: &str) -> Option<Value> {
        let scene = self.0.clone();
        if let Some(what) = name.strip_prefix("persist_").and_then(|rest| rest.strip_suffix("_docs")) {
            let key = if what == "column" { "columns" } else { what };
            let wanted = scene.facts.config.get("persist_docs").and_then(|docs| docs.get(key));
            let wanted = Value::Bool(wanted == Some(&Json::Bool(true)));
            return Some(function(move |_, _| Ok(wanted.clone())));
        }
        ["get", "require", "meta_get", "meta_require", "set"].iter().find(|known| **known == name).map(
            |name| {
                function(move |_, args| match *name {
                    "set" => {
                        let [key, value] = args.bind("set", ["key", "value"])?;
                        let key = key.unwrap_or(Value::None).to_string();
                        scene.config_call(Args {
                            positional: Vec::new(),
                            named: vec![(key.into(), value.unwrap_or(Value::None))],
                        })
                    }
                    _ => scene.config_get(name, args),
                })
            },
        )
    }

    fn call(&self, _: &Interpreter, args: Args) -> Eval<Value> {
        self.0.config_call(args)
    }

    fn is_callable(&self) -> bool {
        true
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// `var`.
struct Var(Rc<Scene>);

impl Object for Var {
    fn type_name(&self) -> &'static str {
        "Var"
    }

    fn call(&self, _: &Interpreter, args: Args) -> Eval<Value> {
        self.0.var(args)
    }

    fn call_method(&self, _: &Interpreter, name: &str, args: Args) -> Eval<Value> {
        match name {
            "has_var" => {
                let [name] = args.bind("has_var", ["var_name"])?;
                let name = name.unwrap_or(Value::None).to_string();
                Ok(Value::Bool(self.0.world.project.var(&self.0.facts.package, &name).is_some()))
            }
            _ => fail(format!("'Var' has no method `{name}`")),
        }
    }

    fn is_callable(&self) -> bool {
        true
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A dict of named values, for objects that are nothing more.
pub fn dict(entries: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    let entries: Dict = entries.into_iter().map(|(key, value)| (Value::from(key), value)).collect();
    Value::Dict(Rc::new(RefCell::new(entries)))
}
