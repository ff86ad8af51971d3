//! The port below apply: what a warehouse must be able to do. It executes; what to write is decided above it.
//!
//! # Tables
//!
//! A replicated table is held in two hidden base tables, found by the source's OID: `current`, one row per row of the source,
//! and `closed`, one row per version that has ended (append-only). The visible `<table>`, `<table>_history` and
//! `<table>_as_of(t)` are views over them. Physical columns are named after the attribute number ([`physical_name`]), so
//! that renaming is a matter of the views.
//!
//! # Columns of record batches
//!
//! The batches of a [`RowGroup`] carry the layout's live columns under their physical names, in the layout's order, and behind
//! them the [`meta`] columns named for each field.

use arrow_array::RecordBatch;
use serde::{Deserialize, Serialize};

use crate::{
    access::Role,
    log::Result,
    position::{Lsn, Position},
    query::{Description, Piece, Query, Trust},
    schema::{TableId, TableName},
    time::Timestamp,
    types::ColumnType,
};

/// Names and Arrow types of the bookkeeping columns of row groups.
pub mod meta {
    /// `Timestamp(Microsecond, "UTC")`: when the version opened.
    pub const VALID_FROM: &str = "valid_from";
    /// `Timestamp(Microsecond, "UTC")`: when it closed.
    pub const VALID_TO: &str = "valid_to";
    /// `Utf8`: [`super::Operation::as_str`].
    pub const OPERATION: &str = "operation_type";
    /// `UInt64`: commit LSN of what opened it.
    pub const LSN: &str = "_lsn";
    /// `UInt64`: ordinal of what opened it.
    pub const SEQ: &str = "_seq";
    /// `UInt64`: commit LSN of what closed it.
    pub const LSN_TO: &str = "_lsn_to";
    /// `UInt64`: ordinal of what closed it.
    pub const SEQ_TO: &str = "_seq_to";
    /// `Boolean`, of `close` only: also write the closed row again as a `DELETE` event with an empty interval.
    pub const DELETED: &str = "deleted";
    /// `UInt64`, of lookups only: the asker's number for a key, handed back with the row.
    pub const ORDINAL: &str = "ordinal";
}

/// The name of the physical column that holds the attribute.
pub fn physical_name(attnum: i16) -> String {
    format!("c{attnum}")
}

/// What opened a version (`operation_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Operation {
    /// Copied, not changed.
    Snapshot,
    /// Inserted.
    Insert,
    /// Updated, or its key changed.
    Update,
    /// Event: deleted.
    Delete,
    /// Event: gone by TRUNCATE.
    Truncate,
}

impl Operation {
    /// As the history view shows it.
    pub fn as_str(self) -> &'static str {
        match self {
            Operation::Snapshot => "SNAPSHOT",
            Operation::Insert => "INSERT",
            Operation::Update => "UPDATE",
            Operation::Delete => "DELETE",
            Operation::Truncate => "TRUNCATE",
        }
    }
}

/// A column of a replicated table in the warehouse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayoutColumn {
    /// Identity at the source.
    pub attnum: i16,
    /// Name in the views.
    pub name: String,
    /// Type in the warehouse.
    pub column_type: ColumnType,
    /// PostgreSQL's name of the source type, for people and clients.
    pub source_type: String,
    /// Whether the source still has it. What is not live stays in history and is NULL in new rows.
    pub live: bool,
}

/// Names of the history columns, which a configuration can choose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryNames {
    /// Default `valid_from`.
    pub valid_from: String,
    /// Default `valid_to`.
    pub valid_to: String,
    /// Default `is_current`.
    pub is_current: String,
    /// Default `operation_type`.
    pub operation_type: String,
    /// What an open version's `valid_to` shows: `None` is NULL.
    pub open_value: Option<Timestamp>,
}

impl Default for HistoryNames {
    fn default() -> Self {
        HistoryNames {
            valid_from: "valid_from".into(),
            valid_to: "valid_to".into(),
            is_current: "is_current".into(),
            operation_type: "operation_type".into(),
            open_value: None,
        }
    }
}

/// A replicated table as the warehouse holds it.
///
/// Invariants: attribute numbers are distinct; live names are distinct under the warehouse's case folding; `key` holds attribute numbers of
/// live columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableLayout {
    /// Identity at the source.
    pub id: TableId,
    /// Name at the source.
    pub source: TableName,
    /// Name in the warehouse.
    pub target: TableName,
    /// Physical columns: live ones in the source's order, dropped ones where they were.
    pub columns: Vec<LayoutColumn>,
    /// Attribute numbers that identify a row; `None`: rows are matched whole.
    pub key: Option<Vec<i16>>,
    /// Whether versions are kept.
    pub history: bool,
    /// How the history view names its columns.
    pub history_names: HistoryNames,
}

