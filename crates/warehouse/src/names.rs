//! Which visible names collide in the warehouse, found before anything is created.

use std::{collections::HashMap, fmt};

use millstream_core::warehouse::TableLayout;

/// Two things that would have one name in the warehouse, whose names ignore case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Collision {
    /// Two tables (or a table and another's history) would be the same relation.
    Relation {
        /// The name in the warehouse.
        name: String,
        /// What takes it first.
        first: String,
        /// What would take it as well.
        second: String,
    },
    /// Two columns of a table's view would have the same name.
    Column {
        /// The table at the source.
        table: String,
        /// The name in the warehouse.
        name: String,
        /// What takes it first.
        first: String,
        /// What would take it as well.
        second: String,
    },
    /// A schema's name belongs to Millstream or DuckDB.
    ReservedSchema {
        /// The table at the source.
        table: String,
        /// The schema in the warehouse.
        schema: String,
    },
}

impl fmt::Display for Collision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Collision::Relation { name, first, second } => {
                write!(f, "{first} and {second} would both be called {name} in the warehouse")
            }
            Collision::Column { table, name, first, second } => {
                write!(f, "{first} and {second} of {table} would both be called {name} in the warehouse")
            }
            Collision::ReservedSchema { table, schema } => {
                write!(f, "{table} can't be kept in schema {schema}, which the warehouse keeps for itself")
            }
        }
    }
}

/// Schemas of the warehouse that no table may be placed in.
const RESERVED_SCHEMAS: [&str; 4] = ["_millstream", "information_schema", "pg_catalog", "temp"];

/// DuckDB compares identifiers without regard to case, of ASCII letters only.
fn folded(name: &str) -> String {
    name.to_ascii_lowercase()
}

/// All collisions among the tables' views and their columns.
pub fn collisions(layouts: &[TableLayout]) -> Vec<Collision> {
    let mut found = Vec::new();
    let mut relations: HashMap<(String, String), String> = HashMap::new();
    for layout in layouts {
        let schema = folded(&layout.target.schema);
        if RESERVED_SCHEMAS.contains(&schema.as_str()) {
            found.push(Collision::ReservedSchema {
                table: layout.source.to_string(),
                schema: layout.target.schema.clone(),
            });
        }
        let mut takes = |name: String, what: String| {
            let full = format!("{}.{}", layout.target.schema, name);
            if let Some(first) = relations.insert((schema.clone(), folded(&name)), what.clone()) {
                found.push(Collision::Relation { name: full, first, second: what });
            }
        };
        takes(layout.target.name.clone(), format!("table {}", layout.source));
        if layout.history {
            takes(format!("{}_history", layout.target.name), format!("the history of {}", layout.source));
        }
        found.extend(column_collisions(layout));
    }
    found
}

fn column_collisions(layout: &TableLayout) -> Vec<Collision> {
    let mut found = Vec::new();
    let mut columns: HashMap<String, String> = HashMap::new();
    let mut takes = |name: &str, what: String| {
        if let Some(first) = columns.insert(folded(name), what.clone()) {
            found.push(Collision::Column {
                table: layout.source.to_string(),
                name: name.to_owned(),
                first,
                second: what,
            });
        }
    };
    for column in layout.live_columns() {
        takes(&column.name, format!("column {:?}", column.name));
    }
    if layout.history {
        let names = &layout.history_names;
        for name in [&names.valid_from, &names.valid_to, &names.is_current, &names.operation_type] {
            takes(name, format!("history column {name:?}"));
        }
        for name in ["_lsn", "_seq", "_lsn_to", "_seq_to"] {
            takes(name, format!("history column {name:?}"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_core::{
        warehouse::{HistoryNames, LayoutColumn},
        ColumnType, TableId, TableName,
    };

    fn table(schema: &str, name: &str, columns: &[&str]) -> TableLayout {
        TableLayout {
            id: TableId(1),
            source: TableName::new(schema, name),
            target: TableName::new("analytics", name),
            columns: columns
                .iter()
                .zip(1..)
                .map(|(name, attnum)| LayoutColumn {
                    attnum,
                    name: (*name).into(),
                    column_type: ColumnType::Text,
                    source_type: "text".into(),
                    live: true,
                })
                .collect(),
            key: None,
            history: true,
            history_names: HistoryNames::default(),
        }
    }

    #[test]
    fn names_that_differ_only_in_case_collide() {
        let found = collisions(&[table("public", "t", &["ID", "id"])]);
        assert_eq!(found.len(), 1);
        assert!(matches!(&found[0], Collision::Column { name, .. } if name == "id"), "{found:?}");
        assert_eq!(collisions(&[table("public", "t", &["É", "é"])]), [], "folding is of ASCII only");
    }

    #[test]
    fn two_schemas_into_one_collide() {
        let found = collisions(&[table("a", "t", &["x"]), table("b", "T", &["x"])]);
        assert_eq!(found.len(), 2, "the tables and their histories: {found:?}");
    }

    #[test]
    fn a_table_called_like_another_ones_history_collides() {
        let found = collisions(&[table("a", "t", &["x"]), table("a", "t_history", &["x"])]);
        assert!(matches!(&found[..], [Collision::Relation { name, .. }] if name == "analytics.t_history"));
    }

    #[test]
    fn a_column_called_like_a_history_column_collides_only_where_history_is_kept() {
        let mut layout = table("a", "t", &["valid_from", "_LSN"]);
        assert_eq!(collisions(std::slice::from_ref(&layout)).len(), 2);
        layout.history_names.valid_from = "effective_from".into();
        assert_eq!(collisions(std::slice::from_ref(&layout)).len(), 1);
        layout.history = false;
        assert_eq!(collisions(&[layout]), []);
    }

    #[test]
    fn the_hidden_schema_is_reserved() {
        let mut layout = table("a", "t", &["x"]);
        layout.target.schema = "_Millstream".into();
        assert!(matches!(&collisions(&[layout])[..], [Collision::ReservedSchema { .. }]));
    }
}
