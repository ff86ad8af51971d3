//! `retry`: the previous run again, with what it was called with, for what failed.

use std::path::{Path, PathBuf};

use millstream_models::{
    engine::{batches, retry::Previous},
    project::Project,
    ModelsError, Problem, ProblemKind,
};
use serde_json::{json, Map, Value};

use super::{operation, options, Call};
use crate::{
    args::{DbtFlags, Global, IgnoredFlags, OperationFlags, StateFlags},
    failure::{Failure, Outcome},
    output::LogFormat,
};

/// What a run was called with, by the names that dbt has for it.
pub(super) fn arguments(flags: &DbtFlags, which: &str) -> Map<String, Value> {
    let vars = super::mapping("--vars", flags.vars.as_deref(), "").unwrap_or_default();
    let arguments = json!({
        "which": which,
        "select": flags.select,
        "exclude": flags.exclude,
        "selector": flags.selector,
        "indirect_selection": flags.indirect_selection,
        "resource_types": flags.resource_types,
        "exclude_resource_types": flags.excluded_types,
        "vars": vars,
        "profile": flags.profile,
        "target": flags.target,
        "threads": flags.threads,
        "full_refresh": flags.full_refresh,
        "fail_fast": flags.fail_fast,
        "empty": flags.empty,
        "sample": flags.sample.as_deref().and_then(|said| super::sample(said, (super::seconds() * 1e6) as i64).ok()).map(|[start, end]| {
            json!({"start": batches::text(start), "end": batches::text(end)})
        }),
        "introspect": (flags.no_introspect || flags.introspect == Some(false)).then_some(false),
        "print": !flags.ignored.prints_nothing(),
        "warn_error": flags.warn_error.then_some(true),
        "warn_error_options": super::warn_errors(flags).ok().flatten().filter(|_| !flags.warn_error).map(|said| said.json()),
        "event_time_start": flags.event_time_start.map(batches::text),
        "event_time_end": flags.event_time_end.map(batches::text),
        "store_failures": flags.store_failures,
        "state": flags.state.state,
        "defer": flags.state.defer,
        "favor_state": flags.state.favor_state,
    });
    match arguments {
        Value::Object(map) => map.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        _ => Map::new(),
    }
}

/// The same for templates, with what dbt has there where nothing is said.
pub(super) fn told(global: &Global, flags: &DbtFlags, which: &str, project_dir: &Path) -> Map<String, Value> {
    let mut said = arguments(flags, which);
    // What dbt leaves out where it is off.
    for name in ["full_refresh", "fail_fast", "store_failures"] {
        if said.get(name) == Some(&Value::Bool(false)) {
            said.remove(name);
        }
    }
    let words = std::env::args().skip(1).skip_while(|word| word == "dbt");
    let log_format = match global.log_format {
        LogFormat::Json => "json",
        _ => "default",
    };
    let profiles_dir = flags.profiles_dir.as_deref().unwrap_or(project_dir);
    let unsaid = json!({
        "cache_selected_only": false,
        "debug": flags.ignored.debug.then_some(true),
        "exclude": [],
        "indirect_selection": "eager",
        "introspect": true,
        "invocation_command": std::iter::once("dbt".to_owned()).chain(words).collect::<Vec<_>>().join(" "),
        "log_format": log_format,
        "log_path": project_dir.join("logs").display().to_string(),
        "partial_parse": true,
        "populate_cache": true,
        "print": true,
        "printer_width": 80,
        "profiles_dir": profiles_dir.display().to_string(),
        "project_dir": project_dir.display().to_string(),
        "quiet": global.quiet,
        "select": [],
        "send_anonymous_usage_stats": false,
        "static_parser": true,
        "target_path": flags.target_path,
        "use_colors": !global.no_color,
        "vars": {},
        "version_check": true,
        "warn_error_options": {"error": [], "warn": [], "silence": []},
        "write_json": flags.ignored.writes_json().unwrap_or(true),
    });
    if let Value::Object(unsaid) = unsaid {
        for (name, value) in unsaid.into_iter().filter(|(_, value)| !value.is_null()) {
            said.entry(name).or_insert(value);
        }
    }
    said
}

