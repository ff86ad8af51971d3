//! Is the source ready? Every condition that would stop replication later, looked for before anything is changed.
//!
//! Checks only read, but for a replication connection that is opened and closed: whether a role may replicate is not a matter of one
//! catalogue column everywhere, so it is tried.

mod server;
mod slots;
mod tables;

use millstream_core::{Diagnostic, Exit, Lsn};

use crate::{
    config::SourceConfig,
    error::{Result, SourceError},
    replication::SourceIdentity,
    wire::Wire,
};

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckState {
    /// As it should be.
    Ok,
    /// Replication would work, and something is worth knowing.
    Warning,
    /// Replication would fail.
    Failed,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Stable code of the error that it would be; empty where nothing is wrong.
    pub code: &'static str,
    /// What was looked at: stable, lowercase, for people and scripts.
    pub name: &'static str,
    /// How it ended.
    pub state: CheckState,
    /// What was found.
    pub detail: String,
    /// What mends it, as SQL.
    pub remedy_sql: Option<String>,
    /// What mends it, in words.
    pub hint: Option<String>,
    /// How the process ends if this is what stops it.
    pub exit: Exit,
}

/// What a project knows of its source from before.
#[derive(Debug, Clone, Default)]
pub struct Before {
    /// Whether the publication was created by us.
    pub publication_is_ours: bool,
    /// Where the log ends, if it holds anything.
    pub flushed: Option<Lsn>,
    /// Which source it was.
    pub identity: Option<SourceIdentity>,
}

impl Check {
    fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Check {
            code: "",
            name,
            state: CheckState::Ok,
            detail: detail.into(),
            remedy_sql: None,
            hint: None,
            exit: Exit::Wrong,
        }
    }

    fn warning(
        name: &'static str,
        detail: impl Into<String>,
        hint: impl Into<String>,
        sql: Option<String>,
    ) -> Self {
        Check {
            state: CheckState::Warning,
            hint: Some(hint.into()),
            remedy_sql: sql,
            ..Check::ok(name, detail)
        }
    }

    fn failed(name: &'static str, error: &SourceError) -> Self {
        let detail = match error.detail() {
            Some(detail) => format!("{error}: {detail}"),
            None => error.to_string(),
        };
        Check {
            code: error.code(),
            state: CheckState::Failed,
            hint: error.hint(),
            remedy_sql: error.remedy_sql(),
            exit: error.exit(),
            ..Check::ok(name, detail)
        }
    }

    fn of(name: &'static str, result: Result<String>) -> Self {
        match result {
            Ok(detail) => Check::ok(name, detail),
            Err(error) => Check::failed(name, &error),
        }
    }
}

/// Runs every check. One that needs what another found missing is left out, so a server that can't be reached gives one check.
pub async fn check(config: &SourceConfig, before: &Before) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut wire = match Wire::connect(&config.connection).await {
        Ok(wire) => wire,
        Err(error) => return vec![Check::failed("connection", &error)],
    };
    let tls = if wire.is_tls() { "with TLS" } else { "without TLS" };
    checks.push(Check::ok("connection", format!("{} {tls}", config.connection)));
    for result in [
        server::check(&mut wire, config, before, &mut checks).await,
        slots::check(&mut wire, config, before, &mut checks).await,
        tables::check(&mut wire, config, before, &mut checks).await,
    ] {
        if let Err(error) = result {
            checks.push(Check::failed("catalogue", &error));
        }
    }
    wire.close().await;
    checks
}

/// The failed checks as one error, if there are any.
pub fn verdict(checks: &[Check]) -> Result<()> {
    let failed: Vec<&Check> = checks.iter().filter(|check| check.state == CheckState::Failed).collect();
    let Some(first) = failed.first() else { return Ok(()) };
    let remedies: Vec<String> =
        failed.iter().filter_map(|c| c.remedy_sql.as_ref()).map(|sql| format!("{sql};")).collect();
    Err(SourceError::NotReady {
        first: first.detail.clone(),
        failed: failed.len(),
        remedy: (!remedies.is_empty()).then(|| remedies.join("\n")),
        hint: first.hint.clone(),
        code: first.code,
        // A refusal that protects data outranks the others.
        exit: failed.iter().map(|c| c.exit).find(|exit| *exit == Exit::Protected).unwrap_or(first.exit),
    })
}
