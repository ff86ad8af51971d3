//! `deps`: the packages that a project asks for, found, written down in `package-lock.yml` and put where they are looked for.

mod add;
mod hub;
mod versions;

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::{json, Map, Value as Json};

pub use self::add::{Added, Addition};
use self::{
    hub::{asked_by, Hub},
    versions::Bound,
};
use super::{files, options::Options, render::Renderer, Package};
use crate::{
    context::base::Base,
    error::{ModelsError, Problem, ProblemKind, Result},
    hash,
    warning::Warning,
    yaml::{self, Node},
};

/// Where the packages that were found are written down.
pub const LOCK: &str = "package-lock.yml";

/// What of a package's entry changes where it comes from.
const KEYS: &[&str] = &[
    "local",
    "git",
    "revision",
    "warn-unpinned",
    "subdirectory",
    "name",
    "package",
    "version",
    "install_prerelease",
    "tarball",
];

/// What says where a package comes from.
const KINDS: [&str; 4] = ["local", "git", "package", "tarball"];

/// How packages are got that are elsewhere.
pub trait Fetch {
    /// A repository's files as they were at a revision, a branch, a tag or a commit; of its newest where none is named. `shown` is how the address is told to a
    /// person, without what is secret of it.
    ///
    /// Errors: it can't be had.
    fn git(&self, url: &str, revision: Option<&str>, shown: &str) -> Result<Fetched>;

    /// What an address of the web gives, as text.
    ///
    /// Errors: it can't be had.
    fn text(&self, url: &str) -> Result<String>;

    /// The one directory that an archive of the web holds.
    ///
    /// Errors: it can't be had, is no archive, or holds something else.
    fn archive(&self, url: &str, shown: &str) -> Result<PathBuf>;
}

/// What was got.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// Where it is: nobody else has use for it.
    pub dir: PathBuf,
    /// Its commit.
    pub commit: String,
}

/// What was done.
#[derive(Debug, Default)]
pub struct Done {
    /// Whether the packages were written down anew.
    pub locked: bool,
    /// What was put in place: its name and where it comes from.
    pub installed: Vec<(String, String)>,
    /// What is odd, for people.
    pub warnings: Vec<Warning>,
}

/// A package that is asked for.
#[derive(Debug, Clone)]
struct Spec {
    /// As written; may hold the name of a secret, never its value.
    written: Map<String, Json>,
    /// With variables and the environment.
    rendered: Map<String, Json>,
}

/// A package that was found.
struct Found {
    spec: Spec,
    name: String,
    source: Source,
}

/// Where a package is.
enum Source {
    /// In a folder, which stays where it is.
    Folder(PathBuf),
    /// Got from a repository.
    Commit { dir: PathBuf, commit: String },
    /// Got as an archive.
    Archive(PathBuf),
    /// At the hub: what is asked of its version, the version, and the archive to get.
    Hub { bounds: Vec<Bound>, prereleases: bool, version: String, url: String },
}

impl Source {
    /// What is moved into place; a folder is not.
    fn got(&self) -> Option<&Path> {
        match self {
            Source::Commit { dir, .. } | Source::Archive(dir) => Some(dir),
            Source::Folder(_) | Source::Hub { .. } => None,
        }
    }

    /// How it is told to a person.
    fn shown(&self, spec: &Spec) -> String {
        match self {
            Source::Folder(_) => format!("<local @ {}>", spec.shown()),
            Source::Commit { commit, .. } => format!("revision {commit}"),
            Source::Archive(_) => format!("tarball (url: {})", spec.shown()),
            Source::Hub { version, .. } => format!("version {version}"),
        }
    }
}

