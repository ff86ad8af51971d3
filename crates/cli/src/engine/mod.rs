//! The project at work: what is open, who asks, and what runs.
//!
//! - [`desk`]: answers requests, in a running instance and out of one.
//! - [`session`]: capture, apply and copying at work; [`provision`] is what comes before.
//! - [`front`]: what the servers are given of it; [`samples`]: pictures of the last minutes.
//! - [`access`]: roles and keys, as warehouse and servers take them; [`columns`]: where those of models come from.
//! - [`models`]: views kept beside the tables; [`workshop`]: the warehouse as a dbt project is built in it.
//! - [`open`]: opens log and source settings; [`warehouse_file`] the warehouse, which may have to be built again.
//! - [`quarantine`]: what was set aside, shown, brought back and given up.
//! - [`tending`]: what becomes of tables that changed without an event.
//! - [`query`], [`report`], [`plan`], [`tail`], [`catch_up`]: single answers; [`verify`] and [`resync`], which hold apply at a
//!   snapshot ([`fenced`]).

mod access;
mod catch_up;
mod columns;
mod desk;
mod fenced;
mod front;
mod models;
mod open;
mod plan;
mod provision;
mod quarantine;
mod query;
mod report;
mod resync;
mod samples;
mod session;
mod tail;
mod tending;
mod verify;
mod warehouse_file;
mod workshop;

pub(crate) use desk::Desk;
pub(crate) use front::{open_catalog, Front};
pub(crate) use models::{keep_models, model_files};
pub(crate) use open::check_room;
pub(crate) use provision::{check_source, SLOT_IN_USE};
pub(crate) use samples::{Samples, Sampling};
pub(crate) use session::Session;
pub(crate) use tending::{tend_once, Tending, Told};
pub(crate) use warehouse_file::{is_damage, must_reopen, set_aside, Rebuild};
pub(crate) use workshop::{belongs_to, home, Workshop};
