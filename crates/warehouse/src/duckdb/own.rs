//! What a project has made in the warehouse itself: its views and tables, which are all that is neither a replicated table's nor hidden.

use std::collections::HashSet;

use arrow_array::cast::AsArray;
use millstream_core::{build::RelationKind, warehouse::HistoryNames, TableName};

use super::{
    engine::Connection,
    failed,
    sql::{string, HIDDEN_SCHEMA},
    state, views,
};
use crate::WarehouseError;

/// A view or table of the project's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnRelation {
    /// Its name.
    pub name: TableName,
    /// A view shows what it reads as that is now, a table what it was made of.
    pub kind: RelationKind,
    /// A view's SELECT; of a table, one of all of it.
    pub select: String,
}

/// A view in front of a replicated table, for whoever builds models of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replicated {
    /// The table at the source.
    pub source: TableName,
    /// The view.
    pub view: TableName,
    /// What the view calls its own columns, if it is the table's history.
    pub history: Option<HistoryNames>,
}

/// All of them.
pub(super) fn readable(connection: &Connection) -> Result<Vec<Replicated>, WarehouseError> {
    let mut found = Vec::new();
    for table in state::tables(connection)? {
        let layout = &table.state.layout;
        let [current, history, _] = views::names(&table.state, &table.stem);
        let mut add = |view, history| found.push(Replicated { source: layout.source.clone(), view, history });
        if !table.retired {
            add(current, None);
        }
        if layout.history {
            add(history, Some(layout.history_names.clone()));
        }
    }
    Ok(found)
}

/// All of them, by name.
pub(super) fn own(connection: &Connection) -> Result<Vec<OwnRelation>, WarehouseError> {
    let replicated = replicated(connection)?;
    // Nothing is built before there is something to build it of; and an engine in memory holds nothing of a project.
    if replicated.is_empty() {
        return Ok(Vec::new());
    }
    let of = |function: &str, name: &str, sql: &str| {
        format!(
            "SELECT schema_name, {name}, {sql} AS select FROM {function}() WHERE database_name = current_database() \
             AND NOT internal AND schema_name <> {}",
            string(HIDDEN_SCHEMA)
        )
    };
    let batches = connection
        .query(&format!(
            "{} UNION ALL {} ORDER BY 1, 2",
            of("duckdb_views", "view_name AS name", "sql"),
            // Temporary tables are of a database of their own.
            of("duckdb_tables", "table_name", "NULL")
        ))
        .map_err(failed("reading the models"))?;
    let mut found = Vec::new();
    for batch in &batches {
        let text = |column: usize| batch.column(column).as_string::<i32>();
        let sqls = batch.column(2);
        for row in 0..batch.num_rows() {
            let name = TableName::new(text(0).value(row), text(1).value(row));
            if replicated.contains(&folded(&name)) {
                continue;
            }
            let relation = match sqls.is_valid(row) {
                // `CREATE VIEW name AS SELECT …;`, as DuckDB writes it.
                true => text(2).value(row).split_once(" AS ").map(|(_, select)| OwnRelation {
                    name,
                    kind: RelationKind::View,
                    select: select.trim_end().trim_end_matches(';').to_owned(),
                }),
                false => Some(OwnRelation {
                    select: format!("SELECT * FROM {}", super::sql::relation(&name)),
                    name,
                    kind: RelationKind::Table,
                }),
            };
            found.extend(relation);
        }
    }
    Ok(found)
}

/// A name as the warehouse compares it.
pub(super) fn folded(name: &TableName) -> TableName {
    TableName::new(name.schema.to_lowercase(), name.name.to_lowercase())
}

/// The names of everything that stands in front of the replicated tables, folded.
pub(super) fn replicated(connection: &Connection) -> Result<HashSet<TableName>, WarehouseError> {
    let tables = state::tables(connection)?;
    let names = tables.iter().flat_map(|table| views::names(&table.state, &table.stem));
    Ok(names.map(|name| folded(&name)).collect())
}

/// Whether there is a table of the project's own at all.
pub(super) fn any_table(connection: &Connection) -> Result<bool, WarehouseError> {
    let counted = connection
        .query(&format!(
            "SELECT count(*)::UBIGINT FROM duckdb_tables() WHERE database_name = current_database() AND NOT internal \
             AND schema_name <> {}",
            string(HIDDEN_SCHEMA)
        ))
        .map_err(failed("looking for tables of the project's own"))?;
    Ok(state::single_u64(&counted) > 0)
}
