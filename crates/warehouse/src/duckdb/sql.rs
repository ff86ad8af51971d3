//! Pieces of SQL: quoting, types, names of the hidden tables, the conditions that several statements share.

use millstream_core::{
    warehouse::{physical_name, LayoutColumn, TableLayout},
    ColumnType, TableId, TableName,
};

/// The hidden schema.
pub const HIDDEN_SCHEMA: &str = "_millstream";

/// Quotes an identifier.
pub(crate) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quotes a string.
pub(crate) fn string(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A relation with its schema, quoted.
pub(crate) fn relation(name: &TableName) -> String {
    format!("{}.{}", identifier(&name.schema), identifier(&name.name))
}

/// Name of the table of open versions, without schema.
pub(crate) fn current_name(id: TableId) -> String {
    format!("t{id}_current")
}

/// Name of the table of ended versions, without schema.
pub(crate) fn closed_name(id: TableId) -> String {
    format!("t{id}_closed")
}

/// The table of open versions, as statements name it.
pub(crate) fn current(id: TableId) -> String {
    format!("{HIDDEN_SCHEMA}.{}", current_name(id))
}

/// The table of ended versions, as statements name it.
pub(crate) fn closed(id: TableId) -> String {
    format!("{HIDDEN_SCHEMA}.{}", closed_name(id))
}

/// DuckDB's name of a column type.
pub(crate) fn column_type(of: &ColumnType) -> String {
    match of {
        ColumnType::Boolean => "BOOLEAN".into(),
        ColumnType::SmallInt => "SMALLINT".into(),
        ColumnType::Integer => "INTEGER".into(),
        ColumnType::BigInt => "BIGINT".into(),
        ColumnType::UInteger => "UINTEGER".into(),
        ColumnType::Real => "FLOAT".into(),
        ColumnType::Double => "DOUBLE".into(),
        ColumnType::Decimal(precision, scale) => format!("DECIMAL({precision},{scale})"),
        ColumnType::Text => "VARCHAR".into(),
        ColumnType::Json => "JSON".into(),
        ColumnType::Blob => "BLOB".into(),
        ColumnType::Date => "DATE".into(),
        ColumnType::Time => "TIME".into(),
        ColumnType::Timestamp => "TIMESTAMP".into(),
        ColumnType::TimestampTz => "TIMESTAMPTZ".into(),
        ColumnType::Interval => "INTERVAL".into(),
        ColumnType::Uuid => "UUID".into(),
        ColumnType::List(element) => format!("{}[]", column_type(element)),
    }
}

/// Physical names of the columns, each behind `prefix`, comma separated.
pub(crate) fn list<'a>(prefix: &str, columns: impl IntoIterator<Item = &'a LayoutColumn>) -> String {
    let names: Vec<_> =
        columns.into_iter().map(|column| format!("{prefix}{}", physical_name(column.attnum))).collect();
    names.join(", ")
}

/// The key's columns, in the key's order; empty for a table that is matched whole.
pub(crate) fn key_columns(layout: &TableLayout) -> Vec<&LayoutColumn> {
    let Some(key) = &layout.key else { return Vec::new() };
    key.iter().filter_map(|attnum| layout.columns.iter().find(|column| column.attnum == *attnum)).collect()
}

/// Whether the key columns of two relations are equal. Key columns are never NULL.
pub(crate) fn same_key(left: &str, right: &str, layout: &TableLayout) -> String {
    let terms: Vec<_> = key_columns(layout)
        .iter()
        .map(|column| {
            let name = physical_name(column.attnum);
            format!("{left}.{name} = {right}.{name}")
        })
        .collect();
    terms.join(" AND ")
}

/// An expression over a column that is equal (NULL included) exactly when PostgreSQL would print the same value, but for the sign of a zero.
///
/// DuckDB's own equality is wider for intervals, of which one month equals thirty days. Minus zero equals zero as it does in PostgreSQL:
/// DuckDB itself does not always keep the sign in the file (record 0040).
pub(crate) fn identity(prefix: &str, column: &LayoutColumn) -> String {
    let name = format!("{prefix}{}", physical_name(column.attnum));
    match &column.column_type {
        ColumnType::Interval => format!("{name}::VARCHAR"),
        ColumnType::List(element) if **element == ColumnType::Interval => format!("{name}::VARCHAR"),
        _ => name,
    }
}

/// Whether a column holds the same in two relations.
pub(crate) fn same_value(left: &str, right: &str, column: &LayoutColumn) -> String {
    let of = |table: &str| identity(&format!("{table}."), column);
    format!("{} IS NOT DISTINCT FROM {}", of(left), of(right))
}

/// Whether all live columns hold the same in two relations.
pub(crate) fn same_row(left: &str, right: &str, layout: &TableLayout) -> String {
    let terms: Vec<_> = layout.live_columns().map(|column| same_value(left, right, column)).collect();
    terms.join(" AND ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_doubled() {
        assert_eq!(identifier("a\"b"), "\"a\"\"b\"");
        assert_eq!(string("it's"), "'it''s'");
        assert_eq!(relation(&TableName::new("select", "Straße")), "\"select\".\"Straße\"");
    }

    #[test]
    fn nested_types_are_named_from_the_inside() {
        let of = ColumnType::List(Box::new(ColumnType::Decimal(10, 2)));
        assert_eq!(column_type(&of), "DECIMAL(10,2)[]");
    }
}
