//! What the figures were measured on and with. A figure without this says nothing.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde::Serialize;

/// The machine and the versions.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) date: String,
    pub(crate) commit: String,
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) memory_bytes: u64,
    pub(crate) kernel: String,
    /// Processes that wanted to run over the last minute as the bench began: what else was going on.
    pub(crate) load_before: f64,
    pub(crate) postgres: String,
    /// Filled in when a warehouse has said it.
    pub(crate) duckdb: String,
    pub(crate) rustc: String,
    pub(crate) debezium: String,
}

impl Machine {
    pub(crate) fn describe(postgres: &Path, debezium: String) -> Self {
        Self {
            date: said(Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"])),
            commit: commit(),
            processor: processor(&read("/proc/cpuinfo")),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_bytes: memory_bytes(&read("/proc/meminfo")).unwrap_or(0),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load_before: load(),
            postgres: said(Command::new(postgres).arg("--version")),
            duckdb: UNKNOWN.to_owned(),
            rustc: said(Command::new("rustc").arg("--version")),
            debezium,
        }
    }
}

/// The load average of the last minute.
pub(crate) fn load() -> f64 {
    read("/proc/loadavg").split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0.0)
}

fn commit() -> String {
    let git = |arguments: &[&str]| said(Command::new("git").args(arguments));
    let commit = git(&["rev-parse", "--short=10", "HEAD"]);
    // What is not part of the program does not change what is measured.
    let changed = git(&["status", "--porcelain", "--", "crates", "Cargo.toml", "Cargo.lock"]);
    if changed.is_empty() || changed == UNKNOWN {
        commit
    } else {
        format!("{commit} with changes")
    }
}

const UNKNOWN: &str = "unknown";

/// What a program prints, or that it is not known: no figure is lost over it.
fn said(command: &mut Command) -> String {
    let output = command.output().ok().filter(|output| output.status.success());
    output.map_or_else(
        || UNKNOWN.to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn processor(cpuinfo: &str) -> String {
    let line = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
    line.map_or_else(
        || UNKNOWN.to_owned(),
        |line| line.trim_start_matches([' ', '\t', ':']).trim().to_owned(),
    )
}

fn memory_bytes(meminfo: &str) -> Option<u64> {
    let kibibytes = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(kibibytes.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
}

/// Bytes free for us on the file system of a directory.
pub(crate) fn free_bytes(directory: &Path) -> Option<u64> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(directory.as_os_str().as_bytes()).ok()?;
    // SAFETY: the path ends in a zero byte, and statvfs writes only into the struct, for which zero is a value.
    let (result, status) = unsafe {
        let mut status = std::mem::zeroed::<libc::statvfs>();
        (libc::statvfs(path.as_ptr(), &mut status), status)
    };
    (result == 0).then(|| status.f_bavail * status.f_frsize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_understood() {
        assert_eq!(processor("processor\t: 0\nmodel name\t: AMD EPYC\n"), "AMD EPYC");
        assert_eq!(processor("Processor : ARM\n"), UNKNOWN);
        assert_eq!(memory_bytes("MemTotal:       1024 kB\nMemFree: 1 kB\n"), Some(1 << 20));
        assert!(free_bytes(Path::new("/")).is_some());
    }
}
