//! Values of one column, put into an Arrow array.
//!
//! [`ColumnBuilder`] takes values in any of the forms that a column meets on its way: PostgreSQL's text (the stream), its binary form (COPY),
//! a row of an array that is there already (the warehouse's previous version). A value that fails leaves the builder as it was.

mod append;
mod binary;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow_array::{
    types::{
        ArrowPrimitiveType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type,
        Int64Type, IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType, UInt32Type,
    },
    ArrayRef, BinaryArray, BooleanArray, FixedSizeBinaryArray, ListArray, PrimitiveArray, StringArray,
};
use arrow_buffer::{
    BooleanBufferBuilder, Buffer, IntervalMonthDayNano, NullBuffer, NullBufferBuilder, OffsetBuffer,
    ScalarBuffer,
};
use arrow_schema::{DataType, Field};
use millstream_core::{ColumnType, TypeKind, Value};

use crate::{
    types::{arrow_field, arrow_type, LIST_ITEM, UTC},
    value::{
        array, bytes,
        datetime::{self, Zone},
        float, interval, number,
        send::write_as_text,
        Excerpt, Fault, Parsed, ValueError, NOT_UTF8, NO_BINARY,
    },
};

/// Bytes that a value of text is expected to take, for the first allocation only.
const TEXT_BYTES_TYPICAL: usize = 16;
/// Elements that a list is expected to have, likewise.
const LIST_ITEMS_TYPICAL: usize = 4;

/// Builds one column.
///
/// Every pair of kind and column type is taken; which make sense is told by [`crate::types::is_supported`], and others fail value by value.
#[derive(Debug)]
pub struct ColumnBuilder {
    kind: TypeKind,
    column_type: ColumnType,
    nulls: NullBufferBuilder,
    values: Values,
}

/// The values so far; NULLs hold a zero.
#[derive(Debug)]
enum Values {
    Boolean(BooleanBufferBuilder),
    SmallInt(Vec<i16>),
    Integer(Vec<i32>),
    BigInt(Vec<i64>),
    UInteger(Vec<u32>),
    Real(Vec<f32>),
    Double(Vec<f64>),
    Decimal {
        values: Vec<i128>,
        precision: u8,
        scale: u8,
    },
    /// Text and JSON: every value is checked to be UTF-8 as it comes.
    Text(Bytes),
    Blob(Bytes),
    Date(Vec<i32>),
    Time(Vec<i64>),
    Timestamp {
        values: Vec<i64>,
        zone: Zone,
    },
    Interval(Vec<IntervalMonthDayNano>),
    Uuid(Vec<u8>),
    List {
        offsets: Vec<i32>,
        items: Box<ColumnBuilder>,
    },
}

/// Values of varying length: value `i` lies between offsets `i` and `i + 1`.
#[derive(Debug)]
struct Bytes {
    offsets: Vec<i32>,
    bytes: Vec<u8>,
}

impl Bytes {
    fn new(capacity: usize) -> Self {
        let mut offsets = Vec::with_capacity(capacity + 1);
        offsets.push(0);
        Bytes { offsets, bytes: Vec::with_capacity(capacity * TEXT_BYTES_TYPICAL) }
    }

    fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Ends the value whose bytes were appended; takes them back if they are too many.
    #[inline]
    fn close(&mut self) -> Parsed<()> {
        match i32::try_from(self.bytes.len()) {
            Ok(offset) => {
                self.offsets.push(offset);
                Ok(())
            }
            Err(_) => {
                self.reopen();
                Err(Fault::BatchFull)
            }
        }
    }

    /// Takes back the bytes of a value that was not ended.
    #[cold]
    fn reopen(&mut self) {
        self.bytes.truncate(self.offsets[self.len()] as usize);
    }

    #[inline]
    fn push(&mut self, value: &[u8]) -> Parsed<()> {
        self.bytes.extend_from_slice(value);
        self.close()
    }

