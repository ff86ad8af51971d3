//! The environment: `.env`, `${VAR}` in values, and `MILLSTREAM__A__B=…` that sets a key.

use std::{collections::BTreeMap, path::Path};

use super::{
    error::{ConfigError, Problem, ProblemKind},
    place::Place,
    tree::{self, Key, Kind, Node},
};

/// What begins the name of a variable that sets a key.
const OVERRIDE_PREFIX: &str = "MILLSTREAM__";

/// Variables by name. The process's own come before those of `.env`.
#[derive(Debug, Clone, Default)]
pub struct Variables {
    values: BTreeMap<String, String>,
}

impl Variables {
    /// The process's environment and the project's `.env`, which need not exist.
    pub fn load(dir: &Path) -> Result<Self, ConfigError> {
        let path = dir.join(".env");
        let mut values = match std::fs::read_to_string(&path) {
            Ok(text) => parse_dot_env(&text)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(source) => return Err(ConfigError::Unreadable { path, source }),
        };
        // A variable that is not UTF-8 can't be meant by a file that is.
        for (name, value) in std::env::vars_os() {
            if let (Ok(name), Ok(value)) = (name.into_string(), value.into_string()) {
                values.insert(name, value);
            }
        }
        Ok(Variables { values })
    }

    /// From pairs.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Variables { values: pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect() }
    }

    /// The value of one.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Replaces `${VAR}` and `${VAR:-default}`; `$${` stands for `${`. As in a shell, the default also holds for an empty variable.
    fn interpolate(&self, text: &str, place: &Place) -> Result<String, Problem> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            if rest[..at].ends_with('$') {
                out.push_str(&rest[..at]);
                out.push('{');
                rest = &rest[at + 2..];
                continue;
            }
            out.push_str(&rest[..at]);
            let inner = &rest[at + 2..];
            let bad = |message: String| {
                Problem::new(ProblemKind::BadValue, message, Some(place.clone()))
                    .hint("write ${NAME} or ${NAME:-default}; a literal ${ is written $${")
            };
            let end = inner.find('}').ok_or_else(|| bad("`${` without `}`".into()))?;
            let (name, fallback) = match inner[..end].split_once(":-") {
                Some((name, fallback)) => (name, Some(fallback)),
                None => (&inner[..end], None),
            };
            if !is_variable_name(name) {
                return Err(bad(format!("`{name}` can't be the name of a variable")));
            }
            match (self.values.get(name), fallback) {
                (Some(value), None) => out.push_str(value),
                (Some(value), Some(_)) if !value.is_empty() => out.push_str(value),
                (_, Some(fallback)) => out.push_str(fallback),
                (None, None) => {
                    let message = format!("the variable {name} is not set");
                    return Err(Problem::new(ProblemKind::UnsetVariable, message, Some(place.clone())).hint(
                        format!("set it in the environment or in .env, or give a default: ${{{name}:-…}}"),
                    ));
                }
            }
            rest = &inner[end + 1..];
        }
        out.push_str(rest);
        Ok(out)
    }

    /// Interpolates every value below; keys are left as typed.
    pub(super) fn apply(&self, node: &mut Node, problems: &mut Vec<Problem>) {
        match &mut node.kind {
            Kind::Scalar { text, .. } => {
                if text.contains("${") {
                    match self.interpolate(text, &node.place) {
                        Ok(value) => *text = value,
                        Err(problem) => problems.push(problem),
                    }
                }
            }
            Kind::List(items) => items.iter_mut().for_each(|item| self.apply(item, problems)),
            Kind::Map(entries) => entries.iter_mut().for_each(|(_, value)| self.apply(value, problems)),
        }
    }

    /// Sets the keys that `MILLSTREAM__…` variables name.
    pub(super) fn override_keys(&self, root: &mut Node, problems: &mut Vec<Problem>) {
        for (name, value) in &self.values {
            let Some(path) = name.strip_prefix(OVERRIDE_PREFIX) else { continue };
            let place = Place::Variable(name.as_str().into());
            match tree::parse(name, value) {
                Ok(mut node) => {
                    // A value such as a URL is a text whatever YAML might read in it; lists and mappings are written as in the file.
                    if value.trim_start().starts_with(['[', '{']) {
                        relocate(&mut node, &place);
                    } else {
                        let kind = Kind::Scalar { text: value.trim().to_owned(), quoted: false };
                        node = Node { place: place.clone(), kind };
                    }
                    set(root, &path.split("__").collect::<Vec<_>>(), node, &place, problems);
                }
                Err(_) => {
                    let kind = Kind::Scalar { text: value.trim().to_owned(), quoted: false };
                    let node = Node { place: place.clone(), kind };
                    set(root, &path.split("__").collect::<Vec<_>>(), node, &place, problems);
                }
            }
        }
    }
}

fn relocate(node: &mut Node, place: &Place) {
    node.place = place.clone();
    match &mut node.kind {
        Kind::Scalar { .. } => {}
        Kind::List(items) => items.iter_mut().for_each(|item| relocate(item, place)),
        Kind::Map(entries) => entries.iter_mut().for_each(|(key, value)| {
            key.place = place.clone();
            relocate(value, place);
        }),
    }
}

