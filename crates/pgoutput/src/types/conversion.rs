//! What converts into what: between column types without loss, from PostgreSQL types on request, and how a column is to be
//! copied so that it can be decoded.

use millstream_core::{base::CopyEncoding, ColumnType, TypeKind};

use super::{column_type_of, DECIMAL_PRECISION_MAX};

/// Whether every value of `from` is held by `to` unchanged, so that a column can take the new type in place.
///
/// Text holds everything, as PostgreSQL prints it. A float holds an integer where its mantissa does.
pub fn converts_exactly(from: &ColumnType, to: &ColumnType) -> bool {
    use ColumnType::*;
    match (from, to) {
        _ if from == to => true,
        (_, Text) => true,
        (List(from), List(to)) => converts_exactly(from, to),
        (SmallInt, Integer | BigInt | Real | Double) => true,
        (Integer, BigInt | Double) => true,
        (UInteger, BigInt | Double) => true,
        (Real, Double) => true,
        (SmallInt | Integer | BigInt | UInteger, Decimal(precision, scale)) => {
            integer_digits(from) <= precision.saturating_sub(*scale)
        }
        (Decimal(from_precision, from_scale), Decimal(precision, scale)) => {
            scale >= from_scale
                && precision.saturating_sub(*scale) >= from_precision.saturating_sub(*from_scale)
        }
        // As many digits as always fit, which is one less than the type's longest number has.
        (Decimal(precision, 0), SmallInt | Integer | BigInt | UInteger) => *precision < integer_digits(to),
        // 10^15 < 2^53.
        (Decimal(precision, 0), Double) => *precision <= 15,
        _ => false,
    }
}

/// Decimal digits of the longest number of an integer type.
fn integer_digits(column_type: &ColumnType) -> u8 {
    match column_type {
        ColumnType::SmallInt => 5,
        ColumnType::Integer | ColumnType::UInteger => 10,
        _ => 19,
    }
}

fn is_number(column_type: &ColumnType) -> bool {
    use ColumnType::*;
    matches!(column_type, SmallInt | Integer | BigInt | UInteger | Real | Double | Decimal(..))
}

/// Whether a configuration may choose `to` for a column of this kind. Each value then is held exactly or refused, but for
/// `Real` and `Double`, which take the nearest number: that is what choosing them says.
pub fn is_supported(kind: &TypeKind, to: &ColumnType) -> bool {
    use ColumnType::*;
    if let Decimal(precision, scale) = to {
        if *precision == 0 || *precision > DECIMAL_PRECISION_MAX || scale > precision {
            return false;
        }
    }
    if *to == Text || *to == column_type_of(kind) {
        return true;
    }
    match kind {
        TypeKind::Int2
        | TypeKind::Int4
        | TypeKind::Int8
        | TypeKind::Oid
        | TypeKind::Float4
        | TypeKind::Float8
        | TypeKind::Numeric { .. } => is_number(to),
        // Read as the text it is, if it reads as one.
        TypeKind::Text | TypeKind::Enum | TypeKind::Other => {
            is_number(to) || matches!(to, Boolean | Date | Time | Timestamp | TimestampTz | Uuid)
        }
        // The session's zone is UTC: a zone is added or dropped as such.
        TypeKind::Date => matches!(to, Timestamp | TimestampTz),
        TypeKind::Timestamp => *to == TimestampTz,
        TypeKind::TimestampTz => *to == Timestamp,
        TypeKind::Array(element) => match to {
            List(to) => !matches!(**to, List(_)) && is_supported(element, to),
            _ => false,
        },
        _ => false,
    }
}

/// Whether the binary form of the kind decodes into the column type. Other pairs go through text.
pub fn decodes_binary(kind: &TypeKind, to: &ColumnType) -> bool {
    use ColumnType::*;
    match (kind, to) {
        // Their binary form is their text (jsonb's behind a version byte).
        (TypeKind::Text | TypeKind::Enum | TypeKind::Json | TypeKind::Jsonb, Text) => true,
        (_, Text) => false,
        (TypeKind::Int2 | TypeKind::Int4 | TypeKind::Int8 | TypeKind::Oid, _) => is_number(to),
        (TypeKind::Float4, Real | Double) => true,
        (TypeKind::Numeric { .. }, Decimal(..)) => is_supported(kind, to),
        (TypeKind::Array(element), List(to)) => decodes_binary(element, to),
        (TypeKind::Enum | TypeKind::Other | TypeKind::TimeTz, _) => false,
        _ => *to == column_type_of(kind),
    }
}

