//! Chunks of an earlier snapshot brought forward to the present one.
//!
//! A version of a row never changes in place and never moves without new storage. So of the rows that the present snapshot sees in a chunk's pages:
//!
//! - those written **before** the earlier snapshot's horizon (below it all transactions had ended) were seen by that one too: the chunk holds them;
//! - those written **since** are read, whole. They may stand in the chunk already, if they were written about when the snapshot was taken.
//!
//! What the chunk holds beside the former is gone or was replaced, or comes again with the latter. Where as many of the former are left as the chunk has
//! rows, and none of the latter came, it stays as it is. Otherwise it is written anew: those of its rows whose keys are among the keys of the
//! former, then the latter. A table without a key can't tell its rows apart: such a chunk is copied again, and only such.
//!
//! The snapshot's own top-level ids would not do as horizon: a subtransaction's id is in no list, and may be lower than an id that had ended. None is below
//! the oldest transaction that was open.

use std::{
    io::{self, Read},
    sync::Arc,
};

use millstream_core::{
    base::{BaseId, BaseStore, ChunkInfo, ChunkWriter},
    TableId,
};
use millstream_pgoutput::copy::{CopyError, CopyReader, CopyWriter, Row};
use tokio::task::spawn_blocking;

use super::copy::{Copier, Job, DOING, PIECE_BYTES};
use crate::{
    error::{Result, SourceError},
    wire::Wire,
};

/// How a chunk is brought forward.
#[derive(Debug, Clone)]
pub(super) struct Forward {
    /// The chunk as the earlier snapshot left it.
    pub(super) chunk: ChunkInfo,
    /// Counts the rows of its pages: those written before, those written since.
    pub(super) count: String,
    /// Copies those written since.
    pub(super) newer: String,
    /// Copies the keys of those written before; and which columns they are. `None`: the table has no key.
    pub(super) keys: Option<(String, Vec<usize>)>,
}

/// How far a chunk could be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Used {
    /// It stays as it is.
    Whole,
    /// Some of its rows were replaced.
    InPart,
    /// It has to be copied again.
    NotAtAll,
}

impl Copier {
    /// Brings a chunk forward, if that can be done.
    pub(super) async fn forward(&self, wire: &mut Wire, job: &Job, forward: &Forward) -> Result<Used> {
        let counts = wire.query_one("looking for changes in copied rows", &forward.count).await?;
        let (before, since): (u64, u64) = (counts.parse(0)?, counts.parse(1)?);
        let used = self.use_earlier(wire, job, forward, before, since).await?;
        tracing::debug!(
            event = "chunk_forward",
            table = %job.table,
            chunk = job.number,
            rows = forward.chunk.rows,
            before,
            since,
            ?used,
            "a finished chunk was compared with the present snapshot"
        );
        Ok(used)
    }

    async fn use_earlier(
        &self,
        wire: &mut Wire,
        job: &Job,
        forward: &Forward,
        before: u64,
        since: u64,
    ) -> Result<Used> {
        if before == forward.chunk.rows && since == 0 {
            let (store, base, table, number) = (self.store.clone(), self.base, job.table, job.number);
            blocking("keeping a chunk", move || {
                store.keep_chunk(base, table, number).map_err(SourceError::from_port)
            })
            .await?;
            self.kept(job, &forward.chunk);
            return Ok(Used::Whole);
        }
        let Some((keys, key)) = &forward.keys else { return Ok(Used::NotAtAll) };
        let (_, keys) = self.stream(wire, keys, |_, _| {}, Keys::read).await?;
        let merge = Merge {
            store: self.store.clone(),
            base: self.base,
            table: job.table,
            number: job.number,
            key: key.clone(),
            keys,
        };
        let (_, merged) =
            self.stream(wire, &forward.newer, |_, _| {}, move |pieces| merge.run(pieces)).await?;
        let Some((writer, rows)) = merged else {
            tracing::warn!(
                event = "chunk_refused",
                table = %job.table,
                chunk = job.number,
                "a finished chunk does not hold what it should and is copied again"
            );
            return Ok(Used::NotAtAll);
        };
        let info = blocking("finishing a chunk", move || writer.finish(rows).map_err(SourceError::from_port))
            .await?;
        self.kept(job, &info);
        Ok(Used::InPart)
    }

    fn kept(&self, job: &Job, chunk: &ChunkInfo) {
        self.observer.moved(job.table, chunk.rows as i64, chunk.bytes as i64);
        self.observer.finished(job.table, true);
    }
}

/// Runs what waits for the disk on a thread where it may.
pub(super) async fn blocking<T: Send + 'static>(
    doing: &'static str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    spawn_blocking(work).await.unwrap_or_else(|error| Err(SourceError::lost(doing, error)))
}

fn unreadable(error: CopyError) -> SourceError {
    SourceError::protocol(DOING, error.to_string())
}

/// A chunk put together of its rows that are still there and of those that are new.
struct Merge {
    store: Arc<dyn BaseStore>,
    base: BaseId,
    table: TableId,
    number: u32,
    key: Vec<usize>,
    keys: Keys,
}

