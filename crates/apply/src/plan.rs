//! What a run of changes comes to for one table. Pure: changes in, versions out; the warehouse is asked only for what
//! [`TablePlan::lookups`] and [`whole_row_probes`] name.
//!
//! Each key's changes form a chain. The first that touches a row the warehouse holds closes the base version; versions that open and end within the
//! run go straight to history; the last stays open. So a key costs the warehouse one close and one row however often it changed.

use std::{collections::VecDeque, sync::Arc};

use millstream_core::{
    warehouse::{Moment, Operation},
    OldTuple, Position, TableSchema, Tuple, TupleBuilder, Value,
};

use crate::key::{KeyColumns, KeyMap};

/// A change of one row.
#[derive(Debug, Clone)]
pub struct RowChange {
    /// When and where.
    pub at: Moment,
    /// What.
    pub kind: RowChangeKind,
}

impl RowChange {
    /// The row, or the one before where there is none behind.
    pub fn row(&self) -> &Tuple {
        match &self.kind {
            RowChangeKind::Insert(row)
            | RowChangeKind::Update { new: row, .. }
            | RowChangeKind::Delete(OldTuple::Key(row) | OldTuple::Full(row))
            | RowChangeKind::Copied { new: row, .. } => row,
        }
    }

    /// Bytes of its rows.
    pub fn bytes(&self) -> u64 {
        let before = match &self.kind {
            RowChangeKind::Update { old: Some(OldTuple::Key(old) | OldTuple::Full(old)), .. } => {
                old.as_bytes().len()
            }
            _ => 0,
        };
        (before + self.row().as_bytes().len()) as u64
    }
}

/// What happened to the row.
#[derive(Debug, Clone)]
pub enum RowChangeKind {
    /// It came.
    Insert(Tuple),
    /// It changed.
    Update {
        /// Its previous version, as far as the source sent it.
        old: Option<OldTuple>,
        /// Its new one.
        new: Tuple,
    },
    /// It went.
    Delete(OldTuple),
    /// It was found there by a copy.
    Copied {
        /// Tells it from the other rows of its copy, which all open at one position.
        ordinal: u64,
        /// Whether the warehouse holds an older version of it, which ends.
        replaces: bool,
        /// The row.
        new: Tuple,
    },
}

/// How a version ended within the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// When and where.
    pub at: Moment,
    /// By deletion, which history shows as an event of its own.
    pub deleted: bool,
}

/// A version that the run opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The row. Holds [`Value::Unchanged`] exactly while `unchanged_of` is set.
    pub row: Tuple,
    /// When and where it opened.
    pub opened: Moment,
    /// What opened it.
    pub operation: Operation,
    /// Set if it ended within the run.
    pub end: Option<End>,
    /// The base version (an index into [`TablePlan::closes`]) that holds the values which the source did not send.
    pub unchanged_of: Option<u32>,
}

/// A version in the warehouse's current table that the run ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// A tuple that carries at least the key; the whole row where rows are matched whole.
    pub row: Tuple,
    /// How it ends.
    pub end: End,
}

/// What a run of changes comes to for one table.
#[derive(Debug, Clone)]
pub struct TablePlan {
    /// The table, as it was during the run.
    pub schema: Arc<TableSchema>,
    /// Versions opened, in order.
    pub versions: Vec<Version>,
    /// Base versions closed. In the order of their closing; a key at most once.
    pub closes: Vec<Close>,
}

/// Changes that contradict each other or what the schema says: the source does not send such; something before us is broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A row was opened twice.
    #[error("table {table}: {at} opens a row whose key ({key}) is open already since {since}")]
    OpenedTwice {
        /// The table.
        table: String,
        /// The key's text.
        key: String,
        /// The second opening.
        at: Position,
        /// The first one.
        since: Position,
    },
    /// A row was changed or deleted behind its deletion.
    #[error("table {table}: {at} changes a row whose key ({key}) was deleted before")]
    ChangedWhenGone {
        /// The table.
        table: String,
        /// The key's text.
        key: String,
        /// The change.
        at: Position,
    },
    /// The source did not say which row it meant.
    #[error("table {table}: {at} does not say which row it changes; the replica identity was not usable when it was made")]
    NoIdentity {
        /// The table.
        table: String,
        /// The change.
        at: Position,
    },
    /// A value was not sent, and nothing that holds it is known.
    #[error("table {table}: {at} leaves out an unchanged value of a row that is not there")]
    UnchangedOfNothing {
        /// The table.
        table: String,
        /// The change.
        at: Position,
    },
}

