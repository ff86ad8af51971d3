//! Which changes are set aside: those that can't be held, and those of rows whose earlier changes were. Pure.

use std::{collections::HashMap, fmt, sync::Arc};

use millstream_core::{
    warehouse::TableLayout, OldTuple, Position, TableId, TableSchema, Tuple, TypeKind, Value,
};
use millstream_pgoutput::{column::ColumnBuilder, value::ValueError};

use super::content::{identity, Content};
use crate::{
    key::KeyColumns,
    layout::key_of,
    plan::{merge, row_key, RowChange, RowChangeKind},
};

/// Changes in quarantine, over all tables: more is no accident of single rows but a type that is wrong, and stopping says so sooner.
pub const CHANGES_MAX: usize = 100_000;

/// A key in 128 bits: FNV-1a over its values. Kept in the warehouse, so it must stay. Two keys that share one would be held together, which
/// is in order still.
pub type KeyHash = u128;

/// Why a change is set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// A value larger than `value_max`.
    TooLarge {
        /// Its column.
        column: String,
        /// Its size.
        bytes: u64,
        /// The bound.
        max: u64,
    },
    /// A value that its column can't hold.
    Unfit {
        /// Its column.
        column: String,
        /// Whether the column is too narrow; otherwise the value is not of its type.
        unrepresentable: bool,
        /// What is wrong.
        what: String,
    },
    /// An earlier change of the row is in quarantine.
    Follows(Position),
}

impl Reason {
    /// A value's error in a column.
    pub fn of_value(column: &str, error: &ValueError) -> Self {
        if let ValueError::TooLarge { bytes, max } = *error {
            return Reason::TooLarge { column: column.to_owned(), bytes, max };
        }
        Reason::Unfit {
            column: column.to_owned(),
            unrepresentable: error.is_unrepresentable(),
            what: error.to_string(),
        }
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Reason::Unfit { unrepresentable: true, .. } => "MS4201",
            Reason::Unfit { unrepresentable: false, .. } => "MS4202",
            Reason::TooLarge { .. } => "MS4203",
            Reason::Follows(_) => "MS4204",
        }
    }

    /// The column at fault.
    pub fn column(&self) -> Option<&str> {
        match self {
            Reason::TooLarge { column, .. } | Reason::Unfit { column, .. } => Some(column),
            Reason::Follows(_) => None,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::TooLarge { column, bytes, max } => {
                write!(f, "column {column}: a value of {bytes} bytes, value_max is {max}")
            }
            Reason::Unfit { column, what, .. } => write!(f, "column {column}: {what}"),
            Reason::Follows(first) => write!(f, "follows {first}, an earlier change of its row"),
        }
    }
}

/// What one table's changes in quarantine hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableHolds {
    /// Attribute numbers of the key that the hashes are of; `None`: of whole rows.
    key: Option<Vec<i16>>,
    /// The first change that holds each key.
    keys: HashMap<KeyHash, Position>,
    /// How many changes there are that hold.
    changes: usize,
    /// Whether they are of several keys: the table's changed meanwhile.
    mixed: bool,
}

impl TableHolds {
    fn add(&mut self, schema: &TableSchema, hashes: impl Iterator<Item = KeyHash>, position: Position) {
        let key = key_of(schema);
        if self.changes == 0 {
            self.key = key;
        } else {
            self.mixed |= self.key != key;
        }
        self.changes += 1;
        for hash in hashes {
            self.keys.entry(hash).or_insert(position);
        }
    }
}

/// What all changes in quarantine hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holds {
    /// Shared with the previous state until one changes.
    tables: HashMap<TableId, Arc<TableHolds>>,
    /// All changes in quarantine, superseded ones included.
    pub changes: usize,
}

impl Holds {
    /// Takes in a change that is in quarantine.
    pub fn take(&mut self, position: Position, content: &Content) {
        self.changes += 1;
        if content.superseded.is_none() {
            let hashes = content.holds.iter().filter_map(|text| u128::from_str_radix(text, 16).ok());
            self.of(content.schema.id).add(&content.schema, hashes, position);
        }
    }

    fn of(&mut self, table: TableId) -> &mut TableHolds {
        Arc::make_mut(self.tables.entry(table).or_default())
    }

