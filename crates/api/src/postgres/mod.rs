//! The PostgreSQL wire protocol: psql, drivers, dashboards and SQLAlchemy read the warehouse as if it were a PostgreSQL 15 that only reads.
//!
//! - [`serve`] listens; each client has a thread of its own, for the warehouse's port blocks, and a client that takes its rows slowly then holds
//!   up nobody but itself.
//! - `wire` reads and writes messages, `statement` tells statements apart, `connection` answers them, `session` keeps what a client left:
//!   settings, prepared statements, portals, the transaction.
//! - `types`, `rows`, `parameters` and `copy` are values: the warehouse's types with PostgreSQL's numbers, in text and binary form.
//! - [`catalog`] is `pg_catalog` and `information_schema`: made of the replicated tables and models, and asked beside the warehouse.
//!
//! The dialect of questions is the warehouse's own; only the catalogue's is PostgreSQL's. See `docs/decisions/0018-postgres-wire.md`.

pub mod catalog;
mod connection;
mod copy;
mod error;
mod extended;
mod parameters;
mod rows;
mod running;
mod scram;
mod session;
mod settings;
mod span;
mod statement;
mod tls;
mod types;
mod wire;

use std::{
    io,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use self::{catalog::Catalog, connection::Connection, running::Clients};
pub use self::{catalog::OpenCatalog, error::WireError, tls::Tls};
use crate::host::Host;

/// How clients are served.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen. Port 0: any that is free.
    pub address: SocketAddr,
    /// At most so many clients at once; each is a thread.
    pub connections_max: usize,
    /// A statement runs at most so long; a client can ask for less.
    pub statement_max: Duration,
    /// A client that says nothing for so long is let go.
    pub idle_max: Duration,
    /// The same in a transaction, which keeps the warehouse from reusing what it replaced.
    pub idle_in_transaction_max: Duration,
    /// A cursor, or a portal that is read in parts, holds at most so many rows. What is read in one go is sent as it comes.
    pub rows_max: usize,
    /// Memory that these rows may take, in bytes; `None`: what any answer's may.
    pub memory_bytes: Option<u64>,
    /// For clients that ask for it; needed where others than this machine can connect.
    pub tls: Option<Tls>,
}

impl Config {
    /// The defaults, at an address.
    pub fn new(address: SocketAddr) -> Self {
        Config {
            address,
            // A pool of a few programs. A waiting client costs a thread's stack of some tens of kilobytes.
            connections_max: 100,
            statement_max: Duration::from_secs(300),
            // Pools keep connections for hours.
            idle_max: Duration::from_secs(8 * 3600),
            idle_in_transaction_max: Duration::from_secs(60),
            // 1M rows of ten numbers are some 100 MB.
            rows_max: 1_000_000,
            memory_bytes: None,
            tls: None,
        }
    }
}

/// How long a client may take to say who it is.
const STARTUP_MAX: Duration = Duration::from_secs(10);

/// How long [`Server::stop`] waits for threads. They wait for the warehouse to notice that it was interrupted.
const STOP_MAX: Duration = Duration::from_secs(5);

/// The stack of a client's thread, in bytes: statements are trees, walked by recursion. Only what is used of it is memory.
const STACK_BYTES: usize = 16 << 20;

/// A pause of the listener after an error such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What all connections share.
struct Shared {
    host: Arc<dyn Host>,
    catalog: Catalog,
    config: Config,
    clients: Clients,
    stopping: AtomicBool,
}

/// A server that listens.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// Listens for PostgreSQL clients. `open_catalog` makes the engine that the catalogue's questions are asked of.
///
/// # Errors
/// `MS7401`: the address can't be listened on. `MS7423`: it is not on loopback, and there are no passwords, or no TLS.
pub fn serve(config: Config, host: Arc<dyn Host>, open_catalog: OpenCatalog) -> Result<Server, WireError> {
    let guarded = host.access().is_some() && config.tls.is_some();
    if !config.address.ip().is_loopback() && !guarded {
        return Err(WireError::NotLoopback { address: config.address });
    }
    let failed = |source: io::Error| WireError::Listen { address: config.address, source };
    let listener = TcpListener::bind(config.address).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let shared = Arc::new(Shared {
        catalog: Catalog::new(host.clone(), open_catalog),
        host,
        clients: Clients::new(config.connections_max),
        config: config.clone(),
        stopping: AtomicBool::new(false),
    });
    let accepting = shared.clone();
    let watching = shared.clone();
    let named = |name: &str| thread::Builder::new().name(name.to_owned());
    let threads = vec![
        named("postgres-accept").spawn(move || accept(&listener, &accepting)).map_err(failed)?,
        named("postgres-watch")
            .spawn(move || {
                while !watching.stopping.load(Ordering::Acquire) {
                    thread::sleep(running::WATCH_EVERY);
                    watching.clients.interrupt_those_due();
                }
            })
            .map_err(failed)?,
    ];
    tracing::info!(event = "postgres_listening", %address);
    Ok(Server { address, shared, threads })
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    loop {
        let accepted = listener.accept();
        if shared.stopping.load(Ordering::Acquire) {
            return;
        }
        match accepted {
            Ok((stream, peer)) => welcome(stream, peer, shared),
            Err(error) => {
                tracing::warn!(event = "postgres_accept_failed", %error);
                thread::sleep(ACCEPT_PAUSE);
            }
        }
    }
}

fn welcome(stream: TcpStream, peer: SocketAddr, shared: &Arc<Shared>) {
    let Ok(twin) = stream.try_clone() else { return };
    let entry = shared.clients.enter(twin);
    let thread_shared = shared.clone();
    let named = thread::Builder::new().name("postgres-client".into()).stack_size(STACK_BYTES);
    let spawned = named.spawn(move || match entry {
        Some(entry) => match Connection::new(stream, thread_shared, entry) {
            Ok(connection) => connection.run(),
            Err(error) => tracing::debug!(event = "postgres_client_lost", %peer, %error),
        },
        // Said in a thread too: a client that does not listen must not hold up the others.
        None => connection::turn_away(stream, thread_shared.config.connections_max),
    });
    if let Err(error) = spawned {
        tracing::warn!(event = "postgres_thread_failed", %error);
    }
}

impl Server {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops: nobody new is let in, statements are interrupted, connections closed. Returns when they are, or after a few seconds.
    pub fn stop(mut self) {
        self.shut();
    }

    fn shut(&mut self) {
        if self.shared.stopping.swap(true, Ordering::AcqRel) {
            return;
        }
        self.shared.clients.close_all(Shutdown::Read);
        // The listener waits in accept(): a connection of our own wakes it.
        drop(TcpStream::connect_timeout(&self.address, STOP_MAX));
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
        self.shared.clients.wait_until_empty(STOP_MAX);
        self.shared.clients.close_all(Shutdown::Both);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shut();
    }
}
