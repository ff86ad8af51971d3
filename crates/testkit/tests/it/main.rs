//! The test kit against real processes: what other rooms' tests rely on must hold.

#![allow(
    clippy::unwrap_used,
    reason = "a panic is how a test fails; clippy exempts only the test functions themselves"
)]

mod cluster;
mod process;
mod proxy;
mod workload;
