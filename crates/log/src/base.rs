//! The base: a snapshot's chunks as files of the log, and the manifests that name them.
//!
//! # Guarantees
//!
//! - A chunk that a manifest names is durable and whole; one that is not named does not exist, and its file is deleted at the next
//!   opening.
//! - Manifests are replaced atomically.
//! - What a chunk's reader returns is what was written: every block is checked, and so are the totals at the end.
//!
//! # Layout
//!
//! `base/<id>/manifest.json` is a `BaseManifest` beside the format's version. `base/<id>/<oid>-<number>.chunk` is a framed file (see
//! `frame.rs`): data frames with COPY output, cut anywhere, then one end frame with the totals (rows, bytes: two u64).

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicU64, Ordering},
        Arc, Mutex, MutexGuard, PoisonError,
    },
};

use millstream_core::{
    base::{BaseId, BaseManifest, BaseStore, BaseTable, ChunkInfo, ChunkWriter},
    log::Result as PortResult,
    TableId,
};
use serde::{Deserialize, Serialize};

use crate::{
    directory::{self, Directory},
    error::{LogError, Result},
    frame::{
        self, FileKind, FrameHead, FrameKind, Preamble, FORMAT_VERSION, FRAME_HEAD_BYTES, PREAMBLE_BYTES,
    },
};

/// COPY output in one frame: large enough that checksums and calls cost nothing, small enough to buffer per connection.
const BLOCK_BYTES: usize = 256 << 10;

/// Written bytes after which write-back is started, so that finishing a chunk doesn't wait for all of it.
const WRITEBACK_BYTES: u64 = 8 << 20;

/// All bases of a log. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Bases {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    manifests: Mutex<BTreeMap<BaseId, BaseManifest>>,
    /// Bytes of all finished chunks.
    bytes: AtomicU64,
}

#[derive(Serialize, Deserialize)]
struct ManifestFile {
    version: u32,
    #[serde(flatten)]
    manifest: BaseManifest,
}

impl Bases {
    /// Reads the manifests and deletes what they don't name.
    pub(crate) fn open(directory: &Directory) -> Result<Self> {
        let root = directory.bases();
        let mut manifests = BTreeMap::new();
        let mut bytes = 0;
        for name in directory::names(&root)? {
            let Ok(id) = name.parse().map(BaseId) else {
                continue;
            };
            let path = root.join(&name);
            let Some(manifest) = read_manifest(&path)? else {
                // Creation was cut off before the manifest: nothing was promised.
                fs::remove_dir_all(&path).map_err(LogError::io("delete", &path))?;
                continue;
            };
            if manifest.id != id {
                let what = format!("it is of base {}", manifest.id.0);
                return Err(LogError::damaged(path.join("manifest.json"), 0, what));
            }
            bytes += clean(&path, &manifest)?;
            manifests.insert(id, manifest);
        }
        let inner = Inner { root, manifests: Mutex::new(manifests), bytes: AtomicU64::new(bytes) };
        Ok(Bases { inner: Arc::new(inner) })
    }

