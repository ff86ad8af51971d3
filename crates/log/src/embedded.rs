//! The log itself: its settings, what writer, readers and retention share, and the port.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicU64, Ordering},
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
    },
    time::Duration,
};

use millstream_core::{
    base::{BaseId, BaseManifest, BaseStore, BaseTable, ChunkWriter},
    log::{EventLog, LogReader, LogStats, LogWriter, Order, Result as PortResult},
    Lsn, TableId,
};
use serde::{Deserialize, Serialize};

use crate::{
    base::Bases,
    directory::{self, Directory},
    error::{LogError, Result},
    frame::FORMAT_VERSION,
    reader::Reader,
    record::Catalogue,
    recovery::{self, Segment, Tail},
    retention,
    writer::Writer,
};

/// A segment's usual size: small against the bound on the log, so that retention is not coarse; large against what opening
/// one costs. 64 MiB are read in well under a second when the log is opened.
const SEGMENT_BYTES: u64 = 64 << 20;

/// Below this a segment is mostly head; above, opening the log reads for too long.
const SEGMENT_BYTES_RANGE: std::ops::RangeInclusive<u64> = (1 << 10)..=(1 << 30);

/// How the log is kept.
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// Its directory; created if missing.
    pub dir: PathBuf,
    /// What no consumer and no base needs is kept for this long.
    pub retention: Duration,
    /// The bound on segments and spools, in bytes.
    pub max_bytes: u64,
    /// The size at which a segment is finished, in bytes.
    pub segment_bytes: u64,
    /// The size at which a transaction leaves the segment for a spool, in bytes.
    pub transaction_bytes: usize,
}

impl LogSettings {
    /// The contract's defaults: seven days, 50 GB.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        LogSettings {
            dir: dir.into(),
            retention: Duration::from_secs(7 * 24 * 60 * 60),
            max_bytes: 50_000_000_000,
            segment_bytes: segment_bytes(),
            transaction_bytes: transaction_bytes(),
        }
    }
}

/// [`SEGMENT_BYTES`], or what a test says, that could not fill one in its time.
fn segment_bytes() -> u64 {
    fail::fail_point!("log::segment_bytes", |bytes| bytes
        .and_then(|bytes| bytes.parse().ok())
        .unwrap_or(SEGMENT_BYTES));
    SEGMENT_BYTES
}

/// [`crate::writer::TRANSACTION_BYTES`], or what a test says, likewise.
fn transaction_bytes() -> usize {
    let usual = crate::writer::TRANSACTION_BYTES;
    fail::fail_point!("log::transaction_bytes", |bytes| bytes
        .and_then(|bytes| bytes.parse().ok())
        .unwrap_or(usual));
    usual
}

/// The embedded log. One process has it open at a time; cheap to clone within it.
#[derive(Debug, Clone)]
pub struct EmbeddedLog {
    pub(crate) shared: Arc<Shared>,
}

/// What writer, readers and retention share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) directory: Directory,
    pub(crate) settings: LogSettings,
    pub(crate) bases: Bases,
    pub(crate) state: Mutex<State>,
    /// Signalled when more became durable.
    pub(crate) grown: Condvar,
    /// Bytes of segments and joined spools, those not yet durable included.
    pub(crate) held_bytes: AtomicU64,
    /// Bytes of spools of open transactions.
    pub(crate) open_bytes: AtomicU64,
    pub(crate) resent: AtomicU64,
    /// Held for as long as the log is open.
    _lock: File,
}

/// What is durable, and who needs it.
#[derive(Debug)]
pub(crate) struct State {
    /// Oldest first.
    pub(crate) segments: Vec<Segment>,
    pub(crate) last_position: Option<Lsn>,
    pub(crate) flushed_lsn: Lsn,
    /// The newest transaction that retention dropped.
    pub(crate) gone_through: Option<Lsn>,
    pub(crate) consumers: BTreeMap<String, Lsn>,
    /// Consumers moved since the file was written.
    pub(crate) consumers_changed: bool,
    /// Where the next writer goes on; `None` while there is one.
    pub(crate) resume: Option<Resume>,
    /// The failure of a sync, after which nothing is written any more.
    pub(crate) failed: Option<(PathBuf, String)>,
}

