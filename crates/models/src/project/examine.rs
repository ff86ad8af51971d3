//! What of a project's configuration can be read, piece by piece: for `debug`, which tells of all that is wrong at once.

use std::{path::PathBuf, sync::Arc};

use super::{files, profile, render::Renderer, Home, Options, Package, Target};
use crate::{
    context::base::Base,
    error::{Problem, ProblemKind, Result},
    yaml,
};

/// What was found of a file.
#[derive(Debug)]
pub enum Found<T> {
    /// It is not there.
    Nothing,
    /// It can't be used: why.
    Invalid(String),
    /// It is right.
    Valid(T),
}

/// What was found of a project's configuration.
#[derive(Debug)]
pub struct Examined {
    /// Where `profiles.yml` is, or is looked for last.
    pub profiles: PathBuf,
    /// `dbt_project.yml`.
    pub project_file: PathBuf,
    /// The target of the profile; none where several profiles could be meant and none is named.
    pub profile: Found<Option<Target>>,
    /// Profiles that could be meant, where neither project nor flags name one.
    pub choices: Vec<String>,
    /// The project.
    pub project: Found<Package>,
}

/// Reads a project's configuration.
pub fn examine(options: &Options) -> Examined {
    let before = Renderer::new(Arc::new(Base::of(options, None)));
    let project_file = options.project_dir.join("dbt_project.yml");
    let project_is_there = project_file.is_file();
    // What is wrong with the project is told of the project.
    let named = if project_is_there { profile_named(options).ok().flatten() } else { None };
    let mut choices = Vec::new();
    let profile = match &options.home {
        Some(Home { target, .. }) => Found::Valid(Some(target.clone())),
        None if profile::find(options).is_none() => Found::Nothing,
        None => match options.profile.clone().or_else(|| named.clone()) {
            Some(name) => found(profile::read(options, Some(&name), &before).map(Some)),
            None => found(profile::names(options).and_then(|names| {
                choices = names;
                // One that is alone is meant; of several each is looked at.
                let targets = choices.iter().map(|name| profile::read(options, Some(name), &before));
                let mut targets = targets.collect::<Result<Vec<Target>>>()?;
                if targets.is_empty() {
                    return Err(
                        Problem::new(ProblemKind::Configuration, "profiles.yml has no profile").into()
                    );
                }
                Ok(targets.pop().filter(|_| targets.is_empty()))
            })),
        },
    };
    let target = match &profile {
        Found::Valid(target) => target.clone(),
        _ => None,
    };
    let renderer = Renderer::new(Arc::new(Base::of(options, target)));
    let project = match project_is_there {
        true => found(Package::read(&options.project_dir, "", &renderer)),
        false => Found::Nothing,
    };
    let profiles = profile::find(options).unwrap_or_else(|| profile::dir(options).join("profiles.yml"));
    Examined { profiles, project_file, profile, choices, project }
}

/// The profile that `dbt_project.yml` names.
///
/// Errors: it can't be read.
pub fn profile_named(options: &Options) -> Result<Option<String>> {
    let root = yaml::parse(&files::read(&options.project_dir.join("dbt_project.yml"), "dbt_project.yml")?)?;
    let renderer = Renderer::new(Arc::new(Base::of(options, None)));
    let node = root.get("profile").map(|node| renderer.all(node)).transpose()?;
    Ok(node.and_then(|node| node.as_str().map(str::to_owned)))
}

fn found<T>(read: Result<T>) -> Found<T> {
    match read {
        Ok(read) => Found::Valid(read),
        Err(error) => Found::Invalid(error.describe()),
    }
}
