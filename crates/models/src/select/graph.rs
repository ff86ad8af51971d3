//! The graph: what depends on what, both ways.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::Ids;
use crate::parse::{
    node::{Node, Resource},
    Manifest,
};

/// Edges between enabled nodes.
#[derive(Debug, Default)]
pub struct Graph {
    parents: HashMap<String, Vec<String>>,
    children: HashMap<String, Vec<String>>,
}

impl Graph {
    /// The graph of a project.
    pub fn of(manifest: &Manifest) -> Self {
        let mut graph = Graph::default();
        for node in manifest.all() {
            graph.parents.entry(node.unique_id.clone()).or_default();
            graph.children.entry(node.unique_id.clone()).or_default();
            for parent in &node.depends_on {
                graph.link(parent, &node.unique_id);
            }
        }
        graph
    }

    fn link(&mut self, parent: &str, child: &str) {
        let parents = self.parents.entry(child.to_owned()).or_default();
        if !parents.iter().any(|known| known == parent) {
            parents.push(parent.to_owned());
            self.children.entry(parent.to_owned()).or_default().push(child.to_owned());
        }
    }

    /// The same with what `build` adds: what is below a model waits for the tests that read nothing but it and what it is built from.
    pub fn with_tests_first(manifest: &Manifest) -> Self {
        let plain = Graph::of(manifest);
        let mut graph = Graph::of(manifest);
        let tests = manifest.nodes.values().filter(|node| node.resource == Resource::Test);
        for test in tests {
            // Only what has all of the test's nodes above it can wait without going in a circle.
            let mut below: Option<Ids> = None;
            for read in &test.depends_on {
                let from: Ids = [read.clone()].into_iter().collect();
                let under = plain.children(&from, None);
                below = Some(match below {
                    None => under,
                    Some(so_far) => so_far.intersection(&under).cloned().collect(),
                });
            }
            for child in below.unwrap_or_default() {
                let is_test = manifest.nodes.get(&child).is_some_and(Node::is_test);
                if !is_test {
                    graph.link(&test.unique_id, &child);
                }
            }
        }
        // A unit test comes before its model, and after what that reads: the columns of what it stands in for are asked for.
        for node in manifest.nodes.values() {
            if let Some(unit) = &node.unit {
                graph.unlink(&unit.model, &node.unique_id);
                for parent in plain.parents_of(&unit.model) {
                    graph.link(parent, &node.unique_id);
                }
                graph.link(&node.unique_id, &unit.model);
            }
        }
        graph
    }

    fn unlink(&mut self, parent: &str, child: &str) {
        if let Some(parents) = self.parents.get_mut(child) {
            parents.retain(|known| known != parent);
        }
        if let Some(children) = self.children.get_mut(parent) {
            children.retain(|known| known != child);
        }
    }

    /// What depends on these, at most so many steps away; they themselves only where they depend on each other.
    pub fn children(&self, of: &Ids, depth: Option<usize>) -> Ids {
        reach(&self.children, of, depth)
    }

    /// What these depend on, at most so many steps away.
    pub fn parents(&self, of: &Ids, depth: Option<usize>) -> Ids {
        reach(&self.parents, of, depth)
    }

    /// What a node depends on.
    pub fn parents_of(&self, id: &str) -> &[String] {
        self.parents.get(id).map(Vec::as_slice).unwrap_or_default()
    }

    /// What depends on a node.
    pub fn children_of(&self, id: &str) -> &[String] {
        self.children.get(id).map(Vec::as_slice).unwrap_or_default()
    }

    /// For each selected node, the selected nodes that it must wait for, also through nodes that are not selected.
    pub fn waits(&self, selected: &Ids) -> BTreeMap<String, Vec<String>> {
        let mut waits = BTreeMap::new();
        for id in selected {
            let mut found = Vec::new();
            let mut seen: HashSet<&str> = HashSet::new();
            let mut open: Vec<&str> = self.parents_of(id).iter().map(String::as_str).collect();
            while let Some(parent) = open.pop() {
                if !seen.insert(parent) {
                    continue;
                }
                if selected.contains(parent) {
                    found.push(parent.to_owned());
                } else {
                    open.extend(self.parents_of(parent).iter().map(String::as_str));
                }
            }
            found.sort();
            waits.insert(id.clone(), found);
        }
        waits
    }
}

fn reach(edges: &HashMap<String, Vec<String>>, from: &Ids, depth: Option<usize>) -> Ids {
    let mut found = Ids::new();
    let mut edge: Vec<&str> = from.iter().map(String::as_str).collect();
    let mut steps = 0;
    while !edge.is_empty() && depth.is_none_or(|depth| steps < depth) {
        let mut next = Vec::new();
        for id in edge {
            for other in edges.get(id).map(Vec::as_slice).unwrap_or_default() {
                if found.insert(other.clone()) {
                    next.push(other.as_str());
                }
            }
        }
        edge = next;
        steps += 1;
    }
    found
}
