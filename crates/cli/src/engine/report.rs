//! What `status` says.

use std::{collections::HashMap, time::Duration};

use millstream_apply::status::Snapshot;
use millstream_core::{
    log::EventLog,
    warehouse::{TableState, WarehouseReader},
    Lsn, Timestamp,
};
use millstream_source::{slot::Slot, wire::Wire, SourceConfig};
use serde_json::{json, Value};

use super::{
    desk::Desk,
    open,
    provision::Remembered,
    session::{runtime, Live},
};
use crate::{
    config::{units::print_instant, Project},
    failure::Failure,
    output::failure_json,
    status::{LogStatus, SourceStatus, Status, TableStatus, WarehouseStatus},
};

/// How long the status of a project that is not running waits for its source: a person waits for the answer.
const SOURCE_WAIT_MAX: Duration = Duration::from_secs(3);

/// The whole document.
pub(super) fn status(desk: &Desk) -> Result<Status, Failure> {
    let stage = desk.stage();
    let project = &desk.project;
    let log = desk.log.get().map(|log| log.stats());
    let (tables, applied_lsn) = match (tables(desk), &stage.error) {
        (Ok(read), _) => read,
        // It is said what is wrong; that nothing can be read beside it is no news.
        (Err(_), Some(_)) => (Vec::new(), None),
        (Err(failure), None) => return Err(failure),
    };
    Ok(Status {
        name: project.name.clone(),
        state: stage.state,
        reason: stage.reason,
        pid: desk.running.then(std::process::id),
        source: source(desk, log.map(|log| log.flushed_lsn)),
        log: log.map_or_else(LogStatus::default, |log| LogStatus {
            first_position: log.first_position,
            last_position: log.last_position,
            bytes: log.bytes,
            bytes_max: log.bytes_max,
        }),
        warehouse: WarehouseStatus {
            applied_lsn,
            bytes: file_bytes(&project.warehouse.duckdb),
            rebuilt: Remembered::read(project)?
                .and_then(|remembered| Some(remembered.warehouse.rebuilt?.document())),
        },
        tables,
        error: stage.error,
    })
}

/// The tables, and up to where all of them are applied; none while the warehouse is not open.
fn tables(desk: &Desk) -> Result<(Vec<TableStatus>, Option<Lsn>), Failure> {
    let mut tables = Vec::new();
    let mut applied_lsn = None;
    let Some(warehouse) = desk.warehouse.get() else { return Ok((tables, applied_lsn)) };
    let mut reader = warehouse.reader()?;
    let progress = reader.progress()?;
    applied_lsn = (progress.applied_lsn != Lsn::ZERO).then_some(progress.applied_lsn);
    let applied_at = (progress.applied_time != Timestamp::default()).then_some(progress.applied_time);
    let mut quarantined: HashMap<_, _> = warehouse.quarantine_counts()?.into_iter().collect();
    let broken = warehouse.broken_models()?;
    for table in warehouse.tables()? {
        let counts = reader.counts(&table.layout)?;
        let (state, reason) = phase(&table);
        let broken_dependents = broken
            .iter()
            .filter(|model| model.error.to_string().contains(&table.layout.target.name))
            .map(|model| model.name.to_string());
        tables.push(TableStatus {
            name: table.layout.source.to_string(),
            warehouse_name: table.layout.target.to_string(),
            state,
            reason,
            rows: Some(counts.rows),
            history_rows: Some(counts.history_rows),
            history_since: table.history_since.map(|moment| moment.time),
            applied_lsn,
            applied_at,
            uncertain: table.uncertain.iter().map(Into::into).collect(),
            quarantined: quarantined.remove(&table.layout.id).unwrap_or(0),
            broken_dependents: broken_dependents.collect(),
        });
    }
    tables.sort_by(|a, b| a.name.cmp(&b.name));
    Ok((tables, applied_lsn))
}

/// The source's part: by what capture heard last, or with nothing but its name where nothing runs.
fn source(desk: &Desk, flushed_lsn: Option<Lsn>) -> SourceStatus {
    let project = &desk.project;
    let named = named(project, flushed_lsn);
    let Ok(live) = desk.live() else {
        // A connection string that can't be read is an error of the verbs that connect.
        let Ok(config) = open::source_config(project) else { return named };
        let address = config.connection.address();
        let Ok(Some((current, slot))) = ask(&config) else { return SourceStatus { address, ..named } };
        return SourceStatus {
            address,
            current_lsn: Some(current),
            lag_bytes: flushed_lsn.map(|flushed| current.0.saturating_sub(flushed.0)),
            wal_retained_bytes: slot.and_then(|slot| slot.retained_bytes?.try_into().ok()),
            ..named
        };
    };
    live_source(desk, live, named)
}

