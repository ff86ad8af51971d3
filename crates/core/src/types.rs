//! PostgreSQL types as the catalogue resolves them, and the warehouse-neutral types they become.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A column's PostgreSQL type.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PgType {
    /// `pg_attribute.atttypid`.
    pub oid: u32,
    /// `pg_attribute.atttypmod`, -1 for none.
    pub typmod: i32,
    /// `format_type(oid, typmod)`, for people.
    pub name: String,
    /// What it is once domains are looked through.
    pub kind: TypeKind,
}

/// What a PostgreSQL type is, domains looked through. Types without an entry of their own are [`TypeKind::Other`] and travel as
/// the text PostgreSQL prints.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TypeKind {
    /// `boolean`
    Bool,
    /// `smallint`
    Int2,
    /// `integer`
    Int4,
    /// `bigint`
    Int8,
    /// `oid` (unsigned 32 bits)
    Oid,
    /// `real`
    Float4,
    /// `double precision`
    Float8,
    /// `numeric`, with its declared precision and scale if it has them. The scale can be negative or exceed the
    /// precision (PostgreSQL 15).
    Numeric {
        /// Declared `(precision, scale)`.
        declared: Option<(u16, i16)>,
    },
    /// `text`, `varchar`, `bpchar`, `name`: what is text in its own right.
    Text,
    /// `bytea`
    Bytea,
    /// `date`
    Date,
    /// `time without time zone`
    Time,
    /// `time with time zone`
    TimeTz,
    /// `timestamp without time zone`
    Timestamp,
    /// `timestamp with time zone`
    TimestampTz,
    /// `interval`
    Interval,
    /// `uuid`
    Uuid,
    /// `json`
    Json,
    /// `jsonb`
    Jsonb,
    /// An array of any number of dimensions, with its element type and the element's delimiter (`,` but for `box`).
    Array(Box<TypeKind>),
    /// An enum: travels as its label.
    Enum,
    /// Anything else (ranges, composites, geometry, network, bit strings, money, xml, tsvector, hstore, …).
    Other,
}

/// The warehouse-neutral type of a column, exact for every value it accepts. How each is held in Arrow:
///
/// | type | Arrow | notes |
/// | --- | --- | --- |
/// | `Boolean` | `Boolean` | |
/// | `SmallInt` `Integer` `BigInt` | `Int16` `Int32` `Int64` | |
/// | `UInteger` | `UInt32` | `oid` |
/// | `Real` `Double` | `Float32` `Float64` | NaN and infinities included |
/// | `Decimal(p, s)` | `Decimal128(p, s)` | p ≤ 38; no NaN, no infinity |
/// | `Text` | `Utf8` | PostgreSQL's own text output |
/// | `Json` | `Utf8` | text verbatim |
/// | `Blob` | `Binary` | |
/// | `Date` | `Date32` | days since 1970; `i32::MAX` is infinity, `-i32::MAX` is -infinity |
/// | `Time` | `Time64(Microsecond)` | 24:00:00 included |
/// | `Timestamp` | `Timestamp(Microsecond, None)` | since 1970; `i64::MAX` is infinity, `-i64::MAX` is -infinity |
/// | `TimestampTz` | `Timestamp(Microsecond, "UTC")` | the same |
/// | `Interval` | `Interval(MonthDayNano)` | microseconds × 1000; what overflows can't be represented |
/// | `Uuid` | `FixedSizeBinary(16)` with the `arrow.uuid` extension name | |
/// | `List(t)` | `List(t)` | one-dimensional arrays with lower bound 1 |
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    /// True or false.
    Boolean,
    /// 16 bits.
    SmallInt,
    /// 32 bits.
    Integer,
    /// 64 bits.
    BigInt,
    /// 32 bits, unsigned.
    UInteger,
    /// IEEE 754 single.
    Real,
    /// IEEE 754 double.
    Double,
    /// Precision (1 to 38) and scale (0 to precision).
    Decimal(u8, u8),
    /// UTF-8.
    Text,
    /// JSON text, verbatim.
    Json,
    /// Bytes.
    Blob,
    /// A day.
    Date,
    /// A time of day.
    Time,
    /// A local time, microseconds.
    Timestamp,
    /// An instant, microseconds.
    TimestampTz,
    /// Months, days, microseconds.
    Interval,
    /// 128 bits.
    Uuid,
    /// One-dimensional list.
    List(Box<ColumnType>),
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            ColumnType::Boolean => "boolean",
            ColumnType::SmallInt => "smallint",
            ColumnType::Integer => "integer",
            ColumnType::BigInt => "bigint",
            ColumnType::UInteger => "uinteger",
            ColumnType::Real => "real",
            ColumnType::Double => "double",
            ColumnType::Decimal(precision, scale) => return write!(f, "decimal({precision},{scale})"),
            ColumnType::Text => "text",
            ColumnType::Json => "json",
            ColumnType::Blob => "blob",
            ColumnType::Date => "date",
            ColumnType::Time => "time",
            ColumnType::Timestamp => "timestamp",
            ColumnType::TimestampTz => "timestamptz",
            ColumnType::Interval => "interval",
            ColumnType::Uuid => "uuid",
            ColumnType::List(element) => return write!(f, "{element}[]"),
        };
        f.write_str(name)
    }
}
