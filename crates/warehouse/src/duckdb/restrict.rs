//! What roles do not see, below every view: a condition on the rows of a table and other values for its columns, around the body of each of its views.
//!
//! Which role reads is a session variable of the connection. DuckDB folds it while it plans, so for whoever has no role nothing is left of all this
//! in the plan; what is built on the views follows.
//!
//! # Why a condition alone is not relied on
//!
//! DuckDB moves conditions of a statement down to the table and promises no order among them. What it moves below the role's condition today can't fail (1.5 keeps what
//! can above it), but a statement that sees a hidden row first tells of it by an error. So every column is NULL, too, unless the condition holds, whatever the order; a
//! `CASE` is never looked into. And the condition stands within `TRY`, so that no error of its own can show a value.
//!
//! # What can't be got around by changing the source
//!
//! A table that was restricted once by a name stays so under any other: its OID is written down with that name. A role whose condition no longer compiles, or
//! whose masked column is called otherwise now, reads an error.

use std::collections::BTreeSet;

use arrow_array::cast::AsArray;
use millstream_core::{
    warehouse::{LayoutColumn, TableLayout},
    ColumnType, Mask, Restriction, Restrictions, TableName,
};
use serde_json::Value;

use super::{
    engine::{Connection, Database},
    failed,
    sql::{column_type, identifier, string, HIDDEN_SCHEMA},
    state::{self, single_u64},
    views, DuckDb,
};
use crate::WarehouseError;

/// Session variable, text: the role that reads. Unset: nobody who is restricted.
pub(crate) const ROLE: &str = "millstream_role";

/// The message of the error that a role reads where its restriction can't be applied.
pub(crate) const CANT_RESTRICT: &str = "MS5308: the role can't be restricted";

/// Stands around the views of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Veil {
    /// Every role that may read the table at all.
    roles: Vec<String>,
    restricted: Vec<Restricted>,
    mask_key: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Restricted {
    restriction: Restriction,
    /// Why it can't be applied.
    broken: Option<String>,
}

/// A column of a view's body.
pub(crate) struct Shown<'a> {
    /// What it is called there.
    pub(crate) name: String,
    /// The table's column that it shows; `None`: bookkeeping.
    pub(crate) of: Option<&'a LayoutColumn>,
}

impl Veil {
    /// What stands around the views of a table; `None`: no role is restricted.
    pub(crate) fn of(
        connection: &Connection,
        restrictions: &Restrictions,
        layout: &TableLayout,
    ) -> Result<Option<Self>, WarehouseError> {
        if restrictions.all.is_empty() {
            return Ok(None);
        }
        let mut names = known_names(connection, layout)?;
        let same = |name: &TableName| name.to_string().eq_ignore_ascii_case(&layout.target.to_string());
        if restrictions.of(&layout.target).next().is_some() && !names.iter().any(same) {
            remember(connection, layout)?;
        }
        if !names.iter().any(same) {
            names.push(layout.target.clone());
        }
        let mut restricted = Vec::new();
        for restriction in names.iter().flat_map(|name| restrictions.of(name)) {
            let broken = broken(connection, layout, restriction);
            if let Some(why) = &broken {
                tracing::warn!(event = "role_shut_out", role = restriction.role, table = %layout.target, why);
            }
            restricted.push(Restricted { restriction: restriction.clone(), broken });
        }
        Ok((!restricted.is_empty()).then(|| Veil {
            roles: restrictions.roles.clone(),
            restricted,
            mask_key: restrictions.mask_key.clone(),
        }))
    }

