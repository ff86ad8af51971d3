//! Who is connected and what runs: to cancel it, to end what takes too long, to close everything when the program stops.

use std::{
    collections::hash_map::{Entry as MapEntry, HashMap, RandomState},
    hash::{BuildHasher, Hasher},
    net::{Shutdown, TcpStream},
    sync::{Condvar, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use super::error::WireError;

/// How often what runs is looked at. A statement may run so much longer than its limit.
pub(super) const WATCH_EVERY: Duration = Duration::from_millis(50);

/// Ends what a reader runs.
type Interrupt = Box<dyn Fn() + Send + Sync>;

/// Why a statement was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Canceled,
    Late,
    Stopping,
}

struct Statement {
    interrupt: Interrupt,
    due: Instant,
    ended: Option<Ended>,
}

struct Client {
    secret: i32,
    stream: TcpStream,
    running: Option<Statement>,
}

/// The connected clients.
pub(super) struct Clients {
    max: usize,
    state: Mutex<State>,
    left: Condvar,
}

#[derive(Default)]
struct State {
    next: i32,
    clients: HashMap<i32, Client>,
    stopping: bool,
}

impl Clients {
    pub(super) fn new(max: usize) -> Self {
        Clients { max, state: Mutex::default(), left: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Counts a client in; `None`: there are too many.
    pub(super) fn enter(&self, stream: TcpStream) -> Option<Entry> {
        let mut state = self.lock();
        if state.clients.len() >= self.max || state.stopping {
            return None;
        }
        // The keys of std's hasher come from the system's source of randomness: whoever does not know them can't tell the next number.
        let mut hasher = RandomState::new().build_hasher();
        loop {
            state.next = state.next.checked_add(1).unwrap_or(1);
            let pid = state.next;
            if let MapEntry::Vacant(vacant) = state.clients.entry(pid) {
                hasher.write_i32(pid);
                let secret = hasher.finish() as i32;
                vacant.insert(Client { secret, stream, running: None });
                return Some(Entry { pid, secret });
            }
        }
    }

    pub(super) fn leave(&self, entry: &Entry) {
        self.lock().clients.remove(&entry.pid);
        self.left.notify_all();
    }

    /// Lets a client's statement be interrupted until [`Clients::ended`].
    pub(super) fn started(&self, entry: &Entry, interrupt: Interrupt, limit: Duration) {
        let mut state = self.lock();
        let ended = state.stopping.then_some(Ended::Stopping);
        if let Some(client) = state.clients.get_mut(&entry.pid) {
            client.running = Some(Statement { interrupt, due: Instant::now() + limit, ended });
        }
    }

    /// Tells why the statement was interrupted, if it was.
    pub(super) fn ended(&self, entry: &Entry) -> Option<WireError> {
        let statement = self.lock().clients.get_mut(&entry.pid)?.running.take()?;
        statement.ended.map(|ended| match ended {
            Ended::Canceled => WireError::Canceled,
            Ended::Late => WireError::StatementTimeout,
            Ended::Stopping => WireError::Stopping,
        })
    }

    /// Ends the statement of the client that has this secret.
    pub(super) fn cancel(&self, pid: i32, secret: i32) {
        let mut state = self.lock();
        let client = state.clients.get_mut(&pid).filter(|client| client.secret == secret);
        if let Some(statement) = client.and_then(|client| client.running.as_mut()) {
            statement.ended.get_or_insert(Ended::Canceled);
            (statement.interrupt)();
        }
    }

    /// Interrupts what is late. Again what was interrupted before: the first time may have come before the warehouse had begun.
    pub(super) fn interrupt_those_due(&self) {
        let now = Instant::now();
        for client in self.lock().clients.values_mut() {
            let Some(statement) = &mut client.running else { continue };
            if statement.due <= now {
                statement.ended.get_or_insert(Ended::Late);
            }
            if statement.ended.is_some() {
                (statement.interrupt)();
            }
        }
    }

    /// Lets nobody in any more, interrupts everything and closes the sockets.
    pub(super) fn close_all(&self, how: Shutdown) {
        let mut state = self.lock();
        state.stopping = true;
        for client in state.clients.values_mut() {
            if let Some(statement) = &mut client.running {
                statement.ended.get_or_insert(Ended::Stopping);
                (statement.interrupt)();
            }
            drop(client.stream.shutdown(how));
        }
    }

    pub(super) fn wait_until_empty(&self, within: Duration) {
        let deadline = Instant::now() + within;
        let mut state = self.lock();
        while !state.clients.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            // Not longer at once than between two looks: an interruption may have to be repeated.
            let wait = left.min(WATCH_EVERY);
            state = self.left.wait_timeout(state, wait).unwrap_or_else(|poisoned| poisoned.into_inner()).0;
            for client in state.clients.values_mut() {
                if let Some(statement) = &client.running {
                    (statement.interrupt)();
                }
            }
        }
    }
}

/// A connected client's number, and the secret that another connection cancels its statements by.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) pid: i32,
    pub(super) secret: i32,
}
