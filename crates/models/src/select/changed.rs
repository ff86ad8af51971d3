//! What has changed since another manifest was written: the methods `state`, `result` and `source_status`.

use std::{
    cell::OnceCell,
    collections::{HashMap, HashSet},
};

use serde_json::{Map, Value as Json};

use super::Ids;
use crate::{
    artifacts,
    context::modules::Moment,
    error::{Problem, ProblemKind, Result},
    parse::{
        calls::calls,
        macros::LIBRARY,
        node::{Node, Resource},
        Manifest,
    },
    project::past::PastManifest,
};

/// What can be asked of a state.
const QUESTIONS: &[&str] = &[
    "new",
    "old",
    "modified",
    "unmodified",
    "modified.body",
    "modified.configs",
    "modified.persisted_descriptions",
    "modified.relation",
    "modified.macros",
    "modified.contract",
];

/// Configurations that say where a relation is or how it is found, and are none of what it holds.
const NOT_COMPARED: &[&str] = &["alias", "schema", "database", "tags", "group"];

/// The configurations of a test that are compared.
const OF_TESTS: &[&str] = &[
    "severity",
    "where",
    "limit",
    "fail_calc",
    "warn_if",
    "error_if",
    "store_failures",
    "store_failures_as",
];

/// Nodes that are as is asked, compared with the manifest that `--state` names.
///
/// Errors: there is no such question, or no such manifest.
pub(super) fn by_state(manifest: &Manifest, question: &str) -> Result<Ids> {
    if !QUESTIONS.contains(&question) {
        let mut problem = Problem::new(
            ProblemKind::Selection,
            format!("`{question}` is nothing that a state is compared by"),
        );
        problem = match crate::place::nearest(question, QUESTIONS.iter().copied()) {
            Some(meant) => problem.hint(format!("did you mean `state:{meant}`?")),
            None => problem.hint(format!("there are: {}", QUESTIONS.join(", "))),
        };
        return Err(problem.into());
    }
    let project = &manifest.world.project;
    let past = project.pasts.compared(&project.options, &format!("`state:{question}`"))?.manifest()?;
    let comparison = Comparison { manifest, past, macros: OnceCell::new() };
    let found = manifest.all().filter(|node| comparison.answers(question, node));
    Ok(found.map(|node| node.unique_id.clone()).collect())
}

/// Nodes whose last run ended so.
///
/// Errors: `--state` names no results.
pub(super) fn by_result(manifest: &Manifest, status: &str) -> Result<Ids> {
    let project = &manifest.world.project;
    let past = project.pasts.compared(&project.options, &format!("`result:{status}`"))?;
    let statuses = past.statuses()?;
    let ended = |node: &&Node| statuses.get(&node.unique_id).is_some_and(|was| was == status);
    Ok(manifest.all().filter(ended).map(|node| node.unique_id.clone()).collect())
}

/// Tables of sources into which something was loaded since.
///
/// Errors: the question is not `fresher`, or freshness was not looked at then or now.
pub(super) fn by_source_status(manifest: &Manifest, question: &str) -> Result<Ids> {
    if question != "fresher" {
        let message = format!("`source_status` is asked for `fresher`, not `{question}`");
        return Err(Problem::new(ProblemKind::Selection, message).into());
    }
    let project = &manifest.world.project;
    let then = project.pasts.compared(&project.options, "`source_status:fresher`")?.loaded()?;
    let now = crate::project::past::Past::read(&project.target_dir())?;
    let now = now.loaded()?;
    let at = |of: &HashMap<String, Option<String>>, id: &str| {
        of.get(id).map(|time| time.as_deref().and_then(Moment::parse))
    };
    let fresher = |node: &&Node| match (at(now, &node.unique_id), at(then, &node.unique_id)) {
        (Some(Some(now)), Some(Some(then))) => now > then,
        (Some(Some(_)), None) => true,
        _ => false,
    };
    Ok(manifest.sources.values().filter(fresher).map(|node| node.unique_id.clone()).collect())
}

