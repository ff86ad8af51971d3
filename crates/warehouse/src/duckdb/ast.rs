//! What a statement names, read out of DuckDB's own tree of it.

use std::collections::BTreeSet;

use arrow_array::cast::AsArray;
use serde_json::Value;

use super::{engine::Connection, failed, sql::string};
use crate::WarehouseError;

/// A table, view or table function as a statement names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Named {
    pub(super) catalog: String,
    pub(super) schema: String,
    pub(super) name: String,
}

/// What a statement names. What it defines itself (`WITH`) is not among it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) relations: BTreeSet<Named>,
    pub(super) table_functions: BTreeSet<Named>,
    /// Functions and operators, in lower case, whatever schema they are called by.
    pub(super) functions: BTreeSet<String>,
    /// Those of them that are called by a catalog.
    pub(super) functions_of_catalogs: BTreeSet<String>,
    /// Kinds of sources of rows that are neither tables, functions, joins nor queries: `SHOW_REF` of `FROM (DESCRIBE t)`.
    pub(super) others: BTreeSet<String>,
}

/// Kinds of sources of rows whose parts the walk finds by itself.
const COMPOSED: [&str; 5] = ["SUBQUERY", "JOIN", "EXPRESSION_LIST", "EMPTY", "PIVOT"];

/// DuckDB's tree of statements; `None` for those that it tells none of.
pub(super) fn tree(connection: &Connection, sql: &str) -> Result<Option<Value>, WarehouseError> {
    let parsed = connection
        .query(&format!("SELECT json_serialize_sql({})::VARCHAR", string(sql)))
        .map_err(failed("reading the query's names"))?;
    let parsed = parsed.iter().find(|batch| batch.num_rows() > 0);
    Ok(parsed
        .and_then(|batch| serde_json::from_str::<Value>(batch.column(0).as_string::<i32>().value(0)).ok())
        .filter(|tree| tree["error"] == false))
}

impl Names {
    /// Of a statement; `None` where DuckDB does not tell its tree: of anything but SELECT, and of PIVOT.
    pub(super) fn of(connection: &Connection, sql: &str) -> Result<Option<Self>, WarehouseError> {
        Ok(tree(connection, sql)?.map(|tree| Names::of_tree(&tree)))
    }

    /// Of a statement's tree.
    pub(super) fn of_tree(tree: &Value) -> Self {
        let mut names = Names::default();
        names.walk(&tree["statements"], &mut Vec::new());
        names
    }

    /// The relations and table functions that are named without a schema.
    pub(super) fn unqualified(&self) -> BTreeSet<String> {
        let named = self.relations.iter().chain(&self.table_functions);
        named
            .filter(|named| named.schema.is_empty() && named.catalog.is_empty())
            .map(|named| named.name.clone())
            .collect()
    }

