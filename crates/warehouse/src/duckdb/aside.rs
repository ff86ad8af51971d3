//! Files that can't be used any more, and what a file is before it is opened. Nothing here deletes: what is damaged is kept under another name.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use crate::WarehouseError;

/// How many damaged files or write-ahead logs are kept beside a warehouse before a person has to look.
const ASIDE_MAX: u32 = 100;

/// What DuckDB keeps beside its write-ahead log while it checkpoints or recovers.
const WAL_COMPANIONS: [&str; 2] = [".checkpoint", ".recovery"];

/// Bytes of a DuckDB file that are looked at: its main header (`MainHeader` of DuckDB's storage: a checksum, `DUCK`, the storage
/// version, flags, and DuckDB's own version as text).
const HEADER_BYTES: u64 = 4096;

/// Where DuckDB keeps the write-ahead log of a file.
pub(crate) fn wal_path(path: &Path) -> PathBuf {
    with_suffix(path, ".wal")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path.as_os_str());
    name.push(suffix);
    PathBuf::from(name)
}

/// What a file seems to be, by its first bytes: for files that DuckDB refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// Nothing, or nothing but zeroes: what a file system leaves of a file that was lost.
    Blank,
    /// DuckDB's, as far as its header still says.
    DuckDb,
    /// Something else.
    Other,
}

impl FileKind {
    /// Reads a file's header.
    pub fn of(path: &Path) -> io::Result<Self> {
        let mut header = Vec::new();
        File::open(path)?.take(HEADER_BYTES).read_to_end(&mut header)?;
        Ok(Self::of_header(&header))
    }

    /// One of the header's three marks is enough, as the others may be what is damaged.
    fn of_header(header: &[u8]) -> Self {
        if header.iter().all(|byte| *byte == 0) {
            return FileKind::Blank;
        }
        let has_magic = header.get(8..12) == Some(b"DUCK");
        // `v1.5.6` and the like, behind 32 bytes of flags.
        let has_version = header.get(52..54).is_some_and(|text| text[0] == b'v' && text[1].is_ascii_digit());
        // A storage version: 64 to 67 so far, in 64 bits.
        let storage = header.get(12..20).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes);
        let has_storage = storage.is_some_and(|version| (64..256).contains(&version));
        if has_magic || has_version || has_storage {
            FileKind::DuckDb
        } else {
            FileKind::Other
        }
    }
}

/// The first name that is free among `<path>.damaged.1`, `.2`, …
fn free_name(path: &Path) -> Result<PathBuf, WarehouseError> {
    (1..=ASIDE_MAX)
        .map(|number| with_suffix(path, &format!(".damaged.{number}")))
        .find(|candidate| !candidate.exists())
        .ok_or_else(|| unmoved(path, &io::Error::other("too many damaged ones are kept already")))
}

fn unmoved(path: &Path, error: &io::Error) -> WarehouseError {
    WarehouseError::Open { path: path.to_owned(), detail: format!("it can't be moved aside: {error}") }
}

fn rename(from: &Path, to: &Path) -> Result<(), WarehouseError> {
    fs::rename(from, to).map_err(|error| unmoved(from, &error))
}

/// Renames the write-ahead log of a file that is not open, and what DuckDB keeps with it.
pub(crate) fn move_wal_aside(path: &Path) -> Result<PathBuf, WarehouseError> {
    let wal = wal_path(path);
    let aside = free_name(&wal)?;
    rename(&wal, &aside)?;
    for companion in WAL_COMPANIONS {
        let from = with_suffix(&wal, companion);
        if from.exists() {
            rename(&from, &with_suffix(&aside, companion))?;
        }
    }
    Ok(aside)
}

/// Renames a file that is not open together with its write-ahead log, so that the pair can still be looked at; what is not there is left out.
/// Returns the file's new name, `None` where nothing was there.
pub fn move_file_aside(path: &Path) -> Result<Option<PathBuf>, WarehouseError> {
    let wal = wal_path(path);
    let there = |path: &Path| fs::symlink_metadata(path).is_ok();
    if !there(path) && !there(&wal) {
        return Ok(None);
    }
    let aside = free_name(path)?;
    let new_wal = wal_path(&aside);
    // The log first: a kill between the two leaves a file without its log, never a new file beside an old log.
    if there(&wal) {
        rename(&wal, &new_wal)?;
    }
    for companion in WAL_COMPANIONS {
        let from = with_suffix(&wal, companion);
        if there(&from) {
            rename(&from, &with_suffix(&new_wal, companion))?;
        }
    }
    if there(path) {
        rename(path, &aside)?;
        return Ok(Some(aside));
    }
    Ok(Some(new_wal))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DuckDb, DuckDbOptions};

    #[test]
    fn a_damaged_header_is_told_from_a_file_of_another_kind() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("w.duckdb");
        drop(DuckDb::open(&path, &DuckDbOptions::default()).unwrap());
        assert_eq!(FileKind::of(&path).unwrap(), FileKind::DuckDb);
        let header = fs::read(&path).unwrap()[..4096].to_vec();
        for damaged in [0..8, 8..12, 12..20, 40..60] {
            let mut header = header.clone();
            header[damaged].fill(0xA5);
            assert_eq!(FileKind::of_header(&header), FileKind::DuckDb);
        }
        assert_eq!(FileKind::of_header(&[]), FileKind::Blank);
        assert_eq!(FileKind::of_header(&[0; 4096]), FileKind::Blank);
        let others: [&[u8]; 4] =
            [b"SQLite format 3\0\x10\0\x01\x01", b"PAR1", b"id,name\n1,a\n", &[0xFF; 4096]];
        for other in others {
            assert_eq!(FileKind::of_header(other), FileKind::Other);
        }
    }

    #[test]
    fn a_file_and_its_log_are_kept_together_under_the_next_free_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("w.duckdb");
        assert_eq!(move_file_aside(&path).unwrap(), None);
        for number in 1..=2 {
            fs::write(&path, [number]).unwrap();
            fs::write(wal_path(&path), [number]).unwrap();
            let aside = move_file_aside(&path).unwrap().unwrap();
            assert_eq!(aside, directory.path().join(format!("w.duckdb.damaged.{number}")));
            assert_eq!(fs::read(&aside).unwrap(), [number]);
            assert_eq!(fs::read(wal_path(&aside)).unwrap(), [number]);
            assert!(!path.exists() && !wal_path(&path).exists());
        }
        // The log of a file that is gone belongs to no new one.
        fs::write(wal_path(&path), [3]).unwrap();
        assert_eq!(move_file_aside(&path).unwrap(), Some(directory.path().join("w.duckdb.damaged.3.wal")));
    }
}
