//! Room on the disk, looked at before it is needed.
//!
//! A disk that is full in the middle of a checkpoint makes DuckDB refuse everything until the file is opened again. So nothing is begun that could not
//! be checkpointed: what stops before is only waiting.

use std::{ffi::CString, fs, mem::MaybeUninit, os::unix::ffi::OsStrExt, path::Path};

use super::aside::wal_path;
use crate::WarehouseError;

/// What is kept free beside the checkpoint of the write-ahead log: a batch's own growth of that log, and some blocks of 256 KiB.
const SPARE_BYTES: u64 = 16 << 20;

/// A checkpoint writes blocks anew before it frees the old ones: some times what the write-ahead log holds.
const CHECKPOINT_FACTOR: u64 = 2;

/// An error that may pass where there is too little room for the file to grow and be checkpointed.
pub(super) fn check(file: &Path, doing: &str) -> Result<(), WarehouseError> {
    // What a disk does that somebody else fills in between.
    fail::fail_point!("warehouse::room_unchecked", |_| Ok(()));
    // A log that is not there holds nothing, and a file system that does not say how much is free is not asked.
    let wal_bytes = fs::metadata(wal_path(file)).map_or(0, |wal| wal.len());
    let needed = SPARE_BYTES + CHECKPOINT_FACTOR * wal_bytes;
    match free_bytes(file.parent().unwrap_or(Path::new("."))) {
        Some(free) if free < needed => Err(WarehouseError::Disk {
            doing: doing.to_owned(),
            detail: format!(
                "{} MB are left where {} is, and {} MB are kept free for its next checkpoint",
                free >> 20,
                file.display(),
                needed >> 20
            ),
        }),
        _ => Ok(()),
    }
}

/// Room for this user on the file system of an existing directory, in bytes; `None` where it does not say.
pub fn free_bytes(directory: &Path) -> Option<u64> {
    let path = CString::new(directory.as_os_str().as_bytes()).ok()?;
    let mut stats = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the path is a C string that outlives the call, and the struct is filled where the call succeeds.
    let stats = unsafe {
        if libc::statvfs(path.as_ptr(), stats.as_mut_ptr()) != 0 {
            return None;
        }
        stats.assume_init()
    };
    Some(stats.f_bavail.saturating_mul(stats.f_frsize))
}