/// Where a key stands within a run.
enum KeyState {
    Open(u32),
    Gone,
}

/// Plans a run of changes of a table whose rows have a key.
pub fn plan_keyed(schema: &Arc<TableSchema>, changes: Vec<RowChange>) -> Result<TablePlan, PlanError> {
    let columns = Arc::new(KeyColumns::of(schema));
    let mut keys: KeyMap<KeyState> = KeyMap::default();
    let mut plan = TablePlan::new(schema);
    plan.versions.reserve(changes.len());
    for RowChange { at, kind } in changes {
        match kind {
            RowChangeKind::Insert(new) => {
                plan.open_keyed(&mut keys, &columns, new, at, Operation::Insert, None)?;
            }
            RowChangeKind::Copied { replaces, new, .. } => {
                if replaces {
                    plan.end_keyed(&mut keys, &columns, &new, End { at, deleted: false })?;
                }
                plan.open_keyed(&mut keys, &columns, new, at, Operation::Snapshot, None)?;
            }
            RowChangeKind::Update { old, new } => {
                let row = match &old {
                    Some(OldTuple::Key(row) | OldTuple::Full(row)) => row,
                    None => &new,
                };
                let previous = plan.end_keyed(&mut keys, &columns, row, End { at, deleted: false })?;
                let (new, unchanged_of) = match old {
                    _ if !new.has_unchanged() => (new, None),
                    // A TOASTed key that did not change is sent with the old tuple alone.
                    Some(OldTuple::Key(old)) => {
                        let new = merge_columns(&new, &old, |index| columns.contains(index));
                        plan.unchanged_from(new, previous)
                    }
                    Some(OldTuple::Full(old)) => (merge(&new, &old), None),
                    None => plan.unchanged_from(new, previous),
                };
                plan.open_keyed(&mut keys, &columns, new, at, Operation::Update, unchanged_of)?;
            }
            RowChangeKind::Delete(OldTuple::Key(row) | OldTuple::Full(row)) => {
                plan.end_keyed(&mut keys, &columns, &row, End { at, deleted: true })?;
            }
        }
    }
    plan.check_unchanged()?;
    Ok(plan)
}

/// The rows (distinct) of which [`plan_whole_rows`] must know how many equal ones the warehouse holds: those that the run both opens and ends.
pub fn whole_row_probes(changes: &[RowChange]) -> Vec<Tuple> {
    let columns = Arc::new(KeyColumns::Whole);
    let mut opened: KeyMap<bool> = KeyMap::default();
    let mut probes = Vec::new();
    for change in changes {
        let old = match &change.kind {
            RowChangeKind::Insert(_) | RowChangeKind::Copied { .. } => None,
            RowChangeKind::Update { old, .. } => old.as_ref(),
            RowChangeKind::Delete(old) => Some(old),
        };
        if let Some(OldTuple::Full(row)) = old {
            if let Some(probed) = opened.get_mut(&columns, row) {
                if !std::mem::replace(probed, true) {
                    probes.push(row.clone());
                }
            }
        }
        match &change.kind {
            RowChangeKind::Insert(new) | RowChangeKind::Copied { new, .. } => {
                opened.entry(&columns, new, || false);
            }
            RowChangeKind::Update { old: Some(OldTuple::Full(old)), new } => {
                opened.entry(&columns, &merge(new, old), || false);
            }
            _ => {}
        }
    }
    probes
}

