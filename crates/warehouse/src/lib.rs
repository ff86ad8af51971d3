//! Warehouses behind the [`millstream_core::warehouse::Warehouse`] port: DuckDB.
//!
//! A warehouse executes; what to write is decided by apply. Every implementation passes the one conformance suite in `tests/it/conformance`.

pub mod duckdb;
mod error;
mod names;

pub use duckdb::{
    check_restriction, free_bytes, move_file_aside, BrokenModel, DuckBuild, DuckDb, DuckDbOptions,
    DuckHandle, DuckMaintainer, DuckReader, FileKind, InMemory, ModelView, OwnRelation, Replicated,
    HIDDEN_SCHEMA,
};
pub use error::WarehouseError;
pub use names::{collisions, Collision};
