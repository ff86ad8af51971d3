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
//! `base/<id>/manifest.json` is a `BaseManifest` beside the manifest's version. `base/<id>/<oid>-<number>.chunk` is a chunk (`chunk.rs`); one that
//! was written anew for a later snapshot is called `<oid>-<number>-<generation>.chunk`, so that both are there until the manifest has changed
//! from one to the other.
//!
//! # Versions
//!
//! Version 1 knew no chunks of earlier snapshots and not where chunks came from. It is read as it is: what it says is what version 2 says of a copy that
//! starts again when it is cut off. It becomes version 2 when it is next replaced.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read},
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
    chunk::{Chunk, ChunkReader},
    directory::{self, Directory},
    error::{LogError, Result},
};

/// The version of manifests that are written.
const MANIFEST_VERSION: u32 = 2;

/// The oldest version of manifests that is read.
const MANIFEST_VERSION_MIN: u32 = 1;

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

    /// Gives a chunk that is written whole its name, and the manifest its entry.
    pub(crate) fn finish_chunk(
        &self,
        base: BaseId,
        table: TableId,
        info: &ChunkInfo,
        written: &Path,
        file_bytes: u64,
    ) -> Result<()> {
        let mut manifests = self.manifests();
        let manifest = unfinished_table(&mut manifests, base, table, info.number)?;
        let path = self.path(base);
        let chunk = chunk_path(&path, table, info);
        fs::rename(written, &chunk).map_err(LogError::io("rename", written))?;
        directory::sync_dir(&path)?;
        fail::fail_point!("log::base_chunk_finish");
        let mut changed = manifest.clone();
        let entry = table_mut(&mut changed, table)?;
        let replaced = take_earlier(entry, info.number);
        entry.chunks.push(info.clone());
        write_manifest(&path, &changed)?;
        *manifest = changed;
        self.inner.bytes.fetch_add(file_bytes, Ordering::Relaxed);
        match replaced {
            Some(replaced) => self.remove_chunk(&chunk_path(&path, table, &replaced)),
            None => Ok(()),
        }
    }

    /// Deletes the file of a chunk that no manifest names any more.
    fn remove_chunk(&self, chunk: &Path) -> Result<()> {
        let bytes = fs::metadata(chunk).map_or(0, |metadata| metadata.len());
        directory::remove(chunk)?;
        self.inner.bytes.fetch_sub(bytes, Ordering::Relaxed);
        Ok(())
    }
}

impl BaseStore for Bases {
    fn create(&self, tables: Vec<BaseTable>) -> PortResult<BaseId> {
        if let Some(table) = tables.iter().find(|table| !table.chunks.is_empty() || !table.earlier.is_empty())
        {
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
        let there: Vec<ChunkInfo> = named(entry).cloned().collect();
        let is_new = |chunk: &&ChunkInfo| !there.contains(chunk);
        if let Some(chunk) = named(&table).find(is_new) {
            let what = format!("chunk {} of table {} was never written", chunk.number, table.schema.id);
            return Err(LogError::Base { what }.into());
        }
        // An earlier one counts once it is said to, or written anew.
        if let Some(chunk) = table.chunks.iter().find(|chunk| !entry.chunks.contains(chunk)) {
            let what =
                format!("chunk {} of table {} is of an earlier snapshot", chunk.number, table.schema.id);
            return Err(LogError::Base { what }.into());
        }
        let id = table.schema.id;
        *entry = table;
        let dropped: Vec<ChunkInfo> =
            there.into_iter().filter(|chunk| !named(entry).any(|named| named == chunk)).collect();
        let path = self.path(base);
        write_manifest(&path, &changed)?;
        *manifest = changed;
        for chunk in dropped {
            self.remove_chunk(&chunk_path(&path, id, &chunk))?;
        }
        Ok(())
    }

    fn keep_chunk(&self, base: BaseId, table: TableId, number: u32) -> PortResult<()> {
        let mut manifests = Bases::manifests(self);
        let manifest = unfinished_table(&mut manifests, base, table, number)?;
        let mut changed = manifest.clone();
        let entry = table_mut(&mut changed, table)?;
        let kept = take_earlier(entry, number).ok_or_else(|| LogError::Base {
            what: format!("base {} has no earlier chunk {number} of table {table}", base.0),
        })?;
        entry.chunks.push(kept);
        write_manifest(&self.path(base), &changed)?;
        *manifest = changed;
        Ok(())
    }

    fn write_chunk(&self, base: BaseId, table: TableId, number: u32) -> PortResult<Box<dyn ChunkWriter>> {
        let mut manifests = Bases::manifests(self);
        let manifest = unfinished_table(&mut manifests, base, table, number)?;
        let earlier = manifest.table(table).and_then(|entry| entry.earlier(number));
        let generation = earlier.map_or(0, |earlier| earlier.chunk.generation + 1);
        let info = ChunkInfo { number, generation, rows: 0, bytes: 0 };
        let path = chunk_path(&self.path(base), table, &info).with_extension("tmp");
        Ok(Box::new(Chunk::create(self, base, table, info, path)?))
    }

    fn read_chunk(&self, base: BaseId, table: TableId, number: u32) -> PortResult<Box<dyn Read + Send>> {
        let info = Bases::manifests(self)
            .get(&base)
            .and_then(|manifest| manifest.table(table))
            .and_then(|table| named(table).find(|chunk| chunk.number == number).cloned())
            .ok_or_else(|| LogError::Base {
                what: format!("base {} has no finished chunk {number} of table {table}", base.0),
            })?;
        Ok(Box::new(ChunkReader::open(chunk_path(&self.path(base), table, &info), info)?))
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

/// All chunks that have a file.
fn named(table: &BaseTable) -> impl Iterator<Item = &ChunkInfo> {
    table.chunks.iter().chain(table.earlier.iter().map(|earlier| &earlier.chunk))
}

/// Takes the chunk of this number off the earlier ones.
fn take_earlier(table: &mut BaseTable, number: u32) -> Option<ChunkInfo> {
    let index = table.earlier.iter().position(|earlier| earlier.chunk.number == number)?;
    Some(table.earlier.remove(index).chunk)
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

fn chunk_path(base: &Path, table: TableId, chunk: &ChunkInfo) -> PathBuf {
    let number = chunk.number;
    base.join(match chunk.generation {
        0 => format!("{table}-{number}.chunk"),
        generation => format!("{table}-{number}-{generation}.chunk"),
    })
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
    if !(MANIFEST_VERSION_MIN..=MANIFEST_VERSION).contains(&version) {
        return Err(LogError::Version { path, found: version, expected: MANIFEST_VERSION });
    }
    serde_json::from_slice::<ManifestFile>(&content).map(|file| Some(file.manifest)).map_err(damaged)
}

fn write_manifest(base: &Path, manifest: &BaseManifest) -> Result<()> {
    let path = base.join("manifest.json");
    let file = ManifestFile { version: MANIFEST_VERSION, manifest: manifest.clone() };
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
        for chunk in self::named(table) {
            named.insert(chunk_path(base, table.schema.id, chunk), ());
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
