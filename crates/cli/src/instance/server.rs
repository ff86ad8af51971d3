//! The serving end: a thread per connection, as few people ask at a time and most of what they ask blocks.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc, Mutex,
    },
    thread::JoinHandle,
    time::Duration,
};

use millstream_core::build::BuildConnection;
use tokio::sync::oneshot;

use super::{
    protocol::{Emit, Event, Request},
    socket, workshop,
};
use crate::{error::ProgramError, failure::Failure};

/// Connections served at once: far more than people at one project, few enough for a thread each.
const CONNECTIONS_MAX: usize = 64;

/// The longest request: a query of several pages.
const REQUEST_BYTES_MAX: u64 = 16 << 20;

/// A client that takes nothing for so long is gone in all but name.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// Pause behind an accept that failed: out of descriptors, say, which only time mends.
const ACCEPT_RETRY_WAIT: Duration = Duration::from_millis(50);

/// Answers requests.
pub trait Handler: Send + Sync + 'static {
    /// Answers one. What it returns ends the answer: [`Event::Done`], or the failure.
    fn handle(
        &self,
        request: Request,
        emit: &mut dyn Emit,
        cancellation: &Cancellation,
    ) -> Result<Event, Failure>;

    /// A connection to the warehouse, to build models with.
    fn workshop(&self) -> Result<Box<dyn BuildConnection>, Failure>;
}

/// Says that nobody waits for the answer any more.
#[derive(Clone, Default)]
pub struct Cancellation {
    inner: Arc<CancellationInner>,
}

#[derive(Default)]
struct CancellationInner {
    cancelled: AtomicBool,
    hook: Mutex<Option<Box<dyn Fn() + Send + Sync>>>,
}

impl Cancellation {
    /// Whether it was said.
    pub fn is_cancelled(&self) -> bool {
        self.inner.cancelled.load(Ordering::Acquire)
    }

    /// Says it.
    pub fn cancel(&self) {
        self.inner.cancelled.store(true, Ordering::Release);
        let hook = self.inner.hook.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(hook) = &*hook {
            hook();
        }
    }

    /// Calls `hook` when it is said, or at once if it was. Replaces the previous one.
    pub fn on_cancel(&self, hook: Box<dyn Fn() + Send + Sync>) {
        let mut place = self.inner.hook.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if self.is_cancelled() {
            hook();
        }
        *place = Some(hook);
    }

    /// An error if it was said.
    pub fn check(&self) -> Result<(), Failure> {
        if self.is_cancelled() {
            Err(ProgramError::Cancelled.into())
        } else {
            Ok(())
        }
    }
}

/// A socket that is served. Dropping it stops accepting; connections end with their answers or their clients.
pub struct Server {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    data: PathBuf,
    connections: Arc<Mutex<Vec<(usize, Cancellation)>>>,
}

/// Serves the project's socket. The caller holds the project's lock.
pub fn serve(data: &Path, handler: Arc<dyn Handler>) -> Result<Server, ProgramError> {
    let failed = |source| ProgramError::Socket { data: data.to_owned(), source };
    let listener = socket::listen(data).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let listener = {
        let _entered = runtime.enter();
        tokio::net::UnixListener::from_std(listener).map_err(failed)?
    };
    let (stop, stopped) = oneshot::channel();
    let connections: Arc<Mutex<Vec<(usize, Cancellation)>>> = Arc::default();
    let open = connections.clone();
    let thread = std::thread::Builder::new()
        .name("control".into())
        .spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    () = accept(listener, handler, open) => {}
                }
            });
        })
        .map_err(failed)?;
    Ok(Server { stop: Some(stop), thread: Some(thread), data: data.to_owned(), connections })
}

