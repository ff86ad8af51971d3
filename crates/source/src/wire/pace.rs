//! When to read next.
//!
//! The server sends a replicated row as a packet of its own, as soon as it has decoded it, and rows of a COPY 8 KiB at a time. A reader
//! that is faster than that is woken for each: measured on two cores, three quarters of what capture took per row were wakeups, and the core
//! they ran on is the one that the server decodes on. So behind a few small reads in a row it lets the next ones gather for a moment. A
//! transaction that comes alone is read at once.
//!
//! The thread itself sleeps meanwhile: a runtime that waits for a timer waits for its sockets too, and would be woken by each packet after
//! all. So whoever reads like this has a thread alone ([`crate::alone`]).

use std::{
    thread,
    time::{Duration, Instant},
};

/// How long what is sent may gather: below what one fsync of it takes.
const PAUSE: Duration = Duration::from_millis(1);

/// A read that had to wait no longer than this goes on with what was there before it. More than the pause, for timers are late.
const TOGETHER: Duration = Duration::from_millis(2);

/// As many small reads as a transaction of one row comes in: Begin, the row (behind its Relation), Commit.
const READS_MAX: u32 = 4;

/// A read that gets as much as a socket buffers at first is not followed by a pause: there is more.
const READ_FULL_BYTES: usize = 64 * 1024;

/// Spaces small reads.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// From when on the last read waited, or the next may begin.
    next: Option<Instant>,
    /// Reads without a longer wait between them.
    together: u32,
}

impl Pace {
    /// Sleeps until the next read may begin.
    pub(crate) fn wait(&self) {
        if let Some(pause) = self.next.and_then(|next| next.checked_duration_since(Instant::now())) {
            thread::sleep(pause);
        }
    }

    /// States that a read got so many bytes.
    pub(crate) fn read(&mut self, bytes: usize, now: Instant) {
        if self.next.is_none_or(|next| now.saturating_duration_since(next) > TOGETHER) {
            self.together = 0;
        }
        self.together += 1;
        let pause = self.together >= READS_MAX && bytes < READ_FULL_BYTES;
        self.next = Some(if pause { now + PAUSE } else { now });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: usize = 200;

    /// Reads `bytes` so many times, each when it may and `wait` later, and says how many pauses that made.
    fn pauses(pace: &mut Pace, reads: u32, bytes: usize, wait: Duration) -> u32 {
        let mut now = pace.next.unwrap_or_else(Instant::now);
        let mut pauses = 0;
        for _ in 0..reads {
            now += wait;
            pace.read(bytes, now);
            let next = pace.next.unwrap();
            pauses += u32::from(next > now);
            now = next;
        }
        pauses
    }

    #[test]
    fn a_transaction_that_comes_alone_is_read_at_once() {
        assert_eq!(pauses(&mut Pace::default(), READS_MAX - 1, SMALL, Duration::ZERO), 0);
        assert_eq!(pauses(&mut Pace::default(), 100, SMALL, 2 * TOGETHER), 0);
    }

    #[test]
    fn a_steady_stream_is_read_once_a_pause() {
        let mut pace = Pace::default();
        pauses(&mut pace, READS_MAX, SMALL, Duration::ZERO);
        assert_eq!(pauses(&mut pace, 100, SMALL, PAUSE), 100);
        // It ends, and the next one is new.
        assert_eq!(pauses(&mut pace, 1, SMALL, 2 * TOGETHER), 0);
    }

    #[test]
    fn a_full_read_is_followed_by_the_next() {
        assert_eq!(pauses(&mut Pace::default(), 100, READ_FULL_BYTES, Duration::ZERO), 0);
    }
}
