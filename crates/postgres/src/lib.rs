//! PostgreSQL as a warehouse that models are built in: the port of `core::build` over connections of the room `source`, which speaks the client protocol.
//!
//! - [`settings`]: what a profile says of the connection.
//! - [`connection`]: the port itself.
//! - [`catalog`]: what is there, asked of the system catalogue. [`values`]: results as cells of the port.
//! - [`error`]: what the server says against a statement, whole.
//!
//! A statement's text is the caller's, the session's settings are those of role and server: what a model means here is what it means in any other client.

pub mod catalog;
pub mod connection;
pub mod error;
pub mod settings;
pub mod values;

pub use connection::PgBuild;
pub use error::PostgresError;
pub use settings::Settings;
