//! A warehouse with tables of every type, history and a model, served to PostgreSQL clients.

use std::{net::SocketAddr, process::Command, sync::Arc, time::Duration};

use arrow_array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray, UInt64Array};
use millstream_api::{
    access::Access,
    answer::Interrupt,
    host::{Applied, Changes, Dashboards, Endpoints, Host, Model, Samples, SavedQueries, Traced},
    postgres::{self, catalog::Contents, Config, Server},
};
use millstream_core::{
    log::Result,
    warehouse::{
        HistoryNames, LayoutColumn, Moment, Progress, RowGroup, TableLayout, TableState, Warehouse,
        WarehouseReader,
    },
    ColumnType, Lsn, Maintainer, Position, TableId, TableName, Timestamp, TypeKind,
};
use millstream_pgoutput::{types, ColumnBuilder};
use millstream_warehouse::{DuckDb, DuckDbOptions, DuckHandle, InMemory, ModelView};

/// What the fixture's project is called, and so the database.
pub(crate) const PROJECT: &str = "shop";

/// The time that belongs to an LSN in these tests: one second per byte since 2026-01-01.
fn time(lsn: u64) -> Timestamp {
    Timestamp(1_767_225_600_000_000 + lsn as i64 * 1_000_000)
}

fn moment(lsn: u64) -> Moment {
    Moment { time: time(lsn), position: Position { commit_lsn: Lsn(lsn), ordinal: 0 } }
}

/// A column: name, the source's name of its type, the kind.
type ColumnSpec = (&'static str, &'static str, TypeKind);

fn table(id: u32, schema: &str, name: &str, columns: &[ColumnSpec], key: &[i16]) -> TableState {
    let column = |(index, (name, source_type, kind)): (usize, &ColumnSpec)| LayoutColumn {
        attnum: index as i16 + 1,
        name: (*name).into(),
        column_type: types::column_type_of(kind),
        source_type: (*source_type).into(),
        live: true,
    };
    TableState {
        layout: TableLayout {
            id: TableId(id),
            source: TableName::new("public", name),
            target: TableName::new(schema, name),
            columns: columns.iter().enumerate().map(column).collect(),
            key: (!key.is_empty()).then(|| key.to_vec()),
            history: true,
            history_names: HistoryNames::default(),
        },
        schema_json: "{}".into(),
        phase_json: "\"live\"".into(),
        history_since: Some(moment(10)),
        uncertain: Vec::new(),
        changes: Vec::new(),
    }
}

fn numeric(precision: u16, scale: i16) -> TypeKind {
    TypeKind::Numeric { declared: Some((precision, scale)) }
}

fn orders() -> Vec<ColumnSpec> {
    vec![
        ("id", "integer", TypeKind::Int4),
        ("customer", "character varying(40)", TypeKind::Text),
        ("amount", "numeric(12,2)", numeric(12, 2)),
        ("placed", "timestamp with time zone", TypeKind::TimestampTz),
        ("paid", "boolean", TypeKind::Bool),
    ]
}

fn list(kind: TypeKind) -> TypeKind {
    TypeKind::Array(Box::new(kind))
}

