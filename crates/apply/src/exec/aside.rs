//! Changes set aside within a warehouse transaction, and brought back.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use arrow_array::{RecordBatch, UInt64Array};
use arrow_schema::{DataType, Field, Schema};
use millstream_core::{
    base::{BaseTable, CopyEncoding},
    warehouse::{meta, Moment, QuarantinedChange, TableLayout},
    Lsn, Position, TableId, TableSchema, Tuple, TupleBuilder, TypeKind, Value,
};
use millstream_pgoutput::{column::ColumnBuilder, copy::Row, value::ValueError};

use super::{Execution, Interrupt};
use crate::{
    encode,
    error::ApplyError,
    key::KeyColumns,
    layout::{key_of, OnUnrepresentable, VALUE_BYTES_LEAST},
    plan::{key_text, RowChange, RowChangeKind},
    quarantine::{
        content::identity,
        hold::{part, too_large, Fitting, Held, CHANGES_MAX},
        Content, Holds, Reason, Superseded, ValueFiles,
    },
};

/// Bytes of changes that are brought back at a time: as one batch.
const REPLAY_BYTES_MAX: usize = 24 << 20;

/// What a transaction does to the quarantine.
pub(super) struct Aside<'a> {
    files: &'a ValueFiles,
    committed: &'a Holds,
    /// Set once this transaction changes it.
    own: Option<Holds>,
    /// Files of changes that were taken out, and of those put in.
    released: HashSet<String>,
    kept: HashSet<String>,
}

/// What became of a table's changes that were brought back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Applied.
    pub replayed: usize,
    /// Still held.
    pub held: usize,
}

/// A row of a copy that is to be set aside.
pub(crate) struct CopiedRow {
    /// Tells it from the copy's other rows.
    pub(crate) ordinal: u64,
    /// The row.
    pub(crate) row: Tuple,
    /// Why.
    pub(crate) reason: Reason,
}

impl<'a> Aside<'a> {
    pub(super) fn new(files: &'a ValueFiles, committed: &'a Holds) -> Self {
        Aside { files, committed, own: None, released: HashSet::new(), kept: HashSet::new() }
    }

    fn holds(&self) -> &Holds {
        self.own.as_ref().unwrap_or(self.committed)
    }

    fn holds_mut(&mut self) -> &mut Holds {
        self.own.get_or_insert_with(|| self.committed.clone())
    }

    /// What is held behind the transaction, if that changed, and the files that nothing refers to any more.
    pub(super) fn finish(self) -> (Option<Holds>, Vec<String>) {
        (self.own, self.released.difference(&self.kept).cloned().collect())
    }
}