    /// Size of the finished chunks on disk, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.inner.bytes.load(Ordering::Relaxed)
    }

    /// Of every table, the entry of its newest complete base; and all entries still unfinished.
    pub(crate) fn needed(&self) -> Vec<BaseTable> {
        let manifests = self.manifests();
        let mut newest: BTreeMap<TableId, &BaseTable> = BTreeMap::new();
        let mut unfinished = Vec::new();
        for table in manifests.values().flat_map(|manifest| &manifest.tables) {
            if table.is_complete() {
                newest.insert(table.schema.id, table);
            } else {
                unfinished.push(table.clone());
            }
        }
        newest.into_values().cloned().chain(unfinished).collect()
    }

    /// Deletes the bases of which every table has a newer complete one. Returns the bytes freed.
    pub(crate) fn delete_superseded(&self) -> Result<u64> {
        let superseded: Vec<BaseId> = {
            let manifests = self.manifests();
            manifests
                .keys()
                .copied()
                .filter(|&id| newest_of(&manifests, id).is_none() && all_newer(&manifests, id))
                .collect()
        };
        let before = self.bytes();
        for id in superseded {
            self.remove(id)?;
        }
        Ok(before - self.bytes())
    }

    fn manifests(&self) -> MutexGuard<'_, BTreeMap<BaseId, BaseManifest>> {
        // The map is only changed after the file was: whoever panicked left it as the disk has it.
        self.inner.manifests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, id: BaseId) -> PathBuf {
        self.inner.root.join(id.0.to_string())
    }

    fn remove(&self, id: BaseId) -> Result<()> {
        let mut manifests = self.manifests();
        let path = self.path(id);
        // The manifest first: without it the rest belongs to nobody, whenever this is cut off.
        directory::remove(&path.join("manifest.json"))?;
        directory::sync_dir(&path)?;
        let bytes = chunk_bytes(&path)?;
        fs::remove_dir_all(&path).map_err(LogError::io("delete", &path))?;
        self.inner.bytes.fetch_sub(bytes, Ordering::Relaxed);
        manifests.remove(&id);
        Ok(())
    }

    fn finish_chunk(&self, writer: &mut Chunk, rows: u64) -> Result<ChunkInfo> {
        let info = ChunkInfo { number: writer.number, rows, bytes: writer.copy_bytes };
        writer.end(rows)?;
        let mut manifests = self.manifests();
        let manifest = unfinished_table(&mut manifests, writer.base, writer.table, writer.number)?;
        let path = self.path(writer.base);
        let chunk = chunk_path(&path, writer.table, writer.number);
        fs::rename(&writer.path, &chunk).map_err(LogError::io("rename", &writer.path))?;
        directory::sync_dir(&path)?;
        fail::fail_point!("log::base_chunk_finish");
        let mut changed = manifest.clone();
        let table = table_mut(&mut changed, writer.table)?;
        table.chunks.push(info.clone());
        write_manifest(&path, &changed)?;
        *manifest = changed;
        self.inner.bytes.fetch_add(writer.written, Ordering::Relaxed);
        Ok(info)
    }
}

impl BaseStore for Bases {
    fn create(&self, tables: Vec<BaseTable>) -> PortResult<BaseId> {
        if let Some(table) = tables.iter().find(|table| !table.chunks.is_empty()) {
            let what = format!("a new base can't have finished chunks of {} already", table.schema.name);
            return Err(LogError::Base { what }.into());
        }
        let mut manifests = self.manifests();
        let id = BaseId(manifests.keys().next_back().map_or(1, |last| last.0 + 1));
        let manifest = BaseManifest { id, tables };
        let path = self.path(id);
        fs::create_dir_all(&path).map_err(LogError::io("create", &path))?;
        directory::sync_dir(&self.inner.root)?;
        write_manifest(&path, &manifest)?;
        manifests.insert(id, manifest);
        Ok(id)
    }

    fn manifests(&self) -> PortResult<Vec<BaseManifest>> {
        Ok(Bases::manifests(self).values().cloned().collect())
    }

