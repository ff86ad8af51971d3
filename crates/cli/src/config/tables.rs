//! Which tables, and which settings for each: patterns over `schema.table`.

use std::collections::BTreeMap;

use millstream_apply::layout::VALUE_BYTES_MAX;
use millstream_core::{glob, warehouse::HistoryNames, ColumnType, TableName, Timestamp};

use super::{
    error::{ConfigError, Problem, ProblemKind},
    place::Place,
};

/// A pattern over `schema.table`: `*` stands for any characters of either part, `?` for one; `*` alone for every table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// As typed, without `!`.
    pub text: String,
    /// Where it is written.
    pub place: Place,
}

/// Whether a pattern could match any table at all.
pub(super) fn check_pattern(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("the table pattern is empty".into());
    }
    if text != "*"
        && !text.split_once('.').is_some_and(|(schema, name)| !schema.is_empty() && !name.is_empty())
    {
        return Err(format!("the table pattern `{text}` does not name schema and table"));
    }
    if text.starts_with('!') {
        return Err(format!("the table pattern `{text}` begins with `!`, which has no meaning here"));
    }
    Ok(())
}

impl Pattern {
    /// Whether it matches the table.
    pub fn matches(&self, table: &TableName) -> bool {
        match self.text.split_once('.') {
            Some((schema, name)) => glob(schema, &table.schema) && glob(name, &table.name),
            None => self.text == "*",
        }
    }

    /// Orders patterns from least to most exact: a name without wildcards is the most exact, then the more that is spelled out.
    fn exactness(&self) -> (bool, usize) {
        let wild = self.text.chars().filter(|c| matches!(c, '*' | '?')).count();
        (wild == 0, self.text.chars().count() - wild)
    }

    fn matched_nothing(&self, tables: &[TableName]) -> Problem {
        let message = format!("the table pattern `{}` matches no table of the source", self.text);
        let names: Vec<String> = tables.iter().map(TableName::to_string).collect();
        let hint = match super::check::nearest(&self.text, names.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None if names.is_empty() => "the source has no tables that the role can see".into(),
            None => {
                // A screenful is as much as helps.
                const NAMES_SHOWN_MAX: usize = 12;
                let more = names.len().saturating_sub(NAMES_SHOWN_MAX);
                let shown = names[..names.len() - more].join(", ");
                format!(
                    "the source has {shown}{}",
                    if more > 0 { format!(" and {more} more") } else { String::new() }
                )
            }
        };
        Problem::new(ProblemKind::TablePattern, message, Some(self.place.clone())).hint(hint)
    }
}

/// Which tables are replicated: the last pattern that matches decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// In the order of the file: whether it includes, and what.
    pub patterns: Vec<(bool, Pattern)>,
}

impl Selection {
    /// Whether the table is selected.
    pub fn selects(&self, table: &TableName) -> bool {
        self.patterns
            .iter()
            .rev()
            .find(|(_, pattern)| pattern.matches(table))
            .is_some_and(|(include, _)| *include)
    }

    /// The selected ones of the source's tables. A pattern that matches none is an error.
    pub fn select(&self, tables: &[TableName]) -> Result<Vec<TableName>, ConfigError> {
        let lost: Vec<Problem> = self
            .patterns
            .iter()
            .filter(|(_, pattern)| !tables.iter().any(|table| pattern.matches(table)))
            .map(|(_, pattern)| pattern.matched_nothing(tables))
            .collect();
        if !lost.is_empty() {
            return Err(ConfigError::Wrong(lost));
        }
        Ok(tables.iter().filter(|table| self.selects(table)).cloned().collect())
    }
}

/// What happens to a value that its column's type can't hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnUnrepresentable {
    /// The column becomes text.
    #[default]
    Widen,
    /// Replication stops.
    Stop,
    /// The change is set aside.
    Quarantine,
}

/// What one entry below `tables` says; what is `None` it leaves alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableEntry {
    /// Whether versions are kept.
    pub history: Option<bool>,
    /// Warehouse types by column.
    pub column_types: BTreeMap<String, ColumnType>,
    /// What happens to what can't be represented.
    pub on_unrepresentable: Option<OnUnrepresentable>,
    /// Changes with a larger value are set aside, in bytes.
    pub value_bytes_max: Option<u64>,
    /// Names of the history columns, by their default name.
    pub history_names: BTreeMap<&'static str, String>,
    /// What an open version's `valid_to` shows.
    pub history_open_value: Option<Timestamp>,
}

/// The settings of one table, all patterns applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSettings {
    /// Whether versions are kept.
    pub history: bool,
    /// Warehouse types by column.
    pub column_types: BTreeMap<String, ColumnType>,
    /// What happens to what can't be represented.
    pub on_unrepresentable: OnUnrepresentable,
    /// Changes with a larger value are set aside, in bytes.
    pub value_bytes_max: u64,
    /// How the history view names its columns.
    pub history_names: HistoryNames,
}

/// All entries below `tables`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableRules {
    /// In the order of the file.
    pub entries: Vec<(Pattern, TableEntry)>,
}