/// Its names.
fn named(project: &Project, flushed_lsn: Option<Lsn>) -> SourceStatus {
    SourceStatus {
        slot: project.source.slot.clone(),
        publication: project.source.publication.clone(),
        flushed_lsn,
        ..SourceStatus::default()
    }
}

/// The same of a running project, by what its parts heard last.
fn live_source(desk: &Desk, live: &Live, named: SourceStatus) -> SourceStatus {
    let (capture, apply) = (live.capture.status(), live.apply.get());
    let applied = apply.applied_lsn.max(apply.complete_through);
    let last_position = desk.log.get().and_then(|log| log.stats().last_position).unwrap_or(Lsn::ZERO);
    // Both times are the source's own, so that a clock of ours which is off does not show.
    let behind = match capture.last_commit {
        Some(newest) if last_position > apply.applied_lsn => {
            (newest.0.saturating_sub(apply.applied_time.0)).max(0) as f64 / 1e6
        }
        _ => 0.0,
    };
    SourceStatus {
        address: live.source.connection.address(),
        current_lsn: (capture.source_lsn != Lsn::ZERO).then_some(capture.source_lsn),
        lag_bytes: Some(capture.source_lsn.0.saturating_sub(applied.0)),
        lag_seconds: Some(behind),
        wal_retained_bytes: Some(capture.wal_retained_bytes),
        ..named
    }
}

/// Where a source stands that nobody reads at present, and what it keeps for us: a slot without a reader fills the server's disk. `None`: it did not
/// answer in time.
fn ask(config: &SourceConfig) -> Result<Option<(Lsn, Option<Slot>)>, Failure> {
    runtime()?.block_on(async {
        let asking = async {
            let mut wire = Wire::connect(&config.connection).await?;
            let slot = Slot::read(&mut wire, &config.slot).await?;
            let row =
                wire.query_one("asking for the source's position", "SELECT pg_current_wal_lsn()").await?;
            let current = row.parse(0)?;
            wire.close().await;
            Ok::<_, Failure>((current, slot))
        };
        tokio::time::timeout(SOURCE_WAIT_MAX, asking).await.ok().transpose()
    })
}

/// A picture of the whole that costs next to nothing: neither the source nor the warehouse is asked.
pub(super) fn sample(desk: &Desk, at: Timestamp) -> Value {
    let stage = desk.stage();
    let log = desk.log.get().map(|log| log.stats());
    let flushed = log.map(|log| log.flushed_lsn);
    let named = named(&desk.project, flushed);
    let (source, apply) = match desk.live() {
        Ok(live) => (live_source(desk, live, named), live.apply.get()),
        Err(_) => (named, Snapshot::default()),
    };
    let through = apply.applied_lsn.max(apply.complete_through);
    let printed = |lsn: Option<Lsn>| lsn.filter(|lsn| *lsn != Lsn::ZERO).map(|lsn| lsn.to_string());
    json!({
        "at": print_instant(at),
        "state": stage.state,
        "current_lsn": printed(source.current_lsn),
        "flushed_lsn": printed(flushed),
        "applied_lsn": printed(Some(apply.applied_lsn)),
        "lag_bytes": source.lag_bytes,
        "lag_seconds": source.lag_seconds,
        "wal_retained_bytes": source.wal_retained_bytes,
        "waiting_bytes": flushed.map_or(0, |flushed| flushed.0.saturating_sub(through.0)),
        "log_bytes": log.map_or(0, |log| log.bytes),
        "log_bytes_max": desk.project.log.bytes_max,
        "rows_applied": apply.changes + apply.rows_loaded,
        "transactions_applied": apply.transactions,
        "error": stage.error.as_ref().map(failure_json),
    })
}

/// The file's size, and that of its write-ahead log, which holds what came since the last checkpoint.
fn file_bytes(path: &std::path::Path) -> u64 {
    let mut wal = path.as_os_str().to_owned();
    wal.push(".wal");
    // A file that is not there has no size.
    let of = |path: &std::path::Path| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    of(path) + of(wal.as_ref())
}

/// The table's phase and its reason, as apply wrote them down.
fn phase(table: &TableState) -> (String, Option<String>) {
    let phase: Value = serde_json::from_str(&table.phase_json).unwrap_or_default();
    let text = |key: &str| phase[key].as_str().map(str::to_owned);
    (text("phase").unwrap_or_else(|| "unknown".to_owned()), text("reason"))
}
