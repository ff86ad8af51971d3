//! Values of rows that are kept here and not by DuckDB: numbers, texts, nothing. Equal values are equal cells, and cells of one column are in DuckDB's order.

use std::{cmp::Ordering, sync::Arc};

use arrow_array::{
    builder::{Decimal128Builder, StringBuilder},
    cast::AsArray,
    types::{
        ArrowPrimitiveType, Date32Type, Decimal128Type, Int16Type, Int32Type, Int64Type, Int8Type,
        TimestampMicrosecondType, UInt16Type, UInt32Type, UInt64Type, UInt8Type,
    },
    Array, ArrayRef, BooleanArray, PrimitiveArray,
};
use arrow_schema::{DataType, TimeUnit};

use super::super::statements::is_key;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in super::super) enum Cell {
    /// NULL.
    Null,
    /// A number that fits; a truth value, a day, an instant by its number.
    Number(i64),
    /// A number that does not.
    Wide(Box<i128>),
    /// A text.
    Text(Box<str>),
}

impl Cell {
    /// A number in the form that all equal ones have.
    pub(in super::super) fn number(number: i128) -> Self {
        match i64::try_from(number) {
            Ok(number) => Cell::Number(number),
            Err(_) => Cell::Wide(Box::new(number)),
        }
    }

    /// Its number; `None` where it is none.
    pub(in super::super) fn as_number(&self) -> Option<i128> {
        match self {
            Cell::Number(number) => Some(i128::from(*number)),
            Cell::Wide(number) => Some(**number),
            Cell::Null | Cell::Text(_) => None,
        }
    }

    pub(in super::super) fn is_null(&self) -> bool {
        matches!(self, Cell::Null)
    }

    /// Whether it is a condition that holds.
    pub(in super::super) fn holds(&self) -> bool {
        *self == Cell::Number(1)
    }

    /// The order of two cells of one column, neither of them NULL. Texts are in the order of their bytes, as DuckDB's are without a collation.
    pub(in super::super) fn order(&self, other: &Cell) -> Ordering {
        match (self, other) {
            (Cell::Number(one), Cell::Number(other)) => one.cmp(other),
            (Cell::Text(one), Cell::Text(other)) => one.cmp(other),
            (one, other) => one.as_number().cmp(&other.as_number()),
        }
    }
}

/// DuckDB's types whose values can be cells, by its names of them: those of keys, but for the one that Arrow has no numbers or texts of.
pub(in super::super) fn is_cell(of: &str) -> bool {
    is_key(of) && of != "UUID"
}

fn numbers<T: ArrowPrimitiveType>(array: &dyn Array, cell: impl Fn(T::Native) -> Cell) -> Vec<Cell> {
    array.as_primitive::<T>().iter().map(|value| value.map_or(Cell::Null, &cell)).collect()
}

/// The cells of a column; `None`: not of a type whose values can be cells.
pub(in super::super) fn cells(array: &dyn Array) -> Option<Vec<Cell>> {
    let text = |text: Option<&str>| text.map_or(Cell::Null, |text| Cell::Text(text.into()));
    Some(match array.data_type() {
        DataType::Boolean => {
            let cell = |value: Option<bool>| value.map_or(Cell::Null, |value| Cell::Number(value.into()));
            array.as_boolean().iter().map(cell).collect()
        }
        DataType::Int8 => numbers::<Int8Type>(array, |number| Cell::Number(number.into())),
        DataType::Int16 => numbers::<Int16Type>(array, |number| Cell::Number(number.into())),
        DataType::Int32 => numbers::<Int32Type>(array, |number| Cell::Number(number.into())),
        DataType::Int64 => numbers::<Int64Type>(array, Cell::Number),
        DataType::UInt8 => numbers::<UInt8Type>(array, |number| Cell::Number(number.into())),
        DataType::UInt16 => numbers::<UInt16Type>(array, |number| Cell::Number(number.into())),
        DataType::UInt32 => numbers::<UInt32Type>(array, |number| Cell::Number(number.into())),
        DataType::UInt64 => numbers::<UInt64Type>(array, |number| Cell::number(number.into())),
        DataType::Date32 => numbers::<Date32Type>(array, |days| Cell::Number(days.into())),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            numbers::<TimestampMicrosecondType>(array, Cell::Number)
        }
        DataType::Decimal128(..) => numbers::<Decimal128Type>(array, Cell::number),
        DataType::Utf8 => array.as_string::<i32>().iter().map(text).collect(),
        DataType::LargeUtf8 => array.as_string::<i64>().iter().map(text).collect(),
        DataType::Utf8View => array.as_string_view().iter().map(text).collect(),
        _ => return None,
    })
}

