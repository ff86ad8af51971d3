//! What has ended waits here for the exporter. Whoever ends a span does not wait.

use std::{sync::Arc, time::Duration};

use opentelemetry::Context;
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{Span, SpanData, SpanProcessor},
};
use tokio::sync::mpsc::Sender;

use crate::Counts;

/// What a span is called that learns it only while it is open, such as a request its route: `otel.name` holds no more once a span below it has
/// begun (tracing-opentelemetry gives it to nobody then).
const LATE_NAME: &str = "millstream.name";

/// Calls a span by its late name, if it has one.
fn name(span: &mut SpanData) {
    let mut late = None;
    span.attributes.retain(|attribute| {
        let is_name = attribute.key.as_str() == LATE_NAME;
        if is_name {
            late = Some(attribute.value.to_string());
        }
        !is_name
    });
    if let Some(late) = late {
        span.name = late.into();
    }
}

/// The way into the queue. The SDK has such a processor; what it drops it does not count where anybody could read it.
#[derive(Debug)]
pub(crate) struct Queue {
    into: Sender<SpanData>,
    counts: Arc<Counts>,
}

impl Queue {
    pub(crate) fn new(into: Sender<SpanData>, counts: Arc<Counts>) -> Self {
        Queue { into, counts }
    }
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, mut span: SpanData) {
        if !span.span_context.is_sampled() {
            return;
        }
        name(&mut span);
        if self.into.try_send(span).is_err() {
            self.counts.add_dropped(1);
        }
    }

    // The exporter sends by itself, and is stopped by whoever started it.
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}
