//! What the servers are given of the project: readers, tables, progress, the endpoints of its files.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{atomic::Ordering, Arc, PoisonError, RwLock},
    time::SystemTime,
};

use millstream_api::{
    access::Access,
    answer::Interrupt,
    host::{Applied, Changes, Dashboards, Endpoints, Host, Model, Samples as Sampled, SavedQueries, Traced},
    postgres::catalog::{Contents, OpenCatalog, Readers},
};
use millstream_core::{
    build::RelationKind,
    log::Result,
    warehouse::{TableState, WarehouseReader},
    Lsn, Maintainer,
};
use millstream_store::Store;
use millstream_traces::Counts;
use millstream_warehouse::{InMemory, OwnRelation};

use super::{access, columns::FollowedColumns, desk::Desk, report, samples::Samples, tail};
use crate::{
    config::{
        dashboard_files, endpoint_files, query_files, read_dashboards, read_endpoints, read_queries,
        ConfigError,
    },
    error::ProgramError,
    failure::{Failure, Reported},
    instance::{Cancellation, Event, Handler, Request},
};

/// Makes the engine that questions about the catalogue are asked of.
pub(crate) fn open_catalog() -> OpenCatalog {
    Arc::new(|contents: Contents| {
        let engine = InMemory::open(&contents.before, &contents.tables, &contents.after)?;
        let readers: Readers = Box::new(move || engine.reader());
        Ok(readers)
    })
}

/// The files that define something, and when each was written.
type Seen = Vec<(PathBuf, Option<SystemTime>)>;

/// What became of the files: how many are served, and what is wrong with others.
pub(crate) struct KeptFiles {
    pub(crate) endpoints: usize,
    pub(crate) dashboards: usize,
    pub(crate) queries: usize,
    pub(crate) failures: Vec<Failure>,
}

/// The project as the servers see it.
pub(crate) struct Front {
    desk: Arc<Desk>,
    samples: Arc<Samples>,
    endpoints: RwLock<Arc<Endpoints>>,
    dashboards: RwLock<Arc<Dashboards>>,
    queries: RwLock<Arc<SavedQueries>>,
    seen: RwLock<Option<Seen>>,
    access: Option<Arc<Access>>,
    columns: FollowedColumns,
    /// What became of spans, where they go somewhere.
    traces: Option<Arc<Counts>>,
}

fn read<T>(of: &RwLock<Arc<T>>) -> Arc<T> {
    of.read().unwrap_or_else(PoisonError::into_inner).clone()
}

impl Front {
    /// Of a running project.
    pub(crate) fn new(
        desk: Arc<Desk>,
        samples: Arc<Samples>,
        traces: Option<Arc<Counts>>,
    ) -> std::result::Result<Arc<Self>, Failure> {
        Ok(Arc::new(Front {
            access: access::access(&desk)?,
            desk,
            samples,
            endpoints: RwLock::default(),
            dashboards: RwLock::default(),
            queries: RwLock::default(),
            seen: RwLock::default(),
            columns: FollowedColumns::default(),
            traces,
        }))
    }

    /// Reads the files of endpoints, dashboards and saved queries again if one has changed. `None`: nothing has.
    pub(crate) fn keep_files(&self) -> Option<KeptFiles> {
        let project = &self.desk.project;
        let written = |path: &PathBuf| std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
        let files = [endpoint_files(project), dashboard_files(project), query_files(project)];
        let files = files.into_iter().flat_map(std::result::Result::unwrap_or_default);
        let now: Seen = files.map(|path| (path.clone(), written(&path))).collect();
        {
            let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
            if seen.as_ref() == Some(&now) {
                return None;
            }
            *seen = Some(now);
        }
        let mut failures = Vec::new();
        keep(&self.endpoints, read_endpoints(project), &mut failures);
        // Behind the endpoints, which they draw.
        keep(&self.dashboards, read_dashboards(project, &self.endpoints()), &mut failures);
        keep(&self.queries, read_queries(project), &mut failures);
        Some(KeptFiles {
            endpoints: self.endpoints().served.len(),
            dashboards: self.dashboards().served.len(),
            queries: self.queries().served.len(),
            failures,
        })
    }
}

/// Puts what was read in the place of what was there before; where nothing can be read, that stays.
fn keep<T>(
    place: &RwLock<Arc<T>>,
    read: std::result::Result<(T, Vec<ConfigError>), ConfigError>,
    failures: &mut Vec<Failure>,
) {
    match read {
        Ok((new, errors)) => {
            *place.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
            failures.extend(errors.into_iter().map(Failure::from));
        }
        Err(error) => failures.push(Failure::from(error)),
    }
}

impl Front {
    /// What the project's relations were compiled to when they were last built, by `schema.name` in lower case.
    fn compiled(&self) -> std::result::Result<HashMap<String, String>, Failure> {
        let nodes = self.desk.store()?.model_nodes()?.into_iter();
        let made = nodes.filter_map(|node| {
            let document: serde_json::Value = serde_json::from_str(&node.document).ok()?;
            let part = |key: &str| document["relation"][key].as_str();
            Some((format!("{}.{}", part("schema")?, part("name")?).to_lowercase(), node.compiled?))
        });
        Ok(made.collect())
    }
}

