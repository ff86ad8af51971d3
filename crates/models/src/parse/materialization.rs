//! `materialization` blocks: what a project says of how a model becomes a relation, and which of them a model is built by.

use std::sync::Arc;

use super::{
    macros::{MacroEntry, Macros, LIBRARY},
    names,
    node::Node,
};
use crate::{
    error::{Problem, ProblemKind},
    place::nearest,
    project::Adapter,
};

/// Those that dbt has for DuckDB alone.
const OF_DUCKDB: &[&str] = &["table", "incremental", "external", "table_function"];

/// Those that it has for all warehouses. One for the warehouse is nearer than one for all.
const FOR_ALL: &[&str] = &[
    "table",
    "incremental",
    "view",
    "materialized_view",
    "seed",
    "snapshot",
    "test",
    "unit",
    "clone",
    "function",
];

/// Those that are done here.
const DONE: &[&str] = &["view", "table", "incremental", "test", "seed", "snapshot"];

/// Models whose rows are in files: there is no other way for them than macros.
const EXTERNAL: &str = "external";

/// The one that is done where the warehouse has it.
const MATERIALIZED_VIEW: &str = "materialized_view";

/// What is done natively whatever a project says.
const NATIVE: &[&str] = &["unit", "clone", "function"];

/// The opening tag of a materialization, behind the keyword.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head {
    name: String,
    adapter: String,
    pub(crate) languages: Vec<String>,
}

impl Head {
    /// Reads `name, default` or `name, adapter='duckdb', supported_languages=['sql']`.
    ///
    /// Errors: it is neither.
    pub(crate) fn of(header: &str) -> Result<Self, Problem> {
        let wrong = |what: String| {
            Problem::new(ProblemKind::Template, what)
                .hint("it begins as {% materialization NAME, default %} or {% materialization NAME, adapter='duckdb' %}")
        };
        let mut parts = split(header).into_iter();
        let name = parts.next().unwrap_or_default().to_owned();
        if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || c == '_') {
            return Err(wrong(format!("`{name}` is no name of a materialization")));
        }
        let mut head = Head { name, adapter: "default".into(), languages: vec!["sql".into()] };
        for part in parts {
            match part.split_once('=').map(|(key, value)| (key.trim(), value.trim())) {
                None if part == "default" => {}
                Some(("adapter", value)) => head.adapter = unquoted(value).to_owned(),
                Some(("supported_languages", value)) => {
                    let list = value.trim_matches(['[', ']', '(', ')']);
                    head.languages =
                        split(list).into_iter().map(|language| unquoted(language).to_owned()).collect();
                }
                _ => return Err(wrong(format!("`{part}` says nothing of a materialization"))),
            }
        }
        Ok(head)
    }

    /// An error for one in the place of what is not done in macros here.
    pub(crate) fn check(&self) -> Result<(), Problem> {
        if NATIVE.contains(&self.name.as_str()) {
            let message =
                format!("a materialization `{}` of a project's own is not supported yet", self.name);
            return Err(Problem::new(ProblemKind::Unsupported, message));
        }
        Ok(())
    }

    /// The block as the macro that it is. The tag has as many lines as it had: places within the block stay.
    pub(crate) fn as_macro(&self, source: &str, contents: usize) -> String {
        let lines = "\n".repeat(source[..contents].matches('\n').count());
        let body = &source[contents..];
        let close = body.rfind("endmaterialization").unwrap_or(body.len());
        let end = body.get(close..).unwrap_or_default().replacen("endmaterialization", "endmacro", 1);
        format!("{{% macro {}(){lines} %}}{}{end}", macro_name(&self.name, &self.adapter), &body[..close])
    }
}

/// The parts of a list, without the blank around them; a comma within brackets or quotes parts nothing.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut from, mut depth, mut quote) = (Vec::new(), 0, 0, None);
    for (at, c) in text.char_indices() {
        match c {
            _ if quote == Some(c) => quote = None,
            _ if quote.is_some() => {}
            '\'' | '"' => quote = Some(c),
            '[' | '(' => depth += 1,
            ']' | ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(text[from..at].trim());
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[from..].trim());
    parts.retain(|part| !part.is_empty());
    parts
}

fn unquoted(text: &str) -> &str {
    text.trim_matches(['\'', '"'])
}

fn macro_name(name: &str, adapter: &str) -> String {
    format!("materialization_{name}_{adapter}")
}

