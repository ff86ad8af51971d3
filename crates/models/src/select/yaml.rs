//! `selectors.yml`.

use std::path::Path;

use super::spec::{Criteria, Indirect, Spec};
use crate::{
    error::{Problem, ProblemKind, Result},
    place::nearest,
    project::files,
    yaml::{self, Kind, Node},
};

/// A project's selectors.
#[derive(Debug, Default)]
pub struct Selectors {
    /// Name, definition and whether it is the default, in the order of the file.
    pub all: Vec<(String, Spec, bool)>,
}

impl Selectors {
    /// Reads `selectors.yml`; a project without one has none.
    pub fn read(project_dir: &Path, indirect: Indirect) -> Result<Self> {
        let path = project_dir.join("selectors.yml");
        if !path.exists() {
            return Ok(Selectors::default());
        }
        let root = yaml::parse(&files::read(&path, "selectors.yml")?)?;
        let mut selectors = Selectors::default();
        for item in root.get("selectors").map(Node::items).unwrap_or_default() {
            let Some(name) = item.get("name").and_then(Node::as_str) else {
                return Err(item.wrong("a selector has a `name`").into());
            };
            let Some(definition) = item.get("definition") else {
                return Err(item.wrong(format!("the selector `{name}` has no `definition`")).into());
            };
            let spec = selectors.spec(definition, indirect)?;
            let is_default = item.get("default").is_some_and(|node| node.to_json() == true);
            selectors.all.push((name.to_owned(), spec, is_default));
        }
        Ok(selectors)
    }

    /// A selector by name.
    pub fn get(&self, name: &str) -> Result<&Spec> {
        if let Some((_, spec, _)) = self.all.iter().find(|(known, ..)| known == name) {
            return Ok(spec);
        }
        let mut problem =
            Problem::new(ProblemKind::Selection, format!("selectors.yml has no selector `{name}`"));
        if let Some(meant) = nearest(name, self.all.iter().map(|(known, ..)| known.as_str())) {
            problem = problem.hint(format!("did you mean `{meant}`?"));
        }
        Err(problem.into())
    }

    /// The selector that is used where nothing is said.
    pub fn preset(&self) -> Option<&Spec> {
        self.all.iter().find(|(.., is_default)| *is_default).map(|(_, spec, _)| spec)
    }

    fn spec(&self, node: &Node, indirect: Indirect) -> Result<Spec> {
        if let Some(text) = node.as_str() {
            return Spec::union(&[text.to_owned()], indirect, true);
        }
        if let Some(parts) = node.get("union") {
            return self.combined(parts, indirect, true);
        }
        if let Some(parts) = node.get("intersection") {
            return self.combined(parts, indirect, false);
        }
        if let Some(method) = node.get("method").and_then(Node::as_str) {
            return self.method(node, method, indirect);
        }
        if let [(key, value)] = node.entries() {
            let json = value.to_json();
            let value = json.as_str().map_or_else(|| json.to_string(), str::to_owned);
            return Criteria::parse(&format!("{}:{value}", key.text), indirect).map(Spec::Criteria);
        }
        Err(node.wrong("a definition is a text, a method, a union or an intersection").into())
    }

    fn combined(&self, node: &Node, indirect: Indirect, union: bool) -> Result<Spec> {
        let Kind::List(items) = &node.kind else {
            return Err(node.wrong("a union or intersection is a list").into());
        };
        let mut parts = Vec::new();
        let mut excluded = Vec::new();
        for item in items {
            match item.get("exclude") {
                Some(exclude) if item.get("method").is_none() => {
                    for item in exclude.items() {
                        excluded.push(self.spec(item, indirect)?);
                    }
                }
                _ => parts.push(self.spec(item, indirect)?),
            }
        }
        let base = if union {
            Spec::Union { parts, indirect, raw: None }
        } else {
            Spec::Intersection { parts, indirect, raw: None }
        };
        Ok(without(base, excluded, indirect))
    }

    fn method(&self, node: &Node, method: &str, indirect: Indirect) -> Result<Spec> {
        let value = node.get("value").map(Node::to_json).unwrap_or_default();
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if method == "selector" {
            return self.get(&value).cloned();
        }
        let indirect = match node.get("indirect_selection").and_then(Node::as_str) {
            Some(text) => Indirect::parse(text)?,
            None => indirect,
        };
        let raw = format!("{method}:{value}");
        let mut criteria = Criteria::new(&raw, method, &value, indirect)?;
        let flag = |key: &str| node.get(key).is_some_and(|node| node.to_json() == true);
        let depth =
            |key: &str| node.get(key).and_then(|node| node.to_json().as_u64()).map(|depth| depth as usize);
        criteria.childrens_parents = flag("childrens_parents");
        (criteria.parents, criteria.parents_depth) = (flag("parents"), depth("parents_depth"));
        (criteria.children, criteria.children_depth) = (flag("children"), depth("children_depth"));
        if criteria.childrens_parents && criteria.children {
            return Err(node.wrong("`childrens_parents` and `children` don't go together").into());
        }
        let mut excluded = Vec::new();
        for item in node.get("exclude").map(Node::items).unwrap_or_default() {
            excluded.push(self.spec(item, indirect)?);
        }
        Ok(without(Spec::Criteria(criteria), excluded, indirect))
    }
}

fn without(base: Spec, excluded: Vec<Spec>, indirect: Indirect) -> Spec {
    if excluded.is_empty() {
        return base;
    }
    let excluded = Spec::Union { parts: excluded, indirect, raw: None };
    Spec::Difference { parts: vec![base, excluded], indirect, raw: None }
}