impl Spec {
    fn read(written: &Node, renderer: &Renderer) -> Result<Self> {
        let rendered = renderer.all(written)?;
        if let Some(node) = written.get("private") {
            let problem =
                Problem::new(ProblemKind::Unsupported, "packages given by `private` are not fetched yet");
            let hint = "name its repository instead: `git:` with a `revision`, or a folder with `local:`";
            return Err(problem.at(&node.place).hint(hint).into());
        }
        let (Json::Object(written_map), Json::Object(rendered)) = (written.to_json(), rendered.to_json())
        else {
            return Err(written.wrong("a package is a mapping").into());
        };
        for (key, _) in written.entries() {
            if !KEYS.contains(&key.text.as_str()) {
                let message = format!("`{}` is no key of a package that is understood", key.text);
                return Err(Problem::new(ProblemKind::Unsupported, message).at(&key.place).into());
            }
        }
        let said = KINDS.map(|kind| rendered.get(kind).and_then(Json::as_str).unwrap_or_default());
        if said.iter().filter(|said| !said.is_empty()).count() != 1 {
            let message =
                "a package is `local`, a folder, `git`, a repository, `package`, one of the hub, or `tarball`";
            return Err(written.wrong(message).into());
        }
        let spec = Spec { written: written_map, rendered };
        match spec.kind() {
            "package" => spec.bounds().map(drop).map_err(|wrong| wrong.at(&written.place))?,
            "tarball" if spec.text("name").is_none() => {
                return Err(written.wrong("a package by `tarball` has a `name`").into());
            }
            _ => {}
        }
        Ok(spec)
    }

