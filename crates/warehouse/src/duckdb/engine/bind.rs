//! What a prepared statement takes and gives, and values for its parameters.

use libduckdb_sys as ffi;
use millstream_core::Parameter;

use super::{borrowed_text, c_string, rows::type_name, statement::Prepared, EngineError, EngineResult};

impl Prepared {
    /// Names of its result's columns, and DuckDB's names of their types.
    pub(crate) fn columns(&self) -> Vec<(String, String)> {
        // SAFETY: the statement is live; names are freed and types destroyed after copying.
        unsafe {
            (0..ffi::duckdb_prepared_statement_column_count(self.raw))
                .map(|index| {
                    let name = ffi::duckdb_prepared_statement_column_name(self.raw, index);
                    let text = borrowed_text(name).unwrap_or_default();
                    ffi::duckdb_free(name.cast_mut().cast());
                    let mut logical = ffi::duckdb_prepared_statement_column_logical_type(self.raw, index);
                    let of = type_name(logical);
                    ffi::duckdb_destroy_logical_type(&mut logical);
                    (text, of)
                })
                .collect()
        }
    }

    /// Names of its parameters in their order, and DuckDB's names of their types where the statement decides them.
    pub(crate) fn parameters(&self) -> Vec<(String, Option<String>)> {
        // SAFETY: as above; indexes begin at 1.
        unsafe {
            (1..=ffi::duckdb_nparams(self.raw))
                .map(|index| {
                    let name = ffi::duckdb_parameter_name(self.raw, index);
                    let text = borrowed_text(name).unwrap_or_default();
                    ffi::duckdb_free(name.cast_mut().cast());
                    let decided =
                        ffi::duckdb_param_type(self.raw, index) != ffi::DUCKDB_TYPE_DUCKDB_TYPE_INVALID;
                    let mut logical = ffi::duckdb_param_logical_type(self.raw, index);
                    let of = (decided && !logical.is_null())
                        .then(|| type_name(logical))
                        .filter(|name| !["UNKNOWN", "ANY", "\"NULL\""].contains(&name.as_str()));
                    ffi::duckdb_destroy_logical_type(&mut logical);
                    (text, of)
                })
                .collect()
        }
    }

    /// Forgets all values.
    pub(crate) fn clear_bindings(&self) {
        // SAFETY: the statement is live. It can only fail for one that is not.
        unsafe { ffi::duckdb_clear_bindings(self.raw) };
    }

    /// Gives a parameter its value.
    pub(crate) fn bind(&self, name: &str, value: &Parameter) -> EngineResult<()> {
        let name = c_string(name)?;
        let mut index = 0;
        // SAFETY: the statement is live, the name and the out-pointer live during the call.
        let found = unsafe { ffi::duckdb_bind_parameter_index(self.raw, &mut index, name.as_ptr()) };
        if found != ffi::DuckDBSuccess {
            return Err(EngineError::new(
                ffi::duckdb_error_type_DUCKDB_ERROR_INVALID_INPUT,
                "the statement has no parameter of this name",
            ));
        }
        // SAFETY: the statement is live; texts and bytes are copied during the call.
        let bound = unsafe {
            match value {
                Parameter::Null => ffi::duckdb_bind_null(self.raw, index),
                Parameter::Boolean(value) => ffi::duckdb_bind_boolean(self.raw, index, *value),
                Parameter::Integer(value) => ffi::duckdb_bind_int64(self.raw, index, *value),
                Parameter::Double(value) => ffi::duckdb_bind_double(self.raw, index, *value),
                Parameter::Text(text) => ffi::duckdb_bind_varchar_length(
                    self.raw,
                    index,
                    text.as_ptr().cast(),
                    text.len() as ffi::idx_t,
                ),
                Parameter::Date(days) => {
                    ffi::duckdb_bind_date(self.raw, index, ffi::duckdb_date { days: *days })
                }
                Parameter::Timestamp(micros) => {
                    ffi::duckdb_bind_timestamp_tz(self.raw, index, ffi::duckdb_timestamp { micros: *micros })
                }
                Parameter::Bytes(bytes) => {
                    ffi::duckdb_bind_blob(self.raw, index, bytes.as_ptr().cast(), bytes.len() as ffi::idx_t)
                }
            }
        };
        if bound == ffi::DuckDBSuccess {
            return Ok(());
        }
        // SAFETY: the statement is live and carries the error.
        let message = unsafe { borrowed_text(ffi::duckdb_prepare_error(self.raw)) };
        Err(EngineError::new(
            ffi::duckdb_error_type_DUCKDB_ERROR_INVALID_INPUT,
            message.unwrap_or_else(|| "its value was not taken".into()),
        ))
    }
}
