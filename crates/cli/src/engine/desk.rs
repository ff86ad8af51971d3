//! Answers requests with whatever of the project is open: all of it in a running instance, its files otherwise.

use std::{
    net::SocketAddr,
    sync::{
        atomic::{AtomicU64, Ordering},
        Arc, Mutex, OnceLock, PoisonError,
    },
};

use millstream_api::{access::Limits, postgres::Tls};
use millstream_core::{
    build::{BuildConnection, BuildWarehouse},
    TableId, TableName,
};
use millstream_log::EmbeddedLog;
use millstream_source::{CaptureState, TableChange};
use millstream_store::{NewKey, Store};
use millstream_warehouse::{DuckDb, DuckHandle};
use serde_json::value::to_raw_value;

use super::{
    access, catch_up, models, open, plan, provision::Remembered, quarantine, query, report, resync,
    session::Live, tail, verify, warehouse_file, workshop,
};
use crate::{
    config::{nearest, Project},
    error::ProgramError,
    failure::{Doing, Failure},
    instance::{Cancellation, Emit, Event, Handler, Request},
    status::State,
};

/// The code of [`ProgramError::NoWarehouse`].
const NO_WAREHOUSE: &str = "MS6202";

/// What the instance is doing as a whole, where the rooms don't say it.
#[derive(Debug, Clone)]
pub(crate) struct Stage {
    pub(crate) state: State,
    pub(crate) reason: Option<String>,
    pub(crate) error: Option<Failure>,
}

/// Where requests are answered.
pub(crate) struct Desk {
    pub(super) project: Project,
    /// Whether this is the instance that runs the project, not a verb that looks at its files.
    pub(super) running: bool,
    pub(super) warehouse: OnceLock<DuckHandle>,
    pub(super) log: OnceLock<EmbeddedLog>,
    live: OnceLock<Arc<Live>>,
    store: Mutex<Option<Arc<Store>>>,
    stage: Mutex<Stage>,
    /// How often something that is no table of the source was changed.
    built: Arc<AtomicU64>,
}

impl Desk {
    /// Of an instance that is about to run the project. What it opens is put on the desk as it is opened.
    pub(crate) fn of_instance(project: Project) -> Self {
        Self::new(project, true, State::Starting, None)
    }

    /// Of a verb that looks at the files of a project that is not running.
    pub(crate) fn of_files(project: Project) -> Self {
        Self::new(project, false, State::Paused, Some("not running".to_owned()))
    }

    fn new(project: Project, running: bool, state: State, reason: Option<String>) -> Self {
        let stage = Mutex::new(Stage { state, reason, error: None });
        Desk {
            project,
            running,
            warehouse: OnceLock::new(),
            log: OnceLock::new(),
            live: OnceLock::new(),
            store: Mutex::default(),
            stage,
            built: Arc::default(),
        }
    }

    /// How often models were changed.
    pub(super) fn built(&self) -> u64 {
        self.built.load(Ordering::Acquire)
    }

    /// Models were changed, so answers may be others.
    pub(crate) fn models_changed(&self) {
        self.built.fetch_add(1, Ordering::AcqRel);
    }

    /// A connection to build models with. Nothing is built of tables that are not all there.
    pub(super) fn connection_to_build(&self) -> Result<Box<dyn BuildConnection>, Failure> {
        if !self.live()?.is_loaded() {
            return Err(ProgramError::StillStarting.into());
        }
        let built = self.built.clone();
        let changed = move || {
            built.fetch_add(1, Ordering::AcqRel);
        };
        self.warehouse()?.builder(Arc::new(changed)).connect().map_err(Failure::from)
    }

    /// Opens the files that a request needs. The returned warehouse must outlive the answer.
    pub(crate) fn open_files(&self, request: &Request) -> Result<Option<DuckDb>, Failure> {
        if matches!(request, Request::KeysCreate { .. } | Request::KeysList | Request::KeysRevoke { .. }) {
            return Ok(None);
        }
        if matches!(request, Request::Status | Request::Tail { .. }) && self.project.log.dir.exists() {
            self.put_log(open::log(&self.project)?);
        }
        match self.open_warehouse() {
            Ok(warehouse) => {
                self.put_warehouse(warehouse.handle());
                Ok(Some(warehouse))
            }
            // Nothing is there yet, and nothing was.
            Err(failure) if failure.code == NO_WAREHOUSE && !matches!(request, Request::Sql { .. }) => {
                Ok(None)
            }
            // What can be said without it is said, and that it can't be opened.
            Err(failure) if matches!(request, Request::Status) => {
                self.set_failed(failure);
                Ok(None)
            }
            Err(failure) => Err(failure),
        }
    }

