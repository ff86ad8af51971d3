//! Which tables are wanted: patterns from first to last, of which the last that matches decides.

use millstream_core::{glob, TableName};

use crate::error::{Result, SourceError};

/// Names further away than this are not what somebody meant.
const NEAREST_DISTANCE_MAX: usize = 3;

/// Patterns of table names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TablePatterns(Vec<Pattern>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    text: String,
    negated: bool,
    schema: String,
    name: String,
}

impl TablePatterns {
    /// From their texts: `schema.table` or `!schema.table`, where `*` stands for any run of characters and `?` for one. `*` alone
    /// is every table of every schema but the system's.
    pub fn new<T: AsRef<str>>(patterns: impl IntoIterator<Item = T>) -> Result<Self> {
        let patterns: Vec<Pattern> =
            patterns.into_iter().map(|text| Pattern::new(text.as_ref())).collect::<Result<_>>()?;
        match patterns.first() {
            None => Err(SourceError::Pattern {
                pattern: String::new(),
                reason: "there is no pattern at all".into(),
            }),
            Some(first) if first.negated => Err(SourceError::Pattern {
                pattern: first.text.clone(),
                reason: "the first pattern takes tables away from nothing".into(),
            }),
            Some(_) => Ok(TablePatterns(patterns)),
        }
    }

    /// Whether a table is wanted.
    pub fn matches(&self, table: &TableName) -> bool {
        self.0.iter().rev().find(|pattern| pattern.matches(table)).is_some_and(|pattern| !pattern.negated)
    }

    /// The wanted ones of the names, in their order. A pattern that matches none of them is an error that names the nearest.
    pub fn select<'a, T>(&self, tables: &'a [T], name: impl Fn(&T) -> &TableName) -> Result<Vec<&'a T>> {
        for pattern in &self.0 {
            if !tables.iter().any(|table| pattern.matches(name(table))) {
                return Err(pattern.matches_nothing(tables.iter().map(&name)));
            }
        }
        Ok(tables.iter().filter(|table| self.matches(name(table))).collect())
    }

    /// The patterns that match none of the names, each as its error.
    pub fn unmatched<'a>(&self, names: impl Iterator<Item = &'a TableName> + Clone) -> Vec<SourceError> {
        let idle = self.0.iter().filter(|pattern| !names.clone().any(|name| pattern.matches(name)));
        idle.map(|pattern| pattern.matches_nothing(names.clone())).collect()
    }
}

impl Pattern {
    fn new(text: &str) -> Result<Self> {
        let error =
            |reason: &str| SourceError::Pattern { pattern: text.to_owned(), reason: reason.to_owned() };
        let trimmed = text.trim();
        let (negated, rest) = match trimmed.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, trimmed),
        };
        let (schema, name) = match rest.split_once('.') {
            Some((schema, name)) => (schema, name),
            None if rest == "*" => ("*", "*"),
            None => return Err(error("it names no schema")),
        };
        if schema.is_empty() || name.is_empty() {
            return Err(error("schema and table must not be empty"));
        }
        Ok(Pattern { text: trimmed.to_owned(), negated, schema: schema.to_owned(), name: name.to_owned() })
    }

    fn matches(&self, table: &TableName) -> bool {
        glob(&self.schema, &table.schema) && glob(&self.name, &table.name)
    }

    fn matches_nothing<'a>(&self, names: impl Iterator<Item = &'a TableName>) -> SourceError {
        let wanted = format!("{}.{}", self.schema, self.name);
        let near = names
            .map(|name| (distance(&wanted, &name.to_string()), name))
            .min_by_key(|(distance, _)| *distance);
        SourceError::PatternMatchesNothing {
            pattern: self.text.clone(),
            nearest: near
                .filter(|(distance, _)| *distance <= NEAREST_DISTANCE_MAX)
                .map(|(_, name)| format!("{}{name}", if self.negated { "!" } else { "" })),
        }
    }
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut previous = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let replaced = previous + usize::from(ca != *cb);
            previous = row[j + 1];
            row[j + 1] = replaced.min(previous + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<TableName> {
        ["operations.orders", "operations.audit", "public.a.b", "Sales.Items"]
            .iter()
            .map(|name| name.split_once('.').unwrap())
            .map(|(schema, name)| TableName::new(schema, name))
            .collect()
    }

    fn select(patterns: &[&str]) -> Result<Vec<String>> {
        let names = names();
        let chosen = TablePatterns::new(patterns)?.select(&names, |name| name)?;
        Ok(chosen.into_iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_last_pattern_that_matches_decides() {
        assert_eq!(select(&["operations.*", "!operations.audit"]).unwrap(), ["operations.orders"]);
        assert_eq!(select(&["*", "!operations.*", "operations.a*t"]).unwrap().len(), 3);
        assert_eq!(select(&["public.a.b"]).unwrap(), ["public.a.b"]);
        assert_eq!(select(&["S*.?tems"]).unwrap(), ["Sales.Items"]);
    }

    #[test]
    fn a_pattern_that_matches_nothing_names_the_nearest() {
        let Err(SourceError::PatternMatchesNothing { pattern, nearest }) = select(&["operations.order"])
        else {
            panic!("it matched")
        };
        assert_eq!((pattern.as_str(), nearest.as_deref()), ("operations.order", Some("operations.orders")));
        let Err(SourceError::PatternMatchesNothing { nearest, .. }) = select(&["*", "!far.away"]) else {
            panic!("it matched")
        };
        assert_eq!(nearest, None);
    }

    #[test]
    fn patterns_without_a_schema_or_that_begin_with_a_negation_are_refused() {
        for patterns in [vec![], vec!["orders"], vec!["!a.b"], vec![".x"], vec!["x."]] {
            assert!(
                matches!(TablePatterns::new(&patterns), Err(SourceError::Pattern { .. })),
                "{patterns:?}"
            );
        }
    }

    #[test]
    fn globs_backtrack() {
        assert!(glob("a*b*c", "aXbYbZc") && !glob("a*b*c", "aXbYbZ") && glob("*", "") && !glob("?", ""));
    }
}
