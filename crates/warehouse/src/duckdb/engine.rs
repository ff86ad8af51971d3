//! A thin, safe layer over DuckDB's C API: database, connection, result, appender.
//!
//! The `duckdb` crate is not used because three things this room lives on are out of its reach: the type of a prepared statement before it runs
//! (readers may only read), appending Arrow through DuckDB's own importer (the crate's converter loses NULL intervals and copies a list column once per 2,048
//! rows), and handing result chunks on without a detour.
//!
//! All `unsafe` that concerns DuckDB is in this file. Every C object is owned by one Rust value that destroys it; connections keep their database alive.

use std::{
    ffi::{c_char, CStr, CString},
    path::Path,
    ptr,
    sync::Arc,
};

use arrow_array::{
    ffi::{from_ffi, FFI_ArrowArray, FFI_ArrowSchema},
    Array, RecordBatch, StructArray,
};
use arrow_schema::{Schema, SchemaRef};
use libduckdb_sys as ffi;

/// Rows of a DuckDB vector; data chunks handed to the appender hold at most this many.
const VECTOR_ROWS: usize = 2048;

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
        self.kind == ffi::duckdb_error_type_DUCKDB_ERROR_OUT_OF_MEMORY
            && !self.message.contains("No space left")
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
}

/// A connection. Its statements run one behind another.
pub(crate) struct Connection {
    raw: Arc<RawConnection>,
}

impl Connection {
    pub(crate) fn interrupter(&self) -> Interrupter {
        Interrupter(self.raw.clone())
    }

    /// Runs statements and returns how many rows the last one changed.
    pub(crate) fn run(&self, sql: &str) -> EngineResult<u64> {
        let sql = c_string(sql)?;
        // SAFETY: an all-zero `duckdb_result` is what the C API expects as an out-value.
        let mut result = QueryResultHandle(unsafe { std::mem::zeroed() });
        // SAFETY: connection and string live during the call; the handle destroys the result in either case.
        let state = unsafe { ffi::duckdb_query(self.raw.raw, sql.as_ptr(), &mut result.0) };
        result.check(state)?;
        // SAFETY: the result is live.
        Ok(unsafe { ffi::duckdb_rows_changed(&mut result.0) })
    }