/// Where a writer begins.
#[derive(Debug, Clone, Default)]
pub(crate) struct Resume {
    pub(crate) tail: Option<Tail>,
    pub(crate) catalogue: Arc<Catalogue>,
}

#[derive(Serialize, Deserialize)]
struct ConsumersFile {
    version: u32,
    consumers: BTreeMap<String, Lsn>,
}

impl EmbeddedLog {
    /// Opens a log, or creates it: takes its lock, cuts a torn tail, refuses a damaged one.
    pub fn open(settings: LogSettings) -> PortResult<Self> {
        Ok(Self::open_typed(settings)?)
    }

    fn open_typed(settings: LogSettings) -> Result<Self> {
        if !SEGMENT_BYTES_RANGE.contains(&settings.segment_bytes) {
            let rule = "segments have between 1 KiB and 1 GiB";
            return Err(LogError::Setting { name: "segment_bytes", value: settings.segment_bytes, rule });
        }
        let directory = Directory::create(&settings.dir)?;
        let lock = directory.lock()?;
        directory::remove(&directory.consumers().with_extension("tmp"))?;
        let recovered = recovery::recover(&directory)?;
        let bases = Bases::open(&directory)?;
        let segment_bytes: u64 = recovered.segments.iter().map(|segment| segment.bytes).sum();
        let state = State {
            segments: recovered.segments,
            last_position: recovered.last_position,
            flushed_lsn: recovered.flushed_lsn,
            gone_through: recovered.gone_through,
            consumers: read_consumers(&directory.consumers())?,
            consumers_changed: false,
            resume: Some(Resume { tail: recovered.tail, catalogue: Arc::new(recovered.catalogue) }),
            failed: None,
        };
        let shared = Shared {
            directory,
            settings,
            bases,
            state: Mutex::new(state),
            grown: Condvar::new(),
            held_bytes: AtomicU64::new(segment_bytes + recovered.spool_bytes),
            open_bytes: AtomicU64::new(0),
            resent: AtomicU64::new(0),
            _lock: lock,
        };
        Ok(EmbeddedLog { shared: Arc::new(shared) })
    }
}

impl Shared {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // Every change of the state is a few assignments that can't panic half way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses once a sync has failed.
    pub(crate) fn check_sound(&self) -> Result<()> {
        match &self.state().failed {
            Some((path, reason)) => Err(LogError::SyncFailed { path: path.clone(), reason: reason.clone() }),
            None => Ok(()),
        }
    }

    /// Remembers a failed sync: what the page cache holds is not what the disk has, and asking again would hide it.
    pub(crate) fn note_failure<T>(&self, result: Result<T>) -> Result<T> {
        if let Err(LogError::SyncFailed { path, reason }) = &result {
            self.state().failed.get_or_insert_with(|| (path.clone(), reason.clone()));
        }
        result
    }

    /// Writes the consumers' positions if they moved.
    pub(crate) fn save_consumers(&self, state: &mut State) -> Result<()> {
        if !state.consumers_changed {
            return Ok(());
        }
        let path = self.directory.consumers();
        let file = ConsumersFile { version: FORMAT_VERSION, consumers: state.consumers.clone() };
        let content = serde_json::to_vec_pretty(&file).map_err(|error| LogError::Io {
            doing: "encode",
            path: path.clone(),
            source: error.into(),
        })?;
        directory::replace(&path, &content)?;
        state.consumers_changed = false;
        Ok(())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let mut state = std::mem::replace(
            &mut *self.state(),
            State {
                segments: Vec::new(),
                last_position: None,
                flushed_lsn: Lsn::ZERO,
                gone_through: None,
                consumers: BTreeMap::new(),
                consumers_changed: false,
                resume: None,
                failed: None,
            },
        );
        // What the file has is older and therefore safe: only more is kept than need be.
        if let Err(error) = self.save_consumers(&mut state) {
            tracing::warn!(event = "log_consumers_unsaved", %error, "the consumers' last positions could not be saved");
        }
    }
}