struct Comparison<'m> {
    manifest: &'m Manifest,
    past: &'m PastManifest,
    /// Macros whose SQL is another, that are new, or that call such; found when first asked for.
    macros: OnceCell<HashSet<String>>,
}

impl Comparison<'_> {
    fn answers(&self, question: &str, node: &Node) -> bool {
        let old = self.past.all.get(&node.unique_id);
        let Some(old) = old else {
            let is_own = !matches!(node.resource, Resource::Source | Resource::Exposure);
            let is_of_tables = is_of_tables(node);
            return match question {
                "new" => true,
                "old" => false,
                // dbt takes a source or an exposure that wasn't there for an unchanged one.
                "modified" => is_own || self.calls_changed(node),
                "unmodified" => !is_own && !self.calls_changed(node),
                "modified.body" | "modified.persisted_descriptions" | "modified.contract" => is_of_tables,
                "modified.relation" => is_of_tables || node.resource == Resource::Source,
                "modified.configs" => node.resource != Resource::UnitTest,
                _ => self.calls_changed(node),
            };
        };
        match question {
            "new" => false,
            "old" => true,
            _ => self.differs(question, node, old),
        }
    }

    fn differs(&self, question: &str, node: &Node, old: &Json) -> bool {
        let new = &artifacts::any_json(node);
        match question {
            "modified" => self.is_modified(node, old, new),
            "unmodified" => !self.is_modified(node, old, new),
            "modified.body" => is_of_tables(node) && !same_body(node, old, new),
            "modified.configs" => node.resource != Resource::UnitTest && !same_config(node, old, new),
            "modified.persisted_descriptions" => is_of_tables(node) && !same_descriptions(old, new),
            "modified.relation" => !same_relation(node, old, new),
            "modified.contract" => !same_contract(node, old, new),
            _ => self.calls_changed(node),
        }
    }

    fn is_modified(&self, node: &Node, old: &Json, new: &Json) -> bool {
        let fqn = old["fqn"] == new["fqn"];
        let all = |keys: &[&str]| keys.iter().all(|key| old[*key] == new[*key]);
        let same = match node.resource {
            Resource::Source => {
                same_relation(node, old, new)
                    && fqn
                    && same_config(node, old, new)
                    && same_quoting(&old["quoting"], &new["quoting"])
                    && all(&["loaded_at_field", "external"])
                    && same_freshness(&old["freshness"], &new["freshness"])
            }
            Resource::Exposure => {
                let depends_on = |of: &Json| -> HashSet<String> {
                    let nodes = of["depends_on"]["nodes"].as_array().into_iter().flatten();
                    nodes.filter_map(Json::as_str).map(str::to_owned).collect()
                };
                fqn && all(&["type", "owner", "maturity", "url", "description", "label"])
                    && depends_on(old) == depends_on(new)
                    && same_config(node, old, new)
            }
            // What dbt makes its checksum of.
            Resource::UnitTest => all(&["model", "versions", "given", "expect", "overrides"]),
            Resource::Test if node.test.is_some() => fqn && same_config(node, old, new),
            _ => {
                same_body(node, old, new)
                    && same_config(node, old, new)
                    && same_descriptions(old, new)
                    && fqn
                    && same_relation(node, old, new)
                    && same_contract(node, old, new)
                    && (node.resource != Resource::Model
                        || all(&["latest_version", "access", "deprecation_date"]))
            }
        };
        !same || self.calls_changed(node)
    }

    /// Whether a macro that the node calls, or that is called by one, is another than it was.
    fn calls_changed(&self, node: &Node) -> bool {
        let changed = self.macros.get_or_init(|| self.changed_macros());
        node.macros.iter().any(|id| changed.contains(id))
    }

    fn changed_macros(&self) -> HashSet<String> {
        let world = &self.manifest.world;
        // Which blanks around it belong to a macro is told differently.
        let is_other =
            |id: &str, sql: &str| self.past.macros.get(id).is_none_or(|was| was.trim() != sql.trim());
        // dbt's own are written otherwise here than there: they change with the program, not with the project.
        let own = world.macros.all.iter().filter(|entry| entry.package != LIBRARY);
        let mut changed: HashSet<String> = own
            .filter(|entry| is_other(&entry.unique_id, &entry.sql))
            .map(|entry| entry.unique_id.clone())
            .collect();
        if changed.is_empty() {
            return changed;
        }
        let mut callers: HashMap<String, Vec<&str>> = HashMap::new();
        for entry in &world.macros.all {
            for called in calls(world, entry) {
                callers.entry(called).or_default().push(&entry.unique_id);
            }
        }
        let mut open: Vec<String> = changed.iter().cloned().collect();
        while let Some(id) = open.pop() {
            for caller in callers.get(&id).into_iter().flatten() {
                if changed.insert((*caller).to_owned()) {
                    open.push((*caller).to_owned());
                }
            }
        }
        changed
    }
}

