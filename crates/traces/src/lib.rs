//! What the program does, told to an OpenTelemetry collector: each span of the crate `tracing` that a room opens, over OTLP.
//!
//! Rooms know nothing of it. They open spans where something takes its time; [`layer`] stands in the program's subscriber from its start and lets
//! none through, at the price of a comparison, until [`Traces::start`] turns it on. What has ended goes into a bounded queue and from there,
//! by a thread of its own, to the collector. Nobody who works ever waits for it: what does not fit is dropped and counted.

mod collector;
mod endpoint;
mod exporter;
mod layer;
mod parent;
mod queue;

use std::{
    io,
    sync::{
        atomic::{AtomicU64, Ordering},
        Arc,
    },
    thread,
    time::Duration,
};

use opentelemetry::{trace::TracerProvider, KeyValue};
use opentelemetry_sdk::{
    trace::{Sampler, SdkTracerProvider},
    Resource,
};
use tokio::sync::{mpsc, watch};

pub use collector::check_header;
pub use endpoint::{Endpoint, EndpointError};
pub use layer::layer;
pub use parent::follow;

use exporter::Exporter;
use queue::Queue;

/// Spans that wait to be sent: with those of this program some megabytes, and two seconds' worth of a busy one.
const QUEUE_MAX: usize = 4096;

/// How long the program waits at its end for what is left to be sent. A collector that is well takes it in milliseconds.
const FLUSH_MAX: Duration = Duration::from_secs(3);

/// Which traces are kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// The share of traces that begin here, from 0 to 1.
    pub share: f64,
    /// Whether one that began elsewhere is kept as it was decided there.
    pub follows_parent: bool,
}

/// Where traces go, and which.
#[derive(Clone, PartialEq)]
pub struct Settings {
    /// The collector.
    pub endpoint: Endpoint,
    /// Headers that it is sent, which may be secret.
    pub headers: Vec<(String, String)>,
    /// What the collector is told of this program: `service.name` and more.
    pub resource: Vec<(String, String)>,
    /// Which traces are kept.
    pub sampling: Sampling,
}

/// What became of spans.
#[derive(Debug, Default)]
pub struct Counts {
    sent: AtomicU64,
    dropped: AtomicU64,
}

impl Counts {
    /// Spans that the collector took.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Spans that it did not, or that there was no room for.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn add_sent(&self, spans: usize) {
        self.sent.fetch_add(spans as u64, Ordering::Relaxed);
    }

    fn add_dropped(&self, spans: usize) {
        self.dropped.fetch_add(spans as u64, Ordering::Relaxed);
    }
}

/// Spans on their way to a collector. Dropped, it sends what is left, within a bound.
pub struct Traces {
    counts: Arc<Counts>,
    stop: watch::Sender<bool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Traces {
    /// Turns [`layer`] on. `tell` hears, in words, that spans are being dropped: once for as long as it goes on.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(settings: Settings, tell: impl Fn(&str) + Send + 'static) -> io::Result<Self> {
        let counts = Arc::new(Counts::default());
        let (into, spans) = mpsc::channel(QUEUE_MAX);
        let (stop, stopped) = watch::channel(false);
        let attributes =
            settings.resource.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
        let resource = Resource::builder_empty().with_attributes(attributes).build();
        let provider = SdkTracerProvider::builder()
            .with_sampler(sampler(settings.sampling))
            .with_resource(resource.clone())
            .with_span_processor(Queue::new(into, counts.clone()))
            .build();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let exporter = Exporter::new(settings, &resource, spans, stopped, counts.clone(), Box::new(tell));
        let work = move || {
            runtime.block_on(exporter.run());
            // A name that nobody resolves would be waited for otherwise.
            runtime.shutdown_background();
        };
        let thread = thread::Builder::new().name("traces".into()).spawn(work)?;
        layer::turn_on(provider.tracer("millstream"));
        Ok(Traces { counts, stop, thread: Some(thread) })
    }

    /// What became of spans.
    pub fn counts(&self) -> Arc<Counts> {
        self.counts.clone()
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        // Nobody receives it where the thread has ended by a panic, which was printed.
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn sampler(sampling: Sampling) -> Sampler {
    let own = match sampling.share {
        share if share >= 1.0 => Sampler::AlwaysOn,
        share if share <= 0.0 => Sampler::AlwaysOff,
        share => Sampler::TraceIdRatioBased(share),
    };
    if sampling.follows_parent {
        Sampler::ParentBased(Box::new(own))
    } else {
        own
    }
}
