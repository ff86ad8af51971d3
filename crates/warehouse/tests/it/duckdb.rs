//! DuckDB passes the suite; and what is particular to it: the file, its lock, its write-ahead log, its memory.

use std::{
    cell::Cell,
    env, fs,
    io::Read,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use arrow_array::{
    types, ArrayRef, BooleanArray, Float64Array, Int32Array, ListArray, RecordBatch, StringArray,
};

use millstream_core::{
    warehouse::{AsOf, Compaction, Progress, RowGroup, TableCounts, Warehouse, WarehouseReader},
    ColumnType, Diagnostic, Exit, Lsn,
};
use millstream_warehouse::{DuckDb, DuckDbOptions, WarehouseError};

use crate::conformance::{self, fixture::*};

fn options() -> DuckDbOptions {
    DuckDbOptions { threads: Some(2), ..DuckDbOptions::default() }
}

fn open_file(path: &Path) -> DuckDb {
    DuckDb::open(path, &options()).unwrap()
}

#[test]
fn duckdb_conforms() {
    let directory = tempfile::tempdir().unwrap();
    let made = Cell::new(0);
    conformance::run(|| -> Box<dyn Warehouse> {
        made.set(made.get() + 1);
        Box::new(open_file(&directory.path().join(format!("{}.duckdb", made.get()))))
    });
}

#[test]
fn a_batch_of_more_than_a_row_group_leaves_whole_ones_and_all_threads() {
    const ROWS: i32 = 122_880 + 1_000;
    let directory = tempfile::tempdir().unwrap();
    let mut warehouse = open_file(&directory.path().join("w.duckdb"));
    let state = items();
    create(&mut warehouse, &state);
    let mut transaction = warehouse.begin().unwrap();
    for batch in 0..2 {
        let rows: Vec<_> =
            (0..ROWS).map(|id| ((batch * ROWS + id, Some("row")), "SNAPSHOT", 10, 0)).collect();
        let rows = RowGroup { open: Some(open(&rows)), ..RowGroup::default() };
        transaction.write(&state.layout, &rows).unwrap();
    }
    transaction.commit().unwrap();
    let groups = "SELECT count(*) FROM (SELECT row_group_id, sum(count) AS rows FROM pragma_storage_info('_millstream.t16384_current') \
                  WHERE column_name = 'c1' AND segment_type <> 'VALIDITY' GROUP BY 1) WHERE rows = 122880";
    assert_eq!(query(&warehouse, groups), ["2"]);
    assert_eq!(query(&warehouse, "SELECT count(*), count(DISTINCT id) FROM shop.items"), ["247760|247760"]);
    assert_eq!(query(&warehouse, "SELECT current_setting('threads')"), ["2"]);
    // One that is rolled back gives them back too.
    let mut transaction = warehouse.begin().unwrap();
    let rows: Vec<_> = (0..ROWS).map(|id| ((id, Some("row")), "SNAPSHOT", 10, 0)).collect();
    transaction.write(&state.layout, &RowGroup { open: Some(open(&rows)), ..RowGroup::default() }).unwrap();
    drop(transaction);
    assert_eq!(query(&warehouse, "SELECT current_setting('threads')"), ["2"]);
}

#[test]
fn compaction_waits_for_the_checkpoint_that_is_to_do_it() {
    const BATCHES: u64 = 5;
    let directory = tempfile::tempdir().unwrap();
    let mut warehouse = open_file(&directory.path().join("w.duckdb"));
    let state = items();
    create(&mut warehouse, &state);
    let groups = "SELECT count(DISTINCT row_group_id) FROM pragma_storage_info('_millstream.t16384_current')";
    for batch in 0..BATCHES {
        let rows = open(&[((batch as i32, Some("row")), "INSERT", 11 + batch, 0)]);
        write(&mut warehouse, &state.layout, RowGroup { open: Some(rows), ..RowGroup::default() });
        let compaction = if batch + 1 < BATCHES { Compaction::Later } else { Compaction::Now };
        warehouse.checkpoint(compaction).unwrap();
        let left = if compaction == Compaction::Later { batch + 1 } else { 1 };
        assert_eq!(query(&warehouse, groups), [left.to_string()], "after batch {batch}");
    }
    let tasks = "SELECT current_setting('max_vacuum_tasks') > 0";
    warehouse.checkpoint(Compaction::Later).unwrap();
    assert_eq!(query(&warehouse, tasks), ["true"], "large commits checkpoint and compact by themselves");
}

/// Columns of a table that the least memory limit has no room for.
const WIDE: i16 = 800;

fn wide_rows(rows: std::ops::Range<i32>, text: &'static str, more: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let count = rows.len();
    let ids: ArrayRef = Arc::new(Int32Array::from_iter_values(rows));
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values(std::iter::repeat_n(text, count)));
    let names: Vec<_> = (1..=WIDE).map(|attnum| format!("c{attnum}")).collect();
    let columns = names
        .iter()
        .enumerate()
        .map(|(index, name)| (name.as_str(), if index % 2 == 0 { ids.clone() } else { texts.clone() }));
    batch(columns.chain(more).collect())
}

