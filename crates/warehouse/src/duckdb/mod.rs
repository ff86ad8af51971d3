//! DuckDB as the warehouse.
//!
//! # What is kept, and where
//!
//! The hidden schema `_millstream` holds, for a source table with OID `n`:
//!
//! - `t<n>_current`: one row per row of the source, physical columns `c<attnum>`, then `valid_from`, `operation_type`, `_lsn`, `_seq`;
//! - `t<n>_closed`: one row per version that has ended and per event: the same, with `valid_to`, `_lsn_to`, `_seq_to`; append-only;
//!
//! and `progress` (one row), `tables` (layout and state of each), `quarantine`, `views` (those of models), `restricted` (the names under which roles see less of a
//! table) and `format` (the version of all this).
//! In front of them stand the views of [`views`].
//!
//! # Rules of this room, each measured
//!
//! - No index on replicated tables: keyed replacement is 4 to 12 times slower with one. Uniqueness is kept by construction and checked on closing.
//! - No UPDATE anywhere and no DDL in routine commits: together with an open reader they stop checkpoints. The progress row is replaced
//!   by DELETE and INSERT.
//! - ALTER TABLE comes before any row of the same table in a transaction; the reverse fails at COMMIT.
//! - A DELETE holds its rows in memory: large ones run in pieces within the transaction.

mod aside;
mod ast;
mod bounded;
mod build;
mod close;
mod continuity;
mod engine;
mod few;
mod guard;
mod maintain;
mod memory;
mod models;
mod open;
mod own;
mod reader;
mod reads;
mod replace;
mod restrict;
mod room;
mod rows;
mod search_path;
mod sessions;
mod sql;
mod state;
mod text;
mod transaction;
mod views;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use millstream_core::{
    log::Result,
    warehouse::{Compaction, Progress, TableState, Warehouse, WarehouseReader, WarehouseTransaction},
    Lsn, Restrictions,
};

pub use aside::{move_file_aside, FileKind};
pub use build::DuckBuild;
pub use maintain::DuckMaintainer;
pub use memory::InMemory;
pub use models::{BrokenModel, DuckHandle, ModelView};
pub use open::DuckDbOptions;
pub use own::{OwnRelation, Replicated};
pub use reader::DuckReader;
pub use restrict::check_restriction;
pub use room::free_bytes;
pub use sql::HIDDEN_SCHEMA;

use self::{
    close::Estimates,
    continuity::Continuity,
    engine::{Connection, Database, EngineError},
    sessions::Sessions,
    transaction::DuckTransaction,
};
use crate::WarehouseError;

/// A DuckDB file as warehouse: one connection that writes, and readers of their own.
pub struct DuckDb {
    path: PathBuf,
    database: Database,
    sessions: Arc<Sessions>,
    writer: Connection,
    estimates: Estimates,
    continuity: Arc<Continuity>,
    /// Gives DuckDB the threads of its options.
    reset_threads: String,
    /// What roles do not see.
    restrictions: Restrictions,
}

impl DuckDb {
    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A reader, as [`Warehouse::reader`] gives it, with its own type.
    pub fn duck_reader(&self) -> std::result::Result<DuckReader, WarehouseError> {
        DuckReader::new(&self.sessions)
    }
}

/// Gives DuckDB's error its place among the room's.
fn failed(doing: impl Into<String>) -> impl FnOnce(EngineError) -> WarehouseError {
    let doing = doing.into();
    move |error| {
        let detail = error.message.clone();
        if error.is_damage() {
            WarehouseError::DataDamaged { doing, detail }
        } else if error.is_invalidated() {
            WarehouseError::Invalidated { doing, detail }
        } else if error.is_out_of_memory() {
            WarehouseError::OutOfMemory { doing, detail }
        } else if error.is_io() {
            WarehouseError::Disk { doing, detail }
        } else if error.is_interrupt() {
            WarehouseError::Interrupted
        } else {
            WarehouseError::Statement { doing, detail }
        }
    }
}

impl Warehouse for DuckDb {
    fn progress(&mut self) -> Result<Progress> {
        Ok(state::progress(&self.writer)?)
    }

    fn tables(&mut self) -> Result<Vec<TableState>> {
        let kept = state::tables(&self.writer)?;
        let mut physical = state::physical_columns(&self.writer)?;
        for table in &kept {
            state::check_physical(&mut physical, &table.state)?;
        }
        Ok(kept.into_iter().map(|table| table.state).collect())
    }

    fn begin(&mut self) -> Result<Box<dyn WarehouseTransaction + '_>> {
        room::check(&self.path, "beginning a transaction")?;
        Ok(Box::new(DuckTransaction::begin(
            &self.writer,
            &self.estimates,
            &self.reset_threads,
            &self.restrictions,
            &self.continuity,
        )?))
    }

    fn checkpoint(&mut self, compaction: Compaction) -> Result<Lsn> {
        // One writer: what is committed now is what the checkpoint writes.
        let progress = state::progress(&self.writer)?;
        room::check(&self.path, "checkpointing")?;
        // The setting is the whole instance's: it is put back for the checkpoints that a large commit makes by itself.
        let ended = match compaction {
            Compaction::Now => self.writer.run("CHECKPOINT"),
            Compaction::Later => {
                self.writer
                    .run("SET GLOBAL max_vacuum_tasks = 0")
                    .map_err(failed("leaving compaction out"))?;
                let ended = self.writer.run("CHECKPOINT");
                self.writer
                    .run("RESET GLOBAL max_vacuum_tasks")
                    .map_err(failed("allowing compaction again"))?;
                ended
            }
        };
        ended.map_err(|error| {
            if error.is_damage() || error.is_io() || error.is_out_of_memory() {
                failed("checkpointing")(error)
            } else {
                WarehouseError::CheckpointBlocked { detail: error.message }
            }
        })?;
        let wal = aside::wal_path(&self.path);
        match std::fs::metadata(&wal) {
            Ok(left) if left.len() > 0 => Err(WarehouseError::CheckpointBlocked {
                detail: format!("{} still holds {} bytes", wal.display(), left.len()),
            }
            .into()),
            _ => Ok(progress.applied_lsn),
        }
    }

    fn reader(&self) -> Result<Box<dyn WarehouseReader>> {
        Ok(Box::new(self.duck_reader()?))
    }
}