/// Whether it is a node of SQL or rows, in dbt's words one of `nodes`.
fn is_of_tables(node: &Node) -> bool {
    !matches!(node.resource, Resource::Source | Resource::Exposure | Resource::UnitTest)
}

fn same_body(node: &Node, old: &Json, new: &Json) -> bool {
    match node.resource {
        Resource::Seed => old["checksum"] == new["checksum"],
        _ => old["raw_code"] == new["raw_code"],
    }
}

fn same_config(node: &Node, old: &Json, new: &Json) -> bool {
    let none = Map::new();
    let said = |of: &Json| of["unrendered_config"].as_object().cloned().unwrap_or_else(|| none.clone());
    let (old, new) = (said(old), said(new));
    let is_compared = |key: &str| match node.resource {
        Resource::Source | Resource::Exposure => true,
        Resource::Test => OF_TESTS.contains(&key),
        _ => !NOT_COMPARED.contains(&key),
    };
    old.keys().chain(new.keys()).filter(|key| is_compared(key)).all(|key| old.get(key) == new.get(key))
}

/// Descriptions count where they are kept in the warehouse.
fn same_descriptions(old: &Json, new: &Json) -> bool {
    let kept = |what: &str| new["config"]["persist_docs"][what] == true;
    let of_columns = |of: &Json| -> HashMap<String, Json> {
        let columns = of["columns"].as_object().into_iter().flatten();
        columns.map(|(name, column)| (name.clone(), column["description"].clone())).collect()
    };
    (!kept("relation") || old["description"] == new["description"])
        && (!kept("columns") || of_columns(old) == of_columns(new))
}

/// Whether the relation is said to be where it was. What macros make of that doesn't count, nor what the target gives.
fn same_relation(node: &Node, old: &Json, new: &Json) -> bool {
    match node.resource {
        Resource::Exposure | Resource::UnitTest => true,
        Resource::Source => ["database", "schema", "identifier"].iter().all(|key| old[*key] == new[*key]),
        _ => ["database", "schema", "alias"]
            .iter()
            .all(|key| old["unrendered_config"][*key] == new["unrendered_config"][*key]),
    }
}

/// Whether a contract that is enforced is the one that was.
fn same_contract(node: &Node, old: &Json, new: &Json) -> bool {
    if node.resource != Resource::Model {
        return true;
    }
    let enforced = |of: &Json| of["contract"]["enforced"] == true;
    match (enforced(old), enforced(new)) {
        (false, false) => true,
        (true, true) => old["contract"]["checksum"] == new["contract"]["checksum"],
        _ => false,
    }
}

fn same_quoting(old: &Json, new: &Json) -> bool {
    ["database", "schema", "identifier", "column"].iter().all(|key| old[*key] == new[*key])
}

/// What is not said and what is said to be null is the same.
fn same_freshness(old: &Json, new: &Json) -> bool {
    let ages = ["warn_after", "error_after"];
    old["filter"] == new["filter"]
        && ages.iter().all(|age| ["count", "period"].iter().all(|key| old[*age][*key] == new[*age][*key]))
}
