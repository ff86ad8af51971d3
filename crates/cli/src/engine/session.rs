//! The project running: source connected, capture and apply at work, each ending only by a request or an error.

use std::{
    collections::HashSet,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc, Arc, Mutex, PoisonError,
    },
    thread,
    time::{Duration, Instant},
};

use millstream_api::priority;
use millstream_apply::{command::Command, load::rows_waiting, status::ApplyStatus, table::Table, Applier};
use millstream_core::{
    base::BaseStore, log::EventLog, warehouse::Warehouse, Action, Diagnostic, Fence, Lsn, TableId,
};
use millstream_log::EmbeddedLog;
use millstream_source::{
    capture::{self, SourceEvent},
    position::flushed_position,
    provision,
    snapshot::{
        self, chunk_pages_default, SlotUse, SnapshotConfig, SnapshotObserver, TableProgress,
        CONNECTIONS_DEFAULT, SLOT_CREATION_WAIT_MAX,
    },
    watcher::{self, WatchConfig, WATCH_INTERVAL},
    wire::Wire,
    CaptureConfig, Observer, SourceConfig, Stopper,
};
use tokio::{runtime::Runtime, sync::mpsc as async_mpsc, task::JoinHandle};

use super::{
    catch_up,
    desk::Desk,
    open,
    provision::{prepare, selection, Prepared, Remembered},
    quarantine::quarantine_dir,
    tending::{known_schemas, Told},
    warehouse_file::{self, Rebuild},
};
use crate::{
    failure::{Doing, Failure},
    output::Stages,
};

/// Threads for the connections: capture is one stream, a snapshot a few; the rest of the work has threads of its own.
const RUNTIME_THREADS: usize = 2;

/// Events of the source that wait to be heard; those that find no room are found again by the source's watcher.
const EVENTS_WAITING_MAX: usize = 256;

/// The first and the longest pause before apply tries again what may pass, such as a full disk.
const APPLY_PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// An attempt that has lasted this long without an error counts as a success.
const TROUBLE_PASSED: Duration = Duration::from_secs(2);

/// How often progress is looked at while starting: fast enough for a bar, idle otherwise.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// What a running project offers to those who ask.
pub(crate) struct Live {
    pub(super) apply: Arc<ApplyStatus>,
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) capture: Arc<Observer>,
    pub(super) snapshot: Arc<SnapshotObserver>,
    pub(super) source: SourceConfig,
    pub(super) runtime: tokio::runtime::Handle,
    /// Held by what holds apply at a position: one at a time.
    pub(super) exclusive: Mutex<()>,
    /// What keeps apply waiting, while it does.
    trouble: Mutex<Option<Trouble>>,
    /// Rows that were in the base at the start and had to be loaded yet.
    rows_waiting: u64,
    /// Tables that have to be in the warehouse before it counts as loaded.
    expected: Vec<TableId>,
    /// Whether copying has ended.
    copied: AtomicBool,
    /// Whether everything is loaded and the models are there.
    pub(super) ready: AtomicBool,
}

impl Live {
    /// Whether every table is in the warehouse.
    pub(super) fn is_loaded(&self) -> bool {
        if !self.copied.load(Ordering::Acquire) {
            return false;
        }
        let status = self.apply.get();
        // Tables that were copied under different fences agree only once the stream has passed them.
        let waiting = ["loading", "catching_up"];
        let loading = status.tables.iter().filter(|table| waiting.contains(&table.phase));
        let loading: HashSet<TableId> = loading.map(|table| table.id).collect();
        let known: HashSet<TableId> = status.tables.iter().map(|table| table.id).collect();
        self.expected.iter().all(|table| known.contains(table) && !loading.contains(table))
    }

    /// Everything is loaded, and the models are there.
    pub(crate) fn set_ready(&self) {
        self.ready.store(true, Ordering::Release);
    }

    /// Rows that were loaded since the start.
    pub(crate) fn rows_loaded(&self) -> u64 {
        self.apply.get().rows_loaded
    }

