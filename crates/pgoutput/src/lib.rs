//! The replication stream and COPY binary of PostgreSQL, decoded and encoded; values included. Pure.
//!
//! - [`message`]: pgoutput's messages. [`message::peek`] for who only routes them, [`Message::decode`] for who needs the rows.
//! - [`types`]: what a PostgreSQL type becomes in the warehouse, and what converts into what exactly.

pub mod message;
pub mod types;

pub use message::{peek, DecodeError, Head, Message};
