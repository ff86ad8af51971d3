//! Scenarios: the real program between a real PostgreSQL and a real warehouse, under what goes wrong.
//!
//! Each injects one fault, in seconds.

#![allow(
    clippy::unwrap_used,
    reason = "a panic is how a test fails; clippy exempts only the test functions themselves"
)]

mod columns;
mod control;
mod live;
mod project;
mod rows;
mod surroundings;