/// Numbers of a type that is narrower than 128 bits; `None` where one does not fit, which is never so for what came from a column of it.
fn narrow<T: ArrowPrimitiveType>(of: &DataType, cells: &[Cell]) -> Option<ArrayRef>
where
    T::Native: TryFrom<i128>,
{
    let value = |cell: &Cell| match cell.as_number() {
        Some(number) => T::Native::try_from(number).ok().map(Some),
        None => cell.is_null().then_some(None),
    };
    let values = cells.iter().map(value).collect::<Option<Vec<_>>>()?;
    let array: PrimitiveArray<T> = values.into_iter().collect();
    Some(Arc::new(array.with_data_type(of.clone())))
}

/// A column of cells; `None`: they are not of the type, or it is none of cells.
pub(in super::super) fn array(of: &DataType, cells: &[Cell]) -> Option<ArrayRef> {
    Some(match of {
        DataType::Boolean => {
            let value = |cell: &Cell| cell.as_number().map(|number| number != 0);
            Arc::new(cells.iter().map(value).collect::<BooleanArray>())
        }
        DataType::Int8 => narrow::<Int8Type>(of, cells)?,
        DataType::Int16 => narrow::<Int16Type>(of, cells)?,
        DataType::Int32 => narrow::<Int32Type>(of, cells)?,
        DataType::Int64 => narrow::<Int64Type>(of, cells)?,
        DataType::UInt8 => narrow::<UInt8Type>(of, cells)?,
        DataType::UInt16 => narrow::<UInt16Type>(of, cells)?,
        DataType::UInt32 => narrow::<UInt32Type>(of, cells)?,
        DataType::UInt64 => narrow::<UInt64Type>(of, cells)?,
        DataType::Date32 => narrow::<Date32Type>(of, cells)?,
        DataType::Timestamp(TimeUnit::Microsecond, _) => narrow::<TimestampMicrosecondType>(of, cells)?,
        DataType::Decimal128(precision, scale) => {
            let mut made = Decimal128Builder::new().with_precision_and_scale(*precision, *scale).ok()?;
            // The type says how many digits there may be; DuckDB would refuse more.
            let bound = 10_i128.checked_pow((*precision).into())?;
            for cell in cells {
                match cell.as_number() {
                    Some(number) if number.unsigned_abs() < bound.unsigned_abs() => made.append_value(number),
                    None if cell.is_null() => made.append_null(),
                    _ => return None,
                }
            }
            Arc::new(made.finish())
        }
        DataType::Utf8 => {
            let mut made = StringBuilder::new();
            for cell in cells {
                match cell {
                    Cell::Text(text) => made.append_value(text),
                    Cell::Null => made.append_null(),
                    Cell::Number(_) | Cell::Wide(_) => return None,
                }
            }
            Arc::new(made.finish())
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use arrow_array::{Decimal128Array, StringArray, UInt64Array};

    use super::*;

    #[test]
    fn cells_of_a_column_make_the_column_again() {
        let decimals = Decimal128Array::from(vec![Some(i128::from(i64::MAX) * 7), None, Some(-5)]);
        let arrays: [ArrayRef; 5] = [
            Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])),
            Arc::new(UInt64Array::from(vec![Some(u64::MAX), None, Some(0)])),
            Arc::new(decimals.with_precision_and_scale(38, 4).unwrap()),
            Arc::new(StringArray::from(vec![Some("ä"), None, Some("")])),
            Arc::new(
                PrimitiveArray::<TimestampMicrosecondType>::from(vec![Some(i64::MIN), None, Some(7)])
                    .with_timezone("UTC"),
            ),
        ];
        for of in arrays {
            let made = array(of.data_type(), &cells(&of).unwrap()).unwrap();
            assert_eq!(made.to_data(), of.to_data());
        }
    }

    #[test]
    fn what_does_not_fit_makes_no_column() {
        assert!(array(&DataType::Int8, &[Cell::Number(128)]).is_none());
        assert!(array(&DataType::Decimal128(3, 0), &[Cell::Number(1_000)]).is_none());
        assert!(array(&DataType::Utf8, &[Cell::Number(1)]).is_none());
        assert!(array(&DataType::Float64, &[Cell::Null]).is_none());
    }

    #[test]
    fn numbers_are_in_their_order_however_wide() {
        let numbers = [i128::MIN, -1, 0, i128::from(i64::MAX), i128::from(i64::MAX) + 1].map(Cell::number);
        assert!(numbers.windows(2).all(|pair| pair[0].order(&pair[1]) == Ordering::Less));
        assert_eq!(Cell::Text("B".into()).order(&Cell::Text("a".into())), Ordering::Less);
    }
}
