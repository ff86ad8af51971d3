//! Tables kept right where the stream does not say everything: what the source's watcher sees and what apply can't prove is followed,
//! read again or retired, in a thread of its own, while changes go on.
//!
//! The log is tended as well. It holds what the current tables could be rebuilt from: their base and all changes behind it. Once those changes
//! fill a good part of its bound, the tables are copied anew, and the changes before may go.

use std::{
    collections::BTreeMap,
    sync::{mpsc, Arc},
    thread,
    time::{Duration, Instant},
};

use millstream_apply::table::Table;
use millstream_core::{
    base::{BaseManifest, BaseStore},
    log::{EventLog, LogStats},
    warehouse::TableState,
    Lsn, TableId, TableSchema,
};
use millstream_log::EmbeddedLog;
use millstream_source::TableChange;

use super::{
    resync::{again, renew_base, Rows},
    Desk,
};
use crate::{
    failure::Failure,
    instance::{Cancellation, Emit, Event},
};

/// How long something that was asked for may wait for more of its kind, and how often apply's own wishes are looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// The first and the longest pause behind a failure.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// How often the log's size is looked at.
const LOG_INTERVAL: Duration = Duration::from_secs(30);

/// What tending has to tell.
pub(crate) enum Told {
    /// For people.
    Note(String),
    /// What went wrong; it is tried again.
    Failed(Failure),
}

/// The thread that tends.
pub(crate) struct Tending {
    wishes: mpsc::Sender<(TableId, Rows)>,
    told: mpsc::Receiver<Told>,
    cancellation: Cancellation,
    thread: Option<thread::JoinHandle<()>>,
}

impl Tending {
    /// Begins.
    pub(crate) fn start(desk: &Arc<Desk>) -> std::io::Result<Self> {
        let (wishes, wished) = mpsc::channel();
        let (tell, told) = mpsc::channel();
        let cancellation = Cancellation::default();
        let (desk, cancelled) = (desk.clone(), cancellation.clone());
        let thread = thread::Builder::new()
            .name("tending".into())
            .spawn(move || tend(&desk, &wished, &tell, &cancelled))?;
        Ok(Tending { wishes, told, cancellation, thread: Some(thread) })
    }

    /// Takes in what the source's watcher saw.
    pub(crate) fn hear(&self, table: TableId, change: &TableChange) {
        if let Some(rows) = remedy(change) {
            // It ends only with the session, and then nobody tends any more.
            let _ = self.wishes.send((table, rows));
        }
    }

    /// What there is to tell since it was last asked.
    pub(crate) fn told(&self) -> impl Iterator<Item = Told> + '_ {
        self.told.try_iter()
    }
}

impl Drop for Tending {
    fn drop(&mut self) {
        self.cancellation.cancel();
        if let Some(thread) = self.thread.take() {
            // A panic of it was printed already.
            let _ = thread.join();
        }
    }
}

/// What a change asks for. Pure.
fn remedy(change: &TableChange) -> Option<Rows> {
    match change {
        // The form is compared where apply stands; whether rows are read is then a matter of proof.
        TableChange::Rewritten { .. }
        | TableChange::Columns { .. }
        | TableChange::Renamed { .. }
        | TableChange::Dropped
        | TableChange::Published => Some(Rows::ReadIfTouched),
        // The catalogue proves nothing of what came or went with a partition.
        TableChange::Partitions { .. } | TableChange::Unclear(_) => Some(Rows::Read),
        // Nothing can be done about what is not sent; it is told.
        TableChange::Unpublished => None,
    }
}

