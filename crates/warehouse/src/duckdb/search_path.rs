//! Where a reader's unqualified names are looked for: in every schema that holds tables or views, unless two of them have one of that name.
//!
//! DuckDB itself takes the first schema of a search path that has the name. That would be a guess, so the names of the query are looked at
//! before: what could be two tables is an error that names both.

use std::collections::{BTreeMap, BTreeSet};

use arrow_array::cast::AsArray;
use millstream_core::TableName;

use super::{
    ast::{Named, Names},
    engine::Connection,
    failed,
    sql::{identifier, string, HIDDEN_SCHEMA},
};
use crate::WarehouseError;

/// The schema that DuckDB looks in by itself. It comes first here, too: models stand there where the source's schemas keep their names.
const DEFAULT_SCHEMA: &str = "main";

/// What a table's history view is called, and its function of a time, behind the table's name.
const HISTORY: &str = "_history";
const AS_OF: &str = "_as_of";

/// Schemas and what is visible in them, names folded as DuckDB compares them.
#[derive(Debug, Default)]
pub(super) struct Visible {
    schemas: BTreeSet<String>,
    /// The database's own name.
    catalog: String,
    /// The schemas in which each name is.
    names: BTreeMap<String, BTreeSet<String>>,
    /// Tables of the project's own: those that hold rows, and not in the hidden schema.
    tables: BTreeSet<TableName>,
}

impl Visible {
    pub(super) fn read(connection: &Connection) -> Result<Self, WarehouseError> {
        let batches = connection
            .query(&format!(
                "SELECT schema_name, view_name, database_name, holds FROM (\
                 SELECT schema_name, view_name, database_name, internal, false AS holds FROM duckdb_views() \
                 UNION ALL SELECT schema_name, table_name, database_name, internal, true FROM duckdb_tables()) \
                 WHERE NOT internal AND database_name = current_database() AND schema_name <> {}",
                string(HIDDEN_SCHEMA)
            ))
            .map_err(failed("looking for the schemas of its tables"))?;
        let mut visible = Visible::default();
        for batch in &batches {
            let (schemas, views) = (batch.column(0).as_string::<i32>(), batch.column(1).as_string::<i32>());
            let holds = batch.column(3).as_boolean();
            for row in 0..batch.num_rows() {
                visible.add(schemas.value(row), views.value(row));
                if holds.value(row) {
                    let (schema, table) = (schemas.value(row), views.value(row));
                    visible.tables.insert(TableName::new(schema.to_lowercase(), table.to_lowercase()));
                }
            }
            if batch.num_rows() > 0 {
                visible.catalog = batch.column(2).as_string::<i32>().value(0).to_owned();
            }
        }
        Ok(visible)
    }

    fn add(&mut self, schema: &str, view: &str) {
        self.schemas.insert(schema.to_owned());
        let view = view.to_ascii_lowercase();
        let as_of = view.strip_suffix(HISTORY).map(|stem| format!("{stem}{AS_OF}"));
        for name in as_of.into_iter().chain([view]) {
            self.names.entry(name).or_default().insert(schema.to_owned());
        }
    }

    /// As the setting takes it.
    fn path(&self) -> String {
        let schemas = self.schemas.iter().map(String::as_str).filter(|schema| *schema != DEFAULT_SCHEMA);
        [DEFAULT_SCHEMA].into_iter().chain(schemas).map(identifier).collect::<Vec<_>>().join(",")
    }

    /// The first of the names that could be more than one thing, with all that it could be. What is in `main` is that.
    fn ambiguous<'a>(&self, names: impl IntoIterator<Item = &'a String>) -> Option<(String, Vec<String>)> {
        names.into_iter().find_map(|name| {
            let name = name.to_ascii_lowercase();
            let schemas = self.names.get(&name)?;
            let clash = schemas.len() > 1 && !schemas.contains(DEFAULT_SCHEMA);
            clash.then(|| {
                let candidates = schemas.iter().map(|schema| format!("{schema}.{name}")).collect();
                (name, candidates)
            })
        })
    }

    /// Whether a relation that was [resolved](Self::resolve) holds rows of its own.
    pub(super) fn holds(&self, relation: &TableName) -> bool {
        self.tables.contains(relation)
    }

    /// Whether something visible can be meant.
    pub(super) fn has(&self, named: &Named) -> bool {
        !self.resolve(named).is_empty()
    }

    /// What can be meant, in lower case; the table, where its function of a time is named.
    pub(super) fn resolve(&self, named: &Named) -> Vec<TableName> {
        if !named.catalog.is_empty() && !named.catalog.eq_ignore_ascii_case(&self.catalog) {
            return Vec::new();
        }
        let name = named.name.to_ascii_lowercase();
        let schemas = self.names.get(&name).into_iter().flatten().map(|schema| schema.to_ascii_lowercase());
        let meant =
            schemas.filter(|schema| named.schema.is_empty() || named.schema.eq_ignore_ascii_case(schema));
        let table = name.strip_suffix(AS_OF).filter(|table| self.names.contains_key(*table)).unwrap_or(&name);
        meant.map(|schema| TableName::new(schema, table)).collect()
    }

    fn knows<'a>(&self, names: impl IntoIterator<Item = &'a String>) -> bool {
        names.into_iter().any(|name| self.names.contains_key(&name.to_ascii_lowercase()))
    }
}

