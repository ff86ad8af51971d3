//! The replication stream and COPY binary of PostgreSQL, decoded and encoded; values included. Pure.
//!
//! - [`message`]: pgoutput's messages. [`message::peek`] for who only routes them, [`Message::decode`] for who needs the rows.

pub mod message;

pub use message::{peek, DecodeError, Head, Message};
