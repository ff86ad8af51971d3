//! Log, apply and DuckDB together, fed with messages as a server would send them.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc, Arc,
    },
    time::{Duration, Instant},
};

use millstream_apply::{
    command::{Alignment, Command},
    layout::{Selection, TableOptions},
    status::ApplyStatus,
    Applier,
};
use millstream_core::{
    base::{BaseStore, BaseTable, CopyEncoding},
    log::{EventLog, LogWriter},
    warehouse::{AsOf, Warehouse, WarehouseReader},
    ColumnSchema, Fence, Lsn, OldTuple, PgType, ReplicaIdentity, TableId, TableName, TableSchema, Timestamp,
    Tuple, TupleBuilder, TypeKind, Value, XidSnapshot,
};
use millstream_log::{EmbeddedLog, LogSettings};
use millstream_pgoutput::{
    message::{Begin, Commit, Relation, RelationColumn},
    render, Message,
};
use millstream_warehouse::{DuckDb, DuckDbOptions};

const TABLE: TableId = TableId(7000);
/// Microseconds between the commits of the scripted transactions.
const TICK: i64 = 1_000_000;
const WAIT_MAX: Duration = Duration::from_secs(30);

fn column(attnum: i16, name: &str, kind: TypeKind) -> ColumnSchema {
    let pg_type = PgType { oid: 25, typmod: -1, name: format!("{kind:?}").to_lowercase(), kind };
    ColumnSchema { attnum, name: name.into(), pg_type, not_null: false, missing_value: None }
}

/// `t (id integer primary key, a text, n numeric(6,2))`
fn table() -> TableSchema {
    TableSchema {
        id: TABLE,
        name: TableName::new("public", "t"),
        columns: vec![
            column(1, "id", TypeKind::Int4),
            column(2, "a", TypeKind::Text),
            column(3, "n", TypeKind::Numeric { declared: Some((6, 2)) }),
        ],
        key: Some(vec![0]),
        replica_identity: ReplicaIdentity::Default,
        relfilenode: 1,
        class_xmin: 1,
        storage: Default::default(),
    }
}

fn row(values: &[Option<&str>]) -> Tuple {
    let mut builder = TupleBuilder::new();
    for value in values {
        builder.push(match value {
            None => Value::Null,
            Some("<unchanged>") => Value::Unchanged,
            Some(text) => Value::Text(text.as_bytes()),
        });
    }
    builder.finish()
}

fn insert(values: &[Option<&str>]) -> Message {
    Message::Insert { xid: None, table: TABLE, new: row(values) }
}

fn update(values: &[Option<&str>]) -> Message {
    Message::Update { xid: None, table: TABLE, old: None, new: row(values) }
}

fn delete(id: &str, columns: usize) -> Message {
    let mut values = vec![None; columns];
    values[0] = Some(id);
    Message::Delete { xid: None, table: TABLE, old: OldTuple::Key(row(&values)) }
}

enum Said {
    Row(Message),
    Schema(TableSchema),
}

/// A server of one table, the log it speaks to, and the warehouse behind.
struct Bench {
    log: Arc<EmbeddedLog>,
    writer: Box<dyn LogWriter>,
    lsn: u64,
    dir: tempfile::TempDir,
    running: Option<Running>,
}

struct Running {
    stop: Arc<AtomicBool>,
    commands: mpsc::Sender<Command>,
    status: Arc<ApplyStatus>,
    reader: Box<dyn WarehouseReader>,
    thread: std::thread::JoinHandle<Result<(), String>>,
}

