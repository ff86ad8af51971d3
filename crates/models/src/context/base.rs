//! What every template of a project knows, in YAML too: the environment, variables of the invocation, the target.

use std::{any::Any, collections::BTreeMap, rc::Rc, sync::Arc};

use serde_json::{Map, Value as Json};

use super::{json, modules};
use crate::{
    jinja::{fail, Args, Eval, Host, Interpreter, Interrupt, Object, Value},
    project::{Adapter, Options, Target},
    warning::{WarnErrors, Warning},
};

/// What is known before a project is.
#[derive(Debug, Clone)]
pub struct Base {
    /// The environment.
    pub env: BTreeMap<String, String>,
    /// `--vars`.
    pub vars: Map<String, Json>,
    /// The target, once known.
    pub target: Option<Target>,
    /// The invocation's number.
    pub invocation_id: String,
    /// When it began: microseconds since 1970, UTC.
    pub started_us: i64,
    /// `--no-print`.
    pub prints_nothing: bool,
    /// Which warnings are errors.
    pub warn_errors: WarnErrors,
}

impl Base {
    /// Of an invocation, with the target once that is known.
    pub fn of(options: &Options, target: Option<Target>) -> Self {
        Base {
            env: options.env.clone(),
            vars: options.vars.clone(),
            target,
            invocation_id: options.invocation_id.clone(),
            started_us: options.started_us,
            prints_nothing: options.prints_nothing,
            warn_errors: options.warn_errors.clone().unwrap_or_default(),
        }
    }
}

/// Names that mean the same everywhere.
const FUNCTIONS: &[&str] = &[
    "env_var",
    "var",
    "return",
    "fromjson",
    "tojson",
    "fromyaml",
    "toyaml",
    "set",
    "set_strict",
    "zip",
    "zip_strict",
    "log",
    "print",
    "local_md5",
    "debug",
];

/// The host for values of YAML files.
pub struct BaseHost(pub Arc<Base>);

impl Host for BaseHost {
    fn global(&self, _: &Interpreter, name: &str) -> Option<Value> {
        global(&self.0, name)
    }
}

/// The value of a name that means the same everywhere.
pub fn global(base: &Arc<Base>, name: &str) -> Option<Value> {
    if let Some(which) = FUNCTIONS.iter().find(|known| **known == name) {
        return Some(Value::object(Function { base: base.clone(), which }));
    }
    Some(match name {
        "target" => target(base.target.as_ref()?),
        "dbt_version" => Value::from(crate::project::package::DBT_VERSION),
        "invocation_id" => Value::from(base.invocation_id.as_str()),
        "run_started_at" => Value::object(modules::Moment::utc(base.started_us)),
        "modules" => Value::object(modules::Modules { warn_errors: base.warn_errors.clone() }),
        _ => return None,
    })
}

/// `target`: the fields of the profile's target, without what is secret.
pub fn target(target: &Target) -> Value {
    let mut fields = target.fields.clone();
    for (key, value) in [
        ("name", Json::from(target.name.as_str())),
        ("target_name", target.name.as_str().into()),
        ("profile_name", target.profile.as_str().into()),
        ("type", target.kind.name().into()),
        ("database", target.database.as_str().into()),
        ("dbname", target.database.as_str().into()),
        ("schema", target.schema.as_str().into()),
        ("threads", target.threads.into()),
        ("path", target.path.as_str().into()),
    ] {
        fields.insert(key.to_owned(), value);
    }
    if target.kind == Adapter::Postgres {
        fields.shift_remove("path");
    }
    Value::from_json(&Json::Object(fields))
}

/// An environment variable; without a default it must be set. Values whose names begin with `DBT_ENV_SECRET` are for profiles alone.
fn env_var(base: &Base, args: Args) -> Eval<Value> {
    let [name, default] = args.bind("env_var", ["var", "default"])?;
    let name = name.unwrap_or(Value::None).to_string();
    match (base.env.get(&name), default) {
        (Some(_), _) if name.starts_with("DBT_ENV_SECRET") && base.target.is_some() => {
            fail(format!("`{name}` is secret: it can be used in profiles.yml only"))
        }
        (Some(value), _) => Ok(Value::from(value.as_str())),
        (None, Some(default)) if !default.is_nothing() => Ok(default),
        (None, _) => fail(format!("the environment variable `{name}` is not set")),
    }
}

