//! What a real server streams, through the log, against what its tables hold: streamed transactions that interleave, savepoints
//! rolled back with columns changed inside, and the server's own idea of when a relation needs saying again.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Stdio},
};

use millstream_core::{
    log::{EventLog, LogWriter},
    ChangeKind, ColumnSchema, Lsn, OldTuple, PgType, TableSchema, Tuple, TypeKind, Value,
};
use millstream_log::{EmbeddedLog, LogSettings};
use millstream_pgoutput::Message;
use millstream_testkit::PgCluster;

use crate::support::*;

/// A session that is told what to do, one statement after another.
struct Session {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Session {
    fn new(cluster: &PgCluster) -> Self {
        let mut child =
            cluster.psql("postgres").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Session { child, input, output }
    }

    /// Runs SQL and waits for it.
    fn run(&mut self, sql: &str) {
        writeln!(self.input, "{sql};\n\\echo done").unwrap();
        let mut line = String::new();
        while line.trim() != "done" {
            line.clear();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "the session ended at {sql}");
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the log's writer is told of a relation message: attribute numbers apart, all that these tests need is in it.
fn schema_of(message: &Message) -> Option<TableSchema> {
    let Message::Relation { relation, .. } = message else {
        return None;
    };
    let columns = relation.columns.iter().enumerate().map(|(index, column)| ColumnSchema {
        attnum: index as i16 + 1,
        name: column.name.clone(),
        pg_type: PgType {
            oid: column.type_oid,
            typmod: column.type_modifier,
            name: String::new(),
            kind: TypeKind::Text,
        },
        not_null: false,
        missing_value: None,
    });
    Some(TableSchema {
        id: relation.id,
        name: relation.name.clone(),
        columns: columns.collect(),
        key: Some(vec![0]),
        replica_identity: relation.replica_identity,
        relfilenode: 0,
        class_xmin: 0,
        storage: Default::default(),
    })
}

/// Takes what the slot has, as the server would stream it to a new connection. Returns how many messages of each kind came.
fn drain(cluster: &PgCluster, writer: &mut dyn LogWriter) -> BTreeMap<u8, usize> {
    // Each call decodes from where the slot stands: what was open at the last one is streamed again.
    writer.reset().unwrap();
    let sql = "SELECT lsn, encode(data, 'hex') FROM pg_logical_slot_get_binary_changes('log', NULL, NULL,
               'proto_version', '2', 'publication_names', 'log', 'streaming', 'on')";
    let mut kinds = BTreeMap::new();
    let mut in_stream = false;
    for line in cluster.execute(sql).unwrap().lines() {
        let (lsn, hex) = line.split_once('|').unwrap();
        let bytes: Vec<u8> = (0..hex.len() / 2)
            .map(|index| u8::from_str_radix(&hex[2 * index..2 * index + 2], 16).unwrap())
            .collect();
        *kinds.entry(bytes[0]).or_default() += 1;
        writer.append(lsn.parse().unwrap(), &bytes).unwrap();
        match bytes[0] {
            b'S' => in_stream = true,
            b'E' => in_stream = false,
            b'R' => {
                let message = Message::decode(bytes.into(), in_stream).unwrap();
                writer.schema(&schema_of(&message).unwrap()).unwrap();
            }
            _ => {}
        }
    }
    kinds
}

type Rows = BTreeMap<String, Vec<(String, Option<String>)>>;

/// Applies the log to nothing: rows by table and key, each under the names that its columns had.
fn replay(log: &EmbeddedLog) -> BTreeMap<String, Rows> {
    let named = |table: &TableSchema, tuple: &Tuple| -> Vec<(String, Option<String>)> {
        assert_eq!(table.columns.len(), tuple.len(), "a row of {} under another schema", table.name);
        let value = |value: Value| match value {
            Value::Text(text) => Some(String::from_utf8(text.to_vec()).unwrap()),
            _ => None,
        };
        table.columns.iter().map(|column| column.name.clone()).zip(tuple.values().map(value)).collect()
    };
    let key = |row: &[(String, Option<String>)]| row[0].1.clone().unwrap();
    let mut tables: BTreeMap<String, Rows> = BTreeMap::new();
    for change in read_after(log, 0).into_iter().flat_map(|transaction| transaction.changes) {
        match change.kind {
            ChangeKind::Insert { table, new } | ChangeKind::Update { table, old: None, new } => {
                let row = named(&table, &new);
                tables.entry(table.name.to_string()).or_default().insert(key(&row), row);
            }
            ChangeKind::Delete { table, old: OldTuple::Key(old) } => {
                let row = named(&table, &old);
                assert!(tables.entry(table.name.to_string()).or_default().remove(&key(&row)).is_some());
            }
            ChangeKind::Schema { .. } => {}
            kind => panic!("not part of the workload: {kind:?}"),
        }
    }
    tables
}

#[test]
fn what_a_server_streams_is_what_its_tables_hold() {
    let cluster = PgCluster::builder().setting("logical_decoding_work_mem", "64kB").start().unwrap();
    cluster
        .execute(
            "CREATE TABLE a (id int PRIMARY KEY, text text);
             CREATE TABLE b (id int PRIMARY KEY, text text);
             CREATE PUBLICATION log FOR ALL TABLES;
             SELECT pg_create_logical_replication_slot('log', 'pgoutput')",
        )
        .unwrap();
    let dir = scratch();
    let settings = LogSettings { segment_bytes: 100_000, transaction_bytes: 50_000, ..settings(dir.path()) };
    let log = EmbeddedLog::open(settings).unwrap();
    let mut writer = log.writer().unwrap();

    let fill = |table: &str, from: u32| {
        format!("INSERT INTO {table} SELECT n, 'row ' || n || repeat('x', 100) FROM generate_series({from}, {from} + 1999) n")
    };
    let (mut one, mut two) = (Session::new(&cluster), Session::new(&cluster));
    one.run(&format!("BEGIN; {}", fill("a", 0)));
    two.run(&format!("BEGIN; {}", fill("b", 0)));
    // A column comes and goes with its savepoint, rows and all; then another one stays.
    one.run(&format!(
        "SAVEPOINT s; ALTER TABLE a ADD gone text; {}; UPDATE a SET gone = 'g'",
        fill("a", 10_000)
    ));
    let mut kinds = drain(&cluster, &mut *writer);
    one.run(&format!("ROLLBACK TO s; {}", fill("a", 20_000)));
    two.run(&format!("SAVEPOINT t; {}; SAVEPOINT u; {}", fill("b", 10_000), fill("b", 20_000)));
    cluster.execute("CREATE TABLE c (id int PRIMARY KEY); INSERT INTO c VALUES (1)").unwrap();
    one.run(&format!("SAVEPOINT v; ALTER TABLE a ADD kept text DEFAULT 'k'; {}", fill("a", 30_000)));
    two.run(&format!("ROLLBACK TO t; DELETE FROM b WHERE id % 2 = 0; {}", fill("b", 30_000)));
    drain(&cluster, &mut *writer)
        .into_iter()
        .for_each(|(kind, count)| *kinds.entry(kind).or_default() += count);
    one.run("COMMIT");
    two.run("COMMIT");
    // Small transactions after the streamed ones, on the same tables.
    cluster
        .execute("INSERT INTO a VALUES (50000, 'after', 'x'); INSERT INTO b VALUES (50000, 'after')")
        .unwrap();
    // A large one that is rolled back whole.
    one.run(&format!("BEGIN; {}; ROLLBACK", fill("b", 40_000)));
    drain(&cluster, &mut *writer)
        .into_iter()
        .for_each(|(kind, count)| *kinds.entry(kind).or_default() += count);
    writer.sync().unwrap();

    for kind in *b"SEcABCRID" {
        assert!(kinds.contains_key(&kind), "the server sent no `{}`: {kinds:?}", char::from(kind));
    }
    drop(writer);
    let tables = replay(&log);
    for (table, order) in [("a", "id, text, kept"), ("b", "id, text"), ("c", "id")] {
        let sql = format!("SELECT {order} FROM {table} ORDER BY id::text COLLATE \"C\"");
        let expected: Vec<String> = cluster.execute(&sql).unwrap().lines().map(str::to_owned).collect();
        let rows = &tables[&format!("public.{table}")];
        // A row older than a column with a default is not sent again: what it holds there is the schema's business.
        let seen: Vec<String> = rows
            .values()
            .map(|row| {
                let value = |name: &str| {
                    let value = row.iter().find(|(column, _)| column == name);
                    value.map_or(Some("k".to_owned()), |(_, value)| value.clone()).unwrap_or_default()
                };
                order.split(", ").map(value).collect::<Vec<_>>().join("|")
            })
            .collect();
        assert_eq!(seen.len(), expected.len(), "rows of {table}");
        assert!(seen == expected, "rows of {table} differ");
    }
    assert!(log.stats().last_position > Some(Lsn(0)));
}
