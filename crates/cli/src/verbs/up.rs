//! `millstream up`: the project at work until it is asked to end.

use std::{
    cell::{OnceCell, RefCell},
    net::SocketAddr,
    sync::Arc,
    thread,
    time::{Duration, Instant, SystemTime},
};

use millstream_api::{
    http::{self, Server as HttpServer},
    postgres::{self, Server as PostgresServer},
};
use millstream_source::{catalog::relation::Doubt, SourceEvent, TableChange};
use millstream_traces::{Counts, Traces};

use super::{ask, dbt::FirstBuild};
use crate::{
    args::Global,
    config::Project,
    engine::{self, Desk, Front, Rebuild, Samples, Sampling, Session, Tending, Told},
    error::ProgramError,
    failure::{Failure, Outcome},
    instance::{reach, serve, Lock, Reached, Request, Server},
    output::{group_digits, Output, Progress, Stages, Style},
    signals::Signals,
};

/// How often a running instance looks whether something ended.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// The first and the longest pause before a warehouse that failed is opened again.
const REOPEN_PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// How often a damaged warehouse is built again in one run: what is damaged twice stands on a disk that should be looked at.
const REBUILDS_MAX: u32 = 1;

/// How often it looks whether a model's file has changed.
const MODELS_INTERVAL: Duration = Duration::from_secs(2);

/// Runs it.
pub(super) fn run(global: &Global, output: &Output, until_caught_up: bool) -> Outcome {
    let project = ask::project(global)?;
    let signals = Signals::watch().map_err(ProgramError::Signals)?;
    let data = project.data_dir();
    // A short verb that looks at the files is waited for, an instance is not.
    let lock = match reach(&data)? {
        Reached::Free(lock) => lock,
        // Beside a running instance it only waits.
        Reached::Running(_) if until_caught_up => return ask::print(global, output, Request::WaitCaughtUp),
        Reached::Running(_) => {
            let pid = Lock::holder(&data);
            return Err(ProgramError::OwnedByAnother { data, pid }.into());
        }
    };
    // A client is a descriptor, and thousands of them may listen; what the system allows at most it gives when asked.
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(event = "descriptors_limited", error = %error);
    }
    let traces = traces(&project, output)?;
    let up = Up {
        output,
        traces: traces.as_ref().map(Traces::counts),
        signals,
        until_caught_up,
        http: OnceCell::new(),
        postgres: OnceCell::new(),
        samples: Arc::default(),
        building: RefCell::default(),
    };
    let ended = up.run(project);
    drop(lock);
    // The last spans are those of the end.
    drop(traces);
    match (ended, up.signals.exit()) {
        // What was asked to end ended.
        (_, Some(exit)) => Ok(exit),
        (ended, None) => ended,
    }
}

/// Turns traces on where the project says where they go.
fn traces(project: &Project, output: &Output) -> Result<Option<Traces>, Failure> {
    let Some(settings) = project.traces.clone() else { return Ok(None) };
    let headers = settings.headers.into_iter().map(|(name, value)| (name, value.expose().to_owned()));
    let settings = millstream_traces::Settings {
        endpoint: settings.endpoint,
        headers: headers.collect(),
        resource: settings.resource,
        sampling: settings.sampling,
    };
    let output = *output;
    let tell = move |text: &str| output.warn_of("traces_dropped", text);
    Ok(Some(Traces::start(settings, tell).map_err(ProgramError::Traces)?))
}

struct Up<'a> {
    output: &'a Output,
    /// What became of traces, where there are any.
    traces: Option<Arc<Counts>>,
    signals: Signals,
    until_caught_up: bool,
    /// Where is served: the same again where the warehouse has to be opened again.
    http: OnceCell<SocketAddr>,
    postgres: OnceCell<SocketAddr>,
    /// Of all attempts: what went wrong before the last one is what somebody looks for.
    samples: Arc<Samples>,
    /// The models that are built first, while they are.
    building: RefCell<Option<FirstBuild>>,
}