struct Function {
    base: Arc<Base>,
    which: &'static str,
}

impl Object for Function {
    fn type_name(&self) -> &'static str {
        "function"
    }

    fn call(&self, _: &Interpreter, args: Args) -> Eval<Value> {
        call(&self.base, self.which, args)
    }

    fn is_callable(&self) -> bool {
        true
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn call(base: &Base, which: &str, args: Args) -> Eval<Value> {
    match which {
        "env_var" => env_var(base, args),
        "var" => {
            let [name, default] = args.bind("var", ["name", "default"])?;
            let name = name.unwrap_or(Value::None).to_string();
            match (base.vars.get(&name), default) {
                (Some(value), _) => Ok(Value::from_json(value)),
                (None, Some(default)) => Ok(default),
                (None, None) => fail(format!("the variable `{name}` is not set: give it with --vars")),
            }
        }
        "return" => {
            let [value] = args.bind("return", ["data"])?;
            Err(Interrupt::Return(value.unwrap_or(Value::None)))
        }
        "fromjson" => {
            let [text, default] = args.bind("fromjson", ["string", "default"])?;
            let text = text.unwrap_or(Value::None).to_string();
            match serde_json::from_str::<Json>(&text) {
                Ok(json) => Ok(Value::from_json(&json)),
                Err(_) => Ok(default.unwrap_or(Value::None)),
            }
        }
        "tojson" => Ok(Value::from(json::compact(&dumped("tojson", args)?))),
        "fromyaml" => {
            let [text, default] = args.bind("fromyaml", ["value", "default"])?;
            let text = text.unwrap_or(Value::None).to_string();
            let text = Arc::new(crate::place::Text { file: "fromyaml".into(), text });
            match crate::yaml::parse(&text) {
                Ok(node) => Ok(Value::from_json(&node.to_json())),
                Err(_) => Ok(default.unwrap_or(Value::None)),
            }
        }
        "toyaml" => {
            let mut out = String::new();
            yaml_block(&dumped("toyaml", args)?, 0, &mut out);
            Ok(Value::from(out))
        }
        "set" | "set_strict" => {
            let [items, default] = args.bind(which, ["value", "default"])?;
            match items.unwrap_or(Value::None).items() {
                Ok(items) => {
                    let mut unique: Vec<Value> = Vec::new();
                    for item in items {
                        item.check_hashable()?;
                        if !unique.contains(&item) {
                            unique.push(item);
                        }
                    }
                    Ok(Value::list(unique))
                }
                Err(error) if which == "set_strict" => Err(error),
                Err(_) => Ok(default.unwrap_or(Value::None)),
            }
        }
        "zip" | "zip_strict" => {
            let mut columns = Vec::new();
            for list in &args.positional {
                match list.items() {
                    Ok(items) => columns.push(items),
                    Err(error) if which == "zip_strict" => return Err(error),
                    Err(_) => return Ok(Value::None),
                }
            }
            let shortest = columns.iter().map(Vec::len).min().unwrap_or(0);
            let row = |at: usize| Value::tuple(columns.iter().map(|column| column[at].clone()));
            Ok(Value::list((0..shortest).map(row)))
        }
        "log" => {
            let [message, info] = args.bind("log", ["msg", "info"])?;
            let message = message.unwrap_or(Value::None).to_string();
            if info.is_some_and(|info| info.truth()) {
                tell(&message);
            }
            Ok(Value::from(""))
        }
        "print" => {
            let [message] = args.bind("print", ["msg"])?;
            if !base.prints_nothing {
                say(Saying::Printed, &message.unwrap_or(Value::None).to_string());
            }
            Ok(Value::from(""))
        }
        "local_md5" => {
            let [text] = args.bind("local_md5", ["value"])?;
            Ok(Value::from(crate::hash::md5(&text.unwrap_or(Value::None).to_string())))
        }
        _ => Ok(Value::from("")),
    }
}

/// How something is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saying {
    /// By `print`: it is told to the quiet too.
    Printed,
    /// By `log`, or of what is done.
    Logged,
    /// It is a warning, with dbt's name of it.
    Warned(Option<&'static str>),
}

/// What is said while a project runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// How.
    pub saying: Saying,
    /// The text.
    pub text: String,
}

