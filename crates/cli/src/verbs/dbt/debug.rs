//! `debug`: what is found of profile, project and warehouse, all that is wrong at once.

use std::{
    env,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use millstream_core::{build::BuildWarehouse, Exit};
use millstream_models::project::{
    examine::{examine, Found},
    package::DBT_VERSION,
    profile, Adapter, Options, Target,
};
use serde_json::Value;

use super::{console::Console, open, options, Call};
use crate::{
    args::DebugFlags,
    config::FILE_NAME,
    failure::{Failure, Outcome},
    output::Style,
    verbs::VERSION,
};

/// What a target says of how its warehouse is reached, in the order in which it is told.
const SHOWN: &[&str] = &[
    "host",
    "port",
    "user",
    "database",
    "schema",
    "path",
    "extensions",
    "settings",
    "connect_timeout",
    "role",
    "search_path",
    "keepalives_idle",
    "sslmode",
    "sslcert",
    "sslkey",
    "sslrootcert",
    "application_name",
    "autocommit",
    "retries",
];

/// Parts of names of settings whose values nobody is told.
const SECRET: &[&str] = &["secret", "token", "password", "key"];

pub(super) fn run(call: &Call<'_>, flags: &DebugFlags) -> Outcome {
    let console = call.console();
    let mut options = options(call.global, call.flags, call.which)?;
    if flags.config_dir {
        let opens = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
        console.say(&format!(
            "Your profiles.yml is looked for here:\n\n{opens} {}",
            profile::dir(&options).display()
        ));
        return Ok(0);
    }
    console.say(&format!("millstream version: {VERSION}, as dbt {DBT_VERSION}"));
    console.say(&format!("os info: {}-{}", env::consts::OS, env::consts::ARCH));
    let mut wrong: Vec<String> = Vec::new();
    match call.home() {
        Ok(home) => options.home = home,
        Err(failure) => wrong.push(told(&failure)),
    }
    let examined = examine(&options);
    let is_live = call.belongs_to.is_some();
    if let Some(project) = call.belongs_to {
        console.say(&format!("Using millstream.yml file at {}", project.dir.join(FILE_NAME).display()));
    } else {
        let dir = examined.profiles.parent().unwrap_or(Path::new("."));
        console.say(&format!("Using profiles dir at {}", dir.display()));
        console.say(&format!("Using profiles.yml file at {}", examined.profiles.display()));
    }
    console.say(&format!("Using dbt_project.yml file at {}", examined.project_file.display()));
    let target = match &examined.profile {
        Found::Valid(target) if wrong.is_empty() => target.as_ref(),
        _ => None,
    };
    if let Some(target) = target {
        console.say(&format!("adapter type: {}", target.kind.name()));
    }
    let name = |what: &str| format!("  {what} file");
    if flags.connection {
        console.say("Only the connection is tested");
    } else {
        console.say("Configuration:");
        if !is_live {
            console.say(&line(&console, &name("profiles.yml"), &examined.profile));
        }
        console.say(&line(&console, &name("dbt_project.yml"), &examined.project));
    }
    match &examined.profile {
        // Where its own warehouse can't be opened, that is what is wrong.
        _ if is_live => {}
        Found::Nothing => wrong.push(format!("there is no {}", examined.profiles.display())),
        Found::Invalid(why) => {
            wrong.push(why.clone());
        }
        Found::Valid(_) => {}
    }
    match &examined.project {
        Found::Nothing => wrong.push(format!("there is no {}", examined.project_file.display())),
        Found::Invalid(why) => wrong.push(why.clone()),
        Found::Valid(_) => {}
    }
    if !flags.connection {
        console.say("Required dependencies:");
        let ran = Command::new("git").arg("--version").stdin(Stdio::null()).output();
        let is_there = ran.is_ok_and(|ran| ran.status.success());
        console.say(&format!(" - git [{}]", verdict(&console, is_there, "OK found", "ERROR")));
        console.say("");
        if !is_there {
            wrong.push("git can't be run: `deps` gets repositories by it".into());
        }
    }
    // A live warehouse that can't be opened is among what is wrong already.
    match target {
        Some(target) => {
            let failed = connected(call, &console, target, &options).err();
            let text = verdict(&console, failed.is_none(), "OK connection ok", "ERROR");
            console.say(&format!("  Connection test: [{text}]"));
            console.say("");
            wrong.extend(failed.map(|failure| told(&failure)));
        }
        None => match examined.choices.as_slice() {
            [_, _, ..] => console.say(&format!(
                "The connection is not tested: name one of these profiles with --profile: {}",
                examined.choices.join(", ")
            )),
            _ => console.say("The connection is not tested: there is no target"),
        },
    }
    if wrong.is_empty() {
        console.say(&console.painted(Some(Style::Good), "All checks passed!"));
        return Ok(0);
    }
    let checks = if wrong.len() == 1 { "check" } else { "checks" };
    console.failed(&format!("{} {checks} failed:", wrong.len()), "");
    for why in &wrong {
        console.failed(why, "");
        console.failed("", "");
    }
    Ok(Exit::Wrong as u8)
}

/// Tells how the warehouse is reached, and asks it something.
fn connected(
    call: &Call<'_>,
    console: &Console<'_>,
    target: &Target,
    options: &Options,
) -> Result<(), Failure> {
    console.say("Connection:");
    for key in SHOWN {
        let value = match (*key, target.kind) {
            ("database", _) => Some(target.database.clone()),
            ("schema", _) => Some(target.schema.clone()),
            ("path", Adapter::DuckDb) => Some(target.path.clone()),
            ("autocommit" | "retries", Adapter::DuckDb) => None,
            _ => target.fields.get(*key).map(shown),
        };
        if let Some(value) = value {
            console.say(&format!("  {key}: {value}"));
        }
    }
    let warehouse: Arc<dyn BuildWarehouse> = match call.opened.get() {
        Some(workshop) => workshop.clone(),
        None => open(target, &options.project_dir)?,
    };
    warehouse.connect().and_then(|mut connection| connection.query("select 1 as id", 1))?;
    Ok(())
}

/// A value of a target, without what is secret of it.
fn shown(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let is_secret = |key: &str| SECRET.iter().any(|part| key.to_lowercase().contains(part));
            let entries = map.iter().map(|(key, value)| match is_secret(key) {
                true => format!("{key}: ***"),
                false => format!("{key}: {}", shown(value)),
            });
            entries.collect::<Vec<_>>().join(", ")
        }
        Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(", "),
        Value::String(text) => text.clone(),
        // As dbt prints them.
        Value::Null => "None".to_owned(),
        Value::Bool(value) => if *value { "True" } else { "False" }.to_owned(),
        other => other.to_string(),
    }
}

fn line<T>(console: &Console<'_>, name: &str, found: &Found<T>) -> String {
    let text = match found {
        Found::Nothing => verdict(console, false, "", "ERROR not found"),
        Found::Invalid(_) => verdict(console, false, "", "ERROR invalid"),
        Found::Valid(_) => verdict(console, true, "OK found and valid", ""),
    };
    format!("{name} [{text}]")
}

fn verdict(console: &Console<'_>, is_right: bool, right: &str, wrong: &str) -> String {
    match is_right {
        true => console.painted(Some(Style::Good), right),
        false => console.painted(Some(Style::Error), wrong),
    }
}

/// A failure in lines.
fn told(failure: &Failure) -> String {
    let lines = [Some(&failure.message), failure.detail.as_ref(), failure.hint.as_ref()];
    lines.into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join("\n")
}