/// Does the previous run again. Of the flags of this call count those that say where things are, and `--vars` and `--threads`.
pub(super) fn run(call: &Call<'_>) -> Outcome {
    let project = Project::read(options(call.global, call.flags, call.which)?).map_err(Failure::from)?;
    let dir = match &call.flags.state.state {
        Some(dir) => project.options.project_dir.join(dir),
        None => project.target_dir(),
    };
    let previous = Previous::read(&dir)?;
    let flags = flags(&previous.arguments, call.flags);
    let again = Call { which: &previous.which, flags: &flags, again: Some(&previous), ..*call };
    if previous.which == "run-operation" {
        return match (previous.failed.is_empty(), previous.arguments.get("macro").and_then(Value::as_str)) {
            (true, _) => nothing(call),
            (false, Some(name)) => {
                let args = previous.arguments.get("args").map(Value::to_string);
                let flags = OperationFlags { common: flags.clone(), name: name.to_owned(), args };
                operation::run(&again, &flags)
            }
            (false, None) => {
                let message = "the previous run does not say which macro it called";
                Err(ModelsError::from(Problem::new(ProblemKind::Configuration, message)).into())
            }
        };
    }
    if previous.failed.is_empty() {
        return nothing(call);
    }
    again.work(Some(&previous.failed))
}

fn nothing(call: &Call<'_>) -> Outcome {
    call.console().say("Nothing to do: nothing failed in the previous run.");
    Ok(0)
}

/// The flags of the previous run, with those of this one that count.
fn flags(previous: &Map<String, Value>, now: &DbtFlags) -> DbtFlags {
    let text = |key: &str| previous.get(key).and_then(Value::as_str).map(str::to_owned);
    let is = |key: &str| previous.get(key) == Some(&Value::Bool(true));
    let list = |key: &str| -> Vec<String> {
        let items = previous.get(key).and_then(Value::as_array).into_iter().flatten();
        items.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let time = |key: &str| text(key).as_deref().and_then(batches::moment);
    let vars = previous.get("vars").filter(|vars| vars.is_object()).map(Value::to_string);
    let threads = previous.get("threads").and_then(Value::as_u64);
    DbtFlags {
        project_dir: now.project_dir.clone(),
        profiles_dir: now.profiles_dir.clone(),
        target_path: now.target_path.clone(),
        vars: now.vars.clone().or(vars),
        threads: now.threads.or(threads.and_then(|threads| usize::try_from(threads).ok())),
        profile: text("profile"),
        target: text("target"),
        full_refresh: is("full_refresh"),
        fail_fast: is("fail_fast"),
        empty: is("empty"),
        event_time_start: time("event_time_start"),
        event_time_end: time("event_time_end"),
        store_failures: is("store_failures"),
        select: list("select"),
        exclude: list("exclude"),
        selector: text("selector"),
        indirect_selection: text("indirect_selection"),
        resource_types: list("resource_types"),
        excluded_types: list("exclude_resource_types"),
        sample: previous.get("sample").filter(|said| said.is_object()).map(Value::to_string),
        no_introspect: previous.get("introspect") == Some(&Value::Bool(false)),
        introspect: None,
        show: false,
        warn_error: is("warn_error"),
        warn_error_options: previous
            .get("warn_error_options")
            .filter(|said| said.is_object())
            .map(Value::to_string),
        no_fail_fast: false,
        no_empty: false,
        ignored: IgnoredFlags {
            no_print: now.ignored.prints_nothing() || previous.get("print") == Some(&Value::Bool(false)),
            no_write_json: now.ignored.writes_json() == Some(false),
            ..IgnoredFlags::default()
        },
        state: StateFlags {
            state: text("state").map(PathBuf::from),
            defer: is("defer"),
            favor_state: is("favor_state"),
            defer_state: now.state.defer_state.clone(),
            ..StateFlags::default()
        },
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Arguments, DbtCommand, DbtVerb, Verb};

    fn build(arguments: &[&str]) -> DbtFlags {
        let all = [&["millstream", "dbt", "build"], arguments].concat();
        match Arguments::try_parse_from(all).unwrap().verb {
            Verb::Dbt { verb: DbtCommand::Verb(DbtVerb::Build(flags)), .. } => flags,
            _ => panic!("not build"),
        }
    }

    #[test]
    fn what_a_run_was_called_with_is_read_as_it_was_written() {
        let said = build(&[
            "--vars",
            "{a: [1, x]}",
            "--threads",
            "3",
            "--full-refresh",
            "--select",
            "a",
            "b+",
            "--target",
            "t",
            "--indirect-selection",
            "cautious",
        ]);
        let again = flags(&arguments(&said, "build"), &build(&[]));
        assert_eq!(again.vars.as_deref(), Some("{\"a\":[1,\"x\"]}"));
        assert_eq!((again.threads, again.full_refresh, again.empty), (Some(3), true, false));
        assert_eq!((again.select, again.target.as_deref()), (said.select.clone(), Some("t")));
        assert_eq!(again.indirect_selection.as_deref(), Some("cautious"));
        let now = flags(&arguments(&said, "build"), &build(&["--threads", "1", "--vars", "{b: 2}"]));
        assert_eq!((now.threads, now.vars.as_deref()), (Some(1), Some("{b: 2}")));
    }
}
