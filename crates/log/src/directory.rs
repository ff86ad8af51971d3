//! The log's directory: its names, its lock, and the three ways in which a file becomes durable.
//!
//! ```text
//! lock                           held with flock while the log is open
//! durable                        how far the last segment was synced (see `recovery.rs`)
//! consumers.json                 consumer → position
//! <position>.seg                 segments; 16 hexadecimal digits
//! spool/<xid>-<n>.open           a transaction that is still open
//! spool/<commit position>.spool  one that joined the log
//! base/<id>/manifest.json        bases
//! base/<id>/<oid>-<chunk>.chunk
//! ```
//!
//! What ends in `.tmp` or `.open` belongs to nobody after a crash and is deleted at the next opening.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use millstream_core::Lsn;

use crate::error::{LogError, Result};

/// How long a lock that is held is tried for: longer than any fork takes to its exec, too short for a person to notice.
const LOCK_WAIT_MAX: Duration = Duration::from_millis(500);

/// The pause between two tries.
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// Names within the log's directory.
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    root: PathBuf,
}

impl Directory {
    /// Creates what is missing.
    pub(crate) fn create(root: &Path) -> Result<Self> {
        let directory = Directory { root: root.to_owned() };
        for path in [directory.root.clone(), directory.spools(), directory.bases()] {
            if !path.is_dir() {
                fs::create_dir_all(&path).map_err(LogError::io("create", &path))?;
                sync_dir(parent(&path))?;
            }
        }
        Ok(directory)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn spools(&self) -> PathBuf {
        self.root.join("spool")
    }

    pub(crate) fn bases(&self) -> PathBuf {
        self.root.join("base")
    }

    pub(crate) fn consumers(&self) -> PathBuf {
        self.root.join("consumers.json")
    }

    pub(crate) fn durable(&self) -> PathBuf {
        self.root.join("durable")
    }

    pub(crate) fn segment(&self, name: Lsn) -> PathBuf {
        self.root.join(format!("{:016x}.seg", name.0))
    }

    pub(crate) fn open_spool(&self, xid: u32, number: u64) -> PathBuf {
        self.spools().join(format!("{xid}-{number}.open"))
    }

    pub(crate) fn spool(&self, commit_lsn: Lsn) -> PathBuf {
        self.spools().join(format!("{:016x}.spool", commit_lsn.0))
    }

    /// The positions that name the files with this extension, ascending.
    pub(crate) fn positions(path: &Path, extension: &str) -> Result<Vec<Lsn>> {
        let mut positions = Vec::new();
        for name in names(path)? {
            let digits = name.strip_suffix(extension).and_then(|stem| stem.strip_suffix('.'));
            if let Some(position) = digits.filter(|digits| digits.len() == 16) {
                positions.extend(u64::from_str_radix(position, 16).ok().map(Lsn));
            }
        }
        positions.sort_unstable();
        Ok(positions)
    }

    /// Takes the log for this process. The lock ends with the file, so a killed holder leaves nothing behind.
    pub(crate) fn lock(&self) -> Result<File> {
        let path = self.root.join("lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(LogError::io("open", &path))?;
        // A process that was forked while the last holder was open shares its lock until it executes its own program.
        let deadline = Instant::now() + LOCK_WAIT_MAX;
        loop {
            // SAFETY: flock takes a descriptor that `file` keeps open for the length of the call, and touches no memory.
            let locked = unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) };
            if locked == 0 {
                return Ok(file);
            }
            let error = io::Error::last_os_error();
            match error.kind() {
                io::ErrorKind::WouldBlock if Instant::now() < deadline => thread::sleep(LOCK_PAUSE),
                io::ErrorKind::WouldBlock => return Err(LogError::Locked { path: self.root.clone() }),
                _ => return Err(LogError::Io { doing: "lock", path, source: error }),
            }
        }
    }
}

/// The names of a directory's entries, sorted.
pub(crate) fn names(path: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(LogError::io("list", path))? {
        let entry = entry.map_err(LogError::io("list", path))?;
        names.extend(entry.file_name().into_string().ok());
    }
    names.sort_unstable();
    Ok(names)
}

/// Makes a directory's entries durable: creation, renaming and removal of files are its content, not the files'.
pub(crate) fn sync_dir(path: &Path) -> Result<()> {
    let directory = File::open(path).map_err(LogError::io("open", path))?;
    directory
        .sync_all()
        .map_err(|error| LogError::SyncFailed { path: path.to_owned(), reason: error.to_string() })
}

/// `fdatasync`, with the fault that tests inject.
pub(crate) fn sync_data(file: &File, path: &Path) -> Result<()> {
    let failed = |reason: String| LogError::SyncFailed { path: path.to_owned(), reason };
    fail::fail_point!("log::fsync_error", |_| Err(failed("injected".to_owned())));
    file.sync_data().map_err(|error| failed(error.to_string()))
}

/// Replaces a small file so that a crash leaves either the old or the new content.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<()> {
    let temporary = path.with_extension("tmp");
    let mut file = File::create(&temporary).map_err(LogError::io("create", &temporary))?;
    file.write_all(content).map_err(LogError::io("write", &temporary))?;
    sync_data(&file, &temporary)?;
    fs::rename(&temporary, path).map_err(LogError::io("replace", path))?;
    sync_dir(parent(path))
}

/// The directory that a file or directory is an entry of.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Deletes a file that may be gone already.
pub(crate) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(LogError::io("delete", path)(error)),
        _ => Ok(()),
    }
}

/// Asks the kernel to begin writing back, so that the sync at the end of a large file finds little left to do.
pub(crate) fn start_writeback(file: &File, from: u64, bytes: u64) {
    #[cfg(target_os = "linux")]
    // SAFETY: the call takes a descriptor that `file` keeps open and touches no memory of ours. It is advice: its failure
    // changes nothing, because durability comes from the sync that follows.
    unsafe {
        libc::sync_file_range(
            file.as_raw_fd(),
            from.cast_signed(),
            bytes.cast_signed(),
            libc::SYNC_FILE_RANGE_WRITE,
        );
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (file, from, bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_locked_for_as_long_as_its_holder_lives() {
        let temporary = tempfile::tempdir().unwrap();
        let directory = Directory::create(temporary.path()).unwrap();
        let holder = directory.lock().unwrap();
        assert!(matches!(directory.lock(), Err(LogError::Locked { .. })));
        drop(holder);
        directory.lock().unwrap();
    }

    #[test]
    fn a_relative_path_has_a_directory_too() {
        assert_eq!(parent(Path::new("log")), Path::new("."));
        assert_eq!(parent(Path::new("data/log")), Path::new("data"));
    }

    #[test]
    fn only_well_formed_names_are_positions() {
        let temporary = tempfile::tempdir().unwrap();
        for name in
            ["00000000000000ff.seg", "000000000000000a.seg", "ff.seg", "lock", "00000000000000ff.spool"]
        {
            File::create(temporary.path().join(name)).unwrap();
        }
        assert_eq!(Directory::positions(temporary.path(), "seg").unwrap(), [Lsn(10), Lsn(255)]);
    }
}
