//! Live endpoints: a result, and a new one whenever its tables have changed and it is another one.
//!
//! All who listen to the same question share one reader of it, however many they are: it asks when something has changed, and not more often
//! than [`EVERY_MIN`].

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use axum::{
    body::Body,
    http::{header, HeaderValue},
    response::Response,
};
use bytes::Bytes;
use tokio::sync::watch;

use crate::{
    access::Caller,
    answer::{Answers, Asked, Format},
    host::Applied,
    problem::Problem,
};

/// The least time between two results.
const EVERY_MIN: Duration = Duration::from_millis(25);

/// How often it is looked whether something has changed.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// A line that says nothing, so that a connection which is gone is noticed on both ends.
const BEAT_INTERVAL: Duration = Duration::from_secs(15);
const BEAT: &str = ": still here\n\n";

/// Different questions listened to at once.
const QUESTIONS_MAX: usize = 1_000;

/// An event, ready to be sent.
type Event = Option<Result<Bytes, Problem>>;

/// Who listens to what.
pub(super) struct Live {
    answers: Arc<Answers>,
    listened: Mutex<HashMap<String, Weak<watch::Sender<Event>>>>,
}

impl Live {
    pub(super) fn new(answers: Arc<Answers>) -> Arc<Self> {
        Arc::new(Live { answers, listened: Mutex::default() })
    }

    /// Listens. Returns once there is a first result, so that what is wrong is a problem and no broken stream.
    pub(super) async fn listen(self: &Arc<Self>, asked: Asked, caller: Caller) -> Result<Response, Problem> {
        let (sender, mut events) = self.join(asked)?;
        let first = events.wait_for(Option::is_some).await.ok().and_then(|event| event.clone());
        let first = match first {
            Some(Ok(first)) => first,
            Some(Err(problem)) => return Err(problem),
            None => return Err(Problem::busy()),
        };
        let access = self.answers.host().access();
        let is_still = move || access.as_ref().is_none_or(|access| access.is_still(&caller));
        let stream = stream(sender, events, first, is_still);
        let mut response = Response::new(Body::from_stream(stream));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    }

    fn join(
        self: &Arc<Self>,
        asked: Asked,
    ) -> Result<(Arc<watch::Sender<Event>>, watch::Receiver<Event>), Problem> {
        let key = format!("{asked:?}");
        let mut listened = self.listened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = listened.get(&key).and_then(Weak::upgrade) {
            let events = sender.subscribe();
            return Ok((sender, events));
        }
        listened.retain(|_, sender| sender.strong_count() > 0);
        if listened.len() >= QUESTIONS_MAX {
            return Err(Problem::busy());
        }
        let (sender, events) = watch::channel(None);
        let sender = Arc::new(sender);
        listened.insert(key, Arc::downgrade(&sender));
        tokio::spawn(ask(self.answers.clone(), asked, Arc::downgrade(&sender)));
        Ok((sender, events))
    }
}

/// Asks while somebody listens.
async fn ask(answers: Arc<Answers>, asked: Asked, listeners: Weak<watch::Sender<Event>>) {
    let mut seen = Applied::default();
    let mut last: Option<Bytes> = None;
    let mut asked_once = false;
    loop {
        let Some(sender) = listeners.upgrade() else { return };
        let now = answers.host().applied();
        if !asked_once || now != seen {
            asked_once = true;
            seen = now;
            match answers.answer(asked.clone(), Format::Json, Duration::ZERO, "reading a live endpoint").await
            {
                // Tables that it does not read have changed, or rows that it does not show.
                Ok(answer) if last.as_ref() == Some(&answer.body) => {}
                Ok(answer) => {
                    let text = String::from_utf8_lossy(&answer.body);
                    let event = format!("id: {}\ndata: {text}\n\n", answer.position);
                    last = Some(answer.body.clone());
                    sender.send_replace(Some(Ok(Bytes::from(event))));
                }
                Err(problem) => {
                    last = None;
                    sender.send_replace(Some(Err(problem)));
                }
            }
            drop(sender);
            tokio::time::sleep(EVERY_MIN).await;
        } else {
            drop(sender);
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }
}

/// The bytes of a stream of events: the first, and each later one, while whoever listens may still do so. The sender is kept alive by those who listen.
fn stream(
    sender: Arc<watch::Sender<Event>>,
    mut events: watch::Receiver<Event>,
    first: Bytes,
    is_still: impl Fn() -> bool,
) -> impl futures_core::Stream<Item = Result<Bytes, Infallible>> {
    async_stream::stream! {
        yield Ok(first);
        loop {
            let changed = tokio::time::timeout(BEAT_INTERVAL, events.changed()).await;
            if !is_still() {
                break;
            }
            match changed {
                Err(_) => yield Ok(Bytes::from_static(BEAT.as_bytes())),
                Ok(Err(_)) => break,
                Ok(Ok(())) => {
                    let event = events.borrow_and_update().clone();
                    match event {
                        Some(Ok(event)) => yield Ok(event),
                        Some(Err(problem)) => {
                            yield Ok(Bytes::from(format!("event: problem\ndata: {}\n\n", problem.document())));
                        }
                        None => {}
                    }
                }
            }
        }
        drop(sender);
    }
}