    /// Which key says where it comes from.
    fn kind(&self) -> &'static str {
        KINDS.into_iter().find(|kind| self.rendered.contains_key(*kind)).unwrap_or("local")
    }

    /// What is asked of the version of a package of the hub.
    ///
    /// Errors: nothing, or what is no version.
    fn bounds(&self) -> std::result::Result<Vec<Bound>, Problem> {
        let said = match self.rendered.get("version") {
            Some(Json::Array(items)) => items.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
            _ => self.text("version").map(|one| vec![Some(one)]).unwrap_or_default(),
        };
        let bounds = said.iter().map(|one| Bound::parse(one.as_deref().unwrap_or_default()));
        match bounds.collect::<std::result::Result<Vec<Bound>, Problem>>()? {
            bounds if bounds.is_empty() => {
                let message = format!("the package `{}` of the hub has no `version`", self.shown());
                Err(Problem::new(ProblemKind::Configuration, message)
                    .hint("such as 1.0.0, or [\">=1.0.0\", \"<2.0.0\"]"))
            }
            bounds => Ok(bounds),
        }
    }

    fn prereleases(&self) -> bool {
        self.rendered.get("install_prerelease") == Some(&Json::Bool(true))
    }

    fn text(&self, key: &str) -> Option<String> {
        match self.rendered.get(key)? {
            Json::String(text) => Some(text.clone()),
            Json::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// How it is told to a person.
    fn shown(&self) -> String {
        let of = |key: &str| self.written.get(key).and_then(Json::as_str).map(str::to_owned);
        of(self.kind()).unwrap_or_default()
    }

    /// What makes two of them the same package.
    fn key(&self) -> String {
        let kind = self.kind();
        let of = self.text(kind).unwrap_or_default();
        match kind {
            "git" => {
                let within = self.text("subdirectory").unwrap_or_default();
                format!("git {}/{within}", of.strip_suffix(".git").unwrap_or(&of))
            }
            _ => format!("{kind} {of}"),
        }
    }

    /// As dbt has it when it makes the lock's hash.
    fn to_json(&self) -> Json {
        let of = |key: &str| self.rendered.get(key).cloned().unwrap_or(Json::Null);
        let mut json = match self.kind() {
            "local" => json!({"local": of("local"), "unrendered": self.written}),
            "tarball" => json!({"tarball": of("tarball"), "unrendered": self.written}),
            "package" => json!({
                "package": of("package"), "version": of("version"), "unrendered": self.written,
                "install_prerelease": self.prereleases(),
            }),
            _ => json!({
                "git": of("git"), "revision": of("revision"), "subdirectory": of("subdirectory"),
                "unrendered": self.written, "warn-unpinned": of("warn-unpinned"),
            }),
        };
        if self.rendered.get("name").is_some_and(|name| !name.is_null()) {
            json["name"] = of("name");
        }
        json
    }
}

/// Fetches what a project asks for, as `package-lock.yml` has it where that is of the same packages, and puts it in place; with `only_lock` it is only written
/// down, with `upgrade` in any case anew. No profile is needed.
///
/// Errors: a package can't be had, is none, has another's name or is asked for in two revisions, or in versions that don't go together; a file can't be read or written. What was in place before stays then.
pub fn deps(options: &Options, fetch: &dyn Fetch, upgrade: bool, only_lock: bool) -> Result<Done> {
    let base = Base::of(options, None);
    let renderer = Renderer::new(Arc::new(base));
    let root = Package::read(&options.project_dir, "", &renderer)?;
    let asked = asked_for(&options.project_dir, "", &renderer)?;
    let mut done = Done::default();
    let lock = options.project_dir.join(LOCK);
    let hash = lock_hash(&asked);
    let mut resolver = Resolver {
        options,
        root: &root,
        renderer: &renderer,
        hub: Hub::of(options, fetch),
        fetch,
        got: HashMap::new(),
        warnings: Vec::new(),
    };
    let known = if lock.exists() && !upgrade { locked(&lock, &hash, &renderer)? } else { None };
    let mut found = match known {
        Some(specs) => specs.into_iter().map(|spec| resolver.find(spec)).collect::<Result<Vec<_>>>()?,
        None if asked.is_empty() => Vec::new(),
        None => {
            let found = resolver.resolve(asked)?;
            files::write(&lock, &lock_text(&found, &hash))?;
            done.locked = true;
            found
        }
    };
    done.warnings = resolver.warnings;
    if !only_lock && (!found.is_empty() || lock.exists()) {
        // All of it is here before anything is put in place.
        for package in &mut found {
            if let Source::Hub { url, .. } = &package.source {
                let dir = fetch.archive(url, &package.spec.shown())?;
                let shown = package.source.shown(&package.spec);
                done.installed.push((package.spec.shown(), shown));
                package.source = Source::Archive(dir);
            } else {
                done.installed.push((package.spec.shown(), package.source.shown(&package.spec)));
            }
        }
        install(&options.project_dir.join(&root.paths.packages), &found)?;
    }
    Ok(done)
}

/// The packages that a directory's `packages.yml` or `dependencies.yml` asks for. `shown` is how the directory is told to a person.
fn asked_for(dir: &Path, shown: &str, renderer: &Renderer) -> Result<Vec<Spec>> {
    let mut found: Option<Vec<Spec>> = None;
    for name in ["packages.yml", "dependencies.yml"] {
        let path = dir.join(name);
        if !path.exists() {
            continue;
        }
        let root = yaml::parse(&files::read(&path, &format!("{shown}{name}"))?)?;
        let Some(packages) = root.get("packages") else { continue };
        if found.is_some() {
            return Err(packages
                .wrong("`packages` stand in packages.yml and in dependencies.yml: keep one")
                .into());
        }
        found = Some(packages.items().iter().map(|item| Spec::read(item, renderer)).collect::<Result<_>>()?);
    }
    Ok(found.unwrap_or_default())
}

/// What `package-lock.yml` has, where it was made of the same packages.
fn locked(path: &Path, hash: &str, renderer: &Renderer) -> Result<Option<Vec<Spec>>> {
    let root = yaml::parse(&files::read(path, LOCK)?)?;
    if root.get("sha1_hash").and_then(Node::as_str) != Some(hash) {
        return Ok(None);
    }
    let items = root.get("packages").map(Node::items).unwrap_or_default();
    items.iter().map(|item| Spec::read(item, renderer)).collect::<Result<Vec<_>>>().map(Some)
}

struct Resolver<'r> {
    options: &'r Options,
    root: &'r Package,
    renderer: &'r Renderer,
    fetch: &'r dyn Fetch,
    hub: Hub<'r>,
    /// Repositories that were got, by address and revision.
    got: HashMap<(String, Option<String>), Fetched>,
    warnings: Vec<Warning>,
}

