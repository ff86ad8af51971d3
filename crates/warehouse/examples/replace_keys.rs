//! How fast keys are replaced with history, by table size, batch size and scatter, and what inserts cost.
//!
//! `cargo run --release -p millstream-warehouse --example replace_keys -- ROWS [SECONDS]` fills a table of 8 columns and prints a line per batch size;
//! with `transaction` instead of the seconds it inserts, updates and deletes all ROWS in one transaction each.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arrow_array::{
    ArrayRef, BooleanArray, Decimal128Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    UInt64Array,
};
use millstream_core::{
    warehouse::{
        Compaction, HistoryNames, LayoutColumn, Moment, Progress, RowGroup, TableLayout, TableState,
        Warehouse,
    },
    ColumnType, Lsn, Position, TableId, TableName, Timestamp,
};
use millstream_warehouse::{DuckDb, DuckDbOptions};

/// Rows of one batch while the table is filled.
const FILL_ROWS: u64 = 100_000;
/// Keys counted as recent.
const RECENT_KEYS: u64 = 50_000;

fn state() -> TableState {
    let columns = [
        ("id", ColumnType::BigInt),
        ("customer", ColumnType::BigInt),
        ("status", ColumnType::Text),
        ("amount", ColumnType::Decimal(12, 2)),
        ("note", ColumnType::Text),
        ("ordered_at", ColumnType::TimestampTz),
        ("quantity", ColumnType::BigInt),
        ("urgent", ColumnType::Boolean),
    ];
    TableState {
        layout: TableLayout {
            id: TableId(1),
            source: TableName::new("public", "orders"),
            target: TableName::new("analytics", "orders"),
            columns: columns
                .into_iter()
                .zip(1..)
                .map(|((name, column_type), attnum)| LayoutColumn {
                    attnum,
                    name: name.into(),
                    source_type: column_type.to_string(),
                    column_type,
                    live: true,
                })
                .collect(),
            key: Some(vec![1]),
            history: true,
            history_names: HistoryNames::default(),
        },
        schema_json: "{}".into(),
        phase_json: "{}".into(),
        history_since: Some(Moment { time: Timestamp(0), position: Position::default() }),
        uncertain: Vec::new(),
        changes: Vec::new(),
    }
}

fn times(count: usize, micros: i64) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(vec![micros; count]).with_timezone("UTC"))
}

fn numbers(values: impl Iterator<Item = u64>) -> ArrayRef {
    Arc::new(UInt64Array::from_iter_values(values))
}

fn open(ids: &[u64], lsn: u64, operation: &str) -> RecordBatch {
    let count = ids.len();
    let statuses = ["OPEN", "PENDING", "PROCESSING", "COMPLETED"];
    RecordBatch::try_from_iter_with_nullable([
        ("c1", Arc::new(Int64Array::from_iter_values(ids.iter().map(|id| *id as i64))) as ArrayRef, true),
        (
            "c2",
            Arc::new(Int64Array::from_iter_values(ids.iter().map(|id| (id * 7919 % 100_003) as i64))),
            true,
        ),
        (
            "c3",
            Arc::new(StringArray::from_iter_values(ids.iter().map(|id| statuses[(id % 4) as usize]))),
            true,
        ),
        (
            "c4",
            Arc::new(
                Decimal128Array::from_iter_values(ids.iter().map(|id| i128::from(id * 31 % 1_000_000)))
                    .with_precision_and_scale(12, 2)
                    .unwrap(),
            ),
            true,
        ),
        (
            "c5",
            Arc::new(StringArray::from_iter_values(
                ids.iter().map(|id| {
                    format!("delivery {} to door {}", id * 2_654_435_761 % 1_000_000_007, id % 997)
                }),
            )),
            true,
        ),
        ("c6", times(count, 1_767_225_600_000_000 + lsn as i64), true),
        ("c7", Arc::new(Int64Array::from_iter_values(ids.iter().map(|id| (id % 50) as i64))), true),
        ("c8", Arc::new(BooleanArray::from_iter(ids.iter().map(|id| Some(id % 3 == 0)))), true),
        ("valid_from", times(count, lsn as i64), true),
        ("operation_type", Arc::new(StringArray::from_iter_values(ids.iter().map(|_| operation))), true),
        ("_lsn", numbers(ids.iter().map(|_| lsn)), true),
        ("_seq", numbers(0..count as u64), true),
    ])
    .unwrap()
}

fn close(ids: &[u64], lsn: u64, deleted: bool) -> RecordBatch {
    let count = ids.len();
    RecordBatch::try_from_iter_with_nullable([
        ("c1", Arc::new(Int64Array::from_iter_values(ids.iter().map(|id| *id as i64))) as ArrayRef, true),
        ("valid_to", times(count, lsn as i64), true),
        ("_lsn_to", numbers(ids.iter().map(|_| lsn)), true),
        ("_seq_to", numbers(0..count as u64), true),
        ("deleted", Arc::new(BooleanArray::from(vec![deleted; count])), true),
    ])
    .unwrap()
}

/// A bijection of 0..size: what is close together in time is far apart in the table.
fn scattered(index: u64, size: u64) -> u64 {
    // A prime that divides none of the sizes used.
    (u128::from(index) * 2_147_483_647 % u128::from(size)) as u64
}

/// One transaction with its progress; returns how long it took.
fn apply(warehouse: &mut DuckDb, layout: &TableLayout, rows: &RowGroup, lsn: u64) -> Duration {
    let started = Instant::now();
    let mut transaction = warehouse.begin().unwrap();
    transaction.write(layout, rows).unwrap();
    let progress =
        Progress { source: "bench".into(), applied_lsn: Lsn(lsn), applied_time: Timestamp(lsn as i64) };
    transaction.set_progress(&progress).unwrap();
    transaction.commit().unwrap();
    started.elapsed()
}

