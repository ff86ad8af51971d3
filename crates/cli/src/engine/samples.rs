//! Pictures of the whole, one a second, for who looks at the last minutes.

use std::{
    collections::VecDeque,
    sync::{mpsc, Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use millstream_api::host::Samples as Answer;

use super::{desk::Desk, report, tail::now};

/// Between two pictures.
const INTERVAL: Duration = Duration::from_secs(1);

/// Fifteen minutes of them, with half a kilobyte each.
const KEPT_MAX: usize = 900;

/// The pictures of the last minutes.
#[derive(Default)]
pub(crate) struct Samples {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    newest: u64,
    documents: VecDeque<Arc<str>>,
}

impl Samples {
    /// Those behind the numbered one.
    pub(super) fn behind(&self, number: u64) -> Answer {
        let kept = self.lock();
        let new = kept.newest.saturating_sub(number).min(kept.documents.len() as u64) as usize;
        let documents = kept.documents.iter().skip(kept.documents.len() - new).cloned().collect();
        Answer { newest: kept.newest, documents }
    }

    fn add(&self, document: String) {
        let mut kept = self.lock();
        kept.newest += 1;
        kept.documents.push_back(Arc::from(document));
        if kept.documents.len() > KEPT_MAX {
            kept.documents.pop_front();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes pictures until it is dropped.
pub(crate) struct Sampling {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Sampling {
    /// Begins.
    pub(crate) fn start(samples: Arc<Samples>, desk: Arc<Desk>) -> std::io::Result<Self> {
        let (stop, stopped) = mpsc::channel::<()>();
        let thread = thread::Builder::new().name("samples".into()).spawn(move || loop {
            samples.add(report::sample(&desk, now()).to_string());
            if stopped.recv_timeout(INTERVAL) != Err(mpsc::RecvTimeoutError::Timeout) {
                return;
            }
        })?;
        Ok(Sampling { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Sampling {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of it was printed.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_are_kept_and_each_is_given_once() {
        let samples = Samples::default();
        for number in 1..=KEPT_MAX as u64 + 5 {
            samples.add(number.to_string());
        }
        let all = samples.behind(0);
        assert_eq!((all.newest, all.documents.len()), (KEPT_MAX as u64 + 5, KEPT_MAX));
        assert_eq!(&*all.documents[0], "6");
        let new = samples.behind(all.newest - 2);
        assert_eq!(new.documents.iter().map(|text| &**text).collect::<Vec<_>>(), ["904", "905"]);
        assert!(samples.behind(new.newest).documents.is_empty());
    }
}
