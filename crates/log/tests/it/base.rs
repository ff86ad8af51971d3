//! Bases: chunks are whole or not there, manifests say which, and the newest complete base of a table stays.

use std::io::{self, Read};

use millstream_core::{
    base::{BaseId, BaseStore, BaseTable, CopiedHeap, CopyEncoding, CopyOrigin, EarlierChunk, PageRange},
    Exit, Fence, Lsn, TableId, Timestamp,
};

use crate::support::*;

pub(crate) fn planned(id: u32, chunks: u32) -> BaseTable {
    BaseTable {
        schema: table(id, 1),
        encodings: vec![CopyEncoding::Text],
        fence: Fence::ConsistentPoint(Lsn(1000)),
        taken_at: Timestamp(5),
        chunks_planned: chunks,
        chunks: vec![],
        earlier: vec![],
        origin: None,
    }
}

pub(crate) fn write(store: &dyn BaseStore, base: BaseId, table: u32, number: u32, content: &[u8]) {
    let mut writer = store.write_chunk(base, TableId(table), number).unwrap();
    for piece in content.chunks(1000) {
        writer.write(piece).unwrap();
    }
    let info = writer.finish(3).unwrap();
    assert_eq!((info.number, info.rows, info.bytes), (number, 3, content.len() as u64));
}

fn read(store: &dyn BaseStore, base: BaseId, table: u32, number: u32) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    store.read_chunk(base, TableId(table), number).unwrap().read_to_end(&mut content)?;
    Ok(content)
}

#[test]
fn chunks_read_back_and_survive_a_kill() {
    let dir = scratch();
    let content: Vec<u8> = (0..700_001u32).map(|number| number as u8).collect();
    let log = open(dir.path());
    let base = log.create(vec![planned(1, 3)]).unwrap();
    write(&log, base, 1, 1, &content);
    write(&log, base, 1, 0, b"");
    let mut unfinished = log.write_chunk(base, TableId(1), 2).unwrap();
    unfinished.write(b"lost").unwrap();
    assert_eq!(log.write_chunk(base, TableId(1), 2).err().unwrap().code(), "MS3014");

    let copy = scratch();
    copy_dir(dir.path(), copy.path());
    let log = open(copy.path());
    let manifest = &log.manifests().unwrap()[0];
    assert_eq!(manifest.id, base);
    assert!(!manifest.is_complete());
    assert_eq!(manifest.tables[0].chunks.len(), 2);
    assert_eq!(read(&log, base, 1, 1).unwrap(), content);
    assert_eq!(read(&log, base, 1, 0).unwrap(), b"");
    assert_eq!(log.read_chunk(base, TableId(1), 2).err().unwrap().code(), "MS3014");
    write(&log, base, 1, 2, b"again");
    assert!(log.manifests().unwrap()[0].is_complete());
}

#[test]
fn every_damaged_byte_and_every_cut_of_a_chunk_is_named() {
    let dir = scratch();
    let log = open(dir.path());
    let base = log.create(vec![planned(1, 1)]).unwrap();
    write(&log, base, 1, 0, b"some copied rows");
    let path = dir.path().join("base/1/1-0.chunk");
    let content = std::fs::read(&path).unwrap();
    let check = |what: String, bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        match log.read_chunk(base, TableId(1), 0) {
            Err(error) => assert_eq!(error.exit(), Exit::Protected, "{what}"),
            Ok(mut reader) => {
                let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{what}");
                assert!(error.to_string().contains("1-0.chunk is damaged at byte"), "{error}");
            }
        }
    };
    for index in 0..content.len() {
        let mut flipped = content.clone();
        flipped[index] ^= 4;
        check(format!("byte {index}"), &flipped);
        check(format!("cut at {index}"), &content[..index]);
    }
}

