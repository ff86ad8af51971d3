//! `profiles.yml`: which warehouse a project is built in.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value as Json};

use super::{
    attached::{self, Attached},
    files,
    options::Options,
    render::Renderer,
};
use crate::{
    error::{Problem, ProblemKind, Result},
    place::nearest,
    yaml::{self, Kind, Node},
};

/// A target of a profile.
#[derive(Debug, Clone)]
pub struct Target {
    /// The profile's name.
    pub profile: String,
    /// The target's name.
    pub name: String,
    /// The warehouse: `duckdb` or `postgres`.
    pub kind: Adapter,
    /// The database that models are built in where nothing else is said.
    pub database: String,
    /// The database that names in SQL mean which say none. It is another one where a DuckDB target's `database` is one that it attaches.
    pub connected: String,
    /// For DuckDB: databases beside its own.
    pub attached: Vec<Attached>,
    /// The schema that they are built in where nothing else is said.
    pub schema: String,
    /// How many nodes are built at a time.
    pub threads: usize,
    /// Everything that the target says, passwords left out.
    pub fields: Map<String, Json>,
    /// For DuckDB: the file, or `:memory:`.
    pub path: String,
    /// For DuckDB: where files of models are that say nothing of it.
    pub external_root: String,
    /// For DuckDB: settings of each connection.
    pub settings: Vec<(String, String)>,
    /// For DuckDB: extensions to load.
    pub extensions: Vec<String>,
    /// For PostgreSQL: how the server is reached.
    pub server: Option<Server>,
}

/// How a server of PostgreSQL is reached.
#[derive(Clone, Default)]
pub struct Server {
    /// libpq's names and values, all but the password.
    pub parameters: Vec<(&'static str, String)>,
    /// The password.
    pub password: Option<String>,
    /// The role that statements are run as.
    pub role: Option<String>,
    /// How often connecting is tried again.
    pub retries: u32,
    /// Whether each statement stands for itself.
    pub autocommit: bool,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("parameters", &self.parameters)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

impl Target {
    /// The entry of the profile by which a database can only be read, if it is such a one.
    pub fn read_only(&self, database: &str) -> Option<&Attached> {
        self.attached
            .iter()
            .find(|attached| attached.read_only && attached.name.eq_ignore_ascii_case(database))
    }
}

/// A kind of warehouse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adapter {
    /// DuckDB.
    DuckDb,
    /// PostgreSQL.
    Postgres,
}

impl Adapter {
    /// Its name in `profiles.yml`, and the prefix of macros for it.
    pub fn name(self) -> &'static str {
        match self {
            Adapter::DuckDb => "duckdb",
            Adapter::Postgres => "postgres",
        }
    }
}

/// What a PostgreSQL target may say: its names, with libpq's where it is a parameter of the connection, and dbt's default of it.
const POSTGRES_KEYS: &[(&str, Option<&str>, Option<&str>)] = &[
    ("type", None, None),
    ("schema", None, None),
    ("threads", None, None),
    ("password", None, None),
    ("pass", None, None),
    ("role", None, None),
    ("search_path", None, None),
    ("retries", None, Some("1")),
    ("autocommit", None, Some("false")),
    ("host", Some("host"), None),
    ("port", Some("port"), None),
    ("user", Some("user"), None),
    ("dbname", Some("dbname"), None),
    ("database", Some("dbname"), None),
    ("connect_timeout", Some("connect_timeout"), Some("10")),
    ("keepalives_idle", Some("keepalives_idle"), Some("0")),
    ("sslmode", Some("sslmode"), None),
    ("sslcert", Some("sslcert"), None),
    ("sslkey", Some("sslkey"), None),
    ("sslrootcert", Some("sslrootcert"), None),
    ("application_name", Some("application_name"), Some("dbt")),
];

/// What a PostgreSQL target must say, by one of these names.
const POSTGRES_REQUIRED: &[&[&str]] =
    &[&["host"], &["user"], &["port"], &["password", "pass"], &["dbname", "database"], &["schema"]];

