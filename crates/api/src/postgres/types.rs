//! What the warehouse's types are to PostgreSQL's clients: OID, size and modifier as `pg_type` has them.

/// A type that values are sent and taken as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Int2,
    Int4,
    Int8,
    Oid,
    Float4,
    Float8,
    /// With precision and scale, where there are any.
    Numeric(Option<(u8, u8)>),
    Text,
    /// JSON text, and what PostgreSQL has no type for but JSON can say: structs, maps, unions, lists of them.
    Json,
    Bytea,
    Date,
    Time,
    Timestamp,
    TimestampTz,
    Interval,
    Uuid,
    /// Of any number of dimensions.
    Array(Box<Kind>),
}

/// A scalar type's row in `pg_type`.
struct Row {
    kind: Kind,
    oid: u32,
    array_oid: u32,
    bytes: i16,
    /// What `format_type` prints.
    name: &'static str,
}

const fn row(kind: Kind, oid: u32, array_oid: u32, bytes: i16, name: &'static str) -> Row {
    Row { kind, oid, array_oid, bytes, name }
}

/// The numbers are PostgreSQL's own (`pg_type.dat`) and never change.
static ROWS: [Row; 17] = [
    row(Kind::Bool, 16, 1000, 1, "boolean"),
    row(Kind::Int2, 21, 1005, 2, "smallint"),
    row(Kind::Int4, 23, 1007, 4, "integer"),
    row(Kind::Int8, 20, 1016, 8, "bigint"),
    row(Kind::Oid, 26, 1028, 4, "oid"),
    row(Kind::Float4, 700, 1021, 4, "real"),
    row(Kind::Float8, 701, 1022, 8, "double precision"),
    row(Kind::Numeric(None), 1700, 1231, -1, "numeric"),
    row(Kind::Text, 25, 1009, -1, "text"),
    row(Kind::Json, 114, 199, -1, "json"),
    row(Kind::Bytea, 17, 1001, -1, "bytea"),
    row(Kind::Date, 1082, 1182, 4, "date"),
    row(Kind::Time, 1083, 1183, 8, "time without time zone"),
    row(Kind::Timestamp, 1114, 1115, 8, "timestamp without time zone"),
    row(Kind::TimestampTz, 1184, 1185, 8, "timestamp with time zone"),
    row(Kind::Interval, 1186, 1187, 16, "interval"),
    row(Kind::Uuid, 2950, 2951, 16, "uuid"),
];

impl Kind {
    /// Of the warehouse's name of a type.
    pub(super) fn of_warehouse(name: &str) -> Kind {
        let name = name.trim();
        if let Some(element) = list_element(name) {
            return match Kind::of_warehouse(element) {
                // Elements that have no type of their own: the list as a whole is JSON.
                Kind::Json if !element.trim_end_matches(['[', ']']).eq_ignore_ascii_case("JSON") => {
                    Kind::Json
                }
                nested @ Kind::Array(_) => nested,
                element => Kind::Array(Box::new(element)),
            };
        }
        let upper = name.to_ascii_uppercase();
        if let Some(arguments) = upper.strip_prefix("DECIMAL(").and_then(|rest| rest.strip_suffix(')')) {
            let parsed = arguments.split_once(',');
            let digits = parsed.and_then(|(precision, scale)| {
                Some((precision.trim().parse().ok()?, scale.trim().parse().ok()?))
            });
            return Kind::Numeric(digits);
        }
        if ["STRUCT(", "MAP(", "UNION("].iter().any(|start| upper.starts_with(start)) {
            return Kind::Json;
        }
        match upper.as_str() {
            "BOOLEAN" => Kind::Bool,
            "TINYINT" | "UTINYINT" | "SMALLINT" => Kind::Int2,
            "USMALLINT" | "INTEGER" => Kind::Int4,
            "BIGINT" => Kind::Int8,
            "UINTEGER" => Kind::Oid,
            "FLOAT" | "REAL" => Kind::Float4,
            "DOUBLE" => Kind::Float8,
            "UBIGINT" | "HUGEINT" | "UHUGEINT" | "DECIMAL" | "BIGNUM" => Kind::Numeric(None),
            "JSON" => Kind::Json,
            "BLOB" => Kind::Bytea,
            "DATE" => Kind::Date,
            "TIME" => Kind::Time,
            "TIMESTAMP" | "TIMESTAMP_S" | "TIMESTAMP_MS" => Kind::Timestamp,
            "TIMESTAMP WITH TIME ZONE" | "TIMESTAMPTZ" => Kind::TimestampTz,
            "INTERVAL" => Kind::Interval,
            "UUID" => Kind::Uuid,
            // Nanoseconds, times with a zone, bit strings, enums, what has no type: the text that is printed is exact.
            _ => Kind::Text,
        }
    }

