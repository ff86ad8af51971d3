//! Frames to durable segments: the buffer, the roll from one segment to the next, the sync, and what readers are shown.
//!
//! The buffer reaches the file when it has grown to [`BUFFER_BYTES`] or at a sync, always by its place in the file, so that a write
//! which failed for want of room is simply made again. A frame that is still open stays at the buffer's end and is never written.
//!
//! Relations and schemas stated outside of new transactions are remembered and written in front of the next one, if they then say
//! something new: a stream that is sent again through an old schema ends at the newest.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    os::unix::fs::FileExt,
    path::PathBuf,
    sync::{atomic::Ordering, Arc},
};

use bytes::Bytes;
use millstream_core::{log::SourceDescription, Lsn, TableId};
use millstream_pgoutput::message::Commit;

use crate::{
    directory,
    embedded::{Resume, Shared},
    error::{LogError, Result},
    frame::{self, FileKind, FrameKind},
    record::{Catalogue, Previous, Relation, SegmentHead, Statement},
    recovery::{self, Durable, Segment, Tail},
};

/// Whole transactions are written when this much has gathered: few calls under load, little to lose the cache to.
const BUFFER_BYTES: usize = 256 << 10;

/// The end of the log.
pub(crate) struct Appender {
    pub(crate) shared: Arc<Shared>,
    /// Who speaks from here on.
    pub(crate) source: SourceDescription,
    /// As of the newest whole transaction in the buffer.
    pub(crate) catalogue: Arc<Catalogue>,
    /// The newest whole transaction in the buffer.
    pub(crate) last_position: Option<Lsn>,
    segment: Option<OpenSegment>,
    /// Whole frames not yet written, and behind them the open one.
    buffer: Vec<u8>,
    /// Where in the buffer the open frame begins.
    open_frame: Option<usize>,
    /// Stated outside of new transactions; in front of the next one.
    restated: BTreeMap<TableId, Relation>,
    /// The source has nothing before this that isn't in the buffer.
    complete_lsn: Lsn,
    /// How much of that the frames say.
    stated_lsn: Lsn,
    /// What they said at the last sync.
    flushed_lsn: Lsn,
    /// The catalogue at the last sync.
    synced_catalogue: Arc<Catalogue>,
    durable_file: File,
}

/// The segment being written.
#[derive(Debug)]
struct OpenSegment {
    name: Lsn,
    path: PathBuf,
    file: File,
    /// Bytes in the file: where the buffer belongs.
    written: u64,
    synced: u64,
    first_position: Option<Lsn>,
    head_source: SourceDescription,
    /// The segment before, until something of this one is durable.
    previous: Option<Tail>,
}

