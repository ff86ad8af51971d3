//! When the warehouse is checkpointed, and when that also compacts it. Pure.
//!
//! Apply commits nothing while a checkpoint runs, so everybody who follows waits for it. Most of what a checkpoint of some busy minutes takes
//! is compaction, which writes whole row groups anew to fold what is left of them together; what remains grows with the changes. So
//! checkpoints are frequent and leave compaction out, and compaction waits for a pause in the stream, as long as it can wait.

use std::time::{Duration, Instant};

use millstream_core::{warehouse::Compaction, Lsn};

/// How often the warehouse is checkpointed, so that the log may forget what lies before.
const EVERY: Duration = Duration::from_secs(60);

/// How often, and for how many changed rows, where the stream is busy: some 70 ms where 1,000 transactions a second change tables of 13 million
/// rows, after a minute of them three times as long.
const EVERY_BUSY: Duration = Duration::from_secs(3);
const BUSY_ROWS: u64 = 5_000;

/// How often, while the log fills its bound by half or more: capture may wait for what a checkpoint sets free.
const EVERY_PRESSED: Duration = Duration::from_secs(2);

/// How often a pause in the stream is used for compaction.
const COMPACT_EVERY: Duration = Duration::from_secs(60);

/// How long compaction waits for a pause: every checkpoint leaves a row group of its own in each changed table, and readers look at some
/// hundred more of them by then.
const COMPACT_WITHIN: Duration = Duration::from_secs(600);

/// Changed rows for which compaction does not wait: each may have left a dead one in the file, of some tens of bytes.
const COMPACT_ROWS: u64 = 2_000_000;

/// What was checkpointed, and what came since.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    at: Instant,
    lsn: Lsn,
    changes: u64,
    compacted_at: Instant,
    changes_since_compaction: u64,
}

impl Checkpoints {
    /// Of a warehouse that was opened now.
    pub(crate) fn opened(now: Instant) -> Self {
        Checkpoints { at: now, lsn: Lsn::ZERO, changes: 0, compacted_at: now, changes_since_compaction: 0 }
    }

    /// So many rows were changed.
    pub(crate) fn changed(&mut self, rows: u64) {
        self.changes += rows;
        self.changes_since_compaction += rows;
    }

    /// The checkpoint to make now, with or without compaction. `is_paused`: the stream brought nothing just now; `is_pressed`: the log fills
    /// half of its bound.
    pub(crate) fn due(
        &self,
        now: Instant,
        applied: Lsn,
        is_paused: bool,
        is_pressed: impl FnOnce() -> bool,
    ) -> Option<Compaction> {
        let elapsed = now.saturating_duration_since(self.at);
        let is_time = elapsed >= EVERY
            || (elapsed >= EVERY_BUSY && self.changes >= BUSY_ROWS)
            || (elapsed >= EVERY_PRESSED && is_pressed());
        if !is_time {
            return None;
        }
        let since_compaction = now.saturating_duration_since(self.compacted_at);
        let is_to_compact = self.changes_since_compaction >= COMPACT_ROWS
            || since_compaction >= COMPACT_WITHIN
            || (is_paused && since_compaction >= COMPACT_EVERY);
        self.is_behind(applied).then_some(if is_to_compact { Compaction::Now } else { Compaction::Later })
    }

    /// The last checkpoint: the one at the end.
    pub(crate) fn last(&self, applied: Lsn) -> Option<Compaction> {
        self.is_behind(applied).then_some(Compaction::Now)
    }

    /// Whether anything came since the last checkpoint. DuckDB neither writes nor compacts anything where nothing did.
    fn is_behind(&self, applied: Lsn) -> bool {
        self.lsn != applied || self.lsn == Lsn::ZERO
    }

    /// A checkpoint begins, whether it succeeds or not: the next one has its time from here.
    pub(crate) fn begun(&mut self, now: Instant) {
        self.at = now;
    }