impl Resolver<'_> {
    /// The packages that are asked for, with those that they ask for.
    fn resolve(&mut self, asked: Vec<Spec>) -> Result<Vec<Found>> {
        let mut found: Vec<Found> = Vec::new();
        let mut pending = asked;
        while !pending.is_empty() {
            let mut next = Vec::new();
            for spec in pending {
                if let Some(first) = found.iter_mut().find(|first| first.spec.key() == spec.key()) {
                    if let Source::Hub { bounds, prereleases, .. } = &mut first.source {
                        bounds.extend(spec.bounds()?);
                        *prereleases |= spec.prereleases();
                        next.extend(self.pin(first)?);
                        continue;
                    }
                    let revisions = [first.spec.text("revision"), spec.text("revision")];
                    if let [Some(first), Some(second)] = &revisions {
                        if first != second {
                            let message = format!(
                                "`{}` is asked for in two revisions: {first} and {second}",
                                spec.shown()
                            );
                            return Err(Problem::new(ProblemKind::Configuration, message).into());
                        }
                    }
                    continue;
                }
                if spec.kind() == "package" {
                    let source = Source::Hub {
                        bounds: spec.bounds()?,
                        prereleases: spec.prereleases(),
                        version: String::new(),
                        url: String::new(),
                    };
                    let mut package = Found { spec, name: String::new(), source };
                    next.extend(self.pin(&mut package)?);
                    found.push(package);
                    continue;
                }
                let package = self.find(spec)?;
                if let Source::Folder(dir) | Source::Commit { dir, .. } | Source::Archive(dir) =
                    &package.source
                {
                    next.extend(asked_for(dir, &format!("{}/", package.name), self.renderer)?);
                }
                found.push(package);
            }
            pending = next;
        }
        for (at, package) in found.iter().enumerate() {
            let other =
                found[..at].iter().find(|other| other.name == package.name).map(|other| other.spec.shown());
            let other =
                other.or_else(|| (package.name == self.root.name).then(|| "the project itself".to_owned()));
            if let Some(other) = other {
                let message = format!("two packages are named `{}`", package.name);
                let hint = format!("they are {other} and {}", package.spec.shown());
                return Err(Problem::new(ProblemKind::Duplicate, message).hint(hint).into());
            }
        }
        Ok(found)
    }

    /// Takes the newest version of a package of the hub that is what everybody asks for so far; the packages that it asks for itself.
    fn pin(&self, package: &mut Found) -> Result<Vec<Spec>> {
        let hub_name = package.spec.text("package").unwrap_or_default();
        let Source::Hub { bounds, prereleases, version, url } = &mut package.source else {
            return Ok(Vec::new());
        };
        *version = self.hub.newest(&hub_name, bounds, *prereleases)?;
        let told = self.hub.version(&hub_name, version)?;
        *url = told["downloads"]["tarball"].as_str().unwrap_or_default().to_owned();
        package.name = named(told["name"].as_str().unwrap_or_default(), &hub_name)?;
        asked_by(&hub_name, &told)?.iter().map(|node| Spec::read(node, self.renderer)).collect()
    }

    /// A package that is got as it is asked for: all but those of the hub whose version is still to be found.
    fn find(&mut self, spec: Spec) -> Result<Found> {
        let (dir, source) = match spec.kind() {
            "local" => {
                let path = self.options.project_dir.join(spec.text("local").unwrap_or_default());
                let dir = path.canonicalize().map_err(|source| ModelsError::Unreadable { path, source })?;
                (dir.clone(), Source::Folder(dir))
            }
            "tarball" => {
                let url = spec.text("tarball").unwrap_or_default();
                let dir = self.fetch.archive(&url, &spec.shown())?;
                self.name(&dir, &spec.shown())?;
                let name = named(&spec.text("name").unwrap_or_default(), &spec.shown())?;
                return Ok(Found { spec, name, source: Source::Archive(dir) });
            }
            // As the lock has it.
            "package" => {
                let (hub_name, version) =
                    (spec.text("package").unwrap_or_default(), spec.text("version").unwrap_or_default());
                let told = self.hub.version(&hub_name, &version)?;
                let name = named(told["name"].as_str().unwrap_or_default(), &hub_name)?;
                let url = told["downloads"]["tarball"].as_str().unwrap_or_default().to_owned();
                let source = Source::Hub { bounds: Vec::new(), prereleases: false, version, url };
                return Ok(Found { spec, name, source });
            }
            _ => {
                let (url, revision) = (spec.text("git").unwrap_or_default(), spec.text("revision"));
                let key = (url.clone(), revision.clone());
                if !self.got.contains_key(&key) {
                    let got = self.fetch.git(&url, revision.as_deref(), &spec.shown())?;
                    self.got.insert(key.clone(), got);
                }
                let got = self.got[&key].clone();
                let moves = matches!(revision.as_deref(), None | Some("HEAD" | "main" | "master"));
                if moves && spec.rendered.get("warn-unpinned") != Some(&Json::Bool(false)) {
                    let text = format!(
                        "`{}` is asked for in no fixed revision: what is got changes with it",
                        spec.shown()
                    );
                    self.warnings.push(Warning::of("DepsUnpinned", text));
                }
                let dir = match spec.text("subdirectory") {
                    Some(within) => got.dir.join(within),
                    None => got.dir.clone(),
                };
                (dir.clone(), Source::Commit { dir, commit: got.commit })
            }
        };
        let name = self.name(&dir, &spec.shown())?;
        Ok(Found { spec, name, source })
    }

    /// The name that a package gives itself.
    fn name(&self, dir: &Path, shown: &str) -> Result<String> {
        let path = dir.join("dbt_project.yml");
        if !path.exists() {
            let message = format!("`{shown}` is no package: there is no dbt_project.yml in it");
            return Err(Problem::new(ProblemKind::Missing, message).into());
        }
        let root = yaml::parse(&files::read(&path, &format!("{shown}/dbt_project.yml"))?)?;
        let name = root.get("name").map(|node| self.renderer.all(node)).transpose()?;
        named(name.as_ref().and_then(Node::as_str).unwrap_or_default(), shown)
    }
}

