//! Runs a project: compiles nodes and builds them in the order of the graph, in several threads.

mod batched;
pub mod batches;
pub mod build;
pub mod catalog;
pub mod clone;
pub mod compile;
mod contract;
mod custom;
mod ddl;
pub(crate) mod dialect;
mod finish;
mod foreign;
pub mod freshness;
mod grants;
mod history;
mod incremental;
pub mod live;
mod matview;
mod merge;
pub mod operation;
mod planned;
pub mod retry;
pub mod run;
pub(crate) mod seed;
pub mod show;
mod snapshot;
mod unit;
