//! `doctor`: is the source ready, and can this project be written? Every check with its remedy; nothing is changed.

use std::{fs, path::Path};

use millstream_core::Diagnostic;
use millstream_source::preflight::{Check, CheckState};
use serde_json::{json, Value};

use super::{ask, verdict};
use crate::{
    args::Global,
    config::Project,
    engine,
    error::ProgramError,
    failure::{Failure, Outcome},
    instance::is_running,
    output::{Format, Output, Style},
};

/// Free space below which a check warns: what a snapshot of a small database and a day's log take.
const FREE_BYTES_MIN: u64 = 1 << 30;

/// Runs it. With `fix_sql`, prints what mends the failed checks as SQL.
pub(super) fn run(global: &Global, output: &Output, fix_sql: bool) -> Outcome {
    let project = ask::project(global)?;
    let mut checks = vec![directory(&project)];
    let ours_runs = is_running(&project.data_dir());
    checks.extend(engine::check_source(&project)?.into_iter().map(|check| match check.code {
        // The slot's reader is this project's own.
        engine::SLOT_IN_USE if ours_runs => Found {
            code: String::new(),
            state: CheckState::Ok,
            detail: "in use by this project's running instance".to_owned(),
            hint: None,
            ..Found::from(check)
        },
        _ => Found::from(check),
    }));
    let failed = checks.iter().filter(|check| check.state == CheckState::Failed).count();
    if fix_sql {
        print_sql(output, &checks)?;
    } else if output.format == Format::Json {
        let checks: Vec<Value> = checks.iter().map(Found::json).collect();
        output.json(&json!({ "ready": failed == 0, "checks": checks }))?;
    } else {
        print(output, &checks, failed)?;
    }
    Ok(verdict(failed == 0))
}

/// What a check found.
struct Found {
    code: String,
    name: String,
    state: CheckState,
    detail: String,
    hint: Option<String>,
    remedy_sql: Option<String>,
}

impl From<Check> for Found {
    fn from(check: Check) -> Self {
        Found {
            code: check.code.to_owned(),
            name: check.name.to_owned(),
            state: check.state,
            detail: check.detail,
            hint: check.hint,
            remedy_sql: check.remedy_sql,
        }
    }
}

impl Found {
    fn word(&self) -> &'static str {
        match self.state {
            CheckState::Ok => "ok",
            CheckState::Warning => "warning",
            CheckState::Failed => "failed",
        }
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name,
            "state": self.word(),
            "code": (!self.code.is_empty()).then_some(&self.code),
            "detail": self.detail,
            "hint": self.hint,
            "remedy_sql": self.remedy_sql,
        })
    }
}

/// Whether the project's directory can be written and has room.
fn directory(project: &Project) -> Found {
    let found = |state, detail: String| Found {
        code: String::new(),
        name: "project directory".to_owned(),
        state,
        detail,
        hint: None,
        remedy_sql: None,
    };
    // The nearest directory that exists is the one whose rights and room decide.
    let data = project.data_dir();
    let place = data.ancestors().find(|dir| dir.is_dir()).unwrap_or(Path::new("/"));
    let probe = place.join(format!(".millstream-doctor-{}", std::process::id()));
    if let Err(source) = fs::write(&probe, b"") {
        let error = ProgramError::Unwritable { path: place.to_owned(), source };
        return Found {
            code: error.code().to_owned(),
            hint: error.hint(),
            ..found(CheckState::Failed, format!("{error}: {}", error.detail().unwrap_or_default()))
        };
    }
    // It holds nothing; left behind, it would only be untidy.
    let _ = fs::remove_file(&probe);
    if let Err(error) = engine::check_room(place) {
        return Found {
            code: error.code().to_owned(),
            hint: error.hint(),
            ..found(CheckState::Failed, error.to_string())
        };
    }
    match millstream_warehouse::free_bytes(place) {
        Some(free) if free < FREE_BYTES_MIN => Found {
            hint: Some("make room: the log and the warehouse are kept there".into()),
            ..found(
                CheckState::Warning,
                format!("{} is left on {}", crate::config::units::print_size(free), place.display()),
            )
        },
        _ => found(CheckState::Ok, format!("{} can be written", place.display())),
    }
}

fn print(output: &Output, checks: &[Found], failed: usize) -> Result<(), Failure> {
    let width = checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    for check in checks {
        let (style, sign) = match check.state {
            CheckState::Ok => (Style::Good, "✓"),
            CheckState::Warning => (Style::Warning, "!"),
            CheckState::Failed => (Style::Error, "✗"),
        };
        let code = if check.code.is_empty() { String::new() } else { format!(" [{}]", check.code) };
        output.line(&format!(
            "{} {:<width$}  {}{code}",
            output.paint_data(style, sign),
            check.name,
            check.detail
        ))?;
        if check.state == CheckState::Ok {
            continue;
        }
        if let Some(hint) = &check.hint {
            output.line(&format!("  {:<width$}  {} {hint}", "", output.paint_data(Style::Hint, "hint:")))?;
        }
        if let Some(sql) = &check.remedy_sql {
            output.line(&format!("  {:<width$}  {} {sql}", "", output.paint_data(Style::Hint, "sql:")))?;
        }
    }
    match failed {
        0 => output.note("the source is ready"),
        1 => output
            .note("1 check failed; `millstream doctor --fix-sql` prints the SQL that mends what SQL can"),
        _ => output.note(&format!(
            "{failed} checks failed; `millstream doctor --fix-sql` prints the SQL that mends what SQL can"
        )),
    }
    Ok(())
}

/// SQL only, so that it can be read and then handed to psql.
fn print_sql(output: &Output, checks: &[Found]) -> Result<(), Failure> {
    let mut any = false;
    for check in checks.iter().filter(|check| check.state == CheckState::Failed) {
        output.line(&format!("-- {}: {}", check.name, check.detail.replace('\n', " ")))?;
        match &check.remedy_sql {
            Some(sql) => {
                any = true;
                output.line(&format!("{};", sql.trim_end_matches(';')))?;
            }
            None => {
                let hint = check.hint.as_deref().unwrap_or("no SQL mends this");
                output.line(&format!("-- {}", hint.replace('\n', " ")))?;
            }
        }
    }
    if !any {
        output.note("nothing that SQL could mend");
    }
    Ok(())
}
