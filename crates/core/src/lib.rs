//! The vocabulary of Millstream, and the ports between its rooms.
//!
//! Everything here is pure: no I/O, no vendor, no configuration. All other rooms know this one; it knows none.
//!
//! - [`Lsn`], [`Position`]: where something stands in the source's write-ahead log, and the order of everything.
//! - [`TableSchema`]: what a source table looked like when a change was made; identity is the OID.
//! - [`Tuple`], [`Change`], [`TransactionPart`]: what was said by the source, undecoded until a value is needed.
//! - [`maintain`]: the port of results that follow the changes.
//! - [`log`]: the port between capture and apply. [`base`]: the snapshot's chunks. [`warehouse`]: the port below apply.
//! - [`Diagnostic`]: what every error of every room can say about itself.

pub mod access;
pub mod base;
pub mod build;
pub mod change;
pub mod error;
pub mod fence;
pub mod log;
pub mod maintain;
pub mod position;
pub mod query;
pub mod schema;
pub mod time;
pub mod tuple;
pub mod types;
pub mod warehouse;

pub use access::{glob, Grants, Mask, Restriction, Restrictions, Role};
pub use change::{Change, ChangeKind, OldTuple, TransactionHeader, TransactionPart};
pub use error::{Action, BoxedDiagnostic, Diagnostic, Exit};
pub use fence::{Fence, XidSnapshot};
pub use maintain::{Maintained, Maintainer, Unbroken};
pub use position::{Lsn, ParseLsnError, Position};
pub use query::{Description, Parameter, Piece, Query, Trust};
pub use schema::{ColumnSchema, Leaf, ReplicaIdentity, StorageMark, TableId, TableName, TableSchema};
pub use time::Timestamp;
pub use tuple::{Tuple, TupleBuilder, TupleError, Value};
pub use types::{ColumnType, PgType, TypeKind};
