//! Faults at the named points, each in a process of its own: fail points are the whole process's, and a kill is one.

use std::{
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    sync::Arc,
};

use millstream_core::{base::BaseStore, log::EventLog, Lsn};
use millstream_log::EmbeddedLog;

use crate::{base, recovery, support::*};

/// Tells a test that it runs as the child, and what to do.
const CHILD: &str = "MILLSTREAM_LOG_FAULT";

/// The test's own process again, as a child with this to do.
fn child(test: &str, fault: &str, dir: &std::path::Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env(CHILD, fault).env("MILLSTREAM_LOG_DIR", dir);
    command
}

fn child_task() -> Option<(String, std::path::PathBuf)> {
    Some((std::env::var(CHILD).ok()?, std::env::var_os("MILLSTREAM_LOG_DIR")?.into()))
}

#[test]
fn killed_at_any_hit_of_any_fail_point_the_log_opens_and_goes_on() {
    if let Some((fault, dir)) = child_task() {
        let (point, hit) = fault.split_once('/').unwrap();
        let (hit, hits) = (hit.parse::<usize>().unwrap(), AtomicUsize::new(0));
        let kill = move || {
            if hits.fetch_add(1, Ordering::SeqCst) == hit {
                std::process::abort();
            }
        };
        fail::cfg_callback(point, kill).unwrap();
        let log = EmbeddedLog::open(recovery::small(&dir)).unwrap();
        let acknowledged = dir.join("acknowledged");
        recovery::write_some(&log, || {
            if let Some(position) = log.stats().last_position {
                std::fs::write(&acknowledged, position.0.to_string()).unwrap();
            }
        });
        let base = log.create(vec![base::planned(1, 1)]).unwrap();
        base::write(&log, base, 1, 0, b"rows");
        return;
    }

    let reference = scratch();
    let log = EmbeddedLog::open(recovery::small(reference.path())).unwrap();
    recovery::write_some(&log, || {});
    let everything = told(&read_after(&log, 0));
    for point in [
        "log::append",
        "log::before_fsync",
        "log::after_fsync",
        "log::segment_roll",
        "log::spool_commit",
        "log::base_chunk_finish",
    ] {
        let mut kills = 0;
        // Bounded by the number of times that the workload passes the point.
        for hit in 0.. {
            let dir = scratch();
            let fault = format!("{point}/{hit}");
            let test = "faults::killed_at_any_hit_of_any_fail_point_the_log_opens_and_goes_on";
            let output = child(test, &fault, dir.path()).output().unwrap();
            if output.status.success() {
                break;
            }
            kills += 1;
            let acknowledged = std::fs::read_to_string(dir.path().join("acknowledged")).unwrap_or_default();
            let acknowledged = acknowledged.parse().map(Lsn).ok();
            let log = EmbeddedLog::open(recovery::small(dir.path())).unwrap();
            assert!(log.stats().last_position >= acknowledged, "{fault}");
            let held = told(&read_after(&log, 0));
            assert_eq!(held, everything[..held.len()], "{fault}");
            recovery::write_some(&log, || {});
            assert_eq!(told(&read_after(&log, 0)), everything, "{fault}");
            // A chunk is named by the manifest or not there.
            for table in log.manifests().unwrap().iter().flat_map(|manifest| &manifest.tables) {
                assert!(table.chunks.is_empty(), "{fault}: killed before the manifest named it");
            }
        }
        assert!(kills > 0, "{point} was never reached");
    }
}

#[test]
fn after_a_failed_fsync_nothing_is_acknowledged_any_more() {
    let test = "faults::after_a_failed_fsync_nothing_is_acknowledged_any_more";
    let Some((_, dir)) = child_task() else {
        let dir = scratch();
        let output = child(test, "fsync", dir.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    };
    let log = open(&dir);
    let mut source = Source::new(&log);
    source.writer.schema(&table(1, 1)).unwrap();
    source.transaction(1, 2000, 1, &["a"]);
    assert_eq!(source.sync(), Lsn(2005));
    source.transaction(2, 2100, 1, &["b"]);
    fail::cfg("log::fsync_error", "return").unwrap();
    let error = source.writer.sync().unwrap_err();
    assert_eq!((error.code(), error.action()), ("MS3003", millstream_core::Action::Stop));
    fail::remove("log::fsync_error");
    assert_eq!(
        source.writer.sync().unwrap_err().code(),
        "MS3003",
        "the disk is well again, the page cache is not"
    );
    assert_eq!(log.stats().flushed_lsn, Lsn(2005));
    assert_eq!(told(&read_after(&log, 0)), [["1/1", "1:a"]]);
    drop(source);
    assert_eq!(log.writer().err().unwrap().code(), "MS3003");
}

#[test]
fn a_full_disk_is_waited_out_without_loss() {
    // A file of limited size stands in for a full disk: the write fails, with another error number.
    let test = "faults::a_full_disk_is_waited_out_without_loss";
    let Some((_, dir)) = child_task() else {
        let dir = scratch();
        let output = child(test, "full", dir.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    };
    let limit = |bytes| {
        let limit = libc::rlimit { rlim_cur: bytes, rlim_max: libc::RLIM_INFINITY };
        // SAFETY: plain calls with a struct that outlives them, in a process of this test's own.
        unsafe {
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &limit), 0);
        }
    };
    let log = Arc::new(open(&dir));
    let mut source = Source::new(&log);
    source.writer.schema(&table(1, 1)).unwrap();
    source.transaction(1, 2000, 1, &["a"]);
    source.sync();
    limit(1000);
    source.transaction(2, 2100, 1, &[&"b".repeat(2000)]);
    for _ in 0..2 {
        assert_eq!(source.writer.sync().unwrap_err().code(), "MS3001");
        assert_eq!(log.stats().last_position, Some(Lsn(2000)));
    }
    source.writer.reset().unwrap();
    limit(libc::RLIM_INFINITY);
    source.transaction(2, 2100, 1, &[&"b".repeat(2000)]);
    source.transaction(3, 2200, 1, &["c"]);
    assert_eq!(source.sync(), Lsn(2205));
    assert_eq!(log.stats().resent, 1, "it was taken in before the write failed");
    let read = read_after(&log, 0);
    let lsns: Vec<_> = read.iter().map(|transaction| transaction.header.commit_lsn.0).collect();
    assert_eq!(lsns, [2000, 2100, 2200]);
}
