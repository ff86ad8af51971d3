//! From names to ids: what `ref` and `source` mean, what depends on what, and that nothing depends on itself.

use std::collections::{HashMap, HashSet};

use serde_json::Value as Json;

use super::{
    contract::{self, Target},
    names::{self, describe},
    node::{Node, RefArgs, Resource},
    version, Manifest,
};
use crate::{
    error::{Problem, ProblemKind, Result},
    place::{nearest, Place},
    project::Adapter,
    warning::Warning,
};

/// What a name may mean: enabled, or disabled.
#[derive(Debug, Default)]
pub struct Names {
    enabled: HashMap<String, Vec<(String, String)>>,
    disabled: HashSet<String>,
    sources: HashMap<(String, String), Vec<(String, String)>>,
    disabled_sources: HashSet<(String, String)>,
}

impl Names {
    /// The names of a project.
    pub fn of(manifest: &Manifest) -> Self {
        let refable = |node: &&Node| node.is_refable();
        let mut names = Names::default();
        for node in manifest.nodes.values().filter(refable) {
            let entry = (node.package.clone(), node.unique_id.clone());
            if node.version().is_some() {
                names.enabled.entry(node.search_name()).or_default().push(entry.clone());
            }
            // The name alone means the latest version.
            let others = names.enabled.entry(node.name.clone()).or_default();
            if node.version() == node.latest_version() {
                others.push(entry);
            }
        }
        names.disabled.extend(manifest.disabled.iter().filter(refable).map(|node| node.name.clone()));
        let key = |node: &Node| (names::text(node.extra.get("source_name")), node.name.clone());
        for node in manifest.sources.values().chain(manifest.live.values()) {
            let entry = (node.package.clone(), node.unique_id.clone());
            names.sources.entry(key(node)).or_default().push(entry);
        }
        let disabled = manifest.disabled.iter().filter(|node| node.resource == Resource::Source);
        names.disabled_sources.extend(disabled.map(key));
        names
    }

    /// The id that a `ref` from a package means. dbt looks in the root project, in the node's own package, anywhere.
    pub fn find(&self, args: &RefArgs, root: &str, own: &str) -> Option<&str> {
        let all = self.enabled.get(&args.search_name())?;
        match &args.package {
            Some(package) => all.iter().find(|(known, _)| known == package).map(|(_, id)| id.as_str()),
            None => nearest_of(all, root, own),
        }
    }

    /// The id of a source's table, looked for in the same order.
    fn find_source(&self, key: &(String, String), root: &str, own: &str) -> Option<&str> {
        nearest_of(self.sources.get(key)?, root, own)
    }
}

/// Of what packages have under one name: the root project's, the own package's, anybody's.
fn nearest_of<'n>(all: &'n [(String, String)], root: &str, own: &str) -> Option<&'n str> {
    let of = |package: &str| all.iter().find(|(known, _)| known == package);
    of(root).or_else(|| of(own)).or_else(|| all.first()).map(|(_, id)| id.as_str())
}

/// What a node depends on; or what of it isn't there.
///
/// Errors: it may not refer to what it refers to.
fn resolve(
    manifest: &Manifest,
    names: &Names,
    node: &Node,
) -> Result<std::result::Result<Vec<String>, Missing>> {
    let root = &manifest.world.project.root().name;
    let mut depends_on: Vec<String> = Vec::new();
    let mut add = |found: &str| {
        if !depends_on.iter().any(|known| known == found) {
            depends_on.push(found.to_owned());
        }
    };
    for args in &node.refs {
        match names.find(args, root, &node.package) {
            Some(found) => {
                check_access(manifest, node, found, &args.name)?;
                add(found);
            }
            None => {
                return Ok(Err(Missing::Reference(args.clone(), names.disabled.contains(&args.name))));
            }
        }
    }
    for key in &node.sources {
        match names.find_source(key, root, &node.package) {
            Some(found) => add(found),
            None => return Ok(Err(Missing::Source(key.clone(), names.disabled_sources.contains(key)))),
        }
    }
    Ok(Ok(depends_on))
}

