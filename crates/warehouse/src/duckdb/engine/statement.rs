//! Statements: prepared, run to their end, or streamed.

use std::{ptr, sync::Arc, time::Duration};

use libduckdb_sys as ffi;

use super::{borrowed_text, rows::Rows, EngineError, EngineResult, RawConnection};

/// How often a thread that waits for DuckDB's own threads lets others go first before it sleeps: a statement on a handful of rows ends
/// within that time.
const YIELDS_MAX: u32 = 20;

/// How often it looks again from then on.
const OTHERS_WORK_POLL: Duration = Duration::from_micros(50);

/// What a statement would do, known before it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StatementKind(ffi::duckdb_statement_type);

impl StatementKind {
    /// Whether it only reads.
    pub(crate) fn reads(self) -> bool {
        matches!(
            self.0,
            ffi::duckdb_statement_type_DUCKDB_STATEMENT_TYPE_SELECT
                | ffi::duckdb_statement_type_DUCKDB_STATEMENT_TYPE_EXPLAIN
        )
    }

    /// Whether it begins or ends a transaction.
    pub(crate) fn is_transaction(self) -> bool {
        self.0 == ffi::duckdb_statement_type_DUCKDB_STATEMENT_TYPE_TRANSACTION
    }

    /// Whether it changes what is in the catalogue, not what is in tables.
    pub(crate) fn defines(self) -> bool {
        matches!(
            self.0,
            ffi::duckdb_statement_type_DUCKDB_STATEMENT_TYPE_CREATE
                | ffi::duckdb_statement_type_DUCKDB_STATEMENT_TYPE_CREATE_FUNC
                | ffi::duckdb_statement_type_DUCKDB_STATEMENT_TYPE_ALTER
                | ffi::duckdb_statement_type_DUCKDB_STATEMENT_TYPE_DROP
        )
    }

    /// Whether it changes something and can do that in a transaction with others.
    pub(crate) fn changes(self) -> bool {
        self.defines()
            || matches!(
                self.0,
                ffi::duckdb_statement_type_DUCKDB_STATEMENT_TYPE_INSERT
                    | ffi::duckdb_statement_type_DUCKDB_STATEMENT_TYPE_UPDATE
                    | ffi::duckdb_statement_type_DUCKDB_STATEMENT_TYPE_DELETE
                    | ffi::duckdb_statement_type_DUCKDB_STATEMENT_TYPE_MERGE_INTO
                    | ffi::duckdb_statement_type_DUCKDB_STATEMENT_TYPE_COPY
                    | ffi::duckdb_statement_type_DUCKDB_STATEMENT_TYPE_EXECUTE
            )
    }
}

/// The statements of a text.
pub(super) struct Extracted {
    pub(super) raw: ffi::duckdb_extracted_statements,
    pub(super) count: ffi::idx_t,
}

impl Drop for Extracted {
    fn drop(&mut self) {
        // SAFETY: destroyed once; null is accepted.
        unsafe { ffi::duckdb_destroy_extracted(&mut self.raw) }
    }
}

/// A statement under way.
pub(super) struct Pending(pub(super) ffi::duckdb_pending_result);

impl Drop for Pending {
    fn drop(&mut self) {
        // SAFETY: destroyed once; null is accepted.
        unsafe { ffi::duckdb_destroy_pending(&mut self.0) }
    }
}

/// A prepared statement.
pub(crate) struct Prepared {
    pub(super) raw: ffi::duckdb_prepared_statement,
    pub(super) _connection: Arc<RawConnection>,
}

// SAFETY: a statement is used by one thread at a time, as it can't be shared; DuckDB binds none of them to a thread.
unsafe impl Send for Prepared {}

impl Drop for Prepared {
    fn drop(&mut self) {
        // SAFETY: destroyed once; null is accepted.
        unsafe { ffi::duckdb_destroy_prepare(&mut self.raw) }
    }
}

impl Prepared {
    pub(crate) fn kind(&self) -> StatementKind {
        // SAFETY: the statement is live.
        StatementKind(unsafe { ffi::duckdb_prepared_statement_type(self.raw) })
    }

    /// Runs it to its end.
    ///
    /// The calling thread takes part in the work. While DuckDB's own threads have the last of it, it gives the processor away: DuckDB's
    /// `duckdb_execute_prepared` would ask again without a pause, which took a tenth of the processors from everyone else.
    pub(super) fn execute(&self) -> EngineResult<QueryResultHandle> {
        let mut pending = Pending(ptr::null_mut());
        // SAFETY: an all-zero result is what the C API expects as an out-value; the handle destroys it.
        let mut result = QueryResultHandle(unsafe { std::mem::zeroed() });
        // SAFETY: the statement is live, and outlives what is pending of it; a failed one still carries its error.
        unsafe {
            if ffi::duckdb_pending_prepared(self.raw, &mut pending.0) != ffi::DuckDBSuccess {
                let message = borrowed_text(ffi::duckdb_pending_error(pending.0)).unwrap_or_default();
                return Err(EngineError::new(ffi::duckdb_error_type_DUCKDB_ERROR_INVALID, message));
            }
            let mut without_work = 0;
            loop {
                let state = ffi::duckdb_pending_execute_task(pending.0);
                if ffi::duckdb_pending_execution_is_finished(state) {
                    break;
                }
                if state != ffi::duckdb_pending_state_DUCKDB_PENDING_NO_TASKS_AVAILABLE {
                    without_work = 0;
                } else if without_work < YIELDS_MAX {
                    without_work += 1;
                    std::thread::yield_now();
                } else {
                    std::thread::sleep(OTHERS_WORK_POLL);
                }
            }
            let state = ffi::duckdb_execute_pending(pending.0, &mut result.0);
            result.check(state)?;
        }
        Ok(result)
    }

    /// Runs it to its end, and says how many rows it changed.
    pub(crate) fn run(&self) -> EngineResult<u64> {
        let mut result = self.execute()?;
        // SAFETY: the result is live.
        Ok(unsafe { ffi::duckdb_rows_changed(&mut result.0) })
    }

    pub(crate) fn stream(&self) -> EngineResult<Rows> {
        // SAFETY: an all-zero result is what the C API expects as an out-value; the handle destroys it.
        let mut result = QueryResultHandle(unsafe { std::mem::zeroed() });
        // SAFETY: the statement is live.
        let state = unsafe { ffi::duckdb_execute_prepared_streaming(self.raw, &mut result.0) };
        result.check(state)?;
        Rows::new(result)
    }
}

pub(super) struct QueryResultHandle(pub(super) ffi::duckdb_result);

impl QueryResultHandle {
    pub(super) fn check(&mut self, state: ffi::duckdb_state) -> EngineResult<()> {
        if state == ffi::DuckDBSuccess {
            return Ok(());
        }
        // SAFETY: the result is live, and in an error state carries message and class.
        unsafe {
            Err(EngineError::new(
                ffi::duckdb_result_error_type(&mut self.0),
                borrowed_text(ffi::duckdb_result_error(&mut self.0)).unwrap_or_default(),
            ))
        }
    }
}

impl Drop for QueryResultHandle {
    fn drop(&mut self) {
        // SAFETY: destroyed once; an all-zero result is accepted.
        unsafe { ffi::duckdb_destroy_result(&mut self.0) }
    }
}