/// How the server of a target is reached. `fields` are what templates are told of it: what it doesn't say is said, by its default.
///
/// Errors: something that is needed isn't said; a name means nothing; a value is of another form than it is to have.
fn postgres(output: &Node, fields: &mut Map<String, Json>) -> Result<Server> {
    for (key, _) in output.entries() {
        if !POSTGRES_KEYS.iter().any(|(known, ..)| *known == key.text) {
            let problem = Problem::new(
                ProblemKind::Unsupported,
                format!("`{}` of a postgres target is not supported", key.text),
            );
            return Err(problem.at(&key.place).into());
        }
    }
    let said = |key: &str| match output.get(key).map(Node::to_json) {
        Some(Json::String(text)) => Some(text),
        Some(Json::Number(number)) => Some(number.to_string()),
        _ => None,
    };
    for names in POSTGRES_REQUIRED {
        if !names.iter().any(|name| said(name).is_some()) {
            return Err(output.wrong(format!("a postgres target needs `{}`", names[0])).into());
        }
    }
    if said("port").is_some_and(|port| port.parse::<u16>().is_err()) {
        let node = output.get("port").unwrap_or(output);
        return Err(node.wrong("`port` is a number from 0 to 65535").into());
    }
    let mut server = Server {
        password: said("password").or_else(|| said("pass")),
        role: said("role"),
        ..Server::default()
    };
    server.autocommit = match output.get("autocommit").map(Node::to_json) {
        None | Some(Json::Null) => false,
        Some(Json::Bool(wanted)) => wanted,
        Some(_) => {
            let node = output.get("autocommit").unwrap_or(output);
            return Err(node.wrong("`autocommit` is true or false").into());
        }
    };
    let retries = said("retries").unwrap_or_else(|| "1".into()).parse();
    server.retries = retries.map_err(|_| output.wrong("`retries` is a number"))?;
    if let Some(path) = said("search_path").filter(|path| !path.is_empty()) {
        server.parameters.push(("options", format!("-c search_path={}", path.replace(' ', "\\ "))));
    }
    for (key, parameter, default) in POSTGRES_KEYS {
        if let (Some(parameter), Some(value)) = (parameter, said(key).or_else(|| default.map(str::to_owned)))
        {
            server.parameters.push((parameter, value));
        }
        if matches!(*key, "type" | "password" | "pass" | "threads") {
            continue;
        }
        let default =
            default.map_or(Json::Null, |text| serde_json::from_str(text).unwrap_or_else(|_| text.into()));
        fields.entry((*key).to_owned()).or_insert(default);
    }
    Ok(server)
}

/// What a DuckDB target may say that is understood.
const DUCKDB_KEYS: &[&str] = &[
    "type",
    "path",
    "database",
    "schema",
    "threads",
    "settings",
    "extensions",
    "attach",
    "external_root",
    "retries",
    "keep_open",
];

/// Reads the target that the project and the flags name.
pub fn read(options: &Options, wanted: Option<&str>, renderer: &Renderer) -> Result<Target> {
    let configuration = |message: String| Problem::new(ProblemKind::Configuration, message);
    let path = find(options);
    let Some(path) = path else {
        return Err(configuration("no profiles.yml".into())
            .hint("put one into the project's directory or ~/.dbt, or name a directory with --profiles-dir")
            .into());
    };
    let root = yaml::parse(&files::read(&path, "profiles.yml")?)?;
    let Some(profile_name) = options.profile.as_deref().or(wanted) else {
        return Err(configuration("the project names no `profile`".into())
            .hint("add `profile:` to dbt_project.yml, or name one with --profile")
            .into());
    };
    let Some(profile) = root.get(profile_name) else {
        let names = root.entries().iter().map(|(key, _)| key.text.as_str()).filter(|key| *key != "config");
        let known: Vec<&str> = names.collect();
        let hint = match nearest(profile_name, known.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("it has: {}", known.join(", ")),
        };
        return Err(configuration(format!("{} has no profile `{profile_name}`", path.display()))
            .hint(hint)
            .into());
    };
    let outputs = profile.get("outputs").map(Node::entries).unwrap_or_default();
    let target_name = match (&options.target, profile.get("target")) {
        (Some(name), _) => name.clone(),
        (None, Some(node)) => match renderer.all(node)?.to_json() {
            Json::String(name) => name,
            _ => return Err(node.wrong("`target` is a name").into()),
        },
        (None, None) => "default".to_owned(),
    };
    let Some((_, output)) = outputs.iter().find(|(key, _)| key.text == target_name) else {
        let names: Vec<&str> = outputs.iter().map(|(key, _)| key.text.as_str()).collect();
        return Err(configuration(format!("profile `{profile_name}` has no target `{target_name}`"))
            .at(&profile.place)
            .hint(format!("it has: {}", names.join(", ")))
            .into());
    };
    let output = renderer.all(output)?;
    target(options, profile_name, &target_name, &output)
}

/// What DuckDB calls the database of a file.
pub fn database_of(path: &str) -> String {
    let name = Path::new(path).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.trim_start_matches('.').split('.').next().unwrap_or(name).to_owned()
}

/// The `profiles.yml` that holds, if there is one.
pub(crate) fn find(options: &Options) -> Option<PathBuf> {
    Some(dir(options).join("profiles.yml")).filter(|path| path.exists())
}

