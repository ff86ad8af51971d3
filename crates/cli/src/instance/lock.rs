//! The project's lock: held by the process that has the project open, gone with it whatever ends it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, Write},
    os::{fd::AsRawFd, unix::fs::DirBuilderExt},
    path::Path,
};

use crate::error::ProgramError;

/// The held lock. Dropping it lets the next process in.
#[derive(Debug)]
pub struct Lock {
    // Never read: closing it is what unlocks.
    _file: File,
}

impl Lock {
    /// The process that holds the lock, as it wrote down.
    pub fn holder(data: &Path) -> Option<u32> {
        fs::read_to_string(data.join("lock")).ok()?.trim().parse().ok()
    }

    /// Takes the lock of a data directory, which is made if it is missing. If another process holds it, the error names it.
    pub fn take(data: &Path) -> Result<Self, ProgramError> {
        let unwritable = |source| ProgramError::Unwritable { path: data.to_owned(), source };
        // A copy of a database is nobody else's to read.
        fs::DirBuilder::new().recursive(true).mode(0o700).create(data).map_err(unwritable)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(data.join("lock"))
            .map_err(unwritable)?;
        // SAFETY: the descriptor is open for as long as `file` lives; flock reads no memory of ours.
        if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } != 0 {
            let error = io::Error::last_os_error();
            if error.raw_os_error() != Some(libc::EWOULDBLOCK) {
                return Err(unwritable(error));
            }
            let mut text = String::new();
            // The holder may be between taking the lock and writing its id: then it has no name yet.
            let _ = file.read_to_string(&mut text);
            return Err(ProgramError::OwnedByAnother {
                data: data.to_owned(),
                pid: text.trim().parse().ok(),
            });
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(unwritable)?;
        Ok(Lock { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lock_is_refused_and_names_the_holder() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let lock = Lock::take(&data).unwrap();
        match Lock::take(&data) {
            Err(ProgramError::OwnedByAnother { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
            other => panic!("{other:?}"),
        }
        drop(lock);
        Lock::take(&data).unwrap();
    }
}
