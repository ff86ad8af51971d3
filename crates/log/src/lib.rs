//! The embedded log behind the `EventLog` port, and the base beside it.
//!
//! [`EmbeddedLog`] implements `core::log::EventLog` and `core::base::BaseStore` over one directory.
//!
//! # Guarantees
//!
//! - **Whole transactions, in commit order, once.** A reader sees a transaction when all of it is durable. What the source sends
//!   again is dropped. What was open when the connection or the process ended is discarded: the source sends it again.
//! - **Durable before acknowledged.** `LogWriter::sync` returns a position after everything before it has been fsynced, and after a
//!   failed fsync it never returns one again.
//! - **What PostgreSQL said is kept**: messages as they came, with their LSN; decoding happens behind durability. Beside them, in
//!   every segment: who spoke, in which protocol, and the relations with the schemas that were found for them.
//! - **Damage is never read past.** A torn tail is cut at opening; anything else that doesn't parse is an error that names file and
//!   offset (`recovery.rs`).
//! - **Bounded memory**: of the writer by one buffer and one transaction of [`LogSettings::transaction_bytes`], of a reader by
//!   one part and the block it lies in; a single message must fit in memory.
//! - **Nothing that a consumer or the base needs is dropped** (`retention.rs`).
//!
//! # Layout
//!
//! Files are cut into checked frames (`frame.rs`); which files there are is said in `directory.rs`, what stands in the frames of
//! segments and spools in `record.rs`, of chunks in `chunk.rs`. A segment holds whole transactions only: small ones in a
//! frame of their own, large ones as a frame that names a spool (`spool.rs`).
//!
//! # Code map
//!
//! `writer.rs` groups messages into transactions, `appender.rs` makes frames durable; `reader.rs` follows and decodes; `recovery.rs` opens; `retention.rs` drops; `embedded.rs` holds
//! what they share.

mod appender;
mod base;
mod chunk;
mod directory;
mod embedded;
pub mod envelope;
mod error;
mod frame;
mod frames;
mod reader;
mod record;
mod recovery;
mod retention;
mod spool;
mod writer;

pub use embedded::{EmbeddedLog, LogSettings};
pub use error::LogError;
