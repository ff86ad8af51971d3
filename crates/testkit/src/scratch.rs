//! The directory that all clusters of a user live in, and what keeps two of them apart.
//!
//! Layout, under the system's temporary directory:
//!
//! ```text
//! millstream-testkit-UID/
//!   template-VERSION/     an initialised data directory, copied for each cluster (initdb takes a second, a copy 50 ms)
//!   template.lock         held while the template is made
//!   ports/NNNNN           held by the cluster that uses the port, for its whole life
//!   claims.lock           held while clusters are claimed and swept
//!   c-PID-N/              one cluster
//!   c-PID-N.lock          held by the process that owns the cluster
//! ```
//!
//! Everything is held by `flock`, which the kernel releases with the process: a lock that can be taken belongs to nobody, and
//! what stood under it can be removed. No pid is ever trusted for that, pids come back.

use std::fs::{self, File, OpenOptions};
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, io, process};

use crate::{Error, Result};

/// Below the kernel's ephemeral range (32768 and up), so that no outgoing connection takes a stopped cluster's port.
const PORT_FIRST: u16 = 16_384;
const PORT_LAST: u16 = 32_767;

/// The socket's path must fit `sockaddr_un` (108 bytes); this much is ours: `/c-4194304-4294967295/s/.s.PGSQL.32767`.
const SOCKET_SUFFIX_BYTES: usize = 44;
const SOCKET_PATH_BYTES_MAX: usize = 107;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A file whose `flock` is held until it is dropped.
pub(crate) struct Lock(#[allow(dead_code, reason = "held, never read")] File);

impl Lock {
    fn open(path: &Path) -> io::Result<File> {
        OpenOptions::new().create(true).truncate(false).write(true).open(path)
    }

    pub(crate) fn wait(path: &Path) -> Result<Self> {
        let file = Self::open(path).map_err(Error::during(path.display()))?;
        // SAFETY: the descriptor is open for as long as `file` is.
        if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX) } != 0 {
            return Err(Error::during(path.display())(io::Error::last_os_error()));
        }
        Ok(Self(file))
    }

    fn try_take(path: &Path) -> Option<Self> {
        let file = Self::open(path).ok()?;
        // SAFETY: as above.
        (unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0).then_some(Self(file))
    }
}

/// The user's directory for clusters; made, and checked to be ours, since its name can be guessed.
pub(crate) fn root() -> Result<PathBuf> {
    // SAFETY: only reads this process's credentials.
    let uid = unsafe { libc::geteuid() };
    let mut parent = env::temp_dir();
    let name = format!("millstream-testkit-{uid}");
    if parent.as_os_str().len() + 1 + name.len() + SOCKET_SUFFIX_BYTES > SOCKET_PATH_BYTES_MAX {
        parent = PathBuf::from("/tmp");
    }
    let root = parent.join(name);
    fs::create_dir_all(root.join("ports")).map_err(Error::during(root.display()))?;
    let owner = fs::symlink_metadata(&root).map_err(Error::during(root.display()))?;
    if owner.uid() != uid || !owner.is_dir() {
        return Err(Error::new(format!(
            "{} exists and is not ours; set TMPDIR to another place",
            root.display()
        )));
    }
    // The server's account must be able to walk through, and needs to see nothing.
    fs::set_permissions(&root, fs::Permissions::from_mode(0o711)).map_err(Error::during(root.display()))?;
    Ok(root)
}

/// A new cluster's directory (not yet made) and the lock that says it is alive. Sweeps first: a pid that came back must not
/// find its predecessor's directory.
pub(crate) fn claim(root: &Path) -> Result<(PathBuf, Lock)> {
    let _alone = Lock::wait(&root.join("claims.lock"))?;
    sweep(root);
    let name = format!("c-{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let lock = Lock::wait(&root.join(format!("{name}.lock")))?;
    Ok((root.join(name), lock))
}

/// Removes a cluster's directory, then its lock file: in this order a crash in between leaves only something to sweep.
pub(crate) fn release(directory: &Path) {
    let _ = fs::remove_dir_all(directory);
    let _ = fs::remove_file(directory.with_extension("lock"));
}

/// Removes what owners that were killed left behind.
fn sweep(root: &Path) {
    let Ok(entries) = fs::read_dir(root) else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let ours = path.extension().is_some_and(|extension| extension == "lock")
            && path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("c-"));
        if !ours {
            continue;
        }
        if let Some(_lock) = Lock::try_take(&path) {
            let directory = path.with_extension("");
            // Its postmaster got SIGQUIT with the owner's death; one that is still there is ending.
            if server_runs(&directory) {
                continue;
            }
            release(&directory);
        }
    }
}

fn server_runs(directory: &Path) -> bool {
    let Ok(text) = fs::read_to_string(directory.join("data/postmaster.pid")) else { return false };
    let Some(pid) = text.lines().next().and_then(|line| line.parse::<i32>().ok()) else { return false };
    let Ok(command) = fs::read(format!("/proc/{pid}/cmdline")) else { return false };
    let directory = directory.to_string_lossy();
    command.windows(directory.len()).any(|window| window == directory.as_bytes())
}

/// A port that is free now and that no other cluster of this user takes while the lock lives.
pub(crate) fn claim_port(root: &Path) -> Result<(u16, Lock)> {
    let span = u32::from(PORT_LAST - PORT_FIRST) + 1;
    // Processes start at different places, so that they rarely try each other's ports.
    let start =
        process::id().wrapping_mul(31).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed).wrapping_mul(7));
    (0..span)
        .find_map(|step| {
            let port = PORT_FIRST + u16::try_from(start.wrapping_add(step) % span).ok()?;
            let lock = Lock::try_take(&root.join("ports").join(port.to_string()))?;
            TcpListener::bind(("127.0.0.1", port)).ok()?;
            Some((port, lock))
        })
        .ok_or_else(|| Error::new("no free port between 16384 and 32767"))
}
