//! The rows that a statement returns, appended to a table with columns added from outside.

use std::slice;

use libduckdb_sys as ffi;

use super::{
    append::{AppendTarget, Appender},
    rows::DataChunk,
    statement::QueryResultHandle,
    Connection, EngineError, EngineResult,
};

/// What stands behind a row: a `TIMESTAMPTZ` in microseconds and two `UBIGINT`.
pub(crate) type Behind = (i64, u64, u64);

/// The types of [`Behind`].
const BEHIND: [ffi::duckdb_type; 3] = [
    ffi::DUCKDB_TYPE_DUCKDB_TYPE_TIMESTAMP_TZ,
    ffi::DUCKDB_TYPE_DUCKDB_TYPE_UBIGINT,
    ffi::DUCKDB_TYPE_DUCKDB_TYPE_UBIGINT,
];

struct LogicalTypes(Vec<ffi::duckdb_logical_type>);

impl Drop for LogicalTypes {
    fn drop(&mut self) {
        for logical in &mut self.0 {
            // SAFETY: each is destroyed once.
            unsafe { ffi::duckdb_destroy_logical_type(logical) }
        }
    }
}

impl LogicalTypes {
    /// Those of a result's columns but the last, and those of [`Behind`].
    fn of(result: &mut QueryResultHandle) -> Self {
        // SAFETY: the result is live; each type is owned by what is returned.
        unsafe {
            let columns = ffi::duckdb_column_count(&mut result.0).saturating_sub(1);
            let own =
                (0..columns).map(|index| ffi::duckdb_column_logical_type(&mut result.0, index)).collect();
            let mut types = LogicalTypes(own);
            types.0.extend(BEHIND.map(|of| ffi::duckdb_create_logical_type(of)));
            types
        }
    }
}

impl Connection {
    /// Runs one statement and appends the rows that it returns. In the place of the result's last column, a BIGINT, stand the values that
    /// `behind` has for it. Returns how many rows there were; an error where `behind` has none.
    pub(crate) fn run_into_with(
        &self,
        sql: &str,
        target: &AppendTarget<'_>,
        mut behind: impl FnMut(i64) -> Option<Behind>,
    ) -> EngineResult<u64> {
        // It runs to its end, so that the connection is free for the appender.
        let mut result = self.prepare(sql)?.execute()?;
        let mut types = LogicalTypes::of(&mut result);
        let width = types.0.len() - BEHIND.len();
        let appender = Appender::create(self, target)?;
        let mut rows = 0;
        loop {
            // SAFETY: the result is live; the chunk is destroyed by its owner.
            let chunk = DataChunk(unsafe { ffi::duckdb_fetch_chunk(result.0) });
            if chunk.0.is_null() {
                break;
            }
            // SAFETY: the types live during the call; the new chunk is destroyed by its owner.
            let extended = DataChunk(unsafe {
                ffi::duckdb_create_data_chunk(types.0.as_mut_ptr(), types.0.len() as ffi::idx_t)
            });
            // SAFETY: both chunks are live. A chunk has `size` rows, at most what a new chunk has room for; the vectors have the types that they
            // are read and written as; a vector that refers to another keeps what it refers to.
            unsafe {
                let size = ffi::duckdb_data_chunk_get_size(chunk.0);
                let vector = |of: &DataChunk, index: usize| {
                    ffi::duckdb_data_chunk_get_vector(of.0, index as ffi::idx_t)
                };
                for index in 0..width {
                    ffi::duckdb_vector_reference_vector(vector(&extended, index), vector(&chunk, index));
                }
                let keys = slice::from_raw_parts(
                    ffi::duckdb_vector_get_data(vector(&chunk, width)).cast::<i64>(),
                    size as usize,
                );
                let data = |index: usize| ffi::duckdb_vector_get_data(vector(&extended, width + index));
                let (times, lsns, seqs) =
                    (data(0).cast::<i64>(), data(1).cast::<u64>(), data(2).cast::<u64>());
                for (row, key) in keys.iter().enumerate() {
                    let (time, lsn, seq) = behind(*key).ok_or_else(|| {
                        EngineError::internal(format!("a row of another key, {key}, was returned"))
                    })?;
                    times.add(row).write(time);
                    lsns.add(row).write(lsn);
                    seqs.add(row).write(seq);
                }
                ffi::duckdb_data_chunk_set_size(extended.0, size);
                let state = ffi::duckdb_append_data_chunk(appender.raw, extended.0);
                appender.check(state)?;
                rows += size;
            }
        }
        appender.finish()?;
        Ok(rows)
    }
}