    fn replace_table(&self, base: BaseId, table: BaseTable) -> PortResult<()> {
        let mut manifests = Bases::manifests(self);
        let manifest = manifests.get_mut(&base).ok_or_else(|| no_base(base))?;
        if manifest.is_complete() {
            let what = format!("base {} is complete and can't be changed", base.0);
            return Err(LogError::Base { what }.into());
        }
        let mut changed = manifest.clone();
        let entry = table_mut(&mut changed, table.schema.id)?;
        if let Some(chunk) = table.chunks.iter().find(|chunk| !entry.chunks.contains(chunk)) {
            let what = format!("chunk {} of table {} was never written", chunk.number, table.schema.id);
            return Err(LogError::Base { what }.into());
        }
        let dropped: Vec<u32> = entry
            .chunks
            .iter()
            .filter(|chunk| !table.chunks.contains(chunk))
            .map(|chunk| chunk.number)
            .collect();
        let id = table.schema.id;
        *entry = table;
        let path = self.path(base);
        write_manifest(&path, &changed)?;
        *manifest = changed;
        for number in dropped {
            let chunk = chunk_path(&path, id, number);
            let bytes = fs::metadata(&chunk).map_or(0, |metadata| metadata.len());
            directory::remove(&chunk)?;
            self.inner.bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        Ok(())
    }

    fn write_chunk(&self, base: BaseId, table: TableId, number: u32) -> PortResult<Box<dyn ChunkWriter>> {
        unfinished_table(&mut Bases::manifests(self), base, table, number)?;
        let path = chunk_path(&self.path(base), table, number).with_extension("tmp");
        let file = match OpenOptions::new().write(true).create_new(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let what = format!("chunk {number} of table {table} is being written already");
                return Err(LogError::Base { what }.into());
            }
            file => file.map_err(LogError::io("create", &path))?,
        };
        Ok(Box::new(Chunk {
            bases: self.clone(),
            base,
            table,
            number,
            path,
            file,
            pending: FileKind::Chunk.preamble().to_vec(),
            frame_start: None,
            written: 0,
            writeback_from: 0,
            copy_bytes: 0,
            finished: false,
        }))
    }

    fn read_chunk(&self, base: BaseId, table: TableId, number: u32) -> PortResult<Box<dyn Read + Send>> {
        let info = Bases::manifests(self)
            .get(&base)
            .and_then(|manifest| manifest.table(table))
            .and_then(|table| table.chunks.iter().find(|chunk| chunk.number == number).cloned())
            .ok_or_else(|| LogError::Base {
                what: format!("base {} has no finished chunk {number} of table {table}", base.0),
            })?;
        Ok(Box::new(ChunkReader::open(chunk_path(&self.path(base), table, number), info)?))
    }

    fn delete(&self, base: BaseId) -> PortResult<()> {
        {
            let manifests = Bases::manifests(self);
            if !manifests.contains_key(&base) {
                return Err(no_base(base).into());
            }
            if let Some(table) = newest_of(&manifests, base) {
                return Err(LogError::BaseNeeded { base: base.0, table }.into());
            }
        }
        Ok(self.remove(base)?)
    }
}

fn no_base(base: BaseId) -> LogError {
    LogError::Base { what: format!("there is no base {}", base.0) }
}

fn table_mut(manifest: &mut BaseManifest, table: TableId) -> Result<&mut BaseTable> {
    let base = manifest.id;
    manifest
        .tables
        .iter_mut()
        .find(|entry| entry.schema.id == table)
        .ok_or_else(|| LogError::Base { what: format!("base {} has no table {table}", base.0) })
}

/// The manifest of a base in which this chunk may still be written.
fn unfinished_table(
    manifests: &mut BTreeMap<BaseId, BaseManifest>,
    base: BaseId,
    table: TableId,
    number: u32,
) -> Result<&mut BaseManifest> {
    let manifest = manifests.get_mut(&base).ok_or_else(|| no_base(base))?;
    let entry = table_mut(manifest, table)?;
    let refused = |why: &str| {
        Err(LogError::Base { what: format!("chunk {number} of table {table} in base {} {why}", base.0) })
    };
    if number >= entry.chunks_planned {
        return refused("was not planned");
    }
    if entry.chunks.iter().any(|chunk| chunk.number == number) {
        return refused("is finished already");
    }
    Ok(manifest)
}

/// A table of which this base is the newest complete one.
fn newest_of(manifests: &BTreeMap<BaseId, BaseManifest>, base: BaseId) -> Option<TableId> {
    let complete = manifests.get(&base)?.tables.iter().filter(|table| table.is_complete());
    complete.map(|table| table.schema.id).find(|&id| !has_newer(manifests, base, id))
}

