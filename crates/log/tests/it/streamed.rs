//! Streamed transactions: blocks of several interleaved, subtransactions rolled back, schemas learned inside.

use millstream_core::{log::EventLog, Lsn};
use millstream_log::{EmbeddedLog, LogSettings};

use crate::support::*;

fn spools(dir: &std::path::Path) -> usize {
    std::fs::read_dir(dir.join("spool")).unwrap().count()
}

#[test]
fn streamed_transactions_come_whole_in_commit_order() {
    let dir = scratch();
    let log = open(dir.path());
    let mut source = Source::new(&log);
    source.stream_start(10, true);
    source.schema(&table(1, 1), Some(10));
    source.insert(Some(10), 1, "a1");
    source.stream_stop();
    source.stream_start(20, true);
    source.schema(&table(1, 1), Some(20));
    source.insert(Some(20), 1, "b1");
    source.stream_stop();
    source.begin(30, 2000);
    source.schema(&table(2, 1), None);
    source.insert(None, 2, "c");
    source.commit(30, 2000);
    source.stream_start(10, false);
    source.insert(Some(10), 1, "a2");
    source.stream_stop();
    source.stream_commit(20, 2100);
    assert_eq!(source.sync(), Lsn(2105));
    source.stream_commit(10, 2200);
    // The server sends no relation message any more: the only one was inside the stream.
    source.transaction(40, 2300, 1, &["d"]);
    source.sync();
    let expected = [vec!["2/1", "2:c"], vec!["1/1", "1:b1"], vec!["1:a1", "1:a2"], vec!["1:d"]];
    let read = read_after(&log, 0);
    assert_eq!(told(&read), expected);
    assert_eq!(read[2].header.xid, 10);
    drop((source, log));
    let log = open(dir.path());
    assert_eq!(read_after(&log, 0), read);
    let mut source = Source::new(&log);
    source.transaction(50, 2400, 1, &["e"]);
    source.sync();
    assert_eq!(told(&read_after(&log, 2300)), [["1:e"]], "what the stream stated is known after a restart");
}

#[test]
fn rows_of_rolled_back_subtransactions_are_never_seen() {
    let dir = scratch();
    let log = open(dir.path());
    let mut source = Source::new(&log);
    source.stream_start(10, true);
    source.schema(&table(1, 1), Some(10));
    source.insert(Some(10), 1, "kept 1");
    source.insert(Some(11), 1, "gone 1");
    source.stream_stop();
    source.stream_start(20, true);
    source.schema(&table(1, 1), Some(20));
    source.insert(Some(21), 1, "other");
    source.stream_stop();
    source.stream_start(10, false);
    source.insert(Some(12), 1, "gone 2");
    source.insert(Some(11), 1, "gone 3");
    source.stream_stop();
    source.stream_abort(10, 12);
    source.stream_abort(10, 11);
    source.stream_start(10, false);
    source.insert(Some(13), 1, "kept 2");
    source.stream_stop();
    source.stream_commit(10, 2000);
    source.stream_abort(20, 20);
    source.sync();
    assert_eq!(spools(dir.path()), 1, "the aborted transaction's file is gone");
    let read = read_after(&log, 0);
    assert_eq!(told(&read), [["1/1", "1:kept 1", "1:kept 2"]]);
    assert_eq!(read[0].changes[2].ordinal, 1, "rows that never were don't count");
}

#[test]
fn a_schema_learned_in_a_rolled_back_subtransaction_does_not_leak() {
    let dir = scratch();
    let log = open(dir.path());
    let mut source = Source::new(&log);
    source.begin(5, 1900);
    source.schema(&table(1, 1), None);
    source.insert(None, 1, "before");
    source.commit(5, 1900);
    source.stream_start(10, true);
    source.schema(&table(1, 1), Some(10));
    source.insert(Some(10), 1, "old");
    source.schema(&table(1, 2), Some(11));
    source.insert(Some(11), 1, "gone");
    source.stream_stop();
    source.stream_abort(10, 11);
    source.stream_start(10, false);
    source.insert(Some(10), 1, "old again");
    source.schema(&table(1, 3), Some(12));
    source.insert(Some(12), 1, "new");
    source.stream_stop();
    // Meanwhile others see the table as it was.
    source.transaction(30, 2000, 1, &["meanwhile"]);
    source.stream_commit(10, 2100);
    source.transaction(40, 2200, 1, &["after"]);
    source.sync();
    let check = |log: &EmbeddedLog| {
        let read = read_after(log, 1900);
        assert_eq!(
            told(&read),
            [vec!["1:meanwhile"], vec!["1:old", "1:old again", "1/3", "1:new"], vec!["1:after"]]
        );
        let columns: Vec<_> = read.iter().map(Read::columns).collect();
        assert_eq!(columns, [vec![1], vec![1, 1, 3], vec![3]]);
        assert_eq!(read_after(log, 2100)[0].columns(), [3]);
    };
    check(&log);
    drop((source, log));
    check(&open(dir.path()));
}