    /// How far copying and loading are.
    pub(crate) fn stages(&self) -> Stages {
        let tables = self.snapshot.status().tables;
        let copied = tables.values().map(|table| table.rows).sum();
        let copied_of: u64 = tables.values().map(TableProgress::rows_expected).sum();
        let apply = self.apply.get();
        let loaded_of = self.rows_waiting + copied_of;
        Stages { copied, copied_of, loaded: apply.rows_loaded, loaded_of }
    }

    /// Chunks that an earlier copy left and that were not copied again, and all chunks of their tables' copies.
    pub(crate) fn chunks_kept(&self) -> (u32, u32) {
        let status = self.snapshot.status();
        (status.chunks_kept(), status.tables.values().map(|table| table.chunks_planned).sum())
    }

    /// How many tables there are.
    pub(crate) fn tables(&self) -> usize {
        self.expected.len()
    }

    /// Up to where the source is durable now, everything committed before this call included.
    pub(super) fn source_position(&self) -> Result<Lsn, Failure> {
        let connection = self.source.connection.clone();
        self.runtime.block_on(async move {
            let mut wire = Wire::connect(&connection).await?;
            let position = flushed_position(&mut wire).await;
            wire.close().await;
            Ok(position?)
        })
    }

    /// What keeps apply waiting, if something does.
    pub(super) fn trouble(&self) -> Option<Failure> {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble
            .as_ref()
            .filter(|trouble| trouble.passes_at > Instant::now())
            .map(|trouble| trouble.failure.clone())
    }

    fn set_trouble(&self, failure: Failure, pause: Duration) {
        let trouble = Trouble { failure, passes_at: Instant::now() + pause + TROUBLE_PASSED };
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(trouble);
    }
}

/// An error that may pass.
struct Trouble {
    failure: Failure,
    passes_at: Instant,
}

/// A running project. [`Session::stop`] ends it cleanly.
pub(crate) struct Session {
    pub(crate) live: Arc<Live>,
    /// What was created at the source, for people.
    pub(crate) created: Vec<String>,
    /// Where the source stood when this began.
    began_at: Lsn,
    // Ahead of the runtime, which ends only when what it runs has ended.
    stopper: Stopper,
    snapshot_stopper: Stopper,
    runtime: Runtime,
    apply_stop: Arc<AtomicBool>,
    apply: Option<thread::JoinHandle<()>>,
    capture: Option<JoinHandle<()>>,
    copying: Option<JoinHandle<()>>,
    ends: mpsc::Receiver<Failure>,
    events: Mutex<async_mpsc::Receiver<SourceEvent>>,
}

/// The threads that a session's connections run on.
pub(super) fn runtime() -> Result<Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(RUNTIME_THREADS)
        .thread_name("source")
        .enable_all()
        .build()
        .map_err(|error| crate::error::ProgramError::Signals(error).into())
}

