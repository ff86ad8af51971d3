//! What earlier runs left, as `--state` names it: their manifest, their results and when their sources were loaded. Written by this program or by dbt.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use serde_json::{Map, Value as Json};

use super::{files, Options};
use crate::error::{Problem, ProblemKind, Result};

/// The oldest manifest that has what is compared: its nodes have `raw_code`.
const MANIFEST_MIN: u32 = 7;
/// The newest one that is known.
const MANIFEST_MAX: u32 = 12;

/// What a directory of artifacts holds.
#[derive(Debug, Default)]
pub struct Past {
    /// Where it is.
    dir: PathBuf,
    manifest: Option<PastManifest>,
    statuses: Option<HashMap<String, String>>,
    loaded: Option<HashMap<String, Option<String>>>,
}

/// What a manifest had.
#[derive(Debug, Default)]
pub struct PastManifest {
    /// Nodes, sources, exposures and unit tests by unique id.
    pub all: Map<String, Json>,
    /// The SQL of macros by unique id.
    pub macros: HashMap<String, String>,
}

/// Both directories that flags can name, each read when it is first asked for.
#[derive(Debug, Default)]
pub struct Pasts {
    compared: OnceLock<Past>,
    deferred: OnceLock<Past>,
}

impl Pasts {
    /// What `--state` names, which `asked` needs.
    ///
    /// Errors: it names none, or what is there can't be read.
    pub fn compared(&self, options: &Options, asked: &str) -> Result<&Past> {
        let Some(dir) = &options.state else {
            return Err(wrong(format!("{asked} compares with an earlier run, and none is named"))
                .hint("name the directory of its manifest.json with --state")
                .into());
        };
        read_once(&self.compared, options, dir)
    }

    /// The manifest that references are deferred to; `None` without `--defer`.
    ///
    /// Errors: no directory is named, it holds no manifest, or that can't be read.
    pub fn deferred(&self, options: &Options) -> Result<Option<&PastManifest>> {
        match options.defer {
            true => self.named(options, "--defer").map(Some),
            false => Ok(None),
        }
    }

    /// The manifest of the run that `--defer-state` or `--state` names, which `asked` needs.
    ///
    /// Errors: no directory is named, it holds no manifest, or that can't be read.
    pub fn named(&self, options: &Options, asked: &str) -> Result<&PastManifest> {
        let past = match (&options.defer_state, &options.state) {
            (Some(dir), _) => read_once(&self.deferred, options, dir)?,
            (None, Some(dir)) => read_once(&self.compared, options, dir)?,
            (None, None) => {
                return Err(wrong(format!("{asked} needs the manifest of another run, and none is named"))
                    .hint("name the directory of its manifest.json with --state or --defer-state")
                    .into())
            }
        };
        past.manifest()
    }
}

fn read_once<'p>(cell: &'p OnceLock<Past>, options: &Options, dir: &Path) -> Result<&'p Past> {
    if let Some(past) = cell.get() {
        return Ok(past);
    }
    let past = Past::read(&options.project_dir.join(dir))?;
    Ok(cell.get_or_init(|| past))
}

fn wrong(message: String) -> Problem {
    Problem::new(ProblemKind::Configuration, message)
}

impl Past {
    /// Reads what a directory holds. What isn't there is missed when it is asked for.
    ///
    /// Errors: a file can't be read, is no JSON, or is of a version that is not known.
    pub fn read(dir: &Path) -> Result<Self> {
        Ok(Past {
            dir: dir.to_owned(),
            manifest: artifact(dir, "manifest.json", "manifest", MANIFEST_MIN..=MANIFEST_MAX)?
                .map(PastManifest::of),
            statuses: artifact(dir, "run_results.json", "run-results", 4..=6)?.map(|json| {
                results(&json, "status").filter_map(|(id, status)| Some((id, status?))).collect()
            }),
            loaded: artifact(dir, "sources.json", "sources", 3..=3)?
                .map(|json| results(&json, "max_loaded_at").collect()),
        })
    }

    /// The manifest.
    ///
    /// Errors: there is none.
    pub fn manifest(&self) -> Result<&PastManifest> {
        self.manifest.as_ref().ok_or_else(|| self.lacks("manifest.json").into())
    }

    /// What became of each node, by unique id.
    ///
    /// Errors: there are no results.
    pub fn statuses(&self) -> Result<&HashMap<String, String>> {
        self.statuses.as_ref().ok_or_else(|| self.lacks("run_results.json").into())
    }

