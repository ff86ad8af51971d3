//! What the servers are given of the project: readers, tables, progress, the endpoints of its files.

use std::{
    borrow::Cow,
    fmt,
    path::PathBuf,
    sync::{
        atomic::{AtomicU64, Ordering},
        Arc, PoisonError, RwLock,
    },
    time::SystemTime,
};

use millstream_api::{
    access::Access,
    host::{Applied, Endpoints, Host, Model},
    postgres::catalog::{Contents, OpenCatalog, Readers},
};
use millstream_core::{
    log::Result,
    warehouse::{TableState, WarehouseReader},
    Diagnostic, Exit,
};
use millstream_warehouse::InMemory;

use super::{access, desk::Desk, models, report};
use crate::{
    config::{endpoint_files, read_endpoints},
    error::ProgramError,
    failure::Failure,
};

/// A failure that has been turned into words already, where a room's error is wanted.
#[derive(Debug)]
struct Reported(Failure);

impl fmt::Display for Reported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Reported {}

impl Diagnostic for Reported {
    fn code(&self) -> &'static str {
        match self.0.code {
            Cow::Borrowed(code) => code,
            // Only what came over the socket, from another instance.
            Cow::Owned(_) => "MS6103",
        }
    }

    fn detail(&self) -> Option<String> {
        self.0.detail.clone()
    }

    fn hint(&self) -> Option<String> {
        self.0.hint.clone()
    }

    fn exit(&self) -> Exit {
        [Exit::Usage, Exit::Unreachable, Exit::Protected]
            .into_iter()
            .find(|exit| *exit as u8 == self.0.exit)
            .unwrap_or(Exit::Wrong)
    }
}

/// Makes the engine that questions about the catalogue are asked of.
pub(crate) fn open_catalog() -> OpenCatalog {
    Arc::new(|contents: Contents| {
        let engine = InMemory::open(&contents.before, &contents.tables, &contents.after)?;
        let readers: Readers = Box::new(move || engine.reader());
        Ok(readers)
    })
}

/// The files of the endpoints, and when each was written.
type Seen = Vec<(PathBuf, Option<SystemTime>)>;

/// The project as the servers see it.
pub(crate) struct Front {
    desk: Arc<Desk>,
    endpoints: RwLock<Arc<Endpoints>>,
    seen: RwLock<Option<Seen>>,
    /// How often views were made.
    views: AtomicU64,
    access: Option<Arc<Access>>,
}

impl Front {
    /// Of a running project.
    pub(crate) fn new(desk: Arc<Desk>) -> std::result::Result<Arc<Self>, Failure> {
        Ok(Arc::new(Front {
            access: access::access(&desk)?,
            desk,
            endpoints: RwLock::default(),
            seen: RwLock::default(),
            views: AtomicU64::new(0),
        }))
    }

    /// Views were made, so answers may be others.
    pub(crate) fn views_changed(&self) {
        self.views.fetch_add(1, Ordering::AcqRel);
    }

    /// Reads the endpoints' files again if one has changed. Returns how many are served and what is wrong with others; `None`: nothing has changed.
    pub(crate) fn keep_endpoints(&self) -> Option<(usize, Vec<Failure>)> {
        let project = &self.desk.project;
        let written = |path: &PathBuf| std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
        let files = endpoint_files(project).unwrap_or_default();
        let now: Seen = files.into_iter().map(|path| (path.clone(), written(&path))).collect();
        {
            let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
            if seen.as_ref() == Some(&now) {
                return None;
            }
            *seen = Some(now);
        }
        match read_endpoints(project) {
            Ok((endpoints, errors)) => {
                let served = endpoints.served.len();
                *self.endpoints.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(endpoints);
                Some((served, errors.into_iter().map(Failure::from).collect()))
            }
            // Those that were served before stay.
            Err(error) => {
                let served = self.endpoints().served.len();
                Some((served, vec![Failure::from(error)]))
            }
        }
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
        let views = self.views.load(Ordering::Acquire);
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
        self.endpoints.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn is_ready(&self) -> bool {
        self.desk.live().is_ok_and(|live| live.ready.load(Ordering::Acquire))
    }

    fn reader(&self) -> Result<Box<dyn WarehouseReader>> {
        let warehouse = self.desk.warehouse.get().ok_or(ProgramError::StillStarting)?;
        Ok(Box::new(warehouse.reader()?))
    }

    fn tables(&self) -> Result<Vec<TableState>> {
        let warehouse = self.desk.warehouse.get().ok_or(ProgramError::StillStarting)?;
        Ok(warehouse.tables()?)
    }

    fn models(&self) -> Result<Vec<Model>> {
        let models = models::read(&self.desk.project).map_err(Reported)?;
        Ok(models.into_iter().map(|model| Model { name: model.name, select: model.select }).collect())
    }

    fn status(&self) -> Result<serde_json::Value> {
        let status = report::status(&self.desk).map_err(Reported)?;
        serde_json::to_value(status)
            .map_err(|error| Reported(ProgramError::InstanceLost { detail: error.to_string() }.into()).into())
    }
}