impl Appender {
    /// Goes on where the last one stopped. An error while another exists.
    pub(crate) fn open(shared: Arc<Shared>) -> Result<Self> {
        shared.check_sound()?;
        let (resume, known, last_position, flushed_lsn) = {
            let mut state = shared.state();
            let resume = state.resume.take().ok_or(LogError::WriterExists)?;
            (resume, state.segments.last().cloned(), state.last_position, state.flushed_lsn)
        };
        let opened = Self::open_files(&shared, resume.tail.clone(), known);
        let (segment, durable_file) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                // Not taken after all.
                shared.state().resume = Some(resume);
                return Err(error);
            }
        };
        Ok(Appender {
            source: segment.as_ref().map(|segment| segment.head_source.clone()).unwrap_or_default(),
            catalogue: Arc::clone(&resume.catalogue),
            last_position,
            segment,
            buffer: Vec::with_capacity(2 * BUFFER_BYTES),
            open_frame: None,
            restated: BTreeMap::new(),
            complete_lsn: flushed_lsn,
            stated_lsn: flushed_lsn,
            flushed_lsn,
            synced_catalogue: resume.catalogue,
            durable_file,
            shared,
        })
    }

    fn open_files(
        shared: &Shared,
        tail: Option<Tail>,
        known: Option<Segment>,
    ) -> Result<(Option<OpenSegment>, File)> {
        recovery::drop_unsynced(shared)?;
        let path = shared.directory.durable();
        let durable_file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(LogError::io("open", &path))?;
        let segment = tail.map(|tail| OpenSegment::open(shared, tail, known)).transpose()?;
        Ok((segment, durable_file))
    }

    /// Has a segment for a transaction or frame at this position, and in it what was restated since the last one.
    pub(crate) fn prepare(&mut self, position: Lsn) -> Result<()> {
        if self.buffer.len() >= BUFFER_BYTES {
            // A write failed, for want of room presumably: nothing more is taken in until it succeeds.
            self.write_buffer()?;
        }
        let segment_bytes = self.shared.settings.segment_bytes;
        let goes_on = self.segment.as_ref().is_some_and(|segment| {
            segment.written + (self.buffer.len() as u64) < segment_bytes && segment.head_source == self.source
        });
        if !goes_on {
            self.roll(position)?;
        }
        for (id, relation) in std::mem::take(&mut self.restated) {
            if self.catalogue.get(id) != Some(&relation) {
                self.push(FrameKind::Schema, &relation.encode(true));
                Arc::make_mut(&mut self.catalogue).insert(relation);
            }
        }
        Ok(())
    }

    /// Finishes the segment and begins the next one.
    fn roll(&mut self, position: Lsn) -> Result<()> {
        // The successor states its predecessor's length: that must be durable before.
        self.sync_segment()?;
        fail::fail_point!("log::segment_roll");
        let finished = self.segment.as_ref().map(OpenSegment::tail);
        let previous = finished.as_ref().map(|tail| Previous { name: tail.name, bytes: tail.bytes });
        let after_previous = previous.as_ref().map_or(Lsn::ZERO, |previous| Lsn(previous.name.0 + 1));
        let name = position.max(after_previous);
        let path = self.shared.directory.segment(name);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(LogError::io("create", &path))?;
        self.shared.note_failure(directory::sync_dir(self.shared.directory.root()))?;
        let head = SegmentHead {
            source: self.source.clone(),
            previous,
            last_position: self.last_position,
            flushed_lsn: self.complete_lsn,
        };
        self.segment = Some(OpenSegment {
            name,
            path,
            file,
            written: 0,
            synced: 0,
            first_position: None,
            head_source: self.source.clone(),
            previous: finished,
        });
        self.buffer.extend_from_slice(&FileKind::Segment.preamble());
        #[allow(clippy::expect_used)] // Strings, numbers and lists: nothing in it that JSON refuses.
        let head = serde_json::to_vec(&head).expect("a head always has a JSON form");
        self.push(FrameKind::Head, &head);
        let catalogue = Arc::clone(&self.catalogue);
        for relation in catalogue.relations() {
            self.push(FrameKind::Schema, &relation.encode(false));
        }
        Ok(())
    }

    /// Appends a whole frame.
    pub(crate) fn push(&mut self, kind: FrameKind, payload: &[u8]) {
        self.begin_frame();
        self.buffer.extend_from_slice(payload);
        self.seal_frame(kind);
    }

    /// Begins a frame; what is put into [`Appender::payload`] from here on is its payload.
    pub(crate) fn begin_frame(&mut self) {
        self.open_frame = Some(frame::begin(&mut self.buffer));
    }

    /// Where the open frame's payload is appended.
    #[inline]
    pub(crate) fn payload(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Bytes of the open frame, its head included.
    #[inline]
    pub(crate) fn open_bytes(&self) -> usize {
        self.open_frame.map_or(0, |start| self.buffer.len() - start)
    }

    /// The open frame's payload so far.
    pub(crate) fn open_payload(&mut self) -> &mut [u8] {
        let start = self.open_frame.map_or(self.buffer.len(), |start| start + frame::FRAME_HEAD_BYTES);
        &mut self.buffer[start..]
    }

    /// Completes the open frame.
    pub(crate) fn seal_frame(&mut self, kind: FrameKind) {
        let Some(start) = self.open_frame.take() else {
            return;
        };
        let (written, synced) =
            self.segment.as_ref().map_or((0, 0), |segment| (segment.written, segment.synced));
        frame::seal(&mut self.buffer, start, kind, written + start as u64, synced);
    }

    /// Takes the open frame back.
    pub(crate) fn abandon_frame(&mut self) {
        if let Some(start) = self.open_frame.take() {
            self.buffer.truncate(start);
        }
    }

    /// A transaction's frame has been appended.
    pub(crate) fn committed(&mut self, commit: Commit) {
        self.last_position = Some(commit.commit_lsn);
        self.complete_lsn = self.complete_lsn.max(commit.end_lsn);
        self.stated_lsn = self.stated_lsn.max(commit.end_lsn);
        if let Some(segment) = &mut self.segment {
            segment.first_position.get_or_insert(commit.commit_lsn);
        }
    }

    /// There is nothing before this position beside what was appended.
    pub(crate) fn advance(&mut self, through: Lsn) {
        self.complete_lsn = self.complete_lsn.max(through);
    }

    /// Remembers what was stated outside of a new transaction.
    pub(crate) fn restate(&mut self, statement: &Statement) {
        let id = statement.table();
        let known = self.catalogue.get(id).cloned();
        let entry = self
            .restated
            .entry(id)
            .or_insert_with(|| known.unwrap_or_else(|| Relation { id, message: Bytes::new(), schema: None }));
        match statement {
            Statement::Message(_, message) => entry.message = message.clone(),
            Statement::Schema(schema) => entry.schema = Some(Arc::clone(schema)),
        }
    }

    /// Writes the buffer if it has grown large.
    pub(crate) fn write_if_large(&mut self) -> Result<()> {
        if self.buffer.len() >= BUFFER_BYTES {
            self.write_buffer()?;
        }
        Ok(())
    }

    /// Writes the whole frames of the buffer.
    fn write_buffer(&mut self) -> Result<()> {
        let whole = self.open_frame.unwrap_or(self.buffer.len());
        let Some(segment) = self.segment.as_mut().filter(|_| whole > 0) else {
            return Ok(());
        };
        segment
            .file
            .write_all_at(&self.buffer[..whole], segment.written)
            .map_err(LogError::io("write", &segment.path))?;
        segment.written += whole as u64;
        self.shared.held_bytes.fetch_add(whole as u64, Ordering::Relaxed);
        self.buffer.drain(..whole);
        self.open_frame = self.open_frame.map(|_| 0);
        Ok(())
    }

    /// Writes and syncs the segment, and shows readers what became durable.
    fn sync_segment(&mut self) -> Result<()> {
        self.shared.check_sound()?;
        self.write_buffer()?;
        let Some(segment) = &mut self.segment else {
            return Ok(());
        };
        if segment.written > segment.synced {
            fail::fail_point!("log::before_fsync");
            let synced = directory::sync_data(&segment.file, &segment.path);
            self.shared.note_failure(synced)?;
            segment.synced = segment.written;
            fail::fail_point!("log::after_fsync");
            let durable = Durable { segment: segment.name, bytes: segment.synced };
            // Lost, it only makes recovery less sharp.
            let _ = self.durable_file.write_all_at(&durable.encode(), 0);
        }
        let published = Segment {
            name: segment.name,
            bytes: segment.synced,
            last_position: self.last_position,
            first_position: segment.first_position,
        };
        let mut state = self.shared.state();
        match state.segments.last_mut() {
            Some(last) if last.name == published.name => *last = published,
            _ => state.segments.push(published),
        }
        state.last_position = self.last_position;
        state.flushed_lsn = self.stated_lsn;
        drop(state);
        self.flushed_lsn = self.stated_lsn;
        self.synced_catalogue = Arc::clone(&self.catalogue);
        self.shared.grown.notify_all();
        Ok(())
    }

    /// Makes everything whole durable. Returns the position before which nothing is missing.
    pub(crate) fn sync(&mut self) -> Result<Lsn> {
        self.shared.check_sound()?;
        if self.complete_lsn > self.stated_lsn && self.open_frame.is_none() {
            // Where the newest transaction's own end doesn't say it, a frame does: after a restart the log must know of every
            // position that was ever acknowledged, or the slot looks as if someone else had moved it.
            self.prepare(self.complete_lsn)?;
            self.push(FrameKind::Advance, &self.complete_lsn.0.to_le_bytes());
            self.stated_lsn = self.complete_lsn;
        }
        let whole = self.open_frame.unwrap_or(self.buffer.len());
        if whole > 0 || self.segment.as_ref().is_some_and(|segment| segment.written > segment.synced) {
            self.sync_segment()?;
        }
        Ok(self.flushed_lsn)
    }
}

