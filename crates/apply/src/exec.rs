//! One warehouse transaction: batches executed in it, schema changes first.
//!
//! # Why schema changes are hoisted
//!
//! DuckDB refuses, at commit, a transaction that alters a table behind deletes of its rows. So everything that changes physical columns
//! runs before the first row: what a batch announces is executed ahead of its rows, and when a later piece of a large
//! transaction announces more, the warehouse transaction is rolled back and run again with all of it ahead ([`Hoist`]). The same holds for a
//! column that must be widened.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use arrow_array::RecordBatch;
use millstream_core::{
    base::BaseTable,
    warehouse::{Alteration, Moment, Progress, ReplaceCounts, TableLayout, WarehouseTransaction},
    ColumnType, TableId, TableSchema, Timestamp, Tuple,
};

use crate::{
    batch::{Batch, Segment},
    encode::{self, EncodeError},
    error::ApplyError,
    layout::{evolve, key_of, steps, writable, OnUnrepresentable, Selection},
    plan::{plan_keyed, plan_whole_rows, whole_row_probes, RowChange, TablePlan},
    quarantine::{Holds, ValueFiles},
    table::{Phase, Table},
};

mod aside;

pub use aside::Replayed;
pub(crate) use aside::{copied_tuple, CopiedRow};
use aside::{numbered, ordinals, Aside};

/// What must run ahead of the rows when a warehouse transaction is run again.
#[derive(Debug, Default)]
pub struct Hoist {
    /// Schemas announced, in order, and where.
    schemas: Vec<(Arc<TableSchema>, Moment)>,
    /// Columns to be widened to text, and where the value stands that did not fit.
    widen: BTreeMap<(TableId, i16), Moment>,
    /// Tables of which every value is looked at before it is written: one was found that is to be set aside.
    check: HashSet<TableId>,
}

/// Why a warehouse transaction did not come to its end.
#[derive(Debug)]
pub enum Interrupt {
    /// Run it again: [`Hoist`] knows more now.
    Again,
    /// It can't.
    Failed(ApplyError),
}

impl<E: Into<ApplyError>> From<E> for Interrupt {
    fn from(error: E) -> Self {
        Interrupt::Failed(error.into())
    }
}

/// A warehouse transaction under way, and what it will have changed once it is committed.
pub struct Execution<'a> {
    transaction: Box<dyn WarehouseTransaction + 'a>,
    selection: &'a Selection,
    hoist: &'a mut Hoist,
    committed: &'a HashMap<TableId, Table>,
    /// Tables that this transaction changes: as they will be, and the layout rows are written in until then.
    changed: HashMap<TableId, (Table, TableLayout)>,
    /// What rows that are older than a column added in this transaction hold in it.
    existing: HashMap<(TableId, i16), String>,
    /// Schemas taken in so far, in order, that were not hoisted: they go ahead too when the transaction is run again.
    evolved: Vec<(Arc<TableSchema>, Moment)>,
    /// Tables with rows written in this transaction: their columns can't be altered any more.
    written: HashSet<TableId>,
    /// What is set aside.
    aside: Aside<'a>,
    /// The time of what is being written, for what is told of it.
    pub(crate) time: Timestamp,
}

/// What a transaction came to.
pub struct Committed {
    /// The tables that changed.
    pub tables: HashMap<TableId, Table>,
    /// What is held in quarantine, if that changed.
    pub holds: Option<Holds>,
    /// Files of the quarantine that nothing refers to any more.
    pub files_gone: Vec<String>,
}