impl TableLayout {
    /// The columns that the source has.
    pub fn live_columns(&self) -> impl Iterator<Item = &LayoutColumn> {
        self.columns.iter().filter(|column| column.live)
    }
}

/// A change of a table's physical columns, executed in order before any row of the same transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Alteration {
    /// A new physical column. Rows that are there get `existing` (in PostgreSQL's text form; `None`: NULL) in `current`, NULL in `closed`.
    Add {
        /// The column.
        column: LayoutColumn,
        /// `attmissingval`.
        existing: Option<String>,
    },
    /// Changes a column's type where every value that is there converts exactly.
    Retype {
        /// Which.
        attnum: i16,
        /// Its new type; from any type to [`ColumnType::Text`] the text must be PostgreSQL's.
        to: ColumnType,
    },
}

/// What a batch does to one table, to be executed in this order: `close`, `closed`, `open`.
#[derive(Debug, Clone, Default)]
pub struct RowGroup {
    /// Versions in `current` that end. Keyed tables: the key's columns (in the order of `key`), each key at most once; otherwise all live columns, a row once per
    /// copy to close, the oldest first. Then `valid_to`, `_lsn_to`, `_seq_to`, `deleted`. A row that matches nothing is an error.
    pub close: Option<RecordBatch>,
    /// Versions that opened and ended within the batch, and events: live columns, `valid_from`, `valid_to`,
    /// `operation_type`, `_lsn`, `_seq`, `_lsn_to`, `_seq_to`.
    pub closed: Option<RecordBatch>,
    /// Versions that are open behind the batch: live columns, `valid_from`, `operation_type`, `_lsn`, `_seq`.
    pub open: Option<RecordBatch>,
}

/// When and where something opened or closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// Its time, monotonic in commit order.
    pub time: Timestamp,
    /// Its position.
    pub position: Position,
}

/// A stretch in which a table's history may not be what was at the source. What was before it and what is from its end on is exact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uncertain {
    /// The table's last change before what could not be followed for certain.
    pub from: Moment,
    /// When the table had been read again; `None`: it has not been so far.
    pub to: Option<Moment>,
    /// Why, for people.
    pub reason: String,
}

impl Uncertain {
    /// Whether a read at this point falls into it.
    pub fn covers(&self, point: AsOf) -> bool {
        match point {
            AsOf::Time(time) => self.from.time <= time && self.to.is_none_or(|to| time < to.time),
            AsOf::Lsn(lsn) => {
                self.from.position.commit_lsn <= lsn && self.to.is_none_or(|to| lsn < to.position.commit_lsn)
            }
        }
    }
}

/// A change of a table's schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaChange {
    /// When and where it was first seen: the stream tells of a schema with the first row of it.
    pub at: Moment,
    /// What changed.
    pub steps: Vec<SchemaStep>,
}

/// A part of it. Types are PostgreSQL's, as the source declares them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum SchemaStep {
    /// A column came.
    ColumnAdded {
        /// Its name.
        column: String,
        /// Its type.
        to: String,
    },
    /// A column went; its history stays.
    ColumnDropped {
        /// Its name.
        column: String,
        /// Its type.
        from: String,
    },
    /// A column got another name.
    ColumnRenamed {
        /// The one it had.
        from: String,
        /// The one it has.
        to: String,
    },
    /// A column got another type at the source.
    ColumnRetyped {
        /// Its name.
        column: String,
        /// The type it had.
        from: String,
        /// The type it has.
        to: String,
    },
    /// A column became text in the warehouse: it came to hold what its type can't, or was retyped beyond exact conversion.
    ColumnWidened {
        /// Its name.
        column: String,
        /// The warehouse's type that it had.
        from: String,
    },
    /// Other columns identify its rows; none: the whole row does.
    KeyChanged {
        /// Those that did.
        from: Vec<String>,
        /// Those that do.
        to: Vec<String>,
    },
    /// The table got another name.
    TableRenamed {
        /// The one it had.
        from: String,
        /// The one it has.
        to: String,
    },
}