impl Session {
    /// Checks and provides everything, then starts capture, apply and, where rows are missing, copying. Rows may still be on their way when it
    /// returns.
    pub(crate) fn start(desk: &Desk, rebuild: Rebuild, tell: &mut dyn FnMut(Told)) -> Result<Self, Failure> {
        let project = &desk.project;
        let source = open::source_config(project)?;
        let runtime = runtime()?;
        let remembered = Remembered::read(project)?;
        if remembered.is_none() {
            // One that runs already waits for room where it needs some.
            open::check_room(&project.data_dir())?;
            open::check_room(&project.log.dir)?;
        }
        let log = open::log(project)?;
        desk.put_log(log.clone());
        let flushed = Some(log.stats().flushed_lsn).filter(|flushed| *flushed != Lsn::ZERO);
        let prepared = runtime.block_on(prepare(project, &source, remembered.as_ref(), flushed))?;
        let before = remembered.as_ref();
        let mut known = before.map(|before| before.warehouse.clone()).unwrap_or_default();
        let opened = warehouse_file::open(project, &log, &mut known, rebuild)?;
        let mut known = known.named()?;
        opened.notes.into_iter().map(Told::Note).for_each(&mut *tell);
        opened.rebuilt.into_iter().map(Told::Failed).for_each(&mut *tell);
        let mut warehouse = opened.warehouse;
        desk.put_warehouse(warehouse.handle());
        let held = Warehouse::tables(&mut warehouse).doing("reading the warehouse's tables")?;
        let applied = Warehouse::progress(&mut warehouse).doing("reading the warehouse's progress")?;
        known.saw(&project.warehouse.duckdb, &held);

        // What is created is written down before and after: a kill between leaves a slot or publication that counts as somebody's.
        let fresh = log.stats().flushed_lsn == Lsn::ZERO;
        let began_at = runtime.block_on(provide(&source, &prepared, fresh))?;
        let mut created = prepared.plan.statements.clone();
        if prepared.plan.create_slot {
            created.push(format!("replication slot {}", source.slot));
        }
        Remembered {
            slot_created: prepared.plan.create_slot || before.is_some_and(|before| before.slot_created),
            publication_created: prepared.plan.create_publication
                || before.is_some_and(|before| before.publication_created),
            warehouse: known.clone(),
            ..Remembered::new(prepared.identity.clone())
        }
        .write(project)?;
        // Only now: a file may not name a project that does not know its own name.
        warehouse.claim(&known.project)?;

        let (stopper, stop) = Stopper::new();
        let (snapshot_stopper, snapshot_stop) = Stopper::new();
        let (ended, ends) = mpsc::channel();
        let tables = held.iter().cloned().map(Table::from_state).collect::<Result<Vec<_>, _>>()?;
        let rows_waiting = rows_waiting(&log.manifests()?, &tables);
        let snapshot_observer = Arc::new(SnapshotObserver::default());
        let copying = {
            let held: HashSet<TableId> = held.iter().map(|table| table.layout.id).collect();
            let tables = prepared.layouts.iter().map(|layout| layout.id).collect();
            let config = snapshot_config(desk, &source, tables);
            Copying { config, held, create_slot: prepared.plan.create_slot, slot: source.slot.clone() }
                .start(&runtime, &log, &snapshot_observer, snapshot_stop)?
        };

        let observer = Arc::new(Observer::default());
        let bases: Arc<dyn BaseStore> = Arc::new(log.clone());
        let event_log: Arc<dyn EventLog> = Arc::new(log.clone());
        let identity = format!("{}/{}", prepared.identity.system_identifier, prepared.identity.database);
        let applier = Applier::open(
            Box::new(warehouse),
            event_log.clone(),
            bases,
            selection(project),
            &identity,
            &quarantine_dir(project),
        )?;
        let (commands, commanded) = mpsc::channel();
        let live = Arc::new(Live {
            apply: applier.status(),
            commands,
            capture: observer.clone(),
            snapshot: snapshot_observer,
            source: source.clone(),
            runtime: runtime.handle().clone(),
            exclusive: Mutex::default(),
            trouble: Mutex::default(),
            rows_waiting,
            expected: prepared.layouts.iter().map(|layout| layout.id).collect(),
            copied: AtomicBool::new(copying.is_none()),
            ready: AtomicBool::new(false),
        });
        let apply_stop = Arc::new(AtomicBool::new(false));
        let apply = {
            let (live, stop, ended) = (live.clone(), apply_stop.clone(), ended.clone());
            thread::Builder::new()
                .name("apply".into())
                .spawn(move || {
                    priority::set(priority::APPLY, "apply");
                    apply_loop(applier, &commanded, &live, &stop, &ended);
                })
                .map_err(crate::error::ProgramError::Signals)?
        };
        let (events_in, events) = async_mpsc::channel(EVENTS_WAITING_MAX);
        let watch = WatchConfig {
            connection: source.connection.clone(),
            slot: source.slot.clone(),
            publication: source.publication.clone(),
            interval: WATCH_INTERVAL,
        };
        // It ends by `stop`, or with the runtime: it holds nothing that must be put in order.
        let known = known_schemas(held, &log)?;
        runtime.spawn(watcher::run(watch, known.clone(), observer.clone(), events_in.clone(), stop.clone()));
        let capture = {
            let config = CaptureConfig {
                identity: Some(prepared.identity.clone()),
                needed_from: needed_from(applied.applied_lsn, &log)?,
                known,
                begin: || priority::set(priority::CAPTURE, "capture"),
                ..CaptureConfig::new(source.connection.clone(), &source.slot, &source.publication)
            };
            let ended = ended.clone();
            runtime.spawn(async move {
                if let Err(error) = capture::run(config, event_log, observer, events_in, stop).await {
                    // Nobody listens any more once the session ends.
                    let _ = ended.send(in_doing(error, "reading changes from the source"));
                }
            })
        };
        let copying = copying.map(|copying| {
            let live = live.clone();
            runtime.spawn(async move {
                match copying.await {
                    Ok(Ok(())) => live.copied.store(true, Ordering::Release),
                    Ok(Err(failure)) => drop(ended.send(failure)),
                    // It panicked or was cancelled; the former was printed, the latter was asked for.
                    Err(_) => {}
                }
            })
        });
        desk.put_live(live.clone());
        Ok(Session {
            live,
            created,
            began_at,
            stopper,
            snapshot_stopper,
            runtime,
            apply_stop,
            apply: Some(apply),
            capture: Some(capture),
            copying,
            ends,
            events: Mutex::new(events),
        })
    }

