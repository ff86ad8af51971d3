//! What may go: segments from the oldest on, each with its spools, that neither a consumer nor the base needs any more, once they
//! are old enough or the log has reached its bound; and bases of which every table has a newer one.
//!
//! A segment is needed by a consumer that has not got past it, and by a base whose rows lack one of its transactions: without
//! that, the current tables could not be rebuilt. A log without a consumer keeps everything: nobody has said yet what
//! they need.

use std::{
    fs,
    sync::atomic::Ordering,
    time::{Duration, SystemTime},
};

use millstream_core::{Fence, Lsn};

use crate::{
    directory::{self, Directory},
    embedded::{Shared, State},
    error::{LogError, Result},
    frame::{FileKind, FrameKind},
    frames::FrameReader,
    record::TransactionHead,
    recovery::{self, Segment},
};

/// The oldest transaction held.
pub(crate) fn first_position(_shared: &Shared, state: &State) -> Option<Lsn> {
    state.segments.iter().find_map(|segment| segment.first_position)
}

/// Drops what may go. Returns the bytes freed.
pub(crate) fn retain(shared: &Shared) -> Result<u64> {
    let mut freed = shared.bases.delete_superseded()?;
    shared.save_consumers(&mut shared.state())?;
    // Bounded by the number of segments: every turn drops one.
    loop {
        let (oldest, next) = {
            let state = shared.state();
            // The last one is being written.
            let [oldest, next, ..] = &state.segments[..] else {
                return Ok(freed);
            };
            if is_needed_by_consumer(&state, oldest) {
                return Ok(freed);
            }
            (oldest.clone(), next.clone())
        };
        let is_full = shared.held_bytes.load(Ordering::Relaxed) >= shared.settings.max_bytes;
        if !is_full && age(shared, &oldest)? < shared.settings.retention {
            return Ok(freed);
        }
        if is_needed_by_base(shared, &oldest)? {
            return Ok(freed);
        }
        let first_of_next = match next.first_position {
            Some(first) => Some(first),
            None => recovery::first_transaction(&shared.directory, &next)?,
        };
        {
            // Readers that open from here on are told; those that are open keep their file.
            let mut state = shared.state();
            state.gone_through = oldest.last_position.max(state.gone_through);
            state.segments.remove(0);
            if let Some(first) = state.segments.first_mut() {
                first.first_position = first.first_position.or(first_of_next);
            }
        }
        let bytes = delete(shared, &oldest)?;
        shared.held_bytes.fetch_sub(bytes, Ordering::Relaxed);
        freed += bytes;
    }
}

fn is_needed_by_consumer(state: &State, segment: &Segment) -> bool {
    match state.consumers.values().min() {
        Some(&through) => segment.last_position > Some(through),
        None => true,
    }
}

fn is_needed_by_base(shared: &Shared, segment: &Segment) -> Result<bool> {
    let Some(last_position) = segment.last_position else {
        return Ok(false);
    };
    let mut plain = Vec::new();
    for table in shared.bases.needed() {
        match table.fence {
            Fence::ConsistentPoint(point) if last_position >= point => return Ok(true),
            Fence::ConsistentPoint(_) => {}
            Fence::Snapshot { read_after, .. } if last_position >= read_after => return Ok(true),
            fence @ Fence::Snapshot { .. } => plain.push(fence),
        }
    }
    if plain.is_empty() {
        return Ok(false);
    }
    // A plain snapshot may lack transactions that committed before its position was read; only their ids tell.
    let mut reader = FrameReader::open(shared.directory.segment(segment.name), FileKind::Segment)?;
    while let Some(frame) = reader.next_whole(segment.bytes)? {
        if !matches!(frame.kind, FrameKind::Transaction | FrameKind::Spooled) {
            continue;
        }
        let head = TransactionHead::take(&mut &frame.payload[..])
            .ok_or_else(|| LogError::damaged(reader.path(), frame.offset, "no transaction"))?;
        if plain.iter().any(|fence| !fence.holds(&head.header)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// How long ago a segment was written for the last time. A clock that was turned back makes it zero: kept for longer.
fn age(shared: &Shared, segment: &Segment) -> Result<Duration> {
    let path = shared.directory.segment(segment.name);
    let modified = fs::metadata(&path)
        .and_then(|metadata| metadata.modified())
        .map_err(LogError::io("inspect", &path))?;
    Ok(SystemTime::now().duration_since(modified).unwrap_or_default())
}

/// Deletes a segment and its spools. The segment goes first: a spool that no segment names is deleted at the next opening, a segment
/// that names a deleted spool would be refused.
fn delete(shared: &Shared, segment: &Segment) -> Result<u64> {
    let directory = &shared.directory;
    directory::remove(&directory.segment(segment.name))?;
    directory::sync_dir(directory.root())?;
    let mut bytes = segment.bytes;
    for commit_lsn in Directory::positions(&directory.spools(), "spool")? {
        if Some(commit_lsn) <= segment.last_position {
            let path = directory.spool(commit_lsn);
            bytes += fs::metadata(&path).map_or(0, |metadata| metadata.len());
            directory::remove(&path)?;
        }
    }
    Ok(bytes)
}