    pub(super) fn open_warehouse(&self) -> Result<DuckDb, Failure> {
        let path = self.project.warehouse.duckdb.clone();
        let known = Remembered::read(&self.project)?.map(|known| known.warehouse).unwrap_or_default();
        if !path.exists() {
            return Err(match known.file {
                Some(_) => ProgramError::WarehouseGone { path }.into(),
                None => ProgramError::NoWarehouse { path }.into(),
            });
        }
        let opened = warehouse_file::existing(&self.project, &known).map_err(Failure::from);
        Ok(opened.doing("opening the warehouse")?.0)
    }

    /// The program's own state, opened when it is first asked for.
    pub(super) fn store(&self) -> Result<Arc<Store>, Failure> {
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        match &*store {
            Some(store) => Ok(store.clone()),
            None => Ok(store.insert(Arc::new(access::store(&self.project)?)).clone()),
        }
    }

    /// The project.
    pub(crate) fn project(&self) -> &Project {
        &self.project
    }

    /// The project's name.
    pub(crate) fn project_name(&self) -> &str {
        &self.project.name
    }

    /// Where the project says that HTTP is served.
    pub(crate) fn http_address(&self) -> Option<&str> {
        self.project.serve_http.as_deref()
    }

    /// Origins whose pages may ask.
    pub(crate) fn cors(&self) -> &[String] {
        &self.project.access.cors
    }

    /// How much requests may take.
    pub(crate) fn limits(&self) -> Limits {
        self.project.access.limits
    }

    /// What PostgreSQL's clients are shown when they ask for TLS.
    pub(crate) fn postgres_tls(&self) -> Result<Option<Tls>, Failure> {
        let files = self.project.postgres_tls.as_ref();
        Ok(files.map(|files| Tls::of_files(&files.cert, &files.key)).transpose()?)
    }

    /// Where the project says that PostgreSQL's clients are served.
    pub(crate) fn postgres_address(&self) -> Option<SocketAddr> {
        self.project.serve_postgres
    }

    pub(crate) fn put_warehouse(&self, handle: DuckHandle) {
        // Opened once in the life of a desk.
        let _ = self.warehouse.set(handle);
    }

    pub(crate) fn put_log(&self, log: EmbeddedLog) {
        let _ = self.log.set(log);
    }

    pub(crate) fn put_live(&self, live: Arc<Live>) {
        let _ = self.live.set(live);
    }

    pub(super) fn live(&self) -> Result<&Arc<Live>, Failure> {
        self.live.get().ok_or_else(|| ProgramError::StillStarting.into())
    }

    /// Says that it has ended, and why.
    pub(crate) fn set_failed(&self, failure: Failure) {
        let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        *stage = Stage { state: State::Error, reason: None, error: Some(failure) };
    }

    /// What the whole is doing, by what its parts say.
    pub(crate) fn stage(&self) -> Stage {
        let stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(live) = self.live.get().filter(|_| stage.error.is_none()) else { return stage };
        let capture = live.capture.status();
        let waiting = |state, reason: &str| Stage { state, reason: Some(reason.to_owned()), error: None };
        if let Some(failure) = live.trouble() {
            return Stage {
                state: State::Error,
                reason: Some("apply tries again".into()),
                error: Some(failure),
            };
        }
        match capture.state {
            CaptureState::Reconnecting | CaptureState::Failed => {
                let reason = (capture.state == CaptureState::Reconnecting).then(|| "reconnecting".to_owned());
                Stage { state: State::Error, reason, error: capture.error.map(Failure::from) }
            }
            CaptureState::Paused => {
                waiting(State::Paused, "the log is full: capture waits until the warehouse catches up")
            }
            CaptureState::WaitingForSlot => {
                waiting(State::Starting, "waiting for the replication slot, which a predecessor still holds")
            }
            _ if !live.is_loaded() || !live.ready.load(Ordering::Acquire) => {
                Stage { state: State::Snapshotting, reason: None, error: None }
            }
            CaptureState::Starting => Stage { state: State::Starting, reason: None, error: None },
            CaptureState::Streaming | CaptureState::Stopped => {
                Stage { state: State::Streaming, reason: None, error: None }
            }
        }
    }

