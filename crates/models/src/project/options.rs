//! What an invocation says: flags and environment, resolved by the caller. This room reads neither by itself.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
};

use serde_json::{Map, Value as Json};

use super::{files, Home};
use crate::{
    engine::batches::{Batches, Span},
    error::Result,
    warning::WarnErrors,
    yaml,
};

/// What the names of variables begin with that are kept with a run.
const METADATA: &str = "DBT_ENV_CUSTOM_ENV_";

/// How a project is to be read and run.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Where `dbt_project.yml` is.
    pub project_dir: PathBuf,
    /// Where `profiles.yml` is; by default the project's directory, then `~/.dbt`.
    pub profiles_dir: Option<PathBuf>,
    /// A profile other than the project's.
    pub profile: Option<String>,
    /// A target other than the profile's.
    pub target: Option<String>,
    /// `--vars`.
    pub vars: Map<String, Json>,
    /// A number of threads other than the target's.
    pub threads: Option<usize>,
    /// `--full-refresh`.
    pub full_refresh: bool,
    /// `--target-path`.
    pub target_path: Option<String>,
    /// `--store-failures`.
    pub store_failures: bool,
    /// `--empty`.
    pub empty: bool,
    /// `--state`: where an earlier run has left its artifacts, relative to the project.
    pub state: Option<PathBuf>,
    /// `--defer-state`: the same for references that are deferred.
    pub defer_state: Option<PathBuf>,
    /// `--defer`: what is not there is referred to where that run has it.
    pub defer: bool,
    /// `--favor-state`: and what is not selected too.
    pub favor_state: bool,
    /// Where the project is at home, if that is not where a profile says.
    pub home: Option<Home>,
    /// `--no-print`: what templates print is not told.
    pub prints_nothing: bool,
    /// `--no-write-json` or `--write-json`: whether manifest and results are written; they are where nothing is said.
    pub writes_json: Option<bool>,
    /// `--warn-error` or `--warn-error-options`: which warnings are errors. What the project says where neither is given.
    pub warn_errors: Option<WarnErrors>,
    /// `--event-time-start` and `--event-time-end`: which batches of microbatch models are built.
    pub event_time: Option<Span>,
    /// `--sample`: of what has an `event_time`, only rows of this time are read.
    pub sample: Option<Span>,
    /// `--no-introspect`: what is compiled asks nothing of the warehouse.
    pub asks_nothing: bool,
    /// Up to when their batches go, where nothing is said: microseconds since 1970, UTC.
    pub batches_until_us: i64,
    /// What an earlier run that is done again has made of the batches of models, by unique id: only what failed is built.
    pub batches: HashMap<String, Batches>,
    /// The environment.
    pub env: BTreeMap<String, String>,
    /// What it was called with, by dbt's names: `invocation_args_dict`.
    pub arguments: Map<String, Json>,
    /// Which verb runs, as `flags.WHICH` has it.
    pub which: String,
    /// A number for this invocation, a UUID.
    pub invocation_id: String,
    /// When it began: microseconds since 1970, UTC.
    pub started_us: i64,
}

impl Options {
    /// What the environment says of the run for those who look at it later: `dbt_metadata_envs`.
    pub fn metadata(&self) -> impl Iterator<Item = (&str, &str)> {
        self.env.iter().filter_map(|(name, value)| Some((name.strip_prefix(METADATA)?, value.as_str())))
    }

    /// Takes from `flags` of `dbt_project.yml` what neither a flag nor a variable says. A project that can't be read says nothing; why is told when it is read.
    ///
    /// Errors: `warn_error_options` means nothing.
    pub fn settle(&mut self) -> Result<()> {
        let path = self.project_dir.join("dbt_project.yml");
        let root = files::read(&path, "dbt_project.yml").and_then(|text| Ok(yaml::parse(&text)?));
        let flags = root.ok().and_then(|root| root.get("flags").map(yaml::Node::to_json));
        let flag =
            |name: &str| flags.as_ref().and_then(|flags| flags.get(name)).filter(|value| !value.is_null());
        if self.warn_errors.is_none() {
            self.warn_errors = match (flag("warn_error").cloned(), flag("warn_error_options").cloned()) {
                (Some(Json::Bool(true)), _) => Some(WarnErrors::everything()),
                (_, Some(Json::Object(said))) => Some(WarnErrors::read(&said)?),
                _ => None,
            };
        }
        self.writes_json = self.writes_json.or(flag("write_json").and_then(Json::as_bool));
        Ok(())
    }
}