#[test]
fn a_table_of_hundreds_of_columns_is_changed_and_compared_once_it_was_written() {
    const ROWS: i32 = 100;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("w.duckdb");
    let columns = (1..=WIDE).map(|attnum| {
        let of = if attnum % 2 == 1 { ColumnType::Integer } else { ColumnType::Text };
        column(attnum, &format!("v{attnum}"), of)
    });
    let state = table(16_390, "wide", columns.collect(), Some(vec![1]));
    let options = DuckDbOptions { memory_limit_bytes_max: 1 << 30, ..options() };
    let open_file = |path| DuckDb::open(path, &options).unwrap();
    let mut warehouse = open_file(&path);
    create(&mut warehouse, &state);
    let opening = |lsn: u64, rows: std::ops::Range<i32>| {
        let count = rows.len();
        vec![
            ("valid_from", times(std::iter::repeat_n(lsn, count))),
            (
                "operation_type",
                Arc::new(StringArray::from_iter_values(std::iter::repeat_n("INSERT", count))) as ArrayRef,
            ),
            ("_lsn", numbers(std::iter::repeat_n(lsn, count))),
            ("_seq", numbers(0..count as u64)),
        ]
    };
    let rows = wide_rows(0..ROWS, "first", opening(11, 0..ROWS));
    write(&mut warehouse, &state.layout, RowGroup { open: Some(rows), ..RowGroup::default() });
    warehouse.checkpoint(Compaction::Later).unwrap();
    for lsn in 12..15 {
        let keys = batch(vec![("c1", Arc::new(Int32Array::from_iter_values(0..ROWS / 2)) as ArrayRef)]);
        let closing = batch(vec![
            ("c1", keys.column(0).clone()),
            ("valid_to", times(std::iter::repeat_n(lsn, ROWS as usize / 2))),
            ("_lsn_to", numbers(std::iter::repeat_n(lsn, ROWS as usize / 2))),
            ("_seq_to", numbers(0..ROWS as u64 / 2)),
            ("deleted", Arc::new(BooleanArray::from(vec![false; ROWS as usize / 2])) as ArrayRef),
        ]);
        let rows = wide_rows(0..ROWS / 2, "second", opening(lsn, 0..ROWS / 2));
        write(
            &mut warehouse,
            &state.layout,
            RowGroup { close: Some(closing), open: Some(rows), ..RowGroup::default() },
        );
        warehouse.checkpoint(Compaction::Later).unwrap();
    }
    drop(warehouse);
    let warehouse = open_file(&path);
    let mut reader = warehouse.reader().unwrap();
    reader.begin().unwrap();
    reader.stage(&state.layout, &wide_rows(0..ROWS / 2, "second", vec![])).unwrap();
    reader.stage(&state.layout, &wide_rows(ROWS / 2..ROWS, "first", vec![])).unwrap();
    let comparison = reader.compare_staged(&state.layout, 2).unwrap();
    assert!(comparison.is_equal(), "{comparison:?}");
    reader.stage(&state.layout, &wide_rows(0..ROWS, "first", vec![])).unwrap();
    let comparison = reader.compare_staged(&state.layout, 2).unwrap();
    assert_eq!(comparison.different.count, 50);
    assert!(comparison.different.keys[0].starts_with("v1=0 (v2, v4, v6,"), "{:?}", comparison.different.keys);
}

