//! A chunk of the base: written whole or not at all, and checked whole when it is read.
//!
//! # Layout
//!
//! A framed file (see `frame.rs`): data frames with COPY output, cut anywhere, then one end frame with the totals (rows, bytes: two u64).

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    path::PathBuf,
};

use millstream_core::{
    base::{BaseId, ChunkInfo, ChunkWriter},
    log::Result as PortResult,
    TableId,
};

use crate::{
    base::Bases,
    directory,
    error::{LogError, Result},
    frame::{
        self, FileKind, FrameHead, FrameKind, Preamble, FORMAT_VERSION, FRAME_HEAD_BYTES, PREAMBLE_BYTES,
    },
};

/// COPY output in one frame: large enough that checksums and calls cost nothing, small enough to buffer per connection.
const BLOCK_BYTES: usize = 256 << 10;

/// Written bytes after which write-back is started, so that finishing a chunk doesn't wait for all of it.
const WRITEBACK_BYTES: u64 = 8 << 20;

/// A chunk being written.
#[derive(Debug)]
pub(crate) struct Chunk {
    bases: Bases,
    base: BaseId,
    table: TableId,
    /// Which it is; its totals are known once it is finished.
    info: ChunkInfo,
    path: PathBuf,
    file: File,
    /// What isn't written yet.
    pending: Vec<u8>,
    /// Where in it the open frame begins.
    frame_start: Option<usize>,
    written: u64,
    writeback_from: u64,
    finished: bool,
}

impl Chunk {
    /// Creates the file, under a name that no manifest gives.
    pub(crate) fn create(
        bases: &Bases,
        base: BaseId,
        table: TableId,
        info: ChunkInfo,
        path: PathBuf,
    ) -> Result<Self> {
        let file = match OpenOptions::new().write(true).create_new(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let what = format!("chunk {} of table {table} is being written already", info.number);
                return Err(LogError::Base { what });
            }
            file => file.map_err(LogError::io("create", &path))?,
        };
        Ok(Chunk {
            bases: bases.clone(),
            base,
            table,
            info,
            path,
            file,
            pending: FileKind::Chunk.preamble().to_vec(),
            frame_start: None,
            written: 0,
            writeback_from: 0,
            finished: false,
        })
    }

    fn flush(&mut self) -> Result<()> {
        if let Some(start) = self.frame_start.take() {
            frame::seal(&mut self.pending, start, FrameKind::Data, self.written + start as u64, 0);
        }
        self.file.write_all(&self.pending).map_err(LogError::io("write", &self.path))?;
        self.written += self.pending.len() as u64;
        self.pending.clear();
        if self.written - self.writeback_from >= WRITEBACK_BYTES {
            directory::start_writeback(&self.file, self.writeback_from, self.written - self.writeback_from);
            self.writeback_from = self.written;
        }
        Ok(())
    }

    fn end(&mut self, rows: u64) -> Result<()> {
        self.flush()?;
        let mut totals = [0; 16];
        totals[..8].copy_from_slice(&rows.to_le_bytes());
        totals[8..].copy_from_slice(&self.info.bytes.to_le_bytes());
        frame::push(&mut self.pending, FrameKind::End, self.written, 0, &totals);
        self.flush()?;
        directory::sync_data(&self.file, &self.path)
    }
}

impl ChunkWriter for Chunk {
    fn write(&mut self, mut copy_data: &[u8]) -> PortResult<()> {
        self.info.bytes += copy_data.len() as u64;
        while !copy_data.is_empty() {
            let start = *self.frame_start.get_or_insert_with(|| frame::begin(&mut self.pending));
            let room = BLOCK_BYTES - (self.pending.len() - start - FRAME_HEAD_BYTES);
            let (now, later) = copy_data.split_at(room.min(copy_data.len()));
            self.pending.extend_from_slice(now);
            copy_data = later;
            if now.len() == room {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, rows: u64) -> PortResult<ChunkInfo> {
        self.end(rows)?;
        self.info.rows = rows;
        self.bases.finish_chunk(self.base, self.table, &self.info, &self.path, self.written)?;
        self.finished = true;
        Ok(self.info.clone())
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        if !self.finished {
            // A failure leaves a file that the next opening deletes.
            let _ = directory::remove(&self.path);
        }
    }
}

/// A finished chunk's COPY output, checked block by block.
pub(crate) struct ChunkReader {
    path: PathBuf,
    file: File,
    info: ChunkInfo,
    offset: u64,
    /// The current frame; what of it is read.
    block: Vec<u8>,
    read: usize,
    copy_bytes: u64,
    ended: bool,
}

impl ChunkReader {
    /// Opens a finished chunk.
    pub(crate) fn open(path: PathBuf, info: ChunkInfo) -> Result<Self> {
        let mut file = File::open(&path).map_err(LogError::io("open", &path))?;
        let mut preamble = [0; PREAMBLE_BYTES];
        match file.read_exact(&mut preamble) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(LogError::damaged(path, 0, "it ends before its first frame"));
            }
            result => result.map_err(LogError::io("read", &path))?,
        }
        match FileKind::Chunk.check(&preamble) {
            Preamble::Known => {}
            Preamble::OtherVersion(found) => {
                return Err(LogError::Version { path, found, expected: FORMAT_VERSION });
            }
            Preamble::Damaged => return Err(LogError::damaged(path, 0, "not a chunk")),
        }
        let offset = PREAMBLE_BYTES as u64;
        Ok(ChunkReader { path, file, info, offset, block: Vec::new(), read: 0, copy_bytes: 0, ended: false })
    }

    fn next_block(&mut self) -> io::Result<()> {
        self.block.resize(FRAME_HEAD_BYTES, 0);
        self.read_exact_block(0)?;
        let head = FrameHead::parse(&self.block).filter(|head| head.payload_bytes <= BLOCK_BYTES);
        let head = head.ok_or_else(|| self.damaged("no frame begins here"))?;
        self.block.resize(head.frame_bytes(), 0);
        self.read_exact_block(FRAME_HEAD_BYTES)?;
        if !head.verify(&self.block, self.offset) {
            return Err(self.damaged("checksum does not match"));
        }
        match head.kind {
            FrameKind::Data => {
                self.copy_bytes += head.payload_bytes as u64;
                self.read = FRAME_HEAD_BYTES;
            }
            FrameKind::End => {
                let mut totals = self.info.rows.to_le_bytes().to_vec();
                totals.extend_from_slice(&self.copy_bytes.to_le_bytes());
                if self.block[FRAME_HEAD_BYTES..] != totals || self.copy_bytes != self.info.bytes {
                    return Err(self.damaged("totals differ from the manifest"));
                }
                self.ended = true;
                self.read = self.block.len();
            }
            _ => return Err(self.damaged("a frame that chunks don't have")),
        }
        self.offset += head.frame_bytes() as u64;
        Ok(())
    }

    fn read_exact_block(&mut self, from: usize) -> io::Result<()> {
        self.file.read_exact(&mut self.block[from..]).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => self.damaged("it ends here"),
            _ => error,
        })
    }

    fn damaged(&self, what: &str) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, LogError::damaged(&self.path, self.offset, what))
    }
}

impl Read for ChunkReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        // Bounded by the file: every turn consumes a frame, and only empty ones go round.
        while self.read == self.block.len() && !self.ended {
            self.next_block()?;
        }
        let now = out.len().min(self.block.len() - self.read);
        out[..now].copy_from_slice(&self.block[self.read..self.read + now]);
        self.read += now;
        Ok(now)
    }
}
