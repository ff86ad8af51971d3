//! The source: a PostgreSQL database whose changes and rows are read.
//!
//! Knows PostgreSQL and the ports of `millstream-core`; never a warehouse. Entry points:
//!
//! - [`config`], [`patterns`]: how to reach it and what is wanted of it.
//! - [`wire`], [`tls`]: the connection itself, SQL and replication alike.
//! - [`catalog`]: tables, publications, and what a table looked like when a change was made.
//! - [`replication`]: identity, slots and the stream.

pub mod catalog;
pub mod config;
pub mod error;
pub mod patterns;
pub mod replication;
pub mod sql;
pub mod tls;
pub mod wire;

pub use config::{Connection, SourceConfig};
pub use error::{Result, ServerMessage, SourceError};
pub use patterns::TablePatterns;