    /// Why something ended by itself, if it did.
    pub(crate) fn ended(&self) -> Option<Failure> {
        self.ends.try_recv().ok()
    }

    /// What the source had to say since it was last asked.
    pub(crate) fn events(&self) -> Vec<SourceEvent> {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        std::iter::from_fn(|| events.try_recv().ok()).collect()
    }

    /// Waits until everything is applied that was committed when the session began.
    pub(crate) fn catch_up(&self, mut go_on: impl FnMut() -> Result<(), Failure>) -> Result<(), Failure> {
        catch_up::wait(&self.live, self.began_at, || match self.ended() {
            Some(failure) => Err(failure),
            None => go_on(),
        })
    }

    /// Waits until everything is loaded, calling `look` now and then; an error of it ends the wait.
    pub(crate) fn wait_loaded(
        &self,
        mut look: impl FnMut(&Live) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        while !self.live.is_loaded() {
            if let Some(failure) = self.ended() {
                return Err(failure);
            }
            look(&self.live)?;
            thread::sleep(LOOK_INTERVAL);
        }
        Ok(())
    }

    /// Writes down what is known of the warehouse now that it is loaded, in case it is lost.
    pub(crate) fn remember(&self, desk: &Desk) -> Result<(), Failure> {
        let Some(mut remembered) = Remembered::read(&desk.project)? else { return Ok(()) };
        remembered.warehouse.saw(&desk.project.warehouse.duckdb, &desk.warehouse()?.tables()?);
        remembered.write(&desk.project)
    }

    /// Ends everything cleanly: what is complete in the log is durable, the batch at hand is finished.
    pub(crate) fn stop(mut self) {
        self.snapshot_stopper.stop();
        self.stopper.stop();
        self.apply_stop.store(true, Ordering::Release);
        for task in [self.copying.take(), self.capture.take()].into_iter().flatten() {
            // Its own end is bounded by the source room; an error of it was told already.
            let _ = self.runtime.block_on(task);
        }
        if let Some(apply) = self.apply.take() {
            let _ = apply.join();
        }
    }
}

fn in_doing(error: impl Into<Failure>, what: &str) -> Failure {
    let mut failure: Failure = error.into();
    failure.doing.get_or_insert_with(|| what.to_owned());
    failure
}

/// Creates what is missing of the publication, and returns where the source stands.
async fn provide(source: &SourceConfig, prepared: &Prepared, fresh: bool) -> Result<Lsn, Failure> {
    let mut wire = Wire::connect(&source.connection).await?;
    let position = flushed_position(&mut wire).await?;
    provision::execute(&mut wire, source, &prepared.plan, fresh).await.doing("preparing the source")?;
    wire.close().await;
    Ok(position)
}

/// From where on changes are needed where the log has none: behind what the warehouse has, or from the slot's own snapshot on.
fn needed_from(applied: Lsn, log: &EmbeddedLog) -> Result<Option<Lsn>, Failure> {
    if applied != Lsn::ZERO {
        return Ok(Some(applied));
    }
    let manifests = log.manifests()?;
    let points = manifests.iter().flat_map(|base| &base.tables).filter_map(|table| match &table.fence {
        Fence::ConsistentPoint(point) => Some(*point),
        Fence::Snapshot { .. } => None,
    });
    Ok(points.min())
}

