//! Capture: from the replication stream into the log, and only then acknowledged.
//!
//! [`run`] keeps one connection alive at a time ([`session`]); what is lost passes through here, is waited for and tried again, unless
//! it is of the kind that waiting does not mend. The log's writer lives longer than a connection ([`writer`]).

mod observer;
mod session;
mod writer;

use std::{collections::HashMap, sync::Arc, time::Duration};

use millstream_core::{log::EventLog, Diagnostic, Lsn, TableId, TableName, TableSchema};
use tokio::{
    sync::mpsc,
    task::spawn_blocking,
    time::{sleep, Instant},
};

pub use observer::{CaptureState, CaptureStatus, Observer};

use crate::{
    alone,
    catalog::relation::Doubt,
    config::Connection,
    error::{Result, SourceError},
    replication::{Replication, ReplicationStream, SourceIdentity},
    slot::Slot,
    stop::Stop,
    wire::Wire,
};
use session::Session;
use writer::WriterThread;

/// The first pause after a lost connection.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// The longest: a server that comes back is found within this time.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// How long a slot that is in use is waited for. A server notices that its reader was killed within `wal_sender_timeout` (60 s unless
/// set); who still holds the slot after that is alive.
pub const SLOT_WAIT_MAX: Duration = Duration::from_secs(75);

/// A connection that lived this long was a good one: the next pause starts from the shortest again.
const GOOD_CONNECTION_MIN: Duration = Duration::from_secs(30);

/// How long a server may be silent, though asked to answer, before the connection counts as dead: a cut network must be noticed
/// within a minute.
pub const SILENCE_MAX: Duration = Duration::from_secs(45);

/// What to capture.
#[derive(Debug, Clone)]
pub struct CaptureConfig {
    /// How to reach the source.
    pub connection: Connection,
    /// Slot to read from.
    pub slot: String,
    /// Publication to read.
    pub publication: String,
    /// Which source the log and the warehouse hold; another one is refused.
    pub identity: Option<SourceIdentity>,
    /// From where on changes are needed, for a log that holds nothing yet: the warehouse's position or the snapshot's. `None`:
    /// wherever the slot stands.
    pub needed_from: Option<Lsn>,
    /// The tables as they were last seen before this run. The catalogue may have moved on since, and what is sent again must not be read
    /// by it alone.
    pub known: Vec<TableSchema>,
    /// How long a slot in use is waited for.
    pub slot_wait_max: Duration,
    /// How long the server may be silent; [`SILENCE_MAX`].
    pub silence_max: Duration,
    /// What its thread does first: takes a priority, say, which the log's writer inherits.
    pub begin: fn(),
}

impl CaptureConfig {
    /// With the bounds at their defaults, and no demands on the source's identity or the slot's position.
    pub fn new(connection: Connection, slot: impl Into<String>, publication: impl Into<String>) -> Self {
        CaptureConfig {
            connection,
            slot: slot.into(),
            publication: publication.into(),
            identity: None,
            needed_from: None,
            known: Vec::new(),
            slot_wait_max: SLOT_WAIT_MAX,
            silence_max: SILENCE_MAX,
            begin: || {},
        }
    }
}

/// Something the caller has to know or to act on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceEvent {
    /// Receiving.
    Streaming {
        /// From where.
        from: Lsn,
    },
    /// Waiting before another attempt.
    Waiting {
        /// Stable code of the reason.
        code: &'static str,
        /// The reason.
        reason: String,
        /// How long.
        pause: Duration,
    },
    /// A table's rows can have changed without an event per row, or its changes can't be read for certain.
    TableChanged {
        /// OID.
        table: TableId,
        /// Name.
        name: TableName,
        /// What was seen.
        change: TableChange,
    },
}

