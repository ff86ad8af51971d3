//! The warehouse's integration tests: the conformance suite against every implementation, and what is particular to each.
#![allow(clippy::unwrap_used)]

mod conformance;
mod duckdb;
mod maintain;
mod roles;
