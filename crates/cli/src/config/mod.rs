//! `millstream.yml`: read once, checked wholly, resolved into plain structs.
//!
//! Text → [`tree`] (every node knows its place) → overrides and variables → [`check`] against [`shape::PROJECT`] → [`Project`].

mod access;
mod check;
mod dashboards;
mod endpoints;
mod error;
mod files;
mod json_schema;
mod place;
mod queries;
mod secret;
mod shape;
mod tables;
mod traces;
mod tree;
pub mod units;
mod variables;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

pub use access::{AccessSettings, AuthSettings, RoleSettings, TokenKey, TokenSettings};
pub(crate) use check::nearest;
pub(crate) use dashboards::{dashboard_files, read_dashboards};
pub(crate) use endpoints::{endpoint_files, read_endpoints};
pub use error::{ConfigError, Problem, ProblemKind};
pub use json_schema::{json_schema, SchemaOf};
pub use place::Place;
pub(crate) use queries::{query_files, read_queries};
pub use secret::{redact, Secret};
pub use tables::{OnUnrepresentable, Pattern, Selection, TableEntry, TableRules, TableSettings};
pub use traces::TraceSettings;
pub use variables::Variables;

use tree::{Kind, Node};

/// The name of the file.
pub const FILE_NAME: &str = "millstream.yml";

/// Where everything that is written by default goes, relative to the project.
pub const DATA_DIR: &str = "data";

/// A project, with every default filled in.
#[derive(Debug, Clone)]
pub struct Project {
    /// The project's directory.
    pub dir: PathBuf,
    /// Its name.
    pub name: String,
    /// Where the data comes from.
    pub source: PostgresSettings,
    /// The log.
    pub log: LogSettings,
    /// Where the data goes.
    pub warehouse: WarehouseSettings,
    /// Settings of tables.
    pub tables: TableRules,
    /// The models.
    pub models: ModelsSettings,
    /// The directory of the endpoints' files.
    pub api: PathBuf,
    /// Who may read what.
    pub access: AccessSettings,
    /// The directory of the dashboards' files.
    pub dashboards: PathBuf,
    /// The directory of the saved queries' files.
    pub queries: PathBuf,
    /// Where HTTP is served; `None`: nowhere.
    pub serve_http: Option<String>,
    /// Where PostgreSQL's clients are served; `None`: nowhere.
    pub serve_postgres: Option<SocketAddr>,
    /// What PostgreSQL's clients are shown when they ask for TLS.
    pub postgres_tls: Option<TlsSettings>,
    /// Where traces go; `None`: nothing is traced.
    pub traces: Option<TraceSettings>,
}

/// A certificate and its key.
#[derive(Debug, Clone)]
pub struct TlsSettings {
    /// The certificate's file.
    pub cert: PathBuf,
    /// The key's file.
    pub key: PathBuf,
}

/// How many nodes of a dbt project are built at a time: one computes on all processors, and another one prepares what comes next.
const MODEL_THREADS: usize = 2;

/// `models`.
#[derive(Debug, Clone)]
pub struct ModelsSettings {
    /// The directory that holds `dbt_project.yml`, or `models/` alone.
    pub path: PathBuf,
    /// The schema that a dbt project is built in where nothing else is said; `None`: that of the tables.
    pub schema: Option<String>,
    /// How many nodes of a dbt project are built at a time.
    pub threads: usize,
}

impl ModelsSettings {
    /// Whether the models are a dbt project.
    pub fn is_dbt(&self) -> bool {
        self.path.join("dbt_project.yml").is_file()
    }
}

/// `source.postgres`.
#[derive(Debug, Clone)]
pub struct PostgresSettings {
    /// How to connect.
    pub url: Secret,
    /// Where the URL is written, for errors.
    pub url_place: Place,
    /// The slot's name.
    pub slot: String,
    /// The publication's name.
    pub publication: String,
    /// Which tables.
    pub tables: Selection,
}

