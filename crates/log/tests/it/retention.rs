//! What may be dropped, and what may not.

use std::{path::Path, time::Duration};

use millstream_core::{
    base::{BaseStore, BaseTable},
    log::EventLog,
    Exit, Fence, Lsn, XidSnapshot,
};
use millstream_log::{EmbeddedLog, LogSettings};

use crate::{base, support::*};

fn settings_for(dir: &Path) -> LogSettings {
    LogSettings { segment_bytes: 1024, retention: Duration::ZERO, ..settings(dir) }
}

/// Transactions at 2000, 2100, … 5900 with ids 20 to 59, in several segments.
fn fill(log: &EmbeddedLog) {
    let mut source = Source::new(log);
    source.writer.schema(&table(1, 1)).unwrap();
    for number in 20..60 {
        source.transaction(number, u64::from(number) * 100, 1, &["some text in a row"]);
    }
    source.sync();
}

fn first(log: &EmbeddedLog) -> u64 {
    log.stats().first_position.unwrap().0
}

#[test]
fn nothing_goes_before_every_consumer_is_past_it() {
    let dir = scratch();
    let log = EmbeddedLog::open(settings_for(dir.path())).unwrap();
    fill(&log);
    assert_eq!(log.retain().unwrap(), 0, "nobody has said what they need");
    log.advance_consumer("slow", Lsn(2500)).unwrap();
    log.advance_consumer("fast", Lsn(5900)).unwrap();
    log.retain().unwrap();
    assert!(first(&log) <= 2600, "{}", first(&log));
    let bytes = log.stats().bytes;
    log.advance_consumer("slow", Lsn(4500)).unwrap();
    let freed = log.retain().unwrap();
    assert!(freed > 0);
    assert_eq!(log.stats().bytes, bytes - freed);
    let oldest = first(&log);
    assert!((4000..=4600).contains(&oldest), "{oldest}");

    let error = log.reader(Lsn(2500)).err().unwrap();
    assert_eq!((error.code(), error.exit()), ("MS3009", Exit::Protected));
    assert!(error.detail().unwrap().contains(&Lsn(oldest).to_string()), "{error:?}");
    assert_eq!(read_after(&log, 4500)[0].header.commit_lsn, Lsn(4600));
    assert_eq!(read_after(&log, oldest - 100).len() as u64, (5900 - oldest) / 100 + 1);

    drop(log);
    let log = EmbeddedLog::open(settings_for(dir.path())).unwrap();
    assert_eq!(first(&log), oldest);
    assert_eq!(log.reader(Lsn(2500)).err().unwrap().code(), "MS3009");
    log.drop_consumer("slow").unwrap();
    log.retain().unwrap();
    assert!(first(&log) > oldest, "the other consumer's position was kept across the restart");
}

#[test]
fn what_nobody_needs_stays_for_its_time_unless_the_log_is_full() {
    let dir = scratch();
    let patient = LogSettings { retention: Duration::from_secs(3600), ..settings_for(dir.path()) };
    let log = EmbeddedLog::open(patient.clone()).unwrap();
    fill(&log);
    log.advance_consumer("apply", Lsn(5900)).unwrap();
    assert_eq!(log.retain().unwrap(), 0);
    drop(log);
    let log = EmbeddedLog::open(LogSettings { max_bytes: 2500, ..patient }).unwrap();
    let writer = log.writer().unwrap();
    assert!(writer.is_full());
    log.retain().unwrap();
    assert!(!writer.is_full());
    let bytes = log.stats().bytes;
    assert!((1000..2500).contains(&bytes), "no more than needed: {bytes}");
}

#[test]
fn a_full_log_waits_for_its_consumer() {
    let dir = scratch();
    let log = EmbeddedLog::open(LogSettings { max_bytes: 2500, ..settings_for(dir.path()) }).unwrap();
    fill(&log);
    log.advance_consumer("apply", Lsn(2000)).unwrap();
    let writer = log.writer().unwrap();
    log.retain().unwrap();
    assert!(writer.is_full());
    log.advance_consumer("apply", Lsn(5900)).unwrap();
    assert!(log.retain().unwrap() > 0);
    assert!(!writer.is_full());
}

#[test]
fn the_base_keeps_what_its_rows_lack() {
    let dir = scratch();
    let log = EmbeddedLog::open(settings_for(dir.path())).unwrap();
    fill(&log);
    log.advance_consumer("apply", Lsn(5900)).unwrap();
    let make_base = |fence| {
        let base = log.create(vec![BaseTable { fence, ..base::planned(1, 1) }]).unwrap();
        base::write(&log, base, 1, 0, b"rows");
    };
    make_base(Fence::ConsistentPoint(Lsn(3000)));
    log.retain().unwrap();
    assert!((2400..=3000).contains(&first(&log)), "{}", first(&log));
    // Its id, not its position, says that transaction 33 is not among the rows.
    let snapshot = XidSnapshot { xmin: 33, xmax: 50, in_progress: vec![33] };
    make_base(Fence::Snapshot { snapshot, read_after: Lsn(5000) });
    log.retain().unwrap();
    assert!((2700..=3300).contains(&first(&log)), "{}", first(&log));
    make_base(Fence::ConsistentPoint(Lsn(5000)));
    log.retain().unwrap();
    assert!((4400..=5000).contains(&first(&log)), "{}", first(&log));
    let ids: Vec<_> = log.manifests().unwrap().iter().map(|manifest| manifest.id.0).collect();
    assert_eq!(ids, [3], "superseded bases go");
}

#[test]
fn spools_go_with_their_segment() {
    let dir = scratch();
    let log = EmbeddedLog::open(LogSettings { transaction_bytes: 10, ..settings_for(dir.path()) }).unwrap();
    fill(&log);
    let spools = || std::fs::read_dir(dir.path().join("spool")).unwrap().count();
    assert_eq!(spools(), 40);
    log.advance_consumer("apply", Lsn(5900)).unwrap();
    log.retain().unwrap();
    let left = read_after(&log, first(&log) - 1).len();
    assert!(left < 20);
    assert_eq!(spools(), left);
    let bytes: u64 = ["", "spool"]
        .iter()
        .flat_map(|name| std::fs::read_dir(dir.path().join(name)).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "seg" || e == "spool"))
        .map(|path| path.metadata().unwrap().len())
        .sum();
    assert_eq!(log.stats().bytes, bytes);
}
