//! Column types as a person spells them in a configuration.

use millstream_core::ColumnType;

use super::DECIMAL_PRECISION_MAX;

/// A spelling that is no column type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseColumnTypeError {
    /// No such name.
    #[error(
        "unknown type `{0}`; expected one of boolean, smallint, integer, bigint, uinteger, real, double, decimal(p,s), text, json, \
         blob, date, time, timestamp, timestamptz, interval, uuid, or one of them followed by []"
    )]
    Unknown(String),
    /// `decimal` needs its digits said.
    #[error("`{0}`: a decimal needs precision (1 to {DECIMAL_PRECISION_MAX}) and scale (0 to precision), as in decimal(12,2)")]
    Decimal(String),
}

/// Reads a spelling: the name that [`ColumnType`] prints, or one that PostgreSQL or DuckDB know it by; case doesn't matter.
pub fn parse_column_type(spelled: &str) -> Result<ColumnType, ParseColumnTypeError> {
    let text = spelled.trim().to_ascii_lowercase();
    if let Some(element) = text.strip_suffix("[]") {
        return match parse_column_type(element)? {
            ColumnType::List(_) => Err(ParseColumnTypeError::Unknown(spelled.to_owned())),
            element => Ok(ColumnType::List(Box::new(element))),
        };
    }
    let (name, arguments) = match text.split_once('(') {
        Some((name, rest)) => (name.trim_end(), Some(rest.strip_suffix(')').unwrap_or("?"))),
        None => (text.as_str(), None),
    };
    if matches!(name, "decimal" | "numeric") {
        return arguments.and_then(decimal).ok_or_else(|| ParseColumnTypeError::Decimal(spelled.to_owned()));
    }
    match (name, arguments) {
        ("boolean" | "bool", None) => Ok(ColumnType::Boolean),
        ("smallint" | "int2", None) => Ok(ColumnType::SmallInt),
        ("integer" | "int" | "int4", None) => Ok(ColumnType::Integer),
        ("bigint" | "int8", None) => Ok(ColumnType::BigInt),
        ("uinteger" | "oid", None) => Ok(ColumnType::UInteger),
        ("real" | "float4", None) => Ok(ColumnType::Real),
        ("double" | "double precision" | "float8", None) => Ok(ColumnType::Double),
        ("text" | "varchar" | "string", None) => Ok(ColumnType::Text),
        ("json" | "jsonb", None) => Ok(ColumnType::Json),
        ("blob" | "bytea", None) => Ok(ColumnType::Blob),
        ("date", None) => Ok(ColumnType::Date),
        ("time" | "time without time zone", None) => Ok(ColumnType::Time),
        ("timestamp" | "timestamp without time zone", None) => Ok(ColumnType::Timestamp),
        ("timestamptz" | "timestamp with time zone", None) => Ok(ColumnType::TimestampTz),
        ("interval", None) => Ok(ColumnType::Interval),
        ("uuid", None) => Ok(ColumnType::Uuid),
        _ => Err(ParseColumnTypeError::Unknown(spelled.to_owned())),
    }
}

fn decimal(arguments: &str) -> Option<ColumnType> {
    let (precision, scale) = arguments.split_once(',').unwrap_or((arguments, "0"));
    let precision: u8 = precision.trim().parse().ok()?;
    let scale: u8 = scale.trim().parse().ok()?;
    (1..=DECIMAL_PRECISION_MAX).contains(&precision).then_some(())?;
    (scale <= precision).then_some(ColumnType::Decimal(precision, scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_column_type_prints_it_reads() {
        use ColumnType::*;
        for column_type in [
            Boolean,
            SmallInt,
            Integer,
            BigInt,
            UInteger,
            Real,
            Double,
            Decimal(12, 2),
            Text,
            Json,
            Blob,
            Date,
            Time,
            Timestamp,
            TimestampTz,
            Interval,
            Uuid,
        ] {
            assert_eq!(parse_column_type(&column_type.to_string()), Ok(column_type.clone()));
            let list = List(Box::new(column_type));
            assert_eq!(parse_column_type(&list.to_string()), Ok(list));
        }
    }

    #[test]
    fn other_spellings_are_known_and_wrong_ones_refused() {
        assert_eq!(parse_column_type(" Double Precision "), Ok(ColumnType::Double));
        assert_eq!(parse_column_type("numeric( 38 , 10 )"), Ok(ColumnType::Decimal(38, 10)));
        assert_eq!(parse_column_type("DECIMAL(9)"), Ok(ColumnType::Decimal(9, 0)));
        for wrong in ["decimal", "decimal()", "decimal(39,0)", "decimal(4,5)", "decimal(0,0)", "decimal(4,2"]
        {
            assert_eq!(parse_column_type(wrong), Err(ParseColumnTypeError::Decimal(wrong.to_owned())));
        }
        for wrong in ["", "doubel", "text(3)", "integer[][]", "timestamp(3)"] {
            assert_eq!(parse_column_type(wrong), Err(ParseColumnTypeError::Unknown(wrong.to_owned())));
        }
    }
}
