//! Appending Arrow to a table.

use std::ptr;

use arrow_array::{
    ffi::{FFI_ArrowArray, FFI_ArrowSchema},
    Array, RecordBatch, StructArray,
};
use arrow_schema::Schema;
use libduckdb_sys as ffi;

use super::{c_string, rows::DataChunk, take_error, Connection, EngineError, EngineResult};

/// Rows of a DuckDB vector; data chunks handed to the appender hold at most this many.
const VECTOR_ROWS: usize = 2048;

/// Where rows are appended: a table of the file, or a temporary one.
pub(crate) struct AppendTarget<'a> {
    pub(crate) catalog: Option<&'a str>,
    pub(crate) schema: &'a str,
    pub(crate) table: &'a str,
    /// The columns that the batches carry, in their order; the others take their default.
    pub(crate) columns: &'a [String],
}

pub(super) struct Appender {
    pub(super) raw: ffi::duckdb_appender,
}

impl Appender {
    pub(super) fn create(connection: &Connection, target: &AppendTarget<'_>) -> EngineResult<Self> {
        let catalog = target.catalog.map(c_string).transpose()?;
        let (schema, table) = (c_string(target.schema)?, c_string(target.table)?);
        let mut appender = Appender { raw: ptr::null_mut() };
        // SAFETY: all pointers live during the call; a failed appender still carries its error and is destroyed by `Drop`.
        let state = unsafe {
            ffi::duckdb_appender_create_ext(
                connection.raw.raw,
                catalog.as_ref().map_or(ptr::null(), |catalog| catalog.as_ptr()),
                schema.as_ptr(),
                table.as_ptr(),
                &mut appender.raw,
            )
        };
        appender.check(state)?;
        for column in target.columns {
            let column = c_string(column)?;
            // SAFETY: the appender is live.
            let state = unsafe { ffi::duckdb_appender_add_column(appender.raw, column.as_ptr()) };
            appender.check(state)?;
        }
        Ok(appender)
    }

    pub(super) fn check(&self, state: ffi::duckdb_state) -> EngineResult<()> {
        if state == ffi::DuckDBSuccess {
            return Ok(());
        }
        if self.raw.is_null() {
            return Err(EngineError::internal("could not create an appender"));
        }
        // SAFETY: the appender is live and in an error state.
        take_error(unsafe { ffi::duckdb_appender_error_data(self.raw) })?;
        Err(EngineError::internal("the appender failed without a reason"))
    }

    pub(super) fn append(&mut self, connection: &Connection, batch: &RecordBatch) -> EngineResult<()> {
        let types = ConvertedSchema::new(connection, batch.schema_ref())?;
        let mut offset = 0;
        while offset < batch.num_rows() {
            let rows = VECTOR_ROWS.min(batch.num_rows() - offset);
            let slice = StructArray::from(batch.slice(offset, rows));
            let mut array = FFI_ArrowArray::new(&slice.to_data());
            let mut chunk = DataChunk(ptr::null_mut());
            // SAFETY: `FFI_ArrowArray` is the C data interface's struct; DuckDB takes what it holds and clears its release callback, so that
            // dropping it later is right in either case. The chunk is destroyed by its owner.
            take_error(unsafe {
                ffi::duckdb_data_chunk_from_arrow(
                    connection.raw.raw,
                    ptr::from_mut(&mut array).cast(),
                    types.0,
                    &mut chunk.0,
                )
            })?;
            // SAFETY: appender and chunk are live; the rows are copied.
            let state = unsafe { ffi::duckdb_append_data_chunk(self.raw, chunk.0) };
            self.check(state)?;
            offset += rows;
        }
        Ok(())
    }

    pub(super) fn finish(self) -> EngineResult<()> {
        // SAFETY: the appender is live.
        let state = unsafe { ffi::duckdb_appender_flush(self.raw) };
        self.check(state)
    }
}

impl Drop for Appender {
    fn drop(&mut self) {
        // SAFETY: destroyed once. What an unfinished appender still buffers is discarded first: destroying it would flush.
        unsafe {
            if !self.raw.is_null() {
                ffi::duckdb_appender_clear(self.raw);
            }
            ffi::duckdb_appender_destroy(&mut self.raw);
        }
    }
}

pub(super) struct ConvertedSchema(ffi::duckdb_arrow_converted_schema);

impl ConvertedSchema {
    pub(super) fn new(connection: &Connection, schema: &Schema) -> EngineResult<Self> {
        let mut exported =
            FFI_ArrowSchema::try_from(schema).map_err(|error| EngineError::internal(error.to_string()))?;
        let mut converted = ConvertedSchema(ptr::null_mut());
        // SAFETY: the exported schema lives during the call and is released by its owner.
        take_error(unsafe {
            ffi::duckdb_schema_from_arrow(
                connection.raw.raw,
                ptr::from_mut(&mut exported).cast(),
                &mut converted.0,
            )
        })?;
        Ok(converted)
    }
}

impl Drop for ConvertedSchema {
    fn drop(&mut self) {
        // SAFETY: destroyed once; null is accepted.
        unsafe { ffi::duckdb_destroy_arrow_converted_schema(&mut self.0) }
    }
}
