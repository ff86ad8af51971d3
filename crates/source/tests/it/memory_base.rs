//! A base in memory, which can be told to fail.

use std::{
    collections::BTreeMap,
    io::{Cursor, Read},
    sync::{Arc, Mutex},
};

use millstream_core::{
    base::{BaseId, BaseManifest, BaseStore, BaseTable, ChunkInfo, ChunkWriter},
    log::Result,
    BoxedDiagnostic, Diagnostic, TableId,
};
use millstream_pgoutput::copy::{CopyReader, CopyWriter};

#[derive(Debug, thiserror::Error)]
#[error("the disk is full")]
struct Full;

impl Diagnostic for Full {
    fn code(&self) -> &'static str {
        "MS3999"
    }
}

#[derive(Default)]
struct State {
    manifests: Vec<BaseManifest>,
    chunks: BTreeMap<(TableId, u32), Vec<u8>>,
    /// Chunks that can still be finished.
    room: Option<usize>,
    written: usize,
    kept: usize,
}

#[derive(Clone, Default)]
pub(crate) struct MemoryBase(Arc<Mutex<State>>);

impl MemoryBase {
    pub(crate) fn port(&self) -> Arc<dyn BaseStore> {
        Arc::new(self.clone())
    }

    pub(crate) fn set_room(&self, chunks: Option<usize>) {
        self.0.lock().unwrap().room = chunks;
    }

    /// How many chunks were ever finished.
    pub(crate) fn written(&self) -> usize {
        self.0.lock().unwrap().written
    }

    /// How many chunks of earlier snapshots were kept as they were.
    pub(crate) fn kept(&self) -> usize {
        self.0.lock().unwrap().kept
    }

    /// Takes the first row out of a finished chunk.
    pub(crate) fn forget_a_row(&self, name: &str, number: u32) {
        let id = self.table(name).schema.id;
        let mut state = self.0.lock().unwrap();
        let bytes = state.chunks.get_mut(&(id, number)).unwrap();
        let mut reader = CopyReader::new(Cursor::new(bytes.clone()));
        let mut writer = CopyWriter::new();
        reader.next_row().unwrap().unwrap();
        while let Some(row) = reader.next_row().unwrap() {
            writer.row(row.fields());
        }
        *bytes = writer.finish();
    }

    pub(crate) fn manifest(&self) -> BaseManifest {
        self.0.lock().unwrap().manifests.last().unwrap().clone()
    }

    pub(crate) fn table(&self, name: &str) -> BaseTable {
        self.manifest().tables.into_iter().find(|table| table.schema.name.name == name).unwrap()
    }

    /// All rows of a table, each field as its bytes.
    pub(crate) fn rows(&self, name: &str) -> Vec<Vec<Option<Vec<u8>>>> {
        let table = self.table(name);
        let state = self.0.lock().unwrap();
        let mut rows = Vec::new();
        for chunk in &table.chunks {
            let bytes = &state.chunks[&(table.schema.id, chunk.number)];
            assert_eq!(bytes.len() as u64, chunk.bytes);
            let mut reader = CopyReader::new(Cursor::new(bytes.clone()));
            let before = rows.len();
            while let Some(row) = reader.next_row().unwrap() {
                rows.push(row.fields().map(|field| field.map(<[u8]>::to_vec)).collect());
            }
            assert_eq!((rows.len() - before) as u64, chunk.rows);
        }
        rows
    }
}

impl BaseStore for MemoryBase {
    fn create(&self, tables: Vec<BaseTable>) -> Result<BaseId> {
        let mut state = self.0.lock().unwrap();
        let id = BaseId(state.manifests.len() as u64 + 1);
        state.manifests.push(BaseManifest { id, tables });
        Ok(id)
    }

    fn manifests(&self) -> Result<Vec<BaseManifest>> {
        Ok(self.0.lock().unwrap().manifests.clone())
    }

    fn replace_table(&self, base: BaseId, table: BaseTable) -> Result<()> {
        let mut state = self.0.lock().unwrap();
        let manifest = state.manifests.iter_mut().find(|manifest| manifest.id == base).unwrap();
        let entry = manifest.tables.iter_mut().find(|entry| entry.schema.id == table.schema.id).unwrap();
        *entry = table;
        Ok(())
    }

    fn keep_chunk(&self, base: BaseId, table: TableId, number: u32) -> Result<()> {
        let mut state = self.0.lock().unwrap();
        state.kept += 1;
        let manifest = state.manifests.iter_mut().find(|manifest| manifest.id == base).unwrap();
        let entry = manifest.tables.iter_mut().find(|entry| entry.schema.id == table).unwrap();
        let kept = entry.earlier.iter().position(|earlier| earlier.chunk.number == number).unwrap();
        let kept = entry.earlier.remove(kept);
        entry.chunks.push(kept.chunk);
        Ok(())
    }

    fn write_chunk(&self, base: BaseId, table: TableId, number: u32) -> Result<Box<dyn ChunkWriter>> {
        Ok(Box::new(Chunk { store: self.clone(), base, table, number, bytes: Vec::new() }))
    }

    fn read_chunk(&self, _: BaseId, table: TableId, number: u32) -> Result<Box<dyn Read + Send>> {
        Ok(Box::new(Cursor::new(self.0.lock().unwrap().chunks[&(table, number)].clone())))
    }

    fn delete(&self, _: BaseId) -> Result<()> {
        Ok(())
    }
}

struct Chunk {
    store: MemoryBase,
    base: BaseId,
    table: TableId,
    number: u32,
    bytes: Vec<u8>,
}

impl ChunkWriter for Chunk {
    fn write(&mut self, copy_data: &[u8]) -> Result<()> {
        self.bytes.extend_from_slice(copy_data);
        Ok(())
    }

    fn finish(self: Box<Self>, rows: u64) -> Result<ChunkInfo> {
        let mut state = self.store.0.lock().unwrap();
        if let Some(room) = &mut state.room {
            *room = room.checked_sub(1).ok_or_else(|| BoxedDiagnostic::from(Full))?;
        }
        let info = ChunkInfo { number: self.number, generation: 0, rows, bytes: self.bytes.len() as u64 };
        let manifest = state.manifests.iter_mut().find(|manifest| manifest.id == self.base).unwrap();
        let entry = manifest.tables.iter_mut().find(|entry| entry.schema.id == self.table).unwrap();
        entry.earlier.retain(|earlier| earlier.chunk.number != self.number);
        entry.chunks.push(info.clone());
        state.chunks.insert((self.table, self.number), self.bytes);
        state.written += 1;
        Ok(info)
    }
}