    /// Takes in a change that is being set aside.
    fn hold(&mut self, schema: &TableSchema, keys: &[KeyHash], position: Position) {
        self.changes += 1;
        self.of(schema.id).add(schema, keys.iter().copied(), position);
    }

    /// Sets one change aside in any case.
    pub fn hold_change(&mut self, schema: &TableSchema, change: RowChange, reason: Reason) -> Held {
        let keys = keys(&KeyColumns::of(schema), &change);
        self.hold(schema, &keys, identity(&change));
        Held { change, reason, keys }
    }

    /// Whether changes of the table hold anything.
    pub fn has(&self, table: TableId) -> bool {
        self.tables.contains_key(&table)
    }

    /// The first of these keys' holders.
    pub fn first(&self, table: TableId, hashes: &[String]) -> Option<Position> {
        let table = self.tables.get(&table)?;
        let hashes = hashes.iter().filter_map(|text| u128::from_str_radix(text, 16).ok());
        hashes.filter_map(|hash| table.keys.get(&hash)).min().copied()
    }

    /// How many changes of the table hold something.
    pub fn of_table(&self, table: TableId) -> usize {
        self.tables.get(&table).map_or(0, |table| table.changes)
    }

    /// The table's changes hold nothing any more, and stay.
    pub fn supersede(&mut self, table: TableId) {
        self.tables.remove(&table);
    }

    /// Nothing of the table is in quarantine any more; `changes` were.
    pub fn release(&mut self, table: TableId, changes: usize) {
        self.tables.remove(&table);
        self.changes = self.changes.saturating_sub(changes);
    }

    /// What holds a change, if something does.
    fn holder(&self, schema: &TableSchema, hashes: &[KeyHash]) -> Option<Position> {
        let table = self.tables.get(&schema.id)?;
        if table.mixed || table.key != key_of(schema) {
            // Rows are found by another key than the one the held ones are known by: which are theirs can't be told.
            return table.keys.values().min().copied();
        }
        hashes.iter().filter_map(|hash| table.keys.get(hash)).min().copied()
    }
}

/// A change to be set aside.
#[derive(Debug, Clone)]
pub struct Held {
    /// The change.
    pub change: RowChange,
    /// Why.
    pub reason: Reason,
    /// The keys it holds from here on.
    pub keys: Vec<KeyHash>,
}

/// Parts a run of changes of one table into those that go on and those that are set aside; `holds` grows by what the latter hold.
pub fn part(
    schema: &Arc<TableSchema>,
    changes: Vec<RowChange>,
    holds: &mut Holds,
    mut unfit: impl FnMut(&RowChange) -> Option<Reason>,
) -> (Vec<RowChange>, Vec<Held>) {
    let columns = KeyColumns::of(schema);
    let mut held = Vec::new();
    let mut go_on = Vec::with_capacity(changes.len());
    for change in changes {
        let known = if holds.has(schema.id) {
            let keys = keys(&columns, &change);
            holds.holder(schema, &keys).map(|first| (Reason::Follows(first), keys))
        } else {
            None
        };
        let found = known.or_else(|| unfit(&change).map(|reason| (reason, keys(&columns, &change))));
        let Some((reason, keys)) = found else {
            go_on.push(change);
            continue;
        };
        holds.hold(schema, &keys, identity(&change));
        held.push(Held { change, reason, keys });
    }
    (go_on, held)
}

/// The keys that a change touches: the row's before and behind it.
fn keys(columns: &KeyColumns, change: &RowChange) -> Vec<KeyHash> {
    let mut keys = match &change.kind {
        RowChangeKind::Insert(new) | RowChangeKind::Copied { new, .. } => vec![hash(columns, new)],
        RowChangeKind::Update { old: None, new } => vec![hash(columns, new)],
        RowChangeKind::Update { old: Some(old), new } => {
            let (OldTuple::Key(before) | OldTuple::Full(before)) = old;
            vec![hash(columns, before), hash(columns, &row_key(columns, new, old))]
        }
        RowChangeKind::Delete(OldTuple::Key(old) | OldTuple::Full(old)) => vec![hash(columns, old)],
    };
    keys.dedup();
    keys
}