impl<'a> Execution<'a> {
    /// Begins, and runs what must go ahead.
    pub fn begin(
        transaction: Box<dyn WarehouseTransaction + 'a>,
        selection: &'a Selection,
        hoist: &'a mut Hoist,
        committed: &'a HashMap<TableId, Table>,
        quarantine: (&'a ValueFiles, &'a Holds),
    ) -> Result<Self, Interrupt> {
        let mut execution = Execution {
            transaction,
            selection,
            hoist,
            committed,
            changed: HashMap::new(),
            existing: HashMap::new(),
            evolved: Vec::new(),
            written: HashSet::new(),
            aside: Aside::new(quarantine.0, quarantine.1),
            time: Timestamp::default(),
        };
        for (schema, at) in execution.hoist.schemas.clone() {
            execution.evolve(&schema, at)?;
        }
        for ((table, attnum), at) in execution.hoist.widen.clone() {
            execution.widen(table, attnum, at)?;
        }
        Ok(execution)
    }

    fn table(&self, id: TableId) -> Option<&Table> {
        self.changed.get(&id).map(|(table, _)| table).or_else(|| self.committed.get(&id))
    }

    /// The layout rows are written in.
    fn write_layout(&self, id: TableId) -> Option<&TableLayout> {
        match self.changed.get(&id) {
            Some((_, layout)) => Some(layout),
            None => self.committed.get(&id).map(|table| &table.layout),
        }
    }

    /// Executes a batch.
    pub fn run(&mut self, batch: Batch) -> Result<(), Interrupt> {
        for (schema, at) in &batch.schemas {
            if !self.hoist.schemas.iter().any(|(hoisted, _)| hoisted == schema) {
                self.evolve(schema, *at)?;
                self.evolved.push((schema.clone(), *at));
            }
        }
        // In the order of OIDs, so that a run can be repeated exactly.
        let mut tables: Vec<_> = batch.tables.into_iter().collect();
        tables.sort_unstable_by_key(|(id, _)| *id);
        let headers = &batch.headers;
        let xid = |lsn| {
            let found = headers.binary_search_by_key(&lsn, |header| header.commit_lsn);
            let header = found.map_or(batch.last.as_ref(), |index| headers.get(index));
            header.filter(|header| header.commit_lsn == lsn).map(|header| header.xid)
        };
        for (id, segments) in tables {
            for segment in segments {
                let Some(mut layout) = self.write_layout(id).cloned() else { continue };
                match segment {
                    Segment::Rows { schema, changes } => {
                        // What identified rows when these were sent, which the table may have changed since.
                        layout.key = key_of(&schema);
                        self.time = changes.last().map_or(self.time, |last| last.at.time);
                        let changes = self.set_aside(&layout, &schema, changes, xid)?;
                        if !changes.is_empty() {
                            self.rows(&layout, &schema, changes)?;
                        }
                    }
                    Segment::Truncate(at) => {
                        self.supersede(id, "TRUNCATE", at.position)?;
                        self.transaction.truncate(&layout, at)?;
                    }
                }
                self.written.insert(id);
            }
        }
        Ok(())
    }

    fn rows(
        &mut self,
        layout: &TableLayout,
        schema: &Arc<TableSchema>,
        changes: Vec<RowChange>,
    ) -> Result<(), Interrupt> {
        let mut plan = if schema.key.is_some() {
            plan_keyed(schema, changes)?
        } else {
            let probes = whole_row_probes(&changes);
            let counts = self.count_equal(layout, schema, probes)?;
            plan_whole_rows(schema, changes, &counts)?
        };
        self.fill(layout, &mut plan)?;
        match encode::row_group(&plan, layout, |attnum| {
            self.existing.get(&(layout.id, attnum)).map(String::as_str)
        }) {
            Ok(group) => Ok(self.transaction.write(layout, &group)?),
            Err(error) => self.unfit(layout, error),
        }
    }