fn has_newer(manifests: &BTreeMap<BaseId, BaseManifest>, base: BaseId, table: TableId) -> bool {
    let mut newer = manifests.range(BaseId(base.0 + 1)..);
    newer.any(|(_, manifest)| manifest.table(table).is_some_and(BaseTable::is_complete))
}

fn all_newer(manifests: &BTreeMap<BaseId, BaseManifest>, base: BaseId) -> bool {
    let Some(manifest) = manifests.get(&base) else {
        return false;
    };
    manifest.tables.iter().all(|table| has_newer(manifests, base, table.schema.id))
}

fn chunk_path(base: &Path, table: TableId, number: u32) -> PathBuf {
    base.join(format!("{table}-{number}.chunk"))
}

fn read_manifest(base: &Path) -> Result<Option<BaseManifest>> {
    let path = base.join("manifest.json");
    let content = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        content => content.map_err(LogError::io("read", &path))?,
    };
    let damaged = |error: serde_json::Error| LogError::damaged(&path, 0, error.to_string());
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let Version { version } = serde_json::from_slice(&content).map_err(damaged)?;
    if version != FORMAT_VERSION {
        return Err(LogError::Version { path, found: version, expected: FORMAT_VERSION });
    }
    serde_json::from_slice::<ManifestFile>(&content).map(|file| Some(file.manifest)).map_err(damaged)
}

fn write_manifest(base: &Path, manifest: &BaseManifest) -> Result<()> {
    let path = base.join("manifest.json");
    let file = ManifestFile { version: FORMAT_VERSION, manifest: manifest.clone() };
    let content = serde_json::to_vec_pretty(&file).map_err(|error| LogError::Io {
        doing: "encode",
        path: path.clone(),
        source: error.into(),
    })?;
    directory::replace(&path, &content)
}

/// Deletes the files that the manifest doesn't name; checks that the named ones are there. Returns their bytes.
fn clean(base: &Path, manifest: &BaseManifest) -> Result<u64> {
    let mut named = BTreeMap::new();
    for table in &manifest.tables {
        for chunk in &table.chunks {
            named.insert(chunk_path(base, table.schema.id, chunk.number), ());
        }
    }
    for name in directory::names(base)? {
        let path = base.join(&name);
        if name != "manifest.json" && named.remove(&path).is_none() {
            directory::remove(&path)?;
        }
    }
    if let Some((path, ())) = named.pop_first() {
        return Err(LogError::Missing { path, needed_by: format!("the manifest of base {}", manifest.id.0) });
    }
    chunk_bytes(base)
}

fn chunk_bytes(base: &Path) -> Result<u64> {
    let mut bytes = 0;
    for name in directory::names(base)?.iter().filter(|name| name.ends_with(".chunk")) {
        let path = base.join(name);
        bytes += fs::metadata(&path).map_err(LogError::io("inspect", &path))?.len();
    }
    Ok(bytes)
}

/// A chunk being written.
#[derive(Debug)]
struct Chunk {
    bases: Bases,
    base: BaseId,
    table: TableId,
    number: u32,
    path: PathBuf,
    file: File,
    /// What isn't written yet.
    pending: Vec<u8>,
    /// Where in it the open frame begins.
    frame_start: Option<usize>,
    written: u64,
    writeback_from: u64,
    copy_bytes: u64,
    finished: bool,
}

impl Chunk {
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
        totals[8..].copy_from_slice(&self.copy_bytes.to_le_bytes());
        frame::push(&mut self.pending, FrameKind::End, self.written, 0, &totals);
        self.flush()?;
        directory::sync_data(&self.file, &self.path)
    }
}

impl ChunkWriter for Chunk {
    fn write(&mut self, mut copy_data: &[u8]) -> PortResult<()> {
        self.copy_bytes += copy_data.len() as u64;
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
        let bases = self.bases.clone();
        let info = bases.finish_chunk(&mut self, rows)?;
        self.finished = true;
        Ok(info)
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
struct ChunkReader {
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
    fn open(path: PathBuf, info: ChunkInfo) -> Result<Self> {
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