    /// When the newest row of each table of a source was loaded, by unique id; `None` where that could not be found out.
    ///
    /// Errors: the sources' freshness was not looked at.
    pub fn loaded(&self) -> Result<&HashMap<String, Option<String>>> {
        self.loaded.as_ref().ok_or_else(|| {
            self.lacks("sources.json").hint("`source freshness` writes it into the target directory").into()
        })
    }

    fn lacks(&self, name: &str) -> Problem {
        wrong(format!("there is no {name} in {}", self.dir.display()))
    }
}

impl PastManifest {
    fn of(mut json: Json) -> Self {
        let mut all = Map::new();
        for section in ["nodes", "sources", "exposures", "unit_tests"] {
            if let Json::Object(entries) = json[section].take() {
                all.extend(entries);
            }
        }
        let macros = json["macros"].as_object().into_iter().flatten();
        let sql = |of: &Json| of["macro_sql"].as_str().unwrap_or_default().to_owned();
        PastManifest { macros: macros.map(|(id, entry)| (id.clone(), sql(entry))).collect(), all }
    }
}

/// Reads an artifact, if it is there, whose schema is of one of these versions.
fn artifact(
    dir: &Path,
    name: &str,
    kind: &str,
    versions: std::ops::RangeInclusive<u32>,
) -> Result<Option<Json>> {
    let path = dir.join(name);
    if !path.is_file() {
        return Ok(None);
    }
    let shown = path.display().to_string();
    let text = files::read(&path, &shown)?;
    let json: Json =
        serde_json::from_str(&text.text).map_err(|error| wrong(format!("{shown} is no JSON: {error}")))?;
    let schema = json["metadata"]["dbt_schema_version"].as_str().unwrap_or_default();
    let version =
        schema.rsplit_once(&format!("/{kind}/v")).and_then(|(_, version)| version.strip_suffix(".json"));
    if version.and_then(|version| version.parse().ok()).is_some_and(|version| versions.contains(&version)) {
        return Ok(Some(json));
    }
    let (first, last) = versions.into_inner();
    Err(wrong(format!("{shown} is of the schema `{schema}`, which is not known here"))
        .hint(format!("known are {kind} v{first} to v{last}: have it written anew"))
        .into())
}

fn results<'j>(json: &'j Json, key: &'j str) -> impl Iterator<Item = (String, Option<String>)> + 'j {
    let all = json["results"].as_array().into_iter().flatten();
    all.filter_map(move |result| {
        Some((result["unique_id"].as_str()?.to_owned(), result[key].as_str().map(str::to_owned)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir(name: &str, text: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(name), text).unwrap();
        dir
    }

    #[test]
    fn artifacts_of_unknown_versions_are_refused_and_missing_ones_missed_when_asked_for() {
        let old = dir(
            "manifest.json",
            r#"{"metadata": {"dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v3.json"}}"#,
        );
        assert!(Past::read(old.path()).unwrap_err().describe().contains("manifest v7 to v12"));
        let broken = dir("run_results.json", "[");
        assert!(Past::read(broken.path()).unwrap_err().describe().contains("is no JSON"));
        let past = Past::read(tempfile::tempdir().unwrap().path()).unwrap();
        assert!(past.manifest().unwrap_err().describe().contains("there is no manifest.json"));
        assert!(
            past.statuses().is_err() && past.loaded().unwrap_err().describe().contains("source freshness")
        );
    }

    #[test]
    fn what_a_run_said_is_found_by_id() {
        let text = r#"{"metadata": {"dbt_schema_version": "https://schemas.getdbt.com/dbt/run-results/v6.json"},
            "results": [{"unique_id": "model.p.a", "status": "error"}, {"unique_id": "model.p.b", "status": "success"}]}"#;
        let past = Past::read(dir("run_results.json", text).path()).unwrap();
        assert_eq!(past.statuses().unwrap()["model.p.a"], "error");
    }

    #[test]
    fn nothing_is_compared_or_deferred_to_that_nobody_named() {
        let pasts = Pasts::default();
        let mut options = Options::default();
        assert!(pasts.compared(&options, "`state:new`").unwrap_err().describe().contains("--state"));
        assert!(pasts.deferred(&options).unwrap().is_none());
        options.defer = true;
        assert!(pasts.deferred(&options).unwrap_err().describe().contains("--defer-state"));
    }
}