thread_local! {
    static SAID: std::cell::RefCell<Vec<Said>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// What a template says is kept with the thread that renders it, for whoever called for the rendering to pass on.
fn say(saying: Saying, text: &str) {
    SAID.with(|said| said.borrow_mut().push(Said { saying, text: text.to_owned() }));
}

/// Says what is logged.
pub(crate) fn tell(message: &str) {
    say(Saying::Logged, message);
}

/// Says a warning.
///
/// Errors: it is to be an error.
pub(crate) fn warn(warn_errors: &WarnErrors, warning: &Warning) -> crate::error::Result<()> {
    if warn_errors.told(warning)? {
        say(Saying::Warned(warning.event), &warning.text);
    }
    Ok(())
}

/// Gives back what was asked for and is for somebody else.
pub(crate) fn say_again(said: Vec<Said>) {
    SAID.with(|all| all.borrow_mut().extend(said));
}

/// What was said on this thread since this was last asked.
pub fn said() -> Vec<Said> {
    SAID.with(|said| std::mem::take(&mut *said.borrow_mut()))
}

/// The value that `tojson` and `toyaml` write, its keys in order where that is asked for.
fn dumped(name: &str, args: Args) -> Eval<Json> {
    let [value, _, sorted] = args.bind(name, ["value", "default", "sort_keys"])?;
    let mut json = value.unwrap_or(Value::None).to_json();
    if sorted.is_some_and(|sorted| sorted.truth()) {
        sort_keys(&mut json);
    }
    Ok(json)
}

fn sort_keys(json: &mut Json) {
    match json {
        Json::Object(entries) => {
            let mut sorted: Vec<(String, Json)> = std::mem::take(entries).into_iter().collect();
            sorted.sort_by(|(left, _), (right, _)| left.cmp(right));
            for (_, value) in &mut sorted {
                sort_keys(value);
            }
            entries.extend(sorted);
        }
        Json::Array(items) => items.iter_mut().for_each(sort_keys),
        _ => {}
    }
}

/// YAML in blocks, texts quoted where they could be taken for something else.
fn yaml_block(json: &Json, indent: usize, out: &mut String) {
    let pad = " ".repeat(indent);
    match json {
        Json::Object(entries) if !entries.is_empty() => {
            for (key, value) in entries {
                let nested = matches!(value, Json::Object(map) if !map.is_empty())
                    || matches!(value, Json::Array(items) if !items.is_empty());
                out.push_str(&format!("{pad}{}:", yaml_text(key)));
                out.push(if nested { '\n' } else { ' ' });
                let deeper = if value.is_array() { indent } else { indent + 2 };
                yaml_block(value, if nested { deeper } else { 0 }, out);
            }
        }
        Json::Array(items) if !items.is_empty() => {
            for item in items {
                let mut inner = String::new();
                yaml_block(item, indent + 2, &mut inner);
                out.push_str(&format!("{pad}- {}", inner.trim_start_matches(' ')));
            }
        }
        Json::Object(_) => out.push_str(&format!("{pad}{{}}\n")),
        Json::Array(_) => out.push_str(&format!("{pad}[]\n")),
        Json::String(text) => out.push_str(&format!("{pad}{}\n", yaml_text(text))),
        other => out.push_str(&format!("{pad}{other}\n")),
    }
}

fn yaml_text(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_alphanumeric() || "_-. /".contains(c))
        && !text.ends_with(' ');
    let taken = || {
        let wrapped = Arc::new(crate::place::Text { file: "".into(), text: text.to_owned() });
        crate::yaml::parse(&wrapped).is_ok_and(|node| node.as_str() == Some(text))
    };
    if plain && taken() {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

/// A function made of a closure.
pub struct Closure<F>(pub F);

impl<F: Fn(&Interpreter, Args) -> Eval<Value> + 'static> Object for Closure<F> {
    fn type_name(&self) -> &'static str {
        "function"
    }

    fn call(&self, interpreter: &Interpreter, args: Args) -> Eval<Value> {
        (self.0)(interpreter, args)
    }

    fn is_callable(&self) -> bool {
        true
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A function made of a closure, as a value.
pub fn function(body: impl Fn(&Interpreter, Args) -> Eval<Value> + 'static) -> Value {
    Value::Object(Rc::new(Closure(body)))
}
