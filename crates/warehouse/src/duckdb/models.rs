//! Views of a person's own (models), kept in front of the tables; and a handle that gives out readers from any thread.
//!
//! A model is one SELECT. Which views are models is written down, so that those whose model is gone are removed and nothing else is
//! ever replaced.

use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::{
    cast::AsArray,
    types::{UInt32Type, UInt64Type},
};
use millstream_core::{build::RelationKind, warehouse::TableState, TableId, TableName};

use super::{
    continuity::Continuity,
    engine::{Connection, Database},
    failed,
    maintain::DuckMaintainer,
    own::{self, OwnRelation, Replicated},
    reader::DuckReader,
    sessions::Sessions,
    sql::{relation, string, HIDDEN_SCHEMA},
    state::{self, single_u64},
    DuckDb,
};
use crate::WarehouseError;

/// A model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelView {
    /// The view's name.
    pub name: TableName,
    /// Its one SELECT.
    pub select: String,
}

/// What became of a model that could not be made a view.
#[derive(Debug)]
pub struct BrokenModel {
    /// The view's name.
    pub name: TableName,
    /// Why.
    pub error: WarehouseError,
}

/// Gives out readers and keeps models, from any thread, for as long as the file is open.
#[derive(Clone)]
pub struct DuckHandle {
    pub(super) database: Database,
    pub(super) sessions: Arc<Sessions>,
    pub(super) continuity: Arc<Continuity>,
    broken: Arc<Mutex<Option<Found>>>,
}

/// Views that no longer work, each with why, and what was seen when that was found.
type Found = (Seen, Vec<(TableName, String)>);

/// What views that work depend on.
#[derive(PartialEq, Eq)]
struct Seen {
    built: (u64, u64),
    layouts: String,
}

/// What the replicated tables look like, as a hash.
fn layouts(connection: &Connection) -> Result<String, WarehouseError> {
    let batches = connection
        .query(&format!(
            "SELECT coalesce(md5(string_agg(concat(oid, retired, state -> '$.layout'), ',' ORDER BY oid)), '') FROM {HIDDEN_SCHEMA}.tables"
        ))
        .map_err(failed("reading its tables"))?;
    let batch = batches.iter().find(|batch| batch.num_rows() > 0);
    Ok(batch.map(|batch| batch.column(0).as_string::<i32>().value(0).to_owned()).unwrap_or_default())
}

impl DuckDb {
    /// A handle.
    pub fn handle(&self) -> DuckHandle {
        DuckHandle {
            database: self.database.clone(),
            sessions: self.sessions.clone(),
            continuity: self.continuity.clone(),
            broken: Arc::default(),
        }
    }
}

impl DuckHandle {
    /// A reader.
    pub fn reader(&self) -> Result<DuckReader, WarehouseError> {
        DuckReader::new(&self.sessions)
    }

    /// What follows the changes of statements.
    pub fn maintainer(&self) -> Result<DuckMaintainer, WarehouseError> {
        DuckMaintainer::new(&self.database, &self.continuity, &self.sessions)
    }

    /// All replicated tables, as last committed.
    pub fn tables(&self) -> Result<Vec<TableState>, WarehouseError> {
        let connection = self.database.connect().map_err(failed("connecting"))?;
        Ok(state::tables(&connection)?.into_iter().map(|table| table.state).collect())
    }

    /// How many changes of each table were set aside.
    pub fn quarantine_counts(&self) -> Result<Vec<(TableId, u64)>, WarehouseError> {
        let connection = self.database.connect().map_err(failed("connecting"))?;
        let batches = connection
            .query(&format!(
                "SELECT table_oid, count(*)::UBIGINT FROM {HIDDEN_SCHEMA}.quarantine GROUP BY table_oid"
            ))
            .map_err(failed("reading the quarantine"))?;
        let mut counts = Vec::new();
        for batch in &batches {
            let tables = batch.column(0).as_primitive::<UInt32Type>();
            let numbers = batch.column(1).as_primitive::<UInt64Type>();
            counts.extend((0..batch.num_rows()).map(|row| (TableId(tables.value(row)), numbers.value(row))));
        }
        Ok(counts)
    }

    /// The views and tables of the project's own, by name.
    pub fn own_relations(&self) -> Result<Vec<OwnRelation>, WarehouseError> {
        let connection = self.database.connect().map_err(failed("connecting"))?;
        own::own(&connection)
    }

