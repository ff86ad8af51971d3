//! The place of traces in the program's subscriber: there from the start, as a subscriber can't be changed, and silent until it is turned on.

use std::{any::TypeId, sync::OnceLock};

use opentelemetry_sdk::trace::SdkTracer;
use tracing::{
    span::{Attributes, Id, Record},
    subscriber::Interest,
    Level, Metadata,
};
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::{
    filter::LevelFilter,
    layer::{Context, Filter, Layer},
    Registry,
};

/// What spans of ours begin their target with. What libraries open is not ours to tell: it may hold anything.
const TARGET_PREFIX: &str = "millstream";

/// The library's layer, once it is turned on. One for the process, as its subscriber is.
static ON: OnceLock<OpenTelemetryLayer<Registry, SdkTracer>> = OnceLock::new();

/// Takes spans to the collector from now on.
pub(crate) fn turn_on(tracer: SdkTracer) {
    let layer = OpenTelemetryLayer::new(tracer)
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_level(false)
        .with_tracked_inactivity(false)
        // What it would set for each entered span, nobody here reads.
        .with_context_activation(false);
    // Only a process that starts it twice has one already.
    let _ = ON.set(layer);
    // What every place was told while it was off holds no more.
    tracing::callsite::rebuild_interest_cache();
}

/// The layer, to stand right on the registry.
pub fn layer() -> impl Layer<Registry> {
    Switched.with_filter(OurSpans)
}

/// Spans of ours, while it is on.
struct OurSpans;

impl<S> Filter<S> for OurSpans {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        // Events are the log's: what they say of an error may quote values.
        ON.get().is_some()
            && metadata.is_span()
            && *metadata.level() <= Level::INFO
            && metadata.target().starts_with(TARGET_PREFIX)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        let enabled = ON.get().is_some()
            && metadata.is_span()
            && *metadata.level() <= Level::INFO
            && metadata.target().starts_with(TARGET_PREFIX);
        if enabled {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(if ON.get().is_some() { LevelFilter::INFO } else { LevelFilter::OFF })
    }
}

/// Hands on to the library's layer, once there is one.
struct Switched;

impl Layer<Registry> for Switched {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, Registry>) {
        if let Some(layer) = ON.get() {
            layer.on_new_span(attributes, id, context);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, Registry>) {
        if let Some(layer) = ON.get() {
            layer.on_record(id, values, context);
        }
    }

    fn on_enter(&self, id: &Id, context: Context<'_, Registry>) {
        if let Some(layer) = ON.get() {
            layer.on_enter(id, context);
        }
    }

    fn on_exit(&self, id: &Id, context: Context<'_, Registry>) {
        if let Some(layer) = ON.get() {
            layer.on_exit(id, context);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, Registry>) {
        if let Some(layer) = ON.get() {
            layer.on_close(id, context);
        }
    }

    // Safety: what it points to is part of `ON`, which is never dropped, so that it lives longer than `self`.
    unsafe fn downcast_raw(&self, id: TypeId) -> Option<*const ()> {
        if id == TypeId::of::<Self>() {
            return Some(std::ptr::from_ref(self).cast());
        }
        // Safety: asked the same that we were.
        ON.get().and_then(|layer| unsafe { layer.downcast_raw(id) })
    }
}
