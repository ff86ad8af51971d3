//! A project as its files say: packages, the profile's target, flags, variables.

pub mod attached;
pub mod clean;
pub mod deps;
pub mod examine;
pub mod files;
pub mod home;
pub mod options;
pub mod package;
pub mod past;
pub mod profile;
pub mod render;

use std::{fs, path::Path, sync::Arc};

use serde_json::{Map, Value as Json};

pub use attached::Attached;
pub use home::{HistoryColumns, Home, LiveTable};
pub use options::Options;
pub use package::Package;
pub use profile::{Adapter, Server, Target};

use crate::{
    context::base::Base,
    error::{Problem, ProblemKind, Result},
    yaml,
};
use render::Renderer;

/// A project: the root package, those it depends on, and where it is built.
#[derive(Debug)]
pub struct Project {
    /// What the invocation said.
    pub options: Options,
    /// The root package first, then its dependencies by name.
    pub packages: Vec<Arc<Package>>,
    /// Where it is built.
    pub target: Target,
    /// Environment, variables and target, for templates.
    pub base: Arc<Base>,
    /// What earlier runs left.
    pub pasts: past::Pasts,
}

impl Project {
    /// Reads a project's configuration. Nothing of what it builds is read yet.
    pub fn read(mut options: Options) -> Result<Self> {
        options.settle()?;
        let base = |target| Arc::new(Base::of(&options, target));
        let before = Renderer::new(base(None));
        // The profile's name is needed before the target is known, and the target before the rest is rendered.
        let path = options.project_dir.join("dbt_project.yml");
        let named = match fs::metadata(&path) {
            Ok(_) => examine::profile_named(&options)?,
            Err(_) => None,
        };
        if named.is_none() {
            // What is wrong with the file itself is told first.
            Package::read(&options.project_dir, "", &before)?;
        }
        let target = match &options.home {
            Some(home) => home.target.clone(),
            None => profile::read(&options, named.as_deref(), &before)?,
        };
        let base = base(Some(target.clone()));
        let renderer = Renderer::new(base.clone());
        let root = Package::read(&options.project_dir, "", &renderer)?;
        let mut packages = vec![Arc::new(root)];
        let installed = options.project_dir.join(&packages[0].paths.packages);
        packages.extend(dependencies(&installed, &packages[0].paths.packages, &renderer)?);
        for (index, package) in packages.iter().enumerate() {
            if let Some(first) = packages[..index].iter().find(|other| other.name == package.name) {
                return Err(Problem::new(
                    ProblemKind::Duplicate,
                    format!("two packages are named `{}`", package.name),
                )
                .hint(format!("they are {} and {}", first.root.display(), package.root.display()))
                .into());
            }
        }
        if options.project_dir.join("catalogs.yml").exists() {
            return Err(Problem::new(ProblemKind::Unsupported, "catalogs.yml is not supported yet").into());
        }
        let project = Project { options, packages, target, base, pasts: past::Pasts::default() };
        project.check_dependencies()?;
        Ok(project)
    }

    /// The root package.
    pub fn root(&self) -> &Arc<Package> {
        &self.packages[0]
    }

    /// A package by name.
    pub fn package(&self, name: &str) -> Option<&Arc<Package>> {
        self.packages.iter().find(|package| package.name == name)
    }

    /// Where what is written goes, as the project or the invocation names it.
    pub fn target_name(&self) -> &str {
        self.options.target_path.as_deref().unwrap_or(&self.root().paths.target)
    }

    /// Where what is written goes.
    pub fn target_dir(&self) -> std::path::PathBuf {
        self.options.project_dir.join(self.target_name())
    }

    /// A variable as a package sees it: `--vars`, then the root project's for the package, the root project's, the package's own.
    pub fn var(&self, package: &str, name: &str) -> Option<Json> {
        let of = |vars: &Map<String, Json>| vars.get(name).cloned();
        let scoped = |vars: &Map<String, Json>| match vars.get(package) {
            Some(Json::Object(own)) => own.get(name).cloned(),
            _ => None,
        };
        let root = &self.root().vars;
        of(&self.options.vars).or_else(|| scoped(root)).or_else(|| of(root)).or_else(|| {
            let own = &self.package(package)?.vars;
            scoped(own).or_else(|| of(own))
        })
    }

    /// An error where `packages.yml` or `dependencies.yml` names more than is installed.
    fn check_dependencies(&self) -> Result<()> {
        let mut wanted = 0;
        for name in ["packages.yml", "dependencies.yml"] {
            let path = self.options.project_dir.join(name);
            if path.exists() {
                let root = yaml::parse(&files::read(&path, name)?)?;
                wanted += root.get("packages").map(|node| node.items().len()).unwrap_or_default();
            }
        }
        let installed = self.packages.len() - 1;
        if wanted > installed {
            return Err(Problem::new(
                ProblemKind::Configuration,
                format!(
                    "the project asks for {wanted} package{}, {installed} of them in {}",
                    if wanted == 1 { "" } else { "s" },
                    self.root().paths.packages
                ),
            )
            .hint("fetch them with `millstream dbt deps`")
            .into());
        }
        Ok(())
    }
}

fn dependencies(dir: &Path, relative: &str, renderer: &Renderer) -> Result<Vec<Arc<Package>>> {
    let Ok(entries) = fs::read_dir(dir) else { return Ok(Vec::new()) };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| dir.join(name).join("dbt_project.yml").exists())
        .collect();
    names.sort();
    let read =
        |name: &String| Package::read(&dir.join(name), &format!("{relative}/{name}"), renderer).map(Arc::new);
    names.iter().map(read).collect()
}
