//! The servers over a real warehouse, asked by real clients.

#![allow(
    clippy::unwrap_used,
    reason = "a panic is how a test fails; clippy exempts only the test functions themselves"
)]

mod postgres;