/// How tables are copied.
pub(super) fn snapshot_config(desk: &Desk, source: &SourceConfig, tables: Vec<TableId>) -> SnapshotConfig {
    let selection = selection(&desk.project);
    SnapshotConfig {
        connection: source.connection.clone(),
        publication: Some(source.publication.clone()),
        tables,
        connections: CONNECTIONS_DEFAULT,
        chunk_pages: chunk_pages_default(),
        column_types: Arc::new(move |schema| {
            let layout = selection.layout(schema);
            Ok(layout
                .map(|layout| layout.columns.into_iter().map(|column| column.column_type).collect())
                .unwrap_or_default())
        }),
    }
}

type CopyTask = JoinHandle<Result<(), Failure>>;

/// The rows that are missing: of a base that was interrupted, and of tables that no base has.
struct Copying {
    config: SnapshotConfig,
    /// Tables that the warehouse has already.
    held: HashSet<TableId>,
    create_slot: bool,
    slot: String,
}

impl Copying {
    /// Starts, and returns once the slot exists; `None` where nothing is missing.
    fn start(
        mut self,
        runtime: &Runtime,
        log: &EmbeddedLog,
        observer: &Arc<SnapshotObserver>,
        stop: millstream_source::Stop,
    ) -> Result<Option<CopyTask>, Failure> {
        let manifests = log.manifests()?;
        let unfinished = manifests.iter().find(|base| !base.is_complete()).cloned();
        let in_bases: HashSet<TableId> =
            manifests.iter().flat_map(|base| &base.tables).map(|table| table.schema.id).collect();
        self.config.tables.retain(|table| !in_bases.contains(table) && !self.held.contains(table));
        if unfinished.is_none() && self.config.tables.is_empty() && !self.create_slot {
            return Ok(None);
        }
        let store: Arc<dyn BaseStore> = Arc::new(log.clone());
        let slot = if self.create_slot {
            SlotUse::Create { slot: self.slot.clone(), wait_max: SLOT_CREATION_WAIT_MAX }
        } else {
            SlotUse::Existing
        };
        let watched = observer.clone();
        let observer = observer.clone();
        let task: CopyTask = runtime.spawn(async move {
            let doing = "copying the tables";
            if let Some(manifest) = unfinished {
                let (store, observer) = (store.clone(), observer.clone());
                snapshot::resume(&self.config, &manifest, store, observer, stop.clone())
                    .await
                    .doing(doing)?;
            }
            if !self.config.tables.is_empty() {
                snapshot::copy(&self.config, &slot, store, observer, stop).await.doing(doing)?;
            }
            Ok(())
        });
        // Capture reads from the slot that the copy creates; once rows are planned, it is there.
        while is_planning(&watched, &task) {
            thread::sleep(LOOK_INTERVAL);
        }
        Ok(Some(task))
    }
}

fn is_planning(observer: &SnapshotObserver, task: &CopyTask) -> bool {
    !task.is_finished() && observer.status().tables.is_empty()
}

/// Applies until stopped; tries again what may pass, ends by what does not.
fn apply_loop(
    mut applier: Applier,
    commands: &mpsc::Receiver<Command>,
    live: &Live,
    stop: &AtomicBool,
    ended: &mpsc::Sender<Failure>,
) {
    let mut pause = APPLY_PAUSE.0;
    loop {
        let before = live.apply.get();
        let Err(error) = applier.run(commands, stop) else { return };
        let action = error.action();
        let failure = in_doing(error, "applying changes to the warehouse");
        if action != Action::Retry || stop.load(Ordering::Acquire) {
            // Nobody listens any more once the session ends.
            let _ = ended.send(failure);
            return;
        }
        let after = live.apply.get();
        if after.applied_lsn != before.applied_lsn || after.rows_loaded != before.rows_loaded {
            pause = APPLY_PAUSE.0;
        }
        live.set_trouble(failure, pause);
        let until = Instant::now() + pause;
        while Instant::now() < until && !stop.load(Ordering::Acquire) {
            thread::sleep(LOOK_INTERVAL.min(pause));
        }
        pause = (pause * 2).min(APPLY_PAUSE.1);
    }
}