/// A name that can become that of a directory.
///
/// Errors: it can't.
fn named(name: &str, shown: &str) -> Result<String> {
    if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || c == '_') {
        let message =
            format!("`{name}`, as `{shown}` is called, is no name of a package: letters, digits and _");
        return Err(Problem::new(ProblemKind::Configuration, message).into());
    }
    Ok(name.to_owned())
}

/// Puts packages in place: a folder as a link to it, a repository's files themselves. What was there before is removed once all is there to take its place.
fn install(dir: &Path, found: &[Found]) -> Result<()> {
    let unwritable = |path: &Path, source| ModelsError::Unwritable { path: path.to_owned(), source };
    let real = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let lies_within = |found: &&Found| matches!(&found.source, Source::Folder(dir) if dir.starts_with(&real));
    if let Some(within) = found.iter().find(lies_within) {
        let message = format!("`{}` lies in {}, which is emptied first", within.spec.shown(), dir.display());
        return Err(Problem::new(ProblemKind::Configuration, message)
            .hint("move the package elsewhere: what is in that directory is made by `deps`")
            .into());
    }
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unwritable(dir, error)),
        _ => fs::create_dir_all(dir).map_err(|error| unwritable(dir, error))?,
    }
    for package in found {
        let to = dir.join(&package.name);
        if let Source::Folder(dir) = &package.source {
            std::os::unix::fs::symlink(dir, &to).map_err(|error| unwritable(&to, error))?;
        } else if let Some(got) = package.source.got() {
            if fs::rename(got, &to).is_err() {
                // It is on another file system.
                files::copy_dir(got, &to)?;
            }
        }
    }
    Ok(())
}

