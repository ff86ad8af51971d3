//! The place of something that is kept: read once for all who wait, and read anew before it is too old to be given.
//!
//! Where tables change all the time, an answer is out of date as soon as it is there, and is given while it is young. If it were read anew only once it
//! is too old, somebody would wait for that read every time; so whoever takes it in the second half of its time has it read meanwhile, where
//! that costs little. (Where every renewal reads whole tables, reads would never rest, and what is read would be late: apply needs the processors.)

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::problem::Problem;

/// The share of its time after which something is read anew while it is still given, and how old the things may be that it is made of then.
const RENEW_AT: u32 = 2;

/// What making something anew costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cost {
    /// So much that it is not done before somebody needs it.
    Much,
    /// Little.
    Little,
    /// Next to nothing: what it is made of renews itself. Whether it has since; if not, it would be the same again.
    Nothing { renewed: bool },
}

/// A place.
pub(super) struct Place<T> {
    kept: Mutex<Option<Arc<T>>>,
    /// Held by the one who reads.
    reading: Arc<tokio::sync::Mutex<()>>,
}

impl<T> Default for Place<T> {
    fn default() -> Self {
        Place { kept: Mutex::default(), reading: Arc::default() }
    }
}

impl<T: Send + Sync + 'static> Place<T> {
    fn find(&self, is_good: impl Fn(&T) -> bool) -> Option<Arc<T>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone().filter(|kept| is_good(kept))
    }

    fn keep(&self, made: Option<Arc<T>>) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = made;
    }

    /// What is kept, where `is_good` at an age of `age_max`, or what `make` makes: it is told how old the things may be that it makes it of, so that
    /// it is good for as long again, and says whether it is worth keeping. `cost`: whether it may be made anew while it is still given.
    pub(super) async fn get<M, F>(
        self: &Arc<Self>,
        age_max: Duration,
        is_good: impl Fn(&T, Duration) -> bool,
        cost: impl Fn(&T) -> Cost,
        make: M,
    ) -> Result<Arc<T>, Problem>
    where
        M: FnOnce(Duration) -> F + Send + 'static,
        F: Future<Output = Result<(Arc<T>, bool), Problem>> + Send + 'static,
    {
        let renew_at = age_max / RENEW_AT;
        if let Some(kept) = self.find(|kept| is_good(kept, age_max)) {
            match cost(&kept) {
                Cost::Little if !is_good(&kept, renew_at) => self.renew(renew_at, make),
                // Of what there is by now, whatever that is: it is not brought forward for it.
                Cost::Nothing { renewed: true } => self.renew(age_max, make),
                _ => {}
            }
            return Ok(kept);
        }
        // Whoever asks the same meanwhile waits here for what the first one reads.
        let reading = self.reading.lock().await;
        if let Some(kept) = self.find(|kept| is_good(kept, age_max)) {
            return Ok(kept);
        }
        let (made, worth_keeping) = make(renew_at).await?;
        self.keep(worth_keeping.then(|| made.clone()));
        drop(reading);
        Ok(made)
    }

    /// Has it made anew, unless somebody does so already.
    fn renew<M, F>(self: &Arc<Self>, age_max: Duration, make: M)
    where
        M: FnOnce(Duration) -> F + Send + 'static,
        F: Future<Output = Result<(Arc<T>, bool), Problem>> + Send + 'static,
    {
        let Ok(reading) = self.reading.clone().try_lock_owned() else { return };
        let place = self.clone();
        tokio::spawn(async move {
            // What goes wrong is told to the next who has to wait for it.
            if let Ok((made, worth_keeping)) = make(age_max).await {
                place.keep(worth_keeping.then_some(made));
            }
            drop(reading);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU32, Ordering},
        time::Instant,
    };

    use super::*;

    /// Something that knows when it was made, and which one it is.
    struct Made(Instant, u32);

    /// How long making one takes.
    const TAKES: Duration = Duration::from_millis(50);

    struct Shop {
        place: Arc<Place<Made>>,
        made: Arc<AtomicU32>,
        cost: Cost,
    }

    impl Shop {
        async fn get(&self, age_max: Duration) -> u32 {
            let asked = Instant::now();
            let is_good = |made: &Made, age_max: Duration| asked.saturating_duration_since(made.0) < age_max;
            let made = self.made.clone();
            let make = move |_| async move {
                let at = Instant::now();
                tokio::time::sleep(TAKES).await;
                Ok((Arc::new(Made(at, made.fetch_add(1, Ordering::SeqCst) + 1)), true))
            };
            self.place.get(age_max, is_good, |_| self.cost, make).await.unwrap().1
        }
    }

    #[tokio::test]
    async fn one_makes_it_for_all_who_wait_and_it_is_made_anew_before_it_is_too_old() {
        let shop = Arc::new(Shop { place: Arc::default(), made: Arc::default(), cost: Cost::Little });
        // Longer than a machine that is busy with other tests may pause.
        let age_max = Duration::from_secs(4);
        let all: Vec<_> = (0..10)
            .map(|_| {
                let shop = shop.clone();
                tokio::spawn(async move { shop.get(age_max).await })
            })
            .collect();
        for one in all {
            assert_eq!(one.await.unwrap(), 1);
        }
        assert_eq!(shop.get(age_max).await, 1);
        tokio::time::sleep(age_max / 2).await;
        // In the second half of its time it is given, and nobody waits for the next one.
        let began = Instant::now();
        assert_eq!(shop.get(age_max).await, 1);
        assert!(began.elapsed() < TAKES);
        while shop.made.load(Ordering::SeqCst) < 2 {
            assert!(began.elapsed() < age_max);
            tokio::time::sleep(TAKES).await;
        }
        assert_eq!((shop.get(age_max).await, shop.made.load(Ordering::SeqCst)), (2, 2));
    }

    #[tokio::test]
    async fn what_costs_nothing_is_made_anew_once_there_is_something_new() {
        for (renewed, made) in [(false, 1), (true, 2)] {
            let cost = Cost::Nothing { renewed };
            let shop = Shop { place: Arc::default(), made: Arc::default(), cost };
            let age_max = Duration::from_secs(4);
            assert_eq!((shop.get(age_max).await, shop.get(age_max).await), (1, 1));
            tokio::time::sleep(2 * TAKES).await;
            assert_eq!(shop.made.load(Ordering::SeqCst), made);
        }
    }

    #[tokio::test]
    async fn what_may_have_no_age_is_made_each_time() {
        let shop = Shop { place: Arc::default(), made: Arc::default(), cost: Cost::Little };
        assert_eq!((shop.get(Duration::ZERO).await, shop.get(Duration::ZERO).await), (1, 2));
    }

    #[tokio::test]
    async fn what_costs_much_is_not_made_before_somebody_needs_it() {
        let shop = Shop { place: Arc::default(), made: Arc::default(), cost: Cost::Much };
        let age_max = Duration::from_secs(4);
        assert_eq!(shop.get(age_max).await, 1);
        tokio::time::sleep(age_max / 2).await;
        assert_eq!(shop.get(age_max).await, 1);
        tokio::time::sleep(2 * TAKES).await;
        assert_eq!(shop.made.load(Ordering::SeqCst), 1);
    }
}