    /// A checkpoint was made.
    pub(crate) fn made(&mut self, now: Instant, lsn: Lsn, compaction: Compaction) {
        self.lsn = lsn;
        self.changes = 0;
        if compaction == Compaction::Now {
            self.compacted_at = now;
            self.changes_since_compaction = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is due so many seconds after the warehouse was opened, if so many rows were changed.
    fn due(seconds: u64, rows: u64, is_paused: bool, is_pressed: bool) -> Option<Compaction> {
        let now = Instant::now();
        let mut checkpoints = Checkpoints::opened(now);
        checkpoints.changed(rows);
        checkpoints.due(now + Duration::from_secs(seconds), Lsn(7), is_paused, || is_pressed)
    }

    #[test]
    fn a_busy_stream_is_checkpointed_often_and_compacted_late() {
        assert_eq!(due(2, BUSY_ROWS, false, false), None);
        assert_eq!(due(3, BUSY_ROWS, false, false), Some(Compaction::Later));
        assert_eq!(due(599, BUSY_ROWS, false, false), Some(Compaction::Later));
        assert_eq!(due(600, BUSY_ROWS, false, false), Some(Compaction::Now));
    }

    #[test]
    fn a_slow_stream_is_checkpointed_once_a_minute() {
        assert_eq!(due(59, BUSY_ROWS - 1, false, false), None);
        assert_eq!(due(60, BUSY_ROWS - 1, false, false), Some(Compaction::Later));
    }

    #[test]
    fn a_log_that_fills_up_is_freed_every_other_second() {
        assert_eq!(due(1, 1, false, true), None);
        assert_eq!(due(2, 1, false, true), Some(Compaction::Later));
    }

    #[test]
    fn a_pause_is_used_for_compaction() {
        assert_eq!(due(59, BUSY_ROWS, true, false), Some(Compaction::Later));
        assert_eq!(due(60, BUSY_ROWS, true, false), Some(Compaction::Now));
    }

    #[test]
    fn many_changes_are_compacted_without_a_pause() {
        assert_eq!(due(5, COMPACT_ROWS, false, false), Some(Compaction::Now));
    }

    #[test]
    fn what_was_checkpointed_is_left_alone_until_something_comes() {
        let start = Instant::now();
        let second = |n| start + Duration::from_secs(n);
        let mut checkpoints = Checkpoints::opened(start);
        checkpoints.changed(COMPACT_ROWS);
        checkpoints.begun(second(10));
        checkpoints.made(second(10), Lsn(7), Compaction::Later);
        assert_eq!(checkpoints.due(second(700), Lsn(7), true, || false), None);
        assert_eq!(checkpoints.last(Lsn(7)), None);
        assert_eq!(checkpoints.due(second(69), Lsn(8), false, || false), None, "what was changed is written");
        let due = checkpoints.due(second(70), Lsn(8), false, || false);
        assert_eq!(due, Some(Compaction::Now), "many changes wait for it");
        assert_eq!(checkpoints.last(Lsn(8)), Some(Compaction::Now));
        checkpoints.begun(second(70));
        checkpoints.made(second(70), Lsn(8), Compaction::Now);
        checkpoints.changed(BUSY_ROWS);
        assert_eq!(checkpoints.due(second(129), Lsn(9), true, || false), Some(Compaction::Later));
        assert_eq!(checkpoints.due(second(130), Lsn(9), true, || false), Some(Compaction::Now));
    }

    #[test]
    fn a_checkpoint_that_failed_is_tried_again_later() {
        let start = Instant::now();
        let mut checkpoints = Checkpoints::opened(start);
        checkpoints.changed(BUSY_ROWS);
        let failed = start + EVERY_BUSY;
        checkpoints.begun(failed);
        assert_eq!(checkpoints.due(failed + Duration::from_secs(1), Lsn(7), false, || false), None);
        assert_eq!(checkpoints.due(failed + EVERY_BUSY, Lsn(7), false, || false), Some(Compaction::Later));
    }
}