/// Accepts connections, as soon as they come, and gives each a thread.
async fn accept(
    listener: tokio::net::UnixListener,
    handler: Arc<dyn Handler>,
    open: Arc<Mutex<Vec<(usize, Cancellation)>>>,
) {
    let mut number = 0;
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_RETRY_WAIT).await;
            continue;
        };
        let Ok(stream) = stream.into_std() else { continue };
        if lock(&open).len() >= CONNECTIONS_MAX {
            // One too many: it is closed, and the client says so.
            continue;
        }
        number += 1;
        let cancellation = Cancellation::default();
        lock(&open).push((number, cancellation.clone()));
        let (handler, done) = (handler.clone(), open.clone());
        let connection = move || {
            // A client that breaks off is its own affair.
            let _ = answer(stream, &*handler, &cancellation);
            lock(&done).retain(|(other, _)| *other != number);
        };
        // Without a thread the stream is dropped, and the client says that it was turned away.
        if std::thread::Builder::new().name("control-client".into()).spawn(connection).is_err() {
            lock(&open).retain(|(other, _)| *other != number);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nobody receives it where the thread has ended already.
        let _ = self.stop.take().map(|stop| stop.send(()));
        for (_, cancellation) in lock(&self.connections).iter() {
            cancellation.cancel();
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = socket::remove(&self.data);
    }
}

struct Lines(UnixStream);

impl Emit for Lines {
    fn emit(&mut self, event: Event) -> Result<(), Failure> {
        let mut line = serde_json::to_vec(&event)
            .map_err(|error| ProgramError::InstanceLost { detail: error.to_string() })?;
        line.push(b'\n');
        self.0.write_all(&line).map_err(|_| ProgramError::Cancelled.into())
    }
}