impl Up<'_> {
    /// Runs it, again where the warehouse has to be opened again, and once more where its file turns out to be damaged: it is built again.
    fn run(&self, project: Project) -> Outcome {
        let mut rebuilds = 0;
        let mut pause = REOPEN_PAUSE.0;
        loop {
            let began = Instant::now();
            match self.run_once(project.clone(), pause) {
                Err(failure) if engine::must_reopen(&failure) => {
                    self.signals.cancellation().check()?;
                    // One that ran well for a while begins with short pauses again.
                    let ran_well = began.elapsed() > REOPEN_PAUSE.1 * 3;
                    pause = if ran_well { REOPEN_PAUSE.0 } else { (pause * 2).min(REOPEN_PAUSE.1) };
                }
                Err(failure) if engine::is_damage(&failure) && rebuilds < REBUILDS_MAX => {
                    rebuilds += 1;
                    self.output.failure(&engine::set_aside(&project, failure)?);
                }
                ended => return ended,
            }
        }
    }

    /// Runs it until it ends. Where the warehouse must be opened again it ends after a pause, in which whoever asks is told.
    fn run_once(&self, project: Project, pause: Duration) -> Outcome {
        let name = project.name.clone();
        let data = project.data_dir();
        let desk = Arc::new(Desk::of_instance(project));
        let server = serve(&data, desk.clone())?;
        let front = Front::new(desk.clone(), self.samples.clone(), self.traces.clone())?;
        let _sampling = desk
            .http_address()
            .filter(|_| !self.until_caught_up)
            .map(|_| Sampling::start(self.samples.clone(), desk.clone()).map_err(ProgramError::Signals))
            .transpose()?;
        let http = self.serve_http(&desk, &front)?;
        let postgres = self.serve_postgres(&desk, &front)?;
        self.output.tell("starting", &format!("{} starting", self.output.paint(Style::Bold, &name)));
        let session = Session::start(&desk, Rebuild::Allowed, &mut |told| match told {
            Told::Note(text) => self.output.warn(&text),
            Told::Failed(failure) => self.output.failure(&failure),
        });
        let ended = match session {
            Ok(session) => {
                let ended = self.work(&desk, &session, &front);
                if let Err(failure) = &ended {
                    desk.set_failed(failure.clone());
                }
                session.stop();
                ended
            }
            Err(failure) => {
                desk.set_failed(failure.clone());
                Err(failure)
            }
        };
        if let Some(failure) = ended.as_ref().err().filter(|failure| engine::must_reopen(failure)) {
            self.output.failure(failure);
            self.output.tell(
                "warehouse_reopening",
                &format!("the warehouse is opened again in {:.0} s", pause.as_secs_f64()),
            );
            let until = Instant::now() + pause;
            while Instant::now() < until && !self.signals.cancellation().is_cancelled() {
                thread::sleep(LOOK_INTERVAL);
            }
        }
        // Whoever still asks is answered or cancelled before the project is somebody else's.
        drop(http);
        if let Some(postgres) = postgres {
            postgres.stop();
        }
        close(server);
        // Its statements have ended with the socket.
        drop(self.building.take().map(FirstBuild::end));
        if self.signals.exit().is_some() {
            self.output.tell("stopped", "stopped");
        }
        ended
    }

    /// Serves HTTP where the project says so.
    fn serve_http(&self, desk: &Desk, front: &Arc<Front>) -> Result<Option<HttpServer>, Failure> {
        let Some(address) = desk.http_address().filter(|_| !self.until_caught_up) else { return Ok(None) };
        let address = self.http.get().map_or_else(|| address.to_owned(), SocketAddr::to_string);
        let config = http::Config { address, cors: desk.cors().to_vec(), limits: desk.limits() };
        let server = HttpServer::start(config, front.clone())?;
        // Only the first attempt chooses.
        let _ = self.http.set(server.address());
        Ok(Some(server))
    }

    /// Serves PostgreSQL's clients where the project says so.
    fn serve_postgres(&self, desk: &Desk, front: &Arc<Front>) -> Result<Option<PostgresServer>, Failure> {
        let Some(address) = desk.postgres_address().filter(|_| !self.until_caught_up) else {
            return Ok(None);
        };
        let address = self.postgres.get().copied().unwrap_or(address);
        let mut config = postgres::Config { tls: desk.postgres_tls()?, ..postgres::Config::new(address) };
        config.memory_bytes = desk.limits().memory_bytes;
        config.statement_max =
            desk.limits().time.map_or(config.statement_max, |time| time.min(config.statement_max));
        let server = postgres::serve(config, front.clone(), engine::open_catalog())?;
        // Only the first attempt chooses.
        let _ = self.postgres.set(server.address());
        Ok(Some(server))
    }

    fn work(&self, desk: &Arc<Desk>, session: &Session, front: &Front) -> Outcome {
        for created in &session.created {
            self.output.tell("source_created", &format!("created at the source: {created}"));
        }
        self.load(session)?;
        session.remember(desk)?;
        if self.until_caught_up {
            session.catch_up(|| self.signals.cancellation().check())?;
            engine::tend_once(desk, self.signals.cancellation())?;
            self.output.tell("caught_up", "caught up");
            return Ok(0);
        }
        let mut models = Models::default();
        models.keep(desk, front, self.output);
        let building = FirstBuild::start(desk.project(), self.output).map_err(ProgramError::Signals)?;
        if building.is_none() {
            session.live.set_ready();
        }
        self.building.replace(building);
        self.output.tell(
            "streaming",
            &format!(
                "{}: changes are applied as they come; `millstream status` tells more, Ctrl-C stops",
                self.output.paint(Style::Good, "streaming")
            ),
        );
        if let Some(address) = self.http.get() {
            self.output.tell(
                "http_listening",
                &format!(
                    "http://{address}/ui: everything, live; /docs: the API; /metrics, /live and /ready beside it"
                ),
            );
        }
        if let Some(address) = self.postgres.get() {
            let name = desk.project_name();
            self.output.tell(
                "postgres_listening",
                &format!("postgres://{address}/{name}: the warehouse for PostgreSQL's clients, read-only"),
            );
        }
        self.watch(desk, session, front, &mut models)
    }

    /// Shows the rows coming in until all are there.
    fn load(&self, session: &Session) -> Result<(), Failure> {
        let started = Instant::now();
        let mut progress: Option<Progress> = None;
        session.wait_loaded(|live| {
            let stages = live.stages();
            if stages != Stages::default() {
                progress.get_or_insert_with(|| self.output.progress("snapshot")).update_stages(&stages);
            }
            self.signals.cancellation().check()
        })?;
        let rows = session.live.rows_loaded();
        if rows > 0 || progress.is_some() {
            let seconds = started.elapsed().as_secs_f64();
            let text = format!(
                "snapshot: {} rows of {} table{} in {seconds:.1} s ({} rows/s)",
                group_digits(rows),
                session.live.tables(),
                if session.live.tables() == 1 { "" } else { "s" },
                group_digits((rows as f64 / seconds.max(0.001)) as u64)
            );
            match progress {
                Some(progress) => progress.finish(&text),
                None => self.output.note(&text),
            }
            let (kept, chunks) = session.live.chunks_kept();
            if kept > 0 {
                self.output
                    .note(&format!("{kept} of {chunks} chunks were kept from a copy that was cut off"));
            }
        }
        Ok(())
    }

    /// Until something ends.
    fn watch(&self, desk: &Arc<Desk>, session: &Session, front: &Front, models: &mut Models) -> Outcome {
        let tending = Tending::start(desk).map_err(ProgramError::Signals)?;
        let mut looked = Instant::now();
        loop {
            self.signals.cancellation().check()?;
            if let Some(failure) = session.ended() {
                return Err(failure);
            }
            for event in session.events() {
                if let SourceEvent::TableChanged { table, name, change } = &event {
                    if !desk.concerns(*table, name, change) {
                        continue;
                    }
                    tending.hear(*table, change);
                }
                self.tell(&event);
            }
            for told in tending.told() {
                match told {
                    Told::Note(text) => self.output.note(&text),
                    Told::Failed(failure) => self.output.failure(&failure),
                }
            }
            if looked.elapsed() >= MODELS_INTERVAL {
                looked = Instant::now();
                models.keep(desk, front, self.output);
            }
            if self.building.borrow().as_ref().is_some_and(FirstBuild::has_ended) {
                if let Some(Err(failure)) = self.building.take().map(FirstBuild::end) {
                    self.output.failure(&failure);
                }
                // What failed stays as it is until somebody builds it: the rest can be read.
                session.live.set_ready();
            }
            thread::sleep(LOOK_INTERVAL);
        }
    }

    fn tell(&self, event: &SourceEvent) {
        match event {
            SourceEvent::Streaming { .. } => {}
            SourceEvent::Waiting { code, reason, pause } => {
                self.output.warn(&format!("[{code}] {reason}; next attempt in {:.1} s", pause.as_secs_f64()));
            }
            SourceEvent::TableChanged { name, change, .. } => {
                let what = match change {
                    TableChange::Rewritten { .. } => "was rewritten at the source".to_owned(),
                    TableChange::Columns { .. } => "has other columns at the source".to_owned(),
                    TableChange::Renamed { to } => format!("is called {to} now"),
                    TableChange::Dropped => "is gone from the source; its history stays".to_owned(),
                    TableChange::Unpublished => "is no longer published: its changes are not seen".to_owned(),
                    TableChange::Published => "is published now".to_owned(),
                    TableChange::Partitions { .. } => "has other partitions at the source".to_owned(),
                    TableChange::Unclear(Doubt::TableGone) => {
                        "was dropped at the source before its changes were read; its last rows are not kept".to_owned()
                    }
                    TableChange::Unclear(Doubt::ColumnUnclear { column }) => format!(
                        "had columns dropped or renamed while changes of before were still on their way, and which of them was `{column}` can't be \
                         told; it is read again to be sure (`millstream verify {name}` compares it)"
                    ),
                    TableChange::Unclear(Doubt::ValueUnknown { column }) => format!(
                        "had the column `{column}` for a while, and what rows from before it held in it can't be told; it is read again to be sure"
                    ),
                };
                self.output.warn(&format!("{name} {what}"));
            }
        }
    }
}

