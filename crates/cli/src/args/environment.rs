//! dbt's variables: each flag of its that takes one has it here, too. `docs/reference/dbt.md` lists all of them, and tests compare that list with the flags and with dbt.

use std::{
    env,
    ffi::{OsStr, OsString},
};

use clap::{Arg, Command};

use super::Arguments;
use crate::{error::ProgramError, failure::Failure, output::LogFormat};

/// What dbt's variables begin with.
const PREFIX: &str = "DBT_";

/// What they begin with so that nobody else's are meant; counts more.
const PREFIX_OWN: &str = "DBT_ENGINE_";

/// Variables by the names that they had before. What is set by them counts more than by the new ones.
const RENAMED: &[(&str, &str)] = &[
    ("DBT_ARTIFACT_STATE_PATH", "DBT_STATE"),
    ("DBT_DEFER_TO_STATE", "DBT_DEFER"),
    ("DBT_FAVOR_STATE_MODE", "DBT_FAVOR_STATE"),
];

/// All that dbt has.
pub const VARIABLES: &[&str] = &[
    "DBT_ARTIFACT_STATE_PATH",
    "DBT_CACHE_SELECTED_ONLY",
    "DBT_CLEAN_PROJECT_FILES_ONLY",
    "DBT_DEBUG",
    "DBT_DEFER",
    "DBT_DEFER_STATE",
    "DBT_DEFER_TO_STATE",
    "DBT_EMPTY",
    "DBT_ENGINE_SQLPARSE",
    "DBT_EVENT_TIME_END",
    "DBT_EVENT_TIME_START",
    "DBT_EXCLUDE_RESOURCE_TYPES",
    "DBT_EXPORT_SAVED_QUERIES",
    "DBT_FAIL_FAST",
    "DBT_FAVOR_STATE",
    "DBT_FAVOR_STATE_MODE",
    "DBT_FULL_REFRESH",
    "DBT_HOST",
    "DBT_INCLUDE_SAVED_QUERY",
    "DBT_INDIRECT_SELECTION",
    "DBT_INTROSPECT",
    "DBT_LOG_CACHE_EVENTS",
    "DBT_LOG_FILE_MAX_BYTES",
    "DBT_LOG_FORMAT",
    "DBT_LOG_FORMAT_FILE",
    "DBT_LOG_LEVEL",
    "DBT_LOG_LEVEL_FILE",
    "DBT_LOG_PATH",
    "DBT_MACRO_DEBUGGING",
    "DBT_NO_PRINT",
    "DBT_PARTIAL_PARSE",
    "DBT_PARTIAL_PARSE_FILE_DIFF",
    "DBT_PARTIAL_PARSE_FILE_PATH",
    "DBT_POPULATE_CACHE",
    "DBT_PRINT",
    "DBT_PRINTER_WIDTH",
    "DBT_PROFILE",
    "DBT_PROFILES_DIR",
    "DBT_PROJECT_DIR",
    "DBT_QUIET",
    "DBT_RESOURCE_TYPES",
    "DBT_SAMPLE",
    "DBT_SEND_ANONYMOUS_USAGE_STATS",
    "DBT_SHOW_RESOURCE_REPORT",
    "DBT_SINGLE_THREADED",
    "DBT_STATE",
    "DBT_STATIC_PARSER",
    "DBT_STORE_FAILURES",
    "DBT_TARGET",
    "DBT_TARGET_PATH",
    "DBT_UPLOAD_TO_ARTIFACTS_INGEST_API",
    "DBT_USE_COLORS",
    "DBT_USE_COLORS_FILE",
    "DBT_USE_EXPERIMENTAL_PARSER",
    "DBT_USE_FAST_TEST_EDGES",
    "DBT_VERSION_CHECK",
    "DBT_WARN_ERROR",
    "DBT_WARN_ERROR_OPTIONS",
    "DBT_WRITE_JSON",
];

/// Variables of dbt's that are for no flag.
pub const VARIABLES_WITHOUT_FLAG: &[&str] = &[
    "DBT_DOWNLOAD_DIR",
    "DBT_INVOCATION_ENV",
    "DBT_PACKAGE_HUB_URL",
    "DBT_PP_FILE_DIFF_TEST",
    "DBT_PP_TEST",
    "DBT_RECORDED_FILE_PATH",
    "DBT_TEST_STATE_MODIFIED",
];

/// Variables that would change what is done and are not done.
pub const VARIABLES_TO_COME: &[&str] = &[
    "DBT_EXPORT_SAVED_QUERIES",
    "DBT_INCLUDE_SAVED_QUERY",
    "DBT_SHOW_RESOURCE_REPORT",
    "DBT_UPLOAD_TO_ARTIFACTS_INGEST_API",
];

