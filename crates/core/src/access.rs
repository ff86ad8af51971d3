//! Roles: what somebody who is not the owner may read.
//!
//! Two things hold of a role, at two places. Which relations it may name is looked at in the text of a statement, and only there: a model is the project's
//! own and may read what the role may not name. Which rows and which values it sees is decided below every view, in what stands in front of each
//! replicated table, so that nothing above can get around it.

use std::fmt;

use crate::TableName;

/// What a table's history is called behind the table's name.
const HISTORY: &str = "_history";

/// Somebody's role, as a question carries it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Role {
    /// Its name, as the configuration has it.
    pub name: String,
    /// The tables, histories and models that its statements may name.
    pub tables: Grants,
    /// Another number where anything that the configuration says of the role is another: part of the identity of what is kept for it.
    pub fingerprint: u64,
    /// Whether it sees less of some table than others: rows are filtered or values masked for it.
    pub restricted: bool,
}

impl Role {
    /// Whether its statements may name a relation. `holds`: it holds rows of its own, as a model kept as a table does, so nothing of what the role does not see of
    /// the tables behind it is left out of it. To a role that sees less than others such a one must have been given by its very name.
    pub fn may_read(&self, relation: &TableName, holds: bool) -> bool {
        match holds && self.restricted {
            true => self.tables.name(relation),
            false => self.tables.allow(relation),
        }
    }

    /// Whether it may read a table as it was, which takes the right to its history: what that shows is the same.
    pub fn may_read_as_of(&self, table: &TableName) -> bool {
        let history = match table.name.to_lowercase().ends_with(HISTORY) {
            true => table.name.clone(),
            false => format!("{}{HISTORY}", table.name),
        };
        self.tables.allow(&TableName::new(&table.schema, history))
    }
}

/// Patterns of relations from first to last, of which the last that matches decides. None: nothing is allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Grants(Vec<Grant>);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Grant {
    allows: bool,
    schema: String,
    name: String,
}

impl Grants {
    /// Of their texts: `schema.table`, `!schema.table`, with `*` and `?` as wildcards; `*` alone is everything. A text without a schema stands for
    /// nothing. Upper and lower case are the same, as they are to the warehouse.
    pub fn new<T: AsRef<str>>(patterns: impl IntoIterator<Item = T>) -> Self {
        let grant = |text: T| {
            let text = text.as_ref().to_lowercase();
            let (allows, text) = text.strip_prefix('!').map_or((true, text.as_str()), |text| (false, text));
            let (schema, name) =
                if text == "*" { ("*", "*") } else { text.split_once('.').unwrap_or_default() };
            Grant { allows, schema: schema.to_owned(), name: name.to_owned() }
        };
        Grants(patterns.into_iter().map(grant).collect())
    }

    /// Whether the relation may be read.
    pub fn allow(&self, relation: &TableName) -> bool {
        self.decides(relation).is_some_and(|grant| grant.allows)
    }

    /// Whether the relation may be read by a pattern that stands for nothing else.
    pub fn name(&self, relation: &TableName) -> bool {
        let plain = |text: &str| !text.contains(['*', '?']);
        self.decides(relation).is_some_and(|grant| grant.allows && plain(&grant.schema) && plain(&grant.name))
    }

    fn decides(&self, relation: &TableName) -> Option<&Grant> {
        let (schema, name) = (relation.schema.to_lowercase(), relation.name.to_lowercase());
        self.0.iter().rev().find(|grant| glob(&grant.schema, &schema) && glob(&grant.name, &name))
    }
}

/// Whether a text matches a pattern in which `*` stands for any characters and `?` for one. At most quadratic: a `*` only ever goes back to the
/// last one.
pub fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    p = at + 1;
                    t = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// What a role sees in place of a column's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mask {
    /// A hash with the project's secret key: equal values stay equal, and nobody without the key can try values out. Of columns of text only.
    Hash,
    /// NULL.
    Null,
}

/// What a role does not see of a replicated table.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Restriction {
    /// The table, by its name in the warehouse; names are compared as the warehouse compares them.
    pub table: TableName,
    /// The role.
    pub role: String,
    /// A condition over the table's columns, in the warehouse's SQL: rows for which it is not true are not there.
    pub rows: Option<String>,
    /// Columns whose values are others.
    pub masks: Vec<(String, Mask)>,
}

/// Everything that roles do not see, as the warehouse keeps it in front of its tables.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Restrictions {
    /// Every role that there is. One that is not among them sees no row of a table that is restricted at all.
    pub roles: Vec<String>,
    /// What they do not see.
    pub all: Vec<Restriction>,
    /// The key of [`Mask::Hash`].
    pub mask_key: String,
}

impl Restrictions {
    /// Those of one table, by its name in the warehouse.
    pub fn of<'a>(&'a self, table: &'a TableName) -> impl Iterator<Item = &'a Restriction> {
        self.all.iter().filter(move |restriction| {
            restriction.table.schema.eq_ignore_ascii_case(&table.schema)
                && restriction.table.name.eq_ignore_ascii_case(&table.name)
        })
    }
}

impl fmt::Debug for Restrictions {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Restrictions")
            .field("roles", &self.roles)
            .field("all", &self.all)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_grant_that_matches_decides_whatever_the_case() {
        let grants = Grants::new(["Shop.*", "!shop.*_history", "shop.open_history"]);
        let allowed = |name: &str| grants.allow(&TableName::new("SHOP", name));
        assert!(allowed("orders") && allowed("Open_History"));
        assert!(!allowed("orders_history") && !allowed("ORDERS_HISTORY"));
        assert!(!grants.allow(&TableName::new("other", "orders")));
        assert!(Grants::new(["*"]).allow(&TableName::new("any", "thing")));
        assert!(!Grants::new([] as [&str; 0]).allow(&TableName::new("any", "thing")));
        assert!(!Grants::new(["orders"]).allow(&TableName::new("", "orders_x")));
    }

    #[test]
    fn what_holds_rows_of_its_own_is_given_by_name_to_whom_something_is_hidden() {
        let role = |restricted, patterns: &[&str]| Role {
            name: "clerk".into(),
            tables: Grants::new(patterns),
            fingerprint: 0,
            restricted,
        };
        let sales = TableName::new("shop", "sales");
        assert!(
            role(true, &["shop.*"]).may_read(&sales, false) && role(false, &["*"]).may_read(&sales, true)
        );
        assert!(
            !role(true, &["shop.*"]).may_read(&sales, true)
                && !role(true, &["shop.sale?"]).may_read(&sales, true)
        );
        assert!(role(true, &["shop.*", "Shop.Sales"]).may_read(&sales, true));
        assert!(!role(true, &["shop.sales", "!shop.*"]).may_read(&sales, true));
    }

    #[test]
    fn a_wildcard_stands_for_characters_and_not_for_bytes() {
        for (pattern, text, expected) in
            [("a?c", "aéc", true), ("*_log_*", "a_log_b", true), ("a*c", "ab", false), ("", "", true)]
        {
            assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
        }
    }
}
