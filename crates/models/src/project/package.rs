//! `dbt_project.yml`.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json};

use super::{files, render::Renderer};
use crate::{
    error::{ModelsError, Problem, ProblemKind, Result},
    place::nearest,
    yaml::{self, Key, Kind, Node},
};

/// A package: the root project or one of its dependencies.
#[derive(Debug, Clone)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version as written.
    pub version: Option<String>,
    /// Where it is.
    pub root: PathBuf,
    /// Relative to the root project; empty for that itself.
    pub relative_root: String,
    /// The profile that it names.
    pub profile: Option<String>,
    /// Directories, relative to `root`.
    pub paths: Paths,
    /// Configurations by folder: `models`, `seeds`, `snapshots`, `sources`, `tests`, `exposures`, `unit_tests`.
    pub configs: Map<String, Json>,
    /// The same as written, not rendered.
    pub unrendered: Map<String, Json>,
    /// Variables.
    pub vars: Map<String, Json>,
    /// Where macros of a namespace are looked for first.
    pub dispatch: Vec<(String, Vec<String>)>,
    /// Statements before everything.
    pub on_run_start: Vec<String>,
    /// Statements after everything.
    pub on_run_end: Vec<String>,
    /// Quoting of relations.
    pub quoting: Map<String, Json>,
    /// Flags set in the project.
    pub flags: Map<String, Json>,
    /// The comment that statements carry: `None` where it is dbt's own.
    pub query_comment: Option<Json>,
    /// Whether only what it declares public may be referred to from other packages.
    pub restrict_access: bool,
    /// Keys of `dbt_project.yml` that stand twice.
    pub again: Vec<Key>,
    /// Keys of it that dbt means to give up, with dbt's names for that.
    pub old_keys: Vec<(&'static str, &'static str)>,
    /// What `dbt_project.yml` holds.
    pub text: std::sync::Arc<crate::place::Text>,
}

/// A package's directories.
#[derive(Debug, Clone)]
pub struct Paths {
    /// Models.
    pub models: Vec<String>,
    /// Macros.
    pub macros: Vec<String>,
    /// Seeds.
    pub seeds: Vec<String>,
    /// Tests.
    pub tests: Vec<String>,
    /// Analyses.
    pub analyses: Vec<String>,
    /// Snapshots.
    pub snapshots: Vec<String>,
    /// Functions of the warehouse.
    pub functions: Vec<String>,
    /// Docs; models, seeds, snapshots, analyses and macros where not given.
    pub docs: Vec<String>,
    /// Directories that are copied beside the docs.
    pub assets: Vec<String>,
    /// What is written goes here.
    pub target: String,
    /// Where dependencies are found.
    pub packages: String,
    /// What `clean` removes.
    pub clean: Vec<String>,
}

const KEYS: &[&str] = &[
    "name",
    "version",
    "config-version",
    "profile",
    "project-root",
    "source-paths",
    "model-paths",
    "macro-paths",
    "data-paths",
    "seed-paths",
    "test-paths",
    "analysis-paths",
    "docs-paths",
    "asset-paths",
    "snapshot-paths",
    "function-paths",
    "target-path",
    "log-path",
    "packages-install-path",
    "clean-targets",
    "quoting",
    "on-run-start",
    "on-run-end",
    "require-dbt-version",
    "dispatch",
    "models",
    "seeds",
    "snapshots",
    "sources",
    "tests",
    "data_tests",
    "analyses",
    "metrics",
    "semantic-models",
    "saved-queries",
    "exposures",
    "unit_tests",
    "functions",
    "vars",
    "packages",
    "query-comment",
    "restrict-access",
    "dbt-cloud",
    "flags",
    "anchors",
];

/// The versions of dbt whose projects this program means to run: what `require-dbt-version` is compared with.
pub const DBT_VERSION: &str = "1.11.16";

/// The adapters that this program does the same as, and their versions.
pub const ADAPTERS: [(&str, &str); 2] = [("duckdb", "1.11.1"), ("postgres", "1.11.0")];

fn texts(node: Option<&Node>, default: &[&str]) -> Result<Vec<String>> {
    let Some(node) = node.filter(|node| !node.is_null()) else {
        return Ok(default.iter().map(|text| (*text).to_owned()).collect());
    };
    let items = match &node.kind {
        Kind::List(items) => items.iter().collect(),
        _ => vec![node],
    };
    let text = |node: &&Node| match node.as_str() {
        Some(text) => Ok(text.to_owned()),
        None => Err(node.wrong(format!("expected a text, found {}", node.describe())).into()),
    };
    items.iter().map(text).collect()
}

