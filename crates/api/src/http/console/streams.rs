//! What comes by itself: a picture of the whole each second, and changes as they are committed.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{header, request::Parts, HeaderValue},
    response::Response,
};
use bytes::Bytes;
use futures_core::Stream;
use millstream_core::Lsn;
use tokio::sync::{mpsc, OwnedSemaphorePermit, Semaphore};

use super::{super::route::Site, number, one, parameters, text};
use crate::{
    access::Caller,
    host::{Changes, Host},
    priority,
    problem::Problem,
};

/// How often it is looked for a new picture; they are made each second.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// How long the log is waited for before it is looked whether somebody still listens.
const CHANGES_WAIT: Duration = Duration::from_millis(250);

/// A line that says nothing, so that a connection which is gone is noticed on both ends.
const BEAT_INTERVAL: Duration = Duration::from_secs(15);
const BEAT: &str = ": still here\n\n";

/// Pieces of changes that wait for a slow client. Behind that the log waits for it, where they are kept anyway.
const WAITING_MAX: usize = 16;

/// Changes that are asked for at once, and how many where nothing is said.
const CHANGES: (usize, usize) = (1_000, 100);

/// Bytes of the changes that are asked for at once; those that do not fit are left out.
const CHANGES_BYTES_MAX: usize = 16 << 20;

fn stream(events: impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static) -> Response {
    let mut response = Response::new(Body::from_stream(events));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn turn(of: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Problem> {
    of.clone().try_acquire_owned().map_err(|_| Problem::busy())
}

/// Whether who listens may still do so: keys are revoked, and expire.
fn is_still(site: &Site, caller: &Caller) -> impl Fn() -> bool + Send + Sync + 'static {
    let (access, caller) = (site.host().access(), caller.clone());
    move || access.as_ref().is_none_or(|access| access.is_still(&caller))
}

/// The pictures that are kept, then each new one.
pub(super) fn samples(site: &Site, parts: &Parts, caller: &Caller) -> Result<Response, Problem> {
    parameters(parts, &[])?;
    let turn = turn(&site.console.sample_streams)?;
    let is_still = is_still(site, caller);
    let host = site.host().clone();
    Ok(stream(async_stream::stream! {
        // Given back when the stream is dropped.
        let _turn = turn;
        let kept = host.samples(0);
        let mut seen = kept.newest;
        yield Ok(Bytes::from(format!("event: history\ndata: [{}]\n\n", kept.documents.join(","))));
        while is_still() {
            tokio::time::sleep(LOOK_INTERVAL).await;
            let new = host.samples(seen);
            seen = new.newest;
            for document in new.documents {
                yield Ok(Bytes::from(format!("event: sample\ndata: {document}\n\n")));
            }
        }
    }))
}

/// Changes of the log: the newest, or those from a position on.
pub(super) async fn newest_changes(site: &Site, parts: &Parts) -> Result<Response, Problem> {
    const DOING: &str = "reading the log";
    let given = parameters(parts, &["table", "limit", "from"])?;
    let table = one(&given, "table")?.map(str::to_owned);
    let limit = number(&given, "limit", CHANGES.1, (1, CHANGES.0))?;
    let from = one(&given, "from")?.map(position).transpose()?;
    let host = site.host().clone();
    let read = site.answers.reading().with_turn(DOING, move |_| {
        let fail = |error| Problem::of_work(&error);
        let Some(from) = from else { return host.newest_changes(table.as_deref(), limit).map_err(fail) };
        let mut changes = host.changes(table.as_deref(), Some(from)).map_err(fail)?;
        let mut found = Vec::new();
        while found.len() < limit {
            let next = changes.next(Duration::ZERO).map_err(fail)?;
            if next.is_empty() {
                break;
            }
            found.extend(next);
        }
        found.truncate(limit);
        Ok(found)
    });
    let mut events = read.await?;
    let mut bytes = 0;
    let fitting = events.iter().rev().take_while(|event| {
        bytes += event.len();
        bytes <= CHANGES_BYTES_MAX
    });
    let fitting = fitting.count();
    let events = events.split_off(events.len() - fitting);
    Ok(text(parts, format!("{{\"events\":[{}]}}", events.join(","))))
}

fn position(text: &str) -> Result<Lsn, Problem> {
    text.parse().map_err(|_| Problem::parameter("from", "a position such as 0/16B3748", text))
}

/// Changes as they are committed.
pub(super) async fn changes(site: &Site, parts: &Parts, caller: &Caller) -> Result<Response, Problem> {
    let given = parameters(parts, &["table"])?;
    let table = one(&given, "table")?.map(str::to_owned);
    let turn = turn(&site.console.change_streams)?;
    let is_still = is_still(site, caller);
    let host = site.host().clone();
    let open = move |host: Arc<dyn Host>| {
        priority::set_once(priority::READS, "changes");
        host.changes(table.as_deref(), None)
    };
    let opened = tokio::task::spawn_blocking(move || open(host)).await;
    // A panic was printed.
    let opened = opened.map_err(|_| Problem::internal("reading the log"))?;
    let changes = opened.map_err(|error| Problem::of_work(&error))?;
    let (sender, mut pieces) = mpsc::channel(WAITING_MAX);
    let follow = move || {
        priority::set(priority::READS, "changes");
        follow(changes, &sender, &is_still, turn);
    };
    std::thread::Builder::new().name("changes".into()).spawn(follow).map_err(|_| Problem::busy())?;
    Ok(stream(async_stream::stream! {
        // The page knows by it that nothing is missed from here on.
        yield Ok(Bytes::from_static(BEAT.as_bytes()));
        loop {
            match tokio::time::timeout(BEAT_INTERVAL, pieces.recv()).await {
                Err(_) => yield Ok(Bytes::from_static(BEAT.as_bytes())),
                Ok(Some(piece)) => yield Ok(piece),
                Ok(None) => break,
            }
        }
    }))
}

/// Hands on changes until nobody listens. Those that come together go together.
fn follow(
    mut changes: Box<dyn Changes>,
    listener: &mpsc::Sender<Bytes>,
    is_still: &dyn Fn() -> bool,
    turn: OwnedSemaphorePermit,
) {
    while !listener.is_closed() && is_still() {
        let piece = match changes.next(CHANGES_WAIT) {
            Ok(events) if events.is_empty() => continue,
            Ok(events) => {
                let mut piece = String::new();
                for event in events {
                    piece.push_str(&format!("event: change\ndata: {event}\n\n"));
                }
                piece
            }
            Err(error) => {
                let document = Problem::of_work(&error).document();
                // The stream ends with it; the page asks again.
                let _ = listener.blocking_send(Bytes::from(format!("event: problem\ndata: {document}\n\n")));
                break;
            }
        };
        if listener.blocking_send(Bytes::from(piece)).is_err() {
            break;
        }
    }
    drop(turn);
}
