//! The project at work: what is open, who asks, and what runs.
//!
//! - [`desk`]: answers requests, in a running instance and out of one.
//! - [`open`]: opens log, warehouse and source settings.
//! - [`query`], [`report`]: single answers.

mod desk;
mod open;
mod query;
mod report;

pub(crate) use desk::Desk;
