//! A thin, safe layer over DuckDB's C API: database, connection, result, appender.
//!
//! The `duckdb` crate is not used because three things this room lives on are out of its reach: the type of a prepared statement before it runs
//! (readers may only read), appending Arrow through DuckDB's own importer (the crate's converter loses NULL intervals and copies a list column once per 2,048
//! rows), and handing result chunks on without a detour.
//!
//! All `unsafe` that concerns DuckDB is in this file. Every C object is owned by one Rust value that destroys it; connections keep their database alive.

mod append;
mod bind;
mod extend;
mod rows;
mod statement;

use std::{
    ffi::{c_char, CStr, CString},
    path::Path,
    ptr,
    sync::Arc,
};

use arrow_array::RecordBatch;
use libduckdb_sys as ffi;

pub(crate) use append::AppendTarget;
use append::Appender;
use rows::DataChunk;
pub(crate) use rows::Rows;
use statement::Extracted;
pub(crate) use statement::Prepared;

/// What DuckDB said, with its own class of the error.
#[derive(Debug, Clone)]
pub(crate) struct EngineError {
    pub(crate) kind: ffi::duckdb_error_type,
    pub(crate) message: String,
}

impl EngineError {
    fn new(kind: ffi::duckdb_error_type, message: impl Into<String>) -> Self {
        EngineError { kind, message: message.into() }
    }

    fn internal(message: impl Into<String>) -> Self {
        Self::new(ffi::duckdb_error_type_DUCKDB_ERROR_INTERNAL, message)
    }

    pub(crate) fn is_out_of_memory(&self) -> bool {
        // A statement that fails under way is told as another kind, with the true one in its words.
        let is = self.kind == ffi::duckdb_error_type_DUCKDB_ERROR_OUT_OF_MEMORY
            || self.message.contains("Out of Memory Error");
        is && !self.message.contains("No space left")
    }

    /// Whether the file itself is what can't be read: a checksum that is wrong, a block behind its end. (Spilled data has no checksums.)
    pub(crate) fn is_damage(&self) -> bool {
        ["Corrupt database file", "Could not read enough bytes", "not a valid DuckDB database file"]
            .iter()
            .any(|words| self.message.contains(words))
    }

    /// Whether DuckDB refuses everything until the file is opened again: after an error in the middle of a commit or a checkpoint.
    pub(crate) fn is_invalidated(&self) -> bool {
        self.message.contains("database has been invalidated")
            || self.kind == ffi::duckdb_error_type_DUCKDB_ERROR_FATAL
    }

    pub(crate) fn is_io(&self) -> bool {
        self.kind == ffi::duckdb_error_type_DUCKDB_ERROR_IO || self.message.contains("No space left")
    }

    pub(crate) fn is_interrupt(&self) -> bool {
        self.kind == ffi::duckdb_error_type_DUCKDB_ERROR_INTERRUPT
    }
}

/// Result of a call into DuckDB.
pub(crate) type EngineResult<T> = std::result::Result<T, EngineError>;

fn c_string(text: &str) -> EngineResult<CString> {
    CString::new(text).map_err(|_| {
        EngineError::new(ffi::duckdb_error_type_DUCKDB_ERROR_INVALID_INPUT, "the statement holds a zero byte")
    })
}

/// Copies a message that DuckDB keeps owning.
///
/// # Safety
/// `message` is null or a zero-terminated string that lives during the call.
unsafe fn borrowed_text(message: *const c_char) -> Option<String> {
    // SAFETY: by the function's contract.
    (!message.is_null()).then(|| unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned())
}

/// Takes an `duckdb_error_data`, destroying it.
fn take_error(mut data: ffi::duckdb_error_data) -> EngineResult<()> {
    if data.is_null() {
        return Ok(());
    }
    // SAFETY: `data` is a live error object, owned by us by the C API's contract, destroyed once.
    unsafe {
        let failed = ffi::duckdb_error_data_has_error(data);
        let error = EngineError::new(
            ffi::duckdb_error_data_error_type(data),
            borrowed_text(ffi::duckdb_error_data_message(data)).unwrap_or_default(),
        );
        ffi::duckdb_destroy_error_data(&mut data);
        if failed {
            Err(error)
        } else {
            Ok(())
        }
    }
}

struct RawDatabase(ffi::duckdb_database);

// SAFETY: DuckDB's database object is internally synchronised; connections may be made from any thread.
unsafe impl Send for RawDatabase {}
// SAFETY: as above.
unsafe impl Sync for RawDatabase {}

