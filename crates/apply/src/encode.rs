//! From a plan's tuples to the warehouse port's record batches.
//!
//! Tuples follow the source's schema, batches the layout: columns are matched by attribute number. A tuple is walked once, its values pushed
//! into one builder per column.

use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, RecordBatch, StringArray, TimestampMicrosecondArray, UInt64Array};
use arrow_schema::{ArrowError, DataType, Field, Schema, TimeUnit};
use arrow_select::take::take_record_batch;
use millstream_core::{
    warehouse::{meta, physical_name, LayoutColumn, Moment, Operation, RowGroup, TableLayout},
    Position, TableSchema, Tuple, TupleBuilder, Value,
};
use millstream_pgoutput::{column::ColumnBuilder, render, types::arrow_field, value::ValueError};

use crate::{
    error::ApplyError,
    key::KeyColumns,
    plan::{key_text, End, TablePlan, Version},
};

/// A row that can't be put into its batch.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// A value that its column can't hold.
    #[error("column {column}: {reason}")]
    Unrepresentable {
        /// Which column.
        attnum: i16,
        /// Its name.
        column: String,
        /// Why.
        reason: String,
        /// The row's key.
        key: String,
        /// Where it stands.
        position: Position,
    },
    /// A value that is not of its type.
    #[error("column {column}: {reason}")]
    Malformed {
        /// Its name.
        column: String,
        /// Why.
        reason: String,
    },
    /// Arrow refused.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
}

impl EncodeError {
    /// As an error of applying.
    pub fn into_apply_error(self, layout: &TableLayout) -> ApplyError {
        let table = layout.source.to_string();
        match self {
            EncodeError::Unrepresentable { column, reason, key, position, .. } => {
                ApplyError::Unrepresentable { table, column, reason, position, key }
            }
            EncodeError::Malformed { column, reason } => ApplyError::Malformed { table, column, reason },
            EncodeError::Arrow(error) => ApplyError::Arrow(error),
        }
    }

    /// From a value's error in a column.
    pub fn of_value(column: &LayoutColumn, error: ValueError, key: String, position: Position) -> Self {
        let reason = error.to_string();
        if error.is_unrepresentable() {
            EncodeError::Unrepresentable {
                attnum: column.attnum,
                column: column.name.clone(),
                reason,
                key,
                position,
            }
        } else {
            EncodeError::Malformed { column: column.name.clone(), reason }
        }
    }
}

/// Builders for some of a layout's columns, fed with tuples of a schema.
struct Rows<'a> {
    schema: &'a TableSchema,
    columns: Vec<&'a LayoutColumn>,
    builders: Vec<ColumnBuilder>,
    /// For each column of the schema, the builder it feeds.
    feeds: Vec<Option<usize>>,
    /// Builders that no column of the schema feeds, and the text they take.
    unfed: Vec<(usize, Option<&'a str>)>,
}

impl<'a> Rows<'a> {
    fn new(
        schema: &'a TableSchema,
        columns: Vec<&'a LayoutColumn>,
        existing: impl Fn(i16) -> Option<&'a str>,
        capacity: usize,
    ) -> Self {
        let mut feeds = vec![None; schema.columns.len()];
        let mut unfed = Vec::new();
        let mut builders = Vec::with_capacity(columns.len());
        for (index, column) in columns.iter().enumerate() {
            let kind = match schema.column_by_attnum(column.attnum) {
                Some(from) => {
                    feeds[from] = Some(index);
                    &schema.columns[from].pg_type.kind
                }
                None => {
                    unfed.push((index, existing(column.attnum)));
                    &millstream_core::TypeKind::Other
                }
            };
            builders.push(ColumnBuilder::new(kind, &column.column_type, capacity));
        }
        Rows { schema, columns, builders, feeds, unfed }
    }

    /// Appends a tuple. `at` is for the error.
    fn push(&mut self, row: &Tuple, at: Position) -> Result<(), EncodeError> {
        for (value, feed) in row.values().zip(&self.feeds) {
            if let Some(index) = *feed {
                if let Err(error) = self.builders[index].push_value(value) {
                    let key = key_text(&KeyColumns::of(self.schema), row);
                    return Err(EncodeError::of_value(self.columns[index], error, key, at));
                }
            }
        }
        for &(index, text) in &self.unfed {
            match text {
                None => self.builders[index].push_null(),
                Some(text) => self.builders[index]
                    .push_text(text.as_bytes())
                    .map_err(|error| EncodeError::of_value(self.columns[index], error, String::new(), at))?,
            }
        }
        Ok(())
    }

