//! What a PostgreSQL type becomes in the warehouse, and how that stands in Arrow.
//!
//! The rule: a type gets the warehouse type that holds every one of its values exactly, or nearly every one and the rest is
//! refused value by value (NaN in a decimal, the year 294276); where there is none it travels as the text that PostgreSQL prints.
//! `docs/reference/types.md` is this module for people.

mod conversion;
mod resolve;
mod spelled;

use std::sync::Arc;

use arrow_schema::{extension, DataType, Field, IntervalUnit, TimeUnit};
use millstream_core::{ColumnType, PgType, TypeKind};

pub use conversion::{converts_exactly, copy_encoding, decodes_binary, is_supported};
pub use resolve::{resolve, CatalogType, ResolveError};
pub use spelled::{parse_column_type, ParseColumnTypeError};

/// Digits that a `Decimal` can hold: what fits into 128 bits, in Arrow and in every warehouse.
pub const DECIMAL_PRECISION_MAX: u8 = 38;

/// Scale of the decimal that a `numeric` without declared precision becomes. Ten digits behind the point hold prices, rates and
/// coordinates; 28 before it hold any sum of them. A value that needs more is refused, and the column widened.
pub const NUMERIC_DEFAULT_SCALE: u8 = 10;

/// The default warehouse type of a PostgreSQL type.
pub fn column_type(pg_type: &PgType) -> ColumnType {
    column_type_of(&pg_type.kind)
}

/// [`column_type`] of a resolved kind.
pub fn column_type_of(kind: &TypeKind) -> ColumnType {
    match kind {
        TypeKind::Bool => ColumnType::Boolean,
        TypeKind::Int2 => ColumnType::SmallInt,
        TypeKind::Int4 => ColumnType::Integer,
        TypeKind::Int8 => ColumnType::BigInt,
        TypeKind::Oid => ColumnType::UInteger,
        TypeKind::Float4 => ColumnType::Real,
        TypeKind::Float8 => ColumnType::Double,
        TypeKind::Numeric { declared } => numeric(*declared),
        TypeKind::Bytea => ColumnType::Blob,
        TypeKind::Date => ColumnType::Date,
        TypeKind::Time => ColumnType::Time,
        TypeKind::Timestamp => ColumnType::Timestamp,
        TypeKind::TimestampTz => ColumnType::TimestampTz,
        TypeKind::Interval => ColumnType::Interval,
        TypeKind::Uuid => ColumnType::Uuid,
        TypeKind::Json | TypeKind::Jsonb => ColumnType::Json,
        TypeKind::Array(element) => array(element),
        // A time with zone keeps its zone, which no warehouse type but text does in all of its range.
        TypeKind::Text | TypeKind::TimeTz | TypeKind::Enum | TypeKind::Other => ColumnType::Text,
    }
}

fn numeric(declared: Option<(u16, i16)>) -> ColumnType {
    let Some((precision, scale)) = declared else {
        return ColumnType::Decimal(DECIMAL_PRECISION_MAX, NUMERIC_DEFAULT_SCALE);
    };
    let (precision, scale) = (i32::from(precision), i32::from(scale));
    // numeric(3,-2) holds 99900: five digits, none behind the point. numeric(2,5) holds 0.00099: five behind it.
    let digits = if scale < 0 { precision - scale } else { precision.max(scale) };
    match (u8::try_from(digits), u8::try_from(scale.max(0))) {
        (Ok(digits @ 1..=DECIMAL_PRECISION_MAX), Ok(scale)) => ColumnType::Decimal(digits, scale),
        _ => ColumnType::Text,
    }
}

fn array(element: &TypeKind) -> ColumnType {
    match (element, column_type_of(element)) {
        // Arrays of what is text only for want of a better type stay PostgreSQL's literal as a whole: one text to compare,
        // and no second escaping to get wrong. Labels of an enum are plain text.
        (TypeKind::Text | TypeKind::Enum, ColumnType::Text) => ColumnType::List(Box::new(ColumnType::Text)),
        (_, ColumnType::Text) => ColumnType::Text,
        // No PostgreSQL array has arrays as elements.
        (TypeKind::Array(_), _) => ColumnType::Text,
        (_, element) => ColumnType::List(Box::new(element)),
    }
}

/// Name of the zone that `TimestampTz` carries in Arrow.
pub const UTC: &str = "UTC";

