//! What of the grammar a regular expression can say (ECMA 262, as JSON Schema has them): for the description of a relation.
//!
//! A request that matches is answered. Some that don't match are answered too: groups within groups, which no regular expression counts,
//! 29 February, and values of types whose texts only the warehouse knows.

use std::collections::BTreeMap;

use super::Relation;

/// A text between commas and parentheses, plain or in quotes.
const LISTED_TEXT: &str = r#"([^,()"\\]+|"([^"\\]|\\[\s\S])*")"#;

/// Any text.
const TEXT: &str = r"[\s\S]*";

const DATE: &str =
    "[12][0-9]{3}-((0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31)";
const TIME: &str = r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?";
const ZONE: &str = "(Z|[+-](0[0-9]|1[0-3]):[0-5][0-9])";

/// An RFC 3339 time with zone, or an LSN. In an address `+` has to be written `%2B`.
pub fn as_of() -> String {
    format!("^([0-9A-F]{{1,8}}/[0-9A-F]{{1,8}}|{DATE}T{TIME}{ZONE})$")
}

/// `a,shown:b`.
pub fn select(relation: &Relation) -> String {
    let item = format!(r"(\*|([A-Za-z_][A-Za-z0-9_]{{0,30}}:)?{})", columns(relation));
    format!("^{item}(,{item}){{0,20}}$")
}

/// `a.desc.nullslast,b`.
pub fn order(relation: &Relation) -> String {
    let item = format!(r"{}(\.(asc|desc))?(\.(nullsfirst|nullslast))?", columns(relation));
    format!("^{item}(,{item}){{0,20}}$")
}

/// `eq.OPEN`, for a column of a type.
pub fn condition(of: &str) -> String {
    format!("^{}$", conditions(of, TEXT))
}

/// `(a.eq.1,b.is.null)`.
pub fn group(relation: &Relation) -> String {
    // Columns of one type share their conditions, or the pattern of a wide table would fill pages.
    let mut types: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, of) in &relation.columns {
        types.entry(conditions(of, LISTED_TEXT)).or_default().push(column(name));
    }
    let terms: Vec<String> = types
        .into_iter()
        .map(|(conditions, names)| format!(r"({})\.{conditions}", names.join("|")))
        .collect();
    let term = format!(r"(not\.)?({})", terms.join("|"));
    format!(r"^\({term}(,{term}){{0,5}}\)$")
}

fn conditions(of: &str, text: &str) -> String {
    let is = if of == "BOOLEAN" { "null|not_null|true|false" } else { "null|not_null" };
    let compared = value(of).map_or(String::new(), |value| {
        let (value, listed) =
            value.map_or((text.to_owned(), LISTED_TEXT.to_owned()), |value| (value.clone(), value));
        format!(r"(eq|neq|gt|gte|lt|lte)\.{value}|in\.\({listed}(,{listed}){{0,20}}\)|")
    });
    format!(r"(not\.)?({compared}i?like\.{text}|is\.({is}))")
}

/// The values of a type; within `Some`, `None` for any text. Nothing for a type whose texts only the warehouse knows.
fn value(of: &str) -> Option<Option<String>> {
    let exact = |pattern: &str| Some(Some(pattern.to_owned()));
    match of {
        "VARCHAR" | "JSON" | "UNKNOWN" => Some(None),
        "BOOLEAN" => exact("(true|false)"),
        "TINYINT" | "SMALLINT" | "INTEGER" | "BIGINT" | "UTINYINT" | "USMALLINT" | "UINTEGER" | "UBIGINT"
        | "HUGEINT" => exact("-?[0-9]{1,18}"),
        "FLOAT" | "DOUBLE" => exact(r"-?[0-9]{1,15}(\.[0-9]{1,15})?"),
        "DATE" => exact(DATE),
        "TIMESTAMP" => exact(&format!("{DATE}T{TIME}")),
        "TIMESTAMP WITH TIME ZONE" => exact(&format!("{DATE}T{TIME}{ZONE}")),
        "UUID" => exact("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"),
        _ => {
            let (width, scale) = of.strip_prefix("DECIMAL(")?.strip_suffix(')')?.split_once(',')?;
            let (width, scale): (u8, u8) = (width.parse().ok()?, scale.trim().parse().ok()?);
            let digits = width.checked_sub(scale)?;
            Some(Some(match (digits, scale) {
                (_, 0) => format!("-?[0-9]{{1,{width}}}"),
                (0, _) => format!(r"-?0\.[0-9]{{1,{scale}}}"),
                _ => format!(r"-?[0-9]{{1,{digits}}}(\.[0-9]{{1,{scale}}})?"),
            }))
        }
    }
}

fn columns(relation: &Relation) -> String {
    let names: Vec<String> = relation.columns.iter().map(|(name, _)| column(name)).collect();
    format!("({})", names.join("|"))
}

/// A column's name as the grammar writes it, as a regular expression.
fn column(name: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || c == '_';
    if name.chars().all(plain) {
        return name.to_owned();
    }
    let quoted = format!("\"{}\"", name.replace('\\', r"\\").replace('"', r#"\""#));
    let mut escaped = String::new();
    for c in quoted.chars() {
        if r"\^$.|?*+()[]{}/-".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relation(columns: &[(&str, &str)]) -> Relation {
        Relation {
            schema: "shop".into(),
            name: "orders".into(),
            columns: columns.iter().map(|(name, of)| ((*name).into(), (*of).into())).collect(),
            key: Vec::new(),
        }
    }

    #[test]
    fn names_stand_as_the_grammar_writes_them() {
        let odd = relation(&[("id", "INTEGER"), ("a.b (c)", "VARCHAR")]);
        assert_eq!(columns(&odd), r#"(id|"a\.b \(c\)")"#);
        // What the pattern lets through is what the grammar reads.
        for select in ["id", "shown:\"a.b (c)\",*"] {
            assert!(odd.statement(&[("select".into(), select.into())]).is_ok(), "{select}");
        }
    }

    #[test]
    fn values_are_those_of_the_type() {
        assert_eq!(value("DECIMAL(10,2)"), Some(Some(r"-?[0-9]{1,8}(\.[0-9]{1,2})?".into())));
        assert_eq!(value("DECIMAL(2,2)"), Some(Some(r"-?0\.[0-9]{1,2}".into())));
        assert_eq!(value("DECIMAL(5,0)"), Some(Some("-?[0-9]{1,5}".into())));
        assert_eq!((value("VARCHAR"), value("INTERVAL"), value("INTEGER[]")), (Some(None), None, None));
        assert_eq!(condition("INTERVAL"), r"^(not\.)?(i?like\.[\s\S]*|is\.(null|not_null))$");
    }

    #[test]
    fn columns_of_one_type_share_their_conditions() {
        let wide = relation(&[("a", "INTEGER"), ("b", "INTEGER"), ("c", "BOOLEAN")]);
        let group = group(&wide);
        assert_eq!(group.matches("[0-9]{1,18}").count(), 6, "{group}");
        assert!(group.contains(r"(a|b)\.") && group.contains(r"(c)\."), "{group}");
    }
}
