//! [`Child`]: a process whose time, processor time and memory are taken.
//!
//! Processor time comes from `wait4`, so nothing of it is missed. The largest resident set is the kernel's own high-water mark
//! (`VmHWM`), read while the process runs: the one that `wait4` gives begins with the memory of the process that forked it.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::interrupt;

/// Bounds how far a measured time can be off; a wakeup costs microseconds.
const POLL_EVERY: Duration = Duration::from_millis(2);
/// The high-water mark only grows, so only growth within the last interval can be missed.
const MEMORY_EVERY: Duration = Duration::from_millis(20);
/// As much of what a failed process printed as helps in an error message.
const TAIL_LINES: usize = 20;

/// What a process took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken {
    pub(crate) wall: Duration,
    pub(crate) cpu_seconds: f64,
    pub(crate) rss_peak_bytes: u64,
}

/// A running process with its output in files. It is killed when dropped, and when the bench ends in any way.
pub(crate) struct Child {
    name: String,
    pid: libc::pid_t,
    started: Instant,
    rss_peak_bytes: u64,
    memory_read: Instant,
    stdout: PathBuf,
    stderr: PathBuf,
    ended: bool,
}

impl Child {
    /// Starts the command with no input; what it prints goes to `NAME.out` and `NAME.err` in `directory`.
    pub(crate) fn spawn(mut command: Command, name: &str, directory: &Path) -> Result<Self> {
        let during = || Error::during(format!("starting {name}"));
        let stdout = directory.join(format!("{name}.out"));
        let stderr = directory.join(format!("{name}.err"));
        command
            .stdin(Stdio::null())
            .stdout(File::create(&stdout).map_err(during())?)
            .stderr(File::create(&stderr).map_err(during())?);
        // Of its own group, so that a terminal's Ctrl-C reaches only the bench, which then stops it in order.
        command.process_group(0);
        // SAFETY: prctl is async-signal-safe. The signal is bound to the thread that forks, and that is the main thread.
        unsafe {
            command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            });
        }
        let started = Instant::now();
        let child = command.spawn().map_err(during())?;
        let pid = libc::pid_t::try_from(child.id()).map_err(Error::during("a process id"))?;
        Ok(Self {
            name: name.to_owned(),
            pid,
            started,
            rss_peak_bytes: 0,
            memory_read: started,
            stdout,
            stderr,
            ended: false,
        })
    }

    /// What it has printed on standard output.
    pub(crate) fn stdout(&self) -> String {
        fs::read_to_string(&self.stdout).unwrap_or_default()
    }

    /// Waits for its end, which must be a success. A process that takes longer than `timeout` is killed, and that is an error.
    pub(crate) fn finish(&mut self, timeout: Duration) -> Result<Taken> {
        let (status, taken) = self.wait(timeout)?;
        if status.success() {
            return Ok(taken);
        }
        Err(Error::new(format!("{} ended with {status}\n{}", self.name, self.tail())))
    }

    /// Tells it to stop and waits for its end. How it ends does not matter.
    pub(crate) fn stop(&mut self, timeout: Duration) -> Result<Taken> {
        self.signal(libc::SIGTERM);
        self.wait(timeout).map(|(_, taken)| taken)
    }

    /// Notices a growth of memory, and an end that came too soon.
    pub(crate) fn check(&mut self) -> Result<()> {
        self.read_memory();
        match self.reap(libc::WNOHANG)? {
            None => Ok(()),
            Some((status, _)) => {
                Err(Error::new(format!("{} ended with {status}\n{}", self.name, self.tail())))
            }
        }
    }

    fn wait(&mut self, timeout: Duration) -> Result<(ExitStatus, Taken)> {
        // From now on, not from its start: what is stopped has run as long as it should.
        let asked = Instant::now();
        loop {
            if self.memory_read.elapsed() >= MEMORY_EVERY {
                self.read_memory();
            }
            if let Some(end) = self.reap(libc::WNOHANG)? {
                return Ok(end);
            }
            interrupt::check()?;
            if asked.elapsed() > timeout {
                return Err(Error::new(format!(
                    "{} still ran after {timeout:?}\n{}",
                    self.name,
                    self.tail()
                )));
            }
            sleep(POLL_EVERY);
        }
    }

    fn reap(&mut self, options: i32) -> Result<Option<(ExitStatus, Taken)>> {
        if self.ended {
            return Err(Error::new(format!("{} has ended", self.name)));
        }
        let mut status = 0;
        // SAFETY: rusage holds only numbers, for which zero is a value; both pointers are to our own.
        let (reaped, usage) = unsafe {
            let mut usage = std::mem::zeroed::<libc::rusage>();
            (libc::wait4(self.pid, &mut status, options, &mut usage), usage)
        };
        match reaped {
            0 => Ok(None),
            pid if pid == self.pid => {
                self.ended = true;
                let taken = Taken {
                    wall: self.started.elapsed(),
                    cpu_seconds: seconds(usage.ru_utime) + seconds(usage.ru_stime),
                    rss_peak_bytes: self.rss_peak_bytes,
                };
                Ok(Some((ExitStatus::from_raw(status), taken)))
            }
            _ => Err(Error::during(format!("waiting for {}", self.name))(io::Error::last_os_error())),
        }
    }

    /// The memory that it has now.
    pub(crate) fn rss_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        bytes_of(&status, "VmRSS:").unwrap_or(0)
    }

    fn read_memory(&mut self) {
        self.memory_read = Instant::now();
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        self.rss_peak_bytes = self.rss_peak_bytes.max(bytes_of(&status, "VmHWM:").unwrap_or(0));
    }

    fn signal(&self, signal: i32) {
        if !self.ended {
            // SAFETY: a child of ours that has not been waited for, so the id is still its own.
            unsafe { libc::kill(self.pid, signal) };
        }
    }

    fn tail(&self) -> String {
        let text = self.stdout() + &fs::read_to_string(&self.stderr).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.ended {
            // Its group: what it has started itself would outlive it.
            // SAFETY: the group is the child's own, and the child has not been waited for, so the id is still its.
            unsafe { libc::kill(-self.pid, libc::SIGKILL) };
            let _ = self.reap(0);
        }
    }
}

