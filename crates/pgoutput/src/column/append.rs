//! Values of an array that is there already: the warehouse's previous version of a row.

use arrow_array::{
    cast::AsArray,
    types::{
        ArrowPrimitiveType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type,
        Int64Type, IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType, UInt32Type,
    },
    Array,
};
use arrow_schema::DataType;

use super::{push_list, ColumnBuilder, Values};
use crate::value::{Excerpt, Fault, Parsed, ValueError};

const OTHER_TYPE: Fault = Fault::Malformed("the array holds another type");

impl ColumnBuilder {
    /// Appends row `row` of an array of the column's own Arrow type, or of text in PostgreSQL's form, which is read as such (DuckDB
    /// hands out a uuid so). A `Text` column takes any array, as PostgreSQL prints it.
    pub fn push_array(&mut self, array: &dyn Array, row: usize) -> Result<(), ValueError> {
        if array.is_null(row) {
            self.push_null();
            return Ok(());
        }
        if let Some(text) = text_at(array, row) {
            return self.push_text(text.as_bytes());
        }
        if let Values::Text(_) = self.values {
            let mut text = String::new();
            return match crate::render::write_text(array, row, &mut text) {
                Ok(()) => self.push_text(text.as_bytes()),
                Err(_) => Err(self.array_error(array, OTHER_TYPE)),
            };
        }
        match self.values.push_array(array, row) {
            Ok(()) => {
                self.nulls.append_non_null();
                Ok(())
            }
            Err(fault) => Err(self.array_error(array, fault)),
        }
    }

    #[cold]
    fn array_error(&self, array: &dyn Array, fault: Fault) -> ValueError {
        let value = Excerpt::text(format!("a value of Arrow's {}", array.data_type()).as_bytes());
        fault.explain(value, self.column_type.clone())
    }
}

fn text_at(array: &dyn Array, row: usize) -> Option<&str> {
    match array.data_type() {
        DataType::Utf8 => array.as_string_opt::<i32>().map(|array| array.value(row)),
        DataType::LargeUtf8 => array.as_string_opt::<i64>().map(|array| array.value(row)),
        DataType::Utf8View => array.as_string_view_opt().map(|array| array.value(row)),
        _ => None,
    }
}

fn primitive<T: ArrowPrimitiveType>(
    values: &mut Vec<T::Native>,
    array: &dyn Array,
    row: usize,
) -> Parsed<()> {
    values.push(array.as_primitive_opt::<T>().ok_or(OTHER_TYPE)?.value(row));
    Ok(())
}

impl Values {
    fn push_array(&mut self, array: &dyn Array, row: usize) -> Parsed<()> {
        match self {
            Values::Boolean(values) => values.append(array.as_boolean_opt().ok_or(OTHER_TYPE)?.value(row)),
            Values::SmallInt(values) => return primitive::<Int16Type>(values, array, row),
            Values::Integer(values) => return primitive::<Int32Type>(values, array, row),
            Values::BigInt(values) => return primitive::<Int64Type>(values, array, row),
            Values::UInteger(values) => return primitive::<UInt32Type>(values, array, row),
            Values::Real(values) => return primitive::<Float32Type>(values, array, row),
            Values::Double(values) => return primitive::<Float64Type>(values, array, row),
            Values::Decimal { values, precision, scale } => {
                if *array.data_type() != DataType::Decimal128(*precision, *scale as i8) {
                    return Err(OTHER_TYPE);
                }
                return primitive::<Decimal128Type>(values, array, row);
            }
            Values::Date(values) => return primitive::<Date32Type>(values, array, row),
            Values::Time(values) => return primitive::<Time64MicrosecondType>(values, array, row),
            Values::Timestamp { values, .. } => {
                return primitive::<TimestampMicrosecondType>(values, array, row);
            }
            Values::Interval(values) => return primitive::<IntervalMonthDayNanoType>(values, array, row),
            Values::Uuid(values) => {
                let array = array.as_fixed_size_binary_opt().filter(|array| array.value_length() == 16);
                values.extend_from_slice(array.ok_or(OTHER_TYPE)?.value(row));
            }
            Values::Blob(values) => {
                return values.push(array.as_binary_opt::<i32>().ok_or(OTHER_TYPE)?.value(row));
            }
            Values::List { offsets, items } => {
                let list = array.as_list_opt::<i32>().ok_or(OTHER_TYPE)?.value(row);
                return push_list(offsets, items, |items| {
                    (0..list.len()).try_for_each(|row| items.push_array(&list, row).map_err(|_| OTHER_TYPE))
                });
            }
            // Handled before: text comes from any array.
            Values::Text(_) => return Err(OTHER_TYPE),
        }
        Ok(())
    }
}
