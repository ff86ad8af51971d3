//! The source: a PostgreSQL database whose changes and rows are read.
//!
//! Knows PostgreSQL and the ports of `millstream-core`; never a warehouse. Entry points:
//!
//! - [`config`], [`patterns`]: how to reach it and what is wanted of it.
//! - [`wire`], [`tls`]: the connection itself, SQL and replication alike.
//! - [`catalog`]: tables, publications, and what a table looked like when a change was made.
//! - [`replication`], [`slot`]: identity, slots and the stream.
//! - [`capture`]: the stream into the log.
//! - [`watcher`]: what happens to tables without an event in the stream.
//! - [`snapshot`]: rows into the base, and snapshots held open for comparing.
//! - [`preflight`]: is the source ready?
//! - [`provision`]: what has to be created at the source.
//! - [`position`]: where the source stands.

mod alone;
mod blockers;
pub mod capture;
pub mod catalog;
pub mod config;
pub mod error;
pub mod patterns;
pub mod position;
pub mod preflight;
pub mod provision;
pub mod replication;
pub mod slot;
pub mod snapshot;
pub mod sql;
pub mod stop;
pub mod tls;
pub mod watcher;
pub mod wire;

pub use capture::{CaptureConfig, CaptureState, CaptureStatus, Observer, SourceEvent, TableChange};
pub use config::{Connection, SourceConfig};
pub use error::{Result, ServerMessage, SourceError};
pub use patterns::TablePatterns;
pub use replication::SourceIdentity;
pub use stop::{Stop, Stopper};