#[test]
fn a_table_that_starts_again_loses_the_chunks_its_new_entry_does_not_name() {
    let dir = scratch();
    let log = open(dir.path());
    let base = log.create(vec![planned(1, 2), planned(2, 1)]).unwrap();
    write(&log, base, 1, 0, b"zero");
    write(&log, base, 1, 1, b"one");
    let mut entry = log.manifests().unwrap()[0].tables[0].clone();
    entry.fence = Fence::ConsistentPoint(Lsn(2000));
    entry.chunks.retain(|chunk| chunk.number == 1);
    log.replace_table(base, entry.clone()).unwrap();
    assert_eq!(log.manifests().unwrap()[0].tables[0], entry);
    assert!(!dir.path().join("base/1/1-0.chunk").exists());
    assert_eq!(read(&log, base, 1, 1).unwrap(), b"one");
    write(&log, base, 1, 0, b"zero again");
    write(&log, base, 2, 0, b"");
    let error = log.replace_table(base, entry).unwrap_err();
    assert_eq!(error.to_string(), "base 1 is complete and can't be changed");
}

#[test]
fn the_newest_complete_base_of_a_table_stays() {
    let dir = scratch();
    let log = open(dir.path());
    let first = log.create(vec![planned(1, 1), planned(2, 1)]).unwrap();
    write(&log, first, 1, 0, b"1");
    write(&log, first, 2, 0, b"2");
    let second = log.create(vec![planned(1, 1)]).unwrap();
    let error = log.delete(first).unwrap_err();
    assert_eq!((error.code(), error.exit()), ("MS3015", Exit::Protected));
    write(&log, second, 1, 0, b"1");
    log.delete(first).unwrap_err();
    let third = log.create(vec![planned(2, 1)]).unwrap();
    write(&log, third, 2, 0, b"2");
    log.delete(first).unwrap();
    assert!(!dir.path().join("base/1").exists());
    let ids: Vec<_> = log.manifests().unwrap().iter().map(|manifest| manifest.id).collect();
    assert_eq!(ids, [second, third]);
    assert!(log.create(vec![]).unwrap() > third, "numbers are not used again");
}

/// A table's entry under a later snapshot, with its finished chunks as earlier ones.
fn under_a_later_snapshot(before: &BaseTable) -> BaseTable {
    let finished = before.chunks.iter().map(|chunk| EarlierChunk { chunk: chunk.clone(), horizon: 7 });
    let range = |number| PageRange { heap: 0, from: number * 8, to: Some(number * 8 + 8) };
    BaseTable {
        fence: Fence::ConsistentPoint(Lsn(2000)),
        chunks: vec![],
        earlier: finished.collect(),
        origin: Some(CopyOrigin {
            horizon: 9,
            row_filter: Some("id > 0".into()),
            enum_labels: String::new(),
            heaps: vec![CopiedHeap { id: before.schema.id, filenode: 5 }],
            ranges: (0..u64::from(before.chunks_planned)).map(range).collect(),
        }),
        ..before.clone()
    }
}

#[test]
fn an_earlier_chunk_counts_once_it_is_kept_or_written_anew_whenever_the_program_is_killed() {
    let dir = scratch();
    let log = open(dir.path());
    let base = log.create(vec![planned(1, 3)]).unwrap();
    write(&log, base, 1, 0, b"zero");
    write(&log, base, 1, 1, b"one");
    let entry = under_a_later_snapshot(&log.manifests().unwrap()[0].tables[0]);
    log.replace_table(base, entry.clone()).unwrap();
    let killed = |step: &str, chunks: &[(u32, u32)], earlier: &[(u32, u32)]| {
        let copy = scratch();
        copy_dir(dir.path(), copy.path());
        let log = open(copy.path());
        let table = log.manifests().unwrap()[0].tables[0].clone();
        let numbers: Vec<_> = table.chunks.iter().map(|chunk| (chunk.number, chunk.generation)).collect();
        assert_eq!(numbers, chunks, "{step}");
        let numbers: Vec<_> =
            table.earlier.iter().map(|earlier| (earlier.chunk.number, earlier.chunk.generation)).collect();
        assert_eq!(numbers, earlier, "{step}");
        assert!(!table.is_complete(), "{step}");
        assert_eq!(table.origin, entry.origin);
        (copy, log)
    };
    let (_copy, reopened) = killed("none of them counts", &[], &[(0, 0), (1, 0)]);
    assert_eq!(read(&reopened, base, 1, 0).unwrap(), b"zero", "it can be read to be brought forward");

    let mut anew = log.write_chunk(base, TableId(1), 1).unwrap();
    anew.write(b"one, later").unwrap();
    let (_copy, reopened) = killed("being written anew", &[], &[(0, 0), (1, 0)]);
    assert_eq!(read(&reopened, base, 1, 1).unwrap(), b"one");
    anew.finish(3).unwrap();
    let (_copy, reopened) = killed("written anew", &[(1, 1)], &[(0, 0)]);
    assert_eq!(read(&reopened, base, 1, 1).unwrap(), b"one, later");
    assert!(!dir.path().join("base/1/1-1.chunk").exists(), "the file that it replaced is gone");

    log.keep_chunk(base, TableId(1), 0).unwrap();
    let (_copy, reopened) = killed("kept", &[(1, 1), (0, 0)], &[]);
    assert_eq!(read(&reopened, base, 1, 0).unwrap(), b"zero");
    assert_eq!(log.keep_chunk(base, TableId(1), 2).err().unwrap().code(), "MS3014");
    write(&log, base, 1, 2, b"two");
    assert!(log.manifests().unwrap()[0].is_complete());
}

