//! Files of large values in quarantine.
//!
//! `<directory>/<table OID>/<commit LSN>-<ordinal>-<old|new>-c<attnum>.value` holds one value as PostgreSQL prints it, nothing else. The name says what
//! it belongs to, so that a batch that is applied again after a crash writes it again to the same place. A file is whole and durable under its
//! name before the warehouse commits what refers to it. One that nothing refers to is a crash's leftover, and goes when the
//! warehouse is opened.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use millstream_core::{Position, TableId};

use crate::error::ApplyError;

/// What a file being written is called by; never seen by anything else.
const UNFINISHED: &str = "unfinished";

/// The directory.
#[derive(Debug, Clone)]
pub struct ValueFiles {
    directory: PathBuf,
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ApplyError {
    let path = path.to_owned();
    move |source| ApplyError::QuarantineFile { doing, path, source }
}

impl ValueFiles {
    /// In this directory, which is made when the first value comes.
    pub fn new(directory: PathBuf) -> Self {
        ValueFiles { directory }
    }

    /// Where a file is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Writes a value durably and returns its name.
    pub(super) fn write(
        &self,
        table: TableId,
        position: Position,
        which: &str,
        attnum: i16,
        value: &[u8],
    ) -> Result<String, ApplyError> {
        let folder = self.directory.join(table.to_string());
        if !folder.exists() {
            fs::create_dir_all(&folder).map_err(failed("make", &folder))?;
            for made in [Some(self.directory.as_path()), self.directory.parent()].into_iter().flatten() {
                sync_directory(made)?;
            }
        }
        let stem = format!("{:016X}-{}-{which}-c{attnum}", position.commit_lsn.0, position.ordinal);
        let name = format!("{table}/{stem}.value");
        let (path, unfinished) = (self.path(&name), folder.join(format!("{stem}.{UNFINISHED}")));
        let mut file = File::create(&unfinished).map_err(failed("write", &unfinished))?;
        file.write_all(value).and_then(|()| file.sync_all()).map_err(failed("write", &unfinished))?;
        fail::fail_point!("apply::value_file");
        fs::rename(&unfinished, &path).map_err(failed("rename", &path))?;
        sync_directory(&folder)?;
        Ok(name)
    }

    /// A value, which must be as long as it was.
    pub(super) fn read(&self, name: &str, bytes: u64) -> Result<Vec<u8>, ApplyError> {
        let path = self.path(name);
        let value = fs::read(&path).map_err(failed("read", &path))?;
        if value.len() as u64 != bytes {
            let what = format!("it has {} bytes, {bytes} were written", value.len());
            return Err(failed("read", &path)(io::Error::new(io::ErrorKind::InvalidData, what)));
        }
        Ok(value)
    }

    /// Removes files whose changes have left the quarantine.
    pub fn remove<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Result<(), ApplyError> {
        for name in names {
            let path = self.path(name);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(failed("remove", &path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes what nothing refers to.
    pub fn sweep(&self, referred: &HashSet<String>) -> Result<(), ApplyError> {
        let folders = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            folders => folders.map_err(failed("list", &self.directory))?,
        };
        for folder in folders {
            let folder = folder.map_err(failed("list", &self.directory))?;
            let table = folder.file_name().to_string_lossy().into_owned();
            // Only what this module writes: a table's number, and its own endings.
            if table.parse::<u32>().is_err() || !folder.path().is_dir() {
                continue;
            }
            for file in fs::read_dir(folder.path()).map_err(failed("list", &folder.path()))? {
                let file = file.map_err(failed("list", &folder.path()))?;
                let name = file.file_name().to_string_lossy().into_owned();
                let ours = name.ends_with(".value") || name.ends_with(UNFINISHED);
                if ours && !referred.contains(&format!("{table}/{name}")) {
                    fs::remove_file(file.path()).map_err(failed("remove", &file.path()))?;
                }
            }
        }
        Ok(())
    }
}

fn sync_directory(path: &Path) -> Result<(), ApplyError> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(failed("sync", path))
}

#[cfg(test)]
mod tests {
    use millstream_core::Lsn;

    use super::*;

    #[test]
    fn a_value_written_twice_is_one_file_and_a_leftover_goes() {
        let directory = tempfile::tempdir().unwrap();
        let files = ValueFiles::new(directory.path().join("data").join("quarantine"));
        fs::create_dir(directory.path().join("data")).unwrap();
        files.sweep(&HashSet::new()).unwrap();
        let at = |ordinal| Position { commit_lsn: Lsn(16), ordinal };
        let kept = files.write(TableId(7), at(0), "new", 2, b"first").unwrap();
        assert_eq!(files.write(TableId(7), at(0), "new", 2, b"again").unwrap(), kept);
        let left = files.write(TableId(7), at(1), "new", 2, b"other").unwrap();
        fs::write(files.path("7/half.unfinished"), b"ha").unwrap();
        fs::write(files.path("7/notes.txt"), b"a person's").unwrap();
        files.sweep(&HashSet::from([kept.clone()])).unwrap();
        assert_eq!(files.read(&kept, 5).unwrap(), b"again");
        assert!(files.read(&kept, 4).is_err(), "a file that was changed is not taken for the value");
        assert!(!files.path(&left).exists() && !files.path("7/half.unfinished").exists());
        assert!(files.path("7/notes.txt").exists());
    }
}
