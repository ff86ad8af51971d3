//! [`Process`]: a program under test, watched line by line, that can be killed or frozen at any moment.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::spawn::{send, spawn_bound};
use crate::{Error, Result};

/// How often conditions that nothing announces are looked at.
const POLL_EVERY: Duration = Duration::from_millis(10);
/// A program that logs in a loop must not eat the test's memory; nobody reads more of it.
const LINES_KEPT_MAX: usize = 200_000;
/// As much of the output as helps in an error message.
const TAIL_LINES: usize = 40;

/// A child process with its output. It dies with its owner: by SIGKILL on drop, and when the test process ends.
pub struct Process {
    name: String,
    child: Child,
    ended: Option<ExitStatus>,
    output: Arc<Output>,
    readers: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Output {
    lines: Mutex<Lines>,
    grown: Condvar,
}

#[derive(Default)]
struct Lines {
    stdout: Vec<String>,
    stderr: Vec<String>,
    open_streams: usize,
}

impl Process {
    /// Starts the command with no input and both outputs watched.
    ///
    /// # Errors
    /// The program can't be started.
    pub fn spawn(mut command: Command) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child =
            spawn_bound(command, libc::SIGKILL).map_err(Error::during(format!("starting {name}")))?;
        let output = Arc::new(Output::default());
        let mut readers = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            readers.push(output.watch(stdout, |lines| &mut lines.stdout));
        }
        if let Some(stderr) = child.stderr.take() {
            readers.push(output.watch(stderr, |lines| &mut lines.stderr));
        }
        Ok(Self { name, child, ended: None, output, readers })
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything on standard output so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.output.lock().stdout.join("\n")
    }

    /// Everything on standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.output.lock().stderr.join("\n")
    }

    /// Waits for a line that holds `text`, on either output, and returns the first.
    ///
    /// # Errors
    /// No such line within `timeout`, or before the outputs were closed; the end of the output is in the message.
    pub fn wait_for_line(&self, text: &str, timeout: Duration) -> Result<String> {
        let deadline = Instant::now() + timeout;
        let (mut seen_out, mut seen_err) = (0, 0);
        let mut lines = self.output.lock();
        loop {
            let fresh = lines.stdout[seen_out..].iter().chain(&lines.stderr[seen_err..]);
            if let Some(line) = fresh.into_iter().find(|line| line.contains(text)) {
                return Ok(line.clone());
            }
            (seen_out, seen_err) = (lines.stdout.len(), lines.stderr.len());
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || lines.open_streams == 0 {
                drop(lines);
                let why = if left.is_zero() {
                    format!("in {timeout:?}")
                } else {
                    "and its output has ended".into()
                };
                return Err(Error::new(format!(
                    "{}: no line with `{text}` {why}\n{}",
                    self.name,
                    self.tail()
                )));
            }
            lines = self.output.grown.wait_timeout(lines, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for the process to end.
    ///
    /// # Errors
    /// It is still running after `timeout`; it goes on running.
    pub fn wait(&mut self, timeout: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(status) = self.try_wait()? {
                // The readers end with the pipes, so what was printed last is there for the caller.
                for reader in self.readers.drain(..) {
                    let _ = reader.join();
                }
                return Ok(status);
            }
            if Instant::now() > deadline {
                return Err(Error::new(format!(
                    "{} still runs after {timeout:?}\n{}",
                    self.name,
                    self.tail()
                )));
            }
            thread::sleep(POLL_EVERY);
        }
    }

    /// How the process ended, if it has.
    ///
    /// # Errors
    /// The system does not say.
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().map_err(Error::during("waiting for a process"))?;
        }
        Ok(self.ended)
    }

    /// Sends a signal, `libc::SIGTERM` for one.
    ///
    /// # Errors
    /// The process has ended.
    pub fn signal(&mut self, signal: i32) -> Result<()> {
        match self.try_wait()? {
            Some(status) => Err(Error::new(format!("{} has ended: {status}", self.name))),
            None => send(self.child.id(), signal),
        }
    }

    /// SIGKILL, and waits until it is gone. A process that has ended already stays as it ended.
    ///
    /// # Errors
    /// The system refuses.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        if self.try_wait()?.is_none() {
            send(self.child.id(), libc::SIGKILL)?;
        }
        let status = self.child.wait().map_err(Error::during("waiting for a process"))?;
        self.ended = Some(status);
        Ok(status)
    }

    /// SIGSTOP: frozen until [`thaw`](Self::thaw).
    ///
    /// # Errors
    /// The process has ended.
    pub fn freeze(&mut self) -> Result<()> {
        self.signal(libc::SIGSTOP)
    }

    /// SIGCONT.
    ///
    /// # Errors
    /// The process has ended.
    pub fn thaw(&mut self) -> Result<()> {
        self.signal(libc::SIGCONT)
    }

    /// The largest resident set so far; `None` once the process has ended.
    #[must_use]
    pub fn peak_rss_bytes(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let kibibytes = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        Some(kibibytes.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
    }

    /// The end of both outputs, for messages.
    #[must_use]
    pub fn tail(&self) -> String {
        let lines = self.output.lock();
        let end = |lines: &[String]| lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n");
        format!("stdout:\n{}\nstderr:\n{}", end(&lines.stdout), end(&lines.stderr))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the end of what {} printed:\n{}", self.name, self.tail());
        }
        let _ = self.kill();
    }
}

impl Output {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(
        self: &Arc<Self>,
        stream: impl Read + Send + 'static,
        select: fn(&mut Lines) -> &mut Vec<String>,
    ) -> JoinHandle<()> {
        self.lock().open_streams += 1;
        let output = Arc::clone(self);
        thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut bytes = Vec::new();
            while let Ok(1..) = stream.read_until(b'\n', &mut bytes) {
                let line = String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned();
                bytes.clear();
                let mut lines = output.lock();
                let kept = select(&mut lines);
                if kept.len() < LINES_KEPT_MAX {
                    kept.push(line);
                }
                drop(lines);
                output.grown.notify_all();
            }
            output.lock().open_streams -= 1;
            output.grown.notify_all();
        })
    }
}

/// Looks at a condition until it gives a value.
///
/// # Errors
/// It gave none within `timeout`; `what` says what was waited for.
pub fn wait_until<T>(what: &str, timeout: Duration, mut condition: impl FnMut() -> Option<T>) -> Result<T> {
    let deadline = Instant::now() + timeout;
    loop {
        if let Some(value) = condition() {
            return Ok(value);
        }
        if Instant::now() > deadline {
            return Err(Error::new(format!("waited {timeout:?} in vain for {what}")));
        }
        thread::sleep(POLL_EVERY);
    }
}

/// Whether the process was ended by this signal.
#[must_use]
pub fn ended_by(status: ExitStatus, signal: i32) -> bool {
    status.signal() == Some(signal)
}