#[test]
fn zeros_are_equal_whatever_sign_the_file_keeps() {
    let directory = tempfile::tempdir().unwrap();
    let mut warehouse = open_file(&directory.path().join("w.duckdb"));
    let list = ColumnType::List(Box::new(ColumnType::Real));
    let columns = vec![column(1, "ratio", ColumnType::Double), column(2, "ratios", list)];
    let state = table(16_391, "ratios", columns, None);
    create(&mut warehouse, &state);
    let values = |zeros: &[f64], more: Vec<(&str, ArrayRef)>| {
        let lists = zeros.iter().map(|zero| Some(vec![Some(*zero as f32), None]));
        let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<types::Float32Type, _, _>(lists));
        let numbers: ArrayRef = Arc::new(Float64Array::from(zeros.to_vec()));
        batch([("c1", numbers), ("c2", lists)].into_iter().chain(more).collect())
    };
    let opened = values(
        &[-0.0, 0.0, -0.0, 0.0],
        vec![
            ("valid_from", times([11; 4].into_iter())),
            ("operation_type", Arc::new(StringArray::from(vec!["INSERT"; 4])) as ArrayRef),
            ("_lsn", numbers([11; 4].into_iter())),
            ("_seq", numbers(0..4)),
        ],
    );
    write(&mut warehouse, &state.layout, RowGroup { open: Some(opened), ..RowGroup::default() });
    warehouse.checkpoint(Compaction::Now).unwrap();
    let mut reader = warehouse.reader().unwrap();
    reader.stage(&state.layout, &values(&[0.0, -0.0, 0.0, -0.0], vec![])).unwrap();
    let comparison = reader.compare_staged(&state.layout, 5).unwrap();
    assert!(comparison.is_equal(), "{comparison:?}");
    let mut transaction = warehouse.begin().unwrap();
    assert_eq!(transaction.count_equal(&state.layout, &values(&[0.0, -0.0], vec![])).unwrap(), [4, 4]);
    drop(transaction);
    let closing = values(
        &[0.0, 0.0, 0.0, -0.0],
        vec![
            ("valid_to", times([12; 4].into_iter())),
            ("_lsn_to", numbers([12; 4].into_iter())),
            ("_seq_to", numbers(0..4)),
            ("deleted", Arc::new(BooleanArray::from(vec![false; 4])) as ArrayRef),
        ],
    );
    write(&mut warehouse, &state.layout, RowGroup { close: Some(closing), ..RowGroup::default() });
    assert_eq!(query(&warehouse, "SELECT count(*) FROM shop.ratios"), ["0"]);
}

/// Names the file on which the test binary, started again, plays the other process.
const OTHER_PROCESS: &str = "MILLSTREAM_TEST_WAREHOUSE";

/// Commits LSN 11, checkpoints, commits LSN 12, says so, and lives until its input ends; then it dies without closing the file.
#[test]
fn plays_the_other_process_when_asked() {
    let Some(path) = env::var_os(OTHER_PROCESS) else { return };
    let mut warehouse = open_file(Path::new(&path));
    let state = items();
    create(&mut warehouse, &state);
    for lsn in [11, 12] {
        let mut transaction = warehouse.begin().unwrap();
        let rows = open(&[((lsn as i32, Some("row")), "INSERT", lsn, 0)]);
        transaction.write(&state.layout, &RowGroup { open: Some(rows), ..RowGroup::default() }).unwrap();
        let progress = Progress { source: "s".into(), applied_lsn: Lsn(lsn), applied_time: time(lsn) };
        transaction.set_progress(&progress).unwrap();
        transaction.commit().unwrap();
        if lsn == 11 {
            assert_eq!(warehouse.checkpoint(Compaction::Now).unwrap(), Lsn(11));
        }
    }
    println!("ready");
    let mut nothing = String::new();
    std::io::stdin().read_to_string(&mut nothing).unwrap();
    std::process::abort();
}

fn other_process(path: &Path) -> Child {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "duckdb::plays_the_other_process_when_asked", "--nocapture"])
        .env(OTHER_PROCESS, path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut said = Vec::new();
    let stdout = child.stdout.as_mut().unwrap();
    while !said.windows(5).any(|window| window == b"ready") {
        let mut byte = [0];
        assert_eq!(stdout.read(&mut byte).unwrap(), 1, "the other process ended early");
        said.push(byte[0]);
    }
    child
}

