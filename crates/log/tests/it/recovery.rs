//! Opening what a crash, a cut or a flipped bit left behind: a prefix of whole transactions, or a refusal that names the place.

use std::{
    fs,
    path::{Path, PathBuf},
};

use millstream_core::{log::EventLog, Exit};
use millstream_log::{EmbeddedLog, LogSettings};

use crate::support::*;

/// Small segments and spools, so that a few transactions make several of both.
pub(crate) fn small(dir: &Path) -> LogSettings {
    LogSettings { segment_bytes: 1024, transaction_bytes: 300, ..settings(dir) }
}

type Step = Box<dyn Fn(&mut Source)>;

/// Writes some of everything; `after_each` sees the directory after every step.
pub(crate) fn write_some(log: &EmbeddedLog, mut after_each: impl FnMut()) {
    let mut source = Source::new(log);
    let steps: Vec<Step> = vec![
        Box::new(|source| {
            source.begin(1, 2000);
            source.schema(&table(1, 1), None);
            source.insert(None, 1, "a");
        }),
        Box::new(|source| source.commit(1, 2000)),
        Box::new(|source| _ = source.sync()),
        Box::new(|source| source.transaction(2, 2100, 1, &["b", "c"])),
        Box::new(|source| {
            source.stream_start(10, true);
            source.schema(&table(2, 1), Some(11));
            source.insert(Some(11), 2, "d");
            source.insert(Some(12), 2, "gone");
            source.stream_stop();
        }),
        Box::new(|source| source.transaction(3, 2200, 1, &["e"])),
        Box::new(|source| _ = source.sync()),
        Box::new(|source| source.stream_abort(10, 12)),
        Box::new(|source| source.stream_commit(10, 2300)),
        Box::new(|source| _ = source.sync()),
        Box::new(|source| source.transaction(4, 2400, 2, &[&"long ".repeat(70)])),
        Box::new(|source| source.transaction(5, 2500, 2, &["f"])),
        Box::new(|source| _ = source.sync()),
        Box::new(|source| source.writer.advance(millstream_core::Lsn(2600))),
        Box::new(|source| _ = source.sync()),
        Box::new(|source| source.transaction(6, 2700, 1, &["g"])),
        Box::new(|source| source.transaction(7, 2800, 1, &["h", "i"])),
        Box::new(|source| _ = source.sync()),
        Box::new(|source| source.transaction(8, 2900, 1, &["j"])),
        Box::new(|source| _ = source.sync()),
    ];
    for step in steps {
        step(&mut source);
        after_each();
    }
}

/// A written log, closed, and all its transactions.
fn written(settings: impl Fn(&Path) -> LogSettings) -> (tempfile::TempDir, Vec<Read>) {
    let dir = scratch();
    let log = EmbeddedLog::open(settings(dir.path())).unwrap();
    write_some(&log, || {});
    let everything = read_after(&log, 0);
    assert_eq!(everything.len(), 9);
    (dir, everything)
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut segments: Vec<_> = paths.filter(|path| path.extension().is_some_and(|e| e == "seg")).collect();
    segments.sort();
    segments
}

/// What can be read, or the error that refused it.
fn read_or_refused(
    settings: LogSettings,
) -> Result<(EmbeddedLog, Vec<Read>), millstream_core::BoxedDiagnostic> {
    let log = EmbeddedLog::open(settings)?;
    let mut reader = log.reader(millstream_core::Lsn(0))?;
    // Checks first that nothing is refused half way.
    while reader.next(std::time::Duration::ZERO)?.is_some() {}
    let read = read_after(&log, 0);
    Ok((log, read))
}

#[test]
fn killed_at_any_step_the_log_holds_what_was_synced_and_whole_transactions_only() {
    let dir = scratch();
    let log = EmbeddedLog::open(small(dir.path())).unwrap();
    let mut images = Vec::new();
    write_some(&log, || {
        let image = scratch();
        copy_dir(dir.path(), image.path());
        images.push((image, log.stats().last_position, read_after(&log, 0).len()));
    });
    let everything = read_after(&log, 0);
    for (step, (image, last_position, synced)) in images.into_iter().enumerate() {
        let (log, read) = read_or_refused(small(image.path())).unwrap();
        assert!(read.len() >= synced, "step {step}");
        assert!(log.stats().last_position >= last_position, "step {step}");
        assert_eq!(read, everything[..read.len()], "step {step}");
        // And it goes on: everything is sent again, what is held is dropped.
        write_some(&log, || {});
        assert_eq!(log.stats().resent as usize, read.len(), "step {step}");
        assert_eq!(told(&read_after(&log, 0)), told(&everything), "step {step}");
    }
}

