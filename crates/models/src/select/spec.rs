//! The grammar of a selection: `2+tag:nightly+1,config.materialized:table @orders`.

use crate::error::{Problem, ProblemKind, Result};

/// Which tests go with what is selected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Indirect {
    /// Those that read anything selected.
    #[default]
    Eager,
    /// Those that read nothing else.
    Cautious,
    /// Those that read nothing but it and what it is built from.
    Buildable,
    /// None.
    Empty,
}

impl Indirect {
    /// By its name.
    pub fn parse(text: &str) -> Result<Self> {
        match text.to_lowercase().as_str() {
            "eager" => Ok(Indirect::Eager),
            "cautious" => Ok(Indirect::Cautious),
            "buildable" => Ok(Indirect::Buildable),
            "empty" => Ok(Indirect::Empty),
            other => Err(wrong(format!(
                "indirect selection is eager, cautious, buildable or empty, not `{other}`"
            ))),
        }
    }
}

fn wrong(message: String) -> crate::error::ModelsError {
    Problem::new(ProblemKind::Selection, message).into()
}

/// One method with its graph operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Criteria {
    /// As written.
    pub raw: String,
    /// The method: `tag`, `path`, `config`, `fqn` and so on.
    pub method: String,
    /// What follows the method behind a dot: `config.materialized`.
    pub arguments: Vec<String>,
    /// What is looked for.
    pub value: String,
    /// `@`: with all children and all that these are built from.
    pub childrens_parents: bool,
    /// `+` in front.
    pub parents: bool,
    /// How far.
    pub parents_depth: Option<usize>,
    /// `+` behind.
    pub children: bool,
    /// How far.
    pub children_depth: Option<usize>,
    /// Which tests go with it.
    pub indirect: Indirect,
}

/// A selection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spec {
    /// One method.
    Criteria(Criteria),
    /// All of them together.
    Union {
        /// What is combined.
        parts: Vec<Spec>,
        /// Which tests wait for the rest of what they read.
        indirect: Indirect,
        /// As written, where finding nothing is to be told.
        raw: Option<String>,
    },
    /// What all of them have.
    Intersection {
        /// What is combined.
        parts: Vec<Spec>,
        /// Which tests wait for the rest of what they read.
        indirect: Indirect,
        /// As written, where finding nothing is to be told.
        raw: Option<String>,
    },
    /// The first without the others.
    Difference {
        /// What is combined.
        parts: Vec<Spec>,
        /// Which tests wait for the rest of what they read.
        indirect: Indirect,
        /// As written, where finding nothing is to be told.
        raw: Option<String>,
    },
}

/// Methods that there are.
const METHODS: &[&str] = &[
    "fqn",
    "tag",
    "group",
    "access",
    "source",
    "path",
    "file",
    "package",
    "config",
    "test_name",
    "test_type",
    "resource_type",
    "exposure",
    "unit_test",
    "version",
    "state",
    "result",
    "source_status",
];

/// Methods of dbt's that are not done yet.
const LATER: &[&str] = &["metric", "semantic_model", "saved_query", "wildcard"];

impl Criteria {
    /// Reads one method with its graph operators.
    pub fn parse(raw: &str, indirect: Indirect) -> Result<Self> {
        let mut rest = raw;
        let childrens_parents = rest.starts_with('@');
        rest = rest.strip_prefix('@').unwrap_or(rest);
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (mut parents, mut parents_depth) = (false, None);
        if let Some(after) = rest[digits..].strip_prefix('+') {
            (parents, parents_depth) = (true, rest[..digits].parse().ok());
            rest = after;
        }
        let digits = rest.len() - rest.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        let (mut children, mut children_depth) = (false, None);
        if let Some(before) = rest[..rest.len() - digits].strip_suffix('+') {
            (children, children_depth) = (true, rest[rest.len() - digits..].parse().ok());
            rest = before;
        }
        if childrens_parents && children {
            return Err(wrong(format!("`@` in front and `+` behind don't go together: `{raw}`")));
        }
        let is_method = |text: &str| {
            !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.')
        };
        let (method, value) = match rest.split_once(':') {
            Some((method, value)) if is_method(method) => (method, value),
            _ => (default_method(rest), rest),
        };
        if value.is_empty() {
            return Err(wrong(format!("`{raw}` selects nothing")));
        }
        Self::new(raw, method, value, indirect).map(|mut criteria| {
            criteria.childrens_parents = childrens_parents;
            (criteria.parents, criteria.parents_depth) = (parents, parents_depth);
            (criteria.children, criteria.children_depth) = (children, children_depth);
            criteria
        })
    }