fn close(server: Server) {
    drop(server);
}

/// The models' files as they were last read.
#[derive(Default)]
struct Models {
    seen: Option<Vec<(std::path::PathBuf, Option<SystemTime>)>>,
}

impl Models {
    /// Makes the views again and reads endpoints, dashboards and saved queries again if a file has changed.
    fn keep(&mut self, desk: &Desk, front: &Front, output: &Output) {
        self.keep_views(desk, output);
        // Behind the views, which they read.
        if let Some(kept) = desk.http_address().and_then(|_| front.keep_files()) {
            for (what, count) in [
                ("endpoints", kept.endpoints),
                ("dashboards", kept.dashboards),
                ("saved queries", kept.queries),
            ] {
                if count > 0 {
                    output.tell("files_read", &format!("{what}: {count}"));
                }
            }
            kept.failures.iter().for_each(|failure| output.failure(failure));
        }
    }

    fn keep_views(&mut self, desk: &Desk, output: &Output) {
        let now = engine::model_files(desk);
        if self.seen.as_ref() == Some(&now) {
            return;
        }
        self.seen = Some(now);
        let kept = engine::keep_models(desk);
        desk.models_changed();
        match kept {
            Ok(report) => {
                if !report.kept.is_empty() {
                    output.tell("views_made", &format!("views: {}", report.kept.join(", ")));
                }
                for failure in &report.broken {
                    output.failure(failure);
                }
            }
            Err(failure) => output.failure(&failure),
        }
    }
}