/// Processor time this process has used so far, all threads, in milliseconds. On a machine that others use too it says more than the clock.
fn cpu_ms() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    // The kernel's clock ticks for this file are hundredths of a second.
    ticks as f64 * 10.0
}

/// Peak resident memory of this process so far, in MB.
fn peak_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// Inserts, updates (scattered) and deletes every row, each in one transaction of many row groups.
fn whole_transactions(warehouse: &mut DuckDb, layout: &TableLayout, size: u64) {
    for (lsn, (name, closes, opens)) in
        [("inserted", false, true), ("updated", true, true), ("deleted", true, false)].into_iter().enumerate()
    {
        let lsn = lsn as u64 + 1;
        let (started, cpu_before) = (Instant::now(), cpu_ms());
        let mut transaction = warehouse.begin().unwrap();
        for from in (0..size).step_by(FILL_ROWS as usize) {
            let ids: Vec<_> =
                (from..size.min(from + FILL_ROWS)).map(|index| scattered(index, size)).collect();
            let rows = RowGroup {
                close: closes.then(|| close(&ids, lsn, !opens)),
                closed: None,
                open: opens.then(|| open(&ids, lsn, "UPDATE")),
            };
            transaction.write(layout, &rows).unwrap();
        }
        transaction.commit().unwrap();
        let taken = started.elapsed();
        println!(
            "{size} rows {name} in one transaction: {:.0} rows/s, {:.1} s of processor, peak {} MB",
            size as f64 / taken.as_secs_f64(),
            (cpu_ms() - cpu_before) / 1e3,
            peak_mb()
        );
    }
    let counts = warehouse.reader().unwrap().counts(layout).unwrap();
    assert_eq!((counts.rows, counts.history_rows), (0, 3 * size));
    let started = Instant::now();
    warehouse.checkpoint(Compaction::Now).unwrap();
    println!("checkpoint: {:.0} ms, peak {} MB", started.elapsed().as_secs_f64() * 1e3, peak_mb());
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let size: u64 = arguments.next().map_or(1_000_000, |rows| rows.parse().unwrap());
    let mode = arguments.next().unwrap_or_else(|| "3".into());
    let directory = tempfile::tempdir().unwrap();
    let options = DuckDbOptions { threads: Some(2), ..DuckDbOptions::default() };
    let mut warehouse = DuckDb::open(&directory.path().join("bench.duckdb"), &options).unwrap();
    let state = state();
    let layout = &state.layout;
    let mut transaction = warehouse.begin().unwrap();
    transaction.create_table(&state).unwrap();
    transaction.commit().unwrap();

    if mode == "transaction" {
        whole_transactions(&mut warehouse, layout, size);
        return;
    }
    let budget = Duration::from_secs_f64(mode.parse().unwrap());
    let mut lsn = 1;
    let mut taken = Duration::ZERO;
    let mut filled = 0;
    while filled < size {
        let ids: Vec<_> = (filled..size.min(filled + FILL_ROWS)).collect();
        filled += ids.len() as u64;
        let rows = RowGroup { open: Some(open(&ids, lsn, "INSERT")), ..RowGroup::default() };
        taken += apply(&mut warehouse, layout, &rows, lsn);
        lsn += 1;
    }
    println!(
        "{size} rows inserted, {FILL_ROWS} a transaction: {:.0} rows/s, {:.1} s of processor, peak {} MB",
        size as f64 / taken.as_secs_f64(),
        cpu_ms() / 1e3,
        peak_mb()
    );
    let started = Instant::now();
    warehouse.checkpoint(Compaction::Now).unwrap();
    println!("checkpoint: {:.0} ms", started.elapsed().as_secs_f64() * 1e3);

    for (name, scatter) in [("scattered", true), ("recent", false)] {
        for batch_rows in [1_u64, 100, 1_000, 10_000, 100_000] {
            if batch_rows > size / 10 || (!scatter && batch_rows > RECENT_KEYS) {
                continue;
            }
            let mut milliseconds = Vec::new();
            let mut total = Duration::ZERO;
            let cpu_before = cpu_ms();
            let mut from = 0;
            while total < budget && milliseconds.len() < 200 {
                let ids: Vec<_> = (from..from + batch_rows)
                    .map(|index| match scatter {
                        true => scattered(index % size, size),
                        false => size - 1 - index % RECENT_KEYS,
                    })
                    .collect();
                from += batch_rows;
                let rows = RowGroup {
                    close: Some(close(&ids, lsn, false)),
                    closed: None,
                    open: Some(open(&ids, lsn, "UPDATE")),
                };
                let spent = apply(&mut warehouse, layout, &rows, lsn);
                lsn += 1;
                total += spent;
                milliseconds.push(spent.as_secs_f64() * 1e3);
            }
            milliseconds.sort_by(f64::total_cmp);
            let median = milliseconds[milliseconds.len() / 2];
            println!(
                "{name:>9} {batch_rows:>7} keys: median {median:>7.1} ms, max {:>7.1} ms, {:>8.0} rows/s, {:.1} ms of processor a batch, peak {} MB",
                milliseconds[milliseconds.len() - 1],
                (batch_rows as usize * milliseconds.len()) as f64 / total.as_secs_f64(),
                (cpu_ms() - cpu_before) / milliseconds.len() as f64,
                peak_mb()
            );
        }
    }
}