    /// The body of a view of the table called `name`, as roles see it.
    pub(crate) fn around(&self, name: &str, body: &str, columns: &[Shown<'_>]) -> String {
        let condition = self.condition();
        let select: Vec<String> = columns
            .iter()
            .map(|column| {
                let name = identifier(&column.name);
                format!("CASE WHEN {condition} THEN {} END AS {name}", self.value(column))
            })
            .collect();
        format!("SELECT {} FROM ({body}) AS {} WHERE {condition}", select.join(", "), identifier(name))
    }

    /// Whether a row is there for who reads.
    fn condition(&self) -> String {
        let role = role();
        let free = |name: &&String| !self.restricted.iter().any(|r| r.restriction.role == **name);
        let free = self.roles.iter().filter(free).map(|name| string(name));
        let free: Vec<String> = [string("")].into_iter().chain(free).collect();
        let mut cases = format!("WHEN {role} IN ({}) THEN true", free.join(", "));
        let roles: BTreeSet<&str> =
            self.restricted.iter().map(|restricted| restricted.restriction.role.as_str()).collect();
        for name in roles {
            let of_role = self.restricted.iter().filter(|restricted| restricted.restriction.role == name);
            let conditions: Vec<String> = of_role
                .map(|restricted| match (&restricted.broken, &restricted.restriction.rows) {
                    // Whoever reads this through a model need not know of the table.
                    (Some(_), _) => format!("error({})::BOOLEAN", string(CANT_RESTRICT)),
                    // The line end ends a comment behind it.
                    (None, Some(rows)) => format!("coalesce(TRY(({rows}\n)), false)"),
                    (None, None) => "true".to_owned(),
                })
                .collect();
            cases.push_str(&format!(" WHEN {role} = {} THEN ({})", string(name), conditions.join(" AND ")));
        }
        format!("(CASE {cases} ELSE false END)")
    }

    /// A column's value for who reads.
    fn value(&self, column: &Shown<'_>) -> String {
        let name = identifier(&column.name);
        let Some(of) = column.of else { return name };
        let mut cases = String::new();
        for Restricted { restriction, broken } in &self.restricted {
            let masks = restriction.masks.iter().filter(|(masked, _)| masked.eq_ignore_ascii_case(&of.name));
            for (_, mask) in masks.filter(|_| broken.is_none()) {
                let value = match mask {
                    Mask::Hash if of.column_type == ColumnType::Text => {
                        let key = string(&self.mask_key);
                        format!("CASE WHEN {name} IS NULL THEN NULL ELSE sha256({key} || {name}) END")
                    }
                    // A column of history that was of another type once.
                    Mask::Hash | Mask::Null => "NULL".to_owned(),
                };
                cases.push_str(&format!(" WHEN {} = {} THEN {value}", role(), string(&restriction.role)));
            }
        }
        match cases.as_str() {
            "" => name,
            _ => format!("CASE{cases} ELSE {name} END"),
        }
    }
}

fn role() -> String {
    format!("coalesce(getvariable('{ROLE}')::VARCHAR, '')")
}

/// Why a restriction can't be applied to a table as it is.
fn broken(connection: &Connection, layout: &TableLayout, restriction: &Restriction) -> Option<String> {
    let target = &layout.target;
    for (masked, mask) in &restriction.masks {
        let columns = || layout.columns.iter().filter(|column| column.name.eq_ignore_ascii_case(masked));
        if columns().next().is_none() {
            return Some(format!("{target} has no column {masked}, which is masked for this role"));
        }
        if *mask == Mask::Hash
            && columns().any(|column| column.live && column.column_type != ColumnType::Text)
        {
            return Some(format!("the column {masked} of {target} is no text, and only text can be hashed"));
        }
    }
    let rows = restriction.rows.as_ref()?;
    compile(connection, layout, rows)
        .err()
        .map(|_| format!("the rows of {target} that this role may read can't be told"))
}

/// Whether a condition is one over the table's columns, and nothing else.
fn compile(connection: &Connection, layout: &TableLayout, rows: &str) -> Result<(), String> {
    check_form(connection, rows)?;
    let columns: Vec<String> = layout
        .live_columns()
        .map(|column| format!("NULL::{} AS {}", column_type(&column.column_type), identifier(&column.name)))
        .collect();
    let prepared = connection
        .prepare(&format!(
            "SELECT ({rows}\n) AS c FROM (SELECT {}) AS {} WHERE coalesce(TRY(({rows}\n)), false)",
            columns.join(", "),
            identifier(&layout.target.name)
        ))
        .map_err(|error| first_line(&error.message))?;
    if !prepared.parameters().is_empty() {
        return Err("it has a parameter, and nobody gives one".to_owned());
    }
    match prepared.columns().as_slice() {
        [(_, of)] if of == "BOOLEAN" => Ok(()),
        [(_, of)] => Err(format!("it is {of} and must be true or false")),
        _ => Err("it must be one condition".to_owned()),
    }
}

fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or_default().to_owned()
}

/// Whether a text is one expression that looks at nothing but one row: no SELECT in it, and nothing behind it.
fn check_form(connection: &Connection, rows: &str) -> Result<(), String> {
    connection.check_syntax(&format!("SELECT ({rows}\n)")).map_err(|error| first_line(&error.message))?;
    let told = connection
        .query(&format!("SELECT json_serialize_sql({})::VARCHAR", string(&format!("SELECT ({rows}\n)"))))
        .map_err(|error| first_line(&error.message))?;
    let tree = told
        .iter()
        .find(|batch| batch.num_rows() > 0)
        .and_then(|batch| serde_json::from_str::<Value>(batch.column(0).as_string::<i32>().value(0)).ok())
        .unwrap_or_default();
    let statements = tree["statements"].as_array().map_or(&[][..], Vec::as_slice);
    let [statement] = statements else { return Err("it must be one condition".to_owned()) };
    let node = &statement["node"];
    let plain = node["type"] == "SELECT_NODE"
        && node["select_list"].as_array().is_some_and(|list| list.len() == 1)
        && node["from_table"]["type"] == "EMPTY"
        && ["where_clause", "having", "qualify"].iter().all(|clause| node[*clause].is_null())
        && node["modifiers"].as_array().is_none_or(Vec::is_empty);
    if !plain {
        return Err("it must be one condition".to_owned());
    }
    if has_class(&node["select_list"], "SUBQUERY") {
        return Err("it may look at the columns of its own row only, and has a SELECT in it".to_owned());
    }
    Ok(())
}

