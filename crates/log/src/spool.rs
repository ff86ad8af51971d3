//! A transaction too large to be held: its entries go to a file of its own, which joins the log at commit.
//!
//! Streamed transactions come here from their first block, ordinary ones when they outgrow a frame. Only the block being
//! received occupies memory and a descriptor, however many transactions stream at once. The file joins the log by being synced and
//! renamed before the frame that names it is written; its bytes are never read back for that.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::FileExt,
    path::PathBuf,
};

use millstream_core::{Lsn, TableSchema};

use crate::{
    directory::{self, Directory},
    error::{LogError, Result},
    frame::{self, FileKind, FrameKind},
    record::{self, Relation, Statement},
};

/// Entries in one frame: as large as a read is worth, and what is held of the block being received.
const FRAME_BYTES: usize = 256 << 10;

/// Written bytes after which write-back is started, so that the commit doesn't wait for all of it.
const WRITEBACK_BYTES: u64 = 8 << 20;

/// An open transaction's spool.
#[derive(Debug)]
pub(crate) struct Spool {
    path: PathBuf,
    /// Only while a block is received.
    file: Option<File>,
    buffer: Vec<u8>,
    frame_start: Option<usize>,
    lsn: Lsn,
    written: u64,
    writeback_from: u64,
    first_lsn: Option<Lsn>,
    entries: u64,
    is_streamed: bool,
    aborted: Vec<u32>,
    /// What was stated about the catalogue, and by which subtransaction.
    statements: Vec<(Option<u32>, Statement)>,
}

impl Spool {
    pub(crate) fn create(directory: &Directory, xid: u32, number: u64, is_streamed: bool) -> Result<Self> {
        let path = directory.open_spool(xid, number);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(LogError::io("create", &path))?;
        Ok(Spool {
            path,
            file: Some(file),
            buffer: FileKind::Spool.preamble().to_vec(),
            frame_start: None,
            lsn: Lsn::ZERO,
            written: 0,
            writeback_from: 0,
            first_lsn: None,
            entries: 0,
            is_streamed,
            aborted: Vec::new(),
            statements: Vec::new(),
        })
    }

    pub(crate) fn entries(&self) -> u64 {
        self.entries
    }

    pub(crate) fn first_lsn(&self) -> Lsn {
        self.first_lsn.unwrap_or_default()
    }

    /// Bytes written to the file.
    pub(crate) fn bytes(&self) -> u64 {
        self.written
    }

    pub(crate) fn append(&mut self, lsn: Lsn, message: &[u8]) -> Result<()> {
        self.begin_entry(lsn);
        record::put_entry(&mut self.buffer, self.lsn, lsn, message);
        self.lsn = lsn;
        self.end_entry()
    }

    /// Appends a schema, stated by a (sub)transaction of a streamed one.
    pub(crate) fn append_schema(&mut self, xid: Option<u32>, schema: &TableSchema) -> Result<()> {
        self.begin_entry(self.lsn);
        record::put_schema_entry(&mut self.buffer, self.lsn, xid, schema);
        self.end_entry()
    }

    fn begin_entry(&mut self, lsn: Lsn) {
        self.first_lsn.get_or_insert(lsn);
        self.entries += 1;
        if self.frame_start.is_none() {
            self.frame_start = Some(frame::begin(&mut self.buffer));
            self.buffer.extend_from_slice(&lsn.0.to_le_bytes());
            self.lsn = lsn;
        }
    }

    fn end_entry(&mut self) -> Result<()> {
        if self.buffer.len() < FRAME_BYTES {
            return Ok(());
        }
        self.flush()
    }

    fn flush(&mut self) -> Result<()> {
        if let Some(start) = self.frame_start.take() {
            let offset = self.written + start as u64;
            frame::seal(&mut self.buffer, start, FrameKind::Entries, offset, 0);
        }
        if self.buffer.is_empty() {
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let file = OpenOptions::new().write(true).open(&self.path);
                none.insert(file.map_err(LogError::io("open", &self.path))?)
            }
        };
        file.write_all_at(&self.buffer, self.written).map_err(LogError::io("write", &self.path))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        if self.written - self.writeback_from >= WRITEBACK_BYTES {
            directory::start_writeback(file, self.writeback_from, self.written - self.writeback_from);
            self.writeback_from = self.written;
        }
        Ok(())
    }

    /// A block has ended: nothing stays in memory until the next one.
    pub(crate) fn pause(&mut self) -> Result<()> {
        self.flush()?;
        self.file = None;
        self.buffer = Vec::new();
        Ok(())
    }

    pub(crate) fn state(&mut self, xid: Option<u32>, statement: Statement) {
        self.statements.push((xid, statement));
    }

    pub(crate) fn abort(&mut self, subxid: u32) {
        if let Err(place) = self.aborted.binary_search(&subxid) {
            self.aborted.insert(place, subxid);
        }
        self.statements.retain(|(xid, _)| *xid != Some(subxid));
    }

    /// Makes the file durable under the name by which the log knows it. Returns its bytes, the aborted subtransactions and
    /// what the others stated.
    pub(crate) fn join(
        mut self,
        directory: &Directory,
        commit_lsn: Lsn,
    ) -> Result<(u64, Vec<u32>, Vec<Statement>)> {
        self.flush()?;
        let file = match self.file.take() {
            Some(file) => file,
            None => File::open(&self.path).map_err(LogError::io("open", &self.path))?,
        };
        directory::sync_data(&file, &self.path)?;
        fs::rename(&self.path, directory.spool(commit_lsn)).map_err(LogError::io("rename", &self.path))?;
        directory::sync_dir(&directory.spools())?;
        fail::fail_point!("log::spool_commit");
        let statements = self.statements.into_iter().map(|(_, statement)| statement).collect();
        Ok((self.written, self.aborted, statements))
    }

    pub(crate) fn delete(self) -> Result<()> {
        directory::remove(&self.path)
    }

    pub(crate) fn is_streamed(&self) -> bool {
        self.is_streamed
    }
}

/// The relations that statements leave behind, on top of what was known before.
pub(crate) fn changed_relations(known: &record::Catalogue, statements: &[Statement]) -> Vec<Relation> {
    let mut changed = known.clone();
    let mut tables: Vec<_> =
        statements.iter().filter(|statement| changed.state(statement)).map(Statement::table).collect();
    tables.sort_unstable();
    tables.dedup();
    tables.into_iter().filter_map(|table| changed.get(table).cloned()).collect()
}
