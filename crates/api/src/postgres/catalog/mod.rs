//! `pg_catalog` and `information_schema`: what clients ask to find tables, columns, keys and types.
//!
//! An engine of its own, in memory, holds PostgreSQL's catalogue relations, filled from the replicated tables and the models, and nothing else; it is made
//! anew when those change. A statement that names the catalogue is parsed, rewritten where PostgreSQL's dialect is not the engine's
//! ([`rewrite`]), and asked of it. Each role has one of its own, which holds nothing but what the role may know of, so nothing in it is guarded.

mod columns;
mod contents;
mod fill;
mod functions;
mod information;
mod relations;
mod rewrite;
mod scope;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use arrow_array::RecordBatch;
use millstream_core::{log::Result, warehouse::WarehouseReader, Role, TableName};

pub(super) use self::rewrite::{Facts, Rewritten};
use super::error::{Outcome, WireError};
use crate::host::Host;

/// What an engine is to hold: statements that make tables, rows for them, and statements behind that.
#[derive(Debug, Default)]
pub struct Contents {
    /// Run first.
    pub before: Vec<String>,
    /// Appended then.
    pub tables: Vec<(TableName, RecordBatch)>,
    /// Run last.
    pub after: Vec<String>,
}

/// Makes readers of an engine.
pub type Readers = Box<dyn Fn() -> Result<Box<dyn WarehouseReader>> + Send + Sync>;

/// Opens an engine in memory that holds this and can reach nothing else: no file, no network.
pub type OpenCatalog = Arc<dyn Fn(Contents) -> Result<Readers> + Send + Sync>;

/// How old the catalogue may be before its tables are looked at again. Clients ask in bursts of ten or more; a person who has just seen a table
/// appear asks later than this.
const FRESH: Duration = Duration::from_millis(250);

/// The engine, and what it was made of.
struct Made {
    source: contents::Source,
    readers: Arc<Readers>,
    looked: Instant,
}

/// The catalogue.
pub(super) struct Catalog {
    host: Arc<dyn Host>,
    open: OpenCatalog,
    /// By the name of the role that it is for: as many as are configured.
    made: Mutex<HashMap<Option<String>, Made>>,
}

impl Catalog {
    pub(super) fn new(host: Arc<dyn Host>, open: OpenCatalog) -> Self {
        Catalog { host, open, made: Mutex::default() }
    }

    /// A statement as the catalogue's engine takes it; `None`: it is not about the catalogue.
    pub(super) fn rewrite(&self, sql: &str, facts: &Facts<'_>) -> Outcome<Option<Rewritten>> {
        rewrite::rewrite(sql, facts)
    }

    /// A reader of the catalogue as it is now, with what the role may know of.
    pub(super) fn reader(&self, role: Option<&Role>) -> Outcome<Box<dyn WarehouseReader>> {
        let readers = self.readers(role)?;
        Ok(readers()?)
    }

    fn readers(&self, role: Option<&Role>) -> Outcome<Arc<Readers>> {
        let of = role.map(|role| role.name.clone());
        // Held while it is made: others would only make it too.
        let mut made = self.made.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(made) = made.get(&of).filter(|made| made.looked.elapsed() < FRESH) {
            return Ok(made.readers.clone());
        }
        let source = contents::Source::read(self.host.as_ref())?;
        if let Some(made) = made.get_mut(&of).filter(|made| made.source == source) {
            made.looked = Instant::now();
            return Ok(made.readers.clone());
        }
        let relations = contents::relations(&source, self.host.reader()?.as_mut(), role)?;
        let before = contents::CREATE.iter().map(|statement| (*statement).to_owned()).collect();
        let mut after = fill::statements(self.host.project());
        after.extend(functions::statements());
        after.extend(information::statements());
        let contents = Contents { before, tables: contents::tables(&relations)?, after };
        let readers = (self.open)(contents).map_err(|error| WireError::Catalog {
            detail: error.detail().unwrap_or_else(|| error.to_string()),
        })?;
        let readers = Arc::new(readers);
        made.insert(of, Made { source, readers: readers.clone(), looked: Instant::now() });
        Ok(readers)
    }
}