#[test]
fn a_later_snapshots_entry_can_neither_invent_chunks_nor_count_earlier_ones() {
    let dir = scratch();
    let log = open(dir.path());
    let base = log.create(vec![planned(1, 2)]).unwrap();
    write(&log, base, 1, 0, b"zero");
    let before = log.manifests().unwrap()[0].tables[0].clone();
    let mut invented = under_a_later_snapshot(&before);
    invented.earlier[0].chunk.number = 1;
    let error = log.replace_table(base, invented).unwrap_err();
    assert_eq!(error.to_string(), "chunk 1 of table 1 was never written");
    log.replace_table(base, under_a_later_snapshot(&before)).unwrap();
    let error = log.replace_table(base, before.clone()).unwrap_err();
    assert_eq!(error.to_string(), "chunk 0 of table 1 is of an earlier snapshot");
    log.replace_table(base, BaseTable { chunks: vec![], ..before }).unwrap();
    assert!(!dir.path().join("base/1/1-0.chunk").exists());
}

/// What version 1 of the program wrote.
#[test]
fn a_manifest_of_version_1_is_read_and_becomes_version_2_when_it_is_replaced() {
    let dir = scratch();
    let log = open(dir.path());
    let base = log.create(vec![planned(1, 2)]).unwrap();
    write(&log, base, 1, 0, b"zero");
    drop(log);
    let path = dir.path().join("base/1/manifest.json");
    let mut manifest: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(manifest["version"], 2);
    manifest["version"] = 1.into();
    let table = manifest["tables"][0].as_object_mut().unwrap();
    table.remove("earlier").unwrap();
    table.remove("origin").unwrap();
    table["chunks"][0].as_object_mut().unwrap().remove("generation").unwrap();
    std::fs::write(&path, manifest.to_string()).unwrap();

    let log = open(dir.path());
    let table = log.manifests().unwrap()[0].tables[0].clone();
    assert_eq!((table.chunks.len(), &table.earlier, &table.origin), (1, &vec![], &None));
    assert_eq!(read(&log, base, 1, 0).unwrap(), b"zero");
    write(&log, base, 1, 1, b"one");
    drop(log);
    let manifest: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(manifest["version"], 2);
    open(dir.path());
}

#[test]
fn a_manifest_of_another_version_is_refused() {
    let dir = scratch();
    open(dir.path()).create(vec![planned(1, 1)]).unwrap();
    let path = dir.path().join("base/1/manifest.json");
    let manifest = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, manifest.replace("\"version\": 2", "\"version\": 9")).unwrap();
    let error = millstream_log::EmbeddedLog::open(settings(dir.path())).unwrap_err();
    assert_eq!((error.code(), error.exit()), ("MS3008", Exit::Protected));
    assert!(error.to_string().contains("version 9"), "{error}");
}
