//! Ordinary transactions: what is written is read, once, in order, with its schemas, from any position and after any restart.

use std::time::Duration;

use millstream_core::{
    log::{EventLog, SourceDescription},
    Exit, Lsn,
};
use millstream_log::{EmbeddedLog, LogSettings};

use crate::support::*;

#[test]
fn what_is_written_is_read_in_order_with_its_schema_before_it() {
    let dir = scratch();
    let log = open(dir.path());
    let mut source = Source::new(&log);
    source.begin(7, 2000);
    source.schema(&table(1, 1), None);
    source.insert(None, 1, "a");
    source.insert(None, 1, "b");
    source.commit(7, 2000);
    source.transaction(8, 2100, 1, &["c"]);
    assert_eq!(source.sync(), Lsn(2105));

    let read = read_after(&log, 0);
    assert_eq!(told(&read), [vec!["1/1", "1:a", "1:b"], vec!["1:c"]]);
    assert_eq!(read[0].header.xid, 7);
    assert_eq!(read[0].header.end_lsn, Lsn(2005));
    let places: Vec<_> = read[0].changes.iter().map(|change| (change.ordinal, change.lsn.0)).collect();
    // Begin, relation and rows came at 1008, 1016, 1024, 1032; a schema stands at the message that announced it.
    assert_eq!(places, [(0, 1016), (0, 1024), (1, 1032)]);
}

#[test]
fn nothing_is_seen_before_it_is_durable() {
    let dir = scratch();
    let log = open(dir.path());
    let mut source = Source::new(&log);
    source.writer.schema(&table(1, 1)).unwrap();
    source.transaction(1, 2000, 1, &["a"]);
    assert!(read_after(&log, 0).is_empty());
    assert_eq!(log.stats().last_position, None);
    source.begin(2, 2100);
    source.insert(None, 1, "b");
    assert_eq!(source.sync(), Lsn(2005), "the open transaction is not part of it");
    assert_eq!(told(&read_after(&log, 0)), [vec!["1/1", "1:a"]]);
    source.commit(2, 2100);
    assert_eq!(source.sync(), Lsn(2105));
    assert_eq!(told(&read_after(&log, 0)), [vec!["1/1", "1:a"], vec!["1:b"]]);
}

#[test]
fn a_reader_waits_for_what_comes_and_learns_that_nothing_does() {
    let dir = scratch();
    let log = open(dir.path());
    let mut reader = log.reader(Lsn(0)).unwrap();
    assert!(reader.next(Duration::ZERO).unwrap().is_none());
    let mut source = Source::new(&log);
    let waiting = std::thread::spawn(move || {
        let part = reader.next(WAIT).unwrap().unwrap();
        // Returns at once each time that more is known to be complete.
        while reader.complete_through() < Lsn(5000) {
            assert!(reader.next(WAIT).unwrap().is_none());
        }
        part.header.commit_lsn
    });
    std::thread::sleep(Duration::from_millis(20));
    source.writer.schema(&table(1, 1)).unwrap();
    source.transaction(1, 2000, 1, &["a"]);
    source.sync();
    std::thread::sleep(Duration::from_millis(20));
    source.writer.advance(Lsn(5000));
    assert_eq!(source.sync(), Lsn(5000));
    let started = std::time::Instant::now();
    assert_eq!(waiting.join().unwrap(), Lsn(2000));
    assert!(started.elapsed() < WAIT / 2, "it was woken");
}

#[test]
fn an_acknowledged_position_is_known_after_a_restart() {
    let dir = scratch();
    {
        let log = open(dir.path());
        let mut source = Source::new(&log);
        source.writer.advance(Lsn(7000));
        assert_eq!(source.sync(), Lsn(7000));
    }
    let log = open(dir.path());
    assert_eq!(log.stats().flushed_lsn, Lsn(7000));
    assert_eq!(log.stats().last_position, None);
}

#[test]
fn what_is_sent_again_is_dropped_and_counted() {
    let dir = scratch();
    let log = open(dir.path());
    let (old, new) = (table(1, 1), table(1, 2));
    let send_two = |source: &mut Source| {
        source.begin(1, 2000);
        source.schema(&old, None);
        source.insert(None, 1, "a");
        source.commit(1, 2000);
        source.begin(2, 2100);
        source.schema(&new, None);
        source.insert(None, 1, "b");
        source.commit(2, 2100);
    };
    let mut source = Source::new(&log);
    send_two(&mut source);
    source.sync();
    drop(source);

    let mut source = Source::new(&log);
    send_two(&mut source);
    source.transaction(3, 2200, 1, &["c"]);
    source.sync();
    assert_eq!(log.stats().resent, 2);
    let read = read_after(&log, 0);
    assert_eq!(told(&read), [vec!["1/1", "1:a"], vec!["1/2", "1:b"], vec!["1:c"]]);
}