    #[inline]
    fn push_text(&mut self, value: &[u8]) -> Parsed<()> {
        if std::str::from_utf8(value).is_err() {
            return Err(NOT_UTF8);
        }
        self.push(value)
    }

    fn push_null(&mut self) {
        self.offsets.push(self.offsets[self.len()]);
    }

    fn truncate(&mut self, len: usize) {
        self.offsets.truncate(len + 1);
        self.reopen();
    }

    fn take(&mut self) -> (OffsetBuffer<i32>, Buffer) {
        let Bytes { offsets, bytes } = std::mem::replace(self, Bytes::new(0));
        // Offsets only ever grow and begin with zero.
        (OffsetBuffer::new(ScalarBuffer::from(offsets)), Buffer::from_vec(bytes))
    }
}

impl ColumnBuilder {
    /// A builder for values of `kind` as `column_type`, with room for so many before it must grow.
    pub fn new(kind: &TypeKind, column_type: &ColumnType, capacity: usize) -> Self {
        let values = match column_type {
            ColumnType::Boolean => Values::Boolean(BooleanBufferBuilder::new(capacity)),
            ColumnType::SmallInt => Values::SmallInt(Vec::with_capacity(capacity)),
            ColumnType::Integer => Values::Integer(Vec::with_capacity(capacity)),
            ColumnType::BigInt => Values::BigInt(Vec::with_capacity(capacity)),
            ColumnType::UInteger => Values::UInteger(Vec::with_capacity(capacity)),
            ColumnType::Real => Values::Real(Vec::with_capacity(capacity)),
            ColumnType::Double => Values::Double(Vec::with_capacity(capacity)),
            ColumnType::Decimal(precision, scale) => {
                Values::Decimal { values: Vec::with_capacity(capacity), precision: *precision, scale: *scale }
            }
            ColumnType::Text | ColumnType::Json => Values::Text(Bytes::new(capacity)),
            ColumnType::Blob => Values::Blob(Bytes::new(capacity)),
            ColumnType::Date => Values::Date(Vec::with_capacity(capacity)),
            ColumnType::Time => Values::Time(Vec::with_capacity(capacity)),
            ColumnType::Timestamp => Values::Timestamp {
                values: Vec::with_capacity(capacity),
                zone: if *kind == TypeKind::TimestampTz { Zone::Allowed } else { Zone::Forbidden },
            },
            ColumnType::TimestampTz => {
                Values::Timestamp { values: Vec::with_capacity(capacity), zone: Zone::Allowed }
            }
            ColumnType::Interval => Values::Interval(Vec::with_capacity(capacity)),
            ColumnType::Uuid => Values::Uuid(Vec::with_capacity(capacity * 16)),
            ColumnType::List(item) => {
                let item_kind = match kind {
                    TypeKind::Array(element) => element,
                    other => other,
                };
                let mut offsets = Vec::with_capacity(capacity + 1);
                offsets.push(0);
                let items = ColumnBuilder::new(item_kind, item, capacity * LIST_ITEMS_TYPICAL);
                Values::List { offsets, items: Box::new(items) }
            }
        };
        ColumnBuilder {
            kind: kind.clone(),
            column_type: column_type.clone(),
            nulls: NullBufferBuilder::new(capacity),
            values,
        }
    }

    /// The column's type.
    pub fn column_type(&self) -> &ColumnType {
        &self.column_type
    }

    /// The Arrow type of what it builds.
    pub fn data_type(&self) -> DataType {
        arrow_type(&self.column_type)
    }