/// How a column of this kind is selected in a COPY whose rows become `to`.
pub fn copy_encoding(kind: &TypeKind, to: &ColumnType) -> CopyEncoding {
    if decodes_binary(kind, to) {
        CopyEncoding::Binary
    } else {
        CopyEncoding::Text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_holds_every_value_is_exact() {
        use ColumnType::*;
        let exact = [
            (SmallInt, Integer),
            (Integer, BigInt),
            (UInteger, BigInt),
            (Integer, Double),
            (Real, Double),
            (Integer, Decimal(12, 2)),
            (BigInt, Decimal(19, 0)),
            (Decimal(10, 2), Decimal(12, 2)),
            (Decimal(10, 2), Decimal(12, 4)),
            (Decimal(9, 0), Integer),
            (Decimal(15, 0), Double),
            (Timestamp, Text),
            (List(Box::new(SmallInt)), List(Box::new(Integer))),
            (List(Box::new(SmallInt)), Text),
        ];
        for (from, to) in exact {
            assert!(converts_exactly(&from, &to), "{from} to {to}");
            assert!(!converts_exactly(&to, &from), "{to} to {from}");
        }
        let inexact = [
            (Integer, Real),
            (BigInt, Double),
            (Integer, UInteger),
            (Integer, Decimal(11, 2)),
            (Decimal(10, 2), Decimal(12, 5)),
            (Decimal(10, 2), Double),
            (Decimal(10, 0), Integer),
            (Timestamp, TimestampTz),
            (Date, Timestamp),
            (Text, Json),
        ];
        for (from, to) in inexact {
            assert!(!converts_exactly(&from, &to), "{from} to {to}");
        }
    }

    #[test]
    fn every_kind_copies_so_that_its_default_type_can_be_decoded() {
        let encoding = |kind: &TypeKind| copy_encoding(kind, &column_type_of(kind));
        for kind in [
            TypeKind::Bool,
            TypeKind::Int2,
            TypeKind::Oid,
            TypeKind::Float8,
            TypeKind::Numeric { declared: None },
            TypeKind::Text,
            TypeKind::Enum,
            TypeKind::Bytea,
            TypeKind::Interval,
            TypeKind::Uuid,
            TypeKind::Jsonb,
            TypeKind::Array(Box::new(TypeKind::Text)),
            TypeKind::Array(Box::new(TypeKind::TimestampTz)),
        ] {
            assert_eq!(encoding(&kind), CopyEncoding::Binary, "{kind:?}");
        }
        for kind in [
            TypeKind::Other,
            TypeKind::TimeTz,
            TypeKind::Numeric { declared: Some((50, 2)) },
            TypeKind::Array(Box::new(TypeKind::Other)),
        ] {
            assert_eq!(encoding(&kind), CopyEncoding::Text, "{kind:?}");
        }
        assert_eq!(copy_encoding(&TypeKind::Int4, &ColumnType::Text), CopyEncoding::Text);
        assert_eq!(copy_encoding(&TypeKind::Jsonb, &ColumnType::Text), CopyEncoding::Binary);
    }

    #[test]
    fn a_choice_that_could_only_guess_is_not_supported() {
        assert!(is_supported(&TypeKind::Numeric { declared: None }, &ColumnType::Double));
        assert!(is_supported(&TypeKind::Int4, &ColumnType::Text));
        assert!(!is_supported(&TypeKind::Bool, &ColumnType::Integer));
        assert!(!is_supported(&TypeKind::Text, &ColumnType::Json));
        assert!(!is_supported(&TypeKind::Int4, &ColumnType::Decimal(39, 0)));
        assert!(!is_supported(&TypeKind::Int4, &ColumnType::Decimal(4, 5)));
        assert!(!is_supported(&TypeKind::Timestamp, &ColumnType::Date));
    }
}