/// Leaves a file with a checkpoint at LSN 11 and a write-ahead log up to LSN 12.
fn left_by_a_crash(path: &Path) {
    let mut child = other_process(path);
    drop(child.stdin.take());
    child.wait().unwrap();
}

#[test]
fn a_file_in_use_is_refused_with_the_other_process_id() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("w.duckdb");
    let mut child = other_process(&path);
    let error = DuckDb::open(&path, &options()).err().unwrap();
    assert!(matches!(&error, WarehouseError::Locked { pid, .. } if *pid == Some(child.id())), "{error:?}");
    assert_eq!(error.exit(), Exit::Protected);
    drop(child.stdin.take());
    child.wait().unwrap();
    assert_eq!(open_file(&path).progress().unwrap().applied_lsn, Lsn(12), "nothing committed is lost");
}

#[test]
fn a_damaged_write_ahead_log_is_told_from_a_damaged_file_and_moved_aside() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("w.duckdb");
    left_by_a_crash(&path);
    let wal = directory.path().join("w.duckdb.wal");
    let mut bytes = fs::read(&wal).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(&wal, &bytes).unwrap();
    let error = DuckDb::open(&path, &options()).err().unwrap();
    assert!(matches!(&error, WarehouseError::WalDamaged { .. }), "{error:?}");
    assert_eq!(error.code(), "MS5002");
    let (mut warehouse, aside) = DuckDb::open_without_wal(&path, &options()).unwrap();
    assert_eq!(warehouse.progress().unwrap().applied_lsn, Lsn(11), "as of the last checkpoint");
    assert_eq!(warehouse.tables().unwrap(), [items()]);
    assert_eq!(fs::read(&aside).unwrap(), bytes);
}

#[test]
fn a_write_ahead_log_cut_short_opens_at_an_earlier_commit() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("w.duckdb");
    left_by_a_crash(&path);
    let wal = directory.path().join("w.duckdb.wal");
    let bytes = fs::read(&wal).unwrap();
    fs::write(&wal, &bytes[..bytes.len() - 5]).unwrap();
    let mut warehouse = open_file(&path);
    assert_eq!(warehouse.progress().unwrap().applied_lsn, Lsn(11));
    assert_eq!(query(&warehouse, "SELECT count(*) FROM shop.items"), ["1"], "rows and progress agree");
}

#[test]
fn a_file_that_is_no_warehouse_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("w.duckdb");
    fs::write(&path, "this is not a database, and long enough to be looked at\n".repeat(500)).unwrap();
    let text = fs::read(&path).unwrap();
    let error = DuckDb::open(&path, &options()).err().unwrap();
    assert_eq!((error.code(), error.exit()), ("MS5006", Exit::Protected), "{error:?}");
    assert_eq!(fs::read(&path).unwrap(), text, "it is left as it is");
    let error = DuckDb::open(&directory.path().join("missing/w.duckdb"), &options()).err().unwrap();
    assert_eq!(error.code(), "MS5005", "{error:?}");
    let error = DuckDb::open(directory.path(), &options()).err().unwrap();
    assert_eq!(error.code(), "MS5005", "{error:?}");
}

#[test]
fn a_damaged_file_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("w.duckdb");
    left_by_a_crash(&path);
    fs::remove_file(directory.path().join("w.duckdb.wal")).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    // The two database headers, of which the newer one counts.
    for byte in &mut bytes[4096..3 * 4096] {
        *byte ^= 0xFF;
    }
    fs::write(&path, &bytes).unwrap();
    let error = DuckDb::open(&path, &options()).err().unwrap();
    assert_eq!(error.code(), "MS5003", "{error:?}");
}