/// Plans a run of changes of a table whose rows are matched whole. `counts`: for each of [`whole_row_probes`], how many rows of the warehouse equal it.
/// Of equal rows the oldest ends, and what the warehouse holds is older than what the run opens.
pub fn plan_whole_rows(
    schema: &Arc<TableSchema>,
    changes: Vec<RowChange>,
    counts: &[(Tuple, u64)],
) -> Result<TablePlan, PlanError> {
    #[derive(Default)]
    struct Copies {
        in_base: u64,
        open: VecDeque<u32>,
    }
    let columns = Arc::new(KeyColumns::Whole);
    let mut rows: KeyMap<Copies> = KeyMap::default();
    for (row, count) in counts {
        rows.entry(&columns, row, Copies::default).in_base = *count;
    }
    let mut plan = TablePlan::new(schema);
    for RowChange { at, kind } in changes {
        let (old, new, operation) = match kind {
            RowChangeKind::Insert(new) => (None, Some(new), Operation::Insert),
            // Of a table matched whole no older version can be told.
            RowChangeKind::Copied { new, .. } => (None, Some(new), Operation::Snapshot),
            RowChangeKind::Update { old: Some(OldTuple::Full(old)), new } => {
                let new = if new.has_unchanged() { merge(&new, &old) } else { new };
                (Some(old), Some(new), Operation::Update)
            }
            RowChangeKind::Delete(OldTuple::Full(old)) => (Some(old), None, Operation::Delete),
            RowChangeKind::Update { .. } | RowChangeKind::Delete(_) => {
                return Err(PlanError::NoIdentity { table: schema.name.to_string(), at: at.position });
            }
        };
        if let Some(old) = old {
            let end = End { at, deleted: new.is_none() };
            match rows.get_mut(&columns, &old) {
                Some(copies) if copies.in_base == 0 && !copies.open.is_empty() => {
                    let index = copies.open.pop_front().unwrap_or_default();
                    plan.versions[index as usize].end = Some(end);
                }
                found => {
                    if let Some(copies) = found {
                        copies.in_base = copies.in_base.saturating_sub(1);
                    }
                    plan.closes.push(Close { row: old, end });
                }
            }
        }
        if let Some(new) = new {
            let index = plan.versions.len() as u32;
            rows.entry(&columns, &new, Copies::default).open.push_back(index);
            plan.versions.push(Version { row: new, opened: at, operation, end: None, unchanged_of: None });
        }
    }
    plan.check_unchanged()?;
    Ok(plan)
}

/// Which version a change ended.
enum Previous {
    Version(u32),
    Base(u32),
}

impl TablePlan {
    fn new(schema: &Arc<TableSchema>) -> Self {
        TablePlan { schema: schema.clone(), versions: Vec::new(), closes: Vec::new() }
    }

    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.versions.is_empty() && self.closes.is_empty()
    }

    fn open_keyed(
        &mut self,
        keys: &mut KeyMap<KeyState>,
        columns: &Arc<KeyColumns>,
        row: Tuple,
        opened: Moment,
        operation: Operation,
        unchanged_of: Option<u32>,
    ) -> Result<(), PlanError> {
        let index = self.versions.len() as u32;
        let mut is_new = false;
        let state = keys.entry(columns, &row, || {
            is_new = true;
            KeyState::Open(index)
        });
        if !is_new {
            if let KeyState::Open(other) = *state {
                return Err(PlanError::OpenedTwice {
                    table: self.schema.name.to_string(),
                    key: key_text(columns, &row),
                    at: opened.position,
                    since: self.versions[other as usize].opened.position,
                });
            }
            *state = KeyState::Open(index);
        }
        self.versions.push(Version { row, opened, operation, end: None, unchanged_of });
        Ok(())
    }

    fn end_keyed(
        &mut self,
        keys: &mut KeyMap<KeyState>,
        columns: &Arc<KeyColumns>,
        row: &Tuple,
        end: End,
    ) -> Result<Previous, PlanError> {
        let mut in_base = false;
        let state = keys.entry(columns, row, || {
            in_base = true;
            KeyState::Gone
        });
        if in_base {
            self.closes.push(Close { row: row.clone(), end });
            return Ok(Previous::Base(self.closes.len() as u32 - 1));
        }
        match std::mem::replace(state, KeyState::Gone) {
            KeyState::Open(index) => {
                self.versions[index as usize].end = Some(end);
                Ok(Previous::Version(index))
            }
            KeyState::Gone => Err(PlanError::ChangedWhenGone {
                table: self.schema.name.to_string(),
                key: key_text(columns, row),
                at: end.at.position,
            }),
        }
    }

    /// A new row whose unchanged values stand in its previous version: filled as far as that is known, and the base version that
    /// holds the rest.
    fn unchanged_from(&self, new: Tuple, previous: Previous) -> (Tuple, Option<u32>) {
        match previous {
            Previous::Base(index) => {
                let base = new.has_unchanged().then_some(index);
                (new, base)
            }
            Previous::Version(index) => {
                let version = &self.versions[index as usize];
                let merged = merge(&new, &version.row);
                let base = version.unchanged_of.filter(|_| merged.has_unchanged());
                (merged, base)
            }
        }
    }

    /// A value that was not sent must have somewhere to come from.
    fn check_unchanged(&self) -> Result<(), PlanError> {
        match self
            .versions
            .iter()
            .find(|version| version.unchanged_of.is_none() && version.row.has_unchanged())
        {
            None => Ok(()),
            Some(version) => Err(PlanError::UnchangedOfNothing {
                table: self.schema.name.to_string(),
                at: version.opened.position,
            }),
        }
    }

    /// Indexes into `closes` of the base versions whose values are needed; ascending.
    pub fn lookups(&self) -> Vec<u32> {
        let mut needed: Vec<u32> = self.versions.iter().filter_map(|version| version.unchanged_of).collect();
        needed.sort_unstable();
        needed.dedup();
        needed
    }

    /// Fills in what was not sent from the base versions found, given as (index into `closes`, row), ascending.
    pub fn fill(&mut self, found: &[(u32, Tuple)]) -> Result<(), PlanError> {
        for version in &mut self.versions {
            let Some(index) = version.unchanged_of else { continue };
            let Ok(at) = found.binary_search_by_key(&index, |(index, _)| *index) else {
                return Err(PlanError::UnchangedOfNothing {
                    table: self.schema.name.to_string(),
                    at: version.opened.position,
                });
            };
            version.row = merge(&version.row, &found[at].1);
            version.unchanged_of = None;
        }
        self.check_unchanged()
    }
}

