//! Reads a file's frames in order, each checked, without copying payloads.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::{Bytes, BytesMut};

use crate::{
    error::{LogError, Result},
    frame::{FileKind, FrameHead, FrameKind, Preamble, FORMAT_VERSION, FRAME_HEAD_BYTES, PREAMBLE_BYTES},
};

/// One read: enough for thousands of small transactions, little enough that a change which keeps its block alive keeps little.
const READ_BYTES: usize = 1 << 20;

/// A checked frame.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) offset: u64,
    pub(crate) kind: FrameKind,
    pub(crate) payload: Bytes,
}

/// What comes next in a file.
#[derive(Debug)]
pub(crate) enum Next {
    Frame(Frame),
    /// The end that was given.
    End,
    /// No whole frame stands at this offset.
    Bad {
        offset: u64,
        what: &'static str,
    },
}

/// Walks over a file's frames.
#[derive(Debug)]
pub(crate) struct FrameReader {
    path: Arc<Path>,
    file: File,
    /// Of the next frame.
    offset: u64,
    /// The file's bytes from `offset` on, as far as they were read.
    read: Bytes,
}

impl FrameReader {
    /// Opens a file at its first frame.
    pub(crate) fn open(path: PathBuf, kind: FileKind) -> Result<Self> {
        let file = File::open(&path).map_err(LogError::io("open", &path))?;
        let mut preamble = [0; PREAMBLE_BYTES];
        match file.read_exact_at(&mut preamble, 0) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(LogError::damaged(path, 0, "it ends before its first frame"));
            }
            result => result.map_err(LogError::io("read", &path))?,
        }
        match kind.check(&preamble) {
            Preamble::Known => {}
            Preamble::OtherVersion(found) => {
                return Err(LogError::Version { path, found, expected: FORMAT_VERSION });
            }
            Preamble::Damaged => return Err(LogError::damaged(path, 0, "it is not a file of the log")),
        }
        Ok(FrameReader { path: path.into(), file, offset: PREAMBLE_BYTES as u64, read: Bytes::new() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the next frame begins.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next frame of those before `end`, an offset in the file.
    #[inline]
    pub(crate) fn next(&mut self, end: u64) -> Result<Next> {
        let offset = self.offset;
        if offset >= end {
            return Ok(Next::End);
        }
        let bad = |what| Ok(Next::Bad { offset, what });
        if !self.fill(FRAME_HEAD_BYTES, end)? {
            return bad("it ends within a frame's head");
        }
        let Some(head) = FrameHead::parse(&self.read) else {
            return bad("no frame begins here");
        };
        if !self.fill(head.frame_bytes(), end)? {
            return bad("it ends within a frame");
        }
        if !head.verify(&self.read[..head.frame_bytes()], offset) {
            return bad("a checksum does not match");
        }
        let mut payload = self.read.split_to(head.frame_bytes());
        self.offset += head.frame_bytes() as u64;
        let payload = payload.split_off(FRAME_HEAD_BYTES);
        Ok(Next::Frame(Frame { offset, kind: head.kind, payload }))
    }

    /// The next frame, where anything else is damage.
    pub(crate) fn next_whole(&mut self, end: u64) -> Result<Option<Frame>> {
        match self.next(end)? {
            Next::Frame(frame) => Ok(Some(frame)),
            Next::End => Ok(None),
            Next::Bad { offset, what } => Err(LogError::damaged(&*self.path, offset, what)),
        }
    }

    /// Has at least so many bytes at hand; whether they are there before `end`.
    fn fill(&mut self, bytes: usize, end: u64) -> Result<bool> {
        if self.read.len() >= bytes {
            return Ok(true);
        }
        let left = end - self.offset;
        if left < bytes as u64 {
            return Ok(false);
        }
        let size = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.max(READ_BYTES));
        let mut block = BytesMut::zeroed(size);
        let at_hand = self.read.len().min(size);
        block[..at_hand].copy_from_slice(&self.read[..at_hand]);
        let from = self.offset + at_hand as u64;
        match self.file.read_exact_at(&mut block[at_hand..], from) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            result => result.map_err(LogError::io("read", &*self.path))?,
        }
        self.read = block.freeze();
        Ok(true)
    }
}