fn tend(
    desk: &Desk,
    wished: &mpsc::Receiver<(TableId, Rows)>,
    tell: &mpsc::Sender<Told>,
    cancellation: &Cancellation,
) {
    let mut open: BTreeMap<TableId, Rows> = BTreeMap::new();
    let mut pause = PAUSE.0;
    let mut log_looked = Instant::now();
    while !cancellation.is_cancelled() {
        match wished.recv_timeout(LOOK_INTERVAL) {
            Ok((table, rows)) => {
                wish(&mut open, table, rows);
                wished.try_iter().for_each(|(table, rows)| wish(&mut open, table, rows));
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => return,
        }
        if let Ok(live) = desk.live() {
            let status = live.apply.get();
            let unproven = status.tables.iter().filter(|table| table.phase == "needs_resync");
            unproven.for_each(|table| wish(&mut open, table.id, Rows::Read));
        }
        let mut done = mend(desk, &mut open, tell, cancellation);
        if done.is_ok() && log_looked.elapsed() >= LOG_INTERVAL {
            done = renew(desk, tell, cancellation);
            log_looked = Instant::now();
        }
        match done {
            Ok(()) => pause = PAUSE.0,
            Err(_) if cancellation.is_cancelled() => return,
            Err(failure) => {
                // Whoever listened is gone only when the session ends.
                let _ = tell.send(Told::Failed(failure));
                let mut left = pause;
                while !left.is_zero() && !cancellation.is_cancelled() {
                    let nap = left.min(LOOK_INTERVAL);
                    thread::sleep(nap);
                    left -= nap;
                }
                pause = (pause * 2).min(PAUSE.1);
            }
        }
    }
}

/// The stronger of two wishes stands.
fn wish(open: &mut BTreeMap<TableId, Rows>, table: TableId, rows: Rows) {
    let entry = open.entry(table).or_insert(rows);
    if rows == Rows::Read {
        *entry = rows;
    }
}

/// Does what is open; what is done leaves.
fn mend(
    desk: &Desk,
    open: &mut BTreeMap<TableId, Rows>,
    tell: &mpsc::Sender<Told>,
    cancellation: &Cancellation,
) -> Result<(), Failure> {
    for rows in [Rows::ReadIfTouched, Rows::Read] {
        let ids: Vec<TableId> = open.iter().filter(|(_, wish)| **wish == rows).map(|(id, _)| *id).collect();
        if ids.is_empty() {
            continue;
        }
        for (name, counts) in again(desk, &ids, rows, &mut Quietly, cancellation)? {
            let _ = tell.send(Told::Note(format!(
                "{name} was read again: {} rows new, {} changed, {} gone",
                counts.inserted, counts.updated, counts.deleted
            )));
        }
        open.retain(|id, _| !ids.contains(id));
    }
    Ok(())
}

/// Takes a new base where the log is filled by changes that only an old one needs.
fn renew(desk: &Desk, tell: &mpsc::Sender<Told>, cancellation: &Cancellation) -> Result<(), Failure> {
    let (Some(log), Ok(live)) = (desk.log.get(), desk.live()) else { return Ok(()) };
    let stats = log.stats();
    let manifests = log.manifests()?;
    let ids = renewable(&manifests, &stats, live.apply.get().applied_lsn);
    if ids.is_empty() {
        return Ok(());
    }
    let _ = tell.send(Told::Note(format!(
        "the log holds {} bytes of at most {}: a new base of {} tables is taken, so that what lies before can go",
        stats.bytes,
        stats.bytes_max,
        ids.len()
    )));
    renew_base(desk, &ids, cancellation)
}

/// The tables whose base holds the log up: none, unless the changes behind the oldest one fill half of the log's bound and
/// are applied for the most part, so that a new base frees them. Pure.
fn renewable(manifests: &[BaseManifest], stats: &LogStats, applied: Lsn) -> Vec<TableId> {
    let mut newest: BTreeMap<TableId, Lsn> = BTreeMap::new();
    let complete = manifests.iter().flat_map(|base| &base.tables).filter(|table| table.is_complete());
    for table in complete {
        let end = newest.entry(table.schema.id).or_default();
        *end = table.fence.ends_at().max(*end);
    }
    let chunks = manifests.iter().flat_map(|base| &base.tables).flat_map(|table| &table.chunks);
    let base_bytes: u64 = chunks.map(|chunk| chunk.bytes).sum();
    let changes_bytes = stats.bytes.saturating_sub(base_bytes);
    // WAL and log are of like size: an LSN's distance tells how much of the log lies behind a base.
    let is_old = |end: &Lsn| applied.0.saturating_sub(end.0) >= stats.bytes_max / 4;
    if changes_bytes < stats.bytes_max / 2 {
        return Vec::new();
    }
    newest.into_iter().filter(|(_, end)| is_old(end)).map(|(id, _)| id).collect()
}

/// Compares all tables with the catalogue once, and mends what it does not prove to be the same.
pub(crate) fn tend_once(desk: &Desk, cancellation: &Cancellation) -> Result<(), Failure> {
    let states = desk.warehouse()?.tables()?;
    let ids: Vec<TableId> = tables(states).map(|schema| schema.id).collect();
    if !ids.is_empty() {
        again(desk, &ids, Rows::ReadIfTouched, &mut Quietly, cancellation)?;
    }
    Ok(())
}

/// Progress of what nobody asked for is not shown.
struct Quietly;

impl Emit for Quietly {
    fn emit(&mut self, _event: Event) -> Result<(), Failure> {
        Ok(())
    }
}

/// The tables as the source is known to have had them: in the warehouse or, where they are not there yet, in a base.
pub(super) fn known_schemas(states: Vec<TableState>, log: &EmbeddedLog) -> Result<Vec<TableSchema>, Failure> {
    let mut known: BTreeMap<TableId, TableSchema> = BTreeMap::new();
    for base in log.manifests()? {
        known.extend(base.tables.into_iter().map(|table| (table.schema.id, table.schema)));
    }
    known.extend(tables(states).map(|schema| (schema.id, schema)));
    Ok(known.into_values().collect())
}

/// The schemas of the tables that the source still has. A record that can't be read stops apply, which says so.
fn tables(states: Vec<TableState>) -> impl Iterator<Item = TableSchema> {
    states
        .into_iter()
        .filter_map(|state| Table::from_state(state).ok())
        .filter(|table| table.phase != millstream_apply::table::Phase::Gone)
        .map(|table| (*table.schema).clone())
}

#[cfg(test)]
mod tests {
    use millstream_core::{
        base::{BaseId, BaseTable, ChunkInfo},
        Fence, ReplicaIdentity, TableName, Timestamp,
    };

    use super::*;

    #[test]
    fn the_stronger_wish_stands() {
        let mut open = BTreeMap::new();
        let table = TableId(1);
        wish(&mut open, table, Rows::ReadIfTouched);
        wish(&mut open, table, Rows::Read);
        wish(&mut open, table, Rows::ReadIfTouched);
        assert_eq!(open[&table], Rows::Read);
    }

    #[test]
    fn a_base_is_renewed_when_changes_behind_it_fill_the_log_and_are_applied() {
        let base = |id: u32, end: u64| BaseManifest {
            id: BaseId(u64::from(id)),
            tables: vec![BaseTable {
                schema: TableSchema {
                    id: TableId(id),
                    name: TableName::new("s", "t"),
                    columns: vec![],
                    key: None,
                    replica_identity: ReplicaIdentity::Full,
                    relfilenode: 1,
                    class_xmin: 1,
                    storage: Default::default(),
                },
                encodings: vec![],
                fence: Fence::ConsistentPoint(Lsn(end)),
                taken_at: Timestamp(0),
                chunks_planned: 1,
                chunks: vec![ChunkInfo { number: 0, generation: 0, rows: 1, bytes: 1000 }],
                earlier: vec![],
                origin: None,
            }],
        };
        let manifests = [base(1, 100), base(2, 900)];
        let stats = |bytes| LogStats { bytes, bytes_max: 1000, ..LogStats::default() };
        assert_eq!(renewable(&manifests, &stats(2499), Lsn(1000)), [], "the base itself doesn't count");
        assert_eq!(renewable(&manifests, &stats(2500), Lsn(1000)), [TableId(1)], "the young base stays");
        assert_eq!(
            renewable(&manifests, &stats(2500), Lsn(200)),
            [],
            "apply is behind: a base frees nothing"
        );
        let renewed = [base(1, 100), base(2, 900), base(1, 950)];
        assert_eq!(renewable(&renewed, &stats(3500), Lsn(1000)), []);
    }

    #[test]
    fn rows_are_read_where_the_catalogue_proves_nothing() {
        let partitions = TableChange::Partitions { attached: vec![], detached: vec![], rewritten: vec![] };
        assert_eq!(remedy(&partitions), Some(Rows::Read));
        assert_eq!(remedy(&TableChange::Rewritten { class_xmin: 1 }), Some(Rows::ReadIfTouched));
        assert_eq!(remedy(&TableChange::Unpublished), None);
    }
}
