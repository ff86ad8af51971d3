//! How far apart warehouse transactions begin, so that a busy stream shares what each of them costs. Pure.
//!
//! A transaction costs some milliseconds whatever it holds: statements are planned, a commit waits for the disk. A stream of ten thousand
//! changes a second would pay that for every few hundred rows, and take the processor from the server that sends them. So the more rows
//! the last transaction held, the longer the next one waits for its own; one that holds a handful, or that comes after a pause, waits for
//! nothing.

use std::time::{Duration, Instant};

/// Rows that are worth a millisecond of waiting. The distance grows by itself from one transaction to the next where more arrive than this,
/// and shrinks where fewer do: below 10,000 a second nothing is made to wait for long.
const ROWS_PER_MILLISECOND: u64 = 10;

/// The longest distance. Planning and committing take 5 to 10 ms: a tenth of it.
const DISTANCE_MAX: Duration = Duration::from_millis(100);

/// What is known of the last transaction.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    last: Option<(Instant, Duration)>,
}

impl Pace {
    /// A transaction that began then has come to hold so many rows.
    pub(crate) fn passed(&mut self, began: Instant, rows: u64) {
        let distance = Duration::from_millis(rows / ROWS_PER_MILLISECOND).min(DISTANCE_MAX);
        self.last = Some((began, distance));
    }

    /// How long the next one still waits for rows to come.
    pub(crate) fn wait(&self, now: Instant) -> Duration {
        let Some((began, distance)) = self.last else { return Duration::ZERO };
        distance.saturating_sub(now.saturating_duration_since(began))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The distance that a stream of so many rows a second settles at, where a transaction takes 5 ms.
    fn settled(rows_per_second: u64) -> Duration {
        let (mut pace, mut now) = (Pace::default(), Instant::now());
        let mut distance = Duration::from_millis(5);
        for _ in 0..1_000 {
            pace.passed(now, rows_per_second * distance.as_micros() as u64 / 1_000_000);
            let wait = pace.wait(now + Duration::from_millis(5));
            distance = Duration::from_millis(5) + wait;
            now += distance;
        }
        distance
    }

    #[test]
    fn a_change_after_a_pause_waits_for_nothing() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        assert_eq!(pace.wait(now), Duration::ZERO);
        pace.passed(now, 1_000_000);
        assert_eq!(pace.wait(now + DISTANCE_MAX), Duration::ZERO);
    }

    #[test]
    fn a_busy_stream_shares_transactions_and_an_easy_one_does_not() {
        assert_eq!(settled(1_000), Duration::from_millis(5));
        assert_eq!(settled(5_000), Duration::from_millis(5));
        assert_eq!(settled(50_000), DISTANCE_MAX);
        assert_eq!(settled(1_000_000), DISTANCE_MAX);
    }

    #[test]
    fn a_full_transaction_is_followed_at_once() {
        // It took longer than the distance.
        let (mut pace, now) = (Pace::default(), Instant::now());
        pace.passed(now, 100_000);
        assert_eq!(pace.wait(now + Duration::from_millis(300)), Duration::ZERO);
    }
}
