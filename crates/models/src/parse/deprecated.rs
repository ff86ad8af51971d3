//! What a project does in a way that dbt means to give up, or that does nothing: warnings under dbt's names.

use std::{collections::HashMap, sync::Arc};

use serde_json::{Map, Value as Json};

use super::{
    freshness::Threshold,
    names,
    node::{Node, Resource},
    properties::Patch,
    Manifest, World,
};
use crate::{
    context::base::{self, Saying},
    engine::batches,
    project::Package,
    warning::{is_counted, Warning},
};

/// Sections of properties files and what they are about.
const SECTIONS: &[(&str, Resource)] =
    &[("models", Resource::Model), ("seeds", Resource::Seed), ("snapshots", Resource::Snapshot)];

/// Of keys of `dbt_project.yml`.
pub(super) fn of_projects(packages: &[Arc<Package>]) -> Vec<Warning> {
    let of = |package: &Arc<Package>| {
        let text = |key: &str| {
            format!("dbt_project.yml of `{}` says `{key}`, which dbt means to give up", package.name)
        };
        let keys = package.old_keys.iter().map(|(key, event)| Warning::of(event, text(key)));
        keys.collect::<Vec<_>>()
    };
    packages.iter().flat_map(of).collect()
}

/// Of the properties of a macro that isn't there.
pub(super) fn without_macro(world: &World, package: &str, properties: &Map<String, Json>) -> Option<Warning> {
    let name = names::text(properties.get("name"));
    let text =
        || format!("there is no macro `{name}` in the package `{package}`, whose properties describe one");
    world.macros.of_package(package, &name).is_none().then(|| Warning::of("MacroNotFoundForPatch", text()))
}

/// What templates have said while they were read of what dbt means to give up. All else that they said is left for whoever asks.
pub(super) fn said() -> Vec<Warning> {
    let (mut warnings, mut others) = (Vec::new(), Vec::new());
    for said in base::said() {
        match said.saying {
            Saying::Warned(Some(event)) if is_counted(event) => warnings.push(Warning::of(event, said.text)),
            _ => others.push(said),
        }
    }
    base::say_again(others);
    warnings
}

impl Manifest {
    /// Of properties of a node that there is not, or that is of another kind.
    pub(super) fn without_node(&self, patch: &Patch, name: &str) -> Warning {
        let of_name = |node: &&Node| node.is_refable() && node.name == name;
        let own = self.nodes.values().filter(of_name).find(|node| node.package == patch.package);
        let other = own.or_else(|| self.nodes.values().find(of_name));
        let is_section = SECTIONS.iter().any(|(section, _)| *section == patch.section);
        match other.filter(|_| is_section) {
            Some(other) => {
                let kind = other.resource.name();
                let text = format!(
                    "{}: `{name}` is a {kind}, and not among the {}: its properties belong below `{kind}s`",
                    patch.place, patch.section
                );
                Warning::of("WrongResourceSchemaFile", text)
            }
            None => {
                let text = format!("{}: there is none of the {} named `{name}`", patch.place, patch.section);
                Warning::of("NoNodeForYamlKey", text)
            }
        }
    }

    /// Warns of names, paths and references that dbt means to refuse some day, and of what is looked for and can't be there.
    pub(super) fn tell_deprecated(&mut self) {
        let mut warnings = Vec::new();
        for exposure in self.exposures.values() {
            if !exposure.name.chars().all(|c| c.is_alphanumeric() || "_-".contains(c)) {
                let text = format!(
                    "the exposure `{}` has other characters in its name than letters, digits, _ and -",
                    exposure.name
                );
                warnings.push(Warning::of("ExposureNameDeprecation", text));
            }
        }
        let mut known: HashMap<(&str, &str), &Node> = HashMap::new();
        for node in self.nodes.values().filter(|node| node.is_refable() && node.version().is_none()) {
            if let Some(first) = known.insert((&node.package, &node.name), node) {
                let text = format!(
                    "{} and {} have one name: a ref means one of them",
                    first.unique_id, node.unique_id
                );
                warnings.push(Warning::of("DuplicateNameDistinctNodeTypesDeprecation", text));
            }
        }
        warnings.extend(self.packages_that_read_the_project());
        let has_time = |id: &String| {
            self.get(id).is_some_and(|node| node.config.get("event_time").is_some_and(|time| !time.is_null()))
        };
        for node in self.nodes.values().filter(|node| batches::is_batched(node)) {
            if !node.depends_on.iter().any(has_time) {
                let text = format!(
                    "nothing that the microbatch model `{}` reads has an `event_time`: each batch reads all rows",
                    node.name
                );
                warnings.push(Warning::of("MicrobatchModelNoEventTimeInputs", text));
            }
        }
        for source in self.sources.values() {
            let is_asked_for = Threshold::read(source.extra.get("freshness"))
                .is_ok_and(|threshold| threshold.is_some_and(|threshold| threshold.is_said()));
            let is_said = |key: &str| source.extra.get(key).is_some_and(|value| !value.is_null());
            if is_asked_for && !is_said("loaded_at_field") && !is_said("loaded_at_query") {
                let text = format!(
                    "how old `{}` of the source `{}` is can't be told without `loaded_at_field` or `loaded_at_query`",
                    source.name,
                    names::text(source.extra.get("source_name"))
                );
                warnings.push(Warning::of("FreshnessConfigProblem", text));
            }
        }
        self.warnings.extend(warnings);
    }

    /// Of nodes of packages that refer to models of the project without naming it: they are found before the package's own.
    fn packages_that_read_the_project(&self) -> Vec<Warning> {
        let root = &self.world.project.root().name;
        let mut warnings = Vec::new();
        for node in self.nodes.values().filter(|node| node.package != *root) {
            for args in node.refs.iter().filter(|args| args.package.as_ref() != Some(root)) {
                let target = node.depends_on.iter().filter_map(|id| self.nodes.get(id)).find(|target| {
                    target.package == *root
                        && target.name == args.name
                        && args.package.as_ref().is_none_or(|package| *package == target.package)
                });
                if let Some(target) = target {
                    let text = format!(
                        "`{}` of the package `{}` refers to {}, which is the project's",
                        node.name, node.package, target.unique_id
                    );
                    warnings.push(Warning::of("PackageNodeDependsOnRootProjectNode", text));
                }
            }
        }
        warnings
    }
}