/// Resolves what a node refers to that is in no file of the project.
///
/// Errors: something that it refers to isn't there, or it may not refer to it.
pub(super) fn link_one(manifest: &Manifest, names: &Names, node: &mut Node) -> Result<()> {
    match resolve(manifest, names, node)? {
        Ok(depends_on) => {
            node.depends_on = depends_on;
            Ok(())
        }
        Err(missing) => Err(missing.problem(manifest, node, names, names.sources.keys()).into()),
    }
}

/// Resolves all references and looks for cycles.
pub(super) fn link(manifest: &mut Manifest) -> Result<()> {
    let names = Names::of(manifest);
    let ids: Vec<String> = manifest.nodes.keys().chain(manifest.exposures.keys()).cloned().collect();
    for id in ids {
        let Some(node) = manifest.get(&id) else { continue };
        let depends_on = match resolve(manifest, &names, node)? {
            Ok(depends_on) => depends_on,
            Err(missing) => {
                let is_test = node.resource == Resource::Test;
                let problem = missing.problem(manifest, node, &names, names.sources.keys());
                if !is_test {
                    return Err(problem.into());
                }
                // A test of what isn't there is left out, and said unless that is disabled.
                if !missing.is_disabled() {
                    let text = format!("{} {}", problem.message, problem.around.join(" "));
                    manifest.warnings.push(Warning::of("NodeNotFoundOrDisabled", text));
                }
                if let Some(mut node) = manifest.nodes.shift_remove(&id) {
                    node.config.insert("enabled".into(), false.into());
                    manifest.disabled.push(node);
                }
                continue;
            }
        };
        if let Some(node) = manifest.nodes.get_mut(&id) {
            node.depends_on = depends_on;
        } else if let Some(node) = manifest.exposures.get_mut(&id) {
            node.depends_on = depends_on;
        }
    }
    find_foreign_targets(manifest, &names)?;
    tell_deprecations(manifest);
    check_relations(manifest)?;
    check_cycles(manifest)?;
    infer_primary_keys(manifest);
    Ok(())
}

/// Finds the tables that foreign keys refer to. DuckDB takes them to be in the database of the table itself, and takes no name of one.
///
/// Errors: a table with one is to be in another database than the one that the program is connected to: DuckDB would look for the other table there.
fn find_foreign_targets(manifest: &mut Manifest, names: &Names) -> Result<()> {
    let target = &manifest.world.project.target;
    let root = manifest.world.project.root().name.clone();
    let mut found: Vec<(String, HashMap<String, String>)> = Vec::new();
    for node in manifest.nodes.values().filter(|node| node.has_contract()) {
        let is_elsewhere =
            target.kind == Adapter::DuckDb && !node.database.eq_ignore_ascii_case(&target.connected);
        if is_elsewhere && contract::has(node, "foreign_key") {
            let message =
                format!("foreign keys are not supported in attached databases such as `{}`", node.database);
            return Err(Problem::new(ProblemKind::Unsupported, message)
                .around(describe(node))
                .hint(format!("leave the constraint out, or build the model in `{}`", target.connected))
                .into());
        }
        let targets = contract::referred(node).into_iter().filter_map(|(said, target)| {
            let id = match &target {
                Target::Ref(args) => names.find(args, &root, &node.package),
                Target::Source(key) => names.find_source(key, &root, &node.package),
            };
            let mut relation = manifest.get(id?)?.relation();
            relation.include[0] = false;
            Some((said, relation.render()))
        });
        found.push((node.unique_id.clone(), targets.collect()));
    }
    for (id, targets) in found {
        if let Some(node) = manifest.nodes.get_mut(&id) {
            node.foreign_targets = targets;
        }
    }
    Ok(())
}

/// Tells models whose time is over, and those that read what is to go.
fn tell_deprecations(manifest: &mut Manifest) {
    let now = manifest.world.project.options.started_us;
    let mut told = Vec::new();
    for node in manifest.nodes.values() {
        let Some(date) = node.extra.get("deprecation_date").and_then(Json::as_str) else { continue };
        let is_over = version::moment(date).is_some_and(|moment| moment < now);
        let name = node.search_name();
        if is_over {
            told.push(Warning::of("DeprecatedModel", format!("the model `{name}` was to go on {date}")));
        }
        let (when, event) = match is_over {
            true => ("was to go", "DeprecatedReference"),
            false => ("is to go", "UpcomingReferenceDeprecation"),
        };
        let readers = manifest.nodes.values().filter(|reader| {
            reader.resource == Resource::Model && reader.depends_on.contains(&node.unique_id)
        });
        told.extend(readers.map(|reader| {
            Warning::of(event, format!("`{}` reads `{name}`, which {when} on {date}", reader.name))
        }));
    }
    manifest.warnings.extend(told);
}