fn object(node: Option<&Node>) -> Result<Map<String, Json>> {
    match node {
        None => Ok(Map::new()),
        Some(node) => match node.to_json() {
            Json::Object(map) => Ok(map),
            Json::Null => Ok(Map::new()),
            _ => Err(node.wrong(format!("expected a mapping, found {}", node.describe())).into()),
        },
    }
}

impl Package {
    /// Reads a package's `dbt_project.yml`. `relative` is its directory from the root project, empty for that itself.
    pub fn read(dir: &Path, relative: &str, renderer: &Renderer) -> Result<Self> {
        let path = dir.join("dbt_project.yml");
        if !path.exists() {
            return Err(Problem::new(
                ProblemKind::Configuration,
                format!("no dbt_project.yml in {}", dir.display()),
            )
            .hint("run this in a dbt project, or name one with --project-dir")
            .into());
        }
        let name = if relative.is_empty() {
            "dbt_project.yml".to_owned()
        } else {
            format!("{relative}/dbt_project.yml")
        };
        let text_of_file = files::read(&path, &name)?;
        let (root, again) = yaml::checked(&text_of_file)?;
        if !matches!(root.kind, Kind::Map(_)) {
            return Err(root.wrong("dbt_project.yml is a mapping").into());
        }
        for (key, _) in root.entries() {
            if !KEYS.contains(&key.text.as_str()) {
                let mut problem = Problem::new(
                    ProblemKind::Configuration,
                    format!("`{}` is no key of dbt_project.yml", key.text),
                )
                .at(&key.place);
                if let Some(meant) = nearest(&key.text, KEYS.iter().copied()) {
                    problem = problem.hint(format!("did you mean `{meant}`?"));
                }
                return Err(problem.into());
            }
        }
        let rendered = renderer.project(&root)?;
        let get = |key: &str| rendered.get(key);
        let Some(name) = get("name").and_then(Node::as_str).map(str::to_owned) else {
            return Err(root.wrong("the project has no `name`").into());
        };
        if !is_name(&name) {
            let node = get("name").unwrap_or(&root);
            return Err(node
                .wrong(format!("`{name}` is no project name: letters, digits and _, no digit first"))
                .into());
        }
        check_required_version(get("require-dbt-version"))?;
        if relative.is_empty() {
            // A dependency's are without effect with dbt too.
            check_flags(get("flags"))?;
        }
        let either = |new: &str, old: &str| get(new).or_else(|| get(old)).cloned();
        let models = texts(either("model-paths", "source-paths").as_ref(), &["models"])?;
        let seeds = texts(either("seed-paths", "data-paths").as_ref(), &["seeds"])?;
        let macros = texts(get("macro-paths"), &["macros"])?;
        let tests = texts(get("test-paths"), &["tests"])?;
        let analyses = texts(get("analysis-paths"), &["analyses"])?;
        let snapshots = texts(get("snapshot-paths"), &["snapshots"])?;
        let functions = texts(get("function-paths"), &["functions"])?;
        let mut docs = texts(get("docs-paths"), &[])?;
        if docs.is_empty() {
            for dir in [&models, &seeds, &snapshots, &analyses, &macros].into_iter().flatten() {
                if !docs.contains(dir) {
                    docs.push(dir.clone());
                }
            }
        }
        let one = |key: &str, default: &str| get(key).and_then(Node::as_str).unwrap_or(default).to_owned();
        let (mut configs, mut unrendered) = (Map::new(), Map::new());
        for (section, keys) in [
            ("models", &["models"][..]),
            ("seeds", &["seeds"]),
            ("snapshots", &["snapshots"]),
            ("sources", &["sources"]),
            ("tests", &["data_tests", "tests"]),
            ("exposures", &["exposures"]),
            ("unit_tests", &["unit_tests"]),
        ] {
            let node = keys.iter().find_map(|key| get(key));
            configs.insert(section.to_owned(), Json::Object(object(node)?));
            let written = keys.iter().find_map(|key| root.get(key));
            unrendered.insert(section.to_owned(), Json::Object(object(written)?));
        }
        let mut dispatch = Vec::new();
        for entry in get("dispatch").map(Node::items).unwrap_or_default() {
            let namespace = entry.get("macro_namespace").and_then(Node::as_str);
            let Some(namespace) = namespace else {
                return Err(entry.wrong("a dispatch entry has a `macro_namespace`").into());
            };
            dispatch.push((namespace.to_owned(), texts(entry.get("search_order"), &[])?));
        }
        Ok(Package {
            version: get("version").map(|node| match node.to_json() {
                Json::String(text) => text,
                other => other.to_string(),
            }),
            root: dir.to_owned(),
            relative_root: relative.to_owned(),
            profile: get("profile").and_then(Node::as_str).map(str::to_owned),
            paths: Paths {
                models,
                macros,
                seeds,
                tests,
                analyses,
                snapshots,
                functions,
                docs,
                assets: texts(get("asset-paths"), &[])?,
                target: one("target-path", "target"),
                packages: one("packages-install-path", "dbt_packages"),
                clean: texts(get("clean-targets"), &[&one("target-path", "target")])?,
            },
            configs,
            unrendered,
            vars: object(get("vars"))?,
            dispatch,
            on_run_start: texts(get("on-run-start"), &[])?,
            on_run_end: texts(get("on-run-end"), &[])?,
            quoting: object(get("quoting"))?,
            flags: object(get("flags"))?,
            query_comment: get("query-comment").map(Node::to_json),
            restrict_access: get("restrict-access").is_some_and(|node| node.to_json() == Json::Bool(true)),
            again,
            old_keys: old_keys(rendered.entries()),
            text: text_of_file,
            name,
        })
    }
}

