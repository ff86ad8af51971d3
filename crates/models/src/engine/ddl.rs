//! The statements that make relations, planned here for what is built natively and for the library's macros alike.

use std::collections::BTreeSet;

use millstream_core::build::BuildConnection;
use serde_json::{Map, Value as Json};

use super::contract;
use crate::{
    context::relation::{quoted, Relation},
    error::{Problem, ProblemKind, Result},
    hash::md5,
    parse::{
        names,
        node::{Node, Resource},
    },
    project::Adapter,
};

/// The statements that make a table of a query. A temporary one has no schema, and no constraints.
///
/// Errors: the model has a contract that the query does not keep.
pub(super) fn create_table_as(
    node: &Node,
    dialect: Adapter,
    temporary: bool,
    relation: &Relation,
    sql: &str,
    connection: &mut dyn BuildConnection,
) -> Result<String> {
    let has_contract = node.resource == Resource::Model && node.has_contract();
    if has_contract {
        contract::check(node, dialect, sql, connection)?;
    }
    // DuckDB has nothing of the kind, and dbt passes it over there.
    let is_unlogged = dialect == Adapter::Postgres && node.config.get("unlogged") == Some(&Json::Bool(true));
    let kind = if is_unlogged { "unlogged table" } else { "table" };
    if has_contract && !temporary {
        return contract::create_table(node, kind, relation, sql);
    }
    let (what, name) = if temporary {
        ("temporary table", quoted(relation.identifier()))
    } else {
        (kind, relation.render())
    };
    Ok(format!("{}create {what} {name} as (\n{sql}\n);", header(node)))
}

/// The statement that makes a view of a query.
///
/// Errors: the model has a contract that the query does not keep.
pub(super) fn create_view_as(
    node: &Node,
    dialect: Adapter,
    relation: &Relation,
    sql: &str,
    connection: &mut dyn BuildConnection,
) -> Result<String> {
    if node.resource == Resource::Model && node.has_contract() {
        contract::check(node, dialect, sql, connection)?;
    }
    Ok(format!("{}create view {} as (\n{sql}\n);", header(node), relation.render()))
}

/// What a model says is to stand before its statement: settings, functions.
pub(super) fn header(node: &Node) -> String {
    match node.config.get("sql_header") {
        Some(Json::String(header)) => format!("{header}\n"),
        _ => String::new(),
    }
}

/// The statement that drops a relation, with what hangs on it.
pub(super) fn drop(relation: &Relation, what: &str) -> String {
    format!("drop {what} if exists {} cascade", relation.render())
}

/// A query for the columns of another.
pub(super) fn no_rows(sql: &str) -> String {
    format!("select * from (\n{sql}\n) as given limit 0")
}

/// A text in a statement.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The statement that says what a relation is about; none where nothing is said.
pub(super) fn comment(relation: &Relation, description: &str) -> Option<String> {
    let kind = relation.kind.as_deref().unwrap_or("table").replace('_', " ");
    let said = !description.is_empty();
    said.then(|| format!("comment on {kind} {} is {};", relation.render(), literal(description)))
}

/// The statements that say what columns are about, and the columns that are described and aren't there.
///
/// As with dbt, a column that is there by another case of its letters is neither told to be missing nor commented on.
pub(super) fn column_comments(
    relation: &Relation,
    columns: &Map<String, Json>,
    there: &[String],
) -> (Vec<String>, Vec<String>) {
    let (mut statements, mut missing) = (Vec::new(), Vec::new());
    for (name, column) in columns {
        let is_quoted = column.get("quote") == Some(&Json::Bool(true));
        if there.contains(name) {
            let written = if is_quoted { quoted(name) } else { name.clone() };
            let description = column.get("description").and_then(Json::as_str).unwrap_or_default();
            statements.push(format!(
                "comment on column {}.{written} is {};",
                relation.render(),
                literal(description)
            ));
        } else if is_quoted || !there.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            missing.push(format!("`{name}`"));
        }
    }
    (statements, missing)
}

/// An index that a model asks for.
#[derive(Debug)]
pub(super) struct Index {
    columns: Vec<String>,
    unique: bool,
    /// The method, where the warehouse has several.
    method: Option<String>,
    dialect: Adapter,
}

/// The indexes that a model asks for.
///
/// Errors: one of them is none.
pub(super) fn indexes_of(node: &Node, dialect: Adapter) -> Result<Vec<Index>> {
    let all = node.config.get("indexes").and_then(Json::as_array).into_iter().flatten();
    all.map(|index| {
        Index::of(index, dialect).map_err(|wrong| Problem::new(ProblemKind::Configuration, wrong).into())
    })
    .collect()
}

impl Index {
    /// From configuration.
    ///
    /// Errors: it isn't a mapping of `columns` and, if at all, `unique` and, in PostgreSQL, `type`.
    pub(super) fn of(index: &Json, dialect: Adapter) -> std::result::Result<Self, String> {
        let (known, more): (&[&str], &str) = match dialect {
            Adapter::DuckDb => (&["columns", "unique"], ""),
            Adapter::Postgres => (&["columns", "unique", "type"], ", 'type': 'btree'"),
        };
        let wrong =
            || format!("an index is {{'columns': [...], 'unique': true or false{more}}}, not {index}");
        let map = index.as_object().ok_or_else(wrong)?;
        if map.keys().any(|key| !known.contains(&key.as_str())) {
            return Err(wrong());
        }
        let columns = map.get("columns").and_then(Json::as_array).ok_or_else(wrong)?;
        let columns: Option<Vec<String>> =
            columns.iter().map(|column| column.as_str().map(str::to_owned)).collect();
        let unique = match map.get("unique") {
            None => false,
            Some(Json::Bool(unique)) => *unique,
            Some(_) => return Err(wrong()),
        };
        let method = match map.get("type") {
            None | Some(Json::Null) => None,
            Some(Json::String(method)) => Some(method.clone()),
            Some(_) => return Err(wrong()),
        };
        Ok(Index { columns: columns.ok_or_else(wrong)?, unique, method, dialect })
    }

    /// What makes it another index than one that is there: columns in any order, whether it is unique, its method.
    pub(super) fn identity(&self) -> (BTreeSet<String>, bool, String) {
        let columns = self.columns.iter().map(|column| column.to_lowercase()).collect();
        (columns, self.unique, self.method.clone().unwrap_or_else(|| "btree".into()))
    }

    /// The statement. The time is part of the name: the table that this one replaces has an index of the same columns.
    pub(super) fn statement(&self, relation: &Relation) -> String {
        let columns = self.columns.join("_");
        let name = md5(&format!("{columns}_{}_{}_{}", relation.render(), self.unique, names::now()));
        let unique = if self.unique { "unique " } else { "" };
        let if_new = if self.dialect == Adapter::Postgres { "if not exists " } else { "" };
        let method = self.method.as_ref().map(|method| format!(" using {method}")).unwrap_or_default();
        format!(
            "create {unique}index {if_new}{} on {}{method} ({});",
            quoted(&name),
            relation.render(),
            self.columns.join(", ")
        )
    }
}