    /// The views in front of replicated tables.
    pub fn replicated(&self) -> Result<Vec<Replicated>, WarehouseError> {
        let connection = self.database.connect().map_err(failed("connecting"))?;
        own::readable(&connection)
    }

    /// The views of the project's own that no longer work, with why. Each has to be planned for that, so it is found out again only once something was built or a table
    /// has other columns.
    pub fn broken_models(&self) -> Result<Vec<BrokenModel>, WarehouseError> {
        let connection = self.database.connect().map_err(failed("connecting"))?;
        let seen = Seen { built: self.sessions.built(), layouts: layouts(&connection)? };
        let broken = |found: &[(TableName, String)]| {
            let model = |(name, detail): &(TableName, String)| BrokenModel {
                name: name.clone(),
                error: WarehouseError::Query { detail: detail.clone() },
            };
            found.iter().map(model).collect()
        };
        let known = || self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, found)) = known().as_ref().filter(|(of, _)| *of == seen) {
            return Ok(broken(found));
        }
        let mut found = Vec::new();
        let views = own::own(&connection)?.into_iter().filter(|own| own.kind == RelationKind::View);
        for name in views.map(|view| view.name) {
            if let Err(error) = connection.prepare(&format!("SELECT * FROM {}", relation(&name))) {
                found.push((name, error.message));
            }
        }
        let told = broken(&found);
        *known() = Some((seen, found));
        Ok(told)
    }

    /// Makes the kept models exactly `models`, each after those that it reads. One that fails leaves its previous view in place and is
    /// returned with its error; so are those that read it.
    pub fn keep_models(&self, models: &[ModelView]) -> Result<Vec<BrokenModel>, WarehouseError> {
        let outcome = self.make_views(models);
        self.sessions.forget_statements();
        outcome
    }

    fn make_views(&self, models: &[ModelView]) -> Result<Vec<BrokenModel>, WarehouseError> {
        let connection = self.database.connect().map_err(failed("connecting"))?;
        let kept = kept(&connection)?;
        for name in kept.iter().filter(|name| !models.iter().any(|model| model.name == **name)) {
            forget(&connection, name)?;
        }
        let mut left: Vec<&ModelView> = models.iter().collect();
        loop {
            let before = left.len();
            let mut broken = Vec::new();
            for model in left {
                if let Err(error) = keep(&connection, model, kept.contains(&model.name)) {
                    broken.push((model, error));
                }
            }
            // What one pass makes the next can read. Each pass that makes nothing is the last, so there are at most as many as models.
            if broken.is_empty() || broken.len() == before {
                let broken = broken.into_iter();
                return Ok(broken
                    .map(|(model, error)| BrokenModel { name: model.name.clone(), error })
                    .collect());
            }
            left = broken.into_iter().map(|(model, _)| model).collect();
        }
    }
}

/// The models that are written down.
pub(super) fn kept(connection: &Connection) -> Result<Vec<TableName>, WarehouseError> {
    let batches = connection
        .query(&format!("SELECT schema_name, view_name FROM {HIDDEN_SCHEMA}.views"))
        .map_err(failed("reading the models"))?;
    let mut names = Vec::new();
    for batch in &batches {
        let (schemas, views) = (batch.column(0).as_string::<i32>(), batch.column(1).as_string::<i32>());
        names.extend((0..batch.num_rows()).map(|row| TableName::new(schemas.value(row), views.value(row))));
    }
    Ok(names)
}

fn is_model(name: &TableName) -> String {
    format!("schema_name = {} AND view_name = {}", string(&name.schema), string(&name.name))
}

fn forget(connection: &Connection, name: &TableName) -> Result<(), WarehouseError> {
    connection
        .run(&format!(
            "BEGIN TRANSACTION; DROP VIEW IF EXISTS {}; DELETE FROM {HIDDEN_SCHEMA}.views WHERE {}; COMMIT",
            relation(name),
            is_model(name)
        ))
        .map_err(|error| {
            // A transaction that failed stays open until it is said to be over.
            let _ = connection.run("ROLLBACK");
            failed(format!("dropping the model {name}"))(error)
        })?;
    Ok(())
}