fn set(node: &mut Node, path: &[&str], value: Node, place: &Place, problems: &mut Vec<Problem>) {
    let Some((name, rest)) = path.split_first() else {
        *node = value;
        return;
    };
    if node.is_null() {
        node.kind = Kind::Map(Vec::new());
    }
    let Kind::Map(entries) = &mut node.kind else {
        let message = format!("`{name}` can't be set inside {}", node.describe());
        problems.push(Problem::new(ProblemKind::WrongType, message, Some(place.clone())));
        return;
    };
    // A key that is there already is meant in whatever case; a new one is lower case, as all keys of the file are.
    let at = entries.iter().position(|(key, _)| key.text.eq_ignore_ascii_case(name)).unwrap_or_else(|| {
        let key = Key { text: name.to_ascii_lowercase(), place: place.clone() };
        entries.push((key, Node { place: place.clone(), kind: Kind::Map(Vec::new()) }));
        entries.len() - 1
    });
    set(&mut entries[at].1, rest, value, place, problems);
}

fn is_variable_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// `NAME=value` lines; `export` in front, comments and quotes as a shell has them.
fn parse_dot_env(text: &str) -> Result<BTreeMap<String, String>, Problem> {
    let mut values = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        // The line may hold a secret: its place is shown, its text is not.
        let wrong = |message: &str| {
            Problem::new(ProblemKind::DotEnv, format!("line {} of .env {message}", index + 1), None)
                .hint("write one NAME=value a line")
        };
        let assignment = trimmed.strip_prefix("export ").unwrap_or(trimmed);
        let (name, value) = assignment.split_once('=').ok_or_else(|| wrong("has no `=`"))?;
        let (name, value) = (name.trim(), value.trim());
        if !is_variable_name(name) {
            return Err(wrong("does not begin with the name of a variable"));
        }
        let value = match value.chars().next() {
            Some('\'') => quoted(value, '\'').ok_or_else(|| wrong("has a quote that does not end"))?,
            Some('"') => quoted(value, '"').ok_or_else(|| wrong("has a quote that does not end"))?,
            _ => value.find(" #").map_or(value, |at| value[..at].trim_end()).to_owned(),
        };
        values.insert(name.to_owned(), value);
    }
    Ok(values)
}

/// The text between the quotes; in double quotes a backslash escapes.
fn quoted(value: &str, quote: char) -> Option<String> {
    let mut out = String::new();
    let mut chars = value.chars().skip(1);
    while let Some(c) = chars.next() {
        match c {
            _ if c == quote => return Some(out),
            '\\' if quote == '"' => match chars.next()? {
                'n' => out.push('\n'),
                't' => out.push('\t'),
                other => out.push(other),
            },
            _ => out.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interpolate(text: &str) -> Result<String, Problem> {
        let variables = Variables::from_pairs([("HOST", "db"), ("EMPTY", "")]);
        variables.interpolate(text, &Place::Variable("x".into()))
    }

    #[test]
    fn variables_defaults_and_escapes_are_read() {
        assert_eq!(interpolate("a-${HOST}-${PORT:-5432}").unwrap(), "a-db-5432");
        assert_eq!(interpolate("${EMPTY}|${EMPTY:-full}").unwrap(), "|full");
        assert_eq!(interpolate("$${HOST} $5").unwrap(), "${HOST} $5");
        assert_eq!(interpolate("${NONE}").unwrap_err().kind, ProblemKind::UnsetVariable);
        assert_eq!(interpolate("${HOST").unwrap_err().kind, ProblemKind::BadValue);
        assert_eq!(interpolate("${1x}").unwrap_err().kind, ProblemKind::BadValue);
    }

    #[test]
    fn dot_env_reads_what_a_shell_would() {
        let values = parse_dot_env(
            "# c\nA=1\nexport B = two words # c\nC='a # b'\nD=\"x\\\"y\\n\"\n\nURL=postgres://u:p#w@h/d\n",
        )
        .unwrap();
        let expected = [
            ("A", "1"),
            ("B", "two words"),
            ("C", "a # b"),
            ("D", "x\"y\n"),
            ("URL", "postgres://u:p#w@h/d"),
        ];
        assert_eq!(values, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        for text in ["A", "1A=2", "A='x"] {
            let problem = parse_dot_env(text).unwrap_err();
            assert_eq!(problem.kind, ProblemKind::DotEnv);
            assert!(!problem.message.contains('x'), "shows a value: {}", problem.message);
        }
    }

    #[test]
    fn an_override_sets_a_key_whatever_its_case_and_makes_what_is_missing() {
        let mut root = tree::parse("f", "source: {postgres: {slot: a}}").unwrap();
        let variables = Variables::from_pairs([
            ("MILLSTREAM__SOURCE__POSTGRES__SLOT", "b"),
            ("MILLSTREAM__LOG__MAX_BYTES", "1GB"),
            ("MILLSTREAM__SOURCE__POSTGRES__TABLES", "[a.b, c.*]"),
            ("MILLSTREAM__SOURCE__POSTGRES__URL", "host=x password='a: b'"),
        ]);
        let mut problems = Vec::new();
        variables.override_keys(&mut root, &mut problems);
        assert!(problems.is_empty());
        let text = |path: &[&str]| {
            let node = path.iter().fold(&root, |node, key| node.get(key).unwrap());
            match &node.kind {
                Kind::Scalar { text, .. } => text.clone(),
                Kind::List(items) => format!("{} items", items.len()),
                Kind::Map(_) => "map".into(),
            }
        };
        assert_eq!(text(&["source", "postgres", "slot"]), "b");
        assert_eq!(text(&["log", "max_bytes"]), "1GB");
        assert_eq!(text(&["source", "postgres", "tables"]), "2 items");
        assert_eq!(text(&["source", "postgres", "url"]), "host=x password='a: b'");
    }
}