    /// Of a PostgreSQL OID, for parameters; `None`: one that is taken as text.
    pub(super) fn of_oid(oid: u32) -> Option<Kind> {
        match oid {
            // varchar, bpchar, name, "char", unknown
            1043 | 1042 | 19 | 18 | 705 => return Some(Kind::Text),
            1015 | 1014 | 1003 => return Some(Kind::Array(Box::new(Kind::Text))),
            // jsonb differs by a byte in its binary form, which whoever reads it must know.
            3802 => return Some(Kind::Json),
            _ => {}
        }
        let scalar = ROWS.iter().find(|row| row.oid == oid).map(|row| row.kind.clone());
        let array = || {
            let row = ROWS.iter().find(|row| row.array_oid == oid)?;
            Some(Kind::Array(Box::new(row.kind.clone())))
        };
        scalar.or_else(array)
    }

    fn row(&self) -> &'static Row {
        let bare = match self {
            Kind::Numeric(_) => &Kind::Numeric(None),
            Kind::Array(element) => return element.row(),
            other => other,
        };
        // Text is the row of none, and there is none without a row.
        ROWS.iter().find(|row| row.kind == *bare).unwrap_or(&ROWS[8])
    }

    /// `pg_type.oid`.
    pub(super) fn oid(&self) -> u32 {
        match self {
            Kind::Array(_) => self.row().array_oid,
            _ => self.row().oid,
        }
    }

    /// `pg_type.typlen`.
    pub(super) fn bytes(&self) -> i16 {
        match self {
            Kind::Array(_) => -1,
            _ => self.row().bytes,
        }
    }

    /// `pg_attribute.atttypmod`.
    pub(super) fn modifier(&self) -> i32 {
        match self {
            Kind::Numeric(Some((precision, scale))) => (i32::from(*precision) << 16 | i32::from(*scale)) + 4,
            Kind::Array(element) => element.modifier(),
            _ => -1,
        }
    }

    /// PostgreSQL's name.
    pub(super) fn name(&self) -> String {
        match self {
            Kind::Array(element) => format!("{}[]", element.name()),
            Kind::Numeric(Some((precision, scale))) => format!("numeric({precision},{scale})"),
            other => other.row().name.to_owned(),
        }
    }

    /// The warehouse's name, to cast a parameter to; `None` where the statement knows better: `numeric` has no one type there.
    pub(super) fn warehouse_name(&self) -> Option<String> {
        Some(match self {
            Kind::Bool => "BOOLEAN".into(),
            Kind::Int2 => "SMALLINT".into(),
            Kind::Int4 => "INTEGER".into(),
            Kind::Int8 => "BIGINT".into(),
            Kind::Oid => "UINTEGER".into(),
            Kind::Float4 => "FLOAT".into(),
            Kind::Float8 => "DOUBLE".into(),
            Kind::Numeric(_) => return None,
            Kind::Text => "VARCHAR".into(),
            Kind::Json => "JSON".into(),
            Kind::Bytea => "BLOB".into(),
            Kind::Date => "DATE".into(),
            Kind::Time => "TIME".into(),
            Kind::Timestamp => "TIMESTAMP".into(),
            Kind::TimestampTz => "TIMESTAMPTZ".into(),
            Kind::Interval => "INTERVAL".into(),
            Kind::Uuid => "UUID".into(),
            Kind::Array(element) => format!("{}[]", element.warehouse_name()?),
        })
    }
}

/// What a list's or array's elements are: `INTEGER[]`, `INTEGER[3]`.
fn list_element(name: &str) -> Option<&str> {
    let open = name.strip_suffix(']')?.rfind('[')?;
    name[open + 1..name.len() - 1].bytes().all(|byte| byte.is_ascii_digit()).then(|| &name[..open])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_warehouses_types_have_postgresqls_numbers() {
        for (name, oid, modifier, printed) in [
            ("INTEGER", 23, -1, "integer"),
            ("DECIMAL(12,2)", 1700, 786_438, "numeric(12,2)"),
            ("TIMESTAMP WITH TIME ZONE", 1184, -1, "timestamp with time zone"),
            ("UBIGINT", 1700, -1, "numeric"),
            ("VARCHAR[]", 1009, -1, "text[]"),
            ("INTEGER[3]", 1007, -1, "integer[]"),
            ("INTEGER[][]", 1007, -1, "integer[]"),
            ("JSON[]", 199, -1, "json[]"),
            ("STRUCT(a INTEGER[])", 114, -1, "json"),
            ("STRUCT(a INTEGER)[]", 114, -1, "json"),
            ("ENUM('a', 'b')", 25, -1, "text"),
            ("TIMESTAMP_NS", 25, -1, "text"),
        ] {
            let kind = Kind::of_warehouse(name);
            assert_eq!(
                (kind.oid(), kind.modifier(), kind.name().as_str()),
                (oid, modifier, printed),
                "{name}"
            );
        }
    }

    #[test]
    fn a_kinds_number_leads_back_to_it() {
        for row in &ROWS {
            assert_eq!(Kind::of_oid(row.oid).as_ref(), Some(&row.kind));
            assert_eq!(Kind::of_oid(row.array_oid), Some(Kind::Array(Box::new(row.kind.clone()))));
        }
    }
}