/// Tells each model's primary key: that of its constraints, or as dbt guesses it from its tests, columns that are unique and not null, else those that are unique.
fn infer_primary_keys(manifest: &mut Manifest) {
    let mut keys: HashMap<String, [Vec<String>; 3]> = HashMap::new();
    let tests = manifest
        .nodes
        .values()
        .chain(&manifest.disabled)
        .filter_map(|node| Some((node, node.test.as_ref()?)));
    for (node, test) in tests {
        let Some(attached) = &test.attached else { continue };
        let columns: Vec<String> =
            match (test.kwargs.get("column_name"), test.kwargs.get("combination_of_columns")) {
                (Some(Json::String(column)), _) => vec![column.clone()],
                (None, Some(Json::Array(all))) => {
                    all.iter().filter_map(Json::as_str).map(str::to_owned).collect()
                }
                _ => continue,
            };
        let at = match test.name.as_str() {
            "unique" | "unique_combination_of_columns" if node.enabled() => 0,
            "unique" | "unique_combination_of_columns" => 1,
            "not_null" => 2,
            _ => continue,
        };
        let known = &mut keys.entry(attached.clone()).or_default()[at];
        for column in columns {
            if !known.contains(&column) {
                known.push(column);
            }
        }
    }
    for node in manifest.nodes.values_mut().filter(|node| node.resource == Resource::Model) {
        if let Some(key) = contract::primary_key(node) {
            keys.remove(&node.unique_id);
            node.extra.insert("primary_key".into(), key);
        }
    }
    for (id, [unique, disabled, filled]) in keys {
        let both: Vec<&String> =
            filled.iter().filter(|column| unique.contains(column) || disabled.contains(column)).collect();
        let key = match (both.is_empty(), unique.is_empty()) {
            (false, _) => Json::from_iter(both.into_iter().cloned()),
            (true, false) => Json::from_iter(unique),
            (true, true) => Json::from_iter(disabled),
        };
        if let Some(node) = manifest.nodes.get_mut(&id).filter(|node| node.resource == Resource::Model) {
            node.extra.insert("primary_key".into(), key);
        }
    }
}

enum Missing {
    Reference(RefArgs, bool),
    Source((String, String), bool),
}

impl Missing {
    fn is_disabled(&self) -> bool {
        matches!(self, Missing::Reference(_, true) | Missing::Source(_, true))
    }

    fn problem<'s>(
        &self,
        manifest: &Manifest,
        node: &Node,
        names: &Names,
        sources: impl Iterator<Item = &'s (String, String)>,
    ) -> Problem {
        let (message, word, hint) = match self {
            Missing::Reference(args, disabled) => {
                let state = if *disabled { "is disabled" } else { "isn't there" };
                let of = args.package.as_ref().map(|package| format!(" of package `{package}`"));
                let message = format!("`{}`{} {state}", args.search_name(), of.unwrap_or_default());
                (
                    message,
                    args.name.clone(),
                    nearest(&args.name, names.enabled.keys().map(String::as_str)).map(str::to_owned),
                )
            }
            Missing::Source((source, table), disabled) => {
                let state = if *disabled { "is disabled" } else { "isn't declared" };
                let message = format!("the table `{table}` of source `{source}` {state}");
                let wanted = format!("{source}.{table}");
                let known: Vec<String> = sources.map(|(source, table)| format!("{source}.{table}")).collect();
                (
                    message,
                    table.clone(),
                    nearest(&wanted, known.iter().map(String::as_str)).map(str::to_owned),
                )
            }
        };
        let mut problem = Problem::new(ProblemKind::Missing, message).around(names::describe(node));
        if let Some(place) = word_in(manifest, node, &word) {
            problem = problem.at(&place);
        }
        match hint.filter(|_| !self.is_disabled()) {
            Some(meant) => problem.hint(format!("did you mean `{meant}`?")),
            None => problem,
        }
    }
}