#[test]
fn a_transaction_leaves_no_schema_behind_that_was_rolled_back_in_it() {
    let dir = scratch();
    let log = open(dir.path());
    let mut source = Source::new(&log);
    source.stream_start(10, true);
    source.schema(&table(1, 1), Some(10));
    source.insert(Some(10), 1, "kept");
    source.schema(&table(1, 2), Some(11));
    source.insert(Some(11), 1, "gone");
    source.stream_stop();
    source.stream_abort(10, 11);
    source.stream_commit(10, 2000);
    source.transaction(20, 2100, 1, &["after"]);
    source.sync();
    for after in [0, 2000] {
        let last = read_after(&log, after).pop().unwrap();
        assert_eq!(
            (last.told(), last.columns()),
            (vec!["1:after".to_owned()], vec![1]),
            "read after {after}"
        );
    }
}

#[test]
fn a_lost_connection_discards_what_was_streamed() {
    let dir = scratch();
    let log = open(dir.path());
    let mut source = Source::new(&log);
    let stream = |source: &mut Source| {
        source.stream_start(10, true);
        source.schema(&table(1, 1), Some(10));
        source.insert(Some(10), 1, "a");
        source.stream_stop();
    };
    stream(&mut source);
    source.stream_start(20, true);
    source.insert(Some(20), 1, "b");
    source.writer.reset().unwrap();
    assert_eq!(spools(dir.path()), 0);
    stream(&mut source);
    source.stream_commit(10, 2000);
    source.sync();
    source.writer.reset().unwrap();
    // Sent again after a reconnect.
    stream(&mut source);
    source.stream_commit(10, 2000);
    source.sync();
    assert_eq!(log.stats().resent, 1);
    assert_eq!(spools(dir.path()), 1);
    assert_eq!(told(&read_after(&log, 0)), [["1/1", "1:a"]]);
}

#[test]
fn a_spool_that_never_joined_is_deleted_at_opening() {
    let dir = scratch();
    let log = EmbeddedLog::open(LogSettings { transaction_bytes: 64, ..settings(dir.path()) }).unwrap();
    let mut source = Source::new(&log);
    source.stream_start(10, true);
    source.schema(&table(1, 1), Some(10));
    source.insert(Some(10), 1, "a");
    source.stream_stop();
    source.begin(20, 2000);
    source.schema(&table(1, 1), None);
    source.insert(None, 1, "an ordinary transaction that outgrew its frame");
    assert_eq!(spools(dir.path()), 2);
    let copy = scratch();
    copy_dir(dir.path(), copy.path());
    let reopened = open(copy.path());
    assert_eq!((spools(copy.path()), reopened.stats().bytes), (0, 0));
    source.commit(20, 2000);
    // Renamed, but the frame that names it is in memory only.
    let copy = scratch();
    copy_dir(dir.path(), copy.path());
    assert!(read_after(&open(copy.path()), 0).is_empty());
    assert_eq!(spools(copy.path()), 0);
    source.sync();
    let copy = scratch();
    copy_dir(dir.path(), copy.path());
    assert_eq!(read_after(&open(copy.path()), 0).len(), 1);
    assert_eq!(spools(copy.path()), 1);
}

#[test]
fn a_missing_or_damaged_spool_is_refused_by_name() {
    let dir = scratch();
    let log = open(dir.path());
    let mut source = Source::new(&log);
    source.stream_start(10, true);
    source.schema(&table(1, 1), Some(10));
    source.insert(Some(10), 1, "a");
    source.stream_stop();
    source.stream_commit(10, 2000);
    source.sync();
    drop((source, log));
    let path = dir.path().join("spool/00000000000007d0.spool");
    let content = std::fs::read(&path).unwrap();
    for index in 0..content.len() {
        let mut flipped = content.clone();
        flipped[index] ^= 1;
        std::fs::write(&path, &flipped).unwrap();
        let log = open(dir.path());
        let mut reader = log.reader(Lsn(0)).unwrap();
        reader.next(WAIT).unwrap_err();
        let error = reader.next(WAIT).unwrap_err();
        assert!(error.to_string().contains("7d0.spool"), "byte {index}: {error}");
        assert!(["MS3006", "MS3008"].contains(&error.code()), "byte {index}: {error}");
    }
    std::fs::write(&path, &content[1..]).unwrap();
    assert_eq!(EmbeddedLog::open(settings(dir.path())).unwrap_err().code(), "MS3006");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(EmbeddedLog::open(settings(dir.path())).unwrap_err().code(), "MS3007");
}