    /// Values so far.
    pub fn len(&self) -> usize {
        self.nulls.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends a value of a tuple.
    #[inline]
    pub fn push_value(&mut self, value: Value<'_>) -> Result<(), ValueError> {
        match value {
            Value::Text(text) => self.push_text(text),
            Value::Null => {
                self.push_null();
                Ok(())
            }
            Value::Binary(bytes) => self.push_binary(bytes),
            Value::Unchanged => Err(ValueError::Unchanged),
        }
    }

    /// Appends a value in PostgreSQL's text form. A `Text` column takes it as it is, but for the zeros that end the fraction of a
    /// `numeric` without declared scale, of which a decimal would not have told either.
    #[inline]
    pub fn push_text(&mut self, text: &[u8]) -> Result<(), ValueError> {
        match self.values.push_text(&self.kind, text) {
            Ok(()) => {
                self.nulls.append_non_null();
                Ok(())
            }
            Err(fault) => Err(self.explain(fault, Excerpt::text(text))),
        }
    }

    /// Appends a value in PostgreSQL's binary form.
    #[inline]
    pub fn push_binary(&mut self, bytes: &[u8]) -> Result<(), ValueError> {
        match self.values.push_binary(&self.kind, bytes) {
            Ok(()) => {
                self.nulls.append_non_null();
                Ok(())
            }
            Err(fault) => self.push_odd_binary(bytes, fault),
        }
    }

    /// A binary value that did not go in: by way of its text if only the pair of kind and column type is unusual, which happens when a
    /// type is chosen anew after the column was copied.
    #[cold]
    fn push_odd_binary(&mut self, bytes: &[u8], fault: Fault) -> Result<(), ValueError> {
        let mut text = Vec::new();
        match (write_as_text(&self.kind, bytes, &mut text), fault) {
            (Ok(()), NO_BINARY) => self.push_text(&text),
            (Ok(()), fault) => Err(self.explain(fault, Excerpt::text(&text))),
            (Err(_), fault) => Err(self.explain(fault, Excerpt::binary(bytes))),
        }
    }

    #[cold]
    fn explain(&self, fault: Fault, value: Excerpt) -> ValueError {
        let fault = match (&self.kind, fault) {
            // Any text is a good text: it is the chosen type that doesn't hold it.
            (TypeKind::Text | TypeKind::Enum | TypeKind::Other, Fault::Malformed(why))
                if self.column_type != ColumnType::Text =>
            {
                Fault::Unrepresentable(why)
            }
            (_, fault) => fault,
        };
        fault.explain(value, self.column_type.clone())
    }

    /// A value in PostgreSQL's binary form as PostgreSQL's text.
    pub fn text_of_binary(kind: &TypeKind, bytes: &[u8]) -> Result<Vec<u8>, ValueError> {
        let mut text = Vec::new();
        match write_as_text(kind, bytes, &mut text) {
            Ok(()) => Ok(text),
            Err(fault) => Err(fault.explain(Excerpt::binary(bytes), ColumnType::Text)),
        }
    }

    /// Appends NULL.
    #[inline]
    pub fn push_null(&mut self) {
        self.values.push_null();
        self.nulls.append_null();
    }

    /// Drops all values but the first `len`.
    pub fn truncate(&mut self, len: usize) {
        if len < self.len() {
            self.values.truncate(len);
            self.nulls.truncate(len);
        }
    }

    /// The array.
    pub fn finish(mut self) -> ArrayRef {
        self.take()
    }

    /// The array of what came so far; the builder begins anew.
    pub fn take(&mut self) -> ArrayRef {
        let nulls = self.nulls.finish();
        self.values.take(nulls, &self.column_type)
    }
}

fn primitive<T: ArrowPrimitiveType>(
    values: &mut Vec<T::Native>,
    nulls: Option<NullBuffer>,
) -> PrimitiveArray<T> {
    PrimitiveArray::new(ScalarBuffer::from(std::mem::take(values)), nulls)
}

/// Whether the numbers have no declared scale. As text they lose the zeros that end their fractions: in a decimal, where the
/// column's earlier values were, their scale was not kept, and equal numbers must stay equal when a column is widened.
fn is_bare_numeric(kind: &TypeKind) -> bool {
    match kind {
        TypeKind::Numeric { declared: None } => true,
        TypeKind::Array(element) => **element == TypeKind::Numeric { declared: None },
        _ => false,
    }
}

impl Values {
    fn push_text(&mut self, kind: &TypeKind, text: &[u8]) -> Parsed<()> {
        match self {
            Values::Text(values) if is_bare_numeric(kind) => {
                if !text.is_ascii() {
                    return Err(Fault::Malformed("not a number"));
                }
                number::write_trimmed(&mut values.bytes, text);
                return values.close();
            }
            Values::Text(values) => return values.push_text(text),
            Values::Integer(values) => values.push(number::narrow(number::parse_whole(text)?)?),
            Values::BigInt(values) => values.push(number::parse_whole(text)?),
            Values::SmallInt(values) => values.push(number::narrow(number::parse_whole(text)?)?),
            Values::UInteger(values) => values.push(number::narrow(number::parse_whole(text)?)?),
            Values::Decimal { values, precision, scale } => {
                values.push(number::parse_decimal(text, *precision, *scale)?);
            }
            Values::Timestamp { values, zone } => values.push(datetime::parse_timestamp(text, *zone)?),
            Values::Boolean(values) => values.append(bytes::parse_bool(text)?),
            Values::Real(values) => values.push(float::parse_f32(text)?),
            // As PostgreSQL casts real to double precision: the value, not its shortest digits.
            Values::Double(values) if *kind == TypeKind::Float4 => {
                values.push(float::parse_f32(text)?.into())
            }
            Values::Double(values) => values.push(float::parse_f64(text)?),
            Values::Date(values) => values.push(datetime::parse_date(text)?),
            Values::Time(values) => values.push(datetime::parse_time(text)?),
            Values::Interval(values) => values.push(interval::parse_interval(text)?),
            Values::Uuid(values) => values.extend_from_slice(&bytes::parse_uuid(text)?),
            Values::Blob(values) => {
                let parsed = bytes::parse_bytea(&mut values.bytes, text);
                if parsed.is_err() {
                    values.reopen();
                }
                parsed?;
                return values.close();
            }
            Values::List { offsets, items } => {
                let mut scratch = Vec::new();
                return push_list(offsets, items, |items| {
                    array::each_of_text(text, &mut scratch, |item| items.push_item(item, Values::push_text))
                });
            }
        }
        Ok(())
    }

