//! Tables kept right where the stream does not say everything: what the source's watcher sees and what apply can't prove is followed,
//! read again or retired, in a thread of its own, while changes go on.

use std::{
    collections::BTreeMap,
    sync::{mpsc, Arc},
    thread,
    time::Duration,
};

use millstream_apply::table::Table;
use millstream_core::{base::BaseStore, warehouse::TableState, TableId, TableSchema};
use millstream_log::EmbeddedLog;
use millstream_source::TableChange;

use super::{
    resync::{again, Rows},
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
        match mend(desk, &mut open, tell, cancellation) {
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
    fn rows_are_read_where_the_catalogue_proves_nothing() {
        let partitions = TableChange::Partitions { attached: vec![], detached: vec![], rewritten: vec![] };
        assert_eq!(remedy(&partitions), Some(Rows::Read));
        assert_eq!(remedy(&TableChange::Rewritten { class_xmin: 1 }), Some(Rows::ReadIfTouched));
        assert_eq!(remedy(&TableChange::Unpublished), None);
    }
}