    fn finish(self) -> (Vec<Field>, Vec<ArrayRef>) {
        let fields = self
            .columns
            .iter()
            .map(|column| arrow_field(physical_name(column.attnum), &column.column_type))
            .collect();
        (fields, self.builders.into_iter().map(ColumnBuilder::finish).collect())
    }
}

fn timestamps(moments: impl Iterator<Item = Moment>) -> ArrayRef {
    let times = TimestampMicrosecondArray::from_iter_values(moments.map(|moment| moment.time.0));
    Arc::new(times.with_timezone("UTC"))
}

fn timestamp_field(name: &str) -> Field {
    Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false)
}

fn unsigned(values: impl Iterator<Item = u64>) -> ArrayRef {
    Arc::new(UInt64Array::from_iter_values(values))
}

/// The bookkeeping columns of a batch being put together.
struct Meta(Vec<Field>, Vec<ArrayRef>);

impl Meta {
    fn time(mut self, name: &str, moments: impl Iterator<Item = Moment>) -> Self {
        self.0.push(timestamp_field(name));
        self.1.push(timestamps(moments));
        self
    }

    fn operation(mut self, operations: impl Iterator<Item = Operation>) -> Self {
        self.0.push(Field::new(meta::OPERATION, DataType::Utf8, false));
        self.1.push(Arc::new(StringArray::from_iter_values(operations.map(Operation::as_str))));
        self
    }

    /// What every open version carries.
    fn opened(self, opened: impl Iterator<Item = (Moment, Operation)> + Clone) -> Self {
        let moments = opened.clone().map(|(moment, _)| moment);
        self.time(meta::VALID_FROM, moments.clone())
            .operation(opened.map(|(_, operation)| operation))
            .position(meta::LSN, meta::SEQ, moments)
    }

    fn position(mut self, lsn: &str, seq: &str, moments: impl Iterator<Item = Moment> + Clone) -> Self {
        self.0.push(Field::new(lsn, DataType::UInt64, false));
        self.1.push(unsigned(moments.clone().map(|moment| moment.position.commit_lsn.0)));
        self.0.push(Field::new(seq, DataType::UInt64, false));
        self.1.push(unsigned(moments.map(|moment| moment.position.ordinal)));
        self
    }

    fn batch(self) -> Result<RecordBatch, ArrowError> {
        RecordBatch::try_new(Arc::new(Schema::new(self.0)), self.1)
    }
}

/// The row group that a plan comes to. `existing`: what rows older than an added column hold in it.
///
/// The plan's unchanged values must have been filled in.
pub fn row_group<'a>(
    plan: &'a TablePlan,
    layout: &'a TableLayout,
    existing: impl Fn(i16) -> Option<&'a str>,
) -> Result<RowGroup, EncodeError> {
    let mut group = RowGroup::default();
    if !plan.closes.is_empty() {
        group.close = Some(close_batch(plan, layout)?);
    }
    if plan.versions.is_empty() {
        return Ok(group);
    }
    let mut rows = Rows::new(&plan.schema, layout.live_columns().collect(), existing, plan.versions.len());
    for version in &plan.versions {
        rows.push(&version.row, version.opened.position)?;
    }
    let (fields, columns) = rows.finish();
    let data = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;

    // A deleted version stands twice among the closed: as it was, and as the event.
    let mut open: Vec<&Version> = Vec::new();
    let mut open_rows: Vec<u64> = Vec::new();
    let mut closed: Vec<(Moment, Operation, End)> = Vec::new();
    let mut closed_rows: Vec<u64> = Vec::new();
    for (index, version) in plan.versions.iter().enumerate() {
        let Some(end) = version.end else {
            open.push(version);
            open_rows.push(index as u64);
            continue;
        };
        closed.push((version.opened, version.operation, end));
        closed_rows.push(index as u64);
        if end.deleted {
            closed.push((end.at, Operation::Delete, end));
            closed_rows.push(index as u64);
        }
    }
    if !closed.is_empty() {
        let data = take_record_batch(&data, &UInt64Array::from(closed_rows))?;
        let opens = closed.iter().map(|(opened, _, _)| *opened);
        let ends = closed.iter().map(|(_, _, end)| end.at);
        let batch = Meta::over(data)
            .time(meta::VALID_FROM, opens.clone())
            .time(meta::VALID_TO, ends.clone())
            .operation(closed.iter().map(|(_, operation, _)| *operation))
            .position(meta::LSN, meta::SEQ, opens)
            .position(meta::LSN_TO, meta::SEQ_TO, ends)
            .batch()?;
        group.closed = Some(batch);
    }
    if !open.is_empty() {
        let data =
            if closed.is_empty() { data } else { take_record_batch(&data, &UInt64Array::from(open_rows))? };
        let batch = Meta::over(data)
            .opened(open.iter().map(|version| (version.opened, version.operation)))
            .batch()?;
        group.open = Some(batch);
    }
    Ok(group)
}