    fn push_null(&mut self) {
        match self {
            Values::Boolean(values) => values.append(false),
            Values::SmallInt(values) => values.push(0),
            Values::Integer(values) | Values::Date(values) => values.push(0),
            Values::BigInt(values) | Values::Time(values) | Values::Timestamp { values, .. } => {
                values.push(0)
            }
            Values::UInteger(values) => values.push(0),
            Values::Real(values) => values.push(0.0),
            Values::Double(values) => values.push(0.0),
            Values::Decimal { values, .. } => values.push(0),
            Values::Text(values) | Values::Blob(values) => values.push_null(),
            Values::Interval(values) => values.push(IntervalMonthDayNano::ZERO),
            Values::Uuid(values) => values.extend_from_slice(&[0; 16]),
            Values::List { offsets, .. } => offsets.push(offsets[offsets.len() - 1]),
        }
    }

    fn truncate(&mut self, len: usize) {
        match self {
            Values::Boolean(values) => values.truncate(len),
            Values::SmallInt(values) => values.truncate(len),
            Values::Integer(values) | Values::Date(values) => values.truncate(len),
            Values::BigInt(values) | Values::Time(values) | Values::Timestamp { values, .. } => {
                values.truncate(len);
            }
            Values::UInteger(values) => values.truncate(len),
            Values::Real(values) => values.truncate(len),
            Values::Double(values) => values.truncate(len),
            Values::Decimal { values, .. } => values.truncate(len),
            Values::Text(values) | Values::Blob(values) => values.truncate(len),
            Values::Interval(values) => values.truncate(len),
            Values::Uuid(values) => values.truncate(len * 16),
            Values::List { offsets, items } => {
                offsets.truncate(len + 1);
                items.truncate(offsets[len] as usize);
            }
        }
    }