fn read_consumers(path: &Path) -> Result<BTreeMap<String, Lsn>> {
    let content = match fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        content => content.map_err(LogError::io("read", path))?,
    };
    let file: ConsumersFile =
        serde_json::from_slice(&content).map_err(|error| LogError::damaged(path, 0, error.to_string()))?;
    if file.version != FORMAT_VERSION {
        return Err(LogError::Version { path: path.into(), found: file.version, expected: FORMAT_VERSION });
    }
    Ok(file.consumers)
}

impl EventLog for EmbeddedLog {
    fn writer(&self) -> PortResult<Box<dyn LogWriter>> {
        Ok(Box::new(Writer::open(Arc::clone(&self.shared))?))
    }

    fn reader(&self, after: Lsn) -> PortResult<Box<dyn LogReader>> {
        Ok(Box::new(Reader::open(Arc::clone(&self.shared), after)?))
    }

    fn advance_consumer(&self, name: &str, through: Lsn) -> PortResult<()> {
        let mut state = self.shared.state();
        state.consumers_changed = true;
        match state.consumers.get_mut(name) {
            Some(position) => *position = through,
            None => {
                state.consumers.insert(name.to_owned(), through);
                self.shared.save_consumers(&mut state)?;
            }
        }
        Ok(())
    }

    fn drop_consumer(&self, name: &str) -> PortResult<()> {
        let mut state = self.shared.state();
        if state.consumers.remove(name).is_some() {
            state.consumers_changed = true;
            self.shared.save_consumers(&mut state)?;
        }
        Ok(())
    }

    fn retain(&self) -> PortResult<u64> {
        Ok(retention::retain(&self.shared)?)
    }

    fn stats(&self) -> LogStats {
        let shared = &self.shared;
        let log_bytes = shared.held_bytes.load(Ordering::Relaxed) + shared.open_bytes.load(Ordering::Relaxed);
        let state = shared.state();
        LogStats {
            first_position: retention::first_position(shared, &state),
            last_position: state.last_position,
            flushed_lsn: state.flushed_lsn,
            bytes: log_bytes + shared.bases.bytes(),
            bytes_max: shared.settings.max_bytes,
            resent: shared.resent.load(Ordering::Relaxed),
        }
    }

    fn order(&self) -> Order {
        Order::Total
    }
}

impl BaseStore for EmbeddedLog {
    fn create(&self, tables: Vec<BaseTable>) -> PortResult<BaseId> {
        self.shared.bases.create(tables)
    }

    fn manifests(&self) -> PortResult<Vec<BaseManifest>> {
        BaseStore::manifests(&self.shared.bases)
    }

    fn replace_table(&self, base: BaseId, table: BaseTable) -> PortResult<()> {
        self.shared.bases.replace_table(base, table)
    }

    fn keep_chunk(&self, base: BaseId, table: TableId, number: u32) -> PortResult<()> {
        self.shared.bases.keep_chunk(base, table, number)
    }

    fn write_chunk(&self, base: BaseId, table: TableId, number: u32) -> PortResult<Box<dyn ChunkWriter>> {
        self.shared.bases.write_chunk(base, table, number)
    }

    fn read_chunk(&self, base: BaseId, table: TableId, number: u32) -> PortResult<Box<dyn Read + Send>> {
        self.shared.bases.read_chunk(base, table, number)
    }

    fn delete(&self, base: BaseId) -> PortResult<()> {
        self.shared.bases.delete(base)
    }
}
