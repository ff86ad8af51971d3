//! Results as cells of the port: what a value's text means by its type's oid, and what types are called.

use millstream_core::build::{Cell, Response};

/// Types that cells have, by the oids that every server has for them (PostgreSQL's `pg_type.dat`).
mod oid {
    pub(super) const BOOL: u32 = 16;
    pub(super) const INT8: u32 = 20;
    pub(super) const INT2: u32 = 21;
    pub(super) const INT4: u32 = 23;
    pub(super) const OID: u32 = 26;
    pub(super) const FLOAT4: u32 = 700;
    pub(super) const FLOAT8: u32 = 701;
    pub(super) const NUMERIC: u32 = 1700;
}

/// Names of types that need not be asked for: those without a length, by oid.
const PLAIN: [(u32, &str); 14] = [
    (oid::BOOL, "boolean"),
    (oid::INT8, "bigint"),
    (oid::INT2, "smallint"),
    (oid::INT4, "integer"),
    (oid::OID, "oid"),
    (oid::FLOAT4, "real"),
    (oid::FLOAT8, "double precision"),
    (oid::NUMERIC, "numeric"),
    (19, "name"),
    (25, "text"),
    (1043, "character varying"),
    (1082, "date"),
    (1114, "timestamp without time zone"),
    (1184, "timestamp with time zone"),
];

/// What a type is called, where that is known without asking.
pub fn plain_name(type_oid: u32, modifier: i32) -> Option<&'static str> {
    let known = PLAIN.iter().find(|(oid, _)| *oid == type_oid).map(|(_, name)| *name);
    known.filter(|_| modifier < 0)
}

/// A value as the server prints it.
pub fn cell(text: Option<&str>, type_oid: u32) -> Cell {
    let Some(text) = text else { return Cell::Null };
    let as_text = || Cell::Text(text.to_owned());
    match type_oid {
        oid::BOOL => Cell::Bool(text == "t"),
        // Sums of integers are numeric, and nearly always fit into 64 bits.
        oid::INT2 | oid::INT4 | oid::INT8 | oid::OID | oid::NUMERIC => {
            text.parse().map_or_else(|_| as_text(), Cell::Int)
        }
        oid::FLOAT4 | oid::FLOAT8 => text.parse().map_or_else(|_| as_text(), Cell::Float),
        _ => as_text(),
    }
}

/// What the server says of a statement: its words, the kind of statement without numbers, the number at the end.
pub fn response(tag: &str) -> Response {
    let is_number = |word: &&str| word.bytes().all(|byte| byte.is_ascii_digit());
    let words: Vec<&str> = tag.split_whitespace().collect();
    let code: Vec<&str> = words.iter().copied().filter(|word| !is_number(word)).collect();
    let rows = words.last().filter(|word| is_number(word)).and_then(|word| word.parse().ok());
    Response { message: tag.to_owned(), code: Some(code.join(" ")), rows }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_taken_apart() {
        let told = |tag| {
            let response = response(tag);
            (response.code.unwrap(), response.rows)
        };
        assert_eq!(told("INSERT 0 5"), ("INSERT".into(), Some(5)));
        assert_eq!(told("SELECT 100"), ("SELECT".into(), Some(100)));
        assert_eq!(told("CREATE VIEW"), ("CREATE VIEW".into(), None));
        assert_eq!(told("REFRESH MATERIALIZED VIEW"), ("REFRESH MATERIALIZED VIEW".into(), None));
        assert_eq!(told(""), (String::new(), None));
    }

    #[test]
    fn numbers_that_are_whole_are_integers() {
        assert_eq!(cell(Some("12"), oid::NUMERIC), Cell::Int(12));
        assert_eq!(cell(Some("12.50"), oid::NUMERIC), Cell::Text("12.50".into()));
        assert_eq!(
            cell(Some("99999999999999999999"), oid::NUMERIC),
            Cell::Text("99999999999999999999".into())
        );
        assert_eq!(cell(Some("Infinity"), oid::FLOAT8), Cell::Float(f64::INFINITY));
        assert_eq!(cell(Some("f"), oid::BOOL), Cell::Bool(false));
        assert_eq!(cell(Some("007"), 25), Cell::Text("007".into()));
        assert_eq!(cell(None, 25), Cell::Null);
    }
}
