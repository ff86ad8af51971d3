//! Transactions gathered into one batch, sorted by table. Pure.
//!
//! A batch holds whole transactions, or a piece of one that is too large to be held. Within a table the order of changes is kept; between tables it
//! need not be, for the batch becomes visible at once.

use std::{collections::HashMap, sync::Arc};

use millstream_core::{
    warehouse::Moment, ChangeKind, TableId, TableSchema, TransactionHeader, TransactionPart,
};

use crate::{
    clock::Clock,
    plan::{RowChange, RowChangeKind},
    table::Table,
};

/// A run of changes that is executed as one.
#[derive(Debug, Clone)]
pub enum Segment {
    /// Rows that came, changed and went under one schema.
    Rows {
        /// The schema.
        schema: Arc<TableSchema>,
        /// The changes, in order.
        changes: Vec<RowChange>,
    },
    /// All rows went.
    Truncate(Moment),
}

/// Transactions, sorted by table.
#[derive(Debug, Default)]
pub struct Batch {
    /// What happened to each table, in order.
    pub tables: HashMap<TableId, Vec<Segment>>,
    /// Schemas as they were announced, in order, and where.
    pub schemas: Vec<(Arc<TableSchema>, Moment)>,
    /// The transactions that end in this batch, in commit order.
    pub headers: Vec<Arc<TransactionHeader>>,
    /// The transaction last pushed.
    pub last: Option<Arc<TransactionHeader>>,
    /// Whether the last transaction goes on behind the batch.
    pub is_cut: bool,
    /// Changes of rows.
    pub rows: u64,
    /// What it occupies in memory, roughly.
    pub bytes: usize,
}

impl Batch {
    /// Adds the next piece. `tables`: what is known so far, which decides what is skipped. `selected`: whether a table not
    /// known so far is replicated.
    pub fn push(
        &mut self,
        part: TransactionPart,
        clock: &mut Clock,
        tables: &HashMap<TableId, Table>,
        selected: impl Fn(&TableSchema) -> bool,
    ) {
        let time = if part.first { clock.tick(part.header.commit_time) } else { clock.last() };
        for change in part.changes {
            let at = Moment {
                time,
                position: millstream_core::Position {
                    commit_lsn: part.header.commit_lsn,
                    ordinal: change.ordinal,
                },
            };
            let (schema, kind) = match change.kind {
                ChangeKind::Insert { table, new } => (table, RowChangeKind::Insert(new)),
                ChangeKind::Update { table, old, new } => (table, RowChangeKind::Update { old, new }),
                ChangeKind::Delete { table, old } => (table, RowChangeKind::Delete(old)),
                ChangeKind::Truncate { tables: truncated, .. } => {
                    for schema in truncated {
                        if self.takes(&schema, &part.header, tables, &selected) {
                            self.announce(&schema, at, tables);
                            self.tables.entry(schema.id).or_default().push(Segment::Truncate(at));
                        }
                    }
                    continue;
                }
                ChangeKind::Schema { table } => {
                    if self.takes(&table, &part.header, tables, &selected) {
                        self.announce(&table, at, tables);
                    }
                    continue;
                }
                ChangeKind::Message { .. } => continue,
            };
            if !self.takes(&schema, &part.header, tables, &selected) {
                continue;
            }
            self.rows += 1;
            let segments = self.tables.entry(schema.id).or_default();
            match segments.last_mut() {
                Some(Segment::Rows { schema: current, changes })
                    if Arc::ptr_eq(current, &schema) || *current == schema =>
                {
                    changes.push(RowChange { at, kind });
                }
                _ => {
                    segments.push(Segment::Rows {
                        schema: schema.clone(),
                        changes: vec![RowChange { at, kind }],
                    });
                    self.announce(&schema, at, tables);
                }
            }
        }
        self.bytes += part.bytes;
        self.is_cut = !part.last;
        if part.last {
            self.headers.push(part.header.clone());
        }
        self.last = Some(part.header);
    }

    /// Whether the table takes this transaction's changes.
    fn takes(
        &self,
        schema: &TableSchema,
        header: &TransactionHeader,
        tables: &HashMap<TableId, Table>,
        selected: impl Fn(&TableSchema) -> bool,
    ) -> bool {
        match tables.get(&schema.id) {
            Some(table) => {
                table.phase.follows() && !table.phase.fence().is_some_and(|fence| fence.holds(header))
            }
            None => selected(schema),
        }
    }

    /// Notes a schema that is not the one last heard of.
    fn announce(&mut self, schema: &Arc<TableSchema>, at: Moment, tables: &HashMap<TableId, Table>) {
        let last = self.schemas.iter().rev().map(|(last, _)| last).find(|last| last.id == schema.id);
        let last = last.or_else(|| tables.get(&schema.id).map(|table| &table.schema));
        if last.is_none_or(|last| !Arc::ptr_eq(last, schema) && last != schema) {
            self.schemas.push((schema.clone(), at));
        }
    }
}