/// A private model is there for its own group, and one of a package with `restrict-access` for nobody outside of what its access allows.
fn check_access(manifest: &Manifest, node: &Node, found: &str, written: &str) -> Result<()> {
    let Some(model) = manifest.nodes.get(found).filter(|model| model.resource == Resource::Model) else {
        return Ok(());
    };
    let elsewhere = node.package != model.package;
    let restricted =
        elsewhere && manifest.world.project.package(&model.package).is_some_and(|it| it.restrict_access);
    let own_group = node.group().is_some() && node.group() == model.group();
    let for_whom = match model.extra.get("access").and_then(Json::as_str) {
        Some("private") if restricted || !own_group => match model.group() {
            Some(group) => format!("the group `{group}`"),
            None => "its group, and it has none".to_owned(),
        },
        Some("protected") if restricted => format!("the package `{}`", model.package),
        _ => return Ok(()),
    };
    let access = names::text(model.extra.get("access"));
    let message = format!("`{}` is {access}: it is there only for {for_whom}", model.unique_id);
    let mut problem = Problem::new(ProblemKind::Configuration, message).around(names::describe(node));
    if let Some(place) = word_in(manifest, node, written) {
        problem = problem.at(&place);
    }
    Err(problem.into())
}

/// Where a node's file has a word in quotes.
fn word_in(manifest: &Manifest, node: &Node, word: &str) -> Option<Place> {
    let package = manifest.world.project.package(&node.package)?;
    let text = manifest.text(&super::macros::display(&package.relative_root, &node.original_path))?;
    let quoted = [format!("'{word}'"), format!("\"{word}\"")];
    let at = quoted.iter().find_map(|quoted| text.text.find(quoted.as_str()))?;
    let spot = crate::jinja::tags::spot_of(&text.text, at + 1);
    Some(Place::new(&text, spot.line as usize, spot.column as usize, word.chars().count()))
}

/// Two models or seeds can't be one relation.
fn check_relations(manifest: &Manifest) -> Result<()> {
    let mut taken: HashMap<String, &Node> = HashMap::new();
    for node in manifest.nodes.values() {
        if !node.is_refable() || node.is_ephemeral() {
            continue;
        }
        let Some(name) = node.relation_name() else { continue };
        if let Some(first) = taken.insert(name.to_lowercase(), node) {
            return Err(Problem::new(
                ProblemKind::Duplicate,
                format!("`{}` and `{}` are both to be built as {name}", first.unique_id, node.unique_id),
            )
            .hint("give one of them another alias or schema")
            .into());
        }
    }
    Ok(())
}

fn check_cycles(manifest: &Manifest) -> Result<()> {
    #[derive(Clone, Copy, PartialEq)]
    enum State {
        Open,
        Done,
    }
    let mut states: HashMap<&str, State> = HashMap::new();
    for start in manifest.nodes.keys() {
        if states.contains_key(start.as_str()) {
            continue;
        }
        // Nodes under way, each with how many of what it depends on were looked at.
        let mut path: Vec<(&str, usize)> = vec![(start, 0)];
        states.insert(start, State::Open);
        while let Some((id, next)) = path.last_mut() {
            let below = manifest.get(id).map(|node| node.depends_on.as_slice()).unwrap_or_default();
            let Some(child) = below.get(*next) else {
                states.insert(id, State::Done);
                path.pop();
                continue;
            };
            *next += 1;
            match states.get(child.as_str()) {
                Some(State::Done) => {}
                Some(State::Open) => {
                    let from = path.iter().position(|(id, _)| id == child).unwrap_or(0);
                    let names: Vec<&str> =
                        path[from..].iter().map(|(id, _)| *id).chain([child.as_str()]).collect();
                    return Err(Problem::new(
                        ProblemKind::Cycle,
                        format!("these depend on each other: {}", names.join(" → ")),
                    )
                    .into());
                }
                None => {
                    states.insert(child, State::Open);
                    path.push((child, 0));
                }
            }
        }
    }
    Ok(())
}