/// Flags of `dbt_project.yml` that change what is built or told, and the only value whose behaviour is done. `fail_fast`, `indirect_selection` and
/// `skip_nodes_if_on_run_start_fails` are kept to; all others concern dbt's own output, caches and logs.
const FLAGS_DONE: &[(&str, bool)] = &[
    ("require_resource_names_without_spaces", true),
    ("validate_macro_args", false),
    ("require_generic_test_arguments_property", true),
    ("require_unique_project_resource_names", false),
    ("require_ref_searches_node_package_before_root", false),
];

fn check_flags(node: Option<&Node>) -> Result<()> {
    for (key, value) in node.map(Node::entries).unwrap_or_default() {
        let json = value.to_json();
        let done = match (key.text.as_str(), FLAGS_DONE.iter().find(|(name, _)| *name == key.text)) {
            (_, Some((_, done))) => json == Json::Bool(*done) || json.is_null(),
            (_, None) => true,
        };
        if !done {
            let message = format!("the flag `{}` with this value is not supported yet", key.text);
            return Err(Problem::new(ProblemKind::Unsupported, message).at(&key.place).into());
        }
    }
    Ok(())
}

/// Keys that dbt means to give up, with its names for that. Those of directories that stay the usual ones are left alone.
const OLD_KEYS: &[(&str, &str, Option<&str>)] = &[
    ("source-paths", "ConfigSourcePathDeprecation", None),
    ("data-paths", "ConfigDataPathDeprecation", None),
    ("log-path", "ConfigLogPathDeprecation", Some("logs")),
    ("target-path", "ConfigTargetPathDeprecation", Some("target")),
];

/// Which of them a project says, by key and name.
fn old_keys(entries: &[(Key, Node)]) -> Vec<(&'static str, &'static str)> {
    let is_said = |key: &str, usual: Option<&str>| {
        let said = entries.iter().find(|(known, _)| known.text == key).map(|(_, value)| value);
        said.is_some_and(|value| usual.is_none() || value.as_str() != usual)
    };
    OLD_KEYS
        .iter()
        .filter(|(key, _, usual)| is_said(key, *usual))
        .map(|(key, event, _)| (*key, *event))
        .collect()
}

/// Whether a project can have this name.
pub fn is_name(name: &str) -> bool {
    let plain = name.chars().all(|c| c.is_alphanumeric() || c == '_');
    plain && !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit())
}

/// Compares `require-dbt-version` with the version whose behaviour this program has.
fn check_required_version(node: Option<&Node>) -> Result<()> {
    let Some(node) = node.filter(|node| !node.is_null()) else { return Ok(()) };
    let ours = version(DBT_VERSION).unwrap_or_default();
    for written in texts(Some(node), &[])? {
        for range in written.split(',') {
            let range = range.trim();
            let end = range.find(|c: char| c.is_ascii_digit()).unwrap_or(range.len());
            let (operator, wanted) = range.split_at(end);
            let Some(wanted) = version(wanted) else {
                return Err(node.wrong(format!("`{range}` is no range of versions")).into());
            };
            let fits = match operator.trim() {
                ">=" => ours >= wanted,
                ">" => ours > wanted,
                "<=" => ours <= wanted,
                "<" => ours < wanted,
                "=" | "==" | "" => ours == wanted,
                other => return Err(node.wrong(format!("`{other}` is no comparison of versions")).into()),
            };
            if !fits {
                return Err(ModelsError::from(
                    Problem::new(
                        ProblemKind::Configuration,
                        format!("this project requires dbt {written}; this program does what dbt {DBT_VERSION} does"),
                    )
                    .at(&node.place),
                ));
            }
        }
    }
    Ok(())
}

fn version(text: &str) -> Option<[u32; 3]> {
    let text = text.trim();
    let numbers = text.split(['a', 'b', 'r', '-', '+']).next()?;
    let mut parts = numbers.split('.');
    let mut number = || parts.next().map_or(Some(0), |part| part.parse().ok());
    Some([number()?, number()?, number()?])
}
