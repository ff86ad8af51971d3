//! The base: a snapshot's rows, kept as the log's own files, from which the current tables can be rebuilt.
//!
//! A base is one snapshot of some tables: the first of a project, or one taken later for tables that were added or resynced.
//! Its chunks hold `COPY … (FORMAT binary)` output as the server sent it.

use std::io::Read;

use serde::{Deserialize, Serialize};

use crate::{
    fence::Fence,
    log::Result,
    schema::{TableId, TableSchema},
    time::Timestamp,
};

/// Numbers the bases of a project from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BaseId(pub u64);

/// How a column stands in the chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CopyEncoding {
    /// The type's own binary send format.
    Binary,
    /// The type's text output as UTF-8, for types without an exact warehouse type.
    Text,
}

/// One finished chunk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkInfo {
    /// Numbers the chunks of a table from 0; not always in the order they finish.
    pub number: u32,
    /// How often the chunk was brought forward to a later snapshot by writing it anew: tells its files apart.
    #[serde(default)]
    pub generation: u32,
    /// Rows in it.
    pub rows: u64,
    /// Bytes of COPY output.
    pub bytes: u64,
}

/// Where the rows of a table's chunks were read, so that a copy that was cut off can go on under a later snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyOrigin {
    /// All transactions with a lower id (64 bits, with epoch) had ended when the snapshot was taken.
    pub horizon: u64,
    /// Which rows of the table are published.
    pub row_filter: Option<String>,
    /// Fingerprint of all enums' labels, which change in rows that nobody touches.
    pub enum_labels: String,
    /// Where the rows are: the table itself or its partitions.
    pub heaps: Vec<CopiedHeap>,
    /// What each chunk holds, by its number.
    pub ranges: Vec<PageRange>,
}

/// Storage with rows of a table. Its pages are others when the filenode is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopiedHeap {
    /// The table itself, or a partition.
    pub id: TableId,
    /// `pg_relation_filenode`.
    pub filenode: u32,
}

/// Pages of a heap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageRange {
    /// Index into [`CopyOrigin::heaps`].
    pub heap: u32,
    /// The first page.
    pub from: u64,
    /// Behind the last page; `None`: the heap was read whole, because ranges of it can't be.
    pub to: Option<u64>,
}

/// A chunk that was finished under an earlier snapshot than its table's: rows that changed since have to be replaced in it before it counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlierChunk {
    /// The chunk.
    pub chunk: ChunkInfo,
    /// The [`CopyOrigin::horizon`] of the snapshot whose rows it holds.
    pub horizon: u64,
}

/// A table of a base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseTable {
    /// The table as it was in the snapshot.
    pub schema: TableSchema,
    /// One per column of the schema.
    pub encodings: Vec<CopyEncoding>,
    /// Which transactions the rows hold.
    pub fence: Fence,
    /// The source's clock, read before the snapshot was taken: when its rows open.
    pub taken_at: Timestamp,
    /// How many chunks there will be.
    pub chunks_planned: u32,
    /// The finished ones.
    pub chunks: Vec<ChunkInfo>,
    /// Chunks of earlier snapshots, by numbers that `chunks` does not have yet.
    #[serde(default)]
    pub earlier: Vec<EarlierChunk>,
    /// Where the rows come from; `None` where a copy that is cut off starts again.
    #[serde(default)]
    pub origin: Option<CopyOrigin>,
}

impl BaseTable {
    /// Whether all chunks are there.
    pub fn is_complete(&self) -> bool {
        self.chunks.len() as u64 == u64::from(self.chunks_planned)
    }

    /// The chunk of this number that an earlier snapshot left.
    pub fn earlier(&self, number: u32) -> Option<&EarlierChunk> {
        self.earlier.iter().find(|earlier| earlier.chunk.number == number)
    }

    /// Rows of the finished chunks.
    pub fn rows(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.rows).sum()
    }
}

/// A base's table of contents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseManifest {
    /// Its number.
    pub id: BaseId,
    /// Its tables.
    pub tables: Vec<BaseTable>,
}

impl BaseManifest {
    /// The entry of a table.
    pub fn table(&self, id: TableId) -> Option<&BaseTable> {
        self.tables.iter().find(|table| table.schema.id == id)
    }

    /// Whether every table is complete.
    pub fn is_complete(&self) -> bool {
        self.tables.iter().all(BaseTable::is_complete)
    }
}

/// Keeps bases. Manifests are replaced atomically, chunks are durable before a manifest names them.
pub trait BaseStore: Send + Sync {
    /// Opens a new base for the tables (their `chunks` empty) and returns its number.
    fn create(&self, tables: Vec<BaseTable>) -> Result<BaseId>;

    /// All bases, oldest first, the unfinished one included.
    fn manifests(&self) -> Result<Vec<BaseManifest>>;

    /// Replaces a table's entry in an unfinished base (its rows start again under another fence, or its chunks
    /// were planned anew); the chunks that the new entry names neither as its own nor as earlier ones are deleted.
    fn replace_table(&self, base: BaseId, table: BaseTable) -> Result<()>;

    /// States that an earlier chunk holds exactly what the table's present snapshot sees: it counts from now on.
    fn keep_chunk(&self, base: BaseId, table: TableId, number: u32) -> Result<()>;

    /// Starts a chunk; nothing is kept of it until it is finished. Then it takes the place of an earlier one of its number.
    fn write_chunk(&self, base: BaseId, table: TableId, number: u32) -> Result<Box<dyn ChunkWriter>>;

    /// A finished or earlier chunk's bytes, checksums verified as they are read: one whole binary COPY stream, head and trailer included.
    /// A damaged chunk is an error of kind `InvalidData` that names file and offset.
    fn read_chunk(&self, base: BaseId, table: TableId, number: u32) -> Result<Box<dyn Read + Send>>;

    /// Deletes a base that is neither the newest complete one of any of its tables nor still needed.
    fn delete(&self, base: BaseId) -> Result<()>;
}

/// A chunk being written.
pub trait ChunkWriter: Send {
    /// Appends COPY output as received; pieces need not end at a row's end.
    fn write(&mut self, copy_data: &[u8]) -> Result<()>;

    /// Makes the chunk durable and names it in the manifest.
    fn finish(self: Box<Self>, rows: u64) -> Result<ChunkInfo>;
}