/// Where `profiles.yml` is: where a flag says, in the project's directory if it is there, in `~/.dbt` otherwise.
pub fn dir(options: &Options) -> PathBuf {
    if let Some(dir) = &options.profiles_dir {
        return dir.clone();
    }
    match options.env.get("HOME") {
        Some(home) if !options.project_dir.join("profiles.yml").exists() => Path::new(home).join(".dbt"),
        _ => options.project_dir.clone(),
    }
}

/// The names of the profiles of `profiles.yml`, none where there is no such file.
///
/// Errors: it can't be read, or is no YAML.
pub fn names(options: &Options) -> Result<Vec<String>> {
    let Some(path) = find(options) else { return Ok(Vec::new()) };
    let root = yaml::parse(&files::read(&path, "profiles.yml")?)?;
    let names = root.entries().iter().map(|(key, _)| key.text.clone());
    Ok(names.filter(|name| name != "config").collect())
}

fn target(options: &Options, profile: &str, name: &str, output: &Node) -> Result<Target> {
    let text = |key: &str| match output.get(key).map(Node::to_json) {
        Some(Json::String(text)) => Some(text),
        Some(Json::Number(number)) => Some(number.to_string()),
        _ => None,
    };
    let kind = match text("type").as_deref() {
        Some("duckdb") => Adapter::DuckDb,
        Some("postgres") => Adapter::Postgres,
        other => {
            let found = other.map_or_else(|| "nothing".to_owned(), |found| format!("`{found}`"));
            let node = output.get("type").unwrap_or(output);
            return Err(Problem::new(
                ProblemKind::Unsupported,
                format!("a target's type is `duckdb` or `postgres`, not {found}"),
            )
            .at(&node.place)
            .into());
        }
    };
    let Json::Object(mut fields) = output.to_json() else {
        return Err(output.wrong("a target is a mapping").into());
    };
    fields.retain(|key, _| !matches!(key.as_str(), "password" | "pass" | "secrets" | "token"));
    let path = text("path").unwrap_or_else(|| ":memory:".into());
    let threads = match output.get("threads").map(Node::to_json) {
        Some(Json::Number(number)) => number.as_u64().map(|number| number as usize),
        Some(Json::String(text)) => text.parse().ok(),
        _ => None,
    };
    let mut settings = Vec::new();
    let mut extensions = Vec::new();
    let mut server = None;
    let mut attached = Vec::new();
    let [database, connected] = match kind {
        Adapter::DuckDb => {
            for (key, _) in output.entries() {
                if !DUCKDB_KEYS.contains(&key.text.as_str()) {
                    return Err(Problem::new(
                        ProblemKind::Unsupported,
                        format!("`{}` of a duckdb target is not supported yet", key.text),
                    )
                    .at(&key.place)
                    .into());
                }
            }
            for (key, value) in output.get("settings").map(Node::entries).unwrap_or_default() {
                let value = match value.to_json() {
                    Json::String(text) => text,
                    other => other.to_string(),
                };
                settings.push((key.text.clone(), value));
            }
            for extension in output.get("extensions").map(Node::items).unwrap_or_default() {
                match extension.as_str() {
                    Some(name) => extensions.push(name.to_owned()),
                    None => {
                        return Err(extension.wrong("an extension is named by a text here").into());
                    }
                }
            }
            let stem = match path.as_str() {
                ":memory:" => "memory".to_owned(),
                path => database_of(path),
            };
            attached = attached::read(output, &stem)?;
            attached::without_keys(&mut fields);
            let named = text("database").unwrap_or_else(|| stem.clone());
            if named != stem && !attached.iter().any(|attached| attached.name == named) {
                let node = output.get("database").unwrap_or(output);
                return Err(node
                    .wrong(format!("the database of this path is `{stem}`, not `{named}`"))
                    .into());
            }
            [named, stem]
        }
        Adapter::Postgres => {
            server = Some(postgres(output, &mut fields)?);
            let database = text("dbname").or_else(|| text("database")).unwrap_or_default();
            [database.clone(), database]
        }
    };
    if !matches!(output.kind, Kind::Map(_)) {
        return Err(output.wrong("a target is a mapping").into());
    }
    Ok(Target {
        profile: profile.to_owned(),
        name: name.to_owned(),
        kind,
        database,
        connected,
        attached,
        schema: text("schema").unwrap_or_else(|| "main".into()),
        threads: options.threads.or(threads).unwrap_or(1).max(1),
        fields,
        path,
        external_root: text("external_root").unwrap_or_else(|| ".".into()),
        settings,
        extensions,
        server,
    })
}