fn has_class(node: &Value, class: &str) -> bool {
    match node {
        Value::Array(items) => items.iter().any(|item| has_class(item, class)),
        Value::Object(fields) => {
            fields.get("class").is_some_and(|found| found == class)
                || fields.values().any(|field| has_class(field, class))
        }
        _ => false,
    }
}

/// Whether a restriction can be applied to a table that looks like this, before there is one.
///
/// # Errors
/// What is wrong, in words: the condition does not compile, or is none; a masked column is not there, or can't be masked so.
pub fn check_restriction(layout: &TableLayout, restriction: &Restriction) -> Result<(), String> {
    let open = || Database::open(std::path::Path::new(":memory:"), &[("threads", "1".to_owned())])?.connect();
    let connection = open().map_err(|error| first_line(&error.message))?;
    if let Some(rows) = &restriction.rows {
        compile(&connection, layout, rows)?;
    }
    broken(&connection, layout, restriction).map_or(Ok(()), Err)
}

/// The names under which a table was restricted.
fn known_names(connection: &Connection, layout: &TableLayout) -> Result<Vec<TableName>, WarehouseError> {
    let batches = connection
        .query(&format!(
            "SELECT schema_name, table_name FROM {HIDDEN_SCHEMA}.restricted WHERE oid = {}",
            layout.id
        ))
        .map_err(failed("reading which tables are restricted"))?;
    let mut names = Vec::new();
    for batch in &batches {
        let text = |column: usize| batch.column(column).as_string::<i32>();
        names.extend((0..batch.num_rows()).map(|row| TableName::new(text(0).value(row), text(1).value(row))));
    }
    Ok(names)
}

fn remember(connection: &Connection, layout: &TableLayout) -> Result<(), WarehouseError> {
    connection
        .run(&format!(
            "INSERT INTO {HIDDEN_SCHEMA}.restricted VALUES ({}, {}, {})",
            layout.id,
            string(&layout.target.schema),
            string(&layout.target.name)
        ))
        .map_err(failed("writing down which tables are restricted"))?;
    Ok(())
}

impl DuckDb {
    /// Makes every view show roles what they may see, and no more, from now on and for tables to come.
    pub fn restrict(&mut self, restrictions: Restrictions) -> Result<(), WarehouseError> {
        let restricting = || failed("making the views that roles read");
        let connection = &self.writer;
        let there = connection
            .query(&format!(
                "SELECT count(*)::UBIGINT FROM duckdb_tables() WHERE database_name = current_database() \
                 AND schema_name = {} AND table_name = 'restricted'",
                string(HIDDEN_SCHEMA)
            ))
            .map_err(restricting())?;
        let there = single_u64(&there) > 0;
        self.restrictions = restrictions;
        if !there && self.restrictions.all.is_empty() {
            return Ok(());
        }
        connection.run("BEGIN TRANSACTION").map_err(restricting())?;
        let made = self.make_restricted_views(there);
        let ended = match &made {
            Ok(()) => connection.run("COMMIT"),
            Err(_) => connection.run("ROLLBACK"),
        };
        made?;
        ended.map_err(restricting())?;
        self.sessions.forget_statements();
        Ok(())
    }

    fn make_restricted_views(&self, there: bool) -> Result<(), WarehouseError> {
        let restricting = || failed("making the views that roles read");
        if !there {
            self.writer
                .run(&format!(
                    "CREATE TABLE {HIDDEN_SCHEMA}.restricted \
                     (oid UINTEGER NOT NULL, schema_name VARCHAR NOT NULL, table_name VARCHAR NOT NULL)"
                ))
                .map_err(restricting())?;
        }
        for table in state::tables(&self.writer)? {
            let layout = &table.state.layout;
            let was = !known_names(&self.writer, layout)?.is_empty();
            let veil = Veil::of(&self.writer, &self.restrictions, layout)?;
            if !was && veil.is_none() {
                continue;
            }
            for definition in views::definitions(&table.state, &table.stem, table.retired, veil.as_ref()) {
                self.writer.run(&definition.replace()).map_err(restricting())?;
            }
        }
        Ok(())
    }
}
