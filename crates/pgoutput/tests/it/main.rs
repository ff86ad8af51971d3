//! Decoding and printing against a real server.

// Helpers fail by panicking as tests do; clippy knows only functions marked as tests.
#![allow(clippy::unwrap_used)]

mod messages;
mod types;
