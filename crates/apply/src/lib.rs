//! Applying: transactions in, row groups out; and the loop that drives it.
//!
//! - [`plan`]: what a run of changes comes to for one table. Pure.
//! - [`layout`]: how the warehouse holds a table, and what a changed schema means. Pure.
//! - [`batch`]: transactions gathered and sorted by table. Pure.
//! - [`encode`]: a plan's tuples as record batches. Pure.
//! - [`exec`]: one warehouse transaction, schema changes first.
//! - [`run`]: the loop, with [`feed`] at its log end, [`load`] for copied rows, [`command`] and [`status`] for whoever asks.
//! - `pace`: how far apart warehouse transactions begin; `checkpoints`: when the warehouse is checkpointed and compacted.
//! - [`table`]: what is known of each table, as the warehouse keeps it.
//! - [`key`]: rows found by key within a batch.
//! - [`quarantine`]: changes set aside, what they hold, and how they come back.
//! - [`clock`]: version times that never run backwards.

pub mod batch;
mod checkpoints;
pub mod clock;
pub mod command;
pub mod encode;
pub mod error;
pub mod exec;
pub mod feed;
pub mod key;
pub mod layout;
pub mod load;
mod pace;
pub mod plan;
pub mod quarantine;
pub mod run;
pub mod status;
pub mod table;

pub use run::Applier;
