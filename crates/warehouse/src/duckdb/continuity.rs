//! Whether the tables have only moved forward: what follows them by the positions of their changes must know when something happened behind its
//! back.
//!
//! A change of a transaction of the source lies behind everything that was said to be applied. What does not (a table read again, a replay from
//! quarantine, another column) breaks the continuity. Breaks are counted around the commit: an odd count says that one is being committed and nobody
//! knows yet what a new transaction sees. Commits of any kind are counted in the same way, for plans: see [`super::sessions`].

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        atomic::{AtomicU64, Ordering},
        Mutex, MutexGuard, PoisonError,
    },
};

use arrow_array::{cast::AsArray, types::UInt64Type, RecordBatch};
use millstream_core::{Lsn, TableId};

/// What those who write tell many followers.
#[derive(Debug, Default)]
pub(super) struct Continuity {
    breaks: AtomicU64,
    commits: AtomicU64,
    /// How far the warehouse was to be behind the last commit that wrote rows of each table, since it was opened.
    written: Mutex<BTreeMap<TableId, Lsn>>,
    /// How far the warehouse is known to be, plus one; 0: nothing is known, and every write is a break.
    applied: AtomicU64,
    /// Held around each commit: the counts tell of one at a time.
    committing: Mutex<()>,
}

impl Continuity {
    /// The number of the stretch without a break that a transaction lies in which begins behind this call; `None` while a break is committed.
    pub(super) fn stretch(&self) -> Option<u64> {
        let breaks = self.breaks.load(Ordering::Acquire);
        breaks.is_multiple_of(2).then_some(breaks)
    }

    /// The number of the state that a transaction sees whose snapshot was taken before this call or is taken before the number changes; `None` while
    /// something is committed.
    pub(super) fn state(&self) -> Option<u64> {
        let commits = self.commits.load(Ordering::Acquire);
        commits.is_multiple_of(2).then_some(commits)
    }

    /// Whether something of a table may have changed behind a position that a transaction has seen since the file was opened.
    pub(super) fn has_changed(&self, table: TableId, behind: Lsn) -> bool {
        self.written().get(&table).is_some_and(|lsn| *lsn > behind)
    }

    fn written(&self) -> MutexGuard<'_, BTreeMap<TableId, Lsn>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Commits rows of these tables, around a break where there is one.
    pub(super) fn commit<T, E>(
        &self,
        breaks: bool,
        applied: Option<Lsn>,
        tables: &BTreeSet<TableId>,
        commit: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        // Rows without progress are no changes of the source.
        let broken = u64::from(breaks || (applied.is_none() && !tables.is_empty()));
        let _committing = self.committing.lock().unwrap_or_else(PoisonError::into_inner);
        // Before anybody can see them.
        self.written().extend(tables.iter().map(|table| (*table, applied.unwrap_or_default())));
        self.commits.fetch_add(1, Ordering::AcqRel);
        self.breaks.fetch_add(broken, Ordering::AcqRel);
        let outcome = commit();
        self.breaks.fetch_add(broken, Ordering::AcqRel);
        self.commits.fetch_add(1, Ordering::AcqRel);
        if let (Ok(_), Some(applied)) = (&outcome, applied) {
            self.applied.store(applied.0.saturating_add(1), Ordering::Release);
        }
        outcome
    }

    /// Whether something at a position lies behind all that is applied.
    pub(super) fn is_ahead(&self, lsn: Lsn) -> bool {
        let applied = self.applied.load(Ordering::Acquire);
        applied > 0 && lsn.0 >= applied
    }

    /// Whether all positions of a column lie there.
    pub(super) fn are_ahead(&self, rows: &RecordBatch, column: &str) -> bool {
        let positions =
            rows.column_by_name(column).and_then(|column| column.as_primitive_opt::<UInt64Type>());
        let first = positions.map(|positions| positions.values().iter().min().copied());
        match first {
            Some(Some(first)) => self.is_ahead(Lsn(first)),
            // No rows change nothing.
            Some(None) => true,
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_before_the_progress_is_a_break_and_so_is_everything_before_the_first_one() {
        let (continuity, none) = (Continuity::default(), BTreeSet::new());
        assert!(!continuity.is_ahead(Lsn(9)), "nothing is known yet");
        continuity.commit(true, Some(Lsn(7)), &none, || Ok::<_, ()>(())).unwrap();
        assert!(!continuity.is_ahead(Lsn(7)) && continuity.is_ahead(Lsn(8)));
        continuity.commit(false, Some(Lsn(9)), &none, || Err::<(), _>(())).unwrap_err();
        assert!(continuity.is_ahead(Lsn(8)), "it was not committed");
    }

    #[test]
    fn while_a_break_is_committed_no_stretch_has_begun() {
        let (continuity, none) = (Continuity::default(), BTreeSet::new());
        let before = continuity.stretch().unwrap();
        let during = continuity.commit(true, None, &none, || Ok::<_, ()>(continuity.stretch())).unwrap();
        assert_eq!(during, None);
        assert_ne!(continuity.stretch(), Some(before));
        let within = continuity.stretch();
        continuity.commit(false, None, &none, || Ok::<_, ()>(())).unwrap();
        assert_eq!(continuity.stretch(), within);
    }

    #[test]
    fn of_two_that_commit_at_once_the_count_tells_one_behind_the_other() {
        let (continuity, none) = (Continuity::default(), BTreeSet::new());
        let seen = std::thread::scope(|scope| {
            let commit = || {
                (0..500).all(|_| {
                    continuity
                        .commit(false, None, &none, || Ok::<_, ()>(continuity.state().is_none()))
                        .unwrap()
                })
            };
            let other = scope.spawn(commit);
            commit() & other.join().unwrap()
        });
        assert!(seen, "a state was told while something was committed");
    }

    #[test]
    fn a_table_has_changed_behind_what_was_applied_before_its_last_rows() {
        let continuity = Continuity::default();
        let (one, two) = (TableId(1), TableId(2));
        continuity.commit(false, Some(Lsn(7)), &[one].into(), || Ok::<_, ()>(())).unwrap();
        continuity.commit(false, Some(Lsn(9)), &[two].into(), || Ok::<_, ()>(())).unwrap();
        assert!(continuity.has_changed(one, Lsn(6)) && !continuity.has_changed(one, Lsn(7)));
        assert!(continuity.has_changed(two, Lsn(8)) && !continuity.has_changed(TableId(3), Lsn(0)));
        let before = continuity.stretch();
        continuity.commit(false, None, &[one].into(), || Ok::<_, ()>(())).unwrap();
        assert_ne!(continuity.stretch(), before, "rows that no progress speaks of");
    }
}