/// The tables and table functions that a query names without a schema, but for those that it defines itself (`WITH`).
fn unqualified(connection: &Connection, sql: &str) -> Result<BTreeSet<String>, WarehouseError> {
    Ok(match Names::of(connection, sql)? {
        Some(names) => names.unqualified(),
        // EXPLAIN and PIVOT are not told as a tree: every word could be a name.
        None => words(sql).into_iter().collect(),
    })
}

/// The words of a text, without those that have a schema before them or something of their own behind a dot.
fn words(sql: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = sql;
    let mut after_dot = false;
    while let Some(first) = rest.chars().next() {
        let is_name = |c: char| c.is_alphanumeric() || c == '_';
        let length = match first {
            '\'' => 1 + rest[1..].find('\'').map_or(rest.len() - 1, |end| end + 1),
            '"' => 1 + rest[1..].find('"').map_or(rest.len() - 1, |end| end + 1),
            c if is_name(c) => rest.find(|c| !is_name(c)).unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        let (word, behind) = rest.split_at(length);
        rest = behind;
        if (is_name(first) || first == '"') && !after_dot && !rest.trim_start().starts_with('.') {
            words.push(word.trim_matches('"').to_owned());
        }
        if !first.is_whitespace() {
            after_dot = first == '.';
        }
    }
    words
}

/// A connection whose search path is as a statement needs it.
#[must_use]
pub(super) struct Searching {
    /// Whether the statement means the same wherever names are looked for.
    pub(super) anywhere: bool,
    is_set: bool,
}

impl Searching {
    /// Sets the search path for a statement, if it needs one. An error if a name of it could be more than one thing.
    pub(super) fn begin(connection: &Connection, sql: &str) -> Result<Self, WarehouseError> {
        let names = unqualified(connection, sql)?;
        let anywhere = names.is_empty();
        Ok(Searching { anywhere, is_set: !anywhere && set(connection, &names)? })
    }

    /// Goes back to DuckDB's own.
    pub(super) fn end(self, connection: &Connection) -> Result<(), WarehouseError> {
        if self.is_set {
            connection.run("RESET search_path").map_err(failed("setting where names are looked for"))?;
        }
        Ok(())
    }
}

fn set(connection: &Connection, names: &BTreeSet<String>) -> Result<bool, WarehouseError> {
    let visible = Visible::read(connection)?;
    if let Some((name, candidates)) = visible.ambiguous(names) {
        return Err(WarehouseError::Ambiguous { name, candidates });
    }
    if !visible.knows(names) {
        return Ok(false);
    }
    connection
        .run(&format!("SET search_path = {}", string(&visible.path())))
        .map_err(failed("setting where names are looked for"))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_two_schemas_is_ambiguous_unless_it_is_in_main() {
        let mut visible = Visible::default();
        for (schema, view) in [
            ("a", "Orders"),
            ("a", "Orders_history"),
            ("b", "orders"),
            ("b", "orders_history"),
            ("b", "own"),
            ("main", "model"),
            ("a", "model"),
        ] {
            visible.add(schema, view);
        }
        let ambiguous = |name: &str| visible.ambiguous(&[name.to_owned()]).map(|(_, candidates)| candidates);
        assert_eq!(ambiguous("ORDERS"), Some(vec!["a.orders".to_owned(), "b.orders".to_owned()]));
        assert_eq!(ambiguous("orders_as_of").map(|c| c.len()), Some(2));
        for clear in ["own", "model", "nothing"] {
            assert_eq!(ambiguous(clear), None, "{clear}");
        }
        assert_eq!(visible.path(), "\"main\",\"a\",\"b\"");
    }

    #[test]
    fn words_are_names_that_have_no_schema() {
        assert_eq!(words("EXPLAIN FROM t, a.u, 'v', \"w x\" -- z"), ["EXPLAIN", "FROM", "t", "w x", "z"]);
    }
}