/// The Arrow type that holds a column, as documented at [`ColumnType`].
pub fn arrow_type(column_type: &ColumnType) -> DataType {
    match column_type {
        ColumnType::Boolean => DataType::Boolean,
        ColumnType::SmallInt => DataType::Int16,
        ColumnType::Integer => DataType::Int32,
        ColumnType::BigInt => DataType::Int64,
        ColumnType::UInteger => DataType::UInt32,
        ColumnType::Real => DataType::Float32,
        ColumnType::Double => DataType::Float64,
        // At most 38: fits.
        ColumnType::Decimal(precision, scale) => DataType::Decimal128(*precision, *scale as i8),
        ColumnType::Text | ColumnType::Json => DataType::Utf8,
        ColumnType::Blob => DataType::Binary,
        ColumnType::Date => DataType::Date32,
        ColumnType::Time => DataType::Time64(TimeUnit::Microsecond),
        ColumnType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        ColumnType::TimestampTz => DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
        ColumnType::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
        ColumnType::Uuid => DataType::FixedSizeBinary(16),
        ColumnType::List(element) => DataType::List(Arc::new(arrow_field(LIST_ITEM, element))),
    }
}

/// Name of a list's inner field.
pub(crate) const LIST_ITEM: &str = "item";

/// The nullable Arrow field of a column. A uuid and JSON say so in the field's metadata (Arrow's canonical extension types
/// `arrow.uuid`, `arrow.json`), without which they would be plain bytes and text.
pub fn arrow_field(name: impl Into<String>, column_type: &ColumnType) -> Field {
    let field = Field::new(name, arrow_type(column_type), true);
    let extension_name = match column_type {
        ColumnType::Uuid => UUID_EXTENSION,
        ColumnType::Json => JSON_EXTENSION,
        _ => return field,
    };
    field.with_metadata([(extension::EXTENSION_TYPE_NAME_KEY.to_owned(), extension_name.to_owned())].into())
}

/// Extension name of a uuid.
pub const UUID_EXTENSION: &str = "arrow.uuid";

/// Extension name of JSON text.
pub const JSON_EXTENSION: &str = "arrow.json";

#[cfg(test)]
mod tests {
    use super::*;

    fn numeric(precision: u16, scale: i16) -> ColumnType {
        column_type_of(&TypeKind::Numeric { declared: Some((precision, scale)) })
    }

    #[test]
    fn a_numeric_becomes_the_decimal_that_holds_all_its_values() {
        assert_eq!(numeric(12, 2), ColumnType::Decimal(12, 2));
        assert_eq!(numeric(38, 38), ColumnType::Decimal(38, 38));
        assert_eq!(numeric(3, -2), ColumnType::Decimal(5, 0));
        assert_eq!(numeric(2, 5), ColumnType::Decimal(5, 5));
        assert_eq!(numeric(39, 0), ColumnType::Text);
        assert_eq!(numeric(38, -1), ColumnType::Text);
        assert_eq!(numeric(2, 39), ColumnType::Text);
        assert_eq!(numeric(1000, -1000), ColumnType::Text);
        assert_eq!(
            column_type_of(&TypeKind::Numeric { declared: None }),
            ColumnType::Decimal(DECIMAL_PRECISION_MAX, NUMERIC_DEFAULT_SCALE)
        );
    }

    #[test]
    fn only_arrays_of_what_has_a_type_of_its_own_become_lists() {
        let of = |element| column_type_of(&TypeKind::Array(Box::new(element)));
        assert_eq!(of(TypeKind::Int4), ColumnType::List(Box::new(ColumnType::Integer)));
        assert_eq!(of(TypeKind::Text), ColumnType::List(Box::new(ColumnType::Text)));
        assert_eq!(of(TypeKind::Enum), ColumnType::List(Box::new(ColumnType::Text)));
        assert_eq!(of(TypeKind::Other), ColumnType::Text);
        assert_eq!(of(TypeKind::TimeTz), ColumnType::Text);
        assert_eq!(of(TypeKind::Numeric { declared: Some((50, 2)) }), ColumnType::Text);
    }

    #[test]
    fn uuid_and_json_carry_their_extension_names_in_lists_too() {
        assert_eq!(arrow_field("a", &ColumnType::Uuid).extension_type_name(), Some(UUID_EXTENSION));
        assert_eq!(arrow_field("a", &ColumnType::Json).extension_type_name(), Some(JSON_EXTENSION));
        assert_eq!(arrow_field("a", &ColumnType::Text).extension_type_name(), None);
        let DataType::List(item) = arrow_type(&ColumnType::List(Box::new(ColumnType::Uuid))) else {
            panic!("not a list");
        };
        assert_eq!(item.extension_type_name(), Some(UUID_EXTENSION));
    }
}
