//! Decoding and printing against a real server.

mod types;