impl Bench {
    fn new(schema: &TableSchema) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = Arc::new(EmbeddedLog::open(LogSettings::new(dir.path().join("log"))).unwrap());
        let base = BaseTable {
            schema: schema.clone(),
            encodings: vec![CopyEncoding::Binary; schema.columns.len()],
            fence: Fence::ConsistentPoint(Lsn(1000)),
            taken_at: Timestamp(0),
            chunks_planned: 0,
            chunks: vec![],
            earlier: vec![],
            origin: None,
        };
        log.create(vec![base]).unwrap();
        let writer = log.writer().unwrap();
        let mut bench = Bench { log, writer, lsn: 1000, dir, running: None };
        bench.transaction(vec![Said::Schema(schema.clone())]);
        bench.start();
        bench
    }

    fn warehouse_path(&self) -> std::path::PathBuf {
        self.dir.path().join("warehouse.duckdb")
    }

    fn start(&mut self) {
        let warehouse = DuckDb::open(&self.warehouse_path(), &DuckDbOptions::default()).unwrap();
        let reader = warehouse.reader().unwrap();
        let selection =
            Selection { target_schema: None, options: Box::new(|_| Some(TableOptions::default())) };
        let log: Arc<dyn EventLog> = self.log.clone();
        let bases: Arc<dyn BaseStore> = self.log.clone();
        let quarantine = self.dir.path().join("quarantine");
        let mut applier =
            Applier::open(Box::new(warehouse), log, bases, selection, "test", &quarantine).unwrap();
        let (commands, received) = mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let status = applier.status();
        let stopped = stop.clone();
        let thread =
            std::thread::spawn(move || applier.run(&received, &stopped).map_err(|error| error.to_string()));
        self.running = Some(Running { stop, commands, status, reader, thread });
    }

    /// Stops cleanly; the error that apply ended with, if it did.
    fn stop(&mut self) -> Result<(), String> {
        let Running { stop, reader, thread, .. } = self.running.take().unwrap();
        stop.store(true, Ordering::Release);
        drop(reader);
        thread.join().unwrap()
    }

    /// Commits a transaction of the given content and makes it durable; returns its commit LSN and id.
    fn transaction(&mut self, content: Vec<Said>) -> (Lsn, u32) {
        let xid = self.lsn as u32;
        let commit_lsn = Lsn(self.lsn + 100);
        let commit_time = Timestamp(self.lsn as i64 / 1000 * TICK);
        let mut say = |lsn: u64, message: &Message| {
            self.writer.append(Lsn(lsn), &message.encode()).unwrap();
        };
        say(self.lsn, &Message::Begin(Begin { final_lsn: commit_lsn, commit_time, xid }));
        for said in content {
            match said {
                Said::Row(message) => self.writer.append(Lsn(self.lsn), &message.encode()).unwrap(),
                Said::Schema(schema) => {
                    let relation = Relation {
                        id: schema.id,
                        name: schema.name.clone(),
                        replica_identity: schema.replica_identity,
                        columns: schema
                            .columns
                            .iter()
                            .enumerate()
                            .map(|(index, column)| RelationColumn {
                                key: schema.key.as_ref().is_some_and(|key| key.contains(&index)),
                                name: column.name.clone(),
                                type_oid: column.pg_type.oid,
                                type_modifier: column.pg_type.typmod,
                            })
                            .collect(),
                    };
                    let message = Message::Relation { xid: None, relation };
                    self.writer.append(Lsn(self.lsn), &message.encode()).unwrap();
                    self.writer.schema(&schema).unwrap();
                }
            }
        }
        let commit = Commit { commit_lsn, end_lsn: Lsn(self.lsn + 200), commit_time };
        self.writer.append(commit_lsn, &Message::Commit(commit).encode()).unwrap();
        self.lsn += 1000;
        self.writer.sync().unwrap();
        (commit_lsn, xid)
    }

    fn rows(&mut self, messages: Vec<Message>) -> (Lsn, u32) {
        self.transaction(messages.into_iter().map(Said::Row).collect())
    }

    fn wait(&mut self, lsn: Lsn) {
        let deadline = Instant::now() + WAIT_MAX;
        let running = self.running.as_ref().unwrap();
        while running.status.get().applied_lsn < lsn {
            assert!(!running.thread.is_finished(), "apply ended: {:?}", self.stop());
            assert!(Instant::now() < deadline, "apply hangs at {}", running.status.get().applied_lsn);
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn query_as_of(&mut self, sql: &str, as_of: Option<AsOf>) -> Vec<String> {
        let result = self.running.as_mut().unwrap().reader.query(sql, as_of, None).unwrap();
        let mut rows = Vec::new();
        for batch in &result.batches {
            for index in 0..batch.num_rows() {
                let mut text = String::new();
                for (number, array) in batch.columns().iter().enumerate() {
                    if number > 0 {
                        text.push('|');
                    }
                    if array.is_null(index) {
                        text.push('~');
                    } else {
                        render::write_text(array, index, &mut text).unwrap();
                    }
                }
                rows.push(text);
            }
        }
        rows
    }

    fn query(&mut self, sql: &str) -> Vec<String> {
        self.query_as_of(sql, None)
    }

    fn current(&mut self) -> Vec<String> {
        self.query("select * from public.t order by id")
    }

    fn ask<T>(&mut self, command: impl FnOnce(mpsc::Sender<T>) -> Command) -> T {
        let (reply, answer) = mpsc::channel();
        self.running.as_ref().unwrap().commands.send(command(reply)).unwrap();
        answer.recv_timeout(WAIT_MAX).unwrap()
    }
}

#[test]
fn versions_close_and_open_with_their_positions() {
    let mut bench = Bench::new(&table());
    let (first, _) = bench
        .rows(vec![insert(&[Some("1"), Some("a"), Some("1.50")]), insert(&[Some("2"), Some("b"), None])]);
    let (second, _) = bench.rows(vec![update(&[Some("1"), Some("A"), Some("2.50")]), delete("2", 3)]);
    bench.wait(second);
    assert_eq!(bench.current(), ["1|A|2.50"]);
    let history = bench.query(
        "select id, a, operation_type, is_current, valid_to = valid_from as empty, _lsn, _seq, _lsn_to, _seq_to
         from public.t_history order by id, _lsn, _seq",
    );
    let (first_lsn, second_lsn) = (first.0, second.0);
    assert_eq!(
        history,
        [
            format!("1|a|INSERT|f|f|{first_lsn}|0|{second_lsn}|0"),
            format!("1|A|UPDATE|t|~|{second_lsn}|0|~|~"),
            format!("2|b|INSERT|f|f|{first_lsn}|1|{second_lsn}|1"),
            format!("2|b|DELETE|f|t|{second_lsn}|1|{second_lsn}|1"),
        ]
    );
    let before = bench.query_as_of("select * from public.t order by id", Some(AsOf::Lsn(first)));
    assert_eq!(before, ["1|a|1.50", "2|b|~"]);
}

#[test]
fn an_unchanged_value_is_kept_from_the_base_and_from_the_batch() {
    let mut bench = Bench::new(&table());
    let (lsn, _) = bench.rows(vec![insert(&[Some("1"), Some("large"), Some("1.00")])]);
    bench.wait(lsn);
    bench.rows(vec![update(&[Some("1"), Some("<unchanged>"), Some("2.00")])]);
    let (lsn, _) = bench.rows(vec![
        update(&[Some("1"), Some("<unchanged>"), Some("3.00")]),
        insert(&[Some("2"), Some("other"), Some("1.00")]),
        update(&[Some("2"), Some("<unchanged>"), Some("9.00")]),
    ]);
    bench.wait(lsn);
    assert_eq!(bench.current(), ["1|large|3.00", "2|other|9.00"]);
    assert_eq!(bench.query("select count(*) from public.t_history where a is null"), ["0"], "in history too");
}

#[test]
fn a_restart_goes_on_where_it_was_and_replays_nothing_twice() {
    let mut bench = Bench::new(&table());
    let (lsn, _) = bench.rows(vec![insert(&[Some("1"), Some("a"), None])]);
    bench.wait(lsn);
    bench.stop().unwrap();
    let (lsn, _) = bench.rows(vec![insert(&[Some("2"), Some("b"), None])]);
    bench.start();
    bench.wait(lsn);
    assert_eq!(bench.current(), ["1|a|~", "2|b|~"]);
    assert_eq!(bench.query("select count(*) from public.t_history"), ["2"]);
}

#[test]
fn rows_before_and_after_a_column_change_of_one_transaction_keep_their_own_schema() {
    let mut bench = Bench::new(&table());
    let (lsn, _) = bench.rows(vec![insert(&[Some("1"), Some("a"), Some("1.00")])]);
    bench.wait(lsn);
    // Column a goes, d comes with a default, in the middle of a transaction.
    let mut changed = table();
    changed.columns.remove(1);
    changed.columns.push(ColumnSchema { missing_value: Some("5".into()), ..column(4, "d", TypeKind::Int4) });
    let (lsn, _) = bench.transaction(vec![
        Said::Row(update(&[Some("1"), Some("A"), Some("2.00")])),
        Said::Row(insert(&[Some("2"), Some("b"), None])),
        Said::Schema(changed),
        Said::Row(insert(&[Some("3"), Some("3.00"), Some("6")])),
        Said::Row(update(&[Some("2"), None, Some("7")])),
    ]);
    bench.wait(lsn);
    assert_eq!(bench.current(), ["1|2.00|5", "2|~|7", "3|3.00|6"]);
    let dropped =
        bench.query("select id, a from public.t_history where a is not null order by id, _lsn, _seq");
    assert_eq!(dropped, ["1|a", "1|A", "2|b"], "what was dropped stays in history");
}

#[test]
fn a_value_that_does_not_fit_widens_its_column_and_nothing_is_bent() {
    let mut bench = Bench::new(&table());
    let (lsn, _) = bench.rows(vec![insert(&[Some("1"), Some("a"), Some("1.50")])]);
    bench.wait(lsn);
    let (lsn, _) = bench.rows(vec![
        update(&[Some("1"), Some("a"), Some("2.50")]),
        insert(&[Some("2"), Some("b"), Some("NaN")]),
    ]);
    bench.wait(lsn);
    assert_eq!(bench.current(), ["1|a|2.50", "2|b|NaN"]);
    let types = bench.query("select distinct typeof(n) from public.t_history");
    assert_eq!(types, ["VARCHAR"]);
    assert_eq!(bench.query("select n from public.t_history order by _lsn, _seq"), ["1.50", "2.50", "NaN"]);
}

#[test]
fn a_transaction_larger_than_a_batch_is_applied_whole_with_schema_changes_in_its_middle() {
    const ROWS: u32 = 250_000;
    let mut bench = Bench::new(&table());
    let (lsn, _) = bench.rows(vec![insert(&[Some("0"), Some("first"), Some("1.00")])]);
    bench.wait(lsn);
    let mut changed = table();
    changed.columns.push(column(4, "d", TypeKind::Int8));
    let mut content = vec![Said::Row(update(&[Some("0"), Some("second"), Some("2.00")]))];
    let id = |number: u32| number.to_string();
    content.extend((1..=ROWS).map(|number| Said::Row(insert(&[Some(&id(number)), Some("x"), None]))));
    content.push(Said::Schema(changed));
    content.extend(
        (1..=ROWS / 2)
            .map(|number| Said::Row(update(&[Some(&id(number)), Some("y"), None, Some(&id(number))]))),
    );
    let (lsn, _) = bench.transaction(content);
    // All or nothing, at every moment.
    let deadline = Instant::now() + WAIT_MAX * 4;
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    while bench.running.as_ref().unwrap().status.get().applied_lsn < lsn {
        assert!(!bench.running.as_ref().unwrap().thread.is_finished(), "apply ended: {:?}", bench.stop());
        assert!(Instant::now() < deadline);
        *counts.entry(bench.query("select count(*) from public.t").remove(0)).or_default() += 1;
    }
    assert!(counts.keys().all(|count| *count == "1" || *count == (ROWS + 1).to_string()), "{counts:?}");
    assert_eq!(
        bench.query(
            "select count(*), count(d), count(*) filter (a = 'y'), count(*) filter (d = id) from public.t"
        ),
        [format!("{}|{}|{}|{}", ROWS + 1, ROWS / 2, ROWS / 2, ROWS / 2)]
    );
    assert_eq!(bench.query("select count(*) from public.t_history"), [(2 + ROWS + ROWS / 2).to_string()]);
}

#[test]
fn columns_that_come_in_different_pieces_of_a_large_transaction_all_stay() {
    const ROWS: u32 = 150_000;
    let mut bench = Bench::new(&table());
    let mut first = table();
    first.columns.push(column(4, "d", TypeKind::Int8));
    let mut second = first.clone();
    second.columns.push(column(5, "e", TypeKind::Int8));
    let id = |number: u32| number.to_string();
    let mut content = vec![Said::Schema(first)];
    content.extend((1..=ROWS).map(|n| Said::Row(insert(&[Some(&id(n)), None, None, Some(&id(n))]))));
    content.push(Said::Schema(second));
    content.extend(
        (ROWS + 1..=ROWS * 2)
            .map(|n| Said::Row(insert(&[Some(&id(n)), None, None, Some(&id(n)), Some("5")]))),
    );
    let (lsn, _) = bench.transaction(content);
    bench.wait(lsn);
    assert_eq!(
        bench.query("select count(*), count(d), count(e), count(*) filter (d = id) from public.t"),
        [format!("{}|{}|{ROWS}|{}", ROWS * 2, ROWS * 2, ROWS * 2)]
    );
}

#[test]
fn equal_rows_without_a_key_end_one_by_one() {
    let mut schema = table();
    schema.key = None;
    schema.replica_identity = ReplicaIdentity::Full;
    let mut bench = Bench::new(&schema);
    let same = [Some("1"), Some("a"), None];
    let gone = || Message::Delete { xid: None, table: TABLE, old: OldTuple::Full(row(&same)) };
    let (lsn, _) = bench.rows(vec![insert(&same), insert(&same)]);
    bench.wait(lsn);
    let (lsn, _) = bench.rows(vec![insert(&same), gone(), gone()]);
    bench.wait(lsn);
    assert_eq!(bench.current(), ["1|a|~"]);
    assert_eq!(
        bench.query("select _lsn from public.t_history where is_current"),
        [lsn.0.to_string()],
        "the oldest ended"
    );
}

#[test]
fn a_truncate_closes_what_was_there_and_what_the_batch_opened() {
    let mut bench = Bench::new(&table());
    let (lsn, _) = bench.rows(vec![insert(&[Some("1"), None, None])]);
    bench.wait(lsn);
    let truncate =
        Message::Truncate { xid: None, tables: vec![TABLE], cascade: false, restart_identity: false };
    let (lsn, _) = bench.rows(vec![
        insert(&[Some("2"), None, None]),
        truncate,
        insert(&[Some("1"), Some("again"), None]),
    ]);
    bench.wait(lsn);
    assert_eq!(bench.current(), ["1|again|~"]);
    let operations =
        bench.query("select operation_type, count(*) from public.t_history group by 1 order by 1");
    assert_eq!(operations, ["INSERT|3", "TRUNCATE|2"]);
}

#[test]
fn apply_stops_exactly_at_a_fence_or_says_that_it_cannot() {
    let mut bench = Bench::new(&table());
    let (lsn, first) = bench.rows(vec![insert(&[Some("1"), None, None])]);
    bench.wait(lsn);
    bench.ask(Command::Pause);
    let (seen, second) = bench.rows(vec![insert(&[Some("2"), None, None])]);
    let (_, third) = bench.rows(vec![insert(&[Some("3"), None, None])]);
    let (last, fourth) = bench.rows(vec![insert(&[Some("4"), None, None])]);
    let fence = |unseen: &[u32]| Fence::Snapshot {
        snapshot: XidSnapshot {
            xmin: u64::from(*unseen.iter().min().unwrap()),
            xmax: u64::from(fourth) + 1,
            in_progress: unseen.iter().map(|&xid| u64::from(xid)).collect(),
        },
        read_after: Lsn(last.0 + 1),
    };
    let align = |bench: &mut Bench, unseen: &[u32]| {
        let fence = fence(unseen);
        bench.ask(|reply| Command::Align(fence, reply)).unwrap()
    };
    assert_eq!(align(&mut bench, &[first]), Alignment::NotAPrefix, "the first is applied already");
    assert_eq!(align(&mut bench, &[third, fourth]), Alignment::At(seen));
    assert_eq!(bench.current().len(), 2);
    assert_eq!(align(&mut bench, &[third]), Alignment::NotAPrefix, "the fourth is seen behind it");
    assert_eq!(bench.current().len(), 2);
    let _ = second;
    bench.running.as_ref().unwrap().commands.send(Command::Resume).unwrap();
    bench.wait(last);
    assert_eq!(bench.current().len(), 4);
}

#[test]
fn a_warehouse_of_another_source_is_refused() {
    let mut bench = Bench::new(&table());
    let (lsn, _) = bench.rows(vec![insert(&[Some("1"), None, None])]);
    bench.wait(lsn);
    bench.stop().unwrap();
    let open = |path: &Path, source: &str| {
        let warehouse = DuckDb::open(path, &DuckDbOptions::default()).unwrap();
        let selection = Selection { target_schema: None, options: Box::new(|_| None) };
        let (log, bases): (Arc<dyn EventLog>, Arc<dyn BaseStore>) = (bench.log.clone(), bench.log.clone());
        let quarantine = bench.dir.path().join("quarantine");
        Applier::open(Box::new(warehouse), log, bases, selection, source, &quarantine).map(|_| ())
    };
    let error = open(&bench.warehouse_path(), "other").unwrap_err();
    assert!(error.to_string().contains("another source: test, not other"), "{error}");
    open(&bench.warehouse_path(), "test").unwrap();
}
