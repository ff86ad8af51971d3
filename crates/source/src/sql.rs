//! Names and values inside SQL statements.

use millstream_core::TableName;

/// Quotes an identifier where it needs quotes (PostgreSQL documentation, "Identifiers and Key Words").
///
/// Every name that is not plainly lower case is quoted; reserved words are too, since which they are depends on the version.
pub fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A schema-qualified name.
pub fn table(name: &TableName) -> String {
    format!("{}.{}", identifier(&name.schema), identifier(&name.name))
}

/// A string literal. The session has `standard_conforming_strings` on, so only quotes are special.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_in_names_and_values_are_doubled() {
        assert_eq!(identifier("a\"b"), "\"a\"\"b\"");
        assert_eq!(literal("o'clock\\"), "'o''clock\\'");
        assert_eq!(table(&TableName::new("s", "T")), "\"s\".\"T\"");
    }
}
