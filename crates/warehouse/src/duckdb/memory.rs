//! An engine in memory that holds what it is given and reaches nothing else: what clients of other systems ask about a catalogue is answered by one.

use std::{path::Path, sync::Arc};

use arrow_array::RecordBatch;
use millstream_core::{log::Result, warehouse::WarehouseReader, TableName};

use super::{
    engine::{AppendTarget, Database},
    failed,
    reader::DuckReader,
    sessions::Sessions,
    sql::HIDDEN_SCHEMA,
};
use crate::WarehouseError;

/// Its bound on memory, in DuckDB's words: a catalogue of 10,000 tables takes a tenth of it.
const MEMORY: &str = "256MB";

/// DuckDB without a file.
pub struct InMemory {
    sessions: Arc<Sessions>,
}

impl InMemory {
    /// Runs the statements `before`, appends the tables' rows, runs those `after`. From then on it can be read only, and neither files nor the network can
    /// be reached from it.
    pub fn open(
        before: &[String],
        tables: &[(TableName, RecordBatch)],
        after: &[String],
    ) -> std::result::Result<Self, WarehouseError> {
        let settings = [
            ("memory_limit", MEMORY.to_owned()),
            // Its tables are small, and the warehouse needs the processors.
            ("threads", "1".to_owned()),
            ("enable_external_access", "false".to_owned()),
        ];
        let filling = || failed("filling an engine in memory");
        let database = Database::open(Path::new(":memory:"), &settings).map_err(filling())?;
        let connection = database.connect().map_err(filling())?;
        let run = |statement: &String| {
            connection.run(statement).map_err(|error| {
                let short: String = statement.chars().take(80).collect();
                failed(format!("filling an engine in memory: {short}"))(error)
            })
        };
        // What a reader looks up of replicated tables; there are none.
        let tables_of_none = format!(
            "CREATE SCHEMA {HIDDEN_SCHEMA}; \
             CREATE TABLE {HIDDEN_SCHEMA}.tables (oid UINTEGER, stem VARCHAR, retired BOOLEAN, state VARCHAR)"
        );
        run(&tables_of_none)?;
        before.iter().try_for_each(|statement| run(statement).map(drop))?;
        for (name, rows) in tables {
            let columns: Vec<String> =
                rows.schema_ref().fields().iter().map(|field| field.name().clone()).collect();
            let target =
                AppendTarget { catalog: None, schema: &name.schema, table: &name.name, columns: &columns };
            connection.append(&target, &[rows]).map_err(filling())?;
        }
        after.iter().try_for_each(|statement| run(statement).map(drop))?;
        for setting in ["SET GLOBAL TimeZone = 'UTC'", "SET lock_configuration = true"] {
            connection.run(setting).map_err(filling())?;
        }
        Ok(InMemory { sessions: Sessions::new(database, None) })
    }

    /// A reader. What only a replicated warehouse has (progress, quarantine, counts) it has not.
    pub fn reader(&self) -> Result<Box<dyn WarehouseReader>> {
        Ok(Box::new(DuckReader::new(&self.sessions)?))
    }
}
