//! `clean`: directories that hold nothing but what can be made again.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{options::Options, render::Renderer, Package};
use crate::{
    context::base::Base,
    error::{ModelsError, Problem, ProblemKind, Result},
};

/// Removes what `clean-targets` of `dbt_project.yml` names, the target directory where it names nothing. Returns the directories that were there. No
/// profile is needed.
///
/// Errors: `dbt_project.yml` can't be read; a directory holds the project's files, or is outside of it; one can't be removed. Nothing is removed then
/// but what was before it.
pub fn clean(options: &Options) -> Result<Vec<PathBuf>> {
    let base = Base::of(options, None);
    let package = Package::read(&options.project_dir, "", &Renderer::new(Arc::new(base)))?;
    let project = real(&options.project_dir);
    let paths = &package.paths;
    let of_project = [&paths.models, &paths.macros, &paths.seeds, &paths.tests, &paths.analyses];
    let of_project = of_project.into_iter().chain([&paths.snapshots, &paths.functions, &paths.docs]);
    let kept: Vec<PathBuf> = of_project.flatten().map(|dir| real(&project.join(dir))).collect();
    let mut gone = Vec::new();
    let targets: Vec<(&String, PathBuf)> =
        paths.clean.iter().map(|dir| (dir, real(&project.join(dir)))).collect();
    for (written, dir) in &targets {
        let reason = if kept.iter().any(|kept| kept.starts_with(dir)) {
            "holds files of the project"
        } else if *dir == project || !dir.starts_with(&project) {
            "is not within the project"
        } else {
            continue;
        };
        let message = format!("`{written}` of clean-targets {reason}, and is not removed");
        return Err(Problem::new(ProblemKind::Configuration, message)
            .hint("take it out of clean-targets in dbt_project.yml")
            .into());
    }
    for (_, dir) in targets {
        match fs::remove_dir_all(&dir) {
            Ok(()) => gone.push(dir),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(ModelsError::Unwritable { path: dir, source }),
        }
    }
    Ok(gone)
}

/// A path without links and `..`; of one that isn't there as much as is.
fn real(path: &Path) -> PathBuf {
    if let Ok(real) = path.canonicalize() {
        return real;
    }
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => real(parent).join(name),
        (Some(parent), None) => real(parent).parent().map(Path::to_owned).unwrap_or_default(),
        (None, _) => path.to_owned(),
    }
}