    fn take(&mut self, nulls: Option<NullBuffer>, column_type: &ColumnType) -> ArrayRef {
        match self {
            Values::Boolean(values) => Arc::new(BooleanArray::new(values.finish(), nulls)),
            Values::SmallInt(values) => Arc::new(primitive::<Int16Type>(values, nulls)),
            Values::Integer(values) => Arc::new(primitive::<Int32Type>(values, nulls)),
            Values::BigInt(values) => Arc::new(primitive::<Int64Type>(values, nulls)),
            Values::UInteger(values) => Arc::new(primitive::<UInt32Type>(values, nulls)),
            Values::Real(values) => Arc::new(primitive::<Float32Type>(values, nulls)),
            Values::Double(values) => Arc::new(primitive::<Float64Type>(values, nulls)),
            Values::Decimal { values, .. } => {
                let array = primitive::<Decimal128Type>(values, nulls);
                Arc::new(array.with_data_type(arrow_type(column_type)))
            }
            Values::Text(values) => {
                let (offsets, bytes) = values.take();
                // SAFETY: the offsets grow and end within the bytes (`Bytes::close`), and each value was checked to be UTF-8 by
                // itself (`Bytes::push_text`) or printed by us as such (`write_trimmed`, `write_as_text`), so that all of them lie on characters' bounds. Checking again would cost as much as
                // copying the text did.
                Arc::new(unsafe { StringArray::new_unchecked(offsets, bytes, nulls) })
            }
            Values::Blob(values) => {
                let (offsets, bytes) = values.take();
                Arc::new(BinaryArray::new(offsets, bytes, nulls))
            }
            Values::Date(values) => Arc::new(primitive::<Date32Type>(values, nulls)),
            Values::Time(values) => Arc::new(primitive::<Time64MicrosecondType>(values, nulls)),
            Values::Timestamp { values, .. } => {
                let array = primitive::<TimestampMicrosecondType>(values, nulls);
                if *column_type == ColumnType::TimestampTz {
                    Arc::new(array.with_timezone(UTC))
                } else {
                    Arc::new(array)
                }
            }
            Values::Interval(values) => Arc::new(primitive::<IntervalMonthDayNanoType>(values, nulls)),
            Values::Uuid(values) => {
                let values = Buffer::from_vec(std::mem::take(values));
                Arc::new(FixedSizeBinaryArray::new(16, values, nulls))
            }
            Values::List { offsets, items } => {
                let offsets = std::mem::replace(offsets, vec![0]);
                let field: Field = arrow_field(LIST_ITEM, &items.column_type);
                let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
                Arc::new(ListArray::new(Arc::new(field), offsets, items.take(), nulls))
            }
        }
    }
}

impl ColumnBuilder {
    /// Appends an element of a list; what is wrong with it is said of the list.
    fn push_item(
        &mut self,
        item: Option<&[u8]>,
        push: impl Fn(&mut Values, &TypeKind, &[u8]) -> Parsed<()>,
    ) -> Parsed<()> {
        match item {
            Some(item) => {
                push(&mut self.values, &self.kind, item)?;
                self.nulls.append_non_null();
            }
            None => self.push_null(),
        }
        Ok(())
    }
}

/// Appends a list whose items `fill` pushes; takes them back if it fails.
fn push_list(
    offsets: &mut Vec<i32>,
    items: &mut ColumnBuilder,
    fill: impl FnOnce(&mut ColumnBuilder) -> Parsed<()>,
) -> Parsed<()> {
    let before = items.len();
    let filled = fill(items)
        .and_then(|()| i32::try_from(items.len()).map_err(|_| Fault::BatchFull))
        .map(|offset| offsets.push(offset));
    if filled.is_err() {
        items.truncate(before);
    }
    filled
}