/// What was seen of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableChange {
    /// Its rows were rewritten (`pg_relation_filenode` differs). A TRUNCATE does that too, and is in the stream as well.
    Rewritten {
        /// The transaction that wrote the new catalogue row.
        class_xmin: u32,
    },
    /// Columns were added, dropped, renamed or retyped, and no row has needed the new form yet.
    Columns {
        /// The table as it is now.
        schema: Box<TableSchema>,
    },
    /// Rows came or went with its partitions. Not told of a partition that was created in place, which begins empty.
    Partitions {
        /// Tables that became partitions, with the rows they had.
        attached: Vec<TableName>,
        /// Partitions that were detached or dropped, with their rows.
        detached: Vec<TableName>,
        /// Partitions that were rewritten or truncated.
        rewritten: Vec<TableName>,
    },
    /// It was renamed.
    Renamed {
        /// Its name now.
        to: TableName,
    },
    /// It is gone.
    Dropped,
    /// The publication has it no more.
    Unpublished,
    /// The publication has it now.
    Published,
    /// Its past form can't be told for certain.
    Unclear(Doubt),
}

/// Captures until stopped, or until an error that waiting does not mend.
///
/// The first connection must succeed (an error of it is returned at once, but for a slot that is still in use); later ones are
/// tried again without end, which [`SourceEvent::Waiting`] and the observer say.
///
/// It has a thread to itself, which ends by `stop` alone: dropping the future does not end it.
pub async fn run(
    config: CaptureConfig,
    log: Arc<dyn EventLog>,
    observer: Arc<Observer>,
    events: mpsc::Sender<SourceEvent>,
    stop: Stop,
) -> Result<()> {
    let begin = move || {
        (config.begin)();
        capture(config, log, observer, events, stop)
    };
    alone::run(begin).await
}

async fn capture(
    config: CaptureConfig,
    log: Arc<dyn EventLog>,
    observer: Arc<Observer>,
    events: mpsc::Sender<SourceEvent>,
    mut stop: Stop,
) -> Result<()> {
    let mut writer = WriterThread::start(&log)?;
    let known = config.known.iter().map(|schema| (schema.id, schema.clone())).collect();
    let mut capture = Capture {
        config,
        observer,
        events,
        known,
        doubted: HashMap::new(),
        connected: false,
        untold: Vec::new(),
    };
    let result = capture.run(&log, &mut writer, &mut stop).await;
    let observer = capture.observer.clone();
    // Whatever ended it: what is complete becomes durable, and the log's only writer is given back.
    let finished = spawn_blocking(move || writer.finish())
        .await
        .unwrap_or_else(|error| Err(SourceError::lost("finishing the log", error)));
    let result = match (result, finished) {
        (Ok(()), Ok(flushed)) => {
            observer.flushed(flushed);
            Ok(())
        }
        (Ok(()), Err(error)) | (Err(error), _) => Err(error),
    };
    match &result {
        Ok(()) => observer.set_state(CaptureState::Stopped, None),
        Err(error) => observer.set_state(CaptureState::Failed, Some(error.clone())),
    }
    result
}

struct Capture {
    config: CaptureConfig,
    observer: Arc<Observer>,
    events: mpsc::Sender<SourceEvent>,
    /// Each table as the log was last told, across connections.
    known: HashMap<TableId, TableSchema>,
    /// What was unclear of each table when it was last announced.
    doubted: HashMap<TableId, Vec<Doubt>>,
    connected: bool,
    /// Events that found the listener's queue full.
    untold: Vec<SourceEvent>,
}

/// A stream that has begun, with a connection to ask the catalogue on.
struct Opened {
    stream: ReplicationStream,
    catalog: Wire,
    from: Lsn,
    /// How long the server waits for a word of ours; zero: for ever.
    server_patience: Duration,
}

