//! The real binary, run as a person or a script runs it.

mod applying;
mod config_errors;
mod program;
mod support;