fn keep(connection: &Connection, model: &ModelView, known: bool) -> Result<(), WarehouseError> {
    let name = &model.name;
    if !known {
        let taken = connection
            .query(&format!(
                "SELECT count(*)::UBIGINT FROM (SELECT schema_name, table_name AS name, database_name FROM duckdb_tables() \
                 UNION ALL SELECT schema_name, view_name, database_name FROM duckdb_views()) \
                 WHERE database_name = current_database() AND lower(schema_name) = lower({}) AND lower(name) = lower({})",
                string(&name.schema),
                string(&name.name)
            ))
            .map_err(failed("looking for the model's name"))?;
        if single_u64(&taken) > 0 {
            return Err(WarehouseError::Collision(crate::Collision::Relation {
                name: name.to_string(),
                first: "what is there already".into(),
                second: "the model".into(),
            }));
        }
    }
    let select = model.select.trim().trim_end_matches(';').trim_end();
    let prepared =
        connection.prepare(select).map_err(|error| WarehouseError::Query { detail: error.message })?;
    if !prepared.kind().reads() {
        return Err(WarehouseError::NotReadOnly { what: "a model is one SELECT".into() });
    }
    drop(prepared);
    let unchanged = connection
        .query(&format!(
            "SELECT count(*)::UBIGINT FROM {HIDDEN_SCHEMA}.views JOIN duckdb_views() AS d USING (schema_name, view_name) \
             WHERE d.database_name = current_database() AND {} AND definition = {}",
            is_model(name),
            string(select)
        ))
        .map_err(failed("reading the models"))?;
    if single_u64(&unchanged) > 0 {
        return Ok(());
    }
    let (schema, view) = (super::sql::identifier(&name.schema), relation(name));
    // The line end ends a comment on the last line.
    let statement = format!(
        "BEGIN TRANSACTION; CREATE SCHEMA IF NOT EXISTS {schema}; CREATE OR REPLACE VIEW {view} AS {select}\n; \
         DELETE FROM {HIDDEN_SCHEMA}.views WHERE {}; INSERT INTO {HIDDEN_SCHEMA}.views VALUES ({}, {}, {}); COMMIT",
        is_model(name),
        string(&name.schema),
        string(&name.name),
        string(select)
    );
    connection.run(&statement).map_err(|error| {
        let _ = connection.run("ROLLBACK");
        WarehouseError::Query { detail: error.message }
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use millstream_core::warehouse::WarehouseReader;

    use super::*;
    use crate::DuckDbOptions;

    fn model(name: &str, select: &str) -> ModelView {
        ModelView { name: TableName::new("m", name), select: select.into() }
    }

    fn count(handle: &DuckHandle, view: &str) -> Result<usize, String> {
        let mut reader = handle.reader().unwrap();
        let result = reader.query(&format!("SELECT * FROM m.{view}"), None, None);
        result
            .map(|result| result.batches.iter().map(|batch| batch.num_rows()).sum())
            .map_err(|e| e.to_string())
    }

    #[test]
    fn models_are_made_in_the_order_they_read_each_other_and_removed_with_their_files() {
        let dir = tempfile::tempdir().unwrap();
        let warehouse = DuckDb::open(&dir.path().join("w.duckdb"), &DuckDbOptions::default()).unwrap();
        let handle = warehouse.handle();
        let broken = handle
            .keep_models(&[
                model("a", "SELECT * FROM m.b -- no end"),
                model("b", "SELECT * FROM m.c;"),
                model("c", "SELECT 1 AS x UNION ALL SELECT 2"),
                model("d", "SELECT * FROM m.nothing"),
                model("e", "DROP VIEW m.c"),
            ])
            .unwrap();
        let names: Vec<_> = broken.iter().map(|broken| broken.name.name.as_str()).collect();
        assert_eq!(names, ["d", "e"]);
        assert_eq!(count(&handle, "a"), Ok(2));
        let broken =
            handle.keep_models(&[model("c", "SELECT 1 AS x"), model("b", "SELECT nonsense")]).unwrap();
        assert_eq!(broken.len(), 1);
        assert_eq!(count(&handle, "c"), Ok(1));
        assert_eq!(count(&handle, "b"), Ok(1), "what failed keeps its previous view");
        assert!(count(&handle, "a").is_err());
    }

    #[test]
    fn a_model_never_replaces_what_is_not_one() {
        let dir = tempfile::tempdir().unwrap();
        let warehouse = DuckDb::open(&dir.path().join("w.duckdb"), &DuckDbOptions::default()).unwrap();
        warehouse.writer.run("CREATE SCHEMA m; CREATE TABLE m.Orders (x INTEGER)").unwrap();
        let broken = warehouse.handle().keep_models(&[model("orders", "SELECT 1")]).unwrap();
        assert!(matches!(broken[..], [BrokenModel { error: WarehouseError::Collision(_), .. }]));
    }
}