/// What tells whether `package-lock.yml` is of these packages, as dbt makes it.
fn lock_hash(asked: &[Spec]) -> String {
    let mut texts: Vec<String> = asked.iter().map(|spec| python_json(&spec.to_json())).collect();
    texts.sort();
    hash::sha1(texts.join("\n").as_bytes())
}

/// JSON as Python writes it with its keys in order.
fn python_json(json: &Json) -> String {
    match json {
        Json::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            let entries = entries.iter().map(|(key, value)| {
                format!("{}: {}", python_json(&Json::from(key.as_str())), python_json(value))
            });
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
        Json::Array(items) => format!("[{}]", items.iter().map(python_json).collect::<Vec<_>>().join(", ")),
        Json::String(_) => {
            let mut text = String::new();
            for c in json.to_string().chars() {
                if c.is_ascii() {
                    text.push(c);
                } else {
                    let mut units = [0; 2];
                    text.extend(c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
                }
            }
            text
        }
        other => other.to_string(),
    }
}

/// `package-lock.yml`, as dbt writes it.
fn lock_text(found: &[Found], hash: &str) -> String {
    let mut text = String::from("packages:\n");
    for package in found {
        let written = |key: &str| package.spec.written.get(key).and_then(Json::as_str).map(str::to_owned);
        let (mut revision, mut within, mut version) = (None, None, None);
        match &package.source {
            Source::Commit { commit, .. } => {
                (revision, within) = (Some(commit.clone()), package.spec.text("subdirectory"));
            }
            Source::Hub { version: pinned, .. } => version = Some(pinned.clone()),
            Source::Folder(_) | Source::Archive(_) => {}
        }
        let entries = [
            ("git", written("git")),
            ("local", written("local")),
            ("name", Some(package.name.clone())),
            ("package", written("package")),
            ("revision", revision),
            ("subdirectory", within),
            ("tarball", written("tarball")),
            ("version", version),
        ];
        let mut dash = "  - ";
        for (key, value) in entries {
            if let Some(value) = value {
                text.push_str(&format!("{dash}{key}: {}\n", scalar(&value)));
                dash = "    ";
            }
        }
    }
    text.push_str(&format!("sha1_hash: {}\n", scalar(hash)));
    text
}

/// A text as YAML has it: bare where it is read as the same text again, in quotes elsewhere.
fn scalar(text: &str) -> String {
    let bare = !text.starts_with(|c: char| !(c.is_alphanumeric() || matches!(c, '.' | '/' | '_')))
        && text.chars().all(|c| c.is_alphanumeric() || "./_-:@+~".contains(c))
        && !text.contains(": ")
        && !text.ends_with(':');
    // A number is one however long it is: a revision can be of digits alone.
    let number = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    match bare && !number && yaml::plain_scalar(text) == text {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_written_as_python_writes_it() {
        let json = json!({"b": [1, 1.5, null, true], "a": "é\u{1F600}\"\n"});
        assert_eq!(
            python_json(&json),
            "{\"a\": \"\\u00e9\\ud83d\\ude00\\\"\\n\", \"b\": [1, 1.5, null, true]}"
        );
    }

    #[test]
    fn texts_are_quoted_where_yaml_would_read_something_else() {
        for (text, expected) in [
            ("../lib", "../lib"),
            ("https://example.com/a.git", "https://example.com/a.git"),
            ("8a9b0bbe95a9442a51998503cc49979b61d30b6b", "8a9b0bbe95a9442a51998503cc49979b61d30b6b"),
            ("1234567890123456789012345678901234567890", "'1234567890123456789012345678901234567890'"),
            ("true", "'true'"),
            ("a b", "'a b'"),
            ("{{ env_var('X') }}", "'{{ env_var(''X'') }}'"),
        ] {
            assert_eq!(scalar(text), expected);
        }
    }
}
