//! The `millstream` program: arguments, configuration, wiring, exit codes, what a person reads.
//!
//! It holds no logic worth testing alone beyond its own business; data is the other rooms' affair.

pub mod config;
