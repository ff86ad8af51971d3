//! How far apart warehouse transactions begin, so that a busy stream shares what each of them costs. Pure.
//!
//! A transaction costs some milliseconds whatever it holds: statements are planned, a commit waits for the disk. A stream of ten thousand
//! changes a second would pay that for every few hundred rows, and take the processor from the server that sends them. So the more rows
//! the last transaction held, the longer the next one waits for its own; one that holds a handful, or that comes after a pause, waits for
//! nothing.
//!
//! A stream of a thousand changes a second would come in transactions of fifteen, one behind the other, and keep a processor busy that the source,
//! the readers and everybody else need. So transactions of more than a handful leave half of a processor's time, as long as nobody is late for it.

use std::time::{Duration, Instant};

/// Rows that are worth a millisecond of waiting. The distance grows by itself from one transaction to the next where more arrive than this,
/// and shrinks where fewer do: below 10,000 a second nothing is made to wait for long.
const ROWS_PER_MILLISECOND: u64 = 10;

/// The longest distance. Planning and committing take 5 to 10 ms: a tenth of it.
const DISTANCE_MAX: Duration = Duration::from_millis(100);

/// Rows of a transaction that is not part of a busy stream.
const HANDFUL: u64 = 8;

/// Transactions of a busy stream begin twice as far apart as they take, up to this distance: changes come one or two hundredths of a second
/// later for it.
const DISTANCE_SHARED_MAX: Duration = Duration::from_millis(40);

/// What is known of the last transaction.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    last: Option<(Instant, Duration)>,
}

impl Pace {
    /// A transaction that began then has come to hold so many rows, and is committed now.
    pub(crate) fn passed(&mut self, began: Instant, now: Instant, rows: u64) {
        let for_rows = Duration::from_millis(rows / ROWS_PER_MILLISECOND).min(DISTANCE_MAX);
        let for_others = match rows > HANDFUL {
            true => (2 * now.saturating_duration_since(began)).min(DISTANCE_SHARED_MAX),
            false => Duration::ZERO,
        };
        self.last = Some((began, for_rows.max(for_others)));
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

    /// The distance that a stream of so many rows a second settles at, where a transaction takes so long.
    fn settled(rows_per_second: u64, taken: Duration) -> Duration {
        let (mut pace, mut now) = (Pace::default(), Instant::now());
        let mut distance = taken;
        for _ in 0..1_000 {
            let committed = now + taken;
            pace.passed(now, committed, rows_per_second * distance.as_micros() as u64 / 1_000_000);
            distance = taken + pace.wait(committed);
            now += distance;
        }
        distance
    }

    #[test]
    fn a_change_after_a_pause_waits_for_nothing() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        assert_eq!(pace.wait(now), Duration::ZERO);
        pace.passed(now, now, 1_000_000);
        assert_eq!(pace.wait(now + DISTANCE_MAX), Duration::ZERO);
    }

    #[test]
    fn a_busy_stream_shares_transactions_and_an_easy_one_does_not() {
        let ms = Duration::from_millis;
        assert_eq!(settled(1_000, ms(5)), ms(5));
        assert_eq!(settled(50_000, ms(5)), DISTANCE_MAX);
        assert_eq!(settled(1_000_000, ms(5)), DISTANCE_MAX);
    }

    #[test]
    fn a_busy_stream_leaves_half_of_a_processor_where_that_makes_nothing_late() {
        let ms = Duration::from_millis;
        assert_eq!(settled(1_500, ms(10)), ms(20));
        assert_eq!(settled(1_500, ms(25)), DISTANCE_SHARED_MAX);
        // What takes longer is late already.
        assert_eq!(settled(1_500, ms(50)), ms(50));
    }

    #[test]
    fn a_full_transaction_is_followed_at_once() {
        // It took longer than the distance.
        let (mut pace, now) = (Pace::default(), Instant::now());
        pace.passed(now, now + Duration::from_millis(300), 100_000);
        assert_eq!(pace.wait(now + Duration::from_millis(300)), Duration::ZERO);
    }
}
