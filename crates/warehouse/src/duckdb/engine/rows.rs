//! Results, chunk by chunk, as Arrow.

use std::{ptr, sync::Arc};

use arrow_array::{
    ffi::{from_ffi, FFI_ArrowArray, FFI_ArrowSchema},
    RecordBatch, StructArray,
};
use arrow_schema::{Schema, SchemaRef};
use libduckdb_sys as ffi;

use super::{borrowed_text, statement::QueryResultHandle, take_error, EngineError, EngineResult};

pub(super) struct DataChunk(pub(super) ffi::duckdb_data_chunk);

impl Drop for DataChunk {
    fn drop(&mut self) {
        // SAFETY: destroyed once; null is accepted.
        unsafe { ffi::duckdb_destroy_data_chunk(&mut self.0) }
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
    pub(super) fn new(mut result: QueryResultHandle) -> EngineResult<Self> {
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

    /// A batch of its columns without rows.
    pub(crate) fn no_rows(&self) -> RecordBatch {
        RecordBatch::new_empty(self.schema.clone())
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
pub(super) unsafe fn type_name(logical: ffi::duckdb_logical_type) -> String {
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
                    format!("{} {field_type}", super::super::sql::identifier(&text))
                });
                return format!("STRUCT({})", fields.collect::<Vec<_>>().join(", "));
            }
            _ => "UNKNOWN",
        };
        name.to_owned()
    }
}