/// Bytes flipped in a block of data show only when it is read.
#[test]
fn a_file_that_is_damaged_in_the_middle_is_told_from_a_disk_that_is_full() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("w.duckdb");
    left_by_a_crash(&path);
    drop(open_file(&path));
    let whole = fs::read(&path).unwrap();
    // The three header blocks of 4 KiB, then blocks of 256 KiB.
    let blocks = (12_288..whole.len()).step_by(262_144);
    let mut told = 0;
    for block in blocks {
        let mut bytes = whole.clone();
        bytes[block + 100] ^= 0xFF;
        fs::write(&path, &bytes).unwrap();
        let found = match DuckDb::open(&path, &options()) {
            Err(error) => Some((error.code(), error.exit())),
            Ok(warehouse) => {
                let mut reader = warehouse.reader().unwrap();
                let read = reader.query("SELECT * FROM shop.items_history", None, None);
                read.err().map(|error| (error.code(), error.exit()))
            }
        };
        if let Some(found) = found {
            assert_eq!(found, ("MS5003", Exit::Protected), "block at {block}");
            told += 1;
        }
    }
    assert!(told > 0, "no block was read");
}

#[test]
fn a_file_keeps_the_first_project_that_claims_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("w.duckdb");
    open_file(&path).claim("first").unwrap();
    let warehouse = open_file(&path);
    warehouse.claim("second").unwrap();
    assert_eq!(warehouse.owner().unwrap().as_deref(), Some("first"));
}

#[test]
fn explaining_with_execution_writes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut warehouse = open_file(&directory.path().join("w.duckdb"));
    create(&mut warehouse, &items());
    let mut reader = warehouse.duck_reader().unwrap();
    let sneaky = "EXPLAIN ANALYZE INSERT INTO _millstream.progress VALUES ('x', 1, 1)";
    assert!(reader.query(sneaky, None, None).is_err());
    assert_eq!(warehouse.progress().unwrap(), Progress::default());
    assert!(reader.query("EXPLAIN SELECT 1", None, None).is_ok());
}

#[test]
fn a_running_query_is_interrupted_and_the_reader_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let warehouse = open_file(&directory.path().join("w.duckdb"));
    let mut reader = warehouse.duck_reader().unwrap();
    let interrupt = reader.interrupter();
    let interrupting = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(300));
        interrupt();
    });
    let endless =
        "SELECT count(*) FROM range(1000000000000) AS a(x), range(1000000) AS b(y) WHERE x % 7 = y % 5";
    let error = reader.query(endless, None, None).unwrap_err();
    assert_eq!(error.code(), "MS5304", "{error}");
    interrupting.join().unwrap();
    assert_eq!(rows_of(&mut reader, "SELECT 7", None), ["7"]);
}

#[test]
fn a_reader_that_ended_interrupts_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let warehouse = open_file(&directory.path().join("w.duckdb"));
    let mut first = warehouse.duck_reader().unwrap();
    assert_eq!(rows_of(&mut first, "SELECT 7", None), ["7"]);
    let interrupt = first.interrupter();
    drop(first);
    // The next reader has the first one's connection.
    let mut next = warehouse.duck_reader().unwrap();
    let interrupting = std::thread::spawn(move || {
        for _ in 0..100 {
            std::thread::sleep(std::time::Duration::from_millis(2));
            interrupt();
        }
    });
    let long = "SELECT count(*) FROM range(60000000) AS a(x) WHERE x % 7 = 0";
    while !interrupting.is_finished() {
        assert_eq!(rows_of(&mut next, long, None), ["8571429"]);
    }
    interrupting.join().unwrap();
}

#[test]
fn a_reader_leaves_the_next_one_nothing_but_what_it_prepared() {
    let directory = tempfile::tempdir().unwrap();
    let mut warehouse = open_file(&directory.path().join("w.duckdb"));
    let state = items();
    create(&mut warehouse, &state);
    let rows = open(&[((5, Some("row")), "INSERT", 20, 0)]);
    write(&mut warehouse, &state.layout, RowGroup { open: Some(rows), ..RowGroup::default() });
    let count = "SELECT count(*) FROM shop.items";
    for round in 0..3 {
        let reader = || warehouse.duck_reader().unwrap();
        assert_eq!(rows_of(&mut reader(), count, Some(AsOf::Lsn(Lsn(15)))), ["0"], "round {round}");
        assert_eq!(rows_of(&mut reader(), count, None), ["1"], "round {round}");
        // Names without a schema are looked for anew each time; those of a failed query, too.
        assert_eq!(rows_of(&mut reader(), "SELECT count(*) FROM items", None), ["1"]);
        assert!(reader().query("SELECT nothing FROM items", None, None).is_err());
        assert_eq!(rows_of(&mut reader(), "SELECT current_setting('search_path')", None), [""]);
        let mut left_open = reader();
        left_open.begin().unwrap();
        drop(left_open);
        reader().begin().unwrap();
    }
}

