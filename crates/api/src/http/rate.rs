//! How often one client may ask: a bucket of tokens for each key.
//!
//! A bucket holds what may be asked within a second, and at least one request; it fills again all the time. Who finds it empty is told when there is a token.

use std::{
    num::NonZeroUsize,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use lru::LruCache;

/// Buckets at most: who has not asked for longest begins with a full one, which a rate forgives that is kept for a second.
const BUCKETS_MAX: NonZeroUsize = NonZeroUsize::new(10_000).expect("not zero");

struct Bucket {
    tokens: f64,
    filled: Instant,
}

/// The buckets.
pub(super) struct Rates(Mutex<LruCache<String, Bucket>>);

impl Default for Rates {
    fn default() -> Self {
        Rates(Mutex::new(LruCache::new(BUCKETS_MAX)))
    }
}

impl Rates {
    /// Takes a token of whose bucket it is, or tells how long there is none.
    pub(super) fn take(&self, whose: &str, per_second: f64) -> Result<(), Duration> {
        self.take_at(whose, per_second, Instant::now())
    }

    fn take_at(&self, whose: &str, per_second: f64, now: Instant) -> Result<(), Duration> {
        let holds = per_second.max(1.0);
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.get_or_insert_mut(whose.to_owned(), || Bucket { tokens: holds, filled: now });
        let passed = now.saturating_duration_since(bucket.filled).as_secs_f64();
        bucket.tokens = (bucket.tokens + passed * per_second).min(holds);
        bucket.filled = now;
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - bucket.tokens) / per_second))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_may_ask_so_often_and_others_do_not_pay_for_it() {
        let rates = Rates::default();
        let began = Instant::now();
        let at = |milliseconds| began + Duration::from_millis(milliseconds);
        for _ in 0..5 {
            assert_eq!(rates.take_at("a", 5.0, at(0)), Ok(()));
        }
        let wait = rates.take_at("a", 5.0, at(0)).unwrap_err();
        assert!((0.19..0.21).contains(&wait.as_secs_f64()), "{wait:?}");
        assert_eq!(rates.take_at("b", 5.0, at(0)), Ok(()));
        assert!(rates.take_at("a", 5.0, at(190)).is_err());
        assert_eq!(rates.take_at("a", 5.0, at(210)), Ok(()));
        // However long nobody asks, no more than a second's worth is saved up.
        let many = (0..100).filter(|_| rates.take_at("a", 5.0, at(100_000)).is_ok()).count();
        assert_eq!(many, 5);
        // Less than one in a second.
        assert_eq!(rates.take_at("c", 0.5, at(0)), Ok(()));
        assert!(rates.take_at("c", 0.5, at(1_900)).is_err());
        assert_eq!(rates.take_at("c", 0.5, at(2_100)), Ok(()));
    }
}
