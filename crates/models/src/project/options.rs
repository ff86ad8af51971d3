//! What an invocation says: flags and environment, resolved by the caller. This room reads neither by itself.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
};

use serde_json::{Map, Value as Json};

use super::Home;
use crate::engine::batches::{Batches, Span};

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
    /// `--no-write-json`: manifest and results are not written.
    pub leaves_no_json: bool,
    /// `--event-time-start` and `--event-time-end`: which batches of microbatch models are built.
    pub event_time: Option<Span>,
    /// Up to when their batches go, where nothing is said: microseconds since 1970, UTC.
    pub batches_until_us: i64,
    /// What an earlier run that is done again has made of the batches of models, by unique id: only what failed is built.
    pub batches: HashMap<String, Batches>,
    /// The environment.
    pub env: BTreeMap<String, String>,
    /// Which verb runs, as `flags.WHICH` has it.
    pub which: String,
    /// A number for this invocation, a UUID.
    pub invocation_id: String,
    /// When it began: microseconds since 1970, UTC.
    pub started_us: i64,
}