    /// A value does not fit its column: the column is widened ahead of all rows, its change is set aside, or applying stops.
    pub(crate) fn unfit<T>(&mut self, layout: &TableLayout, error: EncodeError) -> Result<T, Interrupt> {
        let options = (self.selection.options)(&layout.source).unwrap_or_default();
        if options.on_unrepresentable == OnUnrepresentable::Quarantine
            && matches!(error, EncodeError::Unrepresentable { .. } | EncodeError::Malformed { .. })
            && self.hoist.check.insert(layout.id)
        {
            return Err(Interrupt::Again);
        }
        let EncodeError::Unrepresentable { attnum, position, .. } = &error else {
            return Err(Interrupt::Failed(error.into_apply_error(layout)));
        };
        if options.on_unrepresentable != OnUnrepresentable::Widen {
            return Err(Interrupt::Failed(error.into_apply_error(layout)));
        }
        let place = Moment { time: self.time, position: *position };
        if self.hoist.widen.insert((layout.id, *attnum), place).is_some() {
            // It is text already and still does not fit: not a matter of width.
            return Err(Interrupt::Failed(error.into_apply_error(layout)));
        }
        tracing::warn!(
            event = "column_widened",
            table = %layout.source,
            reason = %error,
            "a value does not fit its column, which becomes text from here on"
        );
        Err(Interrupt::Again)
    }

    fn count_equal(
        &mut self,
        layout: &TableLayout,
        schema: &TableSchema,
        probes: Vec<Tuple>,
    ) -> Result<Vec<(Tuple, u64)>, Interrupt> {
        if probes.is_empty() {
            return Ok(Vec::new());
        }
        let rows = match encode::keys(schema, layout, probes.iter()) {
            Ok(rows) => rows,
            Err(error) => return self.unfit(layout, error),
        };
        let counts = self.transaction.count_equal(layout, &rows)?;
        Ok(probes.into_iter().zip(counts).collect())
    }

    /// Fetches the base rows that hold unchanged values.
    fn fill(&mut self, layout: &TableLayout, plan: &mut TablePlan) -> Result<(), Interrupt> {
        let lookups = plan.lookups();
        if lookups.is_empty() {
            return Ok(());
        }
        let rows = lookups.iter().map(|&index| &plan.closes[index as usize].row);
        let keys = match encode::keys(&plan.schema, layout, rows) {
            Ok(keys) => keys,
            Err(error) => return self.unfit(layout, error),
        };
        let keys = numbered(&keys, lookups.iter().map(|&index| u64::from(index)))?;

        let mut found = Vec::with_capacity(lookups.len());
        for batch in self.transaction.lookup(layout, &keys)? {
            let ordinals = ordinals(&batch)?;
            for row in 0..batch.num_rows() {
                found.push((ordinals.value(row) as u32, encode::tuple(&plan.schema, layout, &batch, row)?));
            }
        }
        found.sort_unstable_by_key(|(index, _)| *index);
        Ok(plan.fill(&found)?)
    }