/// What a variable holds, if anything.
fn value(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

/// The name under which a variable of dbt's is set: an old name, the one with the longer prefix, its own.
fn set_as(name: &str) -> Option<String> {
    let old = RENAMED.iter().filter(|(_, new)| *new == name).map(|(old, _)| *old);
    let mut names =
        old.chain([name]).flat_map(|name| [name.replacen(PREFIX, PREFIX_OWN, 1), name.to_owned()]);
    names.find(|name| value(name).is_some())
}

/// The definition, with each flag's variable under the name that is set, and with none where it is set to nothing.
pub(super) fn named(command: Command) -> Command {
    let renamed = |arg: Arg| {
        let name =
            arg.get_env().and_then(OsStr::to_str).filter(|name| name.starts_with(PREFIX)).map(str::to_owned);
        match name {
            Some(name) => match set_as(&name) {
                // Once in the program's life.
                Some(set) => arg.env(&*Box::leak(set.into_boxed_str())),
                None if env::var_os(&name).is_some() => arg.env(""),
                None => arg,
            },
            None => arg,
        }
    };
    command.mut_args(renamed).mut_subcommands(named)
}

/// A variable that is true or false.
///
/// Errors: it is neither.
fn flag(name: &str) -> Result<Option<bool>, Failure> {
    let Some(text) = set_as(name).and_then(|name| value(&name)) else { return Ok(None) };
    match text.to_string_lossy().to_lowercase().as_str() {
        "1" | "true" | "t" | "yes" | "y" | "on" => Ok(Some(true)),
        "0" | "false" | "f" | "no" | "n" | "off" => Ok(Some(false)),
        other => Err(wrong(name, other, "true or false")),
    }
}

fn wrong(name: &str, value: &str, right: &str) -> Failure {
    let message = format!("`{name}` is {right}, not `{value}`");
    ProgramError::Arguments { message, detail: None }.into()
}

/// Takes what dbt's variables say of this program's own output. What is said by flags counts more.
///
/// Errors: one of them means nothing.
pub(super) fn output(arguments: &mut Arguments) -> Result<(), Failure> {
    let global = &mut arguments.global;
    global.quiet |= flag("DBT_QUIET")?.unwrap_or_default();
    global.no_color |= flag("DBT_USE_COLORS")? == Some(false);
    let format = set_as("DBT_LOG_FORMAT").and_then(|name| value(&name));
    match format.map(|format| format.to_string_lossy().to_lowercase()).as_deref() {
        Some("json") if value("MILLSTREAM_LOG_FORMAT").is_none() => global.log_format = LogFormat::Json,
        None | Some("json" | "text" | "debug" | "default") => {}
        Some(other) => return Err(wrong("DBT_LOG_FORMAT", other, "text, debug, json or default")),
    }
    Ok(())
}

/// Whether nothing that templates print is told, by the variable's old name.
///
/// Errors: it is neither true nor false.
pub(super) fn prints_nothing() -> Result<bool, Failure> {
    Ok(flag("DBT_NO_PRINT")? == Some(true))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// Variables for flags of all verbs of this program, which count for dbt's verbs only.
    const OF_OUTPUT: &[&str] = &["DBT_LOG_FORMAT", "DBT_NO_PRINT", "DBT_QUIET", "DBT_USE_COLORS"];

    /// The variables that the reference lists, with what it says of each.
    fn documented() -> Vec<(String, String)> {
        let text = include_str!("../../../../docs/reference/dbt.md");
        let rows = text.lines().filter_map(|line| line.strip_prefix("| `DBT_"));
        rows.filter_map(|row| {
            let (name, what) = row.split_once("` | ")?;
            Some((format!("DBT_{name}"), what.trim_end_matches([' ', '|']).to_owned()))
        })
        .collect()
    }

    #[test]
    fn the_reference_lists_each_flag_with_its_variable_and_what_has_none() {
        let documented = documented();
        let of =
            |name: &str| documented.iter().find(|(known, _)| known == name).map(|(_, what)| what.as_str());
        fn flags(command: &Command, found: &mut Vec<(String, String)>) {
            for arg in command.get_arguments() {
                let env = arg.get_env().and_then(OsStr::to_str).filter(|name| name.starts_with(PREFIX));
                if let (Some(env), Some(long)) = (env, arg.get_long()) {
                    found.push((env.to_owned(), format!("`--{long}`")));
                }
            }
            command.get_subcommands().for_each(|command| flags(command, found));
        }
        assert!(documented.iter().map(|(name, _)| name.as_str()).eq(VARIABLES.iter().copied()));
        let mut found = Vec::new();
        flags(&Arguments::command(), &mut found);
        assert!(found.len() > 20);
        for (name, flag) in &found {
            assert!(of(name).is_some_and(|what| what.contains(flag)), "{name} {flag}: {:?}", of(name));
        }
        for name in VARIABLES_TO_COME {
            assert_eq!(of(name), Some("refused"), "{name}");
        }
        for (old, new) in RENAMED {
            assert_eq!(of(old), Some(format!("`{new}`, as it was called before").as_str()), "{old}");
        }
        for (name, what) in &documented {
            let is_flag = found.iter().any(|(known, _)| known == name);
            let is_old = RENAMED.iter().any(|(old, _)| old == name);
            let is_known = is_flag || is_old || OF_OUTPUT.contains(&name.as_str());
            let has_none = what == "no effect" || what == "refused";
            assert_eq!(is_known, !has_none, "{name}: {what}");
        }
    }
}
