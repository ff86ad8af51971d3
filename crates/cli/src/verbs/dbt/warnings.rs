//! Warnings of a verb. What is done as dbt means to give up is told the first time, counted, and summed up at the end: a process is one invocation.

use std::{
    ffi::OsString,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use millstream_models::{
    project::{Options, Project},
    warning::{is_counted, WarnErrors, Warning},
};
use serde_json::json;

use super::{console::Console, events, mapping, Level};
use crate::{
    args::{DbtFlags, VARIABLES, VARIABLES_WITHOUT_FLAG},
    failure::Failure,
    output::Output,
};

struct Told {
    each: bool,
    warn_errors: Option<WarnErrors>,
    counts: Vec<(String, usize)>,
}

static TOLD: Mutex<Told> = Mutex::new(Told { each: false, warn_errors: None, counts: Vec::new() });

fn told() -> MutexGuard<'static, Told> {
    TOLD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The prefix of variables that are dbt's own.
const RESERVED: &str = "DBT_ENGINE_";

/// Begins to count, and tells what the invocation itself does so.
///
/// Errors: it is to be one.
pub(super) fn begin(project: &Project, flags: &DbtFlags, output: &Output) -> Result<(), Failure> {
    let options = &project.options;
    let warn_errors = options.warn_errors.clone();
    let has_old_names = warn_errors.as_ref().is_some_and(|errors| errors.has_old_names);
    *told() = Told { each: flags.ignored.show_all_deprecations, warn_errors, counts: Vec::new() };
    if has_old_names {
        let text = "warn_error_options say `include` or `exclude`: they are called `error` and `warn`";
        warn(options, &Warning::of("WEOIncludeExcludeDeprecation", text), output)?;
    }
    let is_old = |argument: OsString| ["--models", "--model", "-m"].iter().any(|old| argument == *old);
    if std::env::args_os().any(is_old) {
        let text = "`--models`, `--model` and `-m` are called `--select`";
        warn(options, &Warning::of("ModelParamUsageDeprecation", text), output)?;
    }
    for name in options.env.keys().filter(|name| name.starts_with(RESERVED)) {
        let plain = name.replacen(RESERVED, "DBT_", 1);
        if ![VARIABLES, VARIABLES_WITHOUT_FLAG].iter().any(|known| known.contains(&plain.as_str())) {
            let text =
                format!("the variable `{name}` is none of dbt's, whose names alone begin with {RESERVED}");
            warn(options, &Warning::of("EnvironmentVariableNamespaceDeprecation", text), output)?;
        }
    }
    let state = flags.state.state.as_deref().filter(|state| *state == Path::new(project.target_name()));
    if let Some(state) = state {
        let text = format!("--state is {}, where this run leaves its own files, too", state.display());
        warn(options, &Warning::of("WarnStateTargetEqual", text), output)?;
    }
    Ok(())
}

/// Counts a warning; whether it is to be told, too.
pub(super) fn is_news(event: Option<&str>) -> bool {
    let Some(event) = event.filter(|event| is_counted(event)) else { return true };
    let mut told = told();
    let each = told.each;
    match told.counts.iter_mut().find(|(known, _)| known == event) {
        Some((_, count)) => {
            *count += 1;
            each
        }
        None => {
            told.counts.push((event.to_owned(), 1));
            true
        }
    }
}

/// Sums up what was counted.
///
/// Errors: that is to be one.
pub(super) fn sum_up(console: &Console<'_>, output: &Output) -> Result<(), Failure> {
    const NAME: &str = "DeprecationsSummary";
    let (counts, each, warn_errors) = {
        let mut told = told();
        (std::mem::take(&mut told.counts), told.each, told.warn_errors.clone())
    };
    if counts.is_empty() {
        return Ok(());
    }
    let times = |count: usize| if count == 1 { "once".to_owned() } else { format!("{count} times") };
    let all: Vec<String> = counts.iter().map(|(event, count)| format!("{event} {}", times(*count))).collect();
    let hint = if each { "" } else { "; --show-all-deprecations tells each" };
    let text = format!("deprecations of dbt's: {}{hint}", all.join(", "));
    if warn_errors.map_or(Ok(true), |errors| errors.told(&Warning::of(NAME, text.clone())))? {
        let summaries: Vec<_> = counts
            .iter()
            .map(|(event, count)| json!({"event_name": event, "event_code": events::code(event), "occurrences": count}))
            .collect();
        let data = json!({"summaries": summaries, "show_all_hint": !each});
        // Beside what a verb prints, as what was found while the project was read.
        match events::are_told() {
            true => console.event(Level::Warn, NAME, &text, data),
            false => output.warn(&text),
        }
    }
    Ok(())
}

/// Tells a warning, unless it is to be an error.
pub(super) fn warn(options: &Options, warning: &Warning, output: &Output) -> Result<(), Failure> {
    let told = is_news(warning.event)
        && options.warn_errors.as_ref().map_or(Ok(true), |errors| errors.told(warning))?;
    match (told, events::are_told()) {
        (false, _) => {}
        (true, true) => {
            let data = json!({"msg": warning.text});
            events::print(output, Level::Warn, warning.event.unwrap_or("Note"), &warning.text, data);
        }
        (true, false) => output.warn(&warning.text),
    }
    Ok(())
}

/// Tells that nothing was selected, unless that is to be an error.
pub(super) fn nothing(options: &Options, console: &Console<'_>) -> Result<(), Failure> {
    let text = "Nothing to do. Try checking your model configs and model specification args";
    let warning = Warning::of("NothingToDo", text);
    if options.warn_errors.as_ref().map_or(Ok(true), |errors| errors.told(&warning))? {
        console.event(Level::Warn, "NothingToDo", text, json!({}));
    }
    Ok(())
}

/// Which warnings are errors, as the flags say.
pub(super) fn warn_errors(flags: &DbtFlags) -> Result<Option<WarnErrors>, Failure> {
    match &flags.warn_error_options {
        _ if flags.warn_error => Ok(Some(WarnErrors::everything())),
        Some(text) => {
            let said = mapping("--warn-error-options", Some(text), "{error: [NothingToDo]}")?;
            Ok(Some(WarnErrors::read(&said)?))
        }
        None => Ok(None),
    }
}
