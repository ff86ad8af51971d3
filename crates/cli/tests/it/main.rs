//! The real binary, run as a person or a script runs it.

// Helpers of tests may fail by panicking, as tests do.
#![allow(clippy::unwrap_used)]

mod applying;
mod config_errors;
mod program;
mod support;
mod up;