    /// Follows a table to a new schema that was announced at this moment, or takes in a table not known so far.
    pub(crate) fn evolve(&mut self, schema: &Arc<TableSchema>, at: Moment) -> Result<(), Interrupt> {
        let Some(table) = self.table(schema.id) else {
            let Some(mut layout) = self.selection.layout(schema) else { return Ok(()) };
            self.widen_new(&mut layout);
            self.check_name(&layout)?;
            let table = Table {
                schema: schema.clone(),
                layout: layout.clone(),
                // It may hold rows from before it was published; only reading it tells.
                phase: Phase::NeedsResync { reason: "the table is new".into(), fence: None },
                history_since: None,
                uncertain: Vec::new(),
                changes: Vec::new(),
            };
            self.transaction.create_table(&table.to_state()?)?;
            self.changed.insert(schema.id, (table, layout));
            return Ok(());
        };
        let mut table = table.clone();
        let evolution = evolve(self.selection, &table.schema, &table.layout, schema);
        table.schema = schema.clone();
        let Some(evolution) = evolution else {
            let layout = self.write_layout(schema.id).unwrap_or(&table.layout).clone();
            self.changed.insert(schema.id, (table, layout));
            return Ok(());
        };
        if !evolution.alterations.is_empty() && self.written.contains(&schema.id) {
            // With all before it: run ahead alone, it would be followed by the older ones as if they were newer.
            self.hoist.schemas.append(&mut self.evolved);
            self.hoist.schemas.push((schema.clone(), at));
            return Err(Interrupt::Again);
        }
        self.check_name(&evolution.layout)?;
        for alteration in &evolution.alterations {
            if let Alteration::Add { column, existing: Some(value) } = alteration {
                self.existing.insert((schema.id, column.attnum), value.clone());
            }
        }
        let held = self.write_layout(schema.id).unwrap_or(&table.layout).clone();
        let write_layout = writable(&held, &evolution.layout);
        table.changed(at, steps(&table.layout, &evolution.layout, schema));
        table.layout = evolution.layout;
        if let Some(reason) = evolution.resync {
            let fence = table.phase.fence().cloned();
            let last = self.transaction.last_change(&held)?;
            table.doubt(last, &reason);
            table.phase = Phase::NeedsResync { reason, fence };
        }
        tracing::info!(
            event = "schema_changed",
            table = %table.layout.source,
            alterations = evolution.alterations.len(),
            phase = table.phase.as_str(),
            "the table's schema changed at the source"
        );
        self.transaction.alter_table(&table.to_state()?, &evolution.alterations)?;
        self.changed.insert(schema.id, (table, write_layout));
        Ok(())
    }

    /// Two tables can't have one name in the warehouse, which folds case.
    fn check_name(&mut self, layout: &TableLayout) -> Result<(), ApplyError> {
        self.step_aside(layout)?;
        let folded =
            |layout: &TableLayout| (layout.target.schema.to_lowercase(), layout.target.name.to_lowercase());
        let others = self.committed.values().filter(|table| !self.changed.contains_key(&table.layout.id));
        let mut others = others.chain(self.changed.values().map(|(table, _)| table));
        match others.find(|other| {
            other.layout.id != layout.id
                && other.phase != Phase::Gone
                && folded(&other.layout) == folded(layout)
        }) {
            None => Ok(()),
            Some(other) => Err(ApplyError::Collision {
                first: other.layout.source.to_string(),
                second: layout.source.to_string(),
                target: layout.target.to_string(),
            }),
        }
    }

    /// The source has one table of a name at a time. So one that is known by the name of another was dropped or renamed since, and which of both the
    /// stream doesn't say. Until the catalogue has been looked at it goes by its OID, as its history does once it is gone.
    fn step_aside(&mut self, layout: &TableLayout) -> Result<(), ApplyError> {
        let others = self.committed.values().filter(|table| !self.changed.contains_key(&table.layout.id));
        let mut others = others.chain(self.changed.values().map(|(table, _)| table));
        let older = others.find(|other| {
            other.layout.id != layout.id
                && other.phase != Phase::Gone
                && other.layout.source == layout.source
                && other.layout.target == layout.target
        });
        let Some(mut older) = older.cloned() else { return Ok(()) };
        let id = older.layout.id;
        older.layout.target.name = format!("{}_{id}", older.layout.target.name);
        self.transaction.alter_table(&older.to_state()?, &[])?;
        let held = self.write_layout(id).unwrap_or(&older.layout).clone();
        let write_layout = TableLayout { target: older.layout.target.clone(), ..held };
        self.changed.insert(id, (older, write_layout));
        Ok(())
    }

    fn widen(&mut self, id: TableId, attnum: i16, at: Moment) -> Result<(), Interrupt> {
        let Some(mut table) = self.table(id).cloned() else { return Ok(()) };
        let mut write_layout = self.write_layout(id).unwrap_or(&table.layout).clone();
        let was = table.layout.clone();
        let columns = table.layout.columns.iter_mut().chain(&mut write_layout.columns);
        let mut was_narrow = false;
        for column in columns.filter(|column| column.attnum == attnum) {
            was_narrow |= column.column_type != ColumnType::Text;
            column.column_type = ColumnType::Text;
        }
        if was_narrow {
            table.changed(at, steps(&was, &table.layout, &table.schema));
            let alteration = Alteration::Retype { attnum, to: ColumnType::Text };
            self.transaction.alter_table(&table.to_state()?, &[alteration])?;
            self.changed.insert(id, (table, write_layout));
        }
        Ok(())
    }