fn answer(stream: UnixStream, handler: &dyn Handler, cancellation: &Cancellation) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
    let mut line = String::new();
    BufReader::new((&stream).take(REQUEST_BYTES_MAX)).read_line(&mut line)?;
    let mut lines = Lines(stream.try_clone()?);
    let end = match serde_json::from_str(&line) {
        Ok(Request::Build) => match handler.workshop() {
            Ok(connection) => {
                let _ = lines.emit(Event::Done { exit: 0, value: None });
                let ending = stream.try_clone()?;
                // The reader sees the end and interrupts what runs.
                cancellation.on_cancel(Box::new(move || drop(ending.shutdown(std::net::Shutdown::Both))));
                return workshop::serve(&stream, connection);
            }
            Err(failure) => Event::Failed(failure),
        },
        Ok(request) => {
            // The client sends nothing more: when its end can be read, it is gone.
            let (watched, watcher) = (stream.try_clone()?, cancellation.clone());
            std::thread::Builder::new().name("control-watch".into()).spawn(move || {
                let _ = (&watched).read(&mut [0; 1]);
                watcher.cancel();
            })?;
            handler.handle(request, &mut lines, cancellation).unwrap_or_else(Event::Failed)
        }
        Err(error) => Event::Failed(ProgramError::UnknownRequest { detail: error.to_string() }.into()),
    };
    let _ = lines.emit(end);
    // Wakes the watcher.
    stream.shutdown(std::net::Shutdown::Both)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use millstream_core::build::BuildWarehouse;
    use millstream_warehouse::DuckBuild;

    use crate::{
        instance::{reach, Reached, RemoteWorkshop},
        output::Column,
    };

    /// Answers a query with a row and its text; waits for its cancellation on `forever`.
    struct Echo(Arc<AtomicBool>);

    impl Handler for Echo {
        fn handle(
            &self,
            request: Request,
            emit: &mut dyn Emit,
            cancellation: &Cancellation,
        ) -> Result<Event, Failure> {
            let Request::Sql { sql, .. } = request else {
                return Err(ProgramError::UnknownRequest { detail: "no query".into() }.into());
            };
            while sql == "forever" && !cancellation.is_cancelled() {
                std::thread::sleep(Duration::from_millis(5));
            }
            self.0.store(cancellation.is_cancelled(), Ordering::Release);
            emit.emit(Event::Columns(vec![Column::text(sql)]))?;
            Ok(Event::Done { exit: 1, value: None })
        }

        fn workshop(&self) -> Result<Box<dyn BuildConnection>, Failure> {
            Ok(DuckBuild::open(Path::new(":memory:"), &[], &[])?.connect()?)
        }
    }

    fn ask(data: &Path, request: &Request) -> Result<(u8, Vec<Event>), Failure> {
        let Reached::Running(running) = reach(data)? else { panic!("nothing runs") };
        let mut events = Vec::new();
        let (exit, _) = running.ask(request, &mut |event| {
            events.push(event);
            Ok(())
        })?;
        Ok((exit, events))
    }

    fn sql(text: &str) -> Request {
        Request::Sql { sql: text.into(), as_of: None }
    }

    #[test]
    fn requests_are_answered_and_failures_keep_their_code() {
        let dir = tempfile::tempdir().unwrap();
        let server = serve(dir.path(), Arc::new(Echo(Arc::default()))).unwrap();
        let (exit, events) = ask(dir.path(), &sql("a \n b")).unwrap();
        assert_eq!(exit, 1);
        assert!(matches!(&events[..], [Event::Columns(columns)] if columns[0].name == "a \n b"));
        let failure = ask(dir.path(), &Request::Status).unwrap_err();
        assert_eq!((&*failure.code, failure.exit), ("MS6104", 3));
        drop(server);
        assert!(matches!(reach(dir.path()).unwrap(), Reached::Free(_)));
    }

    #[test]
    fn what_a_connection_of_the_warehouse_says_comes_through_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let server = serve(dir.path(), Arc::new(Echo(Arc::default()))).unwrap();
        let remote = RemoteWorkshop { data: dir.path().to_owned() };
        let mut near = Echo(Arc::default()).workshop().unwrap();
        let mut far = remote.connect().unwrap();
        let sql = "select 'NaN'::double a, '-inf'::double b, 0.1::double c, 1.50::decimal(4,2) d, null e, true f, 'x\ny' g, 7::bigint h";
        let mut answers = [&mut near, &mut far].map(|connection| {
            connection.begin().unwrap();
            connection.run("create table t (a int, b text)").unwrap();
            connection.commit().unwrap();
            assert_eq!(connection.run("insert into t values (1, 'x'), (2, 'y')").unwrap().rows, Some(2));
            connection.begin().unwrap();
            connection.run("create table gone (a int)").unwrap();
            connection.rollback().unwrap();
            let wrong = connection.run("select nothing").unwrap_err().to_string();
            let many = connection.query("select * from range(3)", 2).unwrap_err().to_string();
            let found = (
                connection.relations("memory").unwrap(),
                connection.columns("memory", "main", "t").unwrap(),
                connection.described("memory").unwrap(),
            );
            format!("{:?} {wrong} {many} {found:?}", connection.query(sql, 10).unwrap())
        });
        let near = std::mem::take(&mut answers[0]);
        assert_eq!(near, answers[1]);
        assert!(
            near.contains("Float(NaN), Float(-inf), Float(0.1), Text(\"1.50\"), Null, Bool(true)"),
            "{near}"
        );
        drop(server);
        assert_eq!(far.run("select 1").unwrap_err().code(), "MS6103");
    }

    #[test]
    fn what_a_connection_of_the_warehouse_runs_is_interrupted_from_afar() {
        let dir = tempfile::tempdir().unwrap();
        let server = serve(dir.path(), Arc::new(Echo(Arc::default()))).unwrap();
        let mut far = RemoteWorkshop { data: dir.path().to_owned() }.connect().unwrap();
        let (interrupt, begun) = (far.interrupter().unwrap(), Instant::now());
        let interrupting = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(200));
            interrupt();
        });
        let forever = "select count(*) from range(1000000000000) as r(i) where hash(i) = 7";
        assert_eq!(far.run(forever).unwrap_err().code(), "MS6103");
        assert!(begun.elapsed() < Duration::from_secs(30));
        interrupting.join().unwrap();
        drop(server);
    }

    #[test]
    fn a_client_that_goes_away_cancels_its_request() {
        let dir = tempfile::tempdir().unwrap();
        let cancelled = Arc::new(AtomicBool::new(false));
        let _server = serve(dir.path(), Arc::new(Echo(cancelled.clone()))).unwrap();
        let mut stream = socket::connect(dir.path()).unwrap();
        stream.write_all(&[&serde_json::to_vec(&sql("forever")).unwrap()[..], b"\n"].concat()).unwrap();
        drop(stream);
        let started = Instant::now();
        while !cancelled.load(Ordering::Acquire) {
            assert!(started.elapsed() < Duration::from_secs(10), "it goes on");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let _server = serve(dir.path(), Arc::new(Echo(Arc::default()))).unwrap();
        let mut stream = socket::connect(dir.path()).unwrap();
        stream.write_all(b"{\"verb\":\"dance\"}\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert!(text.contains("MS6104"), "{text}");
    }
}