impl KeyColumns {
    /// How the table's rows are identified.
    pub fn of(schema: &TableSchema) -> Self {
        schema.key.clone().map_or(KeyColumns::Whole, KeyColumns::Some)
    }

    pub(crate) fn contains(&self, index: usize) -> bool {
        match self {
            KeyColumns::Some(indexes) => indexes.contains(&index),
            KeyColumns::Whole => true,
        }
    }
}

/// A tuple that carries the key which an update leaves its row with.
pub(crate) fn row_key(columns: &KeyColumns, new: &Tuple, old: &OldTuple) -> Tuple {
    match old {
        _ if !new.has_unchanged() => new.clone(),
        // A TOASTed key that did not change is sent with the old tuple alone.
        OldTuple::Key(old) => merge_columns(new, old, |index| columns.contains(index)),
        OldTuple::Full(old) => merge(new, old),
    }
}

/// `new` with its unchanged values taken from `old`; what `old` does not hold either stays unchanged.
pub(crate) fn merge(new: &Tuple, old: &Tuple) -> Tuple {
    merge_columns(new, old, |_| true)
}

/// The same for some columns only.
fn merge_columns(new: &Tuple, old: &Tuple, wanted: impl Fn(usize) -> bool) -> Tuple {
    let mut builder = TupleBuilder::new();
    let mut old = old.values();
    for (index, value) in new.values().enumerate() {
        let before = old.next().unwrap_or(Value::Unchanged);
        builder.push(if value == Value::Unchanged && wanted(index) { before } else { value });
    }
    builder.finish()
}

/// A key for people: its columns' text, cut where it is long.
pub fn key_text(columns: &KeyColumns, row: &Tuple) -> String {
    const KEY_TEXT_BYTES_MAX: usize = 200;
    let mut text = String::new();
    for value in columns.values(row) {
        if !text.is_empty() {
            text.push_str(", ");
        }
        match value {
            Value::Null => text.push_str("NULL"),
            Value::Unchanged => text.push_str("(unchanged)"),
            Value::Text(bytes) => {
                // One byte more than is shown, so that the cut is seen; a value can be a gigabyte.
                text.push_str(&String::from_utf8_lossy(&bytes[..bytes.len().min(KEY_TEXT_BYTES_MAX + 1)]));
            }
            Value::Binary(bytes) => {
                text.push_str(&format!("\\x{:02x?}", &bytes[..bytes.len().min(KEY_TEXT_BYTES_MAX)]));
            }
        }
        if text.len() > KEY_TEXT_BYTES_MAX {
            let mut end = KEY_TEXT_BYTES_MAX;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.truncate(end);
            text.push('…');
            break;
        }
    }
    text
}

#[cfg(test)]
mod tests;
