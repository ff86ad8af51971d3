//! PostgreSQL's clients against the wire protocol's server.

mod catalog;
mod clients;
mod fixture;
mod fuzz;
mod psql;
mod raw;
mod session;