    /// Its depth is bounded by DuckDB's own limit on expressions.
    fn walk(&mut self, node: &Value, defined: &mut Vec<String>) {
        match node {
            Value::Array(items) => items.iter().for_each(|item| self.walk(item, defined)),
            Value::Object(fields) => {
                let text = |node: &Value, key: &str| node[key].as_str().unwrap_or_default().to_owned();
                let before = defined.len();
                // As DuckDB finds names: a definition sees those before it and not itself, so what it reads by its own name is a table.
                let map = fields.get("cte_map").and_then(|ctes| ctes["map"].as_array());
                for cte in map.into_iter().flatten() {
                    self.walk(&cte["value"], defined);
                    defined.push(text(cte, "key").to_ascii_lowercase());
                }
                if text(node, "type") == "RECURSIVE_CTE_NODE" {
                    // Only the part that is repeated sees what it defines.
                    let others =
                        fields.iter().filter(|(key, _)| !["cte_map", "right"].contains(&key.as_str()));
                    others.for_each(|(_, field)| self.walk(field, defined));
                    defined.push(text(node, "cte_name").to_ascii_lowercase());
                    self.walk(&node["right"], defined);
                    defined.truncate(before);
                    return;
                }
                if text(node, "class") == "FUNCTION" {
                    let name = text(node, "function_name").to_ascii_lowercase();
                    if !text(node, "catalog").is_empty() {
                        self.functions_of_catalogs.insert(name.clone());
                    }
                    self.functions.insert(name);
                }
                match text(node, "type").as_str() {
                    "BASE_TABLE" => {
                        let named = Named {
                            catalog: text(node, "catalog_name"),
                            schema: text(node, "schema_name"),
                            name: text(node, "table_name"),
                        };
                        let bare = named.schema.is_empty() && named.catalog.is_empty();
                        if !bare || !defined.contains(&named.name.to_ascii_lowercase()) {
                            self.relations.insert(named);
                        }
                    }
                    "TABLE_FUNCTION" => {
                        let function = &fields["function"];
                        self.table_functions.insert(Named {
                            catalog: text(function, "catalog"),
                            schema: text(function, "schema"),
                            name: text(function, "function_name"),
                        });
                        // Its arguments; it itself is no function among others.
                        self.walk(&function["children"], defined);
                        defined.truncate(before);
                        return;
                    }
                    // Sources of rows are the nodes that can be sampled.
                    other
                        if fields.contains_key("sample")
                            && fields.contains_key("alias")
                            && !COMPOSED.contains(&other) =>
                    {
                        self.others.insert(other.to_owned());
                    }
                    _ => {}
                }
                let others = fields.iter().filter(|(key, _)| *key != "cte_map");
                others.for_each(|(_, field)| self.walk(field, defined));
                defined.truncate(before);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::duckdb::engine::Database;

    #[test]
    fn names_are_those_that_a_query_does_not_define() {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(&directory.path().join("w.duckdb"), &[]).unwrap();
        let connection = database.connect().unwrap();
        for (sql, expected) in [
            ("SELECT * FROM t JOIN \"P\" USING (id)", &["P", "t"][..]),
            ("FROM a.t, b.u_as_of(1), \"a\".\"t\"", &[]),
            ("SELECT (SELECT count(*) FROM t) FROM t_as_of(now())", &["t", "t_as_of"]),
            ("WITH t AS (FROM x) SELECT * FROM T", &["x"]),
            ("WITH t AS (FROM t) SELECT * FROM t", &["t"]),
            ("WITH a AS (FROM t), t AS (SELECT 1) SELECT * FROM a, t", &["t"]),
            ("WITH t AS (SELECT 1), a AS (FROM t) SELECT * FROM a", &[]),
            ("WITH a AS (WITH t AS (SELECT 1) FROM t) SELECT * FROM a, t", &["t"]),
            ("WITH RECURSIVE t AS (FROM t UNION ALL FROM x) FROM t", &["t", "x"]),
            ("WITH RECURSIVE t AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM t WHERE i < 9) FROM t", &[]),
            ("WITH RECURSIVE t AS (SELECT 1 AS i UNION ALL (WITH z AS (FROM t) FROM z)) FROM t", &[]),
            ("(WITH t AS (SELECT 1) FROM t) UNION ALL FROM t", &["t"]),
            ("SELECT * FROM (WITH t AS (SELECT 1) FROM t), t", &["t"]),
            ("SELECT 1 UNION ALL SELECT 2 WHERE EXISTS (FROM t)", &["t"]),
            ("DESCRIBE t", &["t"]),
        ] {
            let names = Names::of(&connection, sql).unwrap().unwrap().unqualified();
            assert_eq!(names.iter().map(String::as_str).collect::<Vec<_>>(), expected, "{sql}");
        }
        assert_eq!(Names::of(&connection, "EXPLAIN SELECT 1").unwrap(), None);
    }

    #[test]
    fn functions_and_strange_sources_are_found_wherever_they_hide() {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(&directory.path().join("w.duckdb"), &[]).unwrap();
        let connection = database.connect().unwrap();
        let names = |sql: &str| Names::of(&connection, sql).unwrap().unwrap();
        let hidden = names(
            "SELECT x FROM range(len(main.current_setting('a'))) AS r(x) WHERE x IN (SELECT count(*) FROM read_text('b')) \
             ORDER BY (SELECT getenv('c')) LIMIT (SELECT version())",
        );
        for function in ["len", "current_setting", "getenv", "version"] {
            assert!(hidden.functions.contains(function), "{function} in {hidden:?}");
        }
        let qualified = names("SELECT upper(system.main.lower('X')), [1], main.length('x')");
        assert_eq!(qualified.functions_of_catalogs, BTreeSet::from(["lower".to_owned()]));
        let tables: Vec<_> = hidden.table_functions.iter().map(|named| named.name.as_str()).collect();
        assert_eq!(tables, ["range", "read_text"]);
        for sql in ["FROM (DESCRIBE t)", "SELECT * FROM (SHOW TABLES)", "SUMMARIZE t"] {
            assert!(names(sql).others.contains("SHOW_REF"), "{sql}");
        }
        assert!(names("SELECT * FROM t, (VALUES (1)) AS v, (SELECT 1) JOIN u USING (id)").others.is_empty());
    }
}