    /// A table that this transaction creates was not there yet when the columns were widened ahead.
    fn widen_new(&self, layout: &mut TableLayout) {
        for column in &mut layout.columns {
            if self.hoist.widen.contains_key(&(layout.id, column.attnum)) {
                column.column_type = ColumnType::Text;
            }
        }
    }

    /// Takes a table's state as it is to be, creating the table where it is new.
    pub fn put(&mut self, mut table: Table) -> Result<(), Interrupt> {
        if self.table(table.layout.id).is_some() {
            self.transaction.put_state(&table.to_state()?)?;
        } else {
            self.widen_new(&mut table.layout);
            self.check_name(&table.layout)?;
            self.transaction.create_table(&table.to_state()?)?;
        }
        let layout = table.layout.clone();
        self.changed.insert(layout.id, (table, layout));
        Ok(())
    }

    /// Deletes a table's rows and versions: its first load starts again.
    pub fn clear(&mut self, layout: &TableLayout) -> Result<(), Interrupt> {
        self.discard(layout.id, true)?;
        Ok(self.transaction.clear(layout)?)
    }

    /// Appends rows of the base as the versions that open the history.
    pub fn load(&mut self, table: &BaseTable, rows: &RecordBatch, at: Moment) -> Result<(), Interrupt> {
        let id = table.schema.id;
        let Some(layout) = self.table(id).map(|table| table.layout.clone()) else { return Ok(()) };
        let group = encode::snapshot_rows(rows, at)?;
        self.transaction.write(&layout, &group)?;
        self.written.insert(id);
        Ok(())
    }

    /// Puts rows of the source aside for [`Self::replace`].
    pub fn stage(&mut self, id: TableId, rows: &RecordBatch) -> Result<(), Interrupt> {
        let Some(layout) = self.table(id).map(|table| table.layout.clone()) else { return Ok(()) };
        Ok(self.transaction.stage(&layout, rows)?)
    }

    /// Makes the table's rows equal the staged ones.
    pub fn replace(&mut self, id: TableId, at: Moment) -> Result<ReplaceCounts, Interrupt> {
        let Some(layout) = self.table(id).map(|table| table.layout.clone()) else {
            return Ok(ReplaceCounts::default());
        };
        self.written.insert(id);
        Ok(self.transaction.replace_with_staged(&layout, at)?)
    }

    /// The table as this transaction leaves it.
    pub fn current(&self, id: TableId) -> Option<&Table> {
        self.table(id)
    }

    /// Hides a table that the source has no more; its history stays.
    pub fn retire(&mut self, mut table: Table, at: Moment) -> Result<(), Interrupt> {
        table.phase = Phase::Gone;
        self.supersede(table.layout.id, "the table is gone", at.position)?;
        self.transaction.retire_table(&table.to_state()?, at)?;
        let layout = table.layout.clone();
        self.changed.insert(layout.id, (table, layout));
        Ok(())
    }

    /// Commits with the progress, and returns what changed.
    pub fn commit(mut self, progress: &Progress) -> Result<Committed, Interrupt> {
        self.transaction.set_progress(progress)?;
        fail::fail_point!("apply::before_commit");
        self.transaction.commit()?;
        fail::fail_point!("apply::after_commit");
        *self.hoist = Hoist::default();
        let (holds, files_gone) = self.aside.finish();
        let tables = self.changed.into_iter().map(|(id, (table, _))| (id, table)).collect();
        Ok(Committed { tables, holds, files_gone })
    }
}
