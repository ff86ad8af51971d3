//! Applying: transactions in, row groups out; and the loop that drives it.
//!
//! - [`plan`]: what a run of changes comes to for one table. Pure.
//! - [`key`]: rows found by key within a batch.
//! - [`clock`]: version times that never run backwards.

pub mod clock;
pub mod key;
pub mod plan;