impl Drop for Appender {
    fn drop(&mut self) {
        // A segment of which nothing was synced was never shown to anybody: its predecessor is gone on with.
        let tail = self.segment.take().and_then(|segment| match segment.synced {
            0 => segment.previous,
            _ => Some(segment.tail()),
        });
        let mut state = self.shared.state();
        state.resume = Some(Resume { tail, catalogue: Arc::clone(&self.synced_catalogue) });
    }
}

impl OpenSegment {
    fn open(shared: &Shared, tail: Tail, known: Option<Segment>) -> Result<Self> {
        let path = shared.directory.segment(tail.name);
        let file = OpenOptions::new().write(true).open(&path).map_err(LogError::io("open", &path))?;
        if file.metadata().map_err(LogError::io("inspect", &path))?.len() > tail.bytes {
            // Written and never synced by a writer before, which was told so: the source sends it again.
            file.set_len(tail.bytes).map_err(LogError::io("cut", &path))?;
        }
        // What recovery found whole may still be in the page cache only, left there by a process that was killed before its
        // sync. It counts as held from here on, so it must be durable.
        shared.note_failure(directory::sync_data(&file, &path))?;
        let known = known.filter(|segment| segment.name == tail.name);
        Ok(OpenSegment {
            name: tail.name,
            path,
            file,
            written: tail.bytes,
            synced: tail.bytes,
            first_position: known.and_then(|segment| segment.first_position),
            head_source: tail.source,
            previous: None,
        })
    }

    /// The durable part.
    fn tail(&self) -> Tail {
        Tail { name: self.name, bytes: self.synced, source: self.head_source.clone() }
    }
}