fn hash(columns: &KeyColumns, row: &Tuple) -> KeyHash {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let mut hash = OFFSET;
    let mut take = |bytes: &[u8]| {
        for &byte in bytes {
            hash = (hash ^ u128::from(byte)).wrapping_mul(PRIME);
        }
    };
    for value in columns.values(row) {
        let (kind, bytes) = match value {
            Value::Null => (b'n', &[][..]),
            Value::Unchanged => (b'u', &[][..]),
            Value::Text(bytes) => (b't', bytes),
            Value::Binary(bytes) => (b'b', bytes),
        };
        take(&[kind]);
        take(&(bytes.len() as u64).to_le_bytes());
        take(bytes);
    }
    hash
}

/// The size of a value for `value_max`: of its text as PostgreSQL prints it, but for `bytea`, which it prints at twice its size.
pub fn printed_size(kind: &TypeKind, bytes: u64) -> u64 {
    match kind {
        TypeKind::Bytea => bytes.saturating_sub(2) / 2,
        _ => bytes,
    }
}

/// The first value larger than `max`, in the new row or what is said of the old one.
pub fn too_large(schema: &TableSchema, change: &RowChange, max: u64) -> Option<Reason> {
    rows(change).find_map(|row| {
        // A tuple is larger than its values, so most rows are done with one comparison.
        if (row.as_bytes().len() as u64) <= max {
            return None;
        }
        row.values().zip(&schema.columns).find_map(|(value, column)| {
            let bytes = match value {
                Value::Text(text) => printed_size(&column.pg_type.kind, text.len() as u64),
                Value::Binary(bytes) => bytes.len() as u64,
                Value::Null | Value::Unchanged => return None,
            };
            (bytes > max).then(|| Reason::TooLarge { column: column.name.clone(), bytes, max })
        })
    })
}

fn rows(change: &RowChange) -> impl Iterator<Item = &Tuple> {
    let (old, new) = match &change.kind {
        RowChangeKind::Insert(new) | RowChangeKind::Copied { new, .. } => (None, Some(new)),
        RowChangeKind::Update { old, new } => (old.as_ref(), Some(new)),
        RowChangeKind::Delete(old) => (Some(old), None),
    };
    let old = old.map(|(OldTuple::Key(row) | OldTuple::Full(row))| row);
    [new, old].into_iter().flatten()
}

/// Whether a table's columns hold the values of a change.
#[derive(Debug)]
pub struct Fitting {
    columns: Vec<Option<(String, ColumnBuilder)>>,
    key: KeyColumns,
}

impl Fitting {
    /// Into the layout's columns.
    pub fn new(schema: &TableSchema, layout: &TableLayout) -> Self {
        let columns = schema.columns.iter().map(|column| {
            let held = layout.columns.iter().find(|held| held.attnum == column.attnum)?;
            let builder = ColumnBuilder::new(&column.pg_type.kind, &held.column_type, 1);
            Some((column.name.clone(), builder))
        });
        Fitting { columns: columns.collect(), key: KeyColumns::of(schema) }
    }

    /// The first value that does not fit.
    pub fn check(&mut self, change: &RowChange) -> Option<Reason> {
        match &change.kind {
            RowChangeKind::Insert(new) | RowChangeKind::Copied { new, .. } => self.row(new, false),
            RowChangeKind::Update { old: None, new } => self.row(new, false),
            RowChangeKind::Update { old: Some(old), new } => {
                let (OldTuple::Key(before) | OldTuple::Full(before)) = old;
                let filled = match old {
                    OldTuple::Full(old) if new.has_unchanged() => Some(merge(new, old)),
                    _ => None,
                };
                self.row(filled.as_ref().unwrap_or(new), false).or_else(|| self.row(before, true))
            }
            RowChangeKind::Delete(OldTuple::Key(old) | OldTuple::Full(old)) => self.row(old, true),
        }
    }

    /// Whether the columns hold a row's key.
    pub fn holds_key(&mut self, row: &Tuple) -> bool {
        self.row(row, true).is_none()
    }

    /// A row's values; with `matched`, only those that it is found by.
    fn row(&mut self, row: &Tuple, matched: bool) -> Option<Reason> {
        for (index, (value, column)) in row.values().zip(&mut self.columns).enumerate() {
            let Some((name, builder)) = column else { continue };
            if value == Value::Unchanged || (matched && !self.key.contains(index)) {
                continue;
            }
            let pushed = builder.push_value(value);
            builder.truncate(0);
            if let Err(error) = pushed {
                return Some(Reason::of_value(name, &error));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
