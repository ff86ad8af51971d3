//! Selection: which nodes `--select`, `--exclude` and `--selector` mean.
//!
//! A selection is read to a tree first ([`Spec`]) and then answered from the graph ([`Selector`]).

mod changed;
pub mod graph;
mod methods;
mod spec;
pub mod yaml;

use std::collections::BTreeSet;

pub use graph::Graph;
pub use spec::{Criteria, Indirect, Spec};

use crate::{
    error::Result,
    parse::{
        node::{Node, Resource},
        version, Manifest,
    },
};

/// Unique ids.
pub type Ids = BTreeSet<String>;

/// Answers selections.
pub struct Selector<'m> {
    manifest: &'m Manifest,
    graph: &'m Graph,
    /// Selections that matched nothing, as written.
    pub empty: Vec<String>,
}

impl<'m> Selector<'m> {
    /// For a project.
    pub fn new(manifest: &'m Manifest, graph: &'m Graph) -> Self {
        Selector { manifest, graph, empty: Vec::new() }
    }

    /// The nodes that a selection means, tests that go with them included.
    pub fn select(&mut self, spec: &Spec) -> Result<Ids> {
        Ok(self.recurse(spec)?.0)
    }

    /// What is meant itself, and tests that wait for the rest of what they read.
    fn recurse(&mut self, spec: &Spec) -> Result<(Ids, Ids)> {
        let (parts, indirect, raw) = match spec {
            Spec::Criteria(criteria) => return self.criteria(criteria),
            Spec::Union { parts, indirect, raw }
            | Spec::Intersection { parts, indirect, raw }
            | Spec::Difference { parts, indirect, raw } => (parts, *indirect, raw),
        };
        let mut direct_sets = Vec::new();
        let mut all_sets = Vec::new();
        for part in parts {
            let (direct, indirect) = self.recurse(part)?;
            all_sets.push(direct.union(&indirect).cloned().collect::<Ids>());
            direct_sets.push(direct);
        }
        let direct = combined(spec, direct_sets);
        let all = combined(spec, all_sets);
        let direct = self.with_waiting(direct, &all, indirect);
        if let (Some(raw), true) = (raw, direct.is_empty()) {
            self.empty.push(raw.clone());
        }
        Ok((direct, all))
    }

    fn criteria(&self, criteria: &Criteria) -> Result<(Ids, Ids)> {
        let found = methods::search(self.manifest, criteria)?;
        let mut selected = found.clone();
        if criteria.childrens_parents {
            let children = self.graph.children(&found, None);
            let with: Ids = found.union(&children).cloned().collect();
            selected.extend(self.graph.parents(&with, None));
            selected.extend(with);
        }
        if criteria.parents {
            selected.extend(self.graph.parents(&found, criteria.parents_depth));
        }
        if criteria.children {
            selected.extend(self.graph.children(&found, criteria.children_depth));
        }
        if criteria.indirect == Indirect::Empty {
            return Ok((selected, Ids::new()));
        }
        Ok(self.expanded(selected, criteria.indirect))
    }

    /// Adds the tests of what is selected.
    fn expanded(&self, selected: Ids, indirect: Indirect) -> (Ids, Ids) {
        let around = match indirect {
            Indirect::Buildable => self.with_parents(&selected),
            _ => Ids::new(),
        };
        let mut direct = selected.clone();
        let mut waiting = Ids::new();
        for id in self.graph.children(&selected, Some(1)) {
            let Some(node) = self.manifest.nodes.get(&id).filter(|node| node.is_test()) else {
                continue;
            };
            let reads_only = |of: &Ids| node.depends_on.iter().all(|id| of.contains(id));
            let now = indirect == Indirect::Eager
                || reads_only(&selected)
                || (indirect == Indirect::Buildable && reads_only(&around));
            if now {
                direct.insert(id);
            } else {
                waiting.insert(id);
            }
        }
        (direct, waiting)
    }

    fn with_parents(&self, selected: &Ids) -> Ids {
        let mut around = self.graph.parents(selected, None);
        around.extend(selected.iter().cloned());
        around.extend(self.manifest.sources.keys().cloned());
        around
    }

    /// Adds tests that waited, where all that they read is selected by now.
    fn with_waiting(&self, direct: Ids, all: &Ids, indirect: Indirect) -> Ids {
        let around = match indirect {
            Indirect::Cautious => direct.clone(),
            Indirect::Buildable => self.with_parents(&direct),
            Indirect::Eager | Indirect::Empty => return direct,
        };
        let mut selected = direct;
        for id in all {
            let ready = |node: &&Node| node.depends_on.iter().all(|id| around.contains(id));
            if self.manifest.nodes.get(id).filter(ready).is_some() {
                selected.insert(id.clone());
            }
        }
        selected
    }
}

fn combined(spec: &Spec, sets: Vec<Ids>) -> Ids {
    let mut sets = sets.into_iter();
    let Some(first) = sets.next() else { return Ids::new() };
    sets.fold(first, |left, right| match spec {
        Spec::Intersection { .. } => left.intersection(&right).cloned().collect(),
        Spec::Difference { .. } => left.difference(&right).cloned().collect(),
        _ => left.union(&right).cloned().collect(),
    })
}

/// Whether `ls` lists nodes of this kind where none is asked for.
pub fn is_listed(resource: Resource) -> bool {
    !matches!(resource, Resource::Analysis | Resource::Operation)
}

/// A node as `ls` lists it.
pub fn listed_name(node: &Node) -> String {
    let fqn = node.fqn.join(".");
    match node.resource {
        Resource::Source => {
            let source =
                node.extra.get("source_name").and_then(serde_json::Value::as_str).unwrap_or_default();
            format!("source:{}.{source}.{}", node.package, node.name)
        }
        Resource::Exposure => format!("exposure:{fqn}"),
        Resource::UnitTest => {
            let version = node.version().map(|version| format!("_v{}", version::text(version)));
            format!("unit_test:{}.{}{}", node.package, node.name, version.unwrap_or_default())
        }
        _ => fqn,
    }
}
