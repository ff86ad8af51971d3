//! The house rules that a machine can check; `make lint` runs them.
//!
//! Each rule names the file and what to do. A rule that is wrong is changed here, with a decision record, never worked around.

#![allow(
    clippy::unwrap_used,
    reason = "a panic is how a test fails; clippy exempts only the test functions themselves"
)]

mod architecture;
mod documents;
mod licences;
mod sources;
mod tree;
