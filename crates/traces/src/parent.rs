//! Traces that began elsewhere: the header `traceparent` of W3C's Trace Context.

use opentelemetry::{
    propagation::{Extractor, TextMapPropagator},
    trace::TraceContextExt,
    Context,
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

struct Headers<'a> {
    traceparent: &'a str,
    tracestate: Option<&'a str>,
}

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            "traceparent" => Some(self.traceparent),
            "tracestate" => self.tracestate,
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent", "tracestate"]
    }
}

/// Makes the span, which nobody has entered yet, part of the trace that the headers name. What does not name one is passed over, as the
/// recommendation has it: the span then begins a trace.
pub fn follow(span: &Span, traceparent: &str, tracestate: Option<&str>) {
    let parent = parent(traceparent, tracestate);
    if parent.span().span_context().is_valid() {
        // It fails where nothing is traced.
        let _ = span.set_parent(parent);
    }
}

fn parent(traceparent: &str, tracestate: Option<&str>) -> Context {
    TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers { traceparent, tracestate })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_header_that_names_a_trace_is_followed() {
        let valid = |text: &str| parent(text, None).span().span_context().is_valid();
        assert!(valid("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
        for text in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-'; drop table t;--b34da6a3ce929d0-00f067aa0ba902b7-01",
        ] {
            assert!(!valid(text), "{text}");
        }
    }
}