impl Drop for RawDatabase {
    fn drop(&mut self) {
        // SAFETY: owned by this value, closed once. Connections hold an `Arc` of it, so none is left.
        unsafe { ffi::duckdb_close(&mut self.0) }
    }
}

/// An open database file.
#[derive(Clone)]
pub(crate) struct Database(Arc<RawDatabase>);

impl Database {
    /// Opens or creates the file with the given settings.
    pub(crate) fn open(path: &Path, settings: &[(&str, String)]) -> EngineResult<Self> {
        let path = c_string(&path.to_string_lossy())?;
        let mut config: ffi::duckdb_config = ptr::null_mut();
        // SAFETY: out-pointers are valid; the config is destroyed on every way out; DuckDB copies it on opening.
        unsafe {
            if ffi::duckdb_create_config(&mut config) != ffi::DuckDBSuccess {
                return Err(EngineError::internal("could not create a configuration"));
            }
            for (key, value) in settings {
                let (key_c, value_c) = (c_string(key)?, c_string(value)?);
                if ffi::duckdb_set_config(config, key_c.as_ptr(), value_c.as_ptr()) != ffi::DuckDBSuccess {
                    ffi::duckdb_destroy_config(&mut config);
                    return Err(EngineError::new(
                        ffi::duckdb_error_type_DUCKDB_INVALID_CONFIGURATION,
                        format!("setting {key} does not accept `{value}`"),
                    ));
                }
            }
            let mut database: ffi::duckdb_database = ptr::null_mut();
            let mut message: *mut c_char = ptr::null_mut();
            let state = ffi::duckdb_open_ext(path.as_ptr(), &mut database, config, &mut message);
            ffi::duckdb_destroy_config(&mut config);
            if state != ffi::DuckDBSuccess {
                let text = borrowed_text(message).unwrap_or_else(|| "unknown error".into());
                if !message.is_null() {
                    ffi::duckdb_free(message.cast());
                }
                return Err(EngineError::new(ffi::duckdb_error_type_DUCKDB_ERROR_IO, text));
            }
            Ok(Database(Arc::new(RawDatabase(database))))
        }
    }

    /// A new connection.
    pub(crate) fn connect(&self) -> EngineResult<Connection> {
        let mut raw: ffi::duckdb_connection = ptr::null_mut();
        // SAFETY: the database is open; `raw` is a valid out-pointer.
        if unsafe { ffi::duckdb_connect(self.0 .0, &mut raw) } != ffi::DuckDBSuccess {
            return Err(EngineError::internal("could not connect to the open database"));
        }
        Ok(Connection { raw: Arc::new(RawConnection { raw, _database: self.0.clone() }) })
    }
}

struct RawConnection {
    raw: ffi::duckdb_connection,
    _database: Arc<RawDatabase>,
}

// SAFETY: DuckDB serialises the calls on one connection by a lock of its own; the only call made from another thread is the interruption, which
// is meant for that.
unsafe impl Send for RawConnection {}
// SAFETY: as above.
unsafe impl Sync for RawConnection {}

impl Drop for RawConnection {
    fn drop(&mut self) {
        // SAFETY: owned by this value, disconnected once, the database still open.
        unsafe { ffi::duckdb_disconnect(&mut self.raw) }
    }
}

/// A handle that interrupts what its connection runs.
#[derive(Clone)]
pub(crate) struct Interrupter(Arc<RawConnection>);

impl Interrupter {
    pub(crate) fn interrupt(&self) {
        // SAFETY: the connection is alive through the `Arc`; the call is thread-safe by DuckDB's contract.
        unsafe { ffi::duckdb_interrupt(self.0.raw) }
    }
}

/// A connection. Its statements run one behind another.
pub(crate) struct Connection {
    raw: Arc<RawConnection>,
}

impl Connection {
    pub(crate) fn interrupter(&self) -> Interrupter {
        Interrupter(self.raw.clone())
    }

    /// Runs statements, each once the one before it has ended, and returns how many rows the last one changed.
    pub(crate) fn run(&self, sql: &str) -> EngineResult<u64> {
        self.each(sql, |statement| statement.run())
    }

    /// Does something with each statement, one behind another, and returns what it said of the last one. Each is prepared once the one before it has ended.
    pub(crate) fn each(
        &self,
        sql: &str,
        mut run: impl FnMut(&Prepared) -> EngineResult<u64>,
    ) -> EngineResult<u64> {
        let statements = self.extract(sql)?;
        let mut changed = 0;
        for index in 0..statements.count {
            changed = run(&self.prepare_extracted(&statements, index)?)?;
        }
        Ok(changed)
    }