    pub(super) fn warehouse(&self) -> Result<&DuckHandle, Failure> {
        self.warehouse.get().ok_or_else(|| ProgramError::StillStarting.into())
    }

    /// Whether what was seen of a table concerns this project: a publication can hold tables that are not selected.
    pub(crate) fn concerns(&self, table: TableId, name: &TableName, change: &TableChange) -> bool {
        let selection = &self.project.source.tables;
        let renamed = matches!(change, TableChange::Renamed { to } if selection.selects(to));
        let held = || {
            self.live.get().is_some_and(|live| live.apply.get().tables.iter().any(|held| held.id == table))
        };
        selection.selects(name) || renamed || held()
    }

    /// The tables that the names mean; an unknown one is an error that says which was meant.
    pub(super) fn named_tables(&self, names: &[String]) -> Result<Vec<TableName>, Failure> {
        let known: Vec<TableName> =
            self.warehouse()?.tables()?.into_iter().map(|table| table.layout.source).collect();
        names
            .iter()
            .map(|name| {
                known.iter().find(|table| table.to_string() == *name).cloned().ok_or_else(|| {
                    let known: Vec<String> = known.iter().map(TableName::to_string).collect();
                    let nearest = nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
                    ProgramError::NoSuchTable { name: name.clone(), nearest }.into()
                })
            })
            .collect()
    }
}

impl Handler for Desk {
    fn handle(
        &self,
        request: Request,
        emit: &mut dyn Emit,
        cancellation: &Cancellation,
    ) -> Result<Event, Failure> {
        match request {
            Request::Status => done(0, &report::status(self)?),
            Request::Plan => plan::run(self),
            Request::Sql { sql, as_of } => {
                let mut reader = self.warehouse()?.reader()?;
                if let Some(as_of) = &as_of {
                    let models = models::read(&self.project).unwrap_or_default();
                    for warning in query::uncertainty(&self.warehouse()?.tables()?, &models, &sql, as_of)? {
                        emit.emit(Event::Warning(warning))?;
                    }
                }
                query::sql(&mut reader, &sql, as_of.as_deref(), emit, cancellation)
            }
            Request::Home => done(0, &workshop::document(self.warehouse()?)?),
            Request::Record { run } => {
                self.store()?.record_models(&run)?;
                self.models_changed();
                Ok(Event::Done { exit: 0, value: None })
            }
            // The connection is what answers it.
            Request::Build => Err(ProgramError::UnknownRequest { detail: "nothing to build".into() }.into()),
            Request::WaitCaughtUp => {
                let live = self.live()?;
                let target = live.source_position()?;
                catch_up::wait(live, target, || cancellation.check())?;
                Ok(Event::Done { exit: 0, value: None })
            }
            Request::Verify { tables } => verify::run(self, &tables, emit, cancellation),
            Request::Resync { tables } => resync::run(self, &tables, emit, cancellation),
            Request::KeysCreate { role, name, expires } => {
                access::create_key(self, NewKey { role, name, expires })
            }
            Request::KeysList => access::list_keys(self, emit),
            Request::KeysRevoke { id } => access::revoke_key(self, &id),
            Request::QuarantineList { tables } => quarantine::list(self, &tables),
            Request::QuarantineShow { table, position } => quarantine::show(self, &table, &position),
            Request::QuarantineReplay { tables } => quarantine::replay(self, &tables, cancellation),
            Request::QuarantineDrop { tables } => quarantine::discard(self, &tables, emit, cancellation),
            Request::Tail { table, from, limit, follow, text } => {
                let wanted = tail::Wanted { table: &table, from: from.as_deref(), limit, follow, text };
                tail::run(self, &wanted, emit, cancellation)
            }
        }
    }

    fn workshop(&self) -> Result<Box<dyn BuildConnection>, Failure> {
        self.connection_to_build()
    }
}

/// The end of an answer that is one document.
pub(super) fn done(exit: u8, value: &impl serde::Serialize) -> Result<Event, Failure> {
    let value =
        to_raw_value(value).map_err(|error| ProgramError::InstanceLost { detail: error.to_string() })?;
    Ok(Event::Done { exit, value: Some(value) })
}
