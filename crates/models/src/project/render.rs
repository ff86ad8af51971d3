//! Jinja within YAML: the values of `dbt_project.yml`, `profiles.yml` and properties files.

use std::{rc::Rc, sync::Arc};

use serde_json::Value as Json;

use crate::{
    context::base::{Base, BaseHost},
    error::{Problem, Result},
    jinja::{template, Interpreter, Spot, Value},
    yaml::{Kind, Node},
};

/// Renders values with what is known before a project is.
pub struct Renderer {
    base: Arc<Base>,
}

const HOOKS: &[&str] = &["pre-hook", "post-hook", "pre_hook", "post_hook"];

impl Renderer {
    /// A renderer with this environment, these variables and this target.
    pub fn new(base: Arc<Base>) -> Self {
        Renderer { base }
    }

    /// Renders `dbt_project.yml`, but for hooks, variables and the query comment, which are rendered when they are used.
    pub fn project(&self, root: &Node) -> Result<Node> {
        self.node(root, &mut Vec::new(), &|path: &[String]| {
            let first = path.first().map(String::as_str).unwrap_or_default();
            let hook = || path.iter().any(|part| HOOKS.contains(&part.trim_start_matches(['+', ' '])));
            match first {
                "on-run-start" | "on-run-end" | "query-comment" | "vars" => false,
                "seeds" | "models" | "snapshots" | "tests" | "data_tests" => !hook(),
                _ => true,
            }
        })
    }

    /// Renders everything.
    pub fn all(&self, root: &Node) -> Result<Node> {
        self.node(root, &mut Vec::new(), &|_: &[String]| true)
    }

    /// Renders what `wanted` says of the path of a value.
    pub fn node(
        &self,
        node: &Node,
        path: &mut Vec<String>,
        wanted: &dyn Fn(&[String]) -> bool,
    ) -> Result<Node> {
        let kind = match &node.kind {
            Kind::Scalar(Json::String(text)) if text.contains("{{") || text.contains("{%") => {
                if !wanted(path) {
                    return Ok(node.clone());
                }
                return Ok(from_json(&self.text(text, node)?, node));
            }
            Kind::Scalar(json) => Kind::Scalar(json.clone()),
            Kind::List(items) => {
                Kind::List(items.iter().map(|item| self.node(item, path, wanted)).collect::<Result<_>>()?)
            }
            Kind::Map(entries) => {
                let mut rendered = Vec::with_capacity(entries.len());
                for (key, value) in entries {
                    path.push(key.text.clone());
                    let value = self.node(value, path, wanted);
                    path.pop();
                    rendered.push((key.clone(), value?));
                }
                Kind::Map(rendered)
            }
        };
        Ok(Node { place: node.place.clone(), kind })
    }

    fn text(&self, text: &str, node: &Node) -> Result<Json> {
        self.native(text).map_err(|problem| problem.at(&node.place).into())
    }

    /// Renders one text to a value.
    pub fn native(&self, text: &str) -> std::result::Result<Json, Problem> {
        let parsed = template(text, &"value".into(), Spot { line: 1, column: 1 });
        let host = Rc::new(BaseHost(self.base.clone()));
        let value = parsed.and_then(|parsed| Interpreter::new(host).render_native(&parsed, &[]));
        match value {
            Ok(Value::Undefined(_)) => Ok(Json::String(String::new())),
            Ok(value) => Ok(value.to_json()),
            Err(mut error) => {
                // The place within the text says nothing to a person; the caller has the text's own.
                (error.spot, error.file) = (None, None);
                Err(Problem::from_jinja(error, |_| None))
            }
        }
    }
}

fn from_json(json: &Json, at: &Node) -> Node {
    let kind = match json {
        Json::Array(items) => Kind::List(items.iter().map(|item| from_json(item, at)).collect()),
        Json::Object(entries) => Kind::Map(
            entries
                .iter()
                .map(|(key, value)| {
                    (crate::yaml::Key { text: key.clone(), place: at.place.clone() }, from_json(value, at))
                })
                .collect(),
        ),
        scalar => Kind::Scalar(scalar.clone()),
    };
    Node { place: at.place.clone(), kind }
}