    fn extract(&self, sql: &str) -> EngineResult<Extracted> {
        let sql = c_string(sql)?;
        let mut extracted = Extracted { raw: ptr::null_mut(), count: 0 };
        // SAFETY: connection, string and out-pointer live during the call; what was extracted is destroyed by its owner.
        extracted.count =
            unsafe { ffi::duckdb_extract_statements(self.raw.raw, sql.as_ptr(), &mut extracted.raw) };
        // SAFETY: what was extracted is live, and carries the error where there is one.
        let message = unsafe { borrowed_text(ffi::duckdb_extract_statements_error(extracted.raw)) };
        match message.filter(|message| extracted.count == 0 && !message.is_empty()) {
            Some(message) => Err(EngineError::new(ffi::duckdb_error_type_DUCKDB_ERROR_PARSER, message)),
            None => Ok(extracted),
        }
    }

    fn prepare_extracted(&self, statements: &Extracted, index: ffi::idx_t) -> EngineResult<Prepared> {
        let mut prepared = Prepared { raw: ptr::null_mut(), _connection: self.raw.clone() };
        // SAFETY: connection and statements are live, the index is one of theirs; a failed statement still carries its error.
        unsafe {
            let state = ffi::duckdb_prepare_extracted_statement(
                self.raw.raw,
                statements.raw,
                index,
                &mut prepared.raw,
            );
            if state == ffi::DuckDBSuccess {
                return Ok(prepared);
            }
            let message = borrowed_text(ffi::duckdb_prepare_error(prepared.raw)).unwrap_or_default();
            Err(EngineError::new(ffi::duckdb_error_type_DUCKDB_ERROR_BINDER, message))
        }
    }

    /// Prepares the one statement of the text; anything but one is an error.
    pub(crate) fn prepare(&self, sql: &str) -> EngineResult<Prepared> {
        let statements = self.extract(sql)?;
        if statements.count != 1 {
            return Err(EngineError::new(
                ffi::duckdb_error_type_DUCKDB_ERROR_PARSER,
                format!("expected one statement, found {}", statements.count),
            ));
        }
        self.prepare_extracted(&statements, 0)
    }

    /// An error where the text is no SQL.
    pub(crate) fn check_syntax(&self, sql: &str) -> EngineResult<()> {
        self.extract(sql).map(drop)
    }

    /// Runs one statement and streams its result.
    pub(crate) fn stream(&self, sql: &str) -> EngineResult<Rows> {
        self.prepare(sql)?.stream()
    }

    /// Runs one statement and returns all of its result.
    pub(crate) fn query(&self, sql: &str) -> EngineResult<Vec<RecordBatch>> {
        let mut rows = self.stream(sql)?;
        let mut batches = Vec::new();
        while let Some(batch) = rows.next_batch()? {
            batches.push(batch);
        }
        Ok(batches)
    }

    /// Runs one statement and appends the rows that it returns to a table of the same columns, without a detour through another
    /// representation. Returns how many there were. The rows are held by DuckDB until the statement has ended.
    pub(crate) fn run_into(&self, sql: &str, target: &AppendTarget<'_>) -> EngineResult<u64> {
        self.append_from(&self.prepare(sql)?, target)
    }

    /// As [`Connection::run_into`], with the rows of a statement that may be one of another connection, or of another database.
    pub(crate) fn append_from(&self, statement: &Prepared, target: &AppendTarget<'_>) -> EngineResult<u64> {
        // It runs to its end, so that the connection is free for the appender.
        let result = statement.execute()?;
        let appender = Appender::create(self, target)?;
        let mut rows = 0;
        loop {
            // SAFETY: the result is live; the chunk is destroyed by its owner.
            let chunk = DataChunk(unsafe { ffi::duckdb_fetch_chunk(result.0) });
            if chunk.0.is_null() {
                break;
            }
            // SAFETY: appender and chunk are live; the rows are copied.
            unsafe {
                rows += ffi::duckdb_data_chunk_get_size(chunk.0);
                let state = ffi::duckdb_append_data_chunk(appender.raw, chunk.0);
                appender.check(state)?;
            }
        }
        appender.finish()?;
        Ok(rows)
    }

    /// Appends record batches to the named columns of a table, in the running transaction if there is one.
    pub(crate) fn append(&self, target: &AppendTarget<'_>, batches: &[&RecordBatch]) -> EngineResult<()> {
        let mut appender = Appender::create(self, target)?;
        for batch in batches {
            appender.append(self, batch)?;
        }
        appender.finish()
    }
}