/// `log`.
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// Its directory.
    pub dir: PathBuf,
    /// How long what all readers are past is kept.
    pub retention: Duration,
    /// Bound on its size, in bytes.
    pub bytes_max: u64,
}

/// `warehouse`.
#[derive(Debug, Clone)]
pub struct WarehouseSettings {
    /// The DuckDB file.
    pub duckdb: PathBuf,
    /// The schema of all tables; `None`: the source's schema names.
    pub schema: Option<String>,
}

impl Project {
    /// Finds and reads the project: in `dir` if given, else in the working directory or the nearest one above it that has one.
    pub fn load(dir: Option<&Path>) -> Result<Self, ConfigError> {
        let dir = match dir {
            Some(dir) => {
                if !dir.join(FILE_NAME).is_file() {
                    return Err(ConfigError::NotHere(dir.to_owned()));
                }
                dir.to_owned()
            }
            None => {
                let here = std::env::current_dir()
                    .map_err(|source| ConfigError::Unreadable { path: ".".into(), source })?;
                let found = here.ancestors().find(|dir| dir.join(FILE_NAME).is_file());
                found.ok_or_else(|| ConfigError::NotFound(here.clone()))?.to_owned()
            }
        };
        // What the program writes must stay the project's whatever the working directory becomes.
        let dir =
            std::path::absolute(&dir).map_err(|source| ConfigError::Unreadable { path: dir, source })?;
        let path = dir.join(FILE_NAME);
        let text = std::fs::read_to_string(&path)
            .map_err(|source| ConfigError::Unreadable { path: path.clone(), source })?;
        let variables = Variables::load(&dir)?;
        Self::parse(&dir, &text, &variables)
    }

    /// Reads a project from the file's text.
    pub fn parse(dir: &Path, text: &str, variables: &Variables) -> Result<Self, ConfigError> {
        let mut root = tree::parse(FILE_NAME, text)?;
        let mut problems = Vec::new();
        variables.override_keys(&mut root, &mut problems);
        variables.apply(&mut root, &mut problems);
        if problems.is_empty() {
            problems = check::check(&root);
        }
        if !problems.is_empty() {
            return Err(ConfigError::Wrong(problems));
        }
        let mut project = Self::from_checked(dir, &root);
        project.traces = TraceSettings::of(&root, &project.name, variables)?;
        Ok(project)
    }

