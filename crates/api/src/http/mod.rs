//! The HTTP server: the web UI, endpoints, tables, their description, metrics and health, under one address.

mod assets;
mod console;
mod cors;
mod endpoints;
mod files;
mod identity;
mod live;
mod negotiate;
mod rate;
mod respond;
mod route;
mod shield;
mod span;
mod tables;
mod ui;

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread,
    time::Duration,
};

use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    runtime::Runtime,
    sync::{oneshot, Semaphore},
};

pub use files::{serve_files, Lookup};

use crate::{access::Limits, host::Host, metrics::Metrics, priority};

/// Threads that speak with clients; what reads the warehouse has threads of its own.
const THREADS: usize = 2;

/// Connections at once. Those that only wait for events cost some kilobytes each; ten thousand of them are promised.
const CONNECTIONS_MAX: usize = 12_000;

/// A client has so long for the head of a request; one that drips is dropped.
const HEAD_WAIT_MAX: Duration = Duration::from_secs(10);

/// Heads are no longer, and hyper reads no further ahead.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Pause behind an accept that failed: out of descriptors, say, which only time mends.
const ACCEPT_RETRY_WAIT: Duration = Duration::from_millis(50);

/// Answers under way have so long to end once the server is stopped.
const STOP_WAIT_MAX: Duration = Duration::from_secs(2);

/// Why the server could not begin.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address can't be listened on.
    #[error("can't listen on {address} for HTTP")]
    Listen {
        /// It.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The address can be reached from elsewhere, and nobody has to show who they are.
    #[error("{address} can be reached by other machines, and `api.auth` is none")]
    Open {
        /// It.
        address: SocketAddr,
    },
    /// No threads.
    #[error("can't start the HTTP server")]
    Start(#[source] std::io::Error),
}

impl millstream_core::Diagnostic for ServeError {
    fn code(&self) -> &'static str {
        match self {
            ServeError::Listen { .. } => "MS7001",
            ServeError::Start(_) => "MS7002",
            ServeError::Open { .. } => "MS7003",
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            ServeError::Listen { source, .. } | ServeError::Start(source) => Some(source.to_string()),
            ServeError::Open { .. } => None,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            ServeError::Listen { .. } => {
                Some("Choose another port at serve.http in millstream.yml; port 0 takes any free one.".into())
            }
            ServeError::Open { .. } => Some("Set `api.auth`, or listen on 127.0.0.1.".into()),
            ServeError::Start(_) => None,
        }
    }

    fn exit(&self) -> millstream_core::Exit {
        match self {
            ServeError::Open { .. } => millstream_core::Exit::Usage,
            ServeError::Listen { .. } | ServeError::Start(_) => millstream_core::Exit::Unreachable,
        }
    }
}

/// How it is served.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Where to listen, such as `127.0.0.1:8080`.
    pub address: String,
    /// Origins whose pages may ask, such as `https://app.example.com`.
    pub cors: Vec<String>,
    /// How much requests may take.
    pub limits: Limits,
}

/// A server that answers. Dropped, it stops.
pub struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Server {
    /// Begins to answer; port 0 takes any free one.
    ///
    /// # Errors
    /// `MS7001`: the address can't be listened on. `MS7003`: others than this machine could ask, and nobody has to show who they are.
    pub fn start(config: Config, host: Arc<dyn Host>) -> Result<Self, ServeError> {
        let address = &config.address;
        let failed = |source| ServeError::Listen { address: address.to_owned(), source };
        let listener = TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        if !address.ip().is_loopback() && host.access().is_none() {
            return Err(ServeError::Open { address });
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("http")
            .enable_all()
            .build()
            .map_err(ServeError::Start)?;
        let (stop, stopped) = oneshot::channel();
        let site = Arc::new(route::Site::new(
            host,
            Metrics::default(),
            address,
            cors::Cors::new(config.cors),
            config.limits,
        ));
        let thread = thread::Builder::new()
            .name("http".into())
            .spawn(move || serve(runtime, listener, site, stopped))
            .map_err(ServeError::Start)?;
        Ok(Server { address, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nobody receives it where the thread has ended already.
        let _ = self.stop.take().map(|stop| stop.send(()));
        if let Some(thread) = self.thread.take() {
            // A panic of it was printed.
            let _ = thread.join();
        }
    }
}

fn serve(runtime: Runtime, listener: TcpListener, site: Arc<route::Site>, stopped: oneshot::Receiver<()>) {
    runtime.block_on(async {
        match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => tokio::select! {
                _ = stopped => {}
                () = accept(listener, site) => {}
            },
            Err(error) => tracing::error!(event = "http_failed", error = %error),
        }
    });
    runtime.shutdown_timeout(STOP_WAIT_MAX);
}

async fn accept(listener: tokio::net::TcpListener, site: Arc<route::Site>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        // A client beyond the last place waits in the system's queue.
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(event = "http_accept_failed", error = %error);
                tokio::time::sleep(ACCEPT_RETRY_WAIT).await;
                continue;
            }
        };
        // Answers are written whole: waiting for more to send only delays them.
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(route::router(site.clone()));
        tokio::spawn(async move {
            priority::set_once(priority::CLIENTS, "http");
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_WAIT_MAX)
                .max_buf_size(HEAD_BYTES_MAX)
                .serve_connection(TokioIo::new(stream), service);
            // A client that breaks off is its own affair.
            let _ = connection.await;
            drop(place);
        });
    }
}
