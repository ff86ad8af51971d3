//! The warehouse of a profile's target, opened: DuckDB with all that is attached to it, or a server of PostgreSQL.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use millstream_core::{build::BuildWarehouse, Diagnostic};
use millstream_models::{
    project::{Attached, Target},
    ModelsError, Problem, ProblemKind,
};
use millstream_postgres::{PgBuild, Settings};
use millstream_warehouse::DuckBuild;
use serde_json::Value;

use crate::failure::{Doing, Failure};

/// Opens the warehouse of a profile's target, for a project in this directory.
pub(super) fn open(target: &Target, project_dir: &Path) -> Result<Arc<dyn BuildWarehouse>, Failure> {
    if let Some(server) = &target.server {
        let settings = Settings::new(&server.parameters, server.password.clone())
            .doing("reading the profile's connection")?
            .role(server.role.clone())
            .retries(server.retries)
            .autocommit(server.autocommit);
        return Ok(Arc::new(PgBuild::open(settings).doing("connecting to the profile's warehouse")?));
    }
    let path = file(&target.path, project_dir);
    // Files that SQL names are looked for there, too.
    const FILES: &str = "file_search_path";
    let mut settings = target.settings.clone();
    if let Some(dir) = project_dir.to_str().filter(|dir| !dir.is_empty() && !dir.contains(',')) {
        if !settings.iter().any(|(name, _)| name == FILES) {
            settings.push((FILES.to_owned(), dir.to_owned()));
        }
    }
    let warehouse =
        DuckBuild::open(&path, &settings, &target.extensions).doing("opening the profile's warehouse")?;
    for attached in &target.attached {
        attach(&warehouse, attached, project_dir)?;
    }
    Ok(Arc::new(warehouse))
}

/// A file that the profile names. A path that is relative is so to where dbt runs: the project's directory.
fn file(path: &str, project_dir: &Path) -> PathBuf {
    match path {
        ":memory:" => PathBuf::from(path),
        path => project_dir.join(path),
    }
}

fn attach(warehouse: &DuckBuild, attached: &Attached, project_dir: &Path) -> Result<(), Failure> {
    let path = file(&attached.path, project_dir);
    if attached.read_only && !path.exists() {
        let message = format!("{} isn't there, and what is attached read-only is not made", path.display());
        let problem = Problem::new(ProblemKind::Configuration, message)
            .at(&attached.place)
            .hint("correct `path`, which is relative to the project's directory, or leave `read_only` out");
        return Err(ModelsError::from(problem).into());
    }
    let read_only = attached.read_only.then(|| ("read_only".to_owned(), None));
    let said = attached.options.iter().map(|(name, value)| (name.clone(), value.as_ref().map(literal)));
    let options: Vec<_> = read_only.into_iter().chain(said).collect();
    warehouse.attach(&path, &attached.name, &options).map_err(|error| {
        let why = error.detail().unwrap_or_else(|| error.to_string());
        let message = format!("`{}` can't be attached: {why}", attached.name);
        let problem = Problem::new(ProblemKind::Warehouse, message)
            .at(&attached.place)
            .hint("see that no other program has the file open, and that it is one of DuckDB's");
        ModelsError::from(problem).into()
    })
}

/// An option's value in a statement.
fn literal(value: &Value) -> String {
    match value {
        Value::String(text) => format!("'{}'", text.replace('\'', "''")),
        other => other.to_string(),
    }
}