impl TableRules {
    /// The settings of a table: entries apply from the least to the most exact pattern, each adding to and overriding what was there.
    pub fn settings(&self, table: &TableName) -> TableSettings {
        let mut matching: Vec<_> =
            self.entries.iter().filter(|(pattern, _)| pattern.matches(table)).collect();
        // Stable: of equally exact patterns the later one in the file wins.
        matching.sort_by_key(|(pattern, _)| pattern.exactness());
        let mut settings = TableSettings {
            history: true,
            column_types: BTreeMap::new(),
            on_unrepresentable: OnUnrepresentable::Widen,
            value_bytes_max: VALUE_BYTES_MAX,
            history_names: HistoryNames::default(),
        };
        for (_, entry) in matching {
            if let Some(history) = entry.history {
                settings.history = history;
            }
            settings.column_types.extend(entry.column_types.clone());
            if let Some(choice) = entry.on_unrepresentable {
                settings.on_unrepresentable = choice;
            }
            if let Some(bytes) = entry.value_bytes_max {
                settings.value_bytes_max = bytes;
            }
            for (name, chosen) in &entry.history_names {
                let names = &mut settings.history_names;
                let place = match *name {
                    "valid_from" => &mut names.valid_from,
                    "valid_to" => &mut names.valid_to,
                    "is_current" => &mut names.is_current,
                    _ => &mut names.operation_type,
                };
                place.clone_from(chosen);
            }
            if entry.history_open_value.is_some() {
                settings.history_names.open_value = entry.history_open_value;
            }
        }
        settings
    }

    /// An error for every pattern that matches no table of the source.
    pub fn check_matches(&self, tables: &[TableName]) -> Result<(), ConfigError> {
        let lost: Vec<Problem> = self
            .entries
            .iter()
            .filter(|(pattern, _)| !tables.iter().any(|table| pattern.matches(table)))
            .map(|(pattern, _)| pattern.matched_nothing(tables))
            .collect();
        if lost.is_empty() {
            Ok(())
        } else {
            Err(ConfigError::Wrong(lost))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern { text: text.into(), place: Place::Variable("test".into()) }
    }

    fn table(text: &str) -> TableName {
        let (schema, name) = text.split_once('.').unwrap();
        TableName::new(schema, name)
    }

    #[test]
    fn wildcards_match_as_in_a_shell() {
        for (text, name, expected) in [
            ("*", "shop.orders", true),
            ("shop.*", "shop.orders", true),
            ("shop.*", "shopping.orders", false),
            ("*.orders", "shop.orders", true),
            ("*.orders", "shop.old_orders", false),
            ("shop.o?ders", "shop.orders", true),
            ("shop.*_log_*", "shop.a_log_b_log_c", true),
            ("shop.*x", "shop.orders", false),
            ("shop.orders", "shop.orders", true),
            ("shop.orders", "shop.Orders", false),
        ] {
            assert_eq!(pattern(text).matches(&table(name)), expected, "{text} {name}");
        }
    }

    #[test]
    fn the_last_pattern_that_matches_decides() {
        let selection = Selection {
            patterns: vec![
                (true, pattern("shop.*")),
                (false, pattern("shop.log_*")),
                (true, pattern("shop.log_kept")),
            ],
        };
        assert!(selection.selects(&table("shop.orders")) && selection.selects(&table("shop.log_kept")));
        assert!(!selection.selects(&table("shop.log_other")) && !selection.selects(&table("other.t")));
    }

    #[test]
    fn a_pattern_that_matches_nothing_says_what_there_is() {
        let selection = Selection { patterns: vec![(true, pattern("shop.order"))] };
        let error = selection.select(&[table("shop.orders"), table("shop.items")]).unwrap_err();
        let ConfigError::Wrong(problems) = error else { panic!("{error}") };
        assert_eq!(problems[0].hint.as_deref(), Some("did you mean `shop.orders`?"));
    }

    #[test]
    fn a_more_exact_name_adds_to_and_overrides_a_less_exact_pattern_wherever_it_stands() {
        let types = |pairs: &[(&str, ColumnType)]| {
            pairs.iter().map(|(name, column_type)| ((*name).to_owned(), column_type.clone())).collect()
        };
        let rules = TableRules {
            entries: vec![
                (
                    pattern("shop.orders"),
                    TableEntry {
                        history: Some(true),
                        column_types: types(&[("b", ColumnType::Text)]),
                        ..Default::default()
                    },
                ),
                (
                    pattern("shop.*"),
                    TableEntry {
                        history: Some(false),
                        column_types: types(&[("a", ColumnType::Double), ("b", ColumnType::Double)]),
                        on_unrepresentable: Some(OnUnrepresentable::Quarantine),
                        value_bytes_max: Some(5_000),
                        ..Default::default()
                    },
                ),
                (
                    pattern("*"),
                    TableEntry { on_unrepresentable: Some(OnUnrepresentable::Widen), ..Default::default() },
                ),
            ],
        };
        let orders = rules.settings(&table("shop.orders"));
        assert!(orders.history);
        assert_eq!(orders.column_types, types(&[("a", ColumnType::Double), ("b", ColumnType::Text)]));
        assert_eq!(
            (orders.on_unrepresentable, orders.value_bytes_max),
            (OnUnrepresentable::Quarantine, 5_000)
        );
        assert!(!rules.settings(&table("shop.items")).history);
        let other = rules.settings(&table("other.t"));
        assert_eq!((other.on_unrepresentable, other.value_bytes_max), (OnUnrepresentable::Widen, 64_000_000));
    }
}