#[test]
fn a_schema_stated_with_what_was_sent_again_holds_for_what_follows() {
    let dir = scratch();
    let log = open(dir.path());
    let mut source = Source::new(&log);
    source.writer.schema(&table(1, 1)).unwrap();
    source.transaction(1, 2000, 1, &["a"]);
    source.sync();
    source.begin(1, 2000);
    source.schema(&table(1, 3), None);
    source.commit(1, 2000);
    source.transaction(2, 2100, 1, &["b"]);
    source.sync();
    assert_eq!(told(&read_after(&log, 0)), [vec!["1/1", "1:a"], vec!["1/3", "1:b"]]);
    assert_eq!(told(&read_after(&log, 2000)), [vec!["1/3", "1:b"]], "from behind the first as well");
}

#[test]
fn rows_before_and_after_a_change_of_their_table_have_each_their_own_schema() {
    let dir = scratch();
    let log = open(dir.path());
    let mut source = Source::new(&log);
    source.begin(1, 2000);
    source.schema(&table(1, 1), None);
    source.insert(None, 1, "a");
    source.schema(&table(1, 1), None);
    source.insert(None, 1, "b");
    source.schema(&table(1, 2), None);
    source.insert(None, 1, "c");
    source.commit(1, 2000);
    source.sync();
    let read = read_after(&log, 0);
    assert_eq!(told(&read), [["1/1", "1:a", "1:b", "1/2", "1:c"]], "a schema stated again is no change");
    assert_eq!(read[0].columns(), [1, 1, 2]);
}

#[test]
fn an_open_transaction_is_forgotten_with_its_connection() {
    let dir = scratch();
    let log = open(dir.path());
    let mut source = Source::new(&log);
    source.begin(1, 2000);
    source.schema(&table(1, 1), None);
    source.insert(None, 1, "lost");
    source.writer.reset().unwrap();
    source.begin(1, 2000);
    source.schema(&table(1, 1), None);
    source.insert(None, 1, "kept");
    source.commit(1, 2000);
    source.sync();
    assert_eq!(told(&read_after(&log, 0)), [vec!["1/1", "1:kept"]]);
}

#[test]
fn a_transaction_without_published_changes_only_moves_the_position() {
    let dir = scratch();
    let log = open(dir.path());
    let mut source = Source::new(&log);
    source.transaction(1, 2000, 1, &[]);
    assert_eq!(source.sync(), Lsn(2005));
    assert!(read_after(&log, 0).is_empty());
    drop((source, log));
    assert_eq!(open(dir.path()).stats().flushed_lsn, Lsn(2005));
}