    /// A method without graph operators.
    pub fn new(raw: &str, method: &str, value: &str, indirect: Indirect) -> Result<Self> {
        let mut parts = method.split('.').map(str::to_owned);
        let method = parts.next().unwrap_or_default();
        if LATER.contains(&method.as_str()) {
            let message = format!("the method `{method}` of a selection is not supported yet");
            return Err(Problem::new(ProblemKind::Unsupported, message).into());
        }
        if !METHODS.contains(&method.as_str()) {
            let mut problem = Problem::new(
                ProblemKind::Selection,
                format!("`{method}` is no method of a selection: `{raw}`"),
            );
            if let Some(meant) = crate::place::nearest(&method, METHODS.iter().copied()) {
                problem = problem.hint(format!("did you mean `{meant}:`?"));
            }
            return Err(problem.into());
        }
        Ok(Criteria {
            raw: raw.to_owned(),
            method,
            arguments: parts.collect(),
            value: value.to_owned(),
            childrens_parents: false,
            parents: false,
            parents_depth: None,
            children: false,
            children_depth: None,
            indirect,
        })
    }
}

/// What is meant without a method: a path, a file or a name.
fn default_method(value: &str) -> &'static str {
    let lower = value.to_lowercase();
    if value.contains('/') {
        "path"
    } else if [".sql", ".py", ".csv"].iter().any(|ending| lower.ends_with(ending)) {
        "file"
    } else {
        "fqn"
    }
}

impl Spec {
    /// Reads the arguments of `--select` and `--exclude`. Without any the defaults are used: everything of the graph.
    pub fn parse(select: &[String], exclude: &[String], indirect: Indirect) -> Result<Self> {
        let include = if select.is_empty() {
            let all = ["fqn:*", "source:*", "exposure:*"]
                .iter()
                .map(|raw| Criteria::parse(raw, indirect).map(Spec::Criteria))
                .collect::<Result<_>>()?;
            Spec::Union { parts: all, indirect, raw: None }
        } else {
            Self::union(select, indirect, true)?
        };
        let exclude = Self::union(exclude, indirect, false)?;
        Ok(Spec::Difference { parts: vec![include, exclude], indirect, raw: None })
    }

    /// Blanks join, commas intersect.
    pub fn union(raws: &[String], indirect: Indirect, told: bool) -> Result<Self> {
        let mut parts = Vec::new();
        for raw in raws.iter().flat_map(|raw| raw.split(' ')).filter(|raw| !raw.is_empty()) {
            let all = raw
                .split(',')
                .map(|part| Criteria::parse(part, indirect).map(Spec::Criteria))
                .collect::<Result<_>>()?;
            parts.push(Spec::Intersection { parts: all, indirect, raw: told.then(|| raw.to_owned()) });
        }
        Ok(Spec::Union { parts, indirect, raw: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(raw: &str) -> Criteria {
        Criteria::parse(raw, Indirect::Eager).unwrap()
    }

    #[test]
    fn operators_and_methods_are_told_apart() {
        let criteria = of("2+tag:nightly+13");
        assert_eq!((criteria.parents_depth, criteria.children_depth), (Some(2), Some(13)));
        assert_eq!((criteria.method.as_str(), criteria.value.as_str()), ("tag", "nightly"));
        let criteria = of("config.meta.owner:a:b");
        assert_eq!((criteria.arguments.join("."), criteria.value.as_str()), ("meta.owner".into(), "a:b"));
        assert!(of("@orders").childrens_parents);
        assert!(of("+orders").parents && of("+orders").parents_depth.is_none());
        assert_eq!(of("orders_2").value, "orders_2");
        assert_eq!(of("3orders").value, "3orders");
        assert_eq!(of("models/a.sql").method, "path");
        assert_eq!(of("a.sql").method, "file");
        assert_eq!(of("marts.orders").method, "fqn");
    }

    #[test]
    fn what_has_no_meaning_is_refused() {
        for raw in ["@orders+", "tga:x", "tag:", "+"] {
            assert!(Criteria::parse(raw, Indirect::Eager).is_err(), "{raw}");
        }
        let error = Criteria::parse("tga:x", Indirect::Eager).unwrap_err();
        assert!(error.describe().contains("did you mean `tag:`?"), "{}", error.describe());
    }
}