#[test]
fn every_cut_of_the_last_segment_leaves_a_prefix_of_whole_transactions() {
    for settings in [settings as fn(&Path) -> LogSettings, small] {
        let (dir, everything) = written(settings);
        let last = segments(dir.path()).pop().unwrap();
        let content = fs::read(&last).unwrap();
        let mut longest = 0;
        for cut in 0..content.len() {
            let image = scratch();
            copy_dir(dir.path(), image.path());
            fs::write(image.path().join(last.file_name().unwrap()), &content[..cut]).unwrap();
            let (log, read) = read_or_refused(settings(image.path())).unwrap();
            assert_eq!(read, everything[..read.len()], "cut at {cut}");
            assert!(read.len() >= longest, "cut at {cut}");
            longest = read.len();
            if cut % 97 == 0 {
                write_some(&log, || {});
                assert_eq!(told(&read_after(&log, 0)), told(&everything), "cut at {cut}");
            }
        }
        assert_eq!(longest, everything.len() - 1);
    }
}

#[test]
fn every_damaged_byte_is_refused_and_named() {
    for settings in [settings as fn(&Path) -> LogSettings, small] {
        let (dir, _) = written(settings);
        for segment in segments(dir.path()) {
            let content = fs::read(&segment).unwrap();
            for index in 0..content.len() {
                let mut flipped = content.clone();
                flipped[index] ^= 1 << (index % 8);
                fs::write(&segment, &flipped).unwrap();
                let error = read_or_refused(settings(dir.path())).map(drop).unwrap_err();
                assert_eq!(error.exit(), Exit::Protected, "byte {index}: {error}");
                let name = segment.file_name().unwrap().to_str().unwrap();
                assert!(error.to_string().contains(name), "byte {index}: {error}");
            }
            fs::write(&segment, &content).unwrap();
        }
    }
}

#[test]
fn without_the_note_of_the_last_sync_damage_is_refused_or_the_tail_is_cut() {
    let (dir, everything) = written(settings);
    let last = segments(dir.path()).pop().unwrap();
    let content = fs::read(&last).unwrap();
    let mut refused = 0;
    for index in 0..content.len() {
        let image = scratch();
        copy_dir(dir.path(), image.path());
        fs::remove_file(image.path().join("durable")).unwrap();
        let mut flipped = content.clone();
        flipped[index] ^= 1 << (index % 8);
        fs::write(image.path().join(last.file_name().unwrap()), &flipped).unwrap();
        match read_or_refused(settings(image.path())) {
            Ok((_, read)) => assert_eq!(read, everything[..read.len()], "byte {index}"),
            Err(error) => {
                assert_eq!(error.exit(), Exit::Protected, "byte {index}: {error}");
                refused += 1;
            }
        }
    }
    assert!(refused > content.len() * 3 / 4, "what later frames vouch for is not cut: {refused}");
}

#[test]
fn pages_lost_by_a_power_cut_before_the_sync_are_a_torn_tail() {
    let dir = scratch();
    let log = open(dir.path());
    let mut source = Source::new(&log);
    source.writer.schema(&table(1, 1)).unwrap();
    source.transaction(1, 2000, 1, &["a"]);
    source.sync();
    let path = segments(dir.path()).pop().unwrap();
    let synced = fs::metadata(&path).unwrap().len() as usize;
    let note = fs::read(dir.path().join("durable")).unwrap();
    source.transaction(2, 2100, 1, &["b"]);
    source.transaction(3, 2200, 1, &["c"]);
    source.sync();
    drop((source, log));
    // The power went before the second sync: the page of the second transaction never came, that of the third did.
    fs::write(dir.path().join("durable"), note).unwrap();
    let mut content = fs::read(&path).unwrap();
    content[synced..synced + 40].fill(0);
    fs::write(&path, content).unwrap();
    let log = open(dir.path());
    assert_eq!(told(&read_after(&log, 0)), [["1/1", "1:a"]]);
    assert_eq!(fs::metadata(&path).unwrap().len() as usize, synced);
}

#[test]
fn a_hole_in_the_chain_of_segments_is_refused() {
    let (dir, _) = written(small);
    let all = segments(dir.path());
    assert!(all.len() > 2);
    let second = fs::read(&all[1]).unwrap();
    fs::write(&all[1], &second[..second.len() - 1]).unwrap();
    let error = EmbeddedLog::open(small(dir.path())).unwrap_err();
    assert_eq!((error.code(), error.exit()), ("MS3006", Exit::Protected));
    fs::remove_file(&all[1]).unwrap();
    let error = EmbeddedLog::open(small(dir.path())).unwrap_err();
    assert_eq!((error.code(), error.exit()), ("MS3007", Exit::Protected));
}

#[test]
fn a_log_of_another_version_is_refused_with_the_version() {
    let (dir, _) = written(settings);
    let path = segments(dir.path()).pop().unwrap();
    let mut content = fs::read(&path).unwrap();
    content[8] = 7;
    fs::write(&path, content).unwrap();
    let error = EmbeddedLog::open(settings(dir.path())).unwrap_err();
    assert_eq!((error.code(), error.exit()), ("MS3008", Exit::Protected));
    assert!(error.to_string().contains("version 7"), "{error}");
}