#[test]
fn segments_roll_over_with_what_is_needed_to_read_each_alone() {
    let dir = scratch();
    let settings = LogSettings { segment_bytes: 1024, ..settings(dir.path()) };
    let log = EmbeddedLog::open(settings.clone()).unwrap();
    let mut source = Source::new(&log);
    let described =
        SourceDescription { system_identifier: 42, server_version: 150018, protocol: 2, options: vec![] };
    source.writer.describe_source(&described).unwrap();
    source.begin(1, 2000);
    source.schema(&table(1, 1), None);
    source.insert(None, 1, "0");
    source.commit(1, 2000);
    for number in 1..100 {
        source.transaction(number as u32, 2000 + number * 100, 1, &[&number.to_string()]);
        if number % 7 == 0 {
            source.sync();
        }
    }
    source.sync();
    let entries = std::fs::read_dir(dir.path()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(names.filter(|name| name.ends_with(".seg")).count() > 5);

    drop((source, log));
    let log = EmbeddedLog::open(settings).unwrap();
    assert_eq!(log.stats().first_position, Some(Lsn(2000)));
    assert_eq!(log.stats().last_position, Some(Lsn(11900)));
    let everything = read_after(&log, 0);
    assert_eq!(everything.len(), 100);
    for start in 0..100usize {
        let read = read_after(&log, 2000 + start as u64 * 100);
        assert_eq!(told(&read), told(&everything[start + 1..]), "after {start}");
    }
    let other = SourceDescription { system_identifier: 43, ..described };
    let error = log.writer().unwrap().describe_source(&other).unwrap_err();
    assert_eq!((error.code(), error.exit()), ("MS3010", Exit::Protected));
}

#[test]
fn a_large_transaction_leaves_the_segment_and_comes_in_parts() {
    let dir = scratch();
    let settings = LogSettings { transaction_bytes: 4096, ..settings(dir.path()) };
    let log = EmbeddedLog::open(settings.clone()).unwrap();
    let mut source = Source::new(&log);
    let rows: Vec<String> = (0..40_000).map(|number| format!("row {number}")).collect();
    source.begin(1, 500_000_000);
    source.schema(&table(1, 1), None);
    rows.iter().for_each(|row| source.insert(None, 1, row));
    source.schema(&table(1, 2), None);
    source.insert(None, 1, "last");
    source.commit(1, 500_000_000);
    source.transaction(2, 500_000_100, 1, &["next"]);
    source.sync();
    let check = |log: &EmbeddedLog| {
        let read = read_after(log, 0);
        assert_eq!(read.len(), 2);
        assert_eq!(read[0].parts, 3);
        let mut expected = vec!["1/1".to_owned()];
        expected.extend(rows.iter().map(|row| format!("1:{row}")));
        expected.extend(["1/2".to_owned(), "1:last".to_owned()]);
        assert_eq!(read[0].told(), expected);
        assert_eq!(read[0].changes.last().unwrap().ordinal, 40_000);
        assert_eq!(read[1].told(), ["1:next"]);
        assert_eq!(read_after(log, 500_000_000)[0].columns(), [2], "known to who skips the transaction");
    };
    check(&log);
    drop((source, log));
    check(&EmbeddedLog::open(settings).unwrap());
}

#[test]
fn there_is_one_writer_and_one_process() {
    let dir = scratch();
    let log = open(dir.path());
    let writer = log.writer().unwrap();
    assert_eq!(log.writer().err().unwrap().code(), "MS3005");
    drop(writer);
    log.writer().unwrap();
    let error = EmbeddedLog::open(settings(dir.path())).unwrap_err();
    assert_eq!((error.code(), error.exit()), ("MS3004", Exit::Protected));
}

#[test]
fn what_a_dropped_writer_never_synced_is_gone() {
    let dir = scratch();
    let log = EmbeddedLog::open(LogSettings { transaction_bytes: 100, ..settings(dir.path()) }).unwrap();
    let mut source = Source::new(&log);
    source.writer.schema(&table(1, 1)).unwrap();
    source.transaction(1, 2000, 1, &["a"]);
    source.sync();
    source.transaction(2, 2100, 1, &["a row that is long enough for a spool of its own", &"x".repeat(100)]);
    drop(source);
    let mut source = Source::new(&log);
    source.begin(3, 2050);
    source.schema(&table(1, 2), None);
    source.insert(None, 1, "b");
    source.commit(3, 2050);
    source.sync();
    let expected = [vec!["1/1", "1:a"], vec!["1/2", "1:b"]];
    assert_eq!(told(&read_after(&log, 0)), expected);
    drop((source, log));
    let log = open(dir.path());
    assert_eq!(told(&read_after(&log, 0)), expected);
    // The transaction that states a schema outgrew a frame as well.
    assert_eq!(std::fs::read_dir(dir.path().join("spool")).unwrap().count(), 1);
}

#[test]
fn a_segment_of_which_nothing_was_synced_is_begun_again() {
    let dir = scratch();
    let settings = LogSettings { segment_bytes: 1024, ..settings(dir.path()) };
    let log = EmbeddedLog::open(settings.clone()).unwrap();
    let mut source = Source::new(&log);
    source.writer.schema(&table(1, 1)).unwrap();
    source.transaction(1, 2000, 1, &[&"long ".repeat(300)]);
    source.sync();
    // The segment is full: this one begins the next.
    source.transaction(2, 2100, 1, &["lost"]);
    drop(source);
    let mut source = Source::new(&log);
    source.transaction(2, 2050, 1, &["kept"]);
    source.sync();
    let expected = read_after(&log, 0);
    assert_eq!(expected.len(), 2);
    assert_eq!(expected[1].told(), ["1:kept"]);
    drop((source, log));
    assert_eq!(read_after(&EmbeddedLog::open(settings).unwrap(), 0), expected);
}

#[test]
fn what_cannot_be_read_is_never_stepped_over() {
    let dir = scratch();
    let log = open(dir.path());
    let mut source = Source::new(&log);
    source.writer.schema(&table(1, 1)).unwrap();
    source.transaction(1, 2000, 1, &["a"]);
    source.transaction(2, 2100, 9, &["of a table that nobody described"]);
    source.begin(3, 2200);
    source.writer.append(Lsn(2150), b"I\0\0\0\x01N\0\x05").unwrap();
    source.commit(3, 2200);
    source.sync();
    let mut reader = log.reader(Lsn(0)).unwrap();
    assert_eq!(reader.next(WAIT).unwrap().unwrap().header.commit_lsn, Lsn(2000));
    for _ in 0..3 {
        assert_eq!(reader.next(WAIT).unwrap_err().code(), "MS3013");
    }
    let error = log.reader(Lsn(2100)).unwrap().next(WAIT).unwrap_err();
    assert_eq!(error.code(), "MS3012");
    assert!(error.to_string().contains("0/866"), "the event is named: {error}");
}

#[test]
fn messages_out_of_place_are_refused() {
    let dir = scratch();
    let log = open(dir.path());
    let mut source = Source::new(&log);
    let mut refused = |message: &[u8]| {
        let error = source.writer.append(Lsn(1), message).unwrap_err();
        assert_eq!(error.code(), "MS3011", "{error}");
    };
    refused(b"");
    refused(b"?");
    refused(b"I\0\0\0\x01N\0\0");
    refused(&millstream_pgoutput::Message::Commit(commit(1, 2000)).encode());
    refused(&millstream_pgoutput::Message::StreamStop.encode());
}