/// One column of each type, and a value of it as PostgreSQL prints it.
fn everything() -> Vec<(ColumnSpec, &'static str)> {
    vec![
        (("b", "boolean", TypeKind::Bool), "t"),
        (("i2", "smallint", TypeKind::Int2), "-32768"),
        (("i4", "integer", TypeKind::Int4), "2147483647"),
        (("i8", "bigint", TypeKind::Int8), "9223372036854775807"),
        (("o", "oid", TypeKind::Oid), "4294967295"),
        (("f4", "real", TypeKind::Float4), "1.5"),
        (("f8", "double precision", TypeKind::Float8), "0.1"),
        (("n", "numeric(12,2)", numeric(12, 2)), "-1234567.80"),
        (("t", "text", TypeKind::Text), "grüß \"Gott\""),
        (("j", "json", TypeKind::Json), "{\"a\": [1, 2.50]}"),
        (("by", "bytea", TypeKind::Bytea), "\\x00ff"),
        (("d", "date", TypeKind::Date), "2024-02-29"),
        (("tm", "time without time zone", TypeKind::Time), "23:59:59.5"),
        (("ts", "timestamp without time zone", TypeKind::Timestamp), "2024-01-02 03:04:05.678901"),
        (("tz", "timestamp with time zone", TypeKind::TimestampTz), "2024-01-02 03:04:05+00"),
        (("iv", "interval", TypeKind::Interval), "1 year 2 mons -3 days +04:05:06.7"),
        (("u", "uuid", TypeKind::Uuid), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        (("ia", "integer[]", list(TypeKind::Int4)), "{1,NULL,3}"),
        (("ta", "text[]", list(TypeKind::Text)), "{a,\"b c\",NULL}"),
    ]
}

fn column_of(spec: &ColumnSpec, values: &[Option<&str>]) -> ArrayRef {
    let mut builder = ColumnBuilder::new(&spec.2, &types::column_type_of(&spec.2), values.len());
    for value in values {
        match value {
            Some(text) => builder.push_text(text.as_bytes()).unwrap(),
            None => builder.push_null(),
        }
    }
    builder.finish()
}

/// Versions that open at an LSN: values by column.
fn opened(columns: &[ColumnSpec], rows: &[Vec<Option<&str>>], operation: &str, lsn: u64) -> RecordBatch {
    let mut batch: Vec<(String, ArrayRef)> = Vec::new();
    for (index, spec) in columns.iter().enumerate() {
        let values: Vec<_> = rows.iter().map(|row| row[index]).collect();
        batch.push((format!("c{}", index + 1), column_of(spec, &values)));
    }
    let count = rows.len();
    let times = TimestampMicrosecondArray::from(vec![time(lsn).0; count]).with_timezone("UTC");
    batch.push(("valid_from".into(), Arc::new(times)));
    batch.push(("operation_type".into(), Arc::new(StringArray::from(vec![operation; count]))));
    batch.push(("_lsn".into(), Arc::new(UInt64Array::from(vec![lsn; count]))));
    batch.push(("_seq".into(), Arc::new(UInt64Array::from_iter_values(0..count as u64))));
    RecordBatch::try_from_iter_with_nullable(batch.into_iter().map(|(name, array)| (name, array, true)))
        .unwrap()
}

/// Versions of orders that close, by key.
fn closed(ids: &[&str], lsn: u64) -> RecordBatch {
    let values: Vec<_> = ids.iter().copied().map(Some).collect();
    let count = ids.len();
    let times = TimestampMicrosecondArray::from(vec![time(lsn).0; count]).with_timezone("UTC");
    let columns: [(&str, ArrayRef); 5] = [
        ("c1", column_of(&("id", "integer", TypeKind::Int4), &values)),
        ("valid_to", Arc::new(times)),
        ("_lsn_to", Arc::new(UInt64Array::from(vec![lsn; count]))),
        ("_seq_to", Arc::new(UInt64Array::from_iter_values(0..count as u64))),
        ("deleted", Arc::new(arrow_array::BooleanArray::from(vec![false; count]))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true))).unwrap()
}

fn commit(warehouse: &mut DuckDb, lsn: u64, creates: &[&TableState], writes: &[(&TableState, RowGroup)]) {
    let mut transaction = warehouse.begin().unwrap();
    for state in creates {
        transaction.create_table(state).unwrap();
    }
    for (state, rows) in writes {
        transaction.write(&state.layout, rows).unwrap();
    }
    let progress = Progress { source: "s".into(), applied_lsn: Lsn(lsn), applied_time: time(lsn) };
    transaction.set_progress(&progress).unwrap();
    transaction.commit().unwrap();
}

struct FixtureHost {
    handle: DuckHandle,
    models: Vec<Model>,
}

impl Host for FixtureHost {
    fn access(&self) -> Option<Arc<Access>> {
        None
    }

    fn project(&self) -> &str {
        PROJECT
    }

    fn applied(&self) -> Applied {
        Applied::default()
    }

    fn endpoints(&self) -> Arc<Endpoints> {
        Arc::default()
    }

    fn is_ready(&self) -> bool {
        true
    }

    fn reader(&self) -> Result<Box<dyn WarehouseReader>> {
        Ok(Box::new(self.handle.reader()?))
    }

    fn maintainer(&self) -> Result<Option<Box<dyn Maintainer>>> {
        Ok(None)
    }

    fn tables(&self) -> Result<Vec<TableState>> {
        Ok(self.handle.tables()?)
    }

    fn models(&self) -> Result<Vec<Model>> {
        Ok(self.models.clone())
    }

    fn follow(&self, _: &tracing::Span, _: &str, _: Option<&str>) {}

    fn traced(&self) -> Option<Traced> {
        None
    }

    fn has_dbt_project(&self) -> bool {
        false
    }

    fn column_lineage(&self, _: &str, _: &str) -> Result<Option<serde_json::Value>> {
        Ok(None)
    }

    fn store(&self) -> Result<Arc<millstream_store::Store>> {
        unreachable!("no client of the protocol asks for it")
    }

    fn status(&self) -> Result<serde_json::Value> {
        Ok(serde_json::Value::Null)
    }

    fn dashboards(&self) -> Arc<Dashboards> {
        Arc::default()
    }

    fn queries(&self) -> Arc<SavedQueries> {
        Arc::default()
    }

    fn samples(&self, _behind: u64) -> Samples {
        Samples::default()
    }

    fn changes(&self, _table: Option<&str>, _from: Option<Lsn>) -> Result<Box<dyn Changes>> {
        unreachable!("PostgreSQL's clients are served no log")
    }

    fn newest_changes(&self, _table: Option<&str>, _count: usize) -> Result<Vec<String>> {
        unreachable!("PostgreSQL's clients are served no log")
    }

