//! `profile_template.yml`: what a project asks of whoever begins to work in it, and the target that the answers make.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    path::Path,
    process::Command,
    sync::Arc,
};

use millstream_models::{
    place::Text,
    yaml::{self, Kind, Node},
    ModelsError, Problem, ProblemKind,
};
use serde_json::{Map, Value};

use super::init::wrong;
use crate::failure::Failure;

/// How often a question is asked again whose answer is none: a script that answers wrongly must end.
const ASKED_MAX: usize = 5;

/// What begins the name of a choice, and of a value that nobody is asked for.
const CHOICE: &str = "_choose";
const FIXED: &str = "_fixed";

/// A profile as the template and the answers of standard input make it: its text, and the name of its target.
///
/// Errors: the file can't be read or is no template; there is no answer, or none that fits, where there is no default.
pub(super) fn profile(path: &Path, name: &str, asks: bool) -> Result<String, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ModelsError::Unreadable { path: path.to_owned(), source })?;
    let text = Arc::new(Text { file: "profile_template.yml".into(), text });
    let root = yaml::parse(&text).map_err(ModelsError::from)?;
    let mut target = match root.get("fixed").map(Node::to_json) {
        Some(Value::Object(fixed)) => fixed,
        None | Some(Value::Null) => Map::new(),
        Some(_) => return Err(no_template(&root, "`fixed` of a template is a mapping")),
    };
    if let Some(prompts) = root.get("prompts") {
        ask_all(prompts, &mut target, asks)?;
    }
    let of = target.shift_remove("target");
    let of = of.as_ref().and_then(Value::as_str).unwrap_or("dev").to_owned();
    let mut out = format!("{name}:\n  target: {}\n  outputs:\n    {}:\n", written(&of), written(&of));
    for (key, value) in &target {
        // A value of JSON is one of YAML.
        out.push_str(&format!("      {}: {value}\n", written(key)));
    }
    Ok(out)
}

fn written(name: &str) -> String {
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let is_text = yaml::parse(&Arc::new(Text { file: "".into(), text: name.to_owned() }))
        .is_ok_and(|node| node.as_str() == Some(name));
    match plain && is_text {
        true => name.to_owned(),
        false => Value::from(name).to_string(),
    }
}

fn no_template(at: &Node, message: &str) -> Failure {
    ModelsError::from(Problem::new(ProblemKind::Yaml, message).at(&at.place)).into()
}

fn ask_all(prompts: &Node, target: &mut Map<String, Value>, asks: bool) -> Result<(), Failure> {
    if !matches!(prompts.kind, Kind::Map(_)) {
        return Err(no_template(prompts, "what a template asks is a mapping"));
    }
    for (key, prompt) in prompts.entries() {
        let name = key.text.as_str();
        if let Some(what) = name.strip_prefix(CHOICE) {
            let options = prompt.entries();
            if options.is_empty() {
                return Err(no_template(prompt, "a choice has options"));
            }
            let mut shown = String::new();
            for (at, (option, _)) in options.iter().enumerate() {
                shown.push_str(&format!("[{}] {}\n", at + 1, option.text));
            }
            let question = format!("{shown}{} (a number)", what.trim_start_matches('_').replace('_', " "));
            let fits = |answer: &str| answer.parse().ok().filter(|at| (1..=options.len()).contains(at));
            let chosen = until(&question, None, false, asks, fits)?;
            ask_all(&options[chosen - 1].1, target, asks)?;
        } else if let Some(name) = name.strip_prefix(FIXED) {
            target.insert(name.trim_start_matches('_').to_owned(), prompt.to_json());
        } else {
            target.insert(name.to_owned(), asked(name, prompt, asks)?);
        }
    }
    Ok(())
}

/// The answer to one prompt, of its type.
fn asked(name: &str, prompt: &Node, asks: bool) -> Result<Value, Failure> {
    let said = |key: &str| prompt.get(key).map(Node::to_json).filter(|value| !value.is_null());
    let default = said("default");
    let kind = match (prompt.get("type"), &default) {
        (Some(node), _) if !node.is_null() => match node.as_str() {
            Some(kind @ ("string" | "int" | "float" | "bool")) => kind,
            _ => return Err(no_template(node, "the type of a prompt is string, int, float or bool")),
        },
        // Without one the answer is of the default's.
        (_, Some(Value::Bool(_))) => "bool",
        (_, Some(Value::Number(number))) if number.is_f64() => "float",
        (_, Some(Value::Number(_))) => "int",
        _ => "string",
    };
    let hint = said("hint").map(|hint| format!(" ({})", plain(&hint))).unwrap_or_default();
    let hidden = said("hide_input") == Some(Value::Bool(true));
    let fits = |answer: &str| match kind {
        "int" => answer.parse::<i64>().ok().map(Value::from),
        "float" => answer.parse::<f64>().ok().map(Value::from),
        "bool" => match answer.to_lowercase().as_str() {
            "1" | "true" | "t" | "yes" | "y" | "on" => Some(true.into()),
            "0" | "false" | "f" | "no" | "n" | "off" => Some(false.into()),
            _ => None,
        },
        _ => Some(answer.into()),
    };
    until(&format!("{name}{hint}"), default.as_ref().map(plain).as_deref(), hidden, asks, fits)
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Asks until an answer fits. Nothing is the default; where nobody can be asked, so is the end of what there is to read.
fn until<T>(
    question: &str,
    default: Option<&str>,
    hidden: bool,
    asks: bool,
    fits: impl Fn(&str) -> Option<T>,
) -> Result<T, Failure> {
    let shown = default.map(|default| format!(" [{default}]")).unwrap_or_default();
    for _ in 0..ASKED_MAX {
        let mut answer = String::new();
        if asks {
            let mut stderr = io::stderr();
            let asked = write!(stderr, "{question}{shown}: ").and_then(|()| stderr.flush());
            asked.map_err(|_| wrong("there was no answer"))?;
            let _silent = Silent::begin(hidden && io::stdin().is_terminal());
            io::stdin().lock().read_line(&mut answer).map_err(|_| wrong("there was no answer"))?;
        }
        let ended = answer.is_empty();
        let given = answer.trim();
        match (given.is_empty(), default) {
            (true, Some(default)) => {
                let message = format!("the default of `{question}`, `{default}`, is not of its type");
                return fits(default).ok_or_else(|| wrong(&message).into());
            }
            (true, None) if ended => break,
            (true, None) => {}
            (false, _) => match fits(given) {
                Some(value) => return Ok(value),
                None => {
                    let _ = writeln!(io::stderr(), "`{given}` does not fit");
                }
            },
        }
    }
    let question = question.lines().last().unwrap_or_default();
    Err(wrong(&format!("there was no answer to `{question}`, which has no default")).into())
}

/// While it is there a terminal doesn't show what is typed.
struct Silent(bool);

impl Silent {
    fn begin(wanted: bool) -> Self {
        let is_silent =
            wanted && Command::new("stty").arg("-echo").status().is_ok_and(|status| status.success());
        Silent(is_silent)
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        if self.0 {
            let _ = Command::new("stty").arg("echo").status();
            let _ = writeln!(io::stderr());
        }
    }
}
