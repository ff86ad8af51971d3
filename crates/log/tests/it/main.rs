//! The log through its ports, over real files.

// Helpers of tests fail by panicking as tests do; the lint's own exception knows only functions marked as tests.
#![allow(clippy::unwrap_used)]

mod base;
mod faults;
mod model;
mod recovery;
mod retention;
mod server;
mod streamed;
mod support;
mod transactions;
