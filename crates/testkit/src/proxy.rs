//! [`TcpProxy`]: a network that misbehaves on demand, between a client and a server on this machine.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::{Error, Result};

/// One read: large enough not to slow a bulk load down, small enough that a change of weather shows at once.
const READ_BYTES: usize = 64 << 10;

/// How the network behaves from now on, for open connections and for new ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    /// Everything passes.
    Clear,
    /// Open connections are closed, new ones are closed as soon as they are accepted.
    Cut,
    /// Connections stay open and nothing moves; what was sent arrives when the weather clears.
    Stalled,
    /// Bytes arrive in pieces of at most `bytes`, with `pause` between them.
    Dripping {
        /// Size of a piece, at least 1.
        bytes: usize,
        /// Wait before each piece.
        pause: Duration,
    },
    /// The server's side is closed and the client is never told; what it sends goes nowhere.
    HalfOpen,
}

impl Weather {
    /// One byte a second.
    pub const DRIP: Self = Self::Dripping { bytes: 1, pause: Duration::from_secs(1) };
}

/// Listens on a free port of 127.0.0.1 and passes connections on to a server there, as well as its weather lets it.
///
/// Dropping it closes every connection.
pub struct TcpProxy {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: SocketAddr,
    state: Mutex<State>,
    changed: Condvar,
    to_server_bytes: AtomicU64,
    to_client_bytes: AtomicU64,
}

struct State {
    weather: Weather,
    closed: bool,
    connections: Vec<(TcpStream, TcpStream)>,
    accepted: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    ToServer,
    ToClient,
}

impl TcpProxy {
    /// Starts in clear weather, in front of a port of 127.0.0.1.
    ///
    /// # Errors
    /// No port to listen on.
    pub fn start(upstream_port: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(Error::during("listening"))?;
        let port = listener.local_addr().map_err(Error::during("listening"))?.port();
        let shared = Arc::new(Shared {
            upstream: SocketAddr::from((Ipv4Addr::LOCALHOST, upstream_port)),
            state: Mutex::new(State {
                weather: Weather::Clear,
                closed: false,
                connections: Vec::new(),
                accepted: 0,
            }),
            changed: Condvar::new(),
            to_server_bytes: AtomicU64::new(0),
            to_client_bytes: AtomicU64::new(0),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accepting.accept(&listener));
        Ok(Self { port, shared })
    }

    /// The port that clients connect to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Changes the weather.
    pub fn set(&self, weather: Weather) {
        let mut state = self.shared.state();
        state.weather = weather;
        match weather {
            Weather::Cut => state.close_all(),
            Weather::HalfOpen => {
                for (_, server) in &state.connections {
                    let _ = server.shutdown(Shutdown::Both);
                }
            }
            Weather::Clear | Weather::Stalled | Weather::Dripping { .. } => {}
        }
        drop(state);
        self.shared.changed.notify_all();
    }

    /// Closes the connections of this moment and lets new ones pass: a blip.
    pub fn cut_once(&self) {
        self.shared.state().close_all();
    }

    /// Connections accepted so far: how often a client has tried.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.shared.state().accepted
    }

    /// Bytes sent to the server and to the clients so far, those of a write under way included.
    #[must_use]
    pub fn passed_bytes(&self) -> (u64, u64) {
        let load = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        (load(&self.shared.to_server_bytes), load(&self.shared.to_client_bytes))
    }
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        {
            let mut state = self.shared.state();
            state.closed = true;
            state.close_all();
        }
        self.shared.changed.notify_all();
        // Wakes the accepting thread, which then sees that it is over.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

impl State {
    fn close_all(&mut self) {
        for (client, server) in self.connections.drain(..) {
            let _ = client.shutdown(Shutdown::Both);
            let _ = server.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for client in listener.incoming().flatten() {
            let mut state = self.state();
            if state.closed {
                return;
            }
            state.accepted += 1;
            if state.weather == Weather::Cut {
                continue;
            }
            drop(state);
            // A server that is down looks to the client as it does without us: the connection is closed at once.
            let Ok(server) = TcpStream::connect(self.upstream) else { continue };
            let _ = self.bridge(&client, &server);
        }
    }

    fn bridge(self: &Arc<Self>, client: &TcpStream, server: &TcpStream) -> std::io::Result<()> {
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        self.state().connections.push((client.try_clone()?, server.try_clone()?));
        for (direction, from, to) in
            [(Direction::ToServer, client, server), (Direction::ToClient, server, client)]
        {
            let (shared, from, to) = (Arc::clone(self), from.try_clone()?, to.try_clone()?);
            thread::spawn(move || shared.pump(direction, from, to));
        }
        Ok(())
    }

    fn pump(&self, direction: Direction, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = vec![0; READ_BYTES];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            if self.pass(direction, &buffer[..read], &mut to).is_err() {
                break;
            }
        }
        if direction == Direction::ToClient {
            // The server is gone. A half-open client hears of it only when the weather changes.
            self.wait_while(|weather| matches!(weather, Weather::HalfOpen | Weather::Stalled));
        }
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    }

    fn pass(&self, direction: Direction, mut bytes: &[u8], to: &mut TcpStream) -> std::io::Result<()> {
        while !bytes.is_empty() {
            let piece = match self.wait_while(|weather| weather == Weather::Stalled) {
                // What was on its way is lost; the client goes on writing into nothing.
                Some(Weather::HalfOpen) => return Ok(()),
                Some(Weather::Dripping { bytes: size, pause }) => {
                    thread::sleep(pause);
                    size.clamp(1, bytes.len())
                }
                Some(_) => bytes.len(),
                None => return Err(std::io::ErrorKind::ConnectionAborted.into()),
            };
            // Counted ahead, so that whoever has received bytes finds them counted.
            let counter =
                if direction == Direction::ToServer { &self.to_server_bytes } else { &self.to_client_bytes };
            counter.fetch_add(piece as u64, Ordering::SeqCst);
            to.write_all(&bytes[..piece])?;
            bytes = &bytes[piece..];
        }
        Ok(())
    }

    /// Blocks while the condition holds; returns the weather then, or `None` when the proxy is closed.
    fn wait_while(&self, blocks: impl Fn(Weather) -> bool) -> Option<Weather> {
        let state = self
            .changed
            .wait_while(self.state(), |state| !state.closed && blocks(state.weather))
            .unwrap_or_else(PoisonError::into_inner);
        (!state.closed).then_some(state.weather)
    }
}