    /// Prepares the one statement of the text; anything but one is an error.
    pub(crate) fn prepare(&self, sql: &str) -> EngineResult<Prepared> {
        let sql = c_string(sql)?;
        let mut extracted: ffi::duckdb_extracted_statements = ptr::null_mut();
        // SAFETY: pointers are valid; what was extracted is destroyed on every way out.
        unsafe {
            let count = ffi::duckdb_extract_statements(self.raw.raw, sql.as_ptr(), &mut extracted);
            let outcome = if count == 1 {
                let mut statement: ffi::duckdb_prepared_statement = ptr::null_mut();
                let state =
                    ffi::duckdb_prepare_extracted_statement(self.raw.raw, extracted, 0, &mut statement);
                let prepared = Prepared { raw: statement, _connection: self.raw.clone() };
                if state == ffi::DuckDBSuccess {
                    Ok(prepared)
                } else {
                    let message = borrowed_text(ffi::duckdb_prepare_error(statement)).unwrap_or_default();
                    Err(EngineError::new(ffi::duckdb_error_type_DUCKDB_ERROR_BINDER, message))
                }
            } else {
                let message = borrowed_text(ffi::duckdb_extract_statements_error(extracted))
                    .filter(|message| !message.is_empty())
                    .unwrap_or_else(|| format!("expected one statement, found {count}"));
                Err(EngineError::new(ffi::duckdb_error_type_DUCKDB_ERROR_PARSER, message))
            };
            ffi::duckdb_destroy_extracted(&mut extracted);
            outcome
        }
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
        let prepared = self.prepare(sql)?;
        // SAFETY: an all-zero result is what the C API expects as an out-value; the handle destroys it.
        let mut result = QueryResultHandle(unsafe { std::mem::zeroed() });
        // SAFETY: the statement is live. It runs to its end, so that the connection is free for the appender.
        let state = unsafe { ffi::duckdb_execute_prepared(prepared.raw, &mut result.0) };
        result.check(state)?;
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

/// Where rows are appended: a table of the file, or a temporary one.
pub(crate) struct AppendTarget<'a> {
    pub(crate) catalog: Option<&'a str>,
    pub(crate) schema: &'a str,
    pub(crate) table: &'a str,
    /// The columns that the batches carry, in their order; the others take their default.
    pub(crate) columns: &'a [String],
}

struct Appender {
    raw: ffi::duckdb_appender,
}

impl Appender {
    fn create(connection: &Connection, target: &AppendTarget<'_>) -> EngineResult<Self> {
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

    fn check(&self, state: ffi::duckdb_state) -> EngineResult<()> {
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

    fn append(&mut self, connection: &Connection, batch: &RecordBatch) -> EngineResult<()> {
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

    fn finish(self) -> EngineResult<()> {
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

struct ConvertedSchema(ffi::duckdb_arrow_converted_schema);

impl ConvertedSchema {
    fn new(connection: &Connection, schema: &Schema) -> EngineResult<Self> {
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

struct DataChunk(ffi::duckdb_data_chunk);

impl Drop for DataChunk {
    fn drop(&mut self) {
        // SAFETY: destroyed once; null is accepted.
        unsafe { ffi::duckdb_destroy_data_chunk(&mut self.0) }
    }
}

/// A prepared statement.
pub(crate) struct Prepared {
    raw: ffi::duckdb_prepared_statement,
    _connection: Arc<RawConnection>,
}

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

    pub(crate) fn stream(&self) -> EngineResult<Rows> {
        // SAFETY: an all-zero result is what the C API expects as an out-value; the handle destroys it.
        let mut result = QueryResultHandle(unsafe { std::mem::zeroed() });
        // SAFETY: the statement is live.
        let state = unsafe { ffi::duckdb_execute_prepared_streaming(self.raw, &mut result.0) };
        result.check(state)?;
        Rows::new(result)
    }
}

struct QueryResultHandle(ffi::duckdb_result);

impl QueryResultHandle {
    fn check(&mut self, state: ffi::duckdb_state) -> EngineResult<()> {
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

/// A result being read.
pub(crate) struct Rows {
    result: QueryResultHandle,
    exported: FFI_ArrowSchema,
    schema: SchemaRef,
    types: Vec<String>,
}

impl Rows {
    fn new(mut result: QueryResultHandle) -> EngineResult<Self> {
        let (mut types, mut names, mut type_names) = (Vec::new(), Vec::new(), Vec::new());
        let mut exported = FFI_ArrowSchema::empty();
        // SAFETY: the result is live; logical types are destroyed below; names live as long as the result.
        unsafe {
            for column in 0..ffi::duckdb_column_count(&mut result.0) {
                let logical = ffi::duckdb_column_logical_type(&mut result.0, column);
                type_names.push(type_name(logical));
                types.push(logical);
                names.push(ffi::duckdb_column_name(&mut result.0, column));
            }
            let mut options = ffi::duckdb_result_get_arrow_options(&mut result.0);
            let outcome = take_error(ffi::duckdb_to_arrow_schema(
                options,
                types.as_mut_ptr(),
                names.as_mut_ptr(),
                types.len() as ffi::idx_t,
                ptr::from_mut(&mut exported).cast(),
            ));
            ffi::duckdb_destroy_arrow_options(&mut options);
            for logical in &mut types {
                ffi::duckdb_destroy_logical_type(logical);
            }
            outcome?;
        }
        let schema = Schema::try_from(&exported).map_err(|error| EngineError::internal(error.to_string()))?;
        Ok(Rows { result, exported, schema: Arc::new(schema), types: type_names })
    }

    /// Column names with DuckDB's names of their types.
    pub(crate) fn columns(&self) -> Vec<(String, String)> {
        self.schema
            .fields()
            .iter()
            .map(|field| field.name().clone())
            .zip(self.types.iter().cloned())
            .collect()
    }

    /// The next rows; `None` at the end.
    pub(crate) fn next_batch(&mut self) -> EngineResult<Option<RecordBatch>> {
        // SAFETY: the result is live; the chunk is destroyed by its owner; the Arrow array is taken over by `from_ffi`, which releases it.
        unsafe {
            let chunk = DataChunk(ffi::duckdb_fetch_chunk(self.result.0));
            if chunk.0.is_null() || ffi::duckdb_data_chunk_get_size(chunk.0) == 0 {
                let failed = borrowed_text(ffi::duckdb_result_error(&mut self.result.0));
                return match failed.filter(|message| !message.is_empty()) {
                    Some(message) => {
                        Err(EngineError::new(ffi::duckdb_result_error_type(&mut self.result.0), message))
                    }
                    None => Ok(None),
                };
            }
            let mut options = ffi::duckdb_result_get_arrow_options(&mut self.result.0);
            let mut array = FFI_ArrowArray::empty();
            let outcome = take_error(ffi::duckdb_data_chunk_to_arrow(
                options,
                chunk.0,
                ptr::from_mut(&mut array).cast(),
            ));
            ffi::duckdb_destroy_arrow_options(&mut options);
            outcome?;
            let data =
                from_ffi(array, &self.exported).map_err(|error| EngineError::internal(error.to_string()))?;
            Ok(Some(RecordBatch::from(StructArray::from(data))))
        }
    }
}

/// DuckDB's own name of a type, as `DESCRIBE` prints it.
///
/// # Safety
/// `logical` is a live logical type.
unsafe fn type_name(logical: ffi::duckdb_logical_type) -> String {
    // SAFETY: `logical` is live; children are destroyed by `child`, texts freed after copying.
    unsafe {
        let alias = ffi::duckdb_logical_type_get_alias(logical);
        if !alias.is_null() {
            let text = borrowed_text(alias).unwrap_or_default();
            ffi::duckdb_free(alias.cast());
            return text;
        }
        let child = |mut inner: ffi::duckdb_logical_type| {
            let name = type_name(inner);
            ffi::duckdb_destroy_logical_type(&mut inner);
            name
        };
        let name = match ffi::duckdb_get_type_id(logical) {
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_BOOLEAN => "BOOLEAN",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_TINYINT => "TINYINT",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_SMALLINT => "SMALLINT",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_INTEGER => "INTEGER",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_BIGINT => "BIGINT",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_UTINYINT => "UTINYINT",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_USMALLINT => "USMALLINT",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_UINTEGER => "UINTEGER",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_UBIGINT => "UBIGINT",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_HUGEINT => "HUGEINT",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_UHUGEINT => "UHUGEINT",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_FLOAT => "FLOAT",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_DOUBLE => "DOUBLE",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_TIMESTAMP => "TIMESTAMP",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_TIMESTAMP_S => "TIMESTAMP_S",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_TIMESTAMP_MS => "TIMESTAMP_MS",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_TIMESTAMP_NS => "TIMESTAMP_NS",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_TIMESTAMP_TZ => "TIMESTAMP WITH TIME ZONE",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_DATE => "DATE",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_TIME => "TIME",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_TIME_TZ => "TIME WITH TIME ZONE",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_INTERVAL => "INTERVAL",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_VARCHAR => "VARCHAR",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_BLOB => "BLOB",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_BIT => "BIT",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_UUID => "UUID",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_SQLNULL => "\"NULL\"",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_DECIMAL => {
                let (width, scale) = (ffi::duckdb_decimal_width(logical), ffi::duckdb_decimal_scale(logical));
                return format!("DECIMAL({width},{scale})");
            }
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_ENUM => "ENUM",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_LIST => {
                return format!("{}[]", child(ffi::duckdb_list_type_child_type(logical)));
            }
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_ARRAY => {
                let size = ffi::duckdb_array_type_array_size(logical);
                return format!("{}[{size}]", child(ffi::duckdb_array_type_child_type(logical)));
            }
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_MAP => {
                let key = child(ffi::duckdb_map_type_key_type(logical));
                return format!("MAP({key}, {})", child(ffi::duckdb_map_type_value_type(logical)));
            }
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_STRUCT => {
                let fields = (0..ffi::duckdb_struct_type_child_count(logical)).map(|index| {
                    let name = ffi::duckdb_struct_type_child_name(logical, index);
                    let text = borrowed_text(name).unwrap_or_default();
                    ffi::duckdb_free(name.cast());
                    let field_type = child(ffi::duckdb_struct_type_child_type(logical, index));
                    format!("{} {field_type}", super::sql::identifier(&text))
                });
                return format!("STRUCT({})", fields.collect::<Vec<_>>().join(", "));
            }
            _ => "UNKNOWN",
        };
        name.to_owned()
    }
}