#[test]
fn reading_the_present_plans_no_history() {
    let directory = tempfile::tempdir().unwrap();
    let mut warehouse = open_file(&directory.path().join("w.duckdb"));
    let state = items();
    create(&mut warehouse, &state);
    let rows = open(&[((5, Some("row")), "INSERT", 11, 0)]);
    let ending = closed(&[((5, Some("row")), "INSERT", (11, 0), (30, 0))]);
    let rows = RowGroup { close: None, closed: Some(ending), open: Some(rows) };
    write(&mut warehouse, &state.layout, rows);
    let plan =
        |as_of| query_as_of(&warehouse, "EXPLAIN SELECT * FROM shop.items WHERE id = 5", as_of).join("\n");
    let present = plan(None);
    assert_eq!(present.matches("SEQ_SCAN").count(), 1, "{present}");
    assert!(!present.contains("closed") && !present.contains("valid_from"), "{present}");
    let past = plan(Some(AsOf::Lsn(Lsn(20))));
    assert!(past.contains("t16384_closed"), "{past}");
}

#[test]
fn a_checkpoint_covers_what_was_committed_even_beside_an_open_reader() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("w.duckdb");
    let mut warehouse = open_file(&path);
    let state = items();
    create(&mut warehouse, &state);
    warehouse.checkpoint(Compaction::Now).unwrap();
    let mut reader = warehouse.duck_reader().unwrap();
    reader.begin().unwrap();
    for lsn in 11..20 {
        let mut transaction = warehouse.begin().unwrap();
        let rows = RowGroup {
            close: (lsn > 11).then(|| close(&[(1, lsn, 0, false)])),
            closed: None,
            open: Some(open(&[((1, Some("row")), "UPDATE", lsn, 0)])),
        };
        transaction.write(&state.layout, &rows).unwrap();
        let progress = Progress { source: "s".into(), applied_lsn: Lsn(lsn), applied_time: time(lsn) };
        transaction.set_progress(&progress).unwrap();
        transaction.commit().unwrap();
    }
    assert_eq!(
        warehouse.checkpoint(Compaction::Now).unwrap(),
        Lsn(19),
        "no UPDATE and no DDL: a reader blocks nothing"
    );
    assert_eq!(
        reader.counts(&state.layout).unwrap(),
        TableCounts::default(),
        "which still reads its own state"
    );
    reader.end().unwrap();
    assert_eq!(reader.counts(&state.layout).unwrap(), TableCounts { rows: 1, history_rows: 9 });
}

#[test]
fn a_reader_that_asks_again_sees_rows_of_values_that_were_not_there_before() {
    let directory = tempfile::tempdir().unwrap();
    let mut warehouse = DuckDb::open(&directory.path().join("w.duckdb"), &DuckDbOptions::default()).unwrap();
    let state = items();
    create(&mut warehouse, &state);
    let some = |from: i32, to: i32, lsn: u64| {
        let rows: Vec<_> = (from..to).map(|id| ((id, Some("x")), "INSERT", lsn, id as u64)).collect();
        RowGroup { open: Some(open(&rows)), ..RowGroup::default() }
    };
    write(&mut warehouse, &state.layout, some(0, 100, 20));
    let asked = [
        ("SELECT count(*)::INTEGER FROM shop.items WHERE id = 200", ["0", "1"]),
        ("SELECT count(*)::INTEGER FROM shop.items a JOIN shop.items b ON a.id = b.id + 1", ["99", "299"]),
        ("SELECT count(*)::INTEGER FROM (SELECT id FROM shop.items GROUP BY id)", ["100", "300"]),
    ];
    for (sql, expected) in asked {
        assert_eq!(query(&warehouse, sql), [expected[0]], "{sql}");
    }
    write(&mut warehouse, &state.layout, some(100, 300, 30));
    for (sql, expected) in asked {
        assert_eq!(query(&warehouse, sql), [expected[1]], "{sql}");
    }
}
