//! Starting child processes that do not outlive this one.
//!
//! Linux sends the parent-death signal when the *thread* that started the child ends, and every Rust test has a thread of
//! its own. A cluster shared between tests would die with the first of them. So all children are started by one thread that
//! lives as long as the process.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{self, Child, Command, Stdio};
use std::sync::mpsc::{channel, Sender};
use std::sync::{Mutex, OnceLock};
use std::thread;

use crate::{Error, Result};

type Job = Box<dyn FnOnce() + Send>;

static SPAWNER: OnceLock<Mutex<Sender<Job>>> = OnceLock::new();

/// Starts `command` in a process group of its own (a terminal's Ctrl-C does not reach it); it gets `signal` when this process
/// ends, however it ends.
pub(crate) fn spawn_bound(mut command: Command, signal: i32) -> io::Result<Child> {
    let parent = process::id();
    command.process_group(0);
    // SAFETY: only async-signal-safe calls between fork and exec. std runs this after it has switched the account, which
    // would have cleared the signal.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, signal) != 0 {
                return Err(io::Error::last_os_error());
            }
            // The parent may have died before the call above; then nobody would ever send the signal.
            if u32::try_from(libc::getppid()) != Ok(parent) {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            Ok(())
        });
    }
    on_spawner(move || command.spawn())
}

fn on_spawner<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let sender = SPAWNER.get_or_init(|| {
        let (sender, jobs) = channel::<Job>();
        thread::spawn(move || jobs.into_iter().for_each(|job| job()));
        Mutex::new(sender)
    });
    let (reply, result) = channel();
    let job: Job = Box::new(move || {
        let _ = reply.send(work());
    });
    let sent = sender.lock().unwrap_or_else(std::sync::PoisonError::into_inner).send(job);
    #[allow(clippy::expect_used, reason = "the thread ends only with the process, and its jobs do not panic")]
    {
        sent.expect("the spawner thread lives as long as the process");
        result.recv().expect("a job always replies")
    }
}

/// Runs a program to its end and returns what it printed; its own words on failure.
pub(crate) fn run(command: &mut Command, name: &str) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().map_err(Error::during(format!("starting {name}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Error::new(format!(
        "{name}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim_end()
    )))
}

/// Sends a signal to a child of ours.
pub(crate) fn send(pid: u32, signal: i32) -> Result<()> {
    let pid = libc::pid_t::try_from(pid).map_err(Error::during("process id"))?;
    // SAFETY: the process is a child that has not been waited for, so the id is still its own.
    if unsafe { libc::kill(pid, signal) } != 0 {
        return Err(Error::during("sending a signal")(io::Error::last_os_error()));
    }
    Ok(())
}
