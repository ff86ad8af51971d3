//! The warehouse as models are built in it: through the running instance, or in its file where none runs.

use std::{path::PathBuf, sync::Arc};

use millstream_core::build::{BuildConnection, BuildWarehouse};
use millstream_models::project::{profile, Adapter, HistoryColumns, Home, LiveTable, Target};
use millstream_store::ModelRun;
use millstream_warehouse::{DuckHandle, HIDDEN_SCHEMA};
use serde_json::{json, Map, Value};

use super::{access, desk::Desk};
use crate::{
    config::Project,
    error::ProgramError,
    failure::{Doing, Failure},
    instance::{reach, Event, Lock, Reached, RemoteWorkshop, Request},
};

/// The target's name, for templates and for what a person reads.
const TARGET: &str = "live";

/// A warehouse that is open for those who build.
pub(crate) enum Workshop {
    /// A running instance has it.
    Running(RemoteWorkshop),
    /// Nobody else has it, and nobody can while the lock is held.
    Own {
        /// Closed ahead of the lock.
        warehouse: DuckHandle,
        /// Held.
        _lock: Lock,
    },
}

impl Workshop {
    /// Opens the warehouse of a project.
    ///
    /// # Errors
    /// There is none yet, or it can't be opened.
    pub(crate) fn open(project: &Project) -> Result<Self, Failure> {
        let data = project.data_dir();
        match reach(&data)? {
            Reached::Running(_) => Ok(Workshop::Running(RemoteWorkshop { data })),
            Reached::Free(lock) => {
                let desk = Desk::of_files(project.clone());
                let warehouse = desk.open_warehouse()?.handle();
                // Views that were kept before this was a dbt project.
                warehouse.keep_models(&[]).doing("looking for views that are no models any more")?;
                Ok(Workshop::Own { warehouse, _lock: lock })
            }
        }
    }

    /// The warehouse of a project if an instance runs that can be asked.
    pub(crate) fn running(project: &Project) -> Option<Self> {
        let data = project.data_dir();
        crate::instance::is_running(&data).then(|| Workshop::Running(RemoteWorkshop { data }))
    }

    /// What can be read there without being declared.
    pub(crate) fn tables(&self) -> Result<Vec<LiveTable>, Failure> {
        match self {
            Workshop::Own { warehouse, .. } => tables(warehouse),
            Workshop::Running(RemoteWorkshop { data }) => {
                let Reached::Running(running) = reach(data)? else {
                    return Err(ProgramError::InstanceLost { detail: "it has ended".into() }.into());
                };
                let (_, told) = running.ask(&Request::Home, &mut |_: Event| Ok(()))?;
                let told = told.and_then(|told| serde_json::from_str(told.get()).ok());
                told.ok_or_else(|| ProgramError::InstanceLost { detail: "it told no tables".into() }.into())
            }
        }
    }
}

/// Nodes that one request tells of, so that it stays within what a request may be.
const NODES_A_REQUEST_MAX: usize = 500;

impl Workshop {
    /// Writes down what became of models, for the people who look at them.
    pub(crate) fn record(&self, project: &Project, mut run: ModelRun) -> Result<(), Failure> {
        let RemoteWorkshop { data } = match self {
            Workshop::Own { .. } => return Ok(access::store(project)?.record_models(&run)?),
            Workshop::Running(remote) => remote,
        };
        let (mut nodes, mut outcomes) = (std::mem::take(&mut run.nodes), std::mem::take(&mut run.outcomes));
        loop {
            let take = |length: usize| length.min(NODES_A_REQUEST_MAX);
            let part = ModelRun {
                nodes: nodes.drain(..take(nodes.len())).collect(),
                outcomes: outcomes.drain(..take(outcomes.len())).collect(),
                all: run.all.take(),
                ..run.clone()
            };
            let Reached::Running(running) = reach(data)? else {
                return Err(ProgramError::InstanceLost { detail: "it has ended".into() }.into());
            };
            running.ask(&Request::Record { run: part }, &mut |_: Event| Ok(()))?;
            if nodes.is_empty() && outcomes.is_empty() {
                return Ok(());
            }
        }
    }
}

impl BuildWarehouse for Workshop {
    fn connect(&self) -> millstream_core::log::Result<Box<dyn BuildConnection>> {
        match self {
            Workshop::Running(remote) => remote.connect(),
            Workshop::Own { warehouse, .. } => warehouse.builder(Arc::new(|| ())).connect(),
        }
    }
}

fn tables(handle: &DuckHandle) -> Result<Vec<LiveTable>, Failure> {
    let tables = handle.replicated()?.into_iter().map(|table| {
        let (name, description) = match &table.history {
            Some(_) => (table.view.name.clone(), format!("Every version of every row of {}", table.source)),
            None => (table.source.name.clone(), format!("{} at the source, as it is now", table.source)),
        };
        LiveTable {
            source: (table.source.schema, name),
            schema: table.view.schema,
            name: table.view.name,
            description,
            history: table.history.map(|names| HistoryColumns {
                valid_from: names.valid_from,
                valid_to: names.valid_to,
                operation_type: names.operation_type,
            }),
        }
    });
    Ok(tables.collect())
}

/// The answer to [`Request::Home`].
pub(super) fn document(handle: &DuckHandle) -> Result<Value, Failure> {
    Ok(json!(tables(handle)?))
}

/// Where the dbt project of a project is at home; `tables`: what can be read there, if that is known.
pub(crate) fn home(project: &Project, tables: Option<Vec<LiveTable>>) -> Home {
    let path = project.warehouse.duckdb.to_string_lossy().into_owned();
    let schema = project.models.schema.clone().or_else(|| project.warehouse.schema.clone());
    let schema = schema.unwrap_or_else(|| "main".into());
    let database = profile::database_of(&path);
    let threads = project.models.threads;
    let fields: Map<String, Value> = [
        ("type", json!("duckdb")),
        ("path", json!(path)),
        ("database", json!(database)),
        ("schema", json!(schema)),
        ("threads", json!(threads)),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into_iter()
    .collect();
    Home {
        target: Target {
            profile: project.name.clone(),
            name: TARGET.into(),
            kind: Adapter::DuckDb,
            connected: database.clone(),
            database,
            attached: Vec::new(),
            schema,
            threads,
            fields,
            path,
            settings: Vec::new(),
            external_root: ".".into(),
            extensions: Vec::new(),
            server: None,
        },
        tables,
        hidden_schema: HIDDEN_SCHEMA.into(),
        schema: project.warehouse.schema.clone(),
    }
}

/// The project that a dbt project belongs to, if it does: the nearest `millstream.yml` above says that its models are there. `given`: a directory that somebody named.
pub(crate) fn belongs_to(given: Option<&PathBuf>) -> Result<Option<Project>, Failure> {
    let Ok(dir) = given.map_or_else(std::env::current_dir, std::path::absolute) else { return Ok(None) };
    let Some(root) = dir.ancestors().find(|dir| dir.join(crate::config::FILE_NAME).is_file()) else {
        return Ok(None);
    };
    let project = Project::load(Some(root)).doing("reading the configuration of the project around it")?;
    let models = project.models.path.canonicalize().unwrap_or_else(|_| project.models.path.clone());
    let dir = dir.canonicalize().unwrap_or(dir);
    // Somewhere within the project, and not in a dbt project of its own.
    let is_there = dir == models || (given.is_none() && !dir.join("dbt_project.yml").is_file());
    Ok(Some(project).filter(|project| is_there && project.models.is_dbt()))
}
