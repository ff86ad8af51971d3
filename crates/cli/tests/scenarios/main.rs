//! Scenarios: the real program between a real PostgreSQL and a real warehouse, under what goes wrong.
//!
//! `kills` is the one that decides: a random workload, the program killed again and again, and every row at every position compared with what
//! independent witnesses recorded at the source. `variety` does the same without kills, for every type and form of table. The others inject one fault each, in seconds.

#![allow(
    clippy::unwrap_used,
    reason = "a panic is how a test fails; clippy exempts only the test functions themselves"
)]

mod abuse;
mod access;
mod access_tokens;
mod access_wire;
mod bad_input;
mod collector;
mod columns;
mod console;
mod control;
mod engagement;
mod faults;
mod finance;
mod http;
mod kills;
mod live;
mod models;
mod pages;
mod project;
mod quarantine;
mod reader;
mod record;
mod rows;
mod serving;
mod snapshots;
mod surroundings;
mod tables;
mod traces;
mod unwatched;
mod variety;
mod verbs;
mod warehouse_file;