impl Meta {
    fn over(data: RecordBatch) -> Self {
        let fields = data.schema().fields().iter().map(|field| field.as_ref().clone()).collect();
        Meta(fields, data.columns().to_vec())
    }
}

fn close_batch(plan: &TablePlan, layout: &TableLayout) -> Result<RecordBatch, EncodeError> {
    let mut rows = matched_columns(&plan.schema, layout, plan.closes.len());
    for close in &plan.closes {
        rows.push(&close.row, close.end.at.position)?;
    }
    let (fields, columns) = rows.finish();
    let ends = plan.closes.iter().map(|close| close.end.at);
    let mut meta =
        Meta(fields, columns).time(meta::VALID_TO, ends.clone()).position(meta::LSN_TO, meta::SEQ_TO, ends);
    meta.0.push(Field::new(meta::DELETED, DataType::Boolean, false));
    meta.1.push(Arc::new(plan.closes.iter().map(|close| Some(close.end.deleted)).collect::<BooleanArray>()));
    Ok(meta.batch()?)
}

/// Builders for the columns that rows are matched by: the key's in its order, or all.
fn matched_columns<'a>(schema: &'a TableSchema, layout: &'a TableLayout, capacity: usize) -> Rows<'a> {
    let columns = match &schema.key {
        // By the schema's key rather than the layout's: they differ while a batch crosses a change of the key.
        Some(key) => key
            .iter()
            .filter_map(|&index| {
                let attnum = schema.columns[index].attnum;
                layout.columns.iter().find(|column| column.attnum == attnum)
            })
            .collect(),
        None => layout.live_columns().collect(),
    };
    Rows::new(schema, columns, |_| None, capacity)
}

/// What some tuples are matched by, in the layout's types: their keys, or the whole rows where there is none.
pub fn keys<'a>(
    schema: &TableSchema,
    layout: &TableLayout,
    tuples: impl Iterator<Item = &'a Tuple>,
) -> Result<RecordBatch, EncodeError> {
    let mut rows = matched_columns(schema, layout, tuples.size_hint().0);
    for tuple in tuples {
        rows.push(tuple, Position::default())?;
    }
    let (fields, columns) = rows.finish();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// Rows copied from the source, as versions that open at `at`.
pub fn snapshot_rows(rows: &RecordBatch, at: Moment) -> Result<RowGroup, ArrowError> {
    let opened = std::iter::repeat_n((at, Operation::Snapshot), rows.num_rows());
    Ok(RowGroup { open: Some(Meta::over(rows.clone()).opened(opened).batch()?), ..RowGroup::default() })
}

/// A row of the warehouse as a tuple of the source's schema: its values in PostgreSQL's text form. Columns that the
/// warehouse does not hold are unchanged.
pub fn tuple(
    schema: &TableSchema,
    layout: &TableLayout,
    batch: &RecordBatch,
    row: usize,
) -> Result<Tuple, ApplyError> {
    let mut builder = TupleBuilder::new();
    let mut text = String::new();
    for column in &schema.columns {
        let held = layout.live_columns().position(|held| held.attnum == column.attnum);
        let Some(array) = held.map(|index| batch.column(index)) else {
            builder.push(Value::Unchanged);
            continue;
        };
        if array.is_null(row) {
            builder.push(Value::Null);
        } else {
            text.clear();
            render::write_text(array, row, &mut text)?;
            builder.push(Value::Text(text.as_bytes()));
        }
    }
    Ok(builder.finish())
}
