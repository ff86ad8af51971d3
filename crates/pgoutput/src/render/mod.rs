//! Arrow values printed as PostgreSQL prints them: its text output ([`write_text`]) and its `to_jsonb` ([`write_json`]).
//!
//! Text is needed where a column is widened, a key named, a previous version handed back; JSON by whoever reads results.
//! Every Arrow type that a warehouse's query can give is covered, not only those of [`crate::types::arrow_type`]; what PostgreSQL
//! has no type for (maps, unsigned 64 bits, nanoseconds) is printed in its manner.

mod json;
mod result;
mod scalar;
#[cfg(test)]
mod tests;
mod text;

use arrow_array::Array;
use arrow_schema::{DataType, Field};
use millstream_core::Diagnostic;

pub use result::{is_json, one_line, result_fields};

/// An Arrow type that nothing prints.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a value of Arrow's type {data_type} can't be printed")]
pub struct RenderError {
    /// Which.
    pub data_type: DataType,
}

impl Diagnostic for RenderError {
    fn code(&self) -> &'static str {
        "MS2820"
    }

    fn hint(&self) -> Option<String> {
        Some("cast the column to text in the query".to_owned())
    }
}

/// Appends row `row` of an array as PostgreSQL's output function of the matching type would print it, under the pinned
/// session settings. NULL appends nothing.
///
/// A `numeric` without declared scale comes back with all digits of the decimal it was kept in: `1.5` as `1.5000000000`. A
/// [`crate::ColumnBuilder`] of text for that type takes the zeros off again.
pub fn write_text(array: &dyn Array, row: usize, out: &mut String) -> Result<(), RenderError> {
    // SAFETY: what the printers append is ASCII or the bytes of an Arrow string, which is UTF-8 by its type; a value is
    // appended whole or not at all.
    let out = unsafe { out.as_mut_vec() };
    let start = out.len();
    let written = text::write(array, row, out);
    if written.is_err() {
        out.truncate(start);
    }
    written
}

/// Appends row `row` of an array as JSON, as `to_jsonb` would print it. The field says whether a string is JSON already
/// (extension type `arrow.json`): it is embedded as it is.
pub fn write_json(field: &Field, array: &dyn Array, row: usize, out: &mut String) -> Result<(), RenderError> {
    // SAFETY: as above.
    let out = unsafe { out.as_mut_vec() };
    let start = out.len();
    let written = json::write(field, array, row, out);
    if written.is_err() {
        out.truncate(start);
    }
    written
}

/// Appends a string as JSON: what a column's name needs.
pub fn write_json_string(text: &str, out: &mut String) {
    // SAFETY: as above; escapes are ASCII, and nothing within a character is escaped.
    json::write_string(text, unsafe { out.as_mut_vec() });
}