impl Capture {
    async fn run(
        &mut self,
        log: &Arc<dyn EventLog>,
        writer: &mut WriterThread,
        stop: &mut Stop,
    ) -> Result<()> {
        let mut pause = PAUSE_MIN;
        let mut held_since: Option<Instant> = None;
        loop {
            let began = Instant::now();
            let opened = tokio::select! {
                () = stop.requested() => return Ok(()),
                opened = self.open(writer) => opened,
            };
            let result = match opened {
                Ok(opened) => Session::new(self, writer, opened, stop.clone()).run().await,
                Err(error) => Err(error),
            };
            let error = match result {
                Ok(()) => return Ok(()),
                Err(_) if stop.is_requested() => return Ok(()),
                Err(error) => error,
            };
            let held = matches!(error, SourceError::SlotInUse { .. });
            if !error.is_transient() || (!held && !self.connected) {
                return Err(error);
            }
            if writer.has_failed() {
                // What it was in the middle of comes again from the source. Where it can't begin again, this comes again, too.
                if let Err(error) = writer.begin_again(log) {
                    tracing::debug!(event = "log_busy", %error, "the log takes no writer yet");
                }
            }
            if held {
                if held_since.get_or_insert(began).elapsed() >= self.config.slot_wait_max {
                    return Err(error);
                }
                // The server frees the slot at a moment of its own; looking is cheap.
                pause = pause.min(Duration::from_secs(1));
                self.observer.set_state(CaptureState::WaitingForSlot, Some(error.clone()));
            } else {
                held_since = None;
                if began.elapsed() >= GOOD_CONNECTION_MIN {
                    pause = PAUSE_MIN;
                }
                self.observer.set_state(CaptureState::Reconnecting, Some(error.clone()));
            }
            tracing::warn!(event = "source_awaited", error = %error, pause_ms = pause.as_millis() as u64, "waiting for the source");
            self.tell(SourceEvent::Waiting { code: error.code(), reason: error.to_string(), pause });
            tokio::select! {
                () = stop.requested() => return Ok(()),
                () = sleep(pause) => {}
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Connects, and checks that the slot can go on where the log ends.
    async fn open(&mut self, writer: &mut WriterThread) -> Result<Opened> {
        let mut flushed = writer.reset().await?;
        let mut replication = Replication::connect(&self.config.connection).await?;
        let (identity, source_end) = replication.identify().await?;
        if let Some(ours) = &self.config.identity {
            ours.require_same(&identity)?;
        }
        let mut catalog = Wire::connect(&self.config.connection).await?;
        let name = self.config.slot.as_str();
        let Some(slot) = Slot::read(&mut catalog, name).await? else {
            return Err(SourceError::SlotMissing { slot: name.to_owned() });
        };
        slot.check_kind()?;
        slot.check_wal()?;
        slot.check_free()?;
        if flushed == Lsn::ZERO {
            let start = slot.confirmed_flush.unwrap_or(Lsn::ZERO);
            if let Some(needed) = self.config.needed_from {
                slot.check_position(needed)?;
            }
            flushed = start;
        } else {
            slot.check_position(flushed)?;
        }
        if source_end < flushed {
            return Err(SourceError::SourceBehind { theirs: source_end, ours: flushed });
        }
        self.observer.set_source(source_end, slot.retained_bytes.unwrap_or(0).max(0) as u64);
        let patience = "SELECT setting FROM pg_settings WHERE name = 'wal_sender_timeout'";
        let patience = catalog.query_one("reading wal_sender_timeout", patience).await?.parse(0)?;
        let version = catalog.query_one("reading the version", "SHOW server_version_num").await?.parse(0)?;
        writer.describe(replication.describe(&identity, version))?;
        let stream = replication.start(name, &self.config.publication, flushed).await?;
        self.connected = true;
        self.observer.flushed(flushed);
        self.observer.set_state(CaptureState::Streaming, None);
        tracing::info!(event = "capture_streaming", from = %flushed, slot = name);
        self.tell(SourceEvent::Streaming { from: flushed });
        Ok(Opened { stream, catalog, from: flushed, server_patience: Duration::from_millis(patience) })
    }

    /// Capture never waits for whoever listens. What a listener must not miss is kept and told again.
    fn tell(&mut self, event: SourceEvent) {
        match self.events.try_send(event) {
            Err(mpsc::error::TrySendError::Full(event @ SourceEvent::TableChanged { .. })) => {
                self.untold.push(event)
            }
            Err(_) => {
                tracing::debug!(event = "source_event_unheard", "nobody listens to the source's events")
            }
            Ok(()) => {}
        }
    }

    /// At most one event per relation message waits here, and those are rare.
    fn tell_again(&mut self) {
        for event in std::mem::take(&mut self.untold) {
            self.tell(event);
        }
    }
}