/// What a replicated table has come to. Kept in the warehouse, opaque to it but for the layout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableState {
    /// How it is held.
    pub layout: TableLayout,
    /// The source's schema last applied, serialised by apply.
    pub schema_json: String,
    /// `loading` and what is known of it, `live`, or `gone`; serialised by apply.
    pub phase_json: String,
    /// Since when history is complete: the snapshot's time and position.
    pub history_since: Option<Moment>,
    /// Where history is not certain, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uncertain: Vec<Uncertain>,
    /// How its schema changed, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<SchemaChange>,
}

/// How far a warehouse has come. Stands in the same transaction as the data it speaks of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Identity of the source (`system_identifier` and database), set once.
    pub source: String,
    /// All transactions with `commit_lsn` at or before this are applied.
    pub applied_lsn: Lsn,
    /// The last `valid_from` given out, below which none may be given again.
    pub applied_time: Timestamp,
}

/// One change set aside, with its reason. Position and table are its identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantinedChange {
    /// Where it stands.
    pub position: Position,
    /// Its table's OID.
    pub table: TableId,
    /// The table's name.
    pub name: TableName,
    /// Stable code of the reason.
    pub code: String,
    /// The reason, for people.
    pub reason: String,
    /// The key, as text.
    pub key: String,
    /// The change, and what it holds, serialised by apply; large values are files beside the warehouse.
    pub content: String,
}

/// What replacing a table's content changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReplaceCounts {
    /// Rows that were not there.
    pub inserted: u64,
    /// Rows that differed.
    pub updated: u64,
    /// Rows that are gone.
    pub deleted: u64,
}

/// Row counts of a table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TableCounts {
    /// Rows of the current table.
    pub rows: u64,
    /// Rows of the history view.
    pub history_rows: u64,
}

/// What reads are as of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    /// A time: versions with `valid_from <= t < valid_to`.
    Time(Timestamp),
    /// A position: everything committed at or before it.
    Lsn(Lsn),
}

/// A page of a query's result.
#[derive(Debug, Clone)]
pub struct QueryResult {
    /// Column names and the warehouse's names of their types.
    pub columns: Vec<(String, String)>,
    /// Rows.
    pub batches: Vec<RecordBatch>,
}

/// Rows that differ between the source and the warehouse.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// How many.
    pub count: u64,
    /// The first few, by key, each as text.
    pub keys: Vec<String>,
}

/// Outcome of comparing a table's staged rows of the source with the warehouse's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Rows at the source.
    pub rows_source: u64,
    /// Rows in the warehouse.
    pub rows_warehouse: u64,
    /// At the source only.
    pub missing: Difference,
    /// In the warehouse only.
    pub extra: Difference,
    /// On both sides, with the columns that differ named behind the key.
    pub different: Difference,
}

impl Comparison {
    /// Whether both sides hold the same.
    pub fn is_equal(&self) -> bool {
        self.missing.count == 0 && self.extra.count == 0 && self.different.count == 0
    }
}

/// Whether a checkpoint also gives back the room of rows that are gone, which takes several times as long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compaction {
    /// What can be folded together is.
    Now,
    /// It is left to a later checkpoint.
    Later,
}

/// A warehouse: one writer, many readers.
pub trait Warehouse: Send {
    /// How far it has come; the default where it is new.
    fn progress(&mut self) -> Result<Progress>;

    /// All replicated tables it holds.
    fn tables(&mut self) -> Result<Vec<TableState>>;

    /// Begins the transaction that takes one batch. Dropping it rolls back.
    fn begin(&mut self) -> Result<Box<dyn WarehouseTransaction + '_>>;

    /// Makes what was committed independent of the warehouse's own write-ahead log, and returns the `applied_lsn` up to which
    /// the event log is no longer needed to repair it.
    fn checkpoint(&mut self, compaction: Compaction) -> Result<Lsn>;

    /// A reader of its own, usable from another thread.
    fn reader(&self) -> Result<Box<dyn WarehouseReader>>;
}

/// One warehouse transaction. All or nothing.
pub trait WarehouseTransaction {
    /// Creates a table's base tables and views.
    fn create_table(&mut self, table: &TableState) -> Result<()>;

    /// Changes physical columns, then the views. Must come before any rows of the table in the same transaction.
    fn alter_table(&mut self, table: &TableState, alterations: &[Alteration]) -> Result<()>;

    /// Replaces what is known of a table without touching its rows.
    fn put_state(&mut self, table: &TableState) -> Result<()>;

    /// Removes a table's current rows' view; its history stays under the history view.
    fn retire_table(&mut self, table: &TableState, at: Moment) -> Result<()>;

