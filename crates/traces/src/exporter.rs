//! The thread that sends: gathers what comes into batches, tries again what may pass, drops the rest and says so.

use std::{sync::Arc, time::Duration};

use opentelemetry_proto::{
    tonic::collector::trace::v1::ExportTraceServiceRequest,
    transform::{
        common::tonic::ResourceAttributesWithSchema, trace::tonic::group_spans_by_resource_and_scope,
    },
};
use opentelemetry_sdk::{trace::SpanData, Resource};
use prost::Message;
use tokio::{
    sync::{mpsc, watch},
    time::{sleep, timeout_at, Instant},
};

use crate::{
    collector::{Collector, Refused},
    Counts, Settings, FLUSH_MAX,
};

/// Spans of one request; the specification's default of a batch.
const BATCH_MAX: usize = 512;

/// How long the first span of a batch waits for others.
const BATCH_WAIT: Duration = Duration::from_secs(1);

/// The first pause before a batch is sent again; each one after is twice as long.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// A batch that was not taken for so long is dropped. Meanwhile the queue fills: what is newer is worth more then.
const RETRY_MAX: Duration = Duration::from_secs(30);

/// After so long without a drop the next one is worth telling of again.
const QUIET_MIN: Duration = Duration::from_secs(60);

/// Sends what comes out of the queue.
pub(crate) struct Exporter {
    collector: Collector,
    resource: ResourceAttributesWithSchema,
    spans: mpsc::Receiver<SpanData>,
    stopped: watch::Receiver<bool>,
    /// Once it is stopped: until when it goes on.
    deadline: Option<Instant>,
    counts: Arc<Counts>,
    complaint: Complaint,
    tell: Box<dyn Fn(&str) + Send>,
}

/// Which drops have been told of.
#[derive(Default)]
struct Complaint {
    seen: u64,
    last: Option<Instant>,
}

impl Complaint {
    /// Whether drops so far are to be told of: the first ones after a quiet while are.
    fn is_due(&mut self, dropped: u64, now: Instant) -> bool {
        if dropped == self.seen {
            return false;
        }
        self.seen = dropped;
        let before = self.last.replace(now);
        before.is_none_or(|before| now.duration_since(before) >= QUIET_MIN)
    }
}

impl Exporter {
    pub(crate) fn new(
        settings: Settings,
        resource: &Resource,
        spans: mpsc::Receiver<SpanData>,
        stopped: watch::Receiver<bool>,
        counts: Arc<Counts>,
        tell: Box<dyn Fn(&str) + Send>,
    ) -> Self {
        Exporter {
            collector: Collector::new(settings),
            resource: resource.into(),
            spans,
            stopped,
            deadline: None,
            counts,
            complaint: Complaint::default(),
            tell,
        }
    }

    /// Until it is stopped and nothing is left, or its time is over.
    pub(crate) async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        while self.gather(&mut batch).await {
            let spans = batch.len();
            let request = ExportTraceServiceRequest {
                resource_spans: group_spans_by_resource_and_scope(std::mem::take(&mut batch), &self.resource),
            };
            self.send(request.encode_to_vec().into(), spans).await;
        }
    }

    /// Takes the next batch; `false`: there is none, and none will come.
    async fn gather(&mut self, batch: &mut Vec<SpanData>) -> bool {
        if self.deadline.is_none() {
            tokio::select! {
                biased;
                () = stop(&mut self.stopped) => self.close(),
                received = self.spans.recv() => batch.extend(received),
            }
        }
        let full = Instant::now() + BATCH_WAIT;
        while batch.len() < BATCH_MAX {
            if self.deadline.is_some() {
                // What was in the queue when it was closed.
                match self.spans.try_recv() {
                    Ok(span) => batch.push(span),
                    Err(_) => break,
                }
                continue;
            }
            tokio::select! {
                biased;
                () = stop(&mut self.stopped) => self.close(),
                received = timeout_at(full, self.spans.recv()) => match received {
                    Ok(Some(span)) => batch.push(span),
                    Ok(None) | Err(_) => break,
                },
            }
        }
        !batch.is_empty()
    }

    fn close(&mut self) {
        self.spans.close();
        self.deadline = Some(Instant::now() + FLUSH_MAX);
    }

    /// Sends a batch, again where that may help.
    async fn send(&mut self, body: bytes::Bytes, spans: usize) {
        let begun = Instant::now();
        let mut pause = RETRY_PAUSE;
        loop {
            let refused = match self.post(body.clone()).await {
                Ok(rejected) => {
                    let rejected = rejected.min(spans);
                    self.counts.add_sent(spans - rejected);
                    self.counts.add_dropped(rejected);
                    let reason = "it did not want some of them";
                    return self.complain(if rejected > 0 { reason } else { "it takes them too slowly" });
                }
                Err(refused) => refused,
            };
            // What the queue had no room for meanwhile is the same trouble.
            self.complain(&refused.reason);
            let wait = match refused.again {
                Some(told) if self.deadline.is_none() => told.unwrap_or(pause).max(pause),
                _ => Duration::MAX,
            };
            if wait > RETRY_MAX.saturating_sub(begun.elapsed()) {
                self.counts.add_dropped(spans);
                return self.complain(&refused.reason);
            }
            pause *= 2;
            tokio::select! {
                () = stop(&mut self.stopped) => self.close(),
                () = sleep(wait) => {}
            }
        }
    }

    /// One request, within what time is left.
    async fn post(&mut self, body: bytes::Bytes) -> Result<usize, Refused> {
        let posting = self.collector.post(body);
        tokio::pin!(posting);
        let deadline = match self.deadline {
            Some(deadline) => deadline,
            None => tokio::select! {
                posted = &mut posting => return posted,
                () = stop(&mut self.stopped) => {
                    self.spans.close();
                    *self.deadline.insert(Instant::now() + FLUSH_MAX)
                }
            },
        };
        timeout_at(deadline, posting).await.unwrap_or_else(|_| {
            let reason = "it did not answer before the program ended".to_owned();
            Err(Refused { reason, again: None })
        })
    }

    fn complain(&mut self, reason: &str) {
        if self.complaint.is_due(self.counts.dropped(), Instant::now()) {
            (self.tell)(&format!(
                "traces are being dropped: {reason} ({}); nothing else is affected, and /metrics counts them",
                self.collector.endpoint()
            ));
        }
    }
}

/// When it is to stop. A program that is gone without a word wants that too.
async fn stop(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_are_told_of_once_until_it_was_quiet_for_a_while() {
        let mut complaint = Complaint::default();
        let begin = Instant::now();
        let mut due = |dropped, seconds| complaint.is_due(dropped, begin + Duration::from_secs(seconds));
        assert!(!due(0, 0));
        assert!(due(3, 1));
        assert!(!due(3, 2) && !due(9, 30) && !due(10, 80), "it goes on");
        assert!(!due(10, 200), "none");
        assert!(due(11, 201), "again");
    }
}
