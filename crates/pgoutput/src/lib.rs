//! The replication stream and COPY binary of PostgreSQL, decoded and encoded; values included. Pure.
//!
//! - [`message`]: pgoutput's messages. [`message::peek`] for who only routes them, [`Message::decode`] for who needs the rows.
//! - [`types`]: what a PostgreSQL type becomes in the warehouse, and what converts into what exactly.
//! - [`column`]: values in text or binary form put into Arrow arrays. [`value`]: why one can't be.
//! - [`copy`]: the stream of a binary COPY, as rows or as record batches.
//! - [`render`]: Arrow values as PostgreSQL's text and JSON.

pub mod column;
pub mod copy;
pub mod message;
pub mod render;
pub mod types;
pub mod value;

pub use column::ColumnBuilder;
pub use message::{peek, DecodeError, Head, Message};
