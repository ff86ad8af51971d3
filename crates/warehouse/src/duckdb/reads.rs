//! What a statement's result follows from: which tables and views, by themselves and through the project's views, and whether from more.

use std::collections::{BTreeMap, BTreeSet};

use millstream_core::{build::RelationKind, TableName};

use super::{ast::Names, engine::Connection, guard::explained, own, search_path::Visible};
use crate::WarehouseError;

/// Functions whose result is another one at another time.
pub(super) const UNSTEADY: [&str; 16] = [
    "age",
    "ago",
    "current_date",
    "current_localtime",
    "current_localtimestamp",
    "gen_random_uuid",
    "get_current_time",
    "get_current_timestamp",
    "now",
    "random",
    "today",
    "transaction_timestamp",
    "txid_current",
    "uuid",
    "uuidv4",
    "uuidv7",
];

/// Tables and views, and whether the result follows from them alone.
pub(super) struct Reads {
    pub(super) tables: Vec<TableName>,
    pub(super) steady: bool,
    /// Whether that is all: DuckDB told the tree of the statement and of every view below it.
    pub(super) known: bool,
}

/// Names in lower case, as the warehouse compares them; the function of a table as of a time counts as the table. Of a statement
/// whose tree DuckDB does not tell nothing is known, so it is not steady.
pub(super) fn reads(connection: &Connection, sql: &str) -> Result<Reads, WarehouseError> {
    let visible = Visible::read(connection)?;
    let mut models: Option<BTreeMap<TableName, String>> = None;
    let mut found = BTreeSet::new();
    let (mut steady, mut known) = (true, true);
    let mut left = vec![explained(sql).to_owned()];
    // Each view is entered once, so there are at most as many rounds as views.
    while let Some(sql) = left.pop() {
        let Some(names) = Names::of(connection, &sql)? else {
            (steady, known) = (false, false);
            continue;
        };
        steady &= names.others.is_empty();
        steady &= !names.functions.iter().any(|name| UNSTEADY.contains(&name.as_str()));
        for named in names.relations.iter().chain(&names.table_functions) {
            for table in visible.resolve(named) {
                if found.contains(&table) {
                    continue;
                }
                let models = match &models {
                    Some(models) => models,
                    None => models.insert(selects(connection)?),
                };
                left.extend(models.get(&table).cloned());
                found.insert(table);
            }
        }
    }
    Ok(Reads { tables: found.into_iter().collect(), steady, known })
}

/// The SELECT of each view of the project, by its folded name.
pub(super) fn selects(connection: &Connection) -> Result<BTreeMap<TableName, String>, WarehouseError> {
    let views = own::own(connection)?.into_iter().filter(|own| own.kind == RelationKind::View);
    Ok(views.map(|view| (own::folded(&view.name), view.select)).collect())
}