impl Execution<'_> {
    /// Sets aside what can't be applied, and what follows it; returns what goes on.
    pub(super) fn set_aside(
        &mut self,
        layout: &TableLayout,
        schema: &Arc<TableSchema>,
        changes: Vec<RowChange>,
        xid: impl Fn(Lsn) -> Option<u32>,
    ) -> Result<Vec<RowChange>, Interrupt> {
        let checks = self.hoist.check.contains(&layout.id);
        let plain = !checks && !self.aside.holds().has(layout.id);
        // Most batches end here, and cost one look at each row's length.
        if plain && !changes.iter().any(|change| change.bytes() > VALUE_BYTES_LEAST) {
            return Ok(changes);
        }
        let max = self.value_bytes_max(layout);
        if plain && !changes.iter().any(|change| too_large(schema, change, max).is_some()) {
            return Ok(changes);
        }
        let mut fitting = checks.then(|| Fitting::new(schema, layout));
        let (go_on, held) = part(schema, changes, self.aside.holds_mut(), |change| {
            too_large(schema, change, max)
                .or_else(|| fitting.as_mut().and_then(|fitting| fitting.check(change)))
        });
        self.keep(layout, schema, held, xid)?;
        Ok(go_on)
    }

    /// The largest value of the table that is applied.
    pub(crate) fn value_bytes_max(&self, layout: &TableLayout) -> u64 {
        (self.selection.options)(&layout.source).unwrap_or_default().value_bytes_max
    }

    /// Puts changes into quarantine.
    fn keep(
        &mut self,
        layout: &TableLayout,
        schema: &TableSchema,
        held: Vec<Held>,
        xid: impl Fn(Lsn) -> Option<u32>,
    ) -> Result<(), Interrupt> {
        let Some(first) = held.first() else { return Ok(()) };
        let (count, reason) = (held.len(), first.reason.to_string());
        let changes = self.aside.holds().changes;
        if changes > CHANGES_MAX {
            let table = layout.source.to_string();
            return Err(ApplyError::QuarantineFull { changes, table, reason }.into());
        }
        let columns = KeyColumns::of(schema);
        let mut kept = Vec::with_capacity(count);
        for Held { change, reason, keys } in held {
            let mut content = Content::of(&change, schema, self.aside.files)?;
            content.xid = xid(change.at.position.commit_lsn);
            content.column = reason.column().map(str::to_owned);
            content.holds = keys.iter().map(|key| format!("{key:032x}")).collect();
            self.aside.kept.extend(content.files().map(|(name, ..)| name.to_owned()));
            kept.push(QuarantinedChange {
                position: identity(&change),
                table: layout.id,
                name: layout.source.clone(),
                code: reason.code().to_owned(),
                reason: reason.to_string(),
                key: key_text(&columns, change.row()),
                content: content.to_json()?,
            });
        }
        self.transaction.quarantine(&kept)?;
        tracing::warn!(
            event = "changes_quarantined",
            table = %layout.source,
            changes = count,
            first = %kept[0].position,
            key = kept[0].key,
            reason,
            "changes were set aside; see `millstream quarantine list`"
        );
        Ok(())
    }

    /// Whether a row of a copy with this error is set aside.
    pub(crate) fn sets_aside(&self, layout: &TableLayout, error: &ValueError) -> bool {
        let options = (self.selection.options)(&layout.source).unwrap_or_default();
        match error {
            ValueError::TooLarge { .. } => true,
            ValueError::Unrepresentable { .. } | ValueError::Malformed { .. } => {
                options.on_unrepresentable == OnUnrepresentable::Quarantine
            }
            ValueError::Unchanged | ValueError::BatchFull => false,
        }
    }

    /// Sets rows of a copy aside. With `replace` the copy replaces the table's rows: those that the warehouse holds under the same key stay what they
    /// are, so they are staged as if they had been copied.
    pub(crate) fn set_rows_aside(
        &mut self,
        schema: &Arc<TableSchema>,
        rows: Vec<CopiedRow>,
        at: Moment,
        replace: bool,
    ) -> Result<(), Interrupt> {
        let Some(layout) = self.current(schema.id).map(|table| table.layout.clone()) else { return Ok(()) };
        let mut there = HashSet::new();
        if replace && schema.key.is_some() {
            // A row whose key can't be held is not there.
            let mut fitting = Fitting::new(schema, &layout);
            let sought: Vec<u64> = (0_u64..)
                .zip(&rows)
                .filter(|(_, row)| fitting.holds_key(&row.row))
                .map(|(index, _)| index)
                .collect();
            let keys = encode::keys(schema, &layout, sought.iter().map(|&index| &rows[index as usize].row))
                .map_err(|error| error.into_apply_error(&layout))?;
            let keys = numbered(&keys, sought.iter().copied())?;
            for found in self.transaction.lookup(&layout, &keys)? {
                let ordinals = ordinals(&found)?;
                there.extend(ordinals.values().iter().copied());
                let columns: Vec<usize> = (0..found.num_columns() - 1).collect();
                self.transaction.stage(&layout, &found.project(&columns)?)?;
            }
        }
        let mut held = Vec::with_capacity(rows.len());
        for (index, CopiedRow { ordinal, row, reason }) in (0_u64..).zip(rows) {
            let replaces = there.contains(&index);
            let change = RowChange { at, kind: RowChangeKind::Copied { ordinal, replaces, new: row } };
            held.push(self.aside.holds_mut().hold_change(schema, change, reason));
        }
        self.keep(&layout, schema, held, |_| None)
    }

    /// The table is right without its changes in quarantine: they hold nothing any more.
    pub(crate) fn supersede(&mut self, id: TableId, by: &str, at: Position) -> Result<(), Interrupt> {
        if !self.aside.holds().has(id) {
            return Ok(());
        }
        let mut changes = self.transaction.release(id)?;
        for change in &mut changes {
            let mut content = Content::parse(change)?;
            content.superseded.get_or_insert_with(|| Superseded { by: by.to_owned(), at });
            change.content = content.to_json()?;
        }
        self.transaction.quarantine(&changes)?;
        self.aside.holds_mut().supersede(id);
        tracing::warn!(
            event = "quarantine_superseded",
            table = %changes.first().map(|change| change.name.to_string()).unwrap_or_default(),
            changes = changes.len(),
            by,
            "changes in quarantine will not come into the table's history any more"
        );
        Ok(())
    }

    /// Takes a table's changes out for good: all, or only those that hold nothing any more. Returns how many, and how many stay.
    pub(crate) fn discard(&mut self, id: TableId, all: bool) -> Result<(usize, usize), Interrupt> {
        let released = self.release(id)?;
        let mut stay = Vec::new();
        let mut gone = 0;
        for (change, content) in released {
            if all || content.superseded.is_some() {
                gone += 1;
            } else {
                self.put_back(&change, &content);
                stay.push(change);
            }
        }
        self.transaction.quarantine(&stay)?;
        Ok((gone, stay.len()))
    }

    fn release(&mut self, id: TableId) -> Result<Vec<(QuarantinedChange, Content)>, Interrupt> {
        let mut released = Vec::new();
        for change in self.transaction.release(id)? {
            let content = Content::parse(&change)?;
            self.aside.released.extend(content.files().map(|(name, ..)| name.to_owned()));
            released.push((change, content));
        }
        self.aside.holds_mut().release(id, released.len());
        Ok(released)
    }

    fn put_back(&mut self, change: &QuarantinedChange, content: &Content) {
        self.aside.kept.extend(content.files().map(|(name, ..)| name.to_owned()));
        self.aside.holds_mut().take(change.position, content);
    }

    /// Applies a table's changes in quarantine, `at` a moment between transactions, as of the moments they had; what still can't be held stays, with what follows it.
    pub(crate) fn replay(&mut self, id: TableId, at: Moment) -> Result<Replayed, Interrupt> {
        let Some(table) = self.current(id).cloned() else { return Ok(Replayed::default()) };
        // A type that was chosen meanwhile takes effect here, ahead of the rows.
        self.evolve(&table.schema, at)?;
        let Some(layout) = self.write_layout(id).cloned() else { return Ok(Replayed::default()) };
        let options = (self.selection.options)(&layout.source).unwrap_or_default();
        if options.on_unrepresentable == OnUnrepresentable::Quarantine {
            self.hoist.check.insert(id);
        }
        for column in &table.schema.columns {
            if let Some(value) = &column.missing_value {
                self.existing.entry((id, column.attnum)).or_insert_with(|| value.clone());
            }
        }
        let released = self.release(id)?;
        let before = released.len();
        let superseded = released.iter().filter(|(_, content)| content.superseded.is_some()).count();
        let xids: HashMap<Lsn, u32> = released
            .iter()
            .filter_map(|(change, content)| Some((change.position.commit_lsn, content.xid?)))
            .collect();
        let mut stay = Vec::new();
        let mut piece = Piece::default();
        for (change, content) in released {
            let too_large = content.files().any(|(_, _, bytes)| bytes > options.value_bytes_max);
            let held = self.aside.holds().first(id, &content.holds).is_some();
            if content.superseded.is_some() || too_large || held {
                self.put_back(&change, &content);
                stay.push(change);
                continue;
            }
            let row = content.change(self.aside.files)?;
            if piece.bytes >= REPLAY_BYTES_MAX || piece.schema.as_deref() != Some(&content.schema) {
                self.replay_piece(&layout, std::mem::take(&mut piece), &xids)?;
            }
            piece.bytes += row.row().as_bytes().len();
            piece.schema.get_or_insert_with(|| Arc::new(content.schema));
            piece.changes.push(row);
        }
        self.replay_piece(&layout, piece, &xids)?;
        self.transaction.quarantine(&stay)?;
        // Counted where they are held: some went back while their piece was applied.
        let held = self.aside.holds().of_table(id);
        Ok(Replayed { replayed: before - superseded - held, held })
    }

    fn replay_piece(
        &mut self,
        layout: &TableLayout,
        piece: Piece,
        xids: &HashMap<Lsn, u32>,
    ) -> Result<(), Interrupt> {
        let Some(schema) = piece.schema else { return Ok(()) };
        let mut layout = layout.clone();
        layout.key = key_of(&schema);
        // A column that was dropped since keeps what these rows held in it.
        for column in &mut layout.columns {
            column.live |= schema.column_by_attnum(column.attnum).is_some();
        }
        let go_on = self.set_aside(&layout, &schema, piece.changes, |lsn| xids.get(&lsn).copied())?;
        if !go_on.is_empty() {
            self.rows(&layout, &schema, go_on)?;
            self.written.insert(layout.id);
        }
        Ok(())
    }
}

