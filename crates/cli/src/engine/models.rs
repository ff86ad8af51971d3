//! Models: `models/NAME.sql`, each a SELECT that is kept as the view NAME.

use std::{fs, io, path::PathBuf, time::SystemTime};

use millstream_core::TableName;
use millstream_warehouse::ModelView;

use super::desk::Desk;
use crate::{
    config::Project,
    error::ProgramError,
    failure::{Doing, Failure},
};

/// What became of the models.
pub(crate) struct KeptModels {
    /// The views that are there now.
    pub(crate) kept: Vec<String>,
    /// Why others are not, or not as their files say.
    pub(crate) broken: Vec<Failure>,
}

/// Reads the models. In the warehouse's schema, or DuckDB's `main` where every source schema has its own.
pub(super) fn read(project: &Project) -> Result<Vec<ModelView>, Failure> {
    let schema = project.warehouse.schema.as_deref().unwrap_or("main");
    let mut models = Vec::new();
    for path in files(project)? {
        let Some(name) = path.file_stem().and_then(|name| name.to_str()) else { continue };
        let select = fs::read_to_string(&path)
            .map_err(|source| ProgramError::Unreadable { path: path.clone(), source })?;
        models.push(ModelView { name: TableName::new(schema, name), select });
    }
    Ok(models)
}

/// The files in `models/`, by name. A project without models has no directory, and those of a dbt project are kept by being built.
fn files(project: &Project) -> Result<Vec<PathBuf>, Failure> {
    if project.models.is_dbt() {
        return Ok(Vec::new());
    }
    let dir = &project.models.path.join("models");
    let unreadable = |source| Failure::from(ProgramError::Unreadable { path: dir.to_owned(), source });
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error)),
    };
    let mut paths = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<_>>>()
        .map_err(unreadable)?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "sql"));
    paths.sort();
    Ok(paths)
}

/// The files and when each was written, to see whether something has changed.
pub(crate) fn model_files(desk: &Desk) -> Vec<(PathBuf, Option<SystemTime>)> {
    let paths = files(&desk.project).unwrap_or_default();
    let written = |path: &PathBuf| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    paths.into_iter().map(|path| (path.clone(), written(&path))).collect()
}

/// Makes the warehouse's models what the files say.
pub(crate) fn keep_models(desk: &Desk) -> Result<KeptModels, Failure> {
    let models = read(&desk.project)?;
    let broken = desk.warehouse()?.keep_models(&models).doing("making the views of models/")?;
    let is_broken = |name: &TableName| broken.iter().any(|broken| broken.name == *name);
    let kept =
        models.iter().filter(|model| !is_broken(&model.name)).map(|model| model.name.to_string()).collect();
    let broken = broken.into_iter().map(|broken| {
        let mut failure = Failure::from(broken.error);
        failure.doing = Some(format!("making the view {} of models/{}.sql", broken.name, broken.name.name));
        failure
    });
    Ok(KeptModels { kept, broken: broken.collect() })
}