    /// Appends a row group.
    fn write(&mut self, layout: &TableLayout, rows: &RowGroup) -> Result<()>;

    /// Closes every current row, writing a `TRUNCATE` event for each.
    fn truncate(&mut self, layout: &TableLayout, at: Moment) -> Result<()>;

    /// Deletes all current rows and closed versions: a first load starts again.
    fn clear(&mut self, layout: &TableLayout) -> Result<()>;

    /// The current rows with these keys. `keys` has the key's columns (in the order of `key`) and `ordinal`; the answer has all live columns and the
    /// `ordinal` of the key they were found by, in any order. Keys that are not there are left out.
    fn lookup(&mut self, layout: &TableLayout, keys: &RecordBatch) -> Result<Vec<RecordBatch>>;

    /// For tables matched whole: how many current rows equal each row of `rows` (all live columns), in its order.
    fn count_equal(&mut self, layout: &TableLayout, rows: &RecordBatch) -> Result<Vec<u64>>;

    /// Puts rows of the source aside (all live columns), for [`Self::replace_with_staged`]. Staged rows belong to this transaction.
    fn stage(&mut self, layout: &TableLayout, rows: &RecordBatch) -> Result<()>;

    /// Makes the current rows equal the staged ones: what differs becomes versions at the moment (`SNAPSHOT`, and `DELETE` events), what is equal stays
    /// untouched. Clears the stage.
    fn replace_with_staged(&mut self, layout: &TableLayout, at: Moment) -> Result<ReplaceCounts>;

    /// The moment of the table's last change, as this transaction sees it; `None`: it holds neither rows nor versions.
    fn last_change(&mut self, layout: &TableLayout) -> Result<Option<Moment>>;

    /// Keeps changes that were set aside.
    fn quarantine(&mut self, changes: &[QuarantinedChange]) -> Result<()>;

    /// Takes all of a table's changes out again, in the order of their positions; those kept by this transaction included.
    fn release(&mut self, table: TableId) -> Result<Vec<QuarantinedChange>>;

    /// States how far this transaction comes.
    fn set_progress(&mut self, progress: &Progress) -> Result<()>;

    /// Commits, durably.
    fn commit(self: Box<Self>) -> Result<()>;
}

/// A reader. Not bound to the writer's thread.
pub trait WarehouseReader: Send {
    /// Answers a question.
    fn ask(&mut self, query: &Query<'_>) -> Result<QueryResult>;

    /// Answers a question as its rows come, without holding them all. `take` may refuse the rest by `false`. What fails after some rows were given
    /// is an error all the same.
    fn ask_each(&mut self, query: &Query<'_>, take: &mut dyn FnMut(Piece<'_>) -> bool) -> Result<()> {
        let result = self.ask(query)?;
        if take(Piece::Columns(&result.columns)) {
            let _ = result.batches.into_iter().all(|batch| take(Piece::Rows(batch)));
        }
        Ok(())
    }

    /// The owner's question without parameters.
    fn query(&mut self, sql: &str, as_of: Option<AsOf>, rows_max: Option<usize>) -> Result<QueryResult> {
        self.ask(&Query { as_of, rows_max, ..Query::new(sql) })
    }

    /// What is known of a statement without running it; the same errors as of running it, where they show before.
    fn describe(&mut self, sql: &str, trust: Trust, role: Option<&Role>) -> Result<Description>;

    /// Begins a read transaction: every later read sees what is committed now.
    fn begin(&mut self) -> Result<()>;

    /// Ends it.
    fn end(&mut self) -> Result<()>;

    /// How far the warehouse has come, as this reader sees it.
    fn progress(&mut self) -> Result<Progress>;

    /// The changes that were set aside, as this reader sees them, by table and position.
    fn quarantined(&mut self) -> Result<Vec<QuarantinedChange>>;

    /// A table's counts.
    fn counts(&mut self, layout: &TableLayout) -> Result<TableCounts>;

    /// Puts rows of the source aside (all live columns) to compare with.
    fn stage(&mut self, layout: &TableLayout, rows: &RecordBatch) -> Result<()>;

    /// Compares the staged rows with the table's current ones, whole rows; clears the stage. At most `keys_max` keys are named per kind.
    fn compare_staged(&mut self, layout: &TableLayout, keys_max: usize) -> Result<Comparison>;

    /// A handle that interrupts the running query from another thread.
    fn interrupter(&self) -> Box<dyn Fn() + Send + Sync>;
}