/// Changes under one schema that are brought back together.
#[derive(Default)]
struct Piece {
    schema: Option<Arc<TableSchema>>,
    changes: Vec<RowChange>,
    bytes: usize,
}

/// A copied row as the stream would have sent it.
pub(crate) fn copied_tuple(from: &BaseTable, row: Row<'_>) -> Tuple {
    let mut builder = TupleBuilder::new();
    for ((field, column), encoding) in row.fields().zip(&from.schema.columns).zip(&from.encodings) {
        match (field, encoding) {
            (None, _) => builder.push(Value::Null),
            (Some(field), CopyEncoding::Text) => builder.push(Value::Text(field)),
            // The same in both forms; it can be a gigabyte.
            (Some(field), _) if column.pg_type.kind == TypeKind::Text => builder.push(Value::Text(field)),
            (Some(field), CopyEncoding::Binary) => {
                match ColumnBuilder::text_of_binary(&column.pg_type.kind, field) {
                    Ok(text) => builder.push(Value::Text(&text)),
                    // Kept as it came, for a person to look at.
                    Err(_) => builder.push(Value::Binary(field)),
                }
            }
        };
    }
    builder.finish()
}

/// Keys with a number each behind them, as a lookup takes them.
pub(super) fn numbered(
    keys: &RecordBatch,
    numbers: impl Iterator<Item = u64>,
) -> Result<RecordBatch, Interrupt> {
    let mut fields: Vec<_> = keys.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(meta::ORDINAL, DataType::UInt64, false)));
    let mut columns = keys.columns().to_vec();
    columns.push(Arc::new(UInt64Array::from_iter_values(numbers)));
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// The numbers that a lookup hands back.
pub(super) fn ordinals(found: &RecordBatch) -> Result<&UInt64Array, ApplyError> {
    let last = found.column(found.num_columns() - 1);
    last.as_any().downcast_ref::<UInt64Array>().ok_or_else(|| {
        ApplyError::Arrow(arrow_schema::ArrowError::SchemaError(
            "a lookup's last column is not the ordinal".into(),
        ))
    })
}