impl Merge {
    /// The chunk, written but for its finish, with its rows; `None` where the earlier one can't be read or lacks a row that it should have.
    fn run(self, mut newer: impl Read) -> Result<Option<(Box<dyn ChunkWriter>, u64)>> {
        let writer =
            self.store.write_chunk(self.base, self.table, self.number).map_err(SourceError::from_port)?;
        let mut output = Output { writer, rows: CopyWriter::new(), count: 0 };
        if !self.keep(&mut output)? {
            // To its end, so that the connection can be used again.
            io::copy(&mut newer, &mut io::sink()).map_err(|error| SourceError::lost(DOING, error))?;
            return Ok(None);
        }
        let mut newer = CopyReader::new(newer);
        while let Some(row) = newer.next_row().map_err(unreadable)? {
            output.push(&row)?;
        }
        output.end().map(Some)
    }

    /// Writes those rows of the earlier chunk that are still there; whether they were all found.
    fn keep(&self, output: &mut Output) -> Result<bool> {
        let Ok(earlier) = self.store.read_chunk(self.base, self.table, self.number) else { return Ok(false) };
        let mut earlier = CopyReader::new(earlier);
        let mut key = Vec::new();
        loop {
            match earlier.next_row() {
                Err(_) => return Ok(false),
                Ok(None) => return Ok(output.count == self.keys.len()),
                Ok(Some(row)) => {
                    key.clear();
                    let columns = row.fields().enumerate().filter(|(index, _)| self.key.contains(index));
                    columns.for_each(|(_, field)| append(&mut key, field));
                    if self.keys.contains(&key) {
                        output.push(&row)?;
                    }
                }
            }
        }
    }
}

/// A chunk on its way to the disk.
struct Output {
    writer: Box<dyn ChunkWriter>,
    rows: CopyWriter,
    count: u64,
}

impl Output {
    fn push(&mut self, row: &Row<'_>) -> Result<()> {
        self.rows.row(row.fields());
        self.count += 1;
        if self.rows.pending().len() >= PIECE_BYTES {
            self.writer.write(self.rows.pending()).map_err(SourceError::from_port)?;
            self.rows.clear();
        }
        Ok(())
    }

    fn end(mut self) -> Result<(Box<dyn ChunkWriter>, u64)> {
        self.writer.write(&self.rows.finish()).map_err(SourceError::from_port)?;
        Ok((self.writer, self.count))
    }
}

/// Keys of some pages' rows, as COPY sends them. Bounded by a chunk's pages: nothing is held but the bytes and four per key.
#[derive(Debug, Default)]
struct Keys {
    bytes: Vec<u8>,
    /// Where each ends, in the order of the keys; the one before says where it begins.
    ends: Vec<u32>,
    sorted: Vec<u32>,
}

impl Keys {
    fn read(input: impl Read) -> Result<Self> {
        let mut keys = Keys::default();
        let mut rows = CopyReader::new(input);
        while let Some(row) = rows.next_row().map_err(unreadable)? {
            row.fields().for_each(|field| append(&mut keys.bytes, field));
            let end = u32::try_from(keys.bytes.len());
            keys.ends
                .push(end.map_err(|_| SourceError::protocol(DOING, "keys of more than 4 GiB in a chunk"))?);
        }
        let mut sorted: Vec<u32> = (0..keys.ends.len() as u32).collect();
        sorted.sort_unstable_by(|&a, &b| keys.get(a).cmp(keys.get(b)));
        keys.sorted = sorted;
        Ok(keys)
    }

    fn get(&self, index: u32) -> &[u8] {
        let index = index as usize;
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[start as usize..self.ends[index] as usize]
    }

    fn len(&self) -> u64 {
        self.ends.len() as u64
    }

    fn contains(&self, key: &[u8]) -> bool {
        self.sorted.binary_search_by(|&index| self.get(index).cmp(key)).is_ok()
    }
}

/// A field with its length, so that neighbours can't be taken for each other.
fn append(key: &mut Vec<u8>, field: Option<&[u8]>) {
    match field {
        None => key.extend_from_slice(&(-1i32).to_be_bytes()),
        Some(field) => {
            key.extend_from_slice(&(field.len() as u32).to_be_bytes());
            key.extend_from_slice(field);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_by_all_their_fields() {
        let mut copy = CopyWriter::new();
        for (a, b) in [("x", "yz"), ("xy", "z"), ("b", "")] {
            copy.row([Some(a.as_bytes()), Some(b.as_bytes())]);
        }
        let keys = Keys::read(io::Cursor::new(copy.finish())).unwrap();
        let contains = |a: &str, b: Option<&str>| {
            let mut key = Vec::new();
            append(&mut key, Some(a.as_bytes()));
            append(&mut key, b.map(str::as_bytes));
            keys.contains(&key)
        };
        assert_eq!(keys.len(), 3);
        assert!(contains("x", Some("yz")) && contains("xy", Some("z")) && contains("b", Some("")));
        assert!(!contains("xyz", Some("")) && !contains("b", None) && !contains("a", Some("")));
    }
}