impl Host for Front {
    fn project(&self) -> &str {
        &self.desk.project.name
    }

    fn access(&self) -> Option<Arc<Access>> {
        self.access.clone()
    }

    fn applied(&self) -> Applied {
        let views = self.desk.built();
        let Ok(live) = self.desk.live() else { return Applied { generation: views, ..Applied::default() } };
        let status = live.apply.get();
        let since = status.tables.iter().filter_map(|table| table.history_since);
        Applied {
            lsn: status.applied_lsn,
            since: since.map(|moment| moment.position.commit_lsn).max().unwrap_or_default(),
            generation: status.generation + views,
            tables: status.tables.into_iter().map(|table| (table.target, table.applied_lsn)).collect(),
            transactions: status.transactions,
            changes: status.changes,
        }
    }

    fn endpoints(&self) -> Arc<Endpoints> {
        read(&self.endpoints)
    }

    fn is_ready(&self) -> bool {
        self.desk.live().is_ok_and(|live| live.ready.load(Ordering::Acquire))
    }

    fn reader(&self) -> Result<Box<dyn WarehouseReader>> {
        let warehouse = self.desk.warehouse.get().ok_or(ProgramError::StillStarting)?;
        Ok(Box::new(warehouse.reader()?))
    }

    fn maintainer(&self) -> Result<Option<Box<dyn Maintainer>>> {
        let warehouse = self.desk.warehouse.get().ok_or(ProgramError::StillStarting)?;
        Ok(Some(Box::new(warehouse.maintainer()?)))
    }

    fn tables(&self) -> Result<Vec<TableState>> {
        let warehouse = self.desk.warehouse.get().ok_or(ProgramError::StillStarting)?;
        Ok(warehouse.tables()?)
    }

    fn models(&self) -> Result<Vec<Model>> {
        let warehouse = self.desk.warehouse.get().ok_or(ProgramError::StillStarting)?;
        let own = warehouse.own_relations()?;
        let compiled = match own.iter().any(|own| own.kind == RelationKind::Table) {
            true => self.compiled().map_err(Reported)?,
            false => HashMap::new(),
        };
        let model = |own: OwnRelation| {
            let holds = own.kind == RelationKind::Table;
            let made_by = compiled.get(&own.name.to_string().to_lowercase()).filter(|_| holds);
            Model { name: own.name, select: made_by.cloned().unwrap_or(own.select), holds }
        };
        Ok(own.into_iter().map(model).collect())
    }

    fn has_dbt_project(&self) -> bool {
        self.desk.project.models.is_dbt()
    }

    fn column_lineage(&self, node: &str, column: &str) -> Result<Option<serde_json::Value>> {
        let generation = self.applied().generation;
        Ok(self.columns.of(&self.desk, generation).map_err(Reported)?.column(node, column))
    }

    fn store(&self) -> Result<Arc<Store>> {
        Ok(self.desk.store().map_err(Reported)?)
    }

    fn status(&self) -> Result<serde_json::Value> {
        let status = report::status(&self.desk).map_err(Reported)?;
        serde_json::to_value(status)
            .map_err(|error| Reported(ProgramError::InstanceLost { detail: error.to_string() }.into()).into())
    }

    fn dashboards(&self) -> Arc<Dashboards> {
        read(&self.dashboards)
    }

    fn queries(&self) -> Arc<SavedQueries> {
        read(&self.queries)
    }

    fn samples(&self, behind: u64) -> Sampled {
        self.samples.behind(behind)
    }

    fn changes(&self, table: Option<&str>, from: Option<Lsn>) -> Result<Box<dyn Changes>> {
        Ok(Box::new(tail::changes(&self.desk, table, from).map_err(Reported)?))
    }

    fn newest_changes(&self, table: Option<&str>, count: usize) -> Result<Vec<String>> {
        Ok(tail::newest(&self.desk, table, count).map_err(Reported)?)
    }

    fn follow(&self, span: &tracing::Span, traceparent: &str, tracestate: Option<&str>) {
        millstream_traces::follow(span, traceparent, tracestate);
    }

    fn traced(&self) -> Option<Traced> {
        self.traces.as_ref().map(|counts| Traced { sent: counts.sent(), dropped: counts.dropped() })
    }

    fn resync(&self, tables: &[String], interrupt: &Interrupt) -> Result<serde_json::Value> {
        let cancellation = Cancellation::default();
        let cancelled = cancellation.clone();
        if interrupt.arm(Box::new(move || cancelled.cancel())).is_err() {
            cancellation.cancel();
        }
        let mut emit = |event: Event| {
            if let Event::Note(text) | Event::Warning(text) = event {
                tracing::info!(event = "resync", text);
            }
            Ok(())
        };
        let request = Request::Resync { tables: tables.to_vec() };
        let done = self.desk.handle(request, &mut emit, &cancellation).map_err(Reported)?;
        match done {
            Event::Done { value: Some(value), .. } => {
                Ok(serde_json::from_str(value.get()).unwrap_or_default())
            }
            _ => Ok(serde_json::Value::Null),
        }
    }
}