    /// The tree has passed [`check::check`], so that what is required is there and every value parses; the fallbacks below are the
    /// defaults that the shape documents.
    fn from_checked(dir: &Path, root: &Node) -> Self {
        let name = text_at(root, &["name"]).unwrap_or_default();
        let path_at = |path: &[&str], default: &str| dir.join(text_at(root, path).unwrap_or(default));
        let derived = || format!("millstream_{name}");
        let postgres = ["source", "postgres"];
        let at = |key: &'static str| [postgres[0], postgres[1], key];
        let url = at("url").iter().try_fold(root, |node, key| node.get(key));
        let patterns =
            match at("tables").iter().try_fold(root, |node, key| node.get(key)).map(|node| &node.kind) {
                Some(Kind::List(items)) => items.iter().filter_map(selection_pattern).collect(),
                _ => vec![(true, Pattern { text: "*".into(), place: root.place.clone() })],
            };
        let entries = match root.get("tables").map(|node| &node.kind) {
            Some(Kind::Map(entries)) => entries
                .iter()
                .map(|(key, node)| {
                    (Pattern { text: key.text.clone(), place: key.place.clone() }, table_entry(node))
                })
                .collect(),
            _ => Vec::new(),
        };
        Project {
            dir: dir.to_owned(),
            name: name.to_owned(),
            source: PostgresSettings {
                url: Secret::new(url.and_then(scalar).unwrap_or_default()),
                url_place: url.map_or_else(|| root.place.clone(), |node| node.place.clone()),
                slot: text_at(root, &at("slot")).map_or_else(derived, str::to_owned),
                publication: text_at(root, &at("publication")).map_or_else(derived, str::to_owned),
                tables: Selection { patterns },
            },
            log: LogSettings {
                dir: path_at(&["log", "dir"], "data/log"),
                retention: text_at(root, &["log", "retention"])
                    .and_then(units::parse_duration)
                    .unwrap_or(Duration::from_secs(7 * 86_400)),
                bytes_max: text_at(root, &["log", "max_bytes"])
                    .and_then(units::parse_size)
                    .unwrap_or(50_000_000_000),
            },
            warehouse: WarehouseSettings {
                duckdb: path_at(&["warehouse", "duckdb"], "data/warehouse.duckdb"),
                schema: text_at(root, &["warehouse", "schema"]).map(str::to_owned),
            },
            tables: TableRules { entries },
            models: ModelsSettings {
                path: path_at(&["models", "path"], "."),
                schema: text_at(root, &["models", "schema"]).map(str::to_owned),
                threads: text_at(root, &["models", "threads"])
                    .and_then(|text| text.parse().ok())
                    .unwrap_or(MODEL_THREADS),
            },
            api: path_at(&["api", "path"], "api"),
            access: AccessSettings::of(dir, root),
            dashboards: dir.join("dashboards"),
            queries: dir.join("queries"),
            serve_http: text_at(root, &["serve", "http"]).map(str::to_owned),
            serve_postgres: text_at(root, &["serve", "postgres"]).and_then(|text| text.parse().ok()),
            postgres_tls: root.get("serve").and_then(|serve| serve.get("postgres_tls")).map(|_| {
                TlsSettings {
                    cert: path_at(&["serve", "postgres_tls", "cert"], ""),
                    key: path_at(&["serve", "postgres_tls", "key"], ""),
                }
            }),
            // The environment has a say in it.
            traces: None,
        }
    }

    /// Where the program keeps its own state.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.join(DATA_DIR)
    }
}

fn scalar(node: &Node) -> Option<&str> {
    match &node.kind {
        Kind::Scalar { text, .. } => Some(text),
        _ => None,
    }
}

fn text_at<'a>(root: &'a Node, path: &[&str]) -> Option<&'a str> {
    path.iter().try_fold(root, |node, key| node.get(key)).and_then(scalar)
}

fn selection_pattern(node: &Node) -> Option<(bool, Pattern)> {
    let text = scalar(node)?;
    let pattern = |text: &str| Pattern { text: text.to_owned(), place: node.place.clone() };
    Some(match text.strip_prefix('!') {
        Some(text) => (false, pattern(text)),
        None => (true, pattern(text)),
    })
}

fn table_entry(node: &Node) -> TableEntry {
    let mut entry = TableEntry {
        history: text_at(node, &["history"]).map(|text| text == "true"),
        on_unrepresentable: text_at(node, &["on_unrepresentable"]).map(|text| match text {
            "stop" => OnUnrepresentable::Stop,
            "quarantine" => OnUnrepresentable::Quarantine,
            _ => OnUnrepresentable::Widen,
        }),
        value_bytes_max: text_at(node, &["value_max"]).and_then(units::parse_size),
        history_open_value: text_at(node, &["history_open_value"]).and_then(units::parse_instant),
        ..TableEntry::default()
    };
    if let Some(Kind::Map(types)) =
        node.get("columns").and_then(|node| node.get("type")).map(|node| &node.kind)
    {
        for (column, value) in types {
            if let Some(column_type) = scalar(value).and_then(units::parse_column_type) {
                entry.column_types.insert(column.text.clone(), column_type);
            }
        }
    }
    for name in ["valid_from", "valid_to", "is_current", "operation_type"] {
        if let Some(chosen) = text_at(node, &["history_names", name]) {
            entry.history_names.insert(name, chosen.to_owned());
        }
    }
    entry
}
