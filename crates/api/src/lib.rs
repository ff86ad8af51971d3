//! What people and programs reach a running project by. Holds no state of its own: it asks the [`host::Host`], and the store who has a key.
//!
//! A request goes through four steps: what it means ([`endpoint`], [`relation`], [`as_of`], pure), the read ([`answer`]), the format, the response
//! ([`http`]).

pub mod access;
pub mod answer;
pub mod as_of;
pub mod dashboard;
pub mod endpoint;
pub mod host;
pub mod http;
pub mod metrics;
pub mod openapi;
pub mod postgres;
pub mod priority;
pub mod problem;
pub mod relation;
