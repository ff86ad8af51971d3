//! The stream of `COPY … TO STDOUT (FORMAT binary)`.
//!
//! Layout (PostgreSQL documentation, "COPY", "Binary Format"), all big endian:
//!
//! ```text
//! 11 bytes  "PGCOPY\n\xff\r\n\0"
//! u32       flags; bits 16 to 31 are critical, none is known to us
//! u32       length of a header extension, and its bytes
//! per row:  i16 number of fields, then per field an i32 length (-1: NULL) and the type's send format
//! i16       -1, and nothing behind it
//! ```
//!
//! [`CopyReader`] hands out rows, [`CopyBatches`] record batches, [`CopyWriter`] writes a stream. Memory is bounded by the largest
//! row and, for batches, by the caller's bounds; a stream that ends before its trailer is an error, wherever it ends.

mod batches;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

use std::io;

use millstream_core::{Action, Diagnostic};

pub use batches::{CopyBatches, CopyColumn, RowError};
pub use reader::{CopyReader, Row};
pub use writer::CopyWriter;

/// What a binary COPY begins with.
const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";

/// What is wrong with a stream.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// It can't be read.
    #[error("reading COPY data at byte {offset}")]
    Read {
        /// Bytes taken so far.
        offset: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It ends too early.
    #[error("COPY data ends at byte {offset}, before its trailer")]
    Truncated {
        /// Where it ends.
        offset: u64,
    },
    /// It is not what it should be.
    #[error("malformed COPY data at byte {offset}: {what}")]
    Malformed {
        /// Where.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// A value does not fit its column. Reading can go on behind the row.
    #[error("row {}, column {}: {}", .0.row, .0.attnum, .0.error)]
    Value(Box<RowError>),
    /// The columns make no record batch.
    #[error(transparent)]
    Arrow(#[from] arrow_schema::ArrowError),
}

impl Diagnostic for CopyError {
    fn code(&self) -> &'static str {
        match self {
            CopyError::Read { .. } => "MS2830",
            CopyError::Truncated { .. } => "MS2831",
            CopyError::Malformed { .. } => "MS2832",
            CopyError::Value(row) => row.error.code(),
            CopyError::Arrow(_) => "MS2833",
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            CopyError::Read { source, .. } => Some(source.to_string()),
            _ => None,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            CopyError::Value(row) => row.error.hint(),
            _ => None,
        }
    }

    fn action(&self) -> Action {
        match self {
            CopyError::Value(row) => row.error.action(),
            _ => Action::Stop,
        }
    }
}