    fn resync(&self, _tables: &[String], _interrupt: &Interrupt) -> Result<serde_json::Value> {
        unreachable!("PostgreSQL's clients have nothing done")
    }
}

/// A served warehouse.
pub(crate) struct Fixture {
    server: Option<Server>,
    orders: TableState,
    warehouse: DuckDb,
    _directory: tempfile::TempDir,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// With another configuration than the defaults.
    pub(crate) fn with(change: impl FnOnce(&mut Config)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let options = DuckDbOptions { threads: Some(2), ..DuckDbOptions::default() };
        let mut warehouse = DuckDb::open(&directory.path().join("w.duckdb"), &options).unwrap();
        let orders_columns = orders();
        let orders = table(16_384, "shop", "orders", &orders_columns, &[1]);
        let every = everything();
        let every_columns: Vec<ColumnSpec> = every.iter().map(|(spec, _)| spec.clone()).collect();
        let everything = table(16_385, "shop", "everything", &every_columns, &[]);
        let odd_columns = [("b", "text", TypeKind::Text), ("A", "bigint", TypeKind::Int8)];
        let odd = table(16_386, "Odd Names", "Line Items", &odd_columns, &[2, 1]);
        let rows = vec![
            vec![Some("1"), Some("ann"), Some("10.00"), Some("2026-01-01 08:00:00+00"), Some("t")],
            vec![Some("2"), Some("bob"), Some("2.50"), Some("2026-01-02 08:00:00.123456+00"), Some("f")],
            vec![Some("3"), None, None, None, None],
        ];
        let open = |batch| RowGroup { open: Some(batch), ..RowGroup::default() };
        let one = vec![every.iter().map(|(_, value)| Some(*value)).collect(), vec![None; every.len()]];
        commit(
            &mut warehouse,
            10,
            &[&orders, &everything, &odd],
            &[
                (&orders, open(opened(&orders_columns, &rows, "SNAPSHOT", 10))),
                (&everything, open(opened(&every_columns, &one, "SNAPSHOT", 10))),
            ],
        );
        let changed = vec![vec![
            Some("2"),
            Some("bob"),
            Some("7.25"),
            Some("2026-01-02 08:00:00.123456+00"),
            Some("t"),
        ]];
        let update = RowGroup {
            close: Some(closed(&["2"], 20)),
            open: Some(opened(&orders_columns, &changed, "UPDATE", 20)),
            ..RowGroup::default()
        };
        commit(&mut warehouse, 20, &[], &[(&orders, update)]);
        let select = "SELECT customer, sum(amount) AS total FROM shop.orders WHERE paid GROUP BY customer";
        let name = TableName::new("main", "paid_by_customer");
        let handle = warehouse.handle();
        let model = ModelView { name: name.clone(), select: select.into() };
        let broken = handle.keep_models(&[model]).unwrap();
        assert!(broken.is_empty(), "{broken:?}");
        let models = vec![Model { name, select: select.into(), holds: false }];
        let mut config = Config::new(SocketAddr::from(([127, 0, 0, 1], 0)));
        change(&mut config);
        let host = Arc::new(FixtureHost { handle, models });
        let server = postgres::serve(config, host, Arc::new(open_catalog)).unwrap();
        Fixture { server: Some(server), orders, warehouse, _directory: directory }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.as_ref().unwrap().address()
    }

    /// Commits an order, as apply would.
    pub(crate) fn add_order(&mut self, id: &str, lsn: u64) {
        let rows = vec![vec![Some(id), Some("new"), Some("1.00"), None, Some("f")]];
        let group = RowGroup { open: Some(opened(&orders(), &rows, "INSERT", lsn)), ..RowGroup::default() };
        let orders = self.orders.clone();
        commit(&mut self.warehouse, lsn, &[], &[(&orders, group)]);
    }

    pub(crate) fn stop(&mut self) {
        self.server.take().unwrap().stop();
    }

    /// A command whose environment leads libpq here.
    pub(crate) fn client(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("PGHOST", self.address().ip().to_string())
            .env("PGPORT", self.address().port().to_string())
            .env("PGUSER", "ann")
            .env("PGDATABASE", PROJECT)
            .env("PGCONNECT_TIMEOUT", "10")
            .env_remove("PGPASSWORD");
        command
    }
}

/// As the program opens it.
fn open_catalog(contents: Contents) -> Result<postgres::catalog::Readers> {
    let engine = InMemory::open(&contents.before, &contents.tables, &contents.after)?;
    Ok(Box::new(move || engine.reader()))
}

/// Long enough for a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// So that the fixture says what a column became.
#[test]
fn the_fixture_holds_a_column_of_every_warehouse_type() {
    let kinds = everything();
    assert!(kinds.iter().any(|((.., kind), _)| types::column_type_of(kind) == ColumnType::Interval));
    assert_eq!(kinds.len(), 19);
}