fn seconds(time: libc::timeval) -> f64 {
    time.tv_sec as f64 + time.tv_usec as f64 / 1e6
}

/// A line of a `/proc/PID/status`.
fn bytes_of(status: &str, name: &str) -> Option<u64> {
    let kibibytes = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(kibibytes.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_processor_time_of_a_process_are_its_own() {
        let directory = std::env::temp_dir();
        // A buffer of 64 MiB, filled with zeros forty times.
        let mut command = Command::new("dd");
        command.args(["if=/dev/zero", "of=/dev/null", "bs=64M", "count=40"]);
        let name = format!("millstream-bench-test-{}", std::process::id());
        let taken =
            Child::spawn(command, &name, &directory).unwrap().finish(Duration::from_secs(60)).unwrap();
        assert!(taken.rss_peak_bytes > 64 << 20, "{taken:?}");
        assert!(taken.rss_peak_bytes < 128 << 20, "{taken:?}");
        assert!(taken.cpu_seconds > 0.02 && taken.cpu_seconds < 20.0, "{taken:?}");
        for ending in ["out", "err"] {
            fs::remove_file(directory.join(format!("{name}.{ending}"))).unwrap();
        }
    }

    #[test]
    fn the_high_water_mark_is_read_in_bytes() {
        let status = "Name:\tcat\nVmHWM:\t    2048 kB\nVmRSS:\t 1024 kB\n";
        assert_eq!(bytes_of(status, "VmHWM:"), Some(2 << 20));
        assert_eq!(bytes_of(status, "VmRSS:"), Some(1 << 20));
        assert_eq!(bytes_of("Name:\tcat\nState:\tZ (zombie)\n", "VmHWM:"), None);
    }
}