/// What a node of some materialization is built by.
#[derive(Debug, Clone)]
pub enum Materialization {
    /// What this program does natively.
    Native,
    /// A macro: the project's, or the library's where a project has parts of its own.
    Macro(Arc<MacroEntry>),
    /// One of dbt's that isn't done.
    NotDone,
    /// There is none of this name.
    Unknown,
}

/// What a node is built by. dbt takes the materialization that is nearest: first one for the warehouse, then one for all; of these first the root project's, then dbt's.
/// A package's is taken only where dbt has none, or where a flag says that it goes before dbt's.
///
/// Errors: two packages have it.
pub fn find(macros: &Macros, root: &str, warehouse: Adapter, name: &str) -> Result<Materialization, Problem> {
    let of_warehouse = warehouse == Adapter::DuckDb && OF_DUCKDB.contains(&name);
    let built_in = (of_warehouse || FOR_ALL.contains(&name)).then_some(of_warehouse);
    let adapter = warehouse.name();
    for (adapter, for_warehouse) in [(adapter, true), ("default", false)] {
        let full = macro_name(name, adapter);
        if let Some(own) = macros.of_package(root, &full) {
            return Ok(Materialization::Macro(own.clone()));
        }
        if built_in.is_none() || macros.packages_override {
            let mut others = macros.all.iter().filter(|entry| entry.name == full && entry.package != LIBRARY);
            if let Some(first) = others.next() {
                if let Some(second) = others.next() {
                    let message = format!(
                        "the packages `{}` and `{}` both have a materialization `{name}`",
                        first.package, second.package
                    );
                    return Err(Problem::new(ProblemKind::Duplicate, message));
                }
                return Ok(Materialization::Macro(first.clone()));
            }
        }
        if built_in == Some(for_warehouse) {
            if warehouse == Adapter::Postgres && name == MATERIALIZED_VIEW && !macros.has_own_parts_of(name) {
                return Ok(Materialization::Native);
            }
            if name == EXTERNAL {
                return Ok(of_library(macros, name)
                    .map_or(Materialization::NotDone, |entry| Materialization::Macro(entry.clone())));
            }
            if !DONE.contains(&name) {
                return Ok(Materialization::NotDone);
            }
            return Ok(match of_library(macros, name).filter(|_| macros.has_own_parts_of(name)) {
                Some(entry) => Materialization::Macro(entry.clone()),
                None => Materialization::Native,
            });
        }
    }
    Ok(Materialization::Unknown)
}

/// Whether dbt has a materialization of this name.
pub fn is_built_in(name: &str) -> bool {
    OF_DUCKDB.contains(&name) || FOR_ALL.contains(&name)
}

/// The library's macro for what is otherwise built natively.
pub fn of_library<'m>(macros: &'m Macros, name: &str) -> Option<&'m Arc<MacroEntry>> {
    macros.of_package(LIBRARY, &macro_name(name, "default"))
}

/// That there is no materialization of the name that a model says.
pub fn unknown(macros: &Macros, node: &Node) -> Problem {
    let own = macros.all.iter().filter(|entry| entry.languages.is_some());
    let own = own.filter_map(|entry| entry.name.strip_prefix("materialization_")?.rsplit_once('_'));
    let known = own.map(|(name, _)| name).chain(["ephemeral"]);
    let name = node.materialized();
    let message = format!("there is no materialization `{name}`");
    let problem = Problem::new(ProblemKind::Missing, message).around(names::describe(node));
    match nearest(name, known) {
        Some(meant) => problem.hint(format!("did you mean `{meant}`?")),
        None => problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_names_its_adapter_and_languages() {
        let head = Head::of("kept, adapter=\"duckdb\", supported_languages=['sql', 'python']").unwrap();
        assert_eq!((head.name.as_str(), head.adapter.as_str()), ("kept", "duckdb"));
        assert_eq!(head.languages, ["sql", "python"]);
        assert_eq!(Head::of("kept, default").unwrap().adapter, "default");
        let source = "{% materialization kept,\n default -%}\na{% endmaterialization %}";
        let made = Head::of("kept, default").unwrap().as_macro(source, source.find("\na").unwrap());
        assert_eq!(made, "{% macro materialization_kept_default()\n %}\na{% endmacro %}");
        for wrong in ["", "a b, default", "a, warehouse='x'"] {
            assert!(Head::of(wrong).is_err(), "{wrong}");
        }
    }
}
